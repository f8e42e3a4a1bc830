//! The lease protocol, checked exhaustively in small worlds, and that the checker bites. The example
//! `lease_model` checks larger ones.

#[path = "../examples/lease_model/model.rs"]
mod model;

use std::time::Duration;

use evenkeel_reconciler::lease::LeaseTimes;
use stateright::{Checker, HasDiscoveries, Model};

use self::model::{Defect, Faults, LeaseModel};

const OVERLAP: &str = "writes of two replicas never overlap";
const TWO_HOLDERS: &str = "no two replicas hold the lease";
const BACKWARDS: &str = "no plan is written after a newer one was seen";
const VACANT: &str = "a vacant shard is taken within the bound";

/// The properties that do not hold, and how many states it took to know.
fn check(model: LeaseModel) -> (Vec<&'static str>, usize) {
    let checker = model.checker().threads(2).finish_when(HasDiscoveries::AnyFailures);
    let checker = checker.spawn_bfs().join();
    let known = [OVERLAP, TWO_HOLDERS, BACKWARDS, VACANT];
    let violated = known.into_iter().filter(|name| checker.discovery(name).is_some()).collect();
    (violated, checker.unique_state_count())
}

#[track_caller]
fn assert_holds(model: LeaseModel, states_min: usize) {
    let (violated, states) = check(model);
    assert_eq!(violated, Vec::<&str>::new());
    assert!(states >= states_min, "only {states} states were visited");
}

/// In which nothing happens but what the defect needs.
fn with(defect: Defect) -> LeaseModel {
    LeaseModel { defect: Some(defect), ..LeaseModel::small() }
}

#[test]
fn nothing_is_violated_while_leases_change_hands() {
    assert_holds(LeaseModel { epoch_max: 1, ..LeaseModel::small() }, 100_000);
}

#[test]
fn takeover_keeps_its_bound_whatever_the_clocks_do() {
    let faults = Faults { crashes: 1, ..Faults::default() };
    let model = LeaseModel { is_prompt: true, beat_max: 3, faults, ..LeaseModel::small() };
    assert_holds(model, 500);
}

/// Another waits for no longer than the clocks ask for: the wait for a write besides would hide it.
#[test]
fn without_a_margin_writes_overlap_and_with_it_they_do_not() {
    let times = LeaseTimes {
        ttl: Duration::from_secs(4),
        takeover_wait: Duration::from_secs(8),
        write_needs: Duration::from_secs(2),
    };
    let model = LeaseModel { times, write_takes: 2, beat_max: 1, ..LeaseModel::small() };
    let (violated, _) = check(LeaseModel { defect: Some(Defect::NoMargin), ..model.clone() });
    assert_eq!(violated, [OVERLAP]);
    assert_holds(LeaseModel { epoch_max: 1, ..model }, 10_000);
}

#[test]
fn with_a_shortened_wait_two_replicas_hold_the_lease() {
    let times = LeaseModel::small().times;
    let times = LeaseTimes { takeover_wait: times.ttl, ..times };
    let (violated, _) = check(LeaseModel { times, beat_max: 1, ..LeaseModel::small() });
    assert_eq!(violated, [TWO_HOLDERS]);
}

#[test]
fn with_a_wait_that_does_not_allow_for_clocks_writes_overlap() {
    let times = LeaseTimes {
        ttl: Duration::from_secs(7),
        takeover_wait: Duration::from_secs(7),
        write_needs: Duration::from_secs(3),
    };
    let model = LeaseModel { times, write_takes: 3, beat_max: 1, ..LeaseModel::small() };
    let (violated, _) = check(model);
    assert!(!violated.is_empty());
}

#[test]
fn with_validity_counted_from_the_answer_two_replicas_hold_the_lease() {
    let (violated, _) = check(with(Defect::ValidityFromTheAnswer));
    assert_eq!(violated, [TWO_HOLDERS]);
}

#[test]
fn with_plans_written_however_old_a_write_goes_backwards() {
    let (violated, _) = check(LeaseModel { generations: 1, ..with(Defect::OldPlans) });
    assert_eq!(violated, [BACKWARDS]);
}

#[test]
fn with_a_lease_given_back_during_a_write_writes_overlap() {
    let (violated, _) = check(with(Defect::ReleaseWithWritesUnderWay));
    assert_eq!(violated, [OVERLAP]);
}

/// What was deleted twice may have a holder that sees none of it.
fn with_deletions() -> LeaseModel {
    let faults = Faults { deletions: 2, ..Faults::default() };
    let seconds = Duration::from_secs;
    let times = LeaseTimes { ttl: seconds(2), takeover_wait: seconds(5), write_needs: seconds(1) };
    LeaseModel { times, faults, epoch_max: 1, beat_max: 1, ..LeaseModel::small() }
}

#[test]
fn nothing_is_violated_while_a_person_deletes_the_record_again_and_again() {
    assert_holds(with_deletions(), 100_000);
}

#[test]
fn with_a_lease_that_begins_where_there_was_no_record_two_replicas_hold_it() {
    let defect = Some(Defect::LeaseFromNothing);
    let (violated, _) = check(LeaseModel { defect, ..with_deletions() });
    assert_eq!(violated, [TWO_HOLDERS]);
}

#[test]
fn with_a_bound_below_the_wait_takeover_is_found_to_be_late() {
    let faults = Faults { crashes: 1, ..Faults::default() };
    let times = LeaseTimes { takeover_wait: Duration::from_secs(7), ..LeaseModel::small().times };
    let model = LeaseModel { is_prompt: true, beat_max: 3, faults, times, ..LeaseModel::small() };
    let (violated, _) = check(LeaseModel { takeover_bound: 5, ..model });
    assert_eq!(violated, [VACANT]);
}
