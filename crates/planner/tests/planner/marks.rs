//! Whose the PRIMARY deployment is: what the mark tells, what was announced, what others deployed.

#![expect(
    clippy::indexing_slicing,
    reason = "a fixture that does not find what it set up is a failed test"
)]

use evenkeel_planner::{Fact, ServiceDeployment, VerdictKind, WaitReason, tag};
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::ecs::Ecs;
use crate::looks::{Look, missing};
use crate::manifests::{Draft, web};
use crate::plans::{reasons, settled};

/// What is wanted, rolled out since a minute; the mark is the test's.
fn wanted_in_flight() -> Look {
    let mut look = Look::in_phase(&web("good:1"), &web("good:2"), ":probe:");
    look.begun(60);
    look
}

/// What somebody else rolls out since a minute, over a service of which `good:2` is wanted.
fn theirs_in_flight() -> Look {
    let mut ecs = settled(&web("good:1"));
    drop(ecs.pass(&web("good:2").service()));
    ecs.rival("good:9");
    let mut look = Look::at(&ecs, web("good:2").service());
    look.begun(60);
    look
}

#[test]
fn a_rollout_whose_digest_is_rejected_meanwhile_is_left() {
    let mut look = wanted_in_flight();
    look.mark("widen", 60);
    let digest = look.desired.revision_digest.clone();
    look.tag(tag::REJECTED, &format!("v1:{digest}:1790000000:Crashes"));
    let written = look.tags_written();
    assert!(written[tag::ROLLOUT].contains(":rollback:"), "{written:?}");
}

#[test]
fn nothing_is_started_beside_a_deployment_that_only_the_history_shows_yet() {
    let mut look = wanted_in_flight();
    let hidden = look.service().deployments.remove(0);
    look.service().tags.remove(tag::ROLLOUT);
    let before = look.primary();
    "PRIMARY".clone_into(&mut before.status);
    before.rollout_state = Some("COMPLETED".to_owned());
    look.service().task_definition = Some(look.primary().task_definition.clone());
    let plan = look.plan();
    assert_eq!((reasons(&plan), plan.actions.len()), (vec![WaitReason::Unknown], 0), "{plan}");
    assert!(plan.waiting[0].sentence.contains("an answer from the past"), "{plan}");

    let number = hidden.id.trim_start_matches("ecs-svc/").to_owned();
    let long_ago = look.ago(601);
    let of_hidden = |one: &&mut ServiceDeployment| {
        one.target_service_revision.as_ref().is_some_and(|target| target.arn.ends_with(&number))
    };
    look.history().iter_mut().find(of_hidden).expect("it is listed").created_at = Some(long_ago);
    look.primary().created_at = Some(look.ago(4000));
    assert_eq!(look.calls(), ["TagResource", "UpdateService"], "a server that never shows it");
}

#[test]
fn what_displaced_our_rollout_in_the_same_second_is_not_from_the_past() {
    let mut look = theirs_in_flight();
    look.mark_of("ecs-svc/1", "probe", 60);
    assert_eq!(reasons(&look.plan()), [WaitReason::ForeignDeployment]);
    look.mark_of("ecs-svc/1", "probe", 59);
    assert_eq!(reasons(&look.plan()), [WaitReason::Unknown]);
}

#[test]
fn the_mark_of_an_earlier_manifest_does_not_tell_that_a_look_is_from_the_past() {
    let mut look = theirs_in_flight();
    look.tag(tag::ROLLOUT, &format!("v1:v1:ff:ecs-svc/1:probe:{}", look.ago(10).as_second()));
    assert_eq!(reasons(&look.plan()), [WaitReason::ForeignDeployment]);
}

#[test]
fn what_others_completed_is_superseded_although_a_mark_of_an_earlier_manifest_is_left() {
    let mut look = theirs_in_flight();
    look.primary().rollout_state = Some("COMPLETED".to_owned());
    look.tag(tag::ROLLOUT, &format!("v1:v1:ff:ecs-svc/1:probe:{}", look.ago(4000).as_second()));
    assert_eq!(look.calls(), ["TagResource", "UpdateService"]);
}

