//! What becomes of fields that somebody else changed, by the manifest's policy and by how often they do.

use evenkeel_manifest::DriftPolicy;
use evenkeel_planner::{Cause, ConditionKind, ConditionStatus, fields, tag};
use serde_json::{Value, json};

use crate::ecs::{Ecs, input};
use crate::manifests::{Draft, key, web};
use crate::plans::settled;

const EXEC: &str = "enableExecuteCommand";

/// Without a shell into its tasks, under a policy.
fn shut(image: &str, policy: DriftPolicy) -> Draft {
    web(image).with(EXEC, json!(false)).under(EXEC, policy)
}

fn network(subnet: &str, group: &str) -> Value {
    json!({ "awsvpcConfiguration": { "subnets": [subnet], "securityGroups": [group] } })
}

/// Whose security groups are somebody else's business.
fn guarded(image: &str, subnet: &str) -> Draft {
    let groups = "networkConfiguration.awsvpcConfiguration.securityGroups";
    web(image)
        .with("networkConfiguration", network(subnet, "sg-1"))
        .under(groups, DriftPolicy::Ignore)
}

fn tags(team: &str) -> Value {
    json!([{ "key": "team", "value": team }, { "key": "tier", "value": "1" }])
}

/// A member of the service as it is in AWS.
fn live<'e>(ecs: &'e Ecs, member: &str) -> Option<&'e Value> {
    let members = ecs.members.as_ref().expect("it exists");
    members.get(member).or_else(|| ecs.deployments.first()?.content.get(member))
}

#[test]
fn what_is_reported_is_told_with_since_when_and_is_not_written() {
    let desired = shut("good:1", DriftPolicy::Report).service();
    let mut ecs = settled(&shut("good:1", DriftPolicy::Report));
    ecs.update(&json!({ EXEC: true }));
    ecs.writes.clear();
    drop(ecs.pass(&desired));
    let first_seen = ecs.at();
    ecs.later(600);
    let plan = ecs.pass(&desired);
    assert_eq!((plan.to_string().as_str(), ecs.writes.len()), ("nothing to do\n", 0));
    let status = ecs.status(&desired);
    let [drifted] = status.drift.as_slice() else { panic!("{:?}", status.drift) };
    assert_eq!(
        (drifted.path.as_str(), drifted.since),
        ("service.enableExecuteCommand", first_seen)
    );
    let values = [&drifted.last, &drifted.wanted, &drifted.live].map(Clone::clone);
    assert_eq!(values, [Some(json!(false)), Some(json!(false)), Some(json!(true))]);
    let condition = status.condition(ConditionKind::Drifted).expect("always there");
    assert_eq!((condition.status, condition.reason), (ConditionStatus::True, "Reported"));
    let ready = status.condition(ConditionKind::Ready).expect("always there");
    assert_eq!(ready.status, ConditionStatus::True, "{}", ready.message);
}

#[test]
fn what_is_ignored_is_no_difference_and_is_named_among_the_fields() {
    let draft = shut("good:1", DriftPolicy::Ignore);
    let (desired, mut ecs) = (draft.service(), settled(&draft));
    ecs.update(&json!({ EXEC: true }));
    assert_eq!(ecs.pass(&desired).to_string(), "nothing to do\n");
    let status = ecs.status(&desired);
    assert_eq!(status.drift, []);
    assert_eq!(status.condition(ConditionKind::Drifted).expect("there").reason, "NotDrifted");
    let (key, seen) = (key(), ecs.look(Some(&desired)));
    let fields = fields(&input(&key, Some(&desired), &seen));
    let field = fields.iter().find(|one| one.policy.is_some()).expect("it is named");
    assert_eq!((field.policy, field.cause), (Some(DriftPolicy::Ignore), None::<Cause>));
    assert_eq!((&field.wanted, &field.live), (&Some(json!(false)), &Some(json!(true))));
}

#[test]
fn what_the_manifest_changes_is_applied_whatever_the_policy() {
    let mut ecs = settled(&shut("good:1", DriftPolicy::Ignore));
    ecs.update(&json!({ EXEC: true }));
    let open = shut("good:1", DriftPolicy::Ignore).with(EXEC, json!(true));
    drop(ecs.act(&open.service()));
    ecs.update(&json!({ EXEC: false }));
    assert_eq!(ecs.pass(&open.service()).to_string(), "nothing to do\n");
    drop(ecs.act(&shut("good:1", DriftPolicy::Ignore).with(EXEC, json!(false)).service()));
    assert_eq!(live(&ecs, EXEC), Some(&json!(false)));
}

