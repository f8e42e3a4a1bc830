//! Task sets of services that another controller than ECS deploys; never who gets which traffic.
//!
//! Source: reference page, sections 5 and 6.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::identifiers::last_part;
use super::input::{epoch, given, invalid, map_of, required, text, texts};
use super::service::{
    Deployment, REVISION_MEMBERS, Revision, Service, ServiceId, ServiceStatus, deployment_name,
    load_balancers, not_found, settle_capacity,
};
use super::service_reply::{Tally, concrete_platform};
use super::tags::{self, Tags};
use super::task::{StopCode, Task};
use super::task_definition::TaskContent;
use super::{ApiError, State, TaskId, flag, size, validation};

/// Source: field reports; not on the quotas page.
const MOST: usize = 5;

/// A scale of all of the service's tasks.
pub(crate) const WHOLE: u64 = 100_000;

#[derive(Clone, Debug)]
pub(crate) struct TaskSet {
    /// What its tasks are started from; not one of `deployments[]`.
    pub(crate) deployment: Deployment,
    arn: String,
    external_id: Option<String>,
    /// `CODE_DEPLOY`, if it was.
    started_by: Option<&'static str>,
    primary: bool,
    draining: bool,
    /// It was a deployment before the service left the ECS controller.
    pub(crate) was_deployment: bool,
    /// Thousandths of a percent.
    scale: u64,
    steady_since: Option<Timestamp>,
    tags: Tags,
    /// What is said twice with one client token is done once. Source: `CreateTaskSet` API reference.
    created_with: Value,
}

/// What a task set is made of.
#[derive(Debug)]
pub(crate) struct NewTaskSet {
    pub(crate) content: Arc<TaskContent>,
    /// Members of a service revision, settled.
    pub(crate) members: Map<String, Value>,
    external_id: Option<String>,
    started_by: Option<&'static str>,
    primary: bool,
    scale: u64,
    tags: Tags,
    created_with: Value,
}

impl NewTaskSet {
    /// All of the service, as CreateService makes it for CodeDeploy.
    pub(crate) fn first(content: Arc<TaskContent>, members: Map<String, Value>) -> Self {
        Self {
            content,
            members,
            external_id: None,
            started_by: None,
            primary: true,
            scale: WHOLE,
            tags: Tags::default(),
            created_with: Value::Null,
        }
    }
}

impl TaskSet {
    /// What is left of a deployment whose service was taken from the ECS controller.
    pub(crate) fn left_by_ecs(deployment: Deployment, arn: String, scale: u64) -> Self {
        Self {
            deployment,
            arn,
            external_id: None,
            started_by: None,
            primary: false,
            draining: false,
            was_deployment: true,
            scale,
            steady_since: None,
            tags: Tags::default(),
            created_with: Value::Null,
        }
    }

    pub(crate) fn is_steady(&self) -> bool {
        self.steady_since.is_some()
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining
    }

    /// computedDesiredCount: rounded up.
    pub(crate) fn wanted(&self, desired: u32) -> u32 {
        if self.draining {
            return 0;
        }
        u32::try_from((u64::from(desired) * self.scale).div_ceil(WHOLE)).unwrap_or(u32::MAX)
    }

    pub(crate) fn is_primary(&self) -> bool {
        self.primary
    }

    pub(crate) fn status(&self) -> &'static str {
        match (self.draining, self.primary) {
            (true, _) => "DRAINING",
            (false, true) => "PRIMARY",
            (false, false) => "ACTIVE",
        }
    }
}

impl Service {
    /// The deployment or task set from which tasks with this id are started.
    pub(crate) fn launcher(&self, id: u64) -> Option<&Deployment> {
        let sets = self.task_sets.iter().map(|set| &set.deployment);
        self.deployments.iter().chain(sets).find(|one| one.id == id)
    }

    pub(crate) fn launcher_mut(&mut self, id: u64) -> Option<&mut Deployment> {
        let sets = self.task_sets.iter_mut().map(|set| &mut set.deployment);
        self.deployments.iter_mut().chain(sets).find(|one| one.id == id)
    }

