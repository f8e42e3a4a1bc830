//! Tells where a course stands by what happened in it, so that one that comes to where a fine one stood is known to its
//! end; never ends a course.
//!
//! Only what was written changes a region, and when; so where two courses have the same writes, edits and scripted faults up
//! to a moment, the region is the same. What a daemon still remembers shows in what it does, and in what it says that it
//! waits for: where every service was looked at twice, in not less than a minute, and event by event all of that was the
//! same, all that follows is the same. `--every-point` plays on all the same, and holds that against the courses.

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use evenkeel_manifest::ServiceKey;
use evenkeel_planner::Status;

/// Courses are compared at whole multiples of it, since they began.
const CELL: Duration = Duration::from_secs(10);

/// For how many cells events must be the same, at least: a minute.
const CELLS_MIN: usize = 6;

/// A service that was not looked at for so many cells is none that a daemon looks after: a quarter of an hour.
const CELLS_MAX: usize = 90;

/// How often every service must have been looked at meanwhile.
const PASSES: u32 = 2;

/// What is said to be broken where a course stood where a fine one had stood, and then became another one.
pub(crate) const GOES_ON_OTHERWISE: &str = "visited";

/// Where a course stands. Two that stand at the same go on the same, if nothing perturbs either of them any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint(u64);

impl Fingerprint {
    pub(crate) const BYTES: usize = 8;

    /// With something else that says what comes next.
    pub(crate) fn with(self, other: impl Hash) -> Self {
        let mut hasher = DefaultHasher::new();
        (self.0, other).hash(&mut hasher);
        Self(hasher.finish())
    }

    pub(crate) fn to_bytes(self) -> [u8; Self::BYTES] {
        self.0.to_le_bytes()
    }

    pub(crate) fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        Self(u64::from_le_bytes(bytes))
    }
}

/// Where fine courses of one scenario stood, each time with where they stood next.
#[derive(Debug, Default)]
pub struct Visited(Mutex<HashMap<Fingerprint, Option<Fingerprint>>>);

impl Visited {
    /// Where a course stood that is fine to its end, or up to where another one stood that is.
    pub fn add(&self, trail: &[Fingerprint]) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (index, one) in trail.iter().enumerate() {
            let next = trail.get(index + 1).copied();
            let known = all.entry(*one).or_default();
            *known = known.or(next);
        }
    }

    pub(crate) fn contains(&self, fingerprint: Fingerprint) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&fingerprint)
    }

    /// Where a course stood next.
    pub(crate) fn after(&self, fingerprint: Fingerprint) -> Option<Fingerprint> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&fingerprint)?
    }
}

/// What follows once a course stands where a fine one stood.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnceVisited {
    /// It is over.
    #[default]
    Ends,
    /// It is played on, and must stay the same.
    PlaysOn,
}

/// What is told of an event.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Told<'a> {
    /// Since the course began.
    pub(crate) at: Duration,
    /// Its text, without the number of a call.
    pub(crate) text: &'a str,
    /// Whether the region, its world or the script may be different after it.
    pub(crate) lasts: bool,
    /// Scripted faults that were met so far.
    pub(crate) faults: u64,
    /// The service that a daemon begins to look at.
    pub(crate) pass: Option<&'a ServiceKey>,
}

/// Where a course stood at some moment, and since when only what happened counts for that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) fingerprint: Fingerprint,
    pub(crate) from: Duration,
}

/// Ten seconds of a course.
#[derive(Debug, Default)]
struct Cell {
    events: DefaultHasher,
    passes: Vec<ServiceKey>,
}

/// Takes the fingerprints of one course.
#[derive(Debug, Default)]
pub(crate) struct Tracker {
    /// All that happened so far and does not pass by itself.
    lasting: DefaultHasher,
    faults: u64,
    /// How many cells are over.
    over: u64,
    cells: VecDeque<Cell>,
}

impl Tracker {
    /// Where it stood at the end of the cell before, with the first event of a new one.
    pub(crate) fn tell(&mut self, told: Told<'_>) -> Option<Standing> {
        let standing = self.begin_cell(told.at);
        self.faults = told.faults;
        if told.lasts {
            (told.at, told.text).hash(&mut self.lasting);
        }
        if self.cells.is_empty() {
            self.cells.push_back(Cell::default());
        }
        if let Some(cell) = self.cells.back_mut() {
            (told.at, told.text).hash(&mut cell.events);
            cell.passes.extend(told.pass.cloned());
        }
        standing
    }

    fn begin_cell(&mut self, at: Duration) -> Option<Standing> {
        let number = u64::try_from(at.as_nanos() / CELL.as_nanos()).unwrap_or(u64::MAX);
        if number <= self.over {
            return None;
        }
        let silent = usize::try_from(number - self.over).unwrap_or(CELLS_MAX).min(CELLS_MAX + 1);
        self.over = number;
        self.cells.extend((1..silent).map(|_| Cell::default()));
        let excess = self.cells.len().saturating_sub(CELLS_MAX);
        self.cells.drain(..excess);
        let standing = self.standing();
        self.cells.push_back(Cell::default());
        standing
    }

