//! Rollouts whose steps Evenkeel takes itself: single looks at task sets and rules, what is planned from them, and what
//! the guard refuses.

#![expect(clippy::indexing_slicing, reason = "a plan without an action is a failed test")]

mod at_rest;
mod guarded;
mod kept;
mod named;
mod resumed;
mod returned;
mod undone;

use std::collections::BTreeMap;
use std::time::Duration;

use evenkeel_manifest::{
    Analysis, Condition, Gate, InFlight, Limit, Metric, MetricSource, OnFailure, Percent, Scale,
    Service, Steps, Strategy, TrafficStep, Webhook,
};
use evenkeel_planner::{
    Action, Call, Depth, Fact, Lane, ListenerRule, LoadBalancing, Observed, ObservedService, Plan,
    Reweighing, TargetGroupHealth, TargetHealth, Task, TaskDefinition, Unused, check, plan,
};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::balanced::{GREEN, OTHER, PRODUCTION, TEST, balancers, group, rule};
use crate::ecs::input;
use crate::manifests::{GROUP, key, web, window};

fn now() -> Timestamp {
    Timestamp::from_second(1_790_000_000).expect("a time")
}

fn ago(seconds: i64) -> Timestamp {
    now().checked_sub(SignedDuration::from_secs(seconds)).expect("within all time")
}

/// A tenth for a minute, and then all.
pub(crate) fn wanted(image: &str) -> Service {
    let external = json!({"type": "EXTERNAL"});
    let draft = web(image)
        .with("loadBalancers", balancers(PRODUCTION, Some(TEST)))
        .with("deploymentController", external);
    let step = |percent: u8, bake: u64| TrafficStep {
        weight: Percent::whole(percent),
        scale: Scale::Auto,
        bake: Duration::from_secs(bake),
        ..TrafficStep::default()
    };
    let mut desired = draft.service();
    desired.rollout.strategy = Strategy::Steps(Steps {
        steps: vec![step(10, 60), step(100, 60)],
        keep_for: Duration::from_mins(5),
        gate_timeout: Duration::from_hours(1),
    });
    desired
}

/// A look at a service with two task sets of four tasks each: 1 of `good:1`, PRIMARY, in the first group, and 2 of
/// `good:2` in the other.
struct Look {
    desired: Service,
    sets: Vec<Value>,
    tags: BTreeMap<String, String>,
    production: Vec<(String, u32)>,
    test: Vec<(String, u32)>,
    /// Tasks of the first set.
    healthy_before: usize,
    /// Tasks of the second set.
    healthy: usize,
}

fn set(number: u64, group: &str, status: &str, scale: f64) -> Value {
    let count = if scale < 100.0 { 1 } else { 4 };
    json!({
        "id": format!("ecs-svc/{number}"), "taskSetArn": format!("arn:task-set/{number}"), "status": status,
        "taskDefinition": format!("arn:aws:ecs:eu-west-1:123456789012:task-definition/web:{number}"),
        "externalId": "evenkeel", "computedDesiredCount": count, "runningCount": count, "pendingCount": 0,
        "createdAt": ago(600).as_second() + i64::try_from(number).expect("small"),
        "updatedAt": ago(300).as_second(), "stabilityStatus": "STEADY_STATE",
        "scale": {"value": scale, "unit": "PERCENT"}, "launchType": "FARGATE",
        "networkConfiguration": {"awsvpcConfiguration": {"subnets": ["subnet-1"]}},
        "loadBalancers": [{"targetGroupArn": group, "containerName": "web", "containerPort": 8080}],
    })
}

fn weights(blue: u32, green: u32) -> Vec<(String, u32)> {
    vec![(GROUP.to_owned(), blue), (GREEN.to_owned(), green)]
}

