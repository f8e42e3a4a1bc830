//! Which replicas run, by their signs of life; never decides who may write.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::shard::preferred;
use super::{Holder, LeaseRecord, LeaseSettings, Moment, ShardId};

/// Before the name of a holder, in the table.
const PREFIX: &str = "replica/";

/// The replicas as one of them sees them. A wrong view costs time and never safety: who may write
/// is decided by leases.
#[derive(Debug)]
pub(crate) struct Membership {
    me: Holder,
    live_for: Duration,
    settle_time: Duration,
    forgotten_after: Duration,
    others: BTreeMap<String, Sign>,
    /// Those over which shards are to be spread, and since when they are the same.
    candidates: BTreeSet<String>,
    since: Moment,
    /// The candidates over which they were spread last.
    spread_over: BTreeSet<String>,
}

#[derive(Debug)]
struct Sign {
    record: LeaseRecord,
    changed_at: Moment,
}

impl Membership {
    pub(crate) fn new(me: Holder, settings: &LeaseSettings) -> Self {
        Self {
            live_for: settings.live_for(),
            settle_time: settings.settle_time,
            forgotten_after: settings.forgotten_after(),
            others: BTreeMap::new(),
            candidates: BTreeSet::from([me.name.clone()]),
            since: Moment::ZERO,
            spread_over: BTreeSet::new(),
            me,
        }
    }

    /// The name of this replica's own record.
    pub(crate) fn own_name(&self) -> String {
        format!("{PREFIX}{}", self.me.name)
    }

    /// The next sign of life of this replica.
    pub(crate) fn sign(&self, before: Option<&LeaseRecord>) -> LeaseRecord {
        let beat = before.map_or(0, |record| record.beat.saturating_add(1));
        let (holder, version) = (self.me.name.clone(), self.me.version);
        LeaseRecord { holder, epoch: 1, beat, version }
    }

    pub(crate) fn read_ended(&mut self, now: Moment, records: &BTreeMap<String, LeaseRecord>) {
        let signs = records.iter().filter_map(|(name, record)| {
            let holder = name.strip_prefix(PREFIX)?;
            (holder != self.me.name).then_some((holder, record))
        });
        let signs: BTreeMap<&str, &LeaseRecord> = signs.collect();
        self.others.retain(|holder, _| signs.contains_key(holder.as_str()));
        for (holder, record) in signs {
            if self.others.get(holder).is_none_or(|sign| sign.record != *record) {
                let sign = Sign { record: record.clone(), changed_at: now };
                self.others.insert(holder.to_owned(), sign);
            }
        }
        let candidates = self.newest(now);
        if candidates != self.candidates {
            (self.candidates, self.since) = (candidates, now);
        }
    }

    fn live(&self, now: Moment) -> impl Iterator<Item = (&str, u32)> {
        let is_live = move |sign: &Sign| now.saturating_sub(sign.changed_at) < self.live_for;
        let others = self.others.iter().filter(move |(_, sign)| is_live(sign));
        let others = others.map(|(holder, sign)| (holder.as_str(), sign.record.version));
        others.chain([(self.me.name.as_str(), self.me.version)])
    }

    /// Of the live replicas those of the newest version: old and new ones do not share the work.
    fn newest(&self, now: Moment) -> BTreeSet<String> {
        let newest = self.live(now).map(|(_, version)| version).max();
        let newest = self.live(now).filter(|(_, version)| Some(*version) == newest);
        newest.map(|(holder, _)| holder.to_owned()).collect()
    }

    /// Whether a replica of a newer version is live, so that this one takes nothing.
    pub(crate) fn yields(&self) -> bool {
        !self.candidates.contains(&self.me.name)
    }

    /// Whether this replica is the one that should have the shard.
    pub(crate) fn is_preferred(&self, shard: &ShardId) -> bool {
        let candidates = self.candidates.iter().map(String::as_str).collect();
        preferred(shard, &candidates) == Some(self.me.name.as_str())
    }

    /// Whether shards are to be spread anew: once for every change of the candidates that has
    /// lasted for a while.
    pub(crate) fn settles(&mut self, now: Moment) -> bool {
        let is_settled = now.saturating_sub(self.since) >= self.settle_time;
        if !is_settled || self.candidates == self.spread_over {
            return false;
        }
        self.spread_over.clone_from(&self.candidates);
        true
    }

    /// Records of replicas that gave no sign for so long that nobody will miss them.
    pub(crate) fn forgotten(&self, now: Moment) -> Vec<(String, LeaseRecord)> {
        let old = self
            .others
            .iter()
            .filter(|(_, sign)| now.saturating_sub(sign.changed_at) >= self.forgotten_after);
        old.map(|(holder, sign)| (format!("{PREFIX}{holder}"), sign.record.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Duration::from_secs(seconds)
    }

    fn membership() -> Membership {
        let me = Holder { name: "a#1".to_owned(), version: 1 };
        Membership::new(me, &LeaseSettings::default())
    }

    fn signs(all: &[(&str, u64, u32)]) -> BTreeMap<String, LeaseRecord> {
        let sign = |(holder, beat, version): &(&str, u64, u32)| {
            let holder = (*holder).to_owned();
            let record = LeaseRecord { holder, epoch: 1, beat: *beat, version: *version };
            (format!("{PREFIX}{}", record.holder), record)
        };
        all.iter().map(sign).collect()
    }

    #[test]
    fn shards_are_spread_anew_once_when_a_change_has_lasted() {
        let mut membership = membership();
        for second in 0..60 {
            membership.read_ended(at(second), &signs(&[("b#1", second, 1)]));
            assert_eq!(membership.settles(at(second)), second == 30, "{second}");
        }
    }

    #[test]
    fn a_replica_that_comes_and_goes_moves_nothing() {
        let mut membership = membership();
        membership.read_ended(at(0), &signs(&[]));
        assert!(membership.settles(at(30)));
        for second in 31..300 {
            let all = if second % 20 < 10 { signs(&[("b#1", second, 1)]) } else { signs(&[]) };
            membership.read_ended(at(second), &all);
            assert!(!membership.settles(at(second)), "{second}");
        }
    }

    #[test]
    fn a_live_replica_of_a_newer_version_is_yielded_to_and_a_dead_one_is_not() {
        let mut membership = membership();
        let newer = signs(&[("b#1", 7, 2)]);
        membership.read_ended(at(0), &newer);
        assert!(membership.yields());
        membership.read_ended(at(8), &newer);
        assert!(membership.yields());
        membership.read_ended(at(9), &newer);
        assert!(!membership.yields(), "it gave no sign for nine seconds");
        membership.read_ended(at(10), &signs(&[("b#1", 8, 0)]));
        assert!(!membership.yields(), "an older one yields to us");
    }

    #[test]
    fn records_of_replicas_long_gone_are_forgotten() {
        let mut membership = membership();
        let all = signs(&[("b#1", 7, 1)]);
        membership.read_ended(at(0), &all);
        membership.read_ended(at(539), &all);
        assert_eq!(membership.forgotten(at(539)), []);
        assert_eq!(membership.forgotten(at(540)), all.into_iter().collect::<Vec<_>>());
    }
}