    /// At the end of the last cell.
    fn standing(&self) -> Option<Standing> {
        let enough = self.cells_that_tell()?;
        let mut hasher = self.lasting.clone();
        (self.over, enough, self.faults).hash(&mut hasher);
        for cell in self.cells.iter().rev().take(enough) {
            cell.events.finish().hash(&mut hasher);
        }
        let before = self.over.saturating_sub(u64::try_from(enough).unwrap_or(u64::MAX));
        let from = CELL.saturating_mul(u32::try_from(before).unwrap_or(u32::MAX));
        Some(Standing { fingerprint: Fingerprint(hasher.finish()), from })
    }

    /// The fewest of the last ones in which every service was looked at often enough.
    fn cells_that_tell(&self) -> Option<usize> {
        let mut counts: HashMap<&ServiceKey, u32> =
            self.cells.iter().flat_map(|cell| &cell.passes).map(|key| (key, 0)).collect();
        let mut missing = counts.len();
        for (index, cell) in self.cells.iter().rev().enumerate() {
            for key in &cell.passes {
                let count = counts.entry(key).or_default();
                *count += 1;
                missing -= usize::from(*count == PASSES);
            }
            if missing == 0 && index + 1 >= CELLS_MIN {
                return Some(index + 1);
            }
        }
        None
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

    /// A look each minute for fifteen minutes, and a write in the third.
    fn undisturbed() -> Vec<(u64, &'static str)> {
        let mut all: Vec<_> = (1..=15).map(|minute| (minute * 60, "look")).collect();
        all.insert(3, (181, "write"));
        all
    }

    /// Where a course stood, by the second.
    fn standings(events: &[(u64, &str)]) -> Vec<(u64, Standing)> {
        let (mut tracker, mut standings) = (Tracker::default(), Vec::new());
        let web = ServiceKey::new("main", "web");
        for (seconds, text) in events {
            let (at, lasts) = (Duration::from_secs(*seconds), text.starts_with("write"));
            let pass = text.starts_with("look").then_some(&web);
            let standing = tracker.tell(Told { at, text, lasts, faults: 0, pass });
            standings.extend(standing.map(|standing| (*seconds, standing)));
        }
        standings
    }

    fn trail(events: &[(u64, &str)]) -> Vec<Fingerprint> {
        standings(events).into_iter().map(|(_, standing)| standing.fingerprint).collect()
    }

    /// When a course comes to where the undisturbed one stood, after it was another one.
    fn joins_at(events: &[(u64, &str)]) -> Option<u64> {
        let visited = Visited::default();
        visited.add(&trail(&undisturbed()));
        let all = standings(events);
        let others = all.iter().skip_while(|(_, one)| visited.contains(one.fingerprint));
        let mut back = others.skip_while(|(_, one)| !visited.contains(one.fingerprint));
        back.next().map(|(at, _)| *at)
    }

    #[test]
    fn a_look_more_is_forgotten_when_the_service_was_looked_at_twice_after_it() {
        let mut events = undisturbed();
        events.insert(4, (190, "look more"));
        assert_eq!(joins_at(&events), Some(360), "looks of 240 s and 300 s");
    }

    #[test]
    fn a_write_more_or_less_or_later_is_never_forgotten() {
        let mut more = undisturbed();
        more.insert(4, (190, "write more"));
        let less: Vec<_> = undisturbed().into_iter().filter(|one| one.1 != "write").collect();
        let mut later = undisturbed();
        *later.get_mut(3).expect("there is a fourth") = (182, "write");
        for events in [more, less, later] {
            assert_eq!(joins_at(&events), None, "{events:?}");
        }
    }

    #[test]
    fn a_fault_that_was_met_is_never_forgotten() {
        let stands_after = |faults| {
            let (mut tracker, mut last) = (Tracker::default(), None);
            let web = ServiceKey::new("main", "web");
            for minute in 1..=10 {
                let at = Duration::from_mins(minute);
                let told = Told { at, text: "look", lasts: false, faults, pass: Some(&web) };
                last = tracker.tell(told).or(last);
            }
            last.expect("ten looks are enough")
        };
        assert_eq!(stands_after(1), stands_after(1));
        assert_ne!(stands_after(1), stands_after(2));
    }

    #[test]
    fn a_service_that_was_looked_at_once_may_still_surprise() {
        let mut tracker = Tracker::default();
        let [web, api] = ["web", "api"].map(|name| ServiceKey::new("main", name));
        let mut tell = |minute, key| {
            let at = Duration::from_mins(minute);
            let told = Told { at, text: "look", lasts: false, faults: 0, pass: Some(key) };
            tracker.tell(told).map(|standing| standing.from)
        };
        for minute in 1..5 {
            tell(minute, &web);
        }
        tell(5, &api);
        assert_eq!(tell(6, &web), None, "the other one was looked at once");
        tell(6, &api);
        assert_eq!(tell(7, &web), Some(Duration::from_mins(4)), "each was looked at twice");
        assert_eq!(tell(12, &web), Some(Duration::from_mins(5)), "and one of them never since");
        assert_eq!(tell(22, &web), Some(Duration::from_mins(7)), "nobody looks after it any more");
    }

    #[test]
    fn where_a_course_stood_next_is_known_and_the_end_of_one_that_joined_forgets_nothing() {
        let trail = trail(&undisturbed());
        let [first, second, ..] = *trail else { panic!("it stood somewhere") };
        let visited = Visited::default();
        visited.add(&[first]);
        assert_eq!((visited.contains(first), visited.after(first)), (true, None));
        visited.add(&trail);
        visited.add(&[first]);
        assert_eq!(visited.after(first), Some(second));
    }
}
