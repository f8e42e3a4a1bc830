//! What comparisons say of given numbers; tails, ranks and moments are tested beside their code.

#![expect(clippy::float_cmp, reason = "the same numbers must come out, not similar ones")]

mod laws;
mod simulation;

use super::*;
use ComparisonOutcome::{NotWorse, TooLittle, Worse};

fn pair(stable: (u32, u32), new: (u32, u32)) -> WindowPair {
    let counts = |(errors, requests): (u32, u32)| Counts {
        requests: f64::from(requests),
        errors: f64::from(errors),
    };
    WindowPair { stable: counts(stable), new: counts(new) }
}

fn errors(pairs: &[WindowPair]) -> Comparison {
    compare_errors(pairs, &ComparisonSettings::default())
}

fn latency(stable: &[f64], new: &[f64]) -> Comparison {
    compare_values(stable, new, Direction::Up, &ComparisonSettings::default())
}

/// Values around 100 that never repeat.
fn around(middle: f64, windows: u32) -> Vec<f64> {
    (0..windows).map(|i| middle + f64::from(i * 7919 % 101) / 10.0 + f64::from(i) / 1e4).collect()
}

#[test]
fn a_doubled_error_rate_is_worse_and_says_with_which_numbers() {
    let found = errors(&[pair((50, 1000), (100, 1000)); 3]);
    assert_eq!(found.outcome, Worse, "{}", found.evidence);
    assert_eq!(found.numbers.effect, Some(Effect { stable: 0.05, new: 0.1, ratio: 2.0 }));
    assert!(
        found.evidence.starts_with(
            "errors 2 times as frequent: new 300 of 3000 requests (10 %), stable 150 of 3000 requests \
             (5 %) over 3 windows; worse: e-value "
        ),
        "{}",
        found.evidence
    );
}

/// `odds ^ x / E[odds ^ X]` of each window and alternative from `scipy.stats.hypergeom`, scipy 1.17.1,
/// with the weights 5/8, 5/24, 5/48 and 1/16.
#[test]
fn an_e_value_is_that_of_scipy() {
    let windows = [pair((3, 900), (4, 100)), pair((10, 800), (5, 150)), pair((0, 500), (1, 500))];
    let Certainty::EValue { value, .. } = errors(&windows).numbers.certainty else {
        panic!("errors have e-values")
    };
    assert!((value / 44.550_076_761_495_4 - 1.0).abs() < 1e-9, "{value}");
}

#[test]
fn twice_as_many_errors_in_a_few_requests_prove_nothing() {
    let found = errors(&[pair((1, 100), (2, 100)); 3]);
    assert_eq!(found.outcome, NotWorse);
    assert!(found.evidence.contains("not worse: e-value"), "{}", found.evidence);
}

#[test]
fn errors_only_in_the_new_target_group_are_worse_within_a_few() {
    let found =
        errors(&[pair((0, 900), (0, 100)), pair((0, 900), (2, 100)), pair((0, 900), (3, 100))]);
    assert_eq!(found.outcome, Worse, "{}", found.evidence);
    assert!(
        found.evidence.starts_with("errors only in the new target group"),
        "{}",
        found.evidence
    );
    let effect = found.numbers.effect.expect("there are windows");
    assert!(effect.ratio.is_infinite());
}

#[test]
fn a_sure_but_small_rise_is_allowed_and_the_sentence_says_so() {
    let small = errors(&[pair((10_000, 1_000_000), (112_000, 9_000_000)); 5]);
    assert_eq!(small.outcome, NotWorse);
    assert!(small.evidence.contains("up to 1.25 times is allowed (e-value"), "{}", small.evidence);
    let rare = errors(&[pair((10, 1_000_000), (100, 1_000_000)); 5]);
    assert_eq!(rare.outcome, NotWorse);
    assert!(rare.evidence.contains("up to 0.05 % more is allowed (e-value"), "{}", rare.evidence);
}

#[test]
fn a_burst_that_hits_both_is_no_evidence_whatever_the_shares_of_traffic() {
    let quiet = [pair((9, 900), (1, 100)); 10];
    let burst = [pair((100, 500), (100, 500)); 3];
    let found = errors(&[quiet.as_slice(), &burst].concat());
    assert_eq!(found.outcome, NotWorse);
    // The sums alone would say 12 % against 3.7 %.
    let effect = found.numbers.effect.expect("there are windows");
    assert!((effect.ratio - 1.0).abs() < 1e-12, "{effect:?}");
    assert!(effect.new > 3.0 * effect.stable);
}

#[test]
fn too_little_says_what_is_missing() {
    let said = |found: Comparison| (found.outcome, found.evidence);
    assert_eq!(
        said(errors(&[])),
        (
            TooLittle,
            "no errors were compared over 0 windows; too little: 3 windows needed".to_owned()
        )
    );
    assert_eq!(
        said(errors(&[pair((0, 1000), (30, 33)); 3])),
        (
            TooLittle,
            "errors only in the new target group: new 90 of 99 requests (90.9 %), stable 0 of 3000 \
             requests (0 %) over 3 windows; too little: 100 requests of each are needed"
                .to_owned()
        )
    );
    assert_eq!(
        said(latency(&[100.0; 7], &[200.0; 7])),
        (
            TooLittle,
            "values 2 times as high: mean of new 200, of stable 100 over 7 windows; too little: 8 \
             windows needed"
                .to_owned()
        )
    );
}

