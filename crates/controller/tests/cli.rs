//! The built binary as a user runs it: exit codes, outputs, and sentences on standard error.

#![expect(clippy::unwrap_used, reason = "a test that panics is a test that fails")]

#[path = "cli/orders.rs"]
mod orders;

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};

use serde_json::Value;

use orders::answering;

const GOOD: &str = "\
apiVersion: evenkeel.dev/v1
kind: Service
metadata: {name: web}
spec:
  cluster: prod
  taskDefinition:
    memory: '512'
    containerDefinitions: [{name: app, image: app}]
  service: {desiredCount: 1}
";

/// The binary with nothing of this machine's configuration and no real credentials.
fn evenkeel(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_evenkeel"));
    command.args(arguments).current_dir(directory).env_clear();
    command.env("HOME", directory).env("AWS_REGION", "eu-central-1");
    command.env("AWS_ACCESS_KEY_ID", "none").env("AWS_SECRET_ACCESS_KEY", "none");
    // A port on which nothing listens, so that no test can reach the real AWS.
    command.env("EVENKEEL_AWS__ENDPOINT_URL", "http://127.0.0.1:9");
    command
}

fn run(directory: &Path, arguments: &[&str]) -> Output {
    evenkeel(directory, arguments).output().unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn directory(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    dir
}

#[test]
fn validate_passes_good_manifests_without_credentials() {
    let dir = directory(&[("m/web.yaml", GOOD)]);
    let output = evenkeel(dir.path(), &["validate", "m"]).env_clear().output().unwrap();
    assert_eq!((code(&output), stderr(&output)), (0, String::new()));
    insta::assert_snapshot!(stdout(&output), @"1 service valid in 1 file: 0 errors, 0 warnings");
}

#[test]
fn validate_tells_every_problem_with_its_place_and_fails() {
    let bad = GOOD.replace("memory", "memroy").replace("desiredCount", "desiredCuont");
    let dir = directory(&[("m/web.yaml", &bad), ("m/api.yaml", &GOOD.replace("web", "api"))]);
    let output = run(dir.path(), &["validate", "m"]);
    assert_eq!(code(&output), 1);
    let text = stdout(&output);
    assert!(text.contains("m/web.yaml:7:"), "{text}");
    assert!(text.contains("did you mean `memory`?"), "{text}");
    assert!(text.contains("did you mean `desiredCount`?"), "{text}");
    assert!(text.contains("1 service valid in 2 files"), "{text}");
}

#[test]
fn validate_prints_json_for_machines() {
    let dir = directory(&[("web.yaml", &GOOD.replace("memory", "memroy"))]);
    let output = run(dir.path(), &["validate", "web.yaml", "-o", "json"]);
    assert_eq!(code(&output), 1);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["valid"], false);
    assert_eq!(report["problems"][0]["file"], "web.yaml");
}

#[test]
fn validate_finds_the_task_definition_beside_a_single_file() {
    let inline = "  taskDefinition:\n    memory: '512'\n    containerDefinitions: [{name: app, image: app}]\n";
    let manifest = GOOD.replace(inline, "  taskDefinition: {file: taskdef.json}\n");
    let taskdef =
        r#"{"family":"web","memory":"512","containerDefinitions":[{"name":"app","image":"app"}]}"#;
    let dir = directory(&[("deploy/web.yaml", &manifest), ("deploy/taskdef.json", taskdef)]);
    for path in ["deploy/web.yaml", "deploy"] {
        let output = run(dir.path(), &["validate", path]);
        assert_eq!((code(&output), stderr(&output)), (0, String::new()), "{}", stdout(&output));
        let summary = "1 service valid in 2 files: 0 errors, 0 warnings\n";
        assert_eq!(stdout(&output), summary, "{path}");
    }
}

