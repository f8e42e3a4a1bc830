//! What is in force when newer manifests are bad; never lets a fault take a service away.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use evenkeel_manifest::{Problem, Service, ServiceKey, Severity};
use evenkeel_reconciler::DesiredState;

use super::tree::Tree;
use crate::config::Windows;

/// The last good service of every key, and the text of the file that each came from.
#[derive(Debug)]
pub(crate) struct LastGood {
    target: String,
    /// The configuration's, laid over those of manifests.
    windows: Windows,
    entries: BTreeMap<ServiceKey, Entry>,
}

#[derive(Debug)]
struct Entry {
    service: Arc<Service>,
    /// A hash of the whole file.
    text: u64,
}

/// What one look at the manifests comes to.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Settled {
    pub desired: DesiredState,
    pub problems: Vec<Problem>,
    /// Services that other daemons take care of, because their target is another.
    pub elsewhere: usize,
    /// Why the services of before stay in force as a whole, when they do.
    pub stale: Option<String>,
}

impl LastGood {
    /// `target` is the only one whose services are kept.
    pub(crate) fn new(target: impl Into<String>, windows: Windows) -> Self {
        Self { target: target.into(), windows, entries: BTreeMap::new() }
    }

    /// Takes in one look at the directory. A service leaves only when its file is truly gone or was
    /// edited into a valid one without it; in doubt it stays, marked invalid.
    pub(super) fn settle(
        &mut self,
        tree: &Tree,
        services: impl Iterator<Item = Arc<Service>>,
        mut problems: Vec<Problem>,
    ) -> Settled {
        problems.extend(problems_of(tree));
        problems.extend(self.emptied_files(tree));
        let (mut ours, elsewhere): (Vec<_>, Vec<_>) =
            services.partition(|service| service.key.target == self.target);
        for service in &mut ours {
            self.windows.lay_over_shared(service);
        }
        let fresh = ours.iter().map(|service| service.key.clone());
        let held = self.entries.values().map(|entry| entry.file().to_owned());
        let look = Look::new(tree, &problems, fresh, held);
        let stale = self.drop_the_gone(&look);
        self.take_in(ours, &look);
        let mut desired = self.desired(&look);
        desired.incomplete = stale.clone().or(desired.incomplete);
        Settled { desired, problems, elsewhere: elsewhere.len(), stale }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// A file that is being rewritten is empty for a moment.
    fn emptied_files(&self, tree: &Tree) -> Vec<Problem> {
        let held: BTreeSet<&str> = self.entries.values().map(Entry::file).collect();
        let emptied = tree.files.iter().filter(|file| file.text.trim().is_empty());
        emptied
            .filter(|file| held.contains(&*file.name))
            .map(|file| problem(&file.name, "the file is empty; delete it to let its services go"))
            .collect()
    }

    fn drop_the_gone(&mut self, look: &Look<'_>) -> Option<String> {
        let gone: Vec<ServiceKey> = self
            .entries
            .iter()
            .filter(|(key, entry)| look.lets_go(key, entry))
            .map(|(key, _)| key.clone())
            .collect();
        let nothing_left = gone.len() == self.entries.len() && look.fresh.is_empty();
        if nothing_left && !gone.is_empty() {
            return Some(format!(
                "no manifest is left in the directory; the last {} stay in force",
                self.entries.len()
            ));
        }
        for key in gone {
            self.entries.remove(&key);
        }
        None
    }

    /// A service that did not change keeps its allocation, by which others see that quickly.
    fn take_in(&mut self, services: Vec<Arc<Service>>, look: &Look<'_>) {
        for service in services {
            let text = look.texts.get(&*service.source.file).copied().unwrap_or_default();
            match self.entries.get_mut(&service.key) {
                Some(entry) if entry.service == service => entry.text = text,
                _ => {
                    let key = service.key.clone();
                    self.entries.insert(key, Entry { service, text });
                }
            }
        }
    }

    fn desired(&self, look: &Look<'_>) -> DesiredState {
        let services = self.entries.iter().map(|(key, e)| (key.clone(), e.service.clone()));
        let named = look.errors.iter().filter_map(|problem| problem.service.as_ref());
        let named = named.filter(|key| key.target == self.target);
        let keys: BTreeSet<&ServiceKey> = self.entries.keys().chain(named).collect();
        let invalid = keys.into_iter().filter(|key| !look.fresh.contains(*key));
        DesiredState {
            incomplete: look.unknown(),
            services: services.collect(),
            invalid: invalid.map(|key| (key.clone(), self.why_invalid(key, look))).collect(),
        }
    }

    fn why_invalid(&self, key: &ServiceKey, look: &Look<'_>) -> Vec<String> {
        let of_key = look.errors.iter().filter(|problem| problem.service.as_ref() == Some(key));
        let of_key: Vec<String> = of_key.map(ToString::to_string).collect();
        if !of_key.is_empty() {
            return of_key;
        }
        let Some(entry) = self.entries.get(key) else { return Vec::new() };
        let of_file: Vec<String> = look.faults_of(entry.file()).map(ToString::to_string).collect();
        if of_file.is_empty() {
            return vec![format!("{}: no valid manifest is left for {key}", entry.file())];
        }
        of_file
    }
}

impl Entry {
    fn file(&self) -> &str {
        &self.service.source.file
    }
}

/// One look, indexed by what the rules ask.
struct Look<'a> {
    fresh: BTreeSet<ServiceKey>,
    texts: BTreeMap<&'a str, u64>,
    problems: &'a [Problem],
    errors: Vec<&'a Problem>,
    /// Files with an error that names no service: what they hold is unknown.
    opaque: BTreeSet<&'a str>,
    /// Files that hold services in force.
    held: BTreeSet<String>,
}

