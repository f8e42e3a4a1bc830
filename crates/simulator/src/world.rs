//! The world of a simulation: what containers of an image do, in virtual time; never random.

mod traffic;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use jiff::Timestamp;

use crate::{Effect, Happening, Region, TaskLaunch};
use traffic::Traffic;

/// What the containers of an image do. All durations but the first count from RUNNING.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Behaviour {
    /// From the start of the pull to running, or to the failure.
    pub start_after: Duration,
    /// The start fails with these words of ECS's.
    pub start_failure: Option<String>,
    pub exit: Option<Exit>,
    /// When health checks begin to pass; `None` for never.
    pub healthy_after: Option<Duration>,
    /// When they begin to fail again.
    pub unhealthy_after: Option<Duration>,
    /// Why they fail, in the load balancer's words.
    pub complaint: String,
    /// From the stop signal to the exit; `None` for a process that must be killed.
    pub stops_after: Option<Duration>,
    /// How many of 100 answers to users are 500.
    pub error_percent: u32,
    /// How long an answer to a user takes.
    pub latency: Duration,
}

/// How a container ends by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exit {
    pub after: Duration,
    pub code: i32,
    pub reason: Option<String>,
}

impl Behaviour {
    /// Runs for ever and is healthy `after` it runs.
    pub fn healthy_after(after: Duration) -> Self {
        Self {
            start_after: Duration::from_secs(10),
            start_failure: None,
            exit: None,
            healthy_after: Some(after),
            unhealthy_after: None,
            complaint: "Request timed out".to_owned(),
            stops_after: Some(Duration::from_secs(1)),
            error_percent: 0,
            latency: Duration::from_millis(20),
        }
    }

    pub fn healthy() -> Self {
        Self::healthy_after(Duration::ZERO)
    }

    /// Exits with `code` some time `after` it runs.
    pub fn crashes(after: Duration, code: i32) -> Self {
        Self { exit: Some(Exit { after, code, reason: None }), ..Self::healthy() }
    }

    /// Is killed for its memory some time `after` it runs.
    pub fn out_of_memory(after: Duration) -> Self {
        let reason = "OutOfMemoryError: Container killed due to memory usage".to_owned();
        Self { exit: Some(Exit { after, code: 137, reason: Some(reason) }), ..Self::healthy() }
    }

    /// Runs, but answers health checks with this HTTP status.
    pub fn answers(status: u16) -> Self {
        Self {
            healthy_after: None,
            complaint: format!("Health checks failed with these codes: [{status}]"),
            ..Self::healthy()
        }
    }

    /// Healthy, but so many of 100 answers to users are 500, and each takes that long.
    pub fn answers_users(error_percent: u32, latency: Duration) -> Self {
        Self { error_percent, latency, ..Self::healthy() }
    }

    /// Runs, but never answers health checks.
    pub fn never_healthy() -> Self {
        Self { healthy_after: None, ..Self::healthy() }
    }

    /// Healthy at first, failing its checks from some time `after` it runs.
    pub fn turns_unhealthy(after: Duration) -> Self {
        Self { unhealthy_after: Some(after), ..Self::healthy() }
    }

    /// Cannot be pulled. Seen at AWS: the first failure after two and a half minutes.
    pub fn cannot_be_pulled(image: &str) -> Self {
        Self::fails_to_start(
            Duration::from_mins(2),
            format!(
                "CannotPullContainerError: pull image manifest has been retried 5 time(s): failed \
                 to resolve ref {image}: {image}: not found"
            ),
        )
    }

    pub fn fails_to_start(after: Duration, reason: impl Into<String>) -> Self {
        Self { start_after: after, start_failure: Some(reason.into()), ..Self::healthy() }
    }

    fn passes(&self, running_for: Duration) -> bool {
        self.healthy_after.is_some_and(|after| running_for >= after)
            && self.unhealthy_after.is_none_or(|after| running_for < after)
    }
}

/// Carries out a region's effects by the script of [`Behaviour`]s.
#[derive(Clone, Debug)]
pub struct World {
    behaviours: BTreeMap<String, Behaviour>,
    otherwise: Behaviour,
    runs: BTreeMap<String, Run>,
    addresses: BTreeMap<IpAddr, String>,
    checked_targets: BTreeSet<(String, IpAddr, u16)>,
    /// By the listener's ARN.
    traffic: BTreeMap<String, Traffic>,
    due: BTreeMap<(Timestamp, u64), Step>,
    sequence: u64,
    /// How many tasks of each image were started.
    started: BTreeMap<String, u32>,
    /// How many requests of users were sent to tasks of each image.
    requested: BTreeMap<String, u64>,
}

/// A task that was launched and has not ended.
#[derive(Clone, Debug)]
struct Run {
    launch: TaskLaunch,
    running_since: Option<Timestamp>,
    exited: BTreeSet<String>,
}

#[derive(Clone, Debug)]
enum Step {
    Start(String),
    Exit { task: String, container: String, code: i32, reason: Option<String> },
    CheckContainer { task: String, container: String },
    CheckTarget { target_group: String, address: IpAddr, port: u16 },
    Traffic { listener: String },
}

