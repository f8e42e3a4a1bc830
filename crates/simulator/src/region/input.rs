//! Reads members of JSON inputs and writes common members of replies; never decides anything.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use super::ApiError;

pub(crate) fn text<'a>(input: &'a Value, name: &str) -> Option<&'a str> {
    input.get(name).and_then(Value::as_str)
}

pub(crate) fn flag(input: &Value, name: &str) -> Option<bool> {
    input.get(name).and_then(Value::as_bool)
}

/// A whole number that fits; also one written as a float or, as in query protocols, as text.
pub(crate) fn count(input: &Value, name: &str) -> Option<u32> {
    let value = input.get(name)?;
    value
        .as_u64()
        .and_then(|number| u32::try_from(number).ok())
        .or_else(|| value.as_str().and_then(|text| text.parse().ok()))
}

pub(crate) fn list<'a>(input: &'a Value, name: &str) -> &'a [Value] {
    input.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

pub(crate) fn texts<'a>(input: &'a Value, name: &str) -> impl Iterator<Item = &'a str> {
    list(input, name).iter().filter_map(Value::as_str)
}

/// A member that is there and not null.
pub(crate) fn given<'a>(input: &'a Value, name: &str) -> Option<&'a Value> {
    input.get(name).filter(|value| !value.is_null())
}

pub(crate) fn required<'a>(input: &'a Value, name: &str) -> Result<&'a str, ApiError> {
    text(input, name)
        .filter(|text| !text.is_empty())
        .ok_or_else(|| invalid(format!("{name} can not be blank.")))
}

/// `InvalidParameterException`.
pub(crate) fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::client("InvalidParameterException", message)
}

/// `ClientException`.
pub(crate) fn refused(message: impl Into<String>) -> ApiError {
    ApiError::client("ClientException", message)
}

/// Seconds since the epoch with milliseconds, as AWS's JSON protocols write times.
pub(crate) fn epoch(at: Timestamp) -> Value {
    json!(SignedDuration::from_millis(at.as_millisecond()).as_secs_f64())
}

pub(crate) fn put_epoch(map: &mut Map<String, Value>, name: &str, at: Option<Timestamp>) {
    if let Some(at) = at {
        map.insert(name.to_owned(), epoch(at));
    }
}

/// The object inside of a value made by `json!({…})`.
pub(crate) fn map_of(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

pub(crate) fn size(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// One page of `keys` (ascending): the keys and the token of the next page.
pub(crate) fn page<K: AsRef<str> + Into<String>>(
    keys: impl Iterator<Item = K>,
    input: &Value,
    default: u32,
    most: u32,
) -> Result<(Vec<String>, Option<String>), ApiError> {
    let limit = count(input, "maxResults").unwrap_or(default).clamp(1, most);
    let after = text(input, "nextToken").map(open_token).transpose()?;
    let mut keys =
        keys.filter(|key| after.as_ref().is_none_or(|after| key.as_ref() > after.as_str()));
    let most = usize::try_from(limit).unwrap_or(1);
    let page: Vec<String> = keys.by_ref().take(most).map(Into::into).collect();
    let more = keys.next().is_some();
    let token = page.last().filter(|_| more).map(|last| seal_token(last));
    Ok((page, token))
}

/// A reply with one list and, when there is more, `nextToken`.
pub(crate) fn paged(name: &str, items: Vec<Value>, token: Option<String>) -> Value {
    let mut reply = Map::new();
    reply.insert(name.to_owned(), Value::Array(items));
    if let Some(token) = token {
        reply.insert("nextToken".to_owned(), Value::String(token));
    }
    Value::Object(reply)
}

/// What was found and what was not, as replies about several things have it. Nothing is copied: these
/// are the largest replies there are.
pub(crate) fn described(name: &str, found: Vec<Value>, failures: Vec<Value>) -> Value {
    let mut reply = Map::new();
    reply.insert(name.to_owned(), Value::Array(found));
    reply.insert("failures".to_owned(), Value::Array(failures));
    Value::Object(reply)
}

fn seal_token(key: &str) -> String {
    use std::fmt::Write as _;
    key.bytes().fold(String::new(), |mut token, byte| {
        // Writing to a String cannot fail.
        let _ = write!(token, "{byte:02x}");
        token
    })
}

fn open_token(token: &str) -> Result<String, ApiError> {
    let bytes: Option<Vec<u8>> = token
        .as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect();
    bytes.and_then(|bytes| String::from_utf8(bytes).ok()).ok_or_else(|| invalid("Invalid token."))
}
