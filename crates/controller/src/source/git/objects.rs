//! Reads manifests out of the object database by the entries of trees; never inflates an object before its
//! size is known, and never follows a link.

use std::collections::BTreeSet;
use std::time::Instant;

use evenkeel_manifest::File;
use gix::bstr::{BStr, ByteSlice};
use gix::objs::tree::EntryRef;
use gix::objs::{Kind, TreeRefIter};
use gix::{ObjectId, Repository};

use super::super::tree::{Tree, TreeLimits, Unreadable};
use super::in_words;
use super::wanted::Wanted;
use crate::style::safe;

/// Entries of all trees together, manifests or not.
const ENTRIES_MAX: usize = 500_000;
/// About 400,000 entries in one directory.
const TREE_BYTES_MAX: u64 = 16 << 20;
const COMMIT_BYTES_MAX: u64 = 1 << 20;
/// Annotated tags of tags.
const TAGS_MAX: usize = 5;

const FILE: u16 = 0o100_644;
const EXECUTABLE: u16 = 0o100_755;
const LINK: u16 = 0o120_000;
const SUBMODULE: u16 = 0o160_000;
const DIRECTORY: u16 = 0o040_000;

/// What a reference leads to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tip {
    /// An annotated tag, or the commit itself.
    pub reference: ObjectId,
    pub commit: ObjectId,
}

/// The bytes of a commit or an annotated tag, without the header of the object.
pub(super) fn raw(repository: &Repository, id: ObjectId, kind: Kind) -> Result<Vec<u8>, String> {
    object(repository, id, kind, COMMIT_BYTES_MAX)
}

/// The tree of `path` in a commit.
pub(super) fn root(
    repository: &Repository,
    commit: ObjectId,
    path: &str,
    limits: &TreeLimits,
) -> Result<ObjectId, String> {
    let commit_object = object(repository, commit, Kind::Commit, COMMIT_BYTES_MAX)?;
    let parsed = gix::objs::CommitRef::from_bytes(&commit_object, repository.object_hash());
    let parsed = parsed.map_err(|_| format!("the commit {commit} cannot be understood"))?;
    let mut tree = parsed.tree();
    for (depth, part) in path.split('/').filter(|part| !part.is_empty()).enumerate() {
        if depth > limits.depth {
            return Err(format!("the path {path} is too deep"));
        }
        let data = object(repository, tree, Kind::Tree, TREE_BYTES_MAX)?;
        tree = directory_of(&data, part, repository).ok_or_else(|| {
            format!("the commit {commit} has no directory {path}: mend git.path, or bring it back")
        })?;
    }
    Ok(tree)
}

fn directory_of(data: &[u8], name: &str, repository: &Repository) -> Option<ObjectId> {
    let mut entries = TreeRefIter::from_bytes(data, repository.object_hash()).map_while(Result::ok);
    let fits = |entry: &EntryRef<'_>| {
        entry.filename == name.as_bytes().as_bstr() && entry.mode.value() == DIRECTORY
    };
    entries.find(fits).map(|entry| entry.oid.to_owned())
}

/// All manifests below `tree`. What cannot be read is told and hinders no other file; what is too much as a
/// whole is an error.
pub(super) fn read(
    repository: &Repository,
    tree: ObjectId,
    wanted: &Wanted,
    limits: &TreeLimits,
    deadline: Instant,
) -> Result<Tree, String> {
    let mut reader = Reader {
        repository,
        wanted,
        limits,
        deadline,
        tree: Tree::default(),
        entries: 0,
        bytes: 0,
    };
    reader.directory(tree, "", 0)?;
    reader.tree.files.sort_by(|a, b| a.name.cmp(&b.name));
    reader.tree.unreadable.sort_by(|a, b| a.name.cmp(&b.name));
    reader.tree.unreadable.dedup();
    Ok(reader.tree)
}

/// A checked object. What is missing or of another kind is a fault of the whole repository.
fn object(
    repository: &Repository,
    id: ObjectId,
    kind: Kind,
    bytes_max: u64,
) -> Result<Vec<u8>, String> {
    let header = repository
        .find_header(id)
        .map_err(|error| format!("the {kind} {id} cannot be read: {}", in_words(&error)))?;
    if header.kind() != kind {
        return Err(format!("the object {id} is a {} and not a {kind}", header.kind()));
    }
    if header.size() > bytes_max {
        return Err(format!("the {kind} {id} is larger than {} KiB", bytes_max >> 10));
    }
    let mut object = repository
        .find_object(id)
        .map_err(|error| format!("the {kind} {id} cannot be read: {}", in_words(&error)))?;
    Ok(std::mem::take(&mut object.data))
}

/// The commit that an id stands for, through annotated tags.
pub(super) fn commit(repository: &Repository, mut id: ObjectId) -> Result<ObjectId, String> {
    for _ in 0..TAGS_MAX {
        let header = repository
            .find_header(id)
            .map_err(|error| format!("the object {id} cannot be read: {}", in_words(&error)))?;
        match header.kind() {
            Kind::Commit => return Ok(id),
            Kind::Tag => {
                let data = object(repository, id, Kind::Tag, COMMIT_BYTES_MAX)?;
                let tag = gix::objs::TagRef::from_bytes(&data, repository.object_hash())
                    .map_err(|_| format!("the tag {id} cannot be understood"))?;
                id = tag.target();
            }
            other => return Err(format!("the reference leads to a {other} and not to a commit")),
        }
    }
    Err("the tag leads to tags of tags and to no commit".to_owned())
}

struct Reader<'a> {
    repository: &'a Repository,
    wanted: &'a Wanted,
    limits: &'a TreeLimits,
    deadline: Instant,
    tree: Tree,
    entries: usize,
    bytes: u64,
}

