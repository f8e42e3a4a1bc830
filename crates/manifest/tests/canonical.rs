//! The canonical form against what ECS is known to add, change and shuffle, one case per rule.

use evenkeel_manifest::{Digest, canonical};
use serde_json::{Value, json};

/// `path` names members joined by `.`, `[]` after a list; builds the document with `leaf` there.
fn document(path: &str, leaf: Option<Value>) -> Value {
    let (first, rest) = match path.split_once('.') {
        Some((first, rest)) => (first, Some(rest)),
        None => (path, None),
    };
    let inner = match rest {
        Some(rest) => Some(document(rest, leaf)),
        None => leaf,
    };
    match (first.strip_suffix("[]"), inner) {
        (Some(name), Some(inner)) => json!({ name: [inner] }),
        (None, Some(inner)) => json!({ first: inner }),
        (_, None) => json!({}),
    }
}

/// Some value that is not the default.
#[expect(clippy::unwrap_used, reason = "all numbers in the tables are small integers")]
fn other_than(default: &Value) -> Value {
    match default {
        Value::Bool(yes) => (!yes).into(),
        Value::Number(number) => (number.as_i64().unwrap() + 7).into(),
        Value::Array(_) => json!(["x"]),
        Value::Object(_) => json!({ "x": "y" }),
        _ => "OTHER".into(),
    }
}

fn assert_default(canonical: fn(&Value) -> Value, path: &str, default: &Value) {
    let absent = canonical(&document(path, None));
    let written = canonical(&document(path, Some(default.clone())));
    assert_eq!(absent, written, "{path}: {default} is AWS's default");
    let other = canonical(&document(path, Some(other_than(default))));
    assert_ne!(absent, other, "{path}: another value is content");
}

#[test]
fn a_task_definition_member_equal_to_the_default_of_aws_is_the_same_as_an_absent_one() {
    let container = [
        ("cpu", json!(0)),
        ("essential", json!(true)),
        ("disableNetworking", json!(false)),
        ("interactive", json!(false)),
        ("privileged", json!(false)),
        ("pseudoTerminal", json!(false)),
        ("readonlyRootFilesystem", json!(false)),
        ("user", json!("")),
        ("workingDirectory", json!("")),
        ("versionConsistency", json!("enabled")),
        ("healthCheck.interval", json!(30)),
        ("healthCheck.timeout", json!(5)),
        ("healthCheck.retries", json!(3)),
        ("healthCheck.startPeriod", json!(0)),
        ("mountPoints[].readOnly", json!(false)),
        ("volumesFrom[].readOnly", json!(false)),
        ("portMappings[].protocol", json!("tcp")),
        ("portMappings[].hostPort", json!(0)),
        ("restartPolicy.restartAttemptPeriod", json!(300)),
        ("environment", json!([])),
        ("mountPoints", json!([])),
        ("volumesFrom", json!([])),
        ("portMappings", json!([])),
        ("systemControls", json!([])),
        ("command", json!([])),
        ("entryPoint", json!([])),
        ("secrets", json!([])),
        ("dependsOn", json!([])),
        ("links", json!([])),
        ("dnsServers", json!([])),
        ("dnsSearchDomains", json!([])),
        ("extraHosts", json!([])),
        ("dockerSecurityOptions", json!([])),
        ("ulimits", json!([])),
        ("resourceRequirements", json!([])),
        ("environmentFiles", json!([])),
        ("credentialSpecs", json!([])),
        ("dockerLabels", json!({})),
        ("linuxParameters.tmpfs", json!([])),
        ("linuxParameters.devices", json!([])),
        ("logConfiguration.secretOptions", json!([])),
    ];
    for (path, default) in container {
        let path = format!("containerDefinitions[].{path}");
        assert_default(canonical::task_definition, &path, &default);
    }
    let task = [
        ("volumes", json!([])),
        ("placementConstraints", json!([])),
        ("inferenceAccelerators", json!([])),
        ("networkMode", json!("bridge")),
        ("enableFaultInjection", json!(false)),
        ("volumes[].host", json!({})),
        ("volumes[].configuredAtLaunch", json!(false)),
        ("volumes[].efsVolumeConfiguration.rootDirectory", json!("/")),
        ("volumes[].efsVolumeConfiguration.transitEncryption", json!("DISABLED")),
        ("volumes[].efsVolumeConfiguration.authorizationConfig.iam", json!("DISABLED")),
        ("volumes[].s3filesVolumeConfiguration.rootDirectory", json!("/")),
        ("proxyConfiguration.type", json!("APPMESH")),
    ];
    for (path, default) in task {
        assert_default(canonical::task_definition, path, &default);
    }
}

