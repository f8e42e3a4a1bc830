//! What people command: what it writes, what follows from it, and what it cannot overrule.

use evenkeel_manifest::{Gate, OnFailure, Service};
use evenkeel_planner::{
    Action, Call, Command, ConditionKind, ConditionStatus, Gates, Lane, Order, Outcome,
    RolloutPhase, VerdictKind, WaitReason, check, check_order, history, obey, questions_of_history,
    status, tag,
};

use serde_json::json;

use crate::ecs::{Ecs, History, INSTANCE, SERVICE_ARN, input};
use crate::gates::{answers, at_gate};
use crate::looks::Look;
use crate::manifests::{Draft, key, web};
use crate::plans::{reasons, settled};
use crate::rivals::announced_only;

const SIGNED: &str = "v1:1790000000:ann@laptop:a bad day";

/// A region in which `good:2` was proven over `good:1`.
fn twice_proven() -> (Ecs, Service) {
    let mut ecs = settled(&web("good:1"));
    let v2 = web("good:2").service();
    assert_eq!(ecs.settle(&v2, 100).to_string(), "nothing to do\n");
    ecs.later(60);
    (ecs, v2)
}

/// While the first task of `image` is watched.
pub(crate) fn probing(draft: &Draft) -> (Ecs, Service) {
    let mut ecs = settled(&web("good:1"));
    let desired = draft.service();
    for _ in 0..20 {
        drop(ecs.pass(&desired));
        ecs.tick();
        let mark = ecs.tags.get(tag::ROLLOUT).cloned().unwrap_or_default();
        if mark.contains("ecs-svc/") && mark.contains(":probe:") {
            return (ecs, desired);
        }
    }
    panic!("it never probes: {:?}", ecs.tags);
}

fn condition(ecs: &Ecs, desired: &Service, kind: ConditionKind) -> (ConditionStatus, &'static str) {
    let (key, seen) = (key(), ecs.look(Some(desired)));
    let input = input(&key, Some(desired), &seen);
    let told = status(&input, &evenkeel_planner::plan(&input), &Outcome::Done);
    told.condition(kind).map(|one| (one.status, one.reason)).expect("every kind is told")
}

#[test]
fn a_hold_tells_who_and_why_and_a_release_ends_it() {
    let (mut ecs, v2) = twice_proven();
    let v3 = web("good:3").service();
    ecs.ordered(&v2, Command::Hold).unwrap();
    assert!(ecs.tags[tag::HOLD].ends_with(":ann@laptop:a bad day"), "{}", ecs.tags[tag::HOLD]);
    ecs.writes.clear();
    let again = ecs.ordered(&v2, Command::Hold).expect("a second time is no mistake");
    assert!(again.contains("ann@laptop"), "{again}");
    let plan = ecs.settle(&v3, 20);
    assert_eq!((reasons(&plan), ecs.writes.len()), (vec![WaitReason::Held], 0));
    assert!(plan.to_string().contains("by ann@laptop at "), "{plan}");
    ecs.ordered(&v3, Command::Release).unwrap();
    assert!(!ecs.tags.contains_key(tag::HOLD));
    ecs.ordered(&v3, Command::Release).expect("a second time is no mistake");
    assert_eq!(ecs.settle(&v3, 100).to_string(), "nothing to do\n");
    assert_eq!(ecs.primary_image(), "good:3");
}

#[test]
fn a_hold_of_any_value_holds_and_forbids_other_commands() {
    let (mut ecs, v2) = twice_proven();
    ecs.tags.insert(tag::HOLD.to_owned(), "incident 7".to_owned());
    for command in
        [Command::Abort, Command::Undo { to: None }, Command::Retry, Command::Promote(Gates::All)]
    {
        let refusal = ecs.ordered(&v2, command).unwrap_err();
        assert!(refusal.0.contains("release it first"), "{refusal}");
    }
    ecs.ordered(&v2, Command::Pause).expect("a stop may be said at any time");
}

