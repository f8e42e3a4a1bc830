//! A settled service: starting what is wanted, healing what drifted, tags; never fights.

use std::collections::{BTreeMap, BTreeSet};

use evenkeel_manifest::Service;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::drift::{self, Healing};
use super::ownership::owner;
use super::postponed::{Restoring, is_ended_by_breaker, is_short, restore};
use super::rollout::{
    applied_now, forget_rollout, has_started, in_place, is_rollback, is_to_replace_ours,
    reject_from_history,
};
use super::start::start;
use super::{capability_waits, prune, rollback, unknown, word};
use crate::diff::{Comparison, has_wanted_members, runs_what_is_wanted};
use crate::plan::SETTLED;
use crate::tags::{LastApplied, Memory, Rejection, encode_keys, tag};
use crate::view::{Standing, View, explain, last_part, not_seen, target_revision};
use crate::{Action, Call, Lane, Plan, Wait, WaitReason};

/// How often at most a revision is asserted again over somebody else's.
pub(super) const REASSERT_EVERY: SignedDuration = SignedDuration::from_hours(1);

pub(super) fn settle(view: &View<'_>) -> Plan {
    if view.memory.rejects(&view.desired.revision_digest) {
        return rejected(view);
    }
    if runs_what_is_wanted(view, comparison(view)) {
        return restored(view, Vec::new());
    }
    let observed = view.observed();
    let unseen = not_seen(&observed.service_deployments);
    if let Some(why) = unseen.or_else(|| not_seen(&observed.service_revisions)) {
        return unknown(format!(
            "whether the revision failed before is not known: {}",
            explain(why)
        ));
    }
    if let Some((id, sentence)) = rolled_back_before(view) {
        return reject_from_history(view, &id, sentence);
    }
    if let Some(until) = too_soon(view) {
        let sentence = format!(
            "{} replaced what the manifest wants; it is put back once an hour at most",
            view.primary.id
        );
        let wait = Wait::new(WaitReason::ForeignDeployment, sentence).until(Some(until));
        return heal(view, vec![wait]);
    }
    if let Some(held) = word::not_started(view).filter(|_| stands_still(view)) {
        let plan = restored(view, held.waiting);
        let look_again = if plan.actions.is_empty() { held.look_again } else { plan.look_again };
        return Plan { look_again, ..plan };
    }
    start(view)
}

/// What runs and is proven is deployed again where ECS gave it up, unless a person paused that; else all the rest is healed.
fn restored(view: &View<'_>, mut waiting: Vec<Wait>) -> Plan {
    if let Some(paused) = word::paused_by_a_person(view, word::START) {
        waiting.extend(Some(paused).filter(|_| is_ended_by_breaker(view) && waiting.is_empty()));
        return heal(view, waiting);
    }
    match restore(view, None).filter(|_| is_short(view)) {
        Some(Restoring::Now(plan)) => plan,
        Some(Restoring::Later(wait)) => heal(view, waiting.into_iter().chain([wait]).collect()),
        None => heal(view, waiting),
    }
}

/// Whether nothing is on its way that must not be changed while it is.
fn stands_still(view: &View<'_>) -> bool {
    view.memory.rollout.is_none() && view.standing() != Standing::InFlight
}

/// What was applied before is compared leniently: the server may have added to it.
pub(crate) fn comparison(view: &View<'_>) -> Comparison {
    match &view.memory.applied {
        Some(last) if last.digest == view.desired.revision_digest => Comparison::Lenient,
        _ => Comparison::Exact,
    }
}

/// The wanted revision was judged bad: it is not tried again, and what else differs is still healed
/// unless the bad revision itself runs.
fn rejected(view: &View<'_>) -> Plan {
    let sentence = rejected_sentence(view.desired, &view.memory);
    if let Some(plan) = leave_superseded(view).or_else(|| leave_failed(view)) {
        return plan;
    }
    if let Some(mark) = &view.memory.rollout
        && view.standing() != Standing::InFlight
    {
        let why =
            format!("forgets the rollout of {}: {} took its place", mark.digest, view.primary.id);
        return Plan::acting(vec![forget_rollout(view, why)], Vec::new());
    }
    let wait = Wait::new(WaitReason::Rejected, sentence);
    let moves = view.standing() == Standing::InFlight;
    if moves || runs_what_is_wanted(view, Comparison::Lenient) {
        return Plan::waiting(vec![wait], SETTLED);
    }
    heal(view, vec![wait])
}

