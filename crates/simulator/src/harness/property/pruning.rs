//! S15, S16 and S17 where pruning is granted: what goes is ours, named by no manifest, few at once, long announced,
//! and deleted only when nothing of it has run for a day.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use evenkeel_manifest::ServiceKey;
use evenkeel_planner::Command;
use evenkeel_reconciler::PruneSettings;

use super::super::event::At;
use super::super::{Event, Property, Replica, Sent};
use super::asks::Asks;
use super::call::Write;
use super::memory::OWNER;
use super::ordering::told;
use super::origins::Origins;
use super::passes::Passes;
use crate::ServiceFacts;

pub(super) const TOMBSTONE: &str = "evenkeel:tombstone";
pub(super) const PRUNE: &str = "evenkeel:prune";

/// No service may be gone sooner after it came to zero.
const DAY: Duration = Duration::from_hours(24);

/// Looks and listings are that old at most, so that what is true now may not have been then.
const SEEN_WITHIN: Duration = Duration::from_mins(70);

/// What is told at a look is written that much later at most.
const LOOK_AGE_MAX: Duration = Duration::from_secs(31);

#[derive(Debug)]
pub(super) struct Pruning {
    settings: PruneSettings,
    origins: Origins,
    passes: Passes,
    asks: Asks,
    named: BTreeMap<Replica, BTreeSet<ServiceKey>>,
    /// The services whose place others take.
    moved: BTreeSet<ServiceKey>,
    incomplete: BTreeSet<Replica>,
    services: BTreeMap<ServiceKey, Truth>,
}

#[derive(Debug, Default)]
struct Truth {
    is_ours: bool,
    has_tombstone: bool,
    has_tasks: bool,
    /// Since when it has the tombstone, whatever that says; of one that AWS was late to write, since it was sent.
    announced: Option<At>,
    /// Since when nothing of it runs or is to run.
    at_zero: Option<At>,
    /// When a manifest last stopped to name it, or it first was there.
    lost: Option<At>,
}

impl Pruning {
    pub(super) fn of(settings: PruneSettings) -> Self {
        Self {
            settings,
            origins: Origins::default(),
            passes: Passes::default(),
            asks: Asks::default(),
            named: BTreeMap::new(),
            moved: BTreeSet::new(),
            incomplete: BTreeSet::new(),
            services: BTreeMap::new(),
        }
    }

