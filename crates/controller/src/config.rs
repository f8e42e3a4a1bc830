//! What the daemon runs with; never read again after the start, and never holds a secret in clear.
//!
//! Two steps: [`RawConfig`] is what the layers say (defaults < file < environment < flags), with no
//! meaning checked; [`Config`] is checked and ready to build things from.

mod layers;
mod problem;
mod raw;
mod shown;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

pub use layers::{Flags, Layers};
pub use problem::{ConfigError, ConfigProblem};
pub use raw::{LogFormat, RawConfig};
pub use shown::{Format, Setting, render, settings};

/// A checked configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The name written into the owner tag; two daemons that share an account need two names.
    pub instance: String,
    /// Which manifests are this daemon's: those whose `spec.target` is this, `default` when they
    /// name none.
    pub target: String,
    pub manifests: ManifestsConfig,
    pub aws: AwsConfig,
    pub control_loop: LoopConfig,
    pub http: HttpConfig,
    pub log: LogConfig,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestsConfig {
    /// The directory that is watched.
    pub path: PathBuf,
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

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpConfig {
    /// Port 0 takes any free port.
    pub listen: SocketAddr,
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
        let RawConfig { instance, target, manifests, aws, control_loop, http, log } = raw;
        Ok(Self {
            instance,
            target,
            manifests: ManifestsConfig {
                path: manifests.path,
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
            log: LogConfig { format: log.format, level: log.level },
        })
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
