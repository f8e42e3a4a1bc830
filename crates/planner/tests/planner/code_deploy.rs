//! Services that CodeDeploy deploys: single looks at task sets and deployments, what is planned from them, and what the
//! guard refuses.

#![expect(clippy::indexing_slicing, reason = "a plan without an action is a failed test")]

use std::collections::BTreeMap;
use std::time::Duration;

use evenkeel_manifest::{CodeDeploy as Group, Service, Strategy};
use evenkeel_planner::{
    Action, Alarm, Call, CodeDeploy, CodeDeployDeployment, Command, DeploymentGroup, Depth, Fact,
    Lane, Observed, ObservedService, Order, Plan, Series, TargetGroupHealth, TargetHealth, Task,
    TaskDefinition, Unknown, VerdictKind, WaitReason, check, obey, plan, questions,
};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::balanced::GREEN;
use crate::ecs::input;
use crate::manifests::{Draft, GROUP, key, web};

pub(crate) fn now() -> Timestamp {
    Timestamp::from_second(1_790_000_000).expect("a time")
}

pub(crate) fn ago(seconds: i64) -> Timestamp {
    now().checked_sub(SignedDuration::from_secs(seconds)).expect("within all time")
}

pub(crate) fn wanted(image: &str) -> Service {
    code_deployed(web(image))
}

/// `good:2` in another network.
pub(crate) fn wanted_in(network: &Value) -> Service {
    code_deployed(web("good:2").with("networkConfiguration", network.clone()))
}

fn code_deployed(draft: Draft) -> Service {
    let balancer =
        json!([{"targetGroupArn": GROUP, "containerName": "web", "containerPort": 8080}]);
    let draft = draft
        .with("loadBalancers", balancer)
        .with("deploymentController", json!({"type": "CODE_DEPLOY"}));
    let mut desired = draft.service();
    desired.rollout.strategy = Strategy::CodeDeploy(Group::default());
    desired
}

pub(crate) fn definition(number: u64) -> String {
    format!("arn:aws:ecs:eu-west-1:123456789012:task-definition/web:{number}")
}

pub(crate) fn set(number: u64, group: &str, status: &str, made_by: &str) -> Value {
    json!({
        "id": format!("ecs-svc/{number}"), "taskSetArn": format!("arn:task-set/{number}"), "status": status,
        "taskDefinition": definition(number), "externalId": made_by, "startedBy": "CODE_DEPLOY",
        "computedDesiredCount": 4, "runningCount": 4, "pendingCount": 0,
        "createdAt": ago(600).as_second() + i64::try_from(number).expect("small"),
        "updatedAt": ago(300).as_second(), "stabilityStatus": "STEADY_STATE",
        "scale": {"value": 100.0, "unit": "PERCENT"}, "launchType": "FARGATE",
        "networkConfiguration": {"awsvpcConfiguration": {"subnets": ["subnet-1"]}},
        "loadBalancers": [{"targetGroupArn": group, "containerName": "web", "containerPort": 8080}],
    })
}

/// A look at a service with a task set of `good:1`, PRIMARY, and, if there is one, of `good:2`.
pub(crate) struct Look {
    pub(crate) desired: Service,
    pub(crate) controller: &'static str,
    pub(crate) sets: Vec<Value>,
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) deployments: Vec<Value>,
    pub(crate) healthy: usize,
    pub(crate) alarms: Vec<Alarm>,
    pub(crate) metrics: Fact<Vec<Series>>,
    /// Of production traffic.
    pub(crate) listener: &'static str,
    /// Of test traffic; none where it is empty.
    pub(crate) test_listeners: Vec<&'static str>,
    /// Of the deployment group, as CodeDeploy tells them.
    pub(crate) group_alarms: Value,
    pub(crate) depth: Depth,
}

