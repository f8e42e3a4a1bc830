//! S28 and S30: few tries of what fails, and few calls for what goes well.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use evenkeel_manifest::ServiceKey;
use evenkeel_reconciler::CloudError;
use serde_json::Value;

use super::super::event::At;
use super::super::{Event, Property, Replica, Sent};
use super::call::{Write, named};
use super::memory::ROLLOUT;
use super::ordering::told;
use super::origins::{Origin, Origins};
use crate::ServiceFacts;

/// S28: the same write about one service is not tried again and again. Back-off doubles from a second
/// to two minutes, each delay drawn between zero and that; what a person must mend is tried again after
/// minutes.
#[derive(Debug, Default)]
pub(super) struct RetryBudget {
    failures: BTreeMap<ServiceKey, BTreeMap<(Replica, String), VecDeque<At>>>,
}

const TRIES_WITHIN: Duration = Duration::from_mins(5);
/// On average eleven; the chance of this many is below one in ten millions.
const TRIES: usize = 40;
const TRIES_FOR_PEOPLE: usize = 6;

impl Property for RetryBudget {
    fn name(&self) -> &'static str {
        "S28 retry budget"
    }

    fn check(&mut self, at: At, event: &Event<'_>) -> Result<(), String> {
        match event {
            Event::Started(replica) | Event::Ended(replica) => {
                for failures in self.failures.values_mut() {
                    failures.retain(|(by, _), _| by != replica);
                }
                Ok(())
            }
            Event::Wanted { key, .. } | Event::Asked { key, .. } => {
                self.failures.remove(*key);
                Ok(())
            }
            Event::Answered { call, answer, .. } if Write::of(call).is_some() => {
                self.answered(at, call, answer.err())
            }
            _ => Ok(()),
        }
    }
}

impl RetryBudget {
    fn answered(&mut self, at: At, call: &Sent, error: Option<&CloudError>) -> Result<(), String> {
        let Some(key) = &call.about else { return Ok(()) };
        let failures = self.failures.entry(key.clone()).or_default();
        let which = (call.by, call.operation.clone());
        let Some(error) = error else {
            failures.remove(&which);
            return Ok(());
        };
        let failures = failures.entry(which).or_default();
        failures.retain(|before| *before + TRIES_WITHIN >= at);
        failures.push_back(at);
        let allowed = match error.class() {
            "rejected" | "denied" | "quota" => TRIES_FOR_PEOPLE,
            _ => TRIES,
        };
        if failures.len() <= allowed {
            return Ok(());
        }
        let number = failures.len();
        Err(format!("{} failed {number} times in {TRIES_WITHIN:?}: {error}", told(call)))
    }
}

/// S30: a rollout that nothing and nobody disturbs takes few writes and few looks.
#[derive(Debug, Default)]
pub(super) struct CallCap {
    origins: Origins,
    services: BTreeMap<ServiceKey, Spent>,
}

/// Identify, watch, widen, note it, prove, end it; or reject, return, end it; and the tags after it.
const WRITES: u64 = 10;
/// Looks before and after; one every three seconds and two for every write are added.
const PASSES: u64 = 20;
/// Pages, task definitions of the family, and parts of a hundred tasks.
const CALLS_A_PASS: u64 = 100;
/// A page of the list of stopped tasks, and a part of them that is described.
const CALLS_PER_HUNDRED_ENDED: u64 = 2;

#[derive(Debug, Default)]
struct Spent {
    primary: Option<u64>,
    /// When the rollout in flight began, if it is one of ours and nothing has disturbed it.
    began: Option<At>,
    writes: u64,
    /// What is once for nothing: the answer to a pause, a word that is taken away, a count that is set.
    beside: BTreeSet<String>,
    passes: BTreeSet<u64>,
    calls: u64,
    /// Tasks that ended, each of which may have been the one watched.
    ended: u64,
}

impl Property for CallCap {
    fn name(&self) -> &'static str {
        "S30 call cap"
    }

    fn check(&mut self, at: At, event: &Event<'_>) -> Result<(), String> {
        self.origins.note(at, event);
        match event {
            Event::Started(_) | Event::Ended(_) => {
                self.services.values_mut().for_each(|spent| spent.began = None);
            }
            Event::Answered { call, answer, is_stale } if answer.is_err() || *is_stale => {
                self.disturb(call.about.as_ref());
            }
            Event::CarriedOut { call, .. }
                if Write::of(call).is_some() && self.origins.is_late(call, at) =>
            {
                self.disturb(call.about.as_ref());
            }
            Event::Edited { input, .. } => self.disturb(named(input).as_ref()),
            Event::Asked { key, .. } => self.disturb(Some(*key)),
            Event::Wanted { key, .. } => self.disturb(Some(key)),
            Event::Changed(facts) => self.changed(at, facts),
            Event::Sent(call) => return self.sent(at, call),
            _ => {}
        }
        Ok(())
    }
}

