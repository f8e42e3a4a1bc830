//! The guard of freezes: nothing starts while windows forbid it. It walks back minute by minute where the
//! planner asks for the next time, so that one mistake is not made twice.

use evenkeel_manifest::{InFlight, Rule, Window};
use jiff::{SignedDuration, Timestamp};

use super::{Ground, starts_a_deployment, steps};
use crate::{Action, Call, HookAction, Lane};

/// No service is created and no rollout starts under a freeze, and no gate opens where one stops what is
/// in flight, unless a person lets exactly this content pass.
pub(super) fn heeds_windows(ground: &Ground<'_>, action: &Action) -> Option<String> {
    let windows = &ground.desired.rollout.windows;
    let gate = match &action.call {
        Call::ContinueServiceDeployment { hook, action: HookAction::Continue, .. } => {
            Some(hook.clone())
        }
        _ => steps::gate_of_a_rise(ground, action),
    };
    let opens = gate.is_some();
    let starts = action.lane != Lane::Rollback && !opens && starts_a_deployment(action);
    if windows.is_empty() || !(starts || opens) || passes_freezes(ground) {
        return None;
    }
    if gate.is_some_and(|gate| ground.is_promoted(&gate)) {
        return None;
    }
    let now = ground.input.now;
    let (allow, deny): (Vec<_>, Vec<_>) = windows.iter().partition(|one| one.rule == Rule::Allow);
    let mut forbidding: Vec<&Window> = deny.into_iter().filter(|one| is_open(one, now)).collect();
    if forbidding.is_empty() && !allow.iter().any(|one| is_open(one, now)) {
        forbidding = allow;
    }
    let stops = |one: &&Window| starts || one.in_flight == InFlight::Pause;
    let window = forbidding.into_iter().find(stops)?;
    Some(format!("rollouts are frozen by {window}"))
}

fn passes_freezes(ground: &Ground<'_>) -> bool {
    if ground.is_approved_in_git() {
        return true;
    }
    let named = format!("v1:{}:freeze:", ground.desired.revision_digest);
    ground.tag("evenkeel:promote").is_some_and(|value| value.starts_with(&named))
}

/// Whether it opened in one of the minutes before, and not longer ago than it lasts.
pub(crate) fn is_open(window: &Window, now: Timestamp) -> bool {
    let Ok(lasts) = SignedDuration::try_from(window.duration) else { return true };
    let Ok(minute) = Timestamp::from_second(now.as_second().div_euclid(60) * 60) else {
        return true;
    };
    let before = |minutes| minute.checked_sub(SignedDuration::from_mins(minutes)).ok();
    (0..)
        .map_while(before)
        .take_while(|at| now.duration_since(*at) < lasts)
        .any(|at| opens(window, at))
}

/// Whether the clock on the wall comes to one of its times at `at`, or jumps over one.
fn opens(window: &Window, at: Timestamp) -> bool {
    let zone = window.opens.zone();
    let (second, wall) = (SignedDuration::from_secs(1), zone.to_datetime(at));
    let Ok(before) = at.checked_sub(second) else { return true };
    let Ok(expected) = zone.to_datetime(before).checked_add(second) else { return true };
    // Put back: the times until `expected` were there before.
    let is_again = zone.to_ambiguous_timestamp(wall).earlier().is_ok_and(|first| first < at);
    if wall <= expected {
        return !is_again && window.opens.names(wall);
    }
    let mut skipped = expected;
    while skipped <= wall {
        if window.opens.names(skipped) {
            return true;
        }
        let Ok(next) = skipped.checked_add(SignedDuration::from_mins(1)) else { return true };
        skipped = next;
    }
    false
}
