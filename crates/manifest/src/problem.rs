//! What is wrong with a manifest and where; never shows a value that may be a secret.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;

use crate::ServiceKey;
use crate::environment::Place;
use crate::node::{Cursor, Kind, Node};

/// One finding, addressed to the author of the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    pub file: Arc<str>,
    /// 1-based.
    pub line: usize,
    /// 1-based, in characters.
    pub column: usize,
    /// The path of the field, such as `spec.taskDefinition.containerDefinitions[0].image`; empty for
    /// the document as a whole.
    pub path: String,
    /// What was expected and what to do.
    pub message: String,
    pub severity: Severity,
    /// The service that the document is about, where that much could be read.
    pub service: Option<ServiceKey>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The document yields no service.
    Error,
    /// Worth a look; the document is used.
    Warning,
}

/// `file:line:column: path: message`, with `warning: ` before the message of a warning.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: ", self.file, self.line, self.column)?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        if self.severity == Severity::Warning {
            f.write_str("warning: ")?;
        }
        f.write_str(&self.message)
    }
}

/// The findings of one document while it is read.
#[derive(Debug, Default)]
pub(crate) struct Report {
    problems: Vec<Problem>,
    errors: bool,
    beyond: usize,
}

impl Report {
    /// Enough to mend a manifest by; a hostile one has a hundred thousand.
    const MOST: usize = 100;

    pub(crate) fn error(&mut self, at: &Cursor<'_>, message: impl Into<String>) {
        self.errors = true;
        self.add(at, Severity::Error, message);
    }

    pub(crate) fn warning(&mut self, at: &Cursor<'_>, message: impl Into<String>) {
        self.add(at, Severity::Warning, message);
    }

    /// As [`Report::error`], where no cursor is at hand.
    pub(crate) fn error_at(&mut self, place: &Place, message: impl Into<String>) {
        self.errors = true;
        self.add_at(place, Severity::Error, message);
    }

    pub(crate) fn warning_at(&mut self, place: &Place, message: impl Into<String>) {
        self.add_at(place, Severity::Warning, message);
    }

    fn add_at(&mut self, place: &Place, severity: Severity, message: impl Into<String>) {
        let node = Node::new(place.position, Kind::Null);
        let at = Cursor { path: place.path.clone(), ..Cursor::root(&place.file, &node) };
        self.add(&at, severity, message);
    }

    fn add(&mut self, at: &Cursor<'_>, severity: Severity, message: impl Into<String>) {
        if self.is_full() {
            self.beyond += 1;
        } else {
            self.problems.push(at.problem(severity, message.into()));
        }
    }

    pub(crate) fn has_errors(&self) -> bool {
        self.errors
    }

    /// Whether more problems are only counted, so that finding words for them is in vain.
    pub(crate) fn is_full(&self) -> bool {
        self.problems.len() >= Self::MOST
    }

    /// What was found so far, of no document in particular.
    pub(crate) fn into_problems(self) -> Vec<Problem> {
        self.problems
    }

    /// All problems of the document at `root`, which is about `service`.
    pub(crate) fn finish(self, root: &Cursor<'_>, service: Option<&ServiceKey>) -> Vec<Problem> {
        let mut problems = self.problems;
        if self.beyond > 0 {
            let message = format!("and {} more problems in this document", self.beyond);
            let severity = if self.errors { Severity::Error } else { Severity::Warning };
            problems.push(root.problem(severity, message));
        }
        for problem in &mut problems {
            problem.service = service.cloned();
        }
        problems
    }
}
