//! Several replicas over one table, under paused time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use evenkeel_manifest::ServiceKey;
use evenkeel_planner::{ConditionKind, ConditionStatus};
use prometheus::{Registry, TextEncoder};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::*;
use crate::testing::{ScriptedCloud, key, service};
use crate::{
    ControlLoop, DesiredState, LoopHandle, LoopMetrics, LoopSettings, Shutdown, StatusBoard,
};

mod clocks;

const SECOND: Duration = Duration::from_secs(1);
const SHARD: &str = "shard/default/main";
/// How often it is looked whether two replicas could write.
const SAMPLE: Duration = Duration::from_millis(50);

type Records = Arc<Mutex<BTreeMap<String, LeaseRecord>>>;

fn lock(records: &Records) -> MutexGuard<'_, BTreeMap<String, LeaseRecord>> {
    records.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The table as one replica reaches it.
#[derive(Clone, Debug)]
struct Table {
    records: Records,
    is_cut: watch::Sender<bool>,
}

impl Table {
    async fn reached(&self) {
        if *self.is_cut.borrow() {
            std::future::pending::<()>().await;
        }
        sleep(Duration::from_millis(20)).await;
    }
}

impl LeaseStore for Table {
    async fn read(&self) -> Result<BTreeMap<String, LeaseRecord>, LeaseStoreError> {
        self.reached().await;
        Ok(lock(&self.records).clone())
    }

    async fn put(
        &self,
        name: &str,
        expected: Option<&LeaseRecord>,
        record: &LeaseRecord,
    ) -> Result<bool, LeaseStoreError> {
        self.reached().await;
        let mut records = lock(&self.records);
        let is_as_expected = records.get(name) == expected;
        if is_as_expected {
            records.insert(name.to_owned(), record.clone());
        }
        Ok(is_as_expected)
    }

    async fn remove(&self, name: &str, expected: &LeaseRecord) -> Result<bool, LeaseStoreError> {
        self.reached().await;
        let mut records = lock(&self.records);
        let is_as_expected = records.get(name) == Some(expected);
        if is_as_expected {
            records.remove(name);
        }
        Ok(is_as_expected)
    }
}

/// A keeper that runs.
struct Replica {
    held: HeldShards,
    is_cut: watch::Sender<bool>,
    desired: watch::Sender<Arc<DesiredState>>,
    shutdown: Shutdown,
    registry: Registry,
    tasks: JoinSet<()>,
}

fn shard() -> ShardId {
    ShardId::of(&key("web"))
}

/// One service in one cluster.
fn wanted() -> watch::Sender<Arc<DesiredState>> {
    let web = service("web", "1");
    let services = [(web.key.clone(), Arc::new(web))].into();
    watch::Sender::new(Arc::new(DesiredState { services, ..DesiredState::default() }))
}

fn start_version(records: &Records, name: &str, seed: u64, version: u32) -> Replica {
    let is_cut = watch::Sender::new(false);
    let table = Table { records: records.clone(), is_cut: is_cut.clone() };
    let settings =
        LeaseSettings { replica: name.to_owned(), seed: Some(seed), ..LeaseSettings::default() };
    let registry = Registry::new();
    let metrics = LeaseMetrics::register(&registry).expect("nothing is registered yet");
    let desired = wanted();
    let keeper =
        LeaseKeeper::of_version(version, Arc::new(table), settings, metrics, desired.subscribe());
    let keeper = keeper.expect("the settings are sound");
    let (held, shutdown) = (keeper.held(), Shutdown::new());
    let mut tasks = JoinSet::new();
    tasks.spawn(keeper.run(shutdown.clone()));
    Replica { held, is_cut, desired, shutdown, registry, tasks }
}

fn start(records: &Records, name: &str) -> Replica {
    start_version(records, name, 1, LEASE_VERSION)
}

impl Replica {
    fn holds(&self) -> bool {
        self.held.standing(&shard()) == Standing::Held
    }

    fn may_write(&self) -> bool {
        self.held.begin(&shard()).is_ok_and(|lease| lease.times().covers_a_write(lease.left()))
    }

    async fn holds_within(&self, limit: Duration) -> Duration {
        let began = Instant::now();
        while !self.holds() {
            assert!(began.elapsed() <= limit, "not held after {limit:?}");
            sleep(SAMPLE).await;
        }
        began.elapsed()
    }
}

/// The name that wins the shard among `a` and `b`, and the other.
fn by_preference() -> (&'static str, &'static str) {
    match shard::preferred(&shard(), &["a", "b"].into()) {
        Some("a") => ("a", "b"),
        _ => ("b", "a"),
    }
}

