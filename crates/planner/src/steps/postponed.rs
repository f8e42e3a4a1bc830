//! A rollout that ECS's breaker ended for what is no fault of its revision, such as a lack of capacity: it is begun again after
//! a while; never rejected for that, and never fought about with ECS.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use super::rollback::{self, judged_now, resend_volumes, runs_proven};
use super::rollout::identify;
use super::start::{first_phase, start};
use super::{deregistered, foreign, percentages, unknown};
use crate::breaker::no_fault_but;
use crate::diff::{Comparison, runs_what_is_wanted};
use crate::plan::CAPACITY;
use crate::tags::{Marked, RolloutMark, tag};
use crate::view::{Standing, View};
use crate::{Action, Call, Lane, Plan, RolloutPhase, Task, Wait, WaitReason};

/// How long ECS is left alone after its breaker ended a deployment for a cause outside of its revision: longer than reads
/// may lag, so that none is started twice.
const AGAIN_AFTER: SignedDuration = SignedDuration::from_mins(10);

/// How ECS tells that its breaker ended a deployment (ecs-behaviour 3.4).
const BREAKER: &str = "circuit breaker";

/// Notes that the rollout is to be begun again; `None` when it was not ECS's breaker that ended it, or when anything speaks
/// against its revision.
pub(super) fn postpone(view: &View<'_>, id: &str, sentence: &str) -> Option<Plan> {
    let by_breaker = sentence.contains(BREAKER) && !costs_a_proven_task(view);
    let cause = no_fault_but(view, id, began(view, id)?).filter(|_| by_breaker)?;
    let mark = RolloutMark::new(
        &view.desired.revision_digest,
        Marked::Id(id.to_owned()),
        RolloutPhase::Postponed,
        view.now(),
    );
    let tags = BTreeMap::from([
        (tag::ROLLOUT.to_owned(), mark.encode()),
        (tag::DIGEST.to_owned(), judged_now(view).encode()),
    ]);
    let call = Call::TagResource { arn: view.service.service_arn.clone(), tags };
    let why = format!("postpones {}: {sentence}; nothing but: {cause}", mark.digest);
    Some(Plan::acting(vec![Action { call, lane: Lane::RolloutStep, why }], Vec::new()))
}

/// The step of a postponed rollout; `None` when something else is wanted by now and may start.
pub(super) fn step(view: &View<'_>, mark: &RolloutMark) -> Option<Plan> {
    let id = mark.id().unwrap_or(&view.primary.id);
    let is_wanted = mark.digest == view.desired.revision_digest;
    if is_wanted && view.memory.rejects(&mark.digest) {
        return Some(rollback::begin(view, id, format!("{} was rejected", mark.digest)));
    }
    let is_same = id == view.primary.id;
    if !is_same && runs_what_is_wanted(view, Comparison::Lenient) {
        return Some(identify(view));
    }
    match view.standing() {
        Standing::InFlight if is_same => Some(unknown(format!(
            "AWS shows {id} in flight, which ECS ended: an answer from the past"
        ))),
        // The return by ECS ends first, or fails.
        Standing::InFlight => foreign::wait(view),
        Standing::Failed if is_wanted && !is_same && is_short(view) && !is_due_now(mark) => Some(
            restore(view, Some(mark)).map_or_else(|| begin_again(view, mark, id), Restoring::plan),
        ),
        Standing::Completed | Standing::Failed => is_wanted.then(|| begin_again(view, mark, id)),
    }
}

/// Whether a rollout makes room for itself by stopping what is proven: then nobody begins it again and again where there may
/// never be room.
fn costs_a_proven_task(view: &View<'_>) -> bool {
    let percentages = if first_phase(view) == RolloutPhase::Probing {
        percentages::narrowed(view)
    } else {
        percentages::wanted(view)
    };
    view.memory.proven.is_some() && percentages.is_none_or(|one| one.minimum_healthy < 100)
}

fn begin_again(view: &View<'_>, mark: &RolloutMark, id: &str) -> Plan {
    match left_alone(view, id, mark.since).filter(|_| !is_due_now(mark)) {
        Some(wait) => Plan::waiting(vec![wait], CAPACITY),
        None => start(view),
    }
}

/// The mark of a postponed rollout that need not wait any longer.
pub(super) fn due_now(mark: &RolloutMark) -> Option<RolloutMark> {
    (mark.phase == RolloutPhase::Postponed).then(|| RolloutMark { step: 1, ..mark.clone() })
}

pub(super) fn is_due_now(mark: &RolloutMark) -> bool {
    mark.phase == RolloutPhase::Postponed && mark.step > 0
}

