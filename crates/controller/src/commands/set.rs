//! `evenkeel set`: puts an image or a variable into a file; never leaves a file half written, and
//! never overwrites what somebody else wrote meanwhile.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use evenkeel_manifest::{
    File, ImageChange, ImageReference, ImageTarget, VariableChange, VariableTarget, set_image,
    set_variable,
};
use serde_json::{Value, json};
use similar::TextDiff;
use tempfile::NamedTempFile;

use super::write_data;
use crate::args::{Output, SetArgs, SetCommand, SetOptions};
use crate::cli::{CommandError, Exit};
use crate::input::OneFile;
use crate::source::{TreeLimits, read_text};
use crate::style::{self, paint, safe};

/// One value that was replaced.
struct Change {
    file: Arc<str>,
    line: usize,
    column: usize,
    /// Whose value it is, such as `web/app`.
    name: String,
    old: String,
    new: String,
    /// The whole file.
    text: String,
    /// What it is, for machines.
    what: Value,
}

pub(crate) fn set(args: &SetArgs, out: &mut dyn Write) -> Result<Exit, CommandError> {
    match &args.command {
        SetCommand::Image(args) => {
            let before = OneFile::read(&args.file)?;
            let edits =
                args.images.iter().map(|one| |files: &[File]| image(files, &before.name, one));
            carry_out("images", &before, edits, args.options, out)
        }
        SetCommand::Var(args) => {
            let before = OneFile::read(&args.file)?;
            let edits =
                args.vars.iter().map(|one| |files: &[File]| variable(files, &before.name, one));
            carry_out("variables", &before, edits, args.options, out)
        }
    }
}

fn image(
    files: &[File],
    manifest: &str,
    (target, image): &(ImageTarget, ImageReference),
) -> Result<Change, CommandError> {
    let ImageChange { file, line, column, service, container, old, text } =
        set_image(files, manifest, target, image)?;
    let name = format!("{service}/{container}");
    let what = json!({ "service": service, "container": container });
    Ok(Change { file, line, column, name, old, new: image.to_string(), text, what })
}

fn variable(
    files: &[File],
    name: &str,
    (target, value): &(VariableTarget, String),
) -> Result<Change, CommandError> {
    let file = files.iter().find(|file| *file.name == *name);
    let file = file.ok_or_else(|| sentence(format!("there is no file `{name}`")))?;
    let VariableChange { file, line, column, environment, old, text } =
        set_variable(file, target, value)?;
    let what = json!({ "environment": environment, "name": target.name });
    let name = format!("{environment}/{}", target.name);
    Ok(Change { file, line, column, name, old, new: value.clone(), text, what })
}

/// Makes all edits one after the other, each in the texts that the ones before it made, and writes or
/// shows what comes of them.
fn carry_out(
    noun: &str,
    before: &OneFile,
    edits: impl Iterator<Item = impl Fn(&[File]) -> Result<Change, CommandError>>,
    SetOptions { dry_run, output }: SetOptions,
    out: &mut dyn Write,
) -> Result<Exit, CommandError> {
    let from_stdin = before.path(&before.name).is_none();
    if from_stdin && output != Output::Text {
        return Err(sentence("with `-` the manifest is written to standard output: leave out -o"));
    }
    let (mut files, mut changes) = (before.files.clone(), Vec::new());
    for edit in edits {
        let change = edit(&files)?;
        for file in files.iter_mut().filter(|file| file.name == change.file) {
            file.text.clone_from(&change.text);
        }
        changes.push(change);
    }
    let edits = self::edits(before, &files);
    match (from_stdin, dry_run) {
        (true, false) => out.write_all(text_of(&files, &before.name).as_bytes())?,
        (false, false) => write_all(&edits)?,
        (_, true) => {}
    }
    match output {
        Output::Text if dry_run => write_diffs(out, &edits)?,
        Output::Text if from_stdin => {}
        Output::Text => write_text(out, before, &changes)?,
        output => write_data(out, output, &data(noun, before, &changes, &edits, dry_run))?,
    }
    Ok(Exit::Done)
}

fn sentence(text: impl Into<String>) -> CommandError {
    CommandError::Sentence(text.into())
}

fn text_of<'a>(files: &'a [File], name: &str) -> &'a str {
    files.iter().find(|file| *file.name == *name).map_or("", |file| &file.text)
}

/// One file before and after.
struct Edit<'a> {
    /// `None`: standard input.
    path: Option<&'a Path>,
    shown: String,
    old: &'a str,
    new: &'a str,
}

fn edits<'a>(before: &'a OneFile, after: &'a [File]) -> Vec<Edit<'a>> {
    let pairs = before.files.iter().zip(after);
    pairs
        .filter(|(old, new)| old.text != new.text)
        .map(|(old, new)| Edit {
            path: before.path(&old.name),
            shown: shown(before, &old.name),
            old: &old.text,
            new: &new.text,
        })
        .collect()
}

