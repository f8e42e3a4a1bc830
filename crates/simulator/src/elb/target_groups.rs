//! Target groups and their attributes; never the health of their targets.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::targets::Target;
use super::{
    Elb, paged, read_attributes, read_tags, required, target_group_missing, validation,
    write_attributes,
};
use crate::region::{ApiError, State, count, flag, list, map_of, text};

#[derive(Clone, Debug)]
pub(crate) struct TargetGroup {
    name: String,
    protocol: String,
    port: Option<u32>,
    pub(crate) target_type: String,
    vpc: Option<String>,
    pub(crate) health_check: HealthCheck,
    attributes: BTreeMap<String, String>,
    /// By id (address or instance) and port.
    pub(crate) targets: BTreeMap<(String, u16), Target>,
    /// Requests that were answered with 5xx, or not taken, ever.
    pub(crate) failed_requests: u64,
}

/// How targets are checked. Source of the defaults: ELB:target-group-health-checks.
#[derive(Clone, Debug)]
pub(crate) struct HealthCheck {
    pub(crate) enabled: bool,
    pub(crate) path: String,
    pub(crate) port: String,
    pub(crate) protocol: String,
    pub(crate) interval: Duration,
    pub(crate) timeout: Duration,
    pub(crate) healthy_threshold: u32,
    pub(crate) unhealthy_threshold: u32,
    pub(crate) matcher: String,
}

impl TargetGroup {
    pub(crate) fn deregistration_delay(&self) -> Duration {
        let seconds = self.attributes.get("deregistration_delay.timeout_seconds");
        Duration::from_secs(seconds.and_then(|text| text.parse().ok()).unwrap_or(300))
    }

    pub(crate) fn port(&self) -> Option<u16> {
        self.port.and_then(|port| u16::try_from(port).ok())
    }
}

impl HealthCheck {
    fn new(input: &Value) -> Self {
        let mut check = Self {
            enabled: true,
            path: "/".to_owned(),
            port: "traffic-port".to_owned(),
            protocol: text(input, "Protocol").unwrap_or("HTTP").to_owned(),
            interval: Duration::from_secs(30),
            timeout: Duration::from_secs(5),
            healthy_threshold: 5,
            unhealthy_threshold: 2,
            matcher: "200".to_owned(),
        };
        check.change(input);
        check
    }

    fn change(&mut self, input: &Value) {
        let seconds = |name, into: &mut Duration| {
            if let Some(seconds) = count(input, name) {
                *into = Duration::from_secs(seconds.into());
            }
        };
        seconds("HealthCheckIntervalSeconds", &mut self.interval);
        seconds("HealthCheckTimeoutSeconds", &mut self.timeout);
        let word = |name, into: &mut String| {
            if let Some(word) = text(input, name) {
                word.clone_into(into);
            }
        };
        word("HealthCheckPath", &mut self.path);
        word("HealthCheckPort", &mut self.port);
        word("HealthCheckProtocol", &mut self.protocol);
        if let Some(codes) = input.get("Matcher").and_then(|matcher| text(matcher, "HttpCode")) {
            codes.clone_into(&mut self.matcher);
        }
        self.healthy_threshold =
            count(input, "HealthyThresholdCount").unwrap_or(self.healthy_threshold);
        self.unhealthy_threshold =
            count(input, "UnhealthyThresholdCount").unwrap_or(self.unhealthy_threshold);
        self.enabled = flag(input, "HealthCheckEnabled").unwrap_or(self.enabled);
    }

    fn check(&self) -> Result<(), ApiError> {
        if !(5..=300).contains(&self.interval.as_secs()) {
            return Err(validation("Health check interval must be between 5 and 300 seconds"));
        }
        if self.timeout >= self.interval {
            return Err(validation("Health check timeout must be smaller than the interval"));
        }
        let thresholds = [self.healthy_threshold, self.unhealthy_threshold];
        if thresholds.iter().any(|threshold| !(2..=10).contains(threshold)) {
            return Err(validation("Health check thresholds must be between 2 and 10"));
        }
        Ok(())
    }
}

impl State {
    pub(super) fn create_target_group(&mut self, input: &Value) -> Result<Value, ApiError> {
        let name = required(input, "Name")?.to_owned();
        let health_check = HealthCheck::new(input);
        health_check.check()?;
        let protocol = text(input, "Protocol").unwrap_or("HTTP").to_owned();
        let existing = self.elb.target_groups.iter().find(|(_, group)| group.name == name);
        if let Some((arn, group)) = existing {
            if group.protocol != protocol || group.port != count(input, "Port") {
                return Err(ApiError::client(
                    "DuplicateTargetGroupName",
                    format!(
                        "A target group with the same name '{name}' exists, but with different settings"
                    ),
                ));
            }
            return Ok(json!({"TargetGroups": [self.elb.read_group(arn, group)]}));
        }
        let hex = self.new_hex16();
        let arn = self.elb_arn(&format!("targetgroup/{name}/{hex}"));
        let group = TargetGroup {
            name,
            protocol,
            port: count(input, "Port"),
            target_type: text(input, "TargetType").unwrap_or("instance").to_owned(),
            vpc: text(input, "VpcId").map(str::to_owned),
            health_check,
            attributes: default_attributes(),
            targets: BTreeMap::new(),
            failed_requests: 0,
        };
        self.elb.tags.insert(arn.clone(), read_tags(input));
        let reply = json!({"TargetGroups": [self.elb.read_group(&arn, &group)]});
        self.elb.target_groups.insert(arn, group);
        Ok(reply)
    }

