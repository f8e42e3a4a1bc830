//! Git hosting for tests: git's own http-backend behind a small web server, and a work tree that pushes to
//! it; it misbehaves as told.

use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use tokio::task::JoinSet;

/// What the server does with every request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Mood {
    Good,
    Answers(u16),
    Redirects,
    /// Sends the first half of every answer and says that it is all.
    Halves,
    /// Turns a bit of what it sends.
    Garbles,
    Never,
}

#[derive(Debug)]
struct Shared {
    root: PathBuf,
    mood: Mood,
    /// Method and path of every request.
    seen: Vec<String>,
}

/// A server with one repository, `shop.git`.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) address: SocketAddr,
    directory: tempfile::TempDir,
    shared: Arc<Mutex<Shared>>,
    _server: JoinSet<std::io::Result<()>>,
}

impl Host {
    pub(crate) async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("served");
        git(directory.path(), &["init", "--quiet", "--bare", "-b", "main", "served/shop.git"]);
        git(directory.path(), &["init", "--quiet", "-b", "main", "work"]);
        let shared = Shared { root, mood: Mood::Good, seen: Vec::new() };
        let shared = Arc::new(Mutex::new(shared));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(answer).with_state(shared.clone());
        let mut server = JoinSet::new();
        server.spawn(async move { axum::serve(listener, router).await });
        Self { address, directory, shared, _server: server }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/shop.git", self.address)
    }

    pub(crate) fn feels(&self, mood: Mood) {
        self.shared.lock().unwrap().mood = mood;
    }

    pub(crate) fn take_seen(&self) -> Vec<String> {
        std::mem::take(&mut self.shared.lock().unwrap().seen)
    }

    pub(crate) fn repository(&self) -> PathBuf {
        self.directory.path().join("served/shop.git")
    }

    pub(crate) fn work(&self) -> PathBuf {
        self.directory.path().join("work")
    }

    pub(crate) fn git(&self, arguments: &[&str]) -> String {
        git(&self.work(), arguments)
    }

    /// Commits the files and pushes them; the commit's id.
    pub(crate) fn push(&self, files: &[(&str, &str)]) -> String {
        for (name, text) in files {
            fs::write(self.work().join(name), text).unwrap();
        }
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "-m", "x"]);
        self.push_head()
    }

    pub(crate) fn push_head(&self) -> String {
        let to = self.repository();
        self.git(&["push", "--quiet", "--force", to.to_str().unwrap(), "HEAD:refs/heads/main"]);
        self.git(&["rev-parse", "HEAD"]).trim().to_owned()
    }
}

/// Runs git without any configuration of this machine.
fn git(directory: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .args(["-c", "user.name=a", "-c", "user.email=a@example", "-c", "commit.gpgsign=false"])
        .args(arguments)
        .current_dir(directory)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .expect("git is installed; it is Debian's package git");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "git {arguments:?}: {told}");
    String::from_utf8(output.stdout).unwrap()
}

async fn answer(State(shared): State<Arc<Mutex<Shared>>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 24).await.unwrap();
    let (root, mood) = {
        let mut shared = shared.lock().unwrap();
        shared.seen.push(format!("{} {}", head.method, head.uri.path()));
        (shared.root.clone(), shared.mood)
    };
    match mood {
        Mood::Answers(status) => StatusCode::from_u16(status).unwrap().into_response(),
        Mood::Redirects => {
            let to = [(header::LOCATION, "https://me:secret@git.example/x.git/info/refs?a=secret")];
            (StatusCode::MOVED_PERMANENTLY, to).into_response()
        }
        Mood::Never => std::future::pending().await,
        mood => {
            let ran = tokio::task::spawn_blocking(move || backend(&root, &head, &body));
            let (status, kind, mut bytes) = ran.await.unwrap();
            if mood == Mood::Halves {
                bytes.truncate(bytes.len() / 2);
            }
            if mood == Mood::Garbles {
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
            }
            (status, [(header::CONTENT_TYPE, kind)], bytes).into_response()
        }
    }
}

/// One request as CGI has it.
fn backend(
    root: &Path,
    head: &axum::http::request::Parts,
    body: &Bytes,
) -> (StatusCode, String, Vec<u8>) {
    let text = |name: &str| {
        let value = head.headers.get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default().to_owned()
    };
    let mut child = Command::new("git")
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("PATH_INFO", head.uri.path())
        .env("QUERY_STRING", head.uri.query().unwrap_or_default())
        .env("REQUEST_METHOD", head.method.as_str())
        .env("CONTENT_TYPE", text("content-type"))
        .env("GIT_PROTOCOL", text("git-protocol"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let _ends_early = child.stdin.take().unwrap().write_all(body);
    let output = child.wait_with_output().unwrap().stdout;
    let end = output.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    let headers = String::from_utf8_lossy(&output[..end]).into_owned();
    let of = |name: &str| {
        let mut lines = headers.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned())
    };
    let status = of("status").and_then(|text| text.split(' ').next()?.parse().ok()).unwrap_or(200);
    let kind = of("content-type").unwrap_or_default();
    (StatusCode::from_u16(status).unwrap(), kind, output[end + 4..].to_vec())
}
