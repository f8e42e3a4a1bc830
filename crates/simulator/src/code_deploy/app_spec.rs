//! The `AppSpec` of a deployment, in JSON; never YAML, and never what runs from it.
//!
//! Source: reference page, section 6.1.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::lifecycle::Step;
use super::refused;
use crate::region::{ApiError, Revision, count, given, list, text};

#[derive(Clone, Debug)]
pub(super) struct AppSpec {
    pub(super) sha256: String,
    /// In the members of a service revision; `loadBalancers` has one entry without a target group.
    pub(super) change: Map<String, Value>,
    /// The events that have a function, and which.
    pub(super) hooks: Vec<(Step, String)>,
}

/// `InvalidRevisionException`.
fn invalid(message: impl Into<String>) -> ApiError {
    refused("InvalidRevision", message)
}

impl AppSpec {
    /// Of the `revision` of CreateDeployment.
    pub(super) fn of_input(input: &Value) -> Result<Self, ApiError> {
        let revision = given(input, "revision")
            .ok_or_else(|| refused("RevisionRequired", "The revision is required."))?;
        if text(revision, "revisionType") != Some("AppSpecContent") {
            return Err(invalid(
                "For ECS deployment group, the revision type must be AppSpecContent.",
            ));
        }
        let content = given(revision, "appSpecContent")
            .ok_or_else(|| invalid("The AppSpecContent is required."))?;
        let spec = text(content, "content").map(Self::read);
        let spec = spec.ok_or_else(|| invalid("The content of the AppSpec is required."))??;
        match text(content, "sha256") {
            Some(sha256) if sha256 != spec.sha256 => {
                Err(invalid("The sha256 of the AppSpec does not match its content."))
            }
            _ => Ok(spec),
        }
    }

    /// One that deploys a revision of a service once more.
    pub(super) fn again(revision: &Revision) -> Result<Self, ApiError> {
        let members = &revision.members;
        let balancer = members.get("loadBalancers").and_then(|all| all.get(0));
        let part = |name: &str| balancer.and_then(|one| one.get(name)).cloned();
        let mut properties = Map::new();
        let mut put = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                properties.insert(name.to_owned(), value);
            }
        };
        put("TaskDefinition", Some(json!(*revision.task_definition.arn)));
        let container = json!({
            "ContainerName": part("containerName"), "ContainerPort": part("containerPort"),
        });
        put("LoadBalancerInfo", Some(container));
        put("PlatformVersion", members.get("platformVersion").cloned());
        for (name, member) in [
            ("NetworkConfiguration", "networkConfiguration"),
            ("CapacityProviderStrategy", "capacityProviderStrategy"),
        ] {
            put(name, members.get(member).map(|value| recased(value, char::to_ascii_uppercase)));
        }
        let service = json!({"Type": "AWS::ECS::Service", "Properties": properties});
        let content = json!({"version": 0.0, "Resources": [{"TargetService": service}]});
        Self::read(&content.to_string())
    }

    fn read(content: &str) -> Result<Self, ApiError> {
        let document: Value = serde_json::from_str(content)
            .map_err(|error| invalid(format!("The AppSpec file cannot be parsed: {error}")))?;
        let [resource] = list(&document, "Resources") else {
            return Err(invalid("The AppSpec must contain exactly one resource."));
        };
        let service = given(resource, "TargetService")
            .filter(|service| text(service, "Type") == Some("AWS::ECS::Service"))
            .ok_or_else(|| invalid("The resource of the AppSpec must be an AWS::ECS::Service."))?;
        let properties = given(service, "Properties").unwrap_or(&Value::Null);
        let hooks = list(&document, "Hooks").iter().filter_map(Value::as_object);
        let hooks = hooks.flatten().map(|(name, function)| hook(name, function));
        Ok(Self {
            sha256: sha256(content),
            change: change(properties)?,
            hooks: hooks.collect::<Result<_, _>>()?,
        })
    }
}

fn hook(name: &str, function: &Value) -> Result<(Step, String), ApiError> {
    let step = Step::scriptable(name)
        .ok_or_else(|| invalid(format!("The AppSpec names an unknown hook: {name}")))?;
    let function = function.as_str().filter(|function| !function.is_empty());
    let function =
        function.ok_or_else(|| invalid(format!("The hook {name} must name a function.")))?;
    Ok((step, function.to_owned()))
}

