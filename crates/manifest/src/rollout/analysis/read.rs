//! `spec.rollout.analysis` from its nodes; never takes a metric that it could not measure.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::SignedDuration;

use super::{
    Analysis, Condition, Limit, Metric, MetricSource, OnInconclusive, Query, Statistic, Webhook,
};
use crate::envelope::{known_members, missing};
use crate::node::Cursor;
use crate::problem::Report;
use crate::rollout::approvals::gates;
use crate::rollout::read::{between, choice, chosen, short};
use crate::spelling;

const ANALYSIS: [&str; 8] = [
    "metrics",
    "webhooks",
    "windows",
    "failures",
    "minRequests",
    "delay",
    "patience",
    "onInconclusive",
];
const METRIC: [&str; 8] =
    ["name", "metric", "statistic", "max", "min", "compare", "query", "expression"];
const WEBHOOK: [&str; 3] = ["url", "at", "timeout"];
const QUERY: [&str; 4] = ["namespace", "metricName", "dimensions", "missing"];

/// Web hooks of one service, each asked at every gate it is for.
const WEBHOOKS_MAX: usize = 10;

/// Metrics of one service; a call carries 500 queries, and each metric takes up to four.
const METRICS_MAX: usize = 50;

/// `None` when nothing could be measured by it, which is reported.
pub(crate) fn analysis(at: &Cursor<'_>, report: &mut Report) -> Option<Analysis> {
    known_members(at, &ANALYSIS, |_| false, report);
    let webhooks: Vec<Webhook> =
        at.elements_of("webhooks").iter().filter_map(|at| webhook(at, report)).collect();
    if let Some(at) = at.member("webhooks").filter(|_| webhooks.len() > WEBHOOKS_MAX) {
        report.error(&at, format!("at most {WEBHOOKS_MAX} web hooks"));
    }
    let is_asked = !webhooks.is_empty() && at.member("metrics").is_none();
    let metrics = if is_asked { Vec::new() } else { metrics(at, report)? };
    let usual = Analysis { webhooks, ..Analysis::of(metrics) };
    let windows = count(at, "windows", 60, report).unwrap_or(u32::from(usual.windows));
    let failures = count(at, "failures", 60, report).unwrap_or(u32::from(usual.failures));
    if failures > windows {
        let place = at.member("failures").or_else(|| at.member("windows"));
        let message = format!("{failures} of {windows} windows can never be over the limit");
        report.error(place.as_ref().unwrap_or(at), message);
    }
    Some(Analysis {
        windows: u8::try_from(windows).unwrap_or(u8::MAX),
        failures: u8::try_from(failures).unwrap_or(u8::MAX),
        min_requests: count(at, "minRequests", 1_000_000_000, report).unwrap_or(usual.min_requests),
        delay: span(at, "delay", Duration::ZERO, 1, report).unwrap_or(usual.delay),
        patience: span(at, "patience", Duration::from_mins(1), 336, report)
            .unwrap_or(usual.patience),
        on_inconclusive: {
            let known = [("Hold", OnInconclusive::Hold), ("Rollback", OnInconclusive::Rollback)];
            chosen(at, "onInconclusive", &known, report).unwrap_or(usual.on_inconclusive)
        },
        ..usual
    })
}

fn span(
    parent: &Cursor<'_>,
    name: &str,
    least: Duration,
    hours: u64,
    report: &mut Report,
) -> Option<Duration> {
    between(&parent.member(name)?, least, Duration::from_hours(hours), report)
}

fn count(parent: &Cursor<'_>, name: &str, most: u32, report: &mut Report) -> Option<u32> {
    let at = parent.member(name)?;
    let number = at.integer().and_then(|number| u32::try_from(number).ok());
    let number = number.filter(|number| (1..=most).contains(number));
    if number.is_none() {
        report.error(&at, format!("expected a whole number from 1 to {most}"));
    }
    number
}

fn metrics(analysis: &Cursor<'_>, report: &mut Report) -> Option<Vec<Metric>> {
    let Some(list) = analysis.member("metrics") else {
        missing(analysis, "metrics", report);
        return None;
    };
    let elements: Vec<_> = list.elements().collect();
    if !(1..=METRICS_MAX).contains(&elements.len()) {
        let message =
            format!("expected a list of 1 to {METRICS_MAX} metrics: an empty one decides nothing");
        report.error(&list, message);
        return None;
    }
    let metrics: Vec<Metric> =
        elements.iter().filter_map(|element| metric(element, report)).collect();
    check_distinct(&elements, report);
    (!metrics.is_empty()).then_some(metrics)
}

