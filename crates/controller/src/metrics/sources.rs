//! The metrics of the sources; never those of the manifests in them.

use std::sync::Arc;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{GaugeVec, IntGaugeVec, Opts};
use tokio::sync::watch;

use super::whole;
use crate::source::{ManifestsReport, SourceReport};

#[derive(Debug)]
pub(super) struct SourcesCollector {
    report: watch::Receiver<Arc<ManifestsReport>>,
    info: IntGaugeVec,
    read_at: GaugeVec,
    stale: IntGaugeVec,
    failures: IntGaugeVec,
}

impl SourcesCollector {
    pub(super) fn new(
        report: watch::Receiver<Arc<ManifestsReport>>,
    ) -> Result<Self, prometheus::Error> {
        let info = Opts::new(
            "evenkeel_source_info",
            "The commit that is in force of each source that is a repository; always 1.",
        );
        let read_at = Opts::new(
            "evenkeel_source_last_success_timestamp_seconds",
            "When each source was last read successfully; 0 before that.",
        );
        let stale = Opts::new(
            "evenkeel_source_stale",
            "1 while the newest state of a source is not known or held, and what was good before \
             stays in force, else 0.",
        );
        let failures = Opts::new(
            "evenkeel_source_failures",
            "Looks at each source that failed since the start.",
        );
        Ok(Self {
            report,
            info: IntGaugeVec::new(info, &["source", "commit"])?,
            read_at: GaugeVec::new(read_at, &["source"])?,
            stale: IntGaugeVec::new(stale, &["source"])?,
            failures: IntGaugeVec::new(failures, &["source"])?,
        })
    }

    fn parts(&self) -> [&dyn Collector; 4] {
        [&self.info, &self.read_at, &self.stale, &self.failures]
    }

    fn set(&self, source: &SourceReport) {
        let name = [source.name.as_str()];
        if let Some(revision) = &source.revision {
            self.info.with_label_values(&[source.name.as_str(), revision.commit.as_str()]).set(1);
        }
        let read_at = source.read_at.map_or(0.0, |at| at.as_duration().as_secs_f64());
        self.read_at.with_label_values(&name).set(read_at);
        self.stale.with_label_values(&name).set(i64::from(source.stale.is_some()));
        let failures = usize::try_from(source.failures).unwrap_or(usize::MAX);
        self.failures.with_label_values(&name).set(whole(failures));
    }
}

impl Collector for SourcesCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.parts().into_iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let report = self.report.borrow().clone();
        // The commit of before is gone.
        self.info.reset();
        for source in &report.sources {
            self.set(source);
        }
        self.parts().into_iter().flat_map(Collector::collect).collect()
    }
}