#[test]
fn what_an_announced_rollout_was_to_take_the_place_of_is_superseded_when_its_start_was_lost() {
    let mut look = theirs_in_flight();
    let number = look.primary().id.rsplit('/').next().unwrap_or_default().to_owned();
    look.mark_of(&format!("-2+{number}"), "probe", 30);
    assert_eq!(look.calls(), ["TagResource", "UpdateService"]);
    look.mark_of("-2+1", "probe", 70);
    assert_eq!(reasons(&look.plan()), [WaitReason::ForeignDeployment], "that was another one");
}

fn connected(image: &str, namespace: &str) -> Draft {
    web(image)
        .with("serviceConnectConfiguration", json!({ "enabled": true, "namespace": namespace }))
}

/// A rollout of Service Connect, which AWS shows nowhere.
fn hidden() -> Look {
    let v2 = connected("good:2", "shop");
    let mut look = Look::in_phase(&web("good:1"), &v2, ":probe:");
    look.document().remove("serviceConnectConfiguration");
    look.revisions().clear();
    look.begun(60);
    look
}

fn is_identified(look: &Look) -> bool {
    let id = look.seen.service.known().map(|service| service.deployments[0].id.clone());
    let written = look.tags_written();
    written.get(tag::ROLLOUT).is_some_and(|mark| mark.contains(&id.unwrap_or_default()))
}

#[test]
fn what_runs_is_wanted_although_aws_does_not_show_all_of_it_unless_it_is_marked_as_something_else()
{
    let mut announced = hidden();
    let number: u64 =
        announced.primary().task_definition.rsplit(':').next().unwrap().parse().unwrap();
    announced.mark_of(&format!("-{number}+1"), "probe", 61);
    assert!(is_identified(&announced), "{}", announced.plan());

    let mut other = hidden();
    other.mark_of("ecs-svc/1", "probe", 61);
    assert!(is_identified(&other), "{}", other.plan());

    let mut newer = hidden();
    newer.mark("probe", 60);
    newer.desired = connected("good:2", "market").service();
    assert_eq!(newer.calls(), ["TagResource", "UpdateService"]);
    assert_eq!(newer.update()["serviceConnectConfiguration"]["namespace"], "market");
}

/// ECS began to return from our deployment before its mark was written.
fn rolled_back_unmarked() -> Look {
    let mut ecs: Ecs = settled(&web("good:1"));
    let v2 = web("good:2").service();
    drop(ecs.settle(&v2, 2));
    ecs.roll_back("ECS deployment circuit breaker: tasks failed to start.");
    let mut look = Look::at(&ecs, v2);
    look.service().tags.remove(tag::ROLLOUT);
    look
}

#[test]
fn a_deployment_of_ours_that_ecs_left_before_it_was_marked_is_judged() {
    assert_eq!(rolled_back_unmarked().verdict(), Some(VerdictKind::RolledBackByEcs));
}

#[test]
fn a_fix_beside_the_task_definition_is_not_judged_by_what_ecs_left_before_it() {
    let mut look = rolled_back_unmarked();
    assert_eq!(look.verdict(), Some(VerdictKind::RolledBackByEcs));
    look.desired = connected("good:2", "market").service();
    assert_eq!(look.verdict(), None, "{}", look.plan());
}

