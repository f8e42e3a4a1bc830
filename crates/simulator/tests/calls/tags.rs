//! Tags are asked for, put, merged and removed by ARN.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::fixture::Fixture;

fn as_map(tags: &Value) -> BTreeMap<String, String> {
    let word = |value: &Value| value.as_str().unwrap().to_owned();
    tags.as_array().unwrap().iter().map(|tag| (word(&tag["key"]), word(&tag["value"]))).collect()
}

#[test]
fn tags_of_a_service_are_merged_removed_and_shown_only_on_request() {
    let fixture = Fixture::new();
    fixture.register("web:1");
    let tags = json!([{"key": "a", "value": "1"}, {"key": "b", "value": ""}]);
    let arn = fixture.create(0, json!({"tags": tags}))["serviceArn"].clone();
    let more = json!([{"key": "a", "value": "2"}, {"key": "c", "value": "3"}]);
    fixture.ecs("TagResource", json!({"resourceArn": arn, "tags": more}));
    fixture.ecs("UntagResource", json!({"resourceArn": arn, "tagKeys": ["b", "unknown"]}));
    let expected = BTreeMap::from([("a", "2"), ("c", "3")].map(|(k, v)| (k.into(), v.into())));
    assert_eq!(as_map(&fixture.service()["tags"]), expected);
    let listed = fixture.ecs("ListTagsForResource", json!({"resourceArn": arn}));
    assert_eq!(as_map(&listed["tags"]), expected);
    let input = json!({"cluster": "main", "services": ["web"]});
    assert!(fixture.ecs("DescribeServices", input)["services"][0].get("tags").is_none());
}

#[test]
fn tags_of_a_task_definition_stand_beside_it() {
    let fixture = Fixture::new();
    let arn = fixture.register("web:1");
    let tags = json!([{"key": "evenkeel:digest", "value": "v1:0"}]);
    fixture.ecs("TagResource", json!({"resourceArn": arn, "tags": tags}));
    let input = json!({"taskDefinition": arn, "include": ["TAGS"]});
    let reply = fixture.ecs("DescribeTaskDefinition", input);
    assert_eq!(reply["tags"], tags);
    assert!(reply["taskDefinition"].get("tags").is_none());
}

#[test]
fn reserved_long_and_too_many_tags_are_refused() {
    let fixture = Fixture::new();
    let arn = fixture.register("web:1");
    let put =
        |tags: Value| fixture.try_ecs("TagResource", json!({"resourceArn": arn, "tags": tags}));
    let code = |tags: Value| put(tags).unwrap_err().code;
    assert_eq!(code(json!([{"key": "aws:x", "value": "1"}])), "InvalidParameterException");
    assert_eq!(code(json!([{"key": "x", "value": "v".repeat(257)}])), "InvalidParameterException");
    put(json!([{"key": "x", "value": "v".repeat(256)}])).unwrap();
    let fifty: Vec<Value> =
        (0..50).map(|index| json!({"key": format!("k{index}"), "value": ""})).collect();
    assert_eq!(code(json!(fifty)), "LimitExceededException");
    let gone = "arn:aws:ecs:us-east-1:123456789012:service/main/ghost";
    let error = fixture.try_ecs("TagResource", json!({"resourceArn": gone, "tags": []}));
    assert_eq!(error.unwrap_err().code, "ResourceNotFoundException");
}

#[test]
fn tasks_get_the_tags_that_the_service_propagates_when_they_are_made() {
    let tags = json!([{"key": "team", "value": "blue"}]);
    let fixture = Fixture::running(
        "web:1",
        1,
        json!({
            "tags": tags, "propagateTags": "SERVICE", "enableECSManagedTags": true,
        }),
    );
    let task = fixture.tasks("RUNNING")[0]["taskArn"].clone();
    let input = json!({"cluster": "main", "tasks": [task], "include": ["TAGS"]});
    let found = as_map(&fixture.ecs("DescribeTasks", input)["tasks"][0]["tags"]);
    assert_eq!(found["team"], "blue");
    assert_eq!(found["aws:ecs:serviceName"], "web");
}
