//! The steps of a rollout: tasks first, then traffic, then time, then judgement; never traffic for tasks that
//! are not seen to be healthy.

use evenkeel_manifest::{Gate, Percent, Service, TrafficStep};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::sets::Sets;
use super::traffic::Traffic;
use crate::breaker::{Judgement, judge, red_alarm};
use crate::load_balancing::Pair;
use crate::plan::IN_FLIGHT;
use crate::render::span;
use crate::steps::alarms;
use crate::steps::gate::unmeasured;
use crate::steps::rollout::{against, bring_in_line, mark_rollout, still};
use crate::steps::{unknown, unseen_tasks, word};
use crate::tags::{Marked, RolloutMark};
use crate::view::{View, last_part};
use crate::{
    Action, Call, Lane, Plan, RolloutPhase, StepGate, Task, TaskSet, Unused, VerdictKind, Wait,
    WaitReason,
};

/// When what was waited for is over, and a step may still be kept.
const AFTER_ITS_BAKE: &str = "after its bake";

/// A rollout on its way, and the step that it is at.
struct Course<'a> {
    view: &'a View<'a>,
    green: &'a TaskSet,
    mark: &'a RolloutMark,
    step: &'a TrafficStep,
    traffic: Traffic<'a>,
    judgement: Judgement,
}

pub(super) fn step(
    view: &View<'_>,
    sets: &Sets<'_>,
    green: &TaskSet,
    mark: Option<&RolloutMark>,
) -> Plan {
    let is_about = |mark: &&RolloutMark| {
        mark.id() == Some(green.id())
            && mark.digest == view.desired.revision_digest
            && mark.step >= first_step(view, sets)
    };
    let Some(mark) = mark.filter(is_about) else {
        return Plan::acting(vec![begin(view, sets, green)], Vec::new());
    };
    let judgement = judge(view, green.id(), mark.phase, judged_since(view, green));
    if let Some((kind, sentence)) = judgement.against.clone() {
        return against(view, &judgement, kind, sentence, mark);
    }
    if let Some(sentence) = unseen_tasks(view) {
        return unknown(format!("{sentence}; the rollout is left as it is"));
    }
    if let Some(plan) = alarms::unwatched(view) {
        return plan;
    }
    let traffic = match Traffic::of(view) {
        Ok(traffic) => traffic,
        Err(why) => return unknown(format!("{why}; the rollout is left as it is")),
    };
    let Some(step) = step_at(view, mark) else {
        return unknown("the manifest has no such step");
    };
    if let Some(action) = bring_in_line(view, Lane::NewChange, "changes in place") {
        return Plan::acting(vec![action], Vec::new());
    }
    let course = Course { view, green, mark, step, traffic, judgement };
    if mark.phase == RolloutPhase::Baking { course.bake() } else { course.take() }
}

/// Evidence of before a verdict that was taken back is judged already.
pub(super) fn judged_since(view: &View<'_>, set: &TaskSet) -> Timestamp {
    let judged = view.memory.applied.as_ref().map(|last| last.at);
    let created = set.deployment.created_at.unwrap_or(view.now());
    judged.map_or(created, |judged| judged.max(created))
}

/// A manifest whose steps became fewer goes on at its last.
pub(crate) fn step_at<'a>(view: &View<'a>, mark: &RolloutMark) -> Option<&'a TrafficStep> {
    let steps = &view.desired.rollout.strategy.steps()?.steps;
    steps.get(usize::from(mark.step)).or(steps.last())
}

