//! A deployment of CodeDeploy's on its way: found again, judged, let through or ended; never guessed to be ours.

use jiff::{SignedDuration, Timestamp};

use super::{arrive, foreign, leave_rejected, overtaken, primary, runs_the_wanted};
use crate::breaker::{Judgement, judge, red_alarm};
use crate::plan::IN_FLIGHT;
use crate::steps::alarms;
use crate::steps::rollout::{against, forget_rollout, mark_rollout, still};
use crate::steps::{rollback, unknown, unseen_tasks, word};
use crate::tags::{Marked, RolloutMark};
use crate::view::View;
use crate::{
    Action, Call, CodeDeploy, CodeDeployDeployment, Lane, Plan, RolloutPhase, TaskSet, VerdictKind,
    Wait, WaitReason,
};

/// How long after its announcement a deployment of ours is to be seen at the latest.
const SEEN_WITHIN: SignedDuration = SignedDuration::from_mins(2);
/// For how long answers may be from the past.
const LAG: SignedDuration = SignedDuration::from_mins(10);

/// The next step of the rollout that `mark` tells of.
pub(super) fn step(view: &View<'_>, seen: &CodeDeploy, mark: &RolloutMark) -> Plan {
    let ours = match mark.id() {
        Some(id) => seen.deployment(id),
        None => seen.begun_for(&mark.digest, mark.since),
    };
    if mark.digest != view.desired.revision_digest {
        return superseded(view, seen, mark, ours);
    }
    match ours {
        Some(deployment) => {
            let rejected = leave_rejected(view, &deployment.deployment_id);
            rejected.unwrap_or_else(|| match mark.id() {
                Some(_) if deployment.has_succeeded() && !runs_the_wanted(view) => {
                    displaced(view, seen, mark, deployment)
                }
                Some(_) => course(view, mark, deployment),
                None => found(view, mark, deployment),
            })
        }
        None if runs_the_wanted(view) && seen.active().is_none() => arrive::step(view, mark),
        None => lost(view, seen, mark),
    }
}

/// Notes the id of the deployment that was announced.
fn found(view: &View<'_>, mark: &RolloutMark, deployment: &CodeDeployDeployment) -> Plan {
    let id = &deployment.deployment_id;
    let mark = RolloutMark { deployment: Marked::Id(id.clone()), ..mark.clone() };
    let why = format!("marks {id} as the rollout of {}", mark.digest);
    Plan::acting(vec![mark_rollout(view, &mark, why)], Vec::new())
}

/// CodeDeploy shows no deployment of it. Its call takes no token: it is made again only when it had no effect.
fn lost(view: &View<'_>, seen: &CodeDeploy, mark: &RolloutMark) -> Plan {
    if let Some(active) = seen.active() {
        // A group has one deployment at a time, and this one says whose it is: it was listed late.
        let is_ours = active.is_for(&mark.digest);
        return if is_ours { found(view, mark, active) } else { foreign(active) };
    }
    let patience = if mark.id().is_some_and(is_code_deploy_s) { LAG } else { SEEN_WITHIN };
    let until = mark.since.checked_add(patience).unwrap_or(Timestamp::MAX);
    if view.now() < until {
        let sentence = format!("CodeDeploy does not show the deployment of {}", mark.digest);
        let wait = Wait::new(WaitReason::Deployment, sentence).until(Some(until));
        return Plan::waiting(vec![wait], IN_FLIGHT);
    }
    let why = format!("forgets the rollout of {}: CodeDeploy has no deployment of it", mark.digest);
    Plan::acting(vec![forget_rollout(view, why)], Vec::new())
}

fn is_code_deploy_s(id: &str) -> bool {
    id.starts_with("d-")
}

