//! Others at work on the same service: their deployments, an autoscaler, a person who says stop.

use evenkeel_planner::{
    Call, Depth, Fact, Observed, Questions, Unknown, WaitReason, questions, tag,
};
use serde_json::json;

use evenkeel_manifest::Service;

use crate::ecs::{Ecs, input};
use crate::manifests::{Draft, watched, web};
use crate::plans::{reasons, settled, settled_under_an_alarm};

#[test]
fn a_foreign_deployment_is_left_alone_until_it_ends_and_an_hour_is_over() {
    let v1 = web("good:1");
    let mut ecs = settled(&v1);
    ecs.later(-3 * 3600 / 2);
    ecs.rival("good:9");
    ecs.writes.clear();
    let plan = ecs.pass(&v1.service());
    assert_eq!(reasons(&plan), [WaitReason::ForeignDeployment]);
    let plan = ecs.settle(&v1.service(), 50);
    assert_eq!(reasons(&plan), [WaitReason::ForeignDeployment]);
    assert_eq!((plan.waiting[0].until.is_some(), ecs.writes.as_slice()), (true, [].as_slice()));
    ecs.later(3600);
    drop(ecs.settle(&v1.service(), 50));
    assert_eq!(ecs.primary_image(), "good:1");
}

/// Announces the rollout of `wanted`; the call that starts it is lost.
pub(crate) fn announced_only(ecs: &mut Ecs, wanted: &Draft) {
    for _ in 0..3 {
        let plan = ecs.plan(Some(&wanted.service()));
        if let [announcement, _start] = plan.actions.as_slice() {
            return ecs.apply(&announcement.call);
        }
        drop(ecs.pass(&wanted.service()));
    }
    panic!("nothing was announced");
}

#[test]
fn a_return_by_ecs_to_the_task_definition_of_a_start_that_was_lost_is_waited_for() {
    let v1 = web("good:1");
    let mut ecs = settled(&v1);
    let elsewhere = json!({ "awsvpcConfiguration": { "subnets": ["subnet-9"] } });
    let v2 = v1.with("networkConfiguration", elsewhere.clone());
    announced_only(&mut ecs, &v2);
    ecs.later(1);
    ecs.rival("good:9");
    ecs.roll_back("stopped by a person: returns.");
    assert_eq!(ecs.primary_image(), "good:1");
    ecs.writes.clear();
    let plan = ecs.pass(&v2.service());
    assert_eq!(reasons(&plan), [WaitReason::Rollback], "{plan}");
    assert_eq!(ecs.writes, Vec::<String>::new());
    assert_eq!(ecs.settle(&v2.service(), 200).to_string(), "nothing to do\n");
    assert_eq!(ecs.primary_member("networkConfiguration"), Some(&elsewhere));
}

/// The members of what ECS had returned to were rolled out with the new task definition, or the other way round.
#[test]
fn a_start_over_what_is_in_flight_is_whole_although_ecs_returned_before_it_arrived() {
    let elsewhere = json!({ "awsvpcConfiguration": { "subnets": ["subnet-9"] } });
    let mut ecs = settled(&web("good:1"));
    let v2 = web("hang:2").with("networkConfiguration", elsewhere.clone()).service();
    drop(ecs.settle(&v2, 2));
    assert_eq!(ecs.primary_image(), "hang:2");
    let v3 = web("good:3").with("networkConfiguration", elsewhere.clone()).service();
    let registers = ecs.plan(Some(&v3));
    registers.actions.iter().for_each(|one| ecs.apply(&one.call));
    let plan = ecs.plan(Some(&v3));
    ecs.roll_back("ECS deployment circuit breaker: tasks failed to start.");
    plan.actions.iter().for_each(|one| ecs.apply(&one.call));
    assert_eq!(ecs.primary_image(), "good:3");
    assert_eq!(ecs.primary_member("networkConfiguration"), Some(&elsewhere));
}

#[test]
fn a_person_s_deployment_after_a_start_that_was_lost_is_waited_for_by_a_newer_manifest() {
    let mut ecs = settled(&web("good:1"));
    announced_only(&mut ecs, &web("good:2"));
    ecs.later(1);
    ecs.rival("good:9");
    ecs.writes.clear();
    for wanted in [web("good:2"), web("good:3")] {
        let plan = ecs.pass(&wanted.service());
        assert_eq!(reasons(&plan), [WaitReason::ForeignDeployment], "{plan}");
    }
    assert_eq!(ecs.writes, Vec::<String>::new());
    drop(ecs.settle(&web("good:3").service(), 200));
    assert_eq!(ecs.primary_image(), "good:3");
}

