//! `evenkeel diff`: field by field what was, is wanted and is live, and who owns it; never changes anything.

use std::collections::BTreeMap;
use std::io::Write;

use evenkeel_manifest::{DriftPolicy, Problem, Service, ServiceKey, Severity};
use evenkeel_planner::{Cause, Field, FieldOwner};
use evenkeel_reconciler::{Inspection, inspect};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::look::ask_aws;
use super::validate::{counted, line};
use super::write_data;
use crate::args::{DiffArgs, Output};
use crate::cli::{CommandError, Exit};
use crate::client::Client;
use crate::config::Config;
use crate::input;
use crate::style::{self, paint, safe};
use crate::view::ServiceView;

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
    let inspections = ask_aws(services, &config, |cloud, service, instance| async move {
        inspect(&*cloud, &service, &instance).await
    })
    .await?;
    let seen = Seen::ask(&config, args.server.as_deref(), &inspections).await;
    let told = Told { inspections: &inspections, problems: &problems, seen: &seen, all: args.all };
    match args.output {
        Output::Text => told.write_text(out)?,
        output => write_data(out, output, &told.data())?,
    }
    Ok(exit(&inspections, &problems))
}

fn is_meant(service: &Service, name: Option<&str>) -> bool {
    let ServiceKey { cluster, name: own, .. } = &service.key;
    name.is_none_or(|name| name == own || *name == format!("{cluster}/{own}"))
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

/// Since when a daemon has seen fields differ; nothing where none answers.
#[derive(Debug, Default)]
struct Seen(BTreeMap<(String, String), Timestamp>);

impl Seen {
    /// Asks only where something differs. That no daemon answers is no fault: most of all is told by AWS.
    async fn ask(
        config: &Config,
        server: Option<&str>,
        inspections: &BTreeMap<ServiceKey, Inspection>,
    ) -> Self {
        if !inspections.values().any(|one| one.fields.iter().any(differs)) {
            return Self::default();
        }
        let Ok(client) = Client::of(config, server) else { return Self::default() };
        Self::read(&client.services().await.unwrap_or_default())
    }

    fn read(statuses: &[Value]) -> Self {
        let views = statuses.iter().map(ServiceView::read);
        let of_one = |view: ServiceView| {
            let name = view.name();
            let fields = view.drift.into_iter();
            fields.filter_map(move |one| Some(((name.clone(), one.path), one.since?)))
        };
        Self(views.flat_map(of_one).collect())
    }

    fn since(&self, key: &ServiceKey, field: &Field) -> Option<Timestamp> {
        let service = format!("{}/{}", key.cluster, key.name);
        self.0.get(&(service, field.path.clone())).copied()
    }
}

/// What is told, and how much of it.
#[derive(Clone, Copy)]
struct Told<'a> {
    inspections: &'a BTreeMap<ServiceKey, Inspection>,
    problems: &'a [Problem],
    seen: &'a Seen,
    all: bool,
}

impl Told<'_> {
    fn data(&self) -> Value {
        let service = |(key, one): (&ServiceKey, &Inspection)| {
            let shown = one.fields.iter().filter(|field| is_told(field, self.all));
            let fields: Vec<Value> = shown.map(|field| self.field(key, field)).collect();
            json!({
                "key": key,
                "exists": one.exists,
                "differs": one.fields.iter().any(differs),
                "fields": fields,
                "error": one.error.as_ref().map(ToString::to_string),
            })
        };
        let services: Vec<Value> = self.inspections.iter().map(service).collect();
        json!({ "services": services, "problems": self.problems })
    }

    fn field(&self, key: &ServiceKey, field: &Field) -> Value {
        let mut value = json!(field);
        if let Some(members) = value.as_object_mut().filter(|_| is_changed_outside(field)) {
            members.insert("since".to_owned(), json!(self.seen.since(key, field)));
        }
        value
    }

    fn write_text(&self, out: &mut dyn Write) -> Result<(), CommandError> {
        for problem in self.problems {
            writeln!(out, "{}", line(problem))?;
        }
        for (key, one) in self.inspections {
            self.write_service(out, key, one)?;
        }
        let all = self.inspections;
        let differing = all.values().filter(|one| one.fields.iter().any(differs)).count();
        Ok(writeln!(out, "{}: {differing} with differences", counted(all.len(), "service"))?)
    }

    fn write_service(
        &self,
        out: &mut dyn Write,
        key: &ServiceKey,
        one: &Inspection,
    ) -> Result<(), CommandError> {
        let name = paint(style::TITLE, safe(&key.to_string()));
        if one.exists.is_none() {
            let error = one.error.as_ref().map(ToString::to_string);
            let error = error.unwrap_or_else(|| "it could not be read".to_owned());
            return Ok(writeln!(out, "{} {name}: {}", paint(style::BAD, "!"), safe(&error))?);
        }
        let count = one.fields.iter().filter(|field| differs(field)).count();
        match (one.exists, count) {
            (Some(false), _) => {
                writeln!(out, "{} {name}: does not exist", paint(style::CAREFUL, "+"))?;
            }
            (_, 0) => writeln!(out, "= {name}: no difference")?,
            (_, count) => {
                let what =
                    if count == 1 { "1 field differs" } else { &format!("{count} fields differ") };
                writeln!(out, "{} {name}: {what}", paint(style::CAREFUL, "~"))?;
            }
        }
        for field in one.fields.iter().filter(|field| is_told(field, self.all)) {
            writeln!(out, "    {}", field_line(field, self.seen.since(key, field)))?;
        }
        let hidden = one.fields.iter().filter(|field| !is_told(field, self.all)).count();
        if hidden > 0 {
            let text = format!("{} of AWS's defaults: --all shows them", counted(hidden, "field"));
            writeln!(out, "    {}", paint(style::FAINT, text))?;
        }
        Ok(())
    }
}

