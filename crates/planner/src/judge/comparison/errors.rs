//! Errors of the new target group against those of the stable one; never compares one minute with
//! another.
//!
//! Under "no worse", the errors of a window are dealt out among its requests, whoever served them, so
//! that the new target group gets its share of them or less, whatever the error rate of that window
//! was. A burst that hits both target groups is no evidence. For each alternative (errors so many times
//! as likely) a window multiplies a likelihood ratio by a factor whose mean is at most 1; so does their
//! weighted mean, the e-value. By Ville's inequality it ever reaches `1 / alpha` with probability
//! `alpha` at most, however often it is looked at.
//!
//! What is not handled: a burst that hits only one target group for a reason that is not its revision,
//! such as one bad host, looks like a worse revision, for its errors are counted as independent.

use super::hypergeometric::Hypergeometric;
use super::words::{digits, left_out, percent, plural, power};
use super::{
    Certainty, Comparison, ComparisonNumbers, ComparisonOutcome, ComparisonSettings, Counts,
    Effect, WindowPair, ratio, real,
};

/// More requests than these in one window are no count of requests.
const REQUESTS_MAX: f64 = 1e9;

/// From this ratio of errors on, an alternative finds even the worst revision within a few errors.
const WORST: f64 = 32.0;

/// Larger ratios than this cannot be told from "always".
pub(super) const RATIO_MAX: f64 = 100.0;

/// Compares error rates over all closed windows since the shift began, in any order.
///
/// Worse is a new target group whose e-value reaches `1 / alpha`, whose errors are
/// `allowed_error_ratio` times as frequent as the stable one's or more, and whose error rate is at least
/// `allowed_error_increase` higher.
pub fn compare_errors(pairs: &[WindowPair], settings: &ComparisonSettings) -> Comparison {
    let windows: Vec<Window> = pairs.iter().filter_map(Window::of).collect();
    let totals = Totals::of(&windows);
    let left_out = pairs.len() - windows.len();
    let at_least = 1.0 / settings.alpha;
    if let Some(why) = too_little(&totals, settings) {
        let certainty = Certainty::EValue { value: 1.0, at_least };
        return totals.comparison(ComparisonOutcome::TooLittle, left_out, certainty, &why);
    }
    let value = e_value(&windows, settings.allowed_error_ratio);
    let certainty = Certainty::EValue { value, at_least };
    let (outcome, why) = totals.judged(value, settings);
    totals.comparison(outcome, left_out, certainty, &why)
}

fn too_little(totals: &Totals, settings: &ComparisonSettings) -> Option<String> {
    if let Some(fault) = settings.fault() {
        return Some(format!("nothing can be said: {fault}"));
    }
    let requests = totals.new.requests.min(totals.stable.requests);
    if totals.windows < settings.min_windows.max(1) {
        return Some(format!(
            "too little: {} needed",
            plural(settings.min_windows.max(1), "window")
        ));
    }
    (requests < settings.min_requests).then(|| {
        format!("too little: {} requests of each are needed", digits(settings.min_requests))
    })
}

/// Whole numbers; each target group has requests and no more errors than requests.
#[derive(Clone, Copy, Debug)]
struct Window {
    stable: Counts,
    new: Counts,
}

impl Window {
    fn of(pair: &WindowPair) -> Option<Self> {
        Some(Self { stable: whole(pair.stable)?, new: whole(pair.new)? })
    }

    fn dealt(&self) -> Hypergeometric {
        let errors = self.new.errors + self.stable.errors;
        Hypergeometric::new(self.new.requests, self.stable.requests, errors)
    }
}

/// Requests and errors may be counted in different minutes. An error without its request had one.
fn whole(counts: Counts) -> Option<Counts> {
    let makes_sense = |count: f64| (0.0..=REQUESTS_MAX).contains(&count);
    if !makes_sense(counts.requests) || !makes_sense(counts.errors) {
        return None;
    }
    let errors = counts.errors.round();
    let requests = counts.requests.round();
    (requests > 0.0).then_some(Counts { requests: requests.max(errors), errors })
}

/// The weighted mean of the likelihood ratios of all alternatives.
fn e_value(windows: &[Window], allowed_ratio: f64) -> f64 {
    let errors: f64 = windows.iter().map(|one| one.new.errors).sum();
    let dealt: Vec<Hypergeometric> = windows.iter().map(Window::dealt).collect();
    let evidence =
        |odds: f64| errors * odds.ln() - dealt.iter().map(|one| one.ln_moment(odds)).sum::<f64>();
    let weighted: f64 = alternatives(allowed_ratio)
        .into_iter()
        .map(|(odds, weight)| weight * evidence(odds).exp())
        .sum();
    weighted.min(f64::MAX)
}