#[test]
fn a_paused_service_starts_no_rollout_until_it_is_resumed() {
    let (mut ecs, v2) = twice_proven();
    ecs.ordered(&v2, Command::Pause).unwrap();
    ecs.writes.clear();
    let v3 = web("good:3").service();
    let plan = ecs.settle(&v3, 50);
    assert_eq!((reasons(&plan), ecs.writes.len()), (vec![WaitReason::Person], 0), "{plan}");
    let unready = (ConditionStatus::False, "WaitsForPerson");
    assert_eq!(condition(&ecs, &v3, ConditionKind::Ready), unready);
    ecs.ordered(&v3, Command::Resume).unwrap();
    assert_eq!(ecs.settle(&v3, 100).to_string(), "nothing to do\n");
    assert_eq!(ecs.primary_image(), "good:3");
}

#[test]
fn drift_is_healed_while_new_content_waits_for_a_resume() {
    let (mut ecs, v2) = twice_proven();
    ecs.ordered(&v2, Command::Pause).unwrap();
    let v3 = web("good:3").service();
    ecs.update(&json!({"cluster": "main", "service": "web", "desiredCount": 1}));
    ecs.writes.clear();
    let plan = ecs.settle(&v3, 50);
    assert_eq!(reasons(&plan), [WaitReason::Person], "{plan}");
    assert_eq!(ecs.writes, ["UpdateService"], "{plan}");
    assert_eq!((ecs.count(), ecs.primary_image()), (4, "good:2".to_owned()));
}

#[test]
fn an_annotation_of_the_manifest_pauses_as_the_tag_does() {
    let (mut ecs, _) = twice_proven();
    ecs.writes.clear();
    let mut v3 = web("good:3").service();
    let annotation = ("evenkeel.dev/pause".to_owned(), "until monday".to_owned());
    v3.metadata.annotations = [annotation].into();
    let plan = ecs.settle(&v3, 50);
    assert_eq!((reasons(&plan), ecs.writes.len()), (vec![WaitReason::Person], 0), "{plan}");
    assert!(plan.to_string().contains("evenkeel.dev/pause: until monday"), "{plan}");
    let mut look = at_gate();
    look.desired.metadata = v3.metadata.clone();
    assert_eq!(opened(&look), Vec::<String>::new());
    promoted(&mut look, "ecs-pause-1");
    assert_eq!(opened(&look), CONTINUED);
    v3.metadata.annotations.clear();
    assert_eq!(ecs.settle(&v3, 100).to_string(), "nothing to do\n");
    assert_eq!(ecs.primary_image(), "good:3");
}

#[test]
fn a_paused_probe_is_not_widened_but_judged() {
    let (mut ecs, v2) = probing(&web("good:2"));
    ecs.ordered(&v2, Command::Pause).unwrap();
    let plan = ecs.settle(&v2, 60);
    assert_eq!(reasons(&plan), [WaitReason::Person], "{plan}");
    assert!(ecs.tags[tag::ROLLOUT].contains(":probe:"), "{:?}", ecs.tags);
    for _ in 0..3 {
        ecs.crash_oldest();
        ecs.tick();
        ecs.tick();
    }
    drop(ecs.settle(&v2, 100));
    assert!(ecs.tags[tag::REJECTED].ends_with(":Crashes"), "{:?}", ecs.tags);
    assert_eq!(ecs.primary_image(), "good:1");
}

#[test]
fn an_abort_rejects_what_is_rolled_out_and_the_service_returns() {
    let (mut ecs, v2) = probing(&web("good:2"));
    let sentence = ecs.ordered(&v2, Command::Abort).unwrap();
    assert!(sentence.contains("returns to the proven revision"), "{sentence}");
    let rejected = ecs.tags[tag::REJECTED].clone();
    assert!(rejected.ends_with(":Aborted/ann@laptop/a bad day"), "{rejected}");
    let plan = ecs.settle(&v2, 100);
    assert_eq!(
        (reasons(&plan), ecs.primary_image()),
        (vec![WaitReason::Rejected], "good:1".into())
    );
    assert!(plan.to_string().contains("Aborted by ann@laptop: a bad day"), "{plan}");
    let told = (ConditionStatus::True, "Aborted");
    assert_eq!(condition(&ecs, &v2, ConditionKind::Rejected), told);
    ecs.ordered(&v2, Command::Retry).unwrap();
    assert_eq!(ecs.settle(&v2, 100).to_string(), "nothing to do\n");
    assert_eq!(ecs.primary_image(), "good:2");
}

