//! Content that ECS reads back otherwise than it was registered; never registered without end.

use evenkeel_manifest::{Digest, Document, canonical};
use evenkeel_planner::{Fact, TaskDefinition, WaitReason};
use serde_json::{Value, json};

use crate::ecs::Ecs;
use crate::looks::Look;
use crate::manifests::web;
use crate::plans::{reasons, settled};

/// `good:2` is to be rolled out over `good:1`.
fn wanted() -> Look {
    Look::at(&settled(&web("good:1")), web("good:2").service())
}

/// With a revision of family `web` that was registered for what is wanted, and whose image is this one.
fn with(look: Look, number: u64, image: &str) -> Look {
    made(look, number, &web(image).task_definition)
}

/// With one that has this content.
fn made(mut look: Look, number: u64, content: &Value) -> Look {
    let digest = Digest::of(&canonical::task_definition(content));
    let revision = TaskDefinition {
        arn: format!("arn:aws:ecs:eu-west-1:123456789012:task-definition/web:{number}"),
        status: "ACTIVE".to_owned(),
        digest,
        digest_tag: Some(look.desired.task_definition_digest.clone()),
        document: Some(Document::new(content)),
    };
    let Fact::Known(all) = &mut look.seen.task_definitions else { panic!("they were seen") };
    all.push(revision);
    look
}

fn last(look: &mut Look) -> &mut TaskDefinition {
    let Fact::Known(all) = &mut look.seen.task_definitions else { panic!("they were seen") };
    all.last_mut().expect("it was added")
}

#[test]
fn content_of_which_ecs_makes_another_twice_is_not_registered_a_third_time() {
    let absent = Look::at(&Ecs::new(), web("good:2").service());
    for look in [wanted(), absent] {
        assert_eq!(look.calls(), ["RegisterTaskDefinition"]);
        let look = with(with(look, 8, "other:2"), 7, "other:2");
        let plan = look.plan();
        assert_eq!((look.calls(), reasons(&plan)), (vec![], vec![WaitReason::Unsupported]));
        let said = &plan.waiting[0].sentence;
        for part in [":task-definition/web:8 ", "web:7", "containerDefinitions[web].image"] {
            assert!(said.contains(part), "{said}");
        }
        let mut unread = look;
        let Fact::Known(all) = &mut unread.seen.task_definitions else { panic!("{plan}") };
        for one in all {
            one.document = None;
        }
        assert_eq!(reasons(&unread.plan()), [WaitReason::Unsupported], "though not in what");
    }
}

#[test]
fn a_tag_that_somebody_copied_onto_other_content_keeps_nothing_from_being_registered() {
    let one = with(wanted(), 7, "hotfix:1");
    assert_eq!(one.calls(), ["RegisterTaskDefinition"], "one alone may be a copy");
    let twice_seen = with(one, 7, "hotfix:1");
    assert_eq!(twice_seen.calls(), ["RegisterTaskDefinition"], "two answers about one revision");
    let different = with(with(wanted(), 7, "hotfix:1"), 8, "hotfix:2");
    assert_eq!(different.calls(), ["RegisterTaskDefinition"], "ECS makes the same each time");

    let changes: [fn(&mut TaskDefinition); 3] = [
        |one| "INACTIVE".clone_into(&mut one.status),
        |one| one.digest_tag = None,
        |one| one.arn = one.arn.replace("/web:", "/web-2:"),
    ];
    for change in changes {
        let mut look = with(with(wanted(), 8, "other:2"), 7, "other:2");
        change(last(&mut look));
        assert_eq!(look.calls(), ["RegisterTaskDefinition"]);
    }
}

#[test]
fn the_newest_two_revisions_say_whether_ecs_makes_other_content() {
    let look = with(with(with(wanted(), 6, "hotfix:1"), 7, "other:2"), 10, "other:2");
    assert_eq!(reasons(&look.plan()), [WaitReason::Unsupported]);
    let look = with(with(with(wanted(), 6, "other:2"), 7, "other:2"), 10, "hotfix:1");
    assert_eq!(look.calls(), ["RegisterTaskDefinition"], "the newest is another's");
}

#[test]
fn no_value_of_a_variable_is_told_of_content_that_ecs_altered() {
    let mut content = web("good:2").task_definition;
    content["containerDefinitions"][0]["environment"][0]["value"] = json!("swordfish");
    let look = made(made(wanted(), 8, &content), 7, &content);
    let plan = look.plan();
    assert_eq!(reasons(&plan), [WaitReason::Unsupported]);
    assert!(plan.waiting[0].sentence.contains("environment[TOKEN].value differs"), "{plan}");
    assert!(!plan.to_string().contains("swordfish"), "{plan}");
}
