//! Tells when a perturbed course has become the undisturbed one again, so that its end is known; never ends a course.
//!
//! Only what was written changes a region, and when; so where two courses have the same writes, edits and scripted faults up
//! to a moment, the region is the same. What a daemon still remembers shows in what it does, and in what it says that it
//! waits for: where every service was looked at twice, in not less than two minutes, and event by event nothing was
//! different, all that follows is the same. `--every-point` plays on all the same, and holds that against the courses.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use evenkeel_manifest::ServiceKey;
use evenkeel_planner::Status;

/// For how long nothing may be different, at least.
const SAME_FOR: Duration = Duration::from_mins(2);

/// How often every service must have been looked at meanwhile.
const PASSES: u32 = 2;

/// A service that was not looked at for so long is none that a daemon looks after.
const LOOKED_AFTER: Duration = Duration::from_mins(15);

/// What is said to be broken where a course that was the undisturbed one again becomes another one.
pub(crate) const NO_MORE_ALIKE: &str = "alike";

/// One event of a course, reduced to what two courses are compared by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Since the course began.
    at: Duration,
    event: u64,
    /// All that happened so far and does not pass by itself.
    lasting: u64,
}

/// What is told of an event.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Told<'a> {
    pub(crate) at: Duration,
    /// Its text, without the number of a call.
    pub(crate) text: &'a str,
    /// Whether the region, its world or the script may be different after it.
    pub(crate) lasts: bool,
    /// Scripted faults that were met so far.
    pub(crate) faults: u64,
}

/// Makes marks of events.
#[derive(Clone, Debug, Default)]
struct Marking {
    lasting: DefaultHasher,
}

impl Marking {
    fn mark(&mut self, told: Told<'_>) -> Mark {
        let mut event = DefaultHasher::new();
        told.text.hash(&mut event);
        if told.lasts {
            (told.at, told.text).hash(&mut self.lasting);
        }
        let mut lasting = self.lasting.clone();
        told.faults.hash(&mut lasting);
        Mark { at: told.at, event: event.finish(), lasting: lasting.finish() }
    }
}

/// Writes down what a course is to be compared by.
#[derive(Debug, Default)]
pub(crate) struct Recording {
    marking: Marking,
    pub(crate) marks: Vec<Mark>,
}

impl Recording {
    pub(crate) fn tell(&mut self, told: Told<'_>) {
        let mark = self.marking.mark(told);
        self.marks.push(mark);
    }
}

/// What follows once a course is the undisturbed one again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnceAlike {
    /// It is over.
    #[default]
    Ends,
    /// It is played on, and must stay the same.
    PlaysOn,
}

/// Compares a course with the undisturbed one, event by event.
#[derive(Debug)]
pub(crate) struct Comparison {
    undisturbed: Arc<[Mark]>,
    marking: Marking,
    /// The mark that comes next, if all is the same.
    next: usize,
    since: Option<Duration>,
    /// Whether anything has been different: before that it is not perturbed yet.
    has_differed: bool,
    /// The last pass over each service, and how many there were since all is the same.
    passes: BTreeMap<ServiceKey, (Duration, u32)>,
    is_alike: bool,
}

impl Comparison {
    pub(crate) fn new(undisturbed: Arc<[Mark]>) -> Self {
        Self {
            undisturbed,
            marking: Marking::default(),
            next: 0,
            since: Some(Duration::ZERO),
            has_differed: false,
            passes: BTreeMap::new(),
            is_alike: false,
        }
    }

    /// Whether it was the undisturbed one again, and is not any more.
    pub(crate) fn tell(&mut self, told: Told<'_>) -> bool {
        let mark = self.marking.mark(told);
        let is_next = self.undisturbed.get(self.next) == Some(&mark);
        if self.since.is_some() && is_next {
            self.next += 1;
            return false;
        }
        self.has_differed = true;
        self.passes.values_mut().for_each(|(_, count)| *count = 0);
        self.next = self.find(&mark).map_or(0, |index| index + 1);
        self.since = (self.next > 0).then_some(mark.at);
        self.is_alike
    }

    fn find(&self, mark: &Mark) -> Option<usize> {
        let from = self.undisturbed.partition_point(|other| other.at < mark.at);
        let at_once = self.undisturbed.get(from..)?.iter().take_while(|other| other.at == mark.at);
        at_once.clone().position(|other| other == mark).map(|index| from + index)
    }

    /// A pass over a service begins, after one that was told of as an event.
    pub(crate) fn pass(&mut self, key: &ServiceKey, at: Duration) {
        let (last, count) = self.passes.entry(key.clone()).or_default();
        (*last, *count) = (at, *count + 1);
    }