/// When the deployment began, which may be the PRIMARY one no more.
fn began(view: &View<'_>, id: &str) -> Option<Timestamp> {
    let listed = view.service.deployments.iter().find(|one| one.id == id);
    let told = || view.service_deployment(id)?.created_at;
    listed.and_then(|one| one.created_at).or_else(told)
}

/// Until when what ECS ended is left alone.
fn left_alone(view: &View<'_>, id: &str, since: Timestamp) -> Option<Wait> {
    let until = since.checked_add(AGAIN_AFTER).unwrap_or(Timestamp::MAX);
    let sentence =
        format!("ECS's breaker ended {id} for no fault of its revision; it is begun again");
    let wait = Wait::new(WaitReason::Capacity, sentence).until(Some(until));
    (view.now() < until).then_some(wait)
}

/// What ECS's breaker ended for no fault of its revision is deployed again, where it runs what was proven: ECS starts no task
/// of it any more, not even for one that is lost. No release, so that no window and no missing alarm keeps it from that. `None` when
/// something speaks against it, or when its task definition is gone for good.
pub(super) fn restore(view: &View<'_>, mark: Option<&RolloutMark>) -> Option<Restoring> {
    let id = &view.primary.id;
    let given_up = given_up_without_fault(view).filter(|_| runs_proven(view))?;
    let since = mark.map_or(given_up, |mark| mark.since.max(given_up));
    if let Some(wait) = left_alone(view, id, since) {
        return Some(Restoring::Later(wait));
    }
    let why = format!("deploys what {id} runs again, which is proven, and which ECS gave up");
    let call = Call::UpdateService { input: once_more(view)? };
    let note = mark.map(|mark| note(view, mark));
    let act = Action { call, lane: Lane::Rollback, why };
    Some(Restoring::Now(Plan::acting(note.into_iter().chain([act]).collect(), Vec::new())))
}

/// Whether fewer tasks run of what the PRIMARY deployment runs than are desired, whichever deployment started them.
pub(super) fn is_short(view: &View<'_>) -> bool {
    let tasks = view.observed().tasks.known().map(Vec::as_slice).unwrap_or_default();
    let is_there = |task: &&Task| task.last_status == "RUNNING" && task.desired_status == "RUNNING";
    let alike = tasks.iter().filter(is_there).filter(|task| {
        view.has_content_of(&task.task_definition_arn, &view.primary.task_definition)
    });
    usize::try_from(view.service.desired_count).is_ok_and(|desired| alike.count() < desired)
}

/// What is done about a deployment of what is proven that ECS gave up.
pub(super) enum Restoring {
    Later(Wait),
    Now(Plan),
}

impl Restoring {
    pub(super) fn plan(self) -> Plan {
        match self {
            Self::Later(wait) => Plan::waiting(vec![wait], CAPACITY),
            Self::Now(plan) => plan,
        }
    }
}

/// When it was begun again: reads may lag, and it is not to be done twice.
fn note(view: &View<'_>, mark: &RolloutMark) -> Action {
    let again = RolloutMark { since: view.now(), ..mark.clone() };
    let tags = BTreeMap::from([(tag::ROLLOUT.to_owned(), again.encode())]);
    let call = Call::TagResource { arn: view.service.service_arn.clone(), tags };
    Action { call, lane: Lane::Rollback, why: "notes that it is begun again".to_owned() }
}

fn once_more(view: &View<'_>) -> Option<Value> {
    let definition = deregistered::usable(view, &view.primary.task_definition)?;
    let mut body = Map::new();
    body.insert("cluster".to_owned(), json!(view.desired.key.cluster));
    body.insert("service".to_owned(), json!(view.desired.key.name));
    body.insert("forceNewDeployment".to_owned(), json!(true));
    if definition != view.primary.task_definition {
        body.insert("taskDefinition".to_owned(), json!(definition));
    }
    resend_volumes(view, view.memory.proven.as_deref()?, &mut body);
    Some(Value::Object(body))
}

/// Whether ECS's breaker gave up what is PRIMARY.
pub(crate) fn is_ended_by_breaker(view: &View<'_>) -> bool {
    let reason = view.primary.rollout_state_reason.as_deref().unwrap_or_default();
    view.standing() == Standing::Failed && reason.contains(BREAKER)
}

/// Since when there is what ECS's breaker gave up, where that was no fault of its revision.
fn given_up_without_fault(view: &View<'_>) -> Option<Timestamp> {
    let began = view.primary.created_at.filter(|_| is_ended_by_breaker(view))?;
    no_fault_but(view, &view.primary.id, began).map(|_| began)
}
