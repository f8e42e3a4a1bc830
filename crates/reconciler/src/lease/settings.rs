//! The times of the lease protocol and what must hold between them; never reads a configuration.

use std::time::Duration;

/// The layout and the rules that this release of Evenkeel writes records by. It grows with every
/// release that must not work beside the one before.
pub const LEASE_VERSION: u32 = 1;

const TTL: Duration = Duration::from_secs(7);
const RENEW_EVERY: Duration = Duration::from_millis(1500);
const REQUEST_DEADLINE: Duration = Duration::from_secs(1);
const WRITE_DEADLINE: Duration = Duration::from_secs(4);
const MARGIN: Duration = Duration::from_millis(500);
const CLOCK_SKEW_MAX: u32 = 2;

/// What is promised of the defaults: another replica writes within so long of the last sign of a
/// replica that died, table at hand.
const TAKEOVER_WITHIN: Duration = Duration::from_secs(20);

/// The times of [`LeaseSettings`], as the protocol needs them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LeaseTimes {
    /// For how long a renewal holds, from before it is sent, by the clock of the holder.
    pub ttl: Duration,
    /// For how long a record must not change before another takes it, from the read that first
    /// showed it, by the clock of the other.
    pub takeover_wait: Duration,
    /// What must be left of a lease when a write is sent, and a little more.
    pub write_needs: Duration,
}

impl LeaseTimes {
    /// Whether a write may be sent when so much is left of the lease.
    pub fn covers_a_write(&self, left: Duration) -> bool {
        left > self.write_needs
    }
}

/// Every number of the lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseSettings {
    /// The name of this replica for people, and what its share of the shards depends on: the same
    /// after a restart, another for each replica. Default: `evenkeel`.
    pub replica: String,
    /// For how long a renewal holds. Default: 7 seconds.
    pub ttl: Duration,
    /// How often the table is read and leases are renewed. Default: 1.5 seconds.
    pub renew_every: Duration,
    /// After which a request to the table counts as one of unknown outcome. Default: 1 second.
    pub request_deadline: Duration,
    /// After which a write to AWS is given up, with unknown outcome. Default: 4 seconds.
    pub write_deadline: Duration,
    /// What must be left of the lease beyond that when a write is sent. Default: 500 milliseconds.
    pub margin: Duration,
    /// How much faster the clock of one replica may run than that of another. Default: 2.
    pub clock_skew_max: u32,
    /// For how long no replica may have come or gone before shards are spread anew.
    /// Default: 30 seconds.
    pub settle_time: Duration,
    /// From which the incarnation is drawn; `None` takes it from the operating system. A simulation
    /// sets it, to another value for each start. Default: `None`.
    pub seed: Option<u64>,
}

impl Default for LeaseSettings {
    fn default() -> Self {
        Self {
            replica: "evenkeel".to_owned(),
            ttl: TTL,
            renew_every: RENEW_EVERY,
            request_deadline: REQUEST_DEADLINE,
            write_deadline: WRITE_DEADLINE,
            margin: MARGIN,
            clock_skew_max: CLOCK_SKEW_MAX,
            settle_time: Duration::from_secs(30),
            seed: None,
        }
    }
}

/// Settings under which the lease would not keep its promises.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LeaseSettingsError {
    #[error(
        "the replica's name must be 1 to 200 characters of letters, digits, '-', '_' and '.', and \
         is {0:?}"
    )]
    Replica(String),
    #[error("{0} must be above zero")]
    Zero(&'static str),
    #[error("the clocks of two replicas differ by a factor of at least 1")]
    ClockSkew,
    #[error(
        "the time to live must be at least {} ms: renewal interval, request deadline, write \
         deadline and margin together, so that one renewal may fail without a pause in writing",
        .0.as_millis()
    )]
    TtlTooShort(Duration),
}

