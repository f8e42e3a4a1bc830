//! What AWS adds and reorders, as data, and the few lines that apply it; never knows why a value is
//! compared.
//!
//! Sources: RegisterTaskDefinition, `DescribeTaskDefinition`, CreateService and DescribeServices API
//! references; read-backs recorded from accounts; the normalisation of the Terraform provider.

use serde_json::{Map, Value};

/// One rule about the member at `path`: names joined by `.`, `[]` after a list.
pub(super) struct Row {
    pub(super) path: &'static str,
    pub(super) rule: Rule,
}

pub(super) enum Rule {
    /// Absent means this value: the canonical form leaves it out.
    Omit(Plain),
    /// Absent means this value: the canonical form writes it.
    Fill(Plain),
    /// The order means nothing: sorted by these members of the elements, then by their text.
    Sort(&'static [&'static str]),
    /// Absent means the same as this other member of the object.
    OmitIfSameAs(&'static str),
}

/// A default.
#[derive(Clone, Copy)]
pub(super) enum Plain {
    False,
    True,
    Number(i64),
    Text(&'static str),
    EmptyList,
    EmptyObject,
}

use Plain::{EmptyList, EmptyObject, False, Number, Text, True};
use Rule::{Fill, Omit, OmitIfSameAs, Sort};

const fn row(path: &'static str, rule: Rule) -> Row {
    Row { path, rule }
}

/// RegisterTaskDefinition. Empty lists and objects are left out without a row.
pub(super) const TASK_DEFINITION_DEFAULTS: &[Row] = &[
    row("networkMode", Omit(Text("bridge"))),
    row("enableFaultInjection", Omit(False)),
    row("proxyConfiguration.type", Omit(Text("APPMESH"))),
    row("containerDefinitions[].cpu", Omit(Number(0))),
    row("containerDefinitions[].essential", Omit(True)),
    row("containerDefinitions[].disableNetworking", Omit(False)),
    row("containerDefinitions[].interactive", Omit(False)),
    row("containerDefinitions[].privileged", Omit(False)),
    row("containerDefinitions[].pseudoTerminal", Omit(False)),
    row("containerDefinitions[].readonlyRootFilesystem", Omit(False)),
    row("containerDefinitions[].user", Omit(Text(""))),
    row("containerDefinitions[].workingDirectory", Omit(Text(""))),
    row("containerDefinitions[].versionConsistency", Omit(Text("enabled"))),
    row("containerDefinitions[].healthCheck.interval", Omit(Number(30))),
    row("containerDefinitions[].healthCheck.timeout", Omit(Number(5))),
    row("containerDefinitions[].healthCheck.retries", Omit(Number(3))),
    row("containerDefinitions[].healthCheck.startPeriod", Omit(Number(0))),
    row("containerDefinitions[].mountPoints[].readOnly", Omit(False)),
    row("containerDefinitions[].volumesFrom[].readOnly", Omit(False)),
    row("containerDefinitions[].portMappings[].protocol", Omit(Text("tcp"))),
    row("containerDefinitions[].restartPolicy.restartAttemptPeriod", Omit(Number(300))),
    row("volumes[].configuredAtLaunch", Omit(False)),
    row("volumes[].dockerVolumeConfiguration.scope", Omit(Text("task"))),
    row("volumes[].dockerVolumeConfiguration.autoprovision", Omit(False)),
    row("volumes[].efsVolumeConfiguration.rootDirectory", Omit(Text("/"))),
    row("volumes[].efsVolumeConfiguration.transitEncryption", Omit(Text("DISABLED"))),
    row("volumes[].efsVolumeConfiguration.authorizationConfig.iam", Omit(Text("DISABLED"))),
    row("volumes[].s3filesVolumeConfiguration.rootDirectory", Omit(Text("/"))),
];

/// The inner lists before the outer ones, after everything that equals a default or is empty is gone.
pub(super) const TASK_DEFINITION_ORDER: &[Row] = &[
    row("requiresCompatibilities", Sort(&[])),
    row("inferenceAccelerators", Sort(&["deviceName"])),
    row("placementConstraints", Sort(&["type", "expression"])),
    row("proxyConfiguration.properties", Sort(&["name"])),
    row("containerDefinitions[].dependsOn", Sort(&["containerName"])),
    row("containerDefinitions[].dockerSecurityOptions", Sort(&[])),
    row("containerDefinitions[].environment", Sort(&["name"])),
    row("containerDefinitions[].environmentFiles", Sort(&["value"])),
    row("containerDefinitions[].extraHosts", Sort(&["hostname", "ipAddress"])),
    row("containerDefinitions[].links", Sort(&[])),
    row("containerDefinitions[].linuxParameters.capabilities.add", Sort(&[])),
    row("containerDefinitions[].linuxParameters.capabilities.drop", Sort(&[])),
    row("containerDefinitions[].linuxParameters.devices[].permissions", Sort(&[])),
    row("containerDefinitions[].linuxParameters.devices", Sort(&["hostPath", "containerPath"])),
    row("containerDefinitions[].linuxParameters.tmpfs", Sort(&["containerPath"])),
    row("containerDefinitions[].logConfiguration.secretOptions", Sort(&["name"])),
    row("containerDefinitions[].mountPoints", Sort(&["containerPath", "sourceVolume"])),
    row("containerDefinitions[].portMappings", Sort(&["containerPort", "protocol"])),
    row("containerDefinitions[].resourceRequirements", Sort(&["type", "value"])),
    row("containerDefinitions[].restartPolicy.ignoredExitCodes", Sort(&[])),
    row("containerDefinitions[].secrets", Sort(&["name"])),
    row("containerDefinitions[].systemControls", Sort(&["namespace"])),
    row("containerDefinitions[].ulimits", Sort(&["name"])),
    row("containerDefinitions[].volumesFrom", Sort(&["sourceContainer"])),
    row("containerDefinitions", Sort(&["name"])),
    row("volumes", Sort(&["name"])),
];

/// RegisterTaskDefinition for Fargate only.
pub(super) const FARGATE_PLATFORM: &[Row] = &[
    row("runtimePlatform.cpuArchitecture", Omit(Text("X86_64"))),
    row("runtimePlatform.operatingSystemFamily", Omit(Text("LINUX"))),
];

/// CreateService. A parent is filled before its members.
pub(super) const SERVICE: &[Row] = &[
    row("schedulingStrategy", Fill(Text("REPLICA"))),
    row("deploymentController", Fill(EmptyObject)),
    row("deploymentController.type", Fill(Text("ECS"))),
    row("enableECSManagedTags", Fill(False)),
    row("enableExecuteCommand", Fill(False)),
    row("healthCheckGracePeriodSeconds", Fill(Number(0))),
    row("platformVersion", Fill(Text("LATEST"))),
    row("propagateTags", Fill(Text("NONE"))),
    row("capacityProviderStrategy", Fill(EmptyList)),
    row("capacityProviderStrategy[].base", Omit(Number(0))),
    row("capacityProviderStrategy[].weight", Omit(Number(0))),
    row("capacityProviderStrategy", Sort(&["capacityProvider"])),
    row("loadBalancers", Fill(EmptyList)),
    row("loadBalancers", Sort(&["targetGroupArn", "loadBalancerName", "containerName"])),
    row("placementConstraints", Fill(EmptyList)),
    row("placementConstraints", Sort(&["type", "expression"])),
    row("placementStrategy", Fill(EmptyList)),
    row("serviceRegistries", Fill(EmptyList)),
    row("serviceRegistries", Sort(&["registryArn"])),
    row("tags", Fill(EmptyList)),
    row("tags", Sort(&["key"])),
    row("networkConfiguration.awsvpcConfiguration.assignPublicIp", Omit(Text("DISABLED"))),
    row("networkConfiguration.awsvpcConfiguration.securityGroups", Omit(EmptyList)),
    row("networkConfiguration.awsvpcConfiguration.securityGroups", Sort(&[])),
    row("networkConfiguration.awsvpcConfiguration.subnets", Sort(&[])),
    row("deploymentConfiguration.strategy", Fill(Text("ROLLING"))),
    row("deploymentConfiguration.bakeTimeInMinutes", Fill(Number(0))),
    row("deploymentConfiguration.alarms", Fill(EmptyObject)),
    row("deploymentConfiguration.alarms.alarmNames", Fill(EmptyList)),
    row("deploymentConfiguration.alarms.alarmNames", Sort(&[])),
    row("deploymentConfiguration.alarms.enable", Fill(False)),
    row("deploymentConfiguration.alarms.rollback", Fill(False)),
    row("deploymentConfiguration.deploymentCircuitBreaker", Fill(EmptyObject)),
    row("deploymentConfiguration.deploymentCircuitBreaker.enable", Fill(False)),
    row("deploymentConfiguration.deploymentCircuitBreaker.rollback", Fill(False)),
    row("deploymentConfiguration.deploymentCircuitBreaker.resetOnHealthyTask", Fill(True)),
    row(
        "deploymentConfiguration.deploymentCircuitBreaker.thresholdConfiguration",
        Fill(EmptyObject),
    ),
    row(
        "deploymentConfiguration.deploymentCircuitBreaker.thresholdConfiguration.type",
        Fill(Text("BOUNDED_PERCENT")),
    ),
    row(
        "deploymentConfiguration.deploymentCircuitBreaker.thresholdConfiguration.value",
        Fill(Number(50)),
    ),
    row("deploymentConfiguration.lifecycleHooks", Fill(EmptyList)),
    row("deploymentConfiguration.lifecycleHooks[].lifecycleStages", Sort(&[])),
    row("deploymentConfiguration.lifecycleHooks", Sort(&["hookTargetArn", "targetType"])),
    row("serviceConnectConfiguration.services[].discoveryName", OmitIfSameAs("portName")),
    row("serviceConnectConfiguration.services[].clientAliases", Sort(&["port", "dnsName"])),
    row("serviceConnectConfiguration.services", Sort(&["portName"])),
    row("serviceConnectConfiguration.logConfiguration.secretOptions", Sort(&["name"])),
    row("volumeConfigurations[].managedEBSVolume.filesystemType", Omit(Text("xfs"))),
    row("volumeConfigurations[].managedEBSVolume.tagSpecifications[].tags", Sort(&["key"])),
    row("volumeConfigurations", Sort(&["name"])),
    row("vpcLatticeConfigurations", Sort(&["targetGroupArn", "portName"])),
    row("gatewayConnectors", Sort(&["portName"])),
];

pub(super) const REPLICA_PERCENTAGES: &[Row] = &[
    row("deploymentConfiguration", Fill(EmptyObject)),
    row("deploymentConfiguration.maximumPercent", Fill(Number(200))),
    row("deploymentConfiguration.minimumHealthyPercent", Fill(Number(100))),
];

pub(super) const DAEMON_PERCENTAGES: &[Row] = &[
    row("deploymentConfiguration", Fill(EmptyObject)),
    row("deploymentConfiguration.maximumPercent", Fill(Number(100))),
    row("deploymentConfiguration.minimumHealthyPercent", Fill(Number(0))),
];

/// AWS's default for the member at `path` of the input of RegisterTaskDefinition (`of_service` false)
/// or CreateService, where it has one that depends on nothing else. Sources: as for the tables.
pub(crate) fn default_of(of_service: bool, path: &str) -> Option<Value> {
    let tables = if of_service {
        [SERVICE, REPLICA_PERCENTAGES]
    } else {
        [TASK_DEFINITION_DEFAULTS, FARGATE_PLATFORM]
    };
    tables.into_iter().flatten().filter(|row| row.path == path).find_map(|row| match row.rule {
        Omit(default) | Fill(default) => Some(default.value()),
        Sort(_) | OmitIfSameAs(_) => None,
    })
}

/// Applies every row in order; what does not have the expected shape is left as it is.
pub(super) fn apply(rows: &[Row], value: &mut Value) {
    for Row { path, rule } in rows {
        let (parents, name) = path.rsplit_once('.').unwrap_or(("", path));
        for parent in each_mut(value, parents) {
            if let Value::Object(members) = parent {
                rule.apply(members, name);
            }
        }
    }
}

/// The values at `path`, in the notation of [`Row`]; the value itself when it is empty.
pub(super) fn each_mut<'a>(value: &'a mut Value, path: &str) -> Vec<&'a mut Value> {
    if path.is_empty() {
        return vec![value];
    }
    let (first, rest) = path.split_once('.').unwrap_or((path, ""));
    match first.strip_suffix("[]") {
        None => value.get_mut(first).map_or_else(Vec::new, |member| each_mut(member, rest)),
        Some(name) => {
            let elements = value.get_mut(name).and_then(Value::as_array_mut);
            elements.into_iter().flatten().flat_map(|element| each_mut(element, rest)).collect()
        }
    }
}

