//! L1, L2, L3, L5 and L10: once all is well, every service ends where it should, and stays there.

use evenkeel_manifest::OnFailure;

use super::super::event::At;
use super::super::{Event, Property};
use super::calm::{Calm, Ending, Truth};
use super::memory::PROVEN;

/// What is looked at when the course is over.
type Look = fn(&Ending<'_>, At, At) -> Result<(), String>;

/// A property of the end of a course. Services whose own calls failed although all else was well (L10),
/// and those that people or missing alarms hold up, are left out.
#[derive(Debug)]
pub(super) struct AtTheEnd {
    name: &'static str,
    look: Look,
    calm: Calm,
}

impl AtTheEnd {
    /// L1: what is wanted runs and is proven, unless it is rejected.
    pub(super) fn matches(instance: &str) -> Self {
        Self::new("L1 what is wanted runs", matches, instance)
    }

    /// L2: where what is wanted was rejected, a revision runs that was good, or there is none and the
    /// service waits for a person.
    pub(super) fn is_safe(instance: &str) -> Self {
        Self::new("L2 bad converges too", is_safe, instance)
    }

    /// L3: no rollout is left in flight.
    pub(super) fn is_over(instance: &str) -> Self {
        Self::new("L3 every rollout ends", is_over, instance)
    }

    /// L5: count and percentages are those of the manifest.
    pub(super) fn is_repaired(instance: &str) -> Self {
        Self::new("L5 drift is repaired", is_repaired, instance)
    }

    /// L2 and L10, the end of them: nothing is written in the last quarter of the calm, but for what follows
    /// the end of a deployment that took until then.
    pub(super) fn is_quiet(instance: &str) -> Self {
        Self::new("L2 zero further writes", is_quiet, instance)
    }

    fn new(name: &'static str, look: Look, instance: &str) -> Self {
        Self { name, look, calm: Calm::of(instance) }
    }
}

impl Property for AtTheEnd {
    fn name(&self) -> &'static str {
        self.name
    }

    fn check(&mut self, at: At, event: &Event<'_>) -> Result<(), String> {
        self.calm.note(at, event);
        let (Event::Over, Some(since)) = (event, self.calm.since()) else { return Ok(()) };
        for ending in self.calm.endings(at) {
            (self.look)(&ending, since, at).map_err(|what| format!("{}: {what}", ending.key))?;
        }
        Ok(())
    }
}

fn matches(ending: &Ending<'_>, _: At, _: At) -> Result<(), String> {
    let Some(truth) = ending.truth else {
        return Err("the service was never created".to_owned());
    };
    let wanted = &ending.wish.revision;
    if truth.rejects(wanted) {
        return Ok(());
    }
    if !ending.runs_what_is_wanted() {
        return Err(format!("{wanted} is neither running nor rejected"));
    }
    if truth.proves(wanted) { Ok(()) } else { Err(format!("{wanted} runs and is not proven")) }
}

fn is_safe(ending: &Ending<'_>, _: At, _: At) -> Result<(), String> {
    let Some(truth) = ending.truth.filter(|truth| truth.rejects(&ending.wish.revision)) else {
        return Ok(());
    };
    if is_held(ending, truth) {
        return Ok(());
    }
    if ending.runs_what_is_wanted() && !ending.runs_what_was_complete() {
        return Err(
            "the rejected revision still runs although there is one to return to".to_owned()
        );
    }
    if truth.mark().is_some() {
        return Err("the rollback has no end".to_owned());
    }
    if ending.runs_what_was_complete() {
        Ok(())
    } else {
        Err("what runs after the rollback was never good".to_owned())
    }
}

/// Nothing is there to return to, nobody may, or it failed: a person decides.
fn is_held(ending: &Ending<'_>, truth: &Truth) -> bool {
    if !truth.tags.contains_key(PROVEN) {
        return true;
    }
    ending.wish.breaker.on_failure == OnFailure::Hold
        || truth.last_status == "ROLLBACK_FAILED"
        || ending.ecs_ended_the_return()
        || ending.code_deploy_ended_the_return()
        || (ending.is_returned() && !truth.is_steady)
        || ending.runs_the_proven()
        || ending.has_lost_the_proven()
        || ending.is_to_leave_for_what_is_wanted()
}

fn is_over(ending: &Ending<'_>, _: At, _: At) -> Result<(), String> {
    let Some(truth) = ending.truth else { return Ok(()) };
    let Some(mark) = truth.mark() else { return Ok(()) };
    let waits = mark.phase == "rollback" && truth.rejects(&ending.wish.revision);
    if waits && is_held(ending, truth) {
        return Ok(());
    }
    Err(format!("a rollout is still marked: phase {} of {:?}", mark.phase, mark.deployment))
}

