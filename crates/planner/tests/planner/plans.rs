//! Plans, told as stories: what is done and what is waited for, pass by pass.

use std::time::Duration;

use evenkeel_manifest::{Counting, OnFailure, Service, Threshold};
use evenkeel_planner::{Call, Fact, ServiceDeployment, Unknown, VerdictKind, WaitReason, tag};
use serde_json::json;

use crate::ecs::{Ecs, input};
use crate::looks::{Look, failed};
use crate::manifests::{Draft, key, watched, web};

/// What the passes of `ticks` times five seconds say; what is said twice in a row is told once.
pub(crate) fn story(ecs: &mut Ecs, desired: &Service, ticks: u32) -> String {
    let mut told = String::new();
    for _ in 0..ticks {
        let plan = ecs.pass(desired).to_string();
        if !told.ends_with(&plan) {
            told += &plan;
        }
        ecs.tick();
    }
    told
}

/// A region in which this manifest is settled and proven.
/// `good:1` is settled, and its alarm is green.
pub(crate) fn settled_under_an_alarm() -> Ecs {
    let mut ecs = Ecs::new();
    ecs.alarm("5xx", "OK", 0);
    drop(ecs.settle(&watched("good:1").service(), 100));
    ecs
}

pub(crate) fn settled(draft: &Draft) -> Ecs {
    let mut ecs = Ecs::new();
    let plan = ecs.settle(&draft.service(), 100);
    assert_eq!(plan.to_string(), "nothing to do\n");
    ecs.writes.clear();
    ecs.later(2 * 3600);
    ecs
}

pub(crate) fn reasons(plan: &evenkeel_planner::Plan) -> Vec<WaitReason> {
    plan.waiting.iter().map(|wait| wait.reason).collect()
}

#[test]
fn a_manifest_becomes_a_service_step_by_step() {
    let mut ecs = Ecs::new();
    insta::assert_snapshot!(story(&mut ecs, &web("good:1").service(), 40));
}

#[test]
fn a_good_revision_is_probed_widened_and_proven() {
    let mut ecs = settled(&web("good:1"));
    insta::assert_snapshot!(story(&mut ecs, &web("good:2").service(), 40));
    assert_eq!(ecs.primary_image(), "good:2");
}

#[test]
fn a_revision_that_crashes_is_rejected_then_rolled_back_and_never_tried_again() {
    let mut ecs = settled(&web("good:1"));
    insta::assert_snapshot!(story(&mut ecs, &web("crash:2").service(), 60));
    assert_eq!(ecs.primary_image(), "good:1");
    assert!(ecs.started["crash:2"] <= 3, "{:?}", ecs.started);
}

#[test]
fn a_revision_that_never_works_starts_at_most_three_tasks_at_any_size() {
    for count in [1, 2, 3, 7, 50, 100] {
        for image in ["crash:2", "sick:2", "missing:2"] {
            let sized = |image| web(image).with("desiredCount", json!(count));
            let mut ecs = settled(&sized("good:1"));
            let plan = ecs.settle(&sized(image).service(), 60);
            assert_eq!(reasons(&plan), [WaitReason::Rejected], "{image} {count}");
            assert!(ecs.started[image] <= 3, "{count}: {:?}", ecs.started);
            assert_eq!((ecs.primary_image(), ecs.count()), ("good:1".to_owned(), count));
        }
    }
}

#[test]
fn a_revision_that_is_healthy_for_a_while_before_each_crash_is_rejected_too() {
    let probe = |image| {
        let mut draft = web(image);
        draft.probe.healthy_for = Duration::from_mins(2);
        draft
    };
    let mut ecs = settled(&probe("good:1"));
    let plan = ecs.settle(&probe("slow-crash:2").service(), 200);
    assert_eq!(reasons(&plan), [WaitReason::Rejected]);
    assert_eq!(ecs.primary_image(), "good:1");
}

#[test]
fn a_revision_that_fails_its_health_check_is_rolled_back() {
    let mut ecs = settled(&web("good:1"));
    insta::assert_snapshot!(story(&mut ecs, &web("sick:2").service(), 60));
    assert_eq!(ecs.primary_image(), "good:1");
    assert!(ecs.started["sick:2"] <= 3, "{:?}", ecs.started);
}

