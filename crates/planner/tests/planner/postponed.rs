//! What ECS's own breaker ends for no fault of the revision: begun again later, not rejected.

#![expect(
    clippy::indexing_slicing,
    reason = "a fixture that does not find what it set up is a failed test"
)]

use evenkeel_manifest::Service;
use evenkeel_planner::{
    Action, Call, Command, Fact, Lane, Plan, VerdictKind, WaitReason, check, tag,
};
use serde_json::json;

use crate::ecs::input as input_of;
use crate::looks::Look;
use crate::manifests::{Draft, key, web, window};
use crate::plans::{reasons, settled};

const BREAKER: &str = "ECS deployment circuit breaker: tasks failed to start.";
const NO_ROOM: &str = "(service web) was unable to place a task because there is no capacity.";

/// ECS gave up the rollout that is PRIMARY, 200 seconds after it began, and nothing is known that speaks against its revision.
fn given_up(reason: &str) -> Look {
    rolled(&web("good:1"), &web("good:2"), reason)
}

fn shortage_of(old: &Draft, new: &Draft) -> Look {
    let mut look = rolled(old, new, BREAKER);
    look.event(100, NO_ROOM);
    look
}

fn rolled(old: &Draft, new: &Draft, reason: &str) -> Look {
    let mut look = Look::in_phase(old, new, ":probe:");
    look.begun(200);
    look.mark("probe", 190);
    let id = look.primary().id.clone();
    look.tasks().retain(|task| task.started_by.as_deref() != Some(&id));
    look.primary().rollout_state = Some("FAILED".to_owned());
    look.primary().rollout_state_reason = Some(reason.to_owned());
    "STOPPED".clone_into(&mut look.history()[0].status);
    look
}

fn in_a_shortage() -> Look {
    shortage_of(&web("good:1"), &web("good:2"))
}

#[test]
fn what_ecs_s_breaker_ended_for_lack_of_room_is_postponed_and_not_rejected() {
    let look = in_a_shortage();
    assert_eq!(look.verdict(), None, "{}", look.plan());
    let tags = look.tags_written();
    assert!(tags[tag::ROLLOUT].contains(":postpone:"), "{tags:?}");
    assert!(tags.contains_key(tag::DIGEST) && !tags.contains_key(tag::REJECTED), "{tags:?}");
}

#[test]
fn whatever_else_ecs_ended_is_rejected() {
    let before_it_began = {
        let mut look = given_up(BREAKER);
        look.event(201, NO_ROOM);
        look
    };
    let with_a_fault_of_its_own = {
        let mut look = in_a_shortage();
        look.crashed(20, 150);
        look
    };
    let with_tasks_unread = {
        let mut look = in_a_shortage();
        look.seen.tasks = Fact::Absent;
        look
    };
    let by_an_alarm = {
        let mut look = given_up("ECS deployment failed: alarm detected: errors.");
        look.event(100, NO_ROOM);
        look
    };
    let while_an_alarm_is_red = {
        let mut look = in_a_shortage();
        look.desired.rollout.breaker.alarms = vec!["errors".to_owned()];
        let since = look.ago(150);
        look.alarm("errors", "ALARM", since);
        look
    };
    assert_eq!(while_an_alarm_is_red.verdict(), Some(VerdictKind::Alarm));
    for look in [
        given_up(BREAKER),
        before_it_began,
        with_a_fault_of_its_own,
        with_tasks_unread,
        by_an_alarm,
    ] {
        assert_eq!(look.verdict(), Some(VerdictKind::RolledBackByEcs), "{}", look.plan());
    }
}

#[test]
fn what_ecs_s_breaker_ended_while_the_proven_revision_failed_too_is_postponed() {
    for is_shared in [true, false] {
        let mut look = given_up(BREAKER);
        let stopped = look.ago(140);
        for task in look.tasks().iter_mut().filter(|_| is_shared) {
            "STOPPED".clone_into(&mut task.last_status);
            "STOPPED".clone_into(&mut task.desired_status);
            task.stop_code = Some("EssentialContainerExited".to_owned());
            task.stopping_at = Some(stopped);
        }
        look.crashed(20, 150);
        let verdict = (!is_shared).then_some(VerdictKind::RolledBackByEcs);
        assert_eq!(look.verdict(), verdict, "{}", look.plan());
    }
}

#[test]
fn what_takes_a_proven_task_away_each_time_is_not_begun_again_and_again() {
    let tight = |image| {
        let percentages = json!({"minimumHealthyPercent": 0, "maximumPercent": 100});
        web(image).with("deploymentConfiguration", percentages)
    };
    let mut look = shortage_of(&tight("good:1"), &tight("good:2"));
    assert_eq!(look.verdict(), Some(VerdictKind::RolledBackByEcs), "{}", look.plan());
    look.service().tags.remove(tag::PROVEN);
    assert_eq!(look.verdict(), None, "nothing is lost where nothing was proven");
}

