//! Manifests from a directory that is watched; never lets a fault of the directory or of one file
//! change what is in force for another.

mod follow;
mod git;
mod granted;
mod last_good;
mod publisher;
mod report;
mod tree;
mod union;
mod watcher;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use evenkeel_manifest::{Reloaded, Reloader};
use evenkeel_reconciler::{DesiredState, Shutdown};
use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

pub(crate) use follow::Sources;
pub(crate) use git::LocalRepository;
pub use git::Revision;
pub(crate) use last_good::LastGood;
pub(crate) use last_good::problems_of;
use publisher::Publisher;
pub use report::{ManifestsReport, SourceReport};
pub(crate) use tree::read_text;
pub(crate) use tree::{Tree, TreeError, TreeLimits, read};
use tree::{fingerprint, walk};
use watcher::Watcher;

/// How soon a directory that could not be read or watched is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// A directory that never becomes quiet is read all the same after this many debounces.
const DEBOUNCES_MAX: u32 = 20;

/// Watches one directory and says what is wanted.
#[derive(Debug)]
pub(crate) struct DirectorySource {
    path: PathBuf,
    environment: Option<String>,
    /// `None` while a look has it, and after one that failed in an unforeseen way.
    reloader: Option<Reloader>,
    debounce: Duration,
    reread: Duration,
    limits: TreeLimits,
    watcher: Watcher,
    last_good: LastGood,
    /// The fingerprint of the last look; `None` when that failed.
    seen: Option<u64>,
    publisher: Publisher,
}

impl DirectorySource {
    pub(crate) fn new(
        config: &crate::config::Config,
        desired: watch::Sender<Arc<DesiredState>>,
        report: watch::Sender<Arc<ManifestsReport>>,
    ) -> Self {
        Self {
            path: config.manifests.path.clone(),
            environment: config.manifests.environment.clone(),
            reloader: None,
            debounce: config.manifests.debounce,
            reread: config.manifests.reread,
            limits: TreeLimits::default(),
            watcher: Watcher::default(),
            last_good: LastGood::new(config.target.clone(), config.windows.clone()),
            seen: None,
            publisher: Publisher::new(desired, report),
        }
    }

    /// Runs until shutdown is requested.
    pub(crate) async fn run(mut self, shutdown: Shutdown) {
        let (drain, abort) = (shutdown.drain, shutdown.abort);
        tokio::select! {
            () = drain.cancelled() => {}
            () = abort.cancelled() => {}
            never = self.follow() => match never {},
        }
    }

    async fn follow(&mut self) -> std::convert::Infallible {
        loop {
            self.look().await;
            self.next_occasion().await;
        }
    }

    /// Reads the directory once and publishes what follows from it.
    pub(crate) async fn look(&mut self) {
        self.watcher.follow(&self.path);
        let (path, limits, seen) = (self.path.clone(), self.limits, self.seen.take());
        let reloader = self.reloader.take();
        let mut reloader =
            reloader.unwrap_or_else(|| Reloader::new("", self.environment.as_deref()));
        let look = move || (look(&path, &mut reloader, &limits, seen), reloader);
        let read = tokio::task::spawn_blocking(look).await;
        let read = read.map(|(look, reloader)| {
            self.reloader = Some(reloader);
            look
        });
        match read {
            Ok(Look::Same) => {
                self.seen = seen;
                self.publish_unchanged();
            }
            Ok(Look::Changed { tree, fingerprint, set }) => {
                let Reloaded { services, problems, .. } = set;
                let settled = self.last_good.settle(&tree, services.into_iter(), problems);
                self.seen = Some(fingerprint);
                self.publisher.publish(settled, Some(Timestamp::now()), Vec::new());
            }
            Ok(Look::Failed(error)) => self.failed(&error.to_string()),
            // A panic while reading is a fault of one look, as any other.
            Err(error) => self.failed(&format!("reading the manifests failed: {error}")),
        }
    }

    /// Waits for a change in the directory and then for quiet, or for the next regular look.
    async fn next_occasion(&mut self) {
        let healthy = self.seen.is_some() && self.watcher.is_watching();
        let after = if healthy { self.reread } else { self.reread.min(RETRY_AFTER) };
        if timeout(after, self.watcher.changed()).await.is_ok() {
            let latest = Instant::now() + self.debounce * DEBOUNCES_MAX;
            self.quiet(latest).await;
        }
    }

    async fn quiet(&mut self, latest: Instant) {
        loop {
            let quiet_at = (Instant::now() + self.debounce).min(latest);
            tokio::select! {
                biased;
                () = sleep_until(quiet_at) => return,
                () = self.watcher.changed() => {}
            }
        }
    }

    fn publish_unchanged(&self) {
        let before = self.publisher.report();
        let report = ManifestsReport { read_at: Some(Timestamp::now()), ..(*before).clone() };
        self.publisher.replace_report(report);
    }

    /// The last good state stays in force; only the report says that it is old.
    fn failed(&mut self, message: &str) {
        self.watcher.forget();
        let before = self.publisher.report();
        let stale = if self.last_good.is_empty() {
            format!("{message}; no manifest has been read yet")
        } else {
            format!("{message}; the services read before stay in force")
        };
        let report = ManifestsReport { stale: Some(stale), ..(*before).clone() };
        self.publisher.lose_sight(message);
        self.publisher.replace_report(report);
    }
}

enum Look {
    /// Nothing differs from what was seen before.
    Same,
    Changed {
        tree: Tree,
        fingerprint: u64,
        set: Reloaded,
    },
    Failed(TreeError),
}

fn look(path: &Path, reloader: &mut Reloader, limits: &TreeLimits, seen: Option<u64>) -> Look {
    let unchanged = match seen {
        Some(seen) => fingerprint(path, limits).map(|now| now == seen),
        None => Ok(false),
    };
    match unchanged {
        Err(error) => return Look::Failed(error),
        Ok(true) => return Look::Same,
        Ok(false) => {}
    }
    match walk(path, limits, true) {
        Err(error) => Look::Failed(error),
        Ok((tree, fingerprint)) => {
            let set = reloader.load(&tree.files, None);
            Look::Changed { tree, fingerprint, set }
        }
    }
}
