//! The command line of `evenkeel-local`.

use std::process::ExitCode;

use clap::Parser as _;
use evenkeel_local::cli::{Cli, run};

#[tokio::main]
async fn main() -> ExitCode {
    run(Cli::parse()).await
}
