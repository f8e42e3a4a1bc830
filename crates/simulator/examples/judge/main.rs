//! How often is the judge wrong? Plays whole rollouts through both comparisons and counts false
//! rollbacks and misses; never touches a region.
//!
//! Exit codes: 0 the promised rate of false rollbacks is kept, 1 it is not, 2 nothing could be said.

mod binomial;
mod errors;
mod latency;
mod one_look;
mod playing;
mod report;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use evenkeel_planner::ComparisonSettings;

use playing::Playing;
use report::Report;

/// False rollbacks and misses of the comparison of a new target group with the stable one.
#[derive(Debug, Parser)]
struct Arguments {
    /// Rollouts without a difference, for each error rate and for all kinds of values.
    #[arg(long, value_name = "NUMBER", default_value_t = 100_000)]
    rollouts: u32,
    /// Rollouts with a difference, for each line.
    #[arg(long, value_name = "NUMBER", default_value_t = 5_000)]
    bad_rollouts: u32,
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,
    /// Also write everything to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let playing = Playing::from_seed(arguments.seed);
    let settings = ComparisonSettings::default();
    let mut report = Report::default();
    report.say(&format!(
        "Seed {}, alpha {} for a whole rollout, a look after every window.",
        arguments.seed, settings.alpha
    ));
    report.add(errors::false_rollbacks(&playing, arguments.rollouts, &settings));
    report.add(latency::false_rollbacks(&playing, arguments.rollouts, &settings));
    report.add(errors::rates_as_values(&playing, arguments.rollouts, &settings));
    report.add(errors::misses_by_rate(&playing, arguments.bad_rollouts, &settings));
    report.add(errors::misses_by_requests(&playing, arguments.bad_rollouts, &settings));
    report.add(errors::reached(&playing, arguments.bad_rollouts, &settings));
    report.add(latency::misses(&playing, arguments.bad_rollouts / 5, &settings));
    playing.done();
    if let Err(error) = report.save(arguments.json.as_deref()) {
        report::say_error(&error);
        return ExitCode::from(2);
    }
    if report.keeps(settings.alpha) { ExitCode::SUCCESS } else { ExitCode::from(1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// At an alpha that so few rollouts can tell from a larger one; four standard deviations are left
    /// to chance.
    #[test]
    fn false_rollbacks_stay_within_alpha() {
        let playing = Playing::from_seed(7);
        let settings = ComparisonSettings { alpha: 0.05, ..ComparisonSettings::default() };
        for table in [
            errors::false_rollbacks(&playing, 100, &settings),
            latency::false_rollbacks(&playing, 150, &settings),
        ] {
            let found = table.promised();
            assert!(found.of >= 300, "{found:?}");
            let expected = f64::from(found.of) * settings.alpha;
            let most = expected + 4.0 * expected.sqrt();
            assert!(f64::from(found.count) <= most, "seed 7: {found:?}, more than {most}");
        }
    }

    #[test]
    fn a_doubled_rate_of_a_fifth_is_hardly_ever_missed() {
        let settings = ComparisonSettings::default();
        let playing = Playing::from_seed(8);
        let missed = errors::missed(&playing, 200, errors::Split::equal(1000), 0.2, &settings);
        assert!(missed.ours.count <= 2, "seed 8: {missed:?}");
    }
}
