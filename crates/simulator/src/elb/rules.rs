//! Listener rules and their actions; never which request they match.

use serde_json::{Value, json};

use super::listeners::not_found as listener_not_found;
use super::view::{RuleCondition, RuleView};
use super::{Elb, paged, read_tags, required, target_group_missing, validation};
use crate::Effect;
use crate::region::{ApiError, State, count, list, map_of, text};

#[derive(Clone, Debug)]
pub(crate) struct Rule {
    pub(crate) listener: String,
    /// `None` for the default rule.
    pub(crate) priority: Option<u32>,
    conditions: Vec<Value>,
    /// As sent; read back in normal form.
    pub(crate) actions: Vec<Value>,
}

fn not_found() -> ApiError {
    ApiError::client("RuleNotFound", "One or more rules not found")
}

impl Rule {
    pub(super) fn default_of(listener: String, actions: Vec<Value>) -> Self {
        Self { listener, priority: None, conditions: Vec::new(), actions }
    }

    /// Target groups and weights of the forward action.
    pub(crate) fn forwards(&self) -> impl Iterator<Item = (&str, u32)> {
        self.actions.iter().flat_map(forwards)
    }

    fn share_of(&self, group: &str) -> u32 {
        let all: u32 = self.forwards().map(|(_, weight)| weight).sum();
        let own = self.forwards().find(|(arn, _)| *arn == group);
        own.map_or(0, |(_, weight)| weight * 1000 / all.max(1))
    }

    /// A single group is read back both ways, several only as `ForwardConfig`.
    pub(super) fn read_actions(&self) -> Value {
        self.actions.iter().zip(1..).map(|(action, order)| read_action(action, order)).collect()
    }

    pub(super) fn view(&self, arn: &str) -> RuleView {
        RuleView {
            arn: arn.to_owned(),
            priority: self.priority,
            conditions: self.conditions.iter().map(view_condition).collect(),
            forwards: self.forwards().map(|(arn, weight)| (arn.to_owned(), weight)).collect(),
            fixed_response: self.actions.iter().find_map(fixed_response),
        }
    }

    fn read(&self, arn: &str) -> Value {
        json!({
            "RuleArn": arn,
            "Priority": self.priority.map_or_else(|| "default".to_owned(), |one| one.to_string()),
            "Conditions": self.conditions,
            "Actions": self.read_actions(),
            "IsDefault": self.priority.is_none(),
        })
    }
}

fn forwards(action: &Value) -> Vec<(&str, u32)> {
    let groups = action.get("ForwardConfig").map_or(&[][..], |config| list(config, "TargetGroups"));
    if groups.is_empty() {
        return text(action, "TargetGroupArn").map(|arn| (arn, 1)).into_iter().collect();
    }
    groups
        .iter()
        .filter_map(|group| {
            Some((text(group, "TargetGroupArn")?, count(group, "Weight").unwrap_or(1)))
        })
        .collect()
}

fn read_action(action: &Value, order: u32) -> Value {
    let groups = forwards(action);
    let mut map = map_of(action.clone());
    map.entry("Order").or_insert_with(|| json!(order));
    if groups.is_empty() {
        return Value::Object(map);
    }
    let stickiness = action
        .get("ForwardConfig")
        .and_then(|config| config.get("TargetGroupStickinessConfig"))
        .cloned()
        .unwrap_or_else(|| json!({"Enabled": false}));
    let listed: Value = groups
        .iter()
        .map(|(arn, weight)| json!({"TargetGroupArn": arn, "Weight": weight}))
        .collect();
    map.insert(
        "ForwardConfig".to_owned(),
        json!({"TargetGroups": listed, "TargetGroupStickinessConfig": stickiness}),
    );
    match groups.as_slice() {
        [(arn, _)] => map.insert("TargetGroupArn".to_owned(), json!(arn)),
        _ => map.remove("TargetGroupArn"),
    };
    Value::Object(map)
}

fn fixed_response(action: &Value) -> Option<(u16, String, String)> {
    let config = action.get("FixedResponseConfig")?;
    let status = text(config, "StatusCode").and_then(|code| code.parse().ok()).unwrap_or(200);
    let word = |name| text(config, name).unwrap_or_default().to_owned();
    Some((status, word("ContentType"), word("MessageBody")))
}

fn view_condition(condition: &Value) -> RuleCondition {
    let field = text(condition, "Field").unwrap_or_default().to_owned();
    let configs = [
        "PathPatternConfig",
        "HostHeaderConfig",
        "HttpHeaderConfig",
        "HttpRequestMethodConfig",
        "QueryStringConfig",
        "SourceIpConfig",
    ];
    let config = configs.iter().find_map(|name| condition.get(*name)).unwrap_or(condition);
    let values = list(config, "Values").iter().filter_map(|value| {
        let pair = || Some(format!("{}={}", text(value, "Key")?, text(value, "Value")?));
        value.as_str().map(str::to_owned).or_else(pair)
    });
    let name = text(config, "HttpHeaderName").map(str::to_owned);
    RuleCondition { field, name, values: values.collect() }
}

