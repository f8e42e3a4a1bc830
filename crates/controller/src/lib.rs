//! The daemon and the command line of Evenkeel: configuration, manifests from a directory, HTTP and
//! the wiring; never decides what a service needs.

pub mod config;
pub mod daemon;
mod http;
mod telemetry;

pub use config::Config;
pub use daemon::{Daemon, DaemonError, StartError};
pub use telemetry::Logging;
