//! What differs between environments: variables, and overlays that are laid over manifests; never a
//! language of its own, and never a manifest that validation does not see afterwards.

pub(crate) mod merge;
pub(crate) mod patch;
mod pointer;
mod read;
pub(crate) mod variables;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::envelope;
use crate::node::{Cursor, Kind, Node, Position};
use patch::Operation;
pub(crate) use read::environment;

/// A valid `kind: Environment`.
#[derive(Debug)]
pub(crate) struct Environment {
    pub(crate) name: String,
    pub(crate) variables: BTreeMap<Arc<str>, Variable>,
    /// In the order in which they are applied.
    pub(crate) overlays: Vec<Overlay>,
}

/// A literal under a name.
#[derive(Debug)]
pub(crate) struct Variable {
    pub(crate) place: Place,
    /// A string, a number or a boolean.
    pub(crate) value: Kind,
    /// What is put into a text; `None` of a number that does not read as it was written, such as `1.10`.
    pub(crate) text: Option<Arc<str>>,
}

/// One change to the manifests that it selects.
#[derive(Debug)]
pub(crate) struct Overlay {
    pub(crate) place: Place,
    pub(crate) selector: Selector,
    pub(crate) change: Change,
}

#[derive(Debug)]
pub(crate) enum Change {
    /// RFC 7386.
    Merge(Node),
    /// RFC 6902.
    Patch(Vec<Operation>),
}

/// Which manifests an overlay is for, by what they say before any overlay; empty: all.
#[derive(Debug, Default)]
pub(crate) struct Selector {
    pub(crate) target: Option<String>,
    pub(crate) cluster: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) labels: BTreeMap<String, String>,
}

/// Where something is written, for problems.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) file: Arc<str>,
    pub(crate) path: String,
    pub(crate) position: Position,
}

impl Place {
    pub(crate) fn of(at: &Cursor<'_>) -> Self {
        Self { file: Arc::clone(at.file), path: at.path.clone(), position: at.position }
    }
}

impl Selector {
    /// Whether the manifest at `root` is selected, its texts having been through `resolve`.
    pub(crate) fn selects(&self, root: &Cursor<'_>, resolve: impl Fn(&str) -> String) -> bool {
        let said = |path: &str| root.descendant(path).and_then(|at| at.text()).map(&resolve);
        let is = |wanted: &Option<String>, said: Option<String>| {
            wanted.as_deref().is_none_or(|wanted| said.as_deref() == Some(wanted))
        };
        let target =
            said("spec.target").unwrap_or_else(|| crate::ServiceKey::DEFAULT_TARGET.to_owned());
        let cluster =
            said("spec.cluster").and_then(|text| envelope::short_cluster(&text).map(str::to_owned));
        let labels = root.descendant("metadata.labels");
        let has = |(name, value): (&String, &String)| {
            let said = labels.as_ref().and_then(|at| at.text_of(name));
            said.map(&resolve).as_deref() == Some(value)
        };
        is(&self.target, Some(target))
            && is(&self.cluster, cluster)
            && is(&self.name, said("metadata.name"))
            && self.labels.iter().all(has)
    }
}

#[cfg(test)]
mod tests;