#[test]
fn an_image_that_does_not_exist_is_rejected_after_one_task() {
    let mut ecs = settled(&web("good:1"));
    insta::assert_snapshot!(story(&mut ecs, &web("missing:2").service(), 60));
    assert_eq!(ecs.primary_image(), "good:1");
}

#[test]
fn a_revision_that_never_runs_stalls_at_the_progress_deadline() {
    let mut ecs = settled(&web("good:1"));
    insta::assert_snapshot!(story(&mut ecs, &web("hang:2").service(), 200));
    assert_eq!(ecs.primary_image(), "good:1");
}

#[test]
fn the_first_revision_has_nothing_to_return_to() {
    let mut ecs = Ecs::new();
    insta::assert_snapshot!(story(&mut ecs, &web("crash:1").service(), 40));
    assert_eq!(ecs.count(), 1, "a revision that never worked is not scaled up");
}

#[test]
fn a_fix_supersedes_a_revision_that_is_held() {
    let mut ecs = Ecs::new();
    drop(ecs.settle(&web("crash:1").service(), 40));
    let plan = ecs.settle(&web("good:2").service(), 100);
    assert_eq!(plan.to_string(), "nothing to do\n");
    assert_eq!((ecs.primary_image().as_str(), ecs.count()), ("good:2", 4));
}

#[test]
fn a_newer_manifest_supersedes_a_rollout_in_flight() {
    let mut ecs = settled(&web("good:1"));
    drop(ecs.settle(&web("good:2").service(), 2));
    let plan = ecs.settle(&web("good:3").service(), 100);
    assert_eq!(plan.to_string(), "nothing to do\n");
    assert_eq!(ecs.primary_image(), "good:3");
}

#[test]
fn a_rollback_in_flight_ends_before_a_fix_starts() {
    let mut ecs = settled(&web("good:1"));
    let bad = web("crash:2").service();
    for _ in 0..30 {
        drop(ecs.pass(&bad));
        if ecs.history[0].status == "ROLLBACK_IN_PROGRESS" {
            break;
        }
        ecs.tick();
    }
    assert_eq!(ecs.deployments[0].state, "IN_PROGRESS");
    let plan = ecs.pass(&web("good:3").service());
    assert_eq!(reasons(&plan), [WaitReason::Rollback]);
    let plan = ecs.settle(&web("good:3").service(), 100);
    assert_eq!(plan.to_string(), "nothing to do\n");
    assert_eq!(ecs.primary_image(), "good:3");
}

#[test]
fn a_manifest_that_goes_back_during_a_rollback_leaves_no_mark_of_it() {
    let v1 = web("good:1");
    let mut ecs = settled(&v1);
    let bad = web("crash:2").service();
    while !ecs.tags.get(tag::ROLLOUT).is_some_and(|mark| mark.contains(":rollback:")) {
        drop(ecs.settle(&bad, 1));
    }
    assert_eq!(ecs.settle(&v1.service(), 200).to_string(), "nothing to do\n");
    assert_eq!((ecs.primary_image().as_str(), ecs.tags.get(tag::ROLLOUT)), ("good:1", None));
}

#[test]
fn with_on_failure_hold_nothing_is_rolled_back() {
    let hold = |image| web(image).judged(|breaker| breaker.on_failure = OnFailure::Hold);
    let mut ecs = settled(&hold("good:1"));
    let plan = ecs.settle(&hold("crash:2").service(), 60);
    assert_eq!(reasons(&plan), [WaitReason::Held]);
    assert!(!ecs.writes.contains(&"StopServiceDeployment".to_owned()));
    assert_eq!(ecs.primary_image(), "crash:2");
}

#[test]
fn ecs_s_own_rollback_is_recognised_and_remembered() {
    let mut ecs = settled(&web("good:1"));
    let v2 = web("good:2").service();
    drop(ecs.settle(&v2, 2));
    ecs.roll_back("ECS deployment circuit breaker: tasks failed to start.");
    let plan = ecs.pass(&v2);
    assert_eq!(plan.verdict.map(|verdict| verdict.kind), Some(VerdictKind::RolledBackByEcs));
    let plan = ecs.settle(&v2, 100);
    assert_eq!(reasons(&plan), [WaitReason::Rejected]);
    assert_eq!(ecs.primary_image(), "good:1");
}

