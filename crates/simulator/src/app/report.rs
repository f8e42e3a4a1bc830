//! Counters and failures of one command, for people and as JSON; never more failures than a person
//! reads.

use std::fmt::Display;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::BadInput;

/// Failures of a kind that are kept and printed; the others are counted.
const FAILURES_SHOWN: usize = 10;

#[derive(Debug, Serialize)]
pub(super) struct Report {
    command: &'static str,
    counters: Vec<Counter>,
    failed: u64,
    failures: Vec<Failure>,
    #[serde(skip)]
    began: Instant,
}

#[derive(Debug, Serialize)]
struct Counter {
    name: String,
    value: f64,
    unit: &'static str,
}

/// What a failure is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    /// A property, an expectation of a script, or where a course ends.
    Behaviour,
    /// What is written to AWS, or in which order.
    Writes,
    /// Only when something is done, and what is said about it.
    Wording,
}

/// Something that did not hold.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Failure {
    pub(super) kind: Kind,
    /// The scenario, or the seed.
    pub(super) course: String,
    pub(super) what: String,
    /// The last events before it, the newest last.
    pub(super) trace: Vec<String>,
    /// The command that shows the whole course again.
    pub(super) replay: String,
}

impl Report {
    pub(super) fn new(command: &'static str) -> Self {
        Self {
            command,
            counters: Vec::new(),
            failed: 0,
            failures: Vec::new(),
            began: Instant::now(),
        }
    }

    pub(super) fn count(&mut self, name: impl Into<String>, value: f64, unit: &'static str) {
        self.counters.push(Counter { name: name.into(), value, unit });
    }

    pub(super) fn seconds(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }

    pub(super) fn fail(&mut self, failure: Failure) {
        self.failed += 1;
        if self.shows_more(failure.kind) {
            say(&failure);
            self.failures.push(failure);
        }
    }

    /// Whether another failure of this kind would be printed.
    pub(super) fn shows_more(&self, kind: Kind) -> bool {
        self.failures.iter().filter(|one| one.kind == kind).count() < FAILURES_SHOWN
    }

    /// Whether something is wrong besides words.
    pub(super) fn has_misbehaved(&self) -> bool {
        self.failures.iter().any(|one| one.kind == Kind::Behaviour)
    }

    pub(super) fn all_held(&self) -> bool {
        self.failed == 0
    }

    /// The counters, one a line.
    pub(super) fn say(&self) {
        let mut out = std::io::stdout().lock();
        // A closed pipe is no reason to fail a proof.
        let mut line = |text: String| writeln!(out, "{text}").ok();
        line(format!("{}:", self.command));
        for counter in &self.counters {
            let digits = match counter.value {
                value if value.fract() == 0.0 => 0,
                value if value < 1.0 => 4,
                _ => 1,
            };
            line(format!("  {:<34} {:>14.digits$} {}", counter.name, counter.value, counter.unit));
        }
        line(format!("  {:<34} {:>14}", "failures", self.failed));
        line(format!("  {:<34} {:>14.1} s", "took", self.seconds()));
    }

    pub(super) fn save(&self, path: Option<&Path>) -> Result<(), BadInput> {
        let Some(path) = path else { return Ok(()) };
        let text = serde_json::to_string_pretty(self).expect("numbers and strings are JSON");
        std::fs::write(path, text)
            .map_err(|source| BadInput::Write { path: path.to_owned(), source })
    }
}

fn say(failure: &Failure) {
    let mut err = std::io::stderr().lock();
    writeln!(err, "\nFAILED {}: {}", failure.course, failure.what).ok();
    for line in &failure.trace {
        writeln!(err, "  | {line}").ok();
    }
    writeln!(err, "  replay: {}", failure.replay).ok();
}

pub(super) fn say_error(error: &dyn Display) {
    writeln!(std::io::stderr().lock(), "error: {error}").ok();
}

/// A line that replaces itself on a terminal; elsewhere a line a minute.
pub(super) fn progress(text: &str) {
    static TOLD: Mutex<Option<Instant>> = Mutex::new(None);
    let mut err = std::io::stderr().lock();
    if err.is_terminal() {
        write!(err, "\r\x1b[K{text}").ok();
        err.flush().ok();
        return;
    }
    let mut told = TOLD.lock().expect("nothing panics with it");
    let now = Instant::now();
    let is_due = now.duration_since(*told.get_or_insert(now)) >= Duration::from_mins(1);
    if is_due && !text.is_empty() {
        *told = Some(now);
        writeln!(err, "{text}").ok();
    }
}

pub(super) fn print(text: &str) {
    writeln!(std::io::stdout().lock(), "{text}").ok();
}

pub(super) fn as_f64(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::MAX, f64::from)
}