/// `good:1` runs and is proven, and `good:2` is wanted.
pub(crate) fn at_rest() -> Look {
    let proven =
        [("evenkeel:owner", "v1:test:web.yaml".to_owned()), ("evenkeel:proven", definition(1))];
    Look {
        tags: proven.map(|(key, value)| (key.to_owned(), value)).into(),
        desired: wanted("good:2"),
        controller: "CODE_DEPLOY",
        sets: vec![set(1, GROUP, "PRIMARY", "")],
        deployments: Vec::new(),
        healthy: 4,
        alarms: Vec::new(),
        metrics: Fact::Unknown(Unknown::NotAsked),
        listener: "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener/app/front/03/04",
        test_listeners: Vec::new(),
        group_alarms: json!({"enabled": false, "alarms": []}),
        depth: Depth::Deep,
    }
}

/// CodeDeploy carries `good:2` out as `d-222222222`, which is in that status.
pub(crate) fn on_its_way(status: &str) -> Look {
    let mut look = at_rest();
    look.desired.rollout.breaker.progress_deadline = Duration::from_mins(30);
    look.mark("d-222222222", "shift", 300);
    look.sets.push(set(2, GREEN, "ACTIVE", "d-222222222"));
    let ours = look.deployment("d-222222222", status);
    look.deployments.push(ours);
    look
}

impl Look {
    pub(crate) fn mark(&mut self, deployment: &str, phase: &str, seconds: i64) {
        let mark = self.mark_of(deployment, phase, seconds);
        self.tags.insert("evenkeel:rollout".to_owned(), mark);
    }

    fn mark_of(&self, deployment: &str, phase: &str, seconds: i64) -> String {
        let digest = &self.desired.revision_digest;
        format!("v1:{digest}:{deployment}:{phase}:{}", ago(seconds).as_second())
    }

    pub(crate) fn deployment(&self, id: &str, status: &str) -> Value {
        json!({
            "deploymentId": id, "status": status, "creator": "user", "createTime": ago(290).as_second(),
            "description": format!("evenkeel {}", self.desired.revision_digest),
        })
    }

    /// An alarm that the manifest names went off.
    pub(crate) fn goes_red(&mut self, alarm: &str) {
        self.desired.rollout.breaker.alarms = vec![alarm.to_owned()];
        self.alarms = vec![Alarm {
            name: alarm.to_owned(),
            state: "ALARM".to_owned(),
            reason: None,
            since: Some(ago(30)),
        }];
    }

    /// A verdict was written, and the way back began.
    pub(crate) fn rejected(mut self) -> Self {
        let digest = &self.desired.revision_digest;
        let verdict = format!("v1:{digest}:{}:Crashes", ago(5).as_second());
        self.tags.insert("evenkeel:rejected".to_owned(), verdict);
        self.mark("d-222222222", "rollback", 5);
        self
    }

    pub(crate) fn seen(&self) -> Observed {
        let tags: Vec<Value> =
            self.tags.iter().map(|(key, value)| json!({"key": key, "value": value})).collect();
        let service = json!({
            "serviceArn": "arn:aws:ecs:eu-west-1:123456789012:service/prod/web", "status": "ACTIVE",
            "desiredCount": 4, "deploymentController": {"type": self.controller},
            "taskSets": self.sets, "tags": tags, "deployments": [],
        });
        let group = json!({
            "applicationName": "AppECS-prod-web", "deploymentGroupName": "DgpECS-prod-web",
            "ecsServices": [{"clusterName": "prod", "serviceName": "web"}],
            "alarmConfiguration": self.group_alarms,
            "loadBalancerInfo": {"targetGroupPairInfoList": [{
                "targetGroups": [{"name": "web"}, {"name": "green"}],
                "prodTrafficRoute": {"listenerArns": [self.listener]},
                "testTrafficRoute": {"listenerArns": self.test_listeners},
            }]},
        });
        let deployments = self.deployments.iter().map(CodeDeployDeployment::read);
        let code_deploy = CodeDeploy {
            group: DeploymentGroup::read(&group).expect("it is a group"),
            deployments: deployments.collect::<Result<_, _>>().expect("they are deployments"),
        };
        Observed {
            service: Fact::Known(ObservedService::read(&service).expect("it is a service")),
            task_definitions: Fact::Known(vec![revision(1), revision(2), revision(3)]),
            service_deployments: Fact::Absent,
            service_revisions: Fact::Absent,
            tasks: Fact::Known(tasks()),
            target_groups: Fact::Known(self.health()),
            code_deploy: Fact::Known(code_deploy),
            alarms: Fact::Known(self.alarms.clone()),
            metrics: self.metrics.clone(),
            ..Observed::unasked(now(), self.depth)
        }
    }

