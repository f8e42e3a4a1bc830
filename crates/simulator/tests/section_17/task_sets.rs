//! Line 7: `computedDesiredCount` is rounded up; at most five task sets; what `STEADY_STATE` is.

use serde_json::{Value, json};

use super::fixture::{Fixture, MINUTE, behind, seconds};

fn external(desired: u32) -> Fixture {
    let fixture = Fixture::new();
    fixture.register("web:1");
    let input = json!({
        "cluster": "main", "serviceName": "web", "desiredCount": desired,
        "deploymentController": {"type": "EXTERNAL"},
    });
    fixture.ecs("CreateService", input);
    fixture
}

fn input(percent: f64) -> Value {
    json!({
        "cluster": "main", "service": "web", "taskDefinition": "web", "launchType": "FARGATE",
        "networkConfiguration": {"awsvpcConfiguration": {"subnets": ["subnet-1"]}},
        "scale": {"value": percent, "unit": "PERCENT"},
    })
}

fn create(fixture: &Fixture, percent: f64) -> Value {
    fixture.ecs("CreateTaskSet", input(percent))["taskSet"].clone()
}

fn sets(fixture: &Fixture) -> Vec<Value> {
    let reply = fixture.ecs("DescribeTaskSets", json!({"cluster": "main", "service": "web"}));
    reply["taskSets"].as_array().unwrap().clone()
}

#[test]
fn the_computed_count_is_rounded_up_so_that_two_halves_of_three_are_four() {
    let mut fixture = external(3);
    assert_eq!(create(&fixture, 50.0)["computedDesiredCount"], 2);
    assert_eq!(create(&fixture, 50.0)["computedDesiredCount"], 2);
    assert!(fixture.until(|service| service["runningCount"] == 4));
    assert_eq!(fixture.service()["deployments"], json!([]));
}

#[test]
fn a_task_set_is_steady_once_its_tasks_are_healthy_and_at_once_at_scale_zero() {
    let mut fixture = external(2);
    create(&fixture, 100.0);
    assert_eq!(sets(&fixture)[0]["stabilityStatus"], "STABILIZING");
    fixture.advance(seconds(50));
    assert_eq!(sets(&fixture)[0]["runningCount"], 2);
    assert_eq!(sets(&fixture)[0]["stabilityStatus"], "STABILIZING");
    create(&fixture, 0.0);
    fixture.advance(2 * MINUTE);
    let states: Vec<Value> =
        sets(&fixture).iter().map(|set| set["stabilityStatus"].clone()).collect();
    assert_eq!(states, ["STEADY_STATE", "STEADY_STATE"]);
    let started_by = &fixture.tasks("RUNNING")[0]["startedBy"];
    assert_eq!(*started_by, sets(&fixture)[0]["id"]);
}

#[test]
fn a_repeated_creation_with_the_same_token_makes_no_second_task_set_whatever_it_says() {
    let fixture = external(2);
    let with_token = |percent: f64| {
        let mut input = input(percent);
        input["clientToken"] = json!("t-1");
        input
    };
    let first = fixture.ecs("CreateTaskSet", with_token(100.0));
    let again = fixture.ecs("CreateTaskSet", with_token(100.0));
    assert_eq!(first["taskSet"]["id"], again["taskSet"]["id"]);
    let other = fixture.try_ecs("CreateTaskSet", with_token(50.0)).unwrap_err();
    assert!(other.to_string().contains("was not idempotent"), "{other}");
    assert_eq!(sets(&fixture).len(), 1);
}

#[test]
fn a_sixth_task_set_is_refused_draining_ones_counted() {
    let mut fixture = Fixture::new();
    let group = fixture.load_balancer();
    fixture.register("web:1");
    fixture.ecs(
        "CreateService",
        json!({
            "cluster": "main", "serviceName": "web", "desiredCount": 1,
            "deploymentController": {"type": "EXTERNAL"},
        }),
    );
    let mut first = input(100.0);
    first["loadBalancers"] = behind(&group);
    let first = fixture.ecs("CreateTaskSet", first)["taskSet"]["id"].clone();
    for _ in 0..4 {
        create(&fixture, 0.0);
    }
    fixture.advance(3 * MINUTE);
    let delete = json!({"cluster": "main", "service": "web", "taskSet": first});
    assert!(fixture.try_ecs("DeleteTaskSet", delete.clone()).is_err(), "scaled above 0");
    let mut forced = delete;
    forced["force"] = json!(true);
    assert_eq!(fixture.ecs("DeleteTaskSet", forced)["taskSet"]["status"], "DRAINING");
    fixture.advance(MINUTE);
    let error = fixture.try_ecs("CreateTaskSet", input(0.0)).unwrap_err();
    assert!(error.message.starts_with("5 deployments exist on the service."), "{error}");
    fixture.advance(6 * MINUTE);
    assert_eq!(sets(&fixture).len(), 4);
    create(&fixture, 0.0);
}

#[test]
fn the_service_shows_what_its_primary_task_set_has() {
    let fixture = external(1);
    let set = create(&fixture, 100.0);
    assert!(fixture.service().get("taskDefinition").is_none());
    let chosen = json!({"cluster": "main", "service": "web", "primaryTaskSet": set["id"]});
    let reply = fixture.ecs("UpdateServicePrimaryTaskSet", chosen);
    assert_eq!(reply["taskSet"]["status"], "PRIMARY");
    assert_eq!(fixture.service()["taskDefinition"], set["taskDefinition"]);
}

#[test]
fn task_sets_are_for_external_services_and_scales_within_a_hundred_percent() {
    let fixture = Fixture::running("web:1", 1, json!({}));
    let error = fixture.try_ecs("CreateTaskSet", input(1.0)).unwrap_err();
    assert!(error.message.contains("external deployment controllers"), "{error}");
    let fixture = external(1);
    assert!(fixture.try_ecs("CreateTaskSet", input(100.5)).is_err());
}
