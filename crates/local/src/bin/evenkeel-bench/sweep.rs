//! What a settled fleet costs, in calls and in memory: the daemon as a process of its own, against
//! the local region over the wire. Never counts what it did itself.

use std::path::Path;
use std::time::{Duration, Instant};

use evenkeel_local::clock::Clock;
use evenkeel_local::door::{CallLog, CallRecord, Door};
use evenkeel_local::live_region::LiveRegion;
use evenkeel_manifest::Service;
use evenkeel_reconciler::{Mode, reconcile};
use evenkeel_simulator::{Api, Settings, SimulatedCloud};
use jiff::Timestamp;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::BenchResult;
use crate::child::Daemon;
use crate::figures::{Figures, show};
use crate::fleet::{self, CLUSTER};
use crate::passes::INSTANCE;

/// The region runs so much faster, so that new services settle while they are set up.
const SPEED: f64 = 100.0;

/// Longer than the first look at ten thousand services takes at AWS's rates.
const FIRST_SWEEP_MAX: Duration = Duration::from_mins(5);

const SETTLED_WITHIN: Duration = Duration::from_mins(5);

pub(crate) async fn measure(figures: &mut Figures, count: usize) -> BenchResult<()> {
    let resync = Duration::from_secs(30);
    let bench = Bench::start(count).await?;
    let daemon = Daemon::start(&bench.endpoint, bench.manifests.path(), resync)?;
    let first = bench.quiet().await?;
    figures.add(format!("first look at {count} settled services"), show(first));

    let before = bench.calls.total();
    tokio::time::sleep(resync).await;
    let calls = bench.calls.after(before);
    let (writes, reads): (Vec<_>, Vec<_>) = calls.iter().partition(|call| call.is_write());
    let each = |calls: usize| format!("{:.3}", as_f64(calls) / as_f64(count));
    let sweep = format!("a service in one sweep of {count} settled services");
    figures.add(format!("reads {sweep} (goal 0.1)"), each(reads.len()));
    figures.add(format!("writes {sweep} (goal 0)"), each(writes.len()));
    figures.add(format!("resident memory with {count} services"), mebibytes(&daemon)?);

    let took = bench.file_to_first_write().await?;
    figures.add("file saved to first write", show(took));
    daemon.stop().await
}

pub(crate) async fn measure_memory(figures: &mut Figures, count: usize) -> BenchResult<()> {
    let bench = Bench::start(count).await?;
    let daemon = Daemon::start(&bench.endpoint, bench.manifests.path(), Duration::from_mins(5))?;
    let first = bench.quiet().await?;
    figures.add(format!("first look at {count} settled services"), show(first));
    figures.add(format!("resident memory with {count} services"), mebibytes(&daemon)?);
    daemon.stop().await
}

fn mebibytes(daemon: &Daemon) -> BenchResult<String> {
    Ok(format!("{} MiB", daemon.resident_bytes()? >> 20))
}

fn as_f64(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::INFINITY, f64::from)
}

/// A region behind the wire protocols with a settled fleet, and the manifests of that fleet.
#[derive(Debug)]
struct Bench {
    calls: CallLog,
    endpoint: String,
    manifests: tempfile::TempDir,
    _server: JoinSet<std::io::Result<()>>,
}

impl Bench {
    async fn start(count: usize) -> BenchResult<Self> {
        let settings = Settings {
            account: "123456789012".to_owned(),
            region: "us-east-1".to_owned(),
            seed: 1,
            throttling: false,
        };
        let region = LiveRegion::new(settings, Clock::start(Timestamp::now(), SPEED)?);
        region.call(Api::Ecs, "CreateCluster", &json!({"clusterName": CLUSTER}))?;
        settle(&region, &fleet::loaded(count).services).await?;

        let manifests = tempfile::tempdir()?;
        for file in fleet::files(count) {
            std::fs::write(manifests.path().join(&*file.name), file.text)?;
        }
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let endpoint = format!("http://{}", listener.local_addr()?);
        let calls = CallLog::default();
        let router = Door::new(region, calls.clone()).router();
        let mut server = JoinSet::new();
        server.spawn(async move { axum::serve(listener, router).await });
        Ok(Self { calls, endpoint, manifests, _server: server })
    }

    /// Waits until no call has come for two seconds. Returns the time to the last call.
    async fn quiet(&self) -> BenchResult<Duration> {
        let began = Instant::now();
        let mut calls = self.calls.subscribe();
        let mut last = None;
        while began.elapsed() < FIRST_SWEEP_MAX {
            let limit =
                if last.is_some() { Duration::from_secs(2) } else { Duration::from_mins(1) };
            match tokio::time::timeout(limit, calls.changed()).await {
                Ok(changed) => {
                    changed?;
                    last = Some(began.elapsed());
                }
                Err(_) => return last.ok_or_else(|| "the daemon called nothing".into()),
            }
        }
        Err("the daemon did not come to rest".into())
    }

    async fn file_to_first_write(&self) -> BenchResult<Duration> {
        let before = self.calls.total();
        let mut calls = self.calls.subscribe();
        let saved = change_first_service(self.manifests.path())?;
        let deadline = saved + Duration::from_mins(1);
        while Instant::now() < deadline {
            let after = self.calls.after(before);
            if let Some(write) = after.iter().find(|call| CallRecord::is_write(call)) {
                return Ok(write.at.duration_since(saved));
            }
            tokio::time::timeout(Duration::from_mins(1), calls.changed()).await??;
        }
        Err("a changed file led to no write within a minute".into())
    }
}

/// Passes over all services until each is settled, without the wire and its rates.
async fn settle(region: &LiveRegion, services: &[Service]) -> BenchResult<()> {
    let cloud = SimulatedCloud::new(region.model());
    let mut open: Vec<&Service> = services.iter().collect();
    let deadline = Instant::now() + SETTLED_WITHIN;
    while !open.is_empty() {
        let mut waiting = Vec::new();
        for service in open {
            region.with(|_| ());
            let report =
                reconcile(&cloud, &service.key, Some(service), INSTANCE, Mode::Apply).await;
            if let Some(error) = report.error {
                return Err(error.into());
            }
            if !report.plan.actions.is_empty() || !report.plan.waiting.is_empty() {
                waiting.push(service);
            }
        }
        open = waiting;
        if Instant::now() > deadline {
            return Err(unsettled(&cloud, &open).await.into());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// Why the first of the services that did not settle has not.
async fn unsettled(cloud: &SimulatedCloud, open: &[&Service]) -> String {
    let Some(first) = open.first() else { return String::new() };
    let report = reconcile(cloud, &first.key, Some(first), INSTANCE, Mode::DryRun).await;
    let waits: Vec<String> = report.plan.waiting.into_iter().map(|wait| wait.sentence).collect();
    format!("{} services did not settle; {} waits: {}", open.len(), first.key, waits.join("; "))
}

/// Gives the first service another task definition; returns when the file was complete.
fn change_first_service(manifests: &Path) -> BenchResult<Instant> {
    let file = fleet::files(1).into_iter().next().ok_or("no file")?;
    let path = manifests.join(&*file.name);
    let text = std::fs::read_to_string(&path)?.replacen("value: info", "value: debug", 1);
    std::fs::write(path, text)?;
    Ok(Instant::now())
}
