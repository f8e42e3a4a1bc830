//! Beside the checklist: services that CodeDeploy deploys, and their deployments (reference page,
//! section 6).

mod ends;
mod hooks;

use std::time::Duration;

use evenkeel_simulator::{ApiError, Behaviour};
use serde_json::{Value, json};

use super::fixture::{Fixture, MINUTE, behind, over, seconds};

const HOUR: Duration = Duration::from_hours(1);

/// Two tasks of `web:1` in group `blue`, behind a production and a test listener.
struct Front {
    fixture: Fixture,
    production: Value,
    test: Value,
    blue: String,
    green: String,
}

impl Front {
    /// Without a deployment group.
    fn ungrouped() -> Self {
        let mut fixture = Fixture::new();
        let (blue, green) = (fixture.target_group("blue"), fixture.target_group("green"));
        let balancer = fixture.elb("CreateLoadBalancer", json!({"Name": "front"}));
        let balancer = &balancer["LoadBalancers"][0]["LoadBalancerArn"];
        let listener = |port: u16| {
            let input = json!({
                "LoadBalancerArn": balancer, "Port": port, "Protocol": "HTTP",
                "DefaultActions": [{"Type": "forward", "TargetGroupArn": blue}],
            });
            fixture.elb("CreateListener", input)["Listeners"][0]["ListenerArn"].clone()
        };
        let (production, test) = (listener(80), listener(8080));
        fixture.register("web:1");
        fixture.create(
            2,
            json!({
                "deploymentController": {"type": "CODE_DEPLOY"}, "loadBalancers": behind(&blue),
                "platformVersion": "1.4.0",
            }),
        );
        assert!(
            fixture.until(|service| service["taskSets"][0]["stabilityStatus"] == "STEADY_STATE")
        );
        fixture.code_deploy(
            "CreateApplication",
            json!({"applicationName": "shop", "computePlatform": "ECS"}),
        );
        Self { fixture, production, test, blue, green }
    }

    /// With a group that deletes blue five minutes after, and these members.
    fn new(change: Value) -> Self {
        let front = Self::ungrouped();
        front.try_group(change).unwrap();
        front
    }

    fn try_group(&self, change: Value) -> Result<Value, ApiError> {
        let input = json!({
            "applicationName": "shop", "deploymentGroupName": "web",
            "serviceRoleArn": "arn:aws:iam::123456789012:role/deploys",
            "ecsServices": [{"serviceName": "web", "clusterName": "main"}],
            "deploymentStyle": {
                "deploymentType": "BLUE_GREEN", "deploymentOption": "WITH_TRAFFIC_CONTROL",
            },
            "loadBalancerInfo": {"targetGroupPairInfoList": [{
                "targetGroups": [{"name": "blue"}, {"name": "green"}],
                "prodTrafficRoute": {"listenerArns": [self.production]},
            }]},
            "blueGreenDeploymentConfiguration": waiting(&json!({
                "actionOnTimeout": "CONTINUE_DEPLOYMENT",
            })),
        });
        self.fixture.try_code_deploy("CreateDeploymentGroup", over(input, change))
    }

    /// With a test route.
    fn tested(&self) -> Value {
        json!({"targetGroupPairInfoList": [{
            "targetGroups": [{"name": "blue"}, {"name": "green"}],
            "prodTrafficRoute": {"listenerArns": [self.production]},
            "testTrafficRoute": {"listenerArns": [self.test]},
        }]})
    }

    fn try_deploy(&self, image: &str, change: Value) -> Result<String, ApiError> {
        let arn = self.fixture.register(image);
        let input = json!({
            "applicationName": "shop", "deploymentGroupName": "web",
            "revision": revision(&arn),
        });
        let reply = self.fixture.try_code_deploy("CreateDeployment", over(input, change))?;
        Ok(reply["deploymentId"].as_str().unwrap().to_owned())
    }

    fn deploy(&self, image: &str) -> String {
        self.try_deploy(image, json!({})).unwrap()
    }

    fn info(&self, id: &str) -> Value {
        let input = json!({"deploymentId": id});
        self.fixture.code_deploy("GetDeployment", input)["deploymentInfo"].clone()
    }

    /// `null` before it has started.
    fn target(&self, id: &str) -> Value {
        let named = json!({"deploymentId": id});
        let targets = match self.fixture.try_code_deploy("ListDeploymentTargets", named) {
            Err(error) if error.code == "DeploymentNotStartedException" => return Value::Null,
            targets => targets.unwrap(),
        };
        let input = json!({"deploymentId": id, "targetIds": targets["targetIds"]});
        let reply = self.fixture.code_deploy("BatchGetDeploymentTargets", input);
        reply["deploymentTargets"][0]["ecsTarget"].clone()
    }

