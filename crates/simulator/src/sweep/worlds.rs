//! Which points of a crash sweep leave the next daemon in one and the same world, so that one course shows what comes
//! of all of them; never plays one.
//!
//! A daemon has nothing but its memory, and its successor starts without: where two deaths lie in the same second, and
//! nothing that lasts happened between them, all that follows is the same, event by event. `crash-sweep
//! --every-point` plays all the same, and holds this against the courses.

use std::collections::BTreeMap;

use crate::harness::{CrashPoint, Perturbation, Played};

/// A course that is played.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) perturbation: Perturbation,
    /// Of how many points it shows what comes of them, itself included.
    pub(super) stands_for: usize,
    /// Points of equal worlds lead to equal courses from the restart on.
    pub(super) world: Option<usize>,
}

impl Case {
    pub(super) fn alone(perturbation: Perturbation) -> Self {
        Self { perturbation, stands_for: 1, world: None }
    }
}

/// Every point as a case of its own, with the number of its world.
pub(super) fn of(points: Vec<Perturbation>, reference: &Played) -> Vec<Case> {
    let moments: BTreeMap<CrashPoint, _> = (reference.moments.iter())
        .filter_map(|moment| Some((moment.point, moment.world(&reference.talks)?)))
        .collect();
    let mut numbers = BTreeMap::new();
    let mut number = |point: &CrashPoint| {
        let world = moments.get(point)?;
        let next = numbers.len();
        Some(*numbers.entry(*world).or_insert(next))
    };
    let case = |perturbation: Perturbation| {
        let world = match &perturbation {
            Perturbation::Crashes(points) => match points.as_slice() {
                [only] => number(only),
                _ => None,
            },
            _ => None,
        };
        Case { world, ..Case::alone(perturbation) }
    };
    points.into_iter().map(case).collect()
}

/// One case for each world.
pub(super) fn merged(cases: Vec<Case>) -> Vec<Case> {
    let mut first: BTreeMap<usize, usize> = BTreeMap::new();
    let mut merged: Vec<Case> = Vec::new();
    for case in cases {
        let same = case.world.and_then(|world| first.get(&world).copied());
        if let Some(same) = same.and_then(|index| merged.get_mut(index)) {
            same.stands_for += 1;
        } else {
            first.extend(case.world.map(|world| (world, merged.len())));
            merged.push(case);
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(wake: u64, world: Option<usize>) -> Case {
        Case { world, ..Case::alone(Perturbation::Crashes(vec![CrashPoint::Wake(wake)])) }
    }

    #[test]
    fn one_case_of_each_world_stands_for_all_of_it_and_a_point_without_a_world_for_itself() {
        let all = vec![
            case(1, Some(0)),
            case(2, None),
            case(3, Some(0)),
            case(4, Some(1)),
            case(5, None),
        ];
        let merged: Vec<_> = merged(all)
            .into_iter()
            .map(|case| (case.perturbation.to_string(), case.stands_for))
            .collect();
        let expected = [("wake:1", 2), ("wake:2", 1), ("wake:4", 1), ("wake:5", 1)];
        assert_eq!(merged, expected.map(|(name, count)| (name.to_owned(), count)));
    }
}
