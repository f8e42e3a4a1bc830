//! Reading members of JSON replies; never fails: what is not there is empty.

use serde_json::Value;

/// The elements of a list member.
pub(crate) fn elements<'a>(reply: &'a Value, member: &str) -> impl Iterator<Item = &'a Value> {
    reply.get(member).and_then(Value::as_array).into_iter().flatten()
}

/// A string member.
pub(crate) fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value.get(member).and_then(Value::as_str).unwrap_or_default()
}

/// The name at the end of an ARN.
pub(crate) fn last_part(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or(arn)
}
