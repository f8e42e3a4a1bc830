//! What the region asks of the world and what the world tells the region; never carries it out.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

/// Something that the region wants done. The world answers with [`Happening`]s.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Pull the images and start the containers of a task.
    StartTask(TaskLaunch),
    /// Ask a task's containers to end (STOPSIGNAL, SIGTERM by default).
    SignalTask { task: String },
    /// End them at once (SIGKILL), after stopTimeout.
    KillTask { task: String },
    /// The load balancing of a target group changed: targets, health checks, listeners or weights.
    /// The world reads the new state with [`crate::Region::target_groups`].
    LoadBalancingChanged,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskLaunch {
    /// The task's ARN.
    pub task: String,
    /// The address that the region gave it (awsvpc); the world may report another one.
    pub address: IpAddr,
    pub containers: Vec<ContainerLaunch>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerLaunch {
    pub name: String,
    pub image: String,
    pub essential: bool,
    pub entry_point: Vec<String>,
    pub command: Vec<String>,
    pub environment: BTreeMap<String, String>,
    pub container_ports: Vec<u16>,
    pub health_check: Option<HealthCheck>,
    pub stop_timeout: Duration,
}

/// `containerDefinitions[].healthCheck` with ECS's defaults filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// `["CMD", …]` or `["CMD-SHELL", text]`.
    pub command: Vec<String>,
    pub interval: Duration,
    pub timeout: Duration,
    pub retries: u32,
    pub start_period: Duration,
}

/// Something that happened in the world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happening {
    /// All containers of the task run; `ports` maps a container port to where it really listens.
    TaskRunning {
        task: String,
        address: IpAddr,
        ports: BTreeMap<u16, u16>,
    },
    /// The task cannot start; `reason` in ECS's words (`CannotPullContainerError: …`).
    TaskFailedToStart {
        task: String,
        reason: String,
    },
    ContainerExited {
        task: String,
        container: String,
        exit_code: i32,
        reason: Option<String>,
    },
    /// One run of a container's health check ended.
    ContainerHealth {
        task: String,
        container: String,
        passed: bool,
    },
    /// One health check of a target by the load balancer ended.
    TargetHealth {
        target_group: String,
        id: String,
        port: u16,
        result: Result<(), String>,
    },
    /// What load balancers did since they last reported; nothing, if no requests came. Targets are
    /// counted at each report.
    BalancersReport(Vec<RequestTally>),
}

/// Requests that one load balancer answered, by the target group that it chose.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestTally {
    /// An ARN.
    pub load_balancer: String,
    /// An ARN; `None` for requests for which there was no target to choose, which AWS does not count
    /// as requests.
    pub target_group: Option<String>,
    /// Answers by targets: 2xx, 3xx, 4xx, 5xx.
    pub answers: [u32; 4],
    /// 5xx answers by the load balancer itself.
    pub balancer_errors: u32,
    /// Those of them because a target did not take the connection.
    pub refused: u32,
    /// From the request to the first byte of the target's answer.
    pub response_times: Vec<Duration>,
}

impl RequestTally {
    pub fn requests(&self) -> u32 {
        self.answers.iter().sum::<u32>() + self.balancer_errors
    }

    /// Answers with 5xx and connections that were not taken.
    pub fn failed(&self) -> u32 {
        let [.., bad] = self.answers;
        bad + self.refused
    }
}
