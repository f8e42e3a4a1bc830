//! Turns rpc-v2-CBOR bodies into JSON documents and back; never knows an operation.

use ciborium::Value as Cbor;
use serde_json::{Map, Number, Value, json};

use super::members::{Kind, kind};

/// CBOR tag of seconds since the epoch (RFC 8949, 3.4.2).
const EPOCH_TAG: u64 = 1;

/// Structures inside each other; CloudWatch's deepest input has 6.
const DEPTH_LIMIT: usize = 32;

/// Reads a body. An empty one is an empty structure.
pub(super) fn document(body: &[u8]) -> Result<Value, String> {
    if body.is_empty() {
        return Ok(json!({}));
    }
    let cbor: Cbor = ciborium::de::from_reader_with_recursion_limit(body, DEPTH_LIMIT)
        .map_err(|error| format!("the body is not CBOR: {error}"))?;
    from_cbor(cbor)
}

fn from_cbor(cbor: Cbor) -> Result<Value, String> {
    match cbor {
        Cbor::Null => Ok(Value::Null),
        Cbor::Bool(flag) => Ok(json!(flag)),
        Cbor::Text(text) => Ok(json!(text)),
        Cbor::Integer(number) => {
            let number = i64::try_from(number).map_err(|_| "an integer is out of range")?;
            Ok(json!(number))
        }
        Cbor::Float(number) => Ok(Number::from_f64(number).map_or(Value::Null, Value::Number)),
        Cbor::Tag(_, inner) => from_cbor(*inner),
        Cbor::Array(elements) => {
            Ok(Value::Array(elements.into_iter().map(from_cbor).collect::<Result<_, _>>()?))
        }
        Cbor::Map(members) => {
            let members = members.into_iter().map(member);
            Ok(Value::Object(members.collect::<Result<Map<_, _>, _>>()?))
        }
        _ => Err("the body holds a value that AWS's protocol does not use".to_owned()),
    }
}

fn member((name, value): (Cbor, Cbor)) -> Result<(String, Value), String> {
    let name = name.into_text().map_err(|_| "a member's name is not text")?;
    Ok((name, from_cbor(value)?))
}

/// Writes a reply: times tagged, decimals as floats even when they are whole.
pub(super) fn body(document: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    ciborium::into_writer(&to_cbor("", "", document), &mut bytes)
        .expect("writing to memory cannot fail");
    bytes
}

fn to_cbor(parent: &str, name: &str, value: &Value) -> Cbor {
    match value {
        Value::Null => Cbor::Null,
        Value::Bool(flag) => Cbor::Bool(*flag),
        Value::String(text) => Cbor::Text(text.clone()),
        Value::Number(number) => number_to_cbor(kind(parent, name), number),
        Value::Array(elements) => {
            Cbor::Array(elements.iter().map(|element| to_cbor(parent, name, element)).collect())
        }
        Value::Object(members) => Cbor::Map(
            members
                .iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(member, value)| (Cbor::Text(member.clone()), to_cbor(name, member, value)))
                .collect(),
        ),
    }
}

fn number_to_cbor(kind: Kind, number: &Number) -> Cbor {
    let float = Cbor::Float(number.as_f64().unwrap_or_default());
    match kind {
        Kind::Time => Cbor::Tag(EPOCH_TAG, Box::new(float)),
        Kind::Decimal => float,
        Kind::Text | Kind::Whole | Kind::Flag => {
            number.as_i64().map_or(float, |whole| Cbor::Integer(whole.into()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::document as read;
    use super::*;

    #[test]
    fn times_are_tagged_and_decimals_are_floats() {
        let document = json!({"MetricAlarms": [
            {"Threshold": 5, "Period": 60, "StateUpdatedTimestamp": 12, "StateReason": null}]});
        let cbor: Cbor = ciborium::from_reader(&*body(&document)).unwrap();
        let alarm = Cbor::Map(vec![
            (Cbor::Text("Threshold".into()), Cbor::Float(5.0)),
            (Cbor::Text("Period".into()), Cbor::Integer(60.into())),
            (
                Cbor::Text("StateUpdatedTimestamp".into()),
                Cbor::Tag(EPOCH_TAG, Box::new(Cbor::Float(12.0))),
            ),
        ]);
        let mut alarms = cbor.into_map().unwrap().remove(0).1.into_array().unwrap();
        let sorted = |value: Cbor| {
            let mut members = value.into_map().unwrap();
            members.sort_by_key(|(name, _)| format!("{name:?}"));
            members
        };
        assert_eq!(sorted(alarms.remove(0)), sorted(alarm));
    }

    #[test]
    fn what_was_written_reads_back_the_same() {
        let document = json!({"MetricDataResults": [
            {"Values": [1.5, 2.0], "Label": "x", "Timestamps": [60.0]}]});
        assert_eq!(read(&body(&document)), Ok(document));
    }

    #[test]
    fn garbage_and_bottomless_nesting_are_refused() {
        assert!(read(&[0xff, 0x00]).is_err());
        assert!(read(&vec![0x81; 100_000]).is_err());
        assert_eq!(read(b""), Ok(json!({})));
    }
}
