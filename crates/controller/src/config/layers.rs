//! Where configuration comes from and which layer wins; never decides what a value means.

use std::ffi::OsString;
use std::path::PathBuf;

use figment::error::Kind;
use figment::providers::{Format as _, Serialized, Toml};
use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};
use serde::Serialize;

use super::problem::{ConfigError, ConfigProblem};
use super::raw::{LogFormat, RawConfig};

const PREFIX: &str = "EVENKEEL_";

/// Variables with the prefix that are no configuration: they belong to the command line.
const NOT_CONFIGURATION: [&str; 4] = [
    "EVENKEEL_CONFIG",
    "EVENKEEL_SERVER",
    crate::tokens::CLIENT_VARIABLE,
    crate::tokens::DAEMON_VARIABLE,
];

/// Tried in order when no file is named.
const DEFAULT_FILES: [&str; 2] = ["/etc/evenkeel/evenkeel.toml", "evenkeel.toml"];

/// What the command line sets; a `None` leaves the value to the layers below.
#[derive(Clone, Debug, Default, PartialEq, Serialize, clap::Args)]
#[serde(rename_all = "camelCase")]
pub struct Flags {
    /// The name of this controller, written into the owner tag of every service it manages
    #[arg(long, value_name = "NAME", global = true, help_heading = "Configuration")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// Only manifests of this target (an account and region) are this controller's
    #[arg(long, value_name = "NAME", global = true, help_heading = "Configuration")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    #[command(flatten)]
    pub aws: AwsFlags,
    #[command(flatten)]
    pub log: LogFlags,
    #[command(flatten)]
    #[serde(skip_serializing_if = "ManifestsFlags::is_empty")]
    pub manifests: ManifestsFlags,
    /// Set by `run`, which alone serves HTTP.
    #[arg(skip)]
    #[serde(skip_serializing_if = "HttpFlags::is_empty")]
    pub http: HttpFlags,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, clap::Args)]
#[serde(rename_all = "camelCase")]
pub struct AwsFlags {
    /// The AWS region [default: what the AWS configuration says]
    #[arg(long, value_name = "REGION", global = true, help_heading = "Configuration")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Another endpoint for all AWS services, such as a local region
    #[arg(long, value_name = "URL", global = true, help_heading = "Configuration")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint_url: Option<String>,
    /// The profile of the AWS configuration to use
    #[arg(long, value_name = "NAME", global = true, help_heading = "Configuration")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, clap::Args)]
#[serde(rename_all = "camelCase")]
pub struct LogFlags {
    /// How log lines look: text on a terminal and JSON otherwise, or always the one named
    #[arg(
        id = "log-format",
        long = "log-format",
        value_name = "FORMAT",
        global = true,
        help_heading = "Configuration"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<LogFormat>,
    /// How much is logged, such as `debug` or `info,evenkeel_aws=debug`
    #[arg(
        id = "log-level",
        long = "log-level",
        value_name = "LEVEL",
        global = true,
        help_heading = "Configuration"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub level: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, clap::Args)]
pub struct ManifestsFlags {
    /// The environment whose variables and overlays are laid over the manifests [default: none]
    #[arg(long, value_name = "NAME", global = true, help_heading = "Configuration")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// Set by `run`, which alone watches a directory.
    #[arg(skip)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
}

