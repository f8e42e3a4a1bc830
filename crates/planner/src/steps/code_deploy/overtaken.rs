//! A deployment of CodeDeploy's whose content the manifest wants no more, while what it wants may not start; never tells it to go on.

use super::follow::{judged, made_by};
use crate::steps::rollout::{against, still};
use crate::steps::start::kept_back;
use crate::steps::{alarms, unhealthy, unknown, unseen_tasks};
use crate::tags::RolloutMark;
use crate::view::View;
use crate::{CodeDeployDeployment, Plan, TaskSet, Wait, WaitReason};

/// It is judged until newer content may start, or it has succeeded and nothing speaks against it. `None` then, and where that content
/// was itself rejected, for there is room for one verdict.
pub(super) fn step(
    view: &View<'_>,
    mark: &RolloutMark,
    deployment: &CodeDeployDeployment,
) -> Option<Plan> {
    let is_rejected = |digest| view.memory.rejects(digest);
    let has_room = !is_rejected(&view.desired.revision_digest) && !is_rejected(&mark.digest);
    mark.id().filter(|_| has_room && is_in_charge(view, deployment))?;
    let held = kept_back(view)?;
    let judgement = judged(view, mark, deployment);
    if let Some((kind, sentence)) = judgement.against.clone() {
        return Some(against(view, &judgement, kind, sentence, mark));
    }
    if let Some(sentence) = unseen_tasks(view) {
        return Some(unknown(format!("{sentence}; the rollout is left as it is")));
    }
    let wait = if deployment.is_active() {
        let (id, status) = (&deployment.deployment_id, &deployment.status);
        let sentence = format!("CodeDeploy has {id} in {status}");
        Wait::new(WaitReason::Deployment, sentence).until(judgement.deadline)
    } else {
        let green = made_by(view, deployment)?;
        unhealthy(green, &judgement).or_else(|| alarms::red(view))?
    };
    let mut plan = still(view, &judgement, wait);
    plan.waiting.extend(held.waiting);
    Some(plan)
}

/// Whether it is under way, or what it made is PRIMARY.
fn is_in_charge(view: &View<'_>, deployment: &CodeDeployDeployment) -> bool {
    let is_primary = || made_by(view, deployment).is_some_and(TaskSet::is_primary);
    deployment.is_active() || (deployment.has_succeeded() && is_primary())
}
