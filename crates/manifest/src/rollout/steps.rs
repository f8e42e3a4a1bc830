//! Steps of the traffic that Evenkeel moves itself, on ECS's EXTERNAL controller; never when they are taken.

use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};

use super::read::{between, chosen_duration, short};
use super::{Analysis, Metric, Percent};
use crate::envelope::{flag, known_members};
use crate::node::{Cursor, Kind};
use crate::problem::Report;
use crate::spelling;

/// All steps of a rollout, and what follows them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Steps {
    /// Their weights rise, and the last one is 100.
    pub steps: Vec<TrafficStep>,
    /// How long the tasks of the revision before stay after the last bake; at most a day.
    pub keep_for: Duration,
    /// How long a step waits for clear numbers or for a person before the rollout is rolled back.
    pub gate_timeout: Duration,
}

/// One step: tasks first, then traffic, then time, then judgement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(default, deny_unknown_fields)]
pub struct TrafficStep {
    /// What the new revision gets of the traffic, in percent with at most one decimal place. 0 is for a first step
    /// on test traffic alone.
    #[schemars(with = "f64", range(min = 0.0, max = 100.0), required)]
    pub weight: Percent,
    /// How many tasks of the new revision run: `auto`, or a percentage of the desired count.
    pub scale: Scale,
    /// How long the step lasts before it is judged: `90s`, `10m`; 0s to 24h.
    #[serde(serialize_with = "super::friendly")]
    #[schemars(with = "String")]
    pub bake: Duration,
    /// The metrics of `analysis` that are judged at this step, by their names or by the word of `metric`; all of them
    /// unless given, none where the list is empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Vec<String>>")]
    pub analysis: Option<Vec<String>>,
    /// Whether a person must say `evenkeel rollout promote` before the next step.
    pub approve: bool,
}

impl Default for TrafficStep {
    fn default() -> Self {
        Self {
            weight: Percent::ALL,
            scale: Scale::Auto,
            bake: Duration::ZERO,
            analysis: None,
            approve: false,
        }
    }
}

/// How many tasks of the new revision run at a step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scale {
    /// As large a part of the desired count as the step has of the traffic, and at least one task.
    #[default]
    Auto,
    /// Of the desired count, 1 to 100; ECS rounds up.
    Percent(u8),
}

impl TrafficStep {
    /// Whether `metric` is judged at this step.
    pub fn judges(&self, metric: &Metric) -> bool {
        self.analysis.as_ref().is_none_or(|names| names.iter().any(|name| metric.is_named(name)))
    }

    /// The scale of the task set, in percent of the desired count.
    pub fn scale_percent(&self) -> f64 {
        match self.scale {
            Scale::Auto if self.weight == Percent::NONE => 1.0,
            Scale::Auto => self.weight.value(),
            Scale::Percent(percent) => f64::from(percent),
        }
    }
}

impl Serialize for Scale {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Auto => serializer.serialize_str("auto"),
            Self::Percent(percent) => serializer.collect_str(&format_args!("{percent}%")),
        }
    }
}

impl JsonSchema for Scale {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Scale".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "`auto` (as large as the step's weight), or a percentage of the desired count.",
            "type": "string", "pattern": "^(auto|(100|[1-9][0-9]?)%)$"
        })
    }
}

/// More is no plan that a person has read.
const MOST: usize = 50;
const DAY: Duration = Duration::from_hours(24);
const FORTNIGHT: Duration = Duration::from_hours(336);

/// Reads `steps`, `keepFor` and `gateTimeout` of `spec.rollout`.
pub(crate) fn steps(rollout: &Cursor<'_>, report: &mut Report) -> Steps {
    let mut duration = |name, least, most| chosen_duration(rollout, name, least, most, report);
    let keep_for = duration("keepFor", Duration::ZERO, DAY);
    let gate_timeout = duration("gateTimeout", Duration::from_mins(1), FORTNIGHT);
    Steps {
        steps: all(rollout, report),
        keep_for: keep_for.unwrap_or(Duration::from_mins(5)),
        gate_timeout: gate_timeout.unwrap_or(Duration::from_hours(1)),
    }
}

fn all(rollout: &Cursor<'_>, report: &mut Report) -> Vec<TrafficStep> {
    let Some(at) = rollout.member("steps") else {
        crate::envelope::missing(rollout, "steps", report);
        return Vec::new();
    };
    let elements: Vec<Cursor<'_>> = at.elements().collect();
    if elements.is_empty() || elements.len() > MOST {
        report.error(&at, format!("expected a list of 1 to {MOST} steps"));
        return Vec::new();
    }
    let read: Vec<Option<TrafficStep>> = elements.iter().map(|at| step(at, report)).collect();
    for (pair, at) in read.windows(2).zip(elements.iter().skip(1)) {
        if let [Some(before), Some(after)] = pair
            && after.weight <= before.weight
        {
            let message =
                format!("the weight must rise: {} follows {}", after.weight, before.weight);
            report.error(at, message);
        }
    }
    if let (Some(Some(last)), Some(at)) = (read.last(), elements.last()) {
        check_last(last, at, report);
    }
    read.into_iter().flatten().collect()
}

