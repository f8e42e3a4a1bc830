//! Manifests that are named on the command line; never follows a reference out of the directories
//! that were named.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use evenkeel_manifest::{File, ManifestSet, RenderedManifest, Service, Severity};

use crate::config::Config;
use crate::source::{Tree, TreeError, TreeLimits, read, read_text};

/// What the named files and directories say.
#[derive(Debug)]
pub(crate) struct Input {
    pub set: ManifestSet,
    /// Files that were read, references included.
    pub files: usize,
}

#[derive(Debug, thiserror::Error)]
pub enum InputError {
    #[error(transparent)]
    Tree(#[from] TreeError),
    #[error("{path} {message}; name files or directories of manifests")]
    File { path: String, message: String },
    #[error("standard input cannot be read: {0}")]
    Stdin(io::Error),
    #[error("no manifest was found in {0}; manifests are .yaml, .yml or .json files")]
    Nothing(String),
}

const STDIN: &str = "-";

/// One manifest file with the files that it names, before anything is made of them.
#[derive(Debug)]
pub(crate) struct OneFile {
    /// The name of the manifest among `files`.
    pub name: Arc<str>,
    pub files: Vec<File>,
    paths: BTreeMap<Arc<str>, Arc<str>>,
}

impl OneFile {
    pub(crate) fn read(path: &Path) -> Result<Self, InputError> {
        let mut files = Gathered::default();
        if path.is_dir() {
            let message = "is a directory".to_owned();
            return Err(InputError::File { path: path.display().to_string(), message });
        }
        files.add(path, true)?;
        files.add_references();
        let Gathered { tree, shown } = files;
        let name = tree.files.first().map(|file| file.name.clone()).unwrap_or_default();
        Ok(Self { name, files: tree.files, paths: shown })
    }

    /// Where a file is; `None` of standard input.
    pub(crate) fn path(&self, file: &str) -> Option<&Path> {
        self.paths.get(file).map(|path| Path::new(&**path))
    }
}

/// Reads and validates everything under `paths`, with the environment of that name laid over it.
pub(crate) fn load(paths: &[PathBuf], environment: Option<&str>) -> Result<Input, InputError> {
    let files = gather(paths)?;
    let set = evenkeel_manifest::load_in(&files.tree.files, environment);
    Ok(files.input(set))
}

/// As [`load`], with what the manifests became.
pub(crate) fn render(
    paths: &[PathBuf],
    environment: Option<&str>,
) -> Result<(Vec<RenderedManifest>, Input), InputError> {
    let files = gather(paths)?;
    let (mut rendered, set) = evenkeel_manifest::render(&files.tree.files, environment);
    for manifest in &mut rendered {
        if let Some(shown) = files.shown.get(&manifest.source.file) {
            manifest.source.file = shown.clone();
        }
        for text in &mut manifest.texts {
            if let Some(shown) = files.shown.get(&text.file) {
                text.file = shown.clone();
            }
        }
    }
    Ok((rendered, files.input(set)))
}

fn gather(paths: &[PathBuf]) -> Result<Gathered, InputError> {
    let mut files = Gathered::default();
    for path in paths {
        files.add(path, paths.len() == 1)?;
    }
    files.add_references();
    let tree = &files.tree;
    if tree.files.is_empty() && tree.unreadable.is_empty() {
        let names: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
        return Err(InputError::Nothing(names.join(", ")));
    }
    Ok(files)
}

impl Input {
    /// What the files of a revision say, with the environment of that name laid over it.
    pub(crate) fn of_tree(tree: &Tree, environment: Option<&str>) -> Self {
        let mut set = evenkeel_manifest::load_in(&tree.files, environment);
        set.problems.extend(crate::source::problems_of(tree));
        Self { set, files: tree.files.len() }
    }

    pub(crate) fn count(&self, severity: Severity) -> usize {
        self.set.problems.iter().filter(|problem| problem.severity == severity).count()
    }

    /// The services of the configured target, as a daemon would see them, and how many belong to others.
    pub(crate) fn services_of(self, config: &Config) -> (Vec<Service>, usize) {
        let (mut ours, others): (Vec<_>, Vec<_>) =
            self.set.services.into_iter().partition(|service| service.key.target == config.target);
        for service in &mut ours {
            config.windows.lay_over(service);
        }
        (ours, others.len())
    }
}

#[derive(Default)]
struct Gathered {
    tree: Tree,
    /// How a file is shown, where that is not its name: files of a directory are named relative to
    /// it, as the daemon does.
    shown: BTreeMap<Arc<str>, Arc<str>>,
}

impl Gathered {
    /// What the files say, under the names by which they were given.
    fn input(self, mut set: ManifestSet) -> Input {
        set.problems.extend(crate::source::problems_of(&self.tree));
        for problem in &mut set.problems {
            if let Some(shown) = self.shown.get(&problem.file) {
                problem.file = shown.clone();
            }
        }
        Input { set, files: self.tree.files.len() }
    }

