//! How a change is rolled out and when it is judged bad; never says what the change is.

pub(crate) mod read;

use std::time::Duration;

use serde::Serialize;

/// `spec.rollout`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Rollout {
    pub strategy: Strategy,
    pub breaker: Breaker,
    pub probe: Probe,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub enum Strategy {
    #[default]
    Rolling,
}

/// `spec.rollout.breaker`: how much failure a revision may show before it is rejected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Breaker {
    /// Tasks that never reached RUNNING for a reason another try may cure (ECS's stage 1).
    pub launch_failures: Threshold,
    /// Tasks replaced because a health check failed (ECS's stage 2).
    pub health_failures: Threshold,
    /// Tasks whose essential container exited after RUNNING.
    pub crashes: Threshold,
    /// Tasks that can never start as written: no image, no permission, bad command.
    pub doomed: Threshold,
    /// `CloudWatch` alarms that must not be in ALARM.
    pub alarms: Vec<String>,
    /// The longest time without a task becoming healthy.
    pub progress_deadline: Duration,
    pub on_failure: OnFailure,
    pub counting: Counting,
}

impl Default for Breaker {
    fn default() -> Self {
        Self {
            launch_failures: Threshold::Auto,
            health_failures: Threshold::Auto,
            crashes: Threshold::Auto,
            doomed: Threshold::Count(1),
            alarms: Vec::new(),
            progress_deadline: Duration::from_mins(10),
            on_failure: OnFailure::Rollback,
            counting: Counting::Consecutive,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Threshold {
    /// ECS's formula: half of the desired count, at least 3 and at most 200; 2 while probing, so
    /// that a revision that never works starts no more than three tasks at any size.
    Auto,
    /// At least 1.
    Count(u32),
    /// Percent of the desired count, 1 to 100, rounded up.
    Percent(u8),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub enum OnFailure {
    #[default]
    Rollback,
    Hold,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub enum Counting {
    /// A task that becomes healthy sets the counts back to zero.
    #[default]
    Consecutive,
    Cumulative,
}

/// `spec.rollout.probe`: one task first, the rest when it has proved healthy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Probe {
    pub enabled: bool,
    /// How long the first task must stay healthy before the rollout widens.
    pub healthy_for: Duration,
}

impl Default for Probe {
    fn default() -> Self {
        Self { enabled: true, healthy_for: Duration::from_secs(30) }
    }
}