/// Somebody deployed over our rollout, and ECS returned from that. Behind it the service deployments from before.
fn returned_from_somebody_s() -> (Look, Fact<Vec<ServiceDeployment>>) {
    let mut ecs = settled(&web("good:1"));
    let v2 = web("good:2").service();
    drop(ecs.settle(&v2, 2));
    let before = Look::at(&ecs, v2.clone()).seen.service_deployments;
    ecs.later(20);
    ecs.rival("good:9");
    ecs.later(20);
    ecs.roll_back("ECS deployment circuit breaker: tasks failed to start.");
    (Look::at(&ecs, v2), before)
}

#[test]
fn who_does_not_see_what_ecs_returned_from_does_not_judge_our_rollout_by_it() {
    let (seen, before) = returned_from_somebody_s();
    assert_eq!(seen.verdict(), None, "it was another: {}", seen.plan());
    let (operation, message) = ("ListServiceDeployments".to_owned(), "Rate exceeded".to_owned());
    let unseen = Fact::Unknown(Unknown::Failed { operation, message });
    let mut ours_stopped = returned_from_somebody_s().0;
    let newest = ours_stopped.history().iter().map(|one| one.created_at).max();
    ours_stopped.history().retain(|one| Some(one.created_at) != newest);
    for history in [unseen, before, ours_stopped.seen.service_deployments] {
        let mut look = returned_from_somebody_s().0;
        look.seen.service_deployments = history;
        assert_eq!(look.verdict(), None, "{}", look.plan());
        assert_eq!(reasons(&look.plan()), [WaitReason::Unknown], "{}", look.plan());
    }
}

#[test]
fn a_server_that_shows_nothing_newer_than_our_rollout_is_believed_after_ten_minutes() {
    for (seconds, verdict) in [(599, None), (600, Some(VerdictKind::RolledBackByEcs))] {
        let (mut look, before) = returned_from_somebody_s();
        look.seen.service_deployments = before;
        look.mark_of("ecs-svc/2", "probe", seconds + 60);
        look.primary().created_at = Some(look.ago(seconds));
        assert_eq!(look.verdict(), verdict, "{seconds}: {}", look.plan());
    }
}

#[test]
fn a_rollback_by_ecs_that_ended_before_we_looked_is_found_in_the_history() {
    let mut ecs = settled(&web("good:1"));
    let v2 = web("good:2").service();
    drop(ecs.pass(&v2));
    assert_eq!(ecs.pass(&v2).actions[1].call.operation(), "UpdateService");
    ecs.roll_back("ECS deployment circuit breaker: tasks failed to start.");
    for _ in 0..30 {
        ecs.tick();
    }
    assert_eq!(ecs.deployments[0].state, "COMPLETED");
    let plan = ecs.pass(&v2);
    assert_eq!(plan.verdict.map(|verdict| verdict.kind), Some(VerdictKind::RolledBackByEcs));
    let plan = ecs.settle(&v2, 100);
    assert_eq!(reasons(&plan), [WaitReason::Rejected]);
}

#[test]
fn a_manifest_that_changes_right_after_the_start_supersedes_it() {
    let mut ecs = settled(&web("good:1"));
    let v2 = web("hang:2").service();
    while ecs.primary_image() != "hang:2" {
        let plan = ecs.pass(&v2);
        assert!(!plan.actions.is_empty(), "{plan}");
    }
    assert_eq!(ecs.settle(&web("good:3").service(), 100).to_string(), "nothing to do\n");
    assert_eq!(ecs.primary_image(), "good:3");
}

#[test]
fn a_manifest_that_changes_right_after_the_creation_supersedes_it() {
    let mut ecs = Ecs::new();
    let v1 = web("crash:1").service();
    for _ in 0..2 {
        drop(ecs.pass(&v1));
    }
    assert_eq!(ecs.settle(&web("good:2").service(), 100).to_string(), "nothing to do\n");
    assert_eq!(ecs.primary_image(), "good:2");
}