#[test]
fn a_new_field_is_applied_although_its_policy_is_new_too() {
    let mut ecs = settled(&web("good:1"));
    let desired = web("good:1").with(EXEC, json!(true)).under(EXEC, DriftPolicy::Report).service();
    drop(ecs.act(&desired));
    assert_eq!(live(&ecs, EXEC), Some(&json!(true)));
}

#[test]
fn a_change_that_git_takes_back_before_its_pass_ends_is_taken_back_live_too() {
    let (shut, open) = (shut("good:1", DriftPolicy::Ignore), web("good:1").with(EXEC, json!(true)));
    let open = open.under(EXEC, DriftPolicy::Ignore);
    for carried_out in 1..=2 {
        let mut ecs = settled(&shut);
        let plan = ecs.plan(Some(&open.service()));
        for action in plan.actions.iter().take(carried_out) {
            ecs.apply(&action.call);
        }
        drop(ecs.act(&shut.service()));
        assert_eq!(live(&ecs, EXEC), Some(&json!(false)), "after {carried_out} calls");
    }
}

#[test]
fn a_rollout_leaves_what_policy_keeps_out_of_its_call() {
    let mut ecs = settled(&shut("good:1", DriftPolicy::Report));
    ecs.update(&json!({ EXEC: true }));
    drop(ecs.settle(&shut("good:2", DriftPolicy::Report).service(), 100));
    assert_eq!(ecs.primary_image(), "good:2");
    assert_eq!(live(&ecs, EXEC), Some(&json!(true)));
}

#[test]
fn a_part_of_what_is_written_whole_is_sent_as_it_is_live() {
    let mut ecs = settled(&guarded("good:1", "subnet-1"));
    ecs.update(&json!({ "networkConfiguration": network("subnet-1", "sg-theirs") }));
    drop(ecs.settle(&guarded("good:1", "subnet-1").service(), 60));
    ecs.later(2 * 3600);
    let plan = ecs.settle(&guarded("good:1", "subnet-1").service(), 60);
    assert_eq!(plan.to_string(), "nothing to do\n");
    drop(ecs.settle(&guarded("good:1", "subnet-2").service(), 100));
    let sent = live(&ecs, "networkConfiguration").expect("it has one");
    let part = |name| sent.pointer(&format!("/awsvpcConfiguration/{name}/0"));
    assert_eq!(part("subnets"), Some(&json!("subnet-2")));
    assert_eq!(part("securityGroups"), Some(&json!("sg-theirs")));
}

#[test]
fn somebody_s_deployment_is_waited_for_before_policy_keeps_what_it_brought() {
    let desired = guarded("good:1", "subnet-1").service();
    let mut ecs = settled(&guarded("good:1", "subnet-1"));
    ecs.update(&json!({ "networkConfiguration": network("subnet-1", "sg-theirs") }));
    ecs.tick();
    let plan = ecs.pass(&desired);
    assert!(plan.actions.is_empty() && !plan.waiting.is_empty(), "{plan}");
    assert!(!ecs.tags.contains_key(tag::ROLLOUT), "it is not ours");
}

#[test]
fn a_tag_under_a_policy_stays_and_the_others_are_healed() {
    let draft = web("good:1").with("tags", tags("shop")).under("tags[team]", DriftPolicy::Ignore);
    let (desired, mut ecs) = (draft.service(), settled(&draft));
    ecs.tags.insert("team".to_owned(), "pay".to_owned());
    ecs.tags.insert("tier".to_owned(), "9".to_owned());
    drop(ecs.act(&desired));
    let of = |key: &str| ecs.tags.get(key).map(String::as_str);
    assert_eq!(
        (of("team"), of("tier"), of(tag::TAGS)),
        (Some("pay"), Some("1"), Some("team tier"))
    );
}

#[test]
fn a_count_that_policy_keeps_is_not_raised_from_zero() {
    let draft = |image| web(image).under("desiredCount", DriftPolicy::Report);
    let mut ecs = settled(&draft("good:1"));
    ecs.update(&json!({ "desiredCount": 0 }));
    drop(ecs.settle(&draft("good:2").service(), 100));
    assert_eq!((ecs.primary_image().as_str(), ecs.count()), ("good:2", 0));
}

#[test]
fn the_default_is_of_every_field_but_what_evenkeel_sets_itself() {
    let mut draft = web("good:1").with(EXEC, json!(false));
    draft.drift.default = DriftPolicy::Ignore;
    let mut ecs = settled(&draft);
    ecs.update(&json!({ EXEC: true, "desiredCount": 7, "deploymentConfiguration": { "maximumPercent": 150 } }));
    drop(ecs.act(&draft.service()));
    assert_eq!((live(&ecs, EXEC), ecs.count()), (Some(&json!(true)), 7));
    let percent = live(&ecs, "deploymentConfiguration").and_then(|one| one.get("maximumPercent"));
    assert_eq!(percent, Some(&json!(200)));
}

