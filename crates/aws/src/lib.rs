//! aws crate root.
