//! The judgement of a rollout from what one look shows; never acts on it.
//!
//! Only tasks that the deployment in question started count, told by `startedBy`. Counts are of the
//! last hour, for ECS forgets stopped tasks after that.
//!
//! While the probe lasts nothing sets the counts back: a revision that is healthy for some seconds and
//! then fails must not earn itself another task each time.
//!
//! After it, with consecutive counting, a task sets the counts back once it is healthy *and* has run for twice as
//! long as any failed task of its deployment: only failures after its start count. ECS's own rule, any healthy
//! task, lets a revision that crashes after a minute loop for ever (ecs-behaviour 3.3); and tasks that all turn
//! bad at about the same age outlive each other by the jitter of their health checks.

mod control;
mod health;
mod hindrance;
mod lost;
mod reasons;
mod refusals;
mod threshold;

use evenkeel_manifest::{Counting, Digest, Threshold};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::judge::{self, Trial};
use crate::render::span;
use crate::view::{View, last_part};
use crate::{
    Alarm, BreakerCount, Deployment, Evidence, EvidenceKind, Measurement, RolloutPhase, Task,
    Verdict, VerdictKind,
};

use control::Control;
pub(crate) use health::{addresses, healthy_tasks};

/// Evidence shown of one rollout; the newest is kept.
const EVIDENCE_MAX: usize = 20;

/// What one look says about a rollout.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Judgement {
    pub(crate) counts: Vec<BreakerCount>,
    /// Newest first.
    pub(crate) evidence: Vec<Evidence>,
    pub(crate) against: Option<(VerdictKind, String)>,
    /// The ids of the healthy tasks, the longest running first; `None` when health cannot be seen.
    pub(crate) healthy: Option<Vec<String>>,
    /// A cause outside of the revision that holds the rollout up.
    pub(crate) environment: Option<String>,
    /// When the rollout runs out of patience; `None` while the clock stands.
    pub(crate) deadline: Option<Timestamp>,
    /// What is measured while traffic moves.
    pub(crate) measurements: Vec<Measurement>,
    /// Whether these are all that this place wants: where they are none, nothing is missing.
    pub(crate) is_asked: bool,
}

impl Judgement {
    pub(crate) fn verdict(&self, digest: &Digest) -> Option<Verdict> {
        let (kind, sentence) = self.against.clone()?;
        Some(Verdict {
            kind,
            digest: digest.clone(),
            sentence,
            evidence: self.evidence.clone(),
            counts: self.counts.clone(),
        })
    }
}

/// Judges the rollout that `deployment` carries out, from what happened after `since`: the start of
/// the rollout, or a person's wish to try again.
pub(crate) fn judge(
    view: &View<'_>,
    deployment: &str,
    phase: RolloutPhase,
    since: Timestamp,
) -> Judgement {
    let listed = view.service.launchers().find(|one| one.id == deployment);
    let tasks = tasks_of(view, deployment);
    let healthy = healthy_tasks(view, deployment);
    let evidence = evidence(&tasks, listed.and_then(|one| one.created_at));
    let reset = match phase {
        RolloutPhase::Probing => None,
        RolloutPhase::Widening
        | RolloutPhase::Shifting
        | RolloutPhase::Stepping
        | RolloutPhase::Testing
        | RolloutPhase::Baking
        | RolloutPhase::Keeping
        | RolloutPhase::RollingBack
        | RolloutPhase::Postponed => reset_at(view, healthy.as_deref().unwrap_or_default(), &tasks),
    };
    let reset = reset.max(Some(since));
    let tasks = listed.map_or(view.service.desired_count, |one| view.count_of(one));
    // A return runs what is proven itself.
    let returns = phase == RolloutPhase::RollingBack;
    let control = if returns { Control::default() } else { Control::beside(view, deployment) };
    let counted: Vec<&Evidence> = evidence.iter().filter(|one| !control.excuses(one)).collect();
    let counts = counts(view, &counted, reset, (phase, tasks));
    let progress = listed
        .and_then(|one| Progress::of(view, one, (phase, since), healthy.as_deref()?, &evidence));
    let trial = Trial::of(view, deployment, phase);
    let is_asked = trial.as_ref().is_some_and(|trial| trial.can_ask(view.desired));
    let measurements = trial.map(|trial| judge::measure(view, &trial, since)).unwrap_or_default();
    let against = tripped(&counts, &evidence)
        .or_else(|| alarmed(view, listed))
        .or_else(|| measured(view, &measurements))
        .or_else(|| progress.as_ref()?.stalled(view));
    Judgement {
        counts,
        against,
        healthy: healthy.as_deref().map(ids),
        environment: progress.as_ref().and_then(|one| one.environment.clone()),
        deadline: progress.and_then(|one| one.deadline(view)),
        evidence: evidence.into_iter().take(EVIDENCE_MAX).collect(),
        measurements,
        is_asked,
    }
}

