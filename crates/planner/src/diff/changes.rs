//! Every field that differs, for people; never shows the value of an environment variable.

use std::collections::BTreeSet;

use evenkeel_manifest::{Document, Service, canonical};
use serde_json::{Map, Value, json};

use super::differences;
use crate::tags::tag;
use crate::view::{View, wanted_members};
use crate::{Change, Input};

pub(super) const REGISTERS: &str = "registers a revision and starts a deployment";
pub(super) const STARTS: &str = "starts a deployment";
pub(crate) const IN_PLACE: &str = "changes in place";
pub(super) const CREATES: &str = "creates the service";

/// Every field that differs between the manifest and AWS, for people. Empty when the manifest or
/// what it is compared with is not known.
pub fn changes(input: &Input<'_>) -> Vec<Change> {
    let Some(desired) = input.desired else { return Vec::new() };
    if input.observed.service.unknown().is_some() {
        return Vec::new();
    }
    let service = input.observed.service.known().filter(|service| service.status != "INACTIVE");
    match service.and_then(|service| View::of(input, desired, service)) {
        Some(view) => {
            let mut changes = definition_changes(&view);
            changes.extend(member_changes(&view));
            changes.extend(tag_changes(&view));
            changes
        }
        None if service.is_none() => creation(desired),
        None => Vec::new(),
    }
}

fn creation(desired: &Service) -> Vec<Change> {
    let mut found = Found::new(CREATES);
    found.compare("taskDefinition", None, Some(&desired.task_definition.value()));
    found.compare("service", None, Some(&wanted_members(desired)));
    found.changes
}

fn definition_changes(view: &View<'_>) -> Vec<Change> {
    let in_use = view.definition(&view.primary.task_definition);
    let Some(in_use) = in_use else { return Vec::new() };
    if in_use.digest == view.desired.task_definition_digest {
        return Vec::new();
    }
    let mut found = Found::new(match view.wanted_definition() {
        Some(_) => STARTS,
        None => REGISTERS,
    });
    let wanted = canonical::task_definition(&view.desired.task_definition.value());
    match &in_use.document {
        Some(document) => {
            let live = canonical::task_definition(&document.value());
            found.compare("taskDefinition", Some(&live), Some(&wanted));
        }
        None => found.push(
            "taskDefinition",
            Some(json!(in_use.digest.as_str())),
            Some(json!(view.desired.task_definition_digest.as_str())),
        ),
    }
    found.changes
}

/// The paths at which the content of a task definition differs from the one that is wanted.
pub(crate) fn differing_fields(document: &Document, desired: &Service) -> Vec<String> {
    let form = |document: &Document| canonical::task_definition(&document.value());
    let mut found = Found::new(REGISTERS);
    let wanted = form(&desired.task_definition);
    found.compare("taskDefinition", Some(&form(document)), Some(&wanted));
    found.changes.into_iter().map(|change| change.path).collect()
}

fn member_changes(view: &View<'_>) -> Vec<Change> {
    let differences = differences(view, crate::steps::comparison(view));
    let mut changes = Vec::new();
    for (members, effect) in [(differences.starting, STARTS), (differences.in_place, IN_PLACE)] {
        let mut found = Found::new(effect);
        for (name, value) in &members {
            let live = view.live.get(name);
            // Of a merged member only what is sent changes.
            let live = if name == "deploymentConfiguration" {
                live.map(|live| only(live, value))
            } else {
                live.cloned()
            };
            found.compare(&format!("service.{name}"), live.as_ref(), Some(value));
        }
        changes.extend(found.changes);
    }
    changes
}

/// The members of `value` that `like` has too, at every depth.
fn only(value: &Value, like: &Value) -> Value {
    let (Value::Object(value), Value::Object(like)) = (value, like) else { return value.clone() };
    value
        .iter()
        .filter_map(|(name, value)| Some((name.clone(), only(value, like.get(name)?))))
        .collect()
}

