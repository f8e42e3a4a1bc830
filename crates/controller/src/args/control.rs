//! What can be typed to command and watch rollouts; never what it does.

use std::path::PathBuf;

use clap::Subcommand;

use super::Output;

/// Which daemon is asked.
#[derive(Debug, clap::Args)]
pub(crate) struct DaemonArgs {
    #[arg(
        help = "Where the daemon answers [default: http://127.0.0.1:9464, or as `http.listen` says]"
    )]
    #[arg(long, value_name = "URL", env = "EVENKEEL_SERVER")]
    pub server: Option<String>,
    #[arg(long, short, value_enum, default_value_t)]
    pub output: Output,
}

/// Who commands, and by which right.
#[derive(Debug, clap::Args)]
pub(crate) struct CallerArgs {
    #[command(flatten)]
    pub daemon: DaemonArgs,
    /// Who says so, for the audit [default: USER@host]
    #[arg(long, value_name = "NAME")]
    pub who: Option<String>,
    #[arg(help = "The file that holds the token of the daemon [default: EVENKEEL_TOKEN itself]")]
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct RolloutArgs {
    #[command(subcommand)]
    pub command: RolloutCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RolloutCommand {
    /// Show where a rollout stands: stage, weights, tasks, breaker, gate, numbers, what it waits for
    ///
    /// With --watch it is shown anew until the service is settled (0), its revision is rejected and
    /// left (3), or it is held for a person (5).
    Status(StatusArgs),
    /// List the deployments that ECS remembers, newest first
    History(HistoryArgs),
    /// Keep rollouts of a service at their next gate; verdicts and rollbacks go on
    Pause(StopArgs),
    /// Let rollouts go on
    Resume(GoOnArgs),
    /// Open the gate at which a rollout stands although it waits, or approve it
    ///
    /// It overrules a pause, an alarm that was red before, and a missing approval; never a verdict, nor
    /// tasks that are not healthy. It is for the gate of this moment, with --full for all gates of
    /// this rollout. Before the start under a freeze it lets exactly this content be rolled out.
    Promote(PromoteArgs),
    /// Reject the revision that is rolled out: the service returns to the proven one
    Abort(AbortArgs),
    /// Leave the revision that runs for an earlier one; the one left stays rejected
    Undo(UndoArgs),
    /// Take a verdict back: the rejected revision is tried again
    Retry(GoOnArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct StatusArgs {
    /// As cluster/name
    pub service: String,
    /// Stay, and show every change
    #[arg(long, short)]
    pub watch: bool,
    #[command(flatten)]
    pub daemon: DaemonArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct HistoryArgs {
    /// As cluster/name
    pub service: String,
    #[command(flatten)]
    pub daemon: DaemonArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct StopArgs {
    /// As cluster/name
    pub service: String,
    /// Why, for all who wonder
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    #[command(flatten)]
    pub caller: CallerArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct GoOnArgs {
    /// As cluster/name
    pub service: String,
    /// Why, for all who wonder
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub reason: String,
    #[command(flatten)]
    pub caller: CallerArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct PromoteArgs {
    /// As cluster/name
    pub service: String,
    /// All gates of this rollout, not only the one at which it stands
    #[arg(long)]
    pub full: bool,
    /// Only this gate, as `rollout status` calls it: refused when the rollout has gone on to another meanwhile
    #[arg(long, value_name = "GATE", conflicts_with = "full")]
    pub gate: Option<String>,
    /// What was checked, for all who wonder
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub comment: String,
    #[command(flatten)]
    pub caller: CallerArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct AbortArgs {
    #[command(flatten)]
    pub stop: StopArgs,
    /// Do not ask
    #[arg(long, short)]
    pub yes: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct UndoArgs {
    #[command(flatten)]
    pub stop: StopArgs,
    /// The revision to go to: an ARN of `rollout history`, its digits, or `family:revision` of a
    /// task definition [default: the one before]
    #[arg(long, value_name = "REV")]
    pub to: Option<String>,
    /// Do not ask
    #[arg(long, short)]
    pub yes: bool,
}

/// One service, those of a cluster, or all.
#[derive(Debug, clap::Args)]
#[group(id = "scope", required = true, multiple = false)]
pub(crate) struct ScopeArgs {
    /// As cluster/name
    pub service: Option<String>,
    /// All services of this cluster that the daemon manages now
    #[arg(long, value_name = "CLUSTER")]
    pub cluster: Option<String>,
    /// All services that the daemon manages now
    #[arg(long)]
    pub all: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct HoldArgs {
    #[command(flatten)]
    pub scope: ScopeArgs,
    /// Why, for all who wonder
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    #[command(flatten)]
    pub caller: CallerArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ReleaseArgs {
    #[command(flatten)]
    pub scope: ScopeArgs,
    /// Why, for all who wonder
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub reason: String,
    #[command(flatten)]
    pub caller: CallerArgs,
}
