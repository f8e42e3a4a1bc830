//! The task sets of a service, each by what it is to Evenkeel; never decides what becomes of one.

use evenkeel_manifest::{Service, canonical};
use serde_json::Value;

use crate::diff::contains;
use crate::view::definition;
use crate::{Input, ObservedService, TaskSet};

/// Those that are not on their way out.
#[derive(Debug, Default)]
pub(crate) struct Sets<'a> {
    /// What users get, unless traffic moves.
    pub(super) primary: Option<&'a TaskSet>,
    /// Whether the PRIMARY one has the content that the manifest wants.
    pub(super) runs_the_wanted: bool,
    /// Ours beside the PRIMARY one, with the content that the manifest wants.
    pub(super) wanted: Option<&'a TaskSet>,
    /// Ours beside the PRIMARY one, with other content; oldest first.
    pub(super) outdated: Vec<&'a TaskSet>,
    /// Beside the PRIMARY one, and not ours.
    pub(super) foreign: Vec<&'a TaskSet>,
    /// Whether another one is on its way out.
    pub(super) is_draining: bool,
    /// All that ECS counts against its limit of five.
    pub(super) count: usize,
}

impl<'a> Sets<'a> {
    pub(crate) fn of(
        input: &'a Input<'a>,
        desired: &'a Service,
        service: &'a ObservedService,
    ) -> Self {
        let fits = |set: &'a TaskSet| holds_the_wanted(input, desired, set);
        let mut all: Vec<&TaskSet> = service.task_sets.iter().collect();
        all.sort_by_key(|set| set.deployment.created_at);
        let mut sets = Self { count: all.len(), ..Self::default() };
        let ours =
            all.iter().filter(|set| set.is_ours()).map(|set| set.deployment.created_at).max();
        // One that was there before the newest of ours came with the service.
        let is_ours = |set: &TaskSet| set.is_ours() || Some(set.deployment.created_at) < ours;
        for set in all {
            match () {
                () if set.is_draining() => sets.is_draining = true,
                () if set.is_primary() => {
                    sets.primary = Some(set);
                    sets.runs_the_wanted = fits(set);
                }
                () if !is_ours(set) => sets.foreign.push(set),
                () if fits(set) && sets.wanted.is_none() => sets.wanted = Some(set),
                () => sets.outdated.push(set),
            }
        }
        sets
    }

    pub(super) fn is_alone(&self) -> bool {
        self.primary.is_some() && self.count == 1
    }

    /// Whether the PRIMARY one replaced what stands beside it: a rollout from it would be newer.
    pub(super) fn is_replacement(&self) -> bool {
        let newest = self.outdated.iter().map(|set| set.deployment.created_at).max();
        let primary = self.primary.map(|set| set.deployment.created_at);
        newest.is_some() && primary > newest
    }

    pub(super) fn is_primary(&self, id: Option<&str>) -> bool {
        self.primary.is_some_and(|primary| Some(primary.id()) == id)
    }

    /// All of ours beside the PRIMARY one.
    pub(super) fn beside(&self) -> impl Iterator<Item = &'a TaskSet> {
        self.wanted.into_iter().chain(self.outdated.iter().copied())
    }

    pub(super) fn named(&self, id: Option<&str>) -> Option<&'a TaskSet> {
        self.primary.into_iter().chain(self.beside()).find(|set| Some(set.id()) == id)
    }
}

/// A task set cannot be changed but for its scale, so it has what it was made with for ever.
fn holds_the_wanted(input: &Input<'_>, desired: &Service, set: &TaskSet) -> bool {
    let definition = definition(input.observed, &set.deployment.task_definition);
    if definition.is_none_or(|one| one.digest != desired.task_definition_digest) {
        return false;
    }
    let (wanted, live) = (desired.service.value(), set.content());
    canonical::task_set_members().iter().all(|name| match wanted.get(*name) {
        None => true,
        Some(wanted) => holds(name, live.get(*name), wanted),
    })
}

/// ECS shows the concrete platform version, and one target group of the two.
fn holds(name: &str, live: Option<&Value>, wanted: &Value) -> bool {
    let Some(live) = live else { return wanted.as_array().is_some_and(Vec::is_empty) };
    match name {
        "platformVersion" if wanted == "LATEST" => true,
        "loadBalancers" => is_one_of_the_pair(live, wanted),
        _ => contains(live, wanted),
    }
}

fn is_one_of_the_pair(live: &Value, wanted: &Value) -> bool {
    let first = |list: &'_ Value| list.get(0).cloned();
    let (Some(live), Some(wanted)) = (first(live), first(wanted)) else {
        return first(live).is_none() && first(wanted).is_none();
    };
    let group = live.get("targetGroupArn").and_then(Value::as_str);
    let same = |name: &str| live.get(name) == wanted.get(name);
    evenkeel_manifest::target_groups(&wanted).any(|arn| Some(arn) == group)
        && same("containerName")
        && same("containerPort")
}
