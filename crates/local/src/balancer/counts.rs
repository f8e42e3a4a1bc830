//! Counts requests by listener and target group; never keeps a request.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use evenkeel_simulator::RequestTally;
use hyper::StatusCode;

/// A shared handle to the counts, from the start of the region.
#[derive(Clone, Debug, Default)]
pub struct Counts(Arc<Mutex<Counted>>);

#[derive(Debug, Default)]
struct Counted {
    routes: BTreeMap<Route, RouteCounts>,
    /// What the region was not told of yet, by load balancer and target group.
    unreported: BTreeMap<(String, Option<String>), RequestTally>,
}

/// From a listener to a target group.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Route {
    /// The listener's.
    pub port: u16,
    /// An ARN.
    pub target_group: String,
}

/// What went one way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RouteCounts {
    /// Requests for which the group was chosen, once they have an answer.
    pub requests: u64,
    /// Answers by the group's targets: 2xx, 3xx, 4xx, 5xx.
    pub by_class: [u64; 4],
    /// Answers by the load balancer itself, because no target answered.
    pub balancer_errors: u64,
    /// When the group was last chosen, whatever came of it.
    pub last_chosen: Option<Instant>,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// After that long a target began to answer.
    Answered(StatusCode, Duration),
    /// No target took the connection.
    Refused,
    /// A target took it and gave no whole answer.
    Broken,
    /// The group had no target.
    NoTarget,
}

impl RouteCounts {
    /// Requests that a target answered with 5xx, or none answered.
    pub fn failed(&self) -> u64 {
        self.by_class[3] + self.balancer_errors
    }

    fn count(&mut self, ending: Ending) {
        self.requests += 1;
        match ending {
            Ending::Answered(status, _) => {
                if let Some(count) = class(status).and_then(|class| self.by_class.get_mut(class)) {
                    *count += 1;
                }
            }
            Ending::Refused | Ending::Broken | Ending::NoTarget => self.balancer_errors += 1,
        }
    }
}

impl Counts {
    pub fn snapshot(&self) -> BTreeMap<Route, RouteCounts> {
        self.lock().routes.clone()
    }

    pub(super) fn chosen(&self, route: &Route) {
        self.lock().routes.entry(route.clone()).or_default().last_chosen = Some(Instant::now());
    }

    pub(super) fn ended(&self, load_balancer: &str, route: &Route, ending: Ending) {
        let mut counted = self.lock();
        counted.routes.entry(route.clone()).or_default().count(ending);
        let target_group = (ending != Ending::NoTarget).then(|| route.target_group.clone());
        count(counted.tally(load_balancer, target_group), ending);
    }

    /// The load balancer had no rule for a request, or one without any weight.
    pub(super) fn lost(&self, load_balancer: &str) {
        count(self.lock().tally(load_balancer, None), Ending::NoTarget);
    }

    /// Takes what came since the last time.
    pub(super) fn take_unreported(&self) -> Vec<RequestTally> {
        std::mem::take(&mut self.lock().unreported).into_values().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Counted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counted {
    fn tally(&mut self, load_balancer: &str, target_group: Option<String>) -> &mut RequestTally {
        let key = (load_balancer.to_owned(), target_group.clone());
        self.unreported.entry(key).or_insert_with(|| RequestTally {
            load_balancer: load_balancer.to_owned(),
            target_group,
            ..RequestTally::default()
        })
    }
}

/// Counts one request in what the region is told.
fn count(tally: &mut RequestTally, ending: Ending) {
    match ending {
        Ending::Answered(status, after) => {
            if let Some(count) = class(status).and_then(|class| tally.answers.get_mut(class)) {
                *count += 1;
            }
            tally.response_times.push(after);
        }
        Ending::Refused => {
            tally.balancer_errors += 1;
            tally.refused += 1;
        }
        Ending::Broken | Ending::NoTarget => tally.balancer_errors += 1,
    }
}

/// 0 for 2xx to 3 for 5xx.
fn class(status: StatusCode) -> Option<usize> {
    usize::from(status.as_u16() / 100).checked_sub(2)
}
