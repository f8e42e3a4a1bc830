//! What AWS reported about one service, in ECS's own words; never holds a conclusion.

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use evenkeel_manifest::{Digest, Document, Gate, canonical};
use jiff::Timestamp;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::epoch;
use crate::{
    CodeDeploy, Depth, Evaluated, Fact, LoadBalancing, Series, TaskSet, Unknown, Verification,
    WebhookAnswer,
};

/// One look at one service. Facts that were not asked for are `Unknown(NotAsked)`.
///
/// It can be written and read again: all that AWS said is the same then, and the rest was not asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Observed {
    /// When the look began, by AWS's clock.
    pub at: Timestamp,
    /// How long it lasted: what it shows was so at its end, and perhaps not before.
    #[serde(default)]
    pub took: Duration,
    pub depth: Depth,
    /// `Absent` when `DescribeServices` says MISSING; an INACTIVE service is `Known`.
    pub service: Fact<ObservedService>,
    /// The revision in use, and any revision found to have the digest that was asked for; else the newest two that carry it
    /// as their tag.
    pub task_definitions: Fact<Vec<TaskDefinition>>,
    /// The digest that the family was searched for: only then does a revision that is not among
    /// `task_definitions` not exist. `None` when it was not searched.
    pub searched: Option<Digest>,
    /// Newest first; deep only.
    pub service_deployments: Fact<Vec<ServiceDeployment>>,
    /// The source and target revisions of those deployments and of those asked for; deep only.
    pub service_revisions: Fact<Vec<ServiceRevision>>,
    /// Running, and stopped within the last hour; deep only.
    pub tasks: Fact<Vec<Task>>,
    /// Deep only.
    pub target_groups: Fact<Vec<TargetGroupHealth>>,
    /// Deep only, and only when what moves traffic is about to start.
    pub load_balancing: Fact<LoadBalancing>,
    /// Deep only, and only of a service that CodeDeploy deploys; `Absent` when the application or the deployment group
    /// does not exist.
    pub code_deploy: Fact<CodeDeploy>,
    /// Deep only; a name that was asked for and is not listed does not exist.
    pub alarms: Fact<Vec<Alarm>>,
    /// Deep only, and only while something is measured; one without data may be missing.
    pub metrics: Fact<Vec<Series>>,
    /// The end of the last minute that metrics were asked for: only before it is a minute without data one without data.
    /// `None` when nothing was measured.
    #[serde(default)]
    pub measured_until: Option<Timestamp>,
    /// As `metrics`; never from AWS.
    #[serde(skip, default = "not_asked")]
    pub expressions: Fact<Vec<Evaluated>>,
    /// Deep only, and only at a gate; never from AWS.
    #[serde(skip, default = "not_asked")]
    pub webhooks: Fact<Vec<WebhookAnswer>>,
    /// Deep only, and only when new content is about to start; not asked unless the configuration says so.
    #[serde(skip, default = "not_asked")]
    pub verified: Fact<Verification>,
}

impl Observed {
    /// A look in which nothing was asked.
    pub fn unasked(at: Timestamp, depth: Depth) -> Self {
        Self {
            at,
            took: Duration::ZERO,
            depth,
            service: Fact::Unknown(Unknown::NotAsked),
            task_definitions: Fact::Unknown(Unknown::NotAsked),
            searched: None,
            service_deployments: Fact::Unknown(Unknown::NotAsked),
            service_revisions: Fact::Unknown(Unknown::NotAsked),
            tasks: Fact::Unknown(Unknown::NotAsked),
            target_groups: Fact::Unknown(Unknown::NotAsked),
            load_balancing: Fact::Unknown(Unknown::NotAsked),
            code_deploy: Fact::Unknown(Unknown::NotAsked),
            alarms: Fact::Unknown(Unknown::NotAsked),
            metrics: Fact::Unknown(Unknown::NotAsked),
            measured_until: None,
            expressions: Fact::Unknown(Unknown::NotAsked),
            webhooks: Fact::Unknown(Unknown::NotAsked),
            verified: Fact::Unknown(Unknown::NotAsked),
        }
    }
}

fn not_asked<T>() -> Fact<T> {
    Fact::Unknown(Unknown::NotAsked)
}

/// A member of an AWS reply that does not have the expected shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadError(pub String);

impl std::fmt::Display for ReadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ReadError {}

