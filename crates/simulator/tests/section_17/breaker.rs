//! Line 3: `failedTasks` and its reset; threshold clamp(3..200); trip at equality; a rollback is a new
//! deployment id with the old task definition and flips `service.taskDefinition`; no COMPLETED
//! deployment: stall.

use std::time::Duration;

use evenkeel_simulator::Behaviour;
use serde_json::{Value, json};

use super::fixture::{Fixture, MINUTE, behind, breaker, seconds};

fn guarded(desired: u32) -> Value {
    let _ = desired;
    json!({"deploymentConfiguration": breaker(true)})
}

fn failing(desired: u32, behaviour: Behaviour) -> Fixture {
    let mut fixture = Fixture::running("web:1", desired, guarded(desired));
    fixture.script("web:bad", behaviour);
    fixture.roll_to("web:bad");
    fixture
}

#[test]
fn a_crash_loop_trips_at_three_and_the_rollback_is_a_new_deployment_of_the_old_task_definition() {
    let mut fixture = failing(1, Behaviour::crashes(seconds(10), 1));
    let completed = fixture.deployments()[1]["id"].clone();
    let bad = fixture.primary()["id"].clone();
    assert!(fixture.until(|service| service["deployments"][0]["id"] != bad));
    let primary = fixture.primary();
    assert_ne!(primary["id"], completed);
    assert!(primary["taskDefinition"].as_str().unwrap().ends_with("/web:1"), "{primary}");
    let reason = format!(
        "ECS deployment circuit breaker: rolling back to deploymentId {}",
        completed.as_str().unwrap()
    );
    assert_eq!(primary["rolloutStateReason"], reason);
    assert!(fixture.service()["taskDefinition"].as_str().unwrap().ends_with("/web:1"));
    let failed = fixture.deployments().into_iter().find(|one| one["id"] == bad).unwrap();
    assert_eq!((&failed["rolloutState"], &failed["failedTasks"]), (&json!("FAILED"), &json!(3)));
    assert_eq!(
        failed["rolloutStateReason"],
        "ECS deployment circuit breaker: tasks failed to start."
    );
    // One more was started before the third failure was judged, as seen at AWS.
    assert!(fixture.settle());
    let tasks = fixture.tasks("STOPPED");
    assert_eq!(tasks.iter().filter(|task| task["startedBy"] == bad).count(), 4);
    let record = fixture.service_deployment();
    assert_eq!(record["status"], "ROLLBACK_SUCCESSFUL");
    assert_eq!(record["deploymentCircuitBreaker"]["status"], "TRIGGERED");
    assert!(record["rollback"]["serviceRevisionArn"].is_string());
}

#[test]
fn tasks_that_never_start_trip_slowly_because_starts_back_off() {
    let mut fixture = failing(1, Behaviour::cannot_be_pulled("web:bad"));
    let began = fixture.simulation.now();
    assert!(fixture.until(|service| service["deployments"][0]["failedTasks"] == 2));
    assert!(fixture.until(|service| {
        service["taskDefinition"].as_str().is_some_and(|arn| arn.ends_with("/web:1"))
    }));
    let took = Duration::try_from(fixture.simulation.now().duration_since(began)).unwrap();
    assert!((9 * MINUTE..14 * MINUTE).contains(&took), "{took:?}");
    let stopped = fixture.tasks("STOPPED");
    let bad = stopped.iter().find(|task| task["stopCode"] == "TaskFailedToStart").unwrap();
    assert!(bad["stoppedReason"].as_str().unwrap().starts_with("CannotPullContainerError"));
    assert!(bad.get("startedAt").is_none());
}

#[test]
fn the_threshold_is_half_of_the_desired_count_and_at_least_three() {
    for (desired, threshold) in [(1, 3), (25, 13), (400, 200), (800, 200)] {
        let fixture = Fixture::new();
        fixture.register("web:1");
        fixture.create(desired, guarded(desired));
        let record = fixture.service_deployment();
        assert_eq!(record["deploymentCircuitBreaker"]["threshold"], threshold, "{desired}");
    }
}