#[test]
fn an_announced_rollout_that_did_start_is_superseded_by_a_newer_manifest_at_once() {
    let mut ecs = settled(&web("good:1"));
    announced_only(&mut ecs, &web("good:2"));
    let announced = ecs.newest_definition();
    ecs.update(&json!({ "taskDefinition": announced }));
    let plan = ecs.act(&web("good:3").service());
    assert_eq!(reasons(&plan), [WaitReason::Probe], "{plan}");
    assert_eq!(ecs.primary_image(), "good:3");
}

#[test]
fn an_announced_rollout_that_did_start_is_left_when_the_manifest_goes_back_to_what_was_rejected() {
    let mut ecs = settled(&web("good:1"));
    let rejected = web("crash:2").service();
    drop(ecs.settle(&rejected, 100));
    announced_only(&mut ecs, &web("good:3"));
    let announced = ecs.newest_definition();
    ecs.update(&json!({ "taskDefinition": announced }));
    assert_eq!(ecs.primary_image(), "good:3");
    let plan = ecs.pass(&rejected);
    assert_eq!(plan.actions.len(), 1, "{plan}");
    drop(ecs.settle(&rejected, 100));
    assert_eq!(ecs.primary_image(), "good:1");
}

#[test]
fn an_announcement_that_came_to_nothing_is_forgotten_while_a_foreign_deployment_hangs() {
    let mut ecs = settled(&web("good:1"));
    let rejected = web("crash:2").service();
    drop(ecs.settle(&rejected, 100));
    announced_only(&mut ecs, &web("good:3"));
    ecs.later(1);
    ecs.rival("hang:9");
    let plan = ecs.settle(&rejected, 300);
    assert_eq!(reasons(&plan), [WaitReason::Held], "{plan}");
    assert!(!ecs.tags.contains_key("evenkeel:rollout"), "{:?}", ecs.tags);
}

#[test]
fn a_rollout_that_was_rejected_and_taken_over_is_forgotten_while_a_foreign_deployment_hangs() {
    let mut ecs = settled(&web("good:1"));
    let rejected = web("hang:2").service();
    for _ in 0..5 {
        drop(ecs.pass(&rejected));
    }
    assert_eq!(ecs.primary_image(), "hang:2");
    let verdict = format!("v1:{}:1:Aborted/ann/x", rejected.revision_digest);
    ecs.tags.insert("evenkeel:rejected".to_owned(), verdict);
    ecs.rival("hang:9");
    assert!(ecs.tags.contains_key("evenkeel:rollout"), "{:?}", ecs.tags);
    let plan = ecs.settle(&rejected, 300);
    assert_eq!(reasons(&plan), [WaitReason::Held], "{plan}");
    assert!(!ecs.tags.contains_key("evenkeel:rollout"), "{:?}", ecs.tags);
}

/// A settled service, over which somebody rolls out what never starts.
fn hung(first: &Draft) -> Ecs {
    let mut ecs = settled(first);
    ecs.rival("hang:9");
    ecs.writes.clear();
    ecs
}

#[test]
fn a_foreign_deployment_that_hangs_is_held_for_a_person_and_replaced_an_hour_after_it_began() {
    let v1 = web("good:1");
    let mut ecs = hung(&v1);
    let plan = ecs.pass(&v1.service());
    assert_eq!(reasons(&plan), [WaitReason::ForeignDeployment]);
    assert!(plan.waiting[0].until.is_some(), "{plan}");
    let plan = ecs.settle(&v1.service(), 150);
    assert_eq!((reasons(&plan), ecs.writes.as_slice()), (vec![WaitReason::Held], [].as_slice()));
    assert!(plan.waiting[0].until.is_some(), "{plan}");
    assert_eq!(ecs.primary_image(), "hang:9");
    ecs.later(3600);
    assert_eq!(ecs.settle(&v1.service(), 200).to_string(), "nothing to do\n");
    assert_eq!(ecs.primary_image(), "good:1");
}

#[test]
fn new_content_waits_for_a_foreign_deployment_and_supersedes_one_that_hangs() {
    let mut ecs = hung(&web("good:1"));
    let v2 = web("good:2").service();
    let plan = ecs.settle(&v2, 60);
    assert_eq!(reasons(&plan), [WaitReason::ForeignDeployment]);
    assert_eq!(ecs.writes, Vec::<String>::new());
    assert_eq!(ecs.settle(&v2, 200).to_string(), "nothing to do\n");
    assert_eq!(ecs.primary_image(), "good:2");
}

