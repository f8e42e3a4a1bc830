//! What must hold of every manifest, tried on generated ones.

use std::collections::BTreeMap;

use evenkeel_manifest::{Digest, File, Limits, canonical, load, load_with};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Map, Value, json};

/// AWS's tree of fields, as generated from its model.
#[expect(clippy::indexing_slicing, reason = "indexing a JSON value yields null")]
fn shape(operation: &str) -> Value {
    let shapes: Value = serde_json::from_str(include_str!("../src/shapes.json")).expect("JSON");
    shapes[operation].clone()
}

/// Any value of a shape, its structures sparse and its lists short.
fn value_of(shape: &Value) -> BoxedStrategy<Value> {
    match shape["type"].as_str().expect("every shape has a type") {
        "structure" => structure(shape["members"].as_object().expect("members")),
        "list" => vec(value_of(&shape["member"]), 0..3).prop_map(Value::from).boxed(),
        "map" => btree_map("[a-c]", value_of(&shape["value"]), 0..3)
            .prop_map(|map| map.into_iter().collect())
            .boxed(),
        "string" => match shape["enum"].as_array() {
            Some(known) => select(known.clone()).boxed(),
            None => "[a-c0-2/ ]{0,3}".prop_map(Value::from).boxed(),
        },
        "boolean" => any::<bool>().prop_map(Value::from).boxed(),
        "integer" | "long" => {
            prop_oneof![Just(0), Just(100), Just(300), 0..4000_i64].prop_map(Value::from).boxed()
        }
        "float" | "double" => (0..100_i32).prop_map(|n| (f64::from(n) / 4.0).into()).boxed(),
        _ => Just(json!({ "any": [1, "x"] })).boxed(),
    }
}

fn structure(members: &Map<String, Value>) -> BoxedStrategy<Value> {
    let members: Vec<(String, BoxedStrategy<Value>)> =
        members.iter().map(|(name, shape)| (name.clone(), value_of(shape))).collect();
    let most = members.len().min(5);
    subsequence(members, 0..=most)
        .prop_flat_map(|members| {
            let (names, values): (Vec<_>, Vec<_>) = members.into_iter().unzip();
            values.prop_map(move |values| names.iter().cloned().zip(values).collect::<Value>())
        })
        .boxed()
}

/// Lists that ECS is known to return in another order.
const SHUFFLED: [&str; 10] = [
    "containerDefinitions",
    "environment",
    "secrets",
    "portMappings",
    "volumesFrom",
    "ulimits",
    "requiresCompatibilities",
    "subnets",
    "securityGroups",
    "loadBalancers",
];

/// What ECS makes of a task definition between registering and describing it.
fn read_back(value: &Value) -> Value {
    let mut value = reversed(value);
    let Some(members) = value.as_object_mut() else { return value };
    for (name, added) in [
        ("taskDefinitionArn", json!("arn:aws:ecs:eu-west-1:1:task-definition/x:1")),
        ("revision", json!(1)),
        ("status", json!("ACTIVE")),
        ("requiresAttributes", json!([{ "name": "x" }])),
        ("registeredAt", json!(1.5)),
    ] {
        members.insert(name.to_owned(), added);
    }
    for (name, default) in [("volumes", json!([])), ("placementConstraints", json!([]))] {
        members.entry(name).or_insert(default);
    }
    let containers = members.get_mut("containerDefinitions").and_then(Value::as_array_mut);
    for container in containers.into_iter().flatten().filter_map(Value::as_object_mut) {
        for (name, default) in [
            ("cpu", json!(0)),
            ("essential", json!(true)),
            ("environment", json!([])),
            ("mountPoints", json!([])),
            ("volumesFrom", json!([])),
            ("portMappings", json!([])),
            ("systemControls", json!([])),
        ] {
            container.entry(name).or_insert(default);
        }
        let check = container.get_mut("healthCheck").and_then(Value::as_object_mut);
        if let Some(check) = check {
            check.entry("interval").or_insert(30.into());
            check.entry("timeout").or_insert(5.into());
            check.entry("retries").or_insert(3.into());
        }
    }
    value
}

