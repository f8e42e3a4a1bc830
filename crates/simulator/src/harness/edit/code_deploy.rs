//! What people do who deploy a service by CodeDeploy; never anything that AWS's API does not offer them.

use serde_json::{Value, json};

use super::super::course::Course;
use super::{content, one_task};
use crate::region::{count, list, text};
use crate::{Api, ApiError};

/// Who does it, to which service.
pub(super) struct Deployer<'a> {
    pub(super) course: &'a mut Course,
    pub(super) by: &'static str,
    pub(super) cluster: &'a str,
    pub(super) name: &'a str,
}

impl Deployer<'_> {
    /// A new revision with another image, deployed by the group that the service belongs to.
    pub(super) fn deploy(&mut self, image: &str) -> Result<(), ApiError> {
        let registered = self.register(image)?;
        let group = self.course.simulation.region().deployment_group_of(self.cluster, self.name);
        let (application, group) = group.unzip();
        let service = json!({"Type": "AWS::ECS::Service", "Properties": {
            "TaskDefinition": registered.pointer("/taskDefinition/taskDefinitionArn"),
            "LoadBalancerInfo": {"ContainerName": "web", "ContainerPort": 8080},
        }});
        let resources = json!([{"TargetService": service}]);
        let content = json!({"version": 0.0, "Resources": resources}).to_string();
        let input = json!({
            "applicationName": application,
            "deploymentGroupName": group,
            "revision": {
                "revisionType": "AppSpecContent", "appSpecContent": {"content": content},
            },
        });
        self.call(Api::CodeDeploy, "CreateDeployment", &input).map(drop)
    }

    /// What is under way is stopped where it is: both task sets stay, and the traffic between them.
    pub(super) fn stop(&mut self) -> Result<(), ApiError> {
        let group = self.course.simulation.region().deployment_group_of(self.cluster, self.name);
        let (application, group) = group.unzip();
        let input = json!({
            "applicationName": application, "deploymentGroupName": group,
            "includeOnlyStatuses": ["Created", "Queued", "InProgress", "Ready", "Baking"],
        });
        let reply = self.call(Api::CodeDeploy, "ListDeployments", &input)?;
        let input = json!({
            "deploymentId": list(&reply, "deployments").first(), "autoRollbackEnabled": false,
        });
        self.call(Api::CodeDeploy, "StopDeployment", &input).map(drop)
    }

    /// A service behind a front, with an application and a group of its name; traffic moves at once, and
    /// what it leaves is deleted five minutes later.
    pub(super) fn create(&mut self, image: &str, front: &str) -> Result<(), ApiError> {
        let registered = self.register(image)?;
        let groups = json!({"Names": [front]});
        let blue = self.arn("DescribeTargetGroups", &groups, "/TargetGroups/0/TargetGroupArn")?;
        let mut service = one_task(self.cluster, self.name, &registered);
        if let Some(members) = service.as_object_mut() {
            let controller = json!({"type": "CODE_DEPLOY"});
            members.insert("deploymentController".to_owned(), controller);
            let behind = json!([{
                "targetGroupArn": blue, "containerName": "web", "containerPort": 8080,
            }]);
            members.insert("loadBalancers".to_owned(), behind);
        }
        self.call(Api::Ecs, "CreateService", &service)?;
        let application = json!({"applicationName": self.name, "computePlatform": "ECS"});
        self.call(Api::CodeDeploy, "CreateApplication", &application)?;
        let group = self.group(front)?;
        self.call(Api::CodeDeploy, "CreateDeploymentGroup", &group).map(drop)
    }

    fn group(&mut self, front: &str) -> Result<Value, ApiError> {
        let balancers = json!({"Names": [format!("{front}-front")]});
        let arn = "/LoadBalancers/0/LoadBalancerArn";
        let balancer = self.arn("DescribeLoadBalancers", &balancers, arn)?;
        let of = json!({"LoadBalancerArn": balancer});
        let reply = self.call(Api::ElasticLoadBalancingV2, "DescribeListeners", &of)?;
        let on = |port: u32| {
            let mut listeners = list(&reply, "Listeners").iter();
            let found = listeners.find(|one| count(one, "Port") == Some(port))?;
            text(found, "ListenerArn")
        };
        Ok(json!({
            "applicationName": self.name,
            "deploymentGroupName": self.name,
            "serviceRoleArn": "arn:aws:iam::123456789012:role/code-deploy",
            "ecsServices": [{"serviceName": self.name, "clusterName": self.cluster}],
            "deploymentStyle": {
                "deploymentType": "BLUE_GREEN", "deploymentOption": "WITH_TRAFFIC_CONTROL",
            },
            "loadBalancerInfo": {"targetGroupPairInfoList": [{
                "targetGroups": [{"name": front}, {"name": format!("{front}-green")}],
                "prodTrafficRoute": {"listenerArns": [on(80)]},
                "testTrafficRoute": {"listenerArns": [on(8080)]},
            }]},
            "blueGreenDeploymentConfiguration": {
                "terminateBlueInstancesOnDeploymentSuccess": {
                    "action": "TERMINATE", "terminationWaitTimeInMinutes": 5,
                },
                "deploymentReadyOption": {"actionOnTimeout": "CONTINUE_DEPLOYMENT"},
            },
        }))
    }

    fn register(&mut self, image: &str) -> Result<Value, ApiError> {
        let content = content(self.name, image);
        self.call(Api::Ecs, "RegisterTaskDefinition", &content)
    }

    fn arn(&mut self, operation: &str, input: &Value, at: &str) -> Result<Value, ApiError> {
        let reply = self.call(Api::ElasticLoadBalancingV2, operation, input)?;
        Ok(reply.pointer(at).cloned().unwrap_or_default())
    }

    fn call(&mut self, api: Api, operation: &str, input: &Value) -> Result<Value, ApiError> {
        self.course.edit(self.by, api, operation, input)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::Edit;
    use crate::harness::{Setup, Stage, Step};

    #[test]
    fn a_service_made_for_code_deploy_is_deployed_by_it() {
        let minutes = |number| Step::Advance(Duration::from_mins(number));
        let edit = |edit| Step::Edit("web".to_owned(), edit);
        let (image, front) = ("web:1".to_owned(), "shop".to_owned());
        let steps = [
            Step::Front("shop".to_owned(), 30),
            edit(Edit::CreateForCodeDeploy { image, front }),
            minutes(5),
            edit(Edit::CodeDeploy { image: "web:2".to_owned() }),
            minutes(15),
        ];
        let (played, runs) = Stage::play(Setup::new(1), async |stage| {
            for step in steps {
                stage.perform(&step).await.expect("each step can be played");
            }
            let facts = stage.look(|course| course.simulation.region().facts("main", "web"));
            let deployments = facts.expect("it is there").deployments;
            deployments.into_iter().map(|one| one.definition.to_string()).collect::<Vec<_>>()
        });
        assert!(played.violation.is_none(), "{:?}", played.violation);
        let runs = runs.expect("the script ended");
        assert!(runs.len() == 1 && runs[0].ends_with("task-definition/web:2"), "{runs:?}");
    }
}
