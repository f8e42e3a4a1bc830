//! What is tried on users: which group, with how much of the traffic, since when; never how it comes out.

use evenkeel_manifest::{Gate, Service, TrafficStep};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::asked::balanced_groups;
use crate::steps::{Traffic, own_pause, step_at, step_gate};
use crate::tags::Memory;
use crate::view::{View, target_revision};
use crate::{HookDetail, ObservedService, RolloutPhase, ServiceDeployment, TaskSet};

/// A revision that gets some of the traffic.
#[derive(Debug)]
pub(crate) struct Trial {
    /// The step of Evenkeel's own that it is at.
    pub(super) step: Option<TrafficStep>,
    /// The gate that stands open, and what names it.
    pub(super) gate: Option<(Gate, String)>,
    /// The target group of the new revision.
    pub(super) group: Option<String>,
    /// Whether it gets production traffic, as far as is known.
    pub(super) has_users: bool,
    /// Whether no revision was there before.
    pub(super) is_first: bool,
    /// Since when what happened is held against it; `None`: since its deployment began.
    pub(super) since: Option<Timestamp>,
    /// Since when it gets as much of the traffic as it does, as far as is known.
    pub(super) share_since: Option<Timestamp>,
    /// Since when a gate waits for a judgement.
    pub(super) opened: Option<Timestamp>,
}

impl Trial {
    /// Whether everybody who is to be asked at this place can be: no web hook is, but at an open gate.
    pub(crate) fn can_ask(&self, desired: &Service) -> bool {
        let analysis = desired.rollout.analysis.as_ref();
        self.gate.is_some() || analysis.is_none_or(|one| one.webhooks.is_empty())
    }

    /// `None` of a deployment that moves no traffic.
    pub(crate) fn of(view: &View<'_>, deployment: &str, phase: RolloutPhase) -> Option<Self> {
        match phase {
            RolloutPhase::Shifting | RolloutPhase::Baking
                if view.desired.rollout.strategy.code_deploy().is_some() =>
            {
                Self::of_code_deploy(view)
            }
            RolloutPhase::Shifting => {
                view.service_deployment(deployment).map(|one| Self::of_shift(view, one))
            }
            RolloutPhase::Stepping
            | RolloutPhase::Testing
            | RolloutPhase::Baking
            | RolloutPhase::Keeping => Self::of_steps(view, deployment),
            RolloutPhase::Probing
            | RolloutPhase::Widening
            | RolloutPhase::RollingBack
            | RolloutPhase::Postponed => None,
        }
    }

    fn of_shift(view: &View<'_>, rollout: &ServiceDeployment) -> Self {
        let opened = opened_at(view, rollout);
        let bake = SignedDuration::try_from(rollout.step_bake()).unwrap_or_default();
        Self {
            step: None,
            gate: own_pause(rollout).map(|(gate, pause)| (gate, pause.hook_id.clone())),
            group: target_group(view, rollout),
            has_users: rollout.target_share() > 0.0,
            is_first: rollout.source_service_revisions.is_empty(),
            since: None,
            share_since: opened.and_then(|opened| opened.checked_sub(bake).ok()),
            opened,
        }
    }

    /// How much traffic CodeDeploy gives it nobody says: numbers are awaited all the time, and nothing for them.
    fn of_code_deploy(view: &View<'_>) -> Option<Self> {
        let (set, since) = deployed(view.service, &view.memory)?;
        Some(Self {
            step: None,
            gate: None,
            group: set.target_group().map(str::to_owned),
            has_users: true,
            is_first: !set.is_made_by_code_deploy(),
            since: Some(since),
            share_since: None,
            opened: None,
        })
    }

