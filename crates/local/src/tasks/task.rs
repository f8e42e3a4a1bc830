//! The life of one task: place, containers, health checks, end; never outlives its processes.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use evenkeel_simulator::{ContainerLaunch, Happening, TaskLaunch};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::container::{Container, environment};
use super::news::{TaskEvent, images};
use super::place::Place;
use super::{Host, Stop, health};
use crate::catalogue::Image;

/// How long the last output of a container that ended may take: a process that got away from its
/// group may hold the pipe for ever.
const OUTPUT_DELAY: Duration = Duration::from_secs(1);

/// Runs the task to its end. All that happens on the way is told to the region.
pub(super) async fn run(host: &Arc<Host>, launch: TaskLaunch, stop: watch::Receiver<Stop>) {
    match start_all(host, &launch) {
        Err(reason) => {
            tracing::info!(task = super::short_id(&launch.task), reason, "a task cannot start");
            let (task, images) = (launch.task.clone(), images(&launch));
            host.news.tell(TaskEvent::CannotStart { task, images, reason: reason.clone() });
            host.region.report(Happening::TaskFailedToStart { task: launch.task, reason });
        }
        Ok((place, containers)) => {
            let (task, images) = (launch.task.clone(), images(&launch));
            host.news.tell(TaskEvent::Started { task, images });
            host.region.report(Happening::TaskRunning {
                task: launch.task.clone(),
                address: place.address,
                ports: place.ports.clone(),
            });
            run_all(host, launch, &place, containers, &stop).await;
        }
    }
}

/// Starts the containers, or none of them: what was started is killed when it is dropped.
fn start_all(host: &Host, launch: &TaskLaunch) -> Result<(Place, Vec<Container>), String> {
    let images: Vec<&Image> = launch
        .containers
        .iter()
        .map(|container| host.catalogue.resolve(&container.image))
        .collect::<Result<_, _>>()?;
    let ports: Vec<u16> =
        launch.containers.iter().flat_map(|container| container.container_ports.clone()).collect();
    let place = host.places.take(&ports).map_err(|error| {
        format!("ResourceInitializationError: no address is free for ports {ports:?}: {error}")
    })?;
    let containers = launch
        .containers
        .iter()
        .zip(images)
        .map(|(container, image)| {
            let environment = environment(host, &launch.task, container, image, &place);
            Container::start(container, image, &place, &environment)
                .map_err(|error| cannot_start(container, image, &error))
        })
        .collect::<Result<_, _>>()?;
    Ok((place, containers))
}

fn cannot_start(container: &ContainerLaunch, image: &Image, error: &io::Error) -> String {
    let program = container.entry_point.first().unwrap_or(&image.program);
    format!("CannotStartContainerError: exec: \"{program}\": {error}")
}

async fn run_all(
    host: &Arc<Host>,
    launch: TaskLaunch,
    place: &Place,
    containers: Vec<Container>,
    stop: &watch::Receiver<Stop>,
) {
    let mut lives = JoinSet::new();
    for (container, process) in launch.containers.into_iter().zip(containers) {
        let life = Life {
            host: Arc::clone(host),
            task: launch.task.clone(),
            launch: container,
            place: place.clone(),
        };
        lives.spawn(life.run(process, stop.clone()));
    }
    lives.join_all().await;
}

/// The life of one container of a task.
struct Life {
    host: Arc<Host>,
    task: String,
    launch: ContainerLaunch,
    place: Place,
}

impl Life {
    async fn run(self, mut process: Container, mut stop: watch::Receiver<Stop>) {
        let captures = capture(&self.host, &self.task, &self.launch.name, &mut process);
        let checks = self.check_health();
        tokio::pin!(checks);
        let exit_code = loop {
            tokio::select! {
                exit_code = process.wait() => break exit_code,
                Ok(()) = stop.changed() => process.signal(*stop.borrow_and_update()),
                () = &mut checks => {}
            }
        };
        // The last lines come before the exit is told: what tells of it can then show them.
        timeout(OUTPUT_DELAY, captures.join_all()).await.ok();
        let (task, container) = (self.task.clone(), self.launch.name.clone());
        tracing::info!(task = super::short_id(&task), container, exit_code, "a container exited");
        self.host.news.tell(TaskEvent::Exited {
            task: task.clone(),
            image: self.launch.image.clone(),
            exit_code,
            told_to: *stop.borrow() > Stop::No,
            last_line: self.host.output.tail(&task, &container).pop(),
        });
        let exited = Happening::ContainerExited { task, container, exit_code, reason: None };
        self.host.region.report(exited);
    }

    /// Never returns: without a health check there is nothing to do.
    async fn check_health(&self) {
        let image = self.host.catalogue.resolve(&self.launch.image);
        if let (Some(check), Ok(image)) = (&self.launch.health_check, image) {
            let environment = environment(&self.host, &self.task, &self.launch, image, &self.place);
            let tell = |passed| self.tell_health(passed);
            let clock = self.host.region.clock();
            health::watch(check, clock, &self.place, &environment, tell).await;
        }
        std::future::pending::<()>().await;
    }

    fn tell_health(&self, passed: bool) {
        self.host.region.report(Happening::ContainerHealth {
            task: self.task.clone(),
            container: self.launch.name.clone(),
            passed,
        });
    }
}

fn capture(host: &Host, task: &str, container: &str, process: &mut Container) -> JoinSet<()> {
    let mut captures = JoinSet::new();
    let (stdout, stderr) = process.take_output();
    let of = || (host.output.clone(), task.to_owned(), container.to_owned());
    if let Some(stdout) = stdout {
        let (output, task, container) = of();
        captures.spawn(async move { output.capture(&task, &container, stdout).await });
    }
    if let Some(stderr) = stderr {
        let (output, task, container) = of();
        captures.spawn(async move { output.capture(&task, &container, stderr).await });
    }
    captures
}
