//! S10, S13 and S14: nothing old is written, nothing is repeated blindly, nothing is written on
//! ignorance.

use std::collections::{BTreeMap, BTreeSet};

use evenkeel_manifest::ServiceKey;
use evenkeel_planner::Lane;
use serde_json::Value;

use super::super::event::At;
use super::super::{Event, Property, Replica, Sent};
use super::call::{self, Write, text};
use super::definitions::{Definitions, digest};
use super::origins::Origins;
use super::passes::{Pass, Passes};

/// S10: content that is written is what the daemon's newest manifest wants, whenever the pass began; or what was good, on the way back to
/// it.
#[derive(Debug, Default)]
pub(super) struct NoBackwards {
    origins: Origins,
    definitions: Definitions,
}

impl Property for NoBackwards {
    fn name(&self) -> &'static str {
        "S10 no backwards"
    }

    fn check(&mut self, at: At, event: &Event<'_>) -> Result<(), String> {
        self.origins.note(at, event);
        self.definitions.note(event);
        let Event::Sent(call) = event else { return Ok(()) };
        let Some(write) = Write::of(call) else { return Ok(()) };
        let wishes = self.origins.wishes_of(call);
        let wanted = |definition| wishes.iter().any(|wish| wish.definition == definition);
        match write {
            Write::Register(input) if self.is_returned_to(call, input) => Ok(()),
            Write::Register(input) if !wanted(digest(input)) => {
                Err(format!("{} registers what is no longer wanted", told(call)))
            }
            _ if !write.starts(call) => Ok(()),
            _ => {
                let Some(arn) = write.definition() else { return Ok(()) };
                match self.definitions.digest(arn) {
                    Some(content) if wanted(content.clone()) => Ok(()),
                    Some(_) => Err(format!("{} starts {arn}, which is not wanted", told(call))),
                    None => Err(format!("{} starts {arn}, which nobody looked at", told(call))),
                }
            }
        }
    }
}

impl NoBackwards {
    /// What was good may be registered anew on the way back to it.
    fn is_returned_to(&self, call: &Sent, input: &Value) -> bool {
        let returns = call.action.as_ref().is_some_and(|(lane, _)| *lane == Lane::Rollback);
        let content = digest(input);
        let mut alike = self.definitions.with(&content);
        let key = call.about.as_ref().filter(|_| returns);
        key.is_some_and(|key| alike.any(|arn| self.origins.is_good_definition(key, arn)))
    }
}

/// S13: after a write whose outcome is unknown, the next call about the service is a read. A write that
/// was not answered, because its pass was cancelled, is one of unknown outcome.
#[derive(Debug, Default)]
pub(super) struct ReadBeforeRetry {
    /// Number and operation of the last write, until it is known to have been answered or a read followed.
    in_doubt: BTreeMap<ServiceKey, BTreeMap<Replica, (u64, String)>>,
}

