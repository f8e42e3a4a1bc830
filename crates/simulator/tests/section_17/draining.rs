//! Line 5: The deregistration delay between the decision to stop and STOPPED; a new target is healthy
//! after one success; a group that no rule refers to: `Target.NotInUse`.

use std::time::Duration;

use evenkeel_simulator::Behaviour;
use serde_json::json;

use super::fixture::{Fixture, MINUTE, behind, seconds};

fn balanced() -> (Fixture, String) {
    let mut fixture = Fixture::new();
    let group = fixture.load_balancer();
    fixture.register("web:1");
    fixture.create(1, json!({"loadBalancers": behind(&group)}));
    assert!(fixture.settle());
    (fixture, group)
}

#[test]
fn a_stopped_task_drains_for_the_whole_deregistration_delay() {
    let (mut fixture, group) = balanced();
    let task = fixture.tasks("RUNNING")[0]["taskArn"].clone();
    let decided = fixture.simulation.now();
    fixture.ecs("StopTask", json!({"cluster": "main", "task": task}));
    let state = |fixture: &Fixture| {
        let input = json!({"cluster": "main", "tasks": [task]});
        let reply = fixture.ecs("DescribeTasks", input);
        reply["tasks"][0]["lastStatus"].as_str().unwrap().to_owned()
    };
    assert_eq!(state(&fixture), "DEACTIVATING");
    assert!(
        fixture
            .target_states(&group)
            .contains(&("draining".to_owned(), "Target.DeregistrationInProgress".to_owned()))
    );
    fixture.advance(seconds(299));
    assert_eq!(state(&fixture), "DEACTIVATING");
    fixture.advance(seconds(1));
    assert_eq!(state(&fixture), "STOPPING");
    while state(&fixture) != "STOPPED" {
        fixture.advance(seconds(1));
    }
    let took = Duration::try_from(fixture.simulation.now().duration_since(decided)).unwrap();
    assert!(took > seconds(300) && took < seconds(330), "{took:?}");
}

#[test]
fn a_process_that_ignores_the_stop_signal_is_killed_after_its_stop_timeout() {
    let mut fixture = Fixture::new();
    let stubborn = Behaviour { stops_after: None, ..Behaviour::healthy() };
    fixture.script("web:1", stubborn);
    fixture.register_with("web:1", json!({"stopTimeout": 20}));
    fixture.create(1, json!({}));
    assert!(fixture.settle());
    let task = fixture.tasks("RUNNING")[0]["taskArn"].clone();
    fixture.ecs("StopTask", json!({"cluster": "main", "task": task, "reason": "enough"}));
    fixture.advance(seconds(19));
    assert_eq!(fixture.tasks("STOPPED")[0]["lastStatus"], "STOPPING");
    fixture.advance(MINUTE);
    let stopped = &fixture.tasks("STOPPED")[0];
    assert_eq!(
        (&stopped["lastStatus"], &stopped["stoppedReason"]),
        (&json!("STOPPED"), &json!("enough"))
    );
    assert_eq!(stopped["containers"][0]["exitCode"], 137);
}

#[test]
fn a_new_target_is_healthy_after_one_successful_check() {
    let (fixture, group) = balanced();
    assert_eq!(fixture.target_states(&group), [("healthy".to_owned(), String::new())]);
    let attributes = fixture.elb("DescribeTargetGroups", json!({"TargetGroupArns": [group]}));
    assert_eq!(attributes["TargetGroups"][0]["HealthyThresholdCount"], 5);
    let task = &fixture.tasks("RUNNING")[0];
    let started = task["startedAt"].as_f64().unwrap();
    let completed = fixture.service()["events"][0]["createdAt"].as_f64().unwrap();
    // One interval of 30 s, and not five.
    assert!(completed - started < 60.0, "{started} {completed}");
}

#[test]
fn targets_of_a_group_without_a_listener_are_not_in_use() {
    let fixture = Fixture::new();
    let group = fixture.target_group("lonely");
    let targets = json!([{"Id": "10.0.0.9", "Port": 8080}]);
    fixture.elb("RegisterTargets", json!({"TargetGroupArn": group, "Targets": targets}));
    let unused = ("unused".to_owned(), "Target.NotInUse".to_owned());
    assert_eq!(fixture.target_states(&group), [unused]);
}

#[test]
fn a_group_with_weight_zero_is_in_use() {
    let fixture = Fixture::new();
    let blue = fixture.load_balancer();
    let green = fixture.target_group("green");
    let listeners = fixture.elb("DescribeLoadBalancers", json!({}));
    let balancer = listeners["LoadBalancers"][0]["LoadBalancerArn"].clone();
    let listeners = fixture.elb("DescribeListeners", json!({"LoadBalancerArn": balancer}));
    let listener = listeners["Listeners"][0]["ListenerArn"].clone();
    let groups = json!([
        {"TargetGroupArn": blue, "Weight": 100}, {"TargetGroupArn": green, "Weight": 0},
    ]);
    let actions = json!([{"Type": "forward", "ForwardConfig": {"TargetGroups": groups}}]);
    fixture.elb("ModifyListener", json!({"ListenerArn": listener, "DefaultActions": actions}));
    let targets = json!([{"Id": "10.0.0.9", "Port": 8080}]);
    fixture.elb("RegisterTargets", json!({"TargetGroupArn": green, "Targets": targets}));
    assert_eq!(fixture.target_states(&green)[0].0, "initial");
    let views = fixture.simulation.region().listeners();
    assert_eq!(views[0].rules[0].forwards, [(blue, 100), (green, 0)]);
}

#[test]
fn a_service_cannot_be_created_on_a_group_without_a_load_balancer() {
    let fixture = Fixture::new();
    let group = fixture.target_group("lonely");
    fixture.register("web:1");
    let error = fixture.try_ecs(
        "CreateService",
        json!({
            "cluster": "main", "serviceName": "web", "taskDefinition": "web", "desiredCount": 1,
            "launchType": "FARGATE", "loadBalancers": behind(&group),
            "networkConfiguration": {"awsvpcConfiguration": {"subnets": ["subnet-1"]}},
        }),
    );
    let message = format!(
        "The target group with targetGroupArn {group} does not have an associated load balancer."
    );
    assert_eq!(error.unwrap_err().message, message);
}
