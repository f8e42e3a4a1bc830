//! A clean service is never dirty: over every field that AWS has, with its defaults and in any order.

#![expect(clippy::indexing_slicing, reason = "indexing a JSON value yields null")]

use std::collections::BTreeSet;

use evenkeel_manifest::DriftPolicy;
use evenkeel_planner::{fields, tag};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Map, Value, json};

use crate::ecs::input;
use crate::looks::Look;
use crate::manifests::{Draft, key, web};
use crate::plans::settled;

/// Members that say who the service is, or that Evenkeel writes by the strategy of the rollout.
const LEFT_OUT: [&str; 9] = [
    "clientToken",
    "cluster",
    "deploymentController",
    "launchType",
    "role",
    "schedulingStrategy",
    "serviceName",
    "tags",
    "taskDefinition",
];

/// Lists of which ECS keeps no order.
const SETS: [&str; 11] = [
    "alarmNames",
    "capacityProviderStrategy",
    "lifecycleHooks",
    "lifecycleStages",
    "loadBalancers",
    "placementConstraints",
    "secretOptions",
    "securityGroups",
    "serviceRegistries",
    "subnets",
    "tags",
];

/// AWS's tree of the fields of CreateService, as generated from its model.
fn members_of_create_service() -> Map<String, Value> {
    let shapes = include_str!("../../../manifest/src/shapes.json");
    let mut shapes: Value = serde_json::from_str(shapes).expect("JSON");
    let members = shapes["CreateService"]["members"].take();
    let mut members = members.as_object().cloned().expect("it is a structure");
    members.retain(|name, _| !LEFT_OUT.contains(&name.as_str()));
    let configuration = &mut members["deploymentConfiguration"]["members"];
    configuration.as_object_mut().expect("it is a structure").remove("strategy");
    members
}

/// Any value of a shape; lists may be empty, texts come from few letters so that they collide.
fn value_of(shape: &Value) -> BoxedStrategy<Value> {
    match shape["type"].as_str().expect("every shape has a type") {
        "structure" => structure(shape["members"].as_object().expect("members"), 5),
        "list" => vec(value_of(&shape["member"]), 0..4).prop_map(Value::from).boxed(),
        "map" => btree_map("[a-c]", value_of(&shape["value"]), 0..3)
            .prop_map(|map| map.into_iter().collect())
            .boxed(),
        "string" => match shape["enum"].as_array() {
            Some(known) => select(known.clone()).boxed(),
            None => "[a-c0-2]{1,3}".prop_map(Value::from).boxed(),
        },
        "boolean" => any::<bool>().prop_map(Value::from).boxed(),
        "float" | "double" => (1..100_i32).prop_map(|n| (f64::from(n) / 4.0).into()).boxed(),
        _ => prop_oneof![Just(0), 1..400_i64].prop_map(Value::from).boxed(),
    }
}

fn structure(members: &Map<String, Value>, most: usize) -> BoxedStrategy<Value> {
    let members: Vec<(String, BoxedStrategy<Value>)> =
        members.iter().map(|(name, shape)| (name.clone(), value_of(shape))).collect();
    let most = members.len().min(most);
    subsequence(members, 0..=most)
        .prop_flat_map(|members| {
            let (names, values): (Vec<_>, Vec<_>) = members.into_iter().unzip();
            values.prop_map(move |values| names.iter().cloned().zip(values).collect::<Value>())
        })
        .boxed()
}

fn tags() -> impl Strategy<Value = Value> {
    btree_map("[a-c]{1,2}", "[a-c]{0,2}", 0..4).prop_map(|tags| {
        tags.into_iter().map(|(key, value)| json!({ "key": key, "value": value })).collect()
    })
}

/// A manifest with any of the fields that AWS has.
fn any_draft() -> impl Strategy<Value = Draft> {
    (structure(&members_of_create_service(), 9), tags()).prop_map(|(service, tags)| {
        let mut draft = web("good:1").with("tags", tags);
        let members = service.as_object().expect("it is a structure").clone();
        draft.service = members
            .into_iter()
            .chain([("tags".to_owned(), draft.service["tags"].take())])
            .collect();
        draft
    })
}

/// What ECS makes of what was sent: what is not there it fills, and sets it returns in another order.
fn read_back(sent: &Value, turn: usize) -> Map<String, Value> {
    let mut service = turned(sent, turn).as_object().cloned().expect("it is an object");
    for (name, default) in [
        ("schedulingStrategy", json!("REPLICA")),
        ("deploymentController", json!({ "type": "ECS" })),
        ("desiredCount", json!(4)),
        ("enableECSManagedTags", json!(false)),
        ("enableExecuteCommand", json!(false)),
        ("healthCheckGracePeriodSeconds", json!(0)),
        ("platformVersion", json!("LATEST")),
        ("propagateTags", json!("NONE")),
        ("placementConstraints", json!([])),
        ("placementStrategy", json!([])),
        ("loadBalancers", json!([])),
        ("serviceRegistries", json!([])),
        ("deploymentConfiguration", json!({})),
        ("availabilityZoneRebalancing", json!("ENABLED")),
    ] {
        service.entry(name).or_insert(default);
    }
    let configuration = &mut service["deploymentConfiguration"];
    fill(
        configuration,
        &[
            ("maximumPercent", json!(200)),
            ("minimumHealthyPercent", json!(100)),
            ("strategy", json!("ROLLING")),
            ("bakeTimeInMinutes", json!(0)),
            // Evenkeel's own default, which it sent.
            ("deploymentCircuitBreaker", json!({ "enable": true, "rollback": true })),
            ("alarms", json!({})),
        ],
    );
    let alarms = [("alarmNames", json!([])), ("enable", json!(false)), ("rollback", json!(false))];
    fill(&mut configuration["alarms"], &alarms);
    let breaker = &mut configuration["deploymentCircuitBreaker"];
    fill(
        breaker,
        &[
            ("enable", json!(false)),
            ("rollback", json!(false)),
            ("resetOnHealthyTask", json!(true)),
            ("thresholdConfiguration", json!({})),
        ],
    );
    let threshold = [("type", json!("BOUNDED_PERCENT")), ("value", json!(50))];
    fill(&mut breaker["thresholdConfiguration"], &threshold);
    for provider in each(service.get_mut("capacityProviderStrategy")) {
        fill(provider, &[("base", json!(0)), ("weight", json!(0))]);
    }
    let network = service.get_mut("networkConfiguration");
    if let Some(network) = network.and_then(|network| network.get_mut("awsvpcConfiguration")) {
        fill(network, &[("securityGroups", json!([])), ("assignPublicIp", json!("DISABLED"))]);
    }
    service
}

