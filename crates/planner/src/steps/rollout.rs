//! A rollout in flight: whose it is, judging it, widening it, proving it; never starts one.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use super::drift::healing;
use super::ownership::{owner, primary_revision};
use super::start::first_phase;
use super::{
    alarms, capability_waits, foreign, gate, overtaken, postponed, probe, retry, rollback, unknown,
    unseen,
};
use crate::breaker::{Judgement, judge};
use crate::diff::{
    Comparison, differences, has_wanted_members, removable_codes, runs_what_is_wanted,
};
use crate::plan::{CAPACITY, IN_FLIGHT, SETTLED};
use crate::tags::{
    LastApplied, Marked, Over, RolloutMark, deployment_number, revision_number, tag,
};
use crate::view::{Standing, View, not_seen, target_revision};
use crate::{
    Action, Call, Depth, Lane, Plan, RolloutPhase, ServiceDeployment, Unknown, Verdict,
    VerdictKind, Wait, WaitReason,
};

/// How long after its announcement a deployment of ours begins at the latest: the age of the oldest look
/// that is acted on, the time that a call may take, and some that AWS may hold it.
const ANNOUNCED_FOR: SignedDuration = SignedDuration::from_mins(2);

/// The plan while something is rolled out or rolled back; `None` when the service is settled, or when
/// what is rolled out is ours and no longer wanted.
pub(super) fn in_flight(view: &View<'_>) -> Option<Plan> {
    if is_settled(view) {
        return None;
    }
    if view.observed().depth != Depth::Deep {
        return Some(unknown("a rollout is in flight: it is judged from a deep look only"));
    }
    match &view.memory.rollout {
        Some(mark) if mark.phase == RolloutPhase::RollingBack => rollback::step(view, mark),
        Some(mark) if mark.phase == RolloutPhase::Postponed => postponed::step(view, mark),
        Some(mark) if is_of(view, mark) && view.memory.rejects(&mark.digest) => {
            let id = &view.primary.id;
            Some(rollback::begin(view, id, format!("{id} runs the rejected {}", mark.digest)))
        }
        Some(mark) if is_of(view, mark) => Some(judged(view, mark)),
        mark => unidentified(view, mark.as_ref()),
    }
}

/// Completed, unmarked, and either proven as wanted or not what is wanted.
pub(crate) fn is_settled(view: &View<'_>) -> bool {
    if view.desired.rollout.strategy.controller() != "ECS" {
        return view.memory.rollout.is_none();
    }
    let settled = match view.standing() {
        Standing::Completed | Standing::Failed => true,
        Standing::InFlight => false,
    };
    settled && view.memory.rollout.is_none() && !is_unproven(view)
}

/// What is wanted runs, and no memory says that it was judged: somebody else deployed it, we crashed
/// before the tag was written, or no task was desired until now.
fn is_unproven(view: &View<'_>) -> bool {
    !is_judged(view)
        && !view.memory.rejects(&view.desired.revision_digest)
        && runs_what_is_wanted(view, Comparison::Exact)
}

/// Whether memory says that what is wanted was judged, by its tasks if any are desired.
pub(super) fn is_judged(view: &View<'_>) -> bool {
    let wanted = &view.desired.revision_digest;
    let last = view.memory.applied.as_ref().filter(|last| last.digest == *wanted);
    view.memory.proven.is_some()
        && last.is_some_and(|last| last.is_seen || view.service.desired_count == 0)
}

/// Whether the mark is about the wanted revision on the PRIMARY deployment.
fn is_of(view: &View<'_>, mark: &RolloutMark) -> bool {
    mark.digest == view.desired.revision_digest && mark.id() == Some(view.primary.id.as_str())
}

