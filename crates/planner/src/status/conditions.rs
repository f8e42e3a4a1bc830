//! Plan and outcome as conditions: every kind, always, each with a reason from a closed list; never
//! green while anything is rejected, held or unseen.
//!
//! Reasons are metric labels. Ready: `Running`, `Applying`, `RollingOut`, `RollingBack`, `RolledBack`,
//! `Rejected`, `Held`, `Paused`, `WaitsForPerson`, `Frozen`, `Drifted`, `NotOwned`, `Unsupported`, `ForeignDeployment`,
//! `Draining`, `Alarm`, `Preflight`, `DeploymentFailed`, `TasksMissing`, `CallFailed`, `PlanRefused`, `Withheld`,
//! `WouldChange`, `Orphaned`, `Pruning`, `PruneHeld`, `NotSeen`, `CapabilityMissing`. Rejected: the name of a verdict, and like `RolledBack`
//! and `Held` `NotSeen`. Drifted: `ChangedBack`,
//! `Reported`, `ForeignDeployment`, `NotDrifted`, `NotSeen`. Unknown:
//! `NotSeen`, `CapabilityMissing`, `NotPermitted`. A call that the server lacks, or that is denied and can be
//! done without, makes `Unknown` true, but not `Ready` false.

use evenkeel_manifest::DriftPolicy;

use crate::tags::Rejection;
use crate::view::{Standing, View};
use crate::{
    Condition, ConditionKind, ConditionStatus, Drifted, Fact, Input, Outcome, Plan, Verdict,
    VerdictKind, WaitReason,
};

pub(super) fn of(
    input: &Input<'_>,
    view: Option<&View<'_>>,
    plan: &Plan,
    outcome: &Outcome,
    drift: &[Drifted],
) -> Vec<Condition> {
    let facts = Facts { input, view, plan, outcome };
    vec![
        facts.ready(),
        facts.progressing(),
        facts.rejected(),
        facts.rolled_back(),
        facts.held(),
        facts.drifted(drift),
        no(ConditionKind::Invalid, "Valid"),
        facts.unknown(),
    ]
}

/// Every condition, when nothing is known.
pub(super) fn unknown(message: &str) -> Vec<Condition> {
    use ConditionKind::{
        Drifted, Held, Invalid, Progressing, Ready, Rejected, RolledBack, Unknown,
    };
    let blank = |kind| condition(kind, ConditionStatus::Unknown, "NotSeen", message);
    let mut all: Vec<Condition> =
        [Ready, Progressing, Rejected, RolledBack, Held, Drifted].into_iter().map(blank).collect();
    all.push(no(Invalid, "Valid"));
    all.push(condition(Unknown, ConditionStatus::True, "NotSeen", message));
    all
}

fn condition(
    kind: ConditionKind,
    status: ConditionStatus,
    reason: &'static str,
    message: impl Into<String>,
) -> Condition {
    Condition { kind, status, reason, message: message.into() }
}

fn yes(kind: ConditionKind, reason: &'static str, message: impl Into<String>) -> Condition {
    condition(kind, ConditionStatus::True, reason, message)
}

fn no(kind: ConditionKind, reason: &'static str) -> Condition {
    condition(kind, ConditionStatus::False, reason, "")
}

fn not_seen(kind: ConditionKind) -> Condition {
    condition(kind, ConditionStatus::Unknown, "NotSeen", "")
}

struct Facts<'a> {
    input: &'a Input<'a>,
    view: Option<&'a View<'a>>,
    plan: &'a Plan,
    outcome: &'a Outcome,
}

