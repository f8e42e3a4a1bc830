//! The probe: how long one task must be healthy, and what that costs when it is not.

use std::time::Duration;

use evenkeel_planner::{VerdictKind, WaitReason, tag};
use serde_json::{Value, json};

use crate::ecs::Ecs;
use crate::looks::{Look, missing};
use crate::manifests::{Draft, web};
use crate::plans::settled;

/// Passes and ticks until the rollout is widened, at most `ticks`; how many of them it took.
fn widened_after(ecs: &mut Ecs, draft: &Draft, ticks: u32) -> Option<u32> {
    (0..ticks).find(|_| {
        drop(ecs.pass(&draft.service()));
        ecs.tick();
        ecs.tags.get(tag::ROLLOUT).is_some_and(|mark| mark.contains(":widen:"))
    })
}

#[test]
fn a_task_that_outlives_the_first_failure_does_not_buy_another_one_while_probing() {
    let long = |image| {
        let mut draft = web(image);
        draft.probe.healthy_for = Duration::from_mins(5);
        draft.service()
    };
    let mut ecs = settled(&web("good:1"));
    let v2 = long("good:2");
    let mut verdict = None;
    for lived in [6, 12] {
        assert_eq!(verdict, None);
        for _ in 0..lived {
            drop(ecs.pass(&v2));
            ecs.tick();
        }
        ecs.crash_oldest();
        verdict = ecs.pass(&v2).verdict.map(|verdict| verdict.kind);
    }
    assert_eq!(verdict, Some(VerdictKind::Crashes));
}

#[test]
fn a_task_that_starts_slowly_must_be_healthy_for_as_long_as_any_other() {
    let late = |image| {
        let mut draft = web(image);
        draft.probe.healthy_for = Duration::from_mins(1);
        draft
    };
    let mut ecs = settled(&late("good:1"));
    let ticks = widened_after(&mut ecs, &late("late:2"), 100);
    assert!(ticks.is_some_and(|ticks| ticks >= (120 + 60) / 5), "{ticks:?}");
}

/// The look may have begun when the task was not healthy yet.
#[test]
fn a_task_is_watched_from_the_end_of_the_look_that_first_showed_it_healthy() {
    let v2 = web("good:2").service();
    let mut ecs = settled(&web("good:1"));
    for _ in 0..60 {
        let mut look = Look::at(&ecs, v2.clone());
        let since = |look: &Look| {
            let mark = look.tags_written().remove(tag::ROLLOUT)?;
            let since = mark.rsplit([':', '/']).next()?.parse::<i64>().ok()?;
            (mark.matches('/').count() == 2).then(|| since - look.seen.at.as_second())
        };
        if since(&look).is_some() {
            look.seen.took = Duration::from_millis(400);
            assert_eq!(since(&look), Some(0));
            look.seen.took = Duration::from_secs(20);
            assert_eq!(since(&look), Some(20));
            return;
        }
        drop(ecs.pass(&v2));
        ecs.tick();
    }
    panic!("no task was ever watched: {:?}", ecs.tags);
}

#[test]
fn a_restart_does_not_begin_the_probe_anew_and_writes_nothing_for_it() {
    let mut ecs = settled(&web("good:1"));
    let v2 = web("good:2").service();
    let watched = |ecs: &Ecs| {
        ecs.tags.get(tag::ROLLOUT).filter(|mark| mark.matches('/').count() == 2).cloned()
    };
    for _ in 0..8 {
        drop(ecs.pass(&v2));
        ecs.tick();
    }
    assert!(watched(&ecs).is_some(), "{:?}", ecs.tags);
    let (mark, writes) = (watched(&ecs), ecs.writes.len());
    drop(ecs.pass(&v2));
    assert_eq!((watched(&ecs), ecs.writes.len()), (mark, writes));
}

#[test]
fn when_the_task_watched_is_gone_the_next_one_is_watched_from_the_start() {
    let mut ecs = settled(&web("good:1"));
    let v2 = web("good:2");
    for _ in 0..7 {
        drop(ecs.pass(&v2.service()));
        ecs.tick();
    }
    let before = ecs.tags[tag::ROLLOUT].clone();
    assert_eq!(before.matches('/').count(), 2, "{before}");
    ecs.crash_oldest();
    let ticks = widened_after(&mut ecs, &v2, 100);
    assert!(ticks.is_some_and(|ticks| ticks >= 30 / 5), "{ticks:?}");
}

#[test]
fn without_any_check_a_task_is_healthy_when_ecs_says_so_and_not_before() {
    let mut ecs = settled(&web("good:1").without("loadBalancers"));
    let ticks = widened_after(&mut ecs, &web("good:2").without("loadBalancers"), 100);
    assert!(ticks.is_some_and(|ticks| ticks >= (40 + 30) / 5), "{ticks:?}");
}

/// A probe of one task among four, as narrow as that needs.
fn probing() -> Look {
    let mut look = Look::in_phase(&web("good:1"), &web("good:2"), ":probe:");
    look.mark("probe", 0);
    look
}

/// The percentages of the service are these.
fn at(mut look: Look, maximum: u32) -> Look {
    let percentages = json!({ "maximumPercent": maximum, "minimumHealthyPercent": 100 });
    look.document().insert("deploymentConfiguration".to_owned(), percentages);
    look
}

#[test]
fn a_probe_is_fitted_to_a_count_that_somebody_changed_while_ecs_moves_tasks() {
    let grown = |look: Look| {
        let mut look = look;
        look.service().desired_count = 10;
        look
    };
    let fitted = json!({ "deploymentConfiguration": { "maximumPercent": 110 } });
    assert_eq!(at(probing(), 125).update(), Value::Null, "it fits four tasks");
    assert_eq!(grown(at(probing(), 125)).update(), fitted);
    assert_eq!(grown(at(probing(), 200)).update(), Value::Null, "it was never narrowed");
    let mut complete = grown(at(probing(), 125));
    complete.primary().rollout_state = Some("COMPLETED".to_owned());
    assert_eq!(complete.update(), Value::Null);
}

#[test]
fn where_no_tasks_are_shown_a_probe_passes_when_ecs_completed_it() {
    let mut look = probing();
    look.seen.tasks = missing();
    assert_eq!(look.plan().waiting[0].reason, WaitReason::Probe);
    look.primary().rollout_state = Some("COMPLETED".to_owned());
    let mark = look.tags_written().remove(tag::ROLLOUT).unwrap_or_default();
    assert!(mark.contains(":widen:"), "{mark}");
}

#[test]
fn once_a_probe_passed_no_task_is_watched_any_more() {
    let look = Look::in_phase(&web("good:1"), &web("good:2"), ":widen:");
    let service = look.seen.service.known().expect("it was seen");
    let mark = &service.tags[tag::ROLLOUT];
    assert_eq!(mark.matches('/').count(), 1, "{mark}");
}

#[test]
fn a_probe_that_somebody_scaled_to_zero_gets_one_task_again_and_not_all_of_them() {
    let mut look = Look::in_phase(&web("good:1"), &web("good:2"), ":probe:");
    look.mark("probe", 60);
    look.service().desired_count = 0;
    look.tasks().clear();
    assert_eq!(look.update(), json!({"desiredCount": 1}), "{}", look.plan());
    assert_eq!(look.calls(), ["UpdateService"], "and it stays a probe");
}
