//! `isolation` and `takeover`: figures with a bound; never a time of the host.

use clap::Args;

use super::BadInput;
use super::report::{Failure, Kind, Report, as_f64, progress};
use crate::isolation::isolation;
use crate::takeover::takeover;

/// The promise at default settings, in seconds.
const TAKEOVER_MAX: f64 = 20.0;

#[derive(Debug, Args)]
pub(super) struct Isolating {
    #[arg(long, default_value_t = 10_000)]
    services: usize,
}

#[derive(Debug, Args)]
pub(super) struct TakingOver {
    #[arg(long, default_value_t = 100)]
    seeds: u64,
}

impl Isolating {
    #[expect(clippy::unnecessary_wraps, reason = "commands are alike")]
    pub(super) fn run(&self) -> Result<Report, BadInput> {
        let mut report = Report::new("isolation");
        progress("two fleets, one after the other");
        let outcome = isolation(self.services);
        progress("");
        report.count("services", as_f64(outcome.services), "");
        report.count("poisoned", as_f64(outcome.poisoned), "");
        report.count(
            "others with the same writes",
            as_f64(outcome.services - outcome.poisoned - outcome.different.len()),
            "",
        );
        for name in &outcome.different {
            report.fail(Failure {
                kind: Kind::Behaviour,
                course: name.clone(),
                what: "S35 isolation broken: its writes differ in the fleet with poison".to_owned(),
                trace: Vec::new(),
                replay: format!("evenkeel-simulator isolation --services {}", self.services),
            });
        }
        Ok(report)
    }
}

impl TakingOver {
    #[expect(clippy::unnecessary_wraps, reason = "commands are alike")]
    pub(super) fn run(&self) -> Result<Report, BadInput> {
        let mut report = Report::new("takeover");
        let mut took: Vec<f64> = Vec::new();
        for seed in 0..self.seeds {
            progress(&format!("seed {seed}"));
            let seconds = takeover(seed).map(|took| took.as_secs_f64());
            took.extend(seconds);
            if seconds.is_none_or(|seconds| seconds > TAKEOVER_MAX) {
                report.fail(Failure {
                    kind: Kind::Behaviour,
                    course: format!("seed {seed}"),
                    what: format!("L7 takeover: {seconds:?} s, {TAKEOVER_MAX} may be"),
                    trace: Vec::new(),
                    replay: "evenkeel-simulator takeover".to_owned(),
                });
            }
        }
        progress("");
        took.sort_by(f64::total_cmp);
        report.count("seeds", as_f64(took.len()), "");
        for (name, index) in
            [("shortest", 0), ("median", took.len() / 2), ("longest", took.len().saturating_sub(1))]
        {
            report.count(name, took.get(index).copied().unwrap_or(f64::NAN), "s");
        }
        Ok(report)
    }
}
