//! `evenkeel validate`: every problem of some manifests; asks neither AWS nor a daemon.

use std::io::Write;

use evenkeel_manifest::{Problem, Severity};
use serde_json::json;

use super::write_data;
use crate::args::{Output, ValidateArgs};
use crate::cli::{CommandError, Exit};
use crate::config::Layers;
use crate::input::{self, Input};
use crate::style::{self, paint, safe};

pub(crate) fn validate(
    layers: &Layers,
    args: &ValidateArgs,
    out: &mut dyn Write,
) -> Result<Exit, CommandError> {
    let environment = layers.environment_of_manifests()?;
    let input = input::load(&args.paths, environment.as_deref())?;
    let (errors, warnings) = (input.count(Severity::Error), input.count(Severity::Warning));
    let nothing = errors == 0 && input.set.services.is_empty() && input.set.environments.is_empty();
    let valid = errors == 0 && !nothing && (warnings == 0 || !args.strict);
    match args.output {
        Output::Text => {
            write_text(out, &input, nothing)?;
            if errors > 0 && environment.is_none() {
                write_environments(out, &input)?;
            }
        }
        Output::Json | Output::Yaml => {
            let services: Vec<_> = input.set.services.iter().map(|service| &service.key).collect();
            let report = json!({
                "valid": valid,
                "files": input.files,
                "services": services,
                "environment": environment,
                "environments": input.set.environments,
                "problems": input.set.problems,
            });
            write_data(out, args.output, &report)?;
        }
    }
    Ok(if valid { Exit::Done } else { Exit::Bad })
}

fn write_text(out: &mut dyn Write, input: &Input, nothing: bool) -> Result<(), CommandError> {
    for problem in &input.set.problems {
        writeln!(out, "{}", line(problem))?;
    }
    let (errors, warnings) = (input.count(Severity::Error), input.count(Severity::Warning));
    let (services, files) = (input.set.services.len(), input.files);
    let colour = match (errors, warnings) {
        (0, 0) if !nothing => style::GOOD,
        (0, _) if !nothing => style::CAREFUL,
        _ => style::BAD,
    };
    let summary = format!(
        "{} valid in {}: {}, {}",
        counted(services, "service"),
        counted(files, "file"),
        counted(errors, "error"),
        counted(warnings, "warning"),
    );
    writeln!(out, "{}", paint(colour, summary))?;
    if nothing {
        writeln!(out, "a manifest has `apiVersion: evenkeel.dev/v1` and `kind: Service`")?;
    }
    Ok(())
}

/// Templates are no manifests without an environment.
fn write_environments(out: &mut dyn Write, input: &Input) -> Result<(), CommandError> {
    let names: Vec<&str> = input.set.environments.iter().map(String::as_str).collect();
    if !names.is_empty() {
        let names = names.join(", ");
        writeln!(out, "among the manifests are environments, for --environment: {}", safe(&names))?;
    }
    Ok(())
}

/// A problem with the place in bold, as compilers print it.
pub(super) fn line(problem: &Problem) -> String {
    let text = problem.to_string();
    let colour = match problem.severity {
        Severity::Error => style::BAD,
        Severity::Warning => style::CAREFUL,
    };
    let place = format!("{}:{}:{}:", problem.file, problem.line, problem.column);
    match text.strip_prefix(&place) {
        Some(rest) => format!("{}{}", paint(colour, safe(&place)), safe(rest)),
        None => safe(&text).into_owned(),
    }
}

pub(super) fn counted(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}
