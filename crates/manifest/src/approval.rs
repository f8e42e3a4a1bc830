//! A word in a manifest that exactly one content may go on; never whose word it is.

use crate::Digest;
use crate::node::Cursor;
use crate::problem::Report;

/// Names one revision digest by its first digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approval(String);

impl Approval {
    pub const ANNOTATION: &str = "evenkeel.dev/approve";
    /// Digits that tell two revisions apart without doubt.
    const LEAST: usize = 12;

    /// Whether it is about this content.
    pub fn is_of(&self, digest: &Digest) -> bool {
        digits(digest.as_str()).starts_with(&self.0)
    }

    /// The digits that were given.
    pub fn revision(&self) -> &str {
        &self.0
    }

    fn parse(text: &str) -> Option<Self> {
        let given = digits(text);
        let is_digit = |c: char| matches!(c, '0'..='9' | 'a'..='f');
        let fits = (Self::LEAST..=Digest::DIGITS).contains(&given.len());
        (fits && given.chars().all(is_digit)).then(|| Self(given.to_owned()))
    }
}

/// Without the version of the digest.
fn digits(digest: &str) -> &str {
    digest.strip_prefix("v1:").unwrap_or(digest)
}

/// The approval among the annotations of the manifest at `root`.
pub(crate) fn approval(root: &Cursor<'_>, report: &mut Report) -> Option<Approval> {
    let annotations = root.member("metadata")?.member("annotations")?;
    let at = annotations.member(Approval::ANNOTATION)?;
    // That it is no string is reported with all annotations.
    let approval = Approval::parse(at.text()?);
    if approval.is_none() {
        let (least, most) = (Approval::LEAST, Digest::DIGITS);
        let expected = format!(
            "expected the revision that is approved, as `evenkeel plan` prints it: {least} to {most} \
             digits from 0 to f, `v1:` before them or not"
        );
        report.error(&at, expected);
    }
    approval
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_of_the_content_whose_digest_begins_so() {
        let digest = Digest::from_tag("v1:00112233445566778899aabbccddeeff");
        for of in
            ["v1:001122334455", "001122334455", "00112233445566778899aabbccddeeff", digest.as_str()]
        {
            assert!(Approval::parse(of).unwrap().is_of(&digest), "{of}");
        }
        assert!(!Approval::parse("v1:001122334456").unwrap().is_of(&digest));
    }

    #[test]
    fn what_names_no_revision_is_none() {
        let long = format!("{}0", "0".repeat(Digest::DIGITS));
        for text in ["", "v1:", "yes", "00112233445", "v2:001122334455", "00112233445G", &long] {
            assert_eq!(Approval::parse(text), None, "{text}");
        }
    }
}
