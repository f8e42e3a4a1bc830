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
mod webhook;
mod windows;

use evenkeel_manifest::{Analysis, Condition, Limit, Metric, OnInconclusive};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

pub(crate) use asked::question;
pub use comparison::{
    Certainty, Comparison, ComparisonNumbers, ComparisonOutcome, ComparisonSettings, Counts,
    Direction, Effect, WindowPair, compare_errors, compare_values,
};
pub use series::{Evaluated, MetricId, MetricQuestion, Minutes, Series};
pub use trend::Trend;
pub use webhook::{WebhookAnswer, WebhookCall, webhook_calls};

use crate::view::View;
use crate::{HookDetail, ServiceDeployment};
use arms::{Arms, Numbers};

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
pub(crate) fn measure(
    view: &View<'_>,
    rollout: &ServiceDeployment,
    since: Timestamp,
) -> Vec<Measurement> {
    let Some(analysis) = &view.desired.rollout.analysis else { return Vec::new() };
    let began = view.primary.created_at.map_or(since, |created| created.max(since));
    let bench = Bench::of(view, rollout, analysis, began);
    let measured = analysis.metrics.iter().map(|metric| bench.measure(metric));
    let asked = webhook::heard(view, rollout, &analysis.webhooks, &bench);
    measured.chain(asked).collect()
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
    /// What the new revision gets of production traffic, in percent.
    share: f64,
    /// Whether no revision was there before: nobody can be served by it, and nobody can be hurt.
    is_first: bool,
    /// Since when it gets that, as far as is known.
    share_since: Timestamp,
    /// Until when a gate that stands open waits for numbers.
    patient_until: Option<Timestamp>,
    now: Timestamp,
}

/// What a measurement came to, without its name.
type Finding = (AnalysisResult, String);

impl<'a> Bench<'a> {
    fn of(
        view: &View<'a>,
        rollout: &ServiceDeployment,
        analysis: &'a Analysis,
        began: Timestamp,
    ) -> Self {
        let opened = opened_at(view, rollout);
        let bake = SignedDuration::try_from(rollout.step_bake()).unwrap_or_default();
        let since = opened.and_then(|opened| opened.checked_sub(bake).ok());
        Self {
            analysis,
            arms: Arms::of(view, rollout, began),
            share: rollout.target_share(),
            is_first: rollout.source_service_revisions.is_empty(),
            share_since: since.unwrap_or(began).max(began),
            patient_until: opened.and_then(|opened| opened.checked_add(analysis.patience).ok()),
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
        if self.share > 0.0 {
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

/// When the pause in this stage began: ECS tells only when it ends.
fn opened_at(view: &View<'_>, rollout: &ServiceDeployment) -> Option<Timestamp> {
    let pauses = &rollout.lifecycle_hook_details;
    let pause = pauses.iter().find(|pause| pause.awaits_a_word())?;
    let known = |pause: &HookDetail| {
        let timeout = view.desired.rollout.strategy.shift()?.gate_timeout;
        pause.expires_at?.checked_sub(timeout).ok()
    };
    known(pause).or(rollout.updated_at)
}