    fn health(&self) -> Vec<TargetGroupHealth> {
        let target = |number: u64, index: usize, state: &str| TargetHealth {
            id: format!("10.0.{number}.{index}"),
            port: Some(8080),
            state: state.to_owned(),
            reason: None,
            description: None,
        };
        let state = |index| if index < self.healthy { "healthy" } else { "initial" };
        let health = |arn: &str, number: u64| TargetGroupHealth {
            arn: arn.to_owned(),
            targets: (0..4).map(|index| target(number, index, state(index))).collect(),
        };
        vec![health(GROUP, 1), health(GREEN, 2)]
    }

    /// What is planned; the guard must agree.
    pub(crate) fn plan(&self) -> Plan {
        let (key, seen) = (key(), self.seen());
        let input = input(&key, Some(&self.desired), &seen);
        let plan = plan(&input);
        assert_eq!(check(&plan, &input), Ok(()), "{plan}");
        plan
    }

    pub(crate) fn call(&self) -> Call {
        let plan = self.plan();
        assert_eq!(plan.actions.len(), 1, "{plan}");
        plan.actions[0].call.clone()
    }

    pub(crate) fn waits(&self) -> WaitReason {
        let plan = self.plan();
        assert_eq!(plan.actions, Vec::new());
        plan.waiting[0].reason
    }

    /// The value that is written into a tag, and nothing else is done.
    pub(crate) fn tagged(&self, key: &str) -> String {
        let Call::TagResource { tags, .. } = self.call() else { panic!("{}", self.plan()) };
        tags.get(key).cloned().unwrap_or_default()
    }

    /// What the guard says of a forged action.
    pub(crate) fn broken(&self, call: Call, lane: Lane) -> String {
        let actions = vec![Action { call, lane, why: "forged".to_owned() }];
        let (waiting, look_again) = (Vec::new(), Duration::from_secs(1));
        let plan = Plan { actions, waiting, verdict: None, look_again };
        let (key, seen) = (key(), self.seen());
        check(&plan, &input(&key, Some(&self.desired), &seen)).err().unwrap_or_default().join("\n")
    }

    /// The content of the AppSpec that is to be deployed last.
    pub(crate) fn app_spec(&self) -> Value {
        let plan = self.plan();
        let last = plan.actions.last().map(|action| &action.call);
        let Some(Call::CreateDeployment { input }) = last else { panic!("{plan}") };
        let content = input["revision"]["appSpecContent"]["content"].as_str().expect("inline");
        serde_json::from_str(content).expect("JSON")
    }
}

fn revision(number: u64) -> TaskDefinition {
    TaskDefinition {
        arn: definition(number),
        status: "ACTIVE".to_owned(),
        digest: wanted(&format!("good:{number}")).task_definition_digest,
        digest_tag: None,
        document: None,
    }
}

/// Four of each revision, all running.
fn tasks() -> Vec<Task> {
    let of = |number: u64, index: usize| {
        let address =
            json!([{"name": "privateIPv4Address", "value": format!("10.0.{number}.{index}")}]);
        let task = json!({
            "taskArn": format!("arn:task/{number}-{index}"), "startedBy": format!("ecs-svc/{number}"),
            "lastStatus": "RUNNING", "desiredStatus": "RUNNING",
            "createdAt": ago(250).as_second(), "startedAt": ago(240).as_second(),
            "attachments": [{"details": address}],
        });
        Task::read(&task).expect("it is a task")
    };
    (1..=2).flat_map(|number| (0..4).map(move |index| of(number, index))).collect()
}

