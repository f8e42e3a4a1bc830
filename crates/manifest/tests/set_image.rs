//! An image is set in the text of a manifest, and nothing else differs: not a byte, not a value.

use evenkeel_manifest::{File, ImageReference, ImageTarget, SetImageError, load, set_image};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::Value;

const MANIFESTS: &str = "\
# All of the shop.
apiVersion: evenkeel.dev/v1
kind: Service
metadata: {name: web}
spec:
  cluster: prod   # not test
  taskDefinition:
    memory: '512'
    containerDefinitions:
      - name: app
        image:   'registry.example.com/app:1'   # by CI
        environment: [{name: A, value: \"registry.example.com/app:1\"}]
      - {image: \"envoy:1.30\", name: envoy}
  service: {desiredCount: 1}
---
apiVersion: evenkeel.dev/v1
kind: Service
metadata: {name: api}
spec:
  cluster: prod
  taskDefinition: {file: taskdef.json}
";

/// As `describe-task-definition` prints it, with a character that JSON writes as a pair of escapes.
const TASKDEF: &str = "\
{\"taskDefinition\": {\"family\": \"api\", \"memory\": \"512\",
  \"containerDefinitions\": [{\"environment\": [{\"name\": \"B\", \"value\": \"\\ud83d\\ude00\"}], \
\"name\": \"api\", \"image\": \"api:1\"}]}}
";

fn files() -> Vec<File> {
    file_list(MANIFESTS)
}

fn file_list(manifests: &str) -> Vec<File> {
    let file = |name: &str, text: &str| File { name: name.into(), text: text.to_owned() };
    vec![file("shop.yaml", manifests), file("taskdef.json", TASKDEF)]
}

fn try_set(files: &mut [File], target: &str, image: &str) -> Result<(), SetImageError> {
    let target = ImageTarget::parse(target).expect("a target");
    let image = ImageReference::parse(image).expect("a reference");
    let change = set_image(files, "shop.yaml", &target, &image)?;
    for file in files.iter_mut().filter(|file| file.name == change.file) {
        file.text.clone_from(&change.text);
    }
    Ok(())
}

fn set(target: &str, image: &str) -> Vec<File> {
    let mut files = files();
    try_set(&mut files, target, image).expect("the image is set");
    files
}

fn refused(manifests: &str, target: &str) -> String {
    let mut files = file_list(manifests);
    let error = try_set(&mut files, target, "new:2").expect_err("refused");
    assert_eq!(files, file_list(manifests), "a refusal changes nothing");
    error.to_string()
}

#[test]
fn the_image_alone_changes_and_keeps_its_quotes() {
    for (target, old, new) in [
        ("web/app", "'registry.example.com/app:1'   # by CI", "'new:2'   # by CI"),
        ("web/envoy", "\"envoy:1.30\"", "\"new:2\""),
        ("prod/web/envoy", "\"envoy:1.30\"", "\"new:2\""),
    ] {
        assert_eq!(set(target, "new:2"), file_list(&MANIFESTS.replacen(old, new, 1)), "{target}");
    }
}

#[test]
fn a_task_definition_in_a_file_of_its_own_is_edited_there() {
    let changed = set("api", "new:2");
    let expected = TASKDEF.replace("\"api:1\"", "\"new:2\"");
    assert_eq!(changed.first().map(|file| &*file.text), Some(MANIFESTS));
    assert_eq!(changed.last().map(|file| &*file.text), Some(&*expected));
}

#[test]
fn an_image_that_reads_as_a_number_is_put_in_quotes() {
    let manifests = MANIFESTS.replace("'registry.example.com/app:1'   #", "app:1 #");
    let mut files = file_list(&manifests);
    try_set(&mut files, "web/app", "1:30").expect("the image is set");
    let digest = format!("0e@sha256:{}", "0".repeat(64));
    try_set(&mut files, "web/app", &digest).expect("the image is set");
    let text = files.first().map(|file| file.text.clone()).unwrap_or_default();
    assert!(text.contains(&format!("image:   {digest} # by CI")), "{text}");
}

#[test]
fn what_is_not_there_is_refused_with_what_is() {
    let replaced = |old: &str, new: &str| MANIFESTS.replace(old, new);
    let twice = format!("{MANIFESTS}---\n{}", MANIFESTS.replace("prod", "test"));
    let says = [
        refused(MANIFESTS, "wbe"),
        refused(MANIFESTS, "worker"),
        refused(MANIFESTS, "web"),
        refused(MANIFESTS, "web/ap"),
        refused(MANIFESTS, "test/web/app"),
        refused(&twice, "web/app"),
        refused(&replaced("taskdef.json", "/etc/taskdef.json"), "api"),
        refused(&replaced("taskdef.json", "nothing.json"), "api"),
        refused(&replaced("name: web}", "name: web"), "web/app"),
        refused(&replaced("'registry.example.com/app:1'   #", "app:${tag} #"), "web/app"),
        refused(&replaced("'registry.example.com/app:1'   #", "\"app\\x3a1\" #"), "web/app"),
        refused(
            &replaced("        image:   'registry.example.com/app:1'   # by CI\n", ""),
            "web/app",
        ),
    ];
    insta::assert_snapshot!(says.join("\n"));
}

#[test]
fn an_image_that_an_alias_ties_to_another_is_refused() {
    let tied = MANIFESTS
        .replace("image:   'registry", "image: &image 'registry")
        .replace("\"envoy:1.30\"", "*image");
    insta::assert_snapshot!([refused(&tied, "web/app"), refused(&tied, "web/envoy")].join("\n"));
    let alone = MANIFESTS.replace("image:   'registry", "image: &image 'registry");
    try_set(&mut file_list(&alone), "web/app", "new:2").expect("an anchor alone ties nothing");
}

#[test]
fn a_task_definition_that_two_services_take_is_refused() {
    let second = "---\napiVersion: evenkeel.dev/v1\nkind: Service\nmetadata: {name: worker}\nspec: \
                  {cluster: prod, taskDefinition: {file: ./taskdef.json}}\n";
    let shared = format!("{MANIFESTS}{second}");
    insta::assert_snapshot!(refused(&shared, "api"));
}

/// What the manifests say, without the image of one container.
fn without_image(files: &[File], container: &str) -> Vec<(String, Value, Value)> {
    let set = load(files);
    assert_eq!(set.problems, []);
    let said = |service: &evenkeel_manifest::Service| {
        let mut task: Value = serde_json::from_str(service.task_definition.text()).expect("JSON");
        let containers = task.get_mut("containerDefinitions").and_then(Value::as_array_mut);
        for one in containers.into_iter().flatten().filter_map(Value::as_object_mut) {
            if one.get("name").and_then(Value::as_str) == Some(container) {
                one.remove("image");
            }
        }
        let rest = serde_json::from_str(service.service.text()).expect("JSON");
        (service.key.to_string(), task, rest)
    };
    set.services.iter().map(said).collect()
}

fn image_of(files: &[File], container: &str) -> Option<String> {
    let set = load(files);
    let tasks = set.services.iter().map(|service| {
        serde_json::from_str::<Value>(service.task_definition.text()).expect("JSON")
    });
    let mut containers = tasks.flat_map(|task| {
        task.get("containerDefinitions").and_then(Value::as_array).cloned().unwrap_or_default()
    });
    let named = |one: &Value| one.get("name").and_then(Value::as_str) == Some(container);
    Some(containers.find(named)?.get("image")?.as_str()?.to_owned())
}

proptest! {
    #[test]
    fn every_edit_is_of_this_image_alone_and_can_be_undone(
        (target, container) in select(vec![("web/app", "app"), ("web/envoy", "envoy"), ("api", "api")]),
        image in "([a-z0-9]{1,3}[.]x(:[0-9]{1,4})?/)?[a-z0-9]{1,5}([-._][a-z0-9]{1,3})?:[A-Za-z0-9_][A-Za-z0-9_.-]{0,5}",
        crlf in any::<bool>(),
    ) {
        let mut before = files();
        if crlf {
            for file in &mut before {
                file.text = file.text.replace('\n', "\r\n");
            }
        }
        let mut after = before.clone();
        prop_assert!(try_set(&mut after, target, &image).is_ok());
        prop_assert_eq!(image_of(&after, container), Some(image));
        prop_assert_eq!(without_image(&before, container), without_image(&after, container));
        let old = image_of(&before, container).expect("an image");
        prop_assert!(try_set(&mut after, target, &old).is_ok());
        prop_assert_eq!(before, after);
    }
}
