//! The newest numbers of a metric beside what they may be, for people; never decides anything.

use evenkeel_manifest::{Condition, Metric};
use serde::Serialize;

use super::Bench;
use super::arms::Numbers;

/// How a metric went since the rollout began.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Trend {
    /// One a window, oldest first, of the new revision; twenty at most.
    pub values: Vec<f64>,
    /// The last of them with its unit.
    pub latest: Option<String>,
    /// What is allowed, in words.
    pub limit: String,
    /// The same as a number; both are missing where the stable revision is the measure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub most: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub least: Option<f64>,
}

const VALUES_MAX: usize = 20;

impl Bench<'_> {
    /// `None` where the new revision's numbers cannot be told from another's.
    pub(super) fn trend(&self, metric: &Metric, numbers: &Numbers<'_>) -> Option<Trend> {
        let (source, new) = (&metric.source, numbers.new.as_ref());
        if source.is_of_a_group() && new.is_none() {
            return None;
        }
        let windows = numbers.windows(source, new, self.analysis.min_requests, numbers.began());
        let mut values: Vec<f64> =
            windows.iter().map(|one| one.value).filter(|value| value.is_finite()).collect();
        values.drain(..values.len().saturating_sub(VALUES_MAX));
        let (most, least) = match metric.condition {
            Condition::Most(limit) => (Some(limit.value()), None),
            Condition::Least(limit) => (None, Some(limit.value())),
            Condition::AsStable => (None, None),
        };
        let shown = |value: f64| source.shown(value);
        let limit = match (most, least) {
            (Some(most), _) => format!("at most {}", shown(most)),
            (None, Some(least)) => format!("at least {}", shown(least)),
            (None, None) => "as the stable revision".to_owned(),
        };
        let latest = values.last().copied().map(shown);
        Some(Trend { values, latest, limit, most, least })
    }
}
