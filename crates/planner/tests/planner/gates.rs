//! Rollouts that move traffic: when a gate opens, when it stays shut, and how one is turned back.

#![expect(clippy::indexing_slicing, reason = "a look without a rollout is a mistake of its test")]

use evenkeel_manifest::{Shift, Strategy};
use evenkeel_planner::{
    Call, ConditionKind, ConditionStatus, HookAction, HookDetail, Outcome, VerdictKind, WaitReason,
    status, tag,
};
use jiff::SignedDuration;

use crate::ecs::input;
use crate::looks::{Look, failed, missing};
use crate::manifests::{GROUP, key, web};
use crate::plans::reasons;
use serde_json::json;

fn hook(id: &str, status: &str) -> HookDetail {
    HookDetail {
        hook_id: id.to_owned(),
        target_type: None,
        status: Some(status.to_owned()),
        expires_at: None,
    }
}

/// ECS has been in this stage for a minute, with these hooks; four healthy tasks stand beside the old ones.
fn in_stage(stage: &str, hooks: Vec<HookDetail>) -> Look {
    let plain = |image: &str| web(image).without("loadBalancers");
    let mut look = Look::in_phase(&plain("good:1"), &plain("good:2"), ":widen:");
    look.desired.rollout.strategy = Strategy::BlueGreen(Shift::default());
    look.tasks().clear();
    (0..4).for_each(|_| look.runs(300));
    look.begun(400);
    look.mark("shift", 400);
    let updated_at = look.ago(60);
    let rollout = &mut look.history()[0];
    rollout.deployment_configuration = Some(json!({ "strategy": "BLUE_GREEN" }));
    rollout.lifecycle_stage = Some(stage.to_owned());
    rollout.lifecycle_hook_details = hooks;
    rollout.updated_at = Some(updated_at);
    look
}

pub(crate) fn at_gate() -> Look {
    in_stage("POST_TEST_TRAFFIC_SHIFT", vec![hook("ecs-pause-1", "AWAITING_ACTION")])
}

/// The answers to pauses that are planned.
pub(crate) fn answers(look: &Look) -> Vec<(String, HookAction)> {
    let answer = |call| match call {
        Call::ContinueServiceDeployment { hook, action, .. } => Some((hook, action)),
        _ => None,
    };
    look.plan().actions.into_iter().filter_map(|action| answer(action.call)).collect()
}

#[test]
fn each_gate_opens_once_every_new_task_is_healthy() {
    for stage in
        ["POST_TEST_TRAFFIC_SHIFT", "PRE_PRODUCTION_TRAFFIC_SHIFT", "POST_PRODUCTION_TRAFFIC_SHIFT"]
    {
        let look = in_stage(stage, vec![hook("ecs-pause-1", "AWAITING_ACTION")]);
        assert_eq!(answers(&look), [("ecs-pause-1".to_owned(), HookAction::Continue)], "{stage}");
        let answered = in_stage(stage, vec![hook("ecs-pause-1", "SUCCEEDED")]);
        assert_eq!(answers(&answered), [], "{stage}");
    }
}

#[test]
fn a_gate_stays_shut_while_a_task_is_missing_and_nobody_is_told_that_all_is_well() {
    let mut look = at_gate();
    look.tasks().pop();
    look.service().running_count = 8;
    let plan = look.plan();
    assert_eq!((answers(&look), reasons(&plan)), (vec![], vec![WaitReason::Gate]), "{plan}");
    let key = key();
    let told = status(&input(&key, Some(&look.desired), &look.seen), &plan, &Outcome::Done);
    let is = |kind| told.condition(kind).map(|one| (one.status, one.reason));
    assert_eq!(is(ConditionKind::Ready), Some((ConditionStatus::False, "RollingOut")));
    assert_eq!(is(ConditionKind::Progressing), Some((ConditionStatus::True, "AtGate")));
}

#[test]
fn a_gate_stays_shut_on_ignorance() {
    let blind: [fn(&mut Look); 4] = [
        |look| look.seen.tasks = failed(),
        |look| look.seen.tasks = missing(),
        |look| look.seen.alarms = failed(),
        |look| {
            // A group that was not answered for: whether its targets are healthy is not known.
            let balancer =
                json!([{ "targetGroupArn": GROUP, "containerName": "web", "containerPort": 8080 }]);
            look.document().insert("loadBalancers".to_owned(), balancer);
            look.seen.target_groups = evenkeel_planner::Fact::Known(Vec::new());
        },
    ];
    for (index, change) in blind.into_iter().enumerate() {
        let mut look = at_gate();
        look.desired.rollout.breaker.alarms = vec!["5xx".to_owned()];
        look.alarm("5xx", "OK", look.ago(1000));
        assert_eq!(answers(&look).len(), 1);
        change(&mut look);
        assert_eq!(answers(&look), [], "{index}: {}", look.plan());
        assert!(!look.plan().waiting.is_empty(), "{index}");
    }
}

