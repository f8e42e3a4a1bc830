//! Services that people made by hand, imported: the manifest wants what runs, and adopting it starts nothing.

#![expect(clippy::indexing_slicing, reason = "a reply of another shape is a failed test")]

use std::time::Duration;

use evenkeel_manifest::{File, Service, Shown, import, load, task_definition_in_use};
use evenkeel_reconciler::{Mode, PassReport, reconcile};
use evenkeel_simulator::{Api, Simulation};
use serde_json::{Value, json};

const INSTANCE: &str = "evenkeel";

/// A task definition and a service as somebody may have written them.
struct Specimen {
    name: &'static str,
    task_definition: Value,
    service: Value,
}

fn fargate() -> Value {
    json!({
        "family": "web", "networkMode": "awsvpc", "requiresCompatibilities": ["FARGATE"], "cpu": "256", "memory": "512",
        "containerDefinitions": [{"name": "web", "image": "web:1", "portMappings": [{"containerPort": 8080}]}],
    })
}

/// With all that a task definition has besides.
fn rich() -> Value {
    with(
        fargate(),
        json!({
            "family": "another-name", "ephemeralStorage": {"sizeInGiB": 40},
            "runtimePlatform": {"cpuArchitecture": "ARM64", "operatingSystemFamily": "LINUX"},
            "taskRoleArn": "arn:aws:iam::123456789012:role/task",
            "executionRoleArn": "arn:aws:iam::123456789012:role/execution",
            "volumes": [{"name": "shared", "efsVolumeConfiguration": {"fileSystemId": "fs-1", "transitEncryption": "ENABLED"}}],
            "tags": [{"key": "team", "value": "shop"}],
            "containerDefinitions": [{
                "name": "web", "image": "web:1", "essential": true, "command": ["serve", "--quiet"], "stopTimeout": 30,
                "environment": [{"name": "Z", "value": "1.10"}, {"name": "A", "value": "no"}],
                "secrets": [{"name": "KEY", "valueFrom": "arn:aws:ssm:us-east-1:123456789012:parameter/key"}],
                "portMappings": [{"containerPort": 8080, "protocol": "tcp", "name": "http"}],
                "healthCheck": {"command": ["CMD-SHELL", "exit 0"], "interval": 5},
                "mountPoints": [{"sourceVolume": "shared", "containerPath": "/data", "readOnly": false}],
                "logConfiguration": {"logDriver": "awslogs", "options": {"awslogs-group": "/web", "awslogs-region": "us-east-1", "awslogs-stream-prefix": "web"}},
            }, {"name": "proxy", "image": "proxy:3", "essential": false, "dependsOn": [{"containerName": "web", "condition": "HEALTHY"}]}],
        }),
    )
}

fn on_instances() -> Value {
    json!({
        "family": "agent", "networkMode": "bridge", "containerDefinitions": [
            {"name": "agent", "image": "agent:1", "memoryReservation": 128, "portMappings": [{"containerPort": 80, "hostPort": 0}]},
        ],
    })
}

fn on_fargate() -> Value {
    json!({
        "desiredCount": 2, "launchType": "FARGATE",
        "networkConfiguration": {"awsvpcConfiguration": {"subnets": ["subnet-b", "subnet-a"]}},
    })
}

fn with(mut value: Value, members: Value) -> Value {
    if let (Some(all), Value::Object(members)) = (value.as_object_mut(), members) {
        all.extend(members);
    }
    value
}

fn specimen(name: &'static str, task_definition: Value, service: Value) -> Specimen {
    Specimen { name, task_definition, service }
}

fn zoo(group: &str) -> Vec<Specimen> {
    let balancer =
        json!([{"targetGroupArn": group, "containerName": "web", "containerPort": 8080}]);
    let alarms = json!({"alarms": {"alarmNames": ["errors"], "enable": true, "rollback": true}});
    let spot = json!([
        {"capacityProvider": "FARGATE_SPOT", "weight": 3},
        {"capacityProvider": "FARGATE", "weight": 1, "base": 1},
    ]);
    let public = json!({"awsvpcConfiguration": {
        "subnets": ["subnet-a"], "securityGroups": ["sg-1"], "assignPublicIp": "ENABLED",
    }});
    let tagged = json!({
        "tags": [{"key": "b", "value": "2"}, {"key": "a", "value": "1"}], "propagateTags": "SERVICE",
        "enableECSManagedTags": true, "enableExecuteCommand": true, "platformVersion": "1.4.0",
    });
    let placed = json!({
        "desiredCount": 1, "launchType": "EC2", "placementConstraints": [{"type": "distinctInstance"}],
        "placementStrategy": [
            {"type": "spread", "field": "attribute:ecs.availability-zone"}, {"type": "binpack", "field": "memory"},
        ],
    });
    let daemon = json!({"launchType": "EC2", "schedulingStrategy": "DAEMON"});
    let usual = |name, members| specimen(name, fargate(), with(on_fargate(), members));
    let deployed = |name, members| usual(name, json!({"deploymentConfiguration": members}));
    let breaker = |enable: bool, rollback: bool| json!({"deploymentCircuitBreaker": {"enable": enable, "rollback": rollback}});
    let strategy = json!({"desiredCount": 3, "capacityProviderStrategy": spot, "networkConfiguration": public});
    vec![
        usual("plain", json!({})),
        usual("none", json!({"desiredCount": 0})),
        usual("balanced", json!({"loadBalancers": balancer, "healthCheckGracePeriodSeconds": 90})),
        usual("tagged", tagged),
        deployed("breaker-on", breaker(true, true)),
        deployed("breaker-half", breaker(true, false)),
        deployed("breaker-off", breaker(false, false)),
        deployed("percentages", json!({"maximumPercent": 150, "minimumHealthyPercent": 50})),
        deployed("alarms", alarms),
        specimen("rich", rich(), on_fargate()),
        specimen("spot", fargate(), strategy),
        specimen("placed", on_instances(), placed),
        specimen("daemon", on_instances(), daemon),
    ]
}

