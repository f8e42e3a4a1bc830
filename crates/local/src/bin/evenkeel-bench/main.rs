//! Prints figures of this machine, one line each; asserts nothing and compares with nobody.
//!
//! The daemon that is measured is the binary `evenkeel` beside this one, as a process of its own.

mod daemon;
mod demos;
mod figures;
mod fleet;
mod git;
mod manifests;
mod passes;
mod rollback;
mod sweep;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};

use figures::Figures;

/// Prints figures of this machine.
#[derive(Debug, Parser)]
#[command(name = "evenkeel-bench", version)]
struct Cli {
    /// Leave out the fleet of 10,000 services and the demos, which take minutes.
    #[arg(long)]
    quick: bool,
    /// Only these figures, for example `git,git-of-many`.
    #[arg(long, value_enum, value_delimiter = ',', conflicts_with = "quick")]
    only: Vec<Group>,
    /// The size of the fleet whose sweep is measured.
    #[arg(long, default_value_t = 1_000, value_name = "COUNT")]
    services: usize,
    /// Also write the figures to this file as JSON.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

/// Figures that are measured together, in the order in which they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Group {
    Manifests,
    Passes,
    Rollback,
    Sweep,
    Git,
    GitOfMany,
    Memory,
    Demos,
}

impl Group {
    /// Whether it takes minutes.
    fn is_slow(self) -> bool {
        matches!(self, Self::GitOfMany | Self::Memory | Self::Demos)
    }

    async fn measure(self, figures: &mut Figures, services: usize) -> BenchResult<()> {
        match self {
            Self::Manifests => {
                manifests::measure(figures, 1_000);
                manifests::measure(figures, MANY);
                Ok(())
            }
            Self::Passes => passes::measure(figures).await,
            Self::Rollback => rollback::measure(figures).await,
            Self::Sweep => sweep::measure(figures, services).await,
            Self::Git => git::measure(figures).await,
            Self::GitOfMany => git::measure_many(figures, MANY).await,
            Self::Memory => sweep::measure_memory(figures, MANY).await,
            Self::Demos => demos::measure(figures).await,
        }
    }
}

/// The services of a large fleet.
const MANY: usize = 10_000;

type BenchResult<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

#[tokio::main]
async fn main() -> ExitCode {
    match measure(&Cli::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            writeln!(std::io::stderr(), "error: {error}").ok();
            ExitCode::FAILURE
        }
    }
}

async fn measure(cli: &Cli) -> BenchResult<()> {
    let mut figures = Figures::begin();
    let is_wanted = |group: &Group| match cli.only.as_slice() {
        [] => !(cli.quick && group.is_slow()),
        only => only.contains(group),
    };
    for group in Group::value_variants().iter().filter(|group| is_wanted(group)) {
        group.measure(&mut figures, cli.services).await?;
    }
    match &cli.report {
        Some(file) => figures.report(file),
        None => Ok(()),
    }
}
