//! `${name}` in the strings of a manifest; never in the name of a member, never twice, and never with
//! anything for a variable that the environment does not have.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::patch::Budget;
use super::{Environment, Place, Variable};
use crate::node::{Cursor, Entry, Kind, Node};
use crate::problem::Report;
use crate::{Problem, spelling};

const OPEN: &str = "${";

/// A stretch of a string.
#[derive(Debug, PartialEq, Eq)]
enum Piece<'t> {
    Text(&'t str),
    Variable(&'t str),
    /// What stands behind `${` is not the name of a variable.
    Garbled,
}

/// What `text` is made of; `$${` stands for `${`.
fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(OPEN) {
        if let Some(before) = before.strip_suffix('$') {
            pieces.extend([Piece::Text(before), Piece::Text(OPEN)]);
            rest = after;
            continue;
        }
        pieces.push(Piece::Text(before));
        let named = after.split_once('}').filter(|(name, _)| is_name(name));
        let (piece, behind) =
            named.map_or((Piece::Garbled, after), |(name, behind)| (Piece::Variable(name), behind));
        pieces.push(piece);
        rest = behind;
    }
    pieces.push(Piece::Text(rest));
    pieces.retain(|piece| *piece != Piece::Text(""));
    pieces
}

/// A letter, then letters, digits, `_` and `-`, at most 64.
pub(crate) fn is_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.len() <= 64
        && text.bytes().all(allowed)
}

impl Environment {
    /// `text` with its variables in it, as far as there are any; for comparing.
    pub(crate) fn resolved(&self, text: &str) -> String {
        let put = |piece: &Piece<'_>| match piece {
            Piece::Text(text) => (*text).to_owned(),
            Piece::Variable(name) => {
                let text = self.variables.get(*name).and_then(|variable| variable.text.as_deref());
                text.unwrap_or_default().to_owned()
            }
            Piece::Garbled => OPEN.to_owned(),
        };
        pieces(text).iter().map(put).collect()
    }
}

/// Which variables were put where, in one document.
#[derive(Debug, Default)]
pub(crate) struct Uses {
    names: BTreeSet<Arc<str>>,
    /// By file, line and column as problems show them.
    places: BTreeMap<(Arc<str>, usize, usize), Vec<String>>,
}

impl Uses {
    pub(crate) fn into_names(self) -> BTreeSet<Arc<str>> {
        self.names
    }

    /// Tells of a problem at a place with variables where these come from.
    pub(crate) fn explain(&self, problem: &mut Problem) {
        let place = (Arc::clone(&problem.file), problem.line, problem.column);
        if let Some(variables) = self.places.get(&place) {
            problem.message = format!("{} (with {})", problem.message, variables.join(", "));
        }
    }

    fn note(&mut self, at: &Cursor<'_>, name: &str, variable: &Variable) {
        self.names.insert(name.into());
        let Place { file, position, .. } = &variable.place;
        let told = format!("`${{{name}}}` of {file}:{}:{}", position.line, position.column);
        let place = (Arc::clone(at.file), at.position.line, at.position.column);
        let variables = self.places.entry(place).or_default();
        if !variables.contains(&told) {
            variables.push(told);
        }
    }
}

/// Puts the variables of an environment into one document.
#[derive(Debug)]
pub(crate) struct Substitution<'a, 'l> {
    pub(crate) environment: &'a Environment,
    pub(crate) uses: &'a mut Uses,
    pub(crate) budget: &'a mut Budget<'l>,
}

impl Substitution<'_, '_> {
    /// The node at `at` with all variables in it; what cannot be put in is reported.
    pub(crate) fn node(&mut self, at: &Cursor<'_>, report: &mut Report) -> Node {
        let kind = match &at.node.kind {
            Kind::Mapping(entries) => {
                let pairs = entries.iter().zip(at.members());
                let entry = |(entry, (_, member)): (&Entry, (&str, Cursor<'_>))| Entry {
                    name: Arc::clone(&entry.name),
                    position: entry.position,
                    value: self.node(&member, report),
                };
                Kind::Mapping(pairs.map(entry).collect())
            }
            Kind::List(_) => {
                Kind::List(at.elements().map(|element| self.node(&element, report)).collect())
            }
            Kind::String(text) if text.contains(OPEN) => self.text(at, text, report),
            other => other.clone(),
        };
        Node { position: at.node.position, origin: at.node.origin.clone(), kind }
    }

    fn text(&mut self, at: &Cursor<'_>, text: &Arc<str>, report: &mut Report) -> Kind {
        let pieces = pieces(text);
        if let [Piece::Variable(name)] = pieces.as_slice() {
            let found = self.variable(at, name, report);
            return found.map_or_else(|| Kind::String(Arc::clone(text)), |one| one.value.clone());
        }
        let mut result = String::new();
        for piece in pieces {
            match piece {
                Piece::Text(text) => result.push_str(text),
                Piece::Variable(name) => {
                    result.push_str(&self.inserted(at, name, report).unwrap_or_default());
                }
                Piece::Garbled => report.error(
                    at,
                    "behind `${` a name and `}` are expected; for the two characters themselves write `$${`",
                ),
            }
            if let Err(message) = self.budget.add_text(&result) {
                report.error(at, message);
                break;
            }
        }
        Kind::String(result.into())
    }

    fn inserted(&mut self, at: &Cursor<'_>, name: &str, report: &mut Report) -> Option<Arc<str>> {
        let variable = self.variable(at, name, report)?;
        if variable.text.is_none() {
            let message = format!(
                "the number in `{name}` would not be put into this text as it was written: put it in quotes \
                 in the environment"
            );
            report.error(at, message);
        }
        variable.text.clone()
    }

    fn variable(&mut self, at: &Cursor<'_>, name: &str, report: &mut Report) -> Option<&Variable> {
        let environment = self.environment;
        let Some(variable) = environment.variables.get(name) else {
            let names: Vec<&str> = environment.variables.keys().map(|name| &**name).collect();
            let (suggestion, of) = (spelling::suggestion(name, &names), &environment.name);
            let message = format!(
                "the environment `{of}` has no variable `{name}`{suggestion}; for the characters \
                         `${{` themselves write `$${{`"
            );
            report.error(at, message);
            return None;
        };
        self.uses.note(at, name, variable);
        Some(variable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_is_texts_and_variables() {
        use Piece::{Garbled, Text, Variable};
        for (text, expected) in [
            ("", vec![]),
            ("a $b {c} $", vec![Text("a $b {c} $")]),
            ("${a}", vec![Variable("a")]),
            ("x-${a}${b-1}.", vec![Text("x-"), Variable("a"), Variable("b-1"), Text(".")]),
            ("$${a}", vec![Text("${"), Text("a}")]),
            ("$$${a}", vec![Text("$"), Text("${"), Text("a}")]),
            ("${A:-x}", vec![Garbled, Text("A:-x}")]),
            ("${", vec![Garbled]),
            ("${}", vec![Garbled, Text("}")]),
            ("${a${b}", vec![Garbled, Text("a"), Variable("b")]),
        ] {
            assert_eq!(pieces(text), expected, "{text}");
        }
    }
}
