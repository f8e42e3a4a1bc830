//! The loop that decides when passes run; never looks at AWS itself and never decides what to do.

mod ended;
mod leases;
mod orphans;
mod places;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use evenkeel_manifest::{Service, ServiceKey};
use evenkeel_planner::PruneTerms;
use jiff::Timestamp;
use tokio::sync::watch;
use tokio::task::JoinError;
use tokio::time::{Instant, Interval, MissedTickBehavior};
use tokio_util::task::JoinMap;

use self::orphans::{Listed, Orphans};
use self::places::Places;
use crate::lease::PassLease;
use crate::orders::{NotFollowed, OrdersEnd, Pending, Reply};
use crate::permit::{InForce, Permit, Terms};
use crate::reconcile::{Follower, reconcile_after};
use crate::roster::{RolloutSeen, Roster};
use crate::trigger::Triggers;
use crate::unconfirmed::Unconfirmed;
use crate::{
    Cloud, DesiredState, HeldShards, LoopHandle, LoopMetrics, LoopSettings, ORDINARY_EVERY,
    PassReport, Room, Shutdown, StatusBoard, Urgency, WorkQueue, resync, unplanned,
};

/// How often what moves with time alone is brought up to date. Scrapes are rarer.
const TICK_EVERY: Duration = Duration::from_secs(5);

/// Runs passes: at once for services whose manifest changed or that a person asked for, again when
/// the last pass said so, and in any case once in every resync period.
///
/// # Guarantees
///
/// - Never two passes over one service at a time, never more than
///   [`LoopSettings::passes_max`] in all.
/// - A service that is triggered while a pass runs over it gets another pass.
/// - A pass that fails, hangs or panics delays the next pass over its own service and nothing else.
/// - Every pass over a service that a manifest names ends with a status on the board.
/// - With leases, no pass starts over a service whose shard is not held; it is due at once when the
///   shard is.
#[derive(Debug)]
pub struct ControlLoop<C> {
    cloud: Arc<C>,
    settings: LoopSettings,
    metrics: LoopMetrics,
    desired: watch::Receiver<Arc<DesiredState>>,
    board: Arc<StatusBoard>,
    triggers: Arc<Triggers>,
    orders: OrdersEnd,
    /// The desired state that the queue knows of.
    current: Arc<DesiredState>,
    queue: WorkQueue<Arc<ServiceKey>>,
    passes: JoinMap<Arc<ServiceKey>, Pass>,
    places: Places,
    roster: Roster,
    orphans: Orphans,
    rng: fastrand::Rng,
    /// `None` when only one replica runs: everything is held.
    leases: Option<HeldShards>,
    leases_version: Option<watch::Receiver<u64>>,
}

/// Why the loop ended although nobody asked it to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoopError {
    #[error("the source of the manifests ended")]
    ManifestsEnded,
}

/// Everything that can wake the loop.
#[derive(Debug)]
enum Event {
    ShutdownRequested,
    PassEnded(Arc<ServiceKey>, Result<Pass, JoinError>),
    Triggered(BTreeSet<ServiceKey>),
    ManifestsChanged,
    ManifestsEnded,
    Due(Arc<ServiceKey>),
    OwnedListed(Listed),
    LeasesMoved,
    Tick,
}

/// A pass that was not cut off by a panic.
#[derive(Debug)]
struct Pass {
    took: Duration,
    /// What is known after commands that it followed first.
    followed: Option<Box<Unconfirmed>>,
    /// What people are answered when its status is on the board.
    answers: Vec<(Pending, Reply)>,
    /// `None` when it took too long. Also whether its look was older than the last write.
    report: Option<Box<(PassReport, Option<Unconfirmed>)>>,
}

impl<C: Cloud> ControlLoop<C> {
    pub fn new(
        cloud: Arc<C>,
        settings: LoopSettings,
        metrics: LoopMetrics,
        desired: watch::Receiver<Arc<DesiredState>>,
        board: Arc<StatusBoard>,
    ) -> Self {
        let mut rng = settings.seed.map_or_else(fastrand::Rng::new, fastrand::Rng::with_seed);
        Self {
            cloud,
            metrics,
            desired,
            board,
            triggers: Arc::default(),
            orders: OrdersEnd::default(),
            current: Arc::default(),
            queue: WorkQueue::new(),
            passes: JoinMap::new(),
            places: Places::new(settings.passes_max),
            roster: Roster::new(settings.resync_every, rng.u64(..)),
            orphans: Orphans::default(),
            rng,
            settings,
            leases: None,
            leases_version: None,
        }
    }

    /// As one of several replicas: passes start, and writes are sent, only under a lease.
    #[must_use]
    pub fn with_lease(self, leases: HeldShards) -> Self {
        let leases_version = Some(leases.changed());
        Self { leases: Some(leases), leases_version, ..self }
    }

