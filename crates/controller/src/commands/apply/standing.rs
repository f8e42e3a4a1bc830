//! Where a service stands on its way to what was applied; never decides what it needs.

use evenkeel_planner::{ConditionKind, ConditionStatus, Status, WaitReason};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Something is still to be done or to be awaited.
    Working,
    /// The change was written and goes on without another write for now.
    Begun,
    Settled,
    /// The revision was judged bad; if it could be, it was rolled back.
    RolledBack,
    /// Only a person can bring it on.
    WaitsForPerson,
}

/// With the sentence that says so.
pub(super) fn standing(status: &Status) -> (Standing, String) {
    let message = |kind: ConditionKind| {
        let condition = status.conditions.iter().find(|condition| condition.kind == kind);
        condition.map(|condition| condition.message.clone()).unwrap_or_default()
    };
    let waits = |reason: WaitReason| status.waiting.iter().find(|wait| wait.reason == reason);
    let going_back = waits(WaitReason::Rollback);
    let judged = [ConditionKind::RolledBack, ConditionKind::Rejected]
        .into_iter()
        .find(|kind| is_true(status, *kind));
    match (judged, going_back) {
        (_, Some(wait)) => return (Standing::Working, wait.sentence.clone()),
        // What was written in this pass has yet to be seen.
        (Some(kind), None) if status.did.is_empty() => {
            return (Standing::RolledBack, message(kind));
        }
        _ => {}
    }
    if is_true(status, ConditionKind::Held) {
        return (Standing::WaitsForPerson, message(ConditionKind::Held));
    }
    let person =
        [WaitReason::Paused, WaitReason::Held, WaitReason::NotOwned, WaitReason::Unsupported];
    if let Some(wait) = person.into_iter().find_map(waits) {
        return (Standing::WaitsForPerson, wait.sentence.clone());
    }
    if is_true(status, ConditionKind::Ready) && status.did.is_empty() && status.rollout.is_none() {
        return (Standing::Settled, message(ConditionKind::Ready));
    }
    in_progress(status, &message(ConditionKind::Progressing), &message(ConditionKind::Unknown))
}

fn in_progress(status: &Status, progressing: &str, unknown: &str) -> (Standing, String) {
    let deployment = |reason| matches!(reason, WaitReason::Probe | WaitReason::Deployment);
    let waits = status.waiting.iter().find(|wait| deployment(wait.reason));
    if let (Some(wait), true, true) = (waits, status.did.is_empty(), status.rollout.is_some()) {
        return (Standing::Begun, wait.sentence.clone());
    }
    let first_wait = status.waiting.first().map(|wait| wait.sentence.as_str());
    let did = status.did.last().map(String::as_str);
    let sentence = if is_true(status, ConditionKind::Unknown) {
        unknown
    } else {
        did.or(first_wait).unwrap_or(progressing)
    };
    (Standing::Working, sentence.to_owned())
}

fn is_true(status: &Status, kind: ConditionKind) -> bool {
    let is = |c: &evenkeel_planner::Condition| c.kind == kind && c.status == ConditionStatus::True;
    status.conditions.iter().any(is)
}
