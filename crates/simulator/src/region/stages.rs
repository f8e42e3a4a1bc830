//! The stages of a deployment that shifts traffic, forward and back; never how tasks start and stop.
//!
//! Source: the reference page, sections 4.2, 4.3 and 4.8. What is not documented there and is an
//! assumption of this model: traffic goes back to the last completed revision while
//! `RECONCILE_SERVICE` lasts, the first deployment of a service goes through all stages, and a return keeps the deployment
//! that it returns to, which is then the one that was completed last.

use std::time::Duration;

use super::breaker::Cause;
use super::hooks::HookRun;
use super::service::{Configuration, LoadBalancer, Revision, Rollout, Service, ServiceId};
use super::service_deployment::{Rollback, ServiceDeployment, Status};
use super::strategy::{Hook, Share, Stage, Strategy};
use super::validation::is_listener;
use super::{State, Timer};

/// Where a deployment that shifts traffic is.
#[derive(Clone, Debug)]
pub(crate) struct Shift {
    strategy: Strategy,
    hooks: Vec<Hook>,
    bake: Duration,
    pub(crate) stage: Stage,
    /// The hooks of this stage.
    pub(crate) runs: Vec<HookRun>,
    /// What the target revision gets.
    pub(crate) production: Share,
    pub(crate) test: Share,
    /// The number of the revision that is replaced.
    source: Option<u64>,
    direction: Direction,
    /// Grows with each stage: what was to end an earlier one is of no account.
    entered: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    Forward,
    Back,
}

/// The tasks of one deployment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CrewCount {
    pub(crate) revision: u64,
    pub(crate) healthy: u32,
    pub(crate) live: u32,
    /// On their way out.
    pub(crate) leaving: u32,
}

impl Shift {
    /// `None` for a rolling deployment.
    pub(crate) fn of(configuration: &Configuration, source: Option<u64>) -> Option<Self> {
        configuration.strategy.shifts_traffic().then(|| Self {
            strategy: configuration.strategy,
            hooks: configuration.hooks.clone(),
            bake: configuration.bake,
            stage: Stage::PreScaleUp,
            runs: Vec::new(),
            production: Share::NONE,
            test: Share::NONE,
            source,
            direction: Direction::Forward,
            entered: 0,
        })
    }

    pub(crate) fn hooks_of(&self, stage: Stage) -> Vec<Hook> {
        self.hooks.iter().filter(|hook| hook.stages.contains(&stage)).cloned().collect()
    }

    /// The stage after this one; `None` when it was the last.
    fn next(&self) -> Option<Stage> {
        Some(match (self.stage, self.direction) {
            (Stage::CleanUp, _) => return None,
            (Stage::ProductionTrafficShift, Direction::Back) if self.test > Share::NONE => {
                Stage::TestTrafficShift
            }
            (_, Direction::Back) | (Stage::BakeTime, _) => Stage::CleanUp,
            (Stage::ReconcileService, _) => Stage::PreScaleUp,
            (Stage::PreScaleUp, _) => Stage::ScaleUp,
            (Stage::ScaleUp, _) => Stage::PostScaleUp,
            (Stage::PostScaleUp, _) => Stage::TestTrafficShift,
            (Stage::TestTrafficShift, _) => Stage::PostTestTrafficShift,
            (Stage::PostTestTrafficShift, _) => Stage::PreProductionTrafficShift,
            (Stage::PreProductionTrafficShift, _) => Stage::ProductionTrafficShift,
            (Stage::ProductionTrafficShift, _) if self.production < Share::ALL => {
                Stage::PreProductionTrafficShift
            }
            (Stage::ProductionTrafficShift, _) => Stage::PostProductionTrafficShift,
            (Stage::PostProductionTrafficShift, _) => Stage::BakeTime,
        })
    }

    /// How many tasks a revision of it is to have; `None` for what is left as it is.
    fn goal(&self, revision: u64, target: u64, desired: u32) -> Option<u32> {
        let leaves = self.stage == Stage::CleanUp;
        if revision == target {
            let is_down = matches!(self.stage, Stage::ReconcileService | Stage::PreScaleUp)
                || (leaves && self.is_back());
            return Some(if is_down { 0 } else { desired });
        }
        if Some(revision) == self.source {
            return Some(if leaves && !self.is_back() { 0 } else { desired });
        }
        let is_left_over = leaves || self.stage == Stage::ReconcileService;
        is_left_over.then_some(0)
    }

