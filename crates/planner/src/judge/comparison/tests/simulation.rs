//! How often comparisons are wrong about target groups of the same revision; `just judge` plays more.

use super::*;

/// `SplitMix64` (Steele, Lea and Flood 2014): enough for a simulation, and the same everywhere.
struct Random(u64);

impl Random {
    /// From 0 to below 1.
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        let bits = u32::try_from((mixed ^ (mixed >> 31)) >> 32).expect("32 bits are left");
        f64::from(bits) / 4_294_967_296.0
    }

    fn count(&mut self, trials: u32, probability: f64) -> u32 {
        (0..trials).map(|_| u32::from(self.unit() < probability)).sum()
    }
}

const SEED: u64 = 20_240_611;

/// How many of `rollouts` are ever found worse, at most `most`.
#[track_caller]
fn assert_false_alarms(
    rollouts: u32,
    most: u32,
    mut is_ever_worse: impl FnMut(&mut Random) -> bool,
) {
    let mut random = Random(SEED);
    let worse: u32 = (0..rollouts).map(|_| u32::from(is_ever_worse(&mut random))).sum();
    assert!(worse <= most, "{worse} of {rollouts}, more than {most}; seed {SEED}");
    // A test that never rejects would pass as well.
    assert!(worse > 0, "not one of {rollouts}; seed {SEED}");
}

/// At 5 %, with a look after each window and the size of the effect left aside, one rollout in 20 may
/// be found worse: of 2,000 so 100, and with four standard deviations 139.
#[test]
fn evidence_about_errors_rarely_ever_reaches_the_bound_when_nothing_is_worse() {
    let settings = ComparisonSettings { alpha: 0.05, min_windows: 1, ..Default::default() };
    for (share, rate) in [(0.5, 0.02), (0.1, 0.02), (0.5, 0.4), (0.2, 0.9)] {
        assert_false_alarms(2000, 139, |random| {
            let mut pairs = Vec::new();
            (0..12).any(|_| {
                // Each window has its own rate: bursts hit both.
                let rate = if random.unit() < 0.2 { (rate * 3.0_f64).min(0.95) } else { rate };
                let new = random.count(100, share);
                let mut of = |requests| (random.count(requests, rate), requests);
                pairs.push(pair(of(100 - new), of(new)));
                let found = compare_errors(&pairs, &settings).numbers.certainty;
                matches!(found, Certainty::EValue { value, at_least } if value >= at_least)
            })
        });
    }
}

/// As above; of 1,000 rollouts with four standard deviations 77.
#[test]
fn values_are_rarely_ever_found_worse_when_nothing_is() {
    let settings = ComparisonSettings {
        alpha: 0.05,
        tolerance: 0.0,
        allowed_increase: 1.0,
        ..Default::default()
    };
    assert_false_alarms(1000, 77, |random| {
        let (mut stable, mut new) = (Vec::new(), Vec::new());
        (0..14).any(|window| {
            // Both drift, and whole numbers tie.
            let drift = f64::from(window) / 2.0;
            let mut value = || (random.unit() * random.unit() * 40.0 + drift).floor();
            stable.push(value());
            new.push(value());
            let found = compare_values(&stable, &new, Direction::Up, &settings);
            found.outcome == Worse
        })
    });
}
