//! Reads of services, ten a call across concurrent passes; never takes a service for absent that AWS
//! did not call missing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use evenkeel_planner::{Fact, Lane, ObservedService};
use evenkeel_reconciler::CloudError;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared, WeakShared};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::caller::{Caller, Token};
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

#[derive(Debug)]
struct Batch {
    names: Arc<Mutex<BTreeSet<String>>>,
    full: Arc<Notify>,
    /// Gone when everyone who waited has given up: nobody would drive it, and its place in line for a
    /// token would stop all behind it.
    reply: WeakShared<Described>,
}

/// Driven by everyone who waits for it, so that it goes on when some of them give up.
type Waited = Shared<Described>;

type Described = BoxFuture<'static, Result<Arc<Reply>, CloudError>>;

/// What one call said of each service that it was asked for.
type Reply = BTreeMap<String, Result<Fact<ObservedService>, CloudError>>;

/// Most names in one DescribeServices call (API reference).
const NAMES_MAX: usize = 10;
/// How long a batch waits for company at least: little beside a call, enough for passes that start
/// together.
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
    fn join(&self, cluster: &str, name: &str, lane: Lane) -> Waited {
        let key = (cluster.to_owned(), lane);
        let mut open = lock(&self.open);
        let waited = open.get(&key).and_then(|batch| batch.reply.upgrade());
        let waited = waited.unwrap_or_else(|| self.open_batch(&mut open, &key));
        if let Some(batch) = open.get(&key)
            && batch.add(name) == NAMES_MAX
        {
            batch.full.notify_one();
            open.remove(&key);
        }
        waited
    }

    fn open_batch(&self, open: &mut BTreeMap<BatchKey, Batch>, key: &BatchKey) -> Waited {
        let names = Arc::new(Mutex::new(BTreeSet::new()));
        let full = Arc::new(Notify::new());
        let (gathered, gathering) = (Arc::clone(&names), Arc::clone(&full));
        let waited = self.described(key.clone(), gathered, gathering).shared();
        // There is a handle as long as it was not driven to its end.
        if let Some(reply) = waited.downgrade() {
            open.insert(key.clone(), Batch { names, full, reply });
        }
        waited
    }

    fn described(
        &self,
        key: BatchKey,
        gathered: Arc<Mutex<BTreeSet<String>>>,
        gathering: Arc<Notify>,
    ) -> Described {
        let (caller, open) = (Arc::clone(&self.caller), Arc::clone(&self.open));
        let reply = async move {
            // Ended by either: the batch is full, or it has waited long enough.
            drop(tokio::time::timeout(GATHER, gathering.notified()).await);
            // It takes names until it may be sent: closed before, a budget once exhausted would be
            // spent on calls for one or two services and never recover.
            let token = caller.token(Operation::DescribeServices, key.1).await;
            close(&open, &key, &gathered);
            let names: Vec<String> = lock(&gathered).iter().cloned().collect();
            describe(&caller, token?, &key.0, &names).await.map(Arc::new)
        };
        reply.boxed()
    }
}

