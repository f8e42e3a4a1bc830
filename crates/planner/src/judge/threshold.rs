//! Numbers against a limit: so many of the newest windows over it fail the revision; never one alone
//! unless the manifest says so.

use evenkeel_manifest::{Metric, MetricSource};

use super::arms::Numbers;
use super::windows::Window;
use super::{AnalysisResult, Bench, Finding};

impl Bench<'_> {
    /// `allowed` says the limit in words, `is_over` whether a number breaks it.
    pub(super) fn limited(
        &self,
        metric: &Metric,
        numbers: &Numbers<'_>,
        allowed: &str,
        is_over: impl Fn(f64) -> bool,
    ) -> Finding {
        let source = &metric.source;
        if source.is_of_a_group() && numbers.new.is_none() {
            return (AnalysisResult::Error, UNRESOLVED.to_owned());
        }
        let windows = |group, since| {
            let mut all = numbers.windows(source, group, self.analysis.min_requests, since);
            if matches!(source, MetricSource::HealthyHosts) {
                self.leave_out_the_start(&mut all, &is_over);
            }
            self.newest(all)
        };
        let over = |windows: &[Window]| windows.iter().filter(|one| is_over(one.value)).count();
        let (new, stable) = (numbers.new.as_ref(), numbers.stable.as_ref());
        let all = windows(new, numbers.began());
        let told = told(metric, &all, over(&all), allowed);
        let failures = usize::from(self.analysis.failures);
        if let Some(first) = all.first().filter(|_| over(&all) >= failures) {
            let others = stable.map(|group| windows(Some(group), first.from)).unwrap_or_default();
            let both = source.is_of_a_group() && over(&others) >= failures;
            return if both {
                let told = format!("{told}; the stable revision is no better: a person decides");
                (AnalysisResult::Inconclusive, told)
            } else {
                (AnalysisResult::Failed, told)
            };
        }
        let since = windows(new, self.share_since);
        if all.is_empty() || (!self.has_users && since.is_empty()) {
            self.without(told)
        } else if self.has_users && since.len() < failures {
            self.wait(format!("{told}; {} of {failures} windows at this share", since.len()))
        } else if over(&since) > 0 {
            self.wait(told)
        } else {
            (AnalysisResult::Passed, told)
        }
    }

    /// A revision that starts has no healthy target yet, which the clock of progress is for. One that gets users and never had
    /// enough has no such excuse.
    fn leave_out_the_start(&self, windows: &mut Vec<Window>, is_over: impl Fn(f64) -> bool) {
        match windows.iter().position(|one| !is_over(one.value)) {
            Some(start) => drop(windows.drain(..start)),
            None if self.has_users => {}
            None => windows.clear(),
        }
    }

    /// The newest windows, as many as are looked at.
    fn newest(&self, mut windows: Vec<Window>) -> Vec<Window> {
        let spare = windows.len().saturating_sub(usize::from(self.analysis.windows));
        windows.split_off(spare)
    }
}

fn told(metric: &Metric, windows: &[Window], over: usize, allowed: &str) -> String {
    if windows.is_empty() {
        return format!("no window is full yet ({allowed})");
    }
    let values: Vec<String> = windows.iter().map(|one| metric.source.shown(one.value)).collect();
    let (values, number) = (values.join(", "), windows.len());
    format!("{values} in the last {number} windows, {over} over the limit ({allowed})")
}

/// Why a revision's numbers cannot be told from the other's.
pub(super) const UNRESOLVED: &str =
    "which target group behind an Application Load Balancer is the new revision's is not told";