impl<'a> Look<'a> {
    fn new(
        tree: &'a Tree,
        problems: &'a [Problem],
        fresh: impl Iterator<Item = ServiceKey>,
        held: impl Iterator<Item = String>,
    ) -> Self {
        let errors: Vec<_> = problems.iter().filter(|p| p.severity == Severity::Error).collect();
        let opaque = errors.iter().filter(|problem| problem.service.is_none());
        Self {
            fresh: fresh.collect(),
            texts: tree.files.iter().map(|file| (&*file.name, hash(&file.text))).collect(),
            opaque: opaque.map(|problem| &*problem.file).collect(),
            held: held.collect(),
            problems,
            errors,
        }
    }

    /// Why there may be more manifests than were understood.
    fn unknown(&self) -> Option<String> {
        let of_no_service = self.errors.iter().find(|problem| problem.service.is_none());
        of_no_service.map(ToString::to_string)
    }

    /// Whether a service of before, for which there is no valid manifest now, was taken out of the
    /// manifests on purpose.
    fn lets_go(&self, key: &ServiceKey, entry: &Entry) -> bool {
        if self.fresh.contains(key) || self.errors.iter().any(|p| p.service.as_ref() == Some(key)) {
            return false;
        }
        match self.texts.get(entry.file()) {
            // The same file as when it was good: something else made it bad.
            Some(text) => *text != entry.text && self.faults_of(entry.file()).next().is_none(),
            None => !self.hides(entry.file()),
        }
    }

    /// Whether a file that is not listed may be there all the same: it, or a directory above it,
    /// cannot be read, or it may have been renamed to one that cannot be understood.
    fn hides(&self, file: &str) -> bool {
        let above = |name: &str| file.strip_prefix(name).is_some_and(|rest| rest.starts_with('/'));
        self.opaque.iter().any(|name| *name == file || above(name) || !self.held.contains(*name))
    }

    /// Errors, and documents that were ignored: one with a misspelt `apiVersion` is no manifest.
    fn faults_of(&self, file: &str) -> impl Iterator<Item = &'a Problem> {
        let of_file = self.problems.iter().filter(move |problem| *problem.file == *file);
        of_file.filter(|p| p.severity == Severity::Error || p.service.is_none())
    }
}

/// What could not be read, as problems of the manifests.
pub(crate) fn problems_of(tree: &Tree) -> Vec<Problem> {
    tree.unreadable
        .iter()
        .map(|file| problem(&file.name, &format!("it {}", file.message)))
        .collect()
}