/// Why a service with this wait is not Ready, with its rank: the lowest is told. `None` for what is told
/// before all others, or does not speak against it.
fn unready(reason: WaitReason) -> Option<(u8, &'static str)> {
    Some(match reason {
        WaitReason::Held => (0, "Held"),
        WaitReason::ForeignDeployment => (1, "ForeignDeployment"),
        WaitReason::Rollback => (2, "RollingBack"),
        WaitReason::Draining => (3, "Draining"),
        WaitReason::PruneHeld => (3, "PruneHeld"),
        WaitReason::Pruning => (3, "Pruning"),
        WaitReason::Alarm => (4, "Alarm"),
        WaitReason::Preflight => (5, "Preflight"),
        WaitReason::Rejected => (6, "Rejected"),
        WaitReason::Person => (7, "WaitsForPerson"),
        WaitReason::Frozen => (8, "Frozen"),
        WaitReason::Drift => (9, "Drifted"),
        WaitReason::Probe => (10, "RollingOut"),
        WaitReason::Gate => (11, "RollingOut"),
        WaitReason::Deployment => (12, "RollingOut"),
        WaitReason::Capacity => (13, "RollingOut"),
        WaitReason::Paused
        | WaitReason::NotOwned
        | WaitReason::Unsupported
        | WaitReason::Unknown
        | WaitReason::NotPermitted
        | WaitReason::Unverified
        | WaitReason::CapabilityMissing => return None,
    })
}

