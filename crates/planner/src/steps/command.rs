//! What a person's command writes: tags on the service, from which the next pass goes on; never makes
//! another call than that.

use std::collections::BTreeMap;

use evenkeel_manifest::Service;

use super::{code_deploy, external, gate, ownership, postponed, prune, undo, unseen, word};
use crate::diff::{Comparison, runs_what_is_wanted};
use crate::steps::rollout::is_settled;
use crate::tags::{Memory, Promotion, Rejection, RolloutMark, Scope, tag};
use crate::view::{Standing, View, explain};
use crate::{
    Action, Call, Command, Depth, Fact, Gates, Input, Lane, Obedience, ObservedService, Order,
    Refusal, RolloutPhase, Said, ServiceDeployment,
};

/// How a command is followed as things stand. Total, like [`crate::plan`].
///
/// # Errors
///
/// Why it is not followed, and what to do about it.
pub fn obey(input: &Input<'_>, order: &Order) -> Result<Obedience, Refusal> {
    if input.desired.is_none() {
        return prune::obey(input, order);
    }
    let (desired, service) = theirs(input)?;
    let memory = Memory::read(&service.tags);
    if order.command.is_stopped_by_a_hold() {
        if desired.paused {
            return refuse(
                "spec.paused is true in the manifest: nothing is written until it is not",
            );
        }
        if memory.hold {
            return refuse("the service is on hold; release it first");
        }
    }
    let said = order.said(input.now);
    match &order.command {
        Command::Hold => Ok(hold(service, &said)),
        Command::Release => Ok(release(service)),
        Command::Pause => Ok(stop(
            service,
            tag::PAUSE,
            &said,
            "no rollout starts, widens or passes a gate until it is resumed; a verdict still turns \
             one back, and ECS still ends a pause after gateTimeout",
        )),
        Command::Resume => Ok(remove(service, tag::PAUSE, "rollouts go on")),
        Command::Retry => Ok(retry(desired, service, &memory)),
        Command::Prune => refuse("a manifest names this service: delete the manifest first"),
        Command::Promote(_) | Command::Abort | Command::Undo { .. } => {
            with_view(input, desired, service, order)
        }
    }
}

pub(super) fn hold(service: &ObservedService, said: &Said) -> Obedience {
    let sentence = "nothing is written until it is released; what ECS has begun it goes on with";
    stop(service, tag::HOLD, said, sentence)
}

pub(super) fn release(service: &ObservedService) -> Obedience {
    remove(service, tag::HOLD, "it is looked after again")
}

/// The commands that look deeper.
fn with_view(
    input: &Input<'_>,
    desired: &Service,
    service: &ObservedService,
    order: &Order,
) -> Result<Obedience, Refusal> {
    let Some(view) = View::of(input, desired, service) else {
        return refuse("the service has no PRIMARY deployment");
    };
    if let Some(why) = view.observed().task_definitions.unknown() {
        let why = explain(why);
        return refuse(format!("the task definition in use could not be read: {why}; try again"));
    }
    if view.observed().depth != Depth::Deep {
        return refuse("the rollout was not looked at; try again");
    }
    if let Some(why) = unseen(&view) {
        return refuse(format!("{why}; try again"));
    }
    match &order.command {
        Command::Promote(gates) => promote(&view, gates, order),
        Command::Undo { to } => undo::undo(&view, to.as_deref(), order),
        _ => abort(&view, order),
    }
}

/// The service, if it is there and ours.
fn theirs<'a>(input: &Input<'a>) -> Result<(&'a Service, &'a ObservedService), Refusal> {
    let Some(desired) = input.desired else {
        return refuse("no manifest names this service");
    };
    let service = match &input.observed.service {
        Fact::Known(service) if service.status == "ACTIVE" => service,
        Fact::Known(service) => return refuse(format!("the service is {}", service.status)),
        Fact::Absent => return refuse("the service does not exist yet"),
        Fact::Unknown(why) => {
            return refuse(format!("the service could not be read: {}", explain(why)));
        }
    };
    let is_unowned = Memory::read(&service.tags).owner.is_none();
    if let Some(plan) = ownership::foreign(input, desired, service) {
        let sentence = plan.waiting.into_iter().next().map(|wait| wait.sentence);
        return refuse(sentence.unwrap_or_default());
    }
    if is_unowned {
        return refuse("the service is not taken over yet; try again in a minute");
    }
    Ok((desired, service))
}