fn create_deployment(number: u64) -> Call {
    let properties = json!({"TaskDefinition": definition(number)});
    let content = json!({"Resources": [{"TargetService": {"Properties": properties}}]}).to_string();
    let input = json!({
        "applicationName": "AppECS-prod-web", "deploymentGroupName": "DgpECS-prod-web",
        "revision": {"appSpecContent": {"content": content}},
    });
    Call::CreateDeployment { input }
}

#[test]
fn what_is_wanted_is_announced_and_then_deployed_by_the_usual_group() {
    let plan = at_rest().plan();
    let operations: Vec<&str> = plan.actions.iter().map(|one| one.call.operation()).collect();
    assert_eq!(operations, ["TagResource", "CreateDeployment"]);
    let Call::CreateDeployment { input } = &plan.actions[1].call else { panic!("{plan}") };
    assert_eq!(input["applicationName"], "AppECS-prod-web");
    assert_eq!(input["deploymentGroupName"], "DgpECS-prod-web");
    assert_eq!(input.get("deploymentConfigName"), None, "the group's own");
    assert_eq!(input["autoRollbackConfiguration"]["enabled"], true);
}

#[test]
fn the_app_spec_names_definition_container_port_and_network_in_its_own_spelling() {
    let spec = at_rest().app_spec();
    let properties = &spec["Resources"][0]["TargetService"]["Properties"];
    assert_eq!(properties["TaskDefinition"], definition(2));
    assert_eq!(properties["LoadBalancerInfo"]["ContainerName"], "web");
    assert_eq!(properties["LoadBalancerInfo"]["ContainerPort"], 8080);
    let network = &properties["NetworkConfiguration"]["AwsvpcConfiguration"];
    assert_eq!(network["Subnets"], json!(["subnet-1"]));
    assert_eq!(network["AssignPublicIp"], "DISABLED", "all of it is named, or none");
}

#[test]
fn a_named_group_and_configuration_are_used_and_another_group_is_not() {
    let mut look = at_rest();
    look.desired.rollout.strategy = Strategy::CodeDeploy(Group {
        deployment_config: Some("Tenth".to_owned()),
        ..Group::default()
    });
    let plan = look.plan();
    let Call::CreateDeployment { input } = &plan.actions[1].call else { panic!("{plan}") };
    assert_eq!(input["deploymentConfigName"], "Tenth");
    look.desired.rollout.strategy =
        Strategy::CodeDeploy(Group { application: Some("shop".to_owned()), ..Group::default() });
    let asked =
        questions(Some(&look.desired), Some(&Observed { depth: Depth::Shallow, ..look.seen() }));
    let asked = asked.and_then(|asked| asked.code_deploy).expect("a rollout is to start");
    assert_eq!((asked.application.as_str(), asked.group.as_str()), ("shop", "DgpECS-prod-web"));
}

#[test]
fn nothing_begins_while_another_deployment_of_the_group_is_on_its_way() {
    let mut look = at_rest();
    look.deployments
        .push(json!({"deploymentId": "d-999999999", "status": "InProgress", "creator": "user"}));
    assert_eq!(look.waits(), WaitReason::ForeignDeployment);
    assert!(
        look.broken(create_deployment(2), Lane::NewChange).contains("d-999999999 is on its way")
    );
}

#[test]
fn an_announced_deployment_is_found_by_its_content_after_a_lost_answer() {
    let mut look = on_its_way("InProgress");
    look.mark("-2", "shift", 300);
    assert!(look.tagged("evenkeel:rollout").contains(":d-222222222:shift:"));
}

#[test]
fn a_deployment_of_ours_whose_memory_was_lost_is_taken_up_and_judged() {
    let mut look = on_its_way("InProgress");
    look.tags.remove("evenkeel:rollout");
    assert!(look.tagged("evenkeel:rollout").contains(":d-222222222:shift:"));
    let verdict = format!("v1:{}:{}:Crashes", look.desired.revision_digest, ago(5).as_second());
    look.tags.insert("evenkeel:rejected".to_owned(), verdict);
    assert!(look.tagged("evenkeel:rollout").contains(":d-222222222:rollback:"));
    look.desired = wanted("good:3");
    assert_eq!(look.waits(), WaitReason::ForeignDeployment, "it carries something else");
}

