//! Tells git hosting how the commit in force of each source fares; never decides by it, and never waits for it.

mod hosting;
mod standing;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use evenkeel_reconciler::{DesiredState, Shutdown, StatusBoard};
use hyper::StatusCode;
use prometheus::{IntCounterVec, Opts, Registry};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use crate::config::{CommitStatusConfig, Config};
use crate::outside::web::Web;
use crate::replica::Replica;
use crate::source::ManifestsReport;
use hosting::{has_it_already, request, takes_no_more};
use standing::{Scope, Standing, State, standing};

/// Statuses of a fleet change many at a time.
const QUIET: Duration = Duration::from_secs(2);
/// The first delay after a failure; it doubles up to the second.
const RETRY_FIRST: Duration = Duration::from_secs(10);
const RETRY_MAX: Duration = Duration::from_mins(10);
const TIMEOUT: Duration = Duration::from_secs(10);
/// How far apart the same state is told in other words.
const WORDS_EVERY: Duration = Duration::from_mins(10);
/// Other words alone are not told any more of a commit of which was told so often: hosting takes a limited number, and
/// how it ends is to be among them.
const TELLINGS_OF_WORDS: u32 = 100;

/// What is told of one source.
struct Told {
    source: String,
    /// Tells apart who tells.
    context: String,
    config: CommitStatusConfig,
    /// What hosting knows, by cluster where replicas share the clusters.
    known: BTreeMap<Option<String>, Known>,
}

/// What hosting knows under one context.
#[derive(Default)]
struct Known {
    /// What it took last: the commit and how it fared. `None` also after a failure: what gave no answer may
    /// have been taken.
    last: Option<(String, Standing)>,
    /// What failed last; another commit or state does not wait for it.
    failed: Option<(String, State)>,
    /// Of that, in a row.
    failures: u32,
    again_at: Option<Instant>,
    /// What the rest is about.
    commit: String,
    /// How often it was told of, whether that was taken or not, and when last.
    tellings: u32,
    told_at: Option<Instant>,
    /// When the other words that there are now are told.
    words_at: Option<Instant>,
    /// Hosting takes no more of it.
    is_full: bool,
}

/// Why hosting did not take a status.
#[derive(Debug, thiserror::Error)]
enum Untold {
    #[error("{0}")]
    ForNow(String),
    #[error(
        "it answered {0}: it has as many statuses of this commit under this name as it takes; push \
         another commit, which is told of again"
    )]
    Full(StatusCode),
}

impl From<String> for Untold {
    fn from(why: String) -> Self {
        Self::ForNow(why)
    }
}

/// Reports of all sources that want it.
pub(crate) struct CommitStatuses {
    web: Web,
    told: Vec<Told>,
    report: watch::Receiver<Arc<ManifestsReport>>,
    desired: watch::Receiver<Arc<DesiredState>>,
    board: Arc<StatusBoard>,
    /// Knows the services of its own clusters alone; `None` for the only daemon.
    replica: Option<Replica>,
    sent: IntCounterVec,
}

impl CommitStatuses {
    /// `None` when nobody is to be told.
    pub(crate) fn new(
        config: &Config,
        (report, desired): (
            watch::Receiver<Arc<ManifestsReport>>,
            watch::Receiver<Arc<DesiredState>>,
        ),
        board: Arc<StatusBoard>,
        replica: Option<Replica>,
        registry: &Registry,
    ) -> Result<Option<Self>, String> {
        let sent = IntCounterVec::new(
            Opts::new(
                "evenkeel_commit_statuses_total",
                "Statuses of commits that git hosting was told, by source and by how that went.",
            ),
            &["source", "result"],
        )
        .and_then(|sent| registry.register(Box::new(sent.clone())).map(|()| sent))
        .map_err(|error| error.to_string())?;
        let told: Vec<Told> = config
            .sources
            .iter()
            .filter_map(|one| {
                let config_of_it = one.commit_status.clone()?;
                Some(Told {
                    source: one.name.clone(),
                    context: format!("evenkeel/{}/{}", config.instance, one.name),
                    config: config_of_it,
                    known: BTreeMap::new(),
                })
            })
            .collect();
        if told.is_empty() {
            return Ok(None);
        }
        let web = Web::new().map_err(|error| error.to_string())?;
        Ok(Some(Self { web, told, report, desired, board, replica, sent }))
    }

