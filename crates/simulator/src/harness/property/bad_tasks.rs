//! S8: a revision that never becomes healthy starts few tasks, whatever the size of the service.

use std::collections::BTreeMap;
use std::time::Duration;

use evenkeel_manifest::{OnFailure, ServiceKey, Threshold};

use super::super::event::At;
use super::super::{Event, Property, Replica, Sent};
use super::call::named;
use super::rollouts::{Failure, Rollout, Rollouts};
use super::wishes::Wish;

/// S8: before a rollout is widened, ECS starts at most as many tasks of it as fail before the verdict,
/// and one step more (three by default), and one for each that became healthy, and one for each that
/// ended for a cause that counts against nobody.
///
/// That is so while a daemon can act. When none could (none ran, it was not answered, or only late or
/// from the past) tasks go on being started; but not any more once a daemon has been able to act for
/// [`REACTS_WITHIN`], which is longer than any back-off. Where people have ruled a rollback out
/// (`onFailure: Hold`, a pause, an edit of their own) or nothing is there to return to, because nothing
/// was ever proven or because the very revision that fails was, only ECS's own breaker ends it, and this
/// says nothing.
#[derive(Debug, Default)]
pub(super) struct BadTaskCap {
    rollouts: Rollouts,
    daemons: Daemons,
}

/// Longer than every delay after a failure: the longest is five minutes.
const REACTS_WITHIN: Duration = Duration::from_mins(6);
/// A call that takes longer holds a daemon up.
const SLOW: Duration = Duration::from_secs(10);

/// When daemons were last unable to act on each service.
#[derive(Debug, Default)]
struct Daemons {
    alive: usize,
    /// Of all services.
    hindered: Option<At>,
    services: BTreeMap<ServiceKey, Hindrance>,
}

#[derive(Debug, Default)]
struct Hindrance {
    hindered: Option<At>,
    /// Calls that were not answered yet, by number.
    open: BTreeMap<u64, Open>,
    /// People decide about it, for good or for now.
    is_ruled_out: bool,
}

#[derive(Debug)]
struct Open {
    by: Replica,
    pass: u64,
    sent: At,
}

impl Property for BadTaskCap {
    fn name(&self) -> &'static str {
        "S8 bad-task cap"
    }

    fn check(&mut self, at: At, event: &Event<'_>) -> Result<(), String> {
        self.rollouts.note(at, event);
        self.daemons.note(at, event);
        let Event::Changed(facts) = event else { return Ok(()) };
        let key = ServiceKey::new(&*facts.cluster, &*facts.name);
        if facts.tags.contains_key(super::memory::HOLD) {
            self.daemons.of(&key).is_ruled_out = true;
        }
        let Some(rollout) = self.rollouts.of(&key) else {
            self.daemons.forget(&key);
            return Ok(());
        };
        if !is_judged(rollout) || self.daemons.of(&key).is_ruled_out {
            return Ok(());
        }
        let able = self.daemons.able_since(&key, at);
        judge(rollout, able, at)
    }
}

fn is_judged(rollout: &Rollout) -> bool {
    let returns = |wish: &Wish| wish.breaker.on_failure == OnFailure::Rollback;
    rollout.has_proven
        && !rollout.is_widened
        && !rollout.is_disturbed
        && rollout.wishes.iter().all(|wish| returns(wish))
}

/// `able` is since when a daemon could act; `None` while none can.
fn judge(rollout: &Rollout, able: Option<At>, at: At) -> Result<(), String> {
    let Some(able) = able else { return Ok(()) };
    let launched = rollout.tasks.len();
    let allowed = bound(rollout, at);
    let told = |allowed: usize| {
        let deployment = rollout.deployment;
        format!(
            "{launched} tasks of {deployment} were started, which is not healthy; {allowed} may be"
        )
    };
    if able < rollout.began {
        return if launched <= allowed { Ok(()) } else { Err(told(allowed)) };
    }
    // What was started while nobody could act is excused, and so is what is started until the verdict.
    let since = able + REACTS_WITHIN;
    if at < since {
        return Ok(());
    }
    let long_ago = at.checked_sub(REACTS_WITHIN).unwrap_or(at);
    let tripped = failures(rollout, long_ago) >= threshold(rollout, at);
    let living = rollout.tasks.values().filter(|one| one.lives && !one.was_healthy).count();
    if tripped && living > 0 && able < long_ago {
        return Err(format!(
            "tasks of {} still live although {} failed {REACTS_WITHIN:?} ago",
            rollout.deployment,
            failures(rollout, long_ago)
        ));
    }
    Ok(())
}

