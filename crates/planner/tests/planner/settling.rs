//! A settled service: what is healed in place, which tags are kept, and what is not done again.

use evenkeel_planner::{Call, Plan, WaitReason, tag};
use serde_json::json;

use crate::ecs::Ecs;
use crate::looks::{Look, missing};
use crate::manifests::{Draft, web};
use crate::plans::{reasons, settled};

fn look(settled_as: &Draft, wanted: &Draft) -> Look {
    Look::at(&settled(settled_as), wanted.service())
}

/// What wanted is judged bad.
fn reject(look: &mut Look) {
    let digest = look.desired.revision_digest.clone();
    look.tag(tag::REJECTED, &format!("v1:{digest}:1790000000:Crashes"));
}

#[test]
fn what_changes_in_place_is_told_with_its_values_where_they_are_short() {
    let canary = json!({ "canaryPercent": 5.0, "canaryBakeTimeInMinutes": 10 });
    let wanted = web("good:1")
        .with("desiredCount", json!(6))
        .with("healthCheckGracePeriodSeconds", json!(30))
        .with("placementStrategy", json!([{ "type": "random" }]))
        .with("availabilityZoneRebalancing", json!("ENABLED"))
        .with(
            "deploymentConfiguration",
            json!({ "maximumPercent": 150, "canaryConfiguration": canary }),
        );
    let look = look(&web("good:1"), &wanted);
    let plan = look.plan();
    assert_eq!(
        plan.actions[0].why,
        "heals what changes in place (availabilityZoneRebalancing \"ENABLED\", \
         canaryConfiguration, maximumPercent 200 → 150, \
         desiredCount 4 → 6, healthCheckGracePeriodSeconds 0 → 30, placementStrategy)"
    );
}

#[test]
fn the_keys_of_a_manifest_s_tags_are_remembered_and_what_it_gives_up_is_removed() {
    let tagged = web("good:1").with("tags", json!([{ "key": "team", "value": "shop" }]));
    let written = look(&web("good:1"), &tagged).tags_written();
    let of = |key: &str| written.get(key).map(String::as_str);
    assert_eq!((of("team"), of(tag::TAGS)), (Some("shop"), Some("team")));

    let given_up = look(&tagged, &web("good:1"));
    assert_eq!(given_up.calls(), ["UntagResource", "TagResource"]);
    assert_eq!(given_up.tags_written().get(tag::TAGS).map(String::as_str), Some(""));
}

#[test]
fn tags_of_aws_and_of_ours_are_neither_set_nor_removed_for_a_manifest() {
    let reserved = json!([{ "key": "aws:x", "value": "1" }, { "key": "evenkeel:x", "value": "1" }]);
    let plan = look(&web("good:1"), &web("good:1").with("tags", reserved)).plan();
    assert_eq!(plan.to_string(), "nothing to do\n");

    let mut remembered = look(&web("good:1"), &web("good:1"));
    remembered.tag(tag::TAGS, "aws:x evenkeel:x");
    remembered.tag("aws:x", "1");
    remembered.tag("evenkeel:x", "1");
    assert_eq!(remembered.calls(), ["TagResource"]);
}

fn patient(image: &str) -> Draft {
    web(image).with("healthCheckGracePeriodSeconds", json!(30))
}

fn remembers_the_grace_period(digest: &str) -> bool {
    digest.rsplit(':').next().is_some_and(|members| members.split('+').any(|code| code == "hg"))
}

#[test]
fn what_was_set_is_remembered_anew_when_the_manifest_gives_up_a_member() {
    let look = look(&patient("good:1"), &web("good:1"));
    let before = look.seen.service.known().map(|service| service.tags[tag::DIGEST].clone());
    assert_eq!(before.as_deref().map(remembers_the_grace_period), Some(true), "{before:?}");
    let after = look.tags_written().remove(tag::DIGEST);
    assert_eq!(after.as_deref().map(remembers_the_grace_period), Some(false), "{after:?}");
}

#[test]
fn what_was_applied_is_not_said_of_a_rejected_manifest_that_is_healed_in_place() {
    let mut look = look(&web("good:1"), &patient("good:2"));
    reject(&mut look);
    assert_eq!(look.update(), json!({ "healthCheckGracePeriodSeconds": 30 }));
    assert_eq!(look.tags_written().get(tag::DIGEST), None);
}

