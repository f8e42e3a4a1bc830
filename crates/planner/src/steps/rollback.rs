//! Rejecting a revision and returning to the proven one; never returns to anything else, and never
//! twice from one deployment.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::postponed::Restoring;
use super::rollout::{forget_rollout, identify, is_rollback, is_wanted_definition};
use super::settled::comparison;
use super::start::kept_back;
use super::{
    capability_waits, deregistered, gate, percentages, postponed, retry, stand_still, unknown,
};
use crate::breaker::judge;
use crate::diff::{
    Comparison, force_where_ecs_wants_it, is_same_content, return_to, runs_what_is_wanted,
};
use crate::plan::IN_FLIGHT;
use crate::tags::{LastApplied, Marked, Rejection, RolloutMark, tag};
use crate::view::{Standing, View, explain, not_seen, target_revision};
use crate::{
    Action, Call, Fact, Lane, Plan, RolloutPhase, ServiceDeployment, VerdictKind, Wait, WaitReason,
};
use evenkeel_manifest::{Digest, OnFailure};

/// What stands in the tag `digest` where a revision was judged before any was applied.
const NOTHING: &str = "none";

/// Writes the verdict, and that the return from `deployment` is under way. Nothing else in this pass.
pub(super) fn reject(
    view: &View<'_>,
    (digest, deployment): (&Digest, &str),
    kind: VerdictKind,
    why: String,
) -> Plan {
    let mut tags = rejecting(view, (digest, deployment));
    tags.insert(tag::REJECTED.to_owned(), Rejection::encode(digest, view.now(), kind));
    tag_service(view, tags, why)
}

/// What is written beside a verdict on the content that `deployment` rolled out: the return from it is under way, and ECS's history
/// up to now is judged, so that a retry is not refused because of it.
pub(super) fn rejecting(
    view: &View<'_>,
    (digest, deployment): (&Digest, &str),
) -> BTreeMap<String, String> {
    let mut tags = rollback_mark(view, digest, deployment);
    tags.insert(tag::DIGEST.to_owned(), judged_now(view).encode());
    tags
}

/// What was applied stays; where nothing ever was, the time of the judgement still has its place.
pub(super) fn judged_now(view: &View<'_>) -> LastApplied {
    let at = view.now();
    match &view.memory.applied {
        Some(last) => LastApplied { at, ..last.clone() },
        None => LastApplied {
            digest: Digest::from_tag(NOTHING),
            at,
            members: BTreeSet::new(),
            is_seen: true,
        },
    }
}

/// Marks the return from a deployment whose revision was rejected before, or that nobody wants any more: how it ends says nothing
/// about its revision.
pub(super) fn begin(view: &View<'_>, deployment: &str, why: String) -> Plan {
    tag_service(view, rejecting(view, (&view.desired.revision_digest, deployment)), why)
}

fn rollback_mark(view: &View<'_>, digest: &Digest, deployment: &str) -> BTreeMap<String, String> {
    let mark = RolloutMark::new(
        digest,
        Marked::Id(deployment.to_owned()),
        RolloutPhase::RollingBack,
        view.now(),
    );
    BTreeMap::from([(tag::ROLLOUT.to_owned(), mark.encode())])
}

fn tag_service(view: &View<'_>, tags: BTreeMap<String, String>, why: String) -> Plan {
    let call = Call::TagResource { arn: view.service.service_arn.clone(), tags };
    Plan::acting(vec![Action { call, lane: Lane::Rollback, why }], Vec::new())
}

/// The step while `mark` says that its deployment is being returned from; `None` when a newer
/// manifest may start.
pub(super) fn step(view: &View<'_>, mark: &RolloutMark) -> Option<Plan> {
    let wanted = mark.digest == view.desired.revision_digest;
    let begun = mark.id() != Some(view.primary.id.as_str());
    let is_forgiven = !view.memory.rejects(&mark.digest);
    match (wanted, begun) {
        // The deployment was to be left because what is wanted was rejected, and ran something else.
        (true, false) if is_forgiven && !runs_what_is_wanted(view, Comparison::Lenient) => None,
        (true, _) if is_forgiven => Some(retry::retry(view, mark, begun)),
        (true, false) => Some(leave(view)),
        (true, true) => Some(follow(view, mark)),
        // The mark of a verdict came late, when newer content was on its way already.
        (false, true) if runs_newer_content(view) => Some(identify(view)),
        // A fix supersedes a bad rollout, but not the return from it: that one must end first, or fail.
        (false, true) if view.standing() == Standing::InFlight && fails(view).is_none() => {
            Some(Plan::waiting(vec![returning(view)], IN_FLIGHT))
        }
        // What runs was to be left for what a manifest wanted then: now it is wanted itself.
        (false, false) if runs_what_is_wanted(view, Comparison::Exact) => Some(identify(view)),
        (false, true) if is_back_where_wanted(view) => {
            let why = format!("ends the rollback: {} is what the manifest wants", view.primary.id);
            Some(Plan::acting(vec![forget_rollout(view, why)], Vec::new()))
        }
        // What may not start keeps nobody on what is bad.
        (false, false) if view.memory.rejects(&mark.digest) && kept_back(view).is_some() => {
            Some(leave(view))
        }
        (false, _) => None,
    }
}

