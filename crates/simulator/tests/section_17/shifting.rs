//! Beside the checklist: strategies that shift traffic, their stages, hooks and returns (reference
//! page, section 4).

use evenkeel_simulator::Behaviour;
use serde_json::{Value, json};

use super::fixture::{Fixture, MINUTE, seconds};

/// A production rule that knows both groups, and a test listener.
struct Front {
    fixture: Fixture,
    blue: String,
    green: String,
    production: String,
    test: String,
}

fn rule_of(fixture: &Fixture, listener: &Value) -> String {
    let rules = fixture.elb("DescribeRules", json!({"ListenerArn": listener}));
    rules["Rules"][0]["RuleArn"].as_str().unwrap().to_owned()
}

impl Front {
    fn new() -> Self {
        let fixture = Fixture::new();
        let (blue, green) = (fixture.target_group("blue"), fixture.target_group("green"));
        let balancer = fixture.elb("CreateLoadBalancer", json!({"Name": "front"}));
        let balancer = &balancer["LoadBalancers"][0]["LoadBalancerArn"];
        let listener = |port: u16, groups: Value| {
            let forward = json!({"Type": "forward", "ForwardConfig": {"TargetGroups": groups}});
            let input = json!({
                "LoadBalancerArn": balancer, "Port": port, "Protocol": "HTTP",
                "DefaultActions": [forward],
            });
            let reply = fixture.elb("CreateListener", input);
            rule_of(&fixture, &reply["Listeners"][0]["ListenerArn"])
        };
        let weight = |group: &str, weight: u32| json!({"TargetGroupArn": group, "Weight": weight});
        let production = listener(80, json!([weight(&blue, 1), weight(&green, 0)]));
        let test = listener(8080, json!([weight(&blue, 1), weight(&green, 0)]));
        Self { fixture, blue, green, production, test }
    }

    fn balancers(&self) -> Value {
        json!([{
            "targetGroupArn": self.blue, "containerName": "web", "containerPort": 8080,
            "advancedConfiguration": {
                "alternateTargetGroupArn": self.green,
                "productionListenerRule": self.production,
                "testListenerRule": self.test,
                "roleArn": "arn:aws:iam::123456789012:role/infrastructure",
            },
        }])
    }

    /// Two tasks of `web:1` with this deployment configuration.
    fn running(configuration: &Value) -> Self {
        let mut front = Self::new();
        front.fixture.register("web:1");
        let members = json!({
            "loadBalancers": front.balancers(), "deploymentConfiguration": configuration,
        });
        front.fixture.create(2, members);
        front.go_on();
        assert_eq!(front.record()["status"], "SUCCESSFUL");
        front
    }

    fn weights(&self, rule: &str) -> Vec<(String, u64)> {
        let reply = self.fixture.elb("DescribeRules", json!({"RuleArns": [rule]}));
        let groups = &reply["Rules"][0]["Actions"][0]["ForwardConfig"]["TargetGroups"];
        let groups = groups.as_array().cloned().unwrap_or_default();
        groups
            .iter()
            .map(|one| {
                let name = one["TargetGroupArn"].as_str().unwrap().split('/').nth(1).unwrap();
                (name.to_owned(), one["Weight"].as_u64().unwrap())
            })
            .collect()
    }

    fn weight(&self, rule: &str, group: &str) -> u64 {
        let weights = self.weights(rule);
        weights.iter().find(|(name, _)| name == group).map_or(0, |(_, weight)| *weight)
    }

    fn stage(&self) -> String {
        self.record()["lifecycleStage"].as_str().unwrap_or_default().to_owned()
    }

    fn record(&self) -> Value {
        self.fixture.service_deployment()
    }

    /// Second by second, at most an hour.
    fn reaches(&mut self, what: impl Fn(&Value) -> bool) -> bool {
        for _ in 0..3600 {
            if what(&self.record()) {
                return true;
            }
            self.fixture.advance(seconds(1));
        }
        false
    }

