//! The way out of a service that no manifest names, and the way back.

use evenkeel_manifest::Service;
use evenkeel_planner::{
    Action, Call, Command, Fact, Lane, Leave, Order, Plan, PruneTerms, Task, Unknown, WaitReason,
    check, check_order, check_prune, obey, plan, prune, tag,
};
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::ecs::{Ecs, SERVICE_ARN, input};
use crate::manifests::{key, web};

const MINUTE: i64 = 60;
const DAY: i64 = 24 * 60 * MINUTE;

fn terms() -> PruneTerms {
    PruneTerms {
        grace: SignedDuration::from_mins(15),
        keep: SignedDuration::from_hours(24),
        lost_for: None,
        announce: Leave::Granted,
        proceed: Leave::Granted,
        acknowledged: Leave::Granted,
    }
}

fn held() -> Leave {
    Leave::Held("many have lost their manifests".to_owned())
}

/// A settled service of four tasks.
fn settled() -> Ecs {
    let mut ecs = Ecs::new();
    drop(ecs.settle(&web("good:1").service(), 100));
    ecs
}

fn planned(ecs: &Ecs, terms: &PruneTerms) -> Plan {
    let seen = ecs.look(None);
    let key = key();
    let input = input(&key, None, &seen);
    let plan = prune(&input, terms);
    assert_eq!(check_prune(&plan, &input, terms), Ok(()), "{plan:?}");
    plan
}

/// Goes on for so long, and says when which call was made.
fn goes_on(ecs: &mut Ecs, terms: &PruneTerms, seconds: i64) -> Vec<(i64, &'static str)> {
    let (mut calls, began) = (Vec::new(), ecs.now);
    while ecs.now < began + seconds {
        for action in planned(ecs, terms).actions {
            calls.push((ecs.now - began, action.call.operation()));
            ecs.apply(&action.call);
        }
        ecs.tick();
    }
    calls
}

fn waits(ecs: &Ecs, terms: &PruneTerms) -> (WaitReason, String) {
    let plan = planned(ecs, terms);
    assert_eq!(plan.actions, []);
    let wait = plan.waiting.into_iter().next().expect("it waits");
    (wait.reason, wait.sentence)
}

#[test]
fn it_is_announced_scaled_in_and_deleted_each_long_after_the_other() {
    let mut ecs = settled();
    let calls = goes_on(&mut ecs, &terms(), 2 * DAY);
    let operations: Vec<&str> = calls.iter().map(|(_, operation)| *operation).collect();
    assert_eq!(operations, ["TagResource", "UpdateService", "TagResource", "DeleteService"]);
    let at: Vec<i64> = calls.iter().map(|(at, _)| *at).collect();
    assert!(at[1] - at[0] >= 15 * MINUTE && at[3] - at[2] >= DAY, "{at:?}");
    assert_eq!(ecs.status, "INACTIVE");
}

#[test]
fn each_guard_stops_its_step_and_what_a_person_let_go_passes_all_but_one() {
    let all = [
        ("announce", None),
        ("proceed", Some("v1:announced:0:4")),
        ("proceed", Some("v1:scaled-in:0:4")),
    ];
    for (guard, mark) in all {
        let mut ecs = settled();
        if let Some(mark) = mark {
            ecs.tags.insert(tag::TOMBSTONE.to_owned(), mark.to_owned());
            ecs.update(&json!({"desiredCount": if mark.contains("scaled") { 0 } else { 4 }}));
            (0..60).for_each(|_| ecs.tick());
        }
        let held = match guard {
            "announce" => PruneTerms { announce: held(), ..terms() },
            _ => PruneTerms { proceed: held(), ..terms() },
        };
        assert_eq!(waits(&ecs, &held).0, WaitReason::PruneHeld, "{mark:?}");
        let Some(mark) = mark else { continue };
        ecs.tags.insert(tag::TOMBSTONE.to_owned(), format!("{mark}:ann/old"));
        assert_eq!(planned(&ecs, &held).actions.len(), 1, "{mark}");
        let unknown = PruneTerms { acknowledged: self::held(), ..held };
        assert_eq!(waits(&ecs, &unknown).0, WaitReason::PruneHeld, "{mark}");
    }
}

