//! Each property that the guard keeps, with a forged plan that breaks it.

use std::collections::BTreeMap;
use std::time::Duration;

use evenkeel_manifest::Service;
use evenkeel_planner::{
    Action, Alarm, Call, Depth, Fact, HookAction, HookDetail, Lane, Observed, Plan, Unknown, check,
    tag,
};
use serde_json::{Value, json};

use crate::ecs::{Ecs, SERVICE_ARN, input};
use crate::manifests::{key, watched, web};

fn action(call: Call) -> Action {
    Action { call, lane: Lane::NewChange, why: "forged".to_owned() }
}

fn rollback(call: Call) -> Action {
    Action { lane: Lane::Rollback, ..action(call) }
}

fn update(members: &Value) -> Call {
    let mut input = json!({ "cluster": "prod", "service": "web" });
    if let (Some(input), Some(members)) = (input.as_object_mut(), members.as_object()) {
        input.extend(members.clone());
    }
    Call::UpdateService { input }
}

fn tags(key: &str) -> Call {
    let tags = BTreeMap::from([(key.to_owned(), "x".to_owned())]);
    Call::TagResource { arn: SERVICE_ARN.to_owned(), tags }
}

fn untag(key: &str) -> Call {
    Call::UntagResource { arn: SERVICE_ARN.to_owned(), keys: vec![key.to_owned()] }
}

/// The properties that a plan of these actions breaks in this look.
fn broken_in(seen: &Observed, desired: Option<&Service>, actions: Vec<Action>) -> String {
    let plan =
        Plan { actions, waiting: Vec::new(), verdict: None, look_again: Duration::from_secs(1) };
    check(&plan, &input(&key(), desired, seen)).err().unwrap_or_default().join("\n")
}

/// As [`broken_in`], for the service that `web("good:1")` made.
fn broken(ecs: &Ecs, desired: &Service, actions: Vec<Action>) -> String {
    broken_in(&ecs.observe(&deep()), Some(desired), actions)
}

fn deep() -> evenkeel_planner::Questions {
    let mut questions = evenkeel_planner::questions(None, None).expect("the first is always asked");
    questions.depth = Depth::Deep;
    questions
}

fn settled() -> (Ecs, Service) {
    let mut ecs = Ecs::new();
    let v1 = web("good:1").service();
    drop(ecs.settle(&v1, 100));
    (ecs, v1)
}

#[track_caller]
fn assert_breaks(found: &str, property: &str) {
    assert!(found.contains(property), "{property:?} is not in {found:?}");
}

#[test]
fn a_harmless_plan_passes() {
    let (ecs, v1) = settled();
    let heal = action(update(&json!({ "healthCheckGracePeriodSeconds": 5 })));
    assert_eq!(broken(&ecs, &v1, vec![heal, action(tags("team"))]), "");
}

#[test]
fn nothing_is_written_without_a_manifest() {
    let (ecs, _) = settled();
    let found = broken_in(&ecs.observe(&deep()), None, vec![action(tags("team"))]);
    assert_breaks(&found, "no manifest names this service");
}

#[test]
fn nothing_is_written_when_the_service_is_unknown() {
    let (ecs, v1) = settled();
    let service = Fact::Unknown(Unknown::NotAsked);
    let seen = Observed { service, ..ecs.observe(&deep()) };
    let found = broken_in(&seen, Some(&v1), vec![action(tags("team"))]);
    assert_breaks(&found, "whether the service exists is unknown");
}

#[test]
fn nothing_is_written_while_paused_or_held() {
    let (mut ecs, v1) = settled();
    let paused = web("good:1").paused().service();
    assert_breaks(&broken(&ecs, &paused, vec![action(tags("team"))]), "the manifest is paused");
    ecs.tags.insert(tag::HOLD.to_owned(), String::new());
    assert_breaks(&broken(&ecs, &v1, vec![action(tags("team"))]), "the service is on hold");
}

