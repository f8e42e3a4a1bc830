//! A course as others are compared with it, as it is compared itself, and where it is split; never decides what is alike.

use std::sync::Arc;
use std::time::Duration;

use evenkeel_manifest::ServiceKey;

use super::super::alike::{Comparison, NO_MORE_ALIKE, Recording, Told, left_by};
use super::super::event::{Event, Replica};
use super::super::forks::Place;
use super::super::{Mark, OnceAlike, Violation};
use super::Course;

impl Course {
    /// From now on it is written down what other courses are compared with this one by.
    pub(crate) fn records(&mut self) {
        self.trace.keeps_last();
        self.recording = Some(Recording::default());
    }

    pub(crate) fn take_marks(&mut self) -> Vec<Mark> {
        self.recording.take().map(|recording| recording.marks).unwrap_or_default()
    }

    /// From now on it is compared with the course that nothing disturbs.
    pub(crate) fn compares_with(&mut self, undisturbed: Arc<[Mark]>, once_alike: OnceAlike) {
        self.trace.keeps_last();
        self.comparison = Some((Comparison::new(undisturbed), once_alike));
    }

    pub(super) fn compare(&mut self, event: &Event<'_>) {
        if self.recording.is_none() && self.comparison.is_none() {
            return;
        }
        match event {
            // When a course is over is no part of it.
            Event::Over => {}
            Event::CarriedOut { call, .. } => {
                self.compare_as(Some(&format!("{}: {}", self.trace.last(), call.input)), true);
            }
            other => self.compare_as(None, other.lasts()),
        }
    }

    /// In the region, which is told of later than it happens.
    fn happened_at(&self) -> Duration {
        Duration::try_from(self.simulation.now().duration_since(self.start)).unwrap_or_default()
    }

    /// What has no event is told in words.
    fn compare_as(&mut self, words: Option<&str>, lasts: bool) {
        let (at, faults) = (self.happened_at(), self.weather.faults());
        let told = Told { at, text: words.unwrap_or_else(|| self.trace.last()), lasts, faults };
        if let Some(recording) = &mut self.recording {
            recording.tell(told);
        }
        let Some((comparison, _)) = &mut self.comparison else { return };
        if comparison.tell(told) {
            let what = "it was the undisturbed course again, and is another one now".to_owned();
            let at = self.simulation.now();
            self.violation.get_or_insert(Violation { property: NO_MORE_ALIKE, at, what });
            self.over.notify_one();
        }
    }

    /// A pass begins; what the one before left says what the daemon remembers.
    pub(super) fn compare_pass(&mut self, by: Replica, about: &ServiceKey) {
        if self.recording.is_none() && self.comparison.is_none() {
            return;
        }
        // What happened in the region before is told before.
        self.sync();
        let status = self.seats.get(&by).and_then(|seat| seat.board.get(about));
        let left = status.map(|status| left_by(&status)).unwrap_or_default();
        self.compare_as(Some(&format!("pass over {about} after {left}")), false);
        let (now, at) = (self.now(), self.happened_at());
        let is_over = self.weather.is_over(now);
        let Some((comparison, once_alike)) = &mut self.comparison else { return };
        comparison.pass(about, at);
        if comparison.becomes_alike(at, is_over) {
            self.alike = Some(*once_alike);
            if *once_alike == OnceAlike::Ends {
                self.over.notify_one();
            }
        }
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
