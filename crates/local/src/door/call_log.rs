//! What was called at the door, when and with what result; never the secrets in a call.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use evenkeel_simulator::Api;
use jiff::Timestamp;
use tokio::sync::watch;

use super::request::ApiRequest;

/// Calls kept; older ones are forgotten, but still counted.
const CAPACITY: usize = 20_000;

/// One call at the door.
#[derive(Clone, Debug)]
pub struct CallRecord {
    /// Counts all calls from 1.
    pub number: u64,
    pub at: Instant,
    /// The region's time.
    pub region_time: Timestamp,
    pub api: Api,
    pub operation: String,
    /// Tag keys and values of `TagResource`, which are public; nothing else of the input.
    pub tags: Vec<(String, String)>,
    /// The HTTP status of the reply.
    pub status: u16,
}

impl CallRecord {
    /// Whether the operation can change anything.
    pub fn is_write(&self) -> bool {
        !["Describe", "List", "Get", "BatchGet"].iter().any(|read| self.operation.starts_with(read))
    }
}

/// A bounded, shared log that can be waited on.
#[derive(Clone, Debug)]
pub struct CallLog {
    records: Arc<Mutex<VecDeque<CallRecord>>>,
    total: Arc<watch::Sender<u64>>,
}

impl Default for CallLog {
    fn default() -> Self {
        Self { records: Arc::default(), total: Arc::new(watch::Sender::new(0)) }
    }
}

impl CallLog {
    /// How many calls came in altogether.
    pub fn total(&self) -> u64 {
        *self.total.borrow()
    }

    /// Is told of every call by its number.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.total.subscribe()
    }

    /// The kept calls that came after call number `number`, oldest first.
    pub fn after(&self, number: u64) -> Vec<CallRecord> {
        let records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        records.iter().filter(|record| record.number > number).cloned().collect()
    }

    /// Writes a call down and returns its request id.
    pub(super) fn record(&self, request: &ApiRequest, now: Timestamp, status: u16) -> String {
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        let number = self.total() + 1;
        if records.len() == CAPACITY {
            records.pop_front();
        }
        records.push_back(CallRecord {
            number,
            at: Instant::now(),
            region_time: now,
            api: request.api,
            operation: request.operation.clone(),
            tags: tags(request),
            status,
        });
        self.total.send_replace(number);
        format!("00000000-0000-4000-8000-{number:012x}")
    }
}

fn tags(request: &ApiRequest) -> Vec<(String, String)> {
    if request.operation != "TagResource" {
        return Vec::new();
    }
    let tags = request.input.get("tags").and_then(serde_json::Value::as_array);
    let text = |tag: &serde_json::Value, name: &str| {
        tag.get(name).and_then(serde_json::Value::as_str).unwrap_or_default().to_owned()
    };
    tags.into_iter().flatten().map(|tag| (text(tag, "key"), text(tag, "value"))).collect()
}
