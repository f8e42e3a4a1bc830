//! A service of ours that no manifest names: announced, scaled in, deleted, one step a pass and each long after
//! the one before; never touches one that is anybody else's, and gives back all when a manifest names it again.

use std::collections::BTreeMap;
use std::time::Duration;

use evenkeel_manifest::Service;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::command::{refuse, written};
use super::{held, stand_still, unknown, unread};
use crate::diff::{Comparison, runs_what_is_wanted};
use crate::plan::{AFTER_ACTION, CAPACITY, IN_FLIGHT};
use crate::prune::{Leave, PruneTerms};
use crate::tags::{Tombstone, TombstonePhase, is_owner, tag};
use crate::view::{View, explain, not_seen, owned_count};
use crate::{
    Action, Call, Command, Fact, Input, Lane, Obedience, ObservedService, Order, Plan, Refusal,
    RolloutPhase, Wait, WaitReason,
};

/// Nothing is urgent about a service on its way out.
const LOOK_AGAIN_MOST: Duration = Duration::from_hours(1);

/// What the tag says while the manifest says that the service stays.
pub(super) const DISABLED: &str = "v1:disabled";

/// The next step with a service that no manifest names. Total, like [`crate::plan`]; settled when it is gone or is
/// none that may be pruned.
pub fn prune(input: &Input<'_>, terms: &PruneTerms) -> Plan {
    let service = match &input.observed.service {
        Fact::Known(service) if service.status != "INACTIVE" => service,
        Fact::Known(_) | Fact::Absent => return Plan::settled(),
        Fact::Unknown(why) => {
            return unknown(format!("the service could not be read: {}", explain(why)));
        }
    };
    if !is_ours(input, service) || service.tags.contains_key(tag::PRUNE) {
        return Plan::settled();
    }
    if service.status != "ACTIVE" {
        let sentence = format!("the service is {}", service.status);
        return Plan::waiting(vec![Wait::new(WaitReason::Draining, sentence)], IN_FLIGHT);
    }
    if service.tags.contains_key(tag::HOLD) {
        return stand_still(WaitReason::Held, held(service));
    }
    if let Some(why) = by_hand(service) {
        return kept(why);
    }
    match Tombstone::of(&service.tags) {
        None => announce(input, service, terms),
        Some(Err(value)) => {
            kept(format!("the tag {} cannot be read by this version: {value}", tag::TOMBSTONE))
        }
        Some(Ok(mark)) => {
            let mark = Tombstone { since: mark.since.max(terms.lost_at(input.now)), ..mark };
            match mark.phase {
                TombstonePhase::Announced => scale_in(input, service, terms, &mark),
                TombstonePhase::ScaledIn => delete(input, service, terms, &mark),
            }
        }
    }
}

fn is_ours(input: &Input<'_>, service: &ObservedService) -> bool {
    service.tags.get(tag::OWNER).is_some_and(|owner| is_owner(owner, input.instance))
}

/// Why a person must delete it.
fn by_hand(service: &ObservedService) -> Option<String> {
    let controller = service.controller();
    if controller != "ECS" {
        return Some(format!(
            "its tasks are started by the deployment controller {controller}; delete it by hand"
        ));
    }
    let is_daemon =
        service.document.get("schedulingStrategy").and_then(Value::as_str) == Some("DAEMON");
    is_daemon.then(|| "a DAEMON service cannot be scaled in first; delete it by hand".to_owned())
}

fn kept(why: impl AsRef<str>) -> Plan {
    let sentence = format!("no manifest names it, and it stays: {}", why.as_ref());
    stand_still(WaitReason::PruneHeld, sentence)
}

fn announce(input: &Input<'_>, service: &ObservedService, terms: &PruneTerms) -> Plan {
    if let Leave::Held(why) = &terms.announce {
        return kept(why);
    }
    if let Some(plan) = traffic_moves(service) {
        return plan;
    }
    let mark = Tombstone::announced(second_after(input.now), service.desired_count);
    let at = after(mark.since, terms.grace);
    let why = format!("announces that it goes: no manifest names it; it is scaled in at {at:.0}");
    marked(service, &mark, why)
}

/// A shift ends before its service does: nobody may be sent where nothing runs.
fn traffic_moves(service: &ObservedService) -> Option<Plan> {
    let strategy = service.document.pointer("/deploymentConfiguration/strategy");
    let shifts = strategy.and_then(Value::as_str).is_some_and(|one| one != "ROLLING");
    (shifts && service.deployments.len() > 1).then(|| {
        let sentence = "waits for the deployment that moves its traffic to end".to_owned();
        Plan::waiting(vec![Wait::new(WaitReason::Pruning, sentence)], CAPACITY)
    })
}

