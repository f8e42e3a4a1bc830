//! Windows of time: what does not start under a freeze, what goes on, and who lets something pass.

use std::time::Duration;

use evenkeel_manifest::{InFlight, Service, Window};
use evenkeel_planner::{
    Command, ConditionKind, ConditionStatus, Gates, Outcome, RolloutPhase, WaitReason, check, plan,
    status, tag,
};
use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::json;

use crate::ecs::{Ecs, input};
use crate::gates::{answers, at_gate};
use crate::looks::Look;
use crate::manifests::{Draft, key, web, window};
use crate::plans::{reasons, settled, story};

/// Every day from four in the afternoon, when these tests begin, until four in the morning.
fn nights() -> Window {
    window(None, Some("0 16 * * *"), "12h")
}

fn until() -> Timestamp {
    "2026-09-22T02:00:00Z".parse().expect("it is a time")
}

fn frozen(image: &str) -> Service {
    web(image).within(nights()).service()
}

/// In the middle of the probe of `draft`, rolled out before its windows were written.
fn probing(draft: &Draft, windows: &[Window]) -> (Ecs, Service) {
    let mut ecs = settled(&web("good:1"));
    let mut desired = draft.service();
    while !ecs.tags.get(tag::ROLLOUT).is_some_and(|mark| mark.contains("ecs-svc/")) {
        drop(ecs.pass(&desired));
        ecs.tick();
    }
    desired.rollout.windows = windows.to_vec();
    (ecs, desired)
}

fn pausing(mut window: Window) -> Window {
    window.in_flight = InFlight::Pause;
    window
}

#[test]
fn a_rollout_waits_until_the_window_ends_and_then_starts_by_itself() {
    let mut ecs = settled(&web("good:1"));
    let v2 = frozen("good:2");
    insta::assert_snapshot!(story(&mut ecs, &v2, 20));
    assert_eq!(ecs.writes.len(), 0, "{:?}", ecs.writes);
    let plan = ecs.pass(&v2);
    assert_eq!(plan.waiting.first().and_then(|wait| wait.until), Some(until()));
    let left = until().duration_since(ecs.at());
    assert_eq!(plan.look_again, Duration::try_from(left).expect("it is to come"));
    ecs.later(left.as_secs());
    assert_eq!(ecs.settle(&v2, 100).to_string(), "nothing to do\n");
    assert_eq!(ecs.primary_image(), "good:2");
}

#[test]
fn a_service_that_waits_for_a_window_says_so() {
    let ecs = settled(&web("good:1"));
    let (key, v2) = (key(), frozen("good:2"));
    let seen = ecs.look(Some(&v2));
    let input = input(&key, Some(&v2), &seen);
    let told = status(&input, &plan(&input), &Outcome::Done);
    let is = |kind| told.condition(kind).map(|one| (one.status, one.reason));
    assert_eq!(is(ConditionKind::Ready), Some((ConditionStatus::False, "Frozen")));
    assert_eq!(is(ConditionKind::Progressing), Some((ConditionStatus::True, "Frozen")));
}

#[test]
fn no_service_is_created_under_a_freeze() {
    let mut ecs = Ecs::new();
    let plan = ecs.settle(&frozen("good:1"), 10);
    assert_eq!((reasons(&plan), ecs.writes.len()), (vec![WaitReason::Frozen], 0), "{plan}");
    ecs.later(until().duration_since(ecs.at()).as_secs());
    assert_eq!(ecs.settle(&frozen("good:1"), 100).to_string(), "nothing to do\n");
}

#[test]
fn where_a_window_allows_rollouts_none_starts_outside_of_it() {
    let mut ecs = settled(&web("good:1"));
    let office = window(Some("0 9 * * MON-FRI"), None, "8h");
    let late = window(Some("0 15 * * MON"), None, "8h");
    let v2 = web("good:2").within(office).service();
    let plan = ecs.settle(&v2, 10);
    assert_eq!((reasons(&plan), ecs.writes.len()), (vec![WaitReason::Frozen], 0));
    assert!(
        plan.to_string().contains("outside of what is open by allow `0 9 * * MON-FRI`"),
        "{plan}"
    );
    let mut denied = v2.clone();
    denied.rollout.windows.extend([late.clone(), nights()]);
    assert_eq!(
        reasons(&ecs.settle(&denied, 10)),
        [WaitReason::Frozen],
        "what is denied is not allowed"
    );
    let mut allowed = v2;
    allowed.rollout.windows.push(late);
    assert_eq!(ecs.settle(&allowed, 100).to_string(), "nothing to do\n");
    assert_eq!(ecs.primary_image(), "good:2");
}