    pub(super) fn modify_target_group(&mut self, input: &Value) -> Result<Value, ApiError> {
        let arn = required(input, "TargetGroupArn")?.to_owned();
        let group =
            self.elb.target_groups.get_mut(&arn).ok_or_else(|| target_group_missing(&arn))?;
        let mut check = group.health_check.clone();
        check.change(input);
        check.check()?;
        group.health_check = check;
        self.targets_changed(&arn);
        let group = self.elb.target_groups.get(&arn).ok_or_else(|| target_group_missing(&arn))?;
        Ok(json!({"TargetGroups": [self.elb.read_group(&arn, group)]}))
    }

    pub(super) fn describe_target_groups(&self, input: &Value) -> Result<Value, ApiError> {
        let elb = &self.elb;
        let asked = |name| list(input, name).iter().filter_map(Value::as_str);
        let mut found: Vec<(&String, &TargetGroup)> = Vec::new();
        for arn in asked("TargetGroupArns") {
            let entry = elb.target_groups.iter().find(|(known, _)| *known == arn);
            found.push(entry.ok_or_else(not_found)?);
        }
        for name in asked("Names") {
            let entry = elb.target_groups.iter().find(|(_, group)| group.name == name);
            found.push(entry.ok_or_else(not_found)?);
        }
        let some = !list(input, "TargetGroupArns").is_empty() || !list(input, "Names").is_empty();
        if !some {
            let balancer = text(input, "LoadBalancerArn");
            found.extend(elb.target_groups.iter().filter(|(arn, _)| {
                balancer.is_none_or(|balancer| elb.load_balancer_of(arn) == Some(balancer))
            }));
        }
        let groups = found.into_iter().map(|(arn, group)| elb.read_group(arn, group)).collect();
        paged("TargetGroups", groups, input)
    }

    pub(super) fn delete_target_group(&mut self, input: &Value) -> Result<Value, ApiError> {
        let arn = required(input, "TargetGroupArn")?;
        if self.elb.in_use(arn) {
            return Err(ApiError::client(
                "ResourceInUse",
                format!("Target group '{arn}' is currently in use by a listener or a rule"),
            ));
        }
        self.elb.target_groups.remove(arn);
        Ok(json!({}))
    }

    pub(super) fn describe_target_group_attributes(
        &self,
        input: &Value,
    ) -> Result<Value, ApiError> {
        let arn = required(input, "TargetGroupArn")?;
        let group = self.elb.target_groups.get(arn).ok_or_else(|| target_group_missing(arn))?;
        Ok(write_attributes(&group.attributes))
    }

    pub(super) fn modify_target_group_attributes(
        &mut self,
        input: &Value,
    ) -> Result<Value, ApiError> {
        let arn = required(input, "TargetGroupArn")?;
        let group = self.elb.target_groups.get_mut(arn).ok_or_else(|| target_group_missing(arn))?;
        for (key, value) in read_attributes(input) {
            let delay = key == "deregistration_delay.timeout_seconds";
            if delay && !value.parse::<u32>().is_ok_and(|seconds| seconds <= 3600) {
                return Err(validation("Deregistration delay must be between 0 and 3600 seconds"));
            }
            group.attributes.insert(key, value);
        }
        Ok(write_attributes(&group.attributes))
    }
}

impl Elb {
    /// The ARN of the target group of that name.
    pub(crate) fn group_named(&self, name: &str) -> Option<&str> {
        let found = self.target_groups.iter().find(|(_, group)| group.name == name);
        found.map(|(arn, _)| arn.as_str())
    }

    /// The name of a target group.
    pub(crate) fn name_of(&self, group: &str) -> Option<&str> {
        self.target_groups.get(group).map(|group| group.name.as_str())
    }

    fn read_group(&self, arn: &str, group: &TargetGroup) -> Value {
        let check = &group.health_check;
        let balancers: Vec<&str> = self.load_balancer_of(arn).into_iter().collect();
        let mut map: Map<String, Value> = map_of(json!({
            "TargetGroupArn": arn,
            "TargetGroupName": group.name,
            "Protocol": group.protocol,
            "ProtocolVersion": "HTTP1",
            "TargetType": group.target_type,
            "IpAddressType": "ipv4",
            "HealthCheckProtocol": check.protocol,
            "HealthCheckPort": check.port,
            "HealthCheckEnabled": check.enabled,
            "HealthCheckPath": check.path,
            "HealthCheckIntervalSeconds": check.interval.as_secs(),
            "HealthCheckTimeoutSeconds": check.timeout.as_secs(),
            "HealthyThresholdCount": check.healthy_threshold,
            "UnhealthyThresholdCount": check.unhealthy_threshold,
            "Matcher": {"HttpCode": check.matcher},
            "LoadBalancerArns": balancers,
        }));
        if let Some(port) = group.port {
            map.insert("Port".to_owned(), json!(port));
        }
        if let Some(vpc) = &group.vpc {
            map.insert("VpcId".to_owned(), json!(vpc));
        }
        Value::Object(map)
    }
}

fn not_found() -> ApiError {
    ApiError::client("TargetGroupNotFound", "One or more target groups not found")
}

fn default_attributes() -> BTreeMap<String, String> {
    [
        ("deregistration_delay.timeout_seconds", "300"),
        ("stickiness.enabled", "false"),
        ("stickiness.type", "lb_cookie"),
        ("stickiness.lb_cookie.duration_seconds", "86400"),
        ("slow_start.duration_seconds", "0"),
        ("load_balancing.algorithm.type", "round_robin"),
        ("load_balancing.cross_zone.enabled", "use_load_balancer_configuration"),
        ("target_group_health.dns_failover.minimum_healthy_targets.count", "1"),
        ("target_group_health.unhealthy_state_routing.minimum_healthy_targets.count", "1"),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into()
}
