//! The return to a revision of which no task set stands any more: one is made anew, and gets traffic when all its tasks
//! are healthy; never before.

use super::back;
use super::create::{MOST, NewSet};
use super::forward::{incomplete, judged_since};
use super::sets::Sets;
use super::traffic::Traffic;
use crate::breaker::judge;
use crate::plan::IN_FLIGHT;
use crate::steps::rollback::held;
use crate::steps::rollout::forget_rollout;
use crate::steps::{deregistered, stand_still, unknown, unseen_tasks};
use crate::tags::RolloutMark;
use crate::view::View;
use crate::{Lane, Plan, RolloutPhase, TaskSet, VerdictKind, Wait, WaitReason};

/// The next step of the return from the PRIMARY task set.
pub(super) fn step(view: &View<'_>, sets: &Sets<'_>, mark: &RolloutMark, bad: &TaskSet) -> Plan {
    let is_wanted = mark.digest == view.desired.revision_digest;
    match sets.beside().last() {
        None if is_wanted => make(view, sets, bad),
        None => give_up(view, mark),
        Some(stable) if is_made_for_it(bad, stable) => follow(view, sets, mark, bad, stable),
        Some(_) => back::withdraw(view, sets, bad, Lane::Rollback),
    }
}

/// What served before is older.
fn is_made_for_it(bad: &TaskSet, stable: &TaskSet) -> bool {
    stable.deployment.created_at > bad.deployment.created_at
}

/// What was proven, with what else the manifest wants of a task set.
fn make(view: &View<'_>, sets: &Sets<'_>, bad: &TaskSet) -> Plan {
    let proven = view.memory.proven.as_deref();
    let Some(proven) = proven.filter(|arn| arn.contains(":task-definition/")) else {
        return held(format!("{} is to be left, and there is nothing to return to", bad.id()));
    };
    let Some(definition) = deregistered::usable(view, proven) else {
        return deregistered::register_again(view.observed(), proven);
    };
    if has_the_content_of(view, bad, definition) {
        return held(format!(
            "{} has the content of the proven revision, and was rejected",
            bad.id()
        ));
    }
    if sets.is_draining || sets.count >= MOST {
        let wait =
            Wait::new(WaitReason::Draining, "the return begins when no other task set drains");
        return Plan::waiting(vec![wait], IN_FLIGHT);
    }
    let traffic = match Traffic::of_return(view) {
        Ok(traffic) => traffic,
        Err(why) => return unknown(format!("{why}: how to leave {} is not known", bad.id())),
    };
    let group = traffic.group_beside(Some(bad));
    if traffic.production_share(group) > 0 {
        let sentence =
            format!("{group} gets production traffic already: somebody else changed its rule");
        return stand_still(WaitReason::ForeignDeployment, sentence);
    }
    let set =
        NewSet { desired: view.desired, service: view.service, group: Some(group), scale: 100.0 };
    let mut create = set.create(definition);
    create.lane = Lane::Rollback;
    create.why += ", to return to it";
    Plan::acting(vec![create], Vec::new())
}

fn has_the_content_of(view: &View<'_>, bad: &TaskSet, definition: &str) -> bool {
    let now = &bad.deployment.task_definition;
    let digest = |arn: &str| view.definition(arn).map(|one| &one.digest);
    now == definition || (digest(now).is_some() && digest(now) == digest(definition))
}

/// The task set that was made for the return stands.
fn follow(
    view: &View<'_>,
    sets: &Sets<'_>,
    mark: &RolloutMark,
    bad: &TaskSet,
    stable: &TaskSet,
) -> Plan {
    let traffic = match Traffic::of_return(view) {
        Ok(traffic) => traffic,
        Err(why) => return unknown(format!("{why}: how to leave {} is not known", bad.id())),
    };
    let share = stable.target_group().map_or(0, |group| traffic.production_share(group));
    let is_given = back::is_given_back(view, bad);
    if share == 0 && !is_given && mark.digest != view.desired.revision_digest {
        return give_up(view, mark);
    }
    let is_moved = share == 1000 && is_given;
    let waits = if is_moved { None } else { unready(view, stable) };
    waits.unwrap_or_else(|| back::withdraw(view, sets, bad, Lane::Rollback))
}

/// What keeps traffic from the task set that is returned to. An alarm does not: what is left may have set it off.
fn unready(view: &View<'_>, stable: &TaskSet) -> Option<Plan> {
    let view = &View::of_task_set(view.input, view.desired, view.service, stable);
    if let Some(sentence) = unseen_tasks(view) {
        return Some(unknown(format!("{sentence}; no traffic is moved")));
    }
    let since = judged_since(view, stable);
    let judgement = judge(view, stable.id(), RolloutPhase::RollingBack, since);
    let against = judgement.against.as_ref().filter(|(kind, _)| *kind != VerdictKind::Alarm);
    if let Some((_, sentence)) = against {
        let id = stable.id();
        return Some(held(format!("the return by {id} fails: {sentence}; a person decides")));
    }
    let sentence = incomplete(stable, &judgement)?;
    let wait = Wait::new(WaitReason::Rollback, sentence).until(judgement.deadline);
    Some(Plan::waiting(vec![wait], IN_FLIGHT))
}

/// New content takes the place of a return that no user has felt yet.
fn give_up(view: &View<'_>, mark: &RolloutMark) -> Plan {
    let why = format!("forgets the return from {}: the manifest wants something else", mark.digest);
    Plan::acting(vec![forget_rollout(view, why)], Vec::new())
}
