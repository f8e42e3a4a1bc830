//! S21, S22, S23 and S25: a rollback goes to what was good, once, keeps the count, and what was
//! rejected stays away.

use std::collections::{BTreeMap, BTreeSet};

use evenkeel_manifest::ServiceKey;
use evenkeel_planner::{Command, Lane};

use super::super::event::At;
use super::super::{Event, Property, Sent};
use super::asks::Asks;
use super::call::{self, Write};
use super::definitions::Definitions;
use super::faultless::Faultless;
use super::memory::{PROVEN, REJECTED, rejects};
use super::ordering::told;
use super::origins::{Origin, Origins};
use super::passes::Passes;
use super::pruning;
use crate::ServiceFacts;

/// S21: daemons return only to revisions that were complete and judged good, or were what ran when the
/// service was adopted.
#[derive(Debug, Default)]
pub(super) struct RollbackTarget {
    origins: Origins,
    definitions: Definitions,
    /// Returns whose target was looked at.
    checked: BTreeMap<ServiceKey, BTreeSet<u64>>,
}

impl Property for RollbackTarget {
    fn name(&self) -> &'static str {
        "S21 rollback target"
    }

    fn check(&mut self, at: At, event: &Event<'_>) -> Result<(), String> {
        self.origins.note(at, event);
        self.definitions.note(event);
        match event {
            Event::Sent(call) if call::returns(call) => self.sent(call),
            Event::Changed(facts) => self.changed(facts),
            _ => Ok(()),
        }
    }
}

impl RollbackTarget {
    fn sent(&self, call: &Sent) -> Result<(), String> {
        let Some(key) = &call.about else { return Ok(()) };
        match Write::of(call).and_then(Write::definition) {
            Some(arn) if !self.is_good(key, arn) => {
                Err(format!("{} goes to {arn}, which was never good", told(call)))
            }
            _ => Ok(()),
        }
    }

    /// One that was good, or has its content: it may have been registered anew.
    fn is_good(&self, key: &ServiceKey, arn: &str) -> bool {
        let content = self.definitions.digest(arn);
        let mut alike = content.into_iter().flat_map(|content| self.definitions.with(content));
        self.origins.is_good_definition(key, arn)
            || alike.any(|arn| self.origins.is_good_definition(key, arn))
    }

    /// Where ECS went when a daemon asked it to.
    fn changed(&mut self, facts: &ServiceFacts) -> Result<(), String> {
        let key = ServiceKey::new(&*facts.cluster, &*facts.name);
        let Some(primary) = facts.primary() else { return Ok(()) };
        let is_return = matches!(self.origins.of(&key, primary.id), Some(Origin::Returned));
        if !is_return || primary.revision == primary.id {
            return Ok(());
        }
        // A restart of what was good is as good, once ECS completed it, also of what was registered anew.
        let is_restart = self.origins.is_completed(&key, primary.revision)
            && self.is_good(&key, &primary.definition);
        let is_good = is_restart || self.origins.is_good(&key, primary.revision);
        let is_new = self.checked.entry(key).or_default().insert(primary.id);
        if is_new && !is_good {
            let revision = primary.revision;
            return Err(format!("ECS was asked to return to {revision}, which was never good"));
        }
        Ok(())
    }
}

/// S22: a revision that the tag `evenkeel:rejected` names is not rolled out, and the tag is not taken
/// away, for that is a person's word, unless one asks for it. (The tag holds one revision: another verdict replaces it.)
#[derive(Debug, Default)]
pub(super) struct NoPingPong {
    origins: Origins,
    definitions: Definitions,
    passes: Passes,
    asks: Asks,
}

impl Property for NoPingPong {
    fn name(&self) -> &'static str {
        "S22 no ping-pong"
    }

    fn check(&mut self, at: At, event: &Event<'_>) -> Result<(), String> {
        self.origins.note(at, event);
        self.asks.note(at, event);
        self.definitions.note(event);
        let said = match event {
            Event::Sent(call) => Write::of(call).map_or(Ok(()), |write| self.sent(call, write)),
            _ => Ok(()),
        };
        self.passes.note(at, event);
        said
    }
}

