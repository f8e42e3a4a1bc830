//! The production daemon against the region in virtual time, with everything that can go wrong; never
//! decides what is right: that is what properties are for.
//!
//! A [`Course`] is one run: a region, its world, one to three daemons, and what the weather does to
//! their calls. A [`Stage`] plays steps in it.

mod course;
mod edit;
pub mod event;
mod forks;
mod life;
mod moment;
mod people;
mod perturbation;
pub mod property;
mod stage;
mod storm;
mod table;
mod trace;
mod visited;
mod weather;
mod wire;
mod wish;

pub use course::{Course, Read};
pub use edit::Edit;
pub use event::{Event, Replica, Sent};
pub use forks::{ForkReport, Forks};
pub use moment::{Moment, Talk};
pub use people::Request;
pub use perturbation::{CrashPoint, Perturbation, Phase, SourceFailure};
pub use property::{Property, Violation};
pub use stage::{GroupTerms, Notes, Played, Route, Setup, Stage, Step};
pub use storm::Storm;
pub(crate) use trace::without_ids;
pub use trace::{Keeps, Trace};
pub use visited::{Fingerprint, OnceVisited, Visited};
pub(crate) use weather::GIVES_UP_AFTER;
pub use weather::{Fate, Way, Weather};
pub(crate) use wire::Wire;
pub use wish::Wish;
