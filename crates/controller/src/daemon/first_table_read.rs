//! Notices the first successful read of the lease table; never changes what a store does.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use evenkeel_reconciler::{LeaseRecord, LeaseStore, LeaseStoreError};

/// A lease table that remembers whether it was ever read.
#[derive(Debug)]
pub(super) struct FirstTableRead<S> {
    store: Arc<S>,
    done: Arc<AtomicBool>,
}

impl<S: LeaseStore> FirstTableRead<S> {
    /// The second value turns true after the first successful read.
    pub(super) fn watching(store: Arc<S>) -> (Self, Arc<AtomicBool>) {
        let done = Arc::new(AtomicBool::new(false));
        (Self { store, done: done.clone() }, done)
    }
}

impl<S: LeaseStore> LeaseStore for FirstTableRead<S> {
    async fn read(&self) -> Result<BTreeMap<String, LeaseRecord>, LeaseStoreError> {
        let records = self.store.read().await?;
        self.done.store(true, Ordering::Relaxed);
        Ok(records)
    }

    async fn put(
        &self,
        name: &str,
        expected: Option<&LeaseRecord>,
        record: &LeaseRecord,
    ) -> Result<bool, LeaseStoreError> {
        self.store.put(name, expected, record).await
    }

    async fn remove(&self, name: &str, expected: &LeaseRecord) -> Result<bool, LeaseStoreError> {
        self.store.remove(name, expected).await
    }
}
