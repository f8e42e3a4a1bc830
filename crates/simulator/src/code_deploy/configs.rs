//! Deployment configurations: how traffic moves; never when it does.
//!
//! Source: reference page, section 6.3.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{CodeDeploy, refused, required};
use crate::region::{ApiError, Share, State, Strategy, count, epoch, given, text};

#[derive(Clone, Debug)]
pub(super) struct Config {
    id: String,
    routing: Value,
    pub(super) strategy: Strategy,
    created_at: Option<Timestamp>,
}

pub(super) const ALL_AT_ONCE: &str = "CodeDeployDefault.ECSAllAtOnce";

/// What CodeDeploy has for ECS by itself: the percentage and the minutes of each step.
const PREDEFINED: [(&str, &str, u32, u32); 5] = [
    (ALL_AT_ONCE, "AllAtOnce", 100, 0),
    ("CodeDeployDefault.ECSLinear10PercentEvery1Minutes", "TimeBasedLinear", 10, 1),
    ("CodeDeployDefault.ECSLinear10PercentEvery3Minutes", "TimeBasedLinear", 10, 3),
    ("CodeDeployDefault.ECSCanary10Percent5Minutes", "TimeBasedCanary", 10, 5),
    ("CodeDeployDefault.ECSCanary10Percent15Minutes", "TimeBasedCanary", 10, 15),
];

impl CodeDeploy {
    pub(super) fn config(&self, name: &str) -> Result<Config, ApiError> {
        let predefined = PREDEFINED.into_iter().zip(1..).find(|((known, ..), _)| *known == name);
        if let Some(((_, kind, percent, minutes), number)) = predefined {
            let routing = routing(kind, percent, minutes);
            let strategy = strategy(&routing)?;
            let id = format!("00000000-0000-0000-0000-{number:012}");
            return Ok(Config { id, routing, strategy, created_at: None });
        }
        self.configs.get(name).cloned().ok_or_else(|| {
            refused(
                "DeploymentConfigDoesNotExist",
                format!("No deployment configuration found for name: {name}"),
            )
        })
    }
}

impl State {
    pub(super) fn create_deployment_config(&mut self, input: &Value) -> Result<Value, ApiError> {
        let name = required(input, "deploymentConfigName", "DeploymentConfigNameRequired")?;
        if self.code_deploy.config(name).is_ok() {
            return Err(refused(
                "DeploymentConfigAlreadyExists",
                format!("Deployment configuration {name} already exists"),
            ));
        }
        super::applications::check_platform(input)?;
        let routing = given(input, "trafficRoutingConfig").cloned();
        let routing = routing.unwrap_or_else(|| json!({"type": "AllAtOnce"}));
        let strategy = strategy(&routing)?;
        let id = self.new_uuid();
        let created_at = Some(self.now);
        let config = Config { id: id.clone(), routing, strategy, created_at };
        self.code_deploy.configs.insert(name.to_owned(), config);
        Ok(json!({"deploymentConfigId": id}))
    }

    pub(super) fn get_deployment_config(&self, input: &Value) -> Result<Value, ApiError> {
        let name = required(input, "deploymentConfigName", "DeploymentConfigNameRequired")?;
        let config = self.code_deploy.config(name)?;
        Ok(json!({"deploymentConfigInfo": {
            "deploymentConfigId": config.id,
            "deploymentConfigName": name,
            "computePlatform": "ECS",
            "createTime": config.created_at.map(epoch),
            "trafficRoutingConfig": config.routing,
        }}))
    }
}

fn routing(kind: &str, percent: u32, minutes: u32) -> Value {
    match kind {
        "TimeBasedCanary" => json!({
            "type": kind,
            "timeBasedCanary": {"canaryPercentage": percent, "canaryInterval": minutes},
        }),
        "TimeBasedLinear" => json!({
            "type": kind,
            "timeBasedLinear": {"linearPercentage": percent, "linearInterval": minutes},
        }),
        _ => json!({"type": kind}),
    }
}

fn strategy(routing: &Value) -> Result<Strategy, ApiError> {
    let invalid = || {
        refused(
            "InvalidTrafficRoutingConfiguration",
            "The configuration that specifies how traffic is routed during a deployment is invalid.",
        )
    };
    let part = |kind: &str, percent: &str, interval: &str| {
        let part = given(routing, kind)?;
        let percent = count(part, percent).filter(|percent| (1..100).contains(percent))?;
        let minutes = count(part, interval)?;
        Some((Share::of_percent(percent), Duration::from_mins(minutes.into())))
    };
    match text(routing, "type") {
        Some("AllAtOnce") => Ok(Strategy::BlueGreen),
        Some("TimeBasedCanary") => {
            let found = part("timeBasedCanary", "canaryPercentage", "canaryInterval");
            found.map(|(first, bake)| Strategy::Canary { first, bake }).ok_or_else(invalid)
        }
        Some("TimeBasedLinear") => {
            let found = part("timeBasedLinear", "linearPercentage", "linearInterval");
            found.map(|(step, bake)| Strategy::Linear { step, bake }).ok_or_else(invalid)
        }
        _ => Err(invalid()),
    }
}