/// The preferred replica holds the shard, and the other watches.
async fn two() -> (Records, Replica, Replica) {
    let records = Records::default();
    let (first, second) = by_preference();
    let (first, second) = (start(&records, first), start(&records, second));
    first.holds_within(20 * SECOND).await;
    sleep(40 * SECOND).await;
    assert!(first.holds() && !second.holds());
    (records, first, second)
}

#[tokio::test(start_paused = true)]
async fn a_replica_alone_takes_a_shard_that_nobody_holds_and_keeps_writing_without_a_gap() {
    let records = Records::default();
    let replica = start(&records, "a");
    assert!(replica.holds_within(20 * SECOND).await >= 18 * SECOND, "it could have been deleted");
    for _ in 0..2000 {
        assert!(replica.may_write());
        sleep(SAMPLE).await;
    }
}

#[tokio::test(start_paused = true)]
async fn when_a_replica_dies_another_takes_over_within_twenty_seconds_and_not_before_it_may() {
    for death in (0..30).map(|n| SAMPLE * n) {
        let (_, mut first, second) = two().await;
        sleep(death).await;
        first.tasks.shutdown().await;
        let (died, mut last_write) = (Instant::now(), None);
        while !second.holds() {
            last_write = first.may_write().then(Instant::now).or(last_write);
            assert!(died.elapsed() <= 20 * SECOND, "{:?}", died.elapsed());
            sleep(SAMPLE).await;
        }
        let last_effect = last_write.map(|at| at + 4 * SECOND);
        assert!(last_effect.is_none_or(|at| at < Instant::now()));
        let text = TextEncoder::new().encode_to_string(&second.registry.gather());
        let text = text.expect("is valid text");
        assert!(text.contains("evenkeel_lease_takeovers_total 1\n"), "{text}");
        assert!(text.contains("evenkeel_lease_shards_held 1\n"), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_loses_the_table_stops_writing_before_another_begins() {
    let (_, first, second) = two().await;
    first.is_cut.send_replace(true);
    let (cut, mut last_write) = (Instant::now(), Duration::ZERO);
    while !second.holds() {
        if first.may_write() {
            last_write = cut.elapsed();
        }
        sleep(SAMPLE).await;
    }
    assert!(last_write <= 4 * SECOND, "{last_write:?}");
    assert!(cut.elapsed() >= last_write + 4 * SECOND);
    first.is_cut.send_replace(false);
    sleep(10 * SECOND).await;
    let Standing::Elsewhere { replica } = first.held.standing(&shard()) else { panic!("taken") };
    assert_eq!(replica, by_preference().1);
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_was_frozen_for_ten_minutes_sends_nothing_when_it_wakes() {
    let records = Records::default();
    let replica = start(&records, "a");
    replica.holds_within(20 * SECOND).await;
    let lease = replica.held.begin(&shard()).expect("it is held");
    assert!(lease.left() > Duration::ZERO);
    tokio::time::advance(600 * SECOND).await;
    assert_eq!(lease.left(), Duration::ZERO);
    assert_eq!(replica.held.begin(&shard()).map(drop), Err(Standing::Vacant));
}

#[tokio::test(start_paused = true)]
async fn while_the_table_is_down_nothing_is_written_and_writing_resumes_when_it_is_back() {
    let records = Records::default();
    let replica = start(&records, "a");
    replica.holds_within(20 * SECOND).await;
    replica.is_cut.send_replace(true);
    sleep(8 * SECOND).await;
    for _ in 0..1000 {
        assert!(!replica.may_write());
        sleep(SAMPLE).await;
    }
    replica.is_cut.send_replace(false);
    replica.holds_within(3 * SECOND).await;
    assert!(replica.may_write());
    assert_eq!(lock(&records).get(SHARD).map(|record| record.epoch), Some(1), "it never left");
}

#[tokio::test(start_paused = true)]
async fn a_shard_is_handed_over_only_when_its_passes_have_ended_and_no_write_is_open() {
    let records = Records::default();
    let (preferred, other) = by_preference();
    let first = start(&records, other);
    first.holds_within(20 * SECOND).await;
    let second = start(&records, preferred);
    let pass = first.held.begin(&shard()).expect("it is held");
    sleep(25 * SECOND).await;
    assert!(first.holds(), "it could be gone again in a moment");
    sleep(10 * SECOND).await;
    assert_eq!(first.held.standing(&shard()), Standing::HandingOver);
    assert_eq!(first.held.begin(&shard()).map(drop), Err(Standing::HandingOver));
    sleep(60 * SECOND).await;
    assert!(pass.times().covers_a_write(pass.left()), "the pass that runs may end in order");
    assert!(!second.holds());
    pass.unanswered(Instant::now() + 4 * SECOND);
    drop(pass);
    sleep(3 * SECOND).await;
    assert!(!second.holds(), "a write could still take effect");
    second.holds_within(3 * SECOND).await;
    assert!(matches!(first.held.standing(&shard()), Standing::Elsewhere { .. } | Standing::Vacant));
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_shuts_down_gives_its_leases_back_and_another_takes_them_at_once() {
    let (records, mut first, second) = two().await;
    let pass = first.held.begin(&shard()).expect("it is held");
    first.shutdown.drain.cancel();
    sleep(10 * SECOND).await;
    assert!(!second.holds(), "a pass still runs");
    drop(pass);
    second.holds_within(3 * SECOND).await;
    assert!(first.tasks.join_next().await.is_some(), "the keeper has ended");
    assert_eq!(lock(&records).keys().filter(|name| name.starts_with("replica/")).count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_a_person_deletes_is_put_back_with_a_higher_epoch_and_no_gap() {
    let (records, first, second) = two().await;
    let before = lock(&records).remove(SHARD).expect("it is held");
    for _ in 0..100 {
        assert!(first.may_write() && !second.may_write());
        sleep(SAMPLE).await;
    }
    let after = lock(&records).get(SHARD).cloned().expect("it is held");
    assert_eq!((after.holder, after.epoch), (before.holder, before.epoch + 1));
}

/// The other replica has seen no record of the shard, ever: the lease was taken and removed between two of its reads.
#[tokio::test(start_paused = true)]
async fn a_table_that_a_person_empties_just_after_a_lease_was_taken_makes_no_two_holders() {
    for offset in (0..15).map(|n| 2 * SAMPLE * n) {
        let records = Records::default();
        let (first, second) = by_preference();
        let first = start(&records, first);
        sleep(offset).await;
        let second = start(&records, second);
        while !lock(&records).contains_key(SHARD) {
            sleep(SAMPLE).await;
        }
        lock(&records).clear();
        for _ in 0..400 {
            assert!(!(first.may_write() && second.may_write()), "started after {offset:?}");
            sleep(SAMPLE).await;
        }
        assert!(first.may_write() || second.may_write());
    }
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_a_person_edits_is_lost_at_once_and_taken_again_with_a_higher_epoch() {
    let (records, first, _second) = two().await;
    let holder = "nobody".to_owned();
    let edited = LeaseRecord { holder, epoch: 7, beat: 0, version: 1 };
    lock(&records).insert(SHARD.to_owned(), edited);
    sleep(2 * SECOND).await;
    assert!(!first.may_write());
    first.holds_within(20 * SECOND).await;
    assert_eq!(lock(&records).get(SHARD).map(|record| record.epoch), Some(8));
}

#[tokio::test(start_paused = true)]
async fn an_older_version_yields_to_a_newer_one_and_comes_back_when_that_is_gone() {
    let records = Records::default();
    let older = start_version(&records, "a", 1, 1);
    older.holds_within(20 * SECOND).await;
    let mut newer = start_version(&records, "b", 2, 2);
    newer.holds_within(40 * SECOND).await;
    sleep(60 * SECOND).await;
    assert!(newer.holds() && !older.holds());
    newer.tasks.shutdown().await;
    older.holds_within(20 * SECOND).await;
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_restarts_is_another_holder_and_waits_for_what_it_may_have_sent() {
    let records = Records::default();
    let mut replica = start_version(&records, "a", 1, 1);
    replica.holds_within(20 * SECOND).await;
    replica.tasks.shutdown().await;
    let replica = start_version(&records, "a", 2, 1);
    assert!(replica.holds_within(20 * SECOND).await >= 18 * SECOND);
}

/// A replica whose loop looks at `web`.
struct Looking {
    cloud: Arc<ScriptedCloud>,
    board: Arc<StatusBoard>,
    handle: LoopHandle,
    registry: Registry,
    _tasks: JoinSet<()>,
}

fn looks(replica: &Replica) -> Looking {
    looks_through(replica, ScriptedCloud::new(SECOND))
}

fn looks_through(replica: &Replica, cloud: ScriptedCloud) -> Looking {
    looks_under(&replica.held, &replica.desired, &replica.shutdown, cloud)
}

fn looks_under(
    held: &HeldShards,
    desired: &watch::Sender<Arc<DesiredState>>,
    shutdown: &Shutdown,
    cloud: ScriptedCloud,
) -> Looking {
    let cloud = Arc::new(cloud);
    let (registry, board) = (Registry::new(), Arc::new(StatusBoard::new()));
    let metrics = LoopMetrics::register(&registry).expect("nothing is registered yet");
    let settings = LoopSettings { seed: Some(7), ..LoopSettings::default() };
    let desired = desired.subscribe();
    let control_loop = ControlLoop::new(cloud.clone(), settings, metrics, desired, board.clone());
    let control_loop = control_loop.with_lease(held.clone());
    let (shutdown, handle) = (shutdown.clone(), control_loop.handle());
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { control_loop.run(shutdown).await.expect("manifests go on") });
    Looking { cloud, board, handle, registry, _tasks: tasks }
}

impl Looking {
    fn ready(&self) -> (ConditionStatus, &'static str, String) {
        self.ready_of(&key("web"))
    }

    fn ready_of(&self, key: &ServiceKey) -> (ConditionStatus, &'static str, String) {
        let status = self.board.get(key).expect("is shown");
        let ready = status.condition(ConditionKind::Ready).expect("is always there").clone();
        (ready.status, ready.reason, ready.message)
    }
}

#[tokio::test(start_paused = true)]
async fn only_the_holder_looks_and_the_other_shows_who_it_is_and_looks_as_soon_as_it_holds() {
    let (_, mut first, second) = two().await;
    let (active, waiting) = (looks(&first), looks(&second));
    sleep(600 * SECOND).await;
    assert!(active.cloud.looks().len() >= 2);
    assert_eq!(waiting.cloud.looks(), []);
    let name = by_preference().0;
    let message = format!("replica {name} looks after the services of cluster main");
    assert_eq!(waiting.ready(), (ConditionStatus::Unknown, "StandBy", message));
    let text = TextEncoder::new().encode_to_string(&waiting.registry.gather());
    let text = text.expect("is valid text");
    assert!(!text.contains("service=\"web\""), "the holder's metrics show it:\n{text}");
    first.tasks.shutdown().await;
    let took = second.holds_within(20 * SECOND).await;
    sleep(SECOND).await;
    assert_eq!(waiting.cloud.looks().len(), 1, "it is due at once, after {took:?}");
    sleep(600 * SECOND).await;
    assert_ne!(waiting.ready().1, "StandBy");
}

#[tokio::test(start_paused = true)]
async fn a_pass_whose_lease_runs_out_writes_nothing_and_is_counted() {
    let replica = start(&Records::default(), "a");
    replica.holds_within(20 * SECOND).await;
    let cloud = ScriptedCloud::new(5 * SECOND);
    cloud.is_absent("web");
    let looking = looks_through(&replica, cloud);
    sleep(SECOND).await;
    replica.is_cut.send_replace(true);
    sleep(60 * SECOND).await;
    assert_eq!(looking.cloud.calls(), Vec::<String>::new());
    assert_eq!(looking.ready().1, "StandBy");
    let text = TextEncoder::new().encode_to_string(&looking.registry.gather());
    let text = text.expect("is valid text");
    assert!(text.contains("evenkeel_passes_total{outcome=\"lease_lost\"} 2\n"), "{text}");
    replica.is_cut.send_replace(false);
    sleep(20 * SECOND).await;
    assert_eq!(looking.cloud.calls(), ["RegisterTaskDefinition web", "CreateService web"]);
}

/// When the last sweep was complete, as the metrics tell.
fn last_sweep(looking: &Looking) -> String {
    let text = TextEncoder::new().encode_to_string(&looking.registry.gather());
    let text = text.expect("is valid text");
    let head = "evenkeel_last_successful_resync_timestamp_seconds ";
    text.lines().find_map(|line| line.strip_prefix(head)).expect("is always there").to_owned()
}

#[tokio::test(start_paused = true)]
async fn while_the_table_is_down_services_that_nobody_looks_after_are_neither_seen_nor_hidden() {
    let replica = start(&Records::default(), "a");
    replica.holds_within(20 * SECOND).await;
    let looking = looks(&replica);
    sleep(5 * SECOND).await;
    replica.is_cut.send_replace(true);
    sleep(30 * SECOND).await;
    let before = last_sweep(&looking);
    sleep(600 * SECOND).await;
    assert_eq!(last_sweep(&looking), before, "nobody looked");
    let text = crate::metrics_text(&looking.registry, &looking.board).expect("is valid text");
    let labels = r#"cluster="main",service="web",target="default""#;
    for (kind, value) in [("Ready", 0), ("Unknown", 1)] {
        let series = format!("evenkeel_service_condition{{{labels},type=\"{kind}\"}} {value}\n");
        assert!(text.contains(&series), "{series}{text}");
    }
    assert_eq!(looking.ready().1, "StandBy");
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_only_waits_has_seen_all_for_as_long_as_the_table_says_who_looks() {
    let (_, first, second) = two().await;
    let waiting = looks(&second);
    sleep(10 * SECOND).await;
    let before = last_sweep(&waiting);
    sleep(10 * SECOND).await;
    let after = last_sweep(&waiting);
    assert_ne!(after, before, "another replica looks after all");
    let text = crate::metrics_text(&waiting.registry, &waiting.board).expect("is valid text");
    assert!(!text.contains("service=\"web\""), "the holder's metrics show it:\n{text}");
    second.is_cut.send_replace(true);
    sleep(30 * SECOND).await;
    let before = last_sweep(&waiting);
    sleep(600 * SECOND).await;
    assert_eq!(last_sweep(&waiting), before, "whether the other one lives is not known");
    assert!(first.holds());
}

#[tokio::test(start_paused = true)]
async fn of_two_loops_over_one_shard_only_one_looks_at_a_time_while_it_changes_hands() {
    let records = Records::default();
    let (preferred, other) = by_preference();
    let first = start(&records, other);
    first.holds_within(20 * SECOND).await;
    let old = looks_through(&first, ScriptedCloud::new(90 * SECOND));
    sleep(SECOND).await;
    let second = start(&records, preferred);
    let new = looks(&second);
    sleep(85 * SECOND).await;
    assert_eq!(new.cloud.looks(), [], "the pass of the old holder still runs");
    sleep(8 * SECOND).await;
    assert_eq!((old.cloud.looks().len(), new.cloud.looks().len()), (1, 1));
    sleep(10 * SECOND).await;
    let message = format!("replica {preferred} looks after the services of cluster main");
    assert_eq!(old.ready(), (ConditionStatus::Unknown, "StandBy", message));
}

/// A loop over `web`, and over `api` in a cluster of its own, and the leases that it asks for.
struct TwoShards {
    held: HeldShards,
    looking: Looking,
    other: ServiceKey,
    _desired: watch::Sender<Arc<DesiredState>>,
}

fn looks_at_two_shards() -> TwoShards {
    let (web, mut api) = (service("web", "1"), service("api", "1"));
    api.key.cluster = "other".to_owned();
    let other = api.key.clone();
    let services = [web, api].map(|one| (one.key.clone(), Arc::new(one))).into();
    let desired = DesiredState { services, ..DesiredState::default() };
    let desired = watch::Sender::new(Arc::new(desired));
    let held = HeldShards::new(&LeaseSettings::default());
    for shard in [shard(), ShardId::of(&other)] {
        renew(&held, &shard);
    }
    let looking = looks_under(&held, &desired, &Shutdown::new(), ScriptedCloud::new(SECOND));
    TwoShards { held, looking, other, _desired: desired }
}

fn renew(held: &HeldShards, shard: &ShardId) {
    held.set(shard, Standing::Held, Some(Instant::now() + 10 * SECOND));
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_is_renewed_after_another_one_when_all_ran_out_is_looked_after_again() {
    for is_asked_for in [false, true] {
        let two = looks_at_two_shards();
        let (TwoShards { held, looking, other, .. }, api) = (&two, ShardId::of(&two.other));
        sleep(5 * SECOND).await;
        assert_ne!(looking.ready_of(other).1, "StandBy");
        tokio::time::advance(20 * SECOND).await;
        if is_asked_for {
            looking.handle.trigger(key("web"));
            sleep(SAMPLE).await;
        }
        renew(held, &shard());
        sleep(SAMPLE).await;
        renew(held, &api);
        sleep(5 * SECOND).await;
        assert_ne!(looking.ready().1, "StandBy");
        assert_ne!(looking.ready_of(other).1, "StandBy", "its turn may be minutes away");
    }
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_a_pass_saw_to_have_run_out_is_told_as_lost_to_all_services_of_its_shard() {
    let held = HeldShards::new(&LeaseSettings::default());
    renew(&held, &shard());
    let version = held.changed();
    tokio::time::advance(20 * SECOND).await;
    assert_eq!(held.begin(&shard()).map(drop), Err(Standing::Vacant));
    held.set(&shard(), Standing::Vacant, None);
    assert!(version.has_changed().expect("the leases are there"));
}
