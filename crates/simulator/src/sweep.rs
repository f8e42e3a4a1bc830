//! Sweeps: every point of a scenario at which one kind of thing can go wrong, generated from its own
//! course and not sampled; never a random one.

mod points;
mod worlds;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::harness::{Keeps, Notes, Perturbation};
use crate::scenario::{Manner, Performance, Scenario};
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
    /// Whether each point is played, also where another one leads to the same course; that it does is checked then.
    pub every_point: bool,
}

/// What came of one scenario.
#[derive(Debug, Default)]
pub struct Swept {
    pub points: usize,
    /// Courses that were played for them.
    pub courses: usize,
    pub simulated_hours: f64,
    pub rollouts: u64,
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
            Sweep::Crash => Notes::Moments,
            Sweep::CrashTwice => Notes::Nothing,
            Sweep::Stale | Sweep::Unobserved | Sweep::Source => Notes::Reads,
        },
        ..Manner::default()
    };
    let reference = scenario.play_in(manner);
    if let Some(what) = reference.missed {
        let perturbation = Perturbation::Nothing;
        return Swept {
            broken: vec![Broken { perturbation, points: 1, what }],
            ..Swept::default()
        };
    }
    let points = match kind {
        Sweep::Crash => points::crashes(&reference.played),
        Sweep::CrashTwice => points::crash_pairs(scenario, &reference.played),
        Sweep::Stale => points::stale_reads(&reference.played),
        Sweep::Unobserved => points::missed_looks(&reference.played),
        Sweep::Source => points::source_failures(&reference.played),
    };
    let mut cases = worlds::of(points, &reference.played);
    let points = cases.len();
    if !how.every_point {
        cases = worlds::merged(cases);
    }
    Swept { points, ..play_all(scenario, &reference, &cases, how) }
}

fn play_all(scenario: &Scenario, reference: &Performance, cases: &[Case], how: How) -> Swept {
    let next = AtomicUsize::new(0);
    let swept = Mutex::new(Swept { courses: cases.len(), ..Swept::default() });
    let tails = Mutex::new(BTreeMap::new());
    let keeps = if how.every_point { Keeps::Hash } else { Keeps::Count };
    let work = || {
        while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
            let (performance, mut what) = play_case(scenario, reference, case, keeps);
            if let (None, Some(world)) = (&what, case.world.filter(|_| how.every_point)) {
                let mut tails = tails.lock().expect("a panic in another thread ends the sweep");
                let tail = performance.played.trace.tail();
                let first = tails.entry(world).or_insert((tail, case.perturbation.clone()));
                what =
                    (first.0 != tail).then(|| format!("leads to another course than {}", first.1));
            }
            let mut swept = swept.lock().expect("a panic in another thread ends the sweep");
            swept.add(case, &performance, what);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..how.threads.max(1) {
            scope.spawn(work);
        }
    });
    let mut swept = swept.into_inner().expect("all threads have ended well");
    swept.broken.sort_by_key(|broken| broken.perturbation.to_string());
    swept
}

impl Swept {
    fn add(&mut self, case: &Case, performance: &Performance, what: Option<String>) {
        self.simulated_hours += performance.played.took.as_secs_f64() / 3600.0;
        self.rollouts += performance.played.rollouts;
        let (perturbation, points) = (case.perturbation.clone(), case.stands_for);
        self.broken.extend(what.map(|what| Broken { perturbation, points, what }));
    }

    /// Points at which something did not hold.
    pub fn failed(&self) -> usize {
        self.broken.iter().map(|broken| broken.points).sum()
    }
}

/// One course, and what is wrong with it.
fn play_case(
    scenario: &Scenario,
    reference: &Performance,
    case: &Case,
    keeps: Keeps,
) -> (Performance, Option<String>) {
    let play = |ends_early: bool| {
        let perturbation = case.perturbation.clone();
        scenario.play_in(Manner { perturbation, keeps, ends_early, ..Manner::default() })
    };
    let performance = play(true);
    if differs(reference, &performance).is_none() {
        return (performance, None);
    }
    // Most of a course is rest. Only one that had all of it has failed.
    let performance = play(false);
    let what = differs(reference, &performance);
    (performance, what)
}

/// How a perturbed course ended otherwise than the one that was not.
fn differs(reference: &Performance, perturbed: &Performance) -> Option<String> {
    if perturbed.missed.is_some() {
        return perturbed.missed.clone();
    }
    let pairs = reference.endings.iter().zip(&perturbed.endings);
    let mut different = pairs.filter(|(reference, perturbed)| reference != perturbed);
    different.next().map(|(reference, perturbed)| format!("ends with {perturbed}, not {reference}"))
}
