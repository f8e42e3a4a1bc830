//! What stands in front of services on a stage: target groups, listeners and rules; never who is behind.

use serde_json::{Value, json};

use super::super::course::lock;
use super::Stage;
use crate::Api;

impl Stage {
    fn elb(&self, operation: &str, input: &Value) -> Result<Value, String> {
        let course = lock(&self.course);
        let reply = course.simulation.call(Api::ElasticLoadBalancingV2, operation, input);
        reply.map_err(|error| error.to_string())
    }

    pub(super) fn make_group(&mut self, name: &str, drains: u32) -> Result<(), String> {
        let arn = self.target_group(name, drains)?;
        let balancer = self.balancer(name)?;
        let forward = json!({"Type": "forward", "TargetGroupArn": arn});
        self.listener(&balancer, 80, &forward)?;
        self.groups.insert(name.to_owned(), arn);
        Ok(())
    }

    pub(super) fn make_front(&mut self, name: &str, drains: u32) -> Result<(), String> {
        let blue = self.target_group(name, drains)?;
        let green = self.target_group(&format!("{name}-green"), drains)?;
        let balancer = self.balancer(name)?;
        let weight = |arn: &str, weight: u32| json!({"TargetGroupArn": arn, "Weight": weight});
        let groups = json!([weight(&blue, 100), weight(&green, 0)]);
        let forward = json!({"Type": "forward", "ForwardConfig": {"TargetGroups": groups}});
        for (port, rule) in [(80, "production"), (8080, "test")] {
            let arn = self.listener(&balancer, port, &forward)?;
            let rules = self.elb("DescribeRules", &json!({"ListenerArn": arn}))?;
            let arn = rules.pointer("/Rules/0/RuleArn").and_then(Value::as_str);
            self.groups.insert(format!("{name}/{rule}"), arn.unwrap_or_default().to_owned());
        }
        self.groups.insert(format!("{name}/green"), green);
        self.groups.insert(name.to_owned(), blue);
        Ok(())
    }

    fn target_group(&self, name: &str, drains: u32) -> Result<String, String> {
        let input = json!({
            "Name": name, "Port": 8080, "TargetType": "ip", "HealthCheckIntervalSeconds": 5,
            "HealthCheckTimeoutSeconds": 2,
        });
        let made = self.elb("CreateTargetGroup", &input)?;
        let arn = made.pointer("/TargetGroups/0/TargetGroupArn").and_then(Value::as_str);
        let arn = arn.unwrap_or_default().to_owned();
        let delay = json!({
            "Key": "deregistration_delay.timeout_seconds", "Value": drains.to_string()
        });
        let attributes = json!({"TargetGroupArn": arn, "Attributes": [delay]});
        self.elb("ModifyTargetGroupAttributes", &attributes)?;
        Ok(arn)
    }

    fn balancer(&self, name: &str) -> Result<Value, String> {
        let made = self.elb("CreateLoadBalancer", &json!({"Name": format!("{name}-front")}))?;
        Ok(made.pointer("/LoadBalancers/0/LoadBalancerArn").cloned().unwrap_or_default())
    }

    fn listener(&self, balancer: &Value, port: u16, forward: &Value) -> Result<Value, String> {
        let input = json!({
            "LoadBalancerArn": balancer, "Port": port, "DefaultActions": [forward],
        });
        let made = self.elb("CreateListener", &input)?;
        Ok(made.pointer("/Listeners/0/ListenerArn").cloned().unwrap_or_default())
    }
}
