//! The return to the proven revision, look by look: how a bad deployment is left, and how that ends.

#![expect(
    clippy::indexing_slicing,
    reason = "a fixture that does not find what it set up is a failed test"
)]

use evenkeel_manifest::{Digest, Document, canonical};
use evenkeel_planner::{Call, Fact, Lane, TaskDefinition, WaitReason, check, questions, tag};
use serde_json::json;

use crate::looks::Look;
use crate::manifests::web;
use crate::plans::{reasons, settled};

const PROVEN: &str = "arn:aws:ecs:eu-west-1:123456789012:task-definition/web:1";

/// A rejected revision that is still PRIMARY, and that is to be left.
fn bad() -> Look {
    Look::in_phase(&web("good:1"), &web("crash:2"), ":rollback:")
}

/// ECS returns to the proven revision since ten seconds; no task of it is there.
fn returning() -> Look {
    let mut ecs = settled(&web("good:1"));
    let desired = web("crash:2").service();
    for _ in 0..100 {
        drop(ecs.pass(&desired));
        if ecs.history[0].status == "ROLLBACK_IN_PROGRESS" {
            break;
        }
        ecs.tick();
    }
    let mut look = Look::at(&ecs, desired);
    "IN_PROGRESS".clone_into(look.primary().rollout_state.get_or_insert_default());
    look.begun(10);
    look.tasks().clear();
    look
}

#[test]
fn a_bad_deployment_is_stopped_so_that_ecs_returns_to_the_proven_revision() {
    assert_eq!(bad().calls(), ["StopServiceDeployment"]);
    let mut unseen = bad();
    unseen.revisions().clear();
    assert_eq!(unseen.calls(), ["StopServiceDeployment"], "its ARN is enough");
}

#[test]
fn ecs_is_let_return_to_a_revision_with_the_content_of_the_proven_one() {
    let mut definition = bad();
    definition.tag(tag::PROVEN, PROVEN);
    assert_eq!(definition.plan().to_string().matches("StopServiceDeployment").count(), 1);

    let mut restarted = bad();
    let proven = restarted.service().tags[tag::PROVEN].clone();
    let other = restarted.revisions().iter().find(|one| one.service_revision_arn == proven);
    let mut other = other.expect("it is listed").clone();
    "arn:aws:ecs:r:1:service-revision/prod/web/7".clone_into(&mut other.service_revision_arn);
    let source = other.service_revision_arn.clone();
    restarted.revisions().push(other.clone());
    restarted.history()[0].source_service_revisions[0].arn = source;
    let stops = |look: &Look| {
        let input = crate::ecs::input;
        let key = crate::manifests::key();
        let plan = evenkeel_planner::plan(&input(&key, Some(&look.desired), &look.seen));
        plan.actions[0].call.operation()
    };
    assert_eq!(stops(&restarted), "StopServiceDeployment");
    let network = json!({ "awsvpcConfiguration": { "subnets": ["subnet-2"] } });
    let last = restarted.revisions().last_mut().expect("it was added");
    last.rest.insert("networkConfiguration".to_owned(), network);
    assert_eq!(stops(&restarted), "UpdateService");
}

/// The proven content ran as another revision of the family too, which the bad deployment took the place of.
fn over_a_copy() -> Look {
    let mut look = bad();
    let proven = look.service().tags[tag::PROVEN].clone();
    let mut copy = definition(&mut look, 1).clone();
    copy.arn = copy.arn.replace("/web:1", "/web:9");
    let arn = copy.arn.clone();
    let Fact::Known(all) = &mut look.seen.task_definitions else { panic!("they were seen") };
    all.push(copy);
    let revision = look.revisions().iter().find(|one| one.service_revision_arn == proven);
    let mut revision = revision.expect("it is listed").clone();
    "arn:aws:ecs:r:1:service-revision/prod/web/7".clone_into(&mut revision.service_revision_arn);
    revision.task_definition = arn;
    look.history()[0].source_service_revisions[0].arn.clone_from(&revision.service_revision_arn);
    look.revisions().push(revision);
    look
}

