//! The weights of a rule, written and asked for as the AWS edge does; never written over others than were seen.

use evenkeel_planner::{Reweighing, Unused};
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
        let actions = self.actions_of(rule).await?;
        if forwards(&actions) != weights.seen {
            return Err(changed(operation, rule));
        }
        let actions: Vec<Value> =
            actions.iter().map(|one| reweighed(one, &weights.wanted)).collect();
        Ok(match listener {
            Some(listener) => json!({"ListenerArn": listener, "DefaultActions": actions}),
            None => json!({"RuleArn": rule, "Actions": actions}),
        })
    }

    /// Reads a rule once more, and fails where it gives the group something.
    pub(super) async fn is_unused(
        &self,
        operation: &str,
        unused: &Unused,
    ) -> Result<(), CloudError> {
        let actions = self.actions_of(&unused.rule).await?;
        let gets = |(group, weight): &(String, u32)| *group == unused.group && *weight > 0;
        let is_used = forwards(&actions).iter().any(gets);
        if is_used { Err(changed(operation, &unused.rule)) } else { Ok(()) }
    }

    async fn actions_of(&self, rule: &str) -> Result<Vec<Value>, CloudError> {
        let api = Api::ElasticLoadBalancingV2;
        let reader = Caller { action: None, ..*self };
        let reply = reader.call(api, "DescribeRules", &json!({"RuleArns": [rule]})).await?;
        Ok(list(&reply, "Rules").first().map_or(&[][..], |rule| list(rule, "Actions")).to_vec())
    }
}

fn changed(operation: &str, rule: &str) -> CloudError {
    CloudError::Conflict {
        operation: operation.to_owned(),
        code: "WeightsChanged".to_owned(),
        message: format!("the weights of {rule} changed since they were seen"),
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