#[test]
fn a_rollout_can_be_aborted_before_it_is_seen_or_begun() {
    let (mut ecs, v2) = twice_proven();
    let v3 = web("good:3").service();
    ecs.ordered(&v2, Command::Pause).unwrap();
    ecs.ordered(&v3, Command::Abort).unwrap();
    ecs.ordered(&v3, Command::Resume).unwrap();
    ecs.writes.clear();
    assert_eq!(reasons(&ecs.settle(&v3, 20)), [WaitReason::Rejected]);
    assert_eq!((ecs.primary_image(), ecs.writes.len()), ("good:2".to_owned(), 0));

    let mut ecs = settled(&web("good:1"));
    drop(ecs.pass(&v2));
    drop(ecs.pass(&v2));
    assert!(ecs.tags[tag::ROLLOUT].contains(":-"), "it was announced: {:?}", ecs.tags);
    ecs.ordered(&v2, Command::Abort).unwrap();
    assert_eq!(reasons(&ecs.settle(&v2, 100)), [WaitReason::Rejected]);
    assert_eq!(ecs.primary_image(), "good:1");
}

#[test]
fn nothing_is_aborted_where_nothing_is_rolled_out() {
    let (mut ecs, v2) = twice_proven();
    let refusal = ecs.ordered(&v2, Command::Abort).unwrap_err();
    assert!(refusal.0.contains("undo it"), "{refusal}");
}

#[test]
fn an_undo_goes_back_to_the_revision_before_and_stays_there() {
    let (mut ecs, v2) = twice_proven();
    ecs.ordered(&v2, Command::Undo { to: None }).unwrap();
    let plan = ecs.settle(&v2, 100);
    assert_eq!(
        (reasons(&plan), ecs.primary_image()),
        (vec![WaitReason::Rejected], "good:1".into())
    );
    let back = (ConditionStatus::True, "RolledBack");
    assert_eq!(condition(&ecs, &v2, ConditionKind::RolledBack), back);
    assert!(!ecs.tags.contains_key(tag::ROLLOUT), "{:?}", ecs.tags);
    ecs.later(24 * 3600);
    drop(ecs.settle(&v2, 20));
    assert_eq!(ecs.primary_image(), "good:1");
}

#[test]
fn what_was_undone_is_retried_at_once_with_a_probe() {
    let (mut ecs, v2) = twice_proven();
    ecs.ordered(&v2, Command::Undo { to: None }).unwrap();
    drop(ecs.settle(&v2, 100));
    ecs.ordered(&v2, Command::Retry).unwrap();
    let mut phases = Vec::new();
    for _ in 0..40 {
        drop(ecs.pass(&v2));
        ecs.tick();
        phases.extend(ecs.tags.get(tag::ROLLOUT).cloned());
    }
    assert!(phases.iter().any(|mark| mark.contains(":probe:")), "{phases:?}");
    assert_eq!(ecs.primary_image(), "good:2");
    assert_eq!(ecs.settle(&v2, 20).to_string(), "nothing to do\n");
}

#[test]
fn a_manifest_with_new_content_ends_an_undo() {
    let (mut ecs, v2) = twice_proven();
    ecs.ordered(&v2, Command::Undo { to: None }).unwrap();
    drop(ecs.settle(&v2, 100));
    let v3 = web("good:3").service();
    assert_eq!(ecs.settle(&v3, 100).to_string(), "nothing to do\n");
    assert_eq!(ecs.primary_image(), "good:3");
}

#[test]
fn an_undo_goes_to_the_revision_that_is_named() {
    let (mut ecs, _) = twice_proven();
    let v3 = web("good:3").service();
    drop(ecs.settle(&v3, 100));
    let first = ecs.history.iter().map(History::id).min().expect("there were three");
    for to in [first.to_string(), "web:1".to_owned()] {
        let mut ecs = ecs.clone();
        ecs.ordered(&v3, Command::Undo { to: Some(to.clone()) }).unwrap();
        drop(ecs.settle(&v3, 100));
        assert_eq!(ecs.primary_image(), "good:1", "{to}");
    }
}

#[test]
fn an_undo_to_what_is_not_known_or_runs_already_is_refused() {
    let (mut ecs, v2) = twice_proven();
    let other = "arn:aws:ecs:eu-west-1:999999999999:task-definition/web:1";
    for to in ["web:2", "web:99", "other:1", "12345", "", other] {
        let refusal = ecs.ordered(&v2, Command::Undo { to: Some(to.to_owned()) });
        assert!(refusal.is_err(), "{to}: {refusal:?}");
    }
    let mut first = settled(&web("good:1"));
    let refusal = first.ordered(&web("good:1").service(), Command::Undo { to: None });
    assert!(refusal.unwrap_err().0.contains("no earlier revision"));
}