/// The PRIMARY deployment is not the one that the mark, if there is one, tells of.
fn unidentified(view: &View<'_>, mark: Option<&RolloutMark>) -> Option<Plan> {
    let same_deployment = mark.is_some_and(|mark| match mark.deployment {
        Marked::Id(ref id) => *id == view.primary.id,
        Marked::Announced { revision, over } => may_be_announced(view, mark, revision, over),
    });
    // Ours, of an earlier manifest. When only the way of hashing changed it is still the wanted one.
    let comparison = match view.standing() {
        Standing::InFlight if !same_deployment || is_announced(mark) => Comparison::Lenient,
        Standing::InFlight | Standing::Completed | Standing::Failed => Comparison::Exact,
    };
    if runs_what_is_wanted(view, comparison) {
        return Some(retry::awaited(view, mark).unwrap_or_else(|| identify(view)));
    }
    if same_deployment {
        return overtaken::judged(view, mark?);
    }
    match mark {
        Some(mark) if mark.digest == view.desired.revision_digest => lost(view, mark),
        _ => others(view),
    }
}

/// What we meant to take the place of is as good as ours, for it was when we did; of what came after it,
/// only a deployment of the announced revision, and not much later, is ours. Else the call was lost, or
/// planned from the past, and somebody else deployed.
fn may_be_announced(
    view: &View<'_>,
    mark: &RolloutMark,
    revision: u64,
    over: Option<Over>,
) -> bool {
    view.standing() != Standing::InFlight || is_before(view, over) || runs(view, mark, revision)
}

/// What an announced rollout was to take the place of.
fn is_before(view: &View<'_>, over: Option<Over>) -> bool {
    over.is_some_and(|over| deployment_number(&view.primary.id) == Some(over.number))
}

/// Whether the PRIMARY deployment is a rollout of ours that was never proven, and the announced one was to take its place.
pub(super) fn is_to_replace_ours(view: &View<'_>, mark: &RolloutMark) -> bool {
    match mark.deployment {
        Marked::Announced { over, .. } => {
            over.is_some_and(|over| over.is_ours) && is_before(view, over)
        }
        Marked::Id(_) => false,
    }
}

/// The announced revision, not much later, and not since ECS returned to it.
fn runs(view: &View<'_>, mark: &RolloutMark, revision: u64) -> bool {
    let latest = starts_until(mark);
    revision_number(&view.primary.task_definition) == Some(revision)
        && view.primary.created_at.is_none_or(|created| created <= latest)
        && !is_return(view, mark)
}

/// Whether ECS returned to what is PRIMARY, from something that began since: a return has no service deployment of its own.
fn is_return(view: &View<'_>, mark: &RolloutMark) -> bool {
    has_turned_back(view, mark) && view.service_deployment(&view.primary.id).is_none()
}

/// After which an announced rollout begins no more.
fn starts_until(mark: &RolloutMark) -> Timestamp {
    mark.since.checked_add(ANNOUNCED_FOR).unwrap_or(Timestamp::MAX)
}

/// Whether the rollout that the mark tells of is not the PRIMARY deployment, nor will be.
pub(super) fn is_displaced(view: &View<'_>, mark: &RolloutMark) -> bool {
    let begins_no_more = mark.id().is_some() || view.now() > starts_until(mark);
    begins_no_more && !has_started(view, mark)
}

/// Whether the PRIMARY deployment is the rollout that the mark tells of; it may never have been identified.
pub(super) fn has_started(view: &View<'_>, mark: &RolloutMark) -> bool {
    match mark.deployment {
        Marked::Id(ref id) => *id == view.primary.id,
        Marked::Announced { revision, over } => {
            let is_later = || view.primary.created_at.is_some_and(|created| created >= mark.since);
            let is_after = if over.is_some() { !is_before(view, over) } else { is_later() };
            is_after && runs(view, mark, revision)
        }
    }
}

fn is_announced(mark: Option<&RolloutMark>) -> bool {
    mark.is_some_and(|mark| mark.id().is_none())
}

