//! ECS's own deployment circuit breaker and deployment alarms; never Evenkeel's.
//!
//! Source: DG:deployment-circuit-breaker, DG:deployment-alarm-failure and the captures in
//! the reference page, sections 3.2 to 3.6.

use std::sync::Arc;

use super::service::{Deployment, Rollout, Service, ServiceId, Threshold, deployment_name};
use super::service_deployment::{Rollback, Status};
use super::task::StopCode;
use super::{State, TaskId, Timer};

/// Why a deployment failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    Breaker,
    Alarms(Vec<String>),
    /// StopServiceDeployment.
    Requested,
    /// A stage of a deployment that shifts traffic failed.
    Stage(String),
}

impl Cause {
    /// rolloutStateReason. The text for alarms could not be confirmed.
    fn text(&self) -> String {
        match self {
            Self::Breaker => "ECS deployment circuit breaker: tasks failed to start.".to_owned(),
            Self::Alarms(names) => {
                format!("ECS deployment failed: alarm detected: {}.", names.join(", "))
            }
            Self::Requested => "ECS deployment stopped: rollback requested.".to_owned(),
            Self::Stage(reason) => format!("ECS deployment failed: {reason}"),
        }
    }

    /// statusReason of the service deployment.
    pub(crate) fn rolled_back(&self) -> String {
        let why = match self {
            Self::Stage(reason) => reason.clone(),
            Self::Breaker | Self::Alarms(_) | Self::Requested => self.text(),
        };
        format!("Service deployment rolled back because {why}")
    }

    fn rolling_back(&self, to: u64) -> String {
        let to = deployment_name(to);
        match self {
            Self::Breaker => {
                format!("ECS deployment circuit breaker: rolling back to deploymentId {to}")
            }
            Self::Alarms(_) | Self::Requested | Self::Stage(_) => {
                format!("ECS deployment rolling back to deploymentId {to}")
            }
        }
    }
}

/// The count at which the breaker trips.
pub(crate) fn threshold(threshold: Threshold, desired: u32) -> u32 {
    let part = |percent: u32| {
        let part = (u64::from(desired) * u64::from(percent)).div_ceil(100);
        u32::try_from(part).unwrap_or(u32::MAX)
    };
    match threshold {
        Threshold::Count(count) => count,
        Threshold::BoundedPercent(percent) => part(percent).clamp(3, 200),
        Threshold::UnboundedPercent(percent) => part(percent).max(1),
    }
}

impl Service {
    pub(crate) fn breaker_threshold(&self) -> u32 {
        threshold(self.configuration.breaker.threshold, self.desired)
    }
}

impl State {
    pub(crate) fn deployment_mut(
        &mut self,
        service: ServiceId,
        deployment: u64,
    ) -> Option<&mut Deployment> {
        self.services.get_mut(&service)?.launcher_mut(deployment)
    }

    pub(crate) fn task_became_healthy(&mut self, id: ServiceId, task: TaskId, deployment: u64) {
        if let Some(task) = self.tasks.get_mut(&task) {
            task.was_healthy = true;
        }
        let Some(service) = self.services.get(&id) else { return };
        let reset = service.configuration.breaker.reset_on_healthy;
        let Some(deployment) = self.deployment_mut(id, deployment) else { return };
        deployment.failed_tasks = 0;
        deployment.start_failures = 0;
        deployment.no_start_before = None;
        if reset {
            deployment.failure_count = 0;
        }
    }

    /// A task reached STOPPED.
    pub(crate) fn task_stopped(&mut self, task: TaskId) {
        let Some(task) = self.tasks.get(&task) else { return };
        let (service, deployment, was_healthy) = (task.service, task.deployment, task.was_healthy);
        match (task.stop_code, task.times.started) {
            (Some(StopCode::TaskFailedToStart | StopCode::EssentialContainerExited), None) => {
                self.launch_failure(service, deployment);
            }
            (Some(StopCode::EssentialContainerExited), Some(_)) => {
                self.crash(service, deployment, was_healthy);
            }
            _ => {}
        }
    }