    fn add(&mut self, path: &Path, alone: bool) -> Result<(), InputError> {
        if path == Path::new(STDIN) {
            let mut text = String::new();
            let limit = TreeLimits::default().file_bytes;
            io::stdin().take(limit + 1).read_to_string(&mut text).map_err(InputError::Stdin)?;
            self.tree.files.push(File { name: "standard input".into(), text });
            return Ok(());
        }
        if path.is_dir() { self.add_directory(path, alone) } else { self.add_file(path) }
    }

    fn add_directory(&mut self, directory: &Path, alone: bool) -> Result<(), InputError> {
        let tree = read(directory, &TreeLimits::default())?;
        let names: Vec<Arc<str>> = tree.files.iter().map(|file| file.name.clone()).collect();
        let broken = tree.unreadable.iter().map(|file| file.name.clone());
        for name in names.iter().cloned().chain(broken) {
            let shown: Arc<str> = directory.join(&*name).to_string_lossy().into();
            self.shown.insert(name, shown);
        }
        if alone {
            self.tree = tree;
            return Ok(());
        }
        let renamed = |name: &Arc<str>| -> Arc<str> { file_name(&directory.join(&**name)).into() };
        for mut file in tree.files {
            file.name = renamed(&file.name);
            self.push(file);
        }
        for mut file in tree.unreadable {
            file.name = renamed(&file.name);
            self.tree.unreadable.push(file);
        }
        Ok(())
    }

    fn add_file(&mut self, path: &Path) -> Result<(), InputError> {
        let shown = path.display().to_string();
        let text = read_text(path, TreeLimits::default().file_bytes)
            .map_err(|message| InputError::File { path: shown.clone(), message })?;
        let name: Arc<str> = file_name(path).into();
        self.shown.insert(name.clone(), shown.into());
        self.push(File { name, text });
        Ok(())
    }

    /// The same file named twice counts once.
    fn push(&mut self, file: File) {
        if !self.tree.files.iter().any(|known| known.name == file.name) {
            self.tree.files.push(file);
        }
    }

    /// A single file may refer to a task definition beside it.
    fn add_references(&mut self) {
        // The files of a directory are named relative to it.
        let shown = self.shown.values().map(|path| file_name(Path::new(&**path)).into());
        let names = self.tree.files.iter().map(|file| file.name.clone());
        let known: BTreeSet<Arc<str>> = names.chain(shown).collect();
        let mut found = Vec::new();
        for file in &self.tree.files {
            let Some(shown) = self.shown.get(&file.name) else { continue };
            let directory = Path::new(&**shown).parent().unwrap_or(Path::new(""));
            for reference in references(&file.text) {
                found.push(directory.join(reference));
            }
        }
        for path in found {
            let name: Arc<str> = file_name(&path).into();
            // One that is missing is told by the validation, at the place of the reference.
            if !known.contains(&name)
                && !name.starts_with("..")
                && read_text(&path, 1 << 20).is_ok()
            {
                let _read_a_moment_ago = self.add_file(&path);
            }
        }
    }
}

/// A path as the name of a file: relative, with `/`, without `.` and with `..` resolved.
fn file_name(path: &Path) -> String {
    let mut parts: Vec<String> = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(part) => parts.push(part.to_string_lossy().into_owned()),
            Component::ParentDir if parts.last().is_some_and(|part| part != "..") => {
                parts.pop();
            }
            Component::ParentDir => parts.push("..".to_owned()),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    parts.join("/")
}

/// The files that the manifests of a text include, relative ones only.
fn references(text: &str) -> Vec<String> {
    let mut paths = evenkeel_manifest::included_paths(text);
    paths.retain(|path| !Path::new(path).is_absolute());
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_relative_and_without_detours() {
        assert_eq!(file_name(Path::new("./deploy/../web.yaml")), "web.yaml");
        assert_eq!(file_name(Path::new("/srv/a/web.yaml")), "srv/a/web.yaml");
    }

    #[test]
    fn references_are_found_in_every_document() {
        let text = "spec: {taskDefinition: {file: a.json}}\n---\nspec: {taskDefinition: {file: /etc/x}}\n---\nspec: {taskDefinition: {family: x}}\n";
        assert_eq!(references(text), ["a.json"]);
    }
}
