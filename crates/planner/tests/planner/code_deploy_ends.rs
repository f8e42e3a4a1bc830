//! Deployments of CodeDeploy's that end otherwise than they should: left behind, displaced, listed late.

#![expect(clippy::indexing_slicing, reason = "a plan without an action is a failed test")]

use evenkeel_manifest::Digest;
use evenkeel_planner::{Action, Call, ConditionKind, Lane, Outcome, WaitReason, status};
use serde_json::{Value, json};

use crate::balanced::GREEN;
use crate::code_deploy::{Look, ago, at_rest, definition, on_its_way, set, wanted};
use crate::ecs::input;
use crate::manifests::{GROUP, key};

/// `d-222222222` was rejected, and ended without a rollback: its task set stands beside the proven one, and may get traffic.
fn left() -> Look {
    on_its_way("Stopped").rejected()
}

#[test]
fn what_a_rejected_deployment_left_behind_is_taken_away_by_a_return_and_not_waited_for_without_end()
{
    let plan = left().plan();
    let Call::CreateDeployment { input } = &plan.actions[0].call else { panic!("{plan}") };
    let content = input["revision"]["appSpecContent"]["content"].as_str().unwrap_or_default();
    assert!(content.contains(&definition(1)), "{content}");

    let mut draining = left();
    draining.sets[1]["status"] = json!("DRAINING");
    assert_eq!(draining.waits(), WaitReason::Draining);
    let mut returned = left();
    returned.deployments.push(json!({
        "deploymentId": "d-333333333", "status": "Succeeded", "creator": "user",
        "createTime": ago(3).as_second(), "description": format!("evenkeel return {}", definition(1)),
    }));
    assert_eq!(returned.waits(), WaitReason::Draining, "once is enough");
}

/// Somebody's deployment has ended like that, and left the task set of `good:2` beside what is proven and wanted.
fn left_behind(status: &str) -> Look {
    let mut look = at_rest();
    look.desired = wanted("good:1");
    look.sets.push(set(2, GREEN, "ACTIVE", "d-999999999"));
    let mut theirs = look.deployment("d-999999999", status);
    theirs["description"] = json!("by hand");
    look.deployments.push(theirs);
    look.tags.insert(
        "evenkeel:digest".to_owned(),
        format!("v1:{}:{}:lb", look.desired.revision_digest, ago(900).as_second()),
    );
    look
}

#[test]
fn what_an_ended_deployment_left_behind_is_told_and_keeps_nothing_from_being_healed() {
    for status in ["Failed", "Stopped"] {
        let plan = left_behind(status).plan();
        let told: Vec<&str> = plan.waiting.iter().map(|wait| wait.sentence.as_str()).collect();
        assert!(told.iter().any(|one| one.contains("d-999999999 has ended and left")), "{plan}");
    }
    let mut scaled = left_behind("Failed");
    let mut members = scaled.desired.service.value();
    members["desiredCount"] = json!(6);
    scaled.desired.service = evenkeel_manifest::Document::new(&members);
    assert!(matches!(scaled.plan().actions[0].call, Call::UpdateService { .. }));
}

#[test]
fn what_an_ended_deployment_left_behind_does_not_keep_the_next_one_from_beginning() {
    let mut look = left_behind("Stopped");
    look.desired = wanted("good:2");
    let plan = look.plan();
    let begins = |action: &Action| matches!(action.call, Call::CreateDeployment { .. });
    assert!(plan.actions.iter().any(begins), "{plan}");
}

/// Somebody stopped it after its task set was PRIMARY, and before it took away what the service began with.
#[test]
fn what_a_stopped_deployment_was_to_replace_is_left_behind_too() {
    let replaced_by = |status: &str| {
        let mut look = left_behind(status);
        look.sets = vec![set(1, GROUP, "ACTIVE", ""), set(2, GREEN, "PRIMARY", "d-999999999")];
        look
    };
    let reasons = |look: &Look| -> Vec<WaitReason> {
        look.plan().waiting.iter().map(|wait| wait.reason).collect()
    };
    for status in ["Stopped", "Succeeded", "Failed"] {
        assert!(reasons(&replaced_by(status)).contains(&WaitReason::Person), "{status}");
    }
    assert_eq!(reasons(&replaced_by("InProgress")), [WaitReason::ForeignDeployment]);
    let mut unknown = replaced_by("Stopped");
    unknown.deployments.clear();
    assert_eq!(reasons(&unknown), [WaitReason::Draining]);
}

#[test]
fn a_task_set_whose_deployment_goes_on_or_is_not_shown_may_go_by_itself() {
    let waits = |look: &Look| look.plan().waiting[0].reason;
    assert_eq!(waits(&left_behind("InProgress")), WaitReason::ForeignDeployment);
    let mut unknown = left_behind("Failed");
    unknown.deployments.clear();
    assert_eq!(waits(&unknown), WaitReason::Draining);
}

/// `d-222222222` has succeeded, and the task set of a later deployment is PRIMARY.
fn taken_over() -> Look {
    let mut look = on_its_way("Succeeded");
    let mut theirs = set(1, GROUP, "PRIMARY", "d-999999999");
    theirs["createdAt"] = json!(ago(60).as_second());
    look.sets = vec![theirs];
    look
}

