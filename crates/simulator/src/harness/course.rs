//! One course: region, world, time, the calls of daemons, and the properties that watch; never
//! decides what happens next.

mod compared;
mod refused;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use evenkeel_manifest::ServiceKey;
use evenkeel_planner::Action;
use evenkeel_reconciler::{CloudError, LoopHandle, StatusBoard};
use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::event::{Event, Replica, Sent};
use super::forks::Place;
use super::moment::Left;
use super::table::Table;
use super::weather::{Fate, GIVES_UP_AFTER, Weather};
use super::{CrashPoint, Forks, Keeps, Moment, Phase, Property, Talk, Trace, Violation, Way};
use crate::cloud::classify;
use crate::{Api, ApiError, Simulation};
use compared::Comparison;

/// Shared by everything that runs in one course; always on one thread.
pub struct Course {
    pub simulation: Simulation,
    pub weather: Weather,
    pub trace: Trace,
    /// The first property that was broken.
    pub violation: Option<Violation>,
    /// Calls of daemons so far.
    pub calls: u64,
    pub writes: u64,
    /// Deployments that daemons started or stopped.
    pub rollouts: u64,
    /// The numbers of the calls that change something.
    pub write_numbers: Vec<u64>,
    /// The numbers of the calls that begin a look.
    pub look_numbers: Vec<(u64, Timestamp)>,
    /// The instants at which something changed in the region, while reads are noted.
    pub changes: Vec<Timestamp>,
    /// Reads of the unperturbed course, for sweeps over them.
    pub reads: Option<Vec<Read>>,
    /// Where the first daemon may be killed, while that is noted.
    pub moments: Option<Vec<Moment>>,
    pub talks: Vec<Talk>,
    /// Writes that reached the region.
    arrived: u64,
    /// Calls whose answer the first daemon waits for, in this life.
    open: u64,
    /// Calls when it was last woken.
    calls_at_waking: u64,
    /// Whether it did nothing but wait when it last could be killed.
    pub(crate) idle: bool,
    properties: Vec<Box<dyn Property + Send>>,
    began: Instant,
    start: Timestamp,
    pub(crate) seats: BTreeMap<Replica, Seat>,
    pub(crate) table: Table,
    coin: fastrand::Rng,
    late: Vec<(Timestamp, Sent)>,
    /// The pass that each daemon is in, and how many there were in all.
    passes: BTreeMap<(Replica, ServiceKey), u64>,
    passes_begun: u64,
    /// What daemons did, in words, since last taken; only while wanted.
    acts: Option<Vec<String>>,
    calls_counted: u64,
    /// Known once the script has ended.
    pub(crate) in_script: Option<InScript>,
    writes_counted: u64,
    /// The last answer to a command about each service: in a word, and whole.
    pub(crate) heard: BTreeMap<ServiceKey, (&'static str, String)>,
    /// The source of the manifests is empty for a while, as a sweep has it.
    pub(crate) is_sourceless: bool,
    /// What was written to which service, while wanted.
    written: Option<Vec<(String, String)>>,
    last_caller: Option<Replica>,
    pub(crate) forks: Option<Forks>,
    comparison: Option<Comparison>,
    over: Arc<Notify>,
}

/// Where a daemon sits, alive or not.
#[derive(Debug, Default)]
pub(crate) struct Seat {
    pub(crate) killed: Arc<Notify>,
    /// It is not started again until this is false.
    pub(crate) stays_down: bool,
    pub(crate) raised: Arc<Notify>,
    pub(crate) frozen_until: Option<Instant>,
    pub(crate) board: Arc<StatusBoard>,
    /// Where people's commands go, while it lives.
    pub(crate) handle: Option<LoopHandle>,
    pub(crate) wakes: u64,
    pub(crate) lives: u64,
}

/// A read as it was sent, and which earlier states would have answered it otherwise.
#[derive(Clone, Debug)]
pub struct Read {
    pub number: u64,
    pub at: Timestamp,
    /// One instant for each different answer.
    pub earlier: Vec<Timestamp>,
}

/// How far things were when the script ended and calm began.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InScript {
    pub(crate) calls: u64,
    /// Of the first daemon.
    pub(crate) wakes: u64,
    pub(crate) took: Duration,
}

/// A call on its way.
#[derive(Debug)]
pub(crate) struct Trip {
    pub(crate) call: Sent,
    pub(crate) fate: Fate,
}

pub(crate) type Shared = Arc<Mutex<Course>>;

