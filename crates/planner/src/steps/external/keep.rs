//! After the last step: the revision before is kept warm for a while, then deleted, and the new one is proven;
//! never deletes what gets traffic.

use evenkeel_manifest::Percent;
use jiff::{SignedDuration, Timestamp};

use super::forward::{delete, judged_since};
use super::rest;
use super::sets::Sets;
use super::traffic::Traffic;
use crate::breaker::{Judgement, judge};
use crate::plan::IN_FLIGHT;
use crate::steps::alarms;
use crate::steps::rollout::{against, bring_in_line, mark_rollout, prove, still};
use crate::steps::start::kept_back;
use crate::steps::{unhealthy, unknown, unseen_tasks, word};
use crate::tags::{Marked, RolloutMark};
use crate::view::View;
use crate::{Action, Lane, Plan, RolloutPhase, TaskSet, Wait, WaitReason};

/// What is wanted is PRIMARY, and no memory says that it was judged: it is judged as the end of a rollout.
pub(super) fn identify(view: &View<'_>, sets: &Sets<'_>) -> Plan {
    let Some(primary) = sets.primary else { return unknown("no task set is PRIMARY") };
    let mark = RolloutMark::new(
        &view.desired.revision_digest,
        Marked::Id(primary.id().to_owned()),
        RolloutPhase::Keeping,
        view.now(),
    );
    let why = format!("marks {} as the rollout of {}", primary.id(), mark.digest);
    Plan::acting(vec![mark_rollout(view, &mark, why)], Vec::new())
}

/// A verdict on what is PRIMARY was taken back while what it replaced stands: all traffic again when it is healthy, and then
/// it is judged, and what it replaced kept, as at the end of a rollout.
pub(super) fn again(view: &View<'_>, sets: &Sets<'_>) -> Plan {
    let Some(green) = sets.primary else { return unknown("no task set is PRIMARY") };
    let judgement = judge(view, green.id(), RolloutPhase::Keeping, judged_since(view, green));
    let traffic = match Traffic::of(view) {
        Ok(traffic) => traffic,
        Err(why) => return unknown(format!("{why}; traffic is left as it is")),
    };
    let missing = missing_traffic(view, &traffic, green);
    if missing.is_empty() || judgement.against.is_some() {
        return identify(view, sets);
    }
    if let Some(sentence) = unseen_tasks(view) {
        return unknown(format!("{sentence}; no traffic is moved"));
    }
    if let Some(plan) = alarms::unwatched(view) {
        return plan;
    }
    let before = format!("before {} gets all traffic again", green.id());
    let kept = || alarms::red(view).or_else(|| word::paused(view, &before));
    match unhealthy(green, &judgement).or_else(kept) {
        Some(wait) => still(view, &judgement, wait),
        None => Plan::acting(missing, Vec::new()),
    }
}

/// What gives the PRIMARY one all of production traffic, and then of test traffic.
fn missing_traffic(view: &View<'_>, traffic: &Traffic<'_>, green: &TaskSet) -> Vec<Action> {
    let Some(group) = green.target_group() else { return Vec::new() };
    if traffic.production_share(group) < 1000 {
        let shift = traffic.shift(group, Percent::ALL, Lane::RolloutStep);
        return vec![shift, rest::note(view, Lane::RolloutStep)];
    }
    let test = traffic.test_share(group).filter(|share| *share < 1000);
    test.and_then(|_| traffic.test(group, Lane::RolloutStep)).into_iter().collect()
}

/// The rollout's task set is PRIMARY.
pub(super) fn step(view: &View<'_>, sets: &Sets<'_>, mark: &RolloutMark) -> Plan {
    let Some(green) = sets.primary else { return unknown("no task set is PRIMARY") };
    let judgement = judge(view, green.id(), mark.phase, judged_since(view, green));
    if let Some((kind, sentence)) = judgement.against.clone() {
        return against(view, &judgement, kind, sentence, mark);
    }
    if let Some(sentence) = unseen_tasks(view) {
        return unknown(format!("{sentence}; the rollout is left as it is"));
    }
    if let Some(action) = bring_in_line(view, Lane::NewChange, "changes in place") {
        return Plan::acting(vec![action], Vec::new());
    }
    kept(view, sets, mark, &judgement).unwrap_or_else(|| prove(view))
}

