//! How many of some requests fail: a table of the binomial distribution; never a draw per request.

use fastrand::Rng;

#[derive(Clone, Debug)]
pub(crate) struct Binomial {
    /// The likeliest result that is in the table, and cumulated probabilities from there.
    lowest: f64,
    cumulated: Vec<f64>,
}

/// Results that are so much less likely than the likeliest one are left out.
const NEGLIGIBLE: f64 = 1e-15;

impl Binomial {
    /// `trials` requests, each of which fails with `probability`, above 0 and below 1.
    pub(crate) fn new(trials: u32, probability: f64) -> Self {
        let trials = f64::from(trials);
        let odds = probability / (1.0 - probability);
        // How much likelier one more failure than `k` is.
        let step = |k: f64| odds * (trials - k) / (k + 1.0);
        let peak = ((trials + 1.0) * probability).floor().min(trials);
        let mut below = Vec::new();
        let (mut k, mut likely) = (peak, 1.0);
        while k > 0.0 && likely > NEGLIGIBLE {
            k -= 1.0;
            likely /= step(k);
            below.push(likely);
        }
        let lowest = k;
        let (mut k, mut likely) = (peak, 1.0);
        let mut all: Vec<f64> = below.into_iter().rev().chain([1.0]).collect();
        while k < trials && likely > NEGLIGIBLE {
            likely *= step(k);
            k += 1.0;
            all.push(likely);
        }
        Self { lowest, cumulated: cumulated(&all) }
    }

    pub(crate) fn draw(&self, rng: &mut Rng) -> f64 {
        let place = rng.f64();
        let passed = self.cumulated.partition_point(|sum| *sum <= place);
        self.lowest + f64::from(u32::try_from(passed).expect("tables are small"))
    }
}

fn cumulated(weights: &[f64]) -> Vec<f64> {
    let whole: f64 = weights.iter().sum();
    let sums = weights.iter().scan(0.0, |sum, weight| {
        *sum += weight / whole;
        Some(*sum)
    });
    let mut sums: Vec<f64> = sums.collect();
    if let Some(last) = sums.last_mut() {
        *last = 1.0;
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mean_and_variance_are_those_of_the_distribution() {
        for (trials, probability) in [(1, 0.5), (100, 0.001), (100, 0.3), (10_000, 0.9)] {
            let table = Binomial::new(trials, probability);
            let mut rng = Rng::with_seed(5);
            let drawn: Vec<f64> = (0..20_000).map(|_| table.draw(&mut rng)).collect();
            let mean = drawn.iter().sum::<f64>() / 20_000.0;
            let variance = drawn.iter().map(|one| (one - mean).powi(2)).sum::<f64>() / 20_000.0;
            let expected = f64::from(trials) * probability;
            let expected_variance = expected * (1.0 - probability);
            let error = (expected_variance / 20_000.0).sqrt();
            assert!((mean - expected).abs() < 5.0 * error, "seed 5, {trials}: {mean}");
            assert!(
                (variance / expected_variance - 1.0).abs() < 0.15,
                "seed 5, {trials}: {variance}"
            );
        }
    }
}
