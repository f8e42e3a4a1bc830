//! Members that AWS's own model has and the SDK's newest crate has not; empty when the crate has
//! caught up.

use aws_smithy_schema::serde::SerdeError;
use serde_json::{Map, Value, json};

/// The structure's path, the member and its node (botocore 1.44.5, `data/ecs/*/service-2.json`).
fn members() -> [(&'static str, &'static str, Value); 2] {
    let isolation = ["CONFIDENTIAL_SANDBOX", "ISOLATED_SANDBOX", "SHARED"];
    [
        (
            "RegisterTaskDefinition",
            "trustedExecutionConfiguration",
            json!({ "type": "structure", "members": {
                "attestationPolicy": { "type": "string" },
                "isolationMode": { "type": "string", "enum": isolation },
            } }),
        ),
        (
            "CreateService.gatewayConnectors[]",
            "deregistrationDelay",
            json!({ "type": "structure", "members": { "timeoutSeconds": { "type": "integer" } } }),
        ),
    ]
}

/// Adds what belongs to the structure at `path`. A member that the SDK has too is an error, so that
/// a row is removed when it is no longer needed.
pub(super) fn add(path: &str, known: &mut Map<String, Value>) -> Result<(), SerdeError> {
    for (_, name, node) in members().into_iter().filter(|row| row.0 == path) {
        if known.insert(name.to_owned(), node).is_some() {
            return Err(SerdeError::custom(format!("the SDK knows {path}.{name}: remove its row")));
        }
    }
    Ok(())
}
