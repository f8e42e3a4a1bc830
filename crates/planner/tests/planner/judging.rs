//! What counts against a rollout and since when, and when its clock stands, look by look.

use evenkeel_planner::{Action, Call, VerdictKind, WaitReason, tag};
use jiff::SignedDuration;
use serde_json::json;

use crate::looks::{Look, failed, missing};
use crate::manifests::{Draft, web};
use crate::plans::settled;

/// Four tasks that nothing but time checks.
fn unchecked(image: &str) -> Draft {
    web(image).without("loadBalancers")
}

/// A rollout of ten minutes that was widened; no task of it is left.
fn widened(draft: impl Fn(&str) -> Draft) -> Look {
    let mut look = Look::in_phase(&draft("good:1"), &draft("good:2"), ":widen:");
    look.tasks().clear();
    look.begun(600);
    look.mark("widen", 600);
    look
}

fn crashed_three_times() -> Look {
    let mut look = widened(unchecked);
    for _ in 0..3 {
        look.crashed(40, 100);
    }
    look
}

#[test]
fn a_healthy_task_that_has_not_outlived_the_failed_ones_twice_sets_no_count_back() {
    for runs in [40, 50, 80] {
        let mut look = crashed_three_times();
        look.runs(runs);
        assert_eq!(look.verdict(), Some(VerdictKind::Crashes), "{runs}");
    }
}

#[test]
fn a_healthy_task_that_has_outlived_the_failed_ones_sets_the_counts_back() {
    let mut look = crashed_three_times();
    look.runs(90);
    assert_eq!(look.verdict(), None);
}

#[test]
fn how_long_a_task_lived_that_was_stopped_for_good_reasons_holds_no_count() {
    let mut look = crashed_three_times();
    look.runs(90);
    let scaled = "Scaling activity initiated by (deployment ecs-svc/1)";
    look.ended(400, 10, "ServiceSchedulerInitiated", scaled);
    assert_eq!(look.verdict(), None);
}

#[test]
fn a_failure_in_the_second_since_which_is_judged_is_of_before() {
    for (since, verdict) in [(100, None), (101, Some(VerdictKind::Crashes))] {
        let mut look = crashed_three_times();
        look.mark("widen", since);
        assert_eq!(look.verdict(), verdict, "{since}");
    }
}

#[test]
fn an_alarm_that_went_off_in_the_second_of_the_start_was_red_before() {
    for (seconds, verdict) in [(600, None), (599, Some(VerdictKind::Alarm))] {
        let mut look = widened(unchecked);
        look.runs(300);
        look.desired.rollout.breaker.alarms = vec!["errors".to_owned()];
        look.alarm("errors", "ALARM", look.ago(seconds));
        assert_eq!(look.verdict(), verdict, "{seconds}");
    }
}

/// A rollout that would be out of patience for an hour.
fn overdue() -> Look {
    let mut look = widened(unchecked);
    look.begun(4200);
    look.mark("widen", 4200);
    look
}

#[test]
fn a_rollout_in_which_nothing_becomes_healthy_is_stalled() {
    assert_eq!(overdue().verdict(), Some(VerdictKind::Stalled));
}

#[test]
fn the_clock_stands_once_every_task_is_healthy_whatever_ecs_still_does() {
    let mut look = overdue();
    for _ in 0..4 {
        look.runs(4000);
    }
    assert_eq!(look.verdict(), None);
}

#[test]
fn the_clock_stands_once_ecs_completed_the_deployment() {
    let mut look = overdue();
    look.primary().rollout_state = Some("COMPLETED".to_owned());
    assert_eq!(look.verdict(), None);
}

/// ECS completed it long ago, and its only task has just been killed, or is its successor and hangs.
#[test]
fn a_task_that_stops_is_none_that_should_get_healthy() {
    for (desired, verdict) in [("STOPPED", None), ("RUNNING", Some(VerdictKind::Stalled))] {
        let mut look = overdue();
        look.primary().rollout_state = Some("COMPLETED".to_owned());
        look.add_task(json!({
            "lastStatus": "DEACTIVATING", "desiredStatus": desired,
            "createdAt": look.ago(4000).as_second(), "stoppingAt": look.ago(1).as_second(),
        }));
        assert_eq!(look.verdict(), verdict, "{desired}: {}", look.plan());
    }
}

