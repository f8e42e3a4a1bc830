//! A deployment in flight that is neither wanted nor ours: waited for, and superseded by new content
//! only when it hangs; never fought.

use jiff::Timestamp;

use super::{rollback, stand_still};
use crate::breaker::judge;
use crate::plan::IN_FLIGHT;
use crate::render::span;
use crate::view::View;
use crate::{Plan, RolloutPhase, Wait, WaitReason};

/// What is waited for; `None` when the deployment hangs and the manifest has new content for it.
pub(super) fn wait(view: &View<'_>) -> Option<Plan> {
    let id = &view.primary.id;
    if rollback::runs_proven(view) {
        let sentence = format!("ECS returns to the proven revision with {id}");
        return Some(Plan::waiting(vec![Wait::new(WaitReason::Rollback, sentence)], IN_FLIGHT));
    }
    let deadline = deadline(view);
    if deadline.is_some_and(|deadline| view.now() >= deadline) {
        return (!is_new(view)).then(|| hangs(view));
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
