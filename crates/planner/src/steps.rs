//! The order of the cases that lead to the next safe step; never looks into the leaves.

mod absent;
mod alarms;
mod altered;
mod code_deploy;
mod command;
pub(crate) mod deregistered;
mod drift;
mod external;
mod foreign;
mod gate;
mod migrate;
mod overtaken;
mod ownership;
mod percentages;
mod postponed;
mod preflight;
mod probe;
mod prune;
mod retry;
mod rollback;
mod rollout;
mod settled;
mod start;
pub(crate) mod undo;
mod verified;
mod word;

pub(crate) use code_deploy::is_moved_by_code_deploy;
pub use command::obey;
pub(crate) use command::runs_the_wanted;
pub(crate) use drift::drifted;
pub(crate) use external::{Traffic, is_stepped, step_at, step_gate};
pub(crate) use gate::own_pause;
pub(crate) use postponed::is_ended_by_breaker;
pub(crate) use preflight::is_due;
pub use prune::prune;
pub(crate) use rollout::is_settled;
pub(crate) use settled::comparison;

use crate::breaker::Judgement;
use crate::plan::{IN_FLIGHT, SETTLED};
use crate::view::{View, explain, not_seen};
use crate::{Fact, Input, Plan, Said, TaskSet, Wait, WaitReason};

/// The next safe step. Total: no error, no panic, no I/O.
///
/// Each case either ends the plan, with actions or with what it waits for, or lets the next one
/// speak. Looking again after the step decides the one after it.
pub fn plan(input: &Input<'_>) -> Plan {
    let Some(desired) = input.desired else {
        return Plan::waiting(Vec::new(), SETTLED);
    };
    if let Fact::Unknown(why) = &input.observed.service {
        return unknown(format!("the service could not be read: {}", explain(why)));
    }
    if desired.paused {
        return stand_still(WaitReason::Paused, "spec.paused is true: nothing is written");
    }
    let service = match &input.observed.service {
        Fact::Known(service) if service.status != "INACTIVE" => service,
        Fact::Known(_) | Fact::Absent | Fact::Unknown(_) => return absent::create(input, desired),
    };
    if service.tags.contains_key(crate::tag::HOLD) {
        let sentence = held(service);
        return stand_still(WaitReason::Held, sentence);
    }
    if service.status != "ACTIVE" {
        let sentence =
            format!("the service is {}; it can be created anew when gone", service.status);
        return Plan::waiting(vec![Wait::new(WaitReason::Draining, sentence)], IN_FLIGHT);
    }
    if let Some(plan) = ownership::foreign(input, desired, service) {
        return plan;
    }
    if let Some(plan) = prune::revive(input, desired, service) {
        return plan;
    }
    if let Some(plan) = migrate::migrate(desired, service) {
        return plan;
    }
    if let Some(plan) = ownership::unsupported_strategy(desired, service) {
        return plan;
    }
    if desired.rollout.strategy.code_deploy().is_some() {
        return code_deploy::step(input, desired, service);
    }
    if desired.rollout.strategy.steps().is_some() {
        return external::step(input, desired, service);
    }
    let Some(view) = View::of(input, desired, service) else {
        return unknown("the service has no PRIMARY deployment");
    };
    drift::forget_first(&view, word::tidy(&view, step(&view)))
}

/// The next step of a service that exists, is active and not somebody else's.
fn step(view: &View<'_>) -> Plan {
    if let Some(plan) = unread_definition(view) {
        return plan;
    }
    if let Some(plan) = ownership::adopt(view) {
        return plan;
    }
    if let Some(plan) = ownership::immutable(view) {
        return plan;
    }
    if let Some(plan) = rollout::in_flight(view) {
        return plan;
    }
    settled::settle(view)
}

fn unread_definition(view: &View<'_>) -> Option<Plan> {
    if let Some(why) = view.observed().task_definitions.unknown() {
        let why = explain(why);
        return Some(unknown(format!("the task definition in use could not be read: {why}")));
    }
    let arn = &view.primary.task_definition;
    view.definition(arn)
        .is_none()
        .then(|| unknown(format!("the task definition in use, {arn}, is not in the answer")))
}

fn held(service: &crate::ObservedService) -> String {
    let said = service.tags.get(crate::tag::HOLD).map(|value| Said::decode(value));
    let by =
        said.filter(Said::is_signed).map_or(String::new(), |said| format!(" ({})", said.phrase()));
    format!("the tag {} is set: nothing is written{by}", crate::tag::HOLD)
}

/// Waits for a better look: nothing is written on ignorance.
fn unknown(sentence: impl Into<String>) -> Plan {
    Plan::waiting(vec![Wait::new(WaitReason::Unknown, sentence)], IN_FLIGHT)
}

fn stand_still(reason: WaitReason, sentence: impl Into<String>) -> Plan {
    Plan::waiting(vec![Wait::new(reason, sentence)], SETTLED)
}

/// The waits that name calls that the server does not have or does not permit, while the plan goes on
/// without them.
fn capability_waits(view: &View<'_>) -> Vec<Wait> {
    let missing = missing_operations(view.observed()).into_iter().map(|operation| {
        let sentence =
            format!("the server does not know {operation}; going on with what it shows instead");
        Wait::new(WaitReason::CapabilityMissing, sentence)
    });
    missing.chain(preflight::left_out(view.observed())).collect()
}

/// The calls that the server does not implement, each once.
pub(crate) fn missing_operations(observed: &crate::Observed) -> Vec<String> {
    let unknowns = [
        observed.task_definitions.unknown(),
        observed.service_deployments.unknown(),
        observed.service_revisions.unknown(),
        observed.tasks.unknown(),
        observed.target_groups.unknown(),
        observed.load_balancing.unknown(),
        observed.code_deploy.unknown(),
        observed.alarms.unknown(),
        observed.metrics.unknown(),
    ];
    let mut operations: Vec<String> = unknowns
        .into_iter()
        .flatten()
        .filter_map(|why| match why {
            crate::Unknown::CapabilityMissing { operation } => Some(operation.clone()),
            crate::Unknown::NotAsked
            | crate::Unknown::Denied { .. }
            | crate::Unknown::Failed { .. } => None,
        })
        .collect();
    operations.sort();
    operations.dedup();
    operations
}

/// Why a step in the revision's favour must wait: a deep fact that was asked for and not seen.
fn unseen(view: &View<'_>) -> Option<String> {
    let observed = view.observed();
    unread("the service deployments", not_seen(&observed.service_deployments))
        .or_else(|| unread("the service revisions", not_seen(&observed.service_revisions)))
        .or_else(|| unseen_tasks(view))
}

/// The same of what is seen of tasks alone.
fn unseen_tasks(view: &View<'_>) -> Option<String> {
    let observed = view.observed();
    unread("the tasks", not_seen(&observed.tasks))
        .or_else(|| unread("the target health", not_seen(&observed.target_groups)))
}

/// Before all tasks of the task set are healthy.
fn unhealthy(set: &TaskSet, judgement: &Judgement) -> Option<Wait> {
    let all = usize::try_from(set.deployment.desired_count).unwrap_or(usize::MAX);
    judgement.healthy.as_ref().is_none_or(|healthy| healthy.len() < all).then(|| {
        let sentence = format!("{} tasks are to be healthy", set.deployment.desired_count);
        Wait::new(WaitReason::Deployment, sentence).until(judgement.deadline)
    })
}

fn unread(name: &str, why: Option<&crate::Unknown>) -> Option<String> {
    why.map(|why| format!("{name} could not be read: {}", explain(why)))
}
