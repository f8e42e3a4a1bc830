//! Configuration that nobody meant, from a file and from the environment; never started with.

use std::io::Write as _;

use evenkeel_controller::Config;
use evenkeel_controller::config::{Format, Layers, render, settings};
use proptest::collection::vec;
use proptest::prelude::*;

/// Keys of the file, some of them misspelt.
const KEYS: &str = "(instance|target|manifests|manifests\\.path|manifests\\.debounce|manifests\\.reread|aws\\.share|\
     aws\\.endpointUrl|loop\\.passes|loop\\.resync|loop\\.passTimeout|http\\.listen|log\\.format|log|aws|x|\"\")";

/// Names of variables behind their prefix.
const VARIABLES: &str = "(INSTANCE|TARGET|MANIFESTS|MANIFESTS__PATH|AWS__SHARE|AWS__ENDPOINT_URL|LOOP__PASSES|\
     LOOP__RESYNC|HTTP__LISTEN|LOG__LEVEL|LOG|__|_|A__B__C|)";

fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "(\"[a-z0-9 :/]{0,12}\"|-?[0-9]{1,20}|nan|-inf|1e400|true|\\[\\]|\\{\\}|\"[0-9]{1,20}[smhdwy]\")",
        "[\\[\\]{}=,\"'.#\n a0-]{0,40}",
        "(http|https|x)://[a-z:@/?#]{0,12}",
        (1_usize..2_000, "[\\[{(\"]").prop_map(|(times, bracket)| bracket.repeat(times)),
    ]
}

/// All layers are read and checked, and what is good can be shown in every format.
fn load(file: Option<&str>, environment: Vec<(String, String)>) {
    let mut written = tempfile::NamedTempFile::new().expect("a temporary file");
    written.write_all(file.unwrap_or_default().as_bytes()).expect("is written");
    let environment = environment.into_iter().map(|(name, value)| (name.into(), value.into()));
    let layers = Layers {
        file: file.map(|_| written.path().to_owned()),
        environment: environment.collect(),
        ..Layers::default()
    };
    let (config, shown) = (Config::load(&layers), settings(&layers));
    assert_eq!(config.is_ok(), shown.is_ok(), "{config:?}\n{shown:?}");
    if let Err(error) = config {
        assert!(!error.to_string().is_empty());
    }
    for format in [Format::Toml, Format::Json, Format::Yaml] {
        if let Ok(shown) = &shown {
            drop(render(shown, format));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_file_is_read_or_told_what_is_wrong_with_it(text in value()) {
        load(Some(&text), Vec::new());
    }

    #[test]
    fn any_value_of_a_key_is_taken_or_told_what_is_wrong_with_it(
        lines in vec((KEYS, value()), 0..5)
    ) {
        let lines: Vec<String> =
            lines.iter().map(|(key, value)| format!("{key} = {value}")).collect();
        let text = lines.join("\n");
        load(Some(&text), Vec::new());
    }

    #[test]
    fn any_variable_is_taken_or_told_what_is_wrong_with_it(
        variables in vec((VARIABLES, value()), 0..5)
    ) {
        let named = |(name, value)| (format!("EVENKEEL_{name}"), value);
        load(None, variables.into_iter().map(named).collect());
    }
}
