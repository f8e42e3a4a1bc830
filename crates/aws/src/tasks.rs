//! The tasks of a service, running and stopped; never lists those of a settled service.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use evenkeel_manifest::ServiceKey;
use evenkeel_planner::{Lane, Task};
use evenkeel_reconciler::{CloudError, StoppedTasks};
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
/// Most tasks on one page of ListTasks.
const LISTED_PER_CALL: usize = 100;
/// Most that can be listed of a service: ECS starts at most 500 tasks of it a minute and lists those that stopped for
/// about an hour (ecs-behaviour 7.4, 12.4). One whose tasks all crash must still be read, or nothing ends its rollout.
const LISTED_MAX: usize = 500 * 70;

/// A listing of stopped tasks that takes longer than this is used again: nothing is written on a look that began more than
/// 30 seconds ago, so a look that needs hundreds of calls for it could never be acted on.
const LONG: Duration = Duration::from_secs(5);
/// For how long after the look that needed it. What stopped since is missed for that time, as where AWS's answers are from
/// the past, which nothing is proven on.
const USED_AGAIN: Duration = Duration::from_mins(1);

/// Tasks as AWS has them. One that has stopped never changes again, so it is described once: a service
/// that crashes all the time has a hundred of them in an hour, a large one thousands.
#[derive(Debug)]
pub(crate) struct Tasks {
    caller: Arc<Caller>,
    stopped: Mutex<StoppedTasks>,
    long: Mutex<HashMap<ServiceKey, Long>>,
}

/// A listing of stopped tasks that took long.
#[derive(Debug)]
struct Long {
    /// When all of them were described.
    described: Instant,
    arns: Arc<[String]>,
}

/// Stopped tasks of one service.
struct Stopped {
    arns: Arc<[String]>,
    /// Whether they were listed now, and that took long.
    took_long: bool,
}

impl Tasks {
    pub(crate) fn new(caller: Arc<Caller>) -> Self {
        Self { caller, stopped: Mutex::default(), long: Mutex::default() }
    }

    /// Tasks that should run and those that ECS still remembers as stopped (about an hour). A task
    /// that is forgotten between listing and describing is left out.
    pub(crate) async fn of_service(
        &self,
        service: &ServiceKey,
        lane: Lane,
    ) -> Result<Vec<Task>, CloudError> {
        let (mut arns, stopped) = try_join(
            list(&self.caller, service, "RUNNING", lane),
            self.listed_as_stopped(service, lane),
        )
        .await?;
        arns.extend(stopped.arns.iter().cloned());
        let (mut tasks, unknown) = lock(&self.stopped).among(service, arns);
        for chunk in unknown.chunks(TASKS_MAX) {
            let described = describe(&self.caller, &service.cluster, chunk, lane).await?;
            lock(&self.stopped).remember(service, &described);
            tasks.extend(described);
        }
        if stopped.took_long {
            let long = Long { described: Instant::now(), arns: stopped.arns };
            lock(&self.long).insert(service.clone(), long);
        }
        Ok(tasks)
    }

    /// One page is not worth keeping: it took long because of others, and the next takes one call.
    async fn listed_as_stopped(
        &self,
        service: &ServiceKey,
        lane: Lane,
    ) -> Result<Stopped, CloudError> {
        if let Some(arns) = self.listed_lately(service) {
            return Ok(Stopped { arns, took_long: false });
        }
        let began = Instant::now();
        let arns = list(&self.caller, service, "STOPPED", lane).await?;
        let took_long = began.elapsed() > LONG && arns.len() > LISTED_PER_CALL;
        Ok(Stopped { arns: arns.into(), took_long })
    }

    fn listed_lately(&self, service: &ServiceKey) -> Option<Arc<[String]>> {
        let mut long = lock(&self.long);
        long.retain(|_, one| one.described.elapsed() < USED_AGAIN);
        long.get(service).map(|one| Arc::clone(&one.arns))
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
        "maxResults": LISTED_PER_CALL,
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
