//! Which services may go when no manifest names them any more; none at all unless clusters are named.

use std::time::Duration;

use evenkeel_manifest::Pattern;
use evenkeel_planner::PruneTerms;
use evenkeel_reconciler::PruneSettings;
use jiff::fmt::serde::unsigned_duration::friendly::compact::required as friendly;
use serde::{Deserialize, Serialize};

use super::ConfigProblem;
use super::raw::whole;

/// The grant as it is written down. Without clusters nothing is granted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct RawPrune {
    pub clusters: Vec<String>,
    pub services: Vec<String>,
    #[serde(with = "friendly")]
    pub grace: Duration,
    #[serde(with = "friendly")]
    pub keep: Duration,
    #[serde(deserialize_with = "whole")]
    pub max_percent: usize,
    #[serde(deserialize_with = "whole")]
    pub max_services: usize,
}

impl Default for RawPrune {
    fn default() -> Self {
        Self {
            clusters: Vec::new(),
            services: vec!["*".to_owned()],
            grace: Duration::from_mins(15),
            keep: Duration::from_hours(24),
            max_percent: 10,
            max_services: 5,
        }
    }
}

const NAMES: &str = "names of letters, digits, `_` and `-`, in which `*` stands for any characters";
const WEEK: Duration = Duration::from_hours(7 * 24);

/// `None` when nothing is granted; with everything that is wrong.
pub(super) fn read(raw: &RawPrune) -> (Option<PruneSettings>, Vec<ConfigProblem>) {
    let mut problems = Vec::new();
    let mut need = |holds: bool, key: &str, expected: &str| {
        if !holds {
            problems.push(ConfigProblem::new(key, format!("expected {expected}")));
        }
    };
    let patterns = |texts: &[String]| -> Vec<Pattern> {
        texts.iter().filter_map(|text| Pattern::of_names(text)).collect()
    };
    let (clusters, services) = (patterns(&raw.clusters), patterns(&raw.services));
    need(clusters.len() == raw.clusters.len(), "prune.clusters", NAMES);
    need(services.len() == raw.services.len(), "prune.services", NAMES);
    need((Duration::from_mins(1)..=WEEK).contains(&raw.grace), "prune.grace", "between 1m and 7d");
    let least = PruneTerms::KEEP_LEAST.unsigned_abs();
    need((least..=WEEK * 13).contains(&raw.keep), "prune.keep", "between 24h and 91d");
    need((1..=100).contains(&raw.max_percent), "prune.maxPercent", "between 1 and 100");
    need((1..=1000).contains(&raw.max_services), "prune.maxServices", "between 1 and 1000");
    let settings = PruneSettings {
        clusters,
        services,
        grace: raw.grace,
        keep: raw.keep,
        percent_max: raw.max_percent,
        services_max: raw.max_services,
    };
    let is_granted = problems.is_empty() && !raw.clusters.is_empty();
    (is_granted.then_some(settings), problems)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_granted_before_a_cluster_is_named() {
        assert_eq!(read(&RawPrune::default()), (None, vec![]));
        let raw = RawPrune { clusters: vec!["staging*".to_owned()], ..RawPrune::default() };
        let (settings, problems) = read(&raw);
        assert_eq!(problems, vec![]);
        assert_eq!(settings.unwrap().keep, Duration::from_hours(24));
    }

    #[test]
    fn everything_that_is_wrong_is_told_and_grants_nothing() {
        let raw = RawPrune {
            clusters: vec!["a/b".to_owned()],
            services: vec![String::new()],
            grace: Duration::ZERO,
            keep: Duration::from_hours(23),
            max_percent: 0,
            max_services: 0,
        };
        let (settings, problems) = read(&raw);
        assert_eq!(settings, None);
        let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
        let keys = ["clusters", "services", "grace", "keep", "maxPercent", "maxServices"];
        assert_eq!(told.len(), keys.len(), "{told:?}");
        for (told, key) in told.iter().zip(keys) {
            assert!(told.contains(&format!("prune.{key}")), "{told}");
        }
    }
}
