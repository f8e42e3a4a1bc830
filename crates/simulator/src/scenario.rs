//! Scenarios: a script in words, played in virtual time, and its transcript; never a property that
//! holds everywhere, for those are checked in every course.
//!
//! The first paragraph of a file says what it proves; then one command a line. `#` begins a comment.

mod command;
mod expectation;
mod parse;
mod transcript;

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use evenkeel_reconciler::{LoopSettings, PruneSettings};

use crate::harness::{
    Forks, Keeps, Notes, OnceVisited, Perturbation, Played, Property, Setup, Stage, Step, Visited,
    Wish, property,
};

pub use command::Command;
pub use expectation::Expectation;
pub use parse::ParseError;
pub(crate) use transcript::clock;

/// A script that was read.
/// Jitter and identifiers of every scenario come from it.
const SEED: u64 = 1;

#[derive(Clone, Debug)]
pub struct Scenario {
    pub name: String,
    /// The first paragraph.
    pub proves: String,
    pub lines: Vec<Line>,
}

/// One command and where it stands.
#[derive(Clone, Debug)]
pub struct Line {
    /// From 1.
    pub number: usize,
    pub text: String,
    pub command: Command,
}

/// How a scenario went.
#[derive(Debug)]
pub struct Performance {
    pub played: Played,
    pub transcript: String,
    /// What was expected and not so, with its line.
    pub missed: Option<String>,
    /// What each service came to in the end, for comparison with another course.
    pub endings: Vec<String>,
}

/// How a scenario is to be played.
#[derive(Debug, Default)]
pub struct Manner {
    pub perturbation: Perturbation,
    pub notes: Notes,
    pub keeps: Keeps,
    /// Whether the script's expectations count; in a perturbed course only its end does.
    pub expects: bool,
    /// Whether it is over as soon as all is at rest.
    pub ends_early: bool,
    /// Where it is split into several courses.
    pub forks: Option<Forks>,
    /// Where fine courses stood, to be compared with where that can tell that this one goes on as they did.
    pub visited: Option<(Arc<Visited>, OnceVisited)>,
}

impl Scenario {
    /// # Errors
    ///
    /// Every line that is not a command, with its number.
    pub fn read(name: &str, text: &str) -> Result<Self, ParseError> {
        parse::scenario(name, text)
    }

    /// Plays it as written.
    pub fn play(&self) -> Performance {
        self.play_in(Manner { expects: true, ..Manner::default() })
    }

    pub fn play_in(&self, manner: Manner) -> Performance {
        self.play_watched(manner, property::all_for(&self.settings()))
    }

    /// Plays it under the eyes of these properties.
    pub fn play_watched(
        &self,
        manner: Manner,
        properties: Vec<Box<dyn Property + Send>>,
    ) -> Performance {
        let setup = Setup {
            settings: self.settings(),
            replicas: self.replicas(),
            perturbation: manner.perturbation,
            properties,
            keeps: manner.keeps,
            notes: manner.notes,
            keeps_history: self.has_lag(),
            forks: manner.forks,
            visited: manner.visited.filter(|_| self.is_comparable()),
            ..Setup::new(SEED)
        };
        let (played, result) = Stage::play(setup, async |stage| {
            self.perform(stage, manner.expects, manner.ends_early).await
        });
        let (mut transcript, missed, endings) = result.unwrap_or_default();
        let missed = missed.or_else(|| played.violation.as_ref().map(ToString::to_string));
        if let Some(missed) = &missed {
            let _ = writeln!(transcript, "FAILED: {missed}");
        }
        Performance { played, transcript, missed, endings }
    }

    fn settings(&self) -> LoopSettings {
        let usual = Setup::new(SEED).settings;
        let resync_every = self.resync_every().unwrap_or(usual.resync_every);
        LoopSettings { prune: self.prune().cloned(), resync_every, ..usual }
    }

    /// Whether reads lag somewhere: what they answer happened before.
    fn has_lag(&self) -> bool {
        let is_lag = |line: &Line| matches!(line.command, Command::Step(Step::Lag(..)));
        self.lines.iter().any(is_lag)
    }

    /// Whether all that matters shows in events: what several daemons say to each other does not.
    fn is_comparable(&self) -> bool {
        self.replicas() == 1
    }

    fn prune(&self) -> Option<&PruneSettings> {
        self.lines.iter().find_map(|line| match &line.command {
            Command::Prune(settings) => Some(settings),
            _ => None,
        })
    }

    fn resync_every(&self) -> Option<Duration> {
        self.lines.iter().find_map(|line| match line.command {
            Command::Resync(time) => Some(time),
            _ => None,
        })
    }

    fn replicas(&self) -> usize {
        let daemons = self.lines.iter().filter_map(|line| match line.command {
            Command::Daemons(count) => Some(count),
            _ => None,
        });
        daemons.max().unwrap_or(1)
    }

    async fn perform(
        &self,
        stage: &mut Stage,
        expects: bool,
        ends_early: bool,
    ) -> (String, Option<String>, Vec<String>) {
        let mut script = transcript::Transcript::new(stage, &self.proves);
        let mut missed = None;
        for line in &self.lines {
            script.command(stage, &line.text);
            let result = line.command.perform(stage, expects).await;
            script.happened(stage);
            match result {
                Ok(shown) => script.shown(&shown),
                Err(why) => {
                    missed =
                        Some(format!("{}.txt:{}: {}: {why}", self.name, line.number, line.text));
                    break;
                }
            }
        }
        let endings = end(stage, ends_early).await;
        (script.into_text(), missed, endings)
    }
}

/// Lets everything settle, and says what each service came to.
async fn end(stage: &mut Stage, early: bool) -> Vec<String> {
    stage.mend_source();
    if early {
        stage.settle_until_still().await;
    } else {
        stage.settle().await;
    }
    let wishes: Vec<Wish> = stage.wishes().cloned().collect();
    wishes.iter().map(|wish| transcript::ending(stage, &wish.name)).collect()
}