#[test]
fn a_rejected_revision_that_somebody_deploys_again_is_rolled_back_again() {
    let mut ecs = settled(&web("good:1"));
    let bad = web("crash:2").service();
    drop(ecs.settle(&bad, 100));
    let definition = ecs.newest_definition();
    ecs.update(&json!({ "taskDefinition": definition }));
    assert_eq!(ecs.primary_image(), "crash:2");
    drop(ecs.settle(&bad, 100));
    assert_eq!(ecs.primary_image(), "good:1");
}

#[test]
fn without_service_deployments_the_proven_task_definition_is_put_back_by_update() {
    let mut ecs = Ecs { is_plain: true, ..Ecs::new() };
    drop(ecs.settle(&web("good:1").service(), 100));
    let plan = ecs.settle(&web("crash:2").service(), 100);
    assert_eq!(reasons(&plan), [WaitReason::Rejected]);
    assert!(!ecs.writes.contains(&"StopServiceDeployment".to_owned()));
    assert_eq!(ecs.primary_image(), "good:1");
}

#[test]
fn a_missing_capability_is_named() {
    let mut ecs = Ecs { is_plain: true, ..Ecs::new() };
    let v1 = web("good:1").service();
    drop(ecs.act(&v1));
    let plan = ecs.plan(Some(&v1));
    let named: Vec<&str> = plan
        .waiting
        .iter()
        .filter(|wait| wait.reason == WaitReason::CapabilityMissing)
        .map(|wait| wait.sentence.as_str())
        .collect();
    insta::assert_debug_snapshot!(named);
}

#[test]
fn an_update_that_the_server_took_and_shows_no_deployment_of_is_not_sent_again() {
    let mut ecs = Ecs { is_plain: true, ..Ecs::new() };
    drop(ecs.settle(&web("good:1").service(), 100));
    let v2 = web("good:2").service();
    drop(ecs.pass(&v2));
    let mut seen = ecs.look(Some(&v2));
    let Fact::Known(service) = &mut seen.service else { panic!("{seen:?}") };
    // As moto's server 5 shows a service after UpdateService.
    service.task_definition = Some(ecs.newest_definition());
    let key = key();
    let plan = evenkeel_planner::plan(&input(&key, Some(&v2), &seen));
    assert_eq!(plan.actions, []);
    let expected =
        [WaitReason::Deployment, WaitReason::CapabilityMissing, WaitReason::CapabilityMissing];
    assert_eq!(reasons(&plan), expected);
}

#[test]
fn what_changes_in_place_is_healed_with_the_fewest_members() {
    let v1 = web("good:1").with("healthCheckGracePeriodSeconds", json!(30));
    let mut ecs = settled(&v1);
    ecs.members.as_mut().unwrap()["healthCheckGracePeriodSeconds"] = json!(60);
    let plan = ecs.pass(&v1.service());
    let Call::UpdateService { input } = &plan.actions[0].call else { panic!("{plan}") };
    let wanted =
        json!({ "cluster": "prod", "service": "web", "healthCheckGracePeriodSeconds": 30 });
    assert_eq!((plan.actions.len(), input), (1, &wanted));
    assert_eq!(ecs.pass(&v1.service()).to_string(), "nothing to do\n");
}

#[test]
fn what_the_manifest_does_not_say_is_nobody_s_drift() {
    let v1 = web("good:1").without("desiredCount");
    let mut ecs = settled(&v1);
    let members = ecs.members.as_mut().unwrap();
    members["desiredCount"] = json!(7);
    members.insert("enableExecuteCommand".to_owned(), json!(true));
    members.insert("placementStrategy".to_owned(), json!([{ "type": "random" }]));
    for _ in 0..5 {
        ecs.tick();
    }
    ecs.tags.insert("cost-centre".to_owned(), "42".to_owned());
    assert_eq!(ecs.pass(&v1.service()).to_string(), "nothing to do\n");
}

#[test]
fn a_member_that_leaves_the_manifest_is_taken_back() {
    let strategy = json!([{ "type": "spread", "field": "attribute:ecs.availability-zone" }]);
    let mut ecs = settled(&web("good:1").with("placementStrategy", strategy));
    let plan = ecs.pass(&web("good:1").service());
    let Call::UpdateService { input } = &plan.actions[0].call else { panic!("{plan}") };
    assert_eq!(input["placementStrategy"], json!([]));
    assert_eq!(ecs.settle(&web("good:1").service(), 5).to_string(), "nothing to do\n");
}

