//! The daemon in process, over a cloud that is scripted: what it serves, what it does when manifests
//! change, and how it ends.

#![expect(clippy::unwrap_used, reason = "a test that panics is a test that fails")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use evenkeel_controller::config::LeaseConfig;
use evenkeel_controller::{Config, Daemon, DaemonError, ManifestsReport};
use evenkeel_manifest::ServiceKey;
use evenkeel_planner::{Action, Applied, Fact, Observed, Questions};
use evenkeel_reconciler::{
    Cloud, CloudError, LeaseRecord, LeaseStore, LeaseStoreError, OwnedService, Shutdown,
};
use prometheus::Registry;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};

const DEADLINE: Duration = Duration::from_secs(20);

/// A cloud without services, in which every look waits for a permit and every write succeeds.
#[derive(Debug)]
struct Empty {
    looks: Semaphore,
    /// How many looks have begun.
    begun: watch::Sender<usize>,
}

impl Empty {
    fn with_looks(looks: usize) -> Arc<Self> {
        Arc::new(Self { looks: Semaphore::new(looks), begun: watch::Sender::new(0) })
    }
}

impl Cloud for Empty {
    async fn owned(&self, _: &str, _: &[String]) -> Result<Vec<OwnedService>, CloudError> {
        Ok(Vec::new())
    }

    async fn observe(&self, _: &ServiceKey, questions: &Questions) -> Result<Observed, CloudError> {
        self.begun.send_modify(|count| *count += 1);
        self.looks.acquire().await.expect("the semaphore is never closed").forget();
        let at = "2026-01-01T00:00:00Z".parse().expect("a time");
        Ok(Observed {
            service: Fact::Absent,
            task_definitions: Fact::Known(Vec::new()),
            ..Observed::unasked(at, questions.depth)
        })
    }

    async fn apply(&self, _: &ServiceKey, _: &Action) -> Result<Applied, CloudError> {
        Ok(Applied::Done)
    }
}

const UNLIMITED: usize = Semaphore::MAX_PERMITS;

fn manifest(name: &str) -> String {
    format!(
        "apiVersion: evenkeel.dev/v1\nkind: Service\nmetadata: {{name: {name}}}\nspec:\n  cluster: \
         prod\n  taskDefinition:\n    memory: \"512\"\n    containerDefinitions: [{{name: app, image: \
         app}}]\n  service: {{desiredCount: 1}}\n"
    )
}

fn config(manifests: &Path) -> Config {
    let mut config = Config::default();
    config.manifests.path = manifests.into();
    config.manifests.debounce = Duration::from_millis(10);
    config.http.listen = SocketAddr::from(([127, 0, 0, 1], 0));
    config
}

async fn start(manifests: &Path, cloud: Arc<Empty>, shutdown: &Shutdown) -> Daemon {
    let config = config(manifests);
    Daemon::start_with(config, cloud, Registry::new(), shutdown.clone(), None).await.unwrap()
}

async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    let value = tokio::time::timeout(DEADLINE, future).await;
    value.unwrap_or_else(|_elapsed| panic!("waited too long for {what}"))
}

async fn until_manifests(daemon: &Daemon, what: &str, good: impl Fn(&ManifestsReport) -> bool) {
    let mut report = daemon.manifests();
    within(what, report.wait_for(|report| good(report))).await.unwrap();
}

async fn until_on_board(daemon: &Daemon, name: &str) {
    let key = ServiceKey::new("prod", name);
    let mut changed = daemon.board().changed();
    within("a status", async {
        while daemon.board().get(&key).is_none() {
            changed.changed().await.unwrap();
        }
    })
    .await;
}

/// The status code and the body.
async fn request(address: SocketAddr, method: &str, path: &str) -> (u16, String) {
    within("an answer", async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let head = format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, body.to_owned())
    })
    .await
}

async fn get(address: SocketAddr, path: &str) -> (u16, String) {
    request(address, "GET", path).await
}