fn metric(at: &Cursor<'_>, report: &mut Report) -> Option<Metric> {
    known_members(at, &METRIC, |_| false, report);
    let source = source(at, report)?;
    let condition = condition(at, &source, report)?;
    let name = at.member("name").and_then(|at| name(&at, report));
    Some(Metric { name, source, condition })
}

fn name(at: &Cursor<'_>, report: &mut Report) -> Option<String> {
    let is_plain = |text: &&str| {
        (1..=64).contains(&text.len())
            && text.chars().all(|one| one.is_ascii_alphanumeric() || "-_. ".contains(one))
            && text.trim() == *text
    };
    let text = at.text().filter(is_plain);
    match text {
        Some(word) if MetricSource::WORDS.contains(&word) => {
            report.error(at, format!("`{word}` names all metrics of that kind: choose another"));
        }
        Some(_) => {}
        None => report.error(at, "expected 1 to 64 letters, digits, spaces, `-`, `_` and `.`"),
    }
    text.map(str::to_owned)
}

fn check_distinct(metrics: &[Cursor<'_>], report: &mut Report) {
    let mut seen = Vec::new();
    for at in metrics.iter().filter_map(|metric| metric.member("name")) {
        let Some(name) = at.text() else { continue };
        if seen.iter().any(|known| known == name) {
            report.error(&at, format!("another metric is called `{}`", short(name)));
        }
        seen.push(name.to_owned());
    }
}

fn source(at: &Cursor<'_>, report: &mut Report) -> Option<MetricSource> {
    let Some(kind) = at.member("metric") else {
        missing(at, "metric", report);
        return None;
    };
    let word = choice(&kind, &MetricSource::WORDS.map(|word| (word, word)), report)?;
    refuse(at, "query", word == "query", "only for `metric: query`", report);
    let is_expression = word == "prometheus";
    refuse(at, "expression", is_expression, "only for `metric: prometheus`", report);
    let has_statistic = ["latency", "cpu", "memory", "query"].contains(&word);
    refuse(at, "statistic", has_statistic, &format!("{word} has none to choose"), report);
    let statistic = statistic(at, word, report)?;
    Some(match word {
        "errorRate" => MetricSource::ErrorRate,
        "latency" => MetricSource::Latency(statistic),
        "requestCount" => MetricSource::RequestCount,
        "healthyHosts" => MetricSource::HealthyHosts,
        "cpu" => MetricSource::Cpu(statistic),
        "memory" => MetricSource::Memory(statistic),
        "prometheus" => MetricSource::Prometheus(expression(at, report)?),
        _ => MetricSource::Query(query(at, statistic, report)?),
    })
}

fn webhook(at: &Cursor<'_>, report: &mut Report) -> Option<Webhook> {
    known_members(at, &WEBHOOK, |_| false, report);
    let Some(url) = at.member("url") else {
        missing(at, "url", report);
        return None;
    };
    let is_web = |text: &&str| {
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        rest.is_some_and(|rest| !rest.is_empty()) && text.len() <= 2_048 && text.is_ascii()
    };
    let Some(text) = url.text().filter(is_web) else {
        report.error(&url, "expected a URL that begins with https:// or http://");
        return None;
    };
    let usual = Webhook::of(text);
    let timeout = at
        .member("timeout")
        .and_then(|at| between(&at, Duration::from_secs(1), Duration::from_secs(10), report));
    Some(Webhook {
        at: at.member("at").map(|at| gates(&at, report)).unwrap_or(usual.at),
        timeout: timeout.unwrap_or(usual.timeout),
        url: usual.url,
    })
}

fn refuse(at: &Cursor<'_>, name: &str, allowed: bool, message: &str, report: &mut Report) {
    if let Some(member) = at.member(name).filter(|_| !allowed) {
        report.error(&member, message.to_owned());
    }
}

/// A wrong one is reported and `None`.
fn statistic(at: &Cursor<'_>, word: &str, report: &mut Report) -> Option<Statistic> {
    let Some(member) = at.member("statistic") else {
        let usual = if word == "latency" { "p99" } else { "Average" };
        return Statistic::new(usual);
    };
    let statistic = member.text().and_then(Statistic::new);
    if statistic.is_none() {
        let message = "expected `Average`, `Sum`, `Minimum`, `Maximum`, `SampleCount` or a percentile \
                       such as `p99`";
        report.error(&member, message);
    }
    statistic
}

fn expression(metric: &Cursor<'_>, report: &mut Report) -> Option<String> {
    const LONGEST: usize = 4_096;
    let Some(at) = metric.member("expression") else {
        missing(metric, "expression", report);
        return None;
    };
    let text = at.text().filter(|text| !text.trim().is_empty() && text.len() <= LONGEST);
    if text.is_none() {
        report.error(&at, format!("expected an expression of 1 to {LONGEST} bytes"));
    }
    text.map(str::to_owned)
}

fn query(metric: &Cursor<'_>, statistic: Statistic, report: &mut Report) -> Option<Query> {
    let Some(at) = metric.member("query") else {
        missing(metric, "query", report);
        return None;
    };
    known_members(&at, &QUERY, |_| false, report);
    let namespace = word(&at, "namespace", report);
    let metric_name = word(&at, "metricName", report);
    let dimensions = dimensions(&at, report);
    let missing_is_zero =
        at.member("missing").is_some_and(|at| choice(&at, &[("Zero", ())], report).is_some());
    let (namespace, metric_name) = (namespace?, metric_name?);
    Some(Query { namespace, metric_name, dimensions, statistic, missing_is_zero })
}

/// 1 to 255 characters. Source: `Metric` in the `CloudWatch` API reference.
fn word(parent: &Cursor<'_>, name: &str, report: &mut Report) -> Option<String> {
    let Some(at) = parent.member(name) else {
        missing(parent, name, report);
        return None;
    };
    let text = at.scalar_text().filter(|text| (1..=255).contains(&text.chars().count()));
    if text.is_none() {
        report.error(&at, "expected a name of 1 to 255 characters");
    }
    text
}

/// At most 30. Source: `Metric` in the `CloudWatch` API reference.
fn dimensions(query: &Cursor<'_>, report: &mut Report) -> BTreeMap<String, String> {
    const MOST: usize = 30;
    let Some(at) = query.member("dimensions") else { return BTreeMap::new() };
    let names: Vec<&str> = at.members().map(|(name, _)| name).collect();
    if names.is_empty() || names.len() > MOST {
        report.error(&at, format!("expected 1 to {MOST} dimensions, each with a name and a value"));
    }
    let pair = |name: &&str| Some(((*name).to_owned(), word(&at, name, report)?));
    names.iter().filter_map(pair).collect()
}

fn condition(at: &Cursor<'_>, source: &MetricSource, report: &mut Report) -> Option<Condition> {
    const NAMES: [&str; 3] = ["max", "min", "compare"];
    let mut given = NAMES.iter().filter_map(|name| Some((*name, at.member(name)?)));
    let Some((name, member)) = given.next() else {
        let choices = spelling::choices(&NAMES);
        report.error(at, format!("{choices} is missing: nothing could be decided by it"));
        return None;
    };
    if let Some((_, second)) = given.next() {
        report.error(&second, "one condition a metric: list the metric again for another");
    }
    match name {
        "compare" => compare(&member, source, report),
        "max" => limit(&member, source, report).map(Condition::Most),
        _ => limit(&member, source, report).map(Condition::Least),
    }
}

fn compare(at: &Cursor<'_>, source: &MetricSource, report: &mut Report) -> Option<Condition> {
    choice(at, &[("Stable", ())], report)?;
    if matches!(source, MetricSource::ErrorRate | MetricSource::Latency(_)) {
        return Some(Condition::AsStable);
    }
    let message = "only `errorRate` and `latency` are known of both revisions and compared";
    report.error(at, message);
    None
}

fn limit(at: &Cursor<'_>, source: &MetricSource, report: &mut Report) -> Option<Limit> {
    let (value, expected) = match source {
        MetricSource::ErrorRate | MetricSource::Cpu(_) | MetricSource::Memory(_) => (
            percent(at).filter(|value| (0.0..=1000.0).contains(value)),
            "a percentage such as `1%`",
        ),
        MetricSource::Latency(_) => (seconds(at), "a duration with its unit, such as `800ms`"),
        MetricSource::RequestCount | MetricSource::HealthyHosts => {
            (number(at).filter(|value| *value >= 0.0), "a number from 0 up")
        }
        MetricSource::Query(_) | MetricSource::Prometheus(_) => (number(at), "a number"),
    };
    let limit = value.and_then(Limit::new);
    if limit.is_none() {
        let found = at.scalar_text().map(|text| format!(", found `{}`", short(&text)));
        report.error(at, format!("expected {expected}{}", found.unwrap_or_default()));
    }
    limit
}

fn percent(at: &Cursor<'_>) -> Option<f64> {
    at.text()?.strip_suffix('%')?.trim_end().parse().ok()
}

fn seconds(at: &Cursor<'_>) -> Option<f64> {
    let duration: SignedDuration = at.text()?.parse().ok()?;
    duration.is_positive().then(|| duration.as_secs_f64())
}

fn number(at: &Cursor<'_>) -> Option<f64> {
    at.scalar_text().filter(|_| at.text().is_none())?.parse().ok()
}