#[test]
fn tags_that_leave_the_manifest_are_removed_and_foreign_ones_stay() {
    let tags = json!([{ "key": "team", "value": "shop" }, { "key": "tier", "value": "1" }]);
    let mut ecs = settled(&web("good:1").with("tags", tags));
    ecs.tags.insert("cost-centre".to_owned(), "42".to_owned());
    ecs.tags.insert("aws:ecs:x".to_owned(), "y".to_owned());
    let fewer = web("good:1").with("tags", json!([{ "key": "team", "value": "store" }]));
    let plan = ecs.settle(&fewer.service(), 5);
    assert_eq!(plan.to_string(), "nothing to do\n");
    assert_eq!(ecs.tags.get("team").map(String::as_str), Some("store"));
    assert_eq!(ecs.tags.get("tier"), None);
    assert!(ecs.tags.contains_key("cost-centre") && ecs.tags.contains_key("aws:ecs:x"));
}

#[test]
fn network_changes_alone_start_a_rollout_that_can_be_rolled_back() {
    let mut ecs = settled(&web("good:1"));
    let network = json!({ "awsvpcConfiguration": { "subnets": ["subnet-2"] } });
    let v2 = web("good:1").with("networkConfiguration", network);
    let plan = ecs.pass(&v2.service());
    let Call::UpdateService { input } = &plan.actions[1].call else { panic!("{plan}") };
    assert_eq!(input.get("taskDefinition"), None);
    assert_eq!(
        input["networkConfiguration"]["awsvpcConfiguration"]["subnets"],
        json!(["subnet-2"])
    );
    assert_eq!(input["deploymentConfiguration"], json!({ "maximumPercent": 125 }));
    assert_eq!(ecs.settle(&v2.service(), 60).to_string(), "nothing to do\n");
}

#[test]
fn a_count_that_is_raised_with_a_new_revision_follows_the_probe() {
    let mut ecs = settled(&web("good:1"));
    let v2 = web("good:2").with("desiredCount", json!(40)).service();
    let plan = ecs.pass(&v2);
    assert_eq!(plan.actions[0].call.operation(), "RegisterTaskDefinition");
    let plan = ecs.pass(&v2);
    let Call::UpdateService { input } = &plan.actions[1].call else { panic!("{plan}") };
    assert_eq!(input.get("desiredCount"), None);
    assert_eq!(ecs.settle(&v2, 60).to_string(), "nothing to do\n");
    assert_eq!(ecs.count(), 40);
}

#[test]
fn without_a_probe_the_manifest_s_percentages_hold_from_the_start() {
    let mut ecs = settled(&web("good:1").unprobed());
    let v2 = web("good:2").unprobed().service();
    drop(ecs.act(&v2));
    assert_eq!(ecs.members.as_ref().unwrap()["deploymentConfiguration"]["maximumPercent"], 200);
    assert_eq!(ecs.settle(&v2, 60).to_string(), "nothing to do\n");
}

#[test]
fn a_service_of_nobody_is_only_touched_when_the_manifest_adopts_it() {
    let mut ecs = settled(&web("good:1"));
    ecs.tags.clear();
    let plan = ecs.pass(&web("good:1").service());
    assert_eq!((reasons(&plan), plan.actions.len()), (vec![WaitReason::NotOwned], 0));
    let adopting = web("good:1").adopting().service();
    insta::assert_snapshot!(story(&mut ecs, &adopting, 20));
}

#[test]
fn what_was_on_its_way_when_a_service_was_adopted_is_the_baseline_once_it_is_complete() {
    let mut ecs = settled(&web("good:1"));
    ecs.tags.clear();
    ecs.rival("good:2");
    let plan = ecs.settle(&web("crash:3").adopting().service(), 200);
    assert_eq!(reasons(&plan), [WaitReason::Rejected]);
    assert_eq!(ecs.primary_image(), "good:2");
}

#[test]
fn what_runs_is_no_baseline_while_its_tasks_cannot_be_read() {
    let mut ecs = settled(&web("good:1"));
    ecs.tags.retain(|key, _| key == tag::OWNER);
    let mut look = Look::at(&ecs, web("good:2").adopting().service());
    assert_eq!(look.calls(), ["TagResource"]);
    look.seen.tasks = failed();
    assert_eq!(look.calls(), [""; 0]);
    assert_eq!(reasons(&look.plan()), [WaitReason::Unknown]);
}