    fn reaches_stage(&mut self, stage: &str) -> bool {
        self.reaches(|record| record["lifecycleStage"] == stage)
    }

    fn ends(&mut self, status: &str) -> bool {
        self.reaches(|record| record["status"] == status)
    }

    /// Until a pause waits; whether one does before the deployment ends.
    fn awaits(&mut self) -> bool {
        self.reaches(|record| {
            record["lifecycleHookDetails"][0]["status"] == "AWAITING_ACTION"
                || record["finishedAt"].is_number()
        });
        self.record()["lifecycleHookDetails"][0]["status"] == "AWAITING_ACTION"
    }

    /// Answers the pause that waits; its id.
    fn go_on_once(&self) -> Value {
        let hook = self.record()["lifecycleHookDetails"][0]["hookId"].clone();
        self.answer(&hook, "CONTINUE").unwrap();
        hook
    }

    fn answer(&self, hook: &Value, action: &str) -> Result<Value, String> {
        let arn = &self.record()["serviceDeploymentArn"];
        let input = json!({"serviceDeploymentArn": arn, "hookId": hook, "action": action});
        self.fixture.try_ecs("ContinueServiceDeployment", input).map_err(|error| error.to_string())
    }

    /// Lets every pause pass until the deployment ends; how many there were.
    fn go_on(&mut self) -> usize {
        let mut passed = 0;
        while self.awaits() {
            self.go_on_once();
            passed += 1;
        }
        passed
    }

    fn stop(&self) {
        let arn = self.record()["serviceDeploymentArn"].clone();
        let input = json!({"serviceDeploymentArn": arn, "stopType": "ROLLBACK"});
        self.fixture.ecs("StopServiceDeployment", input);
    }

    /// The production rule gives all to this group.
    fn serves(&self, group: &str) {
        let weight = |name: &str, arn: &str| json!({"TargetGroupArn": arn, "Weight": u8::from(name == group)});
        let groups = json!([weight("blue", &self.blue), weight("green", &self.green)]);
        self.forward(groups);
    }

    /// Changes the production rule, which is the default of its listener.
    fn forward(&self, groups: Value) {
        let listener = self.production.replace(":listener-rule/", ":listener/");
        let listener = listener.rsplit_once('/').unwrap().0;
        let forward = json!({"Type": "forward", "ForwardConfig": {"TargetGroups": groups}});
        let input = json!({"ListenerArn": listener, "DefaultActions": [forward]});
        self.fixture.elb("ModifyListener", input);
    }

    fn images_in(&self, group: &str) -> usize {
        self.fixture.target_states(group).iter().filter(|(state, _)| state == "healthy").count()
    }
}

fn pausing(strategy: &str, stages: &[&str]) -> Value {
    json!({
        "strategy": strategy, "bakeTimeInMinutes": 5,
        "linearConfiguration": {"stepPercent": 40.0, "stepBakeTimeInMinutes": 2},
        "canaryConfiguration": {"canaryPercent": 10.0, "canaryBakeTimeInMinutes": 3},
        "lifecycleHooks": [{
            "targetType": "PAUSE", "lifecycleStages": stages,
            "timeoutConfiguration": {"timeoutInMinutes": 10, "action": "ROLLBACK"},
        }],
    })
}