impl ManifestsFlags {
    fn is_empty(&self) -> bool {
        self.path.is_none() && self.environment.is_none()
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct HttpFlags {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<String>,
}

impl HttpFlags {
    fn is_empty(&self) -> bool {
        self.listen.is_none()
    }
}

/// Everything that configuration is made of, later layers over earlier ones.
#[derive(Clone, Debug, Default)]
pub struct Layers {
    pub file: Option<PathBuf>,
    pub environment: Vec<(OsString, OsString)>,
    pub flags: Flags,
}

impl Layers {
    /// The layers of this process. Without a named file the default places are tried.
    pub fn of_process(file: Option<PathBuf>, flags: Flags) -> Self {
        let found = || DEFAULT_FILES.iter().map(PathBuf::from).find(|path| path.exists());
        Self { file: file.or_else(found), environment: std::env::vars_os().collect(), flags }
    }

    /// All layers in one value; unknown keys and wrong types are errors, all unknown keys at once.
    pub fn merge(&self) -> Result<RawConfig, ConfigError> {
        self.figment()?
            .extract()
            .map_err(|error| ConfigError(error.into_iter().map(|error| blame(&error)).collect()))
    }

    /// The environment of the manifests, for commands that need nothing else of the configuration.
    pub(crate) fn environment_of_manifests(&self) -> Result<Option<String>, ConfigError> {
        Ok(super::given(self.merge()?.manifests.environment))
    }

    /// The layers, merged but not yet read, with the origin of every value.
    pub(super) fn figment(&self) -> Result<Figment, ConfigError> {
        let layers = [self.file_layer()?, self.environment_layer(), self.flags_layer()?];
        let known = known_keys();
        let unknown: Vec<_> = layers.iter().flat_map(|layer| layer.unknown_keys(&known)).collect();
        if !unknown.is_empty() {
            return Err(ConfigError(unknown));
        }
        let defaults = Figment::from(Serialized::defaults(RawConfig::default()));
        Ok(layers.into_iter().fold(defaults, Figment::merge))
    }

    fn file_layer(&self) -> Result<Layer, ConfigError> {
        let Some(path) = &self.file else {
            return Ok(Layer { origin: Origin::Flags, values: Dict::new() });
        };
        let origin = Origin::File(path.clone());
        let fail = |message: String| {
            ConfigError(vec![ConfigProblem::new("", message).from(path.display().to_string())])
        };
        let text = std::fs::read_to_string(path)
            .map_err(|error| fail(format!("the file cannot be read: {error}")))?;
        let data = Toml::string(&text).data().map_err(|error| fail(error.to_string()))?;
        Ok(Layer { origin, values: of_default_profile(data) })
    }

    fn environment_layer(&self) -> Layer {
        let mut values = Dict::new();
        for (name, value) in &self.environment {
            let (name, value) = (name.to_string_lossy(), value.to_string_lossy());
            if is_not_configuration(&name) {
                continue;
            }
            if let Some(key) = name.strip_prefix(PREFIX) {
                insert(&mut values, &key_of_variable(key), value_of_variable(&value));
            }
        }
        Layer { origin: Origin::Environment, values }
    }

    fn flags_layer(&self) -> Result<Layer, ConfigError> {
        let data = Serialized::defaults(&self.flags)
            .data()
            .map_err(|error| ConfigError(error.into_iter().map(|error| blame(&error)).collect()))?;
        Ok(Layer { origin: Origin::Flags, values: of_default_profile(data) })
    }
}

/// Brackets in a variable's value beyond which it is text. No key needs many, and the parser calls itself
/// for each: a long row of them would end the process.
const BRACKETS_MAX: usize = 32;

fn value_of_variable(text: &str) -> Value {
    // The parser cuts at characters where it means bytes, once it meets an escape.
    let splits_letters = text.contains('\\') && !text.is_ascii();
    if splits_letters || text.matches(['[', '{']).count() > BRACKETS_MAX {
        return Value::from(text);
    }
    text.parse().unwrap_or_else(|never| match never {})
}

/// Kubernetes gives every container `EVENKEEL_PORT…` and `EVENKEEL_SERVICE_…` when a Service is
/// called `evenkeel`; no key of ours begins so.
fn is_not_configuration(variable: &str) -> bool {
    let of_kubernetes = ["EVENKEEL_PORT", "EVENKEEL_SERVICE_"];
    NOT_CONFIGURATION.contains(&variable)
        || of_kubernetes.iter().any(|prefix| variable.starts_with(prefix))
}

#[derive(Clone, Debug)]
enum Origin {
    File(PathBuf),
    Environment,
    Flags,
}

impl Origin {
    /// What a user would look for to change the value of `key`.
    fn describe(&self, key: &[&str]) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Environment => variable_of_key(key),
            Self::Flags => flag_of_key(key),
        }
    }
}

/// One source of values, as figment sees it.
#[derive(Debug)]
struct Layer {
    origin: Origin,
    values: Dict,
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        let origin = self.origin.clone();
        Metadata::named("layer").interpolater(move |_: &Profile, key: &[&str]| origin.describe(key))
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Profile::Default.collect(self.values.clone()))
    }
}

impl Layer {
    fn unknown_keys(&self, known: &[String]) -> Vec<ConfigProblem> {
        let mut unknown = Vec::new();
        for key in leaves(&self.values) {
            if known.contains(&key) {
                continue;
            }
            let parts: Vec<&str> = key.split('.').collect();
            let origin = self.origin.describe(&parts);
            unknown.push(ConfigProblem::new(&key, unknown_key(&key, known)).from(origin));
        }
        unknown
    }
}

fn unknown_key(key: &str, known: &[String]) -> String {
    let close = known
        .iter()
        .map(|candidate| (strsim::jaro_winkler(candidate, key), candidate))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    match close {
        Some((_, candidate)) => format!("there is no such key; did you mean `{candidate}`?"),
        None => format!("there is no such key; the keys are {}", known.join(", ")),
    }
}

