//! Random faults of calls, from a seed; never one that AWS could not show.

use std::time::Duration;

use fastrand::Rng;
use jiff::Timestamp;

use super::event::Sent;
use super::weather::{Fate, Way};
use crate::ApiError;

/// Bad weather: how likely each call is to meet a fault.
#[derive(Clone, Debug)]
pub struct Storm {
    rng: Rng,
    /// From 0 to 1.
    pub likelihood: f64,
    /// Whether reads may be answered from the past; it costs memory to keep it.
    pub stale_reads: bool,
    pub faults: u64,
}

impl Storm {
    pub fn new(seed: u64, likelihood: f64, stale_reads: bool) -> Self {
        Self { rng: Rng::with_seed(seed), likelihood, stale_reads, faults: 0 }
    }

    pub(crate) fn fate(&mut self, call: &Sent, now: Timestamp) -> Fate {
        let mut milliseconds = |most| Duration::from_millis(self.rng.u64(5..most));
        let (request, response) = (milliseconds(120), milliseconds(120));
        let mut fate = Fate { request, response, way: Way::Carried, dies: None };
        if self.rng.f64() >= self.likelihood {
            return fate;
        }
        self.faults += 1;
        match self.rng.u8(..8) {
            0 => fate.request = self.seconds(1..15),
            1 => fate.response = self.seconds(1..15),
            2 | 3 if self.stale_reads && !call.is_write() => {
                fate.way = Way::AsOf(now - self.seconds(1..300));
            }
            _ => fate.way = self.way(!call.is_write()),
        }
        fate
    }

    /// A way to go wrong, whatever time it is.
    pub(crate) fn way(&mut self, is_read: bool) -> Way {
        match self.rng.u8(..18) {
            0 | 1 => Way::RequestLost,
            2..6 => Way::AnswerLost,
            6 | 7 if !is_read => Way::CarriedLate(self.seconds(1..300)),
            8 | 9 if is_read => Way::Partial,
            10 => Way::Slow(self.seconds(1..20)),
            11 => Way::Hangs,
            _ => Way::Refused(self.error()),
        }
    }

    fn seconds(&mut self, range: std::ops::Range<u64>) -> Duration {
        Duration::from_secs(self.rng.u64(range))
    }

    fn error(&mut self) -> ApiError {
        let errors = [
            ApiError::client("ThrottlingException", "Rate exceeded"),
            ApiError::client("ThrottlingException", "Rate exceeded"),
            ApiError::server("ServerException", "Service Unavailable. Please try again later."),
            ApiError::server("ServiceUnavailable", "the service is unavailable"),
            ApiError::client("AccessDeniedException", "User is not authorized to perform this"),
            ApiError::client("ExpiredTokenException", "The security token included is expired"),
            ApiError::client("LimitExceededException", "a quota was reached"),
        ];
        self.rng.choice(errors).expect("the list is not empty")
    }
}