#[test]
fn a_rollout_that_was_displaced_by_one_that_hangs_is_not_asserted_against_it_for_an_hour() {
    let mut ecs = settled(&web("good:1"));
    let v2 = web("good:2").service();
    drop(ecs.settle(&v2, 2));
    ecs.rival("hang:9");
    ecs.writes.clear();
    let plan = ecs.settle(&v2, 200);
    assert_eq!((reasons(&plan), ecs.writes.as_slice()), (vec![WaitReason::Held], [].as_slice()));
    ecs.later(3600);
    assert_eq!(ecs.settle(&v2, 200).to_string(), "nothing to do\n");
    assert_eq!(ecs.primary_image(), "good:2");
}

#[test]
fn a_rollout_that_is_displaced_again_and_again_is_begun_anew_once_an_hour_at_most() {
    let mut ecs = settled(&web("good:1"));
    let v2 = web("good:2").service();
    ecs.apply(&Call::RegisterTaskDefinition { input: web("good:9").task_definition });
    let theirs = ecs.newest_definition();
    drop(ecs.settle(&v2, 2));
    for _ in 0..2 {
        assert_eq!(ecs.primary_image(), "good:2");
        ecs.update(&json!({ "taskDefinition": theirs }));
        for _ in 0..100 {
            if ecs.primary_image() == "good:9" {
                drop(ecs.settle(&v2, 1));
            }
        }
    }
    ecs.writes.clear();
    let plan = ecs.settle(&v2, 50);
    assert_eq!(
        (reasons(&plan), ecs.writes.as_slice()),
        (vec![WaitReason::ForeignDeployment], [].as_slice())
    );
    assert_eq!(ecs.primary_image(), "good:9");
    ecs.later(3600);
    drop(ecs.settle(&v2, 100));
    assert_eq!(ecs.primary_image(), "good:2");
}

#[test]
fn an_autoscaler_that_moves_the_count_in_mid_rollout_is_left_alone() {
    let free = |image| web(image).without("desiredCount");
    let mut ecs = settled(&free("good:1"));
    ecs.update(&json!({ "desiredCount": 6 }));
    drop(ecs.settle(&free("good:1").service(), 20));
    let v2 = free("good:2").service();
    for count in [3, 9, 2, 5] {
        for _ in 0..4 {
            for action in ecs.pass(&v2).actions {
                let Call::UpdateService { input } = &action.call else { continue };
                assert_eq!(input.get("desiredCount"), None, "{}", action.why);
            }
            ecs.tick();
        }
        ecs.update(&json!({ "desiredCount": count }));
    }
    assert_eq!(ecs.settle(&v2, 100).to_string(), "nothing to do\n");
    assert_eq!((ecs.primary_image().as_str(), ecs.count()), ("good:2", 5));
}

#[test]
fn a_person_who_says_stop_in_mid_rollout_stops_all_writes_until_it_is_taken_back() {
    let mut ecs = settled(&web("good:1"));
    let v2 = web("crash:2");
    drop(ecs.settle(&v2.service(), 2));
    ecs.writes.clear();
    ecs.tags.insert(tag::HOLD.to_owned(), String::new());
    let plan = ecs.settle(&v2.service(), 20);
    assert_eq!((reasons(&plan), ecs.writes.len()), (vec![WaitReason::Held], 0));
    ecs.tags.remove(tag::HOLD);
    let plan = ecs.settle(&v2.clone().paused().service(), 20);
    assert_eq!((reasons(&plan), ecs.writes.len()), (vec![WaitReason::Paused], 0));
    assert_eq!(reasons(&ecs.settle(&v2.service(), 100)), [WaitReason::Rejected]);
    assert_eq!(ecs.primary_image(), "good:1");
}

#[test]
fn a_person_s_deployment_that_ecs_gave_up_is_not_left_for_what_was_proven_and_then_rejected_itself()
{
    let mut ecs = settled(&web("good:1"));
    let v1 = web("good:1").service();
    ecs.rival("good:9");
    ecs.give_up("");
    let rejection = format!("v1:{}:1790000001:HealthFailures", v1.revision_digest);
    ecs.tags.insert(tag::REJECTED.to_owned(), rejection);
    ecs.writes.clear();
    let plan = ecs.settle(&v1, 200);
    assert_eq!(reasons(&plan), [WaitReason::Held], "{plan}");
    assert_eq!((ecs.primary_image(), ecs.writes.len()), ("good:9".to_owned(), 1));
    let v2 = web("good:2").service();
    assert_eq!(ecs.settle(&v2, 200).to_string(), "nothing to do\n");
    assert_eq!(ecs.primary_image(), "good:2");
}