/// Whether the PRIMARY deployment has the content that is wanted, and is no return to what was proven.
fn runs_newer_content(view: &View<'_>) -> bool {
    runs_what_is_wanted(view, Comparison::Lenient) && !runs_proven(view)
}

/// Whether the manifest went back, too, and the return is over: nothing will start that replaces the
/// mark.
fn is_back_where_wanted(view: &View<'_>) -> bool {
    view.standing() != Standing::InFlight && runs_what_is_wanted(view, comparison(view))
}

/// Makes ECS leave the bad revision, which is still PRIMARY.
fn leave(view: &View<'_>) -> Plan {
    let id = &view.primary.id;
    if view.desired.rollout.breaker.on_failure == OnFailure::Hold {
        // A person's verdict is the decision that is waited for.
        let is_decided = view.memory.rejected.as_ref().is_some_and(|one| one.said.is_some());
        let sentence = "runs a rejected revision and onFailure is Hold: a person decides";
        if !is_decided {
            return held(format!("{id} {sentence}"));
        }
    }
    if let Some(why) = not_seen(&view.observed().service_deployments) {
        let why = explain(why);
        return unknown(format!("how to leave {id} is not known: {why}"));
    }
    let history = view.service_deployment(id);
    match history.map(|one| one.status.as_str()) {
        Some("ROLLBACK_FAILED") => {
            return held(format!("ECS failed to roll {id} back; a person decides"));
        }
        Some(status) if is_rollback(status) => {
            let sentence = format!("ECS has {id} in {status}");
            return Plan::waiting(vec![Wait::new(WaitReason::Rollback, sentence)], IN_FLIGHT);
        }
        _ => {}
    }
    let Some(proven) = view.memory.proven.as_deref() else {
        return held(format!(
            "{id} runs a rejected revision and there is nothing to return to: no \
             revision of this service was ever proven"
        ));
    };
    if is_rejected_itself(view) {
        return held(format!(
            "{id} is to be left, and what was proven has itself the content that was rejected"
        ));
    }
    match history.filter(|one| is_stoppable(one) && returns_to(view, one, proven)) {
        Some(history) => {
            gate::turn_back(history, id, proven).unwrap_or_else(|| stop(history, id, proven))
        }
        None => update_back(view, proven),
    }
}

/// Whether what was proven is what was rejected, and something else runs.
fn is_rejected_itself(view: &View<'_>) -> bool {
    let Some(definition) = view.proven_definition() else { return false };
    view.memory.rejects(&view.desired.revision_digest)
        && is_wanted_definition(view, definition)
        && !view.has_content_of(definition, &view.primary.task_definition)
}

/// Source: `StopServiceDeployment` API reference; ecs-behaviour 4.7.
fn is_stoppable(deployment: &ServiceDeployment) -> bool {
    ["PENDING", "IN_PROGRESS", "STOP_REQUESTED"].contains(&deployment.status.as_str())
}

/// Whether ECS's own rollback would go to the proven revision, or to one that a restart made of it: all
/// that ran when the deployment began, and what ECS completed last, which is what it chooses
/// (ecs-behaviour 3.4).
fn returns_to(view: &View<'_>, deployment: &ServiceDeployment, proven: &str) -> bool {
    let sources = &deployment.source_service_revisions;
    let completed = completed_before(view, deployment);
    !sources.is_empty()
        && sources.iter().all(|source| is_as_proven(view, &source.arn, proven))
        && completed.is_none_or(|arn| is_as_proven(view, arn, proven))
}

fn is_as_proven(view: &View<'_>, arn: &str, proven: &str) -> bool {
    let revision = view.service_revision(proven);
    arn == proven
        || view.service_revision(arn).is_some_and(|one| {
            one.task_definition == proven
                || revision.is_some_and(|proven| is_same_content(view, one, proven))
        })
}

