//! One action as the AWS edge carries it out, with one call; never adds to, checks or repeats it.

use evenkeel_planner::{Action, Applied, Call};
use evenkeel_reconciler::CloudError;
use serde_json::{Value, json};

use super::Caller;
use crate::Api;

impl Caller<'_> {
    pub(in crate::cloud) async fn carry_out(&self, action: &Action) -> Result<Applied, CloudError> {
        let (api, input) = self.request(&action.call).await?;
        self.send(api, action, &input).await
    }

    /// The same, if that is still permitted when nothing is left but to send it; `None` when it is not.
    pub(in crate::cloud) async fn carry_out_if(
        &self,
        action: &Action,
        is_permitted: &(dyn Fn() -> bool + Send + Sync),
    ) -> Option<Result<Applied, CloudError>> {
        match self.request(&action.call).await {
            Err(error) => Some(Err(error)),
            Ok((api, input)) if is_permitted() => Some(self.send(api, action, &input).await),
            Ok(_) => None,
        }
    }

    async fn send(&self, api: Api, action: &Action, input: &Value) -> Result<Applied, CloudError> {
        let reply = self.call(api, action.call.operation(), input).await?;
        Ok(applied(&action.call, &reply))
    }

    /// What is sent, and to whom. A rule is read for that.
    async fn request(&self, call: &Call) -> Result<(Api, Value), CloudError> {
        let operation = call.operation();
        Ok(match call {
            Call::RegisterTaskDefinition { input }
            | Call::CreateService { input }
            | Call::UpdateService { input }
            | Call::CreateTaskSet { input }
            | Call::UpdateTaskSet { input }
            | Call::UpdateServicePrimaryTaskSet { input }
            | Call::DeleteService { input } => (Api::Ecs, input.clone()),
            Call::DeleteTaskSet { input, unused } => {
                if let Some(unused) = unused {
                    self.is_unused(operation, unused).await?;
                }
                (Api::Ecs, input.clone())
            }
            Call::ModifyRule { rule, weights } => {
                let input = self.reweighed(operation, rule, None, weights).await?;
                (Api::ElasticLoadBalancingV2, input)
            }
            Call::ModifyListener { listener, rule, weights } => {
                let input = self.reweighed(operation, rule, Some(listener), weights).await?;
                (Api::ElasticLoadBalancingV2, input)
            }
            Call::CreateDeployment { input } => (Api::CodeDeploy, input.clone()),
            Call::StopDeployment { id } => {
                let input = json!({"deploymentId": id, "autoRollbackEnabled": true});
                (Api::CodeDeploy, input)
            }
            Call::ContinueDeployment { id } => {
                let input = json!({"deploymentId": id, "deploymentWaitType": "READY_WAIT"});
                (Api::CodeDeploy, input)
            }
            Call::StopServiceDeployment { arn } => {
                (Api::Ecs, json!({"serviceDeploymentArn": arn, "stopType": "ROLLBACK"}))
            }
            Call::ContinueServiceDeployment { arn, hook, action } => {
                let input = json!({
                    "serviceDeploymentArn": arn, "hookId": hook, "action": action.word(),
                });
                (Api::Ecs, input)
            }
            Call::TagResource { arn, tags } => {
                let tags: Value =
                    tags.iter().map(|(key, value)| json!({"key": key, "value": value})).collect();
                (Api::Ecs, json!({"resourceArn": arn, "tags": tags}))
            }
            Call::UntagResource { arn, keys } => {
                (Api::Ecs, json!({"resourceArn": arn, "tagKeys": keys}))
            }
        })
    }
}

fn applied(call: &Call, reply: &Value) -> Applied {
    match call {
        Call::RegisterTaskDefinition { .. } => {
            let arn = reply.pointer("/taskDefinition/taskDefinitionArn").and_then(Value::as_str);
            Applied::TaskDefinition { arn: arn.unwrap_or_default().to_owned() }
        }
        Call::CreateService { .. } | Call::UpdateService { .. } => Applied::service(reply),
        _ => Applied::Done,
    }
}
