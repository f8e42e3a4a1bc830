//! JSON patch (RFC 6902) on positioned trees; never goes on behind an operation that failed, and never
//! lets a document outgrow its limits.

use std::sync::Arc;

use super::Place;
use super::pointer::{Pointer, index};
use crate::Limits;
use crate::node::{Entry, Kind, Node, Position};

#[derive(Debug)]
pub(crate) struct Operation {
    pub(crate) place: Place,
    pub(crate) verb: Verb,
}

/// What is done at a path; values know the file that they are from.
#[derive(Debug)]
pub(crate) enum Verb {
    Add { path: Pointer, value: Node },
    Remove { path: Pointer },
    Replace { path: Pointer, value: Node },
    Move { from: Pointer, path: Pointer },
    Copy { from: Pointer, path: Pointer },
    Test { path: Pointer, value: Node },
}

/// How much one document may still grow.
#[derive(Debug)]
pub(crate) struct Budget<'l> {
    limits: &'l Limits,
    nodes: usize,
    bytes: usize,
}

impl<'l> Budget<'l> {
    pub(crate) fn new(limits: &'l Limits, root: &Node) -> Self {
        let (nodes, bytes) = size(root);
        Self { limits, nodes, bytes }
    }

    /// Takes in `node`, which comes to stand at that depth. Errors: which limit it would exceed.
    pub(crate) fn add(&mut self, node: &Node, depth: usize) -> Result<(), String> {
        let (nodes, bytes) = size(node);
        self.nodes += nodes;
        self.bytes += bytes;
        if depth + height(node) > self.limits.depth {
            return Err(format!("nested more than {} levels deep by now", self.limits.depth));
        }
        if self.nodes > self.limits.nodes || self.bytes > self.limits.expanded_bytes {
            let Limits { nodes, expanded_bytes, .. } = self.limits;
            return Err(format!("more than {nodes} values or {expanded_bytes} bytes by now"));
        }
        Ok(())
    }

    /// Takes in a text in place of a part of it.
    pub(crate) fn add_text(&mut self, text: &str) -> Result<(), String> {
        self.bytes += text.len();
        if text.len() > self.limits.scalar_bytes || self.bytes > self.limits.expanded_bytes {
            let Limits { scalar_bytes, expanded_bytes, .. } = self.limits;
            return Err(format!(
                "a value of more than {scalar_bytes} bytes, or {expanded_bytes} in all"
            ));
        }
        Ok(())
    }
}

/// Values, and bytes of names and texts.
fn size(node: &Node) -> (usize, usize) {
    let sum = |(nodes, bytes): (usize, usize), (n, b): (usize, usize)| (nodes + n, bytes + b);
    match &node.kind {
        Kind::String(text) => (1, text.len()),
        Kind::List(elements) => elements.iter().map(size).fold((1, 0), sum),
        Kind::Mapping(entries) => {
            let entry = |entry: &Entry| sum(size(&entry.value), (1, entry.name.len()));
            entries.iter().map(entry).fold((1, 0), sum)
        }
        _ => (1, 0),
    }
}

fn height(node: &Node) -> usize {
    match &node.kind {
        Kind::List(elements) => 1 + elements.iter().map(height).max().unwrap_or(0),
        Kind::Mapping(entries) => {
            1 + entries.iter().map(|entry| height(&entry.value)).max().unwrap_or(0)
        }
        _ => 1,
    }
}

/// Does one operation to the document at `root`, which is from `file`. Errors: why it cannot be done,
/// for people; the document is then to be thrown away.
pub(crate) fn apply(
    root: &mut Node,
    file: &Arc<str>,
    verb: &Verb,
    budget: &mut Budget<'_>,
) -> Result<(), String> {
    match verb {
        Verb::Add { path, value } => add(root, path, value.clone(), budget),
        Verb::Remove { path } => remove(root, path),
        Verb::Replace { path, value } => {
            budget.add(value, path.depth())?;
            replace(root, path, value)
        }
        Verb::Move { from, path } => {
            let taken = taken(root, file, from)?;
            remove(root, from)?;
            add(root, path, taken, budget)
        }
        Verb::Copy { from, path } => {
            let taken = taken(root, file, from)?;
            add(root, path, taken, budget)
        }
        Verb::Test { path, value } => {
            let (found, _) = path.get(root, file)?;
            if same(found, value) {
                Ok(())
            } else {
                Err(format!("`{path}` is not what is tested for"))
            }
        }
    }
}

