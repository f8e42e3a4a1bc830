//! The traffic of a service whose steps Evenkeel takes, while nothing is rolled out: what is put back, and what the guard
//! lets pass.

use std::time::Duration;

use evenkeel_manifest::Document;
use evenkeel_planner::{
    Call, Depth, Fact, Lane, Observed, Reweighing, TaskDefinition, Unknown, WaitReason, fields,
    history, plan, questions,
};
use serde_json::json;

use super::{Look, ago, assert_reweighs, before_the_first_step, definition, now, wanted, weights};
use crate::balanced::{GREEN, OTHER, PRODUCTION, TEST};
use crate::ecs::input;
use crate::manifests::{GROUP, key};

/// Only the first set stands, proven two hours ago, and gets all traffic.
fn at_rest() -> Look {
    let mut look = before_the_first_step();
    look.desired = wanted("good:1");
    look.tags.remove("evenkeel:rollout");
    let digest = &look.desired.revision_digest;
    let applied = format!("v1:{digest}:{}:lb", ago(7200).as_second());
    let proven = "arn:aws:ecs:eu-west-1:123456789012:task-definition/web:1".to_owned();
    let owner = "v1:test:shop/web.yaml".to_owned();
    let tags =
        [("evenkeel:digest", applied), ("evenkeel:proven", proven), ("evenkeel:owner", owner)];
    look.tags.extend(tags.map(|(key, value)| (key.to_owned(), value)));
    look.sets.pop();
    look
}

/// The same after somebody else gave a tenth to the group in which nothing stands.
fn astray() -> Look {
    Look { production: weights(900, 100), ..at_rest() }
}

fn put_back() -> Vec<(String, u32)> {
    vec![(GREEN.to_owned(), 0), (GROUP.to_owned(), 100)]
}

fn noted(look: &mut Look, seconds: i64) {
    let note = format!("v1:{}", ago(seconds).as_second());
    look.tags.insert("evenkeel:reweighed".to_owned(), note);
}

#[test]
fn at_rest_all_traffic_is_given_back_to_what_serves_and_that_is_noted_before() {
    assert_eq!(at_rest().waits(), "");
    for production in [weights(900, 100), weights(0, 1), weights(0, 0)] {
        let plan = Look { production, ..at_rest() }.plan();
        let [note, write] = plan.actions.as_slice() else { panic!("{plan}") };
        let Call::TagResource { tags, .. } = &note.call else { panic!("{plan}") };
        assert_eq!(tags["evenkeel:reweighed"], format!("v1:{}", now().as_second()));
        assert_reweighs(&write.call, PRODUCTION, &put_back());
    }
}

#[test]
fn what_the_task_set_has_in_the_place_of_the_service_is_no_difference_of_the_service() {
    let strategy = json!([{ "capacityProvider": "FARGATE_SPOT", "weight": 1 }]);
    let mut look = at_rest();
    let digest = look.tags["evenkeel:digest"].clone();
    look.tags.insert("evenkeel:digest".to_owned(), format!("{digest}+cp+pv"));
    look.sets[0]["capacityProviderStrategy"] = strategy;
    look.sets[0]["platformVersion"] = json!("1.4.0");
    let updates =
        look.plan().actions.into_iter().filter(|one| one.call.operation() == "UpdateService");
    assert_eq!(updates.count(), 0);
    let (key, seen) = (key(), look.seen());
    let all = fields(&input(&key, Some(&look.desired), &seen));
    let differing: Vec<&str> =
        all.iter().filter(|one| one.cause.is_some()).map(|one| one.path.as_str()).collect();
    assert_eq!(differing, [""; 0]);
}

#[test]
fn weights_are_put_back_once_an_hour_at_most_and_for_two_minutes_what_failed_is_made_again() {
    let mut look = astray();
    noted(&mut look, 110);
    assert_reweighs(&look.call(), PRODUCTION, &put_back());
    noted(&mut look, 130);
    assert!(look.waits().contains("once an hour at most"), "{}", look.waits());
    noted(&mut look, 3601);
    assert_eq!(look.plan().actions.len(), 2);
}

#[test]
fn weights_at_rest_are_left_alone_where_they_may_be_somebody_s_doing() {
    let mut paused = astray();
    paused.tags.insert("evenkeel:pause".to_owned(), "a move".to_owned());
    assert!(paused.waits().contains("are paused"), "{}", paused.waits());
    let mut held = astray();
    held.tags.insert("evenkeel:hold".to_owned(), "a move".to_owned());
    assert!(held.waits().contains("nothing is written"), "{}", held.waits());
    let mut shared = astray();
    shared.production.push((OTHER.to_owned(), 1));
    assert!(shared.waits().contains("which is not the service's"), "{}", shared.waits());
    let mut sick = astray();
    sick.sets[0]["computedDesiredCount"] = json!(5);
    assert!(sick.waits().contains("when all its tasks are healthy"), "{}", sick.waits());
}

