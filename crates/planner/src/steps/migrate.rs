//! Moving a service from one deployment controller to another; never while something is rolled out.
//!
//! Source: `UpdateService` API reference, `deploymentController`; ecs-behaviour 1.2.

use evenkeel_manifest::Service;
use serde_json::json;

use super::stand_still;
use crate::plan::IN_FLIGHT;
use crate::tags::Memory;
use crate::{Action, Call, Lane, ObservedService, Plan, Wait, WaitReason, tag};

/// The plan while the controller is another than the strategy takes; `None` when it is the same.
pub(super) fn migrate(desired: &Service, service: &ObservedService) -> Option<Plan> {
    let (controller, wanted) = (service.controller(), desired.rollout.strategy.controller());
    if controller == wanted {
        return None;
    }
    if let Some(reason) = refusal(controller, wanted) {
        let sentence = format!(
            "the deployment controller is {controller}, and spec.rollout.strategy takes {wanted}: {reason}"
        );
        return Some(stand_still(WaitReason::Unsupported, sentence));
    }
    if !service.tags.contains_key(tag::OWNER) {
        let sentence = format!(
            "the service is to be taken over, and its deployment controller is {controller}: take it over with a \
             strategy of that controller, and change it afterwards"
        );
        return Some(stand_still(WaitReason::Unsupported, sentence));
    }
    if service.task_sets.is_empty() {
        let sentence = format!(
            "the deployment controller is {controller}, spec.rollout.strategy takes {wanted}, and the service has no \
             task set to go on with: roll it out once with the strategy of before, or delete it"
        );
        return Some(stand_still(WaitReason::Unsupported, sentence));
    }
    if let Some(wait) = unfinished(service) {
        return Some(Plan::waiting(vec![wait], IN_FLIGHT));
    }
    if Memory::read(&service.tags).rollout.is_some() {
        return Some(Plan::acting(vec![forget(service)], Vec::new()));
    }
    Some(Plan::acting(vec![change(desired, controller, wanted)], Vec::new()))
}

/// Why it cannot be, and what to do instead.
fn refusal(from: &str, to: &str) -> Option<&'static str> {
    match (from, to) {
        ("EXTERNAL" | "CODE_DEPLOY", "ECS") | ("CODE_DEPLOY", "EXTERNAL") => None,
        ("ECS", "EXTERNAL") => Some(
            "ECS goes on showing the deployments of before instead of task sets, so no step could be judged; \
             create a service with a new name",
        ),
        (_, "CODE_DEPLOY") => {
            Some("AWS does not move a service to CodeDeploy; create a service with a new name")
        }
        _ => Some("this version does not know how to move it"),
    }
}

/// One task set alone means that nothing is rolled out.
fn unfinished(service: &ObservedService) -> Option<Wait> {
    let [only] = service.task_sets.as_slice() else {
        let count = service.task_sets.len();
        let sentence = format!(
            "the deployment controller changes when one task set is there, and {count} are: something is rolled out"
        );
        if service.controller() == "EXTERNAL" {
            // The steps and the rule that they write are those of a manifest that is no more.
            let sentence = format!(
                "{sentence}, and nobody takes its steps or judges it: put `strategy: Steps` back until it has ended"
            );
            return Some(Wait::new(WaitReason::Held, sentence));
        }
        return Some(Wait::new(WaitReason::Deployment, sentence));
    };
    (!only.is_steady()).then(|| {
        let sentence = "the deployment controller changes when the tasks of the service are steady";
        Wait::new(WaitReason::Deployment, sentence)
    })
}

fn forget(service: &ObservedService) -> Action {
    let call = Call::UntagResource {
        arn: service.service_arn.clone(),
        keys: vec![tag::ROLLOUT.to_owned()],
    };
    let why = "forgets the rollout of before the deployment controller changes".to_owned();
    Action { call, lane: Lane::RolloutStep, why }
}

fn change(desired: &Service, from: &str, to: &str) -> Action {
    let input = json!({
        "cluster": desired.key.cluster, "service": desired.key.name,
        "deploymentController": {"type": to},
    });
    let why = format!(
        "moves the service from the deployment controller {from} to {to}, which restarts no task"
    );
    Action { call: Call::UpdateService { input }, lane: Lane::NewChange, why }
}
