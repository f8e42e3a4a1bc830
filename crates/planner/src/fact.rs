//! Three-valued knowledge; never lets "could not look" pass for "is not there".

use serde::{Deserialize, Serialize};

/// What is known about one part of the cloud.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Fact<T> {
    Known(T),
    /// AWS confirmed that it does not exist.
    Absent,
    Unknown(Unknown),
}

/// Why something is not known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Unknown {
    /// The questions did not ask for it.
    NotAsked,
    /// The server does not implement this call.
    CapabilityMissing { operation: String },
    /// We may not make this call.
    Denied { operation: String, message: String },
    /// The call failed otherwise, or its answer was partial.
    Failed { operation: String, message: String },
}

impl<T> Fact<T> {
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Absent | Self::Unknown(_) => None,
        }
    }

    pub fn unknown(&self) -> Option<&Unknown> {
        match self {
            Self::Unknown(why) => Some(why),
            Self::Known(_) | Self::Absent => None,
        }
    }
}