    /// Runs until shutdown is requested.
    pub(crate) async fn run(mut self, shutdown: Shutdown) {
        tokio::select! {
            () = shutdown.drain.cancelled() => {}
            () = shutdown.abort.cancelled() => {}
            never = self.follow() => match never {},
        }
    }

    async fn follow(&mut self) -> std::convert::Infallible {
        let mut statuses = self.board.changed();
        loop {
            let held = self.replica.as_ref().map(Replica::clusters);
            let began = Instant::now();
            self.tell_all(held.as_deref()).await;
            let retry = self.retry_at(began);
            let retry = async {
                match retry {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = statuses.changed() => sleep(QUIET).await,
                _ = self.report.changed() => sleep(QUIET).await,
                () = retry => {}
            }
        }
    }

    /// When a failure, or other words, that the telling which began then has left are told. What was due by then and has not
    /// been told is wanted no more: its time would be over for ever.
    fn retry_at(&self, began: Instant) -> Option<Instant> {
        let known = self.told.iter().flat_map(|one| one.known.values());
        let due = known.flat_map(|one| [one.again_at, one.words_at]).flatten();
        due.filter(|at| *at > began).min()
    }

    /// `held` are the clusters of this replica among others.
    async fn tell_all(&mut self, held: Option<&[String]>) {
        let report = self.report.borrow_and_update().clone();
        let desired = self.desired.borrow_and_update().clone();
        let commits: BTreeMap<&str, &str> = report
            .sources
            .iter()
            .filter_map(|one| Some((one.name.as_str(), one.revision.as_ref()?.commit.as_str())))
            .collect();
        for one in &mut self.told {
            let Some(commit) = commits.get(one.source.as_str()) else { continue };
            let clusters = clusters_told_of(&one.source, &desired, held);
            // Of what another replica looks after meanwhile it tells, so hosting knows something else by now.
            one.known.retain(|cluster, _| clusters.contains(cluster));
            for cluster in clusters {
                let scope = Scope { source: &one.source, cluster: cluster.as_deref() };
                let board = &self.board;
                let found = standing(scope, &report.problems, &desired, |key| board.get(key));
                let now = ((*commit).to_owned(), found);
                if one.known.get_mut(&cluster).is_some_and(|known| known.needs_no(&now)) {
                    continue;
                }
                let result = one.tell(&self.web, cluster.as_deref(), &now).await;
                let word = if result.is_ok() { "taken" } else { "failed" };
                self.sent.with_label_values(&[one.source.as_str(), word]).inc();
                one.after(cluster, now, result);
            }
        }
    }
}

/// Each replica tells of its own clusters; of a source that wants no service, or by the only daemon, all is told
/// as one.
fn clusters_told_of(
    source: &str,
    desired: &DesiredState,
    held: Option<&[String]>,
) -> BTreeSet<Option<String>> {
    let wanted: BTreeSet<&String> =
        Scope { source, cluster: None }.services(desired).map(|one| &one.key.cluster).collect();
    match held {
        Some(held) if !wanted.is_empty() => {
            held.iter().filter(|one| wanted.contains(one)).cloned().map(Some).collect()
        }
        _ => BTreeSet::from([None]),
    }
}

/// Whether it is about that commit in that state, in whatever words.
fn is_of(told: &(String, Standing), (commit, state): &(String, State)) -> bool {
    told.0 == *commit && told.1.state == *state
}

impl Known {
    fn needs_no(&mut self, now: &(String, Standing)) -> bool {
        self.words_at = None;
        let failed = self.failed.as_ref().is_some_and(|failed| is_of(now, failed));
        let waits = failed && self.again_at.is_some_and(|at| at > Instant::now());
        let is_full = self.is_full && self.commit == now.0;
        is_full || waits || self.last.as_ref() == Some(now) || self.keeps_the_words(now)
    }

