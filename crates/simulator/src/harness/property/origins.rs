//! Who began each deployment, and which revisions proved good; told by calls and by the truth, never by
//! tags.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use evenkeel_manifest::ServiceKey;

use super::super::event::At;
use super::super::{Event, Sent};
use super::call::{self, Write};
use super::memory::PROVEN;
use super::wishes::{Wish, Wishes};
use crate::{DeploymentCourse, DeploymentFacts, ServiceFacts};

/// Who began a deployment.
#[derive(Clone, Debug)]
pub(super) enum Origin {
    /// A daemon rolled out what one of these wanted.
    Started(Vec<Arc<Wish>>),
    /// A daemon returned to an earlier revision, itself or by asking ECS to.
    Returned,
    /// ECS returned on its own account.
    ReturnedByEcs,
    /// Somebody else.
    Foreign,
}

/// All deployments ever seen.
#[derive(Clone, Debug, Default)]
pub(super) struct Origins {
    wishes: Wishes,
    services: BTreeMap<ServiceKey, Known>,
    /// What the last writes about each service may have been about, by their numbers.
    sent: BTreeMap<ServiceKey, VecDeque<SentWrite>>,
}

#[derive(Clone, Debug)]
struct SentWrite {
    number: u64,
    at: At,
    wishes: Vec<Arc<Wish>>,
}

/// The longest that a daemon waits for the answer to one call.
pub(super) const DEADLINE: Duration = Duration::from_secs(20);

/// Writes to one service that may still be on their way.
const WRITES: usize = 64;

#[derive(Clone, Debug, Default)]
struct Known {
    origins: BTreeMap<u64, Origin>,
    primary: Option<u64>,
    /// ECS was asked by a daemon to return, and the deployment that does so was not seen yet.
    asked_to_return: bool,
    /// What a daemon told CodeDeploy to deploy last, and how its task set is to be taken.
    deploys: Option<(String, Origin)>,
    /// Service revisions that ECS completed once, which takes every task to be healthy.
    completed: BTreeSet<u64>,
    /// The task definitions of all service revisions.
    definitions: BTreeMap<u64, Arc<str>>,
    /// The tag `evenkeel:proven`, and all revisions and task definitions that it ever named.
    proven: String,
    good: BTreeSet<u64>,
    good_definitions: BTreeSet<Arc<str>>,
}

impl Origins {
    pub(super) fn wishes(&self) -> &Wishes {
        &self.wishes
    }

    /// `None` for a deployment that was never seen.
    pub(super) fn of(&self, key: &ServiceKey, deployment: u64) -> Option<&Origin> {
        self.services.get(key)?.origins.get(&deployment)
    }

    /// The PRIMARY deployment, as far as seen.
    pub(super) fn primary(&self, key: &ServiceKey) -> Option<u64> {
        self.services.get(key)?.primary
    }

    /// Whether somebody else began what ECS rolls out now, with traffic that moves: whom ECS then stops, and
    /// where it sends traffic meanwhile, is no daemon's doing.
    pub(super) fn is_foreign_shift(&self, key: &ServiceKey, facts: &ServiceFacts) -> bool {
        let newest = facts.deployments.iter().max_by_key(|one| one.created_at);
        newest.is_some_and(|newest| {
            newest.share.is_some() && matches!(self.of(key, newest.id), Some(Origin::Foreign))
        })
    }

    /// Whether ECS ever completed the service revision.
    pub(super) fn is_completed(&self, key: &ServiceKey, revision: u64) -> bool {
        self.services.get(key).is_some_and(|known| known.completed.contains(&revision))
    }

    /// The task definition of a service revision.
    pub(super) fn definition(&self, key: &ServiceKey, revision: u64) -> Option<&str> {
        self.services.get(key)?.definitions.get(&revision).map(|arn| &**arn)
    }

    /// Whether the service revision was ever complete, and judged good by the daemons.
    pub(super) fn is_good(&self, key: &ServiceKey, revision: u64) -> bool {
        self.services.get(key).is_some_and(|known| known.good.contains(&revision))
    }

    /// The same for any revision with this task definition.
    pub(super) fn is_good_definition(&self, key: &ServiceKey, arn: &str) -> bool {
        self.services.get(key).is_some_and(|known| known.good_definitions.contains(arn))
    }

    /// What was wanted when a write was sent: one wish, or two when it changed at the same instant.
    pub(super) fn wishes_of(&self, call: &Sent) -> &[Arc<Wish>] {
        self.sent_write(call).map_or(&[], |sent| &sent.wishes)
    }

    /// Whether a write that is carried out now was given up by its daemon long ago: nobody could help
    /// that it came after all.
    pub(super) fn is_late(&self, call: &Sent, now: At) -> bool {
        self.sent_write(call).is_none_or(|sent| sent.at + DEADLINE < now)
    }

    /// When a write was sent.
    pub(super) fn sent_at(&self, call: &Sent) -> Option<At> {
        self.sent_write(call).map(|sent| sent.at)
    }

