//! YAML 1.2 or JSON text into positioned trees, within limits; never interprets a field.
//!
//! JSON is read as the YAML it is. Merge keys (`<<`), which YAML 1.2 dropped but users of anchors
//! expect, are applied: written members win over merged ones.

mod scalar;

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span, StrInput, Tag};

pub(crate) use scalar::plain as plain_kind;

use crate::Limits;
use crate::node::{Entry, Kind, Node, Position};

/// The documents of one file, and why reading stopped if it did before the end.
#[derive(Debug, Default)]
pub(crate) struct Read {
    pub(crate) documents: Vec<Document>,
    pub(crate) stopped: Option<Fault>,
}

#[derive(Debug)]
pub(crate) struct Document {
    pub(crate) root: Node,
    /// What is wrong with it, though it could be read to its end.
    pub(crate) faults: Vec<Fault>,
}

/// Text that cannot be what its author meant.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    pub(crate) position: Position,
    pub(crate) message: String,
}

/// Reads all documents of `text`; those before a syntax error are kept. The file's `name` decides
/// whether errors speak of YAML or of JSON.
pub(crate) fn read(name: &str, text: &str, limits: &Limits) -> Read {
    let text = join_surrogates(text);
    let extension = Path::new(name).extension();
    let json = extension.is_some_and(|extension| extension.eq_ignore_ascii_case("json"));
    let language = if json { "JSON" } else { "YAML" };
    let mut reader = Reader { language, ..Reader::new(&text, limits) };
    let mut read = Read::default();
    loop {
        match reader.next_document() {
            Ok(Some(_)) if read.documents.len() >= limits.documents => {
                let message = format!("more than {} documents in one file", limits.documents);
                read.stopped = Some(Fault { position: reader.position, message });
                return read;
            }
            Ok(Some(document)) => read.documents.push(document),
            Ok(None) => return read,
            Err(fault) => {
                read.stopped = Some(fault);
                return read;
            }
        }
    }
}

struct Reader<'text, 'limits> {
    parser: Parser<'text, StrInput<'text>>,
    limits: &'limits Limits,
    position: Position,
    language: &'static str,
    anchors: HashMap<usize, Anchored>,
    faults: Vec<Fault>,
    nodes: usize,
    bytes: usize,
    copied: usize,
}

/// A subtree that an alias may repeat, with its cost.
#[derive(Clone)]
struct Anchored {
    node: Rc<Node>,
    nodes: usize,
    bytes: usize,
    height: usize,
}

impl<'text, 'limits> Reader<'text, 'limits> {
    fn new(text: &'text str, limits: &'limits Limits) -> Self {
        Self {
            parser: Parser::new_from_str(text),
            limits,
            position: Position { line: 1, column: 1 },
            language: "YAML",
            anchors: HashMap::new(),
            faults: Vec::new(),
            nodes: 0,
            bytes: 0,
            copied: 0,
        }
    }

    fn next_document(&mut self) -> Result<Option<Document>, Fault> {
        loop {
            match self.next_event()? {
                None | Some(Event::StreamEnd) => return Ok(None),
                Some(Event::DocumentStart(_)) => break,
                Some(_) => {}
            }
        }
        self.anchors.clear();
        let first = self.next_event()?;
        let root = self.node(first, 0)?;
        Ok(Some(Document { root, faults: std::mem::take(&mut self.faults) }))
    }