fn ids(tasks: &[&Task]) -> Vec<String> {
    let mut tasks = tasks.to_vec();
    tasks.sort_by_key(|task| (task.started_at, task.task_arn.as_str()));
    tasks.into_iter().map(|task| last_part(&task.task_arn).to_owned()).collect()
}

fn tasks_of<'a>(view: &View<'a>, deployment: &str) -> Vec<&'a Task> {
    let all = view.observed().tasks.known().map(Vec::as_slice).unwrap_or_default();
    all.iter().filter(|task| task.started_by.as_deref() == Some(deployment)).collect()
}

/// Newest first; equal times in the order of task ids, so that the order of a reply changes nothing.
fn evidence(tasks: &[&Task], began: Option<Timestamp>) -> Vec<Evidence> {
    let refusals = refusals::Early::of(tasks, began);
    let mut evidence: Vec<Evidence> = tasks
        .iter()
        .filter_map(|task| {
            let stopped = reasons::classify(task)?;
            Some(Evidence {
                kind: refusals.kind(task).unwrap_or(stopped.kind),
                task: Some(last_part(&task.task_arn).to_owned()),
                at: ended_at(task),
                exit_code: stopped.exit_code,
                reason: stopped.reason,
            })
        })
        .collect();
    evidence.sort_by(|a, b| (b.at, &a.task).cmp(&(a.at, &b.task)));
    evidence
}

fn ended_at(task: &Task) -> Option<Timestamp> {
    task.stopping_at.or(task.stopped_at)
}

/// How many times longer than the longest-lived failed task a healthy one must run to set the counts back.
const OUTLIVES: i32 = 2;

/// Since when failures count: the start of the youngest healthy task that has outlived all failed ones.
fn reset_at(view: &View<'_>, healthy: &[&Task], all: &[&Task]) -> Option<Timestamp> {
    if view.desired.rollout.breaker.counting == Counting::Cumulative {
        return None;
    }
    let longest_failed = all
        .iter()
        .filter(|task| reasons::classify(task).is_some_and(|stopped| is_failure(stopped.kind)))
        .filter_map(|task| Some(ended_at(task)?.duration_since(task.started_at?)))
        .max()
        .unwrap_or(SignedDuration::ZERO);
    healthy
        .iter()
        .filter(|task| health::running_for(task, view.now()) > longest_failed * OUTLIVES)
        .filter_map(|task| task.started_at)
        .max()
}

fn is_failure(kind: EvidenceKind) -> bool {
    VerdictKind::of(kind).is_some()
}

/// Against the tasks that a task set is to have: the first step of a large service may have one.
fn counts(
    view: &View<'_>,
    evidence: &[&Evidence],
    reset: Option<Timestamp>,
    (phase, tasks): (RolloutPhase, u32),
) -> Vec<BreakerCount> {
    let breaker = &view.desired.rollout.breaker;
    let probing = phase == RolloutPhase::Probing;
    let count = |kind: EvidenceKind, limit: Threshold| {
        let counted = evidence.iter().filter(|one| one.kind == kind && counts_since(one, reset));
        BreakerCount {
            kind,
            count: u32::try_from(counted.count()).unwrap_or(u32::MAX),
            threshold: threshold::threshold(limit, tasks, probing),
        }
    };
    vec![
        count(EvidenceKind::Doomed, breaker.doomed),
        count(EvidenceKind::LaunchFailure, breaker.launch_failures),
        count(EvidenceKind::HealthFailure, breaker.health_failures),
        count(EvidenceKind::Crash, breaker.crashes),
    ]
}

/// A failure without a time counts: leaving it out would be a guess in the revision's favour.
fn counts_since(evidence: &Evidence, reset: Option<Timestamp>) -> bool {
    match (evidence.at, reset) {
        (Some(at), Some(reset)) => at > reset,
        _ => true,
    }
}

