//! What became of every service by the end of a course that ends in calm; never says what should have.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use evenkeel_manifest::{Digest, ServiceKey};
use serde_json::Value;

use super::super::event::At;
use super::super::{Event, Replica, Sent};
use super::call::{self, Write, named, number, text};
use super::definitions::Definitions;
use super::memory::{HOLD, Mark, OWNER, PAUSE, PROVEN, Tags, applied, instance, mark, rejects};
use super::ordering::told;
use super::origins::{Origin, Origins, is_in_flight};
use super::wishes::Wish;
use crate::{DeploymentFacts, Life, ServiceFacts};

/// The course so far, as far as its end is judged by it.
#[derive(Debug)]
pub(super) struct Calm {
    instance: String,
    origins: Origins,
    definitions: Definitions,
    services: BTreeMap<ServiceKey, Course>,
    /// Task definitions that people took out of use.
    deregistered: BTreeSet<String>,
    alive: BTreeSet<Replica>,
    since: Option<At>,
    /// When somebody else last gave two groups traffic by one rule, and how much.
    split: Option<(At, Vec<u64>)>,
}

/// What follows the end of a deployment is written, or begins, by then: what daemons do not judge they look at once in
/// `resync`, which is five minutes.
pub(super) const FOLLOWS_WITHIN: Duration = Duration::from_mins(6);

/// What is known of one service.
#[derive(Debug, Default)]
struct Course {
    truth: Option<Truth>,
    /// Somebody else last changed what starts a deployment.
    edited: Option<At>,
    /// The PRIMARY deployment that last came to its end.
    ended: Option<Ended>,
    /// The last write, in a sentence.
    written: Option<(At, String)>,
    /// The operations whose last call about it failed since all is calm.
    failing: BTreeSet<String>,
    /// What ECS cannot change, in all forms that were wanted.
    fixed: BTreeSet<[Option<String>; 3]>,
    /// The return that a daemon told CodeDeploy to carry out, if it told it nothing else since.
    redeployed: Option<Redeployed>,
}

/// A deployment that is over.
#[derive(Debug)]
struct Ended {
    at: At,
    begun: At,
    /// When the one had begun that it followed; one link only, so that no end is that of a chain without one.
    since: At,
}

/// A deployment of CodeDeploy's that returns.
#[derive(Debug)]
struct Redeployed {
    id: String,
    definition: String,
    /// A daemon was told that it ended without success.
    has_failed: bool,
}

/// What is true of one service, without its tasks.
#[derive(Clone, Debug)]
pub(super) struct Truth {
    pub(super) life: Life,
    pub(super) desired: u64,
    pub(super) minimum_healthy_percent: u64,
    pub(super) maximum_percent: u64,
    pub(super) is_steady: bool,
    pub(super) tags: Tags,
    pub(super) primary: Option<DeploymentFacts>,
    /// The status of the last service deployment.
    pub(super) last_status: &'static str,
    /// The task definition of its target.
    last_definition: Option<Arc<str>>,
    /// The task definitions of all targets that ECS turned back from since the rollback was marked.
    turned_back: Vec<Arc<str>>,
    alarms: BTreeMap<String, &'static str>,
}

/// One service at the end, and what a daemon that lives wants of it.
pub(super) struct Ending<'a> {
    pub(super) key: &'a ServiceKey,
    pub(super) wish: &'a Wish,
    /// `None` when it does not exist.
    pub(super) truth: Option<&'a Truth>,
    course: Option<&'a Course>,
    calm: &'a Calm,
}

/// A revision over somebody else's is put back once an hour at most.
const REASSERTED_WITHIN: Duration = Duration::from_mins(65);

impl Calm {
    /// For daemons that call themselves this.
    pub(super) fn of(instance: impl Into<String>) -> Self {
        Self {
            instance: instance.into(),
            origins: Origins::default(),
            definitions: Definitions::default(),
            services: BTreeMap::new(),
            deregistered: BTreeSet::new(),
            alive: BTreeSet::new(),
            since: None,
            split: None,
        }
    }

    /// Since when all is well; `None` while faults are possible.
    pub(super) fn since(&self) -> Option<At> {
        self.since
    }