fn scale_in(
    input: &Input<'_>,
    service: &ObservedService,
    terms: &PruneTerms,
    mark: &Tombstone,
) -> Plan {
    if let Some(plan) = hindered(terms, mark).or_else(|| traffic_moves(service)) {
        return plan;
    }
    let at = after(mark.since, terms.grace);
    if input.now < at {
        let sentence = format!(
            "no manifest names it: it is scaled in from {} tasks at {at:.0}, unless one names it by then",
            service.desired_count
        );
        return until(input.now, at, sentence);
    }
    if service.desired_count == 0 {
        if let Some(plan) = its_tasks_stop(service) {
            return plan;
        }
        let mark = Tombstone {
            phase: TombstonePhase::ScaledIn,
            since: second_after(input.now),
            ..mark.clone()
        };
        let at = deleted_at(&mark, terms);
        return marked(
            service,
            &mark,
            format!("notes that it is at zero; it is deleted at {at:.0}"),
        );
    }
    let input = json!({
        "cluster": input.key.cluster, "service": input.key.name, "desiredCount": 0,
    });
    let why = format!("scales it in from {} tasks: no manifest names it", service.desired_count);
    acting(Call::UpdateService { input }, why)
}

fn delete(
    input: &Input<'_>,
    service: &ObservedService,
    terms: &PruneTerms,
    mark: &Tombstone,
) -> Plan {
    if service.desired_count > 0 {
        return kept(format!(
            "somebody has scaled it out to {} since it was scaled in; bring its manifest back, or scale it in",
            service.desired_count
        ));
    }
    if let Some(plan) = its_tasks_stop(service).or_else(|| hindered(terms, mark)) {
        return plan;
    }
    let at = deleted_at(mark, terms);
    if input.now < at {
        let sentence = format!(
            "no manifest names it, and it was scaled in: it is deleted at {at:.0}; with a manifest it gets its \
             {} tasks back",
            mark.count
        );
        return until(input.now, at, sentence);
    }
    let since = mark.since;
    let input = json!({ "cluster": input.key.cluster, "service": input.key.name });
    let why = format!("deletes it: no manifest names it, and it has been at zero since {since:.0}");
    acting(Call::DeleteService { input }, why)
}

/// What a look shows can be younger than the look, by as long as a pass takes at most by default.
fn deleted_at(mark: &Tombstone, terms: &PruneTerms) -> Timestamp {
    const A_PASS: SignedDuration = SignedDuration::from_mins(2);
    after(mark.since, terms.keep.max(PruneTerms::KEEP_LEAST) + A_PASS)
}

fn its_tasks_stop(service: &ObservedService) -> Option<Plan> {
    (service.running_count + service.pending_count > 0).then(|| {
        let sentence = "no manifest names it, and it was scaled in: its tasks stop".to_owned();
        Plan::waiting(vec![Wait::new(WaitReason::Pruning, sentence)], CAPACITY)
    })
}

/// Tags hold whole seconds, and no time is to be shorter for that.
fn second_after(now: Timestamp) -> Timestamp {
    after(now, SignedDuration::from_secs(1))
}

fn hindered(terms: &PruneTerms, mark: &Tombstone) -> Option<Plan> {
    let leave = if mark.said.is_some() { &terms.acknowledged } else { &terms.proceed };
    leave.held().map(kept)
}

fn until(now: Timestamp, at: Timestamp, sentence: String) -> Plan {
    let left = at.duration_since(now).unsigned_abs();
    let wait = Wait::new(WaitReason::Pruning, sentence).until(Some(at));
    Plan::waiting(vec![wait], left.clamp(AFTER_ACTION, LOOK_AGAIN_MOST))
}

fn after(since: Timestamp, time: SignedDuration) -> Timestamp {
    since.saturating_add(time).unwrap_or(Timestamp::MAX)
}

fn marked(service: &ObservedService, mark: &Tombstone, why: String) -> Plan {
    let tags = BTreeMap::from([(tag::TOMBSTONE.to_owned(), mark.encode())]);
    acting(Call::TagResource { arn: service.service_arn.clone(), tags }, why)
}

fn acting(call: Call, why: String) -> Plan {
    Plan::acting(vec![Action { call, lane: Lane::Sweep, why }], Vec::new())
}