fn shown(before: &OneFile, name: &str) -> String {
    before.path(name).map_or_else(|| name.to_owned(), |path| path.display().to_string())
}

/// All new texts are on disk before the first file is replaced.
fn write_all(edits: &[Edit<'_>]) -> Result<(), CommandError> {
    let mut ready = Vec::new();
    for edit in edits {
        let Some(path) = edit.path else { continue };
        let failed =
            |error: io::Error| sentence(format!("{} cannot be written: {error}", edit.shown));
        let (place, file) = beside(path, edit.new).map_err(failed)?;
        ready.push((edit, place, file));
    }
    for (edit, place, _) in &ready {
        unchanged(edit, place)?;
    }
    for (edit, place, file) in ready {
        let failed =
            |error: io::Error| sentence(format!("{} cannot be written: {error}", edit.shown));
        file.persist(&place).map_err(|error| failed(error.error))?;
    }
    Ok(())
}

/// A new file with the mode of the one at `path`, in its directory and hidden from a daemon that watches
/// it. A link stays a link: its file is the place.
fn beside(path: &Path, text: &str) -> io::Result<(PathBuf, NamedTempFile)> {
    let place = path.canonicalize()?;
    let directory = place.parent().unwrap_or(Path::new("/"));
    let mut file = tempfile::Builder::new().prefix(".evenkeel-").tempfile_in(directory)?;
    file.write_all(text.as_bytes())?;
    file.as_file().set_permissions(fs::metadata(&place)?.permissions())?;
    file.as_file().sync_all()?;
    Ok((place, file))
}

fn unchanged(edit: &Edit<'_>, place: &Path) -> Result<(), CommandError> {
    let now = read_text(place, TreeLimits::default().file_bytes);
    if now.as_deref() == Ok(edit.old) {
        return Ok(());
    }
    Err(sentence(format!("{} was changed meanwhile: nothing was written, try again", edit.shown)))
}

fn write_diffs(out: &mut dyn Write, edits: &[Edit<'_>]) -> Result<(), CommandError> {
    for edit in edits {
        for line in diff(edit).lines() {
            let line = safe(line);
            match line.chars().next() {
                Some('-') => writeln!(out, "{}", paint(style::OLD, line))?,
                Some('+') => writeln!(out, "{}", paint(style::NEW, line))?,
                _ => writeln!(out, "{line}")?,
            }
        }
    }
    Ok(())
}

fn diff(edit: &Edit<'_>) -> String {
    let (from, to) = (format!("a/{}", edit.shown), format!("b/{}", edit.shown));
    let diff = TextDiff::from_lines(edit.old, edit.new);
    diff.unified_diff().context_radius(3).header(&from, &to).to_string()
}

fn write_text(
    out: &mut dyn Write,
    before: &OneFile,
    changes: &[Change],
) -> Result<(), CommandError> {
    for change in changes {
        let place = format!("{}:{}:{}", shown(before, &change.file), change.line, change.column);
        let (old, new) = (safe(&change.old), safe(&change.new));
        let what = if old == new {
            format!("has {new} already")
        } else {
            format!("{} -> {}", paint(style::OLD, old), paint(style::NEW, new))
        };
        let name = paint(style::TITLE, safe(&change.name));
        writeln!(out, "{}: {name} {what}", safe(&place))?;
    }
    Ok(())
}

fn data(
    noun: &str,
    before: &OneFile,
    changes: &[Change],
    edits: &[Edit<'_>],
    dry_run: bool,
) -> Value {
    let told = |change: &Change| {
        let mut told = json!({
            "file": shown(before, &change.file),
            "line": change.line,
            "column": change.column,
            "old": change.old,
            "new": change.new,
            "changed": change.old != change.new,
        });
        if let (Some(all), Some(what)) = (told.as_object_mut(), change.what.as_object()) {
            all.extend(what.clone());
        }
        told
    };
    let files: BTreeSet<&str> = edits.iter().map(|edit| edit.shown.as_str()).collect();
    json!({
        "changed": !edits.is_empty(),
        "dryRun": dry_run,
        "files": files,
        noun: changes.iter().map(told).collect::<Vec<_>>(),
        "diff": edits.iter().map(diff).collect::<String>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_somebody_else_changed_meanwhile_is_left_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("web.yaml");
        fs::write(&path, "theirs").unwrap();
        let shown = "web.yaml".to_owned();
        let edit = Edit { path: Some(&path), shown, old: "before", new: "ours" };
        let error = write_all(&[edit]).unwrap_err().to_string();
        assert!(error.contains("web.yaml was changed meanwhile"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "theirs");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left behind");
    }
}
