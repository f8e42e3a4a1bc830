//! A task set of what is wanted, beside the one that serves; never before there is room and no traffic for it.

use evenkeel_manifest::{Digest, Service, TrafficStep, canonical};
use serde_json::{Map, Value, json};

use super::back;
use super::sets::Sets;
use super::traffic::Traffic;
use crate::breaker::healthy_tasks;
use crate::plan::IN_FLIGHT;
use crate::steps::absent::missing_alarm;
use crate::steps::settled::rejected_sentence;
use crate::steps::start::{kept_back, register};
use crate::steps::{preflight, stand_still, unknown, word};
use crate::tags::{Memory, tag};
use crate::task_set::EXTERNAL_ID;
use crate::view::{View, wanted_definition};
use crate::{Action, Call, Input, Lane, ObservedService, Plan, TaskSet, Wait, WaitReason};

/// A service takes five, those that drain included (ecs-behaviour 5.3).
pub(super) const MOST: usize = 5;

/// The first task set of a service.
pub(super) fn first(input: &Input<'_>, desired: &Service, service: &ObservedService) -> Plan {
    let memory = Memory::read(&service.tags);
    if memory.rejects(&desired.revision_digest) {
        return stand_still(WaitReason::Rejected, rejected_sentence(desired, &memory));
    }
    if let Some(plan) = word::not_begun(desired, &memory, input.now) {
        return plan;
    }
    if let Some(sentence) = missing_alarm(input, desired) {
        return stand_still(WaitReason::Alarm, sentence);
    }
    let Some(definition) = wanted_definition(desired, input.observed, None) else {
        return register(desired, input.observed);
    };
    if let Some(plan) = preflight::hindered(desired, input.observed) {
        return plan;
    }
    let group = first_group(desired);
    let set = NewSet { desired, service, group: group.as_deref(), scale: 100.0 };
    Plan::acting(vec![set.create(&definition.arn)], Vec::new())
}

/// Of a service that nobody uses yet, the one that the manifest names first.
fn first_group(desired: &Service) -> Option<String> {
    let balancers = desired.service.member("loadBalancers")?;
    let group = balancers.pointer("/0/targetGroupArn")?;
    Some(group.as_str()?.to_owned())
}

/// A task set beside the PRIMARY one, with the tasks of the first step; with all where none is.
pub(super) fn next(view: &View<'_>, sets: &Sets<'_>) -> Plan {
    if let Some(plan) = kept_back(view) {
        return plan;
    }
    if sets.is_draining || sets.count >= MOST {
        let wait =
            Wait::new(WaitReason::Draining, "the rollout starts when no other task set drains");
        return Plan::waiting(vec![wait], IN_FLIGHT);
    }
    let Some(definition) = wanted_definition(view.desired, view.observed(), None) else {
        return register(view.desired, view.observed());
    };
    if let Some(plan) = preflight::hindered(view.desired, view.observed()) {
        return plan;
    }
    let traffic = match Traffic::of(view) {
        Ok(traffic) => traffic,
        Err(why) => return unknown(format!("{why}; the rollout starts when traffic can be moved")),
    };
    if let Some((spare, lane)) = spare(view, sets, &traffic) {
        return back::withdraw(view, sets, spare, lane);
    }
    let group = traffic.group_beside(sets.primary.or(sets.outdated.first().copied()));
    if traffic.production_share(group) > 0 && sets.primary.is_some() {
        let sentence =
            format!("{group} gets production traffic already: somebody else changed its rule");
        return stand_still(WaitReason::ForeignDeployment, sentence);
    }
    let first = first_step(view.desired).filter(|_| sets.primary.is_some());
    let scale = first.map_or(100.0, TrafficStep::scale_percent);
    let set = NewSet { desired: view.desired, service: view.service, group: Some(group), scale };
    let mut create = set.create(&definition.arn);
    create.why += &word::in_spite_of_a_freeze(view);
    Plan::acting(vec![create], preflight::left_out(view.observed()))
}