impl Batch {
    /// How many names it has then.
    fn add(&self, name: &str) -> usize {
        let mut names = lock(&self.names);
        names.insert(name.to_owned());
        names.len()
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
    token: Token,
    cluster: &str,
    names: &[String],
) -> Result<Reply, CloudError> {
    caller.metrics.batched(names.len());
    let input = json!({ "cluster": cluster, "services": names, "include": ["TAGS"] });
    let reply = caller.json_with(token, &input).await?;
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

pub(crate) fn not_mentioned(name: &str) -> CloudError {
    transient(format!("the reply says neither that {name} exists nor that it is missing"))
}

fn transient(message: String) -> CloudError {
    CloudError::Transient { operation: Operation::DescribeServices.name().to_owned(), message }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;

    use super::*;
    use crate::cloud::AwsCloud;
    use crate::fake::{Fake, Request, error, ok};

    fn service(name: &str) -> Value {
        json!({
            "serviceArn": format!("arn:aws:ecs:eu-west-1:1:service/main/{name}"),
            "serviceName": name, "status": "ACTIVE", "desiredCount": 1, "events": null,
            "tags": [{ "key": "k", "value": "v" }],
        })
    }

    fn missing(name: &str, reason: &str) -> Value {
        json!({ "arn": format!("arn:aws:ecs:eu-west-1:1:service/main/{name}"), "reason": reason })
    }

    /// A region in which every service exists.
    fn all_exist(request: &Request) -> crate::fake::Reply {
        let names = request.json()["services"].as_array().unwrap().clone();
        let services: Vec<Value> =
            names.iter().map(|name| service(name.as_str().unwrap())).collect();
        ok(&json!({ "services": services, "failures": [] }))
    }

    async fn read(cloud: &AwsCloud, name: &str) -> Result<Fact<ObservedService>, CloudError> {
        cloud.services.read("main", name, Lane::Sweep).await
    }

    #[tokio::test(start_paused = true)]
    async fn n_concurrent_reads_of_a_cluster_are_n_tenths_calls() {
        let fake = Fake::new(all_exist);
        let cloud = fake.cloud();
        let names: Vec<String> = (0..25).map(|n| format!("web-{n}")).collect();
        let facts = join_all(names.iter().map(|name| read(&cloud, name))).await;
        for (name, fact) in names.iter().zip(facts) {
            let service = fact.unwrap().known().unwrap().clone();
            assert!(service.service_arn.ends_with(&format!("/{name}")));
            assert_eq!(service.tags["k"], "v");
        }
        let bodies = fake.bodies("DescribeServices");
        let sizes = bodies.iter().map(|body| body["services"].as_array().unwrap().len());
        assert_eq!(sizes.collect::<Vec<_>>(), [10, 10, 5]);
        assert!(bodies.iter().all(|body| body["include"] == json!(["TAGS"])));
    }

    #[tokio::test(start_paused = true)]
    async fn services_that_come_while_a_batch_waits_for_its_token_join_it() {
        let fake = Fake::new(all_exist);
        let cloud = fake.cloud();
        let family = Operation::DescribeServices.family();
        cloud.caller.budget.throttled(family);
        let names: Vec<String> = (0..10).map(|n| format!("web-{n}")).collect();
        // The last ones come when a batch no longer waits for company, but still for its token.
        let one_by_one = names.iter().zip(0_u32..).map(|(name, position)| {
            let cloud = &cloud;
            async move {
                tokio::time::sleep(GATHER * 2 * position / 10).await;
                read(cloud, name).await
            }
        });
        assert!(join_all(one_by_one).await.into_iter().all(|fact| fact.is_ok()));
        assert_eq!(fake.bodies("DescribeServices").len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn the_same_service_is_asked_for_once_and_clusters_are_kept_apart() {
        let fake = Fake::new(all_exist);
        let cloud = fake.cloud();
        let twice = join_all([read(&cloud, "web"), read(&cloud, "web")]);
        let elsewhere = cloud.services.read("other", "web", Lane::Sweep);
        let (twice, elsewhere) = futures_util::future::join(twice, elsewhere).await;
        assert!(twice.into_iter().chain([elsewhere]).all(|fact| fact.is_ok()));
        assert_eq!(fake.bodies("DescribeServices").len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_read_sees_what_was_written_before_it_began() {
        let fake = Fake::new(all_exist);
        let cloud = fake.cloud();
        read(&cloud, "web").await.unwrap();
        read(&cloud, "web").await.unwrap();
        assert_eq!(fake.operations().len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_gives_up_does_not_stop_the_others_of_its_batch() {
        let fake = Fake::new(all_exist);
        let cloud = fake.cloud();
        let first = tokio::time::timeout(GATHER / 2, read(&cloud, "web-1"));
        let second = read(&cloud, "web-2");
        let (first, second) = futures_util::future::join(first, second).await;
        assert!(first.is_err());
        assert!(second.unwrap().known().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_that_everybody_gave_up_on_stands_in_nobody_s_way() {
        let fake = Fake::new(all_exist);
        let cloud = fake.cloud();
        cloud.caller.budget.throttled(Operation::DescribeServices.family());
        // It waits for its token when its only reader goes.
        let gave_up = tokio::time::timeout(GATHER * 2, read(&cloud, "web")).await;
        assert!(gave_up.is_err());
        let elsewhere = cloud.services.read("other", "web", Lane::Sweep);
        let elsewhere = tokio::time::timeout(Duration::from_mins(1), elsewhere).await;
        assert!(elsewhere.expect("its turn comes").is_ok());
        assert_eq!(fake.bodies("DescribeServices").len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn who_comes_after_everybody_gave_up_is_not_asked_for_together_with_them() {
        let fake = Fake::new(all_exist);
        let cloud = fake.cloud();
        let gave_up = tokio::time::timeout(GATHER / 2, read(&cloud, "web-1")).await;
        assert!(gave_up.is_err());
        assert!(read(&cloud, "web-2").await.unwrap().known().is_some());
        assert_eq!(fake.bodies("DescribeServices")[0]["services"], json!(["web-2"]));
    }

    #[tokio::test(start_paused = true)]
    async fn only_missing_is_absent() {
        let fake = Fake::new(|_| {
            ok(&json!({
                "services": [],
                "failures": [missing("gone", "MISSING"), missing("odd", "ACCESS")],
            }))
        });
        let cloud = fake.cloud();
        let names = ["gone", "odd", "untold"];
        let facts = join_all(names.map(|name| read(&cloud, name))).await;
        let [gone, odd, untold] = &facts[..] else { panic!("{facts:?}") };
        assert_eq!(gone, &Ok(Fact::Absent));
        assert_eq!(odd.as_ref().unwrap_err().class(), "transient");
        assert_eq!(untold.as_ref().unwrap_err().class(), "transient");
    }

    #[tokio::test(start_paused = true)]
    async fn the_active_one_of_two_services_of_a_name_is_meant() {
        for inactive_first in [true, false] {
            let fake = Fake::new(move |_| {
                let mut services = [service("web"), service("web")];
                services[usize::from(!inactive_first)]["status"] = "INACTIVE".into();
                ok(&json!({ "services": services }))
            });
            let fact = read(&fake.cloud(), "web").await.unwrap();
            assert_eq!(fact.known().unwrap().status, "ACTIVE");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_error_reaches_everyone_in_the_batch() {
        let fake = Fake::new(|_| error("ClusterNotFoundException", "Cluster not found."));
        let cloud = fake.cloud();
        for fact in join_all(["a", "b"].map(|name| read(&cloud, name))).await {
            assert_eq!(fact.unwrap_err().class(), "conflict");
        }
        assert_eq!(fake.operations().len(), 1);
    }
}
