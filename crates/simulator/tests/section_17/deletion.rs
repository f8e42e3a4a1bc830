//! Line 11: INACTIVE services are still described; DRAINING on delete.

use serde_json::json;

use super::fixture::{Fixture, MINUTE, seconds};

#[test]
fn a_deleted_service_drains_then_is_inactive_and_still_described_but_not_listed() {
    let mut fixture = Fixture::running("web:1", 2, json!({}));
    let refused = fixture.try_ecs("DeleteService", json!({"cluster": "main", "service": "web"}));
    assert_eq!(refused.unwrap_err().code, "InvalidParameterException");
    fixture.ecs("DeleteService", json!({"cluster": "main", "service": "web", "force": true}));
    assert_eq!(fixture.service()["status"], "DRAINING");
    let error = fixture.try_update(json!({"desiredCount": 1})).unwrap_err();
    assert_eq!(error.code, "ServiceNotActiveException");
    let create = json!({
        "cluster": "main", "serviceName": "web", "taskDefinition": "web", "desiredCount": 1,
        "launchType": "FARGATE",
        "networkConfiguration": {"awsvpcConfiguration": {"subnets": ["subnet-1"]}},
    });
    let error = fixture.try_ecs("CreateService", create.clone()).unwrap_err();
    assert_eq!(error.message, "Unable to Start a service that is still Draining.");
    assert!(fixture.until(|service| service["status"] == "INACTIVE"));
    let listed = fixture.ecs("ListServices", json!({"cluster": "main"}));
    assert_eq!(listed["serviceArns"], json!([]));
    assert_eq!(fixture.service()["runningCount"], 0);
    fixture.ecs("CreateService", create);
    assert_eq!(fixture.service()["status"], "ACTIVE");
    assert!(fixture.settle());
}

#[test]
fn a_service_that_never_was_is_missing_and_not_an_error() {
    let fixture = Fixture::new();
    let input = json!({"cluster": "main", "services": ["ghost"]});
    let reply = fixture.ecs("DescribeServices", input);
    assert_eq!(reply["services"], json!([]));
    assert_eq!(reply["failures"][0]["reason"], "MISSING");
    let error = fixture.try_ecs("DescribeServices", json!({"cluster": "no", "services": ["x"]}));
    assert_eq!(error.unwrap_err().code, "ClusterNotFoundException");
}

#[test]
fn an_inactive_service_is_forgotten_some_time_later() {
    let mut fixture = Fixture::running("web:1", 1, json!({}));
    fixture.ecs("DeleteService", json!({"cluster": "main", "service": "web", "force": true}));
    assert!(fixture.until(|service| service["status"] == "INACTIVE"));
    fixture.advance(61 * MINUTE + seconds(1));
    assert!(fixture.service().is_null());
}