fn is_repaired(ending: &Ending<'_>, _: At, _: At) -> Result<(), String> {
    let (Some(truth), wish) = (ending.truth, ending.wish) else { return Ok(()) };
    // While a rejected revision runs, or in its place what somebody else deployed and never comes to rest, nothing is moved.
    let is_moving = truth.mark().is_some() || !truth.is_steady;
    if truth.rejects(&wish.revision) && (ending.runs_what_is_wanted() || is_moving) {
        return Ok(());
    }
    if wish.count.is_some_and(|count| count != truth.desired) {
        return Err(format!("desiredCount is {}, not {:?}", truth.desired, wish.count));
    }
    let percentages = (truth.minimum_healthy_percent, truth.maximum_percent);
    let wanted = (wish.minimum_healthy_percent, wish.maximum_percent);
    // Task sets heed none.
    let heeds_them = !wish.is_daemon && wish.steps.is_empty() && !wish.is_ungated;
    if heeds_them && percentages != wanted {
        return Err(format!("the percentages are {percentages:?}, not {wanted:?}"));
    }
    Ok(())
}

fn is_quiet(ending: &Ending<'_>, since: At, at: At) -> Result<(), String> {
    let Some((written, what)) = ending.written() else { return Ok(()) };
    let calm = at.duration_since(since);
    let quarter = at.checked_sub(calm / 4).unwrap_or(at);
    let last = ending.followed_until(quarter).unwrap_or(quarter);
    if *written <= last {
        return Ok(());
    }
    Err(format!("at {written}, and calm since {since}, {what}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::course::{
        Course, FIRST, manifest, manifest_with, mark, stepped, tagging, throttled, update, verdict,
    };
    use super::super::memory::{DIGEST, HOLD, OWNER, REJECTED, ROLLOUT};
    use super::*;
    use crate::Life;

    const US: &str = "evenkeel";

    fn calm(property: AtTheEnd) -> Course<AtTheEnd> {
        let mut course = Course::of(property);
        course.tell(&Event::Calm(false));
        course.pause(10);
        course.tell(&Event::Calm(true));
        course
    }

    fn over(mut course: Course<AtTheEnd>) -> Course<AtTheEnd> {
        course.pause(3600);
        course.tell(&Event::Over);
        course
    }

    fn all() -> [fn(&str) -> AtTheEnd; 5] {
        [
            AtTheEnd::matches,
            AtTheEnd::is_safe,
            AtTheEnd::is_over,
            AtTheEnd::is_repaired,
            AtTheEnd::is_quiet,
        ]
    }

    #[test]
    fn what_runs_as_it_should_is_right() {
        for property in all() {
            over(calm(property(US))).passes();
        }
    }

    #[test]
    fn what_is_wanted_must_run() {
        let mut course = calm(AtTheEnd::matches(US));
        course.wants(FIRST, Some(&manifest("2")));
        over(course).breaks("neither running nor rejected");
    }

    #[test]
    fn what_is_wanted_must_be_proven() {
        let mut course = calm(AtTheEnd::matches(US));
        course.happens(|facts, _| {
            facts.tags.remove(DIGEST);
        });
        over(course).breaks("not proven");
    }

    #[test]
    fn what_is_wanted_must_be_created() {
        let mut course = calm(AtTheEnd::matches(US));
        course.happens(|facts, _| facts.life = Life::Inactive);
        over(course).breaks("never created");
    }

    #[test]
    fn who_cannot_or_may_not_is_left_out() {
        let changes: [fn(&mut Course<AtTheEnd>); 6] = [
            |course| course.tags(HOLD, "on"),
            |course| course.tags(OWNER, "v1:another:a"),
            |course| {
                let look = course.call(FIRST, "DescribeServices", json!({}));
                course.sent(&look);
                course.failed(&look, &throttled());
            },
            |course| {
                let spec = "  paused: true\n";
                course.wants(FIRST, Some(&manifest_with("2", "    desiredCount: 4\n", spec)));
            },
            |course| {
                let spec = "  rollout: {breaker: {alarms: [errors]}}\n";
                course.wants(FIRST, Some(&manifest_with("2", "    desiredCount: 4\n", spec)));
            },
            |course| {
                course.begins(3);
                course.happens(|_, _| {});
            },
        ];
        for change in changes {
            let mut course = calm(AtTheEnd::matches(US));
            course.wants(FIRST, Some(&manifest("2")));
            change(&mut course);
            over(course).passes();
        }
    }

    #[test]
    fn a_call_that_failed_and_went_well_the_next_time_is_no_excuse() {
        let mut course = calm(AtTheEnd::matches(US));
        course.wants(FIRST, Some(&manifest("2")));
        let look = course.call(FIRST, "DescribeServices", json!({}));
        course.sent(&look);
        course.failed(&look, &throttled());
        course.looks(FIRST);
        over(course).breaks("neither running nor rejected");
    }

    #[test]
    fn an_edit_is_no_excuse_for_not_proving_what_runs_as_it_is_wanted() {
        let mut course = calm(AtTheEnd::matches(US));
        course.pause(3000);
        course.person("UpdateService", &update(&json!({"forceNewDeployment": true})));
        course.happens(|facts, _| {
            facts.tags.remove(DIGEST);
        });
        over(course).breaks("not proven");
    }

    #[test]
    fn one_that_was_replaced_by_somebody_is_put_back_after_an_hour() {
        for (seconds, broken) in [(0, false), (3600, true)] {
            let mut course = calm(AtTheEnd::matches(US));
            course.person("UpdateService", &update(&json!({"taskDefinition": "web:3"})));
            course.begins(3);
            course.completes();
            course.pause(seconds);
            let course = over(course);
            if broken { course.breaks("neither running") } else { course.passes() }
        }
    }

    #[test]
    fn a_step_whose_traffic_somebody_split_is_a_person_s_to_go_on_with() {
        let groups = |other: u64| json!([{"Weight": other}, {"Weight": 50}]);
        let split =
            |other| json!({"DefaultActions": [{"ForwardConfig": {"TargetGroups": groups(other)}}]});
        for (wanted, other, share, is_before, broken) in [
            (stepped("2"), 50, 500, false, false),
            (stepped("2"), 50, 1000, false, true),
            (stepped("2"), 0, 500, false, true),
            (stepped("2"), 50, 500, true, true),
            (manifest("2"), 50, 500, false, true),
        ] {
            let mut course = calm(AtTheEnd::matches(US));
            course.wants(FIRST, Some(&wanted));
            if is_before {
                course.person("ModifyListener", &split(other));
                course.pause(1);
            }
            course.rolls_out(2);
            if !is_before {
                course.person("ModifyListener", &split(other));
            }
            course.happens(|facts, _| facts.deployments[0].share = Some(share));
            let course = over(course);
            if broken { course.breaks("proven") } else { course.passes() }
        }
    }

    #[test]
    fn a_step_beside_what_is_complete_is_a_person_s_to_go_on_with_unless_it_is_left() {
        let groups = json!([{"Weight": 50}, {"Weight": 50}]);
        let split = json!({"DefaultActions": [{"ForwardConfig": {"TargetGroups": groups}}]});
        for (phase, broken) in [(Some("bake1"), false), (Some("rollback"), true), (None, true)] {
            let mut course = calm(AtTheEnd::matches(US));
            let wanted = stepped("2");
            course.wants(FIRST, Some(&wanted));
            if let Some(phase) = phase {
                course.tags(ROLLOUT, &mark(&wanted, "ecs-svc/2", phase));
            }
            course.pause(1);
            course.person("ModifyListener", &split);
            course.happens(|facts, _| facts.deployments[0].share = Some(500));
            let course = over(course);
            if broken { course.breaks("neither running") } else { course.passes() }
        }
    }

    /// Revision 2 was rejected and is still PRIMARY.
    fn rejected(property: AtTheEnd) -> Course<AtTheEnd> {
        let mut course = calm(property);
        let wanted = manifest("2");
        course.wants(FIRST, Some(&wanted));
        course.rolls_out(2);
        course.tags(REJECTED, &verdict(&wanted));
        course
    }

    fn returning(course: &mut Course<AtTheEnd>) {
        course.tags(ROLLOUT, &mark(&manifest("2"), "ecs-svc/2", "rollback"));
    }

    #[test]
    fn what_was_rejected_must_be_left() {
        over(rejected(AtTheEnd::matches(US))).passes();
        over(rejected(AtTheEnd::is_safe(US))).breaks("still runs");
        let mut course = rejected(AtTheEnd::is_safe(US));
        course.happens(|facts, _| {
            facts.deployments.remove(0);
        });
        over(course).passes();
    }

    #[test]
    fn a_return_from_something_else_to_what_is_rejected_itself_is_a_person_s() {
        for property in [AtTheEnd::is_safe, AtTheEnd::is_over] {
            let mut course = rejected(property(US));
            course.happens(|facts, _| {
                facts.deployments.remove(0);
                facts.tags.insert(PROVEN.to_owned(), "service-revision/main/web/2".to_owned());
            });
            returning(&mut course);
            over(course).passes();
        }
    }

    #[test]
    fn a_return_must_end() {
        for property in [AtTheEnd::is_safe, AtTheEnd::is_over] {
            let mut course = rejected(property(US));
            course.happens(|facts, _| {
                facts.deployments.remove(0);
                facts.tags.insert(PROVEN.to_owned(), "service-revision/main/web/7".to_owned());
            });
            returning(&mut course);
            let words = if property(US).name().starts_with("L2") { "no end" } else { "marked" };
            over(course).breaks(words);
        }
    }

    #[test]
    fn without_anything_to_return_to_a_person_decides() {
        for property in all() {
            let mut course = rejected(property(US));
            course.happens(|facts, _| {
                facts.tags.remove(PROVEN);
            });
            returning(&mut course);
            over(course).passes();
        }
    }

    #[test]
    fn after_a_return_that_ecs_ended_a_person_decides() {
        for property in all() {
            let mut course = rejected(property(US));
            course.happens(|facts, _| {
                facts.tags.insert(PROVEN.to_owned(), "service-revision/main/web/1".to_owned());
                if let Some(last) = facts.history.last_mut() {
                    last.status = "ROLLBACK_SUCCESSFUL";
                    last.definition = super::super::course::definition(1);
                }
            });
            returning(&mut course);
            over(course).passes();
        }
    }

    /// ECS ended a deployment of revision 1, and somebody's revision 3 runs.
    #[test]
    fn what_somebody_deploys_over_a_return_that_ecs_ended_stays_until_a_person_decides() {
        for property in [AtTheEnd::is_safe, AtTheEnd::is_over] {
            for earlier in [false, true] {
                let mut course = rejected(property(US));
                for number in [11, 3] {
                    course.begins(number);
                    course.completes();
                }
                course.happens(|facts, _| {
                    facts.tags.insert(PROVEN.to_owned(), "service-revision/main/web/1".to_owned());
                    let proven = super::super::course::definition(1);
                    facts.history.iter_mut().filter(|one| one.arn.ends_with("/11")).for_each(
                        |one| {
                            one.status = "ROLLBACK_SUCCESSFUL";
                            one.definition = std::sync::Arc::clone(&proven);
                            if earlier {
                                one.created_at -= std::time::Duration::from_hours(1);
                            }
                        },
                    );
                });
                returning(&mut course);
                let words = if property(US).name().starts_with("L2") { "no end" } else { "marked" };
                let course = over(course);
                if earlier { course.breaks(words) } else { course.passes() }
            }
        }
    }

    /// Somebody's revision 3 runs, CodeDeploy was told to return from revision 2 to revision 1, and the daemon is told
    /// what became of that.
    fn redeployed(property: AtTheEnd, definition: &str, status: &str) -> Course<AtTheEnd> {
        let mut course = rejected(property);
        course.happens(|facts, _| {
            facts.deployments.remove(0);
            let proven = super::super::course::definition(1);
            facts.tags.insert(PROVEN.to_owned(), (*proven).to_owned());
        });
        course.begins(3);
        course.completes();
        returning(&mut course);
        let call = course.rollback(FIRST, "CreateDeployment", code_deployment(definition));
        course.goes(&call, &json!({"deploymentId": "d-RETURN000"}));
        let told = json!({"deploymentsInfo": [{"deploymentId": "d-RETURN000", "status": status}]});
        let call = course.call(FIRST, "BatchGetDeployments", json!({}));
        course.goes(&call, &told);
        course
    }

    fn code_deployment(definition: &str) -> serde_json::Value {
        let content = json!({"Resources": [{"TargetService": {"Properties": {
            "TaskDefinition": definition,
        }}}]});
        json!({"revision": {"appSpecContent": {"content": content.to_string()}}})
    }

    #[test]
    fn after_a_return_that_code_deploy_ended_a_person_decides() {
        let one = super::super::course::definition(1);
        for property in all() {
            over(redeployed(property(US), &one, "Failed")).passes();
        }
    }

    #[test]
    fn a_return_of_code_deploy_s_that_goes_on_or_elsewhere_or_was_stopped_must_end() {
        let (one, four) =
            (super::super::course::definition(1), super::super::course::definition(4));
        let cases =
            [(&one, "InProgress"), (&one, "Succeeded"), (&one, "Stopped"), (&four, "Failed")];
        for (definition, status) in cases {
            over(redeployed(AtTheEnd::is_safe(US), definition, status)).breaks("no end");
            over(redeployed(AtTheEnd::is_over(US), definition, status)).breaks("marked");
        }
    }

    #[test]
    fn a_return_of_code_deploy_s_that_failed_is_none_from_what_was_deployed_since() {
        let one = super::super::course::definition(1);
        let mut course = redeployed(AtTheEnd::is_safe(US), &one, "Failed");
        let new = code_deployment(&super::super::course::definition(2));
        let call = course.write(FIRST, "CreateDeployment", new);
        course.goes(&call, &json!({"deploymentId": "d-NEW000000"}));
        over(course).breaks("no end");
    }

    #[test]
    fn without_the_revision_to_return_to_a_person_decides() {
        for property in all() {
            let mut course = rejected(property(US));
            course.tags(PROVEN, "service-revision/main/web/1");
            course.person(
                "DeregisterTaskDefinition",
                &json!({"taskDefinition": &*super::super::course::definition(1)}),
            );
            returning(&mut course);
            over(course).passes();
        }
    }

    #[test]
    fn what_never_was_good_is_no_place_to_return_to() {
        let mut course = rejected(AtTheEnd::is_safe(US));
        course.begins(3);
        course.happens(|facts, _| facts.deployments[0].course = crate::DeploymentCourse::Failed);
        over(course).breaks("never good");
    }

    #[test]
    fn a_rollout_must_end() {
        let mut course = calm(AtTheEnd::is_over(US));
        course.tags(ROLLOUT, &mark(&manifest("1"), "ecs-svc/1", "widen"));
        over(course).breaks("phase widen");
    }

    #[test]
    fn drift_must_be_repaired() {
        let mut course = calm(AtTheEnd::is_repaired(US));
        course.happens(|facts, _| facts.desired = 3);
        over(course).breaks("desiredCount is 3");
        let mut course = calm(AtTheEnd::is_repaired(US));
        course.happens(|facts, _| facts.maximum_percent = 125);
        over(course).breaks("the percentages");
    }

    #[test]
    fn what_somebody_deployed_over_a_rejected_revision_is_moved_only_once_it_has_come_to_rest() {
        let drifted = |rests: bool| {
            let mut course = rejected(AtTheEnd::is_repaired(US));
            course.begins(3);
            if rests {
                course.completes();
            }
            course.happens(|facts, _| facts.maximum_percent = 125);
            over(course)
        };
        drifted(false).passes();
        drifted(true).breaks("the percentages");
    }

    #[test]
    fn a_count_that_is_nobody_s_is_not_drift() {
        let mut course = calm(AtTheEnd::is_repaired(US));
        course.wants(FIRST, Some(&manifest_with("1", "", "")));
        course.happens(|facts, _| facts.desired = 3);
        over(course).passes();
    }

    #[test]
    fn in_the_end_nothing_is_written() {
        for (seconds, broken) in [(2600, false), (2800, true)] {
            let mut course = calm(AtTheEnd::is_quiet(US));
            course.pause(seconds);
            course.pass("TagResource", tagging(&[("team", "a")]));
            course.pause(3600 - seconds);
            course.tell(&Event::Over);
            if broken { course.breaks("TagResource") } else { course.passes() }
        }
    }

    #[test]
    fn what_follows_a_deployment_that_took_until_then_is_written() {
        let cases = [
            (60, 2900, 350, false),
            (60, 2900, 370, true),
            (2800, 2900, 100, true),
            (60, 2600, 350, false),
            (60, 2600, 370, true),
            (60, 2300, 450, true),
        ];
        for (begun, ended, pause, broken) in cases {
            let mut course = calm(AtTheEnd::is_quiet(US));
            course.pause(begun);
            course.begins(1);
            course.happens(|_, _| {});
            course.pause(ended - begun);
            course.completes();
            course.pause(pause);
            course.pass("TagResource", tagging(&[("team", "a")]));
            course.pause(3600 - ended - pause);
            course.tell(&Event::Over);
            if broken { course.breaks("TagResource") } else { course.passes() }
        }
    }

    #[test]
    fn a_rollout_that_follows_a_deployment_that_took_until_then_has_its_time_too() {
        for (pause, broken) in [(100, false), (370, true)] {
            let mut course = calm(AtTheEnd::is_quiet(US));
            course.pause(60);
            course.begins(1);
            course.happens(|_, _| {});
            course.pause(2740);
            course.completes();
            course.pause(pause);
            course.begins(2);
            course.happens(|_, _| {});
            course.pause(300);
            course.completes();
            course.pass("TagResource", tagging(&[("team", "a")]));
            course.pause(500 - pause);
            course.tell(&Event::Over);
            if broken { course.breaks("TagResource") } else { course.passes() }
        }
    }
}
