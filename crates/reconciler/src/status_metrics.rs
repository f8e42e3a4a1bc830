//! The statuses on the board as metrics, made when they are collected; never keeps a series.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use evenkeel_planner::{Condition, ConditionKind, ConditionStatus, Status, WaitReason};
use prometheus::core::{Collector, Desc};
use prometheus::proto::{Gauge, LabelPair, Metric, MetricFamily, MetricType};

use crate::{StatusBoard, unplanned};

const SERVICE: [&str; 3] = ["target", "cluster", "service"];

/// Name, help, and labels besides those of the service.
type Family = (&'static str, &'static str, &'static [&'static str]);

const SERVICES: Family =
    ("evenkeel_services", "Services, by type and status of their conditions.", &["type", "status"]);
const CONDITION: Family = (
    "evenkeel_service_condition",
    "Whether a condition of a service is true. Ready is always shown, the others while true.",
    &["type"],
);
const PHASE: Family =
    ("evenkeel_rollout_phase", "1 for the phase of a rollout in flight.", &["phase"]);
const AGE: Family = (
    "evenkeel_rollout_age_seconds",
    "For how long the rollout in flight has been going on, as of the last look.",
    &[],
);
const FROZEN: Family = (
    "evenkeel_service_frozen",
    "1 while windows of time keep a rollout from starting, or from going on.",
    &[],
);
const DRIFTED: Family = (
    "evenkeel_drifted_fields",
    "Fields that are not as the manifest says and stay so for now, by the policy on them.",
    &["policy"],
);
const FAILURES: Family = (
    "evenkeel_breaker_failures",
    "Failures counted against the rollout in flight, by kind.",
    &["kind"],
);
const THRESHOLD: Family = (
    "evenkeel_breaker_threshold",
    "Failures at which the rollout in flight is judged bad, by kind.",
    &["kind"],
);

/// The series of one service are bounded by the closed lists of condition types, phases and kinds.
#[derive(Debug)]
pub(crate) struct StatusMetrics {
    descriptions: Vec<Desc>,
    board: Arc<OnceLock<Arc<StatusBoard>>>,
}

impl StatusMetrics {
    pub(crate) fn new(board: Arc<OnceLock<Arc<StatusBoard>>>) -> Result<Self, prometheus::Error> {
        let mut descriptions = vec![describe(SERVICES, &[])?];
        for family in [CONDITION, PHASE, AGE, FROZEN, DRIFTED, FAILURES, THRESHOLD] {
            descriptions.push(describe(family, &SERVICE)?);
        }
        Ok(Self { descriptions, board })
    }
}

fn describe((name, help, own): Family, before: &[&str]) -> Result<Desc, prometheus::Error> {
    let labels = before.iter().chain(own).map(ToString::to_string).collect();
    Desc::new(name.to_owned(), help.to_owned(), labels, std::collections::HashMap::new())
}

impl Collector for StatusMetrics {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut statuses = self.board.get().map(|board| board.all()).unwrap_or_default();
        // The replica that looks after them shows them.
        statuses.retain(|status| !unplanned::stands_by(status));
        vec![
            family(SERVICES, by_condition(&statuses)),
            family(CONDITION, each(&statuses, conditions)),
            family(PHASE, each(&statuses, phase)),
            family(AGE, each(&statuses, age)),
            family(FROZEN, each(&statuses, frozen)),
            family(DRIFTED, each(&statuses, drifted)),
            family(FAILURES, each(&statuses, failures)),
            family(THRESHOLD, each(&statuses, thresholds)),
        ]
    }
}

fn each(statuses: &[Arc<Status>], series: fn(&Status) -> Vec<Metric>) -> Vec<Metric> {
    statuses.iter().flat_map(|status| series(status)).collect()
}

