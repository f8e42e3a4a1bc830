//! What is measured while traffic moves and what the numbers may be; never measures.

pub(crate) mod read;
mod written;

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use super::Gate;

/// What is measured while traffic moves, and when the numbers speak against the new revision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct Analysis {
    /// At least one, or a web hook.
    #[schemars(default)]
    pub metrics: Vec<Metric>,
    /// Who is asked at gates.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default)]
    pub webhooks: Vec<Webhook>,
    /// Of this many newest windows …
    #[schemars(default = "default_windows", range(min = 1, max = 60))]
    pub windows: u8,
    /// … so many over the limit fail the revision; a gate opens after as many without one over it.
    #[schemars(default = "default_failures", range(min = 1, max = 60))]
    pub failures: u8,
    /// A window of `errorRate` and `latency` is as many minutes as bring this many requests.
    #[schemars(default = "default_min_requests", range(min = 1))]
    pub min_requests: u32,
    /// How long after its end a minute is complete in `CloudWatch`: `0s` to `1h`.
    #[serde(serialize_with = "super::friendly")]
    #[schemars(with = "String", default = "default_delay")]
    pub delay: Duration,
    /// How long a gate waits for numbers that suffice: `1m` to `336h`.
    #[serde(serialize_with = "super::friendly")]
    #[schemars(with = "String", default = "default_patience")]
    pub patience: Duration,
    /// What follows when they still do not.
    #[schemars(default)]
    pub on_inconclusive: OnInconclusive,
}

impl Analysis {
    /// With the defaults.
    pub fn of(metrics: Vec<Metric>) -> Self {
        Self {
            metrics,
            webhooks: Vec::new(),
            windows: 3,
            failures: 2,
            min_requests: 100,
            delay: Duration::from_mins(2),
            patience: Duration::from_mins(15),
            on_inconclusive: OnInconclusive::Hold,
        }
    }
}

fn default_windows() -> u8 {
    3
}

fn default_failures() -> u8 {
    2
}

fn default_min_requests() -> u32 {
    100
}

fn default_delay() -> String {
    "2m".to_owned()
}

fn default_patience() -> String {
    "15m".to_owned()
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub enum OnInconclusive {
    /// The gate stays shut until a person opens it or ECS's own time-out returns.
    #[default]
    Hold,
    /// The revision is rejected.
    Rollback,
}

/// Somebody who is asked at gates, by HTTP: a smoke test, a confirmation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct Webhook {
    /// `https://…` or `http://…`; the daemon's configuration says which may be asked.
    #[schemars(regex(pattern = "^https?://"))]
    pub url: String,
    /// The gates at which it is asked.
    #[schemars(default = "all_gates")]
    pub at: Vec<Gate>,
    /// How long an answer may take: `1s` to `10s`.
    #[serde(serialize_with = "super::friendly")]
    #[schemars(with = "String", default = "default_timeout")]
    pub timeout: Duration,
}

impl Webhook {
    /// Asked at all gates.
    pub fn of(url: &str) -> Self {
        Self { url: url.to_owned(), at: Gate::ALL.to_vec(), timeout: Duration::from_secs(5) }
    }

    /// For people: without what follows a `?`, which may be a secret.
    pub fn shown(&self) -> &str {
        self.url.split('?').next().unwrap_or_default()
    }
}

fn all_gates() -> [Gate; 3] {
    Gate::ALL
}

fn default_timeout() -> String {
    "5s".to_owned()
}

/// One thing that is measured, with what it may be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(into = "written::WrittenMetric")]
pub struct Metric {
    /// What it is called; `None`: what it measures.
    pub name: Option<String>,
    pub source: MetricSource,
    pub condition: Condition,
}

/// Where numbers come from. The first four are of the new revision's target group, in an Application
/// Load Balancer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetricSource {
    /// Answers of the targets with 5xx, in percent of the requests.
    ErrorRate,
    /// Seconds until the target answers.
    Latency(Statistic),
    /// Requests a minute.
    RequestCount,
    /// Healthy targets, the least of a minute.
    HealthyHosts,
    /// Of the whole service, in percent.
    Cpu(Statistic),
    /// Of the whole service, in percent.
    Memory(Statistic),
    /// A metric of `CloudWatch`, by the minute.
    Query(Query),
    /// What an expression of `Prometheus` comes to at the end of each minute.
    Prometheus(String),
}

