//! The copy of one reference of a repository on this machine; never more than a cache: without it the
//! newest commit is fetched again.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::time::Instant;

use gix::ObjectId;
use gix::refs::transaction::PreviousValue;

use super::fetch::{self, Fetch};
use super::in_words;
use super::objects::Tip;
use super::web::GitWeb;
use crate::config::{GitConfig, GitUrl};

/// The newest commit that was fetched.
pub(super) const NEWEST: &str = "refs/evenkeel/newest";
/// The commit whose manifests were last taken.
const KEPT: &str = "refs/evenkeel/kept";
/// One object of a repository; what people commit by mistake is larger, and is then told.
const OBJECT_BYTES_MAX: usize = 64 << 20;
/// Every fetch leaves a pack, and each is opened to find an object.
const PACKS_MAX: usize = 50;

#[derive(Debug)]
pub(super) struct Cache {
    /// `None`: the repository is read in place.
    path: Option<PathBuf>,
}

impl Cache {
    /// What is fetched from elsewhere, or another reference, is kept elsewhere; and what was verified is not
    /// mistaken for what was not.
    pub(super) fn new(directory: &Path, config: &GitConfig) -> Self {
        let url = match &config.url {
            GitUrl::Local(_) => return Self { path: None },
            GitUrl::Http(url) | GitUrl::Ssh(url) | GitUrl::Daemon(url) => url,
        };
        let mut hasher = DefaultHasher::new();
        (url, format!("{:?}", config.revision)).hash(&mut hasher);
        if config.verify.is_some() {
            "verified".hash(&mut hasher);
        }
        Self { path: Some(directory.join(format!("{:016x}.git", hasher.finish()))) }
    }

    /// The repository with the wanted commit in it, and what the reference leads to. `from` is the commit that it
    /// has to follow from.
    pub(super) fn fetch(
        &self,
        config: &GitConfig,
        web: Option<&GitWeb>,
        from: Option<ObjectId>,
        deadline: Instant,
    ) -> Result<(gix::Repository, Tip), String> {
        let path = self.path.as_deref().ok_or("the repository is read in place")?;
        let repository = opened(path, config)?;
        let fetch = Fetch { repository: &repository, path, config, web, from, deadline };
        let fetched = fetch.run()?;
        let commit = super::objects::commit(&repository, fetched)?;
        Ok((repository, Tip { reference: fetched, commit }))
    }

    pub(super) fn kept_id(&self) -> Option<ObjectId> {
        self.kept().map(|(_, commit)| commit)
    }

    /// What [`Self::keep`] wrote last, with the repository that holds it.
    pub(super) fn kept(&self) -> Option<(gix::Repository, ObjectId)> {
        let repository = open(self.path.as_deref()?).ok()?;
        let id = repository.try_find_reference(KEPT).ok()??.try_id()?.detach();
        Some((repository, id))
    }

    /// A failure costs a fetch after the next start, and is met then. What has many packs is made anew by the next
    /// fetch.
    pub(super) fn keep(&self, commit: ObjectId) {
        let Some(path) = &self.path else { return };
        if packs(path) > PACKS_MAX && self.kept_id() == Some(commit) {
            return start_anew(path);
        }
        let written = open(path).and_then(|repository| {
            repository.reference(KEPT, commit, PreviousValue::Any, "kept").map(|_| ())
        });
        if let Err(error) = written {
            tracing::debug!(error = in_words(&error), "the commit in force is not kept");
        }
    }
}

/// Neither the environment nor the files of this machine say anything about git.
pub(super) fn open(path: &Path) -> Result<gix::Repository, gix::Error> {
    gix::open_opts(path, options(""))
}

fn options(ssh_command: &str) -> gix::open::Options {
    let overrides = [
        "core.useReplaceRefs=false".to_owned(),
        "pack.threads=1".to_owned(),
        "ssh.variant=ssh".to_owned(),
        format!("gitoxide.objects.allocLimit={OBJECT_BYTES_MAX}"),
        format!("core.sshCommand={ssh_command}"),
    ];
    let used = overrides.into_iter().filter(|one| !one.ends_with('='));
    gix::open::Options::isolated().config_overrides(used).open_path_as_is(false)
}

/// A cache that is broken is thrown away.
fn opened(path: &Path, config: &GitConfig) -> Result<gix::Repository, String> {
    let options = options(&fetch::ssh_command(config)?);
    if let Ok(repository) = gix::open_opts(path, options.clone()) {
        return Ok(repository);
    }
    start_anew(path);
    let cannot = |why: String| {
        format!("the cache {} cannot be made: {why}: mend cacheDirectory", path.display())
    };
    fs::create_dir_all(path).map_err(|error| cannot(error.to_string()))?;
    let kind = gix::create::Kind::Bare;
    gix::ThreadSafeRepository::init_opts(path, kind, gix::create::Options::default(), options)
        .map(Into::into)
        .map_err(|error| cannot(in_words(&error)))
}

fn start_anew(path: &Path) {
    if let Err(error) = fs::remove_dir_all(path)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(path = %path.display(), %error, "an old cache cannot be removed");
    }
}

fn packs(path: &Path) -> usize {
    fs::read_dir(path.join("objects/pack")).map_or(0, |entries| entries.count() / 2)
}
