//! What a look asks AWS and what it makes of the answers, over the wire of a fake; never a real server.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aws_smithy_cbor::Encoder;
use evenkeel_manifest::Digest;
use evenkeel_planner::{
    Alarm, BalancingQuestion, CodeDeployQuestion, FamilyQuestion, MetricId, MetricQuestion,
    TargetHealth,
};
use evenkeel_reconciler::Cloud;
use serde_json::{Value, json};

use super::*;
use crate::fake::{Fake, Reply, Request, error, ok};

const TASK_DEFINITION: &str = "arn:aws:ecs:eu-west-1:1:task-definition/web:7";
const PROVEN: &str = "arn:aws:ecs:eu-west-1:1:service-revision/main/web/5";

fn key() -> ServiceKey {
    ServiceKey::new("main", "web")
}

fn questions(depth: Depth) -> Questions {
    Questions {
        depth,
        family: None,
        alarms: ["errors".to_owned(), "misspelt".to_owned()].into(),
        metrics: None,
        webhooks: Vec::new(),
        needs: Vec::new(),
        step_gate: None,
        target_groups: ["arn:tg/web".to_owned()].into(),
        load_balancing: None,
        code_deploy: None,
        revisions: [PROVEN.to_owned()].into(),
        definitions: BTreeSet::new(),
    }
}

/// A service in the middle of a rollout.
fn region(request: &Request) -> Reply {
    match request.operation.as_str() {
        "DescribeTargetHealth" => target_health(),
        "DescribeAlarms" => alarms(),
        operation => ok(&ecs(operation, &request.json())),
    }
}

fn ecs(operation: &str, body: &Value) -> Value {
    let deployments = [3, 1, 2].map(|n| {
        json!({ "serviceDeploymentArn": format!("sd/{n}"), "createdAt": n, "status": "SUCCESSFUL" })
    });
    match operation {
        "DescribeServices" => json!({ "services": [{
            "serviceArn": "arn:aws:ecs:eu-west-1:1:service/main/web", "serviceName": "web",
            "status": "ACTIVE", "taskDefinition": TASK_DEFINITION,
            "deployments": [{
                "id": "ecs-svc/2", "status": "PRIMARY", "taskDefinition": TASK_DEFINITION,
                "createdAt": 1_795_410_000.5,
            }],
        }] }),
        "ListServiceDeployments" => match body.get("nextToken") {
            None => json!({ "serviceDeployments": deployments[..2], "nextToken": "more" }),
            Some(_) => json!({ "serviceDeployments": deployments[2..] }),
        },
        "DescribeServiceDeployments" => {
            let described = deployments.map(|mut deployment| {
                let n = deployment["createdAt"].as_i64().unwrap();
                deployment["targetServiceRevision"] = json!({ "arn": format!("sr/{n}") });
                deployment["sourceServiceRevisions"] = json!([{ "arn": format!("sr/{}", n - 1) }]);
                deployment
            });
            json!({ "serviceDeployments": described })
        }
        "DescribeServiceRevisions" => {
            let arns = body["serviceRevisionArns"].as_array().unwrap();
            let revisions = arns
                .iter()
                .map(|arn| json!({ "serviceRevisionArn": arn, "taskDefinition": TASK_DEFINITION }));
            let gone = json!([{ "arn": "sr/gone", "reason": "MISSING" }]);
            json!({ "serviceRevisions": revisions.collect::<Vec<_>>(), "failures": gone })
        }
        "DescribeTaskDefinition" => json!({ "taskDefinition": {
            "taskDefinitionArn": body["taskDefinition"], "family": "web", "status": "ACTIVE",
        } }),
        "ListTasks" => match (body["desiredStatus"].as_str(), body.get("nextToken")) {
            (Some("RUNNING"), None) => json!({ "taskArns": arns(0..100), "nextToken": "2" }),
            (Some("RUNNING"), Some(_)) => json!({ "taskArns": arns(100..120) }),
            _ => json!({ "taskArns": arns(120..130) }),
        },
        "DescribeTasks" => {
            let tasks = body["tasks"].as_array().unwrap();
            let tasks = tasks.iter().skip(1).map(|arn| json!({ "taskArn": arn }));
            let forgotten = json!([{ "arn": body["tasks"][0], "reason": "MISSING" }]);
            json!({ "tasks": tasks.collect::<Vec<_>>(), "failures": forgotten })
        }
        other => panic!("nobody asks for {other}"),
    }
}

