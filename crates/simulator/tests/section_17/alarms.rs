//! Line 4: An alarm that is in ALARM when a deployment starts is ignored for the whole deployment.

use serde_json::{Value, json};

use super::fixture::{Fixture, MINUTE, seconds};

fn watched() -> Value {
    let alarms = json!({"alarmNames": ["errors"], "enable": true, "rollback": true});
    json!({"deploymentConfiguration": {"alarms": alarms}})
}

fn with_alarm() -> Fixture {
    let fixture = Fixture::running("web:1", 1, watched());
    fixture.cloudwatch(
        "PutMetricAlarm",
        json!({
            "AlarmName": "errors", "Namespace": "app", "MetricName": "errors", "Statistic": "Sum",
            "Period": 60, "EvaluationPeriods": 1, "Threshold": 5,
            "ComparisonOperator": "GreaterThanThreshold", "TreatMissingData": "notBreaching",
        }),
    );
    fixture
}

fn turn(fixture: &Fixture, state: &str) {
    let input = json!({"AlarmName": "errors", "StateValue": state, "StateReason": "test"});
    fixture.cloudwatch("SetAlarmState", input);
}

#[test]
fn an_alarm_that_turns_red_in_a_deployment_rolls_it_back() {
    let mut fixture = with_alarm();
    fixture.roll_to("web:2");
    fixture.advance(MINUTE);
    turn(&fixture, "ALARM");
    assert!(fixture.until(|service| {
        service["taskDefinition"].as_str().is_some_and(|arn| arn.ends_with("/web:1"))
    }));
    assert!(fixture.settle());
    let record = fixture.service_deployment();
    assert_eq!(record["status"], "ROLLBACK_SUCCESSFUL");
    assert_eq!(record["alarms"]["triggeredAlarmNames"], json!(["errors"]));
}

#[test]
fn an_alarm_that_was_red_before_is_ignored_even_if_it_turns_red_again() {
    let mut fixture = with_alarm();
    turn(&fixture, "ALARM");
    fixture.roll_to("web:2");
    fixture.advance(seconds(20));
    turn(&fixture, "OK");
    fixture.advance(seconds(20));
    turn(&fixture, "ALARM");
    assert!(fixture.settle());
    assert!(fixture.service()["taskDefinition"].as_str().unwrap().ends_with("/web:2"));
}

#[test]
fn a_watched_deployment_stays_in_progress_while_it_bakes() {
    let mut fixture = with_alarm();
    fixture.roll_to("web:2");
    assert!(fixture.until(|service| {
        let deployments = &service["deployments"];
        deployments[0]["runningCount"] == 1 && deployments[1]["runningCount"] == 0
    }));
    fixture.advance(2 * MINUTE);
    assert_eq!(fixture.primary()["rolloutState"], "IN_PROGRESS");
    turn(&fixture, "ALARM");
    assert!(fixture.until(|service| {
        service["taskDefinition"].as_str().is_some_and(|arn| arn.ends_with("/web:1"))
    }));
}

#[test]
fn alarms_are_evaluated_each_minute_from_metrics() {
    let mut fixture = with_alarm();
    let state = |fixture: &Fixture| {
        let reply = fixture.cloudwatch("DescribeAlarms", json!({"AlarmNames": ["errors", "typo"]}));
        assert_eq!(reply["MetricAlarms"].as_array().unwrap().len(), 1);
        reply["MetricAlarms"][0]["StateValue"].as_str().unwrap().to_owned()
    };
    assert_eq!(state(&fixture), "INSUFFICIENT_DATA");
    let datum = json!({"MetricName": "errors", "Value": 9.0});
    fixture.cloudwatch("PutMetricData", json!({"Namespace": "app", "MetricData": [datum]}));
    fixture.advance(MINUTE);
    assert_eq!(state(&fixture), "ALARM");
    fixture.advance(2 * MINUTE);
    assert_eq!(state(&fixture), "OK");
}
