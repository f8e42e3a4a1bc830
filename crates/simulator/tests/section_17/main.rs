//! What an emulator must get right to be worth testing against: the checklist of the behaviour
//! reference, one module a line. Line 12, the wire protocols, is `evenkeel-local`'s.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::needless_pass_by_value,
    reason = "a fixture that does not find what it set up is a failed test"
)]

mod alarms;
mod breaker;
mod code_deploy;
mod controllers;
mod deletion;
mod draining;
mod events;
mod fixture;
mod percentages;
mod read_back;
mod rolling;
mod shifting;
mod task_sets;
mod throttling;
