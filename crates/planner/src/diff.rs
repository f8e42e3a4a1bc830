//! What differs between wanted and live members of a service, as the smallest `UpdateService`; never
//! sends it and never says when.

mod changes;
mod fields;
mod revisions;

use std::collections::{BTreeMap, BTreeSet};

use evenkeel_manifest::canonical;
use serde_json::{Map, Value, json};

use crate::ServiceRevision;
use crate::view::{View, may_be_hidden};

pub use changes::changes;
pub(crate) use changes::{Found, IN_PLACE, differing_fields};
pub use fields::{Cause, Field, FieldOwner, fields};
pub use revisions::{Revised, revised};

/// A member of `UpdateService`.
struct Member {
    name: &'static str,
    effect: Effect,
    /// What takes the member back, with the code by which the digest tag remembers that a manifest
    /// set it. AWS takes absent for "keep", `[]` for "remove" (ecs-behaviour 1.5).
    removed: Option<Removed>,
}

type Removed = (&'static str, fn() -> Value);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    Deployment,
    InPlace,
}

/// ECS changes it only with a deployment that is forced: "When switching from launch type to capacity provider strategy on
/// an existing service, or making a change to a capacity provider strategy on a service that is already using one, you must
/// force a new deployment" (aws/containers-roadmap#631, pipe-cd/pipecd#6385).
const STRATEGY: &str = "capacityProviderStrategy";

/// Makes an `UpdateService` one that ECS takes.
pub(crate) fn force_where_ecs_wants_it(body: &mut Map<String, Value>) {
    if body.contains_key(STRATEGY) {
        body.insert("forceNewDeployment".to_owned(), json!(true));
    }
}

fn none() -> Value {
    json!([])
}

/// Source: `UpdateService` API reference; which members start a deployment: ecs-behaviour 1.5.
const MEMBERS: &[Member] = &[
    starts(STRATEGY, Some(("cp", none))),
    starts("gatewayConnectors", Some(("gc", none))),
    starts("loadBalancers", Some(("lb", none))),
    starts("monitoring", None),
    starts("networkConfiguration", None),
    starts("platformVersion", Some(("pv", || json!("LATEST")))),
    starts("serviceConnectConfiguration", Some(("sc", || json!({ "enabled": false })))),
    starts("serviceRegistries", Some(("sr", none))),
    starts("volumeConfigurations", Some(("vc", none))),
    starts("vpcLatticeConfigurations", Some(("vl", none))),
    changes_in_place("availabilityZoneRebalancing", None),
    changes_in_place("deploymentConfiguration", None),
    changes_in_place("desiredCount", None),
    changes_in_place("enableECSManagedTags", Some(("mt", || json!(false)))),
    changes_in_place("enableExecuteCommand", Some(("ec", || json!(false)))),
    changes_in_place("healthCheckGracePeriodSeconds", Some(("hg", || json!(0)))),
    changes_in_place("placementConstraints", Some(("pc", none))),
    changes_in_place("placementStrategy", Some(("ps", none))),
    changes_in_place("propagateTags", Some(("pt", || json!("NONE")))),
];

const fn starts(name: &'static str, removed: Option<Removed>) -> Member {
    Member { name, effect: Effect::Deployment, removed }
}

const fn changes_in_place(name: &'static str, removed: Option<Removed>) -> Member {
    Member { name, effect: Effect::InPlace, removed }
}

/// Whether a member of `UpdateService` starts a deployment.
pub(crate) fn starts_a_deployment(member: &str) -> bool {
    let is_starting = |one: &Member| one.name == member && one.effect == Effect::Deployment;
    ["taskDefinition", "forceNewDeployment"].contains(&member) || MEMBERS.iter().any(is_starting)
}

/// How a value is compared with what AWS reads back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    /// Not applied yet as far as we know: every difference counts.
    Exact,
    /// Applied before, or on its way: what the server added to it, or does not show, is no difference.
    Lenient,
}

/// The members that differ, each as `UpdateService` takes it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Differences {
    pub(crate) starting: Map<String, Value>,
    pub(crate) in_place: Map<String, Value>,
}

pub(crate) fn differences(view: &View<'_>, comparison: Comparison) -> Differences {
    let mut differences = Differences::default();
    for member in MEMBERS {
        let Some(value) = difference(view, member, comparison) else { continue };
        let part = match member.effect {
            Effect::Deployment => &mut differences.starting,
            Effect::InPlace => &mut differences.in_place,
        };
        part.insert(member.name.to_owned(), value);
    }
    differences
}

/// All that starts a deployment, as the manifest wants it or as it is taken back; but not what ECS wants forced.
pub(crate) fn starting_content(view: &View<'_>) -> impl Iterator<Item = (&'static str, Value)> {
    let starting = MEMBERS
        .iter()
        .filter(|member| member.effect == Effect::Deployment && member.name != STRATEGY);
    starting.filter_map(|member| Some((member.name, wanted(view, member)?)))
}

