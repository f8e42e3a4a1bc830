//! Live progress: one line a service that is rewritten on a terminal, a line a change elsewhere.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::Standings;
use super::standing::Standing;
use crate::style::{self, paint, safe};

/// More lines than this do not fit a terminal; then changes are printed as they come.
const LIVE_LINES_MAX: usize = 20;

pub(super) struct Progress<'a> {
    out: &'a mut dyn Write,
    began: Instant,
    live: Option<MultiProgress>,
    lines: BTreeMap<String, (String, Option<ProgressBar>)>,
}

impl<'a> Progress<'a> {
    pub(super) fn new(out: &'a mut dyn Write) -> Self {
        let live = io::stdout().is_terminal() && io::stderr().is_terminal();
        let live = live.then(MultiProgress::new);
        Self { out, began: Instant::now(), live, lines: BTreeMap::new() }
    }

    /// Says where a service stands, if that is new.
    pub(super) fn show(
        &mut self,
        name: &str,
        standing: Standing,
        sentence: &str,
    ) -> io::Result<()> {
        let text = format!("{} {}: {}", mark(standing), safe(name), safe(sentence));
        if self.lines.get(name).is_some_and(|(shown, _)| *shown == text) {
            return Ok(());
        }
        let bar = self.bar(name);
        match &bar {
            Some(bar) => bar.set_message(text.clone()),
            None => writeln!(self.out, "{} {text}", clock(self.began.elapsed()))?,
        }
        self.lines.insert(name.to_owned(), (text, bar));
        self.out.flush()
    }

    fn bar(&mut self, name: &str) -> Option<ProgressBar> {
        if let Some((_, bar)) = self.lines.get(name) {
            return bar.clone();
        }
        let live = self.live.as_ref().filter(|_| self.lines.len() < LIVE_LINES_MAX)?;
        let bar = live.add(ProgressBar::new_spinner());
        let style = ProgressStyle::with_template("{elapsed_precise} {wide_msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
        bar.enable_steady_tick(Duration::from_millis(500));
        Some(bar)
    }

    /// The last word on every service.
    pub(super) fn summary(self, standings: &Standings) -> io::Result<()> {
        for (_, bar) in self.lines.values() {
            if let Some(bar) = bar {
                bar.finish_and_clear();
            }
        }
        for (name, (standing, sentence)) in standings {
            let word = word(*standing);
            writeln!(self.out, "{} {} {word}: {}", mark(*standing), safe(name), safe(sentence))?;
        }
        writeln!(self.out, "after {}", clock(self.began.elapsed()))
    }
}

fn mark(standing: Standing) -> String {
    match standing {
        Standing::Working | Standing::Begun => paint(style::CAREFUL, "~"),
        Standing::Settled => paint(style::GOOD, "="),
        Standing::RolledBack | Standing::WaitsForPerson | Standing::Failed => {
            paint(style::BAD, "!")
        }
    }
}

fn word(standing: Standing) -> &'static str {
    match standing {
        Standing::Working => "not settled",
        Standing::Begun => "under way",
        Standing::Settled => "settled",
        Standing::RolledBack => "rejected",
        Standing::WaitsForPerson => "waits for a person",
        Standing::Failed => "failed",
    }
}

/// `02:05`.
fn clock(elapsed: Duration) -> String {
    let seconds = elapsed.as_secs();
    format!("{:02}:{:02}", seconds / 60, seconds % 60)
}
