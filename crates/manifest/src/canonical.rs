//! One form for equal content: AWS's defaults and orderings normalised; never changes what content
//! means to ECS.
//!
//! What a manifest says and what AWS reads back go through the same function, so that comparing the
//! results finds differences of content only. Sources of each rule: the tables in `rules`.

pub(crate) mod rules;

use serde_json::{Map, Value};

use crate::shapes::{Shape, shapes};
use crate::task_size;

/// The canonical form of the input of RegisterTaskDefinition, also from the `taskDefinition` that
/// `DescribeTaskDefinition` returns.
///
/// Members that AWS adds are dropped, members equal to AWS's default and empty ones are left out,
/// lists without order are sorted. `tags` are dropped too: AWS returns them beside a task
/// definition, not in it, and they can be changed without a new revision.
pub fn task_definition(input: &Value) -> Value {
    let mut value = only_members_of(&shapes().register_task_definition, input, &["tags"]);
    tidy(&mut value);
    normalise_size(&mut value);
    omit_implied_host_ports(&mut value);
    omit_implied_platform(&mut value);
    rules::apply(rules::TASK_DEFINITION_DEFAULTS, &mut value);
    prune_empty(&mut value);
    rules::apply(rules::TASK_DEFINITION_ORDER, &mut value);
    value.sort_all_objects();
    value
}

/// Gives a canonical task definition back what is sent and not compared, from what it is the form of: tags, and the
/// order of environment files, of which the first to set a variable wins although ECS may read them back in any order.
///
/// Source: `EnvironmentFile` API reference: files that hold the same variable are processed from the top down.
pub fn keep_uncompared(canonical: &mut Value, written: &Value) {
    keep_file_order(canonical, written);
    let tags =
        written.get("tags").filter(|tags| tags.as_array().is_some_and(|all| !all.is_empty()));
    if let (Some(members), Some(tags)) = (canonical.as_object_mut(), tags) {
        members.insert("tags".to_owned(), tags.clone());
    }
}

fn keep_file_order(canonical: &mut Value, written: &Value) {
    const FILES: &str = "environmentFiles";
    let of = |value: &Value| value.get("name").and_then(Value::as_str).map(str::to_owned);
    let written = written.get("containerDefinitions").and_then(Value::as_array);
    let containers = canonical.get_mut("containerDefinitions").and_then(Value::as_array_mut);
    for container in containers.into_iter().flatten().filter(|one| one.get(FILES).is_some()) {
        let same = written.into_iter().flatten().find(|one| of(one) == of(container));
        let files = same.and_then(|one| one.get(FILES));
        if let (Some(kept), Some(files)) = (container.get_mut(FILES), files) {
            *kept = files.clone();
        }
    }
}

/// The canonical form of the input of CreateService, also from an element of
/// `DescribeServices.services`, without `cluster`, `serviceName`, `taskDefinition`, `clientToken`.
///
/// Top-level members and those of `deploymentConfiguration`, which UpdateService merges one by one,
/// are filled with AWS's defaults; inside values that AWS replaces whole, defaults are left out.
/// Members whose default depends on the account or cluster (`launchType`,
/// `availabilityZoneRebalancing`) and those that DescribeServices does not return
/// (`serviceConnectConfiguration`, `volumeConfigurations`, `vpcLatticeConfigurations`, ...) stay
/// absent when absent, and so does `desiredCount`.
pub fn service(input: &Value) -> Value {
    let elsewhere = ["cluster", "serviceName", "taskDefinition", "clientToken", "role"];
    let mut value = only_members_of(&shapes().create_service, input, &elsewhere);
    put_role(&mut value, input);
    tidy(&mut value);
    fill_percentages(&mut value);
    rules::apply(rules::SERVICE, &mut value);
    normalise_tags(&mut value);
    normalise_placement_fields(&mut value);
    value.sort_all_objects();
    value
}

/// The part of `canonical` that `written` spelled out: members of objects that `written` lacks are
/// left away, at every depth; lists are kept whole.
///
/// This is what a manifest owns of a service: filled defaults compare, but are nobody's wish.
pub fn owned(canonical: &Value, written: &Value) -> Value {
    let (Value::Object(canonical), Value::Object(written)) = (canonical, written) else {
        return canonical.clone();
    };
    canonical
        .iter()
        .filter_map(|(name, value)| {
            let written = written.get(name).filter(|written| !written.is_null())?;
            Some((name.clone(), owned(value, written)))
        })
        .collect()
}

