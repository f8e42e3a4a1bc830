//! What a service is created with, and what that waits for.

use evenkeel_planner::{Call, Plan, WaitReason, tag};
use serde_json::{Value, json};

use crate::ecs::Ecs;
use crate::looks::{Look, failed};
use crate::manifests::{Draft, web};
use crate::plans::reasons;

/// A region in which the content of `draft` is registered, and nothing else exists.
fn registered(draft: &Draft) -> Ecs {
    let mut ecs = Ecs::new();
    drop(ecs.pass(&draft.service()));
    assert_eq!(ecs.writes, ["RegisterTaskDefinition"]);
    ecs
}

fn created(plan: &Plan) -> &Value {
    match plan.actions.as_slice() {
        [one] => match &one.call {
            Call::CreateService { input } => input,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

/// The body with which the service is created.
fn body(draft: &Draft) -> Value {
    created(&registered(draft).plan(Some(&draft.service()))).clone()
}

fn daemon() -> Draft {
    web("good:1").without("desiredCount").with("schedulingStrategy", json!("DAEMON"))
}

#[test]
fn a_service_is_created_with_one_task_or_with_all_when_it_is_not_probed() {
    for (draft, count) in [
        (web("good:1"), Some(json!(1))),
        (web("good:1").with("desiredCount", json!(0)), Some(json!(0))),
        (web("good:1").unprobed(), Some(json!(4))),
        (web("good:1").unprobed().without("desiredCount"), Some(json!(1))),
        (daemon(), None),
    ] {
        assert_eq!(body(&draft).get("desiredCount"), count.as_ref());
    }
}

#[test]
fn only_a_creation_with_fewer_tasks_than_wanted_is_called_a_probe() {
    for (draft, probe) in [(web("good:1"), true), (web("good:1").unprobed(), false)] {
        let plan = registered(&draft).plan(Some(&draft.service()));
        assert_eq!(plan.to_string().contains("with 1 of 4 tasks, as a probe"), probe, "{plan}");
        assert_eq!(plan.to_string().contains("probe of"), probe, "{plan}");
    }
}

#[test]
fn a_service_is_created_with_the_tags_of_its_manifest_and_remembers_their_keys() {
    let tags = |draft: &Draft| -> Vec<(Value, Value)> {
        let body = body(draft);
        let listed = body.get("tags").and_then(Value::as_array).cloned().unwrap_or_default();
        let part = |one: &Value, name: &str| one.get(name).cloned().unwrap_or_default();
        listed.iter().map(|one| (part(one, "key"), part(one, "value"))).collect()
    };
    let tagged = web("good:1").with("tags", json!([{ "key": "team", "value": "shop" }]));
    let with = tags(&tagged);
    assert!(with.contains(&(json!("team"), json!("shop"))), "{with:?}");
    assert!(with.contains(&(json!(tag::TAGS), json!("team"))), "{with:?}");
    let without = tags(&web("good:1"));
    assert!(without.iter().all(|(key, _)| key != tag::TAGS), "{without:?}");
}

fn token(ecs: &Ecs, draft: &Draft) -> String {
    let plan = ecs.plan(Some(&draft.service()));
    created(&plan).get("clientToken").and_then(Value::as_str).unwrap_or_default().to_owned()
}

#[test]
fn a_creation_whose_answer_was_lost_carries_the_same_token_and_any_other_another() {
    let draft = web("good:1");
    let mut ecs = registered(&draft);
    let first = token(&ecs, &draft);
    assert!(first.len() >= 32 && first.len() <= 36, "{first}");
    assert!(first.chars().all(|one| one.is_ascii_alphanumeric()), "{first}");
    ecs.later(60);
    assert_eq!(token(&ecs, &draft), first);

    let other = draft.clone().with("enableExecuteCommand", json!(true)).with(
        "networkConfiguration",
        json!({ "awsvpcConfiguration": { "subnets": ["subnet-2"] } }),
    );
    assert_ne!(token(&ecs, &other), first);

    drop(ecs.settle(&draft.service(), 100));
    ecs.members.as_mut().expect("created").insert("createdAt".to_owned(), json!(1_790_000_000));
    ecs.status = "INACTIVE".to_owned();
    assert_ne!(token(&ecs, &draft), first, "the former service had it");
}

#[test]
fn a_service_is_created_when_the_alarms_that_watch_it_exist_and_can_be_read() {
    let alarms = || vec!["5xx".to_owned(), "latency".to_owned()];
    let draft = web("good:1").judged(|breaker| breaker.alarms = alarms());
    let mut ecs = Ecs::new();
    let waits = |look: &Look, why: &str| {
        let plan = look.plan();
        assert_eq!(reasons(&plan), [WaitReason::Alarm], "{plan}");
        assert!(plan.to_string().contains(why), "{plan}");
    };
    ecs.alarm("5xx", "OK", 0);
    waits(&Look::at(&ecs, draft.service()), "alarm latency does not exist");
    ecs.alarm("latency", "OK", 0);
    drop(ecs.pass(&draft.service()));
    let mut look = Look::at(&ecs, draft.service());
    assert_eq!(created(&look.plan())["serviceName"], "web");
    look.seen.alarms = evenkeel_planner::Fact::Absent;
    waits(&look, "alarm 5xx does not exist");
    look.seen.alarms = failed();
    waits(&look, "alarm 5xx cannot be read");
}
