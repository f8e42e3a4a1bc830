//! Sweeps: every point of a scenario at which one kind of thing can go wrong, generated from its own
//! course and not sampled; never a random one.

mod part;
mod points;
mod worlds;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::harness::{ForkReport, Forks, Keeps, Mark, Notes, OnceAlike, Perturbation, Played};
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
    /// the end is known to be the undisturbed one; that it is so is checked then.
    pub every_point: bool,
}

/// What came of one scenario.
#[derive(Debug, Default)]
pub struct Swept {
    pub points: usize,
    /// Courses that were played for them.
    pub courses: usize,
    /// Of them, how many became the undisturbed one again.
    pub alike: usize,
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
    let manner = Manner {
        notes: match kind {
            Sweep::Crash | Sweep::CrashTwice => Notes::Moments,
            Sweep::Stale | Sweep::Unobserved | Sweep::Source => Notes::Reads,
        },
        ..Manner::default()
    };
    let reference = Reference::of(scenario.play_in(manner));
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
    let (keeps, once_alike) = if how.every_point {
        (Keeps::Hash, OnceAlike::PlaysOn)
    } else {
        (Keeps::Count, OnceAlike::Ends)
    };
    let work = || {
        while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
            let (performance, mut what) = play_case(scenario, reference, case, (keeps, once_alike));
            if let (None, Some(world)) = (&what, case.world.filter(|_| how.every_point)) {
                let mut tails = tails.lock().expect("a panic in another thread ends the sweep");
                let tail = performance.played.trace.tail();
                let first = tails.entry(world).or_insert((tail, case.perturbation.clone()));
                what =
                    (first.0 != tail).then(|| format!("leads to another course than {}", first.1));
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
        forks: Some(Forks::new(perturbations.collect(), how.threads)?),
        ends_early: true,
        undisturbed: reference.undisturbed(OnceAlike::Ends),
        ..Manner::default()
    };
    let mut performance = scenario.play_in(manner);
    let mut forks = performance.played.forks.take()?;
    if let Some(child) = forks.take_child() {
        let report = reference.report_on(&performance, child.split_at());
        child.report(report);
    }
    let reports = forks.reports();
    let mut swept = Swept { courses: cases.len(), ..Swept::default() };
    for (number, case) in cases.iter().enumerate() {
        match reports.get(&number) {
            Some(report) if report.is_fine => swept.add_time(report.played, report.is_alike),
            _ => {
                let manner = (Keeps::Count, OnceAlike::PlaysOn);
                let (performance, what) = play_case(scenario, reference, case, manner);
                swept.add(case, &performance.played, what);
            }
        }
    }
    Some(swept)
}

impl Swept {
    fn add(&mut self, case: &Case, played: &Played, what: Option<String>) {
        self.add_time(played.took, played.alike.is_some());
        let (perturbation, points) = (case.perturbation.clone(), case.stands_for);
        self.broken.extend(what.map(|what| Broken { perturbation, points, what }));
    }

    fn add_time(&mut self, played: Duration, is_alike: bool) {
        self.simulated_hours += played.as_secs_f64() / 3600.0;
        self.alike += usize::from(is_alike);
    }

    /// Points at which something did not hold.
    pub fn failed(&self) -> usize {
        self.broken.iter().map(|broken| broken.points).sum()
    }
}

/// The course that nothing disturbs.
struct Reference {
    performance: Performance,
    /// Empty where a daemon dies: the next one remembers other things than the undisturbed one does.
    marks: Arc<[Mark]>,
}

impl Reference {
    fn of(mut performance: Performance) -> Self {
        let marks = std::mem::take(&mut performance.played.marks).into();
        Self { performance, marks }
    }

    fn undisturbed(&self, once_alike: OnceAlike) -> Option<(Arc<[Mark]>, OnceAlike)> {
        (!self.marks.is_empty()).then(|| (Arc::clone(&self.marks), once_alike))
    }

    /// How a perturbed course ended otherwise than this one.
    fn differs(&self, perturbed: &Performance) -> Option<String> {
        if perturbed.missed.is_some() {
            return perturbed.missed.clone();
        }
        if perturbed.played.alike == Some(OnceAlike::Ends) {
            return None;
        }
        let pairs = self.performance.endings.iter().zip(&perturbed.endings);
        let mut different = pairs.filter(|(reference, perturbed)| reference != perturbed);
        different
            .next()
            .map(|(reference, perturbed)| format!("ends with {perturbed}, not {reference}"))
    }

    fn report_on(&self, performance: &Performance, split_at: Duration) -> ForkReport {
        let Played { took, alike, .. } = &performance.played;
        let (is_fine, played) =
            (self.differs(performance).is_none(), took.saturating_sub(split_at));
        ForkReport { is_fine, is_alike: alike.is_some(), played }
    }
}

/// One course from its beginning, and what is wrong with it.
fn play_case(
    scenario: &Scenario,
    reference: &Reference,
    case: &Case,
    (keeps, once_alike): (Keeps, OnceAlike),
) -> (Performance, Option<String>) {
    let play = |ends_early: bool| {
        let perturbation = case.perturbation.clone();
        let undisturbed = reference.undisturbed(once_alike).filter(|_| ends_early);
        scenario.play_in(Manner {
            perturbation,
            keeps,
            ends_early,
            undisturbed,
            ..Manner::default()
        })
    };
    let performance = play(true);
    let what = reference.differs(&performance);
    if what.is_none() || performance.played.is_no_more_alike() {
        return (performance, what);
    }
    // Most of a course is rest. Only one that had all of it has failed.
    let performance = play(false);
    let what = reference.differs(&performance);
    (performance, what)
}
