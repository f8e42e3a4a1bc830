//! A document of `kind: Environment` into an environment; never a part of one.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::patch::{Operation, Verb};
use super::pointer::Pointer;
use super::variables::is_name;
use super::{Change, Environment, Overlay, Place, Selector, Variable};
use crate::envelope::{self, API_VERSION, METADATA, TOP, known_members, missing};
use crate::node::{Cursor, Kind, Node};
use crate::problem::Report;
use crate::spelling;

pub(crate) const SPEC: [&str; 2] = ["vars", "overlays"];
const OVERLAY: [&str; 3] = ["match", "merge", "patch"];
const MATCH: [&str; 4] = ["target", "cluster", "name", "labels"];
const VERBS: [&str; 6] = ["add", "remove", "replace", "move", "copy", "test"];

/// What the document at `root` says, `text` being that of its file; `None`, with everything wrong
/// reported, when any of it is.
pub(crate) fn environment(
    root: &Cursor<'_>,
    text: &str,
    report: &mut Report,
) -> Option<Environment> {
    known_members(root, &TOP, |name| name.starts_with("x-"), report);
    envelope::expect_word(root, "apiVersion", API_VERSION, report);
    let name = name(root, report);
    let Some(spec) = root.member("spec") else {
        missing(root, "spec", report);
        return None;
    };
    known_members(&spec, &SPEC, |_| false, report);
    let variables = spec.member("vars").map(|at| variables(&at, text, report)).unwrap_or_default();
    let overlays = elements(&spec, "overlays", report);
    let overlays: Vec<_> = overlays.iter().filter_map(|at| overlay(at, report)).collect();
    let name = name.filter(|_| !report.has_errors())?;
    Some(Environment { name, variables, overlays })
}

fn name(root: &Cursor<'_>, report: &mut Report) -> Option<String> {
    let Some(metadata) = root.member("metadata") else {
        missing(root, "metadata", report);
        return None;
    };
    known_members(&metadata, &METADATA, |_| false, report);
    let Some(name) = metadata.member("name") else {
        missing(&metadata, "name", report);
        return None;
    };
    envelope::check_name(&name, report).then(|| name.text().map(str::to_owned)).flatten()
}

/// The elements of a list; anything else is reported.
fn elements<'a>(parent: &Cursor<'a>, name: &str, report: &mut Report) -> Vec<Cursor<'a>> {
    let Some(at) = parent.member(name) else { return Vec::new() };
    if !matches!(at.node.kind, Kind::List(_)) {
        report.error(&at, format!("expected a list, found {}", at.node.kind.noun()));
    }
    at.elements().collect()
}

fn variables(at: &Cursor<'_>, text: &str, report: &mut Report) -> BTreeMap<Arc<str>, Variable> {
    known_members(at, &[], |_| true, report);
    let mut variables = BTreeMap::new();
    for (name, member) in at.members() {
        if !is_name(name) {
            report.error(
                &member,
                "the name of a variable is a letter, then letters, digits, `_` and `-`",
            );
        }
        let kind = &member.node.kind;
        if !matches!(kind, Kind::String(_) | Kind::Integer(_) | Kind::Float(_) | Kind::Boolean(_)) {
            let found = kind.noun();
            report
                .error(&member, format!("expected a string, a number or a boolean, found {found}"));
        }
        let place = Place { position: member.node.position, ..Place::of(&member) };
        let inserted = inserted(member.node, text);
        let variable = Variable { place, value: kind.clone(), text: inserted };
        variables.insert(name.into(), variable);
    }
    variables
}

/// A tag of `1.10` must not become `1.1`, nor one of `0123` become `123`.
fn inserted(node: &Node, text: &str) -> Option<Arc<str>> {
    match &node.kind {
        Kind::String(text) => Some(Arc::clone(text)),
        Kind::Boolean(yes) => Some(yes.to_string().into()),
        Kind::Integer(number) => {
            let written = text.get(node.position.offset_in(text)?..)?;
            let rest = written.strip_prefix(&number.to_string())?;
            let ends =
                !rest.starts_with(|next: char| next.is_alphanumeric() || "_.+-".contains(next));
            ends.then(|| number.to_string().into())
        }
        _ => None,
    }
}

