//! The probe: watching the first task of a rollout until it has been healthy for long enough; never
//! judges the rollout.

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::rollout::{change_in_place, mark_rollout, still};
use super::{capability_waits, percentages, word};
use crate::breaker::Judgement;
use crate::render::span;
use crate::tags::{ProbeMark, RolloutMark};
use crate::view::{Standing, View};
use crate::{Action, Call, Fact, Lane, Plan, RolloutPhase, Wait, WaitReason};

/// Widens when a task has been healthy for long enough; else watches one, or waits for one.
pub(super) fn step(view: &View<'_>, mark: &RolloutMark, judgement: &Judgement) -> Plan {
    let probe = watched(view, mark, judgement);
    if let Some(why) = passed(view, judgement, probe.as_ref()) {
        let paused = word::paused(view, "after the probe");
        return match paused {
            Some(wait) => still(view, judgement, wait),
            None => one_from_zero(view).unwrap_or_else(|| widen(view, mark, &why)),
        };
    }
    if let Some(action) = percentages::fit_to_count(view) {
        return Plan::acting(vec![action], capability_waits(view));
    }
    if probe != mark.probe {
        return watch(view, mark, probe);
    }
    let wait = if let Some(probe) = &probe {
        let until = probe.since.checked_add(view.desired.rollout.probe.healthy_for).ok();
        Wait::new(WaitReason::Probe, progress(view, judgement, probe)).until(until)
    } else {
        let sentence = format!("the first task of {} is not healthy yet", view.primary.id);
        Wait::new(WaitReason::Probe, sentence).until(judgement.deadline)
    };
    still(view, judgement, wait)
}

/// The task that the mark names while it is healthy; after that the longest running healthy one, from
/// the end of the look on: before that it may have been anything. When health cannot be seen, nothing changes.
fn watched(view: &View<'_>, mark: &RolloutMark, judgement: &Judgement) -> Option<ProbeMark> {
    let Some(healthy) = &judgement.healthy else { return mark.probe.clone() };
    let same = mark.probe.clone().filter(|probe| healthy.contains(&probe.task));
    same.or_else(|| Some(ProbeMark { task: healthy.first()?.clone(), since: end_of_look(view) }))
}

/// In whole seconds, as marks are.
fn end_of_look(view: &View<'_>) -> Timestamp {
    let took = i64::try_from(view.observed().took.as_secs()).unwrap_or(0);
    let end = view.now().as_second().saturating_add(took);
    Timestamp::from_second(end).unwrap_or(view.now())
}

/// Notes which task is watched, so that a restart does not begin anew.
fn watch(view: &View<'_>, mark: &RolloutMark, probe: Option<ProbeMark>) -> Plan {
    let why = match &probe {
        Some(probe) => {
            format!("task {} is healthy: it is watched from now on ({})", probe.task, needed(view))
        }
        None => "the task watched is no longer healthy: the probe begins anew".to_owned(),
    };
    let mark = RolloutMark { probe, ..mark.clone() };
    Plan::acting(vec![mark_rollout(view, &mark, why)], capability_waits(view))
}

fn widen(view: &View<'_>, mark: &RolloutMark, why: &str) -> Plan {
    let mark = RolloutMark { phase: RolloutPhase::Widening, probe: None, ..mark.clone() };
    let mut actions: Vec<Action> =
        change_in_place(view, Lane::RolloutStep, &format!("widens the rollout: {why}"))
            .into_iter()
            .collect();
    actions.push(mark_rollout(view, &mark, format!("notes that the probe passed: {why}")));
    Plan::acting(actions, capability_waits(view))
}

/// Somebody took all tasks away in the middle of the probe: the first one of those that the manifest wants is the probe.
fn one_from_zero(view: &View<'_>) -> Option<Plan> {
    let wants_some = view.owned_count().is_some_and(|count| count > 0);
    if view.service.desired_count > 0 || !wants_some {
        return None;
    }
    let input = json!({
        "cluster": view.desired.key.cluster,
        "service": view.desired.key.name,
        "desiredCount": 1,
    });
    let why = "gives the probe its task again: somebody scaled the service to 0".to_owned();
    let call = Call::UpdateService { input };
    let action = Action { call, lane: Lane::RolloutStep, why };
    Some(Plan::acting(vec![action], capability_waits(view)))
}

/// Why the probe passed.
fn passed(view: &View<'_>, judgement: &Judgement, probe: Option<&ProbeMark>) -> Option<String> {
    if view.service.desired_count == 0 {
        return Some("no task is desired, so none can be probed".to_owned());
    }
    if matches!(&view.observed().tasks, Fact::Unknown(_)) && view.standing() == Standing::Completed
    {
        return Some("ECS completed it, and this server shows no tasks".to_owned());
    }
    let probe = probe.filter(|_| judgement.healthy.is_some())?;
    let lasted = watched_for(view, probe).unsigned_abs();
    (lasted >= view.desired.rollout.probe.healthy_for).then(|| progress(view, judgement, probe))
}

fn watched_for(view: &View<'_>, probe: &ProbeMark) -> SignedDuration {
    view.now().duration_since(probe.since).max(SignedDuration::ZERO)
}

fn progress(view: &View<'_>, judgement: &Judgement, probe: &ProbeMark) -> String {
    let healthy = judgement.healthy.as_ref().map_or(0, Vec::len);
    let lasted = span(watched_for(view, probe));
    format!("{healthy} healthy, task {} for {lasted} ({})", probe.task, needed(view))
}

fn needed(view: &View<'_>) -> String {
    let needed = SignedDuration::try_from(view.desired.rollout.probe.healthy_for);
    format!("healthyFor {}", span(needed.unwrap_or(SignedDuration::MAX)))
}
