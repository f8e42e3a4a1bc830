//! The members around the AWS shapes, read one by one; never defaults what must be written.

use std::collections::BTreeMap;

use crate::node::{Cursor, Kind};
use crate::problem::Report;
use crate::shape_check::{misplaced_field, unknown_field};
use crate::spelling;
use crate::{Metadata, ServiceKey};

/// The one version of manifests.
pub(crate) const API_VERSION: &str = "evenkeel.dev/v1";
pub(crate) const KIND: &str = "Service";
pub(crate) const ENVIRONMENT: &str = "Environment";

pub(crate) const TOP: [&str; 4] = ["apiVersion", "kind", "metadata", "spec"];
pub(crate) const METADATA: [&str; 3] = ["name", "labels", "annotations"];
const SPEC: [&str; 8] =
    ["target", "cluster", "taskDefinition", "service", "rollout", "drift", "paused", "adopt"];

/// Members of CreateService that a manifest says elsewhere or that Evenkeel sets.
pub(crate) const ELSEWHERE: [(&str, &str); 3] = [
    ("cluster", "the cluster is given as `spec.cluster`: remove this"),
    ("taskDefinition", "the task definition is given as `spec.taskDefinition`: remove this"),
    ("clientToken", "Evenkeel chooses the token of its calls: remove this"),
];

/// What a document is to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Recognised {
    Manifest,
    /// A `kind: Environment`.
    Environment,
    /// Something that happens to lie among manifests.
    Foreign,
    Empty,
}

/// Tells a manifest, also a broken one, from a document that was not meant to be one.
pub(crate) fn recognise(root: &Cursor<'_>) -> Recognised {
    if matches!(root.node.kind, Kind::Null) {
        return Recognised::Empty;
    }
    let group = root.text_of("apiVersion").map(|version| version.split('/').next().unwrap_or(""));
    let named = ["apiVersion", "kind", "spec"].iter().any(|name| root.member(name).is_some());
    match group {
        Some(group) if spelling::nearest(group, ["evenkeel.dev"]).is_none() => Recognised::Foreign,
        None if !named => Recognised::Foreign,
        _ if root.text_of("kind") == Some(ENVIRONMENT) => Recognised::Environment,
        _ => Recognised::Manifest,
    }
}

/// Checks `apiVersion`, `kind` and the names of the members of the document, `metadata` and `spec`.
pub(crate) fn check_members(root: &Cursor<'_>, report: &mut Report) {
    // Members beginning with `x-` are for the author: a place for anchors, as in Compose files.
    known_members(root, &TOP, |name| name.starts_with("x-"), report);
    expect_word(root, "apiVersion", API_VERSION, report);
    match root.member("kind") {
        None => missing(root, "kind", report),
        Some(at) if at.text() == Some(KIND) => {}
        Some(at) => report.error(&at, format!("expected `{KIND}` or `{ENVIRONMENT}`")),
    }
    match root.member("metadata") {
        Some(at) => known_members(&at, &METADATA, |_| false, report),
        None => missing(root, "metadata", report),
    }
    match root.member("spec") {
        Some(at) => check_spec(&at, report),
        None => missing(root, "spec", report),
    }
}

fn check_spec(at: &Cursor<'_>, report: &mut Report) {
    known_members(at, &SPEC, |name| !SPEC.contains(&name), report);
    for (name, member) in at.members().filter(|(name, _)| !SPEC.contains(name)) {
        misplaced_field(&member, name, &SPEC, report);
    }
}

pub(crate) fn expect_word(root: &Cursor<'_>, name: &str, word: &str, report: &mut Report) {
    match root.member(name) {
        None => missing(root, name, report),
        Some(at) if at.text() == Some(word) => {}
        Some(at) => report.error(&at, format!("expected `{word}`")),
    }
}

/// Reports every member of `at` that is not `known`, and `at` itself when it is no mapping.
pub(crate) fn known_members(
    at: &Cursor<'_>,
    known: &[&str],
    also: impl Fn(&str) -> bool,
    report: &mut Report,
) {
    if !matches!(at.node.kind, Kind::Mapping(_)) {
        return report.error(at, format!("expected a mapping, found {}", at.node.kind.noun()));
    }
    for (name, member) in at.members() {
        if !known.contains(&name) && !also(name) {
            unknown_field(&member, name, known, report);
        }
    }
}