#[test]
fn thresholds_can_be_counts_and_unbounded_percentages() {
    let cases = [("COUNT", 7, 7), ("UNBOUNDED_PERCENT", 50, 400), ("BOUNDED_PERCENT", 50, 200)];
    for (kind, value, threshold) in cases {
        let fixture = Fixture::new();
        fixture.register("web:1");
        fixture.create(
            800,
            json!({"deploymentConfiguration": {"deploymentCircuitBreaker": {
                "enable": true, "rollback": true,
                "thresholdConfiguration": {"type": kind, "value": value},
            }}}),
        );
        let record = fixture.service_deployment();
        assert_eq!(record["deploymentCircuitBreaker"]["threshold"], threshold, "{kind}");
    }
}

#[test]
fn without_the_breaker_a_hopeless_deployment_stays_in_progress_and_old_tasks_stay() {
    let mut fixture = Fixture::running("web:1", 1, json!({}));
    fixture.script("web:bad", Behaviour::crashes(seconds(10), 1));
    fixture.roll_to("web:bad");
    fixture.advance(60 * MINUTE);
    let deployments = fixture.deployments();
    assert_eq!(deployments[0]["rolloutState"], "IN_PROGRESS");
    assert!(deployments[0]["failedTasks"].as_u64().unwrap() > 20, "{deployments:?}");
    assert_eq!(deployments[1]["runningCount"], 1);
}

#[test]
fn a_healthy_task_sets_failed_tasks_back() {
    let mut fixture = Fixture::running("web:1", 1, json!({}));
    fixture.script("web:bad", Behaviour::crashes(seconds(10), 1));
    fixture.roll_to("web:bad");
    assert!(fixture.until(|service| service["deployments"][0]["failedTasks"] == 2));
    fixture.script("web:bad", Behaviour::healthy());
    assert!(fixture.settle());
    assert_eq!(fixture.primary()["failedTasks"], 0);
}

#[test]
fn a_task_that_crashes_after_it_counted_as_healthy_never_trips_unless_failures_accumulate() {
    for (reset, ends) in [(true, false), (false, true)] {
        let mut fixture = Fixture::running(
            "web:1",
            1,
            json!({"deploymentConfiguration": {
                "deploymentCircuitBreaker": {
                    "enable": true, "rollback": true, "resetOnHealthyTask": reset,
                        "thresholdConfiguration": {"type": "COUNT", "value": 2},
                },
            }}),
        );
        fixture.update(json!({"desiredCount": 2}));
        fixture.advance(5 * MINUTE);
        fixture.script("web:slow", Behaviour::crashes(seconds(41), 1));
        fixture.roll_to("web:slow");
        fixture.advance(60 * MINUTE);
        let rolled_back = fixture.service()["taskDefinition"].as_str().unwrap().ends_with("/web:1");
        assert_eq!(rolled_back, ends, "resetOnHealthyTask {reset}");
    }
}

#[test]
fn failed_load_balancer_checks_count_and_say_which_group() {
    let mut fixture = Fixture::new();
    let group = fixture.load_balancer();
    fixture.register("web:1");
    fixture.create(
        1,
        json!({
            "loadBalancers": behind(&group), "deploymentConfiguration": breaker(true),
            "healthCheckGracePeriodSeconds": 60,
        }),
    );
    assert!(fixture.settle());
    fixture.script("web:bad", Behaviour::answers(500));
    fixture.roll_to("web:bad");
    assert!(fixture.until(|service| {
        service["deployments"][0]["rolloutStateReason"].as_str().unwrap().contains("rolling back")
    }));
    let stopped = fixture.tasks("STOPPED");
    let reason = format!("Task failed ELB health checks in (target-group {group})");
    assert!(
        stopped.iter().any(|task| task["stoppedReason"] == reason
            && task["stopCode"] == "ServiceSchedulerInitiated"),
        "{stopped:?}"
    );
    assert!(fixture.says("due to (reason Health checks failed with these codes: [500])"));
    assert!(fixture.settle());
}

#[test]
fn a_task_that_fails_its_checks_is_stopped_for_that_and_never_as_one_too_many() {
    let mut fixture = Fixture::new();
    let group = fixture.load_balancer();
    fixture.register("web:1");
    fixture.create(1, json!({"loadBalancers": behind(&group)}));
    assert!(fixture.settle());
    fixture.script("web:1", Behaviour::answers(500));
    fixture.update(json!({"desiredCount": 2}));
    fixture.advance(40 * MINUTE);
    let stopped = fixture.tasks("STOPPED");
    let reason = format!("Task failed ELB health checks in (target-group {group})");
    assert!(stopped.len() > 3, "{stopped:?}");
    for task in stopped {
        assert_eq!(task["stoppedReason"], reason);
    }
}

