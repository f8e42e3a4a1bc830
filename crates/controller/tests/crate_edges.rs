//! Fails when a crate depends on what the architecture forbids; never looks at source code.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// For each crate of the workspace, the crates of the workspace it may name.
const INSIDE: [(&str, &[&str]); 8] = [
    ("evenkeel-manifest", &[]),
    ("evenkeel-planner", &["evenkeel-manifest"]),
    ("evenkeel-reconciler", &["evenkeel-manifest", "evenkeel-planner"]),
    ("evenkeel-aws", &["evenkeel-manifest", "evenkeel-planner", "evenkeel-reconciler"]),
    (
        "evenkeel-controller",
        &["evenkeel-manifest", "evenkeel-planner", "evenkeel-reconciler", "evenkeel-aws"],
    ),
    ("evenkeel-simulator", &["evenkeel-manifest", "evenkeel-planner", "evenkeel-reconciler"]),
    (
        "evenkeel-local",
        &[
            "evenkeel-manifest",
            "evenkeel-planner",
            "evenkeel-reconciler",
            "evenkeel-simulator",
            "evenkeel-controller",
        ],
    ),
    ("evenkeel-fuzz", &["evenkeel-manifest", "evenkeel-planner"]),
];

/// Outside crates, by the beginning of their name, that a crate must not depend on.
const OUTSIDE: [(&str, &[&str]); 8] = [
    ("evenkeel-manifest", &["tokio", "aws-", "axum", "hyper", "prometheus", "tracing"]),
    (
        "evenkeel-planner",
        &["tokio", "aws-", "axum", "hyper", "prometheus", "tracing", "rand", "fastrand", "chrono"],
    ),
    ("evenkeel-reconciler", &["aws-", "axum", "hyper", "figment", "notify", "clap", "gix"]),
    ("evenkeel-aws", &["axum", "figment", "notify", "clap"]),
    ("evenkeel-controller", &["aws-"]),
    ("evenkeel-simulator", &["aws-", "axum", "hyper", "figment"]),
    ("evenkeel-local", &["aws-"]),
    ("evenkeel-fuzz", &["aws-", "tokio", "rand", "fastrand"]),
];

fn normal_dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs, because it runs this test");
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo prints JSON");
    let packages = metadata.get("packages").and_then(Value::as_array).expect("packages are a list");
    packages.iter().map(|package| (name(package), direct(package))).collect()
}

fn name(package: &Value) -> String {
    package.get("name").and_then(Value::as_str).expect("a package has a name").to_owned()
}

fn direct(package: &Value) -> BTreeSet<String> {
    let dependencies =
        package.get("dependencies").and_then(Value::as_array).expect("dependencies are a list");
    let shipped =
        dependencies.iter().filter(|dependency| dependency.get("kind").is_none_or(Value::is_null));
    shipped.map(name).collect()
}

#[test]
fn every_crate_of_the_workspace_has_its_rule() {
    let listed: BTreeSet<String> = INSIDE.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(normal_dependencies().into_keys().collect::<BTreeSet<_>>(), listed);
}

#[test]
fn crates_name_only_the_crates_below_them() {
    let found = normal_dependencies();
    for (package, allowed) in INSIDE {
        let inside = found[package].iter().filter(|dependency| dependency.starts_with("evenkeel-"));
        let forbidden: Vec<_> = inside.filter(|name| !allowed.contains(&name.as_str())).collect();
        assert!(forbidden.is_empty(), "{package} must not depend on {forbidden:?}");
    }
}

#[test]
fn pure_crates_stay_pure_and_only_aws_names_the_sdk() {
    let found = normal_dependencies();
    for (package, banned) in OUTSIDE {
        let forbidden: Vec<_> = found[package]
            .iter()
            .filter(|dependency| banned.iter().any(|prefix| dependency.starts_with(prefix)))
            .collect();
        assert!(forbidden.is_empty(), "{package} must not depend on {forbidden:?}");
    }
}
