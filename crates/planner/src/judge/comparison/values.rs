//! Values of the new target group against those of the stable one, such as a latency percentile of
//! each window; never assumes a distribution.
//!
//! As in Kayenta, a rank-sum test with a tolerance, and then the size of the effect. Kayenta asks
//! whether the confidence interval of the shift lies beyond `tolerance` times the estimated shift. That
//! is the same as testing the values with that part of the shift taken off, and so it is done here.
//!
//! Repeated looks are paid for by what a look may spend: `alpha · f / (n · (n + 1))` at `n` windows,
//! where `f` is the fewest windows that can prove anything. Over all `n` from `f` on that sums up to
//! `alpha`. It depends on the number of windows only: a second look at the same windows is free.
//!
//! What is not handled: values of one target group that hang together from window to window, for a
//! reason that is not its revision, are counted as independent. Trends of both are no evidence.

use super::mann_whitney::{p_above, shift};
use super::words::{digits, left_out, plural, power};
use super::{
    Certainty, Comparison, ComparisonNumbers, ComparisonOutcome, ComparisonSettings, Direction,
    Effect, ratio, real,
};

/// A day of minutes. Only the newest are compared, for time and memory grow with the square.
pub(super) const WINDOWS_MAX: usize = 1440;

/// Compares one value for each closed window since the shift began, oldest first; the values of a
/// window are at the same place in both. A window that one target group lacks has NaN there.
///
/// Worse is a new target group whose values are shifted in the bad direction beyond doubt, and whose
/// mean is at least `allowed_increase` (or at most `allowed_decrease`) times the stable one's.
pub fn compare_values(
    stable: &[f64],
    new: &[f64],
    direction: Direction,
    settings: &ComparisonSettings,
) -> Comparison {
    let samples = Samples::of(stable, new);
    if let Some(fault) = settings.fault() {
        return samples.too_little(&format!("nothing can be said: {fault}"));
    }
    let fewest = fewest_windows(direction, settings);
    if samples.windows < fewest {
        return samples.too_little(&format!("too little: {} needed", plural(fewest, "window")));
    }
    let test = Test::of(&samples, direction, settings, fewest);
    let (outcome, why) = test.judged(settings);
    let certainty = Certainty::PValue { value: test.p, at_most: test.at_most };
    samples.comparison(outcome, certainty, &why)
}

/// The first number of windows at which arms without any overlap are proof.
fn fewest_windows(direction: Direction, settings: &ComparisonSettings) -> usize {
    let mut windows: usize = 1;
    // The probability that all of one target group are above all of the other.
    let mut apart = 0.5;
    while apart * sides(direction) > spent(settings.alpha, windows, windows)
        || windows < settings.min_windows
    {
        windows += 1;
        apart *= real(windows) / (4.0 * real(windows) - 2.0);
    }
    windows
}

/// What a look at so many windows may spend of `alpha`.
fn spent(alpha: f64, fewest: usize, windows: usize) -> f64 {
    alpha * real(fewest) / (real(windows) * (real(windows) + 1.0))
}

fn sides(direction: Direction) -> f64 {
    if direction == Direction::Either { 2.0 } else { 1.0 }
}

/// As many values of each, all finite and none negative.
#[derive(Clone, Debug)]
struct Samples {
    stable: Vec<f64>,
    new: Vec<f64>,
    /// All that are usable. What a look may spend goes by them, compared or not.
    windows: usize,
    left_out: usize,
}

impl Samples {
    fn of(stable: &[f64], new: &[f64]) -> Self {
        let makes_sense = |value: f64| value.is_finite() && value >= 0.0;
        let both = stable.iter().copied().zip(new.iter().copied());
        let usable: Vec<(f64, f64)> =
            both.filter(|(stable, new)| makes_sense(*stable) && makes_sense(*new)).collect();
        let left_out = stable.len().max(new.len()) - usable.len();
        let windows = usable.len();
        let newest = usable.into_iter().rev().take(WINDOWS_MAX);
        let (stable, new) = newest.unzip();
        Self { stable, new, windows, left_out }
    }

    fn effect(&self) -> Option<Effect> {
        let (stable, new) = (mean(&self.stable), mean(&self.new));
        (!self.new.is_empty()).then(|| Effect { stable, new, ratio: ratio(new, stable) })
    }

    fn too_little(&self, why: &str) -> Comparison {
        let certainty = Certainty::PValue { value: 1.0, at_most: 0.0 };
        self.comparison(ComparisonOutcome::TooLittle, certainty, why)
    }

