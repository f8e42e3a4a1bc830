//! The JSON Schema of manifests, for editors; never stricter than what is loaded, and never the
//! only check.
//!
//! Where a variable of an environment may stand for a value, the schema takes `${name}` too.
//!
//! The members around the AWS shapes come from types; the AWS shapes from AWS's own tree of fields,
//! with the defaults and required members of the same tables that loading uses.

mod environment;

use std::collections::BTreeMap;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};

use crate::canonical::rules::default_of;
use crate::checks::required;
use crate::envelope::{API_VERSION, ELSEWHERE, ENVIRONMENT, KIND};
use crate::shape_check::SIZES;
use crate::shapes::{Shape, shapes};
use crate::{Drift, Rollout};
use environment::Environment;

/// JSON Schema (draft 2020-12) of one manifest or environment.
pub fn schema() -> Value {
    let mut generator = SchemaGenerator::new(SchemaSettings::draft2020_12());
    let service = generator.subschema_for::<Manifest>();
    let environment = generator.subschema_for::<Environment>();
    let mut definitions = generator.take_definitions(true);
    definitions.extend(aws_inputs());
    definitions.values_mut().for_each(allow_variables);
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "if": { "properties": { "kind": { "const": ENVIRONMENT } }, "required": ["kind"] },
        "then": environment,
        "else": service,
        "$defs": definitions,
    })
}

fn aws_inputs() -> [(String, Value); 2] {
    let shapes = shapes();
    let task_definition = AwsInput { of_service: false };
    let task_definition = task_definition.root(&shapes.register_task_definition, &SIZES, &[]);
    let elsewhere: Vec<&str> = ELSEWHERE.iter().map(|(name, _)| *name).collect();
    let service = AwsInput { of_service: true };
    let service = service.root(&shapes.create_service, &[], &elsewhere);
    [("RegisterTaskDefinition".to_owned(), task_definition), ("CreateService".to_owned(), service)]
}

/// The name of a variable in a string.
const VARIABLE: &str = r"\$\{[A-Za-z][A-Za-z0-9_-]*\}";

/// Where only a number or a boolean is taken, a variable alone is taken too; where a text has a pattern,
/// one with a variable in it.
fn allow_variables(schema: &mut Value) {
    if let Some(keywords) = schema.as_object_mut() {
        let types = match keywords.get("type") {
            Some(Value::String(one)) => vec![one.clone()],
            Some(Value::Array(all)) => {
                all.iter().filter_map(Value::as_str).map(str::to_owned).collect()
            }
            _ => Vec::new(),
        };
        let takes = |name: &str| types.iter().any(|one| one == name);
        let pattern = keywords.get("pattern").and_then(Value::as_str);
        if let (true, Some(pattern)) = (takes("string"), pattern) {
            let either = format!("({pattern})|{VARIABLE}");
            keywords.insert("pattern".to_owned(), either.into());
        } else if !takes("string") && ["integer", "number", "boolean"].into_iter().any(takes) {
            let types = [types, vec!["string".to_owned()]].concat();
            keywords.insert("type".to_owned(), types.into());
            keywords.insert("pattern".to_owned(), format!("^{VARIABLE}$").into());
        }
    }
    match schema {
        Value::Object(keywords) => keywords.values_mut().for_each(allow_variables),
        Value::Array(elements) => elements.iter_mut().for_each(allow_variables),
        _ => {}
    }
}

/// One ECS service as it is wanted.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields, extend("patternProperties" = { "^x-": true }))]
#[expect(dead_code, reason = "its fields are read by the derived schema only")]
struct Manifest {
    #[schemars(extend("const" = API_VERSION))]
    api_version: String,
    #[schemars(extend("const" = KIND))]
    kind: String,
    metadata: Metadata,
    spec: Spec,
}

/// What the service is called.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "its fields are read by the derived schema only")]
struct Metadata {
    /// The name of the ECS service: letters, digits, `_` and `-`.
    #[schemars(regex(pattern = r"^[A-Za-z0-9_-]{1,255}$"))]
    name: String,
    /// Words to select services by.
    #[schemars(default)]
    labels: BTreeMap<String, String>,
    /// Notes for people and tools, without effect, except `evenkeel.dev/pause` with a reason and
    /// `evenkeel.dev/approve` with the first digits of a revision.
    #[schemars(default)]
    annotations: BTreeMap<String, String>,
}

/// What the service should be.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "its fields are read by the derived schema only")]
struct Spec {
    /// The account and region, by the name that the daemon knows them under.
    #[schemars(default = "default_target", regex(pattern = r"^[A-Za-z0-9_-]{1,255}$"))]
    target: String,
    /// The name or the ARN of the cluster.
    #[schemars(regex(pattern = r"^(arn:[^:]+:ecs:[^:]*:[^:]*:cluster/)?[A-Za-z0-9_-]{1,255}$"))]
    cluster: String,
    #[schemars(schema_with = "task_definition")]
    task_definition: Value,
    #[schemars(default = "empty", schema_with = "service")]
    service: Value,
    #[schemars(default)]
    rollout: Rollout,
    #[schemars(default)]
    drift: Drift,
    /// Nothing is written to AWS while this is true.
    #[schemars(default)]
    paused: bool,
    /// Take over a service that exists already and was not made by Evenkeel.
    #[schemars(default)]
    adopt: bool,
}

