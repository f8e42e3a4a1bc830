//! Metrics by the minute: what is asked of `CloudWatch` and what it answered; never what it means.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{CodeDeploy, Fact};

/// Metrics over closed minutes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MetricQuestion {
    pub metrics: BTreeSet<MetricId>,
    /// Of target groups whose load balancer is told by CodeDeploy's deployment group, which the same look reads.
    pub behind_the_group: BTreeSet<MetricId>,
    /// Of `Prometheus`; each is to be evaluated at the end of each minute.
    pub expressions: BTreeSet<String>,
    /// A full minute.
    pub from: Timestamp,
    /// The end of the last minute; a full minute after `from`, at most a day.
    pub until: Timestamp,
}

impl MetricQuestion {
    /// All that `CloudWatch` is to be asked, once the deployment group was `seen`.
    #[must_use]
    pub fn placed(&self, seen: &Fact<CodeDeploy>) -> Self {
        let mut question = self.clone();
        let behind = std::mem::take(&mut question.behind_the_group);
        if let Some(balancer) = seen.known().and_then(|seen| seen.group.balancer()) {
            question.metrics.extend(behind.into_iter().map(|metric| metric.behind(balancer)));
        }
        question
    }
}

/// A metric as `CloudWatch` names it, with one of its statistics, by periods of a minute.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MetricId {
    pub namespace: String,
    pub name: String,
    pub dimensions: BTreeMap<String, String>,
    /// `Sum`, `Average`, `p99`, …
    pub statistic: String,
}

impl MetricId {
    /// The same of one load balancer only.
    pub(crate) fn behind(mut self, balancer: &str) -> Self {
        self.dimensions.insert("LoadBalancer".to_owned(), balancer.to_owned());
        self
    }
}

/// What one metric was.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Series {
    pub metric: MetricId,
    /// Only minutes with data.
    pub minutes: Minutes,
}

/// What one expression of `Prometheus` came to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Evaluated {
    pub expression: String,
    /// By the start of the minute at whose end it was evaluated; only those with a number.
    pub minutes: Minutes,
}

/// By the start of the minute.
pub type Minutes = BTreeMap<Timestamp, f64>;

/// The start of the minute of `at`.
pub(crate) fn minute_of(at: Timestamp) -> Timestamp {
    let start = at.as_second().div_euclid(60) * 60;
    Timestamp::from_second(start).unwrap_or(Timestamp::MIN)
}

/// The start of the first minute that begins at `at` or later.
pub(crate) fn minute_from(at: Timestamp) -> Timestamp {
    let start = minute_of(at);
    if start == at { at } else { next_minute(start) }
}

pub(crate) fn next_minute(start: Timestamp) -> Timestamp {
    start.checked_add(jiff::SignedDuration::from_mins(1)).unwrap_or(Timestamp::MAX)
}