#[test]
fn a_deployment_of_the_same_content_before_the_announcement_is_not_ours() {
    let mut look = on_its_way("Succeeded");
    look.sets.pop();
    look.mark("-2", "shift", 60);
    assert_eq!(look.waits(), WaitReason::Deployment, "until it is sure that the call was lost");
    look.mark("-2", "shift", 200);
    assert!(matches!(look.call(), Call::UntagResource { .. }), "it is begun anew then");
}

#[test]
fn a_deployment_on_its_way_is_waited_for() {
    assert_eq!(on_its_way("InProgress").waits(), WaitReason::Deployment);
}

#[test]
fn one_that_waits_for_a_word_is_let_through_when_its_tasks_are_healthy() {
    let mut look = on_its_way("Ready");
    let through = Call::ContinueDeployment { id: "d-222222222".to_owned() };
    assert_eq!(look.call(), through);
    look.healthy = 3;
    assert_eq!(look.waits(), WaitReason::Deployment);
}

#[test]
fn a_pause_keeps_one_that_waits_for_a_word() {
    let mut look = on_its_way("Ready");
    look.tags.insert("evenkeel:pause".to_owned(), "v1:1789999990:ann:lunch".to_owned());
    assert_eq!(look.waits(), WaitReason::Person);
    let through = Call::ContinueDeployment { id: "d-222222222".to_owned() };
    assert!(look.broken(through, Lane::RolloutStep).contains("paused"));
}

#[test]
fn a_red_alarm_rejects_what_is_on_its_way() {
    let mut look = on_its_way("InProgress");
    look.goes_red("web-5xx");
    let plan = look.plan();
    assert_eq!(plan.verdict.as_ref().map(|verdict| verdict.kind), Some(VerdictKind::Alarm));
    assert!(look.tagged("evenkeel:rollout").contains(":d-222222222:rollback:"));
}

#[test]
fn what_was_rejected_is_stopped_and_its_rollback_waited_for() {
    let mut look = on_its_way("InProgress").rejected();
    assert_eq!(look.call(), Call::StopDeployment { id: "d-222222222".to_owned() });
    look.deployments[0]["status"] = json!("Stopped");
    look.deployments.push(json!({
        "deploymentId": "d-333333333", "status": "InProgress", "creator": "codeDeployRollback",
        "rollbackInfo": {"rollbackTriggeringDeploymentId": "d-222222222"},
    }));
    assert_eq!(look.waits(), WaitReason::Rollback);
    look.deployments[1]["status"] = json!("Succeeded");
    look.sets.pop();
    assert!(matches!(look.call(), Call::UntagResource { .. }), "the rollback is over");
}

#[test]
fn tasks_that_ecs_has_yet_to_start_are_not_held_against_the_revision() {
    let mut grown = on_its_way("InProgress");
    grown.desired.rollout.breaker.progress_deadline = Duration::from_mins(2);
    grown.sets[1]["computedDesiredCount"] = json!(6);
    assert_eq!(grown.waits(), WaitReason::Deployment, "the last one was healthy four minutes ago");
    let mut never = grown;
    never.healthy = 0;
    let verdict = never.plan().verdict.map(|verdict| verdict.kind);
    assert_eq!(verdict, Some(VerdictKind::Stalled), "all were started and none is healthy");
}

#[test]
fn a_missed_health_check_late_in_a_long_shift_is_no_lack_of_progress() {
    let mut look = on_its_way("InProgress");
    look.desired.rollout.breaker.progress_deadline = Duration::from_mins(8);
    assert_eq!(look.tagged("evenkeel:rollout"), look.mark_of("d-222222222", "bake0", 300));
    look.mark("d-222222222", "bake0", 300);
    assert_eq!(look.waits(), WaitReason::Deployment, "it is noted once");
    look.desired.rollout.breaker.progress_deadline = Duration::from_mins(2);
    look.healthy = 3;
    assert_eq!(
        look.waits(),
        WaitReason::Deployment,
        "they were there all, and one is to come back"
    );
    look.mark("d-222222222", "shift", 300);
    let verdict = look.plan().verdict.map(|verdict| verdict.kind);
    assert_eq!(verdict, Some(VerdictKind::Stalled), "it is not known that they ever were");
    look.sets[0]["status"] = json!("ACTIVE");
    look.sets[1]["status"] = json!("PRIMARY");
    assert_eq!(look.waits(), WaitReason::Deployment, "all traffic was given to it");
}

