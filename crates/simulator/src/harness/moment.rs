//! The moments of a course at which its daemon may be killed, and which of them leave the same world to the next
//! one; never kills.

use std::time::Duration;

use super::CrashPoint;

/// A moment at which a daemon can die without the region noticing.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    pub point: CrashPoint,
    /// Since the course began.
    pub at: Duration,
    pub left: Left,
    /// Whether the daemon does nothing but wait.
    pub idle: bool,
    /// Whether the only daemon was on its own: no storm that every call changes.
    pub alone: bool,
}

/// What the daemons have done to the world so far. Reads leave nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Left {
    /// Writes that were sent, and writes that arrived.
    pub sent: u64,
    pub arrived: u64,
    /// A scripted fault is met once.
    pub faults: u64,
}

/// A person who says something, from the first word to the last answer: what they do depends on when the
/// daemon dies.
#[derive(Clone, Copy, Debug)]
pub struct Talk {
    pub from: Duration,
    /// `None` while they still speak.
    pub until: Option<Duration>,
}

/// From the death of a daemon to the start of the next, at least.
pub(crate) const RESTART_AFTER: Duration = Duration::from_secs(3);

/// Where a daemon was killed on purpose the next one starts at a whole second, and at a whole minute where the one
/// before did nothing but wait: so that it does not depend on milliseconds which moment that was.
pub(crate) fn down_after_a_kill(at: Duration, idle: bool) -> Duration {
    let whole = if idle { Duration::from_mins(1) } else { Duration::from_secs(1) };
    let earliest = at + RESTART_AFTER;
    let over = earliest.as_nanos() % whole.as_nanos();
    let rest = if over == 0 { 0 } else { whole.as_nanos() - over };
    RESTART_AFTER + Duration::from_nanos(u64::try_from(rest).unwrap_or(0))
}

impl Moment {
    /// Moments of the same world: the next daemon starts at the same time, in the same region, under the same
    /// scripted faults, and nobody talks. `None` for a moment like no other.
    pub fn world(&self, talks: &[Talk]) -> Option<(Duration, Left)> {
        let restart = self.at + down_after_a_kill(self.at, self.idle);
        let is_quiet = talks
            .iter()
            .all(|talk| talk.from > restart || talk.until.is_some_and(|end| end < self.at));
        (self.alone && is_quiet).then_some((restart, self.left))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Moment {
        let point = CrashPoint::Wake(millis);
        let at = Duration::from_millis(millis);
        Moment { point, at, left: Left::default(), idle: false, alone: true }
    }

    #[test]
    fn moments_within_one_second_leave_the_same_world_until_something_is_written() {
        let written = Moment { left: Left { sent: 1, ..Left::default() }, ..at(10_900) };
        assert_eq!(at(10_100).world(&[]), at(10_900).world(&[]));
        assert_ne!(at(10_100).world(&[]), at(11_001).world(&[]));
        assert_ne!(at(10_100).world(&[]), written.world(&[]));
        assert_eq!(Moment { alone: false, ..at(10_100) }.world(&[]), None);
    }

    #[test]
    fn a_moment_is_like_no_other_while_somebody_talks_or_begins_to_before_the_restart() {
        let talk = |from: u64, until: Option<u64>| Talk {
            from: Duration::from_millis(from),
            until: until.map(Duration::from_millis),
        };
        assert_eq!(at(10_100).world(&[talk(9_000, None)]), None);
        assert_eq!(at(10_100).world(&[talk(9_000, Some(10_200))]), None);
        assert_eq!(at(10_100).world(&[talk(13_500, None)]), None);
        assert!(at(10_100).world(&[talk(9_000, Some(10_000)), talk(14_001, None)]).is_some());
    }

    #[test]
    fn a_daemon_that_was_killed_starts_again_at_a_whole_second_or_minute() {
        let down = |millis: u64, idle: bool| {
            down_after_a_kill(Duration::from_millis(millis), idle).as_millis()
        };
        assert_eq!(down(10_000, false), 3_000);
        assert_eq!(down(10_001, false), 3_999);
        assert_eq!(down(10_001, true), 49_999);
        assert_eq!(down(57_000, true), 3_000);
    }
}
