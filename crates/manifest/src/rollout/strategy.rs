//! How the new revision takes over, and the deployment configuration that makes ECS do so; never when.

use std::time::Duration;

use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use super::{CodeDeploy, Steps};

/// How the new revision takes over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Strategy {
    /// ECS replaces tasks a few at a time, within the percentages of `deploymentConfiguration`.
    #[default]
    Rolling,
    /// All traffic moves at once, after test traffic.
    BlueGreen(Shift),
    /// A small part of the traffic first, then all.
    Canary(Shift, Step),
    /// The same part of the traffic again and again.
    Linear(Shift, Step),
    /// Any steps, which Evenkeel takes itself between two task sets.
    Steps(Steps),
    /// CodeDeploy moves traffic between two task sets as its deployment configuration says.
    CodeDeploy(CodeDeploy),
}

/// What all strategies have whose traffic ECS moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shift {
    /// How long both revisions stay after all traffic has moved; whole minutes, at most a day.
    pub bake: Duration,
    /// How long ECS waits at a gate before it returns by itself; whole minutes, 1 minute to 14 days.
    pub gate_timeout: Duration,
}

impl Default for Shift {
    fn default() -> Self {
        Self { bake: Duration::from_mins(5), gate_timeout: Duration::from_hours(1) }
    }
}

/// A step of the traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Of the traffic: from 0.1 for a canary, from 3 for linear.
    pub percent: Percent,
    /// How long it stays there: whole minutes, at most a day.
    pub bake: Duration,
}

/// A part of the traffic in tenths of a percent, at most 1000.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Percent(u16);

impl Percent {
    pub const NONE: Self = Self(0);
    pub const ALL: Self = Self(1000);

    /// `None` when it has more than one decimal place or is not above 0 and at most 100.
    pub fn new(percent: f64) -> Option<Self> {
        (1..=1000).map(Self).find(|one| (one.value() - percent).abs() < 1e-6)
    }

    /// A percentage of more than 100 is all.
    pub fn whole(percent: u8) -> Self {
        Self(u16::from(percent.min(100)) * 10)
    }

    pub fn value(self) -> f64 {
        f64::from(self.0) / 10.0
    }

    /// From 0 to 1000.
    pub fn tenths(self) -> u16 {
        self.0
    }
}

impl std::fmt::Display for Percent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}%", self.value())
    }
}

impl Serialize for Percent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.value())
    }
}

/// A stage in which ECS waits until Evenkeel has judged. Source: Amazon ECS Developer Guide, pause
/// lifecycle hooks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Gate {
    AfterTestTraffic,
    /// Before each step of production traffic, the first and the last one, too.
    BeforeStep,
    AfterProductionTraffic,
}

impl Gate {
    pub const ALL: [Self; 3] =
        [Self::AfterTestTraffic, Self::BeforeStep, Self::AfterProductionTraffic];

    /// ECS's word for the stage.
    pub fn stage(self) -> &'static str {
        match self {
            Self::AfterTestTraffic => "POST_TEST_TRAFFIC_SHIFT",
            Self::BeforeStep => "PRE_PRODUCTION_TRAFFIC_SHIFT",
            Self::AfterProductionTraffic => "POST_PRODUCTION_TRAFFIC_SHIFT",
        }
    }

    /// The gate in a stage; `None` where there is none.
    pub fn in_stage(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|gate| gate.stage() == word)
    }
}

