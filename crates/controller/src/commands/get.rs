//! `evenkeel get` and `evenkeel describe`: what a daemon knows, or AWS itself says.

use std::io::Write;
use std::sync::Arc;

use jiff::Timestamp;
use prometheus::Registry;
use serde_json::{Value, json};

use super::look::look;
use super::validate::line;
use super::write_data;
use crate::args::{DescribeArgs, GetArgs, Output, ServerArgs};
use crate::cli::{CommandError, Exit};
use crate::client::Client;
use crate::config::Config;
use crate::daemon::connect;
use crate::input;
use crate::style::{self, paint, safe};
use crate::view::{self, ServiceView};

pub(crate) async fn get(
    config: Config,
    args: GetArgs,
    out: &mut dyn Write,
) -> Result<Exit, CommandError> {
    let mut services = services(&config, &args.server).await?;
    if let Some(prefix) = &args.prefix {
        services.retain(|service| ServiceView::read(service).name().starts_with(prefix.as_str()));
    }
    match args.server.output {
        Output::Text if services.is_empty() => {
            writeln!(out, "no services have been looked at{}", for_prefix(args.prefix.as_deref()))?;
        }
        Output::Text => {
            let views: Vec<_> = services.iter().map(ServiceView::read).collect();
            out.write_all(view::table(&views, Timestamp::now()).as_bytes())?;
        }
        output => write_data(out, output, &json!({ "services": services }))?,
    }
    if args.server.output == Output::Text && !args.server.direct {
        write_manifests(&config, &args.server, out).await?;
    }
    Ok(Exit::Done)
}

fn for_prefix(prefix: Option<&str>) -> String {
    prefix.map_or(String::new(), |prefix| format!(" that begins with `{}`", safe(prefix)))
}

pub(crate) async fn describe(
    config: Config,
    args: DescribeArgs,
    out: &mut dyn Write,
) -> Result<Exit, CommandError> {
    let service = match (args.service.split_once('/'), args.server.direct) {
        (Some((cluster, name)), false) => client(&config, &args.server)?
            .service(cluster, name)
            .await?
            .ok_or_else(|| none(&args))?,
        _ => only_one(services(&config, &args.server).await?, &args)?,
    };
    match args.server.output {
        Output::Text => {
            let text = view::describe(&ServiceView::read(&service), Timestamp::now());
            out.write_all(text.as_bytes())?;
        }
        output => write_data(out, output, &service)?,
    }
    Ok(Exit::Done)
}

/// The service that is called `cluster/name`, or just `name`.
fn only_one(mut services: Vec<Value>, args: &DescribeArgs) -> Result<Value, CommandError> {
    services.retain(|service| {
        let view = ServiceView::read(service);
        view.name() == args.service || view.key.name == args.service
    });
    if services.len() > 1 {
        let names: Vec<_> = services.iter().map(|s| ServiceView::read(s).name()).collect();
        let names = names.join(", ");
        return Err(CommandError::Sentence(format!(
            "there is more than one: say which of {names}"
        )));
    }
    services.pop().ok_or_else(|| none(args))
}

fn none(args: &DescribeArgs) -> CommandError {
    CommandError::Sentence(format!(
        "no manifest names the service `{}`; `evenkeel get` lists all",
        safe(&args.service)
    ))
}

/// The statuses of all services, from wherever was asked for.
async fn services(config: &Config, args: &ServerArgs) -> Result<Vec<Value>, CommandError> {
    if !args.direct {
        return Ok(client(config, args)?.services().await?);
    }
    let path = args.manifests.clone().unwrap_or_else(|| config.manifests.path.clone());
    let input = input::load(&[path], config.manifests.environment.as_deref())?;
    for problem in &input.set.problems {
        writeln!(anstream::stderr(), "{}", line(problem))?;
    }
    let (services, _elsewhere) = input.services_of(config);
    let cloud = Arc::new(connect(config, &Registry::new()).await?);
    let reports = look(cloud, services, config).await?;
    let to_value = |report: evenkeel_reconciler::PassReport| serde_json::to_value(&report.status);
    reports
        .into_values()
        .map(to_value)
        .collect::<Result<_, _>>()
        .map_err(|error| CommandError::Sentence(format!("a status cannot be shown: {error}")))
}

fn client(config: &Config, args: &ServerArgs) -> Result<Client, CommandError> {
    Ok(Client::of(config, args.server.as_deref())?)
}

/// A list that looks complete while services are missing from it would mislead.
async fn write_manifests(
    config: &Config,
    args: &ServerArgs,
    out: &mut dyn Write,
) -> Result<(), CommandError> {
    let report = client(config, args)?.manifests().await?;
    let count = |name: &str| report.get(name).and_then(Value::as_u64).unwrap_or(0);
    let (in_force, elsewhere) = (count("services"), count("elsewhere"));
    let elsewhere =
        if elsewhere > 0 { format!(", {elsewhere} of other targets") } else { String::new() };
    writeln!(out, "\n{in_force} in force by their manifests{elsewhere}")?;
    for source in report.get("sources").and_then(Value::as_array).into_iter().flatten() {
        writeln!(out, "{}", source_line(source))?;
    }
    if let Some(stale) = report.get("stale").and_then(Value::as_str) {
        writeln!(out, "\n{}", paint(style::BAD, safe(stale)))?;
    }
    let problems = report.get("problems").and_then(Value::as_array).map_or(0, Vec::len);
    if problems > 0 {
        let text = format!("problems in the manifests: {problems}; `evenkeel validate` tells them");
        writeln!(out, "\n{}", paint(style::CAREFUL, text))?;
    }
    Ok(())
}

/// `source shop: commit 0123… of https://git.example/shop, signed by …, services: 3, since …`
fn source_line(source: &Value) -> String {
    let text = |pointer: &str| source.pointer(pointer).and_then(Value::as_str).map(safe);
    let services = source.get("services").and_then(Value::as_u64).unwrap_or(0);
    let name = text("/name").unwrap_or_default();
    let from = text("/from").unwrap_or_default();
    let what = match text("/revision/commit") {
        Some(commit) => format!("commit {commit} of {from}"),
        None => from.into_owned(),
    };
    let since = text("/since").map(|since| format!(", since {since}")).unwrap_or_default();
    let signer = match (text("/revision/signer/principal"), text("/revision/signer/fingerprint")) {
        (Some(principal), Some(key)) => format!(", signed by {principal} with {key}"),
        _ => String::new(),
    };
    format!("source {name}: {what}{signer}, services: {services}{since}")
}
