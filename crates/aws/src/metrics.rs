//! Counts of what the edge does, for Prometheus; never read by the edge itself.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry};

use crate::family::{Budget, Family};

/// The metrics of the AWS edge. A clone counts into the same metrics.
///
/// - `evenkeel_aws_calls_total{operation,outcome}`: calls sent; `outcome` is `ok` or the class of
///   the error.
/// - `evenkeel_aws_call_duration_seconds{operation}`: from sending to the reply.
/// - `evenkeel_aws_throttles_total{bucket}`: calls that AWS refused for their rate.
/// - `evenkeel_aws_bucket_tokens{bucket}`, `evenkeel_aws_bucket_refill_rate{bucket}`: tokens now and
///   tokens per second now, of our own buckets.
/// - `evenkeel_aws_bucket_wait_seconds{bucket}`: how long calls waited for a token.
/// - `evenkeel_aws_describe_services_batch_size`: services asked for in one call.
#[derive(Clone)]
pub struct AwsMetrics {
    calls: IntCounterVec,
    durations: HistogramVec,
    throttles: IntCounterVec,
    waits: HistogramVec,
    batch_size: Histogram,
    levels: BucketLevels,
}

impl AwsMetrics {
    /// Metrics that `registry` exposes. Fails when they are registered already.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let metrics = Self::new()?;
        registry.register(Box::new(metrics.calls.clone()))?;
        registry.register(Box::new(metrics.durations.clone()))?;
        registry.register(Box::new(metrics.throttles.clone()))?;
        registry.register(Box::new(metrics.waits.clone()))?;
        registry.register(Box::new(metrics.batch_size.clone()))?;
        registry.register(Box::new(metrics.levels.clone()))?;
        Ok(metrics)
    }

    /// Metrics in no registry, for a command that exposes none.
    pub fn new() -> Result<Self, prometheus::Error> {
        Ok(Self {
            calls: IntCounterVec::new(
                Opts::new("evenkeel_aws_calls_total", "Calls sent to AWS by outcome."),
                &["operation", "outcome"],
            )?,
            durations: HistogramVec::new(
                HistogramOpts::new(
                    "evenkeel_aws_call_duration_seconds",
                    "Time from sending a call to its reply.",
                )
                .buckets(vec![0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0]),
                &["operation"],
            )?,
            throttles: IntCounterVec::new(
                Opts::new("evenkeel_aws_throttles_total", "Calls that AWS refused for their rate."),
                &["bucket"],
            )?,
            waits: HistogramVec::new(
                HistogramOpts::new(
                    "evenkeel_aws_bucket_wait_seconds",
                    "Time that calls waited for a token.",
                )
                .buckets(vec![0.001, 0.01, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0]),
                &["bucket"],
            )?,
            batch_size: Histogram::with_opts(
                HistogramOpts::new(
                    "evenkeel_aws_describe_services_batch_size",
                    "Services asked for in one DescribeServices call.",
                )
                .buckets((1..=10_u8).map(f64::from).collect()),
            )?,
            levels: BucketLevels::new()?,
        })
    }

    pub(crate) fn watch(&self, budget: &Arc<Budget>) {
        let mut watched = self.levels.budget.lock().unwrap_or_else(PoisonError::into_inner);
        *watched = Arc::downgrade(budget);
    }

    /// Counts a call; `operation` is AWS's name of it.
    pub(crate) fn called(&self, operation: &str, outcome: &str, took: Duration) {
        self.calls.with_label_values(&[operation, outcome]).inc();
        self.durations.with_label_values(&[operation]).observe(took.as_secs_f64());
    }

    pub(crate) fn throttled(&self, family: Family) {
        self.throttles.with_label_values(&[family.name()]).inc();
    }

    pub(crate) fn waited(&self, family: Family, time: Duration) {
        self.waits.with_label_values(&[family.name()]).observe(time.as_secs_f64());
    }

    pub(crate) fn batched(&self, services: usize) {
        let services = u32::try_from(services).unwrap_or(u32::MAX);
        self.batch_size.observe(f64::from(services));
    }
}

impl fmt::Debug for AwsMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AwsMetrics").finish_non_exhaustive()
    }
}

/// The levels of the buckets, taken when Prometheus asks: tokens change with time alone.
#[derive(Clone)]
struct BucketLevels {
    tokens: GaugeVec,
    rate: GaugeVec,
    budget: Arc<Mutex<Weak<Budget>>>,
}

impl BucketLevels {
    fn new() -> Result<Self, prometheus::Error> {
        let tokens = Opts::new("evenkeel_aws_bucket_tokens", "Calls that may be made at once.");
        let rate = Opts::new(
            "evenkeel_aws_bucket_refill_rate",
            "Tokens per second that a bucket regains now; AWS's throttling lowers it.",
        );
        Ok(Self {
            tokens: GaugeVec::new(tokens, &["bucket"])?,
            rate: GaugeVec::new(rate, &["bucket"])?,
            budget: Arc::default(),
        })
    }

    fn update(&self) {
        let budget = self.budget.lock().unwrap_or_else(PoisonError::into_inner).upgrade();
        for (family, bucket) in budget.iter().flat_map(|budget| budget.buckets()) {
            let (tokens, rate) = bucket.level();
            self.tokens.with_label_values(&[family.name()]).set(tokens);
            self.rate.with_label_values(&[family.name()]).set(rate);
        }
    }
}

impl Collector for BucketLevels {
    fn desc(&self) -> Vec<&Desc> {
        [self.tokens.desc(), self.rate.desc()].concat()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.update();
        [self.tokens.collect(), self.rate.collect()].concat()
    }
}
