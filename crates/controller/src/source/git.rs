//! One reference of a git repository, read without a checkout; never lets a commit that cannot be read,
//! or that does not follow from the one in force, take its place.

mod cache;
mod daemon;
mod fetch;
mod history;
mod keyring;
mod named;
mod objects;
mod openpgp;
mod signature;
mod signers;
mod ssh;
mod wanted;
mod web;

use std::path::Path;
use std::time::Instant;

use gix::ObjectId;
use jiff::Timestamp;

use super::tree::{Tree, TreeLimits};
use crate::config::{GitConfig, GitRevision, GitUrl};
use crate::style::safe;
use cache::Cache;
pub(crate) use named::LocalRepository;
use objects::Tip;
pub(crate) use signature::Signer;
use wanted::Wanted;
use web::GitWeb;

/// What is known about the commit that a source has in force.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Revision {
    /// 40 hexadecimal digits.
    pub commit: String,
    /// The id of the tree of all that is read of the commit: two commits with the same digest say the same.
    pub digest: String,
    /// Who signed it, where that is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signer: Option<Signer>,
}

/// Reads one source again and again, from one thread at a time.
#[derive(Debug)]
pub(crate) struct GitReader {
    config: GitConfig,
    limits: TreeLimits,
    wanted: Wanted,
    cache: Cache,
    web: Option<GitWeb>,
    in_force: Option<InForce>,
}

#[derive(Clone, Debug)]
struct InForce {
    commit: ObjectId,
    tree: ObjectId,
    /// `None`: nobody has to sign, or after a restart the commit would not be allowed any more.
    signer: Option<Signer>,
    /// Manifests were there: their sudden absence is a fault.
    had_files: bool,
}

/// What one look came to. A fault leaves in force what was.
#[derive(Debug, Default)]
pub(crate) struct GitLook {
    pub found: Option<Found>,
    pub fault: Option<String>,
}

#[derive(Debug)]
pub(crate) enum Found {
    /// The commit in force is still the one that is wanted, or it differs elsewhere in the repository only.
    Same(Revision),
    Changed(Revision, Tree),
}

impl GitReader {
    /// `cache` is the directory of this source alone.
    pub(crate) fn new(config: GitConfig, cache: &Path) -> Self {
        let wanted = Wanted::new(&config.include, &config.exclude);
        let cache = Cache::new(cache, &config);
        let limits = TreeLimits::default();
        Self { config, limits, wanted, cache, web: None, in_force: None }
    }

    /// Blocks for at most about the configured time-out, and at the start for twice that: what is on this
    /// machine is read also after a server has used up the whole of it.
    pub(crate) fn look(&mut self) -> GitLook {
        match self.newest(Instant::now() + self.config.timeout) {
            Ok(found) => GitLook { found: Some(found), fault: None },
            Err(fault) => {
                let found = self.restored(Instant::now() + self.config.timeout);
                GitLook { found, fault: Some(shown(&fault)) }
            }
        }
    }

    fn newest(&mut self, deadline: Instant) -> Result<Found, String> {
        let (repository, tip) = self.wanted_commit(deadline)?;
        let commit = tip.commit;
        self.refuse_other_history(&repository, commit)?;
        let signer = self.signer(&repository, tip)?;
        let found = self.take(&repository, commit, signer, deadline)?;
        self.cache.keep(commit);
        Ok(found)
    }

    fn wanted_commit(&mut self, deadline: Instant) -> Result<(gix::Repository, Tip), String> {
        match &self.config.url {
            GitUrl::Local(path) => in_place(path, &self.config.revision),
            GitUrl::Http(_) => {
                if self.web.is_none() {
                    self.web = Some(GitWeb::new().map_err(|error| {
                        format!("the certificates of this machine cannot be read: {error}")
                    })?);
                }
                self.cache.fetch(&self.config, self.web.as_ref(), self.to_follow(), deadline)
            }
            GitUrl::Ssh(_) | GitUrl::Daemon(_) => {
                self.cache.fetch(&self.config, None, self.to_follow(), deadline)
            }
        }
    }

    /// The commit before the last restart, when nothing newer can be had.
    fn restored(&mut self, deadline: Instant) -> Option<Found> {
        if self.in_force.is_some() {
            return None;
        }
        let (repository, commit) = self.cache.kept()?;
        // It was verified when it took over; here only who signed it is asked for.
        let signer = self.signer(&repository, Tip { reference: commit, commit });
        self.take(&repository, commit, signer.ok().flatten(), deadline).ok()
    }

    /// Who signed the commit that is to take over. One that is in force is not asked for again.
    fn signer(&self, repository: &gix::Repository, tip: Tip) -> Result<Option<Signer>, String> {
        let Some(verify) = &self.config.verify else { return Ok(None) };
        match &self.in_force {
            Some(before) if before.commit == tip.commit && before.signer.is_some() => {
                Ok(before.signer.clone())
            }
            _ => {
                let now = Timestamp::now();
                signature::check(repository, tip, &self.config.revision, verify, now).map(Some)
            }
        }
    }