#[test]
fn green_stands_beside_blue_before_it_gets_traffic_and_blue_leaves_after_the_bake() {
    let mut front = Front::running(&pausing("BLUE_GREEN", &["POST_TEST_TRAFFIC_SHIFT"]));
    // The first deployment went through its stages, too.
    assert_eq!(front.weight(&front.production, "blue"), 100);
    front.fixture.roll_to("web:2");
    assert!(
        front.reaches(|record| record["lifecycleHookDetails"][0]["status"] == "AWAITING_ACTION")
    );
    assert_eq!(front.stage(), "POST_TEST_TRAFFIC_SHIFT");
    assert_eq!((front.images_in(&front.blue), front.images_in(&front.green)), (2, 2));
    assert_eq!(front.weight(&front.production, "green"), 0);
    assert_eq!(front.weight(&front.test, "green"), 100);
    let target = front.record()["targetServiceRevision"].clone();
    assert_eq!(target["requestedTestTrafficWeight"], 100.0);
    assert_eq!(target["requestedProductionTrafficWeight"], 0.0);

    let hook = front.record()["lifecycleHookDetails"][0]["hookId"].clone();
    assert!(hook.as_str().unwrap().starts_with("ecs-pause-"));
    front.answer(&hook, "CONTINUE").unwrap();
    assert!(front.reaches_stage("BAKE_TIME"));
    assert_eq!(front.weight(&front.production, "green"), 100);
    assert_eq!(front.images_in(&front.blue), 2, "blue stays for the bake");
    front.fixture.advance(4 * MINUTE);
    assert_eq!(front.stage(), "BAKE_TIME");
    assert!(front.ends("SUCCESSFUL"));
    assert_eq!((front.images_in(&front.blue), front.images_in(&front.green)), (0, 2));
    assert_eq!(front.fixture.deployments().len(), 1);
}

#[test]
fn a_revision_that_fails_its_checks_has_no_more_tasks_than_maximum_percent() {
    let configuration = json!({"strategy": "BLUE_GREEN", "bakeTimeInMinutes": 5});
    let mut front = Front::running(&configuration);
    front.fixture.script("web:2", Behaviour::answers(500));
    front.fixture.roll_to("web:2");
    let (mut most, mut stopped) = (0, false);
    for _ in 0..900 {
        front.fixture.advance(seconds(1));
        let of_green = |status: &str| {
            let tasks = front.fixture.tasks(status);
            let is_green = |task: &&Value| {
                task["taskDefinitionArn"].as_str().is_some_and(|arn| arn.ends_with("web:2"))
            };
            tasks.iter().filter(is_green).count()
        };
        most = most.max(of_green("RUNNING"));
        stopped |= of_green("STOPPED") > 0;
    }
    assert_eq!((most, stopped), (4, true), "200 % of two, and what fails is replaced");
}

#[test]
fn the_next_deployment_goes_to_the_other_group() {
    let mut front = Front::running(&pausing("BLUE_GREEN", &["PRE_SCALE_UP"]));
    for (image, group) in [("web:2", "green"), ("web:3", "blue")] {
        front.fixture.roll_to(image);
        front.go_on();
        assert_eq!(front.record()["status"], "SUCCESSFUL");
        assert_eq!(front.weight(&front.production, group), 100);
        let arn = front.record()["targetServiceRevision"]["arn"].clone();
        let reply =
            front.fixture.ecs("DescribeServiceRevisions", json!({"serviceRevisionArns": [arn]}));
        let resolved = &reply["serviceRevisions"][0]["resolvedConfiguration"]["loadBalancers"][0];
        assert!(resolved["targetGroupArn"].as_str().unwrap().contains(&format!("/{group}/")));
        let declared = &front.fixture.service()["loadBalancers"][0]["targetGroupArn"];
        assert_eq!(*declared, json!(front.blue), "what is declared stays");
    }
}

#[test]
fn a_linear_deployment_pauses_and_bakes_at_each_step() {
    let mut front = Front::running(&pausing("LINEAR", &["PRE_PRODUCTION_TRAFFIC_SHIFT"]));
    front.fixture.roll_to("web:2");
    let mut ids = Vec::new();
    for (before, after) in [(0, 40), (40, 80), (80, 100)] {
        assert!(
            front
                .reaches(|record| record["lifecycleHookDetails"][0]["status"] == "AWAITING_ACTION")
        );
        assert_eq!(front.stage(), "PRE_PRODUCTION_TRAFFIC_SHIFT");
        assert_eq!(front.weight(&front.production, "green"), before);
        let hook = front.go_on_once();
        ids.push(hook);
        assert_eq!(front.weight(&front.production, "green"), after);
        if after < 100 {
            front.fixture.advance(MINUTE);
            assert_eq!(front.stage(), "PRODUCTION_TRAFFIC_SHIFT", "the step bakes");
        }
    }
    ids.dedup();
    assert_eq!(ids.len(), 3, "each step has a hook of its own");
    assert!(front.ends("SUCCESSFUL"));
}

