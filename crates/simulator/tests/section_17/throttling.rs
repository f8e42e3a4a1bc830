//! Line 8: Token buckets per family with `ThrottlingException` 400.

use evenkeel_simulator::{Api, Region, Settings, Simulation, World};
use jiff::Timestamp;
use serde_json::json;

use super::fixture::seconds;

fn throttled() -> Simulation {
    let settings = Settings {
        account: "123456789012".to_owned(),
        region: "us-east-1".to_owned(),
        seed: 1,
        throttling: true,
    };
    Simulation::of(Region::new(settings, Timestamp::UNIX_EPOCH), World::default())
}

/// How many calls in a row are let through.
fn burst(simulation: &Simulation, api: Api, operation: &str) -> u32 {
    let refused = |code: &str| matches!(code, "ThrottlingException" | "Throttling");
    let calls = (0..1000).take_while(|_| {
        let reply = simulation.call(api, operation, &json!({}));
        !reply.is_err_and(|error| refused(&error.code) && error.message == "Rate exceeded")
    });
    u32::try_from(calls.count()).unwrap()
}

#[test]
fn each_family_has_its_burst_and_its_refill() {
    let cases = [
        (Api::Ecs, "RegisterTaskDefinition", 20, 10),
        (Api::Ecs, "DescribeServices", 100, 100),
        (Api::Ecs, "UpdateService", 50, 50),
        (Api::CloudWatch, "DescribeAlarms", 9, 9),
        (Api::ElasticLoadBalancingV2, "DescribeRules", 40, 40),
    ];
    for (api, operation, full, after_ten_seconds) in cases {
        let mut simulation = throttled();
        assert_eq!(burst(&simulation, api, operation), full, "{operation}");
        simulation.advance(seconds(10));
        assert_eq!(burst(&simulation, api, operation), after_ten_seconds, "{operation}");
    }
}

#[test]
fn operations_of_one_family_share_its_bucket_and_others_do_not() {
    let simulation = throttled();
    assert_eq!(burst(&simulation, Api::Ecs, "ListTasks"), 100);
    assert_eq!(burst(&simulation, Api::Ecs, "DescribeTasks"), 0);
    assert_eq!(burst(&simulation, Api::Ecs, "DescribeServices"), 100);
}

#[test]
fn a_refused_call_is_a_400() {
    let simulation = throttled();
    burst(&simulation, Api::Ecs, "TagResource");
    let error = simulation.ecs("TagResource", &json!({})).unwrap_err();
    assert_eq!((error.code.as_str(), error.status), ("ThrottlingException", 400));
}
