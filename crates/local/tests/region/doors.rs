//! Each protocol as raw bytes: what clients send and what they must get.

use std::io::Write as _;

use hyper::StatusCode;
use serde_json::json;

use crate::stage::Stage;

#[tokio::test]
async fn ecs_speaks_json_with_request_ids_and_the_region_s_date() {
    let stage = Stage::start().await;
    let reply = stage.try_ecs("ListClusters", json!({})).await;
    assert_eq!(reply.status, StatusCode::OK);
    assert_eq!(reply.header("content-type"), "application/x-amz-json-1.1");
    assert_eq!(reply.header("x-amzn-requestid").len(), 36);
    let cluster = "arn:aws:ecs:us-east-1:123456789012:cluster/default";
    assert_eq!(reply.json(), json!({ "clusterArns": [cluster] }));
    let date = jiff::fmt::rfc2822::parse(reply.header("date")).unwrap().timestamp();
    let now = stage.server.region().clock().now();
    assert!(date <= now && now.duration_since(date).as_secs() < 600, "{date} at {now}");
    stage.server.stop().await.unwrap();
}

#[tokio::test]
async fn errors_of_ecs_name_their_code() {
    let stage = Stage::start().await;
    for (operation, input, code) in [
        (
            "DescribeServices",
            json!({"cluster": "x", "services": ["y"]}),
            "ClusterNotFoundException",
        ),
        ("DescribeTaskDefinition", json!({"taskDefinition": "none"}), "ClientException"),
    ] {
        let reply = stage.try_ecs(operation, input).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{operation}");
        assert_eq!(reply.json()["__type"], code);
    }
    let target = [("x-amz-target", "AmazonEC2ContainerServiceV20141113.ListClusters")];
    let reply = stage.post("/", &target, b"{not json".to_vec()).await;
    assert_eq!(reply.json()["__type"], "SerializationException");
    let foreign = [("x-amz-target", "AWSEvents.ListRules")];
    let reply = stage.post("/", &foreign, b"{}".to_vec()).await;
    assert_eq!(reply.json()["__type"], "UnknownOperationException");
    stage.server.stop().await.unwrap();
}

#[tokio::test]
async fn load_balancing_speaks_query_and_xml() {
    let stage = Stage::start().await;
    let created = stage
        .form(
            "Action=CreateTargetGroup&Version=2015-12-01&Name=green&Protocol=HTTP&Port=8080\
             &VpcId=vpc-1&TargetType=ip&HealthCheckIntervalSeconds=10&Matcher.HttpCode=200-299",
        )
        .await;
    assert_eq!(created.header("content-type"), "text/xml");
    let xml = created.text();
    for part in [
        "<CreateTargetGroupResponse xmlns=\"http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/\">",
        "<CreateTargetGroupResult><TargetGroups><member>",
        "<HealthCheckIntervalSeconds>10</HealthCheckIntervalSeconds>",
        "<Matcher><HttpCode>200-299</HttpCode></Matcher>",
        "<ResponseMetadata><RequestId>",
    ] {
        assert!(xml.contains(part), "{part} is not in {xml}");
    }
    let missing =
        stage.form("Action=DescribeTargetGroups&Version=2015-12-01&Names.member.1=none").await;
    assert_eq!(missing.status, StatusCode::BAD_REQUEST);
    let error = "<Error><Type>Sender</Type><Code>TargetGroupNotFound</Code>";
    assert!(missing.text().contains(error), "{}", missing.text());
    stage.server.stop().await.unwrap();
}

#[tokio::test]
async fn sts_says_whose_account_it_is() {
    let stage = Stage::start().await;
    let reply = stage.form("Action=GetCallerIdentity&Version=2011-06-15").await;
    assert!(reply.text().contains("<Account>123456789012</Account>"), "{}", reply.text());
    stage.server.stop().await.unwrap();
}

const ALARM: &str = "Action=PutMetricAlarm&Version=2010-08-01&AlarmName=errors&MetricName=Errors\
    &Namespace=Shop&Statistic=Sum&Period=60&EvaluationPeriods=1&Threshold=5\
    &ComparisonOperator=GreaterThanThreshold";

#[tokio::test]
async fn cloudwatch_speaks_cbor_json_and_query_about_the_same_alarm() {
    let stage = Stage::start().await;
    assert_eq!(stage.form(ALARM).await.status, StatusCode::OK);

    let path = "/service/GraniteServiceVersion20100801/operation/DescribeAlarms";
    let headers = [("smithy-protocol", "rpc-v2-cbor"), ("content-type", "application/cbor")];
    let cbor = stage.post(path, &headers, vec![0xa0]).await;
    assert_eq!(cbor.header("smithy-protocol"), "rpc-v2-cbor");
    let document: ciborium::Value = ciborium::from_reader(&*cbor.body).unwrap();
    let shown = format!("{document:?}");
    assert!(shown.contains("Text(\"Threshold\"), Float(5.0)"), "{shown}");
    assert!(shown.contains("Text(\"StateUpdatedTimestamp\"), Tag(1, Float("), "{shown}");

    let target = [("x-amz-target", "GraniteServiceVersion20100801.DescribeAlarms")];
    let json = stage.post("/", &target, b"{}".to_vec()).await;
    assert_eq!(json.header("content-type"), "application/x-amz-json-1.0");
    assert_eq!(json.json()["MetricAlarms"][0]["AlarmName"], "errors");

    let query = stage.form("Action=DescribeAlarms&Version=2010-08-01").await.text();
    assert!(query.contains("<MetricAlarms><member>"), "{query}");
    stage.server.stop().await.unwrap();
}

#[tokio::test]
async fn an_error_in_cbor_carries_the_query_code() {
    let stage = Stage::start().await;
    let path = "/service/GraniteServiceVersion20100801/operation/NoSuchOperation";
    let reply = stage.post(path, &[("smithy-protocol", "rpc-v2-cbor")], vec![0xa0]).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    assert!(reply.header("x-amzn-query-error").ends_with(";Sender"), "{:?}", reply.headers);
    stage.server.stop().await.unwrap();
}

#[tokio::test]
async fn compressed_metric_data_is_taken() {
    let stage = Stage::start().await;
    let body = json!({"Namespace": "Shop", "MetricData": [{"MetricName": "Errors", "Value": 7.0}]});
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(body.to_string().as_bytes()).unwrap();
    let headers = [
        ("x-amz-target", "GraniteServiceVersion20100801.PutMetricData"),
        ("content-encoding", "gzip"),
    ];
    let reply = stage.post("/", &headers, gzip.finish().unwrap()).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let metrics = stage.form("Action=ListMetrics&Version=2010-08-01&Namespace=Shop").await.text();
    assert!(metrics.contains("<MetricName>Errors</MetricName>"), "{metrics}");
    stage.server.stop().await.unwrap();
}

#[tokio::test]
async fn every_call_is_counted_and_writes_are_told_from_reads() {
    let stage = Stage::start().await;
    let before = stage.server.calls().total();
    stage.ecs("ListClusters", json!({})).await;
    stage.ecs("CreateCluster", json!({"clusterName": "other"})).await;
    stage.try_ecs("DescribeServices", json!({"cluster": "x", "services": ["y"]})).await;
    let calls = stage.server.calls().after(before);
    let seen: Vec<_> =
        calls.iter().map(|call| (&*call.operation, call.is_write(), call.status)).collect();
    let expected = [
        ("ListClusters", false, 200),
        ("CreateCluster", true, 200),
        ("DescribeServices", false, 400),
    ];
    assert_eq!(seen, expected);
    stage.server.stop().await.unwrap();
}
