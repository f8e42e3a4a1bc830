//! The CodeDeploy application, deployment group and configuration of the demo's service; never a deployment.

use evenkeel_simulator::{Api, ApiError};
use serde_json::{Value, json};

use super::manifest::{CLUSTER, SERVICE};
use crate::front::Front;
use crate::live_region::LiveRegion;

/// A canary as short as CodeDeploy counts.
const CONFIGURATION: &str = "Demo.Canary10Percent1Minute";

/// Under the names that a manifest means when it gives none.
pub(super) fn make_deployment_group(region: &LiveRegion, front: &Front) -> Result<(), ApiError> {
    let call =
        |operation: &str, input: &Value| region.call(Api::CodeDeploy, operation, input).map(|_| ());
    let application = format!("AppECS-{CLUSTER}-{SERVICE}");
    let named = json!({"applicationName": application, "computePlatform": "ECS"});
    call("CreateApplication", &named)?;
    let canary = json!({"canaryPercentage": 10, "canaryInterval": 1});
    let routing = json!({"type": "TimeBasedCanary", "timeBasedCanary": canary});
    let configuration = json!({
        "deploymentConfigName": CONFIGURATION, "computePlatform": "ECS", "trafficRoutingConfig": routing,
    });
    call("CreateDeploymentConfig", &configuration)?;
    call("CreateDeploymentGroup", &deployment_group(&application, front))
}

fn deployment_group(application: &str, front: &Front) -> Value {
    let groups = [&front.blue, &front.green].map(|arn| json!({"name": name_of(arn)}));
    let pair = json!({
        "targetGroups": groups,
        "prodTrafficRoute": {"listenerArns": [front.production_listener()]},
        "testTrafficRoute": {"listenerArns": [front.test_listener()]},
    });
    json!({
        "applicationName": application,
        "deploymentGroupName": format!("DgpECS-{CLUSTER}-{SERVICE}"),
        "serviceRoleArn": "arn:aws:iam::123456789012:role/ecsCodeDeployRole",
        "deploymentConfigName": CONFIGURATION,
        "deploymentStyle": {
            "deploymentType": "BLUE_GREEN", "deploymentOption": "WITH_TRAFFIC_CONTROL",
        },
        "ecsServices": [{"clusterName": CLUSTER, "serviceName": SERVICE}],
        "loadBalancerInfo": {"targetGroupPairInfoList": [pair]},
        "blueGreenDeploymentConfiguration": {
            "terminateBlueInstancesOnDeploymentSuccess": {
                "action": "TERMINATE", "terminationWaitTimeInMinutes": 1,
            },
            "deploymentReadyOption": {"actionOnTimeout": "CONTINUE_DEPLOYMENT"},
        },
    })
}

/// `targetgroup/NAME/ID` at the end of an ARN.
fn name_of(arn: &str) -> &str {
    arn.rsplit('/').nth(1).unwrap_or_default()
}
