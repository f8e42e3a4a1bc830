//! All files of a manifest set at once: every valid service, every problem; never lets one document
//! spoil another.

mod document;
mod included;
mod shared;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::envelope::{Recognised, recognise};
use crate::node::{Cursor, Kind, Node, Position};
use crate::problem::Report;
use crate::reader::{self, Fault};
use crate::{Limits, Problem, Service, ServiceKey, Severity};
pub(crate) use document::described;
pub(crate) use included::{Files, PathError};

pub use included::included_paths;

/// A file by the name that problems show and that `taskDefinition.file` is resolved against, with
/// `/` between directories.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    pub name: Arc<str>,
    pub text: String,
}

/// What a set of files says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ManifestSet {
    /// In the order of the files.
    pub services: Vec<Service>,
    /// In the order of the files, then by place.
    pub problems: Vec<Problem>,
}

impl ManifestSet {
    /// Whether anything could not be used. A service that is not in a set with errors may still be
    /// wanted: its manifest may be the one that could not be read.
    pub fn has_errors(&self) -> bool {
        self.problems.iter().any(|problem| problem.severity == Severity::Error)
    }
}

/// Reads and validates `files` within the default limits.
pub fn load(files: &[File]) -> ManifestSet {
    load_with(files, &Limits::default())
}

/// Reads and validates `files`. A document with an error yields no service and hinders no other; two
/// documents for one service are both rejected.
pub fn load_with(files: &[File], limits: &Limits) -> ManifestSet {
    let (files, beyond) = files.split_at_checked(limits.files).unwrap_or((files, &[]));
    let mut loader = Loader::new(files, limits);
    for file in files {
        loader.file(file);
    }
    if let Some(file) = beyond.first() {
        let message =
            format!("more than {} files: this one and all after it are not read", files.len());
        loader.stray(file, Position { line: 1, column: 1 }, message);
    }
    loader.finish()
}

struct Loader<'a> {
    files: Files<'a>,
    limits: &'a Limits,
    services: Vec<Service>,
    problems: Vec<Problem>,
    /// What is wrong with files as such and with documents that are no manifests; forgotten when a
    /// manifest includes the file, for then it is said of that manifest.
    strays: Vec<Problem>,
    included: BTreeSet<Arc<str>>,
    claims: BTreeMap<ServiceKey, Vec<Claim>>,
}

/// A document that says it is the manifest of some service.
struct Claim {
    file: Arc<str>,
    position: Position,
}

impl<'a> Loader<'a> {
    fn new(files: &'a [File], limits: &'a Limits) -> Self {
        Self {
            files: Files::new(files),
            limits,
            services: Vec::new(),
            problems: Vec::new(),
            strays: Vec::new(),
            included: BTreeSet::new(),
            claims: BTreeMap::new(),
        }
    }

    fn file(&mut self, file: &'a File) {
        if file.text.len() > self.limits.file_bytes {
            let message = format!("larger than {} bytes: split it", self.limits.file_bytes);
            return self.stray(file, Position { line: 1, column: 1 }, message);
        }
        let read = reader::read(&file.name, &file.text, self.limits);
        for document in &read.documents {
            self.document(file, &document.root, &document.faults);
        }
        if let Some(fault) = read.stopped {
            self.stray(file, fault.position, fault.message);
        }
    }

    fn document(&mut self, file: &'a File, root: &Node, faults: &[Fault]) {
        let root = Cursor::root(&file.name, root);
        match recognise(&root) {
            Recognised::Empty => {}
            Recognised::Foreign => {
                let message = "not a manifest of Evenkeel: it is ignored".to_owned();
                self.strays.push(root.problem(Severity::Warning, message));
            }
            Recognised::Manifest => self.manifest(&root, faults),
        }
    }

    fn manifest(&mut self, root: &Cursor<'_>, faults: &[Fault]) {
        let mut report = Report::default();
        for fault in faults {
            let at = Cursor { position: fault.position, ..root.clone() };
            report.error(&at, fault.message.clone());
        }
        let read = document::read(root, &self.files, self.limits, &mut report);
        self.included.extend(read.included);
        self.problems.extend(report.finish(root, read.key.as_ref()));
        if let Some(key) = read.key {
            let claim = Claim { file: Arc::clone(root.file), position: root.position };
            self.claims.entry(key).or_default().push(claim);
        }
        self.services.extend(read.service);
    }

    fn stray(&mut self, file: &File, position: Position, message: String) {
        let node = Node { position, kind: Kind::Null };
        let problem = Cursor::root(&file.name, &node).problem(Severity::Error, message);
        self.strays.push(problem);
    }

    fn finish(mut self) -> ManifestSet {
        self.claims.retain(|_, claims| claims.len() > 1);
        self.services.retain(|service| !self.claims.contains_key(&service.key));
        for (key, claims) in &self.claims {
            self.problems.extend(conflicts(key, claims));
        }
        let shared = shared::problems(&self.services);
        let keys: BTreeSet<&ServiceKey> =
            shared.iter().filter_map(|one| one.service.as_ref()).collect();
        self.services.retain(|service| !keys.contains(&service.key));
        self.problems.extend(shared);
        let included = self.included;
        self.problems
            .extend(self.strays.into_iter().filter(|problem| !included.contains(&problem.file)));
        let order = self.files.order();
        self.problems.sort_by_key(|problem| {
            let file = order.get(&*problem.file).copied();
            (file, problem.line, problem.column, problem.severity)
        });
        ManifestSet { services: self.services, problems: self.problems }
    }
}

/// One problem for each of several manifests of one service, each naming the others.
fn conflicts(key: &ServiceKey, claims: &[Claim]) -> Vec<Problem> {
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
            message: format!(
                "the service {key} also has a manifest at {}: all are rejected, keep one",
                others.join(", ")
            ),
            severity: Severity::Error,
            service: Some(key.clone()),
        }
    };
    claims.iter().enumerate().map(conflict).collect()
}
