//! `CodeDeploy` over the wire, in each of its protocols: every operation as raw bytes.

use ciborium::Value as Cbor;
use evenkeel_simulator::Api;
use hyper::StatusCode;
use serde_json::{Value, json};

use crate::stage::{Reply, Stage};

/// How a client speaks.
#[derive(Clone, Copy)]
enum Tongue {
    Json,
    Cbor,
}

struct Deployer {
    stage: Stage,
    tongue: Tongue,
    listener: Value,
}

impl Deployer {
    /// A service that runs, and its application and group.
    async fn start(tongue: Tongue) -> Self {
        let stage = Stage::start().await;
        let (_, blue) = stage.load_balancer();
        let elb = |operation: &str, input: Value| {
            stage.server.region().call(Api::ElasticLoadBalancingV2, operation, &input).unwrap()
        };
        let green = json!({
            "Name": "green", "Protocol": "HTTP", "Port": 8080, "TargetType": "ip",
            "VpcId": "vpc-1", "HealthCheckPath": "/health", "HealthCheckIntervalSeconds": 5,
            "HealthCheckTimeoutSeconds": 2,
        });
        elb("CreateTargetGroup", green);
        let balancer = elb("DescribeLoadBalancers", json!({"Names": ["b"]}));
        let of = json!({"LoadBalancerArn": balancer["LoadBalancers"][0]["LoadBalancerArn"]});
        let listener = elb("DescribeListeners", of)["Listeners"][0]["ListenerArn"].clone();
        let definition = stage.register(container()).await;
        let input = json!({
            "serviceName": "web", "taskDefinition": definition, "desiredCount": 1,
            "launchType": "FARGATE", "deploymentController": {"type": "CODE_DEPLOY"},
            "networkConfiguration": {"awsvpcConfiguration": {"subnets": ["subnet-1"]}},
            "loadBalancers": [
                {"targetGroupArn": blue, "containerName": "web", "containerPort": 8080},
            ],
        });
        stage.ecs("CreateService", input).await;
        let deployer = Self { stage, tongue, listener };
        let application = json!({"applicationName": "shop", "computePlatform": "ECS"});
        deployer.ask("CreateApplication", application).await;
        deployer.ask("CreateDeploymentGroup", deployer.group()).await;
        deployer
    }

    fn group(&self) -> Value {
        json!({
            "applicationName": "shop", "deploymentGroupName": "web",
            "serviceRoleArn": "arn:aws:iam::123456789012:role/deploys",
            "ecsServices": [{"serviceName": "web", "clusterName": "default"}],
            "deploymentStyle": {
                "deploymentType": "BLUE_GREEN", "deploymentOption": "WITH_TRAFFIC_CONTROL",
            },
            "loadBalancerInfo": {"targetGroupPairInfoList": [{
                "targetGroups": [{"name": "g"}, {"name": "green"}],
                "prodTrafficRoute": {"listenerArns": [self.listener]},
            }]},
            "blueGreenDeploymentConfiguration": {
                "terminateBlueInstancesOnDeploymentSuccess": {
                    "action": "TERMINATE", "terminationWaitTimeInMinutes": 600,
                },
                "deploymentReadyOption": {
                    "actionOnTimeout": "STOP_DEPLOYMENT", "waitTimeInMinutes": 600,
                },
            },
        })
    }

    async fn try_ask(&self, operation: &str, input: &Value) -> Reply {
        match self.tongue {
            Tongue::Json => {
                let target = format!("CodeDeploy_20141006.{operation}");
                let headers = [
                    ("x-amz-target", target.as_str()),
                    ("content-type", "application/x-amz-json-1.1"),
                ];
                self.stage.post("/", &headers, input.to_string().into_bytes()).await
            }
            Tongue::Cbor => {
                let path = format!("/service/CodeDeploy_20141006/operation/{operation}");
                let headers =
                    [("smithy-protocol", "rpc-v2-cbor"), ("content-type", "application/cbor")];
                let mut body = Vec::new();
                ciborium::into_writer(input, &mut body).unwrap();
                self.stage.post(&path, &headers, body).await
            }
        }
    }

