//! What a role was refused right after its deployment began, and may be granted at the next try; never for how many tries.

use jiff::{SignedDuration, Timestamp};

use super::{ended_at, reasons};
use crate::{EvidenceKind, Task};

/// How long after a deployment began what was granted for it may not be seen everywhere yet: "changes that you make in IAM might
/// not be immediately visible from all endpoints" (IAM user guide, troubleshooting, eventual consistency).
const SEEN_WITHIN: SignedDuration = SignedDuration::from_mins(2);

/// Tasks that were refused early: a second try is not doomed yet.
pub(super) struct Early<'a> {
    began: Option<Timestamp>,
    /// The first one that ended.
    first: Option<&'a Task>,
}

impl<'a> Early<'a> {
    pub(super) fn of(tasks: &[&'a Task], began: Option<Timestamp>) -> Self {
        let refused = tasks.iter().filter(|task| is_early_refusal(task, began));
        Self { began, first: refused.copied().min_by_key(|task| (ended_at(task), &task.task_arn)) }
    }

    /// What such a task counts as; `None` of any other. Those that were started before the first one ended are no second try:
    /// one speaks for all.
    pub(super) fn kind(&self, task: &Task) -> Option<EvidenceKind> {
        let first = self.first.filter(|_| is_early_refusal(task, self.began))?;
        let is_no_second = task.created_at.is_some() && task.created_at <= ended_at(first);
        let speaks = task.task_arn == first.task_arn || !is_no_second;
        Some(if speaks { EvidenceKind::LaunchFailure } else { EvidenceKind::NotAFailure })
    }
}

fn is_early_refusal(task: &Task, began: Option<Timestamp>) -> bool {
    let (Some(ended), Some(began)) = (ended_at(task), began) else { return false };
    ended.duration_since(began) < SEEN_WITHIN
        && reasons::classify(task).is_some_and(|stopped| stopped.is_refused)
}