    /// Whether both revisions get production traffic.
    fn is_split(&self) -> bool {
        Share::NONE < self.production && self.production < Share::ALL
    }

    fn is_back(&self) -> bool {
        self.direction == Direction::Back
    }
}

impl Service {
    /// The deployment in flight that shifts traffic.
    fn shifting(&self) -> Option<(&ServiceDeployment, &Shift)> {
        let last = self.rollouts.last().filter(|last| last.status.is_under_way())?;
        Some((last, last.shift.as_ref()?))
    }

    pub(crate) fn shifts_traffic(&self) -> bool {
        self.shifting().is_some()
    }

    /// The number of the revision that traffic shifts away from.
    pub(crate) fn shift_source(&self) -> Option<u64> {
        self.shifting()?.1.source
    }

    /// How many tasks a deployment is to have while traffic shifts; `live` for what is left as it is.
    pub(crate) fn shift_goal(&self, revision: &Revision, live: u32) -> Option<u32> {
        let (record, shift) = self.shifting()?;
        Some(shift.goal(revision.number, record.target(), self.desired).unwrap_or(live))
    }
}

impl State {
    pub(crate) fn shift(&self, id: ServiceId, number: u64) -> Option<&Shift> {
        let service = self.services.get(&id)?;
        service.rollouts.iter().rev().find(|one| one.id == number)?.shift.as_ref()
    }

    pub(crate) fn shift_mut(&mut self, id: ServiceId, number: u64) -> Option<&mut Shift> {
        self.services.get_mut(&id)?.service_deployment_mut(number)?.shift.as_mut()
    }

    /// The first stage, once the service deployment is in progress.
    pub(crate) fn begin_stages(&mut self, id: ServiceId, number: u64) {
        let Some(service) = self.services.get(&id) else { return };
        let replaced = service.rollouts.iter().rev().nth(1).and_then(|one| one.shift.as_ref());
        let is_split = replaced.is_some_and(Shift::is_split);
        let is_crowded = service.deployments.len() > 2;
        let first =
            if is_crowded || is_split { Stage::ReconcileService } else { Stage::PreScaleUp };
        self.enter_stage(id, number, first);
    }

    /// Why the rules of a deployment cannot be used, found before anything is started.
    fn fault(&self, id: ServiceId, stage: Stage) -> Option<String> {
        let primary = self.services.get(&id)?.deployments.first()?;
        let mut balancers = primary.revision.load_balancers.iter();
        balancers.find_map(|one| self.misrouted(one)).filter(|_| stage == Stage::PreScaleUp)
    }

    fn enter_stage(&mut self, id: ServiceId, number: u64, stage: Stage) {
        let now = self.now;
        let Some(found) =
            self.services.get_mut(&id).and_then(|one| one.service_deployment_mut(number))
        else {
            return;
        };
        found.updated_at = now;
        let Some(shift) = &mut found.shift else { return };
        shift.stage = stage;
        shift.entered += 1;
        shift.runs.clear();
        let is_back = shift.is_back();
        let overdue = Timer::StageExpires(id, number, shift.entered);
        self.after(self.timings.stage_limit, overdue);
        if let Some(fault) = self.fault(id, stage) {
            self.fail_deployment(id, &Cause::Stage(fault), true);
        } else if is_back || !self.start_hooks(id, number, stage) {
            self.work(id, number);
        }
    }

    /// What the stage does once its hooks have passed.
    pub(crate) fn work(&mut self, id: ServiceId, number: u64) {
        let Some(shift) = self.shift(id, number) else { return };
        let (stage, strategy, bake) = (shift.stage, shift.strategy, shift.bake);
        let back = shift.is_back();
        let production = match shift.source {
            _ if back => Share::NONE,
            Some(_) => strategy.next(shift.production),
            // Nobody else could have any.
            None => Share::ALL,
        };
        match stage {
            Stage::ReconcileService => {
                self.route(id, number, Share::NONE, Share::NONE);
                self.look_soon(id);
            }
            Stage::ScaleUp | Stage::CleanUp => self.look_soon(id),
            Stage::TestTrafficShift => {
                let (now, test) = (shift.production, if back { Share::NONE } else { Share::ALL });
                self.route(id, number, now, test);
                self.stay(id, number, self.traffic_shift(id));
            }
            Stage::ProductionTrafficShift => {
                let test = shift.test;
                self.route(id, number, production, test);
                let bakes = if back { Duration::ZERO } else { strategy.bake(production) };
                self.stay(id, number, self.traffic_shift(id) + bakes);
            }
            Stage::BakeTime => self.stay(id, number, bake),
            Stage::PreScaleUp
            | Stage::PostScaleUp
            | Stage::PostTestTrafficShift
            | Stage::PreProductionTrafficShift
            | Stage::PostProductionTrafficShift => self.leave_stage(id, number),
        }
    }

