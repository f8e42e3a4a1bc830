//! The daemon in a process of its own, so that its memory can be read; never measures anything.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use evenkeel_controller::{Config, daemon};
use evenkeel_reconciler::Shutdown;
use tokio::process::{Child, Command};

use crate::BenchResult;

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct DaemonArguments {
    #[arg(long)]
    endpoint: String,
    #[arg(long)]
    manifests: PathBuf,
    #[arg(long)]
    resync_seconds: u64,
}

pub(crate) async fn run(arguments: DaemonArguments) -> BenchResult<()> {
    let mut config = Config::default();
    config.manifests.path = arguments.manifests;
    config.aws.endpoint_url = Some(arguments.endpoint);
    config.aws.region = Some("us-east-1".to_owned());
    config.control_loop.resync = Duration::from_secs(arguments.resync_seconds);
    config.http.listen = SocketAddr::from(([127, 0, 0, 1], 0));
    Ok(daemon::run(config, Shutdown::new()).await?)
}

/// A running daemon; it ends with this value.
#[derive(Debug)]
pub(crate) struct Daemon {
    process: Child,
}

impl Daemon {
    pub(crate) fn start(endpoint: &str, manifests: &Path, resync: Duration) -> BenchResult<Self> {
        let process = Command::new(std::env::current_exe()?)
            .arg("daemon")
            .args(["--endpoint", endpoint])
            .arg("--manifests")
            .arg(manifests)
            .args(["--resync-seconds", &resync.as_secs().to_string()])
            .env("AWS_ACCESS_KEY_ID", "local")
            .env("AWS_SECRET_ACCESS_KEY", "local")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        Ok(Self { process })
    }

    /// Resident memory in bytes, as Linux counts it.
    pub(crate) fn resident_bytes(&self) -> BenchResult<u64> {
        let id = self.process.id().ok_or("the daemon has ended")?;
        let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes = line.and_then(|rest| rest.split_whitespace().next()).ok_or("no VmRSS")?;
        Ok(kilobytes.parse::<u64>()? * 1024)
    }

    pub(crate) async fn stop(mut self) -> BenchResult<()> {
        Ok(self.process.kill().await?)
    }
}