#[test]
fn a_canary_has_one_step_before_all() {
    let mut front = Front::running(&pausing("CANARY", &["PRE_PRODUCTION_TRAFFIC_SHIFT"]));
    front.fixture.roll_to("web:2");
    let mut shares = Vec::new();
    while front.awaits() {
        front.go_on_once();
        shares.push(front.weight(&front.production, "green"));
    }
    assert_eq!(shares, [10, 100]);
    assert_eq!(front.record()["status"], "SUCCESSFUL");
}

#[test]
fn a_rollback_at_a_hook_takes_the_traffic_back_and_then_the_tasks() {
    let mut front = Front::running(&pausing("CANARY", &["POST_PRODUCTION_TRAFFIC_SHIFT"]));
    front.fixture.roll_to("web:2");
    assert!(
        front.reaches(|record| record["lifecycleHookDetails"][0]["status"] == "AWAITING_ACTION")
    );
    assert_eq!(front.weight(&front.production, "green"), 100);
    let hook = front.record()["lifecycleHookDetails"][0]["hookId"].clone();
    front.answer(&hook, "ROLLBACK").unwrap();
    assert_eq!(front.weight(&front.production, "green"), 0);
    assert_eq!(front.images_in(&front.green), 2, "tasks leave after the traffic");
    assert_eq!(front.record()["status"], "ROLLBACK_IN_PROGRESS");
    assert!(front.ends("ROLLBACK_SUCCESSFUL"));
    assert_eq!((front.images_in(&front.blue), front.images_in(&front.green)), (2, 0));
    assert!(front.fixture.service()["taskDefinition"].as_str().unwrap().ends_with("/web:1"));
    let refused = front.answer(&hook, "CONTINUE").unwrap_err();
    assert!(refused.contains("terminal states"), "{refused}");
}

#[test]
fn a_pause_that_nobody_answers_rolls_back_at_its_end() {
    let mut front = Front::running(&pausing("BLUE_GREEN", &["POST_TEST_TRAFFIC_SHIFT"]));
    front.fixture.roll_to("web:2");
    assert!(front.ends("ROLLBACK_SUCCESSFUL"));
    let reason = front.record()["statusReason"].as_str().unwrap().to_owned();
    assert!(reason.ends_with("POST_TEST_TRAFFIC_SHIFT pause hook timed out."), "{reason}");
    assert_eq!(front.weight(&front.test, "green"), 0);
}

#[test]
fn a_hook_is_answered_once() {
    let mut front = Front::running(&pausing("BLUE_GREEN", &["POST_TEST_TRAFFIC_SHIFT"]));
    front.fixture.roll_to("web:2");
    assert!(
        front.reaches(|record| record["lifecycleHookDetails"][0]["status"] == "AWAITING_ACTION")
    );
    let hook = front.go_on_once();
    let again = front.answer(&hook, "CONTINUE").unwrap_err();
    assert!(again.contains("either completed, unavailable"), "{again}");
    let odd = front.answer(&json!("pause-1"), "CONTINUE").unwrap_err();
    assert!(odd.contains("ecs-{hookType}-{id}"), "{odd}");
}

#[test]
fn a_stop_returns_until_blue_leaves() {
    let mut front = Front::running(&pausing("BLUE_GREEN", &["PRE_SCALE_UP"]));
    front.fixture.roll_to("web:2");
    assert!(
        front.reaches(|record| record["lifecycleHookDetails"][0]["status"] == "AWAITING_ACTION")
    );
    front.stop();
    assert!(front.ends("ROLLBACK_SUCCESSFUL"));
    front.fixture.roll_to("web:3");
    assert!(
        front.reaches(|record| record["lifecycleHookDetails"][0]["status"] == "AWAITING_ACTION")
    );
    front.go_on_once();
    assert!(front.reaches_stage("CLEAN_UP"));
    front.stop();
    assert!(front.ends("SUCCESSFUL"), "too late");
}