/// The second set stands, healthy and without production traffic.
fn before_the_first_step() -> Look {
    let desired = wanted("good:2");
    let mark = format!("v1:{}:ecs-svc/2:step0:{}", desired.revision_digest, ago(300).as_second());
    let tags = [("evenkeel:owner", "v1:test:web.yaml".to_owned()), ("evenkeel:rollout", mark)];
    Look {
        tags: tags.map(|(key, value)| (key.to_owned(), value)).into(),
        desired,
        sets: vec![set(1, GROUP, "PRIMARY", 100.0), set(2, GREEN, "ACTIVE", 10.0)],
        production: weights(100, 0),
        test: weights(0, 100),
        healthy_before: 4,
        healthy: 1,
    }
}

/// It got its tenth that many seconds ago.
fn baking_for(seconds: i64) -> Look {
    let mut look = before_the_first_step();
    look.mark("bake0", seconds);
    look.production = weights(900, 100);
    look
}

impl Look {
    fn mark(&mut self, phase: &str, seconds: i64) {
        let digest = &self.desired.revision_digest;
        let mark = format!("v1:{digest}:ecs-svc/2:{phase}:{}", ago(seconds).as_second());
        self.tags.insert("evenkeel:rollout".to_owned(), mark);
    }

    fn rejected(mut self) -> Self {
        let digest = &self.desired.revision_digest;
        let verdict = format!("v1:{digest}:{}:Crashes", ago(5).as_second());
        self.tags.insert("evenkeel:rejected".to_owned(), verdict);
        self.tags.insert(
            "evenkeel:proven".to_owned(),
            "arn:aws:ecs:x:1:task-definition/web:1".to_owned(),
        );
        self.mark("rollback", 5);
        self
    }

    fn seen(&self) -> Observed {
        let tags: Vec<Value> =
            self.tags.iter().map(|(key, value)| json!({"key": key, "value": value})).collect();
        let service = json!({
            "serviceArn": "arn:aws:ecs:eu-west-1:123456789012:service/prod/web", "status": "ACTIVE",
            "desiredCount": 4, "deploymentController": {"type": "EXTERNAL"}, "taskSets": self.sets,
            "tags": tags, "deployments": [],
        });
        let seen = |arn: &str, forwards: &[(String, u32)]| ListenerRule {
            forwards: forwards.to_vec(),
            other_actions: Vec::new(),
            ..rule(arn, &[])
        };
        let rules = vec![seen(PRODUCTION, &self.production), seen(TEST, &self.test)];
        Observed {
            service: Fact::Known(ObservedService::read(&service).expect("it is a service")),
            task_definitions: Fact::Known(vec![definition(1, "good:1"), definition(2, "good:2")]),
            service_deployments: Fact::Absent,
            service_revisions: Fact::Absent,
            tasks: Fact::Known(self.tasks()),
            target_groups: Fact::Known(self.health()),
            load_balancing: Fact::Known(LoadBalancing {
                rules,
                target_groups: [GROUP, GREEN].map(group).into(),
            }),
            alarms: Fact::Known(Vec::new()),
            ..Observed::unasked(now(), Depth::Deep)
        }
    }

    /// All run; they are healthy as far as said.
    fn tasks(&self) -> Vec<Task> {
        let of = |number: u64, index: usize| {
            let address = json!([{"name": "privateIPv4Address", "value": address(number, index)}]);
            let task = json!({
                "taskArn": format!("arn:task/{number}-{index}"), "startedBy": format!("ecs-svc/{number}"),
                "lastStatus": "RUNNING", "desiredStatus": "RUNNING",
                "createdAt": ago(250).as_second(), "startedAt": ago(240).as_second(),
                "attachments": [{"details": address}],
            });
            Task::read(&task).expect("it is a task")
        };
        let blue = (0..4).map(|index| of(1, index));
        blue.chain((0..self.count()).map(|index| of(2, index))).collect()
    }

    fn count(&self) -> usize {
        let second = self.sets.iter().find(|set| set["id"] == "ecs-svc/2");
        let count = second.and_then(|set| set["computedDesiredCount"].as_u64()).unwrap_or(0);
        usize::try_from(count).expect("small")
    }

