//! Deployments of CodeDeploy that end early, and the rollbacks that undo them; never one that goes well.

use super::*;

#[test]
fn a_stop_without_rollback_leaves_traffic_and_tasks_as_they_are() {
    let mut front = Front::new(json!({
        "deploymentConfigName": "CodeDeployDefault.ECSCanary10Percent15Minutes",
    }));
    let id = front.deploy("web:2");
    assert!(front.reaches(|front| front.weights() == (90, 10)));
    front.stop(&id, json!({}));
    assert_eq!(front.info(&id)["status"], "InProgress", "it acts a moment later");
    front.fixture.advance(seconds(2));
    let info = front.info(&id);
    assert_eq!(
        (&info["status"], &info["errorInformation"]["code"]),
        (&json!("Stopped"), &json!("MANUAL_STOP"))
    );
    assert!(info["rollbackInfo"].is_null());
    front.fixture.advance(HOUR);
    assert_eq!((front.weights(), front.sets().len()), ((90, 10), 2));
    let again = front.fixture.try_code_deploy("StopDeployment", json!({"deploymentId": id}));
    assert_eq!(again.unwrap_err().code, "DeploymentAlreadyCompletedException");

    let id = front.deploy("web:3");
    assert!(front.ends(&id, "Succeeded"), "what was left behind is in nobody's way");
    assert!(front.reaches(|front| front.sets().len() == 1));
    assert_eq!(front.serves(), "web:3");
}

#[test]
fn a_rollback_is_another_deployment_that_gives_blue_its_traffic_back_at_once() {
    let mut front = Front::new(json!({
        "deploymentConfigName": "CodeDeployDefault.ECSLinear10PercentEvery3Minutes",
    }));
    let id = front.deploy("web:2");
    assert!(front.reaches(|front| front.weights() == (70, 30)));
    let before = front.running();
    front.stop(&id, json!({"autoRollbackEnabled": true}));
    front.fixture.advance(seconds(2));
    let back = front.info(&id)["rollbackInfo"]["rollbackDeploymentId"].clone();
    let back = back.as_str().unwrap().to_owned();
    let info = front.info(&back);
    assert_eq!(info["creator"], "codeDeployRollback");
    assert_eq!(info["rollbackInfo"]["rollbackTriggeringDeploymentId"], json!(id));
    front.fixture.advance(seconds(2));
    assert_eq!(front.weights(), (100, 0));
    assert!(front.ends(&back, "Succeeded"));
    assert!(front.reaches(|front| front.sets().len() == 1));
    assert_eq!(front.serves(), "web:1");
    assert!(front.running().iter().all(|task| before.contains(task)), "nothing was started for it");
}

#[test]
fn while_blue_waits_for_its_end_a_rollback_makes_it_primary_again() {
    let mut front = Front::new(rolling_back(&["DEPLOYMENT_STOP_ON_REQUEST"]));
    let id = front.deploy("web:2");
    front.passes(&id, "AfterAllowTraffic");
    assert_eq!(front.serves(), "web:2");
    front.stop(&id, json!({}));
    assert!(front.ends(&id, "Stopped"));
    let back = front.info(&id)["rollbackInfo"]["rollbackDeploymentId"].clone();
    assert!(front.ends(back.as_str().unwrap(), "Succeeded"));
    assert_eq!((front.weights(), front.serves()), ((100, 0), "web:1".to_owned()));
}

#[test]
fn once_blue_is_gone_a_rollback_deploys_what_it_ran_all_over_again() {
    let mut front = Front::new(json!({}));
    let id = front.deploy("web:2");
    front.passes(&id, "AfterAllowTraffic");
    front.stop(&id, json!({"autoRollbackEnabled": true}));
    front.go_on(&id, "TERMINATION_WAIT").unwrap();
    // The stop acts just before the deployment would have succeeded.
    assert!(front.ends(&id, "Stopped"));
    let back = front.info(&id)["rollbackInfo"]["rollbackDeploymentId"].clone();
    let back = back.as_str().unwrap().to_owned();
    assert!(front.reaches(|front| front.sets().iter().any(|set| set["externalId"] == json!(back))));
    assert!(front.ends(&back, "Succeeded"));
    assert_eq!((front.weights(), front.serves()), ((1, 0), "web:1".to_owned()));
}

