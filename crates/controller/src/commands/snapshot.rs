//! `evenkeel snapshot`: what `plan --snapshot` plans against later, read from AWS now; never changes anything there.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use evenkeel_manifest::{ServiceKey, Severity};

use super::look::ask_aws;
use super::validate::{counted, line};
use crate::args::SnapshotArgs;
use crate::cli::{CommandError, Exit};
use crate::config::Config;
use crate::input;
use crate::snapshot::{self, Entry, Looked, Snapshot, record};
use crate::style::{self, paint, safe};

pub(crate) async fn snapshot(
    config: Config,
    args: SnapshotArgs,
    out: &mut dyn Write,
) -> Result<Exit, CommandError> {
    let paths =
        if args.paths.is_empty() { vec![config.manifests.path.clone()] } else { args.paths };
    let input = input::load(&paths, config.manifests.environment.as_deref())?;
    let is_invalid = input.count(Severity::Error) > 0;
    let mut told = anstream::stderr();
    for problem in &input.set.problems {
        writeln!(told, "{}", line(problem))?;
    }
    let (services, elsewhere) = input.services_of(&config);
    let looks =
        ask_aws(
            services,
            &config,
            |cloud, service, _| async move { record(&*cloud, &service).await },
        )
        .await?;
    let unread = tell(&mut told, &looks, elsewhere, &args.output)?;
    let entries = looks.into_iter().map(|(key, look)| Entry { key, look }).collect();
    hand_over(out, &args.output, &Snapshot::new(&config, entries))?;
    Ok(if is_invalid || unread > 0 { Exit::Bad } else { Exit::Done })
}

/// How many could not be read, after they were told.
fn tell(
    told: &mut dyn Write,
    looks: &BTreeMap<ServiceKey, Looked>,
    elsewhere: usize,
    path: &Path,
) -> Result<usize, CommandError> {
    let mut unread = 0;
    for (key, look) in looks {
        if let Looked::Unread(why) = look {
            unread += 1;
            let (mark, name) = (paint(style::BAD, "!"), key.to_string());
            writeln!(told, "{mark} {}: could not be read: {}", safe(&name), safe(why))?;
        }
    }
    let mut parts = vec![format!("{} recorded", counted(looks.len() - unread, "service"))];
    for (count, what) in [(unread, "could not be read"), (elsewhere, "of another target")] {
        if count > 0 {
            parts.push(format!("{count} {what}"));
        }
    }
    if !is_stdout(path) {
        let name = path.display().to_string();
        parts.push(format!("for its owner alone in {}", safe(&name)));
    }
    writeln!(told, "{}", parts.join(", "))?;
    Ok(unread)
}

fn hand_over(out: &mut dyn Write, path: &Path, snapshot: &Snapshot) -> Result<(), CommandError> {
    let failed = |error| CommandError::Sentence(format!("the snapshot cannot be written: {error}"));
    let text = snapshot.text().map_err(failed)?;
    if is_stdout(path) { Ok(out.write_all(&text)?) } else { Ok(snapshot::write(path, &text)?) }
}

fn is_stdout(path: &Path) -> bool {
    path == Path::new("-")
}
