//! A rollout in flight whose content the manifest wants no more; never starts what takes its place.

use super::rollout::{against, has_started, phase};
use super::start::kept_back;
use crate::Plan;
use crate::breaker::judge;
use crate::tags::RolloutMark;
use crate::view::View;

/// The verdict on it while what is wanted now may not start: nobody is left on what is bad meanwhile. `None` where nothing speaks
/// against it, and where what is wanted was rejected itself, for there is room for one verdict only.
pub(super) fn judged(view: &View<'_>, mark: &RolloutMark) -> Option<Plan> {
    let has_room = !view.memory.rejects(&view.desired.revision_digest);
    if !has_started(view, mark) || !has_room || kept_back(view).is_none() {
        return None;
    }
    let judgement = judge(view, &view.primary.id, phase(view, mark), mark.since);
    let (kind, sentence) = judgement.against.clone()?;
    Some(against(view, &judgement, kind, sentence, mark))
}