#[test]
fn an_alarm_that_was_red_before_keeps_a_gate_shut_and_speaks_against_nobody() {
    let mut look = at_gate();
    look.desired.rollout.breaker.alarms = vec!["5xx".to_owned()];
    look.alarm("5xx", "ALARM", look.ago(1000));
    let plan = look.plan();
    assert_eq!((reasons(&plan), plan.verdict), (vec![WaitReason::Alarm], None));
    look.alarm("5xx", "ALARM", look.ago(100));
    assert_eq!(look.verdict(), Some(VerdictKind::Alarm));
}

#[test]
fn a_pause_that_may_be_somebody_else_s_is_left_to_them() {
    let pause = |id: &str| hook(id, "AWAITING_ACTION");
    let looks = [
        in_stage("PRE_SCALE_UP", vec![pause("ecs-pause-1")]),
        in_stage("POST_TEST_TRAFFIC_SHIFT", vec![pause("ecs-pause-1"), pause("ecs-pause-2")]),
    ];
    for look in looks {
        let plan = look.plan();
        assert_eq!((answers(&look), reasons(&plan)), (vec![], vec![WaitReason::Held]), "{plan}");
    }
}

#[test]
fn a_pause_that_stood_for_long_is_not_held_against_the_stage_once_it_was_answered() {
    // The gate may stand for an hour, and was answered a moment ago; ECS takes ten minutes, and so long is its patience.
    let answered = |updated_before: i64, ends_in: i64| {
        let mut pause = hook("ecs-pause-1", "SUCCEEDED");
        let mut look = in_stage("PRE_PRODUCTION_TRAFFIC_SHIFT", Vec::new());
        pause.expires_at = Some(look.ago(-60 * ends_in));
        look.history()[0].lifecycle_hook_details = vec![pause];
        look.history()[0].updated_at = Some(look.ago(60 * updated_before));
        look.verdict()
    };
    assert_eq!(answered(50, 10), None, "nothing was updated since the pause began");
    assert_eq!(answered(80, -21), Some(VerdictKind::Stalled), "it would have ended long ago");
    assert_eq!(answered(25, 10), Some(VerdictKind::Stalled), "ECS went on then");
}

#[test]
fn a_stage_that_ecs_does_not_leave_is_held_against_the_rollout_unless_a_hook_runs() {
    // Ten minutes of patience and ten that ECS may take.
    let after = |minutes: i64, stage: &str, hooks: Vec<HookDetail>| {
        let mut look = in_stage(stage, hooks);
        let updated_at = look.ago(minutes * 60);
        look.history()[0].updated_at = Some(updated_at);
        look.verdict()
    };
    let stalled = Some(VerdictKind::Stalled);
    assert_eq!(after(19, "TEST_TRAFFIC_SHIFT", vec![]), None);
    assert_eq!(after(20, "TEST_TRAFFIC_SHIFT", vec![]), stalled);
    for status in ["AWAITING_ACTION", "IN_PROGRESS"] {
        assert_eq!(after(60, "POST_SCALE_UP", vec![hook("ecs-lambda-1", status)]), None);
    }
    for stage in ["SCALE_UP", "BAKE_TIME", "CLEAN_UP", "A_STAGE_OF_TOMORROW"] {
        assert_eq!(after(600, stage, vec![]), None, "{stage}");
    }
}

#[test]
fn the_bake_of_a_step_is_no_stall() {
    let mut look = in_stage("PRODUCTION_TRAFFIC_SHIFT", vec![]);
    let updated_at = look.ago(45 * 60);
    let step = json!({ "canaryPercent": 10.0, "canaryBakeTimeInMinutes": 30 });
    let rollout = &mut look.history()[0];
    rollout.updated_at = Some(updated_at);
    rollout.deployment_configuration =
        Some(json!({ "strategy": "CANARY", "canaryConfiguration": step }));
    assert_eq!(look.verdict(), None);
    look.seen.at = look.seen.at.checked_add(SignedDuration::from_mins(5)).expect("within all time");
    assert_eq!(look.verdict(), Some(VerdictKind::Stalled));
}

/// In a long bake, an hour after the tasks were started, three of four are healthy.
fn three_of_four_in(stage: &str) -> Look {
    let mut look = in_stage(stage, vec![]);
    look.tasks().clear();
    (0..3).for_each(|_| look.runs(3600));
    look.begun(4000);
    look.mark("shift", 4000);
    let step = json!({ "canaryPercent": 10.0, "canaryBakeTimeInMinutes": 120 });
    look.history()[0].deployment_configuration =
        Some(json!({ "strategy": "CANARY", "canaryConfiguration": step }));
    look
}