    /// Stage 1, and the growing delay before the next start.
    fn launch_failure(&mut self, id: ServiceId, deployment: u64) {
        let timings = Arc::clone(&self.timings);
        let now = self.now;
        let Some(found) = self.deployment_mut(id, deployment) else { return };
        found.failed_tasks += 1;
        if !found.has_run {
            found.failure_count += 1;
        }
        let delays = &timings.start_back_off;
        let delay = delays.get(found.start_failures).or(delays.last()).copied();
        found.start_failures += 1;
        let impaired = found.start_failures == 3;
        found.no_start_before = Some(now + delay.unwrap_or_default());
        if impaired {
            self.say(id, |service| {
                format!(
                    "(service {}) is unable to consistently start tasks successfully.",
                    service.name
                )
            });
            self.emit_service_action(id, "WARN", "SERVICE_TASK_START_IMPAIRED", "");
        }
        self.counted(id, deployment);
    }

    /// Tasks that could not be launched for lack of room. How many of them ECS counts is not documented: here it is each that a
    /// pass of the scheduler could not place, which trips earliest (ecs-behaviour 3.3).
    pub(crate) fn placement_failure(&mut self, id: ServiceId, deployment: u64, number: u32) {
        let Some(found) = self.deployment_mut(id, deployment) else { return };
        found.failed_tasks += number;
        if !found.has_run {
            found.failure_count += number;
        }
        self.counted(id, deployment);
    }

    /// A task ran and exited. One that had counted as healthy is no failure, unless failures
    /// accumulate (resetOnHealthyTask false).
    fn crash(&mut self, id: ServiceId, deployment: u64, was_healthy: bool) {
        let Some(service) = self.services.get(&id) else { return };
        let reset = service.configuration.breaker.reset_on_healthy;
        let Some(found) = self.deployment_mut(id, deployment) else { return };
        if was_healthy && reset {
            return;
        }
        if !was_healthy {
            found.failed_tasks += 1;
        }
        found.failure_count += 1;
        self.counted(id, deployment);
    }

    /// Stage 2: a task is replaced because a health check failed.
    pub(crate) fn health_failure(&mut self, id: ServiceId, deployment: u64) {
        let Some(found) = self.deployment_mut(id, deployment) else { return };
        found.failed_tasks += 1;
        found.failure_count += 1;
        self.counted(id, deployment);
    }

    fn counted(&mut self, id: ServiceId, deployment: u64) {
        let delay = self.timings.breaker_delay;
        let Some(service) = self.services.get_mut(&id) else { return };
        let threshold = service.breaker_threshold();
        // Documented for rolling deployments only.
        let enabled = service.configuration.breaker.enabled && !service.shifts_traffic();
        let Some(primary) = service.deployments.first_mut() else { return };
        let watched = enabled && primary.id == deployment && primary.rollout == Rollout::InProgress;
        if watched && primary.failure_count >= threshold && !primary.trip_pending {
            primary.trip_pending = true;
            self.after(delay, Timer::Breaker(id, deployment));
        }
    }

    pub(crate) fn breaker_due(&mut self, id: ServiceId, deployment: u64) {
        let Some(service) = self.services.get_mut(&id) else { return };
        let threshold = service.breaker_threshold();
        let rollback = service.configuration.breaker.rollback;
        let Some(primary) = service.deployments.first_mut() else { return };
        primary.trip_pending = false;
        let trips = primary.id == deployment
            && primary.rollout == Rollout::InProgress
            && primary.failure_count >= threshold;
        if trips {
            self.fail_deployment(id, &Cause::Breaker, rollback);
        }
    }