#[test]
fn a_short_deployment_needs_no_note_that_its_tasks_were_there() {
    assert_eq!(on_its_way("InProgress").waits(), WaitReason::Deployment);
    let mut look = on_its_way("InProgress");
    look.healthy = 3;
    look.desired.rollout.breaker.progress_deadline = Duration::from_mins(15);
    assert_eq!(look.waits(), WaitReason::Deployment);
}

#[test]
fn nothing_is_stopped_without_a_verdict() {
    let stop = Call::StopDeployment { id: "d-222222222".to_owned() };
    let broken = on_its_way("InProgress").broken(stop, Lane::Rollback);
    assert!(broken.contains("no verdict was written before"), "{broken}");
}

#[test]
fn somebody_else_s_deployment_is_never_stopped() {
    let mut look = on_its_way("InProgress").rejected();
    look.deployments.push(json!({"deploymentId": "d-999999999", "status": "InProgress"}));
    let broken = look.broken(Call::StopDeployment { id: "d-999999999".to_owned() }, Lane::Rollback);
    assert!(broken.contains("not the deployment of our rollout"), "{broken}");
}

#[test]
fn what_code_deploy_ended_itself_is_rejected() {
    let mut look = on_its_way("Stopped");
    look.deployments[0]["errorInformation"] = json!({"code": "ALARM_ACTIVE", "message": "red"});
    let verdict = look.plan().verdict.expect("a verdict");
    assert_eq!(verdict.kind, VerdictKind::RolledBackByCodeDeploy);
    assert!(verdict.sentence.contains("ALARM_ACTIVE, red"), "{}", verdict.sentence);
}

#[test]
fn where_code_deploy_did_not_go_back_the_proven_revision_is_deployed_once() {
    let mut look = on_its_way("Succeeded").rejected();
    look.sets = vec![set(2, GREEN, "PRIMARY", "d-222222222")];
    let spec = look.app_spec();
    let target = &spec["Resources"][0]["TargetService"]["Properties"]["TaskDefinition"];
    assert_eq!(*target, definition(1));
    look.deployments.push(json!({
        "deploymentId": "d-444444444", "status": "Failed", "createTime": ago(2).as_second(),
        "description": format!("evenkeel return {}", definition(1)),
    }));
    assert_eq!(look.waits(), WaitReason::Held, "a failed return is a person's");
}

#[test]
fn without_anything_that_code_deploy_could_return_to_a_person_decides() {
    let mut look = on_its_way("Succeeded").rejected();
    look.sets = vec![set(2, GREEN, "PRIMARY", "d-222222222")];
    let before_code_deploy = "arn:aws:ecs:eu-west-1:123456789012:service-revision/prod/web/1";
    look.tags.insert("evenkeel:proven".to_owned(), before_code_deploy.to_owned());
    assert_eq!(look.waits(), WaitReason::Held);
    look.tags.remove("evenkeel:proven");
    assert_eq!(look.waits(), WaitReason::Held);
}

#[test]
fn a_return_that_waits_for_a_word_gets_it_at_once() {
    let mut look = on_its_way("Succeeded").rejected();
    look.sets =
        vec![set(2, GREEN, "PRIMARY", "d-222222222"), set(1, GROUP, "ACTIVE", "d-444444444")];
    look.deployments.push(json!({
        "deploymentId": "d-444444444", "status": "Ready", "createTime": ago(2).as_second(),
        "description": format!("evenkeel return {}", definition(1)),
    }));
    look.tags.insert("evenkeel:pause".to_owned(), "v1:1789999990:ann:lunch".to_owned());
    let through = Call::ContinueDeployment { id: "d-444444444".to_owned() };
    assert_eq!(look.call(), through, "a pause holds no return");
    look.deployments[1]["description"] = json!("by hand");
    assert!(look.broken(through, Lane::Rollback).contains("d-444444444 is no return"));
}

