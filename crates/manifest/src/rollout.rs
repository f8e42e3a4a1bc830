//! How a change is rolled out and when it is judged bad; never says what the change is.

mod analysis;
mod approvals;
mod code_deploy;
mod hooks;
pub(crate) mod read;
mod steps;
mod strategy;
mod window;

use std::time::Duration;

use jiff::SignedDuration;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};

pub use analysis::{
    Analysis, Condition, Limit, Metric, MetricSource, OnInconclusive, Query, Statistic, Webhook,
};
pub use code_deploy::CodeDeploy;
pub use hooks::Hooks;
pub use steps::{Scale, Steps, TrafficStep};
pub use strategy::{Gate, Percent, Shift, Step, Strategy};
pub use window::{InFlight, Origin, Rule, Window, WindowFault, WindowText};

/// How a change is rolled out and when it is judged bad.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(into = "Written")]
pub struct Rollout {
    pub strategy: Strategy,
    /// `None` where health and alarms decide alone.
    pub analysis: Option<Analysis>,
    /// The gates that also wait for a person's word.
    pub approvals: Vec<Gate>,
    /// When rollouts may start: always, where there is none.
    pub windows: Vec<Window>,
    pub breaker: Breaker,
    pub probe: Probe,
}

/// How a change is rolled out and when it is judged bad.
#[derive(Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(default, deny_unknown_fields)]
struct Written {
    strategy: Kind,
    /// The first part of the traffic, for `Canary`.
    #[serde(skip_serializing_if = "Option::is_none")]
    canary: Option<WrittenStep>,
    /// Each part of the traffic, for `Linear`.
    #[serde(skip_serializing_if = "Option::is_none")]
    linear: Option<WrittenStep>,
    /// The parts of the traffic one after the other, for `Steps`.
    #[serde(skip_serializing_if = "Option::is_none")]
    steps: Option<Vec<TrafficStep>>,
    /// How long the tasks of the revision before stay after the last step, for `Steps`: `0s` to `24h`.
    #[serde(serialize_with = "friendly_if_any", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    keep_for: Option<Duration>,
    /// Who carries out deployments, for `CodeDeploy`.
    #[serde(skip_serializing_if = "Option::is_none")]
    code_deploy: Option<CodeDeploy>,
    /// How long both revisions stay after all traffic has moved: whole minutes, `0m` to `24h`.
    #[serde(serialize_with = "friendly_if_any", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    bake: Option<Duration>,
    /// How long a gate waits before the service returns by itself: whole minutes, `1m` to `336h`.
    #[serde(serialize_with = "friendly_if_any", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    gate_timeout: Option<Duration>,
    /// What is measured while traffic moves, and what the numbers may be.
    #[serde(skip_serializing_if = "Option::is_none")]
    analysis: Option<Analysis>,
    /// The gates that also wait for a person, who says `evenkeel rollout promote`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    approvals: Vec<Gate>,
    /// When no rollout starts, or when alone one does.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<window::WrittenWindow>", length(max = 20))]
    windows: Vec<Window>,
    breaker: Breaker,
    probe: Probe,
}

/// A step of the traffic.
#[derive(Default, Serialize, JsonSchema)]
#[schemars(default, deny_unknown_fields)]
struct WrittenStep {
    /// Of the traffic, with at most one decimal place: 0.1 to 100 for a canary, 3 to 100 for linear.
    #[schemars(with = "Option<f64>", range(min = 0.1, max = 100.0))]
    percent: Option<Percent>,
    /// How long it stays there: whole minutes, `0m` to `24h`.
    #[serde(serialize_with = "friendly_if_any")]
    #[schemars(with = "Option<String>")]
    bake: Option<Duration>,
}

impl From<Step> for WrittenStep {
    fn from(step: Step) -> Self {
        Self { percent: Some(step.percent), bake: Some(step.bake) }
    }
}

/// How the new revision takes over.
#[derive(Default, Serialize, JsonSchema)]
enum Kind {
    /// ECS replaces tasks a few at a time, within the percentages of `deploymentConfiguration`.
    #[default]
    Rolling,
    /// The new revision stands beside the old one, gets test traffic, and then all traffic at once.
    BlueGreen,
    /// As `BlueGreen`, with a small part of the traffic first.
    Canary,
    /// As `BlueGreen`, with the traffic in equal steps.
    Linear,
    /// As `BlueGreen`, with any `steps`, which Evenkeel takes itself: the service has the EXTERNAL controller.
    Steps,
    /// AWS CodeDeploy moves traffic as its deployment configuration says: the service has the `CODE_DEPLOY` controller.
    CodeDeploy,
}