impl Default for World {
    fn default() -> Self {
        Self::new(Behaviour::healthy())
    }
}

impl World {
    /// A world in which images without a script of their own do `otherwise`.
    pub fn new(otherwise: Behaviour) -> Self {
        Self {
            behaviours: BTreeMap::new(),
            otherwise,
            runs: BTreeMap::new(),
            addresses: BTreeMap::new(),
            checked_targets: BTreeSet::new(),
            traffic: BTreeMap::new(),
            due: BTreeMap::new(),
            sequence: 0,
            started: BTreeMap::new(),
            requested: BTreeMap::new(),
        }
    }

    /// From now on tasks of `image` do this.
    pub fn script(&mut self, image: impl Into<String>, behaviour: Behaviour) {
        self.behaviours.insert(image.into(), behaviour);
    }

    /// How many tasks that have a container of this image were launched so far.
    pub fn launched(&self, image: &str) -> u32 {
        self.started.get(image).copied().unwrap_or(0)
    }

    /// How many requests of users were sent so far to tasks that have a container of this image.
    pub fn requested(&self, image: &str) -> u64 {
        self.requested.get(image).copied().unwrap_or(0)
    }

    /// When something happens next.
    pub fn next(&self) -> Option<Timestamp> {
        self.due.first_key_value().map(|((at, _), _)| *at)
    }

    /// Takes on what the region wants done.
    pub fn take_on(&mut self, region: &mut Region) {
        let now = region.now();
        for effect in region.take_effects() {
            match effect {
                Effect::StartTask(launch) => self.launch(launch, now),
                Effect::SignalTask { task } => self.signal(&task, now),
                Effect::KillTask { task } => self.kill(&task, now),
                Effect::LoadBalancingChanged => {}
            }
        }
        for target_group in region.take_changed_target_groups() {
            self.check_targets(&target_group, region);
        }
    }

    /// Tells the region everything that is due by its clock.
    pub fn happen(&mut self, region: &mut Region) {
        let now = region.now();
        while let Some(first) = self.due.first_entry().filter(|entry| entry.key().0 <= now) {
            let step = first.remove();
            self.step(step, region);
        }
    }

    fn behaviour(&self, image: &str) -> &Behaviour {
        self.behaviours.get(image).unwrap_or(&self.otherwise)
    }

    fn plan(&mut self, at: Timestamp, step: Step) {
        self.sequence += 1;
        self.due.insert((at, self.sequence), step);
    }

    fn launch(&mut self, launch: TaskLaunch, now: Timestamp) {
        let behaviours = || launch.containers.iter().map(|one| self.behaviour(&one.image));
        let failures = || behaviours().filter(|one| one.start_failure.is_some());
        let soonest = failures().map(|one| one.start_after).min();
        let after = soonest.or(behaviours().map(|one| one.start_after).max()).unwrap_or_default();
        for container in &launch.containers {
            *self.started.entry(container.image.clone()).or_default() += 1;
        }
        let task = launch.task.clone();
        self.addresses.insert(launch.address, task.clone());
        let run = Run { launch, running_since: None, exited: BTreeSet::new() };
        self.runs.insert(task.clone(), run);
        self.plan(now + after, Step::Start(task));
    }

    fn step(&mut self, step: Step, region: &mut Region) {
        match step {
            Step::Start(task) => self.start(&task, region),
            Step::Exit { task, container, code, reason } => {
                self.exit(task, container, code, reason, region);
            }
            Step::CheckContainer { task, container } => {
                self.check_container(task, container, region);
            }
            Step::CheckTarget { target_group, address, port } => {
                self.check_target(target_group, address, port, region);
            }
            Step::Traffic { listener } => self.answer_traffic(listener, region),
        }
    }

    fn start(&mut self, task: &str, region: &mut Region) {
        let now = region.now();
        let Some(run) = self.runs.get(task) else { return };
        let failure = run
            .launch
            .containers
            .iter()
            .find_map(|container| self.behaviour(&container.image).start_failure.clone());
        if let Some(reason) = failure {
            self.forget(task);
            region.report(Happening::TaskFailedToStart { task: task.to_owned(), reason });
            return;
        }
        let Some(run) = self.runs.get_mut(task) else { return };
        run.running_since = Some(now);
        let launch = run.launch.clone();
        for container in &launch.containers {
            let behaviour = self.behaviour(&container.image).clone();
            if let Some(exit) = behaviour.exit {
                self.plan_exit(now + exit.after, task, &container.name, exit.code, exit.reason);
            }
            if let Some(check) = &container.health_check {
                let (task, container) = (task.to_owned(), container.name.clone());
                self.plan(now + check.interval, Step::CheckContainer { task, container });
            }
        }
        let ports = launch.containers.iter().flat_map(|one| &one.container_ports);
        region.report(Happening::TaskRunning {
            task: task.to_owned(),
            address: launch.address,
            ports: ports.map(|port| (*port, *port)).collect(),
        });
    }

