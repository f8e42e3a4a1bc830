//! The CodeDeploy deployment group that carries out a service's deployments; never what one does.

use schemars::JsonSchema;
use serde::Serialize;

use super::hooks::{Hooks, hooks};
use crate::envelope::known_members;
use crate::node::Cursor;
use crate::problem::Report;

/// The CodeDeploy deployment group that carries out deployments, by the names that CodeDeploy knows it by.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(default, deny_unknown_fields)]
pub struct CodeDeploy {
    /// `AppECS-` with the names of cluster and service, as the AWS console calls it, unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 100))]
    pub application: Option<String>,
    /// `DgpECS-` with the names of cluster and service unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 100))]
    pub deployment_group: Option<String>,
    /// How traffic moves: `CodeDeployDefault.ECSCanary10Percent5Minutes`, or one of your own. The group's unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 100))]
    pub deployment_config: Option<String>,
    /// The functions that validate a deployment, by lifecycle event: the hooks of its AppSpec.
    #[serde(skip_serializing_if = "Hooks::is_empty")]
    pub hooks: Hooks,
}

const MEMBERS: [&str; 4] = ["application", "deploymentGroup", "deploymentConfig", "hooks"];

/// Reads `spec.rollout.codeDeploy`.
pub(crate) fn code_deploy(rollout: &Cursor<'_>, report: &mut Report) -> CodeDeploy {
    let Some(at) = rollout.member("codeDeploy") else { return CodeDeploy::default() };
    known_members(&at, &MEMBERS, |_| false, report);
    let mut named = |member: &str| at.member(member).and_then(|at| name(&at, report));
    CodeDeploy {
        application: named("application"),
        deployment_group: named("deploymentGroup"),
        deployment_config: named("deploymentConfig"),
        hooks: at.member("hooks").map(|at| hooks(&at, report)).unwrap_or_default(),
    }
}

/// Source of the bounds: `CreateDeployment` API reference.
fn name(at: &Cursor<'_>, report: &mut Report) -> Option<String> {
    let name = at.text().filter(|text| (1..=100).contains(&text.chars().count()));
    if name.is_none() {
        report.error(at, "expected a name of 1 to 100 characters");
    }
    name.map(str::to_owned)
}
