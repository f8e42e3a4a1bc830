//! Says that something changed below a directory; never says what, and never misses more than the
//! next regular look.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode};
use tokio::sync::watch;

/// A watch on one directory that follows it when it is replaced.
#[derive(Debug)]
pub(super) struct Watcher {
    changes: watch::Sender<u64>,
    seen: watch::Receiver<u64>,
    watched: Option<Watched>,
    /// So that the reason why nothing can be watched is logged once and not at every try.
    complained: bool,
}

#[derive(Debug)]
struct Watched {
    /// Device and inode: a directory that was replaced has the same path and is another one.
    identity: (u64, u64),
    _watcher: RecommendedWatcher,
}

impl Default for Watcher {
    fn default() -> Self {
        let (changes, seen) = watch::channel(0);
        Self { changes, seen, watched: None, complained: false }
    }
}

impl Watcher {
    /// Begins to watch, unless this very directory is watched already.
    pub(super) fn follow(&mut self, path: &Path) {
        let Ok(metadata) = path.metadata() else {
            self.forget();
            return;
        };
        let identity = (metadata.dev(), metadata.ino());
        if self.watched.as_ref().is_some_and(|watched| watched.identity == identity) {
            return;
        }
        match start(path, self.changes.clone()) {
            Ok(watcher) => {
                self.watched = Some(Watched { identity, _watcher: watcher });
                self.complained = false;
            }
            Err(error) => self.complain(path, &error),
        }
    }

    pub(super) fn forget(&mut self) {
        self.watched = None;
    }

    pub(super) fn is_watching(&self) -> bool {
        self.watched.is_some()
    }

    /// Ends after a change that happened since it last ended. Cancel-safe.
    pub(super) async fn changed(&mut self) {
        // The sender lives in `self`, so the channel cannot be closed.
        let _never_closed = self.seen.changed().await;
    }

    fn complain(&mut self, path: &Path, error: &notify::Error) {
        self.watched = None;
        if !self.complained {
            tracing::warn!(
                path = %path.display(),
                %error,
                "the directory cannot be watched and is read every few seconds instead"
            );
            self.complained = true;
        }
    }
}

fn start(path: &Path, changes: watch::Sender<u64>) -> notify::Result<RecommendedWatcher> {
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
        if event.as_ref().map_or(true, is_change) {
            changes.send_modify(|count| *count = count.wrapping_add(1));
        }
    })?;
    // A link is resolved here, because watching the link itself would see nothing.
    let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    notify::Watcher::watch(&mut watcher, &real, RecursiveMode::Recursive)?;
    // Tools that check out a repository swap such a link, which only its own directory shows.
    if let Some(parent) = path.parent().filter(|_| path.is_symlink()) {
        let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        notify::Watcher::watch(&mut watcher, parent, RecursiveMode::NonRecursive)?;
    }
    Ok(watcher)
}

/// Our own reading opens files; only what may change content counts.
fn is_change(event: &Event) -> bool {
    match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Access(_) => false,
        _ => true,
    }
}
