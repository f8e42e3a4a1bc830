//! What speaks against a rollout that moves traffic before it starts: rules and target groups that ECS could not
//! use; never stops one in flight, nor a return.
//!
//! Source: Amazon ECS Developer Guide, resources and troubleshooting for blue/green deployments with Application and
//! Network Load Balancers; ecs-behaviour 4.2. ECS checks the same in the middle, and turns the deployment back.

use evenkeel_manifest::Service;

use super::settled::too_soon;
use super::{stand_still, unknown, verified, word};
use crate::breaker::addresses;
use crate::diff::runs_what_is_wanted;
use crate::load_balancing::{ListenerRule, LoadBalancing, Pair, is_rule};
use crate::steps::comparison;
use crate::view::{Standing, View, explain};
use crate::{
    BalancingQuestion, Fact, Observed, Plan, ServiceDeployment, TaskSet, Unknown, Wait, WaitReason,
    tag,
};

/// Whether a rollout is about to start over a service at rest. While ECS moves traffic it has looked itself,
/// and the weights are not what they are to be at a start.
pub(crate) fn is_due(view: &View<'_>) -> bool {
    let given_up = view.standing() == Standing::Failed;
    is_at_rest(view)
        && view.service.tags.contains_key(tag::OWNER)
        && !view.memory.rejects(&view.desired.revision_digest)
        && (given_up || !runs_what_is_wanted(view, comparison(view)))
        && word::not_started(view).is_none()
        && too_soon(view).is_none()
}

fn is_at_rest(view: &View<'_>) -> bool {
    let deployments = view.observed().service_deployments.known();
    view.standing() != Standing::InFlight
        && view.service.deployments.len() == 1
        && deployments.is_none_or(|all| all.iter().all(ServiceDeployment::is_over))
}

/// The plan instead of starting what ECS would give up in the middle.
pub(super) fn not_started(view: &View<'_>) -> Option<Plan> {
    if is_due(view) { hindered(view.desired, view.observed()) } else { None }
}

/// The same for a service that does not exist.
pub(super) fn hindered(desired: &Service, observed: &Observed) -> Option<Plan> {
    verified::hindered(observed).or_else(|| immovable(desired, observed))
}

/// Without permission to look there is no preflight.
fn immovable(desired: &Service, observed: &Observed) -> Option<Plan> {
    BalancingQuestion::of(desired)?;
    let faults = match &observed.load_balancing {
        Fact::Known(seen) => {
            let strangers = Pair::all(desired);
            let strangers = strangers.iter().filter_map(|pair| strangers_in(pair, seen, observed));
            let mut faults = faults(desired, seen);
            if !serves_nobody(desired, observed) {
                faults.extend(Pair::all(desired).iter().filter_map(|pair| split(pair, seen)));
            }
            faults.into_iter().chain(strangers).collect()
        }
        Fact::Absent => faults(desired, &LoadBalancing::default()),
        Fact::Unknown(Unknown::CapabilityMissing { .. } | Unknown::Denied { .. }) => return None,
        Fact::Unknown(why @ (Unknown::NotAsked | Unknown::Failed { .. })) => {
            let why = explain(why);
            let sentence = format!("the load balancing could not be read: {why}");
            return Some(unknown(format!("{sentence}; the rollout starts when it is")));
        }
    };
    if faults.is_empty() {
        return None;
    }
    let sentence = format!("traffic cannot be moved: {}; nothing is started", faults.join("; "));
    Some(stand_still(WaitReason::Preflight, sentence))
}

/// That the preflight was left out, and what was found amiss, where what is to start starts all the same.
pub(super) fn left_out(observed: &Observed) -> Vec<Wait> {
    not_permitted(observed).into_iter().chain(verified::told(observed)).collect()
}

fn not_permitted(observed: &Observed) -> Option<Wait> {
    let why = observed.load_balancing.unknown()?;
    let sentence = format!(
        "whether traffic can be moved was not checked before the start: {}; grant \
         elasticloadbalancing:DescribeRules, DescribeListeners and DescribeTargetGroups",
        explain(why)
    );
    matches!(why, Unknown::Denied { .. }).then(|| Wait::new(WaitReason::NotPermitted, sentence))
}

/// What ECS could not move traffic with, each with what to do about it.
fn faults(desired: &Service, seen: &LoadBalancing) -> Vec<String> {
    let mode = desired.task_definition.member("networkMode");
    let needs_ip = mode.is_some_and(|mode| mode == "awsvpc");
    let mut faults = Vec::new();
    let is_ecs_to_move = desired.rollout.strategy.shift().is_some();
    for pair in Pair::all(desired) {
        faults.extend(faults_of_rules(&pair, seen));
        if is_ecs_to_move {
            faults.extend(pair.rules().filter_map(|arn| mixed(seen.rule(arn)?)));
        }
        let groups = pair.groups.iter();
        faults.extend(groups.filter_map(|group| fault_of_group(group, needs_ip, seen)));
        faults.extend(differences(&pair, seen));
    }
    faults
}

/// `listener rule`, or `listener` of a Network Load Balancer.
fn kind(arn: &str) -> &'static str {
    if is_rule(arn) { "listener rule" } else { "listener" }
}

/// ECS gives up with a rule that does more than forward.
fn mixed(rule: &ListenerRule) -> Option<String> {
    let (arn, others) = (&rule.arn, rule.other_actions.join(" and "));
    (!others.is_empty() && !rule.forwards.is_empty()).then(|| {
        format!(
            "the {} {arn} also has the action {others}, and ECS moves no traffic with a rule that does more than \
             forward: name one that only forwards, or take the strategy Steps",
            kind(arn)
        )
    })
}

