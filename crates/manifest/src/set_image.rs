//! The image of a container replaced in the text of a manifest, all other bytes kept; never a file
//! written, and never a text given of which it is not proved that nothing else differs.

mod proof;
mod scalar;
mod variable;

use std::sync::Arc;

use crate::envelope::{self, Recognised};
use crate::load::{Files, PathError, described};
use crate::node::{Cursor, Kind, Position};
use crate::problem::Report;
use crate::reader::{self, mask_surrogates};
use crate::{File, ImageReference, Limits, spelling};

pub use variable::{SetVariableError, VariableChange, VariableTarget, set_variable};

/// Whose image is meant: `SERVICE`, `SERVICE/CONTAINER` or `CLUSTER/SERVICE/CONTAINER`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageTarget {
    pub cluster: Option<String>,
    pub service: String,
    /// May be left out where there is one container.
    pub container: Option<String>,
}

/// What one replacement comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageChange {
    /// Of the manifest, or of the file that it takes its task definition from.
    pub file: Arc<str>,
    /// 1-based.
    pub line: usize,
    /// 1-based, in characters.
    pub column: usize,
    pub service: String,
    pub container: String,
    pub old: String,
    /// The whole text of the file with the new image in it; the same when that was there already.
    pub text: String,
}

/// Why an image was not replaced. Lists of names are written out for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetImageError {
    #[error("there is no file `{0}`")]
    NoFile(String),
    #[error("{file}:{line}:{column}: {message}: mend it first")]
    Unreadable { file: Arc<str>, line: usize, column: usize, message: String },
    #[error("{file} has no manifest of a service `{service}`{suggestion}")]
    NoService { file: String, service: String, suggestion: String },
    #[error("{file} has the service `{service}` in another cluster: say {clusters}")]
    OtherCluster { file: String, service: String, clusters: String },
    #[error(
        "{file} has several services `{service}`: say CLUSTER/{service}/CONTAINER, the cluster being \
         {clusters}"
    )]
    SeveralServices { file: String, service: String, clusters: String },
    #[error("the service `{service}` has several containers: say {choices}")]
    SeveralContainers { service: String, choices: String },
    #[error("the service `{service}` has no container `{container}`{suggestion}")]
    NoContainer { service: String, container: String, suggestion: String },
    #[error("the service `{0}` has no containers")]
    NoContainers(String),
    #[error("the container `{container}` of the service `{service}` has no image to replace")]
    NoImage { service: String, container: String },
    #[error("the task definition of `{service}` is in `{path}`: {why}")]
    Include { service: String, path: String, why: String },
    #[error(
        "{file}:{line}:{column}: the image is made of variables: set those with `evenkeel set var`, or write \
         the image out"
    )]
    Variables { file: Arc<str>, line: usize, column: usize },
    #[error(
        "{file}:{line}:{column}: the value is not written on one line as it is, but with escapes, folded, or \
         as a block: write it plainly, or in quotes"
    )]
    NotPlain { file: Arc<str>, line: usize, column: usize },
    #[error("{file}:{line}:{column}: more than this value would change: {what}")]
    More { file: Arc<str>, line: usize, column: usize, what: String },
}

impl ImageTarget {
    /// `None` for a text with an empty name, or with more than three.
    pub fn parse(text: &str) -> Option<Self> {
        let names: Vec<&str> = text.split('/').collect();
        if names.iter().any(|name| name.is_empty()) {
            return None;
        }
        let owned = |name: &str| Some(name.to_owned());
        let (cluster, service, container) = match names.as_slice() {
            [service] => (None, service, None),
            [service, container] => (None, service, owned(container)),
            [cluster, service, container] => (owned(cluster), service, owned(container)),
            _ => return None,
        };
        Some(Self { cluster, service: (*service).to_owned(), container })
    }
}