fn tripped(counts: &[BreakerCount], evidence: &[Evidence]) -> Option<(VerdictKind, String)> {
    let tripped = counts.iter().find(|one| one.count >= one.threshold)?;
    let last = evidence.iter().find(|one| one.kind == tripped.kind)?;
    let sentence = format!(
        "{} of {} {}; the last: {}",
        tripped.count,
        tripped.threshold,
        plural(tripped.kind),
        describe(last),
    );
    Some((VerdictKind::of(tripped.kind)?, sentence))
}

fn plural(kind: EvidenceKind) -> &'static str {
    match kind {
        EvidenceKind::Doomed => "starts that can never succeed",
        EvidenceKind::LaunchFailure => "launch failures",
        EvidenceKind::HealthFailure => "health failures",
        EvidenceKind::Crash => "crashes",
        EvidenceKind::Environment => "environment causes",
        EvidenceKind::NotAFailure => "ordinary stops",
        EvidenceKind::Alarm => "alarms",
        EvidenceKind::Stalled => "stalls",
    }
}

fn describe(evidence: &Evidence) -> String {
    match &evidence.task {
        Some(task) => format!("task {task}: {}", evidence.reason),
        None => evidence.reason.clone(),
    }
}

/// The alarms that the manifest names, as far as they exist.
fn named_alarms<'a>(view: &View<'a>) -> impl Iterator<Item = &'a Alarm> {
    let names = &view.desired.rollout.breaker.alarms;
    let all = view.observed().alarms.known().map(Vec::as_slice).unwrap_or_default();
    all.iter().filter(|alarm| names.contains(&alarm.name))
}

/// An alarm that went off after the rollout began, and after what was judged before a person said retry. One that was red
/// before is compared with itself: it counts when it was green in between.
fn alarmed(view: &View<'_>, deployment: Option<&Deployment>) -> Option<(VerdictKind, String)> {
    let began = deployment?.created_at?;
    // The tag has whole seconds.
    let second = SignedDuration::from_secs(1);
    let judged = view.memory.applied.as_ref().and_then(|last| last.at.checked_add(second).ok());
    let began = judged.map_or(began, |judged| judged.max(began));
    let began = view.first_seen().map_or(began, |seen| seen.max(began));
    let alarm = named_alarms(view)
        .find(|alarm| alarm.state == "ALARM" && alarm.since.is_some_and(|since| since > began))?;
    let reason = alarm.reason.as_deref().unwrap_or("no reason given");
    Some((VerdictKind::Alarm, format!("alarm {} went off: {reason}", alarm.name)))
}

/// Numbers that speak against the revision.
fn measured(view: &View<'_>, measurements: &[Measurement]) -> Option<(VerdictKind, String)> {
    let one = judge::against(view, measurements)?;
    Some((VerdictKind::Analysis, format!("{}: {}", one.metric, one.sentence)))
}

/// An alarm that is red now, whenever it became so.
pub(crate) fn red_alarm(view: &View<'_>) -> Option<String> {
    named_alarms(view).find(|alarm| alarm.state == "ALARM").map(|alarm| alarm.name.clone())
}

/// Why the alarms that the manifest names cannot be relied on.
pub(crate) fn missing_alarm(view: &View<'_>) -> Option<String> {
    let names = &view.desired.rollout.breaker.alarms;
    if let (Some(first), Some(why)) = (names.first(), view.observed().alarms.unknown()) {
        return Some(format!("alarm {first} cannot be read: {}", crate::view::explain(why)));
    }
    let exists = |name: &String| named_alarms(view).any(|alarm| alarm.name == *name);
    names.iter().find(|name| !exists(name)).map(|name| format!("alarm {name} does not exist"))
}

/// The clock of progress of one deployment.
#[derive(Clone, Debug)]
struct Progress {
    since: Timestamp,
    healthy: usize,
    /// The clock stands: there is nothing left to become healthy, or ECS cannot move.
    stands: bool,
    environment: Option<String>,
}

