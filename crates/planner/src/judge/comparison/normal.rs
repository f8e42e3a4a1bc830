//! The tail of the normal distribution; never a table.

use std::f64::consts::{PI, SQRT_2};

/// From here on the continued fraction converges faster than the series.
const FAR: f64 = 2.5;

/// The probability of more than `z` standard deviations above the mean.
pub(super) fn upper_tail(z: f64) -> f64 {
    if z < 0.0 {
        1.0 - upper_tail(-z)
    } else if z < FAR {
        0.5 - density(z) * series(z)
    } else {
        density(z) * mills_ratio(z)
    }
}

fn density(z: f64) -> f64 {
    (-z * z / 2.0).exp() / (SQRT_2 * PI.sqrt())
}

/// `z + z³/3 + z⁵/(3·5) + …` (Abramowitz and Stegun 26.2.11).
fn series(z: f64) -> f64 {
    let mut term = z;
    let mut sum = z;
    for k in 1..60 {
        term *= z * z / f64::from(2 * k + 1);
        sum += term;
    }
    sum
}

/// `1/(z + 1/(z + 2/(z + 3/(z + …))))` (Abramowitz and Stegun 26.2.14).
fn mills_ratio(z: f64) -> f64 {
    let fraction = (1..=120).rev().fold(z, |rest, k| z + f64::from(k) / rest);
    1.0 / fraction
}

#[cfg(test)]
#[expect(clippy::unreadable_literal, reason = "figures as scipy prints them")]
mod tests {
    use super::*;

    /// `scipy.stats.norm.sf`, scipy 1.17.1.
    #[test]
    fn the_tail_is_that_of_scipy() {
        for (z, expected) in [
            (-8.0, 0.9999999999999993),
            (-3.0, 0.9986501019683699),
            (-1.0, 0.8413447460685429),
            (0.0, 0.5),
            (0.5, 0.3085375387259869),
            (1.0, 0.15865525393145707),
            (1.959963984540054, 0.025),
            (2.4999, 0.006211418374944587),
            (2.5, 0.006209665325776132),
            (2.5001, 0.006207912714815193),
            (3.0, 0.0013498980316300933),
            (4.0, 3.167124183311986e-05),
            (6.0, 9.865876450376946e-10),
            (10.0, 7.61985302416047e-24),
            (30.0, 4.906713927147908e-198),
        ] {
            let found = upper_tail(z);
            assert!((found / expected - 1.0).abs() < 1e-12, "{z}: {found} is not {expected}");
        }
    }
}
