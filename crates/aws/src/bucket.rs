//! A token bucket with lanes that adapts to throttling; never hands a token to a waiter while one in
//! an earlier lane waits.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use evenkeel_planner::Lane;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

/// What a bucket may hold and how fast it fills.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Limits {
    /// Tokens at most.
    pub(crate) burst: f64,
    /// Tokens per second.
    pub(crate) refill: f64,
    /// Tokens that only [`Lane::Rollback`] may take.
    pub(crate) reserve: f64,
}

#[derive(Debug)]
pub(crate) struct Bucket {
    limits: Limits,
    state: Mutex<State>,
    /// The first in line may have changed, or the tokens.
    changed: Notify,
}

#[derive(Debug)]
struct State {
    tokens: f64,
    /// Tokens per second at present, at most the limit.
    rate: f64,
    refilled: Instant,
    throttled: Option<Instant>,
    /// Who waits, first in line first.
    line: BTreeSet<Ticket>,
    next: u64,
}

/// A place in line: by lane, then by arrival.
type Ticket = (Lane, u64);

/// One answer "throttled" halves the rate; more within this time are echoes of the same overload.
const ECHO: Duration = Duration::from_secs(1);
/// The rate never falls below this part of the limit, so that a bucket always comes back.
const SLOWEST: f64 = 0.05;
/// The part of the limit that the rate regains each second.
const RECOVERY: f64 = 0.05;
/// After this long it is reckoned anew: a rate of hardly anything would make a time that no clock holds.
const LONGEST_WAIT: Duration = Duration::from_hours(1);

impl Bucket {
    pub(crate) fn new(limits: Limits) -> Self {
        let state = State {
            tokens: limits.burst,
            rate: limits.refill,
            refilled: Instant::now(),
            throttled: None,
            line: BTreeSet::new(),
            next: 0,
        };
        Self { limits, state: Mutex::new(state), changed: Notify::new() }
    }

    /// Waits in line for a token and takes it. Cancel-safe: a waiter that is dropped leaves the line
    /// without a token.
    pub(crate) async fn take(&self, lane: Lane) {
        let place = self.line_up(lane);
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            match self.try_take(place.ticket) {
                Attempt::Taken => return,
                Attempt::NotFirst => changed.await,
                // Ended by either: both mean to try again.
                Attempt::TooFew { wait } => drop(timeout(wait, changed).await),
            }
        }
    }

    /// Halves the rate and empties the bucket: AWS's own has nothing left.
    pub(crate) fn throttled(&self) {
        let now = Instant::now();
        let mut state = self.fill(now);
        if state.throttled.is_none_or(|last| now.duration_since(last) >= ECHO) {
            state.throttled = Some(now);
            state.rate = (state.rate / 2.0).max(self.limits.refill * SLOWEST);
            state.tokens = 0.0;
        }
    }

    /// Tokens now, and tokens per second now.
    pub(crate) fn level(&self) -> (f64, f64) {
        let state = self.fill(Instant::now());
        (state.tokens, state.rate)
    }

    fn line_up(&self, lane: Lane) -> Place<'_> {
        let mut state = self.lock();
        let ticket = (lane, state.next);
        state.next += 1;
        state.line.insert(ticket);
        drop(state);
        Place { bucket: self, ticket }
    }

    fn try_take(&self, ticket: Ticket) -> Attempt {
        let mut state = self.fill(Instant::now());
        if state.line.first() != Some(&ticket) {
            return Attempt::NotFirst;
        }
        let reserve = if ticket.0 == Lane::Rollback { 0.0 } else { self.limits.reserve };
        let lacking = 1.0 + reserve - state.tokens;
        if lacking <= f64::EPSILON {
            state.tokens -= 1.0;
            return Attempt::Taken;
        }
        // A timer has millisecond resolution: one more, or the waiter could spin.
        let wait = (lacking / state.rate).min(LONGEST_WAIT.as_secs_f64());
        let wait = Duration::from_secs_f64(wait) + Duration::from_millis(1);
        Attempt::TooFew { wait }
    }

    fn fill(&self, now: Instant) -> MutexGuard<'_, State> {
        let mut state = self.lock();
        let seconds = now.saturating_duration_since(state.refilled).as_secs_f64();
        state.refilled = now;
        state.rate += seconds * self.limits.refill * RECOVERY;
        state.rate = state.rate.min(self.limits.refill);
        state.tokens = (state.tokens + seconds * state.rate).min(self.limits.burst);
        state
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change of the state is complete in itself, so that a panic elsewhere spoils nothing.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Attempt {
    Taken,
    NotFirst,
    TooFew { wait: Duration },
}

