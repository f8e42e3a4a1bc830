//! One model of an ECS region as a state machine; never opens a socket, starts a process or reads a
//! clock.
//!
//! Inputs are API calls, time and what happens to tasks; outputs are replies and effects. In
//! simulation a seed decides what happens to tasks, in `evenkeel-local` real processes do.

#[cfg(feature = "harness")]
pub mod app;
mod cloud;
mod cloudwatch;
mod code_deploy;
mod daemon;
mod effect;
mod elb;
mod facts;
#[cfg(feature = "harness")]
pub mod harness;
#[cfg(feature = "harness")]
pub mod isolation;
mod region;
#[cfg(feature = "harness")]
pub mod scenario;
mod simulation;
#[cfg(feature = "harness")]
pub mod soak;
#[cfg(feature = "harness")]
pub mod sweep;
#[cfg(feature = "harness")]
pub mod takeover;
mod world;

pub use cloud::SimulatedCloud;
pub use code_deploy::HookFunction;
pub use daemon::Daemon;
pub use effect::{ContainerLaunch, Effect, Happening, HealthCheck, RequestTally, TaskLaunch};
pub use elb::{ListenerView, RuleCondition, RuleView, TargetGroupView};
pub use facts::{DeploymentCourse, DeploymentFacts, HistoryFacts, Life, ServiceFacts, TaskFacts};
pub use region::{Api, ApiError, Fault, Region, Settings, Timings};
pub use simulation::Simulation;
pub use world::{Behaviour, Exit, World};
