//! Tells who wants to know what becomes of tasks; never waits for a listener.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use evenkeel_simulator::TaskLaunch;
use tokio::sync::broadcast;

/// Something that became of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaskEvent {
    Started {
        task: String,
        images: Vec<String>,
    },
    CannotStart {
        task: String,
        images: Vec<String>,
        reason: String,
    },
    Exited {
        task: String,
        image: String,
        exit_code: i32,
        /// Whether the region had told the task to stop.
        told_to: bool,
        last_line: Option<String>,
    },
}

/// A shared handle to the events and the number of tasks begun for each image.
#[derive(Clone, Debug)]
pub struct TaskNews {
    events: broadcast::Sender<TaskEvent>,
    begun: Arc<Mutex<BTreeMap<String, u64>>>,
}

impl Default for TaskNews {
    fn default() -> Self {
        Self { events: broadcast::Sender::new(1024), begun: Arc::default() }
    }
}

impl TaskNews {
    pub fn subscribe(&self) -> broadcast::Receiver<TaskEvent> {
        self.events.subscribe()
    }

    /// Tasks that the region began with this image, whether they came to run or not.
    pub fn begun(&self, image: &str) -> u64 {
        let begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        begun.get(image).copied().unwrap_or_default()
    }

    pub(super) fn count(&self, launch: &TaskLaunch) {
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        for image in images(launch) {
            *begun.entry(image).or_default() += 1;
        }
    }

    /// Nobody may be listening.
    pub(super) fn tell(&self, event: TaskEvent) {
        self.events.send(event).ok();
    }
}

/// Each image of the task once.
pub(super) fn images(launch: &TaskLaunch) -> Vec<String> {
    let mut images: Vec<String> =
        launch.containers.iter().map(|container| container.image.clone()).collect();
    images.sort();
    images.dedup();
    images
}
