//! The AWS CLI and boto3, unchanged, against the built `evenkeel-local serve`; never our own model with
//! our own client.
//!
//! `.ci/tools` installs them with locked versions into `.tools/`.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

#[test]
fn boto3_creates_rolls_lists_tags_and_deletes_and_every_reply_fits_its_model() {
    let region = Serve::start();
    session(&["python", "boto3_session.py"], &region.environment);
    region.stop();
}

#[test]
fn the_aws_cli_creates_rolls_waits_lists_tags_and_deletes() {
    let region = Serve::start();
    session(&["python", "-c", RUN_SCRIPT, "aws_cli.sh"], &region.environment);
    region.stop();
}

#[test]
fn the_aws_cli_deploys_by_code_deploy_and_waits() {
    let region = Serve::start();
    session(&["python", "-c", RUN_SCRIPT, "aws_deploy.sh"], &region.environment);
    region.stop();
}

/// Puts the directory of the installed `aws` first on the path and runs the script.
const RUN_SCRIPT: &str = "import os, sys
home = os.path.dirname(sys.executable)
os.environ['PATH'] = home + os.pathsep + os.environ['PATH']
os.execvp('bash', ['bash', sys.argv[1]])";

/// A region as users start it.
struct Serve {
    child: Child,
    environment: Vec<(String, String)>,
}

impl Serve {
    fn start() -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut child = Command::new(env!("CARGO_BIN_EXE_evenkeel-local"))
            .args(["serve", "--port", "0", "--speed", "40", "--with-alb", &port.to_string()])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut environment = Vec::new();
        // The target group is the last thing that is announced.
        while let Some(Ok(line)) = lines.next() {
            if let Some((name, value)) =
                line.strip_prefix("export ").and_then(|l| l.split_once('='))
            {
                environment.push((name.to_owned(), value.to_owned()));
            }
            if let Some(arn) = line.strip_prefix("# target group:") {
                environment.push(("TARGET_GROUP".to_owned(), arn.trim().to_owned()));
                break;
            }
        }
        environment.push(("BALANCER".to_owned(), format!("http://127.0.0.1:{port}/")));
        Self { child, environment }
    }

    /// An interrupt ends the region cleanly.
    fn stop(mut self) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), Signal::SIGINT).unwrap();
        let mut rest = String::new();
        if let Some(stdout) = &mut self.child.stdout {
            stdout.read_to_string(&mut rest).unwrap();
        }
        assert!(self.child.wait().unwrap().success(), "the region ended with an error");
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Runs a session of `tests/strangers` to its end; it must succeed.
fn session(command: &[&str], environment: &[(String, String)]) {
    let output = Command::new(project().join(".ci/tools"))
        .arg("strangers")
        .args(command)
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/strangers"))
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .env("AWS_CONFIG_FILE", "/dev/null")
        .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
        .output()
        .unwrap();
    let (said, complained) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?} failed:\n{said}\n{complained}");
}

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}
