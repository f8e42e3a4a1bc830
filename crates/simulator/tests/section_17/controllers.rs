//! Line 6: Fields are rejected by presence for `CODE_DEPLOY` and `EXTERNAL` services.

use serde_json::json;

use super::fixture::{Fixture, breaker};

fn of(controller: &str) -> Fixture {
    let fixture = Fixture::new();
    fixture.register("web:1");
    let mut input = json!({
        "cluster": "main", "serviceName": "web", "desiredCount": 1,
        "deploymentController": {"type": controller},
    });
    if controller == "CODE_DEPLOY" {
        input["taskDefinition"] = json!("web");
        input["launchType"] = json!("FARGATE");
        input["networkConfiguration"] = json!({"awsvpcConfiguration": {"subnets": ["subnet-1"]}});
    }
    fixture.ecs("CreateService", input);
    fixture
}

#[test]
fn code_deploy_services_refuse_members_that_say_nothing_new() {
    let fixture = of("CODE_DEPLOY");
    let network = fixture.service()["networkConfiguration"].clone();
    let cases = [
        (
            json!({"taskDefinition": "web:1"}),
            "Unable to update task definition on services with a CODE_DEPLOY deployment controller. Use AWS CodeDeploy to trigger a new deployment.",
        ),
        (
            json!({"networkConfiguration": network}),
            "Unable to update network parameters on services with a CODE_DEPLOY deployment controller. Use AWS CodeDeploy to trigger a new deployment.",
        ),
        (
            json!({"forceNewDeployment": true}),
            "Cannot force a new deployment on services with a CODE_DEPLOY deployment controller. Use AWS CodeDeploy to trigger a new deployment.",
        ),
    ];
    for (change, message) in cases {
        let error = fixture.try_update(change).unwrap_err();
        assert_eq!(
            (error.code.as_str(), error.message.as_str()),
            ("InvalidParameterException", message)
        );
    }
    assert_eq!(fixture.update(json!({"desiredCount": 3}))["desiredCount"], 3);
}

#[test]
fn external_services_take_neither_network_nor_task_definition() {
    let fixture = of("EXTERNAL");
    let error = fixture.try_ecs(
        "CreateService",
        json!({
            "cluster": "main", "serviceName": "other", "desiredCount": 1,
            "deploymentController": {"type": "EXTERNAL"},
            "networkConfiguration": {"awsvpcConfiguration": {"subnets": ["subnet-1"]}},
        }),
    );
    assert_eq!(error.unwrap_err().message, "NetworkConfiguration must be null.");
    assert!(fixture.try_update(json!({"taskDefinition": "web:1"})).is_err());
    assert!(
        fixture.try_update(json!({"deploymentConfiguration": {"maximumPercent": 150}})).is_err()
    );
    assert_eq!(
        fixture.update(json!({"healthCheckGracePeriodSeconds": 5}))["healthCheckGracePeriodSeconds"],
        5
    );
}

#[test]
fn a_code_deploy_service_runs_the_tasks_that_it_was_created_with_and_scales() {
    let mut fixture = of("CODE_DEPLOY");
    assert!(fixture.until(|service| service["runningCount"] == 1));
    fixture.update(json!({"desiredCount": 2}));
    assert!(fixture.until(|service| service["runningCount"] == 2));
}

fn move_to(fixture: &Fixture, controller: &str) -> Result<serde_json::Value, String> {
    let change = json!({"deploymentController": {"type": controller}});
    fixture.try_update(change).map_err(|error| error.to_string())
}

#[test]
fn an_external_service_moves_to_ecs_with_the_tasks_of_its_primary_task_set() {
    let mut fixture = of("EXTERNAL");
    assert!(move_to(&fixture, "ECS").unwrap_err().contains("no task set is PRIMARY"));
    let set = json!({
        "cluster": "main", "service": "web", "taskDefinition": "web", "launchType": "FARGATE",
        "networkConfiguration": {"awsvpcConfiguration": {"subnets": ["subnet-1"]}},
    });
    let old = fixture.ecs("CreateTaskSet", set.clone())["taskSet"]["id"].clone();
    let set = fixture.ecs("CreateTaskSet", set)["taskSet"]["id"].clone();
    let chosen = json!({"cluster": "main", "service": "web", "primaryTaskSet": set});
    fixture.ecs("UpdateServicePrimaryTaskSet", chosen);
    assert!(fixture.until(|service| service["runningCount"] == 2));
    let started_by = |fixture: &Fixture| {
        let tasks = fixture.tasks("RUNNING");
        tasks.iter().map(|task| task["startedBy"].clone()).collect::<Vec<_>>()
    };
    assert!(started_by(&fixture).contains(&old));

    move_to(&fixture, "ECS").unwrap();
    assert_eq!(fixture.primary()["id"], set);
    assert_eq!(fixture.primary()["rolloutState"], "COMPLETED");
    assert!(fixture.until(|service| service["deployments"].as_array().unwrap().len() == 1));
    assert_eq!(started_by(&fixture), [set]);
    let describe = json!({"cluster": "main", "service": "web"});
    assert!(fixture.try_ecs("DescribeTaskSets", describe).is_err());
}

#[test]
fn what_ecs_leaves_behind_is_an_active_task_set_that_is_still_shown_as_a_deployment() {
    let mut fixture = Fixture::running("web:1", 1, json!({}));
    let left = fixture.primary()["id"].clone();
    move_to(&fixture, "EXTERNAL").unwrap();
    assert_eq!(fixture.service()["taskSets"], json!([]));
    assert_eq!(fixture.deployments()[0]["id"], left);
    let named = json!({"cluster": "main", "service": "web"});
    let sets = fixture.ecs("DescribeTaskSets", named)["taskSets"].clone();
    assert_eq!((&sets[0]["id"], &sets[0]["status"]), (&left, &json!("ACTIVE")));
    let delete = json!({"cluster": "main", "service": "web", "taskSet": left, "force": true});
    fixture.ecs("DeleteTaskSet", delete);
    assert!(fixture.until(|service| service["deployments"] == json!([])));
    assert_eq!(fixture.tasks("RUNNING").len(), 0);
}

#[test]
fn a_service_leaves_ecs_without_what_only_ecs_has_and_never_for_code_deploy() {
    let guarded = json!({"deploymentConfiguration": breaker(true)});
    let fixture = Fixture::running("web:1", 1, guarded);
    assert!(move_to(&fixture, "EXTERNAL").unwrap_err().contains("circuit breaker"));
    assert!(move_to(&fixture, "CODE_DEPLOY").unwrap_err().contains("from ECS to CODE_DEPLOY"));
    let fixture = of("EXTERNAL");
    assert!(move_to(&fixture, "CODE_DEPLOY").is_err());
    let fixture = of("CODE_DEPLOY");
    move_to(&fixture, "EXTERNAL").unwrap();
    let named = json!({"cluster": "main", "service": "web"});
    assert_eq!(fixture.ecs("DescribeTaskSets", named)["taskSets"][0]["status"], "PRIMARY");
}
