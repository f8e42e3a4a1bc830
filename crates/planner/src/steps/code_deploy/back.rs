//! The way back from a deployment of CodeDeploy's: by its own rollback, or by a deployment of what was proven; never
//! by both.

use super::follow::{later_primary, stop, superseded};
use super::{begin, draining, foreign, is_alone, left_behind, primary, runs_the_wanted};
use crate::plan::IN_FLIGHT;
use crate::steps::rollback::held;
use crate::steps::rollout::{forget_rollout, mark_rollout};
use crate::steps::start::kept_back;
use crate::steps::{deregistered, unknown};
use crate::tags::RolloutMark;
use crate::view::View;
use crate::{
    Action, Call, CodeDeploy, CodeDeployDeployment, Lane, Plan, RolloutPhase, Wait, WaitReason,
};

/// The next step while `mark` says that its deployment is being returned from.
pub(super) fn step(view: &View<'_>, seen: &CodeDeploy, mark: &RolloutMark) -> Plan {
    let id = mark.id().unwrap_or_default();
    let named = seen.deployment(id);
    let is_wanted = mark.digest == view.desired.revision_digest;
    if !view.memory.rejects(&mark.digest) {
        // The verdict was taken back.
        return if is_wanted {
            forgiven(view, mark, named)
        } else {
            superseded(view, seen, mark, named)
        };
    }
    if let Some(bad) = named.filter(|one| one.is_active()) {
        let why = format!("ends {id}, which carries the rejected {}", mark.digest);
        return Plan::acting(vec![stop(bad, Lane::Rollback, why)], Vec::new());
    }
    if let Some(active) = seen.active() {
        return if is_ours(active, seen, mark, id) { returning(active) } else { foreign(active) };
    }
    if is_wanted && runs_the_wanted(view) && is_proven_by_definition(view) {
        return held(format!(
            "{id} carries the rejected revision, and what was proven has the same task definition; the rest of it is \
             not remembered: revert the commit"
        ));
    }
    // What may not start keeps nobody on what is bad.
    let is_replaced = !is_wanted && kept_back(view).is_none();
    if is_replaced || runs_the_proven(view) {
        let why = format!("ends the rollback from {id}");
        if is_alone(view) || is_replaced {
            return Plan::acting(vec![forget_rollout(view, why)], Vec::new());
        }
        // Only a deployment takes away what an ended one has left, and gives its traffic back.
        if left_behind(view).is_none() || seen.own_return(mark.since).is_some() {
            return draining("the tasks of the rejected revision drain");
        }
    }
    redeploy(view, seen, mark, id)
}

/// The verdict was taken back: what is still on its way goes on, and what ended is begun anew.
fn forgiven(view: &View<'_>, mark: &RolloutMark, named: Option<&CodeDeployDeployment>) -> Plan {
    if named.is_some_and(CodeDeployDeployment::is_active) {
        let mark = RolloutMark { phase: RolloutPhase::Shifting, ..mark.clone() };
        let why = "goes on with the rollout: its verdict was taken back".to_owned();
        return Plan::acting(vec![mark_rollout(view, &mark, why)], Vec::new());
    }
    let why = "forgets the rollback: its verdict was taken back".to_owned();
    Plan::acting(vec![forget_rollout(view, why)], Vec::new())
}

fn is_ours(active: &CodeDeployDeployment, seen: &CodeDeploy, mark: &RolloutMark, id: &str) -> bool {
    let is = |one: Option<&CodeDeployDeployment>| {
        one.is_some_and(|one| one.deployment_id == active.deployment_id)
    };
    active.is_rollback() || is(seen.rollback_of(id)) || is(seen.own_return(mark.since))
}

/// Where the deployment group has all wait before traffic moves, nobody else says go; a return waits for nothing.
fn returning(active: &CodeDeployDeployment) -> Plan {
    let id = &active.deployment_id;
    if active.is_ready() {
        let why = format!("lets {id}, which returns, move traffic");
        let call = Call::ContinueDeployment { id: id.clone() };
        return Plan::acting(vec![Action { call, lane: Lane::Rollback, why }], Vec::new());
    }
    let sentence = format!("CodeDeploy returns by {id}, in {}", active.status);
    Plan::waiting(vec![Wait::new(WaitReason::Rollback, sentence)], IN_FLIGHT)
}

/// Whether what was proven has the task definition that is wanted: what differs is its network, platform or port.
fn is_proven_by_definition(view: &View<'_>) -> bool {
    let proven = view.memory.proven.as_deref().and_then(|proven| view.definition(proven));
    proven.is_some_and(|one| one.digest == view.desired.task_definition_digest)
}

fn runs_the_proven(view: &View<'_>) -> bool {
    let (Some(primary), Some(proven)) = (primary(view), view.memory.proven.as_deref()) else {
        return false;
    };
    let runs = primary.deployment.task_definition.as_str();
    // What was deregistered is returned to by another one with its content, which what is left does not have.
    let digest = |arn: &str| view.definition(arn).map(|one| &one.digest);
    let is_as_good = digest(runs)
        .is_some_and(|digest| *digest != view.desired.task_definition_digest)
        && digest(runs) == digest(proven);
    runs == proven || is_as_good
}

/// The deployment of somebody else that has put something else in the place of the rejected one.
fn displaced_by<'a>(view: &View<'a>, seen: &CodeDeploy, id: &str) -> Option<&'a str> {
    let later = later_primary(view, seen.deployment(id)?).filter(|_| !runs_the_wanted(view))?;
    let is_somebody_s = |one: &CodeDeployDeployment| !one.is_rollback() && !one.is_ours();
    seen.deployment(later).is_some_and(is_somebody_s).then_some(later)
}

fn taken_over(view: &View<'_>, id: &str, later: &str) -> Plan {
    let why = format!("ends the rollback from {id}: {later} took its place");
    Plan::acting(vec![forget_rollout(view, why)], Vec::new())
}

/// CodeDeploy did not go back, or not to what was proven: it is told to deploy that, once.
fn redeploy(view: &View<'_>, seen: &CodeDeploy, mark: &RolloutMark, id: &str) -> Plan {
    if let Some(later) = displaced_by(view, seen, id) {
        return taken_over(view, id, later);
    }
    let Some(proven) = view.memory.proven.as_deref() else {
        return held(format!("{id} carries a rejected revision and nothing was ever proven"));
    };
    if !proven.contains(":task-definition/") {
        return held(format!(
            "what was proven, {proven}, was before CodeDeploy: revert the commit"
        ));
    }
    let Some(usable) = deregistered::usable(view, proven) else {
        return deregistered::register_again(view.observed(), proven);
    };
    let own_return = seen.own_return(mark.since);
    if let Some(later) = own_return.and_then(|own| later_primary(view, own)) {
        return taken_over(view, id, later);
    }
    if let Some(failed) = own_return {
        return if failed.has_succeeded() {
            unknown(format!(
                "CodeDeploy has returned by {}, and ECS does not show it",
                failed.deployment_id
            ))
        } else {
            held(format!(
                "the return by {} failed ({}): a person decides",
                failed.deployment_id,
                failed.end()
            ))
        };
    }
    begin::go_back(view, usable)
}
