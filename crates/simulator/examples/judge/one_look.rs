//! The best that can be had: one look at all errors at the end; never looks earlier.

use evenkeel_planner::Counts;

/// The probability that as many of all errors, or more, fall to the new target group when it is no
/// worse: Fisher's exact test. Where the error rate is not known beforehand, no unbiased test of the
/// same alpha misses fewer.
pub(crate) fn p_fisher(new: Counts, stable: Counts) -> f64 {
    let errors = new.errors + stable.errors;
    // How much likelier it is that `x + 1` of the errors are new ones than that `x` are.
    let step = |x: f64| {
        (new.requests - x) * (errors - x) / ((x + 1.0) * (stable.requests - errors + x + 1.0))
    };
    let (lowest, highest) = ((errors - stable.requests).max(0.0), errors.min(new.requests));
    let (mut as_many, mut fewer) = (1.0, 0.0);
    let (mut x, mut term) = (new.errors, 1.0);
    while x < highest && term > 0.0 {
        term *= step(x);
        as_many += term;
        x += 1.0;
    }
    (x, term) = (new.errors, 1.0);
    while x > lowest && term > 0.0 && fewer < f64::MAX {
        x -= 1.0;
        term /= step(x);
        fewer += term;
    }
    as_many / (as_many + fewer)
}

#[cfg(test)]
#[expect(clippy::unreadable_literal, reason = "figures as scipy prints them")]
mod tests {
    use super::*;

    /// `scipy.stats.fisher_exact([[new, rest], [stable, rest]], alternative="greater")`, scipy 1.17.1;
    /// the first is Fisher's lady tasting tea (1935).
    #[test]
    fn p_is_that_of_scipy() {
        let counts = |errors, requests| Counts { requests, errors };
        for (new, stable, expected) in [
            (counts(3.0, 4.0), counts(1.0, 4.0), 0.24285714285714283),
            (counts(62.0, 1000.0), counts(31.0, 1000.0), 0.0006625600397846984),
            (counts(0.0, 100.0), counts(5.0, 100.0), 1.0),
            (counts(25.0, 1000.0), counts(90.0, 9000.0), 0.00013985055129300028),
            (counts(100.0, 100.0), counts(80.0, 100.0), 3.321687077707699e-07),
            (counts(400.0, 2000.0), counts(200.0, 2000.0), 3.2567727214793996e-19),
        ] {
            let found = p_fisher(new, stable);
            assert!((found / expected - 1.0).abs() < 1e-9, "{new:?} {stable:?}: {found}");
        }
    }
}
