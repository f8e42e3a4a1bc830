//! What all manifests together want; never says when it is looked at.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use evenkeel_manifest::{Service, ServiceKey, Source};

/// Everything that is wanted, as one immutable value. A new one is sent for every change of the
/// manifests, and shares the services that did not change.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DesiredState {
    pub services: BTreeMap<ServiceKey, Arc<Service>>,
    /// Keys whose newest manifest is bad, with all its problems in words for people. The last good
    /// service of such a key, if there was one, stays in `services` and stays in force.
    pub invalid: BTreeMap<ServiceKey, Vec<String>>,
    /// Why there may be more manifests than these: one could not be read, or a whole source.
    pub incomplete: Option<String>,
}

impl DesiredState {
    /// All keys that manifests name, good or bad.
    pub fn keys(&self) -> BTreeSet<&ServiceKey> {
        self.services.keys().chain(self.invalid.keys()).collect()
    }

    /// Whether any manifest names the service, good or bad.
    pub fn names(&self, key: &ServiceKey) -> bool {
        self.services.contains_key(key) || self.invalid.contains_key(key)
    }

    /// Whether what is not named here is named nowhere.
    ///
    /// # Errors
    ///
    /// Why that is not known.
    pub(crate) fn is_whole(&self) -> Result<(), String> {
        match &self.incomplete {
            Some(why) => Err(format!("not all manifests are known: {why}")),
            None if self.services.is_empty() => Err("there is no manifest at all".to_owned()),
            None => Ok(()),
        }
    }

    /// The keys whose wanted content differs from `before`, new ones included and removed ones not.
    pub(crate) fn changed_since(&self, before: &Self) -> Vec<ServiceKey> {
        let changed = |key: &&ServiceKey| match (self.services.get(*key), before.services.get(*key))
        {
            (Some(now), Some(before)) => !same_content(now, before),
            (now, before) => now.is_some() != before.is_some(),
        };
        self.services.keys().filter(changed).cloned().collect()
    }

    /// The keys that `before` named and that no manifest names any more.
    pub(crate) fn removed_since(&self, before: &Self) -> Vec<ServiceKey> {
        before.keys().into_iter().filter(|key| !self.names(key)).cloned().collect()
    }
}

/// Whether two manifests want the same. The line on which a manifest begins does not count: a
/// comment added at the head of a file moves all its documents and changes nothing.
pub(crate) fn same_content(one: &Arc<Service>, other: &Arc<Service>) -> bool {
    if Arc::ptr_eq(one, other) {
        return true;
    }
    let moved = Source::new(one.source.file.clone(), other.source.line);
    let aligned = Service { source: moved, ..Service::clone(one) };
    aligned == **other
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{key, service};

    fn state(services: impl IntoIterator<Item = Service>) -> DesiredState {
        let services = services.into_iter().map(|s| (s.key.clone(), Arc::new(s))).collect();
        DesiredState { services, ..DesiredState::default() }
    }

    #[test]
    fn a_manifest_that_only_moved_in_its_file_has_not_changed() {
        let before = state([service("web", "1"), service("api", "1")]);
        let mut moved = service("web", "1");
        moved.source.line = 40;
        let after = state([moved, service("api", "2")]);
        assert_eq!(after.changed_since(&before), [key("api")]);
    }

    #[test]
    fn pausing_is_a_change_although_no_digest_moves() {
        let mut paused = service("web", "1");
        paused.paused = true;
        assert_eq!(state([paused]).changed_since(&state([service("web", "1")])), [key("web")]);
    }

    #[test]
    fn a_manifest_that_turned_bad_is_not_removed() {
        let before = state([service("web", "1"), service("api", "1")]);
        let mut after = state([]);
        after.invalid.insert(key("web"), vec!["bad".to_owned()]);
        assert_eq!(after.removed_since(&before), [key("api")]);
        assert_eq!(after.changed_since(&before), []);
    }
}
