//! Where manifests come from when that is more than one directory; never holds a secret, only the names of
//! files and variables that do.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use super::{CommitStatusConfig, ConfigProblem, Grant, RawCommitStatus, RawGrant};

/// A source as it is written down: a directory or a git repository.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct RawSource {
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub directory: Option<RawDirectory>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub git: Option<RawGit>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grant: Option<RawGrant>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit_status: Option<RawCommitStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hook: Option<RawHook>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct RawDirectory {
    pub path: PathBuf,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct RawGit {
    pub url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Patterns; none at all means every file.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub include: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credentials: Option<RawCredentials>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verify: Option<RawVerify>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub allow_force_push: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct RawCredentials {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_env: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ssh_key_file: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub known_hosts_file: Option<PathBuf>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct RawVerify {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ssh_allowed_signers_file: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open_pgp_keyring_file: Option<PathBuf>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct RawHook {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_file: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_env: Option<String>,
}

/// A source, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceConfig {
    /// Also the first part of the names of its files.
    pub name: String,
    /// What is laid over its manifests: its own, or that of all sources.
    pub environment: Option<String>,
    /// What it may manage; `None`: everything.
    pub grant: Option<Grant>,
    /// Where it is told how its commits fare; `None`: nowhere.
    pub commit_status: Option<CommitStatusConfig>,
    pub origin: SourceOrigin,
    /// The secret that a web hook proves to know; `None`: there is no web hook.
    pub hook: Option<Secret>,
}

#[cfg(test)]
impl SourceConfig {
    /// A directory of that name, for tests of what is made of its files.
    pub(crate) fn directory(name: &str) -> Self {
        let origin = SourceOrigin::Directory(PathBuf::from(name));
        let name = name.to_owned();
        Self { name, environment: None, grant: None, commit_status: None, origin, hook: None }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceOrigin {
    Directory(PathBuf),
    Git(Box<GitConfig>),
}

/// One reference of a repository and what of it is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GitConfig {
    pub url: GitUrl,
    pub revision: GitRevision,
    /// The directory of the repository below which manifests are, without `/` at its ends; empty for all.
    pub path: String,
    /// Patterns of paths below `path`; empty for all.
    pub include: Vec<String>,
    pub exclude: Vec<String>,
    /// The time between two looks, give or take a tenth.
    pub interval: Duration,
    /// A look that takes longer is given up.
    pub timeout: Duration,
    pub credentials: Credentials,
    /// Who may sign the commits that take over; `None`: nobody has to.
    pub verify: Option<Verify>,
    /// Whether a commit may take over that does not descend from the one in force.
    pub allow_force_push: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GitUrl {
    Http(String),
    Ssh(String),
    /// `git://`, which nobody vouches for: always beside [`GitConfig::verify`].
    Daemon(String),
    /// A repository on this machine, read in place.
    Local(PathBuf),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GitRevision {
    /// What the repository says is its default branch.
    Default,
    Branch(String),
    Tag(String),
    /// 40 hexadecimal digits.
    Commit(String),
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Credentials {
    pub username: Option<String>,
    pub token: Option<Secret>,
    pub ssh_key_file: Option<PathBuf>,
    pub known_hosts_file: Option<PathBuf>,
}

/// Where the public keys are whose owners may sign commits, in one file at least; read at every switch. A
/// signature by any of them will do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verify {
    /// In the format of ssh-keygen's ALLOWED SIGNERS.
    pub ssh_allowed_signers_file: Option<PathBuf>,
    /// As `gpg --export` writes them, armoured or not.
    pub open_pgp_keyring_file: Option<PathBuf>,
}

/// Where a secret is, never the secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Secret {
    File(PathBuf),
    Variable(String),
}

impl Secret {
    /// Read anew every time, because secrets are rotated. Errors never show it.
    pub(crate) fn read(&self) -> Result<String, String> {
        let text = match self {
            Self::File(path) => std::fs::read_to_string(path)
                .map_err(|error| format!("{} cannot be read: {error}", path.display()))?,
            Self::Variable(name) => std::env::var(name)
                .map_err(|_| format!("the environment variable {name} is not set"))?,
        };
        match text.trim() {
            "" => Err(format!("{self} is empty")),
            secret => Ok(secret.to_owned()),
        }
    }

    pub(super) fn of(file: Option<&PathBuf>, variable: Option<&String>) -> Option<Self> {
        file.map(|file| Self::File(file.clone()))
            .or_else(|| variable.map(|name| Self::Variable(name.clone())))
    }
}

impl std::fmt::Display for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Variable(name) => write!(f, "the environment variable {name}"),
        }
    }
}

/// Enough for the teams of one account and region.
const MOST: usize = 50;
const PATTERNS_MOST: usize = 50;
const INTERVAL: Duration = Duration::from_mins(1);
const TIMEOUT: Duration = Duration::from_mins(1);

/// What was written, and everything that is wrong with it. `environment` is that of sources that name none.
pub(super) fn read(
    raw: &[RawSource],
    environment: Option<&str>,
) -> (Vec<SourceConfig>, Vec<ConfigProblem>) {
    let mut problems = Vec::new();
    if raw.len() > MOST {
        let message = format!("expected at most {MOST} sources, found {}", raw.len());
        problems.push(ConfigProblem::new("sources", message));
    }
    let mut names = BTreeSet::new();
    let mut sources = Vec::new();
    for (index, one) in raw.iter().take(MOST).enumerate() {
        let mut told = Told { key: format!("sources[{index}]"), problems: &mut problems };
        if !names.insert(&one.name) {
            told.problem("name", "expected a name that no other source has");
        }
        let source = source(one, &mut told).map(|source| SourceConfig {
            environment: source.environment.or_else(|| environment.map(str::to_owned)),
            ..source
        });
        sources.extend(source);
    }
    (sources, problems)
}

struct Told<'a> {
    key: String,
    problems: &'a mut Vec<ConfigProblem>,
}

impl Told<'_> {
    fn problem(&mut self, member: &str, message: &str) {
        let key = format!("{}.{member}", self.key);
        self.problems.push(ConfigProblem::new(key, message));
    }

    fn need(&mut self, holds: bool, member: &str, expected: &str) {
        if !holds {
            self.problem(member, &format!("expected {expected}"));
        }
    }
}