/// An announcement may reach AWS minutes after it was given up.
#[test]
fn an_announcement_from_before_a_manifest_named_it_again_counts_from_when_none_did() {
    for (mark, count, least) in [("v1:announced:0:4", 4, 15 * MINUTE), ("v1:scaled-in:0:4", 0, DAY)]
    {
        let mut ecs = settled();
        ecs.tags.insert(tag::TOMBSTONE.to_owned(), mark.to_owned());
        ecs.update(&json!({"desiredCount": count}));
        (0..60).for_each(|_| ecs.tick());
        let lost_for =
            |seconds| PruneTerms { lost_for: Some(SignedDuration::from_secs(seconds)), ..terms() };
        assert_eq!(waits(&ecs, &lost_for(least - 1)).0, WaitReason::Pruning, "{mark}");
        let plan = planned(&ecs, &lost_for(least + 2 * MINUTE));
        assert_eq!(plan.actions.len(), 1, "{mark}");
        let (key, seen) = (key(), ecs.look(None));
        let early = check_prune(&plan, &input(&key, None, &seen), &lost_for(least - 1));
        assert!(early.is_err(), "{mark}: the guard must see it, too");
    }
}

#[test]
fn what_a_person_holds_keeps_or_started_again_stays() {
    let mut held = settled();
    held.tags.insert(tag::HOLD.to_owned(), "on".to_owned());
    assert_eq!(waits(&held, &terms()).0, WaitReason::Held);
    let mut again = settled();
    again.tags.insert(tag::TOMBSTONE.to_owned(), "v1:scaled-in:0:4".to_owned());
    let (reason, sentence) = waits(&again, &terms());
    assert_eq!(reason, WaitReason::PruneHeld);
    assert!(sentence.contains("scaled it out to 4"), "{sentence}");
    let mut odd = settled();
    odd.tags.insert(tag::TOMBSTONE.to_owned(), "v9:gone".to_owned());
    assert_eq!(waits(&odd, &terms()).0, WaitReason::PruneHeld);
    for (key, value) in [(tag::PRUNE, "v1:disabled"), (tag::OWNER, "v1:another:web.yaml")] {
        let mut ecs = settled();
        ecs.tags.insert(key.to_owned(), value.to_owned());
        let plan = planned(&ecs, &terms());
        assert!(plan.actions.is_empty() && plan.waiting.is_empty(), "{key}");
    }
}

/// Settles by ordinary passes.
fn returns(ecs: &mut Ecs, desired: &Service) -> Vec<&'static str> {
    let mut calls = Vec::new();
    for _ in 0..60 {
        let seen = ecs.look(Some(desired));
        let key = key();
        let input = input(&key, Some(desired), &seen);
        let plan = plan(&input);
        assert_eq!(check(&plan, &input), Ok(()), "{plan:?}");
        for action in plan.actions {
            calls.push(action.call.operation());
            ecs.apply(&action.call);
        }
        ecs.tick();
    }
    calls
}

#[test]
fn a_manifest_that_returns_gives_the_tasks_back_and_then_takes_the_mark_away() {
    let desired = web("good:1").service();
    let mut ecs = settled();
    drop(goes_on(&mut ecs, &terms(), 20 * MINUTE));
    assert_eq!(ecs.count(), 0);
    assert_eq!(returns(&mut ecs, &desired), ["UpdateService", "UntagResource"]);
    assert_eq!(ecs.count(), 4);
    assert!(!ecs.tags.contains_key(tag::TOMBSTONE));
    let mut announced = settled();
    drop(goes_on(&mut announced, &terms(), MINUTE));
    assert_eq!(returns(&mut announced, &desired), ["UntagResource"]);
}

#[test]
fn what_was_judged_bad_gets_no_task_back_and_what_was_not_judged_gets_one() {
    for (image, expected) in [("good:2", 1), ("crash:2", 0)] {
        let v2 = web(image).service();
        let mut ecs = settled();
        drop(ecs.settle(&v2, 3));
        if image == "crash:2" {
            let verdict = format!("v1:{}:1790000000:Crashes", v2.revision_digest);
            ecs.tags.insert(tag::REJECTED.to_owned(), verdict);
        }
        ecs.tags.insert(tag::TOMBSTONE.to_owned(), "v1:scaled-in:0:4".to_owned());
        ecs.update(&json!({"desiredCount": 0}));
        (0..10).for_each(|_| ecs.tick());
        let seen = ecs.look(Some(&v2));
        let key = key();
        let input = input(&key, Some(&v2), &seen);
        let plan = plan(&input);
        assert_eq!(check(&plan, &input), Ok(()), "{plan:?}");
        let count = plan.actions.iter().find_map(|action| match &action.call {
            Call::UpdateService { input } => input.get("desiredCount")?.as_u64(),
            _ => None,
        });
        assert_eq!(count.unwrap_or(0), expected, "{image}: {plan:?}");
    }
}

