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

use clap::Parser;

use figures::Figures;

/// Prints figures of this machine.
#[derive(Debug, Parser)]
#[command(name = "evenkeel-bench", version)]
struct Cli {
    /// Leave out the fleet of 10,000 services and the demos, which take minutes.
    #[arg(long)]
    quick: bool,
    /// Only the figures of git sources.
    #[arg(long)]
    git: bool,
    /// The size of the fleet whose sweep is measured.
    #[arg(long, default_value_t = 1_000, value_name = "COUNT")]
    services: usize,
    /// Also write the figures to this file as JSON.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

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
    if cli.git {
        git::measure(&mut figures).await?;
        git::measure_many(&mut figures, 10_000).await?;
        return cli.report.as_ref().map_or(Ok(()), |file| figures.report(file));
    }
    manifests::measure(&mut figures, 1_000);
    manifests::measure(&mut figures, 10_000);
    passes::measure(&mut figures).await?;
    rollback::measure(&mut figures).await?;
    sweep::measure(&mut figures, cli.services).await?;
    git::measure(&mut figures).await?;
    if !cli.quick {
        git::measure_many(&mut figures, 10_000).await?;
        sweep::measure_memory(&mut figures, 10_000).await?;
        demos::measure(&mut figures).await?;
    }
    match &cli.report {
        Some(file) => figures.report(file),
        None => Ok(()),
    }
}
