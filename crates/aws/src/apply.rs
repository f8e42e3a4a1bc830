//! Carries out one action with one call; never adds to, checks or repeats it.

use evenkeel_planner::{Action, Applied, Call};
use evenkeel_reconciler::CloudError;
use serde_json::{Value, json};

use crate::caller::Caller;
use crate::operation::Operation;
use crate::reply::{elements, text};
use crate::secrets;

pub(crate) async fn apply(caller: &Caller, action: &Action) -> Result<Applied, CloudError> {
    let (operation, input) = request(&action.call);
    let reply = caller.ecs(operation, action.lane, &input).await;
    let reply = reply.map_err(|error| secrets::redact(error, &input))?;
    applied(operation, &reply)
}

fn request(call: &Call) -> (Operation, Value) {
    match call {
        Call::RegisterTaskDefinition { input } => {
            (Operation::RegisterTaskDefinition, input.clone())
        }
        Call::CreateService { input } => (Operation::CreateService, input.clone()),
        Call::UpdateService { input } => (Operation::UpdateService, input.clone()),
        Call::StopServiceDeployment { arn } => {
            let input = json!({ "serviceDeploymentArn": arn, "stopType": "ROLLBACK" });
            (Operation::StopServiceDeployment, input)
        }
        Call::TagResource { arn, tags } => {
            let tags = tags.iter().map(|(key, value)| json!({ "key": key, "value": value }));
            let tags: Vec<Value> = tags.collect();
            (Operation::TagResource, json!({ "resourceArn": arn, "tags": tags }))
        }
        Call::UntagResource { arn, keys } => {
            (Operation::UntagResource, json!({ "resourceArn": arn, "tagKeys": keys }))
        }
    }
}

fn applied(operation: Operation, reply: &Value) -> Result<Applied, CloudError> {
    match operation {
        Operation::RegisterTaskDefinition => registered(reply),
        Operation::CreateService | Operation::UpdateService => {
            Ok(Applied::Service { deployment: primary_deployment(reply) })
        }
        _ => Ok(Applied::Done),
    }
}

fn registered(reply: &Value) -> Result<Applied, CloudError> {
    let arn = reply.pointer("/taskDefinition/taskDefinitionArn").and_then(Value::as_str);
    match arn {
        Some(arn) => Ok(Applied::TaskDefinition { arn: arn.to_owned() }),
        None => Err(CloudError::UnknownOutcome {
            operation: Operation::RegisterTaskDefinition.name().to_owned(),
            message: "the reply names no revision".to_owned(),
        }),
    }
}

fn primary_deployment(reply: &Value) -> Option<String> {
    let service = reply.get("service")?;
    let mut deployments = elements(service, "deployments");
    let primary = deployments.find(|deployment| text(deployment, "status") == "PRIMARY")?;
    primary.get("id").and_then(Value::as_str).map(str::to_owned)
}
