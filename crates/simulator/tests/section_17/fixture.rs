//! A cluster `main` with a service `web`; asserts nothing.

use std::time::Duration;

use evenkeel_simulator::{Api, ApiError, Behaviour, Simulation};
use serde_json::{Map, Value, json};

pub(crate) const MINUTE: Duration = Duration::from_mins(1);

pub(crate) struct Fixture {
    pub(crate) simulation: Simulation,
}

pub(crate) fn seconds(number: u64) -> Duration {
    Duration::from_secs(number)
}

/// `defaults` with the members of `change` over them.
pub(crate) fn over(mut defaults: Value, change: Value) -> Value {
    let members: Map<String, Value> = change.as_object().cloned().unwrap_or_default();
    if let Some(defaults) = defaults.as_object_mut() {
        defaults.extend(members);
    }
    defaults
}

impl Fixture {
    pub(crate) fn new() -> Self {
        Self::seeded(7)
    }

    pub(crate) fn seeded(seed: u64) -> Self {
        let fixture = Self { simulation: Simulation::new(seed) };
        fixture.simulation.region().collect_events(true);
        fixture.ecs("CreateCluster", json!({"clusterName": "main"}));
        fixture
    }

    /// A service of `image` that has settled.
    pub(crate) fn running(image: &str, desired: u32, change: Value) -> Self {
        let mut fixture = Self::new();
        fixture.register(image);
        fixture.create(desired, change);
        assert!(fixture.settle(), "the first deployment settles");
        fixture
    }

    pub(crate) fn script(&mut self, image: &str, behaviour: Behaviour) {
        self.simulation.world.script(image, behaviour);
    }

    pub(crate) fn try_ecs(&self, operation: &str, input: Value) -> Result<Value, ApiError> {
        self.simulation.ecs(operation, &input)
    }

    pub(crate) fn ecs(&self, operation: &str, input: Value) -> Value {
        self.try_ecs(operation, input).unwrap_or_else(|error| panic!("{operation}: {error}"))
    }

    pub(crate) fn elb(&self, operation: &str, input: Value) -> Value {
        let reply = self.simulation.call(Api::ElasticLoadBalancingV2, operation, &input);
        reply.unwrap_or_else(|error| panic!("{operation}: {error}"))
    }

    pub(crate) fn cloudwatch(&self, operation: &str, input: Value) -> Value {
        let reply = self.simulation.call(Api::CloudWatch, operation, &input);
        reply.unwrap_or_else(|error| panic!("{operation}: {error}"))
    }

    pub(crate) fn try_code_deploy(&self, operation: &str, input: Value) -> Result<Value, ApiError> {
        self.simulation.call(Api::CodeDeploy, operation, &input)
    }

    pub(crate) fn code_deploy(&self, operation: &str, input: Value) -> Value {
        let reply = self.try_code_deploy(operation, input);
        reply.unwrap_or_else(|error| panic!("{operation}: {error}"))
    }

    /// Registers `web` with this image; its ARN.
    pub(crate) fn register(&self, image: &str) -> String {
        self.register_with(image, json!({}))
    }

    pub(crate) fn register_with(&self, image: &str, container: Value) -> String {
        let definition = over(
            json!({"name": "web", "image": image, "portMappings": [{"containerPort": 8080}]}),
            container,
        );
        let reply = self.ecs(
            "RegisterTaskDefinition",
            json!({
                "family": "web", "requiresCompatibilities": ["FARGATE"], "networkMode": "awsvpc",
                "cpu": "256", "memory": "512", "containerDefinitions": [definition],
            }),
        );
        reply["taskDefinition"]["taskDefinitionArn"].as_str().unwrap().to_owned()
    }

    pub(crate) fn create(&self, desired: u32, change: Value) -> Value {
        let input = over(
            json!({
                "cluster": "main", "serviceName": "web", "taskDefinition": "web",
                "desiredCount": desired, "launchType": "FARGATE",
                "networkConfiguration": {"awsvpcConfiguration": {"subnets": ["subnet-1"]}},
            }),
            change,
        );
        self.ecs("CreateService", input)["service"].clone()
    }

    pub(crate) fn update(&self, change: Value) -> Value {
        self.try_update(change).unwrap_or_else(|error| panic!("UpdateService: {error}"))
    }

    pub(crate) fn try_update(&self, change: Value) -> Result<Value, ApiError> {
        let input = over(json!({"cluster": "main", "service": "web"}), change);
        self.try_ecs("UpdateService", input).map(|reply| reply["service"].clone())
    }

    /// Registers `image` and updates the service to it.
    pub(crate) fn roll_to(&self, image: &str) -> Value {
        let arn = self.register(image);
        self.update(json!({"taskDefinition": arn}))
    }