/// The gate of a step that stands open, and since when: before the first step, after test traffic if there is any, and
/// after the bake of each.
pub(crate) fn step_gate(
    desired: &Service,
    mark: &RolloutMark,
    now: Timestamp,
) -> Option<(StepGate, Timestamp)> {
    let steps = &desired.rollout.strategy.steps()?.steps;
    let step = steps.get(usize::from(mark.step)).or(steps.last())?;
    let bake = SignedDuration::try_from(step.bake).unwrap_or_default();
    let test_rule = Pair::all(desired).into_iter().next().and_then(|pair| pair.test_rule);
    let (gate, opened, share) = match mark.phase {
        RolloutPhase::Testing => (Gate::AfterTestTraffic, mark.since, Percent::NONE),
        RolloutPhase::Baking => {
            let end = mark.since.checked_add(bake).ok().filter(|end| *end <= now)?;
            let is_last = step.weight == Percent::ALL;
            let gate = if is_last { Gate::AfterProductionTraffic } else { Gate::BeforeStep };
            (gate, end, step.weight)
        }
        _ => return None,
    };
    let set = mark.id()?.to_owned();
    let id = whole_gate_name(&set, mark);
    let test_rule = test_rule.filter(|_| gate == Gate::AfterTestTraffic);
    Some((StepGate { gate, id, set, test_rule, share: share.tenths() }, opened))
}

/// Where nobody is served yet, the last step is the first, also of steps that a manifest came to have more of since.
fn first_step(view: &View<'_>, sets: &Sets<'_>) -> u8 {
    if sets.primary.is_some() {
        return 0;
    }
    let steps = view.desired.rollout.strategy.steps().map_or(1, |all| all.steps.len());
    u8::try_from(steps.saturating_sub(1)).unwrap_or(u8::MAX)
}

/// Marks the task set as the rollout of what is wanted.
fn begin(view: &View<'_>, sets: &Sets<'_>, green: &TaskSet) -> Action {
    let mark = RolloutMark {
        digest: view.desired.revision_digest.clone(),
        deployment: Marked::Id(green.id().to_owned()),
        phase: RolloutPhase::Stepping,
        since: view.now(),
        probe: None,
        step: first_step(view, sets),
    };
    let why = format!("marks {} as the rollout of {}", green.id(), mark.digest);
    mark_rollout(view, &mark, why)
}

