//! What was seen of services once, in a file, so that manifests can be planned against it later; never asks AWS, and
//! never shows what it holds.

mod file;
mod record;
mod replay;

use std::collections::BTreeSet;
use std::fmt;

use evenkeel_manifest::ServiceKey;
use evenkeel_planner::{
    BalancingQuestion, CodeDeployQuestion, MetricQuestion, Observed, Questions,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::config::Config;

pub(crate) use file::SnapshotError;
pub(crate) use file::write;
pub(crate) use record::record;
pub(crate) use replay::Replay;

/// Services of one target as they were. It holds the values of environment variables: none of its types can be
/// printed.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Snapshot {
    /// What the file is, and in which form. A file with neither `apiVersion`, `kind` nor `spec` is no manifest to
    /// anybody.
    #[serde(rename = "evenkeelSnapshot")]
    form: u64,
    /// By the clock of the machine that took it.
    pub taken_at: Timestamp,
    pub target: String,
    /// As configured.
    pub region: Option<String>,
    pub instance: String,
    pub services: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Entry {
    pub key: ServiceKey,
    pub look: Looked,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Looked {
    Seen(Box<Seen>),
    /// Why not even the service itself could be read.
    Unread(String),
}

/// A deep look, and what was asked: about the rest it says nothing.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Seen {
    asked: AskedThen,
    observed: Observed,
}

/// The parts of [`Questions`] that depend on the manifest.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct AskedThen {
    alarms: BTreeSet<String>,
    target_groups: BTreeSet<String>,
    revisions: BTreeSet<String>,
    load_balancing: Option<BalancingQuestion>,
    code_deploy: Option<CodeDeployQuestion>,
    metrics: Option<MetricQuestion>,
}

impl Snapshot {
    /// The form of the file that this version writes and reads.
    const FORM: u64 = 1;

    pub(crate) fn new(config: &Config, services: Vec<Entry>) -> Self {
        Self {
            form: Self::FORM,
            taken_at: Timestamp::now(),
            target: config.target.clone(),
            region: config.aws.region.clone(),
            instance: config.instance.clone(),
            services,
        }
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Snapshot of {} services at {}", self.services.len(), self.taken_at)
    }
}

impl From<&Questions> for AskedThen {
    fn from(questions: &Questions) -> Self {
        Self {
            alarms: questions.alarms.clone(),
            target_groups: questions.target_groups.clone(),
            revisions: questions.revisions.clone(),
            load_balancing: questions.load_balancing.clone(),
            code_deploy: questions.code_deploy.clone(),
            metrics: questions.metrics.clone(),
        }
    }
}

#[cfg(test)]
mod tests;
