//! Creating a service that does not exist; never touches one that does.

use evenkeel_manifest::{Digest, Service};
use serde_json::{Map, Value, json};

use super::start::{phase_of_new, register};
use super::{preflight, prune, unknown, word};
use crate::tags::{Marked, Owner, RolloutMark, encode_keys, tag};
use crate::view::{explain, is_daemon, owned_count, wanted_definition, wanted_members};
use crate::{Action, Call, Fact, Input, Lane, Plan, RolloutPhase};

pub(super) fn create(input: &Input<'_>, desired: &Service) -> Plan {
    let observed = input.observed;
    if let Some(plan) = word::not_created(desired, input.now) {
        return plan;
    }
    if let Fact::Unknown(why) = &observed.task_definitions {
        return unknown(format!("the task definition was not looked up: {}", explain(why)));
    }
    if let Some(sentence) = missing_alarm(input, desired) {
        return super::stand_still(crate::WaitReason::Alarm, sentence);
    }
    if let Some(plan) = preflight::hindered(desired, observed) {
        return plan;
    }
    if desired.rollout.strategy.steps().is_some() {
        return external(input, desired);
    }
    match wanted_definition(desired, observed, None) {
        Some(definition) => {
            let count = first_count(desired);
            let why = match (count, owned_count(desired)) {
                (Some(first), Some(all)) if first < all => format!(
                    "creates the service with {first} of {all} tasks, as a probe of {}",
                    definition.arn
                ),
                _ => format!("creates the service with {}", definition.arn),
            };
            let why = why + &word::created_in_spite_of_a_freeze(desired, input.now);
            let call = Call::CreateService { input: body(input, desired, &definition.arn, count) };
            let waiting = preflight::left_out(observed);
            Plan::acting(vec![Action { call, lane: Lane::NewChange, why }], waiting)
        }
        None => register(desired, observed),
    }
}

/// A service that has no tasks until it has a task set.
fn external(input: &Input<'_>, desired: &Service) -> Plan {
    let mut body = desired.service.value();
    if let Some(members) = body.as_object_mut() {
        members.retain(|name, _| OF_AN_EXTERNAL_SERVICE.contains(&name.as_str()));
        members.entry("desiredCount").or_insert(json!(1));
        members.insert("cluster".to_owned(), json!(desired.key.cluster));
        members.insert("serviceName".to_owned(), json!(desired.key.name));
        members.insert("clientToken".to_owned(), json!(client_token(input, desired)));
        let theirs = members.remove("tags");
        members.insert("tags".to_owned(), tags(input, desired, None, theirs));
    }
    let why = "creates the service, for task sets to be made in".to_owned();
    let why = why + &word::created_in_spite_of_a_freeze(desired, input.now);
    let waiting = preflight::left_out(input.observed);
    let call = Call::CreateService { input: body };
    Plan::acting(vec![Action { call, lane: Lane::NewChange, why }], waiting)
}

/// The members that `CreateService` takes for an EXTERNAL controller (ecs-behaviour 5.1).
const OF_AN_EXTERNAL_SERVICE: &[&str] = &[
    "desiredCount",
    "deploymentController",
    "schedulingStrategy",
    "placementConstraints",
    "placementStrategy",
    "healthCheckGracePeriodSeconds",
    "tags",
    "enableECSManagedTags",
    "propagateTags",
    "enableExecuteCommand",
    "role",
];

/// A rollout must be able to hear its alarms before it starts.
pub(super) fn missing_alarm(input: &Input<'_>, desired: &Service) -> Option<String> {
    let names = &desired.rollout.breaker.alarms;
    let first = names.first()?;
    match &input.observed.alarms {
        Fact::Known(all) => {
            names.iter().find(|name| all.iter().all(|alarm| alarm.name != **name)).map(|name| {
                format!("alarm {name} does not exist; the service is created when it does")
            })
        }
        Fact::Absent => Some(format!("alarm {first} does not exist")),
        Fact::Unknown(why) => Some(format!("alarm {first} cannot be read: {}", explain(why))),
    }
}

/// `REPLICA` needs a count, `DAEMON` takes none. A probe begins with one task; so does a service
/// whose count is an autoscaler's.
fn first_count(desired: &Service) -> Option<u32> {
    if is_daemon(desired) {
        return None;
    }
    let count = owned_count(desired).unwrap_or(1);
    let probes = phase_of_new(desired) == RolloutPhase::Probing;
    Some(if probes { count.min(1) } else { count })
}

fn body(input: &Input<'_>, desired: &Service, definition: &str, count: Option<u32>) -> Value {
    let mut body = wanted_members(desired);
    let Some(members) = body.as_object_mut() else { return body };
    members.insert("cluster".to_owned(), json!(desired.key.cluster));
    members.insert("serviceName".to_owned(), json!(desired.key.name));
    members.insert("taskDefinition".to_owned(), json!(definition));
    members.insert("clientToken".to_owned(), json!(client_token(input, desired)));
    members.remove("desiredCount");
    if let Some(count) = count {
        members.insert("desiredCount".to_owned(), json!(count));
    }
    let theirs = members.remove("tags");
    members.insert("tags".to_owned(), tags(input, desired, Some(definition), theirs));
    body
}

/// The manifest's tags and ours, as the list that ECS takes.
fn tags(
    input: &Input<'_>,
    desired: &Service,
    definition: Option<&str>,
    theirs: Option<Value>,
) -> Value {
    let rollout = definition.map(|definition| {
        RolloutMark::new(
            &desired.revision_digest,
            Marked::announced(definition, None),
            phase_of_new(desired),
            input.now,
        )
    });
    let mut tags = match theirs {
        Some(Value::Array(tags)) => tags,
        _ => Vec::new(),
    };
    let keys: Vec<String> =
        tags.iter().filter_map(|tag: &Value| Some(tag.get("key")?.as_str()?.to_owned())).collect();
    let mut add = |key: &str, value: String| tags.push(json!({ "key": key, "value": value }));
    add(tag::OWNER, Owner::encode(input.instance, &desired.source.file));
    if let Some(rollout) = rollout {
        add(tag::ROLLOUT, rollout.encode());
    }
    if desired.is_kept() {
        add(tag::PRUNE, prune::DISABLED.to_owned());
    }
    if !keys.is_empty() {
        add(tag::TAGS, encode_keys(keys.iter().map(String::as_str)));
    }
    Value::Array(tags)
}

/// Equal for a repeated call, so that a lost answer creates no second service; another one after the
/// service was deleted. At most 36 ASCII characters (`CreateService` API reference).
fn client_token(input: &Input<'_>, desired: &Service) -> String {
    let former = input.observed.service.known().and_then(|one| one.document.get("createdAt"));
    let mut content = Map::new();
    content.insert("key".to_owned(), json!(input.key.to_string()));
    content.insert("revision".to_owned(), json!(desired.revision_digest.as_str()));
    content.insert("former".to_owned(), json!(former));
    let digest = Digest::of(&Value::Object(content));
    digest.as_str().chars().filter(char::is_ascii_alphanumeric).take(36).collect()
}
