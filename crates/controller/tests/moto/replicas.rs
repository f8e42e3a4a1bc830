//! Two built daemons that share a lease table: one of them looks after a service, and when it dies the
//! other goes on.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that panics is a test that fails"
)]

use std::io::Write;
use std::time::{Duration, Instant};

use crate::server::{Daemon, Moto};
use crate::{count, manifest, task_definition, wait_for_passes};

/// What docs/operations.md promises.
const TAKEOVER_WITHIN: Duration = Duration::from_secs(20);

fn replica(moto: &Moto, name: &str) -> Daemon {
    let lease = [
        ("EVENKEEL_LEASE__BACKEND", "dynamodb"),
        ("EVENKEEL_LEASE__TABLE", "evenkeel-leases"),
        ("EVENKEEL_LEASE__REPLICA", name),
    ];
    Daemon::configured(moto, &lease)
}

/// Which replica a daemon says looks after the service.
fn looked_after_by(daemon: &Daemon) -> Option<String> {
    daemon.status("web")["replica"].as_str().map(str::to_owned)
}

fn wait_until_it_knows(daemon: &mut Daemon, name: &str) {
    let what = format!("it to say that {name} looks after web");
    daemon.wait_until(&what, |daemon| looked_after_by(daemon).as_deref() == Some(name));
}

fn wait_until_settled(daemon: &mut Daemon) {
    daemon.wait_until("a settled service", |daemon| {
        daemon.condition("web", "Ready").is_some_and(|[status, ..]| status == "True")
    });
}

/// A server on which `one` looks after a settled service and `two` watches.
fn two_replicas() -> (Moto, Daemon, Daemon) {
    let moto = Moto::start(1);
    moto.lease_table();
    moto.manifest("web.yaml", &manifest("app:1"));
    let mut one = replica(&moto, "one");
    wait_until_it_knows(&mut one, "one");
    wait_until_settled(&mut one);
    let mut two = replica(&moto, "two");
    wait_until_it_knows(&mut two, "one");
    (moto, one, two)
}

/// Commits a change, which `two` then makes with the same calls as a daemon that is alone.
fn assert_goes_on(moto: &Moto, two: &mut Daemon) {
    let before = moto.writes();
    moto.manifest("web.yaml", &manifest("app:2"));
    two.wait_until("the update", |_| {
        count(&moto.writes(), "UpdateService") > count(&before, "UpdateService")
    });
    wait_for_passes(two, moto);
    assert_eq!(moto.service("web")["taskDefinition"], task_definition(2));
    let writes = moto.writes();
    let since = writes.get(before.len()..).unwrap();
    assert_eq!(since, ["RegisterTaskDefinition", "TagResource", "UpdateService"]);
}

#[test]
fn when_the_replica_that_looks_after_a_service_is_killed_the_other_takes_over_and_goes_on() {
    let (moto, one, mut two) = two_replicas();
    let (code, shown) = moto.run(&["get", "--server", &two.url()]);
    assert_eq!(code, Some(0), "{shown}");
    let line = shown.lines().find(|line| line.starts_with("prod/web")).unwrap();
    assert!(line.contains("StandBy") && line.ends_with("one"), "{shown}");
    let writes = moto.writes();
    one.kill();
    let killed = Instant::now();
    wait_until_it_knows(&mut two, "two");
    let took = killed.elapsed();
    writeln!(std::io::stdout(), "taken over {:.1} s after kill -9", took.as_secs_f64()).unwrap();
    assert!(took <= TAKEOVER_WITHIN, "{took:?}");
    wait_until_settled(&mut two);
    assert_eq!(moto.writes(), writes, "a settled service changes hands without a write");
    assert_goes_on(&moto, &mut two);
}

#[test]
fn a_replica_that_is_asked_to_end_gives_its_leases_back() {
    let (moto, one, mut two) = two_replicas();
    let asked = Instant::now();
    assert_eq!(one.terminate(), Some(0));
    wait_until_it_knows(&mut two, "two");
    let took = asked.elapsed();
    writeln!(std::io::stdout(), "handed over {:.1} s after SIGTERM", took.as_secs_f64()).unwrap();
    assert!(took <= TAKEOVER_WITHIN / 2, "it did not wait for a lease to run out: {took:?}");
    assert_goes_on(&moto, &mut two);
}