/// The manifest wants something else by now: what is on its way for nothing goes back first.
pub(super) fn superseded(
    view: &View<'_>,
    seen: &CodeDeploy,
    mark: &RolloutMark,
    ours: Option<&CodeDeployDeployment>,
) -> Plan {
    if let Some(plan) = ours.and_then(|ours| overtaken::step(view, mark, ours)) {
        return plan;
    }
    if let Some(ours) = ours.filter(|one| one.is_active()) {
        if mark.id().is_none() {
            return found(view, mark, ours);
        }
        let why = format!("ends {}: the manifest wants something else", ours.deployment_id);
        return Plan::acting(vec![stop(ours, lane_of_the_end(view, mark), why)], Vec::new());
    }
    if let Some(active) = seen.active() {
        let is_ours = mark.id().is_none() && active.is_for(&mark.digest);
        return if is_ours { found(view, mark, active) } else { foreign(active) };
    }
    let until = mark.since.checked_add(SEEN_WITHIN).unwrap_or(Timestamp::MAX);
    if ours.is_none() && mark.id().is_none() && view.now() < until {
        return lost(view, seen, mark);
    }
    if let Some(ours) = ours.filter(|one| is_left_unjudged(view, one)) {
        let id = &ours.deployment_id;
        let why = format!(
            "{id} has deployed {}, which is wanted no more, and what is wanted was rejected",
            mark.digest
        );
        return rollback::begin(view, id, why);
    }
    let why = format!("forgets the rollout of {}: the manifest wants something else", mark.digest);
    Plan::acting(vec![forget_rollout(view, why)], Vec::new())
}

/// Where it, or what was to replace it, was rejected, its end is a return, which no pause keeps.
fn lane_of_the_end(view: &View<'_>, mark: &RolloutMark) -> Lane {
    let is_rejected = |digest| view.memory.rejects(digest);
    if is_rejected(&mark.digest) || is_rejected(&view.desired.revision_digest) {
        Lane::Rollback
    } else {
        Lane::RolloutStep
    }
}

/// It serves, nothing will take its place, and there is something proven to return to.
fn is_left_unjudged(view: &View<'_>, ours: &CodeDeployDeployment) -> bool {
    view.memory.rejects(&view.desired.revision_digest)
        && view.memory.proven.is_some()
        && ours.has_succeeded()
        && made_by(view, ours).is_some_and(TaskSet::is_primary)
}

pub(super) fn stop(deployment: &CodeDeployDeployment, lane: Lane, why: String) -> Action {
    Action { call: Call::StopDeployment { id: deployment.deployment_id.clone() }, lane, why }
}

fn course(view: &View<'_>, mark: &RolloutMark, deployment: &CodeDeployDeployment) -> Plan {
    if deployment.has_succeeded() {
        return arrive::step(view, mark);
    }
    let judgement = judged(view, mark, deployment);
    if !deployment.is_active() {
        let sentence =
            format!("CodeDeploy ended {}: {}", deployment.deployment_id, deployment.end());
        let kind = VerdictKind::RolledBackByCodeDeploy;
        return against(view, &judgement, kind, sentence, mark);
    }
    if let Some((kind, sentence)) = judgement.against.clone() {
        return against(view, &judgement, kind, sentence, mark);
    }
    if let Some(sentence) = unseen_tasks(view) {
        return unknown(format!("{sentence}; the rollout is left as it is"));
    }
    if let Some(plan) = alarms::unwatched(view) {
        return plan;
    }
    if deployment.is_ready() {
        return ready(view, &judgement, deployment);
    }
    if let Some(plan) = complete(view, mark, &judgement, deployment) {
        return plan;
    }
    let sentence = format!("CodeDeploy has {} in {}", deployment.deployment_id, deployment.status);
    let wait = Wait::new(WaitReason::Deployment, sentence).until(judgement.deadline);
    still(view, &judgement, wait)
}

/// CodeDeploy finished our deployment, and something else is PRIMARY: what somebody deployed since, or what was before.
fn displaced(
    view: &View<'_>,
    seen: &CodeDeploy,
    mark: &RolloutMark,
    deployment: &CodeDeployDeployment,
) -> Plan {
    if let Some(active) = seen.active() {
        return foreign(active);
    }
    let id = &deployment.deployment_id;
    match later_primary(view, deployment) {
        Some(later) => {
            let why = format!("forgets the rollout of {}: {later} took its place", mark.digest);
            Plan::acting(vec![forget_rollout(view, why)], Vec::new())
        }
        None => unknown(format!(
            "CodeDeploy has finished {id}, and ECS does not show what it deployed as PRIMARY"
        )),
    }
}

