//! Healing what somebody else changed, field by field and less and less often, and remembering what policy keeps;
//! never fights.

use std::collections::BTreeMap;
use std::time::Duration;

use evenkeel_manifest::DriftPolicy;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::diff::{Comparison, Found, IN_PLACE, changes, differences};
use crate::drift::{ATTEMPTS, Held, Turn, tag_field};
use crate::plan::SETTLED;
use crate::tags::{encode_marks, tag};
use crate::view::View;
use crate::{Action, Call, Change, Drifted, Lane, Plan, Wait, WaitReason};

/// What is healed in this pass, and what is not because somebody changes it back again and again.
#[derive(Debug, Default)]
pub(crate) struct Healing {
    pub(crate) members: Map<String, Value>,
    pub(crate) tags: BTreeMap<String, String>,
    /// By field, such as `desiredCount`, with what it is to be.
    pub(crate) held: BTreeMap<String, (Held, Value)>,
}

/// What changes in place of a settled service.
pub(crate) fn healing(view: &View<'_>) -> Healing {
    let mut healing = Healing::default();
    for (name, value) in differences(view, Comparison::Lenient).in_place {
        match value {
            Value::Object(parts) if name == "deploymentConfiguration" => {
                healing.parts(view, &name, parts);
            }
            value if healing.is_due(view, &name, &value) => {
                healing.members.insert(name, value);
            }
            _ => {}
        }
    }
    healing
}

impl Healing {
    fn is_due(&mut self, view: &View<'_>, field: &str, wanted: &Value) -> bool {
        match view.input.turn(field) {
            Turn::Now => true,
            Turn::Later(held) => {
                self.held.insert(field.to_owned(), (held, wanted.clone()));
                false
            }
        }
    }

    /// Of a merged member each part is healed by itself.
    fn parts(&mut self, view: &View<'_>, name: &str, mut parts: Map<String, Value>) {
        parts.retain(|part, value| self.is_due(view, &format!("{name}.{part}"), value));
        if !parts.is_empty() {
            self.members.insert(name.to_owned(), Value::Object(parts));
        }
    }

    /// Takes the tags that differ; Evenkeel's own are nobody else's.
    pub(super) fn add_tags(&mut self, view: &View<'_>, tags: BTreeMap<String, String>) {
        for (key, value) in tags {
            if tag::is_ours(&key) || self.is_due(view, &tag_field(&key), &json!(value)) {
                self.tags.insert(key, value);
            }
        }
    }

    /// One wait a field.
    pub(super) fn waits(&self) -> Vec<Wait> {
        let wait = |(field, (held, _)): (&String, &(Held, Value))| {
            Wait::new(WaitReason::Drift, held_sentence(field, *held)).until(Some(held.until))
        };
        self.held.iter().map(wait).collect()
    }
}

fn held_sentence(field: &str, Held { times, until }: Held) -> String {
    let often = if times == 1 { "once".to_owned() } else { format!("{times} times") };
    let what = format!("service.{field} was changed back {often}");
    if times < ATTEMPTS {
        return format!("{what} after it was healed; it is healed again after {until:.0}");
    }
    format!(
        "{what}: someone else writes it; it is left alone until {until:.0} and then tried once an hour, or at once \
         after a new commit or `evenkeel rollout retry`"
    )
}

/// Until something that is waited for is due, or the usual time.
pub(super) fn look_again(now: Timestamp, waiting: &[Wait]) -> Duration {
    let drift = waiting.iter().filter(|wait| wait.reason == WaitReason::Drift);
    let left = |until: Timestamp| Duration::try_from(until.duration_since(now)).ok();
    let soonest = drift.filter_map(|wait| left(wait.until?)).min();
    soonest.map_or(SETTLED, |left| left.min(SETTLED))
}

/// The tag that remembers what policy keeps, when nothing is left to be applied.
pub(super) fn remembered(view: &View<'_>) -> Option<(String, String)> {
    let marks = view.kept.marks();
    let is_told = *marks == view.memory.kept
        && (marks.is_empty() || view.service.tags.contains_key(tag::DRIFT));
    (!is_told).then(|| (tag::DRIFT.to_owned(), encode_marks(marks)))
}

/// The plan, and before it changes the service the marks of what the manifest says no more are forgotten: should
/// nobody be there afterwards, what was written is never taken for somebody else's.
pub(super) fn forget_first(view: &View<'_>, mut plan: Plan) -> Plan {
    let is_change =
        |one: &Action| matches!(one.call, Call::UpdateService { .. }) && one.lane != Lane::Rollback;
    let place = plan.actions.iter().position(is_change);
    if let (Some(place), Some(still)) = (place, view.kept.still(&view.memory.kept)) {
        let tags = BTreeMap::from([(tag::DRIFT.to_owned(), encode_marks(&still))]);
        let call = Call::TagResource { arn: view.service.service_arn.clone(), tags };
        let why = "forgets what policy kept of what the manifest says no more".to_owned();
        plan.actions.insert(place, Action { call, lane: Lane::RolloutStep, why });
    }
    plan
}

/// The fields that are not as the manifest says, and stay so for now.
pub(crate) fn drifted(view: &View<'_>, plan: &Plan) -> Vec<Drifted> {
    let reported = view.kept.fields.iter().filter(|one| one.policy == DriftPolicy::Report);
    let mut drifted: Vec<Drifted> =
        reported.map(|one| told(view, one.policy, &one.change)).collect();
    let waits = |reason| plan.waiting.iter().find(move |wait: &&Wait| wait.reason == reason);
    if waits(WaitReason::Drift).is_some() {
        drifted.extend(changed_back(view));
    }
    // Of what was never applied nothing has drifted, and traffic that somebody moved is no field.
    if let Some(wait) = waits(WaitReason::ForeignDeployment)
        && super::comparison(view) == Comparison::Lenient
        && !view.service.has_task_sets()
    {
        let deployed = changes(view.input).into_iter().filter(|one| one.effect != IN_PLACE);
        drifted.extend(
            deployed
                .map(|one| Drifted { until: wait.until, ..told(view, DriftPolicy::Heal, &one) }),
        );
    }
    drifted
}

/// What is not healed now because it was changed back before.
fn changed_back(view: &View<'_>) -> Vec<Drifted> {
    let mut drifted = Vec::new();
    for (field, (Held { times, until }, wanted)) in super::settled::healing_of(view).held {
        let mut found = Found::new("");
        found.compare(&format!("service.{field}"), live(view, &field).as_ref(), Some(&wanted));
        drifted.extend(found.changes.iter().map(|one| Drifted {
            healed: times,
            until: Some(until),
            ..told(view, DriftPolicy::Heal, one)
        }));
    }
    drifted
}

/// What is live of what is written by itself.
fn live(view: &View<'_>, field: &str) -> Option<Value> {
    match field.strip_prefix("tags[").and_then(|key| key.strip_suffix(']')) {
        Some(key) => view.service.tags.get(key).map(|value| json!(value)),
        None => view.live.pointer(&format!("/{}", field.replace('.', "/"))).cloned(),
    }
}

fn told(view: &View<'_>, policy: DriftPolicy, change: &Change) -> Drifted {
    let Change { path, old, new, .. } = change.clone();
    Drifted {
        policy,
        last: new.clone(),
        wanted: new,
        live: old,
        since: view.input.drift.since(&path).unwrap_or(view.now()),
        path,
        healed: 0,
        until: None,
    }
}
