//! The demo's manifest; never says which revision is good.

use super::strategy::DemoStrategy;
use crate::front::Front;

pub(super) const CLUSTER: &str = "demo";
pub(super) const SERVICE: &str = "web";
pub(super) const DESIRED_COUNT: u64 = 4;

/// The way from the load balancer to the service.
#[derive(Clone, Debug)]
pub(super) enum Entrance {
    /// One target group, by ARN.
    One(String),
    Shifting(Front),
}

/// `smoke_test` is the URL of a web hook.
pub(super) fn manifest_text(
    image: &str,
    entrance: &Entrance,
    strategy: DemoStrategy,
    smoke_test: &str,
) -> String {
    format!(
        "apiVersion: evenkeel.dev/v1
kind: Service
metadata:
  name: {SERVICE}
spec:
  cluster: {CLUSTER}
  taskDefinition:
    family: {SERVICE}
    networkMode: awsvpc
    requiresCompatibilities: [FARGATE]
    cpu: \"256\"
    memory: \"512\"
    containerDefinitions:
      - name: web
        image: {image}
        portMappings: [{{containerPort: 8080}}]
  service:
    desiredCount: {DESIRED_COUNT}
    launchType: FARGATE
    networkConfiguration:
      awsvpcConfiguration: {{subnets: [subnet-0000000000000000a]}}
    loadBalancers:
      - {load_balancer}
{rollout}",
        load_balancer = load_balancer(entrance, strategy),
        rollout = strategy.rollout(smoke_test),
    )
}

fn load_balancer(entrance: &Entrance, strategy: DemoStrategy) -> String {
    match entrance {
        Entrance::Shifting(front) if strategy == DemoStrategy::CodeDeploy => {
            load_balancer(&Entrance::One(front.blue.clone()), strategy)
        }
        Entrance::One(group) => {
            format!("{{targetGroupArn: \"{group}\", containerName: web, containerPort: 8080}}")
        }
        Entrance::Shifting(front) => format!(
            "targetGroupArn: \"{blue}\"
        containerName: web
        containerPort: 8080
        advancedConfiguration:
          alternateTargetGroupArn: \"{green}\"
          productionListenerRule: \"{production}\"
          testListenerRule: \"{test}\"
          roleArn: arn:aws:iam::123456789012:role/ecsInfrastructureRole",
            blue = front.blue,
            green = front.green,
            production = front.production_rule,
            test = front.test_rule,
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::front::Ports;

    const GROUP: &str =
        "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/web/88dc97e5aab5fe3d";

    fn front() -> Front {
        let rule = |id: &str| {
            format!(
                "arn:aws:elasticloadbalancing:us-east-1:123456789012:listener-rule/app/web/\
                 88dc97e5aab5fe3d/88dc97e5aab5fe3d/{id}"
            )
        };
        Front {
            ports: Ports { production: 80, test: 81 },
            blue: GROUP.to_owned(),
            green: GROUP.replace("/web/", "/green/"),
            production_rule: rule("0000000000000001"),
            test_rule: rule("0000000000000002"),
        }
    }

    #[test]
    fn the_manifest_of_every_strategy_is_valid() {
        for strategy in [
            DemoStrategy::Rolling,
            DemoStrategy::BlueGreen,
            DemoStrategy::Canary,
            DemoStrategy::Linear,
            DemoStrategy::Steps,
            DemoStrategy::CodeDeploy,
        ] {
            let entrance = match strategy {
                DemoStrategy::Rolling => Entrance::One(GROUP.to_owned()),
                _ => Entrance::Shifting(front()),
            };
            let hook = "http://127.0.0.1:8080/";
            let text = manifest_text("evenkeel-demo:v1", &entrance, strategy, hook);
            let file = evenkeel_manifest::File { name: "web.yaml".into(), text };
            let set = evenkeel_manifest::load(&[file]);
            assert!(set.problems.is_empty(), "{strategy:?}: {:?}", set.problems);
            assert_eq!(set.services.len(), 1);
        }
    }
}