pub(super) fn rejected_sentence(desired: &Service, memory: &Memory) -> String {
    let digest = &desired.revision_digest;
    let rejection = memory.rejected.as_ref();
    let code = rejection.map(Rejection::reason).unwrap_or_default();
    let when = rejection.and_then(|one| one.at).map_or(String::new(), |at| format!(" at {at}"));
    format!(
        "{digest} was rejected{when} ({code}); it is tried again when its content changes or the tag \
         {} is removed",
        tag::REJECTED
    )
}

/// A rollout of ours runs that the manifest has left for a revision that was judged bad: nobody judges it
/// any more, so the service goes to the proven revision, as after any verdict.
fn leave_superseded(view: &View<'_>) -> Option<Plan> {
    let mark = view.memory.rollout.as_ref()?;
    let id = &view.primary.id;
    let what = if has_started(view, mark) {
        format!("{id} runs {}, which is wanted no more", mark.digest)
    } else if is_to_replace_ours(view, mark) && !rollback::runs_proven(view) {
        format!("{id}, which {} was to replace, is wanted no more", mark.digest)
    } else {
        return None;
    };
    Some(rollback::begin(view, id, format!("{what}, and what is wanted was rejected")))
}

/// ECS gave up what runs, whoever deployed it, and has not returned itself: nobody is served by it.
fn leave_failed(view: &View<'_>) -> Option<Plan> {
    let is_failed = view.standing() == Standing::Failed && view.memory.proven.is_some();
    if !is_failed || rollback::runs_proven(view) {
        return None;
    }
    let id = &view.primary.id;
    let why = format!("{id} was given up by ECS, and what is wanted was rejected");
    Some(rollback::begin(view, id, why))
}

/// The id of the deployment, and how ECS's history says that what is wanted was rolled back after
/// we last judged it: we crashed between starting it and marking it.
fn rolled_back_before(view: &View<'_>) -> Option<(String, String)> {
    let judged_until = view.memory.applied.as_ref().map(|last| last.at);
    let all = view.observed().service_deployments.known()?;
    let newest = all.iter().max_by_key(|one| one.created_at)?;
    if !is_rollback(&newest.status) || newest.created_at <= judged_until {
        return None;
    }
    let target = target_revision(view.observed(), newest)?;
    let definition = view.definition(&target.task_definition)?;
    if definition.digest != view.desired.task_definition_digest || !has_wanted_members(view, target)
    {
        return None;
    }
    let id = format!("ecs-svc/{}", last_part(&target.service_revision_arn));
    let reason = newest.status_reason.as_deref().unwrap_or("no reason given");
    Some((id.clone(), format!("ECS has {id} in {}: {reason}", newest.status)))
}

/// Until when somebody else's deployment is left alone. A manifest that changed is never held back.
pub(super) fn too_soon(view: &View<'_>) -> Option<Timestamp> {
    let last = view.memory.applied.as_ref()?;
    let until = last.at.checked_add(REASSERT_EVERY).ok()?;
    let ours = view.memory.rollout.is_some();
    (!ours && last.digest == view.desired.revision_digest && view.now() < until).then_some(until)
}

/// Brings in line what starts no deployment, and the tags.
pub(super) fn heal(view: &View<'_>, mut waiting: Vec<Wait>) -> Plan {
    let healing = healing_of(view);
    waiting.extend(healing.waits());
    let (Healing { members, mut tags, .. }, why) = (healing, "heals what changes in place");
    let mut actions: Vec<Action> =
        in_place(view, Lane::NewChange, why, members).into_iter().collect();
    if actions.is_empty() {
        tags.extend(drift::remembered(view));
    }
    actions.extend(tag_changes(view, tags));
    if actions.is_empty() && waiting.is_empty() {
        return Plan::settled();
    }
    if actions.is_empty() {
        let look_again = drift::look_again(view.now(), &waiting);
        return Plan::waiting(waiting, look_again);
    }
    waiting.extend(capability_waits(view));
    Plan::acting(actions, waiting)
}

