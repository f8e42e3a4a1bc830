//! Whole looks at a service with a manifest, in JSON; never expects one to make sense.

use crate::look::Look;

/// Whatever is seen, there is a plan that the guard takes, a status and a list of changes.
pub(crate) fn run(data: &[u8]) {
    let Ok(document) = serde_json::from_slice(data) else { return };
    Look::read(&document).examine();
}
