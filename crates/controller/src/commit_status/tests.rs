//! What hosting is told of the commits of one source, by a server that writes everything down.

use std::collections::VecDeque;
use std::sync::Mutex;

use axum::Router;
use axum::extract::State as Shared;
use axum::http::{HeaderMap, StatusCode, Uri};
use evenkeel_manifest::{File, Service, load};
use evenkeel_planner::{
    Condition, ConditionKind, ConditionStatus, SourceStatus, Status, VerdictKind, VerdictStatus,
};
use jiff::Timestamp;
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::*;
use crate::config::{HostingKind, SourceConfig};
use crate::source::{Revision, SourceReport};

type Seen = Arc<Mutex<Vec<(String, String, Value)>>>;
/// What the next requests are answered; all others are taken.
type Answers = Arc<Mutex<VecDeque<(u16, String)>>>;

/// A server that answers as it is told.
struct Hosting {
    url: String,
    seen: Seen,
    answers: Answers,
    _server: JoinSet<std::io::Result<()>>,
}

async fn answer(
    Shared((seen, answers)): Shared<(Seen, Answers)>,
    uri: Uri,
    headers: HeaderMap,
    body: String,
) -> (StatusCode, String) {
    let token = headers.get("authorization").map(|one| one.to_str().unwrap().to_owned());
    let body = serde_json::from_str(&body).unwrap();
    seen.lock().unwrap().push((uri.path().to_owned(), token.unwrap_or_default(), body));
    let answer = answers.lock().unwrap().pop_front();
    let (status, body) = answer.unwrap_or_else(|| (201, String::new()));
    (StatusCode::from_u16(status).unwrap(), body)
}

impl Hosting {
    async fn start() -> Self {
        let (seen, answers) = (Seen::default(), Answers::default());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(answer).with_state((seen.clone(), answers.clone()));
        let mut server = JoinSet::new();
        server.spawn(async move { axum::serve(listener, router).await });
        Self { url, seen, answers, _server: server }
    }

    /// What the next request is answered.
    fn answers(&self, status: u16, body: &str) {
        self.answers.lock().unwrap().push_back((status, body.to_owned()));
    }

    fn states(&self) -> Vec<String> {
        let seen = self.seen.lock().unwrap();
        seen.iter().map(|(_, _, body)| body["state"].as_str().unwrap().to_owned()).collect()
    }
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
    assert_eq!(told(None), (State::Pending, "prod/web: is being looked at".to_owned()));
    let ready = status(&web, ConditionKind::Ready, "1 of 1 tasks running");
    assert_eq!(told(Some(ready.clone())).0, State::Success);
    let old = Status { wanted: None, ..ready };
    assert_eq!(told(Some(old)).0, State::Pending, "it is about other content");
    let rejected = status(&web, ConditionKind::Rejected, "three tasks crashed");
    let failed = (State::Failure, "prod/web: three tasks crashed".to_owned());
    assert_eq!(told(Some(rejected.clone())), failed);
    let verdict = VerdictStatus {
        digest: web.revision_digest.clone(),
        kind: VerdictKind::Crashes,
        sentence: "3 of 3 tasks ended".to_owned(),
    };
    let judged = Status { verdict: Some(Box::new(verdict)), ..rejected.clone() };
    let failed_for = (State::Failure, "prod/web: Crashes: 3 of 3 tasks ended".to_owned());
    assert_eq!(told(Some(judged)), failed_for, "in the words of the verdict where they are known");
    let elsewhere = standing(all_of("sho"), &[], &desired, |_| None);
    assert_eq!(elsewhere.state, State::Success, "nothing of it is wanted");
}

/// Only `desiredCount`, tags or the terms of the rollout changed: the digest is as before.
#[test]
fn a_commit_that_no_look_was_made_for_is_pending_although_its_content_is_what_runs() {
    let mut web = service();
    web.source.commit = Some("b".into());
    let desired = wanted(&[&web]);
    let seen_with = |commit: &str| {
        let mut ready = status(&web, ConditionKind::Ready, "1 of 1 tasks running");
        let (file, commit) = ("shop/web.yaml".to_owned(), Some(commit.to_owned()));
        ready.source = Some(SourceStatus { file, line: 1, commit });
        let ready = Arc::new(ready);
        standing(all_of("shop"), &[], &desired, move |_| Some(ready.clone())).state
    };
    assert_eq!(seen_with("a"), State::Pending);
    assert_eq!(seen_with("b"), State::Success);
}

#[test]
fn a_commit_with_a_manifest_that_is_wrong_fails_with_its_place() {
    let set = load(&[File { name: "shop/bad.yaml".into(), text: "kind: Service\n".to_owned() }]);
    let told = standing(all_of("shop"), &set.problems, &DesiredState::default(), |_| None);
    assert_eq!(told.state, State::Failure);
    assert!(told.sentence.starts_with("shop/bad.yaml:1:"), "{}", told.sentence);
    let other = standing(all_of("platform"), &set.problems, &DesiredState::default(), |_| None);
    assert_eq!(other.state, State::Success);
}

