//! The tasks of a service, running and stopped; never lists those of a settled service.

use evenkeel_planner::{Lane, Task};
use evenkeel_reconciler::CloudError;
use futures_util::future::try_join;
use serde_json::{Value, json};

use crate::caller::Caller;
use crate::deployments::{refuse_failures, unread};
use crate::operation::Operation;
use crate::pages::{Limit, Listing};
use crate::reply::elements;

/// Most tasks in one DescribeTasks call.
const TASKS_MAX: usize = 100;
/// ECS's quota of tasks per service.
const LISTED_MAX: usize = 5_000;

/// Tasks that should run and those that ECS still remembers as stopped (about an hour). A task that
/// is forgotten between listing and describing is left out.
pub(crate) async fn of_service(
    caller: &Caller,
    cluster: &str,
    service: &str,
    lane: Lane,
) -> Result<Vec<Task>, CloudError> {
    let (mut arns, mut stopped) = try_join(
        list(caller, cluster, service, "RUNNING", lane),
        list(caller, cluster, service, "STOPPED", lane),
    )
    .await?;
    arns.append(&mut stopped);
    let mut tasks = Vec::with_capacity(arns.len());
    for chunk in arns.chunks(TASKS_MAX) {
        tasks.append(&mut describe(caller, cluster, chunk, lane).await?);
    }
    Ok(tasks)
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
    let reply = caller.ecs(operation, lane, &input).await?;
    refuse_failures(operation, &reply, &["MISSING"])?;
    let read = |value| Task::read(value).map_err(|error| unread(operation, error.0));
    elements(&reply, "tasks").map(read).collect()
}
