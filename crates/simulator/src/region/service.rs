//! Services: what they are, creation, deletion and listing; never how their tasks move.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::identifiers::last_part;
use super::input::{described, given, invalid, list, map_of, page, paged, required, texts};
use super::service_deployment::ServiceDeployment;
use super::strategy::{Hook, Strategy};
use super::tags::{self, Tags};
use super::task_definition::TaskContent;
use super::task_set::NewTaskSet;
use super::{ApiError, State, TaskId, Timer, count, flag, read_back, text, validation};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ServiceId(pub(crate) u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ServiceStatus {
    Active,
    Draining,
    Inactive,
}

#[derive(Clone, Debug)]
pub(crate) struct Service {
    pub(crate) id: ServiceId,
    pub(crate) name: String,
    pub(crate) cluster: String,
    pub(crate) arn: String,
    pub(crate) status: ServiceStatus,
    /// `ECS`, `CODE_DEPLOY` or `EXTERNAL`.
    pub(crate) controller: String,
    pub(crate) desired: u32,
    pub(crate) configuration: Configuration,
    pub(crate) grace: Duration,
    /// The members that are not part of a service revision, as read back.
    pub(crate) settings: Map<String, Value>,
    /// The members of the next service revision, as declared.
    pub(crate) spec: Map<String, Value>,
    /// PRIMARY first, then from newest to oldest.
    pub(crate) deployments: Vec<Deployment>,
    /// Of a service that another controller than ECS deploys.
    pub(crate) task_sets: Vec<super::task_set::TaskSet>,
    /// Oldest first.
    pub(crate) rollouts: Vec<ServiceDeployment>,
    pub(crate) revisions: BTreeMap<u64, Arc<Revision>>,
    /// The most recent deployment in state COMPLETED: what a rollback returns to.
    pub(crate) last_completed: Option<(u64, Arc<Revision>)>,
    /// All tasks that are still described, stopped ones too.
    pub(crate) tasks: BTreeSet<TaskId>,
    pub(crate) events: VecDeque<ServiceEvent>,
    pub(crate) tags: Tags,
    pub(crate) created_at: Timestamp,
    /// What CreateService was given, to recognise a repetition.
    created_with: Value,
    pub(crate) next_look: Option<Timestamp>,
    pub(crate) steady: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct ServiceEvent {
    pub(crate) id: String,
    pub(crate) at: Timestamp,
    pub(crate) message: String,
}

/// An immutable snapshot of what a deployment runs.
#[derive(Debug)]
pub(crate) struct Revision {
    pub(crate) number: u64,
    pub(crate) arn: String,
    pub(crate) created_at: Timestamp,
    pub(crate) task_definition: Arc<TaskContent>,
    pub(crate) members: Map<String, Value>,
    pub(crate) load_balancers: Vec<LoadBalancer>,
}

#[derive(Clone, Debug)]
pub(crate) struct LoadBalancer {
    /// The one of the groups that the tasks of this revision are in.
    pub(crate) target_group: String,
    pub(crate) port: u16,
    /// Where traffic shifts between two groups.
    pub(crate) listeners: Option<Listeners>,
}

/// `advancedConfiguration`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listeners {
    /// As declared, the alternate one last.
    pub(crate) groups: [String; 2],
    pub(crate) production_rule: String,
    pub(crate) test_rule: Option<String>,
}

impl Listeners {
    fn read(entry: &Value) -> Option<Self> {
        let advanced = given(entry, "advancedConfiguration")?;
        let own = |of: &Value, name: &str| text(of, name).map(str::to_owned);
        Some(Self {
            groups: [own(entry, "targetGroupArn")?, own(advanced, "alternateTargetGroupArn")?],
            production_rule: own(advanced, "productionListenerRule")?,
            test_rule: own(advanced, "testListenerRule"),
        })
    }

    pub(crate) fn other_than(&self, group: &str) -> &str {
        let [declared, alternate] = &self.groups;
        if declared == group { alternate } else { declared }
    }
}

impl Revision {
    pub(crate) fn fargate(&self) -> bool {
        let fargate =
            |value: &Value| value.as_str().is_some_and(|name| name.starts_with("FARGATE"));
        self.members.get("launchType").is_some_and(fargate)
            || self
                .members
                .get("capacityProviderStrategy")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .filter_map(|item| item.get("capacityProvider"))
                .any(fargate)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rollout {
    InProgress,
    Completed,
    Failed,
}

#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts of a deployment")]
pub(crate) struct Deployment {
    pub(crate) id: u64,
    pub(crate) revision: Arc<Revision>,
    pub(crate) desired: u32,
    pub(crate) failed_tasks: u32,
    /// What ECS's breaker counts.
    pub(crate) failure_count: u32,
    pub(crate) rollout: Rollout,
    pub(crate) reason: String,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
    /// The service deployment that it belongs to.
    pub(crate) part_of: u64,
    pub(crate) has_completed: bool,
    /// One of its tasks has been RUNNING: stage 2 of the breaker.
    pub(crate) has_run: bool,
    pub(crate) start_failures: usize,
    pub(crate) no_start_before: Option<Timestamp>,
    pub(crate) bake_until: Option<Timestamp>,
    /// An alarm was red when it began.
    pub(crate) alarms_ignored: bool,
    pub(crate) trip_pending: bool,
    pub(crate) stuck_reported: bool,
    pub(crate) placement_reported: bool,
}

impl Deployment {
    pub(crate) fn started_by(&self) -> String {
        deployment_name(self.id)
    }
}

pub(crate) fn deployment_name(id: u64) -> String {
    format!("ecs-svc/{id}")
}

/// `deploymentConfiguration`, as read back and as the scheduler reads it.
#[derive(Clone, Debug)]
pub(crate) struct Configuration {
    pub(crate) document: Value,
    pub(crate) least: u32,
    pub(crate) most: u32,
    pub(crate) bake: Duration,
    pub(crate) strategy: Strategy,
    pub(crate) hooks: Vec<Hook>,
    pub(crate) breaker: Breaker,
    pub(crate) alarms: Option<Alarms>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Breaker {
    pub(crate) enabled: bool,
    pub(crate) rollback: bool,
    pub(crate) reset_on_healthy: bool,
    pub(crate) threshold: Threshold,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Threshold {
    Count(u32),
    BoundedPercent(u32),
    UnboundedPercent(u32),
}

#[derive(Clone, Debug)]
pub(crate) struct Alarms {
    pub(crate) names: Vec<String>,
    pub(crate) rollback: bool,
}

impl Configuration {
    pub(crate) fn read(document: Value) -> Result<Self, ApiError> {
        validation::deployment_configuration(&document)?;
        let null = Value::Null;
        let breaker = document.get("deploymentCircuitBreaker").unwrap_or(&null);
        let threshold = breaker.get("thresholdConfiguration").unwrap_or(&null);
        let value = count(threshold, "value").unwrap_or(50);
        let breaker = Breaker {
            enabled: flag(breaker, "enable").unwrap_or(false),
            rollback: flag(breaker, "rollback").unwrap_or(false),
            reset_on_healthy: flag(breaker, "resetOnHealthyTask").unwrap_or(true),
            threshold: match text(threshold, "type") {
                Some("COUNT") => Threshold::Count(value),
                Some("UNBOUNDED_PERCENT") => Threshold::UnboundedPercent(value),
                _ => Threshold::BoundedPercent(value),
            },
        };
        let alarms = given(&document, "alarms")
            .filter(|alarms| flag(alarms, "enable") == Some(true))
            .map(|alarms| Alarms {
                names: texts(alarms, "alarmNames").map(str::to_owned).collect(),
                rollback: flag(alarms, "rollback").unwrap_or(false),
            });
        let minutes = count(&document, "bakeTimeInMinutes").unwrap_or(0);
        Ok(Self {
            least: count(&document, "minimumHealthyPercent").unwrap_or(100),
            most: count(&document, "maximumPercent").unwrap_or(200),
            bake: Duration::from_mins(minutes.into()),
            strategy: Strategy::read(&document)?,
            hooks: Hook::read_all(&document)?,
            breaker,
            alarms,
            document,
        })
    }
}

pub(crate) fn not_found() -> ApiError {
    ApiError::client("ServiceNotFoundException", "Service not found.")
}

/// The members that make up a service revision.
pub(crate) const REVISION_MEMBERS: [&str; 10] = [
    "taskDefinition",
    "launchType",
    "capacityProviderStrategy",
    "platformVersion",
    "networkConfiguration",
    "loadBalancers",
    "serviceRegistries",
    "serviceConnectConfiguration",
    "volumeConfigurations",
    "vpcLatticeConfigurations",
];

impl State {
    pub(crate) fn create_service(&mut self, input: &Value) -> Result<Value, ApiError> {
        let name = required(input, "serviceName")?.to_owned();
        validation::name("Service name", &name)?;
        validation::client_token(input)?;
        let cluster = self.cluster_name(input)?;
        if let Some(existing) = self.existing_service(&cluster, &name, input)? {
            return Ok(json!({"service": self.read_service(existing, true)}));
        }
        let service = self.new_service(name, cluster, input)?;
        let id = service.id;
        self.names.insert((service.cluster.clone(), service.name.clone()), id);
        let content = text(input, "taskDefinition").map(|name| self.usable_revision(name));
        let by_task_sets = service.controller != "ECS";
        let members = service.spec.clone();
        self.services.insert(id, service);
        match content {
            Some(content) if by_task_sets => {
                self.add_task_set(id, NewTaskSet::first(content?, members))?;
            }
            Some(content) => self.start_deployment(id, &content?),
            None => {}
        }
        let service = self.services.get(&id).ok_or_else(not_found)?;
        Ok(json!({"service": self.read_service(service, true)}))
    }

    fn existing_service(
        &self,
        cluster: &str,
        name: &str,
        input: &Value,
    ) -> Result<Option<&Service>, ApiError> {
        let Some(id) = self.names.get(&(cluster.to_owned(), name.to_owned())) else {
            return Ok(None);
        };
        match self.services.get(id) {
            Some(service) if service.status == ServiceStatus::Active => {
                if service.created_with == *input && text(input, "clientToken").is_some() {
                    Ok(Some(service))
                } else {
                    Err(invalid("Creation of service was not idempotent."))
                }
            }
            Some(service) if service.status == ServiceStatus::Draining => {
                Err(invalid("Unable to Start a service that is still Draining."))
            }
            _ => Ok(None),
        }
    }

    fn new_service(
        &mut self,
        name: String,
        cluster: String,
        input: &Value,
    ) -> Result<Service, ApiError> {
        let controller = given(input, "deploymentController")
            .and_then(|controller| text(controller, "type"))
            .unwrap_or("ECS")
            .to_owned();
        validation::created_members(input, &controller)?;
        let daemon = text(input, "schedulingStrategy") == Some("DAEMON");
        let mut document = read_back::deployment_configuration(daemon);
        read_back::merge(&mut document, input.get("deploymentConfiguration").unwrap_or(&json!({})));
        let configuration = Configuration::read(document)?;
        let spec = if controller == "EXTERNAL" {
            Map::new()
        } else {
            let content = self.usable_revision(required(input, "taskDefinition")?)?;
            let spec = self.revision_spec(input, &cluster, &content);
            validation::revision(&spec, &content, &self.elb)?;
            validation::shifting(&spec, configuration.strategy, &self.elb)?;
            check_scheduling(daemon, &spec)?;
            spec
        };
        let desired = count(input, "desiredCount");
        if desired.is_none() && !daemon {
            return Err(invalid("DesiredCount cannot be null or negative."));
        }
        let grace = count(input, "healthCheckGracePeriodSeconds").unwrap_or(0);
        Ok(Service {
            id: ServiceId(self.next_sequence()),
            arn: self.ecs_arn(&format!("service/{cluster}/{name}")),
            name,
            cluster,
            status: ServiceStatus::Active,
            controller,
            desired: desired.unwrap_or(0),
            configuration,
            grace: Duration::from_secs(grace.into()),
            settings: new_settings(input),
            spec,
            deployments: Vec::new(),
            task_sets: Vec::new(),
            rollouts: Vec::new(),
            revisions: BTreeMap::new(),
            last_completed: None,
            tasks: BTreeSet::new(),
            events: VecDeque::new(),
            tags: tags::read(input)?,
            created_at: self.now,
            created_with: input.clone(),
            next_look: None,
            steady: false,
        })
    }

    /// The members of a service revision with ECS's defaults.
    fn revision_spec(
        &self,
        input: &Value,
        cluster: &str,
        content: &TaskContent,
    ) -> Map<String, Value> {
        let mut spec = Map::new();
        for member in REVISION_MEMBERS {
            if let Some(value) = given(input, member) {
                spec.insert(member.to_owned(), value.clone());
            }
        }
        spec.insert("taskDefinition".to_owned(), json!(*content.arn));
        for member in ["loadBalancers", "serviceRegistries"] {
            spec.entry(member).or_insert_with(|| json!([]));
        }
        settle_capacity(
            &mut spec,
            self.clusters.get(cluster).and_then(|one| one.default_strategy()),
        );
        spec
    }

    pub(crate) fn delete_service(&mut self, input: &Value) -> Result<Value, ApiError> {
        let id = self.service_id(input)?;
        let force = flag(input, "force").unwrap_or(false);
        let service = self.services.get_mut(&id).ok_or_else(not_found)?;
        if service.status == ServiceStatus::Inactive {
            return Err(not_found());
        }
        if service.desired > 0 && !force {
            return Err(invalid("The service cannot be stopped while it is scaled above 0."));
        }
        service.status = ServiceStatus::Draining;
        service.desired = 0;
        self.look_soon(id);
        let service = self.services.get(&id).ok_or_else(not_found)?;
        Ok(json!({"service": self.read_service(service, false)}))
    }

    pub(crate) fn describe_services(&self, input: &Value) -> Result<Value, ApiError> {
        let cluster = self.cluster_name(input)?;
        let names = list(input, "services");
        if names.is_empty() {
            return Err(invalid("Services cannot be empty."));
        }
        if names.len() > 10 {
            return Err(invalid("Services can have at most 10 items."));
        }
        let with_tags = tags::included(input);
        let (mut services, mut failures) = (Vec::new(), Vec::new());
        for name in names.iter().filter_map(Value::as_str).map(last_part) {
            match self.service_named(&cluster, name) {
                Some(service) => services.push(self.read_service(service, with_tags)),
                None => failures.push(json!({
                    "arn": self.ecs_arn(&format!("service/{cluster}/{name}")),
                    "reason": "MISSING",
                })),
            }
        }
        Ok(described("services", services, failures))
    }

    pub(crate) fn list_services(&self, input: &Value) -> Result<Value, ApiError> {
        let cluster = self.cluster_name(input)?;
        let launch_type = text(input, "launchType");
        let strategy = text(input, "schedulingStrategy");
        let member = |map: &Map<String, Value>, name: &str, wanted: Option<&str>| {
            wanted.is_none_or(|wanted| map.get(name).and_then(Value::as_str) == Some(wanted))
        };
        let arns = self
            .names
            .range((cluster.clone(), String::new())..)
            .take_while(|((of, _), _)| *of == cluster)
            .filter_map(|(_, id)| self.services.get(id))
            .filter(|service| service.status != ServiceStatus::Inactive)
            .filter(|service| member(&service.spec, "launchType", launch_type))
            .filter(|service| member(&service.settings, "schedulingStrategy", strategy))
            .map(|service| service.arn.clone());
        let (arns, token) = page(arns, input, 10, 100)?;
        Ok(paged("serviceArns", arns.into_iter().map(Value::String).collect(), token))
    }

    /// The service that an input names by `service`, by name or ARN.
    pub(crate) fn service_id(&self, input: &Value) -> Result<ServiceId, ApiError> {
        let cluster = self.cluster_name(input)?;
        let name = last_part(required(input, "service")?).to_owned();
        self.names.get(&(cluster, name)).copied().ok_or_else(not_found)
    }

    fn service_named(&self, cluster: &str, name: &str) -> Option<&Service> {
        let id = self.names.get(&(cluster.to_owned(), name.to_owned()))?;
        self.services.get(id)
    }

    pub(crate) fn forget_service(&mut self, id: ServiceId) {
        let Some(service) = self.services.remove(&id) else { return };
        let key = (service.cluster, service.name);
        if self.names.get(&key) == Some(&id) {
            self.names.remove(&key);
        }
    }

    pub(crate) fn say(&mut self, id: ServiceId, message: impl FnOnce(&Service) -> String) {
        let event_id = self.new_uuid();
        let at = self.now;
        let Some(service) = self.services.get_mut(&id) else { return };
        let message = message(service);
        service.events.push_front(ServiceEvent { id: event_id, at, message });
        service.events.truncate(100);
    }

    /// The scheduler looks at the service as soon as it does after an API call.
    pub(crate) fn look_soon(&mut self, id: ServiceId) {
        let at = self.now + self.timings.schedule_after_call;
        self.look_at(id, at);
    }

    pub(crate) fn look_after_change(&mut self, id: ServiceId) {
        let at = self.now + self.timings.schedule_after_change;
        self.look_at(id, at);
    }

    pub(crate) fn look_at(&mut self, id: ServiceId, at: Timestamp) {
        let now = self.now;
        let Some(service) = self.services.get_mut(&id) else { return };
        if service.next_look.is_some_and(|next| next <= at && next >= now) {
            return;
        }
        service.next_look = Some(at);
        self.timers.add(at, Timer::Schedule(id));
    }
}

fn new_settings(input: &Value) -> Map<String, Value> {
    let mut settings = map_of(json!({
        "schedulingStrategy": text(input, "schedulingStrategy").unwrap_or("REPLICA"),
        "enableECSManagedTags": false,
        "enableExecuteCommand": false,
        "propagateTags": "NONE",
        "placementConstraints": [],
        "placementStrategy": [],
        "availabilityZoneRebalancing": "ENABLED",
    }));
    if text(input, "schedulingStrategy") == Some("DAEMON") {
        settings.insert("availabilityZoneRebalancing".to_owned(), json!("DISABLED"));
    }
    for member in SETTINGS {
        if let Some(value) = given(input, member) {
            settings.insert(member.to_owned(), value.clone());
        }
    }
    if let Some(role) = given(input, "role") {
        settings.insert("roleArn".to_owned(), role.clone());
    }
    settings
}

/// The members that UpdateService changes without starting a deployment.
pub(crate) const SETTINGS: [&str; 6] = [
    "enableECSManagedTags",
    "enableExecuteCommand",
    "propagateTags",
    "placementConstraints",
    "placementStrategy",
    "availabilityZoneRebalancing",
];

/// launchType is EC2 when nothing is said anywhere; a strategy excludes it.
pub(crate) fn settle_capacity(spec: &mut Map<String, Value>, default: Option<&Value>) {
    let empty = |value: &Value| value.as_array().is_some_and(Vec::is_empty);
    if spec.get("capacityProviderStrategy").is_some_and(empty) {
        spec.remove("capacityProviderStrategy");
    }
    if !spec.contains_key("launchType") && !spec.contains_key("capacityProviderStrategy") {
        match default {
            Some(strategy) => {
                spec.insert("capacityProviderStrategy".to_owned(), strategy.clone());
            }
            None => {
                spec.insert("launchType".to_owned(), json!("EC2"));
            }
        }
    }
    let fargate = spec.get("launchType") == Some(&json!("FARGATE"))
        || spec
            .get("capacityProviderStrategy")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .any(|item| {
                text(item, "capacityProvider").is_some_and(|one| one.starts_with("FARGATE"))
            });
    if fargate {
        spec.entry("platformVersion").or_insert_with(|| json!("LATEST"));
    }
}

fn check_scheduling(daemon: bool, spec: &Map<String, Value>) -> Result<(), ApiError> {
    if daemon && spec.get("launchType") == Some(&json!("FARGATE")) {
        return Err(invalid(
            "The daemon scheduling strategy is not supported for launch type FARGATE.",
        ));
    }
    if spec.contains_key("launchType") && spec.contains_key("capacityProviderStrategy") {
        return Err(invalid(
            "Specifying both a launch type and capacity provider strategy is not supported. \
             Remove one and try again.",
        ));
    }
    Ok(())
}

/// The load balancers of a revision: where traffic shifts, each is in the group that `live` is not in
/// if it `flips`, and in the same if not.
pub(crate) fn load_balancers(
    spec: &Map<String, Value>,
    live: &[LoadBalancer],
    flips: bool,
) -> Vec<LoadBalancer> {
    let entries = spec.get("loadBalancers").and_then(Value::as_array);
    let read = |entry: &Value| {
        let declared = text(entry, "targetGroupArn")?;
        let listeners = Listeners::read(entry);
        let used = listeners.as_ref().and_then(|listeners| {
            let used = live.iter().find(|one| listeners.groups.contains(&one.target_group))?;
            let used = &used.target_group;
            Some(if flips { listeners.other_than(used).to_owned() } else { used.clone() })
        });
        Some(LoadBalancer {
            target_group: used.unwrap_or_else(|| declared.to_owned()),
            port: u16::try_from(count(entry, "containerPort")?).ok()?,
            listeners,
        })
    };
    entries.into_iter().flatten().filter_map(read).collect()
}
