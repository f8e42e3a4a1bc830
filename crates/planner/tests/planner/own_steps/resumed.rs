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
