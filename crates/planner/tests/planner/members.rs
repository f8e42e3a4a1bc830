//! Members of a service that ECS treats in ways of their own.

#![expect(
    clippy::indexing_slicing,
    reason = "a fixture that does not find what it set up is a failed test"
)]

use evenkeel_planner::{Call, WaitReason, tag};
use serde_json::{Value, json};

use crate::ecs::Ecs;
use crate::manifests::{Draft, web};
use crate::plans::{reasons, settled};

/// The input of the first `UpdateService` of the next passes.
fn first_update(ecs: &mut Ecs, draft: &Draft) -> Value {
    for _ in 0..5 {
        let plan = ecs.pass(&draft.service());
        let update = plan.actions.into_iter().find_map(|action| match action.call {
            Call::UpdateService { input } => Some(input),
            _ => None,
        });
        if let Some(input) = update {
            return input;
        }
    }
    panic!("no UpdateService in five passes: {:?}", ecs.writes)
}

/// One task on each host.
fn daemon(image: &str) -> Draft {
    web(image)
        .without("desiredCount")
        .without("loadBalancers")
        .with("schedulingStrategy", json!("DAEMON"))
        .with("launchType", json!("EC2"))
        .with(
            "deploymentConfiguration",
            json!({ "maximumPercent": 100, "minimumHealthyPercent": 0 }),
        )
}

#[test]
fn a_daemon_service_is_rolled_without_a_probe_and_never_given_a_count() {
    let mut ecs = settled(&daemon("good:1"));
    let input = first_update(&mut ecs, &daemon("good:2"));
    assert_eq!((input.get("desiredCount"), input.get("deploymentConfiguration")), (None, None));
    assert_eq!(ecs.settle(&daemon("good:2").service(), 100).to_string(), "nothing to do\n");
    assert_eq!(ecs.primary_image(), "good:2");
}

#[test]
fn a_service_that_is_not_probed_is_created_with_a_mark_that_says_so() {
    for (draft, phase) in [
        (web("good:1"), ":probe:"),
        (web("good:1").unprobed(), ":widen:"),
        (daemon("good:1"), ":widen:"),
    ] {
        let mut ecs = Ecs::new();
        drop(ecs.pass(&draft.service()));
        drop(ecs.pass(&draft.service()));
        let mark = ecs.tags.get(tag::ROLLOUT).expect("the service was created with it");
        assert!(mark.contains(phase), "{mark}");
    }
}

#[test]
fn a_daemon_service_that_crashes_is_rolled_back() {
    let mut ecs = settled(&daemon("good:1"));
    let plan = ecs.settle(&daemon("crash:2").service(), 100);
    assert_eq!(reasons(&plan), [WaitReason::Rejected]);
    assert_eq!(ecs.primary_image(), "good:1");
}

/// On one capacity provider.
fn on(provider: &str, image: &str) -> Draft {
    let strategy = json!([{ "capacityProvider": provider, "weight": 1 }]);
    web(image).without("launchType").with("capacityProviderStrategy", strategy)
}

#[test]
fn another_capacity_provider_strategy_is_rolled_out_by_force() {
    let launch_type = web("good:1").with("launchType", json!("FARGATE"));
    for before in [on("FARGATE", "good:1"), launch_type] {
        for image in ["good:1", "good:2"] {
            let mut ecs = settled(&before);
            let wanted = on("FARGATE_SPOT", image);
            let input = first_update(&mut ecs, &wanted);
            assert_eq!(input["capacityProviderStrategy"][0]["capacityProvider"], "FARGATE_SPOT");
            assert_eq!(input["forceNewDeployment"], true);
            assert_eq!(input.get("taskDefinition").is_some(), image == "good:2");
            assert_eq!(ecs.settle(&wanted.service(), 100).to_string(), "nothing to do\n");
            assert_eq!(ecs.history.len(), 2, "one deployment was started");
        }
    }
}

#[test]
fn a_return_from_another_capacity_provider_strategy_is_forced_too() {
    let one = |provider, image| on(provider, image).with("desiredCount", json!(1));
    let mut ecs = settled(&one("FARGATE", "good:1"));
    let plan = fail_when_complete(&mut ecs, &one("FARGATE_SPOT", "good:2"));
    assert_eq!(reasons(&plan), [WaitReason::Rejected]);
    assert_eq!(ecs.primary_image(), "good:1");
    let runs = ecs.primary_member("capacityProviderStrategy").expect("the revision has one");
    assert_eq!(runs[0]["capacityProvider"], "FARGATE");
}

