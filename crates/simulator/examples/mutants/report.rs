//! What came of each mutant, for people and as JSON; never calls a difference of words a catch.

use std::fmt::Display;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use crate::Failed;
use crate::mutant::Mutant;
use crate::oracle::{How, Outcome, Tried};

#[derive(Debug, Serialize)]
pub(crate) struct Report {
    planted: usize,
    caught: usize,
    by_property: usize,
    by_expectation: usize,
    /// Only by which calls are made, or in which order.
    by_writes: usize,
    by_no_end: usize,
    does_not_compile: usize,
    survivors: Vec<String>,
    /// Survivors that are known to do no harm, with the reason.
    harmless: Vec<String>,
    mutants: Vec<Line>,
}

#[derive(Debug, Serialize)]
struct Line {
    name: String,
    stands_for: String,
    outcome: &'static str,
    /// `None` for what survives.
    by: Option<&'static str>,
    course: Option<String>,
    what: String,
    build_seconds: f64,
    proof_seconds: f64,
}

impl Report {
    pub(crate) fn of(mutants: &[Mutant]) -> Self {
        Self {
            planted: mutants.len(),
            caught: 0,
            by_property: 0,
            by_expectation: 0,
            by_writes: 0,
            by_no_end: 0,
            does_not_compile: 0,
            survivors: Vec::new(),
            harmless: Vec::new(),
            mutants: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, mutant: &Mutant, tried: Tried) {
        self.count(mutant, &tried.outcome);
        let (build, proof) = (tried.build, tried.proof);
        say(&format!("{:<44} {:>4.0} s  {}", mutant.name, seconds(build + proof), tried.outcome));
        if let Outcome::DoesNotBuild(errors) = &tried.outcome {
            say(errors);
        }
        self.mutants.push(Line::of(mutant, tried.outcome, build, proof));
    }

    fn count(&mut self, mutant: &Mutant, outcome: &Outcome) {
        match outcome {
            Outcome::Caught(catch) => {
                self.caught += 1;
                match catch.how {
                    How::Property => self.by_property += 1,
                    How::Expectation => self.by_expectation += 1,
                    How::Writes => self.by_writes += 1,
                    How::NoEnd => self.by_no_end += 1,
                }
            }
            Outcome::Survives { .. } => match &mutant.harmless {
                Some(why) => self.harmless.push(format!("{}: {why}", mutant.name)),
                None => self.survivors.push(mutant.name.clone()),
            },
            Outcome::DoesNotBuild(_) => self.does_not_compile += 1,
        }
    }

    pub(crate) fn sum_up(&self) {
        say(&format!("\ncaught {} of {} planted", self.caught, self.planted));
        say(&format!("  by a property       {:>4}", self.by_property));
        say(&format!("  by an expectation   {:>4}", self.by_expectation));
        say(&format!("  by writes only      {:>4}", self.by_writes));
        say(&format!("  by having no end    {:>4}", self.by_no_end));
        say(&format!("survivors             {:>4}", self.survivors.len()));
        for name in &self.survivors {
            say(&format!("  {name}"));
        }
        say(&format!("survive without harm  {:>4}", self.harmless.len()));
        for name in &self.harmless {
            say(&format!("  {name}"));
        }
    }

    /// Whether something could not be tried.
    pub(crate) fn is_unsound(&self) -> bool {
        self.does_not_compile > 0
    }

    pub(crate) fn all_were_caught(&self) -> bool {
        self.survivors.is_empty()
    }

    pub(crate) fn save(&self, path: Option<&Path>) -> Result<(), Failed> {
        let Some(path) = path else { return Ok(()) };
        let text = serde_json::to_string_pretty(self).expect("numbers and strings are JSON");
        std::fs::write(path, text).map_err(|source| Failed::File { path: path.to_owned(), source })
    }
}

impl Line {
    fn of(mutant: &Mutant, outcome: Outcome, build: Duration, proof: Duration) -> Self {
        let said = outcome.to_string();
        let (outcome, by, course, what) = match outcome {
            Outcome::Caught(catch) => {
                (catch.how.word(), Some(catch.by), Some(catch.course), catch.what)
            }
            Outcome::Survives { .. } => ("survives", None, None, said),
            Outcome::DoesNotBuild(errors) => ("does not compile", None, None, errors),
        };
        Self {
            name: mutant.name.clone(),
            stands_for: mutant.stands_for.clone(),
            outcome,
            by,
            course,
            what,
            build_seconds: seconds(build),
            proof_seconds: seconds(proof),
        }
    }
}

/// One a line, with what they stand for.
pub(crate) fn list(mutants: &[Mutant]) {
    for mutant in mutants {
        say(&format!("{:<44} {}", mutant.name, mutant.stands_for));
    }
    say(&format!("{} mutants, every edit fits", mutants.len()));
}

pub(crate) fn say_baseline(tried: &Tried) {
    let (build, proof) = (seconds(tried.build), seconds(tried.proof));
    say(&format!("without a mutant: {} ({build:.0} s + {proof:.0} s)", tried.outcome));
}

fn seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 10.0).round() / 10.0
}

fn say(text: &str) {
    // A closed pipe is no reason to end.
    writeln!(std::io::stdout().lock(), "{text}").ok();
}

pub(crate) fn say_error(error: &dyn Display) {
    writeln!(std::io::stderr().lock(), "error: {error}").ok();
}
