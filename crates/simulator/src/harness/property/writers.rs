//! S9 and S12: two daemons never write to one service at the same time, and one service never has two
//! rollouts.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use evenkeel_manifest::ServiceKey;

use super::super::event::At;
use super::super::{Event, Property, Replica, Sent};
use super::call::{self, Write};
use super::memory::mark;
use super::ordering::told;
use super::origins::{Origin, Origins, is_in_flight};
use super::passes::Passes;
use super::soundness::has_failed;
use crate::{DeploymentCourse, DeploymentFacts, Life, ServiceFacts};

/// S9: the times from the sending of a write to its being carried out do not overlap for two daemons.
/// A call that is on its way for longer than a lease lets a daemon wait for the answer is beyond that:
/// nothing but looking again helps against it.
#[derive(Debug, Default)]
pub(super) struct SingleWriter {
    writes: BTreeMap<ServiceKey, VecDeque<OnItsWay>>,
}

#[derive(Debug)]
struct OnItsWay {
    by: Replica,
    number: u64,
    sent: At,
    carried_out: Option<At>,
}

/// After which a daemon with a lease gives a call up, by any clock: `write_deadline`, and what the fastest
/// and the slowest may differ by.
const GIVEN_UP: Duration = Duration::from_secs(8);

/// Writes to one service that are compared with each other.
const COMPARED: usize = 32;

impl Property for SingleWriter {
    fn name(&self) -> &'static str {
        "S9 single writer"
    }

    fn check(&mut self, at: At, event: &Event<'_>) -> Result<(), String> {
        match event {
            Event::Sent(call) if Write::of(call).is_some() => {
                self.sent(at, call);
                Ok(())
            }
            Event::CarriedOut { call, .. } if Write::of(call).is_some() => {
                self.carried_out(at, call)
            }
            _ => Ok(()),
        }
    }
}

impl SingleWriter {
    fn sent(&mut self, at: At, call: &Sent) {
        let Some(key) = &call.about else { return };
        let writes = self.writes.entry(key.clone()).or_default();
        writes.push_back(OnItsWay {
            by: call.by,
            number: call.number,
            sent: at,
            carried_out: None,
        });
        if writes.len() > COMPARED {
            writes.pop_front();
        }
    }

    fn carried_out(&mut self, at: At, call: &Sent) -> Result<(), String> {
        let Some(writes) = call.about.as_ref().and_then(|key| self.writes.get_mut(key)) else {
            return Ok(());
        };
        let Some(mine) = writes.iter_mut().find(|one| one.number == call.number) else {
            return Ok(());
        };
        mine.carried_out = Some(at);
        let sent = mine.sent;
        if sent + GIVEN_UP < at {
            return Ok(());
        }
        let overlaps = |other: &&OnItsWay| {
            other.by != call.by
                && (other.sent > sent || other.carried_out.is_some_and(|at| at > sent))
                // The other one was late: it says so itself when it is carried out in time.
                && other.carried_out.is_none_or(|at| at <= other.sent + GIVEN_UP)
        };
        match writes.iter().find(overlaps) {
            Some(other) => Err(format!(
                "{} was on its way together with call {} of daemon {}",
                told(call),
                other.number,
                other.by.0
            )),
            None => Ok(()),
        }
    }
}

/// S12: a rollout begins only when none is in flight, or to supersede one of ours with newer content.
/// What is not ours, or a return, is first given the time that it has to make progress, unless its tasks
/// fail. A look from before does not show what a call began that AWS carried out long after it was given up, and what crossed
/// with somebody's deployment may lack a part of the content.
#[derive(Debug, Default)]
pub(super) struct OneRollout {
    origins: Origins,
    passes: Passes,
    primaries: BTreeMap<ServiceKey, DeploymentFacts>,
    /// Whoever began them: deployments that a mark called ours while they were PRIMARY, and that restarted
    /// one of ours.
    taken_over: BTreeSet<(ServiceKey, u64)>,
    /// Deployments of which a task failed.
    failing: BTreeSet<(ServiceKey, u64)>,
    /// Those that came of a call which was carried out long after it was given up.
    late: BTreeSet<(ServiceKey, u64)>,
    /// Those that took the place of what their call's look did not show: they may have members of that.
    blind: BTreeSet<(ServiceKey, u64)>,
}

