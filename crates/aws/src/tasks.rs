//! The tasks of a service, running and stopped; never lists those of a settled service.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use evenkeel_planner::{Lane, Task};
use evenkeel_reconciler::CloudError;
use futures_util::future::try_join;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::caller::Caller;
use crate::deployments::{refuse_failures, unread};
use crate::operation::Operation;
use crate::pages::{Limit, Listing};
use crate::reply::elements;

/// Most tasks in one DescribeTasks call.
const TASKS_MAX: usize = 100;
/// Most that can be listed of a service: ECS starts at most 500 tasks of it a minute and lists those that stopped for
/// about an hour (ecs-behaviour 7.4, 12.4). One whose tasks all crash must still be read, or nothing ends its rollout.
const LISTED_MAX: usize = 500 * 70;

/// The stopped tasks of a service that was not listed for so long are forgotten: it is at rest.
const LISTED_LATELY: Duration = Duration::from_mins(15);

/// Tasks as AWS has them. One that has stopped never changes again, so it is described once: a service
/// that crashes all the time has a hundred of them in an hour, a large one thousands.
#[derive(Debug)]
pub(crate) struct Tasks {
    caller: Arc<Caller>,
    stopped: Mutex<Stopped>,
}

/// Stopped tasks of each service in a rollout, as long as ECS lists them; about a kilobyte each.
#[derive(Debug, Default)]
struct Stopped(HashMap<String, (Instant, HashMap<String, Task>)>);

impl Stopped {
    /// Those that are known to have stopped, and the ARNs of all others.
    fn among(&mut self, service: &str, arns: Vec<Value>) -> (Vec<Task>, Vec<Value>) {
        self.0.retain(|_, (listed, _)| listed.elapsed() < LISTED_LATELY);
        let mut before = self.0.remove(service).map(|(_, tasks)| tasks).unwrap_or_default();
        let (mut known, mut unknown, mut still) = (Vec::new(), Vec::new(), HashMap::new());
        for arn in arns {
            match arn.as_str().and_then(|arn| before.remove_entry(arn)) {
                Some((arn, task)) => {
                    known.push(task.clone());
                    still.insert(arn, task);
                }
                None => unknown.push(arn),
            }
        }
        self.0.insert(service.to_owned(), (Instant::now(), still));
        (known, unknown)
    }

    fn remember(&mut self, service: &str, described: &[Task]) {
        let Some((_, known)) = self.0.get_mut(service) else { return };
        let stopped = described.iter().filter(|task| task.last_status == "STOPPED");
        known.extend(stopped.map(|task| (task.task_arn.clone(), task.clone())));
    }
}

impl Tasks {
    pub(crate) fn new(caller: Arc<Caller>) -> Self {
        Self { caller, stopped: Mutex::default() }
    }

    /// Tasks that should run and those that ECS still remembers as stopped (about an hour). A task
    /// that is forgotten between listing and describing is left out.
    pub(crate) async fn of_service(
        &self,
        cluster: &str,
        service: &str,
        lane: Lane,
    ) -> Result<Vec<Task>, CloudError> {
        let (mut arns, mut stopped) = try_join(
            list(&self.caller, cluster, service, "RUNNING", lane),
            list(&self.caller, cluster, service, "STOPPED", lane),
        )
        .await?;
        arns.append(&mut stopped);
        let name = format!("{cluster}/{service}");
        let (mut tasks, unknown) = lock(&self.stopped).among(&name, arns);
        for chunk in unknown.chunks(TASKS_MAX) {
            let described = describe(&self.caller, cluster, chunk, lane).await?;
            lock(&self.stopped).remember(&name, &described);
            tasks.extend(described);
        }
        Ok(tasks)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn list(
    caller: &Caller,
    cluster: &str,
    service: &str,
    desired_status: &str,
    lane: Lane,
) -> Result<Vec<Value>, CloudError> {
    let input = json!({
        "cluster": cluster, "serviceName": service, "desiredStatus": desired_status,
        "maxResults": 100,
    });
    let operation = Operation::ListTasks;
    Listing { operation, input, member: "taskArns", limit: Limit::All(LISTED_MAX) }
        .read(caller, lane)
        .await
}

async fn describe(
    caller: &Caller,
    cluster: &str,
    arns: &[Value],
    lane: Lane,
) -> Result<Vec<Task>, CloudError> {
    let operation = Operation::DescribeTasks;
    let input = json!({ "cluster": cluster, "tasks": arns });
    let reply = caller.json(operation, lane, &input).await?;
    refuse_failures(operation, &reply, &["MISSING"])?;
    let read = |value| Task::read(value).map_err(|error| unread(operation, error.0));
    elements(&reply, "tasks").map(read).collect()
}
