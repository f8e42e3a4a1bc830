//! The two percentages of a service while it rolls out or returns: as narrow as a probe, or as the
//! manifest has them; never starts anything.

use serde_json::{Map, Value, json};

use super::rollout::in_place;
use crate::probe::Percentages;
use crate::view::{Standing, View};
use crate::{Action, Lane};

/// Replaces the percentages in `body` by those of a probe, as far as they differ from what is live.
pub(super) fn narrow(view: &View<'_>, body: &mut Map<String, Value>) {
    if let Some(narrow) = narrowed(view) {
        replace(view, body, narrow);
    }
}

fn replace(view: &View<'_>, body: &mut Map<String, Value>, wanted: Percentages) {
    let live = view.live.get("deploymentConfiguration");
    let is = |name: &str| live.and_then(|one| one.get(name)).and_then(Value::as_u64);
    let configuration = body.entry("deploymentConfiguration").or_insert_with(|| json!({}));
    let Some(members) = configuration.as_object_mut() else { return };
    for (name, value) in
        [("maximumPercent", wanted.maximum), ("minimumHealthyPercent", wanted.minimum_healthy)]
    {
        members.remove(name);
        if is(name) != Some(value) {
            members.insert(name.to_owned(), json!(value));
        }
    }
    if members.is_empty() {
        body.remove("deploymentConfiguration");
    }
}

/// Those of the manifest.
pub(super) fn wanted(view: &View<'_>) -> Option<Percentages> {
    read(&view.wanted)
}

/// Those of a probe at the desired count of now.
pub(super) fn narrowed(view: &View<'_>) -> Option<Percentages> {
    Some(Percentages::narrowed(read(&view.wanted)?, view.service.desired_count))
}

fn read(document: &Value) -> Option<Percentages> {
    let configuration = document.get("deploymentConfiguration")?;
    Some(Percentages {
        minimum_healthy: configuration.get("minimumHealthyPercent")?.as_u64()?,
        maximum: configuration.get("maximumPercent")?.as_u64()?,
    })
}

/// Percentages are of a count: when somebody changes that in the middle of a probe, the same ones may
/// leave no room for any task, and ECS stands still, or room for many. What was not narrowed stays wide:
/// somebody else began it.
pub(super) fn fit_to_count(view: &View<'_>) -> Option<Action> {
    let (live, narrow) = (read(&view.live)?, narrowed(view)?);
    let desired = view.service.desired_count;
    let moves = view.standing() == Standing::InFlight && read(&view.wanted)? != live;
    if !moves || live.steps(desired) == narrow.steps(desired) {
        return None;
    }
    let mut body = Map::new();
    replace(view, &mut body, narrow);
    in_place(view, Lane::RolloutStep, &format!("fits the probe to {desired} tasks"), body)
}

/// The manifest's percentages for the return to the proven revision, which needs no probe.
pub(super) fn widen_the_return(view: &View<'_>) -> Option<Action> {
    let mut body = Map::new();
    replace(view, &mut body, read(&view.wanted)?);
    in_place(view, Lane::Rollback, "lets ECS return as fast as the manifest allows", body)
}
