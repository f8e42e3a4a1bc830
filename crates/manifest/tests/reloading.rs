//! Manifests that are read again and again; never a look at a disk.

use std::sync::Arc;

use evenkeel_manifest::{File, Limits, Reloaded, Reloader, Service, load_in};
use proptest::prelude::*;

const TASK: &str =
    r#"{"memory": "512", "containerDefinitions": [{"name": "app", "image": "app:IMAGE"}]}"#;

fn manifest(name: &str, task: &str) -> String {
    format!(
        "apiVersion: evenkeel.dev/v1\nkind: Service\nmetadata: {{name: {name}}}\nspec:\n  cluster: prod\n  \
         taskDefinition: {task}\n  service: {{desiredCount: 1}}\n"
    )
}

fn inline(name: &str, image: &str) -> String {
    manifest(name, &TASK.replace("IMAGE", image))
}

fn environment(variables: &str, overlays: &str) -> String {
    format!(
        "apiVersion: evenkeel.dev/v1\nkind: Environment\nmetadata: {{name: prod}}\nspec:\n  vars: \
         {variables}\n  overlays: {overlays}\n"
    )
}

fn file(name: &str, text: impl Into<String>) -> File {
    File { name: name.into(), text: text.into() }
}

fn images(services: &[Arc<Service>]) -> Vec<String> {
    let image = |service: &Arc<Service>| {
        let task = service.task_definition.value();
        let image = task.pointer("/containerDefinitions/0/image").and_then(|one| one.as_str());
        image.unwrap_or_default().to_owned()
    };
    services.iter().map(image).collect()
}

/// That it says what a load from nothing says.
fn assert_as_new(reloaded: &Reloaded, files: &[File], environment: Option<&str>) {
    let new = load_in(files, environment);
    let services: Vec<Service> = reloaded.services.iter().map(|one| (**one).clone()).collect();
    assert_eq!(services, new.services);
    assert_eq!(reloaded.problems, new.problems);
}

#[test]
fn a_file_that_did_not_change_is_not_parsed_again() {
    let mut files = vec![file("a.yaml", inline("a", "1")), file("b.yaml", inline("b", "1"))];
    let mut directory = Reloader::new("", None);
    assert_eq!(directory.load(&files, None).parsed, 2);
    assert_eq!(directory.load(&files, None).parsed, 0);
    files[1].text = inline("b", "2");
    let reloaded = directory.load(&files, None);
    assert_eq!(reloaded.parsed, 1);
    assert_as_new(&reloaded, &files, None);
    files.remove(0);
    assert_as_new(&directory.load(&files, None), &files, None);
}

#[test]
fn a_manifest_is_parsed_again_when_the_file_that_it_includes_changes_comes_or_goes() {
    let web = file("team/web.yaml", manifest("web", "{file: ../task.json}"));
    let task = |image: &str| file("task.json", TASK.replace("IMAGE", image));
    let other = file("z.yaml", inline("z", "1"));
    let mut directory = Reloader::new("", None);
    for (files, parsed) in [
        (vec![web.clone(), other.clone()], 2),
        (vec![task("1"), web.clone(), other.clone()], 2),
        (vec![task("2"), web.clone(), other.clone()], 2),
        (vec![task("2"), web.clone(), other.clone()], 0),
        (vec![web, other], 1),
    ] {
        let reloaded = directory.load(&files, None);
        assert_as_new(&reloaded, &files, None);
        assert_eq!(reloaded.parsed, parsed, "{:?}", images(&reloaded.services));
    }
}

#[test]
fn what_was_too_much_to_include_is_included_when_there_is_less_of_it() {
    let one = |name: &str| file(&format!("{name}.yaml"), manifest(name, "{file: task.json}"));
    let task = file("task.json", TASK);
    let limits = Limits { included_bytes: TASK.len(), ..Limits::default() };
    let mut directory = Reloader::new("", None).within(limits);
    let names = |reloaded: &Reloaded| -> Vec<String> {
        reloaded.services.iter().map(|one| one.key.name.clone()).collect()
    };
    let both = directory.load(&[one("a"), one("b"), task.clone()], None);
    assert_eq!((names(&both), both.problems.len()), (vec!["a".to_owned()], 1));
    let rest = directory.load(&[one("b"), task], None);
    assert_eq!((names(&rest), rest.problems.len()), (vec!["b".to_owned()], 0));
}

