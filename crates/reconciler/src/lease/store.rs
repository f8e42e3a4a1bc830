//! The small table that replicas agree through; never says who should hold what.

use std::collections::BTreeMap;
use std::future::Future;

/// One named record of the lease table: a shard's lease, or the sign of life of a replica.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseRecord {
    /// The replica that holds it; empty when it was given back.
    pub holder: String,
    /// Grows with every change of holder, by more than one after a write whose answer was lost; never
    /// falls, also when a person deleted the record, as far as the replica that writes it has seen the
    /// one before.
    pub epoch: u64,
    /// Grows by one with every renewal within an epoch; 0 where it was put where there was no record. No timestamps:
    /// clocks are not compared.
    pub beat: u64,
    /// The release of Evenkeel that wrote it, for the gate between old and new versions.
    pub version: u32,
}

impl LeaseRecord {
    /// Whether its holder gave it back: anybody may take it at once.
    pub fn is_free(&self) -> bool {
        self.holder.is_empty()
    }
}

/// A small table with compare-and-set; a database in production, a map in simulation.
pub trait LeaseStore: Send + Sync + 'static {
    /// Every record of this installation, strongly consistent.
    fn read(
        &self,
    ) -> impl Future<Output = Result<BTreeMap<String, LeaseRecord>, LeaseStoreError>> + Send;

    /// Writes `record` under `name` if what is stored there equals `expected` (`None`: nothing is
    /// stored). `Ok(false)` when it does not. An error may or may not have been carried out.
    fn put(
        &self,
        name: &str,
        expected: Option<&LeaseRecord>,
        record: &LeaseRecord,
    ) -> impl Future<Output = Result<bool, LeaseStoreError>> + Send;

    /// Removes it if it equals `expected`; `Ok(false)` when it does not. An error may or may not
    /// have been carried out.
    fn remove(
        &self,
        name: &str,
        expected: &LeaseRecord,
    ) -> impl Future<Output = Result<bool, LeaseStoreError>> + Send;
}

/// Why the table could not be read or written, in words for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{operation} of the lease table failed: {message}")]
pub struct LeaseStoreError {
    /// What was tried, as the table's service calls it.
    pub operation: String,
    pub message: String,
}
