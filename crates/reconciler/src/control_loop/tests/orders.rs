//! People's commands: followed by a pass, under its terms, and always answered.

use std::sync::Mutex;

use evenkeel_manifest::ServiceKey;
use evenkeel_planner::{Action, Call, Command, Observed, ObservedService, Order, Questions, tag};
use serde_json::json;

use super::*;
use crate::testing::seen;
use crate::{Followed, LeaseSettings, NotFollowed, OwnedService};

/// One service that is ours, of which only the tags are seen and changed; the calls to it are noted.
#[derive(Debug, Default)]
struct Tagged {
    tags: Mutex<BTreeMap<String, String>>,
    /// What the next looks show instead.
    past: Mutex<Vec<BTreeMap<String, String>>>,
    calls: Mutex<Vec<&'static str>>,
    looks_take: Duration,
}

impl Tagged {
    fn ours() -> Self {
        let owner = (tag::OWNER.to_owned(), "v1:evenkeel:services.yaml".to_owned());
        Self { tags: Mutex::new(BTreeMap::from([owner])), ..Self::default() }
    }

    fn calls(&self) -> Vec<&'static str> {
        self.calls.lock().unwrap().clone()
    }

    fn tag(&self, key: &str) -> Option<String> {
        self.tags.lock().unwrap().get(key).cloned()
    }
}

impl Cloud for Tagged {
    async fn owned(&self, _: &str, _: &[String]) -> Result<Vec<OwnedService>, CloudError> {
        Ok(Vec::new())
    }

    async fn observe(&self, key: &ServiceKey, _: &Questions) -> Result<Observed, CloudError> {
        sleep(self.looks_take).await;
        let past = self.past.lock().unwrap().pop();
        let tags = past.unwrap_or_else(|| self.tags.lock().unwrap().clone());
        let tags: Vec<_> =
            tags.iter().map(|(key, value)| json!({ "key": key, "value": value })).collect();
        let service = json!({
            "serviceArn": format!("arn:aws:ecs:eu-west-1:123456789012:service/main/{}", key.name),
            "status": "ACTIVE",
            "tags": tags,
        });
        let service = ObservedService::read(&service).expect("has all required members");
        Ok(seen(evenkeel_planner::Fact::Known(service)))
    }

    async fn apply(&self, _: &ServiceKey, action: &Action) -> Result<Applied, CloudError> {
        self.calls.lock().unwrap().push(action.call.operation());
        let mut all = self.tags.lock().unwrap();
        match &action.call {
            Call::TagResource { tags, .. } => all.extend(tags.clone()),
            Call::UntagResource { keys, .. } => all.retain(|key, _| !keys.contains(key)),
            other => panic!("{} is no command", other.operation()),
        }
        Ok(Applied::Done)
    }
}

/// A loop over the service `web`, and the way to it.
struct Commanded {
    cloud: Arc<Tagged>,
    handle: LoopHandle,
    board: Arc<StatusBoard>,
    _desired: watch::Sender<Arc<DesiredState>>,
    tasks: JoinSet<Result<(), LoopError>>,
}

fn commanded(cloud: Tagged, leases: Option<HeldShards>) -> Commanded {
    let cloud = Arc::new(cloud);
    let (sender, receiver) = watch::channel(Arc::new(state([service("web", "1")])));
    let metrics = LoopMetrics::register(&Registry::new()).expect("nothing is registered yet");
    let board = Arc::new(StatusBoard::new());
    let mut looped = ControlLoop::new(cloud.clone(), exact(), metrics, receiver, board.clone());
    if let Some(leases) = leases {
        looped = looped.with_lease(leases);
    }
    let handle = looped.handle();
    let mut tasks = JoinSet::new();
    tasks.spawn(looped.run(Shutdown::new()));
    Commanded { cloud, handle, board, _desired: sender, tasks }
}

fn order(command: Command) -> Order {
    Order { command, who: "ann".to_owned(), why: "because".to_owned() }
}

#[tokio::test(start_paused = true)]
async fn a_command_is_followed_at_once_and_its_pass_goes_on_from_it() {
    let running = commanded(Tagged::ours(), None);
    sleep(MINUTE).await;
    let asked = Instant::now();
    let followed = running.handle.order(&key("web"), order(Command::Hold)).await;
    assert!(matches!(followed, Ok(Followed { changed: true, .. })), "{followed:?}");
    assert!(asked.elapsed() < SECOND);
    assert!(running.cloud.tag(tag::HOLD).is_some_and(|value| value.ends_with(":ann:because")));
    let status = running.board.get(&key("web")).expect("it was looked at");
    let held = status.condition(ConditionKind::Held).map(|one| one.status);
    assert_eq!(held, Some(ConditionStatus::True));
    running.handle.order(&key("web"), order(Command::Release)).await.unwrap();
    let again = running.handle.order(&key("web"), order(Command::Release)).await;
    assert!(matches!(again, Ok(Followed { changed: false, .. })), "{again:?}");
    assert_eq!(running.cloud.calls(), ["TagResource", "UntagResource"]);
}

