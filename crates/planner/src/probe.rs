//! How narrow a rollout begins: the percentages that let ECS start one task of a new revision;
//! never says when to widen.

/// `minimumHealthyPercent` and `maximumPercent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Percentages {
    pub(crate) minimum_healthy: u64,
    pub(crate) maximum: u64,
}

impl Percentages {
    /// The narrowest percentages that let `desired` tasks be replaced, within those `given`.
    ///
    /// The surge that ECS allows is `floor(desired × maximum / 100) − desired` tasks, so the smallest
    /// that is at least one is `100 + ceil(100 / desired)` percent; above 100 tasks it is one percent.
    /// Where the manifest gives no room above 100 percent, room for one is made below instead: the
    /// floor is `ceil(desired × minimum / 100)` tasks. Nothing is ever wider than the manifest.
    ///
    /// Source: `DeploymentConfiguration` API reference, ecs-behaviour 2.1.
    pub(crate) fn narrowed(given: Self, desired: u32) -> Self {
        let desired = u64::from(desired);
        if desired == 0 {
            return given;
        }
        let maximum = given.maximum.min(100 + 100_u64.div_ceil(desired));
        let surges = desired.saturating_mul(maximum) / 100 > desired;
        let minimum_healthy =
            if surges { 100 } else { given.minimum_healthy.max(100 * (desired - 1) / desired) };
        Self { minimum_healthy, maximum }
    }

    /// How many tasks ECS may have above `desired`, and how many it may stop below it. Percentages that
    /// were read may be any number: beyond what can be counted they are as good as the largest.
    pub(crate) fn steps(self, desired: u32) -> (u64, u64) {
        let desired = u64::from(desired);
        let ceiling = desired.saturating_mul(self.maximum) / 100;
        let floor = desired.saturating_mul(self.minimum_healthy).div_ceil(100);
        (ceiling.saturating_sub(desired), desired.saturating_sub(floor))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DEFAULT: Percentages = Percentages { minimum_healthy: 100, maximum: 200 };

    fn narrowed(minimum_healthy: u64, maximum: u64, desired: u32) -> (u64, u64) {
        let result = Percentages::narrowed(Percentages { minimum_healthy, maximum }, desired);
        (result.minimum_healthy, result.maximum)
    }

    #[test]
    fn one_task_more_than_desired_may_run() {
        assert_eq!(narrowed(100, 200, 1), (100, 200));
        assert_eq!(narrowed(100, 200, 4), (100, 125));
        assert_eq!(narrowed(100, 200, 7), (100, 115));
        assert_eq!(narrowed(100, 200, 500), (100, 101));
    }

    #[test]
    fn with_room_above_none_is_stopped_first_whatever_the_manifest_lets_be_stopped() {
        assert_eq!(narrowed(50, 200, 4), (100, 125));
        assert_eq!(narrowed(0, 125, 4), (100, 125));
    }

    #[test]
    fn without_room_above_one_task_is_stopped_first() {
        assert_eq!(narrowed(50, 100, 4), (75, 100));
        assert_eq!(narrowed(0, 100, 1), (0, 100));
        assert_eq!(narrowed(50, 110, 4), (75, 110));
    }

    #[test]
    fn absurd_percentages_in_a_reply_are_counted_without_overflow() {
        let absurd = Percentages { minimum_healthy: u64::MAX, maximum: u64::MAX };
        assert_eq!(absurd.steps(u32::MAX), (u64::MAX / 100 - u64::from(u32::MAX), 0));
        assert_eq!(narrowed(u64::MAX, 100, 4), (u64::MAX, 100));
    }

    #[test]
    fn nothing_runs_so_nothing_is_narrowed() {
        assert_eq!(Percentages::narrowed(DEFAULT, 0), DEFAULT);
    }

    proptest! {
        #[test]
        fn up_to_a_hundred_tasks_exactly_one_moves_at_a_time(desired in 1_u32..=100) {
            let narrow = Percentages::narrowed(DEFAULT, desired);
            prop_assert_eq!(u64::from(desired) * narrow.maximum / 100 - u64::from(desired), 1);
            prop_assert_eq!(narrow.minimum_healthy, 100);
        }

        #[test]
        fn what_could_move_still_can(desired in 1_u32..5000, min in 0_u64..=100, max in 100_u64..=200) {
            let n = u64::from(desired);
            let moves = |p: Percentages| n * p.maximum / 100 > n || (n * p.minimum_healthy).div_ceil(100) < n;
            let given = Percentages { minimum_healthy: min, maximum: max };
            let narrow = Percentages::narrowed(given, desired);
            prop_assert_eq!(moves(narrow), moves(given));
            prop_assert!(narrow.maximum <= given.maximum);
            prop_assert!(narrow.minimum_healthy >= given.minimum_healthy);
        }
    }
}