    pub(crate) fn service(&self) -> Value {
        let input = json!({"cluster": "main", "services": ["web"], "include": ["TAGS"]});
        self.ecs("DescribeServices", input)["services"][0].clone()
    }

    pub(crate) fn deployments(&self) -> Vec<Value> {
        self.service()["deployments"].as_array().cloned().unwrap_or_default()
    }

    pub(crate) fn primary(&self) -> Value {
        self.deployments().first().cloned().unwrap_or_default()
    }

    pub(crate) fn messages(&self) -> Vec<String> {
        let service = self.service();
        let events = service["events"].as_array().unwrap().iter();
        events.map(|event| event["message"].as_str().unwrap().to_owned()).collect()
    }

    pub(crate) fn says(&self, part: &str) -> bool {
        self.messages().iter().any(|message| message.contains(part))
    }

    pub(crate) fn service_deployment(&self) -> Value {
        let listed =
            self.ecs("ListServiceDeployments", json!({"cluster": "main", "service": "web"}));
        let arn = &listed["serviceDeployments"][0]["serviceDeploymentArn"];
        let input = json!({"serviceDeploymentArns": [arn]});
        self.ecs("DescribeServiceDeployments", input)["serviceDeployments"][0].clone()
    }

    pub(crate) fn tasks(&self, status: &str) -> Vec<Value> {
        let input = json!({"cluster": "main", "serviceName": "web", "desiredStatus": status});
        let arns = self.ecs("ListTasks", input)["taskArns"].clone();
        if arns.as_array().is_none_or(Vec::is_empty) {
            return Vec::new();
        }
        let reply = self.ecs("DescribeTasks", json!({"cluster": "main", "tasks": arns}));
        reply["tasks"].as_array().cloned().unwrap_or_default()
    }

    pub(crate) fn advance(&mut self, duration: Duration) {
        self.simulation.advance(duration);
    }

    /// Until something about the service holds, at most three hours.
    pub(crate) fn until(&mut self, mut holds: impl FnMut(&Value) -> bool) -> bool {
        self.simulation.run_until(180 * MINUTE, |region| {
            let input = json!({"cluster": "main", "services": ["web"]});
            let reply = region.call(Api::Ecs, "DescribeServices", &input).unwrap();
            holds(&reply["services"][0])
        })
    }

    /// Until the PRIMARY deployment is COMPLETED.
    pub(crate) fn settle(&mut self) -> bool {
        self.until(|service| service["deployments"][0]["rolloutState"] == "COMPLETED")
    }

    /// A load balancer with one listener that forwards to `blue`; the ARN of the group.
    pub(crate) fn load_balancer(&self) -> String {
        self.load_balancer_with(json!({}))
    }

    pub(crate) fn load_balancer_with(&self, health_checks: Value) -> String {
        let group = self.target_group_with("blue", health_checks);
        let balancer = self.elb("CreateLoadBalancer", json!({"Name": "front"}));
        let input = json!({
            "LoadBalancerArn": balancer["LoadBalancers"][0]["LoadBalancerArn"],
            "Port": 80, "Protocol": "HTTP",
            "DefaultActions": [{"Type": "forward", "TargetGroupArn": group}],
        });
        self.elb("CreateListener", input);
        group
    }

    pub(crate) fn target_group(&self, name: &str) -> String {
        self.target_group_with(name, json!({}))
    }

    fn target_group_with(&self, name: &str, health_checks: Value) -> String {
        let input = json!({
            "Name": name, "Protocol": "HTTP", "Port": 8080, "TargetType": "ip", "VpcId": "vpc-1",
        });
        let input = over(input, health_checks);
        let reply = self.elb("CreateTargetGroup", input);
        reply["TargetGroups"][0]["TargetGroupArn"].as_str().unwrap().to_owned()
    }

    pub(crate) fn target_states(&self, group: &str) -> Vec<(String, String)> {
        let reply = self.elb("DescribeTargetHealth", json!({"TargetGroupArn": group}));
        let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let targets = reply["TargetHealthDescriptions"].as_array().unwrap().iter();
        targets
            .map(|one| (word(&one["TargetHealth"]["State"]), word(&one["TargetHealth"]["Reason"])))
            .collect()
    }
}

/// `loadBalancers` of a service that stands behind the group.
pub(crate) fn behind(group: &str) -> Value {
    json!([{"targetGroupArn": group, "containerName": "web", "containerPort": 8080}])
}

pub(crate) fn breaker(rollback: bool) -> Value {
    json!({"deploymentCircuitBreaker": {"enable": true, "rollback": rollback}})
}