    /// The status of one lifecycle event.
    fn event(&self, id: &str, name: &str) -> String {
        let target = self.target(id);
        let mut events = target["lifecycleEvents"].as_array().into_iter().flatten();
        let event = events.find(|event| event["lifecycleEventName"] == name);
        event.map_or_else(|| "none".to_owned(), |one| one["status"].as_str().unwrap().to_owned())
    }

    /// Second by second, at most three hours.
    fn reaches(&mut self, what: impl Fn(&Self) -> bool) -> bool {
        for _ in 0..10_800 {
            if what(self) {
                return true;
            }
            self.fixture.advance(seconds(1));
        }
        false
    }

    fn ends(&mut self, id: &str, status: &str) -> bool {
        self.reaches(|front| !front.info(id)["completeTime"].is_null())
            && self.info(id)["status"] == status
    }

    /// Until that event has succeeded.
    fn passes(&mut self, id: &str, event: &str) {
        assert!(self.reaches(|front| front.event(id, event) == "Succeeded"), "{event}");
    }

    fn stop(&self, id: &str, change: Value) {
        let input = over(json!({"deploymentId": id}), change);
        assert_eq!(self.fixture.code_deploy("StopDeployment", input)["status"], "Pending");
    }

    fn go_on(&self, id: &str, wait: &str) -> Result<Value, ApiError> {
        let input = json!({"deploymentId": id, "deploymentWaitType": wait});
        self.fixture.try_code_deploy("ContinueDeployment", input)
    }

    /// What the default rule of a listener gives the group.
    fn weight(&self, listener: &Value, group: &str) -> u64 {
        let reply = self.fixture.elb("DescribeListeners", json!({"ListenerArns": [listener]}));
        weight_in(&reply["Listeners"][0]["DefaultActions"][0], group)
    }

    /// Of blue and green.
    fn weights(&self) -> (u64, u64) {
        (self.weight(&self.production, &self.blue), self.weight(&self.production, &self.green))
    }

    fn sets(&self) -> Vec<Value> {
        self.fixture.service()["taskSets"].as_array().unwrap().clone()
    }

    /// The image that the PRIMARY task set runs.
    fn serves(&self) -> String {
        let definition = self.fixture.service()["taskDefinition"].clone();
        let input = json!({"taskDefinition": definition});
        let reply = self.fixture.ecs("DescribeTaskDefinition", input);
        let image = &reply["taskDefinition"]["containerDefinitions"][0]["image"];
        image.as_str().unwrap().to_owned()
    }

    fn running(&self) -> Vec<Value> {
        let mut arns: Vec<Value> = self
            .fixture
            .tasks("RUNNING")
            .iter()
            .map(|task| json!([task["taskArn"], task["startedBy"]]))
            .collect();
        arns.sort_by_key(Value::to_string);
        arns
    }
}

fn weight_in(action: &Value, group: &str) -> u64 {
    let groups = action["ForwardConfig"]["TargetGroups"].as_array().unwrap();
    let found = groups.iter().find(|one| one["TargetGroupArn"] == group);
    found.map_or(0, |one| one["Weight"].as_u64().unwrap())
}

fn waiting(ready: &Value) -> Value {
    json!({
        "terminateBlueInstancesOnDeploymentSuccess": {
            "action": "TERMINATE", "terminationWaitTimeInMinutes": 5,
        },
        "deploymentReadyOption": ready,
    })
}

fn content(definition: &str) -> String {
    let service = json!({"Type": "AWS::ECS::Service", "Properties": {
        "TaskDefinition": definition,
        "LoadBalancerInfo": {"ContainerName": "web", "ContainerPort": 8080},
    }});
    json!({"version": 0.0, "Resources": [{"TargetService": service}]}).to_string()
}

fn revision(definition: &str) -> Value {
    json!({"revisionType": "AppSpecContent", "appSpecContent": {"content": content(definition)}})
}

fn rolling_back(events: &[&str]) -> Value {
    json!({"autoRollbackConfiguration": {"enabled": true, "events": events}})
}

