//! The built `evenkeel` against moto's server, a model of ECS that we did not write: it has no scheduler
//! and no service deployments. Never proves anything about AWS.

#[path = "moto/replicas.rs"]
mod replicas;
#[path = "moto/server.rs"]
mod server;
#[path = "moto/verify.rs"]
mod verify;

use serde_json::{Value, json};

use crate::server::{Daemon, Moto, condition};

const UNKNOWN_CALL: &str = "the server does not know ListServiceDeployments";

/// A service of one task, which moto claims to be running; nobody shows it to a probe.
fn manifest(image: &str) -> String {
    format!(
        "\
apiVersion: evenkeel.dev/v1
kind: Service
metadata: {{name: web}}
spec:
  cluster: prod
  taskDefinition:
    family: web
    memory: '512'
    containerDefinitions:
      - name: app
        image: {image}
        portMappings: [{{containerPort: 8080}}]
        environment: [{{name: MODE, value: fast}}, {{name: COLOUR, value: blue}}]
  service:
    desiredCount: 1
    tags: [{{key: team, value: shop}}]
  rollout: {{probe: {{enabled: false}}}}
"
    )
}

fn task_definition(revision: u32) -> String {
    format!("arn:aws:ecs:eu-central-1:123456789012:task-definition/web:{revision}")
}

fn apply(moto: &Moto) {
    let (code, said) = moto.run(&["apply", "manifests", "--wait=2m"]);
    assert_eq!(code, Some(0), "{said}");
}

fn tag(tagged: &Value, key: &str) -> Option<String> {
    let mut tags = tagged.get("tags")?.as_array()?.iter();
    let tag = tags.find(|tag| tag.get("key").is_some_and(|one| one == key))?;
    tag.get("value")?.as_str().map(str::to_owned)
}

fn count(calls: &[String], operation: &str) -> usize {
    calls.iter().filter(|call| *call == operation).count()
}

/// Two full looks after now.
fn wait_for_passes(daemon: &mut Daemon, moto: &Moto) {
    let looks = || count(&moto.calls(), "DescribeServices");
    let enough = looks() + 4;
    daemon.wait_until("two more passes", |_| looks() >= enough);
}

#[test]
fn a_service_is_created_once_with_its_tags_and_one_revision() {
    let moto = Moto::start(1);
    moto.manifest("web.yaml", &manifest("app:1"));
    apply(&moto);

    assert_eq!(moto.revisions(), json!([task_definition(1)]));
    let revision = moto.boto3(
        "describe_task_definition",
        &json!({ "taskDefinition": "web:1", "include": ["TAGS"] }),
    );
    assert_eq!(revision["taskDefinition"]["containerDefinitions"][0]["image"], "app:1");
    assert!(tag(&revision, "evenkeel:digest").unwrap().starts_with("v1:"), "{revision}");

    let service = moto.service("web");
    assert_eq!(service["status"], "ACTIVE");
    assert_eq!(service["desiredCount"], 1);
    assert_eq!(service["taskDefinition"], task_definition(1));
    assert_eq!(tag(&service, "team").as_deref(), Some("shop"));
    assert_eq!(tag(&service, "evenkeel:owner").as_deref(), Some("v1:evenkeel:web.yaml"));
    assert_eq!(tag(&service, "evenkeel:proven"), Some(task_definition(1)));
    assert_eq!(tag(&service, "evenkeel:rollout"), None, "the rollout has ended");
    let writes = moto.writes();
    assert_eq!(count(&writes, "RegisterTaskDefinition"), 1, "{writes:?}");
    assert_eq!(count(&writes, "CreateService"), 1, "{writes:?}");
}

#[test]
fn a_revision_of_equal_content_is_adopted_whatever_its_order_and_spelled_out_defaults() {
    let moto = Moto::start(1);
    let theirs = json!({
        "family": "web",
        "memory": "512",
        "networkMode": "bridge",
        "volumes": [],
        "containerDefinitions": [{
            "environment": [
                { "name": "COLOUR", "value": "blue" },
                { "name": "MODE", "value": "fast" },
            ],
            "cpu": 0,
            "essential": true,
            "image": "app:1",
            "name": "app",
            "mountPoints": [],
            "portMappings": [{ "hostPort": 0, "containerPort": 8080, "protocol": "tcp" }],
            "volumesFrom": [],
        }],
        "tags": [{ "key": "registered-by", "value": "a pipeline" }],
    });
    moto.boto3("register_task_definition", &theirs);
    moto.manifest("web.yaml", &manifest("app:1"));
    apply(&moto);

    assert_eq!(moto.revisions(), json!([task_definition(1)]));
    assert_eq!(moto.service("web")["taskDefinition"], task_definition(1));
    assert_eq!(count(&moto.writes(), "RegisterTaskDefinition"), 0);
}

