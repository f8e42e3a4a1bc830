//! L9: no field goes to and fro.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use evenkeel_manifest::ServiceKey;
use serde_json::Value;

use super::super::event::At;
use super::super::{Event, Property, Sent};
use super::call::{Write, named, starts_a_deployment};
use super::memory::{Mark, REJECTED, ROLLOUT};
use super::ordering::told;
use super::origins::Origins;
use super::passes::Passes;
use super::wishes::Wish;

/// L9: without a new wish, a person's command, a verdict on other content or somebody else's hand, daemons change no field
/// of a service more than twice an hour, or than twice for each try of a rollout that is postponed ten minutes at least. What was
/// written because of an answer from the past, overtaken by such a wish or hand, or carried out long after it was given up, is no
/// wish of theirs.
#[derive(Debug, Default)]
pub(super) struct NoOscillation {
    origins: Origins,
    passes: Passes,
    fields: BTreeMap<ServiceKey, BTreeMap<String, Changes>>,
    wishes: BTreeMap<ServiceKey, Vec<Arc<Wish>>>,
    /// Calls that were sent on an answer from the past, or from before somebody else's hand.
    misled: BTreeSet<u64>,
    edited: BTreeMap<ServiceKey, At>,
    /// When something else was last wished for.
    wished: BTreeMap<ServiceKey, At>,
    /// When the writes that are on their way were sent.
    sent: BTreeMap<u64, At>,
    /// Services in which somebody else began a deployment that no daemon has answered yet, which they do
    /// after up to an hour.
    replaced: BTreeSet<ServiceKey>,
    /// The content that was rejected last: the way back from it is one for each.
    rejected: BTreeMap<ServiceKey, String>,
    /// When the rollout was last postponed, which is begun again after ten minutes.
    postponed: BTreeMap<ServiceKey, At>,
}

#[derive(Debug, Default)]
struct Changes {
    value: Value,
    at: VecDeque<At>,
}

const HOUR: Duration = Duration::from_hours(1);
const CHANGES: usize = 2;

/// How long a rollout that ECS's breaker ended for no fault of its revision is left alone.
const TRIED_AGAIN_AFTER: Duration = Duration::from_mins(10);

