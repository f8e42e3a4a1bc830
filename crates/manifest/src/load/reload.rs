//! The manifests of one directory, read again and again; never parses a file again while it, the files that it
//! includes and the environment say the same.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, Hash as _, Hasher as _, RandomState};
use std::sync::Arc;

use super::environments::{Selected, may_hold_one};
use super::included::Files;
use super::said::{Said, Together, Whole};
use super::{File, Loader, beyond};
use crate::{Limits, Problem, Service};

/// Loads files as [`load_in`](super::load_in) does, and remembers what each of them said.
#[derive(Debug)]
pub struct Reloader {
    root: String,
    environment: Option<String>,
    limits: Limits,
    /// Its keys are nobody's to know, so that nobody can make two texts of one hash.
    hasher: RandomState,
    /// A hash of all files that may hold environments.
    environments: u64,
    known: HashMap<Arc<str>, Known>,
}

/// What a file said, and of what that is true.
#[derive(Debug)]
struct Known {
    /// A hash of its text.
    text: u64,
    /// The paths that it asked for, with hashes of the texts found there.
    asked: Vec<(String, Option<u64>)>,
    included_bytes: usize,
    /// Whether all that it includes was within the limit then: what is too much depends on the files before it.
    fitted: bool,
    said: Said,
}

/// As [`ManifestSet`](super::ManifestSet), of services that are shared with loads before and after.
#[derive(Clone, Debug, Default)]
pub struct Reloaded {
    pub services: Vec<Arc<Service>>,
    pub problems: Vec<Problem>,
    /// How many files were parsed.
    pub parsed: usize,
}

impl Reloader {
    /// `root` stands before the name of every file and is no part of what `taskDefinition.file` is resolved
    /// against: empty, or with a `/` at its end.
    pub fn new(root: impl Into<String>, environment: Option<&str>) -> Self {
        Self {
            root: root.into(),
            environment: environment.map(str::to_owned),
            limits: Limits::default(),
            hasher: RandomState::new(),
            environments: 0,
            known: HashMap::new(),
        }
    }

    /// Within other limits than the default ones.
    #[must_use]
    pub fn within(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// What `files` say now. A service that is as before is the very same one, with the commit that it had; one that
    /// is not is of `commit`.
    pub fn load(&mut self, files: &[File], commit: Option<&Arc<str>>) -> Reloaded {
        let read = files.get(..self.limits.files).unwrap_or(files);
        let texts: Vec<u64> = read.iter().map(|file| self.hasher.hash_one(&file.text)).collect();
        let (mut before, same) = (std::mem::take(&mut self.known), self.same_environments(read));
        let (root, limits) = (self.root.clone(), self.limits);
        let selected = Selected::of(read, self.environment.as_deref(), &limits);
        let mut loader = Loader::new(Files::new(read, &root), selected, &limits);
        let (mut together, mut parsed) = (Together::default(), 0);
        for (file, text) in read.iter().zip(&texts) {
            let old = before.remove(&file.name);
            let known = match old {
                Some(old) if same && old.holds(file, *text, &loader, &texts) => {
                    loader.files.include_again(old.included_bytes);
                    old
                }
                old => {
                    parsed += 1;
                    Known::parse(&mut loader, file, &texts, *text).since(old.as_ref(), commit)
                }
            };
            together.add(known.said.clone());
            self.known.insert(Arc::clone(&file.name), known);
        }
        together.strays.extend(beyond(files, &limits));
        let Whole { services, problems, .. } = together.finish(&loader);
        Reloaded { services, problems, parsed }
    }

    /// An environment that may have changed may change every manifest.
    fn same_environments(&mut self, files: &[File]) -> bool {
        let now = self.hash_of_environments(files);
        std::mem::replace(&mut self.environments, now) == now
    }

    fn hash_of_environments(&self, files: &[File]) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        if self.environment.is_some() {
            for File { name, text } in files.iter().filter(|file| may_hold_one(file)) {
                (name, text).hash(&mut hasher);
            }
        }
        hasher.finish()
    }
}

impl Known {
    fn parse<'a>(loader: &mut Loader<'a, '_>, file: &'a File, texts: &[u64], text: u64) -> Self {
        let bytes = loader.files.included_bytes();
        let said = loader.file(file);
        let asked = loader.files.take_asked().into_iter();
        let asked = asked.map(|(path, place)| (path, text_at(texts, place)));
        let included = loader.files.included_bytes();
        let (included_bytes, fitted) = (included - bytes, included <= loader.limits.included_bytes);
        Self { text, asked: asked.collect(), included_bytes, fitted, said }
    }

    /// Services that it said before are not new.
    fn since(mut self, old: Option<&Self>, commit: Option<&Arc<str>>) -> Self {
        for service in &mut self.said.services {
            let mut before = old.into_iter().flat_map(|old| &old.said.services);
            match before.find(|before| *before == service) {
                Some(same) => *service = Arc::clone(same),
                None => Arc::make_mut(service).source.commit = commit.cloned(),
            }
        }
        self
    }

    fn holds(&self, file: &File, text: u64, loader: &Loader<'_, '_>, texts: &[u64]) -> bool {
        let found = |path: &str| loader.files.place(&file.name, path).ok().map(|(place, _)| place);
        let included = loader.files.included_bytes().saturating_add(self.included_bytes);
        self.text == text
            && self.fitted
            && self.asked.iter().all(|(path, before)| text_at(texts, found(path)) == *before)
            && included <= loader.limits.included_bytes
    }
}

fn text_at(texts: &[u64], place: Option<usize>) -> Option<u64> {
    texts.get(place?).copied()
}
