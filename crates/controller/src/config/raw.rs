//! The configuration as it is written down; never checked for meaning beyond the type of each value.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use evenkeel_planner::Check;
use jiff::fmt::serde::unsigned_duration::friendly::compact::required as friendly;
use serde::de::{self, Deserializer, Unexpected, Visitor};
use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;

use super::{ConfigProblem, RawPrune, RawSource, RawWindow, Windows, given, prune, sources};

/// Every key there is, with its default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RawConfig {
    #[serde(deserialize_with = "text")]
    pub instance: String,
    #[serde(deserialize_with = "text")]
    pub target: String,
    pub mode: RunMode,
    pub manifests: RawManifests,
    pub aws: RawAws,
    #[serde(rename = "loop")]
    pub control_loop: RawLoop,
    pub lease: RawLease,
    pub http: RawHttp,
    pub analysis: RawAnalysis,
    pub verify: VerifyConfig,
    pub control: RawControl,
    pub log: RawLog,
    pub windows: Vec<RawWindow>,
    pub sources: Vec<RawSource>,
    pub prune: RawPrune,
    #[serde(deserialize_with = "optional_text")]
    pub cache_directory: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RawManifests {
    pub path: PathBuf,
    #[serde(deserialize_with = "optional_text")]
    pub environment: Option<String>,
    #[serde(with = "friendly")]
    pub debounce: Duration,
    #[serde(with = "friendly")]
    pub reread: Duration,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RawAws {
    pub region: Option<String>,
    pub endpoint_url: Option<String>,
    #[serde(deserialize_with = "optional_text")]
    pub profile: Option<String>,
    pub share: f64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RawLoop {
    #[serde(with = "friendly")]
    pub resync: Duration,
    #[serde(deserialize_with = "whole")]
    pub passes: usize,
    #[serde(with = "friendly")]
    pub rollout_poll: Duration,
    #[serde(with = "friendly")]
    pub pass_timeout: Duration,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RawLease {
    pub backend: LeaseBackend,
    #[serde(deserialize_with = "optional_text")]
    pub table: Option<String>,
    #[serde(deserialize_with = "optional_text")]
    pub replica: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LeaseBackend {
    /// One daemon runs.
    #[default]
    None,
    /// Two or more run and agree through a table.
    DynamoDb,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RawHttp {
    pub listen: SocketAddr,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RawAnalysis {
    pub prometheus_url: Option<String>,
    pub webhook_urls: Vec<String>,
    #[serde(deserialize_with = "optional_text")]
    pub webhook_secret_file: Option<String>,
}

/// Whether the daemon finds out that what a manifest names is there, before it starts new content. It means the
/// same as it is written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct VerifyConfig {
    pub mode: VerifyMode,
    /// Checks that are left out, also by `evenkeel verify`.
    pub skip: Vec<Check>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VerifyMode {
    /// It asks nobody.
    #[default]
    Off,
    /// What is amiss is told, and the rollout starts.
    Warn,
    /// Nothing starts until it is mended.
    Hold,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RawControl {
    #[serde(deserialize_with = "optional_text")]
    pub tokens_file: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RawLog {
    pub format: LogFormat,
    #[serde(deserialize_with = "text")]
    pub level: String,
}

/// What the daemon does about differences.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunMode {
    /// Makes AWS match the manifests.
    #[default]
    Apply,
    /// Looks, plans and tells, and calls nothing that changes anything.
    Observe,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text on a terminal, JSON otherwise.
    #[default]
    Auto,
    Text,
    Json,
}

impl Default for RawConfig {
    fn default() -> Self {
        Self {
            instance: "evenkeel".to_owned(),
            target: evenkeel_manifest::ServiceKey::DEFAULT_TARGET.to_owned(),
            mode: RunMode::Apply,
            manifests: RawManifests::default(),
            aws: RawAws::default(),
            control_loop: RawLoop::default(),
            lease: RawLease::default(),
            http: RawHttp::default(),
            analysis: RawAnalysis::default(),
            verify: VerifyConfig::default(),
            control: RawControl::default(),
            log: RawLog::default(),
            windows: Vec::new(),
            sources: Vec::new(),
            prune: RawPrune::default(),
            cache_directory: None,
        }
    }
}

impl Default for RawManifests {
    fn default() -> Self {
        Self {
            path: PathBuf::from("manifests"),
            environment: None,
            debounce: Duration::from_millis(200),
            reread: Duration::from_mins(1),
        }
    }
}

impl Default for RawAws {
    /// Half of each bucket: the other half is left to people, pipelines and autoscalers.
    fn default() -> Self {
        Self { region: None, endpoint_url: None, profile: None, share: 0.5 }
    }
}

impl Default for RawLoop {
    fn default() -> Self {
        Self {
            resync: Duration::from_mins(5),
            passes: 32,
            rollout_poll: Duration::from_secs(5),
            pass_timeout: Duration::from_mins(2),
        }
    }
}

impl Default for RawHttp {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 9464)) }
    }
}

impl Default for RawLog {
    fn default() -> Self {
        Self { format: LogFormat::Auto, level: "info".to_owned() }
    }
}

impl RawConfig {
    /// Everything that is wrong with the meaning of the values.
    pub(super) fn problems(&self) -> Vec<ConfigProblem> {
        let mut problems = Vec::new();
        let mut need = |holds: bool, key: &str, expected: &str| {
            if !holds {
                problems.push(ConfigProblem::new(key, format!("expected {expected}")));
            }
        };
        need(is_name(&self.instance), "instance", NAME);
        need(is_name(&self.target), "target", NAME);
        need(!self.manifests.path.as_os_str().is_empty(), "manifests.path", "a directory");
        let is_default = self.manifests.path == RawManifests::default().path;
        need(self.sources.is_empty() || is_default, "manifests.path", INSTEAD);
        need(self.manifests.debounce <= MINUTE, "manifests.debounce", "at most 1m");
        need(within(self.manifests.reread, SECOND, DAY), "manifests.reread", "between 1s and 1d");
        need(self.aws.endpoint_url.as_deref().is_none_or(is_url), "aws.endpointUrl", URL);
        need(self.aws.share > 0.0 && self.aws.share <= 1.0, "aws.share", "above 0 and at most 1");
        let control_loop = &self.control_loop;
        need(within(control_loop.resync, SECOND, DAY), "loop.resync", "between 1s and 1d");
        need((1..=256).contains(&control_loop.passes), "loop.passes", "between 1 and 256");
        need(
            within(control_loop.rollout_poll, Duration::from_millis(10), 10 * MINUTE),
            "loop.rolloutPoll",
            "between 10ms and 10m",
        );
        need(
            within(control_loop.pass_timeout, SECOND, 60 * MINUTE),
            "loop.passTimeout",
            "between 1s and 1h",
        );
        let analysis = &self.analysis;
        need(analysis.prometheus_url.as_deref().is_none_or(is_url), "analysis.prometheusUrl", URL);
        let are_urls = analysis.webhook_urls.iter().all(|url| !url.is_empty() && is_url(url));
        need(are_urls, "analysis.webhookUrls", URLS);
        need(is_level(&self.log.level), "log.level", LEVEL);
        self.lease.need(&mut need);
        let is_alone = self.lease.backend == LeaseBackend::None;
        need(self.mode == RunMode::Apply || is_alone, "lease.backend", NO_LEASE);
        problems.extend(Windows::read(&self.windows).1);
        problems.extend(sources::read(&self.sources, None).1);
        problems.extend(prune::read(&self.prune).1);
        problems
    }
}

impl RawLease {
    /// A table without a backend would be taken for a lease by whoever wrote it, and two daemons
    /// would run as one.
    fn need(&self, need: &mut impl FnMut(bool, &str, &str)) {
        let is_used = self.backend != LeaseBackend::None;
        let (table, replica) = (given(self.table.clone()), given(self.replica.clone()));
        need(is_used || table.is_none(), "lease.table", UNUSED);
        need(is_used || replica.is_none(), "lease.replica", UNUSED);
        need(!is_used || table.as_deref().is_some_and(is_table), "lease.table", TABLE);
        need(replica.as_deref().is_none_or(is_name), "lease.replica", NAME);
    }
}

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);
const DAY: Duration = Duration::from_hours(24);
const NAME: &str = "1 to 63 letters, digits, `.`, `_` or `-`";
const TABLE: &str = "the name of a DynamoDB table: 3 to 255 letters, digits, `.`, `_` or `-`";
const UNUSED: &str = "lease.backend = \"dynamodb\" beside it: without it there is no lease";
const NO_LEASE: &str = "none with mode `observe`: a lease is written";
const INSTEAD: &str = "no path beside `sources`: name the directory as one of them";
const URL: &str = "a URL that begins with http:// or https://";
const URLS: &str = "a list of URLs that begin with http:// or https://";
const LEVEL: &str =
    "off, error, warn, info, debug or trace, or directives such as `info,evenkeel_aws=debug`";

/// A name goes into a tag of at most 256 characters, together with a path.
fn is_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    (1..=63).contains(&name.len()) && name.chars().all(allowed)
}

/// `DynamoDB`: API reference, `CreateTable`, `TableName`.
fn is_table(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    (3..=255).contains(&name.len()) && name.chars().all(allowed)
}

fn is_url(url: &str) -> bool {
    url.trim().is_empty() || url.starts_with("http://") || url.starts_with("https://")
}

/// `EnvFilter` takes any other word for the name of a module, and so a misspelt level for silence.
fn is_level(directives: &str) -> bool {
    let levels = ["off", "error", "warn", "info", "debug", "trace"];
    let level = |part: &str| {
        let level = part.rsplit_once('=').map_or(part, |(_, level)| level);
        levels.contains(&level.trim().to_ascii_lowercase().as_str())
    };
    directives.split(',').all(level) && EnvFilter::try_new(directives).is_ok()
}

fn within(duration: Duration, min: Duration, max: Duration) -> bool {
    (min..=max).contains(&duration)
}

/// An instance may be called `123456789012`, which the environment layer reads as a number.
struct Text;

impl Visitor<'_> for Text {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text")
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<String, E> {
        Ok(value.to_owned())
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<String, E> {
        Ok(value.to_string())
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<String, E> {
        Ok(value.to_string())
    }

    fn visit_u128<E: de::Error>(self, value: u128) -> Result<String, E> {
        Ok(value.to_string())
    }
}

fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    deserializer.deserialize_any(Text)
}

fn optional_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    struct Optional;
    impl<'de> Visitor<'de> for Optional {
        type Value = Option<String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("text")
        }

        fn visit_none<E: de::Error>(self) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<Self::Value, D::Error> {
            text(inner).map(Some)
        }
    }
    deserializer.deserialize_option(Optional)
}

/// Helm writes every number of a values file with a fraction: `64.0`.
pub(super) fn whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    deserializer.deserialize_any(Whole)
}

struct Whole;

impl Visitor<'_> for Whole {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number")
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<usize, E> {
        usize::try_from(value).map_err(|_| E::invalid_value(Unexpected::Unsigned(value), &self))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<usize, E> {
        usize::try_from(value).map_err(|_| E::invalid_value(Unexpected::Signed(value), &self))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<usize, E> {
        let is_whole = value.fract() == 0.0;
        let read = is_whole.then(|| format!("{value:.0}").parse().ok()).flatten();
        read.ok_or_else(|| E::invalid_type(Unexpected::Float(value), &self))
    }
}
