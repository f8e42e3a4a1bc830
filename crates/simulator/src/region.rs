//! The region: replies to API calls and moves with time; never acts on its own outside of them.

mod answers;
mod breaker;
mod cluster;
mod controllers;
mod events;
mod faults;
mod history;
mod hooks;
mod identifiers;
mod input;
mod kept;
mod operations;
mod read_back;
mod scheduler;
mod service;
mod service_deployment;
mod service_reply;
mod service_update;
mod stages;
mod state;
mod strategy;
mod tags;
mod task;
mod task_calls;
mod task_definition;
mod task_set;
mod throttle;
mod timers;
mod timings;
mod truth;
mod validation;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use crate::code_deploy::HookFunction;
use crate::{Effect, Happening, ListenerView, ServiceFacts, TargetGroupView};

pub use faults::Fault;
pub(crate) use identifiers::last_part;
pub(crate) use input::{
    count, epoch, flag, given, list, map_of, page, paged, put_epoch, size, text, texts,
};
pub(crate) use kept::Kept;
pub(crate) use service::{Revision, Service, ServiceId, ServiceStatus};
pub(crate) use state::State;
pub(crate) use strategy::{Share, Strategy};
pub(crate) use tags::Tags;
pub(crate) use task::TaskId;
pub(crate) use task_set::TaskSet;
pub(crate) use timers::Timer;
pub use timings::Timings;

use answers::Answers;
use faults::Faults;
use history::History;
pub(crate) use history::is_read;
use throttle::Buckets;

/// The AWS services that the region speaks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Api {
    Ecs,
    ElasticLoadBalancingV2,
    CloudWatch,
    CodeDeploy,
    Sts,
}

/// An error reply, with AWS's own code (`ClusterNotFoundException`, `TargetGroupNotFound`).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct ApiError {
    pub code: String,
    pub message: String,
    /// 400 or 500.
    pub status: u16,
}

impl ApiError {
    /// A client error (HTTP 400).
    pub fn client(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into(), status: 400 }
    }

    /// A fault of the service (HTTP 500).
    pub fn server(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into(), status: 500 }
    }
}

#[derive(Clone, Debug)]
pub struct Settings {
    pub account: String,
    pub region: String,
    pub seed: u64,
    /// Whether API token buckets refuse calls.
    pub throttling: bool,
}

/// See the crate's documentation.
#[derive(Debug)]
pub struct Region {
    state: State,
    buckets: Buckets,
    faults: Faults,
    history: History,
    answers: Answers,
    /// Services that may have changed since last asked.
    touched: BTreeSet<ServiceId>,
}

impl Region {
    pub fn new(settings: Settings, now: Timestamp) -> Self {
        Self::with_timings(settings, now, Timings::default())
    }

    /// A region whose inner workings take other times than those seen at AWS.
    pub fn with_timings(settings: Settings, now: Timestamp, timings: Timings) -> Self {
        Self {
            buckets: Buckets::new(settings.throttling),
            state: State::new(settings, timings, now),
            faults: Faults::default(),
            history: History::default(),
            answers: Answers::default(),
            touched: BTreeSet::new(),
        }
    }

    pub fn now(&self) -> Timestamp {
        self.state.now
    }

    /// Answers one API call. `input` and the reply are JSON objects in the member names of AWS's
    /// model (`camelCase` for ECS, `PascalCase` for the others); times are seconds since the epoch.
    pub fn call(&mut self, api: Api, operation: &str, input: &Value) -> Result<Value, ApiError> {
        self.buckets.take(api, operation, self.state.now)?;
        if let Some(error) = self.faults.before(operation) {
            return Err(error);
        }
        let reply = match self.history.stale(operation, self.state.now) {
            Some(earlier) => operations::answer(earlier, api, operation, input),
            None => operations::answer(&mut self.state, api, operation, input),
        };
        if !is_read(operation) {
            self.written(api, input);
        }
        match self.faults.after(operation) {
            Some(error) if reply.is_ok() => Err(error),
            _ => reply,
        }
    }

    /// As [`Self::call`]; a read of what has not changed since is given the same answer again.
    pub(crate) fn call_shared(
        &mut self,
        api: Api,
        operation: &str,
        input: &Value,
    ) -> Result<Arc<Value>, ApiError> {
        let is_plain = self.faults.is_empty() && !self.history.lags(operation);
        let about = self.state.read_about(api, operation, input).filter(|_| is_plain);
        let Some(about) = about else { return self.call(api, operation, input).map(Arc::new) };
        self.buckets.take(api, operation, self.state.now)?;
        let as_of = self.answers.as_of(about, &self.state, operation);
        if let Some(given) = self.answers.given(operation, input, as_of) {
            debug_assert_eq!(
                operations::answer(&mut self.state, api, operation, input).as_ref(),
                Ok(&*given),
                "{operation} shows a change that nobody told of"
            );
            return Ok(given);
        }
        let answer = Arc::new(operations::answer(&mut self.state, api, operation, input)?);
        self.answers.keep(operation, input, as_of, &answer);
        Ok(answer)
    }

    fn written(&mut self, api: Api, input: &Value) {
        let named = self.state.services_named(input);
        if matches!(api, Api::CloudWatch | Api::ElasticLoadBalancingV2) {
            // Alarms and shares of traffic are part of what is true of every service.
            self.touched.extend(self.state.services.keys());
        }
        if named.is_empty() {
            self.answers.all_changed();
        }
        self.touch(named);
        self.history.record(&self.state);
    }

    fn touch(&mut self, services: impl IntoIterator<Item = ServiceId>) {
        for service in services {
            self.answers.changed(service);
            self.touched.insert(service);
        }
    }

