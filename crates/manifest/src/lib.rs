//! What is wanted: manifest kinds, parsing, validation and digests; never talks to AWS and never reads a clock.

pub mod canonical;
mod digest;
mod document;
mod key;
mod rollout;
mod service;
mod shapes;
mod task_size;

pub use digest::Digest;
pub use document::Document;
pub use key::ServiceKey;
pub use rollout::{Breaker, Counting, OnFailure, Probe, Rollout, Strategy, Threshold};
pub use service::{Metadata, Service, Source};
