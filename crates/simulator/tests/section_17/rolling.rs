//! Line 1: UpdateService returns immediately with a new PRIMARY of desired 0; scheduling happens in
//! later ticks; two deployments coexist; COMPLETED requires the old tasks to be gone.

use serde_json::json;

use evenkeel_simulator::Behaviour;

use super::fixture::{Fixture, MINUTE, behind, breaker, seconds};

#[test]
fn update_service_answers_with_a_primary_that_wants_and_has_nothing_beside_the_completed_one() {
    let fixture = Fixture::running("web:1", 2, json!({}));
    let service = fixture.roll_to("web:2");
    let [new, old] = service["deployments"].as_array().unwrap().as_slice() else {
        panic!("two deployments: {service}");
    };
    assert_eq!(
        (&new["status"], &new["desiredCount"], &new["runningCount"], &new["pendingCount"]),
        (&json!("PRIMARY"), &json!(0), &json!(0), &json!(0))
    );
    assert_eq!(new["rolloutState"], "IN_PROGRESS");
    assert_eq!((&old["status"], &old["rolloutState"]), (&json!("ACTIVE"), &json!("COMPLETED")));
    assert_eq!(old["desiredCount"], 2);
}

#[test]
fn tasks_of_the_new_deployment_start_some_seconds_later() {
    let mut fixture = Fixture::running("web:1", 2, json!({}));
    fixture.roll_to("web:2");
    fixture.advance(seconds(5));
    assert_eq!(fixture.primary()["pendingCount"], 0);
    fixture.advance(seconds(15));
    assert_eq!(
        (&fixture.primary()["pendingCount"], &fixture.primary()["desiredCount"]),
        (&json!(2), &json!(2))
    );
}

#[test]
fn a_rollout_ends_with_one_deployment_and_only_new_tasks() {
    let mut fixture = Fixture::running("web:1", 2, json!({}));
    let wanted = fixture.roll_to("web:2")["deployments"][0]["id"].clone();
    assert!(fixture.settle());
    let deployments = fixture.deployments();
    assert_eq!(deployments.len(), 1);
    assert_eq!((&deployments[0]["id"], &deployments[0]["runningCount"]), (&wanted, &json!(2)));
    let reason = format!("ECS deployment {} completed.", wanted.as_str().unwrap());
    assert_eq!(deployments[0]["rolloutStateReason"], reason);
    let tasks = fixture.tasks("RUNNING");
    assert!(tasks.iter().all(|task| task["startedBy"] == wanted), "{tasks:?}");
    assert_eq!(fixture.service_deployment()["status"], "SUCCESSFUL");
}

#[test]
fn a_rollout_is_not_complete_while_old_tasks_drain() {
    let mut fixture = Fixture::new();
    let group = fixture.load_balancer();
    fixture.register("web:1");
    fixture.create(2, json!({"loadBalancers": behind(&group)}));
    assert!(fixture.settle());
    fixture.roll_to("web:2");
    assert!(fixture.until(|service| service["deployments"][1]["runningCount"] == 0));
    let primary = fixture.primary();
    assert_eq!(
        (&primary["runningCount"], &primary["rolloutState"]),
        (&json!(2), &json!("IN_PROGRESS"))
    );
    fixture.advance(4 * MINUTE);
    assert_eq!(fixture.primary()["rolloutState"], "IN_PROGRESS");
    assert!(fixture.settle());
    assert_eq!(fixture.deployments().len(), 1);
}

#[test]
fn at_no_time_are_fewer_tasks_healthy_than_the_minimum() {
    let mut fixture = Fixture::new();
    let group = fixture.load_balancer();
    fixture.register("web:1");
    fixture.create(
        4,
        json!({
            "loadBalancers": behind(&group),
            "deploymentConfiguration": {"minimumHealthyPercent": 50, "maximumPercent": 100},
        }),
    );
    assert!(fixture.settle());
    fixture.roll_to("web:2");
    let mut least = usize::MAX;
    let mut most = 0;
    for _ in 0..3600 {
        let states = fixture.target_states(&group);
        least = least.min(states.iter().filter(|(state, _)| state == "healthy").count());
        most = most.max(fixture.service()["runningCount"].as_u64().unwrap());
        if fixture.primary()["rolloutState"] == "COMPLETED" {
            break;
        }
        fixture.advance(seconds(1));
    }
    assert_eq!((least, most), (2, 4));
    assert_eq!(fixture.primary()["rolloutState"], "COMPLETED", "{:#?}", fixture.messages());
}

