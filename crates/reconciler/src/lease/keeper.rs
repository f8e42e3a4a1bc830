//! Reads the table, renews, takes and gives back leases, round after round; never decides what is
//! written to AWS.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use super::membership::Membership;
use super::shard::replica;
use super::{
    HeldShards, Holder, LEASE_VERSION, LeaseMetrics, LeaseRecord, LeaseSettings,
    LeaseSettingsError, LeaseStore, Moment, Put, PutOutcome, ShardId, ShardLease, Standing, Step,
    Wish,
};
use crate::{DesiredState, Shutdown};

/// The part of the renewal interval after which a round follows one that met with trouble.
const SOONER: u32 = 6;

const NO_ANSWER: &str = "no answer in time";

/// Keeps the leases of one replica on the shards that its manifests name.
///
/// # Guarantees
///
/// - A shard is given back only when no pass over it runs and no write to it can still take
///   effect.
/// - Whatever happens to this task, leases run out by themselves.
#[derive(Debug)]
pub struct LeaseKeeper<S> {
    store: Arc<S>,
    settings: LeaseSettings,
    metrics: LeaseMetrics,
    desired: watch::Receiver<Arc<DesiredState>>,
    held: HeldShards,
    me: Holder,
    began: Instant,
    membership: Membership,
    /// This replica's sign of life, as the table last showed it.
    sign: Option<LeaseRecord>,
    shards: BTreeMap<ShardId, Tended>,
    is_draining: bool,
    /// Whether the round under way, or the last, had an answer to everything; and the one before.
    is_well: bool,
    was_well: bool,
}

/// A lease that is held or watched.
#[derive(Debug)]
struct Tended {
    lease: ShardLease,
    /// Whether a manifest names a service of it.
    is_named: bool,
    /// Held, and to be another replica's.
    is_handed_over: bool,
}

impl Tended {
    fn is_ours(&self) -> bool {
        self.lease.is_ours_by_the_table()
    }

    /// Whether it is to be given back as soon as it is idle.
    fn is_leaving(&self) -> bool {
        self.is_handed_over || !self.is_named
    }
}

/// Whose record was written.
#[derive(Clone, Debug)]
enum Subject {
    Sign,
    Shard(ShardId),
}

/// A write of the table and what came of it.
#[derive(Debug)]
struct Written {
    subject: Subject,
    sent_at: Moment,
    put: Put,
    outcome: PutOutcome,
    /// Of an unknown outcome.
    why: String,
}

impl<S: LeaseStore> LeaseKeeper<S> {
    /// # Errors
    ///
    /// Settings under which the lease would not keep its promises.
    pub fn new(
        store: Arc<S>,
        settings: LeaseSettings,
        metrics: LeaseMetrics,
        desired: watch::Receiver<Arc<DesiredState>>,
    ) -> Result<Self, LeaseSettingsError> {
        Self::of_version(LEASE_VERSION, store, settings, metrics, desired)
    }

    pub(crate) fn of_version(
        version: u32,
        store: Arc<S>,
        settings: LeaseSettings,
        metrics: LeaseMetrics,
        desired: watch::Receiver<Arc<DesiredState>>,
    ) -> Result<Self, LeaseSettingsError> {
        settings.validate()?;
        let mut rng = settings.seed.map_or_else(fastrand::Rng::new, fastrand::Rng::with_seed);
        let name = format!("{}#{:08x}", settings.replica, rng.u32(..));
        let me = Holder { name, version };
        Ok(Self {
            store,
            held: HeldShards::new(&settings),
            membership: Membership::new(me.clone(), &settings),
            me,
            settings,
            metrics,
            desired,
            began: Instant::now(),
            sign: None,
            shards: BTreeMap::new(),
            is_draining: false,
            is_well: true,
            was_well: true,
        })
    }

    /// What is held, for the control loop and whoever shows it.
    pub fn held(&self) -> HeldShards {
        self.held.clone()
    }

    /// Keeps leases until `shutdown` is requested; when drained, gives them back as passes end, and
    /// ends when all are given back. When aborted, ends at once and lets them run out.
    pub async fn run(mut self, shutdown: Shutdown) {
        let mut give_up_at = None;
        loop {
            tokio::select! {
                biased;
                // Cancel-safe: a cancelled token stays cancelled.
                () = shutdown.abort.cancelled() => return,
                // Ended by nothing else: what it sent then has an unknown outcome for ever.
                () = self.round() => {}
            }
            if self.is_draining {
                if self.is_drained() || give_up_at.is_some_and(|at| Instant::now() >= at) {
                    return self.sign_off().await;
                }
                if give_up_at.is_none() && !self.holds_any() {
                    give_up_at = Some(Instant::now() + self.settings.ttl);
                }
            }
            self.pause(&shutdown).await;
        }
    }

    /// Waits for the next round.
    async fn pause(&mut self, shutdown: &Shutdown) {
        let next = self.next_round();
        let is_leaving = self.shards.values().any(|one| self.is_leaving(one) && one.is_ours());
        tokio::select! {
            biased;
            () = shutdown.abort.cancelled() => {}
            () = shutdown.drain.cancelled(), if !self.is_draining => self.is_draining = true,
            Ok(()) = self.desired.changed() => {}
            () = self.held.a_pass_ended(), if is_leaving => {}
            () = sleep_until(next) => {}
        }
    }

