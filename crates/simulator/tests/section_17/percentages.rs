//! Line 2: ceil/floor percentages; a stuck service with an event instead of an error.

use serde_json::json;

use super::fixture::{Fixture, MINUTE, seconds};

fn at(desired: u32, least: u32, most: u32) -> Fixture {
    let configuration = json!({"minimumHealthyPercent": least, "maximumPercent": most});
    let mut fixture =
        Fixture::running("web:1", desired, json!({"deploymentConfiguration": configuration}));
    fixture.roll_to("web:2");
    fixture.advance(seconds(14));
    fixture
}

/// Tasks of the new and of the old deployment that are wanted at the first look.
fn first_move(fixture: &Fixture) -> (u64, u64) {
    let count = |index: usize| {
        let deployments = fixture.deployments();
        let started_by = deployments[index]["id"].clone();
        let tasks = fixture.tasks("RUNNING");
        u64::try_from(tasks.iter().filter(|task| task["startedBy"] == started_by).count()).unwrap()
    };
    (count(0), count(1))
}

#[test]
fn twice_the_desired_count_lets_all_new_tasks_start_first() {
    assert_eq!(first_move(&at(4, 100, 200)), (4, 4));
}

#[test]
fn half_of_four_lets_two_stop_before_two_start() {
    assert_eq!(first_move(&at(4, 50, 100)), (0, 2));
}

#[test]
fn the_maximum_is_rounded_down_and_the_minimum_up() {
    // floor(3 * 1.5) = 4: one may start; ceil(3 * 0.5) = 2: one may stop to make room for more.
    assert_eq!(first_move(&at(3, 50, 150)), (1, 2));
}

#[test]
fn a_service_that_can_neither_start_nor_stop_says_so_and_stays_in_progress() {
    // floor(3 * 1.25) = 3 and ceil(3 * 0.75) = 3.
    let mut fixture = at(3, 75, 125);
    fixture.advance(30 * MINUTE);
    assert_eq!(fixture.primary()["rolloutState"], "IN_PROGRESS");
    assert_eq!((first_move(&fixture), &fixture.primary()["failedTasks"]), ((0, 3), &json!(0)));
    let stuck = "was unable to stop or start tasks during a deployment because of the service deployment configuration";
    let said = fixture.messages().iter().filter(|message| message.contains(stuck)).count();
    assert_eq!(said, 1);
    fixture.update(json!({"deploymentConfiguration": {"maximumPercent": 200}}));
    assert!(fixture.settle());
}
