//! What people do to the rules of a front behind a daemon's back; never what ECS does to them.

use serde_json::{Value, json};

use super::super::course::lock;
use super::Stage;
use crate::Api;

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
        }
        Ok(())
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