#[test]
fn at_most_one_call_starts_a_deployment() {
    let (ecs, v1) = settled();
    let network = || action(update(&json!({ "networkConfiguration": {} })));
    assert_breaks(&broken(&ecs, &v1, vec![network(), network()]), "2 calls start or stop");
}

#[test]
fn no_call_is_about_another_service() {
    let (ecs, v1) = settled();
    let other = Call::UpdateService { input: json!({ "cluster": "prod", "service": "shop" }) };
    assert_breaks(&broken(&ecs, &v1, vec![action(other)]), "something else than prod/web");
    let arn = "arn:aws:ecs:eu-west-1:123456789012:service/prod/shop".to_owned();
    for other in [
        Call::UntagResource { arn: arn.clone(), keys: Vec::new() },
        Call::StopServiceDeployment { arn },
        Call::CreateService { input: json!({ "cluster": "prod", "serviceName": "shop" }) },
        Call::CreateService { input: json!({ "cluster": "test", "serviceName": "web" }) },
        Call::UpdateService { input: json!({ "cluster": "test", "service": "web" }) },
        Call::RegisterTaskDefinition { input: json!({ "family": "shop" }) },
    ] {
        let found = broken(&ecs, &v1, vec![action(other)]);
        assert_breaks(&found, "something else than prod/web");
    }
}

#[test]
fn a_service_of_somebody_else_or_of_nobody_is_left_alone() {
    let (mut ecs, v1) = settled();
    ecs.tags.insert(tag::OWNER.to_owned(), "v1:blue:web.yaml".to_owned());
    assert_breaks(&broken(&ecs, &v1, vec![action(tags("team"))]), "belongs to v1:blue:web.yaml");
    ecs.tags.remove(tag::OWNER);
    assert_breaks(&broken(&ecs, &v1, vec![action(tags("team"))]), "our owner tag");
    let adopting = web("good:1").adopting().service();
    assert_eq!(broken(&ecs, &adopting, vec![action(tags(tag::OWNER))]), "");
    let heal = action(update(&json!({ "enableExecuteCommand": true })));
    assert_breaks(&broken(&ecs, &adopting, vec![heal]), "our owner tag");
}

#[test]
fn a_service_that_exists_is_not_created_and_one_that_drains_is_not_changed() {
    let (mut ecs, v1) = settled();
    let create = Call::CreateService { input: json!({ "cluster": "prod", "serviceName": "web" }) };
    assert_breaks(&broken(&ecs, &v1, vec![action(create)]), "exists already");
    ecs.status = "DRAINING".to_owned();
    assert_breaks(&broken(&ecs, &v1, vec![action(tags("team"))]), "not ACTIVE");
}

#[test]
fn content_that_is_registered_or_was_not_looked_for_is_not_registered() {
    let (ecs, v1) = settled();
    let register = || action(Call::RegisterTaskDefinition { input: json!({ "family": "web" }) });
    assert_breaks(&broken(&ecs, &v1, vec![register()]), "has the content already");
    let task_definitions = Fact::Unknown(Unknown::NotAsked);
    let seen = Observed { task_definitions, ..ecs.observe(&deep()) };
    assert_breaks(&broken_in(&seen, Some(&v1), vec![register()]), "nobody looked");
}

#[test]
fn only_a_deep_look_tells_that_content_is_not_registered() {
    let (ecs, _) = settled();
    let v2 = web("good:2").service();
    let register =
        || vec![action(Call::RegisterTaskDefinition { input: json!({ "family": "web" }) })];
    for found in [ecs.observe(&deep()).task_definitions, Fact::Absent] {
        let look =
            |depth| Observed { task_definitions: found.clone(), depth, ..ecs.observe(&deep()) };
        assert_eq!(broken_in(&look(Depth::Deep), Some(&v2), register()), "");
        assert_breaks(&broken_in(&look(Depth::Shallow), Some(&v2), register()), "nobody looked");
    }
}