#[test]
fn only_a_deployment_that_failed_with_what_is_wanted_and_since_it_was_applied_is_judged() {
    let change = |change: fn(&mut Look)| {
        let mut look = rolled_back_unmarked();
        change(&mut look);
        look.plan()
    };
    let unjudged = [
        change(|look| {
            look.service().deployments[1].rollout_state = Some("IN_PROGRESS".to_owned());
        }),
        change(|look| {
            let primary = look.primary().task_definition.clone();
            look.service().deployments[1].task_definition = primary;
        }),
        change(|look| {
            let applied = look.service().tags[tag::DIGEST].clone();
            let at: i64 = applied.rsplit(':').nth(1).unwrap().parse().unwrap();
            let at = jiff::Timestamp::from_second(at).unwrap();
            look.service().deployments[1].created_at = Some(at);
        }),
    ];
    for plan in unjudged {
        assert_eq!((plan.verdict.as_ref(), reasons(&plan)), (None, vec![WaitReason::Rollback]));
    }
}

#[test]
fn on_a_server_without_deployments_what_others_deployed_is_superseded_as_soon_as_it_is_seen() {
    let mut look = theirs_in_flight();
    look.primary().rollout_state = None;
    look.seen.service_deployments = missing();
    look.seen.service_revisions = missing();
    look.primary().pending_count = 1;
    let updates: Vec<_> =
        look.calls().into_iter().filter(|call| *call == "UpdateService").collect();
    assert_eq!(updates.len(), 1, "{}", look.plan());
}

#[test]
fn ecs_s_history_is_found_by_the_task_definition_where_its_numbers_are_not_those_of_deployments() {
    let mut look = wanted_in_flight();
    look.mark("probe", 60);
    for one in look.history() {
        let target = one.target_service_revision.as_mut().expect("each has one");
        target.arn.push('0');
    }
    for one in look.revisions() {
        one.service_revision_arn.push('0');
    }
    assert_eq!(look.verdict(), None);
    "ROLLBACK_REQUESTED".clone_into(&mut look.history()[0].status);
    for (after, verdict) in [(5, Some(VerdictKind::RolledBackByEcs)), (6, None)] {
        look.primary().created_at = look.history()[0]
            .created_at
            .and_then(|at| at.checked_add(SignedDuration::from_secs(after)).ok());
        assert_eq!(look.verdict(), verdict, "the list is from before the deployment: {after}");
    }
}

/// ECS gave up what is wanted, which began a minute ago; a forced one was announced `seconds` ago.
fn forced(seconds: i64) -> Look {
    let mut look = wanted_in_flight();
    look.primary().rollout_state = Some("FAILED".to_owned());
    let id = look.primary().id.clone();
    let number = id.rsplit('/').next().unwrap_or_default().to_owned();
    look.mark_of(&format!("-2+{number}"), "probe", seconds);
    look
}

#[test]
fn a_forced_deployment_is_waited_for_only_while_an_older_one_that_ecs_gave_up_is_shown() {
    assert_eq!(reasons(&forced(30).plan()), [WaitReason::Unknown]);
    assert!(is_identified(&forced(60)), "it began when it was forced");
    assert!(is_identified(&forced(61)), "it began after it was forced");
    let mut moves = forced(30);
    moves.primary().rollout_state = Some("IN_PROGRESS".to_owned());
    assert!(is_identified(&moves), "{}", moves.plan());
}

/// Somebody's deployment is complete over ours, which began twice, so many seconds apart; the last
/// time `ago` seconds ago.
fn displaced(apart: i64, ago: i64) -> Look {
    let mut look = theirs_in_flight();
    look.primary().rollout_state = Some("COMPLETED".to_owned());
    look.mark_of("ecs-svc/1", "probe", ago);
    let ours = "arn:aws:ecs:eu-west-1:123456789012:task-definition/web:2".to_owned();
    let Fact::Known(definitions) = &mut look.seen.task_definitions else { panic!("seen") };
    assert!(definitions.iter().any(|one| one.arn == ours));
    let mut revision = look.revisions()[0].clone();
    "r/ours".clone_into(&mut revision.service_revision_arn);
    revision.task_definition = ours;
    look.revisions().push(revision);
    let times = [look.ago(ago), look.ago(ago + apart)];
    let mut one = look.history()[0].clone();
    if let Some(target) = one.target_service_revision.as_mut() {
        "r/ours".clone_into(&mut target.arn);
    }
    for time in times {
        one.created_at = Some(time);
        look.history().push(one.clone());
    }
    look
}