fn fill(value: &mut Value, defaults: &[(&str, Value)]) {
    let Some(members) = value.as_object_mut() else { return };
    for (name, default) in defaults {
        members.entry(*name).or_insert_with(|| default.clone());
    }
}

fn each(list: Option<&mut Value>) -> impl Iterator<Item = &mut Value> {
    list.and_then(Value::as_array_mut).into_iter().flatten()
}

/// The same with every set begun at another element.
fn turned(value: &Value, turn: usize) -> Value {
    let member = |(name, value): (&String, &Value)| {
        let mut value = turned(value, turn);
        if let (true, Value::Array(all)) = (SETS.contains(&name.as_str()), &mut value)
            && !all.is_empty()
        {
            let begin = turn % all.len();
            all.rotate_left(begin);
        }
        (name.clone(), value)
    };
    match value {
        Value::Object(members) => members.iter().map(member).collect(),
        Value::Array(all) => all.iter().map(|one| turned(one, turn)).collect(),
        other => other.clone(),
    }
}

/// A look at a service to which all of the manifest was applied.
fn applied(draft: &Draft, turn: usize, hides: bool) -> Look {
    let mut look = Look::at(&settled(&web("good:1")), draft.service());
    let digest = look.desired.revision_digest.clone();
    let codes = look.service().tags[tag::DIGEST].rsplit(':').next().unwrap_or_default().to_owned();
    let at = look.ago(3600).as_second();
    look.tag(tag::DIGEST, &format!("v1:{digest}:{at}:{codes}"));
    let mut members = read_back(&draft.service, turn);
    if hides {
        // ECS shows them on no service (ecs-behaviour 8.3).
        for name in
            ["serviceConnectConfiguration", "volumeConfigurations", "vpcLatticeConfigurations"]
        {
            members.remove(name);
        }
    }
    members.remove("desiredCount").and_then(|count| count.as_u64()).map(|count| {
        let count = u32::try_from(count).expect("it is small");
        look.service().desired_count = count;
        look.document().insert("desiredCount".to_owned(), json!(count))
    });
    let pairs = members.remove("tags").unwrap_or_default();
    let mut keys = BTreeSet::new();
    for pair in pairs.as_array().into_iter().flatten() {
        let text = |name: &str| pair[name].as_str().unwrap_or_default().to_owned();
        look.tag(&text("key"), &text("value"));
        keys.insert(text("key"));
    }
    if !keys.is_empty() {
        look.tag(tag::TAGS, &keys.into_iter().collect::<Vec<_>>().join(" "));
    }
    let names: Vec<String> = members_of_create_service().keys().cloned().collect();
    look.document().retain(|name, _| !names.contains(name) || name == "desiredCount");
    look.document().extend(members);
    look
}

/// Carries the tags of a plan out, of which the first remember what was applied.
fn remember(look: &mut Look) {
    for (key, value) in look.tags_written() {
        look.tag(&key, &value);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_was_applied_differs_in_no_field_whatever_aws_fills_in_and_reorders(
        draft in any_draft(),
        turn in 0_usize..4,
        hides: bool,
        policy in select(vec![DriftPolicy::Heal, DriftPolicy::Report, DriftPolicy::Ignore]),
    ) {
        let mut draft = draft;
        draft.drift.default = policy;
        let mut look = applied(&draft, turn, hides);
        let update = look.update();
        prop_assert_eq!(update, Value::Null, "{}", look.plan());
        remember(&mut look);
        prop_assert_eq!(look.plan().to_string(), "nothing to do\n");
        let key = key();
        let differing: Vec<String> = fields(&input(&key, Some(&look.desired), &look.seen))
            .into_iter()
            .filter(|field| field.cause.is_some() || field.policy.is_some())
            .map(|field| field.path)
            .collect();
        prop_assert_eq!(differing, Vec::<String>::new());
    }

    /// Then every default and every order counts: what the server added is forgiven only once it was applied.
    #[test]
    fn what_runs_and_is_not_remembered_is_known_to_be_what_is_wanted(
        draft in any_draft(), turn in 0_usize..4
    ) {
        let mut look = applied(&draft, turn, false);
        look.service().tags.remove(tag::DIGEST);
        prop_assert_eq!(look.update(), Value::Null, "{}", look.plan());
        prop_assert!(look.tags_written().contains_key(tag::ROLLOUT), "{}", look.plan());
    }
}

#[test]
fn a_look_that_is_not_clean_is_told() {
    let draft = web("good:1").with("enableExecuteCommand", json!(true));
    let mut look = applied(&draft, 1, false);
    look.document().insert("enableExecuteCommand".to_owned(), json!(false));
    assert_eq!(look.update(), json!({ "enableExecuteCommand": true }));
}
