//! Tags as they are read back from a service; never calls their reader itself, which is private.

use serde_json::{Value, json};

use crate::look::Look;

/// Lines `key=value`, put upon a settled service and upon one in the middle of a rollout.
pub(crate) fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for mut look in [Look::rolling(), Look::settled()] {
        for line in text.lines() {
            let (key, value) = line.split_once('=').unwrap_or((line, ""));
            look.set_tag(key, value);
        }
        look.examine();
    }
}

/// A tag as ECS lists it.
pub(crate) fn listed(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": value })
}
