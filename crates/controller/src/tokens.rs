//! The secrets that allow commands over HTTP; never printed, and never compared faster when they
//! differ early.

use std::ffi::OsStr;
use std::fmt;
use std::hint::black_box;
use std::path::{Path, PathBuf};

/// Of the daemon: one token, beside those of the file.
pub(crate) const DAEMON_VARIABLE: &str = "EVENKEEL_CONTROL_TOKEN";
/// Of the command line. It has another name, so that a shell in which commands are given does not
/// open a daemon that is started in it.
pub(crate) const CLIENT_VARIABLE: &str = "EVENKEEL_TOKEN";

/// Below this a token can be guessed.
const LENGTH_MIN: usize = 16;
const LENGTH_MAX: usize = 512;
const TOKENS_MAX: usize = 64;

/// All tokens of a daemon, each with a name for the audit.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Tokens {
    named: Vec<(String, String)>,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.named.iter().map(|(name, _)| name)).finish()
    }
}

/// Why there are no tokens as configured. Says where, never what.
#[derive(Debug, thiserror::Error)]
pub enum TokensError {
    #[error("control.tokensFile {path} cannot be read: {why}")]
    Unreadable { path: PathBuf, why: std::io::Error },
    #[error("{place}: {why}")]
    Malformed { place: String, why: &'static str },
}

impl Tokens {
    /// The tokens of the file, and the one of the variable, which is called `environment`.
    pub(crate) fn load(file: Option<&Path>, variable: Option<&OsStr>) -> Result<Self, TokensError> {
        let mut tokens = Self::default();
        if let Some(path) = file {
            let unreadable = |why| TokensError::Unreadable { path: path.to_owned(), why };
            let text = std::fs::read_to_string(path).map_err(unreadable)?;
            tokens.add_lines(path, &text)?;
            if tokens.named.is_empty() {
                let place = path.display().to_string();
                return Err(TokensError::Malformed { place, why: "it holds no token" });
            }
        }
        if let Some(value) = variable.filter(|value| !value.is_empty()) {
            let value = value.to_str().unwrap_or_default().trim();
            tokens.add("environment", value, DAEMON_VARIABLE.to_owned())?;
        }
        Ok(tokens)
    }

    fn add_lines(&mut self, path: &Path, text: &str) -> Result<(), TokensError> {
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let place = format!("line {number} of {}", path.display());
            match line.split_once(char::is_whitespace) {
                Some((name, token)) => self.add(name, token.trim(), place)?,
                None => self.add("token", line, place)?,
            }
        }
        Ok(())
    }

    fn add(&mut self, name: &str, token: &str, place: String) -> Result<(), TokensError> {
        let is_name = |name: &str| {
            let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
            (1..=63).contains(&name.len()) && name.chars().all(fits)
        };
        let is_token = (LENGTH_MIN..=LENGTH_MAX).contains(&token.len())
            && token.chars().all(|c| c.is_ascii_graphic());
        let why = if !is_name(name) {
            "expected NAME TOKEN, the name 1 to 63 letters, digits, `.`, `_` or `-`"
        } else if !is_token {
            "expected a token of 16 to 512 ASCII characters without spaces, such as `openssl rand -hex 32` makes"
        } else if self.named.iter().any(|(known, _)| known == name) {
            "there is another token of this name"
        } else if self.named.len() >= TOKENS_MAX {
            "there are more than 64 tokens"
        } else {
            self.named.push((name.to_owned(), token.to_owned()));
            return Ok(());
        };
        Err(TokensError::Malformed { place, why })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.named.is_empty()
    }

    /// The name of the token that was sent. All are compared, whichever it is.
    pub(crate) fn name_of(&self, sent: &str) -> Option<&str> {
        let mut found = None;
        for (name, token) in &self.named {
            if is_same(token.as_bytes(), sent.as_bytes()) {
                found = Some(name.as_str());
            }
        }
        found
    }
}

/// Takes as long for any two texts of one length.
pub(crate) fn is_same(one: &[u8], other: &[u8]) -> bool {
    let differing = one.iter().zip(other).fold(0, |seen, (a, b)| black_box(seen | (a ^ b)));
    one.len() == other.len() && differing == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "0123456789abcdef0123456789abcdef";

    fn load(text: &str) -> Result<Tokens, TokensError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, text).unwrap();
        Tokens::load(Some(file.path()), None)
    }

    #[test]
    fn a_token_is_known_by_its_name() {
        let text = format!("# people\nann {TOKEN}\n\nci\t{TOKEN}-of-ci\n{TOKEN}-alone\n");
        let tokens = load(&text).unwrap();
        assert_eq!(tokens.name_of(TOKEN), Some("ann"));
        assert_eq!(tokens.name_of(&format!("{TOKEN}-of-ci")), Some("ci"));
        assert_eq!(tokens.name_of(&format!("{TOKEN}-alone")), Some("token"));
        for other in ["", "0123456789abcdef0123456789abcdeg", "0123", &format!("{TOKEN}0")] {
            assert_eq!(tokens.name_of(other), None, "{other}");
        }
    }

    #[test]
    fn nothing_is_configured_and_nothing_is_allowed() {
        let tokens = Tokens::load(None, Some(OsStr::new(""))).unwrap();
        assert!(tokens.is_empty());
        assert_eq!(tokens.name_of(""), None);
    }

    #[test]
    fn a_token_of_the_environment_is_one_more() {
        let tokens = Tokens::load(None, Some(OsStr::new(TOKEN))).unwrap();
        assert_eq!(tokens.name_of(TOKEN), Some("environment"));
        assert!(Tokens::load(None, Some(OsStr::new("short"))).is_err());
    }

    #[test]
    fn what_is_no_token_is_refused_by_line_and_never_printed() {
        let files = [
            "",
            "# only a comment\n",
            "short",
            "ann short-secret",
            &format!("a/b {TOKEN}"),
            &format!("ann {TOKEN} more"),
            &format!("ann {TOKEN}\nann {TOKEN}2"),
        ];
        for text in files {
            let error = load(text).unwrap_err().to_string();
            assert!(!error.contains("secret") && !error.contains(TOKEN), "{error}");
        }
        assert!(load(&format!("ann {TOKEN}\nx")).unwrap_err().to_string().contains("line 2 of "));
        let missing = Tokens::load(Some(Path::new("/nonexistent")), None).unwrap_err();
        assert!(missing.to_string().contains("/nonexistent"), "{missing}");
        let shown = format!("{:?}", load(&format!("ann {TOKEN}")).unwrap());
        assert_eq!(shown, r#"["ann"]"#);
    }
}
