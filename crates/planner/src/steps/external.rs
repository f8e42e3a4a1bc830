//! A service whose rollouts Evenkeel carries out itself, with task sets and weights on an EXTERNAL controller:
//! the order of the cases; never moves traffic and tasks in one step.
//!
//! Source: ecs-behaviour 5 and 9.1.

mod anew;
mod back;
mod create;
mod forward;
mod keep;
mod rest;
mod sets;
mod traffic;

use evenkeel_manifest::Service;

use super::rollout::is_judged;
use super::settled::{heal, rejected_sentence};
use super::{rollback, stand_still, unknown};
use crate::plan::IN_FLIGHT;
use crate::tags::RolloutMark;
use crate::view::View;
use crate::{Depth, Input, ObservedService, Plan, RolloutPhase, Wait, WaitReason};
pub(crate) use forward::{step_at, step_gate};
use sets::Sets;
pub(crate) use traffic::Traffic;

/// The next step of a service with an EXTERNAL controller that exists, is active and not somebody else's.
pub(super) fn step(input: &Input<'_>, desired: &Service, service: &ObservedService) -> Plan {
    let sets = Sets::of(input, desired, service);
    match View::of(input, desired, service) {
        Some(view) => {
            super::drift::forget_first(&view, super::word::tidy(&view, step_of(&view, &sets)))
        }
        None if input.observed.depth == Depth::Deep => create::first(input, desired, service),
        None => unknown("a rollout starts from a deep look only"),
    }
}

/// The same once there are task sets; the view is of the one that is rolled out or back, else of the PRIMARY.
fn step_of(view: &View<'_>, sets: &Sets<'_>) -> Plan {
    if let Some(plan) = super::unread_definition(view).or_else(|| super::ownership::adopt(view)) {
        return plan;
    }
    if let Some(set) = sets.foreign.first() {
        let sentence = format!(
            "{} is a task set of somebody else: nothing is written until it is gone",
            set.id()
        );
        return stand_still(WaitReason::ForeignDeployment, sentence);
    }
    if is_at_rest(view, sets) {
        return settle(view, sets);
    }
    if view.observed().depth != Depth::Deep {
        return unknown("a rollout is in flight: it is judged from a deep look only");
    }
    match &view.memory.rollout {
        Some(mark) if mark.phase == RolloutPhase::RollingBack && !is_left_for(view, sets, mark) => {
            back::step(view, sets, mark)
        }
        Some(mark) if sets.is_primary(mark.id()) && is_about_the_wanted(view, mark) => {
            keep::step(view, sets, mark)
        }
        Some(mark) if sets.is_primary(mark.id()) => {
            let overtaken = keep::overtaken(view, sets, mark);
            overtaken.unwrap_or_else(|| in_flight(view, sets, Some(mark)))
        }
        mark => in_flight(view, sets, mark.as_ref()),
    }
}

/// Whether more than the shallow look is needed to plan.
pub(crate) fn is_stepped(input: &Input<'_>, desired: &Service, service: &ObservedService) -> bool {
    let Some(view) = View::of(input, desired, service) else { return true };
    let sets = Sets::of(input, desired, service);
    let is_settled =
        is_at_rest(&view, &sets) && sets.foreign.is_empty() && !rest::is_astray(&view, &sets);
    !is_settled || !(sets.runs_the_wanted || view.memory.rejects(&desired.revision_digest))
}

/// What a person's word about the step at which a rollout stands names; `None` where ECS takes the steps.
pub(super) fn step_of_ours(view: &View<'_>, mark: &RolloutMark) -> Option<String> {
    let is_ours =
        matches!(mark.phase, RolloutPhase::Stepping | RolloutPhase::Testing | RolloutPhase::Baking);
    (is_ours && view.desired.rollout.strategy.steps().is_some()).then(|| forward::gate_name(mark))
}

/// Whether that is what a status calls the step at which a rollout stands.
pub(super) fn is_step_of_ours(view: &View<'_>, mark: &RolloutMark, name: &str) -> bool {
    let is_it = |set| forward::whole_gate_name(set, mark) == name;
    step_of_ours(view, mark).is_some() && mark.id().is_some_and(is_it)
}