#[tokio::test]
async fn serves_statuses_metrics_and_health() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("web.yaml"), manifest("web")).unwrap();
    let shutdown = Shutdown::new();
    let daemon = start(dir.path(), Empty::with_looks(UNLIMITED), &shutdown).await;
    until_on_board(&daemon, "web").await;
    let address = daemon.http_address();

    assert_eq!(get(address, "/healthz").await.0, 200);
    assert_eq!(get(address, "/readyz").await.0, 200);
    let (status, services) = get(address, "/v1/services").await;
    assert_eq!(status, 200);
    assert!(services.contains(r#""cluster":"prod","name":"web""#), "{services}");
    let (status, service) = get(address, "/v1/services/prod/web").await;
    assert_eq!(status, 200);
    assert!(service.contains(r#""conditions":"#), "{service}");
    assert_eq!(get(address, "/v1/services/prod/shop").await.0, 404);
    assert_eq!(get(address, "/v1/services?after=nonsense").await.0, 400);
    assert_eq!(get(address, "/nowhere").await.0, 404);
    assert_eq!(request(address, "POST", "/v1/services").await.0, 405);
    let (_, metrics) = get(address, "/metrics").await;
    for name in ["evenkeel_build_info", "evenkeel_manifest_services{state=\"in_force\"} 1"] {
        assert!(metrics.contains(name), "{name} is not in {metrics}");
    }
    shutdown.drain.cancel();
    within("the end", daemon.wait()).await.unwrap();
}

#[tokio::test]
async fn lists_services_in_pages() {
    let dir = tempfile::tempdir().unwrap();
    let names = ["a", "b", "c"];
    for name in names {
        std::fs::write(dir.path().join(format!("{name}.yaml")), manifest(name)).unwrap();
    }
    let shutdown = Shutdown::new();
    let daemon = start(dir.path(), Empty::with_looks(UNLIMITED), &shutdown).await;
    for name in names {
        until_on_board(&daemon, name).await;
    }
    let address = daemon.http_address();
    let (_, first) = get(address, "/v1/services?limit=2").await;
    assert!(first.ends_with(r#""next":"prod/b"}"#), "{first}");
    let (_, last) = get(address, "/v1/services?limit=2&after=prod/b").await;
    assert!(last.contains(r#""name":"c""#) && last.ends_with(r#""next":null}"#), "{last}");
}

#[tokio::test]
async fn is_not_ready_before_aws_was_read_once() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("web.yaml"), manifest("web")).unwrap();
    let cloud = Empty::with_looks(0);
    let daemon = start(dir.path(), cloud.clone(), &Shutdown::new()).await;
    until_manifests(&daemon, "the manifests", |report| report.services == 1).await;
    let (status, why) = get(daemon.http_address(), "/readyz").await;
    assert_eq!(status, 503);
    assert!(why.contains("a first successful look at AWS"), "{why}");
    cloud.looks.add_permits(100);
    until_on_board(&daemon, "web").await;
    assert_eq!(get(daemon.http_address(), "/readyz").await.0, 200);
}

#[tokio::test]
async fn waits_for_a_directory_that_is_not_there_yet() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = start(&dir.path().join("later"), Empty::with_looks(0), &Shutdown::new()).await;
    until_manifests(&daemon, "the complaint", |report| report.stale.is_some()).await;
    let (status, why) = get(daemon.http_address(), "/readyz").await;
    assert_eq!(status, 503);
    assert!(why.contains("cannot be read"), "{why}");
    assert_eq!(get(daemon.http_address(), "/healthz").await.0, 200);
}

#[tokio::test]
async fn a_service_that_was_not_looked_at_yet_is_not_told_as_one_that_no_manifest_names() {
    let dir = tempfile::tempdir().unwrap();
    let later = dir.path().join("later");
    let cloud = Empty::with_looks(0);
    let daemon = start(&later, cloud.clone(), &Shutdown::new()).await;
    let address = daemon.http_address();
    let (status, why) = get(address, "/v1/services/prod/web").await;
    assert!(status == 503 && why.contains("the manifests were not read yet"), "{status} {why}");
    std::fs::create_dir(&later).unwrap();
    std::fs::write(later.join("web.yaml"), manifest("web")).unwrap();
    until_manifests(&daemon, "the manifests", |report| report.services == 1).await;
    let (status, why) = get(address, "/v1/services/prod/web").await;
    assert!(status == 503 && why.contains("was not looked at yet"), "{status} {why}");
    assert_eq!(get(address, "/v1/services/prod/shop").await.0, 404);
    cloud.looks.add_permits(100);
    until_on_board(&daemon, "web").await;
    assert_eq!(get(address, "/v1/services/prod/web").await.0, 200);
}

#[tokio::test]
async fn a_saved_file_is_taken_in_and_a_vanished_directory_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let manifests = dir.path().join("manifests");
    std::fs::create_dir(&manifests).unwrap();
    std::fs::write(manifests.join("web.yaml"), manifest("web")).unwrap();
    let daemon = start(&manifests, Empty::with_looks(UNLIMITED), &Shutdown::new()).await;
    until_manifests(&daemon, "the first manifest", |report| report.services == 1).await;
    until_on_board(&daemon, "web").await;

    std::fs::write(manifests.join("api.yaml"), manifest("api")).unwrap();
    until_manifests(&daemon, "the second manifest", |report| report.services == 2).await;
    until_on_board(&daemon, "api").await;

    std::fs::write(manifests.join("api.yaml"), "{ not yaml").unwrap();
    until_manifests(&daemon, "the problem", |report| report.invalid == 1).await;

    std::fs::rename(&manifests, dir.path().join("elsewhere")).unwrap();
    until_manifests(&daemon, "the complaint", |report| report.stale.is_some()).await;
    assert_eq!(daemon.manifests().borrow().services, 2);
    assert!(daemon.board().get(&ServiceKey::new("prod", "web")).is_some());
}

#[tokio::test]
async fn a_link_that_is_swapped_to_another_checkout_is_followed() {
    let dir = tempfile::tempdir().unwrap();
    for (checkout, name) in [("one", "web"), ("two", "shop")] {
        std::fs::create_dir(dir.path().join(checkout)).unwrap();
        std::fs::write(dir.path().join(checkout).join("x.yaml"), manifest(name)).unwrap();
    }
    let current = dir.path().join("current");
    std::os::unix::fs::symlink("one", &current).unwrap();
    let daemon = start(&current, Empty::with_looks(UNLIMITED), &Shutdown::new()).await;
    until_on_board(&daemon, "web").await;

    std::os::unix::fs::symlink("two", dir.path().join("next")).unwrap();
    std::fs::rename(dir.path().join("next"), &current).unwrap();
    until_on_board(&daemon, "shop").await;
}

#[tokio::test]
async fn a_drain_lets_the_running_pass_finish_while_http_answers() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("web.yaml"), manifest("web")).unwrap();
    let shutdown = Shutdown::new();
    let cloud = Empty::with_looks(0);
    let daemon = start(dir.path(), cloud.clone(), &shutdown).await;
    let (address, board) = (daemon.http_address(), daemon.board().clone());
    within("a pass", cloud.begun.subscribe().wait_for(|begun| *begun > 0)).await.unwrap();

    shutdown.drain.cancel();
    let ended = daemon.wait();
    let finish = async {
        let (status, why) = get(address, "/readyz").await;
        assert_eq!(status, 503);
        assert!(why.contains("shutting down"), "{why}");
        cloud.looks.add_permits(100);
    };
    let (ended, ()) = within("the end", async { tokio::join!(ended, finish) }).await;
    ended.unwrap();
    let status = board.get(&ServiceKey::new("prod", "web"));
    assert!(status.is_some(), "the pass that was running ended with a status");
}

#[tokio::test]
async fn an_abort_does_not_wait_for_a_pass_that_hangs() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("web.yaml"), manifest("web")).unwrap();
    let shutdown = Shutdown::new();
    let cloud = Empty::with_looks(0);
    let daemon = start(dir.path(), cloud.clone(), &shutdown).await;
    within("a pass", cloud.begun.subscribe().wait_for(|begun| *begun > 0)).await.unwrap();
    shutdown.drain.cancel();
    shutdown.abort.cancel();
    let ended = within("the end", daemon.wait()).await;
    assert!(matches!(ended, Err(DaemonError::Aborted)), "{ended:?}");
}

