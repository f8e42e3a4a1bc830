//! Task sets of a service with an EXTERNAL controller, in ECS's own words; never who gets which traffic.

use std::sync::OnceLock;

use evenkeel_manifest::canonical;
use serde::Deserialize;
use serde_json::Value;

use crate::{Call, Deployment, ObservedService};

/// `services[].taskSets[]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskSet {
    #[serde(default)]
    pub task_set_arn: String,
    /// What its tasks are started from: a task set has the members of a deployment. Its status is `PRIMARY`,
    /// `ACTIVE`, `DRAINING`, or a newer word.
    #[serde(flatten)]
    pub deployment: Deployment,
    #[serde(skip)]
    content: Content,
}

/// What follows from the rest, once it was asked for.
#[derive(Debug, Default)]
struct Content(OnceLock<Value>);

impl Clone for Content {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl PartialEq for Content {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// The mark in `externalId` of a task set that Evenkeel made.
pub(crate) const EXTERNAL_ID: &str = "evenkeel";

impl TaskSet {
    pub(crate) fn id(&self) -> &str {
        &self.deployment.id
    }

    pub(crate) fn runs(&self, definition: &str) -> bool {
        self.deployment.task_definition == definition
    }

    pub(crate) fn is_primary(&self) -> bool {
        self.deployment.status == "PRIMARY"
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.deployment.status == "DRAINING"
    }

    pub(crate) fn is_ours(&self) -> bool {
        self.deployed_by() == Some(EXTERNAL_ID)
    }

    /// The id of CodeDeploy's deployment that made it; of one that CodeDeploy did not make, whatever its maker wrote.
    pub(crate) fn deployed_by(&self) -> Option<&str> {
        self.member("externalId").and_then(Value::as_str)
    }

    /// The same, of one that CodeDeploy made.
    pub(crate) fn code_deployment(&self) -> Option<&str> {
        self.deployed_by().filter(|id| id.starts_with("d-"))
    }

    pub(crate) fn is_made_by_code_deploy(&self) -> bool {
        self.code_deployment().is_some()
    }

    /// As ECS says: all tasks run and are healthy.
    pub(crate) fn is_steady(&self) -> bool {
        self.member("stabilityStatus").and_then(Value::as_str) == Some("STEADY_STATE")
    }

    /// In percent of the service's desired count.
    pub(crate) fn scale(&self) -> f64 {
        let value = self.member("scale").and_then(|scale| scale.get("value")?.as_f64());
        value.unwrap_or(100.0)
    }

    /// The ARN of its target group; a task set has one at most.
    pub(crate) fn target_group(&self) -> Option<&str> {
        self.member("loadBalancers")?.get(0)?.get("targetGroupArn")?.as_str()
    }

    pub(crate) fn is_in(&self, group: &str) -> bool {
        self.target_group() == Some(group)
    }

    /// Its members as [`canonical::service`] writes them; others have AWS's defaults.
    pub(crate) fn content(&self) -> &Value {
        let member = |name: &&'static str| Some(((*name).to_owned(), self.member(name)?.clone()));
        let members = || canonical::task_set_members().iter().filter_map(member).collect();
        self.content.0.get_or_init(|| canonical::service(&members()))
    }

    pub(crate) fn member(&self, name: &str) -> Option<&Value> {
        self.deployment.rest.get(name)
    }
}

impl ObservedService {
    /// Whether this look is not older than a call about its task sets; true for any other call.
    pub fn shows_its_task_sets_after(&self, call: &Call) -> bool {
        let named = |input: &Value, member: &str| {
            let id = input.get(member)?.as_str()?;
            self.task_sets.iter().find(|set| set.id() == id)
        };
        match call {
            Call::CreateTaskSet { input } => {
                let definition = input.get("taskDefinition").and_then(Value::as_str);
                self.task_sets.iter().any(|set| definition.is_some_and(|arn| set.runs(arn)))
            }
            Call::UpdateTaskSet { input } => {
                let scale = input.pointer("/scale/value").and_then(Value::as_f64);
                let is_scaled =
                    |set: &TaskSet| scale.is_none_or(|scale| (set.scale() - scale).abs() < 1e-3);
                named(input, "taskSet").is_none_or(is_scaled)
            }
            Call::UpdateServicePrimaryTaskSet { input } => {
                named(input, "primaryTaskSet").is_none_or(TaskSet::is_primary)
            }
            Call::DeleteTaskSet { input, .. } => {
                named(input, "taskSet").is_none_or(TaskSet::is_draining)
            }
            _ => true,
        }
    }
}
