//! Plays steps in a course: manifests, the world, other people, faults and time; never looks into a
//! daemon.

mod code_deploy;
mod front;
mod manifests;
mod played;
mod rest;
mod route;
mod source;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use evenkeel_manifest::ServiceKey;
use evenkeel_planner::{ConditionKind, ConditionStatus, Status};
use evenkeel_reconciler::{DesiredState, LeaseSettings, LoopSettings};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;

use super::course::{Course, Shared, lock};
use super::edit::Edit;
use super::event::{Event, Replica};
use super::life::Life;
use super::people::People;
use super::storm::Storm;
use super::weather::LAG_MAX;
use super::{
    Forks, Keeps, OnceVisited, Perturbation, Property, Request, Visited, Way, Weather, Wish,
};
use crate::{Api, Behaviour, Fault, HookFunction, ServiceFacts, Simulation};

pub use code_deploy::GroupTerms;
pub use played::Played;
pub use route::Route;
use source::Reading;

/// One thing that happens on the stage.
#[derive(Clone, Debug)]
pub enum Step {
    /// A manifest is written, or written anew.
    Write(Wish),
    /// Many are, at once.
    WriteAll(Vec<Wish>),
    /// A manifest is deleted.
    Delete(String),
    /// The newest text of a manifest cannot be read.
    Garble(String),
    /// From now on not all manifests can be read, or all can again.
    Unreadable(bool),
    /// From now on tasks of an image do this.
    Image(String, Behaviour),
    /// A target group behind a listener, checked every five seconds, with its drain time in seconds.
    Group(String, u32),
    /// Two target groups, a rule that moves production traffic between them, and one for test traffic.
    Front(String, u32),
    /// The same with listeners of a Network Load Balancer.
    NetworkFront(String),
    /// A person registers an address in a target group, or takes it out.
    Target {
        address: String,
        group: String,
        is_in: bool,
    },
    /// CodeDeploy gets an application and a deployment group for a service behind a front.
    DeploymentGroup(String, String, GroupTerms),
    /// From now on a function that hooks of CodeDeploy's deployments call does this.
    Hook(String, HookFunction),
    /// The rules of a front are changed by hand.
    Route(String, Route),
    /// From now on so many requests a second come to the production listener of a group or front.
    Traffic(String, u32),
    /// An alarm comes into a state (`OK`, `ALARM`); `None` deletes it.
    Alarm(String, Option<&'static str>),
    Edit(String, Edit),
    /// A person gives the daemons a command about a service, and insists on an answer.
    Ask(String, Request),
    /// The next call of an operation meets this.
    Fail(String, Way),
    /// So do as many of them.
    FailOften(String, Way, u32),
    /// Every call about a service fails from now on.
    FailService(String),
    /// Reads of an operation lag from now on; zero ends it.
    Lag(String, Duration),
    Storm(Box<Storm>),
    /// All calls go well from now on, and what was lost of the region is back.
    Calm,
    LoseCapacity(Duration),
    LoseZone(char, Duration),
    Kill(Replica),
    /// A daemon is down until it is raised.
    Down(Replica),
    Raise(Replica),
    Freeze(Replica, Duration),
    /// A daemon cannot reach the lease table.
    CutOff(Replica, Duration),
    /// Somebody empties the lease table.
    WipeTable,
    Advance(Duration),
}

/// What is noted of a course for a sweep over it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Notes {
    #[default]
    Nothing,
    /// Each read, with the earlier states that would have answered otherwise.
    Reads,
    /// Each moment at which the first daemon may be killed.
    Moments,
}

/// What one course is made of besides its steps.
pub struct Setup {
    pub seed: u64,
    pub replicas: usize,
    pub perturbation: Perturbation,
    pub properties: Vec<Box<dyn Property + Send>>,
    pub keeps: Keeps,
    pub notes: Notes,
    /// Whether earlier states are kept, so that reads can be stale.
    pub keeps_history: bool,
    /// Where it is split into several courses.
    pub forks: Option<Forks>,
    /// Where fine courses stood, where this one is compared with them.
    pub visited: Option<(Arc<Visited>, OnceVisited)>,
    pub settings: LoopSettings,
    /// How fast the clock of each daemon runs, 1 where none is given; two may differ by a factor of 2.
    pub clock_rates: Vec<f64>,
}

