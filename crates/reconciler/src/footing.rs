//! What earlier passes saw and gave, and what the next step of a rollout therefore stands on; never holds up a return.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use evenkeel_planner::{Call, Fact, LoadBalancing, Observed, Task};
use tokio::time::Instant;

use crate::unconfirmed::is_fresh;

/// Target groups with their weights.
type Weights = Vec<(String, u32)>;

#[derive(Clone, Debug, Default)]
pub(crate) struct Footing {
    /// When each task that should run was last listed, by the hash of its ARN, until it is listed as stopped.
    running: BTreeMap<u64, Instant>,
    /// The weights that were written last to each rule, and when.
    weights: BTreeMap<String, (Weights, Instant)>,
}

impl Footing {
    /// After these calls, and one of which nobody knows whether it was carried out.
    pub(crate) fn after(&self, calls: &[Call], lost: Option<&Call>) -> Self {
        // The tasks of the service before are listed with the new one no more.
        if calls.iter().any(|call| matches!(call, Call::CreateService { .. })) {
            return Self::default();
        }
        let mut weights = self.weights.clone();
        weights.retain(|_, (_, given_at)| is_fresh(*given_at));
        weights.extend(
            calls
                .iter()
                .filter_map(given)
                .map(|(rule, given)| (rule.to_owned(), (given.to_vec(), Instant::now()))),
        );
        if let Some((rule, _)) = lost.and_then(given) {
            weights.remove(rule);
        }
        Self { weights, running: self.running.clone() }
    }

    /// After a look that showed these tasks, if it was to show any.
    pub(crate) fn having_seen(mut self, tasks: Option<&[Task]>) -> Self {
        let (stopped, running): (Vec<_>, Vec<_>) =
            tasks.unwrap_or_default().iter().partition(|task| task.desired_status == "STOPPED");
        self.running.retain(|_, listed_at| is_fresh(*listed_at));
        self.running.extend(running.into_iter().map(|task| (id(task), Instant::now())));
        for task in stopped {
            self.running.remove(&id(task));
        }
        self
    }

    /// Why a step must not be taken on this look, in words.
    pub(crate) fn missing_in(&self, observed: &Observed) -> Option<String> {
        let tasks = observed.tasks.known().and_then(|tasks| self.unlisted(tasks));
        tasks.or_else(|| self.weighed_otherwise(&observed.load_balancing))
    }

    /// ECS lists what has stopped for an hour: a list that lacks a task that ran may lack crashes.
    fn unlisted(&self, tasks: &[Task]) -> Option<String> {
        let listed: BTreeSet<u64> = tasks.iter().map(id).collect();
        let is_missing = |(task, at): &(&u64, &Instant)| is_fresh(**at) && !listed.contains(*task);
        let missing = self.running.iter().filter(is_missing).count();
        (missing > 0).then(|| {
            format!(
                "AWS lists {missing} of the tasks that ran neither as running nor as stopped; waits for a newer list"
            )
        })
    }

    fn weighed_otherwise(&self, seen: &Fact<LoadBalancing>) -> Option<String> {
        let is_otherwise = |rule: &str, given: &Weights| {
            let rule = seen.known()?.rules.iter().find(|one| one.arn == rule)?;
            Some(sorted(&rule.forwards) != sorted(given))
        };
        let mut fresh = self.weights.iter().filter(|(_, (_, given_at))| is_fresh(*given_at));
        let (rule, _) = fresh.find(|(rule, (given, _))| is_otherwise(rule, given) == Some(true))?;
        Some(format!(
            "{rule} is not shown with the weights that it was given; waits for a newer answer"
        ))
    }
}

/// The rule that a call gives weights, and which.
fn given(call: &Call) -> Option<(&str, &[(String, u32)])> {
    match call {
        Call::ModifyRule { rule, weights } | Call::ModifyListener { rule, weights, .. } => {
            Some((rule, &weights.wanted))
        }
        _ => None,
    }
}

