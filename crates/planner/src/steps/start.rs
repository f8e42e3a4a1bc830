//! The start of a rollout: registering content and the one `UpdateService` that begins it; never more
//! than one of ours at a time.

use evenkeel_manifest::Service;
use serde_json::{Map, Value, json};

use super::rollout::{has_started, is_to_replace_ours, mark_rollout};
use super::{altered, ownership, percentages, preflight, stand_still, unknown, unread, word};
use crate::breaker::missing_alarm;
use crate::diff::{
    Comparison, differences, force_where_ecs_wants_it, runs_what_is_wanted, starting_content,
};
use crate::plan::IN_FLIGHT;
use crate::tags::{Marked, Over, RolloutMark, tag};
use crate::view::{Standing, View, is_daemon, is_wanted};
use crate::{Action, Call, Depth, Lane, Observed, Plan, RolloutPhase, Wait, WaitReason};

/// Registers the wanted task definition, when a search for its digest found none:
/// `RegisterTaskDefinition` is not idempotent.
pub(super) fn register(desired: &Service, observed: &Observed) -> Plan {
    if observed.searched.as_ref() != Some(&desired.task_definition_digest) {
        return unknown("the wanted task definition was not searched for in this look");
    }
    if let Some(sentence) = unread("the task definitions", observed.task_definitions.unknown()) {
        return unknown(sentence);
    }
    let known = observed.task_definitions.known().map(Vec::as_slice).unwrap_or_default();
    if known.iter().any(|one| is_wanted(desired, one)) {
        return unknown("AWS gave two answers about the wanted task definition");
    }
    if let Some(plan) = altered::not_registered_again(desired, known) {
        return plan;
    }
    let mut input = desired.task_definition.value();
    if let Some(members) = input.as_object_mut() {
        let tags = members.entry("tags").or_insert_with(|| json!([]));
        if let Some(tags) = tags.as_array_mut() {
            let digest = desired.task_definition_digest.as_str();
            tags.push(json!({ "key": tag::DIGEST, "value": digest }));
        }
    }
    let why = format!(
        "registers a revision of {}: no active one has the content {}",
        desired.family, desired.task_definition_digest
    );
    let call = Call::RegisterTaskDefinition { input };
    let waiting = preflight::left_out(observed);
    Plan::acting(vec![Action { call, lane: Lane::NewChange, why }], waiting)
}

/// What keeps any rollout from starting: people, windows, alarms that cannot be heard, too short a look.
pub(super) fn kept_back(view: &View<'_>) -> Option<Plan> {
    if let Some(plan) = word::not_started(view) {
        return Some(plan);
    }
    if let Some(sentence) = missing_alarm(view) {
        let sentence = format!("{sentence}; the rollout starts when it can be watched");
        return Some(stand_still(WaitReason::Alarm, sentence));
    }
    let is_shallow = view.observed().depth != Depth::Deep;
    is_shallow.then(|| unknown("a rollout starts from a deep look only"))
}

/// Begins the rollout of what is wanted, narrowed to a probe.
pub(super) fn start(view: &View<'_>) -> Plan {
    if let Some(plan) = kept_back(view) {
        return plan;
    }
    if let Some(plan) = preflight::not_started(view) {
        return plan;
    }
    if let Some(plan) = ownership::baseline(view) {
        return plan;
    }
    if let Some(deployment) = view.hidden_deployment() {
        return unknown(format!(
            "{} is in flight, and AWS does not show it among the service's deployments: an answer from the past",
            deployment.service_deployment_arn
        ));
    }
    let Some(definition) = view.wanted_definition() else {
        return register(view.desired, view.observed());
    };
    if is_accepted(view, &definition.arn) {
        return not_shown_yet(view, &definition.arn);
    }
    let mut body = starting_members(view);
    body.insert("cluster".to_owned(), json!(view.desired.key.cluster));
    body.insert("service".to_owned(), json!(view.desired.key.name));
    if definition.arn != view.primary.task_definition {
        body.insert("taskDefinition".to_owned(), json!(definition.arn));
    }
    force_where_ecs_wants_it(&mut body);
    if is_given_up(view) {
        body.insert("forceNewDeployment".to_owned(), json!(true));
    }
    let why = start_sentence(view, &definition.arn, &body);
    if view.standing() == Standing::InFlight {
        say_all(view, &definition.arn, &mut body);
    }
    let call = Call::UpdateService { input: Value::Object(body) };
    let start = Action { call, lane: Lane::NewChange, why };
    Plan::acting(vec![announce(view, &definition.arn), start], super::capability_waits(view))
}

