//! The region model behind the real AWS wire protocols, with real processes and real traffic; never
//! decides how ECS behaves, because that is the model's.
//!
//! It is our own model of ECS and no more than that: see `docs/testing.md` for what it was checked
//! against.

pub mod app;
pub mod balancer;
pub mod catalogue;
pub mod cli;
pub mod clock;
pub mod demo;
pub mod door;
mod front;
pub mod live_region;
pub mod serve;
pub mod server;
pub mod tasks;
mod tether;