#[test]
fn health_checks_do_not_matter_within_the_grace_period() {
    let mut fixture = Fixture::new();
    let group = fixture.load_balancer();
    fixture.register("web:1");
    fixture.script("web:1", Behaviour::healthy_after(seconds(200)));
    fixture.create(
        1,
        json!({
            "loadBalancers": behind(&group), "healthCheckGracePeriodSeconds": 600,
        }),
    );
    assert!(fixture.settle());
    assert_eq!(fixture.simulation.world.launched("web:1"), 1);
}

#[test]
fn container_health_checks_replace_tasks_too() {
    let mut fixture = Fixture::running("web:1", 1, guarded(1));
    fixture.script("web:bad", Behaviour::never_healthy());
    let arn = fixture.register_with(
        "web:bad",
        json!({
            "healthCheck": {"command": ["CMD-SHELL", "true"], "interval": 10, "retries": 2},
        }),
    );
    fixture.update(json!({"taskDefinition": arn}));
    assert!(fixture.until(|service| service["deployments"][0]["failedTasks"] == 1));
    let stopped = fixture.tasks("STOPPED");
    assert_eq!(stopped[0]["stoppedReason"], "Task failed container health checks");
    assert_eq!(stopped[0]["healthStatus"], "UNHEALTHY");
}

#[test]
fn the_first_deployment_fails_and_stalls_because_there_is_nothing_to_return_to() {
    let mut fixture = Fixture::new();
    fixture.script("web:bad", Behaviour::crashes(seconds(10), 1));
    fixture.register("web:bad");
    fixture.create(1, guarded(1));
    assert!(fixture.until(|service| service["deployments"][0]["rolloutState"] == "FAILED"));
    fixture.advance(2 * MINUTE);
    let started = fixture.simulation.world.launched("web:bad");
    fixture.advance(60 * MINUTE);
    assert_eq!(fixture.simulation.world.launched("web:bad"), started);
    assert_eq!(fixture.deployments().len(), 1);
    assert_eq!(fixture.service_deployment()["status"], "STOPPED");
}

#[test]
fn a_deployment_that_fails_while_a_rollback_runs_stalls() {
    let mut fixture = failing(1, Behaviour::crashes(seconds(10), 1));
    let bad = fixture.primary()["id"].clone();
    assert!(fixture.until(|service| service["deployments"][0]["id"] != bad));
    let worse = fixture.roll_to("web:bad")["deployments"][0]["id"].clone();
    assert!(fixture.until(|service| service["deployments"][0]["rolloutState"] == "FAILED"));
    assert_eq!(fixture.primary()["id"], worse);
    fixture.advance(60 * MINUTE);
    assert_eq!(
        (&fixture.primary()["id"], &fixture.primary()["rolloutState"]),
        (&worse, &json!("FAILED"))
    );
    // What ran before still runs.
    assert!(fixture.service()["runningCount"].as_u64().unwrap() >= 1);
}

#[test]
fn without_rollback_the_failed_deployment_stays_primary_and_old_tasks_run_on() {
    let mut fixture =
        Fixture::running("web:1", 1, json!({"deploymentConfiguration": breaker(false)}));
    fixture.script("web:bad", Behaviour::crashes(seconds(10), 1));
    fixture.roll_to("web:bad");
    assert!(fixture.until(|service| service["deployments"][0]["rolloutState"] == "FAILED"));
    fixture.advance(10 * MINUTE);
    let deployments = fixture.deployments();
    assert_eq!((deployments.len(), &deployments[1]["runningCount"]), (2, &json!(1)));
    assert_eq!(fixture.service_deployment()["status"], "STOPPED");
    fixture.roll_to("web:3");
    assert!(fixture.settle());
}

#[test]
fn a_rollback_can_be_asked_for_and_keeps_what_no_revision_holds() {
    let mut fixture = Fixture::running("web:1", 2, json!({}));
    fixture.script("web:bad", Behaviour::never_healthy());
    fixture.roll_to("web:bad");
    fixture.advance(MINUTE);
    fixture.update(json!({"desiredCount": 3}));
    let arn = fixture.service_deployment()["serviceDeploymentArn"].clone();
    let input = json!({"serviceDeploymentArn": arn, "stopType": "ROLLBACK"});
    fixture.ecs("StopServiceDeployment", input.clone());
    assert_eq!(fixture.service_deployment()["status"], "ROLLBACK_REQUESTED");
    assert!(fixture.until(|service| {
        service["deployments"][0]["rolloutState"] == "COMPLETED"
            && service["deployments"].as_array().is_some_and(|all| all.len() == 1)
    }));
    assert_eq!(fixture.service_deployment()["status"], "ROLLBACK_SUCCESSFUL");
    assert_eq!(fixture.service()["desiredCount"], 3);
    assert!(fixture.service()["taskDefinition"].as_str().unwrap().ends_with("/web:1"));
    let again = fixture.try_ecs("StopServiceDeployment", input).unwrap_err();
    assert_eq!(again.code, "ConflictException");
}

