//! The judgement of numbers while traffic moves: a result for each measurement and one for all; never acts.
//!
//! It remembers nothing: every look judges all closed minutes since the deployment began.

mod arms;
mod asked;
mod compared;
mod comparison;
mod series;
mod threshold;
mod trend;
mod trial;
mod webhook;
mod windows;

use evenkeel_manifest::{Analysis, Condition, Limit, Metric, OnInconclusive};
use jiff::Timestamp;
use serde::Serialize;

pub(crate) use asked::question;
pub use comparison::{
    Certainty, Comparison, ComparisonNumbers, ComparisonOutcome, ComparisonSettings, Counts,
    Direction, Effect, WindowPair, compare_errors, compare_values,
};
pub use series::{Evaluated, MetricId, MetricQuestion, Minutes, Series};
pub use trend::Trend;
pub use webhook::{StepGate, WebhookAnswer, WebhookCall, webhook_calls};

use crate::view::View;
use arms::{Arms, Numbers};
pub(crate) use trial::{Trial, deployed};

/// What is measured of a rollout that moves traffic.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Measurement {
    /// `errorRate`, `latency p99`, …
    pub metric: String,
    pub result: AnalysisResult,
    /// The numbers, and what they may be.
    pub sentence: String,
    /// `None` of web hooks, and while nothing was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trend: Option<Trend>,
}

/// How one measurement, or all together, came out; the last one among several decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum AnalysisResult {
    /// There were enough numbers, and none speaks against the revision.
    Passed,
    /// More minutes are awaited.
    Running,
    /// There were not enough numbers for longer than `patience`, or both revisions are bad.
    Inconclusive,
    /// They could not be read; never held against the revision.
    Error,
    /// The numbers speak against the revision.
    Failed,
}

/// All measurements of one look, of what happened after `since`: the start of the rollout, or a person's
/// wish to try again. Empty where nothing is measured.
pub(crate) fn measure(view: &View<'_>, trial: &Trial, since: Timestamp) -> Vec<Measurement> {
    let Some(analysis) = &view.desired.rollout.analysis else { return Vec::new() };
    let began = view.primary.created_at.map_or(since, |created| created.max(since));
    let began = trial.since.unwrap_or(began);
    let bench = Bench::of(view, trial, analysis, began);
    let is_judged = |metric: &&Metric| trial.step.as_ref().is_none_or(|step| step.judges(metric));
    let measured = analysis.metrics.iter().filter(is_judged).map(|metric| bench.measure(metric));
    let asked = trial
        .gate
        .as_ref()
        .map(|(gate, id)| webhook::heard(view, (*gate, id), &analysis.webhooks, &bench));
    measured.chain(asked.into_iter().flatten()).collect()
}

/// What decides among several measurements.
pub(crate) fn decisive(measurements: &[Measurement]) -> Option<&Measurement> {
    measurements.iter().rev().max_by_key(|one| one.result)
}

/// The measurement that ends the rollout, if one does.
pub(crate) fn against<'a>(
    view: &View<'_>,
    measurements: &'a [Measurement],
) -> Option<&'a Measurement> {
    let analysis = view.desired.rollout.analysis.as_ref()?;
    let is_lost = |one: &&Measurement| match one.result {
        AnalysisResult::Failed => true,
        AnalysisResult::Inconclusive => analysis.on_inconclusive == OnInconclusive::Rollback,
        AnalysisResult::Passed | AnalysisResult::Running | AnalysisResult::Error => false,
    };
    measurements.iter().filter(is_lost).max_by_key(|one| one.result)
}

/// All that one look is judged by.
struct Bench<'a> {
    analysis: &'a Analysis,
    arms: Arms<'a>,
    /// Whether the new revision gets production traffic.
    has_users: bool,
    /// Whether no revision was there before: nobody can be served by it, and nobody can be hurt.
    is_first: bool,
    /// Since when it gets as much of it as now, as far as is known.
    share_since: Timestamp,
    /// Until when a gate that stands open waits for numbers.
    patient_until: Option<Timestamp>,
    now: Timestamp,
}

/// What a measurement came to, without its name.
type Finding = (AnalysisResult, String);

impl<'a> Bench<'a> {
    fn of(view: &View<'a>, trial: &Trial, analysis: &'a Analysis, began: Timestamp) -> Self {
        Self {
            analysis,
            arms: Arms::of(view, trial.group.as_deref(), began),
            has_users: trial.has_users,
            is_first: trial.is_first,
            share_since: trial.share_since.unwrap_or(began).max(began),
            patient_until: trial
                .opened
                .and_then(|opened| opened.max(began).checked_add(analysis.patience).ok()),
            now: view.now(),
        }
    }

    fn measure(&self, metric: &Metric) -> Measurement {
        let ((result, sentence), trend) = match &self.arms {
            Arms::TooEarly => (self.without("no minute is complete yet".to_owned()), None),
            Arms::Read(numbers) => match numbers.unread(&metric.source) {
                Some(why) => ((AnalysisResult::Error, why), None),
                None => (self.judge(metric, numbers), self.trend(metric, numbers)),
            },
        };
        Measurement { metric: metric.to_string(), result, sentence, trend }
    }

    fn judge(&self, metric: &Metric, numbers: &Numbers<'_>) -> Finding {
        let shown = |limit: Limit| metric.source.shown(limit.value());
        match metric.condition {
            Condition::Most(limit) => {
                let allowed = format!("at most {}", shown(limit));
                self.limited(metric, numbers, &allowed, |value| value > limit.value())
            }
            Condition::Least(limit) => {
                let allowed = format!("at least {}", shown(limit));
                self.limited(metric, numbers, &allowed, |value| value < limit.value())
            }
            Condition::AsStable => self.compared(metric, numbers),
        }
    }

    /// Nothing was measured yet: nobody waits for the numbers of traffic that there is not.
    fn without(&self, sentence: String) -> Finding {
        if self.has_users {
            return self.wait(sentence);
        }
        (AnalysisResult::Passed, format!("{sentence}, and no production traffic is on it"))
    }

    /// More numbers are awaited, until they were awaited for too long. A first deployment waits for none: its
    /// users come when it is there.
    fn wait(&self, sentence: String) -> Finding {
        if self.is_first {
            return (
                AnalysisResult::Passed,
                format!("{sentence}, and no revision was there before"),
            );
        }
        let impatient = self.is_impatient();
        let result = if impatient { AnalysisResult::Inconclusive } else { AnalysisResult::Running };
        (result, sentence)
    }

    /// Whether this gate has waited for longer than it should.
    fn is_impatient(&self) -> bool {
        self.patient_until.is_some_and(|until| self.now >= until)
    }
}
