//! What people and machines are told about one service; never decides anything.

mod conditions;
mod shift;
mod words;

use std::time::Duration;

use evenkeel_manifest::{Digest, ServiceKey, Source};
use jiff::Timestamp;
use serde::Serialize;

use crate::breaker::{self, Judgement};
use crate::plan::SETTLED;
use crate::tags::RolloutMark;
use crate::view::View;
use crate::{
    BreakerCount, Drifted, Evidence, Input, Measurement, ObservedService, Plan, Verdict,
    VerdictKind, Wait,
};
pub use shift::{GateStatus, ShiftStatus};
pub use words::{ApprovalStatus, PromotionStatus, Words};

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    pub key: ServiceKey,
    pub observed_at: Timestamp,
    /// The revision digest that the manifest wants.
    pub wanted: Option<Digest>,
    /// Where the manifest is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<SourceStatus>,
    pub conditions: Vec<Condition>,
    pub rollout: Option<RolloutStatus>,
    pub breaker: Vec<BreakerCount>,
    pub evidence: Vec<Evidence>,
    /// Why the wanted revision was rejected, as far as it is known: the tags keep only when and by which code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Box<VerdictStatus>>,
    /// What is measured while traffic moves.
    pub analysis: Vec<Measurement>,
    pub waiting: Vec<Wait>,
    /// What the pass did, one sentence an action.
    pub did: Vec<String>,
    /// ECS's last service events, newest first, at most five.
    pub events: Vec<String>,
    pub desired_count: u32,
    pub running_count: u32,
    pub look_again: Duration,
    /// The fields that are not as the manifest says, and stay so for now.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub drift: Vec<Drifted>,
    /// What people said that is still in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub words: Option<Box<Words>>,
}

/// What was said of a rejected revision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VerdictStatus {
    pub digest: Digest,
    pub kind: VerdictKind,
    pub sentence: String,
}

impl VerdictStatus {
    pub fn of(verdict: &Verdict) -> Self {
        let Verdict { digest, kind, sentence, .. } = verdict;
        Self { digest: digest.clone(), kind: *kind, sentence: sentence.clone() }
    }
}

/// Where a manifest is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceStatus {
    pub file: String,
    /// 1-based.
    pub line: usize,
    /// The commit with which its content took over, where it is in git.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
}