#[test]
fn a_task_that_is_lost_after_all_were_there_sets_the_clock_and_is_no_stall_at_once() {
    let stalled = Some(VerdictKind::Stalled);
    let stage = "PRODUCTION_TRAFFIC_SHIFT";
    assert_eq!(three_of_four_in(stage).verdict(), None, "none has stopped yet");
    for (seconds, verdict) in [(599, None), (601, stalled)] {
        let mut look = three_of_four_in(stage);
        look.ended(3000, seconds, "UserInitiated", "Task stopped by user");
        assert_eq!(look.verdict(), verdict, "stopped {seconds} s ago");
    }
    assert_eq!(three_of_four_in("SCALE_UP").verdict(), stalled, "they never were all there");
}

/// A verdict was written at this look.
fn rejected(mut look: Look) -> Look {
    let digest = look.desired.revision_digest.clone();
    let at = look.ago(10).as_second();
    look.tag(tag::REJECTED, &format!("v1:{digest}:{at}:Crashes"));
    look.mark("rollback", 10);
    look
}

#[test]
fn a_verdict_turns_back_at_an_open_pause_and_stops_the_rollout_between_two() {
    let at_pause = rejected(at_gate());
    assert_eq!(answers(&at_pause), [("ecs-pause-1".to_owned(), HookAction::Rollback)]);
    let between = rejected(in_stage("BAKE_TIME", vec![]));
    assert_eq!(between.calls(), ["StopServiceDeployment"]);
}

#[test]
fn a_return_is_over_when_ecs_has_cleared_it_away() {
    let mut look = rejected(in_stage("CLEAN_UP", vec![]));
    let green = look.primary().id.clone();
    look.service().deployments.reverse();
    for one in &mut look.service().deployments {
        let status = if one.id == green { "ACTIVE" } else { "PRIMARY" };
        status.clone_into(&mut one.status);
    }
    look.primary().rollout_state = Some("COMPLETED".to_owned());
    "ROLLBACK_IN_PROGRESS".clone_into(&mut look.history()[0].status);
    assert_eq!(reasons(&look.plan()), [WaitReason::Rollback], "{}", look.plan());
    "ROLLBACK_SUCCESSFUL".clone_into(&mut look.history()[0].status);
    assert_eq!(look.calls(), ["UntagResource"], "{}", look.plan());
}

#[test]
fn what_ecs_turned_back_is_rejected_although_an_older_deployment_is_primary() {
    let mut look = in_stage("CLEAN_UP", vec![]);
    let green = look.primary().id.clone();
    look.service().deployments.retain(|one| one.id != green);
    "PRIMARY".clone_into(&mut look.primary().status);
    look.primary().rollout_state = Some("COMPLETED".to_owned());
    look.mark_of(&green, "shift", 400);
    assert_eq!(reasons(&look.plan()), [WaitReason::Unknown], "a look from the past");
    "ROLLBACK_SUCCESSFUL".clone_into(&mut look.history()[0].status);
    assert_eq!(look.verdict(), Some(VerdictKind::RolledBackByEcs), "{}", look.plan());
}

#[test]
fn a_return_from_what_somebody_put_in_the_place_of_our_rollout_is_no_answer_from_the_past() {
    let mut look = at_gate();
    let ours = look.primary().id.clone();
    let theirs = {
        let (ours, began) = (look.ago(400), look.ago(200));
        let rollout = &mut look.history()[0];
        rollout.created_at = Some(ours);
        rollout.status = "STOPPED".to_owned();
        let mut theirs = rollout.clone();
        theirs.service_deployment_arn.push('9');
        theirs.status = "ROLLBACK_SUCCESSFUL".to_owned();
        theirs.created_at = Some(began);
        theirs.target_service_revision = None;
        theirs
    };
    let before = look.history()[1].clone();
    let back = before.target_service_revision.expect("it has a target").arn;
    let number = back.rsplit('/').next().expect("an ARN").to_owned();
    let definition =
        look.revisions().iter().find(|one| one.service_revision_arn == back).expect("described");
    let definition = definition.task_definition.clone();
    let began = look.ago(4_000);
    let primary = look.primary();
    primary.id = format!("ecs-svc/{number}");
    primary.task_definition = definition;
    primary.created_at = Some(began);
    primary.rollout_state = Some("COMPLETED".to_owned());
    look.service().deployments.truncate(1);
    look.mark_of(&ours, "shift", 400);
    let plan = look.plan();
    assert_eq!(reasons(&plan), [WaitReason::Unknown], "nothing tells that it went back: {plan}");
    look.history().insert(0, theirs);
    assert_eq!(look.calls(), ["UntagResource"], "{}", look.plan());
}
