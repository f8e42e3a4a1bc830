//! Whether what a manifest names and does not make is there and fits; never asks anybody, and never sees a value of a
//! secret.
//!
//! [`needs`] says what a manifest names, [`Need::asked`] what to ask about it, and [`verify`] what the answers mean.
//! How AWS and registries are asked is the business of others.

mod fit;
mod named;
mod needs;
mod trust;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::Fact;

pub use fit::verify;
pub use needs::needs;

/// A kind of thing that manifests name, and the switch for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Check {
    Role,
    Image,
    Secret,
    LogGroup,
    TargetGroup,
    Alarm,
    Subnet,
    SecurityGroup,
    Function,
}

impl Check {
    pub const ALL: [Self; 9] = [
        Self::Role,
        Self::Image,
        Self::Secret,
        Self::LogGroup,
        Self::TargetGroup,
        Self::Alarm,
        Self::Subnet,
        Self::SecurityGroup,
        Self::Function,
    ];

    /// As it is typed and shown.
    pub fn word(self) -> &'static str {
        match self {
            Self::Role => "role",
            Self::Image => "image",
            Self::Secret => "secret",
            Self::LogGroup => "log-group",
            Self::TargetGroup => "target-group",
            Self::Alarm => "alarm",
            Self::Subnet => "subnet",
            Self::SecurityGroup => "security-group",
            Self::Function => "function",
        }
    }
}

/// One question about one thing; equal ones are asked once. A region that is absent is that of the target.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Asked {
    /// By its name without path.
    Role {
        name: String,
    },
    /// As the manifest writes it.
    Image {
        reference: String,
    },
    /// A secret of Secrets Manager, by its ARN or name.
    Secret {
        id: String,
    },
    /// A parameter of Systems Manager. One of an ARN may be called with a leading `/` or without.
    Parameter {
        name: String,
        region: Option<String>,
    },
    LogGroup {
        name: String,
        region: Option<String>,
    },
    TargetGroup {
        arn: String,
    },
    Alarm {
        name: String,
    },
    Subnet {
        id: String,
    },
    SecurityGroup {
        id: String,
    },
    /// A function of Lambda, by its name or ARN, without version or alias.
    Function {
        id: String,
        region: Option<String>,
    },
}

impl Asked {
    pub fn check(&self) -> Check {
        match self {
            Self::Role { .. } => Check::Role,
            Self::Image { .. } => Check::Image,
            Self::Secret { .. } | Self::Parameter { .. } => Check::Secret,
            Self::LogGroup { .. } => Check::LogGroup,
            Self::TargetGroup { .. } => Check::TargetGroup,
            Self::Alarm { .. } => Check::Alarm,
            Self::Subnet { .. } => Check::Subnet,
            Self::SecurityGroup { .. } => Check::SecurityGroup,
            Self::Function { .. } => Check::Function,
        }
    }
}

/// What is shown of a thing that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shown {
    /// Nothing else is asked about it.
    Exists,
    /// The trust policy as JSON.
    Role {
        arn: String,
        trust_policy: String,
    },
    /// What the image can run on; empty when it does not say.
    Image(Vec<Platform>),
    /// The staging labels of each version; none of its values.
    Secret {
        versions: BTreeMap<String, BTreeSet<String>>,
        is_to_be_deleted: bool,
    },
    TargetGroup(AttachedGroup),
    /// A subnet or security group in the VPC of this ID.
    InVpc(String),
}

/// An operating system and an architecture in Go's words, as registries have them: `linux` and `amd64`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Platform {
    pub os: String,
    pub architecture: String,
}

/// A target group and where it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AttachedGroup {
    /// `ip`, `instance`, `lambda` or `alb`.
    pub target_type: Option<String>,
    pub protocol: Option<String>,
    pub vpc: Option<String>,
    /// How many load balancers use it.
    pub load_balancers: usize,
}

/// What was found out, by question; one that nobody answered in time is missing.
pub type Answers = BTreeMap<Asked, Fact<Shown>>;

/// Something that a manifest names and does not make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    pub check: Check,
    /// The member that names it, such as `executionRoleArn`.
    pub member: &'static str,
    /// As the manifest names it.
    pub text: String,
    demand: Demand,
}

/// What must be true of it besides that it exists.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Demand {
    /// A role that this service principal may assume.
    Role {
        asked: Asked,
        principal: &'static str,
    },
    /// An image that runs here; on EC2 without `runtimePlatform` any architecture may be meant.
    Image {
        asked: Asked,
        os: &'static str,
        architecture: Option<&'static str>,
    },
    Secret {
        asked: Asked,
        stage: Option<String>,
        version: Option<String>,
    },
    TargetGroup {
        asked: Asked,
        target_type: &'static str,
        port: Option<Port>,
    },
    /// In the same VPC as all others of the service.
    Vpc {
        asked: Asked,
    },
    Existence {
        asked: Asked,
    },
    /// It cannot be looked at from here: why.
    Unseen {
        why: String,
    },
}

/// A port of a container that a load balancer sends to.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Port {
    container: String,
    number: u64,
    /// `tcp` or `udp`.
    protocol: String,
}

impl Need {
    /// What to ask; `None` when it cannot be looked at.
    pub fn asked(&self) -> Option<&Asked> {
        match &self.demand {
            Demand::Role { asked, .. }
            | Demand::Image { asked, .. }
            | Demand::Secret { asked, .. }
            | Demand::TargetGroup { asked, .. }
            | Demand::Vpc { asked }
            | Demand::Existence { asked } => Some(asked),
            Demand::Unseen { .. } => None,
        }
    }
}

/// What was found about all needs of one service, and what follows from it before something starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verification {
    pub findings: Vec<Finding>,
    /// Whether nothing starts while one has failed.
    pub holds: bool,
}

/// A need, and what was found about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub need: Need,
    pub verified: Verified,
}

/// What a check found about one need; sentences say what to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase", tag = "outcome", content = "message")]
pub enum Verified {
    Ok,
    /// It does not exist, or does not fit.
    Failed(String),
    /// IAM, or a registry, does not allow looking: not checked.
    Forbidden(String),
    /// It could not be looked at: not checked.
    Unknown(String),
}

impl Verified {
    /// As it is shown.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed(_) => "failed",
            Self::Forbidden(_) => "forbidden",
            Self::Unknown(_) => "unknown",
        }
    }

    pub fn sentence(&self) -> Option<&str> {
        match self {
            Self::Ok => None,
            Self::Failed(text) | Self::Forbidden(text) | Self::Unknown(text) => Some(text),
        }
    }
}