pub(crate) fn lock(course: &Shared) -> MutexGuard<'_, Course> {
    // One thread; a panic elsewhere ends the course anyway.
    course.lock().unwrap_or_else(PoisonError::into_inner)
}

impl std::fmt::Debug for Course {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Course").field("calls", &self.calls).finish_non_exhaustive()
    }
}

impl Course {
    /// Must be made in a runtime whose time is paused: its clock becomes the region's.
    pub(crate) fn new(
        simulation: Simulation,
        weather: Weather,
        properties: Vec<Box<dyn Property + Send>>,
        keeps: Keeps,
    ) -> Self {
        let start = simulation.now();
        Self {
            trace: Trace::new(start, keeps),
            simulation,
            weather,
            violation: None,
            calls: 0,
            writes: 0,
            rollouts: 0,
            write_numbers: Vec::new(),
            look_numbers: Vec::new(),
            changes: Vec::new(),
            reads: None,
            moments: None,
            talks: Vec::new(),
            arrived: 0,
            open: 0,
            calls_at_waking: 0,
            idle: false,
            properties,
            began: Instant::now(),
            start,
            seats: BTreeMap::new(),
            table: Table::default(),
            coin: fastrand::Rng::with_seed(7),
            late: Vec::new(),
            passes: BTreeMap::new(),
            passes_begun: 0,
            acts: None,
            calls_counted: 0,
            in_script: None,
            writes_counted: 0,
            heard: BTreeMap::new(),
            is_sourceless: false,
            written: None,
            last_caller: None,
            forks: None,
            comparison: None,
            over: Arc::default(),
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.start + self.began.elapsed()
    }

    /// Since the course began.
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    pub(crate) fn flips_a_coin(&mut self) -> bool {
        self.coin.bool()
    }

    /// Told when the course is to end early.
    pub(crate) fn over(&self) -> Arc<Notify> {
        Arc::clone(&self.over)
    }

    /// Lets the region catch up with the clock, telling of everything on the way.
    pub(crate) fn sync(&mut self) {
        let until = self.now();
        loop {
            let next_late = self.late.iter().map(|(at, _)| *at).min().filter(|at| *at <= until);
            let happened = self.simulation.step(next_late.unwrap_or(until));
            self.tell_changes();
            match next_late {
                Some(at) if !happened => self.carry_out_late(at),
                _ if !happened => break,
                _ => {}
            }
        }
    }

    fn carry_out_late(&mut self, at: Timestamp) {
        let (due, rest) =
            std::mem::take(&mut self.late).into_iter().partition(|(due, _)| *due <= at);
        self.late = rest;
        let due: Vec<(Timestamp, Sent)> = due;
        for (_, call) in due {
            drop(self.carry_out(&call));
        }
    }

    fn tell_changes(&mut self) {
        let changes = self.simulation.region().take_changes();
        if self.reads.is_some() && !changes.is_empty() {
            self.changes.push(self.simulation.now());
        }
        for facts in &changes {
            self.tell(&Event::Changed(facts));
        }
    }

    /// From now on what daemons do is kept in words.
    pub fn tells_acts(&mut self, wanted: bool) {
        self.acts = wanted.then(Vec::new);
    }

    pub fn take_acts(&mut self) -> Vec<String> {
        self.acts.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// From now on writes are kept, by the name of the service that they are about.
    pub fn keeps_writes(&mut self, wanted: bool) {
        self.written = wanted.then(Vec::new);
    }

    pub fn take_writes(&mut self) -> Vec<(String, String)> {
        self.written.take().unwrap_or_default()
    }

    /// The daemon that made the last call.
    pub fn last_caller(&self) -> Option<Replica> {
        self.last_caller
    }

    /// Calls that change something, since last asked.
    pub fn writes_since(&mut self) -> u64 {
        let since = self.writes - self.writes_counted;
        self.writes_counted = self.writes;
        since
    }

    /// All calls, since last asked.
    pub fn calls_since(&mut self) -> u64 {
        let since = self.calls - self.calls_counted;
        self.calls_counted = self.calls;
        since
    }

    /// The image that a task definition runs.
    pub fn image(&self, definition: &str) -> Option<String> {
        let input = serde_json::json!({"taskDefinition": definition});
        let reply = self.simulation.ecs("DescribeTaskDefinition", &input).ok()?;
        let image = reply.pointer("/taskDefinition/containerDefinitions/0/image")?;
        image.as_str().map(str::to_owned)
    }

    /// How many revisions of a family there are.
    pub fn revisions(&self, family: &str) -> usize {
        let input = serde_json::json!({"familyPrefix": family});
        let reply = self.simulation.ecs("ListTaskDefinitions", &input).unwrap_or_default();
        crate::region::list(&reply, "taskDefinitionArns").len()
    }

    pub(crate) fn tell(&mut self, event: &Event<'_>) {
        let at = self.simulation.now();
        self.trace.add(at, event);
        self.compare(event);
        if let Some(acts) = &mut self.acts {
            let since = Duration::try_from(at.duration_since(self.start)).unwrap_or_default();
            acts.extend(super::trace::act(since, event));
        }
        if self.violation.is_some() {
            return;
        }
        for property in &mut self.properties {
            if let Err(what) = property.check(at, event) {
                self.violation = Some(Violation { property: property.name(), at, what });
                self.over.notify_one();
                return;
            }
        }
    }

    pub(crate) fn begin_pass(&mut self, by: Replica, about: &ServiceKey) {
        self.compare_pass(by, about);
        self.tell_refused(by, about);
        self.passes_begun += 1;
        self.passes.insert((by, about.clone()), self.passes_begun);
    }

    fn pass(&self, by: Replica, about: Option<&ServiceKey>) -> u64 {
        let pass = about.and_then(|about| self.passes.get(&(by, about.clone())));
        pass.copied().unwrap_or(0)
    }

    /// `None` when its daemon dies before it is sent.
    pub(crate) fn send(
        &mut self,
        by: Replica,
        about: Option<&ServiceKey>,
        action: Option<&Action>,
        (api, operation): (Api, &str),
        input: &Value,
    ) -> Option<Trip> {
        self.sync();
        let call = Sent {
            by,
            number: self.calls,
            about: about.cloned(),
            pass: self.pass(by, about),
            api,
            operation: operation.to_owned(),
            input: input.clone(),
            action: action.map(|action| (action.lane, action.why.clone())),
        };
        self.calls += 1;
        self.open += 1;
        self.idle = false;
        self.split(Place::Call(call.number));
        let fate = self.weather.fate(&call, self.now());
        if fate.dies == Some(Phase::BeforeSend) {
            return None;
        }
        self.last_caller = Some(by);
        if call.is_write() {
            self.note_written(&call);
            self.writes += 1;
            self.write_numbers.push(call.number);
        } else if call.operation == "DescribeServices" {
            self.look_numbers.push((call.number, self.simulation.now()));
        }
        self.note_read(&call);
        self.tell(&Event::Sent(&call));
        Some(Trip { call, fate })
    }

    fn note_written(&mut self, call: &Sent) {
        if let (Some(written), Some(key)) = (&mut self.written, &call.about) {
            written.push((key.name.clone(), format!("{} {}", call.operation, call.input)));
        }
    }

    /// The call reaches the region. `None` when nothing comes back.
    pub(crate) fn arrive(&mut self, trip: &Trip) -> Option<Result<Arc<Value>, ApiError>> {
        self.sync();
        let call = &trip.call;
        if call.is_write() {
            self.arrived += 1;
        } else {
            self.note_moment(CrashPoint::Call(call.number, Phase::SentNoAnswer));
        }
        match &trip.fate.way {
            Way::Carried | Way::Slow(_) | Way::Hangs => Some(self.carry_out(call)),
            Way::Refused(error) => Some(Err(error.clone())),
            Way::RequestLost => None,
            Way::AnswerLost => {
                drop(self.carry_out(call));
                None
            }
            Way::CarriedLate(after) => {
                let due = self.now() + *after;
                self.late.push((due, call.clone()));
                None
            }
            Way::AsOf(then) => {
                let mut region = self.simulation.region();
                let answer = region.answer_as_of(*then, call.api, &call.operation, &call.input);
                drop(region);
                Some(answer.map_or_else(|| self.carry_out(call), |answer| answer.map(Arc::new)))
            }
            Way::Partial => Some(
                self.carry_out(call).map(|reply| Arc::new(partial(Arc::unwrap_or_clone(reply)))),
            ),
        }
    }

    fn carry_out(&mut self, call: &Sent) -> Result<Arc<Value>, ApiError> {
        let reply = self.simulation.call_shared(call.api, &call.operation, &call.input);
        if call.is_write() {
            self.rollouts += u64::from(reply.is_ok() && starts_or_stops(call));
            self.tell(&Event::CarriedOut { call, reply: reply.as_deref() });
        }
        self.tell_changes();
        reply
    }

    /// The caller hears of it, or gives up.
    pub(crate) fn answer(
        &mut self,
        trip: &Trip,
        reply: Option<Result<Arc<Value>, ApiError>>,
    ) -> Result<Arc<Value>, CloudError> {
        self.sync();
        self.open = self.open.saturating_sub(1);
        let call = &trip.call;
        let answer = match reply {
            Some(reply) => reply.map_err(|error| classify(&call.operation, error)),
            None => Err(given_up(call)),
        };
        let is_stale = matches!(trip.fate.way, Way::AsOf(_));
        self.tell(&Event::Answered { call, answer: answer.as_deref(), is_stale });
        answer
    }

    /// Here the first daemon can be killed.
    pub(crate) fn note_moment(&mut self, point: CrashPoint) {
        let at = self.elapsed();
        self.idle = matches!(point, CrashPoint::Wake(_))
            && self.open == 0
            && self.calls == self.calls_at_waking;
        if let CrashPoint::Wake(_) = point {
            self.calls_at_waking = self.calls;
        }
        let idle = self.idle;
        let left = Left { sent: self.writes, arrived: self.arrived, faults: self.weather.faults() };
        let alone = self.seats.len() == 1 && !self.weather.is_stormy();
        if let Some(moments) = &mut self.moments {
            moments.push(Moment { point, at, left, idle, alone });
        }
    }

    /// A daemon starts, and waits for no answer of the one before.
    pub(crate) fn forget_open_calls(&mut self) {
        self.open = 0;
    }

    /// Somebody begins to talk; the number of it.
    pub(crate) fn begin_talk(&mut self) -> usize {
        self.talks.push(Talk { from: self.elapsed(), until: None });
        self.talks.len() - 1
    }

    pub(crate) fn end_talk(&mut self, number: usize) {
        let now = self.elapsed();
        if let Some(talk) = self.talks.get_mut(number) {
            talk.until = Some(now);
        }
    }

    /// A call of somebody else.
    pub fn edit(
        &mut self,
        by: &'static str,
        api: Api,
        operation: &str,
        input: &Value,
    ) -> Result<Value, ApiError> {
        self.sync();
        self.tell(&Event::Edited { by, operation, input });
        let reply = self.simulation.call(api, operation, input);
        self.tell_changes();
        reply
    }

    /// Which earlier states would have answered otherwise, one of each different answer.
    fn note_read(&mut self, call: &Sent) {
        let Some(reads) = self.reads.as_mut().filter(|_| !call.is_write()) else { return };
        let at = self.simulation.now();
        let mut region = self.simulation.region();
        let mut answers = Vec::new();
        let mut earlier = Vec::new();
        for then in region.kept_states().into_iter().rev() {
            let answer = region.answer_as_of(then, call.api, &call.operation, &call.input);
            let Some(answer) = answer.map(as_text) else { continue };
            if !answers.contains(&answer) {
                // The newest one is the truth.
                if !answers.is_empty() {
                    earlier.push(then);
                }
                answers.push(answer);
            }
        }
        reads.push(Read { number: call.number, at, earlier });
    }
}

/// An answer that lacks the last half of what it lists, and says so.
fn partial(mut reply: Value) -> Value {
    let Some(members) = reply.as_object_mut() else { return reply };
    if !members.contains_key("failures") {
        return reply;
    }
    let mut failures = Vec::new();
    for name in ["services", "tasks", "serviceDeployments", "serviceRevisions"] {
        let Some(Value::Array(list)) = members.get_mut(name) else { continue };
        for lost in list.split_off(list.len() / 2) {
            let arn = ["serviceArn", "taskArn", "serviceDeploymentArn", "serviceRevisionArn"]
                .into_iter()
                .find_map(|member| lost.get(member).cloned());
            failures.push(serde_json::json!({"arn": arn, "reason": "INTERNAL"}));
        }
    }
    members.insert("failures".to_owned(), Value::Array(failures));
    reply
}

/// An answer as text, to compare with another.
fn as_text(answer: Result<Value, ApiError>) -> String {
    match answer {
        Ok(reply) => reply.to_string(),
        Err(error) => error.to_string(),
    }
}

fn starts_or_stops(call: &Sent) -> bool {
    match call.operation.as_str() {
        "CreateService" | "StopServiceDeployment" => true,
        "UpdateService" => ["taskDefinition", "networkConfiguration", "forceNewDeployment"]
            .iter()
            .any(|member| call.input.get(member).is_some()),
        _ => false,
    }
}

fn given_up(call: &Sent) -> CloudError {
    let operation = call.operation.clone();
    let message = format!("no answer within {} s", GIVES_UP_AFTER.as_secs());
    if call.is_write() {
        CloudError::UnknownOutcome { operation, message }
    } else {
        CloudError::Transient { operation, message }
    }
}