#[test]
fn a_service_of_code_deploy_has_a_primary_task_set_and_no_deployments() {
    let front = Front::ungrouped();
    let service = front.fixture.service();
    assert_eq!(service["deployments"], json!([]));
    let set = &service["taskSets"][0];
    assert_eq!((&set["status"], &set["computedDesiredCount"]), (&json!("PRIMARY"), &json!(2)));
    assert!(set["startedBy"].is_null() && set["externalId"].is_null(), "CreateService made it");
    let refused = json!({"cluster": "main", "service": "web"});
    let error = front.fixture.try_ecs("DescribeTaskSets", refused).unwrap_err();
    assert!(error.message.contains("external deployment controllers"), "{error}");
}

#[test]
fn green_stands_in_the_other_group_before_it_gets_all_traffic_and_blue_leaves_after_the_wait() {
    let mut front = Front::new(json!({}));
    let id = front.deploy("web:2");
    assert_eq!(front.info(&id)["status"], "Created");
    assert_eq!(front.target(&id), Value::Null);
    assert!(front.reaches(|front| front.sets().len() == 2));
    let green = front.sets()[1].clone();
    assert_eq!((&green["startedBy"], &green["externalId"]), (&json!("CODE_DEPLOY"), &json!(id)));
    assert_eq!(green["loadBalancers"][0]["targetGroupArn"], front.green);
    assert_eq!((green["status"].as_str(), front.weights()), (Some("ACTIVE"), (100, 0)));

    front.passes(&id, "Install");
    assert_eq!(front.sets()[1]["stabilityStatus"], "STEADY_STATE");
    assert_eq!((front.weights(), front.serves()), ((100, 0), "web:1".to_owned()));
    front.passes(&id, "AllowTraffic");
    assert_eq!((front.weights(), front.serves()), ((0, 1), "web:1".to_owned()));
    front.passes(&id, "AfterAllowTraffic");
    assert_eq!(front.serves(), "web:2");
    assert_eq!(front.info(&id)["instanceTerminationWaitTimeStarted"], true);
    front.fixture.advance(4 * MINUTE);
    assert_eq!((front.sets().len(), &front.info(&id)["status"]), (2, &json!("InProgress")));
    assert!(front.ends(&id, "Succeeded"));
    assert_eq!(front.sets()[0]["status"], "DRAINING");
    assert!(front.reaches(|front| front.sets().len() == 1));
    assert_eq!(front.sets()[0]["status"], "PRIMARY");
}

#[test]
fn the_next_deployment_goes_back_to_the_group_that_was_left() {
    let mut front = Front::new(json!({}));
    let id = front.deploy("web:2");
    assert!(front.ends(&id, "Succeeded"));
    let id = front.deploy("web:3");
    assert!(front.ends(&id, "Succeeded"));
    assert_eq!((front.weights(), front.serves()), ((1, 0), "web:3".to_owned()));
}

#[test]
fn a_canary_waits_at_its_share_and_a_linear_config_takes_its_steps() {
    let mut front = Front::new(json!({
        "deploymentConfigName": "CodeDeployDefault.ECSCanary10Percent5Minutes",
    }));
    let id = front.deploy("web:2");
    assert!(front.reaches(|front| front.weights() == (90, 10)));
    let sets = front.target(&id)["taskSetsInfo"].clone();
    assert_eq!(
        (&sets[0]["taskSetLabel"], &sets[0]["trafficWeight"]),
        (&json!("Blue"), &json!(90.0))
    );
    assert_eq!(sets[1]["targetGroup"]["name"], "green");
    assert_eq!(sets[1]["identifer"], front.sets()[1]["id"]);
    front.fixture.advance(Duration::from_secs(290));
    assert_eq!(front.weights(), (90, 10));
    front.fixture.advance(seconds(15));
    assert_eq!(front.weights(), (0, 100));
    assert!(front.ends(&id, "Succeeded"));

    let routing = json!({
        "type": "TimeBasedLinear",
        "timeBasedLinear": {"linearPercentage": 40, "linearInterval": 2},
    });
    let config = json!({
        "deploymentConfigName": "steps", "computePlatform": "ECS", "trafficRoutingConfig": routing,
    });
    front.fixture.code_deploy("CreateDeploymentConfig", config);
    let id = front.try_deploy("web:3", json!({"deploymentConfigName": "steps"})).unwrap();
    for weights in [(40, 60), (80, 20), (100, 0)] {
        assert!(front.reaches(|front| front.weights() == weights), "{weights:?}");
    }
    assert_eq!(front.info(&id)["deploymentConfigName"], "steps");
}

