//! What holds for every course of events: random manifests, rivals and failures, then quiet.

use evenkeel_planner::{Call, Fact, Observed, Unknown, plan, tag};
use proptest::prelude::*;
use serde_json::json;

use crate::ecs::{Ecs, input};
use crate::manifests::{Draft, key, web};

#[derive(Clone, Debug)]
enum Event {
    Want(Box<Draft>),
    Time(u8),
    /// Somebody deploys something else.
    Rival,
    /// ECS's own breaker acts.
    RolledBack,
    /// An autoscaler, or a person, sets the count.
    Scale(u8),
    Crash,
    /// A person takes a verdict back.
    Retry,
    /// The daemon dies after the first call of a plan.
    Killed,
}

fn draft() -> impl Strategy<Value = Draft> {
    let image = prop_oneof![
        4 => (1_u8..5).prop_map(|n| format!("good:{n}")),
        1 => Just("crash:1".to_owned()),
        1 => Just("slow-crash:1".to_owned()),
        1 => Just("sick:1".to_owned()),
        1 => Just("missing:1".to_owned()),
        1 => Just("hang:1".to_owned()),
    ];
    let count = prop_oneof![3 => (1_u8..12).prop_map(Some), 1 => Just(None), 1 => Just(Some(0))];
    (image, count, any::<bool>(), 0_u8..3, any::<bool>()).prop_map(
        |(image, count, probed, tags, exec)| {
            let mut draft = match count {
                Some(count) => web(&image).with("desiredCount", json!(count)),
                None => web(&image).without("desiredCount"),
            };
            draft.probe.enabled = probed;
            if tags > 0 {
                draft = draft.with("tags", json!([{ "key": "tier", "value": tags.to_string() }]));
            }
            if exec { draft.with("enableExecuteCommand", json!(true)) } else { draft }
        },
    )
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        2 => draft().prop_map(|draft| Event::Want(Box::new(draft))),
        6 => (1_u8..40).prop_map(Event::Time),
        1 => Just(Event::Rival),
        1 => Just(Event::RolledBack),
        1 => (1_u8..12).prop_map(Event::Scale),
        1 => Just(Event::Crash),
        1 => Just(Event::Retry),
        2 => Just(Event::Killed),
    ]
}

/// Lets an event happen, with a pass between any two moments.
fn happen(ecs: &mut Ecs, wanted: &mut Draft, event: &Event) {
    match event {
        Event::Want(draft) => *wanted = (**draft).clone(),
        Event::Time(ticks) => {
            for _ in 0..*ticks {
                ecs.tick();
                drop(ecs.pass(&wanted.service()));
            }
        }
        Event::Rival if ecs.members.is_some() => {
            ecs.rival("good:99");
        }
        Event::RolledBack if ecs.is_rolling() => ecs.roll_back("ECS deployment circuit breaker"),
        Event::Scale(count) if ecs.members.is_some() => {
            ecs.update(&json!({ "desiredCount": count }));
        }
        Event::Crash if ecs.members.is_some() => ecs.crash_oldest(),
        Event::Killed => {
            let plan = ecs.plan(Some(&wanted.service()));
            if let Some(action) = plan.actions.first() {
                ecs.apply(&action.call);
            }
            ecs.tick();
        }
        Event::Retry => drop(ecs.tags.remove(tag::REJECTED)),
        Event::Rival | Event::RolledBack | Event::Scale(_) | Event::Crash => {}
    }
    drop(ecs.pass(&wanted.service()));
}

fn course() -> impl Strategy<Value = (Draft, Vec<Event>)> {
    (draft(), prop::collection::vec(event(), 0..12))
}

/// What ECS looks like after a course of events.
fn after(first: &Draft, events: &[Event]) -> (Ecs, Draft) {
    let (mut ecs, mut wanted) = (Ecs::new(), first.clone());
    drop(ecs.pass(&wanted.service()));
    for event in events {
        happen(&mut ecs, &mut wanted, event);
    }
    (ecs, wanted)
}

