//! One document into one service; never looks at another document.

use std::sync::Arc;

use serde_json::Value;

use super::File;
use super::included::Files;
use crate::checks::{self, Wanted};
use crate::node::{Cursor, Kind, Node, Position};
use crate::problem::Report;
use crate::reader::{self, Read};
use crate::shape_check::{self, SIZES};
use crate::shapes::shapes;
use crate::{Digest, Document, Drift, Limits, Rollout, Service, ServiceKey, Source, Strategy};
use crate::{annotation, approval, canonical, drift, envelope, rollout};

/// What a document turned out to be.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) key: Option<ServiceKey>,
    pub(super) service: Option<Service>,
    /// The file that it took its task definition from.
    pub(super) included: Option<Arc<str>>,
}

/// Reads the manifest at `root`. There is a service only when nothing was reported as an error.
pub(super) fn read(
    root: &Cursor<'_>,
    files: &Files<'_>,
    limits: &Limits,
    report: &mut Report,
) -> Outcome {
    envelope::check_members(root, report);
    let key = envelope::key(root, report);
    let Some(spec) = root.member("spec") else {
        return Outcome { key, ..Outcome::default() };
    };
    let empty = Node::new(spec.position, Kind::Mapping(Vec::new()));
    let service = spec.member("service").unwrap_or_else(|| Cursor {
        path: "spec.service".to_owned(),
        node: &empty,
        ..spec.clone()
    });
    let origin = origin_of(&spec, files, report);
    let included = content(&origin, &spec, files, limits, report);
    let task_definition = match &origin {
        Origin::File(file) => {
            included.as_ref().map(|node| described(Cursor::root(&file.name, node), report))
        }
        Origin::Manifest => spec.member("taskDefinition"),
        Origin::Nowhere => None,
    };
    let draft = Draft { root, spec: &spec, service: &service, task_definition };
    let service = draft.service(key.as_ref(), limits, report);
    let included = origin.file().map(|file| Arc::clone(&file.name));
    Outcome { key, service, included }
}

/// Where the task definition stands.
pub(super) enum Origin<'a> {
    Manifest,
    File(&'a File),
    Nowhere,
}

impl<'a> Origin<'a> {
    pub(super) fn file(&self) -> Option<&'a File> {
        match self {
            Self::File(file) => Some(file),
            Self::Manifest | Self::Nowhere => None,
        }
    }
}

pub(super) fn origin_of<'a>(
    spec: &Cursor<'_>,
    files: &Files<'a>,
    report: &mut Report,
) -> Origin<'a> {
    let Some(at) = spec.member("taskDefinition") else {
        envelope::missing(spec, "taskDefinition", report);
        return Origin::Nowhere;
    };
    if at.text().is_some() {
        report.error(&at, "expected a task definition, or `file: PATH` for one in another file");
        return Origin::Nowhere;
    }
    let Some(file) = at.member("file") else { return Origin::Manifest };
    if at.members().count() > 1 {
        report.error(&at, "expected either `file` or the task definition itself, not both");
        return Origin::Nowhere;
    }
    let Some(path) = file.text() else {
        report.error(&file, "expected a path relative to this file");
        return Origin::Nowhere;
    };
    match files.find(file.file, path) {
        Ok(file) => Origin::File(file),
        Err(error) => {
            report.error(&file, error.to_string());
            Origin::Nowhere
        }
    }
}

/// The document of the file that the task definition stands in, if it stands in one.
pub(super) fn content(
    origin: &Origin<'_>,
    spec: &Cursor<'_>,
    files: &Files<'_>,
    limits: &Limits,
    report: &mut Report,
) -> Option<Node> {
    let file = origin.file()?;
    if files.include(file) > limits.included_bytes {
        let limit = limits.included_bytes;
        report.error(spec, format!("more than {limit} bytes of included files in all"));
        return None;
    }
    included(file, limits, report)
}

/// The one document of an included file; what keeps it from being read is reported.
fn included(file: &File, limits: &Limits, report: &mut Report) -> Option<Node> {
    let mut fault = |position, message: String| {
        let node = Node::new(position, Kind::Null);
        report.error(&Cursor::root(&file.name, &node), message);
    };
    let start = Position { line: 1, column: 1 };
    if file.text.len() > limits.file_bytes {
        fault(start, format!("larger than {} bytes", limits.file_bytes));
        return None;
    }
    let Read { mut documents, stopped } = reader::read(&file.name, &file.text, limits);
    if let Some(stopped) = stopped {
        fault(stopped.position, stopped.message);
        return None;
    }
    let Some(document) = documents.pop().filter(|_| documents.is_empty()) else {
        fault(start, "expected one task definition in this file".to_owned());
        return None;
    };
    for found in document.faults {
        fault(found.position, found.message);
    }
    Some(document.root)
}

