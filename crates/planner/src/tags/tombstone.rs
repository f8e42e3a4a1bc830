//! The mark of a service that no manifest names and that is on its way out; never decides when it goes.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{VERSION, epoch, said, tag};

/// How far a service is on its way out, and what would bring it back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tombstone {
    pub(crate) phase: TombstonePhase,
    /// Since when it is in its phase.
    pub(crate) since: Timestamp,
    /// The `desiredCount` that it had, and gets back if a manifest names it again.
    pub(crate) count: u32,
    /// Who said that it may go although a guard held it, and why.
    pub(crate) said: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TombstonePhase {
    /// It is told, and nothing was done yet.
    Announced,
    /// It was scaled in to zero.
    ScaledIn,
}

impl Tombstone {
    /// The mark among these tags; an error is a value that this version cannot read.
    pub(crate) fn of(tags: &BTreeMap<String, String>) -> Option<Result<Self, String>> {
        let value = tags.get(tag::TOMBSTONE)?;
        Some(Self::decode(value).ok_or_else(|| value.clone()))
    }

    pub(crate) fn announced(since: Timestamp, count: u32) -> Self {
        Self { phase: TombstonePhase::Announced, since, count, said: None }
    }

    /// With a person's word for it.
    pub(crate) fn acknowledged(self, who: &str, why: &str) -> Self {
        Self { said: Some(format!("{}/{why}", said::name(who))), ..self }
    }

    /// `v1:<phase>:<epoch>:<count>`, and `:<who>/<why>` where a person said so.
    pub(crate) fn encode(&self) -> String {
        let phase = match self.phase {
            TombstonePhase::Announced => "announced",
            TombstonePhase::ScaledIn => "scaled-in",
        };
        let head = format!("{VERSION}{phase}:{}:{}", self.since.as_second(), self.count);
        match &self.said {
            Some(said) => said::fitting(head + ":", said),
            None => head,
        }
    }

    fn decode(value: &str) -> Option<Self> {
        let mut parts = value.strip_prefix(VERSION)?.splitn(4, ':');
        let phase = match parts.next()? {
            "announced" => TombstonePhase::Announced,
            "scaled-in" => TombstonePhase::ScaledIn,
            _ => return None,
        };
        let since = epoch(parts.next()?)?;
        let count = parts.next()?.parse().ok()?;
        Some(Self { phase, since, count, said: parts.next().map(str::to_owned) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &str) -> Result<Tombstone, String> {
        let tags = BTreeMap::from([(tag::TOMBSTONE.to_owned(), value.to_owned())]);
        Tombstone::of(&tags).expect("the tag is there")
    }

    #[test]
    fn what_is_written_is_read_back() {
        let since = Timestamp::from_second(1_700_000_000).unwrap();
        let plain = Tombstone::announced(since, 3);
        let signed = plain.clone().acknowledged("ann@laptop", "team moved");
        let scaled = Tombstone { phase: TombstonePhase::ScaledIn, ..signed.clone() };
        assert_eq!(scaled.encode(), "v1:scaled-in:1700000000:3:ann@laptop/team moved");
        for one in [plain, signed, scaled] {
            assert_eq!(read(&one.encode()), Ok(one));
        }
    }

    #[test]
    fn a_value_of_another_version_or_with_odd_parts_is_not_read() {
        for value in [
            "",
            "v2:announced:1:1",
            "v1:gone:1:1",
            "v1:announced:x:1",
            "v1:announced:1",
            "v1:announced:1:-1",
        ] {
            assert_eq!(read(value), Err(value.to_owned()));
        }
    }

    #[test]
    fn a_long_reason_is_cut_to_what_fits_into_a_tag() {
        let one =
            Tombstone::announced(Timestamp::UNIX_EPOCH, 1).acknowledged("ann", &"x".repeat(500));
        assert_eq!(one.encode().chars().count(), 256);
    }
}