    fn comparison(
        &self,
        outcome: ComparisonOutcome,
        certainty: Certainty,
        why: &str,
    ) -> Comparison {
        let effect = self.effect();
        let evidence = format!(
            "{} over {}{}{}; {why}",
            effect.map_or("no values were compared".to_owned(), in_words),
            if self.windows > self.new.len() { "the newest of " } else { "" },
            plural(self.windows, "window"),
            left_out(self.left_out),
        );
        let (windows, left_out) = (self.windows, self.left_out);
        let numbers = ComparisonNumbers { windows, left_out, effect, certainty };
        Comparison { outcome, evidence, numbers }
    }
}

/// Each part is divided first, so that no sum is too large.
fn mean(values: &[f64]) -> f64 {
    let number = real(values.len());
    values.iter().map(|value| value / number).sum::<f64>().min(f64::MAX)
}

fn in_words(effect: Effect) -> String {
    let times = if effect.ratio.is_finite() {
        format!("{} times", digits(effect.ratio))
    } else {
        "infinitely many times".to_owned()
    };
    format!(
        "values {times} as high: mean of new {}, of stable {}",
        digits(effect.new),
        digits(effect.stable),
    )
}

/// One look.
#[derive(Clone, Copy, Debug)]
struct Test {
    /// The estimated shift goes this way; `None` when there is none or it goes the good way.
    towards: Option<Direction>,
    p: f64,
    at_most: f64,
    ratio: f64,
}

impl Test {
    fn of(
        samples: &Samples,
        direction: Direction,
        settings: &ComparisonSettings,
        fewest: usize,
    ) -> Self {
        let (new, stable) = (&samples.new, &samples.stable);
        let shift = shift(new, stable);
        let towards = bad_side(shift, direction);
        let undoubted = |values: &[f64]| -> Vec<f64> {
            values.iter().map(|value| value - settings.tolerance * shift.abs()).collect()
        };
        let one_sided = match towards {
            Some(Direction::Down) => p_above(&undoubted(stable), new),
            Some(_) => p_above(&undoubted(new), stable),
            None => 1.0,
        };
        Self {
            towards,
            p: (one_sided * sides(direction)).min(1.0),
            at_most: spent(settings.alpha, fewest, samples.windows),
            ratio: ratio(mean(new), mean(stable)),
        }
    }

    fn judged(&self, settings: &ComparisonSettings) -> (ComparisonOutcome, String) {
        let certainty = format!("p {}, at most {} is proof", power(self.p), power(self.at_most));
        let Some(towards) = self.towards else {
            return (
                ComparisonOutcome::NotWorse,
                format!("not worse: no shift for the worse ({certainty})"),
            );
        };
        if self.p > self.at_most {
            return (ComparisonOutcome::NotWorse, format!("not worse: {certainty}"));
        }
        let (is_allowed, allowed) = match towards {
            Direction::Down => (self.ratio > settings.allowed_decrease, settings.allowed_decrease),
            _ => (self.ratio < settings.allowed_increase, settings.allowed_increase),
        };
        if is_allowed {
            let why = format!(
                "not worse: down or up to {} times is allowed ({certainty})",
                digits(allowed)
            );
            return (ComparisonOutcome::NotWorse, why);
        }
        (ComparisonOutcome::Worse, format!("worse: {certainty}"))
    }
}

fn bad_side(shift: f64, direction: Direction) -> Option<Direction> {
    match direction {
        Direction::Up | Direction::Either if shift > 0.0 => Some(Direction::Up),
        Direction::Down | Direction::Either if shift < 0.0 => Some(Direction::Down),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_looks_together_spend_alpha() {
        let settings = ComparisonSettings::default();
        for direction in [Direction::Up, Direction::Either] {
            let fewest = fewest_windows(direction, &settings);
            let spend = |windows| spent(settings.alpha, fewest, windows);
            let sum: f64 = (fewest..100_000).map(spend).sum();
            assert!(sum <= settings.alpha && sum > 0.999 * settings.alpha, "{sum}");
        }
    }

    /// 2 · 9 over 9 choose 9 is 48,620, and 1e-3 / 10 is left for the first look at 9 windows.
    #[test]
    fn the_first_look_is_where_arms_apart_are_proof() {
        let with =
            |alpha, min_windows| ComparisonSettings { alpha, min_windows, ..Default::default() };
        let standard = with(1e-3, 3);
        assert_eq!(fewest_windows(Direction::Up, &standard), 8);
        assert_eq!(fewest_windows(Direction::Down, &standard), 8);
        assert_eq!(fewest_windows(Direction::Either, &standard), 9);
        assert_eq!(fewest_windows(Direction::Up, &with(0.05, 3)), 5);
        assert_eq!(fewest_windows(Direction::Up, &with(1e-3, 30)), 30);
    }
}
