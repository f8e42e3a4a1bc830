//! The daemon with a git repository as its source, served by git itself: good and bad pushes, failures of
//! every kind, restarts and web hooks. Needs git, ssh-keygen and gpg (Debian's packages git,
//! openssh-client and gnupg).

#![expect(clippy::unwrap_used, reason = "a test that panics is a test that fails")]
#![expect(clippy::indexing_slicing, reason = "a test that panics is a test that fails")]

#[path = "git/daemon.rs"]
mod daemon;
#[path = "git/host.rs"]
mod host;
#[path = "git/openpgp.rs"]
mod openpgp;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use evenkeel_controller::config::{
    Credentials, GitConfig, GitRevision, GitUrl, Secret, SourceConfig, SourceOrigin, Verify,
};
use evenkeel_controller::{Config, Daemon, ManifestsReport};
use evenkeel_manifest::ServiceKey;
use evenkeel_planner::{Action, Applied, Fact, Observed, Questions};
use evenkeel_reconciler::{Cloud, CloudError, OwnedService, Shutdown};
use prometheus::Registry;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use host::{Host, Mood};

const DEADLINE: Duration = Duration::from_mins(1);

/// A cloud without services.
#[derive(Debug)]
struct Empty;

impl Cloud for Empty {
    async fn owned(&self, _: &str, _: &[String]) -> Result<Vec<OwnedService>, CloudError> {
        Ok(Vec::new())
    }

    async fn observe(&self, _: &ServiceKey, questions: &Questions) -> Result<Observed, CloudError> {
        let at = "2026-01-01T00:00:00Z".parse().expect("a time");
        Ok(Observed {
            service: Fact::Absent,
            task_definitions: Fact::Known(Vec::new()),
            ..Observed::unasked(at, questions.depth)
        })
    }

    async fn apply(&self, _: &ServiceKey, _: &Action) -> Result<Applied, CloudError> {
        Ok(Applied::Done)
    }
}

fn manifest(name: &str) -> String {
    format!(
        "apiVersion: evenkeel.dev/v1\nkind: Service\nmetadata: {{name: {name}}}\nspec:\n  cluster: \
         prod\n  taskDefinition:\n    memory: \"512\"\n    containerDefinitions: [{{name: app, image: \
         app}}]\n  service: {{desiredCount: 1}}\n"
    )
}

fn source(host: &Host, interval: Duration) -> SourceConfig {
    let git = GitConfig {
        url: GitUrl::Http(host.url()),
        revision: GitRevision::Branch("main".to_owned()),
        path: String::new(),
        include: Vec::new(),
        exclude: Vec::new(),
        interval,
        timeout: Duration::from_secs(5),
        credentials: Credentials::default(),
        verify: None,
        allow_force_push: false,
    };
    let origin = SourceOrigin::Git(Box::new(git));
    SourceConfig {
        name: "shop".to_owned(),
        environment: None,
        grant: None,
        commit_status: None,
        origin,
        hook: None,
    }
}

async fn start(source: SourceConfig, cache: Option<&Path>, shutdown: &Shutdown) -> Daemon {
    start_with(configured(source, cache), shutdown).await
}

fn configured(source: SourceConfig, cache: Option<&Path>) -> Config {
    let mut config = Config {
        sources: vec![source],
        cache_directory: cache.map(Into::into),
        ..Config::default()
    };
    config.http.listen = SocketAddr::from(([127, 0, 0, 1], 0));
    config
}

async fn start_with(config: Config, shutdown: &Shutdown) -> Daemon {
    Daemon::start_with(config, Arc::new(Empty), Registry::new(), shutdown.clone(), None)
        .await
        .unwrap()
}

const OFTEN: Duration = Duration::from_millis(100);
const NEVER: Duration = Duration::from_hours(24);

async fn until(daemon: &Daemon, what: &str, good: impl Fn(&ManifestsReport) -> bool) {
    let mut report = daemon.manifests();
    let waited = tokio::time::timeout(DEADLINE, report.wait_for(|report| good(report))).await;
    assert!(waited.is_ok(), "waited too long for {what}: {:?}", daemon.manifests().borrow());
}

async fn stop(daemon: Daemon, shutdown: &Shutdown) {
    shutdown.drain.cancel();
    daemon.wait().await.unwrap();
}

