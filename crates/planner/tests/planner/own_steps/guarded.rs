//! What the guard refuses of forged steps.

use super::*;

#[test]
fn the_guard_lets_no_traffic_go_where_it_should_not() {
    let look = before_the_first_step();
    let forge = |look: &Look, wanted| look.broken(look.weigh(wanted), Lane::RolloutStep);
    assert_eq!(forge(&look, weights(900, 100)), "");
    let to_other = vec![(GROUP.to_owned(), 1), (OTHER.to_owned(), 1)];
    assert!(forge(&look, to_other).contains("not a target group of the manifest"));
    let unhealthy = Look { healthy: 0, ..before_the_first_step() };
    assert!(forge(&unhealthy, weights(900, 100)).contains("0 of 1 targets"));
    let mut empty = before_the_first_step();
    empty.sets.remove(1);
    assert!(forge(&empty, weights(900, 100)).contains("no task set stands in"));
    let rejected = before_the_first_step().rejected();
    assert!(forge(&rejected, weights(900, 100)).contains("was rejected"));
    let weights_of_before = Reweighing { seen: weights(1, 1), wanted: weights(900, 100) };
    let stale = Call::ModifyRule { rule: PRODUCTION.to_owned(), weights: weights_of_before };
    assert!(look.broken(stale, Lane::RolloutStep).contains("not as it is said to be"));
    let foreign = Call::ModifyRule {
        rule: PRODUCTION.replace("/3", "/9"),
        weights: Reweighing { seen: weights(100, 0), wanted: weights(0, 100) },
    };
    assert!(look.broken(foreign, Lane::RolloutStep).contains("something else than prod/web"));
}

#[test]
fn the_guard_lets_no_traffic_rise_against_people_alarms_and_windows() {
    let forge = |look: &Look| look.broken(look.weigh(weights(900, 100)), Lane::RolloutStep);
    let mut paused = before_the_first_step();
    paused.tags.insert("evenkeel:pause".to_owned(), "a freeze".to_owned());
    assert!(forge(&paused).contains("are paused"));
    let mut watched = before_the_first_step();
    watched.desired.rollout.breaker.alarms = vec!["5xx".to_owned()];
    assert!(forge(&watched).contains("alarm 5xx is red or not seen"));
    let mut frozen = before_the_first_step();
    let mut night = window(None, Some("* * * * *"), "1h");
    night.in_flight = InFlight::Pause;
    frozen.desired.rollout.windows = vec![night];
    assert!(forge(&frozen).contains("rollouts are frozen"));
    for mut look in [paused, watched, frozen] {
        let word = format!("v1:{}:take-1:1790000000:ann:now", look.desired.revision_digest);
        look.tags.insert("evenkeel:promote".to_owned(), word);
        assert_eq!(forge(&look), "");
    }
}

/// What the guard says of a mark that begins now.
fn tag(look: &Look, phase: &str) -> String {
    let digest = &look.desired.revision_digest;
    let mark = format!("v1:{digest}:ecs-svc/2:{phase}:{}", now().as_second());
    let arn = "arn:aws:ecs:eu-west-1:123456789012:service/prod/web".to_owned();
    let tags = [("evenkeel:rollout".to_owned(), mark)].into();
    look.broken(Call::TagResource { arn, tags }, Lane::RolloutStep)
}

#[test]
fn the_guard_lets_a_rollout_begin_anew_only_where_its_traffic_was_given_back() {
    let mut look = baking_for(60);
    assert!(tag(&look, "step0").contains("step 1 does not follow step 1"));
    look.gave_back();
    assert_eq!(tag(&look, "step0"), "");
    look.mark("bake1", 0);
    assert!(tag(&look, "step0").contains("step 1 does not follow step 2"), "given back before it");
}

#[test]
fn the_guard_lets_a_bake_be_left_for_the_last_step_where_nobody_is_served() {
    let mut look = baking_for(10);
    assert!(tag(&look, "step1").contains("step 1 has baked for 10s only"));
    look.sets.remove(0);
    assert_eq!(tag(&look, "step1"), "");
    assert!(tag(&look, "step0").contains("step 1 does not follow step 1"));
}