/// ECS's breaker rolled `good:2` back, and this is wanted now; with the id of the deployment that was ended.
fn returned_by_ecs(desired: Service) -> (Look, String) {
    let mut ecs = settled(&web("good:1"));
    drop(ecs.settle(&web("good:2").service(), 2));
    ecs.roll_back(BREAKER);
    let mut look = Look::at(&ecs, desired);
    let left = look.service().deployments[1].id.clone();
    (look, left)
}

#[test]
fn a_return_by_ecs_that_found_no_room_either_is_made_again_before_the_rollout_is() {
    let (mut look, left) = returned_by_ecs(web("good:2").service());
    look.primary().rollout_state = Some("FAILED".to_owned());
    look.primary().rollout_state_reason = Some(BREAKER.to_owned());
    look.begun(700);
    look.event(650, NO_ROOM);
    look.mark_of(&left, "postpone", 700);
    assert_eq!(look.update()["taskDefinition"], web_2(), "no task is missing");
    look.tasks().remove(0);
    assert_eq!(look.update(), json!({"forceNewDeployment": true}));
    assert!(look.plan().actions.iter().all(|action| action.lane == Lane::Rollback));
    look.mark_of(&left, "postpone", 599);
    assert_eq!((reasons(&look.plan()), look.calls().len()), (vec![WaitReason::Capacity], 0));
    look.mark_of(&left, "postpone1", 599);
    assert_eq!(look.update()["taskDefinition"], web_2(), "a person wants it at once");
}

fn web_2() -> serde_json::Value {
    json!("arn:aws:ecs:eu-west-1:123456789012:task-definition/web:2")
}

/// The rollout is postponed for so many seconds.
fn postponed(seconds: i64) -> Look {
    let mut look = in_a_shortage();
    look.mark("postpone", seconds);
    look
}

#[test]
fn a_postponed_rollout_is_begun_again_after_ten_minutes() {
    let waiting = postponed(599).plan();
    assert_eq!((reasons(&waiting), waiting.actions.len()), (vec![WaitReason::Capacity], 0));
    let until = waiting.waiting[0].until.expect("it says until when");
    assert_eq!(until, postponed(599).ago(-1));
    assert_eq!(postponed(600).update()["forceNewDeployment"], json!(true));
    let mut wanted_at_once = postponed(1);
    wanted_at_once.mark("postpone1", 1);
    assert_eq!(wanted_at_once.update()["forceNewDeployment"], json!(true));
}

#[test]
fn new_content_a_verdict_and_the_same_content_of_somebody_else_end_a_postponement() {
    let mut superseded = postponed(1);
    superseded.desired = web("good:1").service();
    assert!(superseded.plan().to_string().contains("rolls out"), "{}", superseded.plan());

    let mut rejected = postponed(1);
    let digest = rejected.desired.revision_digest.clone();
    rejected.tag(tag::REJECTED, &format!("v1:{digest}:{}:Aborted", rejected.ago(1).as_second()));
    assert!(rejected.tags_written()[tag::ROLLOUT].contains(":rollback:"));

    let mut deployed = in_a_shortage();
    deployed.mark_of("ecs-svc/17", "postpone", 1);
    deployed.primary().rollout_state = Some("IN_PROGRESS".to_owned());
    let id = deployed.primary().id.clone();
    assert!(deployed.tags_written()[tag::ROLLOUT].contains(&id), "{}", deployed.plan());
}

#[test]
fn new_content_waits_for_the_return_by_ecs_from_a_postponed_rollout() {
    let (mut look, left) = returned_by_ecs(web("good:3").service());
    look.mark_of(&left, "postpone", 1);
    let v2 = web("good:2").service().revision_digest;
    let mark = look.service().tags[tag::ROLLOUT].clone();
    let of_v2 = mark.replace(web("good:3").service().revision_digest.as_str(), v2.as_str());
    look.tag(tag::ROLLOUT, &of_v2);
    assert_eq!((reasons(&look.plan()), look.calls().len()), (vec![WaitReason::Rollback], 0));
}

#[test]
fn an_answer_from_the_past_about_a_postponed_rollout_is_not_acted_on() {
    let mut look = postponed(700);
    look.primary().rollout_state = Some("IN_PROGRESS".to_owned());
    assert_eq!((reasons(&look.plan()), look.calls().len()), (vec![WaitReason::Unknown], 0));
}

