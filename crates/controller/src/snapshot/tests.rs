//! Plans against a snapshot beside plans against the region that it was taken of; never a model of either.

use std::time::Duration;

use evenkeel_manifest::{File, Service, ServiceKey, load};
use evenkeel_planner::{Action, Alarm, Call, Change, Fact, Lane, Questions, Wait};
use evenkeel_reconciler::{Cloud, Mode, PassReport, reconcile};
use evenkeel_simulator::{Api, Behaviour, Daemon, SimulatedCloud, Simulation};
use serde_json::{Value, json};

use super::*;

const INSTANCE: &str = "evenkeel";

/// Two target groups behind the rules of two listeners.
struct Front {
    groups: [String; 2],
    production: String,
    test: String,
}

/// A manifest, of which some words are others.
fn service(front: &Front, rollout: &Value, changes: &[(&str, &str)]) -> Service {
    let [blue, green] = &front.groups;
    let mut balancer =
        json!({"targetGroupArn": blue, "containerName": "web", "containerPort": 8080});
    if rollout["strategy"] != "Rolling" {
        balancer["advancedConfiguration"] = json!({
            "alternateTargetGroupArn": green, "productionListenerRule": front.production,
            "testListenerRule": front.test, "roleArn": "arn:aws:iam::123456789012:role/ecsInfrastructureRole",
        });
    }
    let manifest = json!({
        "apiVersion": "evenkeel.dev/v1", "kind": "Service", "metadata": {"name": "web"},
        "spec": {
            "cluster": "main",
            "rollout": rollout,
            "taskDefinition": {
                "requiresCompatibilities": ["FARGATE"], "networkMode": "awsvpc", "cpu": "256", "memory": "512",
                "containerDefinitions": [{
                    "name": "web", "image": "web:1", "portMappings": [{"containerPort": 8080}],
                    "environment": [{"name": "GREETING", "value": "hello"}],
                }],
            },
            "service": {
                "desiredCount": 4, "launchType": "FARGATE", "loadBalancers": [balancer],
                "networkConfiguration": {"awsvpcConfiguration": {"subnets": ["subnet-1"]}},
            },
        },
    });
    let mut text = manifest.to_string();
    for (old, new) in changes {
        assert!(text.contains(old), "{old}");
        text = text.replace(old, new);
    }
    let set = load(&[File { name: "web.json".into(), text }]);
    assert!(!set.has_errors(), "{:?}", set.problems);
    set.services.into_iter().next().unwrap()
}

fn rolling() -> Value {
    json!({"strategy": "Rolling", "breaker": {"alarms": ["errors"]}})
}

/// Judged by a metric.
fn shifting(strategy: &str, how: &str, what: &Value) -> Value {
    let metrics = json!([{"metric": "errorRate", "max": "5%"}]);
    json!({"strategy": strategy, how: what, "analysis": {"metrics": metrics}, "breaker": {"alarms": ["errors"]}})
}

