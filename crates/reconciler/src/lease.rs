//! Which replica looks after which services, when several run; never touches AWS's services itself.

mod store;

pub use store::{LeaseRecord, LeaseStore, LeaseStoreError};
