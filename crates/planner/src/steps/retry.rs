//! Trying a rejected revision again because a person took the verdict back; never on its own account,
//! and never twice for one word.

use std::collections::BTreeMap;

use jiff::SignedDuration;

use super::rollback::judged_now;
use super::rollout::forget_rollout;
use super::start::{first_phase, start};
use super::unknown;
use crate::tags::{RolloutMark, tag};
use crate::view::{Standing, View};
use crate::{Action, Call, Lane, Plan};

/// A forced deployment that AWS does not show after this long was never made.
const SHOWS_WITHIN: SignedDuration = SignedDuration::from_mins(1);

/// The verdict on the revision that `mark` returns from is gone. When the return has `begun`, its mark
/// goes too and the rollout starts as any other. A deployment that ECS still works on is judged again
/// from now on; one that ECS gave up is followed by a forced one.
pub(super) fn retry(view: &View<'_>, mark: &RolloutMark, begun: bool) -> Plan {
    if begun {
        let why = "forgets the rollback: its verdict was taken back".to_owned();
        return Plan::acting(vec![forget_rollout(view, why)], Vec::new());
    }
    if view.standing() == Standing::Failed {
        return start(view);
    }
    let again =
        RolloutMark { phase: first_phase(view), since: view.now(), probe: None, ..mark.clone() };
    let tags = BTreeMap::from([
        (tag::ROLLOUT.to_owned(), again.encode()),
        (tag::DIGEST.to_owned(), judged_now(view).encode()),
    ]);
    let call = Call::TagResource { arn: view.service.service_arn.clone(), tags };
    let why = format!("judges {} again: its verdict was taken back", view.primary.id);
    Plan::acting(vec![Action { call, lane: Lane::RolloutStep, why }], Vec::new())
}

/// The plan after a forced deployment was announced and while the one that ECS gave up is still PRIMARY:
/// forcing is not idempotent, so it is repeated only when AWS had time to show it. `None` when nothing
/// was forced.
pub(super) fn awaited(view: &View<'_>, mark: Option<&RolloutMark>) -> Option<Plan> {
    let mark = mark.filter(|mark| mark.id().is_none())?;
    let is_older = view.primary.created_at.is_some_and(|created| created < mark.since);
    let rejected = view.memory.rejects(&view.desired.revision_digest);
    if view.standing() != Standing::Failed || !is_older || rejected {
        return None;
    }
    if view.now().duration_since(mark.since) >= SHOWS_WITHIN {
        return Some(start(view));
    }
    Some(unknown(format!(
        "a deployment was forced, and AWS still shows {}, which ECS gave up",
        view.primary.id
    )))
}