#[tokio::test(start_paused = true)]
async fn commands_asked_at_once_are_all_answered_in_their_order() {
    let running = commanded(Tagged { looks_take: SECOND, ..Tagged::ours() }, None);
    sleep(SECOND / 2).await;
    let web = key("web");
    let ask = |command| running.handle.order(&web, order(command));
    let (hold, pause, release) =
        tokio::join!(ask(Command::Hold), ask(Command::Pause), ask(Command::Release));
    assert!(hold.is_ok() && pause.is_ok() && release.is_ok(), "{hold:?} {pause:?} {release:?}");
    assert_eq!(running.cloud.calls(), ["TagResource", "TagResource", "UntagResource"]);
    assert!(running.cloud.tag(tag::HOLD).is_none() && running.cloud.tag(tag::PAUSE).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_command_about_what_no_manifest_names_is_turned_away() {
    let running = commanded(Tagged::ours(), None);
    sleep(MINUTE).await;
    let answer = running.handle.order(&key("other"), order(Command::Hold)).await;
    assert_eq!(answer, Err(NotFollowed::Unmanaged));
}

#[tokio::test(start_paused = true)]
async fn a_command_about_somebody_else_s_service_is_refused() {
    let cloud = ScriptedCloud::new(Duration::ZERO);
    let running = Running::start(exact(), cloud, state([service("web", "1")]));
    sleep(MINUTE).await;
    let answer = running.handle.order(&key("web"), order(Command::Hold)).await;
    assert!(matches!(&answer, Err(NotFollowed::Refused(_))), "{answer:?}");
    assert_eq!(running.cloud.calls(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_replica_without_the_lease_follows_no_command() {
    let running = commanded(Tagged::ours(), Some(HeldShards::new(&LeaseSettings::default())));
    sleep(MINUTE).await;
    let answer = running.handle.order(&key("web"), order(Command::Hold)).await;
    assert_eq!(answer, Err(NotFollowed::Elsewhere { replica: None }));
    assert_eq!(running.cloud.calls(), Vec::<&str>::new());
}

#[tokio::test(start_paused = true)]
async fn a_command_whose_caller_has_left_is_not_followed() {
    let running = commanded(Tagged { looks_take: MINUTE, ..Tagged::ours() }, None);
    sleep(SECOND).await;
    let web = key("web");
    let left = timeout(SECOND, running.handle.order(&web, order(Command::Hold))).await;
    assert!(left.is_err(), "the pass under way takes a minute");
    sleep(10 * MINUTE).await;
    assert_eq!(running.cloud.calls(), Vec::<&str>::new());
}

#[tokio::test(start_paused = true)]
async fn the_ninth_command_at_once_is_turned_away() {
    let running = commanded(Tagged { looks_take: 10 * SECOND, ..Tagged::ours() }, None);
    sleep(SECOND).await;
    let mut asked = JoinSet::new();
    for _ in 0..9 {
        let handle = running.handle.clone();
        asked.spawn(async move { handle.order(&key("web"), order(Command::Pause)).await });
    }
    let answers = asked.join_all().await;
    let busy = answers.iter().filter(|one| **one == Err(NotFollowed::Busy)).count();
    assert_eq!((answers.len(), busy), (9, 1));
}

#[tokio::test(start_paused = true)]
async fn a_look_from_before_a_command_leads_to_nothing() {
    let running = commanded(Tagged::ours(), None);
    sleep(MINUTE).await;
    let before = running.cloud.tags.lock().unwrap().clone();
    // For the look of the command, which is up to date, and for two looks after it, which are not.
    *running.cloud.past.lock().unwrap() = vec![before; 3];
    running.handle.order(&key("web"), order(Command::Hold)).await.unwrap();
    sleep(SECOND).await;
    let shown = running.board.get(&key("web")).expect("it was looked at");
    let held = shown.condition(ConditionKind::Held).map(|one| one.status);
    assert_eq!(held, Some(ConditionStatus::False), "the look is from the past");
    let answer = running.handle.order(&key("web"), order(Command::Release)).await;
    let is_refused = matches!(&answer, Err(NotFollowed::Refused(why)) if why.contains("try again"));
    assert!(is_refused, "{answer:?}");
    let later = running.handle.order(&key("web"), order(Command::Release)).await;
    assert!(matches!(later, Ok(Followed { changed: true, .. })), "{later:?}");
}

#[tokio::test(start_paused = true)]
async fn an_end_of_the_loop_is_an_answer() {
    let mut running = commanded(Tagged { looks_take: MINUTE, ..Tagged::ours() }, None);
    sleep(SECOND).await;
    let handle = running.handle.clone();
    let mut asked = JoinSet::new();
    asked.spawn(async move { handle.order(&key("web"), order(Command::Hold)).await });
    sleep(SECOND).await;
    running.tasks.abort_all();
    while running.tasks.join_next().await.is_some() {}
    drop(running);
    assert_eq!(asked.join_all().await, [Err(NotFollowed::Unanswered)]);
}
