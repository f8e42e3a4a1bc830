//! What was written last of what a look at a service shows by itself; never says what to do about a look that lacks it.

use evenkeel_planner::{Call, ObservedService};
use tokio::time::Instant;

use crate::unconfirmed::is_fresh;

/// Of each kind the calls of the last pass that made one, and when that was.
#[derive(Clone, Debug, Default)]
pub(crate) struct Told {
    tags: Option<(Vec<Call>, Instant)>,
    /// A look from before a task set is one in which it is gone: so tags must show, too.
    task_sets: Option<(Vec<Call>, Instant)>,
    deletion: Option<(Vec<Call>, Instant)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Tags,
    TaskSets,
    Deletion,
}

impl Told {
    /// After these calls. What `service` lacks of what was written before them was undone by somebody.
    pub(crate) fn after(&self, calls: &[Call], service: Option<&ObservedService>) -> Self {
        if calls.iter().any(|call| matches!(call, Call::CreateService { .. })) {
            return Self::default();
        }
        let next = |before: &Option<(Vec<Call>, Instant)>, of: Kind| {
            let now = calls.iter().filter(|call| kind(call) == Some(of)).cloned();
            let now: Vec<Call> = now.collect();
            let is_shown = |calls: &[Call]| {
                service.is_none_or(|service| calls.iter().all(|call| shows(service, call)))
            };
            let stands =
                |(calls, made_at): &(Vec<Call>, Instant)| is_fresh(*made_at) && is_shown(calls);
            let before = before.clone().filter(stands);
            (!now.is_empty()).then(|| (now, Instant::now())).or(before)
        };
        Self {
            tags: next(&self.tags, Kind::Tags),
            task_sets: next(&self.task_sets, Kind::TaskSets),
            deletion: next(&self.deletion, Kind::Deletion),
        }
    }

    /// One of the calls that `service` does not show although it must.
    pub(crate) fn missing_in(&self, service: &ObservedService) -> Option<&Call> {
        let fresh = self.all().filter(|(_, made_at)| is_fresh(*made_at));
        fresh.flat_map(|(calls, _)| calls).find(|call| !shows(service, call))
    }

    /// When the last one was made.
    pub(crate) fn made_at(&self) -> Option<Instant> {
        self.all().map(|(_, made_at)| *made_at).max()
    }

    fn all(&self) -> impl Iterator<Item = &(Vec<Call>, Instant)> {
        [&self.deletion, &self.task_sets, &self.tags].into_iter().flatten()
    }
}

/// Whether a look shows by itself what a call wrote. What other calls wrote shows in the version.
pub(crate) fn is_told(call: &Call) -> bool {
    kind(call).is_some()
}

fn kind(call: &Call) -> Option<Kind> {
    match call {
        Call::TagResource { .. } | Call::UntagResource { .. } => Some(Kind::Tags),
        Call::CreateTaskSet { .. }
        | Call::UpdateTaskSet { .. }
        | Call::UpdateServicePrimaryTaskSet { .. }
        | Call::DeleteTaskSet { .. } => Some(Kind::TaskSets),
        Call::DeleteService { .. } => Some(Kind::Deletion),
        // A rule is read once more before it is written.
        // CodeDeploy's deployments are looked at before each of its calls.
        Call::CreateDeployment { .. }
        | Call::StopDeployment { .. }
        | Call::ContinueDeployment { .. }
        | Call::ModifyRule { .. }
        | Call::ModifyListener { .. }
        | Call::RegisterTaskDefinition { .. }
        | Call::CreateService { .. }
        | Call::UpdateService { .. }
        | Call::StopServiceDeployment { .. }
        | Call::ContinueServiceDeployment { .. } => None,
    }
}

fn shows(service: &ObservedService, call: &Call) -> bool {
    match call {
        Call::TagResource { tags, .. } => {
            tags.iter().all(|(key, value)| service.tags.get(key) == Some(value))
        }
        Call::UntagResource { keys, .. } => keys.iter().all(|key| !service.tags.contains_key(key)),
        Call::DeleteService { .. } => service.status != "ACTIVE",
        other => service.shows_its_task_sets_after(other),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;

    fn tag(value: &str) -> Call {
        let tags = BTreeMap::from([("a".to_owned(), value.to_owned())]);
        Call::TagResource { arn: "arn".to_owned(), tags }
    }

    fn look(tag: &str, task_sets: &[(&str, f64)]) -> ObservedService {
        let task_set = |(id, scale): &(&str, f64)| {
            json!({
                "id": id, "status": "ACTIVE", "taskDefinition": "web:2",
                "scale": {"value": scale, "unit": "PERCENT"},
            })
        };
        let task_sets: Vec<_> = task_sets.iter().map(task_set).collect();
        let service = json!({
            "serviceArn": "arn", "status": "ACTIVE", "taskSets": task_sets,
            "tags": [{"key": "a", "value": tag}],
        });
        ObservedService::read(&service).expect("it has what ECS always sends")
    }

    fn misses(told: &Told, service: &ObservedService) -> Option<&'static str> {
        told.missing_in(service).map(Call::operation)
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_from_before_a_task_set_lacks_the_tags_that_were_written_since() {
        let scale = json!({"taskSet": "ecs-svc/2", "scale": {"value": 50.0, "unit": "PERCENT"}});
        let told = Told::default().after(&[tag("2")], None);
        let told = told.after(&[Call::UpdateTaskSet { input: scale }], None);
        assert_eq!(misses(&told, &look("1", &[])), Some("TagResource"));
        assert_eq!(misses(&told, &look("2", &[("ecs-svc/2", 10.0)])), Some("UpdateTaskSet"));
        assert_eq!(misses(&told, &look("2", &[("ecs-svc/2", 50.0)])), None);
    }

    #[tokio::test(start_paused = true)]
    async fn only_the_last_pass_that_wrote_tags_counts_and_all_of_it() {
        let removes = Call::UntagResource { arn: "arn".to_owned(), keys: vec!["b".to_owned()] };
        let told = Told::default().after(&[tag("1"), removes], None).after(&[tag("2")], None);
        assert_eq!(misses(&told, &look("2", &[])), None);
        let removes = Call::UntagResource { arn: "arn".to_owned(), keys: vec!["a".to_owned()] };
        let told = Told::default().after(&[removes, tag("2")], None);
        assert_eq!(misses(&told, &look("2", &[])), Some("UntagResource"));
    }

    #[tokio::test(start_paused = true)]
    async fn what_somebody_undid_is_not_asked_for_again() {
        let told = Told::default().after(&[tag("2")], None).after(&[], Some(&look("1", &[])));
        assert_eq!((misses(&told, &look("1", &[])), told.made_at()), (None, None));
    }
}
