//! S7: until a revision has proved itself, one task of it at a time is tried.

use super::super::event::At;
use super::super::{Event, Property, Sent};
use super::ordering::told;
use super::rollouts::{Rollouts, widens};
use evenkeel_manifest::ServiceKey;
use std::time::Duration;

/// S7: before a rollout is widened, no more tasks that were never healthy live at once than the
/// narrowest step has (one; one percent of more than a hundred tasks), and it is widened only when one
/// has been seen healthy for as long as the manifest says. What was lost of other deployments meanwhile
/// may be replaced by new tasks, and so may tasks of its own that were healthy for a time, besides the
/// next ones that their health has earned. Rollouts without a probe, of somebody else, or that somebody else has
/// changed since, are not judged.
#[derive(Debug, Default)]
pub(super) struct ProbeCap {
    rollouts: Rollouts,
}

/// Marks hold whole seconds.
const ROUNDING: Duration = Duration::from_secs(2);

impl Property for ProbeCap {
    fn name(&self) -> &'static str {
        "S7 probe cap"
    }

    fn check(&mut self, at: At, event: &Event<'_>) -> Result<(), String> {
        let is_narrow = match event {
            Event::Sent(call) => call.about.as_ref().is_some_and(|key| self.is_narrow(key)),
            _ => false,
        };
        self.rollouts.note(at, event);
        match event {
            Event::Sent(call) if is_narrow => self.widened(at, call),
            Event::Changed(facts) => self.narrow(&ServiceKey::new(&*facts.cluster, &*facts.name)),
            _ => Ok(()),
        }
    }
}

impl ProbeCap {
    fn is_narrow(&self, key: &ServiceKey) -> bool {
        self.rollouts.of(key).is_some_and(|one| !one.is_widened && !one.is_disturbed)
    }

    fn narrow(&self, key: &ServiceKey) -> Result<(), String> {
        let Some(rollout) = self.rollouts.of(key) else { return Ok(()) };
        let allowed = rollout.surge + rollout.excused + rollout.relapsed();
        let unproven = rollout.unproven();
        if !self.is_narrow(key) || unproven <= allowed {
            return Ok(());
        }
        Err(format!(
            "{unproven} tasks of {} live that were never healthy; {allowed} may before it is widened",
            rollout.deployment
        ))
    }

