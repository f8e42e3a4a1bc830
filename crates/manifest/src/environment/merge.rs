//! JSON merge patch (RFC 7386) on positioned trees; never loses where a value came from.

use std::sync::Arc;

use crate::node::{Entry, Kind, Node};

/// Lays `patch`, which is from `file`, over `target`: members are merged at every depth, null removes one,
/// anything else, lists too, takes the place of what was there.
pub(crate) fn merge(target: &mut Node, patch: &Node, file: &Arc<str>) {
    let Kind::Mapping(changes) = &patch.kind else {
        *target = Node { origin: Some(Arc::clone(file)), ..patch.clone() };
        return;
    };
    if !matches!(target.kind, Kind::Mapping(_)) {
        let (position, origin) = (patch.position, Some(Arc::clone(file)));
        *target = Node { position, origin, kind: Kind::Mapping(Vec::new()) };
    }
    let Kind::Mapping(entries) = &mut target.kind else { return };
    for change in changes {
        if matches!(change.value.kind, Kind::Null) {
            entries.retain(|entry| entry.name != change.name);
        } else {
            merge_member(entries, change, file);
        }
    }
}

fn merge_member(entries: &mut Vec<Entry>, change: &Entry, file: &Arc<str>) {
    let is_mapping = |node: &Node| matches!(node.kind, Kind::Mapping(_));
    let Some(entry) = entries.iter_mut().find(|entry| entry.name == change.name) else {
        let mut value = Node::new(change.value.position, Kind::Null);
        merge(&mut value, &change.value, file);
        let (name, position) = (Arc::clone(&change.name), change.position);
        return entries.push(Entry { name, position, value });
    };
    // A member that is only added to stays where it was written.
    if !(is_mapping(&entry.value) && is_mapping(&change.value)) {
        entry.position = change.position;
    }
    merge(&mut entry.value, &change.value, file);
}