    fn health(&self) -> Vec<TargetGroupHealth> {
        let target = |number, index, state: &str| TargetHealth {
            id: address(number, index),
            port: Some(8080),
            state: state.to_owned(),
            reason: None,
            description: None,
        };
        let state = |index, healthy| if index < healthy { "healthy" } else { "initial" };
        let blue = |index| target(1, index, state(index, self.healthy_before));
        let green = |index| target(2, index, state(index, self.healthy));
        let blue = (0..4).map(blue).collect();
        let green = (0..self.count()).map(green).collect();
        let health = |arn: &str, targets| TargetGroupHealth { arn: arn.to_owned(), targets };
        vec![health(GROUP, blue), health(GREEN, green)]
    }

    /// What is planned; the guard must agree.
    fn plan(&self) -> Plan {
        let (key, seen) = (key(), self.seen());
        let input = input(&key, Some(&self.desired), &seen);
        let plan = plan(&input);
        assert_eq!(check(&plan, &input), Ok(()), "{plan}");
        plan
    }

    fn call(&self) -> Call {
        let plan = self.plan();
        assert_eq!(plan.actions.len(), 1, "{plan}");
        plan.actions[0].call.clone()
    }

    /// The weights that are written on the way back; that they were is noted behind them.
    #[track_caller]
    fn given_back(&self) -> Call {
        let plan = self.plan();
        let [shift, note] = plan.actions.as_slice() else { panic!("{plan}") };
        let Call::TagResource { tags, .. } = &note.call else { panic!("{plan}") };
        assert_eq!(tags["evenkeel:reweighed"], format!("v1:{}", now().as_second()));
        shift.call.clone()
    }

    /// They were written a second ago.
    fn gave_back(&mut self) {
        let noted = format!("v1:{}", ago(1).as_second());
        self.tags.insert("evenkeel:reweighed".to_owned(), noted);
    }

    fn waits(&self) -> String {
        let plan = self.plan();
        assert_eq!(plan.actions, Vec::new());
        plan.waiting.iter().map(|wait| wait.sentence.as_str()).collect::<Vec<_>>().join("\n")
    }

    /// What the guard says of a forged action.
    fn broken(&self, call: Call, lane: Lane) -> String {
        let actions = vec![Action { call, lane, why: "forged".to_owned() }];
        let (waiting, look_again) = (Vec::new(), Duration::from_secs(1));
        let plan = Plan { actions, waiting, verdict: None, look_again };
        let (key, seen) = (key(), self.seen());
        check(&plan, &input(&key, Some(&self.desired), &seen)).err().unwrap_or_default().join("\n")
    }

    fn weigh(&self, wanted: Vec<(String, u32)>) -> Call {
        let weights = Reweighing { seen: self.production.clone(), wanted };
        Call::ModifyRule { rule: PRODUCTION.to_owned(), weights }
    }
}

fn address(number: u64, index: usize) -> String {
    format!("10.0.{number}.{index}")
}

fn definition(number: u64, image: &str) -> TaskDefinition {
    TaskDefinition {
        arn: format!("arn:aws:ecs:eu-west-1:123456789012:task-definition/web:{number}"),
        status: "ACTIVE".to_owned(),
        digest: wanted(image).task_definition_digest,
        digest_tag: None,
        document: None,
    }
}

fn about_set(number: u64, member: &str) -> Value {
    json!({"cluster": "prod", "service": "web", member: format!("ecs-svc/{number}"), "force": true})
}

/// Of the first or the second one, in a group of its own.
fn deletes(number: u64) -> Call {
    let group = if number == 1 { GROUP } else { GREEN };
    let unused = Unused { rule: PRODUCTION.to_owned(), group: group.to_owned() };
    Call::DeleteTaskSet { input: about_set(number, "taskSet"), unused: Some(unused) }
}

