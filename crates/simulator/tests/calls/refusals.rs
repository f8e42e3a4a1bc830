//! What is refused, with AWS's code and text.

use evenkeel_simulator::Api;
use serde_json::{Value, json};

use super::fixture::{Fixture, behind};

fn base() -> Value {
    json!({
        "cluster": "main", "serviceName": "web", "taskDefinition": "web", "desiredCount": 1,
        "launchType": "FARGATE",
        "networkConfiguration": {"awsvpcConfiguration": {"subnets": ["subnet-1"]}},
    })
}

#[test]
fn services_that_cannot_be() {
    let fixture = Fixture::new();
    fixture.register("web:1");
    let group = fixture.load_balancer();
    let mut other_container = behind(&group);
    other_container[0]["containerName"] = json!("nginx");
    let mut other_port = behind(&group);
    other_port[0]["containerPort"] = json!(81);
    let cases = [
        (
            "networkConfiguration",
            Value::Null,
            "Network Configuration must be provided when networkMode 'awsvpc' is specified.",
        ),
        (
            "loadBalancers",
            other_container,
            "The container nginx does not exist in the task definition.",
        ),
        (
            "loadBalancers",
            other_port,
            "The container web did not have a container port 81 defined.",
        ),
        ("taskDefinition", json!("ghost"), "TaskDefinition not found."),
        ("desiredCount", Value::Null, "DesiredCount cannot be null or negative."),
        (
            "deploymentConfiguration",
            json!({"maximumPercent": 100}),
            "Both maximumPercent and minimumHealthyPercent cannot be 100 as this will block deployments.",
        ),
        (
            "capacityProviderStrategy",
            json!([{"capacityProvider": "FARGATE_SPOT"}]),
            "Specifying both a launch type and capacity provider strategy is not supported. Remove one and try again.",
        ),
    ];
    for (member, value, message) in cases {
        let mut input = base();
        input[member] = value;
        let error = fixture.try_ecs("CreateService", input).unwrap_err();
        assert_eq!(error.message, message, "{member}");
    }
    assert!(fixture.try_ecs("CreateService", base()).is_ok(), "nothing was left behind");
}

#[test]
fn an_inactive_task_definition_serves_those_that_have_it_and_nobody_else() {
    let mut fixture = Fixture::running("web:1", 1, json!({}));
    fixture.ecs("DeregisterTaskDefinition", json!({"taskDefinition": "web:1"}));
    fixture.update(json!({"desiredCount": 2}));
    assert!(fixture.until(|service| service["runningCount"] == 2));
    let error = fixture.try_update(json!({"taskDefinition": "web:1"})).unwrap_err();
    assert_eq!(error.to_string(), "ClientException: TaskDefinition is inactive");
}

#[test]
fn task_definitions_that_cannot_be() {
    let fixture = Fixture::new();
    let container = json!({"name": "a", "image": "a", "memory": 64});
    let cases = [
        (json!({"family": "f"}), "Container list cannot be empty."),
        (
            json!({"family": "f g", "containerDefinitions": [container]}),
            "Family contains invalid characters.",
        ),
        (
            json!({"family": "f", "containerDefinitions": [{"name": "a", "image": "a"}]}),
            "Invalid setting for container 'a'. At least one of 'memory' or 'memoryReservation' must be specified.",
        ),
        (
            json!({"family": "f", "requiresCompatibilities": ["FARGATE"], "containerDefinitions": [container]}),
            "Fargate requires that 'cpu' be defined at the task level.",
        ),
    ];
    for (input, message) in cases {
        let error = fixture.try_ecs("RegisterTaskDefinition", input).unwrap_err();
        assert_eq!((error.code.as_str(), error.message.as_str()), ("ClientException", message));
    }
}

#[test]
fn unknown_operations_have_each_service_s_own_code_and_unknown_members_are_ignored() {
    let fixture = Fixture::new();
    let code = |api| fixture.simulation.call(api, "Nonsense", &json!({})).unwrap_err().code;
    assert_eq!(code(Api::Ecs), "UnknownOperationException");
    assert_eq!(code(Api::ElasticLoadBalancingV2), "InvalidAction");
    assert_eq!(code(Api::CloudWatch), "InvalidAction");
    fixture.ecs("DescribeClusters", json!({"clusters": ["main"], "nonsense": 1}));
}

#[test]
fn a_cluster_with_services_is_not_deleted() {
    let mut fixture = Fixture::running("web:1", 1, json!({}));
    let delete = json!({"cluster": "main"});
    let error = fixture.try_ecs("DeleteCluster", delete.clone()).unwrap_err();
    assert_eq!(error.code, "ClusterContainsServicesException");
    fixture.ecs("DeleteService", json!({"cluster": "main", "service": "web", "force": true}));
    assert!(fixture.until(|service| service["status"] == "INACTIVE"));
    assert_eq!(fixture.ecs("DeleteCluster", delete)["cluster"]["status"], "INACTIVE");
    let error = fixture.try_ecs("ListServices", json!({"cluster": "main"})).unwrap_err();
    assert_eq!(error.code, "ClusterNotFoundException");
}

#[test]
fn the_caller_is_the_account() {
    let fixture = Fixture::new();
    let reply = fixture.simulation.call(Api::Sts, "GetCallerIdentity", &json!({})).unwrap();
    assert_eq!(reply["Account"], "123456789012");
}

#[test]
fn strategies_and_steps_that_ecs_does_not_have_are_refused() {
    let fixture = Fixture::new();
    fixture.register("web:1");
    let refused = |configuration: Value| {
        let mut input = base();
        input["deploymentConfiguration"] = configuration;
        fixture.try_ecs("CreateService", input).unwrap_err().message
    };
    assert!(refused(json!({"strategy": "RAINBOW"})).contains("RAINBOW"));
    let linear = json!({"strategy": "LINEAR", "linearConfiguration": {"stepPercent": 2.0}});
    assert!(refused(linear).contains("stepPercent must be between 3 and 100.0"));
    let pause = json!({"targetType": "PAUSE", "lifecycleStages": ["BAKE_TIME"]});
    let hooks = refused(json!({"strategy": "BLUE_GREEN", "lifecycleHooks": [pause]}));
    assert!(hooks.contains("Invalid lifecycle stage provided for Pause Hook"), "{hooks}");
}