fn change(properties: &Value) -> Result<Map<String, Value>, ApiError> {
    let definition = text(properties, "TaskDefinition")
        .ok_or_else(|| invalid("The AppSpec must contain a TaskDefinition."))?;
    let balancer = given(properties, "LoadBalancerInfo").unwrap_or(&Value::Null);
    let (Some(container), Some(port)) =
        (text(balancer, "ContainerName"), count(balancer, "ContainerPort"))
    else {
        return Err(invalid(
            "The AppSpec must contain a LoadBalancerInfo with a ContainerName and a ContainerPort.",
        ));
    };
    let mut change = Map::new();
    change.insert("taskDefinition".to_owned(), json!(definition));
    let balancer = json!([{"containerName": container, "containerPort": port}]);
    change.insert("loadBalancers".to_owned(), balancer);
    for (name, member) in [
        ("NetworkConfiguration", "networkConfiguration"),
        ("CapacityProviderStrategy", "capacityProviderStrategy"),
        ("PlatformVersion", "platformVersion"),
    ] {
        if let Some(value) = given(properties, name) {
            change.insert(member.to_owned(), recased(value, char::to_ascii_lowercase));
        }
    }
    Ok(change)
}

/// With the first letter of every member's name in the other case.
fn recased(value: &Value, case: fn(&char) -> char) -> Value {
    match value {
        Value::Object(members) => {
            let recase = |(name, value): (&String, &Value)| {
                let mut letters = name.chars();
                let first = letters.next().map(|letter| case(&letter));
                (first.into_iter().chain(letters).collect(), recased(value, case))
            };
            Value::Object(members.iter().map(recase).collect())
        }
        Value::Array(items) => items.iter().map(|item| recased(item, case)).collect(),
        scalar => scalar.clone(),
    }
}

/// In hexadecimal digits.
fn sha256(content: &str) -> String {
    Sha256::digest(content.as_bytes()).iter().fold(String::new(), |mut digits, byte| {
        // Writing to a String cannot fail.
        let _ = write!(digits, "{byte:02x}");
        digits
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(properties: &Value) -> Result<AppSpec, ApiError> {
        let service = json!({"Type": "AWS::ECS::Service", "Properties": properties});
        AppSpec::read(&json!({"Resources": [{"TargetService": service}]}).to_string())
    }

    #[test]
    fn properties_become_members_of_a_service_revision() {
        let subnets = json!({"Subnets": ["subnet-1"], "AssignPublicIp": "ENABLED"});
        let read = spec(&json!({
            "TaskDefinition": "web:2",
            "LoadBalancerInfo": {"ContainerName": "web", "ContainerPort": 80},
            "NetworkConfiguration": {"AwsvpcConfiguration": subnets},
        }));
        let change = Value::Object(read.unwrap().change);
        let expected = json!({
            "taskDefinition": "web:2",
            "loadBalancers": [{"containerName": "web", "containerPort": 80}],
            "networkConfiguration": {"awsvpcConfiguration": {
                "subnets": ["subnet-1"], "assignPublicIp": "ENABLED",
            }},
        });
        assert_eq!(change, expected);
    }

    #[test]
    fn a_digest_is_of_the_content_as_it_was_sent() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(sha256(""), empty);
    }

    #[test]
    fn a_port_that_is_text_or_a_hook_that_nobody_calls_is_refused() {
        let balancer = json!({"ContainerName": "web", "ContainerPort": "http"});
        let port = spec(&json!({"TaskDefinition": "web:2", "LoadBalancerInfo": balancer}));
        assert_eq!(port.unwrap_err().code, "InvalidRevisionException");
        let hooked = |event: &str, function: Value| {
            let properties = json!({
                "TaskDefinition": "web:2",
                "LoadBalancerInfo": {"ContainerName": "web", "ContainerPort": 80},
            });
            let service = json!({"Type": "AWS::ECS::Service", "Properties": properties});
            let resources = json!([{"TargetService": service}]);
            let document = json!({"Resources": resources, "Hooks": [{event: function}]});
            AppSpec::read(&document.to_string()).is_ok()
        };
        assert!(hooked("AfterInstall", json!("f")) && !hooked("AfterInstall", json!("")));
        assert!(!hooked("Install", json!("f")) && !hooked("ApplicationStop", json!("f")));
    }
}
