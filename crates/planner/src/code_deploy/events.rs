//! What happened in the lifecycle events of a deployment that failed; never what follows from it.
//!
//! Source: ecs-behaviour 6.1 and 6.5; `LifecycleEvent` API reference.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{CodeDeployDeployment, DeploymentGroup};

/// An element of `lifecycleEvents` of a deployment's target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LifecycleEvent {
    /// `BeforeInstall`, `Install`, …
    #[serde(default)]
    pub lifecycle_event_name: String,
    /// `Pending`, `InProgress`, `Succeeded`, `Failed`, `Skipped`, `Unknown`, or a newer word.
    #[serde(default)]
    pub status: String,
    #[serde(default)]
    pub diagnostics: Option<Diagnostics>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Diagnostics {
    #[serde(default)]
    pub message: Option<String>,
}

impl LifecycleEvent {
    /// Those of the one target that the reply of `BatchGetDeploymentTargets` holds. What cannot be read is left out: it
    /// only explains a verdict.
    pub fn read_all(reply: &Value) -> Vec<Self> {
        let events = reply.pointer("/deploymentTargets/0/ecsTarget/lifecycleEvents");
        let events = events.and_then(Value::as_array).into_iter().flatten();
        events.filter_map(|event| Self::deserialize(event).ok()).collect()
    }

    /// A function is called in those before and after what CodeDeploy does itself.
    fn is_hook(&self) -> bool {
        ["Before", "After"].iter().any(|head| self.lifecycle_event_name.starts_with(head))
    }

    /// `its hook BeforeAllowTraffic failed: smoke-test answered Failed`
    fn failure(&self) -> Option<String> {
        let has_failed = self.status == "Failed" && self.is_hook();
        let message = self.diagnostics.as_ref().and_then(|told| told.message.as_deref());
        let message = message.filter(|message| !message.is_empty());
        let why = message.map_or(String::new(), |message| format!(": {message}"));
        has_failed.then(|| format!("its hook {} failed{why}", self.lifecycle_event_name))
    }
}

impl CodeDeployDeployment {
    /// What `BatchGetDeploymentTargets` is asked, so that it is known which hook failed; `None` of a deployment of which
    /// it has nothing to explain.
    pub fn target(&self, group: &DeploymentGroup) -> Option<Value> {
        let service = group.ecs_services.first().filter(|_| self.status == "Failed")?;
        let target = format!("{}:{}", service.cluster_name, service.service_name);
        Some(json!({"deploymentId": self.deployment_id, "targetIds": [target]}))
    }

    /// The hook that failed, in a sentence.
    pub(super) fn failed_hook(&self) -> Option<String> {
        self.lifecycle_events.iter().find_map(LifecycleEvent::failure)
    }
}
