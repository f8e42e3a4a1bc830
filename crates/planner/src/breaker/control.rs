//! What failed together with tasks of the proven revision, as in an outage of what both need; never what follows from it.

use jiff::{SignedDuration, Timestamp};

use super::{ended_at, reasons};
use crate::view::View;
use crate::{Evidence, EvidenceKind, Task};

/// How far apart failures of one cause are at most.
const TOGETHER: SignedDuration = SignedDuration::from_mins(2);

/// The tasks of the proven revision beside those of a deployment.
#[derive(Debug, Default)]
pub(super) struct Control {
    /// When some of them failed.
    failed: Vec<Timestamp>,
    /// How many there still are.
    alive: usize,
}

impl Control {
    pub(super) fn beside(view: &View<'_>, deployment: &str) -> Self {
        let all = view.observed().tasks.known().map(Vec::as_slice).unwrap_or_default();
        let beside = all
            .iter()
            .filter(|task| task.started_by.as_deref() != Some(deployment) && is_proven(view, task));
        let has_failed =
            |task: &&Task| reasons::classify(task).is_some_and(|ending| is_of_both(ending.kind));
        Self {
            failed: beside.clone().filter(has_failed).filter_map(ended_at).collect(),
            alive: beside.filter(|task| lives(task)).count(),
        }
    }

    /// Whether at least as many of them as there still are failed at the same time: then it says nothing about the new
    /// revision. One that fails now and then excuses none that fails always.
    pub(super) fn excuses(&self, failure: &Evidence) -> bool {
        let Some(at) = failure.at.filter(|_| is_of_both(failure.kind)) else { return false };
        let is_together = |failed: &&Timestamp| failed.duration_since(at).abs() <= TOGETHER;
        let together = self.failed.iter().filter(is_together).count();
        together > 0 && together >= self.alive
    }
}

/// What an outage does to tasks that ran, whatever they run.
fn is_of_both(kind: EvidenceKind) -> bool {
    matches!(kind, EvidenceKind::HealthFailure | EvidenceKind::Crash)
}

fn lives(task: &Task) -> bool {
    task.last_status != "STOPPED" && task.desired_status != "STOPPED"
}

fn is_proven(view: &View<'_>, task: &Task) -> bool {
    let Some(proven) = view.memory.proven.as_deref() else { return false };
    let definition = view.service_revision(proven).map_or(proven, |one| &one.task_definition);
    view.has_content_of(&task.task_definition_arn, definition)
}