#[track_caller]
fn assert_reweighs(call: &Call, rule: &str, wanted: &[(String, u32)]) {
    let Call::ModifyRule { rule: found, weights } = call else { panic!("{call:?}") };
    assert_eq!((found.as_str(), weights.wanted.as_slice()), (rule, wanted));
}

#[test]
fn the_first_traffic_goes_to_healthy_tasks_and_is_what_the_step_says() {
    assert_reweighs(&before_the_first_step().call(), PRODUCTION, &weights(900, 100));
}

#[test]
fn no_traffic_goes_to_tasks_that_are_not_healthy_yet() {
    let look = Look { healthy: 0, ..before_the_first_step() };
    assert!(look.waits().contains("0 of 1 tasks of ecs-svc/2 are healthy"), "{}", look.waits());
}

#[test]
fn test_traffic_comes_before_production_traffic() {
    let look = Look { test: weights(100, 0), ..before_the_first_step() };
    assert_reweighs(&look.call(), TEST, &weights(0, 100));
}

#[test]
fn the_tasks_of_a_step_come_before_its_traffic() {
    let mut look = baking_for(70);
    look.mark("step1", 5);
    let Call::UpdateTaskSet { input } = look.call() else { panic!("{:?}", look.plan()) };
    assert_eq!(input["scale"], json!({"value": 100.0, "unit": "PERCENT"}));
}

#[test]
fn a_step_bakes_as_long_as_it_says_and_no_next_one_is_begun_before() {
    let look = baking_for(30);
    assert!(look.waits().contains("step 1 of 2 (10%) bakes"), "{}", look.waits());
    assert!(matches!(baking_for(61).call(), Call::TagResource { .. }));
}

#[test]
fn more_traffic_than_the_step_s_is_taken_back_at_once() {
    let look = Look { production: weights(500, 500), ..baking_for(30) };
    assert_reweighs(&look.call(), PRODUCTION, &weights(900, 100));
}

#[test]
fn less_traffic_than_the_step_s_may_be_a_rescue_and_stays() {
    let look = Look { production: weights(100, 0), ..baking_for(90) };
    assert!(look.waits().contains("somebody else took traffic away"), "{}", look.waits());
}

#[test]
fn traffic_that_a_look_from_before_the_rollout_gave_back_is_no_rescue_and_comes_again_from_the_first_step()
 {
    let mut look = Look { production: weights(100, 0), ..baking_for(90) };
    look.mark("bake1", 90);
    look.gave_back();
    let Call::TagResource { tags, .. } = look.call() else { panic!("{:?}", look.plan()) };
    assert!(tags["evenkeel:rollout"].contains(":step0:"), "{tags:?}");
    look.mark("bake1", 0);
    assert!(look.waits().contains("somebody else took traffic away"), "{}", look.waits());
}

#[test]
fn a_rule_that_forwards_elsewhere_too_is_left_alone() {
    let mut look = before_the_first_step();
    look.production.push((OTHER.to_owned(), 1));
    assert!(look.waits().contains("which is not the service's"), "{}", look.waits());
}

#[test]
fn a_rejected_revision_loses_traffic_then_test_traffic_then_its_tasks() {
    let mut look = baking_for(30).rejected();
    let all = [(GREEN.to_owned(), 0), (GROUP.to_owned(), 100)];
    assert_reweighs(&look.given_back(), PRODUCTION, &all);
    look.production = weights(100, 0);
    // That may be from before it got any.
    assert_reweighs(&look.given_back(), PRODUCTION, &all);
    look.gave_back();
    assert_reweighs(&look.call(), TEST, &[(GREEN.to_owned(), 0), (GROUP.to_owned(), 100)]);
    look.test = weights(100, 0);
    assert_eq!(look.call(), deletes(2));
}