#[test]
fn ecs_is_let_return_to_a_copy_of_the_proven_revision() {
    assert_eq!(over_a_copy().calls(), ["StopServiceDeployment"]);
    for is_gone in [true, false] {
        let mut look = over_a_copy();
        if is_gone {
            "INACTIVE".clone_into(&mut definition(&mut look, 1).status);
        } else {
            definition(&mut look, 9).digest = Digest::of(&json!({"other": 1}));
        }
        let call = if is_gone { "StopServiceDeployment" } else { "UpdateService" };
        assert_eq!(look.calls(), [call], "{is_gone}");
    }
}

#[test]
fn nobody_returns_to_the_content_that_was_rejected_however_it_is_registered() {
    let mut look = bad();
    look.history()[0].status = "SUCCESSFUL".to_owned();
    assert_eq!(look.calls(), ["UpdateService"]);
    let Fact::Known(definitions) = &mut look.seen.task_definitions else {
        panic!("they were seen")
    };
    let rejected = look.desired.task_definition_digest.clone();
    for one in definitions {
        one.digest = rejected.clone();
    }
    assert_eq!(look.calls(), [""; 0]);
    assert_eq!(reasons(&look.plan()), [WaitReason::Held]);
}

/// ECS has completed a bad deployment, and somebody deregistered what is to be returned to.
fn over_a_deregistered_one() -> Look {
    let mut look = bad();
    "SUCCESSFUL".clone_into(&mut look.history()[0].status);
    "INACTIVE".clone_into(&mut definition(&mut look, 1).status);
    look
}

/// `web:1` or another revision of the family.
fn definition(look: &mut Look, number: u64) -> &mut TaskDefinition {
    let Fact::Known(all) = &mut look.seen.task_definitions else { panic!("they were seen") };
    let end = format!("/web:{number}");
    all.iter_mut().find(|one| one.arn.ends_with(&end)).expect("it was seen")
}

#[test]
fn a_deregistered_revision_is_registered_anew_to_return_to_it() {
    let mut look = over_a_deregistered_one();
    look.seen.searched = None;
    assert_eq!(reasons(&look.plan()), [WaitReason::Unknown], "it was not searched for");
    let key = crate::manifests::key();
    let question = questions(Some(&look.desired), Some(&look.seen)).expect("it is searched for");
    let gone = definition(&mut look, 1).clone();
    let family = question.family.expect("a family");
    assert_eq!((family.family.as_str(), &family.digest), ("web", &gone.digest));

    look.seen.searched = Some(gone.digest.clone());
    let plan = look.plan();
    let [action] = plan.actions.as_slice() else { panic!("{plan}") };
    let Call::RegisterTaskDefinition { input } = &action.call else { panic!("{plan}") };
    assert_eq!(action.lane, Lane::Rollback);
    assert_eq!((&input["family"], &input["tags"][0]["key"]), (&json!("web"), &json!(tag::DIGEST)));
    assert_eq!(Digest::of(&canonical::task_definition(input)), gone.digest);

    let mut forged = plan.clone();
    if let Call::RegisterTaskDefinition { input } = &mut forged.actions[0].call {
        input["containerDefinitions"][0]["image"] = json!("evil:1");
    }
    let broken = check(&forged, &crate::ecs::input(&key, Some(&look.desired), &look.seen));
    assert!(broken.unwrap_err().join(" ").contains("not the content of a deregistered revision"));
}

/// What the family is searched for once more after this look.
fn searched_for(look: &Look) -> Option<Digest> {
    Some(questions(Some(&look.desired), Some(&look.seen))?.family?.digest)
}

#[test]
fn what_is_wanted_again_is_searched_for_and_not_the_deregistered_one_that_it_was_left_for() {
    let mut look = over_a_deregistered_one();
    let other = look.primary().task_definition.replace("web:2", "web:9");
    look.primary().task_definition.clone_from(&other);
    look.service().task_definition = Some(other);
    look.service().tags.remove(tag::REJECTED);
    look.seen.searched = None;
    assert_eq!(searched_for(&look), Some(look.desired.task_definition_digest.clone()));
}

