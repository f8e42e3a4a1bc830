//! Asks web hooks at gates and keeps what they decided; never one that the configuration does not allow.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use evenkeel_manifest::ServiceKey;
use evenkeel_planner::{
    AnalysisResult, Fact, Observed, Questions, Unknown, WebhookAnswer, WebhookCall, webhook_calls,
};
use futures_util::future::join_all;
use hyper::{StatusCode, Uri};
use jiff::Timestamp;
use ring::hmac;
use serde::Deserialize;
use tokio::time::Instant;

use super::OutsideError;
use super::web::Web;
use crate::config::AnalysisConfig;
use crate::style::safe;

/// A web hook that is still at it, or did not answer, is asked again after this long.
const AGAIN: Duration = Duration::from_secs(10);
/// Answers that are kept; a rollout has a few.
const KEPT_MAX: usize = 10_000;
/// Shorter secrets can be guessed.
const SECRET_BYTES_MIN: usize = 16;

/// All web hooks of one daemon.
#[derive(Debug)]
pub(super) struct Webhooks {
    allowed: Vec<String>,
    secret: Option<hmac::Key>,
    /// `None` where nobody may be asked.
    web: Option<Web>,
    kept: Mutex<BTreeMap<Asked, Kept>>,
}

/// What an answer is about: the URL, the pause, and since when its rollout is judged.
type Asked = (String, String, Option<Timestamp>);

#[derive(Clone, Debug)]
struct Kept {
    answer: WebhookAnswer,
    at: Instant,
}

/// What a body may say.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Body {
    result: Option<String>,
    message: Option<String>,
}

impl Webhooks {
    pub(super) fn new(config: &AnalysisConfig) -> Result<Self, OutsideError> {
        let allowed = config.webhook_urls.clone();
        let web = (!allowed.is_empty()).then(Web::new).transpose();
        let web = web.map_err(OutsideError::Certificates)?;
        let secret = config.webhook_secret_file.as_deref().map(secret).transpose()?;
        Ok(Self { allowed, secret, web, kept: Mutex::default() })
    }

    /// What those say that are to be asked now.
    pub(super) async fn ask(
        &self,
        key: &ServiceKey,
        questions: &Questions,
        observed: &Observed,
    ) -> Fact<Vec<WebhookAnswer>> {
        if questions.webhooks.is_empty() {
            return Fact::Unknown(Unknown::NotAsked);
        }
        let calls = webhook_calls(key, questions, observed);
        Fact::Known(self.answers(&calls).await)
    }

    /// All at once: the look ages while they think.
    async fn answers(&self, calls: &[WebhookCall]) -> Vec<WebhookAnswer> {
        join_all(calls.iter().map(|call| self.answer(call))).await
    }

    async fn answer(&self, call: &WebhookCall) -> WebhookAnswer {
        let of = (call.webhook.url.clone(), call.id.clone(), call.since);
        if let Some(kept) = self.kept(&of) {
            return kept;
        }
        let (result, message) = self.heard(call).await;
        let (url, id, _) = of.clone();
        tracing::info!(
            service = %call.service, url = %safe(call.webhook.shown()), gate = call.gate, ?result, message,
            "a web hook answered"
        );
        let answer = WebhookAnswer { url, id, result, message };
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT_MAX {
            kept.clear();
        }
        kept.insert(of, Kept { answer: answer.clone(), at: Instant::now() });
        answer
    }

    /// An answer that stands: a decision for as long as its pause, or until a person wishes to try again; anything else for a
    /// moment.
    fn kept(&self, of: &Asked) -> Option<WebhookAnswer> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let one = kept.get(of)?;
        let decided = matches!(
            one.answer.result,
            AnalysisResult::Passed | AnalysisResult::Failed | AnalysisResult::Inconclusive
        );
        (decided || one.at.elapsed() < AGAIN).then(|| one.answer.clone())
    }

    async fn heard(&self, call: &WebhookCall) -> (AnalysisResult, String) {
        let url = &call.webhook.url;
        let is_allowed = self.allowed.iter().any(|allowed| is_below(url, allowed));
        let Some(web) = self.web.as_ref().filter(|_| is_allowed) else {
            let message = "the daemon's analysis.webhookUrls does not allow this URL";
            return (AnalysisResult::Error, message.to_owned());
        };
        let Ok(body) = serde_json::to_vec(call) else {
            return (AnalysisResult::Error, "the question cannot be written".to_owned());
        };
        let mut headers = vec![("content-type", "application/json".to_owned())];
        let now = Timestamp::now().as_second();
        let signature = self.secret.as_ref().map(|secret| signature(secret, now, &body));
        headers.extend(signature.map(|signature| ("evenkeel-signature", signature)));
        match web.post(url, &headers, body, call.webhook.timeout).await {
            Ok((status, body)) => meaning(status, &body),
            Err(why) => (AnalysisResult::Error, why),
        }
    }
}

