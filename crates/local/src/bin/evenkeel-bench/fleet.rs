//! Manifests of many services; never says what becomes of them.

use std::sync::Arc;

use evenkeel_manifest::{File, ManifestSet, load};

pub(crate) const CLUSTER: &str = "bench";

/// How many manifests go into one file, as a team would write them.
const SERVICES_PER_FILE: usize = 20;

/// Larger fleets share task definitions: AWS shows twenty a second, so that ten thousand would take
/// eight minutes.
pub(crate) const TASK_DEFINITIONS_MAX: usize = 1_000;

/// The manifest files of `count` services with no task each.
pub(crate) fn files(count: usize) -> Vec<File> {
    let numbers: Vec<usize> = (0..count).collect();
    let file = |(index, numbers): (usize, &[usize])| File {
        name: Arc::from(format!("team-{index:04}.yaml")),
        text: numbers.iter().map(|number| manifest(*number)).collect(),
    };
    numbers.chunks(SERVICES_PER_FILE).enumerate().map(file).collect()
}

pub(crate) fn loaded(count: usize) -> ManifestSet {
    load(&files(count))
}

fn manifest(number: usize) -> String {
    let family = number % TASK_DEFINITIONS_MAX;
    format!(
        r#"---
apiVersion: evenkeel.dev/v1
kind: Service
metadata:
  name: service-{number:05}
  labels: {{team: bench}}
spec:
  cluster: {CLUSTER}
  taskDefinition:
    family: bench-{family:03}
    requiresCompatibilities: [FARGATE]
    networkMode: awsvpc
    cpu: "256"
    memory: "512"
    executionRoleArn: arn:aws:iam::123456789012:role/ecsTaskExecutionRole
    containerDefinitions:
      - name: app
        image: evenkeel-demo:v1
        essential: true
        portMappings: [{{containerPort: 8080, protocol: tcp}}]
        environment:
          - {{name: STAGE, value: production}}
          - {{name: LOG_LEVEL, value: info}}
        logConfiguration:
          logDriver: awslogs
          options:
            awslogs-group: /ecs/bench
            awslogs-region: us-east-1
            awslogs-stream-prefix: app
  service:
    desiredCount: 0
    launchType: FARGATE
    networkConfiguration:
      awsvpcConfiguration:
        subnets: [subnet-0000000000000000a, subnet-0000000000000000b]
        securityGroups: [sg-00000000000000000]
    deploymentConfiguration:
      minimumHealthyPercent: 100
      maximumPercent: 200
"#
    )
}
