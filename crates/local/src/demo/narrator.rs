//! Says what happens as it happens; never decides anything.

use std::io::{IsTerminal as _, Write as _};
use std::time::Instant;

use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets};
use serde_json::Value;

use super::report::{Outcome, Report, Row};
use crate::tasks::TaskEvent;

/// Writes to stdout, with colours on a terminal only.
#[derive(Clone, Debug)]
pub(super) struct Narrator {
    started: Instant,
    colour: bool,
}

/// Who does or says something.
#[derive(Clone, Copy, Debug)]
enum Speaker {
    Demo,
    Evenkeel,
    Ecs,
    Task,
    Traffic,
}

impl Speaker {
    fn name_and_colour(self) -> (&'static str, &'static str) {
        match self {
            Self::Demo => ("you", "1"),
            Self::Evenkeel => ("evenkeel", "36"),
            Self::Ecs => ("ecs", "2"),
            Self::Task => ("task", "33"),
            Self::Traffic => ("traffic", "31"),
        }
    }
}

impl Narrator {
    pub(super) fn start() -> Self {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { started: Instant::now(), colour: std::io::stdout().is_terminal() && !plain }
    }

    /// What the demo itself does.
    pub(super) fn demo(&self, text: &str) {
        self.say(Speaker::Demo, text);
    }

    /// An event of the ECS service.
    pub(super) fn ecs(&self, text: &str) {
        self.say(Speaker::Ecs, text);
    }

    /// What happens to the users' requests.
    pub(super) fn traffic(&self, text: &str) {
        self.say(Speaker::Traffic, text);
    }

    pub(super) fn failed_request(&self, why: &str) {
        self.say(Speaker::Traffic, &format!("A REQUEST FAILED: {why}"));
    }

    /// A line of the daemon's log, which is JSON.
    pub(super) fn daemon_line(&self, line: &str) {
        let Ok(entry) = serde_json::from_str::<Value>(line) else {
            return self.say(Speaker::Evenkeel, line);
        };
        let text = |name: &str| entry.get(name).and_then(Value::as_str);
        let message = text("message").unwrap_or_default();
        let sentence = match (message, text("action"), text("why")) {
            ("applied", Some(action), Some(why)) => format!("{action}: {why}"),
            (message, Some(action), Some(why)) => format!("{message}: {action}: {why}"),
            (message, None, Some(why)) => format!("{message}: {why}"),
            (message, _, None) => message.to_owned(),
        };
        let error = text("error").map(|error| format!(" ({error})")).unwrap_or_default();
        self.say(Speaker::Evenkeel, &format!("{sentence}{error}"));
    }

    pub(super) fn task(&self, event: &TaskEvent) {
        let id = |task: &str| -> String {
            task.rsplit('/').next().unwrap_or_default().chars().take(8).collect()
        };
        let text = match event {
            TaskEvent::Started { task, images } => {
                format!("{} runs {}", id(task), images.join(", "))
            }
            TaskEvent::CannotStart { task, reason, .. } => {
                format!("{} cannot start: {reason}", id(task))
            }
            TaskEvent::Exited { told_to: true, task, image, .. } => {
                format!("{} has stopped ({image})", id(task))
            }
            TaskEvent::Exited { task, image, exit_code, last_line, .. } => {
                let last = last_line.as_deref().unwrap_or_default();
                format!("{} CRASHED with exit code {exit_code} ({image}): {last}", id(task))
            }
        };
        self.say(Speaker::Task, &text);
    }

    pub(super) fn table(&self, report: &Report) {
        let mut table = Table::new();
        table.load_style(presets::UTF8_HORIZONTAL_ONLY);
        table.set_content_arrangement(ContentArrangement::Dynamic);
        if table.width().is_none() {
            table.set_width(140);
        }
        let mut header =
            vec!["revision", "outcome", "why", "verdict after", "bad tasks", "requests", "failed"];
        if report.strategy.moves_traffic() {
            header.extend(["share to bad", "verdict to zero"]);
        }
        header.push("API calls");
        table.set_header(header);
        for row in &report.rows {
            table.add_row(cells(row));
        }
        write(&format!("\n{table}\n"));
        for difference in &report.differences {
            write(&self.paint("31", &format!("NOT AS IT SHOULD BE: {difference}")));
        }
        if report.differences.is_empty() {
            write(&self.paint("32", "Everything went as it should."));
        }
    }

