//! The result of the demo: one row for each revision, and what was not as it should be.

use serde_json::{Value, json};

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
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Report {
    pub(super) rows: Vec<Row>,
    pub(super) differences: Vec<String>,
}

impl Report {
    pub(super) fn json(&self) -> Value {
        let row = |row: &Row| {
            json!({
                "name": row.name,
                "outcome": row.outcome.word(),
                "reason": row.reason,
                "seconds_to_verdict": (row.seconds_to_verdict * 10.0).round() / 10.0,
                "bad_tasks_started": row.bad_tasks_started,
                "requests": row.requests,
                "failed_requests": row.failed_requests,
                "api_calls": row.api_calls,
            })
        };
        json!({ "revisions": self.rows.iter().map(row).collect::<Vec<_>>() })
    }
}