#[test]
fn rules_that_forward_to_blue_move_and_others_stay() {
    let mut front = Front::new(json!({}));
    let other = front.fixture.target_group("other");
    let rule = |priority: u32, group: &str| {
        let input = json!({
            "ListenerArn": front.production, "Priority": priority,
            "Conditions": [{"Field": "path-pattern", "Values": ["/x"]}],
            "Actions": [{"Type": "forward", "TargetGroupArn": group}],
        });
        front.fixture.elb("CreateRule", input)["Rules"][0]["RuleArn"].clone()
    };
    let (ours, theirs) = (rule(1, &front.blue), rule(2, &other));
    let id = front.deploy("web:2");
    assert!(front.ends(&id, "Succeeded"));
    let action = |arn: &Value| {
        let reply = front.fixture.elb("DescribeRules", json!({"RuleArns": [arn]}));
        reply["Rules"][0]["Actions"][0].clone()
    };
    assert_eq!(weight_in(&action(&ours), &front.green), 1);
    assert_eq!(weight_in(&action(&theirs), &other), 1);
}

#[test]
fn test_traffic_goes_to_green_before_production_traffic_does_and_comes_back_with_it() {
    let front = Front::ungrouped();
    front.try_group(json!({"loadBalancerInfo": front.tested()})).unwrap();
    let mut front = front;
    let id = front.deploy("web:2");
    front.passes(&id, "AfterAllowTestTraffic");
    assert_eq!(front.weight(&front.test, &front.green), 1);
    assert_eq!(front.weights(), (100, 0));
    assert!(front.ends(&id, "Succeeded"));

    let id = front.deploy("web:3");
    front.passes(&id, "AllowTestTraffic");
    assert_eq!(front.weight(&front.test, &front.blue), 1);
    front.stop(&id, json!({"autoRollbackEnabled": true}));
    assert!(front.ends(&id, "Stopped"));
    let back = front.info(&id)["rollbackInfo"]["rollbackDeploymentId"].clone();
    assert!(front.ends(back.as_str().unwrap(), "Succeeded"));
    assert_eq!(front.weight(&front.test, &front.green), 1, "a rollback takes it back, too");
}

#[test]
fn a_group_may_wait_for_a_word_before_traffic_moves_and_stops_without_one() {
    let ready = json!({"actionOnTimeout": "STOP_DEPLOYMENT", "waitTimeInMinutes": 30});
    let mut front = Front::new(json!({"blueGreenDeploymentConfiguration": waiting(&ready)}));
    let id = front.deploy("web:2");
    let early = front.go_on(&id, "READY_WAIT").unwrap_err();
    assert_eq!(early.code, "DeploymentIsNotInReadyStateException");
    assert!(front.reaches(|front| front.info(&id)["status"] == "Ready"));
    assert_eq!((front.weights(), &front.target(&id)["status"]), ((100, 0), &json!("Ready")));
    front.go_on(&id, "READY_WAIT").unwrap();
    assert_eq!(front.info(&id)["status"], "InProgress");
    assert!(front.ends(&id, "Succeeded"));

    let id = front.deploy("web:3");
    assert!(front.reaches(|front| front.info(&id)["status"] == "Ready"));
    front.fixture.advance(31 * MINUTE);
    assert_eq!(front.info(&id)["status"], "Stopped");
    assert_eq!(front.serves(), "web:2");
}

#[test]
fn the_wait_for_the_end_of_blue_can_be_cut_short() {
    let mut front = Front::new(json!({}));
    let id = front.deploy("web:2");
    let early = front.go_on(&id, "TERMINATION_WAIT").unwrap_err();
    assert_eq!(early.code, "InvalidDeploymentStatusException");
    front.passes(&id, "AfterAllowTraffic");
    front.go_on(&id, "TERMINATION_WAIT").unwrap();
    front.fixture.advance(seconds(2));
    assert_eq!(front.info(&id)["status"], "Succeeded");
}

#[test]
fn a_group_has_one_deployment_at_a_time_and_a_service_one_group() {
    let front = Front::new(json!({}));
    let id = front.deploy("web:2");
    let error = front.try_deploy("web:3", json!({})).unwrap_err();
    assert_eq!(error.code, "DeploymentLimitExceededException");
    assert!(error.message.contains(&id), "{error}");
    let error = front.try_group(json!({"deploymentGroupName": "other"})).unwrap_err();
    assert_eq!(error.code, "ECSServiceMappingLimitExceededException");
    let named = json!({"applicationName": "shop", "deploymentGroupName": "web"});
    let group =
        front.fixture.code_deploy("GetDeploymentGroup", named)["deploymentGroupInfo"].clone();
    assert_eq!(group["lastAttemptedDeployment"]["deploymentId"], json!(id));
    let ready = &group["blueGreenDeploymentConfiguration"]["deploymentReadyOption"];
    assert_eq!(ready["waitTimeInMinutes"], 0, "though nothing was said of it");
    let found = front.fixture.simulation.region().deployment_group_of("main", "web");
    assert_eq!(found, Some(("shop".to_owned(), "web".to_owned())));
}

