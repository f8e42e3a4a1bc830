//! S1: no call of a daemon takes healthy tasks away below what its manifest keeps.

use std::collections::{BTreeMap, BTreeSet};

use evenkeel_manifest::ServiceKey;
use serde_json::Value;

use super::super::event::At;
use super::super::{Event, Property, Sent};
use super::call::{self, Write};
use super::origins::Origins;
use crate::{Life, ServiceFacts, TaskFacts};

/// S1: when ECS's scheduler stops healthy tasks, at least `ceil(desired × minimumHealthyPercent / 100)`
/// stay, by the count and the percentage that a manifest says or that somebody else has set. Where traffic
/// moves only tasks that get some are counted, and a shift that somebody else began is theirs. Tasks that
/// were lost at the same time for other causes count as if they had stayed. What becomes healthy, or gets traffic, of a task set
/// after its deletion was nothing to lose when it was deleted.
#[derive(Debug, Default)]
pub(super) struct MinimumHealthy {
    origins: Origins,
    services: BTreeMap<ServiceKey, Floor>,
}

/// What must stay of one service.
#[derive(Debug)]
struct Floor {
    desired: u64,
    /// When somebody last changed the count, and what it was until then.
    edited: Option<(At, u64)>,
    percent: u64,
    /// Ids of the tasks that were healthy when last told.
    healthy: BTreeSet<u64>,
    /// Task sets that a daemon deleted.
    deleted: BTreeSet<u64>,
}