#[test]
fn an_undo_to_the_content_that_runs_registered_anew_is_refused() {
    let (mut ecs, v2) = twice_proven();
    let copy = ecs.definitions[&ecs.newest_definition()].clone();
    let first = ecs.newest_definition().replace("web:2", "web:1");
    ecs.definitions.insert(first.clone(), copy);
    let digest = ecs.digests[&ecs.newest_definition()].clone();
    ecs.digests.insert(first.clone(), digest);
    let revision = ecs.history.iter().map(History::id).min().expect("there were two").to_string();
    for to in [None, Some(first), Some("web:1".to_owned()), Some(revision)] {
        let refusal = ecs.ordered(&v2, Command::Undo { to: to.clone() });
        assert!(refusal.is_err(), "{to:?}: {refusal:?}");
    }
}

#[test]
fn an_undo_of_what_somebody_else_deployed_puts_back_what_the_manifest_wants_at_once() {
    for to in [None, Some("web:2".to_owned())] {
        let (mut ecs, v2) = twice_proven();
        ecs.rival("good:9");
        assert_eq!(reasons(&ecs.settle(&v2, 50)), [WaitReason::ForeignDeployment]);
        let sentence = ecs.ordered(&v2, Command::Undo { to: to.clone() }).unwrap();
        assert!(sentence.contains("what the manifest wants"), "{to:?}: {sentence}");
        assert!(!ecs.tags.contains_key(tag::REJECTED), "{:?}", ecs.tags);
        assert_eq!(ecs.settle(&v2, 100).to_string(), "nothing to do\n");
        assert_eq!(ecs.primary_image(), "good:2", "{to:?}");
    }
}

#[test]
fn an_undo_that_is_said_again_while_it_is_carried_out_aborts_nothing() {
    for to in [None, Some("web:2".to_owned())] {
        let (mut ecs, v2) = twice_proven();
        ecs.rival("good:9");
        drop(ecs.settle(&v2, 50));
        let undo = Command::Undo { to: to.clone() };
        ecs.ordered(&v2, undo.clone()).unwrap();
        let mut times = 0;
        while ecs.pass(&v2).actions.is_empty() || ecs.tags.contains_key(tag::ROLLOUT) {
            let before = ecs.tags.clone();
            let is_begun = before.contains_key(tag::ROLLOUT);
            let sentence = ecs.ordered(&v2, undo.clone());
            if is_begun {
                assert!(sentence.is_ok_and(|one| one.contains("abort")), "{to:?}");
                assert_eq!(ecs.tags, before, "{to:?}");
                times += 1;
            }
            ecs.tick();
        }
        assert!(times > 5, "{to:?}: {times}");
        assert_eq!(ecs.settle(&v2, 20).to_string(), "nothing to do\n");
        assert_eq!(ecs.primary_image(), "good:2", "{to:?}");
    }
}

#[test]
fn what_an_undo_puts_back_is_aborted_and_new_content_in_its_place_undone() {
    let begun = || {
        let (mut ecs, v2) = twice_proven();
        ecs.rival("good:9");
        drop(ecs.settle(&v2, 50));
        ecs.ordered(&v2, Command::Undo { to: None }).unwrap();
        while !ecs.tags.contains_key(tag::ROLLOUT) {
            drop(ecs.pass(&v2));
            ecs.tick();
        }
        (ecs, v2)
    };
    let (mut ecs, v2) = begun();
    ecs.ordered(&v2, Command::Abort).unwrap();
    assert!(ecs.tags.contains_key(tag::REJECTED), "{:?}", ecs.tags);

    let (mut ecs, _) = begun();
    let v3 = web("good:3").service();
    while ecs.primary_image() != "good:3" {
        drop(ecs.pass(&v3));
        ecs.tick();
    }
    ecs.ordered(&v3, Command::Undo { to: None }).unwrap();
    assert!(ecs.tags.contains_key(tag::REJECTED), "{:?}", ecs.tags);
}