impl Course<'_> {
    fn group(&self) -> &str {
        self.green.target_group().unwrap_or_default()
    }

    fn share(&self) -> u64 {
        self.traffic.production_share(self.group())
    }

    fn wanted_share(&self) -> u64 {
        u64::from(self.step.weight.tenths())
    }

    /// `step 2 of 4 (10%)`
    fn position(&self) -> String {
        let steps = self.view.desired.rollout.strategy.steps().map_or(0, |all| all.steps.len());
        format!("step {} of {steps} ({})", self.mark.step + 1, self.step.weight)
    }

    fn is_last(&self) -> bool {
        self.step.weight == Percent::ALL
    }

    /// Tasks, then test traffic, then production traffic.
    fn take(&self) -> Plan {
        if let Some(plan) = self.changed_by_others().filter(|_| self.mark.step > 0) {
            return plan;
        }
        let before = format!("before {}", self.position());
        if let Some(rise) = self.missing_tasks() {
            return match self.paused(&before) {
                Some(wait) => still(self.view, &self.judgement, wait),
                None => acting(rise),
            };
        }
        if let Some(sentence) = incomplete(self.green, &self.judgement) {
            let wait = Wait::new(WaitReason::Deployment, sentence).until(self.judgement.deadline);
            return still(self.view, &self.judgement, wait);
        }
        if self.traffic.test_share(self.group()).is_some_and(|share| share < 1000)
            && let Some(action) = self.traffic.test(self.group(), Lane::RolloutStep)
        {
            return acting(action);
        }
        if self.share() == self.wanted_share() {
            let why = format!("{} is taken: it bakes", self.position());
            return acting(self.marked(RolloutPhase::Baking, self.mark.step, why));
        }
        if let Some(plan) = self.untested() {
            return plan;
        }
        if let Some(wait) = self.shut(&before) {
            return still(self.view, &self.judgement, wait);
        }
        acting(self.traffic.shift(self.group(), self.step.weight, Lane::RolloutStep))
    }

    /// The gate before the first step. It opens when tasks and test traffic are there, so that a slow start costs none of
    /// its time.
    fn untested(&self) -> Option<Plan> {
        if self.mark.step > 0 || self.view.desired.rollout.analysis.is_none() {
            return None;
        }
        if self.mark.phase != RolloutPhase::Testing {
            let why = format!("{} is tested before it is taken", self.position());
            return Some(acting(self.marked(RolloutPhase::Testing, self.mark.step, why)));
        }
        let wait = unmeasured(self.view, &self.judgement).filter(|_| !self.is_promoted())?;
        Some(self.waits(&wait, self.mark.since))
    }

    /// What keeps traffic from going to what is healthy.
    fn shut(&self, at: &str) -> Option<Wait> {
        self.alarmed(at).or_else(|| self.paused(at))
    }

    fn alarmed(&self, at: &str) -> Option<Wait> {
        let alarm = red_alarm(self.view).filter(|_| !self.is_promoted())?;
        Some(Wait::new(WaitReason::Alarm, format!("{at}: alarm {alarm} is in ALARM")))
    }

    fn paused(&self, at: &str) -> Option<Wait> {
        word::paused(self.view, at).filter(|_| !self.is_promoted())
    }

    /// The step is taken: time, numbers, a person's word.
    fn bake(&self) -> Plan {
        if let Some(plan) = self.changed_by_others() {
            return plan;
        }
        let bake = SignedDuration::try_from(self.step.bake).unwrap_or_default();
        let end = self.mark.since.checked_add(bake).unwrap_or(Timestamp::MAX);
        if self.view.now() < end && !self.is_promoted() {
            let wait = Wait::new(WaitReason::Gate, format!("{} bakes", self.position()));
            return still(self.view, &self.judgement, wait.until(Some(end)));
        }
        if let Some(sentence) = incomplete(self.green, &self.judgement) {
            // How long tasks may take has a clock of its own, which stands while AWS cannot start any.
            let wait = Wait::new(WaitReason::Gate, format!("{}: {sentence}", self.position()));
            return still(self.view, &self.judgement, wait.until(self.judgement.deadline));
        }
        if let Some(plan) = self.undecided(self.complete_since(end)) {
            return plan;
        }
        if self.is_last() {
            let rise = self.missing_tasks();
            return acting(rise.unwrap_or_else(|| self.promote_to_primary()));
        }
        let why = format!("nothing speaks against {}", self.position());
        acting(self.marked(RolloutPhase::Stepping, self.mark.step + 1, why))
    }

    /// Since when nothing but numbers or people can keep the step: the end of its bake, or the last start of a task.
    fn complete_since(&self, end: Timestamp) -> Timestamp {
        let tasks = self.view.observed().tasks.known().map(Vec::as_slice).unwrap_or_default();
        let ours = |task: &&Task| task.started_by.as_deref() == Some(self.green.id());
        let started = tasks.iter().filter(ours).filter_map(|task| task.started_at).max();
        started.map_or(end, |started| started.max(end))
    }

    /// What the step waits for after its time, until it was waited for too long. Who paused rollouts, and a window that did, is
    /// waited for without end: nobody failed to answer.
    fn undecided(&self, end: Timestamp) -> Option<Plan> {
        let unanswered = unmeasured(self.view, &self.judgement)
            .filter(|_| !self.is_promoted())
            .or_else(|| self.unapproved())
            .or_else(|| self.alarmed(AFTER_ITS_BAKE));
        if let Some(wait) = unanswered {
            return Some(self.waits(&wait, end));
        }
        let wait = self.paused(&format!("{}, {AFTER_ITS_BAKE}", self.position()))?;
        Some(still(self.view, &self.judgement, wait))
    }

    /// Waits at a gate that stands open since then, until it was waited for too long.
    fn waits(&self, wait: &Wait, opened: Timestamp) -> Plan {
        let at = self.position();
        let patience = self.view.desired.rollout.strategy.steps().map(|all| all.gate_timeout);
        let patience = patience.and_then(|time| SignedDuration::try_from(time).ok());
        let patience = patience.unwrap_or(SignedDuration::MAX);
        let until = opened.checked_add(patience).unwrap_or(Timestamp::MAX);
        if self.view.now() >= until {
            let sentence =
                format!("{at} waited for {} (gateTimeout): {}", span(patience), wait.sentence);
            return against(self.view, &self.judgement, VerdictKind::Stalled, sentence, self.mark);
        }
        let wait = Wait::new(wait.reason, format!("{at}: {}", wait.sentence));
        still(self.view, &self.judgement, wait.until(Some(until)))
    }

    fn unapproved(&self) -> Option<Wait> {
        let is_given = self.is_promoted() || self.view.desired.is_approved();
        (self.step.approve && !is_given).then(|| {
            let key = &self.view.desired.key;
            let sentence = format!(
                "the manifest wants an approval: `evenkeel rollout promote {}/{} --comment ...`",
                key.cluster, key.name
            );
            Wait::new(WaitReason::Person, sentence)
        })
    }

    fn is_promoted(&self) -> bool {
        let hook = gate_name(self.mark);
        let promotion = self.view.memory.promotion.as_ref();
        promotion.is_some_and(|one| one.opens(&self.view.desired.revision_digest, &hook))
    }

    /// More than the step's share is taken back at once. Less may be somebody's rescue: it stays until a person
    /// says otherwise. None, and noted as given back since the step was taken, was taken away on a look from before the rollout:
    /// the first step is taken again, for more would go too far at once.
    fn changed_by_others(&self) -> Option<Plan> {
        let share = self.share();
        if share > self.wanted_share() {
            let action = self.traffic.shift(self.group(), self.step.weight, Lane::Rollback);
            return Some(acting(action));
        }
        if share >= self.least_share() {
            return None;
        }
        if self.is_promoted() {
            return (self.mark.phase == RolloutPhase::Baking).then(|| self.go_on());
        }
        let is_given_back = self.view.memory.reweighed.is_some_and(|at| at >= self.mark.since);
        if share == 0 && is_given_back {
            let why = "traffic was given back on a look from before the rollout: begins with the first step again";
            return Some(acting(self.marked(RolloutPhase::Stepping, 0, why.to_owned())));
        }
        let sentence = format!(
            "{}: {}.{}% is given, and not by this step: somebody else took traffic away, or the manifest's \
             steps are others now; promote the rollout to go on, or abort it",
            self.position(),
            share / 10,
            share % 10
        );
        Some(Plan::waiting(vec![Wait::new(WaitReason::Person, sentence)], IN_FLIGHT))
    }

    /// What is given until somebody else takes it away: by the step that bakes, or by the one before. Where nobody is served
    /// yet, the last step is the first.
    fn least_share(&self) -> u64 {
        if self.mark.phase == RolloutPhase::Baking {
            return self.wanted_share();
        }
        let is_served = self.view.service.task_sets.iter().any(TaskSet::is_primary);
        let step = self.mark.step.checked_sub(1).filter(|_| is_served);
        let before =
            step.and_then(|step| step_at(self.view, &RolloutMark { step, ..self.mark.clone() }));
        before.map_or(0, |step| u64::from(step.weight.tenths()))
    }

    /// What a person lets go on: tasks first here too, for the manifest's steps may be others now.
    fn go_on(&self) -> Plan {
        if let Some(rise) = self.missing_tasks() {
            return acting(rise);
        }
        if let Some(sentence) = incomplete(self.green, &self.judgement) {
            let wait = Wait::new(WaitReason::Deployment, sentence).until(self.judgement.deadline);
            return still(self.view, &self.judgement, wait);
        }
        acting(self.traffic.shift(self.group(), self.step.weight, Lane::Person))
    }

    /// The call that gives the task set the tasks of the step; `None` when it is to have them.
    fn missing_tasks(&self) -> Option<Action> {
        let percent = self.step.scale_percent();
        (self.green.scale() < percent)
            .then(|| scale(self.view, self.green, percent, Lane::RolloutStep))
    }

    fn promote_to_primary(&self) -> Action {
        primary(self.view, self.green, Lane::RolloutStep)
    }

    fn marked(&self, phase: RolloutPhase, step: u8, why: String) -> Action {
        let mark = RolloutMark { phase, step, since: self.view.now(), ..self.mark.clone() };
        mark_rollout(self.view, &mark, why)
    }
}

