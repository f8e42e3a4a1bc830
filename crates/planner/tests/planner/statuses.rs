//! What people are told: conditions, counters, evidence and changes.

use evenkeel_manifest::Service;
use evenkeel_planner::{
    ConditionKind, ConditionStatus, Fact, Observed, Outcome, Status, Unknown, changes, plan,
    questions, status, tag,
};
use serde_json::json;

use crate::ecs::{Ecs, input};
use crate::manifests::{key, web};

fn told(ecs: &Ecs, desired: Option<&Service>, outcome: &Outcome) -> Status {
    let seen = ecs.look(desired);
    let key = key();
    let input = input(&key, desired, &seen);
    status(&input, &plan(&input), outcome)
}

fn settled(image: &str) -> Ecs {
    let mut ecs = Ecs::new();
    drop(ecs.settle(&web(image).service(), 100));
    ecs
}

fn ready(status: &Status) -> (ConditionStatus, &str) {
    let ready = status.condition(ConditionKind::Ready).expect("always there");
    (ready.status, ready.reason)
}

fn changed(ecs: &Ecs, desired: &Service) -> String {
    let seen = ecs.look(Some(desired));
    let listed = changes(&input(&key(), Some(desired), &seen));
    listed.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_settled_service_is_ready_and_nothing_else() {
    let ecs = settled("good:1");
    insta::assert_snapshot!(told(&ecs, Some(&web("good:1").service()), &Outcome::Done));
}

#[test]
fn a_probe_shows_its_counters_and_what_it_waits_for() {
    let mut ecs = settled("good:1");
    let v2 = web("crash:2").service();
    drop(ecs.settle(&v2, 6));
    insta::assert_snapshot!(told(&ecs, Some(&v2), &Outcome::Done));
}

#[test]
fn the_verdict_shows_its_evidence() {
    let mut ecs = settled("good:1");
    let v2 = web("missing:2").service();
    drop(ecs.settle(&v2, 2));
    ecs.tick();
    insta::assert_snapshot!(told(&ecs, Some(&v2), &Outcome::Done));
}

#[test]
fn rolled_back_never_looks_green() {
    let mut ecs = settled("good:1");
    let v2 = web("crash:2").service();
    drop(ecs.settle(&v2, 100));
    let status = told(&ecs, Some(&v2), &Outcome::Done);
    assert_eq!(ready(&status), (ConditionStatus::False, "RolledBack"));
    insta::assert_snapshot!(status);
}

#[test]
fn every_condition_is_told_in_every_case() {
    let kinds = |status: &Status| -> Vec<ConditionKind> {
        status.conditions.iter().map(|condition| condition.kind).collect()
    };
    let all = kinds(&told(&settled("good:1"), Some(&web("good:1").service()), &Outcome::Done));
    assert_eq!(all.len(), 8);
    let absent = Ecs::new();
    assert_eq!(kinds(&told(&absent, Some(&web("good:1").service()), &Outcome::DryRun)), all);
    assert_eq!(kinds(&told(&absent, None, &Outcome::Done)), all);
    assert_eq!(kinds(&Status::invalid(key(), &[], absent.at(), None)), all);
}

#[test]
fn a_task_that_is_lost_later_makes_a_completed_service_not_ready() {
    let mut ecs = settled("good:1");
    ecs.crash_oldest();
    let status = told(&ecs, Some(&web("good:1").service()), &Outcome::Done);
    assert_eq!(ready(&status), (ConditionStatus::False, "TasksMissing"));
}

#[test]
fn a_refused_plan_and_a_failed_call_are_told() {
    let ecs = settled("good:1");
    let v1 = web("good:1").service();
    let refused = Outcome::Refused(vec!["it scales to zero".to_owned()]);
    assert_eq!(ready(&told(&ecs, Some(&v1), &refused)), (ConditionStatus::False, "PlanRefused"));
    let failed = Outcome::Failed { class: "denied", message: "no".to_owned() };
    assert_eq!(ready(&told(&ecs, Some(&v1), &failed)), (ConditionStatus::False, "CallFailed"));
    let withheld = Outcome::Withheld { message: "the manifest changed".to_owned() };
    assert_eq!(ready(&told(&ecs, Some(&v1), &withheld)), (ConditionStatus::False, "Withheld"));
}

#[test]
fn what_cannot_be_read_is_unknown_and_not_absent() {
    let v1 = web("good:1").service();
    let why = Unknown::Failed { operation: "DescribeServices".into(), message: "503".into() };
    let first = questions(None, None).expect("the first is always asked");
    let seen = Observed { service: Fact::Unknown(why), ..Ecs::new().observe(&first) };
    let key = key();
    let input = input(&key, Some(&v1), &seen);
    let status = status(&input, &plan(&input), &Outcome::Done);
    assert_eq!(ready(&status), (ConditionStatus::Unknown, "NotSeen"));
    let unknown = status.condition(ConditionKind::Unknown).expect("always there");
    assert_eq!(unknown.message, "DescribeServices failed: 503");
    for kind in [ConditionKind::Rejected, ConditionKind::RolledBack, ConditionKind::Held] {
        let told = status.condition(kind).expect("always there");
        assert_eq!((told.status, told.reason), (ConditionStatus::Unknown, "NotSeen"), "{kind:?}");
    }
}

#[test]
fn a_bad_manifest_keeps_what_is_known_of_the_last_good_one() {
    let ecs = settled("good:1");
    let good = told(&ecs, Some(&web("good:1").service()), &Outcome::Done);
    let problems = ["web.yaml:3:5: spec.cluster: expected a string".to_owned()];
    let status = Status::invalid(key(), &problems, ecs.at(), Some(good));
    assert_eq!(ready(&status), (ConditionStatus::True, "Running"));
    let invalid = status.condition(ConditionKind::Invalid).expect("always there");
    assert_eq!((invalid.status, invalid.message.as_str()), (ConditionStatus::True, &*problems[0]));
}

#[test]
fn a_server_without_deployment_calls_is_named_under_unknown() {
    let mut ecs = Ecs { is_plain: true, ..Ecs::new() };
    let v1 = web("good:1").service();
    drop(ecs.act(&v1));
    let status = told(&ecs, Some(&v1), &Outcome::Done);
    let unknown = status.condition(ConditionKind::Unknown).expect("always there");
    assert_eq!((unknown.status, unknown.reason), (ConditionStatus::True, "CapabilityMissing"));
}

#[test]
fn an_orphan_and_a_held_service_are_told_apart_from_ready_ones() {
    let mut ecs = settled("good:1");
    assert_eq!(ready(&told(&ecs, None, &Outcome::Done)), (ConditionStatus::Unknown, "Orphaned"));
    ecs.tags.insert(tag::HOLD.to_owned(), "anna".to_owned());
    let status = told(&ecs, Some(&web("good:1").service()), &Outcome::Done);
    assert_eq!(ready(&status), (ConditionStatus::False, "Held"));
    let held = status.condition(ConditionKind::Held).expect("always there");
    assert_eq!((held.status, held.reason), (ConditionStatus::True, "HoldTag"));
}

#[test]
fn changes_are_told_field_by_field_without_secrets() {
    let ecs = settled("good:1");
    let network = json!({ "awsvpcConfiguration": { "subnets": ["subnet-1", "subnet-2"] } });
    let mut v2 = web("good:2")
        .with("networkConfiguration", network)
        .with("desiredCount", json!(6))
        .with("deploymentConfiguration", json!({ "minimumHealthyPercent": 50 }))
        .with("tags", json!([{ "key": "team", "value": "shop" }]));
    v2.task_definition["containerDefinitions"][0]["environment"] =
        json!([{ "name": "TOKEN", "value": "hunter3" }, { "name": "MODE", "value": "fast" }]);
    let text = changed(&ecs, &v2.service());
    assert!(!text.contains("hunter") && !text.contains("fast"), "{text}");
    insta::assert_snapshot!(text);
}

#[test]
fn a_service_to_create_is_all_change_and_shows_no_secret() {
    let text = changed(&Ecs::new(), &web("good:1").service());
    assert!(!text.contains("hunter2"), "{text}");
    insta::assert_snapshot!(text);
}

#[test]
fn a_settled_service_has_no_changes() {
    assert_eq!(changed(&settled("good:1"), &web("good:1").service()), "");
}

#[test]
fn a_plan_printed_or_serialised_shows_no_secret() {
    let v1 = web("good:1").service();
    let plan = Ecs::new().plan(Some(&v1));
    let shown = format!("{plan}{plan:?}{}", serde_json::to_string(&plan).expect("plain data"));
    assert!(shown.contains("(sensitive)") && !shown.contains("hunter2"), "{shown}");
}