/// Marks the PRIMARY deployment as the rollout of what is wanted.
pub(super) fn identify(view: &View<'_>) -> Plan {
    let digest = &view.desired.revision_digest;
    let id = &view.primary.id;
    if view.memory.rejects(digest) {
        return rollback::begin(view, id, format!("{id} runs the rejected {digest}"));
    }
    let is_old = is_found_complete(view);
    let began = view.primary.created_at.filter(|_| !is_old && !view.is_unseen());
    let mark = RolloutMark::new(
        digest,
        Marked::Id(id.clone()),
        if is_old { RolloutPhase::Widening } else { first_phase(view) },
        began.unwrap_or(view.now()),
    );
    let mut tags = BTreeMap::from([(tag::ROLLOUT.to_owned(), mark.encode())]);
    if is_old {
        tags.insert(tag::DIGEST.to_owned(), rollback::judged_now(view).encode());
    }
    let call = Call::TagResource { arn: view.service.service_arn.clone(), tags };
    let why = format!("marks {id} as the rollout of {digest}");
    Plan::acting(vec![Action { call, lane: Lane::RolloutStep, why }], Vec::new())
}

/// For how long ECS tells of stopped tasks (ecs-behaviour 9).
const TOLD_FOR: SignedDuration = SignedDuration::from_hours(1);

/// Whether it has been complete for long, and no memory says that anything was ever applied: it was adopted. What befell it before
/// is not held against it as against a new revision.
fn is_found_complete(view: &View<'_>) -> bool {
    let created = view.primary.created_at;
    let is_old = created.is_some_and(|at| view.now().duration_since(at) > TOLD_FOR);
    let is_unknown = view.memory.applied.is_none() && view.memory.proven.is_none();
    is_old && is_unknown && view.standing() == Standing::Completed
}

pub(super) fn mark_rollout(view: &View<'_>, mark: &RolloutMark, why: String) -> Action {
    let tags = BTreeMap::from([(tag::ROLLOUT.to_owned(), mark.encode())]);
    let call = Call::TagResource { arn: view.service.service_arn.clone(), tags };
    Action { call, lane: Lane::RolloutStep, why }
}

/// Our deployment is no longer PRIMARY and something else than what is wanted runs.
fn lost(view: &View<'_>, mark: &RolloutMark) -> Option<Plan> {
    // Traffic goes back to a deployment that stood all the time: it is older, and no look from the past.
    let turned_back = has_turned_back(view, mark);
    if !turned_back && view.primary.created_at.is_some_and(|created| created < mark.since) {
        return Some(unknown(format!(
            "AWS shows {}, which is older than our rollout: an answer from the past",
            view.primary.id
        )));
    }
    let id = mark.id();
    if let Some(sentence) = id.and_then(|id| rolled_back_by_ecs(view, id)) {
        let judgement = judge(view, id.unwrap_or_default(), mark.phase, mark.since);
        return Some(ended(view, &judgement, sentence, mark));
    }
    if let Some(why) = not_seen(&view.observed().service_deployments) {
        let why = crate::view::explain(why);
        let sentence = format!("our rollout is gone, and what became of it is not known: {why}");
        return Some(unknown(sentence));
    }
    if let Some(why) = view.history_lags(id) {
        return Some(unknown(format!("our rollout is gone, and {why}: an answer from the past")));
    }
    if view.standing() == Standing::InFlight {
        return foreign::wait(view);
    }
    if let Some(until) = foreign::left_alone_until(view) {
        let sentence = format!(
            "{} took the place of our rollout, as another did before; it is begun anew once an hour at most",
            view.primary.id
        );
        let wait = Wait::new(WaitReason::ForeignDeployment, sentence).until(Some(until));
        return Some(Plan::waiting(vec![wait], SETTLED));
    }
    let why = format!(
        "forgets the rollout of {}: {} took its place and is complete",
        mark.digest, view.primary.id
    );
    Some(Plan::acting(vec![forget_rollout(view, why)], Vec::new()))
}

