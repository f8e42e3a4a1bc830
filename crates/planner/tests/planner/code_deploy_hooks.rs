//! Services that CodeDeploy deploys and whose manifest names functions: which deployments ask them, and what is said of a
//! hook that failed.

#![expect(clippy::indexing_slicing, reason = "a plan without an action is a failed test")]

use evenkeel_manifest::{CodeDeploy as Group, Hooks, Strategy, sha256};
use evenkeel_planner::{
    Call, CodeDeployDeployment, DeploymentGroup, Fact, Lane, LifecycleEvent, TaskDefinition,
    VerdictKind, WaitReason, plan,
};
use serde_json::{Value, json};

use crate::balanced::GREEN;
use crate::code_deploy::{Look, at_rest, definition, on_its_way, set};
use crate::ecs::input;
use crate::manifests::key;
use crate::plans::reasons;

fn hooks() -> Hooks {
    let function = |name: &str| Some(name.to_owned());
    Hooks {
        after_allow_traffic: function("orders"),
        before_install: function("freeze:live"),
        before_allow_traffic: function("smoke"),
        ..Hooks::default()
    }
}

fn asking(mut look: Look, hooks: Hooks) -> Look {
    look.desired.rollout.strategy = Strategy::CodeDeploy(Group { hooks, ..Group::default() });
    look
}

/// That what is wanted is deployed with these hooks in its AppSpec.
fn deployment(hooks: &Value) -> Call {
    let properties = json!({"TaskDefinition": definition(2)});
    let resources = json!([{"TargetService": {"Properties": properties}}]);
    let content = json!({"Resources": resources, "Hooks": hooks}).to_string();
    let input = json!({
        "applicationName": "AppECS-prod-web", "deploymentGroupName": "DgpECS-prod-web",
        "revision": {"appSpecContent": {"content": content}},
    });
    Call::CreateDeployment { input }
}

#[test]
fn the_app_spec_names_the_functions_in_code_deploy_s_order_and_the_digest_is_of_all_of_it() {
    let look = asking(at_rest(), hooks());
    let named = json!([
        {"BeforeInstall": "freeze:live"}, {"BeforeAllowTraffic": "smoke"}, {"AfterAllowTraffic": "orders"},
    ]);
    assert_eq!(look.app_spec()["Hooks"], named);
    let plan = look.plan();
    let Call::CreateDeployment { input } = &plan.actions[1].call else { panic!("{plan}") };
    let content = &input["revision"]["appSpecContent"];
    assert_eq!(content["sha256"], json!(sha256(content["content"].as_str().expect("inline"))));
    assert_eq!(at_rest().app_spec().get("Hooks"), None, "nobody is asked");
}

#[test]
fn the_plan_says_whom_the_deployment_asks() {
    let plan = asking(at_rest(), hooks()).plan().to_string();
    let told = "which asks freeze:live (BeforeInstall), smoke (BeforeAllowTraffic), orders (AfterAllowTraffic)";
    assert!(plan.contains(told), "{plan}");
    assert!(!at_rest().plan().to_string().contains("which asks"));
}

#[test]
fn a_registration_already_says_whom_its_deployment_will_ask() {
    let registered = |look: &Look| {
        let mut seen = look.seen();
        if let Fact::Known(definitions) = &mut seen.task_definitions {
            definitions.retain(|one| one.arn == definition(1));
        }
        seen.searched = Some(look.desired.task_definition_digest.clone());
        let key = key();
        let plan = plan(&input(&key, Some(&look.desired), &seen));
        assert_eq!(plan.actions[0].call.operation(), "RegisterTaskDefinition");
        plan.to_string()
    };
    let told = registered(&asking(at_rest(), hooks()));
    assert!(told.contains("its deployment asks freeze:live (BeforeInstall), smoke"), "{told}");
    assert!(!registered(&at_rest()).contains("asks"));
}

#[test]
fn a_deployment_is_ours_whomever_it_asks() {
    let mut lost = asking(on_its_way("InProgress"), hooks());
    lost.mark("-2", "shift", 300);
    assert!(lost.tagged("evenkeel:rollout").contains(":d-222222222:shift:"));
}

#[test]
fn a_return_asks_nobody() {
    let mut look = asking(on_its_way("Succeeded"), hooks()).rejected();
    look.sets = vec![set(2, GREEN, "PRIMARY", "d-222222222")];
    let spec = look.app_spec();
    let target = &spec["Resources"][0]["TargetService"]["Properties"]["TaskDefinition"];
    assert_eq!((target, spec.get("Hooks")), (&json!(definition(1)), None));
}

#[test]
fn the_guard_takes_no_deployment_that_asks_others_than_the_manifest_names() {
    let look =
        asking(at_rest(), Hooks { after_install: Some("smoke".to_owned()), ..Hooks::default() });
    let others = "its hooks are not those of the manifest";
    for hooks in
        [json!([]), json!([{"AfterInstall": "other"}]), json!([{"BeforeInstall": "smoke"}])]
    {
        assert!(look.broken(deployment(&hooks), Lane::NewChange).contains(others), "{hooks}");
    }
    let as_named = json!([{"AfterInstall": "smoke"}]);
    assert!(!look.broken(deployment(&as_named), Lane::NewChange).contains(others));
    assert!(at_rest().broken(deployment(&as_named), Lane::NewChange).contains(others));
    let back = look.rejected().broken(deployment(&as_named), Lane::Rollback);
    assert!(back.contains("a return calls a hook"), "{back}");
}