fn default_target() -> &'static str {
    crate::ServiceKey::DEFAULT_TARGET
}

fn empty() -> Value {
    json!({})
}

fn task_definition(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "description": "The input of RegisterTaskDefinition, or the file that holds it. `family` is \
                        `metadata.name` when left out.",
        "anyOf": [
            { "$ref": "#/$defs/RegisterTaskDefinition" },
            {
                "type": "object",
                "properties": {
                    "file": {
                        "description": "A YAML or JSON file with the task definition, relative to \
                                        this one.",
                        "type": "string"
                    }
                },
                "required": ["file"],
                "additionalProperties": false
            }
        ]
    })
}

fn service(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "description": "The input of CreateService, without `cluster` and `taskDefinition`. A \
                        `desiredCount` that is left out belongs to somebody else, such as an \
                        autoscaler.",
        "$ref": "#/$defs/CreateService"
    })
}

/// The input of RegisterTaskDefinition or of CreateService.
#[derive(Clone, Copy)]
struct AwsInput {
    of_service: bool,
}

impl AwsInput {
    /// `numeric` members take a number for a string of digits; `except` are said elsewhere.
    fn root(self, shape: &Shape, numeric: &[&str], except: &[&str]) -> Value {
        let operation = if self.of_service { "CreateService" } else { "RegisterTaskDefinition" };
        let mut schema = self.schema(shape, "");
        let page = format!(
            "https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_{operation}.html"
        );
        set(&mut schema, "description", page.into());
        if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
            properties.retain(|name, _| !except.contains(&name.as_str()));
            for name in numeric {
                properties.insert((*name).to_owned(), json!({ "type": ["string", "integer"] }));
            }
        }
        schema
    }

    fn schema(self, shape: &Shape, path: &str) -> Value {
        match shape {
            Shape::Structure { members } => self.structure(members, path),
            Shape::List { member } => {
                json!({ "type": "array", "items": self.schema(member, &format!("{path}[]")) })
            }
            Shape::Map { value } => {
                json!({ "type": "object", "additionalProperties": self.schema(value, path) })
            }
            Shape::String { known } if known.is_empty() => json!({ "type": "string" }),
            // Known values are offered, and others accepted: AWS is ahead.
            Shape::String { known } => {
                json!({ "type": "string", "anyOf": [{ "enum": known }, { "type": "string" }] })
            }
            Shape::Integer => {
                json!({ "type": "integer", "minimum": i32::MIN, "maximum": i32::MAX })
            }
            Shape::Long => json!({ "type": "integer" }),
            Shape::Float | Shape::Double | Shape::Timestamp => json!({ "type": "number" }),
            Shape::Boolean => json!({ "type": "boolean" }),
            Shape::Blob => json!({ "type": "string" }),
            Shape::Document => json!({}),
        }
    }

    fn structure(self, members: &BTreeMap<String, Shape>, path: &str) -> Value {
        let property = |(name, shape): (&String, &Shape)| {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            let mut schema = self.schema(shape, &path);
            if let Some(default) = default_of(self.of_service, &path) {
                set(&mut schema, "default", default);
            }
            (name.clone(), schema)
        };
        let properties: Map<String, Value> = members.iter().map(property).collect();
        let mut schema = json!({
            "type": "object", "properties": properties, "additionalProperties": false
        });
        let required = required::members(self.of_service, path);
        if !required.is_empty() {
            set(&mut schema, "required", json!(required));
        }
        schema
    }
}

fn set(schema: &mut Value, keyword: &str, value: Value) {
    if let Some(keywords) = schema.as_object_mut() {
        keywords.insert(keyword.to_owned(), value);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::node::Cursor;
    use crate::{Limits, reader, shape_check};

    /// Every manifest among the good cases, as an editor would see it.
    fn good_manifests() -> Vec<(String, Value)> {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/good");
        let mut manifests = Vec::new();
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let name = path.display().to_string();
            let text = std::fs::read_to_string(&path).unwrap();
            let file = name.as_str().into();
            for document in reader::read(&name, &text, &Limits::default()).documents {
                let value = shape_check::document(&Cursor::root(&file, &document.root));
                if value.get("kind").is_some() {
                    manifests.push((name.clone(), value));
                }
            }
        }
        manifests
    }

    #[test]
    fn accepts_every_good_case() {
        let validator = jsonschema::draft202012::new(&schema()).unwrap();
        let manifests = good_manifests();
        assert!(manifests.len() >= 6, "only {} were found", manifests.len());
        for (name, manifest) in manifests {
            let errors: Vec<String> =
                validator.iter_errors(&manifest).map(|error| error.to_string()).collect();
            assert!(errors.is_empty(), "{name}: {errors:?}");
        }
    }
}
