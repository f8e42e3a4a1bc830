//! Commands over HTTP: who may give them, what they do to one service or many, and what the audit says.

#![expect(clippy::unwrap_used, reason = "a test that panics is a test that fails")]

use std::collections::BTreeMap;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use evenkeel_controller::{Config, Daemon};
use evenkeel_manifest::ServiceKey;
use evenkeel_planner::{
    Action, Applied, Call, Fact, Observed, ObservedService, Questions, ServiceDeployment, tag,
};
use evenkeel_reconciler::{Cloud, CloudError, OwnedService, Shutdown};
use prometheus::Registry;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

const DEADLINE: Duration = Duration::from_secs(20);
const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// Services of which only tags are seen and changed; that of the name `foreign` is somebody else's.
#[derive(Debug, Default)]
struct Tagged {
    tags: Mutex<BTreeMap<String, BTreeMap<String, String>>>,
    /// While it is true no look ends.
    shut: watch::Sender<bool>,
}

impl Tagged {
    fn tag(&self, service: &str, key: &str) -> Option<String> {
        self.tags.lock().unwrap().get(service)?.get(key).cloned()
    }
}

impl Cloud for Tagged {
    async fn owned(&self, _: &str, _: &[String]) -> Result<Vec<OwnedService>, CloudError> {
        Ok(Vec::new())
    }

    async fn observe(&self, key: &ServiceKey, asked: &Questions) -> Result<Observed, CloudError> {
        self.shut.subscribe().wait_for(|shut| !shut).await.expect("the sender lives here");
        let owner = if key.name == "foreign" { "v1:other:x" } else { "v1:evenkeel:x" };
        let mut tags = self.tags.lock().unwrap().get(&key.name).cloned().unwrap_or_default();
        tags.insert(tag::OWNER.to_owned(), owner.to_owned());
        let tags: Vec<_> = tags.iter().map(|(k, v)| json!({ "key": k, "value": v })).collect();
        let service = json!({
            "serviceArn": format!("arn:aws:ecs:eu-west-1:123456789012:service/prod/{}", key.name),
            "status": "ACTIVE", "tags": tags,
        });
        let deployment = json!({
            "serviceDeploymentArn": "arn:aws:ecs:eu-west-1:123456789012:service-deployment/prod/web/1",
            "status": "SUCCESSFUL", "createdAt": 1_790_000_000,
        });
        let at = "2026-01-01T00:00:00Z".parse().expect("a time");
        Ok(Observed {
            service: Fact::Known(ObservedService::read(&service).expect("it is whole")),
            service_deployments: Fact::Known(vec![
                ServiceDeployment::read(&deployment).expect("it is whole"),
            ]),
            ..Observed::unasked(at, asked.depth)
        })
    }

    async fn apply(&self, key: &ServiceKey, action: &Action) -> Result<Applied, CloudError> {
        let mut all = self.tags.lock().unwrap();
        let tags = all.entry(key.name.clone()).or_default();
        match &action.call {
            Call::TagResource { tags: set, .. } => tags.extend(set.clone()),
            Call::UntagResource { keys, .. } => tags.retain(|key, _| !keys.contains(key)),
            other => panic!("{} is no command", other.operation()),
        }
        Ok(Applied::Done)
    }
}

fn manifest(cluster: &str, name: &str) -> String {
    format!(
        "apiVersion: evenkeel.dev/v1\nkind: Service\nmetadata: {{name: {name}}}\nspec:\n  cluster: \
         {cluster}\n  taskDefinition:\n    memory: \"512\"\n    containerDefinitions: [{{name: app, \
         image: app}}]\n  service: {{desiredCount: 1}}\n"
    )
}

struct Running {
    daemon: Daemon,
    cloud: Arc<Tagged>,
    _directory: tempfile::TempDir,
}

/// A daemon over these services, each as cluster/name; all have been looked at.
async fn running(services: &[&str], tokens: &str) -> Running {
    let running = started(services, tokens, Tagged::default()).await;
    let mut changed = running.daemon.board().changed();
    let all_seen = async {
        while running.daemon.board().all().len() < services.len() {
            changed.changed().await.unwrap();
        }
    };
    tokio::time::timeout(DEADLINE, all_seen).await.expect("all services are looked at");
    running
}

/// As [`running`]; none may have been looked at. Without services there is no directory of manifests.
async fn started(services: &[&str], tokens: &str, cloud: Tagged) -> Running {
    let directory = tempfile::tempdir().unwrap();
    let manifests = directory.path().join("manifests");
    for service in services {
        std::fs::create_dir_all(&manifests).unwrap();
        let (cluster, name) = service.split_once('/').unwrap();
        std::fs::write(manifests.join(format!("{name}.yaml")), manifest(cluster, name)).unwrap();
    }
    let mut config = Config::default();
    config.manifests.path = manifests;
    config.http.listen = SocketAddr::from(([127, 0, 0, 1], 0));
    if !tokens.is_empty() {
        let file = directory.path().join("tokens");
        std::fs::write(&file, tokens).unwrap();
        config.control.tokens_file = Some(file);
    }
    let cloud = Arc::new(cloud);
    let start = Daemon::start_with(config, cloud.clone(), Registry::new(), Shutdown::new(), None);
    let daemon = start.await.unwrap();
    Running { daemon, cloud, _directory: directory }
}