#[test]
fn a_person_s_deployment_that_ecs_gave_up_is_left_for_the_proven_one_when_what_is_wanted_was_rejected()
 {
    let mut ecs = settled(&web("good:1"));
    let v2 = web("crash:2").service();
    assert_eq!(reasons(&ecs.settle(&v2, 200)), [WaitReason::Rejected]);
    ecs.rival("hang:9");
    ecs.give_up("");
    assert_eq!(ecs.primary_image(), "hang:9");
    assert_eq!(reasons(&ecs.settle(&v2, 200)), [WaitReason::Rejected]);
    assert_eq!(ecs.primary_image(), "good:1");
}

#[test]
fn what_was_not_searched_for_is_not_registered_and_the_search_is_made_up_for() {
    let wanted = web("good:1").service();
    let ecs = settled(&web("good:1"));
    let shallow = ecs.observe(&Questions::shallow());
    assert_eq!(questions(Some(&wanted), Some(&shallow)), None, "the wanted revision is in use");
    let deep = Questions { depth: Depth::Deep, ..Questions::shallow() };
    let (service, task_definitions) = (Fact::Absent, Fact::Known(Vec::new()));
    let gone = Observed { service, task_definitions, ..ecs.observe(&deep) };
    let plan = evenkeel_planner::plan(&input(&wanted.key, Some(&wanted), &gone));
    assert_eq!(
        (plan.actions.as_slice(), reasons(&plan)),
        ([].as_slice(), vec![WaitReason::Unknown])
    );
    let more = questions(Some(&wanted), Some(&gone)).unwrap();
    assert_eq!(more.family.unwrap().digest, wanted.task_definition_digest);
    let searched = Observed { searched: Some(wanted.task_definition_digest.clone()), ..gone };
    assert_eq!(questions(Some(&wanted), Some(&searched)), None);
    let plan = evenkeel_planner::plan(&input(&wanted.key, Some(&wanted), &searched));
    assert_eq!(plan.actions.len(), 1);
}

#[test]
fn a_person_s_deployment_over_a_rollback_that_ecs_gave_up_is_returned_from_too() {
    let mut ecs = settled(&web("good:1"));
    let v2 = web("crash:2").service();
    for _ in 0..200 {
        drop(ecs.pass(&v2));
        if ecs.tags.contains_key(tag::REJECTED) && ecs.primary_image() == "good:1" {
            break;
        }
        ecs.tick();
    }
    assert!(ecs.tags[tag::ROLLOUT].contains(":rollback:"), "{:?}", ecs.tags);
    ecs.rival("hang:9");
    ecs.give_up("");
    assert_eq!(reasons(&ecs.settle(&v2, 200)), [WaitReason::Rejected]);
    assert_eq!(ecs.primary_image(), "good:1");
}

/// `crash:2` was rejected; the manifest went on to `good:3`, whose rollout is in flight, and back.
pub(crate) fn left_for_a_rejected_one() -> Ecs {
    let mut ecs = settled(&web("good:1"));
    let bad = web("crash:2").service();
    drop(ecs.settle(&bad, 200));
    let v3 = web("good:3").service();
    let marks =
        |ecs: &Ecs, what| ecs.tags.get(tag::ROLLOUT).is_some_and(|mark| mark.contains(what));
    while ecs.primary_image() != "good:3" || !marks(&ecs, "ecs-svc/") {
        drop(ecs.pass(&v3));
    }
    drop(ecs.pass(&bad));
    assert!(marks(&ecs, ":rollback:"), "{:?}", ecs.tags);
    ecs
}

#[test]
fn a_rollout_that_was_to_be_left_and_is_wanted_again_is_judged_and_proven() {
    let mut ecs = left_for_a_rejected_one();
    let v3 = web("good:3").service();
    assert_eq!(ecs.settle(&v3, 200).to_string(), "nothing to do\n");
    assert_eq!(ecs.primary_image(), "good:3");
    assert!(ecs.tags[tag::DIGEST].contains(v3.revision_digest.as_str()));
}

#[test]
fn what_ecs_rolled_back_unseen_is_not_begun_anew_while_its_revisions_cannot_be_read() {
    let mut ecs = settled(&web("good:1"));
    let v2 = web("crash:2");
    announced_only(&mut ecs, &v2);
    let announced = ecs.newest_definition();
    ecs.update(&json!({ "taskDefinition": announced }));
    ecs.roll_back("ECS deployment circuit breaker");
    for _ in 0..20 {
        ecs.tick();
    }
    let message = "no answer".to_owned();
    let why = Unknown::Failed { operation: "DescribeServiceRevisions".to_owned(), message };
    let v2 = v2.service();
    let seen = ecs.look(Some(&v2));
    let blind = Observed { service_revisions: Fact::Unknown(why), ..seen.clone() };
    let plan = |seen| evenkeel_planner::plan(&input(&v2.key, Some(&v2), seen));
    assert_eq!(reasons(&plan(&blind)), [WaitReason::Unknown], "{}", plan(&blind));
    assert!(plan(&seen).verdict.is_some(), "{}", plan(&seen));
}

