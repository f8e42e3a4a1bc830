//! S29: nothing is written that changes nothing, and nothing at all where all is settled.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use evenkeel_manifest::ServiceKey;
use serde_json::Value;

use super::super::event::At;
use super::super::{Event, Property, Replica, Sent};
use super::call::{self, Write, named};
use super::definitions::Definitions;
use super::memory::{PROVEN, ROLLOUT, Tags, applied, rejects};
use super::ordering::told;
use super::origins::Origins;
use super::passes::Passes;
use super::wishes::Wish;
use crate::{DeploymentCourse, ServiceFacts};

/// S29: what is as it should be is not written to: no tag that is there already, no update twice, and
/// nothing at all after a service has been settled for some sweeps of a daemon that lives and is not frozen.
#[derive(Debug, Default)]
pub(super) struct NoNeedlessWrites {
    origins: Origins,
    definitions: Definitions,
    passes: Passes,
    services: BTreeMap<ServiceKey, Rest>,
    awake: Awake,
}

/// Which daemons live, and until when they are frozen.
#[derive(Debug, Default)]
struct Awake {
    living: BTreeMap<Replica, Option<At>>,
    /// Since when nobody sees what is left to do.
    nobody_since: Option<At>,
}

impl Awake {
    /// The time in which nobody was, when it is over.
    fn note(&mut self, at: At, event: &Event<'_>) -> Option<(At, At)> {
        match event {
            Event::Started(replica) => _ = self.living.insert(*replica, None),
            Event::Ended(replica) => _ = self.living.remove(replica),
            Event::Frozen { by, until } => {
                if let Some(before) = self.living.get_mut(by) {
                    *before = (*before).max(Some(*until));
                }
            }
            _ => {}
        }
        if self.living.values().any(|until| until.is_none_or(|until| until <= at)) {
            return self.nobody_since.take().map(|since| (since, at));
        }
        self.nobody_since.get_or_insert(at);
        None
    }
}

/// Two sweeps, and time for what follows them.
const SETTLES_WITHIN: Duration = Duration::from_mins(12);

/// So often somebody edits a service until what is healed of it waits for longer than between two sweeps.
const EDITS: u32 = 4;

/// What is changed back again and again is left alone for this long.
const LEFT_ALONE: Duration = Duration::from_hours(1);

#[derive(Debug, Default)]
struct Rest {
    settled_since: Option<At>,
    /// The last update that was carried out, with nothing of anybody's after it.
    update: Option<(Value, At)>,
    /// The deployment that ECS gave up last.
    given_up: Option<u64>,
    wishes: Vec<Arc<Wish>>,
    /// Somebody changed rules that a daemon puts back, and none did since.
    is_routed: bool,
    /// How often somebody edited it since what is wanted of it changed.
    edits: u32,
}

impl Rest {
    fn settles_within(&self) -> Duration {
        if self.edits < EDITS { SETTLES_WITHIN } else { SETTLES_WITHIN + LEFT_ALONE }
    }

    /// What nobody could see does not make it settled.
    fn sleeps_over(&mut self, from: At, to: At) {
        let later = |since: At| if since < from { since + from.duration_until(to) } else { to };
        self.settled_since = self.settled_since.map(later);
    }

    /// What ECS has given up may be asked for once more.
    fn note_given_up(&mut self, facts: &ServiceFacts) {
        let failed = facts.deployments.iter().filter(|one| one.course == DeploymentCourse::Failed);
        let Some(newest) = failed.max_by_key(|one| one.created_at) else { return };
        if self.given_up.replace(newest.id) != Some(newest.id) {
            self.update = None;
        }
    }

    /// Whether Evenkeel itself moves its traffic.
    fn is_stepped(&self) -> bool {
        self.wishes.iter().any(|wish| !wish.steps.is_empty())
    }
}

impl Property for NoNeedlessWrites {
    fn name(&self) -> &'static str {
        "S29 write minimality"
    }

    fn check(&mut self, at: At, event: &Event<'_>) -> Result<(), String> {
        self.origins.note(at, event);
        self.definitions.note(event);
        let said = match event {
            Event::Sent(call) => Write::of(call).map_or(Ok(()), |write| self.sent(call, write)),
            _ => Ok(()),
        };
        self.passes.note(at, event);
        if let Some((from, to)) = self.awake.note(at, event) {
            self.services.values_mut().for_each(|rest| rest.sleeps_over(from, to));
        }
        self.note(at, event);
        said
    }
}

