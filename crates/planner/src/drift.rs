//! Fields that somebody else changed: which of them policy keeps as they are, and what is remembered of them;
//! never says what is written.

mod memory;

use std::collections::BTreeSet;

use evenkeel_manifest::{Digest, Drift, DriftPolicy};
use serde_json::{Map, Value, json};

use crate::diff::{Found, contains};
use crate::view::may_be_hidden;
use crate::{Change, Input};
pub(crate) use memory::{ATTEMPTS, Held, Turn, tag_field};
pub use memory::{DriftMemory, Drifted};

/// What policy keeps of a service as it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Kept {
    pub(crate) fields: Vec<KeptField>,
    /// The marks of what the manifest says where policy does not heal.
    current: BTreeSet<String>,
    /// Those of them that are live, or were.
    applied: BTreeSet<String>,
}

/// A field that the manifest left as it was when it was applied, and that has left it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct KeptField {
    pub(crate) policy: DriftPolicy,
    /// From what is live to what is wanted.
    pub(crate) change: Change,
}

/// Puts what is live in the place of what is wanted, where the manifest's policy keeps it. What the manifest
/// itself changed is kept nowhere: a policy holds for what was seen live as the manifest has it, which the
/// `remembered` marks tell. `may_keep` says of which members.
pub(crate) fn keep(
    policies: &Drift,
    remembered: &BTreeSet<String>,
    live: &Value,
    wanted: &mut Value,
    may_keep: impl Fn(&str) -> bool,
) -> Kept {
    let mut kept = Kept::default();
    let Some(members) = wanted.as_object_mut().filter(|_| !policies.heals_all()) else {
        return kept;
    };
    for (name, value) in members.iter_mut() {
        let live = live.get(name);
        let member = if name == "tags" { by_key(value) } else { value.clone() };
        let live = if name == "tags" { live.map(by_key) } else { live.cloned() };
        let mut keeping = Keeping { policies, governed: Map::new(), fields: Vec::new() };
        let result = keeping.overlay(&format!("service.{name}"), &member, live.as_ref());
        if keeping.governed.is_empty() {
            continue;
        }
        let mark = mark(name, &keeping.governed);
        let is_hidden = live.is_none() && may_be_hidden(name);
        let was_applied = remembered.contains(&mark);
        if was_applied || is_hidden || keeping.fields.is_empty() {
            kept.applied.insert(mark.clone());
        }
        kept.current.insert(mark);
        if was_applied && !is_hidden && may_keep(name) && !keeping.fields.is_empty() {
            let result = result.unwrap_or(Value::Null);
            *value = if name == "tags" { listed(&result) } else { result };
            kept.fields.extend(keeping.fields);
        }
    }
    kept
}

/// The 32 bits by which a member's part that policy governs is known again.
fn mark(member: &str, governed: &Map<String, Value>) -> String {
    let digest = Digest::of(&json!([member, governed]));
    digest.as_str().chars().skip("v1:".len()).take(8).collect()
}

struct Keeping<'a> {
    policies: &'a Drift,
    /// What the manifest says where policy does not heal, by path.
    governed: Map<String, Value>,
    fields: Vec<KeptField>,
}

impl Keeping<'_> {
    /// What is to be at `path` when all that policy keeps stays; `None` for nothing.
    fn overlay(&mut self, path: &str, wanted: &Value, live: Option<&Value>) -> Option<Value> {
        if let (Value::Object(members), true) = (wanted, self.policies.divides(path)) {
            let parts = members.iter().filter_map(|(name, wanted)| {
                let live = live.and_then(|live| live.get(name));
                Some((name.clone(), self.overlay(&below(path, name), wanted, live)?))
            });
            return Some(Value::Object(parts.collect()));
        }
        let policy = self.policies.policy(path);
        if policy == DriftPolicy::Heal {
            return Some(wanted.clone());
        }
        self.governed.insert(path.to_owned(), wanted.clone());
        if live.is_some_and(|live| contains(live, wanted)) || (live.is_none() && is_off(wanted)) {
            return Some(wanted.clone());
        }
        let mut found = Found::new("");
        found.compare(path, live.map(|live| only(live, wanted)).as_ref(), Some(wanted));
        let fields = found.changes.into_iter().map(|change| KeptField { policy, change });
        self.fields.extend(fields);
        live.cloned()
    }
}

fn below(path: &str, name: &str) -> String {
    if path == "service.tags" { format!("{path}[{name}]") } else { format!("{path}.{name}") }
}

/// What AWS shows as nothing.
fn is_off(wanted: &Value) -> bool {
    match wanted {
        Value::Array(all) => all.is_empty(),
        Value::Object(all) => all.is_empty(),
        _ => false,
    }
}

/// The members of `value` that `like` has too: more than is wanted is no difference.
fn only(value: &Value, like: &Value) -> Value {
    let (Value::Object(value), Value::Object(like)) = (value, like) else { return value.clone() };
    let shared =
        value.iter().filter_map(|(name, value)| Some((name.clone(), only(value, like.get(name)?))));
    shared.collect()
}

fn by_key(tags: &Value) -> Value {
    let text = |one: &Value, name: &str| one.get(name).and_then(Value::as_str).map(str::to_owned);
    let listed = tags.as_array().into_iter().flatten();
    let pairs = listed
        .filter_map(|one| Some((text(one, "key")?, json!(text(one, "value").unwrap_or_default()))));
    Value::Object(pairs.collect())
}

fn listed(by_key: &Value) -> Value {
    let pairs = by_key.as_object().into_iter().flatten();
    pairs.map(|(key, value)| json!({ "key": key, "value": value })).collect()
}

impl Kept {
    /// The marks to remember when nothing is left to be applied.
    pub(crate) fn marks(&self) -> &BTreeSet<String> {
        &self.applied
    }

    /// The remembered marks that are still of what the manifest says; `None` when all are.
    pub(crate) fn still(&self, remembered: &BTreeSet<String>) -> Option<BTreeSet<String>> {
        let still: BTreeSet<String> = remembered.intersection(&self.current).cloned().collect();
        (still != *remembered).then_some(still)
    }
}

impl Input<'_> {
    pub(crate) fn turn(&self, field: &str) -> Turn {
        self.drift.turn(field, self.now)
    }
}
