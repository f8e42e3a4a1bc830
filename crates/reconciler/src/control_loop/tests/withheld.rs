//! What is planned and may not be written any more, under paused time and against a scripted cloud.

use super::*;

/// A loop that looks for ten seconds at a service that does not exist and is to be created.
fn creates_web() -> Running {
    let cloud = ScriptedCloud::new(10 * SECOND);
    cloud.is_absent("web");
    Running::start(exact(), cloud, state([service("web", "1")]))
}

fn paused(name: &str, version: &str) -> Service {
    Service { paused: true, ..service(name, version) }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_written_from_a_look_during_which_the_manifest_was_paused() {
    let running = creates_web();
    sleep(5 * SECOND).await;
    running.send(state([paused("web", "1")]));
    sleep(5 * MINUTE).await;
    assert_eq!(running.cloud.calls(), Vec::<String>::new());
    running.assert_metric(r#"evenkeel_passes_total{outcome="superseded"} 1"#);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_written_from_a_look_during_which_the_manifest_was_removed() {
    let running = creates_web();
    sleep(5 * SECOND).await;
    running.send(DesiredState::default());
    sleep(5 * MINUTE).await;
    assert_eq!(running.cloud.calls(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_look_during_which_the_manifest_changed_is_followed_by_another_before_anything_is_written()
 {
    let running = creates_web();
    sleep(5 * SECOND).await;
    running.send(state([service("web", "2")]));
    sleep(14 * SECOND).await;
    assert_eq!(running.cloud.calls(), Vec::<String>::new());
    let shown = running.condition("web", ConditionKind::Ready).expect("is shown");
    assert_eq!(shown, (ConditionStatus::False, Withheld::Superseded.message().to_owned()));
    sleep(2 * SECOND).await;
    assert_eq!(running.cloud.looks_at("web"), [Duration::ZERO, 10 * SECOND]);
    assert_eq!(running.cloud.calls(), ["RegisterTaskDefinition web"]);
}

#[tokio::test(start_paused = true)]
async fn a_manifest_that_only_moved_in_its_file_holds_up_nothing() {
    let running = creates_web();
    sleep(5 * SECOND).await;
    let mut moved = service("web", "1");
    moved.source.line = 40;
    running.send(state([moved]));
    sleep(6 * SECOND).await;
    assert_eq!(running.cloud.calls(), ["RegisterTaskDefinition web"]);
}

#[tokio::test(start_paused = true)]
async fn a_daemon_that_was_frozen_since_its_look_looks_again_before_it_writes() {
    let cloud = ScriptedCloud::new(10 * SECOND).calls_wait_and_take(2 * SECOND, SECOND);
    cloud.is_absent("web");
    let running = Running::start(exact(), cloud, state([service("web", "1")]));
    sleep(11 * SECOND).await;
    tokio::time::advance(10 * MINUTE).await;
    sleep(SECOND / 10).await;
    assert_eq!(running.cloud.calls(), Vec::<String>::new());
    running.assert_metric(r#"evenkeel_passes_total{outcome="look_expired"} 1"#);
    sleep(13 * SECOND).await;
    assert_eq!(
        running.cloud.touches()[2..],
        ["read web", "read web", "RegisterTaskDefinition web"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_withheld_write_is_no_failure_and_does_not_back_off() {
    let running = creates_web();
    for version in ["2", "3", "4", "5", "6"] {
        sleep(10 * SECOND).await;
        running.send(state([service("web", version)]));
    }
    sleep(SECOND).await;
    assert_eq!(running.cloud.looks_at("web").len(), 6, "{:?}", running.cloud.looks());
}

#[tokio::test(start_paused = true)]
async fn many_that_must_write_at_once_do_not_make_every_look_too_old_to_write_on() {
    let cloud = ScriptedCloud::new(Duration::ZERO).looks_in_one_lane(2 * SECOND);
    let all = names(0..32);
    for name in &all {
        cloud.is_absent(name);
    }
    let running = Running::start(exact(), cloud, many(32));
    sleep(15 * MINUTE).await;
    let calls = running.cloud.calls();
    for name in &all {
        let call = format!("CreateService {name}");
        assert!(calls.contains(&call), "{name} was never created, and {} calls made", calls.len());
    }
}
