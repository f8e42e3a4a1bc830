//! Where the texts of a manifest are written; never what they mean.

use std::sync::Arc;

use crate::node::Cursor;

/// A string of a manifest and its place, after an environment was laid over it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The member that holds it, be it as an element of a list.
    pub member: Arc<str>,
    pub text: Arc<str>,
    pub file: Arc<str>,
    /// 1-based.
    pub line: usize,
    /// 1-based, in characters.
    pub column: usize,
    /// The path of the field, as in [`Problem`](crate::Problem).
    pub path: String,
}

/// All strings below `root`, in the order of the document.
pub(crate) fn written(root: &Cursor<'_>) -> Vec<Written> {
    let mut all = Vec::new();
    gather(root, &"".into(), &mut all);
    all
}

/// Documents are no deeper than `Limits` say.
fn gather(at: &Cursor<'_>, member: &Arc<str>, all: &mut Vec<Written>) {
    if let Some(text) = at.text() {
        all.push(Written {
            member: Arc::clone(member),
            text: text.into(),
            file: Arc::clone(at.file),
            line: at.position.line,
            column: at.position.column,
            path: at.path.clone(),
        });
    }
    for element in at.elements() {
        gather(&element, member, all);
    }
    for (name, inner) in at.members() {
        gather(&inner, &name.into(), all);
    }
}