/// A fix that may not start keeps nobody on what is bad.
#[test]
fn a_deregistered_revision_is_searched_for_also_where_newer_content_is_kept_back() {
    for is_paused in [true, false] {
        let mut look = over_a_deregistered_one();
        look.desired = web("good:3").service();
        look.seen.searched = Some(look.desired.task_definition_digest.clone());
        if is_paused {
            look.tag(tag::PAUSE, "v1:1790000000:ann:later");
        }
        let gone = definition(&mut look, 1).digest.clone();
        assert_eq!(searched_for(&look), is_paused.then(|| gone.clone()));
        if is_paused {
            assert_eq!(reasons(&look.plan()), [WaitReason::Unknown], "{}", look.plan());
            look.seen.searched = Some(gone);
            assert_eq!(look.calls(), ["RegisterTaskDefinition"], "{}", look.plan());
            let key = crate::manifests::key();
            let input = crate::ecs::input(&key, Some(&look.desired), &look.seen);
            assert_eq!(check(&look.plan(), &input), Ok(()));
        }
    }
}

#[test]
fn what_is_registered_anew_keeps_its_tags_and_the_order_of_its_environment_files() {
    let file =
        |name: &str| json!({ "type": "s3", "value": format!("arn:aws:s3:::files/{name}.env") });
    let mut look = over_a_deregistered_one();
    let gone = definition(&mut look, 1);
    let mut content = gone.document.as_ref().expect("the look is deep").value();
    content["containerDefinitions"][0]["environmentFiles"] = json!([file("b"), file("a")]);
    content["tags"] = json!([{ "key": "team", "value": "shop" }]);
    gone.document = Some(Document::new(&content));
    gone.digest = Digest::of(&canonical::task_definition(&content));
    look.seen.searched = Some(definition(&mut look, 1).digest.clone());

    let plan = look.plan();
    let [action] = plan.actions.as_slice() else { panic!("{plan}") };
    let Call::RegisterTaskDefinition { input } = &action.call else { panic!("{plan}") };
    let files = &input["containerDefinitions"][0]["environmentFiles"];
    assert_eq!(files, &json!([file("b"), file("a")]), "the first to set a variable wins");
    let keys: Vec<&str> = (input["tags"].as_array().expect("a list").iter())
        .filter_map(|one| one["key"].as_str())
        .collect();
    assert_eq!(keys, ["team", tag::DIGEST]);
}

#[test]
fn new_content_is_searched_for_although_what_was_returned_to_is_deregistered() {
    let mut look = over_a_deregistered_one();
    look.desired = web("good:3").service();
    look.seen.searched = None;
    let question = questions(Some(&look.desired), Some(&look.seen)).expect("it is searched for");
    let searched = question.family.map(|family| family.digest);
    assert_eq!(searched, Some(look.desired.task_definition_digest.clone()));
    look.seen.searched = searched;
    assert_eq!(look.calls(), ["RegisterTaskDefinition"]);
}

#[test]
fn what_has_the_content_of_a_deregistered_revision_is_returned_to() {
    let mut look = over_a_deregistered_one();
    let gone = definition(&mut look, 1).clone();
    let arn = PROVEN.replace("web:1", "web:7");
    let copy = TaskDefinition { arn: arn.clone(), status: "ACTIVE".to_owned(), ..gone };
    let other = TaskDefinition { arn: PROVEN.replace("web:1", "api:9"), ..copy.clone() };
    let Fact::Known(all) = &mut look.seen.task_definitions else { panic!("they were seen") };
    all.extend([copy, other]);
    assert_eq!(look.update(), json!({ "taskDefinition": arn }));
}

