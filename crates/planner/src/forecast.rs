//! What a rollout of a manifest will take, foretold from the manifest alone; never knows what AWS does or how long
//! tasks take to start.

use std::time::Duration;

use evenkeel_manifest::{Percent, Service, Steps, Strategy};
use serde::Serialize;
use serde_json::Value;

use crate::probe::Percentages;
use crate::view::{is_daemon, wanted_members};
use crate::{Revised, revised};

/// What a change of one manifest will take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Forecast {
    /// Calls of `RegisterTaskDefinition`.
    pub register_calls: u32,
    /// A deployment starts, on a service that exists or with one.
    pub deploys: bool,
    /// Running tasks that others replace; `None` when the manifest does not say how many there are.
    pub tasks_restarted: Option<u64>,
    /// Tasks beside the desired count at most while it lasts; `None` when the manifest does not say.
    pub surge: Option<u64>,
    /// The least a good rollout takes: what the manifest asks to wait for, without the time that tasks take to start.
    pub seconds_at_least: u64,
}

/// What going from `old`, or from no service, to `new` takes.
pub fn forecast(old: Option<&Service>, new: &Service) -> Forecast {
    let Revised { registers, deploys, .. } = revised(old, new);
    let (tasks_restarted, surge) = match (deploys, old) {
        (false, _) | (true, None) => (Some(0), Some(0)),
        (true, Some(old)) => (desired_count(old), surge(new)),
    };
    let at_least = match (deploys, old) {
        (false, _) => Duration::ZERO,
        (true, None) => probe(new),
        (true, Some(_)) => shortest(new),
    };
    Forecast {
        register_calls: u32::from(registers),
        deploys,
        tasks_restarted,
        surge,
        seconds_at_least: at_least.as_secs(),
    }
}

fn desired_count(service: &Service) -> Option<u64> {
    if is_daemon(service) {
        return None;
    }
    service.service.value().get("desiredCount")?.as_u64()
}

fn surge(service: &Service) -> Option<u64> {
    if is_daemon(service) {
        return Some(0);
    }
    let desired = desired_count(service)?;
    match &service.rollout.strategy {
        Strategy::Rolling => rolling_surge(service, desired),
        Strategy::BlueGreen(_)
        | Strategy::Canary(..)
        | Strategy::Linear(..)
        | Strategy::CodeDeploy(_) => Some(desired),
        Strategy::Steps(steps) => Some(steps_surge(steps, desired)),
    }
}

/// ECS rounds down (ecs-behaviour 2.1).
fn rolling_surge(service: &Service, desired: u64) -> Option<u64> {
    let members = wanted_members(service);
    let percentage = |name: &str| {
        members.pointer(&format!("/deploymentConfiguration/{name}")).and_then(Value::as_u64)
    };
    let minimum_healthy = percentage("minimumHealthyPercent")?;
    let maximum = percentage("maximumPercent")?;
    let percentages = Percentages { minimum_healthy, maximum };
    Some(percentages.steps(u32::try_from(desired).ok()?).0)
}

/// The revision before stays whole until the end.
fn steps_surge(steps: &Steps, desired: u64) -> u64 {
    let largest = steps.steps.iter().map(|step| tenths(step.scale_percent())).max();
    desired.saturating_mul(largest.unwrap_or(1000)).div_ceil(1000)
}

fn tenths(percent: f64) -> u64 {
    (1..=1000_u32).find(|tenths| f64::from(*tenths) / 10.0 >= percent).map_or(1000, u64::from)
}

fn probe(service: &Service) -> Duration {
    let rollout = &service.rollout;
    let probes = rollout.probe.enabled && rollout.strategy == Strategy::Rolling;
    if probes && !is_daemon(service) { rollout.probe.healthy_for } else { Duration::ZERO }
}

fn shortest(service: &Service) -> Duration {
    match &service.rollout.strategy {
        Strategy::Rolling => probe(service),
        Strategy::BlueGreen(shift) => shift.bake,
        Strategy::Canary(shift, step) => step.bake.saturating_add(shift.bake),
        Strategy::Linear(shift, step) => {
            // The step that reaches all traffic is not waited after (ecs-behaviour 4).
            let waits = u32::from(Percent::ALL.tenths().div_ceil(step.percent.tenths().max(1))) - 1;
            step.bake.saturating_mul(waits).saturating_add(shift.bake)
        }
        Strategy::Steps(steps) => {
            steps.steps.iter().map(|step| step.bake).fold(steps.keep_for, Duration::saturating_add)
        }
        // Only the group knows its configuration.
        Strategy::CodeDeploy(_) => Duration::ZERO,
    }
}