impl From<Rollout> for Written {
    fn from(rollout: Rollout) -> Self {
        let shift = rollout.strategy.shift();
        let steps = rollout.strategy.steps();
        let (keep_for, own_timeout) =
            (steps.map(|all| all.keep_for), steps.map(|all| all.gate_timeout));
        let mut written = Self {
            keep_for,
            bake: shift.map(|shift| shift.bake),
            gate_timeout: shift.map(|shift| shift.gate_timeout).or(own_timeout),
            analysis: rollout.analysis,
            approvals: rollout.approvals,
            windows: rollout.windows,
            breaker: rollout.breaker,
            probe: rollout.probe,
            ..Self::default()
        };
        written.strategy = match rollout.strategy {
            Strategy::Rolling => Kind::Rolling,
            Strategy::BlueGreen(_) => Kind::BlueGreen,
            Strategy::Canary(_, step) => {
                written.canary = Some(step.into());
                Kind::Canary
            }
            Strategy::Linear(_, step) => {
                written.linear = Some(step.into());
                Kind::Linear
            }
            Strategy::Steps(all) => {
                written.steps = Some(all.steps);
                Kind::Steps
            }
            Strategy::CodeDeploy(group) => {
                written.code_deploy = Some(group);
                Kind::CodeDeploy
            }
        };
        written
    }
}

impl JsonSchema for Rollout {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Rollout".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Written::json_schema(generator)
    }
}

/// How much failure a revision may show before it is rejected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(default, deny_unknown_fields)]
pub struct Breaker {
    /// Tasks that never reached RUNNING for a reason another try may cure (ECS's stage 1).
    pub launch_failures: Threshold,
    /// Tasks replaced because a health check failed (ECS's stage 2).
    pub health_failures: Threshold,
    /// Tasks whose essential container exited after RUNNING.
    pub crashes: Threshold,
    /// Tasks that can never start as written: no image, no permission, bad command.
    pub doomed: Threshold,
    /// `CloudWatch` alarms that must not be in ALARM.
    pub alarms: Vec<String>,
    /// The longest time without a task becoming healthy: `10m`, `1h30m`; 1s to 24h.
    #[serde(serialize_with = "friendly")]
    #[schemars(with = "String")]
    pub progress_deadline: Duration,
    /// What happens to a rejected revision.
    pub on_failure: OnFailure,
    /// How failures add up.
    pub counting: Counting,
}

impl Default for Breaker {
    fn default() -> Self {
        Self {
            launch_failures: Threshold::Auto,
            health_failures: Threshold::Auto,
            crashes: Threshold::Auto,
            doomed: Threshold::Count(1),
            alarms: Vec::new(),
            progress_deadline: Duration::from_mins(10),
            on_failure: OnFailure::Rollback,
            counting: Counting::Consecutive,
        }
    }
}

/// Written and shown as `auto`, a number, or a percentage such as `20%`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threshold {
    /// ECS's formula: half of the desired count, at least 3 and at most 200; 2 while probing, so
    /// that a revision that never works starts no more than three tasks at any size.
    Auto,
    /// At least 1.
    Count(u32),
    /// Percent of the desired count, 1 to 100, rounded up.
    Percent(u8),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub enum OnFailure {
    /// Return to the last revision that passed.
    #[default]
    Rollback,
    /// Leave everything as it is and wait for a person.
    Hold,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub enum Counting {
    /// A task that becomes healthy sets the counts back to zero.
    #[default]
    Consecutive,
    /// Counts never go back.
    Cumulative,
}

/// One task first, the rest when it has proved healthy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(default, deny_unknown_fields)]
pub struct Probe {
    /// Whether to begin with one task.
    pub enabled: bool,
    /// How long the first task must stay healthy before the rollout widens: `30s`; 0s to 24h.
    #[serde(serialize_with = "friendly")]
    #[schemars(with = "String")]
    pub healthy_for: Duration,
}

impl Default for Probe {
    fn default() -> Self {
        Self { enabled: true, healthy_for: Duration::from_secs(30) }
    }
}

impl Serialize for Threshold {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Auto => serializer.serialize_str("auto"),
            Self::Count(count) => serializer.serialize_u32(*count),
            Self::Percent(percent) => serializer.collect_str(&format_args!("{percent}%")),
        }
    }
}

impl JsonSchema for Threshold {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Threshold".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "`auto` (half of the desired count, at least 3 and at most 200), a number \
                            of tasks, or a percentage of the desired count.",
            "anyOf": [
                { "const": "auto" },
                { "type": "integer", "minimum": 1, "maximum": u32::MAX },
                { "type": "string", "pattern": "^(100|[1-9][0-9]?)%$" }
            ]
        })
    }
}

/// `10m`, `1h 30m`: a form that manifests take.
fn friendly<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    let duration = SignedDuration::try_from(*duration).map_err(serde::ser::Error::custom)?;
    serializer.collect_str(&format_args!("{duration:#}"))
}

#[expect(clippy::ref_option, reason = "serde passes a reference to the field")]
fn friendly_if_any<S: Serializer>(
    duration: &Option<Duration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match duration {
        Some(duration) => friendly(duration, serializer),
        None => serializer.serialize_none(),
    }
}
