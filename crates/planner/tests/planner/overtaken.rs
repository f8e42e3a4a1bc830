//! A rollout in flight whose content the manifest wants no more, while what it wants may not start.

use evenkeel_planner::{Command, WaitReason, tag};

use crate::commands::probing;
use crate::ecs::Ecs;
use crate::manifests::web;
use crate::plans::{reasons, settled};
use crate::rivals::announced_only;

fn crash_thrice(ecs: &mut Ecs) {
    for _ in 0..3 {
        ecs.crash_oldest();
        ecs.tick();
        ecs.tick();
    }
}

/// The verdict names what failed, and so the newer content starts when it may.
#[test]
fn what_newer_content_is_to_replace_is_judged_while_that_may_not_start() {
    let (mut ecs, v2) = probing(&web("good:2"));
    ecs.ordered(&v2, Command::Pause).unwrap();
    let v3 = web("good:3").service();
    assert_eq!(reasons(&ecs.settle(&v3, 20)), [WaitReason::Person]);
    assert_eq!(ecs.primary_image(), "good:2", "nothing speaks against it");
    crash_thrice(&mut ecs);
    assert_eq!(reasons(&ecs.settle(&v3, 100)), [WaitReason::Person]);
    assert_eq!(ecs.primary_image(), "good:1");
    let rejected = &ecs.tags[tag::REJECTED];
    assert!(rejected.starts_with(&format!("v1:{}:", v2.revision_digest)), "{rejected}");
    ecs.ordered(&v3, Command::Resume).unwrap();
    assert_eq!(ecs.settle(&v3, 100).to_string(), "nothing to do\n");
    assert_eq!(ecs.primary_image(), "good:3");
}

/// It was begun, and before anybody could see that, the manifest changed.
#[test]
fn what_was_never_seen_to_begin_is_judged_too_but_not_by_what_runs_in_its_place() {
    for has_begun in [true, false] {
        let (mut ecs, v2) = (settled(&web("good:1")), web("good:2"));
        announced_only(&mut ecs, &v2);
        if has_begun {
            let plan = ecs.plan(Some(&v2.service()));
            ecs.apply(&plan.actions.last().expect("the start").call);
        }
        ecs.tick();
        let v3 = web("good:3").service();
        ecs.ordered(&v3, Command::Pause).unwrap();
        crash_thrice(&mut ecs);
        assert_eq!(reasons(&ecs.settle(&v3, 100)), [WaitReason::Person]);
        assert_eq!(ecs.primary_image(), "good:1");
        let rejected = ecs.tags.get(tag::REJECTED);
        let names_it =
            |tag: &String| tag.starts_with(&format!("v1:{}:", v2.service().revision_digest));
        assert_eq!(rejected.is_some_and(names_it), has_begun, "{rejected:?}");
        assert_eq!(rejected.is_some(), has_begun, "{rejected:?}");
    }
}

#[test]
fn the_verdict_on_what_is_wanted_does_not_make_room_for_one_on_what_it_was_to_replace() {
    let (mut ecs, v2) = probing(&web("good:2"));
    ecs.ordered(&v2, Command::Pause).unwrap();
    let v3 = web("good:3").service();
    let rejected = format!("v1:{}:1790000000:Crashes", v3.revision_digest);
    ecs.tags.insert(tag::REJECTED.to_owned(), rejected.clone());
    crash_thrice(&mut ecs);
    drop(ecs.settle(&v3, 100));
    assert_eq!(ecs.tags[tag::REJECTED], rejected);
}
