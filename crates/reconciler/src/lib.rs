//! When: the work queue, the control loop and one pass; never names AWS's SDK, git or a file.

mod cloud;

pub use cloud::{Cloud, CloudError};
