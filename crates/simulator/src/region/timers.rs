//! What is due when, in a fixed order; never looks at what it is due for.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::service::ServiceId;
use super::task::TaskId;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Timer {
    /// The scheduler looks at a service.
    Schedule(ServiceId),
    /// A task takes its next step, unless it has taken another one since.
    Task(TaskId, u32),
    /// SIGKILL after stopTimeout.
    Kill(TaskId),
    Forget(TaskId),
    ForgetService(ServiceId),
    /// A service deployment takes its next step.
    ServiceDeployment(ServiceId, u64),
    /// The time of a stage of a service deployment is over: the service, the deployment, and how many
    /// stages it had entered.
    Stage(ServiceId, u64, u64),
    /// A stage has taken longer than it may.
    StageExpires(ServiceId, u64, u64),
    /// The function of a hook answers.
    HookAnswers(ServiceId, u64, String),
    HookExpires(ServiceId, u64, String),
    /// The breaker looks at a deployment whose count has reached the threshold.
    Breaker(ServiceId, u64),
    /// ECS polls the alarms of a deployment of which one is red.
    DeploymentAlarm(ServiceId, u64),
    /// A deregistered target has drained.
    Drained {
        target_group: String,
        id: String,
        port: u16,
    },
    /// The time of a step of a CodeDeploy deployment is over: its number, and how many steps it had
    /// entered.
    CodeDeploy(u64, u64),
    /// A CodeDeploy deployment acts on StopDeployment.
    CodeDeployStops(u64),
    /// A CodeDeploy deployment polls its alarms.
    CodeDeployAlarms(u64),
    EvaluateAlarms,
    /// What load balancers measured in the minute that began at that second can be read.
    SendMetrics(i64),
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Timers {
    due: BTreeMap<(Timestamp, u64), Timer>,
    sequence: u64,
}

impl Timers {
    pub(crate) fn add(&mut self, at: Timestamp, timer: Timer) {
        self.sequence += 1;
        self.due.insert((at, self.sequence), timer);
    }

    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.due.first_key_value().map(|((at, _), _)| *at)
    }

    pub(crate) fn pop_due(&mut self, now: Timestamp) -> Option<(Timestamp, Timer)> {
        let first = self.due.first_entry().filter(|entry| entry.key().0 <= now)?;
        let ((at, _), timer) = first.remove_entry();
        Some((at, timer))
    }
}
