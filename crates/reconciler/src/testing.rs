//! What the tests of this crate share: manifests and a scripted cloud; never used outside of tests.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use evenkeel_manifest::{Digest, Document, Metadata, Rollout, Service, ServiceKey, Source};
use evenkeel_planner::{
    Action, Applied, Call, Depth, Fact, Observed, ObservedService, Questions, TaskDefinition, tag,
};
use jiff::Timestamp;
use serde_json::json;
use tokio::time::Instant;

use crate::{Cloud, CloudError, OwnedService};

pub(crate) fn key(name: &str) -> ServiceKey {
    ServiceKey::new("main", name)
}

/// A service whose content is told apart by `version`.
pub(crate) fn service(name: &str, version: &str) -> Service {
    let digest = Digest::from_tag(format!("v1:{version}"));
    Service {
        key: key(name),
        source: Source::new(Arc::from("services.yaml"), 1),
        metadata: Metadata { name: name.to_owned(), ..Metadata::default() },
        task_definition: Document::new(&json!({"family": name, "version": version})),
        family: name.to_owned(),
        service: Document::new(&json!({})),
        rollout: Rollout::default(),
        drift: evenkeel_manifest::Drift::default(),
        paused: false,
        adopt: false,
        approval: None,
        task_definition_digest: digest.clone(),
        revision_digest: digest,
    }
}

pub(crate) fn transient(operation: &str) -> CloudError {
    CloudError::Transient { operation: operation.to_owned(), message: "try again".to_owned() }
}

/// A service that belongs to somebody else: whatever is wanted of it, nothing is written.
pub(crate) fn foreign(key: &ServiceKey) -> Observed {
    let service = ObservedService::read(&json!({
        "serviceArn": format!("arn:aws:ecs:eu-west-1:123456789012:service/{}/{}", key.cluster, key.name),
        "clusterArn": format!("arn:aws:ecs:eu-west-1:123456789012:cluster/{}", key.cluster),
        "serviceName": key.name,
        "status": "ACTIVE",
        "desiredCount": 1,
        "runningCount": 1,
        "tags": [{"key": tag::OWNER, "value": "somebody-else elsewhere.yaml"}],
    }));
    seen(Fact::Known(service.expect("has all required members")))
}

/// A shallow look that shows `service` and nothing else.
pub(crate) fn seen(service: Fact<ObservedService>) -> Observed {
    Observed { service, ..Observed::unasked(Timestamp::UNIX_EPOCH, Depth::Shallow) }
}

/// What one look at a service does.
#[derive(Clone, Debug)]
pub(crate) enum Look {
    /// Shows a foreign service after a time.
    Takes(Duration),
    Fails(CloudError),
    Panics,
    Hangs,
}

/// A cloud in which every look follows a script, and takes `usual` once the script has ended.
/// Looks of one pass after the first go unrecorded and always succeed.
#[derive(Debug)]
pub(crate) struct ScriptedCloud {
    usual: Duration,
    began: Instant,
    /// Looks after each call that show how it was before.
    lag: usize,
    /// How long a call waits for its turn before it is sent, and how long the answer takes then.
    call: (Duration, Duration),
    /// How long each look takes of which there is only one at a time, whatever its depth.
    lane: Option<(Duration, tokio::sync::Mutex<()>)>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    scripts: BTreeMap<String, VecDeque<Look>>,
    looks: Vec<(String, Duration)>,
    running: Vec<String>,
    running_most: usize,
    overlaps: Vec<String>,
    results: BTreeMap<String, VecDeque<Result<Applied, CloudError>>>,
    calls: Vec<String>,
    owned: Vec<ServiceKey>,
    absent: BTreeMap<String, Absent>,
    touches: Vec<String>,
    listed: Vec<Vec<String>>,
}

/// A service that did not exist when the test began, and how far it has come.
#[derive(Debug, Default)]
struct Absent {
    definition: Option<TaskDefinition>,
    created: bool,
    /// Looks, and one more, that do not show the last of the above yet.
    hidden_for: usize,
}

impl State {
    fn carry_out(&mut self, name: &str, call: &Call, lag: usize) {
        let Some(absent) = self.absent.get_mut(name) else { return };
        match call {
            Call::RegisterTaskDefinition { .. } => absent.definition = Some(task_definition(name)),
            Call::CreateService { .. } => absent.created = true,
            other => panic!("{} for a service that does not exist", other.operation()),
        }
        absent.hidden_for = lag + 1;
    }
}

/// With the content that version 1 of [`service`] wants.
fn task_definition(name: &str) -> TaskDefinition {
    let digest = Digest::from_tag("v1:1");
    TaskDefinition {
        arn: format!("arn:aws:ecs:eu-west-1:123456789012:task-definition/{name}:1"),
        status: "ACTIVE".to_owned(),
        digest: digest.clone(),
        digest_tag: Some(digest),
        document: None,
    }
}

impl ScriptedCloud {
    pub(crate) fn new(usual: Duration) -> Self {
        let call = (Duration::ZERO, Duration::ZERO);
        Self { usual, began: Instant::now(), lag: 0, call, lane: None, state: Mutex::default() }
    }

    pub(crate) fn script(&self, name: &str, looks: impl IntoIterator<Item = Look>) {
        self.state().scripts.entry(name.to_owned()).or_default().extend(looks);
    }

    /// What the next calls for a service will return; they succeed once these are used up.
    pub(crate) fn results(
        &self,
        name: &str,
        results: impl IntoIterator<Item = Result<Applied, CloudError>>,
    ) {
        self.state().results.entry(name.to_owned()).or_default().extend(results);
    }