#[test]
fn a_source_that_wants_no_service_is_told_of_by_every_replica() {
    let held = ["prod".to_owned()];
    let clusters = clusters_told_of("shop", &DesiredState::default(), Some(&held));
    assert_eq!(clusters, [None].into());
}

/// What is told of the commit `abc` of the source `shop` with one service.
struct Telling {
    told: CommitStatuses,
    board: Arc<StatusBoard>,
    web: Service,
    reports: watch::Sender<Arc<ManifestsReport>>,
    _desired: watch::Sender<Arc<DesiredState>>,
}

fn report_of(commit: &str) -> Arc<ManifestsReport> {
    let revision = Revision { commit: commit.to_owned(), digest: "d".to_owned(), signer: None };
    let name = "shop".to_owned();
    let source = SourceReport { name, revision: Some(revision), ..SourceReport::default() };
    Arc::new(ManifestsReport { sources: vec![source], ..ManifestsReport::default() })
}

impl Telling {
    fn to(hosting: &Hosting, kind: HostingKind, token: Option<crate::config::Secret>) -> Self {
        let web = service();
        let (desired, wanted_now) = watch::channel(Arc::new(wanted(&[&web])));
        let (reports, reported) = watch::channel(report_of("abc"));
        let commit_status = CommitStatusConfig {
            kind,
            url: hosting.url.clone(),
            repository: "team/shop".to_owned(),
            link: None,
            token,
        };
        let mut config = Config::load(&crate::config::Layers::default()).unwrap();
        config.sources = vec![SourceConfig {
            commit_status: Some(commit_status),
            ..SourceConfig::directory("shop")
        }];
        let board = Arc::new(StatusBoard::new());
        let followed = (reported, wanted_now);
        let told = CommitStatuses::new(&config, followed, board.clone(), None, &Registry::new());
        let told = told.unwrap().unwrap();
        Self { told, board, web, reports, _desired: desired }
    }

    async fn tell(&mut self) {
        timeout(TIMEOUT, self.told.tell_all(None)).await.unwrap();
    }

    /// Of the service, what is waited for in these words, and hosting is told.
    async fn tell_in_words(&mut self, words: &str) {
        let mut status = status(&self.web, ConditionKind::Ready, words);
        status.conditions[0].status = ConditionStatus::False;
        self.board.publish(status);
        self.tell().await;
    }

    /// The service gets this condition, and hosting is told.
    async fn tell_that(&mut self, kind: ConditionKind) {
        self.board.publish(status(&self.web, kind, "as it is"));
        self.tell().await;
    }
}

