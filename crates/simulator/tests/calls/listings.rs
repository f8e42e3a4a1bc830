//! Lists come in pages; descriptions have limits and failures.

use serde_json::{Value, json};

use super::fixture::{Fixture, seconds};

/// All pages of a listing; every page but the last is full.
fn pages(fixture: &Fixture, operation: &str, input: Value, member: &str) -> Vec<Vec<Value>> {
    let mut input = input;
    let mut pages = Vec::new();
    loop {
        let reply = fixture.ecs(operation, input.clone());
        pages.push(reply[member].as_array().unwrap().clone());
        match reply.get("nextToken") {
            Some(token) => input["nextToken"] = token.clone(),
            None => return pages,
        }
    }
}

fn many_services() -> Fixture {
    let fixture = Fixture::new();
    fixture.register("web:1");
    for index in 0..23 {
        fixture.create(0, json!({"serviceName": format!("web-{index}")}));
    }
    fixture
}

#[test]
fn services_are_listed_ten_at_a_time_unless_told_otherwise() {
    let fixture = many_services();
    let lengths = |input| {
        let pages = pages(&fixture, "ListServices", input, "serviceArns");
        pages.iter().map(Vec::len).collect::<Vec<_>>()
    };
    assert_eq!(lengths(json!({"cluster": "main"})), [10, 10, 3]);
    assert_eq!(lengths(json!({"cluster": "main", "maxResults": 23})), [23]);
}

#[test]
fn at_most_ten_services_are_described_in_a_call() {
    let fixture = many_services();
    let names: Vec<String> = (0..11).map(|index| format!("web-{index}")).collect();
    let error = fixture.try_ecs("DescribeServices", json!({"cluster": "main", "services": names}));
    assert_eq!(error.unwrap_err().code, "InvalidParameterException");
}

#[test]
fn revisions_are_listed_in_number_order_newest_first_on_request() {
    let fixture = Fixture::new();
    for _ in 0..12 {
        fixture.register("web:1");
    }
    let input = json!({"familyPrefix": "web", "sort": "DESC", "maxResults": 5});
    let pages = pages(&fixture, "ListTaskDefinitions", input, "taskDefinitionArns");
    let numbers: Vec<u32> = pages
        .concat()
        .iter()
        .map(|arn| arn.as_str().unwrap().rsplit(':').next().unwrap().parse().unwrap())
        .collect();
    assert_eq!(numbers, (1..=12).rev().collect::<Vec<_>>());
    let families = fixture.ecs("ListTaskDefinitionFamilies", json!({"status": "ACTIVE"}));
    assert_eq!(families["families"], json!(["web"]));
}

#[test]
fn tasks_are_found_by_service_status_and_deployment() {
    let mut fixture = Fixture::running("web:1", 3, json!({}));
    let task = fixture.tasks("RUNNING")[0]["taskArn"].clone();
    fixture.ecs("StopTask", json!({"cluster": "main", "task": task}));
    fixture.advance(seconds(1));
    let number =
        |input: Value| fixture.ecs("ListTasks", input)["taskArns"].as_array().unwrap().len();
    assert_eq!(number(json!({"cluster": "main", "serviceName": "web"})), 2);
    assert_eq!(number(json!({"cluster": "main", "desiredStatus": "STOPPED"})), 1);
    assert_eq!(number(json!({"cluster": "main", "desiredStatus": "PENDING"})), 0);
    assert_eq!(number(json!({"cluster": "main", "family": "other"})), 0);
    let id = fixture.primary()["id"].clone();
    assert_eq!(number(json!({"cluster": "main", "startedBy": id})), 2);
    let both = json!({"cluster": "main", "startedBy": id, "serviceName": "web"});
    assert!(fixture.try_ecs("ListTasks", both).is_err());
}

#[test]
fn service_deployments_are_listed_newest_first_and_by_status() {
    let mut fixture = Fixture::running("web:1", 1, json!({}));
    fixture.roll_to("web:2");
    assert!(fixture.settle());
    fixture.roll_to("web:3");
    let list = |status: Value| {
        let input = json!({"cluster": "main", "service": "web", "status": status});
        fixture.ecs("ListServiceDeployments", input)["serviceDeployments"].clone()
    };
    let all = list(json!([]));
    let times: Vec<f64> =
        all.as_array().unwrap().iter().map(|one| one["createdAt"].as_f64().unwrap()).collect();
    assert!(times.len() == 3 && times.is_sorted_by(|newer, older| newer >= older), "{times:?}");
    assert_eq!(list(json!(["PENDING", "IN_PROGRESS"])).as_array().unwrap().len(), 1);
    let current = &fixture.service()["currentServiceDeployment"];
    assert_eq!(*current, all[0]["serviceDeploymentArn"]);
}
