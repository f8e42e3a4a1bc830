//! Reads of services, ten a call across concurrent passes; never takes a service for absent that AWS
//! did not call missing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use evenkeel_planner::{Fact, Lane, ObservedService};
use evenkeel_reconciler::CloudError;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::caller::Caller;
use crate::operation::Operation;
use crate::reply::{elements, last_part, text};

/// Gathers requests for services of one cluster and lane for a moment and asks for them together.
#[derive(Debug)]
pub(crate) struct Services {
    caller: Arc<Caller>,
    /// The batches that still take names.
    open: Arc<Mutex<BTreeMap<BatchKey, Batch>>>,
}

type BatchKey = (String, Lane);

#[derive(Clone, Debug)]
struct Batch {
    names: Arc<Mutex<BTreeSet<String>>>,
    full: Arc<Notify>,
    /// Driven by everyone who waits for it, so that it goes on when some of them give up.
    reply: Shared<BoxFuture<'static, Result<Arc<Reply>, CloudError>>>,
}

/// What one call said of each service that it was asked for.
type Reply = BTreeMap<String, Result<Fact<ObservedService>, CloudError>>;

/// Most names in one DescribeServices call (API reference).
const NAMES_MAX: usize = 10;
/// How long a batch waits for company: little beside a call, enough for passes that start together.
const GATHER: Duration = Duration::from_millis(20);

impl Services {
    pub(crate) fn new(caller: Arc<Caller>) -> Self {
        Self { caller, open: Arc::default() }
    }

    /// One service with its tags: `Known`, or `Absent` when AWS says that it is missing. The call is
    /// made after this function was called, never before.
    pub(crate) async fn read(
        &self,
        cluster: &str,
        name: &str,
        lane: Lane,
    ) -> Result<Fact<ObservedService>, CloudError> {
        let reply = self.join(cluster, name, lane).await?;
        reply.get(name).cloned().unwrap_or_else(|| Err(not_mentioned(name)))
    }

    /// Adds the name to the open batch, or opens one.
    fn join(
        &self,
        cluster: &str,
        name: &str,
        lane: Lane,
    ) -> Shared<BoxFuture<'static, Result<Arc<Reply>, CloudError>>> {
        let key = (cluster.to_owned(), lane);
        let mut open = lock(&self.open);
        let batch = open.entry(key.clone()).or_insert_with(|| self.batch(key.clone())).clone();
        let mut names = lock(&batch.names);
        names.insert(name.to_owned());
        if names.len() == NAMES_MAX {
            open.remove(&key);
            batch.full.notify_one();
        }
        batch.reply.clone()
    }

    fn batch(&self, key: BatchKey) -> Batch {
        let names = Arc::new(Mutex::new(BTreeSet::new()));
        let full = Arc::new(Notify::new());
        let (caller, open) = (Arc::clone(&self.caller), Arc::clone(&self.open));
        let (gathered, gathering) = (Arc::clone(&names), Arc::clone(&full));
        let reply = async move {
            // Ended by either: the batch is full, or it has waited long enough.
            drop(tokio::time::timeout(GATHER, gathering.notified()).await);
            close(&open, &key, &gathered);
            let names: Vec<String> = lock(&gathered).iter().cloned().collect();
            describe(&caller, &key.0, &names, key.1).await.map(Arc::new)
        };
        Batch { names, full, reply: reply.boxed().shared() }
    }
}

/// Takes the batch of these names from the open ones, unless a later one has taken its place.
fn close(
    open: &Mutex<BTreeMap<BatchKey, Batch>>,
    key: &BatchKey,
    names: &Arc<Mutex<BTreeSet<String>>>,
) {
    let mut open = lock(open);
    if open.get(key).is_some_and(|batch| Arc::ptr_eq(&batch.names, names)) {
        open.remove(key);
    }
}

/// One DescribeServices call for at most ten names.
pub(crate) async fn describe(
    caller: &Caller,
    cluster: &str,
    names: &[String],
    lane: Lane,
) -> Result<Reply, CloudError> {
    caller.metrics.batched(names.len());
    let input = json!({ "cluster": cluster, "services": names, "include": ["TAGS"] });
    let reply = caller.ecs(Operation::DescribeServices, lane, &input).await?;
    let mut services: Reply = elements(&reply, "failures").map(failed).collect();
    for service in elements(&reply, "services") {
        let name = text(service, "serviceName").to_owned();
        // An inactive service may be listed beside the active one that took its name.
        let active = text(service, "status") != "INACTIVE";
        if active || !services.contains_key(&name) {
            services.insert(name, found(service));
        }
    }
    Ok(services)
}

fn found(service: &Value) -> Result<Fact<ObservedService>, CloudError> {
    let read = ObservedService::read(service).map_err(|error| transient(error.0));
    read.map(Fact::Known)
}

/// An element of `failures`: the service's name (from its ARN) and what is wrong with it.
fn failed(failure: &Value) -> (String, Result<Fact<ObservedService>, CloudError>) {
    let name = last_part(text(failure, "arn")).to_owned();
    match text(failure, "reason") {
        "MISSING" => (name, Ok(Fact::Absent)),
        reason => {
            let message = format!("{name}: {reason} {}", text(failure, "detail"));
            (name, Err(transient(message.trim_end().to_owned())))
        }
    }
}

fn not_mentioned(name: &str) -> CloudError {
    transient(format!("the reply says neither that {name} exists nor that it is missing"))
}

fn transient(message: String) -> CloudError {
    CloudError::Transient { operation: Operation::DescribeServices.name().to_owned(), message }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
