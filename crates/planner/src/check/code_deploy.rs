//! The guard before what CodeDeploy is told to do; shares no code with the planner, and never repairs a plan.
//!
//! Properties: reliability.md, part C (S5, S6, S7, S19, S22).

use serde_json::Value;

use super::Ground;
use crate::{Action, Call, CodeDeploy, CodeDeployDeployment, Depth, Fact, Lane, Plan, Unknown};

type Rule = fn(&Ground<'_>, &Action) -> Option<String>;

pub(super) const RULES: &[Rule] = &[
    deploys_what_it_may,
    asks_whom_it_must,
    heeds_the_alarms_of_its_group,
    one_deployment_at_a_time,
    ends_what_is_ours,
    lets_through_with_open_eyes,
    lets_through_what_returns,
    changes_the_controller_alone,
];

/// Whether it is about the deployment group of the manifest.
pub(super) fn is_in_scope(ground: &Ground<'_>, call: &Call) -> bool {
    let Some(seen) = seen(ground) else { return false };
    let key = ground.input.key;
    let deploys_it = |seen: &CodeDeploy| {
        let services = &seen.group.ecs_services;
        services.iter().any(|one| one.cluster_name == key.cluster && one.service_name == key.name)
    };
    let is_named = |input: &Value, member: &str, name: &str| {
        input.get(member).and_then(Value::as_str) == Some(name)
    };
    match call {
        Call::CreateDeployment { input } => {
            deploys_it(seen)
                && is_named(input, "applicationName", &seen.group.application_name)
                && is_named(input, "deploymentGroupName", &seen.group.deployment_group_name)
        }
        Call::StopDeployment { id } | Call::ContinueDeployment { id } => {
            deploys_it(seen) && deployment(ground, id).is_some()
        }
        _ => false,
    }
}

fn seen<'a>(ground: &Ground<'a>) -> Option<&'a CodeDeploy> {
    ground.input.observed.code_deploy.known()
}

fn deployment<'a>(ground: &Ground<'a>, id: &str) -> Option<&'a CodeDeployDeployment> {
    seen(ground)?.deployments.iter().find(|one| one.deployment_id == id)
}

/// The task definition that an AppSpec names.
fn task_definition(input: &Value) -> Option<String> {
    let content = input.pointer("/revision/appSpecContent/content")?.as_str()?;
    let spec: Value = serde_json::from_str(content).ok()?;
    let target = spec.pointer("/Resources/0/TargetService/Properties/TaskDefinition")?;
    Some(target.as_str()?.to_owned())
}

/// What is wanted, as long as nobody rejected it; on the way back what was proven.
fn deploys_what_it_may(ground: &Ground<'_>, action: &Action) -> Option<String> {
    let Call::CreateDeployment { input } = &action.call else { return None };
    let Some(arn) = task_definition(input) else {
        return Some("it names no task definition".to_owned());
    };
    if action.lane == Lane::Rollback {
        if ground.tag("evenkeel:rejected").is_none() {
            return Some("no verdict was written before".to_owned());
        }
        return (!ground.is_proven(&arn)).then(|| format!("{arn} is not the proven revision"));
    }
    if ground.rejects_the_wanted() {
        return Some(format!("{} was rejected", ground.desired.revision_digest));
    }
    let wanted = &ground.desired.task_definition_digest;
    let fits =
        ground.definition(&arn).is_some_and(|one| one.digest == *wanted && one.status == "ACTIVE");
    (!fits).then(|| format!("{arn} is not an ACTIVE revision of what is wanted"))
}

/// All functions of the manifest, in their order; on the way back none, which could hold it up.
fn asks_whom_it_must(ground: &Ground<'_>, action: &Action) -> Option<String> {
    let Call::CreateDeployment { input } = &action.call else { return None };
    let named = hooks(input)?;
    if action.lane == Lane::Rollback {
        return (!named.is_empty()).then(|| "a return calls a hook".to_owned());
    }
    let wanted = ground.desired.rollout.strategy.code_deploy()?.hooks.all();
    let wanted: Vec<_> =
        wanted.map(|(event, function)| (event.to_owned(), function.to_owned())).collect();
    (named != wanted).then(|| "its hooks are not those of the manifest".to_owned())
}

/// Only a way back goes on under alarms that the group has for all of its deployments.
fn heeds_the_alarms_of_its_group(_: &Ground<'_>, action: &Action) -> Option<String> {
    let Call::CreateDeployment { input } = &action.call else { return None };
    let overrides = input.get("overrideAlarmConfiguration").is_some();
    (overrides && action.lane != Lane::Rollback)
        .then(|| "it overrides the alarms of its deployment group".to_owned())
}

/// Those of an AppSpec: events and functions.
fn hooks(input: &Value) -> Option<Vec<(String, String)>> {
    let content = input.pointer("/revision/appSpecContent/content")?.as_str()?;
    let spec: Value = serde_json::from_str(content).ok()?;
    let elements = spec.get("Hooks").and_then(Value::as_array).into_iter().flatten();
    let members = elements.filter_map(Value::as_object).flatten();
    let function = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Some(members.map(|(event, value)| (event.clone(), function(value))).collect())
}

/// Statuses of a deployment that has ended.
const OVER: [&str; 3] = ["Succeeded", "Failed", "Stopped"];