impl Property for ReadBeforeRetry {
    fn name(&self) -> &'static str {
        "S13 read before retry"
    }

    fn check(&mut self, _: At, event: &Event<'_>) -> Result<(), String> {
        match event {
            Event::Started(replica) | Event::Ended(replica) => {
                self.in_doubt.values_mut().for_each(|calls| {
                    calls.remove(replica);
                });
                Ok(())
            }
            Event::Sent(call) => self.sent(call),
            Event::Answered { call, answer, .. } => {
                let is_known =
                    !matches!(answer, Err(evenkeel_reconciler::CloudError::UnknownOutcome { .. }));
                let calls = call.about.as_ref().and_then(|key| self.in_doubt.get_mut(key));
                if let Some(calls) = calls.filter(|_| is_known)
                    && calls.get(&call.by).is_some_and(|(number, _)| *number == call.number)
                {
                    calls.remove(&call.by);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

impl ReadBeforeRetry {
    fn sent(&mut self, call: &Sent) -> Result<(), String> {
        let Some(key) = &call.about else { return Ok(()) };
        let is_write = Write::of(call).is_some();
        if !is_write && !self.in_doubt.contains_key(key) {
            return Ok(());
        }
        let calls = self.in_doubt.entry(key.clone()).or_default();
        let before = calls.remove(&call.by);
        if !is_write {
            return Ok(());
        }
        calls.insert(call.by, (call.number, call.operation.clone()));
        match before {
            Some((_, operation)) => Err(format!(
                "{} follows {operation}, whose outcome is unknown, without a look",
                told(call)
            )),
            None => Ok(()),
        }
    }
}

/// S14: a write is preceded, in its pass, by a look at the service that fits it; a registration also by
/// a listing that does not show the content, but for revisions that the daemon knows to be INACTIVE, which they stay for
/// ever; and after a write that failed nothing is written without another look.
#[derive(Debug, Default)]
pub(super) struct NoWriteOnIgnorance {
    passes: Passes,
    definitions: Definitions,
    /// The task definitions that each daemon was told to be INACTIVE.
    inactive: BTreeSet<(Replica, String)>,
}

/// More calls than any plan has: heal, set tags, remove tags.
const WRITES_A_PASS: u32 = 3;

/// The default of `look_age_max`, the oldest look that anything is written on.
const LOOK_AGE: std::time::Duration = std::time::Duration::from_secs(30);

impl Property for NoWriteOnIgnorance {
    fn name(&self) -> &'static str {
        "S14 no write on ignorance"
    }

    fn check(&mut self, at: At, event: &Event<'_>) -> Result<(), String> {
        self.definitions.note(event);
        self.note(event);
        let said = match event {
            Event::Sent(call) => match Write::of(call) {
                Some(write) => self.sent(at, call, write),
                None => Ok(()),
            },
            _ => Ok(()),
        };
        self.passes.note(at, event);
        said
    }
}

impl NoWriteOnIgnorance {
    fn note(&mut self, event: &Event<'_>) {
        match event {
            Event::Answered { call, answer: Ok(reply), .. } => {
                let content = reply.get("taskDefinition");
                let is_inactive = content
                    .and_then(|one| text(one, "status"))
                    .is_some_and(|one| one == "INACTIVE");
                let arn = content.and_then(|one| text(one, "taskDefinitionArn"));
                if let Some(arn) = arn.filter(|_| is_inactive) {
                    self.inactive.insert((call.by, arn.to_owned()));
                }
            }
            // The next life has an empty memory.
            Event::Ended(replica) => self.inactive.retain(|(by, _)| by != replica),
            _ => {}
        }
    }

    fn sent(&self, at: At, call: &Sent, write: Write<'_>) -> Result<(), String> {
        let blind = || format!("{} is sent without a look at the service in its pass", told(call));
        let pass = self.passes.of(call).ok_or_else(blind)?;
        let look = pass.look.as_ref().ok_or_else(blind)?;
        if look.at + LOOK_AGE < at {
            return Err(format!("{} is sent on a look of {}", told(call), look.at));
        }
        if pass.in_doubt {
            return Err(format!("{} follows a write that failed, without a look", told(call)));
        }
        if pass.writes >= WRITES_A_PASS {
            return Err(format!(
                "{} is the write number {} on one look",
                told(call),
                pass.writes + 1
            ));
        }
        self.fits(call, write, pass)
    }

    fn fits(&self, call: &Sent, write: Write<'_>, pass: &Pass) -> Result<(), String> {
        let shown = pass.look.as_ref().and_then(|look| look.service.as_ref());
        let lives = shown.is_some_and(|shown| !shown.is_gone);
        match write {
            Write::Create(_) if lives => {
                Err(format!("{} although the service was shown", told(call)))
            }
            Write::Create(_) => Ok(()),
            Write::Register(input) => {
                let Some(listed) = &pass.listed else {
                    return Err(format!("{} without a listing of the family", told(call)));
                };
                let content = digest(input);
                let is_usable = |arn: &&String| {
                    self.definitions.is(arn, &content)
                        && !self.inactive.contains(&(call.by, (*arn).clone()))
                };
                match listed.iter().find(is_usable) {
                    Some(arn) => Err(format!("{} although {arn} was listed", told(call))),
                    None => Ok(()),
                }
            }
            _ if shown.is_some_and(|shown| shown.is_active) => Ok(()),
            _ => Err(format!("{} although no ACTIVE service was shown", told(call))),
        }
    }
}

/// A call in a sentence.
pub(super) fn told(call: &Sent) -> String {
    let of = call.about.as_ref().map_or_else(String::new, |key| format!(" about {key}"));
    let why = call.action.as_ref().map_or("", |(_, why)| why.as_str());
    let named = text(&call.input, "taskDefinition").map_or("", call::last_part);
    format!("call {} of daemon {}, {}{of} {named} ({why})", call.number, call.by.0, call.operation)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::course::{
        Course, FIRST, SECOND, definition, lost, manifest, manifest_with, throttled, update,
    };
    use super::*;

    fn register(image: &str) -> Value {
        manifest(image).task_definition.value()
    }

    #[test]
    fn what_is_wanted_may_be_registered_and_started() {
        let mut course = Course::of(NoBackwards::default());
        course.wants(FIRST, Some(&manifest("2")));
        course.pause(1);
        course.looks(FIRST);
        course.writes("RegisterTaskDefinition", register("2"));
        course.writes("UpdateService", update(&json!({"taskDefinition": &*definition(2)})));
        course.looks(FIRST);
        course.returns("UpdateService", update(&json!({"taskDefinition": &*definition(1)})));
        course.passes();
    }

    #[test]
    fn what_an_older_manifest_wanted_is_not_started_whenever_the_pass_began() {
        let mut course = Course::of(NoBackwards::default());
        course.wants(FIRST, Some(&manifest("2")));
        course.pause(1);
        course.looks(FIRST);
        course.wants(FIRST, Some(&manifest("3")));
        course.pause(1);
        course.writes("UpdateService", update(&json!({"taskDefinition": &*definition(2)})));
        course.breaks("not wanted");
    }

    #[test]
    fn who_is_frozen_hears_of_a_new_manifest_later() {
        for (thawed, broken) in [(5, false), (0, true)] {
            let mut course = Course::of(NoBackwards::default());
            let until = course.at + std::time::Duration::from_secs(thawed);
            course.tell(&Event::Frozen { by: FIRST, until });
            course.pause(1);
            course.wants(FIRST, Some(&manifest("2")));
            course.pause(4);
            course.pass("UpdateService", update(&json!({"taskDefinition": &*definition(1)})));
            if broken { course.breaks("not wanted") } else { course.passes() }
        }
    }

    #[test]
    fn a_new_pass_may_not_register_what_an_older_manifest_wanted() {
        let mut course = Course::of(NoBackwards::default());
        course.wants(FIRST, Some(&manifest("2")));
        course.pause(1);
        course.pass("RegisterTaskDefinition", register("1"));
        course.breaks("no longer wanted");
    }

    #[test]
    fn what_was_good_may_be_registered_anew_on_the_way_back_to_it_and_nothing_else() {
        for (content, returns, broken) in
            [("1", true, false), ("3", true, true), ("1", false, true)]
        {
            let mut course = Course::of(NoBackwards::default());
            course.wants(FIRST, Some(&manifest("2")));
            course.rolls_out(2);
            course.describes_copy(1, 1);
            course.describes_copy(3, 3);
            course.next_pass();
            if returns {
                course.returns("RegisterTaskDefinition", register(content));
            } else {
                course.pause(1);
                course.pass("RegisterTaskDefinition", register(content));
            }
            if broken { course.breaks("no longer wanted") } else { course.passes() }
        }
    }

    #[test]
    fn what_nobody_looked_at_may_not_be_started() {
        let mut course = Course::of(NoBackwards::default());
        course.pass("UpdateService", update(&json!({"taskDefinition": &*definition(9)})));
        course.breaks("nobody looked at");
    }

    fn count(number: u64) -> Value {
        update(&json!({"desiredCount": number}))
    }

    #[test]
    fn after_an_unknown_outcome_a_read_makes_writing_right_again() {
        let mut course = Course::of(ReadBeforeRetry::default());
        course.looks(FIRST);
        let call = course.write(FIRST, "UpdateService", count(3));
        course.sent(&call);
        course.failed(&call, &lost());
        course.pass("UpdateService", count(3));
        course.writes("UpdateService", count(4));
        let call = course.write(FIRST, "UpdateService", count(3));
        course.sent(&call);
        course.failed(&call, &throttled());
        course.writes("UpdateService", count(4));
        course.passes();
    }

    #[test]
    fn a_retry_without_a_read_is_found() {
        let mut course = Course::of(ReadBeforeRetry::default());
        course.looks(FIRST);
        let call = course.write(FIRST, "UpdateService", count(3));
        course.sent(&call);
        course.failed(&call, &lost());
        course.writes("UpdateService", count(3));
        course.breaks("without a look");
    }

    #[test]
    fn a_write_after_one_that_was_never_answered_is_found_but_not_after_a_restart() {
        for (restart, broken) in [(false, true), (true, false)] {
            let mut course = Course::of(ReadBeforeRetry::default());
            course.looks(FIRST);
            let call = course.write(FIRST, "UpdateService", count(3));
            course.sent(&call);
            if restart {
                course.tell(&Event::Ended(FIRST));
                course.tell(&Event::Started(FIRST));
            }
            course.writes("UpdateService", count(3));
            if broken { course.breaks("without a look") } else { course.passes() }
        }
    }

    fn list(course: &mut Course<NoWriteOnIgnorance>, numbers: &[u64]) {
        let call = course.call(FIRST, "ListTaskDefinitions", json!({"familyPrefix": "web"}));
        let arns: Vec<_> = numbers.iter().map(|number| definition(*number).to_string()).collect();
        course.goes(&call, &json!({"taskDefinitionArns": arns}));
    }

    #[test]
    fn writes_after_a_look_of_their_pass_are_right() {
        let mut course = Course::of(NoWriteOnIgnorance::default());
        course.pass("UpdateService", count(3));
        course.writes("UntagResource", json!({}));
        course.writes("TagResource", json!({}));
        course.looks(FIRST);
        list(&mut course, &[1]);
        course.writes("RegisterTaskDefinition", register("2"));
        let missing = json!({"services": [], "failures": [{"arn": "web", "reason": "MISSING"}]});
        course.sees(FIRST, &missing, false);
        course.writes("CreateService", json!({}));
        course.passes();
    }

    #[test]
    fn a_write_without_a_look_in_its_pass_is_found() {
        let mut course = Course::of(NoWriteOnIgnorance::default());
        course.looks(FIRST);
        course.next_pass();
        course.writes("UpdateService", count(3));
        course.breaks("without a look");
    }

    #[test]
    fn an_error_is_not_a_look_and_neither_is_a_reply_that_does_not_name_the_service() {
        let mut course = Course::of(NoWriteOnIgnorance::default());
        course.looks(FIRST);
        let look = course.call(FIRST, "DescribeServices", json!({}));
        course.sent(&look);
        course.failed(&look, &throttled());
        course.writes("UpdateService", count(3));
        course.breaks("without a look");
        let mut course = Course::of(NoWriteOnIgnorance::default());
        course.sees(FIRST, &json!({"services": [], "failures": []}), false);
        course.writes("CreateService", json!({}));
        course.breaks("without a look");
    }

    #[test]
    fn writes_must_fit_what_was_shown() {
        let mut course = Course::of(NoWriteOnIgnorance::default());
        course.pass("CreateService", json!({}));
        course.breaks("the service was shown");
        let mut course = Course::of(NoWriteOnIgnorance::default());
        let draining = json!({"services": [{"serviceName": "web", "status": "DRAINING"}]});
        course.sees(FIRST, &draining, false);
        course.writes("UpdateService", count(3));
        course.breaks("no ACTIVE service");
    }

    #[test]
    fn content_is_registered_only_after_a_listing_that_lacks_it() {
        let mut course = Course::of(NoWriteOnIgnorance::default());
        course.pass("RegisterTaskDefinition", register("2"));
        course.breaks("without a listing");
        let mut course = Course::of(NoWriteOnIgnorance::default());
        course.looks(FIRST);
        list(&mut course, &[2, 1]);
        course.writes("RegisterTaskDefinition", register("2"));
        course.breaks("was listed");
    }

    #[test]
    fn what_a_daemon_knows_to_be_inactive_may_be_listed_from_the_past() {
        for (by, is_found) in [(FIRST, false), (SECOND, true)] {
            let mut course = Course::of(NoWriteOnIgnorance::default());
            let described = course.call(by, "DescribeTaskDefinition", json!({}));
            let inactive = json!({"taskDefinitionArn": &*definition(2), "status": "INACTIVE"});
            course.goes(&described, &json!({"taskDefinition": inactive}));
            course.looks(FIRST);
            list(&mut course, &[2, 1]);
            course.writes("RegisterTaskDefinition", register("2"));
            if is_found {
                course.breaks("was listed");
            } else {
                course.passes();
            }
        }
    }

    #[test]
    fn no_look_is_good_for_ever_or_for_many_writes_or_after_a_failure() {
        let mut course = Course::of(NoWriteOnIgnorance::default());
        course.looks(FIRST);
        course.pause(31);
        course.writes("UpdateService", count(3));
        course.breaks("on a look of");
        let mut course = Course::of(NoWriteOnIgnorance::default());
        course.looks(FIRST);
        let until = course.at + std::time::Duration::from_mins(10);
        course.tell(&Event::Frozen { by: FIRST, until });
        course.pause(600);
        course.writes("UpdateService", count(3));
        course.breaks("on a look of");
        let mut course = Course::of(NoWriteOnIgnorance::default());
        course.looks(FIRST);
        for number in 1..5 {
            course.writes("UpdateService", count(number));
        }
        course.breaks("number 4 on one look");
        let mut course = Course::of(NoWriteOnIgnorance::default());
        course.looks(FIRST);
        let call = course.write(FIRST, "UpdateService", count(3));
        course.sent(&call);
        course.failed(&call, &throttled());
        course.writes("UpdateService", count(3));
        course.breaks("follows a write that failed");
    }

    #[test]
    fn members_without_a_task_definition_are_no_matter_of_order() {
        let mut course = Course::of(NoBackwards::default());
        course.wants(
            FIRST,
            Some(&manifest_with(
                "1",
                "    desiredCount: 9
",
                "",
            )),
        );
        course.pass("UpdateService", count(9));
        course.passes();
    }
}
