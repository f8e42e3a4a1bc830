//! Commands that ask nobody anything: `schema`, `config`, `version`.

use std::io::Write;

use serde_json::json;

use super::write_data;
use crate::args::{ConfigArgs, Output, VersionArgs};
use crate::cli::{CommandError, Exit};
use crate::config::{Layers, render, settings};

pub(crate) fn schema(out: &mut dyn Write) -> Result<Exit, CommandError> {
    write_data(out, Output::Json, &evenkeel_manifest::schema())?;
    Ok(Exit::Done)
}

pub(crate) fn config(
    layers: &Layers,
    args: &ConfigArgs,
    out: &mut dyn Write,
) -> Result<Exit, CommandError> {
    out.write_all(render(&settings(layers)?, args.output).as_bytes())?;
    Ok(Exit::Done)
}

pub(crate) fn version(args: &VersionArgs, out: &mut dyn Write) -> Result<Exit, CommandError> {
    let version = env!("CARGO_PKG_VERSION");
    match args.output {
        Output::Text => writeln!(out, "evenkeel {version}")?,
        Output::Json | Output::Yaml => {
            let target = format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS);
            write_data(out, args.output, &json!({ "version": version, "platform": target }))?;
        }
    }
    Ok(Exit::Done)
}
