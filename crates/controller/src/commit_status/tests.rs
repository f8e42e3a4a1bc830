//! What hosting is told of the commits of one source, by a server that writes everything down.

use std::sync::Mutex;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use evenkeel_manifest::{File, Service, load};
use evenkeel_planner::{
    Condition, ConditionKind, ConditionStatus, Status, VerdictKind, VerdictStatus,
};
use jiff::Timestamp;
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::*;
use crate::config::{HostingKind, SourceConfig};
use crate::source::{Revision, SourceReport};

type Seen = Arc<Mutex<Vec<(String, String, Value)>>>;

/// A server that answers 500 to the first request, and takes all others.
async fn hosting() -> (String, Seen, JoinSet<std::io::Result<()>>) {
    async fn answer(
        State(seen): State<Seen>,
        uri: Uri,
        headers: HeaderMap,
        body: String,
    ) -> StatusCode {
        let token = headers.get("authorization").map(|one| one.to_str().unwrap().to_owned());
        let body = serde_json::from_str(&body).unwrap();
        let mut seen = seen.lock().unwrap();
        seen.push((uri.path().to_owned(), token.unwrap_or_default(), body));
        if seen.len() == 1 { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::CREATED }
    }
    let seen = Seen::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().fallback(answer).with_state(seen.clone());
    let mut server = JoinSet::new();
    server.spawn(async move { axum::serve(listener, router).await });
    (url, seen, server)
}

fn service() -> Service {
    let text = "apiVersion: evenkeel.dev/v1\nkind: Service\nmetadata: {name: web}\nspec:\n  cluster: prod\n  \
                taskDefinition:\n    memory: \"512\"\n    containerDefinitions:\n    - {name: app, image: \"app:1\"}\n  \
                service: {desiredCount: 1}\n";
    let mut set = load(&[File { name: "shop/web.yaml".into(), text: text.to_owned() }]);
    set.services.remove(0)
}

fn status(service: &Service, kind: ConditionKind, message: &str) -> Status {
    let mut status = Status::invalid(service.key.clone(), &[], Timestamp::UNIX_EPOCH, None);
    status.wanted = Some(service.revision_digest.clone());
    let message = message.to_owned();
    status.conditions =
        vec![Condition { kind, status: ConditionStatus::True, reason: "Tested", message }];
    status
}

fn all_of(source: &str) -> Scope<'_> {
    Scope { source, cluster: None }
}

fn wanted(services: &[&Service]) -> DesiredState {
    let services = services.iter().map(|one| (one.key.clone(), Arc::new((*one).clone()))).collect();
    DesiredState { services, ..DesiredState::default() }
}

#[test]
fn a_commit_fares_as_its_worst_service_does() {
    let web = service();
    let desired = wanted(&[&web]);
    let told = |status: Option<Status>| {
        let status = status.map(Arc::new);
        let told = standing(all_of("shop"), &[], &desired, move |_| status.clone());
        (told.state, told.sentence)
    };
    assert_eq!(told(None), (standing::State::Pending, "prod/web: is being looked at".to_owned()));
    let ready = status(&web, ConditionKind::Ready, "1 of 1 tasks running");
    assert_eq!(told(Some(ready.clone())).0, standing::State::Success);
    let old = Status { wanted: None, ..ready };
    assert_eq!(told(Some(old)).0, standing::State::Pending, "it is about other content");
    let rejected = status(&web, ConditionKind::Rejected, "three tasks crashed");
    let failed = (standing::State::Failure, "prod/web: three tasks crashed".to_owned());
    assert_eq!(told(Some(rejected.clone())), failed);
    let verdict = VerdictStatus {
        digest: web.revision_digest.clone(),
        kind: VerdictKind::Crashes,
        sentence: "3 of 3 tasks ended".to_owned(),
    };
    let judged = Status { verdict: Some(Box::new(verdict)), ..rejected.clone() };
    let failed_for = (standing::State::Failure, "prod/web: Crashes: 3 of 3 tasks ended".to_owned());
    assert_eq!(told(Some(judged)), failed_for, "in the words of the verdict where they are known");
    let elsewhere = standing(all_of("sho"), &[], &desired, |_| None);
    assert_eq!(elsewhere.state, standing::State::Success, "nothing of it is wanted");
}

