//! The calls that succeeded and whose effect no look has shown yet, and what else a pass leaves for the next;
//! never makes or repeats one.

use std::time::Duration;

use evenkeel_planner::{
    Action, Applied, Call, DriftMemory, Lane, Observed, ObservedService, Plan, Task, Version, Wait,
    WaitReason,
};
use tokio::time::Instant;

use crate::footing::Footing;
use crate::told::{Told, is_told};
use crate::{CloudError, PassReport};

/// ECS's reads follow its writes after a while ("eventual consistency",
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RunTask.html>): usually seconds.
/// A look older than the last write plans the same call again, and a task definition would be
/// registered twice. After this time the call is taken to have had no effect.
const REPEATED_AFTER: Duration = Duration::from_mins(1);

/// The longest that answers are from the past, five minutes and a little. A look that still contradicts what is known after that
/// time is the truth: somebody else undid it.
const LAG_MAX: Duration = Duration::from_mins(6);

/// How soon to look again for the effect of a call.
const LOOK_AGAIN_MIN: Duration = Duration::from_secs(2);
const LOOK_AGAIN_MAX: Duration = Duration::from_secs(10);

/// The calls of the last pass that wrote to a service, until a look shows their effect, and how new the
/// newest answer about it was.
#[derive(Clone, Debug, Default)]
pub(crate) struct Unconfirmed {
    calls: Vec<Call>,
    made_at: Option<Instant>,
    /// An answer without it is from before it, also where one before had it.
    told: Told,
    /// The newest version that an answer had, and when it was last heard of.
    newest: Option<(Version, Instant)>,
    footing: Footing,
    /// What is remembered of fields that somebody else changes.
    pub(crate) drift: DriftMemory,
}

impl Unconfirmed {
    /// What is known after the pass behind `report`, which saw `service`.
    pub(crate) fn after(&self, report: &PassReport, service: Option<&ObservedService>) -> Self {
        let PassReport { plan, applied, error, .. } = report;
        let mut known = self.after_calls(plan, applied, error.as_ref(), service);
        // Every other call can be made twice without harm, and may be urgent.
        let is_registration = |call: &&Call| matches!(call, Call::RegisterTaskDefinition { .. });
        let lost = lost(plan, applied, error.as_ref()).filter(is_registration);
        known.calls.extend(lost.cloned());
        known.made_at = (!known.calls.is_empty()).then(Instant::now);
        known
    }

    /// The same with what is remembered of drift.
    pub(crate) fn with(self, drift: DriftMemory) -> Self {
        Self { drift, ..self }
    }

    /// The same after a look that showed these tasks, if it was to show any.
    pub(crate) fn having_seen(mut self, tasks: Option<&[Task]>) -> Self {
        self.footing = self.footing.having_seen(tasks);
        self
    }

    /// What is known after the calls of a command, which are not the whole of a pass: what was made before
    /// may not show yet either.
    pub(crate) fn after_calls(
        &self,
        plan: &Plan,
        applied: &[Applied],
        error: Option<&CloudError>,
        service: Option<&ObservedService>,
    ) -> Self {
        let made = plan.actions.iter().take(applied.len()).map(|action| action.call.clone());
        let calls: Vec<Call> = made.collect();
        let made_at = (!calls.is_empty()).then(Instant::now);
        let newest = self.newest_after(applied, service);
        let lost = lost(plan, applied, error);
        let told = match lost {
            // What a look shows after it is open.
            Some(call) if is_told(call) => Told::default(),
            _ => self.told.after(&calls, service),
        };
        let footing = self.footing.after(&calls, lost);
        Self { calls, made_at, told, newest, footing, drift: self.drift.clone() }
    }

    /// Another replica looks after the service now, and writes what it will.
    pub(crate) fn leave_to_another(&mut self) {
        *self = Self { newest: self.newest, drift: self.drift.clone(), ..Self::default() };
    }

    fn newest_after(
        &self,
        applied: &[Applied],
        service: Option<&ObservedService>,
    ) -> Option<(Version, Instant)> {
        let told = applied.iter().filter_map(|one| match one {
            Applied::Service { version, .. } => *version,
            Applied::TaskDefinition { .. } | Applied::Done => None,
        });
        let shown = service.and_then(ObservedService::version);
        let heard = told.chain(shown).max().map(|version| (version, Instant::now()));
        let is_back = |before| service.is_some_and(|one| one.has_turned_back_from(before));
        match (self.newest, heard) {
            (Some(before), Some(heard))
                if before.0 > heard.0 && is_fresh(before.1) && !is_back(before.0) =>
            {
                Some(before)
            }
            (before, heard) => heard.or(before),
        }
    }

