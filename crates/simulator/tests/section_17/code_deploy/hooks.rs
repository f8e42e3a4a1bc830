//! The functions that a deployment calls, and what their answers do to it; never a function that runs.

use evenkeel_simulator::HookFunction;

use super::*;

/// A front with test traffic whose deployments roll back what fails, and a deployment with these hooks.
fn hooked(hooks: &Value) -> (Front, String) {
    let front = Front::ungrouped();
    let tested = front.tested();
    let group = over(rolling_back(&["DEPLOYMENT_FAILURE"]), json!({"loadBalancerInfo": tested}));
    front.try_group(group).unwrap();
    let id = begin(&front, hooks);
    (front, id)
}

fn begin(front: &Front, hooks: &Value) -> String {
    let arn = front.fixture.register("web:2");
    let mut spec: Value =
        serde_json::from_str(revision(&arn)["appSpecContent"]["content"].as_str().unwrap())
            .unwrap();
    spec["Hooks"] = hooks.clone();
    let input = json!({
        "applicationName": "shop", "deploymentGroupName": "web", "revision": {
            "revisionType": "AppSpecContent", "appSpecContent": {"content": spec.to_string()},
        },
    });
    let reply = front.fixture.code_deploy("CreateDeployment", input);
    reply["deploymentId"].as_str().unwrap().to_owned()
}

impl Front {
    fn script(&self, function: &str, does: HookFunction) {
        self.fixture.simulation.region().script_hook(function, does);
    }

    fn answer(&self, id: &str, execution: &str, status: &str) -> Result<Value, ApiError> {
        let input = json!({
            "deploymentId": id, "lifecycleEventHookExecutionId": execution, "status": status,
        });
        self.fixture.try_code_deploy("PutLifecycleEventHookExecutionStatus", input)
    }

    fn diagnosis(&self, id: &str, name: &str) -> Value {
        let target = self.target(id);
        let mut events = target["lifecycleEvents"].as_array().into_iter().flatten();
        let event = events.find(|event| event["lifecycleEventName"] == name).unwrap();
        event["diagnostics"]["message"].clone()
    }
}

#[test]
fn a_function_that_nobody_scripted_passes() {
    let (mut front, id) = hooked(&json!([{"BeforeInstall": "f"}, {"AfterAllowTraffic": "f"}]));
    assert!(front.ends(&id, "Succeeded"));
    assert_eq!(front.serves(), "web:2");
}

#[test]
fn a_hook_takes_as_long_as_its_function() {
    let (mut front, id) = hooked(&json!([{"BeforeAllowTraffic": "slow"}]));
    front.script("slow", HookFunction::Passes(Some(MINUTE * 20)));
    assert!(front.reaches(|front| front.event(&id, "BeforeAllowTraffic") == "InProgress"));
    front.fixture.advance(MINUTE * 19);
    assert_eq!(front.event(&id, "BeforeAllowTraffic"), "InProgress");
    front.fixture.advance(MINUTE * 2);
    assert_eq!(front.event(&id, "BeforeAllowTraffic"), "Succeeded");
}

#[test]
fn a_hook_that_fails_ends_its_deployment_which_goes_back_without_a_hook() {
    let (mut front, id) = hooked(&json!([{"BeforeAllowTraffic": "no"}]));
    front.script("no", HookFunction::Fails(None));
    assert!(front.ends(&id, "Failed"));
    assert_eq!(front.weights(), (100, 0));
    let info = front.info(&id);
    assert_eq!(info["errorInformation"]["code"], "HOOK_EXECUTION_FAILURE");
    assert_eq!(front.event(&id, "BeforeAllowTraffic"), "Failed");
    assert_eq!(front.event(&id, "AllowTraffic"), "Skipped");
    assert_eq!(front.diagnosis(&id, "BeforeAllowTraffic"), "no answered Failed");
    let back = info["rollbackInfo"]["rollbackDeploymentId"].as_str().unwrap().to_owned();
    assert!(front.ends(&back, "Succeeded"));
    assert!(front.reaches(|front| front.sets().len() == 1));
    assert_eq!(front.serves(), "web:1");
}

#[test]
fn a_hook_before_anything_is_made_has_nothing_to_go_back_from() {
    let (mut front, id) = hooked(&json!([{"BeforeInstall": "no"}]));
    front.script("no", HookFunction::Fails(None));
    assert!(front.ends(&id, "Failed"));
    assert!(front.info(&id)["rollbackInfo"].is_null());
    assert_eq!(front.sets().len(), 1);
}

#[test]
fn a_hook_after_all_traffic_gives_it_back() {
    let (mut front, id) = hooked(&json!([{"AfterAllowTraffic": "no"}]));
    front.script("no", HookFunction::Fails(Some(MINUTE)));
    assert!(front.reaches(|front| front.weights() != (100, 0)));
    assert!(front.ends(&id, "Failed"));
    let back = front.info(&id)["rollbackInfo"]["rollbackDeploymentId"].clone();
    assert!(front.ends(back.as_str().unwrap(), "Succeeded"));
    assert_eq!((front.weights(), front.serves()), ((100, 0), "web:1".to_owned()));
}

#[test]
fn a_function_that_does_not_answer_fails_after_an_hour() {
    let (mut front, id) = hooked(&json!([{"AfterInstall": "deaf"}]));
    front.script("deaf", HookFunction::Hangs);
    assert!(front.reaches(|front| front.event(&id, "AfterInstall") == "InProgress"));
    front.script("deaf", HookFunction::Passes(None));
    front.fixture.advance(MINUTE * 59);
    assert_eq!(front.info(&id)["status"], "InProgress", "it was called when it was deaf");
    front.fixture.advance(MINUTE * 2);
    assert_eq!(front.info(&id)["status"], "Failed");
    let told = front.diagnosis(&id, "AfterInstall");
    assert_eq!(told, "deaf did not answer within one hour");
}

#[test]
fn somebody_else_may_answer_for_the_function() {
    let hooks = json!([{"AfterInstall": "deaf"}, {"BeforeAllowTraffic": "deaf"}]);
    let (mut front, id) = hooked(&hooks);
    front.script("deaf", HookFunction::Hangs);
    let (install, traffic) = (format!("{id}:AfterInstall"), format!("{id}:BeforeAllowTraffic"));
    assert!(front.reaches(|front| front.event(&id, "AfterInstall") == "InProgress"));
    let early = front.answer(&id, &traffic, "Succeeded").unwrap_err();
    assert_eq!(early.code, "InvalidLifecycleEventHookExecutionIdException");
    let half = front.answer(&id, &install, "Skipped").unwrap_err();
    assert_eq!(half.code, "InvalidLifecycleEventHookExecutionStatusException");
    let reply = front.answer(&id, &install, "Succeeded").unwrap();
    assert_eq!(reply["lifecycleEventHookExecutionId"], json!(install));
    let late = front.answer(&id, &install, "Failed").unwrap_err();
    assert_eq!(late.code, "LifecycleEventAlreadyCompletedException");
    assert!(front.reaches(|front| front.event(&id, "BeforeAllowTraffic") == "InProgress"));
    front.answer(&id, &traffic, "Failed").unwrap();
    assert_eq!(front.info(&id)["status"], "Failed");
    let over = front.answer(&id, &traffic, "Succeeded").unwrap_err();
    assert_eq!(over.code, "LifecycleEventAlreadyCompletedException");
}
