//! Leaving what runs and is proven for an earlier revision because a person says so; never chooses one
//! that is not known.

use std::collections::BTreeSet;

use super::command::{refuse, written};
use super::rollback::{is_service_revision, rejecting};
use crate::diff::is_same_content;
use crate::tags::{LastApplied, Rejection, tag};
use crate::view::{Standing, View, definition, last_part, target_revision};
use crate::{
    Obedience, Observed, ObservedService, Order, Refusal, RolloutPhase, ServiceDeployment,
    ServiceRevision,
};
use evenkeel_manifest::{Digest, Service};

/// What stands in the tag `digest` for content that is applied no more, so that a retry begins anew.
const UNDONE: &str = "undone";

/// While something is rolled out that is what is left; else what runs is.
pub(super) fn undo(view: &View<'_>, to: Option<&str>, order: &Order) -> Result<Obedience, Refusal> {
    if let Some(mark) = &view.memory.rollout {
        if mark.phase == RolloutPhase::RollingBack {
            return refuse("the service is on its way back already");
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
    let target = target(view, to)?;
    let said = order.said(view.now());
    let mut tags = rejecting(view, &view.primary.id);
    let verdict = Rejection::encode_said(&view.desired.revision_digest, &said);
    tags.insert(tag::REJECTED.to_owned(), verdict);
    tags.insert(tag::PROVEN.to_owned(), target.clone());
    if let Some(last) = &view.memory.applied {
        let digest = Digest::from_tag(UNDONE);
        let undone = LastApplied { digest, at: view.now(), ..last.clone() };
        tags.insert(tag::DIGEST.to_owned(), undone.encode());
    }
    let sentence = format!(
        "the service returns to {target}; {} stays rejected until its content changes or it is retried",
        view.desired.revision_digest
    );
    Ok(written(view.service, tags, sentence))
}

fn is_at_rest(view: &View<'_>) -> bool {
    match view.desired.rollout.strategy.controller() {
        "ECS" => view.standing() != Standing::InFlight,
        _ => view.service.task_sets.len() == 1,
    }
}

/// Where the service is to go. Of task sets that are gone neither ECS nor CodeDeploy tells anything.
fn target(view: &View<'_>, to: Option<&str>) -> Result<String, Refusal> {
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
fn named(view: &View<'_>, name: &str) -> Result<String, Refusal> {
    let revisions = view.observed().service_revisions.known().map(Vec::as_slice);
    let named = revisions.unwrap_or_default().iter().find(|one| is_named(one, name));
    if let Some(revision) = named {
        if current(view).is_some_and(|current| is_same_content(view, revision, current)) {
            return refuse(format!("the service runs the content of {name} already"));
        }
        return Ok(revision.service_revision_arn.clone());
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
    let chosen: Vec<&ServiceRevision> = match to {
        Some(name) => {
            let all = seen.service_revisions.known().into_iter().flatten();
            all.filter(|one| is_named(one, name)).collect()
        }
        None => {
            let all = seen.service_deployments.known().into_iter().flatten();
            let completed = all.filter(|one| is_completed(one));
            completed.filter_map(|one| target_revision(seen, one)).collect()
        }
    };
    let definitions = chosen.into_iter().map(|one| &one.task_definition);
    definitions.filter(|arn| definition(seen, arn).is_none()).cloned().collect()
}

/// The task definition that a person names, if it is not the one that runs.
fn another_definition(view: &View<'_>, name: &str) -> Result<String, Refusal> {
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
    Ok(definition)
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

/// The newest revision that ECS completed and that is neither what runs nor what is wanted.
fn before(view: &View<'_>) -> Result<String, Refusal> {
    let Some(all) = view.observed().service_deployments.known() else {
        return refuse(
            "the server does not list service deployments; name a task definition with --to",
        );
    };
    let Some(current) = current(view) else {
        return refuse("ECS does not show the revision that runs; name another with --to");
    };
    let wanted = view.wanted_definition().map(|one| one.arn.as_str());
    let is_wanted = |one: &ServiceRevision| {
        wanted.is_some_and(|wanted| view.has_content_of(&one.task_definition, wanted))
    };
    let is_other = |one: &ServiceRevision| !is_same_content(view, one, current) && !is_wanted(one);
    let mut completed: Vec<_> = all.iter().filter(|one| is_completed(one)).collect();
    completed.sort_by_key(|one| std::cmp::Reverse(one.created_at));
    let mut targets = completed.into_iter().filter_map(|one| target_revision(view.observed(), one));
    match targets.find(|one| is_other(one)) {
        Some(revision) => Ok(revision.service_revision_arn.clone()),
        None => refuse(
            "ECS lists no earlier revision that was completed; name one with --to, such as a task \
             definition as family:revision",
        ),
    }
}

/// The revision that runs.
fn current<'a>(view: &View<'a>) -> Option<&'a ServiceRevision> {
    let arn = super::ownership::primary_revision(view).filter(|arn| is_service_revision(arn))?;
    view.service_revision(&arn)
}
