//! What was true of a service, as far as verdicts are judged by it; never judges them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::super::call::number;
use super::super::lasting::Lasting;
use super::super::memory::{Mark, PROVEN};
use super::{LAG_MAX, has_failed};
use crate::harness::event::At;
use crate::{DeploymentCourse, ServiceFacts, TaskFacts};

/// What was true of one service, and until when.
#[derive(Debug, Default)]
pub(super) struct Record {
    pub(super) at: Option<At>,
    /// What is PRIMARY was completed by ECS.
    pub(super) done: Lasting<()>,
    /// Complete, with every task running.
    pub(super) complete: Lasting<Arc<str>>,
    pub(super) healthy: Lasting<()>,
    /// Names of alarms that exist and are not red.
    pub(super) calm: Lasting<String>,
    /// Deployments that something speaks against.
    pub(super) accused: BTreeSet<u64>,
    /// Deployments of which users' requests failed.
    pub(super) failing: BTreeSet<u64>,
    /// What their target groups had failed before each deployment was there.
    pub(super) failed_before: BTreeMap<u64, u64>,
    pub(super) primary: Option<u64>,
    /// The revision that is said to be proven.
    pub(super) proven: Option<u64>,
    /// When the deployments that there are began.
    pub(super) began: BTreeMap<u64, At>,
    /// Since when all tasks that are to be there are healthy ones of PRIMARY.
    pub(super) whole: Option<(u64, At)>,
    /// The youngest ever.
    pub(super) newest: Option<(At, u64)>,
    /// When alarms were red last.
    pub(super) red: BTreeMap<String, At>,
    /// The deployment that the service returns from.
    pub(super) returning: Option<u64>,
    /// Those that it returned from before: what they came to says nothing new.
    pub(super) returned_from: BTreeSet<u64>,
}

impl Record {
    /// What is marked from now on.
    pub(super) fn marked(&mut self, mark: Option<Mark>) {
        let returns = mark.as_ref().is_some_and(|mark| mark.phase == "rollback");
        let id = mark.and_then(|mark| mark.deployment);
        if returns && self.returning == id {
            return;
        }
        self.returned_from.extend(self.returning.take());
        if returns {
            self.returning = id;
        } else if let Some(id) = id {
            self.returned_from.remove(&id);
        }
    }

    pub(super) fn changed(&mut self, at: At, facts: &ServiceFacts) {
        self.at = Some(at);
        let desired = usize::try_from(facts.desired).unwrap_or(usize::MAX);
        let primary = facts.primary();
        let running = |id| {
            let runs =
                |one: &&TaskFacts| one.deployment == id && one.wanted && one.state == "RUNNING";
            facts.tasks.iter().filter(runs).count()
        };
        let is_done = primary.is_some_and(|one| one.course == DeploymentCourse::Completed);
        self.done.hold(at, is_done.then_some(()));
        let complete = primary
            .filter(|one| one.course == DeploymentCourse::Completed && running(one.id) >= desired);
        self.complete.hold(at, complete.map(|one| Arc::clone(&one.definition)));
        self.healthy.hold(at, (facts.healthy_tasks() >= desired).then_some(()));
        let calm = facts.alarms.iter().filter(|(_, state)| **state != "ALARM");
        self.calm.hold(at, calm.map(|(name, _)| name.clone()));
        let red = facts.alarms.iter().filter(|(_, state)| **state == "ALARM");
        self.red.extend(red.map(|(name, _)| (name.clone(), at)));
        self.accuse(facts);
        self.primary = primary.map(|one| one.id);
        self.proven = facts.tags.get(PROVEN).and_then(|proven| number(proven));
        self.began = facts.deployments.iter().map(|one| (one.id, one.created_at)).collect();
        let healthy =
            |id| facts.tasks.iter().filter(|one| one.healthy && one.deployment == id).count();
        let whole = self.primary.filter(|id| desired > 0 && healthy(*id) >= desired);
        self.whole = whole.map(|id| match self.whole {
            Some((before, since)) if before == id => (id, since),
            _ => (id, at),
        });
        self.newest =
            self.newest.max(facts.deployments.iter().map(|one| (one.created_at, one.id)).max());
    }

    fn accuse(&mut self, facts: &ServiceFacts) {
        for one in &facts.deployments {
            let before = self.failed_before.entry(one.id).or_insert(one.failed_requests);
            if one.failed_requests > *before {
                self.failing.insert(one.id);
            }
        }
        let failed = facts.tasks.iter().filter(|one| has_failed(one)).map(|one| one.deployment);
        self.accused.extend(failed);
        let given_up = facts
            .deployments
            .iter()
            .filter(|one| one.course == DeploymentCourse::Failed || one.failed_tasks > 0);
        self.accused.extend(given_up.map(|one| one.id));
        let is_asked_back =
            facts.history.last().is_some_and(|last| last.status.starts_with("ROLLBACK_"));
        self.accused.extend(facts.primary().filter(|_| is_asked_back).map(|one| one.id));
    }

    /// Whether all its tasks were healthy for longer than a look can be old.
    pub(super) fn is_whole(&self, id: u64, at: At) -> bool {
        self.whole.is_some_and(|(whole, since)| whole == id && since + LAG_MAX < at)
    }

    /// Why the revision is not proven at any moment since then.
    pub(super) fn unproven(
        &self,
        since: At,
        is_wanted: impl Fn(&str) -> bool,
    ) -> Option<&'static str> {
        if !self.complete.since(since).any(|arn| is_wanted(arn)) {
            return Some("what is wanted was not complete");
        }
        self.healthy.since(since).next().is_none().then_some("not every task was healthy")
    }

    /// Whether one of the alarms was red, or missing, in all the time since then.
    pub(super) fn is_red(&self, since: At, alarms: &[String]) -> bool {
        alarms.iter().any(|name| !self.calm.since(since).any(|calm| calm == name))
    }
}