#[test]
fn nothing_is_healed_while_what_was_rejected_runs() {
    let mut look = look(&web("good:1"), &patient("good:1"));
    reject(&mut look);
    let plan = look.plan();
    assert_eq!((reasons(&plan), plan.actions.len()), (vec![WaitReason::Rejected], 0), "{plan}");
}

/// Somebody's deployment is PRIMARY; what is wanted was rejected, and the mark of an earlier one is left.
fn theirs_over_the_rejected() -> Look {
    let mut ecs = settled(&web("good:1"));
    ecs.rival("good:9");
    let mut look = Look::at(&ecs, patient("good:2").service());
    reject(&mut look);
    look.tag(tag::ROLLOUT, &format!("v1:v1:ff:ecs-svc/1:probe:{}", look.ago(4000).as_second()));
    look
}

#[test]
fn the_mark_of_an_earlier_rollout_is_forgotten_when_something_else_is_complete() {
    let mut look = theirs_over_the_rejected();
    look.primary().rollout_state = Some("COMPLETED".to_owned());
    assert_eq!(look.calls(), ["UntagResource"]);
}

#[test]
fn nothing_is_written_while_ecs_moves_tasks_and_what_is_wanted_was_rejected() {
    let mut look = theirs_over_the_rejected();
    look.primary().rollout_state = None;
    look.primary().pending_count = 1;
    look.seen.service_deployments = missing();
    let plan = look.plan();
    assert_eq!((reasons(&plan), plan.actions.len()), (vec![WaitReason::Rejected], 0), "{plan}");
}

/// Somebody's deployment is complete over what was applied so many seconds ago.
fn replaced(seconds: i64) -> Plan {
    let mut ecs = settled(&web("good:1"));
    ecs.rival("good:9");
    let mut look = Look::at(&ecs, web("good:1").service());
    look.primary().rollout_state = Some("COMPLETED".to_owned());
    let (digest, at) = (look.desired.revision_digest.clone(), look.ago(seconds).as_second());
    look.tag(tag::DIGEST, &format!("v1:{digest}:{at}:"));
    look.plan()
}

#[test]
fn what_replaced_the_wanted_revision_is_left_for_an_hour_and_no_longer() {
    assert_eq!(reasons(&replaced(3599)), [WaitReason::ForeignDeployment]);
    assert_eq!(replaced(3600).actions.len(), 2);
}

#[test]
fn new_content_over_a_deployment_that_ecs_gave_up_needs_no_force() {
    let mut ecs = settled(&web("good:1"));
    ecs.rival("hang:9");
    ecs.give_up("");
    drop(ecs.pass(&web("good:2").service()));
    let start = Look::at(&ecs, web("good:2").service()).update();
    assert!(start.get("taskDefinition").is_some(), "{start}");
    assert_eq!(start.get("forceNewDeployment"), None);
}

#[test]
fn a_manifest_that_changes_only_what_aws_does_not_show_is_rolled_out() {
    let connected = |namespace: &str| {
        let connect = json!({ "enabled": true, "namespace": namespace });
        web("good:1").with("serviceConnectConfiguration", connect)
    };
    let mut look = look(&connected("shop"), &connected("market"));
    look.document().remove("serviceConnectConfiguration");
    for revision in look.revisions() {
        revision.rest.remove("serviceConnectConfiguration");
    }
    let plan = look.plan();
    let starts = plan.actions.iter().any(|one| matches!(one.call, Call::UpdateService { .. }));
    assert!(starts, "{plan}");
}

#[test]
fn somebody_who_scales_what_never_becomes_healthy_up_from_zero_does_not_keep_it_so() {
    let mut ecs = Ecs::new();
    let desired = web("hang:1").with("desiredCount", json!(0)).service();
    drop(ecs.settle(&desired, 10));
    ecs.update(&json!({ "desiredCount": 1 }));
    drop(ecs.settle(&desired, 300));
    ecs.later(2 * 3600);
    let last = ecs.settle(&desired, 300);
    assert!(ecs.tags.contains_key(tag::REJECTED) || ecs.count() == 0, "{last}\n{:?}", ecs.tags);
}