/// The deployment that made the PRIMARY task set, where that is another one, and its task set is younger.
pub(super) fn later_primary<'a>(
    view: &View<'a>,
    deployment: &CodeDeployDeployment,
) -> Option<&'a str> {
    let set = primary(view)?;
    let maker = set.deployed_by().filter(|id| is_code_deploy_s(id))?;
    let is_later = set.deployment.created_at? > deployment.create_time?;
    let is_its_own = made_by(view, deployment)
        .is_some_and(|made| made.deployment.created_at >= set.deployment.created_at);
    (maker != deployment.deployment_id && is_later && !is_its_own).then_some(maker)
}

/// The judgement of the task set that the deployment made; of nothing while there is none.
pub(super) fn judged(
    view: &View<'_>,
    mark: &RolloutMark,
    deployment: &CodeDeployDeployment,
) -> Judgement {
    let Some(green) = made_by(view, deployment) else { return Judgement::default() };
    let green_view = View::of_task_set(view.input, view.desired, view.service, green);
    judge(&green_view, green.id(), mark.phase, arrive::judged_since(view, green))
}

/// Notes that all tasks were healthy once: from then on one that is lost is no lack of progress. A shift that ends long
/// before the deadline of progress needs no such note, and a task set that is PRIMARY tells it itself.
fn complete(
    view: &View<'_>,
    mark: &RolloutMark,
    judgement: &Judgement,
    deployment: &CodeDeployDeployment,
) -> Option<Plan> {
    let green = made_by(view, deployment).filter(|green| !green.is_primary())?;
    let patience = view.desired.rollout.breaker.progress_deadline;
    let long = SignedDuration::try_from(patience / 4 * 3).ok()?;
    let is_long = view.now().duration_since(green.deployment.created_at?) > long;
    if !is_long
        || mark.phase != RolloutPhase::Shifting
        || unhealthy(view, judgement, deployment).is_some()
    {
        return None;
    }
    let mark = RolloutMark { phase: RolloutPhase::Baking, ..mark.clone() };
    let why = format!("notes that all tasks of {} are healthy", deployment.deployment_id);
    Some(Plan::acting(vec![mark_rollout(view, &mark, why)], Vec::new()))
}

pub(super) fn made_by<'a>(
    view: &View<'a>,
    deployment: &CodeDeployDeployment,
) -> Option<&'a TaskSet> {
    let id = Some(deployment.deployment_id.as_str());
    view.service.task_sets.iter().find(|set| set.deployed_by() == id && !set.is_draining())
}

/// The deployment group has it wait before traffic moves: nobody else says go.
fn ready(view: &View<'_>, judgement: &Judgement, deployment: &CodeDeployDeployment) -> Plan {
    let id = &deployment.deployment_id;
    if let Some(wait) = unhealthy(view, judgement, deployment)
        .or_else(|| red(view, id))
        .or_else(|| word::paused(view, &format!("{id} is ready to move traffic")))
    {
        return still(view, judgement, wait);
    }
    let why =
        format!("lets {id} move traffic: its tasks are healthy and nothing speaks against it");
    let call = Call::ContinueDeployment { id: id.clone() };
    Plan::acting(vec![Action { call, lane: Lane::RolloutStep, why }], Vec::new())
}

fn unhealthy(
    view: &View<'_>,
    judgement: &Judgement,
    deployment: &CodeDeployDeployment,
) -> Option<Wait> {
    let wanted = made_by(view, deployment).map_or(0, |green| green.deployment.desired_count);
    let healthy = judgement.healthy.as_ref().map_or(0, Vec::len);
    let all = usize::try_from(wanted).unwrap_or(usize::MAX);
    let is_there = all > 0 || view.service.desired_count == 0;
    (healthy < all || !is_there).then(|| {
        let sentence =
            format!("{healthy} of {wanted} tasks of {} are healthy", deployment.deployment_id);
        Wait::new(WaitReason::Deployment, sentence).until(judgement.deadline)
    })
}

fn red(view: &View<'_>, id: &str) -> Option<Wait> {
    let alarm = red_alarm(view)?;
    let sentence = format!("{id} is ready to move traffic, but alarm {alarm} is in ALARM");
    Some(Wait::new(WaitReason::Alarm, sentence))
}
