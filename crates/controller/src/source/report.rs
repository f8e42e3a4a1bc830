//! What is known about the manifests as a whole, for logs, metrics and people; never about AWS.

use std::collections::BTreeSet;

use evenkeel_manifest::{Problem, Severity};
use jiff::Timestamp;
use serde::Serialize;

use super::git::Revision;
use crate::config::{GitUrl, SourceConfig, SourceOrigin};

/// The newest state of the manifests.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ManifestsReport {
    /// Services in force.
    pub services: usize,
    /// Services whose newest manifest is bad.
    pub invalid: usize,
    /// Services of other targets, which other daemons take care of.
    pub elsewhere: usize,
    pub problems: Vec<Problem>,
    /// Why what is in force is not what the directory says, as a whole.
    pub stale: Option<String>,
    /// When the directory was last read; `None` before the first time.
    pub read_at: Option<Timestamp>,
    /// Each configured source; empty where there is only `manifests.path`.
    pub sources: Vec<SourceReport>,
}

/// What is known about one source.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceReport {
    pub name: String,
    /// Its URL or directory; there is no secret in it.
    pub from: String,
    /// The directory of the repository that is read; empty for all of it.
    pub path: String,
    /// What is in force of a repository; `None` of a directory, and before the first time.
    pub revision: Option<Revision>,
    /// Since when.
    pub since: Option<Timestamp>,
    /// Good manifests in what is in force, those of other targets among them.
    pub services: usize,
    /// When it was last read successfully.
    pub read_at: Option<Timestamp>,
    /// Why what is in force is not the newest.
    pub stale: Option<String>,
    /// Looks that failed since the start.
    pub failures: u64,
}

impl SourceReport {
    pub(super) fn of(source: &SourceConfig) -> Self {
        let (from, path) = match &source.origin {
            SourceOrigin::Directory(path) => (path.display().to_string(), ""),
            SourceOrigin::Git(git) => match &git.url {
                GitUrl::Http(url) | GitUrl::Ssh(url) | GitUrl::Daemon(url) => {
                    (url.clone(), git.path.as_str())
                }
                GitUrl::Local(path) => (path.display().to_string(), git.path.as_str()),
            },
        };
        Self { name: source.name.clone(), from, path: path.to_owned(), ..Self::default() }
    }

    /// Whether no look has ended yet.
    pub(super) fn is_new(&self) -> bool {
        self.read_at.is_none() && self.failures == 0
    }

    pub(super) fn switched(&mut self, revision: Option<Revision>, services: usize, now: Timestamp) {
        let commit = revision.as_ref().map(|one| one.commit.as_str());
        tracing::info!(source_name = self.name, commit, services, "a source is in force anew");
        (self.revision, self.services, self.since) = (revision, services, Some(now));
    }

    /// To another commit that says the same, or to none.
    pub(super) fn moved(&mut self, revision: Option<Revision>, now: Timestamp) {
        if self.revision != revision {
            let commit = revision.as_ref().map(|one| one.commit.as_str());
            tracing::info!(
                source_name = self.name,
                commit,
                "a source moved on, its manifests did not"
            );
            (self.revision, self.since) = (revision, Some(now));
        }
    }

    pub(super) fn looked(&mut self, fault: Option<&str>, now: Timestamp) {
        match fault {
            None => (self.read_at, self.stale) = (Some(now), None),
            Some(fault) => {
                self.failures += 1;
                let kept = match (&self.revision, self.since) {
                    (Some(one), _) => format!("the commit {} stays in force", one.commit),
                    (None, Some(_)) => "the services read before stay in force".to_owned(),
                    (None, None) => "it has never been read".to_owned(),
                };
                self.stale = Some(format!("{fault}; {kept}"));
            }
        }
    }
}

impl ManifestsReport {
    /// Whether manifests are in force, be it those of before a restart: it is known which services they name.
    pub(crate) fn is_in_force(&self) -> bool {
        self.read_at.is_some() || self.sources.iter().any(|source| source.since.is_some())
    }

    pub fn count(&self, severity: Severity) -> usize {
        self.problems.iter().filter(|problem| problem.severity == severity).count()
    }
}

/// Ten thousand bad files must not become ten thousand lines a look.
const LINES_MAX: usize = 50;

/// One line for each problem that is new, and one for what has become good.
pub(crate) fn log_difference(before: &ManifestsReport, now: &ManifestsReport) {
    log_stale(before.stale.as_deref(), now.stale.as_deref());
    log_problems(&before.problems, &now.problems);
    let loaded = |report: &ManifestsReport| (report.services, report.invalid, report.elsewhere);
    let first = before.read_at.is_none() && now.read_at.is_some();
    if first || loaded(before) != loaded(now) {
        tracing::info!(
            services = now.services,
            invalid = now.invalid,
            elsewhere = now.elsewhere,
            "manifests loaded"
        );
    }
}

fn log_stale(before: Option<&str>, now: Option<&str>) {
    match (before, now) {
        (before, Some(why)) if before != Some(why) => {
            tracing::error!(why, "the manifests there are do not say what is wanted");
        }
        (Some(_), None) => tracing::info!("the manifests can be read again"),
        _ => {}
    }
}

fn log_problems(before: &[Problem], now: &[Problem]) {
    let old: BTreeSet<String> = before.iter().map(ToString::to_string).collect();
    let new: Vec<&Problem> = now.iter().filter(|p| !old.contains(&p.to_string())).collect();
    for problem in new.iter().take(LINES_MAX) {
        log_problem(problem);
    }
    if new.len() > LINES_MAX {
        tracing::error!(more = new.len() - LINES_MAX, "there are more problems in the manifests");
    }
    if now.is_empty() && !before.is_empty() {
        tracing::info!("all manifests are good again");
    }
}

fn log_problem(problem: &Problem) {
    let service = problem.service.as_ref().map(ToString::to_string);
    match problem.severity {
        Severity::Error => tracing::error!(service, %problem, "bad manifest"),
        Severity::Warning => tracing::warn!(service, %problem, "questionable manifest"),
    }
}