impl std::fmt::Debug for Setup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Setup").field("seed", &self.seed).finish_non_exhaustive()
    }
}

impl Setup {
    pub fn new(seed: u64) -> Self {
        let settings = LoopSettings { seed: Some(seed), ..LoopSettings::default() };
        Self {
            seed,
            replicas: 1,
            perturbation: Perturbation::Nothing,
            properties: super::property::all_for(&settings),
            keeps: Keeps::Count,
            notes: Notes::Nothing,
            keeps_history: false,
            forks: None,
            visited: None,
            clock_rates: Vec::new(),
            settings,
        }
    }
}

/// The stage and its daemons.
#[derive(Debug)]
pub struct Stage {
    course: Shared,
    /// The newest words of each manifest.
    wishes: BTreeMap<String, Wish>,
    /// To each daemon by a channel of its own: whom one wakes first is left to chance.
    desired: Vec<watch::Sender<Arc<DesiredState>>>,
    groups: BTreeMap<String, String>,
    replicas: usize,
    people: People,
    reading: Reading,
    /// How many edits of manifests there were: each is a commit.
    commits: u64,
}

impl Stage {
    /// Plays in virtual time, on this thread alone, and hands the stage to `script`, which may look at
    /// it between steps. Ends early when a property is broken.
    pub fn play<T>(setup: Setup, script: impl AsyncFnOnce(&mut Self) -> T) -> (Played, Option<T>) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime without I/O needs nothing of the system");
        let (played, result) = runtime.block_on(async {
            let (mut stage, lives) = Self::open(setup);
            let over = lock(&stage.course).over();
            let mut everyone = Box::pin(async {
                let mut all = tokio::task::JoinSet::new();
                for life in lives {
                    all.spawn(life.live());
                }
                while all.join_next().await.is_some() {}
            });
            let result = tokio::select! {
                biased;
                () = over.notified() => None,
                () = &mut everyone => None,
                result = script(&mut stage) => Some(result),
            };
            let played = stage.close();
            leave_if(played.is_split_off(), everyone);
            (played, result)
        });
        leave_if(played.is_split_off(), runtime);
        (played, result)
    }

    fn open(setup: Setup) -> (Self, Vec<Life>) {
        let Setup {
            seed,
            replicas,
            perturbation,
            properties,
            keeps,
            notes,
            keeps_history,
            forks,
            visited,
            settings,
            clock_rates,
        } = setup;
        let perturbation = forks.as_ref().map_or(perturbation, Forks::before);
        let simulation = Simulation::new(seed);
        let input = json!({"clusterName": "main"});
        simulation.ecs("CreateCluster", &input).expect("a new region takes a cluster");
        if keeps_history
            || notes == Notes::Reads
            || matches!(perturbation, Perturbation::Stale { .. })
        {
            simulation.region().keep_history(LAG_MAX);
        }
        let (reading, commits) = (Reading::of(&perturbation), 0);
        let weather = Weather::new(perturbation);
        let mut course = Course::new(simulation, weather, properties, keeps);
        course.reads = (notes == Notes::Reads).then(Vec::new);
        course.moments = (notes == Notes::Moments).then(Vec::new);
        course.forks = forks;
        if let Some((visited, once_visited)) = visited {
            course.compares_with(visited, once_visited);
        }
        let course: Shared = Arc::new(std::sync::Mutex::new(course));
        let desired: Vec<_> = (0..replicas).map(|_| watch::Sender::new(Arc::default())).collect();
        let lives = desired.iter().enumerate().map(|(number, desired)| Life {
            course: Arc::clone(&course),
            replica: Replica(number),
            desired: desired.clone(),
            settings: settings.clone(),
            lease: (replicas > 1).then(|| lease_of(number, &clock_rates, seed)),
        });
        let lives = lives.collect();
        for number in 0..replicas {
            lock(&course).seats.entry(Replica(number)).or_default();
        }
        let people = People::new(Arc::clone(&course), replicas);
        let (wishes, groups) = (BTreeMap::new(), BTreeMap::new());
        (Self { course, wishes, desired, groups, replicas, people, reading, commits }, lives)
    }

    fn close(self) -> Played {
        let mut course = lock(&self.course);
        course.sync();
        let changes = std::mem::take(&mut course.changes);
        Played {
            violation: course.violation.take(),
            trace: course.trace.clone(),
            calls: course.calls,
            calls_in_script: course.in_script.map_or(course.calls, |script| script.calls),
            wakes_in_script: course.in_script.map_or(0, |script| script.wakes),
            write_numbers: std::mem::take(&mut course.write_numbers),
            look_numbers: std::mem::take(&mut course.look_numbers),
            writes: course.writes,
            rollouts: course.rollouts,
            faults: course.weather.faults(),
            wakes: course.seats.values().map(|seat| seat.wakes).sum(),
            took: course.elapsed(),
            took_script: course.in_script.map_or(course.elapsed(), |script| script.took),
            reads: course.reads.take().unwrap_or_default(),
            moments: course.moments.take().unwrap_or_default(),
            talks: std::mem::take(&mut course.talks),
            waits: waits(&course),
            joined: course.has_joined(),
            trail: course.take_trail(),
            forks: course.forks.take(),
            changes,
        }
    }

    /// The words of a manifest as last written.
    pub fn wish(&self, name: &str) -> Option<&Wish> {
        self.wishes.get(name)
    }

    pub fn wishes(&self) -> impl Iterator<Item = &Wish> {
        self.wishes.values()
    }

    /// Sees the course, up to now.
    pub fn look<T>(&self, look: impl FnOnce(&mut Course) -> T) -> T {
        let mut course = lock(&self.course);
        course.sync();
        look(&mut course)
    }

    pub fn facts(&self, name: &str) -> Option<ServiceFacts> {
        let cluster = self.wish(name).map_or("main", Wish::cluster).to_owned();
        self.look(|course| course.simulation.region().facts(&cluster, name))
    }

    /// What the first daemon says of a service.
    pub fn status(&self, name: &str) -> Option<Arc<Status>> {
        let cluster = self.wish(name).map_or("main", Wish::cluster);
        let key = ServiceKey::new(cluster, name);
        self.look(|course| course.seats.get(&Replica(0))?.board.get(&key))
    }

    /// The last answer to a command about a service: in a word, and whole.
    pub fn heard(&self, name: &str) -> Option<(&'static str, String)> {
        let cluster = self.wish(name).map_or("main", Wish::cluster);
        self.look(|course| course.heard.get(&ServiceKey::new(cluster, name)).cloned())
    }

    /// # Errors
    ///
    /// What the step needed and did not find, in words for whoever wrote it.
    pub async fn perform(&mut self, step: &Step) -> Result<(), String> {
        match step {
            Step::Advance(duration) => {
                self.pass_time(*duration).await;
                lock(&self.course).sync();
            }
            Step::Write(wish) => self.write(wish)?,
            Step::WriteAll(wishes) => self.write_all(wishes)?,
            Step::Delete(name) => self.delete(name)?,
            Step::Garble(name) => self.garble(name)?,
            Step::Unreadable(is) => self.unreadable(*is),
            Step::Group(name, drains) => self.make_group(name, *drains)?,
            Step::Front(name, drains) => self.make_front(name, *drains)?,
            Step::NetworkFront(name) => self.make_network_front(name)?,
            Step::Target { address, group, is_in } => self.register(address, group, *is_in)?,
            Step::DeploymentGroup(name, front, terms) => {
                self.make_deployment_group(name, front, terms)?;
            }
            Step::Route(name, route) => self.route(name, *route)?,
            Step::Traffic(name, per_second) => self.send_traffic(name, *per_second)?,
            Step::Edit(..) => self.edit(step).await?,
            Step::Ask(name, request) => {
                let cluster = self.wish(name).map_or("main", Wish::cluster);
                self.people.ask(&ServiceKey::new(cluster, &**name), request);
            }
            other => self.act(other)?,
        }
        Ok(())
    }

    /// In a course that is perturbed, what somebody wants to edit may not be there yet: they try again.
    async fn edit(&mut self, step: &Step) -> Result<(), String> {
        let is_perturbed =
            !self.look(|course| matches!(course.weather.perturbation, Perturbation::Nothing));
        let mut edited = self.act(step);
        for _ in 0..TRIES_OF_PEOPLE {
            if edited.is_ok() || !is_perturbed {
                break;
            }
            self.pass_time(Duration::from_mins(1)).await;
            edited = self.act(step);
        }
        // What never came is nothing to edit; whether the course ends well is for others to say.
        if is_perturbed { Ok(()) } else { edited }
    }

    /// The steps that need no manifest and no time.
    fn act(&self, step: &Step) -> Result<(), String> {
        let mut course = lock(&self.course);
        course.sync();
        match step {
            Step::Image(image, behaviour) => {
                course.simulation.world.script(image, behaviour.clone());
            }
            Step::Hook(function, does) => course.simulation.region().script_hook(function, *does),
            Step::Alarm(name, state) => set_alarm(&mut course, name, *state)?,
            Step::Edit(name, edit) => {
                let cluster = self.wish(name).map_or("main", Wish::cluster);
                edit.make(&mut course, cluster, name).map_err(|error| error.to_string())?;
            }
            Step::Fail(operation, way) => fail(&mut course, operation, way, 1),
            Step::FailOften(operation, way, times) => fail(&mut course, operation, way, *times),
            Step::FailService(name) => {
                let cluster = self.wish(name).map_or("main", Wish::cluster);
                course.weather.poison(ServiceKey::new(cluster, &**name));
            }
            Step::Lag(operation, lag) => {
                course.tell(&Event::Calm(false));
                course.simulation.region().keep_history(LAG_MAX);
                course.weather.lag(operation, *lag);
            }
            Step::Storm(storm) => {
                course.tell(&Event::Calm(false));
                course.weather.set_storm(Some((**storm).clone()));
            }
            Step::Calm => calm(&mut course),
            Step::LoseCapacity(duration) => {
                let until = course.now() + *duration;
                course.simulation.region().inject(Fault::CapacityLoss { until });
            }
            Step::LoseZone(letter, duration) => {
                let until = course.now() + *duration;
                let zone = format!("us-east-1{letter}");
                course.simulation.region().inject(Fault::ZoneLoss { zone, until });
            }
            Step::Kill(replica) => kill(&course, *replica),
            Step::Down(replica) => {
                if let Some(seat) = course.seats.get_mut(replica) {
                    seat.stays_down = true;
                }
                kill(&course, *replica);
            }
            Step::Raise(replica) => raise(&mut course, *replica),
            Step::Freeze(replica, duration) => freeze(&mut course, *replica, *duration),
            Step::CutOff(replica, duration) => {
                course.table.cut_off(*replica, Instant::now() + *duration);
            }
            Step::WipeTable => course.table.wipe(),
            Step::Advance(_)
            | Step::Ask(..)
            | Step::Write(_)
            | Step::WriteAll(_)
            | Step::Delete(_)
            | Step::Garble(_)
            | Step::Unreadable(_)
            | Step::DeploymentGroup(..)
            | Step::Group(..)
            | Step::Front(..)
            | Step::NetworkFront(_)
            | Step::Target { .. }
            | Step::Route(..)
            | Step::Traffic(..) => {}
        }
        Ok(())
    }
}

