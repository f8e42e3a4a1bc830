//! The proof that two texts of one file differ in one scalar; never trusts how the second was made.

use crate::node::{Entry, Kind, Node, Position};
use crate::reader;
use crate::{File, Limits};

/// Reads both texts and compares them value by value. Errors: what else differs, for people.
pub(super) fn prove(file: &File, text: &str, at: Position, new: &Kind) -> Result<(), String> {
    let limits = Limits::default();
    let before = reader::read(&file.name, &file.text, &limits);
    let after = reader::read(&file.name, text, &limits);
    let faults = after.documents.iter().flat_map(|document| &document.faults);
    if let Some(fault) = after.stopped.iter().chain(faults).next() {
        return Err(format!("the file could not be read any more: {}", fault.message));
    }
    if before.documents.len() != after.documents.len() {
        return Err("the number of documents".to_owned());
    }
    let mut differences = Vec::new();
    for (before, after) in before.documents.iter().zip(&after.documents) {
        compare(&before.root, &after.root, "", &mut differences);
    }
    match differences.as_slice() {
        [only] if only.line == at.line && same_scalar(&only.new, new) => Ok(()),
        [] => Err("nothing differs".to_owned()),
        several => Err(told(several)),
    }
}

struct Difference {
    path: String,
    /// Of the value before.
    line: usize,
    /// What stands there now.
    new: Kind,
}

fn told(differences: &[Difference]) -> String {
    let places: Vec<String> =
        differences.iter().take(5).map(|one| format!("{} (line {})", one.path, one.line)).collect();
    let more = if differences.len() > places.len() { ", ..." } else { "" };
    format!("{}{more}, which an anchor or an alias ties together", places.join(", "))
}

fn compare(before: &Node, after: &Node, path: &str, differences: &mut Vec<Difference>) {
    match (&before.kind, &after.kind) {
        (Kind::Mapping(before), Kind::Mapping(after)) if names(before).eq(names(after)) => {
            for (before, after) in before.iter().zip(after) {
                let path = if path.is_empty() {
                    before.name.to_string()
                } else {
                    format!("{path}.{}", before.name)
                };
                compare(&before.value, &after.value, &path, differences);
            }
        }
        (Kind::List(before), Kind::List(after)) if before.len() == after.len() => {
            for (index, (before, after)) in before.iter().zip(after).enumerate() {
                compare(before, after, &format!("{path}[{index}]"), differences);
            }
        }
        (old, new) if same_scalar(old, new) => {}
        (_, new) => differences.push(Difference {
            path: path.to_owned(),
            line: before.position.line,
            new: new.clone(),
        }),
    }
}

fn names(entries: &[Entry]) -> impl Iterator<Item = &str> {
    entries.iter().map(|entry| &*entry.name)
}

fn same_scalar(one: &Kind, other: &Kind) -> bool {
    match (one, other) {
        (Kind::Null, Kind::Null) => true,
        (Kind::Boolean(one), Kind::Boolean(other)) => one == other,
        (Kind::Integer(one), Kind::Integer(other)) => one == other,
        // Bits, because a NaN is the same as itself here.
        (Kind::Float(one), Kind::Float(other)) => one.to_bits() == other.to_bits(),
        (Kind::String(one), Kind::String(other)) => one == other,
        _ => false,
    }
}
