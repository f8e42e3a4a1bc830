//! Follows every configured source, each at its own pace, and publishes their union; never waits for one
//! source to hear of another.

use std::convert::Infallible;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use evenkeel_manifest::Reloader;
use evenkeel_reconciler::{DesiredState, Shutdown};
use jiff::Timestamp;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep, timeout};

use super::git::{Found, GitLook, GitReader, Revision};
use super::last_good::LastGood;
use super::publisher::Publisher;
use super::report::{ManifestsReport, SourceReport};
use super::tree::{TreeLimits, fingerprint, read};
use super::union::{Member, Reading, unite};
use super::watcher::Watcher;
use crate::config::{Config, GitConfig, SourceConfig, SourceOrigin};

/// A directory that could not be read is tried again after this long.
const RETRY_AFTER: Duration = Duration::from_secs(5);
/// A look that does not end by itself is given up this long after its own deadlines.
const GRACE: Duration = Duration::from_secs(10);
/// Hints of web hooks that come closer together than this are one.
const HINTS_APART: Duration = Duration::from_secs(2);

/// What one look at one source came to.
#[derive(Debug)]
struct Look {
    index: usize,
    read: Option<Read>,
    fault: Option<String>,
}

#[derive(Debug)]
enum Read {
    Same(Option<Revision>),
    Changed(Box<Reading>, Option<Revision>),
}

/// All sources of one daemon.
#[derive(Debug)]
pub(crate) struct Sources {
    config: Config,
    cache: PathBuf,
    /// Removed with everything in it at the end.
    _temporary: Option<TemporaryDirectory>,
    hints: Vec<Arc<Notify>>,
    members: Vec<Member>,
    reports: Vec<SourceReport>,
    /// Sources whose first look has not ended.
    awaited: usize,
    last_good: LastGood,
    publisher: Publisher,
}

impl Sources {
    pub(crate) fn new(
        config: &Config,
        desired: watch::Sender<Arc<DesiredState>>,
        report: watch::Sender<Arc<ManifestsReport>>,
    ) -> std::io::Result<Self> {
        let temporary = match &config.cache_directory {
            Some(_) => None,
            None => Some(TemporaryDirectory::new()?),
        };
        let cache = config.cache_directory.clone();
        let cache = cache.or_else(|| temporary.as_ref().map(|one| one.0.clone()));
        let member = |one: &SourceConfig| Member { name: one.name.clone(), ..Member::default() };
        let reported = |one: &SourceConfig| SourceReport::of(one);
        Ok(Self {
            cache: cache.unwrap_or_default(),
            _temporary: temporary,
            hints: config.sources.iter().map(|_| Arc::default()).collect(),
            members: config.sources.iter().map(member).collect(),
            reports: config.sources.iter().map(reported).collect(),
            awaited: config.sources.len(),
            last_good: LastGood::new(config.target.clone(), config.windows.clone()),
            publisher: Publisher::new(desired, report),
            config: config.clone(),
        })
    }

    /// By the name of a source, what makes it look at once.
    pub(crate) fn hints(&self) -> impl Iterator<Item = (&SourceConfig, Arc<Notify>)> {
        self.config.sources.iter().zip(self.hints.iter().cloned())
    }

    /// Runs until shutdown is requested.
    pub(crate) async fn run(mut self, shutdown: Shutdown) {
        let (looks, mut seen) = mpsc::channel(1);
        let mut followers = JoinSet::new();
        for (index, source) in self.config.sources.iter().enumerate() {
            let hint = self.hints.get(index).cloned().unwrap_or_default();
            self.follow(&mut followers, index, source, hint, looks.clone());
        }
        let (drain, abort) = (shutdown.drain, shutdown.abort);
        loop {
            tokio::select! {
                () = drain.cancelled() => return,
                () = abort.cancelled() => return,
                Some(look) = seen.recv() => self.take(look),
                Some(ended) = followers.join_next() => {
                    tracing::error!(?ended, "a source is not followed any more");
                    return;
                }
            }
        }
    }