fn one_deployment_at_a_time(ground: &Ground<'_>, action: &Action) -> Option<String> {
    if !matches!(action.call, Call::CreateDeployment { .. }) {
        return None;
    }
    let mut all = seen(ground)?.deployments.iter();
    let active = all.find(|one| !OVER.contains(&one.status.as_str()))?;
    Some(format!("{} is on its way", active.deployment_id))
}

/// Whether a way back is let through, which is a deployment of its own.
fn is_of_a_return(action: &Action) -> bool {
    action.lane == Lane::Rollback && matches!(action.call, Call::ContinueDeployment { .. })
}

/// The deployment of the rollout in memory, after a verdict or for newer content.
fn ends_what_is_ours(ground: &Ground<'_>, action: &Action) -> Option<String> {
    let (Call::StopDeployment { id } | Call::ContinueDeployment { id }) = &action.call else {
        return None;
    };
    if is_of_a_return(action) {
        return None;
    }
    let mark = ground.tag("evenkeel:rollout").unwrap_or_default();
    if !mark.contains(&format!(":{id}:")) {
        return Some(format!("{id} is not the deployment of our rollout"));
    }
    let ends = matches!(action.call, Call::StopDeployment { .. });
    let head = format!("v1:{}:{id}:", ground.desired.revision_digest);
    let is_about_the_wanted = mark.starts_with(&head);
    (ends && is_about_the_wanted && !ground.rejects_the_wanted())
        .then(|| "no verdict was written before".to_owned())
}

fn lets_through_with_open_eyes(ground: &Ground<'_>, action: &Action) -> Option<String> {
    let Call::ContinueDeployment { id } = &action.call else { return None };
    if deployment(ground, id).is_none_or(|one| one.status != "Ready") {
        return Some(format!("{id} does not wait"));
    }
    if is_of_a_return(action) {
        return None;
    }
    let observed = ground.input.observed;
    let tasks_are_seen =
        matches!(observed.tasks, Fact::Known(_) | Fact::Unknown(Unknown::CapabilityMissing { .. }));
    if observed.depth != Depth::Deep || !tasks_are_seen {
        return Some("the tasks were not seen".to_owned());
    }
    if ground.rejects_the_wanted() {
        return Some(format!("{} was rejected", ground.desired.revision_digest));
    }
    let by_manifest = ground.desired.metadata.annotations.contains_key("evenkeel.dev/pause");
    if ground.tag("evenkeel:pause").is_some() || by_manifest {
        return Some("rollouts of the service are paused".to_owned());
    }
    let named = &ground.desired.rollout.breaker.alarms;
    let alarms = observed.alarms.known().map(Vec::as_slice).unwrap_or_default();
    let is_quiet =
        |name: &&String| alarms.iter().any(|one| one.name == **name && one.state != "ALARM");
    let loud = named.iter().find(|name| !is_quiet(name))?;
    Some(format!("alarm {loud} is red, or was not seen"))
}

/// After a verdict, and neither what was rejected nor what somebody else deploys.
fn lets_through_what_returns(ground: &Ground<'_>, action: &Action) -> Option<String> {
    let Call::ContinueDeployment { id } = &action.call else { return None };
    if !is_of_a_return(action) {
        return None;
    }
    if ground.tag("evenkeel:rejected").is_none() {
        return Some("no verdict was written before".to_owned());
    }
    let returns = deployment(ground, id).is_some_and(|one| {
        let description = one.description.as_deref().unwrap_or_default();
        description.starts_with("evenkeel return ")
            || one.creator.as_deref() == Some("codeDeployRollback")
    });
    (!returns).then(|| format!("{id} is no return"))
}

/// ECS refuses other members beside it, or takes them for a deployment.
fn changes_the_controller_alone(ground: &Ground<'_>, action: &Action) -> Option<String> {
    let Call::UpdateService { input } = &action.call else { return None };
    let controller = input.get("deploymentController")?;
    let wanted = ground.desired.rollout.strategy.controller();
    if controller.get("type").and_then(Value::as_str) != Some(wanted) {
        return Some(format!("the strategy takes the controller {wanted}"));
    }
    let named = ["cluster", "service", "deploymentController"];
    let other = input.as_object()?.keys().find(|name| !named.contains(&name.as_str()));
    if let Some(other) = other {
        return Some(format!("the deployment controller changes alone, not with {other}"));
    }
    let sets = ground.service?.task_sets.len();
    (sets != 1).then(|| format!("the service has {sets} task sets: something is rolled out"))
}

/// A deployment is announced before it begins, so that it is found after a lost answer.
pub(super) fn announces_first(ground: &Ground<'_>, plan: &Plan) -> Option<String> {
    let at = plan.actions.iter().position(|one| {
        matches!(one.call, Call::CreateDeployment { .. }) && one.lane != Lane::Rollback
    })?;
    let digest = ground.desired.revision_digest.as_str();
    let is_announced = plan.actions.iter().take(at).any(|one| {
        matches!(&one.call, Call::TagResource { tags, .. }
            if tags.get("evenkeel:rollout").is_some_and(|mark| mark.contains(digest)))
    });
    (!is_announced).then(|| "CodeDeploy is told to deploy what was not announced".to_owned())
}