#[test]
fn every_manifest_is_parsed_again_when_the_environment_changes() {
    let web = file("web.yaml", inline("web", "${version}"));
    let prod = |version: &str| {
        file("prod.yaml", environment(&format!("{{version: \"{version}\"}}"), "[]"))
    };
    let mut directory = Reloader::new("", Some("prod"));
    for (version, parsed) in [("1", 2), ("1", 0), ("2", 2)] {
        let files = [prod(version), web.clone()];
        let reloaded = directory.load(&files, None);
        assert_as_new(&reloaded, &files, Some("prod"));
        assert_eq!(reloaded.parsed, parsed);
        assert_eq!(images(&reloaded.services), [format!("app:{version}")]);
    }
    let gone = [web];
    let reloaded = directory.load(&gone, None);
    assert_as_new(&reloaded, &gone, Some("prod"));
    assert!(reloaded.services.is_empty());
}

#[test]
fn a_service_that_is_as_before_is_the_same_one_and_keeps_its_commit() {
    let [first, second]: [Arc<str>; 2] = ["1111".into(), "2222".into()];
    let two = |image: &str| format!("{}---\n{}", inline("a", "1"), inline("b", image));
    let mut directory = Reloader::new("", None);
    let before = directory.load(&[file("x.yaml", two("1"))], Some(&first));
    let after = directory.load(&[file("x.yaml", two("2"))], Some(&second));
    let commits: Vec<_> = after.services.iter().map(|one| one.source.commit.clone()).collect();
    assert_eq!(commits, [Some(first), Some(second)]);
    assert!(Arc::ptr_eq(&before.services[0], &after.services[0]));
}

#[test]
fn two_manifests_of_one_service_are_both_rejected_until_one_is_gone() {
    let (one, other) = (file("a.yaml", inline("web", "1")), file("b.yaml", inline("web", "2")));
    let mut directory = Reloader::new("", None);
    for files in [vec![one.clone()], vec![one.clone(), other], vec![one]] {
        let reloaded = directory.load(&files, None);
        assert_as_new(&reloaded, &files, None);
    }
}

#[test]
fn nothing_is_included_from_outside_the_root() {
    let mut directory = Reloader::new("mine/", None);
    let web = |path: &str| file("mine/web.yaml", manifest("web", &format!("{{file: {path}}}")));
    let task = file("mine/task.json", TASK);
    let inside = directory.load(&[task.clone(), web("./task.json")], None);
    assert_eq!((inside.services.len(), inside.problems.len()), (1, 0));
    assert_eq!(&*inside.services[0].source.file, "mine/web.yaml");
    for path in ["../mine/task.json", "mine/task.json"] {
        assert!(directory.load(&[task.clone(), web(path)], None).services.is_empty(), "{path}");
    }
}

/// What a file may say, by a number.
fn text(number: u8) -> String {
    let overlay = "[{match: {name: a}, merge: {spec: {service: {desiredCount: 4}}}}]";
    match number % 12 {
        0 => inline("a", "1"),
        1 => inline("a", "2"),
        2 => inline("b", "${version}"),
        3 => format!("{}---\n{}", inline("c", "1"), inline("d", "${missing}")),
        4 => manifest("e", "{file: 0.yaml}"),
        5 => manifest("f", "{file: ./1.yaml}"),
        6 => TASK.to_owned(),
        7 => environment("{version: \"1\"}", overlay),
        8 => environment("{version: \"2\", unused: x}", "[]"),
        9 => "spec: [".to_owned(),
        10 => String::new(),
        _ => inline("a", "1").replace("memory", "memroy"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_reload_says_what_a_load_from_nothing_says(
        looks in prop::collection::vec(prop::collection::btree_map(0..4_u8, any::<u8>(), 0..5), 1..8),
        in_environment in any::<bool>(),
    ) {
        let environment = in_environment.then_some("prod");
        let mut directory = Reloader::new("", environment);
        let mut all = std::collections::BTreeMap::new();
        for look in looks {
            all.extend(look);
            if all.len() > 3 {
                all.pop_first();
            }
            let files: Vec<File> =
                all.iter().map(|(name, says)| file(&format!("{name}.yaml"), text(*says))).collect();
            let reloaded = directory.load(&files, None);
            assert_as_new(&reloaded, &files, environment);
        }
    }
}
