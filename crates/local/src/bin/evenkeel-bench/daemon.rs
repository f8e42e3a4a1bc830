//! The real daemon as a process of its own, watched from outside; never measures anything in the
//! process that plays AWS.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};
use tokio::task::JoinSet;

use crate::BenchResult;

/// How long a daemon may take to begin.
const START_MAX: Duration = Duration::from_secs(10);

/// How often metrics are read while something is waited for.
const SCRAPE_EVERY: Duration = Duration::from_millis(500);

/// A running daemon; it ends with this value.
#[derive(Debug)]
pub(crate) struct Daemon {
    process: Child,
    address: String,
    began: Instant,
    client: Client<HttpConnector, Empty<Bytes>>,
    _log: JoinSet<()>,
}

impl Daemon {
    /// Runs `evenkeel run` with all of AWS's rates and this resync period.
    pub(crate) async fn start(
        endpoint: &str,
        manifests: &Path,
        resync: Duration,
    ) -> BenchResult<Self> {
        Self::start_with(endpoint, "--manifests", manifests, resync).await
    }

    /// The same with another place where manifests come from: a flag and its path.
    pub(crate) async fn start_with(
        endpoint: &str,
        flag: &str,
        path: &Path,
        resync: Duration,
    ) -> BenchResult<Self> {
        let began = Instant::now();
        let mut process = Command::new(binary("evenkeel")?)
            .args([OsStr::new("run"), OsStr::new(flag), path.as_os_str()])
            .args(["--listen", "127.0.0.1:0", "--endpoint-url", endpoint, "--region", "us-east-1"])
            .args(["--log-format", "json"])
            .env_clear()
            .env("EVENKEEL_AWS__SHARE", "1.0")
            .env("EVENKEEL_LOOP__RESYNC", format!("{}s", resync.as_secs()))
            .env("AWS_ACCESS_KEY_ID", "local")
            .env("AWS_SECRET_ACCESS_KEY", "local")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let log: ChildStderr = process.stderr.take().ok_or("the daemon has no log")?;
        let mut log = BufReader::new(log).lines();
        let address = tokio::time::timeout(START_MAX, address(&mut log)).await??;
        let mut rest = JoinSet::new();
        rest.spawn(async move { while let Ok(Some(_)) = log.next_line().await {} });
        let client = Client::builder(TokioExecutor::new()).build_http();
        Ok(Self { process, address, began, client, _log: rest })
    }

    /// Waits until so many services are Ready. Returns the time since the start of the process.
    pub(crate) async fn ready(&self, services: usize, most: Duration) -> BenchResult<Duration> {
        let wanted = format!("evenkeel_services{{status=\"true\",type=\"Ready\"}} {services}\n");
        loop {
            if self.metrics().await?.contains(&wanted) {
                return Ok(self.began.elapsed());
            }
            if self.began.elapsed() > most {
                return Err(format!("not all of {services} services became Ready").into());
            }
            tokio::time::sleep(SCRAPE_EVERY).await;
        }
    }

    /// What Prometheus reads.
    pub(crate) async fn metrics(&self) -> BenchResult<String> {
        self.text("/metrics").await
    }

    /// Sends an empty body with one header, and wants it to be taken.
    pub(crate) async fn post(&self, path: &str, header: (&str, &str)) -> BenchResult<()> {
        let request = hyper::Request::post(format!("http://{}{path}", self.address))
            .header(header.0, header.1)
            .body(Empty::new())?;
        let status = self.client.request(request).await?.status();
        if status.is_success() { Ok(()) } else { Err(format!("{path}: {status}").into()) }
    }

    /// All processor time so far, of all threads, in hundredths of a second.
    pub(crate) fn processor_time(&self) -> BenchResult<Duration> {
        let id = self.process.id().ok_or("the daemon has ended")?;
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat"))?;
        // The name in parentheses may hold spaces.
        let (_, fields) = stat.rsplit_once(')').ok_or("Linux does not say what a process took")?;
        let ticks = fields.split_whitespace().skip(11).take(2);
        let ticks: Result<Vec<u64>, _> = ticks.map(str::parse).collect();
        Ok(Duration::from_millis(ticks?.iter().sum::<u64>() * 10))
    }

    /// The body of a reply.
    pub(crate) async fn text(&self, path: &str) -> BenchResult<String> {
        let reply = self.client.get(format!("http://{}{path}", self.address).parse()?).await?;
        let body = reply.into_body().collect().await?.to_bytes();
        Ok(String::from_utf8(body.to_vec())?)
    }

    /// Resident memory in MiB as Linux counts it: now, and the most since the start.
    pub(crate) fn resident_mebibytes(&self) -> BenchResult<(f64, f64)> {
        let id = self.process.id().ok_or("the daemon has ended")?;
        let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
        Ok((mebibytes(&status, "VmRSS:")?, mebibytes(&status, "VmHWM:")?))
    }

    pub(crate) async fn stop(mut self) -> BenchResult<()> {
        Ok(self.process.kill().await?)
    }
}

/// A program beside this one, where cargo puts all.
pub(crate) fn binary(name: &str) -> BenchResult<PathBuf> {
    let binary = std::env::current_exe()?.with_file_name(name);
    if binary.is_file() {
        return Ok(binary);
    }
    let place = binary.display();
    Err(format!("there is no {place}: build it as well, as `just bench` does").into())
}

/// The address that the daemon's first log line names.
async fn address(log: &mut Lines<impl AsyncBufRead + Unpin>) -> BenchResult<String> {
    let mut said = String::new();
    while let Some(line) = log.next_line().await? {
        let entry: Value = serde_json::from_str(&line).unwrap_or_default();
        if let Some(address) = entry.get("http").and_then(Value::as_str) {
            return Ok(address.to_owned());
        }
        said.push_str(&line);
    }
    Err(format!("the daemon did not start: {said}").into())
}

fn mebibytes(status: &str, name: &str) -> BenchResult<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kibibytes = line.and_then(|rest| rest.split_whitespace().next());
    Ok(kibibytes.ok_or("Linux does not say how much memory is resident")?.parse::<f64>()? / 1024.0)
}
