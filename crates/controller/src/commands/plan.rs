//! `evenkeel plan`: what would change and why; never changes anything.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;

use evenkeel_manifest::{Problem, ServiceKey, Severity};
use evenkeel_planner::Change;
use evenkeel_reconciler::PassReport;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::look::{ask_aws, dry_pass, look};
use super::review::review;
use super::validate::{counted, line};
use super::write_data;
use crate::args::{Output, PlanArgs, PlanOutput};
use crate::cli::{CommandError, Exit};
use crate::config::Config;
use crate::input;
use crate::markdown::{Comment, Section};
use crate::snapshot::{Replay, Snapshot};
use crate::style::{self, paint, safe};

pub(crate) async fn plan(
    config: Config,
    args: PlanArgs,
    out: &mut dyn Write,
) -> Result<Exit, CommandError> {
    if let (Some(from), Some(to)) = (&args.from, &args.to) {
        return review(&config, &args, (from, to), out);
    }
    let paths =
        if args.paths.is_empty() { vec![config.manifests.path.clone()] } else { args.paths };
    let input = input::load(&paths, config.manifests.environment.as_deref())?;
    let problems = input.set.problems.clone();
    let (services, elsewhere) = input.services_of(&config);
    let (reports, past) = match &args.snapshot {
        Some(path) => {
            let snapshot = Snapshot::read(path)?;
            snapshot.check_region(path, config.aws.region.as_deref())?;
            let past = Past::of(&snapshot);
            (look(Arc::new(Replay::from(snapshot)), services, &config).await?, Some(past))
        }
        None => (ask_aws(services, &config, dry_pass).await?, None),
    };
    let planned = Planned { reports, problems, elsewhere, past };
    match args.output {
        PlanOutput::Text => planned.write_text(out)?,
        PlanOutput::Json => write_data(out, Output::Json, &planned.data())?,
        PlanOutput::Yaml => write_data(out, Output::Yaml, &planned.data())?,
        PlanOutput::Markdown => out.write_all(planned.comment().as_bytes())?,
    }
    Ok(planned.exit())
}

/// What there is to tell.
struct Planned {
    reports: BTreeMap<ServiceKey, PassReport>,
    problems: Vec<Problem>,
    /// How many services belong to other targets.
    elsewhere: usize,
    /// Against which state it was planned, unless as it is now.
    past: Option<Past>,
}

/// When a snapshot was taken, and how long ago that is.
struct Past {
    taken_at: Timestamp,
    age: SignedDuration,
}

impl Past {
    /// By two clocks, one of which may be slow.
    fn of(snapshot: &Snapshot) -> Self {
        let taken_at = snapshot.taken_at;
        let seconds = Timestamp::now().duration_since(taken_at).as_secs().max(0);
        Self { taken_at, age: SignedDuration::from_secs(seconds) }
    }

    fn sentence(&self) -> String {
        let (age, taken_at) = (self.age, self.taken_at);
        format!(
            "planned against a snapshot that is {age:#} old ({taken_at:.0}), not the live state"
        )
    }

    fn data(&self) -> Value {
        json!({
            "takenAt": self.taken_at, "ageSeconds": self.age.as_secs(), "message": self.sentence(),
        })
    }
}

impl Planned {
    fn exit(&self) -> Exit {
        let is_error = |problem: &Problem| problem.severity == Severity::Error;
        let is_invalid = self.problems.iter().any(is_error);
        if is_invalid || self.reports.values().any(|report| fault(report).is_some()) {
            Exit::Bad
        } else if self.reports.values().any(differs) {
            Exit::Changes
        } else {
            Exit::Done
        }
    }

    fn data(&self) -> Value {
        let services: Vec<Value> =
            self.reports.iter().map(|(key, report)| service(key, report)).collect();
        let mut data = json!({ "services": services, "problems": self.problems });
        if let (Some(past), Some(members)) = (&self.past, data.as_object_mut()) {
            members.insert("snapshot".to_owned(), past.data());
        }
        data
    }

    fn write_text(&self, out: &mut dyn Write) -> Result<(), CommandError> {
        for problem in &self.problems {
            writeln!(out, "{}", line(problem))?;
        }
        for (key, report) in &self.reports {
            write_service(out, key, report)?;
        }
        if let Some(past) = &self.past {
            writeln!(out, "{}", paint(style::CAREFUL, past.sentence()))?;
        }
        Ok(writeln!(out, "{}", self.summary())?)
    }

    fn summary(&self) -> String {
        let reports = || self.reports.values();
        let changed = reports().filter(|report| differs(report)).count();
        let failed = reports().filter(|report| fault(report).is_some()).count();
        let errors = self.problems.iter().filter(|p| p.severity == Severity::Error).count();
        let count = counted(self.reports.len(), "service");
        let mut parts = vec![format!("{count}: {changed} with differences")];
        for (count, what) in
            [(failed, "could not be planned"), (self.elsewhere, "of another target")]
        {
            if count > 0 {
                parts.push(format!(", {count} {what}"));
            }
        }
        if errors > 0 {
            parts.push(format!("; {} in the manifests", counted(errors, "error")));
        }
        parts.concat()
    }