/// What is brought in line now, tags included.
pub(super) fn healing_of(view: &View<'_>) -> Healing {
    let mut healing = drift::healing(view);
    let tags = wanted_tags(view).into_iter();
    healing.add_tags(
        view,
        tags.filter(|(key, value)| view.service.tags.get(key) != Some(value)).collect(),
    );
    healing
}

/// What is `set` of the tags of the manifest and the bookkeeping ones, and what is removed, as one `TagResource`
/// and one `UntagResource`.
fn tag_changes(view: &View<'_>, set: BTreeMap<String, String>) -> Vec<Action> {
    let arn = || view.service.service_arn.clone();
    let gone: Vec<String> = gone_tags(view).into_iter().collect();
    let mut actions = Vec::new();
    if !gone.is_empty() {
        let why = format!("removes tags that the manifest no longer has: {}", gone.join(", "));
        let call = Call::UntagResource { arn: arn(), keys: gone };
        actions.push(Action { call, lane: Lane::NewChange, why });
    }
    if !set.is_empty() {
        let keys: Vec<&str> = set.keys().map(String::as_str).collect();
        let why = format!("sets tags: {}", keys.join(", "));
        let call = Call::TagResource { arn: arn(), tags: set };
        actions.push(Action { call, lane: Lane::NewChange, why });
    }
    actions
}

fn wanted_tags(view: &View<'_>) -> BTreeMap<String, String> {
    let mut tags = manifest_tags(view.wanted.get("tags"));
    let keys = encode_keys(named_tags(view).keys().map(String::as_str));
    if !keys.is_empty() || view.service.tags.contains_key(tag::TAGS) {
        tags.insert(tag::TAGS.to_owned(), keys);
    }
    tags.insert(tag::OWNER.to_owned(), owner(view));
    if view.desired.is_kept() {
        tags.insert(tag::PRUNE.to_owned(), prune::DISABLED.to_owned());
    }
    if let Some(last) = &view.memory.applied {
        tags.insert(tag::DIGEST.to_owned(), applied_tag(view, last));
    }
    tags
}

/// The time of the last application stays unless what is remembered changes.
fn applied_tag(view: &View<'_>, last: &LastApplied) -> String {
    let now = applied_now(view);
    if last.digest == now.digest && last.members != now.members {
        return LastApplied { is_seen: last.is_seen, ..now }.encode();
    }
    view.service.tags.get(tag::DIGEST).cloned().unwrap_or_else(|| last.encode())
}

/// The tags that the manifest has, also where policy keeps another value.
fn named_tags(view: &View<'_>) -> BTreeMap<String, String> {
    manifest_tags(view.desired.service.member("tags").as_ref())
}

/// The manifest's own tags; `aws:` is AWS's and `evenkeel:` is ours.
fn manifest_tags(tags: Option<&Value>) -> BTreeMap<String, String> {
    let listed = tags.and_then(Value::as_array);
    let text = |tag: &Value, name: &str| tag.get(name).and_then(Value::as_str).map(str::to_owned);
    listed
        .into_iter()
        .flatten()
        .filter_map(|tag| Some((text(tag, "key")?, text(tag, "value").unwrap_or_default())))
        .filter(|(key, _)| !tag::is_reserved(key))
        .collect()
}

/// Tags that a manifest set before and that the manifest no longer has.
fn gone_tags(view: &View<'_>) -> BTreeSet<String> {
    let wanted = named_tags(view);
    let ours = view.memory.keys.iter();
    ours.filter(|key| !wanted.contains_key(*key))
        .filter(|key| !tag::is_reserved(key))
        .filter(|key| view.service.tags.contains_key(*key))
        .map(String::as_str)
        .chain(went_without(view))
        .map(str::to_owned)
        .collect()
}

/// The word that the service stays, when the manifest says so no more.
fn went_without(view: &View<'_>) -> Option<&'static str> {
    let is_set = view.service.tags.contains_key(tag::PRUNE);
    (is_set && !view.desired.is_kept()).then_some(tag::PRUNE)
}
