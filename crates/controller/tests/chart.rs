//! The Helm chart, rendered by Helm and held against Kubernetes's own schemas; what it gives the daemon is read by the
//! daemon. Never installs it.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot be set up has failed"
)]

#[path = "moto/server.rs"]
#[expect(dead_code, reason = "the tests against moto use the rest")]
mod server;

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::server::tool;

/// What somebody must say who has one daemon and its manifests in the values.
const ONE: &str = "\
image: {repository: registry.example/evenkeel}
config: {aws: {region: eu-west-1}, control: {tokensFile: /secrets/tokens.toml}}
manifests:
  files:
    web.yaml: |
      apiVersion: evenkeel.dev/v1
      kind: Service
      metadata: {name: web}
      spec:
        cluster: prod
        taskDefinition:
          memory: '512'
          containerDefinitions: [{name: app, image: app}]
        service: {desiredCount: 1}
extraVolumes: [{name: tokens, secret: {secretName: evenkeel-tokens}}]
extraVolumeMounts: [{name: tokens, mountPath: /secrets, readOnly: true}]
env: [{name: HTTPS_PROXY, value: 'http://proxy.example:3128'}]
";

/// Two that agree through a lease table, on manifests from git.
const TWO: &str = "\
image: {repository: registry.example/evenkeel, digest: 'sha256:0000'}
replicas: 2
config:
  aws: {region: eu-west-1}
  lease: {backend: dynamodb, table: evenkeel-leases}
  sources:
    - name: shop
      git: {url: 'https://git.example/team/shop.git', branch: main}
serviceAccount: {annotations: {eks.amazonaws.com/role-arn: 'arn:aws:iam::123456789012:role/evenkeel'}}
imagePullSecrets: [{name: registry}]
podAnnotations: {team: shop}
nodeSelector: {kubernetes.io/arch: amd64}
tolerations: [{key: spot, operator: Exists}]
";

#[test]
fn helm_finds_nothing_to_complain_of() {
    for values in [ONE, TWO] {
        let output = helm(&["lint", "--strict"], values);
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && !said.contains("[WARNING]"), "{said}");
    }
}

#[test]
fn what_is_rendered_is_what_kubernetes_takes() {
    for values in [ONE, TWO] {
        let rendered = rendered(values);
        let kinds: Vec<&str> = rendered.iter().filter_map(|one| one["kind"].as_str()).collect();
        assert!(kinds.contains(&"Deployment") && kinds.contains(&"Service"), "{kinds:?}");
        let directory = tempfile::tempdir().unwrap();
        for version in ["1.25", "1.37"] {
            for (index, one) in rendered.iter().enumerate() {
                let file = directory.path().join(format!("{index}.yaml"));
                std::fs::write(&file, one.to_string()).unwrap();
                let mut check = tool("strangers");
                check.args(["kubernetes-validate", "--strict", "--kubernetes-version", version]);
                let output = check.arg(&file).output().unwrap();
                assert!(output.status.success(), "{version}: {one}: {output:?}");
            }
        }
    }
}