#[test]
fn counts_and_what_changes_in_place_follow_the_manifest_under_a_freeze() {
    let mut ecs = settled(&web("good:1"));
    let v2 = web("good:2").with("desiredCount", json!(6)).within(nights()).service();
    let plan = ecs.settle(&v2, 40);
    assert_eq!(reasons(&plan), [WaitReason::Frozen]);
    assert_eq!((ecs.count(), ecs.primary_image()), (6, "good:1".to_owned()));
}

#[test]
fn a_window_is_no_content_and_starts_nothing() {
    assert_eq!(frozen("good:1").revision_digest, web("good:1").service().revision_digest);
    let mut ecs = settled(&web("good:1"));
    assert_eq!(ecs.settle(&frozen("good:1"), 10).to_string(), "nothing to do\n");
    assert_eq!(ecs.writes.len(), 0);
}

#[test]
fn a_rollout_in_flight_goes_on_unless_the_window_pauses_it() {
    let (mut ecs, v2) = probing(&web("good:2"), &[nights()]);
    assert_eq!(ecs.settle(&v2, 100).to_string(), "nothing to do\n");
    let (mut ecs, v2) = probing(&web("good:2"), &[pausing(nights())]);
    let plan = ecs.settle(&v2, 60);
    assert_eq!(reasons(&plan), [WaitReason::Frozen], "{plan}");
    assert!(ecs.tags[tag::ROLLOUT].contains(":probe:"), "{:?}", ecs.tags);
    ecs.later(until().duration_since(ecs.at()).as_secs());
    assert_eq!(ecs.settle(&v2, 100).to_string(), "nothing to do\n");
}

#[test]
fn a_gate_stays_shut_only_for_a_window_that_pauses_and_opens_for_a_person() {
    let mut look = at_gate();
    let at_the_gate = |look: &Look| answers(look).len();
    look.desired.rollout.windows = vec![nights()];
    assert_eq!(at_the_gate(&look), 1);
    look.desired.rollout.windows = vec![pausing(nights())];
    assert_eq!((at_the_gate(&look), reasons(&look.plan())), (0, vec![WaitReason::Frozen]));
    let digest = look.desired.revision_digest.clone();
    for scope in ["ecs-pause-1", "full", "freeze"] {
        look.tag(tag::PROMOTE, &format!("v1:{digest}:{scope}:1790000000:ann:urgent"));
        assert_eq!(at_the_gate(&look), 1, "{scope}");
    }
}

#[test]
fn a_person_lets_exactly_this_content_pass_a_freeze() {
    let mut ecs = settled(&web("good:1"));
    let v2 = frozen("good:2");
    drop(ecs.settle(&v2, 10));
    let sentence = ecs.ordered(&v2, Command::Promote(Gates::Now)).expect("it is frozen");
    assert!(sentence.contains("although rollouts are frozen"), "{sentence}");
    let v3 = frozen("good:3");
    assert!(!ecs.plan(Some(&v3)).to_string().contains("UpdateService"), "other content");
    let told = story(&mut ecs, &v2, 40);
    assert!(told.contains("not kept by a freeze: it was promoted by ann@laptop"), "{told}");
    assert_eq!(ecs.settle(&v2, 100).to_string(), "nothing to do\n");
    assert_eq!(ecs.primary_image(), "good:2");
    assert!(!ecs.tags.contains_key(tag::PROMOTE), "it is forgotten: {:?}", ecs.tags);
}

#[test]
fn what_was_let_past_a_freeze_is_not_stopped_by_it_later() {
    let mut ecs = settled(&web("good:1"));
    let v2 = web("good:2").within(pausing(nights())).service();
    drop(ecs.settle(&v2, 10));
    ecs.ordered(&v2, Command::Promote(Gates::Now)).expect("it is frozen");
    assert_eq!(ecs.settle(&v2, 100).to_string(), "nothing to do\n");
    let (mut ecs, v2) = probing(&web("good:2"), &[pausing(nights())]);
    drop(ecs.settle(&v2, 60));
    ecs.ordered(&v2, Command::Promote(Gates::Now)).expect("it is stopped by the freeze");
    assert_eq!(ecs.settle(&v2, 100).to_string(), "nothing to do\n");
}

#[test]
fn a_promotion_that_is_about_no_freeze_is_refused() {
    let mut ecs = settled(&web("good:1"));
    let refusal = |ecs: &mut Ecs, desired: &Service, gates| {
        ecs.ordered(desired, Command::Promote(gates)).expect_err("it is refused").0
    };
    let v1 = frozen("good:1");
    assert!(refusal(&mut ecs, &v1, Gates::Now).contains("no rollout"), "it runs");
    let v2 = frozen("good:2");
    assert!(refusal(&mut ecs, &v2, Gates::All).contains("without --full"));
    assert!(
        refusal(&mut ecs, &web("good:2").service(), Gates::Now).contains("no rollout"),
        "no freeze"
    );
    ecs.ordered(&v2, Command::Abort).expect("it has not begun");
    assert!(refusal(&mut ecs, &v2, Gates::Now).contains("was rejected"));
}

