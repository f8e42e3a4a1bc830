//! What a settled fleet costs, in calls and in memory: the daemon as a process of its own, against
//! the local region over the wire. Never counts what it did itself.

use std::collections::BTreeMap;
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
use crate::daemon::Daemon;
use crate::figures::{Figures, show};
use crate::fleet::{self, CLUSTER, TASK_DEFINITIONS_MAX};
use crate::passes::INSTANCE;

/// The region runs so much faster, so that new services settle while they are set up.
const SPEED: f64 = 100.0;

/// Longer than the first look at ten thousand services takes at AWS's rates.
const FIRST_LOOK_MAX: Duration = Duration::from_mins(3);

const SETTLED_WITHIN: Duration = Duration::from_mins(2);

/// The sweep that is measured. The default is ten times as long, for as many calls.
const RESYNC: Duration = Duration::from_secs(30);

/// Services in one call, and calls a second, of DescribeServices at AWS.
const SERVICES_PER_CALL: usize = 10;
const CALLS_PER_SECOND: usize = 20;

pub(crate) async fn measure(figures: &mut Figures, count: usize) -> BenchResult<()> {
    let bench = Bench::start(count).await?;
    let daemon = Daemon::start(&bench.endpoint, bench.manifests.path(), RESYNC).await?;
    first_look(figures, &bench, &daemon, count).await?;
    bench.owned_listed(count).await?;

    let before = bench.calls.total();
    tokio::time::sleep(RESYNC).await;
    add_calls(figures, count, &bench.calls.after(before));
    add_memory(figures, count, &daemon).await?;

    let took = bench.file_to_first_write().await?;
    figures.add(
        "file_to_first_write_seconds",
        "file saved to first write",
        took.as_secs_f64(),
        show(took),
        format!(
            "One of {count} manifests changed, to the RegisterTaskDefinition that follows at the \
             region's door: 200 ms of debounce, reading all files, two looks."
        ),
    );
    daemon.stop().await
}

pub(crate) async fn measure_memory(figures: &mut Figures, count: usize) -> BenchResult<()> {
    let bench = Bench::start(count).await?;
    let resync = Duration::from_mins(5);
    let daemon = Daemon::start(&bench.endpoint, bench.manifests.path(), resync).await?;
    first_look(figures, &bench, &daemon, count).await?;
    add_memory(figures, count, &daemon).await?;
    daemon.stop().await
}

async fn first_look(
    figures: &mut Figures,
    bench: &Bench,
    daemon: &Daemon,
    count: usize,
) -> BenchResult<()> {
    let took = daemon.ready(count, FIRST_LOOK_MAX).await?;
    let calls = by_operation(&bench.calls.after(0));
    figures.add(
        format!("first_look_{count}_seconds"),
        format!("start to all of {count} services Ready"),
        took.as_secs_f64(),
        show(took),
        format!(
            "Process start, reading the manifests, one look at every service, {} task \
             definitions, within AWS's rates: {calls}.",
            count.min(TASK_DEFINITIONS_MAX)
        ),
    );
    Ok(())
}

fn add_calls(figures: &mut Figures, count: usize, calls: &[CallRecord]) {
    let (writes, reads): (Vec<_>, Vec<_>) = calls.iter().cloned().partition(CallRecord::is_write);
    for (name, goal, calls) in [("reads", "0.1", reads), ("writes", "0", writes)] {
        let each = as_f64(calls.len()) / as_f64(count);
        figures.add(
            format!("sweep_{count}_{name}_per_service"),
            format!("{name} a service, sweep of {count} (goal {goal})"),
            each,
            format!("{each:.3}"),
            format!(
                "All calls at the region's door during one sweep of {} s over settled services: \
                 {}. Not in it: listing the owned services, once an hour.",
                RESYNC.as_secs(),
                by_operation(&calls)
            ),
        );
    }
}

async fn add_memory(figures: &mut Figures, count: usize, daemon: &Daemon) -> BenchResult<()> {
    daemon.metrics().await?;
    let (resident, most) = daemon.resident_mebibytes()?;
    figures.add(
        format!("resident_{count}_mebibytes"),
        format!("resident memory with {count} services"),
        resident,
        format!("{resident:.1} MiB (peak {most:.1})"),
        format!(
            "The process `evenkeel run` after a look at every service and a scrape of its metrics \
             ({} task definitions, no rollout in flight); the program itself is part of it.",
            count.min(TASK_DEFINITIONS_MAX)
        ),
    );
    Ok(())
}

/// `100 DescribeServices, 3 ListTasks`
fn by_operation(calls: &[CallRecord]) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for call in calls {
        *counts.entry(&call.operation).or_default() += 1;
    }
    let counts = counts.into_iter().map(|(operation, count)| format!("{count} {operation}"));
    let counts: Vec<String> = counts.collect();
    if counts.is_empty() { "none".to_owned() } else { counts.join(", ") }
}

fn as_f64(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::INFINITY, f64::from)
}

/// A region behind the wire protocols with a settled fleet, and the manifests of that fleet.
#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) calls: CallLog,
    pub(crate) endpoint: String,
    pub(crate) manifests: tempfile::TempDir,
    _server: JoinSet<std::io::Result<()>>,
}

impl Bench {
    pub(crate) async fn start(count: usize) -> BenchResult<Self> {
        Self::start_of(count, "").await
    }

    /// With this before the names of the files by which services are owned.
    pub(crate) async fn start_of(count: usize, source: &str) -> BenchResult<Self> {
        let settings = Settings {
            account: "123456789012".to_owned(),
            region: "us-east-1".to_owned(),
            seed: 1,
            throttling: false,
        };
        let region = LiveRegion::new(settings, Clock::start(Timestamp::now(), SPEED)?);
        region.call(Api::Ecs, "CreateCluster", &json!({"clusterName": CLUSTER}))?;
        let mut services = fleet::loaded(count).services;
        for service in &mut services {
            service.source.file = format!("{source}{}", service.source.file).into();
        }
        settle(&region, &services).await?;

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

    /// Waits for the hourly listing of the owned services, which begins with the daemon, and until
    /// its looks at them have surely ended.
    async fn owned_listed(&self, count: usize) -> BenchResult<()> {
        let mut calls = self.calls.subscribe();
        while self.calls.after(0).iter().all(|call| call.operation != "ListServices") {
            tokio::time::timeout(FIRST_LOOK_MAX, calls.changed()).await??;
        }
        let looks = count.div_ceil(SERVICES_PER_CALL).div_ceil(CALLS_PER_SECOND);
        tokio::time::sleep(Duration::from_secs(u64::try_from(looks)? + 3)).await;
        Ok(())
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