#[test]
fn what_is_not_seen_of_the_weights_at_rest_is_not_drift() {
    let look = at_rest();
    let (key, mut seen) = (key(), look.seen());
    for why in [Unknown::NotAsked, Unknown::Failed { operation: "x".into(), message: "y".into() }] {
        seen.load_balancing = Fact::Unknown(why);
        let plan = plan(&input(&key, Some(&look.desired), &seen));
        assert_eq!((plan.actions.len(), plan.waiting.len()), (0, 0), "{plan}");
    }
    seen.load_balancing =
        Fact::Unknown(Unknown::Denied { operation: "x".into(), message: "y".into() });
    let plan = plan(&input(&key, Some(&look.desired), &seen));
    assert_eq!(plan.waiting[0].reason, WaitReason::NotPermitted, "{plan}");
}

#[test]
fn the_rule_at_rest_is_asked_by_the_way_and_what_differs_in_depth() {
    let (look, astray) = (at_rest(), astray());
    let first = questions(Some(&look.desired), None).expect("the first look");
    let asked = first.load_balancing.expect("the rule");
    assert_eq!((first.depth, asked.rules.len(), asked.target_groups.len()), (Depth::Shallow, 1, 0));
    assert_eq!(asked.max_age, Duration::from_mins(15));
    let shallow = |look: &Look| Observed { depth: Depth::Shallow, ..look.seen() };
    assert_eq!(questions(Some(&look.desired), Some(&shallow(&look))), None);
    let second = questions(Some(&astray.desired), Some(&shallow(&astray))).expect("a deep look");
    assert_eq!(second.depth, Depth::Deep);
    assert_eq!(second.load_balancing.map(|asked| asked.max_age), Some(Duration::ZERO));
}

#[test]
fn the_guard_lets_weights_at_rest_be_put_back_and_nothing_else() {
    let forge = |look: &Look, wanted| look.broken(look.weigh(wanted), Lane::NewChange);
    let mut look = astray();
    assert!(forge(&look, put_back()).contains("not noted before"));
    noted(&mut look, 600);
    assert!(forge(&look, put_back()).contains("within the hour"));
    noted(&mut look, 5);
    assert_eq!(forge(&look, put_back()), "");
    assert!(forge(&look, weights(950, 50)).contains("is given to ecs-svc/1 whole"));
    let tested = Reweighing { seen: look.test.clone(), wanted: put_back() };
    let tested = Call::ModifyRule { rule: TEST.to_owned(), weights: tested };
    assert!(look.broken(tested, Lane::NewChange).contains("is given to ecs-svc/1 whole"));
    look.sets[0]["computedDesiredCount"] = json!(5);
    assert!(forge(&look, put_back()).contains("were not seen to be healthy"));
    let mut paused = astray();
    noted(&mut paused, 5);
    paused.tags.insert("evenkeel:pause".to_owned(), "a move".to_owned());
    assert!(forge(&paused, put_back()).contains("are paused"));
}

#[test]
fn the_history_of_task_sets_is_what_is_there_newest_first_with_what_is_proven() {
    let arn = |number: u64| definition(number, "good:1").arn;
    let mut look = before_the_first_step();
    look.tags.insert("evenkeel:proven".to_owned(), arn(1));
    let mut seen = look.seen();
    let content = json!({"containerDefinitions": [{"name": "web", "image": "good:2"}]});
    let known =
        TaskDefinition { document: Some(Document::new(&content)), ..definition(2, "good:2") };
    seen.task_definitions = Fact::Known(vec![known]);
    let told: Vec<_> = history(&seen)
        .expect("they are there")
        .into_iter()
        .map(|one| (one.status, one.revision, one.task_definition, one.images, one.is_proven))
        .collect();
    let row = |status: &str, number: u64, images: &[&str], is_proven| {
        let images: Vec<String> = images.iter().map(|&one| one.to_owned()).collect();
        let id = format!("ecs-svc/{number}");
        (status.to_owned(), Some(id), Some(arn(number)), images, is_proven)
    };
    assert_eq!(told, [row("ACTIVE", 2, &["good:2"], false), row("PRIMARY", 1, &[], true)]);
}
