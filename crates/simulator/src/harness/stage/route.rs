//! What people do to the rules of a front behind a daemon's back; never what ECS does to them.

use serde_json::{Value, json};

use super::super::course::lock;
use super::Stage;
use crate::region::list;
use crate::{Api, Life, ServiceFacts};

/// Where the rules of a front lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// As they were made: all to the first group, and the second one, made anew if it is gone, named.
    AsMade,
    /// Production traffic goes to a group of somebody else.
    Elsewhere,
    /// Both groups get production traffic.
    ToBoth,
    /// The second group is named by no rule, and deleted.
    WithoutGreen,
    /// What a preflight asks for: where both groups get production traffic and no deployment is under way
    /// that could end that, all goes to the one with more healthy targets, or to the first.
    ToWhatServes,
}

impl Stage {
    pub(super) fn route(&mut self, name: &str, route: Route) -> Result<(), String> {
        let (blue, green) = (self.made(name)?, self.made(&format!("{name}/green"))?);
        let production = self.made(&format!("{name}/listener"))?;
        let test = self.made(&format!("{name}/test-listener"))?;
        match route {
            Route::AsMade => {
                let green = self.target_group(&format!("{name}-green"), 30)?;
                for listener in [production, test] {
                    self.forward(&listener, &[(&blue, 100), (&green, 0)])?;
                }
                self.groups.insert(format!("{name}/green"), green);
            }
            Route::Elsewhere => {
                let other = self.target_group(&format!("{name}-other"), 30)?;
                self.forward(&production, &[(&other, 1)])?;
            }
            Route::ToBoth => self.forward(&production, &[(&blue, 50), (&green, 50)])?,
            Route::WithoutGreen => {
                for listener in [production, test] {
                    self.forward(&listener, &[(&blue, 1)])?;
                }
                self.elb("DeleteTargetGroup", &json!({"TargetGroupArn": green}))?;
            }
            Route::ToWhatServes if self.is_split(&production)? && !self.is_moving(name) => {
                let serves = self.healthy_targets(&green)? > self.healthy_targets(&blue)?;
                let (to_blue, to_green) = if serves { (0, 100) } else { (100, 0) };
                self.forward(&production, &[(&blue, to_blue), (&green, to_green)])?;
            }
            Route::ToWhatServes => {}
        }
        Ok(())
    }

    /// Whether more than one group gets traffic by the rule of a listener.
    fn is_split(&self, listener: &str) -> Result<bool, String> {
        let found = self.elb("DescribeRules", &json!({"ListenerArn": listener}))?;
        let groups = found.pointer("/Rules/0/Actions/0/ForwardConfig/TargetGroups");
        let groups = groups.and_then(Value::as_array).into_iter().flatten();
        let weight = |group: &Value| group.get("Weight").and_then(Value::as_u64);
        Ok(groups.filter(|group| weight(group) > Some(0)).count() > 1)
    }

    /// Whether a service behind a front has more than what it settled on.
    fn is_moving(&self, front: &str) -> bool {
        let moves = |facts: ServiceFacts| {
            let last = facts.history.last();
            let is_over = |status: &str| {
                ["SUCCESSFUL", "STOPPED", "ROLLBACK_SUCCESSFUL", "ROLLBACK_FAILED"]
                    .contains(&status)
            };
            // Task sets have no history: more than one of them is a rollout.
            let is_in_flight =
                last.map_or(facts.deployments.len() > 1, |last| !is_over(last.status));
            facts.life == Life::Active && is_in_flight
        };
        let behind = self.wishes.values().filter(|wish| wish.word("front") == Some(front));
        behind.filter_map(|wish| self.facts(&wish.name)).any(moves)
    }

    fn healthy_targets(&self, group: &str) -> Result<usize, String> {
        let found = self.elb("DescribeTargetHealth", &json!({"TargetGroupArn": group}))?;
        let targets = list(&found, "TargetHealthDescriptions").iter();
        let is_healthy = |target: &&Value| {
            target.pointer("/TargetHealth/State").and_then(Value::as_str) == Some("healthy")
        };
        Ok(targets.filter(is_healthy).count())
    }

    fn made(&self, what: &str) -> Result<String, String> {
        self.groups.get(what).cloned().ok_or_else(|| format!("there is no front with {what}"))
    }

    fn forward(&self, listener: &str, weights: &[(&str, u32)]) -> Result<(), String> {
        let weight = |(arn, weight): &(&str, u32)| json!({"TargetGroupArn": arn, "Weight": weight});
        let groups: Value = weights.iter().map(weight).collect();
        let forward = json!({"Type": "forward", "ForwardConfig": {"TargetGroups": groups}});
        let input = json!({"ListenerArn": listener, "DefaultActions": [forward]});
        let (api, operation) = (Api::ElasticLoadBalancingV2, "ModifyListener");
        let reply = lock(&self.course).edit("a person", api, operation, &input);
        reply.map(drop).map_err(|error| error.to_string())
    }
}
