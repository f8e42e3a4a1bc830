//! CodeDeploy's deployment groups and deployments in its own words, and the revision that one deploys; never decides.
//!
//! Source: ecs-behaviour 6; AWS CodeDeploy User Guide, AppSpec resources and hooks for ECS.

mod events;

use std::collections::BTreeSet;

use evenkeel_manifest::{Digest, Hooks, Service, application_balancer, sha256};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::epoch;
use crate::observed::{ReadError, fits_a_tag};
use crate::tags::Memory;
use crate::{ObservedService, RolloutPhase, TaskSet};

pub use events::{Diagnostics, LifecycleEvent};

/// The deployment group of a service, and which of its deployments are asked for besides those on their way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CodeDeployQuestion {
    pub application: String,
    pub group: String,
    /// All deployments that were created since then.
    pub since: Option<Timestamp>,
    /// Deployments by id, however long ago.
    pub ids: BTreeSet<String>,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CodeDeploy {
    pub group: DeploymentGroup,
    /// In no order, each once.
    pub deployments: Vec<CodeDeployDeployment>,
}

/// `GetDeploymentGroup.deploymentGroupInfo`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeploymentGroup {
    pub application_name: String,
    pub deployment_group_name: String,
    #[serde(default)]
    pub deployment_config_name: Option<String>,
    #[serde(default)]
    pub ecs_services: Vec<EcsService>,
    /// As CodeDeploy tells it.
    #[serde(default)]
    pub load_balancer_info: Value,
    /// As CodeDeploy tells it.
    #[serde(default)]
    pub alarm_configuration: Value,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EcsService {
    #[serde(default)]
    pub service_name: String,
    #[serde(default)]
    pub cluster_name: String,
}

/// `BatchGetDeployments.deploymentsInfo[]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CodeDeployDeployment {
    /// `d-` and nine letters or digits.
    pub deployment_id: String,
    /// `Created`, `Queued`, `InProgress`, `Baking`, `Ready`, `Succeeded`, `Failed`, `Stopped`, or a newer word.
    pub status: String,
    /// `user`, `autoscaling`, `codeDeployRollback`, …
    #[serde(default)]
    pub creator: Option<String>,
    #[serde(default)]
    pub description: Option<String>,
    #[serde(default, with = "epoch")]
    pub create_time: Option<Timestamp>,
    #[serde(default, with = "epoch")]
    pub complete_time: Option<Timestamp>,
    #[serde(default)]
    pub revision: Option<Value>,
    #[serde(default)]
    pub error_information: Option<ErrorInformation>,
    #[serde(default)]
    pub rollback_info: Option<RollbackInfo>,
    /// Of its target, by `BatchGetDeploymentTargets`; empty unless it failed, and where that may not be read.
    #[serde(default)]
    pub lifecycle_events: Vec<LifecycleEvent>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorInformation {
    #[serde(default)]
    pub code: Option<String>,
    #[serde(default)]
    pub message: Option<String>,
}

/// A rollback is a deployment of its own, and each names the other.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RollbackInfo {
    #[serde(default)]
    pub rollback_deployment_id: Option<String>,
    #[serde(default)]
    pub rollback_triggering_deployment_id: Option<String>,
}

/// What is written before the digest into the description of a deployment of ours.
const OURS: &str = "evenkeel ";
/// The same of one that returns to what was proven.
const RETURN: &str = "evenkeel return ";

impl CodeDeployQuestion {
    /// `None` for a service that CodeDeploy does not deploy, or that does not exist yet.
    pub fn of(desired: &Service, service: Option<&ObservedService>) -> Option<Self> {
        let (application, group) = names(desired)?;
        let service = service?;
        let mark = Memory::read(&service.tags).rollout;
        let is_begun = |id: &&str| id.starts_with("d-");
        let id = mark.as_ref().and_then(|mark| mark.id()).filter(is_begun).map(str::to_owned);
        let is_known = mark.as_ref().is_some_and(|mark| mark.phase != RolloutPhase::RollingBack);
        let since = mark.as_ref().filter(|mark| !is_known || mark.id().is_none());
        Some(Self {
            application,
            group,
            since: since.map(|mark| a_little_before(mark.since)),
            ids: id.into_iter().chain(beside_the_primary(service)).collect(),
        })
    }
}

/// The deployments that made the task sets, where there are others than PRIMARY: what has ended without a rollback leaves the one
/// that it made, or the one that it was to replace.
fn beside_the_primary(service: &ObservedService) -> impl Iterator<Item = String> {
    let standing = || service.task_sets.iter().filter(|set| !set.is_draining());
    let is_alone = standing().all(TaskSet::is_primary);
    let made_by = standing().filter(move |_| !is_alone).filter_map(TaskSet::code_deployment);
    made_by.map(str::to_owned)
}

