//! The region: replies to API calls and moves with time; never acts on its own outside of them.

use jiff::Timestamp;
use serde_json::Value;

use crate::{Effect, Happening, TargetGroupView};

/// The AWS services that the region speaks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Api {
    Ecs,
    ElasticLoadBalancingV2,
    CloudWatch,
    Sts,
}

/// An error reply, with AWS's own code (`ClusterNotFoundException`, `TargetGroupNotFound`).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct ApiError {
    pub code: String,
    pub message: String,
    /// 400 or 500.
    pub status: u16,
}

#[derive(Clone, Debug)]
pub struct Settings {
    pub account: String,
    pub region: String,
    pub seed: u64,
    /// Whether API token buckets refuse calls.
    pub throttling: bool,
}

/// See the crate's documentation.
#[derive(Debug)]
pub struct Region {
    settings: Settings,
    now: Timestamp,
}

impl Region {
    pub fn new(settings: Settings, now: Timestamp) -> Self {
        Self { settings, now }
    }

    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Answers one API call. `input` and the reply are JSON objects in the member names of AWS's
    /// model (camelCase for ECS, PascalCase for the others); times are seconds since the epoch.
    pub fn call(&mut self, api: Api, operation: &str, input: &Value) -> Result<Value, ApiError> {
        let _ = (api, input, &self.settings);
        Err(ApiError {
            code: "InvalidAction".to_owned(),
            message: format!("unknown operation {operation}"),
            status: 400,
        })
    }

    /// Lets time pass up to `now`; all timers due before are run in order.
    pub fn advance(&mut self, now: Timestamp) {
        self.now = self.now.max(now);
    }

    /// When [`Self::advance`] has something to do next.
    pub fn next_wake_up(&self) -> Option<Timestamp> {
        None
    }

    /// Tells the region what happened in the world.
    pub fn report(&mut self, happening: Happening) {
        drop(happening);
    }

    /// Takes what the region wants done since it was last asked.
    pub fn take_effects(&mut self) -> Vec<Effect> {
        Vec::new()
    }

    pub fn target_groups(&self) -> Vec<TargetGroupView> {
        Vec::new()
    }
}