    /// Lets time pass up to `now`; all timers due before are run in order.
    pub fn advance(&mut self, now: Timestamp) {
        while let Some((at, timer)) = self.state.timers.pop_due(now) {
            self.state.now = self.state.now.max(at);
            self.touch(self.state.service_of(&timer));
            self.state.run(timer);
            self.history.record(&self.state);
        }
        self.state.now = self.state.now.max(now);
    }

    /// When [`Self::advance`] has something to do next.
    pub fn next_wake_up(&self) -> Option<Timestamp> {
        self.state.timers.next()
    }

    /// Tells the region what happened in the world.
    pub fn report(&mut self, happening: Happening) {
        self.touch(self.state.service_hit_by(&happening));
        if let Happening::BalancersReport(tallies) = &happening
            && tallies.iter().any(|tally| tally.failed() > 0)
        {
            // Failed requests are part of what is true of a service; no reply about one shows them.
            self.touched.extend(self.state.services.keys());
        }
        self.state.happened(happening);
        self.history.record(&self.state);
    }

    /// Takes what the region wants done since it was last asked.
    pub fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.state.effects)
    }

    /// Takes the `EventBridge` events (whole envelopes) since last asked, in the order in which they
    /// happened; delivering them late, twice or out of order is up to the taker.
    pub fn take_events(&mut self) -> Vec<Value> {
        std::mem::take(&mut self.state.events)
    }

    /// Whether events are made for [`Self::take_events`]; none are until asked for, because they
    /// cost more than all the rest.
    pub fn collect_events(&mut self, wanted: bool) {
        self.state.events_wanted = wanted;
    }

    pub fn target_groups(&self) -> Vec<TargetGroupView> {
        self.state.elb.target_groups_view()
    }

    pub fn target_group(&self, arn: &str) -> Option<TargetGroupView> {
        self.state.elb.target_group_view(arn)
    }

    /// The state of one target: `initial`, `healthy`, `unhealthy`, `draining` or `unused`.
    pub fn target_state(
        &self,
        target_group: &str,
        address: IpAddr,
        port: u16,
    ) -> Option<&'static str> {
        self.state.elb.shown_state(target_group, &address.to_string(), port)
    }

    /// The ARNs of the target groups whose targets changed since last asked.
    pub fn take_changed_target_groups(&mut self) -> BTreeSet<String> {
        std::mem::take(&mut self.state.elb.changed)
    }

    pub fn listeners(&self) -> Vec<ListenerView> {
        self.state.elb.listeners_view()
    }

    /// Makes something go wrong.
    pub fn inject(&mut self, fault: Fault) {
        match fault {
            Fault::Call { .. } => self.faults.add(fault),
            Fault::CapacityLoss { until } => self.state.lose_capacity(until),
            Fault::ZoneLoss { zone, until } => {
                self.touched.extend(self.state.services.keys());
                self.answers.all_changed();
                self.state.lose_zone(&zone, until);
            }
        }
    }

    /// Takes the truth about every service that may have changed since last asked; of several of one
    /// name, about the newest.
    pub fn take_changes(&mut self) -> Vec<Arc<ServiceFacts>> {
        let touched = std::mem::take(&mut self.touched);
        let newest = touched.into_iter().filter(|id| self.state.is_newest(*id));
        newest.filter_map(|id| self.state.facts(id)).map(Arc::new).collect()
    }

    /// The truth about the newest service of that name.
    pub fn facts(&self, cluster: &str, name: &str) -> Option<ServiceFacts> {
        let id = self.state.names.get(&(cluster.to_owned(), name.to_owned()))?;
        self.state.facts(*id)
    }

    /// The application and the deployment group by which CodeDeploy deploys a service.
    pub fn deployment_group_of(&self, cluster: &str, service: &str) -> Option<(String, String)> {
        self.state.code_deploy.group_of(cluster, service)
    }

    /// From now on a function that hooks of CodeDeploy's deployments call does this; one that nobody scripted passes.
    pub fn script_hook(&mut self, function: &str, does: HookFunction) {
        self.state.code_deploy.script(function, does);
        self.history.record(&self.state);
    }

    /// From now on earlier states are kept for `horizon`, for [`Self::answer_as_of`].
    pub fn keep_history(&mut self, horizon: Duration) {
        self.history.keep(horizon);
        self.history.record(&self.state);
    }

    /// Since when each kept state was true that still was within the horizon, oldest first.
    pub fn kept_states(&self) -> Vec<Timestamp> {
        self.history.instants(self.state.now)
    }

    /// What a read would have been answered in the newest kept state that is not younger than
    /// `then`; nothing changes.
    pub fn answer_as_of(
        &mut self,
        then: Timestamp,
        api: Api,
        operation: &str,
        input: &Value,
    ) -> Option<Result<Value, ApiError>> {
        let earlier = self.history.as_of(then).filter(|_| is_read(operation))?;
        Some(operations::answer(earlier, api, operation, input))
    }

    /// From now on `operation` answers from the state that the region had `lag` ago; zero ends it.
    /// Only operations that read can lag.
    pub fn set_read_lag(&mut self, operation: &str, lag: Duration) {
        self.history.set_lag(operation, lag);
        self.history.record(&self.state);
    }

    /// Adds one point of a metric as the platform itself does
    /// for its own namespaces (`AWS/ApplicationELB`), in which callers of the API may not write.
    pub fn put_platform_metric(
        &mut self,
        namespace: &str,
        name: &str,
        dimensions: &[(&str, &str)],
        value: f64,
    ) {
        let now = self.state.now;
        self.state.cloudwatch.add_platform(namespace, name, dimensions, now, value);
    }
}
