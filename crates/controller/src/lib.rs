//! The daemon and the command line of Evenkeel: configuration, manifests from a directory, HTTP and
//! the wiring; never decides what a service needs.
//!
//! Where to begin: [`cli::main`] is what the binary runs; [`Daemon`] is what `evenkeel run` runs.

mod args;
mod audit;
pub mod cli;
mod client;
mod commands;
mod commit_status;
pub mod config;
pub mod daemon;
mod http;
mod input;
mod markdown;
mod metrics;
pub mod outside;
mod proxy;
mod read_only;
mod replica;
mod snapshot;
mod source;
mod style;
mod telemetry;
mod tokens;
mod verify;
mod view;

pub use config::Config;
pub use daemon::{Daemon, DaemonError, StartError, run};
pub use source::{ManifestsReport, Revision, SourceReport};
pub use telemetry::Logging;
