//! What people said about a service, as its tags tell; never what follows from it.

use serde::Serialize;

use crate::Said;
use crate::tags::{Memory, Scope};

/// What people said that is still in force.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Words {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hold: Option<Said>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pause: Option<Said>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub promotion: Option<PromotionStatus>,
    /// The person whose verdict it is that the wanted revision was rejected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rejection: Option<Said>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PromotionStatus {
    /// The hook of the gate that opens; `None` for all gates of the rollout, and for a freeze.
    pub hook: Option<String>,
    /// Whether it lets the content pass a freeze.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub freeze: bool,
    #[serde(flatten)]
    pub said: Said,
}

/// `None` when nobody said anything.
pub(super) fn of(memory: &Memory, hold: Option<Said>) -> Option<Box<Words>> {
    let promotion = memory.promotion.as_ref().map(|one| PromotionStatus {
        hook: match &one.scope {
            Scope::Hook(id) => Some(id.clone()),
            Scope::Full | Scope::Freeze => None,
        },
        freeze: one.scope == Scope::Freeze,
        said: one.said.clone(),
    });
    let rejection = memory.rejected.as_ref().and_then(|one| one.said.clone());
    let words = Words { hold, pause: memory.pause.clone(), promotion, rejection };
    (words != Words::default()).then(|| Box::new(words))
}