/// A process that was split off ends soon: what it shares with another one would be copied only to be freed.
fn leave_if<T>(is_split_off: bool, it: T) {
    if is_split_off {
        std::mem::forget(it);
    }
}

fn waits(course: &Course) -> Vec<String> {
    let of_daemon = |(replica, seat): (&Replica, &super::course::Seat)| {
        let by = replica.0;
        let all = seat.board.all().into_iter();
        all.flat_map(move |status| {
            let key = status.key.clone();
            let said = move |sentence| format!("daemon {by} waits, {key}: {sentence}");
            sentences(&status).into_iter().map(said)
        })
    };
    course.seats.iter().flat_map(of_daemon).collect()
}

/// What a service waits for; where nothing is waited for, why it is not as it should be.
fn sentences(status: &Status) -> Vec<String> {
    let waits: Vec<_> = status.waiting.iter().map(|wait| wait.sentence.clone()).collect();
    let ready = status.condition(ConditionKind::Ready);
    let unready = ready.filter(|one| waits.is_empty() && one.status != ConditionStatus::True);
    waits.into_iter().chain(unready.map(|one| format!("{}: {}", one.reason, one.message))).collect()
}

/// A daemon whose clock runs at another rate waits longer or shorter than it means to.
fn lease_of(number: usize, clock_rates: &[f64], seed: u64) -> LeaseSettings {
    let rate = clock_rates.get(number).copied().unwrap_or(1.0);
    let usual = LeaseSettings::default();
    // Whole milliseconds: rounding must not make a time to live too short for the times within it.
    let true_time = |meant: Duration| {
        Duration::from_millis(u64::try_from(meant.div_f64(rate).as_millis()).unwrap_or(u64::MAX))
    };
    LeaseSettings {
        replica: format!("daemon-{number}"),
        ttl: true_time(usual.ttl) + Duration::from_millis(4),
        renew_every: true_time(usual.renew_every),
        request_deadline: true_time(usual.request_deadline),
        write_deadline: true_time(usual.write_deadline),
        margin: true_time(usual.margin),
        settle_time: true_time(usual.settle_time),
        seed: Some(seed.wrapping_mul(31).wrapping_add(u64::try_from(number).unwrap_or(0) * 1_000)),
        clock_skew_max: usual.clock_skew_max,
    }
}