#[test]
fn a_rejected_revision_that_is_deployed_over_its_own_rollback_is_left_again() {
    let (mut ecs, v2) = returning();
    let newest = ecs.newest_definition();
    ecs.update(&json!({ "taskDefinition": newest }));
    assert_eq!(ecs.primary_image(), "good:2");
    drop(ecs.settle(&v2, 200));
    assert_eq!(ecs.primary_image(), "good:1");
    assert!(!ecs.tags.contains_key(tag::ROLLOUT), "{:?}", ecs.tags);
}

/// `good:2` ran on every task and was rejected by an alarm: `good:1` is returned to, from nothing.
fn returning() -> (Ecs, Service) {
    let mut ecs = settled_under_an_alarm();
    ecs.alarm("5xx", "ALARM", 60);
    let v2 = watched("good:2").service();
    drop(ecs.settle(&v2, 100));
    ecs.alarm("5xx", "ALARM", 1);
    drop(ecs.act(&v2));
    assert_eq!((ecs.primary_image().as_str(), ecs.is_rolling()), ("good:1", true));
    (ecs, v2)
}

#[test]
fn a_return_that_ecs_itself_ends_is_not_begun_again() {
    let (mut ecs, v2) = returning();
    ecs.roll_back("ECS deployment circuit breaker: tasks failed to start.");
    assert_eq!(ecs.primary_image(), "good:2");
    ecs.writes.clear();
    let plan = ecs.settle(&v2, 200);
    assert_eq!((reasons(&plan), ecs.writes), (vec![WaitReason::Held], Vec::<String>::new()));
}

#[test]
fn a_fix_is_not_held_back_by_a_return_on_which_tasks_crash_for_ever() {
    let (mut ecs, _) = returning();
    let v3 = web("good:3").service();
    for _ in 0..60 {
        ecs.tick();
        if ecs.primary_image() == "good:1" {
            ecs.crash_oldest();
        }
        drop(ecs.pass(&v3));
    }
    assert_eq!(ecs.primary_image(), "good:3");
}

#[test]
fn a_return_that_ecs_gave_up_leaves_no_mark_once_the_manifest_went_back_too() {
    let v1 = web("good:1").service();
    let mut ecs = settled(&web("good:1"));
    let v2 = web("good:2").service();
    drop(ecs.settle(&v2, 2));
    ecs.roll_back("ECS deployment circuit breaker: tasks failed to start.");
    drop(ecs.pass(&v2));
    assert!(ecs.tags[tag::ROLLOUT].contains(":rollback:"), "{:?}", ecs.tags);
    ecs.give_up("");
    drop(ecs.settle(&v1, 10));
    assert!(!ecs.tags.contains_key(tag::ROLLOUT), "{:?}", ecs.tags);
}

#[test]
fn ecs_is_not_asked_to_return_where_it_would_go_to_one_that_was_only_complete() {
    let mut ecs = settled_under_an_alarm();
    ecs.alarm("5xx", "ALARM", 60);
    drop(ecs.settle(&watched("good:2").service(), 100));
    assert_eq!((ecs.primary_image().as_str(), ecs.is_rolling()), ("good:2", false));
    drop(ecs.act(&watched("good:1").service()));
    assert_eq!((ecs.primary_image().as_str(), ecs.is_rolling()), ("good:1", true));
    let bad = watched("crash:3").service();
    while ecs.pass(&bad).verdict.is_none() {
        ecs.tick();
        assert!(ecs.started.get("crash:3").is_none_or(|count| *count < 5), "no verdict");
    }
    // What ran when the rollout began was of the proven content, and not complete.
    let mut seen = ecs.look(Some(&bad));
    let proven = ecs.tags[tag::PROVEN].clone();
    let Fact::Known(deployments) = &mut seen.service_deployments else { panic!("not deep") };
    for one in deployments.iter_mut().filter(|one| one.status == "IN_PROGRESS") {
        one.source_service_revisions.iter_mut().for_each(|source| source.arn = proven.clone());
    }
    let plan = evenkeel_planner::plan(&input(&bad.key, Some(&bad), &seen));
    let [action] = plan.actions.as_slice() else { panic!("{plan}") };
    assert!(matches!(action.call, Call::UpdateService { .. }), "{plan}");
}