#[test]
fn the_daemon_reads_the_configuration_and_the_manifests_that_it_is_given() {
    for (values, lease) in [(ONE, "none"), (TWO, "dynamodb")] {
        let rendered = rendered(values);
        let read = read_by_the_daemon(&rendered);
        assert_eq!(read["lease"]["backend"], lease, "{read}");
        assert_eq!(read["http"]["listen"], "0.0.0.0:9464");
        assert_eq!(read["cacheDirectory"], "/cache", "{read}");
    }
    let directory = tempfile::tempdir().unwrap();
    let rendered = rendered(ONE);
    let manifest = config_map(&rendered, "demo-evenkeel-manifests")["web.yaml"].as_str().unwrap();
    std::fs::write(directory.path().join("web.yaml"), manifest).unwrap();
    let output = evenkeel(&["validate"]).arg(directory.path()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// Helm reads every number of a values file as one with a fraction, and writes it so.
#[test]
fn whole_numbers_of_a_values_file_do_not_stop_the_daemon() {
    let config =
        "config: {loop: {passes: 64}, prune: {clusters: [a], maxServices: 3, maxPercent: 5}}\n";
    let rendered = rendered(&configured(config));
    let read = read_by_the_daemon(&rendered);
    assert_eq!(read["loop"]["passes"], 64, "{read}");
    assert_eq!(read["prune"]["maxServices"], 3, "{read}");
    assert_eq!(read["prune"]["maxPercent"], 5, "{read}");
}

#[test]
fn a_name_of_digits_without_quotes_is_refused_by_the_chart() {
    for key in ["instance", "target"] {
        let output =
            helm(&["template", "demo"], &configured(&format!("config: {{{key}: 123456789012}}\n")));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let reason = format!("config.{key} must be text: put it in quotes");
        assert!(!output.status.success() && said.contains(&reason), "{said}");
        let quoted = rendered(&configured(&format!("config: {{{key}: '123456789012'}}\n")));
        assert_eq!(read_by_the_daemon(&quoted)[key], "123456789012");
    }
}

#[test]
fn what_the_configuration_says_of_cache_manifests_and_address_reaches_the_daemon() {
    let config = "config: {cacheDirectory: /data/cache, manifests: {path: /data/manifests}, \
                  http: {listen: '0.0.0.0:8080'}}\n";
    let rendered = rendered(&configured(config));
    let read = read_by_the_daemon(&rendered);
    assert_eq!(read["cacheDirectory"], "/data/cache", "{read}");
    assert_eq!(read["manifests"]["path"], "/data/manifests", "{read}");
    assert_eq!(read["http"]["listen"], "0.0.0.0:8080", "{read}");
    assert_eq!(container(&rendered)["ports"][0]["containerPort"], 8080);
    assert!(container(&rendered).get("env").is_none(), "there is nothing to be told besides");
}

/// `evenkeel config` prints them, and its output can be used as the configuration.
#[test]
fn an_address_and_a_directory_that_are_the_defaults_leave_the_pod_its_own() {
    let config = "config: {cacheDirectory: '', manifests: {path: manifests}, \
                  http: {listen: '127.0.0.1:9464'}}\n";
    let read = read_by_the_daemon(&rendered(&configured(config)));
    assert_eq!(read["cacheDirectory"], "/cache", "{read}");
    assert_eq!(read["manifests"]["path"], "/manifests", "{read}");
    assert_eq!(read["http"]["listen"], "0.0.0.0:9464", "{read}");
}

#[test]
fn an_address_that_nothing_outside_the_pod_reaches_is_refused_by_the_chart() {
    for listen in ["127.0.0.1:8080", "[::1]:9464"] {
        let config = format!("config: {{http: {{listen: '{listen}'}}}}\n");
        let output = helm(&["template", "demo"], &configured(&config));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let reason = format!("config.http.listen is {listen}, which Kubernetes cannot probe");
        assert!(!output.status.success() && said.contains(&reason), "{said}");
    }
}

#[test]
fn the_cache_can_outlive_the_pod_in_a_claim_that_exists() {
    let cache = |values: &str| -> Value {
        let rendered = rendered(values);
        let volumes = &deployment(&rendered)["spec"]["template"]["spec"]["volumes"];
        let is = |one: &&Value| one["name"] == "cache";
        volumes.as_array().unwrap().iter().find(is).unwrap().clone()
    };
    assert!(cache(ONE)["emptyDir"].is_object());
    let claimed = cache(&format!("{ONE}cache: {{existingClaim: evenkeel-cache}}\n"));
    assert_eq!(claimed["persistentVolumeClaim"]["claimName"], "evenkeel-cache");
    assert!(claimed["emptyDir"].is_null(), "{claimed}");
    let shared =
        helm(&["template", "demo"], &format!("{TWO}cache: {{existingClaim: evenkeel-cache}}\n"));
    let said = String::from_utf8_lossy(&shared.stderr);
    assert!(said.contains("cache.existingClaim is for one pod at a time"), "{said}");
}

#[test]
fn every_directory_that_the_daemon_is_told_of_is_mounted() {
    for values in [ONE, TWO] {
        let rendered = rendered(values);
        let container = container(&rendered);
        let mounts: Vec<&str> = (container["volumeMounts"].as_array().unwrap().iter())
            .filter_map(|mount| mount["mountPath"].as_str())
            .collect();
        let told = environment(&rendered);
        let told = told.iter().map(|(_, value)| value.as_str());
        for path in told.chain(["/config"]).filter(|value| value.starts_with('/')) {
            assert!(mounts.contains(&path), "{path} is not among {mounts:?}");
        }
    }
}

#[test]
fn two_daemons_without_a_lease_and_an_image_without_a_name_are_refused_with_the_reason() {
    let refused = |values: &str, reason: &str| {
        let output = helm(&["template", "demo"], values);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(reason), "{said}");
    };
    refused(&format!("{ONE}replicas: 2\n"), "config.lease.backend: dynamodb");
    refused("replicas: 1\n", "image.repository is required");
}

/// One replica is replaced, two overlap.
#[test]
fn a_daemon_without_a_lease_is_gone_before_the_next_one_starts() {
    let strategy = |values: &str| {
        let rendered = rendered(values);
        deployment(&rendered)["spec"]["strategy"]["type"].as_str().unwrap().to_owned()
    };
    assert_eq!([strategy(ONE), strategy(TWO)], ["Recreate", "RollingUpdate"]);
}

/// Every object that the chart makes of these values.
fn rendered(values: &str) -> Vec<Value> {
    let output = helm(&["template", "demo"], values);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let program = "import json, sys, yaml\n\
                   json.dump([one for one in yaml.safe_load_all(sys.stdin) if one], sys.stdout)";
    let mut python = tool("strangers")
        .args(["python", "-c", program])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    python.stdin.take().unwrap().write_all(&output.stdout).unwrap();
    serde_json::from_slice(&python.wait_with_output().unwrap().stdout).unwrap()
}

/// What is needed at least, with this configuration.
fn configured(config: &str) -> String {
    format!("image: {{repository: registry.example/evenkeel}}\n{config}")
}

/// The configuration that the daemon runs with.
fn read_by_the_daemon(rendered: &[Value]) -> Value {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("evenkeel.toml");
    let text = config_map(rendered, "demo-evenkeel")["evenkeel.toml"].as_str().unwrap();
    std::fs::write(&file, text).unwrap();
    let mut config = evenkeel(&["config", "-o", "json", "--config"]);
    let output = config.arg(&file).envs(environment(rendered)).output().unwrap();
    assert!(output.status.success(), "{text}: {output:?}");
    let mut read: Value = serde_json::from_slice(&output.stdout).unwrap();
    read["config"].take()
}

/// Helm with the chart and these values.
fn helm(command: &[&str], values: &str) -> Output {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("values.yaml");
    std::fs::write(&file, values).unwrap();
    let chart = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../charts/evenkeel");
    tool("helm").args(command).arg(chart).arg("--values").arg(file).output().unwrap()
}

fn evenkeel(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_evenkeel"));
    command.args(arguments);
    command
}

fn named<'a>(rendered: &'a [Value], kind: &str, name: &str) -> &'a Value {
    let is = |one: &&Value| one["kind"] == kind && one["metadata"]["name"] == name;
    rendered.iter().find(is).unwrap()
}

fn config_map<'a>(rendered: &'a [Value], name: &str) -> &'a Value {
    &named(rendered, "ConfigMap", name)["data"]
}

fn deployment(rendered: &[Value]) -> &Value {
    named(rendered, "Deployment", "demo-evenkeel")
}

fn container(rendered: &[Value]) -> &Value {
    &deployment(rendered)["spec"]["template"]["spec"]["containers"][0]
}

/// What the container is told by its environment.
fn environment(rendered: &[Value]) -> Vec<(String, String)> {
    let text = |one: &Value, member: &str| one[member].as_str().map(str::to_owned);
    let all = container(rendered)["env"].as_array();
    all.into_iter()
        .flatten()
        .filter_map(|one| Some((text(one, "name")?, text(one, "value")?)))
        .collect()
}
