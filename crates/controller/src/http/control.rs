//! Commands over HTTP: who may give them, what they may hold, and what is answered; never what a command
//! does.

mod body;
mod many;

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State as Shared};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use evenkeel_manifest::ServiceKey;
use evenkeel_planner::{Command, Gates, Order};
use evenkeel_reconciler::{Followed, LoopHandle, NotFollowed};
use serde_json::json;

use super::{State, problem};
use crate::audit::{Audit, Record};
use crate::tokens::Tokens;
pub(super) use body::BYTES_MAX as BODY_BYTES_MAX;
use body::Body;
pub(super) use many::{hold, release};

/// Whoever waits longer is told to look at the status.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// What commands are taken with.
#[derive(Clone, Debug)]
pub(crate) struct Control {
    pub handle: LoopHandle,
    pub tokens: Arc<Tokens>,
    pub audit: Audit,
}

/// Why a command is not even asked.
struct Denied {
    status: StatusCode,
    outcome: &'static str,
    message: String,
}

impl Denied {
    fn malformed(message: impl Into<String>) -> Self {
        let (status, outcome) = (StatusCode::BAD_REQUEST, "malformed");
        Self { status, outcome, message: message.into() }
    }

    /// Which services there are is not known yet.
    fn early(message: String) -> Self {
        Self { status: StatusCode::SERVICE_UNAVAILABLE, outcome: "withheld", message }
    }

    fn ends(self, record: Record) -> Response {
        record.ends(self.outcome, &self.message);
        let mut response = problem(self.status, &self.message);
        if self.status == StatusCode::UNAUTHORIZED {
            let scheme = header::HeaderValue::from_static("Bearer");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
        }
        response
    }
}

impl Control {
    /// The name of the token that the request carries.
    fn allows(&self, headers: &HeaderMap) -> Result<&str, Denied> {
        if self.tokens.is_empty() {
            let message = "this daemon takes no commands: it has no token. Put one into a file and \
                           its path into control.tokensFile, or into EVENKEEL_CONTROL_TOKEN, and \
                           start it again";
            let (status, outcome) = (StatusCode::FORBIDDEN, "off");
            return Err(Denied { status, outcome, message: message.to_owned() });
        }
        let sent = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let sent = sent.and_then(|value| value.split_once(' '));
        let token = sent.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        token.and_then(|(_, token)| self.tokens.name_of(token.trim())).ok_or_else(|| Denied {
            status: StatusCode::UNAUTHORIZED,
            outcome: "unauthorized",
            message: "commands need the header `Authorization: Bearer TOKEN` with a token of this \
                      daemon"
                .to_owned(),
        })
    }

    /// A command about one service, answered in time.
    async fn order(&self, key: &ServiceKey, order: Order) -> Result<Followed, NotFollowed> {
        let answer = tokio::time::timeout(ANSWER_WITHIN, self.handle.order(key, order)).await;
        answer.unwrap_or(Err(NotFollowed::Unanswered))
    }
}

/// `POST /v1/services/{cluster}/{name}/{command}`
pub(super) async fn one(
    Shared(state): Shared<State>,
    Path((cluster, name, word)): Path<(String, String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let Some(blank) = command(&word) else {
        let message =
            "the commands are hold, release, pause, resume, promote, abort, undo, retry and prune";
        return problem(StatusCode::NOT_FOUND, message);
    };
    let mut record = state.control.audit.record(blank.word(), format!("{cluster}/{name}"));
    let order = match allowed(&state.control, &headers, &body, &mut record)
        .and_then(|body| body.order(blank))
    {
        Ok(order) => order,
        Err(denied) => return denied.ends(record),
    };
    let key = ServiceKey { target: state.target.clone(), cluster, name };
    let answer = state.control.order(&key, order).await;
    answered(record, &key, answer)
}

/// What the body says, if its sender may say anything.
fn allowed(
    control: &Control,
    headers: &HeaderMap,
    body: &[u8],
    record: &mut Record,
) -> Result<Body, Denied> {
    record.allowed_by(control.allows(headers)?);
    let body = Body::read(body)?;
    record.said(&body.who, &body.reason);
    Ok(body)
}

/// The command with this word, without what its body adds.
fn command(word: &str) -> Option<Command> {
    let all = [
        Command::Hold,
        Command::Release,
        Command::Pause,
        Command::Resume,
        Command::Promote(Gates::Now),
        Command::Abort,
        Command::Undo { to: None },
        Command::Retry,
        Command::Prune,
    ];
    all.into_iter().find(|command| command.word() == word)
}

fn answered(record: Record, key: &ServiceKey, answer: Result<Followed, NotFollowed>) -> Response {
    match answer {
        Ok(Followed { changed, sentence }) => {
            record.ends(outcome(changed), &sentence);
            let service = format!("{}/{}", key.cluster, key.name);
            let answer = json!({ "service": service, "changed": changed, "sentence": sentence });
            Json(answer).into_response()
        }
        Err(why) => {
            let message = format!("{key}: {why}");
            record.ends(why.word(), &message);
            problem(status_of(&why), &message)
        }
    }
}

fn outcome(changed: bool) -> &'static str {
    if changed { "followed" } else { "unchanged" }
}

pub(super) fn status_of(why: &NotFollowed) -> StatusCode {
    match why {
        NotFollowed::Unmanaged => StatusCode::NOT_FOUND,
        NotFollowed::Refused(_) => StatusCode::CONFLICT,
        NotFollowed::Elsewhere { .. } => StatusCode::MISDIRECTED_REQUEST,
        NotFollowed::Busy => StatusCode::TOO_MANY_REQUESTS,
        NotFollowed::Failed(_) => StatusCode::BAD_GATEWAY,
        NotFollowed::Withheld(_) => StatusCode::SERVICE_UNAVAILABLE,
        NotFollowed::Unanswered => StatusCode::GATEWAY_TIMEOUT,
    }
}

/// `GET /v1/services/{cluster}/{name}/history`
pub(super) async fn history(
    Shared(state): Shared<State>,
    Path((cluster, name)): Path<(String, String)>,
) -> Response {
    let key = ServiceKey { target: state.target.clone(), cluster, name };
    let asked = tokio::time::timeout(ANSWER_WITHIN, state.control.handle.history(&key)).await;
    match asked.unwrap_or(Err(NotFollowed::Unanswered)) {
        Ok(deployments) => Json(json!({ "deployments": deployments })).into_response(),
        Err(why) => problem(status_of(&why), &format!("{key}: {why}")),
    }
}
