//! Traffic that a person moved in the middle of a step, and what a promotion makes of it.

use super::*;

/// The first step of other steps gave a quarter; the second of those that the manifest has now gives all.
fn shortened(scale: f64, healthy: usize) -> Look {
    let mut look = Look { production: weights(75, 25), healthy, ..baking_for(90) };
    look.mark("bake1", 90);
    look.sets[1] = set(2, GREEN, "ACTIVE", scale);
    let word = format!("v1:{}:step-2:1790000000:ann:go", look.desired.revision_digest);
    look.tags.insert("evenkeel:promote".to_owned(), word);
    look
}

#[test]
fn a_promotion_under_steps_that_became_fewer_starts_the_tasks_before_it_gives_their_traffic() {
    let Call::UpdateTaskSet { input } = shortened(25.0, 1).call() else {
        panic!("{}", shortened(25.0, 1).plan())
    };
    assert_eq!(input["scale"], json!({"value": 100.0, "unit": "PERCENT"}));
    let waits = shortened(100.0, 3).waits();
    assert!(waits.contains("3 of 4 tasks of ecs-svc/2 are healthy"), "{waits}");
    assert_reweighs(
        &shortened(100.0, 4).call(),
        PRODUCTION,
        &[(GROUP.to_owned(), 0), (GREEN.to_owned(), 100)],
    );
}

#[test]
fn a_task_set_without_all_its_tasks_is_not_made_primary() {
    let mut look = shortened(25.0, 1);
    look.production = weights(0, 100);
    let Call::UpdateTaskSet { input } = look.call() else { panic!("{}", look.plan()) };
    assert_eq!(input["scale"]["value"], 100.0);
}

/// The tasks of the second step stand, so many of them healthy, and it has not given its traffic yet.
fn second_step(production: Vec<(String, u32)>, healthy: usize) -> Look {
    let mut look = Look { production, healthy, ..baking_for(70) };
    look.mark("step1", 5);
    look.sets[1] = set(2, GREEN, "ACTIVE", 100.0);
    look
}

#[test]
fn a_rescue_before_the_tasks_of_the_next_step_are_healthy_is_not_overridden_by_it() {
    let mut look = second_step(weights(100, 0), 4);
    assert!(look.waits().contains("somebody else took traffic away"), "{}", look.waits());
    assert!(second_step(weights(100, 0), 1).waits().contains("took traffic away"));
    let word = format!("v1:{}:take-2:1790000000:ann:go", look.desired.revision_digest);
    look.tags.insert("evenkeel:promote".to_owned(), word);
    assert_reweighs(&look.call(), PRODUCTION, &[(GROUP.to_owned(), 0), (GREEN.to_owned(), 100)]);
}

#[test]
fn a_step_that_gives_what_the_one_before_it_gave_is_taken_as_before() {
    let all = [(GROUP.to_owned(), 0), (GREEN.to_owned(), 100)];
    assert_reweighs(&second_step(weights(900, 100), 4).call(), PRODUCTION, &all);
    let mut first = second_step(weights(100, 0), 4);
    first.sets.remove(0);
    assert_reweighs(&first.call(), PRODUCTION, &all);
}

#[test]
fn more_traffic_than_the_next_step_s_is_taken_back_before_its_tasks_are_healthy() {
    let mut look = second_step(weights(40, 60), 0);
    let Strategy::Steps(all) = &mut look.desired.rollout.strategy else { panic!("it has steps") };
    let half = TrafficStep { weight: Percent::whole(50), ..all.steps[0].clone() };
    all.steps.insert(1, half);
    assert_reweighs(&look.call(), PRODUCTION, &weights(500, 500));
}

#[test]
fn traffic_that_was_given_back_since_the_next_step_began_comes_again_from_the_first() {
    let mut look = second_step(weights(100, 0), 4);
    look.gave_back();
    let Call::TagResource { tags, .. } = look.call() else { panic!("{}", look.plan()) };
    assert!(tags["evenkeel:rollout"].contains(":step0:"), "{tags:?}");
}