#[test]
fn a_deregistered_revision_whose_content_is_not_known_is_left_to_a_person() {
    let mut look = over_a_deregistered_one();
    let gone = definition(&mut look, 1);
    gone.document = None;
    let digest = gone.digest.clone();
    look.seen.searched = Some(digest);
    assert_eq!(reasons(&look.plan()), [WaitReason::Held]);
}

#[test]
fn a_bad_deployment_that_ecs_leaves_itself_is_waited_for_and_held_when_that_fails() {
    for (status, waits) in [
        ("ROLLBACK_REQUESTED", WaitReason::Rollback),
        ("ROLLBACK_IN_PROGRESS", WaitReason::Rollback),
        ("ROLLBACK_FAILED", WaitReason::Held),
    ] {
        let mut look = bad();
        status.clone_into(&mut look.history()[0].status);
        let plan = look.plan();
        assert_eq!((reasons(&plan), plan.actions.len()), (vec![waits], 0), "{plan}");
    }
}

#[test]
fn ecs_returns_as_fast_as_the_manifest_allows() {
    let mut look = returning();
    look.document().insert(
        "deploymentConfiguration".to_owned(),
        json!({ "maximumPercent": 125, "minimumHealthyPercent": 100 }),
    );
    assert_eq!(look.update(), json!({ "deploymentConfiguration": { "maximumPercent": 200 } }));
}

#[test]
fn a_return_that_ecs_gave_up_is_held_and_one_that_another_took_the_place_of_begins_anew() {
    let mut given_up = returning();
    given_up.primary().rollout_state = Some("FAILED".to_owned());
    assert_eq!(reasons(&given_up.plan()), [WaitReason::Held]);

    let mut displaced = returning();
    displaced.primary().rollout_state = Some("FAILED".to_owned());
    let Fact::Known(definitions) = &mut displaced.seen.task_definitions else { panic!("seen") };
    let mut theirs = definitions[0].clone();
    "web:9".clone_into(&mut theirs.arn);
    theirs.digest = Digest::of(&json!("theirs"));
    definitions.push(theirs);
    "web:9".clone_into(&mut displaced.primary().task_definition);
    let mark = displaced.tags_written();
    assert!(mark[tag::ROLLOUT].contains(":rollback:"), "{mark:?}");
}

#[test]
fn a_return_in_which_nothing_becomes_healthy_is_held() {
    let mut look = returning();
    assert_eq!(reasons(&look.plan()), [WaitReason::Rollback]);
    look.begun(4200);
    assert_eq!(reasons(&look.plan()), [WaitReason::Held]);
}

#[test]
fn what_failed_before_a_return_began_does_not_speak_against_it() {
    for (ended, waits) in [(9, WaitReason::Held), (11, WaitReason::Rollback)] {
        let mut look = returning();
        for _ in 0..3 {
            look.crashed(60, ended);
        }
        let plan = look.plan();
        assert_eq!(reasons(&plan), [waits], "{plan}");
    }
}

#[test]
fn a_complete_return_leaves_no_mark_when_the_manifest_went_back_too() {
    let mut look = returning();
    look.desired = web("good:1").service();
    assert_eq!(reasons(&look.plan()), [WaitReason::Rollback]);
    look.primary().rollout_state = Some("COMPLETED".to_owned());
    let plan = look.plan();
    assert_eq!(look.calls(), ["UntagResource"]);
    assert!(plan.actions[0].why.starts_with("ends the rollback"), "{plan}");
}

#[test]
fn a_fix_follows_a_complete_return_and_takes_the_place_of_its_mark() {
    let mut look = returning();
    look.primary().rollout_state = Some("COMPLETED".to_owned());
    look.desired = web("good:3").service();
    look.seen.searched = Some(look.desired.task_definition_digest.clone());
    assert_eq!(look.calls(), ["RegisterTaskDefinition"]);
}

#[test]
fn a_return_that_fails_is_not_ended_by_a_manifest_that_went_back() {
    let mut look = returning();
    look.desired = web("good:1").service();
    look.begun(4200);
    let untagged = look.calls().contains(&"UntagResource");
    assert!(!untagged, "{}", look.plan());
}

