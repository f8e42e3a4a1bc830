//! What the daemon tells over HTTP: metrics, health and statuses, and the commands it takes from people;
//! without a token nothing can be changed this way.

mod control;
mod hooks;
mod server;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::extract::{DefaultBodyLimit, Path, Query, State as Shared};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use axum::{Json, Router};
use evenkeel_manifest::ServiceKey;
use evenkeel_planner::Status;
use evenkeel_reconciler::{DesiredState, StatusBoard, metrics_text};
use prometheus::Registry;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub(crate) use control::Control;
pub(crate) use hooks::Hooks;
pub(crate) use server::serve;

use crate::replica::Replica;
use crate::source::ManifestsReport;

/// Services in one answer, unless fewer are asked for: about 2 MiB at most.
const PAGE_MAX: usize = 500;

/// Everything that answers are made of.
#[derive(Clone, Debug)]
pub(crate) struct State {
    /// The target of all services of this daemon.
    pub target: String,
    pub board: Arc<StatusBoard>,
    pub report: watch::Receiver<Arc<ManifestsReport>>,
    pub desired: watch::Receiver<Arc<DesiredState>>,
    pub registry: Registry,
    /// True after the first successful look at AWS.
    pub first_read: Arc<AtomicBool>,
    /// `None` when this is the only daemon.
    pub replica: Option<Replica>,
    pub draining: CancellationToken,
    pub control: Control,
    pub hooks: Hooks,
}

/// All routes.
pub(crate) fn router(state: State) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/v1/services", get(services))
        .route("/v1/services/{cluster}/{name}", get(service))
        .route("/v1/services/{cluster}/{name}/history", get(control::history))
        .route("/v1/services/{cluster}/{name}/{command}", post(control::one))
        .route("/v1/hold", post(control::hold))
        .route("/v1/release", post(control::release))
        .route("/v1/manifests", get(manifests))
        .route("/hooks/{source}", hook_route())
        .layer(DefaultBodyLimit::max(control::BODY_BYTES_MAX))
        .fallback(no_such_page)
        .with_state(state)
}

/// A push of many commits is told in more than a command is.
fn hook_route() -> MethodRouter<State> {
    post(hooks::hook).layer(DefaultBodyLimit::max(hooks::BODY_BYTES_MAX))
}

