//! Loading as a whole: limits, conflicts, included files, strays.

use evenkeel_manifest::{File, Limits, ManifestSet, Severity, load, load_with};

fn file(name: &str, text: impl Into<String>) -> File {
    File { name: name.into(), text: text.into() }
}

fn manifest(name: &str) -> String {
    format!(
        "apiVersion: evenkeel.dev/v1\nkind: Service\nmetadata: {{ name: {name} }}\nspec:\n  \
         cluster: prod\n  taskDefinition:\n    containerDefinitions: \
         [{{ name: a, image: b, memory: 8 }}]\n"
    )
}

fn including(path: &str) -> String {
    format!(
        "apiVersion: evenkeel.dev/v1\nkind: Service\nmetadata: {{ name: web }}\nspec: \
         {{ cluster: prod, taskDefinition: {{ file: {path} }} }}\n"
    )
}

fn said(set: &ManifestSet) -> Vec<String> {
    set.problems.iter().map(ToString::to_string).collect()
}

#[test]
fn how_code_deploy_rolls_a_revision_out_is_no_part_of_it() {
    let text = |image: &str, code_deploy: &str| {
        let service = "{desiredCount: 1, loadBalancers: [{containerName: a, containerPort: 80, targetGroupArn: \
                       'arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/blue/0123456789abcdef'}]}";
        let container = format!("image: {image}, portMappings: [{{containerPort: 80}}]");
        let manifest = manifest("web").replace("image: b", &container);
        let rollout = format!("{{strategy: CodeDeploy, codeDeploy: {{{code_deploy}}}}}");
        format!("{manifest}  service: {service}\n  rollout: {rollout}\n")
    };
    let digest = |image: &str, code_deploy: &str| {
        let set = load(&[file("a", text(image, code_deploy))]);
        assert_eq!(said(&set), [""; 0]);
        set.services[0].revision_digest.clone()
    };
    let plain = digest("b", "");
    assert_eq!(digest("b", "hooks: {BeforeAllowTraffic: smoke}"), plain);
    assert_eq!(digest("b", "hooks: {BeforeAllowTraffic: other}, deploymentConfig: Tenth"), plain);
    assert_ne!(digest("c", ""), plain, "an image is a part");
}

#[test]
fn a_variable_without_a_value_is_refused_for_ecs_drops_it() {
    let with = |variable: &str| {
        let container = format!("image: b, environment: [{{{variable}}}]");
        let text = manifest("web").replace("image: b", &container);
        said(&load(&[file("a", text)]))
    };
    let refused = "a:7:63: spec.taskDefinition.containerDefinitions[0].environment[0]: `value` is missing: ECS drops a \
                   variable without one; an empty one is `value: \"\"`";
    assert_eq!(with("name: MODE"), [refused]);
    assert_eq!(with("name: MODE, value: null"), [refused]);
    assert_eq!(with("name: MODE, value: ''"), [""; 0], "an empty value is one");
}

#[test]
fn a_file_that_is_too_large_is_refused_and_the_next_is_read() {
    let limits = Limits { file_bytes: 200, ..Limits::default() };
    let set = load_with(&[file("a", "x".repeat(201)), file("b", manifest("web"))], &limits);
    assert_eq!(said(&set), ["a:1:1: larger than 200 bytes: split it"]);
    assert_eq!(set.services.len(), 1);
    assert!(set.has_errors());
}

#[test]
fn files_beyond_the_limit_are_said_not_to_be_read() {
    let limits = Limits { files: 1, ..Limits::default() };
    let set = load_with(&[file("a", manifest("one")), file("b", manifest("two"))], &limits);
    assert_eq!(said(&set), ["b:1:1: more than 1 files: this one and all after it are not read"]);
    assert_eq!(set.services.len(), 1);
}

#[test]
fn a_task_definition_larger_than_ecs_takes_is_refused() {
    let text = manifest("web").replace("image: b", &format!("image: {}", "b".repeat(70_000)));
    let set = load(&[file("a", text)]);
    assert_eq!(set.services.len(), 0);
    assert_eq!(said(&set).len(), 1);
    assert!(
        said(&set)[0].ends_with("bytes as JSON, and ECS takes at most 65536"),
        "{:?}",
        said(&set)
    );
}

