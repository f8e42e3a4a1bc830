//! docs/operations.md names every metric, every configuration key and no other.

#![expect(clippy::unwrap_used, reason = "a test that cannot read the repository has failed")]

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use evenkeel_controller::config::{Layers, settings};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn operations() -> String {
    fs::read_to_string(root().join("docs/operations.md")).unwrap()
}

/// The text of every source file of the crates that register metrics, without its tests.
fn sources() -> Vec<String> {
    let mut directories: Vec<PathBuf> =
        ["aws", "reconciler", "controller"].iter().map(|name| source_of(name)).collect();
    let mut texts = Vec::new();
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs")
                && !path.ends_with("tests.rs")
            {
                let text = fs::read_to_string(path).unwrap();
                let code = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
                texts.push(code.to_owned());
            }
        }
    }
    texts
}

fn source_of(name: &str) -> PathBuf {
    root().join("crates").join(name).join("src")
}

fn is_name(text: &str) -> bool {
    text.strip_prefix("evenkeel_")
        .is_some_and(|rest| rest.chars().all(|c| c.is_ascii_lowercase() || c == '_'))
}

/// Every second part between quotes is inside of them; a name never holds one itself.
fn registered() -> BTreeSet<String> {
    let texts = sources();
    let literals = texts.iter().flat_map(|text| text.split('"'));
    literals.filter(|literal| is_name(literal)).map(str::to_owned).collect()
}

/// The names of metrics in `text`; `evenkeel_aws=debug` is the name of a module.
fn named(text: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.match_indices("evenkeel_")
        .filter_map(|(start, _)| text.get(start..))
        .filter_map(|rest| {
            let end = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
            let (word, after) = rest.split_at(end);
            (is_name(word) && !after.starts_with('=')).then(|| word.to_owned())
        })
        .collect()
}

#[test]
fn every_metric_is_documented_and_every_documented_metric_exists() {
    let registered = registered();
    assert!(registered.len() > 20, "the sources were searched, and only {registered:?} found");
    assert_eq!(named(&operations()), registered);
}

/// A value that a key without a default takes.
fn example(key: &str) -> &'static str {
    if key.ends_with("Url") { "http://localhost" } else { "example" }
}

/// What must be set beside a key for its value to be taken.
fn beside(key: &str) -> Vec<(OsString, OsString)> {
    let lease = [("EVENKEEL_LEASE__BACKEND", "dynamodb"), ("EVENKEEL_LEASE__TABLE", "example")];
    let needs_lease = ["lease.table", "lease.replica"].contains(&key);
    let needed = lease.into_iter().filter(|_| needs_lease);
    needed.map(|(variable, value)| (variable.into(), value.into())).collect()
}

/// The row of a key says its default and the variable that sets it.
#[test]
fn every_configuration_key_is_documented_with_its_default_and_its_variable() {
    let text = operations();
    for setting in settings(&Layers::default()).unwrap() {
        let key = &setting.key;
        let row = text.lines().find(|line| line.starts_with(&format!("| `{key}` |")));
        let row = row.unwrap_or_else(|| panic!("{key} has no row in docs/operations.md"));
        let value = match &setting.value {
            serde_json::Value::Null => example(key).to_owned(),
            serde_json::Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        assert!(setting.value.is_null() || row.contains(&format!("| `{value}` |")), "{row}");
        let variable = row.split('`').find(|part| part.starts_with("EVENKEEL_")).unwrap();
        let mut environment = beside(key);
        environment.push((variable.into(), value.into()));
        let layers = Layers { environment, ..Layers::default() };
        let set = settings(&layers).unwrap().into_iter().find(|one| one.key == *key).unwrap();
        assert_eq!(set.origin, variable, "{row}");
    }
}
