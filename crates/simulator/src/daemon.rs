//! Passes of the production planner over a simulation, each when it is due; keeps nothing that a
//! restart would lose but when to look again.

use std::collections::BTreeMap;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use evenkeel_manifest::{Service, ServiceKey};
use evenkeel_planner::Outcome;
use evenkeel_reconciler::{Mode, PassReport, reconcile};
use jiff::Timestamp;

use crate::{SimulatedCloud, Simulation};

/// How long a service whose pass failed waits.
const AFTER_FAILURE: Duration = Duration::from_secs(10);
const PAUSE_MIN: Duration = Duration::from_secs(1);

/// One daemon. Its crash is a [`Daemon::new`] that is given the same manifests.
#[derive(Debug)]
pub struct Daemon {
    cloud: SimulatedCloud,
    instance: String,
    services: BTreeMap<ServiceKey, Wanted>,
}

#[derive(Debug)]
struct Wanted {
    service: Option<Service>,
    due: Timestamp,
    last: Option<PassReport>,
}

impl Daemon {
    pub fn new(simulation: &Simulation, instance: impl Into<String>) -> Self {
        let (cloud, instance) = (simulation.cloud(), instance.into());
        Self { cloud, instance, services: BTreeMap::new() }
    }

    /// What it looks and acts through; counts its calls.
    pub fn cloud(&self) -> &SimulatedCloud {
        &self.cloud
    }

    /// A manifest was added or changed: a pass is due at once.
    pub fn want(&mut self, service: Service) {
        self.put(service.key.clone(), Some(service));
    }

    /// A manifest was removed.
    pub fn unwant(&mut self, key: &ServiceKey) {
        self.put(key.clone(), None);
    }

    fn put(&mut self, key: ServiceKey, service: Option<Service>) {
        self.services.insert(key, Wanted { service, due: Timestamp::MIN, last: None });
    }

    /// The report of the last pass over a service.
    pub fn last(&self, key: &ServiceKey) -> Option<&PassReport> {
        self.services.get(key)?.last.as_ref()
    }

    /// Passes over everything that is due, and time, until `duration` is over. `seen` is called
    /// after every pass.
    pub fn run_with(
        &mut self,
        simulation: &mut Simulation,
        duration: Duration,
        mut seen: impl FnMut(&Simulation, &ServiceKey, &PassReport),
    ) {
        let end = simulation.now() + duration;
        while let Some((key, due)) = self.next().filter(|(_, due)| *due < end) {
            simulation.advance_to(due.max(simulation.now()));
            let Some(report) = self.pass(&key, simulation.now()) else { break };
            seen(simulation, &key, report);
        }
        simulation.advance_to(end);
    }

    pub fn run(&mut self, simulation: &mut Simulation, duration: Duration) {
        self.run_with(simulation, duration, |_, _, _| {});
    }

    fn next(&self) -> Option<(ServiceKey, Timestamp)> {
        let first = self.services.iter().min_by_key(|(_, wanted)| wanted.due);
        first.map(|(key, wanted)| (key.clone(), wanted.due))
    }

    fn pass(&mut self, key: &ServiceKey, now: Timestamp) -> Option<&PassReport> {
        let wanted = self.services.get_mut(key)?;
        let service = wanted.service.as_ref();
        let report = at_once(reconcile(&self.cloud, key, service, &self.instance, Mode::Apply))?;
        let pause = match report.outcome {
            Outcome::Failed { .. } => AFTER_FAILURE,
            Outcome::Done | Outcome::Refused(_) | Outcome::Withheld { .. } | Outcome::DryRun => {
                report.plan.look_again
            }
        };
        wanted.due = now + pause.max(PAUSE_MIN);
        Some(wanted.last.insert(report))
    }
}

/// The result of a future that waits for nothing, as a pass over a simulated cloud does.
fn at_once<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => Some(result),
        Poll::Pending => None,
    }
}