fn arns(range: std::ops::Range<u32>) -> Vec<String> {
    range.map(|n| format!("task/{n}")).collect()
}

fn target_health() -> Reply {
    let xml = "<DescribeTargetHealthResponse \
        xmlns=\"http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/\">\
        <DescribeTargetHealthResult><TargetHealthDescriptions><member>\
        <Target><Id>10.0.0.1</Id><Port>8080</Port></Target><TargetHealth>\
        <State>unhealthy</State><Reason>Target.Timeout</Reason>\
        <Description>Request timed out</Description></TargetHealth>\
        </member></TargetHealthDescriptions></DescribeTargetHealthResult>\
        <ResponseMetadata><RequestId>1</RequestId></ResponseMetadata>\
        </DescribeTargetHealthResponse>";
    Reply::Body { status: 200, headers: Vec::new(), body: xml.into() }
}

fn alarms() -> Reply {
    let mut body = Encoder::new(Vec::new());
    body.map(1).str("CompositeAlarms").array(1).map(3);
    body.str("AlarmName").str("errors").str("StateValue").str("ALARM");
    body.str("StateTransitionedTimestamp");
    body.timestamp(&aws_smithy_types::DateTime::from_secs(1_795_410_000));
    let headers = vec![("smithy-protocol", "rpc-v2-cbor".to_owned())];
    Reply::Body { status: 200, headers, body: body.into_writer() }
}

#[tokio::test(start_paused = true)]
async fn rules_that_may_not_be_read_are_told_from_rules_that_cannot() {
    for (code, is_denied) in [("AccessDenied", true), ("Throttling", false)] {
        let fake = Fake::new(move |request| match request.operation.as_str() {
            "DescribeRules" | "DescribeTargetGroups" => {
                let error = format!("<Error><Code>{code}</Code><Message>no</Message></Error>");
                let body = format!("<ErrorResponse>{error}</ErrorResponse>").into_bytes();
                Reply::Body { status: 403, headers: Vec::new(), body }
            }
            _ => region(request),
        });
        let groups = || ["arn:tg/web".to_owned()].into();
        let (rules, target_groups) = (groups(), groups());
        let max_age = Duration::from_secs(30);
        let asked = BalancingQuestion { rules, target_groups, max_age, ..Default::default() };
        let questions = Questions { load_balancing: Some(asked), ..questions(Depth::Deep) };
        let observed = fake.cloud().observe(&key(), &questions).await.unwrap();
        let why = observed.load_balancing.unknown();
        assert_eq!(matches!(why, Some(Unknown::Denied { .. })), is_denied, "{why:?}");
        assert!(observed.target_groups.known().is_some());
    }
}

#[tokio::test(start_paused = true)]
async fn a_deployment_group_is_known_or_absent_or_unknown_and_says_why() {
    let group = || {
        let names = json!({ "applicationName": "app", "deploymentGroupName": "group" });
        ok(&json!({ "deploymentGroupInfo": names }))
    };
    let asked = async |answer: fn() -> Reply| {
        let fake = Fake::new(move |request| match request.operation.as_str() {
            "GetDeploymentGroup" => answer(),
            "ListDeployments" => ok(&json!({ "deployments": [] })),
            _ => region(request),
        });
        let (application, group) = ("app".to_owned(), "group".to_owned());
        let asked = CodeDeployQuestion { application, group, since: None, ids: BTreeSet::new() };
        let questions = Questions { code_deploy: Some(asked), ..questions(Depth::Deep) };
        let observed = fake.cloud().observe(&key(), &questions).await.unwrap();
        assert!(observed.tasks.known().is_some(), "it hides no other part");
        observed.code_deploy
    };
    assert!(asked(group).await.known().is_some_and(|known| known.deployments.is_empty()));
    let absent = asked(|| error("ApplicationDoesNotExistException", "no")).await;
    assert_eq!(absent, Fact::Absent);
    let denied = asked(|| error("AccessDeniedException", "no")).await;
    assert!(matches!(denied.unknown(), Some(Unknown::Denied { .. })), "{denied:?}");
    let missing = asked(|| error("UnknownOperationException", "no")).await;
    let why = missing.unknown();
    assert!(matches!(why, Some(Unknown::CapabilityMissing { .. })), "{why:?}");
    let failed = asked(|| error("ThrottlingException", "no")).await;
    assert!(matches!(failed.unknown(), Some(Unknown::Failed { .. })), "{failed:?}");
}