/// `DescribeServices.services[]`; written as the document that it is, and read as AWS's reply is.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(remote = "Self", rename_all = "camelCase")]
pub struct ObservedService {
    pub service_arn: String,
    #[serde(default)]
    pub cluster_arn: String,
    /// `ACTIVE`, `DRAINING`, `INACTIVE`.
    pub status: String,
    #[serde(default)]
    pub desired_count: u32,
    #[serde(default)]
    pub running_count: u32,
    #[serde(default)]
    pub pending_count: u32,
    #[serde(default)]
    pub task_definition: Option<String>,
    #[serde(default)]
    pub deployments: Vec<Deployment>,
    /// Of a service with an EXTERNAL controller, which has no deployments.
    #[serde(default)]
    pub task_sets: Vec<TaskSet>,
    #[serde(default, deserialize_with = "tag_list")]
    pub tags: BTreeMap<String, String>,
    /// The whole reply in AWS's camelCase, for comparing fields; timestamps are epoch seconds.
    #[serde(skip)]
    pub document: ServiceDocument,
}

impl ObservedService {
    /// Reads one element of `DescribeServices.services` (JSON, AWS's camelCase).
    pub fn read(value: &Value) -> Result<Self, ReadError> {
        // The derived one, which is no trait's.
        let read = Self::deserialize(value);
        let mut service = read.map_err(|error| ReadError(error.to_string()))?;
        service.launchers().try_for_each(|one| fits_a_tag("a deployment", &one.id))?;
        service.document = ServiceDocument::new(value.clone());
        Ok(service)
    }

    /// What its tasks are started from: deployments, or task sets.
    pub fn launchers(&self) -> impl Iterator<Item = &Deployment> {
        self.deployments.iter().chain(self.task_sets.iter().map(|set| &set.deployment))
    }

    /// Whether somebody else than ECS carries out deployments, with task sets: it has no service deployments.
    pub fn has_task_sets(&self) -> bool {
        ["EXTERNAL", "CODE_DEPLOY"].contains(&self.controller())
    }

    /// ECS's word for who carries out deployments.
    pub(crate) fn controller(&self) -> &str {
        self.document.pointer("/deploymentController/type").and_then(Value::as_str).unwrap_or("ECS")
    }
}

impl Serialize for ObservedService {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let document: &Value = &self.document;
        document.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for ObservedService {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let document = Value::deserialize(deserializer)?;
        Self::read(&document).map_err(D::Error::custom)
    }
}

/// One element of `DescribeServices.services`; its canonical form is made once, however often a pass
/// asks for it.
#[derive(Clone, Debug, Default)]
pub struct ServiceDocument(Arc<Shown>);

#[derive(Clone, Debug, Default)]
struct Shown {
    value: Value,
    canonical: OnceLock<Value>,
}

impl ServiceDocument {
    pub fn new(value: Value) -> Self {
        Self(Arc::new(Shown { value, canonical: OnceLock::new() }))
    }

    /// Its members that `CreateService` has, as [`canonical::service`] writes them.
    pub(crate) fn canonical(&self) -> &Value {
        self.0.canonical.get_or_init(|| canonical::service(&self.0.value))
    }
}

impl Deref for ServiceDocument {
    type Target = Value;

    fn deref(&self) -> &Value {
        &self.0.value
    }
}

impl DerefMut for ServiceDocument {
    fn deref_mut(&mut self) -> &mut Value {
        let shown = Arc::make_mut(&mut self.0);
        shown.canonical.take();
        &mut shown.value
    }
}

impl PartialEq for ServiceDocument {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0.value == other.0.value
    }
}

/// How new an answer about a service is: one with a smaller version is from the past. AWS gives no
/// other order among answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Version {
    /// `createdAt` of the PRIMARY deployment: every new one is younger.
    created_at: Timestamp,
    /// Its `updatedAt`.
    updated_at: Timestamp,
}

impl ObservedService {
    /// `None` where the server does not say when deployments were made.
    pub fn version(&self) -> Option<Version> {
        self.deployments.iter().find(|one| one.status == "PRIMARY")?.version()
    }

    /// Whether it is not older than an answer with that version although its PRIMARY deployment is: the
    /// one of then is listed, and traffic went back from it to the one before.
    pub fn has_turned_back_from(&self, newest: Version) -> bool {
        let is_listed = |one: &Deployment| {
            one.status != "PRIMARY" && one.created_at.is_some_and(|at| at >= newest.created_at)
        };
        self.version().is_some_and(|own| own < newest) && self.deployments.iter().any(is_listed)
    }
}

