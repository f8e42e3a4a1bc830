//! Real requests through the load balancer while tasks come and go.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use evenkeel_local::balancer::Route;
use evenkeel_simulator::Api;
use http_body_util::Full;
use hyper::{Request, StatusCode};
use serde_json::{Value, json};

use crate::stage::Stage;

fn app(tag: &str, latency_ms: u32) -> Value {
    json!({
        "image": format!("evenkeel-demo:{tag}"),
        "portMappings": [{"containerPort": 8080}],
        "environment": [{"name": "APP_LATENCY_MS", "value": latency_ms.to_string()}],
    })
}

fn behind(group: &str) -> Value {
    json!([{"targetGroupArn": group, "containerName": "web", "containerPort": 8080}])
}

#[tokio::test]
async fn no_request_fails_while_every_task_is_replaced() {
    let stage = Arc::new(Stage::start().await);
    let (address, group) = stage.load_balancer();
    let first = stage.register(app("v1", 5)).await;
    stage.create(&first, 2, behind(&group)).await;
    stage.steady(2).await;

    let done = Arc::new(AtomicBool::new(false));
    let mut users = tokio::task::JoinSet::new();
    for user in 0..4 {
        let (stage, done) = (Arc::clone(&stage), Arc::clone(&done));
        users.spawn(async move {
            let mut answers = Vec::new();
            while !done.load(Ordering::Relaxed) {
                // Every second user sends a body, which cannot be sent twice.
                let request = match user % 2 {
                    0 => Request::get(format!("http://{address}/")).body(Full::default()),
                    _ => Request::post(format!("http://{address}/")).body(Full::from("order")),
                };
                let reply = stage.send(request.unwrap()).await;
                answers.push(reply.map(|reply| (reply.status, reply.text())));
            }
            answers
        });
    }
    let second = stage.register(app("v2", 5)).await;
    stage.ecs("UpdateService", json!({"service": "web", "taskDefinition": second})).await;
    stage.steady(2).await;
    done.store(true, Ordering::Relaxed);

    let answers: Vec<_> = users.join_all().await.into_iter().flatten().collect();
    let (ok, bad): (Vec<_>, Vec<_>) =
        answers.iter().partition(|answer| matches!(answer, Ok((StatusCode::OK, _))));
    assert!(bad.is_empty(), "{} of {} failed: {:?}", bad.len(), answers.len(), bad[0]);
    let by =
        |version: &str| ok.iter().any(|answer| matches!(answer, Ok((_, text)) if text == version));
    assert!(by("v1") && by("v2"), "both versions answered");
    let counts = stage.server.counts().snapshot();
    let through = counts[&Route { port: address.port(), target_group: group }];
    assert_eq!(through.balancer_errors, 0, "{through:?}");
    assert_eq!(usize::try_from(through.requests).unwrap(), answers.len());
    let stage = Arc::into_inner(stage).unwrap();
    stage.server.stop().await.unwrap();
}

#[tokio::test]
async fn a_request_in_flight_on_a_draining_target_is_answered() {
    let stage = Stage::start().await;
    let (address, group) = stage.load_balancer();
    // An hour of the region's time, a minute here: the target still drains when all was asked.
    let drains = json!({"Key": "deregistration_delay.timeout_seconds", "Value": "3600"});
    let drains = json!({"TargetGroupArn": group, "Attributes": [drains]});
    let elb = Api::ElasticLoadBalancingV2;
    stage.server.region().call(elb, "ModifyTargetGroupAttributes", &drains).unwrap();
    let slow = stage.register(app("v1", 1000)).await;
    stage.create(&slow, 1, behind(&group)).await;
    stage.steady(1).await;
    let news = stage.server.region().clone();
    let is_draining = || {
        let groups = news.with(|region| region.target_groups());
        groups.iter().flat_map(|group| &group.targets).any(|target| target.2 == "draining")
    };
    let route = Route { port: address.port(), target_group: group };
    let answer = stage.get(address, "/");
    let drain = async {
        stage
            .until("the request is on its way", async || {
                stage.server.counts().snapshot().get(&route)?.last_chosen
            })
            .await;
        stage.ecs("UpdateService", json!({"service": "web", "desiredCount": 0})).await;
        // The load balancer learns of it a moment after the region.
        let refuses = async || {
            let status = stage.get(address, "/").await.unwrap().status;
            (status == StatusCode::SERVICE_UNAVAILABLE).then_some(())
        };
        stage.until("no new request goes there", refuses).await;
        assert!(is_draining(), "it was refused while the target drains");
    };
    let (answer, ()) = tokio::join!(answer, drain);
    let answer = answer.unwrap();
    assert_eq!((answer.status, answer.text().as_str()), (StatusCode::OK, "v1"));
    stage.server.stop().await.unwrap();
}

#[tokio::test]
async fn without_targets_the_balancer_itself_answers_503() {
    let stage = Stage::start().await;
    let (address, _) = stage.load_balancer();
    let reply = stage.until("it listens", async || stage.get(address, "/").await.ok()).await;
    assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(reply.header("server"), "awselb/2.0");
    stage.server.stop().await.unwrap();
}

#[tokio::test]
async fn a_target_that_answers_500_on_its_health_path_is_replaced() {
    let stage = Stage::start().await;
    let (_, group) = stage.load_balancer();
    let bad = stage.register(app("v4", 0)).await;
    stage.create(&bad, 1, behind(&group)).await;
    let task = stage.stopped_task().await;
    assert_eq!(task["stopCode"], "ServiceSchedulerInitiated");
    let expected = format!("Task failed ELB health checks in (target-group {group})");
    assert_eq!(task["stoppedReason"], expected);
    stage.server.stop().await.unwrap();
}

#[tokio::test]
async fn targets_learn_of_the_client_and_nothing_of_its_connection() {
    let stage = Stage::start().await;
    let (address, group) = stage.load_balancer();
    let first = stage.register(app("v1", 0)).await;
    stage.create(&first, 1, behind(&group)).await;
    stage.steady(1).await;
    let request = Request::get(format!("http://{address}/echo"))
        .header("connection", "x-secret")
        .header("x-secret", "1")
        .header("x-forwarded-for", "10.0.0.1")
        .body(Full::<Bytes>::default());
    let echo = stage.send(request.unwrap()).await.unwrap().text();
    assert!(echo.contains("x-forwarded-for: 10.0.0.1, 127.0.0.1"), "{echo}");
    assert!(echo.contains(&format!("host: {address}")), "{echo}");
    assert!(!echo.contains("x-secret"), "{echo}");
    stage.server.stop().await.unwrap();
}

#[tokio::test]
async fn where_addresses_cannot_be_had_tasks_are_reached_on_other_ports() {
    let stage = Stage::start_with(|settings| evenkeel_local::server::ServerSettings {
        shared_address: true,
        ..settings
    })
    .await;
    let (address, group) = stage.load_balancer();
    let first = stage.register(app("v1", 0)).await;
    stage.create(&first, 2, behind(&group)).await;
    stage.steady(2).await;
    let reply = tokio::time::timeout(Duration::from_secs(10), stage.get(address, "/")).await;
    assert_eq!(reply.unwrap().unwrap().text(), "v1");
    stage.server.stop().await.unwrap();
}
