//! `evenkeel render`: manifests as they are after an environment was laid over them; asks neither AWS nor a
//! daemon.

use std::io::Write;

use evenkeel_manifest::{RenderedManifest, Severity};
use serde_json::{Value, json};

use super::validate::line;
use super::write_data;
use crate::args::{Output, RenderArgs};
use crate::cli::{CommandError, Exit};
use crate::config::Layers;
use crate::input;
use crate::style::safe;

pub(crate) fn render(
    layers: &Layers,
    args: &RenderArgs,
    out: &mut dyn Write,
) -> Result<Exit, CommandError> {
    let environment = layers.environment_of_manifests()?;
    let (manifests, input) = input::render(&args.paths, environment.as_deref())?;
    match args.output {
        Output::Json => {
            let manifests: Vec<Value> = manifests.iter().map(shown).collect();
            let report = json!({
                "environment": environment,
                "manifests": manifests,
                "problems": input.set.problems,
            });
            write_data(out, args.output, &report)?;
        }
        Output::Text | Output::Yaml => {
            for problem in &input.set.problems {
                writeln!(anstream::stderr(), "{}", line(problem))?;
            }
            for manifest in &manifests {
                let source = &manifest.source;
                writeln!(out, "---\n# {}:{}", safe(&source.file), source.line)?;
                write_data(out, Output::Yaml, &manifest.value)?;
            }
        }
    }
    Ok(if input.count(Severity::Error) > 0 { Exit::Bad } else { Exit::Done })
}

fn shown(manifest: &RenderedManifest) -> Value {
    let RenderedManifest { source, value, .. } = manifest;
    json!({ "file": &*source.file, "line": source.line, "manifest": value })
}

#[cfg(test)]
mod tests {
    use evenkeel_manifest::{File, load};
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    /// Texts that read as something else when they are not in quotes, and others.
    fn any_text() -> impl Strategy<Value = String> {
        let odd = vec![
            "yes",
            "on",
            "null",
            "~",
            "",
            "1.10",
            "0o17",
            "0x1f",
            "1e3",
            ".inf",
            "- a",
            "a: b",
            "# c",
            "a #b",
            " a ",
            "a\nb\n",
            "*a",
            "&a",
            "!a",
            "{a}",
            "[a]",
            "'",
            "\"",
            "\\",
            "%a",
            "@a",
            "`a`",
            "<<",
            "---",
            "...",
            "\t",
            "\u{85}",
            "${a}",
            "\u{1f600}",
            "|",
            ">",
            "?",
            "2026-01-01",
            "true",
            "=",
            "a\r\nb",
            "\n",
            " \n a",
            "a\n\n",
            "\u{feff}",
        ];
        prop_oneof![select(odd).prop_map(str::to_owned), "\\PC{0,12}"]
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_as_the_same(texts in vec(any_text(), 1..5)) {
            let manifest = json!({
                "apiVersion": "evenkeel.dev/v1", "kind": "Service", "metadata": { "name": "web" },
                "spec": { "cluster": "prod", "taskDefinition": { "memory": "512", "containerDefinitions": [
                    { "name": "a", "image": "a:1", "command": texts },
                ] } },
            });
            let mut out = Vec::new();
            write_data(&mut out, Output::Yaml, &manifest).unwrap();
            let text = String::from_utf8(out).unwrap();
            let set = load(&[File { name: "web.yaml".into(), text: text.clone() }]);
            prop_assert_eq!(&set.problems, &vec![], "{}", text);
            let task = set.services.first().unwrap().task_definition.value();
            let command = task.pointer("/containerDefinitions/0/command").cloned();
            prop_assert_eq!(command, Some(json!(texts)), "{}", text);
        }
    }
}
