//! A person takes a verdict back, and the revision is tried again.

use evenkeel_planner::{Call, VerdictKind, WaitReason, tag};

use crate::ecs::Ecs;
use crate::manifests::web;
use crate::plans::{reasons, settled};
use crate::rivals::left_for_a_rejected_one;

#[test]
fn a_person_retries_by_removing_the_verdict() {
    let mut ecs = settled(&web("good:1"));
    let v2 = web("good:2").service();
    drop(ecs.settle(&v2, 2));
    ecs.roll_back("ECS deployment circuit breaker: tasks failed to start.");
    drop(ecs.settle(&v2, 100));
    ecs.tags.remove(tag::REJECTED);
    let plan = ecs.settle(&v2, 100);
    assert_eq!(plan.to_string(), "nothing to do\n");
    assert_eq!(ecs.primary_image(), "good:2");
}

#[test]
fn a_retry_of_the_first_revision_is_judged_from_then_on() {
    let mut ecs = Ecs::new();
    let v1 = web("good:1").service();
    drop(ecs.settle(&v1, 3));
    for _ in 0..2 {
        ecs.crash_oldest();
        ecs.tick();
        ecs.tick();
    }
    assert_eq!(reasons(&ecs.act(&v1)), [WaitReason::Held]);
    ecs.tags.remove(tag::REJECTED);
    ecs.later(5);
    assert_eq!(ecs.settle(&v1, 100).to_string(), "nothing to do\n");
    assert_eq!(ecs.count(), 4);
}

/// A region in which ECS gave up the first deployment of this image.
fn given_up(image: &str) -> Ecs {
    let mut ecs = Ecs::new();
    let v1 = web(image).service();
    drop(ecs.settle(&v1, 2));
    ecs.roll_back("ECS deployment circuit breaker: tasks failed to start.");
    let plan = ecs.pass(&v1);
    assert_eq!(plan.verdict.map(|verdict| verdict.kind), Some(VerdictKind::RolledBackByEcs));
    assert_eq!(reasons(&ecs.settle(&v1, 20)), [WaitReason::Held]);
    ecs.writes.clear();
    ecs
}

fn is_forced(call: &Call) -> bool {
    matches!(call, Call::UpdateService { input } if input.get("forceNewDeployment").is_some())
}

#[test]
fn a_retry_of_a_first_deployment_that_ecs_failed_forces_one_new_deployment() {
    let mut ecs = given_up("good:1");
    let v1 = web("good:1").service();
    ecs.tags.remove(tag::REJECTED);
    assert_eq!(ecs.settle(&v1, 100).to_string(), "nothing to do\n");
    assert_eq!((ecs.history.len(), ecs.count()), (2, 4));
}

#[test]
fn a_retry_that_fails_again_is_rejected_again_and_not_repeated() {
    let mut ecs = given_up("crash:1");
    let v1 = web("crash:1").service();
    ecs.tags.remove(tag::REJECTED);
    let plan = ecs.settle(&v1, 200);
    assert_eq!((reasons(&plan), ecs.history.len()), (vec![WaitReason::Held], 2));
    assert!(ecs.tags.contains_key(tag::REJECTED));
}

#[test]
fn a_forced_deployment_that_is_not_shown_yet_is_not_forced_twice() {
    let mut ecs = given_up("good:1");
    let v1 = web("good:1").service();
    ecs.tags.remove(tag::REJECTED);
    let plan = ecs.plan(Some(&v1));
    assert!(is_forced(&plan.actions[1].call), "{plan}");
    let past = ecs.clone();
    for action in &plan.actions {
        ecs.apply(&action.call);
    }
    let stale = Ecs { tags: ecs.tags.clone(), ..past };
    let plan = stale.plan(Some(&v1));
    assert_eq!((reasons(&plan), plan.actions.len()), (vec![WaitReason::Unknown], 0), "{plan}");
}

#[test]
fn a_forced_deployment_that_was_never_made_is_forced_after_a_minute() {
    let mut ecs = given_up("good:1");
    let v1 = web("good:1").service();
    ecs.tags.remove(tag::REJECTED);
    let plan = ecs.plan(Some(&v1));
    ecs.apply(&plan.actions[0].call);
    assert_eq!(ecs.settle(&v1, 100).to_string(), "nothing to do\n");
    assert_eq!((ecs.history.len(), ecs.count()), (2, 4));
}

#[test]
fn a_verdict_that_is_taken_back_is_not_proven_by_a_deployment_of_something_else() {
    let mut ecs = left_for_a_rejected_one();
    let v2 = web("crash:2").service();
    ecs.tags.remove(tag::REJECTED);
    drop(ecs.pass(&v2));
    assert_eq!(ecs.primary_image(), "crash:2", "what is wanted is tried at once");
    drop(ecs.settle(&v2, 400));
    assert!(!ecs.tags[tag::DIGEST].contains(v2.revision_digest.as_str()), "{:?}", ecs.tags);
    assert_eq!(ecs.primary_image(), "good:1");
}
