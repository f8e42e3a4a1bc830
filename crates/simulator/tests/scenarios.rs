//! Plays every scenario and compares its transcript with the one that was read and accepted.
#![cfg(feature = "harness")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use evenkeel_simulator::scenario::{Command, Scenario};

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios")
}

/// The texts of a directory by name, without what is below it.
fn texts(directory: &Path) -> BTreeMap<String, String> {
    let entries = fs::read_dir(directory).expect("the directory is checked in");
    let paths = entries.map(|entry| entry.expect("it can be listed").path());
    let scripts = paths.filter(|path| path.extension().is_some_and(|extension| extension == "txt"));
    let name = |path: &Path| path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    scripts.map(|path| (name(&path), fs::read_to_string(&path).expect("it is text"))).collect()
}

fn scenarios() -> Vec<Scenario> {
    let read = |(name, text): (String, String)| {
        Scenario::read(&name, &text).unwrap_or_else(|error| panic!("{error}"))
    };
    texts(&directory()).into_iter().map(read).collect()
}

/// What differs from what was expected or accepted.
fn problems(scenario: &Scenario, accepted: &BTreeMap<String, String>) -> Vec<String> {
    let performance = scenario.play();
    let mut problems: Vec<String> = performance.missed.into_iter().collect();
    if accepted.get(&scenario.name) != Some(&performance.transcript) {
        problems.push(format!("the transcript of {} differs", scenario.name));
    }
    problems
}

#[test]
fn every_scenario_ends_as_expected_with_the_accepted_transcript() {
    let accepted = texts(&directory().join("transcripts"));
    let scenarios = scenarios();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let all = std::thread::scope(|scope| {
        let parts = scenarios.chunks(scenarios.len().div_ceil(threads));
        let running: Vec<_> = parts
            .map(|part| {
                scope.spawn(|| part.iter().flat_map(|one| problems(one, &accepted)).collect())
            })
            .collect();
        let ended = |part: std::thread::ScopedJoinHandle<'_, Vec<String>>| {
            part.join().expect("no scenario panics")
        };
        running.into_iter().flat_map(ended).collect::<Vec<String>>()
    });
    assert!(all.is_empty(), "{}", all.join("\n"));
}

#[test]
fn there_are_at_least_sixty_and_each_says_what_it_proves_and_expects_it() {
    let scenarios = scenarios();
    assert!(scenarios.len() >= 60, "there are {}", scenarios.len());
    for scenario in &scenarios {
        assert!(!scenario.proves.trim().is_empty(), "{} proves nothing", scenario.name);
        let expects = scenario.lines.iter().any(|line| matches!(line.command, Command::Expect(_)));
        assert!(expects, "{} expects nothing", scenario.name);
    }
}

#[test]
fn every_transcript_belongs_to_a_scenario() {
    let scripts = texts(&directory());
    let transcripts = texts(&directory().join("transcripts"));
    let orphans: Vec<&String> =
        transcripts.keys().filter(|name| !scripts.contains_key(*name)).collect();
    assert!(orphans.is_empty(), "{orphans:?}");
}

/// A script that waits for a bug to be mended is at least one that reads.
#[test]
fn every_pending_scenario_reads() {
    let pending = directory().join("pending");
    if !pending.exists() {
        return;
    }
    for (name, text) in texts(&pending) {
        Scenario::read(&name, &text).unwrap_or_else(|error| panic!("{error}"));
    }
}