/// The service is settled, but for what ECS's breaker made of a restart of it that began so many seconds ago.
fn restarted(seconds: i64, without_room: bool) -> Look {
    let mut ecs = settled(&web("good:1"));
    ecs.give_up(BREAKER);
    drop(ecs.tasks.pop());
    let mut look = Look::at(&ecs, web("good:1").service());
    look.begun(seconds);
    if without_room {
        look.event(seconds - 10, NO_ROOM);
    }
    look
}

#[test]
fn what_is_proven_and_was_given_up_in_a_shortage_is_deployed_again() {
    assert_eq!(reasons(&restarted(599, true).plan()), [WaitReason::Capacity]);
    assert_eq!(restarted(600, true).update()["forceNewDeployment"], json!(true));
    assert_eq!(restarted(600, false).calls(), Vec::<&str>::new());
    let mut frozen = restarted(600, true);
    frozen.desired.rollout.windows = vec![window(None, Some("0 16 * * *"), "12h")];
    assert_eq!(frozen.update(), json!({"forceNewDeployment": true}), "it is no release");
    let mut paused = restarted(600, true);
    paused.tag(tag::PAUSE, "v1:1790000000:ada:not now");
    assert_eq!((reasons(&paused.plan()), paused.calls().len()), (vec![WaitReason::Person], 0));
}

#[test]
fn a_person_s_retry_begins_a_postponed_rollout_at_once() {
    let mut ecs = settled(&web("good:1"));
    let v2 = web("good:2").service();
    drop(ecs.settle(&v2, 2));
    let since = ecs.at().as_second();
    let mark = format!("v1:{}:ecs-svc/1:postpone:{since}", v2.revision_digest);
    ecs.tags.insert(tag::ROLLOUT.to_owned(), mark);
    let sentence = ecs.ordered(&v2, Command::Retry).expect("it is followed");
    assert!(sentence.contains("begun again at once"), "{sentence}");
    let mark = &ecs.tags[tag::ROLLOUT];
    assert!(mark.ends_with(&format!(":postpone1:{since}")), "{mark}");
}

#[test]
fn a_retry_that_was_followed_already_writes_nothing_again() {
    let mut ecs = settled(&web("good:1"));
    let v2 = web("good:2").service();
    drop(ecs.settle(&v2, 2));
    let mark = format!("v1:{}:ecs-svc/1:postpone1:{}", v2.revision_digest, ecs.at().as_second());
    ecs.tags.insert(tag::ROLLOUT.to_owned(), mark);
    let other = web("good:3").service().revision_digest;
    for rejected in [None, Some(format!("v1:{other}:{}:Crashes", ecs.at().as_second()))] {
        ecs.tags.extend(rejected.map(|verdict| (tag::REJECTED.to_owned(), verdict)));
        let before = ecs.tags.clone();
        let sentence = ecs.ordered(&v2, Command::Retry).expect("it is followed");
        assert!(sentence.contains("begun again already"), "{sentence}");
        assert_eq!(ecs.tags, before);
    }
}

#[test]
fn what_a_person_undid_before_ecs_s_breaker_ended_it_is_returned_from_and_gets_no_second_verdict() {
    let (mut look, left) = returned_by_ecs(web("good:2").service());
    look.mark_of(&left, "probe", 200);
    assert_eq!(look.verdict(), Some(VerdictKind::RolledBackByEcs));
    let digest = look.desired.revision_digest.clone();
    look.tag(tag::REJECTED, &format!("v1:{digest}:{}:Aborted", look.ago(1).as_second()));
    let tags = look.tags_written();
    assert!(tags[tag::ROLLOUT].contains(":rollback:"), "{}", look.plan());
    assert!(!tags.contains_key(tag::REJECTED), "{tags:?}");
}

#[test]
fn without_a_verdict_only_what_is_proven_and_was_given_up_is_deployed_again_as_a_return() {
    let refused = |look: &Look| {
        let input = json!({"cluster": "prod", "service": "web", "forceNewDeployment": true});
        let call = Call::UpdateService { input };
        let action = Action { call, lane: Lane::Rollback, why: String::new() };
        let plan = Plan { actions: vec![action], ..look.plan() };
        let key = key();
        check(&plan, &input_of(&key, Some(&look.desired), &look.seen)).unwrap_err().join("; ")
    };
    assert!(
        refused(&postponed(700)).contains("no verdict was written"),
        "what is PRIMARY is not proven"
    );
    let mut complete = restarted(700, true);
    complete.primary().rollout_state = Some("COMPLETED".to_owned());
    assert!(refused(&complete).contains("no verdict was written"), "ECS gave nothing up");
}
