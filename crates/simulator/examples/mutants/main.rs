//! Does the oracle bite? Plants one mistake after another in a copy of the decision core and runs the
//! proofs on it; never touches the code itself.
//!
//! Exit codes: 0 every mutant was caught, 1 one survived, 2 nothing could be proved: an edit no longer
//! fits the code, a mutant does not compile, or the code without any mutant is not found good.

mod copy;
mod mutant;
mod oracle;
mod report;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use copy::Copied;
use mutant::Mutant;
use oracle::{Effort, Oracle, Outcome};
use report::Report;

/// Does the oracle bite? Mistakes of real incident classes, planted one at a time.
#[derive(Debug, Parser)]
struct Arguments {
    /// Only mutants whose name contains one of these.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    only: Vec<String>,
    /// Also write what came of each to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Scenarios of at most so many calls are swept; 0 for no sweep.
    #[arg(long, value_name = "CALLS", default_value_t = 60)]
    small: u64,
    /// Seeds of the soak; 0 for none.
    #[arg(long, value_name = "SEEDS", default_value_t = 20)]
    seeds: u64,
    /// After how many seconds one proof is taken to be without end.
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    patience: u64,
    /// Only look whether every edit fits the code.
    #[arg(long)]
    list: bool,
    /// Trust the code without any mutant to be found good.
    #[arg(long)]
    trust: bool,
}

/// Why nothing could be proved.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("{path}: {source}")]
    File { path: PathBuf, source: std::io::Error },
    #[error("{path}: {source}")]
    Toml { path: PathBuf, source: Box<toml::de::Error> },
    #[error(
        "mutant {mutant}: {file} has its text {count} times, not once; bring the edit up to date"
    )]
    Stale { mutant: String, file: String, count: usize },
    #[error("two mutants are called {0}")]
    SameName(String),
    #[error("no mutant matches --only {0}")]
    NoMatch(String),
    #[error("{0} cannot be run: {1}")]
    Command(&'static str, std::io::Error),
    #[error("the code without any mutant does not build:\n{0}")]
    DoesNotBuild(String),
    #[error("the code without any mutant is not found good: {0}")]
    NotGood(String),
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(report) if report.is_unsound() => ExitCode::from(2),
        Ok(report) if report.all_were_caught() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(1),
        Err(error) => {
            report::say_error(&error);
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &Arguments) -> Result<Report, Failed> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mutants = chosen(mutant::read_all(&root)?, &arguments.only)?;
    for mutant in &mutants {
        mutant.fits(&root)?;
    }
    let mut report = Report::of(&mutants);
    if arguments.list {
        report::list(&mutants);
        return Ok(report);
    }
    let copied = Copied::of(&root)?;
    let effort = Effort {
        small: arguments.small,
        seeds: arguments.seeds,
        patience: Duration::from_secs(arguments.patience),
    };
    let oracle = Oracle::on(&copied, effort);
    if !arguments.trust {
        without_mutant(&oracle)?;
    }
    for mutant in &mutants {
        copied.plant(mutant)?;
        let tried = oracle.try_out();
        copied.restore(mutant)?;
        report.add(mutant, tried?);
        report.save(arguments.report.as_deref())?;
    }
    report.sum_up();
    Ok(report)
}

fn chosen(mutants: Vec<Mutant>, only: &[String]) -> Result<Vec<Mutant>, Failed> {
    let is_chosen =
        |one: &Mutant| only.is_empty() || only.iter().any(|part| one.name.contains(part));
    let chosen: Vec<Mutant> = mutants.into_iter().filter(is_chosen).collect();
    if chosen.is_empty() { Err(Failed::NoMatch(only.join(","))) } else { Ok(chosen) }
}

/// A proof that fails on the code as it is says nothing about a mutant.
fn without_mutant(oracle: &Oracle<'_>) -> Result<(), Failed> {
    let tried = oracle.try_out()?;
    report::say_baseline(&tried);
    match tried.outcome {
        Outcome::Survives { only_words: 0 } => Ok(()),
        Outcome::DoesNotBuild(errors) => Err(Failed::DoesNotBuild(errors)),
        outcome => Err(Failed::NotGood(outcome.to_string())),
    }
}
