//! Where a rollout that moves traffic stands, from ECS's service deployment; never where it should.

use jiff::Timestamp;
use serde::Serialize;

use crate::ServiceDeployment;
use crate::steps::own_pause;
use crate::view::View;

/// How far ECS is with moving traffic.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ShiftStatus {
    /// ECS's word: `BLUE_GREEN`, `CANARY`, `LINEAR`, or a newer one.
    pub strategy: String,
    /// ECS's word: `PRE_PRODUCTION_TRAFFIC_SHIFT`, `BAKE_TIME`, …
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
    /// When ECS turns back by itself.
    pub expires_at: Option<Timestamp>,
    /// Whether the manifest wants a person's word here, and does not bring it itself.
    pub needs_approval: bool,
}

/// `None` for a deployment that moves no traffic, and for one that is over.
pub(super) fn of(view: &View<'_>, deployment: &str) -> Option<ShiftStatus> {
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
