//! What is known about the manifests as a whole, for logs, metrics and people; never about AWS.

use std::collections::BTreeSet;

use evenkeel_manifest::{Problem, Severity};
use jiff::Timestamp;
use serde::Serialize;

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
}

impl ManifestsReport {
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
            tracing::error!(why, "the directory of manifests does not say what is wanted");
        }
        (Some(_), None) => tracing::info!("the directory of manifests is good again"),
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