impl Property for MinimumHealthy {
    fn name(&self) -> &'static str {
        "S1 minimum healthy"
    }

    fn check(&mut self, at: At, event: &Event<'_>) -> Result<(), String> {
        self.origins.note(at, event);
        match event {
            Event::CarriedOut { call, reply: Ok(_) } => {
                self.carried_out(at, call);
                Ok(())
            }
            Event::Edited { operation: "UpdateService" | "CreateService", input, .. } => {
                if let Some(floor) = call::named(input).and_then(|key| self.services.get_mut(&key))
                {
                    if let Some(given) = count(input) {
                        floor.edited = Some((at, std::mem::replace(&mut floor.desired, given)));
                    }
                    floor.percent = percent(input).unwrap_or(floor.percent);
                }
                Ok(())
            }
            Event::Changed(facts) if facts.life == Life::Active => self.changed(facts),
            Event::Changed(facts) => {
                self.services.remove(&ServiceKey::new(&*facts.cluster, &*facts.name));
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

impl MinimumHealthy {
    /// Lowers the floor only as far as a manifest does, or a call that is carried out long after it was given up, or one that
    /// was sent before somebody else asked for more. Whether what none names may come to zero is for S15 to say.
    fn carried_out(&mut self, at: At, call: &Sent) {
        if call.operation == "DeleteTaskSet" {
            let floor = call.about.as_ref().and_then(|key| self.services.get_mut(key));
            let set = call::text(&call.input, "taskSet").and_then(call::number);
            if let Some((floor, set)) = floor.zip(set) {
                floor.deleted.insert(set);
            }
        }
        let Some(Write::Update(input)) = Write::of(call) else { return };
        let wishes = self.origins.wishes_of(call);
        let sent = self.origins.sent_at(call);
        let floor = call.about.as_ref().and_then(|key| self.services.get_mut(key));
        let Some(floor) = floor else { return };
        if let Some(given) = count(input)
            && (wishes.iter().any(|wish| wish.count.is_some_and(|count| count <= given))
                || (wishes.is_empty() && given == 0)
                || self.origins.is_late(call, at)
                || floor.has_crossed(sent, given))
        {
            floor.desired = given;
        }
        if let Some(given) = percent(input)
            && wishes.iter().any(|wish| wish.minimum_healthy_percent <= given)
        {
            floor.percent = given;
        }
    }

    fn changed(&mut self, facts: &ServiceFacts) -> Result<(), String> {
        let key = ServiceKey::new(&*facts.cluster, &*facts.name);
        let is_foreign = self.origins.is_foreign_shift(&key, facts);
        let floor = self.services.entry(key).or_insert_with(|| Floor::of(facts));
        let serves = |task: &&TaskFacts| {
            let is_kept = !floor.deleted.contains(&task.deployment);
            let is_missed = is_kept || floor.healthy.contains(&task.id);
            task.healthy && is_missed && !has_no_traffic(facts, task.deployment)
        };
        let now: BTreeSet<u64> = facts.tasks.iter().filter(serves).map(|one| one.id).collect();
        let before = std::mem::replace(&mut floor.healthy, now);
        // What gave its traffic away in the meantime is no loss either.
        let gone = facts.tasks.iter().filter(|one| {
            !one.healthy && before.contains(&one.id) && !has_no_traffic(facts, one.deployment)
        });
        let (taken, lost): (Vec<&TaskFacts>, Vec<&TaskFacts>) = gone.partition(|one| is_taken(one));
        let least = (floor.desired * floor.percent).div_ceil(100);
        let left = floor.healthy.len() + lost.len();
        let is_kept = u64::try_from(left).unwrap_or(u64::MAX) >= least;
        if taken.is_empty() || is_kept || is_foreign {
            return Ok(());
        }
        Err(format!(
            "{} healthy tasks were stopped and {left} are left; {least} must be ({} of {} percent)",
            taken.len(),
            floor.desired,
            floor.percent
        ))
    }
}

impl Floor {
    fn of(facts: &ServiceFacts) -> Self {
        Self {
            desired: u64::from(facts.desired),
            edited: None,
            percent: u64::from(facts.minimum_healthy_percent),
            healthy: BTreeSet::new(),
            deleted: BTreeSet::new(),
        }
    }

    /// Whether a call that did not lower what was crossed with somebody's edit.
    fn has_crossed(&self, sent: Option<At>, given: u64) -> bool {
        let sent_before = |edited: At| sent.is_some_and(|sent| sent < edited);
        self.edited.is_some_and(|(edited, before)| sent_before(edited) && given >= before)
    }
}

/// Whether a deployment has no part of the traffic that moves: its tasks are no loss.
fn has_no_traffic(facts: &ServiceFacts, deployment: u64) -> bool {
    facts.deployments.iter().any(|one| one.id == deployment && one.share == Some(0))
}

/// Stopped by the scheduler, and not because of its health.
pub(super) fn is_taken(task: &TaskFacts) -> bool {
    let for_health = task.stopped_reason.as_ref().is_some_and(|why| why.contains("health checks"));
    !task.wanted && task.stop_code == Some("ServiceSchedulerInitiated") && !for_health
}

fn count(input: &Value) -> Option<u64> {
    input.get("desiredCount")?.as_u64()
}

fn percent(input: &Value) -> Option<u64> {
    input.pointer("/deploymentConfiguration/minimumHealthyPercent")?.as_u64()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::course::{Course, FIRST, manifest_with, stop, task, update};
    use super::*;

    const SCHEDULER: &str = "ServiceSchedulerInitiated";
    const SCALING: &str = "Scaling activity initiated by (deployment ecs-svc/2)";

    fn takes(course: &mut Course<MinimumHealthy>, indices: std::ops::Range<usize>) {
        course.pause(1);
        course.happens(|facts, at| {
            facts.tasks[indices].iter_mut().for_each(|one| stop(one, at, SCHEDULER, SCALING));
        });
    }

    fn course() -> Course<MinimumHealthy> {
        Course::of(MinimumHealthy::default())
    }

    fn least(percent: u64) -> Value {
        update(&json!({"deploymentConfiguration": {"minimumHealthyPercent": percent}}))
    }

    #[test]
    fn a_healthy_task_may_go_when_another_has_come() {
        let mut course = course();
        course.happens(|facts, _| facts.tasks.push(task(200, 2)));
        takes(&mut course, 0..1);
        course.passes();
    }

    #[test]
    fn a_healthy_task_that_is_needed_may_not_go() {
        let mut course = course();
        takes(&mut course, 0..1);
        course.breaks("3 are left; 4 must be");
    }

    #[test]
    fn where_traffic_moves_only_tasks_that_get_some_are_needed_unless_somebody_else_moves_it() {
        for (share, ours, broken) in [(0, true, false), (500, true, true), (500, false, false)] {
            let mut course = course();
            course.pause(1);
            if ours {
                course.rolls_out(2);
            } else {
                course.begins(2);
            }
            course.happens(|facts, _| {
                facts.tasks.extend((200..204).map(|id| task(id, 2)));
                facts.deployments[0].share = Some(1000 - share);
                facts.deployments[1].share = Some(share);
                // Half of the new ones are lost.
                facts.tasks.truncate(6);
            });
            takes(&mut course, 0..4);
            if broken { course.breaks("2 are left; 4 must be") } else { course.passes() }
        }
    }

    #[test]
    fn what_has_given_its_traffic_away_meanwhile_is_not_needed() {
        for (share, broken) in [(0, false), (500, true)] {
            let mut course = course();
            course.pause(1);
            course.rolls_out(2);
            course.happens(|facts, _| {
                facts.tasks.truncate(1);
                facts.tasks.extend((200..203).map(|id| task(id, 2)));
            });
            course.happens(|facts, at| {
                facts.deployments[0].share = Some(share);
                facts.deployments[1].share = Some(1000 - share);
                stop(&mut facts.tasks[1], at, SCHEDULER, SCALING);
            });
            if broken { course.breaks("3 are left; 4 must be") } else { course.passes() }
        }
    }

    #[test]
    fn what_gets_traffic_after_its_task_set_was_deleted_was_nothing_to_lose() {
        for (is_deleted_before, broken) in [(true, false), (false, true)] {
            let mut course = course();
            course.pause(1);
            course.rolls_out(2);
            course.happens(|facts, _| {
                facts.tasks.iter_mut().for_each(|one| one.healthy = false);
                facts.tasks.push(task(200, 2));
                facts.deployments[0].share = Some(0);
            });
            let delete = json!({"taskSet": "ecs-svc/2"});
            if is_deleted_before {
                course.pass("DeleteTaskSet", delete.clone());
            }
            course.happens(|facts, _| facts.deployments[0].share = Some(500));
            if !is_deleted_before {
                course.pass("DeleteTaskSet", delete);
            }
            takes(&mut course, 4..5);
            if broken { course.breaks("0 are left; 4 must be") } else { course.passes() }
        }
    }

    #[test]
    fn what_the_world_takes_is_not_ours() {
        let mut course = course();
        course.happens(|facts, _| facts.tasks.push(task(200, 2)));
        course.happens(|facts, at| {
            stop(&mut facts.tasks[0], at, "EssentialContainerExited", "it exited");
            stop(&mut facts.tasks[1], at, SCHEDULER, SCALING);
            stop(&mut facts.tasks[2], at, "UserInitiated", "Task stopped by user");
        });
        course.happens(|facts, at| {
            stop(&mut facts.tasks[3], at, SCHEDULER, "Task failed container health checks");
        });
        course.passes();
    }

    #[test]
    fn the_floor_is_as_low_as_the_manifest_says_and_no_lower() {
        let service =
            "    desiredCount: 4\n    deploymentConfiguration: {minimumHealthyPercent: 50}\n";
        for (given, broken) in [(50, false), (25, true)] {
            let mut course = course();
            course.wants(FIRST, Some(&manifest_with("1", service, "")));
            course.pause(1);
            course.pass("UpdateService", least(given));
            takes(&mut course, 0..2);
            course.pause(1);
            if broken { course.breaks("4 must be") } else { course.passes() }
        }
    }

    #[test]
    fn a_count_lowers_the_floor_when_it_is_the_manifest_s_or_somebody_else_s() {
        let two = || update(&json!({"desiredCount": 2}));
        let mut ours = course();
        ours.wants(FIRST, Some(&manifest_with("1", "    desiredCount: 2\n", "")));
        ours.pause(1);
        ours.pass("UpdateService", two());
        takes(&mut ours, 0..2);
        ours.passes();
        let mut theirs = course();
        theirs.person("UpdateService", &two());
        takes(&mut theirs, 0..2);
        theirs.passes();
        let mut nobodys = course();
        nobodys.pass("UpdateService", two());
        takes(&mut nobodys, 0..2);
        nobodys.breaks("2 are left");
    }

    #[test]
    fn a_count_that_was_given_up_long_before_it_is_carried_out_lowers_the_floor() {
        for (seconds, broken) in [(100, false), (10, true)] {
            let mut course = course();
            course.looks(FIRST);
            let call = course.write(FIRST, "UpdateService", update(&json!({"desiredCount": 2})));
            course.sent(&call);
            course.pause(seconds);
            let reply = course.updated();
            course.carried_out(&call, &reply);
            takes(&mut course, 0..2);
            if broken { course.breaks("2 are left") } else { course.passes() }
        }
    }

    #[test]
    fn a_count_that_crossed_with_somebody_s_lowers_the_floor_unless_it_lowered_what_was_before() {
        let count = |count: u64| update(&json!({"desiredCount": count}));
        for (given, crosses, broken) in [(2, true, false), (1, true, true), (2, false, true)] {
            let mut course = course();
            course.person("UpdateService", &count(2));
            course.looks(FIRST);
            if !crosses {
                course.person("UpdateService", &count(4));
            }
            course.pause(1);
            let call = course.write(FIRST, "UpdateService", count(given));
            course.sent(&call);
            course.pause(1);
            if crosses {
                course.person("UpdateService", &count(4));
            }
            let reply = course.updated();
            course.carried_out(&call, &reply);
            takes(&mut course, 0..2);
            if broken { course.breaks("4 must be") } else { course.passes() }
        }
    }
}
