//! Service deployments and service revisions: the record of each rollout; never its mechanics.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::breaker::Cause;
use super::hooks::HookRun;
use super::identifiers::{image_digest, last_part};
use super::input::{
    described, epoch, invalid, list, map_of, page, paged, put_epoch, required, text, texts,
};
use super::service::{
    Deployment, Revision, Rollout, Service, ServiceId, deployment_name, load_balancers, not_found,
};
use super::service_reply::concrete_platform;
use super::stages::Shift;
use super::strategy::{Share, Stage};
use super::task_definition::TaskContent;
use super::{ApiError, State, Timer, read_back};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Pending,
    InProgress,
    StopRequested,
    Stopped,
    RollbackRequested,
    RollbackInProgress,
    RollbackSuccessful,
    RollbackFailed,
    Successful,
}

impl Status {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::InProgress => "IN_PROGRESS",
            Self::StopRequested => "STOP_REQUESTED",
            Self::Stopped => "STOPPED",
            Self::RollbackRequested => "ROLLBACK_REQUESTED",
            Self::RollbackInProgress => "ROLLBACK_IN_PROGRESS",
            Self::RollbackSuccessful => "ROLLBACK_SUCCESSFUL",
            Self::RollbackFailed => "ROLLBACK_FAILED",
            Self::Successful => "SUCCESSFUL",
        }
    }

    /// Its own stages go on.
    pub(crate) fn is_under_way(self) -> bool {
        !self.is_terminal() && self != Self::StopRequested
    }

    pub(crate) fn is_terminal(self) -> bool {
        matches!(
            self,
            Self::Stopped | Self::RollbackSuccessful | Self::RollbackFailed | Self::Successful
        )
    }
}

#[derive(Clone, Debug)]
pub(crate) struct ServiceDeployment {
    pub(crate) id: u64,
    pub(crate) arn: String,
    pub(crate) status: Status,
    pub(crate) status_reason: Option<String>,
    pub(crate) created_at: Timestamp,
    started_at: Option<Timestamp>,
    finished_at: Option<Timestamp>,
    stopped_at: Option<Timestamp>,
    pub(crate) updated_at: Timestamp,
    sources: Vec<u64>,
    target: u64,
    pub(crate) rollback: Option<Rollback>,
    /// `None` for a rolling deployment.
    pub(crate) shift: Option<Shift>,
    configuration: Value,
    red_alarms: Vec<String>,
}

#[derive(Clone, Debug)]
pub(crate) struct Rollback {
    pub(crate) reason: String,
    pub(crate) started_at: Timestamp,
    pub(crate) revision: String,
}

impl ServiceDeployment {
    /// The number of the revision that it rolls out.
    pub(crate) fn target(&self) -> u64 {
        self.target
    }

    /// With the share of the traffic that the target, or what it replaces, gets.
    fn weighed(&self, mut read: Value, is_target: bool) -> Value {
        if let (Some(shift), Some(map)) = (&self.shift, read.as_object_mut()) {
            let percent = |share: Share| {
                if is_target { share.percent() } else { 100.0 - share.percent() }
            };
            map.insert("requestedTestTrafficWeight".to_owned(), json!(percent(shift.test)));
            let production = json!(percent(shift.production));
            map.insert("requestedProductionTrafficWeight".to_owned(), production);
        }
        read
    }

    fn is_cleaning_up(&self) -> bool {
        self.shift.as_ref().is_some_and(|shift| shift.stage == Stage::CleanUp)
    }

    pub(crate) fn end_rollback(&mut self, now: Timestamp) {
        self.status = Status::RollbackSuccessful;
        self.finished_at = Some(now);
        self.updated_at = now;
    }
}

/// How many service deployments a service remembers. AWS keeps 90 days.
const HISTORY: usize = 200;