fn freeze(course: &mut Course, replica: Replica, duration: Duration) {
    let now = Instant::now();
    let Some(seat) = course.seats.get_mut(&replica) else { return };
    // One that is frozen already thaws no earlier for it.
    let until = seat.frozen_until.map_or(now + duration, |until| until.max(now + duration));
    seat.frozen_until = Some(until);
    let until = course.now() + until.duration_since(now);
    course.tell(&Event::Frozen { by: replica, until });
}

/// How often somebody tries again what cannot be edited yet, once a minute: for longer than reads lag.
const TRIES_OF_PEOPLE: u32 = 10;

fn raise(course: &mut Course, replica: Replica) {
    if let Some(seat) = course.seats.get_mut(&replica) {
        seat.stays_down = false;
        seat.raised.notify_one();
    }
}

fn kill(course: &Course, replica: Replica) {
    if let Some(seat) = course.seats.get(&replica) {
        seat.killed.notify_one();
    }
}

fn fail(course: &mut Course, operation: &str, way: &Way, times: u32) {
    course.tell(&Event::Calm(false));
    for _ in 0..times {
        course.weather.script(operation, way.clone());
    }
}

fn calm(course: &mut Course) {
    course.weather.clear();
    course.table.clear_faults();
    if matches!(course.weather.perturbation, Perturbation::Nothing) {
        // From now on nothing is answered from the past.
        course.simulation.region().keep_history(Duration::ZERO);
    }
    let now = course.now();
    course.simulation.region().inject(Fault::CapacityLoss { until: now });
    for seat in course.seats.values_mut() {
        seat.stays_down = false;
        seat.raised.notify_one();
    }
    course.tell(&Event::Calm(true));
}

fn set_alarm(course: &mut Course, name: &str, state: Option<&str>) -> Result<(), String> {
    let mut call = |operation: &str, input: Value| {
        let reply = course.edit("alarm", Api::CloudWatch, operation, &input);
        reply.map(drop).map_err(|error| error.to_string())
    };
    let Some(state) = state else {
        return call("DeleteAlarms", json!({"AlarmNames": [name]}));
    };
    let set = json!({"AlarmName": name, "StateValue": state, "StateReason": "set on the stage"});
    if call("SetAlarmState", set.clone()).is_ok() {
        return Ok(());
    }
    call(
        "PutMetricAlarm",
        json!({
            "AlarmName": name, "MetricName": "Errors", "Namespace": "Stage", "Period": 60,
            "EvaluationPeriods": 1, "Threshold": 1.0, "Statistic": "Sum",
            "ComparisonOperator": "GreaterThanThreshold", "TreatMissingData": "ignore",
        }),
    )?;
    call("SetAlarmState", set)
}