    /// If the look behind `plan` was from the past, empties the plan and lets it wait. Says whether it
    /// did. The look is from the past when it is older than another answer, when it lacks what was
    /// written, or when `plan` repeats a call that was just made; but a rollback that was not made yet is
    /// not held up because of a repetition.
    pub(crate) fn hold(&self, plan: &mut Plan, service: Option<&ObservedService>) -> bool {
        let why = service
            .and_then(|service| self.contradicted_by(service))
            .or_else(|| self.repeated_by(plan));
        let Some(sentence) = why else { return false };
        plan.waiting.push(Wait { reason: WaitReason::Unknown, sentence, until: None });
        plan.actions.clear();
        plan.look_again = self.look_again();
        true
    }

    /// As [`Self::hold`], for the steps of a rollout alone: none is taken on lists of tasks or weights of rules that may be from
    /// the past. What returns from one is not held up.
    pub(crate) fn hold_step(&self, plan: &mut Plan, observed: &Observed) -> bool {
        let is_in = |lane: Lane| plan.actions.iter().any(|action| action.lane == lane);
        if !is_in(Lane::RolloutStep) || is_in(Lane::Rollback) {
            return false;
        }
        let Some(sentence) = self.footing.missing_in(observed) else { return false };
        plan.waiting.push(Wait { reason: WaitReason::Unknown, sentence, until: None });
        plan.actions.clear();
        plan.look_again = LOOK_AGAIN_MAX;
        true
    }

    /// Less and less often, for an answer that is long in coming may never come.
    fn look_again(&self) -> Duration {
        let told_at = self.told.made_at();
        let since = self.made_at.or(told_at).or(self.newest.map(|(_, heard_at)| heard_at));
        let waited = since.map_or(Duration::ZERO, |since| since.elapsed());
        (waited / 4).clamp(LOOK_AGAIN_MIN, LOOK_AGAIN_MAX)
    }

    fn contradicted_by(&self, service: &ObservedService) -> Option<String> {
        let newest = self.newest.filter(|(_, heard_at)| is_fresh(*heard_at));
        let is_older = |newest: Version| {
            service.version().is_some_and(|shown| shown < newest)
                && !service.has_turned_back_from(newest)
        };
        if newest.is_some_and(|(newest, _)| is_older(newest)) {
            return Some(
                "AWS's answer is older than one before it; waits for a newer one".to_owned(),
            );
        }
        let missing = self.told.missing_in(service)?;
        let is_newest = |(newest, _): (Version, Instant)| service.version() > Some(newest);
        if self.calls.is_empty() && self.newest.is_some_and(is_newest) {
            return None;
        }
        let (operation, again) =
            (missing.operation(), if self.calls.is_empty() { "any more" } else { "yet" });
        Some(format!("AWS does not show the effect of the last {operation} {again}"))
    }

    fn repeated_by(&self, plan: &Plan) -> Option<String> {
        let until = self.made_at? + REPEATED_AFTER;
        if Instant::now() >= until {
            return None;
        }
        let was_made = |action: &&Action| self.calls.iter().any(|call| same(call, &action.call));
        let is_new_rollback = |action: &Action| action.lane == Lane::Rollback && !was_made(&action);
        if plan.actions.iter().any(is_new_rollback) {
            return None;
        }
        let operation = plan.actions.iter().find(was_made)?.call.operation();
        let seconds = until.saturating_duration_since(Instant::now()).as_secs();
        Some(format!(
            "AWS does not show the effect of the last {operation} yet; it is made again if it still \
             does not in {seconds} s"
        ))
    }
}

/// The call of which nobody knows whether AWS carried it out.
fn lost<'a>(plan: &'a Plan, applied: &[Applied], error: Option<&CloudError>) -> Option<&'a Call> {
    let is_lost = matches!(error, Some(CloudError::UnknownOutcome { .. }));
    is_lost.then(|| plan.actions.get(applied.len()))?.map(|action| &action.call)
}

/// Whether an answer may still be older than what was known then.
pub(crate) fn is_fresh(heard_at: Instant) -> bool {
    heard_at.elapsed() < LAG_MAX
}

