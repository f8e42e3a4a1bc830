//! Load balancing: what exists and which of it is in use; never carries traffic.

mod listeners;
mod load_balancers;
mod rules;
mod target_groups;
mod targets;
mod view;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::region::{ApiError, Kept, State, Tags, count, list, text};

pub(crate) use listeners::Listener;
pub(crate) use load_balancers::LoadBalancer;
pub(crate) use rules::Rule;
pub(crate) use target_groups::TargetGroup;
pub(crate) use targets::TargetState;
pub use view::{ListenerView, RuleCondition, RuleView, TargetGroupView};

/// All by ARN.
#[derive(Clone, Debug, Default)]
pub(crate) struct Elb {
    pub(crate) load_balancers: BTreeMap<String, LoadBalancer>,
    pub(crate) target_groups: Kept<String, TargetGroup>,
    pub(crate) listeners: Kept<String, Listener>,
    /// Default rules included.
    pub(crate) rules: Kept<String, Rule>,
    pub(crate) tags: BTreeMap<String, Tags>,
    /// Target groups whose targets changed since the world last looked.
    pub(crate) changed: BTreeSet<String>,
}

impl Elb {
    /// Whether a listener or rule forwards to the group, be it with weight 0.
    pub(crate) fn in_use(&self, target_group: &str) -> bool {
        self.rules.values().any(|rule| rule.forwards().any(|(arn, _)| arn == target_group))
    }

    /// The load balancer that the group belongs to.
    pub(crate) fn load_balancer_of(&self, target_group: &str) -> Option<&str> {
        let rule =
            self.rules.values().find(|rule| rule.forwards().any(|(arn, _)| arn == target_group))?;
        self.listeners.get(&rule.listener).map(|listener| listener.load_balancer.as_str())
    }
}

impl State {
    /// Answers an ELBv2 call; `None` when there is no such operation.
    pub(crate) fn elb_call(
        &mut self,
        operation: &str,
        input: &Value,
    ) -> Option<Result<Value, ApiError>> {
        Some(match operation {
            "CreateLoadBalancer" => self.create_load_balancer(input),
            "DescribeLoadBalancers" => self.describe_load_balancers(input),
            "DeleteLoadBalancer" => self.delete_load_balancer(input),
            "DescribeLoadBalancerAttributes" => self.describe_load_balancer_attributes(input),
            "ModifyLoadBalancerAttributes" => self.modify_load_balancer_attributes(input),
            "CreateTargetGroup" => self.create_target_group(input),
            "ModifyTargetGroup" => self.modify_target_group(input),
            "DescribeTargetGroups" => self.describe_target_groups(input),
            "DeleteTargetGroup" => self.delete_target_group(input),
            "DescribeTargetGroupAttributes" => self.describe_target_group_attributes(input),
            "ModifyTargetGroupAttributes" => self.modify_target_group_attributes(input),
            "CreateListener" => self.create_listener(input),
            "ModifyListener" => self.modify_listener(input),
            "DescribeListeners" => self.describe_listeners(input),
            "DeleteListener" => self.delete_listener(input),
            "CreateRule" => self.create_rule(input),
            "ModifyRule" => self.modify_rule(input),
            "DescribeRules" => self.describe_rules(input),
            "DeleteRule" => self.delete_rule(input),
            "SetRulePriorities" => self.set_rule_priorities(input),
            "RegisterTargets" => self.register_targets(input),
            "DeregisterTargets" => self.deregister_targets(input),
            "DescribeTargetHealth" => self.describe_target_health(input),
            "AddTags" => self.add_elb_tags(input),
            "RemoveTags" => self.remove_elb_tags(input),
            "DescribeTags" => self.describe_elb_tags(input),
            _ => return None,
        })
    }

    fn add_elb_tags(&mut self, input: &Value) -> Result<Value, ApiError> {
        let new = read_tags(input);
        for arn in self.elb_resources(input)? {
            self.elb.tags.entry(arn).or_default().extend(new.clone());
        }
        Ok(json!({}))
    }

    fn remove_elb_tags(&mut self, input: &Value) -> Result<Value, ApiError> {
        for arn in self.elb_resources(input)? {
            if let Some(tags) = self.elb.tags.get_mut(&arn) {
                for key in list(input, "TagKeys").iter().filter_map(Value::as_str) {
                    tags.remove(key);
                }
            }
        }
        Ok(json!({}))
    }

    fn describe_elb_tags(&mut self, input: &Value) -> Result<Value, ApiError> {
        let descriptions = self.elb_resources(input)?.into_iter().map(|arn| {
            let tags = self.elb.tags.get(&arn).into_iter().flatten();
            let tags: Value =
                tags.map(|(key, value)| json!({"Key": key, "Value": value})).collect();
            json!({"ResourceArn": arn, "Tags": tags})
        });
        Ok(json!({"TagDescriptions": descriptions.collect::<Value>()}))
    }

    fn elb_resources(&self, input: &Value) -> Result<Vec<String>, ApiError> {
        let arns = list(input, "ResourceArns").iter().filter_map(Value::as_str);
        arns.map(|arn| {
            let elb = &self.elb;
            if elb.load_balancers.contains_key(arn) {
                return Ok(arn.to_owned());
            }
            let known = elb.target_groups.contains_key(arn)
                || elb.listeners.contains_key(arn)
                || elb.rules.contains_key(arn);
            known.then(|| arn.to_owned()).ok_or_else(|| target_group_missing(arn))
        })
        .collect()
    }
}

fn target_group_missing(arn: &str) -> ApiError {
    ApiError::client("TargetGroupNotFound", format!("Target groups '{arn}' not found"))
}

fn validation(message: impl Into<String>) -> ApiError {
    ApiError::client("ValidationError", message)
}

fn required<'a>(input: &'a Value, name: &str) -> Result<&'a str, ApiError> {
    text(input, name).ok_or_else(|| validation(format!("'{name}' must be specified")))
}

fn read_tags(input: &Value) -> Tags {
    list(input, "Tags")
        .iter()
        .filter_map(|tag| {
            let value = text(tag, "Value").unwrap_or_default();
            Some((text(tag, "Key")?.to_owned(), value.to_owned()))
        })
        .collect()
}

/// One page in the order given, by `PageSize` (1 to 400) and `Marker`.
fn paged(name: &str, items: Vec<Value>, input: &Value) -> Result<Value, ApiError> {
    let start = match text(input, "Marker") {
        None => 0,
        Some(marker) => marker.parse::<usize>().map_err(|_| validation("Invalid marker"))?,
    };
    let size =
        usize::try_from(count(input, "PageSize").unwrap_or(400).clamp(1, 400)).unwrap_or(400);
    let more = items.len() > start + size;
    let page: Vec<Value> = items.into_iter().skip(start).take(size).collect();
    let mut reply = Map::new();
    reply.insert(name.to_owned(), Value::Array(page));
    if more {
        reply.insert("NextMarker".to_owned(), json!((start + size).to_string()));
    }
    Ok(Value::Object(reply))
}

/// Attributes as `[{Key, Value}]`.
fn write_attributes(attributes: &BTreeMap<String, String>) -> Value {
    let all: Value =
        attributes.iter().map(|(key, value)| json!({"Key": key, "Value": value})).collect();
    json!({"Attributes": all})
}

fn read_attributes(input: &Value) -> impl Iterator<Item = (String, String)> {
    list(input, "Attributes").iter().filter_map(|attribute| {
        Some((text(attribute, "Key")?.to_owned(), text(attribute, "Value")?.to_owned()))
    })
}