/// Whether somebody else changed it, as far as is known.
fn is_changed_outside(field: &Field) -> bool {
    matches!(field.cause, Some(Cause::Outside | Cause::Unknown))
}

/// `path: last -> live, wanted  (owner: why; what follows; since when)`.
fn field_line(field: &Field, since: Option<Timestamp>) -> String {
    let shown = |value: &Option<Value>| {
        value
            .as_ref()
            .map_or_else(|| "(not set)".to_owned(), |value| safe(&value.to_string()).into_owned())
    };
    let path = safe(&field.path);
    let owner = field.owner.as_str();
    let live = shown(&field.live);
    let why = match (field.cause, field.policy) {
        (None, None) => {
            let text = format!("({owner}, left alone)");
            return format!("{path}: {live}  {}", paint(style::FAINT, text));
        }
        (None, Some(_)) => "changed outside, ignored",
        (Some(Cause::Manifest), _) => "the manifest changed",
        (Some(Cause::Outside), _) => "changed outside",
        (Some(Cause::Unknown), _) => "changed outside or in the manifest",
    };
    let last = match &field.last {
        Some(last) if Some(last) != field.live.as_ref() => {
            format!("was {}, ", safe(&last.to_string()))
        }
        _ => String::new(),
    };
    let mut what = vec![format!("{owner}: {why}")];
    what.extend(field.effect.as_deref().map(|effect| safe(effect).into_owned()));
    if field.policy == Some(DriftPolicy::Report) {
        what.push("reported only".to_owned());
    }
    if is_changed_outside(field) {
        let since = since.map_or_else(|| "unknown".to_owned(), |since| format!("{since:.0}"));
        what.push(format!("since: {since}"));
    }
    format!(
        "{path}: {last}is {}, wanted {}  {}",
        paint(style::OLD, live),
        paint(style::NEW, shown(&field.wanted)),
        paint(style::FAINT, format!("({})", what.join("; "))),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(field: &Field, since: Option<&str>) -> String {
        let since = since.map(|since| since.parse().unwrap());
        anstream::adapter::strip_str(&field_line(field, since)).to_string()
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
        insta::assert_snapshot!([plain(&field, None), plain(&alone, None)].join("\n"), @r#"
        taskDefinition.containerDefinitions[web].image: was "web:1", is "other:9", wanted "web:1"  (git: changed outside; starts a deployment; since: unknown)
        service.desiredCount: 6  (autoscaler, left alone)
        "#);
    }

    #[test]
    fn a_field_that_policy_keeps_says_so_and_since_when_as_a_daemon_told() {
        let kept = |cause, policy| Field {
            path: "service.enableExecuteCommand".to_owned(),
            last: Some(false.into()),
            wanted: Some(false.into()),
            live: Some(true.into()),
            owner: FieldOwner::Git,
            cause,
            policy: Some(policy),
            effect: None,
        };
        let key = ServiceKey::new("prod", "web");
        let reported = kept(Some(Cause::Outside), DriftPolicy::Report);
        let seen = Seen::read(&[json!({
            "key": { "target": "default", "cluster": "prod", "name": "web" },
            "drift": [{ "path": reported.path, "since": "2026-01-01T00:00:00Z" }],
        })]);
        let since = seen.since(&key, &reported).map(|since| since.to_string());
        let ignored = kept(None, DriftPolicy::Ignore);
        insta::assert_snapshot!([plain(&reported, since.as_deref()), plain(&ignored, None)].join("\n"), @r"
        service.enableExecuteCommand: was false, is true, wanted false  (git: changed outside; reported only; since: 2026-01-01T00:00:00Z)
        service.enableExecuteCommand: was false, is true, wanted false  (git: changed outside, ignored)
        ");
        assert_eq!((differs(&reported), differs(&ignored)), (true, false));
    }
}
