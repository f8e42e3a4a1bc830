//! Whose service it is, and whether this version can drive it; never changes a service.

use std::collections::BTreeMap;

use evenkeel_manifest::Service;
use serde_json::Value;

use super::{stand_still, unknown, unread};
use crate::diff::immutable_difference;
use crate::tags::{Memory, Owner, tag};
use crate::view::{Standing, View, not_seen};
use crate::{Action, Call, Input, Lane, ObservedService, Plan, WaitReason};

/// Refuses a service that carries somebody else's mark, or none without `adopt`.
pub(super) fn foreign(
    input: &Input<'_>,
    desired: &Service,
    service: &ObservedService,
) -> Option<Plan> {
    let sentence = match Memory::read(&service.tags).owner {
        None if desired.adopt => return None,
        None => {
            "the service exists and is not Evenkeel's; set spec.adopt to take it over".to_owned()
        }
        Some(Owner::Instance(owner)) if owner == Owner::name(input.instance) => return None,
        Some(Owner::Instance(owner)) => format!(
            "the service belongs to the instance {owner}, not to {}; it is not touched",
            Owner::name(input.instance)
        ),
        Some(Owner::Unreadable(value)) => {
            format!("the tag {} has a value that this version cannot read: {value}", tag::OWNER)
        }
    };
    Some(stand_still(WaitReason::NotOwned, sentence))
}

/// Refuses to take a service over and change its strategy at once.
pub(super) fn unsupported_strategy(desired: &Service, service: &ObservedService) -> Option<Plan> {
    let strategy = service.document.pointer("/deploymentConfiguration/strategy");
    let strategy = strategy.and_then(Value::as_str).unwrap_or("ROLLING");
    let wanted = desired.rollout.strategy.word();
    let is_ours = Memory::read(&service.tags).owner.is_some() || !is_new_to_us(service);
    if service.controller() != "ECS" || strategy == wanted || is_ours {
        return None;
    }
    let sentence = format!(
        "the deployment strategy of the service that is to be taken over is {strategy}, and \
         spec.rollout.strategy makes it {wanted}; take it over as it is, and change it afterwards"
    );
    Some(stand_still(WaitReason::Unsupported, sentence))
}

/// Names what runs as the baseline to return to, where a service that was taken over in mid-deployment has none.
pub(super) fn baseline(view: &View<'_>) -> Option<Plan> {
    let is_judged = view.memory.proven.is_some() || view.memory.rejected.is_some();
    if is_judged || !is_new_to_us(view.service) || view.standing() != Standing::Completed {
        return None;
    }
    let arn = primary_revision(view)?;
    if let Some(sentence) = unread("the tasks", not_seen(&view.observed().tasks)) {
        return Some(unknown(format!("{sentence}; what runs is no baseline yet")));
    }
    let why = format!("ECS has completed {}: {arn} is the baseline to return to", view.primary.id);
    let tags =
        BTreeMap::from([(tag::OWNER.to_owned(), owner(view)), (tag::PROVEN.to_owned(), arn)]);
    let call = Call::TagResource { arn: view.service.service_arn.clone(), tags };
    Some(Plan::acting(vec![Action { call, lane: Lane::NewChange, why }], Vec::new()))
}

/// Whether nothing of it was ever rolled out by us.
fn is_new_to_us(service: &ObservedService) -> bool {
    let memory = Memory::read(&service.tags);
    memory.applied.is_none() && memory.rollout.is_none()
}

/// Marks a service as ours, with the revision that it runs as the baseline to return to.
pub(super) fn adopt(view: &View<'_>) -> Option<Plan> {
    if view.memory.owner.is_some() {
        return None;
    }
    let mut tags = BTreeMap::from([(tag::OWNER.to_owned(), owner(view))]);
    let mut why = "adopts the service: spec.adopt is true and nobody owns it".to_owned();
    if view.standing() == Standing::Completed
        && let Some(arn) = primary_revision(view)
    {
        why = format!("{why}; {arn} is the baseline to return to");
        tags.insert(tag::PROVEN.to_owned(), arn);
    }
    let call = Call::TagResource { arn: view.service.service_arn.clone(), tags };
    Some(Plan::acting(vec![Action { call, lane: Lane::NewChange, why }], Vec::new()))
}

pub(super) fn owner(view: &View<'_>) -> String {
    Owner::encode(view.input.instance, &view.desired.source.file)
}

/// What names the PRIMARY deployment's revision in the tag `proven`: the service revision if the
/// server shows one, else the task definition. `None` when neither fits into a tag.
pub(super) fn primary_revision(view: &View<'_>) -> Option<String> {
    let id = &view.primary.id;
    let current = view.service.document.get("currentServiceRevisions").and_then(Value::as_array);
    let current: Vec<&str> =
        current.into_iter().flatten().filter_map(|one| one.get("arn")?.as_str()).collect();
    let number = crate::view::last_part(id);
    let listed = current.iter().find(|arn| crate::view::last_part(arn) == number);
    // A deployment that ECS returned with has the number of none: its revision is an earlier one.
    let sole = if let [sole] = current.as_slice() { Some(sole) } else { None };
    let deployed = view
        .service_deployment(id)
        .and_then(|one| Some(one.target_service_revision.as_ref()?.arn.as_str()));
    let definition = view.primary.task_definition.as_str();
    [listed.or(sole).copied(), deployed, Some(definition)]
        .into_iter()
        .flatten()
        .find(|arn| !arn.is_empty() && arn.chars().count() <= crate::tags::VALUE_MAX)
        .map(str::to_owned)
}

pub(super) fn immutable(view: &View<'_>) -> Option<Plan> {
    let difference = immutable_difference(view)?;
    let sentence = format!(
        "ECS cannot change this on an existing service: {difference}; give the service a new name, or \
         delete it so that it is created anew"
    );
    Some(stand_still(WaitReason::Unsupported, sentence))
}
