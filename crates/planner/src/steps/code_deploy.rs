//! A service that CodeDeploy deploys: the order of the cases; never moves traffic itself.
//!
//! Source: ecs-behaviour 6.

mod arrive;
mod back;
mod begin;
mod follow;
mod overtaken;

use evenkeel_manifest::Service;
use serde_json::Value;

use super::rollout::is_judged;
use super::settled::{heal, rejected_sentence, too_soon};
use super::{rollback, unknown};
use crate::diff::contains;
use crate::plan::{CAPACITY, IN_FLIGHT, SETTLED};
use crate::view::{View, explain};
use crate::{
    CodeDeploy, CodeDeployDeployment, Depth, Fact, Input, ObservedService, Plan, RolloutPhase,
    TaskSet, Wait, WaitReason,
};

/// The next step of a service with the `CODE_DEPLOY` controller that exists, is active and not somebody else's.
pub(super) fn step(input: &Input<'_>, desired: &Service, service: &ObservedService) -> Plan {
    match View::of(input, desired, service) {
        Some(view) => super::drift::forget_first(&view, super::word::tidy(&view, step_of(&view))),
        None => unknown("the service has no task set"),
    }
}

fn step_of(view: &View<'_>) -> Plan {
    if let Some(plan) = super::unread_definition(view).or_else(|| super::ownership::adopt(view)) {
        return plan;
    }
    if is_at_rest(view) {
        return settle(view, None);
    }
    if view.observed().depth != Depth::Deep {
        return unknown("a rollout is in flight: it is judged from a deep look only");
    }
    let seen = match seen(view) {
        Ok(seen) => seen,
        Err(wait) => return created(view).unwrap_or_else(|| until_read(wait)),
    };
    match &view.memory.rollout {
        Some(mark) if mark.phase == RolloutPhase::RollingBack => back::step(view, seen, mark),
        Some(mark) => follow::step(view, seen, mark),
        None => unmarked(view, seen),
    }
}

/// The first task set of a service comes before its deployment group: nothing of CodeDeploy's is on its way.
fn created(view: &View<'_>) -> Option<Plan> {
    let is_read = view.observed().code_deploy.unknown().is_none();
    if !(is_read && is_alone(view) && runs_the_wanted(view)) {
        return None;
    }
    match &view.memory.rollout {
        Some(mark) if mark.phase == RolloutPhase::RollingBack => None,
        Some(mark) if mark.digest != view.desired.revision_digest => None,
        Some(mark) => Some(arrive::step(view, mark)),
        None => Some(arrive::identify(view)),
    }
}

/// Whether more than the shallow look is needed to plan.
pub(crate) fn is_moved_by_code_deploy(
    input: &Input<'_>,
    desired: &Service,
    service: &ObservedService,
) -> bool {
    let Some(view) = View::of(input, desired, service) else { return true };
    let is_left_alone = view.memory.rejects(&desired.revision_digest) || runs_the_wanted(&view);
    !(is_at_rest(&view) && is_left_alone)
}

/// One task set, and no memory of a rollout.
fn is_at_rest(view: &View<'_>) -> bool {
    view.memory.rollout.is_none() && is_alone(view) && !is_unproven(view)
}

fn is_alone(view: &View<'_>) -> bool {
    view.service.task_sets.len() == 1
}

fn is_unproven(view: &View<'_>) -> bool {
    !is_judged(view) && !view.memory.rejects(&view.desired.revision_digest) && runs_the_wanted(view)
}

/// Whether the PRIMARY task set has the content that the manifest wants.
pub(super) fn runs_the_wanted(view: &View<'_>) -> bool {
    primary(view).is_some_and(|set| holds_the_wanted(view, set))
}

fn primary<'a>(view: &View<'a>) -> Option<&'a TaskSet> {
    view.service.task_sets.iter().find(|set| set.is_primary())
}

/// As much of it as an AppSpec says. ECS shows the concrete platform version.
fn holds_the_wanted(view: &View<'_>, set: &TaskSet) -> bool {
    let (wanted, live) = (view.desired.service.value(), set.content());
    let holds = |name: &str| match (live.get(name), wanted.get(name)) {
        (_, None) => true,
        (_, Some(wanted)) if name == "platformVersion" && wanted == "LATEST" => true,
        (Some(live), Some(wanted)) => contains(live, wanted),
        (None, Some(wanted)) => wanted.as_array().is_some_and(Vec::is_empty),
    };
    let definition = view.definition(&set.deployment.task_definition);
    definition.is_some_and(|one| one.digest == view.desired.task_definition_digest)
        && ["platformVersion", "networkConfiguration", "capacityProviderStrategy"]
            .into_iter()
            .all(holds)
        && serves_the_same(set, &wanted)
}

fn serves_the_same(set: &TaskSet, wanted: &Value) -> bool {
    let same = |name: &str| {
        let live = set.member("loadBalancers").and_then(|list| list.get(0)?.get(name));
        live == wanted.pointer("/loadBalancers/0").and_then(|one| one.get(name))
    };
    same("containerName") && same("containerPort")
}

