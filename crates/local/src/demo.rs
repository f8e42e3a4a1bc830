//! `evenkeel-local demo`: revisions of a service, good and bad, under steady traffic; never hides a result
//! that is not as it should be.

mod code_deploy;
mod daemon;
mod manifest;
mod meter;
mod narrator;
mod report;
mod revisions;
mod smoke_test;
mod stage;
mod story;
mod strategy;
mod traffic;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum as _;
use serde_json::{Map, Value, json};
use tokio::signal::unix::{SignalKind, signal};

pub use daemon::{DaemonArguments, DaemonFailure, run as run_daemon};
use narrator::Narrator;
use report::Report;
use stage::Stage;
use strategy::DemoStrategy;

use crate::server::ServerError;

#[derive(Clone, Debug, clap::Args)]
pub struct DemoArguments {
    /// How each revision replaces the one before.
    #[arg(long, value_enum, default_value_t = DemoStrategy::Rolling)]
    strategy: DemoStrategy,
    /// Play every strategy, one after the other; the report is then an object with one member for each.
    #[arg(long, conflicts_with = "strategy")]
    all: bool,
    /// Also write the final table to FILE, as JSON.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Decides all that is random in the region.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How much faster than here time passes in the region.
    #[arg(long, default_value_t = 15.0)]
    speed: f64,
    /// Requests per second through the load balancer, sent whether earlier ones were answered or not.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rate: u32,
    /// Keep manifests and logs in DIR instead of a temporary directory.
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    #[error(transparent)]
    Server(#[from] ServerError),
    #[error("setting up the region failed: {0}")]
    SetUp(#[from] evenkeel_simulator::ApiError),
    #[error("{what}: {source}")]
    File { what: String, source: io::Error },
    #[error("the load balancer gets no ports: {0}")]
    Ports(io::Error),
    #[error("the daemon cannot be started: {0}")]
    Daemon(io::Error),
    #[error("the daemon ended unexpectedly ({status}); its last lines:\n{lines}")]
    DaemonEnded { status: String, lines: String },
    #[error("interrupted")]
    Interrupted,
}

/// Plays the whole story. `true` means that everything was as it should be.
pub async fn run(arguments: DemoArguments) -> Result<bool, DemoError> {
    let narrator = Narrator::start();
    if arguments.all {
        return run_all(&arguments, &narrator).await;
    }
    let report = play(&arguments, &narrator).await?;
    write(&arguments, &report.json())?;
    Ok(report.differences.is_empty())
}

/// The same with every strategy; one that cannot be played to its end keeps none of the others.
async fn run_all(arguments: &DemoArguments, narrator: &Narrator) -> Result<bool, DemoError> {
    let strategies = DemoStrategy::value_variants();
    let mut reports = Map::new();
    let mut failed = Vec::new();
    for (index, strategy) in strategies.iter().enumerate() {
        let word = strategy.word();
        narrator.demo(&format!("strategy {} of {}: {word}", index + 1, strategies.len()));
        let report = match play(&arguments.with(*strategy), narrator).await {
            Ok(report) => {
                failed.extend((!report.differences.is_empty()).then_some(word));
                report.json()
            }
            Err(DemoError::Interrupted) => return Err(DemoError::Interrupted),
            Err(error) => {
                narrator.demo(&format!("{word} could not be played to its end: {error}"));
                failed.push(word);
                json!({"strategy": word, "error": error.to_string()})
            }
        };
        reports.insert(word.to_owned(), report);
        // After each, so that an interruption costs only the rest.
        write(arguments, &Value::Object(reports.clone()))?;
    }
    narrator.demo(&match failed.as_slice() {
        [] => format!("all {} strategies went as they should", strategies.len()),
        failed => format!("not as it should be: {}", failed.join(", ")),
    });
    Ok(failed.is_empty())
}

/// Plays the story with one strategy, and tells its table.
async fn play(arguments: &DemoArguments, narrator: &Narrator) -> Result<Report, DemoError> {
    let listen = |kind| signal(kind).map_err(DemoError::Daemon);
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut terminate = listen(SignalKind::terminate())?;
    let mut stage = Stage::set_up(arguments, narrator.clone()).await?;
    let played = tokio::select! {
        played = story::play(&mut stage, Report::new(arguments.strategy, arguments.speed)) => played,
        _ = interrupt.recv() => Err(DemoError::Interrupted),
        _ = terminate.recv() => Err(DemoError::Interrupted),
    };
    stage.clear().await?;
    let report = played?;
    narrator.table(&report);
    Ok(report)
}

impl DemoArguments {
    /// One of all: what is kept of each is in a directory of its own.
    fn with(&self, strategy: DemoStrategy) -> Self {
        let keep = self.keep.as_ref().map(|directory| directory.join(strategy.word()));
        Self { strategy, keep, all: false, ..self.clone() }
    }
}

fn write(arguments: &DemoArguments, report: &Value) -> Result<(), DemoError> {
    let Some(file) = &arguments.report else { return Ok(()) };
    std::fs::write(file, format!("{report:#}\n")).map_err(|source| DemoError::File {
        what: format!("the report {} cannot be written", file.display()),
        source,
    })
}

/// How long anything in the demo may take before it counts as failed, in real time.
const PATIENCE: Duration = Duration::from_mins(2);
