//! What a person may ask for, as data; never carries anything out.

use jiff::Timestamp;
use serde::Serialize;

use crate::{Action, Said};

/// A person's command about one service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Command {
    /// Nothing is written any more, rollbacks included.
    Hold,
    Release,
    /// No rollout starts, widens or passes a gate. Verdicts and rollbacks go on.
    Pause,
    Resume,
    /// Opens gates of the rollout.
    Promote(Gates),
    /// Rejects the revision that is rolled out: the service returns to the proven one.
    Abort,
    /// Leaves what runs for an earlier revision: an ARN, the digits of a service revision, or
    /// `family:revision` of a task definition. `None` is the one before.
    Undo {
        to: Option<String>,
    },
    /// Takes a verdict back.
    Retry,
    /// Lets a service go that no manifest names, although a guard holds it.
    Prune,
}

/// Which gates a person lets a rollout pass.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Gates {
    /// The one at which it stands, whichever that is.
    Now,
    /// The one at which it stands, if it is this one: a `hook` of the status.
    Named(String),
    All,
}

impl Command {
    /// The word on the command line, in paths, logs and metrics.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Hold => "hold",
            Self::Release => "release",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Promote(_) => "promote",
            Self::Abort => "abort",
            Self::Undo { .. } => "undo",
            Self::Retry => "retry",
            Self::Prune => "prune",
        }
    }

    /// Whether it concerns what a hold forbids.
    pub(crate) fn is_stopped_by_a_hold(&self) -> bool {
        match self {
            Self::Hold | Self::Release | Self::Pause | Self::Resume => false,
            Self::Promote(_) | Self::Abort | Self::Undo { .. } | Self::Retry | Self::Prune => true,
        }
    }

    /// Whether more than the service itself must be seen.
    pub(crate) fn needs_depth(&self) -> bool {
        matches!(self, Self::Promote(_) | Self::Abort | Self::Undo { .. })
    }
}

/// A command, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    pub command: Command,
    pub who: String,
    pub why: String,
}

impl Order {
    pub(crate) fn said(&self, at: Timestamp) -> Said {
        Said { who: self.who.clone(), at: Some(at), why: self.why.clone() }
    }
}

/// How a command is carried out.
#[derive(Clone, Debug, PartialEq)]
pub struct Obedience {
    /// One call at most; none when all is as it was asked for.
    pub actions: Vec<Action>,
    /// What follows from it, for the person.
    pub sentence: String,
}

/// Why a command cannot be followed as things stand, and what would help; for the person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal(pub String);

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refusal {}
