//! The loop's guarantees, under paused time and against a scripted cloud.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use evenkeel_manifest::{Digest, Service};
use evenkeel_planner::{Applied, ConditionKind, ConditionStatus, Outcome};
use prometheus::Registry;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::*;

use crate::testing::{Look, ScriptedCloud, key, service, transient};
use crate::{CloudError, Mode, Withheld, metrics_text, reconcile};

mod figures;
mod orders;
mod withheld;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);

/// Without jitter, so that times can be told to the millisecond.
fn exact() -> LoopSettings {
    LoopSettings {
        jitter: 0.0,
        change_spread: Duration::ZERO,
        seed: Some(7),
        ..LoopSettings::default()
    }
}

fn state(services: impl IntoIterator<Item = Service>) -> DesiredState {
    let services = services.into_iter().map(|s| (s.key.clone(), Arc::new(s))).collect();
    DesiredState { services, ..DesiredState::default() }
}

fn many(count: usize) -> DesiredState {
    state((0..count).map(|n| service(&format!("s{n:03}"), "1")))
}

/// A loop that runs, and everything that it is connected to.
struct Running {
    cloud: Arc<ScriptedCloud>,
    desired: watch::Sender<Arc<DesiredState>>,
    board: Arc<StatusBoard>,
    handle: LoopHandle,
    shutdown: Shutdown,
    registry: Registry,
    tasks: JoinSet<Result<(), LoopError>>,
}

fn not_running(
    settings: LoopSettings,
    cloud: &Arc<ScriptedCloud>,
    first: DesiredState,
) -> (ControlLoop<ScriptedCloud>, watch::Sender<Arc<DesiredState>>, Registry) {
    let (sender, receiver) = watch::channel(Arc::new(first));
    let registry = Registry::new();
    let metrics = LoopMetrics::register(&registry).expect("nothing is registered yet");
    let board = Arc::new(StatusBoard::new());
    let control_loop = ControlLoop::new(cloud.clone(), settings, metrics, receiver, board);
    (control_loop, sender, registry)
}

impl Running {
    fn start(settings: LoopSettings, cloud: ScriptedCloud, first: DesiredState) -> Self {
        let cloud = Arc::new(cloud);
        let (control_loop, desired, registry) = not_running(settings, &cloud, first);
        let (board, handle) = (control_loop.board.clone(), control_loop.handle());
        let shutdown = Shutdown::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(control_loop.run(shutdown.clone()));
        Self { cloud, desired, board, handle, shutdown, registry, tasks }
    }

    fn send(&self, state: DesiredState) {
        self.desired.send_replace(Arc::new(state));
    }

    async fn ends_within(&mut self, limit: Duration) -> Option<Result<(), LoopError>> {
        let ended = timeout(limit, self.tasks.join_next()).await.ok()??;
        Some(ended.expect("the loop itself does not panic"))
    }

    fn condition(&self, name: &str, kind: ConditionKind) -> Option<(ConditionStatus, String)> {
        let status = self.board.get(&key(name))?;
        let condition = status.conditions.iter().find(|c| c.kind == kind)?;
        Some((condition.status, condition.message.clone()))
    }

    fn metrics(&self) -> String {
        metrics_text(&self.registry, &self.board).expect("is valid text")
    }

