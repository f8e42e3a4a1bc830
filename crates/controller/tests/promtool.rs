//! What `/metrics` says, checked by Prometheus's own promtool after a rollout that ended well, one that
//! stalled and a bad manifest, and the alerting rules over it; never compares the text with one of ours.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

#[path = "moto/server.rs"]
#[expect(dead_code, reason = "the tests against moto use the rest")]
mod server;

use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use crate::server::{Daemon, Moto, tool};

const GOOD: &str = "\
apiVersion: evenkeel.dev/v1
kind: Service
metadata: {name: web}
spec:
  cluster: prod
  taskDefinition:
    memory: '512'
    containerDefinitions: [{name: app, image: app}]
  service: {desiredCount: 1}
  rollout: {probe: {enabled: false}}
";

/// promtool says nothing of no metrics, so some of every part must be there.
const FAMILIES: &[&str] = &[
    "evenkeel_aws_bucket_tokens",
    "evenkeel_aws_call_duration_seconds",
    "evenkeel_aws_calls_total",
    "evenkeel_breaker_failures",
    "evenkeel_breaker_threshold",
    "evenkeel_build_info",
    "evenkeel_last_successful_resync_timestamp_seconds",
    "evenkeel_manifest_problems",
    "evenkeel_manifest_read_period_seconds",
    "evenkeel_pass_duration_seconds",
    "evenkeel_passes_total",
    "evenkeel_queue_depth",
    "evenkeel_queue_oldest_age_seconds",
    "evenkeel_resync_period_seconds",
    "evenkeel_rollbacks_total",
    "evenkeel_rollout_duration_seconds",
    "evenkeel_rollout_phase",
    "evenkeel_service_condition",
    "process_resident_memory_bytes",
];

#[test]
fn promtool_finds_nothing_to_complain_of() {
    let moto = Moto::start(1);
    // moto claims one running task of each, which is one too few for `api`: it stalls.
    let stalling = GOOD
        .replace("web", "api")
        .replace("desiredCount: 1", "desiredCount: 2")
        .replace("rollout: {", "rollout: {breaker: {progressDeadline: 1s}, ");
    moto.manifest("web.yaml", GOOD);
    moto.manifest("api.yaml", &stalling);
    moto.manifest("bad.yaml", &GOOD.replace("web", "shop").replace("memory", "memroy"));
    let mut daemon = Daemon::start(&moto);
    daemon.wait_until("one service to settle and the other to be held", |daemon| {
        let is = |name, kind| daemon.condition(name, kind).is_some_and(|[is, ..]| is == "True");
        is("web", "Ready") && is("api", "Held")
    });

    let metrics = daemon.get("/metrics");
    for family in FAMILIES {
        assert!(metrics.contains(&format!("# TYPE {family} ")), "{family} is not in {metrics}");
    }
    let installed = tool("promtool").arg("--version").output().unwrap();
    assert!(installed.status.success(), "{}", String::from_utf8_lossy(&installed.stderr));
    let mut promtool = tool("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    promtool.stdin.take().unwrap().write_all(metrics.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(output.status.success(), "{said}");
    assert_eq!(said, "", "promtool complains of\n{metrics}");
}

/// The block that people are told to take over.
fn alerting_rules() -> String {
    let operations = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/operations.md");
    let text = std::fs::read_to_string(operations).unwrap();
    let (_, section) = text.split_once("### Alerting rules").unwrap();
    let (_, block) = section.split_once("```yaml\n").unwrap();
    block.split_once("```").unwrap().0.to_owned()
}

#[test]
fn the_alerting_rules_tell_what_is_amiss_and_nothing_of_what_is_not() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("rules.yaml"), alerting_rules()).unwrap();
    let test = directory.path().join("alerts.test.yaml");
    std::fs::write(&test, include_str!("alerts.test.yaml")).unwrap();
    let output = tool("promtool").args(["test", "rules"]).arg(&test).output().unwrap();
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(output.status.success(), "{said}");
}
