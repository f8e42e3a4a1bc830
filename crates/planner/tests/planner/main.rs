//! The planner seen from outside: one file of plans, one of laws, one of the guard, one of statuses;
//! never looks into the crate.

mod checks;
mod ecs;
mod laws;
mod manifests;
mod members;
mod plans;
mod probes;
mod retries;
mod rivals;
mod statuses;
