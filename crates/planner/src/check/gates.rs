//! The guard before a pause of ECS's is let pass; shares no code with the planner, and never repairs a plan.
//!
//! Properties: reliability.md, part C (S4, S22).

use evenkeel_manifest::{Metric, MetricSource};

use super::Ground;
use crate::{Action, Call, HookAction, ServiceDeployment};

/// More traffic goes to a revision only at a pause that is open, after a look at tasks and alarms in which
/// no named alarm is red, and never to one that was rejected.
pub(super) fn opens_with_open_eyes(ground: &Ground<'_>, action: &Action) -> Option<String> {
    let Call::ContinueServiceDeployment { arn, hook, action: HookAction::Continue } = &action.call
    else {
        return None;
    };
    let observed = ground.input.observed;
    let deployments = observed.service_deployments.known()?;
    let is_open = deployments.iter().filter(|one| one.service_deployment_arn == *arn).any(|one| {
        one.lifecycle_hook_details.iter().any(|pause| {
            pause.hook_id == *hook && pause.status.as_deref() == Some("AWAITING_ACTION")
        })
    });
    if !is_open {
        return Some(format!("the hook {hook} does not wait for anything"));
    }
    if ground.rejects_the_wanted() {
        return Some(format!("{} was rejected", ground.desired.revision_digest));
    }
    if observed.tasks.known().is_none() {
        return Some("the tasks were not seen".to_owned());
    }
    let unread = unread(ground, takes_traffic(deployments, arn));
    if let Some(unread) = unread.filter(|_| !ground.is_promoted(hook)) {
        return Some(unread.to_owned());
    }
    let names = &ground.desired.rollout.breaker.alarms;
    let alarms = observed.alarms.known().map(Vec::as_slice).unwrap_or_default();
    let is_overruled = ground.is_promoted(hook);
    let is_calm = |name: &String| {
        alarms.iter().any(|alarm| alarm.name == *name && (alarm.state != "ALARM" || is_overruled))
    };
    names.iter().find(|name| !is_calm(name)).map(|name| format!("alarm {name} is red or not seen"))
}

/// What the manifest has measured or asked and this look did not read.
fn unread(ground: &Ground<'_>, takes_traffic: bool) -> Option<&'static str> {
    let analysis = ground.desired.rollout.analysis.as_ref()?;
    let observed = ground.input.observed;
    let of_prometheus = |one: &Metric| matches!(one.source, MetricSource::Prometheus(_));
    let has_expressions = analysis.metrics.iter().any(of_prometheus);
    let has_metrics = analysis.metrics.iter().any(|one| !of_prometheus(one));
    if takes_traffic && has_metrics && observed.metrics.known().is_none() {
        return Some("what is to be measured was not read");
    }
    if takes_traffic && has_expressions && observed.expressions.known().is_none() {
        return Some("what Prometheus is to say was not read");
    }
    let is_heard = analysis.webhooks.is_empty() || observed.webhooks.known().is_some();
    (!is_heard).then_some("the web hooks were not asked")
}

/// Whether the new revision already gets production traffic that another one had.
fn takes_traffic(deployments: &[ServiceDeployment], arn: &str) -> bool {
    let weight = |one: &ServiceDeployment| {
        one.target_service_revision.as_ref()?.requested_production_traffic_weight
    };
    deployments
        .iter()
        .filter(|one| one.service_deployment_arn == arn && !one.source_service_revisions.is_empty())
        .any(|one| weight(one).is_some_and(|weight| weight > 0.0))
}
