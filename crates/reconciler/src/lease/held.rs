//! Which shards this replica holds and until when, shared by who renews, who starts passes and who
//! writes; never asks the table.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::{LeaseSettings, LeaseTimes, ShardId};

/// The leases of this replica. Cheap to clone; all clones show the same.
#[derive(Clone, Debug)]
pub struct HeldShards {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    times: LeaseTimes,
    write_deadline: Duration,
    entries: Mutex<BTreeMap<ShardId, Entry>>,
    /// `None` before the first read.
    table_read_at: Mutex<Option<Instant>>,
    version: watch::Sender<u64>,
    /// A shard may have become idle.
    idle: Notify,
}

#[derive(Debug)]
struct Entry {
    standing: Standing,
    until: Option<Instant>,
    passes: usize,
    /// Until when a write without an answer may still take effect.
    unanswered_until: Option<Instant>,
}

/// Who looks after a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// This replica.
    Held,
    /// This replica until its passes have ended, and then another.
    HandingOver,
    /// As far as the table shows, the replica with this name.
    Elsewhere { replica: String },
    /// Nobody that is known of, for the moment.
    Vacant,
}

impl HeldShards {
    pub(crate) fn new(settings: &LeaseSettings) -> Self {
        let shared = Shared {
            times: settings.times(),
            write_deadline: settings.write_deadline,
            entries: Mutex::default(),
            table_read_at: Mutex::default(),
            version: watch::Sender::new(0),
            idle: Notify::new(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Who looks after the shard.
    pub fn standing(&self, shard: &ShardId) -> Standing {
        self.entries().get(shard).map_or(Standing::Vacant, Entry::standing)
    }

    /// Whether another replica looks after the shard, by a table that was read since the last one could have died.
    pub(crate) fn is_known_elsewhere(&self, shard: &ShardId) -> bool {
        let read_at = *self.table_read_at();
        let is_recent = read_at.is_some_and(|at| at.elapsed() <= self.shared.times.takeover_wait);
        is_recent && matches!(self.standing(shard), Standing::Elsewhere { .. })
    }

    /// The table answered a read.
    pub(crate) fn table_was_read(&self) {
        *self.table_read_at() = Some(Instant::now());
    }

    /// The shards whose passes this replica starts.
    pub fn held(&self) -> BTreeSet<ShardId> {
        let entries = self.entries();
        let held = entries.iter().filter(|(_, entry)| entry.standing() == Standing::Held);
        held.map(|(shard, _)| shard.clone()).collect()
    }

    /// A number that changes with every standing, for waiting on.
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.shared.version.subscribe()
    }

    /// Begins a pass over a service of the shard, if it is held.
    ///
    /// # Errors
    ///
    /// Who looks after it instead.
    pub(crate) fn begin(&self, shard: &ShardId) -> Result<PassLease, Standing> {
        let mut entries = self.entries();
        let entry = entries.get_mut(shard).ok_or(Standing::Vacant)?;
        match entry.standing() {
            Standing::Held => entry.passes += 1,
            other => return Err(other),
        }
        drop(entries);
        Ok(PassLease { shards: self.clone(), shard: shard.clone() })
    }

    /// Tells who looks after a shard from now on, and until when that is certain.
    pub(crate) fn set(&self, shard: &ShardId, standing: Standing, until: Option<Instant>) {
        let mut entries = self.entries();
        let entry = entries.entry(shard.clone()).or_insert_with(Entry::vacant);
        // A lease that ran out may have been seen so by anybody: it is got anew when it is valid again. That
        // it is lost is told all the same, for nobody was waiting for the moment at which it ran out.
        let is_new = entry.standing != standing || entry.standing() != standing;
        (entry.standing, entry.until) = (standing, until);
        drop(entries);
        if is_new {
            self.shared.version.send_modify(|version| *version = version.wrapping_add(1));
        }
    }

    /// Ends the lease of a shard over which no pass runs and no write is under way. From then on
    /// nothing is written there. Says whether it did.
    pub(crate) fn give_up(&self, shard: &ShardId) -> bool {
        let is_idle = self.entries().get(shard).is_none_or(Entry::is_idle);
        if is_idle {
            self.set(shard, Standing::Vacant, None);
        }
        is_idle
    }

    pub(crate) fn forget(&self, shard: &ShardId) {
        self.entries().remove(shard);
    }

    /// When the last write without an answer will have taken effect or never will.
    pub(crate) fn unanswered_until(&self, shard: &ShardId) -> Option<Instant> {
        self.entries().get(shard)?.unanswered_until.filter(|until| *until > Instant::now())
    }

    /// Waits until a pass has ended.
    pub(crate) async fn a_pass_ended(&self) {
        self.shared.idle.notified().await;
    }

    fn table_read_at(&self) -> MutexGuard<'_, Option<Instant>> {
        self.shared.table_read_at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<ShardId, Entry>> {
        // Every change of an entry is complete in itself.
        self.shared.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn vacant() -> Self {
        Self { standing: Standing::Vacant, until: None, passes: 0, unanswered_until: None }
    }

    /// A lease that ran out is nobody's, whatever was told of it before.
    fn standing(&self) -> Standing {
        let is_valid = self.until.is_some_and(|until| until > Instant::now());
        match &self.standing {
            Standing::Held | Standing::HandingOver if !is_valid => Standing::Vacant,
            standing => standing.clone(),
        }
    }

    fn is_idle(&self) -> bool {
        let is_answered = self.unanswered_until.is_none_or(|until| until <= Instant::now());
        self.passes == 0 && is_answered
    }
}

/// A pass over a service of a held shard; the shard is not handed over while it lives.
#[derive(Debug)]
pub(crate) struct PassLease {
    shards: HeldShards,
    shard: ShardId,
}

impl PassLease {
    /// What is certainly left of the lease.
    pub(crate) fn left(&self) -> Duration {
        let entries = self.shards.entries();
        let until = entries.get(&self.shard).and_then(|entry| entry.until);
        until.map(|until| until.saturating_duration_since(Instant::now())).unwrap_or_default()
    }

    pub(crate) fn times(&self) -> LeaseTimes {
        self.shards.shared.times
    }

    pub(crate) fn write_deadline(&self) -> Duration {
        self.shards.shared.write_deadline
    }

    /// A write was given up, or its answer says nothing: it may take effect until `until`.
    pub(crate) fn unanswered(&self, until: Instant) {
        if let Some(entry) = self.shards.entries().get_mut(&self.shard) {
            entry.unanswered_until = entry.unanswered_until.max(Some(until));
        }
    }
}

impl Drop for PassLease {
    fn drop(&mut self) {
        if let Some(entry) = self.shards.entries().get_mut(&self.shard) {
            entry.passes = entry.passes.saturating_sub(1);
        }
        self.shards.shared.idle.notify_one();
    }
}
