//! The points of each sweep, from the course that nothing disturbs; never leaves one out.

use std::time::Duration;

use jiff::Timestamp;

use crate::harness::{CrashPoint, Perturbation, Phase, Played, SourceFailure};
use crate::scenario::{Manner, Scenario};

/// For how long looks may be missed.
const UNSEEN_MAX: Duration = Duration::from_mins(5);

/// Every write in three phases, every read, and every waking of the loop before the script ends.
pub(super) fn crashes(reference: &Played) -> Vec<Perturbation> {
    let is_write = |number: &u64| reference.write_numbers.binary_search(number).is_ok();
    let reads = (0..reference.calls_in_script)
        .filter(|number| !is_write(number))
        .map(|number| CrashPoint::Call(number, Phase::SentNoAnswer));
    let wakes = (1..=reference.wakes_in_script).map(CrashPoint::Wake);
    let points = at_writes(&reference.write_numbers, reference.calls_in_script);
    points.chain(reads).chain(wakes).map(|point| Perturbation::Crashes(vec![point])).collect()
}

fn at_writes(numbers: &[u64], end: u64) -> impl Iterator<Item = CrashPoint> {
    numbers
        .iter()
        .filter(move |number| **number < end)
        .flat_map(|number| Phase::ALL.map(|phase| CrashPoint::Call(*number, phase)))
}

/// Every two writes, the second one of the course that the first crash leads to.
pub(super) fn crash_pairs(scenario: &Scenario, reference: &Played) -> Vec<Perturbation> {
    let mut pairs = Vec::new();
    for first in at_writes(&reference.write_numbers, reference.calls_in_script) {
        let CrashPoint::Call(number, _) = first else { continue };
        let perturbation = Perturbation::Crashes(vec![first]);
        let manner = Manner { perturbation, ends_early: true, ..Manner::default() };
        let after = scenario.play_in(manner).played;
        let later = after.write_numbers.iter().copied().filter(|one| *one > number);
        let later: Vec<u64> = later.collect();
        let seconds = at_writes(&later, after.calls_in_script);
        pairs.extend(seconds.map(|second| Perturbation::Crashes(vec![first, second])));
    }
    pairs
}

/// Every read before the script ends with every earlier state that would have answered it otherwise;
/// once for that read alone, and once for all reads of the same object until the state is too old.
pub(super) fn stale_reads(reference: &Played) -> Vec<Perturbation> {
    let reads = reference.reads.iter().filter(|read| read.number < reference.calls_in_script);
    reads
        .flat_map(|read| {
            let stale = |as_of: &Timestamp| {
                [false, true].map(|frozen| Perturbation::Stale {
                    read: read.number,
                    as_of: *as_of,
                    frozen,
                })
            };
            read.earlier.iter().flat_map(stale).collect::<Vec<_>>()
        })
        .collect()
}

/// Every look before the script ends, put off until after each later change that the next look would
/// have seen.
pub(super) fn missed_looks(reference: &Played) -> Vec<Perturbation> {
    let looks = &reference.look_numbers;
    let mut points = Vec::new();
    for (index, (call, at)) in looks.iter().enumerate() {
        let Some((_, next)) = looks.get(index + 1) else { break };
        if *call >= reference.calls_in_script {
            break;
        }
        let from = reference.changes.partition_point(|change| change <= next);
        let late =
            reference.changes.iter().skip(from).take_while(|change| **change <= *at + UNSEEN_MAX);
        points.extend(late.map(|change| Perturbation::Unobserved { call: *call, until: *change }));
    }
    points.dedup();
    points
}

/// Every way to fail, beginning as each look before the script ends does.
pub(super) fn source_failures(reference: &Played) -> Vec<Perturbation> {
    let looks = reference.look_numbers.iter();
    let mut moments: Vec<Timestamp> =
        looks.filter(|(call, _)| *call < reference.calls_in_script).map(|(_, at)| *at).collect();
    moments.dedup();
    let failures =
        |from: Timestamp| SourceFailure::ALL.map(|failure| Perturbation::Source { failure, from });
    moments.into_iter().flat_map(failures).collect()
}