/// Each group holds one task set. Where both are taken by what was wanted before anything was ever complete, one that serves
/// nobody makes room for what is healthy, else the one without traffic, else that of the newest task set. What traffic it has
/// goes to the other first. A look from the past may have put two task sets into one group.
fn spare<'a>(
    view: &View<'_>,
    sets: &Sets<'a>,
    traffic: &Traffic<'_>,
) -> Option<(&'a TaskSet, Lane)> {
    if sets.primary.is_some() {
        return None;
    }
    let [one, other] = traffic.pair.groups.each_ref().map(String::as_str);
    let of = |group| sets.outdated.iter().copied().filter(move |set| set.is_in(group));
    let (oldest, oldest_of_the_other) = (of(one).next()?, of(other).next()?);
    let serves = |group| of(group).any(|set| may_serve(view, set));
    let has_traffic = |group| traffic.production_share(group) > 0;
    let is_spare = match (serves(one), serves(other)) {
        (true, false) => false,
        (false, true) => true,
        _ if !has_traffic(one) => true,
        _ if !has_traffic(other) => false,
        _ => sets.outdated.last()?.is_in(one),
    };
    let (spare, group) = if is_spare { (oldest, one) } else { (oldest_of_the_other, other) };
    Some((spare, if has_traffic(group) { Lane::Rollback } else { Lane::NewChange }))
}

/// Whether a task of it is healthy, as far as is known.
fn may_serve(view: &View<'_>, set: &TaskSet) -> bool {
    let of_set = View::of_task_set(view.input, view.desired, view.service, set);
    healthy_tasks(&of_set, set.id()).is_none_or(|tasks| !tasks.is_empty())
}

fn first_step(desired: &Service) -> Option<&TrafficStep> {
    desired.rollout.strategy.steps()?.steps.first()
}

/// A task set that is to be, in a group and at a percentage of the desired count.
pub(super) struct NewSet<'a> {
    pub(super) desired: &'a Service,
    pub(super) service: &'a ObservedService,
    pub(super) group: Option<&'a str>,
    pub(super) scale: f64,
}

impl NewSet<'_> {
    pub(super) fn create(&self, definition: &str) -> Action {
        let wanted = self.desired.service.value();
        let mut input = Map::new();
        for name in canonical::task_set_members() {
            if let Some(value) = wanted.get(*name) {
                input.insert((*name).to_owned(), value.clone());
            }
        }
        input.insert("loadBalancers".to_owned(), self.load_balancers(&wanted));
        input.insert("cluster".to_owned(), json!(self.desired.key.cluster));
        input.insert("service".to_owned(), json!(self.desired.key.name));
        input.insert("taskDefinition".to_owned(), json!(definition));
        input.insert("externalId".to_owned(), json!(EXTERNAL_ID));
        input.insert("scale".to_owned(), json!({"value": self.scale, "unit": "PERCENT"}));
        input.insert("clientToken".to_owned(), json!(self.client_token(definition)));
        let why =
            format!("creates a task set of {definition} at {}% of the desired count", self.scale);
        let call = Call::CreateTaskSet { input: Value::Object(input) };
        Action { call, lane: Lane::NewChange, why }
    }

    /// In one of the two groups, and without what moves traffic between them.
    fn load_balancers(&self, wanted: &Value) -> Value {
        let listed = wanted.get("loadBalancers").and_then(Value::as_array);
        let in_group = |balancer: &Value| {
            let mut balancer = balancer.clone();
            if let (Some(members), Some(group)) = (balancer.as_object_mut(), self.group) {
                members.remove("advancedConfiguration");
                members.insert("targetGroupArn".to_owned(), json!(group));
            }
            balancer
        };
        listed.into_iter().flatten().map(in_group).collect()
    }

    /// Equal for a repeated call, so that neither a lost answer nor a look from before creates a second one; another
    /// one beside a task set of the same content, or after a verdict.
    fn client_token(&self, definition: &str) -> String {
        let sets = self.service.task_sets.iter();
        let sets = sets.filter(|set| set.deployment.task_definition == definition);
        let sets: Vec<&str> = sets.map(TaskSet::id).collect();
        let applied = self.service.tags.get(tag::DIGEST);
        let content = json!({
            "key": self.desired.key.to_string(), "revision": self.desired.revision_digest.as_str(),
            "definition": definition, "sets": sets, "applied": applied,
        });
        let digest = Digest::of(&content);
        digest.as_str().chars().filter(char::is_ascii_alphanumeric).take(36).collect()
    }
}