impl Property for OneRollout {
    fn name(&self) -> &'static str {
        "S12 one rollout"
    }

    fn check(&mut self, at: At, event: &Event<'_>) -> Result<(), String> {
        let said = match event {
            Event::CarriedOut { call, reply: Ok(reply) } if self.origins.is_late(call, at) => {
                let began = call.about.clone().zip(call::replied_primary(reply));
                self.late.extend(began);
                Ok(())
            }
            Event::CarriedOut { call, reply: Ok(reply) } => {
                let now = call::replied_primary(reply);
                let said = self.carried_out(at, call, now);
                self.takes_the_place(call, now);
                said
            }
            _ => Ok(()),
        };
        if let Event::Changed(facts) = event {
            self.changed(facts);
        }
        self.origins.note(at, event);
        self.passes.note(at, event);
        said
    }
}

impl OneRollout {
    fn changed(&mut self, facts: &ServiceFacts) {
        let key = ServiceKey::new(&*facts.cluster, &*facts.name);
        let Some(primary) = facts.primary().filter(|_| facts.life == Life::Active) else {
            self.primaries.remove(&key);
            return;
        };
        let marked = mark(&facts.tags).and_then(|mark| mark.deployment);
        let is_announced = mark(&facts.tags).is_some() && marked.is_none();
        if marked == Some(primary.id) || self.restarts_ours(&key, primary, is_announced) {
            self.taken_over.insert((key.clone(), primary.id));
        }
        let mut tasks = facts.tasks.iter().filter(|task| task.deployment == primary.id);
        if primary.failed_tasks > 0 || tasks.any(has_failed) {
            self.failing.insert((key.clone(), primary.id));
        }
        self.primaries.insert(key, primary.clone());
    }

    /// Whether it took the place of a rollout of ours that never was complete, or that no daemon had seen since
    /// it was announced, with the same task definition.
    fn restarts_ours(&self, key: &ServiceKey, now: &DeploymentFacts, is_announced: bool) -> bool {
        let before = self.primaries.get(key).filter(|before| before.id != now.id);
        before.is_some_and(|before| {
            let started = matches!(self.origins.of(key, before.id), Some(Origin::Started(_)));
            before.definition == now.definition
                && (before.course != DeploymentCourse::Completed || is_announced)
                && (started || self.taken_over.contains(&(key.clone(), before.id)))
        })
    }

    fn takes_the_place(&mut self, call: &Sent, now: Option<u64>) {
        let Some((key, now)) = call.about.clone().zip(now) else { return };
        let before = self.primaries.get(&key).filter(|before| before.id != now);
        let look =
            self.passes.of(call).and_then(|pass| Some((pass.look.as_ref()?.at, pass.is_stale)));
        let is_older = |before: &DeploymentFacts| {
            look.is_some_and(|(at, is_stale)| is_stale || at < before.created_at)
        };
        if before.is_some_and(is_older) {
            self.blind.insert((key, now));
        }
    }

    /// A call that was carried out left this deployment PRIMARY.
    fn carried_out(&self, at: At, call: &Sent, now: Option<u64>) -> Result<(), String> {
        let Some((key, write)) = call.about.as_ref().zip(Write::of(call)) else { return Ok(()) };
        let Some(before) = self.primaries.get(key) else { return Ok(()) };
        if !write.starts(call) || now == Some(before.id) || !is_in_flight(before) {
            return Ok(());
        }
        let begun = format!("{} while {} is in flight", told(call), before.id);
        match self.origins.of(key, before.id) {
            Some(Origin::Started(wishes)) => {
                let now = self.origins.wishes_of(call);
                let was = |revision| wishes.iter().any(|wish| wish.revision == revision);
                let same = !now.is_empty() && now.iter().all(|wish| was(wish.revision.clone()));
                let is_late = self.late.contains(&(key.clone(), before.id));
                let is_other = self.blind.contains(&(key.clone(), before.id));
                let same = same && !is_other && !(is_late && self.was_unseen(call, before));
                if same { Err(format!("{begun}, which rolls out the same")) } else { Ok(()) }
            }
            // Somebody else's rollout of what was wanted counts as one of ours.
            _ if self.taken_over.contains(&(key.clone(), before.id)) => Ok(()),
            _ if self.failing.contains(&(key.clone(), before.id)) => Ok(()),
            _ if self.was_unseen(call, before) => Ok(()),
            _ => {
                let patience = |wish: &std::sync::Arc<super::wishes::Wish>| {
                    before.created_at + wish.breaker.progress_deadline <= at
                };
                let wishes = self.origins.wishes_of(call);
                let waited = wishes.is_empty() || wishes.iter().any(patience);
                if waited { Ok(()) } else { Err(format!("{begun}, which was not waited for")) }
            }
        }
    }