    pub(crate) fn primary_task_set(&self) -> Option<&TaskSet> {
        self.task_sets.iter().find(|set| set.primary)
    }

    pub(crate) fn task_set(&self, number: u64) -> Option<&TaskSet> {
        self.task_sets.iter().find(|set| set.deployment.id == number)
    }

    fn task_set_mut(&mut self, name: &str) -> Result<&mut TaskSet, ApiError> {
        let number = last_part(name).parse().ok();
        let found = self.task_sets.iter_mut().find(|set| Some(set.deployment.id) == number);
        found.ok_or_else(|| {
            ApiError::client("TaskSetNotFoundException", "The specified task set was not found.")
        })
    }
}

impl State {
    fn external_service(&self, input: &Value) -> Result<ServiceId, ApiError> {
        let id = self.service_id(input)?;
        let service = self.services.get(&id).ok_or_else(not_found)?;
        if service.status != ServiceStatus::Active {
            return Err(ApiError::client("ServiceNotActiveException", "Service was not ACTIVE."));
        }
        if service.controller != "EXTERNAL" {
            return Err(invalid(
                "Amazon ECS only supports task set management on services configured to use \
                 external deployment controllers.",
            ));
        }
        Ok(id)
    }

    pub(crate) fn create_task_set(&mut self, input: &Value) -> Result<Value, ApiError> {
        let id = self.external_service(input)?;
        validation::client_token(input)?;
        let content = self.usable_revision(required(input, "taskDefinition")?)?;
        let service = self.services.get(&id).ok_or_else(not_found)?;
        let token = text(input, "clientToken");
        let is_repeated =
            |set: &&TaskSet| token.is_some() && text(&set.created_with, "clientToken") == token;
        if let Some(set) = service.task_sets.iter().find(is_repeated) {
            // Documented for no call about task sets; ECS refuses a service so.
            if set.created_with != *input {
                return Err(invalid("Creation of task set was not idempotent."));
            }
            return Ok(json!({"taskSet": self.read_task_set(service, set, true)}));
        }
        let mut members = Map::new();
        for member in REVISION_MEMBERS {
            if let Some(value) = given(input, member) {
                members.insert(member.to_owned(), value.clone());
            }
        }
        members.insert("taskDefinition".to_owned(), json!(*content.arn));
        settle_capacity(&mut members, None);
        let new = NewTaskSet {
            external_id: text(input, "externalId").map(str::to_owned),
            primary: false,
            scale: scale_of(input)?.unwrap_or(WHOLE),
            tags: tags::read(input)?,
            created_with: input.clone(),
            ..NewTaskSet::first(content, members)
        };
        let number = self.add_task_set(id, new)?;
        self.reply_task_set(id, &number.to_string())
    }

    /// CodeDeploy's replacement of the PRIMARY task set: what `change` leaves out is as it is there, but
    /// for the platform version.
    pub(crate) fn replace_task_set(
        &mut self,
        id: ServiceId,
        deployment: &str,
        change: &Map<String, Value>,
    ) -> Result<u64, ApiError> {
        let service = self.services.get(&id).ok_or_else(not_found)?;
        let mut members = service.spec.clone();
        // LATEST unless it is said. Source: reference page, section 6.1.
        members.remove("platformVersion");
        if change.contains_key("capacityProviderStrategy") {
            members.remove("launchType");
        }
        members.extend(change.clone());
        let name = members.get("taskDefinition").and_then(Value::as_str).unwrap_or_default();
        let content = self.usable_revision(name)?;
        members.insert("taskDefinition".to_owned(), json!(*content.arn));
        settle_capacity(&mut members, None);
        let new = NewTaskSet {
            external_id: Some(deployment.to_owned()),
            started_by: Some("CODE_DEPLOY"),
            primary: false,
            ..NewTaskSet::first(content, members)
        };
        self.add_task_set(id, new)
    }