    /// ECS waits longer where a Network Load Balancer may route by weights from before. Source: the reference page,
    /// section 4.2.
    fn traffic_shift(&self, id: ServiceId) -> Duration {
        let primary = self.services.get(&id).and_then(|one| one.deployments.first());
        let balancers = primary.into_iter().flat_map(|one| &one.revision.load_balancers);
        let mut rules = balancers.filter_map(|one| Some(&one.listeners.as_ref()?.production_rule));
        let network = Duration::from_mins(10);
        let is_network = rules.any(|rule| is_listener(rule));
        self.timings.traffic_shift + if is_network { network } else { Duration::ZERO }
    }

    fn stay(&mut self, id: ServiceId, number: u64, time: Duration) {
        let Some(entered) = self.shift(id, number).map(|shift| shift.entered) else { return };
        self.after(time, Timer::Stage(id, number, entered));
    }

    /// The time of a stage is over.
    pub(crate) fn stage_due(&mut self, id: ServiceId, number: u64, entered: u64) {
        if self.is_in_stage(id, number, entered) {
            self.leave_stage(id, number);
        }
    }

    /// A stage has taken longer than it may. Source: the reference page, section 4.3.
    pub(crate) fn stage_expires(&mut self, id: ServiceId, number: u64, entered: u64) {
        let Some(shift) = self.shift(id, number) else { return };
        if self.is_in_stage(id, number, entered) && !shift.is_back() {
            let reason = format!("{} timed out.", shift.stage.word());
            self.fail_deployment(id, &Cause::Stage(reason), true);
        }
    }

    fn is_in_stage(&self, id: ServiceId, number: u64, entered: u64) -> bool {
        let current = self.services.get(&id).and_then(Service::shifting);
        current.is_some_and(|(record, shift)| record.id == number && shift.entered == entered)
    }

    fn leave_stage(&mut self, id: ServiceId, number: u64) {
        let Some(shift) = self.shift(id, number) else { return };
        match (shift.next(), shift.direction) {
            (Some(next), _) => self.enter_stage(id, number, next),
            (None, Direction::Forward) => self.deployment_completed(id),
            (None, Direction::Back) => self.returned(id, number),
        }
    }

    /// The scheduler has moved tasks: a stage that waits for that may be over.
    pub(crate) fn tasks_moved(&mut self, id: ServiceId, crews: &[CrewCount]) {
        let Some(service) = self.services.get(&id) else { return };
        let Some((record, shift)) = service.shifting() else { return };
        let (number, target, desired) = (record.id, record.target(), service.desired);
        let is_source = |crew: &&CrewCount| Some(crew.revision) == shift.source;
        let is_target = |crew: &&CrewCount| crew.revision == target;
        let is_full = |crew: &CrewCount| crew.healthy == desired && crew.live == desired;
        let is_empty = |crew: &CrewCount| crew.live + crew.leaving == 0;
        let mut crews = crews.iter();
        let is_over = match shift.stage {
            Stage::ScaleUp => crews.filter(is_target).all(is_full),
            Stage::ReconcileService => {
                crews.filter(|crew| !is_target(crew) && !is_source(crew)).all(is_empty)
            }
            Stage::CleanUp if shift.is_back() => crews.all(|one| is_source(&one) || is_empty(one)),
            Stage::CleanUp => crews.all(|one| is_target(&one) || is_empty(one)),
            _ => false,
        };
        if is_over {
            self.leave_stage(id, number);
        }
    }