#[test]
fn only_active_and_known_task_definitions_are_run() {
    let (mut ecs, v1) = settled();
    let run = |arn: &str| vec![action(update(&json!({ "taskDefinition": arn })))];
    assert_breaks(&broken(&ecs, &v1, run("web:77")), "web:77 is not known");
    let arn = ecs.newest_definition();
    ecs.definitions.get_mut(&arn).expect("registered").1 = "INACTIVE";
    assert_breaks(&broken(&ecs, &v1, run(&arn)), "is INACTIVE");
}

#[test]
fn of_task_definitions_that_were_not_looked_up_only_the_proven_one_is_run_and_only_to_roll_back() {
    let (mut ecs, v1) = settled();
    let unseen = |number: u32| format!("arn:aws:ecs:r:1:task-definition/web:{number}");
    let run = |number| update(&json!({ "taskDefinition": unseen(number) }));
    ecs.tags.insert(tag::PROVEN.to_owned(), unseen(77));
    ecs.tags.insert(tag::REJECTED.to_owned(), "v1:v1:ff:1790000000:Crashes".to_owned());
    assert_eq!(broken(&ecs, &v1, vec![rollback(run(77))]), "");
    assert_breaks(&broken(&ecs, &v1, vec![action(run(77))]), "web:77 is not known");
    assert_breaks(&broken(&ecs, &v1, vec![rollback(run(78))]), "web:78 is not known");
}

#[test]
fn what_was_rejected_is_not_run() {
    let (mut ecs, v1) = settled();
    let value = format!("v1:{}:1790000000:Crashes", v1.revision_digest);
    ecs.tags.insert(tag::REJECTED.to_owned(), value);
    let arn = ecs.newest_definition();
    let run = action(update(&json!({ "taskDefinition": arn })));
    assert_breaks(&broken(&ecs, &v1, vec![run]), "was rejected");
}

#[test]
fn a_rollback_follows_a_verdict_and_goes_to_the_proven_revision_only() {
    let (mut ecs, v1) = settled();
    let arn = ecs.newest_definition();
    let back = || vec![rollback(update(&json!({ "taskDefinition": arn })))];
    assert_breaks(&broken(&ecs, &v1, back()), "no verdict was written before");
    ecs.tags.insert(tag::REJECTED.to_owned(), "v1:v1:ff:1790000000:Crashes".to_owned());
    assert_eq!(broken(&ecs, &v1, back()), "");
    let proven = ecs.tags.remove(tag::PROVEN);
    assert_breaks(&broken(&ecs, &v1, back()), "nothing is proven");
    assert!(proven.is_some());
    ecs.tags.insert(tag::PROVEN.to_owned(), "arn:aws:ecs:r:1:task-definition/web:9".to_owned());
    assert_breaks(&broken(&ecs, &v1, back()), "is not the proven revision");
}

#[test]
fn stopping_a_deployment_must_lead_to_the_proven_revision() {
    let (mut ecs, _) = settled();
    let v2 = web("good:2").service();
    drop(ecs.settle(&v2, 2));
    ecs.tags.insert(tag::REJECTED.to_owned(), "v1:v1:ff:1790000000:Crashes".to_owned());
    let seen = ecs.observe(&deep());
    let arn = seen.service_deployments.known().expect("seen")[0].service_deployment_arn.clone();
    let stop = || vec![rollback(Call::StopServiceDeployment { arn: arn.clone() })];
    assert_eq!(broken(&ecs, &v2, stop()), "");
    let elsewhere = "arn:aws:ecs:r:1:service-revision/prod/web/1".to_owned();
    ecs.tags.insert(tag::PROVEN.to_owned(), elsewhere);
    assert_breaks(&broken(&ecs, &v2, stop()), "ECS would not return to the proven revision");

    let definition =
        |number: u32| format!("arn:aws:ecs:eu-west-1:123456789012:task-definition/web:{number}");
    ecs.tags.insert(tag::PROVEN.to_owned(), definition(1));
    assert_eq!(broken(&ecs, &v2, stop()), "", "the revision to return to runs it");
    ecs.tags.insert(tag::PROVEN.to_owned(), definition(2));
    assert_breaks(&broken(&ecs, &v2, stop()), "ECS would not return to the proven revision");
}

