//! Load balancers and their attributes; never their listeners.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{paged, read_attributes, read_tags, required, write_attributes};
use crate::region::{ApiError, State, epoch, list, text};

#[derive(Clone, Debug)]
pub(crate) struct LoadBalancer {
    name: String,
    kind: String,
    scheme: String,
    created_at: Timestamp,
    availability_zones: Value,
    security_groups: Value,
    attributes: BTreeMap<String, String>,
}

fn not_found() -> ApiError {
    ApiError::client("LoadBalancerNotFound", "One or more load balancers not found")
}

impl State {
    pub(super) fn create_load_balancer(&mut self, input: &Value) -> Result<Value, ApiError> {
        let name = required(input, "Name")?.to_owned();
        let existing = self.elb.load_balancers.iter().find(|(_, one)| one.name == name);
        if let Some((arn, balancer)) = existing {
            return Ok(json!({"LoadBalancers": [self.read_balancer(arn, balancer)]}));
        }
        let kind = text(input, "Type").unwrap_or("application").to_owned();
        let path = if kind == "network" { "net" } else { "app" };
        let hex = self.new_hex16();
        let arn = self.elb_arn(&format!("loadbalancer/{path}/{name}/{hex}"));
        let subnets = list(input, "Subnets").iter().zip(["a", "b", "c"].iter().cycle());
        let zones = subnets.map(|(subnet, letter)| {
            json!({"ZoneName": format!("{}{letter}", self.settings.region), "SubnetId": subnet})
        });
        let balancer = LoadBalancer {
            name,
            kind,
            scheme: text(input, "Scheme").unwrap_or("internet-facing").to_owned(),
            created_at: self.now,
            availability_zones: zones.collect(),
            security_groups: json!(list(input, "SecurityGroups")),
            attributes: BTreeMap::from([
                ("deletion_protection.enabled".to_owned(), "false".to_owned()),
                ("idle_timeout.timeout_seconds".to_owned(), "60".to_owned()),
            ]),
        };
        self.elb.tags.insert(arn.clone(), read_tags(input));
        let reply = json!({"LoadBalancers": [self.read_balancer(&arn, &balancer)]});
        self.elb.load_balancers.insert(arn, balancer);
        Ok(reply)
    }

    pub(super) fn describe_load_balancers(&self, input: &Value) -> Result<Value, ApiError> {
        let all = &self.elb.load_balancers;
        let asked = |name| list(input, name).iter().filter_map(Value::as_str);
        let mut found: Vec<(&String, &LoadBalancer)> = Vec::new();
        for arn in asked("LoadBalancerArns") {
            found.push(all.get_key_value(arn).ok_or_else(not_found)?);
        }
        for name in asked("Names") {
            found.push(all.iter().find(|(_, one)| one.name == name).ok_or_else(not_found)?);
        }
        if list(input, "LoadBalancerArns").is_empty() && list(input, "Names").is_empty() {
            found.extend(all);
        }
        let read = found.into_iter().map(|(arn, one)| self.read_balancer(arn, one));
        paged("LoadBalancers", read.collect(), input)
    }

    pub(super) fn delete_load_balancer(&mut self, input: &Value) -> Result<Value, ApiError> {
        let arn = required(input, "LoadBalancerArn")?;
        if self.elb.load_balancers.remove(arn).is_some() {
            let elb = &mut *self.elb;
            elb.listeners.retain(|_, listener| listener.load_balancer != arn);
            let listeners = &elb.listeners;
            elb.rules.retain(|_, rule| listeners.contains_key(&rule.listener));
        }
        Ok(json!({}))
    }

    pub(super) fn describe_load_balancer_attributes(
        &self,
        input: &Value,
    ) -> Result<Value, ApiError> {
        let arn = required(input, "LoadBalancerArn")?;
        let balancer = self.elb.load_balancers.get(arn).ok_or_else(not_found)?;
        Ok(write_attributes(&balancer.attributes))
    }

    pub(super) fn modify_load_balancer_attributes(
        &mut self,
        input: &Value,
    ) -> Result<Value, ApiError> {
        let arn = required(input, "LoadBalancerArn")?;
        let balancer = self.elb.load_balancers.get_mut(arn).ok_or_else(not_found)?;
        balancer.attributes.extend(read_attributes(input));
        Ok(write_attributes(&balancer.attributes))
    }

    fn read_balancer(&self, arn: &str, balancer: &LoadBalancer) -> Value {
        let host = format!("{}.{}.elb.amazonaws.com", balancer.name, self.settings.region);
        json!({
            "LoadBalancerArn": arn,
            "LoadBalancerName": balancer.name,
            "DNSName": host,
            "CanonicalHostedZoneId": "Z35SXDOTRQ7X7K",
            "CreatedTime": epoch(balancer.created_at),
            "Scheme": balancer.scheme,
            "Type": balancer.kind,
            "IpAddressType": "ipv4",
            "State": {"Code": "active"},
            "AvailabilityZones": balancer.availability_zones,
            "SecurityGroups": balancer.security_groups,
        })
    }
}
