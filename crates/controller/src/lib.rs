//! controller crate root.
