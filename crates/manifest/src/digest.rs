//! Versioned content digests; never computed over anything but canonical content.

use std::fmt::{self, Write as _};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::canonical;

/// `v1:` and 32 hexadecimal digits. The version is part of the value, so that a later version of
/// Evenkeel that hashes differently is seen as such and never taken for a change of content.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Digest(String);

impl Digest {
    /// Hexadecimal ones.
    pub(crate) const DIGITS: usize = 32;

    /// The digest of canonical content: SHA-256 of its compact JSON with sorted members, cut to 128
    /// bits. Whatever changes the canonical form of existing content must change the version, unless the
    /// form only comes to keep what it dropped: what was registered without that is other content.
    pub fn of(canonical: &Value) -> Self {
        let mut sorted = canonical.clone();
        sorted.sort_all_objects();
        let digits: String = sha256(&sorted.to_string()).chars().take(Self::DIGITS).collect();
        Self(format!("v1:{digits}"))
    }

    /// The digest of all that makes a service revision: the task definition, by its own digest, and
    /// the members of a service in canonical form that start a deployment when they change.
    pub fn of_revision(task_definition: &Self, service: &Value) -> Self {
        Self::of(&canonical::revision(task_definition, service))
    }

    /// Takes a digest as it was read back from a tag.
    pub fn from_tag(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The SHA-256 of a text in 64 hexadecimal digits, lower case.
pub fn sha256(text: &str) -> String {
    let mut digits = String::new();
    for byte in Sha256::digest(text) {
        // Writing to a string cannot fail.
        let _written = write!(digits, "{byte:02x}");
    }
    digits
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
