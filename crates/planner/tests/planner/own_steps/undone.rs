//! The way back from what has all traffic, when nothing of what was proven stands any more.

use evenkeel_planner::{Command, Order, Refusal, check_order, obey};

use super::*;

const PROVEN: &str = "arn:aws:ecs:eu-west-1:123456789012:task-definition/web:1";

/// Set 2 is PRIMARY and alone, and was rejected; `good:1` was proven before.
fn alone_and_rejected() -> Look {
    let mut look = baking_for(30).rejected();
    look.tags.insert("evenkeel:proven".to_owned(), PROVEN.to_owned());
    look.sets = vec![set(2, GREEN, "PRIMARY", 100.0)];
    (look.production, look.test, look.healthy) = (weights(0, 100), weights(0, 100), 4);
    look
}

/// A set of `good:1` was made for the return, with so many tasks.
fn made_anew(count: u64) -> Look {
    let mut look = alone_and_rejected();
    let mut anew = set(1, GROUP, "ACTIVE", 100.0);
    (anew["createdAt"], anew["computedDesiredCount"]) = (json!(ago(100).as_second()), json!(count));
    look.sets.push(anew);
    look
}

/// Set 2 is PRIMARY, alone and proven, and nothing is rolled out.
fn settled() -> Look {
    let mut look = alone_and_rejected();
    for key in ["evenkeel:rollout", "evenkeel:rejected"] {
        look.tags.remove(key);
    }
    let digest = &look.desired.revision_digest;
    let applied = format!("v1:{digest}:{}:", ago(300).as_second());
    look.tags.insert("evenkeel:digest".to_owned(), applied);
    look.tags.insert("evenkeel:proven".to_owned(), PROVEN.replace("web:1", "web:2"));
    look
}

/// What is written when a person says so; the guard must agree.
fn undone(look: &Look, to: Option<&str>) -> Result<BTreeMap<String, String>, Refusal> {
    let (key, seen) = (key(), look.seen());
    let input = input(&key, Some(&look.desired), &seen);
    let command = Command::Undo { to: to.map(str::to_owned) };
    let order = Order { command, who: "ann@laptop".into(), why: "a bad day".into() };
    let obeyed = obey(&input, &order)?;
    assert_eq!(check_order(&obeyed.actions, &input), Ok(()), "{obeyed:?}");
    let [Action { call: Call::TagResource { tags, .. }, .. }] = obeyed.actions.as_slice() else {
        panic!("{obeyed:?}")
    };
    Ok(tags.clone())
}

#[test]
fn what_was_proven_is_made_anew_beside_what_is_left() {
    let Call::CreateTaskSet { input } = alone_and_rejected().call() else {
        panic!("{}", alone_and_rejected().plan())
    };
    assert_eq!(input["taskDefinition"], PROVEN);
    assert_eq!(input["loadBalancers"][0]["targetGroupArn"], GROUP);
    assert_eq!(input["scale"]["value"], 100.0);
}

#[test]
fn a_return_gets_traffic_when_all_its_tasks_are_healthy_and_the_place_after_it() {
    let waits = made_anew(5).waits();
    assert!(waits.contains("4 of 5 tasks of ecs-svc/1 are healthy"), "{waits}");
    let mut look = made_anew(4);
    let all = [(GREEN.to_owned(), 0), (GROUP.to_owned(), 100)];
    assert_reweighs(&look.given_back(), PRODUCTION, &all);
    look.production = weights(100, 0);
    look.gave_back();
    assert_reweighs(&look.call(), TEST, &all);
    look.test = weights(100, 0);
    assert!(matches!(look.call(), Call::UpdateServicePrimaryTaskSet { .. }), "{}", look.plan());
}

#[test]
fn a_return_whose_traffic_was_moved_goes_on_although_a_task_fails() {
    let mut look = Look { production: weights(100, 0), test: weights(100, 0), ..made_anew(5) };
    assert!(look.waits().contains("4 of 5 tasks"), "it may be from before: {}", look.waits());
    look.gave_back();
    assert!(matches!(look.call(), Call::UpdateServicePrimaryTaskSet { .. }), "{}", look.plan());
}