/// The actions of an input, checked.
pub(super) fn actions(
    input: &Value,
    member: &str,
    elb: &Elb,
    balancer: &str,
) -> Result<Vec<Value>, ApiError> {
    let actions = list(input, member);
    if actions.is_empty() {
        return Err(validation(format!("'{member}' must be specified")));
    }
    for action in actions {
        let groups = forwards(action);
        if text(action, "Type") == Some("forward") && groups.is_empty() {
            return Err(ApiError::client(
                "InvalidLoadBalancerAction",
                "You must specify a target group for a forward action",
            ));
        }
        if groups.len() > 5 {
            return Err(ApiError::client(
                "TooManyTargetGroups",
                "A forward action can have at most 5 target groups",
            ));
        }
        for (arn, weight) in groups {
            if !elb.target_groups.contains_key(arn) {
                return Err(target_group_missing(arn));
            }
            if weight > 999 {
                return Err(validation("Target group weight must be between 0 and 999"));
            }
            if elb.load_balancer_of(arn).is_some_and(|owner| owner != balancer) {
                return Err(ApiError::client(
                    "TargetGroupAssociationLimit",
                    "The following target groups cannot be associated with more than one load \
                     balancer",
                ));
            }
        }
    }
    Ok(actions.to_vec())
}

impl Elb {
    /// The rules of a listener by priority, the default rule last.
    pub(super) fn rules_in_order<'a>(
        &'a self,
        listener: &'a str,
    ) -> impl Iterator<Item = (&'a str, &'a Rule)> {
        let mut rules: Vec<(&str, &Rule)> = self
            .rules
            .iter()
            .filter(|(_, rule)| rule.listener == listener)
            .map(|(arn, rule)| (arn.as_str(), rule))
            .collect();
        rules.sort_by_key(|(_, rule)| rule.priority.unwrap_or(u32::MAX));
        rules.into_iter()
    }
}

impl Elb {
    /// The rules of a listener, its default rule included, that forward to one of these groups.
    pub(crate) fn rules_to(&self, listener: &str, groups: &[&str]) -> Vec<String> {
        let forwards = |rule: &Rule| rule.forwards().any(|(group, _)| groups.contains(&group));
        let rules = self.rules_in_order(listener).filter(|(_, rule)| forwards(rule));
        rules.map(|(arn, _)| arn.to_owned()).collect()
    }

    /// A listener has what its default rule has.
    fn rule_of<'a>(&'a self, rule_or_listener: &'a str) -> &'a str {
        let listener = self.listeners.get(rule_or_listener);
        listener.map_or(rule_or_listener, |one| one.default_rule.as_str())
    }

    /// Target groups and weights that a rule forwards to, or the default rule of a listener.
    pub(crate) fn forwards_of(&self, rule: &str) -> Vec<(String, u32)> {
        let rule = self.rules.get(self.rule_of(rule));
        let forwards = rule.into_iter().flat_map(Rule::forwards);
        forwards.map(|(group, weight)| (group.to_owned(), weight)).collect()
    }
}

impl Elb {
    /// What the rule that carries production traffic gives a group, in tenths of a percent: of the rules that name
    /// it the one on the lowest port, which is how stages are built. `None` where no rule has two groups.
    pub(crate) fn production_share_of(&self, group: &str) -> Option<u32> {
        let names = |rule: &&Rule| {
            rule.forwards().any(|(arn, _)| arn == group) && rule.forwards().count() > 1
        };
        let port = |rule: &&Rule| self.listeners.get(&rule.listener).map(|listener| listener.port);
        let rule = self.rules.values().filter(names).min_by_key(port)?;
        Some(rule.share_of(group))
    }

    /// What the first rule of a listener that forwards anything gives a group, in tenths of a percent.
    pub(crate) fn share_behind(&self, listener: &str, group: &str) -> Option<u32> {
        let mut rules = self.rules_in_order(listener).map(|(_, rule)| rule);
        let rule = rules.find(|rule| rule.forwards().count() > 0)?;
        Some(rule.share_of(group))
    }
}

impl State {
    /// Makes a rule forward to these groups; its other actions stay.
    pub(crate) fn set_weights(&mut self, rule: &str, weights: &[(String, u32)]) {
        let rule = self.elb.rule_of(rule).to_owned();
        let Some(rule) = self.elb.rules.get_mut(&rule) else { return };
        let groups: Value = weights
            .iter()
            .map(|(arn, weight)| json!({"TargetGroupArn": arn, "Weight": weight}))
            .collect();
        let is_forward = |action: &&mut Value| text(action, "Type") == Some("forward");
        if let Some(action) = rule.actions.iter_mut().find(is_forward) {
            *action = json!({"Type": "forward", "ForwardConfig": {"TargetGroups": groups}});
        }
        self.rules_changed();
    }

    pub(super) fn rules_changed(&mut self) {
        let elb = &mut *self.elb;
        elb.changed.extend(elb.target_groups.keys().cloned());
        self.effects.push(Effect::LoadBalancingChanged);
    }

