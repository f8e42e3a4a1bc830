//! `scenarios`: plays scripts and compares transcripts; never changes one unless told to.

use std::path::{Path, PathBuf};

use clap::Args;

use super::report::{Failure, Kind, Report, as_f64, progress};
use super::{BadInput, parallel};
use crate::scenario::Scenario;

#[derive(Debug, Args)]
pub(super) struct Scenarios {
    /// Only those whose name contains this.
    #[arg(value_name = "NAME")]
    only: Option<String>,
    /// Where the scripts are; their transcripts are in `transcripts` below it.
    #[arg(long, value_name = "DIRECTORY", default_value = DIRECTORY)]
    directory: PathBuf,
    /// Write the transcripts anew, to be read before they are committed.
    #[arg(long)]
    accept: bool,
    /// Print the transcripts.
    #[arg(long)]
    show: bool,
    /// End with the first that breaks a property or an expectation.
    #[arg(long)]
    until_broken: bool,
}

pub(super) const DIRECTORY: &str = "crates/simulator/scenarios";

impl Scenarios {
    pub(super) fn run(&self) -> Result<Report, BadInput> {
        let mut report = Report::new("scenarios");
        let scenarios = read_all(&self.directory, self.only.as_deref())?;
        let mut virtual_seconds = 0.0;
        let play = |scenario: &Scenario| {
            progress(&scenario.name);
            scenario.play()
        };
        // A few at a time, so that the first that is broken can be the end of it.
        let threads = super::sweeps::threads();
        let played =
            scenarios.chunks(8 * threads).flat_map(|some| parallel::each(some, threads, play));
        for (scenario, performance) in scenarios.iter().zip(played) {
            virtual_seconds += performance.played.took.as_secs_f64();
            if let Some(missed) = performance.missed {
                report.fail(failure(scenario, Kind::Behaviour, missed));
            }
            self.compare(&mut report, scenario, &performance.transcript)?;
            if self.until_broken && report.has_misbehaved() {
                break;
            }
        }
        progress("");
        report.count("scenarios", as_f64(scenarios.len()), "");
        report.count("simulated", virtual_seconds / 3600.0, "h");
        Ok(report)
    }

    fn compare(
        &self,
        report: &mut Report,
        scenario: &Scenario,
        transcript: &str,
    ) -> Result<(), BadInput> {
        if self.show {
            super::report::print(transcript);
        }
        let path = self.directory.join("transcripts").join(format!("{}.txt", scenario.name));
        if self.accept {
            return std::fs::write(&path, transcript)
                .map_err(|source| BadInput::Write { path, source });
        }
        let accepted = std::fs::read_to_string(&path).unwrap_or_default();
        if accepted != transcript {
            let kind =
                if writes(&accepted).eq(writes(transcript)) { Kind::Wording } else { Kind::Writes };
            let what = first_difference(&accepted, transcript);
            report.fail(failure(scenario, kind, format!("its transcript differs: {what}")));
        }
        Ok(())
    }
}

/// The calls of a transcript that change something: the service and the operation, in their order.
fn writes(transcript: &str) -> impl Iterator<Item = &str> {
    transcript.lines().filter_map(|line| {
        let (clock, act) = line.split_once("   ")?;
        let (call, _) = act.split_once(": ")?;
        let is_failure = call.ends_with(" failed");
        (clock.contains(':') && !act.starts_with(' ') && !is_failure).then_some(call)
    })
}

fn failure(scenario: &Scenario, kind: Kind, what: String) -> Failure {
    Failure {
        kind,
        course: scenario.name.clone(),
        what,
        trace: Vec::new(),
        replay: format!("evenkeel-simulator scenarios {} --show", scenario.name),
    }
}

fn first_difference(accepted: &str, now: &str) -> String {
    let mut lines = accepted.lines();
    for (number, line) in now.lines().enumerate() {
        let before = lines.next().unwrap_or("(nothing)");
        if before != line {
            return format!("line {}: `{line}` was `{before}`", number + 1);
        }
    }
    format!("it ends before `{}`", lines.next().unwrap_or_default())
}

/// The scenarios of a directory by name.
pub(super) fn read_all(directory: &Path, only: Option<&str>) -> Result<Vec<Scenario>, BadInput> {
    let unreadable = |source| BadInput::Read { path: directory.to_owned(), source };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let name = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default().to_owned();
        let is_script = path.extension().is_some_and(|extension| extension == "txt");
        if is_script && only.is_none_or(|only| name.contains(only)) {
            paths.push((name, path));
        }
    }
    paths.sort();
    if paths.is_empty() {
        return Err(BadInput::NoMatch(only.unwrap_or("*.txt").to_owned()));
    }
    paths.into_iter().map(|(name, path)| read(&name, path)).collect()
}

fn read(name: &str, path: PathBuf) -> Result<Scenario, BadInput> {
    let text = std::fs::read_to_string(&path).map_err(|source| BadInput::Read { path, source })?;
    Ok(Scenario::read(name, &text)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_writes_of_a_transcript_are_its_calls_without_their_times_and_reasons() {
        let text = "\
It proves something: much.

0:00:00 > advance 15m
0:00:00   daemon 0 starts
0:00:00   web RegisterTaskDefinition: registers a revision of web: none has the content
0:00:01   web (daemon 1) CreateService: creates the service
0:00:01   web (daemon 1) CreateService failed: throttled: slow down

1:45:00 > show web
    not Ready (RolledBack): it was rejected
";
        let calls = ["web RegisterTaskDefinition", "web (daemon 1) CreateService"];
        assert_eq!(writes(text).collect::<Vec<_>>(), calls);
    }
}
