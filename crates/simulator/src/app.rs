//! The commands of `evenkeel-simulator` and what they print; never decides what is right.
//!
//! Exit codes: 0 all held, 1 something was broken, 2 bad input.

mod figures;
mod parallel;
mod report;
mod rollouts;
mod scenarios;
mod soaking;
mod sweeps;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::sweep::Sweep;

/// Proof by simulation: the production loop against the model of a region, in virtual time.
#[derive(Debug, Parser)]
#[command(name = "evenkeel-simulator", version, max_term_width = 100)]
pub struct App {
    /// Also write the counters to this file, as JSON.
    #[arg(long, global = true, value_name = "FILE")]
    report: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Play scripts and compare their transcripts with the checked-in ones.
    Scenarios(scenarios::Scenarios),
    /// Kill the daemon at every point of every scenario; on small ones also at every two writes.
    CrashSweep(sweeps::Sweeping),
    /// Answer every read from every earlier state.
    StaleSweep(sweeps::Sweeping),
    /// Let states come and go between two looks.
    UnobservedSweep(sweeps::Sweeping),
    /// Let the manifests be unreadable, garbled or gone from the moment of every look.
    SourceSweep(sweeps::Sweeping),
    /// Random fleets, manifests, people and faults, one course a seed.
    Soak(soaking::Soaking),
    /// One percent of poison in a large fleet: the others must be treated alike.
    Isolation(figures::Isolating),
    /// How long a dead daemon's services wait for another one.
    Takeover(figures::TakingOver),
    /// How many AWS calls an undisturbed rollout takes with each strategy.
    Rollouts(rollouts::RollingOut),
    /// Show one course of a sweep again, event by event.
    Replay(sweeps::Replay),
}

/// What went wrong before anything could be proved.
#[derive(Debug, thiserror::Error)]
enum BadInput {
    #[error("cannot read {path}: {source}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("cannot write {path}: {source}")]
    Write { path: PathBuf, source: std::io::Error },
    #[error("{0}")]
    Scenario(#[from] crate::scenario::ParseError),
    #[error("no scenario matches {0}")]
    NoMatch(String),
}

/// Runs one command.
pub fn run(app: &App) -> ExitCode {
    let done = match &app.command {
        Command::Scenarios(command) => command.run(),
        Command::CrashSweep(command) => {
            command.run("crash-sweep", &[Sweep::Crash, Sweep::CrashTwice])
        }
        Command::StaleSweep(command) => command.run("stale-sweep", &[Sweep::Stale]),
        Command::UnobservedSweep(command) => command.run("unobserved-sweep", &[Sweep::Unobserved]),
        Command::SourceSweep(command) => command.run("source-sweep", &[Sweep::Source]),
        Command::Soak(command) => command.run(),
        Command::Isolation(command) => command.run(),
        Command::Takeover(command) => command.run(),
        Command::Rollouts(command) => command.run(),
        Command::Replay(command) => command.run(),
    };
    let done = done.and_then(|report| {
        report.say();
        report.save(app.report.as_deref())?;
        Ok(report)
    });
    match done {
        Ok(report) if report.all_held() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(1),
        Err(error) => {
            report::say_error(&error);
            ExitCode::from(2)
        }
    }
}