#[test]
fn a_return_goes_nowhere_but_to_the_proven_revision() {
    let look = on_its_way("Stopped").rejected();
    let broken = look.broken(create_deployment(2), Lane::Rollback);
    assert!(broken.contains("not the proven revision"), "{broken}");
    let broken = look.broken(create_deployment(2), Lane::NewChange);
    assert!(broken.contains("was rejected"), "{broken}");
}

#[test]
fn with_a_verdict_that_a_person_took_back_newer_content_ends_the_deployment_and_not_the_verdict() {
    let mut look = on_its_way("InProgress").rejected();
    look.desired = wanted("good:3");
    assert_eq!(look.plan().actions[0].lane, Lane::Rollback);
    look.tags.remove("evenkeel:rejected");
    let stop = look.plan().actions.remove(0);
    assert_eq!(stop.call, Call::StopDeployment { id: "d-222222222".to_owned() });
    assert_eq!(stop.lane, Lane::RolloutStep, "{}", stop.why);
    look.deployments[0]["status"] = json!("Stopped");
    assert!(matches!(look.call(), Call::UntagResource { .. }));
}

#[test]
fn newer_content_ends_a_deployment_before_it_begins_its_own() {
    let mut look = on_its_way("InProgress");
    look.desired = wanted("good:3");
    assert_eq!(look.call(), Call::StopDeployment { id: "d-222222222".to_owned() });
    look.deployments[0]["status"] = json!("Stopped");
    assert!(matches!(look.call(), Call::UntagResource { .. }));
}

#[test]
fn what_arrived_alone_and_healthy_is_proven() {
    let mut look = on_its_way("Succeeded");
    look.sets = vec![set(1, GROUP, "DRAINING", ""), set(2, GREEN, "PRIMARY", "d-222222222")];
    assert_eq!(look.waits(), WaitReason::Draining);
    look.sets.remove(0);
    let plan = look.plan();
    let Call::TagResource { tags, .. } = &plan.actions[0].call else { panic!("{plan}") };
    assert_eq!(tags.get("evenkeel:proven"), Some(&definition(2)));
    assert!(matches!(plan.actions[1].call, Call::UntagResource { .. }));
}

#[test]
fn what_arrived_is_proven_when_its_alarms_had_time_to_go_off() {
    for (seconds, is_proven) in [(290, false), (300, true)] {
        let mut look = on_its_way("Succeeded");
        look.sets = vec![set(2, GREEN, "PRIMARY", "d-222222222")];
        look.deployments[0]["completeTime"] = json!(ago(seconds).as_second());
        look.desired.rollout.breaker.alarms = vec!["web-5xx".to_owned()];
        let (name, state) = ("web-5xx".to_owned(), "OK".to_owned());
        look.alarms = vec![Alarm { name, state, reason: None, since: Some(ago(9000)) }];
        assert_eq!(look.plan().actions.is_empty(), !is_proven, "{seconds}: {}", look.plan());
        assert!(is_proven || look.waits() == WaitReason::Alarm);
    }
}

#[test]
fn what_arrived_is_not_proven_while_an_alarm_of_it_does_not_exist() {
    let mut look = on_its_way("Succeeded");
    look.sets = vec![set(2, GREEN, "PRIMARY", "d-222222222")];
    look.desired.rollout.breaker.alarms = vec!["web-5xx".to_owned()];
    assert!(look.plan().actions.is_empty(), "{}", look.plan());
    assert_eq!(look.waits(), WaitReason::Alarm);
}