fn faults_of_rules(pair: &Pair, seen: &LoadBalancing) -> Vec<String> {
    let named = |arn: &str, what: &str, member: &str| {
        let missing = format!(
            "the {what} {} {arn} does not exist: create it, or name another as {member}",
            kind(arn)
        );
        seen.rule(arn).ok_or(missing)
    };
    let production = named(&pair.production_rule, "production", "productionListenerRule");
    let test = pair.test_rule.as_deref().map(|arn| named(arn, "test", "testListenerRule"));
    match (production, test.transpose()) {
        (Ok(production), Ok(test)) => misrouted(pair, production, test),
        (production, test) => production.err().into_iter().chain(test.err()).collect(),
    }
}

/// Whether no task set was ever complete, and all weights are Evenkeel's to write: then it is the first step that says who gets
/// what.
fn serves_nobody(desired: &Service, observed: &Observed) -> bool {
    let sets = observed.service.known().map(|service| service.task_sets.as_slice());
    desired.rollout.strategy.steps().is_some()
        && !sets.unwrap_or_default().iter().any(TaskSet::is_primary)
}

/// That both groups get production traffic, where only one can serve.
fn split(pair: &Pair, seen: &LoadBalancing) -> Option<String> {
    let production = seen.rule(&pair.production_rule)?;
    let (rule, [first, second]) = (&production.arn, &pair.groups);
    let both = production.serving().filter(|group| group == first || group == second).count() > 1;
    both.then(|| {
        format!(
            "both {first} and {second} get traffic by the production {} {rule}: give the one that does \
             not serve the weight 0",
            kind(rule)
        )
    })
}

/// How rules that exist carry the traffic of the two groups.
fn misrouted(pair: &Pair, production: &ListenerRule, test: Option<&ListenerRule>) -> Vec<String> {
    let (rule, [first, second]) = (&production.arn, &pair.groups);
    let kind = kind(rule);
    let is_ours = |group: &&str| pair.groups.iter().any(|own| own == group);
    let (ours, others): (Vec<&str>, Vec<&str>) = production.serving().partition(is_ours);
    let mut faults = Vec::new();
    faults.extend(others.iter().map(|group| {
        format!(
            "the production {kind} {rule} forwards to {group}, which is neither {first} nor \
             {second}: make it forward to one of these, or name {group} in the manifest"
        )
    }));
    if ours.is_empty() && others.is_empty() {
        faults.push(format!(
            "neither {first} nor {second} gets traffic by the production {kind} {rule}: give the one that \
             serves a weight above 0"
        ));
    }
    // ECS asks that of Application Load Balancers only: a listener may name the one group that serves.
    if !is_rule(rule) {
        return faults;
    }
    let is_known = |group: &&String| {
        [Some(production), test].into_iter().flatten().any(|rule| rule.names(group))
    };
    faults.extend(pair.groups.iter().filter(|group| !is_known(group)).map(|group| {
        format!("neither the production nor the test listener rule names {group}: add it to {rule} with weight 0")
    }));
    faults
}

/// Traffic would move to them. Targets by instance are not told apart, and those that drain were there before.
fn strangers_in(pair: &Pair, seen: &LoadBalancing, observed: &Observed) -> Option<String> {
    let production = seen.rule(&pair.production_rule)?;
    let idle = pair.groups.iter().find(|group| production.serving().all(|one| one != *group))?;
    let health = observed.target_groups.known()?.iter().find(|group| group.arn == *idle)?;
    let tasks = observed.tasks.known()?;
    let is_ours = |id: &str| tasks.iter().any(|task| addresses(task).contains(&id));
    let mut strangers = health.targets.iter().filter(|target| {
        target.state != "draining" && !target.id.starts_with("i-") && !is_ours(&target.id)
    });
    let first = &strangers.next()?.id;
    Some(format!(
        "the target group {idle}, which is to be idle, has targets that are no tasks of this service, such as {first}: \
         another service uses it, or somebody registered them; take them out, or name another group"
    ))
}

fn fault_of_group(group: &str, needs_ip: bool, seen: &LoadBalancing) -> Option<String> {
    let Some(found) = seen.target_group(group) else {
        return Some(format!(
            "the target group {group} does not exist: create it, or name another in the manifest"
        ));
    };
    let kind = found.target_type.as_deref().filter(|kind| needs_ip && *kind != "ip")?;
    Some(format!(
        "the target group {group} is for targets of type {kind}, and tasks of the network mode awsvpc are of \
         type ip: create one of that type"
    ))
}

/// What must be the same for both groups and is not.
fn differences(pair: &Pair, seen: &LoadBalancing) -> Vec<String> {
    let [Some(first), Some(second)] = pair.groups.each_ref().map(|arn| seen.target_group(arn))
    else {
        return Vec::new();
    };
    let parts = [("VPC", &first.vpc, &second.vpc), ("protocol", &first.protocol, &second.protocol)];
    let differs = |(what, one, other): (&str, &Option<String>, &Option<String>)| {
        let (one, other) = (one.as_deref()?, other.as_deref()?);
        (one != other).then(|| {
            format!(
                "the target group {} has the {what} {one}, and {} has {other}: both need the same one",
                first.arn, second.arn
            )
        })
    };
    parts.into_iter().filter_map(differs).collect()
}
