//! The table of figures, printed line by line as they are found; never judges one.

use std::fmt::Display;
use std::io::Write as _;
use std::time::Duration;

/// Figures are shown as soon as they are known, because some take minutes.
#[derive(Debug)]
pub(crate) struct Figures(());

impl Figures {
    pub(crate) fn begin() -> Self {
        let figures = Self(());
        let cpus = std::thread::available_parallelism().map_or(0, usize::from);
        let build = if cfg!(debug_assertions) {
            "debug build: figures mean little"
        } else {
            "release build"
        };
        figures.line(&format!("{cpus} CPUs, {build}; regions are the local model, not AWS\n"));
        figures
    }

    pub(crate) fn add(&mut self, what: impl Display, figure: impl Display) {
        self.line(&format!("{what:<66} {figure:>24}"));
    }

    #[expect(clippy::unused_self, reason = "takes the table, so that nothing is added after it")]
    pub(crate) fn end(self) {}

    #[expect(clippy::unused_self, reason = "all printing goes through the table")]
    fn line(&self, line: &str) {
        let mut stdout = std::io::stdout();
        // Output that nobody reads is no reason to stop.
        writeln!(stdout, "{line}").and_then(|()| stdout.flush()).ok();
    }
}

/// `12.3 ms`, `4.56 s`
pub(crate) fn show(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds < 1.0 { format!("{:.1} ms", seconds * 1000.0) } else { format!("{seconds:.2} s") }
}
