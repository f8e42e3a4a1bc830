//! A whole local region in this process, with real sockets and real child processes; never the SDK.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot be set up, or that gets a reply of another shape, has failed"
)]

mod code_deploy;
mod doors;
mod metrics;
mod stage;
mod tasks;
mod traffic;
