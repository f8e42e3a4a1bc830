//! Listeners; their default actions are those of their default rule.

use serde_json::{Map, Value, json};

use super::rules::{Rule, actions};
use super::{paged, read_tags, required};
use crate::region::{ApiError, State, count, list, map_of, text};

#[derive(Clone, Debug)]
pub(crate) struct Listener {
    pub(crate) load_balancer: String,
    pub(crate) port: u16,
    pub(crate) protocol: String,
    certificates: Value,
    pub(super) default_rule: String,
}

pub(super) fn not_found() -> ApiError {
    ApiError::client("ListenerNotFound", "One or more listeners not found")
}

impl State {
    pub(super) fn create_listener(&mut self, input: &Value) -> Result<Value, ApiError> {
        let balancer = required(input, "LoadBalancerArn")?.to_owned();
        if !self.elb.load_balancers.contains_key(&balancer) {
            return Err(ApiError::client(
                "LoadBalancerNotFound",
                "One or more load balancers not found",
            ));
        }
        let port = count(input, "Port").and_then(|port| u16::try_from(port).ok());
        let port = port.ok_or_else(|| super::validation("'Port' must be specified"))?;
        let taken = |one: &Listener| one.load_balancer == balancer && one.port == port;
        if self.elb.listeners.values().any(taken) {
            return Err(ApiError::client(
                "DuplicateListener",
                "A listener already exists on this port for this load balancer",
            ));
        }
        let actions = actions(input, "DefaultActions", &self.elb, &balancer)?;
        let (hex, rule_hex) = (self.new_hex16(), self.new_hex16());
        let arn = format!("{}/{hex}", balancer.replacen(":loadbalancer/", ":listener/", 1));
        let rule = format!("{}/{rule_hex}", arn.replacen(":listener/", ":listener-rule/", 1));
        let listener = Listener {
            load_balancer: balancer,
            port,
            protocol: text(input, "Protocol").unwrap_or("HTTP").to_owned(),
            certificates: json!(list(input, "Certificates")),
            default_rule: rule.clone(),
        };
        self.elb.rules.insert(rule, Rule::default_of(arn.clone(), actions));
        self.elb.tags.insert(arn.clone(), read_tags(input));
        self.elb.listeners.insert(arn.clone(), listener);
        self.rules_changed();
        self.read_listener(&arn).map(|read| json!({"Listeners": [read]}))
    }

    pub(super) fn modify_listener(&mut self, input: &Value) -> Result<Value, ApiError> {
        let arn = required(input, "ListenerArn")?.to_owned();
        let listener = self.elb.listeners.get(&arn).ok_or_else(not_found)?;
        let rule = listener.default_rule.clone();
        if !list(input, "DefaultActions").is_empty() {
            let actions = actions(input, "DefaultActions", &self.elb, &listener.load_balancer)?;
            if let Some(rule) = self.elb.rules.get_mut(&rule) {
                rule.actions = actions;
            }
        }
        if let Some(listener) = self.elb.listeners.get_mut(&arn) {
            if let Some(port) = count(input, "Port").and_then(|port| u16::try_from(port).ok()) {
                listener.port = port;
            }
            if let Some(protocol) = text(input, "Protocol") {
                protocol.clone_into(&mut listener.protocol);
            }
        }
        self.rules_changed();
        self.read_listener(&arn).map(|read| json!({"Listeners": [read]}))
    }

    pub(super) fn describe_listeners(&self, input: &Value) -> Result<Value, ApiError> {
        let asked: Vec<&str> =
            list(input, "ListenerArns").iter().filter_map(Value::as_str).collect();
        let arns: Vec<&str> = if asked.is_empty() {
            let balancer = required(input, "LoadBalancerArn")?;
            let of = self.elb.listeners.iter().filter(|(_, one)| one.load_balancer == balancer);
            of.map(|(arn, _)| arn.as_str()).collect()
        } else {
            asked
        };
        let listeners: Result<Vec<Value>, ApiError> =
            arns.into_iter().map(|arn| self.read_listener(arn)).collect();
        paged("Listeners", listeners?, input)
    }

    pub(super) fn delete_listener(&mut self, input: &Value) -> Result<Value, ApiError> {
        let arn = required(input, "ListenerArn")?.to_owned();
        self.elb.listeners.remove(&arn).ok_or_else(not_found)?;
        self.elb.rules.retain(|_, rule| rule.listener != arn);
        self.rules_changed();
        Ok(json!({}))
    }

    fn read_listener(&self, arn: &str) -> Result<Value, ApiError> {
        let listener = self.elb.listeners.get(arn).ok_or_else(not_found)?;
        let actions = self.elb.rules.get(&listener.default_rule).map(Rule::read_actions);
        let mut map: Map<String, Value> = map_of(json!({
            "ListenerArn": arn,
            "LoadBalancerArn": listener.load_balancer,
            "Port": listener.port,
            "Protocol": listener.protocol,
            "DefaultActions": actions,
        }));
        if listener.certificates.as_array().is_some_and(|list| !list.is_empty()) {
            map.insert("Certificates".to_owned(), listener.certificates.clone());
        }
        Ok(Value::Object(map))
    }
}
