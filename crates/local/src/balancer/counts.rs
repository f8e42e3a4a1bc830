//! Counts requests by target group; never keeps a request.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use hyper::StatusCode;

/// A shared handle to the counts, from the start of the region.
#[derive(Clone, Debug, Default)]
pub struct Counts(Arc<Mutex<BTreeMap<String, GroupCounts>>>);

/// What one target group saw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupCounts {
    /// Requests routed to the group.
    pub requests: u64,
    /// Answers by the group's targets: 2xx, 3xx, 4xx, 5xx.
    pub by_class: [u64; 4],
    /// Answers by the load balancer itself, because no target answered.
    pub balancer_errors: u64,
}

impl Counts {
    /// By the target group's ARN.
    pub fn snapshot(&self) -> BTreeMap<String, GroupCounts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn answered(&self, group: &str, status: StatusCode) {
        self.count(group, |counts| {
            let class = usize::from(status.as_u16() / 100).wrapping_sub(2);
            if let Some(count) = counts.by_class.get_mut(class) {
                *count += 1;
            }
        });
    }

    pub(super) fn unanswered(&self, group: &str) {
        self.count(group, |counts| counts.balancer_errors += 1);
    }

    fn count(&self, group: &str, add: impl FnOnce(&mut GroupCounts)) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let counts = counts.entry(group.to_owned()).or_default();
        counts.requests += 1;
        add(counts);
    }
}
