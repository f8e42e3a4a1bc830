//! Good and bad manifests and what is said about them: the messages are the product.

use std::fmt::Write as _;
use std::path::Path;

use evenkeel_manifest::{File, ManifestSet, load};

/// All files of `tests/cases/<directory>`, by name.
#[expect(clippy::unwrap_used, reason = "a test that cannot read its cases has failed")]
fn files(directory: &str) -> Vec<File> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases").join(directory);
    let mut files: Vec<File> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().into();
            File { name, text: std::fs::read_to_string(&path).unwrap() }
        })
        .collect();
    files.sort_by(|a, b| a.name.cmp(&b.name));
    files
}

fn problems(set: &ManifestSet) -> String {
    let lines = set.problems.iter().map(ToString::to_string);
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn good_manifests_become_services_without_a_problem() {
    let set = load(&files("good"));
    assert_eq!(problems(&set), "");
    let mut text = String::new();
    for service in &set.services {
        let _infallible = write!(
            text,
            "{}\n  {:?}\n  {:?}\n  family {}\n  task definition {}\n  service {}\n  {:?}\n  \
             {:?}\n  paused {} adopt {}\n",
            service.key,
            service.source,
            service.metadata,
            service.family,
            service.task_definition.text(),
            service.service.text(),
            service.rollout,
            service.drift,
            service.paused,
            service.adopt,
        );
    }
    insta::assert_snapshot!("good", text);
}

#[test]
fn every_problem_of_every_bad_manifest_is_reported_at_its_place() {
    let set = load(&files("bad"));
    insta::assert_snapshot!("bad", problems(&set));
}

#[test]
fn a_document_with_an_error_yields_no_service_and_one_with_warnings_does() {
    let set = load(&files("bad"));
    let names: Vec<&str> = set.services.iter().map(|service| &*service.metadata.name).collect();
    assert_eq!(names, ["warnings"]);
    let warnings: Vec<File> =
        files("bad").into_iter().filter(|file| &*file.name == "warnings.yaml").collect();
    assert_eq!(load(&warnings).services.len(), 1);
    assert!(!load(&warnings).has_errors());
}

#[test]
fn one_bad_file_does_not_hinder_the_others() {
    let good = load(&files("good"));
    for bad in files("bad") {
        let mut all = files("good");
        all.push(File { name: format!("zz/{}", bad.name).into(), text: bad.text });
        let set = load(&all);
        for service in &good.services {
            assert!(set.services.contains(service), "{} hinders {}", bad.name, service.key);
        }
    }
}

#[test]
fn no_message_shows_an_environment_value() {
    let set = load(&files("bad"));
    for secret in ["hunter2", "AKIAIOSFODNN7EXAMPLE", "8080,"] {
        let leaks: Vec<String> = set
            .problems
            .iter()
            .map(ToString::to_string)
            .filter(|problem| problem.contains(secret))
            .collect();
        assert!(leaks.is_empty(), "{leaks:?}");
    }
}