#[test]
fn windows_without_usable_numbers_of_both_are_left_out_with_a_word() {
    let nonsense = |requests, errors| Counts { requests, errors };
    let good = pair((1, 100), (1, 100));
    let bad = [f64::NAN, f64::INFINITY, -1.0, 1e300]
        .into_iter()
        .flat_map(|number| [nonsense(number, 1.0), nonsense(100.0, number)])
        .chain([nonsense(0.0, 0.0)])
        .flat_map(|counts| {
            [WindowPair { new: counts, ..good }, WindowPair { stable: counts, ..good }]
        });
    let pairs: Vec<WindowPair> = bad.chain([good; 3]).collect();
    let found = errors(&pairs);
    assert_eq!((found.outcome, found.numbers.windows, found.numbers.left_out), (NotWorse, 3, 18));
    assert!(found.evidence.contains("(18 windows left out"), "{}", found.evidence);
    assert_eq!(errors(&pairs[..18]).outcome, TooLittle);

    let new: Vec<f64> = [f64::NAN, -1.0].into_iter().chain(around(150.0, 8)).collect();
    let found = latency(&around(100.0, 11), &new);
    assert_eq!((found.outcome, found.numbers.windows, found.numbers.left_out), (Worse, 8, 3));
}

#[test]
fn an_error_without_its_request_in_the_window_had_one() {
    let found = errors(&[pair((0, 100), (120, 100)); 3]);
    assert_eq!(found.outcome, Worse);
    assert!(found.evidence.contains("new 360 of 360 requests (100 %)"), "{}", found.evidence);
}

#[test]
fn settings_without_sense_let_nothing_pass_in_either_direction() {
    let standard = ComparisonSettings::default();
    let bad = [
        ComparisonSettings { alpha: f64::NAN, ..standard },
        ComparisonSettings { alpha: 0.0, ..standard },
        ComparisonSettings { alpha: 1.0, ..standard },
        ComparisonSettings { min_requests: f64::NAN, ..standard },
        ComparisonSettings { min_windows: usize::MAX, ..standard },
        ComparisonSettings { allowed_error_ratio: 1.0, ..standard },
        ComparisonSettings { allowed_error_ratio: f64::INFINITY, ..standard },
        ComparisonSettings { allowed_error_increase: f64::NAN, ..standard },
        ComparisonSettings { tolerance: 1.0, ..standard },
        ComparisonSettings { allowed_increase: f64::NAN, ..standard },
        ComparisonSettings { allowed_decrease: 0.0, ..standard },
    ];
    for settings in bad {
        let by_errors = compare_errors(&[pair((0, 1000), (900, 1000)); 9], &settings);
        let by_values =
            compare_values(&around(1.0, 20), &around(900.0, 20), Direction::Up, &settings);
        for found in [by_errors, by_values] {
            assert_eq!(found.outcome, TooLittle, "{settings:?}");
            assert!(found.evidence.contains("nothing can be said: "), "{}", found.evidence);
        }
    }
}

#[test]
fn a_shift_of_values_is_worse_in_the_bad_direction_only() {
    let (low, high) = (around(100.0, 10), around(150.0, 10));
    let outcome = |stable: &[f64], new: &[f64], direction| {
        compare_values(stable, new, direction, &ComparisonSettings::default()).outcome
    };
    let directions = [Direction::Up, Direction::Down, Direction::Either];
    assert_eq!(directions.map(|way| outcome(&low, &high, way)), [Worse, NotWorse, Worse]);
    assert_eq!(directions.map(|way| outcome(&high, &low, way)), [NotWorse, Worse, Worse]);
    assert_eq!(directions.map(|way| outcome(&low, &low, way)), [NotWorse; 3]);
}

#[test]
fn a_shift_says_with_which_numbers() {
    let found = latency(&[100.0; 8], &[150.0; 8]);
    // One of 16 over 8 arrangements; at 8 windows 1e-3 · 8 / (8 · 9) may be spent.
    assert_eq!(
        found.evidence,
        "values 1.5 times as high: mean of new 150, of stable 100 over 8 windows; worse: p 7.8e-5, \
         at most 1.1e-4 is proof"
    );
    let Certainty::PValue { value, at_most } = found.numbers.certainty else {
        panic!("values have p-values")
    };
    assert!((value * 12_870.0 - 1.0).abs() < 1e-12);
    assert!((at_most * 9000.0 - 1.0).abs() < 1e-12);
}

#[test]
fn a_sure_but_small_shift_is_allowed_and_the_sentence_says_so() {
    let found = latency(&around(1000.0, 20), &around(1050.0, 20));
    assert_eq!(found.outcome, NotWorse);
    assert!(found.evidence.contains("up to 1.1 times is allowed (p"), "{}", found.evidence);
}

#[test]
fn only_the_newest_day_of_windows_is_compared_and_the_evidence_says_so() {
    let stable = vec![100.0; 1500];
    let new: Vec<f64> = (0..1500).map(|i| if i < 600 { 100.0 } else { 200.0 }).collect();
    let found = latency(&stable, &new);
    assert_eq!(found.outcome, Worse);
    assert!(found.evidence.contains("over the newest of 1500 windows"), "{}", found.evidence);
}