/// With a volume that is configured when a task is launched.
fn with_volume(image: &str) -> Draft {
    let volumes = json!([{
        "name": "data", "managedEBSVolume": { "roleArn": "arn:aws:iam::123456789012:role/ebs", "sizeInGiB": 10 }
    }]);
    let mut draft = web(image).with("volumeConfigurations", volumes);
    draft.task_definition["volumes"] = json!([{ "name": "data", "configuredAtLaunch": true }]);
    draft
}

#[test]
fn volumes_configured_at_launch_are_sent_again_with_every_revision() {
    let mut ecs = settled(&with_volume("good:1"));
    let input = first_update(&mut ecs, &with_volume("good:2"));
    assert_eq!(input["volumeConfigurations"][0]["name"], "data");
    assert_eq!(ecs.settle(&with_volume("good:2").service(), 100).to_string(), "nothing to do\n");
}

#[test]
fn volumes_configured_at_launch_are_sent_again_with_a_rollback() {
    for is_plain in [false, true] {
        let one = |image| with_volume(image).with("desiredCount", json!(1));
        let mut ecs = Ecs { is_plain, ..Ecs::new() };
        drop(ecs.settle(&one("good:1").service(), 100));
        let plan = fail_when_complete(&mut ecs, &one("good:2"));
        assert_eq!(reasons(&plan), [WaitReason::Rejected], "{is_plain}");
        assert_eq!(ecs.primary_image(), "good:1", "{is_plain}");
    }
}

/// Crashes the one task of a rollout that ECS completed, until it is judged.
fn fail_when_complete(ecs: &mut Ecs, draft: &Draft) -> evenkeel_planner::Plan {
    let v2 = draft.service();
    while ecs.history.first().is_none_or(|one| one.status != "SUCCESSFUL")
        || !ecs.tags.contains_key(tag::ROLLOUT)
    {
        drop(ecs.pass(&v2));
        ecs.tick();
    }
    for _ in 0..2 {
        ecs.crash_oldest();
        ecs.tick();
        ecs.tick();
    }
    ecs.settle(&v2, 100)
}

fn subnet(ecs: &Ecs) -> &Value {
    &ecs.deployments[0].content["networkConfiguration"]["awsvpcConfiguration"]["subnets"][0]
}

#[test]
fn a_rollback_of_a_network_change_alone_restores_the_old_network() {
    let network = json!({ "awsvpcConfiguration": { "subnets": ["subnet-2"] } });
    let one = web("good:1").with("desiredCount", json!(1));
    let moved = one.clone().with("networkConfiguration", network);
    let mut ecs = settled(&one);
    let plan = fail_when_complete(&mut ecs, &moved);
    assert_eq!((reasons(&plan), subnet(&ecs)), (vec![WaitReason::Rejected], &json!("subnet-1")));

    let four = moved.with("desiredCount", json!(4));
    let mut ecs = settled(&web("good:1"));
    drop(ecs.settle(&four.service(), 3));
    assert_eq!(subnet(&ecs), &json!("subnet-2"));
    for _ in 0..3 {
        ecs.crash_oldest();
        ecs.tick();
        ecs.tick();
    }
    let plan = ecs.settle(&four.service(), 100);
    assert_eq!((reasons(&plan), subnet(&ecs)), (vec![WaitReason::Rejected], &json!("subnet-1")));
}

#[test]
fn a_service_that_was_deleted_is_created_anew_and_remembers_nothing_of_the_former() {
    let mut ecs = settled(&web("good:1"));
    drop(ecs.settle(&web("crash:2").service(), 100));
    ecs.status = "INACTIVE".to_owned();
    ecs.deployments.clear();
    ecs.writes.clear();
    assert_eq!(ecs.settle(&web("good:1").service(), 100).to_string(), "nothing to do\n");
    assert_eq!(ecs.writes.first().map(String::as_str), Some("CreateService"));
    assert_eq!((ecs.count(), ecs.tags.get(tag::REJECTED)), (4, None));
}