/// Replaces the image of one container of the manifest in the file `manifest` of `files`, or in the file
/// of `files` that it names under `taskDefinition.file`. Comments, quotes and layout stay byte for byte.
pub fn set_image(
    files: &[File],
    manifest: &str,
    target: &ImageTarget,
    image: &ImageReference,
) -> Result<ImageChange, SetImageError> {
    let all = Files::new(files, "");
    let file = files.iter().find(|file| *file.name == *manifest);
    let file = file.ok_or_else(|| SetImageError::NoFile(manifest.to_owned()))?;
    let read = read_whole(file)?;
    let manifests = manifests(file, &read);
    let root = the_service(&manifests, target, file)?;
    let definition = root.descendant("spec.taskDefinition");
    let include = definition.as_ref().and_then(|at| at.member("file"));
    match include.as_ref().and_then(Cursor::text) {
        None => {
            let found = the_image(definition.as_ref(), target)?;
            replace(file, &found, target, image)
        }
        Some(path) => {
            let included = find(&all, file, path, target)?;
            alone(&all, file, included, &manifests, target)?;
            let read = read_whole(included)?;
            let [document] = read.documents.as_slice() else {
                return Err(not_included(target, path, "it does not hold one document"));
            };
            let root = Cursor::root(&included.name, &document.root);
            let found = the_image(Some(&described(root, &mut Report::default())), target)?;
            replace(included, &found, target, image)
        }
    }
}

/// All documents of a file, to its end. Positions are those of the bytes as they are.
fn read_whole(file: &File) -> Result<reader::Read, SetImageError> {
    let limits = Limits::default();
    if file.text.len() > limits.file_bytes {
        let message = format!("larger than {} bytes", limits.file_bytes);
        let file = Arc::clone(&file.name);
        return Err(SetImageError::Unreadable { file, line: 1, column: 1, message });
    }
    let read = reader::read(&file.name, &mask_surrogates(&file.text), &limits);
    let faults = read.documents.iter().flat_map(|document| &document.faults);
    if let Some(fault) = read.stopped.iter().chain(faults).next() {
        return Err(SetImageError::Unreadable {
            file: Arc::clone(&file.name),
            line: fault.position.line,
            column: fault.position.column,
            message: fault.message.clone(),
        });
    }
    Ok(read)
}

fn manifests<'a>(file: &'a File, read: &'a reader::Read) -> Vec<Cursor<'a>> {
    let roots = read.documents.iter().map(|document| Cursor::root(&file.name, &document.root));
    roots.filter(|root| envelope::recognise(root) == Recognised::Manifest).collect()
}

fn name_of<'a>(root: &Cursor<'a>) -> Option<&'a str> {
    root.member("metadata")?.text_of("name")
}

fn cluster_of<'a>(root: &Cursor<'a>) -> Option<&'a str> {
    envelope::short_cluster(root.member("spec")?.text_of("cluster")?)
}

fn the_service<'m, 'a>(
    manifests: &'m [Cursor<'a>],
    target: &ImageTarget,
    file: &File,
) -> Result<&'m Cursor<'a>, SetImageError> {
    let of_name: Vec<&Cursor<'_>> =
        manifests.iter().filter(|root| name_of(root) == Some(&*target.service)).collect();
    let there = |root: &&&Cursor<'_>| {
        target.cluster.as_deref().is_none_or(|cluster| cluster_of(root) == Some(cluster))
    };
    let found: Vec<&Cursor<'_>> = of_name.iter().filter(there).copied().collect();
    let (file, service) = (file.name.to_string(), target.service.clone());
    let clusters: Vec<&str> = of_name.iter().filter_map(|root| cluster_of(root)).collect();
    match (found.as_slice(), of_name.is_empty()) {
        ([one], _) => Ok(one),
        ([], true) => {
            let names: Vec<&str> = manifests.iter().filter_map(name_of).collect();
            let suggestion = spelling::suggestion(&service, &names);
            Err(SetImageError::NoService { file, service, suggestion })
        }
        ([], false) => {
            let clusters = spelling::choices(&clusters);
            Err(SetImageError::OtherCluster { file, service, clusters })
        }
        (_, _) => {
            let clusters = spelling::choices(&clusters);
            Err(SetImageError::SeveralServices { file, service, clusters })
        }
    }
}

/// The image of a container, and what the container is called.
struct Found<'a> {
    container: &'a str,
    image: Cursor<'a>,
}

