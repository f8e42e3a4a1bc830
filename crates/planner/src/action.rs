//! One AWS call with every parameter decided; never makes it.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

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
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "operation")]
pub enum Call {
    RegisterTaskDefinition {
        input: Value,
    },
    CreateService {
        input: Value,
    },
    UpdateService {
        input: Value,
    },
    /// Always with `stopType: ROLLBACK`, the only documented one.
    StopServiceDeployment {
        arn: String,
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

impl Call {
    /// AWS's name of the operation.
    pub fn operation(&self) -> &'static str {
        match self {
            Self::RegisterTaskDefinition { .. } => "RegisterTaskDefinition",
            Self::CreateService { .. } => "CreateService",
            Self::UpdateService { .. } => "UpdateService",
            Self::StopServiceDeployment { .. } => "StopServiceDeployment",
            Self::TagResource { .. } => "TagResource",
            Self::UntagResource { .. } => "UntagResource",
        }
    }
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
    /// The PRIMARY deployment in the reply of CreateService or UpdateService.
    Service {
        deployment: Option<String>,
    },
    Done,
}