    /// Services for which there is nothing to tell are in the summary alone.
    fn comment(&self) -> String {
        let mut comment = Comment::new("Evenkeel plan", &self.summary());
        comment.list("Snapshot", self.past.iter().map(Past::sentence));
        comment.list("Problems", self.problems.iter().map(plain_line));
        for (key, report) in &self.reports {
            let is_told =
                differs(report) || fault(report).is_some() || !report.plan.waiting.is_empty();
            if is_told {
                comment.section(&section(key, report));
            }
        }
        comment.text()
    }
}

fn differs(report: &PassReport) -> bool {
    !report.plan.actions.is_empty() || !report.changes.is_empty()
}

/// Why a service could not be planned.
fn fault(report: &PassReport) -> Option<String> {
    match &report.outcome {
        evenkeel_planner::Outcome::Refused(broken) => {
            Some(format!("the plan was refused: {}", broken.join("; ")))
        }
        _ => report.error.as_ref().map(ToString::to_string),
    }
}

/// Inputs of calls are left out, because they hold the values of environment variables.
fn service(key: &ServiceKey, report: &PassReport) -> Value {
    let action = |action: &evenkeel_planner::Action| json!({ "operation": action.call.operation(), "why": action.why });
    json!({
        "key": key,
        "wanted": report.status.wanted,
        "differs": differs(report),
        "changes": report.changes,
        "actions": report.plan.actions.iter().map(action).collect::<Vec<_>>(),
        "waiting": report.plan.waiting,
        "verdict": report.plan.verdict,
        "error": fault(report),
    })
}

pub(super) fn plain_line(problem: &Problem) -> String {
    anstream::adapter::strip_str(&line(problem)).to_string()
}

fn section(key: &ServiceKey, report: &PassReport) -> Section {
    let name = key.to_string();
    if let Some(fault) = fault(report) {
        let headline = "could not be planned".to_owned();
        return Section { name, headline, changes: Vec::new(), lines: vec![("Error", fault)] };
    }
    let mut lines = Vec::new();
    if let Some(wanted) = &report.status.wanted {
        lines.push(("Wants", wanted.as_str().to_owned()));
    }
    for action in &report.plan.actions {
        lines.push(("Next", format!("{}: {}", action.call.operation(), action.why)));
    }
    for wait in &report.plan.waiting {
        lines.push(("Waits", wait.sentence.clone()));
    }
    let headline = match report.changes.len() {
        0 if differs(report) => "no field differs".to_owned(),
        0 => "no change".to_owned(),
        1 => "1 field differs".to_owned(),
        count => format!("{count} fields differ"),
    };
    Section { name, headline, changes: report.changes.clone(), lines }
}

fn write_service(
    out: &mut dyn Write,
    key: &ServiceKey,
    report: &PassReport,
) -> Result<(), CommandError> {
    let name = safe(&key.to_string()).into_owned();
    if let Some(fault) = fault(report) {
        let mark = paint(style::BAD, "!");
        return Ok(writeln!(out, "{mark} {name}: {}", safe(&fault))?);
    }
    let mark = if differs(report) { paint(style::CAREFUL, "~") } else { "=".to_owned() };
    let what = if differs(report) { String::new() } else { ": no change".to_owned() };
    writeln!(out, "{mark} {}{what}", paint(style::TITLE, name))?;
    let is_told = differs(report) || !report.plan.waiting.is_empty();
    if let Some(wanted) = report.status.wanted.as_ref().filter(|_| is_told) {
        writeln!(out, "  wants {}", safe(wanted.as_str()))?;
    }
    for change in &report.changes {
        writeln!(out, "    {}", change_line(change))?;
    }
    for action in &report.plan.actions {
        let operation = paint(style::FAINT, action.call.operation());
        writeln!(out, "  next  {operation}: {}", safe(&action.why))?;
    }
    for wait in &report.plan.waiting {
        writeln!(out, "  waits {}", safe(&wait.sentence))?;
    }
    Ok(())
}

/// `path: old -> new (effect)`.
pub(super) fn change_line(change: &Change) -> String {
    let old = change.old.as_ref().map_or_else(|| "(not set)".to_owned(), Value::to_string);
    let new = change.new.as_ref().map_or_else(|| "(not set)".to_owned(), Value::to_string);
    format!(
        "{}: {} -> {}  {}",
        safe(&change.path),
        paint(style::OLD, safe(&old)),
        paint(style::NEW, safe(&new)),
        paint(style::FAINT, format!("({})", safe(&change.effect))),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_shows_the_field_both_values_and_what_it_means() {
        let change = Change {
            path: "taskDefinition.containerDefinitions[web].image".to_owned(),
            old: Some("web:1".into()),
            new: None,
            effect: "starts a deployment".to_owned(),
        };
        let line = anstream::adapter::strip_str(&change_line(&change)).to_string();
        insta::assert_snapshot!(line, @r#"taskDefinition.containerDefinitions[web].image: "web:1" -> (not set)  (starts a deployment)"#);
    }
}