impl Running {
    /// The status and the JSON that is answered.
    async fn send(
        &self,
        method: &str,
        path: &str,
        token: Option<&str>,
        body: &str,
    ) -> (u16, Value) {
        let mut stream = TcpStream::connect(self.daemon.http_address()).await.unwrap();
        let authorization =
            token.map_or(String::new(), |token| format!("Authorization: Bearer {token}\r\n"));
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\n{authorization}Content-Length: {length}\r\n\
             Connection: close\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        tokio::time::timeout(DEADLINE, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
        let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap();
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        (status, serde_json::from_str(body).unwrap_or(Value::Null))
    }

    async fn post(&self, path: &str, body: &str) -> (u16, Value) {
        self.send("POST", path, Some(TOKEN), body).await
    }

    fn metrics(&self) -> String {
        prometheus::TextEncoder::new().encode_to_string(&self.daemon.registry().gather()).unwrap()
    }
}

const SAID: &str = r#"{"who": "ann@laptop", "reason": "a bad day"}"#;
const HOLD: &str = "/v1/services/prod/web/hold";

#[tokio::test]
async fn without_a_token_every_command_is_refused_and_says_how_to_turn_them_on() {
    let running = running(&["prod/web"], "").await;
    for path in [HOLD, "/v1/hold", "/v1/release", "/v1/services/prod/web/undo"] {
        let (status, answer) = running.post(path, SAID).await;
        assert_eq!(status, 403, "{path}");
        assert!(answer["error"].as_str().unwrap().contains("control.tokensFile"), "{answer}");
    }
    assert_eq!(running.cloud.tag("web", tag::HOLD), None);
}

#[tokio::test]
async fn a_command_needs_a_token_of_this_daemon() {
    let running = running(&["prod/web"], &format!("ann {TOKEN}\n")).await;
    for token in
        [None, Some(""), Some("0123456789abcdef0123456789abcdeX"), Some("0123456789abcdef")]
    {
        let (status, answer) = running.send("POST", HOLD, token, SAID).await;
        assert_eq!(status, 401, "{token:?}");
        assert!(!answer.to_string().contains("0123456789"), "{answer}");
    }
    assert_eq!(running.cloud.tag("web", tag::HOLD), None);
    assert_eq!(running.post(HOLD, SAID).await.0, 200);
    let held = running.cloud.tag("web", tag::HOLD).unwrap();
    assert!(held.ends_with(":ann@laptop:a bad day"), "{held}");
}

#[tokio::test]
async fn a_command_is_answered_with_what_follows_from_it() {
    let running = running(&["prod/web", "prod/foreign"], TOKEN).await;
    let (status, answer) = running.post(HOLD, SAID).await;
    assert_eq!(
        (status, &answer["changed"], &answer["service"]),
        (200, &json!(true), &json!("prod/web"))
    );
    let (status, answer) = running.post(HOLD, SAID).await;
    assert_eq!((status, &answer["changed"]), (200, &json!(false)), "{answer}");
    let (status, answer) = running.post("/v1/services/prod/web/retry", SAID).await;
    assert_eq!(status, 409);
    assert!(answer["error"].as_str().unwrap().contains("release it first"), "{answer}");
    assert_eq!(running.post("/v1/services/prod/foreign/hold", SAID).await.0, 409);
    assert_eq!(running.post("/v1/services/prod/none/hold", SAID).await.0, 404);
    assert_eq!(running.post("/v1/services/prod/web/restart", SAID).await.0, 404);
    assert_eq!(running.post("/v1/services/prod/web/release", SAID).await.0, 200);
    assert_eq!(running.cloud.tag("web", tag::HOLD), None);
}

#[tokio::test]
async fn a_body_that_is_not_as_expected_does_nothing() {
    let running = running(&["prod/web"], TOKEN).await;
    let bad =
        ["", "{", "{}", r#"{"who": "ann"}"#, r#"{"who": "ann", "reason": "x", "force": true}"#];
    for body in bad {
        assert_eq!(running.post(HOLD, body).await.0, 400, "{body}");
    }
    let long = format!(r#"{{"who": "ann", "reason": "{}"}}"#, "x".repeat(10_000));
    assert_eq!(running.post(HOLD, &long).await.0, 413);
    assert_eq!(running.send("GET", HOLD, Some(TOKEN), "").await.0, 405);
    assert_eq!(running.cloud.tag("web", tag::HOLD), None);
}

#[tokio::test]
async fn the_line_is_stopped_for_a_cluster_or_for_all_and_what_failed_is_told() {
    let running = running(&["prod/web", "prod/api", "test/batch", "test/foreign"], TOKEN).await;
    let scope = |scope: &str| format!(r#"{{"who": "ann", "reason": "incident 7", {scope}}}"#);
    let prod = scope(r#""cluster": "prod""#);
    let (status, answer) = running.post("/v1/hold", &prod).await;
    assert_eq!((status, &answer["changed"], &answer["failed"]), (200, &json!(2), &json!(0)));
    assert_eq!(running.cloud.tag("batch", tag::HOLD), None);
    let (status, answer) = running.post("/v1/hold", &scope(r#""all": true"#)).await;
    assert_eq!(status, 207, "{answer}");
    assert_eq!((&answer["changed"], &answer["unchanged"]), (&json!(1), &json!(2)), "{answer}");
    assert_eq!(answer["failures"][0]["service"], "test/foreign", "{answer}");
    let (_, answer) = running.post("/v1/release", &scope(r#""all": true"#)).await;
    assert_eq!(&answer["changed"], &json!(3), "{answer}");
    for name in ["web", "api", "batch"] {
        assert_eq!(running.cloud.tag(name, tag::HOLD), None);
    }
    assert_eq!(running.post("/v1/hold", SAID).await.0, 400);
}

#[tokio::test]
async fn the_line_is_stopped_for_services_that_no_look_has_shown_yet() {
    let tagged = Tagged { shut: watch::Sender::new(true), ..Tagged::default() };
    let running = started(&["prod/web", "test/batch"], TOKEN, tagged).await;
    let mut report = running.daemon.manifests();
    let read = report.wait_for(|report| report.services == 2);
    tokio::time::timeout(DEADLINE, read).await.expect("the manifests are read").unwrap();
    let all = r#"{"who": "ann", "reason": "incident 7", "all": true}"#;
    let open = async {
        // By the answer to this one the daemon has begun with the other.
        running.send("GET", "/healthz", None, "").await;
        running.cloud.shut.send_replace(false);
    };
    let ((status, answer), ()) = tokio::join!(running.post("/v1/hold", all), open);
    assert_eq!((status, &answer["changed"], &answer["failed"]), (200, &json!(2), &json!(0)));
    for name in ["web", "batch"] {
        assert!(running.cloud.tag(name, tag::HOLD).is_some(), "{name}");
    }
}

#[tokio::test]
async fn the_line_is_not_called_stopped_before_the_manifests_were_read() {
    let running = started(&[], TOKEN, Tagged::default()).await;
    let all = r#"{"who": "ann", "reason": "incident 7", "all": true}"#;
    let (status, answer) = running.post("/v1/hold", all).await;
    assert_eq!(status, 503, "{answer}");
    assert!(answer["error"].as_str().unwrap().contains("the manifests were not read"), "{answer}");
}

#[tokio::test]
async fn the_history_is_told_without_a_token() {
    let running = running(&["prod/web"], "").await;
    let (status, answer) = running.send("GET", "/v1/services/prod/web/history", None, "").await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["deployments"][0]["status"], "SUCCESSFUL", "{answer}");
    assert_eq!(running.send("GET", "/v1/services/prod/none/history", None, "").await.0, 404);
}

/// What is logged, for a look at it.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn every_command_is_in_the_audit_and_counted_also_when_it_is_refused() {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt().json().with_writer(move || writer.clone()).finish();
    // For the whole process: whether a line is said at all is decided once for all threads.
    tracing::subscriber::set_global_default(subscriber).expect("no other test sets one");
    let running = running(&["prod/audited"], &format!("oncall {TOKEN}")).await;
    let path = |command: &str| format!("/v1/services/prod/audited/{command}");
    running.post(&path("hold"), SAID).await;
    running.post(&path("retry"), SAID).await;
    running.post(&path("abort"), "{}").await;
    running.send("POST", &path("hold"), None, SAID).await;
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    let said: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|line| line["target"] == "audit")
        .map(|line| line["fields"].clone())
        .filter(|fields| fields["service"] == "prod/audited")
        .collect();
    let field = |name: &str| said.iter().map(|one| one[name].clone()).collect::<Vec<_>>();
    assert_eq!(field("outcome"), ["followed", "refused", "malformed", "unauthorized"]);
    assert_eq!(field("command"), ["hold", "retry", "abort", "hold"]);
    assert_eq!(field("token"), [json!("oncall"), json!("oncall"), json!("oncall"), Value::Null]);
    assert_eq!(field("who"), ["ann@laptop", "ann@laptop", "", ""]);
    assert_eq!(field("why"), ["a bad day", "a bad day", "", ""]);
    assert!(!text.contains(TOKEN), "a token is never printed");
    let metrics = running.metrics();
    for line in [
        r#"evenkeel_commands_total{command="hold",outcome="followed"} 1"#,
        r#"evenkeel_commands_total{command="retry",outcome="refused"} 1"#,
        r#"evenkeel_commands_total{command="hold",outcome="unauthorized"} 1"#,
    ] {
        assert!(metrics.contains(line), "{line} is not in {metrics}");
    }
}

#[tokio::test]
async fn a_daemon_whose_tokens_cannot_be_read_does_not_start() {
    let mut config = Config::default();
    config.control.tokens_file = Some("/nonexistent/tokens".into());
    let cloud = Arc::new(Tagged::default());
    let start = Daemon::start_with(config, cloud, Registry::new(), Shutdown::new(), None);
    let error = start.await.unwrap_err().to_string();
    assert!(error.contains("/nonexistent/tokens"), "{error}");
}