#[test]
fn what_was_not_judged_gets_its_task_back_once_tasks_can_be_seen() {
    let v2 = web("good:2").service();
    let mut ecs = settled();
    drop(ecs.settle(&v2, 3));
    ecs.tags.insert(tag::TOMBSTONE.to_owned(), "v1:scaled-in:0:4".to_owned());
    ecs.update(&json!({"desiredCount": 0}));
    let mut seen = ecs.look(Some(&v2));
    let key = key();
    let mut revived = |tasks: Fact<Vec<Task>>| {
        seen.tasks = tasks;
        let input = input(&key, Some(&v2), &seen);
        let plan = plan(&input);
        assert_eq!(check(&plan, &input), Ok(()), "{plan:?}");
        plan
    };
    let failed =
        Unknown::Failed { operation: "DescribeTasks".to_owned(), message: "503".to_owned() };
    let blind = revived(Fact::Unknown(failed));
    assert_eq!(blind.actions, [], "{blind:?}");
    assert_eq!(blind.waiting[0].sentence, "the tasks could not be read: DescribeTasks failed: 503");
    assert_eq!(revived(Fact::Known(Vec::new())).actions.len(), 1);
}

#[test]
fn the_guard_refuses_every_step_out_of_turn() {
    let call = |call| Action { call, lane: Lane::Sweep, why: String::new() };
    let named = |members: &Value| {
        let mut input = members.clone();
        input["cluster"] = json!("prod");
        input["service"] = json!("web");
        input
    };
    let delete = |members| call(Call::DeleteService { input: named(&members) });
    let scale = |members| call(Call::UpdateService { input: named(&members) });
    let mark = |key: &str| {
        let tags = [(key.to_owned(), "v1:announced:0:4".to_owned())].into();
        call(Call::TagResource { arn: SERVICE_ARN.to_owned(), tags })
    };
    let zero = json!({"desiredCount": 0});
    let old = "v1:announced:0:4";
    let cases = [
        ("scale-in unannounced", None, scale(zero.clone())),
        ("scale-in to one", Some(old), scale(json!({"desiredCount": 1}))),
        ("scale-in and more", Some(old), scale(json!({"desiredCount": 0, "taskDefinition": "x"}))),
        ("scale-in twice", Some("v1:scaled-in:0:4"), scale(zero.clone())),
        ("scale-in too early", Some("v1:announced:1790000000:4"), scale(zero)),
        ("delete with tasks", Some("v1:scaled-in:0:4"), delete(json!({}))),
        ("delete announced", Some(old), delete(json!({}))),
        ("delete by force", Some("v1:scaled-in:0:4"), delete(json!({"force": true}))),
        ("another tag", None, mark("evenkeel:proven")),
        ("a task definition", None, call(Call::RegisterTaskDefinition { input: json!({}) })),
    ];
    for (case, value, action) in cases {
        let mut ecs = settled();
        ecs.now += 1_000_000;
        if let Some(value) = value {
            let now = ecs.at().as_second().to_string();
            ecs.tags.insert(tag::TOMBSTONE.to_owned(), value.replace("1790000000", &now));
        }
        let seen = ecs.look(None);
        let key = key();
        let input = input(&key, None, &seen);
        let plan = Plan::of_a_command(vec![action]);
        assert!(check_prune(&plan, &input, &terms()).is_err(), "{case}");
    }
}

#[test]
fn a_named_service_is_never_deleted() {
    let desired = web("good:1").service();
    let ecs = settled();
    let seen = ecs.look(Some(&desired));
    let key = key();
    let input = input(&key, Some(&desired), &seen);
    let action = Action {
        call: Call::DeleteService { input: json!({"cluster": "prod", "service": "web"}) },
        lane: Lane::Sweep,
        why: String::new(),
    };
    let plan = Plan::of_a_command(vec![action]);
    assert!(check(&plan, &input).is_err());
    assert!(check_prune(&plan, &input, &terms()).is_err());
}

#[test]
fn a_person_lets_a_service_go_by_name_and_holds_it() {
    let ecs = settled();
    let seen = ecs.look(None);
    let key = key();
    let input = input(&key, None, &seen);
    let order = |command| Order { command, who: "ann".to_owned(), why: "moved".to_owned() };
    for (command, tag) in [(Command::Prune, tag::TOMBSTONE), (Command::Hold, tag::HOLD)] {
        let followed = obey(&input, &order(command)).unwrap();
        assert_eq!(check_order(&followed.actions, &input), Ok(()));
        let [Action { call: Call::TagResource { tags, .. }, .. }] = &followed.actions[..] else {
            panic!("{followed:?}")
        };
        assert!(tags.len() == 1 && tags.contains_key(tag) && tags[tag].contains("ann"), "{tags:?}");
    }
    assert!(obey(&input, &order(Command::Abort)).is_err());
    let desired = web("good:1").service();
    let seen = ecs.look(Some(&desired));
    let input = crate::ecs::input(&key, Some(&desired), &seen);
    assert!(obey(&input, &order(Command::Prune)).is_err());
}
