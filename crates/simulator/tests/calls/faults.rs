//! Refused calls, lost answers and reads that lag.

use evenkeel_simulator::{ApiError, Fault};
use serde_json::{Value, json};

use super::fixture::{Fixture, seconds};

fn inject(fixture: &Fixture, fault: Fault) {
    fixture.simulation.region().inject(fault);
}

#[test]
fn a_refused_call_does_nothing_and_a_lost_answer_has_done_it() {
    let fixture = Fixture::new();
    let error = || ApiError::server("ServerException", "Service Unavailable.");
    let revisions = || fixture.ecs("ListTaskDefinitions", json!({}))["taskDefinitionArns"].clone();
    let input = json!({
        "family": "f", "containerDefinitions": [{"name": "a", "image": "a", "memory": 64}],
    });
    inject(&fixture, Fault::refuse("RegisterTaskDefinition", error()));
    let refused = fixture.try_ecs("RegisterTaskDefinition", input.clone()).unwrap_err();
    assert_eq!((refused.status, revisions()), (500, json!([])));
    inject(&fixture, Fault::lose_answer("RegisterTaskDefinition", error()));
    assert_eq!(fixture.try_ecs("RegisterTaskDefinition", input.clone()), Err(error()));
    assert_eq!(revisions().as_array().unwrap().len(), 1);
    fixture.ecs("RegisterTaskDefinition", input);
}

#[test]
fn a_read_that_lags_shows_an_earlier_state_and_catches_up() {
    let mut fixture = Fixture::running("web:1", 1, json!({}));
    fixture.simulation.region().set_read_lag("DescribeServices", seconds(30));
    fixture.advance(seconds(60));
    fixture.update(json!({"desiredCount": 4}));
    let seen = |fixture: &Fixture| fixture.service()["desiredCount"].clone();
    assert_eq!(seen(&fixture), 1);
    fixture.advance(seconds(29));
    assert_eq!(seen(&fixture), 1);
    fixture.advance(seconds(1));
    assert_eq!(seen(&fixture), 4);
    fixture.update(json!({"desiredCount": 5}));
    fixture.simulation.region().set_read_lag("DescribeServices", seconds(0));
    assert_eq!(seen(&fixture), 5);
}

#[test]
fn a_state_that_was_replaced_before_the_horizon_is_shown_no_more_though_nothing_has_changed_since()
{
    let mut fixture = Fixture::running("web:1", 1, json!({}));
    fixture.advance(seconds(3600));
    fixture.simulation.region().keep_history(seconds(300));
    fixture.advance(seconds(10));
    fixture.update(json!({"healthCheckGracePeriodSeconds": 7}));
    let changed = fixture.simulation.now();
    let is_kept = |fixture: &Fixture| {
        fixture.simulation.region().kept_states().iter().any(|since| *since < changed)
    };
    assert!(is_kept(&fixture));
    fixture.advance(seconds(299));
    assert!(is_kept(&fixture));
    fixture.advance(seconds(1));
    assert!(!is_kept(&fixture));
    assert!(fixture.simulation.region().kept_states().contains(&changed));
}

#[test]
fn the_same_seed_gives_the_same_region_and_another_one_other_ids() {
    let course = |seed: u64| -> Value {
        let mut fixture = Fixture::seeded(seed);
        fixture.register("web:1");
        fixture.create(2, json!({}));
        assert!(fixture.settle());
        json!([fixture.service(), fixture.tasks("RUNNING")])
    };
    assert_eq!(course(1), course(1));
    assert_ne!(course(1), course(2));
}
