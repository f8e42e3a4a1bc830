//! The guard before what is done with task sets and weights; shares no code with the planner, and never repairs
//! a plan.
//!
//! Properties: reliability.md, part C (S2, S3, S5 to S8).

use serde_json::Value;

use super::{Ground, steps};
use crate::{Action, Call, Depth, Lane, ListenerRule, Plan, Reweighing, TaskSet};

/// Says when weights were written other than by a step.
const NOTE: &str = "evenkeel:reweighed";

type Rule = fn(&Ground<'_>, &Action) -> Option<String>;

pub(super) const RULES: &[Rule] = &[
    moves_weights_only,
    gives_traffic_to_the_healthy_only,
    takes_all_traffic_before_it_deletes,
    makes_primary_what_users_get,
    creates_beside_and_without_traffic,
    puts_back_all_at_rest,
    steps::rises_with_open_eyes,
    steps::takes_the_next_step,
];

/// Whether what is done is to a task set or a rule of this service.
pub(super) fn is_in_scope(ground: &Ground<'_>, call: &Call) -> bool {
    match call {
        Call::CreateTaskSet { input } => is_of_the_service(ground, input),
        Call::UpdateTaskSet { input } | Call::DeleteTaskSet { input, .. } => {
            is_of_the_service(ground, input) && named(ground, input, "taskSet").is_some()
        }
        Call::UpdateServicePrimaryTaskSet { input } => {
            is_of_the_service(ground, input) && named(ground, input, "primaryTaskSet").is_some()
        }
        Call::ModifyRule { rule, .. } => rules(ground).iter().any(|own| own == rule),
        Call::ModifyListener { listener, rule, .. } => {
            let head = format!("{}/", listener.replace(":listener/", ":listener-rule/"));
            rule.starts_with(&head) && rules(ground).iter().any(|own| own == rule)
        }
        _ => false,
    }
}

fn is_of_the_service(ground: &Ground<'_>, input: &Value) -> bool {
    let text = |member: &str| input.get(member).and_then(Value::as_str);
    let key = ground.input.key;
    text("cluster") == Some(&key.cluster) && text("service") == Some(&key.name)
}

fn named<'a>(ground: &Ground<'a>, input: &Value, member: &str) -> Option<&'a TaskSet> {
    let id = input.get(member)?.as_str()?;
    ground.service?.task_sets.iter().find(|set| set.deployment.id == id)
}

fn balancers(ground: &Ground<'_>) -> Vec<Value> {
    let listed = ground.manifest("loadBalancers");
    listed.as_ref().and_then(Value::as_array).cloned().unwrap_or_default()
}

fn texts(ground: &Ground<'_>, pointers: [&str; 2]) -> Vec<String> {
    let text = |one: &Value, pointer: &str| Some(one.pointer(pointer)?.as_str()?.to_owned());
    let all = balancers(ground);
    all.iter().flat_map(|one| pointers.map(|pointer| text(one, pointer))).flatten().collect()
}

fn rules(ground: &Ground<'_>) -> Vec<String> {
    const RULES: [&str; 2] = [
        "/advancedConfiguration/productionListenerRule",
        "/advancedConfiguration/testListenerRule",
    ];
    texts(ground, RULES)
}

fn production_rule(ground: &Ground<'_>) -> Option<String> {
    const RULE: &str = "/advancedConfiguration/productionListenerRule";
    texts(ground, [RULE, RULE]).into_iter().next()
}

fn groups(ground: &Ground<'_>) -> Vec<String> {
    texts(ground, ["/targetGroupArn", "/advancedConfiguration/alternateTargetGroupArn"])
}

/// The rule as it was seen, and what its weights are to be.
fn written<'a, 'c>(
    ground: &Ground<'a>,
    call: &'c Call,
) -> Option<(&'a ListenerRule, &'c Reweighing)> {
    let (Call::ModifyRule { rule, weights } | Call::ModifyListener { rule, weights, .. }) = call
    else {
        return None;
    };
    let seen = ground.input.observed.load_balancing.known()?;
    Some((seen.rules.iter().find(|one| one.arn == *rule)?, weights))
}