/// A region in which the specimens run, and the target group behind a listener.
fn region() -> (Simulation, Vec<Specimen>) {
    let mut simulation = Simulation::new(1);
    simulation.ecs("CreateCluster", &json!({"clusterName": "main"})).expect("a cluster");
    let elb = |operation: &str, input: Value| {
        simulation.call(Api::ElasticLoadBalancingV2, operation, &input).expect("it is possible")
    };
    let balancer = elb(
        "CreateLoadBalancer",
        json!({"Name": "front", "Subnets": ["subnet-0000000000000000a", "subnet-0000000000000000b"]}),
    );
    let group = elb(
        "CreateTargetGroup",
        json!({"Name": "web", "TargetType": "ip", "Protocol": "HTTP", "Port": 8080, "VpcId": "vpc-1"}),
    );
    let group = group["TargetGroups"][0]["TargetGroupArn"].as_str().expect("an ARN").to_owned();
    elb(
        "CreateListener",
        json!({
            "LoadBalancerArn": balancer["LoadBalancers"][0]["LoadBalancerArn"], "Port": 80, "Protocol": "HTTP",
            "DefaultActions": [{"Type": "forward", "TargetGroupArn": group}],
        }),
    );
    let zoo = zoo(&group);
    for one in &zoo {
        let made = simulation.ecs("RegisterTaskDefinition", &one.task_definition);
        let arn = made.expect(one.name)["taskDefinition"]["taskDefinitionArn"].clone();
        let names = json!({"cluster": "main", "serviceName": one.name, "taskDefinition": arn});
        simulation.ecs("CreateService", &with(one.service.clone(), names)).expect(one.name);
    }
    simulation.advance(Duration::from_mins(10));
    (simulation, zoo)
}

fn described(simulation: &Simulation, name: &str) -> Value {
    let asked = json!({"cluster": "main", "services": [name], "include": ["TAGS"]});
    simulation.ecs("DescribeServices", &asked).expect("it is there")["services"][0].clone()
}

fn imported(simulation: &Simulation, name: &str) -> Value {
    let service = described(simulation, name);
    let arn = task_definition_in_use(&service).expect("it runs one");
    let asked = json!({"taskDefinition": arn, "include": ["TAGS"]});
    let task_definition = simulation.ecs("DescribeTaskDefinition", &asked).expect("it is there");
    let shown = Shown { cluster: "main", service: &service, task_definition: &task_definition };
    import(&shown).expect("it can be imported")
}

fn read(manifest: &Value) -> Service {
    let text = manifest.to_string();
    let mut set = load(&[File { name: "web.json".into(), text }]);
    assert_eq!(set.problems, vec![], "{manifest:#}");
    set.services.remove(0)
}

async fn pass(simulation: &Simulation, desired: &Service, mode: Mode) -> PassReport {
    reconcile(&simulation.cloud(), &desired.key, Some(desired), INSTANCE, mode).await
}

#[tokio::test(start_paused = true)]
async fn an_imported_service_plans_to_no_change_of_any_field() {
    let (simulation, zoo) = region();
    for one in &zoo {
        let manifest = imported(&simulation, one.name);
        let report = pass(&simulation, &read(&manifest), Mode::DryRun).await;
        assert_eq!(report.error, None, "{}", one.name);
        assert_eq!(report.changes, vec![], "{}: {manifest:#}", one.name);
    }
}

#[tokio::test(start_paused = true)]
async fn adopting_an_imported_service_starts_no_task_and_registers_nothing() {
    let (mut simulation, zoo) = region();
    let launched = |simulation: &Simulation, name| {
        let service = described(simulation, name);
        (service["deployments"].clone(), service["taskDefinition"].clone())
    };
    for one in &zoo {
        let desired = read(&imported(&simulation, one.name));
        let before = launched(&simulation, one.name);
        for _ in 0..40 {
            let report = pass(&simulation, &desired, Mode::Apply).await;
            simulation.advance(report.plan.look_again);
        }
        let (deployments, definition) = launched(&simulation, one.name);
        let id = |all: &Value| (all[0]["id"].clone(), all.as_array().map(Vec::len));
        assert_eq!((id(&deployments), definition), (id(&before.0), before.1), "{}", one.name);
        let tags = described(&simulation, one.name)["tags"].clone();
        assert!(tags.to_string().contains("evenkeel:proven"), "{}: {tags}", one.name);
    }
}