    /// The deployment began after the look, or the look was of the past.
    fn was_unseen(&self, call: &Sent, deployment: &DeploymentFacts) -> bool {
        let Some(pass) = self.passes.of(call) else { return true };
        let look = pass.look.as_ref().map(|look| look.at);
        pass.is_stale || look.is_none_or(|at| at <= deployment.created_at)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::course::{
        Course, FIRST, SECOND, deployment, manifest, mark as marked, update,
    };
    use super::super::memory::ROLLOUT;
    use super::*;

    fn write(course: &mut Course<SingleWriter>, by: Replica) -> Sent {
        let call = course.write(by, "UpdateService", update(&json!({"desiredCount": 4})));
        course.sent(&call);
        call
    }

    #[test]
    fn daemons_may_write_one_after_the_other_and_one_may_write_as_it_likes() {
        let mut course = Course::of(SingleWriter::default());
        let (one, two) = (write(&mut course, FIRST), write(&mut course, FIRST));
        course.pause(1);
        course.carried_out(&two, &json!({}));
        course.carried_out(&one, &json!({}));
        course.pause(1);
        let other = write(&mut course, SECOND);
        course.pause(1);
        course.carried_out(&other, &json!({}));
        course.passes();
    }

    #[test]
    fn a_write_that_is_sent_while_another_daemon_s_is_on_its_way_is_found() {
        for first_is_first in [true, false] {
            let mut course = Course::of(SingleWriter::default());
            let one = write(&mut course, FIRST);
            course.pause(1);
            let two = write(&mut course, SECOND);
            course.pause(1);
            let order = if first_is_first { [one, two] } else { [two, one] };
            course.carried_out(&order[0], &json!({}));
            course.carried_out(&order[1], &json!({}));
            course.breaks("on its way together");
        }
    }

    #[test]
    fn a_write_that_arrives_after_every_deadline_is_no_overlap() {
        let mut course = Course::of(SingleWriter::default());
        let late = write(&mut course, FIRST);
        course.pause(9);
        let other = write(&mut course, SECOND);
        course.pause(1);
        course.carried_out(&other, &json!({}));
        course.carried_out(&late, &json!({}));
        course.passes();
    }

    fn wanting(image: &str) -> Course<OneRollout> {
        let mut course = Course::of(OneRollout::default());
        course.wants(FIRST, Some(&manifest(image)));
        course.pause(1);
        course
    }

    #[test]
    fn newer_content_supersedes_a_rollout_of_ours() {
        let mut course = wanting("2");
        course.rolls_out(2);
        course.pause(1);
        course.wants(FIRST, Some(&manifest("3")));
        course.pause(1);
        course.rolls_out(3);
        course.passes();
    }

    #[test]
    fn a_service_for_task_sets_that_is_there_already_is_no_second_rollout() {
        for (controller, is_found) in [("EXTERNAL", false), ("ECS", true)] {
            let mut course = wanting("2");
            course.rolls_out(2);
            course.pause(1);
            let input = json!({"serviceName": "web", "deploymentController": {"type": controller}});
            course.looks(FIRST);
            let call = course.write(FIRST, "CreateService", input);
            course.goes(&call, &json!({"service": {"serviceName": "web", "deployments": []}}));
            if is_found { course.breaks("rolls out the same") } else { course.passes() }
        }
    }

    #[test]
    fn the_same_content_is_not_rolled_out_twice_at_a_time() {
        let mut course = wanting("2");
        course.rolls_out(2);
        course.pause(1);
        course.rolls_out(3);
        course.breaks("rolls out the same");
    }

    /// Two passes; the first one's call was given up, and is carried out before or after the look of the second.
    #[test]
    fn what_a_late_call_began_after_the_look_could_not_be_seen() {
        for (is_seen, is_late, broken) in
            [(false, true, false), (true, true, true), (false, false, true)]
        {
            let mut course = wanting("2");
            course.looks(FIRST);
            let input = || update(&json!({"taskDefinition": "web:2"}));
            let first = course.write(FIRST, "UpdateService", input());
            course.sent(&first);
            course.pause(if is_late { 110 } else { 1 });
            if !is_seen {
                course.looks(FIRST);
                course.pause(1);
            }
            course.begins(2);
            let reply = course.updated();
            course.carried_out(&first, &reply);
            course.happens(|_, _| {});
            if is_seen {
                course.pause(1);
                course.looks(FIRST);
            }
            let second = course.write(FIRST, "UpdateService", input());
            course.sent(&second);
            course.begins(3);
            let reply = course.updated();
            course.carried_out(&second, &reply);
            if broken { course.breaks("rolls out the same") } else { course.passes() }
        }
    }

    #[test]
    fn a_rollout_that_crossed_with_somebody_s_may_lack_a_part_and_be_rolled_out_once_more() {
        for crosses in [true, false] {
            let mut course = wanting("2");
            course.looks(FIRST);
            if crosses {
                course.pause(1);
                course.begins(9);
                course.happens(|_, _| {});
            }
            let call =
                course.write(FIRST, "UpdateService", update(&json!({"taskDefinition": "w:2"})));
            course.sent(&call);
            course.pause(1);
            course.begins(2);
            let reply = course.updated();
            course.carried_out(&call, &reply);
            course.happens(|_, _| {});
            course.pause(1);
            course.rolls_out(3);
            if crosses {
                course.holds();
                course.pause(1);
                course.rolls_out(4);
            }
            course.breaks("rolls out the same");
        }
    }

    #[test]
    fn somebody_else_s_rollout_has_its_time() {
        for (waited, broken) in [(60, true), (601, false)] {
            let mut course = wanting("3");
            course.begins(2);
            course.happens(|_, _| {});
            course.pause(waited);
            course.rolls_out(3);
            if broken { course.breaks("not waited for") } else { course.passes() }
        }
    }

    #[test]
    fn somebody_else_s_rollout_that_fails_is_not_waited_for() {
        let mut course = wanting("3");
        course.begins(2);
        course.happens(|facts, _| facts.deployments[0].failed_tasks = 1);
        course.pause(60);
        course.rolls_out(3);
        course.passes();
    }

    #[test]
    fn a_return_has_its_time_too() {
        let mut course = wanting("2");
        course.rolls_out(2);
        course.happens(|facts, at| {
            let back = DeploymentFacts { revision: 1, created_at: at, ..deployment(9, 1) };
            facts.deployments.insert(0, back);
        });
        course.wants(FIRST, Some(&manifest("3")));
        course.pause(1);
        course.rolls_out(3);
        course.breaks("not waited for");
    }

    #[test]
    fn a_rollout_that_nobody_could_see_or_that_was_judged_as_ours_may_be_superseded() {
        let mut course = wanting("3");
        course.looks(FIRST);
        course.begins(2);
        course.happens(|_, _| {});
        let call = course.write(FIRST, "UpdateService", update(&json!({"taskDefinition": "w:3"})));
        course.sent(&call);
        course.begins(3);
        let reply = course.updated();
        course.carried_out(&call, &reply);
        course.passes();
        let mut course = wanting("3");
        course.begins(2);
        course.tags(ROLLOUT, &marked(&manifest("2"), "ecs-svc/2", "probe"));
        course.pause(1);
        course.tags(ROLLOUT, &marked(&manifest("3"), "-3", "probe"));
        course.rolls_out(3);
        course.passes();
    }

    #[test]
    fn a_restart_of_our_own_rollout_may_be_superseded() {
        let mut course = wanting("2");
        course.rolls_out(2);
        course.happens(|facts, at| {
            let again = DeploymentFacts { created_at: at, ..deployment(9, 2) };
            facts.deployments.insert(0, again);
        });
        course.wants(FIRST, Some(&manifest("3")));
        course.pause(1);
        course.rolls_out(3);
        course.passes();
    }

    #[test]
    fn a_restart_of_a_complete_rollout_is_somebody_else_s_unless_it_is_only_announced() {
        for (seen, broken) in [("-2", false), ("ecs-svc/2", true)] {
            let mut course = wanting("2");
            course.rolls_out(2);
            course.tags(ROLLOUT, &marked(&manifest("2"), seen, "probe"));
            course.completes();
            course.happens(|facts, at| {
                let again = DeploymentFacts { created_at: at, ..deployment(9, 2) };
                facts.deployments.insert(0, again);
            });
            course.wants(FIRST, Some(&manifest("3")));
            course.pause(1);
            course.rolls_out(3);
            if broken { course.breaks("not waited for") } else { course.passes() }
        }
    }
}