pub(super) fn forget_rollout(view: &View<'_>, why: String) -> Action {
    let keys = vec![tag::ROLLOUT.to_owned()];
    let call = Call::UntagResource { arn: view.service.service_arn.clone(), keys };
    Action { call, lane: Lane::RolloutStep, why }
}

/// How it shows that ECS or a person rolled a deployment of ours back.
fn rolled_back_by_ecs(view: &View<'_>, id: &str) -> Option<String> {
    let listed = view.service.deployments.iter().find(|one| one.id == id);
    if let Some(failed) = listed.filter(|one| one.rollout_state.as_deref() == Some("FAILED")) {
        let reason = failed.rollout_state_reason.as_deref().unwrap_or("no reason given");
        return Some(format!("ECS failed {id}: {reason}"));
    }
    if let Some(history) = history_of_rollback(view, id) {
        let reason = history.status_reason.as_deref().unwrap_or("no reason given");
        return Some(format!("ECS has {id} in {}: {reason}", history.status));
    }
    // Somebody's deployment may have been between, and what ECS returned from.
    let is_unseen = not_seen(&view.observed().service_deployments).is_some();
    if is_unseen || view.history_lags(Some(id)).is_some() || returned_from_another(view, id) {
        return None;
    }
    let reason = view.primary.rollout_state_reason.as_deref().unwrap_or_default();
    if reason.contains("rolling back to deploymentId") {
        return Some(format!("ECS rolls back from {id}: {reason}"));
    }
    rollback::runs_proven(view)
        .then(|| format!("the service is back on the proven revision, by {}", view.primary.id))
}

/// Whether it was not this deployment that ECS returned from, but one that took its place.
fn returned_from_another(view: &View<'_>, id: &str) -> bool {
    let Some(ours) = view.service_deployment(id) else { return false };
    let all = view.observed().service_deployments.known().map(Vec::as_slice).unwrap_or_default();
    let is_later = |one: &&ServiceDeployment| one.created_at > ours.created_at;
    all.iter().filter(is_later).any(|one| is_rollback(&one.status))
}

/// Whether ECS returned from our rollout, or from one that somebody put in its place.
fn has_turned_back(view: &View<'_>, mark: &RolloutMark) -> bool {
    let all = view.observed().service_deployments.known().map(Vec::as_slice).unwrap_or_default();
    let is_later = |one: &&ServiceDeployment| one.created_at.is_some_and(|at| at >= mark.since);
    mark.id().is_some_and(|id| history_of_rollback(view, id).is_some())
        || all.iter().filter(is_later).any(|one| is_rollback(&one.status))
}

fn history_of_rollback<'a>(view: &View<'a>, id: &str) -> Option<&'a ServiceDeployment> {
    view.service_deployment(id).filter(|one| is_rollback(&one.status))
}

/// `ROLLBACK_REQUESTED`, `_IN_PROGRESS`, `_SUCCESSFUL`, `_FAILED`.
pub(super) fn is_rollback(status: &str) -> bool {
    status.starts_with("ROLLBACK_")
}

/// A deployment that is neither wanted nor ours.
fn others(view: &View<'_>) -> Option<Plan> {
    let failed_ours = view.service.deployments.iter().find(|one| {
        one.id != view.primary.id
            && one.rollout_state.as_deref() == Some("FAILED")
            && is_wanted_definition(view, &one.task_definition)
            && had_wanted_members(view, &one.id)
            && one.created_at > view.memory.applied.as_ref().map(|last| last.at)
    });
    if view.standing() != Standing::InFlight || view.deployments_are_opaque() {
        return None;
    }
    if let Some(failed) =
        failed_ours.filter(|_| !view.memory.rejects(&view.desired.revision_digest))
    {
        let sentence = rolled_back_by_ecs(view, &failed.id)?;
        let mark = RolloutMark::new(
            &view.desired.revision_digest,
            Marked::Id(failed.id.clone()),
            RolloutPhase::Probing,
            failed.created_at.unwrap_or(view.now()),
        );
        let judgement = judge(view, &failed.id, mark.phase, mark.since);
        return Some(ended(view, &judgement, sentence, &mark));
    }
    foreign::wait(view)
}

