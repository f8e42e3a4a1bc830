//! `evenkeel diff`: field by field what was, is wanted and is live, and who owns it; never changes anything.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;

use evenkeel_manifest::{Problem, Service, ServiceKey, Severity};
use evenkeel_planner::{Cause, Field, FieldOwner};
use evenkeel_reconciler::{Inspection, inspect};
use prometheus::Registry;
use serde_json::{Value, json};

use super::look::for_each;
use super::validate::{counted, line};
use super::write_data;
use crate::args::{DiffArgs, Output};
use crate::cli::{CommandError, Exit};
use crate::config::Config;
use crate::daemon::connect;
use crate::input;
use crate::style::{self, paint, safe};

pub(crate) async fn diff(
    config: Config,
    args: DiffArgs,
    out: &mut dyn Write,
) -> Result<Exit, CommandError> {
    let path = args.manifests.clone().unwrap_or_else(|| config.manifests.path.clone());
    let input = input::load(&[path], config.manifests.environment.as_deref())?;
    let problems = input.set.problems.clone();
    let (mut services, _elsewhere) = input.services_of(&config);
    services.retain(|service| is_meant(service, args.service.as_deref()));
    if let (Some(name), true) = (&args.service, services.is_empty()) {
        for problem in &problems {
            writeln!(anstream::stderr(), "{}", line(problem))?;
        }
        let message = format!("no valid manifest names the service `{}`", safe(name));
        return Err(CommandError::Sentence(message));
    }
    let inspections = look(services, &config).await?;
    match args.output {
        Output::Text => write_text(out, &inspections, &problems, args.all)?,
        output => write_data(out, output, &data(&inspections, &problems, args.all))?,
    }
    Ok(exit(&inspections, &problems))
}

fn is_meant(service: &Service, name: Option<&str>) -> bool {
    let ServiceKey { cluster, name: own, .. } = &service.key;
    name.is_none_or(|name| name == own || *name == format!("{cluster}/{own}"))
}

async fn look(
    services: Vec<Service>,
    config: &Config,
) -> Result<BTreeMap<ServiceKey, Inspection>, CommandError> {
    if services.is_empty() {
        return Ok(BTreeMap::new());
    }
    let cloud = Arc::new(connect(config, &Registry::new()).await?);
    for_each(services, config, move |service, instance| {
        let cloud = cloud.clone();
        async move { inspect(&*cloud, &service, &instance).await }
    })
    .await
}

fn exit(inspections: &BTreeMap<ServiceKey, Inspection>, problems: &[Problem]) -> Exit {
    let invalid = problems.iter().any(|problem| problem.severity == Severity::Error);
    if invalid || inspections.values().any(|one| one.exists.is_none()) {
        Exit::Bad
    } else if inspections.values().any(|one| one.fields.iter().any(differs)) {
        Exit::Changes
    } else {
        Exit::Done
    }
}

fn differs(field: &Field) -> bool {
    field.cause.is_some()
}

fn is_told(field: &Field, all: bool) -> bool {
    all || differs(field) || field.owner != FieldOwner::AwsDefault
}

fn data(inspections: &BTreeMap<ServiceKey, Inspection>, problems: &[Problem], all: bool) -> Value {
    let service = |(key, one): (&ServiceKey, &Inspection)| {
        json!({
            "key": key,
            "exists": one.exists,
            "differs": one.fields.iter().any(differs),
            "fields": one.fields.iter().filter(|field| is_told(field, all)).collect::<Vec<_>>(),
            "error": one.error.as_ref().map(ToString::to_string),
        })
    };
    json!({ "services": inspections.iter().map(service).collect::<Vec<_>>(), "problems": problems })
}

fn write_text(
    out: &mut dyn Write,
    inspections: &BTreeMap<ServiceKey, Inspection>,
    problems: &[Problem],
    all: bool,
) -> Result<(), CommandError> {
    for problem in problems {
        writeln!(out, "{}", line(problem))?;
    }
    for (key, one) in inspections {
        write_service(out, key, one, all)?;
    }
    let differing = inspections.values().filter(|one| one.fields.iter().any(differs)).count();
    Ok(writeln!(out, "{}: {differing} with differences", counted(inspections.len(), "service"))?)
}