#[test]
fn a_rejected_revision_that_is_held_is_left_for_newer_content() {
    let mut look = baking_for(30).rejected();
    look.desired.rollout.breaker.on_failure = OnFailure::Hold;
    assert!(look.waits().contains("a person decides"), "{}", look.waits());
    look.desired = wanted("good:3");
    look.desired.rollout.breaker.on_failure = OnFailure::Hold;
    let all = [(GREEN.to_owned(), 0), (GROUP.to_owned(), 100)];
    assert_reweighs(&look.given_back(), PRODUCTION, &all);
}

#[test]
fn a_rejected_primary_gives_its_place_back_before_it_is_deleted() {
    let mut look = baking_for(30).rejected();
    (look.production, look.test) = (weights(100, 0), weights(100, 0));
    look.gave_back();
    look.sets = vec![set(1, GROUP, "ACTIVE", 100.0), set(2, GREEN, "PRIMARY", 100.0)];
    let Call::UpdateServicePrimaryTaskSet { input } = look.call() else {
        panic!("{:?}", look.plan())
    };
    assert_eq!(input["primaryTaskSet"], "ecs-svc/1");
}

#[test]
fn where_nothing_is_left_to_return_to_a_person_decides() {
    let mut look = baking_for(30).rejected();
    look.sets.remove(0);
    assert!(look.waits().contains("there is nothing to return to"), "{}", look.waits());
}

#[test]
fn a_first_revision_that_was_rejected_is_left_for_newer_content() {
    let mut look = baking_for(30).rejected();
    look.desired = wanted("good:1");
    look.sets = vec![set(2, GREEN, "ACTIVE", 100.0)];
    (look.production, look.healthy) = (weights(0, 100), 4);
    let Call::CreateTaskSet { input } = look.call() else { panic!("{:?}", look.plan()) };
    assert_eq!(input["loadBalancers"][0]["targetGroupArn"], GROUP);
    assert_eq!(input["scale"]["value"], 100.0);
}

#[test]
fn a_look_from_before_the_task_set_that_serves_makes_the_same_content_no_second_time() {
    let token = |look: &Look| match look.call() {
        Call::CreateTaskSet { input } => input["clientToken"].clone(),
        other => panic!("{other:?}"),
    };
    let mut look = before_the_first_step();
    look.tags.remove("evenkeel:rollout");
    look.sets.truncate(1);
    let beside_what_serves = token(&look);
    look.sets.clear();
    assert_eq!(token(&look), beside_what_serves);
    let judged = format!("v1:{}:{}", wanted("good:1").revision_digest, ago(5).as_second());
    look.tags.insert("evenkeel:digest".to_owned(), judged);
    assert_ne!(token(&look), beside_what_serves, "a later rollout of it is another one");
}

#[test]
fn a_task_set_of_somebody_else_stops_everything() {
    let mut look = before_the_first_step();
    let mut theirs = set(3, GREEN, "ACTIVE", 10.0);
    theirs["externalId"] = json!("theirs");
    look.sets.push(theirs);
    assert!(look.waits().contains("ecs-svc/3 is a task set of somebody else"), "{}", look.waits());
}

#[test]
fn what_was_replaced_is_kept_and_then_deleted() {
    let mut look = baking_for(30);
    look.sets = vec![set(1, GROUP, "ACTIVE", 100.0), set(2, GREEN, "PRIMARY", 100.0)];
    (look.production, look.healthy) = (weights(0, 100), 4);
    look.mark("keep1", 200);
    assert!(look.waits().contains("are kept"), "{}", look.waits());
    look.mark("keep1", 301);
    assert_eq!(look.call(), deletes(1));
    look.production = weights(10, 90);
    assert!(look.waits().contains("still gets production traffic"), "{}", look.waits());
}

#[test]
fn one_that_came_to_stand_in_the_same_group_is_deleted_although_the_group_gets_traffic() {
    let mut look = baking_for(30);
    look.sets = vec![set(1, GREEN, "ACTIVE", 100.0), set(2, GREEN, "PRIMARY", 100.0)];
    (look.production, look.healthy) = (weights(0, 100), 4);
    look.mark("keep1", 301);
    assert_eq!(look.call(), Call::DeleteTaskSet { input: about_set(1, "taskSet"), unused: None });
    look.healthy = 3;
    assert!(look.waits().contains("4 tasks are to be healthy"), "{}", look.waits());
}

