//! Which replica looks after which services, when several run; never touches AWS's services itself.
//!
//! Services are leased by the *shard*, all of one cluster. [`ShardLease`] is the protocol, a state
//! machine without clock or I/O; [`LeaseKeeper`] drives it over a [`LeaseStore`]; [`HeldShards`] is
//! what comes of it, for who starts passes and who writes.

mod held;
mod keeper;
mod membership;
mod metrics;
mod protocol;
mod settings;
mod shard;
mod store;

pub(crate) use held::PassLease;
pub use held::{HeldShards, Standing};
pub use keeper::LeaseKeeper;
pub use metrics::LeaseMetrics;
pub use protocol::{Holder, Moment, Put, PutOutcome, ShardLease, Step, Wish};
pub use settings::{LEASE_VERSION, LeaseSettings, LeaseSettingsError, LeaseTimes};
pub use shard::ShardId;
pub use store::{LeaseRecord, LeaseStore, LeaseStoreError};

#[cfg(test)]
mod tests;
