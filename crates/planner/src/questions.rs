//! What must be asked of AWS before planning; never asks.

use std::collections::BTreeSet;

use evenkeel_manifest::{Digest, Service};

use crate::Observed;

/// What one observation is to contain. Computed from the manifest, and from what was seen so far,
/// so that observing has no opinion of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Questions {
    pub depth: Depth,
    /// Look for a revision of this family that carries this digest.
    pub family: Option<FamilyQuestion>,
    /// Alarm names, for a deep look.
    pub alarms: BTreeSet<String>,
    /// Target group ARNs whose health is wanted, for a deep look.
    pub target_groups: BTreeSet<String>,
    /// Service revision ARNs to describe besides those of the listed service deployments.
    pub revisions: BTreeSet<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Depth {
    /// DescribeServices with tags (shared by ten services a call) and the cached digest of the
    /// task definition in use.
    Shallow,
    /// Also service deployments, their revisions, running and stopped tasks, target health, alarms
    /// and the document of the task definition in use.
    Deep,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FamilyQuestion {
    pub family: String,
    pub digest: Digest,
}

/// What to ask next, given what was `seen` in this pass; `None` when enough is known to plan.
/// Called with `seen: None` it always asks something. A pass asks at most three times.
pub fn questions(desired: Option<&Service>, seen: Option<&Observed>) -> Option<Questions> {
    let _ = desired;
    seen.is_none().then(|| Questions {
        depth: Depth::Shallow,
        family: None,
        alarms: BTreeSet::new(),
        target_groups: BTreeSet::new(),
        revisions: BTreeSet::new(),
    })
}
