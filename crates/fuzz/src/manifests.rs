//! Manifests in YAML and JSON, with the files that they include; never looks into the reader.

use std::collections::BTreeSet;

use evenkeel_manifest::{Digest, File, ManifestSet, Service, canonical, included_paths, load};
use serde_json::Value;

/// A line that begins with this and names a file begins it; what stands before the first is `fuzz.yaml`.
const FILE: &str = "%%% ";

const NEIGHBOUR: &str = "{apiVersion: evenkeel.dev/v1, kind: Service, metadata: {name: neighbour}, \
     spec: {cluster: neighbour, taskDefinition: {containerDefinitions: \
     [{name: web, image: web, memory: 128}]}, service: {desiredCount: 1}}}";

/// Any set of files: every problem has a place, every service is canonical, and no file hinders a good
/// one beside it.
pub(crate) fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut files = files(&text);
    for file in &files {
        drop(included_paths(&file.text));
    }
    if let [only] = files.as_slice() {
        layout_of_json_is_not_content(only);
    }
    files.push(File { name: "neighbour.yaml".into(), text: NEIGHBOUR.to_owned() });
    let set = load(&files);
    problems_have_places(&set, &files);
    set.services.iter().for_each(service_is_canonical);
    let neighbour = |one: &Service| &*one.source.file == "neighbour.yaml";
    assert!(
        text.contains("neighbour") || set.services.iter().any(neighbour),
        "the neighbour is gone"
    );
    assert_eq!(load(&files), set, "the same files are not read the same");
}

fn files(text: &str) -> Vec<File> {
    let mut files = vec![File { name: "fuzz.yaml".into(), text: String::new() }];
    for line in text.split_inclusive('\n') {
        match line.strip_prefix(FILE) {
            Some(name) => files.push(File { name: name.trim_end().into(), text: String::new() }),
            None => files.last_mut().into_iter().for_each(|file| file.text.push_str(line)),
        }
    }
    if files.len() > 1 && files.first().is_some_and(|file| file.text.is_empty()) {
        files.remove(0);
    }
    files
}

fn problems_have_places(set: &ManifestSet, files: &[File]) {
    let names: BTreeSet<&str> = files.iter().map(|file| &*file.name).collect();
    for problem in &set.problems {
        assert!(problem.line >= 1 && problem.column >= 1, "no place: {problem}");
        assert!(names.contains(&*problem.file), "no file: {problem}");
        assert!(!problem.message.is_empty(), "no message: {problem}");
    }
}

fn service_is_canonical(service: &Service) {
    let definition = service.task_definition.value();
    let canonical = canonical::task_definition(&definition);
    assert_eq!(Digest::of(&canonical), service.task_definition_digest, "{service:?}");
    let owned = service.service.value();
    let complete = canonical::service(&owned);
    assert_eq!(canonical::owned(&complete, &owned), owned, "{service:?}");
    let revision = Digest::of_revision(&service.task_definition_digest, &complete);
    assert_eq!(revision, service.revision_digest, "{service:?}");
}

/// A manifest in JSON says the same however it is laid out.
fn layout_of_json_is_not_content(file: &File) {
    let Ok(value) = serde_json::from_str::<Value>(&file.text) else { return };
    let written = load(std::slice::from_ref(file));
    if written.has_errors() {
        return;
    }
    let again = File { name: "again.json".into(), text: format!("{value:#}") };
    let again = load(&[again]);
    let content = |set: &ManifestSet| -> Vec<(Digest, Value)> {
        let content = |one: &Service| (one.revision_digest.clone(), one.service.value());
        set.services.iter().map(content).collect()
    };
    assert_eq!(content(&again), content(&written), "{:?}", again.problems);
}