#[test]
fn a_docker_volume_with_defaults_is_not_a_bind_mount() {
    let volume = |docker: Value| {
        canonical::task_definition(
            &json!({ "volumes": [{ "name": "data", "dockerVolumeConfiguration": docker }] }),
        )
    };
    assert_eq!(volume(json!({})), volume(json!({ "scope": "task", "autoprovision": false })));
    assert_ne!(volume(json!({})), volume(json!({ "scope": "shared" })));
    assert_ne!(
        volume(json!({})),
        canonical::task_definition(&json!({ "volumes": [{ "name": "data" }] }))
    );
}

#[test]
fn a_service_member_equal_to_the_default_of_aws_is_the_same_as_an_absent_one() {
    let breaker = "deploymentConfiguration.deploymentCircuitBreaker";
    let service = [
        ("schedulingStrategy".to_owned(), json!("REPLICA")),
        ("deploymentController.type".to_owned(), json!("ECS")),
        ("healthCheckGracePeriodSeconds".to_owned(), json!(0)),
        ("enableECSManagedTags".to_owned(), json!(false)),
        ("enableExecuteCommand".to_owned(), json!(false)),
        ("propagateTags".to_owned(), json!("NONE")),
        ("platformVersion".to_owned(), json!("LATEST")),
        ("placementConstraints".to_owned(), json!([])),
        ("placementStrategy".to_owned(), json!([])),
        ("loadBalancers".to_owned(), json!([])),
        ("serviceRegistries".to_owned(), json!([])),
        ("capacityProviderStrategy".to_owned(), json!([])),
        ("tags".to_owned(), json!([])),
        ("deploymentConfiguration.maximumPercent".to_owned(), json!(200)),
        ("deploymentConfiguration.minimumHealthyPercent".to_owned(), json!(100)),
        ("deploymentConfiguration.strategy".to_owned(), json!("ROLLING")),
        ("deploymentConfiguration.bakeTimeInMinutes".to_owned(), json!(0)),
        ("deploymentConfiguration.lifecycleHooks".to_owned(), json!([])),
        ("deploymentConfiguration.alarms.alarmNames".to_owned(), json!([])),
        ("deploymentConfiguration.alarms.enable".to_owned(), json!(false)),
        ("deploymentConfiguration.alarms.rollback".to_owned(), json!(false)),
        (format!("{breaker}.enable"), json!(false)),
        (format!("{breaker}.rollback"), json!(false)),
        (format!("{breaker}.resetOnHealthyTask"), json!(true)),
        (format!("{breaker}.thresholdConfiguration.type"), json!("BOUNDED_PERCENT")),
        (format!("{breaker}.thresholdConfiguration.value"), json!(50)),
    ];
    for (path, default) in &service {
        assert_default(canonical::service, path, default);
    }
}