/// A service is created once, whatever times its tags tell.
fn same(one: &Call, other: &Call) -> bool {
    one == other || matches!((one, other), (Call::CreateService { .. }, Call::CreateService { .. }))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use evenkeel_planner::Outcome;

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
        let unconfirmed = Unconfirmed::default().after(&report(&[register()], 1, None).await, None);
        let mut plan = planned(&[register()]);
        assert!(unconfirmed.hold(&mut plan, None));
        assert_eq!((plan.actions.len(), plan.waiting.len()), (0, 1));
        assert_eq!(plan.look_again, LOOK_AGAIN_MIN);
        tokio::time::advance(REPEATED_AFTER.mul_f64(0.9)).await;
        let mut plan = planned(&[register()]);
        assert!(unconfirmed.hold(&mut plan, None));
        assert_eq!(plan.look_again, LOOK_AGAIN_MAX);
        tokio::time::advance(REPEATED_AFTER.mul_f64(0.1)).await;
        let mut plan = planned(&[register()]);
        assert!(!unconfirmed.hold(&mut plan, None));
        assert_eq!(plan, planned(&[register()]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_plan_with_other_calls_goes_on() {
        let unconfirmed = Unconfirmed::default().after(&report(&[register()], 1, None).await, None);
        assert!(!unconfirmed.hold(&mut planned(&[update("web:2", Lane::NewChange)]), None));
        assert!(!unconfirmed.hold(&mut planned(&[]), None));
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_was_not_made_may_be_made() {
        let actions = [register(), update("web:2", Lane::NewChange)];
        let unconfirmed = Unconfirmed::default().after(&report(&actions, 1, None).await, None);
        assert!(!unconfirmed.hold(&mut planned(&[update("web:2", Lane::NewChange)]), None));
        assert!(unconfirmed.hold(&mut planned(&[register()]), None));
    }

    #[tokio::test(start_paused = true)]
    async fn a_rollback_that_was_not_made_yet_is_not_held_up_by_what_was() {
        let tag = update("tag", Lane::Rollback);
        let unconfirmed =
            Unconfirmed::default().after(&report(std::slice::from_ref(&tag), 1, None).await, None);
        let rollback = update("web:1", Lane::Rollback);
        assert!(!unconfirmed.hold(&mut planned(&[tag.clone(), rollback]), None));
        assert!(unconfirmed.hold(&mut planned(&[tag]), None));
    }

    #[tokio::test(start_paused = true)]
    async fn of_calls_with_unknown_outcome_only_a_registration_waits() {
        let lost = report(&[register()], 0, Some(unknown_outcome())).await;
        assert!(Unconfirmed::default().after(&lost, None).hold(&mut planned(&[register()]), None));
        let update = [update("web:2", Lane::NewChange)];
        let lost = report(&update, 0, Some(unknown_outcome())).await;
        assert!(!Unconfirmed::default().after(&lost, None).hold(&mut planned(&update), None));
    }

    /// A look at the service, with one tag, whose PRIMARY deployment is that many seconds old.
    fn look(tag: &str, updated_at: u32) -> ObservedService {
        let deployment = serde_json::json!({
            "id": "ecs-svc/1", "status": "PRIMARY", "createdAt": 1_000, "updatedAt": updated_at,
        });
        let service = serde_json::json!({
            "serviceArn": "arn", "status": "ACTIVE", "deployments": [deployment],
            "tags": [{"key": "a", "value": tag}],
        });
        ObservedService::read(&service).expect("it has what ECS always sends")
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_is_older_than_one_before_it_leads_to_no_write_for_minutes() {
        let seen = report(&[], 0, None).await;
        let known = Unconfirmed::default().after(&seen, Some(&look("1", 1_060)));
        let plan = || planned(&[update("web:1", Lane::Rollback)]);
        assert!(known.hold(&mut plan(), Some(&look("1", 1_030))));
        assert!(!known.hold(&mut plan(), Some(&look("1", 1_060))));
        tokio::time::advance(LAG_MAX).await;
        assert!(!known.hold(&mut plan(), Some(&look("1", 1_030))));
    }

    #[tokio::test(start_paused = true)]
    async fn the_reply_of_an_update_says_how_new_the_next_look_must_be() {
        let mut made = report(&[update("web:2", Lane::NewChange)], 1, None).await;
        let (deployment, version) = (None, look("1", 1_060).version());
        made.applied = vec![Applied::Service { deployment, version }];
        let known = Unconfirmed::default().after(&made, Some(&look("1", 1_000)));
        assert!(known.hold(&mut planned(&[]), Some(&look("1", 1_000))));
        assert!(!known.hold(&mut planned(&[]), Some(&look("1", 1_060))));
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_that_lacks_the_tag_just_written_is_from_the_past() {
        let tags = BTreeMap::from([("a".to_owned(), "2".to_owned())]);
        let call = Call::TagResource { arn: "arn".to_owned(), tags };
        let action = Action { call, lane: Lane::RolloutStep, why: String::new() };
        let known = Unconfirmed::default().after(&report(&[action], 1, None).await, None);
        let other = || planned(&[update("web:2", Lane::NewChange)]);
        assert!(known.hold(&mut other(), Some(&look("1", 1_000))));
        assert!(!known.hold(&mut other(), Some(&look("2", 1_000))));
    }

    fn tag(value: &str) -> Action {
        let tags = BTreeMap::from([("a".to_owned(), value.to_owned())]);
        let call = Call::TagResource { arn: "arn".to_owned(), tags };
        Action { call, lane: Lane::RolloutStep, why: String::new() }
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_that_lacks_a_tag_that_one_before_it_had_is_from_the_past_for_minutes_after_it_was_written()
     {
        let nothing = report(&[], 0, None).await;
        let written = Unconfirmed::default().after(&report(&[tag("2")], 1, None).await, None);
        let shown = written.after(&nothing, Some(&look("2", 1_000)));
        let holds = |known: &Unconfirmed, look: &ObservedService| {
            known.hold(&mut planned(&[update("web:2", Lane::NewChange)]), Some(look))
        };
        assert!(holds(&shown, &look("1", 1_000)));
        assert!(!holds(&shown, &look("2", 1_000)));
        assert!(!holds(&shown, &look("1", 1_001)), "newer than all before: somebody wrote it");
        let left = shown.after(&nothing, Some(&look("1", 1_001)));
        assert!(!holds(&left, &look("1", 1_001)), "that is remembered");
        tokio::time::advance(LAG_MAX).await;
        assert!(!holds(&shown, &look("1", 1_000)), "by now it is the truth");
    }

    #[tokio::test(start_paused = true)]
    async fn what_another_replica_or_a_lost_call_may_have_written_is_no_look_from_the_past() {
        let written = Unconfirmed::default().after(&report(&[tag("2")], 1, None).await, None);
        let lost = written.after(&report(&[tag("3")], 0, Some(unknown_outcome())).await, None);
        let mut left = written.clone();
        left.leave_to_another();
        for known in [lost, left] {
            assert!(!known.hold(&mut planned(&[]), Some(&look("3", 1_000))));
        }
        assert!(written.hold(&mut planned(&[]), Some(&look("3", 1_000))));
    }

    #[tokio::test(start_paused = true)]
    async fn a_service_that_is_created_anew_is_not_taken_for_the_one_that_was_deleted() {
        let action = |call: Call| Action { call, lane: Lane::NewChange, why: String::new() };
        let delete = action(Call::DeleteService { input: serde_json::json!({}) });
        let create = action(Call::CreateService { input: serde_json::json!({}) });
        let ran = Unconfirmed::default().having_seen(Some(&[task("1", "RUNNING")]));
        let deleted = ran.after(&report(&[delete], 1, None).await, None);
        assert!(deleted.hold(&mut planned(&[]), Some(&look("1", 1_000))));
        let anew = deleted.after(&report(&[create], 1, None).await, None);
        assert!(!anew.hold(&mut planned(&[]), Some(&look("1", 1_000))));
        assert!(!anew.hold_step(&mut planned(&[tag("2")]), &listed(&[])));
        assert!(deleted.hold_step(&mut planned(&[tag("2")]), &listed(&[])));
    }

    fn task(arn: &str, desired_status: &str) -> Task {
        let task = serde_json::json!({"taskArn": arn, "desiredStatus": desired_status});
        Task::read(&task).expect("it has what ECS always sends")
    }

    fn listed(tasks: &[Task]) -> Observed {
        let tasks = evenkeel_planner::Fact::Known(tasks.to_vec());
        let at = jiff::Timestamp::UNIX_EPOCH;
        Observed { tasks, ..Observed::unasked(at, evenkeel_planner::Depth::Deep) }
    }

    #[tokio::test(start_paused = true)]
    async fn a_step_waits_for_a_task_that_is_listed_nowhere_and_a_return_does_not() {
        let known = Unconfirmed::default().having_seen(Some(&[task("1", "RUNNING")]));
        for (lane, waits) in [(Lane::RolloutStep, true), (Lane::Rollback, false)] {
            let mut plan = planned(&[Action { lane, ..tag("2") }]);
            assert_eq!(known.hold_step(&mut plan, &listed(&[])), waits, "{lane:?}");
            assert_eq!((plan.actions.is_empty(), plan.waiting.len()), (waits, usize::from(waits)));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_that_still_has_the_tag_just_removed_is_from_the_past() {
        let remove = |key: &str| {
            let call = Call::UntagResource { arn: "arn".to_owned(), keys: vec![key.to_owned()] };
            Action { call, lane: Lane::RolloutStep, why: String::new() }
        };
        for (key, is_past) in [("a", true), ("b", false)] {
            let made = report(&[remove(key)], 1, None).await;
            let known = Unconfirmed::default().after(&made, None);
            let mut other = planned(&[update("web:2", Lane::NewChange)]);
            assert_eq!(known.hold(&mut other, Some(&look("1", 1_000))), is_past, "{key}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_from_the_past_does_not_make_a_newer_one_forgotten_and_a_newer_one_counts() {
        let seen = report(&[], 0, None).await;
        let first = Unconfirmed::default().after(&seen, Some(&look("1", 1_060)));
        let is_past = |known: &Unconfirmed, updated_at| {
            known.hold(
                &mut planned(&[update("web:1", Lane::NewChange)]),
                Some(&look("1", updated_at)),
            )
        };
        let older = first.after(&seen, Some(&look("1", 1_030)));
        assert_eq!([1_030, 1_060].map(|at| is_past(&older, at)), [true, false]);
        let newer = first.after(&seen, Some(&look("1", 1_090)));
        assert_eq!([1_060, 1_090].map(|at| is_past(&newer, at)), [true, false]);
        let unseen = first.after(&seen, None);
        assert_eq!([1_030, 1_060].map(|at| is_past(&unseen, at)), [true, false]);
        tokio::time::advance(LAG_MAX).await;
        let truth = first.after(&seen, Some(&look("1", 1_030)));
        assert_eq!([1_000, 1_030].map(|at| is_past(&truth, at)), [true, false]);
    }

    /// The same with a PRIMARY deployment that was created then, and another one.
    fn beside(primary: u32, other: Option<u32>) -> ObservedService {
        let deployment = |status: &str, created: u32| {
            serde_json::json!({
                "id": format!("ecs-svc/{created}"), "status": status, "createdAt": created,
            })
        };
        let others = other.map(|created| deployment("ACTIVE", created));
        let deployments: Vec<serde_json::Value> =
            [deployment("PRIMARY", primary)].into_iter().chain(others).collect();
        let service = serde_json::json!({
            "serviceArn": "arn", "status": "ACTIVE", "deployments": deployments,
        });
        ObservedService::read(&service).expect("it has what ECS always sends")
    }

    #[tokio::test(start_paused = true)]
    async fn traffic_that_went_back_to_an_older_deployment_is_no_answer_from_the_past() {
        let seen = report(&[], 0, None).await;
        let first = Unconfirmed::default().after(&seen, Some(&beside(2_000, Some(1_000))));
        let holds = |known: &Unconfirmed, look: &ObservedService| {
            known.hold(&mut planned(&[update("web:1", Lane::NewChange)]), Some(look))
        };
        assert!(holds(&first, &beside(1_000, None)), "from before the newer one began");
        assert!(!holds(&first, &beside(1_000, Some(2_000))));
        let back = first.after(&seen, Some(&beside(1_000, Some(2_000))));
        assert!(!holds(&back, &beside(1_000, None)), "what it was taken from is gone by now");
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_remembered_since_it_was_last_heard() {
        let seen = report(&[], 0, None).await;
        let first = Unconfirmed::default().after(&seen, Some(&look("1", 1_060)));
        tokio::time::advance(LAG_MAX.mul_f64(0.9)).await;
        let again = first.after(&seen, Some(&look("1", 1_060)));
        tokio::time::advance(LAG_MAX.mul_f64(0.9)).await;
        assert!(again.hold(&mut planned(&[]), Some(&look("1", 1_030))));
    }

    #[tokio::test(start_paused = true)]
    async fn an_effect_that_is_not_shown_is_looked_for_less_and_less_often() {
        let unconfirmed = Unconfirmed::default().after(&report(&[register()], 1, None).await, None);
        for (waited, look_again) in [(4, 2), (16, 5), (16, 9), (16, 10)] {
            tokio::time::advance(Duration::from_secs(waited)).await;
            let mut plan = planned(&[register()]);
            assert!(unconfirmed.hold(&mut plan, None));
            assert_eq!(plan.look_again.as_secs(), look_again);
        }
    }
}
