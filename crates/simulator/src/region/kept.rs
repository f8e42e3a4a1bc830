//! Things of the region by their ids, shared with its earlier states until they change; never mixes what
//! is with what was.

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

/// A part of the state: an earlier state has the same one until it changes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shared<T>(Arc<T>);

impl<T> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Clone> DerefMut for Shared<T> {
    fn deref_mut(&mut self) -> &mut T {
        Arc::make_mut(&mut self.0)
    }
}

/// As a map, but what did not change costs an earlier state nothing.
#[derive(Clone, Debug)]
pub(crate) struct Kept<K, V>(Shared<BTreeMap<K, Arc<V>>>);

impl<K, V> Default for Kept<K, V> {
    fn default() -> Self {
        Self(Shared(Arc::default()))
    }
}

impl<K: Ord + Clone, V: Clone> Kept<K, V> {
    pub(crate) fn get<Q: Ord + ?Sized>(&self, id: &Q) -> Option<&V>
    where
        K: std::borrow::Borrow<Q>,
    {
        self.0.get(id).map(|kept| &**kept)
    }

    pub(crate) fn get_mut<Q: Ord + ?Sized>(&mut self, id: &Q) -> Option<&mut V>
    where
        K: std::borrow::Borrow<Q>,
    {
        self.0.get_mut(id).map(Arc::make_mut)
    }

    pub(crate) fn get_or_default(&mut self, id: K) -> &mut V
    where
        V: Default,
    {
        Arc::make_mut(self.0.entry(id).or_default())
    }

    pub(crate) fn insert(&mut self, id: K, new: V) {
        self.0.insert(id, Arc::new(new));
    }

    pub(crate) fn remove<Q: Ord + ?Sized>(&mut self, id: &Q) -> Option<V>
    where
        K: std::borrow::Borrow<Q>,
    {
        self.0.remove(id).map(Arc::unwrap_or_clone)
    }

    pub(crate) fn retain(&mut self, mut keeps: impl FnMut(&K, &V) -> bool) {
        self.0.retain(|id, kept| keeps(id, kept));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn contains_key<Q: Ord + ?Sized>(&self, id: &Q) -> bool
    where
        K: std::borrow::Borrow<Q>,
    {
        self.0.contains_key(id)
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &K> {
        self.0.keys()
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &V> {
        self.0.values().map(|kept| &**kept)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.0.iter().map(|(id, kept)| (id, &**kept))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_changes_in_no_earlier_state() {
        let mut now = Kept::default();
        now.insert(1, "running".to_owned());
        now.insert(2, "running".to_owned());
        let earlier = now.clone();
        now.get_mut(&1).unwrap().push_str(", then stopped");
        assert_eq!(now.remove(&2).as_deref(), Some("running"));
        assert_eq!(now.values().collect::<Vec<_>>(), ["running, then stopped"]);
        assert_eq!(earlier.values().collect::<Vec<_>>(), ["running", "running"]);
    }
}