fn tag_changes(view: &View<'_>) -> Vec<Change> {
    let listed = view.wanted.get("tags").and_then(Value::as_array);
    let text = |one: &Value, name: &str| one.get(name).and_then(Value::as_str).map(str::to_owned);
    let wanted: Map<String, Value> = listed
        .into_iter()
        .flatten()
        .filter_map(|one| Some((text(one, "key")?, json!(text(one, "value").unwrap_or_default()))))
        .collect();
    let mut found = Found::new(IN_PLACE);
    let memory = view.service.tags.get(tag::TAGS).map_or("", String::as_str);
    let keys: BTreeSet<&str> = wanted
        .keys()
        .map(String::as_str)
        .chain(memory.split(' '))
        .filter(|key| !key.is_empty())
        .collect();
    for key in keys {
        let old = view.service.tags.get(key).map(|value| json!(value));
        found.compare(&format!("service.tags[{key}]"), old.as_ref(), wanted.get(key));
    }
    found.changes
}

/// Differences of two documents, gathered leaf by leaf.
pub(crate) struct Found {
    effect: &'static str,
    pub(crate) changes: Vec<Change>,
}

impl Found {
    pub(crate) fn new(effect: &'static str) -> Self {
        Self { effect, changes: Vec::new() }
    }

    fn push(&mut self, path: &str, old: Option<Value>, new: Option<Value>) {
        let effect = self.effect.to_owned();
        let (old, new) = (old.map(|old| hide_in(path, &old)), new.map(|new| hide_in(path, &new)));
        self.changes.push(Change { path: path.to_owned(), old, new, effect });
    }

    pub(crate) fn compare(&mut self, path: &str, old: Option<&Value>, new: Option<&Value>) {
        if old == new || (is_nothing(old) && is_nothing(new)) {
            return;
        }
        match (old, new) {
            (Some(Value::Object(old)), Some(Value::Object(new))) => self.objects(path, old, new),
            (None, Some(Value::Object(new))) if !new.is_empty() => {
                self.objects(path, &Map::new(), new);
            }
            (Some(Value::Object(old)), None) if !old.is_empty() => {
                self.objects(path, old, &Map::new());
            }
            (old, new) => self.values(path, old, new),
        }
    }

    fn objects(&mut self, path: &str, old: &Map<String, Value>, new: &Map<String, Value>) {
        let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
        for name in names {
            self.compare(&join(path, name), old.get(name), new.get(name));
        }
    }

    /// Lists of named things are compared by name, other lists whole.
    fn values(&mut self, path: &str, old: Option<&Value>, new: Option<&Value>) {
        let (old_named, new_named) = (named(old), named(new));
        let (Some(old_named), Some(new_named)) = (old_named, new_named) else {
            return self.push(path, old.cloned(), new.cloned());
        };
        for name in old_named.keys().chain(new_named.keys()).collect::<BTreeSet<_>>() {
            self.compare(&format!("{path}[{name}]"), old_named.get(name), new_named.get(name));
        }
    }
}

fn join(path: &str, name: &str) -> String {
    if is_word(name) { format!("{path}.{name}") } else { format!("{path}[{name}]") }
}

fn is_word(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn is_nothing(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null) => true,
        Some(Value::Array(all)) => all.is_empty(),
        Some(Value::Object(all)) => all.is_empty(),
        Some(_) => false,
    }
}

/// The elements of a list by their `name`, without it; `None` when not every element has its own.
fn named(value: Option<&Value>) -> Option<Map<String, Value>> {
    let Some(value) = value else { return Some(Map::new()) };
    let mut by_name = Map::new();
    for element in value.as_array()? {
        let mut element = element.as_object()?.clone();
        let Value::String(name) = element.remove("name")? else { return None };
        if by_name.insert(name, Value::Object(element)).is_some() {
            return None;
        }
    }
    Some(by_name)
}

/// The value of an environment variable is not shown: people put secrets there, though they should
/// not.
fn hide_in(path: &str, value: &Value) -> Value {
    let last = path.rsplit('.').next();
    if path.contains(".environment[") && last == Some("value") {
        return json!(crate::action::SENSITIVE);
    }
    if last == Some("environment") {
        return crate::action::without_secrets(&json!({ "environment": value }))
            .get("environment")
            .cloned()
            .unwrap_or_default();
    }
    crate::action::without_secrets(value)
}