    fn sent(&self, at: At, call: &Sent, write: Write<'_>) -> Result<(), String> {
        let says_zero = || self.origins.wishes_of(call).iter().any(|wish| wish.count == Some(0));
        match write {
            Write::Other => Err(format!("{} is no call of ours", told(call))),
            Write::Update(_) if write.count() == Some(0) && !says_zero() => {
                self.may_go(call)?;
                let since = self.truth(call).and_then(|truth| truth.announced);
                if since.is_none_or(|since| since + self.settings.grace > at + LOOK_AGE_MAX) {
                    return Err(format!("{} comes before its time", told(call)));
                }
                Ok(())
            }
            Write::Delete => self.may_go(call),
            Write::Tag(_) if write.tag(TOMBSTONE).is_some() => {
                let is_asked = self.asks.for_call(call, |command| *command == Command::Prune);
                let is_new = self.truth(call).is_none_or(|truth| !truth.has_tombstone);
                if !is_asked && is_new {
                    self.may_go(call)?;
                    self.is_one_of_few(at, call)?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn truth(&self, call: &Sent) -> Option<&Truth> {
        self.services.get(call.about.as_ref()?)
    }

    fn may_go(&self, call: &Sent) -> Result<(), String> {
        let shown = self.passes.shown(call).map(|shown| &*shown.tags);
        let has = |key: &str| shown.is_some_and(|tags| tags.contains_key(key));
        let named = self.named.get(&call.by);
        let why = if !self.origins.wishes_of(call).is_empty() {
            "a manifest names it"
        } else if self.incomplete.contains(&call.by) {
            "not all manifests are known"
        } else if named.is_none_or(BTreeSet::is_empty) {
            "there is no manifest at all"
        } else if has(PRUNE) {
            "its manifest said that it stays"
        } else if !has(OWNER) {
            "it is not ours"
        } else {
            return Ok(());
        };
        Err(format!("{} although {why}", told(call)))
    }

    /// Of the services in the grant, few may lose their manifests before none goes any more, and few go at once.
    fn is_one_of_few(&self, at: At, call: &Sent) -> Result<(), String> {
        let named =
            |key: &ServiceKey| self.named.get(&call.by).is_some_and(|all| all.contains(key));
        let ours = || {
            let fits = |key: &ServiceKey| {
                let fits = |patterns: &[evenkeel_manifest::Pattern], name: &str| {
                    patterns.iter().any(|one| one.fits(name))
                };
                fits(&self.settings.clusters, &key.cluster)
                    && fits(&self.settings.services, &key.name)
            };
            self.services.iter().filter(move |(key, truth)| truth.is_ours && fits(key))
        };
        let going = ours().filter(|(key, truth)| truth.has_tombstone && !named(key)).count();
        if going >= self.settings.services_max {
            return Err(format!("{}: {going} go already", told(call)));
        }
        let lost = ours().filter(|(key, truth)| {
            let is_known = truth.lost.is_some_and(|since| since + SEEN_WITHIN <= at);
            !named(key) && !truth.has_tombstone && !self.moved.contains(key) && is_known
        });
        let (lost, all) = (lost.count(), ours().count());
        let most = (all * self.settings.percent_max / 100).max(1);
        if lost > most {
            return Err(format!("{}: {lost} of {all} have lost their manifests", told(call)));
        }
        Ok(())
    }

    fn carried_out(&mut self, at: At, call: &Sent) -> Result<(), String> {
        let is_tombstone = Write::of(call).is_some_and(|write| write.tag(TOMBSTONE).is_some());
        if is_tombstone && self.origins.is_late(call, at) {
            let sent_at = self.origins.sent_at(call);
            let truth = call.about.as_ref().and_then(|key| self.services.get_mut(key));
            if let Some(truth) = truth.filter(|truth| !truth.has_tombstone) {
                truth.announced = sent_at;
            }
        }
        if !matches!(Write::of(call), Some(Write::Delete)) {
            return Ok(());
        }
        let since = self.truth(call).and_then(|truth| truth.at_zero);
        if since.is_none_or(|since| since + DAY > at) {
            return Err(format!("{}: it had tasks within a day", told(call)));
        }
        Ok(())
    }

    fn changed(&mut self, at: At, facts: &ServiceFacts) {
        let key = ServiceKey::new(&*facts.cluster, &*facts.name);
        let truth = self.services.entry(key).or_default();
        if facts.life == crate::Life::Inactive {
            *truth = Truth::default();
            return;
        }
        truth.is_ours = facts.tags.get(OWNER).is_some_and(|owner| owner.starts_with("v1:"));
        truth.has_tombstone = facts.tags.contains_key(TOMBSTONE);
        truth.announced = truth.announced.or(Some(at)).filter(|_| truth.has_tombstone);
        let runs = facts.tasks.iter().any(|task| task.wanted || task.state == "RUNNING");
        truth.has_tasks = facts.desired > 0 || runs;
        truth.at_zero = truth.at_zero.or(Some(at)).filter(|_| !truth.has_tasks);
        truth.lost = truth.lost.or(Some(at));
    }

    fn wanted(
        &mut self,
        at: At,
        by: Replica,
        key: &ServiceKey,
        service: Option<&evenkeel_manifest::Service>,
    ) {
        let named = self.named.entry(by).or_default();
        if let Some(service) = service {
            named.insert(key.clone());
            self.moved.extend(service.moved_from());
        } else {
            named.remove(key);
        }
        if let Some(truth) = self.services.get_mut(key) {
            truth.lost = Some(at);
        }
    }
}

impl Property for Pruning {
    fn name(&self) -> &'static str {
        "S15-S17 pruning"
    }

    fn check(&mut self, at: At, event: &Event<'_>) -> Result<(), String> {
        self.origins.note(at, event);
        self.asks.note(at, event);
        let said = match event {
            Event::Sent(call) => Write::of(call).map_or(Ok(()), |write| self.sent(at, call, write)),
            Event::CarriedOut { call, reply: Ok(_) } => self.carried_out(at, call),
            _ => Ok(()),
        };
        match event {
            Event::Started(by) => {
                self.named.remove(by);
                self.incomplete.remove(by);
            }
            Event::Wanted { by, key, service } => self.wanted(at, *by, key, *service),
            Event::Incomplete { by, is: true } => {
                self.incomplete.insert(*by);
            }
            Event::Incomplete { by, is: false } => {
                self.incomplete.remove(by);
            }
            Event::Changed(facts) => self.changed(at, facts),
            _ => {}
        }
        self.passes.note(at, event);
        said
    }
}

/// The tag that a write sets or removes and that only pruning has.
pub(super) fn is_own(key: &str) -> bool {
    [TOMBSTONE, PRUNE].contains(&key)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::super::course::{Course, FIRST, manifest, tagging, update};
    use super::*;

    const MARK: &str = "v1:announced:1:4";

    fn settings() -> PruneSettings {
        let all = || vec![evenkeel_manifest::Pattern::of_names("*").unwrap()];
        PruneSettings {
            clusters: all(),
            services: all(),
            grace: Duration::from_mins(15),
            keep: DAY,
            percent_max: 10,
            services_max: 5,
        }
    }

    /// A service that no manifest names, beside one that has one.
    fn orphan() -> Course<Pruning> {
        let mut course = Course::of(Pruning::of(settings()));
        let (key, service) = (ServiceKey::new("main", "other"), manifest("1"));
        course.tell(&Event::Wanted { by: FIRST, key: &key, service: Some(&service) });
        course.wants(FIRST, None);
        course.pause(3600 * 2);
        course
    }

    fn comes_to_zero(course: &mut Course<Pruning>) {
        course.happens(|facts, _| {
            facts.desired = 0;
            facts.tasks.clear();
        });
    }

    #[test]
    fn what_is_announced_scaled_in_and_deleted_in_time_may_go() {
        let mut course = orphan();
        course.pass("TagResource", tagging(&[(TOMBSTONE, MARK)]));
        course.tags(TOMBSTONE, MARK);
        course.pause(15 * 60);
        course.pass("UpdateService", update(&json!({"desiredCount": 0})));
        comes_to_zero(&mut course);
        course.pause(24 * 3600);
        course.pass("DeleteService", update(&json!({})));
        course.passes();
    }

    #[test]
    fn a_delete_of_what_had_tasks_within_a_day_is_found() {
        let mut course = orphan();
        course.tags(TOMBSTONE, "v1:scaled-in:1:4");
        comes_to_zero(&mut course);
        course.pause(23 * 3600);
        course.pass("DeleteService", update(&json!({})));
        course.breaks("within a day");
    }

    #[test]
    fn a_tombstone_that_aws_was_late_to_write_counts_from_when_it_was_sent() {
        for (after, is_found) in [(14, false), (13, true)] {
            let mut course = orphan();
            course.looks(FIRST);
            let call = course.write(FIRST, "TagResource", tagging(&[(TOMBSTONE, MARK)]));
            course.sent(&call);
            course.pause(60);
            course.carried_out(&call, &json!({}));
            course.tags(TOMBSTONE, MARK);
            course.pause(after * 60);
            course.pass("UpdateService", update(&json!({"desiredCount": 0})));
            if is_found { course.breaks("before its time") } else { course.passes() }
        }
    }

    #[test]
    fn a_scale_in_without_a_tombstone_of_age_is_found() {
        let mut course = orphan();
        course.tags(TOMBSTONE, MARK);
        course.pause(14 * 60);
        course.pass("UpdateService", update(&json!({"desiredCount": 0})));
        course.breaks("before its time");
    }

    #[test]
    fn a_tombstone_for_what_a_manifest_names_or_in_ignorance_is_found() {
        let mark = || tagging(&[(TOMBSTONE, MARK)]);
        let mut course = Course::of(Pruning::of(settings()));
        course.pass("TagResource", mark());
        course.breaks("a manifest names it");
        let mut course = orphan();
        course.tell(&Event::Incomplete { by: FIRST, is: true });
        course.pass("TagResource", mark());
        course.breaks("not all manifests are known");
        let mut course = orphan();
        course.tags(PRUNE, "v1:disabled");
        course.pass("TagResource", mark());
        course.breaks("said that it stays");
    }

    #[test]
    fn more_than_few_that_have_lost_their_manifests_is_found() {
        let mut course = orphan();
        let lost = ServiceFacts { name: "lost".to_owned(), ..course.truth.clone() };
        course.tell(&Event::Changed(&Arc::new(lost)));
        course.pause(3600 * 2);
        course.pass("TagResource", tagging(&[(TOMBSTONE, MARK)]));
        course.breaks("have lost their manifests");
    }
}
