//! A deployment in flight that is neither wanted nor ours: waited for, and superseded when it fails or hangs,
//! by new content at once, else an hour after it began; never fought.

use jiff::Timestamp;

use super::rollback;
use super::rollout::{forget_rollout, is_displaced};
use super::settled::REASSERT_EVERY;
use crate::breaker::{Judgement, judge};
use crate::plan::{CAPACITY, IN_FLIGHT, SETTLED};
use crate::view::{View, target_revision};
use crate::{Action, Plan, RolloutPhase, ServiceDeployment, VerdictKind, Wait, WaitReason};

/// What is waited for; `None` when the deployment fails and what the manifest wants is to take its place.
pub(super) fn wait(view: &View<'_>) -> Option<Plan> {
    let id = &view.primary.id;
    let judgement = judgement(view);
    let against = judgement.against.as_ref().filter(|(kind, _)| *kind != VerdictKind::Alarm);
    if let Some((_, sentence)) = against {
        return (!is_replaced(view)).then(|| fails(view, sentence));
    }
    let deadline = judgement.deadline;
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
    Some(Plan::waiting(vec![wait], CAPACITY))
}

/// The deployment is judged as our own rollouts are, though no verdict comes of it.
fn judgement(view: &View<'_>) -> Judgement {
    let began = view.primary.created_at.unwrap_or(view.now());
    judge(view, &view.primary.id, RolloutPhase::Widening, began)
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

/// Whether a deployment that fails makes way: for new content at once, else an hour after it began.
fn is_replaced(view: &View<'_>) -> bool {
    is_new(view) || stays_until(view).is_some_and(|until| view.now() >= until)
}

/// Until when one that fails is left to a person; `None` without end, for what was rejected never takes its
/// place.
fn stays_until(view: &View<'_>) -> Option<Timestamp> {
    let began = view.primary.created_at?;
    let is_rejected = view.memory.rejects(&view.desired.revision_digest);
    began.checked_add(REASSERT_EVERY).ok().filter(|_| !is_rejected)
}

fn fails(view: &View<'_>, sentence: &str) -> Plan {
    let until = stays_until(view);
    let or_else = if until.is_some() {
        ", at the latest what is wanted now, an hour after it began"
    } else {
        ""
    };
    let sentence = format!(
        "{}, which is not ours, fails: {sentence}; a person decides, or a manifest with new content \
         takes its place{or_else}",
        view.primary.id
    );
    let wait = Wait::new(WaitReason::Held, sentence).until(until);
    match forgotten(view) {
        Some(forget) => Plan::acting(vec![forget], vec![wait]),
        None => Plan::waiting(vec![wait], SETTLED),
    }
}

/// A rollout of what was wanted earlier, or is rejected, ended when somebody else took its place: nobody comes back to it.
fn forgotten(view: &View<'_>) -> Option<Action> {
    let mark = view.memory.rollout.as_ref()?;
    let is_past = mark.digest != view.desired.revision_digest || view.memory.rejects(&mark.digest);
    (is_past && is_displaced(view, mark)).then(|| {
        let why = format!("forgets the rollout of {}: somebody else took its place", mark.digest);
        forget_rollout(view, why)
    })
}