#[test]
fn a_deployment_over_one_that_shifts_reconciles_first() {
    let mut front = Front::running(&pausing("LINEAR", &["PRE_PRODUCTION_TRAFFIC_SHIFT"]));
    front.fixture.roll_to("web:2");
    assert!(
        front.reaches(|record| record["lifecycleHookDetails"][0]["status"] == "AWAITING_ACTION")
    );
    front.go_on_once();
    assert_eq!(front.weight(&front.production, "green"), 40);
    front.fixture.roll_to("web:3");
    assert!(front.reaches_stage("RECONCILE_SERVICE"));
    assert_eq!(front.weight(&front.production, "green"), 0);
    assert_eq!(front.go_on(), 3);
    assert_eq!(front.record()["status"], "SUCCESSFUL");
    assert_eq!(front.weight(&front.production, "green"), 100);
    assert_eq!(front.images_in(&front.green), 2);
}

#[test]
fn what_a_shift_leaves_stands_until_it_is_over_though_it_was_never_complete_and_lost_its_tasks() {
    let mut front = Front::new();
    front.fixture.register("web:1");
    let members = json!({
        "loadBalancers": front.balancers(),
        "deploymentConfiguration": pausing("BLUE_GREEN", &["POST_TEST_TRAFFIC_SHIFT"]),
    });
    front.fixture.create(1, members);
    assert!(front.awaits());
    front.fixture.roll_to("web:2");
    assert!(front.awaits());
    assert_eq!((front.images_in(&front.blue), front.images_in(&front.green)), (1, 1));

    let until = front.fixture.simulation.now() + 2 * MINUTE;
    front.fixture.simulation.region().inject(evenkeel_simulator::Fault::CapacityLoss { until });
    let blue =
        front.fixture.tasks("RUNNING").into_iter().find(|task| {
            task["taskDefinitionArn"].as_str().is_some_and(|arn| arn.ends_with("web:1"))
        });
    let input = json!({"cluster": "main", "task": blue.expect("blue has a task")["taskArn"]});
    front.fixture.ecs("StopTask", input);
    front.fixture.advance(MINUTE);
    assert_eq!(front.fixture.deployments().len(), 2, "blue cannot start, and is still blue");
    front.fixture.advance(3 * MINUTE);
    assert_eq!(front.images_in(&front.blue), 1);
    assert!(front.ends("ROLLBACK_SUCCESSFUL"), "nobody opens the gate");
    assert_eq!(front.weight(&front.production, "blue"), 100);
}

#[test]
fn what_replaces_nothing_gets_traffic_when_that_is_shifted_and_not_before() {
    let mut front = Front::new();
    front.fixture.register("web:1");
    // As an earlier service of this front left it.
    front.serves("green");
    let until = front.fixture.simulation.now() + 10 * MINUTE;
    front.fixture.simulation.region().inject(evenkeel_simulator::Fault::CapacityLoss { until });
    let stages = ["POST_TEST_TRAFFIC_SHIFT", "PRE_PRODUCTION_TRAFFIC_SHIFT"];
    let members = json!({
        "loadBalancers": front.balancers(), "deploymentConfiguration": pausing("CANARY", &stages),
    });
    front.fixture.create(1, members);
    assert!(front.reaches_stage("SCALE_UP"));
    front.fixture.roll_to("web:2");
    front.fixture.roll_to("web:3");
    assert!(front.reaches_stage("SCALE_UP"), "two are left over, and neither has tasks");
    let shares =
        |front: &Front| [&front.production, &front.test].map(|rule| front.weight(rule, "blue"));
    assert_eq!(shares(&front)[0], 0, "nobody is there to serve");
    for _ in stages {
        assert!(front.awaits());
        assert_eq!(shares(&front), [0, 100]);
        front.go_on_once();
    }
    assert_eq!(shares(&front), [100, 100], "there is nobody else to be spared");
    assert!(front.ends("SUCCESSFUL"));
}

