//! The planted mistakes of `just mutants` fit the code that they are planted in; they are not tried here.

#![expect(clippy::indexing_slicing, reason = "a mutant without a name or edits is a failed test")]

use std::fs;
use std::path::Path;

use serde_json::Value;

/// All mutants of all files.
fn mutants() -> Vec<Value> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("mutants");
    let entries = fs::read_dir(directory).expect("the directory is checked in");
    let texts = entries.map(|entry| {
        fs::read_to_string(entry.expect("it can be listed").path()).expect("it is text")
    });
    let read = |text: String| {
        let file: Value = toml::from_str(&text).unwrap_or_else(|error| panic!("{error}"));
        file["mutant"].as_array().cloned().unwrap_or_default()
    };
    texts.flat_map(read).collect()
}

#[test]
fn there_are_at_least_fifty_and_each_edit_has_exactly_one_place() {
    let mutants = mutants();
    assert!(mutants.len() >= 50, "there are {}", mutants.len());
    let mut stale = Vec::new();
    for mutant in &mutants {
        for edit in mutant["edit"].as_array().expect("a mutant has edits") {
            let text = |member: &str| edit[member].as_str().expect("it is text");
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(text("file"));
            let code = fs::read_to_string(&path).unwrap_or_default();
            if code.matches(text("find")).count() != 1 {
                stale.push(format!("{} in {}", mutant["name"], text("file")));
            }
        }
    }
    assert!(stale.is_empty(), "bring these edits up to date: {stale:#?}");
}