impl NoPingPong {
    fn sent(&self, call: &Sent, write: Write<'_>) -> Result<(), String> {
        let is_retried = || self.asks.for_call(call, |command| *command == Command::Retry);
        if write.removes(REJECTED) && !is_retried() {
            return Err(format!("{} takes a verdict back, which is for people", told(call)));
        }
        let shown = self.passes.shown(call).filter(|shown| !shown.is_gone);
        let Some(shown) = shown.filter(|_| write.starts(call)) else { return Ok(()) };
        let fits =
            |definition| write.definition().is_none_or(|arn| self.definitions.is(arn, definition));
        let wishes = self.origins.wishes_of(call);
        let mut about = wishes.iter().filter(|wish| fits(&wish.definition)).peekable();
        let rolls_out = about.peek().is_some();
        if rolls_out && about.all(|wish| rejects(&shown.tags, &wish.revision)) {
            return Err(format!("{} rolls out what is rejected", told(call)));
        }
        Ok(())
    }
}

/// S23: daemons do not return from a return, unless a person sends the service further back, or ECS gave the return up for no
/// fault of what it ran: then just that is deployed once more, ten minutes after it began at the earliest.
#[derive(Debug, Default)]
pub(super) struct OneRollback {
    faultless: Faultless,
    origins: Origins,
    passes: Passes,
    asks: Asks,
    /// The deployment that a person has undone last.
    undone: BTreeMap<ServiceKey, u64>,
}

impl Property for OneRollback {
    fn name(&self) -> &'static str {
        "S23 one rollback"
    }

    fn check(&mut self, at: At, event: &Event<'_>) -> Result<(), String> {
        self.faultless.note(at, event);
        let said = match event {
            Event::Sent(call) if call.operation == "StopServiceDeployment" => self.stops(call),
            Event::CarriedOut { call, reply: Ok(reply) }
                if call::returns(call) && !self.origins.is_late(call, at) =>
            {
                self.returned(call, call::replied_primary(reply))
            }
            Event::CarriedOut { call, reply: Ok(_) } => {
                self.undoes(call);
                Ok(())
            }
            _ => Ok(()),
        };
        self.origins.note(at, event);
        self.asks.note(at, event);
        self.passes.note(at, event);
        said
    }
}

impl OneRollback {
    fn undoes(&mut self, call: &Sent) {
        let asked = |command: &Command| matches!(command, Command::Undo { .. });
        let is_sent_back = Write::of(call).is_some_and(|write| write.tag(PROVEN).is_some())
            && self.asks.for_call(call, asked);
        let Some(key) = call.about.as_ref().filter(|_| is_sent_back) else { return };
        let primary = self.origins.primary(key);
        self.undone.extend(primary.map(|primary| (key.clone(), primary)));
    }

    /// It was shown that the return is PRIMARY, and yet it is stopped.
    fn stops(&self, call: &Sent) -> Result<(), String> {
        let Some(key) = &call.about else { return Ok(()) };
        let shown = self.passes.shown(call).and_then(|shown| shown.primary);
        match shown.filter(|id| self.is_return(key, *id)) {
            Some(id) => Err(format!("{} stops {id}, which is a return", told(call))),
            None => Ok(()),
        }
    }

    /// A call that returns left this deployment PRIMARY.
    fn returned(&self, call: &Sent, now: Option<u64>) -> Result<(), String> {
        let Some((key, now)) = call.about.as_ref().zip(now) else { return Ok(()) };
        let before = self.origins.primary(key).filter(|before| *before != now);
        let is_repeated = |before: u64| {
            Write::of(call).is_some_and(|write| self.faultless.is_repeated_by(write, key, before))
        };
        match before.filter(|before| self.is_return(key, *before) && !is_repeated(*before)) {
            Some(before) => Err(format!("{} returns from {before}, a return", told(call))),
            None => Ok(()),
        }
    }

    fn is_return(&self, key: &ServiceKey, deployment: u64) -> bool {
        let is_undone = self.undone.get(key) == Some(&deployment);
        !is_undone && matches!(self.origins.of(key, deployment), Some(Origin::Returned))
    }
}

/// S25: the count is the manifest's, where the manifest has one, and a rollback never carries one. The
/// first task of a service at zero is the probe; one that was pruned to zero gets back what it had.
#[derive(Debug, Default)]
pub(super) struct KeepsCount {
    origins: Origins,
    passes: Passes,
}

impl Property for KeepsCount {
    fn name(&self) -> &'static str {
        "S25 keeps count"
    }

    fn check(&mut self, at: At, event: &Event<'_>) -> Result<(), String> {
        self.origins.note(at, event);
        let said = match event {
            Event::Sent(call) if call.operation == "UpdateService" => self.sent(call),
            _ => Ok(()),
        };
        self.passes.note(at, event);
        said
    }
}

