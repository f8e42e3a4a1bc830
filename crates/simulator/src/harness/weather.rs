//! What becomes of each call between a daemon and the region; never decides by the content of a reply.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use evenkeel_manifest::ServiceKey;
use jiff::Timestamp;

use super::event::{Replica, Sent};
use super::{CrashPoint, Perturbation, Phase};
use crate::ApiError;

/// A call's way there and back.
#[derive(Clone, Debug)]
pub struct Fate {
    pub request: Duration,
    pub response: Duration,
    pub way: Way,
    /// The daemon that made it dies then.
    pub dies: Option<Phase>,
}

#[derive(Clone, Debug)]
pub enum Way {
    Carried,
    /// Refused with this error; nothing was done.
    Refused(ApiError),
    /// It never arrives; the caller gives up.
    RequestLost,
    /// It is carried out, and the caller never hears of it.
    AnswerLost,
    /// The caller gives up long before it is carried out.
    CarriedLate(Duration),
    /// It is carried out at once, and its answer takes so long; shorter than the caller's patience.
    Slow(Duration),
    /// It is carried out, its answer never comes, and the caller does not give up.
    Hangs,
    /// A read answered from the state that the region had then.
    AsOf(Timestamp),
    /// A read whose answer lacks part of what was asked for, and says so in `failures`.
    Partial,
}

/// The longest that a read lags behind (reliability.md, B.2).
pub(crate) const LAG_MAX: Duration = Duration::from_mins(5);
/// After which a caller gives up; as in the AWS edge.
pub(crate) const GIVES_UP_AFTER: Duration = Duration::from_secs(20);
/// For how long a source of manifests fails.
pub(super) const FAILS_FOR: Duration = Duration::from_mins(5);
const FINE: Duration = Duration::from_millis(30);

/// Decides the fate of calls.
#[derive(Debug, Default)]
pub struct Weather {
    pub perturbation: Perturbation,
    /// What the next calls of an operation meet.
    scripted: BTreeMap<String, VecDeque<Way>>,
    /// How far reads of an operation lag.
    lags: BTreeMap<String, Duration>,
    storm: Option<super::storm::Storm>,
    frozen: Option<Frozen>,
    /// Services all of whose calls fail.
    poisoned: BTreeSet<ServiceKey>,
    faults: u64,
    /// Daemons that it has killed.
    killed: usize,
    /// When a read was first answered from the past on purpose.
    stale_at: Option<Timestamp>,
}

/// What still perturbs a course.
#[derive(Clone, Copy, Debug, Hash)]
pub(crate) struct Left<'a>(Option<&'a Frozen>);

#[derive(Debug, Hash)]
struct Frozen {
    operation: String,
    input: serde_json::Value,
    as_of: Timestamp,
}

impl Weather {
    pub fn new(perturbation: Perturbation) -> Self {
        Self { perturbation, ..Self::default() }
    }

    /// The next call of `operation` meets this.
    pub fn script(&mut self, operation: &str, way: Way) {
        self.scripted.entry(operation.to_owned()).or_default().push_back(way);
    }

    /// From now on reads of `operation` lag; zero ends it.
    pub fn lag(&mut self, operation: &str, lag: Duration) {
        if lag.is_zero() {
            self.lags.remove(operation);
        } else {
            self.lags.insert(operation.to_owned(), lag);
        }
    }

    /// From now on every call about that service fails.
    pub fn poison(&mut self, key: ServiceKey) {
        self.poisoned.insert(key);
    }

    /// Whether each call changes what comes after it.
    pub(crate) fn is_stormy(&self) -> bool {
        self.storm.is_some()
    }

    /// Whether the first daemon that was killed on purpose is gone.
    pub(crate) fn has_killed(&self) -> bool {
        self.killed > 0
    }