fn is_a_write_of_rules(call: &Call) -> bool {
    matches!(call, Call::ModifyRule { .. } | Call::ModifyListener { .. })
}

/// A part of the whole, in tenths of a percent.
fn part(weights: &[(String, u32)], group: &str) -> u64 {
    let all: u64 = weights.iter().map(|(_, weight)| u64::from(*weight)).sum();
    let own = weights.iter().find(|(arn, _)| arn == group);
    own.map_or(0, |(_, weight)| u64::from(*weight)) * 1000 / all.max(1)
}

/// What the production rule gave a group when it was seen; `None` when it was not.
fn production_part(ground: &Ground<'_>, group: &str) -> Option<u64> {
    let arn = production_rule(ground)?;
    let seen = ground.input.observed.load_balancing.known()?;
    Some(part(&seen.rules.iter().find(|rule| rule.arn == arn)?.forwards, group))
}

/// Traffic goes to the service's own two groups, and from a rule that is as it was seen.
fn moves_weights_only(ground: &Ground<'_>, action: &Action) -> Option<String> {
    if !is_a_write_of_rules(&action.call) {
        return None;
    }
    let Some((rule, weights)) = written(ground, &action.call) else {
        return Some("the rule was not seen in this look".to_owned());
    };
    if rule.forwards != weights.seen {
        return Some(format!("{} is not as it is said to be", rule.arn));
    }
    let own = groups(ground);
    let named = weights.wanted.iter().chain(&weights.seen).map(|(arn, _)| arn);
    let foreign = named.into_iter().find(|arn| !own.contains(arn));
    foreign.map(|arn| format!("{arn} is not a target group of the manifest"))
}

fn gaining_group(ground: &Ground<'_>, call: &Call) -> Option<String> {
    let (rule, weights) = written(ground, call)?;
    let gains = |arn: &String| part(&weights.wanted, arn) > part(&rule.forwards, arn);
    groups(ground).into_iter().find(gains)
}

fn standing_in<'a>(ground: &Ground<'a>, group: &str) -> Option<&'a TaskSet> {
    let sets = &ground.service?.task_sets;
    sets.iter().find(|set| set.deployment.status != "DRAINING" && group_of(set) == Some(group))
}

/// The task set that gets more of the traffic of a rule.
pub(super) fn gaining<'a>(ground: &Ground<'a>, call: &Call) -> Option<&'a TaskSet> {
    standing_in(ground, &gaining_group(ground, call)?)
}

pub(super) fn is_of_production(ground: &Ground<'_>, call: &Call) -> bool {
    let production = production_rule(ground);
    written(ground, call).is_some_and(|(rule, _)| Some(&rule.arn) == production.as_ref())
}

/// More traffic goes only where a task set stands with all its tasks healthy; on the way back to one that served before it
/// is enough that one stands. Nothing that was rejected gets more.
fn gives_traffic_to_the_healthy_only(ground: &Ground<'_>, action: &Action) -> Option<String> {
    let group = &gaining_group(ground, &action.call)?;
    let Some(set) = standing_in(ground, group) else {
        return Some(format!("no task set stands in {group}"));
    };
    let is_primary = set.deployment.status == "PRIMARY";
    let is_new = is_newest(ground, set) && is_of_production(ground, &action.call);
    if (action.lane == Lane::Rollback && !is_new) || is_primary {
        return None;
    }
    let definition = ground.definition(&set.deployment.task_definition);
    let is_wanted =
        definition.is_some_and(|one| one.digest == ground.desired.task_definition_digest);
    if ground.rejects_the_wanted() && is_wanted {
        return Some(format!("{} was rejected", ground.desired.revision_digest));
    }
    let healthy = healthy_targets(ground, group);
    let needed = usize::try_from(set.deployment.desired_count).unwrap_or(usize::MAX);
    let is_empty = needed == 0 && ground.service?.desired_count > 0;
    (healthy < needed || is_empty)
        .then(|| format!("{healthy} of {needed} targets in {group} are healthy"))
}

