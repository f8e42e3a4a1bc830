//! What a daemon remembers of drift between passes: since when a field is seen to have drifted, and how often it
//! was healed; never outlives the daemon.

use std::collections::{BTreeMap, BTreeSet};

use evenkeel_manifest::DriftPolicy;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::Value;

use super::by_key;
use crate::diff::{Comparison, differences, starts_a_deployment};
use crate::tags::tag;
use crate::view::View;
use crate::{Action, Call, Input, Lane, Plan, RolloutPhase};

/// So many times a field is healed before whoever changes it back is left alone.
pub(crate) const ATTEMPTS: u32 = 5;
/// After the first; twice as long after each of the others.
const BACK_OFF: SignedDuration = SignedDuration::from_mins(1);
/// How often at most it is healed after that, and how long it must have stayed so that the count begins anew.
const QUIET: SignedDuration = SignedDuration::from_hours(1);

/// Per service, in memory only. Bounded by the fields that its manifest names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DriftMemory {
    /// The first look that showed a difference, by the field's path.
    seen: BTreeMap<String, Timestamp>,
    /// By what can be written by itself: `desiredCount`, `deploymentConfiguration.alarms`, `tags[team]`.
    healed: BTreeMap<String, Healed>,
}

/// How often a field was healed in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Healed {
    times: u32,
    last: Timestamp,
}

/// Whether it is time to heal a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    Now,
    /// It was healed so often; not before then again.
    Later(Held),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) times: u32,
    pub(crate) until: Timestamp,
}

/// A field that left what the manifest wants and is not being set back now, for people.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Drifted {
    /// As in [`crate::Change::path`].
    pub path: String,
    pub policy: DriftPolicy,
    /// What was applied, where that is known; the manifest has not changed since.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<Value>,
    pub wanted: Option<Value>,
    pub live: Option<Value>,
    /// The first look of this daemon that showed it.
    pub since: Timestamp,
    /// How often it was healed and changed back.
    #[serde(skip_serializing_if = "is_zero")]
    pub healed: u32,
    /// When it is healed again, at the earliest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(count: &u32) -> bool {
    *count == 0
}

impl Healed {
    /// When the field may be healed again.
    fn next(self) -> Timestamp {
        let pause = if self.times >= ATTEMPTS {
            QUIET
        } else {
            BACK_OFF * 2_i32.pow(self.times.saturating_sub(1))
        };
        self.last.checked_add(pause).unwrap_or(Timestamp::MAX)
    }
}

impl DriftMemory {
    /// What a daemon remembers that has seen nothing yet.
    pub fn nothing() -> &'static Self {
        static NOTHING: DriftMemory =
            DriftMemory { seen: BTreeMap::new(), healed: BTreeMap::new() };
        &NOTHING
    }

    /// Forgets how often fields were healed: a person or the manifest said something new.
    pub fn heal_anew(&mut self) {
        self.healed.clear();
    }

    pub(crate) fn since(&self, path: &str) -> Option<Timestamp> {
        self.seen.get(path).copied()
    }

    pub(crate) fn turn(&self, field: &str, now: Timestamp) -> Turn {
        match self.healed.get(field) {
            Some(healed) if now < healed.next() => {
                Turn::Later(Held { times: healed.times, until: healed.next() })
            }
            Some(_) | None => Turn::Now,
        }
    }

    /// What is remembered after a pass whose plan had its first `made` actions carried out, and whose status
    /// showed these fields.
    #[must_use]
    pub fn after(&self, input: &Input<'_>, plan: &Plan, made: usize, drifted: &[Drifted]) -> Self {
        let service = input.observed.service.known();
        let view = input.desired.zip(service).and_then(|(one, other)| View::of(input, one, other));
        let Some(view) = view else { return self.clone() };
        let mut healed = self.healed.clone();
        let differing = differing(&view);
        let is_over = |healed: &Healed| input.now.duration_since(healed.last) >= QUIET;
        healed.retain(|field, healed| differing.contains(field) || !is_over(healed));
        for field in plan.actions.iter().take(made).flat_map(|one| healing(&view, one)) {
            let times = healed.get(&field).map_or(0, |healed| healed.times);
            healed.insert(field, Healed { times: times.saturating_add(1), last: input.now });
        }
        let seen = drifted.iter().map(|one| (one.path.clone(), one.since)).collect();
        Self { seen, healed }
    }
}

/// What differs of what can be written by itself.
fn differing(view: &View<'_>) -> BTreeSet<String> {
    let mut fields: BTreeSet<String> = names(&differences(view, Comparison::Lenient).in_place);
    let wanted = view.wanted.get("tags").map(by_key);
    for (key, value) in wanted.as_ref().and_then(Value::as_object).into_iter().flatten() {
        if view.service.tags.get(key).map(String::as_str) != value.as_str() {
            fields.insert(tag_field(key));
        }
    }
    fields
}

/// What an action brings in line. A probe narrows and widens, and heals nothing.
fn healing(view: &View<'_>, action: &Action) -> BTreeSet<String> {
    let probes =
        view.memory.rollout.as_ref().is_some_and(|mark| mark.phase == RolloutPhase::Probing);
    match action.lane {
        Lane::NewChange | Lane::RolloutStep if !probes => written(&action.call),
        _ => BTreeSet::new(),
    }
}

/// What a call writes that changes in place; nothing of one that starts a deployment.
fn written(call: &Call) -> BTreeSet<String> {
    match call {
        Call::UpdateService { input } => {
            let members = input.as_object().cloned().unwrap_or_default();
            if members.keys().any(|name| starts_a_deployment(name)) {
                return BTreeSet::new();
            }
            let others = |name: &str| !["cluster", "service"].contains(&name);
            names(&members.into_iter().filter(|(name, _)| others(name)).collect())
        }
        Call::TagResource { tags, .. } => {
            let keys = tags.keys().filter(|key| !tag::is_ours(key));
            keys.map(|key| tag_field(key)).collect()
        }
        _ => BTreeSet::new(),
    }
}

/// Of a merged member each part is written by itself.
fn names(members: &serde_json::Map<String, Value>) -> BTreeSet<String> {
    let parts = |(name, value): (&String, &Value)| match value {
        Value::Object(parts) if name == "deploymentConfiguration" => {
            parts.keys().map(|part| format!("{name}.{part}")).collect()
        }
        _ => vec![name.clone()],
    };
    members.iter().flat_map(parts).collect()
}

pub(crate) fn tag_field(key: &str) -> String {
    format!("tags[{key}]")
}