/// The members of CreateService that make a service revision together with the task definition.
///
/// Source: UpdateService API reference, the members that "trigger a new service deployment"; and
/// `ServiceRevision` for `gatewayConnectors` and `monitoring`, which it holds too; `capacityProviderStrategy` changes by a
/// forced deployment only (pipe-cd/pipecd#6385).
pub fn revision_members() -> &'static [&'static str] {
    &[
        "capacityProviderStrategy",
        "gatewayConnectors",
        "loadBalancers",
        "monitoring",
        "networkConfiguration",
        "platformVersion",
        "serviceConnectConfiguration",
        "serviceRegistries",
        "volumeConfigurations",
        "vpcLatticeConfigurations",
    ]
}

/// The members of CreateService that a task set has in the place of its service, with the controllers EXTERNAL and
/// `CODE_DEPLOY`.
///
/// Source: `CreateTaskSet` and `TaskSet` API references.
pub fn task_set_members() -> &'static [&'static str] {
    &[
        "networkConfiguration",
        "loadBalancers",
        "serviceRegistries",
        "launchType",
        "capacityProviderStrategy",
        "platformVersion",
    ]
}

/// The members of UpdateService where absent means keep and `[]` means remove.
///
/// Source: UpdateService API reference, which names an empty list as the way to remove for these.
pub fn removable_members() -> &'static [&'static str] {
    &[
        "capacityProviderStrategy",
        "loadBalancers",
        "placementConstraints",
        "placementStrategy",
        "serviceRegistries",
    ]
}

/// What a verdict is about, from the digest of a task definition and a service in canonical form.
pub(crate) fn revision(task_definition: &crate::Digest, service: &Value) -> Value {
    let mut revision: Map<String, Value> = revision_members()
        .iter()
        .filter_map(|&name| Some((name.to_owned(), service.get(name)?.clone())))
        .filter(|(_, value)| !is_off(value))
        .collect();
    revision.insert("taskDefinition".to_owned(), task_definition.as_str().into());
    Value::Object(revision)
}

/// An empty list, or a configuration that says `enabled: false` (Service Connect): the same as absent.
fn is_off(value: &Value) -> bool {
    is_empty(value) || value.get("enabled") == Some(&Value::Bool(false))
}

fn only_members_of(shape: &Shape, input: &Value, except: &[&str]) -> Value {
    let Value::Object(members) = input else { return Value::Object(Map::new()) };
    members
        .iter()
        .filter(|(name, _)| shape.member(name).is_some() && !except.contains(&name.as_str()))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// Drops `null` members and writes whole numbers as integers: AWS's protocol knows neither `null`
/// nor a difference between `5` and `5.0`.
fn tidy(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|_, member| !member.is_null());
            members.values_mut().for_each(tidy);
        }
        Value::Array(elements) => elements.iter_mut().for_each(tidy),
        Value::Number(number) => {
            if let Some(whole) = whole(number) {
                *number = whole.into();
            }
        }
        _ => {}
    }
}

/// The integer that a number written with a fraction of zero stands for.
fn whole(number: &serde_json::Number) -> Option<i64> {
    if !number.is_f64() {
        return None;
    }
    let text = format!("{:.0}", number.as_f64()?);
    let integer: i64 = text.parse().ok()?;
    (number.as_f64() == text.parse().ok() && integer.unsigned_abs() < 1 << 53).then_some(integer)
}

/// `256`, `".25 vCPU"` → `"256"`; `"0.5 GB"` → `"512"`: AWS reads integers back, as strings.
fn normalise_size(value: &mut Value) {
    normalise_member(value, "cpu", task_size::cpu_units);
    normalise_member(value, "memory", task_size::memory_mib);
}

fn normalise_member(value: &mut Value, name: &str, parse: fn(&str) -> Option<u64>) {
    if let Some(size) = value.get_mut(name) {
        let text = size.as_str().map_or_else(|| size.to_string(), str::to_owned);
        *size = parse(&text).map_or(text, |units| units.to_string()).into();
    }
}