#[test]
fn a_revision_is_told_by_its_digest_alone_and_a_wrong_digest_is_refused() {
    let front = Front::new(json!({}));
    let wrong = json!({"content": content("web:1"), "sha256": "0".repeat(64)});
    let wrong = json!({"revisionType": "AppSpecContent", "appSpecContent": wrong});
    let cases = [
        (json!({"revision": wrong}), "InvalidRevisionException"),
        (json!({"revision": null}), "RevisionRequiredException"),
        (json!({"revision": {"revisionType": "S3"}}), "InvalidRevisionException"),
        (json!({"applicationName": "none"}), "ApplicationDoesNotExistException"),
        (json!({"deploymentGroupName": "none"}), "DeploymentGroupDoesNotExistException"),
        (json!({"deploymentConfigName": "none"}), "DeploymentConfigDoesNotExistException"),
    ];
    for (change, code) in cases {
        assert_eq!(front.try_deploy("web:2", change).unwrap_err().code, code);
    }
    let id = front.deploy("web:2");
    let content = front.info(&id)["revision"]["appSpecContent"].clone();
    assert_eq!(content["sha256"].as_str().map(str::len), Some(64));
    assert!(content["content"].is_null());
    let error = front.fixture.try_code_deploy("GetDeployment", json!({"deploymentId": "d-NONE"}));
    assert_eq!(error.unwrap_err().code, "DeploymentDoesNotExistException");
}

#[test]
fn deployments_are_listed_newest_first_by_status_and_time() {
    let mut front = Front::new(json!({}));
    let first = front.deploy("web:2");
    assert!(front.ends(&first, "Succeeded"));
    let then = front.info(&first)["completeTime"].clone();
    let second = front.deploy("web:3");
    let list = |change: Value| {
        let group = json!({"applicationName": "shop", "deploymentGroupName": "web"});
        front.fixture.code_deploy("ListDeployments", over(group, change))
    };
    assert_eq!(list(json!({}))["deployments"], json!([second, first]));
    let running = list(json!({"includeOnlyStatuses": ["Created", "InProgress"]}));
    assert_eq!(running["deployments"], json!([second]));
    let early = list(json!({"createTimeRange": {"end": then}}));
    assert_eq!(early["deployments"], json!([first]));
    let page = list(json!({"maxResults": 1}));
    assert_eq!(page["deployments"], json!([second]));
    let rest = list(json!({"maxResults": 1, "nextToken": page["nextToken"]}));
    assert_eq!((&rest["deployments"], &rest["nextToken"]), (&json!([first]), &Value::Null));
    let ids = json!({"deploymentIds": [first, second]});
    let both = front.fixture.code_deploy("BatchGetDeployments", ids);
    assert_eq!(both["deploymentsInfo"].as_array().map(Vec::len), Some(2));
}

#[test]
fn both_task_sets_are_scaled_while_a_deployment_waits() {
    let mut front = Front::new(json!({}));
    let id = front.deploy("web:2");
    front.passes(&id, "AllowTraffic");
    front.fixture.update(json!({"desiredCount": 3}));
    front.fixture.advance(2 * MINUTE);
    let running: Vec<Value> = front.sets().iter().map(|set| set["runningCount"].clone()).collect();
    assert_eq!(running, [3, 3]);
}

