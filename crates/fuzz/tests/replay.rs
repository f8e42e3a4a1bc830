//! Seeds and past findings through every target, as ordinary tests; never mutates them.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use evenkeel_fuzz::{TARGETS, Target};

/// What one input may take here: libFuzzer allows two seconds in an optimised build.
const INPUT_MAX: Duration = Duration::from_secs(20);

/// The bytes of all that is checked in under this crate as input.
const CHECKED_IN_MAX: u64 = 256 << 10;

fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).into_iter().flatten();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("is listed").path()).collect();
    files.sort();
    files
}

/// The directories with inputs of a target; manifests begin from those of their own crate too.
fn directories(target: &Target) -> Vec<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut all: Vec<PathBuf> =
        ["seeds", "findings"].iter().map(|kind| here.join(kind).join(target.name)).collect();
    if target.name == "manifests" {
        let cases = here.join("../manifest/tests/cases");
        all.extend(["good", "bad"].map(|kind| cases.join(kind)));
    }
    all
}

#[expect(clippy::print_stdout, reason = "shown only of a failed test: the input that it failed on")]
fn replay(name: &str) {
    let target = TARGETS.iter().find(|target| target.name == name).expect("is a target");
    let files: Vec<PathBuf> = directories(target).iter().flat_map(|one| files(one)).collect();
    assert!(files.len() > 3, "{name} has {} inputs", files.len());
    for file in files {
        let input = std::fs::read(&file).expect("is read");
        println!("{}", file.display());
        let began = Instant::now();
        (target.run)(&input);
        assert!(began.elapsed() < INPUT_MAX, "{} took {:?}", file.display(), began.elapsed());
    }
}

#[test]
fn any_manifest_is_read_or_told_what_is_wrong_with_it() {
    replay("manifests");
}

#[test]
fn any_document_has_one_canonical_form() {
    replay("canonical");
}

#[test]
fn any_reply_is_read_or_refused() {
    replay("replies");
}

#[test]
fn any_look_gives_a_plan_that_the_guard_takes() {
    replay("plans");
}

#[test]
fn any_reason_text_is_judged() {
    replay("reasons");
}

#[test]
fn any_tags_are_read_back() {
    replay("tags");
}

#[test]
fn no_directory_of_inputs_is_without_a_target() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    for directory in files(&here.join("seeds")).iter().chain(&files(&here.join("findings"))) {
        let known = TARGETS.iter().any(|target| directory.ends_with(target.name));
        assert!(known, "{} is of no target", directory.display());
    }
}

#[test]
fn what_is_checked_in_stays_small() {
    let all = TARGETS.iter().flat_map(directories).filter(|one| !one.ends_with("good"));
    let size = |file: &PathBuf| file.metadata().map_or(0, |found| found.len());
    let bytes: u64 = all.flat_map(|one| files(&one)).map(|file| size(&file)).sum();
    assert!(bytes < CHECKED_IN_MAX, "{bytes} bytes of inputs are checked in");
}
