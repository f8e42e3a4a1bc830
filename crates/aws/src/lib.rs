//! How: the only crate that names the AWS SDK; never decides what to ask or what to do.
//!
//! [`AwsCloud`] implements [`evenkeel_reconciler::Cloud`]. A call goes, from the outside in, through
//! `observe` or `apply` (which calls), `services`, `tasks` and `task_definitions` (which calls can be
//! shared or spared), `caller` (its token, its meaning when it fails, its metrics) and `exchange` (JSON in,
//! JSON out). [`LeaseTable`] implements [`evenkeel_reconciler::LeaseStore`] on `DynamoDB`.
//! `verify` looks at what manifests name and do not make, by `signed` where no SDK is built in.

mod apply;
mod balancing;
mod bucket;
mod caller;
mod clock;
mod cloud;
mod code_deploy;
mod connect;
mod deleter;
mod deployments;
mod error;
mod exchange;
#[cfg(test)]
mod fake;
mod family;
mod generations;
mod http;
mod lease;
mod measured;
mod metrics;
mod observe;
mod operation;
mod owned;
mod pages;
mod reply;
mod secrets;
mod services;
mod shapes;
mod signals;
mod signed;
mod task_definitions;
mod tasks;
mod verify;
mod weights;

pub use cloud::{AwsCloud, Described};
pub use connect::{AwsSettings, ConnectError};
pub use http::CaBundleError;
pub use lease::LeaseTable;
pub use metrics::AwsMetrics;
pub use operation::{LeaseOperation, Operation, VerifyOperation};
pub use shapes::shapes;
