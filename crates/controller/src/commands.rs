//! One module a command; each is told everything and returns how it ended.

mod apply;
mod diff;
mod get;
mod import;
mod look;
mod order;
mod plain;
mod plan;
mod render;
mod review;
mod rollout;
mod run;
mod set;
mod snapshot;
mod validate;
mod verify;

use std::io::Write;

use serde::Serialize;

use crate::args::Output;
use crate::cli::CommandError;

pub(crate) use apply::apply;
pub(crate) use diff::diff;
pub(crate) use get::{describe, get};
pub(crate) use import::import;
pub(crate) use order::{hold, prune, release};
pub(crate) use plain::{config, schema, version};
pub(crate) use plan::plan;
pub(crate) use render::render;
pub(crate) use rollout::rollout;
pub(crate) use run::run;
pub(crate) use set::set;
pub(crate) use snapshot::snapshot;
pub(crate) use validate::validate;
pub(crate) use verify::verify;

/// Writes `value` for a machine; text is the business of each command.
fn write_data<T: Serialize>(
    out: &mut dyn Write,
    output: Output,
    value: &T,
) -> Result<(), CommandError> {
    let failed = |why: String| CommandError::Sentence(format!("the output failed: {why}"));
    let text = match output {
        Output::Yaml => {
            serde_saphyr::to_string(value).map_err(|error| failed(error.to_string()))?
        }
        Output::Json | Output::Text => {
            serde_json::to_string_pretty(value).map_err(|error| failed(error.to_string()))? + "\n"
        }
    };
    Ok(out.write_all(text.as_bytes())?)
}
