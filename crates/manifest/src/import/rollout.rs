//! `spec.rollout` from the strategy that ECS shows; never more than makes ECS do the same.

use serde_json::{Map, Value, json};

/// The rollout, and the members of the service without what it says. `None` for a rolling one.
pub(super) fn taken_out(
    mut members: Map<String, Value>,
    controller: &str,
) -> (Option<Value>, Map<String, Value>) {
    if controller == "CODE_DEPLOY" {
        members.remove("deploymentConfiguration");
        return (Some(json!({"strategy": "CodeDeploy"})), members);
    }
    let configuration = members.get_mut("deploymentConfiguration").and_then(Value::as_object_mut);
    let Some(configuration) = configuration else { return (None, members) };
    let strategy = configuration.get("strategy").and_then(Value::as_str).map(str::to_owned);
    let rollout = strategy.and_then(|strategy| shift(&strategy, configuration));
    if rollout.is_some() {
        for name in ["strategy", "bakeTimeInMinutes", "canaryConfiguration", "linearConfiguration"]
        {
            configuration.remove(name);
        }
        without_own_gates(configuration);
    }
    if configuration.is_empty() {
        members.remove("deploymentConfiguration");
    }
    (rollout, members)
}

/// `None` for a word that is newer than Evenkeel, which stays where it is and is told by validation.
fn shift(strategy: &str, configuration: &Map<String, Value>) -> Option<Value> {
    let minutes = |value: Option<&Value>| {
        let minutes = value.and_then(Value::as_u64).unwrap_or_default();
        json!(format!("{minutes}m"))
    };
    let step = |of: &str, percent: &str, bake: &str| {
        let shown = configuration.get(of).cloned().unwrap_or_default();
        json!({"percent": shown.get(percent), "bake": minutes(shown.get(bake))})
    };
    let bake = minutes(configuration.get("bakeTimeInMinutes"));
    match strategy {
        "BLUE_GREEN" => Some(json!({"strategy": "BlueGreen", "bake": bake})),
        "CANARY" => {
            let step = step("canaryConfiguration", "canaryPercent", "canaryBakeTimeInMinutes");
            Some(json!({"strategy": "Canary", "canary": step, "bake": bake}))
        }
        "LINEAR" => {
            let step = step("linearConfiguration", "stepPercent", "stepBakeTimeInMinutes");
            Some(json!({"strategy": "Linear", "linear": step, "bake": bake}))
        }
        _ => None,
    }
}

/// Pauses are Evenkeel's gates, and written by it.
fn without_own_gates(configuration: &mut Map<String, Value>) {
    let hooks = configuration.get_mut("lifecycleHooks").and_then(Value::as_array_mut);
    let Some(hooks) = hooks else { return };
    hooks.retain(|hook| hook.get("targetType").and_then(Value::as_str) != Some("PAUSE"));
    if hooks.is_empty() {
        configuration.remove("lifecycleHooks");
    }
}