/// The names of application and deployment group: the manifest's, or those that the AWS console gives.
pub(crate) fn names(desired: &Service) -> Option<(String, String)> {
    let named = desired.rollout.strategy.code_deploy()?;
    let usual = |head: &str| format!("{head}-{}-{}", desired.key.cluster, desired.key.name);
    let or_usual = |name: &Option<String>, head| name.clone().unwrap_or_else(|| usual(head));
    Some((or_usual(&named.application, "AppECS"), or_usual(&named.deployment_group, "DgpECS")))
}

/// Two clocks of AWS's may differ by that much.
fn a_little_before(at: Timestamp) -> Timestamp {
    at.checked_sub(jiff::SignedDuration::from_secs(10)).unwrap_or(Timestamp::MIN)
}

impl CodeDeploy {
    pub(crate) fn deployment(&self, id: &str) -> Option<&CodeDeployDeployment> {
        self.deployments.iter().find(|one| one.deployment_id == id)
    }

    /// The one on its way; a group has one at most.
    pub(crate) fn active(&self) -> Option<&CodeDeployDeployment> {
        self.deployments.iter().find(|one| one.is_active())
    }

    /// The newest that was begun for this content since then.
    pub(crate) fn begun_for(
        &self,
        digest: &Digest,
        since: Timestamp,
    ) -> Option<&CodeDeployDeployment> {
        let since = a_little_before(since);
        let begun = self.deployments.iter().filter(|one| {
            one.is_for(digest) && one.create_time.is_none_or(|created| created >= since)
        });
        begun.max_by_key(|one| one.create_time)
    }

    /// The rollback that CodeDeploy began because of a deployment.
    pub(crate) fn rollback_of(&self, id: &str) -> Option<&CodeDeployDeployment> {
        let named = self.deployment(id).and_then(|one| one.rollback_info.as_ref());
        let named = named.and_then(|info| info.rollback_deployment_id.as_deref());
        let is_because = |one: &&CodeDeployDeployment| {
            let info = one.rollback_info.as_ref();
            let because = info.and_then(|info| info.rollback_triggering_deployment_id.as_deref());
            because == Some(id)
        };
        named
            .and_then(|id| self.deployment(id))
            .or_else(|| self.deployments.iter().find(is_because))
    }

    /// The newest of ours that returns to what was proven.
    pub(crate) fn own_return(&self, since: Timestamp) -> Option<&CodeDeployDeployment> {
        let since = a_little_before(since);
        let ours = self.deployments.iter().filter(|one| {
            one.description.as_deref().is_some_and(|text| text.starts_with(RETURN))
                && one.create_time.is_none_or(|created| created >= since)
        });
        ours.max_by_key(|one| one.create_time)
    }
}

impl DeploymentGroup {
    /// Reads `deploymentGroupInfo` (JSON, AWS's camelCase).
    pub fn read(value: &Value) -> Result<Self, ReadError> {
        Self::deserialize(value).map_err(|error| ReadError(error.to_string()))
    }

    pub(crate) fn is_called(&self, application: &str, group: &str) -> bool {
        self.application_name == application && self.deployment_group_name == group
    }

    /// The Application Load Balancer that gives production traffic to its two target groups, as metrics name it.
    pub(crate) fn balancer(&self) -> Option<&str> {
        const LISTENER: &str = "/targetGroupPairInfoList/0/prodTrafficRoute/listenerArns/0";
        application_balancer(self.load_balancer_info.pointer(LISTENER)?.as_str()?)
    }

    /// Whether it has a listener for test traffic.
    pub(crate) fn is_tested(&self) -> bool {
        const LISTENER: &str = "/targetGroupPairInfoList/0/testTrafficRoute/listenerArns/0";
        self.load_balancer_info.pointer(LISTENER).is_some_and(Value::is_string)
    }

    /// Whether an alarm ends its deployments.
    pub(crate) fn is_watched(&self) -> bool {
        let alarms = self.alarm_configuration.get("alarms").and_then(Value::as_array);
        self.alarm_configuration.get("enabled") == Some(&Value::Bool(true))
            && alarms.is_some_and(|alarms| !alarms.is_empty())
    }

    pub(crate) fn deploys(&self, desired: &Service) -> bool {
        let key = &desired.key;
        self.ecs_services
            .iter()
            .any(|one| one.service_name == key.name && one.cluster_name == key.cluster)
    }
}

impl CodeDeployDeployment {
    /// Reads one element of `deploymentsInfo` (JSON, AWS's camelCase).
    pub fn read(value: &Value) -> Result<Self, ReadError> {
        let read = Self::deserialize(value).map_err(|error| ReadError(error.to_string()))?;
        fits_a_tag("a deployment", &read.deployment_id)?;
        Ok(read)
    }

