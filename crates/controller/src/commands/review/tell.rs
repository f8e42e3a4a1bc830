//! A review as text, as data and as a comment; never decides what counts as a change.

use std::io::Write;

use evenkeel_manifest::ServiceKey;
use evenkeel_planner::Forecast;
use jiff::SignedDuration;
use serde_json::{Value, json};

use super::super::plan::{change_line, plain_line};
use super::super::validate::{counted, line};
use super::compare::{Kind, Review, RevisedService};
use crate::cli::CommandError;
use crate::markdown::{Comment, Section};
use crate::style::{self, paint, safe};

pub(super) fn text(out: &mut dyn Write, review: &Review) -> Result<(), CommandError> {
    for problem in &review.problems {
        writeln!(out, "{}", line(problem))?;
    }
    for (key, service) in &review.revised {
        let name = paint(style::TITLE, safe(&key.to_string()));
        let colour = if service.kind == Kind::Invalid { style::BAD } else { style::CAREFUL };
        let mark = paint(colour, service.kind.mark());
        writeln!(out, "{mark} {name}: {}", safe(&headline(service)))?;
        for change in &service.changes {
            writeln!(out, "    {}", change_line(change))?;
        }
        for sentence in expected(service) {
            writeln!(out, "  expect {sentence}")?;
        }
    }
    Ok(writeln!(out, "{}", summary(review))?)
}

pub(super) fn data(review: &Review) -> Value {
    let service = |(key, service): (&ServiceKey, &RevisedService)| {
        json!({
            "key": key,
            "kind": service.kind.word(),
            "renamedFrom": service.kind.renamed_from(),
            "changes": service.changes,
            "forecast": service.forecast,
        })
    };
    json!({
        "from": review.from,
        "to": review.to,
        "services": review.revised.iter().map(service).collect::<Vec<_>>(),
        "problems": review.problems,
        "errorsBefore": review.errors_before,
    })
}

pub(super) fn comment(review: &Review) -> String {
    let mut comment = Comment::new("Evenkeel plan", &summary(review));
    comment.list("Problems", review.problems.iter().map(plain_line));
    for (key, service) in &review.revised {
        comment.section(&Section {
            name: key.to_string(),
            headline: headline(service),
            changes: service.changes.clone(),
            lines: expected(service).into_iter().map(|text| ("Expect", text)).collect(),
        });
    }
    comment.text()
}

fn summary(review: &Review) -> String {
    let short = |commit: &str| commit.get(..10).unwrap_or(commit).to_owned();
    let mut parts = vec![format!(
        "{} to {}: {}, {} with differences",
        short(&review.from),
        short(&review.to),
        counted(review.services, "service"),
        review.revised.len()
    )];
    if review.errors() > 0 {
        parts.push(format!("; {} in the manifests", counted(review.errors(), "error")));
    }
    if review.errors_before > 0 {
        let errors = counted(review.errors_before, "error");
        parts.push(format!(
            "; {errors} in the older revision, whose services are taken for new ones"
        ));
    }
    parts.concat()
}

fn headline(service: &RevisedService) -> String {
    match &service.kind {
        Kind::Added => "is new".to_owned(),
        Kind::RenamedFrom(old) => format!("is new, with the content of {old}, which is removed"),
        Kind::Removed => "is removed from the manifests".to_owned(),
        Kind::Invalid => "has no valid manifest any more".to_owned(),
        Kind::Changed if service.changes.len() == 1 => "1 field differs".to_owned(),
        Kind::Changed => format!("{} fields differ", service.changes.len()),
    }
}

/// What will happen, a sentence each.
fn expected(service: &RevisedService) -> Vec<String> {
    match &service.kind {
        Kind::Removed => {
            vec![
                "nothing is deleted: the service goes on as it is, and is no longer managed"
                    .to_owned(),
            ]
        }
        Kind::Invalid => {
            vec!["a daemon that runs keeps the last good manifest in force".to_owned()]
        }
        Kind::Added | Kind::RenamedFrom(_) => vec![
            "a service is created, unless it exists".to_owned(),
            register_calls(&service.forecast),
            time(&service.forecast),
        ],
        Kind::Changed if service.forecast.deploys => rollout(&service.forecast),
        Kind::Changed => vec!["no deployment: no task is restarted".to_owned()],
    }
}

fn rollout(forecast: &Forecast) -> Vec<String> {
    let restarted = match forecast.tasks_restarted {
        Some(count) => format!("a deployment: {} restarted", counted_tasks(count)),
        None => "a deployment: all tasks restarted, as many as run then".to_owned(),
    };
    let surge = match forecast.surge {
        Some(count) => format!("at most {} beside the desired count", counted_tasks(count)),
        None => "room for tasks beside the desired count, which the manifest leaves out".to_owned(),
    };
    vec![restarted, surge, register_calls(forecast), time(forecast)]
}

fn counted_tasks(count: u64) -> String {
    if count == 1 { "1 task".to_owned() } else { format!("{count} tasks") }
}

fn register_calls(forecast: &Forecast) -> String {
    match forecast.register_calls {
        0 => "no call of RegisterTaskDefinition".to_owned(),
        1 => "1 call of RegisterTaskDefinition".to_owned(),
        count => format!("{count} calls of RegisterTaskDefinition"),
    }
}

fn time(forecast: &Forecast) -> String {
    let seconds = i64::try_from(forecast.seconds_at_least).unwrap_or(i64::MAX);
    match seconds {
        0 => "as long as tasks take to start and to become healthy".to_owned(),
        _ => format!(
            "at least {:#}, and as long as tasks take to start",
            SignedDuration::from_secs(seconds)
        ),
    }
}

impl Kind {
    fn mark(&self) -> &'static str {
        match self {
            Self::Added | Self::RenamedFrom(_) => "+",
            Self::Changed => "~",
            Self::Removed => "-",
            Self::Invalid => "!",
        }
    }

    fn word(&self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::RenamedFrom(_) => "renamed",
            Self::Changed => "changed",
            Self::Removed => "removed",
            Self::Invalid => "invalid",
        }
    }

    fn renamed_from(&self) -> Option<&str> {
        match self {
            Self::RenamedFrom(old) => Some(old),
            Self::Added | Self::Changed | Self::Removed | Self::Invalid => None,
        }
    }
}
