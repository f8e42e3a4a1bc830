//! What people said about a service, as its tags tell; never what follows from it.

use evenkeel_manifest::Service;
use serde::Serialize;

use crate::tags::{Memory, Scope, tag};
use crate::{ObservedService, Said};

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
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approval: Option<ApprovalStatus>,
}

/// What the manifest's annotation approves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ApprovalStatus {
    /// The first digits of the revision's digest.
    pub revision: String,
    /// Whether that is what the manifest wants; else it is of no account.
    pub is_wanted: bool,
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
pub(super) fn of(
    service: Option<&ObservedService>,
    desired: Option<&Service>,
) -> Option<Box<Words>> {
    let memory = service.map(|service| Memory::read(&service.tags)).unwrap_or_default();
    let hold = service.and_then(|service| service.tags.get(tag::HOLD));
    let hold = hold.map(|value| Said::decode(value));
    let approval = desired.and_then(|desired| {
        let revision = desired.approval.as_ref()?.revision().to_owned();
        Some(ApprovalStatus { revision, is_wanted: desired.is_approved() })
    });
    let promotion = memory.promotion.as_ref().map(|one| PromotionStatus {
        hook: match &one.scope {
            Scope::Hook(id) => Some(id.clone()),
            Scope::Full | Scope::Freeze => None,
        },
        freeze: one.scope == Scope::Freeze,
        said: one.said.clone(),
    });
    let rejection = memory.rejected.as_ref().and_then(|one| one.said.clone());
    let words = Words { hold, pause: memory.pause, promotion, rejection, approval };
    (words != Words::default()).then(|| Box::new(words))
}