impl Deployment {
    pub(crate) fn read(value: &Value) -> Result<Self, ReadError> {
        read(value)
    }

    pub(crate) fn version(&self) -> Option<Version> {
        let created_at = self.created_at?;
        Some(Version { created_at, updated_at: self.updated_at.unwrap_or(created_at) })
    }
}

/// `services[].deployments[]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Deployment {
    /// `ecs-svc/` and 19 or 20 digits.
    pub id: String,
    /// `PRIMARY`, `ACTIVE`, `INACTIVE`, or a newer word.
    pub status: String,
    #[serde(default)]
    pub task_definition: String,
    #[serde(default, alias = "computedDesiredCount")]
    pub desired_count: u32,
    #[serde(default)]
    pub pending_count: u32,
    #[serde(default)]
    pub running_count: u32,
    #[serde(default)]
    pub failed_tasks: u32,
    #[serde(default, with = "epoch")]
    pub created_at: Option<Timestamp>,
    #[serde(default, with = "epoch")]
    pub updated_at: Option<Timestamp>,
    /// `IN_PROGRESS`, `COMPLETED`, `FAILED`, or absent.
    #[serde(default)]
    pub rollout_state: Option<String>,
    #[serde(default)]
    pub rollout_state_reason: Option<String>,
    /// All other members.
    #[serde(flatten)]
    pub rest: BTreeMap<String, Value>,
}

/// A revision of a task definition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskDefinition {
    pub arn: String,
    /// `ACTIVE`, `INACTIVE`, `DELETE_IN_PROGRESS`.
    pub status: String,
    /// The digest of its canonical content, computed from the content and not read from the tag.
    pub digest: Digest,
    /// The digest tag it carries, if any.
    pub digest_tag: Option<Digest>,
    /// Its content, on a deep look, as it would be registered: with the tags that neither AWS nor Evenkeel wrote.
    pub document: Option<Document>,
}

impl TaskDefinition {
    /// The content that a reply of `DescribeTaskDefinition` tells of, with the tags beside it that are its author's.
    pub fn content(reply: &Value) -> Option<Value> {
        let mut content = reply.get("taskDefinition")?.as_object()?.clone();
        let key = |tag: &Value| tag.get("key").and_then(Value::as_str).map(str::to_owned);
        let is_theirs = |tag: &&Value| {
            key(tag).is_some_and(|key| !key.starts_with("aws:") && !key.starts_with("evenkeel:"))
        };
        let tags = reply.get("tags").and_then(Value::as_array).into_iter().flatten();
        let tags: Vec<Value> = tags.filter(is_theirs).cloned().collect();
        if !tags.is_empty() {
            content.insert("tags".to_owned(), tags.into());
        }
        Some(Value::Object(content))
    }
}

/// `DescribeServiceDeployments.serviceDeployments[]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceDeployment {
    pub service_deployment_arn: String,
    /// `PENDING`, `IN_PROGRESS`, `SUCCESSFUL`, `STOPPED`, `STOP_REQUESTED`, `ROLLBACK_REQUESTED`,
    /// `ROLLBACK_IN_PROGRESS`, `ROLLBACK_SUCCESSFUL`, `ROLLBACK_FAILED`, or a newer word.
    pub status: String,
    #[serde(default)]
    pub status_reason: Option<String>,
    #[serde(default, with = "epoch")]
    pub created_at: Option<Timestamp>,
    #[serde(default, with = "epoch")]
    pub finished_at: Option<Timestamp>,
    #[serde(default)]
    pub target_service_revision: Option<RevisionCounts>,
    #[serde(default)]
    pub source_service_revisions: Vec<RevisionCounts>,
    #[serde(default, with = "epoch")]
    pub updated_at: Option<Timestamp>,
    /// `SCALE_UP`, `PRE_PRODUCTION_TRAFFIC_SHIFT`, `BAKE_TIME`, …, or a newer word.
    #[serde(default)]
    pub lifecycle_stage: Option<String>,
    /// The hooks of this stage.
    #[serde(default)]
    pub lifecycle_hook_details: Vec<HookDetail>,
    /// What it was begun with: `{strategy, canaryConfiguration, …}`.
    #[serde(default)]
    pub deployment_configuration: Option<Value>,
    /// `{reason, startedAt, serviceRevisionArn}` once a rollback began.
    #[serde(default)]
    pub rollback: Option<Value>,
    /// `{status, failureCount, threshold}`.
    #[serde(default)]
    pub deployment_circuit_breaker: Option<Value>,
    /// `{status, alarmNames, triggeredAlarmNames}`.
    #[serde(default)]
    pub alarms: Option<Value>,
}