    fn read(&self, reply: &Reply) -> Value {
        match self.tongue {
            Tongue::Json => reply.json(),
            Tongue::Cbor => plain(ciborium::from_reader(&*reply.body).unwrap()),
        }
    }

    async fn ask(&self, operation: &str, input: Value) -> Value {
        let reply = self.try_ask(operation, &input).await;
        assert_eq!(reply.status, StatusCode::OK, "{operation}: {}", reply.text());
        let (kind, protocol) = match self.tongue {
            Tongue::Json => ("application/x-amz-json-1.1", ""),
            Tongue::Cbor => ("application/cbor", "rpc-v2-cbor"),
        };
        assert_eq!(reply.header("content-type"), kind);
        assert_eq!(reply.header("smithy-protocol"), protocol);
        self.read(&reply)
    }

    async fn refused(&self, operation: &str, input: Value) -> String {
        let reply = self.try_ask(operation, &input).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{operation}: {}", reply.text());
        self.read(&reply)["__type"].as_str().unwrap().to_owned()
    }

    async fn deploy(&self) -> Value {
        self.deploy_with(&json!([])).await
    }

    async fn deploy_with(&self, hooks: &Value) -> Value {
        let definition = self.stage.register(container()).await;
        let service = json!({"Type": "AWS::ECS::Service", "Properties": {
            "TaskDefinition": definition,
            "LoadBalancerInfo": {"ContainerName": "web", "ContainerPort": 8080},
        }});
        let resources = json!([{"TargetService": service}]);
        let spec = json!({"version": 0.0, "Resources": resources, "Hooks": hooks});
        let content = json!({"content": spec.to_string()});
        let input = json!({
            "applicationName": "shop", "deploymentGroupName": "web", "description": "a change",
            "revision": {"revisionType": "AppSpecContent", "appSpecContent": content},
        });
        self.ask("CreateDeployment", input).await["deploymentId"].clone()
    }

    async fn info(&self, id: &Value) -> Value {
        self.ask("GetDeployment", json!({"deploymentId": id})).await["deploymentInfo"].clone()
    }

    async fn until(&self, id: &Value, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let look = async || Some(self.info(id).await).filter(|info| is_so(info));
        self.stage.until(what, look).await
    }
}

fn container() -> Value {
    json!({"image": "evenkeel-demo:v1", "portMappings": [{"containerPort": 8080}]})
}

/// Without tags.
fn plain(cbor: Cbor) -> Value {
    match cbor {
        Cbor::Tag(_, inner) => plain(*inner),
        Cbor::Array(items) => items.into_iter().map(plain).collect(),
        Cbor::Map(members) => {
            let member = |(name, value): (Cbor, Cbor)| (name.into_text().unwrap(), plain(value));
            Value::Object(members.into_iter().map(member).collect())
        }
        scalar => scalar.deserialized().unwrap(),
    }
}