/// A copy that knows the file that it is from.
fn taken(root: &Node, file: &Arc<str>, from: &Pointer) -> Result<Node, String> {
    let (found, file) = from.get(root, file)?;
    Ok(Node { origin: Some(file), ..found.clone() })
}

fn add(
    root: &mut Node,
    path: &Pointer,
    value: Node,
    budget: &mut Budget<'_>,
) -> Result<(), String> {
    budget.add(&value, path.depth())?;
    let Some((parent, step)) = path.split_last() else {
        *root = value;
        return Ok(());
    };
    let position = value.position;
    let node = parent.get_mut(root)?;
    match &mut node.kind {
        Kind::Mapping(entries) => put(entries, step, position, value),
        Kind::List(elements) => {
            let at = if step == "-" { Some(elements.len()) } else { index(step) };
            let at = at.filter(|at| *at <= elements.len()).ok_or_else(|| {
                format!(
                    "`{path}` is no place in a list of {} elements, counted from 0",
                    elements.len()
                )
            })?;
            elements.insert(at, value);
        }
        other => {
            return Err(format!("there is no `{path}`: what it would be in is {}", other.noun()));
        }
    }
    Ok(())
}

fn put(entries: &mut Vec<Entry>, name: &str, position: Position, value: Node) {
    match entries.iter_mut().find(|entry| &*entry.name == name) {
        Some(entry) => (entry.position, entry.value) = (position, value),
        None => entries.push(Entry { name: name.into(), position, value }),
    }
}

fn remove(root: &mut Node, path: &Pointer) -> Result<(), String> {
    let Some((parent, step)) = path.split_last() else {
        return Err("the whole document cannot be removed".to_owned());
    };
    path.get_mut(root)?;
    match &mut parent.get_mut(root)?.kind {
        Kind::Mapping(entries) => entries.retain(|entry| &*entry.name != step),
        Kind::List(elements) => {
            if let Some(at) = index(step).filter(|at| *at < elements.len()) {
                elements.remove(at);
            }
        }
        _ => {}
    }
    Ok(())
}

fn replace(root: &mut Node, path: &Pointer, value: &Node) -> Result<(), String> {
    *path.get_mut(root)? = value.clone();
    let Some((parent, step)) = path.split_last() else { return Ok(()) };
    if let Kind::Mapping(entries) = &mut parent.get_mut(root)?.kind {
        for entry in entries.iter_mut().filter(|entry| &*entry.name == step) {
            entry.position = value.position;
        }
    }
    Ok(())
}

/// Equality as RFC 6902 has it: members in any order, numbers by value.
pub(crate) fn same(one: &Node, other: &Node) -> bool {
    match (&one.kind, &other.kind) {
        (Kind::Null, Kind::Null) => true,
        (Kind::Boolean(one), Kind::Boolean(other)) => one == other,
        (Kind::Integer(one), Kind::Integer(other)) => one == other,
        (Kind::Float(one), Kind::Float(other)) => one.total_cmp(other).is_eq(),
        (Kind::Integer(whole), Kind::Float(number))
        | (Kind::Float(number), Kind::Integer(whole)) => whole.to_string() == number.to_string(),
        (Kind::String(one), Kind::String(other)) => one == other,
        (Kind::List(one), Kind::List(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Kind::Mapping(one), Kind::Mapping(other)) => {
            let found = |entry: &Entry| {
                let same_name = other.iter().find(|other| other.name == entry.name);
                same_name.is_some_and(|other| same(&entry.value, &other.value))
            };
            one.len() == other.len() && one.iter().all(found)
        }
        _ => false,
    }
}
