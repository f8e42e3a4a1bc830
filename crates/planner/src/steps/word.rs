//! What people's words and their windows mean for a rollout: paused, frozen, approved, promoted; never
//! judges it.

use evenkeel_manifest::{Approval, Gate, Service};
use jiff::Timestamp;

use crate::diff::{Comparison, runs_what_is_wanted};
use crate::freeze::{Freeze, freeze};
use crate::plan::SETTLED;
use crate::tags::{Memory, Promotion, Scope, tag};
use crate::view::View;
use crate::{Action, Call, HookDetail, Lane, Plan, RolloutPhase, Said, Wait, WaitReason};

/// The annotation that pauses rollouts from git; its value is the reason.
const PAUSE_ANNOTATION: &str = "evenkeel.dev/pause";

/// Whose word an annotation is, as far as is known.
const IN_GIT: &str = "it was approved in git";

/// Where a rollout stands that has not begun, for people.
pub(super) const START: &str = "before the start";

/// The word that opens this pause, whatever else speaks for waiting; never against a verdict.
pub(super) fn promotion<'v>(view: &'v View<'_>, pause: &HookDetail) -> Option<&'v Promotion> {
    let promotion = view.memory.promotion.as_ref()?;
    promotion.opens(&view.desired.revision_digest, &pause.hook_id).then_some(promotion)
}

/// What a gate without such a word waits for, after all else that it waits for.
pub(super) fn missing_at(view: &View<'_>, gate: Gate, at: &str) -> Option<Wait> {
    if view.desired.rollout.approvals.contains(&gate) && !view.desired.is_approved() {
        let sentence = format!(
            "{at}: the manifest wants an approval: `evenkeel rollout promote {}/{} --comment ...`{}",
            view.desired.key.cluster,
            view.desired.key.name,
            of_other_content(view.desired)
        );
        return Some(Wait::new(WaitReason::Person, sentence));
    }
    paused(view, at)
}

/// Who approved a gate where the manifest wants that, without a promotion.
pub(super) fn approved(view: &View<'_>, gate: Gate) -> Option<&'static str> {
    let is_wanted = view.desired.rollout.approvals.contains(&gate);
    (is_wanted && view.desired.is_approved()).then_some(IN_GIT)
}

/// What is said of an approval that is of no account; empty where there is none.
fn of_other_content(desired: &Service) -> String {
    let other = desired.approval.as_ref().filter(|_| !desired.is_approved());
    other.map_or(String::new(), |approval| {
        let (name, revision) = (Approval::ANNOTATION, approval.revision());
        format!("; the annotation {name} is about other content ({revision}) and of no account")
    })
}

/// Why a rollout goes no further here; `None` when nobody paused it, nor any window.
pub(super) fn paused(view: &View<'_>, at: &str) -> Option<Wait> {
    by_a_person(view.desired, &view.memory, at).or_else(|| {
        let freeze = frozen(view)?;
        freeze.pauses().then(|| frozen_at(view.desired, &freeze, at))
    })
}

/// What is waited for under a freeze.
pub(super) fn frozen_at(desired: &Service, freeze: &Freeze<'_>, at: &str) -> Wait {
    let wait = freeze.wait(at);
    let sentence = wait.sentence + &of_other_content(desired);
    Wait { sentence, ..wait }
}

/// The same of a person alone: no window forbids what is not a rollout.
pub(super) fn paused_by_a_person(view: &View<'_>, at: &str) -> Option<Wait> {
    by_a_person(view.desired, &view.memory, at)
}

fn by_a_person(desired: &Service, memory: &Memory, at: &str) -> Option<Wait> {
    let by_tag = memory.pause.as_ref().map(Said::phrase);
    let how = by_tag.or_else(|| {
        let why = desired.metadata.annotations.get(PAUSE_ANNOTATION)?;
        Some(format!("by the manifest's annotation {PAUSE_ANNOTATION}: {why}"))
    })?;
    let sentence = format!("{at}: rollouts of this service are paused {how}");
    Some(Wait::new(WaitReason::Person, sentence))
}

/// The freeze that holds for what is wanted: nobody lets it pass.
pub(super) fn frozen<'v>(view: &'v View<'_>) -> Option<Freeze<'v>> {
    frozen_at_rest(view.desired, &view.memory, view.now())
}

fn frozen_at_rest<'d>(desired: &'d Service, memory: &Memory, now: Timestamp) -> Option<Freeze<'d>> {
    let freeze = freeze(&desired.rollout.windows, now)?;
    past_a_freeze(desired, memory).is_none().then_some(freeze)
}

