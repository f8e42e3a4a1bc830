//! What can be typed, with the texts that teach it; never what it does.

mod control;
mod set;
mod verify;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};

use crate::config::{Flags, Format};
pub(crate) use control::{
    AbortArgs, CallerArgs, GoOnArgs, HistoryArgs, HoldArgs, PromoteArgs, ReleaseArgs, RolloutArgs,
    RolloutCommand, ScopeArgs, StatusArgs, StopArgs, UndoArgs,
};
pub(crate) use set::{SetArgs, SetCommand, SetOptions};
pub(crate) use verify::VerifyArgs;

const EXIT_CODES: &str = "\
Exit codes:
  0  done; for `plan`: nothing would change
  1  an error, or an invalid manifest; `snapshot`: a service could not be read
  2  `plan`, `import`: something would change; `diff`: something differs
  3  `apply`, `rollout status`: a revision was rejected, and rolled back where that was possible
  4  `apply` only: not settled in time
  5  `apply`, `rollout status`: a service waits for a person (paused, held, not owned, unsupported);
     `apply`: or for the end of a freeze
  6  `hold`, `release`, `rollout`: the daemon does not follow the command as things stand
  7  `verify`: something that a manifest names is missing or does not fit";

const FIRST_STEPS: &str = "\
First steps:
  evenkeel validate manifests/      are the manifests right? (needs no credentials)
  evenkeel verify manifests/        is everything there that they name?
  evenkeel plan manifests/          what would change in AWS, and why?
  evenkeel run --manifests manifests/
  evenkeel get                      how is everything?
  evenkeel describe prod/web        what is this service doing, why, and what does it wait for?

AWS credentials, region and endpoints come from where every AWS tool takes them.";

/// Keeps Amazon ECS services as their manifests say
///
/// Manifests are YAML or JSON files of `kind: Service`. Evenkeel creates and updates the services,
/// heals drift, rolls changes out one safe step at a time, and rolls bad revisions back by itself.
#[derive(Debug, Parser)]
#[command(name = "evenkeel", version, disable_help_subcommand = true)]
#[command(after_help = FIRST_STEPS, after_long_help = format!("{FIRST_STEPS}\n\n{EXIT_CODES}"))]
pub(crate) struct Args {
    /// The configuration file [default: /etc/evenkeel/evenkeel.toml or ./evenkeel.toml, if there]
    #[arg(
        long,
        value_name = "FILE",
        env = "EVENKEEL_CONFIG",
        global = true,
        help_heading = "Configuration"
    )]
    pub config: Option<PathBuf>,
    #[command(flatten)]
    pub flags: Flags,
    /// Colours: on a terminal only, or always, or never
    #[arg(
        long,
        value_enum,
        default_value_t,
        value_name = "WHEN",
        global = true,
        hide_possible_values = true
    )]
    pub color: Color,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    #[default]
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the daemon: watch a directory of manifests and make AWS match it
    ///
    /// A bad manifest never stops it: the last good one of that service stays in force. The first
    /// SIGTERM or Ctrl-C lets running passes finish, the second aborts them.
    Run(RunArgs),
    /// Show what would change and why, field by field; changes nothing
    ///
    /// Exits with 0 when nothing would change, 2 when something would, 1 on an error.
    Plan(PlanArgs),
    /// Record how services are now, so that `plan --snapshot` can plan against it without AWS; changes nothing
    ///
    /// It holds what manifests hold, values of environment variables included: keep it as you keep those. Exits with 1
    /// when a service could not be read or a manifest is invalid; the rest is recorded all the same.
    Snapshot(SnapshotArgs),
    /// Show who owns what of a service and what differs: last, wanted and live; changes nothing
    ///
    /// A field is git's, where the manifest names it, or Evenkeel's own; an autoscaler's; somebody's outside; or
    /// AWS's default. Exits with 0 when nothing differs, 2 when something does, 1 on an error.
    Diff(DiffArgs),
    /// Write manifests of services that exist, which adopt them and change nothing
    ///
    /// What equals AWS's defaults is left out. Each manifest is planned before it is handed over: exits with 0 when no
    /// field would change, 2 when some would (what and why is told), 1 when a service cannot be imported.
    Import(ImportArgs),
    /// Make AWS match some manifests once, for pipelines
    ///
    /// With --wait it stays until every service has settled, shows the progress, and tells by its
    /// exit code how it went: 0 settled, 3 rejected or rolled back, 4 not in time, 5 waits for a
    /// person, 1 an error. Without --wait it begins the changes and leaves; a running daemon with
    /// the same --instance carries them on.
    Apply(ApplyArgs),
    /// List services with their condition, revision, tasks and rollout
    Get(GetArgs),
    /// Tell everything about one service: conditions, breaker, evidence, events, what it waits for
    Describe(DescribeArgs),
    /// Watch and command the rollout of a service: status, history, pause, promote, abort, undo
    ///
    /// Commands are said to the daemon, which needs a token for them; they are kept in tags on the
    /// ECS service, so that a daemon that dies forgets none.
    Rollout(RolloutArgs),
    /// Stop all writes to a service, the services of a cluster, or all
    ///
    /// Rollbacks are stopped too; ECS's own breaker goes on. Services that are created later are not
    /// held.
    Hold(HoldArgs),
    /// End a hold
    Release(ReleaseArgs),
    /// Let a service go that no manifest names, although more have lost their manifests than may at once
    ///
    /// It needs the daemon's grant (`prune.clusters`). The service is scaled in after `prune.grace` and deleted
    /// `prune.keep` after that; a manifest that names it again brings it back until then.
    Prune(StopArgs),
    /// Check manifests; needs neither credentials nor a daemon
    ///
    /// Prints every problem with file, line and column, and what was expected, and exits with 1 if there
    /// is any error. Warnings alone pass, unless --strict.
    Validate(ValidateArgs),
    /// Check that roles, images, secrets and the like exist that manifests name; changes nothing
    ///
    /// Asks AWS and registries about everything that manifests name and Evenkeel does not make: role, image, secret
    /// (and parameter), log-group, target-group, alarm, subnet, security-group, function. Exits with 0 when nothing is amiss,
    /// also where something may not be looked at, which is told, unless --strict; 7 when something is missing or does
    /// not fit; 1 on an error.
    Verify(VerifyArgs),
    /// Print manifests as they are after an environment's overlays and variables, as YAML
    ///
    /// Exits with 1 on any error; what could be rendered is printed all the same.
    Render(RenderArgs),
    /// Change a manifest in place, for pipelines; needs neither credentials nor a daemon
    Set(SetArgs),
    /// Print the JSON Schema of manifests, for editors
    ///
    /// For example: `evenkeel schema > evenkeel.schema.json`, and as the first line of a manifest
    /// `# yaml-language-server: $schema=evenkeel.schema.json`.
    Schema,
    /// Print the configuration in force and where each value came from
    Config(ConfigArgs),
    /// Print the version
    Version(VersionArgs),
    /// Print a completion script for a shell
    ///
    /// For example, for bash: `source <(evenkeel completions bash)`.
    Completions { shell: clap_complete::Shell },
}

