//! All files of a manifest set at once: every valid service, every problem; never lets one document
//! spoil another.

mod document;
mod environments;
mod included;
mod reload;
mod render;
mod said;
mod shared;

use std::collections::BTreeSet;
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
use said::{Claim, Said, Together, Whole};

pub use included::included_paths;
pub use reload::{Reloaded, Reloader};
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
    let read = files.get(..limits.files).unwrap_or(files);
    let selected = Selected::of(read, environment, limits);
    let mut loader = Loader::new(Files::new(read, ""), selected, limits);
    loader.rendered = rendered;
    let mut together = Together::default();
    for file in read {
        together.add(loader.file(file));
    }
    together.strays.extend(beyond(files, limits));
    let Whole { services, problems, environments } = together.finish(&loader);
    let services = services.into_iter().map(Arc::unwrap_or_clone).collect();
    ManifestSet { services, problems, environments }
}

/// Turns one file after the other into what it says.
struct Loader<'a, 'r> {
    files: Files<'a>,
    selected: Selected,
    /// Where rendered manifests go, if anybody wants them.
    rendered: Option<&'r mut Vec<RenderedManifest>>,
    limits: &'a Limits,
    /// Of the file that is being read.
    said: Said,
}

impl<'a> Loader<'a, '_> {
    fn new(files: Files<'a>, selected: Selected, limits: &'a Limits) -> Self {
        Self { files, selected, rendered: None, limits, said: Said::default() }
    }

    fn file(&mut self, file: &'a File) -> Said {
        if file.text.len() > self.limits.file_bytes {
            let message = format!("larger than {} bytes: split it", self.limits.file_bytes);
            self.said.strays.push(stray(file, Position { line: 1, column: 1 }, message));
            return std::mem::take(&mut self.said);
        }
        let read = reader::read(&file.name, &file.text, self.limits);
        for document in &read.documents {
            self.document(file, &document.root, &document.faults);
        }
        if let Some(fault) = read.stopped {
            self.said.strays.push(stray(file, fault.position, fault.message));
        }
        std::mem::take(&mut self.said)
    }

    fn document(&mut self, file: &'a File, root: &Node, faults: &[Fault]) {
        let root = Cursor::root(&file.name, root);
        match recognise(&root) {
            Recognised::Empty => {}
            Recognised::Foreign => {
                let message = "not a manifest of Evenkeel: it is ignored".to_owned();
                self.said.strays.push(root.problem(Severity::Warning, message));
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
            self.said.problems.extend(report.finish(root, None));
            let path = root.descendant("spec.taskDefinition.file");
            let path = path.as_ref().and_then(Cursor::text);
            let file = path.and_then(|path| self.files.find(root.file, path).ok());
            self.said.included.extend(file.map(|file| Arc::clone(&file.name)));
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
            Selected::Found(environment) => Some(&**environment),
            Selected::None | Selected::Unusable(_) => None,
        };
        let Rendered { root: node, included, uses, overlays } =
            render::render(root, environment, &self.files, self.limits, &mut report);
        self.said.included.extend(included);
        let rendered = Cursor::root(root.file, &node);
        if report.has_errors() {
            let key = envelope::key(&rendered, &mut Report::default());
            self.said.problems.extend(report.finish(&rendered, key.as_ref()));
            self.said.claim(key, root);
        } else {
            if let Some(all) = &mut self.rendered {
                let source = Source::new(Arc::clone(root.file), root.position.line);
                let (value, texts) = (shape_check::document(&rendered), written(&rendered));
                let key = envelope::key(&rendered, &mut Report::default());
                all.push(RenderedManifest { source, key, value, texts });
            }
            self.validate(&rendered, report, &uses);
        }
        self.said.overlays.extend(overlays);
        self.said.variables.extend(uses.into_names());
    }

    fn validate(&mut self, root: &Cursor<'_>, mut report: Report, uses: &Uses) {
        let read = document::read(root, &self.files, self.limits, &mut report);
        self.said.included.extend(read.included);
        let mut problems = report.finish(root, read.key.as_ref());
        for problem in &mut problems {
            uses.explain(problem);
        }
        self.said.problems.extend(problems);
        self.said.claim(read.key, root);
        self.said.services.extend(read.service.map(Arc::new));
    }

    /// Every environment is checked, whichever is asked for.
    fn environment(&mut self, file: &File, root: &Cursor<'_>, faults: &[Fault]) {
        let mut report = Report::default();
        tell(root, faults, &mut report);
        let _used_elsewhere = environment::environment(root, &file.text, &mut report);
        self.said.problems.extend(report.finish(root, None));
        if let Some(name) = root.descendant("metadata.name").and_then(|at| at.text()) {
            self.said.environments.push((name.to_owned(), Claim::of(root)));
        }
    }
}

fn stray(file: &File, position: Position, message: String) -> Problem {
    let node = Node::new(position, Kind::Null);
    Cursor::root(&file.name, &node).problem(Severity::Error, message)
}

/// Of the first file of those that are too many.
fn beyond(files: &[File], limits: &Limits) -> Option<Problem> {
    let first = files.get(limits.files)?;
    let message =
        format!("more than {} files: this one and all after it are not read", limits.files);
    Some(stray(first, Position { line: 1, column: 1 }, message))
}

fn tell(root: &Cursor<'_>, faults: &[Fault], report: &mut Report) {
    for fault in faults {
        let at = Cursor { position: fault.position, ..root.clone() };
        report.error(&at, fault.message.clone());
    }
}