#[test]
fn a_rollout_whose_place_somebody_else_s_deployment_took_is_forgotten_and_not_waited_for_without_end()
 {
    let look = taken_over();
    let Call::UntagResource { keys, .. } = look.call() else { panic!("{}", look.plan()) };
    assert_eq!(keys, ["evenkeel:rollout"]);
    let mut earlier = taken_over();
    earlier.sets[0]["createdAt"] = json!(ago(400).as_second());
    assert_eq!(earlier.waits(), WaitReason::Unknown, "an answer from the past");
}

/// `d-222222222` was stopped and rejected, and somebody's deployment took its place.
fn displaced(creator: &str, definition: &str) -> Look {
    let mut look = taken_over().rejected();
    look.sets[0]["taskDefinition"] = json!(definition);
    look.deployments[0]["status"] = json!("Stopped");
    look.deployments.push(json!({
        "deploymentId": "d-999999999", "status": "Succeeded", "creator": creator,
        "createTime": ago(70).as_second(),
    }));
    look
}

#[test]
fn what_somebody_deployed_in_the_place_of_a_rejected_deployment_is_not_returned_from() {
    let look = displaced("user", &definition(3));
    let Call::UntagResource { keys, .. } = look.call() else { panic!("{}", look.plan()) };
    assert_eq!(keys, ["evenkeel:rollout"]);
    let by_code_deploy = displaced("codeDeployRollback", &definition(3));
    for look in [by_code_deploy, displaced("user", &definition(2))] {
        assert!(matches!(look.call(), Call::CreateDeployment { .. }), "{}", look.plan());
    }
}

/// What the status says of a service that runs this alone, while `good:2` is rejected and `proven` was proven.
fn back_on(runs: u64, proven: &str) -> String {
    let mut look = at_rest().rejected();
    look.tags.remove("evenkeel:rollout");
    look.tags.insert("evenkeel:proven".to_owned(), proven.to_owned());
    look.sets = vec![set(runs, GROUP, "PRIMARY", "")];
    let (key, seen, plan) = (key(), look.seen(), look.plan());
    let told = status(&input(&key, Some(&look.desired), &seen), &plan, &Outcome::Done);
    told.condition(ConditionKind::RolledBack).expect("it is one of them").message.clone()
}

#[test]
fn a_status_says_that_a_service_is_back_only_where_it_is_seen_to_run_what_was_proven() {
    assert_eq!(back_on(1, &definition(1)), format!("the service is back on {}", definition(1)));
    let elsewhere = format!("the service has left it, and runs {}", definition(3));
    assert_eq!(back_on(3, &definition(1)), elsewhere);
    // Deregistered: what it was is not shown any more.
    assert_eq!(back_on(3, &definition(9)), elsewhere);
}

/// `d-222222222` has succeeded and was rejected, and the group has alarms that end its deployments.
fn watched(enabled: bool) -> Look {
    let mut look = on_its_way("Succeeded").rejected();
    look.sets = vec![set(2, GREEN, "PRIMARY", "d-222222222")];
    look.group_alarms = json!({"enabled": enabled, "alarms": [{"name": "errors"}]});
    look
}

#[test]
fn a_group_whose_alarms_are_told_otherwise_than_expected_is_read_all_the_same() {
    for alarms in [json!(null), json!({"enabled": true, "alarms": null}), json!("none")] {
        let look = Look { group_alarms: alarms, ..watched(true) };
        assert_eq!(overridden(&look.call()), None, "{}", look.group_alarms);
    }
}

fn overridden(call: &Call) -> Option<&Value> {
    let Call::CreateDeployment { input } = call else { panic!("{call:?}") };
    input.get("overrideAlarmConfiguration")
}

#[test]
fn a_return_goes_on_under_the_alarms_of_its_group_and_nothing_else_does() {
    assert_eq!(overridden(&watched(true).call()), Some(&json!({"enabled": false})));
    assert_eq!(overridden(&watched(false).call()), None);
    let mut begun = at_rest();
    begun.group_alarms = json!({"enabled": true, "alarms": [{"name": "errors"}]});
    let plan = begun.plan();
    let mut release = plan.actions.last().expect("it is deployed").call.clone();
    assert_eq!(overridden(&release), None);
    if let Call::CreateDeployment { input } = &mut release {
        input["overrideAlarmConfiguration"] = json!({"enabled": false});
    }
    let broken = begun.broken(release, Lane::NewChange);
    assert!(broken.contains("overrides the alarms of its deployment group"), "{broken}");
}

#[test]
fn a_deployment_of_ours_that_is_listed_late_is_ours_all_the_same() {
    let mut look = on_its_way("InProgress");
    look.mark("-2", "shift", 125);
    assert!(look.tagged("evenkeel:rollout").contains(":d-222222222:shift:"), "{}", look.plan());
}

