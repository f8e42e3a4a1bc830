//! The tree of members that RegisterTaskDefinition and CreateService take, read out of the SDK's own
//! types; never copied by hand.
//!
//! A member's schema does not carry the members of a nested structure, but `deserialize` hands every
//! structure's own schema to the deserializer. [`Visitor`] is a deserializer without input: it offers
//! every member of every structure once, with a dummy value, and notes what is read.

mod ahead;
mod enums;

use aws_sdk_ecs::operation::create_service::CreateServiceInput;
use aws_sdk_ecs::operation::register_task_definition::RegisterTaskDefinitionInput;
use aws_smithy_schema::Schema;
use aws_smithy_schema::serde::{SerdeError, ShapeDeserializer};
use aws_smithy_types::{BigDecimal, BigInteger, Blob, DateTime, Document};
use serde_json::{Map, Value, json};

/// `{"RegisterTaskDefinition": NODE, "CreateService": NODE}`, where NODE is one of
/// `{"type": "structure", "members": {name: NODE}}`, `{"type": "list", "member": NODE}`,
/// `{"type": "map", "value": NODE}`, `{"type": "string", "enum": [..]}` (`enum` where the values are
/// known) and `{"type": "integer" | "long" | "float" | "double" | "boolean" | "timestamp" |
/// "document" | "blob"}`.
pub fn shapes() -> Result<Value, SerdeError> {
    let mut register = Visitor::of("RegisterTaskDefinition");
    RegisterTaskDefinitionInput::deserialize(&mut register)?;
    let mut create = Visitor::of("CreateService");
    CreateServiceInput::deserialize(&mut create)?;
    Ok(json!({ "RegisterTaskDefinition": register.node, "CreateService": create.node }))
}

/// What the visit has found: `node` is the shape of the value read last, `path` where it was read,
/// such as
/// `RegisterTaskDefinition.containerDefinitions[].environment[].name`.
#[derive(Debug)]
struct Visitor {
    path: String,
    node: Value,
}

impl Visitor {
    fn of(operation: &str) -> Self {
        Self { path: operation.to_owned(), node: Value::Null }
    }

    /// Reads one value at `step` below the present path and takes its shape.
    fn below(
        &mut self,
        step: &str,
        read: &mut dyn FnMut(&mut dyn ShapeDeserializer) -> Result<(), SerdeError>,
    ) -> Result<Value, SerdeError> {
        let parent = self.path.clone();
        self.path.push_str(step);
        self.node = Value::Null;
        read(self)?;
        if self.node.is_null() {
            return Err(SerdeError::custom(format!("the SDK reads nothing at {}", self.path)));
        }
        self.path = parent;
        Ok(self.node.take())
    }

    fn leaf(&mut self, kind: &str) {
        self.node = json!({ "type": kind });
    }
}