    #[track_caller]
    fn assert_metric(&self, line: &str) {
        let text = self.metrics();
        assert!(text.lines().any(|l| l == line), "no line {line:?} in:\n{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_never_has_two_passes_at_once_and_no_trigger_is_lost() {
    let cloud = ScriptedCloud::new(10 * SECOND);
    let running = Running::start(exact(), cloud, state([service("web", "1")]));
    sleep(SECOND).await;
    for _ in 0..5 {
        running.handle.trigger(key("web"));
        sleep(SECOND).await;
    }
    sleep(MINUTE).await;
    assert_eq!(running.cloud.overlaps(), Vec::<String>::new());
    assert_eq!(running.cloud.looks_at("web"), [Duration::ZERO, 10 * SECOND]);
}

#[tokio::test(start_paused = true)]
async fn a_trigger_before_a_pass_begins_is_one_pass() {
    let running = Running::start(exact(), ScriptedCloud::new(SECOND), state([service("web", "1")]));
    sleep(MINUTE).await;
    for _ in 0..100 {
        running.handle.trigger(key("web"));
    }
    sleep(MINUTE).await;
    assert_eq!(running.cloud.looks_at("web"), [Duration::ZERO, MINUTE]);
}

#[tokio::test(start_paused = true)]
async fn a_trigger_for_a_service_that_no_manifest_names_looks_at_nothing() {
    let running = Running::start(exact(), ScriptedCloud::new(SECOND), DesiredState::default());
    running.handle.trigger(key("stranger"));
    sleep(MINUTE).await;
    assert_eq!(running.cloud.looks(), []);
}

#[tokio::test(start_paused = true)]
async fn passes_use_all_places_and_never_more() {
    let settings = LoopSettings { passes_max: 7, passes_kept_for_urgent: 0, ..exact() };
    let running = Running::start(settings, ScriptedCloud::new(SECOND), many(70));
    sleep(11 * SECOND).await;
    assert_eq!(running.cloud.running_most(), 7);
    assert_eq!(running.cloud.looks().len(), 70, "seven at a time take ten seconds for seventy");
}

#[tokio::test(start_paused = true)]
async fn a_change_of_many_that_fills_its_places_does_not_hold_up_a_change_of_one() {
    let cloud = ScriptedCloud::new(MINUTE);
    let settings = LoopSettings { passes_max: 8, passes_kept_for_urgent: 2, ..exact() };
    let running = Running::start(settings, cloud, many(100));
    sleep(SECOND).await;
    assert_eq!(running.cloud.running_most(), 6);
    let mut next = many(100);
    next.services.insert(key("s099"), Arc::new(service("s099", "2")));
    running.send(next);
    running.handle.trigger(key("s098"));
    sleep(SECOND).await;
    assert_eq!(running.cloud.looks_at("s099"), [SECOND]);
    assert_eq!(running.cloud.looks_at("s098"), [SECOND]);
    assert_eq!(running.cloud.running_most(), 8);
}

/// Asks for `busy` over and over, whose looks end one after another, so that never many places are free at a time.
async fn in_constant_demand(running: &Running, busy: &[String], time: Duration) {
    for (number, name) in (0_u64..).zip(busy) {
        let takes = Look::Takes(Duration::from_millis(900 + 17 * number));
        running.cloud.script(name, vec![takes; 2000]);
    }
    let until = Instant::now() + time;
    while Instant::now() < until {
        for name in busy {
            running.handle.trigger(key(name));
        }
        sleep(SECOND / 10).await;
    }
}

fn names(numbers: std::ops::Range<usize>) -> Vec<String> {
    numbers.map(|number| format!("s{number:03}")).collect()
}

#[tokio::test(start_paused = true)]
async fn services_that_are_urgent_all_the_time_do_not_starve_the_sweep() {
    for (places, kept) in [(8, 2), (8, 4), (2, 1)] {
        let settings = LoopSettings { passes_max: places, passes_kept_for_urgent: kept, ..exact() };
        let running = Running::start(settings, ScriptedCloud::new(SECOND), many(24));
        sleep(MINUTE).await;
        let before: Vec<usize> =
            names(0..24).iter().map(|name| running.cloud.looks_at(name).len()).collect();
        in_constant_demand(&running, &names(0..12), 10 * MINUTE).await;
        for (name, before) in names(12..24).iter().zip(&before[12..]) {
            let looks = running.cloud.looks_at(name).len() - before;
            assert_eq!(looks, 2, "{name} has two turns in ten minutes, at {places} places");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn services_that_are_not_urgent_take_a_quarter_of_the_places_while_urgent_ones_wait() {
    let settings = LoopSettings { passes_max: 8, passes_kept_for_urgent: 2, ..exact() };
    let running = Running::start(settings, ScriptedCloud::new(MINUTE), many(400));
    sleep(SECOND).await;
    let before = running.cloud.looks().len();
    assert_eq!(before, 6);
    in_constant_demand(&running, &names(380..400), 5 * MINUTE).await;
    let looks = running.cloud.looks().split_off(before);
    let (urgent, others): (Vec<_>, Vec<_>) = looks.into_iter().partition(|(n, _)| &**n >= "s380");
    assert!((6..=10).contains(&others.len()), "two at a time, each for a minute: {others:?}");
    assert!(urgent.len() > 4 * 60 * 5, "{} in the six other places", urgent.len());
}

#[tokio::test(start_paused = true)]
async fn a_service_in_constant_demand_does_not_starve_another() {
    let settings = LoopSettings { passes_max: 1, ..exact() };
    let first = state([service("busy", "1")]);
    let running = Running::start(settings, ScriptedCloud::new(SECOND), first);
    sleep(SECOND / 2).await;
    running.send(state([service("busy", "1"), service("quiet", "1")]));
    for _ in 0..50 {
        running.handle.trigger(key("busy"));
        sleep(SECOND / 10).await;
    }
    assert_eq!(running.cloud.looks_at("quiet"), [SECOND]);
}

/// Times and order of all looks but those at `bad`.
async fn looks_of_neighbours(bad: Vec<Look>) -> Vec<(String, Duration)> {
    let cloud = ScriptedCloud::new(SECOND);
    cloud.script("s005", bad);
    let settings = LoopSettings { change_spread: SECOND, jitter: 0.1, ..exact() };
    let running = Running::start(settings, cloud, many(12));
    sleep(30 * MINUTE).await;
    let mut looks = running.cloud.looks();
    looks.retain(|(name, _)| name != "s005");
    looks
}

#[tokio::test(start_paused = true)]
async fn a_service_that_panics_fails_or_hangs_changes_nothing_for_its_neighbours() {
    let undisturbed = looks_of_neighbours(Vec::new()).await;
    assert!(undisturbed.len() > 60, "eleven neighbours were swept six times");
    assert_eq!(looks_of_neighbours(vec![Look::Panics; 100]).await, undisturbed);
    assert_eq!(looks_of_neighbours(vec![Look::Hangs; 100]).await, undisturbed);
    let failing = Look::Fails(transient("DescribeServices"));
    assert_eq!(looks_of_neighbours(vec![failing; 100]).await, undisturbed);
}

#[tokio::test(start_paused = true)]
async fn a_pass_that_panics_backs_off_long_is_counted_and_shown() {
    let cloud = ScriptedCloud::new(SECOND);
    cloud.script("web", [Look::Panics]);
    let running = Running::start(exact(), cloud, state([service("web", "1")]));
    sleep(MINUTE).await;
    let (status, message) = running.condition("web", ConditionKind::Unknown).expect("is shown");
    assert_eq!((status, &*message), (ConditionStatus::True, "a pass panicked: the script says so"));
    running.assert_metric("evenkeel_pass_panics_total 1");
    sleep(5 * MINUTE).await;
    assert_eq!(running.cloud.looks_at("web"), [Duration::ZERO, 5 * MINUTE]);
}

#[tokio::test(start_paused = true)]
async fn a_pass_that_hangs_is_cancelled_shown_and_followed_by_a_look() {
    let cloud = ScriptedCloud::new(SECOND);
    cloud.script("web", [Look::Hangs]);
    let running = Running::start(exact(), cloud, state([service("web", "1")]));
    sleep(2 * MINUTE + SECOND / 4).await;
    assert_eq!(
        running.condition("web", ConditionKind::Unknown).map(|(status, _)| status),
        Some(ConditionStatus::True)
    );
    sleep(MINUTE).await;
    assert_eq!(running.cloud.looks_at("web"), [Duration::ZERO, 2 * MINUTE + SECOND / 2]);
    running.assert_metric(r#"evenkeel_passes_total{outcome="timed_out"} 1"#);
}

#[tokio::test(start_paused = true)]
async fn failures_back_off_and_one_success_forgets_them() {
    let fails = || Look::Fails(transient("DescribeServices"));
    let cloud = ScriptedCloud::new(Duration::ZERO);
    cloud.script("web", [fails(), fails(), fails(), Look::Takes(Duration::ZERO), fails(), fails()]);
    let running = Running::start(exact(), cloud, state([service("web", "1")]));
    sleep(MINUTE).await;
    running.handle.trigger(key("web"));
    sleep(MINUTE).await;
    let looks = running.cloud.looks_at("web");
    let gaps: Vec<Duration> = looks.windows(2).map(|pair| pair[1].abs_diff(pair[0])).collect();
    let ceilings = [SECOND, 2 * SECOND, 4 * SECOND, MINUTE, SECOND, 2 * SECOND];
    assert_eq!(gaps.len(), ceilings.len(), "{gaps:?}");
    for (gap, ceiling) in gaps.iter().zip(ceilings) {
        assert!(*gap <= ceiling, "{gaps:?}");
    }
    assert!(running.board.get(&key("web")).is_some());
}

#[tokio::test(start_paused = true)]
async fn every_failed_look_leaves_a_status_and_a_count() {
    let operation = || "DescribeServices".to_owned();
    let (code, message) = (String::new, || "no".to_owned());
    let errors = [
        CloudError::Throttled { operation: operation(), message: message(), retry_after: None },
        transient("DescribeServices"),
        CloudError::UnknownOutcome { operation: operation(), message: message() },
        CloudError::Rejected { operation: operation(), code: code(), message: message() },
        CloudError::Denied { operation: operation(), code: code(), message: message() },
        CloudError::Quota { operation: operation(), code: code(), message: message() },
        CloudError::Conflict { operation: operation(), code: code(), message: message() },
        CloudError::CapabilityMissing { operation: operation() },
    ];
    for error in errors {
        let cloud = ScriptedCloud::new(SECOND);
        cloud.script("web", [Look::Fails(error.clone())]);
        let running = Running::start(exact(), cloud, state([service("web", "1")]));
        sleep(Duration::from_millis(1)).await;
        assert!(running.board.get(&key("web")).is_some(), "no status after {error}");
        let class = error.class();
        running.assert_metric(&format!(r#"evenkeel_passes_total{{outcome="{class}"}} 1"#));
    }
}

#[tokio::test(start_paused = true)]
async fn the_sweep_looks_at_each_service_once_a_period_ten_at_a_time_and_evenly_spread() {
    let running = Running::start(exact(), ScriptedCloud::new(Duration::ZERO), many(30));
    sleep(20 * MINUTE + SECOND).await;
    let looks = running.cloud.looks().into_iter();
    let one_period = (15 * MINUTE + SECOND)..(20 * MINUTE + SECOND);
    let mut turns: BTreeMap<u128, BTreeSet<String>> = BTreeMap::new();
    for (name, at) in looks.filter(|(_, at)| one_period.contains(at)) {
        assert!(turns.entry(at.as_millis()).or_default().insert(name), "looked twice");
    }
    let sizes: Vec<(u128, usize)> = turns.iter().map(|(at, names)| (*at, names.len())).collect();
    let [first, second, third] = sizes[..] else { panic!("not three turns: {sizes:?}") };
    assert_eq!((first.1, second.1, third.1), (10, 10, 10));
    assert!(second.0 - first.0 >= 99_990 && second.0 - first.0 <= 100_010, "{sizes:?}");
    assert!(third.0 - second.0 >= 99_990 && third.0 - second.0 <= 100_010, "{sizes:?}");
    let names = turns.into_values().flatten().collect::<BTreeSet<_>>();
    assert_eq!(names.len(), 30, "each service has its turn");
}

#[tokio::test(start_paused = true)]
async fn a_change_of_one_manifest_looks_at_one_service() {
    let running = Running::start(exact(), ScriptedCloud::new(SECOND), many(30));
    sleep(10 * SECOND).await;
    let before = running.cloud.looks().len();
    let mut next = many(30);
    next.services.insert(key("s004"), Arc::new(service("s004", "2")));
    running.send(next);
    sleep(SECOND).await;
    let looks = running.cloud.looks().split_off(before);
    assert_eq!(looks, [("s004".to_owned(), 10 * SECOND)]);
}

#[tokio::test(start_paused = true)]
async fn a_manifest_that_changes_during_a_pass_gets_another_pass_with_the_new_content() {
    let running =
        Running::start(exact(), ScriptedCloud::new(10 * SECOND), state([service("web", "1")]));
    sleep(SECOND).await;
    running.send(state([service("web", "2")]));
    sleep(10 * SECOND).await;
    let wanted = || running.board.get(&key("web")).and_then(|status| status.wanted.clone());
    assert_eq!(wanted(), Some(Digest::from_tag("v1:1")), "the first pass ended with what it began");
    sleep(10 * SECOND).await;
    assert_eq!(wanted(), Some(Digest::from_tag("v1:2")));
    assert_eq!(running.cloud.looks_at("web"), [Duration::ZERO, 10 * SECOND]);
}

#[tokio::test(start_paused = true)]
async fn a_service_whose_manifest_is_gone_gets_a_last_pass_and_is_forgotten() {
    let first = state([service("web", "1"), service("api", "1")]);
    let running = Running::start(exact(), ScriptedCloud::new(SECOND), first);
    sleep(MINUTE).await;
    running.send(state([service("api", "1")]));
    sleep(30 * MINUTE).await;
    assert_eq!(running.cloud.looks_at("web"), [Duration::ZERO, MINUTE]);
    assert_eq!(running.board.get(&key("web")), None);
    assert!(running.board.get(&key("api")).is_some());
    assert!(!running.metrics().contains("service=\"web\""));
}

#[tokio::test(start_paused = true)]
async fn a_last_pass_that_fails_is_tried_again_before_the_service_is_forgotten() {
    let cloud = ScriptedCloud::new(SECOND);
    cloud.script("web", [Look::Takes(SECOND), Look::Fails(transient("DescribeServices"))]);
    let running = Running::start(exact(), cloud, state([service("web", "1")]));
    sleep(MINUTE).await;
    running.send(DesiredState::default());
    sleep(30 * MINUTE).await;
    assert_eq!(running.cloud.looks_at("web").len(), 3);
    assert_eq!(running.board.get(&key("web")), None);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_comes_back_during_its_last_pass_stays() {
    let running =
        Running::start(exact(), ScriptedCloud::new(10 * SECOND), state([service("web", "1")]));
    sleep(MINUTE).await;
    running.send(DesiredState::default());
    sleep(SECOND).await;
    running.send(state([service("web", "1")]));
    sleep(MINUTE).await;
    assert_eq!(running.cloud.looks_at("web"), [Duration::ZERO, MINUTE, MINUTE + 10 * SECOND]);
    assert!(running.board.get(&key("web")).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_manifest_that_turns_bad_is_shown_without_a_look_and_its_last_good_one_goes_on() {
    let running = Running::start(exact(), ScriptedCloud::new(SECOND), state([service("web", "1")]));
    sleep(MINUTE).await;
    let mut bad = state([service("web", "1")]);
    bad.invalid.insert(key("web"), vec!["a.yaml:3:1: no".to_owned()]);
    running.send(bad);
    sleep(SECOND).await;
    let invalid = || running.condition("web", ConditionKind::Invalid);
    assert_eq!(invalid(), Some((ConditionStatus::True, "a.yaml:3:1: no".to_owned())));
    assert_eq!(running.cloud.looks_at("web"), [Duration::ZERO], "nothing wanted has changed");
    sleep(10 * MINUTE).await;
    assert_eq!(running.cloud.looks_at("web").len(), 3, "the sweep goes on");
    assert_eq!(invalid(), Some((ConditionStatus::True, "a.yaml:3:1: no".to_owned())));
    running.send(state([service("web", "1")]));
    sleep(SECOND).await;
    assert_ne!(invalid().map(|(status, _)| status), Some(ConditionStatus::True));
}

#[tokio::test(start_paused = true)]
async fn a_service_that_was_never_valid_is_shown_and_never_looked_at() {
    let mut bad = DesiredState::default();
    bad.invalid.insert(key("web"), vec!["a.yaml:3:1: no".to_owned()]);
    let running = Running::start(exact(), ScriptedCloud::new(SECOND), bad);
    sleep(30 * MINUTE).await;
    assert_eq!(running.cloud.looks(), []);
    assert_eq!(
        running.condition("web", ConditionKind::Invalid),
        Some((ConditionStatus::True, "a.yaml:3:1: no".to_owned()))
    );
    running.send(DesiredState::default());
    sleep(SECOND).await;
    assert_eq!(running.board.get(&key("web")), None);
}

#[tokio::test(start_paused = true)]
async fn a_service_whose_last_good_manifest_is_not_known_any_more_is_let_be() {
    let running = Running::start(exact(), ScriptedCloud::new(SECOND), state([service("web", "1")]));
    sleep(MINUTE).await;
    let mut bad = DesiredState::default();
    bad.invalid.insert(key("web"), vec!["a.yaml:3:1: no".to_owned()]);
    running.send(bad);
    sleep(30 * MINUTE).await;
    assert_eq!(running.cloud.looks_at("web"), [Duration::ZERO]);
    assert!(running.board.get(&key("web")).is_some(), "it is shown as invalid");
    running.send(state([service("web", "1")]));
    sleep(MINUTE).await;
    assert_eq!(running.cloud.looks_at("web"), [Duration::ZERO, 31 * MINUTE]);
}

#[tokio::test(start_paused = true)]
async fn draining_finishes_running_passes_and_starts_none() {
    let settings = LoopSettings { passes_max: 2, ..exact() };
    let mut running = Running::start(settings, ScriptedCloud::new(10 * SECOND), many(5));
    sleep(SECOND).await;
    running.shutdown.drain.cancel();
    running.handle.trigger(key("s004"));
    assert_eq!(running.ends_within(8 * SECOND).await, None, "passes are still running");
    assert_eq!(running.ends_within(2 * SECOND).await, Some(Ok(())));
    assert_eq!(running.cloud.looks().len(), 2);
    assert_eq!(running.board.all().len(), 2, "their statuses are published");
}

#[tokio::test(start_paused = true)]
async fn aborting_cancels_running_passes() {
    let cloud = ScriptedCloud::new(SECOND);
    cloud.script("web", [Look::Hangs]);
    let mut running = Running::start(exact(), cloud, state([service("web", "1")]));
    sleep(SECOND).await;
    running.shutdown.drain.cancel();
    assert_eq!(running.ends_within(MINUTE).await, None, "the pass hangs");
    running.shutdown.abort.cancel();
    assert_eq!(running.ends_within(Duration::from_millis(1)).await, Some(Ok(())));
}

#[tokio::test(start_paused = true)]
async fn aborting_without_draining_ends_the_loop_as_well() {
    let cloud = ScriptedCloud::new(SECOND);
    cloud.script("web", [Look::Hangs]);
    let mut running = Running::start(exact(), cloud, state([service("web", "1")]));
    sleep(SECOND).await;
    running.shutdown.abort.cancel();
    assert_eq!(running.ends_within(Duration::from_millis(1)).await, Some(Ok(())));
}

#[tokio::test(start_paused = true)]
async fn a_source_that_ends_is_an_error_and_not_an_empty_state() {
    let mut running =
        Running::start(exact(), ScriptedCloud::new(10 * SECOND), state([service("web", "1")]));
    sleep(SECOND).await;
    drop(std::mem::replace(&mut running.desired, watch::Sender::new(Arc::default())));
    assert_eq!(running.ends_within(MINUTE).await, Some(Err(LoopError::ManifestsEnded)));
    assert!(running.board.get(&key("web")).is_some(), "the running pass was finished");
}

#[tokio::test(start_paused = true)]
async fn the_resync_time_moves_only_when_every_service_was_seen() {
    let cloud = Arc::new(ScriptedCloud::new(SECOND));
    let first = state([service("web", "1"), service("api", "1")]);
    let (mut control_loop, _sender, _) = not_running(exact(), &cloud, first);
    control_loop.manifests_changed();
    assert!(!control_loop.roster.saw(&key("api")), "web was not seen");
    assert!(control_loop.roster.saw(&key("web")));
    assert!(!control_loop.roster.saw(&key("web")), "the next sweep begins anew");
}

#[tokio::test(start_paused = true)]
async fn a_service_of_ours_that_no_manifest_names_is_counted_and_not_touched() {
    let cloud = ScriptedCloud::new(SECOND);
    cloud.own([key("web"), key("forgotten")]);
    let running = Running::start(exact(), cloud, state([service("web", "1")]));
    sleep(MINUTE).await;
    running.assert_metric("evenkeel_orphaned_services 1");
    assert_eq!(running.cloud.looks_at("forgotten"), []);
    assert_eq!(running.cloud.listed(), [["main"]]);
    sleep(60 * MINUTE).await;
    assert_eq!(running.cloud.listed().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_daemon_of_a_named_target_does_not_take_its_own_services_for_orphans() {
    let cloud = ScriptedCloud::new(SECOND);
    cloud.own([key("web")]);
    let mut wanted = service("web", "1");
    wanted.key.target = "eu".to_owned();
    let running = Running::start(exact(), cloud, state([wanted]));
    sleep(MINUTE).await;
    assert_eq!(running.cloud.listed(), [["main"]]);
    running.assert_metric("evenkeel_orphaned_services 0");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_listed_while_there_is_no_manifest_to_compare_with() {
    let cloud = ScriptedCloud::new(SECOND);
    cloud.own([key("web")]);
    let running = Running::start(exact(), cloud, DesiredState::default());
    sleep(60 * MINUTE).await;
    assert_eq!(running.cloud.listed(), Vec::<Vec<String>>::new());
    running.assert_metric("evenkeel_orphaned_services 0");
}

/// What is called for a service that does not exist yet, while all goes well.
const CREATION: [&str; 2] = ["RegisterTaskDefinition", "CreateService"];

fn calls_for(cloud: &ScriptedCloud, name: &str) -> Vec<String> {
    let of_name = |call: String| call.strip_suffix(&format!(" {name}")).map(str::to_owned);
    cloud.calls().into_iter().filter_map(of_name).collect()
}

#[tokio::test(start_paused = true)]
async fn whatever_happens_to_one_service_the_writes_of_the_others_are_the_same() {
    for bad in [Look::Panics, Look::Hangs, Look::Fails(transient("DescribeServices"))] {
        let cloud = ScriptedCloud::new(SECOND);
        (0..8).for_each(|n| cloud.is_absent(&format!("s{n:03}")));
        cloud.script("s003", vec![bad; 1000]);
        let running = Running::start(exact(), cloud, many(8));
        sleep(30 * MINUTE).await;
        for name in (0..8).map(|n| format!("s{n:03}")) {
            let expected: &[&str] = if name == "s003" { &[] } else { &CREATION };
            assert_eq!(calls_for(&running.cloud, &name), expected, "{name}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn after_an_unknown_outcome_the_next_touch_of_the_service_is_a_read() {
    let lost = || {
        let (operation, message) = ("any".to_owned(), "timed out".to_owned());
        Err(CloudError::UnknownOutcome { operation, message })
    };
    let cloud = ScriptedCloud::new(SECOND);
    cloud.is_absent("web");
    cloud.results("web", [lost(), Ok(Applied::Done), lost(), lost()]);
    let running = Running::start(exact(), cloud, state([service("web", "1")]));
    for _ in 0..20 {
        running.handle.trigger(key("web"));
        sleep(MINUTE).await;
    }
    let [register, create] = CREATION;
    let calls = [register, register, create, create, create];
    assert_eq!(calls_for(&running.cloud, "web"), calls, "what was lost was made again");
    for pair in running.cloud.touches().windows(2) {
        let is_read = |touch: &str| touch.starts_with("read ");
        assert!(is_read(&pair[0]) || is_read(&pair[1]), "two calls without a read: {pair:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_read_that_lags_behind_a_write_does_not_make_it_again() {
    let cloud = ScriptedCloud::new(SECOND).lags(12);
    cloud.is_absent("web");
    let running = Running::start(exact(), cloud, state([service("web", "1")]));
    sleep(5 * MINUTE).await;
    assert_eq!(calls_for(&running.cloud, "web"), CREATION);
}

#[tokio::test(start_paused = true)]
async fn a_loop_that_only_looks_calls_nothing_and_says_what_it_would_change() {
    let settings = LoopSettings { mode: Mode::DryRun, ..exact() };
    let cloud = ScriptedCloud::new(SECOND);
    cloud.is_absent("web");
    let running = Running::start(settings, cloud, state([service("web", "1")]));
    sleep(21 * MINUTE).await;
    assert_eq!(running.cloud.calls(), Vec::<String>::new());
    let status = running.board.get(&key("web")).expect("it was looked at");
    let would = status.conditions.iter().find(|one| one.reason == "WouldChange");
    assert_eq!(would.map(|one| one.kind), Some(ConditionKind::Ready), "{status:?}");
    assert_eq!(status.look_again, 5 * MINUTE);
    let looks = running.cloud.touches().len();
    assert!((4..=12).contains(&looks), "{looks} reads in four turns of the sweep");
}
