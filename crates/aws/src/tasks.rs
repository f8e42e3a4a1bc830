//! The tasks of a service, running and stopped; never lists those of a settled service.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use evenkeel_manifest::ServiceKey;
use evenkeel_planner::{Lane, Task};
use evenkeel_reconciler::{CloudError, StoppedTasks};
use futures_util::future::try_join;
use serde_json::{Value, json};

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

/// Tasks as AWS has them. One that has stopped never changes again, so it is described once: a service
/// that crashes all the time has a hundred of them in an hour, a large one thousands.
#[derive(Debug)]
pub(crate) struct Tasks {
    caller: Arc<Caller>,
    stopped: Mutex<StoppedTasks>,
}

impl Tasks {
    pub(crate) fn new(caller: Arc<Caller>) -> Self {
        Self { caller, stopped: Mutex::default() }
    }

    /// Tasks that should run and those that ECS still remembers as stopped (about an hour). A task
    /// that is forgotten between listing and describing is left out.
    pub(crate) async fn of_service(
        &self,
        service: &ServiceKey,
        lane: Lane,
    ) -> Result<Vec<Task>, CloudError> {
        let (mut arns, mut stopped) = try_join(
            list(&self.caller, service, "RUNNING", lane),
            list(&self.caller, service, "STOPPED", lane),
        )
        .await?;
        arns.append(&mut stopped);
        let (mut tasks, unknown) = lock(&self.stopped).among(service, arns);
        for chunk in unknown.chunks(TASKS_MAX) {
            let described = describe(&self.caller, &service.cluster, chunk, lane).await?;
            lock(&self.stopped).remember(service, &described);
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
    service: &ServiceKey,
    desired_status: &str,
    lane: Lane,
) -> Result<Vec<String>, CloudError> {
    let input = json!({
        "cluster": service.cluster, "serviceName": service.name, "desiredStatus": desired_status,
        "maxResults": 100,
    });
    let operation = Operation::ListTasks;
    let listing = Listing { operation, input, member: "taskArns", limit: Limit::All(LISTED_MAX) };
    let arns = listing.read(caller, lane).await?;
    let arn = |arn: Value| match arn {
        Value::String(arn) => Ok(arn),
        other => Err(unread(operation, format!("{other} is no ARN"))),
    };
    arns.into_iter().map(arn).collect()
}

async fn describe(
    caller: &Caller,
    cluster: &str,
    arns: &[String],
    lane: Lane,
) -> Result<Vec<Task>, CloudError> {
    let operation = Operation::DescribeTasks;
    let input = json!({ "cluster": cluster, "tasks": arns });
    let reply = caller.json(operation, lane, &input).await?;
    refuse_failures(operation, &reply, &["MISSING"])?;
    let read = |value| Task::read(value).map_err(|error| unread(operation, error.0));
    elements(&reply, "tasks").map(read).collect()
}
