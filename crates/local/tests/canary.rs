//! A canary from end to end: the daemon as a process of its own, real tasks, real traffic; never a model of
//! any of them.

#![expect(clippy::unwrap_used, reason = "a report of another shape is a failed test")]

use std::process::Command;

use serde_json::Value;

/// Plays the story and returns its report.
fn play(strategy: &str) -> Value {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("report.json");
    let output = Command::new(env!("CARGO_BIN_EXE_evenkeel-local"))
        .args(["demo", "--strategy", strategy, "--report"])
        .arg(&file)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}\n{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
}

fn number(revision: &Value, name: &str) -> f64 {
    revision[name].as_f64().unwrap_or_else(|| panic!("{name} is no number: {revision:#}"))
}

#[test]
fn a_good_release_goes_through_and_bad_ones_are_turned_back_before_or_in_their_first_step() {
    let report = play("canary");
    let [first, good, unhealthy, crashing, erring, untestable] =
        report["revisions"].as_array().unwrap().as_slice()
    else {
        panic!("not six revisions: {report:#}");
    };

    assert_eq!((&first["outcome"], &good["outcome"]), (&"succeeded".into(), &"succeeded".into()));
    assert_eq!(
        good["failed_requests"], 0,
        "neither the shift nor the daemon's death cost a request"
    );
    let percents: Vec<u64> = good["steps"].as_array().unwrap().iter().map(weight).collect();
    assert_eq!(percents, [0, 10, 100], "{good:#}");

    assert_eq!(unhealthy["outcome"], "rolled_back");
    assert!(number(unhealthy, "share_of_requests_to_bad") <= 0.0, "{unhealthy:#}");

    for bad in [crashing, erring] {
        assert_eq!(bad["outcome"], "rolled_back");
        let share = number(bad, "share_of_requests_to_bad");
        assert!(0.0 < share && share <= 0.1, "{bad:#}");
        assert!(number(bad, "seconds_from_verdict_to_zero_weight") <= 2.0, "{bad:#}");
        assert_eq!(bad["failed_requests"], bad["failed_at_bad"], "{bad:#}");
    }
    assert!(reason(erring).contains("errorRate"), "{erring:#}");

    assert_eq!(untestable["outcome"], "rolled_back");
    assert!(number(untestable, "share_of_requests_to_bad") <= 0.0, "{untestable:#}");
    assert!(reason(untestable).contains("the smoke test got 500"), "{untestable:#}");
}

fn reason(revision: &Value) -> &str {
    revision["reason"].as_str().unwrap()
}

fn weight(step: &Value) -> u64 {
    step["weight_percent"].as_u64().unwrap()
}
