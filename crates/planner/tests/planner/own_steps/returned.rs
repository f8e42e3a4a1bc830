//! The way back where rules or groups are not as they should be, and how many failures of a small step begin it.

use super::*;

#[test]
fn a_test_rule_that_somebody_altered_does_not_keep_production_traffic_from_going_back() {
    let mut look = Look { production: weights(500, 500), ..baking_for(30) }.rejected();
    look.test.push((OTHER.to_owned(), 1));
    let all = [(GREEN.to_owned(), 0), (GROUP.to_owned(), 100)];
    assert_reweighs(&look.given_back(), PRODUCTION, &all);
    look.production = weights(100, 0);
    look.gave_back();
    assert_eq!(look.call(), deletes(2));
    look.production.push((OTHER.to_owned(), 1));
    assert!(look.waits().contains("which is not the service's"), "{}", look.waits());
}

/// The first step of a service of a hundred tasks has one, which has crashed so often.
fn crashed(times: usize) -> Plan {
    let mut look = Look { healthy: 0, ..baking_for(30) };
    look.sets[1]["scale"]["value"] = json!(1.0);
    let (key, mut seen) = (key(), look.seen());
    let crash = |index: usize| {
        let seconds = i64::try_from(index).expect("small") * 10;
        let task = json!({
            "taskArn": format!("arn:task/2-crashed-{index}"), "startedBy": "ecs-svc/2",
            "lastStatus": "STOPPED", "desiredStatus": "STOPPED", "stopCode": "EssentialContainerExited",
            "stoppedReason": "Essential container in task exited",
            "containers": [{"name": "web", "exitCode": 1, "lastStatus": "STOPPED"}],
            "createdAt": ago(220 - seconds).as_second(), "startedAt": ago(210 - seconds).as_second(),
            "stoppedAt": ago(205 - seconds).as_second(),
        });
        Task::read(&task).expect("it is a task")
    };
    if let Fact::Known(tasks) = &mut seen.tasks {
        tasks.extend((0..times).map(crash));
    }
    if let Fact::Known(service) = &mut seen.service {
        service.desired_count = 100;
    }
    plan(&input(&key, Some(&look.desired), &seen))
}

#[test]
fn a_first_step_of_one_task_that_crashes_again_and_again_is_judged_by_its_own_count_and_not_the_service_s()
 {
    assert_eq!(crashed(2).verdict, None, "{}", crashed(2));
    let verdict = crashed(3).verdict.expect("three crashes of one task");
    assert!(verdict.sentence.contains("3 of 3 crashes"), "{}", verdict.sentence);
}

#[test]
fn a_rejected_task_set_in_the_group_of_what_serves_is_deleted_when_that_is_healthy_and_moves_no_traffic()
 {
    let mut look = Look { production: weights(100, 0), ..baking_for(30) }.rejected();
    look.sets = vec![set(1, GROUP, "PRIMARY", 100.0), set(2, GROUP, "ACTIVE", 10.0)];
    assert_eq!(look.call(), Call::DeleteTaskSet { input: about_set(2, "taskSet"), unused: None });
    look.sets[0]["computedDesiredCount"] = json!(5);
    assert!(look.waits().contains("4 of 5 tasks of ecs-svc/1 are healthy"), "{}", look.waits());
}

#[test]
fn a_rejected_primary_gives_its_place_to_what_stands_in_its_group_without_moving_traffic() {
    let mut look = Look { production: weights(100, 0), ..baking_for(30) }.rejected();
    look.sets = vec![set(1, GROUP, "ACTIVE", 100.0), set(2, GROUP, "PRIMARY", 100.0)];
    let Call::UpdateServicePrimaryTaskSet { input } = look.call() else {
        panic!("{}", look.plan())
    };
    assert_eq!(input["primaryTaskSet"], "ecs-svc/1");
}