#[test]
fn a_created_service_is_proven_before_it_has_a_deployment_group() {
    let mut look = at_rest();
    look.desired = wanted("good:1");
    look.tags.remove("evenkeel:proven");
    look.mark("-1", "shift", 300);
    let (key, mut seen) = (key(), look.seen());
    seen.code_deploy = Fact::Absent;
    let proven = plan(&input(&key, Some(&look.desired), &seen));
    let Call::TagResource { tags, .. } = &proven.actions[0].call else { panic!("{proven}") };
    assert_eq!(tags.get("evenkeel:proven"), Some(&definition(1)));
}

#[test]
fn a_group_that_does_not_exist_or_deploys_another_service_starts_nothing() {
    let look = at_rest();
    let (key, mut seen) = (key(), look.seen());
    seen.code_deploy = Fact::Absent;
    let absent = plan(&input(&key, Some(&look.desired), &seen));
    assert_eq!((absent.actions.len(), absent.waiting[0].reason), (0, WaitReason::Preflight));
    let other = json!({
        "applicationName": "AppECS-prod-web", "deploymentGroupName": "DgpECS-prod-web",
        "ecsServices": [{"clusterName": "prod", "serviceName": "shop"}],
    });
    let group = DeploymentGroup::read(&other).expect("it is a group");
    seen.code_deploy = Fact::Known(CodeDeploy { group, deployments: Vec::new() });
    let other = plan(&input(&key, Some(&look.desired), &seen));
    assert_eq!((other.actions.len(), other.waiting[0].reason), (0, WaitReason::Preflight));
}

#[test]
fn a_settled_release_is_left_for_the_task_definition_that_is_named() {
    let mut look = at_rest();
    look.desired = wanted("good:1");
    let applied = format!("v1:{}:{}:", look.desired.revision_digest, ago(300).as_second());
    look.tags.insert("evenkeel:digest".to_owned(), applied);
    let key = key();
    let undone = |look: &Look, to: Option<&str>| {
        let seen = look.seen();
        let command = Command::Undo { to: to.map(str::to_owned) };
        let order = Order { command, who: "ann@laptop".into(), why: "a bad day".into() };
        obey(&input(&key, Some(&look.desired), &seen), &order)
    };
    assert!(undone(&look, None).expect_err("it is refused").0.contains("--to web:REVISION"));
    let obeyed = undone(&look, Some("web:2")).expect("it is known");
    let Call::TagResource { tags, .. } = &obeyed.actions[0].call else { panic!("{obeyed:?}") };
    assert_eq!(tags["evenkeel:proven"], definition(2));
    look.tags.extend(tags.clone());
    let Call::CreateDeployment { input } = look.call() else { panic!("{}", look.plan()) };
    assert!(input["revision"].to_string().contains("web:2"), "{input}");
    assert_eq!(input["deploymentConfigName"], "CodeDeployDefault.ECSAllAtOnce");
}

#[test]
fn an_undo_of_what_somebody_else_deployed_has_what_the_manifest_wants_deployed_at_once() {
    let mut look = at_rest();
    let applied = format!("v1:{}:{}:lb", look.desired.revision_digest, ago(300).as_second());
    look.tags.insert("evenkeel:digest".to_owned(), applied);
    look.tags.insert("evenkeel:owner".to_owned(), "v1:test:shop/web.yaml".to_owned());
    assert_eq!(look.waits(), WaitReason::ForeignDeployment);
    let (key, seen) = (key(), look.seen());
    let command = Command::Undo { to: Some("web:2".to_owned()) };
    let order = Order { command, who: "ann@laptop".into(), why: "a bad day".into() };
    let obeyed = obey(&input(&key, Some(&look.desired), &seen), &order).expect("it is known");
    let Call::TagResource { tags, .. } = &obeyed.actions[0].call else { panic!("{obeyed:?}") };
    assert_eq!(tags.keys().collect::<Vec<_>>(), ["evenkeel:digest"]);
    look.tags.extend(tags.clone());
    let plan = look.plan();
    let [_, Action { call: Call::CreateDeployment { input }, .. }] = plan.actions.as_slice() else {
        panic!("{plan}")
    };
    assert!(input["revision"].to_string().contains("web:2"), "{input}");
}