    fn next_round(&mut self) -> Instant {
        let every = self.settings.renew_every;
        let now = self.now();
        let is_put_back = self.shards.values().any(|one| one.lease.is_put_back(now));
        let pause = if self.is_well && !is_put_back { every } else { every / SOONER };
        let mut next = now.saturating_add(pause);
        for shard in self.shards.keys().cloned().collect::<Vec<_>>() {
            let wish = self.wish(&shard, now);
            let Some(tended) = self.shards.get_mut(&shard).filter(|one| !one.lease.is_valid(now))
            else {
                continue;
            };
            if let (Wish::Hold, Step::Wait(Some(due))) = (wish, tended.lease.next(now, wish)) {
                next = next.min(due.max(now));
            }
        }
        let next = self.began + next;
        let unanswered = self.shards.keys().filter_map(|shard| self.held.unanswered_until(shard));
        unanswered.fold(next, Instant::min)
    }

    fn now(&self) -> Moment {
        self.began.elapsed()
    }

    async fn round(&mut self) {
        self.was_well = std::mem::replace(&mut self.is_well, true);
        self.read().await;
        self.tend_what_is_named();
        self.spread();
        let mut writes = JoinSet::new();
        self.send_all(&mut writes);
        while let Some(written) = writes.join_next().await {
            if let Ok(written) = written {
                self.written(written);
            } else {
                self.trouble("a request panicked");
            }
        }
        self.publish();
        self.remove_forgotten().await;
    }

    /// Said once while it lasts.
    fn trouble(&mut self, why: &str) {
        if self.was_well && self.is_well {
            tracing::warn!(why, "the lease table does not answer; leases run out unless it does");
        } else {
            tracing::debug!(why, "the lease table does not answer");
        }
        self.is_well = false;
        self.metrics.failed();
    }

    async fn read(&mut self) {
        let records = match timeout(self.settings.request_deadline, self.store.read()).await {
            Ok(Ok(records)) => records,
            Ok(Err(error)) => return self.trouble(&error.to_string()),
            Err(_) => return self.trouble(NO_ANSWER),
        };
        let now = self.now();
        self.held.table_was_read();
        self.membership.read_ended(now, &records);
        self.sign = records.get(&self.membership.own_name()).cloned();
        self.tend_what_is_named();
        for (shard, tended) in &mut self.shards {
            tended.lease.read_ended(now, records.get(&shard.to_string()));
        }
    }

    /// Takes in the shards that manifests name, and lets go of those that none names any more.
    fn tend_what_is_named(&mut self) {
        let desired = self.desired.borrow_and_update().clone();
        let named: BTreeSet<ShardId> = desired.keys().into_iter().map(ShardId::of).collect();
        let held = &self.held;
        self.shards.retain(|shard, tended| {
            tended.is_named = named.contains(shard);
            let stays = tended.is_named || tended.is_ours();
            if !stays {
                held.forget(shard);
            }
            stays
        });
        for shard in named {
            self.shards.entry(shard).or_insert_with(|| Tended {
                lease: ShardLease::new(self.me.clone(), self.settings.times()),
                is_named: true,
                is_handed_over: false,
            });
        }
    }

    /// After the replicas have changed for good, decides which shards are handed over.
    fn spread(&mut self) {
        let now = self.now();
        if self.is_draining || !self.membership.settles(now) {
            return;
        }
        for (shard, tended) in &mut self.shards {
            tended.is_handed_over = tended.is_ours() && !self.membership.is_preferred(shard);
            if tended.is_handed_over {
                tracing::info!(%shard, "lease is handed over to another replica as passes end");
            }
        }
    }

    /// A shard that should be another's is taken all the same when nobody has taken it for long.
    fn wish(&self, shard: &ShardId, now: Moment) -> Wish {
        let Some(tended) = self.shards.get(shard) else { return Wish::LetGo };
        if tended.is_ours() {
            return if self.is_leaving(tended) { Wish::LetGo } else { Wish::Hold };
        }
        let patience = self.settings.times().takeover_wait.saturating_mul(2);
        let is_abandoned = tended.lease.unchanged_for(now) >= patience;
        let takes = tended.is_named && (self.membership.is_preferred(shard) || is_abandoned);
        if takes && !self.is_draining && !self.membership.yields() {
            Wish::Hold
        } else {
            Wish::LetGo
        }
    }

    fn is_leaving(&self, tended: &Tended) -> bool {
        self.is_draining || tended.is_leaving()
    }

