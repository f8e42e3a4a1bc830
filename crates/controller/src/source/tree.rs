//! Reads the manifests of a directory tree; never follows a link out of it and never takes a file
//! that it could not read for one that is gone.

use std::collections::BTreeSet;
use std::fs::File as OpenFile;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use evenkeel_manifest::File;
use walkdir::{DirEntry, WalkDir};

/// What is read at most; a tree beyond it is refused as a whole or, for one file, in part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TreeLimits {
    /// Bytes of one file.
    pub file_bytes: u64,
    /// Bytes of all files together.
    pub total_bytes: u64,
    pub files: usize,
    /// Directories within directories.
    pub depth: usize,
}

impl Default for TreeLimits {
    /// Ten thousand manifests of 4 KiB are 40 MiB; a real manifest is rarely over 20 KiB.
    fn default() -> Self {
        Self { file_bytes: 1 << 20, total_bytes: 256 << 20, files: 50_000, depth: 32 }
    }
}

/// The files of one look at a directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tree {
    /// Named relative to the root with `/`, in order of their names.
    pub files: Vec<File>,
    /// Files, and directories (whose files are then unknown), that could not be read.
    pub unreadable: Vec<Unreadable>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Unreadable {
    pub name: Arc<str>,
    pub message: String,
}

/// Why nothing at all could be learnt about a directory.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    #[error("the directory {path} cannot be read: {source}")]
    Root { path: PathBuf, source: io::Error },
    #[error("{path} is not a directory: name the directory that holds the manifests")]
    NotADirectory { path: PathBuf },
    #[error("{path} holds more than {limit}: name a directory with manifests only")]
    TooMuch { path: PathBuf, limit: String },
}

/// Reads every `.yaml`, `.yml` and `.json` file under `root` whose path has no hidden part.
pub(crate) fn read(root: &Path, limits: &TreeLimits) -> Result<Tree, TreeError> {
    walk(root, limits, true).map(|(tree, _)| tree)
}

/// A hash of all that [`read`] would return, without holding more than one file in memory: ten
/// thousand manifests are compared every minute and rarely differ.
pub(crate) fn fingerprint(root: &Path, limits: &TreeLimits) -> Result<u64, TreeError> {
    walk(root, limits, false).map(|(_, fingerprint)| fingerprint)
}

/// The tree, with or without the texts, and the hash of it with the texts.
pub(crate) fn walk(
    root: &Path,
    limits: &TreeLimits,
    keep_texts: bool,
) -> Result<(Tree, u64), TreeError> {
    let real_root =
        root.canonicalize().map_err(|source| TreeError::Root { path: root.to_owned(), source })?;
    if !real_root.is_dir() {
        return Err(TreeError::NotADirectory { path: root.to_owned() });
    }
    let (tree, hasher) = (Tree::default(), DefaultHasher::new());
    let mut reader = Reader { root, real_root, limits, keep_texts, tree, hasher, bytes: 0 };
    reader.read()?;
    reader.tree.unreadable.sort_by(|a, b| a.name.cmp(&b.name));
    reader.tree.unreadable.hash(&mut reader.hasher);
    Ok((reader.tree, reader.hasher.finish()))
}

struct Reader<'a> {
    root: &'a Path,
    real_root: PathBuf,
    limits: &'a TreeLimits,
    keep_texts: bool,
    tree: Tree,
    hasher: DefaultHasher,
    bytes: u64,
}