#[test]
fn what_the_manifest_wants_and_was_undone_is_retried_and_not_undone_to() {
    let (mut ecs, v2) = twice_proven();
    ecs.ordered(&v2, Command::Undo { to: None }).unwrap();
    drop(ecs.settle(&v2, 100));
    let refusal = ecs.ordered(&v2, Command::Undo { to: Some("web:2".to_owned()) }).unwrap_err();
    assert!(refusal.0.contains("retry it"), "{refusal}");
}

#[test]
fn an_undo_of_a_release_that_changed_no_task_definition_goes_back_to_what_it_was_and_no_further() {
    let (mut ecs, _) = twice_proven();
    let network = |subnet: &str| json!({ "awsvpcConfiguration": { "subnets": [subnet], "assignPublicIp": "DISABLED" } });
    let moved = web("good:2").with("networkConfiguration", network("subnet-9")).service();
    drop(ecs.settle(&moved, 100));
    assert_eq!(ecs.history.len(), 3);
    ecs.ordered(&moved, Command::Undo { to: None }).unwrap();
    drop(ecs.settle(&moved, 100));
    let members = ecs.members.as_ref().unwrap();
    assert_ne!(members.get("networkConfiguration"), Some(&network("subnet-9")), "{members:?}");
    assert_eq!((ecs.primary_image(), ecs.history.len()), ("good:2".to_owned(), 4));
}

#[test]
fn the_history_is_told_newest_first_with_what_is_proven() {
    let (ecs, v2) = twice_proven();
    let mut seen = None;
    while let Some(more) = questions_of_history(Some(&v2), seen.as_ref()) {
        seen = Some(ecs.observe(&more));
    }
    let told = history(&seen.expect("it was looked at")).expect("they are listed");
    let told: Vec<_> = told
        .into_iter()
        .map(|one| (one.status, one.task_definition.unwrap_or_default(), one.is_proven))
        .collect();
    let definition = |n| format!("arn:aws:ecs:eu-west-1:123456789012:task-definition/web:{n}");
    let done = "SUCCESSFUL".to_owned();
    assert_eq!(told, [(done.clone(), definition(2), true), (done, definition(1), false)]);
    assert!(history(&ecs.look(Some(&v2))).is_err(), "a shallow look does not list them");
}

#[test]
fn a_second_undo_goes_further_back_and_not_to_what_was_undone() {
    let (mut ecs, _) = twice_proven();
    let v3 = web("good:3").service();
    drop(ecs.settle(&v3, 100));
    for image in ["good:2", "good:1"] {
        ecs.ordered(&v3, Command::Undo { to: None }).unwrap();
        drop(ecs.settle(&v3, 100));
        assert_eq!(ecs.primary_image(), image);
    }
}

#[test]
fn an_undo_after_a_revert_does_not_go_back_to_what_was_undone() {
    let (mut ecs, v2) = twice_proven();
    let v3 = web("good:3").service();
    drop(ecs.settle(&v3, 100));
    ecs.ordered(&v3, Command::Undo { to: None }).unwrap();
    drop(ecs.settle(&v3, 100));
    drop(ecs.settle(&v2, 100));
    ecs.ordered(&v2, Command::Undo { to: None }).unwrap();
    drop(ecs.settle(&v2, 100));
    assert_eq!(ecs.primary_image(), "good:1");
}

#[test]
fn a_rollout_whose_successor_was_rejected_before_it_began_is_left_for_what_is_proven() {
    for command in [Command::Abort, Command::Undo { to: None }] {
        let (mut ecs, _) = probing(&web("good:2"));
        announced_only(&mut ecs, &web("good:3"));
        let v3 = web("good:3").service();
        let sentence = ecs.ordered(&v3, command.clone()).unwrap();
        assert!(sentence.contains("returns to the proven revision"), "{command:?}: {sentence}");
        drop(ecs.settle(&v3, 100));
        assert_eq!(ecs.primary_image(), "good:1", "{command:?}");
        assert!(!ecs.tags.contains_key(tag::ROLLOUT), "{command:?}: {:?}", ecs.tags);
    }
}

#[test]
fn an_undo_is_carried_out_although_verdicts_hold() {
    let mut ecs = settled(&web("good:1"));
    let mut v2 = web("good:2").service();
    v2.rollout.breaker.on_failure = OnFailure::Hold;
    drop(ecs.settle(&v2, 100));
    ecs.ordered(&v2, Command::Undo { to: None }).unwrap();
    drop(ecs.settle(&v2, 100));
    assert_eq!(ecs.primary_image(), "good:1");
}