#[test]
fn a_commit_with_a_manifest_that_is_wrong_fails_with_its_place() {
    let set = load(&[File { name: "shop/bad.yaml".into(), text: "kind: Service\n".to_owned() }]);
    let told = standing(all_of("shop"), &set.problems, &DesiredState::default(), |_| None);
    assert_eq!(told.state, standing::State::Failure);
    assert!(told.sentence.starts_with("shop/bad.yaml:1:"), "{}", told.sentence);
    let other = standing(all_of("platform"), &set.problems, &DesiredState::default(), |_| None);
    assert_eq!(other.state, standing::State::Success);
}

#[test]
fn a_source_that_wants_no_service_is_told_of_by_every_replica() {
    let held = ["prod".to_owned()];
    let clusters = clusters_told_of("shop", &DesiredState::default(), Some(&held));
    assert_eq!(clusters, [None].into());
}

#[tokio::test]
async fn hosting_is_told_again_after_a_failure_and_once_for_each_change() {
    let (url, seen, _server) = hosting().await;
    let directory = tempfile::tempdir().unwrap();
    let token = directory.path().join("token");
    std::fs::write(&token, "hunter2\n").unwrap();
    let web = service();
    let (desired, wanted_now) = watch::channel(Arc::new(wanted(&[&web])));
    let mut report = ManifestsReport::default();
    let revision = Revision { commit: "abc".to_owned(), digest: "d".to_owned(), signer: None };
    let name = "shop".to_owned();
    report.sources.push(SourceReport { name, revision: Some(revision), ..SourceReport::default() });
    let (reports, reported) = watch::channel(Arc::new(report));
    let mut config = Config::load(&crate::config::Layers::default()).unwrap();
    let commit_status = CommitStatusConfig {
        kind: HostingKind::Github,
        url,
        repository: "team/shop".to_owned(),
        link: None,
        token: Some(crate::config::Secret::File(token)),
    };
    config.sources = vec![SourceConfig {
        commit_status: Some(commit_status),
        ..SourceConfig::directory("shop")
    }];
    let board = Arc::new(StatusBoard::new());
    let registry = Registry::new();
    let followed = (reported, wanted_now);
    let told = CommitStatuses::new(&config, followed, board.clone(), None, &registry);
    let mut told = told.unwrap().unwrap();
    told.tell_all(None).await;
    told.tell_all(None).await;
    assert_eq!(seen.lock().unwrap().len(), 1, "it waits after a failure");
    told.told[0].known.clear();
    told.tell_all(None).await;
    told.tell_all(None).await;
    board.publish(status(&web, ConditionKind::Ready, "1 of 1 tasks running"));
    timeout(TIMEOUT, told.tell_all(None)).await.unwrap();
    let all = seen.lock().unwrap().clone();
    let states: Vec<&str> =
        all.iter().map(|(_, _, body)| body["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["pending", "pending", "success"]);
    for (path, token, body) in &all {
        assert_eq!(path, "/repos/team/shop/statuses/abc");
        assert_eq!(token, "Bearer hunter2");
        assert_eq!(body["context"], "evenkeel/evenkeel/shop");
    }
    let held = |clusters: &[&str]| clusters.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>();
    told.tell_all(Some(&held(&["test"]))).await;
    told.tell_all(Some(&held(&["prod", "test"]))).await;
    told.tell_all(Some(&held(&["prod"]))).await;
    let shared: Vec<Value> =
        seen.lock().unwrap().iter().skip(all.len()).map(|(_, _, body)| body.clone()).collect();
    let [of_prod] = shared.as_slice() else {
        panic!("only who holds prod tells, once: {shared:?}")
    };
    told.tell_all(Some(&held(&["test"]))).await;
    told.tell_all(Some(&held(&["prod"]))).await;
    assert_eq!(seen.lock().unwrap().len(), all.len() + 2, "another one may have told otherwise");
    assert_eq!(of_prod["context"], "evenkeel/evenkeel/shop/prod");
    assert_eq!(of_prod["description"], "all 1 services in prod are as their manifests say");
    drop((desired, reports));
}
