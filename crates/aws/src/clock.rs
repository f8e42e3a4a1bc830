//! AWS's clock, kept from the `Date` headers of its replies; never reads the local wall clock after
//! the start.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::context::BeforeDeserializationInterceptorContextRef;
use aws_smithy_runtime_api::client::interceptors::{Intercept, dyn_dispatch_hint};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::DateTime;
use aws_smithy_types::config_bag::ConfigBag;
use aws_smithy_types::date_time::Format;
use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// Between replies it runs with the monotonic clock. Accurate to about a second, the resolution of
/// `Date`.
#[derive(Debug)]
pub(crate) struct Clock {
    started: Instant,
    /// What AWS's clock showed at `started`, as far as known.
    epoch: Mutex<Timestamp>,
}

/// `Date` names whole seconds, and a reply may be on its way for some time.
const RESOLUTION: Duration = Duration::from_secs(2);

impl Clock {
    /// Starts with the local wall clock, until the first reply.
    pub(crate) fn new(local: Timestamp) -> Self {
        Self { started: Instant::now(), epoch: Mutex::new(local) }
    }

    pub(crate) fn now(&self) -> Timestamp {
        let epoch = *self.epoch.lock().unwrap_or_else(PoisonError::into_inner);
        epoch.saturating_add(self.started.elapsed()).unwrap_or(epoch)
    }

    /// A reply says that it was made at `date`. The present idea of the time is kept when it lies
    /// within what that allows, and moved no further than needed when not: so the clock does not
    /// jump about within a second.
    fn heard(&self, date: Timestamp) {
        let now = self.now();
        let latest = date.saturating_add(RESOLUTION).unwrap_or(date);
        let correction = now.clamp(date, latest).duration_since(now);
        if correction != SignedDuration::ZERO {
            let mut epoch = self.epoch.lock().unwrap_or_else(PoisonError::into_inner);
            *epoch = epoch.saturating_add(correction).unwrap_or(*epoch);
        }
    }
}

/// Listens to all replies of a client.
#[derive(Debug)]
pub(crate) struct ClockListener(pub(crate) std::sync::Arc<Clock>);

#[dyn_dispatch_hint]
impl Intercept for ClockListener {
    fn name(&self) -> &'static str {
        "ClockListener"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let date = context.response().headers().get("date").and_then(parse_date);
        if let Some(date) = date {
            self.0.heard(date);
        }
        Ok(())
    }
}

fn parse_date(text: &str) -> Option<Timestamp> {
    let date = DateTime::from_str(text, Format::HttpDate).ok()?;
    Timestamp::from_second(date.secs()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCAL: Timestamp = Timestamp::UNIX_EPOCH;

    fn seconds(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn before_any_reply_it_is_the_local_clock_and_runs_on() {
        let clock = Clock::new(LOCAL);
        tokio::time::advance(Duration::from_millis(1500)).await;
        assert_eq!(clock.now(), Timestamp::from_millisecond(1500).unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn a_local_clock_that_is_an_hour_off_is_corrected_by_the_first_reply() {
        let clock = Clock::new(LOCAL);
        clock.heard(seconds(3600));
        assert_eq!(clock.now(), seconds(3600));
        clock.heard(seconds(1800));
        assert_eq!(clock.now(), seconds(1802), "back to the latest time that the reply allows");
    }

    #[tokio::test(start_paused = true)]
    async fn replies_within_the_resolution_do_not_move_it() {
        let clock = Clock::new(LOCAL);
        clock.heard(seconds(100));
        tokio::time::advance(Duration::from_millis(900)).await;
        clock.heard(seconds(100));
        assert_eq!(clock.now(), Timestamp::from_millisecond(100_900).unwrap());
    }

    #[test]
    fn the_date_header_is_read_and_nonsense_is_not() {
        assert_eq!(parse_date("Mon, 23 Nov 2026 05:00:00 GMT"), Some(seconds(1_795_410_000)));
        assert_eq!(parse_date("yesterday"), None);
    }
}
