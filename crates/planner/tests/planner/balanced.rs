//! Two target groups and the rules that move traffic between them, as the tests name them; never who is behind.

use evenkeel_planner::{ListenerRule, TargetGroup};
use serde_json::{Value, json};

use crate::manifests::GROUP;

pub(crate) const GREEN: &str =
    "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/green/0123456789abcdef";
/// Nobody's.
pub(crate) const OTHER: &str =
    "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/other/0123456789abcdef";
pub(crate) const PRODUCTION: &str =
    "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener-rule/app/front/1/2/3";
pub(crate) const TEST: &str =
    "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener-rule/app/front/1/4/5";

/// `loadBalancers` of a manifest.
pub(crate) fn balancers(production: &str, test: Option<&str>) -> Value {
    let mut advanced = json!({
        "alternateTargetGroupArn": GREEN, "productionListenerRule": production,
        "roleArn": "arn:aws:iam::123456789012:role/infrastructure",
    });
    if let (Some(test), Some(members)) = (test, advanced.as_object_mut()) {
        members.insert("testListenerRule".to_owned(), json!(test));
    }
    json!([{
        "targetGroupArn": GROUP, "containerName": "web", "containerPort": 8080,
        "advancedConfiguration": advanced,
    }])
}

pub(crate) fn group(arn: &str) -> TargetGroup {
    TargetGroup {
        arn: arn.to_owned(),
        target_type: Some("ip".to_owned()),
        protocol: Some("HTTP".to_owned()),
        vpc: Some("vpc-1".to_owned()),
    }
}

pub(crate) fn rule(arn: &str, forwards: &[(&str, u32)]) -> ListenerRule {
    let forwards = forwards.iter().map(|(group, weight)| ((*group).to_owned(), *weight));
    ListenerRule {
        arn: arn.to_owned(),
        forwards: forwards.collect(),
        other_actions: Vec::new(),
        is_default: false,
    }
}