    /// Its number.
    pub(crate) fn add_task_set(&mut self, id: ServiceId, new: NewTaskSet) -> Result<u64, ApiError> {
        let service = self.services.get(&id).ok_or_else(not_found)?;
        if service.task_sets.len() >= MOST {
            return Err(invalid(
                "5 deployments exist on the service. Unable to create new TaskSet since this \
                 exceeds the maximum limit.",
            ));
        }
        validation::revision(&new.members, &new.content, &self.elb)?;
        let path = format!("{}/{}", service.cluster, service.name);
        let number = self.new_number();
        let revision = Arc::new(Revision {
            number,
            arn: self.ecs_arn(&format!("service-revision/{path}/{number}")),
            created_at: self.now,
            task_definition: new.content,
            load_balancers: load_balancers(&new.members, &[], false),
            members: new.members,
        });
        let set = TaskSet {
            deployment: Deployment::new(number, revision, 0, self.now),
            arn: self.task_set_arn(&path, number),
            external_id: new.external_id,
            started_by: new.started_by,
            primary: new.primary,
            draining: false,
            was_deployment: false,
            scale: new.scale,
            steady_since: None,
            tags: new.tags,
            created_with: new.created_with,
        };
        if let Some(service) = self.services.get_mut(&id) {
            service.task_sets.push(set);
        }
        self.look_soon(id);
        Ok(number)
    }

    /// `path` is of the service: its cluster and its name.
    pub(crate) fn task_set_arn(&self, path: &str, number: u64) -> String {
        self.ecs_arn(&format!("task-set/{path}/{}", deployment_name(number)))
    }

    pub(crate) fn update_task_set(&mut self, input: &Value) -> Result<Value, ApiError> {
        let (id, now) = (self.external_service(input)?, self.now);
        let name = required(input, "taskSet")?.to_owned();
        let scale = scale_of(input)?.ok_or_else(|| invalid("scale must be specified."))?;
        let set = self.services.get_mut(&id).ok_or_else(not_found)?.task_set_mut(&name)?;
        set.scale = scale;
        set.steady_since = None;
        set.deployment.updated_at = now;
        self.look_soon(id);
        self.reply_task_set(id, &name)
    }

    pub(crate) fn update_service_primary_task_set(
        &mut self,
        input: &Value,
    ) -> Result<Value, ApiError> {
        let id = self.external_service(input)?;
        let name = required(input, "primaryTaskSet")?.to_owned();
        let service = self.services.get_mut(&id).ok_or_else(not_found)?;
        let chosen = service.task_set_mut(&name)?;
        if chosen.draining {
            return Err(invalid("The primary task set must be ACTIVE."));
        }
        let number = chosen.deployment.id;
        self.promote_task_set(id, number);
        self.reply_task_set(id, &name)
    }

    /// Makes it PRIMARY: the service shows what its primary task set has.
    pub(crate) fn promote_task_set(&mut self, id: ServiceId, number: u64) {
        let Some(service) = self.services.get_mut(&id) else { return };
        let Some(chosen) = service.task_set(number) else { return };
        let revision = Arc::clone(&chosen.deployment.revision);
        service.spec.clone_from(&revision.members);
        for set in &mut service.task_sets {
            set.primary = set.deployment.id == number;
        }
    }

    pub(crate) fn delete_task_set(&mut self, input: &Value) -> Result<Value, ApiError> {
        let id = self.external_service(input)?;
        let name = required(input, "taskSet")?.to_owned();
        let service = self.services.get_mut(&id).ok_or_else(not_found)?;
        let desired = service.desired;
        let set = service.task_set_mut(&name)?;
        if set.wanted(desired) > 0 && flag(input, "force") != Some(true) {
            return Err(invalid(
                "The task set cannot be deleted while it is scaled above 0. Use force to delete it.",
            ));
        }
        let number = set.deployment.id;
        self.drain_task_set(id, number);
        self.reply_task_set(id, &name)
    }

