//! local crate root.