/// How many tasks may have been started: in whole steps up to the verdict, and one step more. Tasks that were missing are started
/// at once, and so may all fail and be replaced before the verdict.
fn bound(rollout: &Rollout, at: At) -> usize {
    let step = usize::try_from(rollout.surge + rollout.excused).unwrap_or(usize::MAX);
    let excused = rollout
        .tasks
        .values()
        .filter(|one| one.was_healthy || matches!(one.ended, Some((_, None))));
    threshold(rollout, at).div_ceil(step) * step + step + excused.count()
}

fn failures(rollout: &Rollout, until: At) -> usize {
    let failed = |ended: &Option<(At, Option<Failure>)>| matches!(ended, Some((at, Some(_))) if *at <= until);
    rollout.tasks.values().filter(|one| failed(&one.ended)).count()
}

/// How many failures of the kinds seen lead to a verdict at the latest.
fn threshold(rollout: &Rollout, at: At) -> usize {
    let kinds: std::collections::BTreeSet<Failure> = rollout
        .tasks
        .values()
        .filter_map(|one| one.ended.filter(|(ended, _)| *ended <= at)?.1)
        .collect();
    let limit = |wish: &Wish, kind: &Failure| {
        let threshold = match kind {
            Failure::Launch => wish.breaker.launch_failures,
            Failure::Health => wish.breaker.health_failures,
            Failure::Crash => wish.breaker.crashes,
        };
        count(threshold, wish.count.unwrap_or(0))
    };
    let of_wish = |wish: &std::sync::Arc<Wish>| -> usize {
        kinds.iter().map(|kind| limit(wish, kind) - 1).sum::<usize>() + 1
    };
    rollout.wishes.iter().map(of_wish).max().unwrap_or(1)
}

/// docs/behaviour.md, the breaker: `auto` is two while probing.
fn count(threshold: Threshold, desired: u64) -> usize {
    let count = match threshold {
        Threshold::Auto => 2,
        Threshold::Count(count) => u64::from(count),
        Threshold::Percent(percent) => (desired * u64::from(percent)).div_ceil(100),
    };
    usize::try_from(count.max(1)).unwrap_or(usize::MAX)
}

impl Hindrance {
    fn sent(&mut self, at: At, call: &Sent) {
        let open = self.open.len();
        // A call that was open when its daemon began another pass was given up.
        self.open.retain(|_, one| one.by != call.by || one.pass == call.pass);
        if self.open.len() < open {
            self.hindered = Some(at);
        }
        self.open.insert(call.number, Open { by: call.by, pass: call.pass, sent: at });
    }
}

impl Daemons {
    fn of(&mut self, key: &ServiceKey) -> &mut Hindrance {
        if !self.services.contains_key(key) {
            self.services.insert(key.clone(), Hindrance::default());
        }
        self.services.entry(key.clone()).or_default()
    }

    /// A new rollout is judged anew.
    fn forget(&mut self, key: &ServiceKey) {
        if let Some(hindrance) = self.services.get_mut(key) {
            hindrance.is_ruled_out = false;
        }
    }

    /// Since when a daemon could act on a service; `None` while none can.
    fn able_since(&mut self, key: &ServiceKey, at: At) -> Option<At> {
        let everywhere = self.hindered;
        let hindrance = self.of(key);
        let is_held_up = hindrance.open.values().any(|open| open.sent + SLOW < at);
        let last = everywhere.max(hindrance.hindered);
        if self.alive == 0 || is_held_up {
            return None;
        }
        Some(last.unwrap_or(At::MIN))
    }