#[tokio::test(start_paused = true)]
async fn metrics_are_asked_for_behind_the_load_balancer_that_the_deployment_group_tells() {
    let fake = Fake::new(|request| match request.operation.as_str() {
        "GetDeploymentGroup" => {
            let listener = "arn:aws:elasticloadbalancing:eu-west-1:1:listener/app/front/03/04";
            let pair = json!({ "prodTrafficRoute": { "listenerArns": [listener] } });
            ok(&json!({ "deploymentGroupInfo": {
                "applicationName": "app", "deploymentGroupName": "group",
                "loadBalancerInfo": { "targetGroupPairInfoList": [pair] },
            } }))
        }
        "ListDeployments" => ok(&json!({ "deployments": [] })),
        "GetMetricData" => error("Throttling", "no"),
        _ => region(request),
    });
    let (application, group) = ("app".to_owned(), "group".to_owned());
    let code_deploy =
        Some(CodeDeployQuestion { application, group, since: None, ids: BTreeSet::new() });
    let metric = MetricId {
        namespace: "AWS/ApplicationELB".to_owned(),
        name: "RequestCount".to_owned(),
        dimensions: [("TargetGroup".to_owned(), "targetgroup/web/1".to_owned())].into(),
        statistic: "Sum".to_owned(),
    };
    let metrics = Some(MetricQuestion {
        metrics: BTreeSet::new(),
        behind_the_group: [metric].into(),
        expressions: BTreeSet::new(),
        from: Timestamp::from_second(1_795_410_000).unwrap(),
        until: Timestamp::from_second(1_795_410_060).unwrap(),
    });
    let questions = Questions { code_deploy, metrics, ..questions(Depth::Deep) };
    fake.cloud().observe(&key(), &questions).await.unwrap();
    let asked = fake.requests().into_iter().find(|one| one.operation == "GetMetricData");
    let asked = String::from_utf8_lossy(&asked.unwrap().bytes).into_owned();
    assert!(asked.contains("app/front/03") && asked.contains("targetgroup/web/1"), "{asked}");
}

#[tokio::test(start_paused = true)]
async fn a_shallow_look_asks_for_the_service_and_its_task_definition_only() {
    let fake = Fake::new(region);
    let observed = fake.cloud().observe(&key(), &questions(Depth::Shallow)).await.unwrap();
    assert_eq!(fake.operations(), ["DescribeServices", "DescribeTaskDefinition"]);
    assert_eq!(observed.tasks, Fact::Unknown(Unknown::NotAsked));
    let [revision] = &observed.task_definitions.known().unwrap()[..] else { panic!() };
    assert_eq!(revision.arn, TASK_DEFINITION);
    assert_eq!(revision.document, None);
}

