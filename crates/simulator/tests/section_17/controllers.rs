//! Line 6: Fields are rejected by presence for `CODE_DEPLOY` and `EXTERNAL` services.

use serde_json::json;

use super::fixture::Fixture;

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
