//! Which environment manifests are read for, among those of the files; never more than one.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::envelope::{ENVIRONMENT, Recognised, recognise};
use crate::environment::{self, Environment, Overlay};
use crate::node::Cursor;
use crate::problem::Report;
use crate::{File, Limits, Problem, reader, spelling};

/// What is laid over manifests.
#[derive(Debug)]
pub(super) enum Selected {
    /// No environment was asked for.
    None,
    Found(Box<Environment>),
    /// The one that was asked for cannot be used, and so no manifest can: why.
    Unusable(String),
}

/// A document that may be an environment.
struct Candidate {
    name: String,
    place: String,
    environment: Option<Environment>,
}

impl Selected {
    pub(super) fn of(files: &[File], name: Option<&str>, limits: &Limits) -> Self {
        let Some(name) = name else { return Self::None };
        let all: Vec<Candidate> = files.iter().flat_map(|file| candidates(file, limits)).collect();
        let known: Vec<String> = all.iter().map(|candidate| candidate.name.clone()).collect();
        let mut matching: Vec<Candidate> = all.into_iter().filter(|one| one.name == name).collect();
        match (matching.pop(), matching.first()) {
            (None, _) => {
                let names: Vec<&str> = known.iter().map(String::as_str).collect();
                let suggestion = spelling::suggestion(name, &names);
                Self::Unusable(format!("there is no environment `{name}`{suggestion}"))
            }
            (Some(one), Some(other)) => Self::Unusable(format!(
                "there are several environments `{name}`, at {} and {}",
                other.place, one.place
            )),
            (Some(Candidate { environment: Some(environment), .. }), None) => {
                Self::Found(Box::new(environment))
            }
            (Some(Candidate { place, .. }), None) => {
                Self::Unusable(format!("the environment `{name}` at {place} has errors"))
            }
        }
    }
}

/// Whether there may be environments in a file. Reading ten thousand manifests twice for nothing would be noticed.
pub(super) fn may_hold_one(file: &File) -> bool {
    file.text.contains(ENVIRONMENT)
}

fn candidates(file: &File, limits: &Limits) -> Vec<Candidate> {
    if !may_hold_one(file) || file.text.len() > limits.file_bytes {
        return Vec::new();
    }
    let read = reader::read(&file.name, &file.text, limits);
    let candidate = |document: &reader::Document| {
        let root = Cursor::root(&file.name, &document.root);
        let name = root.descendant("metadata.name")?.text()?.to_owned();
        let is_one = recognise(&root) == Recognised::Environment;
        let place = format!("{}:{}", file.name, root.position.line);
        let read = environment::environment(&root, &file.text, &mut Report::default());
        let environment = read.filter(|_| document.faults.is_empty());
        is_one.then_some(Candidate { name, place, environment })
    };
    read.documents.iter().filter_map(candidate).collect()
}

/// Overlays that are for nothing, and variables that nothing uses, after what was of use is known.
pub(super) fn idle(
    environment: &Environment,
    used_overlays: &BTreeSet<usize>,
    used_variables: &BTreeSet<Arc<str>>,
) -> Vec<Problem> {
    let mut report = Report::default();
    let overlays = environment.overlays.iter().enumerate();
    for (_, Overlay { place, .. }) in overlays.filter(|(at, _)| !used_overlays.contains(at)) {
        report.error_at(place, "no manifest is selected by `match`: it changes nothing");
    }
    for (name, variable) in &environment.variables {
        if !used_variables.contains(name) {
            report.warning_at(&variable.place, "no manifest uses this variable");
        }
    }
    report.into_problems()
}
