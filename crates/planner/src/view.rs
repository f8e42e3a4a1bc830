//! One look, read for planning: memory, the PRIMARY deployment and the live members side by side with
//! what is wanted; never decides.

use std::borrow::Cow;

use evenkeel_manifest::{OnFailure, Service, Strategy, canonical};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use crate::diff::starts_a_deployment;
use crate::drift::{Kept, keep};
use crate::tags::Memory;
use crate::{
    Deployment, Fact, Input, Observed, ObservedService, ServiceDeployment, ServiceRevision,
    TaskDefinition, TaskSet, Unknown,
};

/// A wanted service that exists.
#[derive(Debug)]
pub(crate) struct View<'a> {
    pub(crate) input: &'a Input<'a>,
    pub(crate) desired: &'a Service,
    pub(crate) service: &'a ObservedService,
    pub(crate) memory: Memory,
    pub(crate) primary: &'a Deployment,
    /// The members of `CreateService` as they are, canonical.
    pub(crate) live: Cow<'a, Value>,
    /// The members of `CreateService` as they are to be in the end; as they are where policy keeps them.
    pub(crate) wanted: Value,
    pub(crate) kept: Kept,
}

/// How far ECS says the PRIMARY deployment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    InFlight,
    Completed,
    /// ECS's breaker or alarms ended it, and nothing was rolled back.
    Failed,
}

impl<'a> View<'a> {
    /// `None` when the service has no PRIMARY deployment.
    pub(crate) fn of(
        input: &'a Input<'a>,
        desired: &'a Service,
        service: &'a ObservedService,
    ) -> Option<Self> {
        if !service.task_sets.is_empty() {
            return Some(Self::of_task_set(input, desired, service, subject(service)?));
        }
        let primary = service.deployments.iter().find(|one| one.status == "PRIMARY")?;
        let live = live_members(service, primary, input.observed);
        let wanted = wanted_beside(desired, &live);
        Some(Self::keeping(input, desired, service, primary, live, wanted))
    }

    /// With what policy keeps in the place of what the manifest says.
    fn keeping(
        input: &'a Input<'a>,
        desired: &'a Service,
        service: &'a ObservedService,
        primary: &'a Deployment,
        live: Cow<'a, Value>,
        wanted: Value,
    ) -> Self {
        let (memory, kept) = (Memory::read(&service.tags), Kept::default());
        let mut view = Self { input, desired, service, memory, primary, live, wanted, kept };
        // What somebody else's deployment carries is theirs to judge until it is complete.
        let is_foreign = view.memory.rollout.is_none() && view.standing() == Standing::InFlight;
        let may_keep = |member: &str| !(is_foreign && starts_a_deployment(member));
        let (policies, marks) = (&desired.drift, &view.memory.kept);
        view.kept = keep(policies, marks, &view.live, &mut view.wanted, may_keep);
        view
    }

    /// The same with a task set of an EXTERNAL controller in the place of the PRIMARY deployment.
    pub(crate) fn of_task_set(
        input: &'a Input<'a>,
        desired: &'a Service,
        service: &'a ObservedService,
        set: &'a TaskSet,
    ) -> Self {
        let live = Cow::Owned(set_members(service, set));
        let wanted = kept_by_the_service(desired);
        Self::keeping(input, desired, service, &set.deployment, live, wanted)
    }

    /// How many tasks a deployment or a task set is to have.
    pub(crate) fn count_of(&self, deployment: &Deployment) -> u32 {
        let is_a_set = self.service.task_sets.iter().any(|set| set.id() == deployment.id);
        if is_a_set { deployment.desired_count } else { self.service.desired_count }
    }

