//! Tasks that have stopped, as a cloud remembers them between looks; never asks the cloud.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use evenkeel_manifest::ServiceKey;
use evenkeel_planner::Task;
use tokio::time::Instant;

/// What a service that was not listed for so long left is forgotten: it is at rest.
const LISTED_LATELY: Duration = Duration::from_mins(15);

/// Stopped tasks of each service in a rollout, about a kilobyte each, as long as they are listed: a task that has stopped
/// never changes again, so it is described once.
#[derive(Debug, Default)]
pub struct StoppedTasks(HashMap<ServiceKey, (Instant, HashMap<String, Task>)>);

impl StoppedTasks {
    /// Of the tasks listed now, those that are known to have stopped, and the ARNs of all others, each once: one that
    /// stops between two listings is in both.
    pub fn among(&mut self, service: &ServiceKey, arns: Vec<String>) -> (Vec<Task>, Vec<String>) {
        self.0.retain(|_, (listed, _)| listed.elapsed() < LISTED_LATELY);
        let mut before = self.0.remove(service).map(|(_, tasks)| tasks).unwrap_or_default();
        let (mut known, mut unknown, mut still) = (Vec::new(), Vec::new(), HashMap::new());
        let mut seen = HashSet::new();
        for arn in arns.into_iter().filter(|arn| seen.insert(arn.clone())) {
            match before.remove(&arn) {
                Some(task) => {
                    known.push(task.clone());
                    still.insert(arn, task);
                }
                None => unknown.push(arn),
            }
        }
        self.0.insert(service.clone(), (Instant::now(), still));
        (known, unknown)
    }

    /// After those of the others that were described.
    pub fn remember(&mut self, service: &ServiceKey, described: &[Task]) {
        let Some((_, known)) = self.0.get_mut(service) else { return };
        let stopped = described.iter().filter(|task| task.last_status == "STOPPED");
        known.extend(stopped.map(|task| (task.task_arn.clone(), task.clone())));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn task(arn: &str, status: &str) -> Task {
        let task = json!({"taskArn": arn, "lastStatus": status});
        Task::read(&task).expect("it has what ECS always sends")
    }

    /// What is known and what is not, of these.
    fn among(memory: &mut StoppedTasks, name: &str, listed: &[&str]) -> [Vec<String>; 2] {
        let arns = listed.iter().map(|arn| (*arn).to_owned()).collect();
        let (known, unknown) = memory.among(&ServiceKey::new("main", name), arns);
        [known.into_iter().map(|task| task.task_arn).collect(), unknown]
    }

    /// After task 1 of `web` had stopped, and task 2 not yet.
    fn memory() -> StoppedTasks {
        let mut memory = StoppedTasks::default();
        among(&mut memory, "web", &["1", "2"]);
        let described = [task("1", "STOPPED"), task("2", "STOPPING")];
        memory.remember(&ServiceKey::new("main", "web"), &described);
        memory
    }

    #[tokio::test]
    async fn only_stopped_tasks_are_known_again_and_only_those_of_the_service() {
        let mut memory = memory();
        for _ in 0..2 {
            assert_eq!(among(&mut memory, "web", &["1", "2"]), [["1"], ["2"]]);
        }
        assert_eq!(among(&mut memory, "api", &["1"]), [vec![], vec!["1".to_owned()]]);
    }

    #[tokio::test]
    async fn a_task_that_is_listed_as_running_and_as_stopped_is_one() {
        assert_eq!(among(&mut memory(), "web", &["1", "2", "1", "2"]), [["1"], ["2"]]);
    }

    #[tokio::test]
    async fn a_stopped_task_that_is_no_longer_listed_is_forgotten() {
        let mut memory = memory();
        among(&mut memory, "web", &["2"]);
        assert_eq!(among(&mut memory, "web", &["1"]), [vec![], vec!["1".to_owned()]]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_service_at_rest_left_is_forgotten_after_a_quarter_of_an_hour() {
        for (minutes, is_known) in [(14, true), (15, false)] {
            let mut memory = memory();
            tokio::time::advance(Duration::from_mins(minutes)).await;
            among(&mut memory, "api", &[]);
            let [known, _] = among(&mut memory, "web", &["1"]);
            assert_eq!(known.len(), usize::from(is_known), "{minutes} minutes");
        }
    }
}