impl ServiceDeployment {
    pub fn read(value: &Value) -> Result<Self, ReadError> {
        read(value)
    }

    /// Whether it moves traffic between two revisions.
    pub(crate) fn shifts(&self) -> bool {
        self.strategy().is_some_and(|strategy| strategy != "ROLLING")
    }

    pub(crate) fn strategy(&self) -> Option<&str> {
        self.deployment_configuration.as_ref()?.get("strategy")?.as_str()
    }

    pub(crate) fn stage(&self) -> &str {
        self.lifecycle_stage.as_deref().unwrap_or("no stage yet")
    }

    /// The gate in this stage; `None` where Evenkeel has none.
    pub(crate) fn gate(&self) -> Option<Gate> {
        Gate::in_stage(self.stage())
    }

    /// What the new revision gets of production traffic, in percent.
    pub(crate) fn target_share(&self) -> f64 {
        let target = self.target_service_revision.as_ref();
        target.and_then(|target| target.requested_production_traffic_weight).unwrap_or(0.0)
    }

    /// How long ECS stays at a step before the last.
    pub(crate) fn step_bake(&self) -> Duration {
        let configuration = self.deployment_configuration.as_ref();
        let minutes = configuration.and_then(|configuration| {
            let canary = configuration.pointer("/canaryConfiguration/canaryBakeTimeInMinutes");
            let linear = configuration.pointer("/linearConfiguration/stepBakeTimeInMinutes");
            canary.or(linear)?.as_u64()
        });
        Duration::from_mins(minutes.unwrap_or(0).min(1440))
    }

    /// Whether nothing more comes of it.
    pub(crate) fn is_over(&self) -> bool {
        ["SUCCESSFUL", "STOPPED", "ROLLBACK_SUCCESSFUL", "ROLLBACK_FAILED"]
            .contains(&self.status.as_str())
    }
}

/// One element of `lifecycleHookDetails`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HookDetail {
    #[serde(default)]
    pub hook_id: String,
    /// `AWS_LAMBDA`, `PAUSE`, or a newer word.
    #[serde(default)]
    pub target_type: Option<String>,
    /// `AWAITING_ACTION`, `IN_PROGRESS`, `SUCCEEDED`, `FAILED`, `TIMED_OUT`, or a newer word.
    #[serde(default)]
    pub status: Option<String>,
    #[serde(default, with = "epoch")]
    pub expires_at: Option<Timestamp>,
}

impl HookDetail {
    /// A pause whose answer is awaited, or a function that has not answered.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.status.as_deref(), Some("AWAITING_ACTION" | "IN_PROGRESS"))
    }

    pub(crate) fn awaits_a_word(&self) -> bool {
        self.status.as_deref() == Some("AWAITING_ACTION") && !self.hook_id.is_empty()
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RevisionCounts {
    pub arn: String,
    #[serde(default)]
    pub requested_task_count: u32,
    #[serde(default)]
    pub running_task_count: u32,
    #[serde(default)]
    pub pending_task_count: u32,
    /// In percent; absent where no traffic is moved.
    #[serde(default)]
    pub requested_production_traffic_weight: Option<f64>,
    #[serde(default)]
    pub requested_test_traffic_weight: Option<f64>,
}

/// `DescribeServiceRevisions.serviceRevisions[]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceRevision {
    pub service_revision_arn: String,
    #[serde(default)]
    pub task_definition: String,
    /// All other members, in AWS's camelCase.
    #[serde(flatten)]
    pub rest: BTreeMap<String, Value>,
}

impl ServiceRevision {
    pub fn read(value: &Value) -> Result<Self, ReadError> {
        read(value)
    }
}

