//! What one source may manage; never more than is written down once anything is.

use serde::{Deserialize, Serialize};

use evenkeel_manifest::Pattern;

/// A grant as it is written down. A list that is left out limits nothing; an empty one allows nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct RawGrant {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clusters: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub services: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub roles: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub images: Option<Vec<String>>,
    pub privileged: bool,
}

/// What a source may manage, checked. `None`: any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    pub(crate) clusters: Option<Vec<Pattern>>,
    pub(crate) services: Option<Vec<Pattern>>,
    /// ARNs of all roles that manifests name.
    pub(crate) roles: Option<Vec<Pattern>>,
    pub(crate) images: Option<Vec<Pattern>>,
    /// Whether containers may be more than guests of their host.
    pub(crate) privileged: bool,
}

/// Patterns of one member are a list of at most so many.
const MOST: usize = 200;

impl Grant {
    /// With the members that are wrong, and what was expected.
    pub(super) fn read(raw: &RawGrant) -> (Self, Vec<(&'static str, &'static str)>) {
        const NAMES: &str = "at most 200 names of letters, digits, `_` and `-`, in which `*` stands for any characters";
        const REFERENCES: &str =
            "at most 200 texts without spaces, in which `*` stands for any characters";
        let mut wrong = Vec::new();
        let mut list =
            |member, given: &Option<Vec<String>>, read: fn(&str) -> Option<Pattern>, expected| {
                let texts = given.as_ref()?;
                let patterns: Vec<Pattern> = texts.iter().filter_map(|text| read(text)).collect();
                if patterns.len() < texts.len() || texts.len() > MOST {
                    wrong.push((member, expected));
                }
                Some(patterns)
            };
        let grant = Self {
            clusters: list("grant.clusters", &raw.clusters, Pattern::of_names, NAMES),
            services: list("grant.services", &raw.services, Pattern::of_names, NAMES),
            roles: list("grant.roles", &raw.roles, Pattern::of_references, REFERENCES),
            images: list("grant.images", &raw.images, Pattern::of_references, REFERENCES),
            privileged: raw.privileged,
        };
        (grant, wrong)
    }
}
