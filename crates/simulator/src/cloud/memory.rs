//! Revisions of task definitions, load balancing and stopped tasks, remembered as the AWS edge remembers them; never
//! asks the region.

use std::collections::BTreeMap;
use std::time::Duration;

use evenkeel_manifest::ServiceKey;
use evenkeel_planner::{
    BalancingQuestion, LoadBalancing, ObservedService, ServiceDeployment, ServiceRevision, Task,
    TaskDefinition,
};
use evenkeel_reconciler::StoppedTasks;
use jiff::Timestamp;

use super::parsed::Parsed;

/// For how long content counts as read just now.
const RECENT: Duration = Duration::from_secs(30);

/// By ARN, as first or last read.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// Without content, for ever: it never changes.
    known: BTreeMap<String, TaskDefinition>,
    recent: BTreeMap<String, (Timestamp, TaskDefinition)>,
    balancing: BTreeMap<BalancingQuestion, (Timestamp, LoadBalancing)>,
    pub(super) stopped: StoppedTasks,
    pub(super) services: Parsed<ServiceKey, ObservedService>,
    pub(super) deployments: Parsed<ServiceKey, Vec<ServiceDeployment>>,
    pub(super) revisions: Parsed<ServiceKey, Vec<ServiceRevision>>,
    pub(super) tasks: Parsed<ServiceKey, Vec<Task>>,
    pub(super) definitions: Parsed<String, TaskDefinition>,
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

    pub(super) fn remember_balancing(
        &mut self,
        question: &BalancingQuestion,
        answer: &LoadBalancing,
        now: Timestamp,
    ) {
        self.balancing.retain(|question, (read, _)| *read + question.max_age > now);
        self.balancing.insert(question.clone(), (now, answer.clone()));
    }

    pub(super) fn balancing(
        &self,
        question: &BalancingQuestion,
        now: Timestamp,
    ) -> Option<LoadBalancing> {
        let (read, answer) = self.balancing.get(question)?;
        (*read + question.max_age > now).then(|| answer.clone())
    }
}