#[test]
fn validate_reads_standard_input() {
    let dir = directory(&[]);
    let mut child = evenkeel(dir.path(), &["validate", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(GOOD.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
}

#[test]
fn validate_of_nothing_is_an_error() {
    let dir = directory(&[("m/README.md", "x"), ("notes.yaml", "just: notes\n")]);
    let output = run(dir.path(), &["validate", "m"]);
    assert_eq!(code(&output), 1);
    insta::assert_snapshot!(stderr(&output), @"error: no manifest was found in m; manifests are .yaml, .yml or .json files");
    assert_eq!(code(&run(dir.path(), &["validate", "nowhere"])), 1);
    assert_eq!(code(&run(dir.path(), &["validate", "notes.yaml"])), 1);
}

#[test]
fn set_image_writes_the_file_in_place_and_keeps_its_mode_and_every_other_byte() {
    use std::os::unix::fs::{PermissionsExt, symlink};

    let commented = GOOD.replace("image: app}", "image: 'app:1'}") + "# the end";
    let dir = directory(&[("web.yaml", &commented)]);
    let path = dir.path().join("web.yaml");
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).unwrap();
    symlink("web.yaml", dir.path().join("link.yaml")).unwrap();
    let arguments = ["set", "image", "link.yaml", "web=example.com/app:2"];
    let shown = run(dir.path(), &[&arguments[..], &["--dry-run"]].concat());
    assert_eq!((code(&shown), stderr(&shown)), (0, String::new()));
    insta::assert_snapshot!(stdout(&shown));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), commented, "a dry run writes nothing");
    let set = run(dir.path(), &arguments);
    assert_eq!((code(&set), stderr(&set)), (0, String::new()));
    insta::assert_snapshot!(stdout(&set), @"link.yaml:8:47: web/app app:1 -> example.com/app:2");
    let expected = commented.replace("app:1", "example.com/app:2");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), expected);
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
    assert!(dir.path().join("link.yaml").is_symlink());
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2, "nothing is left behind");
    let again = run(dir.path(), &arguments);
    insta::assert_snapshot!(stdout(&again), @"link.yaml:8:47: web/app has example.com/app:2 already");
}

#[test]
fn set_image_takes_several_images_across_a_manifest_and_its_task_definition() {
    let inline = "  taskDefinition:\n    memory: '512'\n    containerDefinitions: [{name: app, image: app}]\n";
    let api = GOOD.replace("web", "api").replace(inline, "  taskDefinition: {file: t.json}\n");
    let taskdef = "{\"memory\": \"512\", \"containerDefinitions\": [\n  {\"name\": \"api\", \"image\": \"api:1\"},\n  {\"name\": \"log\", \"image\": \"log:1\"}]}\n";
    let both = format!("{GOOD}---\n{api}");
    let dir = directory(&[("m/all.yaml", &both), ("m/t.json", taskdef)]);
    let arguments = ["set", "image", "m/all.yaml", "web=web:2", "api/api=api:2", "api/log=log:1"];
    let output = run(dir.path(), &[&arguments[..], &["-o", "json"]].concat());
    assert_eq!((code(&output), stderr(&output)), (0, String::new()));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["files"], serde_json::json!(["m/all.yaml", "m/t.json"]));
    assert_eq!(report["images"][1]["line"], 2);
    assert_eq!(report["images"][2]["changed"], false);
    let text = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
    assert_eq!(text("m/all.yaml"), both.replace("image: app", "image: web:2"));
    assert_eq!(text("m/t.json"), taskdef.replace("api:1", "api:2"));
}

