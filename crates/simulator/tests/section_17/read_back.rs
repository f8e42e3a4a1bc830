//! Line 9: Read-back defaults and shuffled orders.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::fixture::Fixture;

#[test]
fn a_container_comes_back_with_the_defaults_that_ecs_fills_in() {
    let fixture = Fixture::new();
    fixture.register_with(
        "web:1",
        json!({
            "healthCheck": {"command": ["CMD-SHELL", "true"]}, "linuxParameters": {},
        }),
    );
    let reply = fixture.ecs("DescribeTaskDefinition", json!({"taskDefinition": "web"}));
    let container = &reply["taskDefinition"]["containerDefinitions"][0];
    assert_eq!((&container["cpu"], &container["essential"]), (&json!(0), &json!(true)));
    for member in ["environment", "mountPoints", "volumesFrom", "systemControls"] {
        assert_eq!(container[member], json!([]), "{member}");
    }
    let port = json!([{"containerPort": 8080, "hostPort": 8080, "protocol": "tcp"}]);
    assert_eq!(container["portMappings"], port);
    let check =
        json!({"command": ["CMD-SHELL", "true"], "interval": 30, "timeout": 5, "retries": 3});
    assert_eq!(container["healthCheck"], check);
    assert_eq!(container["linuxParameters"], json!({"tmpfs": [], "devices": []}));
    assert!(reply.get("tags").is_none());
    assert_eq!(reply["taskDefinition"]["volumes"], json!([]));
}

#[test]
fn a_variable_without_a_value_does_not_come_back_and_an_empty_one_does() {
    let fixture = Fixture::new();
    let environment =
        json!([{"name": "A"}, {"name": "B", "value": null}, {"name": "C", "value": ""}]);
    fixture.register_with("web:1", json!({"environment": environment}));
    let reply = fixture.ecs("DescribeTaskDefinition", json!({"taskDefinition": "web"}));
    let container = &reply["taskDefinition"]["containerDefinitions"][0];
    assert_eq!(container["environment"], json!([{"name": "C", "value": ""}]));
}

#[test]
fn sizes_are_converted_to_units_and_mebibytes() {
    let fixture = Fixture::new();
    let reply = fixture.ecs(
        "RegisterTaskDefinition",
        json!({
            "family": "big", "cpu": "1 vCPU", "memory": "2GB",
            "containerDefinitions": [{"name": "a", "image": "a"}],
        }),
    );
    let definition = &reply["taskDefinition"];
    assert_eq!((&definition["cpu"], &definition["memory"]), (&json!("1024"), &json!("2048")));
    let reply = fixture.ecs(
        "RegisterTaskDefinition",
        json!({
            "family": "small", "cpu": ".25 vCPU", "memory": "0.5 GB",
            "containerDefinitions": [{"name": "a", "image": "a"}],
        }),
    );
    let definition = &reply["taskDefinition"];
    assert_eq!((&definition["cpu"], &definition["memory"]), (&json!("256"), &json!("512")));
}

#[test]
fn containers_and_environment_come_back_in_another_order_and_complete() {
    let fixture = Fixture::new();
    let names: Vec<String> = (0..8).map(|index| format!("c{index}")).collect();
    let environment: Vec<Value> =
        names.iter().map(|name| json!({"name": name, "value": "1"})).collect();
    let containers: Vec<Value> = names
        .iter()
        .map(|name| json!({"name": name, "image": "a", "memory": 64, "environment": environment}))
        .collect();
    let input = json!({"family": "many", "containerDefinitions": containers});
    let reply = fixture.ecs("RegisterTaskDefinition", input);
    let back = reply["taskDefinition"]["containerDefinitions"].as_array().unwrap();
    let order: Vec<&str> = back.iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_ne!(order, names);
    assert_eq!(order.into_iter().collect::<BTreeSet<_>>().len(), 8);
    assert!(back.iter().any(|one| one["environment"] != json!(environment)));
}

#[test]
fn a_service_comes_back_with_the_defaults_that_ecs_fills_in() {
    let fixture = Fixture::new();
    let arn = fixture.register("web:1");
    let service = fixture.create(1, json!({}));
    assert_eq!(service["taskDefinition"], arn);
    let expected = json!({
        "maximumPercent": 200, "minimumHealthyPercent": 100, "strategy": "ROLLING",
        "bakeTimeInMinutes": 0,
        "deploymentCircuitBreaker": {
            "enable": false, "rollback": false, "resetOnHealthyTask": true,
            "thresholdConfiguration": {"type": "BOUNDED_PERCENT", "value": 50},
        },
    });
    assert_eq!(service["deploymentConfiguration"], expected);
    let cases = [
        ("schedulingStrategy", json!("REPLICA")),
        ("deploymentController", json!({"type": "ECS"})),
        ("healthCheckGracePeriodSeconds", json!(0)),
        ("enableECSManagedTags", json!(false)),
        ("enableExecuteCommand", json!(false)),
        ("propagateTags", json!("NONE")),
        ("placementConstraints", json!([])),
        ("loadBalancers", json!([])),
        ("availabilityZoneRebalancing", json!("ENABLED")),
        ("platformVersion", json!("LATEST")),
    ];
    for (member, value) in cases {
        assert_eq!(service[member], value, "{member}");
    }
    let vpc = &service["networkConfiguration"]["awsvpcConfiguration"];
    assert_eq!(
        *vpc,
        json!({"subnets": ["subnet-1"], "securityGroups": [], "assignPublicIp": "DISABLED"})
    );
    assert_eq!(service["deployments"][0]["platformVersion"], "1.4.0");
}