#[test]
fn a_gate_is_opened_with_open_eyes_and_never_for_the_rejected() {
    let (mut ecs, _) = settled();
    let v2 = watched("good:2").service();
    drop(ecs.settle(&v2, 2));
    let look = |ecs: &Ecs| {
        let mut seen = ecs.observe(&deep());
        let alarm = |state: &str| Alarm {
            name: "5xx".to_owned(),
            state: state.to_owned(),
            reason: None,
            since: None,
        };
        seen.alarms = Fact::Known(vec![alarm("OK")]);
        if let Fact::Known(all) = &mut seen.service_deployments {
            all[0].lifecycle_hook_details = vec![HookDetail {
                hook_id: "ecs-pause-1".to_owned(),
                target_type: None,
                status: Some("AWAITING_ACTION".to_owned()),
                expires_at: None,
            }];
        }
        seen
    };
    let seen = look(&ecs);
    let arn = seen.service_deployments.known().expect("seen")[0].service_deployment_arn.clone();
    let goes_on = |arn: &str, hook: &str| {
        let (arn, hook) = (arn.to_owned(), hook.to_owned());
        let call = Call::ContinueServiceDeployment { arn, hook, action: HookAction::Continue };
        vec![action(call)]
    };
    let opens = |seen: &Observed| broken_in(seen, Some(&v2), goes_on(&arn, "ecs-pause-1"));
    assert_eq!(opens(&seen), "");
    let other = broken_in(&seen, Some(&v2), goes_on(&arn, "ecs-pause-2"));
    assert_breaks(&other, "ecs-pause-2 does not wait for anything");
    let elsewhere = broken_in(&seen, Some(&v2), goes_on("arn", "ecs-pause-1"));
    assert_breaks(&elsewhere, "something else than prod/web");
    let blind = Observed { tasks: Fact::Unknown(Unknown::NotAsked), ..seen.clone() };
    assert_breaks(&opens(&blind), "the tasks were not seen");
    let deaf = Observed { alarms: Fact::Unknown(Unknown::NotAsked), ..seen.clone() };
    assert_breaks(&opens(&deaf), "alarm 5xx is red or not seen");
    let mut red = seen;
    if let Fact::Known(alarms) = &mut red.alarms {
        "ALARM".clone_into(&mut alarms[0].state);
    }
    assert_breaks(&opens(&red), "alarm 5xx is red or not seen");
    let digest = &v2.revision_digest;
    ecs.tags.insert(tag::REJECTED.to_owned(), format!("v1:{digest}:1790000000:Crashes"));
    assert_breaks(&opens(&look(&ecs)), "was rejected");
}

#[test]
fn the_count_is_the_manifest_s_or_nobody_s() {
    let (ecs, v1) = settled();
    let scale = |count: u32| vec![action(update(&json!({ "desiredCount": count })))];
    assert_breaks(&broken(&ecs, &v1, scale(5)), "not what the manifest says");
    assert_breaks(&broken(&ecs, &v1, scale(0)), "scales to zero");
    assert_breaks(&broken(&ecs, &v1, scale(1)), "not what the manifest says");
    let unowned = web("good:1").without("desiredCount").service();
    assert_breaks(&broken(&ecs, &unowned, scale(4)), "not the manifest's");
    let zero = web("good:1").with("desiredCount", json!(0)).service();
    assert_eq!(broken(&ecs, &zero, scale(0)), "");
    let back = vec![rollback(update(&json!({ "desiredCount": 4 })))];
    assert_breaks(&broken(&ecs, &v1, back), "a rollback keeps desiredCount");
}