    fn say(&self, speaker: Speaker, text: &str) {
        let (name, colour) = speaker.name_and_colour();
        let text = in_short(text);
        let seconds = self.started.elapsed().as_secs_f64();
        let who = self.paint(colour, &format!("{name:<8}"));
        write(&format!("{seconds:6.1} s  {who}  {text}"));
    }

    fn paint(&self, colour: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{colour}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// A reader that went away is no reason to stop.
fn write(line: &str) {
    writeln!(std::io::stdout(), "{line}").ok();
}

/// Without the longer parts of ARNs and ids, which say nothing to a person here.
fn in_short(text: &str) -> String {
    let text = text.trim_start_matches("(service web) ");
    text.split(' ').map(word_in_short).collect::<Vec<_>>().join(" ")
}

fn word_in_short(word: &str) -> String {
    let bare = word.trim_start_matches('(').trim_end_matches(['.', ',', ':', ';', ')']);
    let Some((before, after)) = word.split_once(bare).filter(|_| !bare.is_empty()) else {
        return word.to_owned();
    };
    let short = match bare.split(':').nth(5).filter(|_| bare.starts_with("arn:")) {
        Some(resource) => resource_in_short(bare, resource),
        None if is_id(bare) => bare.chars().take(8).collect(),
        None => match bare.split_once(':').filter(|(_, digest)| is_id(digest)) {
            Some((version, digest)) => {
                format!("{version}:{}", digest.chars().take(8).collect::<String>())
            }
            None => bare.to_owned(),
        },
    };
    format!("{before}{short}{after}")
}

/// A target group's name stands before its id; all else is named last.
fn resource_in_short(arn: &str, resource: &str) -> String {
    let mut parts = resource.split('/');
    match (parts.next(), parts.next()) {
        (Some("targetgroup"), Some(name)) => name.to_owned(),
        _ => arn.rsplit('/').next().unwrap_or(arn).to_owned(),
    }
}

fn is_id(word: &str) -> bool {
    word.len() >= 32 && word.chars().all(|c| c.is_ascii_hexdigit())
}

fn cells(row: &Row) -> Vec<Cell> {
    let number = |text: String| Cell::new(text).set_alignment(CellAlignment::Right);
    let outcome = match row.outcome {
        Outcome::Succeeded => "live",
        Outcome::RolledBack => "rolled back",
        Outcome::Undecided => "undecided",
    };
    let mut cells = vec![
        Cell::new(row.name),
        Cell::new(outcome),
        Cell::new(in_short(&row.reason)),
        number(format!("{:.1} s", row.seconds_to_verdict)),
        number(row.bad_tasks_started.to_string()),
        number(row.requests.to_string()),
        number(row.failed_requests.to_string()),
    ];
    if let Some(figures) = &row.figures {
        let share = figures.share_to_bad.map(|share| format!("{:.1} %", share * 100.0));
        let zero = figures.verdict_to_zero.map(|seconds| format!("{seconds:.2} s"));
        cells.extend([share, zero].map(|text| number(text.unwrap_or_default())));
    }
    cells.push(number(row.api_calls.to_string()));
    cells
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_has_no_long_ids() {
        for (long, short) in [
            (
                "(service web) registered 1 targets in (target-group \
                 arn:aws:elasticloadbalancing:us-east-1:1:targetgroup/web/88dc97e5aab5fe3d)",
                "registered 1 targets in (target-group web)",
            ),
            (
                "has started 1 tasks: (task 17f94033310bf0b70000000000000003).",
                "has started 1 tasks: (task 17f94033).",
            ),
            (
                "rolls out arn:aws:ecs:us-east-1:1:task-definition/web:4 (changes x)",
                "rolls out web:4 (changes x)",
            ),
            ("rejects v1:2ff9282336e3f3bfdfa408ca72bbeca4 now", "rejects v1:2ff92823 now"),
            ("as it is", "as it is"),
        ] {
            assert_eq!(in_short(long), short);
        }
    }
}