impl SourceStatus {
    fn of(source: &Source) -> Self {
        Self {
            file: source.file.to_string(),
            line: source.line,
            commit: source.commit.as_deref().map(str::to_owned),
        }
    }
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
    Drifted,
    Invalid,
    Unknown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum ConditionStatus {
    True,
    False,
    Unknown,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RolloutStatus {
    pub phase: RolloutPhase,
    pub digest: Digest,
    /// `ecs-svc/…`, or `d-…` of CodeDeploy.
    pub deployment: Option<String>,
    pub since: Option<Timestamp>,
    pub task_definition: Option<String>,
    pub running_count: u32,
    pub desired_count: u32,
    /// Of the running tasks; `None` when health could not be seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthy_count: Option<u32>,
    /// Where traffic is moved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shift: Option<Box<ShiftStatus>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum RolloutPhase {
    Probing,
    Widening,
    /// ECS moves traffic and waits at gates.
    Shifting,
    /// Evenkeel takes a step: tasks first, then traffic.
    Stepping,
    /// The tasks of the first step stand and have the test traffic; they are judged before production traffic.
    Testing,
    /// A step is taken; time passes, and it is judged.
    Baking,
    /// All steps are taken; the tasks of the revision before still stand.
    Keeping,
    RollingBack,
    /// ECS's breaker ended it for what is no fault of its revision; it is begun again after a while.
    Postponed,
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
    /// Nothing failed, but the plan may not be carried out any further; the message says why.
    Withheld { message: String },
    /// Nothing was carried out because the caller only looks.
    DryRun,
}

impl Status {
    /// The status of a service whose newest manifest is bad. The last good one stays in force, so
    /// what it says still holds.
    pub fn invalid(
        key: ServiceKey,
        problems: &[String],
        at: Timestamp,
        last_good: Option<Self>,
    ) -> Self {
        let message = problems.join("; ");
        let mut status = last_good.unwrap_or_else(|| Self::blank(key, at));
        for condition in &mut status.conditions {
            if condition.kind == ConditionKind::Invalid {
                condition.status = ConditionStatus::True;
                condition.reason = "InvalidManifest";
                condition.message.clone_from(&message);
            }
        }
        status
    }

    /// Nothing is known but the name.
    fn blank(key: ServiceKey, at: Timestamp) -> Self {
        Self {
            key,
            observed_at: at,
            wanted: None,
            source: None,
            conditions: conditions::unknown("no valid manifest was ever read"),
            rollout: None,
            breaker: Vec::new(),
            evidence: Vec::new(),
            verdict: None,
            analysis: Vec::new(),
            waiting: Vec::new(),
            did: Vec::new(),
            events: Vec::new(),
            desired_count: 0,
            running_count: 0,
            look_again: Duration::from_mins(5),
            drift: Vec::new(),
            words: None,
        }
    }

    pub fn condition(&self, kind: ConditionKind) -> Option<&Condition> {
        self.conditions.iter().find(|condition| condition.kind == kind)
    }
}

/// The one place where plan and outcome become conditions.
pub fn status(input: &Input<'_>, plan: &Plan, outcome: &Outcome) -> Status {
    let service = input.observed.service.known().filter(|one| one.status != "INACTIVE");
    let view = input.desired.zip(service).and_then(|(desired, one)| View::of(input, desired, one));
    let judgement = view.as_ref().and_then(judgement);
    let drift = view.as_ref().map(|view| crate::steps::drifted(view, plan)).unwrap_or_default();
    Status {
        key: input.key.clone(),
        observed_at: input.observed.at,
        wanted: input.desired.map(|desired| desired.revision_digest.clone()),
        source: input.desired.map(|desired| SourceStatus::of(&desired.source)),
        conditions: conditions::of(input, view.as_ref(), plan, outcome, &drift),
        rollout: view.as_ref().and_then(|view| rollout(view, judgement.as_ref())),
        breaker: judgement.as_ref().map(|one| one.counts.clone()).unwrap_or_default(),
        analysis: judgement.as_ref().map(|one| one.measurements.clone()).unwrap_or_default(),
        verdict: plan.verdict.as_ref().map(|verdict| Box::new(VerdictStatus::of(verdict))),
        evidence: evidence(plan, judgement),
        waiting: plan.waiting.clone(),
        did: match outcome {
            Outcome::Done => plan.actions.iter().map(|action| action.why.clone()).collect(),
            Outcome::Refused(_)
            | Outcome::Failed { .. }
            | Outcome::Withheld { .. }
            | Outcome::DryRun => Vec::new(),
        },
        events: service.map(last_events).unwrap_or_default(),
        desired_count: service.map_or(0, |service| service.desired_count),
        running_count: service.map_or(0, |service| service.running_count),
        // What is planned and not done is planned again at the next turn of the sweep.
        look_again: match outcome {
            Outcome::DryRun if !plan.actions.is_empty() => SETTLED,
            _ => plan.look_again,
        },
        drift,
        words: words::of(service, input.desired),
    }
}

/// Events shown; ECS keeps a hundred.
const EVENTS_MAX: usize = 5;

fn last_events(service: &ObservedService) -> Vec<String> {
    let events = breaker::events(service).into_iter().take(EVENTS_MAX);
    events.map(|(at, text)| format!("{at:.0} {text}")).collect()
}

fn evidence(plan: &Plan, judgement: Option<Judgement>) -> Vec<Evidence> {
    match &plan.verdict {
        Some(verdict) => verdict.evidence.clone(),
        None => judgement.map(|one| one.evidence).unwrap_or_default(),
    }
}

/// The counts of the rollout in flight, or of the one being rolled back.
fn judgement(view: &View<'_>) -> Option<Judgement> {
    let mark = view.memory.rollout.as_ref()?;
    if mark.digest != view.desired.revision_digest || view.observed().tasks.known().is_none() {
        return None;
    }
    let id = mark.id().unwrap_or(&view.primary.id);
    let mut judgement =
        breaker::judge(view, view.launcher(id), mark.phase, judged_since(view, mark));
    let code = view.memory.rejected.as_ref().map(|rejection| rejection.code.as_str());
    for count in &mut judgement.counts {
        let tripped = VerdictKind::of(count.kind).map(|kind| format!("{kind:?}"));
        // The verdict stands; the threshold in force when it fell may have been a probe's.
        if mark.phase == RolloutPhase::RollingBack && tripped.as_deref() == code && count.count > 0
        {
            count.threshold = count.threshold.min(count.count);
        }
    }
    Some(judgement)
}

/// The mark of a rollback begins at the verdict, and that of a postponed rollout at its end; the evidence is older.
fn judged_since(view: &View<'_>, mark: &RolloutMark) -> Timestamp {
    if matches!(mark.phase, RolloutPhase::RollingBack | RolloutPhase::Postponed) {
        Timestamp::MIN
    } else {
        mark.since.min(view.now())
    }
}

fn rollout(view: &View<'_>, judgement: Option<&Judgement>) -> Option<RolloutStatus> {
    let mark = view.memory.rollout.as_ref()?;
    let id = mark.id().unwrap_or(&view.primary.id);
    let launcher = view.launcher(id);
    let listed = view.service.launchers().find(|one| one.id == launcher);
    Some(RolloutStatus {
        phase: mark.phase,
        digest: mark.digest.clone(),
        deployment: Some(id.to_owned()),
        since: Some(mark.since),
        task_definition: listed.map(|one| one.task_definition.clone()),
        running_count: listed.map_or(0, |one| one.running_count),
        desired_count: view.service.desired_count,
        healthy_count: judgement.and_then(|one| u32::try_from(one.healthy.as_ref()?.len()).ok()),
        shift: shift::of(view, id).map(Box::new),
    })
}
