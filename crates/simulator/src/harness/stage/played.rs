//! What is left of a course when it is over; never plays one.

use std::time::Duration;

use jiff::Timestamp;

use super::super::visited::GOES_ON_OTHERWISE;
use super::super::{Fingerprint, Forks, Moment, Read, Talk, Trace, Violation};

/// What is left when a course is over.
#[derive(Debug)]
pub struct Played {
    pub violation: Option<Violation>,
    pub trace: Trace,
    pub calls: u64,
    /// Of the calls, how many were made before the script ended.
    pub calls_in_script: u64,
    pub wakes_in_script: u64,
    pub write_numbers: Vec<u64>,
    pub look_numbers: Vec<(u64, Timestamp)>,
    pub writes: u64,
    pub rollouts: u64,
    pub faults: u64,
    pub wakes: u64,
    pub took: Duration,
    /// Until the last fault.
    pub took_script: Duration,
    pub reads: Vec<Read>,
    pub moments: Vec<Moment>,
    pub talks: Vec<Talk>,
    /// The instants at which the region changed.
    pub changes: Vec<Timestamp>,
    /// What every daemon last said that it waits for.
    pub waits: Vec<String>,
    /// Whether it came to where a fine course stood.
    pub joined: bool,
    /// Where it stood, while that was wanted and nothing perturbed it.
    pub trail: Vec<Fingerprint>,
    pub forks: Option<Forks>,
}

impl Played {
    /// Whether a process of its own played it from a split on.
    pub(crate) fn is_split_off(&self) -> bool {
        self.forks.as_ref().is_some_and(Forks::is_child)
    }

    /// Whether it stood where a fine course stood, and then became another one after all.
    pub fn goes_on_otherwise(&self) -> bool {
        self.violation.as_ref().is_some_and(|one| one.property == GOES_ON_OTHERWISE)
    }
}
