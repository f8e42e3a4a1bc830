//! The CodeDeploy application and deployment group of a service on a stage; never a deployment.

use std::time::Duration;

use serde_json::{Value, json};

use super::super::course::lock;
use super::Stage;
use crate::Api;

/// What holds for every deployment of a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupTerms {
    /// For how long one is READY before its traffic moves; it ends when nobody says go.
    pub waits: Option<Duration>,
    /// The alarm that ends it.
    pub watches: Option<String>,
}

impl Stage {
    /// Under the names that a manifest means when it gives none, in an application that may be there already.
    pub(super) fn make_deployment_group(
        &self,
        name: &str,
        front: &str,
        terms: &GroupTerms,
    ) -> Result<(), String> {
        let cluster = self.wish(name).map_or("main", super::Wish::cluster);
        let application = format!("AppECS-{cluster}-{name}");
        let made = json!({"applicationName": application, "computePlatform": "ECS"});
        match self.code_deploy("CreateApplication", &made) {
            Err(why) if !why.contains("ApplicationAlreadyExists") => return Err(why),
            _ => {}
        }
        let pair = json!({
            "targetGroups": [{"name": front}, {"name": format!("{front}-green")}],
            "prodTrafficRoute": {"listenerArns": [self.noted(&format!("{front}/listener"))?]},
            "testTrafficRoute": {"listenerArns": [self.noted(&format!("{front}/test-listener"))?]},
        });
        let ready = match terms.waits {
            Some(time) => json!({
                "actionOnTimeout": "STOP_DEPLOYMENT", "waitTimeInMinutes": time.as_secs() / 60,
            }),
            None => json!({"actionOnTimeout": "CONTINUE_DEPLOYMENT"}),
        };
        let alarms: Vec<Value> = terms.watches.iter().map(|name| json!({"name": name})).collect();
        let group = json!({
            "applicationName": application,
            "deploymentGroupName": format!("DgpECS-{cluster}-{name}"),
            "serviceRoleArn": "arn:aws:iam::123456789012:role/ecsCodeDeployRole",
            "deploymentConfigName": "CodeDeployDefault.ECSCanary10Percent5Minutes",
            "deploymentStyle": {
                "deploymentType": "BLUE_GREEN", "deploymentOption": "WITH_TRAFFIC_CONTROL",
            },
            "ecsServices": [{"clusterName": cluster, "serviceName": name}],
            "alarmConfiguration": {"enabled": !alarms.is_empty(), "alarms": alarms},
            "loadBalancerInfo": {"targetGroupPairInfoList": [pair]},
            "blueGreenDeploymentConfiguration": {
                "terminateBlueInstancesOnDeploymentSuccess": {
                    "action": "TERMINATE", "terminationWaitTimeInMinutes": 5,
                },
                "deploymentReadyOption": ready,
            },
        });
        self.code_deploy("CreateDeploymentGroup", &group)
    }

    fn noted(&self, name: &str) -> Result<&str, String> {
        let arn = self.groups.get(name).map(String::as_str);
        arn.ok_or_else(|| format!("there is no front with {name}"))
    }

    fn code_deploy(&self, operation: &str, input: &Value) -> Result<(), String> {
        let course = lock(&self.course);
        let reply = course.simulation.call(Api::CodeDeploy, operation, input);
        reply.map(|_| ()).map_err(|error| error.to_string())
    }
}