    /// What is listed exists: a description without it is from before it was made, and no answer.
    pub fn all_described(listed: &BTreeSet<String>, described: &[Self]) -> Result<(), ReadError> {
        let is_described = |id: &&String| described.iter().any(|one| one.deployment_id == **id);
        let gap = listed.iter().find(|id| !is_described(id));
        let unread = |id| ReadError(format!("{id} was listed, and is not described"));
        gap.map_or(Ok(()), |id| Err(unread(id)))
    }

    /// A newer word for a status is no end.
    pub(crate) fn is_active(&self) -> bool {
        !["Succeeded", "Failed", "Stopped"].contains(&self.status.as_str())
    }

    pub(crate) fn has_succeeded(&self) -> bool {
        self.status == "Succeeded"
    }

    /// Whether it waits for a word before it moves traffic.
    pub(crate) fn is_ready(&self) -> bool {
        self.status == "Ready"
    }

    pub(crate) fn is_for(&self, digest: &Digest) -> bool {
        self.description.as_deref().and_then(|text| text.strip_prefix(OURS))
            == Some(digest.as_str())
    }

    /// Whether Evenkeel began it, for a release or for a return.
    pub(crate) fn is_ours(&self) -> bool {
        self.description.as_deref().is_some_and(|text| text.starts_with(OURS))
    }

    pub(crate) fn is_rollback(&self) -> bool {
        self.creator.as_deref() == Some("codeDeployRollback")
    }

    /// `Stopped: ALARM_ACTIVE, one or more alarms have been activated`, and which hook failed.
    pub(crate) fn end(&self) -> String {
        let error = self.error_information.clone().unwrap_or_default();
        let said = [error.code, error.message].into_iter().flatten().collect::<Vec<_>>();
        let mut end = self.status.clone();
        if !said.is_empty() {
            end = format!("{end}: {}", said.join(", "));
        }
        if let Some(hook) = self.failed_hook() {
            end = format!("{}; {hook}", end.trim_end_matches('.'));
        }
        end
    }
}

/// What a deployment of ours says about itself, so that it is found after a lost answer.
pub(crate) fn description(digest: &Digest) -> String {
    format!("{OURS}{digest}")
}

pub(crate) fn description_of_return(definition: &str) -> String {
    format!("{RETURN}{definition}")
}

/// `CreateDeployment.revision` with the AppSpec of a task definition and these hooks.
pub(crate) fn revision(desired: &Service, definition: &str, hooks: &Hooks) -> Value {
    let content = app_spec(desired, definition, hooks).to_string();
    let sha256 = sha256(&content);
    json!({
        "revisionType": "AppSpecContent",
        "appSpecContent": {"content": content, "sha256": sha256},
    })
}

fn app_spec(desired: &Service, definition: &str, hooks: &Hooks) -> Value {
    let members = desired.service.value();
    let part = |pointer: &str| members.pointer(pointer).cloned();
    let mut properties = Map::new();
    properties.insert("TaskDefinition".to_owned(), json!(definition));
    let balancer = json!({
        "ContainerName": part("/loadBalancers/0/containerName"),
        "ContainerPort": part("/loadBalancers/0/containerPort"),
    });
    properties.insert("LoadBalancerInfo".to_owned(), balancer);
    for name in ["platformVersion", "networkConfiguration", "capacityProviderStrategy"] {
        if let Some(value) = members.get(name).filter(|value| !is_empty(value)) {
            properties.insert(capital(name), capitals(value));
        }
    }
    name_the_default(&mut properties);
    let service = json!({"Type": "AWS::ECS::Service", "Properties": properties});
    let mut spec = json!({"version": 0.0, "Resources": [{"TargetService": service}]});
    if let Some(spec) = spec.as_object_mut().filter(|_| !hooks.is_empty()) {
        let called = hooks.all().map(|(event, function)| json!({event: function}));
        spec.insert("Hooks".to_owned(), called.collect());
    }
    spec
}

/// `NetworkConfiguration` wants all of its members or none (AppSpec reference); a manifest need not name AWS's default.
fn name_the_default(properties: &mut Map<String, Value>) {
    let network = properties.get_mut("NetworkConfiguration");
    let network = network.and_then(|one| one.get_mut("AwsvpcConfiguration")?.as_object_mut());
    if let Some(network) = network {
        network.entry("AssignPublicIp").or_insert_with(|| json!("DISABLED"));
    }
}

fn is_empty(value: &Value) -> bool {
    value.as_array().is_some_and(Vec::is_empty)
}

/// The same with the members' names as the AppSpec writes them.
fn capitals(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            members.iter().map(|(name, value)| (capital(name), capitals(value))).collect()
        }
        Value::Array(elements) => elements.iter().map(capitals).collect(),
        plain => plain.clone(),
    }
}

fn capital(name: &str) -> String {
    let mut letters = name.chars();
    let first = letters.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}