/// A status, its reason and its sentence.
type Finding = (ConditionStatus, &'static str, String);

impl Facts<'_> {
    fn wait(&self, reason: WaitReason) -> Option<&str> {
        let wait = self.plan.waiting.iter().find(|wait| wait.reason == reason)?;
        Some(&wait.sentence)
    }

    /// Whether nothing can be told of the service itself.
    fn is_unseen(&self) -> bool {
        self.view.is_none() && self.input.observed.service.unknown().is_some()
    }

    fn is_rejected(&self) -> bool {
        self.plan.verdict.is_some()
            || self.view.is_some_and(|view| view.memory.rejects(&view.desired.revision_digest))
    }

    /// The first that applies.
    fn ready(&self) -> Condition {
        let (status, reason, message) = self
            .broken()
            .or_else(|| self.not_ours_to_say())
            .or_else(|| self.judged_bad())
            .or_else(|| self.waits())
            .or_else(|| self.at_work())
            .unwrap_or_else(|| self.runs());
        condition(ConditionKind::Ready, status, reason, message)
    }

    fn broken(&self) -> Option<Finding> {
        match self.outcome {
            Outcome::Refused(properties) => {
                let message = format!("the plan was refused: {}", properties.join("; "));
                Some((ConditionStatus::False, "PlanRefused", message))
            }
            Outcome::Failed { message, .. } => {
                Some((ConditionStatus::False, "CallFailed", message.clone()))
            }
            Outcome::Withheld { message } => {
                Some((ConditionStatus::False, "Withheld", message.clone()))
            }
            Outcome::Done | Outcome::DryRun => None,
        }
    }

    fn not_ours_to_say(&self) -> Option<Finding> {
        if self.input.desired.is_none() {
            if let Some(going) = self.waits().or_else(|| self.at_work()) {
                return Some(going);
            }
            let message = "no manifest names this service any more; it is left as it is";
            return Some((ConditionStatus::Unknown, "Orphaned", message.to_owned()));
        }
        let said = |status, reason, wait| Some((status, reason, self.wait(wait)?.to_owned()));
        said(ConditionStatus::Unknown, "NotSeen", WaitReason::Unknown)
            .or_else(|| said(ConditionStatus::Unknown, "Paused", WaitReason::Paused))
            .or_else(|| said(ConditionStatus::False, "NotOwned", WaitReason::NotOwned))
            .or_else(|| said(ConditionStatus::False, "Unsupported", WaitReason::Unsupported))
    }

    fn judged_bad(&self) -> Option<Finding> {
        if !self.is_rejected() {
            return None;
        }
        let reason = match self.rolled_back().status {
            ConditionStatus::True => "RolledBack",
            _ if self.wait(WaitReason::Held).is_some() => "Held",
            _ if self.wait(WaitReason::Rollback).is_some() => "RollingBack",
            _ => "Rejected",
        };
        Some((ConditionStatus::False, reason, self.rejected().message))
    }

    fn waits(&self) -> Option<Finding> {
        let unready = |wait: &crate::Wait| Some((unready(wait.reason)?, wait.sentence.clone()));
        let first = self.plan.waiting.iter().filter_map(unready).min_by_key(|((rank, _), _)| *rank);
        first.map(|((_, reason), sentence)| (ConditionStatus::False, reason, sentence))
    }

    fn at_work(&self) -> Option<Finding> {
        let action = self.plan.actions.first()?;
        let reason = if *self.outcome == Outcome::DryRun { "WouldChange" } else { "Applying" };
        Some((ConditionStatus::False, reason, action.why.clone()))
    }

    /// Nothing is left to do: a completed deployment can still have lost tasks.
    fn runs(&self) -> Finding {
        let Some(view) = self.view else {
            let message = "the service does not exist yet".to_owned();
            return (ConditionStatus::False, "TasksMissing", message);
        };
        let (running, desired) = (view.service.running_count, view.service.desired_count);
        let counts = format!("{running} of {desired} tasks running");
        if view.standing() == Standing::Failed {
            let reason = view.primary.rollout_state_reason.as_deref().unwrap_or("no reason given");
            return (ConditionStatus::False, "DeploymentFailed", reason.to_owned());
        }
        if running < desired {
            return (ConditionStatus::False, "TasksMissing", counts);
        }
        (ConditionStatus::True, "Running", counts)
    }

    fn progressing(&self) -> Condition {
        const REASONS: &[(WaitReason, &str)] = &[
            (WaitReason::Capacity, "WaitingForCapacity"),
            (WaitReason::Rollback, "RollingBack"),
            (WaitReason::Person, "WaitsForPerson"),
            (WaitReason::Frozen, "Frozen"),
            (WaitReason::Probe, "Probing"),
            (WaitReason::Gate, "AtGate"),
            (WaitReason::Deployment, "Deploying"),
            (WaitReason::Draining, "Draining"),
        ];
        let kind = ConditionKind::Progressing;
        let waiting =
            REASONS.iter().find_map(|(wait, reason)| Some(yes(kind, reason, self.wait(*wait)?)));
        if let Some(condition) = waiting {
            return condition;
        }
        match (self.plan.actions.first(), self.outcome) {
            (Some(action), Outcome::Done) => yes(kind, "Applying", &action.why),
            (Some(action), _) => condition(kind, ConditionStatus::False, "NotApplied", &action.why),
            (None, _) if self.plan.waiting.is_empty() => no(kind, "Settled"),
            (None, _) => no(kind, "Waiting"),
        }
    }

    fn rejected(&self) -> Condition {
        let kind = ConditionKind::Rejected;
        if let Some(Verdict { kind: verdict, sentence, .. }) = &self.plan.verdict {
            return yes(kind, name(*verdict), sentence);
        }
        if self.is_unseen() {
            return not_seen(kind);
        }
        let Some(view) = self.view.filter(|_| self.is_rejected()) else {
            return no(kind, "NotRejected");
        };
        let rejection = view.memory.rejected.as_ref();
        let code = rejection.map_or("", |one| one.code.as_str());
        let reason = rejection.map(Rejection::reason).unwrap_or_default();
        let at = rejection.and_then(|one| one.at).map_or(String::new(), |at| format!(" at {at}"));
        let digest = &view.desired.revision_digest;
        yes(kind, name_of(code), format!("{digest} was rejected{at}: {reason}"))
    }

    /// Whether the service has left the rejected revision.
    fn rolled_back(&self) -> Condition {
        let kind = ConditionKind::RolledBack;
        if self.is_unseen() {
            return not_seen(kind);
        }
        let Some(view) = self.view.filter(|_| self.is_rejected()) else {
            return no(kind, "NotRolledBack");
        };
        if self.wait(WaitReason::Rollback).is_some() {
            return no(kind, "RollingBack");
        }
        let left = self.plan.verdict.is_none()
            && view.standing() == Standing::Completed
            && !crate::steps::runs_the_wanted(view);
        if !left {
            return no(kind, "NotRolledBack");
        }
        let runs = &view.primary.task_definition;
        let message = if is_proven(view, runs) {
            format!("the service is back on {runs}")
        } else {
            format!("the service has left it, and runs {runs}")
        };
        yes(kind, "RolledBack", message)
    }

    fn held(&self) -> Condition {
        let kind = ConditionKind::Held;
        let paused = self.wait(WaitReason::Paused).map(|sentence| yes(kind, "Paused", sentence));
        let held = || {
            let by_tag = self
                .input
                .observed
                .service
                .known()
                .is_some_and(|service| service.tags.contains_key(crate::tag::HOLD));
            let reason = if by_tag { "HoldTag" } else { "NeedsDecision" };
            Some(yes(kind, reason, self.wait(WaitReason::Held)?))
        };
        let unseen = || self.is_unseen().then(|| not_seen(kind));
        paused.or_else(held).or_else(unseen).unwrap_or_else(|| no(kind, "NotHeld"))
    }

    /// Whether somebody else's value stays in a field of the manifest.
    fn drifted(&self, drift: &[Drifted]) -> Condition {
        let kind = ConditionKind::Drifted;
        if self.is_unseen() {
            return not_seen(kind);
        }
        if let Some(sentence) = self.wait(WaitReason::Drift) {
            return yes(kind, "ChangedBack", sentence);
        }
        let Some(since) = drift.iter().map(|one| one.since).min() else {
            return no(kind, "NotDrifted");
        };
        let paths: Vec<&str> = drift.iter().map(|one| one.path.as_str()).collect();
        let message = format!("changed outside, seen since {since:.0}: {}", paths.join(", "));
        let is_reported = drift.iter().any(|one| one.policy == DriftPolicy::Report);
        yes(kind, if is_reported { "Reported" } else { "ForeignDeployment" }, message)
    }

    fn unknown(&self) -> Condition {
        let kind = ConditionKind::Unknown;
        if let Fact::Unknown(why) = &self.input.observed.service {
            return yes(kind, "NotSeen", crate::view::explain(why));
        }
        if let Some(sentence) = self.wait(WaitReason::Unknown) {
            return yes(kind, "NotSeen", sentence);
        }
        if let Some(sentence) = self.wait(WaitReason::NotPermitted) {
            return yes(kind, "NotPermitted", sentence);
        }
        match crate::steps::missing_operations(self.input.observed) {
            operations if operations.is_empty() => no(kind, "AllSeen"),
            operations => {
                let message = format!("the server does not know {}", operations.join(", "));
                yes(kind, "CapabilityMissing", message)
            }
        }
    }
}

