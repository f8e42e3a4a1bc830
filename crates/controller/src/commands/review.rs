//! `evenkeel plan --from REV --to REV`: what a merge would do, from two revisions of a repository on this machine;
//! never asks AWS, and never touches the work tree.

mod compare;
mod tell;

use std::io::Write;
use std::path::{Component, Path, PathBuf};

use crate::args::{Output, PlanArgs, PlanOutput};
use crate::cli::{CommandError, Exit};
use crate::config::Config;
use crate::input::Input;
use crate::source::LocalRepository;
use compare::{Review, Side};

use super::write_data;

pub(super) fn review(
    config: &Config,
    args: &PlanArgs,
    revisions: (&str, &str),
    out: &mut dyn Write,
) -> Result<Exit, CommandError> {
    let at = args.repository.clone().unwrap_or_else(|| PathBuf::from("."));
    let repository = LocalRepository::open(&at).map_err(CommandError::Sentence)?;
    let paths = args.paths.iter().map(|path| in_repository(path)).collect::<Result<Vec<_>, _>>()?;
    let paths: Vec<String> = paths.into_iter().filter(|path| !path.is_empty()).collect();
    let side = |revision: &str| side(&repository, revision, &paths, config);
    let review = Review::of(side(revisions.0)?, side(revisions.1)?);
    if review.files == 0 {
        let message = "neither revision has a manifest there: paths are given from the root of the repository";
        return Err(CommandError::Sentence(message.to_owned()));
    }
    match args.output {
        PlanOutput::Text => tell::text(out, &review)?,
        PlanOutput::Json => write_data(out, Output::Json, &tell::data(&review))?,
        PlanOutput::Yaml => write_data(out, Output::Yaml, &tell::data(&review))?,
        PlanOutput::Markdown => out.write_all(tell::comment(&review).as_bytes())?,
    }
    Ok(review.exit())
}

fn side(
    repository: &LocalRepository,
    revision: &str,
    paths: &[String],
    config: &Config,
) -> Result<Side, CommandError> {
    let found = repository.read(revision, paths).map_err(CommandError::Sentence)?;
    let input = Input::of_tree(&found.tree, config.manifests.environment.as_deref());
    let (files, problems) = (input.files, input.set.problems.clone());
    let (services, _elsewhere) = input.services_of(config);
    Ok(Side { commit: found.commit, files, problems, services })
}

/// From the root of the repository, with `/`.
fn in_repository(path: &Path) -> Result<String, CommandError> {
    let mut parts = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(part) => parts.push(part.to_string_lossy()),
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => {
                let message = format!(
                    "{} leads out of the repository: give paths from its root",
                    path.display()
                );
                return Err(CommandError::Sentence(message));
            }
        }
    }
    Ok(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_from_the_root_of_the_repository() {
        assert_eq!(
            in_repository(Path::new("./prod/web.yaml")).ok(),
            Some("prod/web.yaml".to_owned())
        );
        assert_eq!(in_repository(Path::new(".")).ok(), Some(String::new()));
        assert!(in_repository(Path::new("../x")).is_err());
        assert!(in_repository(Path::new("/x")).is_err());
    }
}
