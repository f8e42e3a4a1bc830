//! The JSON Schema of `kind: Environment`; never that of what it is laid over.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::Value;

use crate::envelope::{API_VERSION, ENVIRONMENT};

/// What differs between environments, laid over manifests.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields, extend("patternProperties" = { "^x-": true }))]
#[expect(dead_code, reason = "its fields are read by the derived schema only")]
pub(super) struct Environment {
    #[schemars(extend("const" = API_VERSION))]
    api_version: String,
    #[schemars(extend("const" = ENVIRONMENT))]
    kind: String,
    metadata: EnvironmentMetadata,
    spec: EnvironmentSpec,
}

/// What the environment is called.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "its fields are read by the derived schema only")]
struct EnvironmentMetadata {
    /// The name that `--environment` takes: letters, digits, `_` and `-`.
    #[schemars(regex(pattern = r"^[A-Za-z0-9_-]{1,255}$"))]
    name: String,
    /// Without effect.
    #[schemars(default)]
    labels: BTreeMap<String, String>,
    /// Without effect.
    #[schemars(default)]
    annotations: BTreeMap<String, String>,
}

/// Variables and overlays.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "its fields are read by the derived schema only")]
struct EnvironmentSpec {
    /// Strings, numbers and booleans by the names that `${name}` stands for.
    #[schemars(default, schema_with = "vars")]
    vars: Value,
    /// Changes to manifests, applied in this order.
    #[schemars(default)]
    overlays: Vec<Overlay>,
}

fn vars(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "patternProperties": {
            "^[A-Za-z][A-Za-z0-9_-]{0,63}$": { "type": ["string", "number", "boolean"] }
        },
        "additionalProperties": false
    })
}

/// One change to the manifests that it selects: `merge` or `patch`.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("oneOf" = [{ "required": ["merge"] }, { "required": ["patch"] }]))]
#[expect(dead_code, reason = "its fields are read by the derived schema only")]
struct Overlay {
    r#match: Match,
    /// A JSON merge patch (RFC 7386): members are merged, null removes one, lists are replaced.
    #[schemars(default, schema_with = "object")]
    merge: Option<Value>,
    /// A JSON patch (RFC 6902).
    patch: Option<Vec<PatchOperation>>,
}

fn object(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object" })
}

/// Which manifests, by what they say before any overlay; all of them if empty.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "its fields are read by the derived schema only")]
struct Match {
    target: Option<String>,
    /// By name or ARN.
    cluster: Option<String>,
    name: Option<String>,
    /// All of these, with these values.
    labels: Option<BTreeMap<String, String>>,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "its fields are read by the derived schema only")]
struct PatchOperation {
    #[schemars(extend("enum" = ["add", "remove", "replace", "move", "copy", "test"]))]
    op: String,
    /// A JSON pointer, such as `/spec/service/desiredCount`.
    #[schemars(regex(pattern = r"^(/.*)?$"))]
    path: String,
    #[schemars(regex(pattern = r"^(/.*)?$"))]
    from: Option<String>,
    value: Option<Value>,
}
