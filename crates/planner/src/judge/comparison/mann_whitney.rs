//! The rank-sum test of Mann and Whitney, and the shift of Hodges and Lehmann; never says which shift
//! matters.

use super::normal::upper_tail;
use super::real;

/// Up to so many values of each, all arrangements are counted. Beyond that the normal distribution
/// takes over, which is on the safe side for equal numbers: its tail is the heavier one.
const EXACT_MAX: usize = 20;

/// The probability that values like `new` rank so high above values like `stable`, or higher, when
/// both are of one kind. Values are finite. 1 when either is empty.
pub(super) fn p_above(new: &[f64], stable: &[f64]) -> f64 {
    let ranks = Ranks::of(new, stable);
    if new.len().max(stable.len()) <= EXACT_MAX { ranks.p_exact() } else { ranks.p_normal() }
}

/// Ranks among all values, doubled so that those of ties are whole: the middle of their places.
#[derive(Clone, Debug)]
struct Ranks {
    new: Vec<usize>,
    stable: Vec<usize>,
    /// The sum of `t³ − t` over groups of `t` ties.
    ties: f64,
}

impl Ranks {
    fn of(new: &[f64], stable: &[f64]) -> Self {
        let of_new = new.iter().map(|value| (*value, true));
        let of_stable = stable.iter().map(|value| (*value, false));
        let mut all: Vec<(f64, bool)> = of_new.chain(of_stable).collect();
        all.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut ranks = Self { new: Vec::new(), stable: Vec::new(), ties: 0.0 };
        let mut before = 0;
        #[expect(clippy::float_cmp, reason = "a tie is the same number")]
        for tie in all.chunk_by(|a, b| a.0 == b.0) {
            let doubled_rank = 2 * before + tie.len() + 1;
            for (_, is_new) in tie {
                let ranks = if *is_new { &mut ranks.new } else { &mut ranks.stable };
                ranks.push(doubled_rank);
            }
            ranks.ties += real(tie.len()).powi(3) - real(tie.len());
            before += tie.len();
        }
        ranks
    }

    /// Of all ways to call as many of the values stable, the part in which they rank as low as they do,
    /// or lower. Exact with ties, too.
    fn p_exact(&self) -> f64 {
        let observed: usize = self.stable.iter().sum();
        // `ways[k][s]`: in how many ways k values have the rank sum s.
        let mut ways = vec![vec![0.0; observed + 1]; self.stable.len() + 1];
        if let Some(none) = ways.first_mut().and_then(|row| row.first_mut()) {
            *none = 1.0;
        }
        for rank in self.new.iter().chain(&self.stable) {
            for count in (1..ways.len()).rev() {
                let (fewer, as_many) = ways.split_at_mut(count);
                if let (Some(from), Some(to)) = (fewer.last(), as_many.first_mut()) {
                    to.iter_mut().skip(*rank).zip(from).for_each(|(to, from)| *to += from);
                }
            }
        }
        let as_low: f64 = ways.last().into_iter().flatten().sum();
        as_low / choose(self.new.len() + self.stable.len(), self.stable.len())
    }

    /// With correction for ties and for continuity.
    fn p_normal(&self) -> f64 {
        let (new, stable) = (real(self.new.len()), real(self.stable.len()));
        let all = new + stable;
        let doubled_sum = self.new.iter().copied().map(real).sum::<f64>();
        let u = doubled_sum / 2.0 - new * (new + 1.0) / 2.0;
        let variance = new * stable / 12.0 * (all + 1.0 - self.ties / (all * (all - 1.0)));
        if variance > 0.0 {
            upper_tail((u - new * stable / 2.0 - 0.5) / variance.sqrt())
        } else {
            1.0
        }
    }
}

fn choose(of: usize, chosen: usize) -> f64 {
    (1..=chosen).map(|k| real(of - chosen + k) / real(k)).product()
}