/// It was healthy then, and when it ceased to be so is not known.
#[test]
fn a_task_that_was_there_when_ecs_completed_the_deployment_is_none_that_never_got_healthy() {
    for (created, verdict) in [(3000, None), (1000, Some(VerdictKind::Stalled))] {
        let mut look = overdue();
        look.primary().rollout_state = Some("COMPLETED".to_owned());
        look.history()[0].finished_at = Some(look.ago(2000));
        look.add_task(json!({
            "lastStatus": "PENDING", "desiredStatus": "RUNNING",
            "createdAt": look.ago(created).as_second(),
        }));
        assert_eq!(look.verdict(), verdict, "{created}: {}", look.plan());
    }
}

#[test]
fn the_clock_stands_on_a_server_that_shows_no_course_of_deployments_at_all() {
    for (state, deployments, verdict) in [
        (None, missing(), None),
        (Some("IN_PROGRESS".to_owned()), missing(), Some(VerdictKind::Stalled)),
    ] {
        let mut look = overdue();
        look.primary().rollout_state.clone_from(&state);
        look.seen.service_deployments = deployments;
        assert_eq!(look.verdict(), verdict, "{state:?}");
    }
    let mut look = overdue();
    look.primary().rollout_state = None;
    assert_eq!(look.verdict(), Some(VerdictKind::Stalled), "ECS would show them");
}

#[test]
fn the_clock_stands_while_old_tasks_drain_and_not_while_new_ones_do() {
    let drains = json!({ "lastStatus": "DEACTIVATING", "desiredStatus": "STOPPED" });
    let mut look = overdue();
    look.add_task(drains.clone());
    assert_eq!(look.verdict(), Some(VerdictKind::Stalled));
    if let Some(task) = look.tasks().last_mut() {
        task.started_by = Some("ecs-svc/1".to_owned());
    }
    assert_eq!(look.verdict(), None);
}

#[test]
fn the_clock_goes_on_while_old_tasks_drain_that_failed_by_themselves() {
    let mut look = overdue();
    look.add_task(json!({
        "lastStatus": "DEACTIVATING", "desiredStatus": "STOPPED", "startedBy": "ecs-svc/1",
        "stopCode": "ServiceSchedulerInitiated",
        "stoppedReason": "Task failed ELB health checks in (target-group web)",
    }));
    assert_eq!(look.verdict(), Some(VerdictKind::Stalled));
}

#[test]
fn a_lack_of_capacity_ends_when_ecs_says_that_the_percentages_hold_the_deployment() {
    for (told, stalled) in [(3999, true), (4001, false)] {
        let mut look = overdue();
        look.event(4000, "(service web) was unable to place a task because of no capacity.");
        let held = "(service web) was unable to stop or start tasks during a deployment because \
                    of the service deployment configuration.";
        look.event(told, held);
        let plan = look.plan();
        assert_eq!(plan.verdict.is_some(), stalled, "{plan}");
    }
}

#[test]
fn a_start_in_the_second_of_a_lack_of_capacity_does_not_end_it() {
    for (created, patience) in [(4000, 600), (3999, 600 - 3999)] {
        let mut look = overdue();
        look.event(4000, "(service web) was unable to place a task because of no capacity.");
        look.add_task(json!({
            "lastStatus": "STOPPED", "desiredStatus": "STOPPED", "stopCode": "UserInitiated",
            "stoppedReason": "Task stopped by user", "createdAt": look.ago(created).as_second(),
        }));
        let plan = look.plan();
        let until = plan.waiting.iter().find_map(|wait| wait.until);
        let expected = look.seen.at.checked_add(SignedDuration::from_secs(patience)).ok();
        let stalled = patience < 0;
        assert_eq!(plan.verdict.is_some(), stalled, "{plan}");
        assert_eq!(until, expected.filter(|_| !stalled), "{plan}");
    }
}

