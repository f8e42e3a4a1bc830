//! The tasks of a service, running and stopped; never lists those of a settled service.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use evenkeel_planner::{Lane, Task};
use evenkeel_reconciler::CloudError;
use futures_util::future::try_join;
use serde_json::{Value, json};

use crate::caller::Caller;
use crate::deployments::{refuse_failures, unread};
use crate::generations::Generations;
use crate::operation::Operation;
use crate::pages::{Limit, Listing};
use crate::reply::elements;

/// Most tasks in one DescribeTasks call.
const TASKS_MAX: usize = 100;
/// ECS's quota of tasks per service.
const LISTED_MAX: usize = 5_000;

/// Stopped tasks that are remembered, about a kilobyte each.
const GENERATION: usize = 4_000;

/// Tasks as AWS has them. One that has stopped never changes again, so it is described once: a service
/// that crashes all the time has a hundred of them in an hour.
#[derive(Debug)]
pub(crate) struct Tasks {
    caller: Arc<Caller>,
    stopped: Mutex<Generations<Task>>,
}

impl Tasks {
    pub(crate) fn new(caller: Arc<Caller>) -> Self {
        Self { caller, stopped: Mutex::new(Generations::of(GENERATION)) }
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
        let (mut tasks, unknown) = self.remembered(arns);
        for chunk in unknown.chunks(TASKS_MAX) {
            let described = describe(&self.caller, cluster, chunk, lane).await?;
            self.remember(&described);
            tasks.extend(described);
        }
        Ok(tasks)
    }

    /// Those that are known to have stopped, and the ARNs of all others.
    fn remembered(&self, arns: Vec<Value>) -> (Vec<Task>, Vec<Value>) {
        let mut stopped = lock(&self.stopped);
        let (mut known, mut unknown) = (Vec::new(), Vec::new());
        for arn in arns {
            match arn.as_str().and_then(|arn| stopped.get(arn)) {
                Some(task) => known.push(task),
                None => unknown.push(arn),
            }
        }
        (known, unknown)
    }

    fn remember(&self, described: &[Task]) {
        let mut stopped = lock(&self.stopped);
        for task in described.iter().filter(|task| task.last_status == "STOPPED") {
            stopped.insert(task.task_arn.clone(), task.clone());
        }
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