#[test]
fn what_is_included_is_bounded_over_all_manifests() {
    let task = r#"{"containerDefinitions": [{"name": "a", "image": "b", "memory": 8}]}"#;
    let second = including("t.json").replace("name: web", "name: second");
    let files = [file("a", including("t.json")), file("b", second), file("t.json", task)];
    let limits = Limits { included_bytes: task.len() + 1, ..Limits::default() };
    let set = load_with(&files, &limits);
    assert_eq!(set.services.len(), 1);
    let limit = limits.included_bytes;
    assert_eq!(
        said(&set),
        [format!("b:4:1: spec: more than {limit} bytes of included files in all")]
    );
}

#[test]
fn two_manifests_of_one_service_are_both_rejected_and_name_each_other() {
    let by_arn = manifest("web")
        .replace("cluster: prod", "cluster: 'arn:aws:ecs:eu-west-1:123456789012:cluster/prod'");
    let set = load(&[file("a", manifest("web")), file("b", by_arn), file("c", manifest("other"))]);
    let names: Vec<&str> = set.services.iter().map(|service| &*service.metadata.name).collect();
    assert_eq!(names, ["other"]);
    assert_eq!(
        said(&set),
        [
            "a:1:1: the service prod/web also has a manifest at b:1: all are rejected, keep one",
            "b:1:1: the service prod/web also has a manifest at a:1: all are rejected, keep one",
        ]
    );
}

#[test]
fn a_broken_manifest_still_claims_its_service() {
    let broken = manifest("web").replace("image", "imgae");
    let set = load(&[file("a", manifest("web")), file("b", broken)]);
    assert_eq!(set.services.len(), 0);
    assert!(said(&set).iter().any(|line| line.starts_with("a:1:1: the service prod/web")));
    assert!(set.problems.iter().all(|problem| {
        problem.service.as_ref().is_some_and(|key| key.to_string() == "prod/web")
    }));
}

#[test]
fn the_same_name_in_another_target_or_cluster_is_another_service() {
    let elsewhere = manifest("web").replace("cluster: prod", "cluster: prod\n  target: paris");
    let other = manifest("web").replace("cluster: prod", "cluster: test");
    let set = load(&[file("a", manifest("web")), file("b", elsewhere), file("c", other)]);
    assert_eq!(said(&set), Vec::<String>::new());
    let keys: Vec<String> = set.services.iter().map(|service| service.key.to_string()).collect();
    assert_eq!(keys, ["prod/web", "paris/prod/web", "test/web"]);
}

#[test]
fn an_included_file_is_no_stray_and_an_unused_one_is() {
    let task = r#"{"containerDefinitions": [{"name": "a", "image": "b", "memory": 8}]}"#;
    let files = [
        file("m/web.yaml", including("../t/web.json")),
        file("t/web.json", task),
        file("t/old.json", task),
    ];
    let set = load(&files);
    assert_eq!(said(&set), ["t/old.json:1:1: warning: not a manifest of Evenkeel: it is ignored"]);
    assert_eq!(set.services.len(), 1);
}

#[test]
fn a_syntax_error_in_an_included_file_is_said_once_and_of_its_service() {
    let set = load(&[file("web.yaml", including("web.json")), file("web.json", "{\"family\": ")]);
    assert_eq!(set.problems.len(), 1, "{:?}", said(&set));
    let problem = &set.problems[0];
    assert_eq!((&*problem.file, problem.severity), ("web.json", Severity::Error));
    assert!(problem.message.starts_with("not valid JSON: "), "{problem}");
    assert_eq!(problem.service.as_ref().map(ToString::to_string), Some("prod/web".to_owned()));
}

#[test]
fn the_printed_reply_of_describe_task_definition_can_be_included() {
    let reply = r#"{
        "taskDefinition": {
            "taskDefinitionArn": "arn:aws:ecs:eu-west-1:1:task-definition/web:7",
            "family": "web", "revision": 7, "status": "ACTIVE", "requiresAttributes": [],
            "containerDefinitions": [{"name": "a", "image": "b", "memory": 8, "cpu": 0}]
        },
        "tags": []
    }"#;
    let set = load(&[file("web.yaml", including("web.json")), file("web.json", reply)]);
    assert_eq!(set.services.len(), 1, "{:?}", said(&set));
    assert!(!set.has_errors());
    assert_eq!(
        set.services[0].task_definition.text(),
        r#"{"containerDefinitions":[{"image":"b","memory":8,"name":"a"}],"family":"web"}"#
    );
}