#[test]
fn a_service_without_task_sets_gets_none_of_what_was_rejected_paused_or_cannot_be_watched() {
    let empty = || Look { sets: Vec::new(), ..before_the_first_step() };
    assert!(matches!(empty().call(), Call::CreateTaskSet { .. }));
    let mut rejected = empty().rejected();
    rejected.tags.remove("evenkeel:rollout");
    assert!(rejected.waits().contains("was rejected"), "{}", rejected.waits());
    let mut paused = empty();
    paused.tags.insert("evenkeel:pause".to_owned(), "a freeze".to_owned());
    assert!(paused.waits().contains("are paused"), "{}", paused.waits());
    let mut watched = empty();
    watched.desired.rollout.breaker.alarms = vec!["5xx".to_owned()];
    assert!(watched.waits().contains("alarm 5xx does not exist"), "{}", watched.waits());
}

/// A web hook is asked before the first step, and has not answered.
fn asked_before_the_first_step() -> Look {
    let mut look = before_the_first_step();
    let hook = Webhook { at: vec![Gate::AfterTestTraffic], ..Webhook::of("https://qa/") };
    look.desired.rollout.analysis =
        Some(Analysis { webhooks: vec![hook], ..Analysis::of(Vec::new()) });
    look
}

/// It has baked for long enough, nobody has asked for anything, and its first step judges these of two metrics.
fn baked_and_judged_by(names: Option<&[&str]>) -> Look {
    let mut look = baking_for(90);
    let most = |name: Option<&str>, source| Metric {
        name: name.map(str::to_owned),
        source,
        condition: Condition::Most(Limit::new(1.0).expect("finite")),
    };
    let (errors, requests) = (MetricSource::ErrorRate, MetricSource::RequestCount);
    look.desired.rollout.analysis =
        Some(Analysis::of(vec![most(None, errors), most(Some("quiet"), requests)]));
    let Strategy::Steps(all) = &mut look.desired.rollout.strategy else { panic!("it has steps") };
    let own = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    all.steps[0].analysis = names.map(own);
    look
}

#[test]
fn a_step_is_judged_by_the_metrics_that_it_names_and_by_all_when_it_names_none() {
    for (names, waits_for) in [
        (None, "errorRate: "),
        (Some(&["errorRate"][..]), "errorRate: "),
        (Some(&["quiet"][..]), "quiet: "),
        (Some(&["requestCount"][..]), "quiet: "),
    ] {
        let waits = baked_and_judged_by(names).waits();
        assert!(waits.contains(waits_for), "{names:?}: {waits}");
        let other = if waits_for == "quiet: " { "errorRate: " } else { "quiet: " };
        assert!(!waits.contains(other), "{names:?}: {waits}");
    }
}

#[test]
fn tasks_that_are_missing_after_the_bake_have_the_breaker_s_clock_and_not_the_gate_s() {
    let mut look = baking_for(7200);
    assert!(!look.plan().actions.is_empty(), "{}", look.plan());
    look.healthy = 0;
    let plan = look.plan();
    assert!(plan.waiting[0].sentence.contains("0 of 1 tasks"), "{plan}");
    assert_eq!(plan.verdict, None);
}

#[test]
fn a_step_that_is_judged_by_no_metric_is_left_after_its_time() {
    let Call::TagResource { tags, .. } = baked_and_judged_by(Some(&[])).call() else {
        panic!("the next step is marked");
    };
    assert!(tags["evenkeel:rollout"].contains(":step1:"), "{tags:?}");
}