#[test]
fn an_undo_of_what_is_rolled_out_is_an_abort() {
    let (mut ecs, v2) = probing(&web("good:2"));
    let named = ecs.ordered(&v2, Command::Undo { to: Some("web:1".into()) });
    assert!(named.unwrap_err().0.contains("abort it first"));
    ecs.ordered(&v2, Command::Undo { to: None }).unwrap();
    drop(ecs.settle(&v2, 100));
    assert_eq!(ecs.primary_image(), "good:1");
}

#[test]
fn a_rolling_rollout_has_no_gate_to_be_promoted_past() {
    let (mut ecs, v2) = probing(&web("good:2"));
    let refusal = ecs.ordered(&v2, Command::Promote(Gates::Now)).unwrap_err();
    assert!(refusal.0.contains("no gates"), "{refusal}");
}

#[test]
fn a_service_that_is_not_ours_takes_no_command() {
    let (mut ecs, v2) = twice_proven();
    ecs.tags.insert(tag::OWNER.to_owned(), "v1:other:web.yaml".to_owned());
    let refusal = ecs.ordered(&v2, Command::Hold).unwrap_err();
    assert!(refusal.0.contains("belongs to the instance other"), "{refusal}");
    ecs.tags.remove(tag::OWNER);
    assert!(ecs.ordered(&v2, Command::Hold).is_err());
    let mut none = Ecs::new();
    assert!(none.ordered(&v2, Command::Hold).unwrap_err().0.contains("does not exist yet"));
}

/// The promotion of this hook, as a person's command writes it.
fn promoted(look: &mut Look, hook: &str) {
    let digest = look.desired.revision_digest.clone();
    look.tag(tag::PROMOTE, &format!("v1:{digest}:{hook}:1790000000:ann@laptop:looks good"));
}

#[test]
fn a_promotion_that_names_a_gate_opens_that_one_and_no_other() {
    let look = at_gate();
    let key = key();
    let input = input(&key, Some(&look.desired), &look.seen);
    let promote = |gate: &str| {
        let command = Command::Promote(Gates::Named(gate.to_owned()));
        obey(&input, &Order { command, who: "ann@laptop".into(), why: String::new() })
    };
    let refusal = promote("ecs-pause-0").expect_err("it is another gate").0;
    assert!(refusal.contains("at the gate ecs-pause-1 now, and not at ecs-pause-0"), "{refusal}");
    let obeyed = promote("ecs-pause-1").expect("it is the gate of this moment");
    assert_eq!(check_order(&obeyed.actions, &input), Ok(()));
    let written = format!("{:?}", obeyed.actions);
    assert!(written.contains(":ecs-pause-1:"), "{written}");
}

const CONTINUED: [&str; 1] = ["ecs-pause-1"];

fn opened(look: &Look) -> Vec<String> {
    answers(look).into_iter().map(|(hook, _)| hook).collect()
}

#[test]
fn a_paused_rollout_stays_at_its_gate_until_it_is_resumed_or_promoted() {
    let mut look = at_gate();
    look.tag(tag::PAUSE, SIGNED);
    let plan = look.plan();
    assert_eq!((opened(&look), reasons(&plan)), (vec![], vec![WaitReason::Person]), "{plan}");
    for hook in ["ecs-pause-1", "full"] {
        let mut look = at_gate();
        look.tag(tag::PAUSE, SIGNED);
        promoted(&mut look, hook);
        assert_eq!(opened(&look), CONTINUED, "{hook}");
        assert!(look.plan().to_string().contains("promoted by ann@laptop"), "{}", look.plan());
    }
}

#[test]
fn a_gate_that_needs_an_approval_waits_for_it() {
    let mut look = at_gate();
    look.desired.rollout.approvals = vec![Gate::BeforeStep];
    assert_eq!(opened(&look), CONTINUED, "another gate needs it");
    look.desired.rollout.approvals = vec![Gate::AfterTestTraffic];
    let plan = look.plan();
    assert_eq!((opened(&look), reasons(&plan)), (vec![], vec![WaitReason::Person]), "{plan}");
    promoted(&mut look, "ecs-pause-1");
    assert_eq!(opened(&look), CONTINUED);
}