/// Whether the PRIMARY deployment has the content that the manifest wants.
pub(crate) fn runs_what_is_wanted(view: &View<'_>, comparison: Comparison) -> bool {
    let definition = view.definition(&view.primary.task_definition);
    definition.is_some_and(|one| one.digest == view.desired.task_definition_digest)
        && differences(view, comparison).starting.is_empty()
}

fn difference(view: &View<'_>, member: &Member, comparison: Comparison) -> Option<Value> {
    let live = view.live.get(member.name).filter(|value| !value.is_null());
    match (wanted(view, member), live) {
        (None, _) => None,
        (Some(wanted), Some(live)) if member.name == "deploymentConfiguration" => {
            missing_members(&wanted, live)
        }
        (Some(wanted), Some(live)) => {
            let same = match comparison {
                Comparison::Exact => wanted == *live,
                Comparison::Lenient => contains(live, &wanted),
            };
            (!same).then_some(wanted)
        }
        (Some(wanted), None) => {
            let hidden = may_be_hidden(member.name) && comparison == Comparison::Lenient;
            let off = member.removed.is_some_and(|(_, value)| value() == wanted);
            (!hidden && !off).then_some(wanted)
        }
    }
}

/// What the member is to be: the manifest's value, or what takes back the one it had before.
fn wanted(view: &View<'_>, member: &Member) -> Option<Value> {
    // A task set has it in the place of the service, and keeps it as long as it stands.
    if view.service.has_task_sets() && canonical::task_set_members().contains(&member.name) {
        return None;
    }
    if let Some(value) = view.wanted.get(member.name).filter(|value| !value.is_null()) {
        return Some(value.clone());
    }
    // A launch type instead of a strategy: the two exclude each other.
    let replaced = member.name == STRATEGY && view.wanted.get("launchType").is_some();
    let (code, value) = member.removed?;
    let was_ours = view.memory.applied.as_ref().is_some_and(|last| last.members.contains(code));
    (was_ours || replaced).then(value)
}

/// The members of `wanted` that `live` lacks or has otherwise. `UpdateService` merges
/// `deploymentConfiguration` member by member.
fn missing_members(wanted: &Value, live: &Value) -> Option<Value> {
    let missing: Map<String, Value> = wanted
        .as_object()?
        .iter()
        .filter(|(name, value)| !live.get(name).is_some_and(|live| contains(live, value)))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    (!missing.is_empty()).then_some(Value::Object(missing))
}

/// Whether `live` says all that `wanted` says; it may say more inside objects, not inside lists.
pub(crate) fn contains(live: &Value, wanted: &Value) -> bool {
    match (live, wanted) {
        (Value::Object(live), Value::Object(wanted)) => wanted
            .iter()
            .all(|(name, value)| live.get(name).is_some_and(|live| contains(live, value))),
        (Value::Array(live), Value::Array(wanted)) => {
            live.len() == wanted.len()
                && live.iter().zip(wanted).all(|(live, wanted)| contains(live, wanted))
        }
        (live, wanted) => live == wanted,
    }
}

/// The codes of the members that the manifest sets and that can be taken back.
pub(crate) fn removable_codes(wanted: &Value) -> BTreeSet<String> {
    MEMBERS
        .iter()
        .filter(|member| wanted.get(member.name).is_some())
        .filter_map(|member| Some(member.removed?.0.to_owned()))
        .collect()
}

/// The members with which the service returns to a service revision: those that differ from what is
/// live. Members that the revision lacks are taken back.
///
/// A revision holds neither `desiredCount` nor `deploymentConfiguration` (ecs-behaviour 4.7), so a
/// return keeps both.
pub(crate) fn return_to(live: &Value, revision: &BTreeMap<String, Value>) -> Map<String, Value> {
    let document: Map<String, Value> =
        revision.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    let revision = canonical::service(&Value::Object(document));
    let mut body = Map::new();
    for member in MEMBERS.iter().filter(|member| member.effect == Effect::Deployment) {
        let old = revision.get(member.name).filter(|value| !value.is_null());
        let now = live.get(member.name).filter(|value| !value.is_null());
        let back = match (old, now) {
            (Some(old), Some(now)) if old == now => None,
            // The revision shows the concrete platform version, the service the declared one.
            (Some(_), Some(_)) if member.name == "platformVersion" => None,
            (Some(old), _) => Some(old.clone()),
            // Only a launch type takes the place of a strategy.
            (None, Some(_)) if member.name == STRATEGY && revision.get("launchType").is_none() => {
                None
            }
            (None, Some(now)) => {
                member.removed.map(|(_, value)| value()).filter(|back| back != now)
            }
            (None, None) => None,
        };
        if let Some(value) = back.filter(|value| now.is_some() || *value != none()) {
            body.insert(member.name.to_owned(), value);
        }
    }
    body
}