pub(crate) fn missing(parent: &Cursor<'_>, name: &str, report: &mut Report) {
    report.error(parent, format!("`{name}` is missing"));
}

/// The identity of the manifest, as far as it can be read; what is wrong with it is reported.
pub(crate) fn key(root: &Cursor<'_>, report: &mut Report) -> Option<ServiceKey> {
    let name = root.member("metadata").and_then(|at| required_text(&at, "name", report));
    let cluster = root.member("spec").and_then(|at| required_text(&at, "cluster", report));
    let target = root.member("spec").and_then(|at| optional_text(&at, "target", report));
    let name = name.filter(|at| check_name(at, report))?;
    let cluster = cluster.and_then(|at| cluster_name(&at, report))?;
    let target = target.filter(|at| check_name(at, report));
    Some(ServiceKey {
        target: target.and_then(|at| at.text()).unwrap_or(ServiceKey::DEFAULT_TARGET).to_owned(),
        cluster,
        name: name.text()?.to_owned(),
    })
}

fn required_text<'a>(parent: &Cursor<'a>, name: &str, report: &mut Report) -> Option<Cursor<'a>> {
    if parent.member(name).is_none() {
        missing(parent, name, report);
    }
    optional_text(parent, name, report)
}

fn optional_text<'a>(parent: &Cursor<'a>, name: &str, report: &mut Report) -> Option<Cursor<'a>> {
    let at = parent.member(name)?;
    if at.text().is_none() {
        let advice = if at.scalar_text().is_some() { ": put it in quotes" } else { "" };
        report.error(&at, format!("expected a string, found {}{advice}", at.node.kind.noun()));
        return None;
    }
    Some(at)
}

/// Letters, digits, `_` and `-`, at most 255: what ECS takes for clusters, services and families.
/// Source: CreateService and RegisterTaskDefinition API references.
pub(crate) fn check_name(at: &Cursor<'_>, report: &mut Report) -> bool {
    let valid = at.text().is_some_and(is_name);
    if !valid {
        report.error(at, "expected 1 to 255 letters, digits, `_` and `-`");
    }
    valid
}

pub(crate) fn is_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    (1..=255).contains(&text.len()) && text.bytes().all(allowed)
}

/// The short name of a cluster given by name or ARN.
fn cluster_name(at: &Cursor<'_>, report: &mut Report) -> Option<String> {
    let name = short_cluster(at.text()?);
    let name = name.filter(|name| is_name(name)).map(str::to_owned);
    if name.is_none() {
        report.error(at, "expected the name or the ARN of a cluster");
    }
    name
}

/// The name in the name or the ARN of a cluster: `arn:PARTITION:ecs:REGION:ACCOUNT:cluster/NAME`.
pub(crate) fn short_cluster(text: &str) -> Option<&str> {
    match text.strip_prefix("arn:") {
        None => Some(text),
        Some(arn) => match arn.split(':').collect::<Vec<_>>().as_slice() {
            [_, "ecs", _, _, resource] => resource.strip_prefix("cluster/"),
            _ => None,
        },
    }
}

/// `metadata`, when its name is readable.
pub(crate) fn metadata(root: &Cursor<'_>, report: &mut Report) -> Metadata {
    let Some(at) = root.member("metadata") else { return Metadata::default() };
    Metadata {
        name: at.text_of("name").unwrap_or_default().to_owned(),
        labels: text_map(&at, "labels", report),
        annotations: text_map(&at, "annotations", report),
    }
}

pub(crate) fn text_map(
    parent: &Cursor<'_>,
    name: &str,
    report: &mut Report,
) -> BTreeMap<String, String> {
    let Some(at) = parent.member(name) else { return BTreeMap::new() };
    known_members(&at, &[], |_| true, report);
    let texts = at.members().filter_map(|(name, member)| {
        let text = member.text().map(str::to_owned);
        if text.is_none() {
            let found = member.node.kind.noun();
            report.error(&member, format!("expected a string, found {found}: put it in quotes"));
        }
        Some((name.to_owned(), text?))
    });
    texts.collect()
}

/// A flag that is false when absent.
pub(crate) fn flag(parent: &Cursor<'_>, name: &str, report: &mut Report) -> Option<bool> {
    let at = parent.member(name)?;
    if let Kind::Boolean(yes) = at.node.kind {
        return Some(yes);
    }
    report.error(&at, format!("expected true or false, found {}", at.node.kind.noun()));
    None
}