/// Waits until the status of a service names the commit of its content.
async fn until_source(daemon: &Daemon, name: &str, commit: &str) {
    let key = ServiceKey::new("prod", name);
    let mut changed = daemon.board().changed();
    let is_told = |_: &u64| {
        let status = daemon.board().get(&key);
        let source = status.as_ref().and_then(|status| status.source.as_ref());
        source.is_some_and(|one| {
            one.file == format!("shop/{name}.yaml") && one.commit.as_deref() == Some(commit)
        })
    };
    let waited = tokio::time::timeout(DEADLINE, changed.wait_for(is_told)).await;
    assert!(waited.is_ok(), "{name}: {:?}", daemon.board().get(&key));
}

async fn until_commit(daemon: &Daemon, commit: &str, services: usize) {
    until(daemon, commit, |report| {
        let source = report.sources.first();
        let of = source.and_then(|source| source.revision.as_ref());
        of.is_some_and(|one| one.commit == commit)
            && report.services == services
            && report.stale.is_none()
    })
    .await;
}

/// What is in force stays, and the report says why it is old.
async fn until_stale(daemon: &Daemon, commit: &str, services: usize, why: &str) {
    until(daemon, why, |report| report.stale.as_ref().is_some_and(|stale| stale.contains(why)))
        .await;
    let report = daemon.manifests().borrow().clone();
    let revision = report.sources[0].revision.as_ref().unwrap();
    assert_eq!((revision.commit.as_str(), report.services), (commit, services), "{why}");
    let stale = report.stale.clone().unwrap();
    assert!(stale.contains(&format!("the commit {commit} stays in force")), "{stale}");
    assert!(!stale.contains("secret"), "{stale}");
}

async fn request(address: SocketAddr, head: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let length = body.len();
    let text =
        format!("{head}host: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}");
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer)
}

