//! The keys whose owners may sign, in the format of ssh-keygen's ALLOWED SIGNERS; a line that is not
//! understood never leaves the others in force.

use std::path::Path;

use gix::bstr::ByteSlice as _;
use gix::glob::wildmatch::Mode;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use ssh_key::PublicKey;
use ssh_key::public::KeyData;

use super::signature::read_keys;

/// At least one.
#[derive(Debug)]
pub(super) struct Signers(Vec<Allowed>);

#[derive(Debug)]
struct Allowed {
    principals: String,
    options: Options,
    key: KeyData,
}

#[derive(Debug, Default)]
struct Options {
    /// `None`: all.
    namespaces: Option<String>,
    after: Option<Timestamp>,
    before: Option<Timestamp>,
}

impl Signers {
    pub(super) fn read(file: &Path) -> Result<Self, String> {
        let text = String::from_utf8(read_keys(file)?);
        Self::parse(&text.map_err(|_| "it is not UTF-8")?)
    }

    fn parse(text: &str) -> Result<Self, String> {
        let mut all = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            all.push(allowed(line).map_err(|why| format!("line {}: {why}", index + 1))?);
        }
        if all.is_empty() { Err("it holds no key".to_owned()) } else { Ok(Self(all)) }
    }

    /// Whose the key is. The error continues "the key, which …" and ends before the name of the file.
    pub(super) fn principal(
        &self,
        key: &KeyData,
        namespace: &str,
        now: Timestamp,
    ) -> Result<&str, String> {
        let mut why = "is not in".to_owned();
        for one in self.0.iter().filter(|one| one.key == *key) {
            match one.options.refusal(namespace, now) {
                None => return Ok(&one.principals),
                Some(refusal) => why = refusal,
            }
        }
        Err(why)
    }
}

impl Options {
    fn refusal(&self, namespace: &str, now: Timestamp) -> Option<String> {
        if self.namespaces.as_ref().is_some_and(|all| !is_among(namespace, all)) {
            return Some(format!("is not for the namespace {namespace} by"));
        }
        if let Some(after) = self.after.filter(|after| now < *after) {
            return Some(format!("is valid only after {after} by"));
        }
        let before = self.before.filter(|before| now >= *before)?;
        Some(format!("was valid only before {before} by"))
    }
}

/// As ssh matches lists of patterns: one that begins with `!` excludes.
fn is_among(name: &str, patterns: &str) -> bool {
    let fits = |pattern: &str| {
        gix::glob::wildmatch(pattern.as_bytes().as_bstr(), name.as_bytes().as_bstr(), Mode::empty())
    };
    let excluded = patterns.split(',').filter_map(|one| one.strip_prefix('!')).any(fits);
    !excluded && patterns.split(',').any(fits)
}

/// `principals [options] type key [comment]`.
fn allowed(line: &str) -> Result<Allowed, String> {
    let (principals, rest) = word(line)?;
    let (options, key) = if let Ok(key) = PublicKey::from_openssh(rest) {
        (Options::default(), key)
    } else {
        let (options, rest) = word(rest)?;
        let key = PublicKey::from_openssh(rest);
        let key = key.map_err(|error| format!("expected a public key ({error})"))?;
        (self::options(options)?, key)
    };
    let principals = principals.trim_matches('"');
    if principals.is_empty() {
        return Err("expected the principal before the key".to_owned());
    }
    Ok(Allowed { principals: principals.to_owned(), options, key: key.key_data().clone() })
}

/// Up to white space that is not within quotes, and what follows it.
fn word(line: &str) -> Result<(&str, &str), String> {
    let mut quoted = false;
    for (at, c) in line.char_indices() {
        quoted ^= c == '"';
        if c.is_whitespace() && !quoted {
            let (word, rest) = line.split_at_checked(at).unwrap_or((line, ""));
            return Ok((word, rest.trim_start()));
        }
    }
    Err("expected a principal, options if any, and a public key".to_owned())
}

/// What is not known may be a restriction: it is refused.
fn options(text: &str) -> Result<Options, String> {
    let mut options = Options::default();
    let mut rest = text;
    while !rest.is_empty() {
        let end = comma(rest).unwrap_or(rest.len());
        let (one, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
        rest = after.strip_prefix(',').unwrap_or(after);
        let (name, value) = one.split_once('=').unwrap_or((one, ""));
        let value = value.strip_prefix('"').and_then(|v| v.strip_suffix('"')).unwrap_or(value);
        match name.to_ascii_lowercase().as_str() {
            "namespaces" if !value.is_empty() => options.namespaces = Some(value.to_owned()),
            "valid-after" => options.after = Some(time(value)?),
            "valid-before" => options.before = Some(time(value)?),
            "cert-authority" => return Err("certificates are not supported".to_owned()),
            _ => {
                return Err("expected namespaces, valid-after or valid-before, or a key".to_owned());
            }
        }
    }
    Ok(options)
}

/// The first one that is not within quotes.
fn comma(text: &str) -> Option<usize> {
    let mut quoted = false;
    let mut ends = |c: char| {
        quoted ^= c == '"';
        c == ',' && !quoted
    };
    text.char_indices().find(|(_, c)| ends(*c)).map(|(at, _)| at)
}

/// In UTC only: without `Z` ssh takes the time zone of the machine, which differs between machines.
fn time(text: &str) -> Result<Timestamp, String> {
    let digits = text.strip_suffix(['Z', 'z']).unwrap_or_default();
    let padded = match digits.len() {
        8 => format!("{digits}000000"),
        12 => format!("{digits}00"),
        _ => digits.to_owned(),
    };
    DateTime::strptime("%Y%m%d%H%M%S", &padded)
        .ok()
        .filter(|_| padded.len() == 14 && padded.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|time| time.to_zoned(TimeZone::UTC).ok())
        .map(|time| time.timestamp())
        .ok_or_else(|| "expected a time in UTC such as 20301231Z or 202912312359Z".to_owned())
}