#[test]
fn a_bad_deployment_whose_verdict_is_taken_back_is_judged_from_now_on() {
    let mut look = bad();
    look.service().tags.remove(tag::REJECTED);
    let mark = look.tags_written().remove(tag::ROLLOUT).unwrap_or_default();
    let id = look.primary().id.clone();
    assert!(mark.ends_with(&format!(":{id}:probe:{}", look.ago(0).as_second())), "{mark}");
}

/// The rejected revision took the place of the return.
fn rejected_again() -> Look {
    let mut look = returning();
    let again = look.service().deployments[1].task_definition.clone();
    look.primary().task_definition = again;
    "ecs-svc/99".clone_into(&mut look.primary().id);
    let now = look.ago(0);
    look.history()[0].created_at = Some(now);
    look
}

#[test]
fn the_rejected_revision_over_a_return_is_left_again_unless_ecs_ended_the_return() {
    let mut look = rejected_again();
    let written = look.tags_written();
    assert!(written[tag::ROLLOUT].contains(":ecs-svc/99:rollback:"), "{written:?}");

    let proven = look.service().tags[tag::PROVEN].clone();
    look.history()[0].target_service_revision.as_mut().expect("it has one").arn = proven;
    assert_eq!(reasons(&look.plan()), [WaitReason::Held]);
}

/// ECS has ended a return to what was registered anew, and gone back to the rejected revision.
#[test]
fn a_return_to_a_copy_of_what_was_deregistered_is_not_begun_again_either_when_ecs_ended_it() {
    let mut look = rejected_again();

    "INACTIVE".clone_into(&mut definition(&mut look, 1).status);
    let mut copy = definition(&mut look, 1).clone();
    copy.arn = copy.arn.replace("web:1", "web:9");
    "ACTIVE".clone_into(&mut copy.status);
    let proven = look.service().tags[tag::PROVEN].clone();
    let Fact::Known(revisions) = &mut look.seen.service_revisions else { panic!("they were seen") };
    let mut target =
        revisions.iter().find(|one| one.service_revision_arn == proven).unwrap().clone();
    target.task_definition.clone_from(&copy.arn);
    target.service_revision_arn = proven.replace("service-revision/", "service-revision/copy-");
    look.history()[0].target_service_revision.as_mut().unwrap().arn =
        target.service_revision_arn.clone();
    let Fact::Known(revisions) = &mut look.seen.service_revisions else { panic!("they were seen") };
    revisions.push(target);
    let Fact::Known(definitions) = &mut look.seen.task_definitions else {
        panic!("they were seen")
    };
    definitions.push(copy);
    assert_eq!(reasons(&look.plan()), [WaitReason::Held]);

    let other = Digest::from_tag("v1:other");
    definition(&mut look, 9).digest = other;
    assert!(look.tags_written()[tag::ROLLOUT].contains(":ecs-svc/99:rollback:"));
}

/// A call that tags the service may be carried out minutes after it was given up.
#[test]
fn the_mark_of_a_return_that_comes_late_does_not_keep_newer_content_from_being_judged() {
    for image in ["good:2", "crash:2"] {
        let mut ecs = settled(&web("good:1"));
        let next = web(image).service();
        drop(ecs.settle(&next, 3));
        assert!(ecs.is_rolling());
        let mark =
            format!("v1:v1:00d7d677e164fba9120b0cf2d31bc773:ecs-svc/7:rollback:{}", 1_790_000_001);
        ecs.tags.insert(tag::ROLLOUT.to_owned(), mark);
        drop(ecs.settle(&next, 200));
        assert!(!ecs.tags.contains_key(tag::ROLLOUT), "{image}: {:?}", ecs.tags);
        let is_bad = image.starts_with("crash");
        assert_eq!(ecs.tags.contains_key(tag::REJECTED), is_bad, "{image}: {:?}", ecs.tags);
        assert_eq!(ecs.primary_image(), if is_bad { "good:1" } else { image });
    }
}
