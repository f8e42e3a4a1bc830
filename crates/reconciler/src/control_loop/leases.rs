//! What the loop does when this replica gets or loses the lease on a cluster's services; never
//! decides who holds it.

use std::sync::Arc;
use std::time::Duration;

use evenkeel_manifest::ServiceKey;

use super::ControlLoop;
use crate::lease::{PassLease, ShardId, Standing};
use crate::orders::NotFollowed;
use crate::{Cloud, unplanned};

impl<C: Cloud> ControlLoop<C> {
    /// Waits until a lease was got or lost; for ever when there are none.
    ///
    /// Cancel-safe: a version counts as seen only when this returns.
    pub(super) async fn leases_changed(lease: &mut Option<tokio::sync::watch::Receiver<u64>>) {
        let gone = match lease {
            Some(version) => version.changed().await.is_err(),
            None => true,
        };
        if gone {
            std::future::pending::<()>().await;
        }
    }

    /// The lease for a pass; `Ok(None)` when none is needed.
    pub(super) fn lease_for(&self, key: &ServiceKey) -> Result<Option<PassLease>, Standing> {
        self.leases.as_ref().map(|leases| leases.begin(&ShardId::of(key))).transpose()
    }

    /// Whether this replica has nothing to look after, and another one looks after all that there is.
    pub(super) fn is_idle(&self) -> bool {
        let is_elsewhere = |key: &Arc<ServiceKey>| {
            let leases = self.leases.as_ref();
            leases.is_some_and(|leases| leases.is_known_elsewhere(&ShardId::of(key)))
        };
        self.roster.is_idle() && self.roster.keys().iter().all(is_elsewhere)
    }

    /// What was got is looked at, and what was lost is shown as another's, or as nobody's.
    pub(super) fn leases_moved(&mut self) {
        let Some(leases) = self.leases.clone() else { return };
        let mut got = Vec::new();
        for key in self.roster.keys() {
            match leases.standing(&ShardId::of(&key)) {
                Standing::Held if self.roster.takes_up(&key) => got.push(key),
                Standing::Held | Standing::HandingOver => {}
                standing => self.stand_by(&key, &standing),
            }
        }
        if !got.is_empty() {
            self.lease_got();
        }
        self.schedule(&got);
    }

    /// Nothing is done for the service here until its lease is got.
    pub(super) fn stand_by(&mut self, key: &Arc<ServiceKey>, standing: &Standing) {
        if self.roster.note(key).is_some_and(|note| note.leaving) {
            return self.leave(key);
        }
        self.roster.stands_by(key);
        let why = match standing {
            Standing::Elsewhere { replica } => {
                format!("replica {replica} looks after the services of cluster {}", key.cluster)
            }
            Standing::HandingOver => {
                format!("the services of cluster {} are handed over", key.cluster)
            }
            Standing::Held | Standing::Vacant => {
                format!("no replica is known to look after the services of cluster {}", key.cluster)
            }
        };
        let is_vacant = matches!(standing, Standing::Held | Standing::Vacant);
        self.publish(unplanned::standing_by(key, &why, is_vacant));
    }

    /// A pass that could not start for want of its lease.
    pub(super) fn not_ours(&mut self, key: &Arc<ServiceKey>, standing: &Standing) {
        self.queue.done(key);
        let replica = match standing {
            Standing::Elsewhere { replica } => Some(replica.clone()),
            Standing::Held | Standing::HandingOver | Standing::Vacant => None,
        };
        self.orders.turn_away(key, &NotFollowed::Elsewhere { replica });
        match standing {
            // It may come back, and is shown by its last status meanwhile.
            Standing::HandingOver => {
                self.roster.stands_by(key);
                self.queue.add(key.clone(), Duration::from_secs(1), crate::Urgency::Ordinary);
            }
            standing => self.stand_by(key, standing),
        }
    }
}
