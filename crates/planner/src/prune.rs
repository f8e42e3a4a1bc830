//! What may be done now with services that no manifest names, as data; never decides it.

use jiff::{SignedDuration, Timestamp};

/// The terms under which a service that is ours and that no manifest names goes: it is announced, scaled in to
/// zero after `grace`, and deleted after `keep` more. They come from the whole set of manifests, which a plan for
/// one service does not see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PruneTerms {
    /// Between being announced and being scaled in.
    pub grace: SignedDuration,
    /// Between being scaled in and being deleted; at least [`Self::KEEP_LEAST`].
    pub keep: SignedDuration,
    /// How long ago a manifest last named the service, as far as the daemon knows: an older announcement is about an
    /// earlier absence, and may have reached AWS late.
    pub lost_for: Option<SignedDuration>,
    /// Whether another service may be announced.
    pub announce: Leave,
    /// Whether those that were announced go on.
    pub proceed: Leave,
    /// Whether those go on that a person let go by name.
    pub acknowledged: Leave,
}

/// Whether something may be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leave {
    Granted,
    /// With the reason, as a clause for people.
    Held(String),
}

impl PruneTerms {
    /// No service is deleted sooner after it was scaled in.
    pub const KEEP_LEAST: SignedDuration = SignedDuration::from_hours(24);

    /// When a manifest last named the service; the earliest time where that is not known.
    pub(crate) fn lost_at(&self, now: Timestamp) -> Timestamp {
        let at = self.lost_for.and_then(|time| now.checked_sub(time).ok());
        at.unwrap_or(Timestamp::MIN)
    }
}

impl Leave {
    /// Why not.
    pub fn held(&self) -> Option<&str> {
        match self {
            Self::Granted => None,
            Self::Held(why) => Some(why),
        }
    }
}