#[test]
fn the_guard_lets_no_step_follow_before_its_time_or_without_its_approval() {
    assert_eq!(tag(&baking_for(60), "step1"), "");
    assert!(tag(&baking_for(59), "step1").contains("step 1 has baked for 59s only"));
    assert!(tag(&baking_for(60), "step2").contains("step 3 does not follow step 1"));
    let mut look = baking_for(60);
    if let Strategy::Steps(steps) = &mut look.desired.rollout.strategy {
        steps.steps[0].approve = true;
    }
    assert!(tag(&look, "step1").contains("no person approved step 1"));
    let word = format!("v1:{}:step-1:1790000000:ann:go", look.desired.revision_digest);
    look.tags.insert("evenkeel:promote".to_owned(), word);
    assert_eq!(tag(&look, "step1"), "");
}

#[test]
fn the_guard_lets_nothing_be_deleted_that_users_get() {
    let look = baking_for(30);
    let delete = deletes;
    assert!(look.broken(delete(2), Lane::Rollback).contains("ecs-svc/2 gets traffic"));
    assert!(look.broken(delete(1), Lane::Rollback).contains("is the PRIMARY task set"));
    assert!(look.broken(delete(7), Lane::Rollback).contains("something else than prod/web"));
    let mut idle = Look { production: weights(100, 0), ..baking_for(30) };
    let refused = idle.broken(delete(2), Lane::Rollback);
    assert!(refused.contains("nothing was given back since"), "{refused}");
    idle.gave_back();
    assert_eq!(idle.broken(delete(2), Lane::Rollback), "");
    let unasked = Call::DeleteTaskSet { input: about_set(2, "taskSet"), unused: None };
    assert!(idle.broken(unasked, Lane::Rollback).contains("is not asked once more"));
}

#[test]
fn the_guard_makes_primary_only_what_gets_all_traffic() {
    let promote = || Call::UpdateServicePrimaryTaskSet { input: about_set(2, "primaryTaskSet") };
    assert!(
        baking_for(30).broken(promote(), Lane::RolloutStep).contains("does not get all traffic")
    );
    let all = Look { production: weights(0, 100), ..baking_for(30) };
    assert_eq!(all.broken(promote(), Lane::RolloutStep), "");
}

#[test]
fn the_guard_lets_no_task_set_be_made_where_another_stands_or_traffic_goes() {
    let create = |group: &str| Call::CreateTaskSet {
        input: json!({
            "cluster": "prod", "service": "web",
            "taskDefinition": "arn:aws:ecs:eu-west-1:123456789012:task-definition/web:2",
            "loadBalancers": [{"targetGroupArn": group}],
        }),
    };
    let mut look = before_the_first_step();
    assert!(look.broken(create(GREEN), Lane::NewChange).contains("another task set is in"));
    look.sets.remove(1);
    assert_eq!(look.broken(create(GREEN), Lane::NewChange), "");
    look.production = weights(90, 10);
    assert!(
        look.broken(create(GREEN), Lane::NewChange).contains("gets production traffic already")
    );
}

#[test]
fn the_guard_lets_the_first_gate_open_once_and_nothing_rise_before() {
    let mut look = asked_before_the_first_step();
    let forged = |look: &Look| look.broken(look.weigh(weights(900, 100)), Lane::RolloutStep);
    assert!(forged(&look).contains("nothing was tested before the first step"));
    assert_eq!(tag(&look, "test0"), "");
    look.mark("test0", 300);
    assert_eq!(forged(&look), "");
    assert!(tag(&look, "test0").contains("a gate opens once"));
    assert!(tag(&baking_for(30), "test0").contains("a gate opens once"));
}

#[test]
fn nothing_is_registered_before_the_first_task_set_while_revisions_cannot_be_read() {
    let look = Look { sets: Vec::new(), ..before_the_first_step() };
    let (key, mut seen) = (key(), look.seen());
    seen.searched = Some(look.desired.task_definition_digest.clone());
    for (found, registers) in [(Fact::Known(Vec::new()), true), (crate::looks::failed(), false)] {
        seen.task_definitions = found;
        let input = input(&key, Some(&look.desired), &seen);
        let plan = plan(&input);
        assert_eq!(check(&plan, &input), Ok(()), "{plan}");
        assert_eq!(!plan.actions.is_empty(), registers, "{plan}");
    }
}
