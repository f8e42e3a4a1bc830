//! What the daemon runs with; never read again after the start, and never holds a secret in clear.
//!
//! Two steps: [`RawConfig`] is what the layers say (defaults < file < environment < flags), with no
//! meaning checked; [`Config`] is checked and ready to build things from.

mod commit_status;
mod grant;
mod layers;
mod problem;
mod prune;
mod raw;
mod shown;
mod sources;
mod windows;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use evenkeel_reconciler::PruneSettings;

pub use commit_status::{CommitStatusConfig, HostingKind, RawCommitStatus};
pub(crate) use evenkeel_manifest::Pattern;
pub use grant::{Grant, RawGrant};
pub use layers::{Flags, Layers};
pub use problem::{ConfigError, ConfigProblem};
pub use prune::RawPrune;
pub use raw::{LeaseBackend, LogFormat, RawConfig, RawLease, RunMode, VerifyConfig, VerifyMode};
pub use shown::{Format, Setting, render, settings};
pub use sources::{
    Credentials, GitConfig, GitRevision, GitUrl, RawCredentials, RawDirectory, RawGit, RawHook,
    RawSource, RawVerify, Secret, SourceConfig, SourceOrigin, Verify,
};
pub use windows::{RawWindow, Windows};

#[cfg(test)]
pub(crate) fn granted(raw: &RawGrant) -> Grant {
    let (grant, wrong) = Grant::read(raw);
    assert_eq!(wrong, vec![]);
    grant
}

/// A checked configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The name written into the owner tag; two daemons that share an account need two names.
    pub instance: String,
    /// Which manifests are this daemon's: those whose `spec.target` is this, `default` when they
    /// name none.
    pub target: String,
    /// Whether anything is changed.
    pub mode: RunMode,
    pub manifests: ManifestsConfig,
    /// Where manifests come from instead of `manifests.path`; empty: from there.
    pub sources: Vec<SourceConfig>,
    /// Where copies of repositories are kept between starts; `None`: a directory that is removed at the
    /// end.
    pub cache_directory: Option<PathBuf>,
    pub aws: AwsConfig,
    pub control_loop: LoopConfig,
    /// `None`: this daemon is the only one of its instance and target.
    pub lease: Option<LeaseConfig>,
    pub http: HttpConfig,
    pub analysis: AnalysisConfig,
    pub verify: VerifyConfig,
    pub control: ControlConfig,
    pub log: LogConfig,
    /// When rollouts may start, besides what manifests say.
    pub windows: Windows,
    /// Which services go when no manifest names them any more; `None`: none.
    pub prune: Option<PruneSettings>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestsConfig {
    /// The directory that is watched.
    pub path: PathBuf,
    /// The environment that is laid over the manifests; it is one of the documents among them.
    pub environment: Option<String>,
    /// How long the directory must be quiet before it is read.
    pub debounce: Duration,
    /// How often it is read even if nothing was notified (network file systems notify nothing).
    pub reread: Duration,
}

#[derive(Clone, Debug, PartialEq)]
pub struct AwsConfig {
    /// `None`: what the environment, the profile or the instance says.
    pub region: Option<String>,
    pub endpoint_url: Option<String>,
    pub profile: Option<String>,
    /// The part of each of AWS's token buckets that this daemon may use, above 0 and at most 1.
    pub share: f64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoopConfig {
    /// How often a settled service is looked at.
    pub resync: Duration,
    /// Passes that may run at once.
    pub passes: usize,
    /// The longest time between two looks at a rollout in flight.
    pub rollout_poll: Duration,
    /// A pass that takes longer is given up and tried again.
    pub pass_timeout: Duration,
}

/// How this daemon and others of the same instance and target agree on who does what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseConfig {
    /// The `DynamoDB` table.
    pub table: String,
    /// The part of the table that is this instance's and target's.
    pub installation: String,
    /// The beginning of this replica's name; what follows is drawn anew at every start, so that no
    /// two processes have the same name. `None`: the name of the host.
    pub replica: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpConfig {
    /// Port 0 takes any free port.
    pub listen: SocketAddr,
}

/// Who besides AWS is asked about a rollout.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AnalysisConfig {
    /// The server that evaluates expressions.
    pub prometheus_url: Option<String>,
    /// The URLs at and below which web hooks may be asked.
    pub webhook_urls: Vec<String>,
    /// What questions to web hooks are signed with.
    pub webhook_secret_file: Option<PathBuf>,
}

/// Who may command over HTTP.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ControlConfig {
    /// `None`, and no token in the environment: nobody.
    pub tokens_file: Option<PathBuf>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    pub format: LogFormat,
    /// `info`, or directives such as `info,evenkeel_aws=debug`.
    pub level: String,
}

impl Config {
    /// Reads and checks all layers.
    pub fn load(layers: &Layers) -> Result<Self, ConfigError> {
        Self::check(layers.merge()?)
    }