fn source(raw: &RawSource, told: &mut Told<'_>) -> Option<SourceConfig> {
    told.need(is_name(&raw.name), "name", "1 to 63 letters, digits, `_` or `-`");
    let origin = match (&raw.directory, &raw.git) {
        (Some(directory), None) => {
            told.need(!directory.path.as_os_str().is_empty(), "directory.path", "a directory");
            Some(SourceOrigin::Directory(directory.path.clone()))
        }
        (None, Some(raw)) => git(raw, told).map(Box::new).map(SourceOrigin::Git),
        _ => {
            told.problem("git", "expected either `git` or `directory`");
            None
        }
    };
    let hook = raw.hook.as_ref().and_then(|hook| {
        let (file, variable) = (hook.secret_file.as_ref(), hook.secret_env.as_ref());
        told.need(file.is_some() != variable.is_some(), "hook", "either secretFile or secretEnv");
        Secret::of(file, variable)
    });
    let environment = raw.environment.clone().filter(|name| !name.is_empty());
    let grant = raw.grant.as_ref().map(|raw| {
        let (grant, wrong) = Grant::read(raw);
        for (member, expected) in wrong {
            told.need(false, member, expected);
        }
        grant
    });
    let commit_status = raw.commit_status.as_ref().map(|raw| {
        let (read, wrong) = CommitStatusConfig::read(raw);
        for (member, expected) in wrong {
            told.need(false, member, expected);
        }
        read
    });
    told.need(
        commit_status.is_none() || raw.git.is_some(),
        "commitStatus",
        "a git repository: a directory has no commits",
    );
    let name = raw.name.clone();
    Some(SourceConfig { name, environment, grant, commit_status, origin: origin?, hook })
}

