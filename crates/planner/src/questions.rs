//! What must be asked of AWS before planning; never asks.

use std::collections::BTreeSet;

use evenkeel_manifest::{Digest, Service, Webhook, target_groups};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::DriftMemory;
use crate::diff::runs_what_is_wanted;
use crate::judge;
use crate::steps::{
    comparison, deregistered, is_due, is_ended_by_breaker, is_moved_by_code_deploy, is_settled,
    is_stepped, step_gate, undo,
};
use crate::tags::{Memory, RolloutMark};
use crate::verify::{Need, needs};
use crate::view::View;
use crate::{
    BalancingQuestion, CodeDeployQuestion, Command, Fact, Input, MetricQuestion, Observed,
    ObservedService, RolloutPhase, StepGate, TaskSet, Unknown, tag,
};

/// What one observation is to contain. Computed from the manifest, and from what was seen so far,
/// so that observing has no opinion of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Questions {
    pub depth: Depth,
    /// Look for a revision of this family that carries this digest.
    pub family: Option<FamilyQuestion>,
    /// Alarm names, for a deep look.
    pub alarms: BTreeSet<String>,
    /// What is measured of a rollout that moves traffic, for a deep look.
    pub metrics: Option<MetricQuestion>,
    /// Who is to be asked at the gate that it may stand at, for a deep look; see
    /// [`webhook_calls`](crate::webhook_calls).
    pub webhooks: Vec<Webhook>,
    /// The gate of one of our own steps that stands open, at which they are asked.
    pub step_gate: Option<StepGate>,
    /// Target group ARNs whose health is wanted, for a deep look.
    pub target_groups: BTreeSet<String>,
    /// What is to carry traffic, for a deep look before what moves it starts; and what carries it, where the steps are
    /// ours.
    pub load_balancing: Option<BalancingQuestion>,
    /// The deployment group that carries out deployments, for a deep look.
    pub code_deploy: Option<CodeDeployQuestion>,
    /// What the manifest names and does not make, for a deep look before new content starts.
    pub needs: Vec<Need>,
    /// Service revision ARNs to describe besides those of the listed service deployments.
    pub revisions: BTreeSet<String>,
    /// Task definition ARNs to describe besides those in use and those of `revisions`, for a deep look.
    pub definitions: BTreeSet<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Depth {
    /// `DescribeServices` with tags (shared by ten services a call) and the cached digest of the
    /// task definition in use.
    Shallow,
    /// Also service deployments, their revisions, running and stopped tasks, target health, alarms
    /// and the document of the task definition in use.
    Deep,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FamilyQuestion {
    pub family: String,
    pub digest: Digest,
}

/// What to ask next, given what was `seen` in this pass; `None` when enough is known to plan.
/// Called with `seen: None` it always asks something. A pass asks at most three times.
///
/// The first look is shallow. A second, deep one follows when something is to be created, started,
/// judged or rolled back; it contains the search for the wanted task definition unless that is in use.
/// Should it no longer be in use by then, or a rollout have ended meanwhile, a third look makes up for it.
pub fn questions(desired: Option<&Service>, seen: Option<&Observed>) -> Option<Questions> {
    let Some(seen) = seen else { return Some(first(desired)) };
    let desired = desired?;
    if desired.paused {
        return None;
    }
    if seen.depth == Depth::Deep {
        return missed(desired, seen);
    }
    match &seen.service {
        Fact::Unknown(_) => None,
        Fact::Known(service) if service.status == "INACTIVE" => Some(deep(desired, seen, None)),
        Fact::Absent => Some(deep(desired, seen, None)),
        Fact::Known(service) => {
            needs_depth(desired, seen, service).then(|| deep(desired, seen, Some(service)))
        }
    }
}

/// The weights of a service at rest are looked at by the way, for no event tells that somebody changed them.
fn first(desired: Option<&Service>) -> Questions {
    let at_rest = desired.filter(|desired| !desired.paused);
    let load_balancing = at_rest.and_then(BalancingQuestion::at_rest);
    Questions { load_balancing, ..Questions::shallow() }
}

/// As [`questions`], for a person's command.
pub fn questions_of(
    command: &Command,
    desired: Option<&Service>,
    seen: Option<&Observed>,
) -> Option<Questions> {
    let Some(seen) = seen else { return Some(Questions::shallow()) };
    if !command.needs_depth() {
        return None;
    }
    if let (Command::Undo { to }, Some(desired)) = (command, desired) {
        return questions_of_undo(desired, seen, to.as_deref());
    }
    questions_of_history(desired, Some(seen))
}

/// What there is to choose from is known after the deep look only, and looked at by a third one.
fn questions_of_undo(desired: &Service, seen: &Observed, to: Option<&str>) -> Option<Questions> {
    let service = seen.service.known()?;
    let undescribed = undo::undescribed(seen, to);
    if seen.depth == Depth::Deep && undescribed.is_empty() {
        return None;
    }
    let mut questions = of_history(desired, seen, service);
    questions
        .revisions
        .extend(to.filter(|name| name.contains(":service-revision/")).map(str::to_owned));
    questions
        .definitions
        .extend(to.and_then(|name| undo::definition_named(desired, service, name)));
    questions.definitions.extend(undescribed);
    Some(questions)
}

/// As [`questions`], for the deployments of a service.
pub fn questions_of_history(
    desired: Option<&Service>,
    seen: Option<&Observed>,
) -> Option<Questions> {
    let Some(seen) = seen else { return Some(Questions::shallow()) };
    let service = seen.service.known()?;
    let desired = desired.filter(|_| seen.depth == Depth::Shallow)?;
    Some(of_history(desired, seen, service))
}

fn of_history(desired: &Service, seen: &Observed, service: &ObservedService) -> Questions {
    let deep = deep(desired, seen, Some(service));
    Questions { load_balancing: None, needs: Vec::new(), ..deep }
}

/// As [`questions`] after a first look, for a record that other manifests are planned against later: deep although
/// nothing is to be done, so that it answers what a change of the manifest asks.
pub fn questions_to_record(desired: &Service, seen: &Observed) -> Option<Questions> {
    if seen.depth == Depth::Deep || matches!(seen.service, Fact::Unknown(_)) {
        return None;
    }
    let service = seen.service.known().filter(|service| service.status != "INACTIVE");
    let load_balancing = BalancingQuestion::of(desired);
    Some(Questions { load_balancing, needs: Vec::new(), ..deep(desired, seen, service) })
}

/// The deep look again, with what it lacked: the service changed since the shallow one, which showed the wanted
/// revision in use, or a rollout in flight.
fn missed(desired: &Service, seen: &Observed) -> Option<Questions> {
    if matches!(seen.service, Fact::Unknown(_)) {
        return None;
    }
    let service = seen.service.known();
    let is_unchecked = seen.load_balancing == Fact::Unknown(Unknown::NotAsked)
        && balancing(desired, seen, service).is_some();
    let is_unsearched = family(desired, seen, service).is_some_and(|question| {
        let is_another = seen.searched.as_ref() != Some(&question.digest);
        seen.searched.is_none() || (is_another && question.digest != desired.task_definition_digest)
    });
    (is_unsearched || is_unchecked).then(|| deep(desired, seen, service))
}

impl Questions {
    /// The least that can be asked.
    pub fn shallow() -> Self {
        Self {
            depth: Depth::Shallow,
            family: None,
            alarms: BTreeSet::new(),
            metrics: None,
            webhooks: Vec::new(),
            step_gate: None,
            target_groups: BTreeSet::new(),
            load_balancing: None,
            code_deploy: None,
            needs: Vec::new(),
            revisions: BTreeSet::new(),
            definitions: BTreeSet::new(),
        }
    }
}

/// Whether a service that exists is anything but settled, or not ours to change.
fn needs_depth(desired: &Service, seen: &Observed, service: &ObservedService) -> bool {
    if service.status != "ACTIVE" || service.tags.contains_key(tag::HOLD) {
        return false;
    }
    if !service.tags.contains_key(tag::OWNER) {
        return desired.adopt;
    }
    if seen.task_definitions.known().is_none() {
        return false;
    }
    let input = input(desired, seen);
    if desired.rollout.strategy.steps().is_some() {
        return is_stepped(&input, desired, service);
    }
    if desired.rollout.strategy.code_deploy().is_some() {
        return is_moved_by_code_deploy(&input, desired, service);
    }
    let Some(view) = View::of(&input, desired, service) else { return false };
    if shown_by_revisions_only(desired) || !is_settled(&view) || is_ended_by_breaker(&view) {
        return true;
    }
    !view.memory.rejects(&desired.revision_digest) && !runs_what_is_wanted(&view, comparison(&view))
}

pub(crate) fn input<'a>(desired: &'a Service, seen: &'a Observed) -> Input<'a> {
    let key = &desired.key;
    Input {
        key,
        desired: Some(desired),
        observed: seen,
        now: seen.at,
        instance: "",
        drift: DriftMemory::nothing(),
    }
}

/// Members that only `DescribeServiceRevisions` shows (ecs-behaviour 4.9).
fn shown_by_revisions_only(desired: &Service) -> bool {
    let members = desired.service.value();
    ["gatewayConnectors", "monitoring"].iter().any(|name| members.get(name).is_some())
}

fn deep(desired: &Service, seen: &Observed, service: Option<&ObservedService>) -> Questions {
    Questions {
        depth: Depth::Deep,
        family: family(desired, seen, service),
        alarms: desired.rollout.breaker.alarms.iter().cloned().collect(),
        metrics: service.and_then(|service| measured(desired, seen, service)),
        webhooks: service.map(|service| asked_at_gates(desired, service)).unwrap_or_default(),
        step_gate: service.and_then(|service| gate_of_a_step(desired, seen, service)),
        target_groups: service.map(|service| groups_of(desired, service)).unwrap_or_default(),
        load_balancing: balancing(desired, seen, service),
        code_deploy: CodeDeployQuestion::of(desired, service),
        needs: named(desired, seen, service),
        revisions: service.map(proven_revision).unwrap_or_default(),
        definitions: service
            .and_then(|one| deregistered::named(desired, seen, one))
            .into_iter()
            .collect(),
    }
}

/// Metrics of the PRIMARY deployment while it moves traffic, since it began or was to be tried again.
fn measured(
    desired: &Service,
    seen: &Observed,
    service: &ObservedService,
) -> Option<MetricQuestion> {
    let memory = Memory::read(&service.tags);
    if desired.rollout.strategy.code_deploy().is_some() {
        let (_, began) = judge::deployed(service, &memory)?;
        return judge::question(desired, service, began, seen.at);
    }
    let mark = memory.rollout.as_ref()?;
    let marked = service.launchers().find(|one| mark.id() == Some(&one.id))?;
    let created = marked.created_at?;
    let began = match mark.phase {
        RolloutPhase::Shifting if marked.status == "PRIMARY" => created.max(mark.since),
        RolloutPhase::Stepping
        | RolloutPhase::Testing
        | RolloutPhase::Baking
        | RolloutPhase::Keeping => {
            memory.applied.as_ref().map_or(created, |last| created.max(last.at))
        }
        _ => return None,
    };
    judge::question(desired, service, began, seen.at)
}

fn asked_at_gates(desired: &Service, service: &ObservedService) -> Vec<Webhook> {
    let mark = Memory::read(&service.tags).rollout;
    let analysis = desired.rollout.analysis.as_ref();
    let moves = |mark: &RolloutMark| {
        [RolloutPhase::Shifting, RolloutPhase::Testing, RolloutPhase::Baking].contains(&mark.phase)
    };
    let analysis = analysis.filter(|_| mark.as_ref().is_some_and(moves));
    analysis.map(|analysis| analysis.webhooks.clone()).unwrap_or_default()
}

fn gate_of_a_step(
    desired: &Service,
    seen: &Observed,
    service: &ObservedService,
) -> Option<StepGate> {
    let mark = Memory::read(&service.tags).rollout?;
    step_gate(desired, &mark, seen.at).map(|(gate, _)| gate)
}

/// Asked once what is wanted is about to start.
fn balancing(
    desired: &Service,
    seen: &Observed,
    service: Option<&ObservedService>,
) -> Option<BalancingQuestion> {
    let question = BalancingQuestion::of(desired)?;
    if desired.rollout.strategy.steps().is_some() {
        return Some(question);
    }
    let Some(service) = service.filter(|one| one.status != "INACTIVE") else {
        return Some(question);
    };
    let input = input(desired, seen);
    let is_due = View::of(&input, desired, service).is_some_and(|view| is_due(&view));
    is_due.then_some(question)
}

/// Asked once new content is about to start over a service at rest, or as a new service.
fn named(desired: &Service, seen: &Observed, service: Option<&ObservedService>) -> Vec<Need> {
    let Some(service) = service.filter(|one| one.status != "INACTIVE") else {
        return needs(desired);
    };
    let strategy = &desired.rollout.strategy;
    if strategy.steps().is_some() || strategy.code_deploy().is_some() {
        return Vec::new();
    }
    let input = input(desired, seen);
    let is_due = View::of(&input, desired, service).is_some_and(|view| is_due(&view));
    if is_due { needs(desired) } else { Vec::new() }
}

/// Asked unless the revision in use has the content wanted; of what is returned to, where it was deregistered.
fn family(
    desired: &Service,
    seen: &Observed,
    service: Option<&ObservedService>,
) -> Option<FamilyQuestion> {
    if let Some(question) = service.and_then(|one| deregistered::searched(desired, seen, one)) {
        return Some(question);
    }
    let in_use = service.and_then(|service| service.task_definition.as_deref());
    let known = seen.task_definitions.known().map(Vec::as_slice).unwrap_or_default();
    let is_launched = |arn: &str| {
        service.is_some_and(|service| service.task_sets.iter().any(|set| set.runs(arn)))
    };
    let fits = known.iter().any(|one| {
        (Some(one.arn.as_str()) == in_use || is_launched(&one.arn))
            && one.digest == desired.task_definition_digest
            && one.status == "ACTIVE"
    });
    (!fits).then(|| FamilyQuestion {
        family: desired.family.clone(),
        digest: desired.task_definition_digest.clone(),
    })
}

/// A service with an EXTERNAL controller shows those of its PRIMARY task set only, and which second one CodeDeploy
/// uses no manifest says.
fn groups_of(desired: &Service, service: &ObservedService) -> BTreeSet<String> {
    if desired.rollout.strategy.code_deploy().is_some() {
        return service
            .task_sets
            .iter()
            .filter_map(TaskSet::target_group)
            .map(str::to_owned)
            .collect();
    }
    let wanted = desired.rollout.strategy.steps().map(|_| desired.service.value());
    let document = wanted.as_ref().unwrap_or(&service.document);
    let listed = document.get("loadBalancers").and_then(Value::as_array);
    listed.into_iter().flatten().flat_map(target_groups).map(str::to_owned).collect()
}

fn proven_revision(service: &ObservedService) -> BTreeSet<String> {
    let proven = service.tags.get(tag::PROVEN).filter(|arn| arn.contains(":service-revision/"));
    proven.into_iter().cloned().collect()
}