#[test]
fn defaults_inside_values_that_aws_replaces_whole_are_the_same_as_absent_ones() {
    let cases = [
        ("capacityProviderStrategy", json!({ "capacityProvider": "a" }), "base", json!(0)),
        ("capacityProviderStrategy", json!({ "capacityProvider": "a" }), "weight", json!(0)),
    ];
    for (list, element, member, default) in cases {
        let with = |value: Value| {
            let mut element = element.clone();
            element[member] = value;
            canonical::service(&json!({ list: [element] }))
        };
        let absent = canonical::service(&json!({ list: [element.clone()] }));
        assert_eq!(absent, with(default), "{list}.{member}");
        assert_ne!(absent, with(json!(5)), "{list}.{member}");
    }
    let subnets = |network: Value| {
        canonical::service(&json!({ "networkConfiguration": { "awsvpcConfiguration": network } }))
    };
    assert_eq!(
        subnets(json!({ "subnets": ["b", "a"] })),
        subnets(
            json!({ "subnets": ["a", "b"], "securityGroups": [], "assignPublicIp": "DISABLED" })
        )
    );
    let connect = |service: Value| {
        canonical::service(&json!({
            "serviceConnectConfiguration": { "enabled": true, "services": [service] }
        }))
    };
    assert_eq!(
        connect(json!({ "portName": "http" })),
        connect(json!({ "portName": "http", "discoveryName": "http" }))
    );
    assert_ne!(
        connect(json!({ "portName": "http" })),
        connect(json!({ "portName": "http", "discoveryName": "web" }))
    );
    let volume = |ebs: Value| {
        canonical::service(&json!({
            "volumeConfigurations": [{ "name": "data", "managedEBSVolume": ebs }]
        }))
    };
    assert_eq!(
        volume(json!({ "roleArn": "r" })),
        volume(json!({ "roleArn": "r", "filesystemType": "xfs" }))
    );
}

#[test]
fn a_deployment_configuration_read_back_whole_is_the_same_as_none() {
    let read_back = json!({
        "maximumPercent": 200, "minimumHealthyPercent": 100, "strategy": "ROLLING",
        "bakeTimeInMinutes": 0, "lifecycleHooks": [],
        "alarms": { "alarmNames": [], "enable": false, "rollback": false },
        "deploymentCircuitBreaker": {
            "enable": false, "rollback": false, "resetOnHealthyTask": true,
            "thresholdConfiguration": { "type": "BOUNDED_PERCENT", "value": 50 }
        }
    });
    let read_back = canonical::service(&json!({ "deploymentConfiguration": read_back }));
    assert_eq!(canonical::service(&json!({})), read_back);
}

#[test]
fn the_default_percentages_of_a_daemon_are_100_and_0() {
    let daemon = canonical::service(&json!({ "schedulingStrategy": "DAEMON" }));
    assert_eq!(daemon["deploymentConfiguration"]["maximumPercent"], 100);
    assert_eq!(daemon["deploymentConfiguration"]["minimumHealthyPercent"], 0);
}

#[test]
fn members_whose_default_depends_on_the_account_stay_absent() {
    let service = canonical::service(&json!({}));
    for member in
        ["desiredCount", "launchType", "availabilityZoneRebalancing", "networkConfiguration"]
    {
        assert_eq!(service.get(member), None, "{member}");
    }
}

#[test]
fn task_sizes_compare_equal_in_every_spelling() {
    let size = |cpu: Value, memory: Value| {
        canonical::task_definition(&json!({ "cpu": cpu, "memory": memory }))
    };
    let expected = json!({ "cpu": "1024", "memory": "2048" });
    assert_eq!(size(json!("1 vCPU"), json!("2GB")), expected);
    assert_eq!(size(json!(1024), json!(2048)), expected);
    assert_eq!(size(json!("1024"), json!("2 gb")), expected);
}

#[test]
fn a_host_port_is_implied_by_the_network_mode() {
    let mapping = |mode: &str, host: Value| {
        canonical::task_definition(&json!({
            "networkMode": mode,
            "containerDefinitions": [{ "portMappings": [{ "containerPort": 80, "hostPort": host }] }]
        }))
    };
    assert_eq!(mapping("awsvpc", json!(null)), mapping("awsvpc", json!(80)));
    assert_eq!(mapping("host", json!(null)), mapping("host", json!(80)));
    assert_eq!(mapping("bridge", json!(null)), mapping("bridge", json!(0)));
    assert_ne!(mapping("bridge", json!(null)), mapping("bridge", json!(80)));
}