impl NoNeedlessWrites {
    fn note(&mut self, at: At, event: &Event<'_>) {
        match event {
            Event::CarriedOut { call, reply: Ok(_) } => {
                if let (Some(Write::Update(input)), Some(key)) = (Write::of(call), &call.about) {
                    let rest = self.services.entry(key.clone()).or_default();
                    rest.update = Some((input.clone(), at));
                }
                if let (Some(Write::Weigh), Some(key)) = (Write::of(call), &call.about) {
                    self.services.entry(key.clone()).or_default().is_routed = false;
                }
            }
            Event::Answered { call, answer: Err(_), .. } if Write::of(call).is_some() => {
                self.stir(call.about.as_ref());
            }
            // Whose rules they are is not told.
            Event::Edited { operation: "ModifyListener", .. } => {
                let stepped = self.services.values_mut().filter(|rest| rest.is_stepped());
                for rest in stepped {
                    (rest.settled_since, rest.is_routed) = (None, true);
                }
            }
            Event::Edited { input, .. } => {
                let key = named(input);
                self.stir(key.as_ref());
                if let Some(rest) = key.and_then(|key| self.services.get_mut(&key)) {
                    rest.edits += 1;
                }
            }
            Event::Asked { key, .. } | Event::Heard { key, .. } => self.stir(Some(*key)),
            Event::Wanted { key, .. } => {
                let now: Vec<Arc<Wish>> = self.origins.wishes().of_service(key).cloned().collect();
                let rest = self.services.entry((*key).clone()).or_default();
                let same = |one: &Arc<Wish>| rest.wishes.iter().any(|was| was.is_same(one));
                if now.is_empty() || !now.iter().all(same) {
                    (rest.settled_since, rest.update, rest.edits) = (None, None, 0);
                }
                rest.wishes = now;
            }
            Event::Changed(facts) => {
                let key = ServiceKey::new(&*facts.cluster, &*facts.name);
                let rest = self.services.entry(key).or_default();
                let since = rest.settled_since.unwrap_or(at);
                let is_settled = is_settled(facts, &rest.wishes, &self.definitions);
                rest.settled_since = (is_settled && !rest.is_routed).then_some(since);
                rest.note_given_up(facts);
            }
            _ => {}
        }
    }

    fn stir(&mut self, key: Option<&ServiceKey>) {
        if let Some(rest) = key.and_then(|key| self.services.get_mut(key)) {
            (rest.settled_since, rest.update) = (None, None);
        }
    }

    fn sent(&self, call: &Sent, write: Write<'_>) -> Result<(), String> {
        let Some(pass) = self.passes.of(call).filter(|pass| !pass.is_stale) else { return Ok(()) };
        let Some(look) = &pass.look else { return Ok(()) };
        let shown = look.service.as_ref().map(|shown| &shown.tags);
        if shown.is_some_and(|shown| changes_no_tag(write, shown)) {
            return Err(format!("{} changes nothing", told(call)));
        }
        let rest = call.about.as_ref().and_then(|key| self.services.get(key));
        let Some(rest) = rest else { return Ok(()) };
        let repeats = |(input, done): &(Value, At)| *input == call.input && *done < look.at;
        if matches!(write, Write::Update(_)) && rest.update.as_ref().is_some_and(repeats) {
            return Err(format!("{} says what was said and was carried out", told(call)));
        }
        match rest.settled_since {
            Some(since) if since + rest.settles_within() < pass.began => {
                Err(format!("{} although all has been settled since {since}", told(call)))
            }
            _ => Ok(()),
        }
    }
}

/// Nothing moves, and what all daemons want runs and is proven, or is rejected.
fn is_settled(facts: &ServiceFacts, wishes: &[Arc<Wish>], definitions: &Definitions) -> bool {
    let done = |wish: &Arc<Wish>| {
        let runs = |arn: &str| definitions.is(arn, &wish.definition);
        let proven = applied(&facts.tags, &wish.revision)
            && facts.tags.contains_key(PROVEN)
            && facts.primary().is_some_and(|primary| runs(&primary.definition));
        proven || rejects(&facts.tags, &wish.revision)
    };
    !wishes.is_empty()
        && facts.is_steady()
        && !facts.tags.contains_key(ROLLOUT)
        && wishes.iter().all(done)
}

