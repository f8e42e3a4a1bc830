//! What single calls accept, refuse and answer, and what goes wrong with them on purpose.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::needless_pass_by_value,
    reason = "a fixture that does not find what it set up is a failed test"
)]

mod balancer_metrics;
mod cloudwatch;
mod faults;
#[path = "../section_17/fixture.rs"]
#[expect(dead_code, reason = "shared with the checklist, which needs more of it")]
mod fixture;
mod listings;
mod load_balancing;
mod refusals;
mod tags;