fn sorted(weights: &[(String, u32)]) -> BTreeSet<&(String, u32)> {
    weights.iter().collect()
}

fn id(task: &Task) -> u64 {
    let mut hasher = DefaultHasher::new();
    task.task_arn.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use evenkeel_planner::{Depth, ListenerRule, Reweighing};
    use serde_json::json;

    use super::*;

    fn task(arn: &str, desired_status: &str) -> Task {
        let task = json!({"taskArn": arn, "desiredStatus": desired_status});
        Task::read(&task).expect("it has what ECS always sends")
    }

    fn listed(tasks: &[Task]) -> Observed {
        let tasks = Fact::Known(tasks.to_vec());
        Observed { tasks, ..Observed::unasked(jiff::Timestamp::UNIX_EPOCH, Depth::Deep) }
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_ran_is_missed_until_it_is_listed_as_stopped_or_six_minutes_are_over() {
        let seen = [task("1", "RUNNING"), task("2", "RUNNING"), task("3", "STOPPED")];
        let footing = Footing::default().having_seen(Some(&seen));
        let misses =
            |footing: &Footing, tasks: &[Task]| footing.missing_in(&listed(tasks)).is_some();
        let (both, second) = ([task("1", "STOPPED"), task("2", "RUNNING")], [task("2", "RUNNING")]);
        assert!(!misses(&footing, &both));
        assert!(misses(&footing, &second));
        tokio::time::advance(Duration::from_mins(5)).await;
        assert!(misses(&footing.clone().having_seen(None), &second), "not asked");
        assert!(misses(&footing.clone().having_seen(Some(&second)), &second), "not forgotten");
        let stopped = footing.clone().having_seen(Some(&both));
        assert!(!misses(&stopped, &second), "its hour is over");
        tokio::time::advance(Duration::from_mins(1)).await;
        assert!(!misses(&footing, &second), "perhaps it is never shown");
    }

    fn gives(rule: &str, weight: u32) -> Call {
        let wanted = vec![("blue".to_owned(), 100 - weight), ("green".to_owned(), weight)];
        let weights = Reweighing { seen: Vec::new(), wanted };
        Call::ModifyRule { rule: rule.to_owned(), weights }
    }

    fn shown(rule: &str, weight: u32) -> Observed {
        let forwards = vec![("green".to_owned(), weight), ("blue".to_owned(), 100 - weight)];
        let (arn, other_actions) = (rule.to_owned(), Vec::new());
        let rules = vec![ListenerRule { arn, forwards, other_actions, is_default: false }];
        let load_balancing = Fact::Known(LoadBalancing { rules, target_groups: Vec::new() });
        let unasked = Observed::unasked(jiff::Timestamp::UNIX_EPOCH, Depth::Deep);
        Observed { load_balancing, ..unasked }
    }

    #[tokio::test(start_paused = true)]
    async fn weights_of_before_the_last_ones_are_no_footing_for_a_step() {
        let footing = Footing::default().after(&[gives("a", 10), gives("a", 50)], None);
        let misses = |footing: &Footing, observed| footing.missing_in(&observed).is_some();
        assert!(misses(&footing, shown("a", 10)));
        assert!(!misses(&footing, shown("a", 50)));
        assert!(!misses(&footing, shown("b", 10)), "another rule");
        assert!(!misses(&footing, listed(&[])), "not looked at");
        assert!(
            !misses(&footing.after(&[], Some(&gives("a", 10))), shown("a", 10)),
            "perhaps given"
        );
        tokio::time::advance(Duration::from_mins(6)).await;
        assert!(!misses(&footing, shown("a", 10)), "by now it is the truth");
    }

    #[tokio::test(start_paused = true)]
    async fn a_service_that_is_created_anew_has_none_of_the_tasks_of_the_one_before() {
        let footing = Footing::default().having_seen(Some(&[task("1", "RUNNING")]));
        let footing = footing.after(&[Call::CreateService { input: json!({}) }], None);
        assert_eq!(footing.missing_in(&listed(&[])), None);
    }
}
