//! Leaving what runs and is proven for an earlier revision because a person says so; never chooses one
//! that is not known.

use std::collections::{BTreeMap, BTreeSet};

use super::command::{done, refuse, written};
use super::rollback::{is_service_revision, rejecting};
use super::rollout::{is_displaced, is_wanted_definition};
use crate::diff::{Comparison, is_same_content, runs_what_is_wanted};
use crate::tags::{LastApplied, Rejection, RolloutMark, tag};
use crate::view::{Standing, View, definition, last_part, target_revision};
use crate::{
    Obedience, Observed, ObservedService, Order, Refusal, RolloutPhase, ServiceDeployment,
    ServiceRevision,
};
use evenkeel_manifest::{Digest, Service};

/// What stands in the tag `digest` for content that is applied no more, so that a retry begins anew.
const UNDONE: &str = "undone";

/// Where a person sends a service.
enum Target {
    /// A service revision, or a task definition.
    Earlier(String),
    /// What the manifest wants, in whose place somebody else put something.
    Wanted,
}

/// While something is rolled out that is what is left; else what runs is.
pub(super) fn undo(view: &View<'_>, to: Option<&str>, order: &Order) -> Result<Obedience, Refusal> {
    if let Some(mark) = &view.memory.rollout {
        if mark.phase == RolloutPhase::RollingBack {
            return refuse("the service is on its way back already");
        }
        if is_put_back(view, mark) && to.is_none_or(|name| is_wanted(view, name)) {
            let sentence = "what the manifest wants is rolled out already, as an undo asked for; to stop that, abort it";
            return Ok(done(sentence));
        }
        if to.is_some() {
            return refuse(
                "a rollout is in flight: abort it first, then undo --to goes further back",
            );
        }
        return super::command::abort(view, order);
    }
    if !is_at_rest(view) {
        return refuse("a deployment that is not ours is in flight; wait until it has ended");
    }
    Ok(match target(view, to)? {
        Target::Earlier(target) => leave(view, order, &target),
        Target::Wanted => put_back(view),
    })
}

/// Whether what is rolled out is what an undo asked for. Said again, it means no more than it did: whoever got no answer does
/// not know that it was followed.
fn is_put_back(view: &View<'_>, mark: &RolloutMark) -> bool {
    let wanted = &view.desired.revision_digest;
    let asked_for = view.memory.applied.as_ref().map(|last| &last.digest);
    mark.digest == *wanted
        && asked_for == Some(&put_back_again(wanted))
        && !view.memory.rejects(wanted)
        && !is_displaced(view, mark)
}

/// Whether a person names what the manifest wants.
fn is_wanted(view: &View<'_>, name: &str) -> bool {
    let revisions = view.observed().service_revisions.known().map(Vec::as_slice);
    let revision = revisions.unwrap_or_default().iter().find(|one| is_named(one, name));
    let definition = revision.map_or_else(
        || definition_named(view.desired, view.service, name),
        |one| Some(one.task_definition.clone()),
    );
    definition.is_some_and(|arn| is_wanted_definition(view, &arn))
}

/// What is wanted is rejected, and `target` stands for what was proven.
fn leave(view: &View<'_>, order: &Order, target: &str) -> Obedience {
    let said = order.said(view.now());
    let mut tags = rejecting(view, (&view.desired.revision_digest, &view.primary.id));
    let verdict = Rejection::encode_said(&view.desired.revision_digest, &said);
    tags.insert(tag::REJECTED.to_owned(), verdict);
    tags.insert(tag::PROVEN.to_owned(), target.to_owned());
    tags.extend(applied_no_more(view, Digest::from_tag(UNDONE)));
    let sentence = format!(
        "the service returns to {target}; {} stays rejected until its content changes or it is retried",
        view.desired.revision_digest
    );
    written(view.service, tags, sentence)
}