/// The same with the shuffled lists the other way round.
fn reversed(value: &Value) -> Value {
    let member = |(name, value): (&String, &Value)| {
        let mut value = reversed(value);
        if let (true, Some(list)) = (SHUFFLED.contains(&name.as_str()), value.as_array_mut()) {
            list.reverse();
        }
        (name.clone(), value)
    };
    match value {
        Value::Object(members) => members.iter().map(member).collect(),
        Value::Array(elements) => elements.iter().map(reversed).collect(),
        other => other.clone(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn a_canonical_task_definition_stays_as_it_is(
        written in value_of(&shape("RegisterTaskDefinition"))
    ) {
        let once = canonical::task_definition(&written);
        prop_assert_eq!(&canonical::task_definition(&once), &once);
        prop_assert_eq!(Digest::of(&canonical::task_definition(&once)), Digest::of(&once));
    }

    #[test]
    fn a_canonical_service_stays_as_it_is(written in value_of(&shape("CreateService"))) {
        let once = canonical::service(&written);
        prop_assert_eq!(canonical::service(&once), once);
    }

    #[test]
    fn what_is_owned_of_a_service_agrees_with_what_is_read_back(
        written in value_of(&shape("CreateService"))
    ) {
        let complete = canonical::service(&written);
        let owned = canonical::owned(&complete, &written);
        let again = canonical::service(&owned);
        prop_assert_eq!(&canonical::owned(&again, &owned), &owned);
        prop_assert_eq!(again, complete);
    }

    #[test]
    fn reading_a_task_definition_back_finds_no_difference(
        written in value_of(&shape("RegisterTaskDefinition"))
    ) {
        let (registered, described) =
            (canonical::task_definition(&written), canonical::task_definition(&read_back(&written)));
        prop_assert_eq!(Digest::of(&registered), Digest::of(&described));
        prop_assert_eq!(registered, described);
    }

    #[test]
    fn the_order_of_shuffled_lists_of_a_service_is_not_content(
        written in value_of(&shape("CreateService"))
    ) {
        prop_assert_eq!(canonical::service(&written), canonical::service(&reversed(&written)));
    }

    #[test]
    fn any_text_is_read_without_a_panic(text in prop_oneof![any::<String>(), "[\\[\\]{}:,&*!|>'\"%@`#?a \t\n-]{0,200}"]) {
        let limits = Limits { nodes: 500, depth: 16, ..Limits::default() };
        let _set = load_with(&[File { name: "any.yaml".into(), text }], &limits);
    }

    #[test]
    fn a_damaged_manifest_never_hinders_its_neighbour(
        at in any::<prop::sample::Index>(),
        length in 0_usize..20,
        insert in "[\\[\\]{}:,&*!|>'\"#?a0 \t\n-]{0,8}",
    ) {
        let good: Vec<char> = include_str!("cases/good/fargate.yaml").chars().collect();
        let start = at.index(good.len());
        let end = (start + length).min(good.len());
        let damaged = good[..start].iter().copied().chain(insert.chars()).chain(good[end..].iter().copied());
        let neighbour = include_str!("cases/good/smallest.yaml").to_owned();
        let set = load(&[
            File { name: "damaged.yaml".into(), text: damaged.collect() },
            File { name: "neighbour.yaml".into(), text: neighbour },
        ]);
        let neighbours = set.services.iter().filter(|service| &*service.source.file == "neighbour.yaml");
        prop_assert_eq!(neighbours.count(), 1);
        for problem in &set.problems {
            prop_assert!(problem.line >= 1 && problem.column >= 1, "{}", problem);
        }
    }
}

/// Every leaf of a shape: its path and a document that holds it alone.
fn leaves(shape: &Value, path: &str, wrap: &dyn Fn(Value) -> Value) -> Vec<(String, Value)> {
    match shape["type"].as_str().expect("every shape has a type") {
        "structure" => shape["members"]
            .as_object()
            .expect("members")
            .iter()
            .flat_map(|(name, member)| {
                leaves(member, &format!("{path}.{name}"), &|inner| wrap(json!({ name: inner })))
            })
            .collect(),
        "list" => leaves(&shape["member"], path, &|inner| wrap(json!([inner]))),
        "map" => leaves(&shape["value"], path, &|inner| wrap(json!({ "any": inner }))),
        "string" => vec![(path.to_owned(), wrap(json!("4096")))],
        "boolean" => [true, false].map(|yes| (path.to_owned(), wrap(json!(yes)))).into(),
        "float" | "double" => vec![(path.to_owned(), wrap(json!(1.5)))],
        _ => vec![(path.to_owned(), wrap(json!(7)))],
    }
}

#[test]
fn every_member_that_aws_has_is_taken_without_a_word_about_its_shape() {
    let (mut tried, parts) =
        (0, [("RegisterTaskDefinition", "taskDefinition"), ("CreateService", "service")]);
    for (operation, part) in parts {
        for (path, document) in leaves(&shape(operation), "", &|inner| inner) {
            let mut manifest = json!({
                "apiVersion": "evenkeel.dev/v1", "kind": "Service", "metadata": { "name": "x" },
                "spec": { "cluster": "prod", "taskDefinition": {}, "service": {} }
            });
            manifest["spec"][part] = document;
            let set = load(&[File { name: "x.json".into(), text: manifest.to_string() }]);
            let wrong = |message: &str| {
                message.starts_with("unknown field") || message.contains(", found ")
            };
            let wrong: Vec<String> = set
                .problems
                .iter()
                .filter(|problem| wrong(&problem.message))
                .map(ToString::to_string)
                .collect();
            assert!(wrong.is_empty(), "{path}: {wrong:?}");
            tried += 1;
        }
    }
    assert!(tried > 240, "only {tried} members were tried");
}

#[test]
fn every_member_that_aws_has_is_content() {
    let without = ["cluster", "serviceName", "taskDefinition", "clientToken", "tags"];
    for operation in ["RegisterTaskDefinition", "CreateService"] {
        let canonical = match operation {
            "CreateService" => canonical::service,
            _ => canonical::task_definition,
        };
        let mut changes: BTreeMap<String, bool> = BTreeMap::new();
        for (path, document) in leaves(&shape(operation), "", &|inner| inner) {
            let bare = canonical(&emptied(&document));
            *changes.entry(path).or_default() |= canonical(&document) != bare;
        }
        for (path, changed) in changes {
            let first = path.trim_start_matches('.').split('.').next().unwrap_or_default();
            assert!(changed || without.contains(&first), "{operation}{path} is lost");
        }
    }
}

/// The document without its leaf.
fn emptied(document: &Value) -> Value {
    match document {
        Value::Object(members) => members
            .iter()
            .filter(|(_, value)| value.is_object() || value.is_array())
            .map(|(name, value)| (name.clone(), emptied(value)))
            .collect(),
        Value::Array(elements) => {
            elements.iter().filter(|one| one.is_object() || one.is_array()).map(emptied).collect()
        }
        other => other.clone(),
    }
}
