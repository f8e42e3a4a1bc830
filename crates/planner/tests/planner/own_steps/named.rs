//! What people call the step at which a rollout stands, and what it tells them.

use evenkeel_planner::{Command, Gates, Obedience, Order, Refusal, obey};

use super::*;

/// The first step has baked, and its manifest wants an approval.
fn unapproved() -> Look {
    let mut look = baking_for(90);
    let Strategy::Steps(all) = &mut look.desired.rollout.strategy else { panic!("it has steps") };
    all.steps[0].approve = true;
    look
}

fn promoted(look: &Look, gate: &str) -> Result<Obedience, Refusal> {
    let (key, seen) = (key(), look.seen());
    let command = Command::Promote(Gates::Named(gate.to_owned()));
    let order = Order { command, who: "ann@laptop".into(), why: "it looks good".into() };
    obey(&input(&key, Some(&look.desired), &seen), &order)
}

#[test]
fn a_gate_is_promoted_by_the_name_that_a_status_shows_and_by_that_of_its_step() {
    for name in ["2-step-1", "step-1"] {
        let obeyed = promoted(&unapproved(), name).expect("it stands at that one");
        let Call::TagResource { tags, .. } = &obeyed.actions[0].call else { panic!("{obeyed:?}") };
        assert!(tags["evenkeel:promote"].contains(":step-1:"), "{tags:?}");
    }
    for name in ["step-2", "1-step-1", "2-take-1", "2", ""] {
        let refusal = promoted(&unapproved(), name).expect_err("it is another one").0;
        assert!(refusal.contains("it stands at the gate step-1 now"), "{name}: {refusal}");
    }
}

#[test]
fn the_step_is_named_once_in_what_it_waits_for() {
    let waits = unapproved().waits();
    assert!(waits.starts_with("step 1 of 2 (10%): the manifest wants an approval"), "{waits}");
    let mut paused = baking_for(90);
    paused.tags.insert("evenkeel:pause".to_owned(), "a freeze".to_owned());
    assert_eq!(paused.waits().matches("step 1 of 2").count(), 1, "{}", paused.waits());
}
