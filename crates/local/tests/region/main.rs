//! A whole local region in this process, with real sockets and real child processes; never the SDK.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod doors;
mod stage;
mod tasks;
mod traffic;