impl Deployment {
    pub(crate) fn new(
        id: u64,
        revision: Arc<Revision>,
        service_deployment: u64,
        now: Timestamp,
    ) -> Self {
        Self {
            id,
            revision,
            desired: 0,
            failed_tasks: 0,
            failure_count: 0,
            rollout: Rollout::InProgress,
            reason: format!("ECS deployment {} in progress.", deployment_name(id)),
            created_at: now,
            updated_at: now,
            part_of: service_deployment,
            has_completed: false,
            has_run: false,
            start_failures: 0,
            no_start_before: None,
            bake_until: None,
            alarms_ignored: false,
            trip_pending: false,
            stuck_reported: false,
            placement_reported: false,
        }
    }
}

impl Service {
    pub(crate) fn current_service_deployment(&self) -> Option<&ServiceDeployment> {
        self.rollouts.last().filter(|last| !last.status.is_terminal())
    }

    pub(crate) fn service_deployment_mut(&mut self, id: u64) -> Option<&mut ServiceDeployment> {
        self.rollouts.iter_mut().rev().find(|one| one.id == id)
    }

    fn forget_old_deployments(&mut self) {
        let excess = self.rollouts.len().saturating_sub(HISTORY);
        self.rollouts.drain(..excess);
        if excess == 0 {
            return;
        }
        let (deployments, kept) = (&self.deployments, &self.rollouts);
        let completed = self.last_completed.as_ref().map(|(_, revision)| revision.number);
        self.revisions.retain(|number, _| {
            completed == Some(*number)
                || deployments.iter().any(|one| one.revision.number == *number)
                || kept.iter().any(|one| one.target == *number || one.sources.contains(number))
        });
    }
}

impl State {
    /// A new service revision and a new PRIMARY deployment of it, which supersedes the one in
    /// flight.
    pub(crate) fn start_deployment(&mut self, id: ServiceId, content: &Arc<TaskContent>) {
        let number = self.new_number();
        let suffix = self.new_deployment_suffix();
        let sequence = self.next_sequence();
        let Some(service) = self.services.get(&id) else { return };
        let path = format!("{}/{}", service.cluster, service.name);
        let source = self.source(service);
        let live = source.map_or(&[][..], |revision| revision.load_balancers.as_slice());
        let flips = service.configuration.strategy.shifts_traffic();
        let shift = Shift::of(&service.configuration, source.map(|revision| revision.number));
        let revision = Arc::new(Revision {
            number,
            arn: self.ecs_arn(&format!("service-revision/{path}/{number}")),
            created_at: self.now,
            task_definition: Arc::clone(content),
            members: service.spec.clone(),
            load_balancers: load_balancers(&service.spec, live, flips),
        });
        let service_deployment = ServiceDeployment {
            id: sequence,
            arn: self.ecs_arn(&format!("service-deployment/{path}/{suffix}")),
            status: Status::Pending,
            status_reason: None,
            created_at: self.now,
            started_at: None,
            finished_at: None,
            stopped_at: None,
            updated_at: self.now,
            sources: service.deployments.iter().map(|one| one.revision.number).collect(),
            target: number,
            rollback: None,
            shift,
            configuration: service.configuration.document.clone(),
            red_alarms: Vec::new(),
        };
        let alarms = service.configuration.alarms.as_ref();
        let red = alarms.is_some_and(|alarms| !self.cloudwatch.red(&alarms.names).is_empty());
        self.supersede(id);
        let now = self.now;
        let Some(service) = self.services.get_mut(&id) else { return };
        service.revisions.insert(number, Arc::clone(&revision));
        service.rollouts.push(service_deployment);
        let mut deployment = Deployment::new(number, revision, sequence, now);
        deployment.alarms_ignored = red;
        let reason = deployment.reason.clone();
        service.deployments.insert(0, deployment);
        service.steady = false;
        service.forget_old_deployments();
        self.after(self.timings.service_deployment_step, Timer::ServiceDeployment(id, sequence));
        self.emit_deployment(id, number, "INFO", "SERVICE_DEPLOYMENT_IN_PROGRESS", &reason);
        self.look_soon(id);
    }

