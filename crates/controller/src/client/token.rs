//! The token with which the command line commands a daemon; never printed.

use std::fmt;
use std::path::{Path, PathBuf};

use hyper::header::HeaderValue;

use crate::tokens::CLIENT_VARIABLE;

/// What goes into the header `Authorization`.
pub(crate) struct Token(HeaderValue);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

/// Why there is no token to command with.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    #[error(
        "commands need a token of the daemon: put it into the variable EVENKEEL_TOKEN, or name the \
         file that holds it with --token-file"
    )]
    Missing,
    #[error("the token file {path} cannot be read: {why}")]
    Unreadable { path: PathBuf, why: std::io::Error },
    #[error("the token in {place} holds what no token has; it is one line without spaces")]
    Malformed { place: String },
}

impl Token {
    /// That of the file, else that of the environment.
    pub(crate) fn read(file: Option<&Path>) -> Result<Self, TokenError> {
        let Some(path) = file else {
            let value = std::env::var(CLIENT_VARIABLE).map_err(|_| TokenError::Missing)?;
            return Self::of(&value, CLIENT_VARIABLE.to_owned());
        };
        let unreadable = |why| TokenError::Unreadable { path: path.to_owned(), why };
        let text = std::fs::read_to_string(path).map_err(unreadable)?;
        Self::of(&text, path.display().to_string())
    }

    fn of(text: &str, place: String) -> Result<Self, TokenError> {
        let token = text.trim();
        if token.is_empty() {
            return Err(TokenError::Missing);
        }
        let is_token = token.chars().all(|c| c.is_ascii_graphic());
        let header = HeaderValue::from_str(&format!("Bearer {token}")).ok().filter(|_| is_token);
        let mut header = header.ok_or(TokenError::Malformed { place })?;
        header.set_sensitive(true);
        Ok(Self(header))
    }

    pub(crate) fn bearer(&self) -> HeaderValue {
        self.0.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_one_word_and_is_not_printed() {
        let token = Token::of(" secret-word \n", "x".to_owned()).unwrap();
        assert_eq!(token.bearer(), "Bearer secret-word");
        assert!(!format!("{token:?} {:?}", token.bearer()).contains("secret"));
        for text in ["two words", "a\nb", "größe"] {
            let error = Token::of(text, "file x".to_owned()).unwrap_err().to_string();
            assert!(error.contains("file x") && !error.contains(text), "{error}");
        }
        assert!(matches!(Token::of("  ", String::new()), Err(TokenError::Missing)));
    }
}