#[test]
fn what_a_return_ended_at_is_replaced_step_by_step_though_it_lost_its_tasks() {
    let mut front = Front::new();
    front.fixture.register("web:1");
    let members = json!({
        "loadBalancers": front.balancers(),
        "deploymentConfiguration": pausing("CANARY", &["PRE_PRODUCTION_TRAFFIC_SHIFT"]),
    });
    front.fixture.create(1, members);
    assert!(front.awaits());
    front.fixture.roll_to("web:2");
    assert!(front.awaits());
    front.stop();
    assert!(front.ends("ROLLBACK_SUCCESSFUL"));
    assert_eq!(front.fixture.deployments()[0]["rolloutState"], "COMPLETED");

    let until = front.fixture.simulation.now() + 2 * MINUTE;
    front.fixture.simulation.region().inject(evenkeel_simulator::Fault::CapacityLoss { until });
    let task = front.fixture.tasks("RUNNING")[0]["taskArn"].clone();
    front.fixture.ecs("StopTask", json!({"cluster": "main", "task": task}));
    front.fixture.advance(MINUTE);
    front.fixture.roll_to("web:3");
    let mut shares = Vec::new();
    while front.awaits() {
        front.go_on_once();
        shares.push(front.weight(&front.production, "green"));
    }
    assert_eq!(shares, [10, 100]);
    assert_eq!(front.record()["status"], "SUCCESSFUL");
}

#[test]
fn a_red_alarm_returns_in_any_stage() {
    let mut configuration = pausing("BLUE_GREEN", &["PRE_SCALE_UP"]);
    configuration["alarms"] = json!({"alarmNames": ["errors"], "enable": true, "rollback": true});
    let mut front = Front::running(&configuration);
    front.fixture.cloudwatch(
        "PutMetricAlarm",
        json!({
            "AlarmName": "errors", "Namespace": "app", "MetricName": "errors", "Statistic": "Sum",
            "Period": 60, "EvaluationPeriods": 1, "Threshold": 5,
            "ComparisonOperator": "GreaterThanThreshold", "TreatMissingData": "notBreaching",
        }),
    );
    front.fixture.roll_to("web:2");
    assert!(
        front.reaches(|record| record["lifecycleHookDetails"][0]["status"] == "AWAITING_ACTION")
    );
    front.go_on_once();
    assert!(front.reaches_stage("BAKE_TIME"));
    let state = json!({"AlarmName": "errors", "StateValue": "ALARM", "StateReason": "test"});
    front.fixture.cloudwatch("SetAlarmState", state);
    assert!(front.ends("ROLLBACK_SUCCESSFUL"));
    assert_eq!(front.weight(&front.production, "blue"), 100);
}

#[test]
fn rules_that_cannot_work_are_refused_at_once_or_end_the_deployment() {
    let front = Front::new();
    front.fixture.register("web:1");
    let create = |change: &dyn Fn(&mut Value)| {
        let mut balancers = front.balancers();
        change(&mut balancers[0]);
        let input = json!({
            "cluster": "main", "serviceName": "web", "taskDefinition": "web", "desiredCount": 1,
            "launchType": "FARGATE", "loadBalancers": balancers,
            "networkConfiguration": {"awsvpcConfiguration": {"subnets": ["subnet-1"]}},
            "deploymentConfiguration": {"strategy": "BLUE_GREEN"},
        });
        front.fixture.try_ecs("CreateService", input).unwrap_err().to_string()
    };
    let refused = [
        create(&|one| one["advancedConfiguration"]["alternateTargetGroupArn"] = json!(front.blue)),
        create(&|one| one["advancedConfiguration"]["testListenerRule"] = json!(front.production)),
        create(&|one| one["advancedConfiguration"]["productionListenerRule"] = json!("listener")),
        create(&|one| one["advancedConfiguration"] = Value::Null),
    ];
    let parts = [
        "Duplicate targetGroupArn",
        "both production and test",
        "invalid ARN format",
        "is required for all",
    ];
    for (text, part) in refused.iter().zip(parts) {
        assert!(text.contains(part), "{text}");
    }

    let mut front = Front::running(&json!({"strategy": "BLUE_GREEN"}));
    let both = |group: &str| json!({"TargetGroupArn": group, "Weight": 50});
    let reply = front.fixture.elb("DescribeRules", json!({"RuleArns": [front.production]}));
    assert_eq!(reply["Rules"][0]["IsDefault"], true);
    front.forward(json!([both(&front.blue), both(&front.green)]));
    front.fixture.roll_to("web:2");
    assert!(front.ends("ROLLBACK_SUCCESSFUL"));
    let reason = front.record()["statusReason"].as_str().unwrap().to_owned();
    assert!(reason.contains("exactly one target group serving traffic but found 2"), "{reason}");
}