fn changes_no_tag(write: Write<'_>, shown: &Tags) -> bool {
    match write {
        Write::Tag(input) => call::tags(input)
            .all(|(key, value)| shown.get(key).is_some_and(|before| before == value)),
        Write::Untag(input) => {
            let keys = input.get("tagKeys").and_then(Value::as_array).into_iter().flatten();
            let mut keys = keys.filter_map(Value::as_str);
            keys.all(|key| !shown.contains_key(key))
        }
        Write::Register(_)
        | Write::Create(_)
        | Write::Update(_)
        | Write::Stop
        | Write::Open
        | Write::CreateSet(_)
        | Write::Set
        | Write::Deploy(_)
        | Write::Weigh
        | Write::Delete
        | Write::Other => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::course::{
        Course, FIRST, SECOND, manifest, manifest_with, mark, start, stepped, tagging, untagging,
        update, verdict,
    };
    use super::super::memory::{OWNER, REJECTED};
    use super::*;

    fn count(number: u64) -> Value {
        update(&json!({"desiredCount": number}))
    }

    fn course() -> Course<NoNeedlessWrites> {
        Course::of(NoNeedlessWrites::default())
    }

    #[test]
    fn a_service_is_written_to_for_a_reason() {
        let mut course = course();
        course.pass("UpdateService", count(4));
        course.pass("UpdateService", count(3));
        course.pass("UpdateService", count(4));
        course.person("UpdateService", &count(3));
        course.pass("UpdateService", count(4));
        course.pause(3600);
        course.wants(FIRST, Some(&manifest("2")));
        course.pause(1);
        course.pass("TagResource", tagging(&[(ROLLOUT, &mark(&manifest("2"), "-", "probe"))]));
        course.passes();
    }

    #[test]
    fn an_update_that_was_carried_out_and_could_be_seen_is_not_sent_again() {
        let mut course = course();
        course.pass("UpdateService", count(4));
        course.pause(1);
        course.pass("UpdateService", count(4));
        course.breaks("says what was said");
    }

    #[test]
    fn while_all_daemons_are_dead_or_frozen_nothing_settles() {
        let (hour, writes) = (Duration::from_hours(1), count(4));
        for (sleeps, second_is_up, broken) in
            [(true, false, false), (true, true, true), (false, false, true)]
        {
            let mut course = course();
            course.happens(|_, _| {});
            if second_is_up {
                course.tell(&Event::Started(SECOND));
            }
            let until = start() + hour;
            if sleeps {
                course.tell(&Event::Frozen { by: FIRST, until });
            }
            course.pause(3600);
            course.pass("UpdateService", writes.clone());
            if broken { course.breaks("has been settled") } else { course.passes() }
        }
    }

    #[test]
    fn what_ecs_has_given_up_is_asked_for_once_more_and_not_twice() {
        let forced = || update(&json!({"forceNewDeployment": true}));
        let mut course = course();
        course.pass("UpdateService", forced());
        course.happens(|facts, _| facts.deployments[0].course = DeploymentCourse::Failed);
        course.pass("UpdateService", forced());
        course.holds();
        course.pause(1);
        course.pass("UpdateService", forced());
        course.breaks("says what was said");
    }

    #[test]
    fn who_is_shown_the_past_cannot_know() {
        let mut course = course();
        course.pass("UpdateService", count(4));
        course.pause(1);
        let reply = course.described();
        course.sees(FIRST, &reply, true);
        course.writes("UpdateService", count(4));
        course.passes();
    }

    #[test]
    fn tags_that_are_there_are_not_set_and_those_that_are_not_are_not_removed() {
        let owner = || tagging(&[(OWNER, "v1:evenkeel:web.yaml")]);
        for (operation, input) in [("TagResource", owner()), ("UntagResource", untagging(ROLLOUT))]
        {
            let mut course = course();
            course.pass(operation, input);
            course.breaks("changes nothing");
        }
    }

    #[test]
    fn a_service_that_has_been_settled_for_long_is_left_alone_by_a_restarted_daemon_too() {
        for rejected in [false, true] {
            let mut course = course();
            if rejected {
                course.wants(FIRST, Some(&manifest("2")));
                course.tags(REJECTED, &verdict(&manifest("2")));
            }
            course.happens(|_, _| {});
            course.pause(800);
            course.tell(&Event::Ended(FIRST));
            course.tell(&Event::Started(SECOND));
            course.wants(SECOND, Some(&manifest(if rejected { "2" } else { "1" })));
            course.pause(1);
            course.looks(SECOND);
            let call = course.write(SECOND, "UpdateService", count(4));
            course.sent(&call);
            course.breaks("has been settled");
        }
    }

    #[test]
    fn weights_that_somebody_changed_are_put_back_and_then_all_is_settled_again() {
        let mut course = course();
        course.wants(FIRST, Some(&stepped("1")));
        course.happens(|_, _| {});
        course.pause(1600);
        course.person("ModifyListener", &json!({"ListenerArn": "shop"}));
        course.happens(|_, _| {});
        course.pause(1600);
        course.pass("ModifyListener", json!({"ListenerArn": "shop"}));
        course.happens(|_, _| {});
        course.pause(1600);
        course.pass("ModifyListener", json!({"ListenerArn": "shop"}));
        course.breaks("has been settled");
    }

    #[test]
    fn rules_that_somebody_changed_excuse_no_write_to_a_service_whose_traffic_ecs_moves() {
        let mut course = course();
        course.happens(|_, _| {});
        course.pause(1600);
        course.person("ModifyListener", &json!({"ListenerArn": "shop"}));
        course.happens(|_, _| {});
        course.pass("UpdateService", count(4));
        course.breaks("has been settled");
    }

    #[test]
    fn what_somebody_edits_again_and_again_may_be_healed_an_hour_later_and_no_later() {
        for (pause, is_late) in [(4200, false), (4400, true)] {
            let mut course = course();
            for _ in 0..EDITS {
                course.person("UpdateService", &count(9));
                course.pause(60);
            }
            course.happens(|_, _| {});
            course.pause(pause);
            course.pass("UpdateService", count(4));
            if is_late { course.breaks("has been settled") } else { course.passes() }
        }
    }

    #[test]
    fn soon_after_all_is_settled_the_rest_is_healed() {
        let mut course = course();
        course.happens(|_, _| {});
        course.pause(60);
        course.pass("UpdateService", count(4));
        course.pause(800);
        course.wants(FIRST, Some(&manifest_with("1", "    desiredCount: 5\n", "")));
        course.pause(1);
        course.pass("UpdateService", count(5));
        course.passes();
    }
}