/// A rollout to `web:2` for which there is no room for half an hour.
fn without_room(configuration: Value) -> Fixture {
    let mut fixture = Fixture::running("web:1", 1, configuration);
    let until = fixture.simulation.now() + 30 * MINUTE;
    fixture.simulation.region().inject(evenkeel_simulator::Fault::CapacityLoss { until });
    fixture.roll_to("web:2");
    fixture.advance(20 * MINUTE);
    assert!(fixture.says("was unable to place a task"));
    fixture
}

#[test]
fn without_a_breaker_a_lack_of_capacity_is_waited_for() {
    let mut fixture = without_room(json!({}));
    let primary = fixture.primary();
    assert!(primary["failedTasks"].as_u64().is_some_and(|count| count > 3), "{primary}");
    assert_eq!(
        (&primary["rolloutState"], &primary["pendingCount"]),
        (&json!("IN_PROGRESS"), &json!(0))
    );
    fixture.advance(10 * MINUTE);
    assert!(fixture.settle());
    assert!(fixture.service()["taskDefinition"].as_str().unwrap().ends_with("/web:2"));
}

/// ecs-behaviour 3.3: tasks that cannot be launched for lack of capacity count as failures to start.
#[test]
fn a_lack_of_capacity_trips_the_breaker() {
    let fixture = without_room(guarded(3));
    assert!(fixture.service()["taskDefinition"].as_str().unwrap().ends_with("/web:1"));
    let reason = fixture.service_deployment()["statusReason"].clone();
    assert!(reason.as_str().is_some_and(|reason| reason.contains("circuit breaker")), "{reason}");
}

#[test]
fn the_tasks_of_a_lost_zone_are_replaced_elsewhere() {
    let mut fixture = Fixture::running("web:1", 3, json!({}));
    let until = fixture.simulation.now() + 600 * MINUTE;
    let zone = "us-east-1b".to_owned();
    fixture.simulation.region().inject(evenkeel_simulator::Fault::ZoneLoss { zone, until });
    assert!(fixture.until(|service| service["runningCount"] == 2));
    assert!(fixture.until(|service| service["runningCount"] == 3));
    assert!(fixture.tasks("RUNNING").iter().all(|task| task["availabilityZone"] != "us-east-1b"));
    assert_eq!(fixture.tasks("STOPPED")[0]["stopCode"], "InfrastructureHealth");
}

/// Breaker lab of 2026-09-24: starts 52, 51 and 50 s apart, tripped 158 s after the first start,
/// rolled back 79 s later.
#[test]
fn a_crash_loop_takes_as_long_as_it_was_seen_to_take_at_aws() {
    let mut fixture = failing(1, Behaviour::crashes(seconds(10), 1));
    let bad = fixture.primary()["id"].clone();
    assert!(fixture.until(|service| service["deployments"][0]["id"] != bad));
    let tripped = fixture.primary()["createdAt"].as_f64().unwrap();
    assert!(fixture.settle());
    let completed = fixture.primary()["updatedAt"].as_f64().unwrap();
    let tasks = [fixture.tasks("STOPPED"), fixture.tasks("RUNNING")].concat();
    let mut starts: Vec<f64> = tasks
        .iter()
        .filter(|task| task["startedBy"] == bad)
        .map(|task| task["createdAt"].as_f64().unwrap())
        .collect();
    starts.sort_by(f64::total_cmp);
    assert!(
        starts.windows(2).all(|pair| (45.0..60.0).contains(&(pair[1] - pair[0]))),
        "{starts:?}"
    );
    let took = tripped - starts[0];
    assert!((140.0..175.0).contains(&took), "{took}");
    let rollback = completed - tripped;
    assert!((65.0..95.0).contains(&rollback), "{rollback}");
}
