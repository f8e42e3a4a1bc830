//! What people, autoscalers and other tools do to services behind a daemon's back; never anything that
//! AWS's API does not offer them.

mod code_deploy;

use serde_json::{Value, json};

use super::course::Course;
use crate::region::list;
use crate::{Api, ApiError};

/// One act of somebody else on a service of the cluster.
#[derive(Clone, Debug, PartialEq)]
pub enum Edit {
    /// `UpdateService` with these members.
    Update(Value),
    /// A new revision with another image, rolled out.
    Deploy {
        image: String,
    },
    /// A new revision with another image, which CodeDeploy deploys.
    CodeDeploy {
        image: String,
    },
    /// CodeDeploy's deployment under way is stopped, and nothing is rolled back.
    StopCodeDeploy,
    /// A service of that name is created by hand, for CodeDeploy to deploy it behind a front.
    CreateForCodeDeploy {
        image: String,
        front: String,
    },
    /// The first task that is listed, or the one that was started last.
    StopTask {
        newest: bool,
    },
    Delete,
    Tag {
        key: String,
        value: String,
    },
    Untag {
        key: String,
    },
    /// The service deployment under way is stopped with `ROLLBACK`.
    RollBack,
    /// The task definition of the last completed deployment is deregistered.
    Deregister,
    /// A service of that name is created by hand, with one task of an image.
    Create {
        image: String,
    },
}

impl Edit {
    /// Who would do that.
    fn by(&self) -> &'static str {
        match self {
            Self::Update(members) if members.get("desiredCount").is_some() => "autoscaler",
            _ => "person",
        }
    }

    /// # Errors
    ///
    /// The region's, when it refuses.
    pub(crate) fn make(
        &self,
        course: &mut Course,
        cluster: &str,
        name: &str,
    ) -> Result<(), ApiError> {
        let by = self.by();
        let mut call = |operation: &str, input: Value| course.edit(by, Api::Ecs, operation, &input);
        match self {
            Self::Update(members) => {
                let mut input = json!({"cluster": cluster, "service": name});
                if let (Some(input), Some(members)) = (input.as_object_mut(), members.as_object()) {
                    input.extend(members.clone());
                }
                call("UpdateService", input)?;
            }
            Self::Deploy { image } => {
                let definition = call("RegisterTaskDefinition", content(name, image))?;
                let arn = definition.pointer("/taskDefinition/taskDefinitionArn");
                call(
                    "UpdateService",
                    json!({"cluster": cluster, "service": name, "taskDefinition": arn}),
                )?;
            }
            Self::CodeDeploy { image } => {
                code_deploy::Deployer { course, by, cluster, name }.deploy(image)?;
            }
            Self::StopCodeDeploy => code_deploy::Deployer { course, by, cluster, name }.stop()?,
            Self::CreateForCodeDeploy { image, front } => {
                code_deploy::Deployer { course, by, cluster, name }.create(image, front)?;
            }
            Self::StopTask { newest } => {
                let tasks = call("ListTasks", json!({"cluster": cluster, "serviceName": name}))?;
                if let Some(task) = chosen(list(&tasks, "taskArns"), *newest) {
                    let reason = "stopped by hand";
                    call("StopTask", json!({"cluster": cluster, "task": task, "reason": reason}))?;
                }
            }
            Self::Delete => {
                call("DeleteService", json!({"cluster": cluster, "service": name, "force": true}))?;
            }
            Self::Tag { key, value } => {
                let arn = arn(course, cluster, name);
                let tags = json!([{"key": key, "value": value}]);
                course.edit(
                    by,
                    Api::Ecs,
                    "TagResource",
                    &json!({"resourceArn": arn, "tags": tags}),
                )?;
            }
            Self::Untag { key } => {
                let input = json!({"resourceArn": arn(course, cluster, name), "tagKeys": [key]});
                course.edit(by, Api::Ecs, "UntagResource", &input)?;
            }
            Self::RollBack => {
                let facts = course.simulation.region().facts(cluster, name);
                let newest = facts.and_then(|facts| Some(facts.history.last()?.arn.clone()));
                let input = json!({"serviceDeploymentArn": newest, "stopType": "ROLLBACK"});
                course.edit(by, Api::Ecs, "StopServiceDeployment", &input)?;
            }
            Self::Deregister => {
                let facts = course.simulation.region().facts(cluster, name);
                let oldest =
                    facts.and_then(|facts| Some(facts.deployments.last()?.definition.clone()));
                let input = json!({"taskDefinition": oldest.as_deref()});
                course.edit(by, Api::Ecs, "DeregisterTaskDefinition", &input)?;
            }
            Self::Create { image } => {
                let definition = call("RegisterTaskDefinition", content(name, image))?;
                call("CreateService", one_task(cluster, name, &definition))?;
            }
        }
        Ok(())
    }
}

/// A service with one task of what was registered.
fn one_task(cluster: &str, name: &str, registered: &Value) -> Value {
    json!({
        "cluster": cluster, "serviceName": name, "desiredCount": 1, "launchType": "FARGATE",
        "taskDefinition": registered.pointer("/taskDefinition/taskDefinitionArn"),
        "networkConfiguration": {"awsvpcConfiguration": {"subnets": ["subnet-1"]}},
    })
}

fn arn(course: &Course, cluster: &str, name: &str) -> Option<String> {
    course.simulation.region().facts(cluster, name).map(|facts| facts.arn)
}

/// The first of the tasks, or the newest: the region numbers them in the last digits of their ids.
fn chosen(tasks: &[Value], newest: bool) -> Option<&Value> {
    let number = |arn: &&Value| {
        let arn = arn.as_str().unwrap_or_default();
        arn.get(arn.len().saturating_sub(16)..).unwrap_or_default().to_owned()
    };
    if newest { tasks.iter().max_by_key(number) } else { tasks.first() }
}

fn content(name: &str, image: &str) -> Value {
    json!({
        "family": name, "requiresCompatibilities": ["FARGATE"], "networkMode": "awsvpc",
        "cpu": "256", "memory": "512",
        "containerDefinitions": [{
            "name": "web", "image": image, "essential": true,
            "portMappings": [{"containerPort": 8080}],
        }],
    })
}
