//! Merging and patching of positioned trees, held against the RFCs' own examples and against a crate that
//! does the same to plain JSON.

use std::sync::Arc;

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use super::merge::merge;
use super::patch::{self, Budget};
use super::read::environment;
use super::{Change, Environment};
use crate::node::{Cursor, Node};
use crate::problem::Report;
use crate::{Limits, reader, shape_check};

fn name(text: &str) -> Arc<str> {
    Arc::from(text)
}

fn node(value: &Value) -> Node {
    let mut read = reader::read("x.json", &value.to_string(), &Limits::default());
    read.documents.pop().expect("a document").root
}

fn value(node: &Node) -> Value {
    shape_check::document(&Cursor::root(&name("base.yaml"), node))
}

/// An environment with one overlay for everything; errors: what is wrong with it.
fn with_overlay(member: &str, change: &Value) -> Result<Environment, Vec<String>> {
    let document = json!({
        "apiVersion": "evenkeel.dev/v1", "kind": "Environment", "metadata": { "name": "test" },
        "spec": { "overlays": [{ "match": {}, member: change }] },
    });
    let (text, root) = (document.to_string(), node(&document));
    let file = name("test.json");
    let mut report = Report::default();
    environment(&Cursor::root(&file, &root), &text, &mut report).ok_or_else(|| {
        report.into_problems().iter().map(|problem| problem.message.clone()).collect()
    })
}

fn merged(base: &Value, change: &Value) -> Value {
    let mut base = node(base);
    merge(&mut base, &node(change), &name("test.json"));
    value(&base)
}

fn patched(base: &Value, operations: &Value) -> Result<Value, String> {
    let environment = with_overlay("patch", operations).map_err(|all| all.join("; "))?;
    let mut base = node(base);
    let limits = Limits::default();
    let mut budget = Budget::new(&limits, &base);
    for overlay in &environment.overlays {
        let Change::Patch(operations) = &overlay.change else { panic!("{overlay:?}") };
        for one in operations {
            patch::apply(&mut base, &name("base.yaml"), &one.verb, &mut budget)?;
        }
    }
    Ok(value(&base))
}

/// The examples of RFC 7386, appendix A, that are for objects; a manifest is one.
#[test]
fn merging_gives_what_the_rfc_says() {
    for (base, change, expected) in [
        (json!({ "a": "b" }), json!({ "a": "c" }), json!({ "a": "c" })),
        (json!({ "a": "b" }), json!({ "b": "c" }), json!({ "a": "b", "b": "c" })),
        (json!({ "a": "b" }), json!({ "a": null }), json!({})),
        (json!({ "a": "b", "b": "c" }), json!({ "a": null }), json!({ "b": "c" })),
        (json!({ "a": ["b"] }), json!({ "a": "c" }), json!({ "a": "c" })),
        (json!({ "a": "c" }), json!({ "a": ["b"] }), json!({ "a": ["b"] })),
        (
            json!({ "a": { "b": "c" } }),
            json!({ "a": { "b": "d", "c": null } }),
            json!({ "a": { "b": "d" } }),
        ),
        (json!({ "a": [{ "b": "c" }] }), json!({ "a": [1] }), json!({ "a": [1] })),
        (json!({ "e": null }), json!({ "a": 1 }), json!({ "e": null, "a": 1 })),
        (json!([1, 2]), json!({ "a": "b", "c": null }), json!({ "a": "b" })),
        (json!({}), json!({ "a": { "bb": { "ccc": null } } }), json!({ "a": { "bb": {} } })),
    ] {
        assert_eq!(merged(&base, &change), expected, "{base} {change}");
    }
}