fn problem(file: &Arc<str>, message: &str) -> Problem {
    Problem {
        file: file.clone(),
        line: 1,
        column: 1,
        path: String::new(),
        message: message.to_owned(),
        severity: Severity::Error,
        service: None,
    }
}

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use evenkeel_manifest::{File, ManifestSet};

    use super::*;
    use crate::source::tree::Unreadable;

    fn manifest(name: &str, image: &str) -> String {
        format!(
            "apiVersion: evenkeel.dev/v1\nkind: Service\nmetadata: {{name: {name}}}\nspec:\n  \
             cluster: prod\n  taskDefinition:\n    memory: \"512\"\n    containerDefinitions:\n    \
             - {{name: app, image: \"{image}\"}}\n  service: {{desiredCount: 1}}\n"
        )
    }

    /// A directory that tests rewrite between looks.
    struct Directory {
        last_good: LastGood,
        tree: Tree,
    }

    impl Directory {
        fn holding(names: &[&str]) -> Self {
            let mut directory = Self {
                last_good: LastGood::new("default", Windows::default()),
                tree: Tree::default(),
            };
            for name in names {
                directory.write(&format!("{name}.yaml"), &manifest(name, "app:1"));
            }
            let settled = directory.look();
            assert_eq!(settled.problems, [], "the fixture is good");
            assert_eq!(settled.desired.services.len(), names.len());
            directory
        }

        fn write(&mut self, name: &str, text: &str) {
            self.remove(name);
            self.tree.files.push(File { name: name.into(), text: text.to_owned() });
        }

        fn remove(&mut self, name: &str) {
            self.tree.files.retain(|file| *file.name != *name);
        }

        fn unreadable(&mut self, name: &str) {
            let message = "cannot be read".to_owned();
            self.tree.unreadable.push(Unreadable { name: name.into(), message });
        }

        fn look(&mut self) -> Settled {
            let set = evenkeel_manifest::load(&self.tree.files);
            self.settle(set)
        }

        fn settle(&mut self, set: ManifestSet) -> Settled {
            let services = set.services.into_iter().map(Arc::new);
            self.last_good.settle(&self.tree, services, set.problems)
        }
    }

    fn names(settled: &Settled) -> Vec<&str> {
        settled.desired.services.keys().map(|key| key.name.as_str()).collect()
    }

    fn invalid(settled: &Settled) -> Vec<&str> {
        settled.desired.invalid.keys().map(|key| key.name.as_str()).collect()
    }

    #[test]
    fn a_garbled_file_keeps_its_last_good_service_and_hinders_no_other() {
        let mut directory = Directory::holding(&["api", "web"]);
        directory.write("web.yaml", "{ not yaml");
        directory.write("api.yaml", &manifest("api", "app:2"));
        let settled = directory.look();
        assert_eq!(names(&settled), ["api", "web"]);
        assert_eq!(invalid(&settled), ["web"]);
        let text = settled.desired.services[&ServiceKey::new("prod", "api")].task_definition.text();
        assert!(text.contains("app:2"), "the other file's change is in force: {text}");
    }

    #[test]
    fn an_invalid_edit_keeps_what_was_good_and_a_valid_one_replaces_it() {
        let mut directory = Directory::holding(&["web"]);
        directory.write("web.yaml", &manifest("web", "app:2").replace("memory", "memroy"));
        let settled = directory.look();
        let key = ServiceKey::new("prod", "web");
        assert!(settled.desired.services[&key].task_definition.text().contains("app:1"));
        assert!(!settled.desired.invalid[&key].is_empty());
        directory.write("web.yaml", &manifest("web", "app:2"));
        let settled = directory.look();
        assert!(settled.desired.services[&key].task_definition.text().contains("app:2"));
        assert_eq!(invalid(&settled), Vec::<&str>::new());
    }

    #[test]
    fn a_file_that_is_gone_lets_its_service_go() {
        let mut directory = Directory::holding(&["api", "web"]);
        directory.remove("web.yaml");
        let settled = directory.look();
        assert_eq!((names(&settled), invalid(&settled)), (vec!["api"], vec![]));
    }

    #[test]
    fn a_valid_edit_that_names_another_service_lets_the_first_go() {
        let mut directory = Directory::holding(&["api", "web"]);
        directory.write("web.yaml", &manifest("shop", "app:1"));
        assert_eq!(names(&directory.look()), ["api", "shop"]);
    }

    #[test]
    fn a_renamed_file_keeps_its_service() {
        let mut directory = Directory::holding(&["api", "web"]);
        directory.remove("web.yaml");
        directory.write("shop.yaml", &manifest("web", "app:1"));
        let settled = directory.look();
        assert_eq!((names(&settled), invalid(&settled)), (vec!["api", "web"], vec![]));
    }

    #[test]
    fn a_file_that_was_renamed_and_garbled_keeps_its_service() {
        let mut directory = Directory::holding(&["api", "web"]);
        directory.remove("web.yaml");
        directory.write("shop.yaml", "{ not yaml");
        let settled = directory.look();
        assert_eq!((names(&settled), invalid(&settled)), (vec!["api", "web"], vec!["web"]));
    }

    #[test]
    fn an_emptied_file_is_a_problem_and_not_a_removal() {
        let mut directory = Directory::holding(&["api", "web"]);
        directory.write("web.yaml", "\n");
        let settled = directory.look();
        assert_eq!((names(&settled), invalid(&settled)), (vec!["api", "web"], vec!["web"]));
    }

    #[test]
    fn a_manifest_that_is_not_recognised_any_more_keeps_its_service() {
        let mut directory = Directory::holding(&["api", "web"]);
        directory.write("web.yaml", "apiVersoin: evenkeel.dev/v1\nkidn: Service\n");
        let settled = directory.look();
        assert_eq!((names(&settled), invalid(&settled)), (vec!["api", "web"], vec!["web"]));
    }

    #[test]
    fn an_unreadable_file_or_directory_keeps_its_services() {
        for unreadable in ["team/web.yaml", "team"] {
            let mut directory = Directory::holding(&["api"]);
            directory.write("team/web.yaml", &manifest("web", "app:1"));
            directory.look();
            directory.remove("team/web.yaml");
            directory.unreadable(unreadable);
            let settled = directory.look();
            assert_eq!((names(&settled), invalid(&settled)), (vec!["api", "web"], vec!["web"]));
        }
    }

    #[test]
    fn an_emptied_directory_keeps_everything_and_says_so() {
        let mut directory = Directory::holding(&["api", "web"]);
        directory.remove("api.yaml");
        directory.remove("web.yaml");
        let settled = directory.look();
        assert_eq!(names(&settled), ["api", "web"]);
        assert!(settled.stale.is_some_and(|why| why.contains("stay in force")));
    }

    #[test]
    fn two_manifests_for_one_service_keep_the_last_good_one() {
        let mut directory = Directory::holding(&["api", "web"]);
        directory.write("again.yaml", &manifest("web", "app:2"));
        let settled = directory.look();
        let key = ServiceKey::new("prod", "web");
        assert!(settled.desired.services[&key].task_definition.text().contains("app:1"));
        assert_eq!(invalid(&settled), ["web"]);
    }

    #[test]
    fn a_bad_manifest_of_a_new_service_is_invalid_and_in_force_nowhere() {
        let mut directory = Directory::holding(&["api"]);
        directory.write("web.yaml", &manifest("web", "app:1").replace("memory", "memroy"));
        let settled = directory.look();
        assert_eq!((names(&settled), invalid(&settled)), (vec!["api"], vec!["web"]));
    }

    #[test]
    fn an_unchanged_service_keeps_its_allocation() {
        let mut directory = Directory::holding(&["api", "web"]);
        let key = ServiceKey::new("prod", "api");
        let before = directory.look().desired.services[&key].clone();
        directory.write("web.yaml", &manifest("web", "app:2"));
        let after = directory.look().desired.services[&key].clone();
        assert!(Arc::ptr_eq(&before, &after));
    }

    #[test]
    fn services_of_other_targets_are_counted_and_left_alone() {
        let mut directory = Directory::holding(&["api"]);
        let elsewhere = manifest("web", "app:1").replace("spec:\n", "spec:\n  target: eu\n");
        directory.write("web.yaml", &elsewhere);
        let settled = directory.look();
        assert_eq!((names(&settled), settled.elsewhere), (vec!["api"], 1));
    }

    #[test]
    fn without_its_environment_every_service_stays_as_it_was() {
        let environment = |tag: &str| {
            format!(
                "apiVersion: evenkeel.dev/v1\nkind: Environment\nmetadata: {{name: prod}}\nspec: \
                 {{vars: {{tag: {tag}}}}}\n"
            )
        };
        let mut directory = Directory::holding(&[]);
        directory.write("web.yaml", &manifest("web", "app:${tag}"));
        let look = |directory: &mut Directory, text: Option<String>| {
            directory.remove("prod.yaml");
            if let Some(text) = text {
                directory.write("prod.yaml", &text);
            }
            let set = evenkeel_manifest::load_in(&directory.tree.files, Some("prod"));
            let settled = directory.settle(set);
            let service = &settled.desired.services[&ServiceKey::new("prod", "web")];
            let image = |tag: &str| service.task_definition.text().contains(tag);
            (image("app:a1"), image("app:b2"), invalid(&settled).len())
        };
        assert_eq!(look(&mut directory, Some(environment("a1"))), (true, false, 0));
        assert_eq!(look(&mut directory, Some(environment("b2"))), (false, true, 0));
        directory.write("web.yaml", &manifest("web", "new:${tag}"));
        for broken in [None, Some("{".to_owned()), Some(environment("[]")), Some(String::new())] {
            assert_eq!(look(&mut directory, broken), (false, true, 1), "changed at the same time");
        }
        let text = environment("c3");
        directory.write("prod.yaml", &text);
        let set = evenkeel_manifest::load_in(&directory.tree.files, Some("prod"));
        let settled = directory.settle(set);
        let service = &settled.desired.services[&ServiceKey::new("prod", "web")];
        assert!(service.task_definition.text().contains("new:c3"));
    }
}