/// Where ECS shows no revision of the deployment, its task definition alone tells what it was.
fn had_wanted_members(view: &View<'_>, deployment: &str) -> bool {
    let history = view.service_deployment(deployment);
    let revision = history.and_then(|one| target_revision(view.observed(), one));
    revision.is_none_or(|one| has_wanted_members(view, one))
}

pub(super) fn is_wanted_definition(view: &View<'_>, arn: &str) -> bool {
    view.definition(arn).is_some_and(|one| one.digest == view.desired.task_definition_digest)
}

/// The step of our own rollout.
fn judged(view: &View<'_>, mark: &RolloutMark) -> Plan {
    let (shift, phase) = (shift(view), phase(view, mark));
    let judgement = judge(view, &view.primary.id, phase, mark.since);
    let overdue = || gate::overdue(view, shift?);
    if let Some((kind, sentence)) = judgement.against.clone().or_else(overdue) {
        return against(view, &judgement, kind, sentence, mark);
    }
    if let Some(sentence) = ended_by_ecs(view) {
        return ended(view, &judgement, sentence, mark);
    }
    if let Some(sentence) = unseen(view) {
        return unknown(format!("{sentence}; the rollout is left as it is"));
    }
    if let Some(plan) = alarms::unwatched(view) {
        return plan;
    }
    match phase {
        RolloutPhase::Probing => probe::step(view, mark, &judgement),
        RolloutPhase::Shifting => {
            let step = shift.and_then(|shift| gate::step(view, shift, &judgement));
            step.unwrap_or_else(|| widened(view, &judgement))
        }
        RolloutPhase::Widening
        | RolloutPhase::Stepping
        | RolloutPhase::Testing
        | RolloutPhase::Baking
        | RolloutPhase::Keeping
        | RolloutPhase::RollingBack
        | RolloutPhase::Postponed => widened(view, &judgement),
    }
}

pub(super) fn phase(view: &View<'_>, mark: &RolloutMark) -> RolloutPhase {
    if shift(view).is_some() { RolloutPhase::Shifting } else { mark.phase }
}

/// The PRIMARY deployment, where ECS moves traffic with it.
fn shift<'a>(view: &View<'a>) -> Option<&'a ServiceDeployment> {
    view.service_deployment(&view.primary.id).filter(|one| one.shifts())
}

/// ECS's breaker, its alarms or a person ended our deployment while it is still PRIMARY.
fn ended_by_ecs(view: &View<'_>) -> Option<String> {
    let history = view.service_deployment(&view.primary.id);
    let ended =
        view.standing() == Standing::Failed || history.is_some_and(|one| is_rollback(&one.status));
    ended.then(|| rolled_back_by_ecs(view, &view.primary.id)).flatten()
}

/// What ECS ended is rejected, unless nothing speaks against its revision.
fn ended(view: &View<'_>, judgement: &Judgement, sentence: String, mark: &RolloutMark) -> Plan {
    let id = mark.id().unwrap_or(&view.primary.id);
    if view.memory.rejects(&mark.digest) {
        return rollback::begin(view, id, format!("{} was rejected", mark.digest));
    }
    let is_blamed = judgement.against.is_some();
    let postponed = postponed::postpone(view, id, &sentence).filter(|_| !is_blamed);
    postponed
        .unwrap_or_else(|| against(view, judgement, VerdictKind::RolledBackByEcs, sentence, mark))
}

