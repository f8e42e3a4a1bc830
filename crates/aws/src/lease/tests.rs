use std::time::Duration;

use aws_credential_types::provider::SharedCredentialsProvider;
use aws_credential_types::provider::error::CredentialsError;
use prometheus::{Registry, TextEncoder};
use serde_json::{Value, json};

use super::*;
use crate::fake::{Fake, Reply, Request, answer, error as refusal, ok};

fn record(holder: &str, epoch: u64, beat: u64) -> LeaseRecord {
    LeaseRecord { holder: holder.to_owned(), epoch, beat, version: 1 }
}

fn item(name: &str, record: &LeaseRecord) -> Value {
    json!({
        "installation": { "S": "shop" }, "record": { "S": name },
        "holder": { "S": record.holder }, "epoch": { "N": record.epoch.to_string() },
        "beat": { "N": record.beat.to_string() }, "version": { "N": "1" },
    })
}

fn table(fake: &Fake) -> LeaseTable {
    fake.cloud().lease_table("leases", "shop")
}

fn answers(reply: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> (Fake, LeaseTable) {
    let fake = Fake::new(reply);
    let table = table(&fake);
    (fake, table)
}

#[tokio::test]
async fn all_pages_are_read_strongly_consistent() {
    let last = json!({ "installation": { "S": "shop" }, "record": { "S": "a" } });
    let resume = last.clone();
    let (fake, table) = answers(move |request| {
        if request.json().get("ExclusiveStartKey").is_some() {
            return ok(&json!({ "Items": [item("b", &record("two", 7, 0))] }));
        }
        let items = [item("a", &record("one", 1, u64::MAX))];
        ok(&json!({ "Items": items, "LastEvaluatedKey": last }))
    });
    let expected = [("a", record("one", 1, u64::MAX)), ("b", record("two", 7, 0))];
    let expected = expected.map(|(name, record)| (name.to_owned(), record));
    assert_eq!(table.read().await, Ok(expected.into()));
    let first = json!({
        "TableName": "leases", "ConsistentRead": true, "KeyConditionExpression": "#i = :i",
        "ExpressionAttributeNames": { "#i": "installation" },
        "ExpressionAttributeValues": { ":i": { "S": "shop" } },
    });
    let mut second = first.clone();
    second["ExclusiveStartKey"] = resume;
    assert_eq!(fake.bodies("Query"), [first, second]);
}

#[tokio::test]
async fn an_empty_page_is_not_the_end_and_pages_without_end_are_an_error() {
    let (fake, table) =
        answers(|_| ok(&json!({ "Items": [], "LastEvaluatedKey": { "record": { "S": "a" } } })));
    let error = table.read().await.unwrap_err().to_string();
    assert!(error.contains("more than 10 pages"), "{error}");
    assert_eq!(fake.requests().len(), PAGES_MAX);
}

#[tokio::test]
async fn the_first_write_of_a_record_is_carried_out_only_if_there_is_none() {
    let (fake, table) = answers(|_| ok(&json!({})));
    assert_eq!(table.put("shard-0", None, &record("one", 1, 0)).await, Ok(true));
    let put = json!({
        "TableName": "leases", "Item": item("shard-0", &record("one", 1, 0)),
        "ConditionExpression": "attribute_not_exists(#r)",
        "ExpressionAttributeNames": { "#r": "record" },
    });
    assert_eq!(fake.bodies("PutItem"), [put]);
}

/// The condition as it goes over the wire when this record must be stored.
fn condition(of: &LeaseRecord) -> Value {
    json!({
        "ConditionExpression":
            "#holder = :holder AND #epoch = :epoch AND #beat = :beat AND #version = :version",
        "ExpressionAttributeNames": {
            "#holder": "holder", "#epoch": "epoch", "#beat": "beat", "#version": "version",
        },
        "ExpressionAttributeValues": {
            ":holder": { "S": of.holder }, ":epoch": { "N": of.epoch.to_string() },
            ":beat": { "N": of.beat.to_string() }, ":version": { "N": "1" },
        },
    })
}

#[tokio::test]
async fn a_later_write_names_all_that_must_be_stored() {
    let (fake, table) = answers(|_| ok(&json!({})));
    let (old, new) = (record("one", 4, 9), record("two", 5, 0));
    assert_eq!(table.put("shard-0", Some(&old), &new).await, Ok(true));
    let mut put = condition(&old);
    put["TableName"] = "leases".into();
    put["Item"] = item("shard-0", &new);
    assert_eq!(fake.bodies("PutItem"), [put]);
}

#[tokio::test]
async fn a_removal_names_all_that_must_be_stored() {
    let (fake, table) = answers(|_| ok(&json!({})));
    assert_eq!(table.remove("shard-0", &record("one", 4, 9)).await, Ok(true));
    let mut delete = condition(&record("one", 4, 9));
    delete["TableName"] = "leases".into();
    delete["Key"] = json!({ "installation": { "S": "shop" }, "record": { "S": "shard-0" } });
    assert_eq!(fake.bodies("DeleteItem"), [delete]);
}

#[tokio::test]
async fn a_condition_that_does_not_hold_is_an_answer_and_no_error() {
    let (_, table) =
        answers(|_| refusal("ConditionalCheckFailedException", "The conditional request failed"));
    assert_eq!(table.put("a", None, &record("one", 1, 0)).await, Ok(false));
    assert_eq!(table.put("a", Some(&record("x", 1, 0)), &record("one", 2, 0)).await, Ok(false));
    assert_eq!(table.remove("a", &record("one", 1, 0)).await, Ok(false));
}

#[tokio::test(start_paused = true)]
async fn every_failure_says_what_is_wrong_and_is_not_tried_again() {
    let failures = [
        (
            refusal("ResourceNotFoundException", "Requested resource not found"),
            "there is no table `leases` in this account and region; create it from \
             deploy/lease-table.json",
        ),
        (
            refusal("AccessDeniedException", "User is not authorized"),
            "denied (AccessDeniedException): User is not authorized; the role needs the policy \
             deploy/iam-policy-lease.json for the table `leases` and the installation `shop`",
        ),
        (
            refusal("ValidationException", "The provided key element does not match the schema"),
            "the table `leases` needs the keys of deploy/lease-table.json",
        ),
        (refusal("ThrottlingException", "Rate exceeded"), "throttled: Rate exceeded"),
        (refusal("ProvisionedThroughputExceededException", "Too fast"), "throttled: Too fast"),
        (
            answer(500, &json!({ "__type": "InternalServerError", "message": "Oops" })),
            "it may or may not have been carried out: Oops",
        ),
        (Reply::Lost, "it may or may not have been carried out"),
        (Reply::Silence, "it may or may not have been carried out"),
        (
            answer(503, &json!({ "__type": "ServiceUnavailable", "message": "Later" })),
            "PutItem of the lease table failed: Later",
        ),
        (refusal("UnknownOperationException", ""), "the server does not know the call"),
    ];
    for (reply, expected) in failures {
        let (fake, table) = answers(move |_| reply.clone());
        let error = table.put("a", None, &record("one", 1, 0)).await.unwrap_err().to_string();
        assert!(error.starts_with("PutItem of the lease table failed: "), "{error}");
        assert!(error.contains(expected), "{error}");
        assert_eq!(fake.requests().len(), 1, "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_without_an_answer_is_given_up_after_a_second() {
    let (_, table) = answers(|_| Reply::Silence);
    let began = Instant::now();
    assert!(table.read().await.is_err());
    assert!(table.put("a", None, &record("one", 1, 0)).await.is_err());
    assert!(table.remove("a", &record("one", 1, 0)).await.is_err());
    assert_eq!(began.elapsed().as_secs(), 3);
}

#[tokio::test(start_paused = true)]
async fn credentials_that_do_not_come_hold_a_call_up_for_two_seconds_at_most() {
    let fake = Fake::new(|_| ok(&json!({})));
    let never = aws_credential_types::credential_fn::provide_credentials_fn(std::future::pending);
    let table = fake.cloud_of(SharedCredentialsProvider::new(never)).lease_table("leases", "shop");
    let began = Instant::now();
    assert!(table.read().await.is_err());
    assert!(began.elapsed() <= Duration::from_millis(2100), "{:?}", began.elapsed());
    assert!(fake.requests().is_empty());
}

#[tokio::test]
async fn without_credentials_nothing_is_sent_and_the_error_says_so() {
    let fake = Fake::new(|_| ok(&json!({})));
    let none = aws_credential_types::credential_fn::provide_credentials_fn(|| async {
        Err(CredentialsError::not_loaded("none set"))
    });
    let table = fake.cloud_of(SharedCredentialsProvider::new(none)).lease_table("leases", "shop");
    let error = table.put("a", None, &record("one", 1, 0)).await.unwrap_err().to_string();
    assert!(error.contains("denied (NoCredentials)"), "{error}");
    assert!(fake.requests().is_empty());
}

#[tokio::test]
async fn an_item_that_a_person_garbled_is_named_and_all_others_are_read() {
    let edits = [
        ("holder", Value::Null),
        ("epoch", json!({ "S": "1" })),
        ("epoch", json!({ "N": "-1" })),
        ("beat", json!({ "N": "1.5" })),
        ("version", json!({ "N": "99999999999" })),
    ];
    for (attribute, value) in edits {
        let (_, table) = answers(move |_| {
            let mut garbled = item("shard-3", &record("one", 1, 0));
            match &value {
                Value::Null => drop(garbled.as_object_mut().unwrap().remove(attribute)),
                value => garbled[attribute] = value.clone(),
            }
            ok(&json!({ "Items": [garbled, item("shard-4", &record("one", 1, 0))] }))
        });
        let read = table.read().await.unwrap();
        assert_eq!(read.into_keys().collect::<Vec<_>>(), ["shard-4"]);
        let told = table.garbled.lock().unwrap().clone();
        assert_eq!(told, [format!("the item `shard-3` has no proper `{attribute}`")].into());
    }
}

#[tokio::test]
async fn calls_are_counted_and_a_condition_that_does_not_hold_counts_as_ok() {
    let fake = Fake::new(|request| match request.operation.as_str() {
        "PutItem" => refusal("ConditionalCheckFailedException", "The conditional request failed"),
        _ => refusal("AccessDeniedException", "no"),
    });
    let registry = Registry::new();
    let cloud = fake.cloud_with(AwsMetrics::register(&registry).unwrap());
    let table = cloud.lease_table("leases", "shop");
    drop(table.read().await);
    drop(table.put("a", None, &record("one", 1, 0)).await);
    let text = TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
    for line in [
        "evenkeel_aws_calls_total{operation=\"PutItem\",outcome=\"ok\"} 1",
        "evenkeel_aws_calls_total{operation=\"Query\",outcome=\"denied\"} 1",
        "evenkeel_aws_call_duration_seconds_count{operation=\"PutItem\"} 1",
    ] {
        assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
    }
}

#[test]
fn what_is_printed_for_debugging_holds_names_only() {
    let (_, table) = answers(|_| Reply::Lost);
    let expected = r#"LeaseTable { table: "leases", installation: "shop", .. }"#;
    assert_eq!(format!("{table:?}"), expected);
}
