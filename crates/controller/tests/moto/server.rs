//! moto's server and the built `evenkeel`, each as a process of its own; what happened is asked of moto
//! by boto3 and by its own recording, never by our client.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot be set up has failed"
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// For whatever a running process is to do; far more than it takes on a slow machine.
const PATIENCE: Duration = Duration::from_mins(2);
/// The first start installs moto, or waits for another test that does.
const INSTALLATION: Duration = Duration::from_mins(15);

/// Makes one call of ECS and prints the reply as JSON.
const CALL: &str = "import boto3, json, sys
reply = getattr(boto3.client('ecs'), sys.argv[1])(**json.loads(sys.argv[2]))
del reply['ResponseMetadata']
json.dump(reply, sys.stdout, default=str)";

/// A server of moto with the cluster `prod`, and a directory to run `evenkeel` in.
pub(crate) struct Moto {
    child: Child,
    url: String,
    directory: TempDir,
    /// Read on, so that the server can go on writing.
    _log: Lines,
}

impl Moto {
    /// moto starts no tasks: it claims that so many of every service run.
    pub(crate) fn start(running: u32) -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("manifests")).unwrap();
        let mut child = tool("strangers")
            .args(["moto_server", "-p", "0"])
            .env("MOTO_ECS_SERVICE_RUNNING", running.to_string())
            .env("MOTO_ENABLE_RECORDING", "true")
            .env("MOTO_RECORDER_FILEPATH", directory.path().join("recording"))
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = Lines::of(child.stderr.take().unwrap());
        let line = log.find("Running on", INSTALLATION);
        let (_, url) = line.rsplit_once(' ').unwrap();
        let moto = Self { url: url.to_owned(), child, directory, _log: log };
        moto.boto3("create_cluster", &serde_json::json!({ "clusterName": "prod" }));
        moto
    }

    /// What boto3's client of ECS says.
    pub(crate) fn boto3(&self, operation: &str, arguments: &Value) -> Value {
        self.run_python(&[CALL, operation, &arguments.to_string()])
    }

    /// What a program prints as JSON that makes things with boto3.
    pub(crate) fn python(&self, program: &str) -> Value {
        self.run_python(&[program])
    }

    fn run_python(&self, arguments: &[&str]) -> Value {
        let output = tool("strangers")
            .args(["python", "-c"])
            .args(arguments)
            .envs(self.environment())
            .env("AWS_CONFIG_FILE", "/dev/null")
            .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
            .env("NO_PROXY", "127.0.0.1")
            .output()
            .unwrap();
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?} failed: {complaint}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    pub(crate) fn service(&self, name: &str) -> Value {
        let arguments =
            serde_json::json!({ "cluster": "prod", "services": [name], "include": ["TAGS"] });
        self.boto3("describe_services", &arguments)["services"][0].take()
    }

    /// The ARNs of all revisions, the oldest first.
    pub(crate) fn revisions(&self) -> Value {
        self.boto3("list_task_definitions", &serde_json::json!({}))["taskDefinitionArns"].take()
    }

    /// Creates the table `evenkeel-leases` as deploy/ defines it.
    pub(crate) fn lease_table(&self) {
        let definition = project().join("deploy/lease-table.json");
        let output = tool("strangers")
            .args(["aws", "dynamodb", "create-table", "--cli-input-json"])
            .arg(format!("file://{}", definition.display()))
            .envs(self.environment())
            .envs([("AWS_CONFIG_FILE", "/dev/null"), ("NO_PROXY", "127.0.0.1")])
            .output()
            .unwrap();
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "create-table failed: {complaint}");
    }

    /// The operations of ECS that `evenkeel` called, as the server recorded them.
    pub(crate) fn calls(&self) -> Vec<String> {
        let recording = std::fs::read_to_string(self.directory.path().join("recording")).unwrap();
        // The last line may be in the middle of being written.
        let lines = recording.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        let requests = lines.map(|line| serde_json::from_str::<Value>(line).unwrap());
        let header =
            |request: &Value, name: &str| request["headers"][name].as_str().map(str::to_owned);
        let ours = requests.filter(|request| {
            header(request, "User-Agent").is_some_and(|agent| agent.contains("app/evenkeel"))
        });
        ours.filter_map(|request| {
            // Services that take a form have no such header.
            let target = header(&request, "X-Amz-Target")?;
            let (service, operation) = target.rsplit_once('.').unwrap();
            service.starts_with("AmazonEC2ContainerService").then(|| operation.to_owned())
        })
        .collect()
    }

    /// Those of them that are no reads.
    pub(crate) fn writes(&self) -> Vec<String> {
        let is_read = |call: &String| call.starts_with("Describe") || call.starts_with("List");
        self.calls().into_iter().filter(|call| !is_read(call)).collect()
    }

    pub(crate) fn manifest(&self, name: &str, text: &str) {
        let path = self.directory.path().join("manifests").join(name);
        std::fs::write(path, text).unwrap();
    }

    /// The built binary, with nothing of this machine's configuration.
    pub(crate) fn evenkeel(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_evenkeel"));
        command.args(arguments).current_dir(&self.directory).env_clear();
        command.env("HOME", self.directory.path()).envs(self.environment());
        command.env("EVENKEEL_LOOP__RESYNC", "1s").env("EVENKEEL_LOOP__ROLLOUT_POLL", "1s");
        command
    }

    /// `evenkeel` run to its end: its exit code and what it said.
    pub(crate) fn run(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let Output { status, stdout, stderr } = self.evenkeel(arguments).output().unwrap();
        let said = [stdout, stderr].concat();
        (status.code(), String::from_utf8(said).unwrap())
    }

    fn environment(&self) -> [(&'static str, &str); 5] {
        [
            ("AWS_ENDPOINT_URL", &self.url),
            ("AWS_REGION", "eu-central-1"),
            ("AWS_DEFAULT_REGION", "eu-central-1"),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
        ]
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// `evenkeel run`, watching the manifests beside a server of moto.
pub(crate) struct Daemon {
    child: Child,
    address: String,
    log: Lines,
}

impl Daemon {
    pub(crate) fn start(moto: &Moto) -> Self {
        Self::configured(moto, &[])
    }

    /// With these variables of its configuration.
    pub(crate) fn configured(moto: &Moto, variables: &[(&str, &str)]) -> Self {
        let mut child = moto
            .evenkeel(&["run", "--manifests", "manifests", "--listen", "127.0.0.1:0"])
            .envs(variables.iter().copied())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = Lines::of(child.stderr.take().unwrap());
        let line = log.find("evenkeel started", PATIENCE);
        let started: Value = serde_json::from_str(&line).unwrap();
        let address = started["http"].as_str().unwrap().to_owned();
        Self { child, address, log }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Ends it at once, as the loss of its machine does.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to end, and waits until it has: its exit code.
    pub(crate) fn terminate(mut self) -> Option<i32> {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        self.child.wait().unwrap().code()
    }

    /// The body of an answer, whatever its status code.
    pub(crate) fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        body.to_owned()
    }

    /// A condition of a service of the cluster `prod` as `(status, reason, message)`.
    pub(crate) fn condition(&self, service: &str, kind: &str) -> Option<[String; 3]> {
        condition(&self.status(service), kind)
    }

    /// The status of a service of the cluster `prod`.
    pub(crate) fn status(&self, service: &str) -> Value {
        serde_json::from_str(&self.get(&format!("/v1/services/prod/{service}"))).unwrap()
    }

    /// The first line of its log with this text.
    pub(crate) fn said(&mut self, text: &str) -> String {
        let seen = self.log.seen.iter().find(|line| line.contains(text)).cloned();
        seen.unwrap_or_else(|| self.log.find(text, PATIENCE))
    }

    /// Looks again whenever the daemon says something, and now and then.
    pub(crate) fn wait_until(&mut self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is_so(self) {
            self.log.next(Duration::from_millis(100));
            let in_time = Instant::now() < deadline;
            assert!(in_time, "waited for {what}, in vain; the daemon said {:#?}", self.log.seen);
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// A condition in a status as JSON, as `(status, reason, message)`.
pub(crate) fn condition(status: &Value, kind: &str) -> Option<[String; 3]> {
    let found = status["conditions"].as_array()?.iter().find(|one| one["type"] == kind)?;
    Some(["status", "reason", "message"].map(|name| found[name].as_str().unwrap().to_owned()))
}

/// What a process writes on standard error, read as it comes.
struct Lines {
    coming: Receiver<String>,
    seen: Vec<String>,
}

impl Lines {
    fn of(stderr: ChildStderr) -> Self {
        let (sender, coming) = channel();
        std::thread::spawn(move || {
            // When nobody listens any more the rest is read all the same.
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let _unheard = sender.send(line);
            }
        });
        Self { coming, seen: Vec::new() }
    }

    /// The next line, if one comes within this time.
    fn next(&mut self, within: Duration) -> Option<String> {
        let line = self.coming.recv_timeout(within).ok()?;
        self.seen.push(line.clone());
        Some(line)
    }

    fn find(&mut self, text: &str, within: Duration) -> String {
        let deadline = Instant::now() + within;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.next(left) {
                Some(line) if line.contains(text) => return line,
                Some(_) => {}
                None => {
                    panic!("`{text}` was expected, and this was said:\n{}", self.seen.join("\n"))
                }
            }
        }
    }
}

/// A tool that this project pins, installed on first use.
pub(crate) fn tool(name: &str) -> Command {
    let mut command = Command::new(project().join(".ci/tools"));
    command.arg(name);
    command
}

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn end(child: &mut Child) {
    let _already_ended = child.kill();
    let _reaped = child.wait();
}