#[test]
fn a_red_alarm_of_the_group_stops_a_deployment_and_not_its_rollback() {
    let mut change = rolling_back(&["DEPLOYMENT_STOP_ON_ALARM"]);
    change["alarmConfiguration"] = json!({"enabled": true, "alarms": [{"name": "errors"}]});
    change["deploymentConfigName"] = json!("CodeDeployDefault.ECSCanary10Percent15Minutes");
    let mut front = Front::new(change);
    let alarm = json!({
        "AlarmName": "errors", "MetricName": "Errors", "Namespace": "Shop", "Statistic": "Sum",
        "Period": 60, "EvaluationPeriods": 1, "Threshold": 5,
        "ComparisonOperator": "GreaterThanThreshold",
    });
    front.fixture.cloudwatch("PutMetricAlarm", alarm);
    let id = front.deploy("web:2");
    assert!(front.reaches(|front| front.weights() == (90, 10)));
    let red = json!({"AlarmName": "errors", "StateValue": "ALARM", "StateReason": "by hand"});
    front.fixture.cloudwatch("SetAlarmState", red);
    front.fixture.advance(MINUTE);
    let info = front.info(&id);
    assert_eq!(
        (&info["status"], &info["errorInformation"]["code"]),
        (&json!("Stopped"), &json!("ALARM_ACTIVE"))
    );
    let back = info["rollbackInfo"]["rollbackDeploymentId"].clone();
    assert!(front.ends(back.as_str().unwrap(), "Succeeded"));
    assert_eq!(front.weights(), (100, 0));

    let id = front.deploy("web:3");
    assert!(front.ends(&id, "Stopped"), "it is red from the start");
    assert_eq!(front.event(&id, "BeforeInstall"), "Skipped");
}

#[test]
fn green_that_is_not_steady_within_an_hour_fails_the_deployment() {
    let mut front = Front::new(rolling_back(&["DEPLOYMENT_FAILURE"]));
    front.fixture.script("web:bad", Behaviour::crashes(seconds(5), 1));
    let id = front.deploy("web:bad");
    front.fixture.advance(59 * MINUTE);
    assert_eq!(front.info(&id)["status"], "InProgress");
    assert!(front.ends(&id, "Failed"));
    let error = front.info(&id)["errorInformation"].clone();
    assert_eq!(error["code"], "TIMEOUT");
    assert!(error["message"].as_str().unwrap().contains("60 minutes"), "{error}");
    assert_eq!(
        (front.event(&id, "Install"), front.event(&id, "AllowTraffic")),
        ("Failed".to_owned(), "Skipped".to_owned())
    );
    assert!(front.reaches(|front| front.sets().len() == 1), "the rollback deletes green");
    assert_eq!(front.weights(), (100, 0));
}

#[test]
fn what_ecs_or_the_load_balancer_refuses_fails_the_deployment() {
    let mut front = Front::new(json!({}));
    let unknown = json!({"revision": revision("web:99")});
    let id = front.try_deploy("web:2", unknown).unwrap();
    assert!(front.ends(&id, "Failed"));
    assert_eq!(front.info(&id)["errorInformation"]["code"], "ECS_UPDATE_ERROR");

    let elsewhere = json!({
        "ListenerArn": front.production,
        "DefaultActions": [{"Type": "forward", "TargetGroupArn": front.green}],
    });
    front.fixture.elb("ModifyListener", elsewhere);
    let id = front.deploy("web:2");
    assert!(front.ends(&id, "Failed"));
    let error = front.info(&id)["errorInformation"].clone();
    assert_eq!(error["code"], "ELASTIC_LOAD_BALANCING_INVALID");
    assert!(error["message"].as_str().unwrap().contains("must be behind listener"), "{error}");
}