    /// What starts the tasks of a deployment: itself, or the task set that CodeDeploy made for it.
    pub(crate) fn launcher<'b>(&self, deployment: &'b str) -> &'b str
    where
        'a: 'b,
    {
        let mut sets = self.service.task_sets.iter();
        let made = sets.find(|set| set.deployed_by() == Some(deployment));
        made.map_or(deployment, TaskSet::id)
    }

    pub(crate) fn observed(&self) -> &'a Observed {
        self.input.observed
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.input.now
    }

    pub(crate) fn standing(&self) -> Standing {
        match self.primary.rollout_state.as_deref() {
            Some("COMPLETED") => Standing::Completed,
            Some("FAILED") => Standing::Failed,
            None if self.counts_are_settled() => Standing::Completed,
            Some(_) | None => Standing::InFlight,
        }
    }

    /// The only test of completion where ECS gives no `rolloutState` (Classic Load Balancer, task sets).
    fn counts_are_settled(&self) -> bool {
        let primary = self.primary;
        self.service.launchers().count() == 1
            && primary.pending_count == 0
            && primary.running_count == primary.desired_count
            && primary.running_count == self.service.desired_count
    }

    /// Whether the server shows no course of deployments at all, so that only counts are known.
    pub(crate) fn deployments_are_opaque(&self) -> bool {
        self.primary.rollout_state.is_none()
            && matches!(
                self.observed().service_deployments.unknown(),
                Some(Unknown::CapabilityMissing { .. })
            )
    }

    /// How many tasks the service is to have: the manifest's count, or AWS's where that is not ours.
    pub(crate) fn owned_count(&self) -> Option<u32> {
        self.wanted.get("desiredCount")?.as_u64()?.try_into().ok()
    }

    /// Since when there are tasks of a revision that was rolled out while none was desired: its mark says so.
    pub(crate) fn first_seen(&self) -> Option<Timestamp> {
        let mark = self.memory.rollout.as_ref()?;
        self.is_unseen().then_some(mark.since)
    }

    /// Whether what is wanted was rolled out while no task of it was desired.
    pub(crate) fn is_unseen(&self) -> bool {
        let last = self.memory.applied.as_ref();
        last.is_some_and(|last| !last.is_seen && last.digest == self.desired.revision_digest)
    }

    /// The revision of the task definition with this ARN.
    pub(crate) fn definition(&self, arn: &str) -> Option<&'a TaskDefinition> {
        definition(self.observed(), arn)
    }

    /// Whether a task definition is the other one, or has its content as far as is known, registered anew because somebody
    /// deregistered it.
    pub(crate) fn has_content_of(&self, one: &str, other: &str) -> bool {
        let digest = |arn: &str| self.definition(arn).map(|one| &one.digest);
        one == other || (digest(one).is_some() && digest(one) == digest(other))
    }

    /// An ACTIVE revision with the content wanted; the one in use before any other.
    pub(crate) fn wanted_definition(&self) -> Option<&'a TaskDefinition> {
        wanted_definition(self.desired, self.observed(), Some(&self.primary.task_definition))
    }

    /// The service deployment that belongs to a deployment. Its target revision ends in the digits of
    /// the deployment's id (ecs-behaviour 2.6); otherwise one of the same task definition that began with
    /// it, for in a list from the past another of an earlier try would be the newest.
    pub(crate) fn service_deployment(&self, deployment: &str) -> Option<&'a ServiceDeployment> {
        let all = self.observed().service_deployments.known()?;
        let number = last_part(deployment);
        let target = |one: &'a ServiceDeployment| one.target_service_revision.as_ref();
        let by_number =
            all.iter().find(|one| target(one).is_some_and(|rev| last_part(&rev.arn) == number));
        by_number.or_else(|| {
            let listed = self.service.deployments.iter().find(|one| one.id == deployment)?;
            let same = |one: &&ServiceDeployment| {
                began_together(one.created_at, listed.created_at)
                    && target_revision(self.observed(), one)
                        .is_some_and(|rev| rev.task_definition == listed.task_definition)
            };
            all.iter().filter(same).max_by_key(|one| one.created_at)
        })
    }

    /// A service deployment in flight that the service's own list does not have yet: one of the two answers is
    /// from the past. One that began ten minutes ago is not waited for any more: perhaps this server never shows it.
    pub(crate) fn hidden_deployment(&self) -> Option<&'a ServiceDeployment> {
        let all = self.observed().service_deployments.known()?;
        let shown: Vec<_> = (self.service.deployments.iter())
            .filter_map(|one| self.service_deployment(&one.id))
            .map(|one| one.service_deployment_arn.as_str())
            .collect();
        let is_recent = |one: &ServiceDeployment| {
            one.created_at > self.primary.created_at
                && one.created_at.is_some_and(|at| self.now().duration_since(at) < LAG_MAX)
        };
        all.iter().find(|one| {
            is_in_flight(one)
                && is_recent(one)
                && !shown.contains(&one.service_deployment_arn.as_str())
        })
    }

    /// Why the service deployments seem to be from before what is PRIMARY: one is still in flight, or nothing is there that came
    /// after one that is PRIMARY no more and that ECS did not roll back. What is PRIMARY since ten minutes is not doubted any
    /// more: perhaps this server never shows it otherwise.
    pub(crate) fn history_lags(&self, gone: Option<&str>) -> Option<String> {
        let since =
            self.primary.created_at.filter(|at| self.now().duration_since(*at) < LAG_MAX)?;
        let current = self.service_deployment(&self.primary.id);
        let all = self.observed().service_deployments.known().filter(|all| !all.is_empty())?;
        let outlived = all.iter().find(|one| {
            is_in_flight(one)
                && one.created_at.is_some_and(|at| at < since)
                && current
                    .is_none_or(|now| now.service_deployment_arn != one.service_deployment_arn)
        });
        let outlived = outlived.map(|one| format!("{} is in flight", one.service_deployment_arn));
        let is_last = |id: &&str| match self.service_deployment(id) {
            Some(ours) => all.iter().all(|one| one.created_at <= ours.created_at),
            None => true,
        };
        let why = |id| format!("no service deployment is shown that came after {id}");
        outlived.or_else(|| gone.filter(|_| current.is_none()).filter(is_last).map(why))
    }

    pub(crate) fn service_revision(&self, arn: &str) -> Option<&'a ServiceRevision> {
        service_revision(self.observed(), arn)
    }

    /// The task definition of what was proven: of its revision, or itself where the server shows none.
    pub(crate) fn proven_definition(&self) -> Option<&str> {
        let proven = self.memory.proven.as_deref()?;
        let revision = self.service_revision(proven);
        Some(revision.map_or(proven, |one| &one.task_definition))
    }
}

