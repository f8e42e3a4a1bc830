//! All files of a manifest set at once: every valid service, every problem; never lets one document
//! spoil another.

mod document;
mod environments;
mod included;
mod render;
mod shared;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use crate::envelope::{self, Recognised, recognise};
use crate::environment::variables::Uses;
use crate::node::{Cursor, Kind, Node, Position};
use crate::problem::Report;
use crate::reader::{self, Fault};
use crate::written::written;
use crate::{
    Limits, Problem, Service, ServiceKey, Severity, Source, Written, environment, shape_check,
};
pub(crate) use document::described;
use environments::Selected;
pub(crate) use included::{Files, PathError};
use render::Rendered;

pub use included::included_paths;
pub use shared::shared_groups;

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
    /// The names of the environments among the files, valid or not.
    pub environments: BTreeSet<String>,
}

/// A manifest with an environment over it.
#[derive(Clone, Debug, PartialEq)]
pub struct RenderedManifest {
    pub source: Source,
    /// The service that it is about, where that much could be read.
    pub key: Option<ServiceKey>,
    /// The whole document; a task definition from a file is in its place.
    pub value: Value,
    /// Where its strings are written.
    pub texts: Vec<Written>,
}

impl RenderedManifest {
    /// Where a member of this name says this, the first time.
    pub fn place(&self, member: &str, text: &str) -> Option<&Written> {
        self.texts.iter().find(|one| &*one.member == member && &*one.text == text)
    }
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

/// As [`load`], with the environment of that name, which is a document among `files`, laid over every
/// manifest before it is validated. Without a name nothing is, and `${` means nothing.
///
/// When the environment is missing or has errors no manifest is used, and each has an error that says so.
pub fn load_in(files: &[File], environment: Option<&str>) -> ManifestSet {
    load_all(files, environment, &Limits::default(), None)
}

/// What [`load_in`] validates, in the order of the files, with what it says. Manifests that could not be
/// rendered are left out; those that are not valid are not.
pub fn render(files: &[File], environment: Option<&str>) -> (Vec<RenderedManifest>, ManifestSet) {
    let mut rendered = Vec::new();
    let set = load_all(files, environment, &Limits::default(), Some(&mut rendered));
    (rendered, set)
}

/// Reads and validates `files`. A document with an error yields no service and hinders no other; two
/// documents for one service are both rejected.
pub fn load_with(files: &[File], limits: &Limits) -> ManifestSet {
    load_all(files, None, limits, None)
}

fn load_all(
    files: &[File],
    environment: Option<&str>,
    limits: &Limits,
    rendered: Option<&mut Vec<RenderedManifest>>,
) -> ManifestSet {
    let (files, beyond) = files.split_at_checked(limits.files).unwrap_or((files, &[]));
    let selected = Selected::of(files, environment, limits);
    let mut loader = Loader::new(files, selected, limits);
    loader.rendered = rendered;
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

struct Loader<'a, 'r> {
    files: Files<'a>,
    selected: Selected,
    /// Where rendered manifests go, if anybody wants them.
    rendered: Option<&'r mut Vec<RenderedManifest>>,
    environments: BTreeMap<String, Vec<Claim>>,
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

impl Claim {
    fn of(root: &Cursor<'_>) -> Self {
        Self { file: Arc::clone(root.file), position: root.position }
    }
}

impl<'a> Loader<'a, '_> {
    fn new(files: &'a [File], selected: Selected, limits: &'a Limits) -> Self {
        Self {
            files: Files::new(files),
            selected,
            rendered: None,
            environments: BTreeMap::new(),
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
            Recognised::Environment => self.environment(file, &root, faults),
            Recognised::Manifest => self.manifest(&root, faults),
        }
    }

    fn manifest(&mut self, root: &Cursor<'_>, faults: &[Fault]) {
        let mut report = Report::default();
        tell(root, faults, &mut report);
        if let Selected::Unusable(why) = &self.selected {
            report.error(root, format!("not used, because {why}"));
            self.problems.extend(report.finish(root, None));
            let path = root.descendant("spec.taskDefinition.file");
            let path = path.as_ref().and_then(Cursor::text);
            let file = path.and_then(|path| self.files.find(root.file, path).ok());
            self.included.extend(file.map(|file| Arc::clone(&file.name)));
        } else if matches!(self.selected, Selected::None) && self.rendered.is_none() {
            self.validate(root, report, &Uses::default());
        } else {
            self.render(root, report);
        }
    }

    /// Lays the environment over a manifest. One to which that cannot be done is not validated, because
    /// what is wrong would be told twice.
    fn render(&mut self, root: &Cursor<'_>, mut report: Report) {
        let environment = match &self.selected {
            Selected::Found(found) => Some(&found.environment),
            Selected::None | Selected::Unusable(_) => None,
        };
        let Rendered { root: node, included, uses, overlays } =
            render::render(root, environment, &self.files, self.limits, &mut report);
        self.included.extend(included);
        let rendered = Cursor::root(root.file, &node);
        if report.has_errors() {
            let key = envelope::key(&rendered, &mut Report::default());
            self.problems.extend(report.finish(&rendered, key.as_ref()));
            self.claim(key, root);
        } else {
            if let Some(all) = &mut self.rendered {
                let source = Source::new(Arc::clone(root.file), root.position.line);
                let (value, texts) = (shape_check::document(&rendered), written(&rendered));
                let key = envelope::key(&rendered, &mut Report::default());
                all.push(RenderedManifest { source, key, value, texts });
            }
            self.validate(&rendered, report, &uses);
        }
        if let Selected::Found(found) = &mut self.selected {
            found.overlays.extend(overlays);
            found.variables.extend(uses.into_names());
        }
    }

    fn validate(&mut self, root: &Cursor<'_>, mut report: Report, uses: &Uses) {
        let read = document::read(root, &self.files, self.limits, &mut report);
        self.included.extend(read.included);
        let mut problems = report.finish(root, read.key.as_ref());
        for problem in &mut problems {
            uses.explain(problem);
        }
        self.problems.extend(problems);
        self.claim(read.key, root);
        self.services.extend(read.service);
    }

    fn claim(&mut self, key: Option<ServiceKey>, root: &Cursor<'_>) {
        if let Some(key) = key {
            self.claims.entry(key).or_default().push(Claim::of(root));
        }
    }

    /// Every environment is checked, whichever is asked for.
    fn environment(&mut self, file: &File, root: &Cursor<'_>, faults: &[Fault]) {
        let mut report = Report::default();
        tell(root, faults, &mut report);
        let _used_elsewhere = environment::environment(root, &file.text, &mut report);
        self.problems.extend(report.finish(root, None));
        if let Some(name) = root.descendant("metadata.name").and_then(|at| at.text()) {
            self.environments.entry(name.to_owned()).or_default().push(Claim::of(root));
        }
    }

    fn stray(&mut self, file: &File, position: Position, message: String) {
        let node = Node::new(position, Kind::Null);
        let problem = Cursor::root(&file.name, &node).problem(Severity::Error, message);
        self.strays.push(problem);
    }

    fn finish(mut self) -> ManifestSet {
        self.claims.retain(|_, claims| claims.len() > 1);
        self.services.retain(|service| !self.claims.contains_key(&service.key));
        for (key, claims) in &self.claims {
            self.problems.extend(conflicts(
                &format!("the service {key} also has a manifest"),
                Some(key),
                claims,
            ));
        }
        for (name, claims) in self.environments.iter().filter(|(_, claims)| claims.len() > 1) {
            self.problems.extend(conflicts(
                &format!("the environment {name} is also written"),
                None,
                claims,
            ));
        }
        if let Selected::Found(found) = &self.selected {
            self.problems.extend(found.idle());
        }
        let shared = shared_groups(&self.services);
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
        let environments = self.environments.into_keys().collect();
        ManifestSet { services: self.services, problems: self.problems, environments }
    }
}

fn tell(root: &Cursor<'_>, faults: &[Fault], report: &mut Report) {
    for fault in faults {
        let at = Cursor { position: fault.position, ..root.clone() };
        report.error(&at, fault.message.clone());
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
