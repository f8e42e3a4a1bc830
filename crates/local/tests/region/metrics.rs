//! What real requests come to in CloudWatch.

use evenkeel_simulator::Api;
use serde_json::{Value, json};

use crate::stage::Stage;

const REQUESTS: u32 = 40;

/// The metrics of one target group, or of its whole load balancer.
struct Metrics<'a> {
    stage: &'a Stage,
    dimensions: Value,
    since: i64,
}

impl Metrics<'_> {
    /// The values of all minutes since the beginning, over the wire.
    async fn values(&self, name: &str, stat: &str) -> Vec<f64> {
        let metric = json!({
            "Namespace": "AWS/ApplicationELB", "MetricName": name, "Dimensions": self.dimensions,
        });
        let query =
            json!({"Id": "q", "MetricStat": {"Metric": metric, "Period": 60, "Stat": stat}});
        let until = self.stage.server.region().clock().now().as_second() + 60;
        let input =
            json!({"StartTime": self.since, "EndTime": until, "MetricDataQueries": [query]});
        let headers = [
            ("x-amz-target", "GraniteServiceVersion20100801.GetMetricData"),
            ("content-type", "application/x-amz-json-1.0"),
        ];
        let reply = self.stage.post("/", &headers, input.to_string().into_bytes()).await.json();
        let values = reply["MetricDataResults"][0]["Values"].as_array().unwrap();
        values.iter().map(|value| value.as_f64().unwrap()).collect()
    }

    /// The sum of a metric that counts.
    async fn count(&self, name: &str) -> u32 {
        let values = self.values(name, "Sum").await;
        values.iter().map(|value| format!("{value:.0}").parse::<u32>().unwrap()).sum()
    }
}

fn tail<'a>(arn: &'a str, from: &str) -> &'a str {
    arn.split(from).last().unwrap()
}

#[tokio::test]
async fn get_metric_data_answers_what_was_sent_to_a_target_group() {
    let stage = Stage::start().await;
    let (address, group) = stage.load_balancer();
    let since = stage.server.region().clock().now().as_second();
    let app = json!({
        "image": "evenkeel-demo:v1", "portMappings": [{"containerPort": 8080}],
        "environment": [
            {"name": "APP_ERROR_PERCENT", "value": "25"}, {"name": "APP_LATENCY_MS", "value": "3"},
        ],
    });
    let definition = stage.register(app).await;
    let behind = json!([{"targetGroupArn": group, "containerName": "web", "containerPort": 8080}]);
    stage.create(&definition, 1, behind).await;
    stage.steady(1).await;
    for _ in 0..REQUESTS {
        stage.get(address, "/").await.unwrap();
    }

    let balancers = Api::ElasticLoadBalancingV2;
    let reply = stage.server.region().call(balancers, "DescribeLoadBalancers", &json!({})).unwrap();
    let balancer = reply["LoadBalancers"][0]["LoadBalancerArn"].as_str().unwrap();
    let balancer = json!({"Name": "LoadBalancer", "Value": tail(balancer, ":loadbalancer/")});
    let target_group = json!({"Name": "TargetGroup", "Value": tail(&group, ":")});
    for dimensions in [json!([balancer, target_group]), json!([balancer])] {
        let metrics = Metrics { stage: &stage, dimensions, since };
        stage
            .until("the minute of the last request can be read", async || {
                (metrics.count("RequestCount").await >= REQUESTS).then_some(())
            })
            .await;
        assert_eq!(metrics.count("RequestCount").await, REQUESTS);
        assert_eq!(metrics.count("HTTPCode_Target_2XX_Count").await, 30);
        assert_eq!(metrics.count("HTTPCode_Target_5XX_Count").await, 10);
        assert!(metrics.values("HTTPCode_Target_4XX_Count", "Sum").await.is_empty());
        let fastest = metrics.values("TargetResponseTime", "Minimum").await;
        assert!(fastest.iter().all(|seconds| (0.003..60.0).contains(seconds)), "{fastest:?}");
        assert!(metrics.values("HTTPCode_ELB_5XX_Count", "Sum").await.is_empty());
    }
    let dimensions = json!([balancer, target_group]);
    let metrics = Metrics { stage: &stage, dimensions, since };
    let healthy = metrics.values("HealthyHostCount", "Maximum").await;
    assert!(healthy.contains(&1.0), "{healthy:?}");
    stage.server.stop().await.unwrap();
}

#[tokio::test]
async fn requests_that_no_target_could_take_are_errors_of_the_load_balancer_and_no_requests() {
    let stage = Stage::start().await;
    let (address, _) = stage.load_balancer();
    let since = stage.server.region().clock().now().as_second();
    stage.until("it listens", async || stage.get(address, "/").await.ok()).await;
    let balancers = Api::ElasticLoadBalancingV2;
    let reply = stage.server.region().call(balancers, "DescribeLoadBalancers", &json!({})).unwrap();
    let balancer = reply["LoadBalancers"][0]["LoadBalancerArn"].as_str().unwrap();
    let dimensions = json!([{"Name": "LoadBalancer", "Value": tail(balancer, ":loadbalancer/")}]);
    let metrics = Metrics { stage: &stage, dimensions, since };
    stage
        .until("the error can be read", async || {
            (metrics.count("HTTPCode_ELB_5XX_Count").await > 0).then_some(())
        })
        .await;
    assert_eq!(metrics.count("HTTPCode_ELB_5XX_Count").await, 1);
    assert!(metrics.values("RequestCount", "Sum").await.is_empty());
    stage.server.stop().await.unwrap();
}