#[test]
fn what_differs_from_the_proven_in_its_network_alone_is_no_rollback_that_is_over() {
    let mut look = on_its_way("Succeeded").rejected();
    look.sets = vec![set(2, GREEN, "PRIMARY", "d-222222222")];
    look.tags.insert("evenkeel:proven".to_owned(), definition(2));
    assert_eq!(look.waits(), WaitReason::Held, "{}", look.plan());
}

#[test]
fn subnets_in_another_order_are_no_other_content() {
    let mut look = at_rest();
    let vpc = |subnets| json!({"awsvpcConfiguration": {"subnets": subnets}});
    look.desired = crate::code_deploy::wanted_in(&vpc(json!(["subnet-2", "subnet-1"])));
    look.sets = vec![set(2, GROUP, "PRIMARY", "")];
    look.sets[0]["networkConfiguration"] = vpc(json!(["subnet-2", "subnet-1"]));
    assert!(look.tagged("evenkeel:rollout").contains(":ecs-svc/2:"), "{}", look.plan());
}

fn paused(mut look: Look) -> Look {
    look.tags.insert("evenkeel:pause".to_owned(), "v1:1789999990:ann:lunch".to_owned());
    look
}

/// It is neither ended for newer content nor let through.
#[test]
fn what_newer_content_is_to_replace_is_judged_while_that_may_not_start() {
    for status in ["InProgress", "Ready"] {
        let mut look = paused(on_its_way(status));
        let rolled_out = std::mem::replace(&mut look.desired, wanted("good:3"));
        assert_eq!(look.waits(), WaitReason::Deployment);
        look.goes_red("web-5xx");
        let rejected = look.tagged("evenkeel:rejected");
        let about = format!("v1:{}:", rolled_out.revision_digest);
        assert!(rejected.starts_with(&about) && rejected.ends_with(":Alarm"), "{rejected}");
        assert!(look.tagged("evenkeel:rollout").contains(":d-222222222:rollback:"));
    }
}

#[test]
fn what_was_rejected_is_returned_from_also_while_newer_content_may_not_start() {
    for may_start in [false, true] {
        let mut look = on_its_way("Succeeded").rejected();
        look.sets = vec![set(2, GREEN, "PRIMARY", "d-222222222")];
        look.desired = wanted("good:3");
        if may_start {
            assert!(matches!(look.call(), Call::UntagResource { .. }), "{}", look.plan());
        } else {
            let plan = paused(look).plan();
            assert!(matches!(plan.actions[0].call, Call::CreateDeployment { .. }), "{plan}");
        }
    }
}

#[test]
fn what_arrived_and_is_to_be_replaced_is_forgotten_only_when_it_is_well() {
    let mut look = paused(on_its_way("Succeeded"));
    look.sets = vec![set(2, GREEN, "PRIMARY", "d-222222222")];
    look.desired = wanted("good:3");
    assert!(matches!(look.call(), Call::UntagResource { .. }), "{}", look.plan());
    look.healthy = 3;
    assert_eq!(look.waits(), WaitReason::Deployment);
    look.tags.remove("evenkeel:pause");
    assert!(matches!(look.call(), Call::UntagResource { .. }), "newer content may start");
}

fn rejecting(look: &mut Look, digest: &Digest) {
    let verdict = format!("v1:{digest}:{}:Aborted", ago(5).as_second());
    look.tags.insert("evenkeel:rejected".to_owned(), verdict);
}

/// The content of one or of the other was rejected, and the way back was not begun yet.
#[test]
fn what_nobody_wants_any_more_is_ended_also_in_a_pause_when_nothing_may_take_its_place() {
    for is_wanted in [true, false] {
        let mut look = paused(on_its_way("InProgress"));
        let rolled_out = std::mem::replace(&mut look.desired, wanted("good:3"));
        let rejected = if is_wanted { &look.desired } else { &rolled_out };
        let rejected = rejected.revision_digest.clone();
        rejecting(&mut look, &rejected);
        let plan = look.plan();
        let action = &plan.actions[0];
        assert_eq!(action.call, Call::StopDeployment { id: "d-222222222".to_owned() });
        assert_eq!(action.lane, Lane::Rollback);
    }
}

/// `good:2` has arrived, and `good:3`, which was to replace it, was rejected.
fn unjudged() -> Look {
    let mut look = on_its_way("Succeeded");
    look.sets = vec![set(2, GREEN, "PRIMARY", "d-222222222")];
    look.desired = wanted("good:3");
    let digest = look.desired.revision_digest.clone();
    rejecting(&mut look, &digest);
    look
}

#[test]
fn what_arrived_and_nobody_judges_any_more_is_left_for_the_proven_revision() {
    let mut look = unjudged();
    assert!(look.tagged("evenkeel:rollout").contains(":d-222222222:rollback:"), "{}", look.plan());
    look.mark("d-222222222", "rollback", 5);
    let plan = look.plan();
    let Call::CreateDeployment { input } = &plan.actions[0].call else { panic!("{plan}") };
    let content = input["revision"]["appSpecContent"]["content"].as_str().unwrap_or_default();
    assert!(content.contains(&definition(1)), "{content}");

    let mut nothing_proven = unjudged();
    nothing_proven.tags.remove("evenkeel:proven");
    assert!(matches!(nothing_proven.call(), Call::UntagResource { .. }));
}
