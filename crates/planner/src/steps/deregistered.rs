//! A revision to return to that somebody deregistered: another one with the same content takes its place; never one with
//! other content.
//!
//! Source: ecs-behaviour 8: ECS starts nothing new from an INACTIVE revision, but goes on to describe it.

use evenkeel_manifest::{Service, canonical};
use serde_json::json;

use super::rollback::held;
use super::start::kept_back;
use super::unknown;
use crate::questions;
use crate::tags::{Memory, RolloutMark, revision_number, tag};
use crate::view::{View, definition};
use crate::{
    Action, Call, Depth, FamilyQuestion, Lane, Observed, ObservedService, Plan, RolloutPhase,
    TaskDefinition,
};

/// The revision itself where it can be used, as far as is known, else the newest active one of its family with the same
/// content.
pub(super) fn usable<'a>(view: &View<'a>, arn: &'a str) -> Option<&'a str> {
    let Some(gone) = gone(view.observed(), arn) else { return Some(arn) };
    let all = view.observed().task_definitions.known().map(Vec::as_slice).unwrap_or_default();
    let is_as_good = |one: &&TaskDefinition| {
        one.status == "ACTIVE" && one.digest == gone.digest && family(&one.arn) == family(arn)
    };
    let newest = all.iter().filter(is_as_good).max_by_key(|one| revision_number(&one.arn));
    newest.map(|one| one.arn.as_str())
}

/// The revision, if it can be used no more.
fn gone<'a>(observed: &'a Observed, arn: &str) -> Option<&'a TaskDefinition> {
    definition(observed, arn).filter(|one| one.status != "ACTIVE")
}

/// The plan where none can be used. `RegisterTaskDefinition` is not idempotent, so the content must have been searched
/// for in this very look.
pub(super) fn register_again(observed: &Observed, arn: &str) -> Plan {
    let Some(gone) = gone(observed, arn) else { return unknown(format!("{arn} was not read")) };
    if observed.searched.as_ref() != Some(&gone.digest) {
        return unknown(format!(
            "{arn}, the revision to return to, is no longer active, and another one with its content was not \
             searched for in this look"
        ));
    }
    let (Some(document), Some(family)) = (&gone.document, family(arn)) else {
        return held(format!(
            "{arn}, the revision to return to, is no longer active, and its content is not known"
        ));
    };
    let content = document.value();
    let mut input = canonical::task_definition(&content);
    canonical::keep_uncompared(&mut input, &content);
    let Some(members) = input.as_object_mut() else {
        return unknown(format!("the content of {arn} could not be read"));
    };
    members.insert("family".to_owned(), json!(family));
    if let Some(tags) = members.entry("tags").or_insert_with(|| json!([])).as_array_mut() {
        tags.push(json!({ "key": tag::DIGEST, "value": gone.digest.as_str() }));
    }
    let why = format!(
        "registers the content of {arn} anew: it is to be returned to, and somebody deregistered it"
    );
    let call = Call::RegisterTaskDefinition { input };
    Plan::acting(vec![Action { call, lane: Lane::Rollback, why }], Vec::new())
}

/// What is searched for while the service returns to a revision that cannot be used any more.
pub(crate) fn searched(
    desired: &Service,
    seen: &Observed,
    service: &ObservedService,
) -> Option<FamilyQuestion> {
    let arn = target(desired, seen, service)?;
    let gone = gone(seen, &arn)?;
    Some(FamilyQuestion { family: family(&arn)?.to_owned(), digest: gone.digest.clone() })
}

/// The task definition that a return under way leads to.
fn target(desired: &Service, seen: &Observed, service: &ObservedService) -> Option<String> {
    let proven = returned_to(desired, seen, service)?;
    if proven.contains(":task-definition/") {
        return Some(proven);
    }
    let revisions = seen.service_revisions.known()?;
    let revision = revisions.iter().find(|one| one.service_revision_arn == proven)?;
    Some(revision.task_definition.clone())
}

/// A return by the name of a task definition: whether it is still there must be asked.
pub(crate) fn named(
    desired: &Service,
    seen: &Observed,
    service: &ObservedService,
) -> Option<String> {
    returned_to(desired, seen, service).filter(|arn| arn.contains(":task-definition/"))
}

/// What the tag `proven` says while what was rejected is left for it. Newer content does not wait for that, unless it may not start;
/// nor does what is wanted again since its verdict was taken back.
fn returned_to(desired: &Service, seen: &Observed, service: &ObservedService) -> Option<String> {
    let memory = Memory::read(&service.tags);
    let mark = memory.rollout.as_ref().filter(|mark| mark.phase == RolloutPhase::RollingBack)?;
    let is_left = memory.rejects(&mark.digest)
        && (mark.digest == desired.revision_digest || is_kept_back(desired, seen, service, mark));
    memory.proven.filter(|_| is_left)
}

/// Whether newer content may not start over the rollout that is to be left.
fn is_kept_back(
    desired: &Service,
    seen: &Observed,
    service: &ObservedService,
    mark: &RolloutMark,
) -> bool {
    let input = questions::input(desired, seen);
    seen.depth == Depth::Deep
        && View::of(&input, desired, service).is_some_and(|view| {
            mark.id() == Some(view.primary.id.as_str()) && kept_back(&view).is_some()
        })
}

/// `web` of `arn:aws:ecs:eu-west-1:123456789012:task-definition/web:7`.
fn family(arn: &str) -> Option<&str> {
    arn.split_once(":task-definition/")?.1.rsplit_once(':').map(|(family, _)| family)
}