#[test]
fn a_task_that_waits_for_an_instance_is_no_stall_and_one_that_has_its_place_is() {
    for (status, created, verdict) in [
        ("PROVISIONING", 900, None),
        ("PROVISIONING", 61, None),
        ("PROVISIONING", 60, Some(VerdictKind::Stalled)),
        ("PENDING", 900, Some(VerdictKind::Stalled)),
    ] {
        let mut look = overdue();
        look.add_task(json!({
            "lastStatus": status, "desiredStatus": "RUNNING",
            "createdAt": look.ago(created).as_second(),
        }));
        let plan = look.plan();
        assert_eq!(look.verdict(), verdict, "{status} {created}: {plan}");
        let waits = plan.waiting.iter().any(|wait| wait.reason == WaitReason::Capacity);
        assert_eq!(waits, verdict.is_none(), "{status} {created}: {plan}");
    }
}

#[test]
fn the_clock_begins_again_with_the_pull_of_a_task_that_waited_for_an_instance() {
    for (created, pulled, verdict) in [
        (1500, 599, None),
        (1500, 600, Some(VerdictKind::Stalled)),
        (640, 581, Some(VerdictKind::Stalled)),
    ] {
        let mut look = overdue();
        look.add_task(json!({
            "lastStatus": "PENDING", "desiredStatus": "RUNNING",
            "createdAt": look.ago(created).as_second(),
            "pullStartedAt": look.ago(pulled).as_second(),
        }));
        assert_eq!(look.verdict(), verdict, "{created} {pulled}: {}", look.plan());
    }
}

#[test]
fn a_task_on_instances_whose_place_has_no_time_may_have_waited_for_as_long_as_ecs_lets_it() {
    for (provider, created, verdict) in [
        ("on-instances", 1500, None),
        ("on-instances", 2399, None),
        ("on-instances", 2400, Some(VerdictKind::Stalled)),
        ("FARGATE", 1500, Some(VerdictKind::Stalled)),
        ("FARGATE_SPOT", 1500, Some(VerdictKind::Stalled)),
    ] {
        let mut look = overdue();
        look.add_task(json!({
            "lastStatus": "PENDING", "desiredStatus": "RUNNING", "capacityProviderName": provider,
            "createdAt": look.ago(created).as_second(),
        }));
        assert_eq!(look.verdict(), verdict, "{provider} {created}: {}", look.plan());
    }
}

#[test]
fn a_task_that_ecs_stopped_because_it_found_no_instance_is_one_failure_and_no_stall() {
    for (ended, verdict) in [(30, None), (600, Some(VerdictKind::Stalled))] {
        let mut look = overdue();
        look.add_task(json!({
            "lastStatus": "STOPPED", "desiredStatus": "STOPPED", "stopCode": "TaskFailedToStart",
            "capacityProviderName": "on-instances", "createdAt": look.ago(ended + 900).as_second(),
            "stoppedAt": look.ago(ended).as_second(),
        }));
        assert_eq!(look.verdict(), verdict, "{ended}: {}", look.plan());
    }
}

#[test]
fn a_task_that_ecs_is_told_to_stop_waits_for_nothing() {
    let mut look = overdue();
    look.add_task(json!({
        "lastStatus": "PROVISIONING", "desiredStatus": "STOPPED",
        "createdAt": look.ago(900).as_second(),
    }));
    assert_eq!(look.verdict(), Some(VerdictKind::Stalled));
}

/// Old tasks that ECS may not stop hold the room of the new ones; ECS said so 4000 s ago.
fn protected() -> Look {
    let mut look = overdue();
    look.runs(5000);
    if let Some(task) = look.tasks().last_mut() {
        task.started_by = Some("ecs-svc/1".to_owned());
    }
    look.event(
        4000,
        "(service web) was unable to reach steady state because task set (ecs-svc/1) was unable to \
         scale in. Reason: The number of protected tasks are more than the desired count of tasks",
    );
    look
}

#[test]
fn old_tasks_that_are_protected_from_scale_in_are_no_stall_of_the_new_revision() {
    let look = protected();
    assert_eq!(look.verdict(), None, "{}", look.plan());
    let before = {
        let mut look = protected();
        look.begun(3999);
        look.mark("widen", 3999);
        look
    };
    assert_eq!(before.verdict(), Some(VerdictKind::Stalled), "of an earlier deployment");
}

