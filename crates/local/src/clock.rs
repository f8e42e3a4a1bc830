//! Region time: real time since the start, multiplied by one factor; never waits.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// Maps real, monotonic time to the region's time. With a factor of 10, ten minutes pass in the
/// region while one passes here.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    started: Instant,
    start: Timestamp,
    speed: f64,
}

/// A factor that is not a positive, finite number.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("the speed must be between {MIN} and {MAX}, not {0}", MIN = Clock::SLOWEST, MAX = Clock::FASTEST)]
pub struct BadSpeed(pub f64);

impl Clock {
    pub const SLOWEST: f64 = 0.01;
    /// Beyond this a process takes longer to start than the region gives it to become healthy.
    pub const FASTEST: f64 = 1000.0;

    /// Starts the region's time at `start`, now.
    pub fn start(start: Timestamp, speed: f64) -> Result<Self, BadSpeed> {
        if !(Self::SLOWEST..=Self::FASTEST).contains(&speed) {
            return Err(BadSpeed(speed));
        }
        Ok(Self { started: Instant::now(), start, speed })
    }

    pub fn speed(&self) -> f64 {
        self.speed
    }

    /// The region's time.
    pub fn now(&self) -> Timestamp {
        let passed = self.started.elapsed().mul_f64(self.speed);
        let passed = SignedDuration::try_from(passed).unwrap_or(SignedDuration::MAX);
        self.start.checked_add(passed).unwrap_or(Timestamp::MAX)
    }

    /// When the region's time will be `time`, rounded up to the next millisecond so that a sleeper
    /// never wakes too early; the start for a time before it.
    pub fn instant(&self, time: Timestamp) -> Instant {
        let ahead = Duration::try_from(time.duration_since(self.start)).unwrap_or_default();
        self.started + self.real(ahead) + Duration::from_millis(1)
    }

    /// How long a span of the region's time really takes.
    pub fn real(&self, span: Duration) -> Duration {
        span.div_f64(self.speed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_region_s_time_runs_faster_by_the_factor() {
        let clock = Clock::start(Timestamp::UNIX_EPOCH, 10.0).unwrap();
        tokio::time::advance(Duration::from_secs(6)).await;
        assert_eq!(clock.now().as_second(), 60);
        assert_eq!(clock.real(Duration::from_secs(30)), Duration::from_secs(3));
    }

    #[tokio::test(start_paused = true)]
    async fn who_sleeps_until_an_instant_finds_the_time_reached() {
        let clock = Clock::start(Timestamp::UNIX_EPOCH, 7.0).unwrap();
        let due = Timestamp::from_second(100).unwrap();
        tokio::time::sleep_until(clock.instant(due)).await;
        assert!(clock.now() >= due, "{} is before {due}", clock.now());
    }

    #[tokio::test]
    async fn a_factor_that_stops_or_reverses_time_is_refused() {
        for speed in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e9] {
            assert!(Clock::start(Timestamp::UNIX_EPOCH, speed).is_err(), "{speed} was taken");
        }
    }
}
