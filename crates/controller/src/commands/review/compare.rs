//! The services of two revisions side by side; never takes a service whose manifest has an error for one that is gone.

use std::collections::{BTreeMap, BTreeSet};

use evenkeel_manifest::{Problem, Service, ServiceKey, Severity};
use evenkeel_planner::{Change, Forecast, forecast, revised};

use crate::cli::Exit;

/// What one revision says.
#[derive(Debug)]
pub(super) struct Side {
    pub commit: String,
    pub files: usize,
    pub problems: Vec<Problem>,
    pub services: Vec<Service>,
}

/// What becomes of the services from one revision to the other.
#[derive(Debug)]
pub(super) struct Review {
    pub from: String,
    pub to: String,
    pub files: usize,
    pub services: usize,
    /// Those that differ.
    pub revised: BTreeMap<ServiceKey, RevisedService>,
    /// Of the newer revision.
    pub problems: Vec<Problem>,
    /// How many errors the older revision has.
    pub errors_before: usize,
}

#[derive(Debug)]
pub(super) struct RevisedService {
    pub kind: Kind,
    pub changes: Vec<Change>,
    pub forecast: Forecast,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Added,
    /// Added with the very content of one that is removed.
    RenamedFrom(String),
    Changed,
    Removed,
    /// Valid before, and not now.
    Invalid,
}

impl Review {
    pub(super) fn of(from: Side, to: Side) -> Self {
        let by_key = |services: &[Service]| -> BTreeMap<ServiceKey, Service> {
            services.iter().map(|service| (service.key.clone(), service.clone())).collect()
        };
        let (old, new) = (by_key(&from.services), by_key(&to.services));
        let mut review = Self {
            files: from.files + to.files + from.problems.len() + to.problems.len(),
            services: old.keys().chain(new.keys()).collect::<BTreeSet<_>>().len(),
            revised: BTreeMap::new(),
            errors_before: errors(&from.problems).count(),
            from: from.commit,
            to: to.commit,
            problems: to.problems,
        };
        for (key, service) in &new {
            let revised = new_or_changed(service, &old, &new);
            review.revised.extend(revised.map(|revised| (key.clone(), revised)));
        }
        for (key, service) in old.iter().filter(|(key, _)| !new.contains_key(key)) {
            let kind = if review.is_invalid(service) { Kind::Invalid } else { Kind::Removed };
            let gone = RevisedService { kind, changes: Vec::new(), forecast: Forecast::default() };
            review.revised.insert(key.clone(), gone);
        }
        review
    }

    /// Whether an error may be why the service is not there.
    fn is_invalid(&self, service: &Service) -> bool {
        errors(&self.problems).any(|problem| {
            problem.service.as_ref() == Some(&service.key) || problem.file == service.source.file
        })
    }

    pub(super) fn exit(&self) -> Exit {
        if errors(&self.problems).next().is_some() {
            Exit::Bad
        } else if self.revised.is_empty() {
            Exit::Done
        } else {
            Exit::Changes
        }
    }

    pub(super) fn errors(&self) -> usize {
        errors(&self.problems).count()
    }
}

fn errors(problems: &[Problem]) -> impl Iterator<Item = &Problem> {
    problems.iter().filter(|problem| problem.severity == Severity::Error)
}

fn new_or_changed(
    service: &Service,
    old: &BTreeMap<ServiceKey, Service>,
    new: &BTreeMap<ServiceKey, Service>,
) -> Option<RevisedService> {
    let before = old.get(&service.key);
    let changes = revised(before, service).changes;
    let kind = match before {
        Some(_) if changes.is_empty() => return None,
        Some(_) => Kind::Changed,
        None => {
            let is_it = |one: &&Service| !new.contains_key(&one.key) && is_same(one, service);
            let renamed = old.values().find(is_it).map(|one| one.key.to_string());
            renamed.map_or(Kind::Added, Kind::RenamedFrom)
        }
    };
    Some(RevisedService { kind, changes, forecast: forecast(before, service) })
}

/// Whether the two differ in their name or place alone.
fn is_same(one: &Service, other: &Service) -> bool {
    one.revision_digest == other.revision_digest && one.service == other.service
}
