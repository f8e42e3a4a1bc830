//! S26: neither verdict is given without what it says being true; never when it is acted on.

mod record;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use evenkeel_manifest::ServiceKey;
use evenkeel_planner::Command;

use self::record::Record;
use super::super::event::At;
use super::super::{Event, Property, Sent};
use super::asks::Asks;
use super::call::{self, Write};
use super::definitions::Definitions;
use super::memory::{DIGEST, Mark, OWNER, PROVEN, REJECTED, ROLLOUT};
use super::ordering::told;
use super::origins::{Origin, Origins};
use super::passes::Passes;
use super::wishes::Wish;
use crate::TaskFacts;

/// S26: the tag `evenkeel:proven` is written only after ECS completed the revision wanted, with every
/// task healthy and no named alarm red, at some moment of the pass; and `evenkeel:rejected` only when
/// something speaks against the revision, and against a deployment of it that was not returned from before. A person may say so,
/// and name what is returned to, or deploy what was proven in its place. Who reads a mark that AWS carried out long after it was
/// given up, perhaps on a service made anew, is not to blame.
#[derive(Debug, Default)]
pub(super) struct VerdictSoundness {
    origins: Origins,
    definitions: Definitions,
    passes: Passes,
    asks: Asks,
    services: BTreeMap<ServiceKey, Record>,
    /// Services whose mark was carried out late.
    misled: BTreeSet<ServiceKey>,
    /// Deployments that came of a call which was carried out long after it was given up: as anybody else's.
    late: BTreeSet<(ServiceKey, u64)>,
}

/// How old the past is from which an answer can be.
const LAG_MAX: Duration = Duration::from_mins(6);

impl Property for VerdictSoundness {
    fn name(&self) -> &'static str {
        "S26 verdict soundness"
    }

    fn check(&mut self, at: At, event: &Event<'_>) -> Result<(), String> {
        self.origins.note(at, event);
        self.definitions.note(event);
        self.asks.note(at, event);
        let said = match event {
            Event::Changed(facts) => {
                let key = ServiceKey::new(&*facts.cluster, &*facts.name);
                self.services.entry(key).or_default().changed(at, facts);
                Ok(())
            }
            Event::Sent(call) => match Write::of(call) {
                Some(write @ Write::Tag(_)) => self.sent(at, call, write),
                _ => Ok(()),
            },
            Event::CarriedOut { call, reply } => {
                self.marked(at, call);
                let began = reply.as_ref().ok().and_then(|reply| call::replied_primary(reply));
                let is_late = self.origins.is_late(call, at);
                self.late.extend(call.about.clone().zip(began).filter(|_| is_late));
                Ok(())
            }
            _ => Ok(()),
        };
        self.passes.note(at, event);
        said
    }
}

impl VerdictSoundness {
    fn sent(&self, at: At, call: &Sent, write: Write<'_>) -> Result<(), String> {
        let Some(record) = call.about.as_ref().and_then(|key| self.services.get(key)) else {
            return Ok(());
        };
        let Some(pass) = self.passes.of(call) else { return Ok(()) };
        let lag = if pass.is_stale { LAG_MAX } else { Duration::ZERO };
        let since = pass.began.checked_sub(lag).unwrap_or(pass.began);
        if self.is_a_person_s(call, write) {
            return Ok(());
        }
        let wishes = self.origins.wishes_of(call);
        if write.tag(PROVEN).is_some() {
            let is_baseline = write.tag(DIGEST).is_none() && write.tag(OWNER).is_some();
            if is_baseline {
                let is_done = record.done.since(since).next().is_some();
                let words = || format!("{}: ECS has not completed what runs", told(call));
                return is_done.then_some(()).ok_or_else(words);
            }
            let why = record.unproven(since, |arn| {
                wishes.iter().any(|wish| self.definitions.is(arn, &wish.definition))
            });
            let why = why.or_else(|| {
                let red = |wish: &&Arc<Wish>| record.is_red(since, &wish.breaker.alarms);
                let all = !wishes.is_empty() && wishes.iter().all(|wish| red(&wish));
                all.then_some("an alarm is red or missing")
            });
            return why.map_or(Ok(()), |why| Err(format!("{}: {why}", told(call))));
        }
        let is_misled = call.about.as_ref().is_some_and(|key| self.misled.contains(key));
        if write.tag(REJECTED).is_some() && !is_misled {
            return self.rejects(at, call, write, record, pass.is_stale);
        }
        Ok(())
    }