    pub(crate) fn drain_task_set(&mut self, id: ServiceId, number: u64) {
        let Some(service) = self.services.get_mut(&id) else { return };
        for set in service.task_sets.iter_mut().filter(|set| set.deployment.id == number) {
            set.draining = true;
            set.primary = false;
        }
        self.look_soon(id);
    }

    pub(crate) fn describe_task_sets(&self, input: &Value) -> Result<Value, ApiError> {
        let id = self.external_service(input)?;
        let service = self.services.get(&id).ok_or_else(not_found)?;
        let asked: Vec<&str> = texts(input, "taskSets").map(last_part).collect();
        let fits = |set: &&TaskSet| {
            asked.is_empty() || asked.contains(&set.deployment.id.to_string().as_str())
        };
        let with_tags = tags::included(input);
        let sets = service.task_sets.iter().filter(fits);
        let read = sets.map(|set| self.read_task_set(service, set, with_tags));
        let known = |name: &&str| {
            service.task_sets.iter().any(|set| set.deployment.id.to_string() == **name)
        };
        let failures = asked.iter().filter(|name| !known(name));
        let failures = failures.map(|name| json!({"arn": name, "reason": "MISSING"}));
        Ok(json!({"taskSets": read.collect::<Value>(), "failures": failures.collect::<Value>()}))
    }

    fn reply_task_set(&mut self, id: ServiceId, name: &str) -> Result<Value, ApiError> {
        let service = self.services.get_mut(&id).ok_or_else(not_found)?;
        let number = service.task_set_mut(name)?.deployment.id;
        let service = self.services.get(&id).ok_or_else(not_found)?;
        let set = service.task_sets.iter().find(|set| set.deployment.id == number);
        let set = set.ok_or_else(not_found)?;
        Ok(json!({"taskSet": self.read_task_set(service, set, true)}))
    }

    /// One look of the scheduler at all task sets of a service.
    pub(crate) fn schedule_task_sets(&mut self, id: ServiceId) {
        let Some(service) = self.services.get(&id) else { return };
        let desired = service.desired;
        let wanted: Vec<(u64, u32, Option<Timestamp>)> = service
            .task_sets
            .iter()
            .map(|set| (set.deployment.id, set.wanted(desired), set.deployment.no_start_before))
            .collect();
        for (set, wanted, not_before) in wanted {
            self.level(id, set, wanted, not_before);
        }
        self.retire_task_sets(id);
        self.note_stability(id);
    }

    /// Brings one task set to its computed count, and replaces what fails its checks.
    fn level(&mut self, id: ServiceId, set: u64, wanted: u32, not_before: Option<Timestamp>) {
        let Some(service) = self.services.get(&id) else { return };
        let live = || self.tasks_of_set(service, set).filter(|task| task.is_wanted());
        let failing: Vec<TaskId> =
            live().filter(|task| task.failing.is_some()).map(|task| task.id).collect();
        let good: Vec<TaskId> =
            live().filter(|task| task.failing.is_none()).map(|task| task.id).collect();
        for task in failing {
            self.replace_failing(id, task);
        }
        let reason = format!("Scaling activity initiated by (deployment {})", deployment_name(set));
        let surplus = size(good.len()).saturating_sub(wanted);
        for task in good.iter().rev().take(usize::try_from(surplus).unwrap_or(usize::MAX)) {
            self.stop_task_for(*task, StopCode::ServiceSchedulerInitiated, &reason);
        }
        let missing = wanted.saturating_sub(size(good.len()));
        match not_before.filter(|at| *at > self.now) {
            Some(at) if missing > 0 => self.look_at(id, at),
            _ if missing > 0 => self.start_tasks(id, set, missing),
            _ => {}
        }
    }