    fn send_all(&mut self, writes: &mut JoinSet<Written>) {
        let now = self.now();
        if self.is_well && !(self.is_draining && self.is_drained()) {
            let record = self.membership.sign(self.sign.as_ref());
            let put = Put { expected: self.sign.clone(), record };
            self.send(writes, Subject::Sign, self.membership.own_name(), put);
        }
        for shard in self.shards.keys().cloned().collect::<Vec<_>>() {
            let wish = match self.wish(&shard, now) {
                Wish::LetGo if !self.is_ours(&shard) => continue,
                // While passes run the lease is kept, so that they can end in order.
                Wish::LetGo if !self.held.give_up(&shard) => Wish::Hold,
                wish => wish,
            };
            let step = self.shards.get_mut(&shard).map(|one| one.lease.next(now, wish));
            if let Some(Step::Put(put)) = step {
                self.send(writes, Subject::Shard(shard.clone()), shard.to_string(), put);
            }
        }
    }

    fn is_ours(&self, shard: &ShardId) -> bool {
        self.shards.get(shard).is_some_and(Tended::is_ours)
    }

    fn send(&self, writes: &mut JoinSet<Written>, subject: Subject, name: String, put: Put) {
        let (store, limit) = (self.store.clone(), self.settings.request_deadline);
        let sent_at = self.now();
        writes.spawn(async move {
            let stored = store.put(&name, put.expected.as_ref(), &put.record);
            let stored = timeout(limit, stored).await;
            let (outcome, why) = (PutOutcome::Unknown, NO_ANSWER.to_owned());
            let unknown = Written { subject, sent_at, put, outcome, why };
            let outcome = match stored {
                Ok(Ok(true)) => PutOutcome::Stored,
                Ok(Ok(false)) => PutOutcome::Refused,
                Ok(Err(error)) => return Written { why: error.to_string(), ..unknown },
                Err(_) => return unknown,
            };
            Written { outcome, ..unknown }
        });
    }

    fn written(&mut self, written: Written) {
        let Written { subject, sent_at, put, outcome, why } = written;
        match outcome {
            PutOutcome::Stored if !put.record.is_free() => self.metrics.renewed(Timestamp::now()),
            PutOutcome::Stored => {}
            PutOutcome::Refused => self.is_well = false,
            PutOutcome::Unknown => self.trouble(&why),
        }
        let now = self.now();
        match subject {
            Subject::Sign if outcome == PutOutcome::Stored => self.sign = Some(put.record),
            Subject::Sign => {}
            Subject::Shard(shard) => {
                if outcome == PutOutcome::Stored {
                    self.tell(&shard, &put);
                }
                if let Some(tended) = self.shards.get_mut(&shard) {
                    tended.is_handed_over &= tended.is_ours();
                    tended.lease.put_ended(sent_at, now, put, outcome);
                    self.show(&shard);
                }
            }
        }
    }

    fn tell(&self, shard: &ShardId, put: &Put) {
        let before = put.expected.as_ref().map_or("", |record| record.holder.as_str());
        let epoch = put.record.epoch;
        if put.record.is_free() {
            tracing::info!(%shard, epoch, "lease given back");
        } else if put.expected.is_none() {
            let wait = self.settings.times().takeover_wait;
            tracing::info!(%shard, epoch, ?wait, "no record of the lease: this one must stand so long");
        } else if before != put.record.holder {
            tracing::info!(%shard, epoch, from = before, "lease taken");
            if !before.is_empty() {
                self.metrics.taken_over();
            }
        }
    }

    fn publish(&self) {
        self.shards.keys().for_each(|shard| self.show(shard));
        let now = self.now();
        self.metrics.held(self.shards.values().filter(|one| one.lease.is_valid(now)).count());
    }

    /// Shows a lease as it is now to who starts passes and who writes.
    fn show(&self, shard: &ShardId) {
        let (Some(tended), now) = (self.shards.get(shard), self.now()) else { return };
        let until = tended.lease.valid_until().filter(|until| *until > now);
        let standing = match (until, tended.lease.shown()) {
            (Some(_), _) if self.is_leaving(tended) => Standing::HandingOver,
            (Some(_), _) => Standing::Held,
            (None, Some(record)) if !record.is_free() && record.holder != self.me.name => {
                Standing::Elsewhere { replica: replica(&record.holder).to_owned() }
            }
            (None, _) => Standing::Vacant,
        };
        self.held.set(shard, standing, until.map(|until| self.began + until));
    }

    /// One a round: there is no hurry.
    async fn remove_forgotten(&self) {
        let forgotten = self.membership.forgotten(self.now()).into_iter().next();
        let Some((name, record)) = forgotten.filter(|_| self.is_well) else { return };
        let removed = timeout(self.settings.request_deadline, self.store.remove(&name, &record));
        if let Ok(Ok(true)) = removed.await {
            tracing::info!(name, "a replica long gone is forgotten");
        }
    }

    fn holds_any(&self) -> bool {
        let now = self.now();
        self.shards.values().any(|one| one.lease.is_valid(now))
    }

    fn is_drained(&self) -> bool {
        !self.shards.values().any(Tended::is_ours)
    }

    /// So that the others spread the shards anew at once.
    async fn sign_off(&self) {
        let Some(sign) = &self.sign else { return };
        let name = self.membership.own_name();
        let removed = timeout(self.settings.request_deadline, self.store.remove(&name, sign)).await;
        if !matches!(removed, Ok(Ok(true))) {
            tracing::debug!(name, "the sign of life was not removed; it is forgotten in time");
        }
    }
}