    fn sent_write(&self, call: &Sent) -> Option<&SentWrite> {
        let sent = call.about.as_ref().and_then(|key| self.sent.get(key));
        sent.into_iter().flatten().rev().find(|sent| sent.number == call.number)
    }

    pub(super) fn note(&mut self, at: At, event: &Event<'_>) {
        self.wishes.note(at, event);
        match event {
            Event::Sent(call) if Write::of(call).is_some() => self.sent(at, call),
            Event::CarriedOut { call, reply: Ok(reply) } => {
                let primary = call::replied_primary(reply);
                match (Write::of(call), primary) {
                    (Some(write @ Write::Deploy(_)), _) => self.deploys(call, write),

                    (Some(Write::Stop), _) => {
                        self.services.entry(subject(call)).or_default().asked_to_return = true;
                    }
                    (Some(_), Some(id)) => self.answered_with(call, id),
                    _ => {}
                }
            }
            Event::Edited { operation, input, .. } => self.edited(operation, input),
            Event::Changed(facts) => self.changed(facts),
            _ => {}
        }
    }

    fn sent(&mut self, at: At, call: &Sent) {
        let Some(key) = &call.about else { return };
        let wishes = self.wishes.at(call.by, key, at).cloned().collect();
        let writes = self.sent.entry(key.clone()).or_default();
        writes.push_back(SentWrite { number: call.number, at, wishes });
        if writes.len() > WRITES {
            writes.pop_front();
        }
    }

    /// The reply of a daemon's call shows this PRIMARY deployment.
    fn answered_with(&mut self, call: &Sent, id: u64) {
        let wishes = self.wishes_of(call).to_vec();
        let known = self.services.entry(subject(call)).or_default();
        known.primary = Some(id);
        if let Entry::Vacant(unseen) = known.origins.entry(id) {
            let returns = call::returns(call);
            unseen.insert(if returns { Origin::Returned } else { Origin::Started(wishes) });
            // What ECS was asked to return from is replaced.
            known.asked_to_return = false;
        }
    }

    fn deploys(&mut self, call: &Sent, write: Write<'_>) {
        let wishes = self.wishes_of(call).to_vec();
        let returns = call::returns(call);
        let origin = if returns { Origin::Returned } else { Origin::Started(wishes) };
        let definition = write.definition().unwrap_or_default().to_owned();
        self.services.entry(subject(call)).or_default().deploys = Some((definition, origin));
    }

    fn edited(&mut self, operation: &str, input: &serde_json::Value) {
        let Some(key) = call::named(input) else { return };
        if operation == "UpdateService" || operation == "CreateService" {
            self.services.entry(key).or_default().asked_to_return = false;
        }
    }

    fn changed(&mut self, facts: &ServiceFacts) {
        let key = ServiceKey::new(&*facts.cluster, &*facts.name);
        let known = self.services.entry(key).or_default();
        for deployment in facts.deployments.iter().rev() {
            known.seen(deployment);
        }
        known.primary = facts.primary().map(|one| one.id);
        if let Some(proven) = facts.tags.get(PROVEN).filter(|proven| **proven != known.proven) {
            known.proves(proven);
        }
    }
}

impl Known {
    /// `proven` is the ARN of a service revision, or of a task definition where a server has no
    /// revisions.
    fn proves(&mut self, proven: &str) {
        proven.clone_into(&mut self.proven);
        let is_completed = |revision: &u64| self.completed.contains(revision);
        let named = |revision: &u64, definition: &str| {
            call::number(proven) == Some(*revision) || definition == proven
        };
        let good = self
            .definitions
            .iter()
            .filter(|(one, definition)| is_completed(one) && named(one, definition));
        for (revision, definition) in good {
            self.good.insert(*revision);
            self.good_definitions.insert(Arc::clone(definition));
        }
    }

    fn seen(&mut self, deployment: &DeploymentFacts) {
        if deployment.course == DeploymentCourse::Completed {
            self.completed.insert(deployment.revision);
        }
        self.definitions
            .entry(deployment.revision)
            .or_insert_with(|| Arc::clone(&deployment.definition));
        if self.origins.contains_key(&deployment.id) {
            return;
        }
        let told = self.deploys.take_if(|(definition, _)| **definition == *deployment.definition);
        let origin = if let Some((_, origin)) = told {
            origin
        } else if deployment.revision == deployment.id {
            Origin::Foreign
        } else if std::mem::take(&mut self.asked_to_return) {
            Origin::Returned
        } else {
            Origin::ReturnedByEcs
        };
        self.origins.insert(deployment.id, origin);
    }
}

fn subject(call: &Sent) -> ServiceKey {
    call.about.clone().or_else(|| call::named(&call.input)).unwrap_or_else(|| {
        // A write without a service is what S19 is about.
        ServiceKey::new("", "")
    })
}

/// Whether a deployment is on its way.
pub(super) fn is_in_flight(deployment: &DeploymentFacts) -> bool {
    deployment.course == DeploymentCourse::InProgress
}
