//! Rollouts of daemons from their beginning until their probe has passed: what ECS started of them, and
//! what of it was nobody's doing; never whether that was right.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use evenkeel_manifest::ServiceKey;
use serde_json::Value;

use super::super::event::At;
use super::super::{Event, Sent};
use super::call::{self, Write};
use super::capacity::is_taken;
use super::memory::{Mark, PROVEN, ROLLOUT, Tags, applied, mark};
use super::origins::{Origin, Origins};
use super::passes::Passes;
use super::soundness::has_failed;
use super::wishes::Wish;
use crate::{ServiceFacts, TaskFacts};

/// The rollout of each service that begins with a probe.
#[derive(Debug, Default)]
pub(super) struct Rollouts {
    origins: Origins,
    passes: Passes,
    /// Task definitions that people took out of use: nobody can return to them by himself.
    deregistered: BTreeSet<String>,
    services: BTreeMap<ServiceKey, Known>,
}

#[derive(Debug, Default)]
struct Known {
    before: Option<Before>,
    rollout: Option<Rollout>,
    /// The last deployment that CreateService made.
    created: Option<u64>,
    /// When somebody else last changed the service.
    edited: Option<At>,
    /// The last call that was carried out was planned without having seen that.
    is_blind: bool,
    /// The tags as they were when another revision was proven.
    proven: Tags,
}

/// What was told before.
#[derive(Debug, Default)]
struct Before {
    desired: u64,
    primary: Option<u64>,
    has_proven: bool,
    living: BTreeMap<u64, Living>,
}

#[derive(Clone, Copy, Debug)]
struct Living {
    deployment: u64,
    healthy: bool,
}

/// One rollout, before it is widened.
#[derive(Debug)]
pub(super) struct Rollout {
    pub(super) deployment: u64,
    pub(super) wishes: Vec<Arc<Wish>>,
    pub(super) began: At,
    /// A revision to return to was known, which is another than the one rolled out.
    pub(super) has_proven: bool,
    /// How many tasks may start at once: one, or one percent of more than a hundred.
    pub(super) surge: u64,
    /// `desiredCount`, as last told.
    desired: u64,
    /// Tasks that were missing when it began, or were lost of other deployments since.
    pub(super) excused: u64,
    /// Somebody else, or a call of long ago, has changed the service since the look that it began from, or
    /// the server lacks a call.
    pub(super) is_disturbed: bool,
    pub(super) is_widened: bool,
    /// When a task was first seen healthy.
    pub(super) healthy_since: Option<At>,
    pub(super) tasks: BTreeMap<u64, Launched>,
}

/// A task that a rollout started.
#[derive(Clone, Debug)]
pub(super) struct Launched {
    pub(super) lives: bool,
    pub(super) was_healthy: bool,
    /// ECS is about to replace it.
    failing: bool,
    /// When it was seen to have ended, and how.
    pub(super) ended: Option<(At, Option<Failure>)>,
}

/// How a task ended, as far as it can be held against its revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Failure {
    Launch,
    Health,
    Crash,
}

impl Rollouts {
    pub(super) fn origins(&self) -> &Origins {
        &self.origins
    }

    pub(super) fn passes(&self) -> &Passes {
        &self.passes
    }

    pub(super) fn of(&self, key: &ServiceKey) -> Option<&Rollout> {
        self.services.get(key)?.rollout.as_ref()
    }

    pub(super) fn note(&mut self, at: At, event: &Event<'_>) {
        match event {
            Event::CarriedOut { call, reply: Ok(reply) } => {
                if let (Some(write), Some(key)) = (Write::of(call), &call.about) {
                    self.carried_out(at, call, key, &write, reply);
                }
            }
            Event::Sent(call) => {
                let rollout = call.about.as_ref().and_then(|key| self.services.get_mut(key));
                if let Some(rollout) = rollout.and_then(|known| known.rollout.as_mut()) {
                    rollout.is_widened |= widens(call, rollout);
                }
            }
            Event::Answered { call, answer: Err(error), .. } => {
                let is_missing = error.class() == "capability_missing";
                if let Some(key) = call.about.as_ref().filter(|_| is_missing) {
                    self.disturb(key);
                }
            }
            Event::Edited { operation: "DeregisterTaskDefinition", input, .. } => {
                self.deregistered.extend(call::text(input, "taskDefinition").map(str::to_owned));
                let rollouts = self.services.values_mut().filter_map(|one| one.rollout.as_mut());
                rollouts.for_each(|rollout| rollout.is_disturbed = true);
            }
            Event::Edited { input, .. } => {
                if let Some(key) = call::named(input) {
                    self.disturb(&key);
                    self.services.entry(key).or_default().edited = Some(at);
                }
            }
            _ => {}
        }
        self.origins.note(at, event);
        self.passes.note(at, event);
        if let Event::Changed(facts) = event {
            self.changed(at, facts);
        }
    }