    fn marked(&mut self, at: At, call: &Sent) {
        let (Some(key), Some(write)) = (&call.about, Write::of(call)) else { return };
        let mark = write.tag(ROLLOUT);
        let is_late = self.origins.is_late(call, at);
        if mark.is_some() && is_late {
            self.misled.insert(key.clone());
        } else if mark.is_some() {
            self.misled.remove(key);
        }
        let is_about_it = mark.is_some() || write.removes(ROLLOUT);
        if let Some(record) = self.services.get_mut(key).filter(|_| is_about_it && !is_late) {
            record.marked(mark.and_then(Mark::read));
        }
    }

    /// A verdict without another word of proof, or with the revision that somebody asked for.
    fn is_a_person_s(&self, call: &Sent, write: Write<'_>) -> bool {
        write.tag(REJECTED).is_some()
            && self.asks.for_call(call, |command| match (command, write.tag(PROVEN)) {
                (Command::Abort | Command::Undo { .. }, None)
                | (Command::Undo { to: None }, Some(_)) => true,
                (Command::Undo { to: Some(to) }, Some(proven)) => {
                    call::last_part(proven) == call::last_part(to)
                        || proven.ends_with(&format!("/{to}"))
                }
                _ => false,
            })
    }

    fn rejects(
        &self,
        at: At,
        call: &Sent,
        write: Write<'_>,
        record: &Record,
        is_stale: bool,
    ) -> Result<(), String> {
        let tag = write.tag(ROLLOUT);
        // What CodeDeploy carries out has an id of its own, and one at a time.
        let carried_out = || record.newest.filter(|_| tag.is_some_and(|tag| tag.contains(":d-")));
        let marked = tag.and_then(Mark::read).and_then(|mark| mark.deployment);
        let Some(id) = marked.or_else(|| carried_out().map(|(_, id)| id)) else {
            return Err(format!("{} names no deployment", told(call)));
        };
        let wishes = self.origins.wishes_of(call);
        let alarmed = wishes.iter().flat_map(|wish| &wish.breaker.alarms);
        let began = record.began.get(&id).copied();
        let alarmed = alarmed
            .filter_map(|name| record.red.get(name))
            .any(|red| began.is_none_or(|began| *red >= began));
        let patience = wishes.iter().map(|wish| wish.breaker.progress_deadline).min();
        let is_old = |since: At| patience.is_none_or(|patience| since + patience <= at);
        let stands_still = began.is_none_or(is_old) && !record.is_whole(id, at);
        // The facts of a service do not tell what CodeDeploy itself ended: its tasks may stay, all healthy, and be PRIMARY.
        let is_primary = record.primary == Some(id);
        let is_by_code_deploy =
            write.tag(REJECTED).is_some_and(|verdict| verdict.ends_with(":RolledBackByCodeDeploy"));
        let is_given_up = carried_out().is_some() && (!is_primary || is_by_code_deploy);
        let is_measured = wishes.iter().any(|wish| wish.is_measured);
        let measured = is_measured && record.failing.contains(&id);
        // Who is shown the past may not see that it was returned from.
        if record.returned_from.contains(&id) && !is_primary && !is_stale {
            return Err(format!("{} although {id} was returned from before", told(call)));
        }
        let is_accused = record.accused.contains(&id)
            || self.is_returned_by_hand(call, record, id)
            || (began.is_some_and(|began| is_unanswered(wishes, began, at)) && is_stalled(write));
        if alarmed || stands_still || is_given_up || measured || is_accused {
            return Ok(());
        }
        Err(format!("{} although nothing speaks against {id}", told(call)))
    }

    /// Whether somebody deployed what has the content of the proven revision over it, which says that it is bad.
    fn is_returned_by_hand(&self, call: &Sent, record: &Record, id: u64) -> bool {
        let Some((key, primary)) = call.about.as_ref().zip(record.primary.filter(|one| *one != id))
        else {
            return false;
        };
        let is_somebody_s = matches!(self.origins.of(key, primary), Some(Origin::Foreign))
            || self.late.contains(&(key.clone(), primary));
        let content = |revision| self.definitions.digest(self.origins.definition(key, revision)?);
        let proven = record.proven.and_then(content);
        is_somebody_s && proven.is_some() && content(primary) == proven
    }
}

fn is_stalled(write: Write<'_>) -> bool {
    write.tag(REJECTED).is_some_and(|verdict| verdict.ends_with(":Stalled"))
}

/// Whether a gate or a step may have waited, for as long as it may, for a person or for numbers that are clear.
fn is_unanswered(wishes: &[Arc<Wish>], began: At, at: At) -> bool {
    let waiting = wishes.iter().filter(|wish| wish.may_wait());
    let timeouts = waiting.filter_map(|wish| wish.gate_timeout);
    timeouts.min().is_some_and(|timeout| began + timeout <= at)
}