/// A region with a front, two alarms, and an image that does not live long.
fn region() -> (Simulation, Front) {
    let mut simulation = Simulation::new(7);
    simulation.world.script("web:crash", Behaviour::crashes(Duration::from_secs(5), 1));
    simulation.ecs("CreateCluster", &json!({"clusterName": "main"})).unwrap();
    let call = |api, operation: &str, input| simulation.call(api, operation, &input).unwrap();
    let elb = |operation: &str, input: Value| call(Api::ElasticLoadBalancingV2, operation, input);
    let arn = |value: &Value| value.as_str().unwrap().to_owned();
    let groups = ["blue", "green"].map(|name| {
        let group =
            json!({"Name": name, "Port": 8080, "TargetType": "ip", "HealthCheckIntervalSeconds": 10});
        arn(&elb("CreateTargetGroup", group)["TargetGroups"][0]["TargetGroupArn"])
    });
    let balancer = elb("CreateLoadBalancer", json!({"Name": "front"}));
    let [production, test] = [80, 8080].map(|port| {
        let [blue, green] = &groups;
        let weights = json!([{"TargetGroupArn": blue, "Weight": 100}, {"TargetGroupArn": green, "Weight": 0}]);
        let listener = json!({
            "LoadBalancerArn": balancer["LoadBalancers"][0]["LoadBalancerArn"], "Port": port,
            "DefaultActions": [{"Type": "forward", "ForwardConfig": {"TargetGroups": weights}}],
        });
        let made = elb("CreateListener", listener);
        let listener = json!({"ListenerArn": made["Listeners"][0]["ListenerArn"]});
        arn(&elb("DescribeRules", listener)["Rules"][0]["RuleArn"])
    });
    for name in ["errors", "latency"] {
        let alarm = json!({
            "AlarmName": name, "ComparisonOperator": "GreaterThanThreshold", "EvaluationPeriods": 1,
        });
        call(Api::CloudWatch, "PutMetricAlarm", alarm);
    }
    (simulation, Front { groups, production, test })
}

/// What was seen, after it was a file.
async fn recorded(cloud: &SimulatedCloud, desired: &Service) -> Replay {
    let key = desired.key.clone();
    let entry = Entry { key, look: record(cloud, desired).await };
    let text = Snapshot::new(&Config::default(), vec![entry]).text().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("then.json");
    write(&path, &text).unwrap();
    Snapshot::read(&path).unwrap().into()
}

async fn planned<C: Cloud>(cloud: &C, desired: &Service) -> PassReport {
    reconcile(cloud, &desired.key, Some(desired), INSTANCE, Mode::DryRun).await
}

/// What `plan` tells.
fn told(report: &PassReport) -> (&[Change], &[Action], &[Wait], Option<String>) {
    let error = report.error.as_ref().map(ToString::to_string);
    (&report.changes, &report.plan.actions, &report.plan.waiting, error)
}

fn fields(report: &PassReport) -> Vec<(&str, Option<&Value>, Option<&Value>)> {
    report.changes.iter().map(|one| (&*one.path, one.old.as_ref(), one.new.as_ref())).collect()
}

/// How many plans were the same, in a course in which a release goes well and another does not.
async fn compare(rollout: &Value) -> usize {
    let (mut simulation, front) = region();
    let of = |changes: &[(&str, &str)]| service(&front, rollout, changes);
    let others = [
        of(&[("web:1", "web:new"), ("hello", "goodbye")]),
        of(&[]),
        of(&[("\"desiredCount\":4", "\"desiredCount\":6")]),
    ];
    let mut daemon = Daemon::new(&simulation, INSTANCE);
    let mut compared = 0;
    for image in ["web:1", "web:2", "web:crash"] {
        let wanted = of(&[("web:1", image)]);
        daemon.want(wanted.clone());
        for _ in 0..40 {
            let cloud = simulation.cloud();
            let replay = recorded(&cloud, &wanted).await;
            for (number, other) in others.iter().chain([&wanted]).enumerate() {
                let (live, later) = (planned(&cloud, other).await, planned(&replay, other).await);
                assert_eq!(fields(&later), fields(&live));
                // Content of before may be there, and nobody had looked for it.
                let digest = &other.task_definition_digest;
                if number == 0 || *digest == wanted.task_definition_digest {
                    assert_eq!(told(&later), told(&live));
                    compared += 1;
                }
            }
            daemon.run_with(&mut simulation, Duration::from_secs(15), |_, _, _| {});
        }
    }
    let asked = json!({"cluster": "main", "services": ["web"], "include": ["TAGS"]});
    let end =
        simulation.ecs("DescribeServices", &asked).unwrap()["services"][0]["tags"].to_string();
    assert!(end.contains("evenkeel:rejected"), "the bad release was seen to its end: {end}");
    compared
}