impl Progress {
    fn of(
        view: &View<'_>,
        deployment: &Deployment,
        (phase, since): (RolloutPhase, Timestamp),
        healthy: &[&Task],
        evidence: &[Evidence],
    ) -> Option<Self> {
        let began = deployment.created_at?;
        let environment = environment(view, began, evidence)
            .map(|(at, words)| (lasted_until(view, deployment, healthy, at), words));
        let last_start = healthy.iter().filter_map(|task| task.started_at).max();
        let hindrance = hindrance::of(view, deployment, healthy, began);
        let last_hindrance = environment.as_ref().map(|(at, _)| *at);
        let held = hindrance.as_ref().map(|one| one.until);
        let more_to_do = scaled(view, deployment)
            .max(is_to_be_started(view, deployment, healthy, evidence).then(|| view.now()));
        let lost = lost::lost_since(view, deployment, phase, healthy);
        let started = begun_after_completion(view, deployment, healthy);
        let since =
            [Some(began), Some(since), last_start, last_hindrance, held, more_to_do, lost, started]
                .into_iter()
                .flatten()
                .max()?;
        let completed = is_complete(deployment) && started.is_none();
        let all_healthy = healthy.len() >= usize::try_from(view.count_of(deployment)).ok()?;
        Some(Self {
            since,
            healthy: healthy.len(),
            stands: completed
                || all_healthy
                || view.deployments_are_opaque()
                || others_drain(view, &deployment.id),
            environment: hindrance.and_then(|one| one.words).or_else(|| told(view, environment)),
        })
    }

    fn deadline(&self, view: &View<'_>) -> Option<Timestamp> {
        let patience = view.desired.rollout.breaker.progress_deadline;
        (!self.stands).then(|| self.since.checked_add(patience).unwrap_or(Timestamp::MAX))
    }

    fn stalled(&self, view: &View<'_>) -> Option<(VerdictKind, String)> {
        let deadline = self.deadline(view)?;
        (view.now() >= deadline).then(|| {
            let sentence = format!(
                "no task became healthy for {} (progressDeadline {}); {} of {} tasks are healthy",
                span(view.now().duration_since(self.since)),
                span(deadline.duration_since(self.since)),
                self.healthy,
                view.service.desired_count,
            );
            (VerdictKind::Stalled, sentence)
        })
    }
}

/// A cause that is over is told for a moment more.
fn told(view: &View<'_>, environment: Option<(Timestamp, String)>) -> Option<String> {
    let (at, words) = environment?;
    (view.now().duration_since(at) <= HINDRANCE_LASTS).then_some(words)
}

fn is_complete(deployment: &Deployment) -> bool {
    deployment.rollout_state.as_deref() == Some("COMPLETED")
}

/// When the newest task was started of a deployment that ECS has completed and that has no healthy one: it was complete with no
/// task at all, or has lost them all. One that stops is on its way out, and one that was there by then was healthy once: when it
/// ceased to be so is not known, and ECS replaces it.
fn begun_after_completion(
    view: &View<'_>,
    deployment: &Deployment,
    healthy: &[&Task],
) -> Option<Timestamp> {
    let tasks = tasks_of(view, &deployment.id);
    let on_their_way = tasks.iter().filter(|task| task.desired_status != "STOPPED");
    let started = on_their_way.filter_map(|task| task.created_at).max();
    let finished = view.service_deployment(&deployment.id).and_then(|one| one.finished_at);
    let is_later = |at: &Timestamp| finished.is_none_or(|finished| *at >= finished);
    started.filter(|at| is_complete(deployment) && healthy.is_empty() && is_later(at))
}

/// When a task set last got more to do: it was scaled, a step of it began, or ECS started tasks of it that are not
/// healthy yet. Tasks that come again and again count as failures. `None` of a deployment.
fn scaled(view: &View<'_>, deployment: &Deployment) -> Option<Timestamp> {
    if !view.service.has_task_sets() {
        return None;
    }
    let mark = view.memory.rollout.as_ref();
    let step = mark.filter(|mark| mark.phase == RolloutPhase::Stepping).map(|mark| mark.since);
    let tasks = tasks_of(view, &deployment.id);
    let on_its_way = tasks.iter().filter(|task| task.last_status != "STOPPED");
    let started = on_its_way.filter_map(|task| task.created_at).max();
    [deployment.updated_at, step, started].into_iter().flatten().max()
}

/// Whether what a task set lacks is ECS's to start: all that it started are healthy, and none has failed since the last
/// of these was started. `false` of a deployment.
fn is_to_be_started(
    view: &View<'_>,
    deployment: &Deployment,
    healthy: &[&Task],
    evidence: &[Evidence],
) -> bool {
    let last_start = healthy.iter().filter_map(|task| task.started_at).max();
    let tasks = tasks_of(view, &deployment.id);
    let on_their_way = tasks.iter().filter(|task| task.last_status != "STOPPED").count();
    let has_failed =
        |one: &Evidence| is_failure(one.kind) && (one.at.is_none() || one.at >= last_start);
    view.service.has_task_sets()
        && last_start.is_some()
        && on_their_way <= healthy.len()
        && !evidence.iter().any(has_failed)
}

