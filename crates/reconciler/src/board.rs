//! The newest status of every service, for whoever wants to read it; never decides anything.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use evenkeel_manifest::ServiceKey;
use evenkeel_planner::{ConditionKind, ConditionStatus, Status};
use jiff::Timestamp;
use tokio::sync::watch;

/// Holds one status a service. Its memory is bounded by the number of services: a status replaces
/// the one before it, and one of a settled service is stored without ECS's events.
#[derive(Debug)]
pub struct StatusBoard {
    statuses: RwLock<BTreeMap<ServiceKey, Posted>>,
    version: watch::Sender<u64>,
}

#[derive(Debug)]
struct Posted {
    status: Arc<Status>,
    /// When the rollout in flight began, if that is known better than from the status.
    began: Option<Timestamp>,
}

impl Default for StatusBoard {
    fn default() -> Self {
        Self { statuses: RwLock::default(), version: watch::Sender::new(0) }
    }
}

impl StatusBoard {
    pub fn new() -> Self {
        Self::default()
    }

    /// Replaces the status of the service that `status` is about.
    pub fn publish(&self, status: Status) {
        self.publish_in_rollout(status, None);
    }

    /// As [`Self::publish`], with when the rollout in flight began: a status tells only since when it is
    /// in its phase.
    pub(crate) fn publish_in_rollout(&self, status: Status, began: Option<Timestamp>) {
        let status = Arc::new(compact(status));
        self.write().insert(status.key.clone(), Posted { status, began });
        self.version.send_modify(|version| *version = version.wrapping_add(1));
    }

    pub fn get(&self, key: &ServiceKey) -> Option<Arc<Status>> {
        self.read().get(key).map(|posted| posted.status.clone())
    }

    /// All statuses, ordered by key.
    pub fn all(&self) -> Vec<Arc<Status>> {
        self.read().values().map(|posted| posted.status.clone()).collect()
    }

    /// The statuses with a rollout in flight, ordered by key, and when it began as far as is known.
    pub(crate) fn rollouts(&self) -> Vec<(Arc<Status>, Timestamp)> {
        let began = |posted: &Posted| {
            let rollout = posted.status.rollout.as_ref()?;
            Some((posted.status.clone(), posted.began.or(rollout.since)?))
        };
        self.read().values().filter_map(began).collect()
    }

    /// Forgets a service that no manifest names any more.
    pub fn remove(&self, key: &ServiceKey) {
        if self.write().remove(key).is_some() {
            self.version.send_modify(|version| *version = version.wrapping_add(1));
        }
    }

    /// A number that changes with every `publish` and `remove`, for waiting on.
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    // A panic while the lock was held cannot leave the map half changed, so poison is ignored.
    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<ServiceKey, Posted>> {
        self.statuses.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<ServiceKey, Posted>> {
        self.statuses.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ten thousand of these must fit in memory, and nearly all are settled. The events of a settled
/// service say "has reached a steady state" five times.
fn compact(mut status: Status) -> Status {
    if is_settled(&status) {
        status.events = Vec::new();
    }
    status.conditions.shrink_to_fit();
    for condition in &mut status.conditions {
        condition.message.shrink_to_fit();
    }
    status.breaker.shrink_to_fit();
    status.evidence.shrink_to_fit();
    status.waiting.shrink_to_fit();
    status.did.shrink_to_fit();
    status.events.shrink_to_fit();
    status
}

fn is_settled(status: &Status) -> bool {
    let ready = |c: &evenkeel_planner::Condition| {
        c.kind == ConditionKind::Ready && c.status == ConditionStatus::True
    };
    status.rollout.is_none() && status.waiting.is_empty() && status.conditions.iter().any(ready)
}