fn acting(action: Action) -> Plan {
    Plan::acting(vec![action], Vec::new())
}

/// What is missing until every task of a task set is seen to be healthy.
pub(super) fn incomplete(set: &TaskSet, judgement: &Judgement) -> Option<String> {
    let wanted = set.deployment.desired_count;
    let Some(healthy) = judgement.healthy.as_ref().map(Vec::len) else {
        return Some("whether the new tasks are healthy cannot be seen".to_owned());
    };
    let all = usize::try_from(wanted).unwrap_or(usize::MAX);
    if healthy < all {
        return Some(format!("{healthy} of {wanted} tasks of {} are healthy", set.id()));
    }
    (!set.is_steady()).then(|| format!("{} is not steady yet", set.id()))
}

/// What a promotion names in the place of a hook: the traffic that a step is to give, or the end of its bake.
pub(super) fn gate_name(mark: &RolloutMark) -> String {
    let step = u16::from(mark.step) + 1;
    if mark.phase == RolloutPhase::Baking { format!("step-{step}") } else { format!("take-{step}") }
}

/// The same with the task set, as a status shows it.
pub(super) fn whole_gate_name(set: &str, mark: &RolloutMark) -> String {
    format!("{}-{}", last_part(set), gate_name(mark))
}

/// Scales a task set, in percent of the desired count.
fn scale(view: &View<'_>, set: &TaskSet, percent: f64, lane: Lane) -> Action {
    let input = json!({
        "cluster": view.desired.key.cluster, "service": view.desired.key.name, "taskSet": set.id(),
        "scale": {"value": percent, "unit": "PERCENT"},
    });
    let why =
        format!("scales {} from {}% to {percent}% of the desired count", set.id(), set.scale());
    Action { call: Call::UpdateTaskSet { input }, lane, why }
}