/// Each is a whole course, so few of them; `PROPTEST_CASES` asks for another number.
#[expect(clippy::disallowed_methods, reason = "how often is asked, and not what")]
fn cases() -> u32 {
    const USUAL: u32 = 24;
    std::env::var("PROPTEST_CASES").ok().and_then(|number| number.parse().ok()).unwrap_or(USUAL)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    /// Every plan on the way also passes `check`: the stand-in asserts it.
    #[test]
    fn when_the_world_is_quiet_plans_end_in_nothing_to_write((first, events) in course()) {
        let (mut ecs, wanted) = after(&first, &events);
        let desired = wanted.service();
        drop(ecs.settle(&desired, 300));
        ecs.later(2 * 3600);
        drop(ecs.settle(&desired, 300));
        // What waits for a person is quiet, too, and may still come to an end by itself.
        for _ in 0..100 {
            ecs.tick();
            drop(ecs.pass(&desired));
        }
        ecs.writes.clear();
        let last = ecs.settle(&desired, 30);
        prop_assert_eq!(&ecs.writes, &Vec::<String>::new(), "{}", last);
        let wanted_runs = ecs.primary_image() == wanted.task_definition["containerDefinitions"][0]["image"];
        let rejected = ecs.tags.contains_key(tag::REJECTED);
        prop_assert!(wanted_runs || rejected, "{}\n{:?}", last, ecs.tags);
        if let Some(count) = wanted.service.get("desiredCount").filter(|_| wanted_runs && !rejected) {
            prop_assert_eq!(count.as_u64(), Some(ecs.count()), "{}\n{:?}\n{:?}", last, ecs.tags, ecs.deployments);
        }
    }

    #[test]
    fn the_order_of_a_reply_changes_nothing((first, events) in course()) {
        let (ecs, wanted) = after(&first, &events);
        let desired = wanted.service();
        let seen = ecs.look(Some(&desired));
        let key = key();
        let forwards = plan(&input(&key, Some(&desired), &seen));
        let reversed = reversed(seen);
        let backwards = plan(&input(&key, Some(&desired), &reversed));
        prop_assert_eq!(forwards, backwards);
    }

    #[test]
    fn an_unknown_service_is_never_written_to((first, events) in course()) {
        let (ecs, wanted) = after(&first, &events);
        let desired = wanted.service();
        let seen = Observed { service: failed(), ..ecs.look(Some(&desired)) };
        let plan = plan(&input(&key(), Some(&desired), &seen));
        prop_assert_eq!(plan.actions, Vec::new());
    }

    #[test]
    fn unknown_task_definitions_let_nothing_be_registered_created_or_updated((first, events) in course()) {
        let (ecs, wanted) = after(&first, &events);
        let desired = wanted.service();
        let seen = Observed { task_definitions: failed(), ..ecs.look(Some(&desired)) };
        let plan = plan(&input(&key(), Some(&desired), &seen));
        prop_assert_eq!(plan.actions, Vec::new());
    }

    #[test]
    fn unknown_tasks_or_history_never_speak_for_a_revision((first, events) in course()) {
        let (ecs, wanted) = after(&first, &events);
        let desired = wanted.service();
        let seen = ecs.look(Some(&desired));
        let in_flight = ecs.tags.get(tag::ROLLOUT).is_some_and(|value| !value.contains(":rollback:"));
        for blind in [
            Observed { tasks: failed(), ..seen.clone() },
            Observed { service_deployments: failed(), ..seen.clone() },
            Observed { service_revisions: failed(), ..seen.clone() },
        ] {
            let plan = plan(&input(&key(), Some(&desired), &blind));
            for action in plan.actions.iter().filter(|_| in_flight) {
                let proves = matches!(&action.call, Call::TagResource { tags, .. } if tags.contains_key(tag::PROVEN));
                let widens = matches!(&action.call, Call::UpdateService { input } if input.get("taskDefinition").is_none() && input.get("networkConfiguration").is_none());
                prop_assert!(!proves && !widens, "{}", plan);
            }
        }
    }
}

fn failed<T>() -> Fact<T> {
    Fact::Unknown(Unknown::Failed { operation: "Describe".to_owned(), message: "500".to_owned() })
}

fn reversed(seen: Observed) -> Observed {
    fn backwards<T>(fact: Fact<Vec<T>>) -> Fact<Vec<T>> {
        match fact {
            Fact::Known(mut all) => {
                all.reverse();
                Fact::Known(all)
            }
            other => other,
        }
    }
    let service = match seen.service {
        Fact::Known(mut service) => {
            service.deployments.reverse();
            for list in ["loadBalancers", "tags", "events"] {
                if let Some(list) = service.document.get_mut(list).and_then(|it| it.as_array_mut())
                {
                    list.reverse();
                }
            }
            Fact::Known(service)
        }
        other => other,
    };
    Observed {
        service,
        task_definitions: backwards(seen.task_definitions),
        service_deployments: backwards(seen.service_deployments),
        service_revisions: backwards(seen.service_revisions),
        tasks: backwards(seen.tasks),
        target_groups: backwards(seen.target_groups),
        alarms: backwards(seen.alarms),
        ..seen
    }
}