#[tokio::test]
async fn a_plan_against_a_snapshot_of_a_rolling_service_is_the_plan_of_that_moment() {
    assert_eq!(compare(&rolling()).await, 320);
}

#[tokio::test]
async fn a_plan_against_a_snapshot_of_a_canary_is_the_plan_of_that_moment() {
    let canary = json!({"percent": 10, "bake": "2m"});
    assert_eq!(compare(&shifting("Canary", "canary", &canary)).await, 320);
}

#[tokio::test]
async fn a_plan_against_a_snapshot_of_steps_is_the_plan_of_that_moment() {
    let steps = json!([{"weight": 20, "bake": "1m"}, {"weight": 100, "bake": "1m"}]);
    assert_eq!(compare(&shifting("Steps", "steps", &steps)).await, 320);
}

#[tokio::test]
async fn an_alarm_that_nobody_had_asked_about_is_not_known_and_not_taken_for_absent() {
    let (mut simulation, front) = region();
    let before = service(&front, &rolling(), &[]);
    let mut daemon = Daemon::new(&simulation, INSTANCE);
    daemon.want(before.clone());
    daemon.run_with(&mut simulation, Duration::from_mins(10), |_, _, _| {});
    let replay = recorded(&simulation.cloud(), &before).await;
    let asked = |name: &str| Questions {
        depth: evenkeel_planner::Depth::Deep,
        alarms: [name.to_owned()].into(),
        ..Questions::shallow()
    };
    let known = replay.observe(&before.key, &asked("errors")).await.unwrap().alarms;
    let names = |all: &Vec<Alarm>| all.iter().map(|one| one.name.clone()).collect::<Vec<_>>();
    assert_eq!(known.known().map(names), Some(vec!["errors".to_owned()]));
    let unknown = replay.observe(&before.key, &asked("latency")).await.unwrap().alarms;
    let Fact::Unknown(why) = unknown else { panic!("{unknown:?}") };
    assert!(format!("{why:?}").contains("latency: not in the snapshot"), "{why:?}");
    let after = service(
        &front,
        &rolling(),
        &[("\"errors\"", "\"errors\",\"latency\""), ("web:1", "web:2")],
    );
    let later = planned(&replay, &after).await;
    assert_eq!(later.changes.len(), 1, "{:?}", later.changes);
    assert_eq!(later.error, None);
}

#[tokio::test]
async fn what_was_absent_is_created_and_what_is_not_in_the_snapshot_is_not() {
    let (simulation, front) = region();
    let desired = service(&front, &rolling(), &[]);
    let replay = recorded(&simulation.cloud(), &desired).await;
    let creation = planned(&replay, &desired).await;
    assert_eq!(told(&creation), told(&planned(&simulation.cloud(), &desired).await));
    assert!(!creation.plan.actions.is_empty());
    let mut other = desired.clone();
    other.key = ServiceKey::new("main", "api");
    let report = planned(&replay, &other).await;
    assert_eq!((report.plan.actions.len(), report.changes.len()), (0, 0));
    let error = report.error.unwrap().to_string();
    assert!(error.contains("main/api is not in the snapshot"), "{error}");
}

#[tokio::test]
async fn nothing_is_applied_to_a_snapshot_and_nothing_in_it_is_printed() {
    let (simulation, front) = region();
    let desired = service(&front, &rolling(), &[]);
    let replay = recorded(&simulation.cloud(), &desired).await;
    let call = Call::RegisterTaskDefinition { input: json!({}) };
    let action = Action { call, lane: Lane::NewChange, why: String::new() };
    assert_eq!(replay.apply(&desired.key, &action).await.unwrap_err().class(), "denied");
    assert!(replay.owned(INSTANCE, &[]).await.is_err());
    let snapshot = Snapshot::new(&Config::default(), Vec::new());
    assert!(format!("{snapshot:?}").starts_with("Snapshot of 0 services at "), "{snapshot:?}");
}