/// The revision that ECS completed last before the deployment, or returned to.
fn completed_before<'a>(view: &View<'a>, deployment: &ServiceDeployment) -> Option<&'a str> {
    let all = view.observed().service_deployments.known()?;
    let completed = |one: &&ServiceDeployment| {
        ["SUCCESSFUL", "ROLLBACK_SUCCESSFUL"].contains(&one.status.as_str())
            && one.created_at < deployment.created_at
    };
    let last = all.iter().filter(completed).max_by_key(|one| one.created_at)?;
    if is_rollback(&last.status) {
        return last.rollback.as_ref()?.get("serviceRevisionArn")?.as_str();
    }
    last.target_service_revision.as_ref().map(|target| target.arn.as_str())
}

fn stop(history: &ServiceDeployment, id: &str, proven: &str) -> Plan {
    let call = Call::StopServiceDeployment { arn: history.service_deployment_arn.clone() };
    acting(call, format!("rolls {id} back to {proven}"))
}

/// One call of the return.
pub(super) fn acting(call: Call, why: String) -> Plan {
    Plan::acting(vec![Action { call, lane: Lane::Rollback, why }], Vec::new())
}

/// Returns by `UpdateService`, with every member of the proven revision that differs from what is live.
fn update_back<'a>(view: &View<'a>, proven: &'a str) -> Plan {
    let (definition, mut body) = if is_service_revision(proven) {
        match view.service_revision(proven) {
            Some(revision) => {
                (revision.task_definition.as_str(), return_to(&view.live, &revision.rest))
            }
            None => return without_revision(view, proven),
        }
    } else {
        (proven, Map::new())
    };
    let Some(definition) = deregistered::usable(view, definition) else {
        return deregistered::register_again(view.observed(), definition);
    };
    // Registered anew, what was rejected may have the content of what was proven before.
    if !view.has_content_of(definition, &view.primary.task_definition) {
        body.insert("taskDefinition".to_owned(), json!(definition));
    }
    if body.is_empty() {
        let id = &view.primary.id;
        return held(format!("{id} has the content of the proven revision, and was rejected"));
    }
    resend_volumes(view, proven, &mut body);
    pass_no_gates(view, &mut body);
    force_where_ecs_wants_it(&mut body);
    body.insert("cluster".to_owned(), json!(view.desired.key.cluster));
    body.insert("service".to_owned(), json!(view.desired.key.name));
    let why = format!("returns from {} to the settings of {proven}", view.primary.id);
    let call = Call::UpdateService { input: Value::Object(body) };
    Plan::acting(vec![Action { call, lane: Lane::Rollback, why }], capability_waits(view))
}

/// ECS wants volumes configured at launch again with every revision that has some (ecs-behaviour 1.5):
/// those of the proven one, or the live ones where the server does not show revisions.
pub(super) fn resend_volumes(view: &View<'_>, proven: &str, body: &mut Map<String, Value>) {
    let volumes = match view.service_revision(proven) {
        Some(revision) => revision.rest.get("volumeConfigurations"),
        None => view.live.get("volumeConfigurations"),
    };
    let some = |volumes: &&Value| volumes.as_array().is_some_and(|all| !all.is_empty());
    if let Some(volumes) = volumes.filter(some) {
        body.entry("volumeConfigurations").or_insert_with(|| volumes.clone());
    }
}

/// A return that moves traffic moves it at once and stops at no gate: what is returned to was judged when
/// it was proven. The manifest's configuration comes back when the return is over.
fn pass_no_gates(view: &View<'_>, body: &mut Map<String, Value>) {
    let strategy = view.live.pointer("/deploymentConfiguration/strategy");
    if strategy.is_some_and(|strategy| strategy != "ROLLING") {
        let at_once =
            json!({ "strategy": "BLUE_GREEN", "lifecycleHooks": [], "bakeTimeInMinutes": 0 });
        body.insert("deploymentConfiguration".to_owned(), at_once);
    }
}

fn without_revision(view: &View<'_>, proven: &str) -> Plan {
    match &view.observed().service_revisions {
        Fact::Unknown(why) => {
            unknown(format!("{proven}, the revision to return to, is not known: {}", explain(why)))
        }
        Fact::Known(_) | Fact::Absent => {
            held(format!("{proven}, the revision to return to, no longer exists; a person decides"))
        }
    }
}

pub(super) fn is_service_revision(arn: &str) -> bool {
    arn.contains(":service-revision/")
}

