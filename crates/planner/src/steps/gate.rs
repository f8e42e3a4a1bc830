//! A rollout that moves traffic: the gates at which ECS waits for a judgement; never moves traffic itself.
//!
//! How far it is comes from ECS's service deployment, never from counting (ecs-behaviour 4.3 to 4.5).

use std::time::Duration;

use evenkeel_manifest::Gate;
use jiff::{SignedDuration, Timestamp};

use super::rollout::still;
use super::{capability_waits, rollback, word};
use crate::breaker::{Judgement, red_alarm};
use crate::judge::decisive;
use crate::plan::IN_FLIGHT;
use crate::render::span;
use crate::view::View;
use crate::{
    Action, AnalysisResult, Call, HookAction, HookDetail, Lane, Plan, ServiceDeployment,
    VerdictKind, Wait, WaitReason,
};

/// The next step while ECS carries out `rollout`; `None` when it is over.
pub(super) fn step(
    view: &View<'_>,
    rollout: &ServiceDeployment,
    judgement: &Judgement,
) -> Option<Plan> {
    if rollout.is_over() {
        return None;
    }
    Some(match open_pause(rollout) {
        Some(pause) => at_pause(view, rollout, pause, judgement),
        None => still(view, judgement, under_way(view, rollout)),
    })
}

/// The pause that waits for somebody's word.
pub(super) fn open_pause(rollout: &ServiceDeployment) -> Option<&HookDetail> {
    rollout.lifecycle_hook_details.iter().find(|hook| hook.awaits_a_word())
}

fn at_pause(
    view: &View<'_>,
    rollout: &ServiceDeployment,
    pause: &HookDetail,
    judgement: &Judgement,
) -> Plan {
    let Some((gate, _)) = own_pause(rollout) else {
        let sentence = format!(
            "ECS pauses in {} at a hook that is not Evenkeel's, or not only: a person goes on",
            rollout.stage()
        );
        let wait = Wait::new(WaitReason::Held, sentence).until(pause.expires_at);
        return still(view, judgement, wait);
    };
    let at = position(gate, rollout);
    if let Some(sentence) = unhealthy(view, judgement) {
        let wait = Wait::new(WaitReason::Gate, format!("{at}: {sentence}"));
        return still(view, judgement, wait.until(pause.expires_at));
    }
    let word = word::promotion(view, pause);
    if let Some(alarm) = red_alarm(view).filter(|_| word.is_none()) {
        let sentence = format!("{at}: alarm {alarm} is in ALARM");
        let wait = Wait::new(WaitReason::Alarm, sentence).until(pause.expires_at);
        return Plan::waiting(vec![wait], IN_FLIGHT);
    }
    if let Some(wait) = unmeasured(view, judgement).filter(|_| word.is_none()) {
        let wait = Wait { sentence: format!("{at}: {}", wait.sentence), ..wait };
        return still(view, judgement, wait.until(pause.expires_at));
    }
    if let Some(wait) = word::missing_at(view, gate, &at).filter(|_| word.is_none()) {
        return still(view, judgement, wait.until(pause.expires_at));
    }
    let healthy = judgement.healthy.as_ref().map_or(0, Vec::len);
    let call = Call::ContinueServiceDeployment {
        arn: rollout.service_deployment_arn.clone(),
        hook: pause.hook_id.clone(),
        action: HookAction::Continue,
    };
    let because = match word {
        Some(word) => format!("it was promoted {}", word.said.phrase()),
        None => word::approved(view, gate).unwrap_or("nothing speaks against it").to_owned(),
    };
    let why = format!("opens the gate {at}: {healthy} tasks are healthy and {because}");
    Plan::acting(vec![Action { call, lane: Lane::RolloutStep, why }], capability_waits(view))
}

/// The gate at which ECS waits for Evenkeel's word, and no other's.
pub(crate) fn own_pause(rollout: &ServiceDeployment) -> Option<(Gate, &HookDetail)> {
    let gate = rollout.gate().filter(|_| has_one_pause(rollout))?;
    Some((gate, open_pause(rollout)?))
}

/// Of two pauses in one stage one is somebody else's, and which is not told.
fn has_one_pause(rollout: &ServiceDeployment) -> bool {
    rollout.lifecycle_hook_details.iter().filter(|hook| hook.awaits_a_word()).count() == 1
}

/// Where a gate stands, for people.
fn position(gate: Gate, rollout: &ServiceDeployment) -> String {
    let share = rollout.target_share();
    match gate {
        Gate::AfterTestTraffic => "after test traffic".to_owned(),
        Gate::BeforeStep => format!("before the next step, at {share}% of production traffic"),
        Gate::AfterProductionTraffic => format!("after the last step, at {share}%"),
    }
}

/// What is missing until every task of the new revision is seen to be healthy.
fn unhealthy(view: &View<'_>, judgement: &Judgement) -> Option<String> {
    let desired = view.service.desired_count;
    let Some(healthy) = judgement.healthy.as_ref().map(Vec::len) else {
        return Some("whether the new tasks are healthy cannot be seen".to_owned());
    };
    let all = usize::try_from(desired).unwrap_or(usize::MAX);
    (healthy < all).then(|| format!("{healthy} of {desired} new tasks are healthy"))
}

