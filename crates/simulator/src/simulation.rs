//! A region and its world in virtual time; never waits for real time.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use crate::{Api, ApiError, Region, Settings, SimulatedCloud, Timings, World};

/// Drives a region and its world from event to event.
#[derive(Debug)]
pub struct Simulation {
    region: Arc<Mutex<Region>>,
    pub world: World,
}

impl Simulation {
    /// A region in account 123456789012, us-east-1, at the beginning of 2026; the same seed gives
    /// the same course.
    pub fn new(seed: u64) -> Self {
        Self::with_timings(seed, Timings::default())
    }

    pub fn with_timings(seed: u64, timings: Timings) -> Self {
        let settings = Settings {
            account: "123456789012".to_owned(),
            region: "us-east-1".to_owned(),
            seed,
            throttling: false,
        };
        // 2026-01-01T00:00:00Z: 20,454 days.
        let start = Timestamp::UNIX_EPOCH + Duration::from_hours(24 * 20_454);
        Self::of(Region::with_timings(settings, start, timings), World::default())
    }

    pub fn of(region: Region, world: World) -> Self {
        Self { region: Arc::new(Mutex::new(region)), world }
    }

    /// The region, locked for as long as the guard lives.
    pub fn region(&self) -> MutexGuard<'_, Region> {
        lock(&self.region)
    }

    #[cfg(feature = "harness")]
    pub(crate) fn shared_region(&self) -> Arc<Mutex<Region>> {
        Arc::clone(&self.region)
    }

    /// A cloud for the reconciler that looks at and changes this region.
    pub fn cloud(&self) -> SimulatedCloud {
        SimulatedCloud::new(Arc::clone(&self.region))
    }

    pub fn now(&self) -> Timestamp {
        self.region().now()
    }

    pub fn call(&self, api: Api, operation: &str, input: &Value) -> Result<Value, ApiError> {
        self.region().call(api, operation, input)
    }

    #[cfg(feature = "harness")]
    pub(crate) fn call_shared(
        &self,
        api: Api,
        operation: &str,
        input: &Value,
    ) -> Result<Arc<Value>, ApiError> {
        self.region().call_shared(api, operation, input)
    }

    /// Calls ECS.
    pub fn ecs(&self, operation: &str, input: &Value) -> Result<Value, ApiError> {
        self.call(Api::Ecs, operation, input)
    }

    /// Lets time pass.
    pub fn advance(&mut self, duration: Duration) {
        let until = self.now() + duration;
        self.advance_to(until);
    }

    pub fn advance_to(&mut self, until: Timestamp) {
        while self.step(until) {}
    }

    /// Lets time pass to the next thing that happens, at most to `until`; whether something did. What is
    /// due in the region goes before what is due in the world, each as a step of its own.
    pub fn step(&mut self, until: Timestamp) -> bool {
        let mut region = lock(&self.region);
        self.world.take_on(&mut region);
        let (of_region, of_world) = (region.next_wake_up(), self.world.next());
        let next = [of_region, of_world].into_iter().flatten().min();
        let Some(at) = next.filter(|at| *at <= until) else {
            region.advance(until);
            return false;
        };
        region.advance(at);
        self.world.take_on(&mut region);
        if of_region.is_none_or(|due| due > at) {
            self.world.happen(&mut region);
        }
        true
    }

    /// Lets time pass from event to event until `done`, at most `most`; whether it was reached.
    pub fn run_until(&mut self, most: Duration, mut done: impl FnMut(&mut Region) -> bool) -> bool {
        let until = self.now() + most;
        loop {
            if done(&mut lock(&self.region)) {
                return true;
            }
            let mut region = lock(&self.region);
            self.world.take_on(&mut region);
            let next = [region.next_wake_up(), self.world.next()].into_iter().flatten().min();
            let Some(at) = next.filter(|at| *at <= until) else { return false };
            region.advance(at);
            self.world.take_on(&mut region);
            self.world.happen(&mut region);
        }
    }
}

pub(crate) fn lock(region: &Mutex<Region>) -> MutexGuard<'_, Region> {
    // A panic in another pass leaves the model as consistent as any refused call does.
    region.lock().unwrap_or_else(PoisonError::into_inner)
}