#[test]
fn an_approval_of_another_gate_or_revision_opens_nothing_and_is_forgotten() {
    let spent = |value: &dyn Fn(&Look) -> String| {
        let mut look = at_gate();
        look.desired.rollout.approvals = vec![Gate::AfterTestTraffic];
        let value = value(&look);
        look.tag(tag::PROMOTE, &value);
        assert_eq!(opened(&look), Vec::<String>::new(), "{value}");
        assert_eq!(look.calls(), ["UntagResource"], "{value}");
    };
    let digest = |look: &Look| look.desired.revision_digest.clone();
    spent(&|look| format!("v1:{}:ecs-pause-0:1790000000:ann:x", digest(look)));
    spent(&|_| "v1:v1:ff:ecs-pause-1:1790000000:ann:x".to_owned());
    spent(&|_| "v1:v1:ff:full:1790000000:ann:x".to_owned());
    spent(&|_| "whatever".to_owned());
}

#[test]
fn a_promotion_to_all_gates_lasts_as_long_as_its_rollout() {
    let mut look = at_gate();
    promoted(&mut look, "full");
    look.tasks().pop();
    assert_eq!(look.calls(), Vec::<&str>::new());
    let (mut ecs, v2) = twice_proven();
    let digest = v2.revision_digest.clone();
    ecs.tags.insert(tag::PROMOTE.to_owned(), format!("v1:{digest}:full:1790000000:ann:x"));
    drop(ecs.act(&v2));
    assert!(!ecs.tags.contains_key(tag::PROMOTE), "no rollout is left to promote");
}

#[test]
fn a_promotion_overrules_an_alarm_that_was_red_before_and_nothing_else() {
    let mut look = at_gate();
    look.desired.rollout.breaker.alarms = vec!["5xx".to_owned()];
    look.alarm("5xx", "ALARM", look.ago(1000));
    assert_eq!(opened(&look), Vec::<String>::new());
    promoted(&mut look, "ecs-pause-1");
    assert_eq!(opened(&look), CONTINUED);
    look.alarm("5xx", "ALARM", look.ago(100));
    assert_eq!(look.verdict(), Some(VerdictKind::Alarm), "it turned red since");
    look.alarm("other", "OK", look.ago(1000));
    assert_eq!(opened(&look), Vec::<String>::new(), "it cannot be watched");
    let mut unhealthy = at_gate();
    promoted(&mut unhealthy, "full");
    unhealthy.tasks().pop();
    assert_eq!(opened(&unhealthy), Vec::<String>::new());
}

#[test]
fn the_status_shows_the_gate_and_who_said_what() {
    let mut look = at_gate();
    look.desired.rollout.approvals = vec![Gate::AfterTestTraffic];
    look.tag(tag::PAUSE, SIGNED);
    promoted(&mut look, "full");
    let key = key();
    let told = status(&input(&key, Some(&look.desired), &look.seen), &look.plan(), &Outcome::Done);
    let rollout = told.rollout.expect("it is in flight");
    assert_eq!((rollout.phase, rollout.healthy_count), (RolloutPhase::Shifting, Some(4)));
    let shift = rollout.shift.expect("it moves traffic");
    let gate = shift.gate.expect("it stands at one");
    assert_eq!((gate.name, gate.hook.as_str()), ("AfterTestTraffic", "ecs-pause-1"));
    assert!(gate.needs_approval);
    let words = told.words.expect("somebody said something");
    assert_eq!(words.pause.map(|said| said.why).as_deref(), Some("a bad day"));
    let promotion = words.promotion.expect("it was promoted");
    assert_eq!((promotion.hook, promotion.said.who.as_str()), (None, "ann@laptop"));
    assert_eq!((words.hold, words.rejection), (None, None));
}

/// What the guard says about one call of a command.
fn guarded(ecs: &Ecs, desired: &Service, call: Call, lane: Lane) -> Result<(), Vec<String>> {
    let (key, seen) = (key(), ecs.look(Some(desired)));
    let action = Action { call, lane, why: String::new() };
    check_order(&[action], &input(&key, Some(desired), &seen))
}

fn tagging(tags: &[(&str, &str)]) -> Call {
    let tags = tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    Call::TagResource { arn: SERVICE_ARN.to_owned(), tags }
}

