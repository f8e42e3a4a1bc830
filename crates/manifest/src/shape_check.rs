//! A tree of nodes held against the tree of fields that AWS knows; never shows a value, for any
//! string may be a secret.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::node::{Cursor, Kind};
use crate::problem::Report;
use crate::shapes::{Shape, shapes};
use crate::spelling;

/// What AWS writes into its replies and refuses in a request; seen where a reply was pasted.
const READ_ONLY: [&str; 22] = [
    "clusterArn",
    "compatibilities",
    "createdAt",
    "createdBy",
    "currentServiceDeployment",
    "currentServiceRevisions",
    "deployments",
    "deregisteredAt",
    "events",
    "pendingCount",
    "platformFamily",
    "registeredAt",
    "registeredBy",
    "requiresAttributes",
    "resourceManagementType",
    "revision",
    "roleArn",
    "runningCount",
    "serviceArn",
    "status",
    "taskDefinitionArn",
    "taskSets",
];

/// The members of the input of RegisterTaskDefinition that AWS wants as strings of digits, and that
/// everybody writes as numbers.
pub(crate) const SIZES: [&str; 2] = ["cpu", "memory"];

/// The JSON of the input at `at`, with everything wrong about it reported; what is wrong is left
/// out.
///
/// `numbers_as_text` names members of the root that may be written as numbers though AWS wants
/// strings.
pub(crate) fn check(
    at: &Cursor<'_>,
    shape: &Shape,
    numbers_as_text: &[&str],
    report: &mut Report,
) -> Value {
    match (shape, &at.node.kind) {
        (Shape::Structure { members }, Kind::Mapping(_)) => {
            structure(at, members, Some(numbers_as_text), report)
        }
        _ => wrong_type(at, shape, report),
    }
}

/// `root` is given for the input as a whole and names its members that take numbers as strings.
fn structure(
    at: &Cursor<'_>,
    members: &BTreeMap<String, Shape>,
    root: Option<&[&str]>,
    report: &mut Report,
) -> Value {
    let mut object = Map::new();
    for (name, member) in at.members() {
        let Some(shape) = members.get(name) else {
            unknown_member(&member, name, members, root.is_some(), report);
            continue;
        };
        let number = matches!(member.node.kind, Kind::Integer(_) | Kind::Float(_));
        let value = match member.scalar_text() {
            Some(text) if number && root.is_some_and(|root| root.contains(&name)) => text.into(),
            _ => value(&member, shape, report),
        };
        if !value.is_null() {
            object.insert(name.to_owned(), value);
        }
    }
    Value::Object(object)
}

fn value(at: &Cursor<'_>, shape: &Shape, report: &mut Report) -> Value {
    match (shape, &at.node.kind) {
        (Shape::Structure { members }, Kind::Mapping(_)) => structure(at, members, None, report),
        (Shape::List { member }, Kind::List(_)) => {
            at.elements().map(|element| present(&element, member, report)).collect()
        }
        (Shape::Map { value }, Kind::Mapping(_)) => at
            .members()
            .map(|(name, member)| (name.to_owned(), present(&member, value, report)))
            .collect(),
        (Shape::String { known }, Kind::String(text)) => {
            check_known(at, text, known, report);
            Value::from(&**text)
        }
        (Shape::Blob, Kind::String(text)) => Value::from(&**text),
        (Shape::Boolean, Kind::Boolean(yes)) => Value::from(*yes),
        (Shape::Integer, Kind::Integer(number)) if i32::try_from(*number).is_ok() => {
            Value::from(*number)
        }
        (Shape::Long | Shape::Timestamp | Shape::Float | Shape::Double, Kind::Integer(number)) => {
            Value::from(*number)
        }
        (Shape::Float | Shape::Double | Shape::Timestamp, Kind::Float(number))
            if number.is_finite() =>
        {
            Value::from(*number)
        }
        (Shape::Document, _) => document(at),
        // As in AWS's own protocol, a member that is null is an absent one.
        (_, Kind::Null) => Value::Null,
        _ => wrong_type(at, shape, report),
    }
}

/// A value where null is none: in a list, or under a name that the author chose.
fn present(at: &Cursor<'_>, shape: &Shape, report: &mut Report) -> Value {
    match at.node.kind {
        Kind::Null => wrong_type(at, shape, report),
        _ => value(at, shape, report),
    }
}

/// The JSON of any node; a null is a null.
pub(crate) fn document(at: &Cursor<'_>) -> Value {
    match &at.node.kind {
        Kind::Null => Value::Null,
        Kind::Boolean(yes) => Value::from(*yes),
        Kind::Integer(number) => Value::from(*number),
        Kind::Float(number) => Value::from(*number),
        Kind::String(text) => Value::from(&**text),
        Kind::List(_) => at.elements().map(|element| document(&element)).collect(),
        Kind::Mapping(_) => {
            at.members().map(|(name, member)| (name.to_owned(), document(&member))).collect()
        }
    }
}

