//! How many passes there is place for while looks are slow; never starts one.

use std::time::Duration;

use tokio::time::Instant;

use crate::Withheld;
use crate::delay::PassEnd;

/// The part of the time of a pass whose look expired after which a place is opened again: so few open while passes of
/// that length run that half of the places are not too many again when they end.
const OPENED_A_PASS: u32 = 6;

/// No place is waited for longer, however long a pass took: the daemon may have been frozen.
const OPENED_AFTER_MAX: Duration = Duration::from_secs(30);

/// Of looks that share a throttled API, each gets older the more there are. Where they get too old to write on, half as
/// many are better than all for nothing. A service whose looks are slow by themselves closes places without end, and a
/// few are left to the others.
#[derive(Debug)]
pub(super) struct Places {
    most: usize,
    open: usize,
    closed_at: Option<Instant>,
    open_next_at: Instant,
    open_every: Duration,
}

impl Places {
    pub(super) fn new(most: usize) -> Self {
        let (most, now) = (most.max(1), Instant::now());
        Self { most, open: most, closed_at: None, open_next_at: now, open_every: Duration::ZERO }
    }

    /// At least one.
    pub(super) fn open(&self) -> usize {
        self.open
    }

    /// A pass that began before places were closed says nothing of how it goes with those that are left.
    pub(super) fn pass_ended(&mut self, end: &PassEnd, took: Duration) {
        let now = Instant::now();
        let is_late = *end == PassEnd::Withheld(Withheld::LookExpired);
        if is_late && self.closed_at.is_none_or(|at| at + took <= now) {
            self.open = (self.open / 2).max(1);
            self.closed_at = Some(now);
            self.open_every = (took / OPENED_A_PASS).min(OPENED_AFTER_MAX);
            self.open_next_at = now + self.open_every;
        }
    }

    /// To be called now and then.
    pub(super) fn time_passes(&mut self) {
        let now = Instant::now();
        while self.open < self.most && self.open_next_at <= now {
            self.open += 1;
            self.open_next_at += self.open_every;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXPIRED: PassEnd = PassEnd::Withheld(Withheld::LookExpired);
    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn passes_that_ran_side_by_side_close_places_once_and_time_opens_them() {
        let mut places = Places::new(32);
        tokio::time::advance(60 * SECOND).await;
        for _ in 0..32 {
            places.pass_ended(&EXPIRED, 60 * SECOND);
        }
        assert_eq!(places.open(), 16);
        tokio::time::advance(36 * SECOND).await;
        places.pass_ended(&EXPIRED, 30 * SECOND);
        assert_eq!(places.open(), 8);
        places.pass_ended(&PassEnd::Settled, SECOND);
        places.pass_ended(&PassEnd::Withheld(Withheld::Superseded), SECOND);
        assert_eq!(places.open(), 8);
        for (seconds, open) in [(4, 8), (1, 9), (4, 9), (6, 11)] {
            tokio::time::advance(seconds * SECOND).await;
            places.time_passes();
            assert_eq!(places.open(), open);
        }
        for _ in 0..100 {
            tokio::time::advance(8 * SECOND).await;
            places.time_passes();
        }
        assert_eq!(places.open(), 32);
    }

    #[tokio::test(start_paused = true)]
    async fn one_place_is_left_however_often_looks_expire() {
        let mut places = Places::new(0);
        for _ in 0..9 {
            tokio::time::advance(60 * SECOND).await;
            places.pass_ended(&EXPIRED, 40 * SECOND);
        }
        assert_eq!(places.open(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_service_whose_looks_are_slow_by_themselves_leaves_places_to_the_others() {
        let mut places = Places::new(32);
        for second in 0..3600 {
            tokio::time::advance(SECOND).await;
            if second % 5 == 0 {
                places.time_passes();
            }
            if second % 45 == 0 {
                places.pass_ended(&EXPIRED, 44 * SECOND);
            }
            assert!(places.open() >= 5, "{} after {second} s", places.open());
        }
    }
}
