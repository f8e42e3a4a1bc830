//! The way back from a deployment of CodeDeploy's: by its own rollback, or by a deployment of what was proven; never
//! by both.

use super::follow::{stop, superseded};
use super::{begin, draining, foreign, is_alone, primary};
use crate::plan::IN_FLIGHT;
use crate::steps::rollback::held;
use crate::steps::rollout::{forget_rollout, mark_rollout};
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
    if !is_wanted || runs_the_proven(view) {
        let why = format!("ends the rollback from {id}");
        return if is_alone(view) || !is_wanted {
            Plan::acting(vec![forget_rollout(view, why)], Vec::new())
        } else {
            draining("the tasks of the rejected revision drain")
        };
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

/// CodeDeploy did not go back, or not to what was proven: it is told to deploy that, once.
fn redeploy(view: &View<'_>, seen: &CodeDeploy, mark: &RolloutMark, id: &str) -> Plan {
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
    if let Some(failed) = seen.own_return(mark.since) {
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