/// A value that AWS did not know when the tree of fields was generated is no error, for AWS is ahead;
/// a known one in another case is.
fn check_known(at: &Cursor<'_>, text: &str, known: &[String], report: &mut Report) {
    if known.is_empty() || report.is_full() || known.iter().any(|one| one == text) {
        return;
    }
    if let Some(known) = known.iter().find(|one| one.eq_ignore_ascii_case(text)) {
        return report.error(at, format!("AWS spells this value `{known}`"));
    }
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    let suggestion = spelling::suggestion(text, &known);
    report.warning(at, format!("this value is not known{suggestion}"));
}

fn unknown_member(
    at: &Cursor<'_>,
    name: &str,
    known: &BTreeMap<String, Shape>,
    is_root: bool,
    report: &mut Report,
) {
    if is_root && READ_ONLY.contains(&name) {
        return report.warning(at, "AWS writes this field itself: it is ignored, remove it");
    }
    let names: Vec<&str> = known.keys().map(String::as_str).collect();
    match names.iter().find(|known| known.eq_ignore_ascii_case(name)) {
        Some(known) => report.error(at, format!("unknown field: AWS spells it `{known}`")),
        None if is_root => misplaced_field(at, name, &names, report),
        None => unknown_field(at, name, &names, report),
    }
}

/// Reports a member of `spec` or of one of its AWS inputs that is not known there, but perhaps
/// belongs in another part.
pub(crate) fn misplaced_field(at: &Cursor<'_>, name: &str, known: &[&str], report: &mut Report) {
    match home(name) {
        Some(home) => report.error(at, format!("unknown field here: it belongs in {home}")),
        None => unknown_field(at, name, known, report),
    }
}

/// The part of a manifest that has a member of this very name.
fn home(name: &str) -> Option<&'static str> {
    let shapes = shapes();
    let containers = shapes.register_task_definition.member("containerDefinitions")?;
    let Shape::List { member: container } = containers else { return None };
    let homes = [
        (&shapes.create_service, "`spec.service`"),
        (&shapes.register_task_definition, "`spec.taskDefinition`"),
        (container, "an element of `containerDefinitions`"),
    ];
    homes.iter().find(|(shape, _)| shape.member(name).is_some()).map(|(_, home)| *home)
}

/// Reports a member that nobody knows.
pub(crate) fn unknown_field(at: &Cursor<'_>, name: &str, known: &[&str], report: &mut Report) {
    let suggestion =
        if report.is_full() { String::new() } else { spelling::suggestion(name, known) };
    report.error(at, format!("unknown field{suggestion}"));
}

fn wrong_type(at: &Cursor<'_>, shape: &Shape, report: &mut Report) -> Value {
    report.error(at, mismatch(shape, &at.node.kind));
    Value::Null
}

fn mismatch(shape: &Shape, found: &Kind) -> String {
    let expected = match shape {
        Shape::Structure { .. } | Shape::Map { .. } => "a mapping",
        Shape::List { .. } => "a list",
        Shape::String { .. } | Shape::Blob => "a string",
        Shape::Integer | Shape::Long => "an integer",
        Shape::Float | Shape::Double | Shape::Timestamp => "a number",
        Shape::Boolean => "true or false",
        Shape::Document => "a value",
    };
    let advice = match (shape, found) {
        (Shape::String { .. }, Kind::Boolean(_) | Kind::Integer(_) | Kind::Float(_)) => {
            ": put it in quotes"
        }
        (Shape::Integer | Shape::Long | Shape::Float | Shape::Double, Kind::String(text))
            if text.parse::<f64>().is_ok() =>
        {
            ": remove the quotes"
        }
        (Shape::Boolean, Kind::String(text)) if boolean_word(text) => {
            ": write true or false, without quotes"
        }
        (Shape::Integer, Kind::Integer(_)) => " beyond 32 bits",
        (Shape::Integer | Shape::Long, Kind::Float(_)) => " with a fraction or beyond 64 bits",
        (Shape::List { .. }, Kind::Mapping(_) | Kind::String(_)) => {
            ": begin each element with `- `"
        }
        _ => "",
    };
    format!("expected {expected}, found {}{advice}", found.noun())
}

fn boolean_word(text: &str) -> bool {
    let words = ["true", "false", "yes", "no", "on", "off", "y", "n"];
    words.iter().any(|word| text.eq_ignore_ascii_case(word))
}