fn git(raw: &RawGit, told: &mut Told<'_>) -> Option<GitConfig> {
    let path = raw.path.clone().unwrap_or_default();
    let path = path.trim_matches('/');
    told.need(path.is_empty() || is_path(path), "git.path", PATH);
    for (member, patterns) in [("git.include", &raw.include), ("git.exclude", &raw.exclude)] {
        let fit = patterns.iter().all(|pattern| is_pattern(pattern));
        told.need(patterns.len() <= PATTERNS_MOST && fit, member, PATTERNS);
    }
    let interval = duration(raw.interval.as_deref(), INTERVAL, "git.interval", told);
    let timeout = duration(raw.timeout.as_deref(), TIMEOUT, "git.timeout", told);
    let url = url(&raw.url).map_err(|why| told.problem("git.url", &why)).ok();
    let revision = revision(raw, told);
    let verify = verify(raw, told);
    if matches!(url, Some(GitUrl::Daemon(_))) && raw.verify.is_none() {
        told.problem("git.url", UNVERIFIED);
    }
    Some(GitConfig {
        credentials: credentials(raw, url.as_ref(), told),
        verify,
        url: url?,
        revision: revision?,
        path: path.to_owned(),
        include: raw.include.clone(),
        exclude: raw.exclude.clone(),
        interval,
        timeout,
        allow_force_push: raw.allow_force_push,
    })
}

fn duration(text: Option<&str>, default: Duration, member: &str, told: &mut Told<'_>) -> Duration {
    let Some(text) = text else { return default };
    let read = text.parse::<SignedDuration>().ok().and_then(|one| Duration::try_from(one).ok());
    let within = |one: &Duration| (Duration::from_secs(1)..=Duration::from_hours(24)).contains(one);
    read.filter(within).unwrap_or_else(|| {
        told.problem(member, "expected a duration between 1s and 1d, such as 30s or 5m");
        default
    })
}

/// The problem never repeats the URL: it may hold a password.
fn url(text: &str) -> Result<GitUrl, String> {
    let text = text.trim();
    if text.chars().any(|c| c.is_control() || c.is_whitespace()) || text.is_empty() {
        return Err(format!("expected {URL}"));
    }
    if text.starts_with('/') {
        return Ok(GitUrl::Local(PathBuf::from(text)));
    }
    let Some((scheme, rest)) = text.split_once("://") else { return scp_like(text) };
    let authority = rest.split('/').next().unwrap_or_default();
    let user = authority.rsplit_once('@').map(|(user, _)| user);
    if user.is_some_and(|user| user.contains(':')) {
        return Err("a password in a URL would be shown: put it in a file and name that in \
                    credentials.tokenFile"
            .to_owned());
    }
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    match scheme {
        "file" if rest.starts_with('/') => Ok(GitUrl::Local(PathBuf::from(rest))),
        "https" | "http" if user.is_some() => Err("a user in a URL is often a token: put it in \
             credentials.username, or the token in a file named by credentials.tokenFile"
            .to_owned()),
        "https" | "http" if text.contains(['?', '#']) || host.is_empty() => {
            Err(format!("expected {URL}"))
        }
        "https" | "http" => Ok(GitUrl::Http(text.to_owned())),
        "git" if user.is_none() && !host.is_empty() && !host.starts_with('-') && rest != host => {
            Ok(GitUrl::Daemon(text.to_owned()))
        }
        "ssh" if !host.is_empty() && !authority.starts_with('-') && !host.starts_with('-') => {
            Ok(GitUrl::Ssh(text.to_owned()))
        }
        _ => Err(format!("expected {URL}")),
    }
}

/// `git@host:path`, as people copy it from their git hosting.
fn scp_like(text: &str) -> Result<GitUrl, String> {
    let fits = |(host, path): &(&str, &str)| {
        !host.is_empty() && !path.is_empty() && !host.contains('/') && !host.starts_with('-')
    };
    match text.split_once(':').filter(fits) {
        Some((host, path)) => Ok(GitUrl::Ssh(format!("ssh://{host}/{}", path.trim_matches('/')))),
        None => Err(format!("expected {URL}")),
    }
}

fn revision(raw: &RawGit, told: &mut Told<'_>) -> Option<GitRevision> {
    match (&raw.branch, &raw.tag, &raw.commit) {
        (None, None, None) => Some(GitRevision::Default),
        (Some(branch), None, None) => {
            told.need(is_reference(branch), "git.branch", "the name of a branch, such as main");
            Some(GitRevision::Branch(branch.clone()))
        }
        (None, Some(tag), None) => {
            told.need(is_reference(tag), "git.tag", "the name of a tag, such as v1");
            Some(GitRevision::Tag(tag.clone()))
        }
        (None, None, Some(commit)) => {
            let is_id = commit.len() == 40 && commit.chars().all(|c| c.is_ascii_hexdigit());
            told.need(is_id, "git.commit", "all 40 hexadecimal digits of a commit");
            Some(GitRevision::Commit(commit.to_ascii_lowercase()))
        }
        _ => {
            told.problem("git.branch", "expected only one of branch, tag and commit");
            None
        }
    }
}