fn name(kind: VerdictKind) -> &'static str {
    match kind {
        VerdictKind::Doomed => "Doomed",
        VerdictKind::LaunchFailures => "LaunchFailures",
        VerdictKind::HealthFailures => "HealthFailures",
        VerdictKind::Crashes => "Crashes",
        VerdictKind::Alarm => "Alarm",
        VerdictKind::Analysis => "Analysis",
        VerdictKind::Stalled => "Stalled",
        VerdictKind::RolledBackByEcs => "RolledBackByEcs",
        VerdictKind::RolledBackByCodeDeploy => "RolledBackByCodeDeploy",
        VerdictKind::Aborted => "Aborted",
    }
}

/// The closed list holds for codes of later versions too.
fn name_of(code: &str) -> &'static str {
    const KINDS: &[VerdictKind] = &[
        VerdictKind::Doomed,
        VerdictKind::LaunchFailures,
        VerdictKind::HealthFailures,
        VerdictKind::Crashes,
        VerdictKind::Alarm,
        VerdictKind::Analysis,
        VerdictKind::Stalled,
        VerdictKind::RolledBackByEcs,
        VerdictKind::RolledBackByCodeDeploy,
        VerdictKind::Aborted,
    ];
    KINDS.iter().map(|kind| name(*kind)).find(|name| *name == code).unwrap_or("Other")
}

/// Whether that is seen to be what was proven, or another revision with its content.
fn is_proven(view: &View<'_>, runs: &str) -> bool {
    // Of what ECS deploys the service revision is remembered.
    let is_definition = |proven: &&str| proven.contains(":task-definition/");
    let Some(proven) = view.memory.proven.as_deref().filter(is_definition) else { return true };
    view.has_content_of(runs, proven)
}