impl Strategy {
    /// ECS's word for it in `deploymentConfiguration`.
    pub fn word(&self) -> &'static str {
        match self {
            // Controllers with task sets have no strategy, which reads as this.
            Self::Rolling | Self::Steps(_) | Self::CodeDeploy(_) => "ROLLING",
            Self::BlueGreen(_) => "BLUE_GREEN",
            Self::Canary(..) => "CANARY",
            Self::Linear(..) => "LINEAR",
        }
    }

    /// How ECS moves traffic; `None` for one by which it moves none.
    pub fn shift(&self) -> Option<Shift> {
        match self {
            Self::Rolling | Self::Steps(_) | Self::CodeDeploy(_) => None,
            Self::BlueGreen(shift) | Self::Canary(shift, _) | Self::Linear(shift, _) => {
                Some(*shift)
            }
        }
    }

    /// The steps that Evenkeel takes; `None` where ECS does.
    pub fn steps(&self) -> Option<&Steps> {
        match self {
            Self::Steps(steps) => Some(steps),
            Self::Rolling
            | Self::BlueGreen(_)
            | Self::Canary(..)
            | Self::Linear(..)
            | Self::CodeDeploy(_) => None,
        }
    }

    /// The deployment group that carries out deployments; `None` where CodeDeploy does not.
    pub fn code_deploy(&self) -> Option<&CodeDeploy> {
        match self {
            Self::CodeDeploy(group) => Some(group),
            Self::Rolling
            | Self::BlueGreen(_)
            | Self::Canary(..)
            | Self::Linear(..)
            | Self::Steps(_) => None,
        }
    }

    /// ECS's word for who carries out deployments.
    pub fn controller(&self) -> &'static str {
        match self {
            Self::Steps(_) => "EXTERNAL",
            Self::CodeDeploy(_) => "CODE_DEPLOY",
            Self::Rolling | Self::BlueGreen(_) | Self::Canary(..) | Self::Linear(..) => "ECS",
        }
    }

    /// Writes into `deploymentConfiguration` what makes ECS follow the strategy, with a pause at each
    /// gate that ends in a rollback when nobody answers; or names the controller that leaves all to others.
    pub(crate) fn compile(&self, service: &mut Value) {
        let Some(service) = service.as_object_mut() else { return };
        if self.controller() != "ECS" {
            let controller = json!({"type": self.controller()});
            service.insert("deploymentController".to_owned(), controller);
        }
        let Some(shift) = self.shift() else { return };
        let configuration = service.entry("deploymentConfiguration").or_insert_with(|| json!({}));
        let Some(members) = configuration.as_object_mut() else { return };
        members.insert("strategy".to_owned(), json!(self.word()));
        members.insert("bakeTimeInMinutes".to_owned(), minutes(shift.bake));
        match self {
            Self::Rolling | Self::BlueGreen(_) | Self::Steps(_) | Self::CodeDeploy(_) => {}
            Self::Canary(_, step) => {
                let value = json!({
                    "canaryPercent": step.percent, "canaryBakeTimeInMinutes": minutes(step.bake),
                });
                members.insert("canaryConfiguration".to_owned(), value);
            }
            Self::Linear(_, step) => {
                let value = json!({
                    "stepPercent": step.percent, "stepBakeTimeInMinutes": minutes(step.bake),
                });
                members.insert("linearConfiguration".to_owned(), value);
            }
        }
        let hooks = members.entry("lifecycleHooks").or_insert_with(|| json!([]));
        if let Some(hooks) = hooks.as_array_mut() {
            hooks.push(json!({
                "targetType": "PAUSE",
                "lifecycleStages": Gate::ALL.map(Gate::stage),
                "timeoutConfiguration": {
                    "timeoutInMinutes": minutes(shift.gate_timeout), "action": "ROLLBACK",
                },
            }));
        }
    }
}

fn minutes(duration: Duration) -> Value {
    json!(duration.as_secs() / 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compiled(strategy: &Strategy, mut service: Value) -> Value {
        strategy.compile(&mut service);
        service["deploymentConfiguration"].take()
    }

    #[test]
    fn a_rolling_deployment_is_left_as_it_is_written() {
        assert_eq!(compiled(&Strategy::Rolling, json!({})), Value::Null);
    }

    #[test]
    fn a_canary_has_its_step_its_bakes_and_its_gates() {
        let step = Step { percent: Percent::whole(10), bake: Duration::from_mins(3) };
        let written = json!({"deploymentConfiguration": {"minimumHealthyPercent": 100}});
        let configuration = compiled(&Strategy::Canary(Shift::default(), step), written);
        let gate = json!({
            "targetType": "PAUSE", "lifecycleStages": Gate::ALL.map(Gate::stage),
            "timeoutConfiguration": {"timeoutInMinutes": 60, "action": "ROLLBACK"},
        });
        let expected = json!({
            "minimumHealthyPercent": 100, "strategy": "CANARY", "bakeTimeInMinutes": 5,
            "canaryConfiguration": {"canaryPercent": 10.0, "canaryBakeTimeInMinutes": 3},
            "lifecycleHooks": [gate],
        });
        assert_eq!(configuration, expected);
    }

    #[test]
    fn hooks_of_the_manifest_stay() {
        let own =
            json!({"hookTargetArn": "arn", "roleArn": "arn", "lifecycleStages": ["PRE_SCALE_UP"]});
        let written = json!({"deploymentConfiguration": {"lifecycleHooks": [own]}});
        let configuration = compiled(&Strategy::BlueGreen(Shift::default()), written);
        assert_eq!(configuration["lifecycleHooks"].as_array().map(Vec::len), Some(2));
        assert_eq!(configuration["lifecycleHooks"][0], own);
    }

    #[test]
    fn a_share_of_the_traffic_has_one_decimal_place() {
        assert_eq!(Percent::new(0.1).map(Percent::value), Some(0.1));
        assert_eq!(Percent::new(100.0), Some(Percent::ALL));
        for wrong in [0.0, 0.05, 100.1, -1.0, f64::NAN] {
            assert_eq!(Percent::new(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn own_steps_leave_the_configuration_alone_and_name_the_controller() {
        let (keep_for, gate_timeout) = (Duration::ZERO, Duration::from_mins(1));
        let mut service = json!({});
        Strategy::Steps(Steps { steps: Vec::new(), keep_for, gate_timeout }).compile(&mut service);
        assert_eq!(service, json!({"deploymentController": {"type": "EXTERNAL"}}));
    }
}