fn overlay(at: &Cursor<'_>, report: &mut Report) -> Option<Overlay> {
    known_members(at, &OVERLAY, |_| false, report);
    let selector = if let Some(at) = at.member("match") {
        selector(&at, report)
    } else {
        report.error(at, "`match` is missing: which services is this for? `{}` means all");
        Selector::default()
    };
    let change = match (at.member("merge"), at.member("patch")) {
        (Some(merge), None) => merge_change(&merge, report),
        (None, Some(_)) => {
            let operations = elements(at, "patch", report);
            Change::Patch(operations.iter().filter_map(|at| operation(at, report)).collect())
        }
        _ => {
            report.error(at, "expected either `merge` or `patch`");
            return None;
        }
    };
    Some(Overlay { place: Place::of(at), selector, change })
}

fn merge_change(at: &Cursor<'_>, report: &mut Report) -> Change {
    if !matches!(at.node.kind, Kind::Mapping(_)) {
        let found = at.node.kind.noun();
        report
            .error(at, format!("expected a mapping that is merged into manifests, found {found}"));
    }
    Change::Merge(at.node.clone())
}

fn selector(at: &Cursor<'_>, report: &mut Report) -> Selector {
    known_members(at, &MATCH, |_| false, report);
    let mut text = |name: &str| {
        let member = at.member(name)?;
        let text = member.text().map(str::to_owned);
        if text.is_none() {
            let found = member.node.kind.noun();
            report.error(&member, format!("expected a string, found {found}: put it in quotes"));
        }
        text
    };
    let (target, cluster, name) = (text("target"), text("cluster"), text("name"));
    let cluster = cluster.map(|text| envelope::short_cluster(&text).unwrap_or(&text).to_owned());
    Selector { target, cluster, name, labels: envelope::text_map(at, "labels", report) }
}

fn operation(at: &Cursor<'_>, report: &mut Report) -> Option<Operation> {
    known_members(at, &["op", "path", "value", "from"], |_| false, report);
    let verb = required(at, "op", report)?;
    let path = pointer(at, "path", report);
    let verb = match verb.text()? {
        "remove" => Verb::Remove { path: path? },
        "add" => Verb::Add { value: value(at, report)?, path: path? },
        "replace" => Verb::Replace { value: value(at, report)?, path: path? },
        "test" => Verb::Test { value: value(at, report)?, path: path? },
        "copy" => Verb::Copy { from: pointer(at, "from", report)?, path: path? },
        "move" => {
            let (from, path) = (pointer(at, "from", report)?, path?);
            if from.holds(&path) {
                report.error(at, "a value cannot be moved into itself");
            }
            Verb::Move { from, path }
        }
        other => {
            let suggestion = spelling::suggestion(other, &VERBS);
            report.error(&verb, format!("there is no such operation{suggestion}"));
            return None;
        }
    };
    Some(Operation { place: Place::of(at), verb })
}

fn required<'a>(parent: &Cursor<'a>, name: &str, report: &mut Report) -> Option<Cursor<'a>> {
    let at = parent.member(name);
    match &at {
        None => missing(parent, name, report),
        Some(at) if at.text().is_none() => {
            report.error(at, format!("expected a string, found {}", at.node.kind.noun()));
        }
        Some(_) => {}
    }
    at
}

fn pointer(parent: &Cursor<'_>, name: &str, report: &mut Report) -> Option<Pointer> {
    let at = required(parent, name, report)?;
    match Pointer::parse(at.text()?) {
        Ok(pointer) => Some(pointer),
        Err(why) => {
            report.error(&at, why);
            None
        }
    }
}

/// The value of an operation, which may be null.
fn value(at: &Cursor<'_>, report: &mut Report) -> Option<Node> {
    let Some((_, value)) = at.members().find(|(name, _)| *name == "value") else {
        missing(at, "value", report);
        return None;
    };
    Some(Node { origin: Some(Arc::clone(value.file)), ..value.node.clone() })
}