#[test]
fn the_platform_of_fargate_is_linux_on_x86_and_elsewhere_it_constrains_placement() {
    let platform = |on: &str, platform: Value| {
        canonical::task_definition(
            &json!({ "requiresCompatibilities": [on], "runtimePlatform": platform }),
        )
    };
    let written = json!({ "cpuArchitecture": "X86_64", "operatingSystemFamily": "LINUX" });
    assert_eq!(platform("FARGATE", json!(null)), platform("FARGATE", written.clone()));
    assert_ne!(platform("EC2", json!(null)), platform("EC2", written));
    assert_ne!(
        platform("FARGATE", json!(null)),
        platform("FARGATE", json!({ "cpuArchitecture": "ARM64" }))
    );
}

#[test]
fn a_platform_is_content_where_tasks_may_also_run_on_ec2() {
    let platform = |compatibilities: Value, platform: Value| {
        Digest::of(&canonical::task_definition(
            &json!({ "requiresCompatibilities": compatibilities, "runtimePlatform": platform }),
        ))
    };
    let written = json!({ "cpuArchitecture": "X86_64", "operatingSystemFamily": "LINUX" });
    for compatibilities in [json!(["EC2", "FARGATE"]), json!(["FARGATE", "EXTERNAL"]), json!([])] {
        assert_ne!(
            platform(compatibilities.clone(), json!(null)),
            platform(compatibilities.clone(), written.clone()),
            "{compatibilities}: it says where tasks are placed"
        );
    }
}

#[test]
fn the_order_of_commands_name_servers_and_placement_is_content() {
    for list in ["command", "entryPoint", "dnsServers", "dnsSearchDomains"] {
        let in_order = |all: Value| {
            canonical::task_definition(&json!({ "containerDefinitions": [{ list: all }] }))
        };
        assert_ne!(in_order(json!(["a", "b"])), in_order(json!(["b", "a"])), "{list}");
    }
    let check = |all: Value| {
        canonical::task_definition(
            &json!({ "containerDefinitions": [{ "healthCheck": { "command": all } }] }),
        )
    };
    assert_ne!(check(json!(["a", "b"])), check(json!(["b", "a"])));
    let strategy = |a: &str, b: &str| {
        canonical::service(&json!({ "placementStrategy": [{ "type": a }, { "type": b }] }))
    };
    assert_ne!(strategy("spread", "binpack"), strategy("binpack", "spread"));
}

/// Two elements of a list, of strings, integers or objects, that differ in every way.
fn elements(list: &str) -> [Value; 2] {
    let object = |n: i64| {
        let text = format!("v{n}");
        json!({
            "name": text, "value": text, "key": text, "type": text, "containerName": text,
            "containerPort": n, "port": n, "hostname": text, "containerPath": text,
            "hostPath": text, "deviceName": text, "namespace": text, "sourceContainer": text,
            "expression": text, "capacityProvider": text, "targetGroupArn": text,
            "registryArn": text, "portName": text, "hookTargetArn": text, "discoveryName": "x"
        })
    };
    let member = list.rsplit('.').next().unwrap_or(list);
    match member {
        "ignoredExitCodes" => [json!(9), json!(10)],
        "requiresCompatibilities"
        | "dockerSecurityOptions"
        | "links"
        | "add"
        | "drop"
        | "permissions"
        | "subnets"
        | "securityGroups"
        | "alarmNames"
        | "lifecycleStages" => [json!("b"), json!("a")],
        _ => [object(80), object(443)],
    }
}

fn assert_order_means_nothing(canonical: fn(&Value) -> Value, path: &str) {
    let [one, two] = elements(path);
    let in_order = |list: Vec<Value>| canonical(&document(path, Some(Value::from(list))));
    let forth = in_order(vec![one.clone(), two.clone()]);
    assert_eq!(forth, in_order(vec![two, one.clone()]), "{path}: order is no content");
    assert_ne!(forth, in_order(vec![one]), "{path}: elements are content");
}