    fn plan_exit(
        &mut self,
        at: Timestamp,
        task: &str,
        container: &str,
        code: i32,
        reason: Option<String>,
    ) {
        let (task, container) = (task.to_owned(), container.to_owned());
        self.plan(at, Step::Exit { task, container, code, reason });
    }

    fn exit(
        &mut self,
        task: String,
        container: String,
        exit_code: i32,
        reason: Option<String>,
        region: &mut Region,
    ) {
        let Some(run) = self.runs.get_mut(&task) else { return };
        if !run.exited.insert(container.clone()) {
            return;
        }
        if run.exited.len() == run.launch.containers.len() {
            self.forget(&task);
        }
        region.report(Happening::ContainerExited { task, container, exit_code, reason });
    }

    /// SIGTERM: those that listen exit with 143.
    fn signal(&mut self, task: &str, now: Timestamp) {
        let Some(run) = self.runs.get(task) else { return };
        let containers = run.launch.containers.clone();
        for container in containers {
            if let Some(after) = self.behaviour(&container.image).stops_after {
                self.plan_exit(now + after, task, &container.name, 143, None);
            }
        }
    }

    fn kill(&mut self, task: &str, now: Timestamp) {
        let Some(run) = self.runs.get(task) else { return };
        let containers = run.launch.containers.clone();
        for container in containers {
            self.plan_exit(now, task, &container.name, 137, None);
        }
    }

    fn forget(&mut self, task: &str) {
        if let Some(run) = self.runs.remove(task) {
            self.addresses.remove(&run.launch.address);
        }
    }

    fn check_container(&mut self, task: String, container: String, region: &mut Region) {
        let now = region.now();
        let Some(run) = self.runs.get(&task) else { return };
        let Some(launched) = run.launch.containers.iter().find(|one| one.name == container) else {
            return;
        };
        let (Some(check), Some(since)) = (&launched.health_check, run.running_since) else {
            return;
        };
        let behaviour = self.behaviour(&launched.image);
        let passed = behaviour.passes(elapsed(since, now));
        let next = next_check(behaviour, passed, since, now, check.interval);
        if let Some(at) = next {
            let (task, container) = (task.clone(), container.clone());
            self.plan(at, Step::CheckContainer { task, container });
        }
        region.report(Happening::ContainerHealth { task, container, passed });
    }

    /// Begins to check targets that are not being checked.
    fn check_targets(&mut self, target_group: &str, region: &Region) {
        let Some(view) = region.target_group(target_group) else { return };
        for (address, port, state) in view.targets {
            let waits = matches!(state.as_str(), "initial" | "unhealthy");
            let key = (target_group.to_owned(), address, port);
            if waits && self.checked_targets.insert(key) {
                let target_group = target_group.to_owned();
                let at = region.now() + view.health_check_interval;
                self.plan(at, Step::CheckTarget { target_group, address, port });
            }
        }
    }

    fn check_target(
        &mut self,
        target_group: String,
        address: IpAddr,
        port: u16,
        region: &mut Region,
    ) {
        let now = region.now();
        let key = (target_group.clone(), address, port);
        self.checked_targets.remove(&key);
        let registered = matches!(
            region.target_state(&target_group, address, port),
            Some("initial" | "healthy" | "unhealthy")
        );
        let Some(view) = region.target_group(&target_group).filter(|_| registered) else { return };
        let run = self.addresses.get(&address).and_then(|task| self.runs.get(task));
        let running = run.and_then(|run| Some((run.running_since?, run)));
        let interval = view.health_check_interval;
        let (result, next) = match running {
            None => (Err("Request timed out".to_owned()), Some(now + interval)),
            Some((since, run)) => {
                let behaviours =
                    || run.launch.containers.iter().map(|one| self.behaviour(&one.image));
                let failing = behaviours().find(|one| !one.passes(elapsed(since, now)));
                let result = failing.map_or(Ok(()), |one| Err(one.complaint.clone()));
                let next = behaviours()
                    .filter_map(|one| next_check(one, result.is_ok(), since, now, interval))
                    .min();
                (result, next)
            }
        };
        let id = address.to_string();
        let target_group_name = target_group.clone();
        region.report(Happening::TargetHealth { target_group, id, port, result });
        // A target that recovers needs several successes.
        let recovers = region.target_state(&target_group_name, address, port) != Some("healthy");
        if let Some(at) = next.or(recovers.then_some(now + interval)) {
            self.checked_targets.insert(key);
            self.plan(at, Step::CheckTarget { target_group: target_group_name, address, port });
        }
    }
}

fn elapsed(since: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(since)).unwrap_or_default()
}

/// The next check that can tell something new: none while all goes well and will.
fn next_check(
    behaviour: &Behaviour,
    passed: bool,
    since: Timestamp,
    now: Timestamp,
    interval: Duration,
) -> Option<Timestamp> {
    if !passed {
        return Some(now + interval);
    }
    let turns = since + behaviour.unhealthy_after?;
    Some(turns.max(now + interval))
}