#[tokio::test]
async fn an_address_in_use_is_told_with_the_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let first = start(dir.path(), Empty::with_looks(0), &Shutdown::new()).await;
    let mut config = config(dir.path());
    config.http.listen = first.http_address();
    let cloud = Empty::with_looks(0);
    let second = Daemon::start_with(config, cloud, Registry::new(), Shutdown::new(), None).await;
    let why = second.unwrap_err().to_string();
    assert!(why.contains("--listen"), "{why}");
}

/// A lease table in memory.
#[derive(Debug, Default)]
struct Table {
    records: Mutex<BTreeMap<String, LeaseRecord>>,
    is_down: bool,
}

const SHARD: &str = "shard/default/prod";

impl Table {
    /// In which the lease on the cluster `prod` is of this holder.
    fn held_by(holder: &str) -> Arc<Self> {
        let record = LeaseRecord { holder: holder.to_owned(), epoch: 7, beat: 3, version: 1 };
        let records = Mutex::new([(SHARD.to_owned(), record)].into());
        Arc::new(Self { records, is_down: false })
    }

    fn holder(&self) -> String {
        self.records.lock().unwrap().get(SHARD).unwrap().holder.clone()
    }

    fn replace(
        &self,
        name: &str,
        expected: Option<&LeaseRecord>,
        new: Option<&LeaseRecord>,
    ) -> bool {
        let mut records = self.records.lock().unwrap();
        let is_as_expected = records.get(name) == expected;
        if is_as_expected {
            records.remove(name);
            records.extend(new.map(|record| (name.to_owned(), record.clone())));
        }
        is_as_expected
    }
}

