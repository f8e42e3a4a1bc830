//! A planted mistake as edits of text, read from `crates/simulator/mutants/*.toml`; never guesses where
//! an edit belongs.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::Failed;

/// One mistake.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Mutant {
    pub(crate) name: String,
    /// The class of real incidents that it stands for.
    pub(crate) stands_for: String,
    /// Why it does no harm that a proof could find; `None` for those that must be caught.
    pub(crate) harmless: Option<String>,
    pub(crate) edit: Vec<Edit>,
}

/// A text that must occur exactly once, and what takes its place.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Edit {
    /// Below `crates`.
    pub(crate) file: String,
    find: String,
    replace: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    mutant: Vec<Mutant>,
}

/// All of them, in the order of files and within.
pub(crate) fn read_all(root: &Path) -> Result<Vec<Mutant>, Failed> {
    let directory = root.join("crates/simulator/mutants");
    let unreadable = |source| Failed::File { path: directory.clone(), source };
    let mut paths: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(&directory).map_err(unreadable)? {
        paths.push(entry.map_err(unreadable)?.path());
    }
    paths.sort();
    let mut all: Vec<Mutant> = Vec::new();
    for path in paths {
        let file = toml::from_str::<File>(&read(&path)?)
            .map_err(|source| Failed::Toml { path, source: Box::new(source) })?;
        all.extend(file.mutant);
    }
    let mut names = BTreeSet::new();
    match all.iter().find(|one| !names.insert(one.name.as_str())) {
        Some(twice) => Err(Failed::SameName(twice.name.clone())),
        None => Ok(all),
    }
}

impl Mutant {
    /// Whether every edit has exactly one place.
    pub(crate) fn fits(&self, root: &Path) -> Result<(), Failed> {
        self.files().iter().try_for_each(|file| self.edited(root, file).map(drop))
    }

    /// The files that it changes, each once.
    pub(crate) fn files(&self) -> BTreeSet<&str> {
        self.edit.iter().map(|edit| edit.file.as_str()).collect()
    }

    /// A file of `root` with the mistake in it.
    pub(crate) fn edited(&self, root: &Path, file: &str) -> Result<String, Failed> {
        let mut text = read(&root.join("crates").join(file))?;
        for edit in self.edit.iter().filter(|edit| edit.file == file) {
            let count = text.matches(&edit.find).count();
            if count != 1 {
                let (mutant, file) = (self.name.clone(), edit.file.clone());
                return Err(Failed::Stale { mutant, file, count });
            }
            text = text.replace(&edit.find, &edit.replace);
        }
        Ok(text)
    }
}

fn read(path: &Path) -> Result<String, Failed> {
    fs::read_to_string(path).map_err(|source| Failed::File { path: path.to_owned(), source })
}