/// Writes the verdict before anything acts on it: a crash in between leaves a rejected revision,
/// which the next pass rolls back.
pub(super) fn against(
    view: &View<'_>,
    judgement: &Judgement,
    kind: VerdictKind,
    sentence: String,
    mark: &RolloutMark,
) -> Plan {
    let id = mark.id().unwrap_or(&view.primary.id);
    let why = format!("rejects {} ({kind:?}): {sentence}", mark.digest);
    let mut plan = rollback::reject(view, (&mark.digest, id), kind, why);
    let verdict = Judgement { against: Some((kind, sentence)), ..judgement.clone() };
    plan.verdict = verdict.verdict(&mark.digest);
    plan
}

/// Rejects what is wanted because ECS's history says that it was rolled back, unless nothing speaks against it.
pub(super) fn reject_from_history(view: &View<'_>, id: &str, sentence: String) -> Plan {
    if let Some(plan) = postponed::postpone(view, id, &sentence) {
        return plan;
    }
    let mut plan = rollback::reject(
        view,
        (&view.desired.revision_digest, id),
        VerdictKind::RolledBackByEcs,
        format!("rejects {}: {sentence}", view.desired.revision_digest),
    );
    plan.verdict = Some(Verdict {
        kind: VerdictKind::RolledBackByEcs,
        digest: view.desired.revision_digest.clone(),
        sentence,
        evidence: Vec::new(),
        counts: Vec::new(),
    });
    plan
}

/// After the probe: what starts no deployment is brought in line, then ECS does the rest.
fn widened(view: &View<'_>, judgement: &Judgement) -> Plan {
    if let Some(action) =
        bring_in_line(view, Lane::RolloutStep, "brings in line what changes in place")
    {
        return Plan::acting(vec![action], capability_waits(view));
    }
    if let Some(sentence) = incomplete(view, judgement) {
        let wait = Wait::new(WaitReason::Deployment, sentence).until(judgement.deadline);
        return still(view, judgement, wait);
    }
    match alarms::red(view).or_else(|| alarms::heard(view)) {
        Some(wait) => Plan::waiting(vec![wait], CAPACITY),
        None => prove(view),
    }
}

/// What is missing until every task that is to be there runs and is healthy. A deployment that was
/// complete with one task stays so while others are added (ecs-behaviour 2.7), so that alone says little.
fn incomplete(view: &View<'_>, judgement: &Judgement) -> Option<String> {
    let (primary, desired) = (view.primary, view.service.desired_count);
    if view.standing() != Standing::Completed || primary.running_count < desired {
        let running = primary.running_count;
        return Some(format!("{running} of {desired} tasks of {} are running", primary.id));
    }
    // A server without deployments may count tasks that it does not show.
    let history = view.observed().service_deployments.unknown();
    let is_opaque = matches!(history, Some(Unknown::CapabilityMissing { .. }));
    let healthy = judgement.healthy.as_ref().filter(|_| !is_opaque)?.len();
    let all = usize::try_from(desired).unwrap_or(usize::MAX);
    (healthy < all).then(|| format!("{healthy} of {desired} tasks of {} are healthy", primary.id))
}

/// ECS is at work, or waits for capacity.
pub(super) fn still(view: &View<'_>, judgement: &Judgement, mut wait: Wait) -> Plan {
    if view.primary.failed_tasks > 0 {
        wait.sentence =
            format!("{}; ECS counts {} failed tasks", wait.sentence, view.primary.failed_tasks);
    }
    let mut waiting = vec![wait];
    let mut look_again = IN_FLIGHT;
    if let Some(cause) = &judgement.environment {
        waiting.push(Wait::new(WaitReason::Capacity, format!("waits for capacity: {cause}")));
        look_again = CAPACITY;
    }
    waiting.extend(capability_waits(view));
    Plan::waiting(waiting, look_again)
}