#[tokio::test]
async fn hosting_is_told_again_after_a_failure_and_once_for_each_change() {
    let hosting = Hosting::start().await;
    hosting.answers(500, "");
    let directory = tempfile::tempdir().unwrap();
    let token = directory.path().join("token");
    std::fs::write(&token, "hunter2\n").unwrap();
    let token = crate::config::Secret::File(token);
    let Telling { mut told, board, web, reports, _desired: desired } =
        Telling::to(&hosting, HostingKind::Github, Some(token));
    let seen = hosting.seen.clone();
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

#[tokio::test]
async fn what_hosting_knows_after_a_failure_is_unknown_so_what_it_took_before_is_told_again() {
    let hosting = Hosting::start().await;
    let mut telling = Telling::to(&hosting, HostingKind::Github, None);
    telling.tell_that(ConditionKind::Progressing).await;
    hosting.answers(502, "");
    telling.tell_that(ConditionKind::Ready).await;
    telling.tell_that(ConditionKind::Progressing).await;
    assert_eq!(hosting.states(), ["pending", "success", "pending"]);
    telling.tell().await;
    assert_eq!(hosting.states().len(), 3, "it was taken");
}

#[tokio::test]
async fn a_delay_that_is_over_and_of_nothing_that_is_told_does_not_keep_the_loop_awake() {
    let hosting = Hosting::start().await;
    let mut telling = Telling::to(&hosting, HostingKind::Github, None);
    hosting.answers(502, "");
    telling.tell().await;
    let began = Instant::now();
    assert!(telling.told.retry_at(began).is_some_and(|at| at > began));
    let known = telling.told.told[0].known.get_mut(&None).unwrap();
    known.again_at = Some(began);
    telling.reports.send_replace(Arc::default());
    telling.tell().await;
    assert_eq!(telling.told.retry_at(began), None);
}

#[tokio::test]
async fn the_delay_of_one_status_holds_back_neither_a_new_commit_nor_a_new_state() {
    let hosting = Hosting::start().await;
    let mut telling = Telling::to(&hosting, HostingKind::Github, None);
    for _ in 0..3 {
        hosting.answers(503, "");
    }
    telling.tell().await;
    telling.tell_that(ConditionKind::Progressing).await;
    assert_eq!(hosting.states(), ["pending"], "the same state in other words waits");
    telling.reports.send_replace(report_of("def"));
    telling.tell().await;
    telling.tell().await;
    telling.tell_that(ConditionKind::Ready).await;
    telling.tell().await;
    assert_eq!(hosting.states(), ["pending", "pending", "success"]);
    let paths: Vec<String> =
        hosting.seen.lock().unwrap().iter().map(|(path, _, _)| path.clone()).collect();
    assert!(paths[0].ends_with("/abc") && paths[1].ends_with("/def"), "{paths:?}");
}

#[tokio::test]
async fn a_state_that_gitlab_refuses_because_it_has_it_counts_as_taken() {
    let refusal = |from: &str| {
        let why = "(Reason(s): Status cannot transition via \\\"enqueue\\\")";
        format!("{{\"message\":\"Cannot transition status via :enqueue from :{from} {why}\"}}")
    };
    for (kind, status, from, taken) in [
        (HostingKind::Gitlab, 400, "pending", true),
        (HostingKind::Gitlab, 400, "running", false),
        (HostingKind::Gitlab, 500, "pending", false),
        (HostingKind::Github, 400, "pending", false),
    ] {
        let hosting = Hosting::start().await;
        let mut telling = Telling::to(&hosting, kind, None);
        telling.tell().await;
        pass(WORDS_EVERY).await;
        hosting.answers(status, &refusal(from));
        telling.tell_that(ConditionKind::Progressing).await;
        assert_eq!(hosting.states(), ["pending", "pending"]);
        let known = &telling.told.told[0].known[&None];
        assert_eq!((known.failures == 0, known.again_at.is_none()), (taken, taken), "{from}");
    }
}

async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

/// GitHub takes 1000 statuses of one commit under one name, and a rollout can wait for days.
#[tokio::test]
async fn a_sentence_that_changes_all_the_time_leaves_room_for_how_it_ends() {
    let hosting = Hosting::start().await;
    let mut telling = Telling::to(&hosting, HostingKind::Github, None);
    for minute in 0..2000 {
        telling.tell_in_words(&format!("{minute} minutes of bake are over")).await;
        pass(Duration::from_mins(1)).await;
    }
    telling.tell_that(ConditionKind::Ready).await;
    let states = hosting.states();
    assert!((50..=150).contains(&states.len()), "{}", states.len());
    assert_eq!(states.last().map(String::as_str), Some("success"));
}

#[tokio::test]
async fn other_words_alone_are_told_ten_minutes_later_by_themselves() {
    let hosting = Hosting::start().await;
    let mut telling = Telling::to(&hosting, HostingKind::Github, None);
    telling.tell_in_words("one task of two").await;
    let began = Instant::now();
    telling.tell_in_words("two tasks of two").await;
    assert_eq!(hosting.states().len(), 1);
    let again_at = telling.told.retry_at(began).unwrap();
    assert!(again_at <= Instant::now() + Duration::from_mins(10));
    pass(Duration::from_mins(10)).await;
    telling.tell().await;
    assert_eq!(hosting.states(), ["pending", "pending"]);
    telling.tell().await;
    assert_eq!(telling.told.retry_at(Instant::now()), None, "there is nothing more to tell");
}

#[tokio::test]
async fn a_commit_that_github_takes_no_more_statuses_of_is_let_be_and_the_next_is_told_of() {
    let hosting = Hosting::start().await;
    let mut telling = Telling::to(&hosting, HostingKind::Github, None);
    let full = r#"{"message":"Validation Failed","errors":[{"resource":"Status","code":"custom",
        "message":"This SHA and context has reached the maximum number of statuses."}]}"#;
    hosting.answers(422, full);
    hosting.answers(422, full);
    let now = ("abc".to_owned(), Standing { state: State::Pending, sentence: String::new() });
    let why = telling.told.told[0].tell(&telling.told.web, None, &now).await.unwrap_err();
    assert!(why.to_string().contains("push another commit"), "{why}");
    let began = Instant::now();
    telling.tell().await;
    assert_eq!(telling.told.retry_at(began), None);
    telling.tell_in_words("one task of two").await;
    telling.tell_that(ConditionKind::Ready).await;
    pass(Duration::from_hours(1)).await;
    telling.tell().await;
    assert_eq!(hosting.states().len(), 2, "it would refuse all of them");
    telling.reports.send_replace(report_of("def"));
    telling.tell().await;
    assert_eq!(hosting.states().len(), 3);
}