    /// Sets the weights of all rules of the target revision. Where it replaces nothing there is nobody to
    /// share with, or to give anything back to: a rule stays as it is until all of it is shifted.
    fn route(&mut self, id: ServiceId, number: u64, production: Share, test: Share) {
        let Some(service) = self.services.get(&id) else { return };
        let Some(found) = service.rollouts.iter().rev().find(|one| one.id == number) else {
            return;
        };
        let Some(target) = service.revisions.get(&found.target()) else { return };
        let is_alone = found.shift.as_ref().is_none_or(|shift| shift.source.is_none());
        let stays = |share: Share| is_alone && share < Share::ALL;
        for one in target.load_balancers.clone() {
            let Some(listeners) = &one.listeners else { continue };
            let rules = [
                (Some(&listeners.production_rule), production),
                (listeners.test_rule.as_ref(), test),
            ];
            for (rule, share) in rules {
                let Some(rule) = rule.filter(|_| !stays(share)) else { continue };
                let (old, new) = share.weights();
                let other = listeners.other_than(&one.target_group).to_owned();
                self.set_weights(rule, &[(other, old), (one.target_group.clone(), new)]);
            }
        }
        if let Some(shift) = self.shift_mut(id, number) {
            (shift.production, shift.test) = (production, test);
        }
    }

    /// What ECS says of rules that it cannot use.
    fn misrouted(&self, balancer: &LoadBalancer) -> Option<String> {
        const INVALID: &str = "of invalid networking configuration";
        let listeners = balancer.listeners.as_ref()?;
        let rule = &listeners.production_rule;
        let forwards = |rule: &str| self.elb.forwards_of(rule);
        let test = listeners.test_rule.as_deref().map(forwards).unwrap_or_default();
        let production = forwards(rule);
        let unexpected = production
            .iter()
            .find(|(group, weight)| *weight > 0 && !listeners.groups.contains(group));
        if let Some((group, _)) = unexpected {
            let [a, b] = &listeners.groups;
            return Some(format!(
                "{INVALID}. Production listener rule is forwarding traffic to unexpected target group \
                 {group}. Expected traffic to be forwarded to either targetGroupArn: {a} or \
                 alternateTargetGroupArn: {b}"
            ));
        }
        let serving = production.iter().filter(|(_, weight)| *weight > 0).count();
        if serving != 1 {
            return Some(format!(
                "{INVALID}. productionListenerRule {rule} should have exactly one target group serving \
                 traffic but found {serving} target groups which are serving traffic"
            ));
        }
        if is_listener(rule) {
            return None;
        }
        let is_known = |group: &String| production.iter().chain(&test).any(|(one, _)| one == group);
        listeners.groups.iter().find(|group| !is_known(group)).map(|group| {
            format!(
                "{INVALID}: Target group {group} is not associated with either productionListenerRule \
                 or testListenerRule."
            )
        })
    }

    /// Turns a deployment that shifts traffic back; whether there is anything to go back to.
    pub(crate) fn turn_back(&mut self, id: ServiceId, number: u64, cause: &Cause) -> bool {
        let now = self.now;
        let Some(service) = self.services.get_mut(&id) else { return false };
        let found = service.rollouts.iter().rev().find(|one| one.id == number);
        let source = found.and_then(|one| one.shift.as_ref()?.source);
        let at = service.deployments.iter().position(|one| Some(one.revision.number) == source);
        let Some(at) = at else { return false };
        let source = service.deployments.remove(at);
        let revision = std::sync::Arc::clone(&source.revision);
        service.spec.clone_from(&revision.members);
        service.deployments.insert(0, source);
        let Some(found) = service.service_deployment_mut(number) else { return false };
        found.status = Status::RollbackInProgress;
        found.status_reason = Some(cause.rolled_back());
        found.rollback = Some(Rollback {
            reason: cause.rolled_back(),
            started_at: now,
            revision: revision.arn.clone(),
        });
        let Some(shift) = &mut found.shift else { return false };
        shift.direction = Direction::Back;
        let first = if shift.production > Share::NONE {
            Stage::ProductionTrafficShift
        } else if shift.test > Share::NONE {
            Stage::TestTrafficShift
        } else {
            Stage::CleanUp
        };
        self.enter_stage(id, number, first);
        true
    }

    /// Nothing is left of what was turned back, and what it went back to is what was completed last.
    fn returned(&mut self, id: ServiceId, number: u64) {
        let now = self.now;
        let Some(service) = self.services.get_mut(&id) else { return };
        service.deployments.truncate(1);
        if let Some(primary) = service.deployments.first_mut() {
            primary.rollout = Rollout::Completed;
            primary.has_completed = true;
            primary.updated_at = now;
            let revision = std::sync::Arc::clone(&primary.revision);
            service.last_completed = Some((primary.id, revision));
        }
        service.steady = false;
        if let Some(found) = service.service_deployment_mut(number) {
            found.end_rollback(now);
        }
        self.look_soon(id);
    }
}
