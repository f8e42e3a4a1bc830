//! Sweeps that split the process at each point come to what those come to that play each course from its beginning; runs
//! the binary, for a process of many tests is none to split.

use std::path::Path;
use std::process::Command;

const SCENARIO: &str = "Nothing is proved.

image web:1 healthy
load web image=web:1 count=1
advance 1m
";

/// The counters of a sweep, by their names, and what it printed.
fn sweep(kind: &str, directory: &Path, every_point: bool) -> (serde_json::Value, String) {
    let report = directory.join(format!("{kind}-{every_point}.json"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_evenkeel-simulator"));
    command.arg("--report").arg(&report).arg(kind).arg("--directory").arg(directory);
    command.args(every_point.then_some("--every-point"));
    // One after the other: which ones a course may join must not be left to chance.
    command.args(["--threads", "1"]);
    let output = command.output().expect("the binary can be run");
    let text = std::fs::read_to_string(&report).expect("a report was written");
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    (serde_json::from_str(&text).expect("a report is JSON"), printed)
}

fn counter(report: &serde_json::Value, name: &str) -> Option<f64> {
    let counters = report.get("counters")?.as_array()?;
    counters.iter().find(|one| one.get("name").is_some_and(|is| is == name))?.get("value")?.as_f64()
}

/// A directory with one script.
fn directory(name: &str, script: &str) -> std::path::PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&directory).expect("a directory for the script");
    std::fs::write(directory.join("one.txt"), script).expect("the script can be written");
    directory
}

#[test]
fn points_that_are_split_off_converge_as_those_that_are_played_from_the_beginning() {
    let directory = directory("split-sweeps", SCENARIO);
    for kind in ["crash-sweep", "stale-sweep"] {
        let [split, plain] = [false, true].map(|every_point| sweep(kind, &directory, every_point));
        let points = counter(&plain.0, "points").expect("points are counted");
        assert!(points > 100.0, "{kind}: {}", plain.1);
        for name in ["points", "converged"] {
            assert_eq!(counter(&split.0, name), Some(points), "{kind}, {name}: {}", split.1);
            assert_eq!(counter(&plain.0, name), Some(points), "{kind}, {name}: {}", plain.1);
        }
        let [joined, too] = [&split, &plain].map(|one| counter(&one.0, "joined a fine one"));
        assert_eq!(joined > Some(0.0), kind == "stale-sweep", "{kind}: {}", split.1);
        assert_eq!(joined, too, "{kind}");
        let [short, long] = [&split, &plain].map(|one| counter(&one.0, "simulated"));
        assert!(short < long, "{kind}: {short:?} and {long:?} years");
    }
}