/// Whether it came after the one that users get.
fn is_newest(ground: &Ground<'_>, set: &TaskSet) -> bool {
    let sets = ground.service.map(|service| service.task_sets.as_slice()).unwrap_or_default();
    let serving = sets.iter().find(|one| one.deployment.status == "PRIMARY");
    serving.is_some_and(|one| one.deployment.created_at < set.deployment.created_at)
}

fn group_of(set: &TaskSet) -> Option<&str> {
    set.deployment.rest.get("loadBalancers")?.get(0)?.get("targetGroupArn")?.as_str()
}

fn healthy_targets(ground: &Ground<'_>, group: &str) -> usize {
    let seen = ground.input.observed.target_groups.known().map(Vec::as_slice).unwrap_or_default();
    let targets = seen.iter().filter(|one| one.arn == group).flat_map(|one| &one.targets);
    targets.filter(|target| target.state == "healthy").count()
}

fn takes_all_traffic_before_it_deletes(ground: &Ground<'_>, action: &Action) -> Option<String> {
    let Call::DeleteTaskSet { input, unused } = &action.call else { return None };
    let set = named(ground, input, "taskSet")?;
    let id = &set.deployment.id;
    if set.deployment.status == "PRIMARY" {
        return Some(format!("{id} is the PRIMARY task set"));
    }
    if stands_with_the_primary(ground, set) {
        return None;
    }
    let group = group_of(set);
    if unused.as_ref().map(|unused| (Some(unused.rule.clone()), unused.group.as_str()))
        != group.map(|group| (production_rule(ground), group))
    {
        return Some(format!("whether {id} gets traffic is not asked once more before"));
    }
    match group.map(|group| production_part(ground, group)) {
        None => None,
        Some(Some(0)) => (!gave_back(ground, id)).then(|| {
            format!("whether {id} gets traffic may be out of date: nothing was given back since")
        }),
        Some(None) => Some(format!("whether {id} gets traffic was not seen")),
        Some(Some(_)) => Some(format!("{id} gets traffic")),
    }
}

/// Whether the PRIMARY one serves what the group of a task set gets.
fn stands_with_the_primary(ground: &Ground<'_>, set: &TaskSet) -> bool {
    let sets = ground.service.map(|service| service.task_sets.as_slice()).unwrap_or_default();
    let primary = sets.iter().find(|one| one.deployment.status == "PRIMARY");
    group_of(set).is_some() && primary.and_then(group_of) == group_of(set)
}

/// Whether the weights were written since the rollout of a task set came where it is, so that another one, PRIMARY, gets all.
fn gave_back(ground: &Ground<'_>, id: &str) -> bool {
    let sets = ground.service.map(|service| service.task_sets.as_slice()).unwrap_or_default();
    let takes = |set: &TaskSet| set.deployment.status == "PRIMARY" && group_of(set).is_some();
    let mark = ground.tag("evenkeel:rollout").filter(|mark| mark.contains(&format!(":{id}:")));
    let since = mark.and_then(|mark| mark.rsplit(':').next()?.parse::<i64>().ok());
    since.is_none_or(|since| put_back_at(ground).is_some_and(|at| at >= since))
        || !sets.iter().any(takes)
}

/// When weights were written last other than by a step.
fn put_back_at(ground: &Ground<'_>) -> Option<i64> {
    ground.tag(NOTE)?.strip_prefix("v1:")?.parse().ok()
}

fn makes_primary_what_users_get(ground: &Ground<'_>, action: &Action) -> Option<String> {
    let Call::UpdateServicePrimaryTaskSet { input } = &action.call else { return None };
    let set = named(ground, input, "primaryTaskSet")?;
    let has_all = group_of(set).is_none_or(|group| production_part(ground, group) == Some(1000));
    (!has_all).then(|| format!("{} does not get all traffic", set.deployment.id))
}

