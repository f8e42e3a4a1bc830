//! The production daemon against the region in virtual time, with everything that can go wrong; never
//! decides what is right: that is what properties are for.

pub mod event;
pub mod property;

pub use event::{Event, Replica, Sent};
pub use property::{Property, Violation};
