//! How much failure is too much; never counts it.

use evenkeel_manifest::Threshold;

/// ECS's own bounds: half of the desired count, at least 3 and at most 200 (ecs-behaviour 3.2).
const AUTO_MIN: u32 = 3;
const AUTO_MAX: u32 = 200;

/// While one task probes, the second failure is the verdict: by then ECS may have started a third
/// task, and it starts no fourth.
const AUTO_PROBING: u32 = 2;

/// The count of failures that trips. `desired` is the desired count now: the service's, or a task set's own.
pub(crate) fn threshold(threshold: Threshold, desired: u32, probing: bool) -> u32 {
    match threshold {
        Threshold::Auto if probing => AUTO_PROBING,
        Threshold::Auto => desired.div_ceil(2).clamp(AUTO_MIN, AUTO_MAX),
        Threshold::Count(count) => count.max(1),
        Threshold::Percent(percent) => {
            let share = (u64::from(desired) * u64::from(percent)).div_ceil(100);
            u32::try_from(share).unwrap_or(u32::MAX).max(1)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auto_is_ecs_s_formula() {
        let auto = |desired| threshold(Threshold::Auto, desired, false);
        assert_eq!([1, 6, 25, 400, 800].map(auto), [3, 3, 13, 200, 200]);
    }

    #[test]
    fn auto_is_two_while_probing_at_any_size() {
        assert_eq!([0, 1, 800].map(|n| threshold(Threshold::Auto, n, true)), [2, 2, 2]);
    }

    #[test]
    fn percentages_round_up_and_never_reach_zero() {
        let ten = |desired| threshold(Threshold::Percent(10), desired, false);
        assert_eq!([0, 1, 10, 11].map(ten), [1, 1, 1, 2]);
    }

    #[test]
    fn a_count_holds_in_every_phase() {
        assert_eq!([true, false].map(|probing| threshold(Threshold::Count(5), 1, probing)), [5, 5]);
    }
}
