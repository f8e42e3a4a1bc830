//! Keeps the values of a request's environment variables out of what AWS says about it; never needs
//! to know which of them are secret.

use std::collections::BTreeSet;

use evenkeel_reconciler::CloudError;
use serde_json::Value;

/// Shorter values (`1`, `true`, `eu`) are no secrets, and hiding them would garble the message.
const SECRET_MIN: usize = 6;

/// The error without the environment values of `input` in its message.
pub(crate) fn redact(mut error: CloudError, input: &Value) -> CloudError {
    let mut values = BTreeSet::new();
    environment_values(input, &mut values);
    if let Some(message) = message(&mut error) {
        for value in values {
            *message = message.replace(value, "***");
        }
    }
    error
}

fn message(error: &mut CloudError) -> Option<&mut String> {
    match error {
        CloudError::Throttled { message, .. }
        | CloudError::Transient { message, .. }
        | CloudError::UnknownOutcome { message, .. }
        | CloudError::Rejected { message, .. }
        | CloudError::Denied { message, .. }
        | CloudError::Quota { message, .. }
        | CloudError::Conflict { message, .. } => Some(message),
        CloudError::CapabilityMissing { .. } => None,
    }
}

/// The values of all lists called `environment`, at any depth.
fn environment_values<'a>(input: &'a Value, values: &mut BTreeSet<&'a str>) {
    match input {
        Value::Object(members) => {
            let variables = members.get("environment").and_then(Value::as_array);
            let found =
                variables.into_iter().flatten().filter_map(|pair| pair.get("value")?.as_str());
            values.extend(found.filter(|value| value.len() >= SECRET_MIN));
            for member in members.values() {
                environment_values(member, values);
            }
        }
        Value::Array(elements) => {
            for element in elements {
                environment_values(element, values);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_message_that_quotes_an_environment_value_is_shown_without_it() {
        let input = json!({ "containerDefinitions": [{ "name": "web", "environment": [
            { "name": "PASSWORD", "value": "hunter2hunter2" }, { "name": "DEBUG", "value": "web" },
        ] }] });
        let error = CloudError::Rejected {
            operation: "RegisterTaskDefinition".to_owned(),
            code: "ClientException".to_owned(),
            message: "Container web: value hunter2hunter2 is not valid".to_owned(),
        };
        let shown = redact(error, &input).to_string();
        assert!(shown.contains("Container web: value *** is not valid"), "{shown}");
    }
}
