//! Hands on what is wanted and what is known about the manifests; never decides either.

use std::sync::Arc;

use evenkeel_reconciler::DesiredState;
use jiff::Timestamp;
use tokio::sync::watch;

use super::last_good::Settled;
use super::report::{ManifestsReport, SourceReport, log_difference};

#[derive(Debug)]
pub(super) struct Publisher {
    desired: watch::Sender<Arc<DesiredState>>,
    report: watch::Sender<Arc<ManifestsReport>>,
}

impl Publisher {
    pub(super) fn new(
        desired: watch::Sender<Arc<DesiredState>>,
        report: watch::Sender<Arc<ManifestsReport>>,
    ) -> Self {
        Self { desired, report }
    }

    pub(super) fn report(&self) -> Arc<ManifestsReport> {
        self.report.borrow().clone()
    }

    /// A state that is as before wakes nobody.
    pub(super) fn publish(
        &self,
        settled: Settled,
        read_at: Option<Timestamp>,
        sources: Vec<SourceReport>,
    ) {
        let Settled { desired, problems, elsewhere, stale } = settled;
        let report = ManifestsReport {
            services: desired.services.len(),
            invalid: desired.invalid.len(),
            elsewhere,
            problems,
            stale,
            read_at,
            sources,
        };
        self.desired.send_if_modified(|current| {
            let changed = **current != desired;
            if changed {
                *current = Arc::new(desired);
            }
            changed
        });
        self.replace_report(report);
    }

    /// From now on there may be manifests that nobody knows; those that are known stay in force.
    pub(super) fn lose_sight(&self, why: &str) {
        self.desired.send_if_modified(|current| {
            let was_whole = current.incomplete.is_none();
            if was_whole {
                let incomplete = Some(why.to_owned());
                *current = Arc::new(DesiredState { incomplete, ..DesiredState::clone(current) });
            }
            was_whole
        });
    }

    pub(super) fn replace_report(&self, report: ManifestsReport) {
        let before = self.report.send_replace(Arc::new(report));
        log_difference(&before, &self.report.borrow());
    }
}