/// `t=SECONDS,v1=HEX`, an HMAC-SHA256 of `SECONDS.BODY`.
fn signature(secret: &hmac::Key, now: i64, body: &[u8]) -> String {
    let mut context = hmac::Context::with_key(secret);
    context.update(format!("{now}.").as_bytes());
    context.update(body);
    let mut text = format!("t={now},v1=");
    for byte in context.sign().as_ref() {
        let _infallible = write!(text, "{byte:02x}");
    }
    text
}

/// A status is a decision, unless the body is JSON with a `result`.
fn meaning(status: StatusCode, body: &[u8]) -> (AnalysisResult, String) {
    let body: Body = serde_json::from_slice(body).unwrap_or_default();
    let message = body.message.map(|message| short(&message));
    let said = match (body.result.as_deref(), status.is_success()) {
        (Some("Passed"), true) => Some(AnalysisResult::Passed),
        (Some("Failed"), true) => Some(AnalysisResult::Failed),
        (Some("Running"), true) => Some(AnalysisResult::Running),
        (Some("Inconclusive"), true) => Some(AnalysisResult::Inconclusive),
        (Some(other), true) => {
            let words = format!("it said `{}`, which is no result", short(other));
            return (AnalysisResult::Error, words);
        }
        (_, false) | (None, true) => None,
    };
    let result = said.unwrap_or_else(|| by_status(status));
    (result, message.unwrap_or_else(|| format!("it answered {status}")))
}

fn by_status(status: StatusCode) -> AnalysisResult {
    /// Not found, not allowed, not now: it says nothing about the revision.
    const NO_DECISION: [u16; 6] = [401, 403, 404, 407, 408, 429];
    match status.as_u16() {
        202 => AnalysisResult::Running,
        200..=299 => AnalysisResult::Passed,
        code if NO_DECISION.contains(&code) => AnalysisResult::Error,
        400..=499 => AnalysisResult::Failed,
        _ => AnalysisResult::Error,
    }
}

fn short(message: &str) -> String {
    const MOST: usize = 300;
    safe(message).chars().take(MOST).collect()
}

/// Whether a URL is the allowed one or below it: same scheme, same host and port, and a path that goes
/// on at a `/`.
fn is_below(url: &str, allowed: &str) -> bool {
    let (Ok(url), Ok(allowed)) = (url.parse::<Uri>(), allowed.parse::<Uri>()) else {
        return false;
    };
    let rest = url.path().strip_prefix(allowed.path().trim_end_matches('/'));
    url.scheme() == allowed.scheme()
        && url.authority() == allowed.authority()
        && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        && !url.path().contains("..")
        && !url.path().contains('%')
}

