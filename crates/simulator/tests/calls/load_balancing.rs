//! Rules, weights, attributes and targets.

use serde_json::{Value, json};

use super::fixture::{Fixture, seconds};

struct Front {
    fixture: Fixture,
    blue: String,
    green: String,
    listener: Value,
}

fn front() -> Front {
    let fixture = Fixture::new();
    let (blue, green) = (fixture.load_balancer(), fixture.target_group("green"));
    let balancers = fixture.elb("DescribeLoadBalancers", json!({"Names": ["front"]}));
    let arn = &balancers["LoadBalancers"][0]["LoadBalancerArn"];
    let listeners = fixture.elb("DescribeListeners", json!({"LoadBalancerArn": arn}));
    let listener = listeners["Listeners"][0]["ListenerArn"].clone();
    Front { fixture, blue, green, listener }
}

impl Front {
    fn weighted(&self, blue: u32, green: u32) -> Value {
        json!([{"Type": "forward", "ForwardConfig": {"TargetGroups": [
            {"TargetGroupArn": self.blue, "Weight": blue},
            {"TargetGroupArn": self.green, "Weight": green},
        ]}}])
    }

    fn rule(&self, priority: u32) -> String {
        let reply = self.fixture.elb("CreateRule", json!({
            "ListenerArn": self.listener, "Priority": priority, "Actions": self.weighted(100, 0),
            "Conditions": [{"Field": "path-pattern", "Values": ["/api/*"]}],
        }));
        reply["Rules"][0]["RuleArn"].as_str().unwrap().to_owned()
    }

    fn refused(&self, operation: &str, input: Value) -> String {
        let api = evenkeel_simulator::Api::ElasticLoadBalancingV2;
        self.fixture.simulation.call(api, operation, &input).unwrap_err().code
    }
}

#[test]
fn weights_are_modified_as_a_whole_and_seen_by_the_proxy() {
    let front = front();
    let rule = front.rule(10);
    front.fixture.elb("ModifyRule", json!({"RuleArn": rule, "Actions": front.weighted(90, 10)}));
    let rules = front.fixture.elb("DescribeRules", json!({"ListenerArn": front.listener}));
    assert_eq!(
        (&rules["Rules"][0]["Priority"], &rules["Rules"][1]["IsDefault"]),
        (&json!("10"), &json!(true))
    );
    let action = &rules["Rules"][0]["Actions"][0];
    assert!(action.get("TargetGroupArn").is_none());
    let listeners = front.fixture.simulation.region().listeners();
    let [api, default] = listeners[0].rules.as_slice() else { panic!("{listeners:?}") };
    assert_eq!(api.forwards, [(front.blue.clone(), 90), (front.green.clone(), 10)]);
    assert_eq!(api.conditions[0].values, ["/api/*"]);
    assert_eq!((default.priority, &default.forwards), (None, &vec![(front.blue.clone(), 1)]));
    assert!(listeners[0].load_balancer_dimension.starts_with("app/front/"));
}

#[test]
fn a_single_group_is_read_back_both_ways() {
    let front = front();
    let rules = front.fixture.elb("DescribeRules", json!({"ListenerArn": front.listener}));
    let action = &rules["Rules"][0]["Actions"][0];
    assert_eq!(action["TargetGroupArn"], front.blue);
    assert_eq!(action["ForwardConfig"]["TargetGroups"][0]["Weight"], 1);
}

#[test]
fn the_default_rule_is_changed_through_its_listener_only() {
    let front = front();
    let rules = front.fixture.elb("DescribeRules", json!({"ListenerArn": front.listener}));
    let default = rules["Rules"][0]["RuleArn"].clone();
    let change = json!({"RuleArn": default, "Actions": front.weighted(1, 1)});
    assert_eq!(front.refused("ModifyRule", change), "OperationNotPermitted");
    let change = json!({"ListenerArn": front.listener, "DefaultActions": front.weighted(1, 1)});
    front.fixture.elb("ModifyListener", change);
    let listeners = front.fixture.simulation.region().listeners();
    assert_eq!(listeners[0].rules[0].forwards.len(), 2);
}

#[test]
fn priorities_are_unique_and_can_be_swapped_in_one_call() {
    let front = front();
    let (first, second) = (front.rule(10), front.rule(20));
    let taken = json!({
        "ListenerArn": front.listener, "Priority": 10, "Actions": front.weighted(1, 0),
        "Conditions": [{"Field": "path-pattern", "Values": ["/"]}],
    });
    assert_eq!(front.refused("CreateRule", taken), "PriorityInUse");
    let pairs = json!([
        {"RuleArn": first, "Priority": 20}, {"RuleArn": second, "Priority": 10},
    ]);
    front.fixture.elb("SetRulePriorities", json!({"RulePriorities": pairs}));
    let rules = front.fixture.elb("DescribeRules", json!({"ListenerArn": front.listener}));
    assert_eq!(rules["Rules"][0]["RuleArn"], second);
}

#[test]
fn errors_carry_elb_s_own_codes() {
    let front = front();
    let missing = "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/x/0";
    let by_arn = json!({"TargetGroupArn": missing});
    assert_eq!(front.refused("DescribeTargetHealth", by_arn), "TargetGroupNotFound");
    assert_eq!(front.refused("DescribeRules", json!({"RuleArns": ["x"]})), "RuleNotFound");
    let in_use = json!({"TargetGroupArn": front.blue});
    assert_eq!(front.refused("DeleteTargetGroup", in_use), "ResourceInUse");
    let heavy = json!({"ListenerArn": front.listener, "DefaultActions": front.weighted(1000, 0)});
    assert_eq!(front.refused("ModifyListener", heavy), "ValidationError");
}

#[test]
fn a_deregistered_target_drains_for_as_long_as_its_group_says_then_is_gone() {
    let mut front = front();
    let attributes = json!([{"Key": "deregistration_delay.timeout_seconds", "Value": "20"}]);
    let group = front.blue.clone();
    let input = json!({"TargetGroupArn": group, "Attributes": attributes});
    front.fixture.elb("ModifyTargetGroupAttributes", input);
    let targets = json!({"TargetGroupArn": group, "Targets": [{"Id": "10.1.1.1"}]});
    front.fixture.elb("RegisterTargets", targets.clone());
    assert_eq!(front.fixture.target_states(&group)[0].0, "initial");
    front.fixture.elb("DeregisterTargets", targets);
    front.fixture.advance(seconds(19));
    assert_eq!(front.fixture.target_states(&group)[0].0, "draining");
    front.fixture.advance(seconds(1));
    assert!(front.fixture.target_states(&group).is_empty());
}

#[test]
fn elb_tags_are_added_removed_and_described() {
    let front = front();
    let arns = json!([front.blue]);
    let tags = json!([{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}]);
    front.fixture.elb("AddTags", json!({"ResourceArns": arns, "Tags": tags}));
    front.fixture.elb("RemoveTags", json!({"ResourceArns": arns, "TagKeys": ["a"]}));
    let reply = front.fixture.elb("DescribeTags", json!({"ResourceArns": arns}));
    assert_eq!(reply["TagDescriptions"][0]["Tags"], json!([{"Key": "b", "Value": "2"}]));
}