impl Reader<'_> {
    fn directory(&mut self, id: ObjectId, path: &str, depth: usize) -> Result<(), String> {
        if depth >= self.limits.depth {
            let message =
                format!("is more than {} directories deep and not read", self.limits.depth);
            self.unreadable(path, &message);
            return Ok(());
        }
        if Instant::now() > self.deadline {
            return Err("reading the commit took too long: raise git.timeout, or narrow git.path"
                .to_owned());
        }
        let data = match object(self.repository, id, Kind::Tree, TREE_BYTES_MAX) {
            Ok(data) => data,
            Err(why) if path.is_empty() => return Err(why),
            Err(why) => {
                self.unreadable(path, &format!("cannot be read: {why}"));
                return Ok(());
            }
        };
        let mut names = BTreeSet::new();
        for entry in TreeRefIter::from_bytes(&data, self.repository.object_hash()) {
            let Ok(entry) = entry else {
                let path = if path.is_empty() { "." } else { path };
                self.unreadable(path, "is a tree that cannot be understood: run git fsck");
                return Ok(());
            };
            self.count_entry()?;
            if names.insert(entry.filename) {
                self.entry(&entry, path, depth)?;
            } else {
                self.twice(entry.filename, path);
            }
        }
        Ok(())
    }

    fn count_entry(&mut self) -> Result<(), String> {
        self.entries += 1;
        if self.entries > ENTRIES_MAX {
            return Err(format!(
                "the commit holds more than {ENTRIES_MAX} files and directories: name a directory with \
                 manifests only in git.path"
            ));
        }
        Ok(())
    }

    fn entry(&mut self, entry: &EntryRef<'_>, path: &str, depth: usize) -> Result<(), String> {
        if is_hidden(entry.filename) {
            return Ok(());
        }
        let shown = joined(path, &safe(&entry.filename.to_str_lossy()));
        let is_directory = entry.mode.value() == DIRECTORY;
        let matters = is_directory || self.wanted.takes(&raw_path(path, entry.filename));
        if let Some(why) = odd(entry.filename) {
            if matters {
                self.unreadable(&shown, why);
            }
            return Ok(());
        }
        match entry.mode.value() {
            DIRECTORY => self.directory(entry.oid.to_owned(), &shown, depth + 1),
            FILE | EXECUTABLE if matters => self.file(entry.oid.to_owned(), &shown),
            SUBMODULE => {
                // What it holds is in another repository, and nobody may have wanted it here.
                tracing::debug!(path = %shown, "a submodule is not read");
                Ok(())
            }
            LINK if matters => {
                self.unreadable(&shown, "is a symbolic link and is not followed: commit the file");
                Ok(())
            }
            mode if matters => {
                let message =
                    format!("has the mode {mode:o}: expected a file of mode 100644 or 100755");
                self.unreadable(&shown, &message);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn file(&mut self, id: ObjectId, path: &str) -> Result<(), String> {
        let text = match object(self.repository, id, Kind::Blob, self.limits.file_bytes) {
            Ok(data) => text(data),
            Err(why) => Err(format!("cannot be read: {why}")),
        };
        match text {
            Ok(text) => {
                self.bytes += u64::try_from(text.len()).unwrap_or(u64::MAX);
                self.tree.files.push(File { name: path.into(), text });
            }
            Err(why) => self.unreadable(path, &why),
        }
        if self.tree.files.len() + self.tree.unreadable.len() > self.limits.files {
            return Err(too_much(&format!("{} files", self.limits.files)));
        }
        if self.bytes > self.limits.total_bytes {
            return Err(too_much(&format!("{} MiB", self.limits.total_bytes >> 20)));
        }
        Ok(())
    }

    /// Which of the two is meant cannot be known.
    fn twice(&mut self, name: &BStr, path: &str) {
        let shown = joined(path, &safe(&name.to_str_lossy()));
        let of_it = format!("{shown}/");
        self.tree.files.retain(|file| *file.name != *shown && !file.name.starts_with(&of_it));
        self.unreadable(&shown, "is twice in its directory: run git fsck");
    }

    fn unreadable(&mut self, path: &str, message: &str) {
        self.tree.unreadable.push(Unreadable { name: path.into(), message: message.to_owned() });
    }
}

fn too_much(limit: &str) -> String {
    format!("the commit holds manifests of more than {limit}: narrow git.path or git.include")
}

fn joined(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") }
}

/// As in a directory: nothing hidden is read, and so no `.git`.
fn is_hidden(name: &BStr) -> bool {
    name.starts_with(b".")
        && !matches!(&**name, b"." | b"..")
        && !name.contains(&b'/')
        && !name.contains(&b'\\')
}

fn raw_path(path: &str, name: &BStr) -> Vec<u8> {
    if path.is_empty() { name.to_vec() } else { [path.as_bytes(), b"/", name.as_ref()].concat() }
}

/// Why a name is not one that people give files.
fn odd(name: &BStr) -> Option<&'static str> {
    let Ok(text) = name.to_str() else {
        return Some("has a name that is not UTF-8 and is not read");
    };
    if matches!(text, "" | "." | "..") || text.contains(['/', '\\']) {
        return Some("has a name that leads elsewhere on some systems and is not read");
    }
    if text.chars().any(char::is_control) || text.len() > 255 {
        return Some("has a name with control characters, or a very long one, and is not read");
    }
    None
}

fn text(data: Vec<u8>) -> Result<String, String> {
    if data.starts_with(b"version https://git-lfs.github.com/spec/") {
        return Err("is a pointer of Git LFS: commit the file itself".to_owned());
    }
    if data.contains(&0) {
        return Err("holds NUL bytes and is no text".to_owned());
    }
    String::from_utf8(data).map_err(|_| "is not UTF-8 text".to_owned())
}
