//! A document as a tree in which every node knows its line and column; never holds an alias.

use std::sync::Arc;

use crate::{Problem, Severity};

/// A place in a file, 1-based, columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

impl Position {
    /// The byte of `text` at this place. Lines end as YAML says: by a line feed, a carriage return, or both.
    pub(crate) fn offset_in(self, text: &str) -> Option<usize> {
        let (mut line, mut column) = (1, 1);
        let mut characters = text.char_indices().peekable();
        while let Some((index, character)) = characters.next() {
            if (line, column) == (self.line, self.column) {
                return Some(index);
            }
            let next = characters.peek().map(|(_, next)| *next);
            if character == '\n' || (character == '\r' && next != Some('\n')) {
                (line, column) = (line + 1, 1);
            } else {
                column += 1;
            }
        }
        None
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) position: Position,
    pub(crate) kind: Kind,
    /// The file that it is from with all below it, where that is not the one of the node above it.
    pub(crate) origin: Option<Arc<str>>,
}

impl Node {
    pub(crate) fn new(position: Position, kind: Kind) -> Self {
        Self { position, kind, origin: None }
    }

    /// The node at `a.b.c` below this one.
    pub(crate) fn descendant_mut(&mut self, path: &str) -> Option<&mut Self> {
        path.split('.').try_fold(self, |node, name| {
            let Kind::Mapping(entries) = &mut node.kind else { return None };
            entries.iter_mut().find(|entry| &*entry.name == name).map(|entry| &mut entry.value)
        })
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Null,
    Boolean(bool),
    Integer(i64),
    /// Also an integer beyond 64 bits.
    Float(f64),
    String(Arc<str>),
    List(Vec<Node>),
    /// In the order of the file, names unique.
    Mapping(Vec<Entry>),
}

#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) name: Arc<str>,
    pub(crate) position: Position,
    pub(crate) value: Node,
}

impl Kind {
    /// What a reader of the file would call it, with its article.
    pub(crate) fn noun(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Boolean(_) => "a boolean",
            Self::Integer(_) | Self::Float(_) => "a number",
            Self::String(_) => "a string",
            Self::List(_) => "a list",
            Self::Mapping(_) => "a mapping",
        }
    }
}

/// A node together with where it is: the file, the path and the position to point at.
#[derive(Clone, Debug)]
pub(crate) struct Cursor<'a> {
    pub(crate) file: &'a Arc<str>,
    pub(crate) path: String,
    /// Of the name where the node is a member, else of the node.
    pub(crate) position: Position,
    pub(crate) node: &'a Node,
}

impl<'a> Cursor<'a> {
    pub(crate) fn root(file: &'a Arc<str>, node: &'a Node) -> Self {
        let file = node.origin.as_ref().unwrap_or(file);
        Self { file, path: String::new(), position: node.position, node }
    }

    /// The member `name`, unless absent or null.
    pub(crate) fn member(&self, name: &str) -> Option<Self> {
        let entry = self.entries().iter().find(|entry| &*entry.name == name)?;
        (!matches!(entry.value.kind, Kind::Null)).then(|| self.at_entry(entry))
    }

    /// The node at `a.b.c` below this one.
    pub(crate) fn descendant(&self, path: &str) -> Option<Self> {
        path.split('.').try_fold(self.clone(), |at, name| at.member(name))
    }

    pub(crate) fn members(&self) -> impl Iterator<Item = (&'a str, Self)> {
        self.entries().iter().map(|entry| (&*entry.name, self.at_entry(entry)))
    }

    pub(crate) fn elements(&self) -> impl Iterator<Item = Self> {
        let elements = match &self.node.kind {
            Kind::List(elements) => elements.as_slice(),
            _ => &[],
        };
        elements.iter().enumerate().map(|(index, node)| Self {
            file: node.origin.as_ref().unwrap_or(self.file),
            path: format!("{}[{index}]", self.path),
            position: node.position,
            node,
        })
    }

    /// The elements of the list `name`; none when it is absent.
    pub(crate) fn elements_of(&self, name: &str) -> Vec<Self> {
        self.member(name).map(|list| list.elements().collect()).unwrap_or_default()
    }

    pub(crate) fn text(&self) -> Option<&'a str> {
        match &self.node.kind {
            Kind::String(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn text_of(&self, name: &str) -> Option<&'a str> {
        self.member(name)?.text()
    }

    pub(crate) fn integer(&self) -> Option<i64> {
        match self.node.kind {
            Kind::Integer(number) => Some(number),
            _ => None,
        }
    }

    pub(crate) fn integer_of(&self, name: &str) -> Option<i64> {
        self.member(name)?.integer()
    }

    pub(crate) fn boolean_of(&self, name: &str) -> Option<bool> {
        match self.member(name)?.node.kind {
            Kind::Boolean(yes) => Some(yes),
            _ => None,
        }
    }

    /// A scalar as it reads: for members that take a number or a string.
    pub(crate) fn scalar_text(&self) -> Option<String> {
        match &self.node.kind {
            Kind::Integer(number) => Some(number.to_string()),
            Kind::Float(number) => Some(number.to_string()),
            Kind::String(text) => Some(text.to_string()),
            Kind::Null | Kind::Boolean(_) | Kind::List(_) | Kind::Mapping(_) => None,
        }
    }

    pub(crate) fn problem(&self, severity: Severity, message: String) -> Problem {
        Problem {
            file: Arc::clone(self.file),
            line: self.position.line,
            column: self.position.column,
            path: self.path.clone(),
            message,
            severity,
            service: None,
        }
    }

    fn entries(&self) -> &'a [Entry] {
        match &self.node.kind {
            Kind::Mapping(entries) => entries,
            _ => &[],
        }
    }

    fn at_entry(&self, entry: &'a Entry) -> Self {
        Self {
            file: entry.value.origin.as_ref().unwrap_or(self.file),
            path: join(&self.path, &entry.name),
            position: entry.position,
            node: &entry.value,
        }
    }
}

/// A name that is not a plain word is put in brackets, so that a path can be read back.
fn join(path: &str, name: &str) -> String {
    let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c));
    match (path.is_empty(), plain && !name.is_empty()) {
        (true, true) => name.to_owned(),
        (false, true) => format!("{path}.{name}"),
        (_, false) => format!("{path}[{name:?}]"),
    }
}