#[test]
fn a_newer_update_supersedes_the_rollout_in_flight() {
    let mut fixture = Fixture::running("web:1", 2, json!({}));
    fixture.roll_to("web:2");
    fixture.advance(seconds(50));
    let superseded = fixture.service_deployment()["serviceDeploymentArn"].clone();
    fixture.roll_to("web:3");
    assert_eq!(fixture.deployments().len(), 3);
    fixture.advance(seconds(2));
    let input = json!({"serviceDeploymentArns": [superseded]});
    let old = fixture.ecs("DescribeServiceDeployments", input)["serviceDeployments"][0].clone();
    assert_eq!(old["status"], "STOPPED");
    assert!(fixture.settle());
    assert_eq!(fixture.simulation.world.launched("web:3"), 2);
    assert_eq!(fixture.deployments().len(), 1);
}

#[test]
fn the_same_task_definition_again_starts_no_deployment_unless_forced() {
    let mut fixture = Fixture::running("web:1", 1, json!({}));
    let before = fixture.primary()["id"].clone();
    let same = fixture.update(json!({"taskDefinition": "web:1"}));
    assert_eq!(same["deployments"][0]["id"], before);
    let forced = fixture.update(json!({"forceNewDeployment": true}));
    assert_ne!(forced["deployments"][0]["id"], before);
    assert!(fixture.settle());
}

#[test]
fn a_task_that_is_lost_is_replaced_and_the_deployment_stays_completed() {
    let mut fixture = Fixture::running("web:1", 2, json!({}));
    let task = fixture.tasks("RUNNING")[0]["taskArn"].clone();
    fixture.ecs("StopTask", json!({"cluster": "main", "task": task}));
    assert!(fixture.until(|service| service["runningCount"] == 1));
    assert_eq!(fixture.primary()["rolloutState"], "COMPLETED");
    assert!(fixture.until(|service| service["runningCount"] == 2));
    let stopped = fixture.tasks("STOPPED");
    assert_eq!(
        (&stopped[0]["stopCode"], &stopped[0]["stoppedReason"]),
        (&json!("UserInitiated"), &json!("Task stopped by user"))
    );
}

#[test]
fn scaling_starts_no_deployment() {
    let mut fixture = Fixture::running("web:1", 2, json!({}));
    let before = fixture.primary()["id"].clone();
    fixture.update(json!({"desiredCount": 5}));
    assert!(fixture.until(|service| service["runningCount"] == 5));
    fixture.update(json!({"desiredCount": 1}));
    assert!(fixture.until(|service| service["runningCount"] == 1));
    assert_eq!(fixture.primary()["id"], before);
    assert_eq!(fixture.simulation.world.launched("web:1"), 5);
}

/// ecs-behaviour 2.1: with room the replacement of what fails its checks starts first, and what it replaces is not stopped
/// before it is healthy, or tasks that are slow to get healthy never would.
#[test]
fn old_tasks_that_are_slow_to_get_healthy_get_the_time_they_need() {
    let mut fixture = Fixture::new();
    let checks = json!({"HealthCheckIntervalSeconds": 5, "HealthCheckTimeoutSeconds": 2});
    let group = fixture.load_balancer_with(checks);
    let drains = json!([{"Key": "deregistration_delay.timeout_seconds", "Value": "20"}]);
    let drains = json!({"TargetGroupArn": group, "Attributes": drains});
    fixture.elb("ModifyTargetGroupAttributes", drains);
    fixture.register("web:1");
    let (behind, breaker) = (behind(&group), breaker(false));
    fixture.create(2, json!({"loadBalancers": behind, "deploymentConfiguration": breaker}));
    assert!(fixture.settle());
    fixture.script("web:bad", Behaviour::cannot_be_pulled("web:bad"));
    fixture.roll_to("web:bad");
    assert!(fixture.until(|service| service["deployments"][0]["rolloutState"] == "FAILED"));
    fixture.script("web:1", Behaviour::healthy_after(seconds(60)));
    for task in fixture.tasks("RUNNING") {
        fixture.ecs("StopTask", json!({"cluster": "main", "task": task["taskArn"]}));
    }
    fixture.advance(20 * MINUTE);
    let states = fixture.target_states(&group);
    let healthy = states.iter().filter(|(state, _)| state == "healthy").count();
    assert_eq!(healthy, 2, "{states:?} {:#?}", fixture.messages());
}
