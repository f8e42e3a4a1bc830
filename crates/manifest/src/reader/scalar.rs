//! Which value a scalar stands for, by the core schema of YAML 1.2: `no` and `on` are strings.

use std::sync::Arc;

use saphyr_parser::{ScalarStyle, Tag};

use crate::node::Kind;

/// Errors: a tag that is not of the core schema, or that the text does not satisfy.
pub(super) fn resolve(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Result<Kind, String> {
    match tag {
        None if style == ScalarStyle::Plain => Ok(plain(text)),
        None => Ok(string(text)),
        Some(tag) if tag.is_yaml_core_schema() => tagged(text, &tag.suffix)
            .ok_or_else(|| format!("the text does not fit its tag `!!{}`", tag.suffix)),
        // The non-specific tag `!` makes any scalar a string.
        Some(tag) if tag.suffix.is_empty() => Ok(string(text)),
        Some(tag) => Err(format!("the tag `{tag}` is not supported: write the value itself")),
    }
}

fn string(text: &str) -> Kind {
    Kind::String(Arc::from(text))
}

fn tagged(text: &str, tag: &str) -> Option<Kind> {
    match (tag, plain(text)) {
        ("str", _) => Some(string(text)),
        ("float", Kind::Integer(_)) => text.parse().ok().map(Kind::Float),
        ("null", kind @ Kind::Null)
        | ("bool", kind @ Kind::Boolean(_))
        | ("int", kind @ Kind::Integer(_))
        | ("float", kind @ Kind::Float(_)) => Some(kind),
        _ => None,
    }
}

/// What a text without quotes and tags stands for.
pub(crate) fn plain(text: &str) -> Kind {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Kind::Null,
        "true" | "True" | "TRUE" => Kind::Boolean(true),
        "false" | "False" | "FALSE" => Kind::Boolean(false),
        _ => number(text).unwrap_or_else(|| string(text)),
    }
}

fn number(text: &str) -> Option<Kind> {
    let radix = |prefix, radix| i64::from_str_radix(text.strip_prefix(prefix)?, radix).ok();
    if let Some(number) = radix("0o", 8).or_else(|| radix("0x", 16)) {
        // `from_str_radix` takes a sign behind the prefix, YAML does not.
        return (!text.contains(['+', '-'])).then_some(Kind::Integer(number));
    }
    if let Ok(number) = text.parse() {
        return Some(Kind::Integer(number));
    }
    float(text).map(Kind::Float)
}

/// `[-+]? ( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )?`, `.inf` and `.nan`.
fn float(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    match unsigned {
        ".inf" | ".Inf" | ".INF" => {
            return Some(if text.starts_with('-') { f64::NEG_INFINITY } else { f64::INFINITY });
        }
        ".nan" | ".NaN" | ".NAN" if unsigned == text => return Some(f64::NAN),
        _ => {}
    }
    // Rust also reads `inf`, `nan` and `infinity`, which are strings here.
    let numeric = |c: char| c.is_ascii_digit() || ".eE+-".contains(c);
    let begins = unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    (begins && text.chars().all(numeric)).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_the_core_schema_and_not_yaml_1_1() {
        let as_text = |text: &str| format!("{:?}", plain(text));
        for string in ["no", "on", "yes", "Off", "1_000", "1:30", "inf", "nan", "0b1", "1.2.3", "-"]
        {
            assert_eq!(as_text(string), format!("String({string:?})"));
        }
        assert_eq!(as_text("012"), "Integer(12)");
        assert_eq!(as_text("0o14"), "Integer(12)");
        assert_eq!(as_text("0xC"), "Integer(12)");
        assert_eq!(as_text("1e3"), "Float(1000.0)");
        assert_eq!(as_text(".5"), "Float(0.5)");
        assert_eq!(as_text("-.inf"), "Float(-inf)");
        assert_eq!(as_text("True"), "Boolean(true)");
        assert_eq!(as_text("~"), "Null");
        assert_eq!(as_text("99999999999999999999"), "Float(1e20)");
    }
}
