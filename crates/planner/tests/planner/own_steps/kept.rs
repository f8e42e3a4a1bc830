//! What is PRIMARY while what it replaced is kept, and when that is deleted.

use evenkeel_planner::Alarm;

use super::*;

/// Set 2 is PRIMARY with all traffic since so long.
fn kept_for(seconds: i64) -> Look {
    let mut look = baking_for(30);
    look.sets = vec![set(1, GROUP, "ACTIVE", 100.0), set(2, GREEN, "PRIMARY", 100.0)];
    (look.production, look.healthy) = (weights(0, 100), 4);
    look.mark("keep1", seconds);
    look
}

/// The same with nothing beside it.
fn alone() -> Look {
    let mut look = kept_for(301);
    look.sets.remove(0);
    look
}

/// What is waited for under an alarm that the manifest names, and that went off long ago; without one it is deleted.
fn waits_under(mut look: Look, alarm: Option<&str>) -> String {
    look.desired.rollout.breaker.alarms = vec!["5xx".to_owned()];
    let (key, mut seen) = (key(), look.seen());
    let named = |state: &str| Alarm {
        name: "5xx".to_owned(),
        state: state.to_owned(),
        reason: None,
        since: Some(ago(7200)),
    };
    seen.alarms = Fact::Known(alarm.map(named).into_iter().collect());
    let input = input(&key, Some(&look.desired), &seen);
    let plan = plan(&input);
    assert_eq!(check(&plan, &input), Ok(()), "{plan}");
    let waits: Vec<&str> = plan.waiting.iter().map(|wait| wait.sentence.as_str()).collect();
    assert_eq!(plan.actions.is_empty(), !waits.is_empty(), "{plan}");
    waits.join("\n")
}

#[test]
fn what_was_replaced_is_not_deleted_under_a_red_or_deleted_alarm_and_nothing_is_proven() {
    for look in [|| kept_for(301), alone] {
        let red = waits_under(look(), Some("ALARM"));
        assert!(red.contains("alarm 5xx is in ALARM"), "{red}");
        let gone = waits_under(look(), None);
        assert!(gone.contains("alarm 5xx does not exist"), "{gone}");
        assert_eq!(waits_under(look(), Some("OK")), "");
    }
}

#[test]
fn what_was_replaced_is_not_deleted_while_what_serves_is_not_healthy() {
    let look = Look { healthy: 3, ..kept_for(301) };
    assert!(look.waits().contains("4 tasks are to be healthy"), "{}", look.waits());
}

#[test]
fn what_was_replaced_is_not_deleted_while_a_person_paused_rollouts() {
    let mut look = kept_for(301);
    look.tags.insert("evenkeel:pause".to_owned(), "a look".to_owned());
    assert!(look.waits().contains("are paused"), "{}", look.waits());
    let mut alone = alone();
    alone.tags.insert("evenkeel:pause".to_owned(), "a look".to_owned());
    assert!(!alone.plan().actions.is_empty(), "a pause is no judgement: {}", alone.plan());
}

/// A verdict on what is PRIMARY was taken back, and with it the memory of its rollout.
fn tried_again(production: Vec<(String, u32)>) -> Look {
    let mut look = Look { production, ..kept_for(100) };
    look.tags.remove("evenkeel:rollout");
    look.gave_back();
    look
}

