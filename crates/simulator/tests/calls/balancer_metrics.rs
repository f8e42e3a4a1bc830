//! What load balancers measure, as CloudWatch answers it (reference page, section 10.3).

use std::time::Duration;

use evenkeel_simulator::{Happening, RequestTally};
use serde_json::{Value, json};

use super::fixture::{Fixture, MINUTE, behind, seconds};

/// A load balancer whose group `blue` has the two tasks of a service.
struct Front {
    fixture: Fixture,
    balancer: String,
    group: String,
}

impl Front {
    fn new() -> Self {
        let mut fixture = Fixture::new();
        let group = fixture.load_balancer();
        let found = fixture.elb("DescribeLoadBalancers", json!({}));
        let balancer = found["LoadBalancers"][0]["LoadBalancerArn"].as_str().unwrap().to_owned();
        fixture.register("web:1");
        fixture.create(2, json!({"loadBalancers": behind(&group)}));
        assert!(fixture.settle());
        let mut front = Self { fixture, balancer, group };
        front.await_the_next_minute();
        front
    }

    fn await_the_next_minute(&mut self) {
        let passed = self.fixture.simulation.now().as_second().rem_euclid(60);
        self.fixture.advance(seconds(u64::try_from(60 - passed).unwrap()));
    }

    fn report(&self, tally: RequestTally) {
        let tally = RequestTally { load_balancer: self.balancer.clone(), ..tally };
        let mut region = self.fixture.simulation.region();
        region.report(Happening::BalancersReport(vec![tally]));
    }

    fn of_group(&self) -> RequestTally {
        RequestTally { target_group: Some(self.group.clone()), ..RequestTally::default() }
    }

    /// The values of the last ten minutes, oldest first.
    fn values(&self, name: &str, with_group: bool, stat: &str) -> Value {
        let tail = |arn: &str, from: &str| {
            let at = arn.find(from).unwrap();
            arn.split_at(at).1.trim_start_matches(":loadbalancer/").to_owned()
        };
        let balancer = tail(&self.balancer, ":loadbalancer/");
        assert!(balancer.starts_with("app/front/"), "{balancer}");
        let mut dimensions = vec![json!({"Name": "LoadBalancer", "Value": balancer})];
        if with_group {
            let group = tail(&self.group, "targetgroup/");
            dimensions.push(json!({"Name": "TargetGroup", "Value": group}));
        }
        let metric = json!({
            "Namespace": "AWS/ApplicationELB", "MetricName": name, "Dimensions": dimensions,
        });
        let query =
            json!({"Id": "q", "MetricStat": {"Metric": metric, "Period": 60, "Stat": stat}});
        let now = self.fixture.simulation.now().as_second();
        let reply = self.fixture.cloudwatch(
            "GetMetricData",
            json!({
                "StartTime": now - 600, "EndTime": now, "MetricDataQueries": [query],
                "ScanBy": "TimestampAscending",
            }),
        );
        reply["MetricDataResults"][0]["Values"].clone()
    }
}

#[test]
fn requests_are_counted_by_target_group_and_by_load_balancer() {
    let mut front = Front::new();
    let time = Duration::from_millis;
    front.report(RequestTally {
        answers: [6, 0, 1, 2],
        balancer_errors: 1,
        refused: 1,
        response_times: vec![time(250), time(250), time(1000)],
        ..front.of_group()
    });
    front.report(RequestTally { balancer_errors: 3, ..RequestTally::default() });
    front.fixture.advance(2 * MINUTE);
    for with_group in [true, false] {
        let sum = |name| front.values(name, with_group, "Sum");
        assert_eq!(sum("RequestCount"), json!([10.0]));
        assert_eq!(sum("HTTPCode_Target_2XX_Count"), json!([6.0]));
        assert_eq!(sum("HTTPCode_Target_4XX_Count"), json!([1.0]));
        assert_eq!(sum("HTTPCode_Target_5XX_Count"), json!([2.0]));
        assert_eq!(sum("TargetConnectionErrorCount"), json!([1.0]));
        assert_eq!(front.values("TargetResponseTime", with_group, "Average"), json!([0.5]));
        assert_eq!(front.values("TargetResponseTime", with_group, "p99"), json!([1.0]));
    }
    assert_eq!(front.values("HTTPCode_ELB_5XX_Count", false, "Sum"), json!([4.0]));
    assert_eq!(front.values("HTTPCode_ELB_5XX_Count", true, "Sum"), json!([]));
}

#[test]
fn what_did_not_happen_has_no_points_and_no_zeros() {
    let mut front = Front::new();
    let good = |number| RequestTally { answers: [number, 0, 0, 0], ..front.of_group() };
    front.report(good(5));
    let later = good(7);
    front.fixture.advance(2 * MINUTE);
    front.report(later);
    front.fixture.advance(2 * MINUTE);
    assert_eq!(front.values("RequestCount", true, "Sum"), json!([5.0, 7.0]), "two of four minutes");
    assert_eq!(front.values("HTTPCode_Target_5XX_Count", true, "Sum"), json!([]));
    assert_eq!(front.values("HTTPCode_ELB_5XX_Count", false, "Sum"), json!([]));
}

#[test]
fn a_minute_can_be_read_a_while_after_it_is_over() {
    let mut front = Front::new();
    front.report(RequestTally { answers: [1, 0, 0, 0], ..front.of_group() });
    front.fixture.advance(seconds(75));
    assert_eq!(front.values("RequestCount", true, "Sum"), json!([]));
    front.fixture.advance(seconds(10));
    assert_eq!(front.values("RequestCount", true, "Sum"), json!([1.0]));
}

#[test]
fn healthy_hosts_are_counted_without_requests() {
    let mut front = Front::new();
    front.fixture.simulation.region().report(Happening::BalancersReport(Vec::new()));
    front.fixture.advance(2 * MINUTE);
    assert_eq!(front.values("HealthyHostCount", true, "Average"), json!([2.0]));
    assert_eq!(front.values("UnHealthyHostCount", true, "Maximum"), json!([0.0]));
    assert_eq!(front.values("RequestCount", true, "Sum"), json!([]));
}

#[test]
fn an_alarm_on_the_errors_of_a_target_group_turns_red() {
    let mut front = Front::new();
    let group = front.group.rsplit(':').next().unwrap();
    let balancer = front.balancer.split(":loadbalancer/").last().unwrap();
    front.fixture.cloudwatch(
        "PutMetricAlarm",
        json!({
            "AlarmName": "errors", "Namespace": "AWS/ApplicationELB",
            "MetricName": "HTTPCode_Target_5XX_Count", "Statistic": "Sum", "Period": 60,
            "EvaluationPeriods": 2, "DatapointsToAlarm": 1, "Threshold": 3,
            "ComparisonOperator": "GreaterThanThreshold",
            "Dimensions": [
                {"Name": "TargetGroup", "Value": group}, {"Name": "LoadBalancer", "Value": balancer},
            ],
        }),
    );
    front.report(RequestTally { answers: [0, 0, 0, 4], ..front.of_group() });
    front.fixture.advance(2 * MINUTE);
    let alarms = front.fixture.cloudwatch("DescribeAlarms", json!({}));
    assert_eq!(alarms["MetricAlarms"][0]["StateValue"], "ALARM");
}
