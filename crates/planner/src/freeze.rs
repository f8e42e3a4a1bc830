//! Whether windows of time forbid rollouts to start, which of them and until when; never what follows.

use std::time::Duration;

use evenkeel_manifest::{InFlight, Origin, Rule, Window};
use jiff::Timestamp;

use crate::{Wait, WaitReason};

/// Rollouts may not start now.
#[derive(Debug)]
pub(crate) struct Freeze<'a> {
    /// The windows that say so: those that are open and deny, or all that allow and are not open.
    by: Vec<&'a Window>,
    /// The first moment at which it is over; `None` when that is not in sight.
    pub(crate) until: Option<Timestamp>,
}

/// The freeze that there is at `now`, if there is one. What is denied is not allowed by another window.
pub(crate) fn freeze(windows: &[Window], now: Timestamp) -> Option<Freeze<'_>> {
    let by = freezing(windows, now)?;
    Some(Freeze { by, until: thaw(windows, now) })
}

fn freezing(windows: &[Window], at: Timestamp) -> Option<Vec<&Window>> {
    let is_open = |window: &&Window| window.open_until(at).is_some();
    let (allow, deny): (Vec<_>, Vec<_>) =
        windows.iter().partition(|window| window.rule == Rule::Allow);
    let denying: Vec<_> = deny.into_iter().filter(is_open).collect();
    if !denying.is_empty() {
        return Some(denying);
    }
    let is_closed = !allow.is_empty() && !allow.iter().any(is_open);
    is_closed.then_some(allow)
}

/// Ends and openings that are looked at before the end is out of sight.
const LOOKS_MAX: u32 = 1000;

/// Between two looks nothing can thaw: until an open window that denies ends, or one that allows opens.
fn thaw(windows: &[Window], now: Timestamp) -> Option<Timestamp> {
    let mut at = now;
    for _ in 0..LOOKS_MAX {
        let Some(by) = freezing(windows, at) else { return Some(at) };
        let ends = by.iter().filter_map(|window| match window.rule {
            Rule::Deny => window.open_until(at),
            Rule::Allow => None,
        });
        let opens = by.iter().filter_map(|window| match window.rule {
            Rule::Deny => None,
            Rule::Allow => window.opens_after(at),
        });
        at = ends.max().or_else(|| opens.min())?;
    }
    None
}

impl Freeze<'_> {
    /// Whether rollouts that were begun before stop, too.
    pub(crate) fn pauses(&self) -> bool {
        self.by.iter().any(|window| window.in_flight == InFlight::Pause)
    }

    /// What a rollout waits for `at` the place where it is.
    pub(crate) fn wait(&self, at: &str) -> Wait {
        let named: Vec<String> = self.by.iter().map(|window| named(window)).collect();
        let named = named.join(", and by ");
        let how = match self.by.first().map(|window| window.rule) {
            Some(Rule::Allow) => "rollouts are frozen outside of what is open by",
            Some(Rule::Deny) | None => "rollouts are frozen by",
        };
        let until = self
            .until
            .map_or("; no end is in sight".to_owned(), |until| format!("; until {until:.0}"));
        let wait = Wait::new(WaitReason::Frozen, format!("{at}: {how} {named}{until}"));
        wait.until(self.until)
    }

    /// When to look again so that a rollout starts as soon as it may.
    pub(crate) fn look_again(&self, now: Timestamp, otherwise: Duration) -> Duration {
        let left = self.until.map(|until| until.duration_since(now));
        left.and_then(|left| Duration::try_from(left).ok()).unwrap_or(otherwise)
    }
}

fn named(window: &Window) -> String {
    let whose = match window.origin {
        Origin::Manifest => "the manifest",
        Origin::Configuration => "the daemon's configuration",
    };
    let why = match window.reason.as_str() {
        "" => String::new(),
        reason => format!(" ({reason})"),
    };
    format!("{window}, of {whose}{why}")
}

#[cfg(test)]
mod tests {
    use evenkeel_manifest::WindowText;
    use jiff::SignedDuration;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;
    use crate::check::windows::is_open;