async fn metrics(Shared(state): Shared<State>) -> Response {
    match metrics_text(&state.registry, &state.board) {
        Ok(text) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => problem(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

/// The process lives, and so do its tasks: when one ends, the process ends.
async fn healthz(Shared(state): Shared<State>) -> Response {
    let Some(replica) = state.replica else {
        return Json(json!({ "status": "ok" })).into_response();
    };
    let (name, clusters) = (&replica.name, replica.clusters());
    Json(json!({ "status": "ok", "replica": name, "looksAfter": clusters })).into_response()
}

async fn readyz(Shared(state): Shared<State>) -> Response {
    let waits_for = state.waits_for();
    let status =
        if waits_for.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(json!({ "ready": waits_for.is_empty(), "waitsFor": waits_for }))).into_response()
}

impl State {
    /// What is still missing before the daemon does its work.
    fn waits_for(&self) -> Vec<String> {
        let mut waits_for = Vec::new();
        let report = self.report.borrow();
        if self.draining.is_cancelled() {
            waits_for.push("nothing: it is shutting down".to_owned());
        }
        if !report.is_in_force() {
            let why = report.stale.clone().unwrap_or_else(|| "it is being read".to_owned());
            waits_for.push(format!("the manifests: {why}"));
        }
        if report.services > 0 && self.looks_at_aws() && !self.first_read.load(Ordering::Relaxed) {
            waits_for.push("a first successful look at AWS".to_owned());
        }
        if self.replica.as_ref().is_some_and(|replica| !replica.has_read_the_table()) {
            waits_for.push("a first successful read of the lease table".to_owned());
        }
        waits_for
    }

    /// Why it is not known which services manifests name, before any are in force.
    fn unread(&self) -> Option<String> {
        let report = self.report.borrow();
        let why = || report.stale.clone().unwrap_or_else(|| "ask again".to_owned());
        let is_unread = !report.is_in_force();
        is_unread.then(|| format!("the manifests were not read yet: {}", why()))
    }

    /// A replica that looks after nothing is ready to, and a new one must be ready before an old
    /// one ends.
    fn looks_at_aws(&self) -> bool {
        self.replica.as_ref().is_none_or(|replica| !replica.clusters().is_empty())
    }

    fn shown(&self, status: Arc<Status>) -> Shown {
        let replica = self.replica.as_ref();
        Shown { replica: replica.and_then(|one| one.that_looks_after(&status.key)), status }
    }
}

/// A status and, where several replicas run, which of them looks after the service.
#[derive(Debug, Serialize)]
struct Shown {
    #[serde(flatten)]
    status: Arc<Status>,
    #[serde(skip_serializing_if = "Option::is_none")]
    replica: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    limit: Option<usize>,
    /// The `next` of the page before.
    after: Option<String>,
}

#[derive(Debug, Serialize)]
struct Services {
    services: Vec<Shown>,
    /// What to ask for with `after`; `null` on the last page.
    next: Option<String>,
}

async fn services(Shared(state): Shared<State>, Query(page): Query<Page>) -> Response {
    let limit = page.limit.unwrap_or(PAGE_MAX).clamp(1, PAGE_MAX);
    let all = state.board.all();
    let from = match &page.after {
        None => 0,
        Some(after) => match page_start(&all, after) {
            Some(from) => from,
            None => return problem(StatusCode::BAD_REQUEST, "`after` is not the `next` of a page"),
        },
    };
    let services: Vec<_> = all.iter().skip(from).take(limit).cloned().collect();
    let more = from + services.len() < all.len();
    let last = services.last().filter(|_| more);
    let next = last.map(|status| format!("{}/{}", status.key.cluster, status.key.name));
    let services = services.into_iter().map(|status| state.shown(status)).collect();
    Json(Services { services, next }).into_response()
}

/// Statuses are ordered by key, and services may come and go between two pages.
fn page_start(all: &[Arc<Status>], after: &str) -> Option<usize> {
    let (cluster, name) = after.split_once('/')?;
    Some(all.partition_point(|status| {
        (status.key.cluster.as_str(), status.key.name.as_str()) <= (cluster, name)
    }))
}

async fn service(
    Shared(state): Shared<State>,
    Path((cluster, name)): Path<(String, String)>,
) -> Response {
    let key = ServiceKey { target: state.target.clone(), cluster, name };
    if let Some(status) = state.board.get(&key) {
        return Json(state.shown(status)).into_response();
    }
    if let Some(why) = state.unread() {
        return problem(StatusCode::SERVICE_UNAVAILABLE, &why);
    }
    if state.desired.borrow().names(&key) {
        let why = format!("the service {key} was not looked at yet; ask again");
        return problem(StatusCode::SERVICE_UNAVAILABLE, &why);
    }
    problem(StatusCode::NOT_FOUND, &format!("no manifest names the service {key}"))
}

async fn manifests(Shared(state): Shared<State>) -> Response {
    let report = state.report.borrow().clone();
    Json(report).into_response()
}

async fn no_such_page() -> Response {
    problem(
        StatusCode::NOT_FOUND,
        "there are /metrics, /healthz, /readyz, /v1/services, /v1/services/{cluster}/{name}, \
         /v1/services/{cluster}/{name}/history and /v1/manifests; commands are POSTed to \
         /v1/services/{cluster}/{name}/{command}, /v1/hold and /v1/release, and hints to \
         /hooks/{source}",
    )
}

fn problem(status: StatusCode, message: &str) -> Response {
    (status, Json(json!({ "error": message }))).into_response()
}
