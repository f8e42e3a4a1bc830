//! What the manifests of each daemon want, and wanted when a call was sent; never what tags say.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use evenkeel_manifest::{
    Breaker, Digest, Document, Drift, Gate, Probe, Rollout, Service, ServiceKey, Strategy,
    TrafficStep,
};
use jiff::SignedDuration;
use serde_json::Value;

use super::super::event::At;
use super::super::{Event, Replica};

/// What a manifest says about one service, as far as properties need it.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent members of a manifest")]
pub(super) struct Wish {
    pub(super) revision: Digest,
    pub(super) definition: Digest,
    pub(super) family: String,
    /// `desiredCount`, where the manifest owns it.
    pub(super) count: Option<u64>,
    pub(super) minimum_healthy_percent: u64,
    pub(super) maximum_percent: u64,
    pub(super) is_daemon: bool,
    pub(super) paused: bool,
    /// Rollouts are paused by an annotation.
    pub(super) pauses: bool,
    /// The gates that a person must approve.
    pub(super) approvals: Vec<Gate>,
    /// Windows may keep a rollout.
    pub(super) has_windows: bool,
    pub(super) adopt: bool,
    pub(super) probe: Probe,
    /// Traffic moves to it; no probe is needed where none is.
    pub(super) shifts: bool,
    /// CodeDeploy moves it, and asks nobody.
    pub(super) is_ungated: bool,
    /// The steps that daemons take themselves; none where ECS does.
    pub(super) steps: Vec<Step>,
    pub(super) breaker: Breaker,
    /// Numbers decide, too.
    pub(super) is_measured: bool,
    /// How long a gate or a step waits for a person or for numbers that are clear.
    pub(super) gate_timeout: Option<Duration>,
    /// What ECS cannot change on a service that exists.
    pub(super) fixed: [Option<String>; 3],
    said: Said,
}

/// A part of the traffic, in tenths of a percent, and how long it stays.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Step {
    pub(super) share: u32,
    pub(super) bake: SignedDuration,
    /// A person must approve of the next one.
    pub(super) asks: bool,
}

/// All that a manifest says about the service; where it was found is no part of it.
#[derive(Clone, Debug, PartialEq)]
struct Said {
    revision: Digest,
    task_definition: Document,
    service: Document,
    rollout: Rollout,
    drift: Drift,
    paused: bool,
    adopt: bool,
    pauses: bool,
}

/// What every daemon was told, and when.
#[derive(Clone, Debug, Default)]
pub(super) struct Wishes {
    services: BTreeMap<ServiceKey, BTreeMap<Replica, Vec<Told>>>,
    frozen: BTreeMap<Replica, At>,
}

#[derive(Clone, Debug)]
struct Told {
    /// Since when it is known to the daemon.
    since: At,
    /// `None`: no manifest names the service.
    wish: Option<Arc<Wish>>,
}

/// Older wishes are nobody's any more.
const REMEMBERED: Duration = Duration::from_mins(10);

fn gate_timeout(strategy: &Strategy) -> Option<Duration> {
    let steps = strategy.steps().map(|steps| steps.gate_timeout);
    steps.or(strategy.shift().map(|shift| shift.gate_timeout))
}

impl Wish {
    fn of(service: &Service) -> Self {
        let members = service.service.value();
        let is_daemon = members.get("schedulingStrategy").and_then(Value::as_str) == Some("DAEMON");
        let percent = |name: &str, default: u64| {
            let configuration = members.get("deploymentConfiguration");
            let given = configuration.and_then(|one| one.get(name)).and_then(Value::as_u64);
            given.unwrap_or(default)
        };
        Self {
            revision: service.revision_digest.clone(),
            definition: service.task_definition_digest.clone(),
            family: service.family.clone(),
            count: members.get("desiredCount").and_then(Value::as_u64),
            minimum_healthy_percent: percent(
                "minimumHealthyPercent",
                if is_daemon { 0 } else { 100 },
            ),
            maximum_percent: percent("maximumPercent", if is_daemon { 100 } else { 200 }),
            is_daemon,
            paused: service.paused,
            pauses: pauses(service),
            approvals: service.rollout.approvals.clone(),
            has_windows: !service.rollout.windows.is_empty(),
            adopt: service.adopt,
            probe: service.rollout.probe,
            shifts: service.rollout.strategy != Strategy::Rolling,
            is_ungated: service.rollout.strategy.code_deploy().is_some(),
            steps: steps(service),
            breaker: service.rollout.breaker.clone(),
            is_measured: service.rollout.analysis.is_some(),
            gate_timeout: gate_timeout(&service.rollout.strategy),
            fixed: ["launchType", "schedulingStrategy", "role"]
                .map(|name| members.get(name).map(Value::to_string)),
            said: Said::of(service),
        }
    }

