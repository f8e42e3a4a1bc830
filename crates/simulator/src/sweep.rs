//! Sweeps: every point of a scenario at which one kind of thing can go wrong, generated from its own
//! course and not sampled; never a random one.

mod part;
mod points;
mod worlds;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::harness::{
    Fingerprint, ForkReport, Forks, Keeps, Notes, OnceVisited, Perturbation, Played, Visited,
};
use crate::scenario::{Manner, Performance, Scenario};
pub use part::{NoPart, Part};
use worlds::Case;

/// What goes wrong at each point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sweep {
    /// The daemon is killed: at every write in three phases, at every read, at every waking of the loop.
    Crash,
    /// It is killed at a write, and again at any later one.
    CrashTwice,
    /// A read is answered from every earlier state that would have answered it otherwise.
    Stale,
    /// Looks are missed, so that states come and go unseen.
    Unobserved,
    /// The source of the manifests fails in every way at the moment of every look.
    Source,
}

/// How a sweep is carried out.
#[derive(Clone, Copy, Debug)]
pub struct How {
    pub threads: usize,
    /// Which of the points are played.
    pub part: Part,
    /// Whether each point is played from the beginning to the end, also where another one leads to the same course, or where
    /// another one stood where it stands; that it is so is checked then.
    pub every_point: bool,
}

/// What came of one scenario.
#[derive(Debug, Default)]
pub struct Swept {
    pub points: usize,
    /// Courses that were played for them.
    pub courses: usize,
    /// Of them, how many came to where another one stood that was fine to its end.
    pub joined: usize,
    pub simulated_hours: f64,
    pub broken: Vec<Broken>,
}

/// A point at which something did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    pub perturbation: Perturbation,
    /// Of how many points it is true.
    pub points: usize,
    pub what: String,
}

/// Plays a scenario at all points of a sweep, on as many threads as are given.
pub fn sweep(scenario: &Scenario, kind: Sweep, how: How) -> Swept {
    let reference = Reference::of(scenario, kind);
    if let Some(what) = reference.performance.missed {
        let perturbation = Perturbation::Nothing;
        return Swept {
            broken: vec![Broken { perturbation, points: 1, what }],
            ..Swept::default()
        };
    }
    let points = how.part.of(points(scenario, kind, &reference));
    let cases = worlds::of(points, &reference.performance.played);
    let points = cases.len();
    let mut swept = if how.every_point {
        play_all(scenario, &reference, &cases, how)
    } else {
        let cases = worlds::merged(cases);
        let split = play_split(scenario, &reference, &cases, how);
        split.unwrap_or_else(|| play_all(scenario, &reference, &cases, how))
    };
    swept.broken.sort_by_key(|broken| broken.perturbation.to_string());
    Swept { points, ..swept }
}

fn points(scenario: &Scenario, kind: Sweep, reference: &Reference) -> Vec<Perturbation> {
    let played = &reference.performance.played;
    match kind {
        Sweep::Crash => points::crashes(played),
        Sweep::CrashTwice => points::crash_pairs(scenario, played),
        Sweep::Stale => points::stale_reads(played),
        Sweep::Unobserved => points::missed_looks(played),
        Sweep::Source => points::source_failures(played),
    }
}

/// Plays each case from its beginning.
fn play_all(scenario: &Scenario, reference: &Reference, cases: &[Case], how: How) -> Swept {
    let next = AtomicUsize::new(0);
    let swept = Mutex::new(Swept { courses: cases.len(), ..Swept::default() });
    let tails = Mutex::new(BTreeMap::new());
    let (keeps, once_visited) = if how.every_point {
        (Keeps::Hash, OnceVisited::PlaysOn)
    } else {
        (Keeps::Count, OnceVisited::Ends)
    };
    let work = || {
        while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
            let manner = (keeps, once_visited);
            let (performance, mut what) = play_case(scenario, reference, case, manner);
            if let (None, Some(world)) = (&what, case.world.filter(|_| how.every_point)) {
                let mut tails = tails.lock().expect("a panic in another thread ends the sweep");
                let tail = performance.played.trace.tail();
                let first = tails.entry(world).or_insert((tail, case.perturbation.clone()));
                what =
                    (first.0 != tail).then(|| format!("leads to another course than {}", first.1));
            }
            if what.is_none() {
                reference.add(&performance.played.trail);
            }
            let mut swept = swept.lock().expect("a panic in another thread ends the sweep");
            swept.add(case, &performance.played, what);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..how.threads.max(1) {
            scope.spawn(work);
        }
    });
    swept.into_inner().expect("all threads have ended well")
}

/// Plays what the cases have in common once, and splits the process at each. What did not go well there is played from its
/// beginning, and only that counts. Must be called while there is no other thread; the processes that it makes end in it.
fn play_split(
    scenario: &Scenario,
    reference: &Reference,
    cases: &[Case],
    how: How,
) -> Option<Swept> {
    let perturbations = cases.iter().map(|case| case.perturbation.clone()).enumerate();
    let manner = Manner {
        forks: Some(Forks::new(perturbations.collect(), reference.visited.clone(), how.threads)?),
        ends_early: true,
        visited: reference.visited(OnceVisited::Ends),
        ..Manner::default()
    };
    let mut performance = scenario.play_in(manner);
    let mut forks = performance.played.forks.take()?;
    if let Some(child) = forks.take_child() {
        let report = reference.report_on(&performance, child.split_at());
        child.report(&report);
    }
    let reports = forks.reports();
    let mut swept = Swept { courses: cases.len(), ..Swept::default() };
    for (number, case) in cases.iter().enumerate() {
        match reports.get(&number) {
            Some(report) if report.is_fine => swept.add_time(report.played, report.joined),
            _ => {
                let manner = (Keeps::Count, OnceVisited::PlaysOn);
                let (performance, what) = play_case(scenario, reference, case, manner);
                swept.add(case, &performance.played, what);
            }
        }
    }
    Some(swept)
}