    fn next_event(&mut self) -> Result<Option<Event<'text>>, Fault> {
        match self.parser.next_event() {
            None => Ok(None),
            Some(Ok((event, span))) => {
                self.position = position(span);
                Ok(Some(event))
            }
            Some(Err(error)) => Err(self.syntax(&error)),
        }
    }

    fn node(&mut self, event: Option<Event<'text>>, depth: usize) -> Result<Node, Fault> {
        let position = self.position;
        let (nodes, bytes) = (self.nodes, self.bytes);
        self.count(1, 0)?;
        if depth >= self.limits.depth {
            return Err(self.fault(format!("nested more than {} levels deep", self.limits.depth)));
        }
        let (kind, anchor) = match event {
            Some(Event::Scalar(text, style, anchor, tag)) => {
                (self.scalar(&text, style, tag.as_deref())?, anchor)
            }
            Some(Event::SequenceStart(anchor, tag)) => {
                self.check_collection_tag(tag.as_deref(), "seq");
                (Kind::List(self.elements(depth)?), anchor)
            }
            Some(Event::MappingStart(anchor, tag)) => {
                self.check_collection_tag(tag.as_deref(), "map");
                (Kind::Mapping(self.entries(depth)?), anchor)
            }
            Some(Event::Alias(anchor)) => return self.alias(anchor, depth),
            _ => return Err(self.fault("the document ends in the middle".to_owned())),
        };
        let node = Node::new(position, kind);
        if anchor > 0 {
            self.remember(anchor, &node, self.nodes - nodes, self.bytes - bytes)?;
        }
        Ok(node)
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Result<Kind, Fault> {
        if text.len() > self.limits.scalar_bytes {
            let limit = self.limits.scalar_bytes;
            return Err(self.fault(format!("a single value is larger than {limit} bytes")));
        }
        self.count(0, text.len())?;
        Ok(scalar::resolve(text, style, tag).unwrap_or_else(|message| {
            let position = self.position;
            self.faults.push(Fault { position, message });
            Kind::Null
        }))
    }

    fn elements(&mut self, depth: usize) -> Result<Vec<Node>, Fault> {
        let mut elements = Vec::new();
        loop {
            match self.next_event()? {
                Some(Event::SequenceEnd) => return Ok(elements),
                event => elements.push(self.node(event, depth + 1)?),
            }
        }
    }

    fn entries(&mut self, depth: usize) -> Result<Vec<Entry>, Fault> {
        let mut written = Entries::default();
        let mut merged = Vec::new();
        loop {
            let event = match self.next_event()? {
                Some(Event::MappingEnd) => break,
                event => event,
            };
            let plain = matches!(event, Some(Event::Scalar(_, ScalarStyle::Plain, _, _)));
            let name_position = self.position;
            let Some(name) = self.name(event, depth)? else {
                let event = self.next_event()?;
                let _discarded = self.node(event, depth + 1)?;
                continue;
            };
            let event = self.next_event()?;
            let value = self.node(event, depth + 1)?;
            let entry = Entry { name, position: name_position, value };
            if plain && &*entry.name == "<<" {
                merged.push(entry);
            } else if let Some(fault) = written.add(entry) {
                self.faults.push(fault);
            }
        }
        for entry in merged {
            self.merge(&mut written, entry);
        }
        Ok(written.list)
    }

    /// The name of a member; `None`, with a fault noted, when it is no scalar.
    fn name(
        &mut self,
        event: Option<Event<'text>>,
        depth: usize,
    ) -> Result<Option<Arc<str>>, Fault> {
        if let Some(Event::Scalar(text, _, 0, _)) = &event {
            self.count(1, text.len())?;
            return Ok(Some(Arc::from(&**text)));
        }
        let position = self.position;
        let node = self.node(event, depth + 1)?;
        if let Kind::String(text) = node.kind {
            return Ok(Some(text));
        }
        let message = "the name of a member must be a plain word or a string".to_owned();
        self.faults.push(Fault { position, message });
        Ok(None)
    }

    /// Adds what `<<: *anchor` or `<<: [*one, *two]` brings and `written` does not have.
    fn merge(&mut self, written: &mut Entries, merge: Entry) {
        let sources = match merge.value.kind {
            Kind::List(sources) => sources,
            _ => vec![merge.value],
        };
        for source in sources {
            match source.kind {
                Kind::Mapping(entries) => {
                    for entry in entries {
                        let _already_written = written.add(entry);
                    }
                }
                _ => self.faults.push(Fault {
                    position: merge.position,
                    message: "`<<` merges a mapping or a list of mappings".to_owned(),
                }),
            }
        }
    }

    fn alias(&mut self, anchor: usize, depth: usize) -> Result<Node, Fault> {
        let Some(anchored) = self.anchors.get(&anchor).cloned() else {
            return Err(self.fault("this alias is inside of what it repeats".to_owned()));
        };
        if depth + anchored.height > self.limits.depth {
            return Err(self.fault(format!("nested more than {} levels deep", self.limits.depth)));
        }
        self.count(anchored.nodes, anchored.bytes)?;
        Ok(Node::clone(&anchored.node))
    }

    /// Keeps a copy for aliases. Anchors may be nested, so copies have a limit of their own.
    fn remember(
        &mut self,
        anchor: usize,
        node: &Node,
        nodes: usize,
        bytes: usize,
    ) -> Result<(), Fault> {
        self.copied += nodes;
        if self.copied > self.limits.nodes {
            let limit = self.limits.nodes;
            return Err(self.fault(format!("more than {limit} values under nested anchors")));
        }
        let anchored = Anchored { node: Rc::new(node.clone()), nodes, bytes, height: height(node) };
        self.anchors.insert(anchor, anchored);
        Ok(())
    }

    /// Counts before anything is built, so that no alias can blow up memory.
    fn count(&mut self, nodes: usize, bytes: usize) -> Result<(), Fault> {
        self.nodes += nodes;
        self.bytes += bytes;
        if self.nodes > self.limits.nodes {
            let limit = self.limits.nodes;
            return Err(
                self.fault(format!("more than {limit} values, aliases counted as repeated"))
            );
        }
        if self.bytes > self.limits.expanded_bytes {
            let limit = self.limits.expanded_bytes;
            return Err(self.fault(format!("more than {limit} bytes, aliases counted as repeated")));
        }
        Ok(())
    }

    fn check_collection_tag(&mut self, tag: Option<&Tag>, expected: &str) {
        let Some(tag) = tag else { return };
        if !(tag.is_yaml_core_schema() && tag.suffix == expected) {
            let message = format!("the tag `{tag}` is not supported here: remove it");
            self.faults.push(Fault { position: self.position, message });
        }
    }

    fn syntax(&self, error: &ScanError) -> Fault {
        let message = format!("not valid {}: {}", self.language, error.info());
        Fault { position: at(error.marker()), message }
    }

    fn fault(&self, message: String) -> Fault {
        Fault { position: self.position, message }
    }
}