/// Opens the gate at which the rollout stands, or all of them; or lets one that is kept by a freeze go.
fn promote(view: &View<'_>, gates: &Gates, order: &Order) -> Result<Obedience, Refusal> {
    let digest = &view.desired.revision_digest;
    let mark = view.memory.rollout.as_ref().filter(|mark| mark.digest == *digest);
    let mark = mark.filter(|mark| mark.phase != RolloutPhase::RollingBack);
    if mark.is_some() && view.memory.rejects(digest) {
        return refuse(format!("{digest} was rejected: retry it, or change its content"));
    }
    let Some(mark) = mark else {
        let refusal = "no rollout of what the manifest wants is in flight";
        return past_the_freeze(view, gates, order).unwrap_or_else(|| refuse(refusal));
    };
    if !has_gates(view, mark) {
        let refusal = "a rollout that does not move traffic has no gates; to let a paused one go on, resume it";
        return past_the_freeze(view, gates, order).unwrap_or_else(|| refuse(refusal));
    }
    let (scope, which) = match gates {
        Gates::All => (Scope::Full, "every gate of the rollout opens"),
        Gates::Now => (Scope::Hook(gate_now(view, mark)?), "the gate opens"),
        Gates::Named(name) => (Scope::Hook(this_gate(view, mark, name)?), "the gate opens"),
    };
    let sentence = format!(
        "{which} when all new tasks are healthy, whatever else it waits for; a verdict still wins"
    );
    let promotion = Promotion { digest: digest.clone(), scope, said: order.said(view.now()) };
    Ok(set(view.service, tag::PROMOTE, promotion.encode(), sentence))
}

/// Lets what is wanted be rolled out although windows forbid it; `None` when none keeps it.
fn past_the_freeze(
    view: &View<'_>,
    gates: &Gates,
    order: &Order,
) -> Option<Result<Obedience, Refusal>> {
    let digest = &view.desired.revision_digest;
    let is_settled = runs_the_wanted(view) && is_settled(view);
    if is_settled || !word::is_frozen(view) {
        return None;
    }
    if view.desired.is_approved() {
        return Some(Ok(done(format!("{digest} was approved in git: no freeze keeps it"))));
    }
    if view.memory.rejects(digest) {
        return Some(refuse(format!("{digest} was rejected: retry it, or change its content")));
    }
    if *gates != Gates::Now {
        return Some(refuse(
            "it is kept by a freeze and stands at no gate; without --full and --gate it is let past the freeze",
        ));
    }
    let sentence = format!(
        "{digest} is rolled out although rollouts are frozen; its gates and its judgement are as ever"
    );
    let promotion =
        Promotion { digest: digest.clone(), scope: Scope::Freeze, said: order.said(view.now()) };
    Some(Ok(set(view.service, tag::PROMOTE, promotion.encode(), sentence)))
}

/// Whether what the manifest wants has taken its place, whoever carries out deployments.
pub(crate) fn runs_the_wanted(view: &View<'_>) -> bool {
    match view.desired.rollout.strategy.controller() {
        "EXTERNAL" => external::runs_the_wanted(view),
        "CODE_DEPLOY" => code_deploy::runs_the_wanted(view),
        _ => runs_what_is_wanted(view, Comparison::Lenient),
    }
}

/// The deployment that moves traffic for ECS.
fn shift<'a>(view: &View<'a>, mark: &RolloutMark) -> Option<&'a ServiceDeployment> {
    let id = mark.id().unwrap_or(&view.primary.id);
    view.service_deployment(id).filter(|one| one.shifts())
}

fn has_gates(view: &View<'_>, mark: &RolloutMark) -> bool {
    external::step_of_ours(view, mark).is_some() || shift(view, mark).is_some()
}

/// What names the gate at which the rollout stands: a hook, or a step of ours.
fn gate_now(view: &View<'_>, mark: &RolloutMark) -> Result<String, Refusal> {
    if let Some(step) = external::step_of_ours(view, mark) {
        return Ok(step);
    }
    let rollout = shift(view, mark);
    match rollout.and_then(gate::own_pause) {
        Some((_, pause)) => Ok(pause.hook_id.clone()),
        None => refuse(format!(
            "it stands at no gate of Evenkeel's now, ECS is in {}; wait until it does, or promote it past \
             all gates with --full",
            rollout.map_or("no stage", ServiceDeployment::stage)
        )),
    }
}