#[test]
fn service_connect_is_read_back_from_the_deployment_and_the_revision_only() {
    let fixture = Fixture::new();
    fixture.register("web:1");
    let connect = json!({"enabled": true, "namespace": "internal"});
    let service = fixture.create(1, json!({"serviceConnectConfiguration": connect}));
    assert!(service.get("serviceConnectConfiguration").is_none());
    assert_eq!(service["deployments"][0]["serviceConnectConfiguration"], connect);
    let number = service["deployments"][0]["id"].as_str().unwrap().replace("ecs-svc/", "");
    let arn = format!("arn:aws:ecs:us-east-1:123456789012:service-revision/main/web/{number}");
    let reply = fixture.ecs("DescribeServiceRevisions", json!({"serviceRevisionArns": [arn]}));
    let revision = &reply["serviceRevisions"][0];
    assert_eq!(revision["serviceConnectConfiguration"], connect);
    for member in ["desiredCount", "tags", "deploymentConfiguration"] {
        assert!(revision.get(member).is_none(), "{member}");
    }
}

#[test]
fn deployment_configuration_merges_member_by_member_and_empty_lists_remove() {
    let mut fixture = Fixture::running(
        "web:1",
        1,
        json!({
            "placementConstraints": [{"type": "distinctInstance"}],
            "deploymentConfiguration": {"deploymentCircuitBreaker": {"enable": true, "rollback": true}},
        }),
    );
    let before = fixture.primary()["id"].clone();
    let service = fixture.update(json!({
        "placementConstraints": [],
        "deploymentConfiguration": {"maximumPercent": 150, "deploymentCircuitBreaker": {"rollback": false}},
    }));
    let configuration = &service["deploymentConfiguration"];
    assert_eq!(
        (&configuration["maximumPercent"], &configuration["minimumHealthyPercent"]),
        (&json!(150), &json!(100))
    );
    assert_eq!(configuration["deploymentCircuitBreaker"]["enable"], true);
    assert_eq!(configuration["deploymentCircuitBreaker"]["rollback"], false);
    assert_eq!(service["placementConstraints"], json!([]));
    assert_eq!(service["deployments"][0]["id"], before);
    fixture.advance(super::fixture::MINUTE);
    assert_eq!(fixture.deployments().len(), 1);
}

#[test]
fn register_always_makes_a_new_revision_and_numbers_are_never_used_again() {
    let fixture = Fixture::new();
    assert!(fixture.register("web:1").ends_with("web:1"));
    assert!(fixture.register("web:1").ends_with("web:2"));
    fixture.ecs("DeregisterTaskDefinition", json!({"taskDefinition": "web:2"}));
    let input = json!({"taskDefinitions": ["web:1", "web:2"]});
    let reply = fixture.ecs("DeleteTaskDefinitions", input);
    assert_eq!(reply["taskDefinitions"][0]["status"], "DELETE_IN_PROGRESS");
    assert_eq!(reply["failures"].as_array().unwrap().len(), 1);
    assert!(fixture.register("web:1").ends_with("web:3"));
    let error = fixture.try_ecs("DescribeTaskDefinition", json!({"taskDefinition": "nope"}));
    assert_eq!(
        error.unwrap_err().to_string(),
        "ClientException: Unable to describe task definition."
    );
}

#[test]
fn creation_is_idempotent_with_the_same_token_and_parameters_only() {
    let fixture = Fixture::new();
    fixture.register("web:1");
    let first = fixture.create(1, json!({"clientToken": "t-1"}));
    let again = fixture.create(1, json!({"clientToken": "t-1"}));
    assert_eq!(first["deployments"][0]["id"], again["deployments"][0]["id"]);
    let other = json!({
        "cluster": "main", "serviceName": "web", "taskDefinition": "web", "desiredCount": 9,
        "launchType": "FARGATE",
        "networkConfiguration": {"awsvpcConfiguration": {"subnets": ["subnet-1"]}},
    });
    let error = fixture.try_ecs("CreateService", other).unwrap_err();
    assert_eq!(
        error.to_string(),
        "InvalidParameterException: Creation of service was not idempotent."
    );
}
