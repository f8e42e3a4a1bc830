//! Targets: registration, health and draining; never probes anything.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{Elb, required, target_group_missing, validation};
use crate::Effect;
use crate::region::{ApiError, State, TaskId, Timer, count, list, text};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TargetState {
    Initial,
    Healthy,
    Unhealthy,
    Draining,
    Unused,
}

impl TargetState {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Initial => "initial",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
            Self::Draining => "draining",
            Self::Unused => "unused",
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Target {
    state: TargetState,
    /// Of the last failed check, in the load balancer's words.
    complaint: String,
    successes: u32,
    failures: u32,
    /// The task that runs there, if ECS registered it.
    task: Option<TaskId>,
}

impl Target {
    /// A group that no listener refers to has only unused targets.
    pub(crate) fn shown_state(&self, in_use: bool) -> TargetState {
        if in_use { self.state } else { TargetState::Unused }
    }

    fn reason(&self, in_use: bool) -> Option<(&'static str, &str)> {
        match self.shown_state(in_use) {
            TargetState::Initial => {
                Some(("Elb.RegistrationInProgress", "Target registration is in progress"))
            }
            TargetState::Healthy => None,
            TargetState::Unhealthy => Some((reason_code(&self.complaint), &self.complaint)),
            TargetState::Draining => {
                Some(("Target.DeregistrationInProgress", "Target deregistration is in progress"))
            }
            TargetState::Unused => Some((
                "Target.NotInUse",
                "Target group is not configured to receive traffic from the load balancer",
            )),
        }
    }
}

/// The reason code for a complaint such as `Health checks failed with these codes: [500]`.
fn reason_code(complaint: &str) -> &'static str {
    if complaint.contains("codes") {
        "Target.ResponseCodeMismatch"
    } else if complaint.to_ascii_lowercase().contains("timed out") {
        "Target.Timeout"
    } else {
        "Target.FailedHealthChecks"
    }
}

impl Elb {
    pub(crate) fn register(&mut self, arn: &str, id: &str, port: u16, task: Option<TaskId>) {
        let Some(group) = self.target_groups.get_mut(arn) else { return };
        let target = Target {
            state: TargetState::Initial,
            complaint: String::new(),
            successes: 0,
            failures: 0,
            task,
        };
        let entry = group.targets.entry((id.to_owned(), port));
        entry
            .and_modify(|known| {
                if known.state == TargetState::Draining || task.is_some() {
                    *known = target.clone();
                }
            })
            .or_insert(target);
        self.changed.insert(arn.to_owned());
    }

    pub(crate) fn state_of(&self, arn: &str, id: &str, port: u16) -> Option<TargetState> {
        self.target(arn, id, port).map(|target| target.state)
    }

    /// The task that ECS registered there.
    pub(crate) fn task_at(&self, arn: &str, id: &str, port: u16) -> Option<TaskId> {
        self.target(arn, id, port)?.task
    }

    pub(crate) fn shown_state(&self, arn: &str, id: &str, port: u16) -> Option<&'static str> {
        let in_use = self.in_use(arn);
        self.target(arn, id, port).map(|target| target.shown_state(in_use).word())
    }

    pub(crate) fn complaint_of(&self, arn: &str, id: &str, port: u16) -> String {
        self.target(arn, id, port).map(|target| target.complaint.clone()).unwrap_or_default()
    }

    fn target(&self, arn: &str, id: &str, port: u16) -> Option<&Target> {
        self.target_groups.get(arn)?.targets.get(&(id.to_owned(), port))
    }

    /// The deregistration delay is over.
    pub(crate) fn forget_drained(&mut self, arn: &str, id: &str, port: u16) {
        let Some(group) = self.target_groups.get_mut(arn) else { return };
        let key = (id.to_owned(), port);
        if group.targets.get(&key).is_some_and(|target| target.state == TargetState::Draining) {
            group.targets.remove(&key);
            self.changed.insert(arn.to_owned());
        }
    }
}

impl State {
    pub(super) fn register_targets(&mut self, input: &Value) -> Result<Value, ApiError> {
        let arn = required(input, "TargetGroupArn")?.to_owned();
        for (id, port) in self.named_targets(&arn, input)? {
            self.elb.register(&arn, &id, port, None);
        }
        self.targets_changed(&arn);
        Ok(json!({}))
    }

    pub(super) fn deregister_targets(&mut self, input: &Value) -> Result<Value, ApiError> {
        let arn = required(input, "TargetGroupArn")?.to_owned();
        for (id, port) in self.named_targets(&arn, input)? {
            self.deregister_target(&arn, &id, port);
        }
        Ok(json!({}))
    }

    fn named_targets(&self, arn: &str, input: &Value) -> Result<Vec<(String, u16)>, ApiError> {
        let group = self.elb.target_groups.get(arn).ok_or_else(|| target_group_missing(arn))?;
        let targets = list(input, "Targets").iter().map(|target| {
            let id = required(target, "Id")?.to_owned();
            let port = count(target, "Port").and_then(|port| u16::try_from(port).ok());
            let port = port.or(group.port()).ok_or_else(|| validation("A port must be given"))?;
            Ok((id, port))
        });
        targets.collect()
    }