#[test]
fn a_merged_tree_knows_the_place_and_the_file_of_every_value() {
    let (file, patch_file) = (name("base.yaml"), name("prod.yaml"));
    let read = |text| {
        let mut read = reader::read("x.yaml", text, &Limits::default());
        read.documents.pop().expect("a document").root
    };
    let mut base = read("a: 1\nb: {c: 2, d: 3}\n");
    merge(&mut base, &read("# new\n\nb: {d: 4}\ne: {f: 5}\n"), &patch_file);
    let root = Cursor::root(&file, &base);
    let place = |path: &str| {
        let at = root.descendant(path).expect(path);
        format!("{path} {}:{}:{}", at.file, at.position.line, at.position.column)
    };
    insta::assert_snapshot!(["a", "b", "b.c", "b.d", "e", "e.f"].map(place).join("\n"), @"
    a base.yaml:1:1
    b base.yaml:2:1
    b.c base.yaml:2:5
    b.d prod.yaml:3:5
    e prod.yaml:4:1
    e.f prod.yaml:4:5
    ");
}

#[test]
fn an_operation_that_cannot_be_done_says_what_there_is() {
    let base = json!({ "spec": { "list": [1, 2], "word": "x" } });
    let why = |operation: Value| patched(&base, &json!([operation])).expect_err("an error");
    let all = [
        why(json!({ "op": "replace", "path": "/spec/lsit", "value": 1 })),
        why(json!({ "op": "remove", "path": "/spec/list/2" })),
        why(json!({ "op": "add", "path": "/spec/list/3", "value": 1 })),
        why(json!({ "op": "add", "path": "/spec/word/x", "value": 1 })),
        why(json!({ "op": "add", "path": "/sepc/x", "value": 1 })),
        why(json!({ "op": "test", "path": "/spec/word", "value": "secret" })),
        why(json!({ "op": "remove", "path": "" })),
        why(json!({ "op": "move", "from": "/spec", "path": "/spec/x" })),
        why(json!({ "op": "relpace", "path": "/spec", "value": 1 })),
        why(json!({ "op": "add", "path": "spec/x", "value": 1 })),
        why(json!({ "op": "add", "path": "/spec/~2", "value": 1 })),
        why(json!({ "op": "add", "path": "/spec/x" })),
        why(json!({ "op": "copy", "path": "/spec/x" })),
        why(json!({ "path": "/spec/x" })),
        why(json!({ "op": "remove", "path": "/spec/word", "form": "/x" })),
    ];
    insta::assert_snapshot!(all.join("\n"));
}

#[test]
fn a_document_that_is_copied_into_itself_again_and_again_reaches_a_limit() {
    let twice = json!({ "op": "copy", "from": "", "path": "/a" });
    let many = Value::from(vec![twice; 70]);
    let why = patched(&json!({ "b": [1, 2, 3] }), &many).expect_err("a limit");
    assert!(why.contains("levels deep") || why.contains("more than"), "{why}");
    let wide = json!({ "op": "copy", "from": "/b", "path": "/b/-" });
    let flat = json!([{ "op": "add", "path": "/b/0", "value": "x".repeat(200_000) }]);
    let many: Vec<Value> =
        flat.as_array().into_iter().flatten().cloned().chain(vec![wide; 30]).collect();
    let why = patched(&json!({ "b": [1, 2, 3] }), &many.into()).expect_err("a limit");
    assert!(why.contains("more than"), "{why}");
}

fn any_value(depth: u32) -> BoxedStrategy<Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (0..3_i64).prop_map(Value::from),
        "[ab]{0,2}".prop_map(Value::from),
    ];
    leaf.prop_recursive(depth, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            btree_map("[a-c~/]", inner, 0..4).prop_map(|map| map.into_iter().collect()),
        ]
    })
    .boxed()
}

fn any_path() -> impl Strategy<Value = String> {
    vec(select(vec!["a", "b", "c", "~0", "~1", "0", "1", "2", "00", "-"]), 1..4)
        .prop_map(|steps| format!("/{}", steps.join("/")))
}

fn any_operation() -> impl Strategy<Value = Value> {
    let verb = select(vec!["add", "remove", "replace", "move", "copy", "test"]);
    (verb, any_path(), any_path(), any_value(2)).prop_map(|(op, path, from, value)| match op {
        "remove" => json!({ "op": op, "path": path }),
        "move" | "copy" => json!({ "op": op, "path": path, "from": from }),
        _ => json!({ "op": op, "path": path, "value": value }),
    })
}

/// Paths of a document that lead somewhere, so that operations also succeed.
fn paths_of(value: &Value, path: &str, found: &mut Vec<String>) {
    found.push(path.to_owned());
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                let name = name.replace('~', "~0").replace('/', "~1");
                paths_of(member, &format!("{path}/{name}"), found);
            }
        }
        Value::Array(elements) => {
            for (index, element) in elements.iter().enumerate() {
                paths_of(element, &format!("{path}/{index}"), found);
            }
        }
        _ => {}
    }
}

/// Leads the paths of an operation somewhere, half of the time.
fn aimed(mut operation: Value, base: &Value, aims: [usize; 2]) -> Value {
    let mut paths = Vec::new();
    paths_of(base, "", &mut paths);
    paths.retain(|path| !path.is_empty());
    for (member, aim) in ["path", "from"].into_iter().zip(aims) {
        let there = (aim % 2 == 0).then(|| paths.get((aim / 2) % paths.len().max(1))).flatten();
        if let (Some(there), Some(path)) = (there, operation.get_mut(member)) {
            *path = there.as_str().into();
        }
    }
    operation
}

proptest! {
    #[test]
    fn merging_is_the_reference_algorithm(base in any_value(3), change in any_value(3)) {
        let mut expected = base.clone();
        json_patch::merge(&mut expected, &change);
        prop_assert_eq!(merged(&base, &change), expected);
    }

    #[test]
    fn patching_does_what_another_implementation_does(
        base in any_value(3),
        operations in vec((any_operation(), any::<[usize; 2]>()), 1..4),
    ) {
        let mut expected = base.clone();
        let operations: Value =
            operations.into_iter().map(|(one, aims)| aimed(one, &base, aims)).collect();
        let patch: json_patch::Patch = serde_json::from_value(operations.clone()).expect("a patch");
        // `patch` itself panics when it takes back a move.
        let theirs = json_patch::patch_unsafe(&mut expected, &patch).map(|()| expected);
        let ours = patched(&base, &operations);
        prop_assert_eq!(ours.is_ok(), theirs.is_ok(), "{:?} {:?}", ours, theirs);
        if let (Ok(ours), Ok(theirs)) = (ours, theirs) {
            prop_assert_eq!(ours, theirs);
        }
    }
}
