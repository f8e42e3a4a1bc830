//! One scalar of a text exchanged for another, in the quotes that it had; never a byte around it.

use crate::node::{Kind, Position};
use crate::reader::plain_kind;

/// `text` with `new` for the scalar `old` at `position`; `None` when it is not written there as it is,
/// plainly or in quotes. Neither may hold a quote or a backslash.
pub(super) fn replace(text: &str, position: Position, old: &str, new: &str) -> Option<String> {
    let (before, rest) = split_at_scalar(text, position)?;
    let quote = rest.chars().next().filter(|first| "'\"".contains(*first));
    let after = match quote {
        Some(quote) => rest.strip_prefix(quote)?.strip_prefix(old)?.strip_prefix(quote)?,
        None => rest.strip_prefix(old)?,
    };
    let new = match quote {
        Some(quote) => format!("{quote}{new}{quote}"),
        None if is_plain(new) => new.to_owned(),
        // A text that reads as a number, or as more than a scalar.
        None => format!("\"{new}\""),
    };
    Some(format!("{before}{new}{after}"))
}

/// The same for a number or a boolean, which is written plainly.
pub(super) fn replace_plain(text: &str, position: Position, new: &str) -> Option<String> {
    let (before, rest) = split_at_scalar(text, position)?;
    let after = rest.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || "+-.".contains(c));
    (after.len() < rest.len()).then(|| format!("{before}{new}{after}"))
}

fn split_at_scalar(text: &str, position: Position) -> Option<(&str, &str)> {
    let (_, rest) = text.split_at_checked(position.offset_in(text)?)?;
    let rest = behind_properties(rest);
    Some((text.strip_suffix(rest)?, rest))
}

/// Whether a text is that text without quotes too, wherever it stands.
fn is_plain(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._/@:+-".contains(c);
    text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text.chars().all(allowed)
        && !text.ends_with(':')
        && matches!(plain_kind(text), Kind::String(_))
}

/// A node stands where its anchor or its tag does, if it has one.
fn behind_properties(text: &str) -> &str {
    match text.split_once([' ', '\t']) {
        Some((word, rest)) if word.starts_with(['&', '!']) && !word.contains(['\r', '\n']) => {
            behind_properties(rest.trim_start_matches([' ', '\t']))
        }
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scalar_keeps_its_quotes_and_everything_around_it() {
        let at = |line, column| Position { line, column };
        for (text, position, expected) in [
            ("image: a:1 # c\n", at(1, 8), "image: b:2 # c\n"),
            ("x: y\r\nimage: 'a:1'\r\n", at(2, 8), "x: y\r\nimage: 'b:2'\r\n"),
            ("image: !!str &i  a:1\n", at(1, 8), "image: !!str &i  b:2\n"),
            ("{ö: \"a:1\"}", at(1, 5), "{ö: \"b:2\"}"),
        ] {
            assert_eq!(replace(text, position, "a:1", "b:2").as_deref(), Some(expected));
        }
        assert_eq!(replace("image: |\n  a:1\n", at(1, 8), "a:1", "b:2"), None);
        assert_eq!(replace("image: \"a\\x3a1\"\n", at(1, 8), "a:1", "b:2"), None);
        assert_eq!(replace("image: a:1\n", at(3, 1), "a:1", "b:2"), None);
    }
}
