//! The new revision against the stable one over the same closed minutes; never against an earlier time.

use evenkeel_manifest::{Condition, Metric, MetricSource};
use jiff::Timestamp;

use super::arms::Numbers;
use super::asked::BalancedGroup;
use super::comparison::{
    Comparison, ComparisonOutcome, ComparisonSettings, Counts, Direction, WindowPair,
    compare_errors, compare_values,
};
use super::threshold::UNRESOLVED;
use super::{AnalysisResult, Bench, Finding};

/// A percentile of fewer requests is any one of them.
const LATENCY_REQUESTS: f64 = 10.0;

impl Bench<'_> {
    pub(super) fn compared(&self, metric: &Metric, numbers: &Numbers<'_>) -> Finding {
        let (Some(new), Some(stable)) = (&numbers.new, &numbers.stable) else {
            return (AnalysisResult::Error, UNRESOLVED.to_owned());
        };
        let settings = self.settings();
        let comparison = match &metric.source {
            MetricSource::Latency(statistic) => {
                let values = |group| timely(numbers, group, statistic.word());
                compare_values(&values(stable), &values(new), Direction::Up, &settings)
            }
            _ => compare_errors(&pairs(numbers, stable, new), &settings),
        };
        self.settled(metric, numbers, comparison)
    }

    /// All comparisons of a rollout together are wrong about a good revision as often as one may be.
    fn settings(&self) -> ComparisonSettings {
        let usual = ComparisonSettings::default();
        let metrics = self.analysis.metrics.iter();
        let comparisons = metrics.filter(|one| one.condition == Condition::AsStable).count();
        let number = u32::try_from(comparisons).unwrap_or(u32::MAX).max(1);
        ComparisonSettings {
            alpha: usual.alpha / f64::from(number),
            min_requests: f64::from(self.analysis.min_requests),
            ..usual
        }
    }

    /// As good as the stable one is only who was measured with the traffic that it has now.
    fn settled(&self, metric: &Metric, numbers: &Numbers<'_>, comparison: Comparison) -> Finding {
        let Comparison { outcome, evidence, .. } = comparison;
        let (least, failures) = (self.analysis.min_requests, usize::from(self.analysis.failures));
        let windows =
            numbers.windows(&metric.source, numbers.new.as_ref(), least, self.share_since).len();
        match outcome {
            ComparisonOutcome::Worse => (AnalysisResult::Failed, evidence),
            ComparisonOutcome::TooLittle => self.without(evidence),
            ComparisonOutcome::NotWorse if self.has_users && windows < failures => {
                self.wait(format!("{evidence}; {windows} of {failures} windows at this share"))
            }
            ComparisonOutcome::NotWorse => (AnalysisResult::Passed, evidence),
        }
    }
}

/// Every minute in which both have requests.
fn pairs(numbers: &Numbers<'_>, stable: &BalancedGroup, new: &BalancedGroup) -> Vec<WindowPair> {
    let of = |group| (numbers.requests(group), numbers.errors(group));
    let (stable, new) = (of(stable), of(new));
    let counts = |(requests, errors): &(super::Minutes, super::Minutes), minute: &Timestamp| {
        let requests = *requests.get(minute)?;
        Some(Counts { requests, errors: errors.get(minute).copied().unwrap_or(0.0) })
    };
    let pair =
        |minute| Some(WindowPair { stable: counts(&stable, minute)?, new: counts(&new, minute)? });
    numbers.minutes().iter().filter_map(pair).collect()
}

/// One value for each minute; NaN where too few requests were answered.
fn timely(numbers: &Numbers<'_>, group: &BalancedGroup, statistic: &str) -> Vec<f64> {
    let (requests, times) = (numbers.requests(group), numbers.response_times(group, statistic));
    let value = |minute: &Timestamp| {
        let enough = requests.get(minute).is_some_and(|number| *number >= LATENCY_REQUESTS);
        times.get(minute).copied().filter(|_| enough).unwrap_or(f64::NAN)
    };
    numbers.minutes().iter().map(value).collect()
}
