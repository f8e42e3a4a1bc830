//! What the alarms of a manifest keep from going on: they are missing, red, or were not heard for long enough; never a
//! judgement.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::breaker::{missing_alarm, red_alarm};
use crate::plan::CAPACITY;
use crate::view::View;
use crate::{Plan, Wait, WaitReason};

/// What keeps any rollout from going on while an alarm that the manifest names cannot be heard.
pub(super) fn unwatched(view: &View<'_>) -> Option<Plan> {
    let sentence = missing_alarm(view)?;
    let sentence = format!("{sentence}; the rollout goes no further until it can be watched");
    Some(Plan::waiting(vec![Wait::new(WaitReason::Alarm, sentence)], CAPACITY))
}

/// What keeps a complete rollout from being proven.
pub(super) fn red(view: &View<'_>) -> Option<Wait> {
    let alarm = red_alarm(view)?;
    let sentence = format!("the rollout is complete but alarm {alarm} is in ALARM");
    Some(Wait::new(WaitReason::Alarm, sentence))
}

/// How long alarms are heard after a release is complete: what a load balancer counts is known one to three minutes later,
/// and an alarm is evaluated once a minute (ecs-behaviour 10.2, 10.3). ECS itself takes "less than five minutes" for alarms
/// of its own (ecs-behaviour 3.6).
const HEARD_FOR: SignedDuration = SignedDuration::from_mins(5);

/// What keeps a rolling deployment that ECS has completed from being proven.
pub(super) fn heard(view: &View<'_>) -> Option<Wait> {
    if view.desired.rollout.strategy.shift().is_some() {
        return None;
    }
    let complete = view.service_deployment(&view.primary.id)?.finished_at?;
    let baked = view.live.pointer("/deploymentConfiguration/bakeTimeInMinutes");
    let baked = SignedDuration::from_mins(baked.and_then(Value::as_i64).unwrap_or(0).min(60));
    until(view, complete, HEARD_FOR.saturating_sub(baked))
}

/// The same of a deployment of CodeDeploy, which succeeds when it has moved all traffic and kept the tasks of before for as
/// long as its group says.
pub(super) fn heard_by_code_deploy(view: &View<'_>, deployment: &str) -> Option<Wait> {
    let all = &view.observed().code_deploy.known()?.deployments;
    let complete = all.iter().find(|one| one.deployment_id == deployment)?.complete_time?;
    until(view, complete, HEARD_FOR)
}

fn until(view: &View<'_>, complete: Timestamp, heard_for: SignedDuration) -> Option<Wait> {
    let until = complete.checked_add(heard_for).ok()?;
    let waits = !view.desired.rollout.breaker.alarms.is_empty() && until > view.now();
    let sentence = "the rollout is complete; it is proven when its alarms had time to go off";
    waits.then(|| Wait::new(WaitReason::Alarm, sentence).until(Some(until)))
}