/// What CodeDeploy said of the service's own group; else why nothing is begun.
fn seen<'a>(view: &View<'a>) -> Result<&'a CodeDeploy, Wait> {
    let (application, group) = crate::code_deploy::names(view.desired).unwrap_or_default();
    let named = format!("the deployment group {group} of the application {application}");
    match &view.observed().code_deploy {
        Fact::Known(seen) if !seen.group.is_called(&application, &group) => {
            let sentence = format!("{named} was asked for, and CodeDeploy answered about another");
            Err(Wait::new(WaitReason::Unknown, sentence))
        }
        Fact::Known(seen) if seen.group.deploys(view.desired) => Ok(seen),
        Fact::Known(_) => Err(Wait::new(
            WaitReason::Preflight,
            format!("{named} does not deploy this service: name another as `codeDeploy`"),
        )),
        Fact::Absent => Err(Wait::new(
            WaitReason::Preflight,
            format!("{named} does not exist: create it, or name another as `codeDeploy`"),
        )),
        Fact::Unknown(why) => {
            let sentence = format!("{named} could not be read: {}", explain(why));
            Err(Wait::new(WaitReason::Unknown, sentence))
        }
    }
}

fn until_read(wait: Wait) -> Plan {
    let look_again = if wait.reason == WaitReason::Unknown { IN_FLIGHT } else { SETTLED };
    Plan::waiting(vec![wait], look_again)
}

/// `beside` is what else is to be told.
fn settle(view: &View<'_>, beside: Option<&Wait>) -> Plan {
    let heal = |wait: Option<Wait>| heal(view, wait.into_iter().chain(beside.cloned()).collect());
    if view.memory.rejects(&view.desired.revision_digest) {
        let sentence = rejected_sentence(view.desired, &view.memory);
        return heal(Some(Wait::new(WaitReason::Rejected, sentence)));
    }
    if runs_the_wanted(view) {
        return heal(None);
    }
    if let Some(until) = too_soon(view) {
        let sentence = format!(
            "{} replaced what the manifest wants; it is put back once an hour at most",
            view.primary.id
        );
        return heal(Some(Wait::new(WaitReason::ForeignDeployment, sentence).until(Some(until))));
    }
    begin::begin(view)
}

/// More than one task set, or what is wanted runs unproven, and no memory says how it came.
fn unmarked(view: &View<'_>, seen: &CodeDeploy) -> Plan {
    if let Some(active) = seen.active() {
        return taken_up(view, active).unwrap_or_else(|| foreign(active));
    }
    let left_behind = left_behind(view);
    if !is_alone(view) && left_behind.is_none() {
        return draining("a task set is on its way out");
    }
    if is_unproven(view) { arrive::identify(view) } else { settle(view, left_behind.as_ref()) }
}

/// A deployment says itself that it is ours, and of which content: a lost memory leaves it not unjudged.
fn taken_up(view: &View<'_>, active: &CodeDeployDeployment) -> Option<Plan> {
    if !active.is_for(&view.desired.revision_digest) {
        return None;
    }
    let rejected = leave_rejected(view, &active.deployment_id);
    Some(rejected.unwrap_or_else(|| arrive::mark(view, &active.deployment_id)))
}

/// Every task set beside the PRIMARY one is there for good: its deployment has ended, and only the next one takes it
/// away. `None` while one may go by itself.
fn left_behind(view: &View<'_>) -> Option<Wait> {
    let seen = view.observed().code_deploy.known()?;
    let primary = view.service.task_sets.iter().find(|set| set.is_primary());
    let replaced_by = primary.and_then(TaskSet::code_deployment);
    let ended = |set: &TaskSet| {
        // One that the service began with goes with the deployment that replaced it.
        let maker = seen.deployment(set.code_deployment().or(replaced_by)?)?;
        (!set.is_draining() && !maker.is_active()).then(|| maker.deployment_id.clone())
    };
    let others = view.service.task_sets.iter().filter(|set| !set.is_primary());
    let makers: Vec<String> = others.map(ended).collect::<Option<_>>()?;
    let maker = makers.first()?;
    let sentence = format!(
        "{maker} has ended and left a task set behind, which may still get traffic: the next deployment replaces it"
    );
    Some(Wait::new(WaitReason::Person, sentence))
}

fn foreign(active: &CodeDeployDeployment) -> Plan {
    let maker = match &active.creator {
        Some(creator) => format!("begun by {creator}"),
        None => "not ours".to_owned(),
    };
    let sentence = format!("CodeDeploy has {} in {}, {maker}", active.deployment_id, active.status);
    Plan::waiting(vec![Wait::new(WaitReason::ForeignDeployment, sentence)], CAPACITY)
}

fn draining(sentence: &str) -> Plan {
    Plan::waiting(vec![Wait::new(WaitReason::Draining, sentence)], IN_FLIGHT)
}

/// Rejected by a person's word while it was rolled out: the way back begins.
fn leave_rejected(view: &View<'_>, id: &str) -> Option<Plan> {
    let digest = &view.desired.revision_digest;
    let is_rejected = view.memory.rejects(digest);
    is_rejected.then(|| rollback::begin(view, id, format!("{id} carries the rejected {digest}")))
}