#[test]
fn every_list_without_order_compares_equal_in_any_order() {
    let container = [
        "dependsOn",
        "dockerSecurityOptions",
        "environment",
        "environmentFiles",
        "extraHosts",
        "links",
        "linuxParameters.capabilities.add",
        "linuxParameters.capabilities.drop",
        "linuxParameters.devices",
        "linuxParameters.devices[].permissions",
        "linuxParameters.tmpfs",
        "logConfiguration.secretOptions",
        "mountPoints",
        "portMappings",
        "resourceRequirements",
        "restartPolicy.ignoredExitCodes",
        "secrets",
        "systemControls",
        "ulimits",
        "volumesFrom",
    ];
    for list in container {
        let path = format!("containerDefinitions[].{list}");
        assert_order_means_nothing(canonical::task_definition, &path);
    }
    let task = [
        "containerDefinitions",
        "inferenceAccelerators",
        "placementConstraints",
        "proxyConfiguration.properties",
        "requiresCompatibilities",
        "volumes",
    ];
    for path in task {
        assert_order_means_nothing(canonical::task_definition, path);
    }
    let service = [
        "capacityProviderStrategy",
        "deploymentConfiguration.alarms.alarmNames",
        "deploymentConfiguration.lifecycleHooks",
        "deploymentConfiguration.lifecycleHooks[].lifecycleStages",
        "gatewayConnectors",
        "loadBalancers",
        "networkConfiguration.awsvpcConfiguration.securityGroups",
        "networkConfiguration.awsvpcConfiguration.subnets",
        "placementConstraints",
        "serviceConnectConfiguration.logConfiguration.secretOptions",
        "serviceConnectConfiguration.services",
        "serviceConnectConfiguration.services[].clientAliases",
        "serviceRegistries",
        "tags",
        "volumeConfigurations",
        "volumeConfigurations[].managedEBSVolume.tagSpecifications[].tags",
        "vpcLatticeConfigurations",
    ];
    for path in service {
        assert_order_means_nothing(canonical::service, path);
    }
}

#[test]
fn a_placement_field_compares_equal_in_the_spellings_that_ecs_takes() {
    let field = |field: &str| {
        canonical::service(&json!({ "placementStrategy": [{ "type": "spread", "field": field }] }))
    };
    assert_eq!(field("host"), field("instanceId"));
    assert_eq!(field("MEMORY"), field("memory"));
    assert_ne!(field("cpu"), field("memory"));
}

#[test]
fn a_role_compares_equal_as_a_name_and_as_an_arn() {
    let role = |role: Value| canonical::service(&role).get("role").cloned();
    assert_eq!(
        role(json!({ "role": "web" })),
        role(json!({ "roleArn": "arn:aws:iam::1:role/web" }))
    );
    assert_eq!(
        role(json!({ "role": "/team/web" })),
        role(json!({ "roleArn": "arn:aws-cn:iam::1:role/team/web" }))
    );
    let linked = "arn:aws:iam::1:role/aws-service-role/ecs.amazonaws.com/AWSServiceRoleForECS";
    assert_eq!(role(json!({ "roleArn": linked })), None);
}

#[test]
fn the_name_of_a_role_is_not_cut_again_where_it_looks_like_an_arn() {
    let once = canonical::service(&json!({ "role": "arn:aws:iam::1:role/web:role/web" }));
    assert_eq!(once.get("role"), Some(&json!("/web:role/web")));
    assert_eq!(canonical::service(&once), once);
}

#[test]
fn tags_of_aws_and_of_evenkeel_are_not_content() {
    let tags = |tags: Value| canonical::service(&json!({ "tags": tags }));
    assert_eq!(
        tags(json!([{ "key": "team", "value": "a" }])),
        tags(json!([
            { "key": "evenkeel:owner", "value": "x" },
            { "key": "team", "value": "a" },
            { "key": "aws:cloudformation:stack-name", "value": "x" }
        ]))
    );
}