    fn window(rule: Rule, cron: &str, duration: &str, zone: &str) -> Window {
        let cron = Some(cron.to_owned());
        let (allow, deny) = match rule {
            Rule::Allow => (cron, None),
            Rule::Deny => (None, cron),
        };
        let text = WindowText {
            allow,
            deny,
            duration: Some(duration.to_owned()),
            time_zone: Some(zone.to_owned()),
            ..WindowText::default()
        };
        Window::read(&text, Origin::Manifest).unwrap()
    }

    fn any_window() -> impl Strategy<Value = Window> {
        let rule = select(vec![Rule::Allow, Rule::Deny]);
        let cron = select(vec![
            "0 18 * * FRI",
            "30 2 * * *",
            "0 9 * * MON-FRI",
            "*/20 * * * *",
            "15 1,3 * * SUN",
            "0 0 25-26 * *",
        ]);
        let duration = select(vec!["1m", "30m", "2h", "8h", "25h", "62h"]);
        let zone = select(vec!["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata"]);
        (rule, cron, duration, zone)
            .prop_map(|(rule, cron, duration, zone)| window(rule, cron, duration, zone))
    }

    /// Of 2026, with the nights in which clocks are changed as often as all others together.
    fn any_time() -> impl Strategy<Value = Timestamp> {
        let second = |at: &str| at.parse::<Timestamp>().unwrap().as_second();
        let year = second("2026-01-01T00:00:00Z")..second("2027-01-01T00:00:00Z");
        let night = |at: &str| second(at) - 90_000..second(at) + 90_000;
        prop_oneof![
            2 => year,
            1 => night("2026-03-29T01:00:00Z"),
            1 => night("2026-10-25T01:00:00Z"),
            1 => night("2026-03-08T07:00:00Z"),
        ]
        .prop_map(|second| Timestamp::from_second(second).unwrap())
    }

    /// As the guard sees it, which looks at every minute before.
    fn is_frozen(windows: &[Window], at: Timestamp) -> bool {
        let opens = |rule| windows.iter().any(|one| one.rule == rule && is_open(one, at));
        let allows = windows.iter().any(|one| one.rule == Rule::Allow);
        opens(Rule::Deny) || (allows && !opens(Rule::Allow))
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn the_planner_and_its_guard_see_the_same_freeze(
            windows in prop::collection::vec(any_window(), 0..4), at in any_time()
        ) {
            prop_assert_eq!(freeze(&windows, at).is_some(), is_frozen(&windows, at));
        }

        #[test]
        fn what_is_denied_is_not_allowed_by_another_window(
            windows in prop::collection::vec(any_window(), 0..4), at in any_time()
        ) {
            let is_denied =
                windows.iter().any(|one| one.rule == Rule::Deny && one.open_until(at).is_some());
            prop_assert!(!is_denied || freeze(&windows, at).is_some());
        }

        #[test]
        fn the_end_is_the_first_moment_without_a_freeze(
            windows in prop::collection::vec(any_window(), 1..4), at in any_time()
        ) {
            let Some(until) = freeze(&windows, at).and_then(|freeze| freeze.until) else {
                return Ok(());
            };
            prop_assert!(until > at && freezing(&windows, until).is_none());
            let second = SignedDuration::from_secs(1);
            prop_assert!(freezing(&windows, until - second).is_some(), "a second before");
            for part in 0..50 {
                let then = at + until.duration_since(at) / 50 * part;
                prop_assert!(freezing(&windows, then).is_some(), "at {}", then);
            }
        }
    }

    #[test]
    fn a_freeze_that_never_ends_says_so() {
        let always = [window(Rule::Deny, "* * * * *", "2m", "UTC")];
        let now = "2026-01-01T00:00:30Z".parse().unwrap();
        let freeze = freeze(&always, now).unwrap();
        assert_eq!(freeze.until, None);
        assert!(freeze.wait("now").sentence.ends_with("no end is in sight"));
    }
}
