//! What stands in front of services on a stage: target groups, listeners and rules; never who is behind.

use serde_json::{Value, json};

use super::super::course::lock;
use super::Stage;
use crate::Api;

impl Stage {
    pub(super) fn elb(&self, operation: &str, input: &Value) -> Result<Value, String> {
        let course = lock(&self.course);
        let reply = course.simulation.call(Api::ElasticLoadBalancingV2, operation, input);
        reply.map_err(|error| error.to_string())
    }

    pub(super) fn make_group(&mut self, name: &str, drains: u32) -> Result<(), String> {
        let arn = self.target_group(name, drains)?;
        let balancer = self.balancer(name)?;
        let forward = json!({"Type": "forward", "TargetGroupArn": arn});
        let listener = self.listener(&balancer, 80, &forward)?;
        self.note(&format!("{name}/listener"), &listener);
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
            let listener = self.listener(&balancer, port, &forward)?;
            let noted = if rule == "production" { "listener" } else { "test-listener" };
            self.note(&format!("{name}/{noted}"), &listener);
            let rules = self.elb("DescribeRules", &json!({"ListenerArn": listener}))?;
            let arn = rules.pointer("/Rules/0/RuleArn").and_then(Value::as_str);
            self.groups.insert(format!("{name}/{rule}"), arn.unwrap_or_default().to_owned());
        }
        self.groups.insert(format!("{name}/green"), green);
        self.groups.insert(name.to_owned(), blue);
        Ok(())
    }

    /// A Network Load Balancer, whose listeners send all to one group: production to the first, tests to the other.
    pub(super) fn make_network_front(&mut self, name: &str) -> Result<(), String> {
        const DRAINS: u32 = 30;
        let blue = self.target_group(name, DRAINS)?;
        let green = self.target_group(&format!("{name}-green"), DRAINS)?;
        let made = json!({"Name": format!("{name}-front"), "Type": "network"});
        let made = self.elb("CreateLoadBalancer", &made)?;
        let balancer = made.pointer("/LoadBalancers/0/LoadBalancerArn").cloned();
        let balancer = balancer.unwrap_or_default();
        for (port, rule, group) in [(80, "production", &blue), (8080, "test", &green)] {
            let forward = json!({"Type": "forward", "TargetGroupArn": group});
            let listener = self.listener(&balancer, port, &forward)?;
            self.note(&format!("{name}/{rule}"), &listener);
            let noted = if rule == "production" { "listener" } else { "test-listener" };
            self.note(&format!("{name}/{noted}"), &listener);
        }
        self.groups.insert(format!("{name}/green"), green);
        self.groups.insert(name.to_owned(), blue);
        Ok(())
    }

    pub(super) fn register(&self, address: &str, group: &str, is_in: bool) -> Result<(), String> {
        let arn = self.groups.get(group).ok_or_else(|| format!("there is no group {group}"))?;
        let input = json!({"TargetGroupArn": arn, "Targets": [{"Id": address, "Port": 8080}]});
        let operation = if is_in { "RegisterTargets" } else { "DeregisterTargets" };
        let mut course = lock(&self.course);
        let reply = course.edit("a person", Api::ElasticLoadBalancingV2, operation, &input);
        reply.map(drop).map_err(|error| error.to_string())
    }

    pub(super) fn send_traffic(&self, name: &str, per_second: u32) -> Result<(), String> {
        let listener = self.groups.get(&format!("{name}/listener"));
        let listener = listener.ok_or_else(|| format!("there is no group or front {name}"))?;
        let mut course = lock(&self.course);
        course.sync();
        let now = course.now();
        course.simulation.world.send_traffic(listener, per_second, now);
        Ok(())
    }

    fn note(&mut self, name: &str, arn: &Value) {
        self.groups.insert(name.to_owned(), arn.as_str().unwrap_or_default().to_owned());
    }

    pub(super) fn target_group(&self, name: &str, drains: u32) -> Result<String, String> {
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::{Setup, Step};
    use super::*;
    use crate::Behaviour;
    use crate::harness::Wish;

    /// The sum of a metric of a target group over the last hour.
    fn count(stage: &Stage, group: &str, metric: &str) -> f64 {
        stage.look(|course| {
            let call = |api, operation: &str, input: &Value| {
                course.simulation.call(api, operation, input).expect("it can be asked")
            };
            let listed = call(
                Api::CloudWatch,
                "ListMetrics",
                &json!({
                    "MetricName": metric,
                    "Dimensions": [{"Name": "TargetGroup"}, {"Name": "LoadBalancer"}],
                }),
            );
            let metrics = listed["Metrics"].as_array().expect("a list").iter();
            let of_group = metrics.filter(|one| one.to_string().contains(&format!("/{group}/")));
            let now = course.now().as_second();
            let sum = |one: &Value| {
                let stat = json!({"Metric": one, "Period": 60, "Stat": "Sum"});
                let query = json!([{"Id": "q", "MetricStat": stat}]);
                let input = json!({
                    "StartTime": now - 3600, "EndTime": now, "MetricDataQueries": query,
                });
                let reply = call(Api::CloudWatch, "GetMetricData", &input);
                let values = reply["MetricDataResults"][0]["Values"].as_array().cloned();
                values.unwrap_or_default().iter().filter_map(Value::as_f64).sum::<f64>()
            };
            of_group.map(sum).sum()
        })
    }

    #[test]
    fn requests_follow_the_weights_and_errors_the_image() {
        let minutes = |number| Step::Advance(Duration::from_mins(number));
        let (played, counts) = Stage::play(Setup::new(1), async |stage| {
            let mut wish = Wish::new("web");
            for (word, value) in [
                ("image", "web:1"),
                ("count", "2"),
                ("front", "shop"),
                ("strategy", "Canary"),
                ("percent", "10"),
                ("stepBake", "30m"),
            ] {
                wish.set(word, value).expect("a known word");
            }
            let mut next = wish.clone();
            next.set("image", "web:2").expect("a known word");
            let bad = Behaviour::answers_users(20, Duration::from_millis(40));
            for step in [
                Step::Front("shop".to_owned(), 30),
                Step::Image("web:2".to_owned(), bad),
                Step::Write(wish),
                minutes(30),
                Step::Traffic("shop".to_owned(), 50),
                minutes(5),
                Step::Write(next),
                minutes(13),
            ] {
                stage.perform(&step).await.expect("each step can be played");
            }
            let count = |group, metric| count(stage, group, metric);
            [
                count("shop", "RequestCount"),
                count("shop-green", "RequestCount"),
                count("shop", "HTTPCode_Target_5XX_Count"),
                count("shop-green", "HTTPCode_Target_5XX_Count"),
            ]
        });
        assert!(played.violation.is_none(), "{:?}", played.violation);
        let [blue, green, blue_errors, green_errors] = counts.expect("the script ended");
        // Seventeen minutes of 3000 requests can be read, ten or more of them with a canary.
        assert!((50_000.0..54_000.0).contains(&(blue + green)), "{blue} and {green}");
        assert!((3_000.0..3_900.0).contains(&green), "a tenth since the first step: {green}");
        assert!(blue_errors == 0.0 && (green_errors - green / 5.0).abs() < 1.0, "{green_errors}");
    }
}
