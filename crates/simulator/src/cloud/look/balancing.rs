//! The listener rules and target groups that a rollout is to move traffic with, asked as the AWS edge asks; never
//! says whether they will do.

use std::collections::BTreeSet;

use evenkeel_planner::{BalancingQuestion, ListenerRule, LoadBalancing, TargetGroup};
use evenkeel_reconciler::CloudError;
use serde_json::{Value, json};

use super::Caller;
use crate::Api;
use crate::region::{count, flag, list, text};

impl Caller<'_> {
    /// As the region had it when the answer was at most as old as it may be.
    pub(super) async fn load_balancing(
        &self,
        question: &BalancingQuestion,
    ) -> Result<LoadBalancing, CloudError> {
        let recent = self.cloud.memory().balancing(question, self.now());
        if let Some(recent) = recent {
            return Ok(recent);
        }
        let rules = self.balancing_part(("DescribeRules", "RuleArns", "Rules"), &question.rules);
        let mut rules: Vec<ListenerRule> = rules.await?.iter().map(rule).collect();
        let named = ("DescribeListeners", "ListenerArns", "Listeners");
        let listeners = self.balancing_part(named, &question.listeners).await?;
        rules.extend(listeners.iter().map(listener));
        let named = ("DescribeTargetGroups", "TargetGroupArns", "TargetGroups");
        let groups = self.balancing_part(named, &question.target_groups).await?;
        let target_groups = groups.iter().map(target_group).collect();
        let answer = LoadBalancing { rules, target_groups };
        self.cloud.memory().remember_balancing(question, &answer, self.now());
        Ok(answer)
    }

    /// Those that exist. One that does not makes the region refuse the whole question, so then each is asked for
    /// alone.
    async fn balancing_part(
        &self,
        (operation, by, member): (&str, &str, &str),
        arns: &BTreeSet<String>,
    ) -> Result<Vec<Value>, CloudError> {
        if arns.is_empty() {
            return Ok(Vec::new());
        }
        let ask = async |arns: &[&String]| {
            let reply = self.call(Api::ElasticLoadBalancingV2, operation, &json!({by: arns})).await;
            reply.map(|reply| list(&reply, member).to_vec())
        };
        let arns: Vec<&String> = arns.iter().collect();
        match ask(&arns).await {
            Err(error) if is_missing(&error) => {}
            reply => return reply,
        }
        let mut all = Vec::new();
        for arn in arns.iter().filter(|_| arns.len() > 1) {
            match ask(&[arn]).await {
                Err(error) if is_missing(&error) => {}
                reply => all.extend(reply?),
            }
        }
        Ok(all)
    }
}

fn is_missing(error: &CloudError) -> bool {
    let CloudError::Conflict { code, .. } = error else { return false };
    ["RuleNotFound", "ListenerNotFound", "TargetGroupNotFound"].contains(&code.as_str())
}

fn rule(rule: &Value) -> ListenerRule {
    ListenerRule {
        arn: text(rule, "RuleArn").unwrap_or_default().to_owned(),
        forwards: forwards(list(rule, "Actions")),
        other_actions: other_actions(list(rule, "Actions")),
        is_default: flag(rule, "IsDefault") == Some(true),
    }
}

/// A listener with its default actions, as the rule that it is.
fn listener(listener: &Value) -> ListenerRule {
    let actions = list(listener, "DefaultActions");
    ListenerRule {
        arn: text(listener, "ListenerArn").unwrap_or_default().to_owned(),
        forwards: forwards(actions),
        other_actions: other_actions(actions),
        is_default: true,
    }
}

fn other_actions(actions: &[Value]) -> Vec<String> {
    let kinds = actions.iter().filter_map(|action| text(action, "Type"));
    kinds.filter(|kind| *kind != "forward").map(str::to_owned).collect()
}

/// Target groups with their weights.
pub(super) fn forwards(actions: &[Value]) -> Vec<(String, u32)> {
    let forwards = actions.iter().filter_map(|action| action.get("ForwardConfig"));
    let groups = forwards.flat_map(|config| list(config, "TargetGroups"));
    let weighted = |group: &Value| {
        let arn = text(group, "TargetGroupArn")?.to_owned();
        Some((arn, count(group, "Weight").unwrap_or(1)))
    };
    groups.filter_map(weighted).collect()
}

fn target_group(group: &Value) -> TargetGroup {
    let word = |name| text(group, name).map(str::to_owned);
    TargetGroup {
        arn: word("TargetGroupArn").unwrap_or_default(),
        target_type: word("TargetType"),
        protocol: word("Protocol"),
        vpc: word("VpcId"),
    }
}
