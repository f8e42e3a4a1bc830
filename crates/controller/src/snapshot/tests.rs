use std::time::Duration;

use evenkeel_manifest::{File, Service, ServiceKey, load};
use evenkeel_planner::{Action, Alarm, Call, Change, Fact, Lane, Questions, Wait};
use evenkeel_reconciler::{Cloud, Mode, PassReport, reconcile};
use evenkeel_simulator::{Api, Behaviour, Daemon, SimulatedCloud, Simulation};
use serde_json::{Value, json};

use super::*;

const INSTANCE: &str = "evenkeel";

/// A manifest, of which some words are others.
fn service(group: &str, changes: &[(&str, &str)]) -> Service {
    let manifest = json!({
        "apiVersion": "evenkeel.dev/v1", "kind": "Service", "metadata": {"name": "web"},
        "spec": {
            "cluster": "main",
            "rollout": {"breaker": {"alarms": ["errors"]}},
            "taskDefinition": {
                "requiresCompatibilities": ["FARGATE"], "networkMode": "awsvpc", "cpu": "256", "memory": "512",
                "containerDefinitions": [{
                    "name": "web", "image": "web:1", "portMappings": [{"containerPort": 8080}],
                    "environment": [{"name": "GREETING", "value": "hello"}],
                }],
            },
            "service": {
                "desiredCount": 4, "launchType": "FARGATE",
                "networkConfiguration": {"awsvpcConfiguration": {"subnets": ["subnet-1"]}},
                "loadBalancers": [{"targetGroupArn": group, "containerName": "web", "containerPort": 8080}],
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

/// A region with a target group, two alarms, and an image that does not live long.
fn region() -> (Simulation, String) {
    let mut simulation = Simulation::new(7);
    simulation.world.script("web:crash", Behaviour::crashes(Duration::from_secs(5), 1));
    simulation.ecs("CreateCluster", &json!({"clusterName": "main"})).unwrap();
    let call = |api, operation: &str, input| simulation.call(api, operation, &input).unwrap();
    let elb = |operation: &str, input: Value| call(Api::ElasticLoadBalancingV2, operation, input);
    let group =
        json!({"Name": "web", "Port": 8080, "TargetType": "ip", "HealthCheckIntervalSeconds": 10});
    let group = elb("CreateTargetGroup", group)["TargetGroups"][0]["TargetGroupArn"].clone();
    let balancer = elb("CreateLoadBalancer", json!({"Name": "front"}));
    let listener = json!({
        "LoadBalancerArn": balancer["LoadBalancers"][0]["LoadBalancerArn"], "Port": 80,
        "DefaultActions": [{"Type": "forward", "TargetGroupArn": group}],
    });
    elb("CreateListener", listener);
    for name in ["errors", "latency"] {
        let alarm = json!({
            "AlarmName": name, "ComparisonOperator": "GreaterThanThreshold", "EvaluationPeriods": 1,
        });
        call(Api::CloudWatch, "PutMetricAlarm", alarm);
    }
    let group = group.as_str().unwrap().to_owned();
    (simulation, group)
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

#[tokio::test]
async fn a_plan_against_a_snapshot_is_the_plan_of_that_moment_whatever_goes_on() {
    let (mut simulation, group) = region();
    let changed = [("web:1", "web:new"), ("hello", "goodbye")];
    let count = [("\"desiredCount\":4", "\"desiredCount\":6")];
    let others = [&[][..], &changed, &count].map(|changes| service(&group, changes));
    let course = ["web:1", "web:2", "web:crash"].map(|image| service(&group, &[("web:1", image)]));
    let mut daemon = Daemon::new(&simulation, INSTANCE);
    let mut compared = 0;
    for wanted in &course {
        daemon.want(wanted.clone());
        for _ in 0..40 {
            let cloud = simulation.cloud();
            let replay = recorded(&cloud, wanted).await;
            for other in others.iter().chain([wanted]) {
                let (live, later) = (planned(&cloud, other).await, planned(&replay, other).await);
                assert_eq!(later.changes, live.changes);
                let is_known = other.task_definition_digest == wanted.task_definition_digest
                    || *other == others[1];
                if is_known {
                    assert_eq!(told(&later), told(&live));
                    compared += 1;
                }
            }
            daemon.run_with(&mut simulation, Duration::from_secs(10), |_, _, _| {});
        }
    }
    assert!(compared > 200, "{compared}");
}

#[tokio::test]
async fn an_alarm_that_nobody_had_asked_about_is_not_known_and_not_taken_for_absent() {
    let (mut simulation, group) = region();
    let before = service(&group, &[]);
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
    let after = service(&group, &[("\"errors\"", "\"errors\",\"latency\""), ("web:1", "web:2")]);
    let later = planned(&replay, &after).await;
    assert_eq!(later.changes.len(), 1, "{:?}", later.changes);
    assert_eq!(later.error, None);
}

#[tokio::test]
async fn what_was_absent_is_created_and_what_is_not_in_the_snapshot_is_not() {
    let (simulation, group) = region();
    let desired = service(&group, &[]);
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
    let (simulation, group) = region();
    let desired = service(&group, &[]);
    let replay = recorded(&simulation.cloud(), &desired).await;
    let call = Call::RegisterTaskDefinition { input: json!({}) };
    let action = Action { call, lane: Lane::NewChange, why: String::new() };
    assert_eq!(replay.apply(&desired.key, &action).await.unwrap_err().class(), "denied");
    assert!(replay.owned(INSTANCE, &[]).await.is_err());
    let snapshot = Snapshot::new(&Config::default(), Vec::new());
    assert!(format!("{snapshot:?}").starts_with("Snapshot of 0 services at "), "{snapshot:?}");
}
