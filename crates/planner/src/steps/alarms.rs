//! What the alarms of a manifest keep from going on: they are missing, red, or were not heard for long enough; never a
//! judgement.

use jiff::SignedDuration;
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

/// Until when alarms are heard after ECS has completed a rolling deployment: what a load balancer counts is known one to
/// three minutes later, and an alarm is evaluated once a minute (ecs-behaviour 10.2, 10.3). ECS itself takes "less than
/// five minutes" for alarms of its own (ecs-behaviour 3.6).
pub(super) fn heard(view: &View<'_>) -> Option<Wait> {
    const HEARD_FOR: SignedDuration = SignedDuration::from_mins(5);
    let rollout = &view.desired.rollout;
    if rollout.breaker.alarms.is_empty() || rollout.strategy.shift().is_some() {
        return None;
    }
    let complete = view.service_deployment(&view.primary.id)?.finished_at?;
    let baked = view.live.pointer("/deploymentConfiguration/bakeTimeInMinutes");
    let baked = SignedDuration::from_mins(baked.and_then(Value::as_i64).unwrap_or(0).min(60));
    let until = complete.checked_add(HEARD_FOR.saturating_sub(baked)).ok()?;
    let sentence = "the rollout is complete; it is proven when its alarms had time to go off";
    (until > view.now()).then(|| Wait::new(WaitReason::Alarm, sentence).until(Some(until)))
}