/// Whether what is to be created has the content of what was proven, while it is returned to.
fn is_to_return(ground: &Ground<'_>, input: &Value) -> bool {
    let is_under_way =
        ground.tag("evenkeel:rollout").is_some_and(|mark| mark.contains(":rollback:"));
    let created = input.get("taskDefinition").and_then(Value::as_str);
    is_under_way && created.is_some_and(|arn| ground.is_proven(arn))
}

fn creates_beside_and_without_traffic(ground: &Ground<'_>, action: &Action) -> Option<String> {
    let Call::CreateTaskSet { input } = &action.call else { return None };
    let sets = &ground.service?.task_sets;
    if sets.len() >= 5 {
        return Some("a service takes five task sets".to_owned());
    }
    let returns = action.lane == Lane::Rollback && is_to_return(ground, input);
    if ground.rejects_the_wanted() && !returns {
        return Some(format!("{} was rejected", ground.desired.revision_digest));
    }
    let group = input.pointer("/loadBalancers/0/targetGroupArn").and_then(Value::as_str)?;
    if sets.iter().any(|set| group_of(set) == Some(group)) {
        return Some(format!("another task set is in {group}"));
    }
    let serves = sets.iter().any(|set| set.deployment.status == "PRIMARY");
    (serves && production_part(ground, group) != Some(0))
        .then(|| format!("{group} gets production traffic already, or was not seen"))
}

/// Nothing is rolled out or back: one task set stands, and users are to get it.
fn resting<'a>(ground: &Ground<'a>) -> Option<&'a TaskSet> {
    match ground.service?.task_sets.as_slice() {
        [one] if one.deployment.status == "PRIMARY" && ground.tag("evenkeel:rollout").is_none() => {
            Some(one)
        }
        _ => None,
    }
}

/// What is written of the rules of a service at rest is that the PRIMARY task set, all healthy, gets all again; not while
/// a person paused it.
fn puts_back_all_at_rest(ground: &Ground<'_>, action: &Action) -> Option<String> {
    let set = resting(ground).filter(|_| is_a_write_of_rules(&action.call))?;
    let (_, weights) = written(ground, &action.call)?;
    let id = &set.deployment.id;
    let group = group_of(set).unwrap_or_default();
    if !is_of_production(ground, &action.call) || part(&weights.wanted, group) != 1000 {
        return Some(format!("at rest production traffic is given to {id} whole, and no other"));
    }
    let annotations = &ground.desired.metadata.annotations;
    if ground.tag("evenkeel:pause").is_some() || annotations.contains_key("evenkeel.dev/pause") {
        return Some("rollouts of the service are paused".to_owned());
    }
    let needed = usize::try_from(set.deployment.desired_count).unwrap_or(usize::MAX);
    let is_served = needed > 0 && healthy_targets(ground, group) >= needed;
    let is_deep = ground.input.observed.depth == Depth::Deep;
    (!is_served || !is_deep).then(|| format!("the tasks of {id} were not seen to be healthy"))
}

/// The same once an hour at most, and noted before, so that nobody is fought; what failed is made again for two minutes.
pub(super) fn puts_back_once_an_hour(ground: &Ground<'_>, plan: &Plan) -> Option<String> {
    resting(ground)?;
    let write = plan.actions.iter().position(|action| is_a_write_of_rules(&action.call))?;
    let is_note = |action: &Action| matches!(&action.call, Call::TagResource { tags, .. } if tags.contains_key(NOTE));
    match put_back_at(ground).map(|at| ground.input.now.as_second() - at) {
        Some(-120..=120) => None,
        Some(ago) if ago < 3600 => Some("weights were put back within the hour".to_owned()),
        _ if plan.actions.iter().take(write).any(is_note) => None,
        _ => Some("weights are put back, and it is not noted before".to_owned()),
    }
}
