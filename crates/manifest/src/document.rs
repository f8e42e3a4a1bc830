//! A JSON document kept in its compact text form; never interprets its members.

use std::fmt;

use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

/// A JSON object in AWS's own camelCase, stored as compact text because ten thousand of them
/// must fit in memory: a parsed `Value` takes about ten times the space.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document(Box<str>);

impl Document {
    pub fn new(value: &Value) -> Self {
        Self(value.to_string().into_boxed_str())
    }

    /// The parsed form; costs a parse on every call.
    pub fn value(&self) -> Value {
        serde_json::from_str(&self.0).unwrap_or(Value::Null)
    }

    /// One member of the object; none of the others is kept while it is looked for.
    pub fn member(&self, name: &str) -> Option<Value> {
        Member(name).deserialize(&mut serde_json::Deserializer::from_str(&self.0)).ok()?
    }

    pub fn text(&self) -> &str {
        &self.0
    }
}

/// Reads one member of an object.
struct Member<'a>(&'a str);

impl<'de> DeserializeSeed<'de> for Member<'_> {
    type Value = Option<Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Member<'_> {
    type Value = Option<Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(is_it) = members.next_key_seed(IsName(self.0))? {
            if is_it {
                found = Some(members.next_value()?);
            } else {
                members.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

/// Whether a member has this name.
struct IsName<'a>(&'a str);

impl<'de> DeserializeSeed<'de> for IsName<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for IsName<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member's name")
    }

    fn visit_str<E>(self, name: &str) -> Result<bool, E> {
        Ok(name == self.0)
    }
}

/// Written as the object that it is.
impl Serialize for Document {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Value::deserialize(deserializer).map(|value| Self::new(&value))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn one_member_reads_as_it_does_in_the_whole() {
        let value = json!({"a": 1, "b\"c": {"a": 2}, "list": [{"list": 3}], "none": null});
        let document = Document::new(&value);
        for name in ["a", "b\"c", "list", "none", "c", ""] {
            assert_eq!(document.member(name).as_ref(), value.get(name), "{name}");
        }
        for no_object in [json!(null), json!([1]), json!("a")] {
            assert_eq!(Document::new(&no_object).member("a"), None);
        }
    }
}
