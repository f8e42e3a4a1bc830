//! The commands of scenarios, carried out on a stage; never parsed here.

use std::time::Duration;

use evenkeel_reconciler::PruneSettings;

use super::expectation::Expectation;
use super::transcript;
use crate::harness::{Stage, Step};

#[derive(Clone, Debug)]
pub enum Command {
    /// How many daemons there are; must come first.
    Daemons(usize),
    /// What daemons may prune; must come first.
    Prune(PruneSettings),
    /// How often settled services are looked at; must come first.
    Resync(Duration),
    Step(Step),
    /// Words of a manifest that is there are changed.
    Set(String, Vec<(String, String)>),
    Expect(Expectation),
    /// Calls and writes are counted from here.
    Count,
    Show(String),
}

impl Command {
    /// What it shows, line by line.
    ///
    /// # Errors
    ///
    /// Why it could not be carried out, or what was expected and is not so.
    pub(super) async fn perform(
        &self,
        stage: &mut Stage,
        expects: bool,
    ) -> Result<Vec<String>, String> {
        match self {
            Self::Step(step) => stage.perform(step).await.map(|()| Vec::new()),
            Self::Set(name, words) => {
                let wish =
                    stage.wish(name).ok_or_else(|| format!("there is no manifest {name}"))?;
                let mut wish = wish.clone();
                for (word, value) in words {
                    wish.set(word, value)?;
                }
                stage.perform(&Step::Write(wish)).await.map(|()| Vec::new())
            }
            Self::Expect(expectation) if expects => expectation.check(stage).map(|()| Vec::new()),
            Self::Count => {
                stage.look(|course| (course.calls_since(), course.writes_since()));
                Ok(Vec::new())
            }
            Self::Daemons(_) | Self::Prune(_) | Self::Resync(_) | Self::Expect(_) => Ok(Vec::new()),
            Self::Show(name) => Ok(transcript::status(stage, name)),
        }
    }
}