#[tokio::test(flavor = "multi_thread")]
async fn pushes_take_over_and_the_commit_is_told() {
    let host = Host::start().await;
    let first = host.push(&[("web.yaml", &manifest("web"))]);
    let shutdown = Shutdown::default();
    let daemon = start(source(&host, OFTEN), None, &shutdown).await;
    until_commit(&daemon, &first, 1).await;
    let second = host.push(&[("api.yaml", &manifest("api"))]);
    until_commit(&daemon, &second, 2).await;
    let (_, metrics) = request(daemon.http_address(), "GET /metrics HTTP/1.1\r\n", "").await;
    let expected = format!("evenkeel_source_info{{commit=\"{second}\",source=\"shop\"}} 1");
    assert!(metrics.contains(&expected) && !metrics.contains(&first), "{metrics}");
    let (_, report) = request(daemon.http_address(), "GET /v1/manifests HTTP/1.1\r\n", "").await;
    assert!(report.contains(&format!("\"commit\":\"{second}\"")), "{report}");
    // A commit that changes another manifest is not that of this one.
    until_source(&daemon, "web", &first).await;
    until_source(&daemon, "api", &second).await;
    stop(daemon, &shutdown).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unchanged_poll_asks_for_one_reference_and_fetches_nothing() {
    let host = Host::start().await;
    let first = host.push(&[("web.yaml", &manifest("web"))]);
    let mut one = source(&host, NEVER);
    let secret = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(secret.path(), "0123456789abcdef").unwrap();
    one.hook = Some(Secret::File(secret.path().to_owned()));
    let shutdown = Shutdown::default();
    let daemon = start(one, None, &shutdown).await;
    until_commit(&daemon, &first, 1).await;
    host.take_seen();
    let before = daemon.manifests().borrow().sources[0].read_at;
    hint(&daemon, "0123456789abcdef", 202).await;
    until(&daemon, "a second look", |report| report.sources[0].read_at > before).await;
    assert_eq!(
        host.take_seen(),
        ["GET /shop.git/info/refs", "POST /shop.git/git-upload-pack"],
        "the handshake and ls-refs"
    );
    stop(daemon, &shutdown).await;
}

async fn hint(daemon: &Daemon, secret: &str, expected: u16) {
    let head = format!("POST /hooks/shop HTTP/1.1\r\nx-gitlab-token: {secret}\r\n");
    let (status, answer) = request(daemon.http_address(), &head, "{}").await;
    assert_eq!(status, expected, "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_hook_makes_it_look_at_once_and_only_with_the_secret() {
    let host = Host::start().await;
    let first = host.push(&[("web.yaml", &manifest("web"))]);
    let secret = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(secret.path(), "0123456789abcdef\n").unwrap();
    let hook = Some(Secret::File(secret.path().to_owned()));
    let shutdown = Shutdown::default();
    let daemon = start(SourceConfig { hook, ..source(&host, NEVER) }, None, &shutdown).await;
    until_commit(&daemon, &first, 1).await;
    hint(&daemon, "0123456789abcdeF", 401).await;
    let second = host.push(&[("api.yaml", &manifest("api"))]);
    hint(&daemon, "0123456789abcdef", 202).await;
    until_commit(&daemon, &second, 2).await;
    let head = "POST /hooks/other HTTP/1.1\r\nx-gitlab-token: 0123456789abcdef\r\n";
    assert_eq!(request(daemon.http_address(), head, "{}").await.0, 404);
    let large = "x".repeat(2 << 20);
    let head = "POST /hooks/shop HTTP/1.1\r\nx-gitlab-token: 0123456789abcdef\r\n";
    assert_eq!(request(daemon.http_address(), head, &large).await.0, 413);
    stop(daemon, &shutdown).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_good_commit_stays_in_force_through_any_failure() {
    let host = Host::start().await;
    let first = host.push(&[("web.yaml", &manifest("web"))]);
    let shutdown = Shutdown::default();
    let daemon = start(source(&host, OFTEN), None, &shutdown).await;
    until_commit(&daemon, &first, 1).await;
    for (mood, why) in [
        (Mood::Answers(401), "refuses the credentials"),
        (Mood::Answers(403), "refuses the credentials"),
        (Mood::Answers(404), "there is no such repository"),
        (Mood::Answers(429), "raise git.interval"),
        (Mood::Answers(500), "the server answered 500"),
        (Mood::Redirects, "the repository moved to elsewhere"),
        (Mood::Never, "the server did not answer in time"),
    ] {
        host.feels(mood);
        until_stale(&daemon, &first, 1, why).await;
    }
    host.feels(Mood::Good);
    until_commit(&daemon, &first, 1).await;
    let mut second = host.push(&[("api.yaml", &manifest("api"))]);
    until_commit(&daemon, &second, 2).await;
    for mood in [Mood::Halves, Mood::Garbles] {
        host.feels(mood);
        let third = host.push(&[("README", &format!("{mood:?}"))]);
        until_stale(&daemon, &second, 2, "the source shop: ").await;
        host.feels(Mood::Good);
        until_commit(&daemon, &third, 2).await;
        second = third;
    }
    stop(daemon, &shutdown).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rewritten_history_a_vanished_branch_and_an_emptied_tree_are_held() {
    let host = Host::start().await;
    let first = host.push(&[("web.yaml", &manifest("web"))]);
    let second = host.push(&[("api.yaml", &manifest("api"))]);
    let shutdown = Shutdown::default();
    let daemon = start(source(&host, OFTEN), None, &shutdown).await;
    until_commit(&daemon, &second, 2).await;
    host.git(&["reset", "--quiet", "--hard", &first]);
    host.push_head();
    until_stale(&daemon, &second, 2, "does not follow from").await;
    host.git(&["reset", "--quiet", "--hard", &second]);
    host.git(&["rm", "--quiet", "web.yaml", "api.yaml"]);
    host.push(&[("README", "x")]);
    until_stale(&daemon, &second, 2, "holds no manifest").await;
    let repository = host.repository();
    std::fs::remove_file(repository.join("refs/heads/main")).unwrap();
    until_stale(&daemon, &second, 2, "has no branch main (any more)").await;
    std::fs::rename(&repository, repository.with_extension("gone")).unwrap();
    until_stale(&daemon, &second, 2, "there is no such repository").await;
    std::fs::rename(repository.with_extension("gone"), &repository).unwrap();
    let third = host.push(&[("web.yaml", &manifest("web"))]);
    until_commit(&daemon, &third, 1).await;
    stop(daemon, &shutdown).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bomb_in_a_pack_is_refused_and_what_was_good_stays() {
    let host = Host::start().await;
    let first = host.push(&[("web.yaml", &manifest("web"))]);
    let shutdown = Shutdown::default();
    let mut source = source(&host, OFTEN);
    if let SourceOrigin::Git(git) = &mut source.origin {
        // To make 300 MiB of it takes a while on a busy machine.
        git.timeout = Duration::from_mins(1);
    }
    let daemon = start(source, None, &shutdown).await;
    until_commit(&daemon, &first, 1).await;
    // It is 300 KiB on the wire.
    host.push(&[("bomb.bin", &"\0".repeat(300 << 20))]);
    until_stale(&daemon, &first, 1, "an object of more than 64 MiB").await;
    stop(daemon, &shutdown).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commit_in_force_outlives_a_restart_while_the_server_is_down() {
    let host = Host::start().await;
    let first = host.push(&[("web.yaml", &manifest("web"))]);
    let cache = tempfile::tempdir().unwrap();
    let shutdown = Shutdown::default();
    let daemon = start(source(&host, OFTEN), Some(cache.path()), &shutdown).await;
    until_commit(&daemon, &first, 1).await;
    stop(daemon, &shutdown).await;
    host.feels(Mood::Answers(503));
    let shutdown = Shutdown::default();
    let tokens = cache.path().join("tokens");
    std::fs::write(&tokens, "ann 0123456789abcdef\n").unwrap();
    let mut config = configured(source(&host, OFTEN), Some(cache.path()));
    config.control.tokens_file = Some(tokens);
    let daemon = start_with(config, &shutdown).await;
    until_stale(&daemon, &first, 1, "the server answered 503").await;
    // What is in force is written to, so it is ready to, and can be stopped.
    until_source(&daemon, "web", &first).await;
    let (ready, answer) = request(daemon.http_address(), "GET /readyz HTTP/1.1\r\n", "").await;
    assert_eq!(ready, 200, "{answer}");
    let head = "POST /v1/hold HTTP/1.1\r\nauthorization: Bearer 0123456789abcdef\r\n";
    let body = r#"{"who": "ann", "reason": "git is down", "all": true}"#;
    let (status, answer) = request(daemon.http_address(), head, body).await;
    assert_eq!(status, 207, "it is told of the service, which does not exist: {answer}");
    let (_, metrics) = request(daemon.http_address(), "GET /metrics HTTP/1.1\r\n", "").await;
    assert!(metrics.contains("evenkeel_manifest_last_read_timestamp_seconds 0"), "{metrics}");
    let rewritten = {
        host.git(&["commit", "--quiet", "--amend", "-m", "y"]);
        host.feels(Mood::Good);
        host.push_head()
    };
    until_stale(&daemon, &first, 1, &rewritten).await;
    stop(daemon, &shutdown).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tree_that_was_emptied_during_a_restart_is_held() {
    let host = Host::start().await;
    let cache = tempfile::tempdir().unwrap();
    let nothing = host.push(&[("README", "x")]);
    let shutdown = Shutdown::default();
    let daemon = start(source(&host, OFTEN), Some(cache.path()), &shutdown).await;
    until_commit(&daemon, &nothing, 0).await;
    stop(daemon, &shutdown).await;
    let nothing = host.push(&[("README", "y")]);
    let shutdown = Shutdown::default();
    let daemon = start(source(&host, OFTEN), Some(cache.path()), &shutdown).await;
    until_commit(&daemon, &nothing, 0).await;
    let first = host.push(&[("web.yaml", &manifest("web"))]);
    until_commit(&daemon, &first, 1).await;
    stop(daemon, &shutdown).await;
    host.git(&["rm", "--quiet", "web.yaml"]);
    host.push(&[]);
    let shutdown = Shutdown::default();
    let daemon = start(source(&host, OFTEN), Some(cache.path()), &shutdown).await;
    until_stale(&daemon, &first, 1, "holds no manifest").await;
    let third = host.push(&[("api.yaml", &manifest("api"))]);
    until_commit(&daemon, &third, 1).await;
    stop(daemon, &shutdown).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commit_in_force_outlives_a_restart_while_the_server_hangs() {
    let host = Host::start().await;
    let first = host.push(&[("web.yaml", &manifest("web"))]);
    let cache = tempfile::tempdir().unwrap();
    let shutdown = Shutdown::default();
    let daemon = start(source(&host, OFTEN), Some(cache.path()), &shutdown).await;
    until_commit(&daemon, &first, 1).await;
    stop(daemon, &shutdown).await;
    host.feels(Mood::Never);
    let shutdown = Shutdown::default();
    let daemon = start(source(&host, OFTEN), Some(cache.path()), &shutdown).await;
    until_stale(&daemon, &first, 1, "the server did not answer in time").await;
    stop(daemon, &shutdown).await;
}

/// A source that looks when it is told to, and the file of its secret.
fn source_on_hint(host: &Host) -> (SourceConfig, tempfile::NamedTempFile) {
    let secret = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(secret.path(), "0123456789abcdef").unwrap();
    let hook = Some(Secret::File(secret.path().to_owned()));
    (SourceConfig { hook, ..source(host, NEVER) }, secret)
}

/// The repositories below the cache.
fn cached(cache: &Path) -> Vec<std::path::PathBuf> {
    let inside = |path: &Path| -> Vec<std::path::PathBuf> {
        std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect()
    };
    let all = inside(cache)
        .into_iter()
        .flat_map(|one| if one.extension().is_some() { vec![one] } else { inside(&one) });
    all.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_takes_over_and_rewritten_history_is_held_after_the_cache_was_lost() {
    let host = Host::start().await;
    host.push(&[("README", "x")]);
    let first = host.push(&[("web.yaml", &manifest("web"))]);
    let (one, _secret) = source_on_hint(&host);
    let cache = tempfile::tempdir().unwrap();
    let shutdown = Shutdown::default();
    let daemon = start(one, Some(cache.path()), &shutdown).await;
    until_commit(&daemon, &first, 1).await;
    let lose_the_cache = || {
        for repository in cached(cache.path()) {
            std::fs::remove_dir_all(repository).unwrap();
        }
    };
    lose_the_cache();
    host.push(&[("README", "y")]);
    let third = host.push(&[("api.yaml", &manifest("api"))]);
    hint(&daemon, "0123456789abcdef", 202).await;
    until_commit(&daemon, &third, 2).await;
    lose_the_cache();
    host.git(&["commit", "--quiet", "--amend", "-m", "y"]);
    let rewritten = host.push_head();
    hint(&daemon, "0123456789abcdef", 202).await;
    until_stale(&daemon, &third, 2, &format!("{rewritten} does not follow from {third}")).await;
    host.git(&["reset", "--quiet", "--hard", &third]);
    let last = host.push(&[("README", "z")]);
    hint(&daemon, "0123456789abcdef", 202).await;
    until_commit(&daemon, &last, 2).await;
    stop(daemon, &shutdown).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cache_of_too_many_packs_is_made_anew_and_pushes_take_over() {
    let host = Host::start().await;
    let first = host.push(&[("web.yaml", &manifest("web"))]);
    let (one, _secret) = source_on_hint(&host);
    let cache = tempfile::tempdir().unwrap();
    let shutdown = Shutdown::default();
    let daemon = start(one.clone(), Some(cache.path()), &shutdown).await;
    until_commit(&daemon, &first, 1).await;
    let second = host.push(&[("api.yaml", &manifest("api"))]);
    hint(&daemon, "0123456789abcdef", 202).await;
    until_commit(&daemon, &second, 2).await;
    stop(daemon, &shutdown).await;
    let [repository] = &cached(cache.path())[..] else { panic!("there is one repository") };
    for number in 0..110 {
        std::fs::write(repository.join(format!("objects/pack/{number}.old")), "").unwrap();
    }
    let shutdown = Shutdown::default();
    let daemon = start(one, Some(cache.path()), &shutdown).await;
    until_commit(&daemon, &second, 2).await;
    let third = host.push(&[("job.yaml", &manifest("job"))]);
    hint(&daemon, "0123456789abcdef", 202).await;
    until_commit(&daemon, &third, 3).await;
    assert!(!repository.join("objects/pack/1.old").exists(), "it was made anew");
    stop(daemon, &shutdown).await;
}

/// Made by ssh-keygen (Debian's package openssh-client): the private key's path and the public key.
fn key(directory: &Path, name: &str, kind: &[&str]) -> (String, String) {
    let path = directory.join(name).display().to_string();
    let made = std::process::Command::new("ssh-keygen")
        .args(["-q", "-N", "", "-C", name, "-f", &path, "-t"])
        .args(kind)
        .status()
        .expect("ssh-keygen is installed; it is of Debian's package openssh-client");
    assert!(made.success(), "{kind:?}");
    let public = std::fs::read_to_string(format!("{path}.pub")).unwrap();
    (path, public)
}

fn push_signed(host: &Host, key: &str, message: &str) -> String {
    let key = format!("user.signingKey={key}");
    let commit = ["commit", "--quiet", "--allow-empty", "-S", "-m", message];
    host.git(&[&["-c", "gpg.format=ssh", "-c", &key], &commit[..]].concat());
    host.push_head()
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_an_allowed_key_signed_takes_over() {
    let host = Host::start().await;
    let keys = tempfile::tempdir().unwrap();
    let signers = keys.path().join("signers");
    let (ann, of_ann) = key(keys.path(), "ann", &["ed25519"]);
    let (eve, of_eve) = key(keys.path(), "eve", &["ed25519"]);
    std::fs::write(&signers, format!("ann@example {of_ann}")).unwrap();
    host.push(&[("web.yaml", &manifest("web"))]);
    let mut one = source(&host, OFTEN);
    let SourceOrigin::Git(git) = &mut one.origin else { unreachable!("it is a repository") };
    git.verify =
        Some(Verify { ssh_allowed_signers_file: Some(signers.clone()), ..Verify::default() });
    let shutdown = Shutdown::default();
    let daemon = start(one, None, &shutdown).await;
    until(&daemon, "it to be held", |report| {
        report.stale.as_ref().is_some_and(|stale| stale.contains("it is not signed"))
    })
    .await;
    assert_eq!(daemon.manifests().borrow().sources[0].revision, None, "unsigned from the start");
    let first = push_signed(&host, &ann, "x");
    until_commit(&daemon, &first, 1).await;
    let (_, report) = request(daemon.http_address(), "GET /v1/manifests HTTP/1.1\r\n", "").await;
    assert!(report.contains("\"principal\":\"ann@example\""), "{report}");
    host.push(&[("api.yaml", &manifest("api"))]);
    until_stale(&daemon, &first, 1, "it is not signed").await;
    let second = push_signed(&host, &eve, "x");
    until_stale(&daemon, &first, 1, "which is not in").await;
    std::fs::write(&signers, "").unwrap();
    until_stale(&daemon, &first, 1, "it holds no key").await;
    std::fs::write(&signers, format!("eve@example {of_eve}")).unwrap();
    until_commit(&daemon, &second, 2).await;
    for kind in [&["ecdsa"][..], &["ecdsa", "-b", "384"], &["rsa", "-b", "2048"]] {
        let (private, public) = key(keys.path(), &kind.concat(), kind);
        std::fs::write(&signers, format!("bob {public}")).unwrap();
        let commit = push_signed(&host, &private, "Grüße\n\nx");
        until_commit(&daemon, &commit, 2).await;
    }
    stop(daemon, &shutdown).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_taken_away_leaves_its_commit_in_force_over_a_restart_and_is_told() {
    let host = Host::start().await;
    let directory = tempfile::tempdir().unwrap();
    let signers = directory.path().join("signers");
    let (ann, of_ann) = key(directory.path(), "ann", &["ed25519"]);
    std::fs::write(&signers, format!("ann@example {of_ann}")).unwrap();
    std::fs::write(host.work().join("web.yaml"), manifest("web")).unwrap();
    host.git(&["add", "--all"]);
    let first = push_signed(&host, &ann, "x");
    let mut one = source(&host, OFTEN);
    let SourceOrigin::Git(git) = &mut one.origin else { unreachable!("it is a repository") };
    git.verify =
        Some(Verify { ssh_allowed_signers_file: Some(signers.clone()), ..Verify::default() });
    let cache = directory.path().join("cache");
    let shutdown = Shutdown::default();
    let daemon = start(one.clone(), Some(&cache), &shutdown).await;
    until_commit(&daemon, &first, 1).await;
    stop(daemon, &shutdown).await;
    std::fs::write(&signers, "").unwrap();
    let shutdown = Shutdown::default();
    let daemon = start(one, Some(&cache), &shutdown).await;
    until_stale(&daemon, &first, 1, "it holds no key").await;
    until(&daemon, "a second look", |report| report.sources[0].failures > 1).await;
    until_stale(&daemon, &first, 1, "it holds no key").await;
    stop(daemon, &shutdown).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_tag_vouches_for_an_unsigned_commit_only_by_its_own_name() {
    let host = Host::start().await;
    let keys = tempfile::tempdir().unwrap();
    let signers = keys.path().join("signers");
    let (ann, of_ann) = key(keys.path(), "ann", &["ed25519"]);
    std::fs::write(&signers, format!("ann@example {of_ann}")).unwrap();
    let first = host.push(&[("web.yaml", &manifest("web"))]);
    let signing = format!("user.signingKey={ann}");
    host.git(&["-c", "gpg.format=ssh", "-c", &signing, "tag", "-s", "-m", "x", "v1"]);
    let push = |tag: &str| {
        let to = host.repository().display().to_string();
        host.git(&["push", "--quiet", "--force", &to, &format!("{tag}:refs/tags/{tag}")]);
    };
    push("v1");
    host.git(&["update-ref", "refs/tags/v2", "refs/tags/v1"]);
    push("v2");
    for (tag, taken) in [("v1", true), ("v2", false)] {
        let mut one = source(&host, OFTEN);
        let SourceOrigin::Git(git) = &mut one.origin else { unreachable!("it is a repository") };
        git.revision = GitRevision::Tag(tag.to_owned());
        git.verify =
            Some(Verify { ssh_allowed_signers_file: Some(signers.clone()), ..Verify::default() });
        let shutdown = Shutdown::default();
        let daemon = start(one, None, &shutdown).await;
        if taken {
            until_commit(&daemon, &first, 1).await;
        } else {
            let held = |stale: &String| stale.contains("it is not signed");
            until(&daemon, "v2 to be held", |report| report.stale.as_ref().is_some_and(held)).await;
        }
        shutdown.drain.cancel();
        daemon.wait().await.unwrap();
    }
}

/// What stands in for ssh runs here what it was told to run there, as ssh does.
#[test]
fn a_repository_is_read_over_ssh_by_the_program_of_this_machine() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).display().to_string();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let host = runtime.block_on(Host::start());
    let commit = host.push(&[("web.yaml", &manifest("web"))]);
    let script = format!(
        "#!/bin/sh\necho \"$*\" > {}\nwhile [ \"$1\" != git@git.example ]; do shift; done\nshift\nexec sh \
         -c \"$*\"\n",
        path("arguments")
    );
    std::fs::create_dir(path("bin")).unwrap();
    std::fs::write(path("bin/ssh"), script).unwrap();
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(path("bin/ssh"), executable).unwrap();
    let config = format!(
        "target = \"none\"\n[http]\nlisten = \"127.0.0.1:0\"\n[[sources]]\nname = \"shop\"\ngit = {{ url = \
         \"git@git.example:{}\", branch = \"main\", credentials = {{ sshKeyFile = \"/the key\", \
         knownHostsFile = \"/known\" }} }}\n",
        host.repository().display()
    );
    std::fs::write(path("evenkeel.toml"), config).unwrap();
    let programs = format!("{}:{}", path("bin"), std::env::var("PATH").unwrap());
    let mut daemon = std::process::Command::new(env!("CARGO_BIN_EXE_evenkeel"))
        .args(["run", "--config", &path("evenkeel.toml"), "--endpoint-url", "http://127.0.0.1:1"])
        .args(["--region", "eu-west-1", "--log-format", "json"])
        .env("PATH", programs)
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let log = std::io::BufReader::new(daemon.stderr.take().unwrap());
    let mut lines = std::io::BufRead::lines(log).map_while(Result::ok);
    let told = lines.find(|line| line.contains("in force anew") || line.contains("ERROR"));
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    let told = told.unwrap();
    assert!(told.contains(&commit), "{told}");
    let arguments = std::fs::read_to_string(path("arguments")).unwrap();
    let expected = "-o BatchMode=yes -o StrictHostKeyChecking=yes";
    let keys = "-o IdentitiesOnly=yes -i /the key -o UserKnownHostsFile=/known";
    assert!(arguments.starts_with(expected) && arguments.contains(keys), "{arguments}");
}