#[test]
fn new_content_ends_a_return_that_no_user_has_felt() {
    for mut look in [alone_and_rejected(), made_anew(4)] {
        look.desired = wanted("good:3");
        let Call::UntagResource { keys, .. } = look.call() else { panic!("{}", look.plan()) };
        assert_eq!(keys, ["evenkeel:rollout"]);
    }
    // The rule may be from before the return got all traffic.
    let mut moved = made_anew(4);
    moved.desired = wanted("good:3");
    moved.gave_back();
    assert_reweighs(
        &moved.given_back(),
        PRODUCTION,
        &[(GREEN.to_owned(), 0), (GROUP.to_owned(), 100)],
    );
    let mut felt = made_anew(4);
    (felt.desired, felt.production) = (wanted("good:3"), weights(90, 10));
    assert_reweighs(
        &felt.given_back(),
        PRODUCTION,
        &[(GREEN.to_owned(), 0), (GROUP.to_owned(), 100)],
    );
}

#[test]
fn nothing_is_made_of_what_was_rejected_or_was_before_task_sets_or_where_traffic_goes() {
    let mut same = alone_and_rejected();
    same.tags.insert("evenkeel:proven".to_owned(), PROVEN.replace("web:1", "web:2"));
    assert!(same.waits().contains("has the content of the proven revision"), "{}", same.waits());
    let mut before = alone_and_rejected();
    let revision = "arn:aws:ecs:eu-west-1:123456789012:service-revision/prod/web/7".to_owned();
    before.tags.insert("evenkeel:proven".to_owned(), revision);
    assert!(before.waits().contains("there is nothing to return to"), "{}", before.waits());
    let given = Look { production: weights(10, 90), ..alone_and_rejected() };
    assert!(given.waits().contains("gets production traffic already"), "{}", given.waits());
}

#[test]
fn a_settled_release_is_left_for_the_task_definition_that_is_named() {
    let look = settled();
    for name in ["web:1", PROVEN] {
        let tags = undone(&look, Some(name)).expect("it is known");
        assert_eq!(tags["evenkeel:proven"], PROVEN);
        assert!(tags["evenkeel:rollout"].contains(":ecs-svc/2:rollback:"), "{tags:?}");
        let mut left = settled();
        left.tags.extend(tags);
        assert!(matches!(left.call(), Call::CreateTaskSet { .. }), "{}", left.plan());
    }
}

#[test]
fn an_undo_says_that_the_task_definition_must_be_named_and_takes_no_other() {
    let refused = |to| undone(&settled(), to).expect_err("it is refused").0;
    assert!(refused(None).contains("--to web:REVISION"), "{}", refused(None));
    assert!(refused(Some("web:2")).contains("already"), "{}", refused(Some("web:2")));
    for name in ["7", "api:1", "web:x"] {
        assert!(refused(Some(name)).contains("no revision of the family web"), "{name}");
    }
}

#[test]
fn the_guard_makes_nothing_anew_but_what_was_proven_and_only_on_the_way_back() {
    let create = |definition: &str| Call::CreateTaskSet {
        input: json!({
            "cluster": "prod", "service": "web", "taskDefinition": definition,
            "loadBalancers": [{"targetGroupArn": GROUP}],
        }),
    };
    let look = alone_and_rejected();
    assert_eq!(look.broken(create(PROVEN), Lane::Rollback), "");
    let other = PROVEN.replace("web:1", "web:2");
    assert!(look.broken(create(&other), Lane::Rollback).contains("was rejected"));
    assert!(look.broken(create(PROVEN), Lane::NewChange).contains("was rejected"));
    let mut at_rest = alone_and_rejected();
    at_rest.tags.remove("evenkeel:rollout");
    assert!(at_rest.broken(create(PROVEN), Lane::Rollback).contains("was rejected"));
}

#[test]
fn the_guard_gives_a_return_no_traffic_before_its_tasks_are_healthy() {
    let back = |look: &Look| look.broken(look.weigh(weights(100, 0)), Lane::Rollback);
    assert_eq!(back(&made_anew(4)), "");
    assert!(back(&made_anew(5)).contains("4 of 5 targets"));
    let mut kept = made_anew(5);
    kept.sets[1]["createdAt"] = json!(ago(900).as_second());
    assert_eq!(back(&kept), "", "what served before needs not be seen to be healthy");
}