fn credentials(raw: &RawGit, url: Option<&GitUrl>, told: &mut Told<'_>) -> Credentials {
    let Some(raw) = &raw.credentials else { return Credentials::default() };
    let (file, variable) = (raw.token_file.as_ref(), raw.token_env.as_ref());
    told.need(
        file.is_none() || variable.is_none(),
        "git.credentials",
        "only one of tokenFile and tokenEnv",
    );
    let token = Secret::of(file, variable);
    let is_plain = match url {
        Some(GitUrl::Http(url)) => url.starts_with("http://"),
        Some(GitUrl::Daemon(_)) => true,
        _ => false,
    };
    told.need(token.is_none() || !is_plain, "git.url", "https:// beside a token");
    let is_ssh = matches!(url, Some(GitUrl::Ssh(_)) | None);
    let of_ssh = raw.ssh_key_file.is_some() || raw.known_hosts_file.is_some();
    told.need(!of_ssh || is_ssh, "git.credentials", "an ssh:// URL beside a key or known hosts");
    Credentials {
        username: raw.username.clone(),
        token,
        ssh_key_file: raw.ssh_key_file.clone(),
        known_hosts_file: raw.known_hosts_file.clone(),
    }
}

/// With a file missing, the configuration is refused: nothing is taken unverified.
fn verify(raw: &RawGit, told: &mut Told<'_>) -> Option<Verify> {
    let raw = raw.verify.as_ref()?;
    let named = |file: &Option<PathBuf>| file.clone().filter(|file| !file.as_os_str().is_empty());
    let (ssh, open_pgp) = (named(&raw.ssh_allowed_signers_file), named(&raw.open_pgp_keyring_file));
    let none_empty = (ssh.is_some(), open_pgp.is_some())
        == (raw.ssh_allowed_signers_file.is_some(), raw.open_pgp_keyring_file.is_some());
    let known = none_empty && (ssh.is_some() || open_pgp.is_some());
    told.need(known, "git.verify", "sshAllowedSignersFile, openPgpKeyringFile or both");
    known.then_some(Verify { ssh_allowed_signers_file: ssh, open_pgp_keyring_file: open_pgp })
}

const URL: &str = "https://HOST/PATH, ssh://USER@HOST/PATH, USER@HOST:PATH, file:///PATH, or \
                   git://HOST/PATH with git.verify";
const UNVERIFIED: &str = "git:// is neither encrypted nor authenticated: set git.verify, so that signatures vouch \
                          for what comes over it, or use https:// or ssh://";
const PATH: &str = "a directory of the repository without `.`, `..` or `\\`";
const PATTERNS: &str = "at most 50 patterns such as `prod/**/*.yaml`, relative to `path`";

/// A name is a directory in the names of files, a part of URLs and the value of a label.
fn is_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    (1..=63).contains(&name.len()) && name.chars().all(allowed)
}

fn is_path(path: &str) -> bool {
    let is_part = |part: &str| !matches!(part, "" | "." | "..");
    path.len() <= 1024 && path.split('/').all(is_part) && !path.contains(['\\', '\0'])
}

fn is_pattern(pattern: &str) -> bool {
    (1..=512).contains(&pattern.len()) && !pattern.chars().any(char::is_control)
}

/// Stricter than git-check-ref-format, so that nothing is a refspec by mistake.
fn is_reference(name: &str) -> bool {
    let allowed =
        |c: char| c.is_alphanumeric() || matches!(c, '/' | '.' | '_' | '-' | '+' | '#' | '=' | '%');
    let is_part = |part: &str| {
        !part.is_empty() && !part.starts_with(['.', '-']) && !part.as_bytes().ends_with(b".lock")
    };
    (1..=255).contains(&name.len())
        && name.chars().all(allowed)
        && name.split('/').all(is_part)
        && !name.contains("..")
        && !name.ends_with('.')
}

#[cfg(test)]
mod tests;