impl Rule {
    fn apply(&self, members: &mut Map<String, Value>, name: &str) {
        match self {
            Omit(default) => {
                if members.get(name) == Some(&default.value()) {
                    members.remove(name);
                }
            }
            Fill(default) => {
                members.entry(name).or_insert_with(|| default.value());
            }
            OmitIfSameAs(other) => {
                if members.get(name) == members.get(*other) {
                    members.remove(name);
                }
            }
            Sort(by) => {
                if let Some(Value::Array(elements)) = members.get_mut(name) {
                    sort(elements, by);
                }
            }
        }
    }
}

fn sort(elements: &mut [Value], by: &[&str]) {
    elements.sort_by_cached_key(|element| {
        let keys: Vec<SortKey> = by.iter().map(|name| SortKey::of(element.get(name))).collect();
        let mut element = element.clone();
        element.sort_all_objects();
        (keys, SortKey::of(Some(&element)))
    });
}

/// Numbers before text and by size, so that port 80 comes before port 443.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum SortKey {
    Absent,
    Number(i64),
    Text(String),
}

impl SortKey {
    fn of(value: Option<&Value>) -> Self {
        match value {
            None => Self::Absent,
            Some(Value::String(text)) => Self::Text(text.clone()),
            Some(value) => {
                value.as_i64().map_or_else(|| Self::Text(value.to_string()), Self::Number)
            }
        }
    }
}

