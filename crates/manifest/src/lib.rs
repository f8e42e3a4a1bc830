//! What is wanted: manifest kinds, parsing, validation and digests; never talks to AWS and never reads a clock.

pub mod canonical;
mod checks;
mod digest;
mod document;
mod envelope;
mod key;
mod limits;
mod load;
mod node;
mod problem;
mod reader;
mod rollout;
mod schema;
mod service;
mod shape_check;
mod shapes;
mod spelling;
mod task_size;

pub use digest::Digest;
pub use document::Document;
pub use key::ServiceKey;
pub use limits::Limits;
pub use load::{File, ManifestSet, load, load_with};
pub use problem::{Problem, Severity};
pub use rollout::{Breaker, Counting, OnFailure, Probe, Rollout, Strategy, Threshold};
pub use schema::schema;
pub use service::{Metadata, Service, Source};
