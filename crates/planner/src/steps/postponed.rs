//! A rollout that ECS's breaker ended for what is no fault of its revision, such as a lack of capacity: it is begun again after
//! a while; never rejected for that, and never fought about with ECS.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::rollback::{self, judged_now};
use super::rollout::identify;
use super::start::start;
use super::{foreign, unknown};
use crate::breaker::no_fault_but;
use crate::diff::{Comparison, runs_what_is_wanted};
use crate::plan::CAPACITY;
use crate::tags::{Marked, RolloutMark, tag};
use crate::view::{Standing, View};
use crate::{Action, Call, Lane, Plan, RolloutPhase, Wait, WaitReason};

/// How long ECS is left alone after its breaker ended a deployment for a cause outside of its revision: longer than reads
/// may lag, so that none is started twice.
const AGAIN_AFTER: SignedDuration = SignedDuration::from_mins(10);

/// How ECS tells that its breaker ended a deployment (ecs-behaviour 3.4).
const BREAKER: &str = "circuit breaker";

/// Notes that the rollout is to be begun again; `None` when it was not ECS's breaker that ended it, or when anything speaks
/// against its revision.
pub(super) fn postpone(view: &View<'_>, id: &str, sentence: &str) -> Option<Plan> {
    let by_breaker = sentence.contains(BREAKER);
    let cause = no_fault_but(view, id, began(view, id)?).filter(|_| by_breaker)?;
    let mark = RolloutMark {
        digest: view.desired.revision_digest.clone(),
        deployment: Marked::Id(id.to_owned()),
        phase: RolloutPhase::Postponed,
        since: view.now(),
        probe: None,
        step: 0,
    };
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
        Standing::Completed | Standing::Failed => is_wanted.then(|| begin_again(view, mark, id)),
    }
}

fn begin_again(view: &View<'_>, mark: &RolloutMark, id: &str) -> Plan {
    match left_alone(view, id, mark.since) {
        Some(wait) => Plan::waiting(vec![wait], CAPACITY),
        None => start(view),
    }
}

/// The mark of a postponed rollout that need not wait any longer.
pub(super) fn due_now(mark: &RolloutMark) -> Option<RolloutMark> {
    let since = mark.since.checked_sub(AGAIN_AFTER).ok()?;
    (mark.phase == RolloutPhase::Postponed).then(|| RolloutMark { since, ..mark.clone() })
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
/// of it any more, not even for one that is lost. `None` when something speaks against it.
pub(super) fn return_again(view: &View<'_>, mark: &RolloutMark) -> Option<Plan> {
    let id = &view.primary.id;
    let given_up = given_up_without_fault(view)?;
    if let Some(wait) = left_alone(view, id, given_up.max(mark.since)) {
        return Some(Plan::waiting(vec![wait], CAPACITY));
    }
    let again = RolloutMark { since: view.now(), ..mark.clone() };
    let tags = BTreeMap::from([(tag::ROLLOUT.to_owned(), again.encode())]);
    let note = Call::TagResource { arn: view.service.service_arn.clone(), tags };
    let input = json!({
        "cluster": view.desired.key.cluster,
        "service": view.desired.key.name,
        "taskDefinition": view.primary.task_definition,
        "forceNewDeployment": true,
    });
    let act = |call, why| Action { call, lane: Lane::Rollback, why };
    let why = format!("returns again to what {id} runs, which ECS gave up");
    let actions = vec![
        act(note, "notes that the return is begun again".to_owned()),
        act(Call::UpdateService { input }, why),
    ];
    Some(Plan::acting(actions, Vec::new()))
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

/// What is to be done about a deployment of what is wanted and proven that ECS's breaker gave up for no fault of its revision.
pub(super) enum GivenUp {
    /// It is begun again later.
    Later(Wait),
    BegunAgain(Plan),
}

/// `None` where ECS gave up nothing, or where something speaks against it.
pub(super) fn given_up(view: &View<'_>) -> Option<GivenUp> {
    let began = given_up_without_fault(view)?;
    Some(match left_alone(view, &view.primary.id, began) {
        Some(wait) => GivenUp::Later(wait),
        None => GivenUp::BegunAgain(start(view)),
    })
}