fn write_service(
    out: &mut dyn Write,
    key: &ServiceKey,
    one: &Inspection,
    all: bool,
) -> Result<(), CommandError> {
    let name = paint(style::TITLE, safe(&key.to_string()));
    if one.exists.is_none() {
        let error = one.error.as_ref().map(ToString::to_string);
        let error = error.unwrap_or_else(|| "it could not be read".to_owned());
        return Ok(writeln!(out, "{} {name}: {}", paint(style::BAD, "!"), safe(&error))?);
    }
    let count = one.fields.iter().filter(|field| differs(field)).count();
    match (one.exists, count) {
        (Some(false), _) => writeln!(out, "{} {name}: does not exist", paint(style::CAREFUL, "+"))?,
        (_, 0) => writeln!(out, "= {name}: no difference")?,
        (_, count) => {
            let what =
                if count == 1 { "1 field differs" } else { &format!("{count} fields differ") };
            writeln!(out, "{} {name}: {what}", paint(style::CAREFUL, "~"))?;
        }
    }
    for field in one.fields.iter().filter(|field| is_told(field, all)) {
        writeln!(out, "    {}", field_line(field))?;
    }
    let hidden = one.fields.iter().filter(|field| !is_told(field, all)).count();
    if hidden > 0 {
        let text = format!("{} of AWS's defaults: --all shows them", counted(hidden, "field"));
        writeln!(out, "    {}", paint(style::FAINT, text))?;
    }
    Ok(())
}

/// `path: last -> live, wanted  (owner: why)`.
fn field_line(field: &Field) -> String {
    let shown = |value: &Option<Value>| {
        value
            .as_ref()
            .map_or_else(|| "(not set)".to_owned(), |value| safe(&value.to_string()).into_owned())
    };
    let path = safe(&field.path);
    let owner = field.owner.as_str();
    let live = shown(&field.live);
    let why = match field.cause {
        None => {
            return format!(
                "{path}: {live}  {}",
                paint(style::FAINT, format!("({owner}, left alone)"))
            );
        }
        Some(Cause::Manifest) => "the manifest changed",
        Some(Cause::Outside) => "changed outside",
        Some(Cause::Unknown) => "changed outside or in the manifest",
    };
    let last = match &field.last {
        Some(last) if Some(last) != field.live.as_ref() => {
            format!("was {}, ", safe(&last.to_string()))
        }
        _ => String::new(),
    };
    let effect = field.effect.as_deref().unwrap_or_default();
    format!(
        "{path}: {last}is {}, wanted {}  {}",
        paint(style::OLD, live),
        paint(style::NEW, shown(&field.wanted)),
        paint(style::FAINT, format!("({owner}: {why}; {})", safe(effect))),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(field: &Field) -> String {
        anstream::adapter::strip_str(&field_line(field)).to_string()
    }

    #[test]
    fn a_field_shows_all_values_its_owner_and_why_it_differs() {
        let field = Field {
            path: "taskDefinition.containerDefinitions[web].image".to_owned(),
            last: Some("web:1".into()),
            wanted: Some("web:1".into()),
            live: Some("other:9".into()),
            owner: FieldOwner::Git,
            cause: Some(Cause::Outside),
            policy: None,
            effect: Some("starts a deployment".to_owned()),
        };
        let alone = Field {
            path: "service.desiredCount".to_owned(),
            last: None,
            wanted: None,
            live: Some(6.into()),
            owner: FieldOwner::Autoscaler,
            cause: None,
            policy: None,
            effect: None,
        };
        insta::assert_snapshot!([plain(&field), plain(&alone)].join("\n"), @r#"
        taskDefinition.containerDefinitions[web].image: was "web:1", is "other:9", wanted "web:1"  (git: changed outside; starts a deployment)
        service.desiredCount: 6  (autoscaler, left alone)
        "#);
    }
}