#[test]
fn new_tasks_that_hang_are_a_stall_whatever_is_protected() {
    for (created, verdict) in [(599, None), (600, Some(VerdictKind::Stalled))] {
        let mut look = protected();
        look.add_task(json!({
            "lastStatus": "PENDING", "desiredStatus": "RUNNING",
            "createdAt": look.ago(created).as_second(),
        }));
        assert_eq!(look.verdict(), verdict, "{created}: {}", look.plan());
    }
}

#[test]
fn the_clock_begins_again_with_the_end_of_the_last_task_that_was_protected() {
    for (ended, verdict) in [(599, None), (600, Some(VerdictKind::Stalled))] {
        let mut look = protected();
        let at = look.ago(ended);
        if let Some(task) = look.tasks().last_mut() {
            "STOPPED".clone_into(&mut task.last_status);
            "STOPPED".clone_into(&mut task.desired_status);
            task.stop_code = Some("ServiceSchedulerInitiated".to_owned());
            task.stopped_at = Some(at);
        }
        assert_eq!(look.verdict(), verdict, "{ended}: {}", look.plan());
    }
}

#[test]
fn a_task_that_is_over_or_about_to_be_is_not_healthy() {
    let over = [("STOPPED", "STOPPED"), ("RUNNING", "STOPPED"), ("PENDING", "RUNNING")];
    for (last, desired) in over {
        let mut look = widened(unchecked);
        for _ in 0..3 {
            look.runs(300);
        }
        let started = look.ago(300).as_second();
        look.add_task(json!({
            "lastStatus": last, "desiredStatus": desired, "startedAt": started,
            "stoppedReason": "Task stopped by user",
        }));
        look.primary().rollout_state = Some("COMPLETED".to_owned());
        look.primary().running_count = 4;
        let plan = look.plan();
        assert!(plan.to_string().contains("3 of 4 tasks"), "{last} {desired}: {plan}");
    }
}

/// ECS completed a rollout of four tasks, which all are healthy.
fn complete() -> Look {
    let mut look = widened(unchecked);
    for _ in 0..4 {
        look.runs(300);
    }
    look.primary().rollout_state = Some("COMPLETED".to_owned());
    look.primary().running_count = 4;
    look.service().deployments.truncate(1);
    look
}

fn proves(look: &Look) -> bool {
    let plan = look.plan();
    plan.actions.first().is_some_and(|action| action.why.starts_with("proves"))
}

#[test]
fn what_is_complete_and_healthy_is_proven() {
    assert!(proves(&complete()));
}

#[test]
fn after_a_crash_within_the_second_of_the_proof_only_its_mark_is_left_to_take_away() {
    let mut look = complete();
    let Call::TagResource { tags, .. } = look.plan().actions[0].call.clone() else { panic!() };
    look.service().tags.extend(tags);
    let plan = look.plan();
    assert!(
        matches!(&plan.actions[..], [Action { call: Call::UntagResource { .. }, .. }]),
        "{plan}"
    );
}

#[test]
fn without_a_state_of_the_rollout_all_counts_must_agree() {
    let stateless = || {
        let mut look = complete();
        let primary = look.primary();
        primary.rollout_state = None;
        (primary.pending_count, primary.desired_count) = (0, 4);
        look
    };
    assert!(proves(&stateless()));

    let mut another = stateless();
    let mut old = another.primary().clone();
    "ACTIVE".clone_into(&mut old.status);
    another.service().deployments.push(old);
    let mut pending = stateless();
    pending.primary().pending_count = 1;
    let mut growing = stateless();
    growing.primary().desired_count = 5;
    let mut shrinking = stateless();
    shrinking.service().desired_count = 3;
    for look in [another, pending, growing, shrinking] {
        let plan = look.plan();
        assert_eq!(plan.waiting.first().map(|one| one.reason), Some(WaitReason::Deployment));
    }
}

