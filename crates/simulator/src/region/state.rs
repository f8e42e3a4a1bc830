//! Everything the region remembers; never what callers are told about it.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use super::cluster::Cluster;
use super::kept::{Kept, Shared};
use super::service::{Service, ServiceId};
use super::task::{Task, TaskId};
use super::task_definition::Family;
use super::timers::Timers;
use super::{Settings, Timer, Timings};
use crate::cloudwatch::CloudWatch;
use crate::code_deploy::CodeDeploy;
use crate::elb::Elb;
use crate::{Effect, Happening};

#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(crate) settings: Arc<Settings>,
    pub(crate) timings: Arc<Timings>,
    pub(crate) now: Timestamp,
    pub(crate) rng: fastrand::Rng,
    pub(crate) timers: Shared<Timers>,
    pub(crate) clusters: Shared<BTreeMap<String, Cluster>>,
    pub(crate) families: Kept<String, Family>,
    pub(crate) services: Kept<ServiceId, Service>,
    /// Cluster and service name to the newest service of that name.
    pub(crate) names: Shared<BTreeMap<(String, String), ServiceId>>,
    pub(crate) tasks: Kept<TaskId, Task>,
    pub(crate) elb: Shared<Elb>,
    pub(crate) cloudwatch: Shared<CloudWatch>,
    pub(crate) code_deploy: Shared<CodeDeploy>,
    pub(crate) capacity: Capacity,
    pub(crate) effects: Vec<Effect>,
    pub(crate) events: Shared<Vec<Value>>,
    pub(crate) sequence: u64,
    pub(crate) events_wanted: bool,
}

/// Where tasks can be placed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Capacity {
    pub(crate) lost_until: Option<Timestamp>,
    /// Letter of the availability zone to the end of its loss.
    pub(crate) zones_lost: BTreeMap<char, Timestamp>,
}

impl State {
    pub(crate) fn new(settings: Settings, timings: Timings, now: Timestamp) -> Self {
        Self {
            rng: fastrand::Rng::with_seed(settings.seed),
            settings: Arc::new(settings),
            timings: Arc::new(timings),
            now,
            timers: Shared::default(),
            clusters: Shared::default(),
            families: Kept::default(),
            services: Kept::default(),
            names: Shared::default(),
            tasks: Kept::default(),
            elb: Shared::default(),
            cloudwatch: Shared::default(),
            code_deploy: Shared::default(),
            capacity: Capacity::default(),
            effects: Vec::new(),
            events: Shared::default(),
            sequence: 0,
            events_wanted: false,
        }
    }

    pub(crate) fn next_sequence(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }

    pub(crate) fn after(&mut self, delay: std::time::Duration, timer: Timer) {
        let at = self.now + delay;
        self.timers.add(at, timer);
    }

    /// Carries out a timer that is due.
    pub(crate) fn run(&mut self, timer: Timer) {
        match timer {
            Timer::Schedule(service) => self.schedule(service),
            Timer::Task(task, step) => self.task_due(task, step),
            Timer::Kill(task) => self.kill_task(task),
            Timer::Forget(task) => self.forget_task(task),
            Timer::ForgetService(service) => self.forget_service(service),
            Timer::ServiceDeployment(service, id) => self.service_deployment_due(service, id),
            Timer::Stage(service, id, entered) => self.stage_due(service, id, entered),
            Timer::StageExpires(service, id, entered) => self.stage_expires(service, id, entered),
            Timer::HookAnswers(service, id, hook) => self.hook_answers(service, id, &hook),
            Timer::HookExpires(service, id, hook) => self.hook_expires(service, id, &hook),
            Timer::Breaker(service, deployment) => self.breaker_due(service, deployment),
            Timer::DeploymentAlarm(service, deployment) => {
                self.deployment_alarm_due(service, deployment);
            }
            Timer::Drained { target_group, id, port } => {
                self.elb.forget_drained(&target_group, &id, port);
            }
            Timer::CodeDeploy(number, entered) => self.code_deploy_due(number, entered),
            Timer::CodeDeployStops(number) => self.code_deploy_stops(number),
            Timer::CodeDeployAlarms(number) => self.code_deploy_polls_alarms(number),
            Timer::EvaluateAlarms => self.evaluate_alarms(),
            Timer::SendMetrics(start) => self.send_metrics(start),
        }
    }

    pub(crate) fn happened(&mut self, happening: Happening) {
        match happening {
            Happening::TaskRunning { task, address, ports } => {
                self.task_runs(&task, address, &ports);
            }
            Happening::TaskFailedToStart { task, reason } => self.task_failed(&task, &reason),
            Happening::ContainerExited { task, container, exit_code, reason } => {
                self.container_exited(&task, &container, exit_code, reason);
            }
            Happening::ContainerHealth { task, container, passed } => {
                self.container_checked(&task, &container, passed);
            }
            Happening::TargetHealth { target_group, id, port, result } => {
                self.target_checked(&target_group, &id, port, &result);
            }
            Happening::BalancersReport(tallies) => self.balancers_reported(&tallies),
        }
    }

    pub(crate) fn lose_capacity(&mut self, until: Timestamp) {
        self.capacity.lost_until = Some(until);
    }

    pub(crate) fn lose_zone(&mut self, zone: &str, until: Timestamp) {
        let Some(letter) = zone.chars().next_back() else { return };
        self.capacity.zones_lost.insert(letter, until);
        let lost: Vec<TaskId> = self
            .tasks
            .values()
            .filter(|task| task.zone == letter && !task.is_stopped())
            .map(|task| task.id)
            .collect();
        for task in lost {
            self.lose_task(task);
        }
    }

    /// The zones in which a task can be placed now; empty while capacity is lost.
    pub(crate) fn open_zones(&self) -> Vec<char> {
        if self.capacity.lost_until.is_some_and(|until| self.now < until) {
            return Vec::new();
        }
        let lost = |letter: &char| {
            self.capacity.zones_lost.get(letter).is_some_and(|until| self.now < *until)
        };
        ['a', 'b', 'c'].into_iter().filter(|letter| !lost(letter)).collect()
    }
}