impl Plain {
    fn value(self) -> Value {
        match self {
            False => Value::Bool(false),
            True => Value::Bool(true),
            Number(number) => number.into(),
            Text(text) => text.into(),
            EmptyList => Value::Array(Vec::new()),
            EmptyObject => Value::Object(Map::new()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shapes::{Shape, shapes};

    #[test]
    fn every_rule_is_about_a_member_that_aws_has() {
        let tables = [
            (&shapes().register_task_definition, TASK_DEFINITION_DEFAULTS),
            (&shapes().register_task_definition, TASK_DEFINITION_ORDER),
            (&shapes().register_task_definition, FARGATE_PLATFORM),
            (&shapes().create_service, SERVICE),
            (&shapes().create_service, REPLICA_PERCENTAGES),
            (&shapes().create_service, DAEMON_PERCENTAGES),
        ];
        for (shape, rows) in tables {
            for Row { path, rule } in rows {
                let found = resolve(shape, path).unwrap_or_else(|| panic!("{path} does not exist"));
                let is_list = matches!(found, Shape::List { .. });
                if matches!(rule, Sort(_)) {
                    assert!(is_list, "{path} is sorted, so it must be a list");
                }
            }
        }
    }

    fn resolve<'a>(shape: &'a Shape, path: &str) -> Option<&'a Shape> {
        path.split('.').try_fold(shape, |shape, name| match name.strip_suffix("[]") {
            None => shape.member(name),
            Some(name) => match shape.member(name)? {
                Shape::List { member } => Some(&**member),
                _ => None,
            },
        })
    }
}