/// Leaves the line when dropped, with or without a token.
struct Place<'a> {
    bucket: &'a Bucket,
    ticket: Ticket,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.bucket.lock().line.remove(&self.ticket);
        self.bucket.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::task::JoinSet;

    use super::*;

    fn bucket(burst: f64, refill: f64, reserve: f64) -> Arc<Bucket> {
        Arc::new(Bucket::new(Limits { burst, refill, reserve }))
    }

    async fn take(bucket: &Bucket, lane: Lane, times: usize) -> Duration {
        let start = Instant::now();
        for _ in 0..times {
            bucket.take(lane).await;
        }
        start.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_passes_at_once_and_the_rest_at_the_refill_rate() {
        let bucket = bucket(10.0, 2.0, 0.0);
        assert_eq!(take(&bucket, Lane::Sweep, 10).await, Duration::ZERO);
        let waited = take(&bucket, Lane::Sweep, 20).await.as_secs_f64();
        assert!((9.9..10.2).contains(&waited), "20 tokens at 2 a second took {waited} s");
    }

    #[tokio::test(start_paused = true)]
    async fn the_reserve_is_for_rollbacks_only() {
        let bucket = bucket(20.0, 1.0, 10.0);
        assert_eq!(take(&bucket, Lane::NewChange, 10).await, Duration::ZERO);
        assert_eq!(take(&bucket, Lane::Rollback, 10).await, Duration::ZERO);
        let waited = take(&bucket, Lane::NewChange, 1).await.as_secs_f64();
        assert!((10.9..11.2).contains(&waited), "the reserve was refilled first, in {waited} s");
    }

    #[tokio::test(start_paused = true)]
    async fn waiters_are_served_by_lane_and_then_by_arrival() {
        let bucket = bucket(1.0, 1.0, 0.0);
        bucket.take(Lane::Sweep).await;
        let served = Arc::new(Mutex::new(Vec::new()));
        let mut waiters = JoinSet::new();
        let arrivals =
            [(Lane::Sweep, 1), (Lane::Rollback, 2), (Lane::NewChange, 3), (Lane::Rollback, 4)];
        for (lane, name) in arrivals {
            let (bucket, served) = (Arc::clone(&bucket), Arc::clone(&served));
            waiters.spawn(async move {
                bucket.take(lane).await;
                served.lock().unwrap().push(name);
            });
            tokio::task::yield_now().await;
        }
        waiters.join_all().await;
        assert_eq!(*served.lock().unwrap(), [2, 4, 3, 1]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_waiter_that_gives_up_takes_no_token_and_holds_up_nobody() {
        let bucket = bucket(1.0, 1.0, 0.0);
        bucket.take(Lane::Sweep).await;
        let gave_up = timeout(Duration::from_millis(100), bucket.take(Lane::Rollback)).await;
        assert!(gave_up.is_err());
        let waited = take(&bucket, Lane::Sweep, 1).await;
        assert!(waited < Duration::from_secs(1), "the next token went to the next waiter");
    }

    #[tokio::test(start_paused = true)]
    async fn a_throttle_halves_the_rate_once_a_second_and_the_rate_recovers() {
        let bucket = bucket(10.0, 10.0, 0.0);
        bucket.throttled();
        bucket.throttled();
        assert_eq!(bucket.level(), (0.0, 5.0));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!((bucket.level().1 - 5.5).abs() < 0.01);
        tokio::time::advance(Duration::from_secs(10)).await;
        assert!((bucket.level().1 - 10.0).abs() < 0.01);
    }

    #[tokio::test(start_paused = true)]
    async fn constant_throttling_never_stops_a_bucket_altogether() {
        let bucket = bucket(10.0, 10.0, 0.0);
        for _ in 0..100 {
            bucket.throttled();
            tokio::time::advance(ECHO).await;
        }
        assert!(take(&bucket, Lane::Sweep, 1).await < Duration::from_secs(5));
    }
}
