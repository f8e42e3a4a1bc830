//! Names in which `*` stands for any characters; never anything else that regular expressions have.

/// A name, or several at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(String);

impl Pattern {
    /// Of clusters and services: letters, digits, `_` and `-`, at most 255.
    pub fn of_names(text: &str) -> Option<Self> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '*');
        let is_one = (1..=255).contains(&text.len()) && text.chars().all(allowed);
        is_one.then(|| Self(text.to_owned()))
    }

    /// Of ARNs and images: printable characters of ASCII without spaces, at most 512.
    pub fn of_references(text: &str) -> Option<Self> {
        let is_one = (1..=512).contains(&text.len()) && text.chars().all(|c| c.is_ascii_graphic());
        is_one.then(|| Self(text.to_owned()))
    }

    /// Each part between two stars is taken where it comes first: a later place fits no more.
    pub fn fits(&self, name: &str) -> bool {
        let Some((head, rest)) = self.0.split_once('*') else { return self.0 == name };
        let (middle, tail) = rest.rsplit_once('*').unwrap_or(("", rest));
        let Some(left) = name.strip_prefix(head).and_then(|left| left.strip_suffix(tail)) else {
            return false;
        };
        let mut parts = middle.split('*');
        parts.try_fold(left, |left, part| Some(left.split_once(part)?.1)).is_some()
    }
}
