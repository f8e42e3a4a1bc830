//! The statuses on the board as metrics, made when they are collected; never keeps a series.

use std::collections::BTreeMap;
use std::sync::Arc;

use evenkeel_planner::{Condition, ConditionKind, ConditionStatus, Status, WaitReason};
use jiff::Timestamp;
use prometheus::proto::{Gauge, LabelPair, Metric, MetricFamily, MetricType};
use prometheus::{Registry, TextEncoder};

use crate::{StatusBoard, unplanned};

/// Name and help.
type Family = (&'static str, &'static str);

const SERVICES: Family = ("evenkeel_services", "Services, by type and status of their conditions.");
const CONDITION: Family = (
    "evenkeel_service_condition",
    "Whether a condition of a service is true. Ready is always shown, the others while true.",
);
const PHASE: Family = ("evenkeel_rollout_phase", "1 for the phase of a rollout in flight.");
const AGE: Family = (
    "evenkeel_rollout_age_seconds",
    "For how long the rollout in flight has been going on, as of the last look.",
);
const FROZEN: Family = (
    "evenkeel_service_frozen",
    "1 while windows of time keep a rollout from starting, or from going on.",
);
const PRUNING: Family = (
    "evenkeel_service_pruning",
    "1 while a service that no manifest names any more is on its way out.",
);
const DRIFTED: Family = (
    "evenkeel_drifted_fields",
    "Fields that are not as the manifest says and stay so for now, by the policy on them.",
);
const FAILURES: Family =
    ("evenkeel_breaker_failures", "Failures counted against the rollout in flight, by kind.");
const THRESHOLD: Family = (
    "evenkeel_breaker_threshold",
    "Failures at which the rollout in flight is judged bad, by kind.",
);

/// The series of one service in one family.
type Series = fn(&Status) -> Vec<Metric>;

/// Families of which every service has its own series, bounded by the closed lists of condition types, phases and
/// kinds.
const OF_EACH: [(Family, Series); 7] = [
    (CONDITION, conditions),
    (PHASE, phase),
    (FROZEN, frozen),
    (PRUNING, pruning),
    (DRIFTED, drifted),
    (FAILURES, failures),
    (THRESHOLD, thresholds),
];

/// Services whose series exist at a time: those of ten thousand take forty mebibytes before they are text.
const AT_A_TIME: usize = 250;

/// All that is registered, and the statuses on the board, in Prometheus's text format.
///
/// # Errors
///
/// A metric that cannot be written, which says what is wrong with it.
pub fn metrics_text(registry: &Registry, board: &StatusBoard) -> Result<String, prometheus::Error> {
    let mut text = TextEncoder::new().encode_to_string(&registry.gather())?;
    let mut statuses = board.all();
    // The replica that looks after them shows them.
    statuses.retain(|status| !unplanned::stands_by(status));
    let counts = [by_condition(&statuses)].into_iter();
    write(&mut text, SERVICES, counts)?;
    for (family, series) in OF_EACH {
        let some = |some: &[Arc<Status>]| some.iter().flat_map(|status| series(status)).collect();
        write(&mut text, family, statuses.chunks(AT_A_TIME).map(some))?;
    }
    let ages = |some: &[(Arc<Status>, Timestamp)]| some.iter().map(age).collect();
    write(&mut text, AGE, board.rollouts().chunks(AT_A_TIME).map(ages))?;
    Ok(text)
}

/// Adds the series of a family, some at a time.
fn write(
    text: &mut String,
    family: Family,
    portions: impl Iterator<Item = Vec<Metric>>,
) -> Result<(), prometheus::Error> {
    for (index, metrics) in portions.filter(|some| !some.is_empty()).enumerate() {
        let added = TextEncoder::new().encode_to_string(&[of_family(family, metrics)])?;
        // What the family is stands before its first series alone.
        let is_told = |line: &&str| index == 0 || !line.starts_with("# ");
        text.extend(added.split_inclusive('\n').filter(is_told));
    }
    Ok(())
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

fn age((status, began): &(Arc<Status>, Timestamp)) -> Metric {
    of(status, None, status.observed_at.duration_since(*began).as_secs_f64().max(0.0))
}

fn frozen(status: &Status) -> Vec<Metric> {
    while_it_waits(status, WaitReason::Frozen)
}

fn pruning(status: &Status) -> Vec<Metric> {
    while_it_waits(status, WaitReason::Pruning)
}

fn while_it_waits(status: &Status, reason: WaitReason) -> Vec<Metric> {
    let waits = status.waiting.iter().any(|wait| wait.reason == reason);
    waits.then(|| of(status, None, 1.0)).into_iter().collect()
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

fn of_family((name, help): Family, metrics: Vec<Metric>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(MetricType::GAUGE);
    family.set_metric(metrics);
    family
}

#[cfg(test)]
mod tests {
    use evenkeel_manifest::ServiceKey;
    use evenkeel_planner::Wait;

    use super::*;

    /// It is not ready for a day and longer, and nothing is amiss.
    #[test]
    fn a_service_on_its_way_out_is_told_apart_from_one_that_is_not_ready() {
        let board = StatusBoard::new();
        for (name, reason) in [("gone", WaitReason::Pruning), ("kept", WaitReason::PruneHeld)] {
            let key = ServiceKey::new("prod", name);
            let mut status = Status::invalid(key, &[], Timestamp::UNIX_EPOCH, None);
            let sentence = "until tomorrow".to_owned();
            status.waiting = vec![Wait { reason, sentence, until: None }];
            board.publish(status);
        }
        let text = metrics_text(&Registry::new(), &board).expect("is valid text");
        let lines: Vec<&str> =
            text.lines().filter(|line| line.starts_with("evenkeel_service_pruning{")).collect();
        let labels = r#"cluster="prod",service="gone",target="default""#;
        assert_eq!(lines, [format!("evenkeel_service_pruning{{{labels}}} 1")]);
    }
}
