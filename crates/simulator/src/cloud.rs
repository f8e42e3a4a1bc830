//! The region as a `Cloud` in process; never decides what to ask or what to do.

mod look;
mod memory;
mod parsed;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use evenkeel_manifest::ServiceKey;
use evenkeel_planner::{Action, Applied, Observed, Questions};
use evenkeel_reconciler::{Cloud, CloudError, OwnedService};
use jiff::Timestamp;
use serde_json::Value;

#[cfg(feature = "harness")]
use crate::harness::Wire;
use crate::region::is_read;
use crate::simulation::lock;
use crate::{Api, ApiError, Region};
use look::Caller;
use memory::Memory;

/// Makes the calls that the AWS edge makes, on a shared region.
#[derive(Clone, Debug)]
pub struct SimulatedCloud {
    region: Arc<Mutex<Region>>,
    /// Calls by operation.
    calls: Arc<Mutex<BTreeMap<String, u64>>>,
    memory: Arc<Mutex<Memory>>,
    /// What carries the calls; at once and without fail where there is none.
    #[cfg(feature = "harness")]
    wire: Option<Wire>,
}

impl SimulatedCloud {
    pub fn new(region: Arc<Mutex<Region>>) -> Self {
        Self {
            region,
            calls: Arc::default(),
            memory: Arc::default(),
            #[cfg(feature = "harness")]
            wire: None,
        }
    }

    /// A cloud at the other end of a wire.
    #[cfg(feature = "harness")]
    pub(crate) fn behind(wire: Wire, region: Arc<Mutex<Region>>) -> Self {
        Self { wire: Some(wire), ..Self::new(region) }
    }

    /// How often each operation was called so far.
    pub fn calls(&self) -> BTreeMap<String, u64> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many calls were made so far that change something.
    pub fn writes(&self) -> u64 {
        self.calls().iter().filter(|(name, _)| !is_read(name)).map(|(_, number)| number).sum()
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Timestamp {
        #[cfg(feature = "harness")]
        if let Some(wire) = &self.wire {
            return wire.now();
        }
        lock(&self.region).now()
    }

    #[cfg_attr(
        not(feature = "harness"),
        expect(clippy::unused_async, reason = "waits where there is a wire")
    )]
    async fn call(
        &self,
        caller: &Caller<'_>,
        api: Api,
        operation: &str,
        input: &Value,
    ) -> Result<Arc<Value>, CloudError> {
        #[cfg(feature = "harness")]
        if let Some(wire) = &self.wire {
            return wire.carry(caller.about, caller.action, (api, operation), input).await;
        }
        let _ = caller;
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        *calls.entry(operation.to_owned()).or_default() += 1;
        drop(calls);
        let reply = lock(&self.region).call_shared(api, operation, input);
        reply.map_err(|error| classify(operation, error))
    }
}

impl Cloud for SimulatedCloud {
    async fn owned(
        &self,
        instance: &str,
        clusters: &[String],
    ) -> Result<Vec<OwnedService>, CloudError> {
        Caller { cloud: self, about: None, action: None }.owned_services(instance, clusters).await
    }

    async fn observe(
        &self,
        key: &ServiceKey,
        questions: &Questions,
    ) -> Result<Observed, CloudError> {
        #[cfg(feature = "harness")]
        if let (Some(wire), evenkeel_planner::Depth::Shallow) = (&self.wire, questions.depth) {
            // Every pass begins with a shallow look, and has no other.
            wire.begin_pass(key);
        }
        let caller = Caller { cloud: self, about: Some(key), action: None };
        let seen = caller.look(key, questions).await?;
        debug_assert!(!is_sample(&seen) || read_again(&seen).as_ref() == Ok(&seen), "{seen:?}");
        Ok(seen)
    }

    async fn apply(&self, key: &ServiceKey, action: &Action) -> Result<Applied, CloudError> {
        Caller { cloud: self, about: Some(key), action: Some(action) }.carry_out(action).await
    }

    async fn apply_if(
        &self,
        key: &ServiceKey,
        action: &Action,
        is_permitted: &(dyn Fn() -> bool + Send + Sync),
    ) -> Option<Result<Applied, CloudError>> {
        let caller = Caller { cloud: self, about: Some(key), action: Some(action) };
        caller.carry_out_if(action, is_permitted).await
    }
}

/// Every look can be recorded; to try each would double the time that scenarios take.
fn is_sample(seen: &Observed) -> bool {
    seen.at.as_second() % 7 == 0
}

/// The look as it is after it was written down.
fn read_again(seen: &Observed) -> Result<Observed, String> {
    let written = serde_json::to_string(seen).map_err(|error| error.to_string())?;
    serde_json::from_str(&written).map_err(|error| format!("{error} in {written}"))
}

/// What an error means for what to do next, for the codes that the region answers with.
pub(crate) fn classify(operation: &str, error: ApiError) -> CloudError {
    let ApiError { code, message, status } = error;
    let operation = operation.to_owned();
    let is_read = is_read(&operation);
    let timing = [
        "does not have an associated load balancer",
        "service linked role",
        "Too many concurrent attempts",
    ];
    let overtaken = [
        "not idempotent",
        "still Draining",
        "is either completed, unavailable",
        "in terminal states",
    ];
    match code.as_str() {
        "ThrottlingException" | "Throttling" => {
            CloudError::Throttled { operation, message, retry_after: None }
        }
        "UnknownOperationException" | "InvalidAction" => {
            CloudError::CapabilityMissing { operation }
        }
        "ServiceUnavailable" => CloudError::Transient { operation, message },
        "AccessDeniedException" | "ExpiredTokenException" | "UnrecognizedClientException" => {
            CloudError::Denied { operation, code, message }
        }
        "LimitExceededException" => CloudError::Quota { operation, code, message },
        "ServiceNotActiveException"
        | "ServiceNotFoundException"
        | "ClusterNotFoundException"
        | "ConflictException"
        | "ServiceDeploymentNotFoundException"
        | "ApplicationDoesNotExistException"
        | "DeploymentGroupDoesNotExistException"
        | "DeploymentDoesNotExistException"
        | "DeploymentAlreadyCompletedException"
        | "DeploymentIsNotInReadyStateException"
        | "DeploymentLimitExceededException"
        | "RuleNotFound"
        | "ListenerNotFound"
        | "TargetGroupNotFound" => CloudError::Conflict { operation, code, message },
        _ if status >= 500 && is_read => CloudError::Transient { operation, message },
        _ if status >= 500 => CloudError::UnknownOutcome { operation, message },
        _ if timing.iter().any(|part| message.contains(part)) => {
            CloudError::Transient { operation, message }
        }
        _ if overtaken.iter().any(|part| message.contains(part)) => {
            CloudError::Conflict { operation, code, message }
        }
        _ => CloudError::Rejected { operation, code, message },
    }
}
