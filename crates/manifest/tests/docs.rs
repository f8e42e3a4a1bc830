//! Every manifest shown in the documentation is one that Evenkeel accepts.

use std::fs;
use std::path::{Path, PathBuf};

use evenkeel_manifest::{File, load};

/// The file that examples name in `taskDefinition.file`.
const TASK_DEFINITION: &str = r#"{
    "family": "web",
    "networkMode": "awsvpc",
    "requiresCompatibilities": ["FARGATE"],
    "cpu": "256",
    "memory": "512",
    "containerDefinitions": [{
        "name": "web",
        "image": "registry.example.com/web:1.4.2",
        "portMappings": [{"containerPort": 8080}]
    }]
}"#;

fn pages() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let docs = fs::read_dir(root.join("docs")).expect("docs/ is part of the repository");
    let mut pages: Vec<PathBuf> = docs
        .map(|entry| entry.expect("docs/ can be listed").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .collect();
    pages.push(root.join("README.md"));
    pages.sort();
    pages
}

/// The fenced blocks of `page` that are manifests, each with its line.
fn manifests(page: &str) -> Vec<(usize, String)> {
    let mut blocks = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (index, line) in page.lines().enumerate() {
        match (&mut open, line) {
            (None, "```yaml") => open = Some((index + 2, String::new())),
            (Some(_), "```") => blocks.extend(open.take()),
            (Some((_, text)), line) => {
                text.push_str(line);
                text.push('\n');
            }
            (None, _) => {}
        }
    }
    blocks.retain(|(_, text)| text.starts_with("apiVersion"));
    blocks
}

#[test]
fn every_manifest_in_the_documentation_is_valid() {
    let mut checked = 0;
    for page in pages() {
        let text = fs::read_to_string(&page).expect("a page is text");
        for (line, manifest) in manifests(&text) {
            let names = |line: &str| line.trim_start().starts_with("file: taskdef.json");
            let includes = manifest.lines().any(names);
            let mut files = vec![File { name: "manifest.yaml".into(), text: manifest }];
            if includes {
                let text = TASK_DEFINITION.to_owned();
                files.push(File { name: "taskdef.json".into(), text });
            }
            let set = load(&files);
            assert!(
                set.problems.is_empty()
                    && !(set.services.is_empty() && set.environments.is_empty()),
                "{} line {line}: {:?}",
                page.display(),
                set.problems.iter().map(ToString::to_string).collect::<Vec<_>>()
            );
            checked += 1;
        }
    }
    assert!(checked >= 2, "README.md and docs/manifest.md have one each, found {checked}");
}