#[tokio::test(start_paused = true)]
async fn a_deep_look_reads_every_page_and_part() {
    let fake = Fake::new(region);
    let observed = fake.cloud().observe(&key(), &questions(Depth::Deep)).await.unwrap();
    let deployments = observed.service_deployments.known().unwrap();
    let newest_first = deployments.iter().map(|d| d.service_deployment_arn.as_str());
    assert_eq!(newest_first.collect::<Vec<_>>(), ["sd/3", "sd/2", "sd/1"]);
    let revisions = observed.service_revisions.known().unwrap();
    let revisions = revisions.iter().map(|r| r.service_revision_arn.as_str());
    assert_eq!(revisions.collect::<Vec<_>>(), [PROVEN, "sr/0", "sr/1", "sr/2", "sr/3"]);
    assert_eq!(observed.tasks.known().unwrap().len(), 128, "130 tasks, two forgotten");
    let asked = fake.bodies("ListServiceDeployments");
    let after = observed.at.as_second() - 7 * 24 * 3600;
    assert!(asked.iter().all(|body| body["createdAt"]["after"] == after), "{asked:?}");
    let sizes = fake.bodies("DescribeTasks");
    let sizes = sizes.iter().map(|body| body["tasks"].as_array().unwrap().len());
    assert_eq!(sizes.collect::<Vec<_>>(), [100, 30]);
    let [revision] = &observed.task_definitions.known().unwrap()[..] else { panic!() };
    assert!(revision.document.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_task_definition_that_is_asked_for_by_name_is_read_with_its_content() {
    let fake = Fake::new(region);
    let named = TASK_DEFINITION.replace("web:7", "web:5");
    let definitions = [named.clone()].into();
    let asked = Questions { definitions, ..questions(Depth::Deep) };
    let observed = fake.cloud().observe(&key(), &asked).await.unwrap();
    let all = observed.task_definitions.known().unwrap();
    let found = all.iter().find(|one| one.arn == named).expect("it was asked for");
    assert!(found.document.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_task_definition_that_does_not_exist_hides_no_other() {
    for (said, is_known) in [("Unable to describe task definition.", true), ("no", false)] {
        let named = TASK_DEFINITION.replace("web:7", "web:99");
        let missing = named.clone();
        let fake = Fake::new(move |request| {
            let is_missing = request.operation == "DescribeTaskDefinition"
                && request.json()["taskDefinition"] == missing.as_str();
            if is_missing { error("ClientException", said) } else { region(request) }
        });
        let asked = Questions { definitions: [named].into(), ..questions(Depth::Deep) };
        let observed = fake.cloud().observe(&key(), &asked).await.unwrap();
        assert_eq!(observed.task_definitions.known().is_some(), is_known, "{said}");
    }
}

/// The region, with tasks 120 to 129 stopped and `failures` in what is said of tasks.
fn with_stopped_tasks(failures: Value) -> impl Fn(&Request) -> Reply {
    move |request| {
        if request.operation != "DescribeTasks" {
            return region(request);
        }
        let body = request.json();
        let described = body["tasks"].as_array().unwrap().iter().map(|arn| {
            let number = arn.as_str().unwrap().trim_start_matches("task/");
            let stopped = number.parse::<u32>().unwrap() >= 120;
            json!({ "taskArn": arn, "lastStatus": if stopped { "STOPPED" } else { "RUNNING" } })
        });
        ok(&json!({ "tasks": described.collect::<Vec<_>>(), "failures": failures }))
    }
}

fn described(fake: &Fake) -> Vec<usize> {
    let bodies = fake.bodies("DescribeTasks");
    bodies.iter().map(|body| body["tasks"].as_array().unwrap().len()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_stopped_task_is_described_once_and_shown_as_long_as_it_is_listed() {
    let fake = Fake::new(with_stopped_tasks(json!([])));
    let cloud = fake.cloud();
    let first = cloud.observe(&key(), &questions(Depth::Deep)).await.unwrap();
    let second = cloud.observe(&key(), &questions(Depth::Deep)).await.unwrap();
    assert_eq!(described(&fake), [100, 30, 100, 20]);
    let (first, second) = (first.tasks.known().unwrap(), second.tasks.known().unwrap());
    assert!(first.iter().all(|task| second.contains(task)));
    assert_eq!(first.len(), second.len());
}

#[tokio::test(start_paused = true)]
async fn a_stopped_task_that_is_no_longer_listed_is_gone() {
    let forgotten = Arc::new(AtomicBool::new(false));
    let lists = Arc::clone(&forgotten);
    let described = with_stopped_tasks(json!([]));
    let fake = Fake::new(move |request| match request.operation.as_str() {
        "ListTasks" if lists.load(Ordering::Relaxed) => ok(&json!({ "taskArns": [] })),
        _ => described(request),
    });
    let cloud = fake.cloud();
    cloud.observe(&key(), &questions(Depth::Deep)).await.unwrap();
    forgotten.store(true, Ordering::Relaxed);
    let second = cloud.observe(&key(), &questions(Depth::Deep)).await.unwrap();
    assert_eq!(second.tasks, Fact::Known(Vec::new()));
}

/// The region, in which 30,000 tasks of the service crashed within the hour.
fn in_a_crash_storm(request: &Request) -> Reply {
    let is_listing = request.operation == "ListTasks";
    let body = if is_listing { request.json() } else { Value::Null };
    if body["desiredStatus"] != "STOPPED" {
        return with_stopped_tasks(json!([]))(request);
    }
    let page = body["nextToken"].as_str().map_or(0, |token| token.parse().unwrap());
    let first = 1_000 + page * 100;
    let next = (page < 299).then(|| (page + 1).to_string());
    ok(&json!({ "taskArns": arns(first..first + 100), "nextToken": next }))
}

#[tokio::test(start_paused = true)]
async fn a_service_of_which_thousands_of_tasks_crash_is_read_and_each_described_once() {
    let fake = Fake::new(in_a_crash_storm);
    let cloud = fake.cloud();
    let began = Instant::now();
    for _ in 0..2 {
        let observed = cloud.observe(&key(), &questions(Depth::Deep)).await.unwrap();
        let tasks = observed.tasks.known().unwrap();
        let stopped = tasks.iter().filter(|task| task.last_status == "STOPPED");
        assert_eq!(stopped.count(), 30_000);
    }
    assert_eq!(described(&fake).iter().sum::<usize>(), 30_120 + 120);
    assert!(began.elapsed() < Duration::from_mins(2), "{:?}: longer than a pass", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_crash_storm_that_was_read_is_read_again_in_time_to_act_on_it() {
    let fake = Fake::new(in_a_crash_storm);
    let cloud = fake.cloud();
    let looked = async || {
        let (began, before) = (Instant::now(), fake.bodies("ListTasks").len());
        let observed = cloud.observe(&key(), &questions(Depth::Deep)).await.unwrap();
        let tasks = observed.tasks.known().unwrap();
        let stopped = tasks.iter().filter(|task| task.last_status == "STOPPED").count();
        assert_eq!((stopped, tasks.len()), (30_000, 30_120));
        (fake.bodies("ListTasks").len() - before, began.elapsed())
    };
    assert_eq!(looked().await.0, 302);
    let (calls, took) = looked().await;
    assert_eq!(calls, 2, "those that should run");
    assert!(took < Duration::from_secs(5), "{took:?}");
    tokio::time::advance(Duration::from_mins(1)).await;
    assert_eq!(looked().await.0, 302, "what stopped since is listed");
}

#[tokio::test(start_paused = true)]
async fn what_a_partly_failed_answer_says_of_stopped_tasks_is_not_remembered() {
    let failure = json!([{ "arn": "task/1", "reason": "INTERNAL" }]);
    let partly = with_stopped_tasks(failure);
    let whole = with_stopped_tasks(json!([]));
    let fails = AtomicBool::new(true);
    let fake = Fake::new(move |request| {
        let holds_stopped = request.operation == "DescribeTasks"
            && request.json()["tasks"].as_array().unwrap().contains(&json!("task/129"));
        let fails = holds_stopped && fails.swap(false, Ordering::Relaxed);
        if fails { partly(request) } else { whole(request) }
    });
    let cloud = fake.cloud();
    let first = cloud.observe(&key(), &questions(Depth::Deep)).await.unwrap();
    assert!(matches!(first.tasks, Fact::Unknown(Unknown::Failed { .. })));
    cloud.observe(&key(), &questions(Depth::Deep)).await.unwrap();
    assert_eq!(described(&fake), [100, 30, 100, 30]);
}

#[tokio::test(start_paused = true)]
async fn a_deep_look_hears_load_balancers_and_alarms() {
    let fake = Fake::new(region);
    let observed = fake.cloud().observe(&key(), &questions(Depth::Deep)).await.unwrap();
    let [group] = &observed.target_groups.known().unwrap()[..] else { panic!() };
    let target = TargetHealth {
        id: "10.0.0.1".to_owned(),
        port: Some(8080),
        state: "unhealthy".to_owned(),
        reason: Some("Target.Timeout".to_owned()),
        description: Some("Request timed out".to_owned()),
    };
    assert_eq!((group.arn.as_str(), &group.targets), ("arn:tg/web", &vec![target]));
    let alarm = Alarm {
        name: "errors".to_owned(),
        state: "ALARM".to_owned(),
        reason: None,
        since: Timestamp::from_second(1_795_410_000).ok(),
    };
    assert_eq!(observed.alarms, Fact::Known(vec![alarm]));
}

#[tokio::test(start_paused = true)]
async fn a_part_that_fails_is_unknown_and_the_others_are_known() {
    let fake = Fake::new(|request| match request.operation.as_str() {
        "DescribeTasks" => ok(&json!({ "failures": [{ "arn": "task/1", "reason": "ACCESS" }] })),
        "ListServiceDeployments" => error("ThrottlingException", "Rate exceeded"),
        _ => region(request),
    });
    let observed = fake.cloud().observe(&key(), &questions(Depth::Deep)).await.unwrap();
    for part in [observed.tasks.unknown(), observed.service_revisions.unknown()] {
        assert!(matches!(part, Some(Unknown::Failed { .. })), "{part:?}");
    }
    assert!(observed.service.known().is_some());
    assert!(observed.task_definitions.known().is_some());
    assert!(observed.alarms.known().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_call_that_the_server_does_not_know_is_remembered_for_a_while() {
    let fake = Fake::new(|request| match request.operation.as_str() {
        // Both as moto's server 5 answers.
        "ListServiceDeployments" => Reply::Body {
            status: 500,
            headers: vec![("server", "Werkzeug/3.1.9 Python/3.11.7".to_owned())],
            body: b"<!doctype html><title>500 Internal Server Error</title>".to_vec(),
        },
        "DescribeAlarms" => Reply::Body { status: 404, headers: vec![], body: vec![] },
        _ => region(request),
    });
    let cloud = fake.cloud();
    for _ in 0..3 {
        let observed = cloud.observe(&key(), &questions(Depth::Deep)).await.unwrap();
        let missing =
            |operation: &str| Unknown::CapabilityMissing { operation: operation.to_owned() };
        let deployments = observed.service_deployments;
        assert_eq!(deployments, Fact::Unknown(missing("ListServiceDeployments")));
        assert_eq!(observed.alarms, Fact::Unknown(missing("DescribeAlarms")));
    }
    let asked = || fake.operations().iter().filter(|o| *o == "ListServiceDeployments").count();
    assert_eq!(asked(), 1);
    tokio::time::advance(Duration::from_mins(1)).await;
    cloud.observe(&key(), &questions(Depth::Deep)).await.unwrap();
    assert_eq!(asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn of_a_missing_service_nothing_more_is_asked_than_its_signals() {
    let fake = Fake::new(|request| match request.operation.as_str() {
        "DescribeServices" => ok(&json!({ "failures": [
            { "arn": "arn:aws:ecs:eu-west-1:1:service/main/web", "reason": "MISSING" },
        ] })),
        _ => region(request),
    });
    let observed = fake.cloud().observe(&key(), &questions(Depth::Deep)).await.unwrap();
    assert_eq!(observed.service, Fact::Absent);
    assert_eq!(observed.tasks, Fact::Absent);
    assert_eq!(observed.task_definitions, Fact::Known(Vec::new()));
    let mut operations = fake.operations();
    operations.sort();
    assert_eq!(operations, ["DescribeAlarms", "DescribeServices", "DescribeTargetHealth"]);
}

#[tokio::test(start_paused = true)]
async fn a_service_of_a_cluster_that_does_not_exist_is_absent() {
    let fake = Fake::new(|request| match request.operation.as_str() {
        "DescribeServices" => error("ClusterNotFoundException", "Cluster not found."),
        _ => region(request),
    });
    for depth in [Depth::Shallow, Depth::Deep] {
        let observed = fake.cloud().observe(&key(), &questions(depth)).await.unwrap();
        assert_eq!(observed.service, Fact::Absent);
    }
}

#[tokio::test(start_paused = true)]
async fn the_task_definition_of_a_task_set_is_not_taken_for_active_when_it_was_deregistered() {
    let of_the_set = TASK_DEFINITION.replace("web:7", "web:5");
    let in_the_set = of_the_set.clone();
    let is_deregistered = Arc::new(AtomicBool::new(false));
    let status = Arc::clone(&is_deregistered);
    let fake = Fake::new(move |request| {
        let mut reply = match request.operation.as_str() {
            "DescribeServices" | "DescribeTaskDefinition" => {
                ecs(&request.operation, &request.json())
            }
            _ => return region(request),
        };
        if status.load(Ordering::Relaxed) && request.operation == "DescribeTaskDefinition" {
            reply["taskDefinition"]["status"] = "INACTIVE".into();
        }
        if let Some(service) = reply.pointer_mut("/services/0") {
            service["deploymentController"] = json!({ "type": "EXTERNAL" });
            service["deployments"] = json!([]);
            let set = json!({ "id": "ecs-svc/1", "status": "PRIMARY", "createdAt": 1_795_410_000 });
            service["taskSets"] = json!([set]);
            service["taskSets"][0]["taskDefinition"] = in_the_set.as_str().into();
        }
        ok(&reply)
    });
    let cloud = fake.cloud();
    let looked = async || {
        let observed = cloud.observe(&key(), &questions(Depth::Deep)).await.unwrap();
        let all = observed.task_definitions.known().unwrap().clone();
        all.into_iter().find(|one| one.arn == of_the_set).expect("it is of a task set")
    };
    assert!(looked().await.document.is_some(), "a task set may be made of it anew");
    is_deregistered.store(true, Ordering::Relaxed);
    tokio::time::advance(Duration::from_secs(30)).await;
    assert_eq!(looked().await.status, "INACTIVE");
}

#[tokio::test(start_paused = true)]
async fn the_last_deployment_of_a_quiet_service_is_found_however_old_it_is() {
    let fake = Fake::new(|request| {
        let lately = request.json().get("createdAt").is_some();
        match request.operation.as_str() {
            "ListServiceDeployments" if lately => ok(&json!({ "serviceDeployments": [] })),
            _ => region(request),
        }
    });
    let quiet = Questions { alarms: [].into(), target_groups: [].into(), ..questions(Depth::Deep) };
    let observed = fake.cloud().observe(&key(), &quiet).await.unwrap();
    assert_eq!(observed.service_deployments.known().unwrap().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_cannot_be_read_is_an_error() {
    let fake = Fake::new(|_| error("AccessDeniedException", "no"));
    let observed = fake.cloud().observe(&key(), &questions(Depth::Deep)).await;
    assert_eq!(observed.unwrap_err().class(), "denied");
}

#[tokio::test(start_paused = true)]
async fn a_family_that_cannot_be_searched_is_unknown() {
    let fake = Fake::new(|request| match request.operation.as_str() {
        "ListTaskDefinitions" => error("ServerException", "oops"),
        _ => region(request),
    });
    let digest = Digest::from_tag("v1:0");
    let family = Some(FamilyQuestion { family: "web".to_owned(), digest });
    let questions = Questions { family, ..questions(Depth::Shallow) };
    let observed = fake.cloud().observe(&key(), &questions).await.unwrap();
    assert!(matches!(observed.task_definitions, Fact::Unknown(Unknown::Failed { .. })));
}

#[tokio::test(start_paused = true)]
async fn the_time_of_a_look_is_that_of_aws() {
    let fake = Fake::new(|request| match region(request) {
        Reply::Body { status, body, .. } => {
            let date = "Mon, 23 Nov 2026 05:00:00 GMT".to_owned();
            Reply::Body { status, headers: vec![("date", date)], body }
        }
        other => other,
    });
    let cloud = fake.cloud();
    let observed = cloud.observe(&key(), &questions(Depth::Shallow)).await.unwrap();
    let expected = Timestamp::from_second(1_795_410_000).unwrap();
    assert!(observed.at.duration_since(expected).abs() <= jiff::SignedDuration::from_secs(2));
}