    /// Starts draining; how long it takes. A target that gets no traffic leaves at once.
    pub(crate) fn deregister_target(&mut self, arn: &str, id: &str, port: u16) -> Duration {
        let in_use = self.elb.in_use(arn);
        let Some(group) = self.elb.target_groups.get_mut(arn) else { return Duration::ZERO };
        let key = (id.to_owned(), port);
        let delay = if in_use { group.deregistration_delay() } else { Duration::ZERO };
        let Some(target) = group.targets.get_mut(&key) else { return Duration::ZERO };
        if target.state == TargetState::Draining {
            return delay;
        }
        target.state = TargetState::Draining;
        target.task = None;
        if delay.is_zero() {
            group.targets.remove(&key);
        } else {
            let timer = Timer::Drained { target_group: arn.to_owned(), id: key.0, port };
            self.after(delay, timer);
        }
        self.targets_changed(arn);
        delay
    }

    pub(crate) fn targets_changed(&mut self, arn: &str) {
        self.elb.changed.insert(arn.to_owned());
        if self.effects.last() != Some(&Effect::LoadBalancingChanged) {
            self.effects.push(Effect::LoadBalancingChanged);
        }
    }

    /// One health check ended. A new target is healthy after one success.
    pub(crate) fn target_checked(
        &mut self,
        arn: &str,
        id: &str,
        port: u16,
        result: &Result<(), String>,
    ) {
        let Some(group) = self.elb.target_groups.get_mut(arn) else { return };
        let check = group.health_check.clone();
        let Some(target) = group.targets.get_mut(&(id.to_owned(), port)) else { return };
        let before = target.state;
        match result {
            Ok(()) => {
                target.failures = 0;
                target.successes += 1;
                let enough =
                    before == TargetState::Initial || target.successes >= check.healthy_threshold;
                if enough && before != TargetState::Draining {
                    target.state = TargetState::Healthy;
                }
            }
            Err(complaint) => {
                target.successes = 0;
                target.failures += 1;
                complaint.clone_into(&mut target.complaint);
                if target.failures >= check.unhealthy_threshold && before != TargetState::Draining {
                    target.state = TargetState::Unhealthy;
                }
            }
        }
        let (after, task) = (target.state, target.task);
        if before != after {
            self.elb.changed.insert(arn.to_owned());
            self.effects.push(Effect::LoadBalancingChanged);
            if let Some(task) = task {
                self.target_of_task_changed(task, arn, port, after == TargetState::Healthy);
            }
        }
    }

    fn target_of_task_changed(&mut self, id: TaskId, arn: &str, port: u16, healthy: bool) {
        let Some(task) = self.tasks.get_mut(&id) else { return };
        let service = task.service;
        for target in &mut task.targets {
            if target.target_group == arn && target.port == port {
                target.healthy = healthy;
            }
        }
        self.look_after_change(service);
    }

    pub(super) fn describe_target_health(&self, input: &Value) -> Result<Value, ApiError> {
        let arn = required(input, "TargetGroupArn")?;
        let group = self.elb.target_groups.get(arn).ok_or_else(|| target_group_missing(arn))?;
        let in_use = self.elb.in_use(arn);
        let asked = list(input, "Targets");
        let found = group.targets.iter().filter(|((id, port), _)| {
            asked.is_empty() || asked.iter().any(|one| is_target(one, id, *port))
        });
        let mut descriptions: Vec<Value> = found
            .map(|((id, port), target)| {
                let mut health = Map::new();
                health.insert("State".to_owned(), json!(target.shown_state(in_use).word()));
                if let Some((reason, description)) = target.reason(in_use) {
                    health.insert("Reason".to_owned(), json!(reason));
                    health.insert("Description".to_owned(), json!(description));
                }
                json!({
                    "Target": {"Id": id, "Port": port, "AvailabilityZone": "all"},
                    "HealthCheckPort": port.to_string(),
                    "TargetHealth": health,
                })
            })
            .collect();
        descriptions.extend(asked.iter().filter_map(|one| unregistered(group, one)));
        Ok(json!({"TargetHealthDescriptions": descriptions}))
    }
}

fn is_target(asked: &Value, id: &str, port: u16) -> bool {
    text(asked, "Id") == Some(id)
        && count(asked, "Port").is_none_or(|asked| asked == u32::from(port))
}

fn unregistered(group: &super::TargetGroup, asked: &Value) -> Option<Value> {
    if group.targets.keys().any(|(id, port)| is_target(asked, id, *port)) {
        return None;
    }
    Some(json!({
        "Target": asked,
        "TargetHealth": {
            "State": "unused",
            "Reason": "Target.NotRegistered",
            "Description": "Target is not registered to the target group",
        },
    }))
}
