//! Which errors fall to the new target group when it is no worse; never an approximation that could
//! make evidence look stronger.

/// The errors of a window are dealt out among its requests as cards are: without putting back.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Hypergeometric {
    new_requests: f64,
    stable_requests: f64,
    errors: f64,
    /// In how many ways errors can be dealt out, as a logarithm.
    ln_ways: f64,
}

impl Hypergeometric {
    /// All are whole numbers from 0; `errors` is at most the sum of the others.
    pub(super) fn new(new_requests: f64, stable_requests: f64, errors: f64) -> Self {
        let ln_ways = ln_choose(new_requests + stable_requests, errors);
        Self { new_requests, stable_requests, errors, ln_ways }
    }

    /// `ln E[odds ^ X]` for `X` errors of the new target group: by how much a likelihood ratio has to
    /// be divided so that its mean is 1.
    pub(super) fn ln_moment(&self, odds: f64) -> f64 {
        if self.errors == 0.0 || self.new_requests == 0.0 {
            return 0.0;
        }
        let peak = self.peak(odds);
        let ln_peak = ln_choose(self.new_requests, peak)
            + ln_choose(self.stable_requests, self.errors - peak)
            - self.ln_ways
            + peak * odds.ln();
        ln_peak + (1.0 + self.above(peak, odds) + self.below(peak, odds)).ln()
    }

    fn lowest(&self) -> f64 {
        (self.errors - self.stable_requests).max(0.0)
    }

    fn highest(&self) -> f64 {
        self.errors.min(self.new_requests)
    }

    /// The likeliest number when errors are so many times as likely in the new target group (the mode
    /// of Fisher's noncentral distribution).
    fn peak(&self, odds: f64) -> f64 {
        let a = odds - 1.0;
        let b = self.errors - self.stable_requests - (self.new_requests + self.errors + 2.0) * odds;
        let c = (self.new_requests + 1.0) * (self.errors + 1.0) * odds;
        let root = (b * b - 4.0 * a * c).max(0.0).sqrt();
        (-2.0 * c / (b - root)).floor().clamp(self.lowest(), self.highest())
    }

    /// How much likelier `x + 1` is than `x`.
    fn step(&self, x: f64, odds: f64) -> f64 {
        odds * (self.new_requests - x) * (self.errors - x)
            / ((x + 1.0) * (self.stable_requests - self.errors + x + 1.0))
    }

    /// All terms above `peak`, with that of `peak` as 1.
    fn above(&self, peak: f64, odds: f64) -> f64 {
        let (mut x, mut term, mut sum) = (peak, 1.0, 0.0);
        while x < self.highest() && term > NEGLIGIBLE {
            term *= self.step(x, odds);
            sum += term;
            x += 1.0;
        }
        sum
    }

    /// All terms below `peak`, with that of `peak` as 1.
    fn below(&self, peak: f64, odds: f64) -> f64 {
        let (mut x, mut term, mut sum) = (peak, 1.0, 0.0);
        while x > self.lowest() && term > NEGLIGIBLE {
            x -= 1.0;
            term /= self.step(x, odds);
            sum += term;
        }
        sum
    }
}

/// Terms that are smaller than this part of the largest one are left out.
const NEGLIGIBLE: f64 = 1e-18;

fn ln_choose(of: f64, chosen: f64) -> f64 {
    ln_factorial(of) - ln_factorial(chosen) - ln_factorial(of - chosen)
}

/// Exact to 1e-13 of the result, from Stirling's series where the product would be long.
fn ln_factorial(number: f64) -> f64 {
    if number < 16.0 {
        return product_to(number).ln();
    }
    let inverse = 1.0 / number;
    let square = inverse * inverse;
    let correction =
        inverse * (1.0 / 12.0 - square * (1.0 / 360.0 - square * (1.0 / 1260.0 - square / 1680.0)));
    (number + 0.5) * number.ln() - number + HALF_LN_TAU + correction
}