/// ECS may return from what is in flight before the call arrives: what was not said would be of what it returned to.
fn say_all(view: &View<'_>, definition: &str, body: &mut Map<String, Value>) {
    body.insert("taskDefinition".to_owned(), json!(definition));
    for (name, value) in starting_content(view) {
        body.entry(name).or_insert(value);
    }
}

/// Whether the service has taken the revision over and only its deployment is missing: ECS shows both
/// at once, and to say the same again would start nothing (ecs-behaviour 1.5, 3.4).
fn is_accepted(view: &View<'_>, definition: &str) -> bool {
    definition != view.primary.task_definition
        && view.service.task_definition.as_deref() == Some(definition)
        && differences(view, Comparison::Exact).starting.is_empty()
}

fn not_shown_yet(view: &View<'_>, definition: &str) -> Plan {
    let sentence = format!(
        "the service is to run {definition}, but its PRIMARY deployment {} still runs {}; waits for \
         the server to show the deployment",
        view.primary.id, view.primary.task_definition
    );
    let mut waiting = vec![Wait::new(WaitReason::Deployment, sentence)];
    waiting.extend(super::capability_waits(view));
    Plan::waiting(waiting, IN_FLIGHT)
}

/// Whether ECS gave up a deployment of just what is wanted: nothing differs that would start another.
fn is_given_up(view: &View<'_>) -> bool {
    view.standing() == Standing::Failed && runs_what_is_wanted(view, Comparison::Exact)
}

/// Marks the rollout before it begins: should nobody be there to note its deployment's id, the next
/// pass still knows that the deployment is ours.
fn announce(view: &View<'_>, definition: &str) -> Action {
    let digest = &view.desired.revision_digest;
    let before = view.memory.rollout.as_ref();
    let is_unproven =
        before.is_some_and(|mark| has_started(view, mark) || is_to_replace_ours(view, mark));
    let mark = RolloutMark::new(
        digest,
        Marked::announced(definition, Over::of(&view.primary.id, is_unproven)),
        first_phase(view),
        view.now(),
    );
    mark_rollout(view, &mark, format!("announces the rollout of {digest}"))
}

pub(super) fn first_phase(view: &View<'_>) -> RolloutPhase {
    phase_of_new(view.desired)
}

/// The phase in which a rollout of a manifest begins.
pub(super) fn phase_of_new(desired: &Service) -> RolloutPhase {
    let strategy = &desired.rollout.strategy;
    if strategy.shift().is_some() || strategy.code_deploy().is_some() {
        RolloutPhase::Shifting
    } else if desired.rollout.probe.enabled && !is_daemon(desired) {
        RolloutPhase::Probing
    } else {
        RolloutPhase::Widening
    }
}

/// Every member that differs, but a count and percentages that keep the first step small.
fn starting_members(view: &View<'_>) -> Map<String, Value> {
    let differences = differences(view, Comparison::Exact);
    let mut body = differences.starting;
    body.extend(differences.in_place);
    resend_volumes(view, &mut body);
    if !probes(view) {
        return body;
    }
    // A new count and a new revision at once would start many unproven tasks; the count follows when
    // the rollout widens. From zero, one task is the probe.
    body.remove("desiredCount");
    if view.service.desired_count == 0 && view.owned_count().is_some_and(|count| count > 0) {
        body.insert("desiredCount".to_owned(), json!(1));
    }
    percentages::narrow(view, &mut body);
    body
}

fn probes(view: &View<'_>) -> bool {
    first_phase(view) == RolloutPhase::Probing
}

/// ECS wants them again with every task definition that has volumes configured at launch
/// (ecs-behaviour 1.5).
fn resend_volumes(view: &View<'_>, body: &mut Map<String, Value>) {
    if let Some(volumes) = view.wanted.get("volumeConfigurations") {
        body.entry("volumeConfigurations").or_insert_with(|| volumes.clone());
    }
}

fn start_sentence(view: &View<'_>, arn: &str, body: &Map<String, Value>) -> String {
    let fields: Vec<&str> = body
        .keys()
        .map(String::as_str)
        .filter(|name| !["cluster", "service"].contains(name))
        .collect();
    let probe = match percentages::narrowed(view)
        .filter(|_| probes(view) && view.service.desired_count > 0)
    {
        Some(narrow) => format!(
            ", beginning with a probe at {} to {} percent of {} tasks",
            narrow.minimum_healthy, narrow.maximum, view.service.desired_count
        ),
        None => String::new(),
    };
    let thawed = word::in_spite_of_a_freeze(view);
    format!("rolls out {arn} (changes {}){probe}{thawed}", fields.join(", "))
}
