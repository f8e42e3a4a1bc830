//! What lies between one daemon and the region: time, and the weather; never changes a request.

use std::fmt;
use std::future::pending;
use std::sync::Arc;

use evenkeel_manifest::ServiceKey;
use evenkeel_planner::Action;
use evenkeel_reconciler::CloudError;
use jiff::Timestamp;
use serde_json::Value;
use tokio::time::Instant;

use super::course::{Shared, lock};
use super::event::Replica;
use super::weather::GIVES_UP_AFTER;
use super::{Phase, Way};
use crate::Api;

/// The connection of one daemon.
#[derive(Clone)]
pub(crate) struct Wire {
    pub(super) course: Shared,
    pub(super) replica: Replica,
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Wire").field(&self.replica).finish()
    }
}

impl Wire {
    pub(crate) fn now(&self) -> Timestamp {
        lock(&self.course).now()
    }

    /// What is asked from now on about a service belongs to another pass than before.
    pub(crate) fn begin_pass(&self, about: &ServiceKey) {
        lock(&self.course).begin_pass(self.replica, about);
    }

    pub(crate) async fn carry(
        &self,
        about: Option<&ServiceKey>,
        action: Option<&Action>,
        call: (Api, &str),
        input: &Value,
    ) -> Result<Arc<Value>, CloudError> {
        thawed(&self.course, self.replica).await;
        let trip = lock(&self.course).send(self.replica, about, action, call, input);
        let Some(trip) = trip else { return self.die().await };
        tokio::time::sleep(trip.fate.request).await;
        let reply = lock(&self.course).arrive(&trip);
        if trip.fate.dies == Some(Phase::SentNoAnswer) {
            return self.die().await;
        }
        let back = match trip.fate.way {
            Way::RequestLost | Way::AnswerLost | Way::CarriedLate(_) => GIVES_UP_AFTER,
            Way::Slow(time) => time,
            Way::Hangs => return pending().await,
            Way::Carried | Way::Refused(_) | Way::AsOf(_) | Way::Partial => trip.fate.response,
        };
        tokio::time::sleep(back).await;
        thawed(&self.course, self.replica).await;
        let answer = lock(&self.course).answer(&trip, reply);
        if trip.fate.dies == Some(Phase::AnsweredNotActedOn) {
            return self.die().await;
        }
        answer
    }

    /// The daemon is killed, and what it was doing is never gone on with.
    async fn die(&self) -> Result<Arc<Value>, CloudError> {
        if let Some(seat) = lock(&self.course).seats.get(&self.replica) {
            seat.killed.notify_one();
        }
        pending().await
    }
}

/// A frozen process does nothing, whatever time it is; one that is frozen again meanwhile thaws later.
pub(super) async fn thawed(course: &Shared, replica: Replica) {
    loop {
        let until = lock(course).seats.get(&replica).and_then(|seat| seat.frozen_until);
        match until.filter(|until| *until > Instant::now()) {
            Some(until) => tokio::time::sleep_until(until).await,
            None => return,
        }
    }
}
