//! The traffic of a service at rest, all of which is the PRIMARY task set's; never fights over it, and never writes a rule
//! that names what is not the service's.

use std::collections::BTreeMap;

use evenkeel_manifest::Percent;
use jiff::{SignedDuration, Timestamp};

use super::sets::Sets;
use super::traffic::Traffic;
use crate::breaker::healthy_tasks;
use crate::steps::settled::REASSERT_EVERY;
use crate::steps::{unknown, word};
use crate::tags::{encode_time, tag};
use crate::view::{View, explain};
use crate::{Action, Call, Depth, Fact, Lane, Plan, TaskSet, Unknown, Wait, WaitReason};

/// The note comes before the call, which may fail and is made again for so long.
const PUT_BACK_WITHIN: SignedDuration = SignedDuration::from_mins(2);

/// Whether somebody else may have given production traffic to another group; not what was not seen.
pub(super) fn is_astray(view: &View<'_>, sets: &Sets<'_>) -> bool {
    astray(view, sets).is_some()
}

/// The plan that gives the PRIMARY task set all production traffic again, or why it is left as it is; `None` when it has
/// all.
pub(super) fn put_back(view: &View<'_>, sets: &Sets<'_>) -> Option<Result<Plan, Wait>> {
    if let Fact::Unknown(why @ Unknown::Denied { .. }) = &view.observed().load_balancing {
        return Some(Err(unseen(why)));
    }
    let (set, traffic) = astray(view, sets)?;
    if view.observed().depth != Depth::Deep {
        return Some(Ok(unknown("traffic went astray: it is put back from a deep look only")));
    }
    let left = |why: String| Wait::new(WaitReason::ForeignDeployment, why);
    let traffic = match traffic {
        Ok(traffic) => traffic,
        Err(why) => return Some(Err(left(format!("{why}: traffic is left as it is")))),
    };
    let group = set.target_group()?;
    let at = format!(
        "{} has {} of production traffic, and it should have all",
        set.id(),
        tenths(traffic.production_share(group))
    );
    if let Some(wait) = word::paused_by_a_person(view, &at) {
        return Some(Err(wait));
    }
    if !is_healthy(view, set) {
        return Some(Err(left(format!("{at}; it is put back when all its tasks are healthy"))));
    }
    let write = traffic.shift(group, Percent::ALL, Lane::NewChange);
    let actions = match view.memory.reweighed {
        Some(at) if view.now().duration_since(at).abs() <= PUT_BACK_WITHIN => vec![write],
        Some(last) if view.now() < next(last) => {
            let wait = left(format!("{at}; it is put back once an hour at most"));
            return Some(Err(wait.until(Some(next(last)))));
        }
        _ => vec![note(view, Lane::NewChange), write],
    };
    Some(Ok(Plan::acting(actions, Vec::new())))
}

/// The PRIMARY task set, and the rule that does not give it all; or why that rule is not for us to write.
fn astray<'a>(
    view: &View<'a>,
    sets: &Sets<'a>,
) -> Option<(&'a TaskSet, Result<Traffic<'a>, String>)> {
    if view.observed().load_balancing.unknown().is_some() {
        return None;
    }
    let set = sets.primary?;
    let group = set.target_group()?;
    let traffic = Traffic::of_production(view);
    let has_all = traffic.as_ref().is_ok_and(|traffic| traffic.production_share(group) == 1000);
    (!has_all).then_some((set, traffic))
}

fn unseen(why: &Unknown) -> Wait {
    let sentence = format!(
        "whether somebody else moves traffic is not seen: {}; grant elasticloadbalancing:DescribeRules",
        explain(why)
    );
    Wait::new(WaitReason::NotPermitted, sentence)
}

fn tenths(share: u64) -> String {
    format!("{}.{}%", share / 10, share % 10)
}

/// Traffic that goes elsewhere may be somebody's rescue from tasks that fail.
fn is_healthy(view: &View<'_>, set: &TaskSet) -> bool {
    let wanted = usize::try_from(set.deployment.desired_count).unwrap_or(usize::MAX);
    wanted > 0 && healthy_tasks(view, set.id()).is_some_and(|healthy| healthy.len() >= wanted)
}

fn next(last: Timestamp) -> Timestamp {
    last.checked_add(REASSERT_EVERY).unwrap_or(Timestamp::MAX)
}

/// At rest written first, so that whoever changes the rule again is not fought.
pub(super) fn note(view: &View<'_>, lane: Lane) -> Action {
    let tags = BTreeMap::from([(tag::REWEIGHED.to_owned(), encode_time(view.now()))]);
    let call = Call::TagResource { arn: view.service.service_arn.clone(), tags };
    let why = "notes that the weights are put back".to_owned();
    Action { call, lane, why }
}
