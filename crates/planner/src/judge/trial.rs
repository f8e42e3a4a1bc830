//! What is tried on users: which group, with how much of the traffic, since when; never how it comes out.

use evenkeel_manifest::{Gate, Service, TrafficStep};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::steps::{Traffic, own_pause, step_at, step_gate};
use crate::view::{View, target_revision};
use crate::{HookDetail, Observed, RolloutPhase, ServiceDeployment};

/// A revision that gets some of the traffic.
#[derive(Debug)]
pub(crate) struct Trial {
    /// The step of Evenkeel's own that it is at.
    pub(super) step: Option<TrafficStep>,
    /// The gate that stands open, and what names it.
    pub(super) gate: Option<(Gate, String)>,
    /// The target group of the new revision.
    pub(super) group: Option<String>,
    /// What it gets of production traffic, in percent.
    pub(super) share: f64,
    /// Whether no revision was there before.
    pub(super) is_first: bool,
    /// Since when it gets that, as far as is known.
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
            RolloutPhase::Shifting => {
                view.service_deployment(deployment).map(|one| Self::of_shift(view, one))
            }
            RolloutPhase::Stepping
            | RolloutPhase::Testing
            | RolloutPhase::Baking
            | RolloutPhase::Keeping => Self::of_steps(view, deployment),
            RolloutPhase::Probing | RolloutPhase::Widening | RolloutPhase::RollingBack => None,
        }
    }

    fn of_shift(view: &View<'_>, rollout: &ServiceDeployment) -> Self {
        let opened = opened_at(view, rollout);
        let bake = SignedDuration::try_from(rollout.step_bake()).unwrap_or_default();
        Self {
            step: None,
            gate: own_pause(rollout).map(|(gate, pause)| (gate, pause.hook_id.clone())),
            group: target_group(view.observed(), rollout),
            share: rollout.target_share(),
            is_first: rollout.source_service_revisions.is_empty(),
            share_since: opened.and_then(|opened| opened.checked_sub(bake).ok()),
            opened,
        }
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
        let tenths = u32::try_from(traffic.production_share(group)).unwrap_or(0);
        Some(Self {
            step: step_at(view, mark).cloned(),
            opened: gate.as_ref().map(|(_, opened)| *opened),
            gate: gate.map(|(gate, _)| (gate.gate, gate.id)),
            group: Some(group.to_owned()),
            share: f64::from(tenths) / 10.0,
            is_first: sets.len() == 1,
            share_since: (mark.phase == RolloutPhase::Baking).then_some(mark.since),
        })
    }
}

/// When the pause in this stage began: ECS tells only when it ends.
fn opened_at(view: &View<'_>, rollout: &ServiceDeployment) -> Option<Timestamp> {
    let pauses = &rollout.lifecycle_hook_details;
    let pause = pauses.iter().find(|pause| pause.awaits_a_word())?;
    let known = |pause: &HookDetail| {
        let timeout = view.desired.rollout.strategy.shift()?.gate_timeout;
        pause.expires_at?.checked_sub(timeout).ok()
    };
    known(pause).or(rollout.updated_at)
}

/// The target group of the revision that is rolled out, as ECS resolved it.
fn target_group(observed: &Observed, rollout: &ServiceDeployment) -> Option<String> {
    let revision = target_revision(observed, rollout)?;
    let balancers = revision.rest.get("resolvedConfiguration")?.get("loadBalancers")?;
    let group = |one: &Value| Some(one.get("targetGroupArn")?.as_str()?.to_owned());
    balancers.as_array()?.iter().find_map(group)
}
