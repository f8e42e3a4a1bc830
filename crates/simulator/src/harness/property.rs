//! What must hold in every course, each property in its own small checker; shares no code with the
//! planner's own guard and never looks at what the planner thinks.

use super::event::{At, Event};

/// A checker. It is told every event in its order and answers with what it found broken.
pub trait Property {
    /// The name in reliability.md part C, with a word: `S7 probe cap`.
    fn name(&self) -> &'static str;

    /// Takes in one event. A description of what is broken ends the course.
    fn check(&mut self, at: At, event: &Event<'_>) -> Result<(), String>;
}

/// A property that was broken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{property} broken at {at}: {what}")]
pub struct Violation {
    pub property: &'static str,
    pub at: At,
    pub what: String,
}

/// A new checker of every property that applies to what exists.
pub fn all() -> Vec<Box<dyn Property + Send>> {
    Vec::new()
}