    /// Whether all that follows is known; `is_over` says that nothing perturbs the course any more. Said once.
    pub(crate) fn becomes_alike(&mut self, now: Duration, is_over: bool) -> bool {
        let Some(since) = self.since.filter(|_| is_over && self.has_differed && !self.is_alike)
        else {
            return false;
        };
        let mut looked_after = self.passes.values().filter(|(last, _)| *last + LOOKED_AFTER >= now);
        self.is_alike = now >= since + SAME_FOR && looked_after.all(|(_, count)| *count >= PASSES);
        self.is_alike
    }
}

/// What the last pass over a service left, as far as it says what comes next, in words.
pub(crate) fn left_by(status: &Status) -> String {
    let conditions = status.conditions.iter().map(|one| (one.kind, one.status, one.reason));
    let conditions: Vec<_> = conditions.collect();
    let Status { wanted, waiting, did, look_again, verdict, breaker, drift, words, .. } = status;
    format!(
        "{conditions:?} {wanted:?} {waiting:?} {did:?} {look_again:?} {verdict:?} {breaker:?} {drift:?} {words:?}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(seconds: u64, text: &str) -> Told<'_> {
        let at = Duration::from_secs(seconds);
        Told { at, text, lasts: text.starts_with("write"), faults: 0 }
    }

    /// A look each minute for ten minutes, and a write in the third.
    fn undisturbed() -> Vec<(u64, &'static str)> {
        let mut all: Vec<_> = (1..=10).map(|minute| (minute * 60, "look")).collect();
        all.insert(3, (181, "write"));
        all
    }

    fn marks(events: &[(u64, &str)]) -> Arc<[Mark]> {
        let mut recording = Recording::default();
        for (at, text) in events {
            recording.tell(told(*at, text));
        }
        recording.marks.into()
    }

    /// When the course is known to be the undisturbed one.
    fn alike_at(events: &[(u64, &str)]) -> Option<u64> {
        let mut comparison = Comparison::new(marks(&undisturbed()));
        let web = ServiceKey::new("main", "web");
        for (at, text) in events {
            comparison.tell(told(*at, text));
            comparison.pass(&web, Duration::from_secs(*at));
            if comparison.becomes_alike(Duration::from_secs(*at), true) {
                return Some(*at);
            }
        }
        None
    }

    #[test]
    fn a_course_that_nothing_perturbed_yet_is_not_over() {
        assert_eq!(alike_at(&undisturbed()), None);
    }

    #[test]
    fn a_look_more_is_forgotten_two_minutes_after_it() {
        let mut events = undisturbed();
        events.insert(1, (70, "look"));
        assert_eq!(alike_at(&events), Some(240), "the same from the second minute on");
    }

    #[test]
    fn a_write_more_or_less_or_later_is_never_forgotten() {
        let mut more = undisturbed();
        more.insert(1, (70, "write"));
        let less: Vec<_> = undisturbed().into_iter().filter(|one| one.1 != "write").collect();
        let mut later = undisturbed();
        *later.get_mut(3).expect("there is a fourth") = (182, "write");
        for events in [more, less, later] {
            assert_eq!(alike_at(&events), None, "{events:?}");
        }
    }

    #[test]
    fn what_is_not_done_any_more_is_a_difference() {
        let events = [(60, "look"), (70, "look"), (120, "look"), (300, "look"), (360, "look")];
        let mut comparison = Comparison::new(marks(&undisturbed()));
        for (at, text) in events {
            comparison.tell(told(at, text));
        }
        assert_eq!(comparison.since, None, "the write of the third minute never came");
    }

    #[test]
    fn one_that_becomes_different_after_it_was_the_same_is_told() {
        let mut comparison = Comparison::new(marks(&undisturbed()));
        comparison.tell(told(10, "look"));
        comparison.tell(told(60, "look"));
        comparison.tell(told(120, "look"));
        comparison.tell(told(180, "look"));
        assert!(comparison.becomes_alike(Duration::from_mins(3), true));
        assert!(!comparison.tell(told(181, "write")));
        assert!(comparison.tell(told(239, "look")));
    }

    #[test]
    fn a_service_that_was_looked_at_once_may_still_surprise() {
        let mut comparison = Comparison::new(marks(&undisturbed()));
        let [web, api] = ["web", "api"].map(|name| ServiceKey::new("main", name));
        comparison.tell(told(10, "look"));
        for minute in [1, 2, 3] {
            comparison.tell(told(minute * 60, "look"));
            comparison.pass(&web, Duration::from_mins(minute));
        }
        comparison.pass(&api, Duration::from_mins(3));
        assert!(!comparison.becomes_alike(Duration::from_mins(3), true));
        comparison.pass(&api, Duration::from_mins(3));
        assert!(!comparison.becomes_alike(Duration::from_mins(3), false), "it is not over");
        assert!(comparison.becomes_alike(Duration::from_mins(3), true));
    }
}