fn by_condition(statuses: &[Arc<Status>]) -> Vec<Metric> {
    let mut counts: BTreeMap<(ConditionKind, &'static str), u32> = BTreeMap::new();
    for condition in statuses.iter().flat_map(|status| &status.conditions) {
        *counts.entry((condition.kind, word(condition.status))).or_default() += 1;
    }
    let series = |((kind, is), count): ((ConditionKind, &str), u32)| {
        metric(vec![label("status", is), label("type", &format!("{kind:?}"))], f64::from(count))
    };
    counts.into_iter().map(series).collect()
}

fn conditions(status: &Status) -> Vec<Metric> {
    let is_shown = |condition: &&Condition| {
        condition.kind == ConditionKind::Ready || condition.status == ConditionStatus::True
    };
    let series = |condition: &Condition| {
        let holds = f64::from(u8::from(condition.status == ConditionStatus::True));
        of(status, Some(("type", &format!("{:?}", condition.kind))), holds)
    };
    status.conditions.iter().filter(is_shown).map(series).collect()
}

fn phase(status: &Status) -> Vec<Metric> {
    let series = |rollout: &evenkeel_planner::RolloutStatus| {
        of(status, Some(("phase", &format!("{:?}", rollout.phase))), 1.0)
    };
    status.rollout.iter().map(series).collect()
}

fn age(status: &Status) -> Vec<Metric> {
    let since = status.rollout.as_ref().and_then(|rollout| rollout.since);
    let seconds = |since| status.observed_at.duration_since(since).as_secs_f64().max(0.0);
    since.map(|since| of(status, None, seconds(since))).into_iter().collect()
}

fn frozen(status: &Status) -> Vec<Metric> {
    let is_frozen = status.waiting.iter().any(|wait| wait.reason == WaitReason::Frozen);
    is_frozen.then(|| of(status, None, 1.0)).into_iter().collect()
}

fn drifted(status: &Status) -> Vec<Metric> {
    let mut counts: BTreeMap<&'static str, u32> = BTreeMap::new();
    for field in &status.drift {
        *counts.entry(field.policy.name()).or_default() += 1;
    }
    let series = |(policy, count)| of(status, Some(("policy", policy)), f64::from(count));
    counts.into_iter().map(series).collect()
}

fn failures(status: &Status) -> Vec<Metric> {
    breaker(status, |count| count.count)
}

fn thresholds(status: &Status) -> Vec<Metric> {
    breaker(status, |count| count.threshold)
}

fn breaker(status: &Status, value: fn(&evenkeel_planner::BreakerCount) -> u32) -> Vec<Metric> {
    if status.rollout.is_none() {
        return Vec::new();
    }
    let series = |count: &evenkeel_planner::BreakerCount| {
        of(status, Some(("kind", &format!("{:?}", count.kind))), f64::from(value(count)))
    };
    status.breaker.iter().map(series).collect()
}

/// One series about the service of `status`.
fn of(status: &Status, own: Option<(&str, &str)>, value: f64) -> Metric {
    let key = &status.key;
    let mut labels = vec![
        label("cluster", &key.cluster),
        label("service", &key.name),
        label("target", &key.target),
    ];
    labels.extend(own.map(|(name, value)| label(name, value)));
    labels.sort_by(|one, other| one.name().cmp(other.name()));
    metric(labels, value)
}

fn word(status: ConditionStatus) -> &'static str {
    match status {
        ConditionStatus::True => "true",
        ConditionStatus::False => "false",
        ConditionStatus::Unknown => "unknown",
    }
}

fn label(name: &str, value: &str) -> LabelPair {
    let mut pair = LabelPair::default();
    pair.set_name(name.to_owned());
    pair.set_value(value.to_owned());
    pair
}

fn metric(labels: Vec<LabelPair>, value: f64) -> Metric {
    let mut gauge = Gauge::default();
    gauge.set_value(value);
    let mut metric = Metric::from_gauge(gauge);
    metric.set_label(labels);
    metric
}

fn family((name, help, _): Family, metrics: Vec<Metric>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(MetricType::GAUGE);
    family.set_metric(metrics);
    family
}
