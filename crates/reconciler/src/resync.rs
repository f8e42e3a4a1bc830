//! Each settled service's turn in the sweep; never looks at a service.

use std::borrow::Borrow;
use std::time::Duration;

use evenkeel_manifest::ServiceKey;

/// DescribeServices takes ten services of one cluster.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeServices.html>
pub(crate) const SERVICES_PER_CALL: usize = 10;

/// Cuts sorted keys into groups that one DescribeServices call can hold: ten of one cluster.
pub(crate) fn groups<K: Borrow<ServiceKey>>(sorted: &[K]) -> impl Iterator<Item = &[K]> {
    let same_cluster = |one: &K, other: &K| {
        let (one, other): (&ServiceKey, &ServiceKey) = (one.borrow(), other.borrow());
        one.target == other.target && one.cluster == other.cluster
    };
    sorted.chunk_by(same_cluster).flat_map(|cluster| cluster.chunks(SERVICES_PER_CALL))
}

/// The turn of the group at `index` of `count`: the groups are spread evenly over the period.
pub(crate) fn turn(index: usize, count: usize, period: Duration) -> Duration {
    let whole = u32::try_from(count).unwrap_or(u32::MAX).max(1);
    let part = u32::try_from(index).unwrap_or(u32::MAX);
    // Divides first: the other order overflows at a long period and many groups.
    (period / whole).saturating_mul(part)
}

/// How long from `elapsed` (since the sweeps began) until the next `turn`; never zero, so that a
/// pass that ends within its own turn waits for the next.
pub(crate) fn until_turn(turn: Duration, elapsed: Duration, period: Duration) -> Duration {
    let position = remainder(elapsed, period);
    let turn = if turn > position { turn } else { turn.saturating_add(period) };
    turn.saturating_sub(position)
}

fn remainder(elapsed: Duration, period: Duration) -> Duration {
    let nanos = elapsed.as_nanos().checked_rem(period.as_nanos()).unwrap_or(0);
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(cluster: &str, count: usize) -> Vec<ServiceKey> {
        (0..count).map(|n| ServiceKey::new(cluster, format!("s{n:03}"))).collect()
    }

    #[test]
    fn a_group_holds_at_most_ten_services_of_one_cluster() {
        let mut all = keys("a", 23);
        all.extend(keys("b", 5));
        let sizes: Vec<usize> = groups(&all).map(<[_]>::len).collect();
        assert_eq!(sizes, [10, 10, 3, 5]);
        assert!(groups(&all).all(|group| group.iter().all(|k| k.cluster == group[0].cluster)));
    }

    #[test]
    fn turns_are_spread_evenly_over_the_period() {
        let period = Duration::from_mins(5);
        let turns: Vec<u64> = (0..4).map(|n| turn(n, 4, period).as_secs()).collect();
        assert_eq!(turns, [0, 75, 150, 225]);
    }

    #[test]
    fn the_next_turn_is_ahead_and_at_most_a_period_away() {
        let period = Duration::from_mins(5);
        let seconds = |turn, elapsed| {
            until_turn(Duration::from_secs(turn), Duration::from_secs(elapsed), period).as_secs()
        };
        assert_eq!(seconds(75, 0), 75);
        assert_eq!(seconds(75, 75), 300);
        assert_eq!(seconds(75, 76), 299);
        assert_eq!(seconds(0, 899), 1);
        assert_eq!(seconds(0, 900), 300);
    }
}
