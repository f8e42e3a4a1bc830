//! The planner seen from outside: one file of plans, one of laws, one of the guard, one of statuses;
//! never looks into the crate.

mod approvals;
mod balanced;
mod checks;
mod code_deploy;
mod commands;
mod creation;
mod drift;
mod ecs;
mod freezes;
mod gates;
mod judging;
mod laws;
mod looks;
mod manifests;
mod marks;
mod measuring;
mod members;
mod own_steps;
mod plans;
mod preflight;
mod probes;
mod retries;
mod returns;
mod rivals;
mod settling;
mod statuses;