    /// What a new deployment takes traffic from: what is returned to and has tasks; else what was completed last, unless
    /// that is leaving or has left; else the oldest one that has tasks.
    fn source<'a>(&self, service: &'a Service) -> Option<&'a Arc<Revision>> {
        let current = service.current_service_deployment();
        let tally = self.tally(service);
        let has_tasks =
            |one: &&Deployment| tally.get(&one.id).is_some_and(|counts| counts.live > 0);
        let oldest = || service.deployments.iter().rev().find(has_tasks).map(|one| &one.revision);
        if let Some(leaving) = current.filter(|one| one.is_cleaning_up()) {
            let primary = service.deployments.first()?;
            let serves = leaving.rollback.is_none() || primary.has_completed || has_tasks(&primary);
            return if serves { Some(&primary.revision) } else { oldest() };
        }
        let is_returning = current.is_some_and(|one| one.rollback.is_some());
        let returned_to = service.deployments.first().filter(|one| is_returning && has_tasks(one));
        let completed = service.last_completed.as_ref().map(|(_, revision)| revision);
        let serves = |revision: &&Arc<Revision>| {
            let mut all = service.deployments.iter().filter(has_tasks);
            all.any(|one| one.revision.number == revision.number)
        };
        let serving = returned_to.map(|one| &one.revision).or(completed.filter(serves));
        serving.or_else(oldest).or(completed)
    }

    /// The deployment in flight is stopped by a newer one.
    fn supersede(&mut self, id: ServiceId) {
        let now = self.now;
        let Some(service) = self.services.get_mut(&id) else { return };
        let Some(current) = service.rollouts.last_mut().filter(|last| !last.status.is_terminal())
        else {
            return;
        };
        let number = current.id;
        current.updated_at = now;
        current.status_reason =
            Some("Service deployment stopped because a new service deployment started.".to_owned());
        if current.rollback.is_some() {
            current.status = Status::RollbackFailed;
            current.finished_at = Some(now);
        } else {
            current.status = Status::StopRequested;
            self.after(self.timings.service_deployment_step, Timer::ServiceDeployment(id, number));
        }
    }

    /// A service deployment takes the step that it waits for.
    pub(crate) fn service_deployment_due(&mut self, id: ServiceId, number: u64) {
        let now = self.now;
        let Some(service) = self.services.get_mut(&id) else { return };
        let Some(found) = service.service_deployment_mut(number) else { return };
        found.updated_at = now;
        match found.status {
            Status::Pending => {
                found.status = Status::InProgress;
                found.started_at = Some(now);
                if found.shift.is_some() {
                    self.begin_stages(id, number);
                }
            }
            Status::StopRequested => {
                found.status = Status::Stopped;
                found.stopped_at = Some(now);
                found.finished_at = Some(now);
            }
            // Too late: what it would return to is leaving.
            Status::RollbackRequested if found.is_cleaning_up() => {}
            Status::RollbackRequested => {
                found.started_at.get_or_insert(now);
                self.fail_deployment(id, &Cause::Requested, true);
            }
            _ => {}
        }
    }

    /// Nothing to return to, or nobody wants to: the deployment stalls.
    pub(crate) fn end_without_rollback(&mut self, id: ServiceId, number: u64, reason: &str) {
        let now = self.now;
        let step = self.timings.service_deployment_step;
        let Some(service) = self.services.get_mut(&id) else { return };
        let Some(found) = service.service_deployment_mut(number) else { return };
        found.status_reason = Some(reason.to_owned());
        found.updated_at = now;
        if found.rollback.is_some() {
            found.status = Status::RollbackFailed;
            found.finished_at = Some(now);
        } else {
            found.status = Status::StopRequested;
            self.after(step, Timer::ServiceDeployment(id, number));
        }
    }

    pub(crate) fn note_red_alarms(&mut self, id: ServiceId, number: u64, cause: &Cause) {
        let Cause::Alarms(names) = cause else { return };
        let Some(service) = self.services.get_mut(&id) else { return };
        if let Some(found) = service.service_deployment_mut(number) {
            found.red_alarms.clone_from(names);
        }
    }

    pub(crate) fn deployment_completed(&mut self, id: ServiceId) {
        let now = self.now;
        let Some(service) = self.services.get_mut(&id) else { return };
        let Some(primary) = service.deployments.first_mut() else { return };
        let number = primary.id;
        primary.rollout = Rollout::Completed;
        primary.has_completed = true;
        primary.updated_at = now;
        primary.desired = service.desired;
        primary.reason = format!("ECS deployment {} completed.", deployment_name(number));
        let (reason, record) = (primary.reason.clone(), primary.part_of);
        service.last_completed = Some((number, Arc::clone(&primary.revision)));
        service.deployments.truncate(1);
        if let Some(found) = service.service_deployment_mut(record) {
            found.status = if found.rollback.is_some() {
                Status::RollbackSuccessful
            } else {
                Status::Successful
            };
            found.finished_at = Some(now);
            found.updated_at = now;
        }
        service.steady = false;
        self.say(id, |service| {
            format!(
                "(service {}) (deployment {}) deployment completed.",
                service.name,
                deployment_name(number)
            )
        });
        self.emit_deployment(id, number, "INFO", "SERVICE_DEPLOYMENT_COMPLETED", &reason);
    }

    pub(crate) fn list_service_deployments(&self, input: &Value) -> Result<Value, ApiError> {
        let id = self.service_id(input)?;
        let service = self.services.get(&id).ok_or_else(not_found)?;
        let statuses: Vec<&str> = texts(input, "status").collect();
        let newest_first: Vec<&ServiceDeployment> = service
            .rollouts
            .iter()
            .rev()
            .filter(|one| statuses.is_empty() || statuses.contains(&one.status.word()))
            .collect();
        // Keys fall as ids rise, so that ascending pages are newest first.
        let key = |one: &ServiceDeployment| format!("{:020}", u64::MAX - one.id);
        let (keys, token) = page(newest_first.iter().map(|one| key(one)), input, 20, 100)?;
        let listed = newest_first.iter().filter(|one| keys.contains(&key(one)));
        let brief = listed.map(|one| self.brief(service, one)).collect();
        Ok(paged("serviceDeployments", brief, token))
    }

    fn brief(&self, service: &Service, one: &ServiceDeployment) -> Value {
        let mut map = self.times_and_status(service, one);
        if let Some(target) = service.revisions.get(&one.target) {
            map.insert("targetServiceRevisionArn".to_owned(), json!(target.arn));
        }
        Value::Object(map)
    }

    fn times_and_status(&self, service: &Service, one: &ServiceDeployment) -> Map<String, Value> {
        let mut map = map_of(json!({
            "serviceDeploymentArn": one.arn,
            "serviceArn": service.arn,
            "clusterArn": self.ecs_arn(&format!("cluster/{}", service.cluster)),
            "status": one.status.word(),
        }));
        put_epoch(&mut map, "createdAt", Some(one.created_at));
        put_epoch(&mut map, "startedAt", one.started_at);
        put_epoch(&mut map, "finishedAt", one.finished_at);
        if let Some(reason) = &one.status_reason {
            map.insert("statusReason".to_owned(), json!(reason));
        }
        map
    }

    pub(crate) fn describe_service_deployments(&self, input: &Value) -> Result<Value, ApiError> {
        let arns = at_most_twenty(input, "serviceDeploymentArns")?;
        let (mut found, mut failures) = (Vec::new(), Vec::new());
        for arn in arns {
            match self.service_deployment(arn) {
                Some((service, one)) => found.push(self.read_service_deployment(service, one)),
                None => failures.push(json!({"arn": arn, "reason": "MISSING"})),
            }
        }
        Ok(described("serviceDeployments", found, failures))
    }

    fn service_of_arn(&self, arn: &str) -> Option<&Service> {
        let mut parts = arn.rsplit('/').skip(1);
        let (name, cluster) = (parts.next()?, parts.next()?);
        let id = self.names.get(&(cluster.to_owned(), name.to_owned()))?;
        self.services.get(id)
    }

    pub(crate) fn service_deployment(&self, arn: &str) -> Option<(&Service, &ServiceDeployment)> {
        let service = self.service_of_arn(arn)?;
        let found = service.rollouts.iter().rev().find(|one| one.arn == arn)?;
        Some((service, found))
    }

    fn read_service_deployment(&self, service: &Service, one: &ServiceDeployment) -> Value {
        let tally = self.tally(service);
        let counts = |number: &u64| {
            let revision = service.revisions.get(number)?;
            let mut sum = super::service_reply::Tally::default();
            let mut requested = 0;
            for deployment in &service.deployments {
                if deployment.revision.number == *number {
                    let counts = tally.get(&deployment.id).copied().unwrap_or_default();
                    sum.running += counts.running;
                    sum.pending += counts.pending;
                    requested += deployment.desired;
                }
            }
            Some(sum.of_revision(&revision.arn, requested))
        };
        let mut map = self.times_and_status(service, one);
        put_epoch(&mut map, "stoppedAt", one.stopped_at);
        put_epoch(&mut map, "updatedAt", Some(one.updated_at));
        let mut put = |name: &str, value: Value| {
            map.insert(name.to_owned(), value);
        };
        let sources = one.sources.iter().filter_map(counts);
        put("sourceServiceRevisions", sources.map(|read| one.weighed(read, false)).collect());
        if let Some(target) = counts(&one.target) {
            put("targetServiceRevision", one.weighed(target, true));
        }
        if let Some(shift) = &one.shift {
            put("lifecycleStage", json!(shift.stage.word()));
            put("lifecycleHookDetails", shift.runs.iter().map(HookRun::read).collect());
        }
        put("deploymentConfiguration", one.configuration.clone());
        put("deploymentCircuitBreaker", breaker_state(service, one));
        put("alarms", alarm_state(service, one));
        if let Some(rollback) = &one.rollback {
            put(
                "rollback",
                json!({
                    "reason": rollback.reason,
                    "startedAt": epoch(rollback.started_at),
                    "serviceRevisionArn": rollback.revision,
                }),
            );
        }
        Value::Object(map)
    }

    pub(crate) fn describe_service_revisions(&self, input: &Value) -> Result<Value, ApiError> {
        let arns = at_most_twenty(input, "serviceRevisionArns")?;
        let (mut found, mut failures) = (Vec::new(), Vec::new());
        for arn in arns {
            let revision = self.service_of_arn(arn).and_then(|service| {
                let number: u64 = last_part(arn).parse().ok()?;
                Some((service, service.revisions.get(&number).filter(|one| one.arn == arn)?))
            });
            match revision {
                Some((service, revision)) => found.push(self.read_revision(service, revision)),
                None => failures.push(json!({"arn": arn, "reason": "MISSING"})),
            }
        }
        Ok(described("serviceRevisions", found, failures))
    }

    fn read_revision(&self, service: &Service, revision: &Revision) -> Value {
        let mut map = revision.members.clone();
        for (member, value) in &mut map {
            if member == "capacityProviderStrategy" {
                *value = read_back::capacity_provider_strategy(value);
            }
        }
        let images = revision.task_definition.containers.iter().map(|container| {
            json!({
                "containerName": container.name,
                "image": container.image,
                "imageDigest": image_digest(&container.image),
            })
        });
        let mut put = |name: &str, value: Value| {
            map.insert(name.to_owned(), value);
        };
        put("serviceRevisionArn", json!(revision.arn));
        put("serviceArn", json!(service.arn));
        put("clusterArn", json!(self.ecs_arn(&format!("cluster/{}", service.cluster))));
        put("taskDefinition", json!(*revision.task_definition.arn));
        put("containerImages", images.collect());
        put("guardDutyEnabled", json!(false));
        put("createdAt", epoch(revision.created_at));
        if let Some(resolved) = resolved_configuration(revision) {
            put("resolvedConfiguration", resolved);
        }
        if revision.fargate() {
            put("platformVersion", json!(concrete_platform(&revision.members)));
            put("platformFamily", json!("Linux"));
        }
        Value::Object(map)
    }

    pub(crate) fn stop_service_deployment(&mut self, input: &Value) -> Result<Value, ApiError> {
        let arn = required(input, "serviceDeploymentArn")?.to_owned();
        match text(input, "stopType") {
            Some("ROLLBACK") | None => {}
            Some(other) => {
                return Err(invalid(format!("The stopType {other} is not supported.")));
            }
        }
        let (service, found) = self.service_deployment(&arn).ok_or_else(missing)?;
        let (id, number, status) = (service.id, found.id, found.status);
        if status.is_terminal() {
            return Err(ApiError::client(
                "ConflictException",
                format!(
                    "The service deployment is in the state {} and cannot be stopped.",
                    status.word()
                ),
            ));
        }
        if matches!(status, Status::Pending | Status::InProgress) {
            let now = self.now;
            if let Some(found) =
                self.services.get_mut(&id).and_then(|one| one.service_deployment_mut(number))
            {
                found.status = Status::RollbackRequested;
                found.updated_at = now;
            }
            let step = self.timings.service_deployment_step;
            self.after(step, Timer::ServiceDeployment(id, number));
        }
        Ok(json!({"serviceDeploymentArn": arn}))
    }
}