/// `ln(2π) / 2`.
const HALF_LN_TAU: f64 = 0.918_938_533_204_672_7;

fn product_to(number: f64) -> f64 {
    let (mut factor, mut product) = (number, 1.0);
    while factor > 1.0 {
        product *= factor;
        factor -= 1.0;
    }
    product
}

#[cfg(test)]
#[expect(clippy::unreadable_literal, reason = "figures as scipy prints them")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn near(found: f64, expected: f64) -> bool {
        (found - expected).abs() <= 1e-11 * expected.abs().max(1.0)
    }

    /// `scipy.special.gammaln(n + 1)`, scipy 1.17.1.
    #[test]
    fn factorials_are_those_of_scipy() {
        for (number, expected) in [
            (0.0, 0.0),
            (1.0, 0.0),
            (5.0, 4.787491742782046),
            (15.0, 27.899271383840894),
            (16.0, 30.671860106080675),
            (17.0, 33.50507345013689),
            (100.0, 363.73937555556347),
            (12345.0, 103962.95347844966),
            (1000000000.0, 19723265848.226982),
        ] {
            let found = ln_factorial(number);
            assert!(near(found, expected), "{number}: {found} is not {expected}");
        }
    }

    /// `log(sum(scipy.stats.hypergeom.pmf(x, N, K, n) * odds ** x))`, scipy 1.17.1.
    #[test]
    fn moments_are_those_of_scipy() {
        for (new, stable, errors, odds, expected) in [
            (1.0, 1.0, 1.0, 2.0, 0.40546510810816494),
            (10.0, 90.0, 5.0, 1.5, 0.2419038763491591),
            (100.0, 100.0, 30.0, 2.0, 11.917379093071915),
            (100.0, 900.0, 200.0, 1.5625, 10.461495968008856),
            (5.0, 5.0, 10.0, 3.0, 5.493061443340548),
            (5.0, 50.0, 54.0, 35.0, 17.68428319662515),
            (1000.0, 1000.0, 1990.0, 2.0, 690.2678574041262),
            (1000.0, 1000.0, 300.0, 35.0, 843.9703577279688),
            (1000.0, 9000.0, 20.0, 6.0, 8.090325967502968),
            (100000.0, 100000.0, 3000.0, 1.5, 668.530413400174),
        ] {
            let found = Hypergeometric::new(new, stable, errors).ln_moment(odds);
            assert!((found - expected).abs() < 1e-9, "{new} {stable} {errors} {odds}: {found}");
        }
    }

    proptest! {
        #[test]
        fn dealing_without_putting_back_spreads_less(
            new in 1_u32..2000, stable in 1_u32..2000, part in 0.0..1.0_f64, odds in 1.0..50.0_f64,
        ) {
            let (new, stable) = (f64::from(new), f64::from(stable));
            let errors = ((new + stable) * part).floor();
            let moment = Hypergeometric::new(new, stable, errors).ln_moment(odds);
            let share = new / (new + stable);
            let binomial = errors * (1.0 - share + share * odds).ln();
            prop_assert!(moment <= binomial + 1e-9 * binomial.max(1.0), "{moment} > {binomial}");
            // Jensen: a mean of powers is at least the power of the mean.
            prop_assert!(moment >= errors * share * odds.ln() - 1e-8, "{moment}");
        }

        #[test]
        fn billions_of_requests_are_no_problem(
            new in 1_u64..1_000_000_000, stable in 1_u64..1_000_000_000, errors in 0_u64..100_000,
        ) {
            let real = |count: u64| f64::from(u32::try_from(count).expect("it is small"));
            let errors = real(errors.min(new + stable));
            let moment = Hypergeometric::new(real(new), real(stable), errors).ln_moment(2.0);
            prop_assert!(moment >= 0.0 && moment <= errors * 2.0_f64.ln() + 1e-4, "{moment}");
        }
    }
}