    fn of_steps(view: &View<'_>, set: &str) -> Option<Self> {
        let sets = &view.service.task_sets;
        let set = sets.iter().find(|one| one.id() == set)?;
        let group = set.target_group()?;
        let traffic = Traffic::of(view).ok()?;
        let mark = view.memory.rollout.as_ref()?;
        let gate = step_gate(view.desired, mark, view.now());
        let has_no_test = gate.as_ref().is_none_or(|(gate, _)| gate.test_rule.is_none());
        let is_tested = set.is_steady() && (has_no_test || traffic.test_share(group) == Some(1000));
        let gate = gate.filter(|_| is_tested);
        Some(Self {
            step: step_at(view, mark).cloned(),
            opened: gate.as_ref().map(|(_, opened)| *opened),
            gate: gate.map(|(gate, _)| (gate.gate, gate.id)),
            group: Some(group.to_owned()),
            has_users: traffic.production_share(group) > 0,
            is_first: sets.len() == 1,
            since: None,
            share_since: (mark.phase == RolloutPhase::Baking).then_some(mark.since),
        })
    }
}

/// The task set that CodeDeploy rolls out, or the first one of a service, and since when it is tried.
pub(crate) fn deployed<'a>(
    service: &'a ObservedService,
    memory: &Memory,
) -> Option<(&'a TaskSet, Timestamp)> {
    let is_tried = |phase| matches!(phase, RolloutPhase::Shifting | RolloutPhase::Baking);
    let mark = memory.rollout.as_ref().filter(|mark| is_tried(mark.phase))?;
    let id = mark.id()?;
    let is_meant = |set: &&TaskSet| set.id() == id || set.deployed_by() == Some(id);
    let set = service.task_sets.iter().filter(|set| !set.is_draining()).find(is_meant)?;
    let judged = memory.applied.as_ref().map(|last| last.at);
    Some((set, set.deployment.created_at?.max(mark.since).max(judged.unwrap_or(mark.since))))
}

/// When the gate in this stage began to wait: ECS tells only when its patience ends.
fn opened_at(view: &View<'_>, rollout: &ServiceDeployment) -> Option<Timestamp> {
    let known = || {
        let (gate, pause) = own_pause(rollout)?;
        let patience = live_patience(view, gate).or_else(|| {
            let timeout = view.desired.rollout.strategy.shift()?.gate_timeout;
            SignedDuration::try_from(timeout).ok()
        });
        pause.expires_at?.checked_sub(patience?).ok()
    };
    let awaits = rollout.lifecycle_hook_details.iter().any(HookDetail::awaits_a_word);
    known().or(rollout.updated_at.filter(|_| awaits))
}

/// How long ECS waits at a gate as the service has it, which a manifest that changed meanwhile does not.
fn live_patience(view: &View<'_>, gate: Gate) -> Option<SignedDuration> {
    let hooks = view.live.pointer("/deploymentConfiguration/lifecycleHooks")?.as_array()?;
    let is_in =
        |stages: &Value| stages.as_array().is_some_and(|all| all.contains(&json!(gate.stage())));
    let pauses = |hook: &&Value| {
        hook.get("targetType").and_then(Value::as_str) == Some("PAUSE")
            && hook.get("lifecycleStages").is_some_and(is_in)
    };
    let minutes = hooks.iter().find(pauses)?.pointer("/timeoutConfiguration/timeoutInMinutes")?;
    minutes.as_i64().map(SignedDuration::from_mins)
}

/// The target group of the revision that is rolled out, as ECS resolved it: of several load balancers, that which is measured.
fn target_group(view: &View<'_>, rollout: &ServiceDeployment) -> Option<String> {
    let revision = target_revision(view.observed(), rollout)?;
    let balancers = revision.rest.get("resolvedConfiguration")?.get("loadBalancers")?;
    let measured = balanced_groups(view.desired, view.service);
    let group = |one: &Value| {
        let arn = one.get("targetGroupArn")?.as_str()?;
        measured.iter().any(|group| group.arn == arn).then(|| arn.to_owned())
    };
    balancers.as_array()?.iter().find_map(group)
}
