//! What single files said, and what follows from all of them together; never reads a file.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::environments::{Selected, idle};
use super::{Loader, shared_groups};
use crate::node::{Cursor, Position};
use crate::{Problem, Service, ServiceKey, Severity};

/// What one file said by itself.
#[derive(Clone, Debug, Default)]
pub(super) struct Said {
    pub(super) services: Vec<Arc<Service>>,
    pub(super) problems: Vec<Problem>,
    /// What is wrong with the file as such and with documents that are no manifests; forgotten when a
    /// manifest includes the file, for then it is said of that manifest.
    pub(super) strays: Vec<Problem>,
    /// The names of the files that its manifests took something from.
    pub(super) included: Vec<Arc<str>>,
    pub(super) claims: Vec<(ServiceKey, Claim)>,
    pub(super) environments: Vec<(String, Claim)>,
    /// Of the environment in use, what was of use.
    pub(super) overlays: Vec<usize>,
    pub(super) variables: Vec<Arc<str>>,
}

/// A document that says what it is: the manifest of some service, or some environment.
#[derive(Clone, Debug)]
pub(super) struct Claim {
    file: Arc<str>,
    position: Position,
}

impl Claim {
    pub(super) fn of(root: &Cursor<'_>) -> Self {
        Self { file: Arc::clone(root.file), position: root.position }
    }
}

impl Said {
    pub(super) fn claim(&mut self, key: Option<ServiceKey>, root: &Cursor<'_>) {
        self.claims.extend(key.map(|key| (key, Claim::of(root))));
    }
}

/// What all files said, in their order.
#[derive(Debug, Default)]
pub(super) struct Together {
    services: Vec<Arc<Service>>,
    problems: Vec<Problem>,
    pub(super) strays: Vec<Problem>,
    included: BTreeSet<Arc<str>>,
    claims: BTreeMap<ServiceKey, Vec<Claim>>,
    environments: BTreeMap<String, Vec<Claim>>,
    overlays: BTreeSet<usize>,
    variables: BTreeSet<Arc<str>>,
}

/// What follows: each service has one manifest.
#[derive(Debug)]
pub(super) struct Whole {
    pub(super) services: Vec<Arc<Service>>,
    pub(super) problems: Vec<Problem>,
    pub(super) environments: BTreeSet<String>,
}

impl Together {
    pub(super) fn add(&mut self, said: Said) {
        self.services.extend(said.services);
        self.problems.extend(said.problems);
        self.strays.extend(said.strays);
        self.included.extend(said.included);
        for (key, claim) in said.claims {
            self.claims.entry(key).or_default().push(claim);
        }
        for (name, claim) in said.environments {
            self.environments.entry(name).or_default().push(claim);
        }
        self.overlays.extend(said.overlays);
        self.variables.extend(said.variables);
    }

    pub(super) fn finish(mut self, loader: &Loader<'_, '_>) -> Whole {
        self.reject_double_claims();
        if let Selected::Found(environment) = &loader.selected {
            self.problems.extend(idle(environment, &self.overlays, &self.variables));
        }
        let shared = shared_groups(&self.services);
        let keys: BTreeSet<&ServiceKey> =
            shared.iter().filter_map(|one| one.service.as_ref()).collect();
        self.services.retain(|service| !keys.contains(&service.key));
        self.problems.extend(shared);
        let included = self.included;
        let strays = self.strays.into_iter().filter(|one| !included.contains(&one.file));
        self.problems.extend(strays);
        let order = loader.files.order();
        self.problems.sort_by_key(|problem| {
            let file = order.get(&*problem.file).copied();
            (file, problem.line, problem.column, problem.severity)
        });
        let environments = self.environments.into_keys().collect();
        Whole { services: self.services, problems: self.problems, environments }
    }

    fn reject_double_claims(&mut self) {
        self.claims.retain(|_, claims| claims.len() > 1);
        self.services.retain(|service| !self.claims.contains_key(&service.key));
        for (key, claims) in &self.claims {
            let what = format!("the service {key} also has a manifest");
            self.problems.extend(conflicts(&what, Some(key), claims));
        }
        for (name, claims) in self.environments.iter().filter(|(_, claims)| claims.len() > 1) {
            let what = format!("the environment {name} is also written");
            self.problems.extend(conflicts(&what, None, claims));
        }
    }
}

/// One problem for each of several documents about the same, each naming the others.
fn conflicts(what: &str, key: Option<&ServiceKey>, claims: &[Claim]) -> Vec<Problem> {
    let conflict = |(index, claim): (usize, &Claim)| {
        let others: Vec<String> = claims
            .iter()
            .enumerate()
            .filter(|(other, _)| *other != index)
            .take(5)
            .map(|(_, other)| format!("{}:{}", other.file, other.position.line))
            .collect();
        Problem {
            file: Arc::clone(&claim.file),
            line: claim.position.line,
            column: claim.position.column,
            path: String::new(),
            message: format!("{what} at {}: all are rejected, keep one", others.join(", ")),
            severity: Severity::Error,
            service: key.cloned(),
        }
    };
    claims.iter().enumerate().map(conflict).collect()
}
