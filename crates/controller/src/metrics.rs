//! The daemon's own metrics; never those of the loop or of AWS, which register theirs.

mod sources;

use std::sync::Arc;

use evenkeel_manifest::Severity;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Gauge, IntCounter, IntGauge, IntGaugeVec, Opts, Registry};
use tokio::sync::watch;
use tracing_appender::non_blocking::ErrorCounter;

use crate::config::{Config, SourceOrigin};
use crate::source::ManifestsReport;
use sources::SourcesCollector;

/// Registers everything that the daemon itself knows. Values are taken when they are read.
pub(crate) fn register(
    registry: &Registry,
    config: &Config,
    report: watch::Receiver<Arc<ManifestsReport>>,
    dropped_lines: Option<ErrorCounter>,
) -> Result<(), prometheus::Error> {
    registry.register(Box::new(SourcesCollector::new(report.clone())?))?;
    registry.register(Box::new(ManifestsCollector::new(report)?))?;
    registry.register(Box::new(build_info()?))?;
    register_periods(registry, config)?;
    if let Some(dropped) = dropped_lines {
        registry.register(Box::new(LogCollector::new(dropped)?))?;
    }
    #[cfg(target_os = "linux")]
    registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
    Ok(())
}

/// What rules about the age of something compare it with.
fn register_periods(registry: &Registry, config: &Config) -> Result<(), prometheus::Error> {
    let resync = Gauge::new(
        "evenkeel_resync_period_seconds",
        "How often a settled service is looked at: loop.resync.",
    )?;
    resync.set(config.control_loop.resync.as_secs_f64());
    registry.register(Box::new(resync))?;
    let of_each = config.sources.iter().map(|source| match &source.origin {
        SourceOrigin::Git(git) => git.interval,
        SourceOrigin::Directory(_) => config.manifests.reread,
    });
    let read = Gauge::new(
        "evenkeel_manifest_read_period_seconds",
        "How often manifests are read at least: the shortest period of all sources.",
    )?;
    read.set(of_each.min().unwrap_or(config.manifests.reread).as_secs_f64());
    registry.register(Box::new(read))
}

fn build_info() -> Result<IntGaugeVec, prometheus::Error> {
    let opts = Opts::new("evenkeel_build_info", "The version that runs; always 1.");
    let info = IntGaugeVec::new(opts, &["version"])?;
    info.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
    Ok(info)
}

/// What the manifests say.
#[derive(Debug)]
struct ManifestsCollector {
    report: watch::Receiver<Arc<ManifestsReport>>,
    services: IntGaugeVec,
    problems: IntGaugeVec,
    read_at: Gauge,
    stale: IntGauge,
}

impl ManifestsCollector {
    fn new(report: watch::Receiver<Arc<ManifestsReport>>) -> Result<Self, prometheus::Error> {
        let services = Opts::new(
            "evenkeel_manifest_services",
            "Services by the state of their manifest: in_force (with the last good manifest), \
             invalid (the newest manifest is bad), elsewhere (of another target).",
        );
        let problems = Opts::new(
            "evenkeel_manifest_problems",
            "Problems in the manifests by severity: error or warning.",
        );
        Ok(Self {
            report,
            services: IntGaugeVec::new(services, &["state"])?,
            problems: IntGaugeVec::new(problems, &["severity"])?,
            read_at: Gauge::new(
                "evenkeel_manifest_last_read_timestamp_seconds",
                "When manifests were last read successfully; 0 before that.",
            )?,
            stale: IntGauge::new(
                "evenkeel_manifest_stale",
                "1 while a source of manifests cannot be read, is held, or is suddenly empty and what \
                 was read before stays in force, else 0.",
            )?,
        })
    }
}

impl Collector for ManifestsCollector {
    fn desc(&self) -> Vec<&Desc> {
        let parts: [&dyn Collector; 4] =
            [&self.services, &self.problems, &self.read_at, &self.stale];
        parts.into_iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let report = self.report.borrow().clone();
        let states = [
            ("in_force", report.services),
            ("invalid", report.invalid),
            ("elsewhere", report.elsewhere),
        ];
        for (state, count) in states {
            self.services.with_label_values(&[state]).set(whole(count));
        }
        for (name, severity) in [("error", Severity::Error), ("warning", Severity::Warning)] {
            self.problems.with_label_values(&[name]).set(whole(report.count(severity)));
        }
        let read_at = report.read_at.map_or(0.0, |at| at.as_duration().as_secs_f64());
        self.read_at.set(read_at);
        self.stale.set(i64::from(report.stale.is_some()));
        let parts: [&dyn Collector; 4] =
            [&self.services, &self.problems, &self.read_at, &self.stale];
        parts.into_iter().flat_map(Collector::collect).collect()
    }
}

/// How many log lines nobody took.
struct LogCollector {
    dropped: ErrorCounter,
    counter: IntCounter,
}

impl LogCollector {
    fn new(dropped: ErrorCounter) -> Result<Self, prometheus::Error> {
        let counter = IntCounter::new(
            "evenkeel_log_dropped_lines_total",
            "Log lines dropped because standard error was not read fast enough.",
        )?;
        Ok(Self { dropped, counter })
    }
}

impl Collector for LogCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.counter.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let dropped = u64::try_from(self.dropped.dropped_lines()).unwrap_or(u64::MAX);
        self.counter.inc_by(dropped.saturating_sub(self.counter.get()));
        self.counter.collect()
    }
}

fn whole(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
