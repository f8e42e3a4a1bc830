//! Prints figures of this machine, one line each; asserts nothing and compares with nobody.
//!
//! `evenkeel-bench` measures all; the hidden command `daemon` is the process whose memory is read.

mod child;
mod figures;
mod fleet;
mod manifests;
mod passes;
mod rollback;
mod sweep;

use std::io::Write as _;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use figures::Figures;

/// Prints figures of this machine.
#[derive(Debug, Parser)]
#[command(name = "evenkeel-bench", version)]
struct Cli {
    /// Leave out what takes minutes: the fleet of 10,000 services.
    #[arg(long)]
    quick: bool,
    /// The size of the fleet whose sweep is measured.
    #[arg(long, default_value_t = 1_000)]
    services: usize,
    #[command(subcommand)]
    command: Option<BenchCommand>,
}

#[derive(Debug, Subcommand)]
enum BenchCommand {
    /// The daemon that is measured.
    #[command(hide = true)]
    Daemon(child::DaemonArguments),
}

type BenchResult<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.command {
        Some(BenchCommand::Daemon(arguments)) => child::run(arguments).await,
        None => measure(cli.quick, cli.services).await,
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            writeln!(std::io::stderr(), "error: {error}").ok();
            ExitCode::FAILURE
        }
    }
}

async fn measure(quick: bool, services: usize) -> BenchResult<()> {
    let mut figures = Figures::begin();
    manifests::measure(&mut figures, 1_000);
    manifests::measure(&mut figures, 10_000);
    passes::measure(&mut figures).await?;
    rollback::measure(&mut figures).await?;
    sweep::measure(&mut figures, services).await?;
    if !quick {
        sweep::measure_memory(&mut figures, 10_000).await?;
    }
    figures.end();
    Ok(())
}
