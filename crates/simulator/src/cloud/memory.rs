//! Revisions of task definitions, remembered as the AWS edge remembers them; never asks the region.

use std::collections::BTreeMap;
use std::time::Duration;

use evenkeel_planner::TaskDefinition;
use jiff::Timestamp;

/// For how long content counts as read just now.
const RECENT: Duration = Duration::from_secs(30);

/// By ARN, as first or last read.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// Without content, for ever: it never changes.
    known: BTreeMap<String, TaskDefinition>,
    recent: BTreeMap<String, (Timestamp, TaskDefinition)>,
}

impl Memory {
    pub(super) fn remember(&mut self, revision: &TaskDefinition, now: Timestamp) {
        let known = TaskDefinition { document: None, ..revision.clone() };
        self.known.insert(revision.arn.clone(), known);
        self.recent.retain(|_, (read, _)| *read + RECENT > now);
        self.recent.insert(revision.arn.clone(), (now, revision.clone()));
    }

    pub(super) fn known(&self, arn: &str) -> Option<TaskDefinition> {
        self.known.get(arn).cloned()
    }

    pub(super) fn recent(&self, arn: &str, now: Timestamp) -> Option<TaskDefinition> {
        let (read, revision) = self.recent.get(arn)?;
        (*read + RECENT > now).then(|| revision.clone())
    }
}