#[test]
fn while_anything_of_a_deep_look_could_not_be_read_nothing_is_proven() {
    let assert_waits = |hide: fn(&mut Look)| {
        let mut look = complete();
        hide(&mut look);
        let plan = look.plan();
        assert_eq!(crate::plans::reasons(&plan), [WaitReason::Unknown], "{plan}");
        assert!(plan.to_string().contains("Describe failed: timed out"), "{plan}");
    };
    assert_waits(|look| look.seen.service_deployments = failed());
    assert_waits(|look| look.seen.service_revisions = failed());
    assert_waits(|look| look.seen.tasks = failed());
    assert_waits(|look| look.seen.target_groups = failed());
}

#[test]
fn while_target_health_cannot_be_read_nothing_stalls_unless_the_server_has_none() {
    for (groups, verdict) in [(failed(), None), (missing(), Some(VerdictKind::Stalled))] {
        let mut look = widened(web);
        look.begun(4200);
        look.mark("widen", 4200);
        look.seen.target_groups = groups;
        assert_eq!(look.verdict(), verdict);
    }
}

#[test]
fn a_task_whose_health_is_unknown_is_healthy_where_no_essential_container_is_checked() {
    for (essential, proven) in [(true, false), (false, true)] {
        let checked = |image: &str| {
            let mut draft = unchecked(image);
            draft.task_definition["containerDefinitions"] = json!([
                { "name": "web", "image": image, "essential": true },
                {
                    "name": "side", "image": "side:1", "essential": essential,
                    "healthCheck": { "command": ["CMD", "true"] },
                },
            ]);
            draft
        };
        let mut look = complete();
        look.desired.task_definition = checked("good:2").service().task_definition;
        for task in look.tasks() {
            task.health_status = Some("UNKNOWN".to_owned());
        }
        assert_eq!(proves(&look), proven, "{essential}");
    }
}

#[test]
fn at_zero_tasks_what_was_proven_before_stays_what_to_return_to() {
    let mut look = complete();
    assert!(look.tags_written().contains_key(tag::PROVEN));
    look.service().desired_count = 0;
    look.tasks().clear();
    assert!(!look.tags_written().contains_key(tag::PROVEN), "{}", look.plan());
    look.service().tags.remove(tag::PROVEN);
    assert!(look.tags_written().contains_key(tag::PROVEN), "there is nothing better");
}

#[test]
fn the_failed_tasks_that_ecs_counts_are_told() {
    let mut look = widened(unchecked);
    look.begun(60);
    for (failed, told) in [(0, false), (2, true)] {
        look.primary().failed_tasks = failed;
        let plan = look.plan().to_string();
        assert_eq!(plan.contains("ECS counts 2 failed tasks"), told, "{plan}");
        assert!(!plan.contains("ECS counts 0"), "{plan}");
    }
}

/// A probe of so many seconds whose tasks are refused what their role is to grant, so many seconds after its start each.
fn refused(age: i64, reason: &str, after: &[i64]) -> Look {
    let mut look = Look::in_phase(&unchecked("good:1"), &unchecked("good:2"), ":probe:");
    look.tasks().clear();
    look.begun(age);
    look.mark("probe", age);
    for stopped in after {
        look.add_task(json!({
            "lastStatus": "STOPPED", "desiredStatus": "STOPPED", "stopCode": "TaskFailedToStart",
            "stoppedReason": reason, "stoppedAt": look.ago(age - stopped).as_second(),
        }));
    }
    look
}

#[test]
fn a_grant_that_is_not_seen_everywhere_yet_gets_a_second_try() {
    for reason in [
        "ResourceInitializationError: unable to pull secrets: AccessDeniedException: no",
        "ResourceInitializationError: User: arn:a is not authorized to perform: ssm:GetParameters",
        "ECS was unable to assume the role 'arn:aws:iam::1:role/web' that was provided",
        "CannotPullContainerError: Check that the role has the permissions to pull images",
    ] {
        let verdict = |age, after: &[i64]| refused(age, reason, after).verdict();
        assert_eq!(verdict(130, &[40]), None, "{reason}");
        assert_eq!(verdict(130, &[40, 80]), Some(VerdictKind::LaunchFailures), "{reason}");
        assert_eq!(verdict(130, &[119]), None, "{reason}");
        assert_eq!(verdict(130, &[120]), Some(VerdictKind::Doomed), "{reason}");
    }
    let gone = "CannotPullContainerError: web:nope: not found";
    assert_eq!(refused(130, gone, &[40]).verdict(), Some(VerdictKind::Doomed));
}

