//! What ECS adds to, fills in and reorders of what it was sent; never what it computes.
//!
//! Source: reference captures and Terraform's normalisation rules; the reference page's tables of
//! server-added fields for task definitions and services.

use serde_json::{Map, Value, json};

use super::input::{list, map_of, text};

/// The task definition as DescribeTaskDefinition answers it.
pub(crate) fn task_definition(input: &Value, rng: &mut fastrand::Rng) -> Map<String, Value> {
    const MEMBERS: [&str; 16] = [
        "family",
        "taskRoleArn",
        "executionRoleArn",
        "networkMode",
        "volumes",
        "placementConstraints",
        "requiresCompatibilities",
        "cpu",
        "memory",
        "pidMode",
        "ipcMode",
        "proxyConfiguration",
        "inferenceAccelerators",
        "ephemeralStorage",
        "runtimePlatform",
        "enableFaultInjection",
    ];
    let mut map = Map::new();
    for member in MEMBERS {
        copy(input, &mut map, member);
    }
    for member in ["volumes", "placementConstraints"] {
        default(&mut map, member, json!([]));
    }
    for (member, unit) in [("cpu", "vcpu"), ("memory", "gb")] {
        if let Some(Value::String(text)) = map.get_mut(member) {
            *text = scaled(text, unit);
        }
    }
    let awsvpc = matches!(text(input, "networkMode"), Some("awsvpc" | "host"));
    let mut containers: Vec<Value> = list(input, "containerDefinitions")
        .iter()
        .map(|definition| container(definition, awsvpc, rng))
        .collect();
    rng.shuffle(&mut containers);
    map.insert("containerDefinitions".to_owned(), Value::Array(containers));
    let mut compatibilities: Vec<Value> = list(input, "requiresCompatibilities").to_vec();
    if compatibilities.is_empty() {
        compatibilities.push(json!("EC2"));
    } else {
        rng.shuffle(&mut compatibilities);
        map.insert("requiresCompatibilities".to_owned(), json!(compatibilities));
        if !compatibilities.contains(&json!("EC2")) {
            compatibilities.push(json!("EC2"));
        }
    }
    map.insert("compatibilities".to_owned(), json!(compatibilities));
    map.insert(
        "requiresAttributes".to_owned(),
        json!([{"name": "com.amazonaws.ecs.capability.docker-remote-api.1.18"}]),
    );
    map
}

fn container(input: &Value, port_is_host_port: bool, rng: &mut fastrand::Rng) -> Value {
    let mut map = map_of(input.clone());
    map.retain(|_, value| !value.is_null());
    default(&mut map, "cpu", json!(0));
    default(&mut map, "essential", json!(true));
    for member in ["environment", "mountPoints", "volumesFrom", "portMappings", "systemControls"] {
        default(&mut map, member, json!([]));
    }
    // Source: aws-actions/amazon-ecs-deploy-task-definition#224: ECS takes a variable without a value, and drops it.
    if let Some(Value::Array(variables)) = map.get_mut("environment") {
        variables.retain(|one| one.get("value").is_some_and(|value| !value.is_null()));
    }
    for member in ["environment", "secrets", "ulimits"] {
        if let Some(Value::Array(items)) = map.get_mut(member) {
            rng.shuffle(items);
        }
    }
    if let Some(Value::Array(mappings)) = map.get_mut("portMappings") {
        for mapping in mappings.iter_mut().filter_map(Value::as_object_mut) {
            let port = mapping.get("containerPort").filter(|_| port_is_host_port).cloned();
            default(mapping, "protocol", json!("tcp"));
            default(mapping, "hostPort", port.unwrap_or_else(|| json!(0)));
        }
    }
    if let Some(Value::Object(check)) = map.get_mut("healthCheck") {
        for (member, value) in [("interval", 30), ("timeout", 5), ("retries", 3)] {
            default(check, member, json!(value));
        }
    }
    if let Some(Value::Object(linux)) = map.get_mut("linuxParameters") {
        for member in ["tmpfs", "devices"] {
            default(linux, member, json!([]));
        }
    }
    Value::Object(map)
}

/// `1 vCPU` is 1024 units and `1 GB` is 1024 MiB.
fn scaled(text: &str, unit: &str) -> String {
    let lower = text.trim().to_ascii_lowercase();
    let number = lower.strip_suffix(unit).map(str::trim);
    let thousandths = number.and_then(milli).map(|milli| milli * 1024 / 1000);
    thousandths.map_or_else(|| text.trim().to_owned(), |units| units.to_string())
}

/// `.5` as 500.
fn milli(text: &str) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let fraction: u64 = format!("{fraction:0<3}").get(..3)?.parse().ok()?;
    Some(whole * 1000 + fraction)
}

/// `networkConfiguration` with defaults; subnets and security groups come back in any order.
pub(crate) fn network(value: &Value, rng: &mut fastrand::Rng) -> Value {
    let mut network = value.clone();
    if let Some(Value::Object(vpc)) = network.get_mut("awsvpcConfiguration") {
        default(vpc, "securityGroups", json!([]));
        default(vpc, "assignPublicIp", json!("DISABLED"));
        for member in ["subnets", "securityGroups"] {
            if let Some(Value::Array(items)) = vpc.get_mut(member) {
                rng.shuffle(items);
            }
        }
    }
    network
}

pub(crate) fn capacity_provider_strategy(value: &Value) -> Value {
    let mut strategy = value.clone();
    for item in strategy.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
        default(item, "weight", json!(0));
        default(item, "base", json!(0));
    }
    strategy
}

/// `deploymentConfiguration` of a service that says nothing about it.
pub(crate) fn deployment_configuration(daemon: bool) -> Value {
    let (most, least) = if daemon { (100, 0) } else { (200, 100) };
    json!({
        "maximumPercent": most,
        "minimumHealthyPercent": least,
        "strategy": "ROLLING",
        "bakeTimeInMinutes": 0,
        "deploymentCircuitBreaker": {
            "enable": false,
            "rollback": false,
            "resetOnHealthyTask": true,
            "thresholdConfiguration": {"type": "BOUNDED_PERCENT", "value": 50},
        },
    })
}

/// Puts the members of `change` over those of `into`, objects member by member.
pub(crate) fn merge(into: &mut Value, change: &Value) {
    match (into, change) {
        (Value::Object(into), Value::Object(change)) => {
            for (name, value) in change.iter().filter(|(_, value)| !value.is_null()) {
                merge(into.entry(name.as_str()).or_insert(Value::Null), value);
            }
        }
        (into, change) => *into = change.clone(),
    }
}

fn copy(from: &Value, into: &mut Map<String, Value>, member: &str) {
    if let Some(value) = super::input::given(from, member) {
        into.insert(member.to_owned(), value.clone());
    }
}

fn default(map: &mut Map<String, Value>, member: &str, value: Value) {
    map.entry(member).or_insert(value);
}
