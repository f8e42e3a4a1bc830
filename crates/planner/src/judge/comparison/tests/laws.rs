//! Laws that hold for both comparisons.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// Any number, the nonsensical ones often.
fn any_number() -> impl Strategy<Value = f64> {
    prop_oneof![any::<f64>(), Just(f64::NAN), Just(f64::INFINITY), 0.0..1e3_f64, Just(0.0)]
}

fn any_counts() -> impl Strategy<Value = Counts> {
    (any_number(), any_number()).prop_map(|(requests, errors)| Counts { requests, errors })
}

fn any_settings() -> impl Strategy<Value = ComparisonSettings> {
    let numbers = vec(any_number(), 7);
    (numbers, any::<usize>(), 0..7_usize).prop_map(|(numbers, min_windows, kept)| {
        let standard = ComparisonSettings::default();
        let set = |place: usize, default: f64| if place < kept { default } else { numbers[place] };
        ComparisonSettings {
            alpha: set(0, standard.alpha),
            min_requests: set(1, standard.min_requests),
            min_windows: if kept > 2 { standard.min_windows } else { min_windows },
            allowed_error_ratio: set(2, standard.allowed_error_ratio),
            allowed_error_increase: set(3, standard.allowed_error_increase),
            tolerance: set(4, standard.tolerance),
            allowed_increase: set(5, standard.allowed_increase),
            allowed_decrease: set(6, standard.allowed_decrease),
        }
    })
}

fn any_direction() -> impl Strategy<Value = Direction> {
    prop_oneof![Just(Direction::Up), Just(Direction::Down), Just(Direction::Either)]
}

/// Windows with requests, from few errors to many, and a new target group from good to bad.
fn plausible_pairs() -> impl Strategy<Value = Vec<WindowPair>> {
    let window = (1_u32..2000, 1_u32..2000, 0.0..1.0_f64, 0.0..1.0_f64);
    (vec(window, 1..8), 0.0..0.2_f64, 1.0..4.0_f64).prop_map(|(windows, rate, times)| {
        let count = |requests: u32, part: f64| (f64::from(requests) * part.min(1.0)).floor();
        let counts = |requests: u32, part: f64| Counts {
            requests: f64::from(requests),
            errors: count(requests, part),
        };
        let of = |(stable, new, a, b): (u32, u32, f64, f64)| WindowPair {
            stable: counts(stable, rate * 2.0 * a),
            new: counts(new, rate * times * 2.0 * b),
        };
        windows.into_iter().map(of).collect()
    })
}

fn value_of(found: &Comparison) -> f64 {
    match found.numbers.certainty {
        Certainty::EValue { value, .. } | Certainty::PValue { value, .. } => value,
    }
}

proptest! {
    #[test]
    fn no_numbers_and_no_settings_make_a_comparison_panic(
        pairs in vec((any_counts(), any_counts()), 0..8),
        stable in vec(any_number(), 0..30),
        new in vec(any_number(), 0..30),
        direction in any_direction(),
        settings in any_settings(),
    ) {
        let pairs: Vec<WindowPair> =
            pairs.into_iter().map(|(stable, new)| WindowPair { stable, new }).collect();
        let by_errors = compare_errors(&pairs, &settings);
        let by_values = compare_values(&stable, &new, direction, &settings);
        for found in [by_errors, by_values] {
            prop_assert!(!value_of(&found).is_nan(), "{}", found.evidence);
            if let Some(effect) = found.numbers.effect {
                prop_assert!(!effect.ratio.is_nan() && effect.stable.is_finite(), "{:?}", effect);
            }
        }
    }

    #[test]
    fn more_errors_of_the_new_target_group_never_speak_for_it(
        pairs in plausible_pairs(), place in 0..8_usize, more in 1_u32..3000,
    ) {
        let mut worse = pairs.clone();
        let place = place % worse.len();
        worse[place].new.errors += f64::from(more);
        let (before, after) = (errors(&pairs), errors(&worse));
        prop_assert!(value_of(&after) >= value_of(&before) * (1.0 - 1e-9), "{before:?} {after:?}");
        prop_assert!(before.outcome != Worse || after.outcome == Worse, "{before:?} {after:?}");
    }

    #[test]
    fn the_order_of_windows_changes_nothing(
        pairs in plausible_pairs(), values in vec((0.0..100.0_f64, 0.0..150.0_f64), 8..30), by in 0..8_usize,
    ) {
        let mut turned = pairs.clone();
        turned.rotate_left(by % pairs.len());
        turned.swap(0, by / 2 % pairs.len());
        let (before, after) = (errors(&pairs), errors(&turned));
        prop_assert_eq!(before.outcome, after.outcome);
        prop_assert!((value_of(&before) / value_of(&after) - 1.0).abs() < 1e-6 || value_of(&before) == value_of(&after));

        let mut turned = values.clone();
        turned.rotate_left(by);
        let of = |values: &[(f64, f64)]| {
            let (stable, new): (Vec<f64>, Vec<f64>) = values.iter().copied().unzip();
            latency(&stable, &new)
        };
        let (before, after) = (of(&values), of(&turned));
        prop_assert_eq!(before.outcome, after.outcome);
        prop_assert_eq!(value_of(&before), value_of(&after));
    }

    #[test]
    fn the_two_target_groups_are_never_both_worse(pairs in plausible_pairs(), values in vec((0.0..100.0_f64, 0.0..150.0_f64), 8..30)) {
        let swapped: Vec<WindowPair> =
            pairs.iter().map(|pair| WindowPair { stable: pair.new, new: pair.stable }).collect();
        prop_assert!(errors(&pairs).outcome != Worse || errors(&swapped).outcome != Worse);

        let (stable, new): (Vec<f64>, Vec<f64>) = values.into_iter().unzip();
        let settings = ComparisonSettings::default();
        let up = compare_values(&stable, &new, Direction::Up, &settings);
        let down = compare_values(&new, &stable, Direction::Down, &settings);
        prop_assert_eq!(value_of(&up), value_of(&down), "worse one way round is worse the other");
        prop_assert!(up.outcome != Worse || latency(&new, &stable).outcome != Worse);
    }

    #[test]
    fn the_unit_of_values_changes_nothing(values in vec((0.0..100.0_f64, 0.0..200.0_f64), 8..30), exponent in -300..300_i32) {
        let (stable, new): (Vec<f64>, Vec<f64>) = values.into_iter().unzip();
        let scaled = |values: &[f64]| -> Vec<f64> {
            values.iter().map(|value| value * 2.0_f64.powi(exponent)).collect()
        };
        let (before, after) = (latency(&stable, &new), latency(&scaled(&stable), &scaled(&new)));
        prop_assert_eq!(before.outcome, after.outcome);
        prop_assert_eq!(value_of(&before), value_of(&after));
    }

    #[test]
    fn slower_in_every_window_never_turns_worse_into_not_worse(
        values in vec((50.0..100.0_f64, 50.0..200.0_f64), 8..30), slower in 0.0..100.0_f64,
    ) {
        let (stable, new): (Vec<f64>, Vec<f64>) = values.into_iter().unzip();
        let later: Vec<f64> = new.iter().map(|value| value + slower).collect();
        let (before, after) = (latency(&stable, &new), latency(&stable, &later));
        prop_assert!(before.outcome != Worse || after.outcome == Worse, "{before:?} {after:?}");
    }

    #[test]
    fn a_second_look_at_the_same_windows_says_the_same(pairs in plausible_pairs()) {
        prop_assert_eq!(errors(&pairs), errors(&pairs));
    }
}