/// Members in the order of the file, found by name in constant time.
#[derive(Default)]
struct Entries {
    list: Vec<Entry>,
    lines: HashMap<Arc<str>, usize>,
}

impl Entries {
    /// Keeps the first of a name; the fault is about the second.
    fn add(&mut self, entry: Entry) -> Option<Fault> {
        if let Some(first) = self.lines.get(&entry.name) {
            let message = format!("`{}` is already written on line {first}", entry.name);
            return Some(Fault { position: entry.position, message });
        }
        self.lines.insert(Arc::clone(&entry.name), entry.position.line);
        self.list.push(entry);
        None
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

fn position(span: Span) -> Position {
    at(&span.start)
}

fn at(marker: &Marker) -> Position {
    Position { line: marker.line(), column: marker.col() + 1 }
}

/// JSON writes characters beyond the basic plane as two escapes, which YAML does not know: they are
/// replaced by the character itself. Columns behind one on the same line shift.
fn join_surrogates(text: &str) -> Cow<'_, str> {
    let mut joined = String::new();
    let mut rest = text;
    while let Some((before, character, after)) = next_pair(rest) {
        joined.push_str(before);
        joined.push(character);
        rest = after;
    }
    if joined.is_empty() {
        return Cow::Borrowed(text);
    }
    joined.push_str(rest);
    Cow::Owned(joined)
}

/// The same text with twelve other characters for each such pair of escapes: what is read from it stands at
/// the same places as in the text itself.
pub(crate) fn mask_surrogates(text: &str) -> Cow<'_, str> {
    let mut masked = String::new();
    let mut rest = text;
    while let Some((before, _, after)) = next_pair(rest) {
        masked.push_str(before);
        masked.push_str("____________");
        rest = after;
    }
    if masked.is_empty() {
        return Cow::Borrowed(text);
    }
    masked.push_str(rest);
    Cow::Owned(masked)
}

/// The first `\ud83d\ude00` of `text` whose backslash is not itself escaped.
fn next_pair(text: &str) -> Option<(&str, char, &str)> {
    text.match_indices("\\u").find_map(|(index, _)| {
        let (before, pair) = text.split_at_checked(index)?;
        let escaped = before.bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1;
        let (pair, after) = pair.split_at_checked(12)?;
        let (high, low) = pair.split_at_checked(6)?;
        let units = [high, low].map(|unit| u16::from_str_radix(unit.strip_prefix("\\u")?, 16).ok());
        let [Some(high), Some(low)] = units else { return None };
        let character = char::decode_utf16([high, low]).next()?.ok()?;
        (!escaped && u32::from(character) > 0xFFFF).then_some((before, character, after))
    })
}

#[cfg(test)]
mod tests;