/// For people, or for machines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    #[default]
    Text,
    Json,
    Yaml,
}

/// As [`Output`], or for a comment on a pull request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum PlanOutput {
    #[default]
    Text,
    Json,
    Yaml,
    Markdown,
}

#[derive(Debug, clap::Args)]
pub(crate) struct RunArgs {
    /// The directory to watch [default: `manifests.path` of the configuration]
    #[arg(long, short, value_name = "DIR")]
    pub manifests: Option<PathBuf>,
    /// Where metrics, health and statuses are served [default: 127.0.0.1:9464]
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct PlanArgs {
    /// Files or directories of manifests, `-` for standard input [default: `manifests.path`; with --from: all]
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Plan against a file of `evenkeel snapshot`: AWS is not asked, and no credentials are needed
    #[arg(long, value_name = "FILE", conflicts_with_all = ["from", "to", "repository"])]
    pub snapshot: Option<PathBuf>,
    /// What merging --to into this revision would do: both are read from a git repository, and AWS is not asked
    ///
    /// A branch, a tag or a commit, also as `main~1`. PATHs are then from the root of the repository.
    #[arg(long, value_name = "REV", requires = "to")]
    pub from: Option<String>,
    /// The revision that would be in force, with --from
    #[arg(long, value_name = "REV", requires = "from")]
    pub to: Option<String>,
    /// The git repository, with --from [default: the one of the current directory]
    #[arg(long, value_name = "DIR", requires = "from")]
    pub repository: Option<PathBuf>,
    /// `markdown` is for a comment on a pull request
    #[arg(long, short, value_enum, default_value_t)]
    pub output: PlanOutput,
}

#[derive(Debug, clap::Args)]
pub(crate) struct SnapshotArgs {
    /// Files or directories of manifests, `-` for standard input [default: `manifests.path` of the configuration]
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// The file to write, for its owner alone; `-` for standard output
    #[arg(long, value_name = "FILE", default_value = "-")]
    pub output: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ImportArgs {
    /// The cluster, by its name
    #[arg(long, value_name = "CLUSTER")]
    pub cluster: String,
    /// A service of it; may be repeated [default: all]
    #[arg(long = "service", value_name = "NAME")]
    pub services: Vec<String>,
    /// Write DIR/CLUSTER/NAME.yaml instead of printing; files that exist are left alone
    #[arg(long, short, value_name = "DIR")]
    pub directory: Option<PathBuf>,
    /// Leave `desiredCount` out, for services that an autoscaler scales
    #[arg(long)]
    pub without_count: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct DiffArgs {
    /// As cluster/name or name; all services if left out
    pub service: Option<String>,
    /// Files or a directory of manifests [default: `manifests.path` of the configuration]
    #[arg(long, short, value_name = "PATH")]
    pub manifests: Option<PathBuf>,
    /// Fields with AWS's defaults too
    #[arg(long)]
    pub all: bool,
    #[arg(
        help = "The daemon that is asked since when fields differ [default: http://127.0.0.1:9464, or as \
                `http.listen` says]"
    )]
    #[arg(long, value_name = "URL", env = "EVENKEEL_SERVER")]
    pub server: Option<String>,
    #[arg(long, short, value_enum, default_value_t)]
    pub output: Output,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ApplyArgs {
    /// Files or directories of manifests, `-` for standard input
    #[arg(value_name = "PATH", required = true)]
    pub paths: Vec<PathBuf>,
    /// Stay until every service has settled, at most for this long [30m if not given]
    #[arg(
        long,
        value_name = "DURATION",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "30m",
        value_parser = duration
    )]
    pub wait: Option<Duration>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ServerArgs {
    #[arg(
        help = "Where the daemon answers [default: http://127.0.0.1:9464, or as `http.listen` says]"
    )]
    #[arg(long, value_name = "URL", env = "EVENKEEL_SERVER")]
    pub server: Option<String>,
    /// Ask AWS itself, whatever --server says; needs credentials and the manifests
    #[arg(long)]
    pub direct: bool,
    /// With --direct: the manifests [default: `manifests.path` of the configuration]
    #[arg(long, short, value_name = "PATH", requires = "direct")]
    pub manifests: Option<PathBuf>,
    #[arg(long, short, value_enum, default_value_t)]
    pub output: Output,
}