impl Swept {
    fn add(&mut self, case: &Case, played: &Played, what: Option<String>) {
        self.add_time(played.took, played.joined);
        let (perturbation, points) = (case.perturbation.clone(), case.stands_for);
        self.broken.extend(what.map(|what| Broken { perturbation, points, what }));
    }

    fn add_time(&mut self, played: Duration, joined: bool) {
        self.simulated_hours += played.as_secs_f64() / 3600.0;
        self.joined += usize::from(joined);
    }

    /// Points at which something did not hold.
    pub fn failed(&self) -> usize {
        self.broken.iter().map(|broken| broken.points).sum()
    }
}

/// The course that nothing disturbs.
struct Reference {
    performance: Performance,
    /// Where it stood, and the other fine ones. `None` where a daemon dies: the next one remembers other things.
    visited: Option<Arc<Visited>>,
}

impl Reference {
    fn of(scenario: &Scenario, kind: Sweep) -> Self {
        let (notes, visited) = match kind {
            Sweep::Crash | Sweep::CrashTwice => (Notes::Moments, None),
            Sweep::Stale | Sweep::Unobserved | Sweep::Source => {
                (Notes::Reads, Some(Arc::default()))
            }
        };
        let compared = visited.clone().map(|visited| (visited, OnceVisited::PlaysOn));
        let performance =
            scenario.play_in(Manner { notes, visited: compared, ..Manner::default() });
        let reference = Self { performance, visited };
        reference.add(&reference.performance.played.trail);
        reference
    }

    /// Where a course stood that is fine.
    fn add(&self, trail: &[Fingerprint]) {
        if let Some(visited) = &self.visited {
            visited.add(trail);
        }
    }

    fn visited(&self, once_visited: OnceVisited) -> Option<(Arc<Visited>, OnceVisited)> {
        Some((Arc::clone(self.visited.as_ref()?), once_visited))
    }

    /// How a perturbed course ended otherwise than this one.
    fn differs(&self, perturbed: &Performance) -> Option<String> {
        if perturbed.missed.is_some() {
            return perturbed.missed.clone();
        }
        if perturbed.endings.is_empty() && perturbed.played.joined {
            return None;
        }
        let pairs = self.performance.endings.iter().zip(&perturbed.endings);
        let mut different = pairs.filter(|(reference, perturbed)| reference != perturbed);
        different
            .next()
            .map(|(reference, perturbed)| format!("ends with {perturbed}, not {reference}"))
    }

    fn report_on(&self, performance: &Performance, split_at: Duration) -> ForkReport {
        let Played { took, joined, trail, .. } = &performance.played;
        let (is_fine, played) =
            (self.differs(performance).is_none(), took.saturating_sub(split_at));
        ForkReport { is_fine, joined: *joined, played, trail: trail.clone() }
    }
}

/// One course from its beginning, and what is wrong with it.
fn play_case(
    scenario: &Scenario,
    reference: &Reference,
    case: &Case,
    (keeps, once_visited): (Keeps, OnceVisited),
) -> (Performance, Option<String>) {
    let play = |ends_early: bool| {
        let perturbation = case.perturbation.clone();
        let visited = reference.visited(once_visited).filter(|_| ends_early);
        scenario.play_in(Manner { perturbation, keeps, ends_early, visited, ..Manner::default() })
    };
    let performance = play(true);
    let what = reference.differs(&performance);
    if what.is_none() || performance.played.goes_on_otherwise() {
        return (performance, what);
    }
    // Most of a course is rest. Only one that had all of it has failed.
    let performance = play(false);
    let what = reference.differs(&performance);
    (performance, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_course_that_goes_on_otherwise_than_one_that_stood_where_it_stands_is_told() {
        let text = "Nothing is proved.\n\nimage web:1 healthy\nload web image=web:1 count=1\nadvance 20m\n";
        let scenario = Scenario::read("one", text).expect("a script");
        let play = |visited: &Arc<Visited>| {
            let visited = Some((Arc::clone(visited), OnceVisited::PlaysOn));
            scenario.play_in(Manner { visited, ..Manner::default() }).played
        };
        let trail = play(&Arc::default()).trail;
        let [first, second, third, ..] = *trail else { panic!("it stood somewhere") };
        let [right, wrong] = [vec![first, second], vec![first, third]].map(|trail| {
            let visited = Arc::<Visited>::default();
            visited.add(&trail);
            play(&visited)
        });
        assert!(right.joined && !right.goes_on_otherwise(), "{:?}", right.violation);
        assert!(wrong.goes_on_otherwise(), "{:?}", wrong.violation);
    }
}