    fn widened(&self, at: At, call: &Sent) -> Result<(), String> {
        let Some(key) = &call.about else { return Ok(()) };
        let Some(rollout) = self.rollouts.of(key) else { return Ok(()) };
        if !widens(call, rollout) {
            return Ok(());
        }
        let wishes = self.rollouts.origins().wishes_of(call);
        let ours = wishes.iter().filter(|wish| {
            wish.probes() && rollout.wishes.iter().any(|was| was.revision == wish.revision)
        });
        let Some(needed) = ours.map(|wish| wish.probe.healthy_for).min() else { return Ok(()) };
        let lasted = rollout.healthy_since.is_some_and(|since| since + needed <= at + ROUNDING);
        // Where no task is desired, none can be tried.
        let is_idle = self.rollouts.passes().shown(call).is_some_and(|shown| shown.desired == 0);
        if lasted || is_idle {
            return Ok(());
        }
        Err(format!(
            "{} although no task of {} has been healthy for long enough",
            told(call),
            rollout.deployment
        ))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::course::{
        Course, FIRST, manifest, manifest_with, mark, pending, stop, tagging, task, update,
    };
    use super::super::memory::ROLLOUT;
    use super::*;

    /// Revision 2 is rolled out over revision 1.
    fn rolled_out(spec: &str) -> Course<ProbeCap> {
        let mut course = Course::of(ProbeCap::default());
        course.wants(FIRST, Some(&manifest_with("2", "    desiredCount: 4\n", spec)));
        course.pause(1);
        course.rolls_out(2);
        course.pause(1);
        course
    }

    fn launch(course: &mut Course<ProbeCap>, ids: std::ops::Range<u64>) {
        course.happens(|facts, _| facts.tasks.extend(ids.map(|id| pending(id, 2))));
    }

    fn wide() -> serde_json::Value {
        update(&json!({"deploymentConfiguration": {"maximumPercent": 200}}))
    }

    #[test]
    fn one_task_and_one_more_for_each_that_became_healthy_is_a_probe() {
        let mut course = rolled_out("");
        launch(&mut course, 200..201);
        course.happens(|facts, _| facts.tasks[4] = task(200, 2));
        launch(&mut course, 201..202);
        course.pause(29);
        course.pass("UpdateService", wide());
        launch(&mut course, 202..209);
        course.passes();
    }

    #[test]
    fn one_that_was_healthy_and_crashed_is_replaced_besides_the_next_one() {
        let mut course = rolled_out("");
        launch(&mut course, 200..201);
        course.happens(|facts, _| facts.tasks[4] = task(200, 2));
        launch(&mut course, 201..202);
        course.happens(|facts, at| {
            stop(&mut facts.tasks[4], at, "EssentialContainerExited", "it exited");
        });
        launch(&mut course, 202..203);
        course.passes();
    }

    #[test]
    fn one_that_fails_its_checks_is_replaced_before_it_goes() {
        let mut course = rolled_out("");
        launch(&mut course, 200..201);
        course.happens(|facts, _| facts.tasks[4].failing = true);
        launch(&mut course, 201..202);
        course.passes();
    }

    #[test]
    fn two_at_once_are_too_many() {
        let mut course = rolled_out("");
        launch(&mut course, 200..202);
        course.breaks("2 tasks of 2 live");
    }

    #[test]
    fn tasks_that_were_lost_are_replaced_and_tasks_that_were_taken_are_not() {
        for (code, broken) in
            [("EssentialContainerExited", false), ("ServiceSchedulerInitiated", true)]
        {
            let mut course = rolled_out("");
            course.happens(|facts, at| stop(&mut facts.tasks[0], at, code, "Scaling activity"));
            launch(&mut course, 200..202);
            if broken { course.breaks("2 tasks of 2") } else { course.passes() }
        }
    }

    #[test]
    fn without_a_probe_and_after_somebody_s_hand_everything_goes() {
        let mut course = rolled_out("  rollout: {probe: {enabled: false}}\n");
        launch(&mut course, 200..204);
        course.passes();
        let mut course = rolled_out("");
        course.person("UpdateService", &update(&json!({"desiredCount": 9})));
        launch(&mut course, 200..204);
        course.passes();
    }

    #[test]
    fn a_hundred_tasks_more_are_one_more_at_once() {
        for (count, broken) in [(2_u64, false), (3, true)] {
            let mut course = Course::of(ProbeCap::default());
            course.happens(|facts, _| {
                facts.desired = 250;
                facts.tasks = (1000..1250).map(|id| task(id, 1)).collect();
            });
            course.wants(FIRST, Some(&manifest("2")));
            course.pause(1);
            course.rolls_out(2);
            launch(&mut course, 200..200 + count);
            if broken { course.breaks("2 may before") } else { course.passes() }
        }
    }

    #[test]
    fn a_rollout_is_not_widened_before_a_task_was_healthy_for_long_enough() {
        for seconds in [None, Some(10)] {
            let mut course = rolled_out("");
            launch(&mut course, 200..201);
            if let Some(seconds) = seconds {
                course.happens(|facts, _| facts.tasks[4] = task(200, 2));
                course.pause(seconds);
            } else {
                course.pause(100);
            }
            course.pass("UpdateService", wide());
            course.breaks("healthy for long enough");
        }
    }

    #[test]
    fn where_no_task_is_desired_none_is_tried() {
        let mut course = rolled_out("");
        course.happens(|facts, _| facts.desired = 0);
        course.pass("UpdateService", wide());
        course.passes();
    }

    #[test]
    fn to_say_that_it_is_wide_is_to_widen_it() {
        let mut course = rolled_out("");
        let mark = mark(&manifest("2"), "ecs-svc/2", "widen");
        course.pass("TagResource", tagging(&[(ROLLOUT, &mark)]));
        course.breaks("healthy for long enough");
    }

    #[test]
    fn a_service_is_created_with_one_task() {
        for (count, broken) in [(1, false), (2, true)] {
            let mut course = Course::of(ProbeCap::default());
            course.happens(|facts, _| {
                facts.deployments.clear();
                facts.tasks.clear();
                facts.desired = 0;
            });
            course.wants(FIRST, Some(&manifest("2")));
            course.pause(1);
            course.looks(FIRST);
            course.begins(2);
            course.truth.desired = 2;
            course.writes("CreateService", json!({"serviceName": "web", "cluster": "main"}));
            launch(&mut course, 200..200 + count);
            if broken { course.breaks("1 may before") } else { course.passes() }
        }
    }
}
