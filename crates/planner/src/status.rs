//! What people and machines are told about one service; never decides anything.

use std::time::Duration;

use evenkeel_manifest::{Digest, ServiceKey};
use jiff::Timestamp;
use serde::Serialize;

use crate::{BreakerCount, Evidence, Input, Plan, Wait};

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    pub key: ServiceKey,
    pub observed_at: Timestamp,
    /// The revision digest that the manifest wants.
    pub wanted: Option<Digest>,
    pub conditions: Vec<Condition>,
    pub rollout: Option<RolloutStatus>,
    pub breaker: Vec<BreakerCount>,
    pub evidence: Vec<Evidence>,
    pub waiting: Vec<Wait>,
    /// What the pass did, one sentence an action.
    pub did: Vec<String>,
    /// ECS's last service events, newest first, at most five.
    pub events: Vec<String>,
    pub desired_count: u32,
    pub running_count: u32,
    pub look_again: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    #[serde(rename = "type")]
    pub kind: ConditionKind,
    pub status: ConditionStatus,
    /// One CamelCase word from a closed list; a metric label.
    pub reason: &'static str,
    pub message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum ConditionKind {
    Ready,
    Progressing,
    Rejected,
    RolledBack,
    Held,
    Invalid,
    Unknown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum ConditionStatus {
    True,
    False,
    Unknown,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RolloutStatus {
    pub phase: RolloutPhase,
    pub digest: Digest,
    /// `ecs-svc/…`
    pub deployment: Option<String>,
    pub since: Option<Timestamp>,
    pub task_definition: Option<String>,
    pub running_count: u32,
    pub desired_count: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum RolloutPhase {
    Probing,
    Widening,
    RollingBack,
}

/// How the pass that carried out a plan ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All actions were carried out, or there were none.
    Done,
    /// The plan was refused by [`crate::check`].
    Refused(Vec<String>),
    /// An action failed; the class is a metric label, the message is for people.
    Failed { class: &'static str, message: String },
    /// Nothing was carried out because the caller only looks.
    DryRun,
}

/// The one place where plan and outcome become conditions.
pub fn status(input: &Input<'_>, plan: &Plan, outcome: &Outcome) -> Status {
    let _ = outcome;
    let service = input.observed.service.known();
    Status {
        key: input.key.clone(),
        observed_at: input.observed.at,
        wanted: input.desired.map(|desired| desired.revision_digest.clone()),
        conditions: Vec::new(),
        rollout: None,
        breaker: Vec::new(),
        evidence: Vec::new(),
        waiting: plan.waiting.clone(),
        did: plan.actions.iter().map(|action| action.why.clone()).collect(),
        events: Vec::new(),
        desired_count: service.map_or(0, |service| service.desired_count),
        running_count: service.map_or(0, |service| service.running_count),
        look_again: plan.look_again,
    }
}