#[test]
fn the_same_task_definition_has_one_digest_wherever_it_is_written() {
    let task = "containerDefinitions:\n- {memory: 8, essential: true, image: b, name: a}\n";
    let apart = load(&[file("web.yaml", including("web.yml")), file("web.yml", task)]);
    let inline = load(&[file("web.yaml", manifest("web"))]);
    let digests = |set: &ManifestSet| {
        let service = set.services.first().expect("one service");
        (service.task_definition_digest.clone(), service.revision_digest.clone())
    };
    assert_eq!(digests(&apart), digests(&inline));
}

#[test]
fn tags_go_onto_revisions_and_not_into_the_digest() {
    let tagged = manifest("web").replace(
        "    containerDefinitions",
        "    tags: [{ key: a, value: b }]\n    containerDefinitions",
    );
    let (tagged, plain) = (load(&[file("a", tagged)]), load(&[file("a", manifest("web"))]));
    let (tagged, plain) = (&tagged.services[0], &plain.services[0]);
    assert_eq!(tagged.task_definition_digest, plain.task_definition_digest);
    assert_eq!(tagged.task_definition.value()["tags"][0]["key"], "a");
}

#[test]
fn an_endless_list_of_problems_is_cut_short() {
    let unknown: Vec<String> = (0..5_000).map(|n| format!("  unknown{n}: 1\n")).collect();
    let set = load(&[file("a", manifest("web") + &unknown.concat())]);
    assert_eq!(set.problems.len(), 101);
    assert!(said(&set).contains(&"a:1:1: and 4900 more problems in this document".to_owned()));
}

#[test]
fn lists_beyond_reason_are_refused_without_comparing_their_elements() {
    let containers: Vec<String> = (0..20_000)
        .map(|n| format!("{{name: c{n}, dependsOn: [{{containerName: x{n}}}]}},"))
        .collect();
    let text = manifest("web").replace("{ name: a, image: b, memory: 8 }", &containers.concat());
    let limits = Limits { nodes: 1_000_000, file_bytes: 4 << 20, ..Limits::default() };
    let set = load_with(&[file("a", text)], &limits);
    assert!(
        said(&set).iter().any(|line| line.ends_with("more elements than ECS could ever take")),
        "{:?}",
        said(&set)
    );
}

#[test]
fn a_problem_serialises_with_all_its_parts() {
    let set = load(&[file("a.yaml", "kind: Service\n")]);
    let json = serde_json::to_value(&set.problems[0]).expect("plain data");
    assert_eq!(
        json,
        serde_json::json!({
            "file": "a.yaml", "line": 1, "column": 1, "path": "",
            "message": "`apiVersion` is missing", "severity": "error", "service": null
        })
    );
}

#[test]
fn environment_files_are_sent_in_the_written_order_and_compared_in_any() {
    let with = |files: &str| {
        let text = manifest("web")
            .replace("memory: 8", &format!("memory: 8, environmentFiles: [{files}]"));
        let set = load(&[file("a", text)]);
        set.services.into_iter().next().expect("one service")
    };
    let (forth, back) = (
        with("{ value: b, type: s3 }, { value: a, type: s3 }"),
        with("{ value: a, type: s3 }, { value: b, type: s3 }"),
    );
    assert_eq!(forth.task_definition_digest, back.task_definition_digest);
    let sent = forth.task_definition.value();
    assert_eq!(sent["containerDefinitions"][0]["environmentFiles"][0]["value"], "b");
}

/// A changed digest of unchanged content would deploy every service of every user anew: the version
/// in front must change with it.
#[test]
fn the_digests_of_version_1_never_change() {
    let set = load(&[file("a", include_str!("cases/good/fargate.yaml"))]);
    let service = set.services.first().expect("one service");
    assert_eq!(service.task_definition_digest.as_str(), "v1:1ffc2717eddc5f309d88455d49cf6784");
    assert_eq!(service.revision_digest.as_str(), "v1:c975086380064130abee5ff8f4618ffc");
}

#[test]
fn a_service_leaves_room_for_the_fourteen_tags_that_are_ours() {
    let tagged = |count: usize| {
        let tags: Vec<String> = (0..count).map(|n| format!("{{ key: k{n}, value: v }}")).collect();
        let text = format!("{}  service: {{ tags: [{}] }}\n", manifest("web"), tags.join(", "));
        said(&load(&[file("a", text)]))
    };
    assert_eq!(tagged(36), [""; 0]);
    let problems = tagged(42);
    assert!(
        matches!(problems.as_slice(), [one] if one.contains("spec.service.tags[36]: expected at most 36")),
        "{problems:?}"
    );
}