#[test]
fn a_service_may_change_its_strategy_and_keeps_its_group() {
    let mut front = Front::running(&pausing("BLUE_GREEN", &["PRE_SCALE_UP"]));
    front.fixture.roll_to("web:2");
    front.go_on();
    assert_eq!(front.weight(&front.production, "green"), 100);
    front.fixture.update(json!({"deploymentConfiguration": {"strategy": "ROLLING"}}));
    front.fixture.roll_to("web:3");
    assert!(front.fixture.settle());
    assert_eq!((front.images_in(&front.blue), front.images_in(&front.green)), (0, 2));
    assert_eq!(front.weight(&front.production, "green"), 100);
}

#[test]
fn what_is_scaled_in_mid_shift_is_scaled_on_both_sides() {
    let mut front = Front::running(&pausing("BLUE_GREEN", &["POST_TEST_TRAFFIC_SHIFT"]));
    front.fixture.roll_to("web:2");
    assert!(
        front.reaches(|record| record["lifecycleHookDetails"][0]["status"] == "AWAITING_ACTION")
    );
    front.fixture.update(json!({"desiredCount": 3}));
    front.fixture.advance(3 * MINUTE);
    assert_eq!((front.images_in(&front.blue), front.images_in(&front.green)), (3, 3));
}

#[test]
fn crashing_green_is_replaced_and_not_judged_by_ecs() {
    let mut configuration = pausing("BLUE_GREEN", &["POST_TEST_TRAFFIC_SHIFT"]);
    configuration["deploymentCircuitBreaker"] = json!({"enable": true, "rollback": true});
    let mut front = Front::running(&configuration);
    front.fixture.script("web:bad", Behaviour::crashes(seconds(5), 1));
    front.fixture.roll_to("web:bad");
    front.fixture.advance(30 * MINUTE);
    assert_eq!(front.stage(), "SCALE_UP");
    assert_eq!(front.record()["status"], "IN_PROGRESS");
}

#[test]
fn weights_that_somebody_sets_are_true_of_the_service_at_once() {
    let front = Front::running(&json!({"strategy": "BLUE_GREEN"}));
    let balancers = front.fixture.elb("DescribeLoadBalancers", json!({"Names": ["front"]}));
    let arn = &balancers["LoadBalancers"][0]["LoadBalancerArn"];
    let listeners = front.fixture.elb("DescribeListeners", json!({"LoadBalancerArn": arn}));
    let production =
        listeners["Listeners"].as_array().unwrap().iter().find(|one| one["Port"] == 80);
    drop(front.fixture.simulation.region().take_changes());
    let weights = json!([
        {"TargetGroupArn": front.blue, "Weight": 3}, {"TargetGroupArn": front.green, "Weight": 1},
    ]);
    let forward = json!([{"Type": "forward", "ForwardConfig": {"TargetGroups": weights}}]);
    let listener = &production.unwrap()["ListenerArn"];
    front
        .fixture
        .elb("ModifyListener", json!({"ListenerArn": listener, "DefaultActions": forward}));
    let changes = front.fixture.simulation.region().take_changes();
    let shares: Vec<_> = changes.iter().map(|one| one.deployments[0].share).collect();
    assert_eq!(shares, [Some(750)]);
}
