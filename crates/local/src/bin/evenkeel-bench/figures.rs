//! The table of figures, printed line by line as they are found, and the same as JSON; never judges
//! one.

use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use crate::BenchResult;

/// Figures are shown as soon as they are known, because some take minutes.
#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    cpus: usize,
    build: &'static str,
    #[serde(rename = "figures")]
    found: Vec<Figure>,
}

#[derive(Debug, Serialize)]
struct Figure {
    /// With its unit, in `snake_case`.
    name: String,
    value: f64,
    what: String,
    includes: String,
}

impl Figures {
    pub(crate) fn begin() -> Self {
        let cpus = std::thread::available_parallelism().map_or(0, usize::from);
        let build = if cfg!(debug_assertions) { "debug" } else { "release" };
        print(&format!("{cpus} CPUs, {build} build; regions are the local model, not AWS\n"));
        Self { cpus, build, found: Vec::new() }
    }

    /// `shown` is the value as people read it; `includes` says what was measured and what was not.
    pub(crate) fn add(
        &mut self,
        name: impl Into<String>,
        what: impl Into<String>,
        value: f64,
        shown: impl AsRef<str>,
        includes: impl Into<String>,
    ) {
        let (name, what, includes) = (name.into(), what.into(), includes.into());
        print(&format!("{what:<52} {:>26}", shown.as_ref()));
        for line in wrapped(&includes) {
            print(&format!("    {line}"));
        }
        self.found.push(Figure { name, value, what, includes });
    }

    /// Writes all figures as JSON.
    pub(crate) fn report(&self, file: &Path) -> BenchResult<()> {
        let text = serde_json::to_string_pretty(self)?;
        let failed = |error| format!("the report cannot be written to {}: {error}", file.display());
        Ok(std::fs::write(file, text + "\n").map_err(failed)?)
    }
}

/// Output that nobody reads is no reason to stop.
fn print(line: &str) {
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{line}").and_then(|()| stdout.flush()).ok();
}

/// Columns of the table, less the indentation.
const WIDTH: usize = 75;

fn wrapped(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.len() + 1 + word.len() <= WIDTH => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// The middle of sorted durations; zero of none.
pub(crate) fn median(sorted: &[Duration]) -> Duration {
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

/// `12.3 ms`, `4.56 s`
pub(crate) fn show(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds < 1.0 { format!("{:.1} ms", seconds * 1000.0) } else { format!("{seconds:.2} s") }
}
