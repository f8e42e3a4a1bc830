//! One exchange with a server: its references and, if something is new, one pack; never longer than the
//! deadline and never more bytes than the limit.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use gix::bstr::BString;
use gix::progress::Discard;
use gix::protocol::transport::Protocol;
use gix::protocol::transport::client::TransportWithoutIO as _;
use gix::protocol::transport::client::blocking_io::Transport;
use gix::protocol::transport::client::blocking_io::http;
use gix::remote::{Connection, Direction, fetch as gix_fetch, ref_map};
use gix::{ObjectId, Repository};

use super::cache::NEWEST;
use super::web::{Exchanges, GitWeb};
use super::{daemon, gone, in_words};
use crate::config::{GitConfig, GitRevision, GitUrl};

/// What one fetch may bring; a repository of manifests is below 10 MiB with all its history.
pub(super) const RECEIVED_BYTES_MAX: u64 = 256 << 20;
const WATCH_EVERY: Duration = Duration::from_millis(50);

pub(super) struct Fetch<'a> {
    pub repository: &'a Repository,
    pub path: &'a Path,
    pub config: &'a GitConfig,
    pub web: Option<&'a GitWeb>,
    /// The commit that what is fetched has to follow from; `None`: it may be any.
    pub from: Option<ObjectId>,
    pub deadline: Instant,
}

impl Fetch<'_> {
    /// What the reference leads to, now in the repository, with as many of the commits before it as tell whether it
    /// follows.
    pub(super) fn run(&self) -> Result<ObjectId, String> {
        let url = match &self.config.url {
            GitUrl::Http(url) | GitUrl::Ssh(url) | GitUrl::Daemon(url) => url,
            GitUrl::Local(_) => return Err("a local repository is not fetched".to_owned()),
        };
        let remote = self.remote(url).map_err(|error| in_words(&error))?;
        if let GitUrl::Daemon(url) = &self.config.url {
            let transport = daemon::connect(url, self.deadline, RECEIVED_BYTES_MAX)?;
            return self.receive(remote.to_connection_with_transport(transport));
        }
        let Some(web) = self.web else {
            let connection = remote.connect(Direction::Fetch).map_err(|error| in_words(&error))?;
            return self.receive(connection);
        };
        let parsed = gix::url::parse(url.as_str()).map_err(|_| "no such URL")?;
        let exchanges = Exchanges::new(web, self.deadline, RECEIVED_BYTES_MAX);
        let said = exchanges.said();
        let mut transport = http::Transport::new_http(exchanges, parsed, Protocol::V2, false);
        if let Some(account) = account(self.config)? {
            transport.set_identity(account).map_err(|error| error.to_string())?;
        }
        let connection = remote.to_connection_with_transport(transport);
        self.receive(connection).map_err(|why| said.take().unwrap_or(why))
    }

    fn remote(&self, url: &str) -> Result<gix::Remote<'_>, gix::Error> {
        let from = match &self.config.revision {
            GitRevision::Default => "HEAD".to_owned(),
            GitRevision::Branch(name) => format!("refs/heads/{name}"),
            GitRevision::Tag(name) => format!("refs/tags/{name}"),
            GitRevision::Commit(id) => id.clone(),
        };
        let specification = BString::from(format!("+{from}:{NEWEST}"));
        self.repository
            .remote_at_without_url_rewrite(url)?
            .with_fetch_tags(gix_fetch::Tags::None)
            .with_refspecs([specification], Direction::Fetch)
    }

    fn receive<T: Transport>(
        &self,
        connection: Connection<'_, '_, '_, T>,
    ) -> Result<ObjectId, String> {
        let watch = Watch::over(self.path, self.deadline);
        let told = |error: gix::Error| watch.fault().unwrap_or_else(|| explained(in_words(&error)));
        let prepared = connection
            .with_credentials(|_| Err(gix::Error::from_error(std::io::Error::other(REFUSED))))
            .prepare_fetch(Discard, ref_map::Options::default())
            .map_err(told)?;
        let mappings = &prepared.ref_map().mappings;
        let id = mappings.first().and_then(|one| one.remote.as_id()).map(ToOwned::to_owned);
        let id = id.ok_or_else(|| gone(&self.config.revision))?;
        let depth = self.depth(id);
        if depth != gix_fetch::Shallow::undo()
            && self.repository.has_object(id)
            && self.is_newest(id)
        {
            return Ok(id);
        }
        let received = prepared.with_shallow(depth).receive(Discard, &watch.stop);
        received.map_err(|error| match &self.config.revision {
            GitRevision::Commit(_) if watch.fault().is_none() => {
                format!("{} ({})", gone(&self.config.revision), in_words(&error))
            }
            _ => told(error),
        })?;
        Ok(id)
    }

    /// The whole history where the repository has lost the commit that `to` has to follow from.
    fn depth(&self, to: ObjectId) -> gix_fetch::Shallow {
        match self.from {
            Some(from) if self.repository.has_object(from) => gix_fetch::Shallow::NoChange,
            Some(from) if from != to && self.is_shallow() => gix_fetch::Shallow::undo(),
            Some(from) if from != to => gix_fetch::Shallow::NoChange,
            _ => gix_fetch::Shallow::DepthAtRemote(std::num::NonZeroU32::MIN),
        }
    }

    fn is_shallow(&self) -> bool {
        self.repository.is_shallow().unwrap_or(true)
    }

    /// Then nothing needs to be asked of the server.
    fn is_newest(&self, id: ObjectId) -> bool {
        let newest = self.repository.try_find_reference(NEWEST).ok().flatten();
        newest.and_then(|one| one.try_id().map(gix::Id::detach)) == Some(id)
    }
}