    fn note(&mut self, at: At, event: &Event<'_>) {
        match event {
            Event::Started(_) => {
                self.alive += 1;
                self.hindered = Some(at);
            }
            Event::Ended(_) => {
                self.alive = self.alive.saturating_sub(1);
                self.hindered = Some(at);
                // Nobody waits for their answers any more.
                self.services.values_mut().for_each(|one| one.open.clear());
            }
            Event::Sent(call) => {
                if let Some(key) = &call.about {
                    self.of(key).sent(at, call);
                }
            }
            Event::Answered { call, answer, is_stale } => {
                let Some(key) = &call.about else { return };
                let hindrance = self.of(key);
                let sent = hindrance.open.remove(&call.number);
                let is_late = sent.is_some_and(|open| open.sent + SLOW < at);
                if answer.is_err() || *is_stale || is_late {
                    hindrance.hindered = Some(at);
                }
            }
            // A task definition to return to may be gone.
            Event::Edited { operation: "DeregisterTaskDefinition", .. } => {
                self.services.values_mut().for_each(|one| one.is_ruled_out = true);
            }
            Event::Edited { input, .. } => {
                if let Some(key) = named(input) {
                    self.of(&key).is_ruled_out = true;
                }
            }
            Event::Frozen { until, .. } => self.hindered = self.hindered.max(Some(*until)),
            Event::Wanted { key, .. } => self.of(key).hindered = Some(at),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::course::{
        Course, FIRST, definition, deployment, manifest, manifest_with, pending, revision, stop,
        task, throttled, update,
    };
    use super::super::memory::{DIGEST, PROVEN};
    use super::*;

    fn course(spec: &str) -> Course<BadTaskCap> {
        let mut course = Course::of(BadTaskCap::default());
        course.wants(FIRST, Some(&manifest_with("2", "    desiredCount: 4\n", spec)));
        course.pause(1);
        course
    }

    fn rolled_out() -> Course<BadTaskCap> {
        let mut course = course("");
        course.rolls_out(2);
        course
    }

    /// Starts one task after the other; each but the last fails at once.
    fn fail(
        course: &mut Course<BadTaskCap>,
        ids: std::ops::RangeInclusive<u64>,
        code: &'static str,
    ) {
        let last = *ids.end();
        for id in ids {
            course.pause(10);
            course.happens(|facts, at| {
                facts.tasks.push(pending(id, facts.deployments[0].id));
                if id != last
                    && let Some(task) = facts.tasks.last_mut()
                {
                    stop(task, at, code, "no");
                }
            });
        }
    }

    const CRASH: &str = "EssentialContainerExited";

    #[test]
    fn three_tasks_may_start_and_a_fourth_may_not() {
        let mut course = rolled_out();
        fail(&mut course, 201..=203, CRASH);
        course.passes();
        let mut course = rolled_out();
        fail(&mut course, 201..=204, CRASH);
        course.breaks("4 tasks of 2 were started");
    }

    #[test]
    fn thresholds_of_the_manifest_move_the_bound() {
        for (last, broken) in [(206, false), (207, true)] {
            let mut course = course("  rollout: {breaker: {crashes: 5}}\n");
            course.rolls_out(2);
            fail(&mut course, 201..=last, CRASH);
            if broken { course.breaks("6 may be") } else { course.passes() }
        }
    }

    #[test]
    fn what_was_missing_is_started_at_once_and_may_fail_and_be_replaced_once() {
        for (last, broken) in [(208, false), (209, true)] {
            let mut course = course("");
            course.happens(|facts, at| {
                let gone = facts.tasks.iter_mut().take(3);
                gone.for_each(|one| stop(one, at, "UserInitiated", "no"));
            });
            course.rolls_out(2);
            fail(&mut course, 201..=last, CRASH);
            if broken { course.breaks("8 may be") } else { course.passes() }
        }
    }

    #[test]
    fn what_the_world_ends_and_what_was_healthy_is_not_counted() {
        let mut course = rolled_out();
        fail(&mut course, 201..=203, "UserInitiated");
        course.happens(|facts, _| *facts.tasks.last_mut().unwrap() = task(203, 2));
        fail(&mut course, 204..=206, CRASH);
        course.passes();
    }

    #[test]
    fn while_no_daemon_runs_or_is_answered_more_may_start() {
        let mut course = rolled_out();
        course.tell(&Event::Ended(FIRST));
        fail(&mut course, 201..=209, CRASH);
        course.passes();
        let mut course = rolled_out();
        let look = course.call(FIRST, "DescribeServices", json!({}));
        course.sent(&look);
        course.failed(&look, &throttled());
        fail(&mut course, 201..=204, CRASH);
        course.passes();
    }

    #[test]
    fn a_call_that_hangs_holds_a_daemon_up() {
        let mut course = rolled_out();
        let look = course.call(FIRST, "DescribeServices", json!({}));
        course.sent(&look);
        fail(&mut course, 201..=209, CRASH);
        course.passes();
    }

    #[test]
    fn when_a_daemon_can_act_again_it_must() {
        let mut course = rolled_out();
        let look = course.call(FIRST, "DescribeServices", json!({}));
        course.sent(&look);
        course.failed(&look, &throttled());
        fail(&mut course, 201..=204, CRASH);
        course.pause(720);
        fail(&mut course, 205..=205, CRASH);
        course.breaks("still live");
    }

    #[test]
    fn without_a_way_back_it_is_ecs_s_breaker_that_ends_it() {
        let mut held = course("  rollout: {breaker: {onFailure: Hold}}\n");
        held.rolls_out(2);
        fail(&mut held, 201..=209, CRASH);
        held.passes();
        let mut first = Course::of(BadTaskCap::default());
        first.happens(|facts, _| {
            facts.tags.remove(PROVEN);
        });
        first.wants(FIRST, Some(&manifest("2")));
        first.pause(1);
        first.rolls_out(2);
        fail(&mut first, 201..=209, CRASH);
        first.passes();
        let mut edited = rolled_out();
        edited.person("UpdateService", &update(&json!({"desiredCount": 9})));
        fail(&mut edited, 201..=209, CRASH);
        edited.passes();
    }

    /// Somebody's deployment 2 is complete over what was proven, and the daemon's deployment 3 brings back
    /// task definition 1, with these tags.
    fn brought_back(tags: &[(&str, &str)]) -> Course<BadTaskCap> {
        let mut course = Course::of(BadTaskCap::default());
        for (key, value) in tags {
            course.tags(key, value);
        }
        let arn = definition(2);
        course.person("UpdateService", &update(&json!({"taskDefinition": &*arn})));
        course.begins(2);
        course.completes();
        course.pause(1);
        course.looks(FIRST);
        let arn = definition(1);
        let call = course.write(FIRST, "UpdateService", update(&json!({"taskDefinition": &*arn})));
        course.truth.deployments.insert(0, deployment(3, 1));
        let reply = course.updated();
        course.goes(&call, &reply);
        course.happens(|_, _| {});
        fail(&mut course, 301..=304, CRASH);
        course
    }

    #[test]
    fn what_was_proven_itself_has_nothing_to_return_to_when_it_is_brought_back_and_fails() {
        brought_back(&[]).passes();
        let other = format!("v1:{}:1790000000:", manifest("2").revision_digest);
        // Another manifest was judged since.
        brought_back(&[(DIGEST, &other)]).passes();
        // The same task definition was proven with other members.
        brought_back(&[(PROVEN, &revision(2)), (DIGEST, &other), (PROVEN, &revision(1))])
            .breaks("4 tasks of 3 were started");
        brought_back(&[(PROVEN, &revision(2))]).breaks("4 tasks of 3 were started");
    }
}
