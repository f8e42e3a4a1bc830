//! What people said, as it stands in tags: who, when and why; never decides what follows from it.

use evenkeel_manifest::Digest;
use jiff::Timestamp;
use serde::Serialize;

use super::{VALUE_MAX, VERSION, allowed, epoch};

/// The longest name of a person that is kept, in characters.
const WHO_MAX: usize = 64;

/// Who said something, when and why. A tag that a person wrote by hand has only a reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Said {
    /// Empty when the tag does not tell.
    pub who: String,
    pub at: Option<Timestamp>,
    pub why: String,
}

impl Said {
    /// `v1:<epoch>:<who>:<why>`, cut to what fits into a tag.
    pub(crate) fn encode(&self) -> String {
        fitting(format!("{VERSION}{}:{}:", self.second(), name(&self.who)), &self.why)
    }

    /// Any value was said by somebody: one that was not written by us is a reason.
    pub(crate) fn decode(value: &str) -> Self {
        let parts = || {
            let (at, rest) = value.strip_prefix(VERSION)?.split_once(':')?;
            let (who, why) = rest.split_once(':')?;
            Some(Self { who: who.to_owned(), at: Some(epoch(at)?), why: why.to_owned() })
        };
        parts().unwrap_or_else(|| Self { who: String::new(), at: None, why: value.to_owned() })
    }

    /// Whether it was written by Evenkeel for a person.
    pub(crate) fn is_signed(&self) -> bool {
        self.at.is_some()
    }

    /// `by ann@laptop at 2026-01-01T00:00:00Z: a bad release`
    pub(crate) fn phrase(&self) -> String {
        let by = if self.who.is_empty() { String::new() } else { format!(" by {}", self.who) };
        let at = self.at.map_or(String::new(), |at| format!(" at {at:.0}"));
        let why = if self.why.is_empty() { String::new() } else { format!(": {}", self.why) };
        format!("{by}{at}{why}").trim_start().to_owned()
    }

    fn second(&self) -> i64 {
        self.at.unwrap_or_default().as_second()
    }
}

/// What a person lets pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// The pause with this hook id.
    Hook(String),
    /// Every gate of the rollout.
    Full,
    /// The freeze under which it is.
    Freeze,
}

/// A person's word that gates of a rollout open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Promotion {
    pub(crate) digest: Digest,
    pub(crate) scope: Scope,
    pub(crate) said: Said,
}

/// What stands in the place of a hook id when all gates are meant, or a freeze. Hook ids begin with `ecs-`.
const FULL: &str = "full";
const FREEZE: &str = "freeze";

impl Promotion {
    /// `v1:<digest>:<hook id, full or freeze>:<epoch>:<who>:<comment>`
    pub(crate) fn encode(&self) -> String {
        let scope = match &self.scope {
            Scope::Hook(id) => id,
            Scope::Full => FULL,
            Scope::Freeze => FREEZE,
        };
        let (second, who) = (self.said.second(), name(&self.said.who));
        fitting(format!("{VERSION}{}:{scope}:{second}:{who}:", self.digest), &self.said.why)
    }

    /// `None` for a value that this version cannot read: it opens nothing.
    pub(crate) fn decode(value: &str) -> Option<Self> {
        let mut parts = value.strip_prefix(VERSION)?.splitn(6, ':');
        let digest = format!("{}:{}", parts.next()?, parts.next()?);
        let scope = match parts.next()? {
            "" => return None,
            FULL => Scope::Full,
            FREEZE => Scope::Freeze,
            id => Scope::Hook(id.to_owned()),
        };
        let at = Some(epoch(parts.next()?)?);
        let who = parts.next()?.to_owned();
        let why = parts.next()?.to_owned();
        Some(Self { digest: Digest::from_tag(digest), scope, said: Said { who, at, why } })
    }

    pub(crate) fn opens(&self, digest: &Digest, hook: &str) -> bool {
        let is_meant = match &self.scope {
            Scope::Hook(id) => id == hook,
            Scope::Full => true,
            Scope::Freeze => false,
        };
        is_meant && self.digest == *digest
    }

    /// Whether this content is rolled out although windows forbid it.
    pub(crate) fn passes_freezes(&self, digest: &Digest) -> bool {
        self.scope == Scope::Freeze && self.digest == *digest
    }
}

/// A person's name as it stands between two colons.
pub(super) fn name(who: &str) -> String {
    allowed(who).replace([':', '/'], "_").chars().take(WHO_MAX).collect()
}

/// The text after the head, without colons, cut to what fits.
pub(super) fn fitting(head: String, text: &str) -> String {
    let room = VALUE_MAX.saturating_sub(head.chars().count());
    let text = allowed(text).replace(':', "_");
    head + text.chars().take(room).collect::<String>().trim_end()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said() -> Said {
        let at = Timestamp::from_second(1_790_000_000).ok();
        Said { who: "ann@laptop".into(), at, why: "a bad release".into() }
    }

    #[test]
    fn what_was_said_reads_back_as_written() {
        assert_eq!(said().encode(), "v1:1790000000:ann@laptop:a bad release");
        assert_eq!(Said::decode(&said().encode()), said());
    }

    #[test]
    fn a_value_of_a_person_s_own_hand_is_a_reason() {
        for value in ["", "incident 7", "v1:", "v1:soon:ann:x", "v2:1:ann:x"] {
            let said = Said::decode(value);
            assert_eq!((said.why.as_str(), said.is_signed()), (value, false));
        }
    }

    #[test]
    fn no_name_and_no_reason_breaks_a_value_or_makes_it_too_long() {
        let who = "a:b/c\u{1}".repeat(50);
        let said = Said { who, why: "größe: {x}\n".repeat(100), ..said() };
        let value = said.encode();
        assert!(value.chars().count() <= VALUE_MAX, "{value}");
        assert_eq!(allowed(&value), value);
        let back = Said::decode(&value);
        assert_eq!(back.who.chars().count(), WHO_MAX);
        assert!(back.why.starts_with("größe_ _x_"), "{}", back.why);
    }

    #[test]
    fn a_promotion_reads_back_as_written_and_opens_what_it_names() {
        let digest = Digest::from_tag("v1:00112233445566778899aabbccddeeff");
        for scope in [Scope::Full, Scope::Freeze, Scope::Hook("ecs-pause-1".into())] {
            let promotion = Promotion { digest: digest.clone(), scope, said: said() };
            assert_eq!(Promotion::decode(&promotion.encode()), Some(promotion.clone()));
            let (is_full, is_freeze) =
                (promotion.scope == Scope::Full, promotion.scope == Scope::Freeze);
            assert_eq!(promotion.opens(&digest, "ecs-pause-1"), !is_freeze);
            assert_eq!(promotion.opens(&digest, "ecs-pause-2"), is_full);
            assert_eq!(promotion.passes_freezes(&digest), is_freeze);
            let other = Digest::from_tag("v1:ff");
            assert!(!promotion.opens(&other, "ecs-pause-1") && !promotion.passes_freezes(&other));
        }
    }

    #[test]
    fn what_is_no_promotion_opens_nothing() {
        for value in ["", "full", "v1:v1:ff:full", "v2:v1:ff:full:1:ann:x", "v1:v1:ff::1:ann:x"] {
            assert_eq!(Promotion::decode(value), None, "{value}");
        }
    }
}