/// What gix says of its limit on one allocation names no remedy.
fn explained(message: String) -> String {
    if message.contains("too large to fit in memory") {
        return format!(
            "what is new on the branch brings an object of more than 64 MiB: take it out of the history \
             ({message})"
        );
    }
    message
}

/// Over HTTP there is a better sentence.
const REFUSED: &str = "the server, or ssh on this machine, refuses: see to git.credentials, and to what ssh \
                       wrote to standard error";

/// Stops a fetch that takes too long or too much; ends when dropped.
struct Watch {
    stop: Arc<AtomicBool>,
    fault: Arc<Mutex<Option<String>>>,
    _ends: mpsc::Sender<()>,
}

impl Watch {
    fn over(path: &Path, deadline: Instant) -> Self {
        let (ends, ended) = mpsc::channel();
        let watch = Self { stop: Arc::default(), fault: Arc::default(), _ends: ends };
        let (stop, fault) = (watch.stop.clone(), watch.fault.clone());
        let packs = path.join("objects/pack");
        let before = bytes_in(&packs);
        std::thread::spawn(move || {
            while let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(WATCH_EVERY) {
                let why = if Instant::now() > deadline {
                    "the fetch took too long: raise git.timeout, or see to the server"
                } else if bytes_in(&packs).saturating_sub(before) > RECEIVED_BYTES_MAX {
                    "the server sent more than 256 MiB, which is no repository of manifests"
                } else {
                    continue;
                };
                *fault.lock().unwrap_or_else(PoisonError::into_inner) = Some(why.to_owned());
                stop.store(true, Ordering::Relaxed);
                return;
            }
        });
        watch
    }

    fn fault(&self) -> Option<String> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn bytes_in(directory: &Path) -> u64 {
    let entries = fs::read_dir(directory).into_iter().flatten().filter_map(Result::ok);
    entries.filter_map(|entry| entry.metadata().ok()).map(|metadata| metadata.len()).sum()
}

/// Git hosting takes any user name beside a token; GitHub's examples have this one.
const ANY_USER: &str = "x-access-token";

fn account(config: &GitConfig) -> Result<Option<gix::sec::identity::Account>, String> {
    let Some(token) = &config.credentials.token else { return Ok(None) };
    let password = token.read().map_err(|why| format!("the token cannot be had: {why}"))?;
    let username = config.credentials.username.clone().unwrap_or_else(|| ANY_USER.to_owned());
    Ok(Some(gix::sec::identity::Account { username, password, oauth_refresh_token: None }))
}

/// Never asks anybody anything, and gives up by itself on a server that went silent.
pub(super) fn ssh_command(config: &GitConfig) -> Result<String, String> {
    if !matches!(config.url, GitUrl::Ssh(_)) {
        return Ok(String::new());
    }
    let mut command = "ssh -o BatchMode=yes -o StrictHostKeyChecking=yes -o ConnectTimeout=15 \
                       -o ServerAliveInterval=10 -o ServerAliveCountMax=3"
        .to_owned();
    if let Some(path) = &config.credentials.ssh_key_file {
        let _infallible = write!(command, " -o IdentitiesOnly=yes -i {}", quoted(path)?);
    }
    if let Some(path) = &config.credentials.known_hosts_file {
        let _infallible = write!(command, " -o UserKnownHostsFile={}", quoted(path)?);
    }
    Ok(command)
}

fn quoted(path: &Path) -> Result<String, String> {
    let text = path.to_str().filter(|text| !text.contains(['\'', '"', '\n', '%']));
    text.map(|text| format!("'{text}'"))
        .ok_or_else(|| format!("the path {} cannot be given to ssh: rename it", path.display()))
}