#[derive(Debug, clap::Args)]
pub(crate) struct GetArgs {
    /// Only services whose cluster/name begins with this
    #[arg(value_name = "PREFIX")]
    pub prefix: Option<String>,
    #[command(flatten)]
    pub server: ServerArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct DescribeArgs {
    /// As cluster/name; the name alone is enough when only one cluster has it
    pub service: String,
    #[command(flatten)]
    pub server: ServerArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ValidateArgs {
    /// Files or directories of manifests, `-` for standard input
    #[arg(value_name = "PATH", required = true)]
    pub paths: Vec<PathBuf>,
    /// Exit with 1 on warnings too
    #[arg(long)]
    pub strict: bool,
    #[arg(long, short, value_enum, default_value_t)]
    pub output: Output,
}

#[derive(Debug, clap::Args)]
pub(crate) struct RenderArgs {
    /// Files or directories of manifests, `-` for standard input; the environment is one of the documents
    #[arg(value_name = "PATH", required = true)]
    pub paths: Vec<PathBuf>,
    #[arg(long, short, value_enum, default_value_t)]
    pub output: Output,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ConfigArgs {
    /// TOML can be used as a configuration file; where values came from stands in comments
    #[arg(long, short, value_enum, default_value_t = Format::Toml)]
    pub output: Format,
}

#[derive(Debug, clap::Args)]
pub(crate) struct VersionArgs {
    #[arg(long, short, value_enum, default_value_t)]
    pub output: Output,
}

/// `90s`, `15m`, `1h 30m`.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("expected a duration such as `90s`, `15m` or `1h30m`, found `{text}`");
    let signed: jiff::SignedDuration = text.parse().map_err(|_| wrong())?;
    Duration::try_from(signed).ok().filter(|duration| !duration.is_zero()).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn every_argument_is_well_formed() {
        Args::command().debug_assert();
    }

    #[test]
    fn wait_alone_means_half_an_hour() {
        let wait = |line: &str| {
            let args = Args::try_parse_from(line.split(' ')).unwrap();
            match args.command {
                Command::Apply(apply) => apply.wait,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(wait("evenkeel apply a.yaml"), None);
        assert_eq!(wait("evenkeel apply --wait a.yaml"), Some(Duration::from_mins(30)));
        assert_eq!(wait("evenkeel apply --wait=90s a.yaml"), Some(Duration::from_secs(90)));
    }

    #[test]
    fn direct_goes_with_a_server_in_the_environment() {
        let line = ["evenkeel", "get", "--direct", "--server", "http://127.0.0.1:9464"];
        assert!(Args::try_parse_from(line).is_ok());
    }

    #[test]
    fn a_duration_without_a_unit_is_refused() {
        assert!(duration("90").is_err());
        assert!(duration("0s").is_err());
        assert!(duration("-5s").is_err());
    }
}
