//! What holds now and what held until lately, for daemons that are shown the past; never what it means.

use std::collections::{BTreeMap, BTreeSet};

use super::super::event::At;

/// What holds now, and until when what held before did.
#[derive(Debug)]
pub(super) struct Lasting<T> {
    now: BTreeSet<T>,
    before: BTreeMap<T, At>,
}

impl<T> Default for Lasting<T> {
    fn default() -> Self {
        Self { now: BTreeSet::new(), before: BTreeMap::new() }
    }
}

impl<T: Ord + Clone> Lasting<T> {
    pub(super) fn hold(&mut self, at: At, now: impl IntoIterator<Item = T>) {
        let now: BTreeSet<T> = now.into_iter().collect();
        for gone in self.now.difference(&now) {
            self.before.insert(gone.clone(), at);
        }
        self.now = now;
    }

    /// What held at some moment since then.
    pub(super) fn since(&self, at: At) -> impl Iterator<Item = &T> {
        let before = self.before.iter().filter(move |(_, until)| **until >= at);
        self.now.iter().chain(before.map(|(one, _)| one))
    }
}
