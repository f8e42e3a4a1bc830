//! Members that somebody took away, and those that AWS does not show where one would look.

use evenkeel_planner::Fact;
use serde_json::{Value, json};

use crate::ecs::Ecs;
use crate::looks::Look;
use crate::manifests::{Draft, web};
use crate::plans::settled;

/// The service that `draft` made, without a member of it.
fn without(draft: &Draft, member: &str) -> Ecs {
    let mut ecs = settled(draft);
    let members = ecs.members.as_mut().expect("it exists");
    assert!(members.remove(member).is_some(), "{member} was there");
    ecs
}

#[test]
fn what_somebody_took_away_is_put_back() {
    for (member, value) in [
        ("healthCheckGracePeriodSeconds", json!(30)),
        ("availabilityZoneRebalancing", json!("ENABLED")),
    ] {
        let draft = web("good:1").with(member, value.clone());
        let look = Look::at(&without(&draft, member), draft.service());
        assert_eq!(look.update(), json!({ member: value }));
    }
}

#[test]
fn what_the_manifest_gave_up_and_is_gone_already_is_not_taken_back_again() {
    let member = "healthCheckGracePeriodSeconds";
    let draft = web("good:1").with(member, json!(30));
    let look = Look::at(&without(&draft, member), web("good:1").service());
    assert_eq!(look.update(), Value::Null);
    let look = Look::at(&settled(&draft), web("good:1").service());
    assert_eq!(look.update(), json!({ member: 0 }));
}

fn connected(image: &str) -> Draft {
    web(image).with("serviceConnectConfiguration", json!({ "enabled": true, "namespace": "shop" }))
}

/// AWS shows Service Connect on no service.
fn hide(look: &mut Look) {
    assert!(look.document().remove("serviceConnectConfiguration").is_some());
}

#[test]
fn what_was_applied_and_aws_does_not_show_is_no_difference() {
    let mut look = Look::at(&settled(&connected("good:1")), connected("good:1").service());
    hide(&mut look);
    assert_eq!(look.plan().to_string(), "nothing to do\n");
}

/// What of Service Connect `good:2` starts with when only the revision in use shows it, or none does.
fn connect_of_the_start(is_shown: bool) -> Option<Value> {
    let mut ecs = settled(&connected("good:1"));
    let wanted = connected("good:2").service();
    drop(ecs.pass(&wanted));
    let mut look = Look::at(&ecs, wanted);
    hide(&mut look);
    let revisions = look.revisions();
    let mut bare = revisions.first().expect("the one in use").clone();
    bare.rest.remove("serviceConnectConfiguration");
    if is_shown {
        let other = "arn:aws:ecs:eu-west-1:123456789012:service-revision/prod/web/1";
        other.clone_into(&mut bare.service_revision_arn);
        revisions.insert(0, bare);
    } else {
        *revisions = vec![bare];
    }
    let sent = look.update();
    assert!(sent.get("taskDefinition").is_some(), "{sent}");
    sent.get("serviceConnectConfiguration").cloned()
}

#[test]
fn a_start_sends_what_aws_does_not_show_and_not_what_the_revision_in_use_shows() {
    assert_eq!(connect_of_the_start(true), None);
    assert!(connect_of_the_start(false).is_some_and(|sent| sent["namespace"] == "shop"));
}

/// The definition that is started with another network, where these have the content, in this order.
fn definition_of_the_start(in_use: &str, listed: &[&str]) -> Option<String> {
    let network = json!({ "awsvpcConfiguration": { "subnets": ["subnet-2"] } });
    let moved = web("good:1").with("networkConfiguration", network).service();
    let mut look = Look::at(&settled(&web("good:1")), moved);
    let Fact::Known(definitions) = &mut look.seen.task_definitions else { panic!("seen") };
    let content = definitions.first().expect("one is in use").clone();
    *definitions = listed
        .iter()
        .map(|arn| evenkeel_planner::TaskDefinition { arn: (*arn).to_owned(), ..content.clone() })
        .collect();
    let mut old = content;
    "web:1".clone_into(&mut old.arn);
    old.digest = evenkeel_manifest::Digest::of(&json!("other"));
    definitions.push(old);
    in_use.clone_into(&mut look.primary().task_definition);
    look.service().task_definition = Some(in_use.to_owned());
    let sent = look.update();
    assert!(sent.get("networkConfiguration").is_some(), "{sent}");
    sent.get("taskDefinition").and_then(Value::as_str).map(str::to_owned)
}

#[test]
fn of_several_definitions_with_the_wanted_content_the_one_in_use_stays() {
    assert_eq!(definition_of_the_start("web:8", &["web:9", "web:8", "web:10"]), None);
}

#[test]
fn of_several_definitions_with_the_wanted_content_the_newest_is_taken_whatever_their_order() {
    for listed in [["web:9", "web:10"], ["web:10", "web:9"]] {
        assert_eq!(definition_of_the_start("web:1", &listed).as_deref(), Some("web:10"));
    }
}

#[test]
fn from_zero_tasks_a_new_revision_starts_with_one_unless_none_is_wanted() {
    let none = web("good:1").with("desiredCount", json!(0));
    for (wanted, sent) in [
        (web("good:2"), Some(json!(1))),
        (web("good:2").with("desiredCount", json!(0)), None),
        (web("good:2").without("desiredCount"), None),
    ] {
        let mut ecs = settled(&none);
        drop(ecs.pass(&wanted.service()));
        let update = Look::at(&ecs, wanted.service()).update();
        assert!(update.get("taskDefinition").is_some(), "{update}");
        assert_eq!(update.get("desiredCount"), sent.as_ref(), "{update}");
    }
}