    pub(super) fn note(&mut self, at: At, event: &Event<'_>) {
        self.origins.note(at, event);
        self.definitions.note(event);
        match event {
            Event::Started(replica) => {
                self.alive.insert(*replica);
            }
            Event::Ended(replica) => {
                self.alive.remove(replica);
            }
            Event::Calm(is_calm) => {
                self.since = is_calm.then_some(at);
                self.services.values_mut().for_each(|course| course.failing.clear());
            }
            Event::Wanted { by, key, .. } => {
                if let Some(wish) = self.origins.wishes().now(*by, key) {
                    let fixed = wish.fixed.clone();
                    self.services.entry((*key).clone()).or_default().fixed.insert(fixed);
                }
            }
            Event::Sent(call) if Write::of(call).is_some() => {
                if let Some(key) = &call.about {
                    let course = self.services.entry(key.clone()).or_default();
                    course.written = Some((at, told(call)));
                }
            }
            Event::CarriedOut { call, reply: Ok(reply) }
                if call.operation == "CreateDeployment" =>
            {
                let course = call.about.clone().map(|key| self.services.entry(key).or_default());
                if let Some(course) = course {
                    course.redeployed = Redeployed::by(call, reply);
                }
            }
            Event::Answered { call, answer, .. } => self.answered(call, answer.ok()),
            Event::Edited { operation: "DeregisterTaskDefinition", input, .. } => {
                self.deregistered.extend(text(input, "taskDefinition").map(str::to_owned));
            }
            Event::Edited { operation: "ModifyRule" | "ModifyListener", input, .. } => {
                self.split = call::split(input).map(|shares| (at, shares)).or(self.split.take());
            }
            Event::Edited { operation: "UpdateService", input, .. } => {
                let key = named(input).filter(|_| call::starts_a_deployment(input));
                if let Some(key) = key {
                    self.services.entry(key).or_default().edited = Some(at);
                }
            }
            // One of ours that came after all is as good as somebody else's.
            Event::CarriedOut { call, reply: Ok(_) }
                if self.origins.is_late(call, at) && call::starts_a_deployment(&call.input) =>
            {
                let key = call.about.clone().filter(|_| call.operation == "UpdateService");
                if let Some(key) = key {
                    self.services.entry(key).or_default().edited = Some(at);
                }
            }
            Event::Changed(facts) => {
                let key = ServiceKey::new(&*facts.cluster, &*facts.name);
                self.services.entry(key).or_default().changed(at, Truth::of(facts));
            }
            _ => {}
        }
    }

    /// `None`: it failed.
    fn answered(&mut self, call: &Sent, reply: Option<&Value>) {
        if let Some(reply) = reply {
            self.told_of_deployments(call, reply);
        }
        let course = call.about.as_ref().and_then(|key| self.services.get_mut(key));
        match course {
            Some(course) if reply.is_some() => _ = course.failing.remove(&call.operation),
            Some(course) => _ = course.failing.insert(call.operation.clone()),
            None => {}
        }
    }

    fn told_of_deployments(&mut self, call: &Sent, reply: &Value) {
        let course = call.about.as_ref().and_then(|key| self.services.get_mut(key));
        if let Some(redeployed) = course.and_then(|course| course.redeployed.as_mut()) {
            let told = reply.get("deploymentsInfo").and_then(Value::as_array);
            redeployed.has_failed |= told.into_iter().flatten().any(|one| redeployed.fails_by(one));
        }
    }

    /// Every service that a living daemon wants and that it can do something about, by what is true.
    pub(super) fn endings(&self, at: At) -> impl Iterator<Item = Ending<'_>> {
        let wanted = self.alive.iter().flat_map(|by| self.origins.wishes().of_daemon(*by));
        wanted
            .map(|(key, wish)| {
                let course = self.services.get(key);
                let truth = course.and_then(|course| course.truth.as_ref());
                let truth = truth.filter(|truth| truth.life != Life::Inactive);
                Ending { key, wish, truth, course, calm: self }
            })
            .filter(move |ending| ending.can_be_driven(at))
    }
}

impl Course {
    fn changed(&mut self, at: At, now: Truth) {
        let before = self.truth.as_ref().and_then(|truth| truth.primary.as_ref());
        if let (Some(before), Some(primary)) = (before, &now.primary)
            && (before.id == primary.id && is_in_flight(before) && !is_in_flight(primary))
        {
            let begun = primary.created_at;
            let followed = self.ended.as_ref().filter(|last| begun <= last.at + FOLLOWS_WITHIN);
            let since = followed.map_or(begun, |last| last.begun);
            self.ended = Some(Ended { at, begun, since });
        }
        self.truth = Some(now);
    }
}

