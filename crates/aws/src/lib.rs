//! How: the only crate that names the AWS SDK; never decides what to ask or what to do.

mod shapes;

pub use shapes::shapes;