/// Whether a task set has the content that the manifest wants.
pub(super) fn runs_the_wanted(view: &View<'_>) -> bool {
    let sets = Sets::of(view.input, view.desired, view.service);
    sets.runs_the_wanted || sets.wanted.is_some()
}

/// One task set that is PRIMARY, and no memory of a rollout.
fn is_at_rest(view: &View<'_>, sets: &Sets<'_>) -> bool {
    view.memory.rollout.is_none() && sets.is_alone() && !is_unproven(view, sets)
}

fn is_unproven(view: &View<'_>, sets: &Sets<'_>) -> bool {
    sets.runs_the_wanted && !is_judged(view) && !view.memory.rejects(&view.desired.revision_digest)
}

/// Whether a rejected first revision, from which there is nothing to return to, is left for newer content.
fn is_left_for(view: &View<'_>, sets: &Sets<'_>, mark: &RolloutMark) -> bool {
    sets.primary.is_none() && mark.digest != view.desired.revision_digest
}

fn is_about_the_wanted(view: &View<'_>, mark: &RolloutMark) -> bool {
    mark.digest == view.desired.revision_digest && !view.memory.rejects(&mark.digest)
}

fn settle(view: &View<'_>, sets: &Sets<'_>) -> Plan {
    let astray = match rest::put_back(view, sets) {
        Some(Ok(plan)) => return plan,
        Some(Err(wait)) => Some(wait),
        None => None,
    };
    let rejected = view
        .memory
        .rejects(&view.desired.revision_digest)
        .then(|| Wait::new(WaitReason::Rejected, rejected_sentence(view.desired, &view.memory)));
    if rejected.is_some() || sets.runs_the_wanted {
        return heal(view, rejected.into_iter().chain(astray).collect());
    }
    create::next(view, sets)
}

/// What is wanted was rejected before it had a task set, and what stands is neither that nor PRIMARY.
fn rejected(view: &View<'_>, mark: Option<&RolloutMark>) -> Plan {
    if let Some(mark) = mark {
        let why = format!(
            "forgets the rollout of {}: it is wanted no more, and what is was rejected",
            mark.digest
        );
        return Plan::acting(vec![super::rollout::forget_rollout(view, why)], Vec::new());
    }
    let sentence = rejected_sentence(view.desired, &view.memory);
    heal(view, vec![Wait::new(WaitReason::Rejected, sentence)])
}

/// A task set beside the PRIMARY one: of what is wanted, or of what was wanted before.
fn in_flight(view: &View<'_>, sets: &Sets<'_>, mark: Option<&RolloutMark>) -> Plan {
    if mark.is_none() && is_unproven(view, sets) && sets.is_replacement() {
        return keep::again(view, sets);
    }
    // Before anything was ever complete, what was wanted before stands until what is wanted now serves.
    if let Some(old) = sets.outdated.first().filter(|_| sets.primary.is_some()) {
        return back::withdraw(view, sets, old, crate::Lane::RolloutStep);
    }
    let rejects = view.memory.rejects(&view.desired.revision_digest);
    match sets.wanted {
        Some(green) if rejects => {
            let why = format!("{} runs the rejected {}", green.id(), view.desired.revision_digest);
            rollback::begin(view, green.id(), why)
        }
        Some(green) => {
            let view = View::of_task_set(view.input, view.desired, view.service, green);
            forward::step(&view, sets, green, mark)
        }
        None if sets.is_draining => {
            let wait = Wait::new(WaitReason::Draining, "a task set still drains");
            Plan::waiting(vec![wait], IN_FLIGHT)
        }
        None if mark.is_some() && sets.outdated.is_empty() => {
            let why = "forgets the rollout: its task set is gone".to_owned();
            Plan::acting(vec![super::rollout::forget_rollout(view, why)], Vec::new())
        }
        None if sets.runs_the_wanted => keep::identify(view, sets),
        None if rejects => rejected(view, mark),
        None => create::next(view, sets),
    }
}
