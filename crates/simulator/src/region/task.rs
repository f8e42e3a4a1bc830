//! Tasks and their way through the states; never which ones should exist.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::identifiers::{task_hex, task_id};
use super::service::{LoadBalancer, ServiceId};
use super::tags::Tags;
use super::task_definition::TaskContent;
use super::{State, Timer};
use crate::{ContainerLaunch, Effect, TaskLaunch};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TaskId(pub(crate) u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum TaskState {
    Provisioning,
    Pending,
    Activating,
    Running,
    Deactivating,
    Stopping,
    Deprovisioning,
    Stopped,
}

impl TaskState {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Provisioning => "PROVISIONING",
            Self::Pending => "PENDING",
            Self::Activating => "ACTIVATING",
            Self::Running => "RUNNING",
            Self::Deactivating => "DEACTIVATING",
            Self::Stopping => "STOPPING",
            Self::Deprovisioning => "DEPROVISIONING",
            Self::Stopped => "STOPPED",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Health {
    Unknown,
    Healthy,
    Unhealthy,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StopCode {
    TaskFailedToStart,
    EssentialContainerExited,
    UserInitiated,
    ServiceSchedulerInitiated,
    InfrastructureHealth,
}

impl StopCode {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::TaskFailedToStart => "TaskFailedToStart",
            Self::EssentialContainerExited => "EssentialContainerExited",
            Self::UserInitiated => "UserInitiated",
            Self::ServiceSchedulerInitiated => "ServiceSchedulerInitiated",
            Self::InfrastructureHealth => "InfrastructureHealth",
        }
    }
}

#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "four independent facts of a task")]
pub(crate) struct Task {
    pub(crate) id: TaskId,
    pub(crate) hex: String,
    pub(crate) arn: String,
    pub(crate) cluster: String,
    pub(crate) service: ServiceId,
    pub(crate) deployment: u64,
    pub(crate) content: Arc<TaskContent>,
    pub(crate) fargate: bool,
    pub(crate) state: TaskState,
    /// Counts the steps, so that a timer of an earlier one is seen as such.
    step: u32,
    /// desiredStatus is RUNNING.
    pub(crate) wanted: bool,
    pub(crate) version: u64,
    pub(crate) address: IpAddr,
    pub(crate) zone: char,
    pub(crate) containers: Vec<Container>,
    pub(crate) targets: Vec<TaskTarget>,
    pub(crate) load_balancers: Vec<LoadBalancer>,
    /// It has counted as healthy at least once.
    pub(crate) was_healthy: bool,
    /// Why the scheduler should replace it, and its target group if a load balancer says so.
    pub(crate) failing: Option<String>,
    pub(crate) stop_code: Option<StopCode>,
    pub(crate) stopped_reason: Option<Arc<str>>,
    pub(crate) times: Times,
    pub(crate) tags: Tags,
    pub(crate) protected: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Times {
    pub(crate) created: Timestamp,
    pub(crate) pull_started: Option<Timestamp>,
    pub(crate) started: Option<Timestamp>,
    pub(crate) stopping: Option<Timestamp>,
    pub(crate) execution_stopped: Option<Timestamp>,
    pub(crate) stopped: Option<Timestamp>,
}

#[derive(Clone, Debug)]
pub(crate) struct Container {
    pub(crate) health: Health,
    /// Failed checks in a row that count.
    failures: u32,
    pub(crate) exit_code: Option<i32>,
    pub(crate) reason: Option<String>,
    pub(crate) exited: bool,
}

/// A task's registration in a target group.
#[derive(Clone, Debug)]
pub(crate) struct TaskTarget {
    pub(crate) target_group: String,
    pub(crate) port: u16,
    pub(crate) healthy: bool,
}

impl Task {
    pub(crate) fn is_running(&self) -> bool {
        self.state == TaskState::Running
    }

    pub(crate) fn is_pending(&self) -> bool {
        self.state < TaskState::Running
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.state == TaskState::Stopped
    }

    pub(crate) fn is_wanted(&self) -> bool {
        self.wanted && !self.is_stopped()
    }

    /// DescribeTasks.tasks[].healthStatus.
    pub(crate) fn health(&self) -> Health {
        let essential = || {
            let pairs = self.containers.iter().zip(&self.content.containers);
            pairs.filter(|(_, content)| content.essential).map(|(container, _)| container.health)
        };
        if essential().any(|health| health == Health::Unhealthy) {
            Health::Unhealthy
        } else if essential().any(|health| health == Health::Unknown) {
            Health::Unknown
        } else {
            Health::Healthy
        }
    }

    fn has_checks(&self) -> bool {
        let mut contents = self.content.containers.iter();
        contents.any(|content| content.essential && content.health_check.is_some())
    }

    /// Whether the scheduler counts it as healthy. Source: reference page 2.2.
    pub(crate) fn is_healthy(&self, now: Timestamp, without_check: Duration) -> bool {
        if !self.is_running() || !self.wanted {
            return false;
        }
        let checks = !self.has_checks() || self.checked_healthy();
        let targets = self.targets.iter().all(|target| target.healthy);
        let unchecked = !self.has_checks() && self.targets.is_empty();
        let since = self.times.started.unwrap_or(now);
        checks && targets && (!unchecked || now >= since + without_check)
    }

    /// All essential containers that have a check passed it.
    fn checked_healthy(&self) -> bool {
        self.containers.iter().zip(&self.content.containers).all(|(container, content)| {
            !content.essential
                || content.health_check.is_none()
                || container.health == Health::Healthy
        })
    }

    /// The last check of the container health of an essential container failed for good.
    pub(crate) fn container_unhealthy(&self) -> bool {
        self.health() == Health::Unhealthy
    }

    fn longest_stop_timeout(&self) -> Duration {
        let timeouts = self.content.containers.iter().map(|content| content.stop_timeout);
        timeouts.max().unwrap_or_default()
    }
}

/// What the scheduler says about a task to be started.
pub(crate) struct Start {
    pub(crate) service: ServiceId,
    pub(crate) deployment: u64,
    pub(crate) zone: char,
}

impl State {
    pub(crate) fn start_task(&mut self, start: &Start) -> Option<TaskId> {
        let id = TaskId(self.next_sequence());
        let hex = task_hex(self.rng.u64(..), id);
        let service = self.services.get(&start.service)?;
        let deployment = service.launcher(start.deployment)?;
        let content = Arc::clone(&deployment.revision.task_definition);
        let task = Task {
            id,
            arn: self.ecs_arn(&format!("task/{}/{hex}", service.cluster)),
            hex,
            cluster: service.cluster.clone(),
            service: start.service,
            deployment: start.deployment,
            fargate: deployment.revision.fargate(),
            state: TaskState::Provisioning,
            step: 0,
            wanted: true,
            version: 1,
            address: address_of(id),
            zone: start.zone,
            containers: content.containers.iter().map(|_| Container::new()).collect(),
            targets: Vec::new(),
            load_balancers: deployment.revision.load_balancers.clone(),
            was_healthy: false,
            failing: None,
            stop_code: None,
            stopped_reason: None,
            times: Times::new(self.now),
            tags: self.task_tags(service, &content),
            content,
            protected: false,
        };
        self.tasks.insert(id, task);
        if let Some(service) = self.services.get_mut(&start.service) {
            service.tasks.insert(id);
        }
        self.emit_task(id);
        self.after(self.timings.provisioning, Timer::Task(id, 0));
        Some(id)
    }

    /// propagateTags and enableECSManagedTags act when a task is made.
    fn task_tags(&self, service: &super::service::Service, content: &TaskContent) -> Tags {
        let setting = |name: &str| service.settings.get(name).and_then(serde_json::Value::as_str);
        let mut tags = match setting("propagateTags") {
            Some("SERVICE") => service.tags.clone(),
            Some("TASK_DEFINITION") => {
                self.revision_of(content).map(|revision| revision.tags.clone()).unwrap_or_default()
            }
            _ => Tags::new(),
        };
        if service.settings.get("enableECSManagedTags") == Some(&serde_json::Value::Bool(true)) {
            tags.insert("aws:ecs:clusterName".to_owned(), service.cluster.clone());
            tags.insert("aws:ecs:serviceName".to_owned(), service.name.clone());
        }
        tags
    }

    /// Puts a task into another state and tells about it.
    fn enter(&mut self, id: TaskId, state: TaskState) -> Option<u32> {
        let task = self.tasks.get_mut(&id)?;
        task.state = state;
        task.step += 1;
        task.version += 1;
        let step = task.step;
        self.emit_task(id);
        Some(step)
    }

    fn enter_for(&mut self, id: TaskId, state: TaskState, duration: Duration) {
        if let Some(step) = self.enter(id, state) {
            self.after(duration, Timer::Task(id, step));
        }
    }

    /// The time of a state is over.
    pub(crate) fn task_due(&mut self, id: TaskId, step: u32) {
        let Some(task) = self.tasks.get(&id).filter(|task| task.step == step) else { return };
        match task.state {
            TaskState::Provisioning => {
                self.enter_for(id, TaskState::Pending, self.timings.pending);
            }
            TaskState::Pending => self.activate(id),
            TaskState::Deactivating => self.signal(id),
            TaskState::Stopping => self.deprovision(id),
            TaskState::Deprovisioning => self.finish(id),
            TaskState::Activating | TaskState::Running | TaskState::Stopped => {}
        }
    }

    fn activate(&mut self, id: TaskId) {
        let now = self.now;
        self.enter(id, TaskState::Activating);
        let Some(task) = self.tasks.get_mut(&id) else { return };
        task.times.pull_started = Some(now);
        self.effects.push(Effect::StartTask(launch(task)));
    }

    pub(crate) fn task_runs(&mut self, arn: &str, address: IpAddr, ports: &BTreeMap<u16, u16>) {
        let now = self.now;
        let Some(task) = self.reported(arn).filter(|task| task.state == TaskState::Activating)
        else {
            return;
        };
        let (id, service, deployment) = (task.id, task.service, task.deployment);
        task.address = address;
        task.times.started = Some(now);
        self.enter(id, TaskState::Running);
        self.register_targets_of(id, ports);
        if let Some(deployment) = self.deployment_mut(service, deployment) {
            deployment.has_run = true;
        }
        let Some(task) = self.tasks.get(&id) else { return };
        if task.targets.is_empty() && !task.has_checks() {
            let at = now + self.timings.healthy_without_check;
            self.timers.add(at, Timer::Schedule(service));
        }
        self.look_after_change(service);
    }

    fn register_targets_of(&mut self, id: TaskId, ports: &BTreeMap<u16, u16>) {
        let Some(task) = self.tasks.get_mut(&id) else { return };
        let (service, address) = (task.service, task.address.to_string());
        let balancers = task.load_balancers.clone();
        for balancer in balancers {
            let port = ports.get(&balancer.port).copied().unwrap_or(balancer.port);
            let group = balancer.target_group;
            self.elb.register(&group, &address, port, Some(id));
            if let Some(task) = self.tasks.get_mut(&id) {
                task.targets.push(TaskTarget { target_group: group.clone(), port, healthy: false });
            }
            self.effects.push(Effect::LoadBalancingChanged);
            self.say(service, |service| {
                format!("(service {}) registered 1 targets in (target-group {group})", service.name)
            });
        }
    }

    pub(crate) fn task_failed(&mut self, arn: &str, reason: &str) {
        let Some(task) = self.reported(arn).filter(|task| task.is_pending()) else { return };
        let id = task.id;
        task.stop_code.get_or_insert(StopCode::TaskFailedToStart);
        task.stopped_reason.get_or_insert_with(|| reason.into());
        task.wanted = false;
        self.deprovision(id);
    }

    pub(crate) fn container_exited(
        &mut self,
        arn: &str,
        container: &str,
        exit_code: i32,
        reason: Option<String>,
    ) {
        let now = self.now;
        let Some(task) = self.reported(arn) else { return };
        let id = task.id;
        let Some(index) = task.content.containers.iter().position(|one| one.name == container)
        else {
            return;
        };
        let essential = task.content.containers.get(index).is_some_and(|one| one.essential);
        if let Some(container) = task.containers.get_mut(index) {
            container.exited = true;
            container.exit_code = Some(exit_code);
            container.reason = reason;
        }
        let all = task.containers.iter().all(|container| container.exited);
        match task.state {
            TaskState::Running | TaskState::Activating if essential || all => {
                task.wanted = false;
                task.stop_code.get_or_insert(StopCode::EssentialContainerExited);
                task.stopped_reason
                    .get_or_insert_with(|| "Essential container in task exited".into());
                task.times.stopping = Some(now);
                self.deregister_targets_of(id);
                if all { self.deprovision(id) } else { self.signal(id) }
            }
            TaskState::Deactivating | TaskState::Stopping if all => self.deprovision(id),
            _ => {}
        }
    }

    pub(crate) fn container_checked(&mut self, arn: &str, container: &str, passed: bool) {
        let now = self.now;
        let Some(task) = self.reported(arn).filter(|task| task.is_running()) else { return };
        let service = task.service;
        let started = task.times.started.unwrap_or(now);
        let Some(index) = task.content.containers.iter().position(|one| one.name == container)
        else {
            return;
        };
        let check = task.content.containers.get(index).and_then(|one| one.health_check.as_ref());
        let (Some(check), Some(state)) = (check, task.containers.get_mut(index)) else { return };
        let before = state.health;
        if passed {
            state.failures = 0;
            state.health = Health::Healthy;
        } else if now >= started + check.start_period {
            state.failures += 1;
            if state.failures >= check.retries {
                state.health = Health::Unhealthy;
            }
        }
        if state.health != before {
            task.version += 1;
            self.look_after_change(service);
        }
    }

    /// Sets desiredStatus to STOPPED.
    pub(crate) fn stop_task_for(&mut self, id: TaskId, code: StopCode, reason: &str) {
        let now = self.now;
        let Some(task) = self.tasks.get_mut(&id).filter(|task| task.is_wanted()) else { return };
        task.wanted = false;
        task.stop_code = Some(code);
        task.stopped_reason = Some(reason.into());
        task.times.stopping = Some(now);
        match task.state {
            TaskState::Provisioning | TaskState::Pending => self.deprovision(id),
            TaskState::Activating => self.signal(id),
            TaskState::Running if task.targets.is_empty() => self.signal(id),
            TaskState::Running => {
                let drain = self.deregister_targets_of(id);
                self.enter_for(id, TaskState::Deactivating, drain);
            }
            _ => {}
        }
    }

    /// Takes the task out of its target groups; how long until the last one has drained.
    fn deregister_targets_of(&mut self, id: TaskId) -> Duration {
        let Some(task) = self.tasks.get_mut(&id) else { return Duration::ZERO };
        let (service, deployment) = (task.service, task.deployment);
        let address = task.address.to_string();
        let targets = std::mem::take(&mut task.targets);
        let mut longest = Duration::ZERO;
        for target in &targets {
            let group = &target.target_group;
            let drain = self.deregister_target(group, &address, target.port);
            longest = longest.max(drain);
            self.say(service, |service| {
                format!(
                    "(service {}) deregistered 1 targets in (target-group {group})",
                    service.name
                )
            });
        }
        if !targets.is_empty() {
            self.say(service, |service| {
                format!(
                    "(service {}, taskSet ecs-svc/{deployment}) has begun draining connections on \
                     1 tasks.",
                    service.name
                )
            });
        }
        longest
    }

    /// STOPSIGNAL now, SIGKILL after stopTimeout.
    fn signal(&mut self, id: TaskId) {
        let Some(task) = self.tasks.get(&id) else { return };
        let (arn, timeout) = (task.arn.clone(), task.longest_stop_timeout());
        if task.containers.iter().all(|container| container.exited) {
            self.deprovision(id);
            return;
        }
        self.effects.push(Effect::SignalTask { task: arn });
        self.enter_for(id, TaskState::Stopping, timeout + self.timings.kill_grace);
        self.after(timeout, Timer::Kill(id));
    }

    pub(crate) fn kill_task(&mut self, id: TaskId) {
        let Some(task) = self.tasks.get(&id) else { return };
        if task.state == TaskState::Stopping {
            self.effects.push(Effect::KillTask { task: task.arn.clone() });
        }
    }

    fn deprovision(&mut self, id: TaskId) {
        let now = self.now;
        if let Some(task) = self.tasks.get_mut(&id) {
            task.times.stopping.get_or_insert(now);
            task.times.execution_stopped.get_or_insert(now);
        }
        let unstarted = self.tasks.get(&id).is_some_and(|task| task.times.pull_started.is_none());
        let duration = if unstarted {
            self.timings.deprovisioning_unstarted
        } else {
            self.timings.deprovisioning
        };
        self.enter_for(id, TaskState::Deprovisioning, duration);
    }

    fn finish(&mut self, id: TaskId) {
        if let Some(task) = self.tasks.get_mut(&id) {
            task.times.stopped = Some(self.now);
        }
        self.enter(id, TaskState::Stopped);
        self.after(self.timings.stopped_tasks_kept, Timer::Forget(id));
        let Some(task) = self.tasks.get(&id) else { return };
        let service = task.service;
        self.task_stopped(id);
        self.look_after_change(service);
    }

    pub(crate) fn forget_task(&mut self, id: TaskId) {
        let Some(task) = self.tasks.remove(&id) else { return };
        if let Some(service) = self.services.get_mut(&task.service) {
            service.tasks.remove(&id);
        }
    }

    /// The host or zone of a task is gone.
    pub(crate) fn lose_task(&mut self, id: TaskId) {
        let Some(task) = self.tasks.get_mut(&id) else { return };
        task.wanted = false;
        task.stop_code.get_or_insert(StopCode::InfrastructureHealth);
        task.stopped_reason
            .get_or_insert_with(|| "Task stopped because of an infrastructure failure.".into());
        let arn = task.arn.clone();
        if task.state >= TaskState::Activating {
            self.effects.push(Effect::KillTask { task: arn });
        }
        self.deregister_targets_of(id);
        self.deprovision(id);
    }

    fn reported(&mut self, arn: &str) -> Option<&mut Task> {
        let id = task_id(arn)?;
        self.tasks.get_mut(&id).filter(|task| task.arn == arn)
    }
}

impl Container {
    fn new() -> Self {
        Self { health: Health::Unknown, failures: 0, exit_code: None, reason: None, exited: false }
    }
}

impl Times {
    fn new(created: Timestamp) -> Self {
        Self {
            created,
            pull_started: None,
            started: None,
            stopping: None,
            execution_stopped: None,
            stopped: None,
        }
    }
}

/// An address of 10.0.0.0/8 that no other of the last sixteen million tasks has.
fn address_of(id: TaskId) -> IpAddr {
    let [.., b, c, d] = id.0.to_be_bytes();
    IpAddr::V4(Ipv4Addr::new(10, b, c, d))
}

fn launch(task: &Task) -> TaskLaunch {
    let containers = task.content.containers.iter().map(|content| ContainerLaunch {
        name: content.name.clone(),
        image: content.image.clone(),
        essential: content.essential,
        entry_point: content.entry_point.clone(),
        command: content.command.clone(),
        environment: content.environment.clone(),
        container_ports: content.ports.clone(),
        health_check: content.health_check.clone(),
        stop_timeout: content.stop_timeout,
    });
    TaskLaunch { task: task.arn.clone(), address: task.address, containers: containers.collect() }
}