/// What is wanted is new content again, which waits for nobody.
fn put_back(view: &View<'_>) -> Obedience {
    let sentence = format!(
        "what the manifest wants, {}, is rolled out in the place of {}",
        view.desired.revision_digest, view.primary.id
    );
    match applied_no_more(view, put_back_again(&view.desired.revision_digest)) {
        Some(tag) => written(view.service, BTreeMap::from([tag]), sentence),
        None => done(sentence),
    }
}

/// What stands in the tag `digest` while `wanted` takes the place of what somebody else deployed.
fn put_back_again(wanted: &Digest) -> Digest {
    Digest::from_tag(format!("{UNDONE}:{wanted}"))
}

fn applied_no_more(view: &View<'_>, digest: Digest) -> Option<(String, String)> {
    let last = view.memory.applied.as_ref()?;
    let undone = LastApplied { digest, at: view.now(), ..last.clone() };
    Some((tag::DIGEST.to_owned(), undone.encode()))
}

fn is_at_rest(view: &View<'_>) -> bool {
    match view.desired.rollout.strategy.controller() {
        "ECS" => view.standing() != Standing::InFlight,
        _ => view.service.task_sets.len() == 1,
    }
}

/// Where the service is to go. Of task sets that are gone neither ECS nor CodeDeploy tells anything.
fn target(view: &View<'_>, to: Option<&str>) -> Result<Target, Refusal> {
    let shows_revisions = view.desired.rollout.strategy.controller() == "ECS";
    match to {
        Some(name) if shows_revisions => named(view, name),
        None if shows_revisions => before(view),
        Some(name) => another_definition(view, name),
        None => refuse(format!(
            "what ran before is not known where task sets are deployed: name a task definition with `--to {}:REVISION`",
            view.desired.family
        )),
    }
}

/// The revision that a person names.
fn named(view: &View<'_>, name: &str) -> Result<Target, Refusal> {
    let revisions = view.observed().service_revisions.known().map(Vec::as_slice);
    let named = revisions.unwrap_or_default().iter().find(|one| is_named(one, name));
    if let Some(revision) = named {
        if current(view).is_some_and(|current| is_same_content(view, revision, current)) {
            return refuse(format!("the service runs the content of {name} already"));
        }
        return to_one(view, &revision.task_definition, &revision.service_revision_arn);
    }
    if definition_named(view.desired, view.service, name).is_none() {
        return refuse(format!(
            "{name} is none of the service revisions that ECS lists, and no revision of the family \
             {}; `evenkeel rollout history` lists what there is",
            view.desired.family
        ));
    }
    another_definition(view, name)
}

fn is_named(revision: &ServiceRevision, name: &str) -> bool {
    let arn = &revision.service_revision_arn;
    arn == name || last_part(arn) == name
}

fn is_completed(deployment: &ServiceDeployment) -> bool {
    deployment.status == "SUCCESSFUL"
}

/// Task definitions of the revisions to choose from that a deep look does not show: what is another revision may have the
/// content of what runs, registered anew.
pub(crate) fn undescribed(seen: &Observed, to: Option<&str>) -> BTreeSet<String> {
    let revisions = seen.service_revisions.known().into_iter().flatten();
    let deployments = seen.service_deployments.known().into_iter().flatten();
    let completed = deployments.filter(|one| is_completed(one));
    let chosen: Vec<&ServiceRevision> = to.map_or_else(
        || completed.filter_map(|one| target_revision(seen, one)).collect(),
        |name| revisions.filter(|one| is_named(one, name)).collect(),
    );
    let definitions = chosen.into_iter().map(|one| &one.task_definition);
    definitions.filter(|arn| definition(seen, arn).is_none()).cloned().collect()
}

/// The task definition that a person names, if it is not the one that runs.
fn another_definition(view: &View<'_>, name: &str) -> Result<Target, Refusal> {
    let Some(definition) = definition_named(view.desired, view.service, name) else {
        return refuse(format!(
            "{name} is no revision of the family {}, such as {}:7",
            view.desired.family, view.desired.family
        ));
    };
    if view.definition(&definition).is_none() {
        return refuse(format!("there is no task definition {definition}"));
    }
    if view.has_content_of(&definition, &view.primary.task_definition) {
        return refuse(format!("the service runs the content of {definition} already"));
    }
    to_one(view, &definition, &definition)
}

