//! Two states of one manifest: what differs, and what it will take; never looks at AWS.

use std::time::Duration;

use evenkeel_manifest::{Percent, Scale, Service, Shift, Step, Steps, Strategy, TrafficStep};
use evenkeel_planner::{Forecast, forecast, revised};
use serde_json::json;

use crate::manifests::web;

fn told(old: &Service, new: &Service) -> String {
    let lines = revised(Some(old), new).changes.into_iter().map(|change| {
        let shown =
            |value: Option<serde_json::Value>| value.map_or("-".to_owned(), |v| v.to_string());
        format!(
            "{}: {} -> {} ({})",
            change.path,
            shown(change.old),
            shown(change.new),
            change.effect
        )
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn with(strategy: Strategy) -> (Service, Service) {
    let (mut old, mut new) = (web("good:1").service(), web("good:2").service());
    (old.rollout.strategy, new.rollout.strategy) = (strategy.clone(), strategy);
    (old, new)
}

fn taken(strategy: Strategy) -> (Option<u64>, u64) {
    let (old, new) = with(strategy);
    let forecast = forecast(Some(&old), &new);
    (forecast.surge, forecast.seconds_at_least)
}

#[test]
fn the_same_manifest_has_no_changes_and_takes_nothing() {
    let service = web("good:1").service();
    assert!(revised(Some(&service), &service).changes.is_empty());
    let nothing = Forecast { tasks_restarted: Some(0), surge: Some(0), ..Forecast::default() };
    assert_eq!(forecast(Some(&service), &service), nothing);
}

#[test]
fn each_field_says_what_applying_it_means() {
    let old = web("good:1").with("placementStrategy", json!([{ "type": "random" }]));
    let old = old.with("tags", json!([{ "key": "team", "value": "a" }]));
    let mut new = web("good:2").with("desiredCount", json!(6)).without("networkConfiguration");
    new.task_definition["containerDefinitions"][0]["environment"][0]["value"] = json!("swordfish");
    let new = new.with("tags", json!([{ "key": "team", "value": "b" }])).paused();
    let new = new.with("deploymentConfiguration", json!({ "maximumPercent": 150 }));
    insta::assert_snapshot!(told(&old.service(), &new.service()), @r#"
    taskDefinition.containerDefinitions[web].environment[TOKEN].value: "(sensitive)" -> "(sensitive)" (registers a revision and starts a deployment)
    taskDefinition.containerDefinitions[web].image: "good:1" -> "good:2" (registers a revision and starts a deployment)
    service.deploymentConfiguration.maximumPercent: 200 -> 150 (changes in place)
    service.desiredCount: 4 -> 6 (changes in place)
    service.placementStrategy: [{"type":"random"}] -> - (changes in place)
    service.networkConfiguration.awsvpcConfiguration.subnets: ["subnet-1"] -> - (is left as it is in AWS)
    service.tags[team]: "a" -> "b" (changes in place)
    paused: false -> true (changes how Evenkeel goes about it)
    "#);
}

#[test]
fn tags_and_the_order_of_environment_files_are_told_although_they_wait_for_the_next_revision() {
    let draft = |image: &str, team: &str, files: [&str; 2]| {
        let mut draft = web(image);
        let files = files.map(|name| json!({ "type": "s3", "value": name }));
        draft.task_definition["containerDefinitions"][0]["environmentFiles"] = json!(files);
        draft.task_definition["tags"] = json!([{ "key": "team", "value": team }]);
        draft.service()
    };
    let old = draft("good:1", "a", ["a.env", "b.env"]);
    let new = draft("good:1", "b", ["b.env", "a.env"]);
    insta::assert_snapshot!(told(&old, &new), @r#"
    taskDefinition.tags[team]: "a" -> "b" (is applied with the next revision that is registered)
    taskDefinition.containerDefinitions[web].environmentFiles: [{"type":"s3","value":"a.env"},{"type":"s3","value":"b.env"}] -> [{"type":"s3","value":"b.env"},{"type":"s3","value":"a.env"}] (is applied with the next revision that is registered)
    "#);
    let found = revised(Some(&old), &new);
    assert!(!found.registers && !found.deploys);

    let next = told(&old, &draft("good:2", "b", ["b.env", "a.env"]));
    assert_eq!(next.matches("(registers a revision and starts a deployment)").count(), 3, "{next}");
    let other = told(&old, &draft("good:1", "a", ["c.env", "a.env"]));
    assert_eq!(other.matches("environmentFiles").count(), 1, "files are told once: {other}");
}

#[test]
fn what_cannot_be_changed_says_so_and_starts_nothing() {
    let (old, new) = (web("good:1"), web("good:1").with("launchType", json!("EC2")));
    let revised = revised(Some(&old.service()), &new.service());
    assert_eq!(revised.changes.len(), 1);
    assert_eq!(revised.changes[0].effect, "cannot be changed on a service that exists");
    assert!(!revised.deploys && !revised.registers);
}

#[test]
fn a_new_service_is_created_with_all_its_fields() {
    let new = web("good:1").service();
    let revised = revised(None, &new);
    assert!(revised.changes.iter().all(|change| change.effect == "creates the service"));
    let forecast = forecast(None, &new);
    assert_eq!((forecast.register_calls, forecast.tasks_restarted), (1, Some(0)));
}

#[test]
fn a_change_in_place_restarts_no_task() {
    let (old, new) =
        (web("good:1").service(), web("good:1").with("desiredCount", json!(6)).service());
    let forecast = forecast(Some(&old), &new);
    assert!(!forecast.deploys);
    assert_eq!((forecast.tasks_restarted, forecast.register_calls), (Some(0), 0));
}

#[test]
fn a_member_of_a_revision_restarts_all_tasks_and_registers_nothing() {
    let network = json!({ "awsvpcConfiguration": { "subnets": ["subnet-2"] } });
    let (old, new) =
        (web("good:1").service(), web("good:1").with("networkConfiguration", network).service());
    let forecast = forecast(Some(&old), &new);
    assert!(forecast.deploys);
    assert_eq!((forecast.tasks_restarted, forecast.register_calls), (Some(4), 0));
}

#[test]
fn a_rolling_surge_is_what_the_percentage_allows_rounded_down() {
    for (maximum, surge) in [(100, 0), (120, 0), (125, 1), (150, 2), (200, 4)] {
        let draft = |image| {
            web(image).with("deploymentConfiguration", json!({ "maximumPercent": maximum }))
        };
        let forecast = forecast(Some(&draft("good:1").service()), &draft("good:2").service());
        assert_eq!(forecast.surge, Some(surge), "{maximum}");
        assert_eq!(forecast.seconds_at_least, 30);
    }
}

#[test]
fn a_count_that_the_manifest_leaves_out_is_not_known() {
    let draft = |image| web(image).without("desiredCount").service();
    let forecast = forecast(Some(&draft("good:1")), &draft("good:2"));
    assert_eq!((forecast.tasks_restarted, forecast.surge), (None, None));
}

#[test]
fn each_strategy_takes_its_bakes() {
    let shift = Shift { bake: Duration::from_mins(5), ..Shift::default() };
    let step = |percent| Step { percent: Percent::whole(percent), bake: Duration::from_mins(2) };
    assert_eq!(taken(Strategy::BlueGreen(shift)), (Some(4), 5 * 60));
    assert_eq!(taken(Strategy::Canary(shift, step(10))), (Some(4), 7 * 60));
    assert_eq!(taken(Strategy::Linear(shift, step(30))), (Some(4), 11 * 60));
    assert_eq!(taken(Strategy::Linear(shift, step(100))), (Some(4), 5 * 60));
    let one = |weight, scale| TrafficStep {
        weight: Percent::whole(weight),
        scale,
        bake: Duration::from_mins(3),
        ..TrafficStep::default()
    };
    let steps = |last| Steps {
        steps: vec![one(10, Scale::Auto), last],
        keep_for: Duration::from_mins(10),
        gate_timeout: Duration::from_hours(1),
    };
    assert_eq!(taken(Strategy::Steps(steps(one(100, Scale::Auto)))), (Some(4), 16 * 60));
    assert_eq!(taken(Strategy::Steps(steps(one(30, Scale::Percent(30))))), (Some(2), 16 * 60));
}

#[test]
fn the_tasks_that_ran_before_are_restarted_and_the_surge_is_beside_the_new_count() {
    let new = web("good:2").with("desiredCount", json!(6)).service();
    let forecast = forecast(Some(&web("good:1").service()), &new);
    assert_eq!((forecast.tasks_restarted, forecast.surge), (Some(4), Some(6)));
}