/// The median of all differences between a value of `new` and one of `stable`: by how much the new ones
/// are higher. 0 when either is empty.
pub(super) fn shift(new: &[f64], stable: &[f64]) -> f64 {
    let mut differences: Vec<f64> =
        new.iter().flat_map(|new| stable.iter().map(move |stable| new - stable)).collect();
    let middle = differences.len() / 2;
    if differences.is_empty() {
        return 0.0;
    }
    let is_even = differences.len().is_multiple_of(2);
    let (below, upper, _) = differences.select_nth_unstable_by(middle, f64::total_cmp);
    let lower = below.iter().copied().max_by(f64::total_cmp).filter(|_| is_even).unwrap_or(*upper);
    lower / 2.0 + *upper / 2.0
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "the same numbers must come out, not similar ones")]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    #[track_caller]
    fn assert_near(found: f64, expected: f64) {
        assert!((found / expected - 1.0).abs() < 1e-10, "{found} is not {expected}");
    }

    /// The example of R's `wilcox.test`: permeability of the placenta, Hollander and Wolfe (1973),
    /// pages 69 to 71; `W = 35, p-value = 0.1272`, and by scipy 1.17.1 with more digits.
    #[test]
    fn the_example_of_hollander_and_wolfe_comes_out_as_published() {
        let term = [0.80, 0.83, 1.89, 1.04, 1.45, 1.38, 1.91, 1.64, 0.73, 1.46];
        let earlier = [1.15, 0.88, 0.90, 0.74, 1.21];
        assert_near(p_above(&term, &earlier), 0.127_206_127_206_127_2);
        assert_near(shift(&term, &earlier), 0.305);
    }

    /// `mannwhitneyu(new, stable, alternative="greater")` of scipy 1.17.1, with `method="exact"`, and
    /// `PermutationMethod` over all arrangements where there are ties.
    #[test]
    fn small_samples_are_those_of_scipy() {
        let cases: [(&[f64], &[f64], f64); 6] = [
            (&[19.0, 22.0, 16.0, 29.0, 24.0], &[20.0, 11.0, 17.0, 12.0], 0.055_555_555_555_555_55),
            (&[1.0, 2.0, 3.0], &[4.0, 5.0, 6.0], 1.0),
            (&[4.0, 5.0, 6.0], &[1.0, 2.0, 3.0], 0.05),
            (&[1.0, 2.0, 2.0, 3.0, 3.0], &[2.0, 2.0, 4.0, 1.0, 0.0], 1.0 / 3.0),
            (&[5.0, 5.0, 5.0, 7.0], &[5.0, 5.0, 3.0, 3.0, 5.0], 0.158_730_158_730_158_72),
            (
                &[0.0, 0.0, 0.0, 1.0, 2.0, 9.0],
                &[0.0, 0.0, 0.0, 0.0, 0.0, 1.0],
                0.151_515_151_515_151_52,
            ),
        ];
        for (new, stable, expected) in cases {
            assert_near(p_above(new, stable), expected);
        }
    }

    /// `mannwhitneyu(…, alternative="greater", method="asymptotic")` of scipy 1.17.1.
    #[test]
    fn large_samples_with_ties_are_those_of_scipy() {
        let some = |count: u32, factor: u32, modulus: u32, from: f64, step: f64| -> Vec<f64> {
            (0..count).map(|i| from + f64::from(i * factor % modulus) * step).collect()
        };
        let (one, other) = (some(24, 37, 23, 100.0, 1.5), some(24, 29, 19, 97.0, 1.7));
        assert_near(p_above(&one, &other), 0.053_847_703_764_136_2);
        assert_near(p_above(&other, &one), 0.948_371_225_547_346_1);
        let (one, other) = (some(30, 37, 7, 0.0, 1.0), some(25, 31, 5, 0.0, 1.0));
        assert_near(p_above(&one, &other), 0.062_689_607_795_026_23);
    }

    #[test]
    fn arms_apart_are_one_arrangement_of_all() {
        let high: Vec<f64> = (100..120).map(f64::from).collect();
        let low: Vec<f64> = (0..20).map(f64::from).collect();
        // 40 over 20 (OEIS A000984).
        assert_near(p_above(&high, &low), 1.0 / 137_846_528_820.0);
    }

    #[test]
    fn values_that_are_all_the_same_show_nothing() {
        assert_eq!([5, 60].map(|n| p_above(&vec![1.0; n], &vec![1.0; n])), [1.0, 1.0]);
        assert_eq!(shift(&[1.0; 4], &[1.0; 4]), 0.0);
    }

    #[test]
    fn the_shift_is_the_median_difference() {
        assert_eq!(shift(&[3.0], &[1.0]), 2.0);
        // Differences 9, 8, 99, 98: the middle of 9 and 98.
        assert_eq!(shift(&[10.0, 100.0], &[1.0, 2.0]), 53.5);
        assert_eq!(shift(&[], &[1.0]), 0.0);
    }

    proptest! {
        #[test]
        fn exact_and_normal_agree_and_far_out_the_normal_one_doubts_more(
            new in vec(0_u32..30, 16..=20), stable in vec(0_u32..30, 20), lift in 0_u32..30,
        ) {
            let stable: Vec<f64> =
                stable.iter().take(new.len()).map(|value| f64::from(*value)).collect();
            let new: Vec<f64> = new.iter().map(|value| f64::from(value + lift)).collect();
            let ranks = Ranks::of(&new, &stable);
            let (exact, normal) = (ranks.p_exact(), ranks.p_normal());
            prop_assert!((exact - normal).abs() < 0.03, "{exact} {normal}");
            prop_assert!(exact > 1e-3 || normal >= exact, "{exact} {normal}");
        }

        #[test]
        fn what_is_above_one_way_is_below_the_other(
            new in vec(0_u32..9, 1..12), stable in vec(0_u32..9, 1..12),
        ) {
            let real = |values: &[u32]| values.iter().copied().map(f64::from).collect::<Vec<f64>>();
            let (new, stable) = (real(&new), real(&stable));
            // Both count the arrangements that are just as observed.
            prop_assert!(p_above(&new, &stable) + p_above(&stable, &new) >= 1.0 - 1e-12);
            prop_assert_eq!(shift(&new, &stable), -shift(&stable, &new));
        }
    }
}
