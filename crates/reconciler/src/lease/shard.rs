//! What is leased together, and which replica should have it; never reads the table.

use std::collections::BTreeSet;
use std::fmt;

use evenkeel_manifest::ServiceKey;

/// The services of one cluster of one target.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardId {
    pub target: String,
    pub cluster: String,
}

impl ShardId {
    pub fn of(key: &ServiceKey) -> Self {
        Self { target: key.target.clone(), cluster: key.cluster.clone() }
    }
}

/// The name of its lease in the table.
impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "shard/{}/{}", self.target, self.cluster)
    }
}

/// The replica of `holders` that should have `shard`: the one that weighs most for it. When a
/// replica comes or goes, only shards that it gets or had move ("rendezvous hashing", Thaler and
/// Ravishankar, 1998).
pub(crate) fn preferred<'a>(shard: &ShardId, holders: &BTreeSet<&'a str>) -> Option<&'a str> {
    let name = shard.to_string();
    holders.iter().copied().max_by_key(|holder| (weight(&name, replica(holder)), *holder))
}

/// A holder without its incarnation, so that a replica that restarts gets its shards back.
pub(crate) fn replica(holder: &str) -> &str {
    holder.split_once('#').map_or(holder, |(replica, _)| replica)
}

/// FNV-1a, and the finalizer of splitmix64 to spread its high bits: the same in every release.
fn weight(shard: &str, replica: &str) -> u64 {
    let bytes = shard.bytes().chain([0]).chain(replica.bytes());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn shards(count: usize) -> Vec<ShardId> {
        (0..count).map(|n| ShardId::of(&ServiceKey::new(format!("cluster-{n}"), "web"))).collect()
    }

    fn spread<'a>(count: usize, holders: &[&'a str]) -> BTreeMap<ShardId, &'a str> {
        let holders = holders.iter().copied().collect();
        let of = |shard: ShardId| {
            let holder = preferred(&shard, &holders).expect("there is one");
            (shard, holder)
        };
        shards(count).into_iter().map(of).collect()
    }

    #[test]
    fn shards_are_spread_about_evenly() {
        let spread = spread(300, &["a#1", "b#1", "c#1"]);
        for holder in ["a#1", "b#1", "c#1"] {
            let count = spread.values().filter(|one| **one == holder).count();
            assert!((70..=130).contains(&count), "{holder} has {count} of 300");
        }
    }

    #[test]
    fn a_replica_that_leaves_moves_no_shard_but_its_own() {
        let (before, after) = (spread(100, &["a#1", "b#1", "c#1"]), spread(100, &["a#1", "c#1"]));
        let moved = before.iter().filter(|(shard, holder)| after.get(shard) != Some(holder));
        assert!(moved.clone().count() > 20);
        assert!(moved.clone().all(|(_, holder)| *holder == "b#1"));
    }

    #[test]
    fn a_replica_that_restarts_gets_its_shards_back() {
        let (before, after) = (spread(100, &["a#1", "b#1"]), spread(100, &["a#7", "b#1"]));
        assert!(before.iter().all(|(shard, holder)| replica(holder) == replica(after[shard])));
    }

    #[test]
    fn the_spread_is_the_same_in_every_release() {
        assert_eq!(weight("shard/default/main", "evenkeel-0"), 0xc922_aa95_3d81_699e);
    }
}
