//! The daemon as a process of its own, as it runs anywhere else; never shares memory with the region.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use evenkeel_controller::{Config, Daemon as Controller, DaemonError, Logging};
use evenkeel_reconciler::Shutdown;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;

use super::DemoError;
use super::narrator::Narrator;
use crate::tether;

/// Lines of its log kept for the case that it ends.
const LINES: usize = 20;

/// The hidden command that is the daemon's process: the daemon with the settings of the demo.
#[derive(Clone, Debug, clap::Args)]
pub struct DaemonArguments {
    #[arg(long)]
    manifests: PathBuf,
    #[arg(long)]
    listen: SocketAddr,
    /// Milliseconds between two looks at a rollout.
    #[arg(long)]
    rollout_poll_ms: u64,
    /// Milliseconds between two looks at a settled service.
    #[arg(long)]
    resync_ms: u64,
    /// Web hooks at and below this URL may be asked.
    #[arg(long)]
    webhook_url: Option<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum DaemonFailure {
    #[error(transparent)]
    Daemon(#[from] DaemonError),
    #[error("signals cannot be received: {0}")]
    Signal(#[from] io::Error),
}

/// Runs the daemon until SIGTERM or the end of the demo.
pub async fn run(arguments: DaemonArguments) -> Result<(), DaemonFailure> {
    let mut config = Config::default();
    config.manifests.path = arguments.manifests;
    config.http.listen = arguments.listen;
    config.control_loop.rollout_poll = Duration::from_millis(arguments.rollout_poll_ms);
    config.control_loop.resync = Duration::from_millis(arguments.resync_ms);
    config.analysis.webhook_urls = arguments.webhook_url.into_iter().collect();
    let logging = Logging::start(&config.log);
    let shutdown = Shutdown::new();
    let mut terminate = signal(SignalKind::terminate())?;
    let daemon = Controller::start(config, shutdown.clone()).await.map_err(DaemonError::from)?;
    let ended = daemon.wait();
    tokio::pin!(ended);
    let result = tokio::select! {
        result = &mut ended => return Ok(result?),
        _ = terminate.recv() => { shutdown.drain.cancel(); ended.await }
        () = tether::cut(true) => { shutdown.drain.cancel(); ended.await }
    };
    drop(logging);
    Ok(result?)
}

/// The daemon's process and how to ask it.
#[derive(Debug)]
pub(super) struct DaemonProcess {
    child: Child,
    /// Open for as long as the demo runs: the daemon ends with it.
    _tether: Option<ChildStdin>,
    address: SocketAddr,
    client: Client<HttpConnector, Empty<Bytes>>,
    said: Arc<Mutex<Said>>,
    _reading: JoinSet<()>,
}

/// What is kept of its log.
#[derive(Debug, Default)]
struct Said {
    lines: VecDeque<String>,
    rejection: Option<String>,
}

/// How the daemon is started, so that it can be started again.
#[derive(Clone, Debug)]
pub(super) struct DaemonSettings {
    pub(super) program: PathBuf,
    pub(super) manifests: PathBuf,
    pub(super) endpoint: String,
    pub(super) region: String,
    pub(super) rollout_poll: Duration,
    pub(super) resync: Duration,
    pub(super) webhook_url: Option<String>,
}

impl DaemonProcess {
    /// Starts it with the environment that any AWS tool would need.
    pub(super) fn start(settings: &DaemonSettings, narrator: Narrator) -> Result<Self, DemoError> {
        let address = free_address().map_err(DemoError::Daemon)?;
        let mut child = command(settings, address).spawn().map_err(DemoError::Daemon)?;
        let said: Arc<Mutex<Said>> = Arc::default();
        let mut reading = JoinSet::new();
        if let Some(stderr) = child.stderr.take() {
            let said = Arc::clone(&said);
            reading.spawn(async move {
                let mut log = BufReader::new(stderr).lines();
                while let Ok(Some(line)) = log.next_line().await {
                    narrator.daemon_line(&line);
                    keep(&said, line);
                }
            });
        }
        let tether = child.stdin.take();
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build_http();
        Ok(Self { child, _tether: tether, address, client, said, _reading: reading })
    }

    /// What the daemon says about the service; nothing while it says nothing.
    pub(super) async fn status(&self, cluster: &str, service: &str) -> Option<Value> {
        let uri = format!("http://{}/v1/services/{cluster}/{service}", self.address);
        let response = self.client.get(uri.parse().ok()?).await.ok()?;
        if !response.status().is_success() {
            return None;
        }
        let body = response.into_body().collect().await.ok()?.to_bytes();
        serde_json::from_slice(&body).ok()
    }

    /// Why it last rejected a revision.
    pub(super) fn rejection(&self) -> Option<String> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).rejection.clone()
    }

    /// An error if it has ended by itself.
    pub(super) fn check(&mut self) -> Result<(), DemoError> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => {
                let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
                let lines: Vec<&str> = said.lines.iter().map(String::as_str).collect();
                Err(DemoError::DaemonEnded { status: status.to_string(), lines: lines.join("\n") })
            }
            Err(error) => Err(DemoError::Daemon(error)),
        }
    }

    /// SIGKILL: nothing is finished, nothing is saved.
    pub(super) async fn kill(mut self) {
        self.child.kill().await.ok();
    }
}

fn command(settings: &DaemonSettings, address: SocketAddr) -> Command {
    let mut command = Command::new(&settings.program);
    command
        .arg("daemon")
        .args([Path::new("--manifests"), &settings.manifests])
        .args(["--listen", &address.to_string()])
        .args(["--rollout-poll-ms", &settings.rollout_poll.as_millis().to_string()])
        .args(["--resync-ms", &settings.resync.as_millis().to_string()])
        .args(settings.webhook_url.iter().flat_map(|url| ["--webhook-url", url]))
        .env("AWS_ENDPOINT_URL", &settings.endpoint)
        .env("AWS_REGION", &settings.region)
        .env("AWS_ACCESS_KEY_ID", "demo")
        .env("AWS_SECRET_ACCESS_KEY", "demo")
        .env("AWS_CONFIG_FILE", "/dev/null")
        .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
        .env_remove("AWS_PROFILE")
        .env_remove("AWS_SESSION_TOKEN")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        // An interrupt at the terminal is the demo's business: it ends the daemon in its turn.
        .process_group(0)
        .kill_on_drop(true);
    command
}

fn keep(said: &Mutex<Said>, line: String) {
    let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
    if let Ok(entry) = serde_json::from_str::<Value>(&line)
        && entry.get("message").and_then(Value::as_str) == Some("revision rejected")
    {
        said.rejection = entry.get("why").and_then(Value::as_str).map(ToOwned::to_owned);
    }
    if said.lines.len() == LINES {
        said.lines.pop_front();
    }
    said.lines.push_back(line);
}

fn free_address() -> io::Result<SocketAddr> {
    std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()
}