/// A manifest names it again: it gets its tasks back before anything else is done, and then loses its mark. What was
/// judged bad gets none back, and goes away first; what was not judged to its end gets one, and is judged by that: once
/// tasks can be seen.
pub(super) fn revive(
    input: &Input<'_>,
    desired: &Service,
    service: &ObservedService,
) -> Option<Plan> {
    let mark = Tombstone::of(&service.tags)?.ok();
    let before = mark.as_ref().map_or(0, |mark| mark.count);
    let is_empty = service.desired_count == 0 && before > 0;
    let count = owned_count(desired).unwrap_or(before);
    let count = match trust(input, desired, service)? {
        Trust::Proven => count,
        Trust::Unproven => {
            let unseen = unread("the tasks", not_seen(&input.observed.tasks));
            if let Some(sentence) = unseen.filter(|_| is_empty && count > 0) {
                return Some(unknown(sentence));
            }
            count.min(1)
        }
    };
    let action = if is_empty && count > 0 {
        let input = json!({
            "cluster": input.key.cluster, "service": input.key.name, "desiredCount": count,
        });
        let why = format!("scales it out to {count} tasks again: a manifest names it");
        Action { call: Call::UpdateService { input }, lane: Lane::RolloutStep, why }
    } else {
        let keys = vec![tag::TOMBSTONE.to_owned()];
        let call = Call::UntagResource { arn: service.service_arn.clone(), keys };
        let why = "takes its tombstone away: a manifest names it".to_owned();
        Action { call, lane: Lane::RolloutStep, why }
    };
    Some(Plan::acting(vec![action], Vec::new()))
}

/// What is known of the revision that a service runs.
enum Trust {
    Proven,
    Unproven,
}

/// `None` of what was judged bad.
fn trust(input: &Input<'_>, desired: &Service, service: &ObservedService) -> Option<Trust> {
    let view = View::of(input, desired, service)?;
    let is_bad = view.memory.rejects(&desired.revision_digest);
    match &view.memory.rollout {
        Some(mark) if is_bad || mark.phase == RolloutPhase::RollingBack => None,
        Some(_) => Some(Trust::Unproven),
        None if is_bad && runs_what_is_wanted(&view, Comparison::Lenient) => None,
        None => Some(Trust::Proven),
    }
}

/// A person's command about a service that no manifest names: it may be stopped, and it may be let go.
pub(super) fn obey(input: &Input<'_>, order: &Order) -> Result<Obedience, Refusal> {
    let service = match &input.observed.service {
        Fact::Known(service) if service.status == "ACTIVE" => service,
        Fact::Known(service) => return refuse(format!("the service is {}", service.status)),
        Fact::Absent => return refuse("the service does not exist"),
        Fact::Unknown(why) => {
            return refuse(format!("the service could not be read: {}", explain(why)));
        }
    };
    if !is_ours(input, service) {
        return refuse("no manifest names this service, and it is not Evenkeel's");
    }
    match &order.command {
        Command::Hold => Ok(super::command::hold(service, &order.said(input.now))),
        Command::Release => Ok(super::command::release(service)),
        Command::Prune => acknowledge(input, service, order),
        _ => refuse("no manifest names this service: it can be held, released and pruned"),
    }
}

fn acknowledge(
    input: &Input<'_>,
    service: &ObservedService,
    order: &Order,
) -> Result<Obedience, Refusal> {
    if service.tags.contains_key(tag::HOLD) {
        return refuse("the service is on hold; release it first");
    }
    if service.tags.contains_key(tag::PRUNE) {
        return refuse(format!(
            "its manifest said that it stays (evenkeel.dev/prune: disabled); delete it by hand, or remove the tag {}",
            tag::PRUNE
        ));
    }
    if let Some(why) = by_hand(service) {
        return refuse(why);
    }
    let mark = match Tombstone::of(&service.tags) {
        Some(Ok(mark)) => mark,
        Some(Err(_)) | None => Tombstone::announced(second_after(input.now), service.desired_count),
    };
    let sentence = "it goes as prune.grace and prune.keep say, whatever number of services have lost their manifests";
    if mark.said.is_some() {
        return Ok(Obedience { actions: Vec::new(), sentence: sentence.to_owned() });
    }
    let mark = mark.acknowledged(&order.who, &order.why);
    let tags = BTreeMap::from([(tag::TOMBSTONE.to_owned(), mark.encode())]);
    Ok(written(service, tags, sentence))
}