/// A task that ended otherwise than by the wish of somebody.
pub(super) fn has_failed(task: &TaskFacts) -> bool {
    match task.stop_code {
        Some("TaskFailedToStart" | "EssentialContainerExited") => true,
        Some("ServiceSchedulerInitiated") => {
            task.stopped_reason.as_ref().is_some_and(|why| why.contains("health checks"))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use evenkeel_manifest::Strategy;
    use serde_json::{Value, json};

    use super::super::course::{
        Course, FIRST, definition, manifest, manifest_with, mark, pending, proof, revision,
        stepped, stop, tagging, throttled, verdict,
    };
    use super::*;

    fn against() -> Value {
        let wanted = manifest("2");
        let mark = mark(&wanted, "ecs-svc/2", "rollback");
        tagging(&[(REJECTED, &verdict(&wanted)), (ROLLOUT, &mark)])
    }

    #[test]
    fn a_person_may_say_that_a_revision_is_bad_and_name_the_one_to_return_to() {
        let abort = || tagging(&[(REJECTED, &verdict(&manifest("2")))]);
        let undo = |to| tagging(&[(REJECTED, &verdict(&manifest("2"))), (PROVEN, to)]);
        let to = |name: &str| Command::Undo { to: Some(name.to_owned()) };
        let (first, third) = (definition(1), definition(3));
        let told = [
            (Some(Command::Abort), abort(), None),
            (Some(to("web:1")), undo(&first), None),
            (Some(to("1")), undo(&revision(1)), None),
            (Some(Command::Undo { to: None }), undo(&third), None),
            (Some(to("web:1")), undo(&third), Some("not complete")),
            (Some(Command::Abort), undo(&first), Some("not complete")),
            (Some(Command::Pause), abort(), Some("names no deployment")),
            (None, abort(), Some("names no deployment")),
        ];
        for (command, written, broken) in told {
            let mut course = Course::rolled_out(VerdictSoundness::default());
            if let Some(command) = &command {
                course.asks(command);
            }
            course.pass("TagResource", written);
            match broken {
                Some(words) => course.breaks(words),
                None => course.passes(),
            }
        }
    }

    #[test]
    fn what_is_complete_and_healthy_is_proven() {
        let mut course = Course::rolled_out(VerdictSoundness::default());
        course.completes();
        course.looks(FIRST);
        // A task that is lost while the proof is written was seen by nobody.
        course.happens(|facts, _| facts.tasks.truncate(3));
        course.writes("TagResource", proof(2));
        course.passes();
    }

    #[test]
    fn what_is_not_complete_is_not_proven() {
        let mut course = Course::rolled_out(VerdictSoundness::default());
        course.pass("TagResource", proof(2));
        course.breaks("not complete");
        let mut course = Course::rolled_out(VerdictSoundness::default());
        course.completes();
        course.happens(|facts, _| facts.tasks[0] = pending(200, 2));
        course.pause(1);
        course.pass("TagResource", proof(2));
        course.breaks("not complete");
    }

    #[test]
    fn what_is_complete_but_not_healthy_is_not_proven() {
        let mut course = Course::rolled_out(VerdictSoundness::default());
        course.completes();
        course.happens(|facts, _| facts.tasks[0].healthy = false);
        course.pause(1);
        course.pass("TagResource", proof(2));
        course.breaks("not every task");
    }

    #[test]
    fn a_look_into_the_past_shows_what_was_true_then() {
        let mut course = Course::rolled_out(VerdictSoundness::default());
        course.completes();
        course.pause(1);
        course.happens(|facts, _| facts.tasks[0].healthy = false);
        course.pause(60);
        let reply = course.described();
        course.sees(FIRST, &reply, true);
        course.writes("TagResource", proof(2));
        course.passes();
    }

    fn alarmed(state: Option<&'static str>) -> Course<VerdictSoundness> {
        let spec = "  rollout: {breaker: {alarms: [errors]}}\n";
        let mut course = Course::of(VerdictSoundness::default());
        course.wants(FIRST, Some(&manifest_with("2", "    desiredCount: 4\n", spec)));
        course.pause(1);
        course.rolls_out(2);
        if let Some(state) = state {
            course.truth.alarms.insert("errors".to_owned(), state);
        }
        course.completes();
        course.pause(1);
        course.pass("TagResource", proof(2));
        course
    }

    #[test]
    fn a_red_or_a_missing_alarm_forbids_the_proof() {
        alarmed(Some("OK")).passes();
        alarmed(Some("ALARM")).breaks("an alarm");
        alarmed(None).breaks("an alarm");
    }

    #[test]
    fn the_baseline_of_an_adoption_is_whatever_is_complete() {
        let adoption = || tagging(&[(OWNER, "v1:evenkeel:a"), (PROVEN, &revision(3))]);
        let mut course = Course::of(VerdictSoundness::default());
        course.begins(3);
        course.happens(|_, _| {});
        course.pause(1);
        course.pass("TagResource", adoption());
        course.breaks("not completed");
        for is_short in [false, true] {
            let mut course = Course::of(VerdictSoundness::default());
            course.begins(3);
            course.completes();
            if is_short {
                course.happens(|facts, _| facts.tasks.truncate(3));
                course.pause(60);
            }
            course.pass("TagResource", adoption());
            course.passes();
        }
    }

    /// A verdict about revision 2, which failed so many requests of users.
    fn judged(wanted: &evenkeel_manifest::Service, failed: u64) -> Course<VerdictSoundness> {
        let mut course = Course::of(VerdictSoundness::default());
        course.wants(FIRST, Some(wanted));
        course.pause(1);
        course.rolls_out(2);
        course.pause(1);
        course.happens(|facts, _| facts.deployments[0].failed_requests += failed);
        course.looks(FIRST);
        let mark = mark(wanted, "ecs-svc/2", "rollback");
        let tags = tagging(&[(REJECTED, &verdict(wanted)), (ROLLOUT, &mark)]);
        course.writes("TagResource", tags);
        course
    }

    #[test]
    fn who_deploys_what_was_proven_in_its_place_says_that_it_is_bad() {
        for (content, broken) in [(1, false), (4, true)] {
            let mut course = Course::rolled_out(VerdictSoundness::default());
            course.tags(PROVEN, &revision(1));
            course.describes_copy(30, content);
            course.begins(30);
            course.happens(|_, _| {});
            course.pass("TagResource", against());
            if broken { course.breaks("nothing speaks against") } else { course.passes() }
        }
    }

    #[test]
    fn a_call_that_deploys_what_was_proven_long_after_it_was_given_up_says_so_too() {
        for (seconds, broken) in [(110, false), (1, true)] {
            let mut course = Course::rolled_out(VerdictSoundness::default());
            course.tags(PROVEN, &revision(1));
            course.describes_copy(30, 1);
            course.looks(FIRST);
            let call = course.write(FIRST, "UpdateService", json!({"taskDefinition": "web:30"}));
            course.sent(&call);
            course.pause(seconds);
            course.begins(30);
            let reply = course.updated();
            course.carried_out(&call, &reply);
            course.happens(|_, _| {});
            course.pause(1);
            course.pass("TagResource", against());
            if broken { course.breaks("nothing speaks against") } else { course.passes() }
        }
    }

    #[test]
    fn requests_that_failed_are_a_reason_where_the_manifest_has_them_measured() {
        let spec = "  rollout:\n    strategy: BlueGreen\n    analysis: {metrics: [{metric: cpu, max: 1%}]}\n";
        let measured = manifest_with("2", "    desiredCount: 4\n", spec);
        judged(&measured, 3).passes();
        judged(&measured, 0).breaks("nothing speaks against");
        judged(&manifest("2"), 3).breaks("nothing speaks against");
    }

    #[test]
    fn a_rejection_needs_a_reason() {
        let mut course = Course::rolled_out(VerdictSoundness::default());
        course.happens(|facts, _| facts.tasks.push(pending(200, 2)));
        let look = course.call(FIRST, "ListTasks", json!({}));
        course.sent(&look);
        course.failed(&look, &throttled());
        course.pass("TagResource", against());
        course.breaks("nothing speaks against");
    }

    #[test]
    fn who_reads_a_mark_that_came_late_is_not_to_blame_until_there_is_a_newer_one() {
        for is_newer in [false, true] {
            let mut course = Course::rolled_out(VerdictSoundness::default());
            let mark = tagging(&[(ROLLOUT, "v1:v1:a:d-ABC:shift:7")]);
            course.looks(FIRST);
            let call = course.write(FIRST, "TagResource", mark.clone());
            course.sent(&call);
            course.pause(275);
            course.carried_out(&call, &json!({}));
            if is_newer {
                course.pass("TagResource", mark);
            }
            course.pass("TagResource", against());
            if is_newer { course.breaks("nothing speaks against") } else { course.passes() }
        }
    }

    /// A task of revision 2 does.
    fn crashes(course: &mut Course<VerdictSoundness>) {
        course.happens(|facts, at| {
            let mut failed = pending(200, 2);
            stop(&mut failed, at, "EssentialContainerExited", "Essential container in task exited");
            facts.tasks.push(failed);
        });
    }

    #[test]
    fn a_failed_task_or_patience_that_ended_is_a_reason() {
        let mut course = Course::rolled_out(VerdictSoundness::default());
        crashes(&mut course);
        course.pass("TagResource", against());
        course.passes();
        let mut course = Course::rolled_out(VerdictSoundness::default());
        course.pause(600);
        course.pass("TagResource", against());
        course.passes();
    }

    #[test]
    fn patience_does_not_end_where_every_task_was_healthy_for_long() {
        for (whole, is_reason) in [(300, true), (600, false)] {
            let mut course = Course::rolled_out(VerdictSoundness::default());
            course.pause(900 - whole);
            course.completes();
            course.pause(whole);
            course.pass("TagResource", against());
            if is_reason { course.passes() } else { course.breaks("nothing speaks") }
        }
    }

    #[test]
    fn an_alarm_that_was_red_before_the_rollout_is_no_reason() {
        let spec = "  rollout: {breaker: {alarms: [errors]}}\n";
        for is_during in [true, false] {
            let mut course = Course::of(VerdictSoundness::default());
            let wanted = manifest_with("2", "    desiredCount: 4\n", spec);
            course.wants(FIRST, Some(&wanted));
            let turns = |course: &mut Course<VerdictSoundness>, state| {
                course.happens(|facts, _| {
                    facts.alarms.insert("errors".to_owned(), state);
                });
                course.pause(1);
            };
            turns(&mut course, "ALARM");
            turns(&mut course, "OK");
            course.rolls_out(2);
            if is_during {
                turns(&mut course, "ALARM");
            }
            let mark = mark(&wanted, "ecs-svc/2", "rollback");
            let written = tagging(&[(REJECTED, &verdict(&wanted)), (ROLLOUT, &mark)]);
            course.pass("TagResource", written);
            if is_during { course.passes() } else { course.breaks("nothing speaks") }
        }
    }

    #[test]
    fn a_gate_that_nobody_answered_in_time_is_a_reason_where_somebody_is_asked() {
        let of = |analysis: &str| {
            let rollout = format!("{{strategy: BlueGreen, gateTimeout: 15m{analysis}}}");
            manifest_with("2", "    desiredCount: 4\n", &format!("  rollout: {rollout}\n"))
        };
        let measured = of(", analysis: {metrics: [{metric: cpu, max: 1%}]}");
        let in_steps = |asks| {
            let mut wanted = stepped("2");
            if let Strategy::Steps(all) = &mut wanted.rollout.strategy {
                all.gate_timeout = Duration::from_mins(15);
                all.steps[0].approve = asks;
            }
            wanted
        };
        for (wanted, minutes, kind, is_reason) in [
            (&measured, 15, "Stalled", true),
            (&measured, 14, "Stalled", false),
            (&measured, 15, "Crashes", false),
            (&of(""), 15, "Stalled", false),
            (&in_steps(true), 15, "Stalled", true),
            (&in_steps(true), 14, "Stalled", false),
            (&in_steps(false), 15, "Stalled", false),
        ] {
            let mut course = Course::of(VerdictSoundness::default());
            course.wants(FIRST, Some(wanted));
            course.rolls_out(2);
            course.completes();
            course.pause(minutes * 60);
            let mark = mark(wanted, "ecs-svc/2", "rollback");
            let rejected = format!("v1:{}:1790000000:{kind}", wanted.revision_digest);
            course.pass("TagResource", tagging(&[(REJECTED, &rejected), (ROLLOUT, &mark)]));
            if is_reason { course.passes() } else { course.breaks("nothing speaks") }
        }
    }

    #[test]
    fn how_a_return_ended_is_no_reason_to_reject_what_was_not_begun_again() {
        for (is_over, is_stale) in [(false, false), (true, true), (true, false)] {
            let mut course = Course::rolled_out(VerdictSoundness::default());
            crashes(&mut course);
            course.pass("TagResource", against());
            course.begins(3);
            course.happens(|_, _| {});
            if is_over {
                course.pass("UntagResource", json!({"tagKeys": [ROLLOUT]}));
            }
            let reply = course.described();
            course.sees(FIRST, &reply, is_stale);
            course.writes("TagResource", against());
            if is_over && !is_stale {
                course.breaks("returned from before");
            } else {
                course.passes();
            }
        }
    }
}
