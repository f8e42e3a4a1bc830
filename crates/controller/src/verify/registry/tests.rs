use std::sync::Arc;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::*;

const INDEX: &str = r#"{"manifests": [{"platform": {"os": "linux", "architecture": "amd64"}},
    {"platform": {"os": "linux", "architecture": "arm64"}}]}"#;
const SINGLE: &str = r#"{"config": {"digest": "sha256:0a"}}"#;

/// Paths, each with the authorization that was sent.
type Seen = std::sync::Mutex<Vec<(String, Option<String>)>>;
type Respond = dyn Fn(&str, Option<&str>) -> String + Send + Sync;

/// A registry on this machine that answers by path and authorization, and remembers both.
struct Registry {
    host: String,
    seen: Arc<Seen>,
    _connections: JoinSet<()>,
}

impl Registry {
    async fn start(
        respond: impl Fn(&str, &str, Option<&str>) -> String + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let seen = Arc::new(std::sync::Mutex::default());
        let (own, remembered) = (host.clone(), Arc::clone(&seen));
        let respond: Arc<Respond> =
            Arc::new(move |path, authorization| respond(&own, path, authorization));
        let mut connections = JoinSet::new();
        connections.spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                answer(stream, &respond, &remembered).await;
            }
        });
        Self { host, seen, _connections: connections }
    }

    async fn look(&self) -> Fact<Shown> {
        self.look_as("").await
    }

    async fn look_as(&self, version: &str) -> Fact<Shown> {
        let reference = format!("{}/shop/web{version}", self.host);
        Registries::new().unwrap().look(&reference, &Nobody).await
    }

    fn seen(&self) -> Vec<(String, Option<String>)> {
        self.seen.lock().unwrap().clone()
    }
}

async fn answer(mut stream: TcpStream, respond: &Arc<Respond>, seen: &Seen) {
    let (mut path, mut authorization) = (String::new(), None);
    let mut lines = BufReader::new(&mut stream).lines();
    while let Some(line) = lines.next_line().await.unwrap().filter(|line| !line.is_empty()) {
        if path.is_empty() {
            path = line.split(' ').nth(1).unwrap().to_owned();
        }
        if let Some(value) = line.strip_prefix("authorization: ") {
            authorization = Some(value.to_owned());
        }
    }
    seen.lock().unwrap().push((path.clone(), authorization.clone()));
    let answer = respond(&path, authorization.as_deref());
    stream.write_all(answer.as_bytes()).await.unwrap();
}

fn reply(status: &str, header: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\n{header}content-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )
}

fn ok(body: &str) -> String {
    reply("200 OK", "", body)
}

