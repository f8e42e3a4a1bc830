//! A hold or a release of all services of a cluster, or of all there are: one command for each, and an
//! answer that counts; never one for services that come later.

use std::collections::BTreeSet;
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State as Shared;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use evenkeel_manifest::ServiceKey;
use evenkeel_planner::{Command, Order};
use evenkeel_reconciler::{Followed, NotFollowed};
use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::body::Scope;
use super::{Control, Denied, allowed, outcome};
use crate::audit::Record;
use crate::http::State;

/// Services that are commanded at the same time.
const AT_ONCE: usize = 16;
/// A connection lives for two minutes; what is not commanded by then is told as failed.
const WITHIN: Duration = Duration::from_secs(100);
/// Failures that are listed; all are counted, and each is in the audit.
const LISTED_MAX: usize = 100;

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Tally {
    changed: usize,
    unchanged: usize,
    failed: usize,
    failures: Vec<Failure>,
    note: &'static str,
}

#[derive(Debug, Serialize)]
struct Failure {
    service: String,
    error: String,
}

/// `POST /v1/hold`
pub(in crate::http) async fn hold(
    Shared(state): Shared<State>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    many(&state, Command::Hold, &headers, &body).await
}

/// `POST /v1/release`
pub(in crate::http) async fn release(
    Shared(state): Shared<State>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    many(&state, Command::Release, &headers, &body).await
}

async fn many(state: &State, command: Command, headers: &HeaderMap, body: &[u8]) -> Response {
    let mut record = state.control.audit.record(command.word(), "many".to_owned());
    let asked = allowed(&state.control, headers, body, &mut record)
        .and_then(|body| body.order_for_many(command))
        .and_then(|asked| state.unread().map_or(Ok(asked), |why| Err(Denied::early(why))));
    let (scope, order) = match asked {
        Ok(asked) => asked,
        Err(denied) => return denied.ends(record),
    };
    record.about(match &scope {
        Scope::Cluster(cluster) => format!("cluster {cluster}"),
        Scope::All => "all".to_owned(),
    });
    let keys = keys_of(state, &scope);
    let tally = command_each(&state.control, keys, &order, &record).await;
    let sentence = format!(
        "{} changed, {} unchanged, {} failed",
        tally.changed, tally.unchanged, tally.failed
    );
    let is_whole = tally.failed == 0;
    record.ends(if is_whole { outcome(tally.changed > 0) } else { "failed" }, &sentence);
    let status = if is_whole { StatusCode::OK } else { StatusCode::MULTI_STATUS };
    (status, Json(tally)).into_response()
}

/// All services of the scope that manifests name, looked at or not, and those on their way out.
fn keys_of(state: &State, scope: &Scope) -> BTreeSet<ServiceKey> {
    let is_meant = |key: &ServiceKey| match scope {
        Scope::Cluster(cluster) => key.cluster == *cluster,
        Scope::All => true,
    };
    let desired = state.desired.borrow().clone();
    let named = desired.keys().into_iter().cloned();
    let shown = state.board.all().into_iter().map(|status| status.key.clone());
    named.chain(shown).filter(is_meant).collect()
}

async fn command_each(
    control: &Control,
    keys: BTreeSet<ServiceKey>,
    order: &Order,
    whole: &Record,
) -> Tally {
    let deadline = Instant::now() + WITHIN;
    let mut tally =
        Tally { note: "services that are created later are not covered", ..Tally::default() };
    let mut keys = keys.into_iter();
    let mut asked = JoinSet::new();
    loop {
        while asked.len() < AT_ONCE
            && let Some(key) = keys.next()
        {
            let (control, order) = (control.clone(), order.clone());
            let record = whole.of_one(key.to_string());
            asked.spawn(async move {
                let answer = if Instant::now() < deadline {
                    control.order(&key, order).await
                } else {
                    Err(NotFollowed::Refused("there was no time left; ask again".to_owned()))
                };
                noted(record, &key, answer)
            });
        }
        match asked.join_next().await {
            Some(Ok(noted)) => tally.count(noted),
            Some(Err(_panicked)) => tally.failed += 1,
            None => return tally,
        }
    }
}

/// Writes the record of one service; whether it was changed, or what failed.
fn noted(
    record: Record,
    key: &ServiceKey,
    answer: Result<Followed, NotFollowed>,
) -> Result<bool, Failure> {
    match answer {
        Ok(Followed { changed, sentence }) => {
            record.ends(outcome(changed), &sentence);
            Ok(changed)
        }
        Err(why) => {
            record.ends(why.word(), &why.to_string());
            Err(Failure { service: key.to_string(), error: why.to_string() })
        }
    }
}

impl Tally {
    fn count(&mut self, noted: Result<bool, Failure>) {
        match noted {
            Ok(true) => self.changed += 1,
            Ok(false) => self.unchanged += 1,
            Err(failure) => {
                self.failed += 1;
                if self.failures.len() < LISTED_MAX {
                    self.failures.push(failure);
                }
            }
        }
    }
}