/// `DescribeTasks.tasks[]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Task {
    pub task_arn: String,
    #[serde(default)]
    pub task_definition_arn: String,
    /// The id of the deployment that started it.
    #[serde(default)]
    pub started_by: Option<String>,
    #[serde(default)]
    pub last_status: String,
    #[serde(default)]
    pub desired_status: String,
    #[serde(default)]
    pub health_status: Option<String>,
    #[serde(default)]
    pub stop_code: Option<String>,
    #[serde(default)]
    pub stopped_reason: Option<String>,
    #[serde(default)]
    pub availability_zone: Option<String>,
    /// `FARGATE`, `FARGATE_SPOT`, or one of instances; `None` of a task with a launch type.
    #[serde(default)]
    pub capacity_provider_name: Option<String>,
    #[serde(default, with = "epoch")]
    pub created_at: Option<Timestamp>,
    /// When it began to pull its images: at the latest then it has a place to run.
    #[serde(default, with = "epoch")]
    pub pull_started_at: Option<Timestamp>,
    #[serde(default, with = "epoch")]
    pub started_at: Option<Timestamp>,
    #[serde(default, with = "epoch")]
    pub stopping_at: Option<Timestamp>,
    #[serde(default, with = "epoch")]
    pub stopped_at: Option<Timestamp>,
    #[serde(default)]
    pub containers: Vec<Container>,
    /// The elastic network interface, among others: `[{type, details: [{name, value}]}]`.
    #[serde(default)]
    pub attachments: Arc<[Value]>,
}

impl Task {
    pub fn read(value: &Value) -> Result<Self, ReadError> {
        let task: Self = read(value)?;
        fits_a_tag("a task", crate::view::last_part(&task.task_arn))?;
        Ok(task)
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Container {
    #[serde(default)]
    pub name: String,
    #[serde(default)]
    pub last_status: Option<String>,
    #[serde(default)]
    pub health_status: Option<String>,
    #[serde(default)]
    pub exit_code: Option<i64>,
    #[serde(default)]
    pub reason: Option<String>,
    #[serde(default)]
    pub image: Option<String>,
}

/// The health of one target group's targets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetGroupHealth {
    pub arn: String,
    pub targets: Vec<TargetHealth>,
}

/// One element of `DescribeTargetHealth.TargetHealthDescriptions`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetHealth {
    /// An IP address or an instance id.
    pub id: String,
    pub port: Option<u16>,
    /// `initial`, `healthy`, `unhealthy`, `unused`, `draining`, `unavailable`, or a newer word.
    pub state: String,
    pub reason: Option<String>,
    pub description: Option<String>,
}

/// A `CloudWatch` alarm.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alarm {
    pub name: String,
    /// `OK`, `ALARM`, `INSUFFICIENT_DATA`, or a newer word.
    pub state: String,
    pub reason: Option<String>,
    /// When it came into this state.
    pub since: Option<Timestamp>,
}

/// Ids are written into tags, between colons, which have room for AWS's own: 28 characters of a
/// deployment, 32 of a task.
pub(crate) fn fits_a_tag(what: &str, id: &str) -> Result<(), ReadError> {
    const ID_MAX: usize = 64;
    let is_usual = |c: char| c.is_ascii_alphanumeric() || "/_-".contains(c);
    if id.len() <= ID_MAX && !id.starts_with('-') && id.chars().all(is_usual) {
        return Ok(());
    }
    let shown: String = id.chars().take(ID_MAX).collect();
    Err(ReadError(format!("{what} with an id that is none of AWS's: {shown}")))
}

fn read<T: for<'de> Deserialize<'de>>(value: &Value) -> Result<T, ReadError> {
    T::deserialize(value).map_err(|error| ReadError(error.to_string()))
}

/// `[{key, value}]`, as ECS lists tags.
fn tag_list<'de, D: Deserializer<'de>>(d: D) -> Result<BTreeMap<String, String>, D::Error> {
    #[derive(Deserialize)]
    struct Tag {
        key: String,
        #[serde(default)]
        value: String,
    }
    let tags = Option::<Vec<Tag>>::deserialize(d)?.unwrap_or_default();
    Ok(tags.into_iter().map(|tag| (tag.key, tag.value)).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_id_that_no_tag_could_hold_makes_a_reply_unreadable() {
        let service = |id: &str| {
            let deployment = json!({"id": id, "status": "PRIMARY", "taskDefinition": "web:1"});
            let reply = json!({
                "serviceArn": "a", "serviceName": "web", "status": "ACTIVE",
                "deployments": [deployment],
            });
            ObservedService::read(&reply)
        };
        assert_eq!(service("ecs-svc/6216346761948112104").map(|one| one.deployments.len()), Ok(1));
        for id in ["9".repeat(65), "evenkeel:digest".to_owned(), "-7".to_owned()] {
            let error = service(&id).unwrap_err();
            assert!(error.0.contains("a deployment with an id that is none of AWS's"), "{error}");
        }
        assert!(Task::read(&json!({"taskArn": format!("task/{}", "f".repeat(65))})).is_err());
        assert!(Task::read(&json!({"taskArn": format!("task/{}", "f".repeat(32))})).is_ok());
    }
}