pub(crate) fn definition<'a>(observed: &'a Observed, arn: &str) -> Option<&'a TaskDefinition> {
    observed.task_definitions.known()?.iter().find(|one| one.arn == arn)
}

/// A server sets both times while it answers one call. One that tells none has nothing to compare.
fn began_together(one: Option<Timestamp>, other: Option<Timestamp>) -> bool {
    const ONE_CALL: SignedDuration = SignedDuration::from_secs(5);
    one.zip(other).is_none_or(|(one, other)| one.duration_since(other).abs() <= ONE_CALL)
}

/// Whether it has the content wanted and tasks can be started from it.
pub(crate) fn is_wanted(desired: &Service, one: &TaskDefinition) -> bool {
    one.digest == desired.task_definition_digest && one.status == "ACTIVE"
}

pub(crate) fn wanted_definition<'a>(
    desired: &Service,
    observed: &'a Observed,
    in_use: Option<&str>,
) -> Option<&'a TaskDefinition> {
    let all = observed.task_definitions.known()?;
    // Of two answers about one revision the first counts, as wherever it is looked up by its ARN.
    let is_first = |one: &&TaskDefinition| {
        all.iter().find(|other| other.arn == one.arn).is_some_and(|first| std::ptr::eq(first, *one))
    };
    all.iter()
        .filter(|one| is_wanted(desired, one))
        .filter(is_first)
        .max_by_key(|one| (Some(one.arn.as_str()) == in_use, revision_number(&one.arn)))
}

pub(crate) fn target_revision<'a>(
    observed: &'a Observed,
    deployment: &ServiceDeployment,
) -> Option<&'a ServiceRevision> {
    service_revision(observed, &deployment.target_service_revision.as_ref()?.arn)
}

fn service_revision<'a>(observed: &'a Observed, arn: &str) -> Option<&'a ServiceRevision> {
    observed.service_revisions.known()?.iter().find(|one| one.service_revision_arn == arn)
}

fn revision_number(arn: &str) -> u64 {
    arn.rsplit(':').next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// The part after the last `/`: a task's id, a deployment's number.
pub(crate) fn last_part(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or(arn)
}

pub(crate) fn owned_count(desired: &Service) -> Option<u32> {
    desired.service.member("desiredCount")?.as_u64()?.try_into().ok()
}

pub(crate) fn is_daemon(desired: &Service) -> bool {
    desired.service.member("schedulingStrategy").is_some_and(|it| it == "DAEMON")
}

/// The members that `DescribeServices` shows on the PRIMARY deployment or only on the service revision
/// (ecs-behaviour 4.9, 8.3).
const SHOWN_ELSEWHERE: &[&str] = &[
    "serviceConnectConfiguration",
    "volumeConfigurations",
    "vpcLatticeConfigurations",
    "gatewayConnectors",
    "monitoring",
];

/// Whether AWS may fail to show a member that is set.
pub(crate) fn may_be_hidden(member: &str) -> bool {
    SHOWN_ELSEWHERE.contains(&member)
}

fn live_members<'a>(
    service: &'a ObservedService,
    primary: &'a Deployment,
    observed: &'a Observed,
) -> Cow<'a, Value> {
    let revision = observed.service_revisions.known().and_then(|revisions| {
        revisions.iter().find(|one| last_part(&one.service_revision_arn) == last_part(&primary.id))
    });
    let elsewhere = SHOWN_ELSEWHERE.iter().filter_map(|&name| {
        let shown = primary.rest.get(name).or_else(|| revision?.rest.get(name))?;
        service.document.get(name).is_none().then_some((name, shown))
    });
    let mut elsewhere = elsewhere.peekable();
    if elsewhere.peek().is_none() {
        return Cow::Borrowed(service.document.canonical());
    }
    let mut members = service.document.as_object().cloned().unwrap_or_default();
    members.extend(elsewhere.map(|(name, shown)| (name.to_owned(), shown.clone())));
    Cow::Owned(canonical::service(&members.into()))
}