    /// Whether only the words are others, and their time has not come.
    fn keeps_the_words(&mut self, now: &(String, Standing)) -> bool {
        let is_same = |last: &(String, Standing)| is_of(now, &(last.0.clone(), last.1.state));
        if !self.last.as_ref().is_some_and(is_same) {
            return false;
        }
        if self.tellings >= TELLINGS_OF_WORDS {
            return true;
        }
        let at = self.told_at.map(|at| at + WORDS_EVERY);
        self.words_at = at.filter(|at| *at > Instant::now());
        self.words_at.is_some()
    }

    fn told_of(&mut self, commit: &str) {
        if self.commit != commit {
            (self.commit, self.tellings) = (commit.to_owned(), 0);
        }
        self.tellings = self.tellings.saturating_add(1);
        self.told_at = Some(Instant::now());
        self.is_full = false;
    }

    fn forget_failures(&mut self) {
        (self.failed, self.failures, self.again_at) = (None, 0, None);
    }

    /// How long it takes until it is told again.
    fn failed(&mut self, (commit, standing): (String, Standing)) -> Duration {
        let told = (commit, standing.state);
        if self.failed.as_ref() != Some(&told) {
            self.failures = 0;
        }
        let delay = RETRY_FIRST.saturating_mul(1 << self.failures.min(10)).min(RETRY_MAX);
        (self.last, self.failed) = (None, Some(told));
        self.failures += 1;
        self.again_at = Some(Instant::now() + delay);
        delay
    }
}

impl Told {
    async fn tell(
        &self,
        web: &Web,
        cluster: Option<&str>,
        (commit, standing): &(String, Standing),
    ) -> Result<(), Untold> {
        let context = match cluster {
            Some(cluster) => format!("{}/{cluster}", self.context),
            None => self.context.clone(),
        };
        let token = self.config.token.as_ref().map(super::config::Secret::read).transpose()?;
        let token = token.unwrap_or_default();
        let request = request(&self.config, &token, &context, commit, standing);
        let body = request.body.to_string().into_bytes();
        let (status, answer) = web.post(&request.url, &request.headers, body, TIMEOUT).await?;
        let has_it = || has_it_already(self.config.kind, status, &answer, standing.state);
        if status.is_success() || has_it() {
            return Ok(());
        }
        if takes_no_more(self.config.kind, status, &answer) {
            return Err(Untold::Full(status));
        }
        let remedy = match status.as_u16() {
            401 | 403 => ": see to the token and what it may write",
            404 | 422 => ": see to commitStatus.url and commitStatus.repository",
            _ => "",
        };
        Err(Untold::ForNow(format!("it answered {status}{remedy}")))
    }

    fn after(
        &mut self,
        cluster: Option<String>,
        told: (String, Standing),
        result: Result<(), Untold>,
    ) {
        let known = self.known.entry(cluster).or_default();
        known.told_of(&told.0);
        match result {
            Ok(()) => {
                known.forget_failures();
                known.last = Some(told);
            }
            Err(why @ Untold::Full(_)) => {
                tracing::warn!(
                    source_name = self.source, commit = told.0, %why,
                    "git hosting is told no more how a commit fares"
                );
                known.forget_failures();
                (known.last, known.is_full) = (None, true);
            }
            Err(why) => {
                let commit = told.0.clone();
                let delay = known.failed(told);
                tracing::warn!(
                    source_name = self.source, commit, %why,
                    again_in = ?delay, "git hosting was not told how a commit fares"
                );
            }
        }
    }
}

#[cfg(test)]
mod tests;