    /// Name and time of all looks, in the order in which they began.
    pub(crate) fn looks(&self) -> Vec<(String, Duration)> {
        self.state().looks.clone()
    }

    pub(crate) fn looks_at(&self, name: &str) -> Vec<Duration> {
        self.looks().into_iter().filter(|(n, _)| n == name).map(|(_, at)| at).collect()
    }

    /// Services that were looked at by two passes at once.
    pub(crate) fn overlaps(&self) -> Vec<String> {
        self.state().overlaps.clone()
    }

    pub(crate) fn running_most(&self) -> usize {
        self.state().running_most
    }

    /// The service does not exist until it is created, and is somebody else's from then on.
    pub(crate) fn is_absent(&self, name: &str) {
        self.state().absent.insert(name.to_owned(), Absent::default());
    }

    /// After each call, so many looks show how it was before.
    pub(crate) fn lags(self, looks: usize) -> Self {
        Self { lag: looks, ..self }
    }

    /// Every call waits for its turn, and takes a time once it is sent.
    pub(crate) fn calls_wait_and_take(self, wait: Duration, take: Duration) -> Self {
        Self { call: (wait, take), ..self }
    }

    /// All looks go one after another, in the order in which they began.
    pub(crate) fn looks_in_one_lane(self, each: Duration) -> Self {
        Self { lane: Some((each, tokio::sync::Mutex::default())), ..self }
    }

    /// `read name` and `operation name` of everything that was asked, in order.
    pub(crate) fn touches(&self) -> Vec<String> {
        self.state().touches.clone()
    }

    /// Services that carry our owner tag.
    pub(crate) fn own(&self, keys: impl IntoIterator<Item = ServiceKey>) {
        self.state().owned.extend(keys);
    }

    /// The clusters of all listings of our services.
    pub(crate) fn listed(&self) -> Vec<Vec<String>> {
        self.state().listed.clone()
    }

    /// `operation name` of all mutating calls, in order.
    pub(crate) fn calls(&self) -> Vec<String> {
        self.state().calls.clone()
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn shown(&self, key: &ServiceKey) -> Observed {
        let mut state = self.state();
        let Some(absent) = state.absent.get_mut(&key.name) else { return foreign(key) };
        absent.hidden_for = absent.hidden_for.saturating_sub(1);
        let shown = absent.hidden_for == 0;
        let definition = absent.definition.clone().filter(|_| shown || absent.created);
        if shown && absent.created {
            state.absent.remove(&key.name);
            return foreign(key);
        }
        Observed {
            task_definitions: Fact::Known(definition.into_iter().collect()),
            ..seen(Fact::Absent)
        }
    }

    fn begin(&self, name: &str) -> (Look, Running<'_>) {
        let mut state = self.state();
        if state.running.iter().any(|running| running == name) {
            state.overlaps.push(name.to_owned());
        }
        state.running.push(name.to_owned());
        state.running_most = state.running_most.max(state.running.len());
        state.looks.push((name.to_owned(), self.began.elapsed()));
        let look = state.scripts.get_mut(name).and_then(VecDeque::pop_front);
        let look = look.unwrap_or(Look::Takes(self.usual));
        (look, Running { cloud: self, name: name.to_owned() })
    }
}

/// Marks a look as over also when it panics or is cancelled.
struct Running<'a> {
    cloud: &'a ScriptedCloud,
    name: String,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let mut state = self.cloud.state();
        let position = state.running.iter().position(|running| *running == self.name);
        position.map(|position| state.running.swap_remove(position));
    }
}

impl Cloud for ScriptedCloud {
    async fn owned(&self, _: &str, clusters: &[String]) -> Result<Vec<OwnedService>, CloudError> {
        let mut state = self.state();
        state.listed.push(clusters.to_vec());
        let plain = |key: &ServiceKey| OwnedService::of(key.clone(), |_| false);
        Ok(state.owned.iter().map(plain).collect())
    }

    async fn observe(
        &self,
        key: &ServiceKey,
        questions: &Questions,
    ) -> Result<Observed, CloudError> {
        self.state().touches.push(format!("read {}", key.name));
        if let Some((each, lane)) = &self.lane {
            let _turn = lane.lock().await;
            tokio::time::sleep(*each).await;
        }
        if questions.depth == Depth::Deep {
            return Ok(Observed { depth: Depth::Deep, ..self.shown(key) });
        }
        let (look, _running) = self.begin(&key.name);
        match look {
            Look::Takes(time) => tokio::time::sleep(time).await,
            Look::Fails(error) => return Err(error),
            Look::Panics => panic!("the script says so"),
            Look::Hangs => std::future::pending().await,
        }
        Ok(self.shown(key))
    }

    async fn apply(&self, key: &ServiceKey, action: &Action) -> Result<Applied, CloudError> {
        let call = format!("{} {}", action.call.operation(), key.name);
        self.state().touches.push(call.clone());
        self.state().calls.push(call);
        if !self.call.1.is_zero() {
            tokio::time::sleep(self.call.1).await;
        }
        let mut state = self.state();
        let result = state.results.get_mut(&key.name).and_then(VecDeque::pop_front);
        let result = result.unwrap_or(Ok(Applied::Done));
        if result.is_ok() {
            state.carry_out(&key.name, &action.call, self.lag);
        }
        result
    }

    async fn apply_if(
        &self,
        key: &ServiceKey,
        action: &Action,
        is_permitted: &(dyn Fn() -> bool + Send + Sync),
    ) -> Option<Result<Applied, CloudError>> {
        if !self.call.0.is_zero() {
            tokio::time::sleep(self.call.0).await;
        }
        if is_permitted() { Some(self.apply(key, action).await) } else { None }
    }
}
