//! The same over git://, as git's own daemon serves it.

use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::*;

/// Runs `git daemon` for each connection, as inetd does.
struct Served {
    address: SocketAddr,
    silent: Arc<AtomicBool>,
    _server: JoinSet<()>,
}

impl Served {
    async fn start(host: &Host) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let silent = Arc::new(AtomicBool::new(false));
        let root = host.repository().parent().unwrap().display().to_string();
        let (mut server, is_silent) = (JoinSet::new(), silent.clone());
        server.spawn(async move {
            let mut kept = Vec::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                if is_silent.load(Ordering::Relaxed) {
                    kept.push(stream);
                    continue;
                }
                let root = root.clone();
                let serve = move || serve(&root, &stream.into_std().unwrap());
                tokio::task::spawn_blocking(serve).await.unwrap();
            }
        });
        Self { address, silent, _server: server }
    }
}

fn serve(root: &str, stream: &std::net::TcpStream) {
    stream.set_nonblocking(false).unwrap();
    let end = || Stdio::from(OwnedFd::from(stream.try_clone().unwrap()));
    let mut daemon = Command::new("git");
    daemon.args(["daemon", "--inetd", "--export-all", &format!("--base-path={root}")]);
    // A client that breaks off makes it fail.
    let _status = daemon.stdin(end()).stdout(end()).stderr(Stdio::null()).status().unwrap();
}

fn push_files(host: &Host, key: &str, files: &[(&str, &str)]) -> String {
    for (name, text) in files {
        std::fs::write(host.work().join(name), text).unwrap();
    }
    host.git(&["add", "--all"]);
    push_signed(host, key, "x")
}

#[tokio::test(flavor = "multi_thread")]
async fn over_git_daemon_signed_commits_take_over_and_everything_else_is_held() {
    let host = Host::start().await;
    let served = Served::start(&host).await;
    let keys = tempfile::tempdir().unwrap();
    let signers = keys.path().join("signers");
    let (ann, of_ann) = key(keys.path(), "ann", &["ed25519"]);
    let (eve, _) = key(keys.path(), "eve", &["ed25519"]);
    std::fs::write(&signers, format!("ann@example {of_ann}")).unwrap();
    let first = push_files(&host, &ann, &[("web.yaml", &manifest("web"))]);
    let mut one = source(&host, OFTEN);
    let SourceOrigin::Git(git) = &mut one.origin else { unreachable!("it is a repository") };
    git.url = GitUrl::Daemon(format!("git://{}/shop.git", served.address));
    git.verify =
        Some(Verify { ssh_allowed_signers_file: Some(signers.clone()), ..Verify::default() });
    let shutdown = Shutdown::default();
    let daemon = start(one, None, &shutdown).await;
    until_commit(&daemon, &first, 1).await;
    let second = push_files(&host, &ann, &[("api.yaml", &manifest("api"))]);
    until_commit(&daemon, &second, 2).await;
    let bad = push_files(&host, &ann, &[("api.yaml", "kind: Service\n")]);
    until_commit(&daemon, &bad, 2).await;
    push_files(&host, &eve, &[("more.yaml", &manifest("more"))]);
    until_stale(&daemon, &bad, 2, "which is not in").await;
    host.git(&["reset", "--quiet", "--hard", &first]);
    push_signed(&host, &ann, "rewritten");
    until_stale(&daemon, &bad, 2, "does not follow from").await;
    host.git(&["reset", "--quiet", "--hard", &bad]);
    host.git(&["rm", "--quiet", "web.yaml", "api.yaml"]);
    push_files(&host, &ann, &[("README", "x")]);
    until_stale(&daemon, &bad, 2, "holds no manifest").await;
    let branch = host.repository().join("refs/heads/main");
    std::fs::remove_file(&branch).unwrap();
    until_stale(&daemon, &bad, 2, "has no branch main (any more)").await;
    served.silent.store(true, Ordering::Relaxed);
    until_stale(&daemon, &bad, 2, "did not answer in time").await;
    served.silent.store(false, Ordering::Relaxed);
    let third = push_files(&host, &ann, &[("web.yaml", &manifest("web"))]);
    until_commit(&daemon, &third, 1).await;
    shutdown.drain.cancel();
    daemon.wait().await.unwrap();
}