#[test]
fn tasks_that_were_refused_together_are_one_failure_and_those_of_the_second_try_one_each() {
    let mut look = widened(unchecked);
    look.begun(100);
    look.mark("widen", 100);
    let refused = |look: &mut Look, created: i64, stopped: i64| {
        look.add_task(json!({
            "lastStatus": "STOPPED", "desiredStatus": "STOPPED", "stopCode": "TaskFailedToStart",
            "stoppedReason": "ECS was unable to assume the role 'arn:aws:iam::1:role/web'",
            "createdAt": look.ago(created).as_second(), "stoppedAt": look.ago(stopped).as_second(),
        }));
    };
    for stopped in [60, 59, 58, 58] {
        refused(&mut look, 90, stopped);
    }
    assert_eq!(look.verdict(), None, "{}", look.plan());
    refused(&mut look, 55, 20);
    assert_eq!(look.verdict(), None, "{}", look.plan());
    refused(&mut look, 55, 20);
    assert_eq!(look.verdict(), Some(VerdictKind::LaunchFailures), "{}", look.plan());
}

/// What is wanted was rolled out an hour ago at a count of zero; half a minute ago somebody scaled it up.
fn scaled_up() -> Look {
    let mut look = widened(unchecked);
    look.desired.rollout.breaker.alarms = vec!["errors".to_owned()];
    let (digest, at) = (look.desired.revision_digest.clone(), look.ago(3600).as_second());
    look.tag(tag::DIGEST, &format!("v1:{digest}:{at}:0"));
    look.begun(3700);
    look.primary().rollout_state = Some("COMPLETED".to_owned());
    look
}

#[test]
fn an_alarm_of_the_time_without_tasks_is_not_held_against_what_was_scaled_up_since() {
    for (ago, verdict) in [(60, None), (20, Some(VerdictKind::Alarm))] {
        let mut look = scaled_up();
        look.mark("widen", 30);
        look.alarm("errors", "ALARM", look.ago(ago));
        assert_eq!(look.verdict(), verdict, "{}", look.plan());
    }
    let mut unmarked = scaled_up();
    unmarked.service().tags.remove(tag::ROLLOUT);
    let now = unmarked.ago(0);
    unmarked.alarm("errors", "OK", now);
    let mark = unmarked.tags_written()[tag::ROLLOUT].clone();
    assert!(mark.ends_with(&format!(":{}", now.as_second())), "{mark}");
}

#[test]
fn what_befell_an_adopted_service_before_is_not_held_against_it_as_against_a_new_revision() {
    for (hours, phase) in [(2, ":widen:"), (0, ":probe:")] {
        let mut look = scaled_up();
        for key in [tag::ROLLOUT, tag::DIGEST, tag::PROVEN] {
            look.service().tags.remove(key);
        }
        look.begun(hours * 3600 + 60);
        let now = look.ago(0);
        look.alarm("errors", "OK", now);
        let tags = look.tags_written();
        assert!(tags[tag::ROLLOUT].contains(phase), "{tags:?}");
        assert_eq!(tags.contains_key(tag::DIGEST), hours > 0, "{tags:?}");
    }
}