/// The manifest's members, with the percentages that a probe narrows spelled out, and with ECS's own
/// breaker on as backstop unless the manifest has an opinion: it ends a bad rollout if Evenkeel dies.
pub(crate) fn wanted_members(desired: &Service) -> Value {
    let mut wanted = desired.service.value();
    if desired.rollout.strategy.controller() != "ECS" {
        return wanted;
    }
    let daemon = is_daemon(desired);
    let Some(members) = wanted.as_object_mut() else { return wanted };
    let configuration =
        members.entry("deploymentConfiguration").or_insert_with(|| Value::Object(Map::new()));
    let Some(configuration) = configuration.as_object_mut() else { return wanted };
    if !daemon {
        configuration.entry("maximumPercent").or_insert(json!(200));
        configuration.entry("minimumHealthyPercent").or_insert(json!(100));
    }
    let rollback = desired.rollout.breaker.on_failure == OnFailure::Rollback;
    configuration
        .entry("deploymentCircuitBreaker")
        .or_insert_with(|| json!({ "enable": true, "rollback": rollback }));
    wanted
}

/// The task set that a status is about: the one that is rolled out or back, else the PRIMARY one.
fn subject(service: &ObservedService) -> Option<&TaskSet> {
    let mark = Memory::read(&service.tags).rollout;
    let sets = || service.task_sets.iter();
    let is_marked = |set: &&TaskSet, id: &str| set.id() == id || set.deployed_by() == Some(id);
    let id = mark.as_ref().and_then(|mark| mark.id());
    let marked = id.and_then(|id| sets().find(|set| is_marked(set, id)));
    let newest = || sets().max_by_key(|set| (!set.is_draining(), set.deployment.created_at));
    marked.or_else(|| sets().find(|set| set.is_primary())).or_else(newest)
}

/// The members that `UpdateService` takes for an EXTERNAL controller (ecs-behaviour 5.1).
const KEPT_BY_THE_SERVICE: &[&str] = &[
    "desiredCount",
    "placementConstraints",
    "placementStrategy",
    "healthCheckGracePeriodSeconds",
    "enableECSManagedTags",
    "propagateTags",
    "tags",
];

/// What the service has itself, and what the task set has. Each member is canonical by itself.
fn set_members(service: &ObservedService, set: &TaskSet) -> Value {
    let Value::Object(mut members) = service.document.canonical().clone() else {
        return Value::Null;
    };
    let own = set.content();
    for name in canonical::task_set_members() {
        match own.get(*name) {
            Some(value) => members.insert((*name).to_owned(), value.clone()),
            None => members.remove(*name),
        };
    }
    members.sort_keys();
    members.into()
}

fn kept_by_the_service(desired: &Service) -> Value {
    let mut wanted = desired.service.value();
    if let Some(members) = wanted.as_object_mut() {
        members.retain(|name, _| KEPT_BY_THE_SERVICE.contains(&name.as_str()));
    }
    wanted
}

/// The same for a service that exists: one that moved traffic before is told to roll again.
fn wanted_beside(desired: &Service, live: &Value) -> Value {
    const STRATEGY: &str = "/deploymentConfiguration/strategy";
    let mut wanted = wanted_members(desired);
    let moves = live.pointer(STRATEGY).is_some_and(|strategy| strategy != "ROLLING");
    let configuration = wanted.pointer_mut("/deploymentConfiguration");
    if let Some(members) = configuration.and_then(Value::as_object_mut)
        && moves
        && desired.rollout.strategy == Strategy::Rolling
    {
        members.insert("strategy".to_owned(), json!("ROLLING"));
    }
    wanted
}

/// How long two answers that contradict each other are taken for one of the past.
const LAG_MAX: SignedDuration = SignedDuration::from_mins(10);

fn is_in_flight(deployment: &ServiceDeployment) -> bool {
    matches!(deployment.status.as_str(), "PENDING" | "IN_PROGRESS")
}

/// The one sentence about a fact that is not known.
pub(crate) fn explain(unknown: &Unknown) -> String {
    match unknown {
        Unknown::NotAsked => "it was not looked at in this pass".to_owned(),
        Unknown::CapabilityMissing { operation } => {
            format!("the server does not know {operation}")
        }
        Unknown::Denied { operation, message } | Unknown::Failed { operation, message } => {
            format!("{operation} failed: {message}")
        }
    }
}

/// Why a fact is not known although the server could tell; `None` for a fact that is known, absent or
/// beyond what the server can do.
pub(crate) fn not_seen<T>(fact: &Fact<T>) -> Option<&Unknown> {
    fact.unknown().filter(|why| !matches!(why, Unknown::CapabilityMissing { .. }))
}