#[test]
fn a_service_of_another_instance_is_refused() {
    let mut ecs = settled(&web("good:1"));
    ecs.tags.insert(tag::OWNER.to_owned(), "v1:blue:shop/web.yaml".to_owned());
    for draft in [web("good:2"), web("good:2").adopting()] {
        let plan = ecs.pass(&draft.service());
        assert_eq!((reasons(&plan), plan.actions.len()), (vec![WaitReason::NotOwned], 0));
    }
}

#[test]
fn nothing_is_written_while_paused_or_held_or_without_a_manifest() {
    let mut ecs = settled(&web("good:1"));
    assert_eq!(reasons(&ecs.pass(&web("good:2").paused().service())), [WaitReason::Paused]);
    assert!(ecs.plan(None).actions.is_empty());
    ecs.tags.insert(tag::HOLD.to_owned(), String::new());
    assert_eq!(reasons(&ecs.pass(&web("good:2").service())), [WaitReason::Held]);
    assert_eq!(ecs.writes, Vec::<String>::new());
}

#[test]
fn a_service_that_drains_is_waited_for() {
    let mut ecs = settled(&web("good:1"));
    ecs.status = "DRAINING".to_owned();
    assert_eq!(reasons(&ecs.pass(&web("good:1").service())), [WaitReason::Draining]);
}

#[test]
fn what_ecs_cannot_change_is_named() {
    let mut ecs = settled(&web("good:1"));
    let plan = ecs.pass(&web("good:1").with("launchType", json!("EC2")).service());
    insta::assert_snapshot!(plan.to_string());
}

#[test]
fn an_alarm_that_goes_off_in_the_rollout_rejects_it() {
    let mut ecs = settled_under_an_alarm();
    let v2 = watched("good:2").service();
    drop(ecs.settle(&v2, 2));
    ecs.alarm("5xx", "ALARM", 1);
    let plan = ecs.pass(&v2);
    assert_eq!(plan.verdict.as_ref().map(|verdict| verdict.kind), Some(VerdictKind::Alarm));
    drop(ecs.settle(&v2, 100));
    assert_eq!(ecs.primary_image(), "good:1");
}

#[test]
fn an_alarm_that_was_red_before_does_not_reject_but_nothing_is_proven_under_it() {
    let mut ecs = settled_under_an_alarm();
    ecs.alarm("5xx", "ALARM", 60);
    let v2 = watched("good:2").service();
    let plan = ecs.settle(&v2, 100);
    assert_eq!((reasons(&plan), ecs.primary_image()), (vec![WaitReason::Alarm], "good:2".into()));
    ecs.alarm("5xx", "OK", 0);
    assert_eq!(ecs.settle(&v2, 10).to_string(), "nothing to do\n");
}

#[test]
fn an_alarm_that_was_red_before_and_goes_off_anew_rejects_the_rollout() {
    let mut ecs = settled_under_an_alarm();
    ecs.alarm("5xx", "ALARM", 60);
    let v2 = watched("good:2").service();
    assert_eq!(ecs.settle(&v2, 3).verdict, None);
    ecs.alarm("5xx", "OK", 0);
    assert_eq!(ecs.settle(&v2, 1).verdict, None);
    ecs.alarm("5xx", "ALARM", 1);
    let plan = ecs.pass(&v2);
    assert_eq!(plan.verdict.map(|verdict| verdict.kind), Some(VerdictKind::Alarm));
}

#[test]
fn a_rollout_of_which_only_the_first_task_ever_runs_stalls_too() {
    let mut ecs = settled(&web("good:1"));
    let v2 = web("lonely:2").service();
    drop(ecs.settle(&v2, 30));
    assert!(ecs.tags[tag::ROLLOUT].contains(":widen:"), "{:?}", ecs.tags);
    let mut verdict = None;
    for _ in 0..200 {
        ecs.tick();
        verdict = verdict.or(ecs.pass(&v2).verdict.map(|verdict| verdict.kind));
    }
    assert_eq!((verdict, ecs.primary_image().as_str()), (Some(VerdictKind::Stalled), "good:1"));
}