#[test]
fn a_slow_start_takes_nothing_of_the_time_of_the_first_gate() {
    let mut look = asked_before_the_first_step();
    look.mark("step0", 2 * 3600);
    let Call::TagResource { tags, .. } = look.call() else { panic!("{}", look.plan()) };
    let opened = format!(":test0:{}", now().as_second());
    assert!(tags["evenkeel:rollout"].ends_with(&opened), "{tags:?}");
    look.mark("test0", 3599);
    assert!(look.waits().contains("step 1 of 2 (10%): web hook https://qa/"), "{}", look.waits());
    look.mark("test0", 3600);
    assert!(look.plan().verdict.is_some_and(|verdict| verdict.sentence.contains("(gateTimeout)")));
}

#[test]
fn the_first_gate_opens_when_tasks_and_test_traffic_are_there() {
    let early = Look { healthy: 0, ..asked_before_the_first_step() };
    assert!(early.waits().contains("0 of 1 tasks"), "{}", early.waits());
    let untested = Look { test: weights(100, 0), ..asked_before_the_first_step() };
    assert_reweighs(&untested.call(), TEST, &weights(0, 100));
}

#[test]
fn a_promotion_at_the_first_gate_is_about_the_first_traffic() {
    let mut look = asked_before_the_first_step();
    look.mark("test0", 5);
    let word = format!("v1:{}:take-1:1790000000:ann:now", look.desired.revision_digest);
    look.tags.insert("evenkeel:promote".to_owned(), word);
    assert_reweighs(&look.call(), PRODUCTION, &weights(900, 100));
}

#[test]
fn a_rejected_revision_gives_no_traffic_to_one_that_was_never_complete() {
    let mut look = baking_for(30).rejected();
    look.sets = vec![set(1, GROUP, "ACTIVE", 100.0), set(2, GREEN, "ACTIVE", 10.0)];
    assert!(look.waits().contains("there is nothing to return to"), "{}", look.waits());
}

/// Two that were wanted before anything was ever complete; the second one has all traffic, and nothing is healthy.
fn two_without_a_primary() -> Look {
    let mut look = before_the_first_step();
    look.sets = vec![set(1, GROUP, "ACTIVE", 100.0), set(2, GREEN, "ACTIVE", 100.0)];
    look.sets[1]["taskDefinition"] = look.sets[0]["taskDefinition"].clone();
    look.tags.remove("evenkeel:rollout");
    let (production, test) = (weights(0, 100), weights(100, 0));
    Look { production, test, healthy_before: 0, healthy: 0, ..look }
}

/// The steps became more since, and what they say of the first of them would give all but a tenth to an empty group.
#[test]
fn a_first_revision_takes_the_last_step_also_of_more_steps_than_it_began_with() {
    for phase in ["step0", "test0", "bake0"] {
        let mut look = before_the_first_step();
        look.sets = vec![set(2, GREEN, "ACTIVE", 100.0)];
        look.mark(phase, 300);
        let look = Look { production: weights(0, 100), healthy: 4, ..look };
        let Call::TagResource { tags, .. } = look.call() else { panic!("{}", look.plan()) };
        assert!(tags["evenkeel:rollout"].contains(":step1:"), "{tags:?}");
    }
}

#[test]
fn what_makes_room_for_newer_content_takes_its_test_traffic_with_it_where_nothing_is_healthy() {
    let call = two_without_a_primary().call();
    let Call::DeleteTaskSet { input, .. } = call else { panic!("{call:?}") };
    assert_eq!(input["taskSet"], "ecs-svc/1");
}

/// Somebody split the rule: the guard lets the newer one's traffic go back to the older, though that is not healthy either.
#[test]
fn of_two_that_both_get_traffic_where_nothing_is_healthy_the_newer_makes_room() {
    let look = Look { production: weights(50, 50), ..two_without_a_primary() };
    let plan = look.plan();
    let Call::ModifyRule { weights: written, .. } = &plan.actions[0].call else { panic!("{plan}") };
    assert!(written.wanted.contains(&(GREEN.to_owned(), 0)), "{written:?}");
    assert_eq!(plan.actions[0].lane, Lane::Rollback);
    assert_eq!(look.broken(plan.actions[0].call.clone(), Lane::Rollback), "");
}