#[test]
fn a_rolling_release_is_proven_when_its_alarms_had_time_to_go_off() {
    let mut ecs = settled(&web("good:1"));
    let v2 = web("good:2").service();
    while ecs.history[0].status != "SUCCESSFUL" || !ecs.tags.contains_key(tag::ROLLOUT) {
        drop(ecs.pass(&v2));
        ecs.tick();
    }
    let complete = |minutes: i64, bake: u64, alarms: &[&str]| {
        let mut desired = v2.clone();
        desired.rollout.breaker.alarms = alarms.iter().map(|&name| name.to_owned()).collect();
        let mut look = Look::at(&ecs, desired);
        look.alarm("errors", "OK", look.ago(10_000));
        look.history()[0].finished_at = Some(look.ago(minutes * 60));
        let configuration = look.document().get_mut("deploymentConfiguration").expect("it has one");
        configuration["bakeTimeInMinutes"] = json!(bake);
        look.tags_written().contains_key(tag::PROVEN)
    };
    assert!(complete(0, 0, &[]), "nothing is to be heard");
    assert!(!complete(4, 0, &["errors"]));
    assert!(complete(5, 0, &["errors"]));
    assert!(complete(1, 4, &["errors"]), "ECS has heard them for the rest");
    assert!(complete(0, 30, &["errors"]));
}

/// Beside three crashes of the new revision, so many tasks of the proven one that failed so many seconds ago, and that live.
fn beside_the_proven(failed: usize, ago: i64, alive: usize) -> Look {
    let mut look = crashed_three_times();
    look.begun(400);
    look.mark("widen", 400);
    let proven = look.service().tags.get(tag::PROVEN).cloned().expect("it was proven");
    let revision = look.revisions().iter().find(|one| one.service_revision_arn == proven);
    let definition = revision.expect("it is listed").task_definition.clone();
    let stopped = look.ago(ago).as_second();
    for _ in 0..failed {
        look.add_task(json!({
            "startedBy": "ecs-svc/1", "taskDefinitionArn": definition, "lastStatus": "STOPPED", "desiredStatus": "STOPPED",
            "startedAt": stopped - 3600, "stoppingAt": stopped, "stopCode": "ServiceSchedulerInitiated",
            "stoppedReason": "Task failed ELB health checks in (target-group arn)",
        }));
    }
    for _ in 0..alive {
        look.add_task(json!({
            "startedBy": "ecs-svc/1", "taskDefinitionArn": definition, "lastStatus": "RUNNING", "desiredStatus": "RUNNING",
            "startedAt": stopped - 3600,
        }));
    }
    look
}

#[test]
fn what_fails_together_with_the_proven_revision_is_not_held_against_the_new_one() {
    for (failed, ago, alive, is_rejected) in [
        (0, 100, 4, true),
        (4, 100, 0, false),
        (4, 100, 4, false),
        (2, 200, 1, false),
        (4, 300, 0, true),
        (1, 100, 3, true),
    ] {
        let look = beside_the_proven(failed, ago, alive);
        let case = format!("{failed} failed {ago} s ago beside {alive}");
        assert_eq!(look.verdict().is_some(), is_rejected, "{case}: {}", look.plan());
    }
}

#[test]
fn one_task_of_the_proven_revision_that_fails_excuses_nothing_where_the_others_were_scaled_in() {
    let mut look = beside_the_proven(1, 100, 3);
    let stopped = look.ago(60);
    for task in look.tasks().iter_mut().filter(|task| task.last_status == "RUNNING") {
        "STOPPED".clone_into(&mut task.last_status);
        "STOPPED".clone_into(&mut task.desired_status);
        task.stop_code = Some("ServiceSchedulerInitiated".to_owned());
        task.stopped_reason = Some("Scaling activity initiated by deployment".to_owned());
        task.stopping_at = Some(stopped);
    }
    assert_eq!(look.verdict(), Some(VerdictKind::Crashes), "{}", look.plan());
}

#[test]
fn a_proven_revision_that_never_lives_long_excuses_nothing() {
    for (lived, is_rejected) in [(299, true), (300, false)] {
        let mut look = beside_the_proven(4, 100, 0);
        let started = look.ago(100 + lived);
        let proven = look.tasks().iter_mut();
        proven
            .filter(|task| task.started_by.as_deref() == Some("ecs-svc/1"))
            .for_each(|task| task.started_at = Some(started));
        assert_eq!(look.verdict().is_some(), is_rejected, "{lived} s: {}", look.plan());
    }
}

#[test]
fn patience_ends_although_the_proven_revision_fails_too() {
    let mut look = beside_the_proven(4, 100, 0);
    look.begun(601);
    look.mark("widen", 601);
    assert_eq!(look.verdict(), Some(VerdictKind::Stalled));
}
