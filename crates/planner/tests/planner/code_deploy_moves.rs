//! A service comes from ECS's own deployments to CodeDeploy, or leaves it, by its controller alone.

use evenkeel_planner::{Call, Lane, WaitReason};
use serde_json::json;

use crate::balanced::GREEN;
use crate::code_deploy::{Look, at_rest, set};
use crate::manifests::web;

/// A look at the same service, for which the manifest wants ECS's own rolling updates.
fn to_be_moved(controller: &'static str) -> Look {
    let mut look = Look { controller, ..at_rest() };
    look.desired = web("good:1").service();
    look
}

#[test]
fn a_service_leaves_code_deploy_by_the_controller_alone() {
    for controller in ["CODE_DEPLOY", "EXTERNAL"] {
        let Call::UpdateService { input } = to_be_moved(controller).call() else { panic!() };
        let expected = json!({
            "cluster": "prod", "service": "web", "deploymentController": {"type": "ECS"},
        });
        assert_eq!(input, expected);
    }
}

#[test]
fn a_service_leaves_code_deploy_for_steps_of_our_own_by_the_controller_alone() {
    let desired = crate::own_steps::wanted("good:1");
    let mut look = Look { desired, ..at_rest() };
    let Call::UpdateService { input } = look.call() else { panic!() };
    let expected = json!({
        "cluster": "prod", "service": "web", "deploymentController": {"type": "EXTERNAL"},
    });
    assert_eq!(input, expected);
    look.sets.push(set(2, GREEN, "ACTIVE", "d-222222222"));
    assert_eq!(look.waits(), WaitReason::Deployment);
    look.controller = "ECS";
    assert_eq!(look.waits(), WaitReason::Unsupported);
}

#[test]
fn the_controller_waits_until_nothing_is_rolled_out() {
    let mut look = to_be_moved("CODE_DEPLOY");
    look.sets.push(set(2, GREEN, "ACTIVE", "d-222222222"));
    assert_eq!(look.waits(), WaitReason::Deployment);
    let input = json!({
        "cluster": "prod", "service": "web", "deploymentController": {"type": "ECS"},
    });
    let broken = look.broken(Call::UpdateService { input }, Lane::NewChange);
    assert!(broken.contains("2 task sets"), "{broken}");
}

#[test]
fn steps_whose_strategy_was_taken_from_them_are_a_person_s_and_not_waited_for() {
    let mut look = to_be_moved("EXTERNAL");
    look.sets.push(set(2, GREEN, "ACTIVE", ""));
    assert_eq!(look.waits(), WaitReason::Held, "{}", look.plan());
}

#[test]
fn a_service_that_ecs_deploys_is_not_moved_to_code_deploy() {
    let mut look = Look { controller: "ECS", ..at_rest() };
    assert_eq!(look.waits(), WaitReason::Unsupported);
    look.controller = "EXTERNAL";
    assert_eq!(look.waits(), WaitReason::Unsupported);
}

#[test]
fn the_controller_never_changes_together_with_anything_else() {
    let look = to_be_moved("CODE_DEPLOY");
    let input = json!({
        "cluster": "prod", "service": "web", "deploymentController": {"type": "ECS"},
        "desiredCount": 4,
    });
    let broken = look.broken(Call::UpdateService { input }, Lane::NewChange);
    assert!(broken.contains("alone, not with desiredCount"), "{broken}");
}
