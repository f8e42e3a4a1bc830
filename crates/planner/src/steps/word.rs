//! What people's words in tags mean for a rollout: paused, approved, promoted; never judges it.

use evenkeel_manifest::Gate;

use crate::plan::SETTLED;
use crate::tags::{Promotion, Scope, tag};
use crate::view::View;
use crate::{Action, Call, HookDetail, Lane, Plan, RolloutPhase, Said, Wait, WaitReason};

/// The annotation that pauses rollouts from git; its value is the reason.
const PAUSE_ANNOTATION: &str = "evenkeel.dev/pause";

/// The word that opens this pause, whatever else speaks for waiting; never against a verdict.
pub(super) fn promotion<'v>(view: &'v View<'_>, pause: &HookDetail) -> Option<&'v Promotion> {
    let promotion = view.memory.promotion.as_ref()?;
    promotion.opens(&view.desired.revision_digest, &pause.hook_id).then_some(promotion)
}

/// What a gate without such a word waits for, after all else that it waits for.
pub(super) fn missing_at(view: &View<'_>, gate: Gate, at: &str) -> Option<Wait> {
    if view.desired.rollout.approvals.contains(&gate) {
        let sentence = format!(
            "{at}: the manifest wants an approval: `evenkeel rollout promote {}/{} --comment ...`",
            view.desired.key.cluster, view.desired.key.name
        );
        return Some(Wait::new(WaitReason::Person, sentence));
    }
    paused(view, at)
}

/// Why a rollout goes no further here; `None` when nobody paused it.
pub(super) fn paused(view: &View<'_>, at: &str) -> Option<Wait> {
    let by_tag = view.memory.pause.as_ref().map(Said::phrase);
    let how = by_tag.or_else(|| {
        let why = view.desired.metadata.annotations.get(PAUSE_ANNOTATION)?;
        Some(format!("by the manifest's annotation {PAUSE_ANNOTATION}: {why}"))
    })?;
    let sentence = format!("{at}: rollouts of this service are paused {how}");
    Some(Wait::new(WaitReason::Person, sentence))
}

/// The plan instead of starting a rollout.
pub(super) fn not_started(view: &View<'_>) -> Option<Plan> {
    let wait = paused(view, "before the start")?;
    Some(Plan::waiting(vec![wait], SETTLED))
}

/// The plan, or if it has nothing to do, the removal of a word that opens nothing any more.
pub(super) fn tidy(view: &View<'_>, mut plan: Plan) -> Plan {
    if plan.actions.is_empty() && view.service.tags.contains_key(tag::PROMOTE) && is_spent(view) {
        let keys = vec![tag::PROMOTE.to_owned()];
        let call = Call::UntagResource { arn: view.service.service_arn.clone(), keys };
        let why = "forgets a promotion: what it was about is passed".to_owned();
        plan.actions.push(Action { call, lane: Lane::RolloutStep, why });
        plan.look_again = crate::plan::AFTER_ACTION;
    }
    plan
}

/// Whether its rollout is over, or its gate was answered. What was not seen is not over.
fn is_spent(view: &View<'_>) -> bool {
    let Some(promotion) = &view.memory.promotion else { return true };
    let rollout =
        view.memory.rollout.as_ref().filter(|mark| {
            mark.digest == promotion.digest && mark.phase != RolloutPhase::RollingBack
        });
    let (Some(mark), Scope::Hook(hook)) = (rollout, &promotion.scope) else {
        return rollout.is_none();
    };
    let id = mark.id().unwrap_or(&view.primary.id);
    let hooks = view.service_deployment(id).map(|one| &one.lifecycle_hook_details);
    hooks.is_some_and(|hooks| !hooks.iter().any(|one| one.hook_id == *hook && one.awaits_a_word()))
}