/// Whether a service that goes from one revision to the other keeps all that a revision holds.
pub(crate) fn is_same_content(
    view: &View<'_>,
    one: &ServiceRevision,
    other: &ServiceRevision,
) -> bool {
    view.has_content_of(&one.task_definition, &other.task_definition)
        && has_same_members(one, other)
}

fn has_same_members(one: &ServiceRevision, other: &ServiceRevision) -> bool {
    let document = Value::Object(one.rest.clone().into_iter().collect());
    return_to(&canonical::service(&document), &other.rest).is_empty()
}

/// Whether a service revision, which shows all that it has, has what the manifest wants beside the task definition.
pub(crate) fn has_wanted_members(view: &View<'_>, revision: &ServiceRevision) -> bool {
    let document = Value::Object(revision.rest.clone().into_iter().collect());
    let had = canonical::service(&document);
    // The revision shows the concrete platform version, the manifest the declared one.
    let compared = MEMBERS
        .iter()
        .filter(|member| member.effect == Effect::Deployment && member.name != "platformVersion");
    compared
        .filter_map(|member| Some((member, wanted(view, member)?)))
        .all(|(member, wanted)| has_member(&had, member, &wanted))
}

fn has_member(had: &Value, member: &Member, wanted: &Value) -> bool {
    match had.get(member.name).filter(|value| !value.is_null()) {
        Some(had) => contains(had, wanted),
        None => member.removed.is_some_and(|(_, off)| off() == *wanted),
    }
}

/// A field that cannot be changed on an existing service, as `field: old → new`.
pub(crate) fn immutable_difference(view: &View<'_>) -> Option<String> {
    let text =
        |value: &Value, name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
    ["schedulingStrategy", "launchType", "role"].into_iter().find_map(|name| {
        let (wanted, live) = (text(&view.wanted, name)?, text(&view.live, name)?);
        (wanted != live).then(|| format!("{name}: {live} → {wanted}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The members with which a service that has `live` returns to a revision that has `revision`.
    fn back(live: &Value, revision: &Value) -> Value {
        let live = canonical::service(live);
        let revision = revision.as_object().cloned().unwrap_or_default().into_iter().collect();
        Value::Object(return_to(&live, &revision))
    }

    fn network(subnet: &str) -> Value {
        json!({ "awsvpcConfiguration": { "subnets": [subnet] } })
    }

    fn balancer() -> Value {
        json!([{ "targetGroupArn": "web", "containerName": "web", "containerPort": 80 }])
    }

    #[test]
    fn a_return_names_what_differs_and_nothing_else() {
        let with = |subnet| json!({ "networkConfiguration": network(subnet), "loadBalancers": balancer() });
        let members = back(&with("b"), &with("a"));
        let names: Vec<&String> = members.as_object().into_iter().flat_map(Map::keys).collect();
        assert_eq!(names, ["networkConfiguration"]);
        assert_eq!(
            members.pointer("/networkConfiguration/awsvpcConfiguration/subnets/0"),
            Some(&json!("a"))
        );
        assert_eq!(back(&with("a"), &with("a")), json!({}));
    }

    #[test]
    fn a_return_leaves_the_platform_version_that_a_revision_shows_more_exactly() {
        let version = |version: &str| json!({ "platformVersion": version });
        assert_eq!(back(&version("LATEST"), &version("1.4.0")), json!({}));
    }

    #[test]
    fn a_return_takes_back_what_the_revision_lacks_unless_it_is_off_already() {
        let balanced = json!({ "loadBalancers": balancer() });
        assert_eq!(back(&balanced, &json!({})), json!({ "loadBalancers": [] }));
        assert_eq!(
            back(&balanced, &json!({ "loadBalancers": null })),
            json!({ "loadBalancers": [] })
        );
        assert_eq!(back(&json!({ "loadBalancers": [] }), &json!({})), json!({}));
        let connect = |is_on: bool| json!({ "serviceConnectConfiguration": { "enabled": is_on } });
        assert_eq!(back(&connect(true), &json!({})), connect(false));
        assert_eq!(back(&connect(false), &json!({})), json!({}));
    }

    #[test]
    fn a_return_does_not_set_to_nothing_what_is_not_set() {
        let empty = json!({ "volumeConfigurations": [] });
        assert_eq!(back(&json!({}), &empty), json!({}));
        assert_eq!(back(&json!({ "volumeConfigurations": [{ "name": "data" }] }), &empty), empty);
        let some = json!({ "volumeConfigurations": [{ "name": "data" }] });
        assert_eq!(back(&json!({}), &some), some);
    }

    #[test]
    fn revisions_have_the_same_members_when_none_differs() {
        let revision = |subnet: &str| {
            let reply = json!({
                "serviceRevisionArn": "arn", "taskDefinition": "web:1",
                "networkConfiguration": network(subnet),
            });
            ServiceRevision::read(&reply).expect("it has what ECS always sends")
        };
        assert!(has_same_members(&revision("a"), &revision("a")));
        assert!(!has_same_members(&revision("a"), &revision("b")));
    }
}