    fn tasks_of_set<'a>(
        &'a self,
        service: &'a Service,
        set: u64,
    ) -> impl Iterator<Item = &'a Task> {
        let tasks = service.tasks.iter().filter_map(|id| self.tasks.get(id));
        tasks.filter(move |task| task.deployment == set)
    }

    fn retire_task_sets(&mut self, id: ServiceId) {
        let Some(service) = self.services.get(&id) else { return };
        let tally = self.tally(service);
        let present = |set: &TaskSet| super::service_reply::present(&tally, set.deployment.id);
        if let Some(service) = self.services.get_mut(&id) {
            service.task_sets.retain(|set| !set.draining || present(set) > 0);
        }
    }

    fn note_stability(&mut self, id: ServiceId) {
        let Some(service) = self.services.get(&id) else { return };
        let steady: Vec<bool> =
            service.task_sets.iter().map(|set| self.stands_steady(service, set)).collect();
        let now = self.now;
        let Some(service) = self.services.get_mut(&id) else { return };
        for (set, steady) in service.task_sets.iter_mut().zip(steady) {
            set.steady_since = steady.then(|| set.steady_since.unwrap_or(now));
        }
    }

    /// `STEADY_STATE`: as many run as computed, none is pending, all are healthy.
    fn stands_steady(&self, service: &Service, set: &TaskSet) -> bool {
        let without_check = self.timings.healthy_without_check;
        let wanted = set.wanted(service.desired);
        let live: Vec<&Task> =
            self.tasks_of_set(service, set.deployment.id).filter(|task| task.is_wanted()).collect();
        size(live.len()) == wanted
            && live.iter().all(|task| task.is_healthy(self.now, without_check))
    }

    pub(crate) fn read_task_set(&self, service: &Service, set: &TaskSet, with_tags: bool) -> Value {
        let deployment = &set.deployment;
        let counts: Tally = self.tally(service).get(&deployment.id).copied().unwrap_or_default();
        let mut map = deployment.revision.members.clone();
        map.extend(map_of(json!({
            "id": deployment.started_by(),
            "taskSetArn": set.arn,
            "serviceArn": service.arn,
            "clusterArn": self.ecs_arn(&format!("cluster/{}", service.cluster)),
            "status": set.status(),
            "computedDesiredCount": set.wanted(service.desired),
            "runningCount": counts.running,
            "pendingCount": counts.pending,
            "createdAt": epoch(deployment.created_at),
            "updatedAt": epoch(deployment.updated_at),
            "scale": {"value": percent(set.scale), "unit": "PERCENT"},
            "stabilityStatus":
                if set.steady_since.is_some() { "STEADY_STATE" } else { "STABILIZING" },
            "stabilityStatusAt": epoch(set.steady_since.unwrap_or(deployment.updated_at)),
        })));
        for member in ["loadBalancers", "serviceRegistries"] {
            map.entry(member).or_insert_with(|| json!([]));
        }
        if let Some(id) = &set.external_id {
            map.insert("externalId".to_owned(), json!(id));
        }
        if let Some(one) = set.started_by {
            map.insert("startedBy".to_owned(), json!(one));
        }
        if deployment.revision.fargate() {
            let platform = concrete_platform(&deployment.revision.members).to_owned();
            map.insert("platformVersion".to_owned(), json!(platform));
        }
        if with_tags {
            map.insert("tags".to_owned(), tags::write(&set.tags));
        }
        Value::Object(map)
    }
}

/// `scale` in thousandths of a percent.
fn scale_of(input: &Value) -> Result<Option<u64>, ApiError> {
    let Some(scale) = given(input, "scale") else { return Ok(None) };
    if text(scale, "unit").is_some_and(|unit| unit != "PERCENT") {
        return Err(invalid("The scale unit must be PERCENT."));
    }
    let value = scale.get("value").and_then(Value::as_f64).unwrap_or(0.0);
    if !(0.0..=100.0).contains(&value) {
        return Err(invalid("The scale value must be between 0 and 100."));
    }
    let thousandths = format!("{:.0}", value * 1000.0).parse();
    thousandths.map(Some).map_err(|_| invalid("The scale value must be between 0 and 100."))
}

fn percent(scale: u64) -> f64 {
    u32::try_from(scale).map_or(100.0, |scale| f64::from(scale) / 1000.0)
}