impl Spent {
    /// Whether a write is none of the rollout's own, and the first of its kind.
    fn is_beside(&mut self, call: &Sent) -> bool {
        let what = match Write::of(call) {
            Some(Write::Untag(input)) => input.get("tagKeys").filter(|keys| !names(keys, ROLLOUT)),
            Some(Write::Update(input)) if sets_only_the_count(input) => input.get("desiredCount"),
            _ => call.input.get("hookId"),
        };
        what.is_some_and(|what| self.beside.insert(what.to_string()))
    }

    fn calls_a_pass(&self) -> u64 {
        CALLS_A_PASS + CALLS_PER_HUNDRED_ENDED * self.ended.div_ceil(100)
    }
}

fn names(keys: &Value, key: &str) -> bool {
    keys.as_array().is_some_and(|keys| keys.iter().any(|one| one == key))
}

fn sets_only_the_count(input: &Value) -> bool {
    let known = ["cluster", "service", "desiredCount"];
    input.as_object().is_some_and(|members| members.keys().all(|one| known.contains(&one.as_str())))
}

impl CallCap {
    fn disturb(&mut self, key: Option<&ServiceKey>) {
        if let Some(spent) = key.and_then(|key| self.services.get_mut(key)) {
            spent.began = None;
        }
    }

    fn changed(&mut self, at: At, facts: &ServiceFacts) {
        let key = ServiceKey::new(&*facts.cluster, &*facts.name);
        let primary = facts.primary().map(|one| one.id);
        let origin = primary.and_then(|id| self.origins.of(&key, id));
        let is_ours = matches!(origin, Some(Origin::Started(_)));
        let spent = self.services.entry(key).or_default();
        if spent.primary != primary {
            let began = is_ours.then_some(at);
            *spent = Spent { primary, began, ..Spent::default() };
        }
        if facts.is_steady() && !facts.tags.contains_key(ROLLOUT) {
            spent.began = None;
        }
        let of_it = facts.tasks.iter().filter(|one| Some(one.deployment) == primary);
        let ended = of_it.filter(|one| !one.lives()).count();
        spent.ended = spent.ended.max(u64::try_from(ended).unwrap_or(u64::MAX));
    }

