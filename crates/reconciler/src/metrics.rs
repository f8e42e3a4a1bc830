//! What the loop counts and measures; never decides anything.

use std::time::Duration;

use evenkeel_planner::VerdictKind;
use jiff::Timestamp;
use prometheus::{
    Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts,
    Registry,
};

use crate::delay::PassEnd;

/// A pass is a handful of calls to AWS, of which each takes 20 to 500 milliseconds.
const PASS_SECONDS: [f64; 10] = [0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0, 120.0];

/// A rollout takes minutes; ECS gives up after hours.
const ROLLOUT_SECONDS: [f64; 9] = [15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 3600.0, 10800.0];

const VERDICTS: [VerdictKind; 10] = [
    VerdictKind::Doomed,
    VerdictKind::LaunchFailures,
    VerdictKind::HealthFailures,
    VerdictKind::Crashes,
    VerdictKind::Alarm,
    VerdictKind::Analysis,
    VerdictKind::Stalled,
    VerdictKind::RolledBackByEcs,
    VerdictKind::RolledBackByCodeDeploy,
    VerdictKind::Aborted,
];

/// The metrics of the control loop; those of the statuses on its board are
/// [`metrics_text`](crate::metrics_text)'s. Cheap to clone.
#[derive(Clone, Debug)]
pub struct LoopMetrics {
    passes: IntCounterVec,
    pass_duration: Histogram,
    passes_running: IntGauge,
    queue_depth: IntGauge,
    queue_oldest_age: Gauge,
    last_resync: Gauge,
    rollbacks: IntCounterVec,
    rollout_duration: HistogramVec,
    orphans: IntGauge,
    panics: IntCounter,
    plans_refused: IntCounter,
}

impl LoopMetrics {
    /// Makes all metrics and registers them. The error says which name was registered before.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let metrics = Self::unregistered()?;
        registry.register(Box::new(metrics.passes.clone()))?;
        registry.register(Box::new(metrics.pass_duration.clone()))?;
        registry.register(Box::new(metrics.passes_running.clone()))?;
        registry.register(Box::new(metrics.queue_depth.clone()))?;
        registry.register(Box::new(metrics.queue_oldest_age.clone()))?;
        registry.register(Box::new(metrics.last_resync.clone()))?;
        registry.register(Box::new(metrics.rollbacks.clone()))?;
        registry.register(Box::new(metrics.rollout_duration.clone()))?;
        registry.register(Box::new(metrics.orphans.clone()))?;
        registry.register(Box::new(metrics.panics.clone()))?;
        registry.register(Box::new(metrics.plans_refused.clone()))?;
        Ok(metrics)
    }

    fn unregistered() -> Result<Self, prometheus::Error> {
        let passes = IntCounterVec::new(
            Opts::new("evenkeel_passes_total", "Passes over services, by how they ended."),
            &["outcome"],
        )?;
        let rollbacks = IntCounterVec::new(
            Opts::new("evenkeel_rollbacks_total", "Rollbacks, by the reason of the verdict."),
            &["reason"],
        )?;
        // A counter that appears with its first event hides that event from `rate`.
        for word in PassEnd::WORDS {
            passes.with_label_values(&[word]);
        }
        for kind in VERDICTS {
            rollbacks.with_label_values(&[format!("{kind:?}")]);
        }
        Ok(Self {
            passes,
            rollbacks,
            pass_duration: Histogram::with_opts(
                HistogramOpts::new("evenkeel_pass_duration_seconds", "How long passes took.")
                    .buckets(PASS_SECONDS.to_vec()),
            )?,
            passes_running: IntGauge::new("evenkeel_passes_running", "Passes under way.")?,
            queue_depth: IntGauge::new(
                "evenkeel_queue_depth",
                "Services that are due for a pass and wait for a free place.",
            )?,
            queue_oldest_age: Gauge::new(
                "evenkeel_queue_oldest_age_seconds",
                "For how long the first service in the queue has been due.",
            )?,
            last_resync: Gauge::new(
                "evenkeel_last_successful_resync_timestamp_seconds",
                "When the last sweep ended in which AWS showed every service; 0 before the first.",
            )?,
            rollout_duration: HistogramVec::new(
                HistogramOpts::new(
                    "evenkeel_rollout_duration_seconds",
                    "How long ended rollouts took, by result: completed or rejected.",
                )
                .buckets(ROLLOUT_SECONDS.to_vec()),
                &["result"],
            )?,
            orphans: IntGauge::new(
                "evenkeel_orphaned_services",
                "Services that carry our owner tag and that no manifest names, as last listed.",
            )?,
            panics: IntCounter::new(
                "evenkeel_pass_panics_total",
                "Passes that panicked; each is a defect of Evenkeel.",
            )?,
            plans_refused: IntCounter::new(
                "evenkeel_plans_refused_total",
                "Plans refused because they break a safety property; each is a defect of Evenkeel.",
            )?,
        })
    }

    pub(crate) fn pass_ended(&self, end: &PassEnd, took: Option<Duration>) {
        self.passes.with_label_values(&[end.word()]).inc();
        if let Some(took) = took {
            self.pass_duration.observe(took.as_secs_f64());
        }
        match end {
            PassEnd::Panicked => self.panics.inc(),
            PassEnd::Refused => self.plans_refused.inc(),
            PassEnd::Settled
            | PassEnd::Waiting(_)
            | PassEnd::Acted(_)
            | PassEnd::PartlySeen(_)
            | PassEnd::Failed(_)
            | PassEnd::NotBegun(_)
            | PassEnd::Withheld(_)
            | PassEnd::TimedOut => {}
        }
    }

    pub(crate) fn queue(&self, depth: usize, oldest_age: Duration, running: usize) {
        self.queue_depth.set(i64::try_from(depth).unwrap_or(i64::MAX));
        self.queue_oldest_age.set(oldest_age.as_secs_f64());
        self.passes_running.set(i64::try_from(running).unwrap_or(i64::MAX));
    }

    pub(crate) fn orphans(&self, count: usize) {
        self.orphans.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    pub(crate) fn resync_completed(&self, at: Timestamp) {
        self.last_resync.set(at.as_duration().as_secs_f64());
    }

    pub(crate) fn rolled_back(&self, reason: VerdictKind) {
        self.rollbacks.with_label_values(&[format!("{reason:?}")]).inc();
    }

    pub(crate) fn rollout_ended(&self, result: &str, took: Duration) {
        self.rollout_duration.with_label_values(&[result]).observe(took.as_secs_f64());
    }
}
