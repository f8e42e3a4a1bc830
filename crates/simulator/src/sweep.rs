//! Sweeps: every point of a scenario at which one kind of thing can go wrong, generated from its own
//! course and not sampled; never a random one.

mod points;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::harness::Perturbation;
use crate::scenario::{Manner, Performance, Scenario};

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

/// What came of one scenario.
#[derive(Debug, Default)]
pub struct Swept {
    pub points: usize,
    pub simulated_hours: f64,
    pub rollouts: u64,
    pub broken: Vec<Broken>,
}

/// A point at which something did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    pub perturbation: Perturbation,
    pub what: String,
}

/// Plays a scenario at all points of a sweep, on as many threads as are given.
pub fn sweep(scenario: &Scenario, kind: Sweep, threads: usize) -> Swept {
    let manner = Manner {
        notes_reads: matches!(kind, Sweep::Stale | Sweep::Unobserved | Sweep::Source),
        ..Manner::default()
    };
    let reference = scenario.play_in(manner);
    if let Some(what) = reference.missed {
        let perturbation = Perturbation::Nothing;
        return Swept { broken: vec![Broken { perturbation, what }], ..Swept::default() };
    }
    let points = match kind {
        Sweep::Crash => points::crashes(&reference.played),
        Sweep::CrashTwice => points::crash_pairs(scenario, &reference.played),
        Sweep::Stale => points::stale_reads(&reference.played),
        Sweep::Unobserved => points::missed_looks(&reference.played),
        Sweep::Source => points::source_failures(&reference.played),
    };
    play_all(scenario, &reference, &points, threads)
}

fn play_all(
    scenario: &Scenario,
    reference: &Performance,
    points: &[Perturbation],
    threads: usize,
) -> Swept {
    let next = AtomicUsize::new(0);
    let swept = Mutex::new(Swept { points: points.len(), ..Swept::default() });
    let work = || {
        while let Some(point) = points.get(next.fetch_add(1, Ordering::Relaxed)) {
            let mut performance = play_at(scenario, point, true);
            let mut what = differs(reference, &performance);
            if what.is_some() {
                // Most of a course is rest. Only one that had all of it has failed.
                performance = play_at(scenario, point, false);
                what = differs(reference, &performance);
            }
            let mut swept = swept.lock().expect("a panic in another thread ends the sweep");
            swept.simulated_hours += performance.played.took.as_secs_f64() / 3600.0;
            swept.rollouts += performance.played.rollouts;
            swept.broken.extend(what.map(|what| Broken { perturbation: point.clone(), what }));
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(work);
        }
    });
    let mut swept = swept.into_inner().expect("all threads have ended well");
    swept.broken.sort_by_key(|broken| broken.perturbation.to_string());
    swept
}

fn play_at(scenario: &Scenario, point: &Perturbation, ends_early: bool) -> Performance {
    scenario.play_in(Manner { perturbation: point.clone(), ends_early, ..Manner::default() })
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