pub(crate) fn missing() -> ApiError {
    ApiError::client("ServiceDeploymentNotFoundException", "The service deployment does not exist.")
}

fn at_most_twenty<'a>(input: &'a Value, name: &str) -> Result<Vec<&'a str>, ApiError> {
    if list(input, name).is_empty() || list(input, name).len() > 20 {
        return Err(invalid(format!("{name} must have between 1 and 20 items.")));
    }
    Ok(texts(input, name).collect())
}

/// Which target groups the revision uses, where they change from one to the next.
fn resolved_configuration(revision: &Revision) -> Option<Value> {
    let resolved: Vec<Value> = revision
        .load_balancers
        .iter()
        .filter_map(|one| {
            let rule = &one.listeners.as_ref()?.production_rule;
            Some(json!({"targetGroupArn": one.target_group, "productionListenerRule": rule}))
        })
        .collect();
    (!resolved.is_empty()).then(|| json!({"loadBalancers": resolved}))
}

/// The deployment that a record is about: the rollback once there is one.
fn deployment_of<'a>(service: &'a Service, one: &ServiceDeployment) -> Option<&'a Deployment> {
    service.deployments.iter().find(|deployment| deployment.revision.number == one.target)
}

fn breaker_state(service: &Service, one: &ServiceDeployment) -> Value {
    let breaker = &service.configuration.breaker;
    let tripped = one.rollback.as_ref().map(|rollback| rollback.reason.as_str());
    let tripped = tripped.or(one.status_reason.as_deref());
    let status = match (breaker.enabled, tripped) {
        (false, _) => "DISABLED",
        (_, Some(reason)) if reason.contains("circuit breaker") => "TRIGGERED",
        _ if one.status.is_terminal() => "MONITORING_COMPLETE",
        _ => "MONITORING",
    };
    json!({
        "status": status,
        "failureCount": deployment_of(service, one).map_or(0, |found| found.failure_count),
        "threshold": service.breaker_threshold(),
    })
}

fn alarm_state(service: &Service, one: &ServiceDeployment) -> Value {
    let Some(alarms) = &service.configuration.alarms else {
        return json!({"status": "DISABLED", "alarmNames": [], "triggeredAlarmNames": []});
    };
    let ignored = deployment_of(service, one).is_some_and(|found| found.alarms_ignored);
    let status = if !one.red_alarms.is_empty() {
        "TRIGGERED"
    } else if ignored {
        "DISABLED"
    } else if one.status.is_terminal() {
        "MONITORING_COMPLETE"
    } else {
        "MONITORING"
    };
    json!({
        "status": status, "alarmNames": alarms.names, "triggeredAlarmNames": one.red_alarms,
    })
}
