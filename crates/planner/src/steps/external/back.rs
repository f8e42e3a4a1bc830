//! The way back from a task set: traffic first, tasks second; never leaves users without one.

use evenkeel_manifest::{OnFailure, Percent};

use super::anew;
use super::forward::{delete, primary};
use super::rest;
use super::sets::Sets;
use super::traffic::Traffic;
use crate::breaker::healthy_tasks;
use crate::plan::IN_FLIGHT;
use crate::steps::rollback::held;
use crate::steps::rollout::forget_rollout;
use crate::steps::{unknown, unseen_tasks};
use crate::tags::RolloutMark;
use crate::view::View;
use crate::{Action, Lane, Plan, TaskSet, Wait, WaitReason};

/// The next step while `mark` says that its task set is being left.
pub(super) fn step(view: &View<'_>, sets: &Sets<'_>, mark: &RolloutMark) -> Plan {
    let is_forgiven = !view.memory.rejects(&mark.digest);
    match sets.named(mark.id()) {
        Some(_) if is_forgiven && mark.digest == view.desired.revision_digest => {
            let why = "forgets the rollback: its verdict was taken back".to_owned();
            Plan::acting(vec![forget_rollout(view, why)], Vec::new())
        }
        Some(bad) if is_held(view, mark) => held(format!(
            "{} runs a rejected revision and onFailure is Hold: a person decides",
            bad.id()
        )),
        // What else stands was never complete either: traffic is better off where it is.
        Some(bad) if sets.primary.is_none() => {
            held(format!("{} is to be left, and there is nothing to return to", bad.id()))
        }
        Some(bad) if bad.is_primary() => anew::step(view, sets, mark, bad),
        Some(bad) => withdraw(view, sets, bad, Lane::Rollback),
        None if sets.is_draining => {
            let wait = Wait::new(WaitReason::Rollback, "the tasks of the rejected revision drain");
            Plan::waiting(vec![wait], IN_FLIGHT)
        }
        None => {
            let why = "ends the rollback: nothing is left of the rejected revision".to_owned();
            Plan::acting(vec![forget_rollout(view, why)], Vec::new())
        }
    }
}

/// A person's verdict, or a newer manifest, is the decision that is waited for.
fn is_held(view: &View<'_>, mark: &RolloutMark) -> bool {
    let is_said = view.memory.rejected.as_ref().is_some_and(|one| one.said.is_some());
    let is_decided = is_said || mark.digest != view.desired.revision_digest;
    view.desired.rollout.breaker.on_failure == OnFailure::Hold && !is_decided
}

/// Whether all traffic was given back since the rollout of a task set came where it is. A look may be older than the traffic
/// that it got: the weights are written once, whatever the rule shows.
pub(super) fn is_given_back(view: &View<'_>, set: &TaskSet) -> bool {
    let mark = view.memory.rollout.as_ref().filter(|mark| mark.id() == Some(set.id()));
    mark.is_none_or(|mark| view.memory.reweighed.is_some_and(|at| at >= mark.since))
}

/// Takes traffic from a task set, then its place, then its tasks.
pub(super) fn withdraw(view: &View<'_>, sets: &Sets<'_>, set: &TaskSet, lane: Lane) -> Plan {
    let other = sets.primary.filter(|one| one.id() != set.id());
    let other = other.or_else(|| heir(sets, set));
    let Some(stable) = other else {
        return held(format!("{} is to be left, and there is nothing to return to", set.id()));
    };
    if set.target_group().is_some() && set.target_group() == stable.target_group() {
        return part(view, set, stable, lane);
    }
    let traffic = match Traffic::of_return(view) {
        Ok(traffic) => traffic,
        Err(why) => return unknown(format!("{why}: how to leave {} is not known", set.id())),
    };
    if let (Some(from), Some(to)) = (set.target_group(), stable.target_group()) {
        if traffic.production_share(from) > 0 || !is_given_back(view, set) {
            let shift = traffic.shift(to, Percent::ALL, lane);
            return Plan::acting(vec![shift, rest::note(view, lane)], Vec::new());
        }
        // Where nothing was ever complete, test traffic waits for what comes into the place of its task set.
        if sets.primary.is_some()
            && traffic.test_share(from).is_some_and(|share| share > 0)
            && let Some(action) = traffic.test(to, lane)
        {
            return Plan::acting(vec![action], Vec::new());
        }
    }
    Plan::acting(vec![leave(view, set, stable, lane)], Vec::new())
}

/// What stays, where nothing was ever complete: rather one in the other group, which traffic can go to.
fn heir<'a>(sets: &Sets<'a>, set: &TaskSet) -> Option<&'a TaskSet> {
    let others = || sets.beside().filter(|one| one.id() != set.id());
    let apart = others().filter(|one| one.target_group() != set.target_group()).last();
    apart.or_else(|| others().last())
}

/// The same of two that stand in one target group: what it gets is served by both, and no weight tells them apart.
fn part(view: &View<'_>, set: &TaskSet, stable: &TaskSet, lane: Lane) -> Plan {
    if !set.is_primary() && !stable.is_primary() {
        return held(format!(
            "{} is to be left, and {} stands in the same target group and was never complete",
            set.id(),
            stable.id()
        ));
    }
    if let Some(sentence) = unseen_tasks(view) {
        return unknown(format!("{sentence}; {} is left as it is", set.id()));
    }
    let wanted = stable.deployment.desired_count;
    let all = usize::try_from(wanted).unwrap_or(usize::MAX);
    let stable_view = View::of_task_set(view.input, view.desired, view.service, stable);
    let healthy = healthy_tasks(&stable_view, stable.id()).map_or(0, |tasks| tasks.len());
    if healthy < all {
        let sentence = format!(
            "{healthy} of {wanted} tasks of {} are healthy, in the same target group as {}",
            stable.id(),
            set.id()
        );
        return Plan::waiting(vec![Wait::new(WaitReason::Rollback, sentence)], IN_FLIGHT);
    }
    Plan::acting(vec![leave(view, set, stable, lane)], Vec::new())
}

/// Of what is PRIMARY the place goes first.
fn leave(view: &View<'_>, set: &TaskSet, stable: &TaskSet, lane: Lane) -> Action {
    if set.is_primary() { primary(view, stable, lane) } else { delete(view, set, lane) }
}
