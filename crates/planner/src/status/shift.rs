//! Where a rollout that moves traffic stands, from ECS's service deployment, or from the rules where Evenkeel moves it;
//! never where it should.

use jiff::Timestamp;
use serde::Serialize;

use crate::steps::{Traffic, own_pause, step_gate};
use crate::tags::RolloutMark;
use crate::view::View;
use crate::{RolloutPhase, ServiceDeployment};

/// How far traffic has moved.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ShiftStatus {
    /// ECS's word: `BLUE_GREEN`, `CANARY`, `LINEAR`, or a newer one; `STEPS` where Evenkeel moves it.
    pub strategy: String,
    /// ECS's word: `PRE_PRODUCTION_TRAFFIC_SHIFT`, `BAKE_TIME`, …; or `STEP_2_OF_4`.
    pub stage: Option<String>,
    /// What the new revision gets of production traffic, in percent.
    pub production_weight: f64,
    /// The same of test traffic, where there is any.
    pub test_weight: Option<f64>,
    /// The gate at which it stands now.
    pub gate: Option<GateStatus>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GateStatus {
    /// As in manifests: `AfterTestTraffic`, `BeforeStep`, `AfterProductionTraffic`.
    pub name: &'static str,
    pub hook: String,
    /// When the rollout turns back by itself.
    pub expires_at: Option<Timestamp>,
    /// Whether the manifest wants a person's word here, and does not bring it itself.
    pub needs_approval: bool,
}

/// `None` for a deployment that moves no traffic, and for one that is over.
pub(super) fn of(view: &View<'_>, deployment: &str) -> Option<ShiftStatus> {
    if view.desired.rollout.strategy.steps().is_some() {
        return of_steps(view, deployment);
    }
    let rollout =
        view.service_deployment(deployment).filter(|one| one.shifts() && !one.is_over())?;
    Some(ShiftStatus {
        strategy: rollout.strategy().unwrap_or_default().to_owned(),
        stage: rollout.lifecycle_stage.clone(),
        production_weight: rollout.target_share(),
        test_weight: test_weight(rollout),
        gate: gate(view, rollout),
    })
}

/// `None` where the rules were not seen.
fn of_steps(view: &View<'_>, set: &str) -> Option<ShiftStatus> {
    let mark = view.memory.rollout.as_ref()?;
    let sets = &view.service.task_sets;
    let group = sets.iter().find(|one| one.id() == set)?.target_group()?;
    let traffic = Traffic::of(view).ok()?;
    let percent = |tenths: u64| f64::from(u32::try_from(tenths).unwrap_or(u32::MAX)) / 10.0;
    Some(ShiftStatus {
        strategy: "STEPS".to_owned(),
        stage: stage(view, mark),
        production_weight: percent(traffic.production_share(group)),
        test_weight: traffic.test_share(group).map(percent),
        gate: gate_of_a_step(view, mark),
    })
}

fn stage(view: &View<'_>, mark: &RolloutMark) -> Option<String> {
    let steps = view.desired.rollout.strategy.steps()?.steps.len();
    let step = u16::from(mark.step) + 1;
    match mark.phase {
        RolloutPhase::Stepping => Some(format!("STEP_{step}_OF_{steps}")),
        RolloutPhase::Testing => Some(format!("TEST_OF_STEP_{step}_OF_{steps}")),
        RolloutPhase::Baking => Some(format!("BAKE_OF_STEP_{step}_OF_{steps}")),
        RolloutPhase::Keeping => Some("KEEP".to_owned()),
        _ => None,
    }
}

fn gate_of_a_step(view: &View<'_>, mark: &RolloutMark) -> Option<GateStatus> {
    let (step, opened) = step_gate(view.desired, mark, view.now())?;
    let steps = view.desired.rollout.strategy.steps()?;
    let patience = jiff::SignedDuration::try_from(steps.gate_timeout).ok()?;
    let approve = steps.steps.get(usize::from(mark.step)).is_some_and(|step| step.approve);
    Some(GateStatus {
        name: step.gate.name(),
        hook: step.id,
        expires_at: opened.checked_add(patience).ok(),
        needs_approval: approve && mark.phase == RolloutPhase::Baking,
    })
}

fn test_weight(rollout: &ServiceDeployment) -> Option<f64> {
    rollout.target_service_revision.as_ref()?.requested_test_traffic_weight
}

fn gate(view: &View<'_>, rollout: &ServiceDeployment) -> Option<GateStatus> {
    let (gate, pause) = own_pause(rollout)?;
    Some(GateStatus {
        name: gate.name(),
        hook: pause.hook_id.clone(),
        expires_at: pause.expires_at,
        needs_approval: view.desired.rollout.approvals.contains(&gate)
            && !view.desired.is_approved(),
    })
}