#[test]
fn a_service_moves_to_ecs_with_its_tasks_but_never_during_a_deployment() {
    let mut front = Front::new(json!({}));
    let id = front.deploy("web:2");
    front.fixture.advance(seconds(10));
    let to_ecs = json!({"deploymentController": {"type": "ECS"}});
    let error = front.fixture.try_update(to_ecs.clone()).unwrap_err();
    assert!(error.message.contains("during an ongoing service deployment"), "{error}");
    assert!(front.ends(&id, "Succeeded"));
    assert!(front.reaches(|front| front.sets().len() == 1));
    let (before, set) = (front.running(), front.sets()[0]["id"].clone());
    front.fixture.update(to_ecs);
    let primary = front.fixture.primary();
    assert_eq!((&primary["id"], &primary["rolloutState"]), (&set, &json!("COMPLETED")));
    assert_eq!(front.fixture.deployments().len(), 1);
    front.fixture.advance(HOUR);
    assert_eq!(front.running(), before, "nothing was restarted");
    let listed = json!({"applicationName": "shop", "deploymentGroupName": "web"});
    assert_eq!(front.fixture.code_deploy("ListDeployments", listed)["deployments"], json!([id]));
    let late = front.deploy("web:3");
    assert!(front.ends(&late, "Failed"), "the service is not CodeDeploy's any more");
    assert_eq!(front.info(&late)["errorInformation"]["code"], "INVALID_ECS_SERVICE");

    front.fixture.roll_to("web:4");
    assert!(front.fixture.settle());
    assert_eq!(front.serves(), "web:4");
}

#[test]
fn one_update_may_move_a_service_to_ecs_and_to_blue_green() {
    let mut front = Front::new(json!({
        "deploymentConfigName": "CodeDeployDefault.ECSCanary10Percent5Minutes",
    }));
    let id = front.deploy("web:2");
    assert!(front.ends(&id, "Succeeded"));
    assert!(front.reaches(|front| front.sets().len() == 1));
    let of = json!({"ListenerArn": front.production});
    let rules = front.fixture.elb("DescribeRules", of);
    let mut balancers = behind(&front.green);
    balancers[0]["advancedConfiguration"] = json!({
        "alternateTargetGroupArn": front.blue,
        "productionListenerRule": rules["Rules"][0]["RuleArn"],
        "roleArn": "arn:aws:iam::123456789012:role/infrastructure",
    });
    front.fixture.update(json!({
        "deploymentController": {"type": "ECS"}, "loadBalancers": balancers,
        "deploymentConfiguration": {"strategy": "BLUE_GREEN", "bakeTimeInMinutes": 1},
    }));
    let record = |front: &Front| front.fixture.service_deployment()["status"].clone();
    assert!(front.reaches(|front| record(front) == "SUCCESSFUL"));
    assert_eq!((front.weights(), front.serves()), ((100, 0), "web:2".to_owned()));
}

#[test]
fn a_deployment_of_a_service_that_is_deleted_fails_and_so_does_its_rollback() {
    let mut front = Front::new(rolling_back(&["DEPLOYMENT_FAILURE"]));
    let id = front.deploy("web:2");
    front.passes(&id, "AllowTraffic");
    let delete = json!({"cluster": "main", "service": "web", "force": true});
    front.fixture.ecs("DeleteService", delete);
    assert!(front.ends(&id, "Failed"));
    assert_eq!(front.info(&id)["errorInformation"]["code"], "INVALID_ECS_SERVICE");
    let back = front.info(&id)["rollbackInfo"]["rollbackDeploymentId"].clone();
    let back = back.as_str().unwrap().to_owned();
    assert!(front.ends(&back, "Failed"));
    assert!(front.info(&back)["rollbackInfo"]["rollbackDeploymentId"].is_null());
    front.fixture.advance(HOUR);
    assert_eq!(front.fixture.tasks("RUNNING").len(), 0);
}

#[test]
fn an_app_spec_says_the_network_and_the_platform_version_is_the_latest_again() {
    let mut front = Front::new(json!({}));
    let definition = front.fixture.register("web:2");
    let subnets = json!({"AwsvpcConfiguration": {"Subnets": ["subnet-2"]}});
    let service = json!({"Type": "AWS::ECS::Service", "Properties": {
        "TaskDefinition": definition, "NetworkConfiguration": subnets,
        "LoadBalancerInfo": {"ContainerName": "web", "ContainerPort": 8080},
    }});
    let content = json!({"version": 0.0, "Resources": [{"TargetService": service}]}).to_string();
    let spec = json!({"content": content});
    let change = json!({"revision": {"revisionType": "AppSpecContent", "appSpecContent": spec}});
    let id = front.try_deploy("web:2", change).unwrap();
    assert!(front.ends(&id, "Succeeded"));
    let service = front.fixture.service();
    let network = &service["networkConfiguration"]["awsvpcConfiguration"];
    assert_eq!(network["subnets"], json!(["subnet-2"]));
    assert_eq!(service["platformVersion"], "LATEST");
    assert_eq!(service["launchType"], "FARGATE");
}