/// Of the newer one healthy tasks were to be left for an older one that had none.
#[test]
fn of_two_that_were_never_complete_the_one_that_serves_nobody_makes_room() {
    for (production, healthy_before, healthy, from) in [
        (weights(50, 50), 0, 4, Some(GROUP)),
        (weights(100, 0), 0, 4, Some(GROUP)),
        (weights(0, 100), 0, 4, None),
        (weights(50, 50), 4, 0, Some(GREEN)),
        (weights(0, 100), 4, 0, Some(GREEN)),
    ] {
        let look = Look { production, healthy_before, healthy, ..two_without_a_primary() };
        let plan = look.plan();
        let action = &plan.actions[0];
        match (&action.call, from) {
            (Call::ModifyRule { weights, .. }, Some(group)) => {
                assert!(weights.wanted.contains(&(group.to_owned(), 0)), "{weights:?}");
                assert_eq!(action.lane, Lane::Rollback);
            }
            (Call::DeleteTaskSet { input, .. }, None) => assert_eq!(input["taskSet"], "ecs-svc/1"),
            (other, _) => panic!("{other:?}"),
        }
        assert_eq!(look.broken(action.call.clone(), action.lane), "");
    }
}

/// A look from before the second one put the third one into its group.
fn two_in_one_group_without_a_primary() -> Look {
    let mut look = two_without_a_primary();
    look.sets.push(set(3, GREEN, "ACTIVE", 100.0));
    look.sets[2]["taskDefinition"] = look.sets[0]["taskDefinition"].clone();
    look
}

/// Nothing was ever rolled out again.
#[test]
fn of_three_that_were_never_complete_those_of_one_group_make_room() {
    for (production, healthy_before, group) in [
        (weights(100, 0), 4, GREEN),
        (weights(100, 0), 0, GREEN),
        (weights(0, 100), 0, GROUP),
        (weights(50, 50), 4, GREEN),
    ] {
        let looks = two_in_one_group_without_a_primary();
        let mut look = Look { production, healthy_before, ..looks };
        for _ in 0..4 {
            match look.plan().actions.swap_remove(0).call {
                Call::ModifyRule { weights, .. } => look.production = weights.wanted,
                Call::DeleteTaskSet { input, .. } => {
                    look.sets.retain(|one| one["id"] != input["taskSet"]);
                }
                _ => break,
            }
        }
        assert!(look.sets.iter().all(|one| one["loadBalancers"][0]["targetGroupArn"] != group));
        let Call::CreateTaskSet { input } = look.call() else { panic!("{}", look.plan()) };
        assert_eq!(input["loadBalancers"][0]["targetGroupArn"], group);
    }
}

/// The revision was rejected when the pause had lasted for `gateTimeout`.
#[test]
fn a_pause_after_a_bake_may_last_and_only_what_is_not_answered_ends_it() {
    let asking = |approve| {
        let mut look = baking_for(600);
        look.tags.insert("evenkeel:pause".to_owned(), "a move".to_owned());
        if let Strategy::Steps(steps) = &mut look.desired.rollout.strategy {
            steps.gate_timeout = Duration::from_mins(1);
            steps.steps[0].approve = approve;
        }
        look
    };
    assert!(asking(false).waits().contains("are paused"), "{}", asking(false).plan());
    let verdict = asking(true).plan().verdict.expect("nobody answered");
    assert!(verdict.sentence.contains("(gateTimeout)"), "{verdict:?}");
}

#[test]
fn tasks_for_the_next_step_are_not_started_while_rollouts_are_paused() {
    let mut look = baking_for(60);
    look.mark("step1", 5);
    assert!(matches!(look.call(), Call::UpdateTaskSet { .. }), "{}", look.plan());
    look.tags.insert("evenkeel:pause".to_owned(), "a move".to_owned());
    assert!(look.waits().contains("are paused"), "{}", look.waits());
}