    /// Gives meaning to what the layers said. All problems are reported at once.
    pub fn check(raw: RawConfig) -> Result<Self, ConfigError> {
        let problems = raw.problems();
        if !problems.is_empty() {
            return Err(ConfigError(problems));
        }
        let RawConfig {
            instance,
            target,
            mode,
            manifests,
            aws,
            control_loop,
            lease,
            http,
            analysis,
            verify,
            control,
            log,
            windows,
            sources,
            prune,
            cache_directory,
        } = raw;
        let environment = given(manifests.environment);
        Ok(Self {
            sources: sources::read(&sources, environment.as_deref()).0,
            lease: LeaseConfig::of(lease, &instance, &target),
            instance,
            target,
            mode,
            manifests: ManifestsConfig {
                path: manifests.path,
                environment: environment.clone(),
                debounce: manifests.debounce,
                reread: manifests.reread,
            },
            aws: AwsConfig {
                region: given(aws.region),
                endpoint_url: given(aws.endpoint_url),
                profile: given(aws.profile),
                share: aws.share,
            },
            control_loop: LoopConfig {
                resync: control_loop.resync,
                passes: control_loop.passes,
                rollout_poll: control_loop.rollout_poll,
                pass_timeout: control_loop.pass_timeout,
            },
            http: HttpConfig { listen: http.listen },
            analysis: AnalysisConfig {
                prometheus_url: given(analysis.prometheus_url),
                webhook_urls: analysis.webhook_urls,
                webhook_secret_file: given(analysis.webhook_secret_file).map(PathBuf::from),
            },
            verify,
            control: ControlConfig { tokens_file: given(control.tokens_file).map(PathBuf::from) },
            log: LogConfig { format: log.format, level: log.level },
            windows: Windows::read(&windows).0,
            prune: prune::read(&prune).0,
            cache_directory: given(cache_directory).map(PathBuf::from),
        })
    }
}

impl LeaseConfig {
    /// The installation is not for people to name: two daemons that manage the same services and
    /// named it differently would both manage them.
    fn of(raw: RawLease, instance: &str, target: &str) -> Option<Self> {
        match raw.backend {
            LeaseBackend::None => None,
            LeaseBackend::DynamoDb => Some(Self {
                table: raw.table.unwrap_or_default().trim().to_owned(),
                installation: format!("{instance}/{target}"),
                replica: given(raw.replica),
            }),
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::check(RawConfig::default()).expect("the defaults are valid: a test says so")
    }
}

/// An empty value is an unset one: that is how a shell unsets a variable in one line.
fn given(value: Option<String>) -> Option<String> {
    value.map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid() {
        assert_eq!(Config::default().http.listen.to_string(), "127.0.0.1:9464");
    }

    #[test]
    fn an_empty_value_is_an_unset_one() {
        let mut raw = RawConfig::default();
        raw.aws.profile = Some(" ".to_owned());
        assert_eq!(Config::check(raw).unwrap().aws.profile, None);
    }

    fn leased(backend: LeaseBackend, table: &str, replica: &str) -> Result<Config, ConfigError> {
        let (table, replica) = (Some(table.to_owned()), Some(replica.to_owned()));
        let lease = RawLease { backend, table, replica };
        Config::check(RawConfig { lease, ..RawConfig::default() })
    }

    #[test]
    fn a_lease_is_of_the_instance_and_the_target() {
        assert_eq!(Config::default().lease, None);
        let lease = leased(LeaseBackend::DynamoDb, "leases", "").unwrap().lease.unwrap();
        assert_eq!((lease.table.as_str(), lease.replica), ("leases", None));
        assert_eq!(lease.installation, "evenkeel/default");
    }

    #[test]
    fn a_table_that_is_named_but_not_used_is_an_error() {
        let named = leased(LeaseBackend::None, "leases", "one").unwrap_err().to_string();
        for key in ["lease.table", "lease.replica"] {
            let expected = format!("{key}: expected lease.backend = \"dynamodb\" beside it");
            assert!(named.contains(&expected), "{named}");
        }
        assert_eq!(leased(LeaseBackend::None, "", " ").unwrap().lease, None);
    }

    #[test]
    fn a_lease_needs_a_proper_table_and_replica() {
        for table in ["", "ab", "my table", "leases/x"] {
            let error = leased(LeaseBackend::DynamoDb, table, "").unwrap_err().to_string();
            assert!(
                error.contains("lease.table: expected the name of a DynamoDB table"),
                "{error}"
            );
        }
        let error = leased(LeaseBackend::DynamoDb, "leases", "a/b").unwrap_err().to_string();
        assert!(error.contains("lease.replica: expected 1 to 63"), "{error}");
    }

    #[test]
    fn all_problems_are_reported_at_once() {
        let mut raw = RawConfig { instance: "two words".to_owned(), ..RawConfig::default() };
        raw.aws.share = 3.0;
        raw.control_loop.passes = 0;
        raw.log.level = "loud".to_owned();
        let error = Config::check(raw).unwrap_err().to_string();
        for key in ["instance", "aws.share", "loop.passes", "log.level"] {
            assert!(error.contains(&format!("{key}:")), "{key} is not in {error}");
        }
    }
}
