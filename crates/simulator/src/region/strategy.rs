//! The strategies of a deployment and its hooks, as configured; never where a deployment is in one.
//!
//! Source: the reference page, sections 4.1, 4.3 and 4.4.

use std::time::Duration;

use serde_json::Value;

use super::ApiError;
use super::input::{count, given, invalid, list, text, texts};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Strategy {
    Rolling,
    BlueGreen,
    Linear { step: Share, bake: Duration },
    Canary { first: Share, bake: Duration },
}

/// A part of the traffic, in tenths of a percent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Share(u32);

/// The stages of a deployment that shifts traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    ReconcileService,
    PreScaleUp,
    ScaleUp,
    PostScaleUp,
    TestTrafficShift,
    PostTestTrafficShift,
    PreProductionTrafficShift,
    ProductionTrafficShift,
    PostProductionTrafficShift,
    BakeTime,
    CleanUp,
}

#[derive(Clone, Debug)]
pub(crate) struct Hook {
    pub(crate) target: HookTarget,
    pub(crate) stages: Vec<Stage>,
    pub(crate) timeout: Duration,
    pub(crate) on_timeout: HookAction,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HookTarget {
    /// The ARN of a function.
    Lambda(String),
    Pause,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HookAction {
    Rollback,
    Continue,
}

impl Share {
    pub(crate) const NONE: Self = Self(0);
    pub(crate) const ALL: Self = Self(1000);

    /// Of a percentage with at most one decimal place.
    fn read(percent: f64, least: f64) -> Option<Self> {
        let is_it = |share: &Self| (share.percent() - percent).abs() < 1e-6;
        (1..=1000).map(Self).find(is_it).filter(|share| share.percent() >= least)
    }

    pub(crate) fn of_percent(percent: u32) -> Self {
        Self(percent.min(100) * 10)
    }

    pub(crate) fn percent(self) -> f64 {
        f64::from(self.0) / 10.0
    }

    /// The weights of what is replaced and of what replaces it.
    pub(crate) fn weights(self) -> (u32, u32) {
        let unit = if self.0.is_multiple_of(10) { 10 } else { 1 };
        ((1000 - self.0) / unit, self.0 / unit)
    }
}

impl Strategy {
    pub(crate) fn read(configuration: &Value) -> Result<Self, ApiError> {
        let part = |name: &str| given(configuration, name).unwrap_or(&Value::Null);
        let minutes = |of: &Value, name: &str, default: u32| {
            Duration::from_mins(count(of, name).unwrap_or(default).into())
        };
        let share = |of: &Value, name: &str, default: f64, least: f64| {
            let percent = given(of, name).map_or(Some(default), Value::as_f64);
            percent.and_then(|percent| Share::read(percent, least)).ok_or_else(|| {
                invalid(format!("{name} must be between {least} and 100.0 in multiples of 0.1."))
            })
        };
        Ok(match text(configuration, "strategy").unwrap_or("ROLLING") {
            "ROLLING" => Self::Rolling,
            "BLUE_GREEN" => Self::BlueGreen,
            "LINEAR" => {
                let of = part("linearConfiguration");
                let bake = minutes(of, "stepBakeTimeInMinutes", 6);
                Self::Linear { step: share(of, "stepPercent", 10.0, 3.0)?, bake }
            }
            "CANARY" => {
                let of = part("canaryConfiguration");
                let bake = minutes(of, "canaryBakeTimeInMinutes", 10);
                Self::Canary { first: share(of, "canaryPercent", 5.0, 0.1)?, bake }
            }
            other => return Err(invalid(format!("Invalid deployment strategy: {other}"))),
        })
    }

    pub(crate) fn shifts_traffic(self) -> bool {
        self != Self::Rolling
    }

    /// What the new revision gets after one more step.
    pub(crate) fn next(self, now: Share) -> Share {
        match self {
            Self::Linear { step, .. } => Share::min(Share(now.0 + step.0), Share::ALL),
            Self::Canary { first, .. } if now == Share::NONE => first,
            Self::Rolling | Self::BlueGreen | Self::Canary { .. } => Share::ALL,
        }
    }

    /// How long it stays there; the step to all is followed by the bake time of the deployment.
    pub(crate) fn bake(self, at: Share) -> Duration {
        match self {
            Self::Linear { bake, .. } | Self::Canary { bake, .. } if at < Share::ALL => bake,
            _ => Duration::ZERO,
        }
    }
}

impl Stage {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::ReconcileService => "RECONCILE_SERVICE",
            Self::PreScaleUp => "PRE_SCALE_UP",
            Self::ScaleUp => "SCALE_UP",
            Self::PostScaleUp => "POST_SCALE_UP",
            Self::TestTrafficShift => "TEST_TRAFFIC_SHIFT",
            Self::PostTestTrafficShift => "POST_TEST_TRAFFIC_SHIFT",
            Self::PreProductionTrafficShift => "PRE_PRODUCTION_TRAFFIC_SHIFT",
            Self::ProductionTrafficShift => "PRODUCTION_TRAFFIC_SHIFT",
            Self::PostProductionTrafficShift => "POST_PRODUCTION_TRAFFIC_SHIFT",
            Self::BakeTime => "BAKE_TIME",
            Self::CleanUp => "CLEAN_UP",
        }
    }

