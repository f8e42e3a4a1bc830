//! A deployment in flight that is neither wanted nor ours: waited for, and superseded by new content
//! only when it hangs; never fought.

use jiff::Timestamp;

use super::settled::REASSERT_EVERY;
use super::{rollback, stand_still};
use crate::breaker::judge;
use crate::plan::IN_FLIGHT;
use crate::render::span;
use crate::view::{View, target_revision};
use crate::{Plan, RolloutPhase, ServiceDeployment, Wait, WaitReason};

/// What is waited for; `None` when the deployment hangs and the manifest has new content for it.
pub(super) fn wait(view: &View<'_>) -> Option<Plan> {
    let id = &view.primary.id;
    let deadline = deadline(view);
    if deadline.is_some_and(|deadline| view.now() >= deadline) {
        return (!is_new(view)).then(|| hangs(view));
    }
    if rollback::runs_proven(view) {
        let sentence = format!("ECS returns to the proven revision with {id}");
        let wait = Wait::new(WaitReason::Rollback, sentence).until(deadline);
        return Some(Plan::waiting(vec![wait], IN_FLIGHT));
    }
    let sentence = format!(
        "{id} rolls out {}, which the manifest does not want; nothing is written until it ends",
        view.primary.task_definition
    );
    let wait = Wait::new(WaitReason::ForeignDeployment, sentence).until(deadline);
    Some(Plan::waiting(vec![wait], IN_FLIGHT))
}

/// Until when the deployment is to make progress, by the clock that our own rollouts have; `None` while
/// the clock stands.
fn deadline(view: &View<'_>) -> Option<Timestamp> {
    let began = view.primary.created_at?;
    judge(view, &view.primary.id, RolloutPhase::Widening, began).deadline
}

/// Until when a deployment that took the place of our rollout is left alone: for an hour since ours was
/// begun anew, which ECS's history tells, so that two controllers never fight. `None` when ours was
/// begun once.
pub(super) fn left_alone_until(view: &View<'_>) -> Option<Timestamp> {
    let all = view.observed().service_deployments.known()?;
    let is_ours = |one: &&ServiceDeployment| {
        target_revision(view.observed(), one).is_some_and(|target| {
            super::rollout::is_wanted_definition(view, &target.task_definition)
        })
    };
    let mut begun: Vec<Timestamp> =
        all.iter().filter(is_ours).filter_map(|one| one.created_at).collect();
    begun.sort_unstable();
    let [.., before, last] = begun.as_slice() else { return None };
    let until = last.checked_add(REASSERT_EVERY).ok()?;
    (last.duration_since(*before) < REASSERT_EVERY && view.now() < until).then_some(until)
}

/// Whether the wanted content was never rolled out: a person's word that is younger than the deployment
/// of somebody else. What was applied or begun before is not asserted against it.
fn is_new(view: &View<'_>) -> bool {
    let digest = &view.desired.revision_digest;
    let applied = view.memory.applied.as_ref().is_some_and(|last| last.digest == *digest);
    let begun = view.memory.rollout.as_ref().is_some_and(|mark| mark.digest == *digest);
    !applied && !begun && !view.memory.rejects(digest)
}

fn hangs(view: &View<'_>) -> Plan {
    let age = view.primary.created_at.map_or(String::new(), |began| {
        format!(", {} after it began", span(view.now().duration_since(began)))
    });
    let sentence = format!(
        "{}, which is not ours, makes no progress{age}: a person decides, or a manifest with new \
         content takes its place",
        view.primary.id
    );
    stand_still(WaitReason::Held, sentence)
}
