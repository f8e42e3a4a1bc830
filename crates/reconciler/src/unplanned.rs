//! Statuses that no plan stands behind: bad manifests and passes that did not end; never overrides
//! what a pass saw.

use evenkeel_manifest::ServiceKey;
use evenkeel_planner::{Condition, ConditionKind, ConditionStatus, Status};
use jiff::Timestamp;

/// The status of a service whose pass panicked or was cancelled: what was known before, and that
/// it is not known any more.
pub(crate) fn interrupted(
    key: &ServiceKey,
    before: Option<&Status>,
    reason: &'static str,
    message: &str,
) -> Status {
    let mut status = before.cloned().unwrap_or_else(|| never_seen(key));
    set(&mut status, ConditionKind::Ready, ConditionStatus::Unknown, reason, message);
    set(&mut status, ConditionKind::Unknown, ConditionStatus::True, reason, message);
    status.did = Vec::new();
    status
}

/// The status of a service that could not be read this time: what was known before, and what is not known `now`. What
/// the pass before did stays, for nobody has seen yet what came of it.
pub(crate) fn not_seen(before: &Status, now: &Status) -> Status {
    let mut status = before.clone();
    let untold = [ConditionKind::Ready, ConditionKind::Unknown];
    for condition in untold.into_iter().filter_map(|kind| now.condition(kind)) {
        set(&mut status, condition.kind, condition.status, condition.reason, &condition.message);
    }
    status.waiting.retain(|wait| now.waiting.iter().all(|one| one.reason != wait.reason));
    status.waiting.extend(now.waiting.iter().cloned());
    status
}

/// Says, in an otherwise unchanged status, whether the newest manifest is bad.
pub(crate) fn mark_invalid(status: &mut Status, problems: Option<&Vec<String>>) {
    match problems {
        Some(problems) => {
            let message = problems.join("; ");
            let (kind, is) = (ConditionKind::Invalid, ConditionStatus::True);
            set(status, kind, is, "InvalidManifest", &message);
        }
        None => set(status, ConditionKind::Invalid, ConditionStatus::False, "Valid", ""),
    }
}

fn set(
    status: &mut Status,
    kind: ConditionKind,
    is: ConditionStatus,
    reason: &'static str,
    message: &str,
) {
    let condition = Condition { kind, status: is, reason, message: message.to_owned() };
    match status.conditions.iter_mut().find(|condition| condition.kind == kind) {
        Some(before) => *before = condition,
        None => status.conditions.push(condition),
    }
}

/// The reason of `Ready` while this replica does not look after the service.
const STAND_BY: &str = "StandBy";

/// The status of a service that this replica does not look after: nothing is known of it here, and nowhere if
/// nobody is known to.
pub(crate) fn standing_by(key: &ServiceKey, why: &str, is_vacant: bool) -> Status {
    let mut status = never_seen(key);
    let unknown = if is_vacant { ConditionStatus::True } else { ConditionStatus::False };
    set(&mut status, ConditionKind::Ready, ConditionStatus::Unknown, STAND_BY, why);
    set(&mut status, ConditionKind::Unknown, unknown, STAND_BY, why);
    status
}

/// Whether [`standing_by`] made the status, of a service that another replica looks after.
pub(crate) fn stands_by(status: &Status) -> bool {
    let unknown = status.condition(ConditionKind::Unknown);
    unknown.is_some_and(|one| one.reason == STAND_BY && one.status == ConditionStatus::False)
}

/// Nothing is known but the name. Whether the manifest is bad is said by [`mark_invalid`].
pub(crate) fn never_seen(key: &ServiceKey) -> Status {
    Status::invalid(key.clone(), &[], Timestamp::now(), None)
}