#[test]
fn from_zero_a_service_begins_with_the_manifest_s_count_or_one_task() {
    let mut ecs = Ecs::new();
    drop(ecs.settle(&web("good:1").with("desiredCount", json!(0)).service(), 100));
    let scale = |count: u32| vec![action(update(&json!({ "desiredCount": count })))];
    for count in [1, 4] {
        assert_eq!(broken(&ecs, &web("good:1").service(), scale(count)), "");
    }
    assert_breaks(&broken(&ecs, &web("good:1").service(), scale(3)), "not what the manifest says");
}

#[test]
fn a_start_leaves_room_for_one_unproven_task() {
    let (ecs, v1) = settled();
    let wide = action(update(&json!({ "networkConfiguration": {} })));
    assert_breaks(&broken(&ecs, &v1, vec![wide]), "4 unproven tasks could start at once; 1 may");
    let narrow = json!({
        "networkConfiguration": {}, "deploymentConfiguration": { "maximumPercent": 125 }
    });
    assert_eq!(broken(&ecs, &v1, vec![action(update(&narrow))]), "");
    let more = json!({ "networkConfiguration": {}, "desiredCount": 5, "deploymentConfiguration": {
        "maximumPercent": 125
    } });
    let five = web("good:1").with("desiredCount", json!(5)).service();
    let found = broken(&ecs, &five, vec![action(update(&more))]);
    assert_breaks(&found, "raises the count from 4 to 5 at once");
}

#[test]
fn a_service_with_one_task_on_each_host_is_not_probed_so_its_start_may_be_wide() {
    let (ecs, _) = settled();
    let daemon = web("good:1").with("schedulingStrategy", json!("DAEMON")).service();
    let wide = action(update(&json!({ "networkConfiguration": {} })));
    assert_eq!(broken(&ecs, &daemon, vec![wide]), "");
}

#[test]
fn nothing_is_widened_or_proven_blindly() {
    let (mut ecs, v1) = settled();
    let value = format!("v1:{}:ecs-svc/1001:probe:1790000000", v1.revision_digest);
    ecs.tags.insert(tag::ROLLOUT.to_owned(), value);
    let tasks = Fact::Unknown(Unknown::Failed { operation: "x".into(), message: "y".into() });
    let seen = Observed { tasks, ..ecs.observe(&deep()) };
    let widen = json!({ "deploymentConfiguration": { "maximumPercent": 200 } });
    for call in [update(&widen), tags(tag::PROVEN)] {
        assert_breaks(&broken_in(&seen, Some(&v1), vec![action(call)]), "the tasks were not seen");
    }
}

#[test]
fn tags_of_aws_and_of_others_are_left_alone() {
    let (mut ecs, v1) = settled();
    assert_breaks(&broken(&ecs, &v1, vec![action(tags("AWS:x"))]), "AWS:x is AWS's");
    for key in ["aws:x", "team", tag::OWNER] {
        assert_breaks(&broken(&ecs, &v1, vec![action(untag(key))]), "was not set by us");
    }
    ecs.tags.insert(tag::TAGS.to_owned(), "team".to_owned());
    assert_eq!(broken(&ecs, &v1, vec![action(untag("team"))]), "");
}

#[test]
fn what_update_service_does_not_take_is_not_sent() {
    let (ecs, v1) = settled();
    for name in ["clientToken", "role", "schedulingStrategy", "launchType"] {
        let found = broken(&ecs, &v1, vec![action(update(&json!({ name: "x" })))]);
        assert_breaks(&found, &format!("must not carry {name}"));
    }
}

#[test]
fn a_deployment_is_forced_only_over_one_that_failed() {
    let (mut ecs, v1) = settled();
    let narrow = json!({ "maximumPercent": 125 });
    let forced = || {
        update(&json!({ "forceNewDeployment": true, "deploymentConfiguration": narrow.clone() }))
    };
    assert_breaks(&broken(&ecs, &v1, vec![action(forced())]), "although ECS gave none up");
    ecs.deployments[0].state = "FAILED";
    assert_eq!(broken(&ecs, &v1, vec![action(forced())]), "");
}