/// The rollout passed full judgement: the revision becomes the one to return to.
pub(super) fn prove(view: &View<'_>) -> Plan {
    let digest = &view.desired.revision_digest;
    // Where no task is desired nothing was seen to work: what was proven before stays what to return to.
    let is_seen = view.service.desired_count > 0;
    let applied = LastApplied { is_seen, ..applied_now(view) };
    let mut tags = BTreeMap::from([
        (tag::OWNER.to_owned(), owner(view)),
        (tag::DIGEST.to_owned(), applied.encode()),
    ]);
    let is_to_return_to = is_seen || view.memory.proven.is_none();
    let revision = primary_revision(view).filter(|_| is_to_return_to);
    if let Some(arn) = &revision {
        tags.insert(tag::PROVEN.to_owned(), arn.clone());
    }
    if let Some(commit) = &view.desired.source.commit {
        tags.insert(tag::COMMIT.to_owned(), commit.to_string());
    }
    let named = revision.as_deref().unwrap_or(&view.primary.task_definition);
    let id = &view.primary.id;
    let why = if is_seen {
        format!("proves {digest}: {id} is complete and healthy as {named}")
    } else {
        format!("notes that {id} is complete with no task: {digest} is judged when there are some")
    };
    let forget = forget_rollout(view, format!("ends the rollout of {digest}"));
    // When we died after the proof its mark is all that is left to write.
    let is_told = tags.iter().all(|(key, value)| view.service.tags.get(key) == Some(value));
    let call = Call::TagResource { arn: view.service.service_arn.clone(), tags };
    let told = (!is_told).then_some(Action { call, lane: Lane::RolloutStep, why });
    Plan::acting(told.into_iter().chain([forget]).collect(), capability_waits(view))
}

/// What the tag `digest` says once the wanted revision runs.
pub(super) fn applied_now(view: &View<'_>) -> LastApplied {
    LastApplied {
        digest: view.desired.revision_digest.clone(),
        at: view.now(),
        members: removable_codes(&view.desired.service.value()),
        is_seen: true,
    }
}

/// One `UpdateService` with the members that differ and start no deployment.
pub(super) fn change_in_place(view: &View<'_>, lane: Lane, why: &str) -> Option<Action> {
    in_place(view, lane, why, differences(view, Comparison::Lenient).in_place)
}

/// The same without what somebody changes back again and again: a rollout ends all the same.
pub(super) fn bring_in_line(view: &View<'_>, lane: Lane, why: &str) -> Option<Action> {
    in_place(view, lane, why, healing(view).members)
}

/// The call that changes these members, which start no deployment; `None` without any.
pub(super) fn in_place(
    view: &View<'_>,
    lane: Lane,
    why: &str,
    members: Map<String, Value>,
) -> Option<Action> {
    if members.is_empty() {
        return None;
    }
    let why = format!("{why} ({})", in_place_sentence(view, &members));
    let mut body = members;
    body.insert("cluster".to_owned(), json!(view.desired.key.cluster));
    body.insert("service".to_owned(), json!(view.desired.key.name));
    Some(Action { call: Call::UpdateService { input: Value::Object(body) }, lane, why })
}

/// `desiredCount 1 → 4`, or the name of a member that is longer.
fn in_place_sentence(view: &View<'_>, members: &Map<String, Value>) -> String {
    let one = |(name, value): (&String, &Value)| match (view.live.get(name), value) {
        (_, Value::Object(parts)) => {
            let parts: Vec<String> = parts
                .iter()
                .map(|(part, value)| {
                    let old = view.live.get(name).and_then(|live| live.get(part));
                    change(part, old, value)
                })
                .collect();
            parts.join(", ")
        }
        (old, value) => change(name, old, value),
    };
    members.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn change(name: &str, old: Option<&Value>, new: &Value) -> String {
    let short = |value: &Value| !value.is_array() && !value.is_object();
    match old {
        Some(old) if short(old) && short(new) => format!("{name} {old} → {new}"),
        None if short(new) => format!("{name} {new}"),
        _ => name.to_owned(),
    }
}
