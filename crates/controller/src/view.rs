//! A status as the command line shows it, from a daemon of this or another version; never decides
//! anything about a service.

mod describe;
mod table;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

pub(crate) use describe::describe;
pub(crate) use table::table;

/// What is shown of one service. Members that a daemon of another version does not send are empty.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct ServiceView {
    pub key: KeyView,
    pub observed_at: Option<Timestamp>,
    pub wanted: Option<String>,
    pub conditions: Vec<ConditionView>,
    pub rollout: Option<RolloutView>,
    pub breaker: Vec<BreakerView>,
    pub evidence: Vec<EvidenceView>,
    pub waiting: Vec<WaitView>,
    pub did: Vec<String>,
    pub events: Vec<String>,
    pub desired_count: u32,
    pub running_count: u32,
    pub look_again: Option<SecondsView>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct KeyView {
    pub target: String,
    pub cluster: String,
    pub name: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ConditionView {
    #[serde(rename = "type")]
    pub kind: String,
    pub status: String,
    pub reason: String,
    pub message: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct RolloutView {
    pub phase: String,
    pub digest: String,
    pub deployment: Option<String>,
    pub since: Option<Timestamp>,
    pub task_definition: Option<String>,
    pub running_count: u32,
    pub desired_count: u32,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct BreakerView {
    pub kind: String,
    pub count: u32,
    pub threshold: u32,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct EvidenceView {
    pub kind: String,
    pub task: Option<String>,
    pub at: Option<Timestamp>,
    #[serde(alias = "exitCode")]
    pub exit_code: Option<i64>,
    pub reason: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct WaitView {
    pub reason: String,
    pub sentence: String,
    pub until: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct SecondsView {
    pub secs: u64,
}

/// How a service is doing, in the one word that matters most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    Good,
    Careful,
    Bad,
}

impl ServiceView {
    /// A value that is no status shows as an empty one, not as an error.
    pub(crate) fn read(value: &Value) -> Self {
        Self::deserialize(value).unwrap_or_default()
    }

    /// `cluster/name`.
    pub(crate) fn name(&self) -> String {
        format!("{}/{}", self.key.cluster, self.key.name)
    }

    pub(crate) fn is_true(&self, kind: &str) -> bool {
        self.condition(kind).is_some_and(|condition| condition.status == "True")
    }

    pub(crate) fn condition(&self, kind: &str) -> Option<&ConditionView> {
        self.conditions.iter().find(|condition| condition.kind == kind)
    }

    /// The condition that explains the state best: a bad one, else progress, else readiness.
    pub(crate) fn headline(&self) -> Option<&ConditionView> {
        const URGENT: [&str; 6] =
            ["Invalid", "RolledBack", "Rejected", "Held", "Unknown", "Progressing"];
        let urgent = URGENT.into_iter().find(|kind| self.is_true(kind));
        self.condition(urgent.unwrap_or("Ready"))
    }

    pub(crate) fn mood(&self) -> Mood {
        if ["Invalid", "RolledBack", "Rejected", "Held"].into_iter().any(|kind| self.is_true(kind))
        {
            Mood::Bad
        } else if self.is_true("Ready") {
            Mood::Good
        } else {
            Mood::Careful
        }
    }
}

/// `12s`, `3m`, `2h`, `5d`: one number, for a column.
pub(crate) fn age(from: Option<Timestamp>, now: Timestamp) -> String {
    let Some(from) = from else { return "-".to_owned() };
    let seconds = now.duration_since(from).as_secs().max(0);
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7_200 => format!("{}m", seconds / 60),
        7_200..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// `v1:` and eight digits: enough to tell revisions apart by eye.
pub(crate) fn short(digest: &str) -> String {
    digest.chars().take(11).collect()
}