    pub(super) fn create_rule(&mut self, input: &Value) -> Result<Value, ApiError> {
        let arn = required(input, "ListenerArn")?.to_owned();
        let listener = self.elb.listeners.get(&arn).ok_or_else(listener_not_found)?;
        let priority = checked_priority(count(input, "Priority"))?;
        self.check_free_priority(&arn, priority, &[])?;
        let conditions = list(input, "Conditions").to_vec();
        if conditions.is_empty() {
            return Err(validation("A condition must be specified"));
        }
        let rule = Rule {
            actions: actions(input, "Actions", &self.elb, &listener.load_balancer)?,
            listener: arn.clone(),
            priority: Some(priority),
            conditions,
        };
        let hex = self.new_hex16();
        let rule_arn = format!("{}/{hex}", arn.replacen(":listener/", ":listener-rule/", 1));
        let reply = json!({"Rules": [rule.read(&rule_arn)]});
        self.elb.tags.insert(rule_arn.clone(), read_tags(input));
        self.elb.rules.insert(rule_arn, rule);
        self.rules_changed();
        Ok(reply)
    }

    pub(super) fn modify_rule(&mut self, input: &Value) -> Result<Value, ApiError> {
        let arn = required(input, "RuleArn")?.to_owned();
        let rule = self.elb.rules.get(&arn).ok_or_else(not_found)?;
        if rule.priority.is_none() {
            return Err(ApiError::client(
                "OperationNotPermitted",
                format!("Default rule '{arn}' cannot be modified"),
            ));
        }
        let balancer = self.elb.listeners.get(&rule.listener).ok_or_else(listener_not_found)?;
        let new = match list(input, "Actions") {
            [] => None,
            _ => Some(actions(input, "Actions", &self.elb, &balancer.load_balancer)?),
        };
        let rule = self.elb.rules.get_mut(&arn).ok_or_else(not_found)?;
        if let Some(actions) = new {
            rule.actions = actions;
        }
        if !list(input, "Conditions").is_empty() {
            rule.conditions = list(input, "Conditions").to_vec();
        }
        let reply = json!({"Rules": [rule.read(&arn)]});
        self.rules_changed();
        Ok(reply)
    }

    pub(super) fn describe_rules(&self, input: &Value) -> Result<Value, ApiError> {
        let asked = list(input, "RuleArns");
        let rules: Vec<Value> = if asked.is_empty() {
            let listener = required(input, "ListenerArn")?;
            self.elb.listeners.get(listener).ok_or_else(listener_not_found)?;
            self.elb.rules_in_order(listener).map(|(arn, rule)| rule.read(arn)).collect()
        } else {
            let read = |arn: &str| self.elb.rules.get(arn).map(|rule| rule.read(arn));
            let found: Option<Vec<Value>> =
                asked.iter().filter_map(Value::as_str).map(read).collect();
            found.ok_or_else(not_found)?
        };
        paged("Rules", rules, input)
    }

    pub(super) fn delete_rule(&mut self, input: &Value) -> Result<Value, ApiError> {
        let arn = required(input, "RuleArn")?;
        let rule = self.elb.rules.get(arn).ok_or_else(not_found)?;
        if rule.priority.is_none() {
            return Err(ApiError::client(
                "OperationNotPermitted",
                format!("Default rule '{arn}' cannot be deleted"),
            ));
        }
        self.elb.rules.remove(arn);
        self.rules_changed();
        Ok(json!({}))
    }

    pub(super) fn set_rule_priorities(&mut self, input: &Value) -> Result<Value, ApiError> {
        let pairs = list(input, "RulePriorities").iter().map(|pair| {
            let arn = required(pair, "RuleArn")?.to_owned();
            Ok((arn, checked_priority(count(pair, "Priority"))?))
        });
        let pairs: Vec<(String, u32)> = pairs.collect::<Result<_, ApiError>>()?;
        let moved: Vec<&str> = pairs.iter().map(|(arn, _)| arn.as_str()).collect();
        for (arn, priority) in &pairs {
            let rule = self.elb.rules.get(arn).ok_or_else(not_found)?;
            self.check_free_priority(&rule.listener, *priority, &moved)?;
        }
        let mut rules = Vec::new();
        for (arn, priority) in &pairs {
            if let Some(rule) = self.elb.rules.get_mut(arn) {
                rule.priority = Some(*priority);
                rules.push(rule.read(arn));
            }
        }
        self.rules_changed();
        Ok(json!({"Rules": rules}))
    }

    fn check_free_priority(
        &self,
        listener: &str,
        priority: u32,
        but: &[&str],
    ) -> Result<(), ApiError> {
        let taken = self.elb.rules.iter().any(|(arn, rule)| {
            rule.listener == listener
                && rule.priority == Some(priority)
                && !but.contains(&arn.as_str())
        });
        if taken {
            return Err(ApiError::client(
                "PriorityInUse",
                format!("Priority '{priority}' is currently in use"),
            ));
        }
        Ok(())
    }
}

fn checked_priority(priority: Option<u32>) -> Result<u32, ApiError> {
    priority
        .filter(|priority| (1..=50_000).contains(priority))
        .ok_or_else(|| validation("Rule priority must be between 1 and 50000"))
}