/// Whoever has no token is sent to fetch one.
fn guarded(host: &str, path: &str, authorization: Option<&str>, body: &str) -> String {
    match (path, authorization) {
        (path, None) if path.starts_with("/token?") => ok(r#"{"token": "t0k3n"}"#),
        (_, Some("Bearer t0k3n")) => ok(body),
        _ => {
            let challenge = format!(
                "www-authenticate: Bearer realm=\"http://{host}/token\",service=\"registry\",\
                 scope=\"repository:shop/web:pull\"\r\n"
            );
            reply("401 Unauthorized", &challenge, "{}")
        }
    }
}

/// Has no credentials for anybody.
struct Nobody;

impl Looks for Nobody {
    async fn look(&self, _: &evenkeel_planner::Asked) -> Fact<Shown> {
        Fact::Unknown(Unknown::NotAsked)
    }

    async fn registry_token(&self, _: &str) -> Result<String, Unknown> {
        let (operation, message) = ("ecr:GetAuthorizationToken".to_owned(), String::new());
        Err(Unknown::Denied { operation, message })
    }
}

fn platform(os: &str, architecture: &str) -> Platform {
    Platform { os: os.to_owned(), architecture: architecture.to_owned() }
}

fn both() -> Fact<Shown> {
    Fact::Known(Shown::Image(vec![platform("linux", "amd64"), platform("linux", "arm64")]))
}

fn failed(registry: &Registry, message: &str) -> Fact<Shown> {
    let (operation, message) = (registry.host.clone(), message.to_owned());
    Fact::Unknown(Unknown::Failed { operation, message })
}

#[tokio::test]
async fn an_open_registry_shows_the_platforms_of_an_index() {
    let registry = Registry::start(|_, _, _| ok(INDEX)).await;
    assert_eq!(registry.look_as(":7").await, both());
    assert_eq!(registry.seen(), [("/v2/shop/web/manifests/7".to_owned(), None)]);
}

#[tokio::test]
async fn a_token_is_fetched_where_the_registry_says() {
    let registry = Registry::start(|host, path, sent| guarded(host, path, sent, INDEX)).await;
    assert_eq!(registry.look().await, both());
    let paths: Vec<_> = registry.seen().into_iter().map(|(path, _)| path).collect();
    let token = "/token?service=registry&scope=repository%3Ashop%2Fweb%3Apull";
    let manifest = "/v2/shop/web/manifests/latest";
    assert_eq!(paths, [manifest, token, manifest]);
}

#[tokio::test]
async fn a_token_has_either_name_or_both() {
    for token in [
        r#"{"token": "t0k3n", "access_token": "t0k3n", "expires_in": 300}"#,
        r#"{"access_token": "t0k3n"}"#,
    ] {
        let registry = Registry::start(move |host, path, sent| match path {
            path if path.starts_with("/token") => ok(token),
            path => guarded(host, path, sent, INDEX),
        });
        assert_eq!(registry.await.look().await, both(), "{token}");
    }
    for (answer, message) in [
        (ok("{}"), "it gives no token"),
        (reply("502 Bad Gateway", "", ""), "status 502 Bad Gateway instead of a token"),
    ] {
        let registry = Registry::start(move |host, path, sent| match path {
            path if path.starts_with("/token") => answer.clone(),
            path => guarded(host, path, sent, INDEX),
        });
        let registry = registry.await;
        assert_eq!(registry.look().await, failed(&registry, message));
    }
}

#[tokio::test]
async fn the_platform_of_one_image_is_in_its_configuration_which_may_be_stored_elsewhere() {
    let storage =
        Registry::start(|_, _, _| ok(r#"{"os": "linux", "architecture": "arm64"}"#)).await;
    let elsewhere = storage.host.clone();
    let registry = Registry::start(move |host, path, sent| match path {
        "/v2/shop/web/blobs/sha256:0a" if sent.is_some() => {
            let to = format!("location: http://{elsewhere}/stored?signature=x\r\n");
            reply("307 Temporary Redirect", &to, "")
        }
        path => guarded(host, path, sent, SINGLE),
    })
    .await;
    let shown = Fact::Known(Shown::Image(vec![platform("linux", "arm64")]));
    assert_eq!(registry.look().await, shown);
    let stored = ("/stored?signature=x".to_owned(), None);
    assert_eq!(storage.seen(), [stored], "no credentials go elsewhere");
}

#[tokio::test]
async fn a_redirect_to_another_scheme_or_without_end_is_not_followed() {
    let foreign = Registry::start(|_, path, _| {
        if path.contains("/blobs/") {
            reply("302 Found", "location: http://192.0.2.1/x\r\n", "")
        } else {
            ok(SINGLE)
        }
    });
    let foreign = foreign.await;
    let told = failed(&foreign, "it sends to a place that is not asked");
    assert_eq!(foreign.look().await, told);
    let endless = Registry::start(|_, path, _| {
        if path.contains("manifests") {
            ok(SINGLE)
        } else {
            reply("302 Found", "location: /x\r\n", "")
        }
    });
    let endless = endless.await;
    assert_eq!(endless.look().await, failed(&endless, "it sends from one place to another"));
}

#[tokio::test]
async fn an_image_that_the_registry_does_not_have_is_absent() {
    let registry = Registry::start(|host, path, sent| match sent {
        Some(_) => reply("404 Not Found", "", r#"{"errors": [{"code": "MANIFEST_UNKNOWN"}]}"#),
        None => guarded(host, path, sent, ""),
    });
    assert_eq!(registry.await.look().await, Fact::Absent);
}

#[tokio::test]
async fn a_registry_that_shows_nothing_to_strangers_forbids() {
    let basic = "www-authenticate: Basic realm=\"x\"\r\n";
    let elsewhere = "www-authenticate: Bearer realm=\"http://192.0.2.1/token\"\r\n";
    for header in [basic, elsewhere, ""] {
        let registry = Registry::start(move |_, _, _| reply("401 Unauthorized", header, "")).await;
        let shown = registry.look().await;
        assert!(matches!(shown, Fact::Unknown(Unknown::Denied { .. })), "{header} {shown:?}");
        assert_eq!(registry.seen().len(), 1);
    }
    let denied = Registry::start(|host, path, sent| match path {
        path if path.starts_with("/token") => reply("403 Forbidden", "", ""),
        path => guarded(host, path, sent, ""),
    });
    let shown = denied.await.look().await;
    assert!(matches!(shown, Fact::Unknown(Unknown::Denied { .. })), "{shown:?}");
}

#[tokio::test]
async fn other_answers_are_unknown() {
    for (answer, message) in [
        (reply("429 Too Many Requests", "", ""), "it was asked too often"),
        (reply("500 Internal Server Error", "", ""), "status 500 Internal Server Error"),
        (ok("<html>"), "its manifest cannot be read"),
    ] {
        let registry = Registry::start(move |_, _, _| answer.clone()).await;
        assert_eq!(registry.look().await, failed(&registry, message));
    }
    let shown = Registries::new().unwrap().look("no such thing", &Nobody).await;
    assert!(matches!(shown, Fact::Unknown(Unknown::Failed { .. })));
}

#[tokio::test]
async fn without_leave_to_fetch_a_token_of_ecr_nothing_is_asked() {
    let reference = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/web:7";
    let shown = Registries::new().unwrap().look(reference, &Nobody).await;
    let (operation, message) = ("ecr:GetAuthorizationToken".to_owned(), String::new());
    assert_eq!(shown, Fact::Unknown(Unknown::Denied { operation, message }));
}
