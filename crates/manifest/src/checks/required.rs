//! Members that AWS requires; never looks at their values.

use super::Wanted;
use crate::node::Cursor;
use crate::problem::Report;

/// Objects by path, `[]` after a list, and the members that each must have.
/// Source: the `required` traits of RegisterTaskDefinition in AWS's model, and for `name` and
/// `image`, which the model leaves open, the answers of the API. A variable without a `value` is
/// registered without an error, and is not there when it is read back
/// (aws-actions/amazon-ecs-deploy-task-definition#224).
const TASK_DEFINITION: &[(&str, &[&str])] = &[
    ("", &["containerDefinitions"]),
    ("containerDefinitions[]", &["name", "image"]),
    ("containerDefinitions[].dependsOn[]", &["containerName", "condition"]),
    (VARIABLE, &["name", "value"]),
    ("containerDefinitions[].environmentFiles[]", &["value", "type"]),
    ("containerDefinitions[].extraHosts[]", &["hostname", "ipAddress"]),
    ("containerDefinitions[].firelensConfiguration", &["type"]),
    ("containerDefinitions[].healthCheck", &["command"]),
    ("containerDefinitions[].linuxParameters.devices[]", &["hostPath"]),
    ("containerDefinitions[].linuxParameters.tmpfs[]", &["containerPath", "size"]),
    ("containerDefinitions[].logConfiguration", &["logDriver"]),
    ("containerDefinitions[].logConfiguration.secretOptions[]", &["name", "valueFrom"]),
    ("containerDefinitions[].repositoryCredentials", &["credentialsParameter"]),
    ("containerDefinitions[].resourceRequirements[]", &["type"]),
    ("containerDefinitions[].restartPolicy", &["enabled"]),
    ("containerDefinitions[].secrets[]", &["name", "valueFrom"]),
    ("containerDefinitions[].ulimits[]", &["name", "softLimit", "hardLimit"]),
    ("ephemeralStorage", &["sizeInGiB"]),
    ("inferenceAccelerators[]", &["deviceName", "deviceType"]),
    ("proxyConfiguration", &["containerName"]),
    ("tags[]", &["key"]),
    ("trustedExecutionConfiguration", &["isolationMode"]),
    ("volumes[]", &["name"]),
    ("volumes[].efsVolumeConfiguration", &["fileSystemId"]),
    (
        "volumes[].fsxWindowsFileServerVolumeConfiguration",
        &["fileSystemId", "rootDirectory", "authorizationConfig"],
    ),
    ("volumes[].s3filesVolumeConfiguration", &["fileSystemArn"]),
];

const VARIABLE: &str = "containerDefinitions[].environment[]";

/// The same for CreateService.
const SERVICE: &[(&str, &[&str])] = &[
    ("capacityProviderStrategy[]", &["capacityProvider"]),
    ("deploymentConfiguration.alarms", &["alarmNames", "enable", "rollback"]),
    ("deploymentConfiguration.deploymentCircuitBreaker", &["enable", "rollback"]),
    ("deploymentConfiguration.deploymentCircuitBreaker.thresholdConfiguration", &["type", "value"]),
    ("deploymentConfiguration.earlySuccessCriteria", &["enable"]),
    ("deploymentController", &["type"]),
    ("gatewayConnectors[]", &["portName"]),
    ("loadBalancers[]", &["containerName", "containerPort"]),
    ("monitoring.metricConfigurations[]", &["metricNames", "resolutionSeconds"]),
    ("networkConfiguration", &["awsvpcConfiguration"]),
    ("networkConfiguration.awsvpcConfiguration", &["subnets"]),
    ("serviceConnectConfiguration", &["enabled"]),
    ("serviceConnectConfiguration.accessLogConfiguration", &["format"]),
    ("serviceConnectConfiguration.logConfiguration", &["logDriver"]),
    ("serviceConnectConfiguration.services[]", &["portName"]),
    ("serviceConnectConfiguration.services[].clientAliases[]", &["port"]),
    ("serviceConnectConfiguration.services[].tls", &["issuerCertificateAuthority"]),
    ("serviceRegistries[]", &["registryArn"]),
    ("tags[]", &["key"]),
    ("volumeConfigurations[]", &["name"]),
    ("volumeConfigurations[].managedEBSVolume", &["roleArn"]),
    ("vpcLatticeConfigurations[]", &["roleArn", "targetGroupArn", "portName"]),
];

pub(super) fn check(wanted: &Wanted<'_, '_>, report: &mut Report) {
    for (root, table) in [(wanted.task_definition, TASK_DEFINITION), (wanted.service, SERVICE)] {
        for (path, names) in table {
            for object in each(root, path) {
                for name in names.iter().filter(|name| object.member(name).is_none()) {
                    report.error(&object, missing(path, name));
                }
            }
        }
    }
}

fn missing(path: &str, name: &str) -> String {
    let advice = match (path, name) {
        (VARIABLE, "value") => ": ECS drops a variable without one; an empty one is `value: \"\"`",
        _ => "",
    };
    format!("`{name}` is missing{advice}")
}

/// The members that AWS requires of the object at `path` of the input of RegisterTaskDefinition
/// (`of_service` false) or CreateService.
pub(crate) fn members(of_service: bool, path: &str) -> &'static [&'static str] {
    let table = if of_service { SERVICE } else { TASK_DEFINITION };
    table.iter().find(|(at, _)| *at == path).map_or(&[], |(_, names)| names)
}

/// The objects at `path`.
fn each<'a>(at: &Cursor<'a>, path: &str) -> Vec<Cursor<'a>> {
    if path.is_empty() {
        return vec![at.clone()];
    }
    let (first, rest) = path.split_once('.').unwrap_or((path, ""));
    match first.strip_suffix("[]") {
        None => at.member(first).map(|member| each(&member, rest)).unwrap_or_default(),
        Some(name) => at.elements_of(name).iter().flat_map(|element| each(element, rest)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shapes::{Shape, shapes};

    #[test]
    fn every_required_member_is_one_that_aws_has() {
        let tables = [
            (&shapes().register_task_definition, TASK_DEFINITION),
            (&shapes().create_service, SERVICE),
        ];
        for (root, table) in tables {
            for (path, names) in table {
                let object = path.split('.').filter(|part| !part.is_empty()).fold(root, step);
                for name in *names {
                    assert!(object.member(name).is_some(), "{path}.{name}");
                }
            }
        }
    }

    fn step<'a>(shape: &'a Shape, part: &str) -> &'a Shape {
        match (part.strip_suffix("[]"), shape) {
            (None, shape) => shape.member(part).expect(part),
            (Some(name), shape) => match shape.member(name) {
                Some(Shape::List { member }) => member,
                other => panic!("{part} is {other:?}"),
            },
        }
    }
}
