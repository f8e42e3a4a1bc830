//! Whether what a manifest names is there, before new content starts: when it is asked, what holds, what is told.

use evenkeel_manifest::Service;
use evenkeel_planner::{
    Check, Fact, Finding, Verification, Verified, WaitReason, needs, questions,
};

use crate::ecs::Ecs;
use crate::looks::Look;
use crate::manifests::web;
use crate::plans::{reasons, settled};

fn missing() -> Verified {
    Verified::Failed("create it, or name another".to_owned())
}

/// Every need of the manifest is in order, but the first of this kind.
fn verified(desired: &Service, amiss: Check, holds: bool, found: &Verified) -> Fact<Verification> {
    let mut findings: Vec<_> =
        needs(desired).into_iter().map(|need| Finding { need, verified: Verified::Ok }).collect();
    let one = findings.iter_mut().find(|one| one.need.check == amiss);
    one.expect("the manifest names one").verified = found.clone();
    Fact::Known(Verification { findings, holds })
}

fn with(mut look: Look, holds: bool, found: &Verified) -> Look {
    look.seen.verified = verified(&look.desired, Check::Subnet, holds, found);
    look
}

fn about_to_create() -> Look {
    Look::at(&Ecs::new(), web("good:1").service())
}

/// Four tasks run by themselves, and a manifest wants others.
fn about_to_start() -> Look {
    Look::at(&settled(&web("good:1")), web("good:2").service())
}

#[test]
fn what_is_named_is_asked_about_before_new_content_starts_and_at_no_other_time() {
    let (old, new) = (web("good:1").service(), web("good:2").service());
    let shallow = |ecs: &Ecs, desired: &Service| {
        let first = ecs.look(None);
        questions(Some(desired), Some(&first)).map(|more| more.needs)
    };
    assert_eq!(shallow(&Ecs::new(), &old), Some(needs(&old)), "it is to be created");
    let mut ecs = settled(&web("good:1"));
    assert_eq!(shallow(&ecs, &old), None, "nothing is to start");
    assert_eq!(shallow(&ecs, &new), Some(needs(&new)), "a rollout is to start");
    for _ in 0..4 {
        drop(ecs.pass(&new));
        ecs.tick();
    }
    assert_eq!(shallow(&ecs, &new), Some(Vec::new()), "it is in flight");
}

#[test]
fn where_it_holds_nothing_starts_while_something_is_missing() {
    for look in [about_to_create(), about_to_start()] {
        let plan = with(look, true, &missing()).plan();
        assert_eq!((plan.actions.len(), reasons(&plan)), (0, vec![WaitReason::Preflight]));
        let told = &plan.waiting[0].sentence;
        assert_eq!(told, "subnet subnet-1: create it, or name another; nothing is started");
    }
}

#[test]
fn where_it_does_not_hold_what_is_missing_is_told_and_the_rollout_starts() {
    for look in [about_to_create(), about_to_start()] {
        let plan = with(look, false, &missing()).plan();
        assert_eq!((plan.actions.len(), reasons(&plan)), (1, vec![WaitReason::Unverified]));
        assert_eq!(plan.waiting[0].sentence, "subnet subnet-1: create it, or name another");
    }
}

#[test]
fn what_could_not_be_looked_at_never_holds() {
    let sentence = "not checked: IAM does not allow ec2:DescribeSubnets".to_owned();
    for found in [Verified::Forbidden(sentence.clone()), Verified::Unknown(sentence)] {
        for look in [about_to_create(), about_to_start()] {
            let plan = with(look, true, &found).plan();
            assert_eq!((plan.actions.len(), reasons(&plan)), (1, vec![WaitReason::Unverified]));
        }
    }
}

#[test]
fn what_is_in_order_or_was_not_asked_says_nothing() {
    for look in [about_to_create(), about_to_start()] {
        assert_eq!(reasons(&look.plan()), []);
        let plan = with(look, true, &Verified::Ok).plan();
        assert_eq!((plan.actions.len(), reasons(&plan)), (1, vec![]));
    }
}