/// With `awsvpc` and `host` the host port is the container port; with `bridge`, 0 is a port of
/// Docker's choice. AWS reads both back though nobody sent them.
fn omit_implied_host_ports(value: &mut Value) {
    let same = matches!(value.get("networkMode").and_then(Value::as_str), Some("awsvpc" | "host"));
    for mapping in rules::each_mut(value, "containerDefinitions[].portMappings[]") {
        let Some(mapping) = mapping.as_object_mut() else { continue };
        // What is no number is no port: two that differ now may be pruned to the same later.
        let Some(host) = mapping.get("hostPort").filter(|port| port.is_number()) else { continue };
        if host.as_u64() == Some(0) || (same && Some(host) == mapping.get("containerPort")) {
            mapping.remove("hostPort");
        }
    }
}

/// Fargate takes an absent platform for Linux on x86; on EC2 a written one also constrains
/// placement, so it is content wherever tasks may run elsewhere, too.
/// Source: `requiresCompatibilities` is what a task definition is validated against, not where its tasks run
/// (RegisterTaskDefinition API reference).
fn omit_implied_platform(value: &mut Value) {
    let compatibilities = value.get("requiresCompatibilities").and_then(Value::as_array);
    let is_fargate = |all: &Vec<Value>| !all.is_empty() && all.iter().all(|one| one == "FARGATE");
    if compatibilities.is_some_and(is_fargate) {
        rules::apply(rules::FARGATE_PLATFORM, value);
    }
}

/// The default percentages depend on the scheduling strategy.
fn fill_percentages(value: &mut Value) {
    let daemon = value.get("schedulingStrategy").and_then(Value::as_str) == Some("DAEMON");
    rules::apply(
        if daemon { rules::DAEMON_PERCENTAGES } else { rules::REPLICA_PERCENTAGES },
        value,
    );
}

/// DescribeServices returns `roleArn` for what CreateService calls `role`, and a service-linked role
/// where none was sent. A path is part of a role's name in CreateService: `/path/name`.
fn put_role(value: &mut Value, input: &Value) {
    let Some(members) = value.as_object_mut() else { return };
    let Some(Value::String(role)) = input.get("role").or_else(|| input.get("roleArn")) else {
        return;
    };
    let arn = role.split_once(":role/").filter(|(head, _)| head.starts_with("arn:"));
    let name = arn.map_or(role.as_str(), |(_, name)| name);
    let name = if name.starts_with('/') || !name.contains('/') {
        name.to_owned()
    } else {
        format!("/{name}")
    };
    if !name.ends_with("/AWSServiceRoleForECS") {
        members.insert("role".to_owned(), name.into());
    }
}

/// Tags of AWS and of Evenkeel itself are nobody's content.
fn normalise_tags(value: &mut Value) {
    let Some(tags) = value.get_mut("tags").and_then(Value::as_array_mut) else { return };
    tags.retain(|tag| {
        let key = tag.get("key").and_then(Value::as_str).unwrap_or_default();
        !key.starts_with("aws:") && !key.starts_with("evenkeel:")
    });
}

/// ECS takes `host` for `instanceId`, and `cpu` and `memory` in any case.
/// Source: `PlacementStrategy` API reference; the Terraform provider compares without case.
fn normalise_placement_fields(value: &mut Value) {
    for strategy in rules::each_mut(value, "placementStrategy[]") {
        let Some(Value::String(field)) = strategy.get_mut("field") else { continue };
        match field.to_ascii_lowercase().as_str() {
            "host" | "instanceid" => "instanceId".clone_into(field),
            lower @ ("cpu" | "memory") => lower.clone_into(field),
            _ => {}
        }
    }
}

/// Removes empty members from the leaves up, for AWS reads back `[]` and `{}` for what is absent.
fn prune_empty(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.values_mut().for_each(prune_empty);
            members.retain(|name, member| means_something_empty(name) || !is_empty(member));
        }
        Value::Array(elements) => elements.iter_mut().for_each(prune_empty),
        _ => {}
    }
}

/// A volume with an empty Docker configuration is a Docker volume; without one it is a bind mount.
fn means_something_empty(name: &str) -> bool {
    name == "dockerVolumeConfiguration"
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Array(elements) => elements.is_empty(),
        Value::Object(members) => members.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_of_revisions_and_removable_ones_are_members_of_create_service() {
        for name in revision_members().iter().chain(removable_members()) {
            assert!(shapes().create_service.member(name).is_some(), "{name}");
        }
    }
}