/// The bad deployment is no longer PRIMARY: follows the return to its end.
fn follow(view: &View<'_>, mark: &RolloutMark) -> Plan {
    let id = &view.primary.id;
    if let Some(plan) = still_shifting(view, mark) {
        return plan;
    }
    match view.standing() {
        _ if runs_what_is_wanted(view, Comparison::Lenient) => {
            leave_again(view, mark, format!("{id} runs the rejected {} again", mark.digest))
        }
        Standing::Completed => {
            let why = format!("ends the rollback: {id} is complete");
            Plan::acting(vec![forget_rollout(view, why)], Vec::new())
        }
        Standing::Failed if runs_proven(view) => postponed::restore(view, Some(mark)).map_or_else(
            || held(format!("the rollback {id} failed itself; a person decides")),
            Restoring::plan,
        ),
        Standing::Failed => {
            let why = format!("{id} took the place of the rollback, and ECS has given it up");
            leave_again(view, mark, why)
        }
        Standing::InFlight => match fails(view) {
            Some(sentence) => {
                held(format!("the rollback {id} fails: {sentence}; a person decides"))
            }
            None => go_on(view),
        },
    }
}

/// Where traffic was moved, what it was taken from stands until ECS has cleared it away, though what it
/// went back to is complete all the time.
fn still_shifting(view: &View<'_>, mark: &RolloutMark) -> Option<Plan> {
    let left = view.service_deployment(mark.id()?)?;
    if !left.shifts() || left.is_over() {
        return None;
    }
    let sentence = format!("ECS has {} in {}: {}", mark.id()?, left.status, left.stage());
    Some(Plan::waiting(vec![Wait::new(WaitReason::Rollback, sentence)], IN_FLIGHT))
}

fn go_on(view: &View<'_>) -> Plan {
    let mut waiting = vec![returning(view)];
    waiting.extend(capability_waits(view));
    match percentages::widen_the_return(view).filter(|_| runs_proven(view)) {
        Some(action) => Plan::acting(vec![action], waiting),
        None => Plan::waiting(waiting, IN_FLIGHT),
    }
}

/// Returns once more: somebody deployed over the return, or a call of ours came late. Only when ECS's own
/// breaker ended the return is that the end of it.
fn leave_again(view: &View<'_>, mark: &RolloutMark, why: String) -> Plan {
    let id = &view.primary.id;
    if let Some(unseen) = not_seen(&view.observed().service_deployments) {
        return unknown(format!("{why}, and who deployed it is not known: {}", explain(unseen)));
    }
    let all = view.observed().service_deployments.known().map(Vec::as_slice).unwrap_or_default();
    let is_failed_return = |one: &ServiceDeployment| {
        is_rollback(&one.status)
            && one.created_at.is_none_or(|created| created >= mark.since)
            && leads_to_proven(view, one)
    };
    if all.iter().any(is_failed_return) {
        let sentence = "ECS ended the return to the proven revision; a person decides";
        return held(format!("{why}: {sentence}"));
    }
    begin(view, id, why)
}

/// Whether the deployment's target has the content of the proven revision, as far as it is known.
fn leads_to_proven(view: &View<'_>, deployment: &ServiceDeployment) -> bool {
    let Some(definition) = view.proven_definition() else { return false };
    target_revision(view.observed(), deployment)
        .is_none_or(|target| view.has_content_of(&target.task_definition, definition))
}

/// What speaks against the deployment that returns to the proven revision. An alarm does not: what was
/// left may have set it off.
fn fails(view: &View<'_>) -> Option<String> {
    let judgement = judge(view, &view.primary.id, RolloutPhase::RollingBack, begun_at(view));
    let against = judgement.against.filter(|(kind, _)| *kind != VerdictKind::Alarm);
    against.map(|(_, sentence)| sentence)
}

/// When the deployment that returns to the proven revision began.
fn begun_at(view: &View<'_>) -> jiff::Timestamp {
    view.primary.created_at.unwrap_or(view.now())
}

fn returning(view: &View<'_>) -> Wait {
    let judgement = judge(view, &view.primary.id, RolloutPhase::RollingBack, begun_at(view));
    let sentence = format!(
        "ECS returns to {} with {}: {} of {} tasks are running",
        view.primary.task_definition,
        view.primary.id,
        view.primary.running_count,
        view.service.desired_count
    );
    Wait::new(WaitReason::Rollback, sentence).until(judgement.deadline)
}

pub(super) fn held(sentence: String) -> Plan {
    stand_still(WaitReason::Held, sentence)
}

/// Whether the PRIMARY deployment has the content of the proven revision.
pub(super) fn runs_proven(view: &View<'_>) -> bool {
    let Some(proven) = view.memory.proven.as_deref() else { return false };
    if crate::view::last_part(proven) == crate::view::last_part(&view.primary.id) {
        return true;
    }
    if let Some(revision) = view.service_revision(proven) {
        return view.has_content_of(&view.primary.task_definition, &revision.task_definition);
    }
    view.has_content_of(&view.primary.task_definition, proven)
}