/// The dotted names of all keys; those in no table come first, as TOML needs it.
pub(super) fn known_keys() -> Vec<String> {
    let defaults = serde_json::to_value(RawConfig::default())
        .expect("the defaults hold nothing that JSON cannot");
    let mut keys = Vec::new();
    collect_keys("", &defaults, &mut keys);
    keys.sort_by_key(|key| key.contains('.'));
    keys
}

fn collect_keys(parent: &str, value: &serde_json::Value, keys: &mut Vec<String>) {
    match value {
        serde_json::Value::Object(members) => {
            for (name, member) in members {
                collect_keys(&join(parent, name), member, keys);
            }
        }
        _ => keys.push(parent.to_owned()),
    }
}

fn leaves(values: &Dict) -> Vec<String> {
    let mut keys = Vec::new();
    for (name, value) in values {
        match value {
            Value::Dict(_, members) => {
                keys.extend(leaves(members).into_iter().map(|key| join(name, &key)));
            }
            _ => keys.push(name.clone()),
        }
    }
    keys
}

fn join(parent: &str, name: &str) -> String {
    if parent.is_empty() { name.to_owned() } else { format!("{parent}.{name}") }
}

fn of_default_profile(mut data: Map<Profile, Dict>) -> Dict {
    data.remove(&Profile::Default).unwrap_or_default()
}

fn insert(values: &mut Dict, key: &str, value: Value) {
    match key.split_once('.') {
        None => drop(values.insert(key.to_owned(), value)),
        Some((parent, rest)) => {
            let entry = values.entry(parent.to_owned()).or_insert_with(|| Dict::new().into());
            if let Value::Dict(_, members) = entry {
                insert(members, rest, value);
            }
        }
    }
}

/// `AWS__ENDPOINT_URL` is `aws.endpointUrl`.
fn key_of_variable(variable: &str) -> String {
    variable.split("__").map(camel_case).collect::<Vec<_>>().join(".")
}

fn camel_case(snake: &str) -> String {
    let mut camel = String::new();
    for (n, word) in snake.to_ascii_lowercase().split('_').enumerate() {
        let mut letters = word.chars();
        match letters.next() {
            Some(first) if n > 0 => camel.push(first.to_ascii_uppercase()),
            Some(first) => camel.push(first),
            None => {}
        }
        camel.extend(letters);
    }
    camel
}

fn variable_of_key(key: &[&str]) -> String {
    let words: Vec<_> = key.iter().map(|part| separated(part, '_').to_uppercase()).collect();
    format!("{PREFIX}{}", words.join("__"))
}

fn flag_of_key(key: &[&str]) -> String {
    match key {
        ["manifests", "path"] => "the argument PATH".to_owned(),
        ["log", name] => format!("--log-{name}"),
        [.., name] => format!("--{}", separated(name, '-')),
        [] => "a flag".to_owned(),
    }
}

fn separated(camel: &str, separator: char) -> String {
    let mut text = String::new();
    for letter in camel.chars() {
        if letter.is_ascii_uppercase() {
            text.push(separator);
        }
        text.push(letter.to_ascii_lowercase());
    }
    text
}

/// A value of the wrong type, told with the key and the layer that it came from.
fn blame(error: &figment::Error) -> ConfigProblem {
    let key = error.path.join(".");
    let parts: Vec<&str> = error.path.iter().map(String::as_str).collect();
    let problem = ConfigProblem::new(key, in_words(&error.kind));
    match &error.metadata {
        Some(metadata) => problem.from(metadata.interpolate(&Profile::Default, &parts)),
        None => problem,
    }
}

/// Without the names of Rust's types.
fn in_words(kind: &Kind) -> String {
    if let Kind::UnknownField(found, known) = kind {
        let known: Vec<String> = known.iter().map(ToString::to_string).collect();
        return unknown_key(found, &known);
    }
    let Kind::InvalidType(found, expected) = kind else { return kind.to_string() };
    let expected = match expected.as_str() {
        "f64" => "a number",
        other => other,
    };
    format!("expected {expected}, found {found}")
}

