//! The copy of the decision core in which mistakes are planted; never the code itself.

use std::fs;
use std::path::{Path, PathBuf};

use crate::Failed;
use crate::mutant::Mutant;

/// What the simulator is built from.
const CRATES: [&str; 4] = ["manifest", "planner", "reconciler", "simulator"];

/// A workspace of its own under `target/mutants`.
#[derive(Debug)]
pub(crate) struct Copied {
    root: PathBuf,
    pub(crate) workspace: PathBuf,
}

impl Copied {
    /// Brings the copy up to date. A file that is the same already keeps its time, so that builds of an
    /// earlier run still count.
    pub(crate) fn of(root: &Path) -> Result<Self, Failed> {
        let target =
            std::env::var_os("CARGO_TARGET_DIR").map_or(root.join("target"), PathBuf::from);
        let copied = Self { root: root.to_owned(), workspace: target.join("mutants") };
        for name in CRATES {
            let from = root.join("crates").join(name);
            let to = copied.workspace.join("crates").join(name);
            renew(&to.join("Cargo.toml"), &read(&from.join("Cargo.toml"))?)?;
            mirror(&from.join("src"), &to.join("src"))?;
        }
        for data in ["simulator/scenarios", "simulator/examples"] {
            mirror(&root.join("crates").join(data), &copied.workspace.join("crates").join(data))?;
        }
        renew(&copied.workspace.join("Cargo.lock"), &read(&root.join("Cargo.lock"))?)?;
        let manifest = read(&root.join("Cargo.toml"))?;
        renew(&copied.workspace.join("Cargo.toml"), &smaller(&manifest))?;
        Ok(copied)
    }

    pub(crate) fn plant(&self, mutant: &Mutant) -> Result<(), Failed> {
        for file in mutant.files() {
            let edited = mutant.edited(&self.root, file)?;
            renew(&self.workspace.join("crates").join(file), edited.as_bytes())?;
        }
        Ok(())
    }

    pub(crate) fn restore(&self, mutant: &Mutant) -> Result<(), Failed> {
        for file in mutant.files() {
            let original = read(&self.root.join("crates").join(file))?;
            renew(&self.workspace.join("crates").join(file), &original)?;
        }
        Ok(())
    }
}

/// The manifest of the workspace, without the members that reach AWS.
fn smaller(manifest: &[u8]) -> Vec<u8> {
    let members: Vec<String> = CRATES.iter().map(|name| format!("\"crates/{name}\"")).collect();
    let manifest = String::from_utf8_lossy(manifest);
    manifest.replace("\"crates/*\"", &members.join(", ")).into_bytes()
}

/// Makes `to` the same as `from`.
fn mirror(from: &Path, to: &Path) -> Result<(), Failed> {
    let Some(names) = names(from)? else { return Ok(()) };
    let stale = names_beyond(to, &names)?;
    for path in stale {
        let gone = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        gone.map_err(|source| Failed::File { path, source })?;
    }
    for name in names {
        let (from, to) = (from.join(&name), to.join(&name));
        if from.is_dir() { mirror(&from, &to)? } else { renew(&to, &read(&from)?)? }
    }
    Ok(())
}

/// `None` when there is no such directory.
fn names(directory: &Path) -> Result<Option<Vec<std::ffi::OsString>>, Failed> {
    if !directory.exists() {
        return Ok(None);
    }
    let failed = |source| Failed::File { path: directory.to_owned(), source };
    let entries = fs::read_dir(directory).map_err(failed)?;
    let names = entries.map(|entry| entry.map(|entry| entry.file_name())).collect::<Result<_, _>>();
    names.map(Some).map_err(failed)
}

fn names_beyond(to: &Path, wanted: &[std::ffi::OsString]) -> Result<Vec<PathBuf>, Failed> {
    let there = names(to)?.unwrap_or_default().into_iter();
    Ok(there.filter(|name| !wanted.contains(name)).map(|name| to.join(name)).collect())
}

fn read(path: &Path) -> Result<Vec<u8>, Failed> {
    fs::read(path).map_err(|source| Failed::File { path: path.to_owned(), source })
}

fn renew(path: &Path, content: &[u8]) -> Result<(), Failed> {
    if fs::read(path).is_ok_and(|before| before == content) {
        return Ok(());
    }
    let parent = path.parent().map_or(Ok(()), fs::create_dir_all);
    parent
        .and_then(|()| fs::write(path, content))
        .map_err(|source| Failed::File { path: path.to_owned(), source })
}