    fn follow(
        &self,
        followers: &mut JoinSet<Infallible>,
        index: usize,
        source: &SourceConfig,
        hint: Arc<Notify>,
        looks: mpsc::Sender<Look>,
    ) {
        let (name, source) = (source.name.clone(), Arc::new(source.clone()));
        match source.origin.clone() {
            SourceOrigin::Directory(path) => {
                let (debounce, reread) =
                    (self.config.manifests.debounce, self.config.manifests.reread);
                let reloader = None;
                let follower =
                    Directory { index, source, path, debounce, reread, reloader, seen: None };
                followers.spawn(follower.follow(hint, looks));
            }
            SourceOrigin::Git(git) => {
                let cache = self.cache.join(&name);
                let (config, reader, late) = (*git, None, None);
                let follower = Git { index, name, source, config, cache, reader, late };
                followers.spawn(follower.follow(hint, looks));
            }
        }
    }

    fn take(&mut self, look: Look) {
        let Look { index, read, fault } = look;
        let (Some(member), Some(report)) =
            (self.members.get_mut(index), self.reports.get_mut(index))
        else {
            return;
        };
        let first = report.is_new();
        let now = Timestamp::now();
        let mut changed = first || member.fault != fault;
        match read {
            Some(Read::Changed(mut reading, revision)) => {
                changed = true;
                if let Some(before) = &member.reading {
                    reading.share_with(before);
                }
                report.switched(revision, reading.services(), now);
                member.reading = Some(Arc::from(reading));
            }
            Some(Read::Same(revision)) => report.moved(revision, now),
            None => {}
        }
        report.looked(fault.as_deref(), now);
        member.fault = fault;
        self.awaited -= usize::from(first && self.awaited > 0);
        // Before all have answered once, a service may seem to be in none of them.
        if self.awaited == 0 {
            self.publish(changed);
        }
    }

    fn publish(&mut self, changed: bool) {
        let read_at = self.reports.iter().filter_map(|one| one.read_at).max();
        if !changed {
            let before = self.publisher.report();
            let sources = self.reports.clone();
            let report = ManifestsReport { read_at, sources, ..(*before).clone() };
            return self.publisher.replace_report(report);
        }
        let united = unite(&self.members);
        let services = united.services.into_iter();
        let mut settled = self.last_good.settle(&united.tree, services, united.problems);
        let stale = self
            .reports
            .iter()
            .filter_map(|one| Some(format!("the source {}: {}", one.name, one.stale.as_ref()?)));
        let stale: Vec<String> = stale.chain(settled.stale.take()).collect();
        settled.stale = (!stale.is_empty()).then(|| stale.join("; "));
        self.publisher.publish(settled, read_at, self.reports.clone());
    }
}

struct Git {
    index: usize,
    name: String,
    source: Arc<SourceConfig>,
    config: GitConfig,
    cache: PathBuf,
    /// `None` before the first look, and while a look that was given up still has it.
    reader: Option<ManifestReader>,
    late: Option<JoinHandle<(ManifestReader, Look)>>,
}

/// What a look needs, and what the next one needs of it.
struct ManifestReader {
    git: GitReader,
    reloader: Reloader,
}

impl Git {
    async fn follow(mut self, hint: Arc<Notify>, looks: mpsc::Sender<Look>) -> Infallible {
        loop {
            let look = self.look().await;
            // The receiver ends after this task.
            let _sent = looks.send(look).await;
            let began = Instant::now();
            let interval = jittered(self.config.interval, &self.name, began);
            if timeout(interval, hint.notified()).await.is_ok() {
                // At once, unless one came just before: then all that come meanwhile are one.
                sleep(HINTS_APART.min(interval).saturating_sub(began.elapsed())).await;
            }
        }
    }

    /// At most one look is under way, however long one hangs.
    async fn look(&mut self) -> Look {
        let mut running = match (self.late.take(), self.reader.take()) {
            (Some(late), _) => late,
            (None, Some(reader)) => self.start(reader),
            (None, None) => self.start(ManifestReader {
                git: GitReader::new(self.config.clone(), &self.cache),
                reloader: Reading::reloader(&self.source),
            }),
        };
        match timeout(2 * self.config.timeout + GRACE, &mut running).await {
            Ok(Ok((reader, look))) => {
                self.reader = Some(reader);
                look
            }
            // Its reader is lost with it: the next one begins as after a restart.
            Ok(Err(error)) => self.failed(format!("reading the repository failed: {error}")),
            Err(_) => {
                self.late = Some(running);
                self.failed("a look at the repository does not end: see to the server".to_owned())
            }
        }
    }

