//! The region model set in motion: shared, locked and moved by the clock; never does I/O itself.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use evenkeel_simulator::{Api, ApiError, Effect, Happening, Region, Settings, Timings};
use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::Notify;

use crate::clock::Clock;

/// How long a hook waits for somebody's answer, for no function runs here; then it passes.
const TIME_TO_ANSWER: Duration = Duration::from_secs(30);

/// One region that the doors, the tasks and the load balancer share.
#[derive(Clone, Debug)]
pub struct LiveRegion {
    region: Arc<Mutex<Region>>,
    moved: Arc<Notify>,
    clock: Clock,
}

impl LiveRegion {
    pub fn new(settings: Settings, clock: Clock) -> Self {
        let timings = Timings { lambda_hook: TIME_TO_ANSWER, ..Timings::default() };
        let region = Region::with_timings(settings, clock.now(), timings);
        Self { region: Arc::new(Mutex::new(region)), moved: Arc::default(), clock }
    }

    /// The model itself, for who looks at it without the wire. It is not told of the time.
    pub fn model(&self) -> Arc<Mutex<Region>> {
        Arc::clone(&self.region)
    }

    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// Answers one API call at the region's present time.
    pub fn call(&self, api: Api, operation: &str, input: &Value) -> Result<Value, ApiError> {
        self.with(|region| region.call(api, operation, input))
    }

    /// Tells the region what happened in the world.
    pub fn report(&self, happening: Happening) {
        tracing::debug!(?happening, "reported");
        self.with(|region| region.report(happening));
    }

    /// Brings the region up to date, does something with it, and lets the driver look for effects.
    pub fn with<T>(&self, act: impl FnOnce(&mut Region) -> T) -> T {
        let result = {
            let mut region = self.lock();
            region.advance(self.clock.now());
            act(&mut region)
        };
        self.moved.notify_one();
        result
    }

    /// Brings the region up to date and takes what it wants done, and when it next has something
    /// to do.
    pub(crate) fn step(&self) -> (Vec<Effect>, Option<Timestamp>) {
        let mut region = self.lock();
        region.advance(self.clock.now());
        (region.take_effects(), region.next_wake_up())
    }

    /// Returns when the region was touched, or when `wake_up` is reached.
    pub(crate) async fn wait(&self, wake_up: Option<Timestamp>) {
        let touched = self.moved.notified();
        match wake_up {
            Some(time) => {
                let due = tokio::time::sleep_until(self.clock.instant(time));
                tokio::select! { () = touched => {} () = due => {} }
            }
            None => touched.await,
        }
    }

    /// A panic of the model in one call is that call's failure: the next one still gets the region.
    fn lock(&self) -> MutexGuard<'_, Region> {
        self.region.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