fn the_image<'a>(
    definition: Option<&Cursor<'a>>,
    target: &ImageTarget,
) -> Result<Found<'a>, SetImageError> {
    let containers =
        definition.map(|at| at.elements_of("containerDefinitions")).unwrap_or_default();
    let names: Vec<&str> = containers.iter().filter_map(|at| at.text_of("name")).collect();
    let service = target.service.clone();
    let one = match (&target.container, containers.as_slice()) {
        (_, []) => return Err(SetImageError::NoContainers(service)),
        (None, [one]) => one,
        (None, _) => {
            let choices: Vec<String> =
                names.iter().map(|name| format!("{service}/{name}")).collect();
            let choices: Vec<&str> = choices.iter().map(String::as_str).collect();
            let choices = spelling::choices(&choices);
            return Err(SetImageError::SeveralContainers { service, choices });
        }
        (Some(name), all) => {
            let found = all.iter().find(|at| at.text_of("name") == Some(name));
            found.ok_or_else(|| SetImageError::NoContainer {
                service: service.clone(),
                container: name.clone(),
                suggestion: spelling::suggestion(name, &names),
            })?
        }
    };
    let container = one.text_of("name").unwrap_or_default();
    let image = one.member("image").filter(|image| image.text().is_some());
    let image =
        image.ok_or_else(|| SetImageError::NoImage { service, container: container.to_owned() })?;
    Ok(Found { container, image })
}

fn find<'a>(
    all: &Files<'a>,
    file: &File,
    path: &str,
    target: &ImageTarget,
) -> Result<&'a File, SetImageError> {
    all.find(&file.name, path)
        .map_err(|why: PathError| not_included(target, path, &why.to_string()))
}

fn not_included(target: &ImageTarget, path: &str, why: &str) -> SetImageError {
    let (service, path) = (target.service.clone(), path.to_owned());
    SetImageError::Include { service, path, why: why.to_owned() }
}

/// A task definition that several services take would change for all of them.
fn alone(
    all: &Files<'_>,
    file: &File,
    included: &File,
    manifests: &[Cursor<'_>],
    target: &ImageTarget,
) -> Result<(), SetImageError> {
    let is_taker = |root: &&Cursor<'_>| {
        let path = root.descendant("spec.taskDefinition.file");
        let path = path.as_ref().and_then(Cursor::text);
        path.and_then(|path| all.find(&file.name, path).ok())
            .is_some_and(|found| found.name == included.name)
    };
    let takers: Vec<&str> = manifests.iter().filter(is_taker).filter_map(name_of).collect();
    if takers.len() <= 1 {
        return Ok(());
    }
    let why = format!("so is that of {}, which would change too", others(&takers, target));
    Err(not_included(target, &included.name, &why))
}

fn others(takers: &[&str], target: &ImageTarget) -> String {
    let others: Vec<&str> = takers.iter().copied().filter(|name| *name != target.service).collect();
    if others.is_empty() { "a service of its name".to_owned() } else { spelling::choices(&others) }
}

fn replace(
    file: &File,
    found: &Found<'_>,
    target: &ImageTarget,
    image: &ImageReference,
) -> Result<ImageChange, SetImageError> {
    let (name, position) = (Arc::clone(&file.name), found.image.node.position);
    let (line, column) = (position.line, position.column);
    let Kind::String(old) = &found.image.node.kind else {
        return Err(SetImageError::NotPlain { file: name, line, column });
    };
    if old.contains("${") {
        return Err(SetImageError::Variables { file: name, line, column });
    }
    let text = if **old == *image.as_str() {
        file.text.clone()
    } else {
        let text = scalar::replace(&file.text, position, old, image.as_str());
        proved(file, text, position, &Kind::String(image.as_str().into()))?
    };
    let (service, container) = (target.service.clone(), found.container.to_owned());
    Ok(ImageChange { file: name, line, column, service, container, old: old.to_string(), text })
}

/// `text` if it is that of the file but for one scalar.
fn proved(
    file: &File,
    text: Option<String>,
    position: Position,
    new: &Kind,
) -> Result<String, SetImageError> {
    let (name, line, column) = (Arc::clone(&file.name), position.line, position.column);
    let Some(text) = text else {
        return Err(SetImageError::NotPlain { file: name, line, column });
    };
    match proof::prove(file, &text, position, new) {
        Ok(()) => Ok(text),
        Err(what) => Err(SetImageError::More { file: name, line, column, what }),
    }
}
