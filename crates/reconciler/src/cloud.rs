//! The one seam to AWS; never decides what to ask or what to do.

mod around;
mod stopped;

use std::future::Future;
use std::time::Duration;

use evenkeel_manifest::ServiceKey;
use evenkeel_planner::{Action, Applied, Asked, Fact, Observed, Questions, Shown, Unknown};

use crate::OwnedService;

pub use around::CloudAround;
pub use stopped::StoppedTasks;

/// Implemented by the AWS edge and by the simulator.
pub trait Cloud: Send + Sync + 'static {
    /// Services in the clusters given that carry the owner tag of this instance, in the default
    /// target, for a cloud does not know its own name. An error is never an empty list.
    fn owned(
        &self,
        instance: &str,
        clusters: &[String],
    ) -> impl Future<Output = Result<Vec<OwnedService>, CloudError>> + Send;

    /// Looks at one service. An error means that not even the service itself could be read; a part
    /// that could not be read is `Unknown` in the answer.
    fn observe(
        &self,
        key: &ServiceKey,
        questions: &Questions,
    ) -> impl Future<Output = Result<Observed, CloudError>> + Send;

    /// Makes exactly one call. One that deletes a service is known only to a cloud that was made with the grant for it.
    fn apply(
        &self,
        key: &ServiceKey,
        action: &Action,
    ) -> impl Future<Output = Result<Applied, CloudError>> + Send;

    /// As [`Self::apply`], for a caller who must know when the call is sent: `is_permitted` is
    /// asked once, when all waiting (for a rate limit, say) is over and immediately before the
    /// call is sent. If it says no, nothing is sent and the answer is `None`.
    ///
    /// To be implemented by whoever makes calls wait.
    fn apply_if(
        &self,
        key: &ServiceKey,
        action: &Action,
        is_permitted: &(dyn Fn() -> bool + Send + Sync),
    ) -> impl Future<Output = Option<Result<Applied, CloudError>>> + Send {
        async move { if is_permitted() { Some(self.apply(key, action).await) } else { None } }
    }

    /// Looks at something that manifests name and do not make. Only a cloud that has such things is asked; images it
    /// knows nothing of.
    fn look_at(&self, _asked: &Asked) -> impl Future<Output = Fact<Shown>> + Send {
        async { Fact::Unknown(Unknown::NotAsked) }
    }

    /// The credentials with which registries of the cloud in a region are asked, for `Authorization: Basic`.
    fn registry_token(
        &self,
        _region: &str,
    ) -> impl Future<Output = Result<String, Unknown>> + Send {
        async { Err(Unknown::NotAsked) }
    }
}

/// Why a call did not do what it should, classified by what to do next.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CloudError {
    /// Slow down; nothing was done.
    #[error("{operation} was throttled: {message}")]
    Throttled { operation: String, message: String, retry_after: Option<Duration> },
    /// Try again; nothing was done.
    #[error("{operation} failed for now: {message}")]
    Transient { operation: String, message: String },
    /// The call may or may not have been carried out: read before anything else.
    #[error("the outcome of {operation} is unknown: {message}")]
    UnknownOutcome { operation: String, message: String },
    /// AWS will not do it as asked; the same call will fail again.
    #[error("{operation} was rejected ({code}): {message}")]
    Rejected { operation: String, code: String, message: String },
    /// Credentials or permissions: a person must act.
    #[error("{operation} was denied ({code}): {message}")]
    Denied { operation: String, code: String, message: String },
    /// A limit of the account: a person must act, or capacity must come free.
    #[error("{operation} hit a quota ({code}): {message}")]
    Quota { operation: String, code: String, message: String },
    /// What the call is about has changed meanwhile: look again, plan again.
    #[error("{operation} met another state ({code}): {message}")]
    Conflict { operation: String, code: String, message: String },
    /// The server does not implement the call.
    #[error("capability missing: the server does not know {operation}")]
    CapabilityMissing { operation: String },
}

impl From<CloudError> for Unknown {
    /// Why a part of a look is not known.
    fn from(error: CloudError) -> Self {
        let (operation, message) = (error.operation().to_owned(), error.to_string());
        match error {
            CloudError::CapabilityMissing { operation } => Self::CapabilityMissing { operation },
            CloudError::Denied { .. } => Self::Denied { operation, message },
            _ => Self::Failed { operation, message },
        }
    }
}

impl CloudError {
    /// In the place of a code of AWS.
    pub const NO_CREDENTIALS: &str = "NoCredentials";

    /// Whether there is no such cluster, and so no service in it.
    pub fn is_missing_cluster(&self) -> bool {
        matches!(self, Self::Conflict { code, .. } if code == "ClusterNotFoundException")
    }

    /// Whether no credentials could be got, so that AWS was not asked at all.
    pub fn is_for_want_of_credentials(&self) -> bool {
        matches!(self, Self::Denied { code, .. } if code == Self::NO_CREDENTIALS)
    }

    /// One word for metrics and back-off.
    pub fn class(&self) -> &'static str {
        match self {
            Self::Throttled { .. } => "throttled",
            Self::Transient { .. } => "transient",
            Self::UnknownOutcome { .. } => "unknown_outcome",
            Self::Rejected { .. } => "rejected",
            Self::Denied { .. } => "denied",
            Self::Quota { .. } => "quota",
            Self::Conflict { .. } => "conflict",
            Self::CapabilityMissing { .. } => "capability_missing",
        }
    }

    /// AWS's name of the operation that failed.
    pub fn operation(&self) -> &str {
        match self {
            Self::Throttled { operation, .. }
            | Self::Transient { operation, .. }
            | Self::UnknownOutcome { operation, .. }
            | Self::Rejected { operation, .. }
            | Self::Denied { operation, .. }
            | Self::Quota { operation, .. }
            | Self::Conflict { operation, .. }
            | Self::CapabilityMissing { operation } => operation,
        }
    }
}
