//! Revisions of task definitions, load balancing and stopped tasks, remembered as the AWS edge remembers them; never
//! asks the region.

use std::collections::BTreeMap;
use std::time::Duration;

use evenkeel_manifest::ServiceKey;
use evenkeel_planner::{
    BalancingQuestion, LoadBalancing, ObservedService, ServiceDeployment, ServiceRevision, Task,
    TaskDefinition,
};
use jiff::Timestamp;
use serde_json::Value;

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
    /// Of each service, as long as they are listed.
    stopped: BTreeMap<ServiceKey, BTreeMap<String, Task>>,
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

    /// Of the tasks listed, those that are known to have stopped, and the ARNs of all others.
    pub(super) fn stopped(
        &mut self,
        key: &ServiceKey,
        arns: Vec<Value>,
    ) -> (Vec<Task>, Vec<Value>) {
        let mut before = self.stopped.remove(key).unwrap_or_default();
        let (mut known, mut unknown) = (Vec::new(), Vec::new());
        let mut still = BTreeMap::new();
        for arn in arns {
            match arn.as_str().and_then(|arn| before.remove_entry(arn)) {
                Some((arn, task)) => {
                    known.push(task.clone());
                    still.insert(arn, task);
                }
                None => unknown.push(arn),
            }
        }
        if !still.is_empty() {
            self.stopped.insert(key.clone(), still);
        }
        (known, unknown)
    }

    pub(super) fn remember_stopped(&mut self, key: &ServiceKey, described: &[Task]) {
        let mut stopped = described.iter().filter(|task| task.last_status == "STOPPED").peekable();
        if stopped.peek().is_some() {
            let known = self.stopped.entry(key.clone()).or_default();
            known.extend(stopped.map(|task| (task.task_arn.clone(), task.clone())));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn task(arn: &str, status: &str) -> Task {
        Task::read(&json!({"taskArn": arn, "lastStatus": status})).unwrap()
    }

    fn arns(known: &[Task]) -> Vec<&str> {
        known.iter().map(|task| task.task_arn.as_str()).collect()
    }

    #[test]
    fn only_stopped_tasks_are_known_again_and_only_those_of_the_service() {
        let (web, api) = (ServiceKey::new("main", "web"), ServiceKey::new("main", "api"));
        let mut memory = Memory::default();
        memory.remember_stopped(&web, &[task("1", "STOPPED"), task("2", "STOPPING")]);
        for _ in 0..2 {
            let (known, unknown) = memory.stopped(&web, vec![json!("1"), json!("2")]);
            assert_eq!((arns(&known), unknown), (vec!["1"], vec![json!("2")]));
        }
        let (known, unknown) = memory.stopped(&api, vec![json!("1")]);
        assert_eq!((arns(&known), unknown), (vec![], vec![json!("1")]));
    }

    #[test]
    fn a_stopped_task_that_is_no_longer_listed_is_forgotten() {
        let web = ServiceKey::new("main", "web");
        let mut memory = Memory::default();
        memory.remember_stopped(&web, &[task("1", "STOPPED"), task("2", "STOPPED")]);
        let (known, _) = memory.stopped(&web, vec![json!("2")]);
        assert_eq!(arns(&known), ["2"]);
        let (known, unknown) = memory.stopped(&web, vec![json!("1"), json!("2")]);
        assert_eq!((arns(&known), unknown), (vec!["2"], vec![json!("1")]));
    }
}