#[test]
fn a_changed_image_is_one_new_revision_and_one_update() {
    let moto = Moto::start(1);
    moto.manifest("web.yaml", &manifest("app:1"));
    apply(&moto);
    let before = moto.writes();
    let mut daemon = Daemon::start(&moto);
    moto.manifest("web.yaml", &manifest("app:2"));
    daemon.wait_until("the update", |_| {
        count(&moto.writes(), "UpdateService") > count(&before, "UpdateService")
    });
    wait_for_passes(&mut daemon, &moto);

    assert_eq!(moto.revisions(), json!([task_definition(1), task_definition(2)]));
    assert_eq!(moto.service("web")["taskDefinition"], task_definition(2));
    let writes = moto.writes();
    let since = writes.get(before.len()..).unwrap();
    assert_eq!(since, ["RegisterTaskDefinition", "TagResource", "UpdateService"]);
    // moto shows no deployment of it: nobody may call that done.
    let [status, reason, _] = daemon.condition("web", "Ready").unwrap();
    assert_eq!((status.as_str(), reason.as_str()), ("False", "RollingOut"));
}

#[test]
fn a_pass_over_a_settled_service_writes_nothing() {
    let moto = Moto::start(1);
    moto.manifest("web.yaml", &manifest("app:1"));
    apply(&moto);
    let (before, writes) = (moto.service("web"), moto.writes());
    let (code, said) = moto.run(&["plan", "manifests"]);
    assert_eq!(code, Some(0), "{said}");
    let mut daemon = Daemon::start(&moto);
    daemon.wait_until("a settled service", |daemon| {
        daemon.condition("web", "Ready").is_some_and(|[status, ..]| status == "True")
    });
    wait_for_passes(&mut daemon, &moto);

    assert_eq!(moto.writes(), writes, "as the server recorded it");
    assert_eq!(moto.service("web"), before, "as boto3 sees it");
    assert_eq!(moto.revisions(), json!([task_definition(1)]));
    let metrics = daemon.get("/metrics");
    let called = metrics.lines().filter_map(|line| {
        let (_, operation) = line.split_once("evenkeel_aws_calls_total{operation=\"")?;
        operation.split('"').next()
    });
    let called: Vec<&str> = called.collect();
    assert!(called.contains(&"DescribeServices"), "{called:?}");
    let is_read =
        |operation: &&str| ["Describe", "List"].iter().any(|verb| operation.starts_with(verb));
    assert!(called.iter().all(is_read), "as the daemon counted it: {called:?}");
}

#[test]
fn a_call_that_the_server_does_not_know_is_named_wherever_one_looks() {
    // No task ever runs, so the rollout goes on, and with it the questions that moto cannot answer.
    let moto = Moto::start(0);
    moto.manifest("web.yaml", &manifest("app:1"));
    let mut daemon = Daemon::start(&moto);
    daemon.wait_until("the rollout to wait for tasks", |daemon| {
        daemon.condition("web", "Ready").is_some_and(|[_, reason, _]| reason == "RollingOut")
    });
    let expected = ["True", "CapabilityMissing", UNKNOWN_CALL].map(str::to_owned);
    assert_eq!(daemon.condition("web", "Unknown"), Some(expected.clone()));
    let services: Value = serde_json::from_str(&daemon.get("/v1/services")).unwrap();
    assert_eq!(condition(&services["services"][0], "Unknown"), Some(expected));

    let (code, text) = moto.run(&["describe", "prod/web", "--server", &daemon.url()]);
    assert_eq!(code, Some(0), "{text}");
    let told = |line: &str| line.contains("CapabilityMissing") && line.contains(UNKNOWN_CALL);
    assert_eq!(text.lines().filter(|line| told(line)).count(), 2, "condition and wait: {text}");

    let (code, text) = moto.run(&["plan", "manifests", "-o", "json"]);
    assert_ne!(code, Some(1), "a service that can be planned is no error: {text}");
    let plan: Value = serde_json::from_str(&text).unwrap();
    let waiting = plan["services"][0]["waiting"].as_array().unwrap();
    let named = waiting.iter().find(|wait| wait["reason"] == "CapabilityMissing").unwrap();
    assert!(named["sentence"].as_str().unwrap().contains(UNKNOWN_CALL), "{named}");
}

#[test]
fn a_server_without_service_deployments_leads_to_no_guess_and_no_crash() {
    let moto = Moto::start(0);
    let hasty = "{breaker: {progressDeadline: 1s}, probe: {enabled: false}}";
    moto.manifest("web.yaml", &manifest("app:1").replace("{probe: {enabled: false}}", hasty));
    let mut daemon = Daemon::start(&moto);
    daemon.wait_until("the verdict to be held", |daemon| {
        daemon.condition("web", "Held").is_some_and(|[status, ..]| status == "True")
    });
    wait_for_passes(&mut daemon, &moto);

    let [status, reason, _] = daemon.condition("web", "Rejected").unwrap();
    assert_eq!((status.as_str(), reason.as_str()), ("True", "Stalled"));
    // There is nothing to return to, and nothing is scaled, deleted or updated on a guess.
    let service = moto.service("web");
    assert_eq!((&service["status"], &service["desiredCount"]), (&json!("ACTIVE"), &json!(1)));
    assert!(tag(&service, "evenkeel:rejected").is_some(), "{service}");
    assert_eq!(daemon.get("/healthz"), r#"{"status":"ok"}"#);
}