impl ShapeDeserializer for Visitor {
    fn read_struct(
        &mut self,
        schema: &Schema<'_>,
        consumer: &mut dyn FnMut(&Schema<'_>, &mut dyn ShapeDeserializer) -> Result<(), SerdeError>,
    ) -> Result<(), SerdeError> {
        let mut members = Map::new();
        for member in schema.members() {
            let name = member.member_name().unwrap_or_default();
            let node = self.below(&format!(".{name}"), &mut |d| consumer(member, d))?;
            members.insert(name.to_owned(), node);
        }
        ahead::add(&self.path, &mut members)?;
        self.node = json!({ "type": "structure", "members": members });
        Ok(())
    }

    fn read_list(
        &mut self,
        _: &Schema<'_>,
        consumer: &mut dyn FnMut(&mut dyn ShapeDeserializer) -> Result<(), SerdeError>,
    ) -> Result<(), SerdeError> {
        let member = self.below("[]", consumer)?;
        self.node = json!({ "type": "list", "member": member });
        Ok(())
    }

    fn read_map(
        &mut self,
        _: &Schema<'_>,
        consumer: &mut dyn FnMut(String, &mut dyn ShapeDeserializer) -> Result<(), SerdeError>,
    ) -> Result<(), SerdeError> {
        let value = self.below("{}", &mut |d| consumer("key".to_owned(), d))?;
        self.node = json!({ "type": "map", "value": value });
        Ok(())
    }

    /// The dummy value of a string is its path, so that a test can see where the SDK made an enum.
    fn read_string(&mut self, _: &Schema<'_>) -> Result<String, SerdeError> {
        self.node = match enums::values(&self.path) {
            Some(values) => json!({ "type": "string", "enum": values }),
            None => json!({ "type": "string" }),
        };
        Ok(self.path.clone())
    }

    fn read_boolean(&mut self, _: &Schema<'_>) -> Result<bool, SerdeError> {
        self.leaf("boolean");
        Ok(false)
    }

    fn read_byte(&mut self, _: &Schema<'_>) -> Result<i8, SerdeError> {
        self.leaf("integer");
        Ok(0)
    }

    fn read_short(&mut self, _: &Schema<'_>) -> Result<i16, SerdeError> {
        self.leaf("integer");
        Ok(0)
    }

    fn read_integer(&mut self, _: &Schema<'_>) -> Result<i32, SerdeError> {
        self.leaf("integer");
        Ok(0)
    }

    fn read_long(&mut self, _: &Schema<'_>) -> Result<i64, SerdeError> {
        self.leaf("long");
        Ok(0)
    }

    fn read_float(&mut self, _: &Schema<'_>) -> Result<f32, SerdeError> {
        self.leaf("float");
        Ok(0.0)
    }

    fn read_double(&mut self, _: &Schema<'_>) -> Result<f64, SerdeError> {
        self.leaf("double");
        Ok(0.0)
    }

    fn read_big_integer(&mut self, _: &Schema<'_>) -> Result<BigInteger, SerdeError> {
        Err(SerdeError::unsupported("big integers do not occur in ECS"))
    }

    fn read_big_decimal(&mut self, _: &Schema<'_>) -> Result<BigDecimal, SerdeError> {
        Err(SerdeError::unsupported("big decimals do not occur in ECS"))
    }

    fn read_blob(&mut self, _: &Schema<'_>) -> Result<Blob, SerdeError> {
        self.leaf("blob");
        Ok(Blob::new(Vec::new()))
    }

    fn read_timestamp(&mut self, _: &Schema<'_>) -> Result<DateTime, SerdeError> {
        self.leaf("timestamp");
        Ok(DateTime::from_secs(0))
    }

    fn read_document(&mut self, _: &Schema<'_>) -> Result<Document, SerdeError> {
        self.leaf("document");
        Ok(Document::Null)
    }

    fn is_null(&self) -> bool {
        false
    }

    fn container_size(&self) -> Option<usize> {
        None
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fmt::Debug;

    use super::*;

    const CHECKED_IN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../manifest/src/shapes.json");

    #[test]
    fn the_shapes_that_manifests_are_checked_against_are_those_of_the_sdk() {
        let checked_in: Value =
            serde_json::from_str(&std::fs::read_to_string(CHECKED_IN).unwrap()).unwrap();
        assert!(
            checked_in == shapes().unwrap(),
            "crates/manifest/src/shapes.json is out of date: run `just shapes`"
        );
    }

    #[test]
    fn every_member_that_the_sdk_reads_as_an_enum_has_its_values_and_no_other_has() {
        let mut visitor = Visitor::of("RegisterTaskDefinition");
        let mut sdk = unknown_variants(&RegisterTaskDefinitionInput::deserialize(&mut visitor));
        let mut visitor = Visitor::of("CreateService");
        sdk.extend(unknown_variants(&CreateServiceInput::deserialize(&mut visitor)));
        let ours: BTreeSet<String> = enums::VALUES.iter().map(|row| row.0.to_owned()).collect();
        assert_eq!(ours, sdk);
    }

    /// The dummy values that became `Unknown(UnknownVariantValue("path"))`.
    fn unknown_variants(input: &impl Debug) -> BTreeSet<String> {
        let text = format!("{input:?}");
        let opening = "UnknownVariantValue(\"";
        text.split(opening).skip(1).map(|rest| rest.split('"').next().unwrap().to_owned()).collect()
    }
}