    fn carried_out(
        &mut self,
        at: At,
        call: &Sent,
        key: &ServiceKey,
        write: &Write<'_>,
        reply: &Value,
    ) {
        if self.origins.is_late(call, at) {
            self.disturb(key);
        }
        let pass = self.passes.of(call);
        let looked = pass.and_then(|pass| Some(pass.look.as_ref()?.at));
        let is_stale = pass.is_none_or(|pass| pass.is_stale);
        let known = self.services.entry(key.clone()).or_default();
        known.is_blind = is_stale || looked < known.edited;
        if let Write::Create(_) = write {
            known.created = call::replied_primary(reply);
        }
    }

    fn disturb(&mut self, key: &ServiceKey) {
        let known = self.services.get_mut(key);
        if let Some(rollout) = known.and_then(|known| known.rollout.as_mut()) {
            rollout.is_disturbed = true;
        }
    }

    fn changed(&mut self, at: At, facts: &ServiceFacts) {
        let key = ServiceKey::new(&*facts.cluster, &*facts.name);
        let primary = facts.primary().map(|one| one.id);
        let origin = primary.and_then(|id| self.origins.of(&key, id));
        let proven = facts.tags.get(PROVEN).and_then(|one| call::number(one));
        let proven = proven.and_then(|one| self.origins.definition(&key, one));
        let has_lost_it = proven.is_some_and(|arn| self.deregistered.contains(arn));
        let is_of_it = facts.primary().is_some_and(|one| proven == Some(&*one.definition));
        let known = self.services.entry(key).or_default();
        if known.proven.get(PROVEN) != facts.tags.get(PROVEN) {
            known.proven.clone_from(&facts.tags);
        }
        if known.before.as_ref().and_then(|before| before.primary) != primary {
            let began = match (primary, origin) {
                (Some(id), Some(Origin::Started(wishes))) => known.begins(at, id, wishes, facts),
                _ => None,
            };
            known.rollout = began.map(|one| {
                let is_itself = is_of_it
                    && [&facts.tags, &known.proven].into_iter().any(|tags| one.is_of(tags));
                Rollout { has_proven: one.has_proven && !has_lost_it && !is_itself, ..one }
            });
        }
        if let Some(rollout) = &mut known.rollout {
            rollout.changed(at, facts, known.before.as_ref());
        }
        known.before = Some(Before::of(facts));
    }
}

impl Known {
    /// `None` for a rollout without a probe.
    fn begins(
        &self,
        at: At,
        id: u64,
        wishes: &[Arc<Wish>],
        facts: &ServiceFacts,
    ) -> Option<Rollout> {
        if wishes.is_empty() || !wishes.iter().all(|wish| wish.probes()) {
            return None;
        }
        let nothing = Before::default();
        let before = self.before.as_ref().unwrap_or(&nothing);
        let is_created = self.created == Some(id);
        let living = u64::try_from(before.living.len()).unwrap_or(u64::MAX);
        let missing = before.desired.saturating_sub(living);
        let desired = before.desired.max(u64::from(facts.desired));
        Some(Rollout {
            deployment: id,
            wishes: wishes.to_vec(),
            began: at,
            has_proven: before.has_proven && !is_created,
            surge: if is_created { 1 } else { (desired / 100).max(1) },
            desired: u64::from(facts.desired),
            excused: if is_created { 0 } else { missing },
            is_disturbed: self.is_blind,
            is_widened: false,
            healthy_since: None,
            tasks: BTreeMap::new(),
        })
    }
}

impl Before {
    fn of(facts: &ServiceFacts) -> Self {
        let living = facts.tasks.iter().filter(|one| one.lives());
        Self {
            desired: u64::from(facts.desired),
            primary: facts.primary().map(|one| one.id),
            has_proven: facts.tags.contains_key(PROVEN),
            living: living
                .map(|one| (one.id, Living { deployment: one.deployment, healthy: one.healthy }))
                .collect(),
        }
    }
}