/// What keeps the gate shut of what is measured.
pub(super) fn unmeasured(view: &View<'_>, judgement: &Judgement) -> Option<Wait> {
    let analysis = view.desired.rollout.analysis.as_ref()?;
    let Some(one) = decisive(&judgement.measurements) else {
        return (!judgement.is_asked).then(|| Wait::new(WaitReason::Gate, "nothing was measured"));
    };
    let told = format!("{}: {}", one.metric, one.sentence);
    match one.result {
        AnalysisResult::Passed => None,
        AnalysisResult::Running => Some(Wait::new(WaitReason::Gate, told)),
        AnalysisResult::Error => {
            Some(Wait::new(WaitReason::Gate, format!("{told}; nothing is decided on ignorance")))
        }
        AnalysisResult::Inconclusive | AnalysisResult::Failed => {
            let patience = SignedDuration::try_from(analysis.patience).unwrap_or_default();
            let told = format!("{told}; nothing clear in {}: a person decides", span(patience));
            Some(Wait::new(WaitReason::Held, told))
        }
    }
}

fn under_way(view: &View<'_>, rollout: &ServiceDeployment) -> Wait {
    let sentence = format!(
        "ECS is in {} with {} ({}% of production traffic)",
        rollout.stage(),
        view.primary.id,
        rollout.target_share()
    );
    Wait::new(WaitReason::Deployment, sentence).until(stage_deadline(view, rollout))
}

/// What speaks against a rollout that has been in one stage for too long. Stages that wait for tasks have
/// the breaker's own clock; hooks and bakes have ECS's; what is left after the last one cannot be
/// returned from.
pub(super) fn overdue(
    view: &View<'_>,
    rollout: &ServiceDeployment,
) -> Option<(VerdictKind, String)> {
    let deadline = stage_deadline(view, rollout)?;
    (view.now() >= deadline).then(|| {
        let patience = SignedDuration::try_from(view.desired.rollout.breaker.progress_deadline);
        let sentence = format!(
            "ECS has been in {} for {} longer than it takes and bakes (progressDeadline)",
            rollout.stage(),
            span(patience.unwrap_or(SignedDuration::MAX))
        );
        (VerdictKind::Stalled, sentence)
    })
}

/// How long ECS itself waits in a stage for a Network Load Balancer (ecs-behaviour 4.2).
const ECS_TAKES: Duration = Duration::from_mins(10);

/// How much later than a pause begins ECS may say that it updated the deployment for it.
const LATE: Duration = Duration::from_mins(1);

/// Stages that take as long as ECS needs to change a rule.
const SHORT_STAGES: &[&str] = &[
    "PRE_SCALE_UP",
    "POST_SCALE_UP",
    "TEST_TRAFFIC_SHIFT",
    "POST_TEST_TRAFFIC_SHIFT",
    "PRE_PRODUCTION_TRAFFIC_SHIFT",
    "PRODUCTION_TRAFFIC_SHIFT",
    "POST_PRODUCTION_TRAFFIC_SHIFT",
];

fn stage_deadline(view: &View<'_>, rollout: &ServiceDeployment) -> Option<Timestamp> {
    let has_hooks = rollout.lifecycle_hook_details.iter().any(HookDetail::is_open);
    if !SHORT_STAGES.contains(&rollout.stage()) || has_hooks {
        return None;
    }
    let deadline = view.desired.rollout.breaker.progress_deadline;
    let patience = deadline + rollout.step_bake() + ECS_TAKES;
    went_on_at(view, rollout)?.checked_add(patience).ok()
}

/// When ECS went on, at the latest. It need not say when a pause was answered: where nothing was updated since a pause began,
/// it may have stood until it would have ended by itself.
fn went_on_at(view: &View<'_>, rollout: &ServiceDeployment) -> Option<Timestamp> {
    let updated = rollout.updated_at?;
    let shift = view.desired.rollout.strategy.shift();
    let gate_timeout = shift.map(|shift| shift.gate_timeout).unwrap_or_default();
    let ends = rollout.lifecycle_hook_details.iter().filter_map(|hook| hook.expires_at);
    let began = |end: Timestamp| end.checked_sub(gate_timeout)?.checked_add(LATE);
    let stood = ends.filter(|end| began(*end).is_ok_and(|began| updated <= began));
    Some(stood.fold(updated, Timestamp::max))
}

/// The word that ends `rollout` at a pause that is open now.
pub(super) fn turn_back(rollout: &ServiceDeployment, id: &str, proven: &str) -> Option<Plan> {
    let pause = open_pause(rollout)?;
    let call = Call::ContinueServiceDeployment {
        arn: rollout.service_deployment_arn.clone(),
        hook: pause.hook_id.clone(),
        action: HookAction::Rollback,
    };
    let why = format!("rolls {id} back to {proven} at the gate in {}", rollout.stage());
    Some(rollback::acting(call, why))
}