/// To a revision of a task definition. Where somebody else took the place of what is wanted that may be the way back to it.
fn to_one(view: &View<'_>, definition: &str, name: &str) -> Result<Target, Refusal> {
    if !is_wanted_elsewhere(view, definition) {
        return Ok(Target::Earlier(name.to_owned()));
    }
    if view.memory.rejects(&view.desired.revision_digest) {
        return refuse(format!("{name} is what the manifest wants, and was rejected: retry it"));
    }
    Ok(Target::Wanted)
}

/// Whether it is the task definition that is wanted, and something else than what is wanted runs.
fn is_wanted_elsewhere(view: &View<'_>, definition: &str) -> bool {
    is_wanted_definition(view, definition) && !runs_what_is_wanted(view, Comparison::Lenient)
}

/// `web:7`, or the whole ARN, as an ARN of the family that the manifest names.
pub(crate) fn definition_named(
    desired: &Service,
    service: &ObservedService,
    name: &str,
) -> Option<String> {
    let primary = service.launchers().find(|one| one.status == "PRIMARY")?;
    let (head, _) = primary.task_definition.split_once(":task-definition/")?;
    let tail = match name.split_once(":task-definition/") {
        Some((own, tail)) if own == head => tail,
        Some(_) => return None,
        None => name,
    };
    let (family, number) = tail.rsplit_once(':')?;
    number.parse::<u32>().ok().filter(|_| family == desired.family)?;
    Some(format!("{head}:task-definition/{tail}"))
}

/// The newest revision that ECS completed and that is neither what runs nor what was rejected.
fn before(view: &View<'_>) -> Result<Target, Refusal> {
    let Some(all) = view.observed().service_deployments.known() else {
        return refuse(
            "the server does not list service deployments; name a task definition with --to",
        );
    };
    let Some(current) = current(view) else {
        return refuse("ECS does not show the revision that runs; name another with --to");
    };
    let is_rejected = view.memory.rejects(&view.desired.revision_digest);
    let rejected = rejected_before(view, all);
    let is_passed_over = |one: &ServiceRevision| {
        is_same_content(view, one, current)
            || rejected.is_some_and(|rejected| is_same_content(view, one, rejected))
            || is_rejected && is_wanted_elsewhere(view, &one.task_definition)
    };
    let mut completed: Vec<_> = all.iter().filter(|one| is_completed(one)).collect();
    completed.sort_by_key(|one| std::cmp::Reverse(one.created_at));
    let mut targets = completed.into_iter().filter_map(|one| target_revision(view.observed(), one));
    match targets.find(|one| !is_passed_over(one)) {
        Some(revision) => to_one(view, &revision.task_definition, &revision.service_revision_arn),
        None => refuse(
            "ECS lists no earlier revision that was completed; name one with --to, such as a task \
             definition as family:revision",
        ),
    }
}

/// What was rejected before the manifest wanted something else: the target of what was deployed last until then.
fn rejected_before<'a>(view: &View<'a>, all: &[ServiceDeployment]) -> Option<&'a ServiceRevision> {
    let rejection = view.memory.rejected.as_ref()?;
    let at = rejection.at.filter(|_| !rejection.names(&view.desired.revision_digest))?;
    let until = all.iter().filter(|one| one.created_at.is_some_and(|created| created < at));
    target_revision(view.observed(), until.max_by_key(|one| one.created_at)?)
}

/// The revision that runs.
fn current<'a>(view: &View<'a>) -> Option<&'a ServiceRevision> {
    let arn = super::ownership::primary_revision(view).filter(|arn| is_service_revision(arn))?;
    view.service_revision(&arn)
}
