//! JSON pointers (RFC 6901) into positioned trees; never a guess about what was meant.

use std::fmt;
use std::sync::Arc;

use crate::node::{Kind, Node};
use crate::spelling;

/// The way from the root of a document to a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pointer(Vec<String>);

impl Pointer {
    /// Errors: why a text is none.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        if text.is_empty() {
            return Ok(Self(Vec::new()));
        }
        let Some(rest) = text.strip_prefix('/') else {
            return Err("a path begins with `/`, such as `/spec/service/desiredCount`");
        };
        rest.split('/')
            .map(unescaped)
            .collect::<Option<_>>()
            .map(Self)
            .ok_or("`~` is written `~0` in a path, and `/` within a name `~1`")
    }

    /// Whether `other` is below this.
    pub(crate) fn holds(&self, other: &Self) -> bool {
        other.0.len() > self.0.len() && other.0.starts_with(&self.0)
    }

    pub(crate) fn depth(&self) -> usize {
        self.0.len()
    }

    /// The way to the parent, and the last step; `None` of the root.
    pub(crate) fn split_last(&self) -> Option<(Self, &str)> {
        let (last, parent) = self.0.split_last()?;
        Some((Self(parent.to_vec()), last))
    }

    /// The value there and the file that it is from, the root being from `file`.
    pub(crate) fn get<'n>(
        &self,
        root: &'n Node,
        file: &Arc<str>,
    ) -> Result<(&'n Node, Arc<str>), String> {
        let mut found = (root, Arc::clone(file));
        for (index, step) in self.0.iter().enumerate() {
            let node = child(found.0, step).ok_or_else(|| self.missing(index, found.0))?;
            let file = node.origin.clone().unwrap_or(found.1);
            found = (node, file);
        }
        Ok(found)
    }

    pub(crate) fn get_mut<'n>(&self, root: &'n mut Node) -> Result<&'n mut Node, String> {
        let mut found = root;
        for (index, step) in self.0.iter().enumerate() {
            if child(found, step).is_none() {
                return Err(self.missing(index, found));
            }
            found = child_mut(found, step).ok_or_else(|| format!("there is no `{self}`"))?;
        }
        Ok(found)
    }

    /// What keeps the step of that index from being taken from `node`.
    fn missing(&self, index: usize, node: &Node) -> String {
        let steps = self.0.get(..=index).unwrap_or_default();
        let way = Self(steps.to_vec());
        let step = steps.last().map_or("", String::as_str);
        match &node.kind {
            Kind::Mapping(entries) => {
                let names: Vec<&str> = entries.iter().map(|entry| &*entry.name).collect();
                format!("there is no `{way}`{}", spelling::suggestion(step, &names))
            }
            Kind::List(elements) => {
                format!(
                    "there is no `{way}`: the list has {} elements, counted from 0",
                    elements.len()
                )
            }
            other => format!("there is no `{way}`: what it would be in is {}", other.noun()),
        }
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|step| write!(f, "/{}", step.replace('~', "~0").replace('/', "~1")))
    }
}

fn unescaped(step: &str) -> Option<String> {
    let escapes = step.match_indices('~').all(|(index, _)| {
        step.as_bytes().get(index + 1).is_some_and(|next| matches!(next, b'0' | b'1'))
    });
    escapes.then(|| step.replace("~1", "/").replace("~0", "~"))
}

/// An index as RFC 6901 writes it: no sign, no leading zero.
pub(crate) fn index(step: &str) -> Option<usize> {
    let canonical = step == "0" || !step.starts_with(['0', '+']);
    canonical.then(|| step.parse().ok()).flatten()
}

fn child<'n>(node: &'n Node, step: &str) -> Option<&'n Node> {
    match &node.kind {
        Kind::Mapping(entries) => {
            entries.iter().find(|entry| &*entry.name == step).map(|entry| &entry.value)
        }
        Kind::List(elements) => elements.get(index(step)?),
        _ => None,
    }
}

fn child_mut<'n>(node: &'n mut Node, step: &str) -> Option<&'n mut Node> {
    match &mut node.kind {
        Kind::Mapping(entries) => {
            entries.iter_mut().find(|entry| &*entry.name == step).map(|entry| &mut entry.value)
        }
        Kind::List(elements) => elements.get_mut(index(step)?),
        _ => None,
    }
}