    /// Whether a rollout of it may wait, for as long as a gate may, for a person or for numbers that are clear.
    pub(super) fn may_wait(&self) -> bool {
        let asks = !self.approvals.is_empty() || self.steps.iter().any(|step| step.asks);
        self.is_measured || asks
    }

    /// Whether it says the same, so that nobody has wished for anything new.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.said == other.said
    }

    pub(super) fn probes(&self) -> bool {
        self.probe.enabled && !self.is_daemon && !self.shifts
    }
}

fn steps(service: &Service) -> Vec<Step> {
    let steps = service.rollout.strategy.steps().map(|all| all.steps.as_slice());
    let read = |step: &TrafficStep| Step {
        share: u32::from(step.weight.tenths()),
        bake: SignedDuration::try_from(step.bake).unwrap_or(SignedDuration::MAX),
        asks: step.approve,
    };
    steps.unwrap_or_default().iter().map(read).collect()
}

impl Said {
    fn of(service: &Service) -> Self {
        Self {
            revision: service.revision_digest.clone(),
            task_definition: service.task_definition.clone(),
            service: service.service.clone(),
            rollout: service.rollout.clone(),
            drift: service.drift.clone(),
            paused: service.paused,
            adopt: service.adopt,
            pauses: pauses(service),
        }
    }

    fn is(&self, service: &Service) -> bool {
        self.revision == service.revision_digest
            && self.task_definition == service.task_definition
            && self.service == service.service
            && self.rollout == service.rollout
            && self.drift == service.drift
            && (self.paused, self.adopt) == (service.paused, service.adopt)
            && self.pauses == pauses(service)
    }
}

fn pauses(service: &Service) -> bool {
    service.metadata.annotations.contains_key("evenkeel.dev/pause")
}

impl Wishes {
    pub(super) fn note(&mut self, at: At, event: &Event<'_>) {
        match event {
            // Calls of the life before may still be on their way, so what they were about is kept.
            Event::Started(replica) => {
                self.frozen.remove(replica);
                for told in self.services.values_mut().filter_map(|told| told.get_mut(replica)) {
                    told.push(Told { since: at, wish: None });
                }
            }
            Event::Frozen { by, until } => {
                self.frozen.insert(*by, *until);
            }
            Event::Wanted { by, key, service } => {
                // Who is frozen hears of it later.
                let at = self.frozen.get(by).map_or(at, |until| at.max(*until));
                let wish = service.map(|service| self.known(key, service));
                let told = self.services.entry((*key).clone()).or_default().entry(*by).or_default();
                told.push(Told { since: at, wish });
                let old = told.iter().rposition(|one| one.since + REMEMBERED < at);
                told.drain(..old.unwrap_or(0));
            }
            _ => {}
        }
    }

    /// The wish of a manifest; the one that was told before, if it says the same.
    fn known(&self, key: &ServiceKey, service: &Service) -> Arc<Wish> {
        let told = self.services.get(key).into_iter().flat_map(BTreeMap::values).flatten().rev();
        let mut wishes = told.filter_map(|one| one.wish.as_ref());
        let same = wishes.find(|wish| wish.said.is(service));
        same.map_or_else(|| Arc::new(Wish::of(service)), Arc::clone)
    }

    /// What a daemon wants now, or wanted when it ended; `None` when it was never told of the service or no manifest names it.
    pub(super) fn now(&self, by: Replica, key: &ServiceKey) -> Option<&Arc<Wish>> {
        self.services.get(key)?.get(&by)?.last()?.wish.as_ref()
    }

    /// What a daemon wanted then. At the instant of a change, that is the wish before or the one after.
    pub(super) fn at(
        &self,
        by: Replica,
        key: &ServiceKey,
        at: At,
    ) -> impl Iterator<Item = &Arc<Wish>> {
        let told = self.services.get(key).and_then(|all| all.get(&by));
        let told = told.map_or(&[][..], Vec::as_slice);
        let first = told.iter().rposition(|one| one.since < at).unwrap_or(0);
        let then = told.iter().skip(first).take_while(move |one| one.since <= at);
        then.filter_map(|one| one.wish.as_ref())
    }

    /// What any daemon wants of a service now.
    pub(super) fn of_service(&self, key: &ServiceKey) -> impl Iterator<Item = &Arc<Wish>> {
        let all = self.services.get(key).into_iter().flat_map(BTreeMap::values);
        all.filter_map(|told| told.last()?.wish.as_ref())
    }

    /// Every service that a daemon was ever told of, with what it wants of it now.
    pub(super) fn of_daemon(&self, by: Replica) -> impl Iterator<Item = (&ServiceKey, &Arc<Wish>)> {
        self.services.keys().filter_map(move |key| Some((key, self.now(by, key)?)))
    }
}
