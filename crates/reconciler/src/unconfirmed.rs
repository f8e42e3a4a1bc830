//! The calls that succeeded and whose effect no look has shown yet; never makes or repeats one.

use std::time::Duration;

use evenkeel_planner::{Action, Call, Lane, Plan, Wait, WaitReason};
use tokio::time::Instant;

use crate::{CloudError, PassReport};

/// ECS's reads follow its writes after a while ("eventual consistency",
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RunTask.html>): usually seconds.
/// A look older than the last write plans the same call again, and a task definition would be
/// registered twice. After this time the call is taken to have had no effect.
const LAG_MAX: Duration = Duration::from_mins(1);

/// How soon to look again for the effect of a call.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// The calls of the last pass that wrote to a service. Empty as soon as a look plans anything else.
#[derive(Clone, Debug, Default)]
pub(crate) struct Unconfirmed {
    calls: Vec<Call>,
    until: Option<Instant>,
}

impl Unconfirmed {
    /// What the pass behind `report` leaves to be confirmed.
    pub(crate) fn after(report: &PassReport) -> Self {
        let made = report.applied.len();
        let mut calls: Vec<Call> =
            report.plan.actions.iter().take(made).map(|action| action.call.clone()).collect();
        if let Some(CloudError::UnknownOutcome { .. }) = &report.error {
            // Every other call can be made twice without harm, and may be urgent.
            let lost = report.plan.actions.get(made).map(|action| &action.call);
            let is_registration =
                |call: &&Call| matches!(call, Call::RegisterTaskDefinition { .. });
            calls.extend(lost.filter(is_registration).cloned());
        }
        let until = (!calls.is_empty()).then(|| Instant::now() + LAG_MAX);
        Self { calls, until }
    }

    /// If `plan` repeats a call that was just made, then the look behind it was too old: empties
    /// the plan and lets it wait. Says whether it did. A rollback that was not made yet is never
    /// held up.
    pub(crate) fn hold(&self, plan: &mut Plan) -> bool {
        let Some(until) = self.until.filter(|until| Instant::now() < *until) else { return false };
        let was_made = |action: &&Action| self.calls.iter().any(|call| same(call, &action.call));
        let is_new_rollback = |action: &Action| action.lane == Lane::Rollback && !was_made(&action);
        if plan.actions.iter().any(is_new_rollback) {
            return false;
        }
        let repeated = plan.actions.iter().find(was_made);
        let Some(operation) = repeated.map(|action| action.call.operation()) else { return false };
        let seconds = until.saturating_duration_since(Instant::now()).as_secs();
        plan.waiting.push(Wait {
            reason: WaitReason::Unknown,
            sentence: format!(
                "AWS does not show the effect of the last {operation} yet; it is made again if it \
                 still does not in {seconds} s"
            ),
            until: None,
        });
        plan.actions.clear();
        plan.look_again = LOOK_AGAIN;
        true
    }
}

/// A service is created once, whatever times its tags tell.
fn same(one: &Call, other: &Call) -> bool {
    one == other || matches!((one, other), (Call::CreateService { .. }, Call::CreateService { .. }))
}

#[cfg(test)]
mod tests {
    use evenkeel_planner::{Applied, Outcome};

    use super::*;
    use crate::testing::{ScriptedCloud, key};
    use crate::{Mode, reconcile};

    fn register() -> Action {
        let call = Call::RegisterTaskDefinition { input: serde_json::json!({"family": "web"}) };
        Action { call, lane: Lane::NewChange, why: String::new() }
    }

    fn update(task_definition: &str, lane: Lane) -> Action {
        let input = serde_json::json!({"service": "web", "taskDefinition": task_definition});
        Action { call: Call::UpdateService { input }, lane, why: String::new() }
    }

    fn planned(actions: &[Action]) -> Plan {
        let (waiting, look_again) = (Vec::new(), Duration::from_mins(5));
        Plan { actions: actions.to_vec(), waiting, verdict: None, look_again }
    }

    /// A pass that planned `actions`, made the first `made` of them and ended with `error`.
    async fn report(actions: &[Action], made: usize, error: Option<CloudError>) -> PassReport {
        let cloud = ScriptedCloud::new(Duration::ZERO);
        let base = reconcile(&cloud, &key("web"), None, "test", Mode::DryRun).await;
        let (plan, applied) = (planned(actions), vec![Applied::Done; made]);
        PassReport { plan, applied, outcome: Outcome::Done, error, ..base }
    }

    fn unknown_outcome() -> CloudError {
        let (operation, message) = ("any".to_owned(), "timed out".to_owned());
        CloudError::UnknownOutcome { operation, message }
    }

    #[tokio::test(start_paused = true)]
    async fn a_plan_that_repeats_a_call_just_made_waits_until_a_minute_has_passed() {
        let unconfirmed = Unconfirmed::after(&report(&[register()], 1, None).await);
        let mut plan = planned(&[register()]);
        assert!(unconfirmed.hold(&mut plan));
        assert_eq!((plan.actions.len(), plan.waiting.len()), (0, 1));
        tokio::time::advance(LAG_MAX).await;
        let mut plan = planned(&[register()]);
        assert!(!unconfirmed.hold(&mut plan));
        assert_eq!(plan, planned(&[register()]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_plan_with_other_calls_goes_on() {
        let unconfirmed = Unconfirmed::after(&report(&[register()], 1, None).await);
        assert!(!unconfirmed.hold(&mut planned(&[update("web:2", Lane::NewChange)])));
        assert!(!unconfirmed.hold(&mut planned(&[])));
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_was_not_made_may_be_made() {
        let actions = [register(), update("web:2", Lane::NewChange)];
        let unconfirmed = Unconfirmed::after(&report(&actions, 1, None).await);
        assert!(!unconfirmed.hold(&mut planned(&[update("web:2", Lane::NewChange)])));
        assert!(unconfirmed.hold(&mut planned(&[register()])));
    }

    #[tokio::test(start_paused = true)]
    async fn a_rollback_that_was_not_made_yet_is_not_held_up_by_what_was() {
        let tag = update("tag", Lane::Rollback);
        let unconfirmed = Unconfirmed::after(&report(std::slice::from_ref(&tag), 1, None).await);
        let rollback = update("web:1", Lane::Rollback);
        assert!(!unconfirmed.hold(&mut planned(&[tag.clone(), rollback])));
        assert!(unconfirmed.hold(&mut planned(&[tag])));
    }

    #[tokio::test(start_paused = true)]
    async fn of_calls_with_unknown_outcome_only_a_registration_waits() {
        let lost = report(&[register()], 0, Some(unknown_outcome())).await;
        assert!(Unconfirmed::after(&lost).hold(&mut planned(&[register()])));
        let update = [update("web:2", Lane::NewChange)];
        let lost = report(&update, 0, Some(unknown_outcome())).await;
        assert!(!Unconfirmed::after(&lost).hold(&mut planned(&update)));
    }
}
