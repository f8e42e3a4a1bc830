//! The commands of `evenkeel-local`; never does their work.

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

use crate::app::{self, AppArguments};
use crate::demo::{self, DaemonArguments, DemoArguments};
use crate::serve::{self, ServeArguments};

/// A region of Amazon ECS on this machine: tasks are real processes, and the load balancer carries
/// real traffic. It is a model: see docs/testing.md for what it was checked against.
#[derive(Debug, Parser)]
#[command(name = "evenkeel-local", version)]
pub struct Cli {
    #[command(subcommand)]
    command: LocalCommand,
}

#[derive(Debug, Subcommand)]
enum LocalCommand {
    /// Run the region alone, for the AWS CLI, boto3, any AWS SDK or the daemon.
    Serve(ServeArguments),
    /// Watch a good release, three bad ones and a good one under steady traffic.
    ///
    /// Takes under two minutes with one strategy, more with `--all` or steps, ends with a table, and exits with 1 if
    /// anything was not as it should be.
    Demo(DemoArguments),
    /// The daemon of the demo.
    #[command(hide = true)]
    Daemon(DaemonArguments),
    /// The demo web application that the region's tasks run.
    #[command(hide = true)]
    App(AppArguments),
}

/// Runs the command and says on stderr why it failed.
pub async fn run(cli: Cli) -> ExitCode {
    let result: Result<ExitCode, Box<dyn std::error::Error>> = match cli.command {
        LocalCommand::Serve(arguments) => {
            log("evenkeel_local=info");
            serve::run(arguments).await.map(|()| ExitCode::SUCCESS).map_err(Into::into)
        }
        LocalCommand::Demo(arguments) => {
            log("warn,evenkeel_local::balancer=error");
            demo::run(arguments).await.map(as_expected).map_err(Into::into)
        }
        LocalCommand::Daemon(arguments) => {
            // Its configuration alone makes it larger than all others.
            let daemon = Box::pin(demo::run_daemon(arguments));
            daemon.await.map(|()| ExitCode::SUCCESS).map_err(Into::into)
        }
        LocalCommand::App(arguments) => {
            log("info");
            app::run(arguments).await.map(|()| ExitCode::SUCCESS).map_err(Into::into)
        }
    };
    result.unwrap_or_else(|error| {
        writeln!(std::io::stderr(), "error: {error}").ok();
        ExitCode::FAILURE
    })
}

fn as_expected(as_expected: bool) -> ExitCode {
    if as_expected { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// To stderr; `RUST_LOG` says otherwise.
fn log(default: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
}