/// `CloudWatch`'s word for a statistic: `Average`, `p99`, `Sum`, …
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Statistic(String);

/// A metric as `CloudWatch` names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    pub namespace: String,
    pub metric_name: String,
    pub dimensions: BTreeMap<String, String>,
    pub statistic: Statistic,
    /// Whether a minute without data is one of 0, as for counters of errors.
    pub missing_is_zero: bool,
}

/// What the numbers of the new revision may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    Most(Limit),
    Least(Limit),
    /// No worse than the stable revision's over the same minutes, beyond chance.
    AsStable,
}

/// A finite number in the unit of its source: percent, seconds, or whatever the metric counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limit(f64);

impl Eq for Limit {}

impl Limit {
    /// `None` unless finite.
    pub fn new(value: f64) -> Option<Self> {
        value.is_finite().then_some(Self(value))
    }

    pub fn value(self) -> f64 {
        self.0
    }
}

impl Statistic {
    /// `None` for what `CloudWatch` does not compute. Source: CloudWatch User Guide, statistics
    /// definitions; of the percentile forms only the plain one.
    pub fn new(word: &str) -> Option<Self> {
        const PLAIN: [&str; 5] = ["Average", "Sum", "Minimum", "Maximum", "SampleCount"];
        let percentile = || {
            let number = word.strip_prefix('p')?;
            let is_usual =
                number.len() <= 5 && number.chars().all(|c| c.is_ascii_digit() || c == '.');
            number.parse().ok().filter(|n| is_usual && (0.0..=100.0).contains(n))
        };
        (PLAIN.contains(&word) || percentile().is_some()).then(|| Self(word.to_owned()))
    }

    /// The mean of all values.
    pub fn average() -> Self {
        Self("Average".to_owned())
    }

    pub fn word(&self) -> &str {
        &self.0
    }
}

impl MetricSource {
    /// The word of manifests.
    pub fn word(&self) -> &'static str {
        match self {
            Self::ErrorRate => "errorRate",
            Self::Latency(_) => "latency",
            Self::RequestCount => "requestCount",
            Self::HealthyHosts => "healthyHosts",
            Self::Cpu(_) => "cpu",
            Self::Memory(_) => "memory",
            Self::Query(_) => "query",
            Self::Prometheus(_) => "prometheus",
        }
    }

    /// Whether its numbers are of one target group, and so of one revision.
    pub fn is_of_a_group(&self) -> bool {
        matches!(self, Self::ErrorRate | Self::Latency(_) | Self::RequestCount | Self::HealthyHosts)
    }

    /// A number of this source, for people.
    pub fn shown(&self, value: f64) -> String {
        match self {
            Self::ErrorRate | Self::Cpu(_) | Self::Memory(_) => format!("{}%", rounded(value)),
            Self::Latency(_) => format!("{}s", rounded(value)),
            Self::RequestCount | Self::HealthyHosts | Self::Query(_) | Self::Prometheus(_) => {
                rounded(value)
            }
        }
    }
}

/// Four digits after the point at most, without trailing zeros.
fn rounded(value: f64) -> String {
    let text = format!("{value:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

impl Metric {
    /// Its name, or the word of what it measures.
    pub fn name(&self) -> &str {
        self.name.as_deref().unwrap_or_else(|| self.source.word())
    }

    /// A word such as `latency` names all metrics that measure it.
    pub(crate) fn is_named(&self, name: &str) -> bool {
        self.name.as_deref() == Some(name) || self.source.word() == name
    }
}

impl std::fmt::Display for Metric {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(name) = &self.name {
            return f.write_str(name);
        }
        match &self.source {
            MetricSource::Latency(statistic)
            | MetricSource::Cpu(statistic)
            | MetricSource::Memory(statistic) => {
                write!(f, "{} {}", self.source.word(), statistic.word())
            }
            MetricSource::Query(query) => {
                write!(f, "{} {}", query.metric_name, query.statistic.word())
            }
            MetricSource::Prometheus(expression) => f.write_str(expression),
            MetricSource::ErrorRate | MetricSource::RequestCount | MetricSource::HealthyHosts => {
                f.write_str(self.source.word())
            }
        }
    }
}

impl MetricSource {
    /// All words of manifests.
    pub const WORDS: [&str; 8] = [
        "errorRate",
        "latency",
        "requestCount",
        "healthyHosts",
        "cpu",
        "memory",
        "query",
        "prometheus",
    ];
}