/// How many times as likely errors might be, with weights that sum up to 1.
///
/// The first is the square of the allowed ratio: its evidence grows where the true ratio is above the
/// allowed one. Each further one is the square of the one before. The first has most weight,
/// for it needs the most errors.
fn alternatives(allowed_ratio: f64) -> Vec<(f64, f64)> {
    let squares = std::iter::successors(Some(allowed_ratio * allowed_ratio), |odds| {
        (*odds < WORST).then_some(odds * odds)
    });
    let odds: Vec<f64> = squares.take(ALTERNATIVES_MAX).collect();
    let whole = real(odds.len()) / (real(odds.len()) + 1.0);
    let weight = |place: f64| 1.0 / (place * (place + 1.0)) / whole;
    odds.into_iter().zip((1..).map(f64::from)).map(|(odds, place)| (odds, weight(place))).collect()
}

/// Enough to come from a ratio of 1.0001 to 32.
const ALTERNATIVES_MAX: usize = 16;

/// Sums over windows, and those of Mantel and Haenszel: windows are compared within
/// themselves, so that neither a changed share of traffic nor a bad minute looks like a difference.
#[derive(Clone, Copy, Debug)]
struct Totals {
    windows: usize,
    stable: Counts,
    new: Counts,
    /// Errors of each, weighted with the requests of the other.
    weighted_new: f64,
    weighted_stable: f64,
    weights: f64,
}

impl Totals {
    fn of(windows: &[Window]) -> Self {
        let sum = |part: fn(&Window) -> f64| windows.iter().map(part).sum::<f64>();
        let all = |one: &Window| one.new.requests + one.stable.requests;
        let weighted =
            |part: fn(&Window) -> f64| windows.iter().map(|one| part(one) / all(one)).sum::<f64>();
        Self {
            windows: windows.len(),
            stable: Counts {
                requests: sum(|one| one.stable.requests),
                errors: sum(|one| one.stable.errors),
            },
            new: Counts {
                requests: sum(|one| one.new.requests),
                errors: sum(|one| one.new.errors),
            },
            weighted_new: weighted(|one| one.new.errors * one.stable.requests),
            weighted_stable: weighted(|one| one.stable.errors * one.new.requests),
            weights: weighted(|one| one.new.requests * one.stable.requests),
        }
    }

    fn effect(&self) -> Option<Effect> {
        let rate = |counts: Counts| counts.errors / counts.requests;
        (self.windows > 0).then(|| Effect {
            stable: rate(self.stable),
            new: rate(self.new),
            ratio: self.ratio(),
        })
    }

    fn ratio(&self) -> f64 {
        ratio(self.weighted_new, self.weighted_stable)
    }

    fn increase(&self) -> f64 {
        (self.weighted_new - self.weighted_stable) / self.weights
    }

    fn judged(&self, e_value: f64, settings: &ComparisonSettings) -> (ComparisonOutcome, String) {
        let at_least = 1.0 / settings.alpha;
        let is_sure = e_value >= at_least;
        let allowed = settings.allowed_error_ratio;
        let ratio_matters = self.ratio() >= allowed;
        let increase_matters = self.increase() >= settings.allowed_error_increase;
        let certainty = format!("e-value {}, {} is proof", power(e_value), power(at_least));
        let why = match (is_sure, ratio_matters, increase_matters) {
            (true, true, true) => format!("worse: {certainty}"),
            (false, _, _) => format!("not worse: {certainty}"),
            (true, false, _) => {
                format!("not worse: up to {} times is allowed ({certainty})", digits(allowed))
            }
            (true, true, false) => {
                let least = percent(settings.allowed_error_increase);
                format!("not worse: up to {least} more is allowed ({certainty})")
            }
        };
        let is_worse = is_sure && ratio_matters && increase_matters;
        (if is_worse { ComparisonOutcome::Worse } else { ComparisonOutcome::NotWorse }, why)
    }

    fn comparison(
        &self,
        outcome: ComparisonOutcome,
        left_out_windows: usize,
        certainty: Certainty,
        why: &str,
    ) -> Comparison {
        let effect = self.effect();
        let evidence = format!(
            "{} over {}{}; {why}",
            effect.map_or("no errors were compared".to_owned(), |effect| self.in_words(effect)),
            plural(self.windows, "window"),
            left_out(left_out_windows),
        );
        let numbers = ComparisonNumbers {
            windows: self.windows,
            left_out: left_out_windows,
            effect,
            certainty,
        };
        Comparison { outcome, evidence, numbers }
    }

    fn in_words(&self, effect: Effect) -> String {
        let times = match (effect.ratio, self.new.errors + self.stable.errors > 0.0) {
            (_, false) => "none at all".to_owned(),
            (ratio, true) if ratio.is_finite() => format!("{} times as frequent", digits(ratio)),
            _ => "only in the new target group".to_owned(),
        };
        let arm = |counts: Counts, rate: f64| {
            format!("{:.0} of {:.0} requests ({})", counts.errors, counts.requests, percent(rate))
        };
        format!(
            "errors {times}: new {}, stable {}",
            arm(self.new, effect.new),
            arm(self.stable, effect.stable),
        )
    }
}
