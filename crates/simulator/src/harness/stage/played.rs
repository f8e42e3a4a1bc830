//! What is left of a course when it is over; never plays one.

use std::time::Duration;

use jiff::Timestamp;

use super::super::alike::NO_MORE_ALIKE;
use super::super::{Forks, Mark, Moment, OnceAlike, Read, Talk, Trace, Violation};

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
    /// What other courses are compared with this one by, where reads were noted.
    pub marks: Vec<Mark>,
    /// What followed from that it had become the undisturbed one again, if it had.
    pub alike: Option<OnceAlike>,
    pub forks: Option<Forks>,
}

impl Played {
    /// Whether it had become the undisturbed course again, and then was another one after all.
    pub fn is_no_more_alike(&self) -> bool {
        self.violation.as_ref().is_some_and(|one| one.property == NO_MORE_ALIKE)
    }
}