#[test]
fn what_describe_task_definition_returns_equals_what_was_registered() {
    let registered = json!({
        "family": "web",
        "requiresCompatibilities": ["FARGATE"],
        "networkMode": "awsvpc",
        "cpu": "0.25 vCPU",
        "memory": "0.5GB",
        "containerDefinitions": [
            {
                "name": "web",
                "image": "web:1",
                "portMappings": [{ "containerPort": 8080 }],
                "environment": [{ "name": "B", "value": "2" }, { "name": "A", "value": "1" }],
                "healthCheck": { "command": ["CMD", "true"] }
            },
            { "name": "agent", "image": "agent:1", "essential": false }
        ],
        "tags": [{ "key": "team", "value": "a" }]
    });
    let described = json!({
        "taskDefinitionArn": "arn:aws:ecs:eu-west-1:1:task-definition/web:7",
        "family": "web",
        "revision": 7,
        "status": "ACTIVE",
        "requiresAttributes": [{ "name": "ecs.capability.task-eni" }],
        "compatibilities": ["EC2", "FARGATE"],
        "registeredAt": 1_764_000_000.5,
        "registeredBy": "arn:aws:iam::1:root",
        "requiresCompatibilities": ["FARGATE"],
        "networkMode": "awsvpc",
        "cpu": "256",
        "memory": "512",
        "volumes": [],
        "placementConstraints": [],
        "containerDefinitions": [
            {
                "name": "agent", "image": "agent:1", "essential": false, "cpu": 0,
                "portMappings": [], "environment": [], "mountPoints": [], "volumesFrom": [],
                "systemControls": []
            },
            {
                "name": "web", "image": "web:1", "essential": true, "cpu": 0,
                "portMappings": [{ "containerPort": 8080, "hostPort": 8080, "protocol": "tcp" }],
                "environment": [{ "name": "A", "value": "1" }, { "name": "B", "value": "2" }],
                "mountPoints": [], "volumesFrom": [], "systemControls": [],
                "healthCheck": { "command": ["CMD", "true"], "interval": 30, "timeout": 5, "retries": 3 }
            }
        ]
    });
    let (registered, described) =
        (canonical::task_definition(&registered), canonical::task_definition(&described));
    assert_eq!(registered, described);
    assert_eq!(Digest::of(&registered), Digest::of(&described));
}

#[test]
fn what_describe_services_returns_equals_what_was_created() {
    let created = json!({
        "desiredCount": 2,
        "launchType": "FARGATE",
        "loadBalancers": [
            { "targetGroupArn": "tg-b", "containerName": "web", "containerPort": 8080 },
            { "targetGroupArn": "tg-a", "containerName": "web", "containerPort": 8081 }
        ],
        "networkConfiguration": { "awsvpcConfiguration": { "subnets": ["s-2", "s-1"] } },
        "deploymentConfiguration": { "maximumPercent": 150 }
    });
    let described = json!({
        "serviceArn": "arn:aws:ecs:eu-west-1:1:service/prod/web",
        "serviceName": "web",
        "clusterArn": "arn:aws:ecs:eu-west-1:1:cluster/prod",
        "status": "ACTIVE",
        "desiredCount": 2, "runningCount": 1, "pendingCount": 1,
        "launchType": "FARGATE",
        "platformVersion": "LATEST", "platformFamily": "Linux",
        "taskDefinition": "arn:aws:ecs:eu-west-1:1:task-definition/web:7",
        "deployments": [{ "id": "ecs-svc/1" }], "events": [], "createdAt": 1.0,
        "roleArn": "arn:aws:iam::1:role/aws-service-role/ecs.amazonaws.com/AWSServiceRoleForECS",
        "createdBy": "arn:aws:iam::1:root", "resourceManagementType": "CUSTOMER",
        "currentServiceDeployment": "x", "currentServiceRevisions": [],
        "loadBalancers": [
            { "targetGroupArn": "tg-a", "containerName": "web", "containerPort": 8081 },
            { "targetGroupArn": "tg-b", "containerName": "web", "containerPort": 8080 }
        ],
        "networkConfiguration": { "awsvpcConfiguration": {
            "subnets": ["s-1", "s-2"], "securityGroups": [], "assignPublicIp": "DISABLED"
        } },
        "deploymentConfiguration": {
            "maximumPercent": 150, "minimumHealthyPercent": 100,
            "strategy": "ROLLING", "bakeTimeInMinutes": 0,
            "deploymentCircuitBreaker": {
                "enable": false, "rollback": false, "resetOnHealthyTask": true,
                "thresholdConfiguration": { "type": "BOUNDED_PERCENT", "value": 50 }
            }
        },
        "placementConstraints": [], "placementStrategy": [], "serviceRegistries": [],
        "schedulingStrategy": "REPLICA", "deploymentController": { "type": "ECS" },
        "healthCheckGracePeriodSeconds": 0, "enableECSManagedTags": false,
        "enableExecuteCommand": false, "propagateTags": "NONE",
        "availabilityZoneRebalancing": "ENABLED"
    });
    let mut read_back = canonical::service(&described);
    // AWS chooses it by account and age of the service; a manifest without it does not own it.
    read_back.as_object_mut().unwrap().remove("availabilityZoneRebalancing");
    assert_eq!(canonical::service(&created), read_back);
}

