//! The start of a deployment of CodeDeploy's; never while another one of its group is on its way.

use evenkeel_manifest::Hooks;
use serde_json::{Map, Value, json};

use super::{foreign, seen, until_read};
use crate::code_deploy::{description, description_of_return, names, revision};
use crate::steps::rollout::mark_rollout;
use crate::steps::start::{kept_back, register};
use crate::steps::{capability_waits, word};
use crate::tags::{Marked, RolloutMark};
use crate::view::View;
use crate::{Action, Call, CodeDeploy, Lane, Plan, RolloutPhase, Wait, WaitReason};

/// All that there are for a service of ECS's (ecs-behaviour 6.6).
const ROLLBACK_EVENTS: [&str; 3] =
    ["DEPLOYMENT_FAILURE", "DEPLOYMENT_STOP_ON_ALARM", "DEPLOYMENT_STOP_ON_REQUEST"];

/// Announces what is wanted, and has CodeDeploy deploy it.
pub(super) fn begin(view: &View<'_>) -> Plan {
    if let Some(plan) = kept_back(view) {
        return plan;
    }
    let seen = match seen(view) {
        Ok(seen) => seen,
        Err(wait) => return until_read(wait),
    };
    if let Some(active) = seen.active() {
        return foreign(active);
    }
    if let Some(wait) = unmeasurable(view, seen).or_else(|| untested(view, seen)) {
        return until_read(wait);
    }
    let Some(definition) = view.wanted_definition() else {
        return registered(view);
    };
    let mark = RolloutMark::new(
        &view.desired.revision_digest,
        Marked::announced(&definition.arn, None),
        RolloutPhase::Shifting,
        view.now(),
    );
    let announce = mark_rollout(view, &mark, format!("announces the rollout of {}", mark.digest));
    let description = description(&mark.digest);
    let asked = asked(view).map(|asked| format!(", which asks {asked}")).unwrap_or_default();
    let why = format!("has CodeDeploy deploy {}{asked}", definition.arn);
    let why = why + &word::in_spite_of_a_freeze(view);
    let create = deploy(view, &definition.arn, &description, Lane::NewChange, why);
    Plan::acting(vec![announce, create], capability_waits(view))
}

/// What is measured must be counted by somebody before anything is tried on users.
fn unmeasurable(view: &View<'_>, seen: &CodeDeploy) -> Option<Wait> {
    let metrics = &view.desired.rollout.analysis.as_ref()?.metrics;
    let metric = metrics.iter().find(|metric| metric.source.is_of_a_group())?;
    seen.group.balancer().is_none().then(|| {
        let sentence = format!(
            "only an Application Load Balancer counts `{metric}`, and the deployment group {} has no listener of one: use `query`",
            seen.group.deployment_group_name
        );
        Wait::new(WaitReason::Preflight, sentence)
    })
}

/// A function that is asked about test traffic needs some.
fn untested(view: &View<'_>, seen: &CodeDeploy) -> Option<Wait> {
    let function = hooks(view)?.after_allow_test_traffic.as_ref()?;
    (!seen.group.is_tested()).then(|| {
        let sentence = format!(
            "the hook AfterAllowTestTraffic ({function}) needs test traffic, and the deployment group {} has no test listener: \
             give it one, or call the function in BeforeAllowTraffic",
            seen.group.deployment_group_name
        );
        Wait::new(WaitReason::Preflight, sentence)
    })
}

fn hooks<'a>(view: &'a View<'_>) -> Option<&'a Hooks> {
    Some(&view.desired.rollout.strategy.code_deploy()?.hooks)
}

/// Whom a deployment asks: `smoke-test (AfterAllowTestTraffic)`; `None` when it asks nobody.
fn asked(view: &View<'_>) -> Option<String> {
    let called = hooks(view)?.all();
    let called: Vec<String> =
        called.map(|(event, function)| format!("{function} ({event})")).collect();
    (!called.is_empty()).then(|| called.join(", "))
}

/// A pass of its own, which already says whom the deployment after it will ask.
fn registered(view: &View<'_>) -> Plan {
    let mut plan = register(view.desired, view.observed());
    let asked = asked(view).map(|asked| format!("; its deployment asks {asked}"));
    for action in &mut plan.actions {
        action.why.push_str(asked.as_deref().unwrap_or_default());
    }
    plan
}

/// Has CodeDeploy go back to what was proven, as fast as it can.
pub(super) fn go_back(view: &View<'_>, definition: &str) -> Plan {
    let why = format!("has CodeDeploy return to {definition}, which was proven");
    let description = description_of_return(definition);
    Plan::acting(vec![deploy(view, definition, &description, Lane::Rollback, why)], Vec::new())
}

fn deploy(view: &View<'_>, definition: &str, description: &str, lane: Lane, why: String) -> Action {
    let (application, group) = names(view.desired).unwrap_or_default();
    let mut input = Map::new();
    input.insert("applicationName".to_owned(), json!(application));
    input.insert("deploymentGroupName".to_owned(), json!(group));
    // A return is not held up by functions that judge a release.
    let none = Hooks::default();
    let hooks = hooks(view).filter(|_| lane != Lane::Rollback).unwrap_or(&none);
    input.insert("revision".to_owned(), revision(view.desired, definition, hooks));
    input.insert("description".to_owned(), json!(description));
    // CodeDeploy goes back by itself from whatever fails, should nobody be there to see it.
    let rollbacks = json!({"enabled": true, "events": ROLLBACK_EVENTS});
    input.insert("autoRollbackConfiguration".to_owned(), rollbacks);
    if let Some(config) = config(view, lane) {
        input.insert("deploymentConfigName".to_owned(), json!(config));
    }
    // What the rejected revision set off is red for a while yet, and must not end the way back.
    if lane == Lane::Rollback && seen(view).is_ok_and(|seen| seen.group.is_watched()) {
        input.insert("overrideAlarmConfiguration".to_owned(), json!({"enabled": false}));
    }
    Action { call: Call::CreateDeployment { input: Value::Object(input) }, lane, why }
}

/// A return takes no steps.
fn config<'a>(view: &'a View<'_>, lane: Lane) -> Option<&'a str> {
    const AT_ONCE: &str = "CodeDeployDefault.ECSAllAtOnce";
    let named = view.desired.rollout.strategy.code_deploy()?.deployment_config.as_deref();
    if lane == Lane::Rollback { Some(AT_ONCE) } else { named }
}