/// Until when a cause that ECS told of at that time lasted: until ECS started a task of the deployment
/// again or told that its percentages are what holds it, or until now while it has not and no task is on
/// its way, however long ago ECS spoke of it.
fn lasted_until(
    view: &View<'_>,
    deployment: &Deployment,
    healthy: &[&Task],
    at: Timestamp,
) -> Timestamp {
    let tasks = tasks_of(view, &deployment.id);
    let started = tasks.iter().filter_map(|task| task.created_at);
    let held =
        events(view.service).into_iter().filter(|(_, text)| text.contains(PERCENTAGES_EVENT));
    let next = started.chain(held.map(|(at, _)| at)).filter(|next| *next > at).min();
    let on_their_way = tasks.iter().filter(|task| task.last_status != "STOPPED").count();
    match next {
        Some(next) => next,
        None if on_their_way <= healthy.len() => view.now(),
        None => at,
    }
}

/// Old tasks that drain hold the room that new ones need: waiting for them is no stall. Those that failed are no
/// exception to wait for: where the old revision fails again and again there is always one.
fn others_drain(view: &View<'_>, deployment: &str) -> bool {
    let tasks = view.observed().tasks.known().map(Vec::as_slice).unwrap_or_default();
    tasks.iter().any(|task| {
        task.started_by.as_deref() != Some(deployment)
            && task.desired_status == "STOPPED"
            && task.last_status != "STOPPED"
            && !reasons::classify(task).is_some_and(|ending| is_failure(ending.kind))
    })
}

/// Service events about causes outside of a revision (service-event-messages-list).
const ENVIRONMENT_EVENTS: &[&str] =
    &["was unable to place a task", "operations are being throttled", "capacity is unavailable"];

/// The service event about a deployment that its own percentages hold (service-event-messages-list).
const PERCENTAGES_EVENT: &str = "because of the service deployment configuration";

/// How long a cause is told after it was over.
const HINDRANCE_LASTS: SignedDuration = SignedDuration::from_mins(5);

/// The last cause outside of the revision since the deployment began, where nothing at all speaks against its revision: ECS's
/// breaker counts such causes (ecs-behaviour 3.3). `None` where tasks could not be read.
pub(crate) fn no_fault_but(view: &View<'_>, deployment: &str, began: Timestamp) -> Option<String> {
    view.observed().tasks.known()?;
    let evidence = evidence(&tasks_of(view, deployment), Some(began));
    let control = Control::beside(view, deployment);
    let (excused, failed): (Vec<&Evidence>, Vec<&Evidence>) =
        evidence.iter().filter(|one| is_failure(one.kind)).partition(|one| control.excuses(one));
    let cause = environment(view, began, &evidence).map(|(_, words)| words);
    let shared = || {
        let last = excused.first()?;
        Some(format!("tasks of the proven revision failed at the same time; {}", describe(last)))
    };
    cause.or_else(shared).filter(|_| failed.is_empty())
}

/// The last cause outside of the revision since the deployment began, with its time.
fn environment(
    view: &View<'_>,
    began: Timestamp,
    evidence: &[Evidence],
) -> Option<(Timestamp, String)> {
    let stopped = evidence
        .iter()
        .filter(|one| one.kind == EvidenceKind::Environment)
        .filter_map(|one| Some((one.at?, describe(one))));
    let events = events(view.service).into_iter().filter(|(_, text)| {
        let text = text.to_lowercase();
        ENVIRONMENT_EVENTS.iter().any(|words| text.contains(words))
    });
    stopped.chain(events).filter(|(at, _)| *at >= began).max()
}

/// The service's events with their times, newest first as ECS lists them.
pub(crate) fn events(service: &crate::ObservedService) -> Vec<(Timestamp, String)> {
    let listed = service.document.get("events").and_then(Value::as_array);
    let read = |event: &Value| {
        let seconds = event.get("createdAt")?.as_f64()?;
        let since_epoch = SignedDuration::try_from_secs_f64(seconds).ok()?;
        let at = Timestamp::from_duration(since_epoch).ok()?;
        Some((at, event.get("message")?.as_str()?.to_owned()))
    };
    listed.into_iter().flatten().filter_map(read).collect()
}
