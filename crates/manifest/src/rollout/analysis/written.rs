//! A metric in the form of manifests, and its schema; never reads one.

use std::borrow::Cow;
use std::collections::BTreeMap;

use jiff::SignedDuration;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use serde_json::{Value, json};

use super::{Condition, Limit, Metric, MetricSource, Query, Statistic};

/// One thing that is measured, with `max`, `min` or `compare`.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub(super) struct WrittenMetric {
    /// What it is called, here and in `steps`; by itself it is called after what it measures.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[schemars(extend("enum" = MetricSource::WORDS))]
    metric: String,
    /// `Average`, `Sum`, `Minimum`, `Maximum`, `SampleCount`, or a percentile such as `p99`.
    #[serde(skip_serializing_if = "Option::is_none")]
    statistic: Option<String>,
    /// Not more: `1%` of an `errorRate`, `cpu` or `memory`, `800ms` of a `latency`, else a number.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("type" = ["number", "string"]))]
    max: Option<Value>,
    /// Not less, in the same units.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("type" = ["number", "string"]))]
    min: Option<Value>,
    /// `Stable`: no worse than the stable revision over the same minutes, beyond chance.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["Stable"]))]
    compare: Option<String>,
    /// A metric of `CloudWatch`, for `metric: query`.
    #[serde(skip_serializing_if = "Option::is_none")]
    query: Option<WrittenQuery>,
    /// In `PromQL`, with one number as its result, for `metric: prometheus`.
    #[serde(skip_serializing_if = "Option::is_none")]
    expression: Option<String>,
}

/// A metric as `CloudWatch` names it.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
struct WrittenQuery {
    namespace: String,
    metric_name: String,
    #[schemars(default)]
    dimensions: BTreeMap<String, String>,
    /// `Zero`: a minute without data is one of 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["Zero"]))]
    missing: Option<String>,
}

impl From<Metric> for WrittenMetric {
    fn from(metric: Metric) -> Self {
        let amount = |limit| Some(amount(&metric.source, limit));
        let (max, min, compare) = match metric.condition {
            Condition::Most(limit) => (amount(limit), None, None),
            Condition::Least(limit) => (None, amount(limit), None),
            Condition::AsStable => (None, None, Some("Stable".to_owned())),
        };
        Self {
            name: metric.name,
            metric: metric.source.word().to_owned(),
            statistic: statistic(&metric.source).map(|one| one.word().to_owned()),
            max,
            min,
            compare,
            query: match &metric.source {
                MetricSource::Query(query) => Some(query.clone().into()),
                _ => None,
            },
            expression: match metric.source {
                MetricSource::Prometheus(expression) => Some(expression),
                _ => None,
            },
        }
    }
}

impl From<Query> for WrittenQuery {
    fn from(query: Query) -> Self {
        Self {
            namespace: query.namespace,
            metric_name: query.metric_name,
            dimensions: query.dimensions,
            missing: query.missing_is_zero.then(|| "Zero".to_owned()),
        }
    }
}

fn statistic(source: &MetricSource) -> Option<&Statistic> {
    match source {
        MetricSource::Latency(statistic)
        | MetricSource::Cpu(statistic)
        | MetricSource::Memory(statistic) => Some(statistic),
        MetricSource::Query(query) => Some(&query.statistic),
        MetricSource::ErrorRate
        | MetricSource::RequestCount
        | MetricSource::HealthyHosts
        | MetricSource::Prometheus(_) => None,
    }
}

/// As it is written: with its unit where there is one.
fn amount(source: &MetricSource, limit: Limit) -> Value {
    match source {
        MetricSource::ErrorRate | MetricSource::Cpu(_) | MetricSource::Memory(_) => {
            json!(format!("{}%", limit.value()))
        }
        MetricSource::Latency(_) => {
            let duration = SignedDuration::try_from_secs_f64(limit.value()).unwrap_or_default();
            json!(format!("{duration:#}"))
        }
        MetricSource::RequestCount
        | MetricSource::HealthyHosts
        | MetricSource::Query(_)
        | MetricSource::Prometheus(_) => {
            json!(limit.value())
        }
    }
}

impl JsonSchema for Metric {
    fn schema_name() -> Cow<'static, str> {
        "Metric".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        WrittenMetric::json_schema(generator)
    }
}