/// `None` when it has no weight, which was reported.
fn step(at: &Cursor<'_>, report: &mut Report) -> Option<TrafficStep> {
    known_members(at, &["weight", "scale", "bake", "analysis", "approve"], |_| false, report);
    let usual = TrafficStep::default();
    if at.member("weight").is_none() {
        crate::envelope::missing(at, "weight", report);
    }
    let weight = at.member("weight").and_then(|at| weight(&at, report));
    let step = TrafficStep {
        weight: weight.unwrap_or(usual.weight),
        scale: at.member("scale").and_then(|at| scale(&at, report)).unwrap_or(usual.scale),
        bake: at
            .member("bake")
            .and_then(|at| between(&at, Duration::ZERO, DAY, report))
            .unwrap_or(usual.bake),
        analysis: at.member("analysis").map(|at| names(&at, report)),
        approve: flag(at, "approve", report).unwrap_or(usual.approve),
    };
    if let Some(scale) = at.member("scale")
        && step.scale_percent() < step.weight.value()
    {
        let message = format!("fewer tasks than traffic: {} of it goes to them", step.weight);
        report.warning(&scale, message);
    }
    weight.map(|_| step)
}

/// The metrics that a step names; [`check_names`] looks for them.
fn names(at: &Cursor<'_>, report: &mut Report) -> Vec<String> {
    if !matches!(at.node.kind, Kind::List(_)) {
        let found = at.node.kind.noun();
        report.error(at, format!("expected a list of names of metrics, found {found}"));
    }
    let mut names: Vec<String> = Vec::new();
    for element in at.elements() {
        match element.text() {
            Some(name) if names.iter().any(|known| known == name) => {
                report.error(&element, "this metric is already in the list");
            }
            Some(name) => names.push(name.to_owned()),
            None => report.error(&element, "expected the name of a metric of `analysis`"),
        }
    }
    names
}

/// Each name is of a metric that is measured: a step judged by nothing would pass in silence.
pub(crate) fn check_names(rollout: &Cursor<'_>, analysis: Option<&Analysis>, report: &mut Report) {
    let metrics = analysis.map(|one| one.metrics.as_slice()).unwrap_or_default();
    let mut known: Vec<&str> = metrics.iter().map(Metric::name).collect();
    known.sort_unstable();
    known.dedup();
    let named =
        rollout.elements_of("steps").into_iter().flat_map(|step| step.elements_of("analysis"));
    for at in named {
        let Some(name) = at.text() else { continue };
        if !metrics.iter().any(|metric| metric.is_named(name)) {
            let suggestion = spelling::suggestion(name, &known);
            let message =
                format!("`{}` is no metric of spec.rollout.analysis{suggestion}", short(name));
            report.error(&at, message);
        }
    }
}

/// All traffic needs all tasks.
fn check_last(last: &TrafficStep, at: &Cursor<'_>, report: &mut Report) {
    if last.weight != Percent::ALL {
        report.error(at, "the last step must have the weight 100");
    } else if last.scale_percent() < 100.0 {
        report.error(at, "the last step must have all tasks: leave `scale` out");
    }
}

fn weight(at: &Cursor<'_>, report: &mut Report) -> Option<Percent> {
    let number = at.scalar_text().filter(|_| at.text().is_none());
    let number: Option<f64> = number.and_then(|text| text.parse().ok());
    let weight = match number {
        Some(0.0) => Some(Percent::NONE),
        number => number.and_then(Percent::new),
    };
    if weight.is_none() {
        report.error(at, "expected a percentage from 0 to 100 with at most one decimal place");
    }
    weight
}

fn scale(at: &Cursor<'_>, report: &mut Report) -> Option<Scale> {
    let scale = match &at.node.kind {
        Kind::String(text) if &**text == "auto" => Some(Scale::Auto),
        Kind::String(text) => super::read::percent(text).map(Scale::Percent),
        _ => None,
    };
    if scale.is_none() {
        let found = at.text().map(short).unwrap_or_default();
        let found = if found.is_empty() { String::new() } else { format!(", found `{found}`") };
        report.error(at, format!("expected `auto`, or `1%` to `100%` of the desired count{found}"));
    }
    scale
}
