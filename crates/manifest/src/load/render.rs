//! A document with an environment over it: task definition, overlays, variables, in this order; never an
//! opinion about what comes out.

use std::sync::Arc;

use super::document::{self, described};
use super::included::Files;
use crate::Limits;
use crate::environment::merge::merge;
use crate::environment::patch::{self, Budget};
use crate::environment::variables::{Substitution, Uses};
use crate::environment::{Change, Environment, Overlay};
use crate::node::{Cursor, Kind, Node};
use crate::problem::Report;

/// What a document became.
#[derive(Debug)]
pub(super) struct Rendered {
    pub(super) root: Node,
    /// The files that it took its task definition from.
    pub(super) included: Vec<Arc<str>>,
    pub(super) uses: Uses,
    /// The overlays that were for it, by their place in the environment.
    pub(super) overlays: Vec<usize>,
}

/// Lays `environment` over the document at `root`. Without one only the task definition is taken in.
pub(super) fn render(
    root: &Cursor<'_>,
    environment: Option<&Environment>,
    files: &Files<'_>,
    limits: &Limits,
    report: &mut Report,
) -> Rendered {
    let mut node = root.node.clone();
    if let Kind::Mapping(entries) = &mut node.kind {
        entries.retain(|entry| !entry.name.starts_with("x-"));
    }
    let budget = Budget::new(limits, &node);
    let mut rendering = Rendering {
        file: root.file,
        environment,
        files,
        budget,
        limits,
        node,
        included: Vec::new(),
    };
    rendering.include(report);
    let overlays = environment.map(|one| rendering.overlay(one, report)).unwrap_or_default();
    if !overlays.is_empty() {
        rendering.include(report);
    }
    let uses = environment.map(|one| rendering.substitute(one, report)).unwrap_or_default();
    Rendered { root: rendering.node, included: rendering.included, uses, overlays }
}

struct Rendering<'a> {
    file: &'a Arc<str>,
    environment: Option<&'a Environment>,
    files: &'a Files<'a>,
    limits: &'a Limits,
    budget: Budget<'a>,
    node: Node,
    included: Vec<Arc<str>>,
}

impl Rendering<'_> {
    /// Puts the content of a task definition file where its name is, so that overlays see it.
    fn include(&mut self, report: &mut Report) {
        let path = self.node.descendant_mut("spec.taskDefinition.file");
        if let (Some(Node { kind: Kind::String(path), .. }), Some(one)) = (path, self.environment) {
            *path = one.resolved(path).into();
        }
        let Some(found) = self.included_node(report) else { return };
        if let Err(message) = self.budget.add(&found, 2) {
            return report.error(&Cursor::root(self.file, &self.node), message);
        }
        let spec = self.node.descendant_mut("spec");
        let Some(Node { kind: Kind::Mapping(entries), .. }) = spec else { return };
        let entry = entries.iter_mut().find(|entry| &*entry.name == "taskDefinition");
        if let Some(entry) = entry {
            (entry.position, entry.value) = (found.position, found);
        }
    }

    fn included_node(&mut self, report: &mut Report) -> Option<Node> {
        let spec = Cursor::root(self.file, &self.node).member("spec")?;
        spec.descendant("taskDefinition.file")?;
        let origin = document::origin_of(&spec, self.files, report);
        let node = document::content(&origin, &spec, self.files, self.limits, report);
        let file = origin.file()?;
        self.included.push(Arc::clone(&file.name));
        let node = node?;
        let found = described(Cursor::root(&file.name, &node), report);
        Some(Node { origin: Some(Arc::clone(&file.name)), ..found.node.clone() })
    }

    /// Applies all overlays that are for the document as it was before the first.
    fn overlay(&mut self, environment: &Environment, report: &mut Report) -> Vec<usize> {
        let root = Cursor::root(self.file, &self.node);
        let is_for_it =
            |overlay: &Overlay| overlay.selector.selects(&root, |text| environment.resolved(text));
        let all = environment.overlays.iter().enumerate();
        let selected: Vec<(usize, &Overlay)> =
            all.filter(|(_, overlay)| is_for_it(overlay)).collect();
        for (_, overlay) in &selected {
            self.apply(overlay, report);
        }
        selected.into_iter().map(|(index, _)| index).collect()
    }

    fn apply(&mut self, overlay: &Overlay, report: &mut Report) {
        let (file, line) = (self.file, self.node.position.line);
        match &overlay.change {
            Change::Merge(change) => match self.budget.add(change, 0) {
                Ok(()) => merge(&mut self.node, change, &overlay.place.file),
                Err(message) => report.error_at(&overlay.place, message),
            },
            Change::Patch(operations) => {
                for one in operations {
                    let done = patch::apply(&mut self.node, file, &one.verb, &mut self.budget);
                    if let Err(why) = done {
                        let message = format!("{why}; in the manifest at {file}:{line}");
                        return report.error_at(&one.place, message);
                    }
                }
            }
        }
    }

    fn substitute(&mut self, environment: &Environment, report: &mut Report) -> Uses {
        let mut uses = Uses::default();
        let budget = &mut self.budget;
        let mut substitution = Substitution { environment, uses: &mut uses, budget };
        self.node = substitution.node(&Cursor::root(self.file, &self.node), report);
        uses
    }
}
