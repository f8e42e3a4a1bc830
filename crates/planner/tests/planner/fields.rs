//! Who owns what of a service, and what it was before.

use evenkeel_planner::{Cause, Field, FieldOwner, changes, fields};
use serde_json::{Value, json};

use crate::ecs::{Ecs, input};
use crate::manifests::{Draft, key, web};
use crate::plans::settled;

fn told(ecs: &Ecs, draft: &Draft) -> Vec<Field> {
    let desired = draft.service();
    let seen = ecs.look(Some(&desired));
    let key = key();
    let input = input(&key, Some(&desired), &seen);
    let fields = fields(&input);
    let differing: Vec<&str> =
        fields.iter().filter(|one| one.cause.is_some()).map(|one| one.path.as_str()).collect();
    let planned = changes(&input);
    let shown: Vec<&str> = planned.iter().map(|change| change.path.as_str()).collect();
    assert_eq!(differing, shown, "what differs is what a plan shows");
    fields
}

fn field<'f>(fields: &'f [Field], path: &str) -> &'f Field {
    fields.iter().find(|field| field.path == path).unwrap_or_else(|| panic!("{path}: {fields:#?}"))
}

fn set(ecs: &mut Ecs, member: &str, value: Value) {
    ecs.members.as_mut().expect("it exists").insert(member.to_owned(), value);
}

const IMAGE: &str = "taskDefinition.containerDefinitions[web].image";

#[test]
fn a_settled_service_differs_in_nothing() {
    let fields = told(&settled(&web("good:1")), &web("good:1"));
    assert!(fields.iter().all(|field| field.cause.is_none() && field.effect.is_none()));
    assert!(fields.iter().all(|field| field.owner != FieldOwner::Git), "{fields:#?}");
}

#[test]
fn what_the_manifest_changed_shows_what_it_was() {
    let fields = told(&settled(&web("good:1")), &web("good:2"));
    let image = field(&fields, IMAGE);
    assert_eq!((image.owner, image.cause), (FieldOwner::Git, Some(Cause::Manifest)));
    assert_eq!(image.live, Some(json!("good:1")));
    assert_eq!(image.wanted, Some(json!("good:2")));
    assert!(image.last.is_none() || image.last == image.live, "{image:?}");
}

#[test]
fn what_somebody_deployed_shows_that_the_manifest_did_not_change() {
    let mut ecs = settled(&web("good:1"));
    ecs.rival("other:9");
    let fields = told(&ecs, &web("good:1"));
    let image = field(&fields, IMAGE);
    assert_eq!((image.owner, image.cause), (FieldOwner::Git, Some(Cause::Outside)));
    let values = (image.last.clone(), image.wanted.clone(), image.live.clone());
    assert_eq!(values, (Some(json!("good:1")), Some(json!("good:1")), Some(json!("other:9"))));
}

#[test]
fn of_what_changes_in_place_nothing_is_remembered() {
    let mut ecs = settled(&web("good:1").with("desiredCount", json!(4)));
    set(&mut ecs, "desiredCount", json!(6));
    let fields = told(&ecs, &web("good:1").with("desiredCount", json!(4)));
    let count = field(&fields, "service.desiredCount");
    assert_eq!((count.owner, count.cause), (FieldOwner::Git, Some(Cause::Unknown)));
    assert_eq!((&count.last, &count.live), (&None, &Some(json!(6))));
}

#[test]
fn what_the_manifest_leaves_out_belongs_to_somebody_else() {
    let draft = web("good:1").without("desiredCount");
    let mut ecs = settled(&draft);
    set(&mut ecs, "enableExecuteCommand", json!(true));
    let fields = told(&ecs, &draft);
    let owner = |path: &str| {
        let field = field(&fields, path);
        assert_eq!((&field.wanted, field.cause), (&None, None), "{field:?}");
        field.owner
    };
    assert_eq!(owner("service.desiredCount"), FieldOwner::Autoscaler);
    assert_eq!(owner("service.enableExecuteCommand"), FieldOwner::Outside);
    set(&mut ecs, "enableExecuteCommand", json!(false));
    let fields = told(&ecs, &draft);
    assert_eq!(field(&fields, "service.enableExecuteCommand").owner, FieldOwner::AwsDefault);
}

#[test]
fn what_evenkeel_manages_without_being_told_is_its_own() {
    let mut ecs = settled(&web("good:1"));
    let path = "service.deploymentConfiguration.deploymentCircuitBreaker.enable";
    let members = ecs.members.as_mut().expect("it exists");
    members["deploymentConfiguration"]["deploymentCircuitBreaker"]["enable"] = json!(false);
    let fields = told(&ecs, &web("good:1"));
    assert_eq!(field(&fields, path).owner, FieldOwner::Evenkeel);
}

#[test]
fn no_field_shows_a_secret() {
    let mut draft = web("good:2");
    draft.task_definition["containerDefinitions"][0]["environment"] =
        json!([{ "name": "TOKEN", "value": "hunter3" }]);
    let told = serde_json::to_string(&told(&settled(&web("good:1")), &draft)).expect("JSON");
    assert!(!told.contains("hunter"), "{told}");
    assert!(told.contains("TOKEN"), "{told}");
}
