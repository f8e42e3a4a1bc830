//! The decision as data; never carries out anything.

use std::time::Duration;

use evenkeel_manifest::{Digest, Service, ServiceKey};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::{Action, Observed};

/// Everything a decision may depend on.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    pub key: &'a ServiceKey,
    /// `None` when no manifest names the service (any more).
    pub desired: Option<&'a Service>,
    pub observed: &'a Observed,
    /// AWS's clock.
    pub now: Timestamp,
    /// The name of this daemon, written into the owner tag.
    pub instance: &'a str,
}

/// The next safe step, or why there is none.
#[must_use]
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Plan {
    /// In order; the first failure ends the pass.
    pub actions: Vec<Action>,
    /// Empty only when nothing is left to wait for.
    pub waiting: Vec<Wait>,
    /// The judgement of the rollout in flight, when there is one against it.
    pub verdict: Option<Verdict>,
    /// When to look again if nothing happens before.
    pub look_again: Duration,
}

/// What a plan waits for, and until when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Wait {
    pub reason: WaitReason,
    pub sentence: String,
    pub until: Option<Timestamp>,
}

/// The closed list of things to wait for; its name is a metric label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum WaitReason {
    /// One task of the new revision must prove healthy.
    Probe,
    /// ECS moves tasks.
    Deployment,
    /// ECS returns to the proven revision.
    Rollback,
    /// A rollout in flight that is not ours.
    ForeignDeployment,
    Capacity,
    /// A deleted service still drains.
    Draining,
    Paused,
    Held,
    /// The wanted revision was judged bad.
    Rejected,
    NotOwned,
    Unsupported,
    CapabilityMissing,
    Unknown,
}

/// A judgement against a revision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    pub kind: VerdictKind,
    pub digest: Digest,
    pub sentence: String,
    pub evidence: Vec<Evidence>,
    pub counts: Vec<BreakerCount>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum VerdictKind {
    Doomed,
    LaunchFailures,
    HealthFailures,
    Crashes,
    Alarm,
    Stalled,
    /// ECS's own breaker or alarms, or a person, rolled it back first.
    RolledBackByEcs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum EvidenceKind {
    Doomed,
    LaunchFailure,
    HealthFailure,
    Crash,
    Environment,
    NotAFailure,
    Alarm,
    Stalled,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Evidence {
    pub kind: EvidenceKind,
    /// The task's id (the last part of its ARN).
    pub task: Option<String>,
    pub at: Option<Timestamp>,
    pub exit_code: Option<i64>,
    /// AWS's own words, untruncated.
    pub reason: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BreakerCount {
    pub kind: EvidenceKind,
    pub count: u32,
    pub threshold: u32,
}

/// One field that differs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change {
    /// For example `taskDefinition.containerDefinitions[web].image`.
    pub path: String,
    /// `None` when the field is not set.
    pub old: Option<Value>,
    pub new: Option<Value>,
    /// What applying it means, such as "starts a deployment".
    pub effect: String,
}

/// The next safe step. Total: no error, no panic, no I/O.
pub fn plan(input: &Input<'_>) -> Plan {
    let _ = input;
    Plan {
        actions: Vec::new(),
        waiting: Vec::new(),
        verdict: None,
        look_again: Duration::from_mins(5),
    }
}

/// Refuses a plan that breaks a safety property; shares no code with [`plan`]. The error names
/// every property broken.
pub fn check(plan: &Plan, input: &Input<'_>) -> Result<(), Vec<String>> {
    let _ = (plan, input);
    Ok(())
}

/// Every field that differs between the manifest and AWS, for people.
pub fn changes(input: &Input<'_>) -> Vec<Change> {
    let _ = input;
    Vec::new()
}