/// The same where newer content is to take its place: until that may start, what was replaced is kept as if it were not so. `None`
/// when it may, when nothing is kept any more, and when that content was itself rejected, for there is room for one verdict.
pub(super) fn overtaken(view: &View<'_>, sets: &Sets<'_>, mark: &RolloutMark) -> Option<Plan> {
    let wanted = &view.desired.revision_digest;
    let has_begun = mark.digest == *wanted || sets.wanted.is_some();
    let green = sets.primary.filter(|_| !has_begun && !view.memory.rejects(wanted))?;
    let held = kept_back(view)?;
    let judgement = judge(view, green.id(), mark.phase, judged_since(view, green));
    if let Some((kind, sentence)) = judgement.against.clone() {
        return Some(against(view, &judgement, kind, sentence, mark));
    }
    if let Some(sentence) = unseen_tasks(view) {
        return Some(unknown(format!("{sentence}; the rollout is left as it is")));
    }
    let mut plan = kept(view, sets, mark, &judgement)?;
    plan.waiting.extend(held.waiting);
    Some(plan)
}

/// What is done before a rollout whose task set is PRIMARY has ended.
fn kept(
    view: &View<'_>,
    sets: &Sets<'_>,
    mark: &RolloutMark,
    judgement: &Judgement,
) -> Option<Plan> {
    let green = sets.primary?;
    if let Some(plan) = alarms::unwatched(view) {
        return Some(plan);
    }
    if mark.phase != RolloutPhase::Keeping {
        let next = RolloutMark { phase: RolloutPhase::Keeping, since: view.now(), ..mark.clone() };
        let why = format!("{} has all traffic: what it replaced is kept for a while", green.id());
        return Some(Plan::acting(vec![mark_rollout(view, &next, why)], Vec::new()));
    }
    let kept_until = kept_until(view, mark);
    if let Some(old) = sets.beside().next() {
        if view.now() < kept_until {
            let wait = Wait::new(WaitReason::Gate, "the tasks of the revision before are kept");
            return Some(still(view, judgement, wait.until(Some(kept_until))));
        }
        return Some(let_go(view, old, green, judgement));
    }
    let drains = || Wait::new(WaitReason::Draining, "the tasks of the revision before drain");
    let wait = sets.is_draining.then(drains);
    let wait = wait.or_else(|| unhealthy(green, judgement)).or_else(|| alarms::red(view))?;
    Some(still(view, judgement, wait))
}

/// What was replaced is deleted: after that nothing can be turned back at once any more.
fn let_go(view: &View<'_>, old: &TaskSet, green: &TaskSet, judgement: &Judgement) -> Plan {
    let traffic = match Traffic::of(view) {
        Ok(traffic) => traffic,
        Err(why) => return unknown(format!("{why}; what was replaced is kept until it is known")),
    };
    let is_together = stand_together(old, green);
    if !is_together && gets_traffic(&traffic, old) {
        let sentence =
            format!("{} still gets production traffic: somebody else changed its rule", old.id());
        return Plan::waiting(vec![Wait::new(WaitReason::Person, sentence)], IN_FLIGHT);
    }
    let before = format!("before {} is deleted", old.id());
    let kept = || alarms::red(view).or_else(|| word::paused_by_a_person(view, &before));
    match unhealthy(green, judgement).or_else(|| kept().filter(|_| !is_together)) {
        Some(wait) => still(view, judgement, wait),
        None => Plan::acting(vec![delete(view, old, Lane::RolloutStep)], Vec::new()),
    }
}

/// Made on a look that did not show the other one: what their group gets is served by both.
fn stand_together(old: &TaskSet, green: &TaskSet) -> bool {
    old.target_group().is_some() && old.target_group() == green.target_group()
}

fn gets_traffic(traffic: &Traffic<'_>, set: &TaskSet) -> bool {
    set.target_group().is_some_and(|group| traffic.production_share(group) > 0)
}

fn kept_until(view: &View<'_>, mark: &RolloutMark) -> Timestamp {
    let keep = view.desired.rollout.strategy.steps().map(|steps| steps.keep_for);
    let keep = keep.and_then(|keep| SignedDuration::try_from(keep).ok()).unwrap_or_default();
    mark.since.checked_add(keep).unwrap_or(Timestamp::MAX)
}
