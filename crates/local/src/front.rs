//! Clusters, load balancers and target groups as a user would create them; never a service.

use std::time::Duration;

use evenkeel_simulator::{Api, ApiError, RuleView};
use serde_json::{Value, json};

use crate::live_region::LiveRegion;

/// What a service between whose revisions traffic moves stands behind: a load balancer with a listener
/// for production and one for tests, each with a rule that forwards to two target groups. All are ARNs
/// but the ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Front {
    pub(crate) ports: Ports,
    /// At first the one that has all traffic.
    pub(crate) blue: String,
    pub(crate) green: String,
    pub(crate) production_rule: String,
    pub(crate) test_rule: String,
}

/// Of 127.0.0.1, on which the listeners listen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ports {
    pub(crate) production: u16,
    pub(crate) test: u16,
}

impl Front {
    pub(crate) fn create(
        region: &LiveRegion,
        name: &str,
        ports: Ports,
        drain: Duration,
    ) -> Result<Self, ApiError> {
        let balancer = create_balancer(region, name)?;
        let blue = create_target_group(region, &format!("{name}-blue"), drain)?;
        let green = create_target_group(region, &format!("{name}-green"), drain)?;
        let rule = |port| {
            let listener = create_listener(region, &balancer, port, &nothing_here())?;
            create_rule(region, &listener, &blue, &green)
        };
        let (production_rule, test_rule) = (rule(ports.production)?, rule(ports.test)?);
        Ok(Self { ports, blue, green, production_rule, test_rule })
    }

    /// Percentages of production and test traffic that go to `group` now.
    pub(crate) fn shares(&self, region: &LiveRegion, group: &str) -> Shares {
        let listeners = region.with(|region| region.listeners());
        let rules = || listeners.iter().flat_map(|listener| &listener.rules);
        let share = |arn: &str| {
            let rule = rules().find(|rule| rule.arn == arn);
            rule.map_or(0, |rule| percentage(rule, group))
        };
        Shares { production: share(&self.production_rule), test: share(&self.test_rule) }
    }

    /// The listener that carries production traffic.
    pub(crate) fn production_listener(&self) -> String {
        listener_of(&self.production_rule)
    }

    pub(crate) fn test_listener(&self) -> String {
        listener_of(&self.test_rule)
    }

    /// The target group that is not this one.
    pub(crate) fn other_than(&self, group: &str) -> &str {
        if group == self.blue { &self.green } else { &self.blue }
    }
}

/// Whole percentages, rounded down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shares {
    pub(crate) production: u32,
    pub(crate) test: u32,
}

/// A rule's ARN is that of its listener and an id.
fn listener_of(rule: &str) -> String {
    let listener = rule.rsplit_once('/').map_or(rule, |(listener, _)| listener);
    listener.replacen(":listener-rule/", ":listener/", 1)
}

fn percentage(rule: &RuleView, group: &str) -> u32 {
    let total: u32 = rule.forwards.iter().map(|(_, weight)| weight).sum();
    let weight =
        rule.forwards.iter().find(|(arn, _)| arn == group).map_or(0, |(_, weight)| *weight);
    (weight * 100).checked_div(total).unwrap_or_default()
}

pub(crate) fn create_cluster(region: &LiveRegion, name: &str) -> Result<(), ApiError> {
    region.call(Api::Ecs, "CreateCluster", &json!({"clusterName": name})).map(drop)
}

/// A load balancer with one listener that forwards to one target group, whose targets drain for that
/// long. Returns the target group's ARN.
pub(crate) fn create_load_balancer(
    region: &LiveRegion,
    name: &str,
    port: u16,
    drain: Duration,
) -> Result<String, ApiError> {
    let balancer = create_balancer(region, name)?;
    let group = create_target_group(region, name, drain)?;
    create_listener(region, &balancer, port, &json!({"Type": "forward", "TargetGroupArn": group}))?;
    Ok(group)
}

fn create_balancer(region: &LiveRegion, name: &str) -> Result<String, ApiError> {
    let subnets = json!(["subnet-0000000000000000a", "subnet-0000000000000000b"]);
    let reply = elb(region, "CreateLoadBalancer", &json!({"Name": name, "Subnets": subnets}))?;
    Ok(arn_in(&reply, "/LoadBalancers/0/LoadBalancerArn"))
}

/// For IP addresses, on port 8080, with the health path `/health`.
fn create_target_group(
    region: &LiveRegion,
    name: &str,
    drain: Duration,
) -> Result<String, ApiError> {
    let group = json!({
        "Name": name, "Protocol": "HTTP", "Port": 8080, "TargetType": "ip",
        "VpcId": "vpc-00000000000000000", "HealthCheckPath": "/health",
        "HealthCheckIntervalSeconds": 10, "HealthCheckTimeoutSeconds": 5,
        "HealthyThresholdCount": 2, "UnhealthyThresholdCount": 2,
    });
    let arn = arn_in(&elb(region, "CreateTargetGroup", &group)?, "/TargetGroups/0/TargetGroupArn");
    let delay = json!([{"Key": "deregistration_delay.timeout_seconds", "Value": drain.as_secs().to_string()}]);
    let attributes = json!({"TargetGroupArn": arn, "Attributes": delay});
    elb(region, "ModifyTargetGroupAttributes", &attributes)?;
    Ok(arn)
}

fn create_listener(
    region: &LiveRegion,
    balancer: &str,
    port: u16,
    action: &Value,
) -> Result<String, ApiError> {
    let listener = json!({
        "LoadBalancerArn": balancer, "Protocol": "HTTP", "Port": port, "DefaultActions": [action],
    });
    let reply = elb(region, "CreateListener", &listener)?;
    Ok(arn_in(&reply, "/Listeners/0/ListenerArn"))
}

/// For every path; all traffic goes to the first group.
fn create_rule(
    region: &LiveRegion,
    listener: &str,
    first: &str,
    second: &str,
) -> Result<String, ApiError> {
    let groups = json!([
        {"TargetGroupArn": first, "Weight": 100}, {"TargetGroupArn": second, "Weight": 0},
    ]);
    let rule = json!({
        "ListenerArn": listener, "Priority": 1,
        "Conditions": [{"Field": "path-pattern", "Values": ["/*"]}],
        "Actions": [{"Type": "forward", "ForwardConfig": {"TargetGroups": groups}}],
    });
    Ok(arn_in(&elb(region, "CreateRule", &rule)?, "/Rules/0/RuleArn"))
}

/// What a listener answers where no rule holds.
fn nothing_here() -> Value {
    json!({"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "404"}})
}

fn elb(region: &LiveRegion, operation: &str, input: &Value) -> Result<Value, ApiError> {
    region.call(Api::ElasticLoadBalancingV2, operation, input)
}

fn arn_in(reply: &Value, pointer: &str) -> String {
    reply.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
}
