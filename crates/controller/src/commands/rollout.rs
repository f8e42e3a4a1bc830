//! `evenkeel rollout`: which of its commands is meant, and its history.

mod status;

use std::io::Write;

use serde_json::Value;

use super::order::{abort, cluster_and_name, go_on, promote, stop, undo};
use super::write_data;
use crate::args::{HistoryArgs, Output, RolloutArgs, RolloutCommand};
use crate::cli::{CommandError, Exit};
use crate::client::Client;
use crate::config::Config;
use crate::style::safe;
use crate::view;

pub(crate) async fn rollout(
    config: Config,
    args: RolloutArgs,
    out: &mut dyn Write,
) -> Result<Exit, CommandError> {
    let config = &config;
    match &args.command {
        RolloutCommand::Status(args) => status::status(config, args, out).await,
        RolloutCommand::History(args) => history(config, args, out).await,
        RolloutCommand::Pause(args) => stop("pause", config, args, out).await,
        RolloutCommand::Resume(args) => go_on("resume", config, args, out).await,
        RolloutCommand::Promote(args) => promote(config, args, out).await,
        RolloutCommand::Abort(args) => abort(config, args, out).await,
        RolloutCommand::Undo(args) => undo(config, args, out).await,
        RolloutCommand::Retry(args) => go_on("retry", config, args, out).await,
    }
}

async fn history(
    config: &Config,
    args: &HistoryArgs,
    out: &mut dyn Write,
) -> Result<Exit, CommandError> {
    let (cluster, name) = cluster_and_name(&args.service)?;
    let client = Client::of(config, args.daemon.server.as_deref())?;
    let answer = client.history(cluster, name).await?;
    if args.daemon.output != Output::Text {
        write_data(out, args.daemon.output, &answer)?;
        return Ok(Exit::Done);
    }
    let deployments = answer.get("deployments").and_then(Value::as_array);
    let deployments = deployments.map(Vec::as_slice).unwrap_or_default();
    if deployments.is_empty() {
        writeln!(out, "ECS remembers no deployment of {}", safe(&args.service))?;
    } else {
        out.write_all(view::history(deployments).as_bytes())?;
    }
    Ok(Exit::Done)
}