impl Redeployed {
    /// `None` for a deployment of something new.
    fn by(call: &Sent, reply: &Value) -> Option<Self> {
        let id = text(reply, "deploymentId").filter(|_| call::returns(call))?.to_owned();
        let definition = Write::of(call)?.definition()?.to_owned();
        Some(Self { id, definition, has_failed: false })
    }

    /// Whether CodeDeploy tells that it ended by itself without success: what somebody stopped did not fail.
    fn fails_by(&self, told: &Value) -> bool {
        text(told, "deploymentId") == Some(&*self.id) && text(told, "status") == Some("Failed")
    }
}

impl Truth {
    fn of(facts: &ServiceFacts) -> Self {
        Self {
            life: facts.life,
            desired: u64::from(facts.desired),
            minimum_healthy_percent: u64::from(facts.minimum_healthy_percent),
            maximum_percent: u64::from(facts.maximum_percent),
            is_steady: facts.is_steady(),
            tags: facts.tags.clone(),
            primary: facts.primary().cloned(),
            last_status: facts.history.last().map_or("", |last| last.status),
            last_definition: facts.history.last().map(|last| Arc::clone(&last.definition)),
            turned_back: turned_back(facts),
            alarms: facts.alarms.clone(),
        }
    }

    pub(super) fn mark(&self) -> Option<Mark> {
        mark(&self.tags)
    }

    pub(super) fn proves(&self, revision: &Digest) -> bool {
        applied(&self.tags, revision) && self.tags.contains_key(PROVEN)
    }

    pub(super) fn rejects(&self, revision: &Digest) -> bool {
        rejects(&self.tags, revision)
    }
}

fn turned_back(facts: &ServiceFacts) -> Vec<Arc<str>> {
    let Some(mark) = mark(&facts.tags).filter(|mark| mark.phase == "rollback") else {
        return Vec::new();
    };
    let later = facts.history.iter().filter(|one| one.created_at.as_second() >= mark.since);
    let turned_back = later.filter(|one| one.status.starts_with("ROLLBACK_"));
    turned_back.map(|one| Arc::clone(&one.definition)).collect()
}

