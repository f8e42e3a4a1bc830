//! The JSON Schema: valid in itself, and of one mind with loading about good and bad manifests.

use std::path::Path;

use evenkeel_manifest::schema;
use serde_json::{Value, json};

fn validator() -> jsonschema::Validator {
    jsonschema::draft202012::new(&schema()).expect("the schema compiles and all references resolve")
}

fn manifest(change: impl FnOnce(&mut Value)) -> Value {
    let mut manifest = json!({
        "apiVersion": "evenkeel.dev/v1",
        "kind": "Service",
        "metadata": { "name": "web" },
        "spec": {
            "cluster": "prod",
            "taskDefinition": {
                "containerDefinitions": [{ "name": "web", "image": "web:1", "memory": 64 }]
            },
            "service": { "desiredCount": 2 }
        }
    });
    change(&mut manifest);
    manifest
}

#[test]
fn is_a_valid_schema_of_draft_2020_12() {
    let schema = schema();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert!(jsonschema::draft202012::meta::is_valid(&schema));
    assert!(validator().is_valid(&manifest(|_| {})));
}

#[test]
fn accepts_a_good_case_in_json() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/good/manifest.json");
    let text = std::fs::read_to_string(path).expect("the case exists");
    let case: Value = serde_json::from_str(&text).expect("the case is JSON");
    assert!(validator().is_valid(&case));
}

#[test]
fn accepts_every_spelling_that_loading_accepts() {
    let validator = validator();
    let good: [fn(&mut Value); 11] = [
        |m| m["spec"]["taskDefinition"]["cpu"] = 256.into(),
        |m| m["spec"]["taskDefinition"]["cpu"] = "1 vCPU".into(),
        |m| m["spec"]["taskDefinition"] = json!({ "file": "taskdef.json" }),
        |m| m["spec"]["cluster"] = "arn:aws-cn:ecs:cn-north-1:1:cluster/prod".into(),
        |m| m["spec"]["service"]["launchType"] = "TOMORROW".into(),
        |m| m["spec"]["rollout"] = json!({ "breaker": { "crashes": "20%", "doomed": 3 } }),
        |m| m["spec"]["rollout"] = json!({ "probe": { "healthyFor": "45s" } }),
        |m| m["spec"]["rollout"] = json!({ "strategy": "Canary", "canary": { "percent": 0.5 } }),
        |m| {
            m["spec"]["rollout"] =
                json!({ "strategy": "Linear", "bake": "10m", "gateTimeout": "2h" });
        },
        |m| m["x-anchors"] = json!({}),
        |m| {
            let arn = "arn:aws:lambda:eu-west-1:123456789012:function:smoke:7";
            let hooks = json!({ "BeforeInstall": "smoke:$LATEST", "AfterAllowTraffic": arn });
            m["spec"]["rollout"] =
                json!({ "strategy": "CodeDeploy", "codeDeploy": { "hooks": hooks } });
        },
    ];
    for (index, change) in good.into_iter().enumerate() {
        let errors: Vec<String> =
            validator.iter_errors(&manifest(change)).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{index}: {errors:?}");
    }
}

#[test]
fn refuses_what_loading_refuses_for_its_shape() {
    let validator = validator();
    let bad: [fn(&mut Value); 12] = [
        |m| m["spec"]["taskDefinition"]["containerDefinitions"][0]["imgae"] = "x".into(),
        |m| m["spec"]["taskDefinition"]["containerDefinitions"][0]["memory"] = "64".into(),
        |m| m["spec"]["taskDefinition"] = json!({}),
        |m| m["spec"]["service"]["cluster"] = "other".into(),
        |m| m["spec"]["service"]["networkConfiguration"] = json!({ "subnets": [] }),
        |m| m["spec"]["rollout"] = json!({ "breaker": { "crashes": "101%" } }),
        |m| m["spec"]["rollout"] = json!({ "strategy": "External" }),
        |m| m["metadata"]["name"] = "no spaces".into(),
        |m| m["apiVersion"] = "evenkeel.dev/v2".into(),
        |m| m["specification"] = json!({}),
        |m| m["spec"]["rollout"] = json!({ "codeDeploy": { "hooks": { "Install": "smoke" } } }),
        |m| m["spec"]["rollout"] = json!({ "codeDeploy": { "hooks": { "AfterInstall": "a b" } } }),
    ];
    for (index, change) in bad.into_iter().enumerate() {
        assert!(!validator.is_valid(&manifest(change)), "{index}");
    }
}

fn environment(spec: &Value) -> Value {
    json!({
        "apiVersion": "evenkeel.dev/v1", "kind": "Environment", "metadata": { "name": "prod" }, "spec": spec,
    })
}

#[test]
fn knows_environments_and_variables() {
    let validator = validator();
    let merge = json!([{ "match": { "name": "web" }, "merge": { "spec": { "paused": null } } }]);
    let patch = json!([{ "match": {}, "patch": [{ "op": "remove", "path": "/spec/service" }] }]);
    for spec in [
        json!({}),
        json!({ "vars": { "a": 1, "b": "x", "c-d": true }, "overlays": merge }),
        json!({ "overlays": patch }),
    ] {
        let errors: Vec<String> =
            validator.iter_errors(&environment(&spec)).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{spec}: {errors:?}");
    }
    for spec in [
        json!({ "vars": { "a": [] } }),
        json!({ "vars": { "1a": 1 } }),
        json!({ "overlays": [{ "merge": {} }] }),
        json!({ "overlays": [{ "match": {} }] }),
        json!({ "overlays": [{ "match": {}, "merge": {}, "patch": [] }] }),
        json!({ "overlays": [{ "match": { "nmae": "web" }, "merge": {} }] }),
        json!({ "overlays": [{ "match": {}, "patch": [{ "op": "relpace", "path": "" }] }] }),
    ] {
        assert!(!validator.is_valid(&environment(&spec)), "{spec}");
    }
    let template = manifest(|m| {
        m["spec"]["service"]["desiredCount"] = "${replicas}".into();
        m["spec"]["cluster"] = "arn:${x}".into();
        m["spec"]["rollout"] = json!({ "bake": "${bake}", "canary": { "percent": "${p}" } });
    });
    let errors: Vec<String> =
        validator.iter_errors(&template).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{errors:?}");
}

#[test]
fn shows_the_defaults_of_aws_and_of_evenkeel() {
    let schema = schema();
    let service = &schema["$defs"]["CreateService"]["properties"];
    let configuration = &service["deploymentConfiguration"]["properties"];
    assert_eq!(configuration["maximumPercent"]["default"], 200);
    let container = &schema["$defs"]["RegisterTaskDefinition"]["properties"]["containerDefinitions"]
        ["items"]["properties"];
    assert_eq!(container["essential"]["default"], true);
    let breaker = &schema["$defs"]["Breaker"]["properties"];
    assert_eq!(breaker["doomed"]["default"], 1);
    assert_eq!(breaker["crashes"]["default"], "auto");
    assert_eq!(breaker["progressDeadline"]["default"], "10m");
    assert_eq!(schema["$defs"]["Probe"]["properties"]["healthyFor"]["default"], "30s");
}