    /// An alarm turned red: the deployments that watch it hear of it at their next poll.
    pub(crate) fn alarm_turned_red(&mut self, name: &str) {
        let delay = self.timings.alarm_poll;
        let watching: Vec<(ServiceId, u64)> = self
            .services
            .values()
            .filter(|service| service.watches(name))
            .filter_map(|service| Some((service.id, service.deployments.first()?.id)))
            .collect();
        for (service, deployment) in watching {
            self.after(delay, Timer::DeploymentAlarm(service, deployment));
        }
        for number in self.code_deploy.watching(name) {
            self.after(delay, Timer::CodeDeployAlarms(number));
        }
    }

    pub(crate) fn deployment_alarm_due(&mut self, id: ServiceId, deployment: u64) {
        let Some(service) = self.services.get(&id) else { return };
        let Some(alarms) = &service.configuration.alarms else { return };
        let watched = service.deployments.first().is_some_and(|primary| {
            primary.id == deployment
                && primary.rollout == Rollout::InProgress
                && !primary.alarms_ignored
        });
        let red = self.cloudwatch.red(&alarms.names);
        let rollback = alarms.rollback;
        if watched && !red.is_empty() {
            self.fail_deployment(id, &Cause::Alarms(red), rollback);
        }
    }

    /// The PRIMARY deployment has failed; with `rollback` the last COMPLETED one takes its place
    /// under a new id.
    pub(crate) fn fail_deployment(&mut self, id: ServiceId, cause: &Cause, rollback: bool) {
        let now = self.now;
        let Some(service) = self.services.get_mut(&id) else { return };
        let Some(failed) = service.deployments.first_mut() else { return };
        failed.rollout = Rollout::Failed;
        failed.reason = cause.text();
        failed.updated_at = now;
        let (number, reason) = (failed.id, failed.reason.clone());
        let service_deployment = failed.part_of;
        self.say(id, |service| {
            format!(
                "(service {}) (deployment {}) deployment failed: tasks failed to start.",
                service.name,
                deployment_name(number)
            )
        });
        self.emit_deployment(id, number, "ERROR", "SERVICE_DEPLOYMENT_FAILED", &reason);
        self.note_red_alarms(id, service_deployment, cause);
        if self.shift(id, service_deployment).is_some() {
            if !rollback || !self.turn_back(id, service_deployment, cause) {
                self.end_without_rollback(id, service_deployment, &cause.rolled_back());
            }
            return self.look_after_change(id);
        }
        let target = self.services.get_mut(&id).and_then(|one| one.last_completed.take());
        match target {
            Some(target) if rollback => {
                self.roll_back(id, service_deployment, cause, target);
            }
            other => {
                if let Some(service) = self.services.get_mut(&id) {
                    service.last_completed = other;
                }
                self.end_without_rollback(id, service_deployment, &reason);
            }
        }
        self.look_after_change(id);
    }

    fn roll_back(
        &mut self,
        id: ServiceId,
        service_deployment: u64,
        cause: &Cause,
        (to, revision): (u64, Arc<super::service::Revision>),
    ) {
        let number = self.new_number();
        let reason = cause.rolling_back(to);
        let now = self.now;
        let Some(service) = self.services.get_mut(&id) else { return };
        service.spec.clone_from(&revision.members);
        let arn = revision.arn.clone();
        let mut deployment = Deployment::new(number, revision, service_deployment, now);
        deployment.reason.clone_from(&reason);
        deployment.alarms_ignored = true;
        service.deployments.insert(0, deployment);
        if let Some(found) = service.service_deployment_mut(service_deployment) {
            found.status = Status::RollbackInProgress;
            found.status_reason = Some(cause.rolled_back());
            found.updated_at = now;
            found.rollback =
                Some(Rollback { reason: cause.text(), started_at: now, revision: arn });
        }
        self.emit_deployment(
            id,
            number,
            "INFO",
            "SERVICE_DEPLOYMENT_IN_PROGRESS",
            &format!("{reason}."),
        );
    }
}

impl Service {
    fn watches(&self, alarm: &str) -> bool {
        let named = |alarms: &super::service::Alarms| alarms.names.iter().any(|name| name == alarm);
        self.configuration.alarms.as_ref().is_some_and(named)
    }
}