#[test]
fn set_image_filters_standard_input() {
    let dir = directory(&[]);
    let mut child = evenkeel(dir.path(), &["set", "image", "-", "web=app:2"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(GOOD.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(code(&output), 0);
    assert_eq!(stdout(&output), GOOD.replace("image: app", "image: app:2"));
}

#[test]
fn set_image_says_what_is_wrong_and_writes_nothing() {
    let dir = directory(&[("web.yaml", GOOD)]);
    let says = |arguments: &[&str], expected: &str| {
        let output = run(dir.path(), &[&["set", "image"], arguments].concat());
        assert_eq!((code(&output), stdout(&output)), (1, String::new()), "{arguments:?}");
        assert!(stderr(&output).contains(expected), "{arguments:?}: {}", stderr(&output));
    };
    says(&["web.yaml", "web=app:2", "wbe=app:2"], "did you mean `web`?");
    says(&["web.yaml", "web=app:"], "`app:` is no image");
    says(&["nothing.yaml", "web=app:2"], "nothing.yaml cannot be opened");
    says(&[".", "web=app:2"], ". is a directory");
    says(&["-", "web=app:2", "-o", "json"], "leave out -o");
    assert_eq!(std::fs::read_to_string(dir.path().join("web.yaml")).unwrap(), GOOD);
}

const STAGING: &str = "\
apiVersion: evenkeel.dev/v1
kind: Environment
metadata: {name: staging}
spec:
  vars: {tag: 1.4.2-rc.1, replicas: 2}
  overlays:
    - match: {name: web}
      merge: {spec: {cluster: staging}}
";

/// [`GOOD`] with variables, and an environment for them.
fn templates() -> tempfile::TempDir {
    let web = GOOD
        .replace("image: app}", "image: 'app:${tag}'}")
        .replace("desiredCount: 1", "desiredCount: '${replicas}'");
    directory(&[("m/web.yaml", &web), ("m/environments/staging.yaml", STAGING)])
}

#[test]
fn render_prints_the_manifests_of_an_environment() {
    let dir = templates();
    let output = run(dir.path(), &["render", "m", "--environment", "staging"]);
    assert_eq!((code(&output), stderr(&output)), (0, String::new()));
    insta::assert_snapshot!(stdout(&output));
    let json = run(dir.path(), &["render", "m", "--environment", "staging", "-o", "json"]);
    let report: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(report["manifests"][0]["manifest"]["spec"]["service"]["desiredCount"], 2);
    assert_eq!(report["manifests"][0]["file"], "m/web.yaml");
    std::fs::write(dir.path().join("rendered.yaml"), stdout(&output)).unwrap();
    assert_eq!(code(&run(dir.path(), &["validate", "rendered.yaml"])), 0);
}

#[test]
fn the_environment_is_a_flag_a_variable_or_configuration_to_every_command() {
    let dir = templates();
    let valid = |command: &mut Command| code(&command.output().unwrap());
    let template = run(dir.path(), &["validate", "m"]);
    assert_eq!(code(&template), 1);
    let text = stdout(&template);
    assert!(text.ends_with("environments, for --environment: staging\n"), "{text}");
    assert_eq!(valid(&mut evenkeel(dir.path(), &["validate", "m", "--environment", "staging"])), 0);
    let mut by_variable = evenkeel(dir.path(), &["validate", "m"]);
    assert_eq!(valid(by_variable.env("EVENKEEL_MANIFESTS__ENVIRONMENT", "staging")), 0);
    std::fs::write(dir.path().join("evenkeel.toml"), "[manifests]\nenvironment = \"staging\"\n")
        .unwrap();
    assert_eq!(valid(&mut evenkeel(dir.path(), &["validate", "m"])), 0);
    let plan = run(dir.path(), &["plan", "m", "-o", "json"]);
    let report: Value = serde_json::from_slice(&plan.stdout).unwrap();
    assert_eq!(report["services"][0]["key"]["cluster"], "staging");
    let wrong = run(dir.path(), &["apply", "m", "--environment", "stagin"]);
    assert_eq!(code(&wrong), 1);
    insta::assert_snapshot!(stderr(&wrong));
}

#[test]
fn set_var_writes_the_environment_in_place() {
    let dir = directory(&[("staging.yaml", STAGING)]);
    let output =
        run(dir.path(), &["set", "var", "staging.yaml", "tag=1.5.0", "staging/replicas=3"]);
    assert_eq!((code(&output), stderr(&output)), (0, String::new()));
    insta::assert_snapshot!(stdout(&output));
    let text = std::fs::read_to_string(dir.path().join("staging.yaml")).unwrap();
    assert_eq!(text, STAGING.replace("1.4.2-rc.1", "1.5.0").replace("replicas: 2", "replicas: 3"));
    let wrong = run(dir.path(), &["set", "var", "staging.yaml", "replicas=many"]);
    assert_eq!(code(&wrong), 1);
    assert!(stderr(&wrong).contains("`replicas` is a number"), "{}", stderr(&wrong));
}

#[test]
fn the_schema_is_json_schema_and_names_its_references() {
    let output = run(&std::env::temp_dir(), &["schema"]);
    assert_eq!(code(&output), 0);
    let schema: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
}

#[test]
fn config_says_where_each_value_came_from() {
    let dir = directory(&[("evenkeel.toml", "[loop]\npasses = 8\n")]);
    let output = evenkeel(dir.path(), &["config", "-o", "json", "--region", "eu-west-1"])
        .env("EVENKEEL_INSTANCE", "blue")
        .output()
        .unwrap();
    let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(shown["config"]["loop"]["passes"], 8);
    let origin = |key: &str| shown["origins"][key].as_str().unwrap().to_owned();
    assert_eq!(origin("loop.passes"), "evenkeel.toml");
    assert_eq!(origin("instance"), "EVENKEEL_INSTANCE");
    assert_eq!(origin("aws.region"), "--region");
    assert_eq!(origin("http.listen"), "default");
}

#[test]
fn an_unknown_key_is_an_error_with_the_nearest_name() {
    let dir = directory(&[("other.toml", "[aws]\nregoin = \"eu-west-1\"\n")]);
    let output = run(dir.path(), &["--config", "other.toml", "config"]);
    assert_eq!(code(&output), 1);
    insta::assert_snapshot!(stderr(&output), @"
    error: the configuration is not valid
      aws.regoin: there is no such key; did you mean `aws.region`? (from other.toml)
    `evenkeel config` prints every key, its value and where it came from
    ");
}

#[test]
fn completions_exist_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = run(&std::env::temp_dir(), &["completions", shell]);
        assert_eq!(code(&output), 0);
        assert!(stdout(&output).contains("validate"), "{shell}");
    }
}

#[test]
fn a_wrong_command_exits_with_one_and_help_and_version_with_zero() {
    let dir = std::env::temp_dir();
    let wrong = run(&dir, &["plam"]);
    assert_eq!(code(&wrong), 1);
    assert!(stderr(&wrong).contains("'plan'"), "{}", stderr(&wrong));
    assert_eq!(code(&run(&dir, &["--help"])), 0);
    let version = run(&dir, &["version"]);
    assert_eq!(stdout(&version), concat!("evenkeel ", env!("CARGO_PKG_VERSION"), "\n"));
}

#[test]
fn plan_and_apply_refuse_invalid_manifests_before_asking_aws() {
    let dir = directory(&[("web.yaml", &GOOD.replace("memory", "memroy"))]);
    let plan = run(dir.path(), &["plan", "web.yaml"]);
    assert_eq!(code(&plan), 1);
    assert!(stdout(&plan).contains("web.yaml:7:"), "{}", stdout(&plan));
    let apply = run(dir.path(), &["apply", "web.yaml", "--wait=10s"]);
    assert_eq!(code(&apply), 1);
    assert!(stderr(&apply).contains("nothing was applied"), "{}", stderr(&apply));
}

#[test]
fn plan_says_when_aws_cannot_be_reached() {
    let dir = directory(&[("web.yaml", GOOD)]);
    let output = run(dir.path(), &["plan", "web.yaml", "-o", "json"]);
    assert_eq!(code(&output), 1, "{}", stderr(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["services"][0]["key"]["name"], "web");
    assert!(report["services"][0]["error"].is_string(), "{report}");
}

#[test]
fn verify_refuses_invalid_manifests_before_asking_anybody() {
    let dir = directory(&[("web.yaml", &GOOD.replace("memory", "memroy"))]);
    let output = run(dir.path(), &["verify", "web.yaml"]);
    assert_eq!(code(&output), 1);
    assert!(stdout(&output).contains("web.yaml:7:"), "{}", stdout(&output));
}

#[test]
fn verify_goes_on_where_nobody_answers_and_says_so() {
    let role = "taskDefinition:\n    executionRoleArn: arn:aws:iam::1:role/web";
    let dir = directory(&[("web.yaml", &GOOD.replace("taskDefinition:", role))]);
    let output = run(dir.path(), &["verify", "web.yaml", "--skip", "image"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let text = stdout(&output);
    let told = "web.yaml:7:5: role arn:aws:iam::1:role/web: not checked: iam:GetRole: ";
    assert!(text.contains(told), "{text}");
    assert!(text.ends_with("1 service: 0 checked, 1 not checked\n"), "{text}");
    let strict = run(dir.path(), &["verify", "web.yaml", "--skip", "image", "--strict"]);
    assert_eq!(code(&strict), 7, "{}", stdout(&strict));
}

#[test]
fn verify_fails_with_a_code_of_its_own_and_points_at_what_is_missing() {
    let (server, asked) = answering("404 Not Found", "{}");
    let image = format!("image: {}/app:7", server.strip_prefix("http://").unwrap());
    let dir = directory(&[("manifests/web.yaml", &GOOD.replace("image: app", &image))]);
    let output = run(dir.path(), &["verify"]);
    assert_eq!(code(&output), 7, "{}", stderr(&output));
    let text = stdout(&output);
    assert!(text.contains("manifests/web.yaml:8:40: image 127.0.0.1:"), "{text}");
    assert!(text.contains("push it, or name another\n1 service: 1 checked, 1 failed\n"), "{text}");
    let asked = asked.join().unwrap();
    assert!(asked.starts_with("GET /v2/app/manifests/7 "), "{asked}");
}

#[test]
fn diff_says_when_aws_cannot_be_reached_and_when_no_manifest_names_the_service() {
    let dir = directory(&[("manifests/web.yaml", GOOD)]);
    let output = run(dir.path(), &["diff", "-o", "json"]);
    assert_eq!(code(&output), 1, "{}", stderr(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["services"][0]["key"]["name"], "web");
    assert!(report["services"][0]["error"].is_string(), "{report}");
    let other = run(dir.path(), &["diff", "prod/shop"]);
    assert_eq!(code(&other), 1);
    assert!(stderr(&other).contains("no valid manifest names"), "{}", stderr(&other));
}

#[test]
fn get_without_a_daemon_says_what_to_do() {
    let dir = std::env::temp_dir();
    let output = run(&dir, &["get", "--server", "http://127.0.0.1:9"]);
    assert_eq!(code(&output), 1);
    let text = stderr(&output);
    assert!(text.contains("no daemon answers at http://127.0.0.1:9"), "{text}");
    assert!(text.contains("--direct"), "{text}");
}

/// A daemon as a process, killed when a test fails.
struct Running {
    child: Child,
    address: String,
}

impl Running {
    /// Starts on a free port, which the first log line tells.
    fn start(directory: &Path) -> Self {
        let mut child =
            evenkeel(directory, &["run", "--manifests", "m", "--listen", "127.0.0.1:0"])
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let started = lines.by_ref().map(Result::unwrap).find(|line| line.contains("started"));
        let line: Value = serde_json::from_str(&started.expect("the daemon starts")).unwrap();
        let address = line.get("http").and_then(Value::as_str).unwrap().to_owned();
        Self { child, address }
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    }

    fn end(mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _already_ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

#[test]
fn run_logs_json_to_a_pipe_answers_get_and_ends_well_on_sigterm() {
    let dir = directory(&[("m/web.yaml", GOOD), ("m/bad.yaml", "{ not yaml")]);
    let daemon = Running::start(dir.path());
    let server = format!("http://{}", daemon.address);
    let get = run(dir.path(), &["get", "--server", &server]);
    assert_eq!(code(&get), 0, "{}", stderr(&get));
    let missing = run(dir.path(), &["describe", "prod/shop", "--server", &server]);
    assert_eq!(code(&missing), 1);
    assert!(stderr(&missing).contains("`prod/shop`"), "{}", stderr(&missing));
    daemon.signal("-TERM");
    assert_eq!(daemon.end().code(), Some(0));
}

#[test]
fn nobody_reading_the_log_does_not_stop_the_daemon() {
    let dir = directory(&[("m/web.yaml", GOOD)]);
    // The reader of its log is dropped after the first line.
    let daemon = Running::start(dir.path());
    let server = format!("http://{}", daemon.address);
    assert_eq!(code(&run(dir.path(), &["get", "--server", &server])), 0);
    daemon.signal("-INT");
    assert_eq!(daemon.end().code(), Some(0));
}

#[test]
fn a_plan_as_markdown_tells_problems_and_faults_as_a_comment() {
    let broken = GOOD.replace("memory", "memroy").replace("{name: web}", "{name: shop}");
    let dir = directory(&[("web.yaml", GOOD), ("<b>@all.yaml", &broken)]);
    let output = run(dir.path(), &["plan", ".", "-o", "markdown"]);
    assert_eq!(code(&output), 1, "{}", stderr(&output));
    let text = stdout(&output);
    assert!(text.starts_with("**Evenkeel plan**"), "{text}");
    assert!(text.contains("<summary><code>prod/web</code>: could not be planned"), "{text}");
    assert!(text.contains("memroy") && !text.contains("<b>") && !text.contains('@'), "{text}");
}

/// A repository in which the branch `next` changes, adds and removes a service of `main`.
fn repository_of_two_branches() -> tempfile::TempDir {
    let old = GOOD.replace("{name: web}", "{name: old}");
    let dir =
        directory(&[("prod/web.yaml", GOOD), ("prod/old.yaml", &old), ("other/x.yaml", "a: [")]);
    let git = |arguments: &[&str]| {
        let who = ["-c", "user.name=a", "-c", "user.email=a@example", "-c", "commit.gpgsign=false"];
        let mut command = Command::new("git");
        command.args(who).args(arguments).current_dir(dir.path()).env("HOME", dir.path());
        assert!(command.output().unwrap().status.success(), "{arguments:?}");
    };
    git(&["init", "--quiet", "-b", "main"]);
    git(&["add", "."]);
    git(&["commit", "--quiet", "-m", "first"]);
    git(&["checkout", "--quiet", "-b", "next"]);
    std::fs::write(dir.path().join("prod/web.yaml"), GOOD.replace("image: app}", "image: app:2}"))
        .unwrap();
    let new = GOOD.replace("{name: web}", "{name: new}").replace("image: app}", "image: new}");
    std::fs::write(dir.path().join("prod/new.yaml"), new).unwrap();
    std::fs::remove_file(dir.path().join("prod/old.yaml")).unwrap();
    git(&["add", "-A"]);
    git(&["commit", "--quiet", "-m", "second"]);
    git(&["checkout", "--quiet", "main"]);
    dir
}

#[test]
fn a_plan_of_two_revisions_tells_what_a_merge_would_do_without_aws() {
    let dir = repository_of_two_branches();
    let plan = |arguments: &[&str]| run(dir.path(), &[&["plan"], arguments].concat());
    let output = plan(&["--from", "main", "--to", "next", "prod", "-o", "json"]);
    assert_eq!(code(&output), 2, "{}", stderr(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let kinds: Vec<_> =
        report["services"].as_array().unwrap().iter().map(|one| &one["kind"]).collect();
    assert_eq!(kinds, ["added", "removed", "changed"], "{report}");
    let web = &report["services"][2];
    assert_eq!(web["changes"][0]["new"], "app:2");
    assert_eq!(web["forecast"]["tasksRestarted"], 1);
    assert_eq!(web["forecast"]["registerCalls"], 1);
    assert_eq!(web["forecast"]["secondsAtLeast"], 30);
    let text = stdout(&plan(&["--from", "next~1", "--to", "next", "prod"]));
    assert!(text.contains("~ prod/web: 1 field differs"), "{text}");
    assert!(text.contains("1 task restarted"), "{text}");
    let markdown = stdout(&plan(&["--from", "main", "--to", "next", "prod", "-o", "markdown"]));
    assert!(markdown.contains("<summary><code>prod/old</code>: is removed"), "{markdown}");
}

#[test]
fn a_plan_of_two_revisions_ends_as_a_plan_does() {
    let dir = repository_of_two_branches();
    let plan = |from: &str, to: &str, path: &str| {
        run(dir.path(), &["plan", "--from", from, "--to", to, path])
    };
    assert_eq!(code(&plan("main", "main", "prod")), 0);
    assert_eq!(code(&plan("main", "next", "prod")), 2);
    assert_eq!(code(&plan("main", "next", ".")), 1);
    let unknown = plan("main", "nowhere", "prod");
    assert_eq!(code(&unknown), 1);
    assert!(stderr(&unknown).contains("is no revision"), "{}", stderr(&unknown));
    let nothing = plan("main", "next", "prdo");
    assert_eq!(code(&nothing), 1);
    assert!(stderr(&nothing).contains("neither revision"), "{}", stderr(&nothing));
    assert_eq!(code(&run(dir.path(), &["plan", "--from", "main"])), 1);
}
