//! One AWS call with every parameter decided; never makes it.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::{Deployment, Version};

/// A call and why it is made.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Action {
    pub call: Call,
    pub lane: Lane,
    /// One sentence, shown in logs, status and the command line.
    pub why: String,
}

/// The mutating calls that Evenkeel makes. `input` is the whole input of the operation as a JSON
/// object in AWS's camelCase, `cluster` and `service` included.
///
/// Printed and serialised, the values of environment variables are replaced.
#[derive(Clone, PartialEq, Serialize)]
#[serde(tag = "operation")]
pub enum Call {
    RegisterTaskDefinition {
        #[serde(serialize_with = "without_environment")]
        input: Value,
    },
    CreateService {
        #[serde(serialize_with = "without_environment")]
        input: Value,
    },
    UpdateService {
        #[serde(serialize_with = "without_environment")]
        input: Value,
    },
    /// Always with `stopType: ROLLBACK`, the only documented one.
    StopServiceDeployment {
        arn: String,
    },
    /// Answers a pause of a service deployment, once for each hook id.
    ContinueServiceDeployment {
        arn: String,
        hook: String,
        action: HookAction,
    },
    /// Of a service with an EXTERNAL controller.
    CreateTaskSet {
        input: Value,
    },
    /// Changes its scale, the only member that can be changed.
    UpdateTaskSet {
        input: Value,
    },
    UpdateServicePrimaryTaskSet {
        input: Value,
    },
    /// Always with `force`. The rule is read once more before, and a task set whose group gets traffic after all is left alone.
    DeleteTaskSet {
        input: Value,
        /// `None` where the PRIMARY task set serves what the group gets.
        unused: Option<Unused>,
    },
    /// Has CodeDeploy deploy a revision. It takes no client token: before it is made again, the group's deployments are
    /// looked at.
    CreateDeployment {
        input: Value,
    },
    /// Ends a deployment of CodeDeploy's, always with `autoRollbackEnabled: true`.
    StopDeployment {
        id: String,
    },
    /// Lets a deployment of CodeDeploy's that is READY move its traffic (`READY_WAIT`).
    ContinueDeployment {
        id: String,
    },
    /// Gives the target groups of a listener rule new weights. The rule is read once more before, and all else that
    /// it does is sent as it is; one whose weights are not as they were seen is left alone.
    ModifyRule {
        rule: String,
        weights: Reweighing,
    },
    /// The same of a listener's default rule, which cannot be changed as a rule.
    ModifyListener {
        listener: String,
        rule: String,
        weights: Reweighing,
    },
    /// Of a service that no manifest names and that has been at zero for long; never with `force`.
    DeleteService {
        input: Value,
    },
    TagResource {
        arn: String,
        tags: BTreeMap<String, String>,
    },
    UntagResource {
        arn: String,
        keys: Vec<String>,
    },
}

/// The weights of a rule by target group ARN, 0 to 999.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reweighing {
    pub seen: Vec<(String, u32)>,
    pub wanted: Vec<(String, u32)>,
}

/// A target group that a rule must give nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unused {
    pub rule: String,
    pub group: String,
}

/// The answer to a pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum HookAction {
    Continue,
    Rollback,
}

impl HookAction {
    /// AWS's word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Continue => "CONTINUE",
            Self::Rollback => "ROLLBACK",
        }
    }
}

impl Call {
    /// AWS's name of the operation.
    pub fn operation(&self) -> &'static str {
        match self {
            Self::RegisterTaskDefinition { .. } => "RegisterTaskDefinition",
            Self::CreateService { .. } => "CreateService",
            Self::UpdateService { .. } => "UpdateService",
            Self::StopServiceDeployment { .. } => "StopServiceDeployment",
            Self::ContinueServiceDeployment { .. } => "ContinueServiceDeployment",
            Self::CreateTaskSet { .. } => "CreateTaskSet",
            Self::UpdateTaskSet { .. } => "UpdateTaskSet",
            Self::UpdateServicePrimaryTaskSet { .. } => "UpdateServicePrimaryTaskSet",
            Self::DeleteTaskSet { .. } => "DeleteTaskSet",
            Self::CreateDeployment { .. } => "CreateDeployment",
            Self::StopDeployment { .. } => "StopDeployment",
            Self::ContinueDeployment { .. } => "ContinueDeployment",
            Self::ModifyRule { .. } => "ModifyRule",
            Self::ModifyListener { .. } => "ModifyListener",
            Self::DeleteService { .. } => "DeleteService",
            Self::TagResource { .. } => "TagResource",
            Self::UntagResource { .. } => "UntagResource",
        }
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = serde_json::to_string(self).map_err(|_| fmt::Error)?;
        f.write_str(&shown)
    }
}

/// What stands for a value that is not shown.
pub(crate) const SENSITIVE: &str = "(sensitive)";

fn without_environment<S: Serializer>(input: &Value, serializer: S) -> Result<S::Ok, S::Error> {
    without_secrets(input).serialize(serializer)
}

/// A copy in which no element of a list called `environment` has its `value`.
pub(crate) fn without_secrets(value: &Value) -> Value {
    match value {
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| match value {
                Value::Array(variables) if name == "environment" => {
                    (name.clone(), variables.iter().map(without_value).collect())
                }
                value => (name.clone(), without_secrets(value)),
            })
            .collect(),
        Value::Array(elements) => elements.iter().map(without_secrets).collect(),
        plain => plain.clone(),
    }
}

fn without_value(variable: &Value) -> Value {
    let mut variable = variable.clone();
    if let Some(value) = variable.get_mut("value") {
        *value = Value::String(SENSITIVE.to_owned());
    }
    variable
}

/// Who goes first when calls are scarce; the earlier variant wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Lane {
    Rollback,
    Person,
    RolloutStep,
    NewChange,
    Sweep,
}

/// What a call that succeeded told us.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Applied {
    TaskDefinition {
        arn: String,
    },
    /// The PRIMARY deployment in the reply of `CreateService` or `UpdateService`.
    Service {
        deployment: Option<String>,
        version: Option<Version>,
    },
    Done,
}

impl Applied {
    /// Reads the reply of `CreateService` or `UpdateService`.
    pub fn service(reply: &Value) -> Self {
        let deployments = reply.pointer("/service/deployments").and_then(Value::as_array);
        let mut read =
            deployments.into_iter().flatten().filter_map(|one| Deployment::read(one).ok());
        let primary = read.find(|one| one.status == "PRIMARY");
        let version = primary.as_ref().and_then(Deployment::version);
        Self::Service { deployment: primary.map(|one| one.id), version }
    }
}
