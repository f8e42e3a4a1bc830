//! The configuration for people and machines, with the origin of every value; secrets are redacted.

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::{Map, Value};

use super::layers::{Layers, known_keys, origin};
use super::{Config, ConfigError};

/// One key with its value and where that came from.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Setting {
    pub key: String,
    pub value: Value,
    pub origin: String,
}

/// How `evenkeel config` prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    Toml,
    Json,
    Yaml,
}

/// Every setting in force, checked.
pub fn settings(layers: &Layers) -> Result<Vec<Setting>, ConfigError> {
    let figment = layers.figment()?;
    let raw = layers.merge()?;
    let values = serde_json::to_value(&raw).expect("a configuration holds nothing JSON cannot");
    drop(Config::check(raw)?);
    let setting = |key: String| {
        let pointer = format!("/{}", key.replace('.', "/"));
        let value = values.pointer(&pointer).cloned().unwrap_or(Value::Null);
        Setting { value: redacted(value), origin: origin(&figment, &key), key }
    };
    Ok(known_keys().into_iter().map(setting).collect())
}

/// A URL may carry a user and a password.
fn redacted(value: Value) -> Value {
    if let Value::Array(elements) = value {
        return elements.into_iter().map(redacted).collect();
    }
    let Value::String(text) = &value else { return value };
    let Some((scheme, rest)) = text.split_once("://") else { return value };
    let authority_ends = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    match rest.get(..authority_ends).and_then(|authority| authority.rfind('@')) {
        Some(at) => {
            let host = rest.get(at..).unwrap_or_default();
            Value::String(format!("{scheme}://(redacted){host}"))
        }
        None => value,
    }
}

/// TOML is a configuration file with the origins as comments; JSON and YAML have them beside the
/// values.
pub fn render(settings: &[Setting], format: Format) -> String {
    match format {
        Format::Toml => toml(settings),
        Format::Json => {
            serde_json::to_string_pretty(&document(settings)).expect("text keys only") + "\n"
        }
        Format::Yaml => serde_saphyr::to_string(&document(settings)).expect("text keys only"),
    }
}

fn document(settings: &[Setting]) -> Value {
    let mut config = Value::Object(Map::new());
    for setting in settings {
        place(&mut config, &setting.key, setting.value.clone());
    }
    let origins = settings.iter().map(|s| (s.key.clone(), Value::from(s.origin.clone()))).collect();
    serde_json::json!({ "config": config, "origins": Value::Object(origins) })
}

fn place(parent: &mut Value, key: &str, value: Value) {
    let Value::Object(members) = parent else { return };
    match key.split_once('.') {
        None => drop(members.insert(key.to_owned(), value)),
        Some((name, rest)) => {
            let member = members.entry(name).or_insert_with(|| Value::Object(Map::new()));
            place(member, rest, value);
        }
    }
}

fn toml(settings: &[Setting]) -> String {
    let mut text = String::new();
    let mut section = "";
    for setting in settings {
        let (table, name) = setting.key.rsplit_once('.').unwrap_or(("", &setting.key));
        if table != section {
            let _infallible = writeln!(text, "\n[{table}]");
            section = table;
        }
        let line = match &setting.value {
            Value::Null => format!("# {name} is not set"),
            value => format!("{name} = {}", toml_value(value)),
        };
        let _infallible = writeln!(text, "{line:<44} # {}", setting.origin);
    }
    text
}

/// A JSON string with its escapes is a TOML basic string; a mapping is written otherwise.
fn toml_value(value: &Value) -> String {
    let joined = |all: Vec<String>| all.join(", ");
    match value {
        Value::Object(members) => {
            let member =
                |(name, value): (&String, &Value)| format!("{name} = {}", toml_value(value));
            format!("{{ {} }}", joined(members.iter().map(member).collect()))
        }
        Value::Array(elements) => {
            format!("[{}]", joined(elements.iter().map(toml_value).collect()))
        }
        plain => plain.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_in_a_url_is_not_shown() {
        let shown = redacted("https://me:secret@host:1/path".into());
        assert_eq!(shown, "https://(redacted)@host:1/path");
        assert_eq!(redacted("http://host/a@b".into()), "http://host/a@b");
        let list = redacted(serde_json::json!(["https://me:secret@host/"]));
        assert_eq!(list, serde_json::json!(["https://(redacted)@host/"]));
    }

    #[test]
    fn what_is_printed_as_toml_can_be_read_back() {
        let settings = settings(&Layers::default()).unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, render(&settings, Format::Toml)).unwrap();
        let layers = Layers { file: Some(file.path().to_owned()), ..Layers::default() };
        assert_eq!(layers.merge().unwrap(), super::super::RawConfig::default());
    }

    #[test]
    fn a_window_that_is_printed_can_be_read_back() {
        let read = |text: &str| {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(&file, text).unwrap();
            let layers = Layers { file: Some(file.path().to_owned()), ..Layers::default() };
            (layers.merge().unwrap().windows, render(&settings(&layers).unwrap(), Format::Toml))
        };
        let written =
            "[[windows]]\ndeny = \"0 18 * * FRI\"\nduration = \"62h\"\nclusters = [\"prod*\"]\n";
        let (windows, shown) = read(written);
        assert_eq!((windows.len(), windows[0].clusters.clone()), (1, vec!["prod*".to_owned()]));
        assert_eq!(read(&shown).0, windows, "{shown}");
    }

    #[test]
    fn every_value_says_where_it_came_from() {
        let environment = vec![("EVENKEEL_LOOP__ROLLOUT_POLL".into(), "2s".into())];
        let mut layers = Layers { environment, ..Layers::default() };
        layers.flags.aws.region = Some("eu-central-1".to_owned());
        insta::assert_snapshot!(render(&settings(&layers).unwrap(), Format::Toml), @r#"
        # cacheDirectory is not set                  # default
        instance = "evenkeel"                        # default
        mode = "apply"                               # default
        sources = []                                 # default
        target = "default"                           # default
        windows = []                                 # default

        [analysis]
        # prometheusUrl is not set                   # default
        # webhookSecretFile is not set               # default
        webhookUrls = []                             # default

        [aws]
        # endpointUrl is not set                     # default
        # profile is not set                         # default
        region = "eu-central-1"                      # --region
        share = 0.5                                  # default

        [control]
        # tokensFile is not set                      # default

        [http]
        listen = "127.0.0.1:9464"                    # default

        [lease]
        backend = "none"                             # default
        # replica is not set                         # default
        # table is not set                           # default

        [log]
        format = "auto"                              # default
        level = "info"                               # default

        [loop]
        passTimeout = "2m"                           # default
        passes = 32                                  # default
        resync = "5m"                                # default
        rolloutPoll = "2s"                           # EVENKEEL_LOOP__ROLLOUT_POLL

        [manifests]
        debounce = "200ms"                           # default
        # environment is not set                     # default
        path = "manifests"                           # default
        reread = "1m"                                # default

        [prune]
        clusters = []                                # default
        grace = "15m"                                # default
        keep = "24h"                                 # default
        maxPercent = 10                              # default
        maxServices = 5                              # default
        services = ["*"]                             # default

        [verify]
        mode = "off"                                 # default
        skip = []                                    # default
        "#);
    }
}
