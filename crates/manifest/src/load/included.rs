//! The file that `taskDefinition: {file: ...}` names; never read from anywhere but the given files.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::Arc;

use super::File;
use crate::node::Cursor;
use crate::{Limits, reader};

/// The paths that the manifests of a text name under `taskDefinition.file`, as written, in order. What
/// cannot be parsed names nothing here; [`super::load`] tells its problem.
pub fn included_paths(text: &str) -> Vec<String> {
    let name: Arc<str> = Arc::from("");
    let read = reader::read(&name, text, &Limits::default());
    let path = |document: &reader::Document| {
        let file = Cursor::root(&name, &document.root).descendant("spec.taskDefinition.file")?;
        file.text().map(str::to_owned)
    };
    read.documents.iter().filter_map(path).collect()
}

/// The files of a load by name.
#[derive(Debug, Default)]
pub(crate) struct Files<'a> {
    /// What stands before every name and that no path leads out of; with a `/` at its end, or empty.
    root: &'a str,
    by_name: HashMap<String, (usize, &'a File)>,
    names: HashMap<&'a str, usize>,
    included_bytes: Cell<usize>,
    /// Paths that were asked for, and the places of the files found there.
    asked: RefCell<Vec<(String, Option<usize>)>>,
}

/// Why a path names no file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PathError {
    #[error("expected a path relative to this file, not an absolute one")]
    Absolute,
    #[error("the path leaves the directory of manifests: `..` goes above its root")]
    Escapes,
    #[error("there is no such file among the manifests")]
    Missing,
}

impl<'a> Files<'a> {
    pub(crate) fn new(files: &'a [File], root: &'a str) -> Self {
        let mut all = Self { root, ..Self::default() };
        for (index, file) in files.iter().enumerate() {
            let name = all.below_root(&file.name);
            let name = normalise("", name).unwrap_or_else(|_| name.to_owned());
            all.by_name.entry(name).or_insert((index, file));
            all.names.entry(&file.name).or_insert(index);
        }
        all
    }

    /// The file at `path`, as seen from the file `from`.
    pub(crate) fn find(&self, from: &str, path: &str) -> Result<&'a File, PathError> {
        let found = self.place(from, path);
        let place = found.as_ref().ok().map(|(place, _)| *place);
        self.asked.borrow_mut().push((path.to_owned(), place));
        found.map(|(_, file)| file)
    }

    /// As [`Self::find`], with the place of the file among all; nobody is told that it was asked for.
    pub(super) fn place(&self, from: &str, path: &str) -> Result<(usize, &'a File), PathError> {
        if path.starts_with(['/', '\\']) || path.contains(":\\") {
            return Err(PathError::Absolute);
        }
        let from = self.below_root(from);
        let directory = from.rsplit_once('/').map_or("", |(directory, _)| directory);
        let name = normalise(directory, path)?;
        self.by_name.get(&name).copied().ok_or(PathError::Missing)
    }

    fn below_root<'n>(&self, name: &'n str) -> &'n str {
        name.strip_prefix(self.root).unwrap_or(name)
    }

    /// What was asked for since this was called last.
    pub(super) fn take_asked(&self) -> Vec<(String, Option<usize>)> {
        self.asked.take()
    }

    pub(super) fn included_bytes(&self) -> usize {
        self.included_bytes.get()
    }

    /// As if files of so many bytes had been included again.
    pub(super) fn include_again(&self, bytes: usize) {
        self.included_bytes.set(self.included_bytes.get().saturating_add(bytes));
    }

    /// The bytes included so far, `file` now among them.
    pub(crate) fn include(&self, file: &File) -> usize {
        self.include_again(file.text.len());
        self.included_bytes()
    }

    /// The place of each file in the order given.
    pub(crate) fn order(&self) -> &HashMap<&'a str, usize> {
        &self.names
    }
}

/// `directory/path` without `.` and `..`; a root of `directory` is kept.
fn normalise(directory: &str, path: &str) -> Result<String, PathError> {
    let mut parts: Vec<&str> = Vec::new();
    for part in directory.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop().ok_or(PathError::Escapes)?;
            }
            part => parts.push(part),
        }
    }
    Ok(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn included_paths_are_found_in_every_document_that_can_be_read() {
        let text = "spec: {taskDefinition: {file: a.json}}\n---\nspec: {taskDefinition: {file: /etc/x}}\n---\nspec: {taskDefinition: {family: x}}\n";
        assert_eq!(included_paths(text), ["a.json", "/etc/x"]);
        assert!(included_paths("spec: [").is_empty());
    }

    #[test]
    fn paths_are_relative_to_the_manifest_and_stay_under_the_root() {
        let file = |name: &str| File { name: name.into(), text: String::new() };
        let files =
            [file("./web/service.yaml"), file("web/taskdef.json"), file("shared/taskdef.json")];
        let files = Files::new(&files, "");
        let from: Arc<str> = "web/service.yaml".into();
        let find = |path: &str| files.find(&from, path).map(|file| file.name.to_string());
        assert_eq!(find("taskdef.json"), Ok("web/taskdef.json".to_owned()));
        assert_eq!(find("./taskdef.json"), Ok("web/taskdef.json".to_owned()));
        assert_eq!(find("../shared/taskdef.json"), Ok("shared/taskdef.json".to_owned()));
        assert_eq!(find("../../etc/passwd"), Err(PathError::Escapes));
        assert_eq!(find("/etc/passwd"), Err(PathError::Absolute));
        assert_eq!(find("C:\\taskdef.json"), Err(PathError::Absolute));
        assert_eq!(find("nothing.json"), Err(PathError::Missing));
    }
}
