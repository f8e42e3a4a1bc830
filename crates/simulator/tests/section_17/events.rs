//! Line 10: Events carry detail.version on task events only; `DescribeTasks` forgets stopped tasks after
//! about an hour. Lateness, repetition and order are up to whoever takes them.

use evenkeel_simulator::Behaviour;
use serde_json::{Value, json};

use super::fixture::{Fixture, MINUTE, breaker, seconds};

fn of_kind(events: &[Value], kind: &str) -> Vec<Value> {
    events.iter().filter(|event| event["detail-type"] == kind).cloned().collect()
}

#[test]
fn task_events_carry_versions_that_rise_and_no_health_status() {
    let fixture = Fixture::running("web:1", 1, json!({}));
    let events = fixture.simulation.region().take_events();
    let tasks = of_kind(&events, "ECS Task State Change");
    let states: Vec<&str> =
        tasks.iter().map(|event| event["detail"]["lastStatus"].as_str().unwrap()).collect();
    assert_eq!(states, ["PROVISIONING", "PENDING", "ACTIVATING", "RUNNING"]);
    let versions: Vec<u64> =
        tasks.iter().map(|event| event["detail"]["version"].as_u64().unwrap()).collect();
    assert_eq!(versions, [1, 2, 3, 4]);
    assert!(tasks.iter().all(|event| event["detail"].get("healthStatus").is_none()));
    assert_eq!(tasks[0]["detail"]["attachments"][0]["type"], "eni");
    let described = &fixture.tasks("RUNNING")[0];
    assert_eq!(
        (&described["version"], &described["attachments"][0]["type"]),
        (&json!(4), &json!("ElasticNetworkInterface"))
    );
}

#[test]
fn deployment_events_have_neither_cluster_nor_version() {
    let mut fixture =
        Fixture::running("web:1", 1, json!({"deploymentConfiguration": breaker(true)}));
    fixture.simulation.region().take_events();
    fixture.script("web:bad", Behaviour::crashes(seconds(5), 1));
    fixture.roll_to("web:bad");
    fixture.advance(30 * MINUTE);
    let events = fixture.simulation.region().take_events();
    let deployments = of_kind(&events, "ECS Deployment State Change");
    let names: Vec<&str> =
        deployments.iter().map(|event| event["detail"]["eventName"].as_str().unwrap()).collect();
    let expected = [
        "SERVICE_DEPLOYMENT_IN_PROGRESS",
        "SERVICE_DEPLOYMENT_FAILED",
        "SERVICE_DEPLOYMENT_IN_PROGRESS",
        "SERVICE_DEPLOYMENT_COMPLETED",
    ];
    assert_eq!(names, expected);
    for event in &deployments {
        assert!(
            event["detail"].get("version").is_none() && event["detail"].get("clusterArn").is_none()
        );
        assert_eq!(event["resources"], json!([fixture.service()["serviceArn"]]));
    }
}

#[test]
fn stopped_tasks_are_forgotten_after_an_hour() {
    let mut fixture = Fixture::running("web:1", 1, json!({}));
    let task = fixture.tasks("RUNNING")[0]["taskArn"].clone();
    fixture.ecs("StopTask", json!({"cluster": "main", "task": task}));
    fixture.advance(59 * MINUTE);
    assert_eq!(fixture.tasks("STOPPED")[0]["taskArn"], task);
    fixture.advance(2 * MINUTE);
    let reply = fixture.ecs("DescribeTasks", json!({"cluster": "main", "tasks": [task]}));
    assert_eq!(reply["failures"], json!([{"arn": task, "reason": "MISSING"}]));
}

#[test]
fn at_most_a_hundred_service_events_are_kept_newest_first() {
    let mut fixture = Fixture::running("web:1", 1, json!({}));
    fixture.script("web:bad", Behaviour::crashes(seconds(5), 1));
    fixture.roll_to("web:bad");
    fixture.advance(300 * MINUTE);
    let service = fixture.service();
    let times: Vec<f64> = service["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["createdAt"].as_f64().unwrap())
        .collect();
    assert_eq!(times.len(), 100);
    assert!(times.is_sorted_by(|newer, older| newer >= older));
}