#[test]
fn the_guard_lets_a_command_write_its_tags_and_nothing_else() {
    let (ecs, v2) = twice_proven();
    let check = |call| guarded(&ecs, &v2, call, Lane::Person);
    let verdict = format!("v1:{}:1790000000:Aborted", v2.revision_digest);
    let proven = "arn:aws:ecs:eu-west-1:123456789012:task-definition/web:1";
    let rollout = "v1:v1:ff:ecs-svc/1:rollback:1";
    assert_eq!(check(tagging(&[(tag::HOLD, SIGNED)])), Ok(()));
    let undo = [(tag::REJECTED, verdict.as_str()), (tag::PROVEN, proven), (tag::ROLLOUT, rollout)];
    assert_eq!(check(tagging(&undo)), Ok(()));
    let untag =
        |key: &str| Call::UntagResource { arn: SERVICE_ARN.to_owned(), keys: vec![key.to_owned()] };
    let bad = [
        tagging(&[(tag::OWNER, INSTANCE)]),
        tagging(&[("team", "shop")]),
        tagging(&[(tag::HOLD, "a\u{7}b")]),
        tagging(&[(tag::HOLD, &"x".repeat(257))]),
        tagging(&[(tag::REJECTED, "v1:v1:ff:1790000000:Aborted")]),
        tagging(&[(tag::PROVEN, proven)]),
        tagging(&[(tag::REJECTED, &verdict), (tag::PROVEN, "arn:x"), (tag::ROLLOUT, rollout)]),
        untag(tag::OWNER),
        untag(tag::PROVEN),
        Call::StopServiceDeployment { arn: "x".to_owned() },
        Call::TagResource { arn: "elsewhere".to_owned(), tags: [].into() },
    ];
    for call in bad {
        assert!(check(call.clone()).is_err(), "{call:?}");
    }
    let hold = tagging(&[(tag::HOLD, SIGNED)]);
    assert!(guarded(&ecs, &v2, hold, Lane::RolloutStep).is_err());
    let mut stopped = ecs.clone();
    stopped.tags.insert(tag::HOLD.to_owned(), String::new());
    assert!(guarded(&stopped, &v2, untag(tag::REJECTED), Lane::Person).is_err());
    assert_eq!(guarded(&stopped, &v2, untag(tag::HOLD), Lane::Person), Ok(()));
}

#[test]
fn the_guard_opens_no_gate_and_starts_nothing_against_a_person() {
    let refused = |mut change: Box<dyn FnMut(&mut Look)>| {
        let mut look = at_gate();
        let plan = look.plan();
        change(&mut look);
        let key = key();
        check(&plan, &input(&key, Some(&look.desired), &look.seen)).is_err()
    };
    assert!(!refused(Box::new(|_| ())));
    assert!(refused(Box::new(|look| look.tag(tag::PAUSE, SIGNED))));
    assert!(refused(Box::new(|look| {
        look.desired.rollout.approvals = vec![Gate::AfterTestTraffic];
        promoted(look, "ecs-pause-0");
    })));
    assert!(!refused(Box::new(|look| {
        look.tag(tag::PAUSE, SIGNED);
        promoted(look, "full");
    })));
    let (mut ecs, _) = twice_proven();
    let v3 = web("good:3").service();
    drop(ecs.pass(&v3));
    let start = ecs.plan(Some(&v3));
    ecs.tags.insert(tag::PAUSE.to_owned(), String::new());
    let (key, seen) = (key(), ecs.look(Some(&v3)));
    assert!(start.actions.iter().any(|one| matches!(one.call, Call::UpdateService { .. })));
    assert!(check(&start, &input(&key, Some(&v3), &seen)).is_err());
}

#[test]
fn a_return_where_traffic_moves_stops_at_no_gate() {
    let (mut ecs, v2) = twice_proven();
    ecs.ordered(&v2, Command::Undo { to: None }).unwrap();
    let mut look = Look::at(&ecs, v2);
    assert_eq!(look.update().get("deploymentConfiguration"), None, "it rolls");
    let configuration = look.document().get_mut("deploymentConfiguration").expect("it is shown");
    configuration["strategy"] = json!("CANARY");
    let at_once = json!({ "strategy": "BLUE_GREEN", "lifecycleHooks": [], "bakeTimeInMinutes": 0 });
    assert_eq!(look.update().get("deploymentConfiguration"), Some(&at_once));
}
