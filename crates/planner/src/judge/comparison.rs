//! The new target group against the stable one over the same windows of time; never keeps anything
//! between two looks, and never decides what follows.
//!
//! Both comparisons are functions of all closed windows since the shift began. They may be asked after
//! every window, as often as one likes: `alpha` bounds the probability that a new target group that is
//! no worse is *ever* found worse during the whole rollout. Several comparisons of one rollout add up:
//! give each its part of `alpha`.
//!
//! Errors are compared by [`compare_errors`], everything that is one number a window by
//! [`compare_values`].

mod errors;
mod hypergeometric;
mod mann_whitney;
mod normal;
#[cfg(test)]
mod tests;
mod values;
mod words;

pub use errors::compare_errors;
pub use values::compare_values;

/// Requests and errors of one target group in one closed window, as CloudWatch's `Sum` gives them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Counts {
    pub requests: f64,
    pub errors: f64,
}

/// The same closed window of both target groups.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WindowPair {
    pub stable: Counts,
    pub new: Counts,
}

/// Which way is worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    Up,
    Down,
    Either,
}

/// How sure a comparison must be, and which difference matters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ComparisonSettings {
    /// The probability that a target group that is no worse is ever found worse in a rollout; above 0,
    /// below 1.
    pub alpha: f64,
    /// Fewer requests than these of either target group say nothing about errors.
    pub min_requests: f64,
    /// Fewer windows than these say nothing; at most 1440.
    pub min_windows: usize,
    /// Errors may be so many times as frequent as those of the stable target group; above
    /// 1, at most 100.
    pub allowed_error_ratio: f64,
    /// The part of all requests that may fail beyond what fails of the stable target group: 0 to 1.
    pub allowed_error_increase: f64,
    /// The part of an estimated shift of values that must be beyond doubt: 0 to below 1. Kayenta's
    /// `tolerance`.
    pub tolerance: f64,
    /// Values may be so many times those of the stable target group; at least 1. Kayenta's
    /// `allowedIncrease` of the measure `meanRatio`.
    pub allowed_increase: f64,
    /// Values may sink to this part of those of the stable target group: above 0, at most 1. Kayenta's
    /// `allowedDecrease`.
    pub allowed_decrease: f64,
}

/// `tolerance` is Kayenta's (`NetflixACAJudge`, at its commit a69573b). The allowed changes are those of
/// the example in its documentation: its own default, 1, calls any shift worse that is sure, and
/// two target groups of the same revision often differ by a few percent. `alpha` stands for Kayenta's
/// `confLevel` 0.98, which is of one look. Half of a budget of 0.1 % is the least rise of errors that
/// matters.
impl Default for ComparisonSettings {
    fn default() -> Self {
        Self {
            alpha: 1e-3,
            min_requests: 100.0,
            min_windows: 3,
            allowed_error_ratio: 1.25,
            allowed_error_increase: 0.0005,
            tolerance: 0.25,
            allowed_increase: 1.1,
            allowed_decrease: 0.9,
        }
    }
}

impl ComparisonSettings {
    /// What is wrong with them. With such settings nothing can be said, in either direction.
    fn fault(&self) -> Option<&'static str> {
        let within = |value: f64, low: f64, high: f64| (low..=high).contains(&value);
        let rules = [
            (self.alpha > 0.0 && self.alpha < 1.0, "alpha must be above 0 and below 1"),
            (self.min_requests >= 0.0, "min_requests must be 0 or more"),
            (self.min_windows <= values::WINDOWS_MAX, "min_windows must be 1440 or less"),
            (
                self.allowed_error_ratio > 1.0 && self.allowed_error_ratio <= errors::RATIO_MAX,
                "allowed_error_ratio must be above 1 and at most 100",
            ),
            (
                within(self.allowed_error_increase, 0.0, 1.0),
                "allowed_error_increase must be from 0 to 1",
            ),
            (self.tolerance >= 0.0 && self.tolerance < 1.0, "tolerance must be from 0 to below 1"),
            (within(self.allowed_increase, 1.0, f64::MAX), "allowed_increase must be at least 1"),
            (
                self.allowed_decrease > 0.0 && self.allowed_decrease <= 1.0,
                "allowed_decrease must be above 0 and at most 1",
            ),
        ];
        rules.into_iter().find(|(holds, _)| !holds).map(|(_, rule)| rule)
    }
}

/// What a comparison came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    pub outcome: ComparisonOutcome,
    /// One sentence for people, with all numbers that led to the outcome.
    pub evidence: String,
    pub numbers: ComparisonNumbers,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ComparisonOutcome {
    Worse,
    NotWorse,
    /// Neither: there are too few windows or requests, or the settings make no sense.
    TooLittle,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ComparisonNumbers {
    /// Windows that were compared.
    pub windows: usize,
    /// Windows that one target group lacks, or in which a number makes no sense.
    pub left_out: usize,
    /// `None` when no window was compared.
    pub effect: Option<Effect>,
    pub certainty: Certainty,
}

/// How large the difference is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Effect {
    /// The error rate, 0 to 1, or the mean of the values.
    pub stable: f64,
    pub new: f64,
    /// How many times the stable one's: infinite when that is 0 and the new one is not, 1 when both are.
    /// Of errors it is taken within windows, so it need not be `new / stable`.
    pub ratio: f64,
}

/// How sure it is that there is a difference.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Certainty {
    /// Evidence against "no worse", which a target group that is no worse drives up to `at_least` in
    /// one of `at_least` rollouts.
    EValue { value: f64, at_least: f64 },
    /// The probability of such a difference when there is none, and what this look may spend.
    PValue { value: f64, at_most: f64 },
}

/// How many, as a number to calculate with.
fn real(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::from(u32::MAX), f64::from)
}

/// How many times `stable` is `new`.
fn ratio(new: f64, stable: f64) -> f64 {
    match (new > 0.0, stable > 0.0) {
        (false, false) => 1.0,
        (true, false) => f64::INFINITY,
        (_, true) => new / stable,
    }
}
