//! Tasks of a revision that had them all once, and not any more; never whether that speaks against it.

use jiff::Timestamp;

use super::tasks_of;
use crate::view::View;
use crate::{Deployment, RolloutPhase, Task, TaskSet};

/// The stages that follow `SCALE_UP`, which ends when all tasks are healthy (ecs-behaviour 4.3).
const SCALED_UP: &[&str] = &[
    "POST_SCALE_UP",
    "TEST_TRAFFIC_SHIFT",
    "POST_TEST_TRAFFIC_SHIFT",
    "PRE_PRODUCTION_TRAFFIC_SHIFT",
    "PRODUCTION_TRAFFIC_SHIFT",
    "POST_PRODUCTION_TRAFFIC_SHIFT",
    "BAKE_TIME",
    "CLEAN_UP",
];

/// Since when a deployment lacks tasks that it had before traffic moved: since the first stopped that outlived the start
/// of the newest healthy one. Until now where none has stopped: ECS is yet to end and to replace what is unhealthy.
/// `None` of one that never had them all.
pub(super) fn lost_since(
    view: &View<'_>,
    deployment: &Deployment,
    phase: RolloutPhase,
    healthy: &[&Task],
) -> Option<Timestamp> {
    if !had_all(view, &deployment.id, phase) {
        return None;
    }
    let last_start = healthy.iter().filter_map(|task| task.started_at).max();
    let tasks = tasks_of(view, &deployment.id);
    let ends = tasks.iter().filter_map(|task| task.stopping_at.or(task.stopped_at));
    Some(ends.filter(|end| Some(*end) > last_start).min().unwrap_or(view.now()))
}

/// A step of ours bakes once its tasks are healthy and have their traffic. CodeDeploy makes a task set of its own PRIMARY
/// when it has given it all traffic.
fn had_all(view: &View<'_>, deployment: &str, phase: RolloutPhase) -> bool {
    let shifting = view.service_deployment(deployment).filter(|one| one.shifts());
    matches!(phase, RolloutPhase::Baking | RolloutPhase::Keeping)
        || shifting.is_some_and(|one| SCALED_UP.contains(&one.stage()))
        || set_of_code_deploy(view, deployment).is_some_and(TaskSet::is_primary)
}

fn set_of_code_deploy<'a>(view: &View<'a>, id: &str) -> Option<&'a TaskSet> {
    let sets = &view.service.task_sets;
    sets.iter().find(|set| set.id() == id && set.is_made_by_code_deploy())
}