impl Rollout {
    /// Living tasks that were never healthy, but for those that are being replaced.
    pub(super) fn unproven(&self) -> u64 {
        let is_tried = |one: &&Launched| one.lives && !one.was_healthy && !one.failing;
        let unproven = self.tasks.values().filter(is_tried);
        u64::try_from(unproven.count()).unwrap_or(u64::MAX)
    }

    /// Tasks that were healthy for a time and ended.
    pub(super) fn relapsed(&self) -> u64 {
        let relapsed = self.tasks.values().filter(|one| !one.lives && one.was_healthy);
        u64::try_from(relapsed.count()).unwrap_or(u64::MAX)
    }

    /// Whether what was judged last is the very revision that is wanted.
    fn is_of(&self, tags: &Tags) -> bool {
        self.wishes.iter().all(|wish| applied(tags, &wish.revision))
    }

    fn changed(&mut self, at: At, facts: &ServiceFacts, before: Option<&Before>) {
        let deployment = self.deployment;
        self.desired = u64::from(facts.desired);
        for task in facts.tasks.iter().filter(|one| one.deployment == deployment) {
            self.seen(at, task);
        }
        if let Some(before) = before {
            let lost = facts.tasks.iter().filter(|one| is_lost(one, before, deployment));
            self.excused += u64::try_from(lost.count()).unwrap_or(u64::MAX);
        }
        self.is_widened |= mark(&facts.tags).is_some_and(|mark| self.is_widening(&mark));
    }

    fn seen(&mut self, at: At, task: &TaskFacts) {
        if task.healthy {
            self.healthy_since.get_or_insert(at);
        }
        let launched = self.tasks.entry(task.id).or_insert(Launched {
            lives: true,
            was_healthy: false,
            failing: false,
            ended: None,
        });
        launched.failing = task.failing;
        launched.lives = task.lives();
        launched.was_healthy |= task.was_healthy || task.healthy;
        if !task.lives() && launched.ended.is_none() {
            launched.ended = Some((at, failure(task)));
        }
    }

    /// Whether percentages alone change, to those that leave room for the probe and no more.
    fn fits(&self, update: &Value) -> bool {
        let maximum = update.pointer("/deploymentConfiguration/maximumPercent");
        let room = maximum.and_then(Value::as_u64).map(|most| self.desired * most / 100);
        let is_lower = update.pointer("/deploymentConfiguration/minimumHealthyPercent").is_some();
        let is_counted = update.get("desiredCount").is_some();
        !is_lower && !is_counted && room.is_some_and(|room| room <= self.desired + self.surge)
    }

    fn is_widening(&self, mark: &Mark) -> bool {
        mark.phase == "widen" && mark.deployment.is_none_or(|id| id == self.deployment)
    }
}

/// A task of another deployment that is gone and that no rollout has taken away.
fn is_lost(task: &TaskFacts, before: &Before, deployment: u64) -> bool {
    let lived = before.living.get(&task.id).filter(|one| one.deployment != deployment);
    lived.is_some_and(|lived| {
        let was_taken = lived.healthy && is_taken(task);
        !task.lives() && !was_taken
    })
}

/// Whether a call ends the probe of a rollout.
pub(super) fn widens(call: &Sent, rollout: &Rollout) -> bool {
    let Some(write) = Write::of(call) else { return false };
    match write {
        Write::Update(input) => {
            let is_wider = ["deploymentConfiguration", "desiredCount"]
                .iter()
                .any(|name| input.get(name).is_some());
            is_wider && !call::starts_a_deployment(input) && !rollout.fits(input)
        }
        _ => write.tag(ROLLOUT).and_then(Mark::read).is_some_and(|mark| rollout.is_widening(&mark)),
    }
}

/// Words of causes outside of any revision (developer guide, stopped-task-error-codes).
const ENVIRONMENT: [&str; 10] = [
    "capacity",
    "rate limit",
    "toomanyrequests",
    "rate exceeded",
    "timeout waiting for network",
    "internalerror",
    "taskfailedtostart: resource:",
    "spot",
    "unexpected status code 5",
    "request canceled",
];

/// `None` when it cannot be held against the revision.
pub(super) fn failure(task: &TaskFacts) -> Option<Failure> {
    if !has_failed(task) {
        return None;
    }
    let reason = task.stopped_reason.as_deref().unwrap_or_default().to_lowercase();
    if ENVIRONMENT.iter().any(|words| reason.contains(words)) {
        return None;
    }
    Some(match task.stop_code {
        Some("TaskFailedToStart") => Failure::Launch,
        Some("EssentialContainerExited") => Failure::Crash,
        _ => Failure::Health,
    })
}
