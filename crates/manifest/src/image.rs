//! The reference of a container image as it is written in manifests; never asks a registry.

use std::fmt;

/// `REPO:TAG`, `REPO@sha256:DIGEST` or both, as the distribution specification writes them, at most 255
/// characters, which is what ECS takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageReference(String);

/// Why a text is no reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    #[error("it has more than 255 characters")]
    Long,
    #[error(
        "expected `:TAG` or `@sha256:DIGEST` behind the repository: without it, `latest` is run"
    )]
    Bare,
    #[error("`sha256:` takes 64 hexadecimal digits, lower case")]
    Digest,
    #[error(
        "a tag is 1 to 128 letters, digits, `_`, `.` and `-`, and begins with neither `.` nor `-`"
    )]
    Tag,
    #[error(
        "a repository is `[HOST[:PORT]/]NAME[/NAME...]`, its names of lower-case letters and digits, with \
         `.`, `_` or `-` between them"
    )]
    Repository,
}

impl ImageReference {
    const LENGTH_MAX: usize = 255;

    pub fn parse(text: &str) -> Result<Self, ImageError> {
        if text.len() > Self::LENGTH_MAX {
            return Err(ImageError::Long);
        }
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(digest)),
            None => (text, None),
        };
        // A colon before the last slash is that of a port.
        let (repository, tag) = match name.rsplit_once(':') {
            Some((repository, tag)) if !tag.contains('/') => (repository, Some(tag)),
            _ => (name, None),
        };
        if !is_repository(repository) {
            return Err(ImageError::Repository);
        }
        if !digest.is_none_or(is_digest) {
            return Err(ImageError::Digest);
        }
        if !tag.is_none_or(is_tag) {
            return Err(ImageError::Tag);
        }
        if tag.is_none() && digest.is_none() {
            return Err(ImageError::Bare);
        }
        Ok(Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ImageReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_digest(text: &str) -> bool {
    let hexadecimal = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let digits = text.strip_prefix("sha256:");
    digits.is_some_and(|digits| digits.len() == 64 && digits.bytes().all(hexadecimal))
}

fn is_tag(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    (1..=128).contains(&text.len()) && text.bytes().all(allowed) && !text.starts_with(['.', '-'])
}

/// Source: the grammar of `reference` in the distribution project.
fn is_repository(text: &str) -> bool {
    match text.split_once('/') {
        Some((host, path)) if is_host(host) => path.split('/').all(is_component),
        _ => text.split('/').all(is_component),
    }
}

fn is_host(text: &str) -> bool {
    let (name, port) = match text.split_once(':') {
        Some((name, port)) => (name, Some(port)),
        None => (text, None),
    };
    let label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let is_port = |port: &str| port.parse::<u16>().is_ok() && !port.starts_with('+');
    name.split('.').all(label) && port.is_none_or(is_port)
}

/// Lower-case letters and digits, with `.`, `_`, `__` or any number of `-` between them.
fn is_component(text: &str) -> bool {
    let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let between =
        |part: &str| matches!(part, "" | "." | "_" | "__") || part.bytes().all(|byte| byte == b'-');
    text.starts_with(word) && text.ends_with(word) && text.split(word).all(between)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_of_every_registry_are_taken() {
        let digest = format!("sha256:{}", "0a".repeat(32));
        for text in [
            "web:7",
            "library/web:1.4.2-rc_1",
            "localhost:5000/web:7",
            "111122223333.dkr.ecr.eu-west-1.amazonaws.com/team/web__app:latest",
            "public.ecr.aws/a1-b2/web:v1",
            &format!("web@{digest}"),
            &format!("registry.example.com/web:7@{digest}"),
        ] {
            assert_eq!(ImageReference::parse(text).as_ref().map(ImageReference::as_str), Ok(text));
        }
    }

    #[test]
    fn what_a_pipeline_with_an_empty_variable_makes_is_refused() {
        for (text, why) in [
            ("", ImageError::Repository),
            ("web", ImageError::Bare),
            ("localhost:5000/web", ImageError::Bare),
            ("web:", ImageError::Tag),
            ("web:-x", ImageError::Tag),
            ("web:a b", ImageError::Tag),
            (":7", ImageError::Repository),
            ("/web:7", ImageError::Repository),
            ("host//web:7", ImageError::Repository),
            ("Web:7", ImageError::Repository),
            ("we..b:7", ImageError::Repository),
            ("host:port/web:7", ImageError::Repository),
            ("web:${TAG}", ImageError::Tag),
            ("web:7\n", ImageError::Tag),
            ("web@sha256:0A", ImageError::Digest),
            ("web@", ImageError::Digest),
            ("web@sha512:00", ImageError::Digest),
        ] {
            assert_eq!(ImageReference::parse(text), Err(why), "{text:?}");
        }
        assert_eq!(ImageReference::parse(&"a".repeat(256)), Err(ImageError::Long));
    }
}