/// The task definition in what `describe-task-definition` printed, which people keep in files;
/// anything else as it is.
pub(crate) fn described<'a>(root: Cursor<'a>, report: &mut Report) -> Cursor<'a> {
    let only = |name: &str| matches!(name, "taskDefinition" | "tags");
    let Some(inner) = root.member("taskDefinition") else { return root };
    if !root.members().all(|(name, _)| only(name)) {
        return root;
    }
    if let Some(tag) = root.elements_of("tags").first() {
        report.warning(tag, "tags beside `taskDefinition` are ignored: move them into it");
    }
    inner
}

/// The parts of a manifest, wherever each was written.
struct Draft<'d, 'a> {
    root: &'d Cursor<'a>,
    spec: &'d Cursor<'a>,
    service: &'d Cursor<'d>,
    /// `None` when there is none to look at, which was reported.
    task_definition: Option<Cursor<'d>>,
}

impl Draft<'_, '_> {
    fn service(
        &self,
        key: Option<&ServiceKey>,
        limits: &Limits,
        report: &mut Report,
    ) -> Option<Service> {
        let metadata = envelope::metadata(self.root, report);
        let task_definition = self.task_definition(&metadata.name, limits, report);
        let mut service = shape_check::check(self.service, &shapes().create_service, &[], report);
        let rollout = self.spec.member("rollout");
        let rollout =
            rollout.map_or_else(Rollout::default, |at| rollout::read::rollout(&at, report));
        let drift = self.spec.member("drift");
        let drift = drift.map_or_else(Drift::default, |at| drift::drift(&at, report));
        let paused = envelope::flag(self.spec, "paused", report).unwrap_or_default();
        let adopt = envelope::flag(self.spec, "adopt", report).unwrap_or_default();
        annotation::check(self.root, key, report);
        let approval = approval::approval(self.root, report);
        self.check_together(&metadata.name, &rollout.strategy, report);
        let (key, task_definition) = (key?.clone(), task_definition?);
        if report.has_errors() {
            return None;
        }
        let family = task_definition.get("family")?.as_str()?.to_owned();
        let (task_definition, task_definition_digest) = canonical_task(&task_definition);
        rollout.strategy.compile(&mut service);
        let complete = canonical::service(&service);
        Some(Service {
            key,
            source: Source::new(Arc::clone(self.root.file), self.root.position.line),
            metadata,
            task_definition,
            family,
            service: Document::new(&canonical::owned(&complete, &service)),
            rollout,
            drift,
            paused,
            adopt,
            approval,
            revision_digest: Digest::of_revision(&task_definition_digest, &complete),
            task_definition_digest,
        })
    }

    /// The input of RegisterTaskDefinition; the family is the name of the manifest when absent.
    fn task_definition(&self, name: &str, limits: &Limits, report: &mut Report) -> Option<Value> {
        let at = self.task_definition.as_ref()?;
        let mut value = shape_check::check(at, &shapes().register_task_definition, &SIZES, report);
        if let Some(members) = value.as_object_mut() {
            members.entry("family").or_insert_with(|| name.into());
        }
        let (bytes, limit) = (value.to_string().len(), limits.task_definition_bytes);
        if bytes > limit {
            report.error(at, format!("{bytes} bytes as JSON, and ECS takes at most {limit}"));
        }
        Some(value)
    }

    fn check_together(&self, name: &str, strategy: &Strategy, report: &mut Report) {
        if let Some(task_definition) = &self.task_definition {
            let analysis = self.spec.descendant("rollout.analysis");
            let metrics = analysis.map(|at| at.elements_of("metrics")).unwrap_or_default();
            let service = self.service;
            let wanted = Wanted { name, task_definition, service, strategy, metrics };
            checks::run(&wanted, report);
        }
    }
}

/// The canonical document as it is sent, and its digest.
fn canonical_task(written: &Value) -> (Document, Digest) {
    let mut canonical = canonical::task_definition(written);
    let digest = Digest::of(&canonical);
    canonical::keep_uncompared(&mut canonical, written);
    (Document::new(&canonical), digest)
}