impl Property for NoOscillation {
    fn name(&self) -> &'static str {
        "L9 no oscillation"
    }

    fn check(&mut self, at: At, event: &Event<'_>) -> Result<(), String> {
        self.origins.note(at, event);
        self.passes.note(at, event);
        match event {
            Event::Sent(call) if Write::of(call).is_some() => {
                let edited = call.about.as_ref().and_then(|key| self.edited.get(key)).copied();
                let is_misled = self.passes.of(call).is_some_and(|pass| {
                    pass.is_stale || pass.look.as_ref().map(|look| look.at) < edited
                });
                if is_misled {
                    self.misled.insert(call.number);
                }
                self.sent.insert(call.number, at);
                Ok(())
            }
            Event::CarriedOut { call, reply: Ok(_) } => {
                self.rejected(call);
                self.postponed(at, call);
                self.carried_out(at, call)
            }
            Event::Edited { input, .. } => {
                if let Some(key) = named(input) {
                    self.fields.remove(&key);
                    self.edited.insert(key.clone(), at);
                    if starts_a_deployment(input) {
                        self.replaced.insert(key);
                    }
                }
                Ok(())
            }
            Event::Wanted { key, .. } => {
                self.wanted(at, key);
                Ok(())
            }
            Event::Asked { key, .. } | Event::Heard { key, .. } => {
                self.fields.remove(*key);
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

impl NoOscillation {
    fn wanted(&mut self, at: At, key: &ServiceKey) {
        let now: Vec<Arc<Wish>> = self.origins.wishes().of_service(key).cloned().collect();
        let before = self.wishes.entry(key.clone()).or_default();
        let same = |one: &Arc<Wish>| before.iter().any(|was| was.is_same(one));
        // That nothing is wanted any more is a wish, too: what a grant allows to prune is scaled in.
        let is_given_up = now.is_empty() && !before.is_empty();
        if is_given_up || !now.iter().all(same) {
            self.fields.remove(key);
            self.wished.insert(key.clone(), at);
        }
        *before = now;
    }

    fn rejected(&mut self, call: &Sent) {
        let content = Write::of(call)
            .and_then(|write| write.tag(REJECTED))
            .and_then(|verdict| verdict.split(':').nth(2));
        let (Some(content), Some(key)) = (content, &call.about) else { return };
        let before = self.rejected.insert(key.clone(), content.to_owned());
        if before.as_deref() != Some(content) {
            self.fields.remove(key);
        }
    }

    fn postponed(&mut self, at: At, call: &Sent) {
        let mark = Write::of(call).and_then(|write| Mark::read(write.tag(ROLLOUT)?));
        let is_postponed = mark.is_some_and(|mark| mark.phase == "postpone");
        let Some(key) = call.about.as_ref().filter(|_| is_postponed) else { return };
        let before = self.postponed.insert(key.clone(), at);
        if before.is_none_or(|before| before + TRIED_AGAIN_AFTER <= at) {
            self.fields.remove(key);
        }
    }

    fn carried_out(&mut self, at: At, call: &Sent) -> Result<(), String> {
        let (Some(Write::Update(input)), Some(key)) = (Write::of(call), &call.about) else {
            return Ok(());
        };
        let edited = self.edited.get(key).copied();
        let overtaker = edited.max(self.wished.get(key).copied());
        let is_overtaken = self.sent.remove(&call.number) < overtaker;
        let is_late = self.origins.is_late(call, at);
        if is_late && starts_a_deployment(input) {
            self.replaced.insert(key.clone());
        }
        if self.misled.remove(&call.number) || is_overtaken || is_late {
            self.fields.remove(key);
            return Ok(());
        }
        if starts_a_deployment(input) && self.replaced.remove(key) {
            self.fields.remove(key);
        }
        let fields = self.fields.entry(key.clone()).or_default();
        for (name, value) in members(input) {
            let field = fields.entry(name.clone()).or_default();
            if field.value == *value {
                continue;
            }
            field.value = value.clone();
            field.at.push_back(at);
            field.at.retain(|before| *before + HOUR >= at);
            if field.at.len() > CHANGES {
                let number = field.at.len();
                return Err(format!("{} changes {name} the {number}. time in an hour", told(call)));
            }
        }
        Ok(())
    }
}

/// The fields of an update, those of `deploymentConfiguration` each for itself.
fn members(input: &Value) -> Vec<(String, &Value)> {
    let mut members = Vec::new();
    for (name, value) in input.as_object().into_iter().flatten() {
        match (name.as_str(), value) {
            ("cluster" | "service" | "forceNewDeployment", _) => {}
            ("deploymentConfiguration", Value::Object(parts)) => {
                members.extend(parts.iter().map(|(part, value)| (format!("{name}.{part}"), value)));
            }
            _ => members.push((name.clone(), value)),
        }
    }
    members
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::course::{Course, FIRST, manifest, mark, tagging, update};
    use super::*;

    fn surge(percent: u64) -> Value {
        update(&json!({"deploymentConfiguration": {"maximumPercent": percent}}))
    }

    fn course() -> Course<NoOscillation> {
        let mut course = Course::of(NoOscillation::default());
        course.wants(FIRST, Some(&manifest("2")));
        course.pause(1);
        course.pass("UpdateService", surge(125));
        course.pause(60);
        course.pass("UpdateService", surge(200));
        course.pause(60);
        course
    }

    #[test]
    fn there_and_back_is_once_an_hour() {
        let mut course = course();
        course.pass("UpdateService", surge(200));
        course.pass("UpdateService", update(&json!({"desiredCount": 4})));
        course.pause(3600);
        course.pass("UpdateService", surge(125));
        course.passes();
    }

    #[test]
    fn to_and_fro_is_found() {
        let mut course = course();
        course.pass("UpdateService", surge(125));
        course.breaks("maximumPercent the 3. time");
    }

    #[test]
    fn the_way_back_from_other_content_begins_anew_and_from_the_same_it_does_not() {
        let rejects = |content: &str| tagging(&[(REJECTED, &format!("v1:v1:{content}:7:Crashes"))]);
        for (then, broken) in [("b", false), ("a", true)] {
            let mut course = Course::of(NoOscillation::default());
            course.pass("TagResource", rejects("a"));
            course.pass("UpdateService", surge(125));
            course.pass("UpdateService", surge(200));
            course.pass("TagResource", rejects(then));
            course.pass("UpdateService", surge(125));
            if broken { course.breaks("the 3. time") } else { course.passes() }
        }
    }

    #[test]
    fn a_postponed_rollout_that_is_begun_again_begins_anew_and_at_once_it_does_not() {
        for (after, broken) in [(600, false), (300, true)] {
            let mut course = Course::of(NoOscillation::default());
            for _ in 0..3 {
                course.pass("UpdateService", surge(125));
                course.pass("UpdateService", surge(200));
                let postponed = mark(&manifest("2"), "ecs-svc/2", "postpone");
                course.pass("TagResource", tagging(&[(ROLLOUT, &postponed)]));
                course.pause(after);
            }
            if broken { course.breaks("the 3. time") } else { course.passes() }
        }
    }

    #[test]
    fn a_new_wish_and_somebody_s_hand_begin_anew_and_a_restart_does_not() {
        let mut wished = course();
        wished.wants(FIRST, Some(&manifest("3")));
        wished.pause(1);
        wished.pass("UpdateService", surge(125));
        wished.passes();
        let mut edited = course();
        edited.person("UpdateService", &surge(150));
        edited.pass("UpdateService", surge(125));
        edited.passes();
        let mut restarted = course();
        restarted.tell(&Event::Ended(FIRST));
        restarted.tell(&Event::Started(FIRST));
        restarted.wants(FIRST, Some(&manifest("2")));
        restarted.pause(1);
        restarted.pass("UpdateService", surge(125));
        restarted.breaks("the 3. time");
    }

    #[test]
    fn that_nothing_is_wanted_any_more_begins_anew_once() {
        for (last, broken) in [(150, false), (200, true)] {
            let mut course = course();
            course.wants(FIRST, None);
            course.pause(1);
            course.pass("UpdateService", surge(125));
            course.wants(FIRST, None);
            course.pause(1);
            course.pass("UpdateService", surge(150));
            course.pass("UpdateService", surge(last));
            if broken { course.breaks("the 3. time") } else { course.passes() }
        }
    }

    #[test]
    fn what_somebody_replaced_is_rolled_out_again_after_a_while_and_that_begins_anew() {
        for (replaced, broken) in [(true, false), (false, true)] {
            let mut course = Course::of(NoOscillation::default());
            let deploys = update(&json!({"taskDefinition": "web:3"}));
            course.person("UpdateService", if replaced { &deploys } else { &deploys["cluster"] });
            course.pass("UpdateService", surge(200));
            course.pause(2400);
            let mut again = surge(125);
            again["taskDefinition"] = json!("web:2");
            course.pass("UpdateService", again);
            course.pause(60);
            course.pass("UpdateService", surge(200));
            if broken { course.breaks("the 3. time") } else { course.passes() }
        }
    }

    #[test]
    fn who_is_misled_by_the_past_is_not_to_blame() {
        let mut course = course();
        let reply = course.described();
        course.sees(FIRST, &reply, true);
        course.writes("UpdateService", surge(125));
        course.pass("UpdateService", surge(200));
        course.passes();
    }

    #[test]
    fn what_a_new_wish_overtakes_on_its_way_is_no_change_of_it() {
        let mut course = Course::of(NoOscillation::default());
        course.looks(FIRST);
        let call = course.write(FIRST, "UpdateService", surge(125));
        course.sent(&call);
        course.pause(1);
        course.wants(FIRST, Some(&manifest("2")));
        let reply = course.updated();
        course.carried_out(&call, &reply);
        course.answered(&call, &reply);
        course.pass("UpdateService", surge(150));
        course.pass("UpdateService", surge(200));
        course.passes();
    }

    #[test]
    fn what_somebody_s_hand_overtakes_on_its_way_begins_anew() {
        for overtaken in [true, false] {
            let mut course = Course::of(NoOscillation::default());
            course.looks(FIRST);
            let call = course.write(FIRST, "UpdateService", surge(125));
            course.sent(&call);
            if overtaken {
                course.pause(1);
                course.person("UpdateService", &update(&json!({"desiredCount": 2})));
            }
            let reply = course.updated();
            course.carried_out(&call, &reply);
            course.answered(&call, &reply);
            course.pass("UpdateService", surge(150));
            course.pass("UpdateService", surge(200));
            if overtaken { course.passes() } else { course.breaks("the 3. time") }
        }
    }
}
