//! What failed together with tasks of the proven revision, as in an outage of what both need; never what follows from it.

use jiff::{SignedDuration, Timestamp};

use super::{ended_at, reasons};
use crate::view::View;
use crate::{Evidence, EvidenceKind, Task};

/// How far apart failures of one cause are at most.
const TOGETHER: SignedDuration = SignedDuration::from_mins(2);

/// How long a task has run well at least, for its end to be the work of something that came over it.
const RAN_WELL: SignedDuration = SignedDuration::from_mins(5);

/// The tasks of the proven revision beside those of a deployment.
#[derive(Debug, Default)]
pub(super) struct Control(Vec<Beside>);

#[derive(Debug)]
struct Beside {
    /// `None` while it lives.
    ended: Option<Timestamp>,
    has_failed: bool,
    ran_well: bool,
}

impl Control {
    /// None at all where no task that failed had run well: a revision that was proven and never lives long fails by itself,
    /// and what lasts for longer than ECS shows its first victims is not waited for without end.
    pub(super) fn beside(view: &View<'_>, deployment: &str) -> Self {
        let all = view.observed().tasks.known().map(Vec::as_slice).unwrap_or_default();
        let beside = all
            .iter()
            .filter(|task| task.started_by.as_deref() != Some(deployment) && is_proven(view, task));
        let beside: Vec<Beside> = beside.map(Beside::of).collect();
        let is_hit = beside.iter().any(|one| one.has_failed && one.ran_well);
        Self(if is_hit { beside } else { Vec::new() })
    }

    /// Whether at least as many of them failed at the same time as did not: then it says nothing about the new revision. One
    /// that fails now and then excuses none that fails always.
    pub(super) fn excuses(&self, failure: &Evidence) -> bool {
        let Some(at) = failure.at.filter(|_| is_of_both(failure.kind)) else { return false };
        let (failed, others): (Vec<&Beside>, Vec<&Beside>) =
            self.0.iter().filter(|one| one.is_there(at)).partition(|one| one.fails_with(at));
        !failed.is_empty() && failed.len() >= others.len()
    }
}

impl Beside {
    fn of(task: &Task) -> Self {
        let ending = reasons::classify(task);
        let ended = ended_at(task).filter(|_| ending.is_some());
        let lived = task.started_at.zip(ended).map(|(from, to)| to.duration_since(from));
        Self {
            ended,
            has_failed: ending.is_some_and(|ending| is_of_both(ending.kind)),
            ran_well: lived.is_some_and(|lived| lived >= RAN_WELL),
        }
    }

    /// Whether it was not over long before.
    fn is_there(&self, at: Timestamp) -> bool {
        self.ended.is_none_or(|ended| at.duration_since(ended) <= TOGETHER)
    }

    fn fails_with(&self, at: Timestamp) -> bool {
        self.has_failed
            && self.ended.is_some_and(|ended| ended.duration_since(at).abs() <= TOGETHER)
    }
}

/// What an outage does to tasks that ran, whatever they run.
fn is_of_both(kind: EvidenceKind) -> bool {
    matches!(kind, EvidenceKind::HealthFailure | EvidenceKind::Crash)
}

fn is_proven(view: &View<'_>, task: &Task) -> bool {
    let proven = view.proven_definition();
    proven.is_some_and(|proven| view.has_content_of(&task.task_definition_arn, proven))
}
