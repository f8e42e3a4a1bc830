//! The decision as data; never carries out anything.

use std::time::Duration;

use evenkeel_manifest::{Digest, Service, ServiceKey};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::{Action, DriftMemory, Observed};

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
    /// What is remembered of drift from earlier passes.
    pub drift: &'a DriftMemory,
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
    /// ECS moves tasks, or traffic.
    Deployment,
    /// ECS pauses until what runs has been judged.
    Gate,
    /// ECS returns to the proven revision.
    Rollback,
    /// A rollout in flight that is not ours.
    ForeignDeployment,
    Capacity,
    /// Rules and target groups could not carry what is to start.
    Preflight,
    /// An alarm that the manifest names is missing, unreadable or in ALARM.
    Alarm,
    /// A deleted service still drains.
    Draining,
    /// No manifest names it, and it is on its way out.
    Pruning,
    /// No manifest names it, and something keeps it from going.
    PruneHeld,
    Paused,
    /// A rollout goes no further without a person's word: it is paused, or its gate needs an approval.
    Person,
    /// Windows of time forbid rollouts to start, or to go on.
    Frozen,
    Held,
    /// Somebody else changes a field back as often as it is healed.
    Drift,
    /// The wanted revision was judged bad.
    Rejected,
    NotOwned,
    Unsupported,
    CapabilityMissing,
    /// Something was left out because it may not be looked at.
    NotPermitted,
    /// Something that the manifest names is amiss or could not be looked at, and what is to start starts all the same.
    Unverified,
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
    /// What was measured while traffic moved.
    Analysis,
    Stalled,
    /// ECS's own breaker or alarms, or a person, rolled it back first.
    RolledBackByEcs,
    /// CodeDeploy's alarms, its failures or a person ended it first.
    RolledBackByCodeDeploy,
    /// A person said so.
    Aborted,
}

impl VerdictKind {
    /// What too much evidence of one kind is judged as; `None` for what is never held against a
    /// revision by counting.
    pub(crate) fn of(kind: EvidenceKind) -> Option<Self> {
        match kind {
            EvidenceKind::Doomed => Some(Self::Doomed),
            EvidenceKind::LaunchFailure => Some(Self::LaunchFailures),
            EvidenceKind::HealthFailure => Some(Self::HealthFailures),
            EvidenceKind::Crash => Some(Self::Crashes),
            EvidenceKind::Environment
            | EvidenceKind::NotAFailure
            | EvidenceKind::Alarm
            | EvidenceKind::Stalled => None,
        }
    }
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

impl Plan {
    /// A plan that acts, and looks at the result soon.
    pub(crate) fn acting(actions: Vec<Action>, waiting: Vec<Wait>) -> Self {
        Self { actions, waiting, verdict: None, look_again: AFTER_ACTION }
    }

    /// What a person's command does.
    pub fn of_a_command(actions: Vec<Action>) -> Self {
        Self::acting(actions, Vec::new())
    }

    /// A plan that only waits.
    pub(crate) fn waiting(waiting: Vec<Wait>, look_again: Duration) -> Self {
        Self { actions: Vec::new(), waiting, verdict: None, look_again }
    }

    /// Nothing differs.
    pub(crate) fn settled() -> Self {
        Self::waiting(Vec::new(), SETTLED)
    }
}

impl Wait {
    pub(crate) fn new(reason: WaitReason, sentence: impl Into<String>) -> Self {
        Self { reason, sentence: sentence.into(), until: None }
    }

    pub(crate) fn until(self, until: Option<Timestamp>) -> Self {
        Self { until, ..self }
    }
}

/// After a call the next step is known as soon as AWS shows its effect.
pub(crate) const AFTER_ACTION: Duration = Duration::from_secs(1);
/// ECS moves tasks every few seconds; a task that stops is seen this late at most.
pub(crate) const IN_FLIGHT: Duration = Duration::from_secs(5);
/// Capacity comes and goes in minutes.
pub(crate) const CAPACITY: Duration = Duration::from_secs(30);
/// People, and drift that no event tells of.
pub(crate) const SETTLED: Duration = Duration::from_mins(5);