/// Every operation, from an application to a stop.
async fn all_operations(tongue: Tongue) {
    let deployer = Deployer::start(tongue).await;
    let application = json!({"applicationName": "shop"});
    let read = deployer.ask("GetApplication", application.clone()).await;
    assert_eq!(read["application"]["computePlatform"], "ECS");
    let listed = deployer.ask("ListApplications", json!({})).await;
    assert_eq!(listed["applications"], json!(["shop"]));
    let group = json!({"applicationName": "shop", "deploymentGroupName": "web"});
    let read = deployer.ask("GetDeploymentGroup", group.clone()).await;
    assert_eq!(read["deploymentGroupInfo"]["ecsServices"][0]["serviceName"], "web");
    let listed = deployer.ask("ListDeploymentGroups", application).await;
    assert_eq!(listed["deploymentGroups"], json!(["web"]));
    let named = json!({"applicationName": "shop", "deploymentGroupNames": ["web"]});
    let read = deployer.ask("BatchGetDeploymentGroups", named).await;
    assert_eq!(read["deploymentGroupsInfo"][0]["deploymentGroupName"], "web");
    let config = json!({
        "deploymentConfigName": "steps", "computePlatform": "ECS", "trafficRoutingConfig": {
            "type": "TimeBasedCanary",
            "timeBasedCanary": {"canaryPercentage": 25, "canaryInterval": 1},
        },
    });
    deployer.ask("CreateDeploymentConfig", config).await;
    let read = deployer.ask("GetDeploymentConfig", json!({"deploymentConfigName": "steps"})).await;
    let routing = &read["deploymentConfigInfo"]["trafficRoutingConfig"];
    assert_eq!(routing["timeBasedCanary"]["canaryPercentage"], 25);
    assert!(read["deploymentConfigInfo"]["createTime"].is_f64());

    let id = deployer.deploy().await;
    deployer.until(&id, "it waits for a word", |info| info["status"] == "Ready").await;
    let targets = deployer.ask("ListDeploymentTargets", json!({"deploymentId": id})).await;
    let named = json!({"deploymentId": id, "targetIds": targets["targetIds"]});
    let read = deployer.ask("BatchGetDeploymentTargets", named).await;
    let target = &read["deploymentTargets"][0]["ecsTarget"];
    assert_eq!(target["taskSetsInfo"][1]["trafficWeight"].as_f64(), Some(0.0));
    assert!(target["lifecycleEvents"][0]["startTime"].is_f64(), "{target}");
    let word = json!({"deploymentId": id, "deploymentWaitType": "READY_WAIT"});
    deployer.ask("ContinueDeployment", word).await;
    let waits = |info: &Value| info["instanceTerminationWaitTimeStarted"] == true;
    deployer.until(&id, "blue waits for its end", waits).await;
    let word = json!({"deploymentId": id, "deploymentWaitType": "TERMINATION_WAIT"});
    deployer.ask("ContinueDeployment", word).await;
    let done = deployer.until(&id, "it succeeds", |info| info["status"] == "Succeeded").await;
    assert_eq!((&done["creator"], &done["description"]), (&json!("user"), &json!("a change")));

    let second = deployer.deploy().await;
    let stop = json!({"deploymentId": second, "autoRollbackEnabled": true});
    assert_eq!(deployer.ask("StopDeployment", stop).await["status"], "Pending");
    deployer.until(&second, "it stops", |info| info["status"] == "Stopped").await;
    let mut early = group;
    early["createTimeRange"] = json!({"start": 0, "end": done["completeTime"]});
    let listed = deployer.ask("ListDeployments", early).await;
    assert_eq!(listed["deployments"], json!([id]));
    let read = deployer.ask("BatchGetDeployments", json!({"deploymentIds": [second]})).await;
    assert_eq!(read["deploymentsInfo"][0]["errorInformation"]["code"], "MANUAL_STOP");

    let error = deployer.refused("GetDeployment", json!({"deploymentId": "d-NONE"})).await;
    let expected = match tongue {
        Tongue::Json => "DeploymentDoesNotExistException",
        Tongue::Cbor => "com.amazonaws.codedeploy#DeploymentDoesNotExistException",
    };
    assert_eq!(error, expected);
    let error = deployer.refused("RegisterOnPremisesInstance", json!({})).await;
    assert!(error.ends_with("UnknownOperationException"), "{error}");
    deployer.stage.server.stop().await.unwrap();
}

#[tokio::test]
async fn every_operation_is_served_in_json() {
    all_operations(Tongue::Json).await;
}

#[tokio::test]
async fn every_operation_is_served_in_cbor() {
    all_operations(Tongue::Cbor).await;
}

#[tokio::test]
async fn a_person_answers_the_hook_of_a_deployment() {
    let deployer = Deployer::start(Tongue::Json).await;
    let id = deployer.deploy_with(&json!([{"BeforeInstall": "nobody"}])).await;
    deployer.until(&id, "it waits", |info| info["status"] == "InProgress").await;
    let execution = format!("{}:BeforeInstall", id.as_str().unwrap());
    let answer = json!({
        "deploymentId": id, "lifecycleEventHookExecutionId": execution, "status": "Failed",
    });
    let reply = deployer.ask("PutLifecycleEventHookExecutionStatus", answer).await;
    assert_eq!(reply["lifecycleEventHookExecutionId"], json!(execution));
    let ended = deployer.until(&id, "it fails", |info| info["status"] == "Failed").await;
    assert_eq!(ended["errorInformation"]["code"], "HOOK_EXECUTION_FAILURE");
    deployer.stage.server.stop().await.unwrap();
}