/// Who lets what is wanted pass a freeze.
fn past_a_freeze(desired: &Service, memory: &Memory) -> Option<String> {
    if desired.is_approved() {
        return Some(IN_GIT.to_owned());
    }
    let promotion = memory.promotion.as_ref()?;
    let passes = promotion.passes_freezes(&desired.revision_digest);
    passes.then(|| format!("it was promoted {}", promotion.said.phrase()))
}

/// Whether windows forbid rollouts now, whoever lets one pass.
pub(super) fn is_frozen(view: &View<'_>) -> bool {
    freeze(&view.desired.rollout.windows, view.now()).is_some()
}

/// Why what is wanted starts while windows forbid it; empty when none does.
pub(super) fn in_spite_of_a_freeze(view: &View<'_>) -> String {
    let because = past_a_freeze(view.desired, &view.memory).filter(|_| is_frozen(view));
    because.map_or(String::new(), |because| not_kept(&because))
}

fn not_kept(because: &str) -> String {
    format!("; not kept by a freeze: {because}")
}

/// The same of a service that is created, which has no tags.
pub(super) fn created_in_spite_of_a_freeze(desired: &Service, now: Timestamp) -> String {
    let is_frozen = freeze(&desired.rollout.windows, now).is_some();
    if is_frozen { not_kept(IN_GIT) } else { String::new() }
}

/// The plan instead of starting a rollout.
pub(super) fn not_started(view: &View<'_>) -> Option<Plan> {
    not_begun(view.desired, &view.memory, view.now())
}

/// The same of a service without a deployment or task set.
pub(super) fn not_begun(desired: &Service, memory: &Memory, now: Timestamp) -> Option<Plan> {
    if let Some(wait) = by_a_person(desired, memory, START) {
        return Some(Plan::waiting(vec![wait], SETTLED));
    }
    let freeze = frozen_at_rest(desired, memory, now)?;
    Some(until_it_thaws(desired, &freeze, now))
}

/// The plan instead of creating a service.
pub(super) fn not_created(desired: &Service, now: Timestamp) -> Option<Plan> {
    let freeze = freeze(&desired.rollout.windows, now).filter(|_| !desired.is_approved());
    freeze.map(|freeze| until_it_thaws(desired, &freeze, now))
}

fn until_it_thaws(desired: &Service, freeze: &Freeze<'_>, now: Timestamp) -> Plan {
    let wait = frozen_at(desired, freeze, START);
    Plan::waiting(vec![wait], freeze.look_again(now, SETTLED))
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
        return rollout.is_none() && !is_about_a_start(view, promotion);
    };
    if let Some(step) = super::external::step_of_ours(view, mark) {
        return *hook != step;
    }
    let id = mark.id().unwrap_or(&view.primary.id);
    let hooks = view.service_deployment(id).map(|one| &one.lifecycle_hook_details);
    hooks.is_some_and(|hooks| !hooks.iter().any(|one| one.hook_id == *hook && one.awaits_a_word()))
}

/// Whether it lets something start that is still to start.
fn is_about_a_start(view: &View<'_>, promotion: &Promotion) -> bool {
    let digest = &view.desired.revision_digest;
    promotion.passes_freezes(digest)
        && !view.memory.rejects(digest)
        && !runs_what_is_wanted(view, Comparison::Lenient)
}
