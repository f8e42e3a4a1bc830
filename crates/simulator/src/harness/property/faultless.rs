//! What ECS gave up for no fault of its revision, told by the region's own facts; never by what a daemon thinks of it.

use std::collections::BTreeMap;

use evenkeel_manifest::ServiceKey;
use jiff::SignedDuration;

use super::super::Event;
use super::super::event::At;
use super::call::Write;
use super::definitions::Definitions;
use super::rollouts::failure;
use crate::{DeploymentCourse, DeploymentFacts};

/// Deployments that ECS gave up though no task of theirs failed for what is its revision's fault.
#[derive(Debug, Default)]
pub(super) struct Faultless {
    definitions: Definitions,
    given_up: BTreeMap<ServiceKey, BTreeMap<u64, DeploymentFacts>>,
    /// Deployments of which a task failed, and when one did last.
    faulty: BTreeMap<u64, At>,
    now: Option<At>,
}

/// How long after it began a return is begun again at the earliest.
const REPEATED_AFTER: SignedDuration = SignedDuration::from_mins(10);

/// How long ECS shows a stopped task, or a little less (ecs-behaviour 7).
const SHOWN_FOR: SignedDuration = SignedDuration::from_mins(59);

impl Faultless {
    /// To be told before what is judged by it: a call may be the first event of the moment from which it is due.
    pub(super) fn note(&mut self, at: At, event: &Event<'_>) {
        self.now = Some(at);
        self.definitions.note(event);
        let Event::Changed(facts) = event else { return };
        for task in &facts.tasks {
            let at = task.stopping_at.unwrap_or(facts.at);
            let is_known = self.faulty.get(&task.deployment).is_some_and(|last| at <= *last);
            if !is_known && failure(task).is_some() {
                self.faulty.insert(task.deployment, at);
            }
        }
        let given_up =
            facts.deployments.iter().filter(|one| one.course == DeploymentCourse::Failed);
        let key = ServiceKey::new(&*facts.cluster, &*facts.name);
        self.given_up.entry(key).or_default().extend(given_up.map(|one| (one.id, one.clone())));
    }

    /// Whether the call deploys just what that deployment ran, and it was time to.
    pub(super) fn is_repeated_by(
        &self,
        write: Write<'_>,
        key: &ServiceKey,
        deployment: u64,
    ) -> bool {
        let Some(given_up) = self.given_up.get(key).and_then(|all| all.get(&deployment)) else {
            return false;
        };
        let is_due =
            self.now.is_some_and(|now| now.duration_since(given_up.created_at) >= REPEATED_AFTER);
        let is_same = write.definition().is_none_or(|arn| self.is_alike(arn, &given_up.definition));
        write.forces() && is_same && is_due && !self.is_faulty(deployment)
    }

    /// As far as ECS still shows it.
    fn is_faulty(&self, deployment: u64) -> bool {
        let last = self.faulty.get(&deployment);
        last.zip(self.now).is_some_and(|(last, now)| now.duration_since(*last) <= SHOWN_FOR)
    }

    /// What was taken out of use is registered anew.
    fn is_alike(&self, one: &str, other: &str) -> bool {
        let content = self.definitions.digest(one);
        one == other || content.is_some() && content == self.definitions.digest(other)
    }
}
