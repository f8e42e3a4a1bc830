//! One container as one process group; never restarts it.

use std::collections::BTreeMap;
use std::io;
use std::process::{ExitStatus, Stdio};

use evenkeel_simulator::ContainerLaunch;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};

use super::place::Place;
use super::{Host, Stop, short_id};
use crate::catalogue::{Image, fill_in};

/// The search path inside a container.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A started container.
#[derive(Debug)]
pub(super) struct Container {
    child: Child,
    group: Option<Pid>,
    /// Open for as long as the container lives: a program may watch it to end with this one.
    _input: Option<ChildStdin>,
}

/// What a container's processes see: used for the container itself and its health checks.
pub(super) fn environment(
    host: &Host,
    task: &str,
    launch: &ContainerLaunch,
    image: &Image,
    place: &Place,
) -> BTreeMap<String, String> {
    let mut environment = BTreeMap::from([
        ("PATH".to_owned(), PATH.to_owned()),
        ("HOSTNAME".to_owned(), format!("ip-{}", place.address.to_string().replace('.', "-"))),
        ("HOST".to_owned(), place.address.to_string()),
        ("AWS_EXECUTION_ENV".to_owned(), "AWS_ECS_FARGATE".to_owned()),
        ("AWS_REGION".to_owned(), host.region_name.clone()),
        ("AWS_DEFAULT_REGION".to_owned(), host.region_name.clone()),
        ("ECS_TASK_ID".to_owned(), short_id(task).to_owned()),
        ("ECS_TASK_ARN".to_owned(), task.to_owned()),
        ("ECS_CONTAINER_NAME".to_owned(), launch.name.clone()),
    ]);
    for (index, container_port) in launch.container_ports.iter().enumerate() {
        if let Some(port) = place.ports.get(container_port) {
            environment.insert(format!("PORT_{container_port}"), port.to_string());
            if index == 0 {
                environment.insert("PORT".to_owned(), port.to_string());
            }
        }
    }
    let of_image = image
        .environment
        .iter()
        .map(|(name, value)| (name.clone(), fill_in(value, place.address, &place.ports)));
    environment.extend(of_image);
    environment.extend(launch.environment.clone());
    environment
}

impl Container {
    pub(super) fn start(
        launch: &ContainerLaunch,
        image: &Image,
        place: &Place,
        environment: &BTreeMap<String, String>,
    ) -> io::Result<Self> {
        let line = image.command_line(&launch.entry_point, &launch.command);
        let mut words = line.iter().map(|word| fill_in(word, place.address, &place.ports));
        let program = words.next().unwrap_or_default();
        let mut child = Command::new(program)
            .args(words)
            .env_clear()
            .envs(environment)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let group = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
        let input = child.stdin.take();
        Ok(Self { child, group, _input: input })
    }

    /// The streams that [`super::TaskOutput::capture`] reads, once.
    pub(super) fn take_output(&mut self) -> (Option<ChildStdout>, Option<ChildStderr>) {
        (self.child.stdout.take(), self.child.stderr.take())
    }

    /// Sends SIGTERM or SIGKILL to the container's processes. Those that ended already are left.
    pub(super) fn signal(&self, stop: Stop) {
        let signal = match stop {
            Stop::No => return,
            Stop::Signal => Signal::SIGTERM,
            Stop::Kill => Signal::SIGKILL,
        };
        if let Some(group) = self.group {
            killpg(group, signal).ok();
        }
    }

    /// Waits for the first process to end, then ends what it left behind, as a container does.
    /// May be dropped and called again.
    pub(super) async fn wait(&mut self) -> i32 {
        let status = self.child.wait().await;
        self.signal(Stop::Kill);
        status.map_or(255, exit_code)
    }
}

/// As Docker reports it: 128 and the signal's number for a process that a signal ended.
fn exit_code(status: ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt as _;
    status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(255)
}
