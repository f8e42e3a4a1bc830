//! `crash-sweep`, `stale-sweep`, `unobserved-sweep`, `source-sweep`: every point of every scenario, or the part that was asked for; never fewer.

use std::path::PathBuf;

use clap::Args;

use super::report::{Failure, Kind, Report, as_f64, progress};
use super::{BadInput, parallel, scenarios};
use crate::harness::{Keeps, Perturbation};
use crate::scenario::{Manner, Scenario};
use crate::sweep::{How, Part, Sweep, Swept, sweep};

#[derive(Debug, Args)]
pub(super) struct Sweeping {
    /// Only scenarios whose name contains this.
    #[arg(value_name = "NAME")]
    only: Option<String>,
    #[arg(long, value_name = "DIRECTORY", default_value = scenarios::DIRECTORY)]
    directory: PathBuf,
    /// Only scenarios that make at most this many calls.
    #[arg(long, value_name = "CALLS")]
    small: Option<u64>,
    /// Scenarios of at most this many writes are also killed at all pairs of writes.
    #[arg(long, value_name = "WRITES", default_value_t = 12)]
    pairs: usize,
    #[arg(long, default_value_t = threads())]
    threads: usize,
    /// Only one part of the points of each scenario, such as 3/41: the third and every 41st after it. All parts are the whole.
    #[arg(long, value_name = "PART", default_value_t)]
    part: Part,
    /// Play every point from the beginning to the end, also where another one is known to lead to the same course, and check
    /// that it does.
    #[arg(long)]
    every_point: bool,
}

/// Shows one course again.
#[derive(Debug, Args)]
pub(super) struct Replay {
    scenario: String,
    /// As a failure names it, such as `crash:17:sent-no-answer`.
    #[arg(default_value = "nothing")]
    perturbation: Perturbation,
    #[arg(long, value_name = "DIRECTORY", default_value = scenarios::DIRECTORY)]
    directory: PathBuf,
}

pub(super) fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

impl Sweeping {
    pub(super) fn run(&self, command: &'static str, kinds: &[Sweep]) -> Result<Report, BadInput> {
        let mut report = Report::new(command);
        let scenarios = scenarios::read_all(&self.directory, self.only.as_deref())?;
        let mut sum = Swept::default();
        let mut swept_scenarios = 0;
        progress("how large each scenario is");
        let sizes = parallel::each(&scenarios, self.threads, Size::of);
        for (index, (scenario, size)) in scenarios.iter().zip(sizes).enumerate() {
            if self.small.is_some_and(|most| size.calls > most) {
                continue;
            }
            swept_scenarios += 1;
            for kind in kinds {
                if *kind == Sweep::CrashTwice && size.writes > self.pairs {
                    continue;
                }
                let (number, all, points) = (index + 1, scenarios.len(), sum.points);
                let name = &scenario.name;
                progress(&format!("{number} of {all}: {name} {kind:?}, {points} points so far"));
                let &Self { threads, part, every_point, .. } = self;
                let how = How { threads, part, every_point };
                add(&mut report, &mut sum, scenario, sweep(scenario, *kind, how));
            }
        }
        progress("");
        report.count("scenarios", as_f64(swept_scenarios), "");
        report.count("points", as_f64(sum.points), "");
        report.count("converged", as_f64(sum.points - sum.failed()), "");
        report.count("courses", as_f64(sum.courses), "");
        report.count("joined a fine one", as_f64(sum.joined), "");
        report.count("simulated", sum.simulated_hours / (24.0 * 365.0), "years");
        Ok(report)
    }
}

/// What a scenario makes when nothing disturbs it.
struct Size {
    calls: u64,
    writes: usize,
}

impl Size {
    fn of(scenario: &Scenario) -> Self {
        let played = scenario.play_in(Manner::default()).played;
        Self { calls: played.calls, writes: played.write_numbers.len() }
    }
}

fn add(report: &mut Report, sum: &mut Swept, scenario: &Scenario, swept: Swept) {
    for broken in &swept.broken {
        let trace = if report.shows_more(Kind::Behaviour) {
            last_events(scenario, &broken.perturbation)
        } else {
            Vec::new()
        };
        report.fail(Failure {
            kind: Kind::Behaviour,
            course: format!("{} at {}", scenario.name, broken.perturbation),
            what: broken.what.clone(),
            trace,
            replay: format!("evenkeel-simulator replay {} {}", scenario.name, broken.perturbation),
        });
    }
    sum.points += swept.points;
    sum.courses += swept.courses;
    sum.joined += swept.joined;
    sum.simulated_hours += swept.simulated_hours;
    sum.broken.extend(swept.broken);
}

/// The trace up to what went wrong.
fn last_events(scenario: &Scenario, perturbation: &Perturbation) -> Vec<String> {
    const SHOWN: usize = 25;
    let manner =
        Manner { perturbation: perturbation.clone(), keeps: Keeps::Lines, ..Manner::default() };
    let played = scenario.play_in(manner).played;
    let lines = played.trace.lines();
    lines.iter().skip(lines.len().saturating_sub(SHOWN)).map(|line| cut(line)).collect()
}

fn cut(line: &str) -> String {
    line.chars().take(300).collect()
}

impl Replay {
    pub(super) fn run(&self) -> Result<Report, BadInput> {
        let mut report = Report::new("replay");
        let all = scenarios::read_all(&self.directory, Some(&self.scenario))?;
        let scenario = all.iter().find(|one| one.name == self.scenario);
        let scenario = scenario.ok_or_else(|| BadInput::NoMatch(self.scenario.clone()))?;
        let expects = self.perturbation == Perturbation::Nothing;
        let manner = Manner {
            perturbation: self.perturbation.clone(),
            keeps: Keeps::Lines,
            expects,
            ..Manner::default()
        };
        let performance = scenario.play_in(manner);
        for line in performance.played.trace.lines() {
            super::report::print(line);
        }
        super::report::print(&performance.transcript);
        for ending in &performance.endings {
            super::report::print(ending);
        }
        report.count(
            "events",
            as_f64(usize::try_from(performance.played.trace.events()).unwrap_or(0)),
            "",
        );
        if let Some(what) = performance.missed {
            report.fail(Failure {
                kind: Kind::Behaviour,
                course: scenario.name.clone(),
                what,
                trace: Vec::new(),
                replay: String::new(),
            });
        }
        Ok(report)
    }
}
