//! The names of the tags that are Evenkeel's only memory; never their values.

/// Tag keys on ECS services and task definitions. Values are at most 256 characters.
pub mod tag {
    /// The daemon instance and the manifest that own a service.
    pub const OWNER: &str = "evenkeel:owner";
    /// On a service: the revision digest last applied and the removable members it set. On a task
    /// definition: the digest of its content.
    pub const DIGEST: &str = "evenkeel:digest";
    /// The last service revision that passed full judgement.
    pub const PROVEN: &str = "evenkeel:proven";
    /// The revision digest judged bad, with when and why.
    pub const REJECTED: &str = "evenkeel:rejected";
    /// The rollout in flight: digest, deployment id, phase, since.
    pub const ROLLOUT: &str = "evenkeel:rollout";
    /// Set by a person: no writes until it is removed.
    pub const HOLD: &str = "evenkeel:hold";
}