#[test]
fn owned_keeps_what_was_written_and_nothing_that_was_filled() {
    let written = json!({
        "enableExecuteCommand": false,
        "desiredCount": null,
        "deploymentConfiguration": { "maximumPercent": 150 },
        "capacityProviderStrategy": [{ "capacityProvider": "b", "base": 0 }, { "capacityProvider": "a" }]
    });
    assert_eq!(
        canonical::owned(&canonical::service(&written), &written),
        json!({
            "enableExecuteCommand": false,
            "deploymentConfiguration": { "maximumPercent": 150 },
            "capacityProviderStrategy": [{ "capacityProvider": "a" }, { "capacityProvider": "b" }]
        })
    );
}

#[test]
fn a_digest_has_a_version_and_128_bits_and_does_not_depend_on_the_order_of_members() {
    let digest = Digest::of(&json!({ "a": 1, "b": { "c": [], "d": null } }));
    let same: Value = serde_json::from_str(r#"{"b":{"d":null,"c":[]},"a":1}"#).unwrap();
    assert_eq!(digest, Digest::of(&same));
    // SHA-256 of {"a":1,"b":{"c":[],"d":null}}, first half.
    assert_eq!(digest.as_str(), "v1:db358cc1643444ad4cfdaf3fd8ee9d3c");
    assert_ne!(digest, Digest::of(&json!({ "a": 1 })));
}

#[test]
fn a_revision_changes_with_the_task_definition_and_the_members_that_start_a_deployment() {
    let task_definition = Digest::of(&json!("one"));
    let digest =
        |service: Value| Digest::of_revision(&task_definition, &canonical::service(&service));
    let plain = digest(json!({}));
    assert_ne!(
        plain,
        Digest::of_revision(&Digest::of(&json!("two")), &canonical::service(&json!({})))
    );
    assert_ne!(plain, digest(json!({ "platformVersion": "1.4.0" })));
    assert_ne!(plain, digest(json!({ "monitoring": { "metricConfigurations": [1] } })));
    assert_ne!(plain, digest(json!({ "serviceConnectConfiguration": { "enabled": true } })));
    assert_eq!(plain, digest(json!({ "serviceConnectConfiguration": { "enabled": false } })));
    assert_eq!(plain, digest(json!({ "desiredCount": 5, "enableExecuteCommand": true })));
    assert_eq!(plain, digest(json!({ "loadBalancers": [], "volumeConfigurations": [] })));
}

#[test]
fn where_tasks_run_is_of_the_revision_for_a_deployment_is_made_for_it() {
    let digest = |controller: &str, provider: &str| {
        let service = json!({
            "deploymentController": { "type": controller },
            "capacityProviderStrategy": [{ "capacityProvider": provider, "weight": 1 }],
        });
        Digest::of_revision(&Digest::of(&json!("one")), &canonical::service(&service))
    };
    for controller in ["ECS", "EXTERNAL", "CODE_DEPLOY"] {
        assert_ne!(digest(controller, "FARGATE"), digest(controller, "FARGATE_SPOT"));
    }
}
