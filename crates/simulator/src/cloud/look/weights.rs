//! The weights of a rule, written as the AWS edge writes them; never over others than were seen.

use evenkeel_planner::Reweighing;
use evenkeel_reconciler::CloudError;
use serde_json::{Value, json};

use super::Caller;
use super::balancing::forwards;
use crate::Api;
use crate::region::{list, text};

impl Caller<'_> {
    /// Reads a rule once more, and tells what it is written with: other weights, if they are as they were seen.
    pub(super) async fn reweighed(
        &self,
        operation: &str,
        rule: &str,
        listener: Option<&String>,
        weights: &Reweighing,
    ) -> Result<Value, CloudError> {
        let api = Api::ElasticLoadBalancingV2;
        let reader = Caller { action: None, ..*self };
        let reply = reader.call(api, "DescribeRules", &json!({"RuleArns": [rule]})).await?;
        let actions = list(&reply, "Rules").first().map_or(&[][..], |rule| list(rule, "Actions"));
        if forwards(actions) != weights.seen {
            return Err(CloudError::Conflict {
                operation: operation.to_owned(),
                code: "WeightsChanged".to_owned(),
                message: format!("the weights of {rule} changed since they were seen"),
            });
        }
        let actions: Vec<Value> =
            actions.iter().map(|one| reweighed(one, &weights.wanted)).collect();
        Ok(match listener {
            Some(listener) => json!({"ListenerArn": listener, "DefaultActions": actions}),
            None => json!({"RuleArn": rule, "Actions": actions}),
        })
    }
}

/// A forward action with other weights, and any other as it is.
fn reweighed(action: &Value, weights: &[(String, u32)]) -> Value {
    let mut action = action.clone();
    if text(&action, "Type") == Some("forward")
        && let Some(members) = action.as_object_mut()
    {
        let groups: Value = weights
            .iter()
            .map(|(arn, weight)| json!({"TargetGroupArn": arn, "Weight": weight}))
            .collect();
        members.remove("TargetGroupArn");
        let config = members.entry("ForwardConfig").or_insert_with(|| json!({}));
        config["TargetGroups"] = groups;
    }
    action
}