#[test]
fn a_rollout_that_was_displaced_twice_within_an_hour_is_left_for_an_hour() {
    let hour = 3600;
    for (apart, ago, is_left) in
        [(hour - 1, 100, true), (hour, 100, false), (100, hour - 1, true), (100, hour, false)]
    {
        let look = displaced(apart, ago);
        let plan = look.plan();
        let waits = reasons(&plan) == [WaitReason::ForeignDeployment];
        assert_eq!(waits, is_left, "{apart} {ago}: {plan}");
    }
}

#[test]
fn a_service_that_another_controller_drives_is_not_touched() {
    let mut look = Look::at(&settled(&web("good:1")), web("good:2").service());
    look.document().insert("deploymentController".to_owned(), json!({ "type": "CODE_DEPLOY" }));
    let plan = look.plan();
    assert_eq!((reasons(&plan), plan.actions.len()), (vec![WaitReason::Unsupported], 0));
}

#[test]
fn a_service_is_taken_over_with_the_strategy_that_it_has_and_changed_afterwards() {
    let strategy = json!({ "strategy": "BLUE_GREEN", "maximumPercent": 200 });
    let mut ecs = settled(&web("good:1"));
    let mut ours = Look::at(&ecs, web("good:1").service());
    ours.document().insert("deploymentConfiguration".to_owned(), strategy.clone());
    let plan = ours.plan().to_string();
    assert!(plan.contains(r#"strategy "BLUE_GREEN" → "ROLLING""#), "{plan}");
    ecs.tags.retain(|key, _| key == tag::OWNER);
    let mut unproven = Look::at(&ecs, web("good:1").service());
    unproven.document().insert("deploymentConfiguration".to_owned(), strategy.clone());
    assert_ne!(reasons(&unproven.plan()), [WaitReason::Unsupported], "{}", unproven.plan());
    ecs.tags.clear();
    let mut theirs = Look::at(&ecs, web("good:1").adopting().service());
    theirs.document().insert("deploymentConfiguration".to_owned(), strategy);
    let plan = theirs.plan();
    assert_eq!((reasons(&plan), plan.actions.len()), (vec![WaitReason::Unsupported], 0));
}

/// The tag `proven` with which a service that is nobody's is adopted.
fn baseline(change: impl Fn(&mut Look)) -> String {
    let mut ecs = settled(&web("good:1"));
    ecs.tags.clear();
    let mut look = Look::at(&ecs, web("good:1").adopting().service());
    change(&mut look);
    look.tags_written().remove(tag::PROVEN).unwrap_or_default()
}

#[test]
fn the_baseline_of_an_adopted_service_is_the_revision_that_the_server_shows_for_what_runs() {
    assert!(baseline(|_| {}).contains(":service-revision/"));
    let shown = |arns: [String; 2]| {
        move |look: &mut Look| {
            look.seen.service_deployments = missing();
            let listed: Vec<Value> = arns.iter().map(|arn| json!({ "arn": arn })).collect();
            look.document().insert("currentServiceRevisions".to_owned(), json!(listed));
        }
    };
    let mut look = Look::at(&settled(&web("good:1")), web("good:1").service());
    let number = look.primary().id.rsplit('/').next().unwrap_or_default().to_owned();
    let arn = |number: &str| format!("arn:aws:ecs:r:1:service-revision/prod/web/{number}");
    assert_eq!(baseline(shown([arn("7"), arn(&number)])), arn(&number));
    let long = format!("{}{}", "x".repeat(256), arn(&number));
    let definition = look.primary().task_definition.clone();
    assert_eq!(baseline(shown([arn("7"), long])), definition, "it would not fit into a tag");
}