/// Where the value of a key came from, in a user's words.
pub(super) fn origin(figment: &Figment, key: &str) -> String {
    let parts: Vec<&str> = key.split('.').collect();
    match figment.find_metadata(key) {
        Some(metadata) if metadata.name == "layer" => {
            metadata.interpolate(&Profile::Default, &parts)
        }
        _ => "default".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&str, &str)]) -> Layers {
        let environment = variables.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
        Layers { environment, ..Layers::default() }
    }

    #[test]
    fn a_variable_names_a_nested_key_by_two_underscores() {
        let layers = environment(&[("EVENKEEL_AWS__ENDPOINT_URL", "http://127.0.0.1:4599")]);
        let raw = layers.merge().unwrap();
        assert_eq!(raw.aws.endpoint_url.as_deref(), Some("http://127.0.0.1:4599"));
    }

    #[test]
    fn a_variable_with_an_escape_behind_a_letter_of_several_bytes_is_text() {
        let merged = environment(&[("EVENKEEL_MANIFESTS__PATH", r#""ä\n""#)]).merge().unwrap();
        assert_eq!(merged.manifests.path, PathBuf::from(r#""ä\n""#));
    }

    #[test]
    fn a_variable_can_hold_a_list() {
        let value = r#"["https://a.example/", "https://b.example/"]"#;
        let merged = environment(&[("EVENKEEL_ANALYSIS__WEBHOOK_URLS", value)]).merge().unwrap();
        assert_eq!(merged.analysis.webhook_urls, ["https://a.example/", "https://b.example/"]);
    }

    #[test]
    fn a_variable_of_many_brackets_does_not_overflow_the_stack() {
        for bracket in ["[", "{a=", "[{a="] {
            let merged = environment(&[("EVENKEEL_LOG", &bracket.repeat(50_000))]).merge();
            assert!(merged.is_err(), "{bracket}");
        }
    }

    #[test]
    fn a_name_of_digits_stays_text() {
        let raw = environment(&[("EVENKEEL_INSTANCE", "123456789012")]).merge().unwrap();
        assert_eq!(raw.instance, "123456789012");
    }

    #[test]
    fn a_flag_wins_over_a_variable_which_wins_over_the_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, "instance = \"file\"\ntarget = \"file\"\n[log]\nlevel = \"warn\"")
            .unwrap();
        let mut layers = environment(&[("EVENKEEL_INSTANCE", "env"), ("EVENKEEL_TARGET", "env")]);
        layers.file = Some(file.path().to_owned());
        layers.flags.instance = Some("flag".to_owned());
        let raw = layers.merge().unwrap();
        assert_eq!((raw.instance.as_str(), raw.target.as_str()), ("flag", "env"));
        assert_eq!(raw.log.level, "warn");
    }

    #[test]
    fn an_unknown_key_is_told_with_its_origin_and_the_nearest_name() {
        let error = environment(&[("EVENKEEL_AWS__REGON", "x")]).merge().unwrap_err();
        insta::assert_snapshot!(error.0[0], @"aws.regon: there is no such key; did you mean `aws.region`? (from EVENKEEL_AWS__REGON)");
    }

    #[test]
    fn variables_of_the_command_line_and_of_kubernetes_are_no_configuration() {
        let layers = environment(&[
            ("EVENKEEL_SERVER", "http://x"),
            ("EVENKEEL_PORT_9464_TCP", "tcp://x"),
            ("EVENKEEL_SERVICE_HOST", "x"),
        ]);
        assert_eq!(layers.merge().unwrap(), RawConfig::default());
    }

    #[test]
    fn a_wrong_type_is_told_with_its_key_and_origin() {
        let error = environment(&[("EVENKEEL_LOOP__PASSES", "many")]).merge().unwrap_err();
        insta::assert_snapshot!(error.0[0], @r#"loop.passes: expected a whole number, found string "many" (from EVENKEEL_LOOP__PASSES)"#);
    }

    #[test]
    fn a_whole_number_may_be_written_with_a_fraction_of_nothing_and_no_other() {
        let passes = |written: &str| {
            environment(&[("EVENKEEL_LOOP__PASSES", written)])
                .merge()
                .map(|raw| raw.control_loop.passes)
        };
        assert_eq!(passes("64.0"), Ok(64));
        let error = passes("64.5").unwrap_err();
        insta::assert_snapshot!(error.0[0], @"loop.passes: expected a whole number, found float `64.5` (from EVENKEEL_LOOP__PASSES)");
        for written in ["-3", "-3.0", "1e30"] {
            let error = passes(written).unwrap_err().to_string();
            assert!(error.contains("a whole number"), "{error}");
        }
    }

    #[test]
    fn a_file_that_is_not_there_is_an_error_when_it_was_named() {
        let layers =
            Layers { file: Some("/nonexistent/evenkeel.toml".into()), ..Layers::default() };
        let error = layers.merge().unwrap_err().to_string();
        assert!(error.contains("/nonexistent/evenkeel.toml"), "{error}");
    }
}