    /// The commit that the next has to follow from. A commit that the configuration names is what somebody wants,
    /// wherever it stands.
    fn to_follow(&self) -> Option<ObjectId> {
        let pinned = matches!(self.config.revision, GitRevision::Commit(_));
        if pinned || self.config.allow_force_push {
            return None;
        }
        self.in_force.as_ref().map(|one| one.commit).or_else(|| self.cache.kept_id())
    }

    fn refuse_other_history(
        &self,
        repository: &gix::Repository,
        to: ObjectId,
    ) -> Result<(), String> {
        match self.to_follow() {
            Some(from) if from != to => history::follows(repository, from, to),
            _ => Ok(()),
        }
    }

    fn take(
        &mut self,
        repository: &gix::Repository,
        commit: ObjectId,
        signer: Option<Signer>,
        deadline: Instant,
    ) -> Result<Found, String> {
        let tree = objects::root(repository, commit, &self.config.path, &self.limits)?;
        let (id, digest) = (commit.to_string(), tree.to_string());
        let revision = Revision { commit: id, digest, signer: signer.clone() };
        if let Some(before) = &mut self.in_force
            && before.tree == tree
        {
            (before.commit, before.signer) = (commit, signer);
            return Ok(Found::Same(revision));
        }
        let read = objects::read(repository, tree, &self.wanted, &self.limits, deadline)?;
        if read.files.is_empty() && read.unreadable.is_empty() && self.had_files(deadline)? {
            return Err(format!(
                "the commit {commit} holds no manifest{}: if all services are to go, remove the source \
                 from the configuration",
                below(&self.config.path)
            ));
        }
        let had_files = !read.files.is_empty();
        self.in_force = Some(InForce { commit, tree, signer, had_files });
        Ok(Found::Changed(revision, read))
    }

    /// Whether manifests were there: in the commit in force, or in that of before the last restart.
    fn had_files(&self, deadline: Instant) -> Result<bool, String> {
        if let Some(before) = &self.in_force {
            return Ok(before.had_files);
        }
        let Some((repository, kept)) = self.cache.kept() else { return Ok(false) };
        // Without the path, which is configured anew, nothing of it was in force.
        let Ok(tree) = objects::root(&repository, kept, &self.config.path, &self.limits) else {
            return Ok(false);
        };
        let read = objects::read(&repository, tree, &self.wanted, &self.limits, deadline)?;
        Ok(!read.files.is_empty())
    }
}

/// For messages.
fn below(path: &str) -> String {
    if path.is_empty() { String::new() } else { format!(" below {path}") }
}

fn in_place(path: &Path, revision: &GitRevision) -> Result<(gix::Repository, Tip), String> {
    let repository = cache::open(path).map_err(|error| {
        format!("the repository {} cannot be opened: {}", path.display(), in_words(&error))
    })?;
    let name = match revision {
        GitRevision::Default => "HEAD".to_owned(),
        GitRevision::Branch(name) => format!("refs/heads/{name}"),
        GitRevision::Tag(name) => format!("refs/tags/{name}"),
        GitRevision::Commit(id) => {
            let id = ObjectId::from_hex(id.as_bytes()).map_err(|error| error.to_string())?;
            return Ok((repository, Tip { reference: id, commit: id }));
        }
    };
    let missing = || gone(revision);
    let reference =
        repository.try_find_reference(name.as_str()).map_err(|error| in_words(&error))?;
    let mut reference = reference.ok_or_else(missing)?;
    let commit = reference.clone().peel_to_id().map_err(|_| missing())?.detach();
    let reference = reference.follow_to_object().map_err(|_| missing())?.detach();
    Ok((repository, Tip { reference, commit }))
}

/// What a vanished reference is told as.
fn gone(revision: &GitRevision) -> String {
    match revision {
        GitRevision::Default => {
            "the repository has no default branch with a commit: push one, or name \
                                 a branch"
                .to_owned()
        }
        GitRevision::Branch(name) => {
            format!("the repository has no branch {name} (any more): push it, or name another one")
        }
        GitRevision::Tag(name) => {
            format!("the repository has no tag {name} (any more): push it, or name another one")
        }
        GitRevision::Commit(id) => format!(
            "the server does not give out the commit {id}: it is unknown there, or no branch leads to it"
        ),
    }
}

/// The whole chain of causes, each once.
fn in_words(error: &gix::Error) -> String {
    let mut said: Vec<String> = Vec::new();
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = cause {
        let text = error.to_string();
        if !said.iter().any(|before| before.contains(&text)) {
            said.push(text);
        }
        cause = error.source();
    }
    said.join(": ")
}

/// Servers write parts of messages: they are kept short and on one line.
fn shown(message: &str) -> String {
    const MOST: usize = 600;
    let text: String = safe(message).chars().take(MOST + 1).collect();
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

#[cfg(test)]
mod tests;
