//! What is wanted is PRIMARY: the last judgement, and the proof; never proves what was not seen to be healthy.

use jiff::Timestamp;

use super::{draining, is_alone, leave_rejected, left_behind, primary};
use crate::breaker::judge;
use crate::steps::alarms;
use crate::steps::rollout::{against, bring_in_line, mark_rollout, prove, still};
use crate::steps::{unhealthy, unknown, unseen_tasks};
use crate::tags::{Marked, RolloutMark};
use crate::view::View;
use crate::{Lane, Plan, RolloutPhase, TaskSet};

/// No memory says that what runs was judged: it is judged as the end of a rollout.
pub(super) fn identify(view: &View<'_>) -> Plan {
    match primary(view) {
        Some(primary) => mark(view, primary.id()),
        None => unknown("no task set is PRIMARY"),
    }
}

/// Notes what carries the content that is wanted: a deployment, or the task set that it left.
pub(super) fn mark(view: &View<'_>, carrier: &str) -> Plan {
    let mark = RolloutMark::new(
        &view.desired.revision_digest,
        Marked::Id(carrier.to_owned()),
        RolloutPhase::Shifting,
        view.now(),
    );
    let why = format!("marks {carrier} as the rollout of {}", mark.digest);
    Plan::acting(vec![mark_rollout(view, &mark, why)], Vec::new())
}

/// Evidence of before a verdict that was taken back is judged already.
pub(super) fn judged_since(view: &View<'_>, set: &TaskSet) -> Timestamp {
    let judged = view.memory.applied.as_ref().map(|last| last.at);
    let created = set.deployment.created_at.unwrap_or(view.now());
    judged.map_or(created, |judged| judged.max(created))
}

pub(super) fn step(view: &View<'_>, mark: &RolloutMark) -> Plan {
    let Some(set) = primary(view) else { return unknown("no task set is PRIMARY") };
    let view = &View::of_task_set(view.input, view.desired, view.service, set);
    if let Some(plan) = leave_rejected(view, mark.id().unwrap_or(set.id())) {
        return plan;
    }
    let judgement = judge(view, set.id(), mark.phase, judged_since(view, set));
    if let Some((kind, sentence)) = judgement.against.clone() {
        return against(view, &judgement, kind, sentence, mark);
    }
    if let Some(sentence) = unseen_tasks(view) {
        return unknown(format!("{sentence}; the rollout is left as it is"));
    }
    if let Some(action) = bring_in_line(view, Lane::NewChange, "changes in place") {
        return Plan::acting(vec![action], Vec::new());
    }
    if !is_alone(view) && left_behind(view).is_none() {
        return draining("the tasks of the revision before drain");
    }
    if let Some(wait) = unhealthy(set, &judgement) {
        return still(view, &judgement, wait);
    }
    if let Some(plan) = alarms::unwatched(view) {
        return plan;
    }
    let heard = || alarms::heard_by_code_deploy(view, mark.id()?);
    match alarms::red(view).or_else(heard) {
        Some(wait) => still(view, &judgement, wait),
        None => prove(view),
    }
}
