//! A course as it is compared with others, and where it is split; never decides what is the same.

use std::sync::Arc;
use std::time::Duration;

use evenkeel_manifest::ServiceKey;

use super::super::event::{Event, Replica};
use super::super::forks::Place;
use super::super::visited::{GOES_ON_OTHERWISE, Standing, Told, Tracker, left_by};
use super::super::{Fingerprint, OnceVisited, Violation, Visited};
use super::Course;

/// Where a course stands, and what follows from that.
#[derive(Debug)]
pub(crate) struct Comparison {
    visited: Arc<Visited>,
    once_visited: OnceVisited,
    tracker: Tracker,
    /// Where it stood while nothing perturbed it.
    trail: Vec<Fingerprint>,
    joined: bool,
}

impl Course {
    /// From now on it is compared with the fine courses of the same scenario.
    pub(crate) fn compares_with(&mut self, visited: Arc<Visited>, once_visited: OnceVisited) {
        self.trace.keeps_last();
        let (tracker, trail) = (Tracker::default(), Vec::new());
        self.comparison = Some(Comparison { visited, once_visited, tracker, trail, joined: false });
    }

    /// Whether it came to where a fine one stood.
    pub(crate) fn has_joined(&self) -> bool {
        self.comparison.as_ref().is_some_and(|comparison| comparison.joined)
    }

    pub(crate) fn take_trail(&mut self) -> Vec<Fingerprint> {
        self.comparison.take().map(|comparison| comparison.trail).unwrap_or_default()
    }

    pub(super) fn compare(&mut self, event: &Event<'_>) {
        if self.comparison.is_none() {
            return;
        }
        match event {
            // When a course is over is no part of it.
            Event::Over => {}
            Event::CarriedOut { call, .. } => {
                let words = format!("{}: {}", self.trace.last(), call.input);
                self.compare_as(Some(&words), true, None);
            }
            other => self.compare_as(None, other.lasts(), None),
        }
    }

    /// In the region, which is told of later than it happens.
    fn happened_at(&self) -> Duration {
        Duration::try_from(self.simulation.now().duration_since(self.start)).unwrap_or_default()
    }

    /// What has no event is told in words.
    fn compare_as(&mut self, words: Option<&str>, lasts: bool, pass: Option<&ServiceKey>) {
        let (at, faults) = (self.happened_at(), self.weather.faults());
        let Some(comparison) = &mut self.comparison else { return };
        let text = words.unwrap_or_else(|| self.trace.last());
        let standing = comparison.tracker.tell(Told { at, text, lasts, faults, pass });
        if let Some(standing) = standing {
            self.stands(standing);
        }
    }

    fn stands(&mut self, Standing { fingerprint, from }: Standing) {
        let Some(comparison) = &mut self.comparison else { return };
        let Some(left) = self.weather.left_since(self.start + from, self.simulation.now()) else {
            return;
        };
        let fingerprint = fingerprint.with(left);
        let visited = &comparison.visited;
        let next = comparison.trail.last().and_then(|last| visited.after(*last));
        if next.is_some_and(|next| next != fingerprint) {
            let what = "it stood where a fine course had stood, and became another one".to_owned();
            let at = self.simulation.now();
            self.violation.get_or_insert(Violation { property: GOES_ON_OTHERWISE, at, what });
            self.over.notify_one();
        }
        let is_known = visited.contains(fingerprint);
        comparison.trail.push(fingerprint);
        if is_known
            && !std::mem::replace(&mut comparison.joined, true)
            && comparison.once_visited == OnceVisited::Ends
        {
            self.over.notify_one();
        }
    }

    /// A pass begins; what the one before left says what the daemon remembers.
    pub(super) fn compare_pass(&mut self, by: Replica, about: &ServiceKey) {
        if self.comparison.is_none() {
            return;
        }
        // What happened in the region before is told before.
        self.sync();
        let status = self.seats.get(&by).and_then(|seat| seat.board.get(about));
        let left = status.map(|status| left_by(&status)).unwrap_or_default();
        self.compare_as(Some(&format!("pass over {about} after {left}")), false, Some(about));
    }

    /// Where this course is to be split, each new process goes on perturbed.
    pub(crate) fn split(&mut self, place: Place) {
        let at = self.elapsed();
        let perturbation = self.forks.as_mut().and_then(|forks| forks.split(place, at));
        if let Some(perturbation) = perturbation {
            self.weather.perturbation = perturbation;
        }
    }
}
