//! The identity of one ECS service; never says anything about its content.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Names one ECS service: where it lives (`target`: an account and region known to the daemon),
/// in which cluster (short name, never an ARN) and under which service name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceKey {
    pub target: String,
    pub cluster: String,
    pub name: String,
}

impl ServiceKey {
    /// The target of manifests that name none.
    pub const DEFAULT_TARGET: &str = "default";

    /// A key in the default target.
    pub fn new(cluster: impl Into<String>, name: impl Into<String>) -> Self {
        Self { target: Self::DEFAULT_TARGET.to_owned(), cluster: cluster.into(), name: name.into() }
    }
}

/// `cluster/name`, with `target/` before it unless it is the default one.
impl fmt::Display for ServiceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.target != Self::DEFAULT_TARGET {
            write!(f, "{}/", self.target)?;
        }
        write!(f, "{}/{}", self.cluster, self.name)
    }
}
