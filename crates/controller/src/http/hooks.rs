//! Takes hints of git hosting that a repository changed; never believes more of them than that it is worth
//! a look.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State as Shared};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use ring::hmac;
use serde_json::json;
use tokio::sync::Notify;

use super::{State, problem};
use crate::config::SourceConfig;
use crate::tokens::is_same;

/// What one push is told in; the largest that git hosting sends is far below.
pub(super) const BODY_BYTES_MAX: usize = 1 << 20;
/// Shorter secrets can be guessed.
const SECRET_BYTES_MIN: usize = 16;
/// How old, or how far ahead, a signature with a time may be.
const REPLAY_SECONDS: i64 = 300;

/// The web hooks of all sources that have one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hooks(Arc<BTreeMap<String, Hook>>);

struct Hook {
    secret: Vec<u8>,
    key: hmac::Key,
    hint: Arc<Notify>,
}

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hook").finish_non_exhaustive()
    }
}

impl Hooks {
    /// The secrets are read once. The error says where one is, never what.
    pub(crate) fn new<'a>(
        sources: impl Iterator<Item = (&'a SourceConfig, Arc<Notify>)>,
    ) -> Result<Self, String> {
        let mut hooks = BTreeMap::new();
        for (source, hint) in sources {
            let Some(secret) = &source.hook else { continue };
            let text = secret.read()?;
            if text.len() < SECRET_BYTES_MIN {
                return Err(format!("{secret} holds fewer than {SECRET_BYTES_MIN} bytes"));
            }
            hooks.insert(source.name.clone(), Hook::new(text.into_bytes(), hint));
        }
        Ok(Self(Arc::new(hooks)))
    }
}

impl Hook {
    fn new(secret: Vec<u8>, hint: Arc<Notify>) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, &secret), secret, hint }
    }

    /// Whether whoever sent this knows the secret: as GitHub, GitLab, or Evenkeel's own web hooks prove it.
    fn is_proven(&self, headers: &HeaderMap, body: &[u8], now: i64) -> bool {
        let header = |name: &str| headers.get(name).map(axum::http::HeaderValue::as_bytes);
        let text = |name: &str| header(name).and_then(|value| std::str::from_utf8(value).ok());
        if let Some(signature) = text("x-hub-signature-256") {
            let tag = signature.strip_prefix("sha256=").and_then(bytes_of_hex);
            return tag.is_some_and(|tag| hmac::verify(&self.key, body, &tag).is_ok());
        }
        if let Some(signature) = text("evenkeel-signature") {
            return self.is_signed_lately(signature, body, now);
        }
        header("x-gitlab-token").is_some_and(|token| is_same(&self.secret, token))
    }

    /// `t=SECONDS,v1=HEX`, the HMAC of `SECONDS.BODY`.
    fn is_signed_lately(&self, signature: &str, body: &[u8], now: i64) -> bool {
        let parts = signature.strip_prefix("t=").and_then(|rest| rest.split_once(",v1="));
        let Some((time, tag)) = parts else { return false };
        let (Ok(seconds), Some(tag)) = (time.parse::<i64>(), bytes_of_hex(tag)) else {
            return false;
        };
        let signed = [time.as_bytes(), b".", body].concat();
        now.saturating_sub(seconds).saturating_abs() <= REPLAY_SECONDS
            && hmac::verify(&self.key, &signed, &tag).is_ok()
    }
}

/// `POST /hooks/SOURCE`. Hints that come while a look is under way become one more look.
pub(super) async fn hook(
    Shared(state): Shared<State>,
    Path(source): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let Some(hook) = state.hooks.0.get(&source) else {
        return problem(StatusCode::NOT_FOUND, "no source of this name has a web hook");
    };
    if !hook.is_proven(&headers, &body, Timestamp::now().as_second()) {
        let message = "expected X-Hub-Signature-256, X-Gitlab-Token or Evenkeel-Signature of the \
                       secret of this source";
        return problem(StatusCode::UNAUTHORIZED, message);
    }
    hook.hint.notify_one();
    (StatusCode::ACCEPTED, Json(json!({ "looks": "soon" }))).into_response()
}

fn bytes_of_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> =
        text.chars().map(|c| u8::try_from(c.to_digit(16)?).ok()).collect();
    let digits = digits.filter(|digits| digits.len().is_multiple_of(2))?;
    Some(
        digits
            .chunks_exact(2)
            .map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit))
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "It's a Secret to Everybody";

    fn is_proven(header: &'static str, value: &str, body: &str, now: i64) -> bool {
        let hook = Hook::new(SECRET.as_bytes().to_vec(), Arc::default());
        let mut headers = HeaderMap::new();
        headers.insert(header, value.parse().unwrap());
        hook.is_proven(&headers, body.as_bytes(), now)
    }

    fn hex(tag: hmac::Tag) -> String {
        let one = |text: String, byte: &u8| format!("{text}{byte:02x}");
        tag.as_ref().iter().fold(String::new(), one)
    }

    /// The example of GitHub's documentation.
    #[test]
    fn githubs_signature_is_known_and_another_is_not() {
        let tag = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        let good = format!("sha256={tag}");
        assert!(is_proven("x-hub-signature-256", &good, "Hello, World!", 0));
        assert!(!is_proven("x-hub-signature-256", &good, "Hello, World?", 0));
        for bad in [tag, "sha256=", "sha256=7571", "sha1=7571", "sha256=zz"] {
            assert!(!is_proven("x-hub-signature-256", bad, "Hello, World!", 0), "{bad}");
        }
    }

    #[test]
    fn gitlabs_token_is_the_secret_itself() {
        assert!(is_proven("x-gitlab-token", SECRET, "", 0));
        assert!(!is_proven("x-gitlab-token", "It's a Secret to Everybody.", "", 0));
        assert!(!is_proven("x-other", SECRET, "", 0));
    }

    #[test]
    fn a_signature_with_a_time_is_good_for_five_minutes() {
        let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
        let value = format!("t=1000,v1={}", hex(hmac::sign(&key, b"1000.body")));
        assert!(is_proven("evenkeel-signature", &value, "body", 1300));
        assert!(is_proven("evenkeel-signature", &value, "body", 700));
        assert!(!is_proven("evenkeel-signature", &value, "body", 1301));
        assert!(!is_proven("evenkeel-signature", &value, "other", 1000));
        assert!(!is_proven("evenkeel-signature", "t=1000,v1=", "body", 1000));
    }
}
