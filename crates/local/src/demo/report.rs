//! The result of the demo: one row for each revision, and what was not as it should be.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::strategy::DemoStrategy;

/// What became of one revision.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) outcome: Outcome,
    pub(super) reason: String,
    /// Real seconds from the manifest's save to the verdict.
    pub(super) seconds_to_verdict: f64,
    /// Tasks begun with a bad revision; 0 for a good one.
    pub(super) bad_tasks_started: u64,
    pub(super) requests: u64,
    pub(super) failed_requests: u64,
    /// Calls of the daemon, counted at the door.
    pub(super) api_calls: u64,
    /// `None` where no traffic moves.
    pub(super) figures: Option<Figures>,
}

/// What a revision got of production traffic.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Figures {
    /// Answers by what the application calls itself.
    pub(super) answered_by: BTreeMap<String, u64>,
    pub(super) steps: Vec<Step>,
    /// Of the production requests between a bad revision's first task and the end of its rollback,
    /// the part that was sent to it: 0 to 1.
    pub(super) share_to_bad: Option<f64>,
    /// Requests that failed because a bad revision got them.
    pub(super) failed_at_bad: u64,
    /// Real seconds from the verdict to the last request that was sent to it, 0 if none was sent
    /// after it; `None` if none ever was.
    pub(super) verdict_to_zero: Option<f64>,
}

/// The time in which the weights gave a revision one share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) percent: u32,
    pub(super) requests: u64,
    pub(super) answered_by_it: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Succeeded,
    RolledBack,
    /// Neither, in the time that the demo gives it.
    Undecided,
}

impl Outcome {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::RolledBack => "rolled_back",
            Self::Undecided => "undecided",
        }
    }
}

/// The rows, and one sentence for each thing that differs from what should be.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Report {
    pub(super) strategy: DemoStrategy,
    /// How many seconds pass in the region in each real one.
    pub(super) speed: f64,
    pub(super) rows: Vec<Row>,
    pub(super) differences: Vec<String>,
}

impl Row {
    /// Requests that failed because a bad revision got them.
    pub(super) fn failed_at_bad(&self) -> u64 {
        self.figures.as_ref().map_or(0, |figures| figures.failed_at_bad)
    }

    fn json(&self) -> Value {
        let mut row = json!({
            "name": self.name,
            "outcome": self.outcome.word(),
            "reason": self.reason,
            "seconds_to_verdict": rounded(self.seconds_to_verdict, 10.0),
            "bad_tasks_started": self.bad_tasks_started,
            "requests": self.requests,
            "failed_requests": self.failed_requests,
            "api_calls": self.api_calls,
        });
        if let (Some(row), Some(Value::Object(figures))) =
            (row.as_object_mut(), self.figures.as_ref().map(Figures::json))
        {
            row.extend(figures);
        }
        row
    }
}

impl Figures {
    fn json(&self) -> Value {
        let step = |step: &Step| {
            json!({
                "weight_percent": step.percent,
                "requests": step.requests,
                "answered_by_it": step.answered_by_it,
            })
        };
        json!({
            "answered_by": self.answered_by,
            "steps": self.steps.iter().filter(|step| step.requests > 0).map(step).collect::<Vec<_>>(),
            "failed_at_bad": self.failed_at_bad,
            "share_of_requests_to_bad": self.share_to_bad.map(|share| rounded(share, 1e4)),
            "seconds_from_verdict_to_zero_weight":
                self.verdict_to_zero.map(|seconds| rounded(seconds, 100.0)),
        })
    }
}

impl Report {
    pub(super) fn new(strategy: DemoStrategy, speed: f64) -> Self {
        Self { strategy, speed, rows: Vec::new(), differences: Vec::new() }
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "strategy": self.strategy.word(),
            "clock": format!(
                "seconds are real; the region's time runs {} times as fast", self.speed
            ),
            "revisions": self.rows.iter().map(Row::json).collect::<Vec<_>>(),
            "differences": self.differences,
        })
    }
}

fn rounded(number: f64, units: f64) -> f64 {
    (number * units).round() / units
}