#[test]
fn a_verdict_that_is_taken_back_gives_traffic_only_to_what_is_healthy_and_keeps_what_was_replaced()
{
    let sick = Look { healthy: 3, ..tried_again(weights(100, 0)) };
    assert!(sick.waits().contains("4 tasks are to be healthy"), "{}", sick.waits());
    let red = waits_under(tried_again(weights(100, 0)), Some("ALARM"));
    assert!(red.contains("alarm 5xx is in ALARM"), "{red}");
    assert_reweighs(
        &tried_again(weights(100, 0)).given_back(),
        PRODUCTION,
        &[(GROUP.to_owned(), 0), (GREEN.to_owned(), 100)],
    );
    let mut untested = tried_again(weights(0, 100));
    untested.test = weights(100, 0);
    assert_reweighs(&untested.call(), TEST, &[(GROUP.to_owned(), 0), (GREEN.to_owned(), 100)]);
    let call = tried_again(weights(0, 100)).call();
    let Call::TagResource { tags, .. } = call else { panic!("{call:?}") };
    assert!(tags["evenkeel:rollout"].contains(":ecs-svc/2:keep0:"), "{tags:?}");
}

#[test]
fn newer_content_that_is_given_up_beside_an_unproven_primary_loses_its_traffic_as_before() {
    let mut look = kept_for(100);
    look.tags.remove("evenkeel:rollout");
    look.sets[0]["createdAt"] = json!(ago(100).as_second());
    look.production = weights(10, 90);
    let all = [(GROUP.to_owned(), 0), (GREEN.to_owned(), 100)];
    assert_reweighs(&look.given_back(), PRODUCTION, &all);
}

#[test]
fn a_count_that_git_changes_while_what_was_replaced_is_kept_is_applied() {
    let mut look = kept_for(100);
    let strategy = look.desired.rollout.strategy.clone();
    let draft = web("good:2")
        .with("loadBalancers", balancers(PRODUCTION, Some(TEST)))
        .with("deploymentController", json!({"type": "EXTERNAL"}))
        .with("desiredCount", json!(6));
    look.desired = draft.service();
    look.desired.rollout.strategy = strategy;
    look.mark("keep1", 100);
    let Call::UpdateService { input } = look.call() else { panic!("{}", look.plan()) };
    assert_eq!(input["desiredCount"], 6);
}

/// A third revision is wanted.
fn overtaken(mut look: Look) -> Look {
    look.desired = wanted("good:3");
    look
}

fn paused(mut look: Look) -> Look {
    look.tags.insert("evenkeel:pause".to_owned(), "v1:1789999990:ann:lunch".to_owned());
    look
}

#[test]
fn what_was_replaced_is_kept_on_while_newer_content_may_not_start() {
    let waits = paused(overtaken(kept_for(200))).waits();
    assert!(waits.contains("are kept") && waits.contains("are paused"), "{waits}");
    assert!(matches!(overtaken(kept_for(200)).call(), Call::DeleteTaskSet { .. }), "it may start");
    let mut ill = paused(overtaken(alone()));
    ill.healthy = 3;
    assert!(ill.waits().contains("4 tasks are to be healthy"), "{}", ill.waits());
    let well = paused(overtaken(alone()));
    assert!(matches!(well.call(), Call::UntagResource { .. }), "{}", well.plan());
}

#[test]
fn what_newer_content_is_to_replace_is_judged_while_that_may_not_start() {
    let rolled_out = kept_for(200).desired.revision_digest;
    let mut look = paused(overtaken(kept_for(200)));
    look.desired.rollout.breaker.alarms = vec!["5xx".to_owned()];
    let (key, mut seen) = (key(), look.seen());
    seen.alarms = Fact::Known(vec![Alarm {
        name: "5xx".to_owned(),
        state: "ALARM".to_owned(),
        reason: None,
        since: Some(ago(30)),
    }]);
    let input = input(&key, Some(&look.desired), &seen);
    let plan = plan(&input);
    assert_eq!(check(&plan, &input), Ok(()), "{plan}");
    assert_eq!(plan.verdict.as_ref().map(|verdict| &verdict.digest), Some(&rolled_out));
    let [action] = plan.actions.as_slice() else { panic!("{plan}") };
    let Call::TagResource { tags, .. } = &action.call else { panic!("{plan}") };
    let rejected = &tags["evenkeel:rejected"];
    assert!(rejected.starts_with(&format!("v1:{rolled_out}:")), "{rejected}");
}
