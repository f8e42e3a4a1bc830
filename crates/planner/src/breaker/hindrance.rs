//! What keeps tasks of a rollout from starting while nothing stops, and until when; never what it means for the revision.

use jiff::{SignedDuration, Timestamp};

use super::{ended_at, events, tasks_of};
use crate::view::{View, last_part};
use crate::{Deployment, Task};

/// A cause outside of the revision.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Hindrance {
    /// Now, while it lasts.
    pub(super) until: Timestamp,
    /// What is told while it lasts; `None` where it may be over.
    pub(super) words: Option<String>,
}

/// Longer than a start takes where there is room (ecs-behaviour 16.4): on Fargate PROVISIONING lasts for seconds.
const USUAL: SignedDuration = SignedDuration::from_mins(1);

/// How long a task waits for an instance before ECS stops it: "between 10 and 30 minutes" (AWS's blog "Deep dive on Amazon ECS
/// cluster auto scaling", quoted in aws/containers-roadmap#2381).
const LONGEST: SignedDuration = SignedDuration::from_mins(30);

/// The hindrance that lasted longest.
pub(super) fn of(
    view: &View<'_>,
    deployment: &Deployment,
    healthy: &[&Task],
    began: Timestamp,
) -> Option<Hindrance> {
    let tasks = tasks_of(view, &deployment.id);
    let waits = tasks.iter().filter_map(|task| waits_for_a_place(task, view.now()));
    waits.chain(protected(view, deployment, healthy, began)).max()
}

/// Where a capacity provider scales its instances, a task waits for one in PROVISIONING, without any event.
fn waits_for_a_place(task: &Task, now: Timestamp) -> Option<Hindrance> {
    let created = task.created_at?;
    let until = placed(task, created, now)?;
    let told =
        format!("task {} is PROVISIONING for longer than a start takes", last_part(&task.task_arn));
    let words = is_provisioning(task).then_some(told);
    (until.duration_since(created) > USUAL).then_some(Hindrance { until, words })
}

/// When the task had its place: at the latest when its pull began. Before that nobody tells; on instances it may have been any
/// time that ECS lets it wait, until the task ended.
fn placed(task: &Task, created: Timestamp, now: Timestamp) -> Option<Timestamp> {
    if task.pull_started_at.is_some() {
        return task.pull_started_at;
    }
    if is_provisioning(task) {
        return Some(now);
    }
    let longest = created.checked_add(LONGEST).unwrap_or(Timestamp::MAX).min(now);
    let left = task.started_at.or(ended_at(task)).unwrap_or(longest);
    is_on_instances(task).then_some(left)
}

fn is_provisioning(task: &Task) -> bool {
    task.last_status == "PROVISIONING" && task.desired_status != "STOPPED"
}

fn is_on_instances(task: &Task) -> bool {
    let provider = task.capacity_provider_name.as_deref();
    provider.is_some_and(|name| !["FARGATE", "FARGATE_SPOT"].contains(&name))
}

/// Old tasks that are protected from scale-in hold the room that new ones need: ECS waits, and it is no failure
/// (ecs-behaviour 2.4, 3.3). That lasts while one of them runs and all that ECS started is healthy.
fn protected(
    view: &View<'_>,
    deployment: &Deployment,
    healthy: &[&Task],
    began: Timestamp,
) -> Option<Hindrance> {
    let told = events(view.service).into_iter().filter(|(at, text)| *at >= began && is_held(text));
    let (at, words) = told.max()?;
    let ours = tasks_of(view, &deployment.id);
    let on_their_way = ours.iter().filter(|task| task.last_status != "STOPPED");
    if on_their_way.clone().count() > healthy.len() {
        let until = on_their_way.filter_map(|task| task.created_at).max()?;
        return Some(Hindrance { until, words: None });
    }
    let old = view.observed().tasks.known()?.iter();
    let old = old.filter(|task| task.started_by.as_deref() != Some(&deployment.id));
    let is_left = old.clone().any(|task| task.last_status != "STOPPED");
    let until = if is_left { view.now() } else { old.filter_map(ended_at).max()?.max(at) };
    Some(Hindrance { until, words: is_left.then_some(words) })
}

/// The service event of it (service-event-messages-list).
fn is_held(text: &str) -> bool {
    text.contains("was unable to scale in") && text.contains("protected tasks")
}