impl Reader<'_> {
    fn read(&mut self) -> Result<(), TreeError> {
        let mut paths = BTreeSet::new();
        let mut links = Vec::new();
        let walk = WalkDir::new(&self.real_root)
            .max_depth(self.limits.depth)
            .into_iter()
            .filter_entry(|entry| entry.depth() == 0 || !is_hidden(entry));
        for entry in walk {
            match entry {
                Ok(entry) if entry.path_is_symlink() => links.push(entry.into_path()),
                Ok(entry) if entry.file_type().is_file() && is_manifest(entry.path()) => {
                    paths.insert(entry.into_path());
                }
                Ok(_) => {}
                Err(error) => self.walk_failed(error)?,
            }
        }
        // In the order of names and not of the file system, for the sake of the fingerprint.
        links.sort();
        let linked = self.resolve(links, &paths);
        for path in paths.into_iter().chain(linked) {
            self.read_file(&path)?;
        }
        self.tree.files.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(())
    }

    /// A mounted `ConfigMap` consists of links into a hidden directory beside them: such files are
    /// read. A link to a file that is read anyway, or out of the tree, is not.
    fn resolve(&mut self, links: Vec<PathBuf>, read: &BTreeSet<PathBuf>) -> Vec<PathBuf> {
        let mut inside = Vec::new();
        for link in links.into_iter().filter(|link| is_manifest(link)) {
            match link.canonicalize() {
                Ok(target) if !target.starts_with(&self.real_root) => {
                    self.unreadable(&link, "is a link out of the directory and is not followed");
                }
                Ok(target) if target.is_file() && !read.contains(&target) => inside.push(link),
                Ok(_) => {}
                Err(error) => self.unreadable(&link, &format!("is a broken link: {error}")),
            }
        }
        inside
    }

    fn walk_failed(&mut self, error: walkdir::Error) -> Result<(), TreeError> {
        let path = error.path().unwrap_or(&self.real_root).to_owned();
        if path == self.real_root {
            let source = io::Error::from(error);
            return Err(TreeError::Root { path: self.root.to_owned(), source });
        }
        self.unreadable(&path, &format!("cannot be read: {}", io::Error::from(error)));
        Ok(())
    }

    fn read_file(&mut self, path: &Path) -> Result<(), TreeError> {
        match read_text(path, self.limits.file_bytes) {
            Ok(text) => {
                self.bytes += u64::try_from(text.len()).unwrap_or(u64::MAX);
                let name = self.name(path);
                (&name, &text).hash(&mut self.hasher);
                let text = if self.keep_texts { text } else { String::new() };
                self.tree.files.push(File { name, text });
            }
            Err(message) => self.unreadable(path, &message),
        }
        if self.bytes > self.limits.total_bytes {
            return Err(self.too_much(format!("{} MiB", self.limits.total_bytes >> 20)));
        }
        if self.tree.files.len() > self.limits.files {
            return Err(self.too_much(format!("{} files", self.limits.files)));
        }
        Ok(())
    }

    fn too_much(&self, limit: String) -> TreeError {
        TreeError::TooMuch { path: self.root.to_owned(), limit }
    }

    fn unreadable(&mut self, path: &Path, message: &str) {
        let name = self.name(path);
        self.tree.unreadable.push(Unreadable { name, message: message.to_owned() });
    }

    fn name(&self, path: &Path) -> Arc<str> {
        let relative = path.strip_prefix(&self.real_root).unwrap_or(path);
        relative.to_string_lossy().replace(std::path::MAIN_SEPARATOR, "/").into()
    }
}

/// The text of one file, or in words why there is none.
pub(crate) fn read_text(path: &Path, bytes_max: u64) -> Result<String, String> {
    let mut bytes = Vec::new();
    let file = OpenFile::open(path).map_err(|error| format!("cannot be opened: {error}"))?;
    // A pipe or a device would block or never end.
    if !file.metadata().is_ok_and(|metadata| metadata.is_file()) {
        return Err("is not a regular file".to_owned());
    }
    file.take(bytes_max + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| format!("cannot be read: {error}"))?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > bytes_max {
        return Err(format!("is larger than {} KiB", bytes_max >> 10));
    }
    String::from_utf8(bytes).map_err(|_| "is not UTF-8 text".to_owned())
}

fn is_manifest(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    matches!(extension, Some("yaml" | "yml" | "json"))
}