#[test]
fn a_rollout_does_not_start_when_its_alarm_does_not_exist() {
    let mut ecs = settled(&web("good:1"));
    let v2 = web("good:2").judged(|breaker| breaker.alarms = vec!["5xx".to_owned()]).service();
    let plan = ecs.pass(&v2);
    assert_eq!((reasons(&plan), plan.actions.len()), (vec![WaitReason::Alarm], 0));
}

#[test]
fn waiting_for_capacity_stops_the_clock_until_there_is_some_and_says_so() {
    let mut ecs = settled(&web("good:1"));
    let v2 = web("hang:2").service();
    drop(ecs.settle(&v2, 1));
    for _ in 0..300 {
        ecs.tick();
        let text = "(service web) was unable to place a task because no capacity".to_owned();
        ecs.events.insert(0, (ecs.now, text));
        let plan = ecs.pass(&v2);
        assert_eq!(plan.verdict, None);
        if plan.actions.is_empty() {
            assert!(reasons(&plan).contains(&WaitReason::Capacity), "{plan}");
            assert_eq!(plan.look_again, Duration::from_secs(30));
        }
    }
    let plan = ecs.settle(&v2, 200);
    assert_eq!(reasons(&plan), [WaitReason::Rejected], "the clock runs again");
}

#[test]
fn a_lack_of_capacity_that_ecs_tells_of_once_is_not_held_against_the_revision() {
    let mut ecs = settled(&web("good:1"));
    ecs.is_full = true;
    let v2 = web("good:2").service();
    drop(ecs.settle(&v2, 1));
    let text = "(service web) was unable to place a task because no capacity".to_owned();
    ecs.events.insert(0, (ecs.now, text));
    for _ in 0..300 {
        ecs.tick();
        let plan = ecs.pass(&v2);
        assert_eq!(plan.verdict, None);
    }
    assert!(reasons(&ecs.pass(&v2)).contains(&WaitReason::Capacity));
    ecs.is_full = false;
    assert_eq!(ecs.settle(&v2, 100).to_string(), "nothing to do\n");
    assert_eq!(ecs.primary_image(), "good:2");
}

#[test]
fn cumulative_counting_trips_on_failures_between_healthy_tasks() {
    let counting = |counting| {
        web("good:1").judged(|breaker| {
            breaker.counting = counting;
            breaker.crashes = Threshold::Count(2);
        })
    };
    for (mode, trips) in [(Counting::Cumulative, true), (Counting::Consecutive, false)] {
        let mut ecs = settled(&counting(mode));
        let v2 = Draft { task_definition: web("good:2").task_definition, ..counting(mode) };
        while !ecs.tags.get(tag::ROLLOUT).is_some_and(|mark| mark.contains(":widen:")) {
            drop(ecs.pass(&v2.service()));
            ecs.tick();
        }
        for until_judged in [30, 200] {
            ecs.crash_oldest();
            for _ in 0..until_judged {
                ecs.tick();
            }
        }
        assert_eq!(ecs.pass(&v2.service()).verdict.is_some(), trips, "{mode:?}");
    }
}

#[test]
fn the_same_content_registered_before_is_found_and_not_registered_again() {
    let mut ecs = settled(&web("good:1"));
    drop(ecs.settle(&web("good:2").service(), 100));
    ecs.writes.clear();
    drop(ecs.settle(&web("good:1").service(), 100));
    assert!(!ecs.writes.contains(&"RegisterTaskDefinition".to_owned()), "{:?}", ecs.writes);
    assert_eq!(ecs.primary_image(), "good:1");
}

#[test]
fn an_answer_from_the_past_is_not_taken_for_a_rollback() {
    let mut ecs = settled(&web("good:1"));
    let v2 = web("good:2").service();
    let past = ecs.clone();
    drop(ecs.act(&v2));
    let stale = Ecs {
        tags: ecs.tags.clone(),
        definitions: ecs.definitions.clone(),
        digests: ecs.digests.clone(),
        ..past
    };
    let plan = stale.plan(Some(&v2));
    assert_eq!((reasons(&plan), plan.actions.len()), (vec![WaitReason::Unknown], 0));
}
