//! Metrics and the questions about them.

use serde_json::json;

use super::fixture::{Fixture, MINUTE};

fn with_data() -> Fixture {
    let mut fixture = Fixture::new();
    for value in [1.0, 2.0, 9.0] {
        let datum = json!({"MetricName": "latency", "Value": value, "Dimensions": [{"Name": "s", "Value": "web"}]});
        fixture.cloudwatch("PutMetricData", json!({"Namespace": "app", "MetricData": [datum]}));
        fixture.advance(MINUTE);
    }
    fixture
}

#[test]
fn statistics_are_computed_by_period() {
    let fixture = with_data();
    let now = fixture.simulation.now().as_second();
    let ask = |stat: &str, period: u32| {
        let metric = json!({"Namespace": "app", "MetricName": "latency", "Dimensions": [{"Name": "s", "Value": "web"}]});
        let query =
            json!({"Id": "q", "MetricStat": {"Metric": metric, "Period": period, "Stat": stat}});
        let reply = fixture.cloudwatch(
            "GetMetricData",
            json!({
                "StartTime": now - 180, "EndTime": now, "MetricDataQueries": [query],
                "ScanBy": "TimestampAscending",
            }),
        );
        reply["MetricDataResults"][0]["Values"].clone()
    };
    assert_eq!(ask("Sum", 60), json!([1.0, 2.0, 9.0]));
    assert_eq!(ask("Average", 3600), json!([4.0]));
    assert_eq!(ask("Maximum", 3600), json!([9.0]));
    assert_eq!(ask("p50", 3600), json!([2.0]));
    assert_eq!(ask("SampleCount", 3600), json!([3.0]));
}

#[test]
fn metrics_are_listed_by_namespace_and_dimension() {
    let fixture = with_data();
    let number =
        |input| fixture.cloudwatch("ListMetrics", input)["Metrics"].as_array().unwrap().len();
    assert_eq!(number(json!({"Namespace": "app"})), 1);
    assert_eq!(number(json!({"Dimensions": [{"Name": "s", "Value": "other"}]})), 0);
}

#[test]
fn callers_may_not_write_into_the_platform_s_namespaces_but_the_platform_does() {
    let fixture = Fixture::new();
    let input = json!({"Namespace": "AWS/ApplicationELB", "MetricData": []});
    let refused =
        fixture.simulation.call(evenkeel_simulator::Api::CloudWatch, "PutMetricData", &input);
    assert_eq!(refused.unwrap_err().code, "InvalidParameterValue");
    let dimensions = [("LoadBalancer", "app/front/1")];
    fixture.simulation.region().put_platform_metric(
        "AWS/ApplicationELB",
        "RequestCount",
        &dimensions,
        3.0,
    );
    let listed = fixture.cloudwatch("ListMetrics", json!({"Namespace": "AWS/ApplicationELB"}));
    assert_eq!(listed["Metrics"][0]["MetricName"], "RequestCount");
}

#[test]
fn alarms_are_deleted_and_composite_types_are_empty() {
    let fixture = Fixture::new();
    fixture.cloudwatch("PutMetricAlarm", json!({
        "AlarmName": "a", "Namespace": "app", "MetricName": "m", "Statistic": "Sum", "Period": 60,
        "EvaluationPeriods": 1, "Threshold": 1, "ComparisonOperator": "GreaterThanThreshold",
    }));
    let composite = fixture.cloudwatch("DescribeAlarms", json!({"AlarmTypes": ["CompositeAlarm"]}));
    assert_eq!(composite["MetricAlarms"], json!([]));
    fixture.cloudwatch("DeleteAlarms", json!({"AlarmNames": ["a"]}));
    assert_eq!(fixture.cloudwatch("DescribeAlarms", json!({}))["MetricAlarms"], json!([]));
}