#[test]
fn an_undo_is_carried_out_under_a_freeze_and_a_retry_waits() {
    let mut ecs = settled(&web("good:1"));
    assert_eq!(ecs.settle(&web("good:2").service(), 100).to_string(), "nothing to do\n");
    let v2 = frozen("good:2");
    ecs.ordered(&v2, Command::Undo { to: None }).expect("there is one before");
    drop(ecs.settle(&v2, 100));
    assert_eq!(ecs.primary_image(), "good:1");
    ecs.ordered(&v2, Command::Retry).expect("it was rejected");
    assert_eq!(reasons(&ecs.settle(&v2, 50)), [WaitReason::Frozen]);
    assert_eq!(ecs.primary_image(), "good:1");
}

#[test]
fn the_guard_refuses_a_start_under_a_freeze_and_lets_a_return_pass() {
    let key = key();
    let mut ecs = settled(&web("good:1"));
    let v2 = web("good:2").service();
    let frozen = frozen("good:2");
    while !ecs.plan(Some(&v2)).to_string().contains("UpdateService") {
        drop(ecs.pass(&v2));
        ecs.tick();
    }
    let seen = ecs.look(Some(&v2));
    let planned = plan(&input(&key, Some(&v2), &seen));
    assert_eq!(check(&planned, &input(&key, Some(&v2), &seen)), Ok(()));
    let broken = check(&planned, &input(&key, Some(&frozen), &seen)).expect_err("it is frozen");
    assert!(broken.iter().any(|one| one.contains("rollouts are frozen by deny")), "{broken:?}");
    let gate = at_gate();
    let opened = gate.plan();
    let mut shut = gate.desired.clone();
    shut.rollout.windows = vec![pausing(nights())];
    let broken = check(&opened, &input(&key, Some(&shut), &gate.seen)).expect_err("it is frozen");
    assert!(broken.iter().any(|one| one.contains("ContinueServiceDeployment")), "{broken:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whenever it sets in, and whatever it does with what is in flight: what is left without it is left
    /// under it. The stand-in asserts that the guard lets every step pass.
    #[test]
    fn no_freeze_keeps_a_bad_revision_from_being_left(
        image in prop::sample::select(vec!["crash:1", "slow-crash:1", "sick:1", "missing:1", "hang:1"]),
        ticks in 0_u32..40,
        pauses in any::<bool>(),
    ) {
        let mut ecs = settled(&web("good:1"));
        let mut desired = web(image).service();
        while ecs.primary_image() == "good:1" {
            drop(ecs.pass(&desired));
        }
        for _ in 0..ticks {
            drop(ecs.pass(&desired));
            ecs.tick();
        }
        let mut free = ecs.clone();
        drop(free.settle(&desired, 300));
        let all_day = window(None, Some("0 * * * *"), "2h");
        desired.rollout.windows = vec![if pauses { pausing(all_day) } else { all_day }];
        drop(ecs.settle(&desired, 300));
        prop_assert!(free.primary_image() != "good:1" || ecs.primary_image() == "good:1");
        prop_assert!(image == "slow-crash:1" || free.primary_image() == "good:1");
    }
}

#[test]
fn a_probe_that_is_kept_by_a_freeze_is_judged_on() {
    let (mut ecs, v2) = probing(&web("good:2"), &[pausing(nights())]);
    drop(ecs.settle(&v2, 60));
    for _ in 0..3 {
        ecs.crash_oldest();
        ecs.tick();
        ecs.tick();
    }
    drop(ecs.settle(&v2, 100));
    assert_eq!(ecs.primary_image(), "good:1");
    let key = key();
    let seen = ecs.look(Some(&v2));
    let input = input(&key, Some(&v2), &seen);
    let told = status(&input, &plan(&input), &Outcome::Done);
    assert!(told.rollout.is_none_or(|one| one.phase == RolloutPhase::RollingBack));
}

#[test]
fn what_was_rejected_is_left_under_a_freeze_though_the_manifest_went_back_and_may_start_nothing() {
    let mut look = Look::in_phase(&web("good:1"), &web("crash:2"), ":rollback:");
    look.tag(tag::REJECTED, &format!("v1:{}:1790000000:Crashes", look.desired.revision_digest));
    look.desired = frozen("good:1");
    assert_eq!(look.calls(), ["StopServiceDeployment"]);
}