impl LeaseStore for Table {
    async fn read(&self) -> Result<BTreeMap<String, LeaseRecord>, LeaseStoreError> {
        if self.is_down {
            let (operation, message) = ("Query".to_owned(), "it is down".to_owned());
            return Err(LeaseStoreError { operation, message });
        }
        Ok(self.records.lock().unwrap().clone())
    }

    async fn put(
        &self,
        name: &str,
        expected: Option<&LeaseRecord>,
        record: &LeaseRecord,
    ) -> Result<bool, LeaseStoreError> {
        Ok(self.replace(name, expected, Some(record)))
    }

    async fn remove(&self, name: &str, expected: &LeaseRecord) -> Result<bool, LeaseStoreError> {
        Ok(self.replace(name, Some(expected), None))
    }
}

async fn start_replica(
    manifests: &Path,
    cloud: Arc<Empty>,
    table: &Arc<Table>,
    shutdown: &Shutdown,
) -> Daemon {
    let mut config = config(manifests);
    let (name, installation) = ("leases".to_owned(), "evenkeel/default".to_owned());
    let replica = Some("one".to_owned());
    config.lease = Some(LeaseConfig { table: name, installation, replica });
    let (table, registry) = (Some(table.clone()), Registry::new());
    Daemon::start_replica(config, cloud, table, registry, shutdown.clone(), None).await.unwrap()
}

fn json(body: &str) -> serde_json::Value {
    serde_json::from_str(body).unwrap()
}

#[tokio::test]
async fn a_replica_says_what_it_looks_after_and_gives_it_back_when_it_ends() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("web.yaml"), manifest("web")).unwrap();
    let (table, shutdown) = (Table::held_by(""), Shutdown::new());
    let daemon = start_replica(dir.path(), Empty::with_looks(UNLIMITED), &table, &shutdown).await;
    let address = daemon.http_address();
    within("the lease", async {
        let mut changed = daemon.board().changed();
        while json(&get(address, "/healthz").await.1)["looksAfter"] != serde_json::json!(["prod"]) {
            changed.changed().await.unwrap();
        }
    })
    .await;
    until_on_board(&daemon, "web").await;
    assert_eq!(json(&get(address, "/healthz").await.1)["replica"], "one");
    assert!(table.holder().starts_with("one#"), "{}", table.holder());
    let (_, services) = get(address, "/v1/services").await;
    assert_eq!(json(&services)["services"][0]["replica"], "one");
    let (_, metrics) = get(address, "/metrics").await;
    assert!(metrics.contains("evenkeel_lease_shards_held 1"), "{metrics}");

    shutdown.drain.cancel();
    within("the end", daemon.wait()).await.unwrap();
    assert_eq!(table.holder(), "", "it was given back");
    assert_eq!(table.records.lock().unwrap().len(), 1, "its sign of life is gone");
}

#[tokio::test]
async fn a_replica_that_looks_after_nothing_is_ready_and_says_who_looks_after_a_service() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("web.yaml"), manifest("web")).unwrap();
    let (table, cloud) = (Table::held_by("two#77"), Empty::with_looks(UNLIMITED));
    let daemon = start_replica(dir.path(), cloud.clone(), &table, &Shutdown::new()).await;
    let address = daemon.http_address();
    within("the other to be known", async {
        let mut changed = daemon.board().changed();
        while json(&get(address, "/v1/services/prod/web").await.1)["replica"] != "two" {
            changed.changed().await.unwrap();
        }
    })
    .await;
    let (status, why) = get(address, "/readyz").await;
    assert_eq!(status, 200, "{why}");
    assert_eq!(json(&get(address, "/healthz").await.1)["looksAfter"], serde_json::json!([]));
    assert_eq!(*cloud.begun.borrow(), 0, "it leaves the service alone");
}

#[tokio::test]
async fn a_replica_is_not_ready_before_it_has_read_the_lease_table() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("web.yaml"), manifest("web")).unwrap();
    let table = Arc::new(Table { is_down: true, ..Table::default() });
    let cloud = Empty::with_looks(UNLIMITED);
    let daemon = start_replica(dir.path(), cloud, &table, &Shutdown::new()).await;
    until_manifests(&daemon, "the manifests", |report| report.services == 1).await;
    let (status, why) = get(daemon.http_address(), "/readyz").await;
    assert_eq!(status, 503);
    assert!(why.contains("a first successful read of the lease table"), "{why}");
    assert!(!why.contains("look at AWS"), "{why}");
}
