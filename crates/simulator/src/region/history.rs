//! Earlier states of the region, for reads that lag; never kept while nothing lags.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use jiff::Timestamp;

use super::State;

#[derive(Debug, Default)]
pub(crate) struct History {
    lags: BTreeMap<String, Duration>,
    /// For how long states are kept although nothing lags.
    horizon: Duration,
    /// Oldest first; the first one is at least as old as the longest lag, once there is one.
    states: VecDeque<State>,
}

impl History {
    pub(crate) fn set_lag(&mut self, operation: &str, lag: Duration) {
        if lag.is_zero() {
            self.lags.remove(operation);
        } else {
            self.lags.insert(operation.to_owned(), lag);
        }
        if self.lags.is_empty() && self.horizon.is_zero() {
            self.states.clear();
        }
    }

    pub(crate) fn keep(&mut self, horizon: Duration) {
        self.horizon = horizon;
        if self.lags.is_empty() && horizon.is_zero() {
            self.states.clear();
        }
    }

    /// Since when each state was true that still was within the horizon.
    pub(crate) fn instants(&self, now: Timestamp) -> Vec<Timestamp> {
        let mut instants: Vec<Timestamp> = self.states.iter().map(|state| state.now).collect();
        // Nothing is dropped while nothing changes, and what was replaced grows old meanwhile.
        let horizon = now - self.horizon;
        let replaced = instants.iter().skip(1).take_while(|next| **next <= horizon).count();
        instants.drain(..replaced);
        instants
    }

    /// The newest state that is not younger than `then`.
    pub(crate) fn as_of(&mut self, then: Timestamp) -> Option<&mut State> {
        let index = self.states.iter().rposition(|state| state.now <= then)?;
        self.states.get_mut(index)
    }

    pub(crate) fn record(&mut self, state: &State) {
        let longest = self.lags.values().copied().max().unwrap_or_default().max(self.horizon);
        if longest.is_zero() {
            return;
        }
        let horizon = state.now - longest;
        while self.states.get(1).is_some_and(|next| next.now <= horizon) {
            self.states.pop_front();
        }
        if self.states.back().is_some_and(|last| last.now == state.now) {
            self.states.pop_back();
        }
        self.states.push_back(state.clone());
    }

    pub(crate) fn lags(&self, operation: &str) -> bool {
        self.lags.contains_key(operation)
    }

    /// The state from which a read that lags is answered.
    pub(crate) fn stale(&mut self, operation: &str, now: Timestamp) -> Option<&mut State> {
        let then = now - *self.lags.get(operation).filter(|_| is_read(operation))?;
        let index = self.states.iter().rposition(|state| state.now <= then).unwrap_or(0);
        self.states.get_mut(index)
    }
}

pub(crate) fn is_read(operation: &str) -> bool {
    ["Describe", "List", "Get", "BatchGet"].iter().any(|prefix| operation.starts_with(prefix))
}
