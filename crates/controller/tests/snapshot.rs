//! A snapshot from end to end: the built binary against a region on this machine, and after that region is gone.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that cannot be set up, and a report of another shape, has failed"
)]

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use evenkeel_local::catalogue::{Catalogue, Image};
use evenkeel_local::server::{Server, ServerSettings};
use evenkeel_simulator::Api;
use serde_json::{Value, json};

const TASKS: &str = "
apiVersion: evenkeel.dev/v1
kind: Service
metadata: {name: NAME}
spec:
  cluster: prod
  taskDefinition:
    requiresCompatibilities: [FARGATE]
    networkMode: awsvpc
    cpu: '256'
    memory: '512'
    containerDefinitions:
      - {name: app, image: 'app:1', environment: [{name: GREETING, value: hello}]}
  service:
    desiredCount: 1
    launchType: FARGATE
    networkConfiguration: {awsvpcConfiguration: {subnets: [subnet-1]}}
";

fn write(directory: &Path, name: &str, change: impl Fn(String) -> String) {
    let path = directory.join(format!("{name}.yaml"));
    std::fs::create_dir_all(directory).unwrap();
    std::fs::write(path, change(TASKS.replace("NAME", name))).unwrap();
}

/// The binary, with no other environment than this.
fn evenkeel(directory: &Path, environment: &[(&str, &str)], arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_evenkeel"));
    command.args(arguments).current_dir(directory).env_clear().env("HOME", directory);
    command.envs(environment.iter().copied()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

async fn region() -> Server {
    let app = Image {
        name: "app:1".to_owned(),
        program: "sleep".to_owned(),
        arguments: vec!["600".to_owned()],
        command: Vec::new(),
        environment: BTreeMap::new(),
    };
    let settings = ServerSettings::new(Catalogue::default().with(app));
    let settings = ServerSettings { speed: 200.0, throttling: false, ..settings };
    let region = Server::start(settings).await.unwrap();
    region.region().call(Api::Ecs, "CreateCluster", &json!({"clusterName": "prod"})).unwrap();
    region
}

/// What a plan says of each service.
fn services(plan: &Output) -> Value {
    let report: Value = serde_json::from_slice(&plan.stdout)
        .unwrap_or_else(|_| panic!("no JSON: {}{}", text(&plan.stdout), text(&plan.stderr)));
    report["services"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_against_a_snapshot_says_what_the_plan_against_aws_said() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let region = region().await;
    let endpoint = region.endpoint();
    let aws = [
        ("AWS_ENDPOINT_URL", endpoint.as_str()),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "none"),
        ("AWS_SECRET_ACCESS_KEY", "none"),
    ];
    let live = |arguments: &[&str]| evenkeel(at, &aws, arguments);

    write(&at.join("main"), "web", |text| text);
    let applied = live(&["apply", "main", "--wait=120s"]);
    assert_eq!(applied.status.code(), Some(0), "{}", text(&applied.stderr));
    write(&at.join("main"), "new", |text| text);
    let taken = live(&["snapshot", "main", "--output", "then.json"]);
    assert_eq!(taken.status.code(), Some(0), "{}", text(&taken.stderr));
    assert_eq!(text(&taken.stderr), "2 services recorded, for its owner alone in then.json\n");
    let mode = std::fs::metadata(at.join("then.json")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    write(&at.join("next"), "web", |text| {
        text.replace("app:1", "app:2").replace("desiredCount: 1", "desiredCount: 3")
    });
    write(&at.join("next"), "new", |text| text);
    write(&at.join("same"), "web", |text| text);
    let plans = ["next", "same"].map(|of| live(&["plan", of, "-o", "json"]));
    region.stop().await.unwrap();

    for (of, plan) in ["next", "same"].into_iter().zip(plans) {
        // Neither an endpoint nor credentials, nor a region.
        let later = evenkeel(at, &[], &["plan", of, "--snapshot", "then.json", "-o", "json"]);
        assert_eq!(later.status.code(), plan.status.code(), "{of}: {}", text(&later.stderr));
        assert_eq!(services(&later), services(&plan), "{of}");
    }
    let next = evenkeel(at, &[], &["plan", "next", "--snapshot", "then.json"]);
    let told = text(&next.stdout);
    for line in [
        r#"    taskDefinition.containerDefinitions[app].image: "app:1" -> "app:2"  "#,
        "    service.desiredCount: 1 -> 3  ",
        "  next  RegisterTaskDefinition: ",
        "planned against a snapshot that is ",
        "2 services: 2 with differences\n",
    ] {
        assert!(told.contains(line), "{line} in {told}");
    }
    let same = evenkeel(at, &[], &["plan", "same", "--snapshot", "then.json"]);
    assert_eq!(same.status.code(), Some(0), "{}", text(&same.stdout));
    assert!(text(&same.stdout).starts_with("= prod/web: no change\n"), "{}", text(&same.stdout));
    a_service_that_is_not_in_it_is_not_planned(at);
}

fn a_service_that_is_not_in_it_is_not_planned(at: &Path) {
    write(&at.join("more"), "api", |text| text);
    let plan = evenkeel(at, &[], &["plan", "more", "--snapshot", "then.json", "-o", "json"]);
    assert_eq!(plan.status.code(), Some(1));
    let (report, services): (Value, _) =
        (serde_json::from_slice(&plan.stdout).unwrap(), services(&plan));
    let service = &services[0];
    assert_eq!((&service["differs"], &service["actions"]), (&json!(false), &json!([])));
    let error = service["error"].as_str().unwrap();
    assert!(error.contains("prod/api is not in the snapshot"), "{error}");
    assert!(report["snapshot"]["ageSeconds"].is_u64(), "{report}");
    let comment = evenkeel(at, &[], &["plan", "more", "--snapshot", "then.json", "-o", "markdown"]);
    let comment = text(&comment.stdout);
    assert!(comment.contains("- planned against a snapshot that is "), "{comment}");
}

#[test]
fn what_could_not_be_read_is_recorded_as_such_and_told() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    write(&at.join("main"), "web", |text| text);
    // A port on which nothing listens.
    let nowhere = [
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:9"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "none"),
        ("AWS_SECRET_ACCESS_KEY", "none"),
    ];
    let taken = evenkeel(at, &nowhere, &["snapshot", "main"]);
    assert_eq!(taken.status.code(), Some(1));
    let told = text(&taken.stderr);
    assert!(told.contains("! prod/web: could not be read: DescribeServices"), "{told}");
    assert!(told.ends_with("0 services recorded, 1 could not be read\n"), "{told}");
    std::fs::write(at.join("then.json"), taken.stdout).unwrap();
    let plan = evenkeel(at, &[], &["plan", "main", "--snapshot", "then.json"]);
    assert_eq!(plan.status.code(), Some(1));
    let told = text(&plan.stdout);
    assert!(told.contains("when the snapshot was taken: DescribeServices"), "{told}");
    assert!(!told.contains("CreateService"), "{told}");
}

#[test]
fn a_plan_is_against_one_thing_and_against_a_snapshot_only() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    write(at, "web", |text| text);
    let plan = |arguments: &[&str]| {
        let plan = evenkeel(at, &[], &[&["plan", "web.yaml"], arguments].concat());
        assert_eq!(plan.status.code(), Some(1));
        text(&plan.stderr)
    };
    let both = plan(&["--snapshot", "web.yaml", "--from", "main", "--to", "next"]);
    assert!(both.contains("cannot be used with"), "{both}");
    assert_eq!(
        plan(&["--snapshot", "web.yaml"]),
        "error: web.yaml is no snapshot; `evenkeel snapshot --output FILE` takes one\n"
    );
    assert!(plan(&["--snapshot", "none.json"]).starts_with("error: none.json cannot be read: "));
}
