//! The services that the loop looks after and what it remembers of each; never what AWS said.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use evenkeel_manifest::{Digest, ServiceKey};
use evenkeel_planner::{RolloutPhase, RolloutStatus};
use jiff::Timestamp;
use tokio::time::Instant;

use crate::judged::Judged;
use crate::resync;
use crate::unconfirmed::Unconfirmed;

/// Bounded by the number of services.
#[derive(Debug)]
pub(crate) struct Roster {
    notes: BTreeMap<Arc<ServiceKey>, Note>,
    /// Services not yet seen in the sweep under way.
    unseen: BTreeSet<Arc<ServiceKey>>,
    began: Instant,
    resync_every: Duration,
    seed: u64,
}

/// What is remembered of one service between passes.
#[derive(Debug)]
pub(crate) struct Note {
    /// Failed passes in a row.
    pub(crate) failures: u32,
    /// Another replica looks after it, or nobody.
    stands_by: bool,
    /// No manifest names it any more; one more pass and it is forgotten.
    pub(crate) leaving: bool,
    pub(crate) judged: Option<Judged>,
    /// Whether the last look that succeeded showed a rollout in flight.
    pub(crate) in_rollout: bool,
    /// The rollout in flight, by the last look that was up to date.
    pub(crate) rollout: Option<RolloutSeen>,
    pub(crate) unconfirmed: Unconfirmed,
    /// Within the sweep.
    turn: Duration,
}

/// A rollout and the return from it, whatever phases it goes through: its mark tells the beginning of
/// the last one alone.
#[derive(Debug)]
pub(crate) struct RolloutSeen {
    pub(crate) digest: Digest,
    /// The earliest time that marks told. The mark seen first is the best that is known after a start.
    pub(crate) began: Timestamp,
}

impl RolloutSeen {
    /// The rollout that a look shows, after `before`.
    pub(crate) fn after(before: Option<Self>, shown: &RolloutStatus) -> Option<Self> {
        // A return has the mark of what is wanted, which need not be what is returned from.
        let is_return = shown.phase == RolloutPhase::RollingBack;
        let same = before.filter(|before| is_return || before.digest == shown.digest);
        let began = same.map(|same| same.began).into_iter().chain(shown.since).min()?;
        Some(Self { digest: shown.digest.clone(), began })
    }
}

impl Note {
    fn new() -> Self {
        Self {
            failures: 0,
            stands_by: false,
            leaving: false,
            judged: None,
            in_rollout: false,
            rollout: None,
            unconfirmed: Unconfirmed::default(),
            turn: Duration::ZERO,
        }
    }
}

impl Roster {
    pub(crate) fn new(resync_every: Duration, seed: u64) -> Self {
        let began = Instant::now();
        Self { notes: BTreeMap::new(), unseen: BTreeSet::new(), began, resync_every, seed }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.notes.is_empty()
    }

    pub(crate) fn key(&self, key: &ServiceKey) -> Option<Arc<ServiceKey>> {
        self.notes.get_key_value(key).map(|(key, _)| key.clone())
    }

    pub(crate) fn note(&self, key: &ServiceKey) -> Option<&Note> {
        self.notes.get(key)
    }

    pub(crate) fn note_mut(&mut self, key: &ServiceKey) -> Option<&mut Note> {
        self.notes.get_mut(key)
    }

    /// Takes a service in, or back; what it failed at before was about other content.
    pub(crate) fn welcome(&mut self, key: ServiceKey) -> Arc<ServiceKey> {
        let key = self.key(&key).unwrap_or_else(|| Arc::new(key));
        let note = self.notes.entry(key.clone()).or_insert_with(Note::new);
        note.leaving = false;
        note.failures = 0;
        note.unconfirmed.drift.heal_anew();
        self.unseen.insert(key.clone());
        key
    }

    /// Since the loop began.
    pub(crate) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// Drawn evenly from 0 to 1 for a service and this second: what befell any of them before changes no jitter.
    pub(crate) fn dice(&self, key: &ServiceKey) -> f64 {
        let mut hasher = DefaultHasher::new();
        (self.seed, key, self.elapsed().as_secs()).hash(&mut hasher);
        fastrand::Rng::with_seed(hasher.finish()).f64()
    }

    pub(crate) fn keys(&self) -> Vec<Arc<ServiceKey>> {
        self.notes.keys().cloned().collect()
    }

    /// The service is not looked at until [`Self::takes_up`]; no sweep waits for it.
    pub(crate) fn stands_by(&mut self, key: &ServiceKey) {
        if let Some(note) = self.notes.get_mut(key) {
            note.stands_by = true;
            note.in_rollout = false;
            note.rollout = None;
            note.unconfirmed.leave_to_another();
        }
        self.unseen.remove(key);
    }

    /// The service is looked after from now on. Says whether it was not before.
    pub(crate) fn takes_up(&mut self, key: &Arc<ServiceKey>) -> bool {
        let Some(note) = self.notes.get_mut(key).filter(|note| note.stands_by) else {
            return false;
        };
        note.stands_by = false;
        note.failures = 0;
        self.unseen.insert(key.clone());
        true
    }

    /// Whether there is no service that this replica looks after; nobody may.
    pub(crate) fn is_idle(&self) -> bool {
        self.notes.values().all(|note| note.stands_by)
    }

    /// Marks a service for its last pass.
    pub(crate) fn dismiss(&mut self, key: &ServiceKey) -> Option<Arc<ServiceKey>> {
        self.notes.get_mut(key)?.leaving = true;
        self.unseen.remove(key);
        self.key(key)
    }

    pub(crate) fn forget(&mut self, key: &ServiceKey) {
        self.notes.remove(key);
        self.unseen.remove(key);
    }

    /// Gives every service its turn in the sweep; to be called when services came or went.
    pub(crate) fn assign_turns(&mut self) {
        let keys: Vec<Arc<ServiceKey>> = self.notes.keys().cloned().collect();
        let count = resync::groups(&keys).count();
        for (index, group) in resync::groups(&keys).enumerate() {
            let turn = resync::turn(index, count, self.resync_every);
            for key in group {
                if let Some(note) = self.notes.get_mut(key) {
                    note.turn = turn;
                }
            }
        }
    }

    /// Until the service's next turn in the sweep.
    pub(crate) fn resync_in(&self, key: &ServiceKey) -> Duration {
        let turn = self.notes.get(key).map_or(Duration::ZERO, |note| note.turn);
        resync::until_turn(turn, self.began.elapsed(), self.resync_every)
    }

    /// Notes that AWS showed the service. Says whether that completes a sweep: every service was
    /// seen since the last sweep was complete.
    pub(crate) fn saw(&mut self, key: &ServiceKey) -> bool {
        self.unseen.remove(key);
        let complete = self.unseen.is_empty();
        if complete {
            let is_expected = |(_, n): &(&Arc<ServiceKey>, &Note)| !n.leaving && !n.stands_by;
            self.unseen = self.notes.iter().filter(is_expected).map(|(k, _)| k.clone()).collect();
        }
        complete
    }
}