impl Ending<'_> {
    /// Nobody has said that it is to be left alone, nothing that it needs is missing or failed, and what
    /// runs is not somebody else's, to be waited for.
    fn can_be_driven(&self, at: At) -> bool {
        let is_impossible =
            self.course.is_some_and(|course| !course.failing.is_empty() || course.fixed.len() > 1);
        let reserved = self.truth.is_some_and(|truth| {
            truth.life == Life::Draining
                || truth.tags.contains_key(HOLD)
                || truth.tags.contains_key(PAUSE)
                || !self.is_ours(truth)
                || self.waits_for_others(truth, at)
        });
        !self.wish.paused
            && !self.wish.pauses
            && !is_impossible
            && !reserved
            && !self.waits_for_an_alarm()
            && !self.is_split_by_hand()
    }

    /// Traffic that somebody takes from a step is a rescue, or a mistake: who did it says how it goes on. It has what was
    /// given by hand still.
    fn is_split_by_hand(&self) -> bool {
        let Some((at, shares)) = &self.calm.split else { return false };
        self.truth.filter(|_| !self.wish.steps.is_empty()).is_some_and(|truth| {
            let mark = mark(&truth.tags).filter(|mark| mark.phase != "rollback");
            let is_beside = mark.is_some_and(|mark| mark.since <= at.as_second());
            truth.primary.as_ref().is_some_and(|one| {
                let began = is_in_flight(one) && one.created_at <= *at;
                (began || is_beside)
                    && one.share.is_some_and(|share| shares.contains(&share.into()))
            })
        })
    }

    fn is_ours(&self, truth: &Truth) -> bool {
        match truth.tags.get(OWNER) {
            Some(owner) => instance(owner) == Some(&*self.calm.instance),
            None => self.wish.adopt,
        }
    }

    fn waits_for_others(&self, truth: &Truth, at: At) -> bool {
        let edited = self.course.and_then(|course| course.edited);
        let lately = edited.is_some_and(|edited| edited + REASSERTED_WITHIN > at)
            && !self.runs_what_is_wanted();
        let hangs = truth.primary.as_ref().is_some_and(|primary| {
            is_in_flight(primary)
                && matches!(self.calm.origins.of(self.key, primary.id), Some(Origin::Foreign))
        });
        lately || hangs
    }

    fn waits_for_an_alarm(&self) -> bool {
        let state = |name: &String| {
            let mut courses = self.calm.services.values();
            let known = self.truth.or_else(|| courses.find_map(|one| one.truth.as_ref()));
            known.and_then(|truth| truth.alarms.get(name).copied())
        };
        let alarms = self.wish.breaker.alarms.iter();
        alarms.map(state).any(|state| state.is_none_or(|state| state == "ALARM"))
    }

    /// Whether the PRIMARY deployment has the task definition wanted.
    pub(super) fn runs_what_is_wanted(&self) -> bool {
        let primary = self.truth.and_then(|truth| truth.primary.as_ref());
        primary.is_some_and(|primary| {
            self.calm.definitions.is(&primary.definition, &self.wish.definition)
        })
    }

    /// Whether the PRIMARY deployment runs a revision that ECS completed once.
    pub(super) fn runs_what_was_complete(&self) -> bool {
        let primary = self.truth.and_then(|truth| truth.primary.as_ref());
        primary.is_some_and(|one| self.calm.origins.is_completed(self.key, one.revision))
    }

    /// The task definition of the proven revision.
    fn proven(&self) -> Option<&str> {
        let proven = self.truth?.tags.get(PROVEN)?;
        if proven.contains(":task-definition/") {
            return Some(proven);
        }
        let proven = number(proven)?;
        self.calm.origins.definition(self.key, proven)
    }

    /// Whether what is PRIMARY has the task definition of the proven revision.
    pub(super) fn runs_the_proven(&self) -> bool {
        let primary = self.truth.and_then(|truth| truth.primary.as_ref());
        primary.is_some_and(|primary| self.proven() == Some(&*primary.definition))
    }

    /// Whether what was proven has the content that the manifest wants, and something else is PRIMARY.
    pub(super) fn is_to_leave_for_what_is_wanted(&self) -> bool {
        let is_wanted = |one| self.calm.definitions.is(one, &self.wish.definition);
        self.proven().is_some_and(is_wanted) && !self.runs_what_is_wanted()
    }

    /// Whether ECS itself ended the return to the proven revision, lastly, or since the rollback was marked: a daemon returns
    /// no second time, whatever somebody else deploys then.
    pub(super) fn ecs_ended_the_return(&self) -> bool {
        let Some((truth, proven)) = self.truth.zip(self.proven()) else { return false };
        let is_last = truth.last_definition.as_deref() == Some(proven);
        (truth.last_status.starts_with("ROLLBACK_") && is_last)
            || truth.turned_back.iter().any(|one| **one == *proven)
    }

    /// Whether CodeDeploy ended the return to the proven revision, and a daemon knows. It is told to return once.
    pub(super) fn code_deploy_ended_the_return(&self) -> bool {
        let redeployed = self.course.and_then(|course| course.redeployed.as_ref());
        redeployed.is_some_and(|one| one.has_failed && self.proven() == Some(&*one.definition))
    }

    /// Whether people took the proven revision out of use.
    pub(super) fn has_lost_the_proven(&self) -> bool {
        self.proven().is_some_and(|proven| self.calm.deregistered.contains(proven))
    }

    /// Whether a daemon, or ECS, returned to what is PRIMARY.
    pub(super) fn is_returned(&self) -> bool {
        let primary = self.truth.and_then(|truth| truth.primary.as_ref());
        let origin = primary.and_then(|one| self.calm.origins.of(self.key, one.id));
        matches!(origin, Some(Origin::Returned | Origin::ReturnedByEcs))
    }

    /// Until when what follows a deployment that took until that time is written, if one did and it ended.
    pub(super) fn followed_until(&self, at: At) -> Option<At> {
        let ended = self.course?.ended.as_ref()?;
        let last = ended.at + FOLLOWS_WITHIN;
        (ended.since <= at && at < last).then_some(last)
    }

    /// The last write about it.
    pub(super) fn written(&self) -> Option<&(At, String)> {
        self.course?.written.as_ref()
    }
}