fn secret(file: &std::path::Path) -> Result<hmac::Key, OutsideError> {
    let failed = |why: String| OutsideError::Secret { file: file.display().to_string(), why };
    let bytes = std::fs::read(file).map_err(|error| failed(error.to_string()))?;
    let secret = bytes.trim_ascii();
    if secret.len() < SECRET_BYTES_MIN {
        return Err(failed(format!("a secret has at least {SECRET_BYTES_MIN} bytes")));
    }
    Ok(hmac::Key::new(hmac::HMAC_SHA256, secret))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use axum::Router;
    use axum::body::Bytes;
    use axum::extract::State;
    use axum::http::HeaderMap;
    use evenkeel_manifest::Webhook;
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn a_status_decides_unless_the_body_does() {
        use AnalysisResult::{Error, Failed, Inconclusive, Passed, Running};
        let result =
            |code: u16, body: &str| meaning(StatusCode::from_u16(code).unwrap(), body.as_bytes()).0;
        assert_eq!(
            (result(200, ""), result(204, "ok"), result(202, "")),
            (Passed, Passed, Running)
        );
        assert_eq!((result(422, ""), result(400, "{}")), (Failed, Failed));
        for code in [301, 401, 403, 404, 408, 429, 500, 503] {
            assert_eq!(result(code, r#"{"result":"Passed"}"#), Error, "{code}");
        }
        assert_eq!(result(200, r#"{"result":"Failed","message":"no"}"#), Failed);
        assert_eq!(result(200, r#"{"result":"Inconclusive"}"#), Inconclusive);
        assert_eq!(result(200, r#"{"result":"Great"}"#), Error);
    }

    #[test]
    fn only_what_is_below_an_allowed_url_is_asked() {
        let allowed = "https://hooks.example.com/evenkeel";
        let is = |url: &str| is_below(url, allowed);
        assert!(is("https://hooks.example.com/evenkeel"));
        assert!(is("https://hooks.example.com/evenkeel/shop?x=1"));
        for url in [
            "http://hooks.example.com/evenkeel",
            "https://hooks.example.com.evil.example/evenkeel",
            "https://hooks.example.com@evil.example/evenkeel",
            "https://user@hooks.example.com/evenkeel",
            "https://hooks.example.com:8443/evenkeel",
            "https://hooks.example.com/evenkeeler",
            "https://hooks.example.com/evenkeel/../admin",
            "https://hooks.example.com/evenkeel/%2e%2e/admin",
            "https://hooks.example.com/",
        ] {
            assert!(!is(url), "{url}");
        }
    }

    /// What came in, and what goes out: one reply after the other, the last one for ever.
    #[derive(Clone, Default)]
    struct Receiver {
        asked: Arc<Mutex<Vec<(HeaderMap, Bytes)>>>,
        replies: Arc<Mutex<Vec<(u16, &'static str)>>>,
    }

    impl Receiver {
        async fn answering(replies: &[(u16, &'static str)]) -> (Self, String) {
            let receiver =
                Self { replies: Arc::new(Mutex::new(replies.to_vec())), ..Self::default() };
            let app = Router::new().fallback(reply).with_state(receiver.clone());
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url = format!("http://{}/", listener.local_addr().unwrap());
            #[expect(clippy::disallowed_methods, reason = "it ends with the test's runtime")]
            let _detached = tokio::spawn(async move { axum::serve(listener, app).await });
            (receiver, url)
        }

        fn calls(&self) -> usize {
            self.asked.lock().unwrap().len()
        }
    }

    async fn reply(
        State(receiver): State<Receiver>,
        headers: HeaderMap,
        body: Bytes,
    ) -> (StatusCode, &'static str) {
        receiver.asked.lock().unwrap().push((headers, body));
        let mut replies = receiver.replies.lock().unwrap();
        let (code, text) = if replies.len() > 1 { replies.remove(0) } else { replies[0] };
        (StatusCode::from_u16(code).unwrap(), text)
    }

    fn call(url: &str, id: &str) -> WebhookCall {
        WebhookCall {
            webhook: Webhook { timeout: Duration::from_secs(1), ..Webhook::of(url) },
            id: id.to_owned(),
            gate: "AfterTestTraffic",
            service: ServiceKey::new("prod", "web"),
            deployment: "arn:deployment".to_owned(),
            revision: None,
            share: 0.0,
            since: None,
        }
    }

    fn webhooks(url: &str, secret: Option<&str>) -> Webhooks {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), secret.unwrap_or_default()).unwrap();
        let config = AnalysisConfig {
            prometheus_url: None,
            webhook_urls: vec![url.to_owned()],
            webhook_secret_file: secret.map(|_| file.path().to_owned()),
        };
        Webhooks::new(&config).unwrap()
    }

    #[tokio::test]
    async fn a_decision_is_asked_for_once_a_pause_and_signed() {
        let (receiver, url) = Receiver::answering(&[(200, "")]).await;
        let webhooks = webhooks(&url, Some("0123456789abcdef\n"));
        for _ in 0..3 {
            let answer = webhooks.answer(&call(&url, "ecs-pause-1")).await;
            assert_eq!(answer.result, AnalysisResult::Passed, "{}", answer.message);
        }
        assert_eq!(receiver.calls(), 1);
        webhooks.answer(&call(&url, "ecs-pause-2")).await;
        assert_eq!(receiver.calls(), 2, "another pause");
        let asked = receiver.asked.lock().unwrap();
        let (headers, body) = &asked[0];
        let told: serde_json::Value = serde_json::from_slice(body).unwrap();
        assert_eq!((&told["id"], &told["service"]["name"]), (&"ecs-pause-1".into(), &"web".into()));
        let signed = headers["evenkeel-signature"].to_str().unwrap();
        let (at, hex) = signed.strip_prefix("t=").unwrap().split_once(",v1=").unwrap();
        let digits: Vec<u32> = hex.chars().map(|digit| digit.to_digit(16).unwrap()).collect();
        let byte = |pair: &[u32]| u8::try_from(pair[0] * 16 + pair[1]).unwrap();
        let tag: Vec<u8> = digits.chunks(2).map(byte).collect();
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"0123456789abcdef");
        let message = [at.as_bytes(), b".", body].concat();
        hmac::verify(&key, &message, &tag).expect("the receiver can tell that it is us");
    }

    #[tokio::test]
    async fn one_that_said_no_is_asked_again_when_a_person_wishes_to_try_again() {
        let (receiver, url) = Receiver::answering(&[(422, ""), (200, "")]).await;
        let webhooks = webhooks(&url, None);
        let judged = |second| WebhookCall {
            since: Timestamp::from_second(second).ok(),
            ..call(&url, "ecs-pause-1")
        };
        for _ in 0..2 {
            assert_eq!(webhooks.answer(&judged(100)).await.result, AnalysisResult::Failed);
        }
        assert_eq!(receiver.calls(), 1);
        assert_eq!(webhooks.answer(&judged(200)).await.result, AnalysisResult::Passed);
        assert_eq!(receiver.calls(), 2);
        let asked = receiver.asked.lock().unwrap();
        assert_eq!(asked[0].1, asked[1].1, "about the same pause");
    }

    #[tokio::test]
    async fn one_that_is_still_at_it_is_asked_again_later_and_one_that_is_down_too() {
        let (receiver, url) =
            Receiver::answering(&[(202, ""), (503, ""), (200, r#"{"message":"fine"}"#)]).await;
        let webhooks = webhooks(&url, None);
        let asked = call(&url, "ecs-pause-1");
        assert_eq!(webhooks.answer(&asked).await.result, AnalysisResult::Running);
        assert_eq!(webhooks.answer(&asked).await.result, AnalysisResult::Running);
        assert_eq!(receiver.calls(), 1, "not at every look");
        tokio::time::pause();
        tokio::time::advance(AGAIN).await;
        tokio::time::resume();
        assert_eq!(webhooks.answer(&asked).await.result, AnalysisResult::Error);
        tokio::time::pause();
        tokio::time::advance(AGAIN).await;
        tokio::time::resume();
        let answer = webhooks.answer(&asked).await;
        assert_eq!((answer.result, answer.message.as_str()), (AnalysisResult::Passed, "fine"));
    }

    #[tokio::test]
    async fn nobody_is_asked_who_is_not_allowed() {
        let (receiver, url) = Receiver::answering(&[(200, "")]).await;
        let answer = webhooks("https://other.example.com/", None).answer(&call(&url, "p")).await;
        assert_eq!((answer.result, receiver.calls()), (AnalysisResult::Error, 0));
        assert!(answer.message.contains("analysis.webhookUrls"), "{}", answer.message);
    }

    #[tokio::test]
    async fn several_web_hooks_are_asked_at_the_same_time() {
        let both_are_there = Arc::new(tokio::sync::Barrier::new(2));
        let meet = both_are_there.clone();
        let app = Router::new().fallback(async move || {
            meet.wait().await;
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        #[expect(clippy::disallowed_methods, reason = "it ends with the test's runtime")]
        let _detached = tokio::spawn(async move { axum::serve(listener, app).await });
        let webhooks = webhooks(&url, None);
        let calls = [call(&format!("{url}a"), "p"), call(&format!("{url}b"), "p")];
        let answers = webhooks.answers(&calls).await;
        let results: Vec<AnalysisResult> = answers.iter().map(|answer| answer.result).collect();
        assert_eq!(results, [AnalysisResult::Passed; 2], "one alone is never answered");
    }

    #[test]
    fn a_secret_that_can_be_guessed_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "short\n").unwrap();
        assert!(secret(file.path()).unwrap_err().to_string().contains("at least 16 bytes"));
    }
}