    fn start(&self, mut reader: ManifestReader) -> JoinHandle<(ManifestReader, Look)> {
        let (index, source) = (self.index, self.source.clone());
        tokio::task::spawn_blocking(move || {
            let GitLook { found, fault } = reader.git.look();
            let read = found.map(|found| match found {
                Found::Same(revision) => Read::Same(Some(revision)),
                Found::Changed(revision, tree) => {
                    let reloader = &mut reader.reloader;
                    let reading = Reading::of(&source, reloader, tree, Some(&revision.commit));
                    Read::Changed(Box::new(reading), Some(revision))
                }
            });
            (reader, Look { index, read, fault })
        })
    }

    fn failed(&self, fault: String) -> Look {
        Look { index: self.index, read: None, fault: Some(fault) }
    }
}

/// Give or take a tenth, so that many daemons do not ask at the same moment.
fn jittered(interval: Duration, name: &str, now: Instant) -> Duration {
    let mut hasher = DefaultHasher::new();
    (name, std::process::id(), now.elapsed().as_nanos(), Timestamp::now().as_nanosecond())
        .hash(&mut hasher);
    let permille = u32::try_from(hasher.finish() % 201).unwrap_or(100);
    interval * (900 + permille) / 1000
}

struct Directory {
    index: usize,
    source: Arc<SourceConfig>,
    path: PathBuf,
    debounce: Duration,
    reread: Duration,
    /// `None` while a look has it, and after one that failed in an unforeseen way.
    reloader: Option<Reloader>,
    seen: Option<(u64, usize)>,
}

impl Directory {
    async fn follow(mut self, hint: Arc<Notify>, looks: mpsc::Sender<Look>) -> Infallible {
        let mut watcher = Watcher::default();
        loop {
            watcher.follow(&self.path);
            let look = self.look().await;
            let failed = look.fault.is_some();
            if failed {
                watcher.forget();
            }
            // The receiver ends after this task.
            let _sent = looks.send(look).await;
            let after = if failed { self.reread.min(RETRY_AFTER) } else { self.reread };
            tokio::select! {
                () = sleep(after) => {}
                () = hint.notified() => {}
                () = watcher.changed() => sleep(self.debounce).await,
            }
        }
    }

    async fn look(&mut self) -> Look {
        let (index, seen) = (self.index, self.seen);
        let (source, path) = (self.source.clone(), self.path.clone());
        let reloader = self.reloader.take();
        let look = move || {
            let mut reloader = reloader.unwrap_or_else(|| Reading::reloader(&source));
            (look_at(&source, &mut reloader, &path, seen), reloader)
        };
        let read = match tokio::task::spawn_blocking(look).await {
            Ok((read, reloader)) => {
                self.reloader = Some(reloader);
                read
            }
            Err(error) => Err(format!("reading the manifests failed: {error}")),
        };
        match read {
            Ok((read, seen)) => {
                self.seen = Some(seen);
                Look { index, read: Some(read), fault: None }
            }
            Err(fault) => Look { index, read: None, fault: Some(fault) },
        }
    }
}

/// With the fingerprint and the number of files, by which the next look knows whether anything changed.
fn look_at(
    source: &SourceConfig,
    reloader: &mut Reloader,
    path: &Path,
    seen: Option<(u64, usize)>,
) -> Result<(Read, (u64, usize)), String> {
    let limits = TreeLimits::default();
    let now = fingerprint(path, &limits).map_err(|error| error.to_string())?;
    if let Some(seen) = seen
        && seen.0 == now
    {
        return Ok((Read::Same(None), seen));
    }
    let tree = read(path, &limits).map_err(|error| error.to_string())?;
    let files = tree.files.len();
    if files == 0 && tree.unreadable.is_empty() && seen.is_some_and(|(_, before)| before > 0) {
        return Err(format!("no manifest is left in {}", path.display()));
    }
    let reading = Reading::of(source, reloader, tree, None);
    Ok((Read::Changed(Box::new(reading), None), (now, files)))
}

/// A directory that nobody else can write to, removed with everything in it.
#[derive(Debug)]
struct TemporaryDirectory(PathBuf);

impl TemporaryDirectory {
    fn new() -> std::io::Result<Self> {
        use std::os::unix::fs::DirBuilderExt;
        let now = Timestamp::now().as_nanosecond();
        let name = format!("evenkeel-{}-{now:x}", std::process::id());
        let path = std::env::temp_dir().join(name);
        // It fails where something of the name is already.
        std::fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }
}

impl Drop for TemporaryDirectory {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::debug!(path = %self.0.display(), %error, "a cache is not removed");
        }
    }
}
