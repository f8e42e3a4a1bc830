//! The source of the manifests, which fails once where a sweep says so; never changes what is written in it.

use std::sync::Arc;
use std::time::Duration;

use evenkeel_reconciler::DesiredState;
use jiff::Timestamp;

use super::super::course::lock;
use super::super::event::{Event, Replica};
use super::super::weather::FAILS_FOR;
use super::super::{Perturbation, SourceFailure};
use super::Stage;

/// For how long it is empty: what nobody wants is not rolled out meanwhile, and scripts have the time of a rollout between
/// two wishes.
const EMPTY_FOR: Duration = Duration::from_mins(1);

/// How what is written comes to be read.
#[derive(Debug)]
pub(super) enum Reading {
    Well,
    FailsFrom(Timestamp, SourceFailure),
    Fails { failure: SourceFailure, until: Timestamp, before: Arc<DesiredState> },
}

impl Reading {
    pub(super) fn of(perturbation: &Perturbation) -> Self {
        match perturbation {
            Perturbation::Source { failure, from } => Self::FailsFrom(*from, *failure),
            _ => Self::Well,
        }
    }

    fn changes_at(&self) -> Option<Timestamp> {
        match self {
            Self::Well => None,
            Self::FailsFrom(from, _) => Some(*from),
            Self::Fails { until, .. } => Some(*until),
        }
    }
}

impl Stage {
    pub(super) async fn pass_time(&mut self, duration: Duration) {
        let mut left = duration;
        while let Some(at) = self.reading.changes_at() {
            let now = self.look(|course| course.now());
            let wait = Duration::try_from(at.duration_since(now)).unwrap_or_default();
            if wait > left {
                break;
            }
            tokio::time::sleep(wait).await;
            left -= wait;
            match self.reading {
                Reading::FailsFrom(_, failure) => self.fail_source(failure),
                _ => self.mend_source(),
            }
        }
        tokio::time::sleep(left).await;
    }

    fn fail_source(&mut self, failure: SourceFailure) {
        let (before, now) = (self.in_force(), self.look(|course| course.now()));
        let time = if failure == SourceFailure::Emptied { EMPTY_FOR } else { FAILS_FOR };
        self.reading = Reading::Fails { failure, until: now + time, before: Arc::clone(&before) };
        lock(&self.course).is_sourceless = failure == SourceFailure::Emptied;
        match failure {
            SourceFailure::Incomplete => self.set_incomplete(true),
            SourceFailure::Garbled => {
                self.tell_garbled(&before, true);
                self.send(|desired| {
                    for key in before.services.keys() {
                        let problem = format!("{}.yaml:1:1: not a manifest", key.name);
                        desired.invalid.entry(key.clone()).or_insert_with(|| vec![problem]);
                    }
                });
            }
            SourceFailure::Emptied => {
                self.tell_wanted(&before, false);
                self.send(|desired| *desired = DesiredState::default());
            }
        }
    }

    /// What was read before is read again, if the source fails.
    pub fn mend_source(&mut self) {
        let Reading::Fails { failure, before, .. } = &self.reading else { return };
        let (failure, before) = (*failure, Arc::clone(before));
        self.reading = Reading::Well;
        lock(&self.course).is_sourceless = false;
        match failure {
            SourceFailure::Incomplete => self.set_incomplete(before.incomplete.is_some()),
            SourceFailure::Garbled => self.tell_garbled(&before, false),
            SourceFailure::Emptied => self.tell_wanted(&before, true),
        }
        self.send(|desired| *desired = DesiredState::clone(&before));
    }

    /// From now on some manifests cannot be read, or all can.
    pub(super) fn unreadable(&mut self, is: bool) {
        self.mend_source();
        self.set_incomplete(is);
    }

    fn set_incomplete(&self, is: bool) {
        {
            let mut course = lock(&self.course);
            course.sync();
            for number in 0..self.replicas {
                course.tell(&Event::Incomplete { by: Replica(number), is });
            }
        }
        self.send(|desired| {
            desired.incomplete = is.then(|| "lost.yaml:1:1: it cannot be read".to_owned());
        });
    }

    /// Of those that were good before.
    fn tell_garbled(&self, before: &DesiredState, is: bool) {
        let mut course = lock(&self.course);
        course.sync();
        let good = before.services.keys().filter(|key| !before.invalid.contains_key(*key));
        for key in good {
            for number in 0..self.replicas {
                course.tell(&Event::Invalid { by: Replica(number), key, is });
            }
        }
    }

    fn tell_wanted(&self, before: &DesiredState, is: bool) {
        let mut course = lock(&self.course);
        course.sync();
        for (key, service) in &before.services {
            for number in 0..self.replicas {
                let service = is.then_some(&**service);
                course.tell(&Event::Wanted { by: Replica(number), key, service });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::Keeps;
    use crate::scenario::{Manner, Performance, Scenario};

    /// One service for twenty minutes, with a source that fails from the thirtieth second on.
    fn played(failure: Option<SourceFailure>) -> Performance {
        let script = "Nothing is proved.\n\nload web image=web:1 count=1\nadvance 20m\n";
        let scenario = Scenario::read("one", script).expect("it is a script");
        let from = "2026-01-01T00:00:30Z".parse().expect("it is a time");
        let perturbation =
            failure.map_or(Perturbation::Nothing, |failure| Perturbation::Source { failure, from });
        scenario.play_in(Manner { perturbation, keeps: Keeps::Lines, ..Manner::default() })
    }

    fn tells(performance: &Performance, words: &str) -> Vec<String> {
        let lines = performance.played.trace.lines().iter();
        lines.filter(|line| line.contains(words)).map(|line| line.trim().to_owned()).collect()
    }

    #[test]
    fn a_source_that_fails_is_read_again_after_five_minutes_and_an_empty_one_after_one() {
        let undisturbed = played(None);
        for (failure, fails, is_mended) in [
            (
                SourceFailure::Incomplete,
                "30.000 daemon 0 lacks manifests: true",
                "330.000 daemon 0 lacks manifests: false",
            ),
            (
                SourceFailure::Garbled,
                "30.000 daemon 0 finds main/web invalid: true",
                "330.000 daemon 0 finds main/web invalid: false",
            ),
            (
                SourceFailure::Emptied,
                "30.000 daemon 0 wants nothing of main/web",
                "90.000 daemon 0 wants v1:",
            ),
        ] {
            let performance = played(Some(failure));
            assert_eq!(performance.missed, None, "{failure:?}");
            assert_eq!(performance.endings, undisturbed.endings, "{failure:?}");
            assert!(!tells(&performance, fails).is_empty(), "{failure:?}");
            assert!(!tells(&performance, is_mended).is_empty(), "{failure:?}");
            assert!(tells(&undisturbed, fails).is_empty(), "{failure:?}");
        }
    }
}
