//! What the tags of a service say, read from their documented forms; shares nothing with how they are
//! written.

use std::collections::BTreeMap;

use evenkeel_manifest::Digest;

use super::call::number;

pub(super) const OWNER: &str = "evenkeel:owner";
pub(super) const COMMIT: &str = "evenkeel:commit";
pub(super) const DIGEST: &str = "evenkeel:digest";
pub(super) const PROVEN: &str = "evenkeel:proven";
pub(super) const REJECTED: &str = "evenkeel:rejected";
pub(super) const ROLLOUT: &str = "evenkeel:rollout";
pub(super) const HOLD: &str = "evenkeel:hold";
pub(super) const PAUSE: &str = "evenkeel:pause";
pub(super) const PROMOTE: &str = "evenkeel:promote";

pub(super) type Tags = BTreeMap<String, String>;

/// `evenkeel:rollout`: `v1:<digest>:<deployment, or - and a revision>:<phase>:<epoch>[:<task>/<epoch>]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) digest: String,
    pub(super) deployment: Option<u64>,
    /// `probe`, `widen`, `rollback`.
    pub(super) phase: String,
    /// When it was written, in seconds since the epoch.
    pub(super) since: i64,
}

impl Mark {
    pub(super) fn read(value: &str) -> Option<Self> {
        // The digest has a colon of its own.
        let parts: Vec<&str> = value.split(':').collect();
        let ["v1", version, hex, deployment, phase, since, ..] = parts.as_slice() else {
            return None;
        };
        Some(Self {
            since: since.parse().ok()?,
            digest: format!("{version}:{hex}"),
            deployment: number(deployment),
            phase: (*phase).to_owned(),
        })
    }
}

/// `evenkeel:promote`: `v1:<digest>:<hook id or full>:<epoch>:<who>:<comment>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Promotion {
    digest: String,
    /// `None`: all gates of the rollout.
    pub(super) hook: Option<String>,
}

impl Promotion {
    pub(super) fn read(value: &str) -> Option<Self> {
        let parts: Vec<&str> = value.split(':').collect();
        let ["v1", version, hex, hook, _said, ..] = parts.as_slice() else { return None };
        let hook = (*hook != "full").then(|| (*hook).to_owned());
        Some(Self { digest: format!("{version}:{hex}"), hook })
    }

    pub(super) fn opens(&self, digest: &Digest, hook: &str) -> bool {
        self.digest == digest.as_str() && self.hook.as_deref().is_none_or(|one| one == hook)
    }
}

/// The rollout in flight.
pub(super) fn mark(tags: &Tags) -> Option<Mark> {
    Mark::read(tags.get(ROLLOUT)?)
}

/// Whether the verdict on the service is about this revision.
pub(super) fn rejects(tags: &Tags, digest: &Digest) -> bool {
    tags.get(REJECTED).is_some_and(|value| names(value, digest))
}

/// Whether the revision last proven is this one.
pub(super) fn applied(tags: &Tags, digest: &Digest) -> bool {
    tags.get(DIGEST).is_some_and(|value| names(value, digest))
}

/// Whether a value is about this digest.
pub(super) fn names(value: &str, digest: &Digest) -> bool {
    value.split_once(':').is_some_and(|(_, rest)| rest.starts_with(digest.as_str()))
}

/// The instance in the value of an owner tag, `v1:<instance>:<file>`.
pub(super) fn instance(value: &str) -> Option<&str> {
    value.strip_prefix("v1:")?.split(':').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_with_and_without_its_optional_parts() {
        let mark = |deployment, phase: &str| {
            let (digest, phase) = ("v1:00ff".to_owned(), phase.to_owned());
            Some(Mark { digest, deployment, phase, since: 1_790_000_000 })
        };
        assert_eq!(Mark::read("v1:v1:00ff:-7:probe:1790000000"), mark(None, "probe"));
        let whole = "v1:v1:00ff:ecs-svc/77:widen:1790000000:0123/1790000001";
        assert_eq!(Mark::read(whole), mark(Some(77), "widen"));
        assert_eq!(Mark::read("v2:whatever"), None);
    }

    #[test]
    fn a_verdict_names_its_digest_and_no_other() {
        let value = "v1:v1:00ff:1790000000:Crashes".to_owned();
        let tags = Tags::from([(REJECTED.to_owned(), value)]);
        assert!(rejects(&tags, &Digest::from_tag("v1:00ff")));
        assert!(!rejects(&tags, &Digest::from_tag("v1:00fe")));
        assert_eq!(instance("v1:evenkeel:web.yaml"), Some("evenkeel"));
    }
}
