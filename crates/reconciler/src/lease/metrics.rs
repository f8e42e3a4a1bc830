//! What the lease counts and measures; never decides anything.

use jiff::Timestamp;
use prometheus::{Gauge, IntCounter, IntGauge, Registry};

/// The metrics of the lease. Cheap to clone.
#[derive(Clone, Debug)]
pub struct LeaseMetrics {
    held: IntGauge,
    failed: IntCounter,
    takeovers: IntCounter,
    last_renewal: Gauge,
}

impl LeaseMetrics {
    /// Makes all metrics and registers them. The error says which name was registered before.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let metrics = Self {
            held: IntGauge::new(
                "evenkeel_lease_shards_held",
                "Shards, each all services of a cluster, whose lease this replica holds.",
            )?,
            failed: IntCounter::new(
                "evenkeel_lease_renewals_failed_total",
                "Reads and writes of the lease table that failed or had no answer in time.",
            )?,
            takeovers: IntCounter::new(
                "evenkeel_lease_takeovers_total",
                "Leases taken from a replica that did not renew them any more.",
            )?,
            last_renewal: Gauge::new(
                "evenkeel_lease_last_renewal_timestamp_seconds",
                "When the lease table last took a renewal or a sign of life; 0 before the first.",
            )?,
        };
        registry.register(Box::new(metrics.held.clone()))?;
        registry.register(Box::new(metrics.failed.clone()))?;
        registry.register(Box::new(metrics.takeovers.clone()))?;
        registry.register(Box::new(metrics.last_renewal.clone()))?;
        Ok(metrics)
    }

    pub(crate) fn held(&self, count: usize) {
        self.held.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    pub(crate) fn failed(&self) {
        self.failed.inc();
    }

    pub(crate) fn taken_over(&self) {
        self.takeovers.inc();
    }

    pub(crate) fn renewed(&self, at: Timestamp) {
        self.last_renewal.set(at.as_duration().as_secs_f64());
    }
}