    /// The stages in which a hook of that kind may be.
    fn read(word: &str, target: &HookTarget) -> Option<Self> {
        let shared = [
            Self::ReconcileService,
            Self::PreScaleUp,
            Self::PostScaleUp,
            Self::PostTestTrafficShift,
            Self::PreProductionTrafficShift,
            Self::PostProductionTrafficShift,
        ];
        let shifts = [Self::TestTrafficShift, Self::ProductionTrafficShift];
        let shifts = shifts.into_iter().filter(|_| *target != HookTarget::Pause);
        shared.into_iter().chain(shifts).find(|stage| stage.word() == word)
    }
}

impl Hook {
    /// The hooks of a deployment configuration.
    pub(crate) fn read_all(configuration: &Value) -> Result<Vec<Self>, ApiError> {
        let hooks = list(configuration, "lifecycleHooks").iter().map(Self::read);
        let hooks = hooks.collect::<Result<Vec<Self>, ApiError>>()?;
        let of_kind = |pauses: bool| {
            hooks.iter().filter(|hook| (hook.target == HookTarget::Pause) == pauses).count()
        };
        if of_kind(true) > 10 || of_kind(false) > 10 {
            return Err(invalid("A service can have at most 10 lifecycle hooks of each type."));
        }
        Ok(hooks)
    }

    fn read(hook: &Value) -> Result<Self, ApiError> {
        let (target, longest) = match text(hook, "targetType").unwrap_or("AWS_LAMBDA") {
            "PAUSE" => (HookTarget::Pause, 20_160),
            "AWS_LAMBDA" => {
                let arn = text(hook, "hookTargetArn").unwrap_or_default().to_owned();
                if arn.is_empty() || text(hook, "roleArn").is_none() {
                    return Err(invalid("hookTargetArn and roleArn are required for AWS_LAMBDA."));
                }
                (HookTarget::Lambda(arn), 1440)
            }
            _ => return Err(invalid("Invalid targetType. Valid values are: AWS_LAMBDA, PAUSE")),
        };
        let stages = texts(hook, "lifecycleStages").map(|word| Stage::read(word, &target));
        let stages = stages.collect::<Option<Vec<Stage>>>().filter(|stages| !stages.is_empty());
        let kind = if target == HookTarget::Pause { "Pause" } else { "Lambda" };
        let stages = stages
            .ok_or_else(|| invalid(format!("Invalid lifecycle stage provided for {kind} Hook")))?;
        let timeout = given(hook, "timeoutConfiguration").unwrap_or(&Value::Null);
        let minutes = count(timeout, "timeoutInMinutes").unwrap_or(1440);
        if !(1..=longest).contains(&minutes) {
            return Err(invalid(format!("timeoutInMinutes must be between 1 and {longest}.")));
        }
        let on_timeout = match text(timeout, "action") {
            Some("CONTINUE") => HookAction::Continue,
            _ => HookAction::Rollback,
        };
        Ok(Self { target, stages, timeout: Duration::from_mins(minutes.into()), on_timeout })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shares(configuration: &Value) -> Vec<f64> {
        let strategy = Strategy::read(configuration).expect("it is valid");
        let mut at = Share::NONE;
        let mut shares = Vec::new();
        while at < Share::ALL {
            at = strategy.next(at);
            shares.push(at.percent());
        }
        shares
    }

    #[test]
    fn each_strategy_has_its_steps() {
        assert_eq!(shares(&json!({"strategy": "BLUE_GREEN"})), [100.0]);
        assert_eq!(shares(&json!({"strategy": "CANARY"})), [5.0, 100.0]);
        let linear = json!({"strategy": "LINEAR", "linearConfiguration": {"stepPercent": 33.3}});
        assert_eq!(shares(&linear), [33.3, 66.6, 99.9, 100.0]);
    }

    #[test]
    fn weights_are_whole_numbers_that_keep_the_share() {
        let share = |percent| Share::read(percent, 0.1).expect("it is valid");
        assert_eq!(share(5.0).weights(), (95, 5));
        assert_eq!(share(0.1).weights(), (999, 1));
        assert_eq!((Share::ALL.weights(), Share::NONE.weights()), ((0, 100), (100, 0)));
    }

    #[test]
    fn shares_have_bounds_and_one_decimal_place() {
        for (percent, least) in [(2.9, 3.0), (100.1, 0.1), (5.05, 0.1), (f64::NAN, 0.1)] {
            assert_eq!(Share::read(percent, least), None, "{percent}");
        }
    }

    #[test]
    fn a_pause_may_not_be_where_traffic_moves() {
        let hook = |kind: &str, stage: &str| {
            let hook = json!({
                "targetType": kind, "lifecycleStages": [stage],
                "hookTargetArn": "arn:aws:lambda:us-east-1:123456789012:function:f",
                "roleArn": "arn:aws:iam::123456789012:role/hooks",
            });
            Hook::read_all(&json!({"lifecycleHooks": [hook]})).is_ok()
        };
        assert!(hook("AWS_LAMBDA", "PRODUCTION_TRAFFIC_SHIFT"));
        assert!(!hook("PAUSE", "PRODUCTION_TRAFFIC_SHIFT"));
        assert!(hook("PAUSE", "PRE_PRODUCTION_TRAFFIC_SHIFT"));
        assert!(!hook("PAUSE", "BAKE_TIME"));
    }
}
