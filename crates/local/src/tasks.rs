//! Runs the region's tasks as child processes; never decides when one is started or stopped.

mod container;
mod health;
mod news;
mod output;
mod place;
mod task;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use evenkeel_simulator::TaskLaunch;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};

pub use news::{TaskEvent, TaskNews};
pub use output::TaskOutput;
pub use place::Places;

use crate::catalogue::Catalogue;
use crate::live_region::LiveRegion;

/// Starts, signals and ends tasks, and tells the region what becomes of them.
#[derive(Debug)]
pub struct Tasks {
    host: Arc<Host>,
    running: JoinSet<String>,
    stops: HashMap<String, watch::Sender<Stop>>,
}

/// What every task of the region needs from its surroundings.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) region: LiveRegion,
    pub(crate) catalogue: Catalogue,
    pub(crate) places: Places,
    pub(crate) output: TaskOutput,
    pub(crate) news: TaskNews,
    /// `us-east-1`, for `AWS_REGION`.
    pub(crate) region_name: String,
}

/// How far a task has been told to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stop {
    No,
    Signal,
    Kill,
}

impl Tasks {
    /// `log_directory` takes a file for each container, in a directory for each task.
    pub fn new(
        region: LiveRegion,
        region_name: &str,
        catalogue: Catalogue,
        places: Places,
        log_directory: Option<PathBuf>,
    ) -> Self {
        let host = Host {
            region,
            catalogue,
            places,
            output: TaskOutput::new(log_directory),
            news: TaskNews::default(),
            region_name: region_name.to_owned(),
        };
        Self { host: Arc::new(host), running: JoinSet::new(), stops: HashMap::new() }
    }

    /// What the containers wrote.
    pub fn output(&self) -> TaskOutput {
        self.host.output.clone()
    }

    /// What became of tasks.
    pub fn news(&self) -> TaskNews {
        self.host.news.clone()
    }

    pub(crate) fn start(&mut self, launch: TaskLaunch) {
        let (stop, stopped) = watch::channel(Stop::No);
        self.host.news.count(&launch);
        let task = launch.task.clone();
        self.stops.insert(task.clone(), stop);
        let host = Arc::clone(&self.host);
        self.running.spawn(async move {
            task::run(&host, launch, stopped).await;
            task
        });
    }

    pub(crate) fn stop(&self, task: &str, stop: Stop) {
        if let Some(sender) = self.stops.get(task) {
            sender.send_if_modified(|now| {
                let changed = *now < stop;
                *now = stop.max(*now);
                changed
            });
        }
    }

    /// Returns when a task has ended altogether; waits for ever while there is none.
    pub(crate) async fn ended(&mut self) -> Result<(), JoinError> {
        match self.running.join_next().await {
            Some(Ok(task)) => {
                self.stops.remove(&task);
                Ok(())
            }
            Some(Err(error)) => Err(error),
            None => std::future::pending().await,
        }
    }

    /// Kills every process and waits until all are gone.
    pub(crate) async fn kill_all(mut self) {
        for stop in self.stops.values() {
            stop.send_replace(Stop::Kill);
        }
        while self.running.join_next().await.is_some() {}
    }
}

/// The last part of a task's ARN.
pub(crate) fn short_id(task: &str) -> &str {
    task.rsplit('/').next().unwrap_or(task)
}
