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
    /// Only a person can bring it on, or the end of a freeze.
    WaitsForPerson,
    /// AWS refuses, and would refuse again.
    Failed,
}

impl Standing {
    /// Whether there is nothing more to wait for; without waiting, a change that has begun is
    /// enough.
    pub(super) fn is_at_rest(self, wait: bool) -> bool {
        match self {
            Self::Working => false,
            Self::Begun => !wait,
            Self::Settled | Self::RolledBack | Self::WaitsForPerson | Self::Failed => true,
        }
    }
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
        (Some(_), None) if status.did.is_empty() => {
            let sentences = [ConditionKind::Rejected, ConditionKind::RolledBack].map(message);
            let said: Vec<_> = sentences.into_iter().filter(|said| !said.is_empty()).collect();
            return (Standing::RolledBack, said.join("; "));
        }
        _ => {}
    }
    if is_true(status, ConditionKind::Held) {
        return (Standing::WaitsForPerson, message(ConditionKind::Held));
    }
    let person = [
        WaitReason::Paused,
        WaitReason::Person,
        WaitReason::Frozen,
        WaitReason::Held,
        WaitReason::Preflight,
        WaitReason::NotOwned,
        WaitReason::Unsupported,
    ];
    if let Some(wait) = person.into_iter().find_map(waits) {
        return (Standing::WaitsForPerson, wait.sentence.clone());
    }
    if is_true(status, ConditionKind::Ready) && status.did.is_empty() && status.rollout.is_none() {
        return (Standing::Settled, message(ConditionKind::Ready));
    }
    in_progress(status, &message(ConditionKind::Progressing), &message(ConditionKind::Unknown))
}

fn in_progress(status: &Status, progressing: &str, unknown: &str) -> (Standing, String) {
    let deployment =
        |reason| matches!(reason, WaitReason::Probe | WaitReason::Gate | WaitReason::Deployment);
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use evenkeel_manifest::ServiceKey;
    use evenkeel_planner::{Condition, Wait};

    use super::*;

    fn status(true_kinds: &[ConditionKind], waits: &[WaitReason], did: &[&str]) -> Status {
        let condition = |kind: &ConditionKind| Condition {
            kind: *kind,
            status: ConditionStatus::True,
            reason: "Test",
            message: format!("{kind:?} is true"),
        };
        let wait = |reason: &WaitReason| Wait {
            reason: *reason,
            sentence: format!("waits for {reason:?}"),
            until: None,
        };
        Status {
            key: ServiceKey::new("prod", "web"),
            observed_at: "2026-01-01T00:00:00Z".parse().unwrap(),
            wanted: None,
            source: None,
            conditions: true_kinds.iter().map(condition).collect(),
            rollout: None,
            breaker: Vec::new(),
            evidence: Vec::new(),
            verdict: None,
            analysis: Vec::new(),
            waiting: waits.iter().map(wait).collect(),
            did: did.iter().map(ToString::to_string).collect(),
            events: Vec::new(),
            desired_count: 1,
            running_count: 1,
            look_again: Duration::from_secs(5),
            drift: Vec::new(),
            words: None,
        }
    }

    fn of(true_kinds: &[ConditionKind], waits: &[WaitReason], did: &[&str]) -> Standing {
        standing(&status(true_kinds, waits, did)).0
    }

    #[test]
    fn ready_is_settled_only_after_a_pass_that_did_nothing() {
        assert_eq!(of(&[ConditionKind::Ready], &[], &[]), Standing::Settled);
        assert_eq!(of(&[ConditionKind::Ready], &[], &["tagged it"]), Standing::Working);
    }

    #[test]
    fn a_rejected_revision_is_awaited_until_it_is_rolled_back() {
        let rejected = [ConditionKind::Rejected];
        assert_eq!(of(&rejected, &[], &["wrote the verdict"]), Standing::Working);
        assert_eq!(of(&rejected, &[WaitReason::Rollback], &[]), Standing::Working);
        let back = [ConditionKind::Rejected, ConditionKind::RolledBack];
        assert_eq!(
            standing(&status(&back, &[WaitReason::Rejected], &[])),
            (Standing::RolledBack, "Rejected is true; RolledBack is true".to_owned())
        );
    }

    #[test]
    fn a_rejection_that_is_held_ends_as_a_rejection() {
        let held = [ConditionKind::Rejected, ConditionKind::Held];
        assert_eq!(of(&held, &[WaitReason::Held], &[]), Standing::RolledBack);
    }

    #[test]
    fn what_only_a_person_can_mend_waits_for_one() {
        assert_eq!(of(&[ConditionKind::Held], &[], &[]), Standing::WaitsForPerson);
        let others = [WaitReason::NotOwned, WaitReason::Unsupported, WaitReason::Preflight];
        for reason in others.into_iter().chain([WaitReason::Paused]) {
            assert_eq!(of(&[], &[reason], &[]), Standing::WaitsForPerson);
        }
    }

    #[test]
    fn what_cannot_be_seen_is_neither_settled_nor_failed() {
        let unknown = status(&[ConditionKind::Unknown], &[WaitReason::Unknown], &[]);
        assert_eq!(standing(&unknown), (Standing::Working, "Unknown is true".to_owned()));
    }
}
