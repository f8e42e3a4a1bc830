//! The values of the enums among the members; schemas do not carry them.

use aws_sdk_ecs::types::{
    AccessType, ApplicationProtocol, AssignPublicIp, AvailabilityZoneRebalancing, Compatibility,
    ContainerCondition, CpuArchitecture, DeploymentControllerType, DeploymentLifecycleHookAction,
    DeploymentLifecycleHookStage, DeploymentLifecycleHookTargetType, DeploymentStrategy,
    DeviceCgroupPermission, EbsResourceType, EfsAuthorizationConfigIam, EfsTransitEncryption,
    EnvironmentFileType, FirelensConfigurationType, GatewayConnectorHealthCheckProtocol, IpcMode,
    LaunchType, LogDriver, NetworkMode, OsFamily, PidMode, PlacementConstraintType,
    PlacementStrategyType, PropagateTags, ProxyConfigurationType, ResourceType, SchedulingStrategy,
    Scope, ServiceConnectAccessLoggingFormat, ServiceConnectContainerLogLevel,
    ServiceConnectIncludeQueryParameters, ServiceRevisionCleanup,
    TaskDefinitionPlacementConstraintType, TaskFilesystemType, ThresholdType, TransportProtocol,
    UlimitName, VersionConsistency,
};

type Values = fn() -> &'static [&'static str];

/// One row for each member that is an enum: its path and the values that the SDK knows.
pub(super) static VALUES: &[(&str, Values)] = &[
    ("RegisterTaskDefinition.networkMode", NetworkMode::values),
    (
        "RegisterTaskDefinition.containerDefinitions[].portMappings[].protocol",
        TransportProtocol::values,
    ),
    (
        "RegisterTaskDefinition.containerDefinitions[].portMappings[].appProtocol",
        ApplicationProtocol::values,
    ),
    (
        "RegisterTaskDefinition.containerDefinitions[].environmentFiles[].type",
        EnvironmentFileType::values,
    ),
    (
        "RegisterTaskDefinition.containerDefinitions[].linuxParameters.devices[].permissions[]",
        DeviceCgroupPermission::values,
    ),
    (
        "RegisterTaskDefinition.containerDefinitions[].dependsOn[].condition",
        ContainerCondition::values,
    ),
    (
        "RegisterTaskDefinition.containerDefinitions[].versionConsistency",
        VersionConsistency::values,
    ),
    ("RegisterTaskDefinition.containerDefinitions[].ulimits[].name", UlimitName::values),
    ("RegisterTaskDefinition.containerDefinitions[].logConfiguration.logDriver", LogDriver::values),
    (
        "RegisterTaskDefinition.containerDefinitions[].resourceRequirements[].type",
        ResourceType::values,
    ),
    (
        "RegisterTaskDefinition.containerDefinitions[].firelensConfiguration.type",
        FirelensConfigurationType::values,
    ),
    ("RegisterTaskDefinition.volumes[].dockerVolumeConfiguration.scope", Scope::values),
    (
        "RegisterTaskDefinition.volumes[].efsVolumeConfiguration.transitEncryption",
        EfsTransitEncryption::values,
    ),
    (
        "RegisterTaskDefinition.volumes[].efsVolumeConfiguration.authorizationConfig.iam",
        EfsAuthorizationConfigIam::values,
    ),
    (
        "RegisterTaskDefinition.placementConstraints[].type",
        TaskDefinitionPlacementConstraintType::values,
    ),
    ("RegisterTaskDefinition.requiresCompatibilities[]", Compatibility::values),
    ("RegisterTaskDefinition.pidMode", PidMode::values),
    ("RegisterTaskDefinition.ipcMode", IpcMode::values),
    ("RegisterTaskDefinition.proxyConfiguration.type", ProxyConfigurationType::values),
    ("RegisterTaskDefinition.runtimePlatform.cpuArchitecture", CpuArchitecture::values),
    ("RegisterTaskDefinition.runtimePlatform.operatingSystemFamily", OsFamily::values),
    ("CreateService.availabilityZoneRebalancing", AvailabilityZoneRebalancing::values),
    ("CreateService.launchType", LaunchType::values),
    (
        "CreateService.deploymentConfiguration.deploymentCircuitBreaker.thresholdConfiguration.type",
        ThresholdType::values,
    ),
    ("CreateService.deploymentConfiguration.strategy", DeploymentStrategy::values),
    (
        "CreateService.deploymentConfiguration.lifecycleHooks[].targetType",
        DeploymentLifecycleHookTargetType::values,
    ),
    (
        "CreateService.deploymentConfiguration.lifecycleHooks[].lifecycleStages[]",
        DeploymentLifecycleHookStage::values,
    ),
    (
        "CreateService.deploymentConfiguration.lifecycleHooks[].timeoutConfiguration.action",
        DeploymentLifecycleHookAction::values,
    ),
    (
        "CreateService.deploymentConfiguration.earlySuccessCriteria.sourceServiceRevisionCleanup",
        ServiceRevisionCleanup::values,
    ),
    ("CreateService.placementConstraints[].type", PlacementConstraintType::values),
    ("CreateService.placementStrategy[].type", PlacementStrategyType::values),
    (
        "CreateService.networkConfiguration.awsvpcConfiguration.assignPublicIp",
        AssignPublicIp::values,
    ),
    ("CreateService.schedulingStrategy", SchedulingStrategy::values),
    ("CreateService.deploymentController.type", DeploymentControllerType::values),
    ("CreateService.propagateTags", PropagateTags::values),
    ("CreateService.serviceConnectConfiguration.logConfiguration.logDriver", LogDriver::values),
    (
        "CreateService.serviceConnectConfiguration.accessLogConfiguration.format",
        ServiceConnectAccessLoggingFormat::values,
    ),
    (
        "CreateService.serviceConnectConfiguration.accessLogConfiguration.includeQueryParameters",
        ServiceConnectIncludeQueryParameters::values,
    ),
    (
        "CreateService.volumeConfigurations[].managedEBSVolume.tagSpecifications[].resourceType",
        EbsResourceType::values,
    ),
    (
        "CreateService.volumeConfigurations[].managedEBSVolume.tagSpecifications[].propagateTags",
        PropagateTags::values,
    ),
    (
        "CreateService.volumeConfigurations[].managedEBSVolume.filesystemType",
        TaskFilesystemType::values,
    ),
    (
        "CreateService.gatewayConnectors[].healthCheck.healthCheckProtocol",
        GatewayConnectorHealthCheckProtocol::values,
    ),
    ("CreateService.gatewayConnectors[].filters.accessTypes[]", AccessType::values),
    (
        "CreateService.serviceConnectConfiguration.containerConfigurations[].logLevel",
        ServiceConnectContainerLogLevel::values,
    ),
];

/// The values of the member at `path`, when it is an enum.
pub(super) fn values(path: &str) -> Option<&'static [&'static str]> {
    VALUES.iter().find(|row| row.0 == path).map(|row| row.1())
}