    /// What still perturbs the course, if anything does. `None` where it was not perturbed by itself ever since, or will yet
    /// be. A death is never over: a daemon that was started anew remembers other things.
    pub(crate) fn left_since(&self, since: Timestamp, now: Timestamp) -> Option<Left<'_>> {
        let is_over = match &self.perturbation {
            Perturbation::Nothing => true,
            Perturbation::Crashes(_) => false,
            Perturbation::Stale { .. } => self.stale_at.is_some_and(|at| at <= since),
            Perturbation::Unobserved { until, .. } => since >= *until,
            Perturbation::Source { from, .. } => since >= *from + FAILS_FOR,
        };
        let frozen = self.frozen.as_ref().filter(|one| one.lasts(now));
        is_over.then_some(Left(frozen))
    }

    /// Whether daemons are killed on purpose.
    pub(crate) fn kills(&self) -> bool {
        matches!(self.perturbation, Perturbation::Crashes(_))
    }

    /// Faults of calls so far.
    pub fn faults(&self) -> u64 {
        self.faults + self.storm.as_ref().map_or(0, |storm| storm.faults)
    }

    pub(crate) fn set_storm(&mut self, storm: Option<super::storm::Storm>) {
        self.faults = self.faults();
        self.storm = storm;
    }

    /// All is well from now on.
    pub fn clear(&mut self) {
        self.faults = self.faults();
        self.scripted.clear();
        self.lags.clear();
        self.storm = None;
    }

    pub(crate) fn fate(&mut self, call: &Sent, now: Timestamp) -> Fate {
        let mut fate = Fate { request: FINE, response: FINE, way: Way::Carried, dies: None };
        if let Some(storm) = &mut self.storm {
            fate = storm.fate(call, now);
        }
        if call.about.as_ref().is_some_and(|key| self.poisoned.contains(key)) {
            let error = ApiError::server("ServerException", "please try again later");
            fate.way = Way::Refused(error);
        } else if let Some(way) = self.next_scripted(&call.operation) {
            self.faults += 1;
            fate.way = way;
        } else if let Some(then) = self.lagging(call, now) {
            fate.way = Way::AsOf(then);
        }
        self.perturb(call, now, &mut fate);
        fate
    }

    fn next_scripted(&mut self, operation: &str) -> Option<Way> {
        self.scripted.get_mut(operation)?.pop_front()
    }

    fn lagging(&self, call: &Sent, now: Timestamp) -> Option<Timestamp> {
        let lag = self.lags.get(&call.operation).filter(|_| !call.is_write())?;
        Some(now - *lag)
    }

    fn perturb(&mut self, call: &Sent, now: Timestamp, fate: &mut Fate) {
        match &self.perturbation {
            Perturbation::Nothing | Perturbation::Source { .. } => {}
            Perturbation::Crashes(points) => {
                fate.dies = points.iter().find_map(|point| match point {
                    CrashPoint::Call(number, phase) if *number == call.number => Some(*phase),
                    CrashPoint::Call(..) | CrashPoint::Wake(_) => None,
                });
                self.killed += usize::from(fate.dies.is_some());
            }
            Perturbation::Stale { read, as_of, frozen } => {
                if *read == call.number {
                    fate.way = Way::AsOf(*as_of);
                    self.stale_at = Some(now);
                    self.frozen = frozen.then(|| Frozen {
                        operation: call.operation.clone(),
                        input: call.input.clone(),
                        as_of: *as_of,
                    });
                } else if self.frozen.as_ref().is_some_and(|one| one.covers(call, now)) {
                    fate.way = Way::AsOf(*as_of);
                }
            }
            Perturbation::Unobserved { call: number, until } => {
                if *number == call.number {
                    fate.request =
                        Duration::try_from(until.duration_since(now)).unwrap_or_default().max(FINE);
                }
            }
        }
    }

    /// Whether a daemon dies when it is woken for that time.
    pub(crate) fn dies_on_waking(&mut self, by: Replica, count: u64) -> bool {
        let Perturbation::Crashes(points) = &self.perturbation else { return false };
        let dies = by == Replica(0) && points.contains(&CrashPoint::Wake(count));
        self.killed += usize::from(dies);
        dies
    }
}

impl Frozen {
    fn covers(&self, call: &Sent, now: Timestamp) -> bool {
        self.operation == call.operation && self.input == call.input && self.lasts(now)
    }

    fn lasts(&self, now: Timestamp) -> bool {
        now < self.as_of + LAG_MAX
    }
}
