//! An environment laid over manifests: what comes out is as if it had been written by hand, and every
//! problem points at the file that the value is from.

use evenkeel_manifest::{File, ManifestSet, RenderedManifest, Service, load, load_in, render};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Value, json};

const WEB: &str = "\
apiVersion: evenkeel.dev/v1
kind: Service
metadata: {name: web, labels: {team: shop}}
spec:
  cluster: ${cluster}
  taskDefinition: {file: taskdef.json}
  service:
    desiredCount: ${replicas}
";

const API: &str = "\
apiVersion: evenkeel.dev/v1
kind: Service
metadata: {name: api}
x-anchors: {here: \"${is nothing}\"}
spec:
  cluster: ${cluster}
  taskDefinition:
    memory: 512
    containerDefinitions:
      - name: api
        image: \"example/api:${tag}\"
        command: [sh, -c, \"echo $${HOME}\"]
";

const TASKDEF: &str = "\
{ \"memory\": \"512\",
  \"containerDefinitions\": [{ \"name\": \"web\", \"image\": \"example/web:${tag}\" }] }
";

const PROD: &str = "\
apiVersion: evenkeel.dev/v1
kind: Environment
metadata: {name: prod}
spec:
  vars:
    cluster: production
    replicas: 4
    tag: 1.4.2
  overlays:
    - match: {name: web, cluster: production, labels: {team: shop}}
      merge:
        spec: {taskDefinition: {memory: \"1024\"}}
    - match: {cluster: production}
      patch:
        - {op: test, path: /spec/taskDefinition/containerDefinitions/0/image, value: \"example/web:${tag}\"}
";

fn file(name: &str, text: &str) -> File {
    File { name: name.into(), text: text.to_owned() }
}

fn files(prod: &str) -> Vec<File> {
    vec![
        file("api.yaml", API),
        file("env/prod.yaml", prod),
        file("taskdef.json", TASKDEF),
        file("web.yaml", WEB),
    ]
}

/// [`PROD`] without its patch, which is for one of the two services only.
fn good() -> String {
    PROD.split("    - match: {cluster").next().unwrap_or_default().to_owned()
}

fn problems(set: &ManifestSet) -> String {
    let lines: Vec<String> = set.problems.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

fn service<'s>(set: &'s ManifestSet, name: &str) -> &'s Service {
    let found = set.services.iter().find(|service| service.key.name == name);
    found.unwrap_or_else(|| panic!("no {name}: {}", problems(set)))
}

#[test]
fn overlays_and_variables_make_the_manifests_of_an_environment() {
    let set = load_in(&files(&good()), Some("prod"));
    assert_eq!(problems(&set), "");
    let web = service(&set, "web");
    assert_eq!(web.key.to_string(), "production/web");
    assert_eq!(web.service.value(), json!({ "desiredCount": 4 }));
    let task = web.task_definition.value();
    assert_eq!(task.get("memory"), Some(&json!("1024")));
    assert_eq!(task.pointer("/containerDefinitions/0/image"), Some(&json!("example/web:1.4.2")));
    let api = service(&set, "api").task_definition.value();
    assert_eq!(api.pointer("/containerDefinitions/0/command/2"), Some(&json!("echo ${HOME}")));
    assert_eq!((&*web.source.file, web.source.line), ("web.yaml", 1));
}

#[test]
fn without_an_environment_nothing_means_anything() {
    let api = API.replace("cluster: ${cluster}", "cluster: prod").replace("${is nothing}", "");
    let set = load(&[file("api.yaml", &api), file("env/prod.yaml", &good())]);
    assert_eq!(problems(&set), "");
    assert_eq!(set.environments.iter().collect::<Vec<_>>(), ["prod"]);
    let task = service(&set, "api").task_definition.value();
    assert_eq!(task.pointer("/containerDefinitions/0/image"), Some(&json!("example/api:${tag}")));
    assert_eq!(task.pointer("/containerDefinitions/0/command/2"), Some(&json!("echo $${HOME}")));
}

#[test]
fn a_patch_that_does_not_fit_a_manifest_is_its_problem_alone() {
    let set = load_in(&files(PROD), Some("prod"));
    insta::assert_snapshot!(problems(&set));
    assert_eq!(set.services.len(), 1);
    let problem = set.problems.first().and_then(|problem| problem.service.clone());
    assert_eq!(problem.map(|key| key.name).as_deref(), Some("api"));
}

#[test]
fn every_problem_points_at_the_file_that_the_value_is_from() {
    let change = |old: &str, new: &str| {
        assert!(good().contains(old), "{old}");
        problems(&load_in(&files(&good().replace(old, new)), Some("prod")))
    };
    let all = [
        ("a mistyped value in an overlay", change("memory: \"1024\"", "memory: [1]")),
        ("a misspelt name in an overlay", change("memory: \"1024\"", "memroy: \"1024\"")),
        ("a mistyped variable", change("replicas: 4", "replicas: four")),
        ("an unknown variable", change("    tag: 1.4.2\n", "    tga: 1.4.2\n")),
        ("a number that would change", change("tag: 1.4.2", "tag: 1.10")),
        ("a number with a leading zero", change("tag: 1.4.2", "tag: 0123456")),
        ("a variable that nothing uses", change("replicas: 4", "replicas: 4\n    more: 5")),
        ("a literal that is none", change("replicas: 4", "replicas: [4]")),
        ("an overlay for nothing", change("name: web", "name: wbe")),
        ("an overlay without a change", change("merge:", "mrege:")),
        ("an overlay that is for all by mistake", change("match: {name", "mach: {name")),
        ("a broken environment", change("metadata: {name: prod}", "metadata: {name: [prod}")),
        ("a reference out of the directory", change("{memory: \"1024\"}", "{file: ../../x.json}")),
    ];
    let told: Vec<String> = all.iter().map(|(what, told)| format!("# {what}\n{told}")).collect();
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn an_environment_that_is_missing_or_twice_is_an_error_of_every_manifest() {
    let missing = load_in(&files(&good()), Some("prdo"));
    let mut twice = files(&good());
    twice.push(file("z.yaml", &good()));
    let twice = load_in(&twice, Some("prod"));
    assert!(missing.services.is_empty() && twice.services.is_empty());
    insta::assert_snapshot!(format!("{}\n{}", problems(&missing), problems(&twice)));
}

#[test]
fn shell_in_a_manifest_is_told_how_to_be_escaped() {
    let api = API.replace("$${HOME}", "${HOME:-/root} ${PATH} ${tag");
    let set = load_in(&[file("api.yaml", &api), file("env/prod.yaml", &good())], Some("prod"));
    insta::assert_snapshot!(problems(&set));
}

#[test]
fn an_overlay_may_name_another_task_definition_file_relative_to_itself() {
    let prod = good().replace(
        "spec: {taskDefinition: {memory: \"1024\"}}",
        "spec: {taskDefinition: null}\n    - match: {name: web}\n      merge: {spec: {taskDefinition: \
         {file: \"web-${tag}.json\"}}}",
    );
    let mut all = files(&prod);
    all.push(file("env/web-1.4.2.json", &TASKDEF.replace("\"512\"", "\"2048\"")));
    let set = load_in(&all, Some("prod"));
    assert_eq!(problems(&set), "");
    let task = service(&set, "web").task_definition.value();
    assert_eq!(task.get("memory"), Some(&json!("2048")));
    assert_eq!(task.pointer("/containerDefinitions/0/image"), Some(&json!("example/web:1.4.2")));
}

#[test]
fn a_large_variable_is_not_repeated_without_end() {
    let prod = good().replace("1.4.2", &"x".repeat(200_000));
    let many = format!("[{}]", vec!["\"${tag}${tag}\""; 50].join(", "));
    let api = API.replace("[sh, -c, \"echo $${HOME}\"]", &many);
    let set = load_in(&[file("api.yaml", &api), file("env/prod.yaml", &prod)], Some("prod"));
    assert!(
        problems(&set).contains("a value of more than 262144 bytes"),
        "{}",
        problems(&set).len()
    );
}

/// The rendered manifests as files.
fn written(manifests: &[RenderedManifest]) -> Vec<File> {
    let file = |(index, one): (usize, &RenderedManifest)| {
        file(&format!("{index}.json"), &one.value.to_string())
    };
    manifests.iter().enumerate().map(file).collect()
}

/// All that is to be the same whoever wrote the manifests.
fn content(set: &ManifestSet) -> Vec<Service> {
    let source = evenkeel_manifest::Source::new("".into(), 0);
    set.services.iter().map(|one| Service { source: source.clone(), ..one.clone() }).collect()
}

#[test]
fn what_is_rendered_says_the_same_when_it_is_loaded() {
    let (rendered, set) = render(&files(&good()), Some("prod"));
    assert_eq!(content(&set), content(&load(&written(&rendered))));
    let (plain, set) = render(
        &[
            file("taskdef.json", TASKDEF),
            file("web.yaml", &WEB.replace("${replicas}", "2").replace("${cluster}", "x")),
        ],
        None,
    );
    assert_eq!(content(&set), content(&load(&written(&plain))));
    assert_eq!(plain.len(), 1);
}

fn environment(vars: &Value, overlays: &Value) -> File {
    let document = json!({
        "apiVersion": "evenkeel.dev/v1", "kind": "Environment", "metadata": { "name": "e" },
        "spec": { "vars": vars, "overlays": overlays },
    });
    file("e.json", &document.to_string())
}

/// A text with a stretch replaced by another of its own, or by something that means much.
fn damaged(text: &str, at: usize, length: usize, from: usize, with: &str) -> String {
    let characters: Vec<char> = text.chars().collect();
    let cut = |at: usize, length: usize| {
        let at = at % characters.len();
        (at, (at + length).min(characters.len()))
    };
    let ((start, end), (copy, copied)) = (cut(at, length), cut(from, length));
    let part = |from: usize, to: usize| characters.get(from..to).unwrap_or_default().iter();
    let moved = part(copy, copied).filter(|_| with.is_empty());
    let all = part(0, start).chain(moved).copied().chain(with.chars());
    all.chain(part(end, characters.len()).copied()).collect()
}

proptest! {
    #[test]
    fn no_damaged_environment_panics_and_each_is_an_error_or_means_something(
        at in 0..2000_usize, length in 0..40_usize, from in 0..2000_usize,
        with in select(vec!["", "${", "}", "*a", "null", "[]", "{}", "/spec", "~", "- ", "\n", "\t", "copy", "\u{0}"]),
    ) {
        for (index, text) in [PROD, API, WEB, TASKDEF].into_iter().enumerate() {
            let mut files = files(PROD);
            let name = ["env/prod.yaml", "api.yaml", "web.yaml", "taskdef.json"].get(index);
            for file in files.iter_mut().filter(|file| Some(&&*file.name) == name) {
                file.text = damaged(text, at, length, from, with);
            }
            let (rendered, set) = render(&files, Some("prod"));
            prop_assert!(set.services.len() <= rendered.len());
            prop_assert_eq!(&set, &load_in(&files, Some("prod")));
        }
    }

    #[test]
    fn an_empty_environment_changes_nothing(overlays in subsequence(vec![0, 1], 0..=2)) {
        let api = API.replace("${cluster}", "prod").replace("${tag}", "1").replace("$${HOME}", "$HOME");
        let nothing = [
            json!({ "match": {}, "merge": {} }),
            json!({ "match": { "name": "api" }, "patch": [{ "op": "test", "path": "/kind", "value": "Service" }] }),
        ];
        let overlays: Vec<_> = overlays.into_iter().filter_map(|index| nothing.get(index)).collect();
        let with = [file("api.yaml", &api), environment(&json!({}), &json!(overlays))];
        prop_assert_eq!(content(&load_in(&with, Some("e"))), content(&load(&with)));
        prop_assert_eq!(load_in(&with, Some("e")).problems, vec![]);
    }

    #[test]
    fn rendering_is_deterministic_and_equals_writing_it_by_hand(
        cluster in "[a-z]{1,5}", replicas in 0..1000_u32, tag in "[a-z][a-z0-9._-]{0,5}",
        memory in select(vec![128, 512, 4096]),
    ) {
        let vars = json!({ "cluster": cluster, "replicas": replicas, "tag": tag });
        let overlay = json!([{ "match": { "name": "web" }, "merge": { "spec": { "taskDefinition": { "memory": memory } } } }]);
        let base = |e: File| [file("api.yaml", API), e, file("taskdef.json", TASKDEF), file("web.yaml", WEB)];
        let files = base(environment(&vars, &overlay));
        let put = |text: &str| {
            text.replace("$${", "\u{0}").replace("${cluster}", &cluster).replace("${replicas}", &replicas.to_string())
                .replace("${tag}", &tag).replace('\u{0}', "${")
        };
        let by_hand = [
            file("api.yaml", &put(API)),
            file("taskdef.json", &put(TASKDEF).replace("\"512\"", &format!("\"{memory}\""))),
            file("web.yaml", &put(WEB)),
        ];
        let set = load_in(&files, Some("e"));
        prop_assert_eq!(&set, &load_in(&files, Some("e")));
        prop_assert_eq!(set.problems.len(), 0);
        prop_assert_eq!(content(&set), content(&load(&by_hand)));
    }
}

#[test]
fn each_text_of_a_rendered_manifest_has_the_place_where_it_is_written() {
    let (rendered, _) = render(&files(&good()), Some("prod"));
    let place = |member: &str, text: &str| {
        let found = rendered.iter().find_map(|one| one.place(member, text)).unwrap();
        format!("{}:{}:{} {}", found.file, found.line, found.column, found.path)
    };
    assert!(place("image", "example/web:1.4.2").starts_with("taskdef.json:2:"));
    assert!(place("memory", "1024").starts_with("env/prod.yaml:"), "an overlay wrote it");
    let command = place("command", "sh");
    assert!(
        command.ends_with("spec.taskDefinition.containerDefinitions[0].command[0]"),
        "{command}"
    );
    assert!(rendered.iter().all(|one| one.place("image", "sh").is_none()));
}