fn is_hidden(entry: &DirEntry) -> bool {
    entry.file_name().to_string_lossy().starts_with('.')
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn names(tree: &Tree) -> Vec<&str> {
        tree.files.iter().map(|file| &*file.name).collect()
    }

    fn unreadable(tree: &Tree) -> Vec<String> {
        tree.unreadable.iter().map(|u| format!("{} {}", u.name, u.message)).collect()
    }

    #[test]
    fn reads_manifests_by_their_extension_and_nothing_hidden() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("team/.git")).unwrap();
        for name in ["b.yaml", "a.yml", "team/c.json", "README.md", ".x.yaml", "team/.git/d.yaml"] {
            fs::write(dir.path().join(name), "x").unwrap();
        }
        let tree = read(dir.path(), &TreeLimits::default()).unwrap();
        assert_eq!(names(&tree), ["a.yml", "b.yaml", "team/c.json"]);
        assert_eq!(unreadable(&tree), Vec::<String>::new());
    }

    #[test]
    fn reads_the_links_of_a_mounted_config_map() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("..2026")).unwrap();
        fs::write(dir.path().join("..2026/web.yaml"), "x").unwrap();
        symlink("..2026", dir.path().join("..data")).unwrap();
        symlink("..data/web.yaml", dir.path().join("web.yaml")).unwrap();
        let tree = read(dir.path(), &TreeLimits::default()).unwrap();
        assert_eq!(names(&tree), ["web.yaml"]);
    }

    #[test]
    fn a_link_out_of_the_tree_is_not_followed_and_a_second_name_is_not_read_twice() {
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("secret.yaml"), "x").unwrap();
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("web.yaml"), "x").unwrap();
        symlink("web.yaml", dir.path().join("again.yaml")).unwrap();
        symlink(outside.path().join("secret.yaml"), dir.path().join("out.yaml")).unwrap();
        symlink(outside.path(), dir.path().join("directory")).unwrap();
        let tree = read(dir.path(), &TreeLimits::default()).unwrap();
        assert_eq!(names(&tree), ["web.yaml"]);
        assert_eq!(
            unreadable(&tree),
            ["out.yaml is a link out of the directory and is not followed"]
        );
    }

    #[test]
    fn a_file_too_large_or_not_text_is_told_and_the_others_are_read() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("big.yaml"), "x".repeat(2049)).unwrap();
        fs::write(dir.path().join("binary.yaml"), [0xff, 0xfe]).unwrap();
        fs::write(dir.path().join("good.yaml"), "x").unwrap();
        let limits = TreeLimits { file_bytes: 2048, ..TreeLimits::default() };
        let tree = read(dir.path(), &limits).unwrap();
        assert_eq!(names(&tree), ["good.yaml"]);
        assert_eq!(
            unreadable(&tree),
            ["big.yaml is larger than 2 KiB", "binary.yaml is not UTF-8 text"]
        );
    }

    #[test]
    fn a_directory_that_is_not_there_is_an_error_and_not_an_empty_tree() {
        let error = read(Path::new("/nonexistent"), &TreeLimits::default()).unwrap_err();
        assert!(matches!(error, TreeError::Root { .. }), "{error}");
    }

    #[test]
    fn the_fingerprint_changes_with_a_name_a_text_and_what_cannot_be_read() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str| dir.path().join(name);
        let look = || fingerprint(dir.path(), &TreeLimits::default()).unwrap();
        fs::write(file("a.yaml"), "x").unwrap();
        let mut seen = vec![look(), look()];
        assert_eq!(seen[0], seen[1]);
        fs::write(file("a.yaml"), "y").unwrap();
        seen.push(look());
        fs::rename(file("a.yaml"), file("b.yaml")).unwrap();
        seen.push(look());
        symlink("nowhere", file("c.yaml")).unwrap();
        seen.push(look());
        assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), 4);
    }

    #[test]
    fn too_many_files_are_refused_as_a_whole() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a.yaml", "b.yaml"] {
            fs::write(dir.path().join(name), "x").unwrap();
        }
        let limits = TreeLimits { files: 1, ..TreeLimits::default() };
        let error = read(dir.path(), &limits).unwrap_err();
        assert!(matches!(error, TreeError::TooMuch { .. }), "{error}");
    }
}