/// A rival that sets the count whenever it is healed, for so many minutes.
fn fight(ecs: &mut Ecs, draft: &Draft, minutes: i64) -> Vec<i64> {
    let (desired, began, mut healed) = (draft.service(), ecs.now, Vec::new());
    for _ in 0..minutes * 6 {
        ecs.update(&json!({ "desiredCount": 9 }));
        if !ecs.pass(&desired).actions.is_empty() {
            healed.push((ecs.now - began) / 60);
        }
        ecs.later(10);
    }
    healed
}

#[test]
fn a_field_that_is_changed_back_is_healed_less_and_less_often_and_then_hourly() {
    let mut ecs = settled(&web("good:1"));
    assert_eq!(fight(&mut ecs, &web("good:1"), 180), [0, 1, 3, 7, 15, 75, 135]);
    let status = ecs.status(&web("good:1").service());
    let condition = status.condition(ConditionKind::Drifted).expect("always there");
    assert_eq!((condition.status, condition.reason), (ConditionStatus::True, "ChangedBack"));
    insta::assert_snapshot!(condition.message, @"service.desiredCount was changed back 7 times: someone else writes it; it is left alone until 2026-09-21T19:30:05Z and then tried once an hour, or at once after a new commit or `evenkeel rollout retry`");
    let ready = status.condition(ConditionKind::Ready).expect("always there");
    assert_eq!((ready.status, ready.reason), (ConditionStatus::False, "Drifted"));
    assert_eq!(status.drift.iter().map(|one| one.healed).collect::<Vec<_>>(), [7]);
}

#[test]
fn when_the_rival_has_stopped_for_an_hour_or_the_manifest_changes_healing_begins_anew() {
    let mut ecs = settled(&web("good:1"));
    drop(fight(&mut ecs, &web("good:1"), 60));
    let other = web("good:1").with(EXEC, json!(false));
    assert_eq!(fight(&mut ecs, &other, 2), [0, 1]);
    drop(fight(&mut ecs, &other, 60));
    for _ in 0..130 {
        drop(ecs.pass(&other.service()));
        ecs.later(60);
    }
    assert_eq!(fight(&mut ecs, &other, 2), [0, 1]);
}

#[test]
fn a_rollout_ends_although_somebody_fights_for_the_count() {
    let mut ecs = settled(&web("good:1"));
    let desired = web("good:2").service();
    let mut healed = 0;
    for _ in 0..240 {
        let is_widening = ecs.tags.get(tag::ROLLOUT).is_some_and(|mark| mark.contains(":widen:"));
        if is_widening {
            ecs.update(&json!({ "desiredCount": 9 }));
        }
        ecs.writes.clear();
        drop(ecs.pass(&desired));
        healed += ecs.writes.iter().filter(|_| is_widening && ecs.count() == 4).count();
        ecs.tick();
    }
    assert!(!ecs.tags.contains_key(tag::ROLLOUT), "it has ended: {:?}", ecs.tags);
    assert_eq!(ecs.primary_image(), "good:2");
    assert!((1..=5).contains(&healed), "{healed}");
}

#[test]
fn what_somebody_deployed_is_told_with_since_when_until_it_is_put_back() {
    let desired = web("good:1").service();
    let mut ecs = Ecs::new();
    drop(ecs.settle(&desired, 100));
    ecs.rival("good:9");
    drop(ecs.pass(&desired));
    let first_seen = ecs.at();
    for _ in 0..60 {
        ecs.tick();
        drop(ecs.pass(&desired));
    }
    let status = ecs.status(&desired);
    let [drifted] = status.drift.as_slice() else { panic!("{:?}", status.drift) };
    assert_eq!(drifted.path, "taskDefinition.containerDefinitions[web].image");
    assert_eq!((&drifted.last, &drifted.live), (&Some(json!("good:1")), &Some(json!("good:9"))));
    assert_eq!(drifted.since, first_seen);
    assert!(drifted.until.is_some_and(|until| until > ecs.at()), "{drifted:?}");
    let condition = status.condition(ConditionKind::Drifted).expect("always there");
    assert_eq!((condition.status, condition.reason), (ConditionStatus::True, "ForeignDeployment"));
}

#[test]
fn one_field_that_is_fought_for_holds_up_no_other() {
    let draft = web("good:1").with(EXEC, json!(false));
    let mut ecs = settled(&draft);
    drop(fight(&mut ecs, &draft, 30));
    ecs.update(&json!({ EXEC: true, "desiredCount": 9 }));
    drop(ecs.pass(&draft.service()));
    assert_eq!((live(&ecs, EXEC), ecs.count()), (Some(&json!(false)), 9));
}
