//! What is true of one service in the region, whatever anybody was told; never changes it.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

/// The whole truth about one service at one instant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceFacts {
    pub at: Timestamp,
    pub cluster: String,
    pub name: String,
    pub arn: String,
    pub life: Life,
    pub desired: u32,
    pub minimum_healthy_percent: u32,
    pub maximum_percent: u32,
    pub tags: BTreeMap<String, String>,
    /// PRIMARY first, then from newest to oldest.
    pub deployments: Vec<DeploymentFacts>,
    /// Stopped ones too, for as long as they are described.
    pub tasks: Vec<TaskFacts>,
    /// Service deployments, oldest first.
    pub history: Vec<HistoryFacts>,
    /// Names and states (`OK`, `ALARM`, `INSUFFICIENT_DATA`) of all alarms of the region.
    pub alarms: BTreeMap<String, &'static str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    Active,
    Draining,
    Inactive,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeploymentFacts {
    /// The digits of `ecs-svc/6216346761948112104`.
    pub id: u64,
    pub course: DeploymentCourse,
    /// The ARN of its task definition.
    pub definition: Arc<str>,
    /// The digits at the end of its service revision's ARN: its own id, unless ECS returned to an
    /// earlier one.
    pub revision: u64,
    pub created_at: Timestamp,
    pub failed_tasks: u32,
    /// What the rule that carries production traffic gives its target group, in tenths of a percent;
    /// `None` where no rule moves traffic.
    pub share: Option<u32>,
    /// Requests that its target group ever failed to serve, for this deployment or an earlier one.
    pub failed_requests: u64,
}

/// `rolloutState`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeploymentCourse {
    InProgress,
    Completed,
    Failed,
}

#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts of a task")]
pub struct TaskFacts {
    /// Grows from task to task in the whole region.
    pub id: u64,
    /// The deployment that started it.
    pub deployment: u64,
    pub definition: Arc<str>,
    /// `lastStatus`.
    pub state: &'static str,
    /// `desiredStatus` is RUNNING.
    pub wanted: bool,
    /// Counts as healthy for ECS's scheduler now.
    pub healthy: bool,
    /// Has counted so at least once.
    pub was_healthy: bool,
    /// Its health checks fail, so that ECS replaces it, first if there is room.
    pub failing: bool,
    pub created_at: Timestamp,
    pub started_at: Option<Timestamp>,
    pub stopping_at: Option<Timestamp>,
    /// `stopCode`, once it is being stopped.
    pub stop_code: Option<&'static str>,
    pub stopped_reason: Option<Arc<str>>,
}

/// One service deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryFacts {
    pub arn: String,
    /// `IN_PROGRESS`, `ROLLBACK_SUCCESSFUL`, …
    pub status: &'static str,
    /// The number of the target revision, and its task definition.
    pub revision: u64,
    pub definition: Arc<str>,
    pub created_at: Timestamp,
}

impl ServiceFacts {
    pub fn primary(&self) -> Option<&DeploymentFacts> {
        self.deployments.first()
    }

    pub fn healthy_tasks(&self) -> usize {
        self.tasks.iter().filter(|task| task.healthy).count()
    }

    /// One deployment, complete, with every task that it is to have.
    pub fn is_steady(&self) -> bool {
        let [only] = self.deployments.as_slice() else { return false };
        only.course == DeploymentCourse::Completed
            && self.healthy_tasks() == usize::try_from(self.desired).unwrap_or(usize::MAX)
    }
}

impl TaskFacts {
    /// It exists, or is about to: neither stopped nor being stopped.
    pub fn lives(&self) -> bool {
        self.wanted && self.state != "STOPPED"
    }
}
