//! Tells git hosting how the commit in force of each source fares; never decides by it, and never waits for it.

mod hosting;
mod standing;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use evenkeel_reconciler::{DesiredState, Shutdown, StatusBoard};
use prometheus::{IntCounterVec, Opts, Registry};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use crate::config::{CommitStatusConfig, Config};
use crate::outside::web::Web;
use crate::source::ManifestsReport;
use hosting::request;
use standing::{Standing, standing};

/// Statuses of a fleet change many at a time.
const QUIET: Duration = Duration::from_secs(2);
/// The first delay after a failure; it doubles up to the second.
const RETRY_FIRST: Duration = Duration::from_secs(10);
const RETRY_MAX: Duration = Duration::from_mins(10);
const TIMEOUT: Duration = Duration::from_secs(10);

/// What is told of one source.
struct Told {
    source: String,
    /// Tells apart who tells.
    context: String,
    config: CommitStatusConfig,
    /// What hosting took last: the commit and how it fared.
    last: Option<(String, Standing)>,
    failures: u32,
    again_at: Option<Instant>,
}

/// Reports of all sources that want it.
pub(crate) struct CommitStatuses {
    web: Web,
    told: Vec<Told>,
    report: watch::Receiver<Arc<ManifestsReport>>,
    desired: watch::Receiver<Arc<DesiredState>>,
    board: Arc<StatusBoard>,
    sent: IntCounterVec,
}

impl CommitStatuses {
    /// `None` when nobody is to be told.
    pub(crate) fn new(
        config: &Config,
        report: watch::Receiver<Arc<ManifestsReport>>,
        desired: watch::Receiver<Arc<DesiredState>>,
        board: Arc<StatusBoard>,
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
                    last: None,
                    failures: 0,
                    again_at: None,
                })
            })
            .collect();
        if told.is_empty() {
            return Ok(None);
        }
        let web = Web::new().map_err(|error| error.to_string())?;
        Ok(Some(Self { web, told, report, desired, board, sent }))
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
            self.tell_all().await;
            let retry = self.told.iter().filter_map(|one| one.again_at).min();
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

    async fn tell_all(&mut self) {
        let report = self.report.borrow_and_update().clone();
        let desired = self.desired.borrow_and_update().clone();
        let commits: BTreeMap<&str, &str> = report
            .sources
            .iter()
            .filter_map(|one| Some((one.name.as_str(), one.revision.as_ref()?.commit.as_str())))
            .collect();
        for one in &mut self.told {
            let Some(commit) = commits.get(one.source.as_str()) else { continue };
            let board = &self.board;
            let found = standing(&one.source, &report.problems, &desired, |key| board.get(key));
            let now = ((*commit).to_owned(), found);
            let waits = one.again_at.is_some_and(|at| at > Instant::now());
            if one.last.as_ref() == Some(&now) || waits {
                continue;
            }
            let result = one.tell(&self.web, &now).await;
            let word = if result.is_ok() { "taken" } else { "failed" };
            self.sent.with_label_values(&[one.source.as_str(), word]).inc();
            one.after(now, result);
        }
    }
}

impl Told {
    async fn tell(&self, web: &Web, (commit, standing): &(String, Standing)) -> Result<(), String> {
        let token = self.config.token.as_ref().map(super::config::Secret::read).transpose()?;
        let token = token.unwrap_or_default();
        let request = request(&self.config, &token, &self.context, commit, standing);
        let body = request.body.to_string().into_bytes();
        let (status, _) = web.post(&request.url, &request.headers, body, TIMEOUT).await?;
        if status.is_success() {
            return Ok(());
        }
        let remedy = match status.as_u16() {
            401 | 403 => ": see to the token and what it may write",
            404 | 422 => ": see to commitStatus.url and commitStatus.repository",
            _ => "",
        };
        Err(format!("it answered {status}{remedy}"))
    }

    fn after(&mut self, told: (String, Standing), result: Result<(), String>) {
        match result {
            Ok(()) => (self.last, self.failures, self.again_at) = (Some(told), 0, None),
            Err(why) => {
                let delay = RETRY_FIRST.saturating_mul(1 << self.failures.min(10)).min(RETRY_MAX);
                tracing::warn!(
                    source_name = self.source, commit = told.0, why,
                    again_in = ?delay, "git hosting was not told how a commit fares"
                );
                self.failures += 1;
                self.again_at = Some(Instant::now() + delay);
            }
        }
    }
}

#[cfg(test)]
mod tests;