    /// A way to ask for passes from outside; works for as long as the loop runs.
    pub fn handle(&self) -> LoopHandle {
        LoopHandle::new(self.triggers.clone(), self.orders.0.clone())
    }

    /// Runs until `shutdown` is requested and the passes have ended.
    ///
    /// # Errors
    ///
    /// [`LoopError::ManifestsEnded`] when the sender of the desired state is gone. Running passes
    /// are finished before.
    pub async fn run(mut self, shutdown: Shutdown) -> Result<(), LoopError> {
        let mut ticks = tokio::time::interval_at(Instant::now() + TICK_EVERY, TICK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.manifests_changed();
        let result = loop {
            match self.next_event(&shutdown, &mut ticks).await {
                Event::ShutdownRequested => break Ok(()),
                Event::ManifestsEnded => break Err(LoopError::ManifestsEnded),
                Event::PassEnded(key, pass) => self.pass_ended(&key, pass),
                Event::Triggered(keys) => self.triggered(&keys),
                Event::ManifestsChanged => self.manifests_changed(),
                Event::Due(key) => self.start(key),
                Event::OwnedListed(listed) => self.owned_listed(listed),
                Event::LeasesMoved => self.leases_moved(),
                Event::Tick => self.tick(),
            }
            let (depth, age) = (self.queue.depth(), self.queue.oldest_age());
            self.metrics.queue(depth, age, self.passes.len());
        };
        self.drain(&shutdown).await;
        result
    }

    /// In the order of urgency: ending before working, making room before filling it, people
    /// before manifests before the sweep. Nothing starves: the earlier sources are finite, passes
    /// by their cap and the others because each is taken whole.
    async fn next_event(&mut self, shutdown: &Shutdown, ticks: &mut Interval) -> Event {
        let room = self.room();
        tokio::select! {
            biased;
            // Cancel-safe: a cancelled token stays cancelled.
            () = shutdown.requested() => Event::ShutdownRequested,
            // Cancel-safe: a result leaves the map only together with being returned.
            Some((key, pass)) = self.passes.join_next() => Event::PassEnded(key, pass),
            // Cancel-safe: the keys are taken in the poll that returns them.
            keys = self.triggers.next() => Event::Triggered(keys),
            // Cancel-safe: a version counts as seen only when this returns.
            changed = self.desired.changed() => match changed {
                Ok(()) => Event::ManifestsChanged,
                Err(_) => Event::ManifestsEnded,
            },
            // Cancel-safe: a result leaves the set only together with being returned.
            listed = self.orphans.listed() => Event::OwnedListed(listed),
            // Cancel-safe: a version counts as seen only when this returns.
            () = Self::leases_changed(&mut self.leases_version) => Event::LeasesMoved,
            // Cancel-safe: an interval keeps the time of its next tick.
            _ = ticks.tick() => Event::Tick,
            // Cancel-safe: a key leaves the queue only together with being returned.
            key = self.queue.next_for(room) => Event::Due(key),
        }
    }

    fn room(&self) -> Room {
        let places = self.places.open();
        let kept = self.settings.passes_kept_for_urgent.min(places / 2);
        // Urgent services may be due without end. Passes of others can be so slow that they would
        // fill all places by their turns alone.
        let share = (places / ORDINARY_EVERY).max(1);
        match places.saturating_sub(self.passes.len()) {
            0 => Room::None,
            free if free > kept => Room::Any,
            _ if self.queue.ordinary_out() < share => Room::Turns,
            _ => Room::Urgent,
        }
    }

    fn manifests_changed(&mut self) {
        let now = self.desired.borrow_and_update().clone();
        let before = std::mem::replace(&mut self.current, now.clone());
        let changed = now.changed_since(&before).into_iter();
        let changed: Vec<_> = changed.map(|key| self.roster.welcome(key)).collect();
        let removed = now.removed_since(&before);
        let leaving: Vec<_> = removed.iter().filter_map(|key| self.roster.dismiss(key)).collect();
        self.manifests_lost(&removed);
        for key in &removed {
            // A service that was never valid has had no pass, and needs no last one.
            if self.roster.note(key).is_none() {
                self.board.remove(key);
            }
        }
        self.roster.assign_turns();
        self.show_invalid(&before);
        self.schedule(&changed);
        self.schedule(&leaving);
    }

    /// Services that one call can describe come due together, so that their reads can be shared.
    fn schedule(&mut self, sorted: &[Arc<ServiceKey>]) {
        // A change of few services does not wait behind a change of thousands.
        let is_small = sorted.len() <= resync::SERVICES_PER_CALL;
        let urgency = if is_small { Urgency::Urgent } else { Urgency::Ordinary };
        for group in resync::groups(sorted) {
            let delay = self.settings.change_spread.mul_f64(self.rng.f64());
            for key in group {
                self.queue.add(key.clone(), delay, urgency);
            }
        }
    }

    /// Brings the board up to date with what is wrong in manifests; asks AWS nothing.
    fn show_invalid(&self, before: &DesiredState) {
        let keys: BTreeSet<_> = self.current.invalid.keys().chain(before.invalid.keys()).collect();
        for key in keys {
            if self.current.invalid.get(key) == before.invalid.get(key) {
                continue;
            }
            let shown = self.board.get(key);
            let is_named = self.current.invalid.contains_key(key);
            let has_pass = self.current.services.contains_key(key);
            match shown {
                Some(status) => self.publish((*status).clone()),
                None if is_named && !has_pass => self.publish(unplanned::never_seen(key)),
                None => {}
            }
        }
    }

    fn publish(&self, mut status: evenkeel_planner::Status) {
        let problems = self.current.invalid.get(&status.key);
        unplanned::mark_invalid(&mut status, problems);
        let seen = self.roster.note(&status.key).and_then(|note| note.rollout.as_ref());
        let is_it = |seen: &&RolloutSeen| {
            status.rollout.as_ref().is_some_and(|shown| shown.digest == seen.digest)
        };
        let began = seen.filter(is_it).map(|seen| seen.began);
        self.board.publish_in_rollout(status, began);
    }

    fn triggered(&mut self, keys: &BTreeSet<ServiceKey>) {
        for key in keys {
            if let Some(key) = self.roster.key(key) {
                self.queue.add(key, Duration::ZERO, Urgency::Urgent);
            } else {
                tracing::debug!(service = %key, "not triggered: no manifest names it");
                self.orders.turn_away(key, &NotFollowed::Unmanaged);
            }
        }
    }

    fn tick(&mut self) {
        self.places.time_passes();
        if self.is_idle() {
            // With no service to look after, every service has been seen at any time.
            self.metrics.resync_completed(Timestamp::now());
        }
        self.list_owned();
    }

    fn start(&mut self, key: Arc<ServiceKey>) {
        let desired = self.current.services.get(&*key).cloned();
        let is_leaving = self.roster.note(&key).is_some_and(|note| note.leaving);
        if desired.is_none() && !is_leaving {
            // Its only manifest is bad and the last good one is not known: that is no wish to
            // have it gone. It is added again when its manifest is mended.
            self.roster.forget(&key);
            self.orders.turn_away(&key, &NotFollowed::Unmanaged);
            return self.queue.done(&key);
        }
        let lease = match self.lease_for(&key) {
            Ok(lease) => lease,
            Err(standing) => return self.not_ours(&key, &standing),
        };
        let cloud = self.cloud.clone();
        let (instance, mode) = (self.settings.instance.clone(), self.settings.mode);
        let timeout = self.settings.pass_timeout;
        let unconfirmed = self.roster.note(&key).map(|note| note.unconfirmed.clone());
        let unconfirmed = unconfirmed.unwrap_or_default();
        let prune = if desired.is_none() { self.prune_terms_for_a_pass(&key) } else { None };
        let permit = self.permit(&key, desired.as_ref(), lease, prune);
        let (asked, metrics) = (self.orders.take(&key), self.metrics.clone());
        self.passes.spawn(key.clone(), async move {
            let began = Instant::now();
            let (cloud, desired, instance) = (&*cloud, desired.as_deref(), instance.as_str());
            let (key, permit) = (&*key, &permit);
            let (is_asked, mut known, mut answers) = (!asked.is_empty(), unconfirmed, Vec::new());
            let pass = async {
                let follower =
                    Follower { cloud, key, desired, instance, permit, metrics: &metrics };
                follower.follow_all(asked, &mut known, &mut answers).await;
                reconcile_after(cloud, key, desired, instance, mode, &known, permit).await
            };
            let report = tokio::time::timeout(timeout, pass).await.ok().map(Box::new);
            let followed = is_asked.then(|| Box::new(known));
            Pass { took: began.elapsed(), followed, answers, report }
        });
    }

    fn permit(
        &self,
        key: &Arc<ServiceKey>,
        planned: Option<&Arc<Service>>,
        lease: Option<PassLease>,
        prune: Option<PruneTerms>,
    ) -> Permit {
        let newest = self.desired.clone();
        Permit::under(Terms {
            in_force: InForce { key: key.clone(), planned: planned.cloned(), newest },
            look_age_max: self.settings.look_age_max,
            lease,
            prune,
        })
    }
}

#[cfg(test)]
mod tests;