    fn sent(&mut self, at: At, call: &Sent) -> Result<(), String> {
        let spent = call.about.as_ref().and_then(|key| self.services.get_mut(key));
        let Some(spent) = spent else { return Ok(()) };
        let Some(began) = spent.began else { return Ok(()) };
        let seconds = u64::try_from(at.duration_since(began).as_secs()).unwrap_or(0);
        spent.writes += u64::from(Write::of(call).is_some() && !spent.is_beside(call));
        spent.calls += 1;
        spent.passes.insert(call.pass);
        let passes = u64::try_from(spent.passes.len()).unwrap_or(u64::MAX);
        let what = if spent.writes > WRITES + 2 * spent.ended {
            format!("{} writes", spent.writes)
        } else if passes > PASSES + 2 * spent.writes + seconds / 3 {
            format!("{passes} passes")
        } else if spent.calls > passes * spent.calls_a_pass() {
            format!("{} calls in {passes} passes", spent.calls)
        } else {
            return Ok(());
        };
        Err(format!("{} makes it {what} in {seconds} s of one rollout", told(call)))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::course::{
        Course, FIRST, lost, manifest, pending, stop, tagging, throttled, update,
    };
    use super::super::memory::OWNER;
    use super::*;

    fn fails(course: &mut Course<RetryBudget>, times: u32, error: &CloudError) {
        for _ in 0..times {
            course.looks(FIRST);
            let call = course.write(FIRST, "UpdateService", update(&json!({"desiredCount": 4})));
            course.sent(&call);
            course.failed(&call, error);
            course.pause(1);
        }
    }

    fn denied() -> CloudError {
        let (operation, code) = ("UpdateService".to_owned(), "AccessDenied".to_owned());
        CloudError::Denied { operation, code, message: "no".to_owned() }
    }

    #[test]
    fn tries_that_are_few_or_in_between_go_well_are_right() {
        let mut course = Course::of(RetryBudget::default());
        fails(&mut course, 40, &throttled());
        course.pause(300);
        fails(&mut course, 20, &lost());
        course.writes("UpdateService", json!({}));
        fails(&mut course, 30, &throttled());
        course.wants(FIRST, Some(&manifest("2")));
        fails(&mut course, 6, &denied());
        course.passes();
    }

    #[test]
    fn a_loop_that_does_not_back_off_is_found() {
        let mut course = Course::of(RetryBudget::default());
        fails(&mut course, 41, &throttled());
        course.breaks("failed 41 times");
    }

    #[test]
    fn what_a_person_must_mend_is_not_tried_again_at_once() {
        let mut course = Course::of(RetryBudget::default());
        fails(&mut course, 7, &denied());
        course.breaks("failed 7 times");
    }

    fn rolled_out() -> Course<CallCap> {
        let mut course = Course::of(CallCap::default());
        course.wants(FIRST, Some(&manifest("2")));
        course.pause(1);
        course.tags("evenkeel:rollout", "v1:x");
        course.rolls_out(2);
        course
    }

    fn note(course: &mut Course<CallCap>, times: u32) {
        for _ in 0..times {
            course.pause(5);
            course.pass("TagResource", tagging(&[(OWNER, "v1:evenkeel:a")]));
        }
    }

    #[test]
    fn a_rollout_may_take_its_writes_and_one_with_trouble_more() {
        let mut course = rolled_out();
        note(&mut course, 10);
        course.happens(|facts, at| {
            facts.tasks.push(pending(200, 2));
            stop(facts.tasks.last_mut().unwrap(), at, "EssentialContainerExited", "no");
        });
        note(&mut course, 2);
        let look = course.call(FIRST, "ListTasks", json!({}));
        course.sent(&look);
        course.failed(&look, &throttled());
        note(&mut course, 9);
        course.passes();
    }

    #[test]
    fn a_rollout_that_writes_without_end_is_found() {
        let mut course = rolled_out();
        note(&mut course, 11);
        course.breaks("11 writes");
    }

    #[test]
    fn each_pause_has_one_answer_for_nothing() {
        for (pauses, broken) in [(20, false), (1, true)] {
            let mut course = rolled_out();
            for number in 0..20 {
                course.pause(5);
                let hook = format!("ecs-pause-{}", number % pauses);
                course.pass("ContinueServiceDeployment", json!({"hookId": hook}));
            }
            if broken { course.breaks("11 writes") } else { course.passes() }
        }
    }

    #[test]
    fn a_word_that_is_taken_away_and_a_count_are_once_for_nothing() {
        for (last, broken) in [(4, false), (3, true)] {
            let mut course = rolled_out();
            course.pass("UntagResource", json!({"tagKeys": ["evenkeel:promote"]}));
            course.pass("UpdateService", update(&json!({"desiredCount": 3})));
            note(&mut course, 10);
            course.pass("UpdateService", update(&json!({"desiredCount": last})));
            if broken { course.breaks("11 writes") } else { course.passes() }
        }
        let mut course = rolled_out();
        note(&mut course, 10);
        course.pass("UntagResource", json!({"tagKeys": [ROLLOUT]}));
        course.breaks("11 writes");
    }

    #[test]
    fn a_rollout_that_looks_without_end_is_found() {
        let mut course = rolled_out();
        for _ in 0..40 {
            course.looks(FIRST);
        }
        course.breaks("21 passes");
        let mut course = rolled_out();
        for _ in 0..201 {
            let call = course.call(FIRST, "DescribeTasks", json!({}));
            course.goes(&call, &json!({}));
        }
        course.breaks("calls in 1 passes");
    }

    #[test]
    fn each_hundred_tasks_that_ended_are_two_calls_more_of_a_look() {
        for (ended, is_found) in [(4000, false), (400, true)] {
            let mut course = rolled_out();
            course.happens(|facts, at| {
                for id in 0..ended {
                    facts.tasks.push(pending(200 + id, 2));
                    stop(facts.tasks.last_mut().unwrap(), at, "EssentialContainerExited", "no");
                }
            });
            for _ in 0..150 {
                let call = course.call(FIRST, "DescribeTasks", json!({}));
                course.goes(&call, &json!({}));
            }
            if is_found { course.breaks("calls in 1 passes") } else { course.passes() }
        }
    }

    #[test]
    fn a_settled_service_is_looked_at_for_ever() {
        let mut course = rolled_out();
        course.completes();
        course.happens(|facts, _| {
            facts.tags.remove("evenkeel:rollout");
        });
        for _ in 0..100 {
            course.looks(FIRST);
        }
        course.passes();
    }
}
