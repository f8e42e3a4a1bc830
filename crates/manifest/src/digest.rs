//! Versioned content digests; never computed over anything but canonical content.

use std::fmt;

use serde::{Deserialize, Serialize};

/// `v1:` and 32 hexadecimal digits. The version is part of the value, so that a later version of
/// Evenkeel that hashes differently is seen as such and never taken for a change of content.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Digest(String);

impl Digest {
    /// Takes a digest as it was read back from a tag.
    pub fn from_tag(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