/// Makes a task set the one that the service shows, and that stays.
pub(super) fn primary(view: &View<'_>, set: &TaskSet, lane: Lane) -> Action {
    let input = json!({
        "cluster": view.desired.key.cluster, "service": view.desired.key.name,
        "primaryTaskSet": set.id(),
    });
    let why = format!("makes {} the PRIMARY task set", set.id());
    Action { call: Call::UpdateServicePrimaryTaskSet { input }, lane, why }
}

/// Deletes a task set with its tasks, if its group still gets nothing then.
pub(super) fn delete(view: &View<'_>, set: &TaskSet, lane: Lane) -> Action {
    let input = json!({
        "cluster": view.desired.key.cluster, "service": view.desired.key.name, "taskSet": set.id(),
        "force": true,
    });
    let why = format!("deletes {}, which gets no traffic", set.id());
    Action { call: Call::DeleteTaskSet { input, unused: unused(view, set) }, lane, why }
}

/// What its rule must give nothing; `None` where the PRIMARY task set stands in the same group.
fn unused(view: &View<'_>, set: &TaskSet) -> Option<Unused> {
    let group = set.target_group()?;
    let serves = |one: &TaskSet| one.is_primary() && one.target_group() == Some(group);
    let pair = Pair::all(view.desired).into_iter().next()?;
    let is_served = view.service.task_sets.iter().any(serves);
    (!is_served).then(|| Unused { rule: pair.production_rule, group: group.to_owned() })
}
