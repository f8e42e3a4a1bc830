//! Manifests of a named revision of a repository on this machine; never writes to it, checks nothing out, and runs no
//! program.

use std::path::Path;
use std::time::{Duration, Instant};

use gix::{ObjectId, Repository};

use super::super::tree::{Tree, TreeLimits};
use super::wanted::Wanted;
use super::{cache, in_words, objects};

const READ_MAX: Duration = Duration::from_mins(1);
/// Steps of `~` and `^` together.
const STEPS_MAX: usize = 1_000;

/// What a revision holds.
#[derive(Debug)]
pub(crate) struct NamedRevision {
    /// 40 hexadecimal digits.
    pub commit: String,
    /// Named relative to the root of the repository.
    pub tree: Tree,
}

/// A repository of which revisions are read.
pub(crate) struct LocalRepository {
    repository: Repository,
}

impl LocalRepository {
    /// Opens the repository whose work tree, or a directory of it, or which itself is at `path`.
    pub(crate) fn open(path: &Path) -> Result<Self, String> {
        let cannot = |why: &str| {
            format!("{} is not in a git repository that can be read: {why}", path.display())
        };
        let at = path.canonicalize().map_err(|error| cannot(&error.to_string()))?;
        let holds_one = |directory: &&Path| directory.join(".git").exists();
        let root = at.ancestors().find(holds_one).unwrap_or(&at);
        let repository = cache::open(root).map_err(|error| cannot(&in_words(&error)))?;
        Ok(Self { repository })
    }

    /// What is below `paths`, files or directories from the root of the repository with `/`; all without any.
    pub(crate) fn read(&self, revision: &str, paths: &[String]) -> Result<NamedRevision, String> {
        let commit = self.resolve(revision)?;
        let limits = TreeLimits::default();
        let wanted = Wanted::new(&patterns(paths), &[]);
        let root = objects::root(&self.repository, commit, "", &limits)?;
        let deadline = Instant::now() + READ_MAX;
        let mut tree = objects::read(&self.repository, root, &wanted, &limits, deadline)?;
        tree.unreadable.retain(|one| is_below(&one.name, paths));
        Ok(NamedRevision { commit: commit.to_string(), tree })
    }

    /// A name or an id, followed by any of `^`, `^2` and `~3`.
    fn resolve(&self, revision: &str) -> Result<ObjectId, String> {
        let unknown = || {
            format!(
                "`{revision}` is no revision of the repository: name a branch, a tag or a commit"
            )
        };
        let end = revision.find(['^', '~']).unwrap_or(revision.len());
        let (name, steps) = revision.split_at_checked(end).ok_or_else(unknown)?;
        let id = self.named(name).ok_or_else(unknown)?;
        let mut commit = objects::commit(&self.repository, id)?;
        for parent in parents(steps).ok_or_else(unknown)? {
            commit = self.parent(commit, parent).ok_or_else(|| {
                format!("`{revision}` is not there: in a shallow clone, fetch more of the history")
            })?;
        }
        Ok(commit)
    }

    fn named(&self, name: &str) -> Option<ObjectId> {
        if let Ok(id) = ObjectId::from_hex(name.as_bytes()) {
            return Some(id);
        }
        let reference = self.repository.try_find_reference(name).ok().flatten();
        if let Some(mut reference) = reference {
            return Some(reference.peel_to_id().ok()?.detach());
        }
        let prefix = gix::hash::Prefix::from_hex(name).ok()?;
        self.repository.objects.lookup_prefix(prefix, None).ok()??.ok()
    }

    /// The parent of that number, from 0.
    fn parent(&self, commit: ObjectId, number: usize) -> Option<ObjectId> {
        let object = self.repository.find_commit(commit).ok()?;
        let id = object.parent_ids().nth(number)?.detach();
        self.repository.has_object(id).then_some(id)
    }
}

/// The numbers of the parents that `^2~3` goes to, from 0.
fn parents(steps: &str) -> Option<Vec<usize>> {
    let mut parents = Vec::new();
    let mut rest = steps;
    while !rest.is_empty() {
        let kind = rest.chars().next()?;
        rest = rest.get(1..)?;
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, after) = rest.split_at_checked(digits)?;
        let number: usize = if number.is_empty() { 1 } else { number.parse().ok()? };
        match kind {
            '^' => parents.push(number.checked_sub(1)?),
            '~' if number <= STEPS_MAX => parents.extend(std::iter::repeat_n(0, number)),
            _ => return None,
        }
        rest = after;
    }
    (parents.len() <= STEPS_MAX).then_some(parents)
}

fn patterns(paths: &[String]) -> Vec<String> {
    let literal = |path: &String| {
        let mut pattern = String::new();
        for c in path.chars() {
            if matches!(c, '*' | '?' | '[' | ']' | '\\') {
                pattern.push('\\');
            }
            pattern.push(c);
        }
        pattern
    };
    paths.iter().map(literal).flat_map(|path| [format!("{path}/**"), path]).collect()
}

fn is_below(name: &str, paths: &[String]) -> bool {
    let below = |path: &String| {
        name.strip_prefix(path.as_str())
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    paths.is_empty() || paths.iter().any(below)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parents_are_counted_as_git_does() {
        assert_eq!(parents(""), Some(vec![]));
        assert_eq!(parents("^"), Some(vec![0]));
        assert_eq!(parents("^2~3"), Some(vec![1, 0, 0, 0]));
        for wrong in ["^0", "^{tree}", "~100000", "^x"] {
            assert_eq!(parents(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn paths_are_no_patterns() {
        let wanted = Wanted::new(&patterns(&["a[1]".to_owned(), "b*.yaml".to_owned()]), &[]);
        assert!(wanted.takes(b"a[1]/x/web.yaml") && wanted.takes(b"b*.yaml"));
        assert!(!wanted.takes(b"a1/web.yaml") && !wanted.takes(b"bcd.yaml"));
        assert!(is_below("a/b", &["a".to_owned()]) && !is_below("ab", &["a".to_owned()]));
    }
}
