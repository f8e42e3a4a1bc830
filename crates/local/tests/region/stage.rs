//! What the tests stand on: a region, raw requests to its door, and waiting with a deadline.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use evenkeel_local::catalogue::{Catalogue, Image};
use evenkeel_local::server::{Server, ServerSettings};
use evenkeel_simulator::Api;
use http_body_util::{BodyExt as _, Full};
use hyper::{HeaderMap, Request, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};

pub(crate) const SPEED: f64 = 60.0;
const PATIENCE: Duration = Duration::from_mins(1);

pub(crate) struct Stage {
    pub(crate) server: Server,
    pub(crate) client: Client<HttpConnector, Full<Bytes>>,
}

/// A reply as it came over the wire.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Reply {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.text()))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

impl Stage {
    pub(crate) async fn start() -> Self {
        Self::start_with(|settings| settings).await
    }

    pub(crate) async fn start_with(change: impl FnOnce(ServerSettings) -> ServerSettings) -> Self {
        let demo = Catalogue::demo(Path::new(env!("CARGO_BIN_EXE_evenkeel-local")));
        let settings = ServerSettings { speed: SPEED, ..ServerSettings::new(demo) };
        let server = Server::start(change(settings)).await.unwrap();
        let client = Client::builder(TokioExecutor::new()).build_http();
        let stage = Self { server, client };
        stage.ecs("CreateCluster", json!({"clusterName": "default"})).await;
        stage
    }

    pub(crate) async fn post(&self, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Reply {
        let mut request = Request::post(format!("{}{path}", self.server.endpoint()));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Full::from(body)).unwrap()).await.unwrap()
    }

    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> Result<Reply, String> {
        let response = self.client.request(request).await.map_err(|error| error.to_string())?;
        let (head, body) = response.into_parts();
        let body = body.collect().await.map_err(|error| error.to_string())?.to_bytes();
        Ok(Reply { status: head.status, headers: head.headers, body })
    }

    pub(crate) async fn get(&self, address: SocketAddr, path: &str) -> Result<Reply, String> {
        let request = Request::get(format!("http://{address}{path}"));
        self.send(request.body(Full::default()).unwrap()).await
    }

    /// A call that must succeed, as raw awsJson1.1.
    pub(crate) async fn ecs(&self, operation: &str, input: Value) -> Value {
        let reply = self.try_ecs(operation, input).await;
        assert_eq!(reply.status, StatusCode::OK, "{operation}: {}", reply.text());
        reply.json()
    }

    pub(crate) async fn try_ecs(&self, operation: &str, input: Value) -> Reply {
        let target = format!("AmazonEC2ContainerServiceV20141113.{operation}");
        let headers =
            [("x-amz-target", target.as_str()), ("content-type", "application/x-amz-json-1.1")];
        self.post("/", &headers, input.to_string().into_bytes()).await
    }

    pub(crate) async fn form(&self, form: &str) -> Reply {
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        self.post("/", &headers, form.as_bytes().to_vec()).await
    }

    /// Registers a task definition with one container `web` and returns its ARN.
    pub(crate) async fn register(&self, container: Value) -> String {
        let mut container = container;
        container["name"] = json!("web");
        let input = json!({
            "family": "web", "networkMode": "awsvpc", "requiresCompatibilities": ["FARGATE"],
            "cpu": "256", "memory": "512", "containerDefinitions": [container],
        });
        let reply = self.ecs("RegisterTaskDefinition", input).await;
        reply["taskDefinition"]["taskDefinitionArn"].as_str().unwrap().to_owned()
    }

    /// Creates the service `web`.
    pub(crate) async fn create(&self, task_definition: &str, count: u64, load_balancers: Value) {
        let input = json!({
            "serviceName": "web", "taskDefinition": task_definition, "desiredCount": count,
            "launchType": "FARGATE", "loadBalancers": load_balancers,
            "networkConfiguration": {"awsvpcConfiguration": {"subnets": ["subnet-1"]}},
        });
        self.ecs("CreateService", input).await;
    }

    pub(crate) async fn service(&self) -> Value {
        let reply = self.ecs("DescribeServices", json!({"services": ["web"]})).await;
        reply["services"][0].clone()
    }

    pub(crate) async fn steady(&self, count: u64) {
        self.until("the service is steady", async || {
            let service = self.service().await;
            let deployments = service["deployments"].as_array().unwrap();
            (deployments.len() == 1
                && deployments[0]["rolloutState"] == "COMPLETED"
                && service["runningCount"] == count)
                .then_some(())
        })
        .await;
    }

    /// The service's tasks that are to run, or that are to stop.
    pub(crate) async fn tasks(&self, desired_status: &str) -> Vec<Value> {
        let input = json!({"serviceName": "web", "desiredStatus": desired_status});
        let arns = self.ecs("ListTasks", input).await["taskArns"].clone();
        if arns.as_array().unwrap().is_empty() {
            return Vec::new();
        }
        let reply = self.ecs("DescribeTasks", json!({"tasks": arns})).await;
        reply["tasks"].as_array().unwrap().clone()
    }

    /// The first task that has stopped altogether.
    pub(crate) async fn stopped_task(&self) -> Value {
        self.until("a task has stopped", async || {
            let tasks = self.tasks("STOPPED").await;
            tasks.into_iter().find(|task| task["lastStatus"] == "STOPPED")
        })
        .await
    }

    pub(crate) async fn until<T, F>(&self, what: &str, mut condition: impl FnMut() -> F) -> T
    where
        F: Future<Output = Option<T>>,
    {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(value) = condition().await {
                return value;
            }
            assert!(Instant::now() < deadline, "not in {PATIENCE:?}: {what}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// A load balancer with a listener and a target group; the address to ask and the group's ARN.
    pub(crate) fn load_balancer(&self) -> (SocketAddr, String) {
        let elb = |operation: &str, input: Value| {
            self.server.region().call(Api::ElasticLoadBalancingV2, operation, &input).unwrap()
        };
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let balancer = elb("CreateLoadBalancer", json!({"Name": "b", "Subnets": ["s-1", "s-2"]}));
        let group = elb(
            "CreateTargetGroup",
            json!({
                "Name": "g", "Protocol": "HTTP", "Port": 8080, "TargetType": "ip",
                "VpcId": "vpc-1", "HealthCheckPath": "/health", "HealthCheckIntervalSeconds": 5,
                "HealthCheckTimeoutSeconds": 2,
            }),
        );
        let arn = group["TargetGroups"][0]["TargetGroupArn"].as_str().unwrap().to_owned();
        let delay = json!({"Key": "deregistration_delay.timeout_seconds", "Value": "120"});
        elb("ModifyTargetGroupAttributes", json!({"TargetGroupArn": arn, "Attributes": [delay]}));
        elb(
            "CreateListener",
            json!({
                "LoadBalancerArn": balancer["LoadBalancers"][0]["LoadBalancerArn"],
                "Protocol": "HTTP", "Port": address.port(),
                "DefaultActions": [{"Type": "forward", "TargetGroupArn": arn}],
            }),
        );
        (address, arn)
    }
}

/// An image that is a shell script.
pub(crate) fn shell(name: &str, script: &str) -> Image {
    Image {
        name: name.to_owned(),
        program: "/bin/sh".to_owned(),
        arguments: vec!["-c".to_owned(), script.to_owned()],
        command: Vec::new(),
        environment: BTreeMap::new(),
    }
}