/// The gate at which the rollout stands, when it is the one that was looked at.
fn this_gate(view: &View<'_>, mark: &RolloutMark, name: &str) -> Result<String, Refusal> {
    let now = gate_now(view, mark)?;
    if now == name || external::is_step_of_ours(view, mark, name) {
        return Ok(now);
    }
    refuse(format!("it stands at the gate {now} now, and not at {name}: look at it again"))
}

/// Rejects what is wanted, while it is rolled out or before it is.
pub(super) fn abort(view: &View<'_>, order: &Order) -> Result<Obedience, Refusal> {
    let digest = &view.desired.revision_digest;
    if view.memory.rejects(digest) {
        return Ok(done(format!("{digest} was rejected before")));
    }
    let runs = runs_the_wanted(view);
    if runs && is_settled(view) {
        return refuse(
            "nothing is rolled out: what the manifest wants runs and is proven; to leave it, undo it",
        );
    }
    let mut tags = BTreeMap::new();
    let mark = view.memory.rollout.as_ref().filter(|mark| mark.digest == *digest);
    if mark.is_some_and(|mark| mark.id() == Some(view.primary.id.as_str())) {
        tags = super::rollback::rejecting(view, (digest, &view.primary.id));
    }
    let verdict = Rejection::encode_said(digest, &order.said(view.now()));
    tags.insert(tag::REJECTED.to_owned(), verdict);
    let sentence = if view.memory.proven.is_none() {
        format!("{digest} is rejected; nothing was ever proven, so there is nothing to return to")
    } else if runs || view.standing() == Standing::InFlight {
        format!("{digest} is rejected; the service returns to the proven revision")
    } else {
        format!("{digest} is rejected before it was begun")
    };
    Ok(written(view.service, tags, sentence))
}

fn retry(desired: &Service, service: &ObservedService, memory: &Memory) -> Obedience {
    let mark = memory.rollout.as_ref().filter(|mark| mark.digest == desired.revision_digest);
    let postponed = mark.filter(|mark| !memory.rejects(&mark.digest));
    if postponed.is_some_and(postponed::is_due_now) {
        return done("what the manifest wants is begun again already");
    }
    if let Some(due) = postponed.and_then(postponed::due_now) {
        let sentence = "what the manifest wants is begun again at once";
        return set(service, tag::ROLLOUT, due.encode(), sentence);
    }
    if memory.rejected.is_none() || memory.rejects(&desired.revision_digest) {
        let sentence = "what the manifest wants is tried again, and judged from now on";
        return remove(service, tag::REJECTED, sentence);
    }
    done("what was rejected is not what the manifest wants any more: nothing stands in its way")
}

pub(super) fn refuse<T>(sentence: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal(sentence.into()))
}

/// All is as it was asked for.
pub(super) fn done(sentence: impl Into<String>) -> Obedience {
    Obedience { actions: Vec::new(), sentence: sentence.into() }
}

/// Who stopped it first is remembered: to say so again changes nothing.
fn stop(service: &ObservedService, key: &str, said: &Said, sentence: &str) -> Obedience {
    match service.tags.get(key) {
        Some(value) => done(format!("the tag {key} is there already: {value}")),
        None => set(service, key, said.encode(), sentence),
    }
}

fn set(
    service: &ObservedService,
    key: &str,
    value: String,
    sentence: impl Into<String>,
) -> Obedience {
    written(service, BTreeMap::from([(key.to_owned(), value)]), sentence)
}

/// One `TagResource`, and so all or nothing.
pub(super) fn written(
    service: &ObservedService,
    tags: BTreeMap<String, String>,
    sentence: impl Into<String>,
) -> Obedience {
    let call = Call::TagResource { arn: service.service_arn.clone(), tags };
    told(call, sentence.into())
}

fn remove(service: &ObservedService, key: &str, sentence: &str) -> Obedience {
    if !service.tags.contains_key(key) {
        return done(format!("the tag {key} is not there: {sentence}"));
    }
    let keys = vec![key.to_owned()];
    let call = Call::UntagResource { arn: service.service_arn.clone(), keys };
    told(call, sentence.to_owned())
}

fn told(call: Call, sentence: String) -> Obedience {
    let action = Action { call, lane: Lane::Person, why: sentence.clone() };
    Obedience { actions: vec![action], sentence }
}