#[test]
fn a_function_that_needs_test_traffic_is_not_left_out_in_silence() {
    let hooks = Hooks { after_allow_test_traffic: Some("smoke".to_owned()), ..Hooks::default() };
    let mut look = asking(at_rest(), hooks);
    assert_eq!(look.waits(), WaitReason::Preflight);
    let plan = look.plan().to_string();
    assert!(plan.contains("DgpECS-prod-web has no test listener"), "{plan}");
    look.test_listeners =
        vec!["arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener/app/front/03/05"];
    assert!(matches!(look.plan().actions[1].call, Call::CreateDeployment { .. }));
}

/// `good:2` failed in CodeDeploy's eyes, and its lifecycle events are told.
fn failed(events: Value) -> String {
    let mut look = on_its_way("Failed");
    look.deployments[0]["errorInformation"] =
        json!({"code": "HOOK_EXECUTION_FAILURE", "message": "A hook has failed."});
    look.deployments[0]["lifecycleEvents"] = events;
    let verdict = look.plan().verdict.expect("a verdict");
    assert_eq!(verdict.kind, VerdictKind::RolledBackByCodeDeploy);
    verdict.sentence
}

#[test]
fn the_verdict_names_the_hook_that_failed_and_says_what_code_deploy_says() {
    let event = |name: &str, status: &str| json!({"lifecycleEventName": name, "status": status});
    let mut smoke = event("BeforeAllowTraffic", "Failed");
    let before = [event("Install", "Succeeded"), event("AfterInstall", "Succeeded")];
    let with = |last: &Value| json!([before[0], before[1], last]);
    let head = "CodeDeploy ended d-222222222: Failed: HOOK_EXECUTION_FAILURE, A hook has failed";
    assert_eq!(failed(with(&smoke)), format!("{head}; its hook BeforeAllowTraffic failed"));
    smoke["diagnostics"] = json!({"errorCode": "UnknownError", "message": "smoke said no"});
    let told = format!("{head}; its hook BeforeAllowTraffic failed: smoke said no");
    assert_eq!(failed(with(&smoke)), told);
    let install = json!([event("Install", "Failed")]);
    assert_eq!(failed(install), format!("{head}."), "no function is called while it installs");
    assert_eq!(failed(json!([])), format!("{head}."), "where the events may not be read");
}

#[test]
fn the_events_of_what_failed_are_asked_for_and_of_nothing_else() {
    let group = json!({
        "applicationName": "a", "deploymentGroupName": "g",
        "ecsServices": [{"clusterName": "prod", "serviceName": "web"}],
    });
    let group = DeploymentGroup::read(&group).expect("it is a group");
    let target = |status: &str| {
        let one = json!({"deploymentId": "d-1", "status": status});
        CodeDeployDeployment::read(&one).expect("it is a deployment").target(&group)
    };
    let asked = json!({"deploymentId": "d-1", "targetIds": ["prod:web"]});
    assert_eq!(target("Failed"), Some(asked));
    for status in ["Created", "InProgress", "Ready", "Succeeded", "Stopped"] {
        assert_eq!(target(status), None, "{status}");
    }
}

#[test]
fn events_that_nobody_understands_explain_nothing_and_break_nothing() {
    for reply in [
        json!({}),
        json!({"deploymentTargets": []}),
        json!({"deploymentTargets": [{"ecsTarget": {"lifecycleEvents": 7}}]}),
    ] {
        assert_eq!(LifecycleEvent::read_all(&reply), Vec::new());
    }
    let events = json!([7, {"lifecycleEventName": "AfterInstall", "status": "OfTomorrow"}]);
    let reply = json!({"deploymentTargets": [{"ecsTarget": {"lifecycleEvents": events}}]});
    assert_eq!(LifecycleEvent::read_all(&reply).len(), 1);
}

#[test]
fn content_that_ecs_alters_is_not_registered_without_end_for_code_deploy_either() {
    let look = at_rest();
    let mut seen = look.seen();
    let Fact::Known(definitions) = &mut seen.task_definitions else { panic!("they were seen") };
    definitions.retain(|one| one.arn == definition(1));
    let altered = |number| TaskDefinition {
        arn: definition(number),
        digest_tag: Some(look.desired.task_definition_digest.clone()),
        ..definitions[0].clone()
    };
    let altered = [altered(7), altered(8)];
    definitions.extend(altered);
    seen.searched = Some(look.desired.task_definition_digest.clone());
    let key = key();
    let plan = plan(&input(&key, Some(&look.desired), &seen));
    assert_eq!(reasons(&plan), [WaitReason::Unsupported]);
    assert!(plan.actions.is_empty(), "{plan}");
}