impl LeaseSettings {
    /// # Errors
    ///
    /// The first thing that is wrong.
    pub fn validate(&self) -> Result<(), LeaseSettingsError> {
        let is_ordinary = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if !(1..=200).contains(&self.replica.len()) || !self.replica.chars().all(is_ordinary) {
            return Err(LeaseSettingsError::Replica(self.replica.clone()));
        }
        let times = [
            ("the renewal interval", self.renew_every),
            ("the request deadline", self.request_deadline),
            ("the write deadline", self.write_deadline),
            ("the margin", self.margin),
        ];
        if let Some((name, _)) = times.iter().find(|(_, time)| time.is_zero()) {
            return Err(LeaseSettingsError::Zero(name));
        }
        if self.clock_skew_max < 1 {
            return Err(LeaseSettingsError::ClockSkew);
        }
        let least = times.iter().fold(Duration::ZERO, |sum, (_, time)| sum.saturating_add(*time));
        if self.ttl < least { Err(LeaseSettingsError::TtlTooShort(least)) } else { Ok(()) }
    }

    /// The times that follow for the protocol.
    pub fn times(&self) -> LeaseTimes {
        LeaseTimes {
            ttl: self.ttl,
            takeover_wait: takeover_wait(self.ttl, self.clock_skew_max, self.write_deadline),
            write_needs: self.write_deadline.saturating_add(self.margin),
        }
    }

    /// Within which another replica writes after the last sign of one that died, if the table
    /// answers at once and no clock runs slow.
    pub fn takeover_within(&self) -> Duration {
        self.times().takeover_wait.saturating_add(self.renew_every)
    }

    /// For how long a replica that gives no sign counts among those that shards are spread over.
    pub(crate) fn live_for(&self) -> Duration {
        self.times().takeover_wait / 2
    }

    /// After which the record of a replica that gives no sign is removed from the table.
    pub(crate) fn forgotten_after(&self) -> Duration {
        self.times().takeover_wait.saturating_mul(30)
    }
}

const fn takeover_wait(ttl: Duration, skew: u32, write_deadline: Duration) -> Duration {
    ttl.saturating_mul(skew).saturating_add(write_deadline)
}

/// The defaults: writing goes on while one renewal fails, and takeover keeps its bound, with half
/// a second for the table to answer.
const _: () = {
    let needed = WRITE_DEADLINE.as_millis() + MARGIN.as_millis() + RENEW_EVERY.as_millis();
    assert!(TTL.as_millis() >= needed + REQUEST_DEADLINE.as_millis());
    let wait = takeover_wait(TTL, CLOCK_SKEW_MAX, WRITE_DEADLINE).as_millis();
    // A holder whose clock runs slow by the whole skew writes for the last time before another
    // whose clock runs fast is done waiting.
    assert!(wait >= TTL.as_millis() * 2 + WRITE_DEADLINE.as_millis());
    assert!(wait + RENEW_EVERY.as_millis() + 500 <= TAKEOVER_WITHIN.as_millis());
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_keep_their_promises() {
        let settings = LeaseSettings::default();
        assert_eq!(settings.validate(), Ok(()));
        assert_eq!(settings.times().takeover_wait, Duration::from_secs(18));
        assert_eq!(settings.takeover_within(), Duration::from_millis(19_500));
    }

    #[test]
    fn settings_that_break_a_promise_are_refused_with_a_reason() {
        let base = LeaseSettings::default;
        let replica = LeaseSettings { replica: "a/b".to_owned(), ..base() };
        assert_eq!(replica.validate(), Err(LeaseSettingsError::Replica("a/b".to_owned())));
        let margin = LeaseSettings { margin: Duration::ZERO, ..base() };
        assert_eq!(margin.validate(), Err(LeaseSettingsError::Zero("the margin")));
        let skew = LeaseSettings { clock_skew_max: 0, ..base() };
        assert_eq!(skew.validate(), Err(LeaseSettingsError::ClockSkew));
        let ttl = LeaseSettings { ttl: Duration::from_secs(6), ..base() };
        let error = ttl.validate().unwrap_err();
        assert!(error.to_string().contains("at least 7000 ms"), "{error}");
    }
}