impl KeepsCount {
    fn sent(&self, call: &Sent) -> Result<(), String> {
        let Some(count) = Write::of(call).and_then(Write::count) else { return Ok(()) };
        if matches!(call.action, Some((Lane::Rollback, _))) {
            return Err(format!("{} is a rollback and sets the count to {count}", told(call)));
        }
        let wishes = self.origins.wishes_of(call);
        let from_zero = self.passes.shown(call).is_some_and(|shown| shown.desired == 0);
        let is_probe = from_zero && count == 1 && wishes.iter().any(|wish| wish.count > Some(0));
        if is_probe || wishes.iter().any(|wish| wish.count == Some(count)) {
            return Ok(());
        }
        // Whether what no manifest names may come to zero is for S15 to say.
        let goes = wishes.is_empty() && count == 0;
        if goes || (from_zero && self.gets_back(call, count)) {
            return Ok(());
        }
        Err(format!("{} sets the count to {count}, which no manifest says", told(call)))
    }

    /// Whether the service had this count before it was scaled in for want of a manifest.
    fn gets_back(&self, call: &Sent, count: u64) -> bool {
        let shown = self.passes.shown(call);
        let mark = shown.and_then(|shown| shown.tags.get(pruning::TOMBSTONE));
        mark.and_then(|mark| mark.split(':').nth(3)).is_some_and(|had| had == count.to_string())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::course::{
        Course, FIRST, definition, deployment, manifest, manifest_with, revision, stop, tagging,
        task, untagging, update, verdict,
    };
    use super::*;
    use crate::{DeploymentCourse, DeploymentFacts};

    fn back_to(number: u64) -> Value {
        update(&json!({"taskDefinition": &*definition(number)}))
    }

    /// ECS makes a deployment that runs an earlier revision.
    fn ecs_returns<P: Property>(course: &mut Course<P>, to: u64) {
        course.happens(|facts, at| {
            let back = DeploymentFacts { revision: to, created_at: at, ..deployment(9, to) };
            facts.deployments.insert(0, back);
        });
    }

    #[test]
    fn the_way_back_leads_to_what_was_proven() {
        let mut course = Course::rolled_out(RollbackTarget::default());
        course.looks(FIRST);
        course.returns("UpdateService", back_to(1));
        course.passes();
        let mut course = Course::rolled_out(RollbackTarget::default());
        course.looks(FIRST);
        course.returns("StopServiceDeployment", json!({}));
        ecs_returns(&mut course, 1);
        course.passes();
    }

    #[test]
    fn a_return_to_what_has_the_content_of_what_was_good_is_one_to_that() {
        for (content, is_found) in [(1, false), (3, true)] {
            let mut course = Course::rolled_out(RollbackTarget::default());
            course.describes_copy(30, content);
            course.looks(FIRST);
            course.returns("UpdateService", back_to(30));
            if is_found { course.breaks("never good") } else { course.passes() }
        }
    }

    #[test]
    fn a_return_to_what_was_never_complete_is_found() {
        let mut course = Course::rolled_out(RollbackTarget::default());
        course.looks(FIRST);
        course.returns("UpdateService", back_to(3));
        course.breaks("never good");
    }

    #[test]
    fn a_task_set_is_made_anew_of_what_was_good_only() {
        for (number, is_found) in [(1, false), (3, true)] {
            let mut course = Course::rolled_out(RollbackTarget::default());
            course.looks(FIRST);
            course.returns("CreateTaskSet", back_to(number));
            if is_found { course.breaks("never good") } else { course.passes() }
        }
    }

    /// ECS is asked to return from revision 2, which was rolled out over one that was complete and never
    /// judged.
    fn stopped_over_unproven() -> Course<RollbackTarget> {
        let mut course = Course::of(RollbackTarget::default());
        course.begins(3);
        course.completes();
        course.wants(FIRST, Some(&manifest("2")));
        course.rolls_out(2);
        course.looks(FIRST);
        course.returns("StopServiceDeployment", json!({}));
        course
    }

    #[test]
    fn a_return_to_what_was_complete_but_never_judged_is_found() {
        let mut course = stopped_over_unproven();
        ecs_returns(&mut course, 3);
        course.breaks("never good");
    }

    #[test]
    fn what_was_registered_anew_and_completed_is_a_target_of_ecs_s_own_return() {
        for (content, is_found) in [(1, false), (4, true)] {
            let mut course = Course::of(RollbackTarget::default());
            course.happens(|_, _| {});
            course.begins(30);
            course.completes();
            course.wants(FIRST, Some(&manifest("2")));
            course.rolls_out(2);
            course.describes_copy(30, content);
            course.looks(FIRST);
            course.returns("StopServiceDeployment", json!({}));
            ecs_returns(&mut course, 30);
            if is_found { course.breaks("never good") } else { course.passes() }
        }
    }

    #[test]
    fn what_was_proven_without_being_complete_is_no_target() {
        let mut course = Course::of(RollbackTarget::default());
        course.begins(3);
        course.tags(PROVEN, &revision(3));
        course.rolls_out(2);
        course.looks(FIRST);
        course.returns("UpdateService", back_to(3));
        course.breaks("never good");
    }

    #[test]
    fn where_ecs_had_nothing_to_return_to_its_later_return_is_its_own() {
        let mut course = stopped_over_unproven();
        course.returns("UpdateService", back_to(1));
        course.rolls_out(4);
        ecs_returns(&mut course, 3);
        course.passes();
    }

    #[test]
    fn ecs_may_return_to_what_it_likes_on_its_own_account() {
        let mut course = Course::of(RollbackTarget::default());
        course.begins(3);
        course.completes();
        course.rolls_out(2);
        ecs_returns(&mut course, 3);
        course.passes();
    }

    fn rejected() -> Course<NoPingPong> {
        let mut course = Course::of(NoPingPong::default());
        course.tags(REJECTED, &verdict(&manifest("2")));
        course.wants(FIRST, Some(&manifest("2")));
        course.pause(1);
        course
    }

    #[test]
    fn other_content_and_what_a_person_forgave_is_rolled_out() {
        let mut course = rejected();
        course.wants(FIRST, Some(&manifest("3")));
        course.pause(1);
        course.pass("UpdateService", back_to(3));
        course.wants(FIRST, Some(&manifest("2")));
        course.pause(1);
        course.happens(|facts, _| {
            facts.tags.remove(REJECTED);
        });
        course.pass("UpdateService", back_to(2));
        course.passes();
    }

    #[test]
    fn what_was_rejected_is_not_rolled_out_not_even_after_a_restart() {
        let mut course = rejected();
        course.tell(&Event::Ended(FIRST));
        course.tell(&Event::Started(FIRST));
        course.wants(FIRST, Some(&manifest("2")));
        course.pause(1);
        course.pass("UpdateService", update(&json!({"desiredCount": 4})));
        course.pass("UpdateService", back_to(2));
        course.breaks("rolls out what is rejected");
    }

    #[test]
    fn what_a_person_aborted_is_rolled_out_again_only_once_it_is_retried() {
        let mut course = rejected();
        course.pass("UpdateService", back_to(2));
        course.breaks("rolls out what is rejected");
        let mut course = rejected();
        course.asks(&Command::Retry);
        course.pass("UntagResource", untagging(REJECTED));
        course.hears(&Command::Retry);
        course.happens(|facts, _| {
            facts.tags.remove(REJECTED);
        });
        course.pass("UpdateService", back_to(2));
        course.passes();
        let mut course = rejected();
        course.asks(&Command::Release);
        course.pass("UntagResource", untagging(REJECTED));
        course.breaks("for people");
    }

    #[test]
    fn what_nobody_was_shown_cannot_be_kept_and_verdicts_are_not_taken_back() {
        let mut course = rejected();
        course.sees(FIRST, &json!({"services": [{"serviceName": "web"}]}), true);
        course.writes("UpdateService", back_to(2));
        course.looks(FIRST);
        course.writes("UntagResource", untagging(REJECTED));
        course.breaks("for people");
    }

    #[test]
    fn one_return_is_enough() {
        let mut course = Course::rolled_out(OneRollback::default());
        course.looks(FIRST);
        let call = course.rollback(FIRST, "UpdateService", back_to(1));
        course.sent(&call);
        course.begins(3);
        let reply = course.updated();
        course.carried_out(&call, &reply);
        course.answered(&call, &reply);
        course.happens(|_, _| {});
        // Said once more by a daemon that did not hear the answer: nothing moves.
        course.returns("UpdateService", back_to(1));
        course.passes();
    }

    #[test]
    fn a_return_from_a_return_is_found_either_way() {
        for stop in [false, true] {
            let mut course = Course::rolled_out(OneRollback::default());
            course.looks(FIRST);
            course.returns("StopServiceDeployment", json!({}));
            ecs_returns(&mut course, 1);
            course.looks(FIRST);
            if stop {
                course.returns("StopServiceDeployment", json!({}));
                course.breaks("stops 9");
                continue;
            }
            let call = course.rollback(FIRST, "UpdateService", back_to(4));
            course.sent(&call);
            course.begins(4);
            let reply = course.updated();
            course.carried_out(&call, &reply);
            course.breaks("returns from 9");
        }
    }

    /// A daemon deploys this task definition by force.
    fn begins_again(course: &mut Course<OneRollback>, number: u64) {
        let again = json!({"taskDefinition": &*definition(number), "forceNewDeployment": true});
        let call = course.rollback(FIRST, "UpdateService", update(&again));
        course.sent(&call);
        course.begins(number);
        let reply = course.updated();
        course.carried_out(&call, &reply);
    }

    #[test]
    fn a_return_that_ecs_gave_up_for_no_fault_of_its_own_is_begun_again_later() {
        // Whether a task of the return failed, when it is begun again, and whether that is wrong.
        for (fails, minutes, is_wrong) in
            [(false, 11, false), (false, 9, true), (true, 11, true), (true, 60, false)]
        {
            let mut course = Course::rolled_out(OneRollback::default());
            course.looks(FIRST);
            course.returns("StopServiceDeployment", json!({}));
            ecs_returns(&mut course, 1);
            course.happens(|facts, at| {
                facts.deployments[0].course = DeploymentCourse::Failed;
                let mut lost = task(7, 9);
                let code = if fails { "EssentialContainerExited" } else { "TaskFailedToStart" };
                stop(&mut lost, at, code, "TaskFailedToStart: RESOURCE:MEMORY");
                if fails {
                    lost.stopped_reason = Some("Essential container in task exited".into());
                }
                facts.tasks.push(lost);
            });
            course.pause(minutes * 60);
            course.looks(FIRST);
            begins_again(&mut course, 1);
            if is_wrong { course.breaks("returns from 9") } else { course.passes() }
        }
    }

    /// What was taken out of use is registered anew, as revision 20.
    #[test]
    fn what_is_begun_again_may_have_the_content_of_what_ecs_gave_up() {
        for (content, is_wrong) in [(1, false), (4, true)] {
            let mut course = Course::rolled_out(OneRollback::default());
            course.describes_copy(20, content);
            course.looks(FIRST);
            course.returns("StopServiceDeployment", json!({}));
            ecs_returns(&mut course, 1);
            course.happens(|facts, _| facts.deployments[0].course = DeploymentCourse::Failed);
            course.pause(11 * 60);
            course.looks(FIRST);
            begins_again(&mut course, 20);
            if is_wrong { course.breaks("returns from 9") } else { course.passes() }
        }
    }

    /// A return is undone by a word that is written then, if somebody asked for it, and is returned from.
    fn undone(asked: bool) -> Course<OneRollback> {
        let mut course = Course::rolled_out(OneRollback::default());
        course.looks(FIRST);
        course.returns("StopServiceDeployment", json!({}));
        ecs_returns(&mut course, 1);
        if asked {
            course.asks(&Command::Undo { to: None });
        }
        course.pass("TagResource", tagging(&[(PROVEN, &revision(4))]));
        course.hears(&Command::Undo { to: None });
        course.looks(FIRST);
        let call = course.rollback(FIRST, "UpdateService", back_to(4));
        course.sent(&call);
        course.begins(4);
        let reply = course.updated();
        course.carried_out(&call, &reply);
        course
    }

    #[test]
    fn a_person_may_send_a_service_further_back_than_a_return() {
        undone(true).passes();
        undone(false).breaks("returns from 9");
    }

    fn count(number: u64) -> Value {
        update(&json!({"desiredCount": number}))
    }

    #[test]
    fn the_count_is_the_manifest_s_or_one_for_a_probe_from_zero() {
        let mut course = Course::of(KeepsCount::default());
        course.pass("UpdateService", count(4));
        course.happens(|facts, _| facts.desired = 0);
        course.pass("UpdateService", count(1));
        course.pass("TagResource", tagging(&[]));
        course.passes();
    }

    #[test]
    fn a_count_of_nobody_s_is_found() {
        let mut course = Course::of(KeepsCount::default());
        course.pass("UpdateService", count(3));
        course.breaks("no manifest says");
        let mut course = Course::of(KeepsCount::default());
        course.wants(FIRST, Some(&manifest_with("1", "", "")));
        course.pause(1);
        course.pass("UpdateService", count(4));
        course.breaks("no manifest says");
    }

    #[test]
    fn a_rollback_with_a_count_is_found() {
        let mut course = Course::of(KeepsCount::default());
        course.looks(FIRST);
        course.returns("UpdateService", count(4));
        course.breaks("is a rollback");
    }
}
